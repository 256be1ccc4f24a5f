"""Is it alive, is it ready, is all well: what a supervisor or a load balancer asks.

GET /health        status `ok` or `degraded`, and each backend
GET /health/live   200 as long as the event loop runs
GET /health/ready  200 while new requests are taken, else 503
"""

from __future__ import annotations

from tidegate.admin.answer import answer
from tidegate.admin.observed import Observed
from tidegate.admin.redaction import Redaction
from tidegate.control.telemetry.backend_state import backend_up, dicts
from tidegate.pipeline.accept.http_request import HttpRequest


class HealthPages:
    """The three of them."""

    def __init__(self, daemon: Observed, redaction: Redaction) -> None:
        self._daemon = daemon
        self._redaction = redaction

    def health(self, request: HttpRequest) -> None:
        backends = self._backends()
        degraded = any(not backend["up"] for backend in backends)
        answer(request, 200, {"status": "degraded" if degraded else "ok", "backends": backends})

    def live(self, request: HttpRequest) -> None:
        answer(request, 200, {"status": "live"})

    def ready(self, request: HttpRequest) -> None:
        ready = self._daemon.ready
        answer(request, 200 if ready else 503, {"status": "ready" if ready else "stopping"})

    def _backends(self) -> list[dict[str, object]]:
        self._redaction.learn(self._daemon.snapshot)
        found: list[dict[str, object]] = []
        for backend in dicts(self._daemon.statistics().get("backends")):
            errors = [slot["error"] for slot in dicts(backend.get("slots")) if slot.get("error")]
            up = backend_up(backend)
            error = None if up or not errors else self._redaction.value(errors[-1])
            found.append({"backend": backend.get("backend"), "up": up, "error": error})
        return found
