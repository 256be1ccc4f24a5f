"""Changed lists and updated resources are told to those who asked for them."""

from __future__ import annotations

from uuid import uuid4

import anyio
import pytest
from mcp import types
from mcp.client.subscriptions import ResourceUpdated, Subscription, ToolsListChanged
from person import BOUND_S, Person, text_of
from roads import SDK_TEST, Visit, on_roads

pytestmark = SDK_TEST


def add_tool(visit: Visit) -> str:
    """The server has one more tool from now on; its name."""
    name = f"new_{uuid4().hex[:8]}"
    journal = visit.house.journal
    journal.write("tools", f"{journal.read('tools')} {name}")
    return name


async def touch(visit: Visit, name: str, heard: Subscription) -> str:
    """Changes a resource once and waits until its listener hears of it; the text it has then."""
    visit.house.journal.write(name, mark := uuid4().hex)
    assert await anext(aiter(heard)) == ResourceUpdated(uri=f"eras://{name}")
    return mark


@pytest.mark.proves("changes.lists")
@on_roads(client="session")
async def test_a_session_hears_of_a_changed_list_and_finds_the_new_tool(visit: Visit) -> None:
    person = visit.person
    # A child that does not run tells nothing.
    await visit.client.call_tool("echo", {})
    name = add_tool(visit)
    await person.wait_until(lambda: bool(person.heard_of(types.ToolListChangedNotification)))
    assert name in [tool.name for tool in (await visit.client.list_tools()).tools]
    assert text_of(await visit.client.call_tool(name, {})) == f"I am {name}"
    assert not person.heard_of(types.PromptListChangedNotification)


@pytest.mark.proves("changes.lists")
@on_roads(client="stateless")
async def test_a_listener_hears_of_a_changed_list_and_who_does_not_listen_hears_nothing(visit: Visit) -> None:
    quiet, other = Person("Quiet"), Person("Other")
    with anyio.fail_after(BOUND_S):
        async with (
            quiet.client(visit.transport, "stateless"),
            other.client(visit.transport, "stateless") as prompts_only,
            prompts_only.listen(prompts_list_changed=True),
            visit.client.listen(tools_list_changed=True) as heard,
        ):
            assert heard.honored.tools_list_changed
            # A child that does not run tells nothing.
            await visit.client.call_tool("echo", {})
            name = add_tool(visit)
            assert isinstance(await anext(aiter(heard)), ToolsListChanged)
            assert name in [tool.name for tool in (await visit.client.list_tools()).tools]
            assert text_of(await visit.client.call_tool(name, {})) == f"I am {name}"
    for silent in (quiet, other):
        assert not silent.heard_of(types.ToolListChangedNotification)


@pytest.mark.proves("changes.resources")
@on_roads(client="session")
async def test_a_session_hears_of_the_resource_it_subscribed_to_and_of_no_other(visit: Visit) -> None:
    person, journal, other = visit.person, visit.house.journal, Person("Bea")
    async with other.client(visit.transport, "session") as theirs:
        await visit.client.subscribe_resource("eras://watched")
        await theirs.subscribe_resource("eras://other")
        journal.write("watched", mark := uuid4().hex)
        await person.wait_until(lambda: bool(person.heard_of(types.ResourceUpdatedNotification)))
        [content] = (await visit.client.read_resource("eras://watched")).contents
        assert isinstance(content, types.TextResourceContents)
        assert content.text == mark
        journal.write("other", uuid4().hex)
        await other.wait_until(lambda: bool(other.heard_of(types.ResourceUpdatedNotification)))
        assert {str(each.params.uri) for each in other.heard_of(types.ResourceUpdatedNotification)} == {"eras://other"}
        await visit.client.unsubscribe_resource("eras://watched")
        person.heard.clear()
        other.heard.clear()
        await theirs.subscribe_resource("eras://watched")
        journal.write("watched", uuid4().hex)
        await other.wait_until(lambda: bool(other.heard_of(types.ResourceUpdatedNotification)))
    assert person.heard_of(types.ResourceUpdatedNotification) == []


@pytest.mark.proves("changes.resources")
@on_roads(client="stateless")
async def test_a_listener_hears_of_the_resource_it_named_and_of_no_other(visit: Visit) -> None:
    other = Person("Bea")
    with anyio.fail_after(BOUND_S):
        async with other.client(visit.transport, "stateless") as theirs:
            async with (
                visit.client.listen(resource_subscriptions=["eras://watched"]) as mine,
                theirs.listen(resource_subscriptions=["eras://other"]) as hers,
            ):
                assert mine.honored.resource_subscriptions == ["eras://watched"]
                mark = await touch(visit, "watched", mine)
                [content] = (await visit.client.read_resource("eras://watched")).contents
                assert isinstance(content, types.TextResourceContents)
                assert content.text == mark
                await touch(visit, "other", hers)
            visit.person.heard.clear()
            async with theirs.listen(resource_subscriptions=["eras://watched"]) as hers:
                await touch(visit, "watched", hers)
    assert visit.person.heard_of(types.ResourceUpdatedNotification) == []
