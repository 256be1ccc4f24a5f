"""Who shares the connections to each backend, and why, as lines for `tidegate status`.

The rule itself: docs/transports.md, "Who shares a server". Everything here was said by a gateway, and names in it by
clients: every cell is cleaned.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tidegate.cli.colours import Line, Span
from tidegate.cli.layout import wrap
from tidegate.cli.plain_values import text
from tidegate.cli.terminal import MIN_COLUMNS, cut, one_line, width
from tidegate.control.telemetry.backend_state import dicts, slot_state

_HEAD: Final = ("SERVES", "STATE", "SPEAKS", "WHY")
_SERVES_COLUMNS: Final = 34
"""A client may call itself anything."""
_WHY_COLUMNS: Final = 32
"""Narrower than this, the reason goes below its line."""
_INDENT: Final = "  "


def sharing(backends: Iterable[Mapping[str, Any]], room: int | None) -> Iterator[Line]:
    """A heading and a table for each, below a blank line; backends of which the same is to be said stand together.
    Nothing for those that nobody has needed yet. `room`: columns of the window.
    """
    room = None if room is None else max(room, MIN_COLUMNS)
    groups: dict[tuple[str, ...], list[str]] = {}
    for backend in backends:
        if slots := dicts(backend.get("slots")):
            said = (_heading(backend), *_table(backend, slots, room))
            groups.setdefault(said, []).append(text(backend.get("backend")) or "?")
    for (heading, *rest), names in groups.items():
        yield []
        yield from ([Span(line)] for line in wrap(f"{', '.join(names)}: {heading}", room or 10**9))
        yield from ([Span(line)] for line in rest)


def _heading(backend: Mapping[str, Any]) -> str:
    heading = f'isolation "{one_line(str(backend.get("isolation")))}"'
    if backend.get("keeps_session"):
        used, most = backend.get("own_connections"), backend.get("max_connections")
        heading += f", {used} of {most} connections of single clients"
    return heading


def _table(backend: Mapping[str, Any], slots: list[dict[str, Any]], room: int | None) -> Iterator[str]:
    rows = [_HEAD, *[_row(slot, backend) for slot in slots]]
    widths = [max(width(row[at]) for row in rows) for at in range(len(_HEAD) - 1)]
    taken = len(_INDENT) + sum(widths) + 2 * len(widths)
    for row in rows:
        cells = "  ".join(cell + " " * (widths[at] - width(cell)) for at, cell in enumerate(row[:-1]))
        line, why = _INDENT + cells, row[-1]
        if room is None:
            yield f"{line}  {why}"
        elif room - taken >= _WHY_COLUMNS:
            first, *rest = textwrap.wrap(why, room - taken) or [""]
            yield f"{line}  {first}".rstrip()
            yield from (" " * taken + more for more in rest)
        else:
            yield cut(line.rstrip(), room)
            if row is not _HEAD:
                yield from (2 * _INDENT + more for more in textwrap.wrap(why, room - 4))


def _row(slot: dict[str, Any], backend: Mapping[str, Any]) -> tuple[str, ...]:
    why = str(slot.get("why"))
    abilities = slot.get("abilities")
    if isinstance(abilities, list) and abilities:
        why += f" ({', '.join(map(str, abilities))})"
    cells = (cut(one_line(_whom(slot, backend)), _SERVES_COLUMNS), _state(slot), slot.get("revision") or "-", why)
    return tuple(one_line(str(cell)) for cell in cells)


def _whom(slot: dict[str, Any], backend: Mapping[str, Any]) -> str:
    if len(dicts(backend.get("replicas"))) > 1:
        return f"replica {slot.get('replica')}: {_client(slot, backend)}"
    return _client(slot, backend)


def _client(slot: dict[str, Any], backend: Mapping[str, Any]) -> str:
    serves = slot.get("serves")
    client = slot.get("client")
    if isinstance(client, dict):
        whom = str(client.get("principal"))
        if serves != "session":
            return whom
        name = " ".join(str(client[key]) for key in ("name", "version") if client.get(key))
        return f"{whom}, {client.get('transport')}" + (f", {name}" if name else "")
    if serves == "shared":
        return "everybody" if backend.get("isolation") == "shared" else "all who cannot be asked"
    return "stateless clients" if backend.get("keeps_session") else "everybody"


def _state(slot: dict[str, Any]) -> str:
    """In a few words, what it is doing."""
    state = slot_state(slot)
    words = [state]
    if state == "ready" and slot.get("leased"):
        words = ["in use"]
    elif state == "ready" and slot.get("settling"):
        words = ["settling"]
    for key, word in (("in_flight", "in flight"), ("waiting", "waiting"), ("followed", "followed")):
        count = slot.get(key)
        if isinstance(count, int) and count > 0 and not (key == "in_flight" and words == ["in use"]):
            words.append(f"{count} {word}")
    return ", ".join(words)
