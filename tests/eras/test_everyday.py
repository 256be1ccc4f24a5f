"""What every client does with every server: opening, lists, calls, prompts, resources, completion, progress."""

from __future__ import annotations

import json
from uuid import uuid4

import anyio
import pytest
from clients import HttpClient
from heard import within
from houses import Houses
from mcp import types
from mcp.shared.exceptions import MCPError
from person import REVISION, text_of
from roads import ROADS, SDK_TEST, Road, Visit, on_roads

pytestmark = SDK_TEST


@pytest.mark.proves("open")
@on_roads()
async def test_a_client_opens_in_its_own_revision_and_learns_what_the_server_has(visit: Visit) -> None:
    client = visit.client
    assert client.protocol_version == REVISION[visit.road.client]
    capabilities = client.server_capabilities
    assert capabilities.tools is not None
    assert capabilities.prompts is not None
    assert capabilities.resources is not None
    assert capabilities.completions is not None
    assert client.instructions is not None
    assert f"speaks the {visit.road.server} era only" in client.instructions


@pytest.mark.proves("lists")
@on_roads()
async def test_lists_are_complete(visit: Visit) -> None:
    client = visit.client
    tools = [tool.name for tool in (await client.list_tools()).tools]
    assert {"echo", "elicit_form", "wait"} <= set(tools)
    assert len(tools) == len(set(tools))
    assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["greet", "asking_prompt"]
    uris = [resource.uri for resource in (await client.list_resources()).resources]
    assert uris == ["eras://plain", "eras://watched", "eras://other", "eras://asking"]
    templates = (await client.list_resource_templates()).resource_templates
    assert [template.uri_template for template in templates] == ["eras://item/{id}"]


@pytest.mark.proves("tools")
@on_roads()
async def test_a_tool_gets_its_arguments_and_gives_its_result(visit: Visit) -> None:
    sent = {"é": [1, 2.5, None, {"deep": "\u2028"}], "big": 2**53 + 1}
    answer = await visit.client.call_tool("echo", sent)
    assert answer.structured_content == sent
    assert text_of(answer) == "echo"


@pytest.mark.proves("prompts")
@on_roads()
async def test_a_prompt_is_filled_in(visit: Visit) -> None:
    [message] = (await visit.client.get_prompt("greet", {"name": "Bea"})).messages
    assert isinstance(message.content, types.TextContent)
    assert message.content.text == "Greet Bea."


@pytest.mark.proves("resources")
@on_roads()
async def test_a_resource_is_read_by_its_uri_and_by_its_template(visit: Visit) -> None:
    for uri, line in (("eras://plain", "plain"), ("eras://item/7", "item 7")):
        [content] = (await visit.client.read_resource(uri)).contents
        assert isinstance(content, types.TextResourceContents)
        assert content.text == line


@pytest.mark.proves("completion")
@on_roads()
async def test_an_argument_is_completed(visit: Visit) -> None:
    prompt = types.PromptReference(type="ref/prompt", name="greet")
    answer = await visit.client.complete(prompt, {"name": "name", "value": "Ad"}, {"other": "x"})
    assert answer.completion.values == ["Ada", "Adam", "x"]
    template = types.ResourceTemplateReference(type="ref/resource", uri="eras://item/{id}")
    answer = await visit.client.complete(template, {"name": "id", "value": "B"})
    assert answer.completion.values == ["Bea"]


@pytest.mark.proves("progress")
@on_roads()
async def test_progress_reaches_the_call_that_asked_for_it_and_no_other(visit: Visit) -> None:
    mine: list[tuple[float, float | None, str | None]] = []
    others: list[tuple[float, float | None, str | None]] = []

    async def hear_mine(progress: float, total: float | None, message: str | None) -> None:
        mine.append((progress, total, message))

    async def hear_other(progress: float, total: float | None, message: str | None) -> None:
        others.append((progress, total, message))

    async def other() -> None:
        await visit.client.call_tool("echo", {}, progress_callback=hear_other)

    async with anyio.create_task_group() as group:
        group.start_soon(other, name="other call")
        answer = await visit.client.call_tool("report", {}, progress_callback=hear_mine)
    assert text_of(answer) == "reported"
    assert mine == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]
    assert others == []


@pytest.mark.proves("errors.tool")
@on_roads()
async def test_a_failed_tool_says_so_in_its_result(visit: Visit) -> None:
    answer = await visit.client.call_tool("fail", {})
    assert answer.is_error
    assert text_of(answer) == "it did not work"


def how(road: Road) -> pytest.MarkDecorator:
    """The SDK gives up a call by `notifications/cancelled`; stateless over HTTP, by closing the stream."""
    by_stream = road.client == "stateless" and road.way_in == "http"
    return pytest.mark.proves("cancel.stream" if by_stream else "cancel.notification")


@pytest.mark.parametrize(
    "_visit", [pytest.param(road, marks=how(road)) for road in ROADS], indirect=True, ids=map(str, ROADS)
)
async def test_a_call_that_is_given_up_is_cancelled_at_the_server(visit: Visit) -> None:
    key = uuid4().hex
    async with anyio.create_task_group() as group:
        group.start_soon(visit.client.call_tool, "wait", {"key": key}, name="waits")
        await visit.house.journal.wait_entry("started", key)
        group.cancel_scope.cancel()
    await visit.house.journal.wait_entry("cancelled", key)
    assert text_of(await visit.client.call_tool("echo", {})) == "echo"


@pytest.mark.proves("cancel.stream")
@pytest.mark.parametrize(
    "road", [road for road in ROADS if road.client == "session" and road.way_in == "http"], ids=str
)
async def test_a_session_call_whose_stream_is_closed_before_anything_was_said_on_it_is_cancelled(
    houses: Houses, road: Road
) -> None:
    """By a raw client. Its answer could never arrive: without an event there is nothing to resume from."""
    key = uuid4().hex
    house = houses.open(road.server, road.way_out)
    raw = HttpClient(house.gateway.http, "session")
    try:
        await raw.start()
        pending = raw.tool("wait", {"key": key})
        await house.journal.wait_entry("started", key)
        assert pending.http is not None
        pending.http.close()
        await house.journal.wait_entry("cancelled", key)
        await within(raw.open("DELETE", raw.headers(), b"", None).ended.wait())
    finally:
        raw.close()


@pytest.mark.proves("cancel.only-its-own")
@on_roads()
async def test_another_call_goes_on_when_one_is_cancelled(visit: Visit) -> None:
    keys = {name: uuid4().hex for name in ("one", "two")}
    journal = visit.house.journal
    async with anyio.create_task_group() as group:
        scopes = {}
        for name, key in keys.items():
            scopes[name] = anyio.CancelScope()

            async def call(scope: anyio.CancelScope = scopes[name], key: str = key) -> None:
                with scope:
                    await visit.client.call_tool("ask_when_told", {"key": key})

            group.start_soon(call, name=name)
        # A server that cannot tell whose question it asks gets one asking call at a time on a connection.
        for key in keys.values():
            await journal.wait_entry("started", key)
        scopes["one"].cancel()
        await journal.wait_entry("cancelled", keys["one"])
        journal.let_go(keys["two"])
        await journal.wait_entry("answered", keys["two"])
    assert journal.entries("cancelled", keys["two"]) == []
    assert [params.message for params in visit.person.asked] == ["Still there?"]


@pytest.mark.proves("ping")
@on_roads(client="session")
async def test_a_session_client_is_answered_its_ping(visit: Visit) -> None:
    assert await visit.client.send_ping() == types.EmptyResult()


@pytest.mark.shows_gap("ping")
@on_roads(client="stateless")
async def test_a_ping_is_no_method_for_a_stateless_client(visit: Visit) -> None:
    meta: types.RequestParamsMeta = {}
    with pytest.raises(MCPError) as refused:
        await visit.client.session.send_ping(meta=meta)
    assert refused.value.error.code == types.METHOD_NOT_FOUND


@pytest.mark.proves("abilities.declared")
@on_roads()
async def test_the_server_is_told_what_this_client_can_do(visit: Visit) -> None:
    seen = json.loads(text_of(await visit.client.call_tool("seen_of_client", {})))
    assert seen["revision"] == REVISION[visit.road.server]
    assert set(seen["capabilities"]) >= {"elicitation", "sampling", "roots"}
    assert set(seen["capabilities"]["elicitation"]) == {"form", "url"}
