"""Who shares a server, as a person reads it."""

from __future__ import annotations

import pytest

from tidegate.cli.sharing import sharing
from tidegate.cli.terminal import width

BACKEND = {
    "backend": "files",
    "isolation": "auto",
    "keeps_session": True,
    "own_connections": 3,
    "max_connections": 4,
}


def slot(serves: str, why: str, **more: object) -> dict[str, object]:
    return {"serves": serves, "why": why, "state": "ready", "revision": "2025-11-25", **more}


SLOTS = [
    slot("shared", "nothing can be asked of them"),
    slot(
        "session", "can be asked", client={"principal": "bob", "transport": "http", "name": "x\x1b[2J", "version": "1"}
    ),
    slot(
        "lane",
        "can be asked; one request at a time",
        client={"principal": "ann"},
        abilities=["elicitation.form", "sampling"],
        leased=True,
        in_flight=1,
        waiting=2,
        followed=3,
    ),
    slot("lane", "its requests overlap", client={"principal": "ann"}, settling=True),
    slot("session", "has tasks of its own", client={"principal": "eve", "transport": "sse", "name": "n" * 500}),
]


def shown(room: int | None, slots: list[dict[str, object]] | None = None, **more: object) -> list[str]:
    """The lines below the blank one."""
    lines = sharing([BACKEND | {"slots": SLOTS if slots is None else slots} | more], room)
    return ["".join(span.text for span in line) for line in lines][1:]


def test_each_connection_has_a_line_with_whom_it_serves_and_why() -> None:
    heading, head, *lines = shown(None)
    assert heading == 'files: isolation "auto", 3 of 4 connections of single clients'
    assert head.split() == ["SERVES", "STATE", "SPEAKS", "WHY"]
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert cells[:4] == [
        ["all who cannot be asked", "ready", "2025-11-25", "nothing can be asked of them"],
        ["bob, http, x\\x1b[2J 1", "ready", "2025-11-25", "can be asked"],
        [
            "ann",
            "in use, 2 waiting, 3 followed",
            "2025-11-25",
            "can be asked; one request at a time (elicitation.form, sampling)",
        ],
        ["ann", "settling", "2025-11-25", "its requests overlap"],
    ]
    assert cells[4][0].endswith("nnn…")


@pytest.mark.parametrize("room", [20, 40, 60, 80, 100, 120, 200])
def test_nothing_but_names_is_cut_in_a_window(room: int) -> None:
    lines = shown(room)
    assert max(map(width, lines)) <= max(room, 40)
    words = " ".join(" ".join(lines).split())
    for why in ("nothing can be asked of them", "has tasks of its own", "its requests overlap"):
        assert why in words
    assert "(elicitation.form, sampling)" in words


def test_whom_a_connection_serves_depends_on_the_setting_and_the_server() -> None:
    assert "everybody" in shown(None, isolation="shared")[2]
    stateless = [slot("stateless", "no session is kept")]
    assert "  stateless clients  " in shown(None, stateless)[2]
    heading, _, line = shown(None, stateless, keeps_session=None)
    assert heading == 'files: isolation "auto"'
    assert "  everybody  " in line


def test_a_backend_that_nobody_needed_yet_has_no_table() -> None:
    assert shown(None, []) == []
