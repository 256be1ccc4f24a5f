"""The operator's HTTP: is it alive, is it ready, what is it, how is it doing.

    GET /health        status `ok` or `degraded`, and each backend
    GET /health/live   200 as long as the event loop runs
    GET /health/ready  200 while new requests are taken, else 503
    GET /info          name, version, revisions, addresses, backends
    GET /status        everything that is counted, as JSON
    GET /metrics       the same for Prometheus

Called by `HttpServerProtocol` on a listener of its own; reads the daemon and changes nothing in it. No answer
has a secret in it: see `redaction.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from tidegate import __version__
from tidegate.admin.redaction import Redaction
from tidegate.config.address import parse_host_port
from tidegate.config.snapshot import Snapshot
from tidegate.control.telemetry.exposition import CONTENT_TYPE as METRICS_TYPE
from tidegate.control.telemetry.metrics import Metrics, backend_up
from tidegate.errors import TidegateError
from tidegate.pipeline.accept.http_request import HttpRequest
from tidegate.pipeline.policy.origin import OriginCheck
from tidegate.protocol.revisions import SUPPORTED

_JSON: Final = "application/json"
_HEADERS: Final = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


class AdminDaemon(Protocol):
    """What this room asks of the daemon."""

    snapshot: Snapshot
    addresses: dict[str, object]

    def statistics(self) -> dict[str, object]: ...

    @property
    def ready(self) -> bool:
        """Listening, and not on the way out."""


class AdminHttp:
    """Answers requests on the admin listener."""

    def __init__(self, daemon: AdminDaemon, metrics: Metrics) -> None:
        self._daemon = daemon
        self._metrics = metrics
        listen = daemon.snapshot.listen
        self._origin = OriginCheck(listen, (parse_host_port(listen.admin)[0],))
        self._redaction = Redaction(daemon.snapshot)
        self._pages: dict[str, Callable[[HttpRequest], None]] = {
            "/health": self._health,
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/info": self._info,
            "/status": self._status,
            "/metrics": self._render_metrics,
        }

    def serve(self, request: HttpRequest) -> None:
        """Answers at once."""
        try:
            self._origin.check(request.headers.get("host"), request.headers.get("origin"))
        except TidegateError as error:
            request.refuse(error)
            return
        page = self._pages.get(request.path)
        if page is None:
            _answer(request, 404, {"error": f"nothing here; there is {', '.join(self._pages)}"})
        elif request.method not in ("GET", "HEAD"):
            _answer(request, 405, {"error": "only GET and HEAD are answered here"}, (("allow", "GET, HEAD"),))
        else:
            page(request)

    def _health(self, request: HttpRequest) -> None:
        backends = self._backends()
        degraded = any(not backend["up"] for backend in backends)
        _answer(request, 200, {"status": "degraded" if degraded else "ok", "backends": backends})

    def _live(self, request: HttpRequest) -> None:
        _answer(request, 200, {"status": "live"})

    def _ready(self, request: HttpRequest) -> None:
        ready = self._daemon.ready
        _answer(request, 200 if ready else 503, {"status": "ready" if ready else "stopping"})

    def _info(self, request: HttpRequest) -> None:
        statistics = self._daemon.statistics()
        listen = self._daemon.addresses
        _answer(
            request,
            200,
            {
                "name": "tidegate",
                "version": __version__,
                "revisions": list(SUPPORTED),
                "uptime_s": statistics.get("uptime_s"),
                "listen": listen,
                "backends": [_spoken(backend) for backend in _dicts(statistics.get("backends"))],
                "features": {
                    "transports": [name for name in ("http", "tcp", "unix") if name in listen],
                    "authentication": bool(self._daemon.snapshot.clients),
                    "backends": len(self._daemon.snapshot.backends),
                },
            },
        )

    def _status(self, request: HttpRequest) -> None:
        statistics = self._daemon.statistics()
        _answer(request, 200, {"version": __version__, **_mapping(self._redaction.value(statistics))})

    def _render_metrics(self, request: HttpRequest) -> None:
        # A name from a server may hold half a surrogate pair, which has no UTF-8.
        body = self._metrics.render(self._daemon.statistics()).encode("utf-8", "replace")
        request.respond(200, (*_HEADERS, ("content-type", METRICS_TYPE)), body)

    def _backends(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for backend in _dicts(self._daemon.statistics().get("backends")):
            errors = [slot["error"] for slot in _dicts(backend.get("slots")) if slot.get("error")]
            up = backend_up(backend)
            error = None if up or not errors else self._redaction.value(errors[-1])
            found.append({"backend": backend.get("backend"), "up": up, "error": error})
        return found


def _spoken(backend: Mapping[str, Any]) -> dict[str, object]:
    """A backend for `/info`: what it speaks, over how many connections."""
    slots = _dicts(backend.get("slots"))
    known = {"stateless": backend.get("stateless"), "session": backend.get("keeps_session")}
    return {
        "backend": backend.get("backend"),
        "transport": backend.get("transport"),
        "eras": [era for era, spoken in known.items() if spoken],
        "slots": [{key: slot.get(key) for key in ("serves", "state", "revision")} for slot in slots],
    }


def _answer(
    request: HttpRequest, status: int, value: Mapping[str, object], more: tuple[tuple[str, str], ...] = ()
) -> None:
    body = json.dumps(value, indent=2).encode() + b"\n"
    request.respond(status, (*_HEADERS, *more, ("content-type", _JSON)), body)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value
