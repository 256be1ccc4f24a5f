"""Clients that go away in the middle, and servers that ask them all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from person import Person, text_of
from roads import SDK_TEST, Visit, on_roads

pytestmark = SDK_TEST
ENDED = ("cancelled", "refused", "left-asking")


async def wait_ended(visit: Visit, key: str) -> None:
    """Until the server's call is over in some way."""
    journal = visit.house.journal
    await visit.person.wait_until(lambda: any(journal.entries(what, key) for what in ENDED))


async def leave_during(
    visit: Visit, person: Person, tool: str, key: str, begun: Callable[[], Awaitable[object]]
) -> None:
    """Somebody connects, calls, and goes away without a word about the call as soon as it has begun."""

    async def call(client: Client) -> None:
        with pytest.raises(MCPError):
            await client.call_tool(tool, {"key": key})

    async with anyio.create_task_group() as group, person.client(visit.transport, visit.road.client) as client:
        group.start_soon(call, client, name="call")
        await begun()


@pytest.mark.proves("gone.call")
@on_roads()
async def test_the_call_of_a_client_that_vanished_ends_at_the_server(visit: Visit) -> None:
    key = uuid4().hex
    await leave_during(visit, Person("Bea"), "wait", key, lambda: visit.house.journal.wait_entry("started", key))
    await wait_ended(visit, key)
    assert text_of(await visit.client.call_tool("echo", {})) == "echo"


@pytest.mark.proves("gone.asked")
@on_roads()
async def test_a_server_that_asks_after_its_client_has_gone_asks_nobody(visit: Visit) -> None:
    key = uuid4().hex
    journal = visit.house.journal
    other = Person("Bea")
    await leave_during(visit, other, "ask_when_told", key, lambda: journal.wait_entry("started", key))
    journal.let_go(key)
    await wait_ended(visit, key)
    assert text_of(await visit.client.call_tool("elicit_form", {})) == "name: accept(name=Ada's name)"
    assert other.asked == []
    assert [params.message for params in visit.person.asked] == ["What is the name of you?"]
    assert journal.entries("answered", key) == []


@pytest.mark.proves("gone.while-asked")
@on_roads(client="session")
async def test_a_question_that_is_open_when_its_client_goes_is_answered_by_nobody_else(visit: Visit) -> None:
    key = uuid4().hex
    other = Person("Bea")
    other.gate = anyio.Event()
    await leave_during(visit, other, "elicit_form", key, lambda: other.wait_until(lambda: len(other.asked) == 1))
    if visit.road.server == "session":
        await wait_ended(visit, key)
    assert text_of(await visit.client.call_tool("elicit_form", {})) == "name: accept(name=Ada's name)"
    # The SDK answers an open question by an error when it leaves, which a stateless server hears as a cancelled form.
    assert [each["said"] for each in visit.house.journal.entries("answered", key)] in ([], ["name: cancel()"])
    assert [params.message for params in visit.person.asked] == ["What is the name of you?"]
