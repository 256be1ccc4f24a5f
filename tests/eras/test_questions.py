"""Servers ask in the middle of a call, and the person behind it is asked in the way of their client's era."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import anyio
import pytest
from mcp import Client, types
from mcp.shared.exceptions import MCPError
from person import Person, text_of
from roads import SDK_TEST, Visit, on_roads

pytestmark = SDK_TEST


@pytest.mark.proves("elicitation.form")
@on_roads()
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_a_form_is_shown_and_its_answer_reaches_the_tool(visit: Visit, action: Any) -> None:
    if action != "accept":
        visit.person.elicited = lambda params: types.ElicitResult(action=action)
    answer = text_of(await visit.client.call_tool("elicit_form", {"who": "the cat"}))
    assert answer == ("name: accept(name=Ada's name)" if action == "accept" else f"name: {action}()")
    [params] = visit.person.asked
    assert isinstance(params, types.ElicitRequestFormParams)
    assert params.message == "What is the name of the cat?"
    assert params.requested_schema == {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }


@pytest.mark.proves("elicitation.url")
@on_roads()
async def test_a_page_to_visit_is_shown(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("elicit_url", {}))
    assert answer == "page: accept()"
    [params] = visit.person.asked
    assert isinstance(params, types.ElicitRequestURLParams)
    assert (params.message, str(params.url)) == ("Please look here", "https://example.org/look")
    # Session revisions require an id, 2026-07-28 has none.
    assert (params.elicitation_id is not None) == (visit.road.client == "session")


@pytest.mark.proves("elicitation.required")
@on_roads(client="session", server="session")
async def test_a_session_client_is_told_to_send_the_person_to_a_page_first(visit: Visit) -> None:
    with pytest.raises(MCPError) as refused:
        await visit.client.call_tool("page_first", {"key": (key := uuid4().hex)})
    assert refused.value.error.code == types.URL_ELICITATION_REQUIRED
    [place] = refused.value.error.data["elicitations"]
    assert (place["url"], place["elicitationId"]) == ("https://example.org/first", key)
    assert text_of(await visit.client.call_tool("page_first", {"key": key})) == "welcome back"


@pytest.mark.proves("elicitation.required")
@on_roads(client="stateless", server="session")
async def test_a_stateless_client_is_asked_to_visit_the_page_and_the_call_is_made_again(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("page_first", {"key": uuid4().hex}))
    assert answer == "welcome back"
    [params] = visit.person.asked
    assert isinstance(params, types.ElicitRequestURLParams)
    assert (params.message, str(params.url)) == ("First look here", "https://example.org/first")


@pytest.mark.proves("elicitation.complete")
@on_roads(client="session", server="session")
async def test_a_session_client_hears_that_the_page_was_visited(visit: Visit) -> None:
    assert text_of(await visit.client.call_tool("page_done", {})) == "told"
    await visit.person.wait_until(lambda: bool(visit.person.heard_of(types.ElicitCompleteNotification)))
    [heard] = visit.person.heard_of(types.ElicitCompleteNotification)
    assert heard.params.elicitation_id == "visit-1"


@pytest.mark.proves("elicitation.complete")
@on_roads(client="session", server="stateless")
async def test_a_session_client_hears_when_a_stateless_server_asks_for_the_page_no_more(visit: Visit) -> None:
    key = uuid4().hex
    said: list[str] = []

    async def call() -> None:
        said.append(text_of(await visit.client.call_tool("page_until_seen", {"key": key})))

    async with anyio.create_task_group() as group:
        group.start_soon(call, name="call")
        await visit.person.wait_until(lambda: len(visit.person.asked) == 1)
        visit.house.journal.let_go(key)
    await visit.person.wait_until(lambda: bool(visit.person.heard_of(types.ElicitCompleteNotification)))
    assert said == ["seen"]
    [params] = visit.person.asked
    [heard] = visit.person.heard_of(types.ElicitCompleteNotification)
    assert heard.params.elicitation_id == params.elicitation_id


@pytest.mark.shows_gap("elicitation.complete")
@on_roads(client="stateless", server="session")
async def test_a_stateless_client_hears_nothing_of_a_visited_page(visit: Visit) -> None:
    assert text_of(await visit.client.call_tool("page_done", {})) == "told"
    assert visit.person.heard == []


@pytest.mark.proves("sampling")
@on_roads()
async def test_the_model_of_the_client_is_asked(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("sample", {}))
    assert answer == "model: Ada to 'Say something'"
    [params] = visit.person.asked
    assert params.max_tokens == 9


@pytest.mark.proves("roots")
@on_roads()
async def test_the_roots_of_the_client_are_listed(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("list_roots", {}))
    assert answer == "roots: file:///home/Ada"
    assert visit.person.asked == ["roots"]


@pytest.mark.proves("roots.changed")
@on_roads(client="session", server="session")
async def test_a_session_server_hears_of_changed_roots(visit: Visit) -> None:
    heard = len(visit.house.journal.entries("roots-changed"))
    await visit.client.send_roots_list_changed()
    await visit.person.wait_until(lambda: len(visit.house.journal.entries("roots-changed")) > heard)


@pytest.mark.shows_gap("roots.changed")
@on_roads(client="session", server="stateless")
async def test_a_stateless_server_finds_changed_roots_when_it_asks(visit: Visit) -> None:
    visit.person.name = "Eve"
    await visit.client.send_roots_list_changed()
    assert text_of(await visit.client.call_tool("list_roots", {})) == "roots: file:///home/Eve"
    visit.person.name = "Ada"
    assert visit.house.journal.entries("roots-changed") == []


@pytest.mark.proves("questions.together")
@on_roads()
async def test_several_questions_at_once_each_get_their_answer(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("ask_together", {}))
    assert answer == "name: accept(name=Ada's name); model: Ada to 'A greeting, please'; roots: file:///home/Ada"
    assert len(visit.person.asked) == 3


@pytest.mark.proves("questions.rounds")
@on_roads()
async def test_each_round_is_asked_with_the_answer_of_the_one_before(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("ask_in_rounds", {}))
    word = "accept(word=Ada's word)"
    assert answer == "; ".join([word] * 3)
    assert [params.message for params in visit.person.asked] == [
        "Round 1 after nothing",
        f"Round 2 after {word}",
        f"Round 3 after {word}",
    ]


@pytest.mark.proves("questions.progress")
@on_roads()
async def test_progress_goes_on_around_a_question(visit: Visit) -> None:
    answer = await visit.client.call_tool("ask_while_reporting", {}, progress_callback=visit.person.on_progress)
    assert text_of(answer) == "go: accept(go=Ada's go)"
    told = [message for _, _, message in visit.person.progress]
    # A stateless server begins again with each round. To a session's client it is one call, whose progress has to rise.
    again = ["before"] if visit.road.client == visit.road.server == "stateless" else []
    assert told == ["before", *again, "after", "done"]


@pytest.mark.proves("questions.prompt")
@on_roads()
async def test_a_prompt_may_ask(visit: Visit) -> None:
    [message] = (await visit.client.get_prompt("asking_prompt")).messages
    assert isinstance(message.content, types.TextContent)
    assert message.content.text == "About accept(topic=Ada's topic)"


@pytest.mark.proves("questions.resource")
@on_roads()
async def test_a_resource_may_ask(visit: Visit) -> None:
    [content] = (await visit.client.read_resource("eras://asking")).contents
    assert isinstance(content, types.TextResourceContents)
    assert content.text == "accept(reason=Ada's reason)"


@pytest.mark.proves("questions.aside")
@on_roads(server="session")
async def test_a_question_that_names_no_request_goes_to_the_client_whose_call_runs_alone(visit: Visit) -> None:
    answer = text_of(await visit.client.call_tool("ask_aside", {}))
    assert answer == "roots: file:///home/Ada"
    assert visit.person.asked == ["roots"]


@pytest.mark.proves("questions.own")
@on_roads()
async def test_calls_that_ask_at_the_same_time_on_one_client_get_their_own_answers(visit: Visit) -> None:
    said: dict[str, str] = {}

    def named(params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": params.message[len("What is the name of ") : -1]})

    visit.person.elicited = named

    async def call(who: str) -> None:
        said[who] = text_of(await visit.client.call_tool("elicit_form", {"who": who}))

    people = [f"person {number}" for number in range(4)]
    async with anyio.create_task_group() as group:
        for who in people:
            group.start_soon(call, who, name=who)
    assert said == {who: f"name: accept(name={who})" for who in people}


@pytest.mark.proves("abilities.undeclared")
@on_roads()
@pytest.mark.parametrize("declared", [(), ("sampling",)], ids=["nothing", "sampling only"])
async def test_an_ability_that_was_not_declared_is_never_used(visit: Visit, declared: tuple[str, ...]) -> None:
    async with visit.person.client(visit.transport, visit.road.client, abilities=declared) as client:
        _answer_all_the_same(client, visit)
        for ability, tool in (("elicitation", "elicit_form"), ("sampling", "sample"), ("roots", "list_roots")):
            visit.person.asked.clear()
            try:
                answer = await client.call_tool(tool, {})
            except MCPError as refused:
                assert ability not in declared
                assert refused.error.code != types.CONNECTION_CLOSED  # noqa: PT017 - either way of refusing will do
            else:
                assert answer.is_error == (ability not in declared)
            assert len(visit.person.asked) == (ability in declared)
        assert text_of(await client.call_tool("echo", {})) == "echo"


def _answer_all_the_same(client: Client, visit: Visit) -> None:
    """Callbacks that the SDK did not declare: if the question comes, it is heard."""
    session: Any = client.session
    session._elicitation_callback = visit.person.on_elicit
    session._sampling_callback = visit.person.on_sample
    session._list_roots_callback = visit.person.on_roots


@pytest.mark.proves("questions.refused")
@on_roads(client="session", server="session")
async def test_a_session_server_hears_the_error_by_which_a_session_client_refuses(visit: Visit) -> None:
    visit.person.elicited = lambda params: types.ErrorData(code=-1, message="not today")
    answer = await visit.client.call_tool("elicit_form", {})
    assert text_of(answer) == "refused -1"


@pytest.mark.shows_gap("questions.refused")
@on_roads(client="session", server="stateless")
async def test_a_stateless_server_hears_of_an_error_only_that_the_form_was_cancelled(visit: Visit) -> None:
    visit.person.elicited = lambda params: types.ErrorData(code=-1, message="not today")
    assert text_of(await visit.client.call_tool("elicit_form", {})) == "name: cancel()"


@pytest.mark.shows_gap("questions.refused")
@on_roads(client="session", server="stateless")
async def test_any_other_question_refused_by_an_error_ends_the_call(visit: Visit) -> None:
    visit.person.sampled = lambda params: types.ErrorData(code=-1, message="not today")
    with pytest.raises(MCPError, match="not today"):
        await visit.client.call_tool("sample", {})
    assert text_of(await visit.client.call_tool("echo", {})) == "echo"


@pytest.mark.shows_gap("questions.refused")
@on_roads(client="stateless")
async def test_a_stateless_client_has_no_way_to_refuse_by_an_error(visit: Visit) -> None:
    """Its SDK gives the call up and sends nothing; a session server's call ends with its time, `test_held_calls.py`."""
    visit.person.elicited = lambda params: types.ErrorData(code=-1, message="not today")
    with pytest.raises(MCPError, match="not today"):
        await visit.client.call_tool("elicit_form", {})
    assert text_of(await visit.client.call_tool("echo", {})) == "echo"


@pytest.mark.proves("questions.own-client")
@on_roads()
async def test_two_clients_that_call_the_same_tool_at_once_are_each_asked_their_own_question(visit: Visit) -> None:
    people = [Person(name) for name in ("Bea", "Cyd")]
    said: list[tuple[str, str]] = []

    async def call(client: Client, name: str) -> None:
        said.append((name, text_of(await client.call_tool("elicit_form", {"who": name}))))

    async with (
        people[0].client(visit.transport, visit.road.client) as bea,
        people[1].client(visit.transport, visit.road.client) as cyd,
        anyio.create_task_group() as group,
    ):
        for _ in range(4):
            group.start_soon(call, bea, "Bea", name="Bea")
            group.start_soon(call, cyd, "Cyd", name="Cyd")
    assert sorted(said) == sorted([(name, f"name: accept(name={name}'s name)") for name in ("Bea", "Cyd")] * 4)
    for person in people:
        assert [params.message for params in person.asked] == [f"What is the name of {person.name}?"] * 4


@pytest.mark.proves("cancel.during-question")
@on_roads(client="session")
async def test_a_call_given_up_while_a_question_is_open_goes_no_further(visit: Visit) -> None:
    key = uuid4().hex
    journal = visit.house.journal
    visit.person.gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(visit.client.call_tool, "elicit_form", {"key": key}, name="asks")
        await visit.person.wait_until(lambda: len(visit.person.asked) == 1)
        group.cancel_scope.cancel()
    if visit.road.server == "session":
        await journal.wait_entry("cancelled", key)
    visit.person.gate.set()
    assert text_of(await visit.client.call_tool("elicit_form", {})) == "name: accept(name=Ada's name)"
    assert journal.entries("answered", key) == []
