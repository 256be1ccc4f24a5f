"""What the gateway is, and everything it counts: `GET /info` and `GET /status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from tidegate import __version__
from tidegate.admin.answer import answer
from tidegate.admin.observed import Observed
from tidegate.admin.redaction import Redaction
from tidegate.config.snapshot import Backend
from tidegate.control.telemetry.backend_state import children, dicts
from tidegate.control.telemetry.process import resident_bytes
from tidegate.models.worker.thread_label import labels_in
from tidegate.pipeline.accept.http_request import HttpRequest
from tidegate.protocol.revisions import SUPPORTED

_LIMITS: Final = ("max_in_flight", "max_queued", "max_connections", "call_timeout_s", "queue_timeout_s", "idle_stop_s")


class FactPages:
    """Both of them."""

    def __init__(self, daemon: Observed, redaction: Redaction) -> None:
        self._daemon = daemon
        self._redaction = redaction

    def info(self, request: HttpRequest) -> None:
        statistics = self._daemon.statistics()
        listen = self._daemon.addresses
        answer(
            request,
            200,
            {
                "name": "tidegate",
                "version": __version__,
                "revisions": list(SUPPORTED),
                "uptime_s": statistics.get("uptime_s"),
                "listen": listen,
                "backends": [_spoken(backend) for backend in dicts(statistics.get("backends"))],
                "features": {
                    "transports": [name for name in ("http", "tcp", "unix") if name in listen],
                    "authentication": bool(self._daemon.snapshot.clients),
                    "backends": len(self._daemon.snapshot.backends),
                },
            },
        )

    def status(self, request: HttpRequest) -> None:
        self._redaction.learn(self._daemon.snapshot)
        statistics = self._redaction.value(self._daemon.statistics())
        assert isinstance(statistics, dict)
        limits = self._daemon.snapshot.limits
        configured = {backend.name: backend for backend in self._daemon.snapshot.backends}
        for backend in dicts(statistics.get("backends")):
            config = configured.get(str(backend.get("backend")))
            backend["limits"] = _limits(config)
            if config is not None and config.models:
                backend["models"] = [asdict(model) for model in config.models]
                backend["at_work"] = sorted({label for _, link in children(backend) for label in _labels(link)})
        answer(
            request,
            200,
            {
                "version": __version__,
                "ready": self._daemon.ready,
                "memory_bytes": resident_bytes(),
                "limits": {"in_flight": limits.in_flight, "sessions": limits.sessions},
                **statistics,
            },
        )


def _labels(link: Mapping[str, Any]) -> tuple[str, ...]:
    """Of models that a worker has loaded, or works at."""
    pid = link.get("pid")
    return labels_in(pid) if isinstance(pid, int) else ()


def _limits(config: Backend | None) -> dict[str, object]:
    """What a backend is given at most."""
    return {name: getattr(config, name) for name in _LIMITS if hasattr(config, name)}


def _spoken(backend: Mapping[str, Any]) -> dict[str, object]:
    """A backend for `/info`: what it speaks, over how many connections."""
    slots = dicts(backend.get("slots"))
    known = {"stateless": backend.get("stateless"), "session": backend.get("keeps_session")}
    return {
        "backend": backend.get("backend"),
        "transport": backend.get("transport"),
        "eras": [era for era, spoken in known.items() if spoken],
        "slots": [{key: slot.get(key) for key in ("serves", "state", "revision")} for slot in slots],
    }
