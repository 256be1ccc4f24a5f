"""The picture of `tidegate top`: a few lines about the whole, then backends, tools and processes.

Pure functions of an `Activity` and the size of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tidegate.cli.colours import Line, Span, Style
from tidegate.cli.layout import Column, table
from tidegate.cli.status_tables import STATE_STYLE
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import width
from tidegate.cli.top_rates import Activity, Calls, Process, Server
from tidegate.host.phrase import size

ORDERS: Final[dict[str, str]] = {
    "c": "calls",
    "e": "errors",
    "l": "latency",
    "m": "memory",
    "n": "name",
}
"""Keys, and what the rows are put in order by."""

_RATES: Final = (
    Column("CALLS/S", 1, right=True),
    Column("ERRORS/S", 1, right=True),
    Column("P50", 2, right=True),
    Column("P99", 2, right=True),
)
_SERVERS: Final = (
    Column("BACKEND", 0, least=12),
    Column("STATE"),
    *_RATES,
    Column("IN FLIGHT", 3, right=True),
    Column("QUEUED", 3, right=True),
    Column("RESTARTS", 4, right=True),
)
_TOOLS: Final = (
    Column("TOOL", 0, least=16),
    Column("BACKEND", 3, least=10),
    *_RATES,
    Column("CALLS", 4, right=True),
)
_PROCESSES: Final = (
    Column("PROCESS", 0, least=12),
    Column("PID", 1, right=True),
    Column("CPU", 1, right=True),
    Column("MEMORY", 1, right=True),
    Column("PROCESSES", 3, right=True),
    Column("RESTARTS", 3, right=True),
    Column("SERVES", 4),
)
_LEAST_ROWS: Final = 3


def frame(activity: Activity, room: int | None, rows: int | None, order: str = "calls") -> list[Line]:
    """`rows`: how many there are in the window; None when all can be shown."""
    head = [line for parts in _head(activity, order) for line in joined(parts, room)]
    servers = sorted(activity.servers, key=_server_order(order))
    tools = sorted((calls for calls in activity.tools if calls.count), key=_calls_order(order))
    processes = [activity.gateway, *sorted(activity.children, key=_process_order(order))]
    own = [_own_row(activity.own)] if activity.own.count else []
    most = _shares(rows, len(head), [len(own) + len(servers), len(tools), len(processes)])
    lines = head
    live = rows is not None
    for columns, made, count in (
        (_SERVERS, [*own, *map(_server_row, servers)], most[0]),
        (_TOOLS, [_tool_row(calls) for calls in tools], most[1]),
        (_PROCESSES, [_process_row(process) for process in processes], most[2]),
    ):
        if made:
            lines += [[], *table(columns, made[:count], room, "head" if live else "dim", steady=live)]
            if count < len(made):
                lines.append([Span(f"  {len(made) - count} more", "dim")])
    return lines


def _head(activity: Activity, order: str) -> list[list[Span]]:
    """Three lines, each of parts that are put together by commas."""
    total, gateway = activity.total, activity.gateway
    broken = sum(not server.up for server in activity.servers)
    count = len(activity.servers)
    queued = sum(server.queued.count for server in activity.servers)
    state = [Span(f"tidegate {activity.version}", "bold")]
    if activity.uptime_s is not None:
        state.append(Span(f"up {stretch(activity.uptime_s)}"))
    state.append(Span(f"{count - broken} of {count} servers usable"))
    if broken:
        state.append(Span(f"{broken} out of order (see `tidegate status`)", "bad"))
    rates = [
        Span(f"{rate(total.per_s)} requests/s", "bold"),
        Span(f"{rate(total.errors_per_s)} errors/s", "bad" if total.errors else ""),
        Span(f"p50 {latency(total.percentile_s(0.5))}"),
        Span(f"p99 {latency(total.percentile_s(0.99))}"),
        Span(f"over {_stretch(activity.seconds)}", "dim"),
        Span(f"by {order}", "dim"),
    ]
    now = [
        Span(f"{activity.sessions} sessions"),
        Span(f"{activity.connections} connections"),
        Span(f"{activity.in_flight} in flight"),
        Span(f"{queued} queued", "note" if queued else ""),
        Span(f"memory {size(gateway.memory_bytes)}"),
        Span(f"CPU {share(gateway.cpu_share)}"),
    ]
    if activity.refused:
        now.append(Span(f"{activity.refused} refused", "note"))
    return [state, rates, now]


def joined(parts: Sequence[Span], room: int | None) -> list[Line]:
    """The parts with commas between them; a new line where the next one has no room."""
    lines: list[Line] = [[]]
    used = 0
    for at, part in enumerate(parts):
        end = "," if at < len(parts) - 1 else ""
        needed = width(part.text) + len(end)
        if lines[-1] and room is not None and used + 1 + needed > room:
            lines.append([])
            used = 0
        if lines[-1]:
            lines[-1].append(Span(" "))
            used += 1
        lines[-1] += [part, Span(end)]
        used += needed
    return lines


def _server_row(server: Server) -> list[Span]:
    return [
        Span(server.name[:40]),
        Span(server.state, STATE_STYLE.get(server.state, "")),
        *_rates(server.calls),
        Span(server.in_flight.short),
        Span(server.queued.short, "note" if server.queued.count else ""),
        Span(str(server.restarts), "note" if server.restarts else ""),
    ]


def _own_row(calls: Calls) -> list[Span]:
    return [Span("(gateway)", "bold"), Span("-"), *_rates(calls), Span("-"), Span("-"), Span("-")]


def _tool_row(calls: Calls) -> list[Span]:
    return [Span(calls.tool[:60]), Span(calls.backend[:40], "dim"), *_rates(calls), Span(str(calls.count))]


def _process_row(process: Process) -> list[Span]:
    return [
        Span(process.backend[:40]) if process.backend else Span("(gateway)", "bold"),
        Span("-" if process.pid is None else str(process.pid)),
        Span(share(process.cpu_share)),
        Span("-" if process.memory_bytes is None else size(process.memory_bytes)),
        Span(str(process.processes) if process.processes else "-"),
        Span(str(process.restarts) if process.backend else "-", "note" if process.restarts else ""),
        Span(process.serves or "-"),
    ]


def _rates(calls: Calls) -> list[Span]:
    tone: Style = "bad" if calls.errors else ""
    return [
        Span(rate(calls.per_s) if calls.count else "-"),
        Span(rate(calls.errors_per_s) if calls.errors else "-", tone),
        Span(latency(calls.percentile_s(0.5))),
        Span(latency(calls.percentile_s(0.99))),
    ]


def _stretch(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else stretch(seconds)


def _shares(rows: int | None, head: int, wanted: Sequence[int]) -> list[int]:
    """How many rows of each table are shown, so that all of them have a place in the window."""
    if rows is None:
        return list(wanted)
    # Each table has a blank line, its titles and perhaps a line for what is left out.
    left = rows - head - sum(3 for count in wanted if count)
    shares = [min(count, _LEAST_ROWS) for count in wanted]
    left -= sum(shares)
    while left < 0 and max(shares) > 1:
        shares[shares.index(max(shares))] -= 1
        left += 1
    while left > 0 and any(share < count for share, count in zip(shares, wanted, strict=True)):
        for at, count in enumerate(wanted):
            if shares[at] < count and left > 0:
                shares[at] += 1
                left -= 1
    return shares


def _server_order(order: str) -> Callable[[Server], tuple[float, bool, str]]:
    """Of those with equal numbers, the ones that are out of order come first."""
    if order == "name":
        return lambda server: (0.0, True, server.name)
    return lambda server: (0.0 if order == "memory" else _weight(server.calls, order), server.up, server.name)


def _calls_order(order: str) -> Callable[[Calls], tuple[float, str, str]]:
    by = "calls" if order == "memory" else order
    return lambda calls: (0.0 if by == "name" else _weight(calls, by), calls.tool, calls.backend)


def _weight(calls: Calls, order: str) -> float:
    if order == "errors":
        return -calls.errors_per_s
    if order == "latency":
        return -(calls.percentile_s(0.99) or 0.0)
    return -calls.per_s


def _process_order(order: str) -> Callable[[Process], tuple[float, str]]:
    if order == "name":
        return lambda process: (0.0, process.backend)
    if order == "memory":
        return lambda process: (-(process.memory_bytes or 0.0), process.backend)
    return lambda process: (-(process.cpu_share or 0.0), process.backend)


def rate(per_s: float) -> str:
    """Three figures are enough."""
    if per_s >= 100:
        return f"{per_s:.0f}"
    return f"{per_s:.1f}" if per_s >= 10 or per_s == 0 else f"{per_s:.2f}"


def latency(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 0.01:
        return f"{seconds * 1e3:.2f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"


def share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.0f} %" if value >= 0.1 else f"{value * 100:.1f} %"
