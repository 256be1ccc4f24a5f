"""What goes on: `GET /activity`, the counts from which `tidegate top` makes rates and percentiles.

Everything only grows (calls, latencies, CPU time) or is of this moment (memory, sessions, queues), so two readings and
the time between them are all that a rate needs, and the daemon keeps nothing for whoever watches.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tidegate import __version__
from tidegate.admin.answer import answer
from tidegate.admin.observed import Observed
from tidegate.admin.redaction import Redaction
from tidegate.config.snapshot import Backend
from tidegate.control.telemetry.backend_state import backend_state, backend_up, children, dicts
from tidegate.control.telemetry.latencies import BOUNDS_S
from tidegate.control.telemetry.metrics import Metrics
from tidegate.control.telemetry.process import cpu_s, resident_bytes
from tidegate.control.telemetry.process_trees import tree_usage
from tidegate.pipeline.accept.http_request import HttpRequest


class ActivityPage:
    """That page."""

    def __init__(self, daemon: Observed, metrics: Metrics, redaction: Redaction) -> None:
        self._daemon = daemon
        self._metrics = metrics
        self._redaction = redaction

    def activity(self, request: HttpRequest) -> None:
        self._redaction.learn(self._daemon.snapshot)
        statistics = self._daemon.statistics()
        backends = dicts(statistics.get("backends"))
        links = [(backend, slot, link) for backend in backends for slot, link in children(backend)]
        limits = {backend.name: backend for backend in self._daemon.snapshot.backends}
        answer(
            request,
            200,
            {
                "version": __version__,
                "uptime_s": statistics.get("uptime_s"),
                "gateway": {"pid": os.getpid(), "cpu_s": cpu_s(), "memory_bytes": resident_bytes()},
                "sessions": statistics.get("sessions"),
                "listeners": statistics.get("listeners"),
                "in_flight": statistics.get("in_flight"),
                "suspended": statistics.get("suspended"),
                "connections": statistics.get("connections"),
                "refused": self._metrics.refused(),
                "bounds_s": BOUNDS_S,
                "calls": list(self._metrics.rows()),
                "backends": [_backend(backend, limits.get(str(backend.get("backend")))) for backend in backends],
                "children": [_child(backend, slot, link, limits) for backend, slot, link in links],
            },
        )


def _backend(backend: dict[str, Any], config: Any) -> dict[str, object]:
    slots = dicts(backend.get("slots"))
    return {
        "backend": backend.get("backend"),
        "transport": backend.get("transport"),
        "up": backend_up(backend),
        "state": backend_state(backend),
        "in_flight": sum(slot.get("in_flight") or 0 for slot in slots),
        "max_in_flight": getattr(config, "max_in_flight", None),
        "queued": (backend.get("queued") or 0) + sum(slot.get("waiting") or 0 for slot in slots),
        "max_queued": getattr(config, "max_queued", None),
        "restarts": sum(slot.get("restarts") or 0 for slot in slots),
    }


def _child(
    backend: dict[str, Any], slot: dict[str, Any], link: dict[str, Any], configured: Mapping[str, Backend]
) -> dict[str, object]:
    config = configured.get(str(backend.get("backend")))
    pid = link.get("pid")
    used = tree_usage(pid) if isinstance(pid, int) else None
    return {
        "backend": backend.get("backend"),
        "serves": slot.get("serves"),
        "pid": pid,
        "cpu_s": used.cpu_s if used is not None else None,
        "memory_bytes": used.memory_bytes if used is not None else link.get("memory_bytes"),
        "processes": used.processes if used is not None else None,
        "restarts": slot.get("restarts"),
        "models": [PurePath(model.path).name for model in config.models] if config is not None else [],
    }
