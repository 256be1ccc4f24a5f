"""A session server's call that is kept open while its stateless client is away: who may come back with its
`requestState`, when, how often, and with what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clients import HttpClient
from fronts import socket_client
from gateway_process import gateway
from houses import House, WayOut, house, server_table
from journal import Journal
from mcp import Client, types
from mcp.shared.exceptions import MCPError
from person import Person, text_of
from roads import SDK_TEST

pytestmark = SDK_TEST
CELL = "stateless-session"
WAYS_OUT: tuple[WayOut, ...] = ("stdio", "http")
TOKENS = {"alice": "alice-" + "a" * 32, "bob": "bob-" + "b" * 32}
CLIENTS = "".join(
    f'[clients.{name}]\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
    for name, token in TOKENS.items()
)
HASTE_S = 0.4
Answers = dict[str, Any]
NAMED: Answers = {"action": "accept", "content": {"name": "Zoe"}}


@pytest.fixture(scope="module", params=WAYS_OUT)
def patient(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Three calls of a client may wait; each test ends those that it began."""
    limits = "[limits]\nrate_per_s = 0\nsuspended_per_client = 3\n"
    with house("session", request.param, tmp_path_factory.mktemp("patient"), limits, CLIENTS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Calls wait a moment only."""
    limits = f"[limits]\nrate_per_s = 0\nsuspended_s = {HASTE_S}\n"
    with house("session", "stdio", tmp_path_factory.mktemp("hasty"), limits, CLIENTS) as running:
        yield running


def connected(where: House, name: str = "alice", person: Person | None = None) -> Any:
    """A stateless client of this person."""
    return (person or Person(name)).client(where.gateway.http, "stateless", token=TOKENS[name])


async def call(
    client: Client,
    tool: str = "elicit_form",
    key: str = "",
    *,
    answers: Answers | None = None,
    state: str | None = None,
) -> types.CallToolResult | types.InputRequiredResult:
    """One request and its answer, whatever it is."""
    responses = types.CallToolRequestParams.model_validate({"name": tool, "inputResponses": answers}).input_responses
    return await client.session.call_tool(
        tool, {"key": key}, input_responses=responses, request_state=state, allow_input_required=True
    )


async def asked(client: Client, tool: str = "elicit_form", key: str = "") -> tuple[str, dict[str, types.InputRequest]]:
    """State and questions of a call that was begun."""
    answer = await call(client, tool, key)
    assert isinstance(answer, types.InputRequiredResult)
    assert answer.request_state
    assert answer.input_requests
    return answer.request_state, dict(answer.input_requests)


async def refusal(client: Client, key: str = "", tool: str = "elicit_form", **more: Any) -> str:
    """The words of the refusal, which must be of invalid params."""
    with pytest.raises(MCPError) as refused:
        await call(client, tool, key, **more)
    assert refused.value.error.code == types.INVALID_PARAMS
    return refused.value.error.message


def done(answer: types.CallToolResult | types.InputRequiredResult) -> str:
    assert isinstance(answer, types.CallToolResult), answer
    return text_of(answer)


@pytest.mark.proves("state.opaque", cell=CELL)
async def test_a_state_tells_nothing_and_differs_each_time(patient: House) -> None:
    async with connected(patient) as client:
        begun = [await asked(client) for _ in range(2)]
        assert begun[0][0] != begun[1][0]
        for state, questions in begun:
            assert "alice" not in state
            assert "elicit_form" not in state
            answers = dict.fromkeys(questions, NAMED)
            assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("state.tampered", cell=CELL)
async def test_an_altered_state_is_refused_and_the_call_still_waits(patient: House) -> None:
    async with connected(patient) as client:
        state, questions = await asked(client)
        answers = dict.fromkeys(questions, NAMED)
        for place in (0, 4, len(state) // 2, len(state) - 6):
            other = "A" if state[place] != "A" else "B"
            words = await refusal(client, answers=answers, state=state[:place] + other + state[place + 1 :])
            assert "requestState" in words
        for foreign in ("", "tg1", "tg1..", "tg1.x.y", state[: len(state) // 2], state + "AAAA", "ü" * 50):
            assert "requestState" in await refusal(client, answers=answers, state=foreign)
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("state.other-request", cell=CELL)
async def test_a_state_is_good_for_its_own_request_only(patient: House) -> None:
    async with connected(patient) as client:
        state, questions = await asked(client)
        answers = dict.fromkeys(questions, NAMED)
        assert "another request" in await refusal(client, "other argument", answers=answers, state=state)
        assert "another request" in await refusal(client, "", "ask_when_told", answers=answers, state=state)
        with pytest.raises(MCPError, match="another request"):
            await client.session.get_prompt("asking_prompt", request_state=state, allow_input_required=True)
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("state.stolen", cell=CELL)
async def test_a_state_is_good_for_its_own_client_only(patient: House) -> None:
    async with connected(patient) as alice, connected(patient, "bob") as bob:
        state, questions = await asked(alice)
        answers = dict.fromkeys(questions, NAMED)
        assert "another client" in await refusal(bob, answers=answers, state=state)
        assert done(await call(alice, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("state.twice", cell=CELL)
async def test_a_state_that_was_used_is_refused(patient: House) -> None:
    key = uuid4().hex
    async with connected(patient) as client:
        state, questions = await asked(client, key=key)
        answers = dict.fromkeys(questions, NAMED)
        assert done(await call(client, key=key, answers=answers, state=state)) == "name: accept(name=Zoe)"
        words = await refusal(client, key, answers=answers, state=state)
        assert "without `requestState`" in words
    assert len(patient.journal.entries("answered", key)) == 1


@pytest.mark.proves("state.restart", cell=CELL)
async def test_a_state_from_before_a_restart_is_refused_and_says_so(tmp_path: Path) -> None:
    with server_table("session", "http", Journal(tmp_path)) as table:
        config = "[limits]\nrate_per_s = 0\n" + table + CLIENTS
        with gateway(config) as before:
            async with Person().client(before.http, "stateless", token=TOKENS["alice"]) as client:
                state, questions = await asked(client)
        with gateway(config) as after:
            async with Person().client(after.http, "stateless", token=TOKENS["alice"]) as client:
                words = await refusal(client, answers=dict.fromkeys(questions, NAMED), state=state)
                assert "restart" in words
                assert "without `requestState`" in words


@pytest.mark.proves("state.expired", cell=CELL)
async def test_who_comes_too_late_is_told_and_the_servers_call_is_cancelled(hasty: House) -> None:
    key = uuid4().hex
    async with connected(hasty) as client:
        state, questions = await asked(client, key=key)
        await hasty.journal.wait_entry("refused", key)
        words = await refusal(client, key, answers=dict.fromkeys(questions, NAMED), state=state)
        assert "expired" in words
        assert "without `requestState`" in words
        assert text_of(await client.call_tool("echo", {})) == "echo"
    assert hasty.journal.entries("answered", key) == []


@pytest.mark.shows_gap("cancel.during-question", cell=CELL)
async def test_between_two_rounds_nothing_can_be_cancelled_so_an_abandoned_call_ends_with_its_time(
    hasty: House,
) -> None:
    key = uuid4().hex
    async with connected(hasty) as client:
        await asked(client, key=key)
    await hasty.journal.wait_entry("refused", key)


@pytest.mark.proves("state.bounded", cell=CELL)
async def test_a_client_has_so_many_calls_waiting_and_no_more(patient: House) -> None:
    async def answer(client: Client, begun: tuple[str, dict[str, types.InputRequest]]) -> None:
        answers = dict.fromkeys(begun[1], NAMED)
        assert done(await call(client, answers=answers, state=begun[0])) == "name: accept(name=Zoe)"

    async with connected(patient) as alice, connected(patient, "bob") as bob:
        begun = [await asked(alice) for _ in range(4)]
        # The first one gave way to the last.
        gone = begun.pop(0)
        await refusal(alice, answers=dict.fromkeys(gone[1], NAMED), state=gone[0])
        await answer(bob, await asked(bob))
        for each in begun:
            await answer(alice, each)


@pytest.mark.proves("answers.some", cell=CELL)
async def test_what_was_not_answered_is_asked_again(patient: House) -> None:
    given = {
        "elicitation/create": NAMED,
        "sampling/createMessage": {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}},
        "roots/list": {"roots": [{"uri": "file:///home/zoe"}]},
    }
    async with connected(patient) as client:
        answer = await call(client, "ask_together")
        answered: list[str] = []
        while isinstance(answer, types.InputRequiredResult):
            questions = dict(answer.input_requests or {})
            assert not set(answered) & set(questions), "an answered question came again"
            key = max(questions)
            answered.append(key)
            answers = {key: given[questions[key].method]}
            answer = await call(client, "ask_together", answers=answers, state=answer.request_state)
        assert done(answer) == "name: accept(name=Zoe); model: hi; roots: file:///home/zoe"
        assert len(answered) == 3


@pytest.mark.proves("answers.some", cell=CELL)
async def test_who_brings_no_answer_is_asked_again(patient: House) -> None:
    async with connected(patient) as client:
        state, questions = await asked(client)
        again = await call(client, state=state)
        assert isinstance(again, types.InputRequiredResult)
        assert again.input_requests == questions
        answers = dict.fromkeys(questions, NAMED)
        assert done(await call(client, answers=answers, state=again.request_state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("answers.unknown", cell=CELL)
async def test_answers_to_what_was_not_asked_are_ignored(patient: House) -> None:
    async with connected(patient) as client:
        state, questions = await asked(client)
        strange = {"q999": {"action": "decline"}, "": {"action": "cancel"}, "name": {"roots": []}}
        answers = {**strange, **dict.fromkeys(questions, NAMED)}
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("answers.malformed", cell=CELL)
async def test_a_malformed_answer_is_refused_and_the_call_still_waits(patient: House) -> None:
    """By a raw client: the SDK would not send this."""
    raw = HttpClient(
        patient.gateway.http, "modern", capabilities={"elicitation": {}}, token=TOKENS["alice"], revision="2026-07-28"
    )
    try:
        request = {"name": "elicit_form", "arguments": {}}
        first = (await raw.call("tools/call", request)).result
        [key] = first["inputRequests"]
        retry = {**request, "requestState": first["requestState"]}
        wrong: tuple[Any, ...] = ("text", 7, None, [], True)
        for malformed in wrong:
            error = (await raw.call("tools/call", {**retry, "inputResponses": {key: malformed}})).error
            assert error["code"] == types.INVALID_PARAMS
            assert key in error["message"]
            if malformed is not None:
                error = (await raw.call("tools/call", {**retry, "inputResponses": malformed})).error
                assert error["code"] == types.INVALID_PARAMS
        answer = (await raw.call("tools/call", {**retry, "inputResponses": {key: NAMED}})).result
        assert answer["content"][0]["text"] == "name: accept(name=Zoe)"
        assert answer["resultType"] == "complete"
    finally:
        raw.close()


@pytest.mark.proves("questions.reconnect", cell=CELL)
async def test_a_held_call_outlives_the_connection_of_its_client(patient: House) -> None:
    async with connected(patient) as client:
        state, questions = await asked(client)
    async with connected(patient) as client:
        answers = dict.fromkeys(questions, NAMED)
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("questions.reconnect", cell=CELL)
async def test_a_held_call_outlives_a_tcp_connection(houses: Any) -> None:
    where: House = houses.open("session", "stdio")
    async with Person().client(socket_client(where.gateway.tcp), "stateless") as client:
        state, questions = await asked(client)
    async with Person().client(socket_client(where.gateway.tcp), "stateless") as client:
        answers = dict.fromkeys(questions, NAMED)
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("state.tampered", "state.opaque", cell="stateless-stateless")
async def test_between_stateless_peers_the_state_is_the_servers_own_and_it_refuses_what_was_altered(
    houses: Any,
) -> None:
    where: House = houses.open("stateless", "http")
    async with Person().client(where.gateway.http, "stateless") as client:
        state, questions = await asked(client)
        assert not state.startswith("tg1.")
        answers = dict.fromkeys(questions, NAMED)
        middle = len(state) // 2
        other = "A" if state[middle] != "A" else "B"
        with pytest.raises(MCPError):
            await call(client, answers=answers, state=state[:middle] + other + state[middle + 1 :])
        assert done(await call(client, answers=answers, state=state)) == "name: accept(name=Zoe)"


@pytest.mark.proves("answers.some", "answers.unknown", cell="stateless-stateless")
async def test_between_stateless_peers_some_and_unknown_answers_are_the_servers_to_judge(houses: Any) -> None:
    where: House = houses.open("stateless", "http")
    async with Person().client(where.gateway.http, "stateless") as client:
        state, questions = await asked(client, "ask_together")
        assert set(questions) == {"name", "model", "roots"}
        answers: Answers = {"name": NAMED, "strange": NAMED}
        answer = await call(client, "ask_together", answers=answers, state=state)
        assert isinstance(answer, types.InputRequiredResult)
        assert set(answer.input_requests or {}) == {"model", "roots"}
