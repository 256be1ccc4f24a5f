"""Log lines: at the level that the session set or the request carries, to nobody but the caller."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import anyio
import pytest
from mcp import types
from mcp.shared.exceptions import MCPError
from person import Person, text_of
from roads import ROADS, SDK_TEST, Visit, on_roads

pytestmark = SDK_TEST
LEVELS = ["debug", "info", "notice", "warning", "error"]
WANTED: tuple[types.LoggingLevel, ...] = ("warning", "debug")
LEVEL_KEY = "io.modelcontextprotocol/logLevel"


def lines(level: str) -> list[tuple[str, str]]:
    return [(each, f"at {each}") for each in LEVELS[LEVELS.index(level) :]]


def at(level: str) -> Any:
    return {LEVEL_KEY: level}


@pytest.mark.proves("logs.set-level")
@on_roads(client="session")
async def test_a_session_gets_lines_from_the_level_it_set(visit: Visit) -> None:
    async with visit.person.client(visit.transport, "session") as client:
        for level in WANTED:
            await client.set_logging_level(level)
            visit.person.logs.clear()
            await client.call_tool("log", {})
            await visit.person.wait_until(lambda level=level: len(visit.person.logs) >= len(lines(level)))  # type: ignore[misc]
            assert visit.person.logs == lines(level)


@pytest.mark.shows_gap("logs.set-level")
@on_roads(client="stateless")
async def test_a_stateless_client_has_no_level_to_set(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.set_logging_level("info")
    assert refused.value.error.code == types.METHOD_NOT_FOUND


@pytest.mark.proves("logs.by-request")
@on_roads(client="stateless")
async def test_a_request_gets_lines_from_the_level_it_carries(visit: Visit) -> None:
    for level in WANTED:
        visit.person.logs.clear()
        await visit.client.call_tool("log", {}, meta=at(level))
        await visit.person.wait_until(lambda level=level: len(visit.person.logs) >= len(lines(level)))  # type: ignore[misc]
        assert visit.person.logs == lines(level)
    visit.person.logs.clear()
    await visit.client.call_tool("log", {})
    await visit.client.call_tool("log", {}, meta=at("error"))
    await visit.person.wait_until(lambda: bool(visit.person.logs))
    assert visit.person.logs == lines("error")


@pytest.mark.proves("logs.only-its-caller")
@on_roads()
async def test_lines_of_a_call_reach_nobody_else(visit: Visit) -> None:
    other = Person("Bea")
    async with other.client(visit.transport, visit.road.client, log_level="debug") as theirs:
        if visit.road.client == "session":
            await visit.client.set_logging_level("debug")
            await theirs.set_logging_level("debug")
        more: dict[str, Any] = {"meta": at("debug")} if visit.road.client == "stateless" else {}
        assert text_of(await visit.client.call_tool("log", {}, **more)) == "logged"
        await visit.person.wait_until(lambda: len(visit.person.logs) >= len(LEVELS))
        assert visit.person.logs == lines("debug")
        assert text_of(await theirs.call_tool("echo", {})) == "echo"
    assert other.logs == []


async def lines_while_another_is_busy(visit: Visit) -> tuple[list[Any], list[Any]]:
    """Who calls gets, and who waits for an answer meanwhile."""
    other = Person("Bea")
    key = uuid4().hex
    more: dict[str, Any] = {"meta": at("debug")} if visit.road.client == "stateless" else {}
    async with other.client(visit.transport, visit.road.client, log_level="debug") as theirs:
        if visit.road.client == "session":
            await visit.client.set_logging_level("debug")
            await theirs.set_logging_level("debug")
        async with anyio.create_task_group() as group:
            group.start_soon(theirs.call_tool, "wait", {"key": key}, name="other")
            await visit.house.journal.wait_entry("started", key)
            await visit.client.call_tool("log", {}, **more)
            visit.house.journal.let_go(key)
    return visit.person.logs, other.logs


@pytest.mark.proves("logs.only-its-caller")
@pytest.mark.parametrize("_visit", ROADS, indirect=True, ids=str)
async def test_lines_of_a_call_reach_nobody_else_while_both_are_busy(visit: Visit) -> None:
    mine, others = await lines_while_another_is_busy(visit)
    assert set(mine) <= set(lines("debug"))
    assert others == []


@pytest.mark.shows_gap("logs.only-its-caller")
@pytest.mark.parametrize(
    "_visit",
    [road for road in ROADS if road.server == "stateless" and road.way_out == "stdio"],
    indirect=True,
    ids=str,
)
async def test_lines_that_no_call_can_be_shown_to_have_caused_reach_nobody(visit: Visit) -> None:
    assert await lines_while_another_is_busy(visit) == ([], [])
