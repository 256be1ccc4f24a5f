"""What the daemon's statistics say at this moment, as gauges for Prometheus.

Called by `metrics.py`. Reads plain data: a statistic that is not there leaves out a sample and breaks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.control.telemetry.backend_state import STATES, TROUBLE, backend_up, children, dicts
from tidegate.control.telemetry.exposition import Exposition

Statistics = Mapping[str, object]

_BACKEND_GAUGES: Final = (
    ("own_connections", "tidegate_backend_own_connections", "Connections that serve single clients."),
    ("max_connections", "tidegate_backend_own_connections_limit", "Most connections that may serve single ones."),
    ("queued", "tidegate_backend_queued_requests", "Requests that wait for their turn at a backend."),
)

_RELAY: Final = (
    ("relayed_total", "tidegate_relay_calls_total", "counter", "Calls that the relay did by itself."),
    ("flows", "tidegate_relay_flows", "gauge", "Decisions that the relay can repeat."),
    ("installed_total", "tidegate_relay_flows_installed_total", "counter", "Decisions that it was told."),
    ("voided_total", "tidegate_relay_voided_total", "counter", "How often it was told to forget all of them."),
)


def write_gateway(page: Exposition, statistics: Statistics) -> None:
    page.single("tidegate_uptime_seconds", "gauge", "Since the gateway started.", _number(statistics.get("uptime_s")))
    page.single("tidegate_sessions", "gauge", "Open sessions of clients.", _number(statistics.get("sessions")))
    page.single(
        "tidegate_listeners", "gauge", "Open subscription streams of clients.", _number(statistics.get("listeners"))
    )
    page.single("tidegate_in_flight_requests", "gauge", "Requests being served.", _number(statistics.get("in_flight")))
    suspended = statistics.get("suspended")
    if isinstance(suspended, Mapping):
        help_text = "Calls of session servers that wait for answers of stateless clients."
        page.single("tidegate_suspended_calls", "gauge", help_text, _number(suspended.get("calls")))
        help_text = "Most calls that may wait so."
        page.single("tidegate_suspended_calls_limit", "gauge", help_text, _number(suspended.get("limit")))
    configuration = statistics.get("configuration")
    if isinstance(configuration, Mapping):
        help_text = "Configurations that were in force since the start."
        page.single("tidegate_configuration_generation", "gauge", help_text, _number(configuration.get("generation")))
        help_text = "1 while the file on disk is refused, and an earlier configuration stays in force."
        page.single("tidegate_configuration_refused", "gauge", help_text, int(bool(configuration.get("error"))))
    connections = statistics.get("connections")
    if isinstance(connections, Mapping):
        for field, name, kind, help_text in (
            ("open", "tidegate_connections", "gauge", "Open connections of clients."),
            ("limit", "tidegate_connections_limit", "gauge", "Most connections that may be open."),
            ("served_total", "tidegate_connections_served_total", "counter", "Connections that were let in."),
            ("refused_total", "tidegate_connections_refused_total", "counter", "Connections over the limit."),
        ):
            page.single(name, kind, help_text, _number(connections.get(field)))


def write_relay(page: Exposition, statistics: Statistics) -> None:
    relay = statistics.get("relay")
    if not isinstance(relay, Mapping):
        return
    for field, name, kind, help_text in _RELAY:
        page.single(name, kind, help_text, _number(relay.get(field)))
    handed_over = relay.get("handed_over")
    if isinstance(handed_over, Mapping):
        name = "tidegate_relay_handed_over_total"
        page.family(name, "counter", "Calls that the relay began and the slow lane went on with, by what made it so.")
        for reason, count in handed_over.items():
            page.sample(name, _number(count), [("reason", str(reason))])


def write_backends(page: Exposition, statistics: Statistics) -> None:
    # Two of one name would be two samples of one label set, which makes a scrape worthless.
    backends = list({str(backend.get("backend")): backend for backend in dicts(statistics.get("backends"))}.values())
    page.family("tidegate_backend_up", "gauge", "0 when it cannot be reached; 1 also before it is first needed.")
    for backend in backends:
        page.sample("tidegate_backend_up", int(backend_up(backend)), _named(backend))
    page.family("tidegate_backend_slots", "gauge", "Connections to a backend, by state.")
    for backend in backends:
        counts = dict.fromkeys(STATES, 0)
        for slot in dicts(backend.get("slots")):
            state = str(slot.get("state"))
            counts[state] = counts.get(state, 0) + 1
        for state, count in counts.items():
            page.sample("tidegate_backend_slots", count, [*_named(backend), ("state", state)])
    for field, name, help_text in _BACKEND_GAUGES:
        page.family(name, "gauge", help_text)
        for backend in backends:
            page.sample(name, _number(backend.get(field)), _named(backend))
    page.family("tidegate_backend_in_flight_requests", "gauge", "Requests that a backend has not answered yet.")
    for backend in backends:
        total = sum(_number(slot.get("in_flight")) for slot in dicts(backend.get("slots")))
        page.sample("tidegate_backend_in_flight_requests", total, _named(backend))
    _write_replicas(page, backends)
    _write_children(page, backends)


def _write_replicas(page: Exposition, backends: list[dict[str, Any]]) -> None:
    """Of backends that have several; of others the backend's own numbers say the same."""
    rows = [
        ([*_named(backend), ("replica", str(row.get("replica")))], row)
        for backend in backends
        for row in dicts(backend.get("replicas"))
        if len(dicts(backend.get("replicas"))) > 1
    ]
    if not rows:
        return
    page.family("tidegate_backend_replica_up", "gauge", "0 when it cannot be reached; 1 also before it is needed.")
    for labels, row in rows:
        page.sample("tidegate_backend_replica_up", int(row.get("state") not in TROUBLE), labels)
    name = "tidegate_backend_replica_in_flight_requests"
    page.family(name, "gauge", "Requests that a replica of a backend has not answered yet.")
    for labels, row in rows:
        page.sample(name, _number(row.get("in_flight")), labels)
    name = "tidegate_backend_replica_requests_total"
    page.family(name, "counter", "Requests that were sent to a replica, the gateway's own among them.")
    for labels, row in rows:
        page.sample(name, _number(row.get("requests")), labels)


def _write_children(page: Exposition, backends: list[dict[str, Any]]) -> None:
    name = "tidegate_children"
    page.family(name, "gauge", "Server processes that run as children of the gateway.")
    for backend in backends:
        page.sample(name, sum(1 for _ in children(backend)), _named(backend))
    name = "tidegate_child_resident_memory_bytes"
    page.family(name, "gauge", "Resident memory of a backend's children with all that they started, in bytes.")
    for backend in backends:
        known = [link["memory_bytes"] for _, link in children(backend) if _is_number(link.get("memory_bytes"))]
        if known:
            page.sample(name, sum(known), _named(backend))
    name = "tidegate_backend_restarts"
    page.family(name, "gauge", "How often those connections to a backend that exist now were lost and made again.")
    for backend in backends:
        total = sum(_number(slot.get("restarts")) for slot in dicts(backend.get("slots")))
        page.sample(name, total, _named(backend))


def _named(backend: Statistics) -> list[tuple[str, str]]:
    return [("backend", str(backend.get("backend")))]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0


def write_plugins(page: Exposition, statistics: Statistics) -> None:
    """Nothing while no plugin was needed."""
    sandbox = statistics.get("sandbox")
    if not isinstance(sandbox, dict):
        return
    plugins = sorted(sandbox["plugins"].items())
    page.single("tidegate_plugin_threads", "gauge", "Threads that plugins run on.", sandbox["threads"])
    page.family("tidegate_plugin_calls_total", "counter", "Calls of a plugin that ended.")
    for name, one in plugins:
        page.sample("tidegate_plugin_calls_total", one["calls"], [("plugin", name)])
    page.family("tidegate_plugin_cpu_seconds_total", "counter", "Time of a processor that a plugin used, in seconds.")
    for name, one in plugins:
        page.sample("tidegate_plugin_cpu_seconds_total", one["cpu_s"], [("plugin", name)])
    page.family("tidegate_plugin_failures_total", "counter", "Calls of a plugin that came to nothing, by why.")
    for name, one in plugins:
        for reason, count in sorted(one["failures"].items()):
            page.sample("tidegate_plugin_failures_total", count, [("plugin", name), ("reason", reason)])
