"""Servers that want to sample, and the tool that does it where their client cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from clients import Pending
from gateway import House, house
from heard import Json, until, within
from judge import PASS, Judge, ask, guarded
from scripted_server import Received, ScriptedServer, tool
from test_filters import take_up

from tidegate.config.model_workers import capabilities_backend
from tidegate.config.snapshot import Capability, Limits, Sampling
from tidegate.config.snapshot import Client as TokenOwner
from tidegate.events import Event, ExchangeDone

pytestmark = pytest.mark.anyio

ASKED: Json = {
    "messages": [
        {"role": "user", "content": {"type": "text", "text": "Hi"}},
        {"role": "assistant", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
    ],
    "systemPrompt": "Be brief.",
    "maxTokens": 7,
    "temperature": 0.5,
    "stopSequences": ["."],
    "modelPreferences": {"hints": [{"name": "large"}]},
    "includeContext": "none",
}
ARGUMENTS: Json = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "one\ntwo"}],
    "system": "Be brief.",
    "max_tokens": 7,
    "temperature": 0.5,
    "stop": ["."],
}
ANSWER: Json = {
    "role": "assistant",
    "content": {"type": "text", "text": "Hello"},
    "model": "small",
    "stopReason": "maxTokens",
}
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
DATA_CLASS = "io.tidegate/data-class"
CHAT = Sampling(tool="chat")

ROADS = [
    ("session", "http", "session", "stdio"),
    ("session", "tcp", "session", "http"),
    ("modern", "http", "session", "stdio"),
    ("modern", "tcp", "session", "http"),
    ("modern", "http", "session", "sse"),
    ("session", "http", "modern", "stdio"),
    ("session", "tcp", "modern", "http"),
    ("modern", "http", "modern", "http"),
    ("modern", "tcp", "modern", "stdio"),
]
roads = pytest.mark.parametrize(("era", "way_in", "server_era", "way_out"), ROADS)
four = pytest.mark.parametrize(
    ("era", "way_in", "server_era", "way_out"),
    [ROADS[0], ROADS[2], ROADS[5], ROADS[7]],
    ids=["session to session", "stateless to session", "session to stateless", "stateless to stateless"],
)


@asynccontextmanager
async def asking_house(
    server_era: str, way_out: str, sampling: Sampling = CHAT, **more: Json
) -> AsyncIterator[tuple[House, ScriptedServer]]:
    """With a server `one` that may ask, and one that has the tool `chat`."""
    chat = ScriptedServer("modern", "chat", tools=(tool("chat"),))
    servers = (ScriptedServer(server_era), chat)
    fields = [{"prefix": ""}, {"prefix": ""}]
    async with house(*servers, transport=[way_out, "tcp"], fields=fields, sampling=sampling, **more) as home:
        yield home, chat


def says(call: Received, text: str = "Hello") -> None:
    """The tool `chat` answers."""
    said = {"role": "assistant", "content": text, "model": "small", "stop_reason": "length", "usage": {}}
    result = {"content": [{"type": "text", "text": text}], "structuredContent": said}
    call.reply(call.channel.server.complete(result))


def declared(call: Received) -> Json:
    """What the server may ask, as it was told."""
    if call.channel.server.era == "session":
        return call.channel.capabilities
    return call.params["_meta"][CAPABILITIES]


def wanting(*asked: tuple[str, str, Json], state: str = "s") -> Json:
    requests = {key: {"method": method, "params": params} for key, method, params in asked}
    return {"resultType": "input_required", "inputRequests": requests, "requestState": state}


async def asked_and_answered(
    home: House, chat: ScriptedServer, call: Received, params: Json = ASKED
) -> tuple[Received, Json]:
    """Lets the server of `call` ask, and `chat` answer. The call as it goes on, and what the server got."""
    if home.server.era == "session":
        future = call.ask("sampling/createMessage", params)
        says(await chat.next_call("tools/call"))
        return call, (await within(future))["result"]
    call.reply(wanting(("k", "sampling/createMessage", params)))
    says(await chat.next_call("tools/call"))
    again = await home.server.next_call()
    assert again.params["requestState"] == "s"
    return again, again.params["inputResponses"]["k"]


@roads
async def test_a_tool_answers_for_a_client_that_cannot(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era)
        for _ in range(3):
            pending = client.tool("echo", meta={"progressToken": "p"})
            call = await home.server.next_call()
            assert declared(call) == {"sampling": {}}
            call.progress(1)
            call, answer = await asked_and_answered(home, chat, call)
            assert answer == ANSWER
            asked = chat.said("tools/call")[-1].params
            assert (asked["name"], asked["arguments"]) == ("chat", ARGUMENTS)
            call.progress(1)
            call.progress(2)
            call.text("done")
            assert (await pending.reply()).text == "done"
        assert not len(client.questions)
        # To the client all rounds are one request, whose progress rises.
        heard = [notice["params"]["progress"] for notice in client.notices]
        assert heard == ([1, 1, 2] if server_era == "session" else [1, 2]) * 3
        assert home.daemon.gateway.admission.in_flight == 0


@four
async def test_a_call_that_asks_nothing_is_as_any_other(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, _):
        client = await home.client(way_in, era)
        for number in range(4):
            pending = client.tool("echo")
            (await home.server.next_call()).text(f"{number}")
            assert (await pending.reply()).text == f"{number}"
        relay = home.daemon.gateway.relay.native
        assert relay.relayed > 0 or not relay.on


@four
async def test_nothing_is_declared_where_nobody_samples(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out, Sampling()) as (home, _):
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert declared(call) == {}
        call.text("done")
        assert (await pending.reply()).text == "done"


async def sampled_by_client(home: House, client: Json, pending: Json, call: Received) -> Received:
    """The server asks, and the client itself answers. The call as it goes on."""
    sampled = {"role": "assistant", "content": {"type": "text", "text": "I"}, "model": "mine"}
    answer: asyncio.Future[Json] | None = None
    if home.server.era == "session":
        answer = call.ask("sampling/createMessage", ASKED)
    else:
        call.reply(wanting(("k", "sampling/createMessage", ASKED)))
    if client.era == "session":
        client.answer(await client.questions.wait(lambda item: True), sampled)
        last = pending
    else:
        result = (await pending.reply()).result
        ((key, _),) = result["inputRequests"].items()
        params = {"name": "echo", "arguments": {}, "inputResponses": {key: sampled}}
        last = client.begin("tools/call", params | {"requestState": result["requestState"]})
    if answer is not None:
        assert (await within(answer))["result"] == sampled
    else:
        call = await home.server.next_call()
        assert call.params["inputResponses"] == {"k": sampled}
    call.text("done")
    assert (await last.reply()).text == "done"
    return call


@four
async def test_a_client_that_can_is_asked_itself(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era, capabilities={"sampling": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        await sampled_by_client(home, client, pending, call)
        assert not len(chat.calls)


@four
async def test_always_means_those_that_can_as_well(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out, Sampling("chat", "always")) as (home, chat):
        client = await home.client(way_in, era, capabilities={"sampling": {"tools": {}}, "roots": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert declared(call)["sampling"] == {}
        assert "roots" in declared(call)
        call, answer = await asked_and_answered(home, chat, call)
        assert answer == ANSWER
        call.text("done")
        assert (await pending.reply()).text == "done"


@pytest.mark.parametrize("way_in", ["http", "tcp"])
async def test_a_stateless_client_is_asked_only_the_rest(way_in: str) -> None:
    async with asking_house("modern", "http") as (home, chat):
        client = await home.client(way_in, "modern", capabilities={"elicitation": {}})
        for _ in range(2):
            pending = client.tool("echo")
            call = await home.server.next_call()
            assert set(declared(call)) == {"elicitation", "sampling"}
            call.reply(wanting(("a", "elicitation/create", FORM), ("b", "sampling/createMessage", ASKED)))
            says(await chat.next_call("tools/call"))
            asked = (await pending.reply()).result
            assert asked["inputRequests"] == {"a": {"method": "elicitation/create", "params": FORM}}
            params = {"name": "echo", "arguments": {}, "inputResponses": {"a": ACCEPT}}
            last = client.begin("tools/call", params | {"requestState": asked["requestState"]})
            call = await home.server.next_call()
            assert call.params["requestState"] == "s"
            assert call.params["inputResponses"] == {"a": ACCEPT, "b": ANSWER}
            call.reply(wanting(("c", "sampling/createMessage", ASKED), state="t"))
            says(await chat.next_call("tools/call"), "Bye")
            call = await home.server.next_call()
            assert (call.params["requestState"], list(call.params["inputResponses"])) == ("t", ["c"])
            call.text("done")
            assert (await last.reply()).text == "done"
            again = client.begin("tools/call", params | {"requestState": asked["requestState"]})
            assert "has ended" in (await again.reply()).error["message"]
        assert len(home.daemon.gateway.calls.suspended) == 0


async def test_the_answers_that_wait_are_for_whoever_was_asked() -> None:
    async with asking_house("modern", "http") as (home, chat):
        client = await home.client("http", "modern", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.reply(wanting(("a", "elicitation/create", FORM), ("b", "sampling/createMessage", ASKED)))
        says(await chat.next_call("tools/call"))
        asked = (await pending.reply()).result
        params = {"name": "echo", "inputResponses": {"a": ACCEPT}, "requestState": asked["requestState"]}
        other = client.begin("tools/call", params | {"arguments": {"other": 1}})
        assert "belongs to another request" in (await other.reply()).error["message"]


@pytest.mark.parametrize("way_in", ["http", "tcp"])
async def test_a_session_s_client_is_asked_only_the_rest(way_in: str) -> None:
    async with asking_house("modern", "stdio") as (home, chat):
        client = await home.client(way_in, "session", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.reply(wanting(("a", "elicitation/create", FORM), ("b", "sampling/createMessage", ASKED)))
        says(await chat.next_call("tools/call"))
        question = await client.questions.wait(lambda item: True)
        assert question["method"] == "elicitation/create"
        client.answer(question, ACCEPT)
        call = await home.server.next_call()
        assert call.params["requestState"] == "s"
        assert call.params["inputResponses"] == {"a": ACCEPT, "b": ANSWER}
        call.text("done")
        assert (await pending.reply()).text == "done"


def is_error(call: Received) -> None:
    call.reply(call.channel.server.complete({"isError": True, "content": [{"type": "text", "text": "too hot"}]}))


@four
async def test_a_tool_that_fails_is_an_error_with_a_name(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era)
        for fail in (is_error, lambda call: call.fail(-32603, "too hot")):
            pending = client.tool("echo")
            call = await home.server.next_call()
            if server_era == "session":
                answer = call.ask("sampling/createMessage", ASKED)
                fail(await chat.next_call("tools/call"))
                error = (await within(answer))["error"]
                assert error["data"]["error"] == "question_unanswered"
                assert "too hot" not in error["message"]
                call.text("without")
                assert (await pending.reply()).text == "without"
            else:
                call.reply(wanting(("k", "sampling/createMessage", ASKED)))
                fail(await chat.next_call("tools/call"))
                error = (await pending.reply()).error
                assert "too hot" in error["message"]
                assert error["data"]["backend"] == "one"
                assert error["data"]["method"] == "sampling/createMessage"


@four
@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
        {"toolChoice": {"mode": "required"}},
        {"messages": [{"role": "user", "content": {"type": "image", "data": "AAAA", "mimeType": "image/png"}}]},
        {"messages": []},
        {"messages": [{"role": "system", "content": {"type": "text", "text": "x"}}]},
    ],
    ids=["tools", "tool choice", "image", "nothing", "role"],
)
async def test_what_a_text_model_cannot_be_asked_is_refused(
    era: str, way_in: str, server_era: str, way_out: str, odd: Json
) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        if server_era == "session":
            error = (await within(call.ask("sampling/createMessage", ASKED | odd)))["error"]
            assert (error["code"], error["data"]["error"]) == (-32602, "question_refused")
            call.text("without")
            assert (await pending.reply()).text == "without"
        else:
            call.reply(wanting(("k", "sampling/createMessage", ASKED | odd)))
            assert (await pending.reply()).error["data"]["cause"] == "question_refused"
        assert not len(chat.calls)


@four
async def test_it_is_done_in_the_caller_s_name_and_only_if_it_may(
    era: str, way_in: str, server_era: str, way_out: str
) -> None:
    owners = [
        TokenOwner("may", sha256(b"may").hexdigest(), tools=("echo", "chat")),
        TokenOwner("may-not", sha256(b"may-not").hexdigest(), tools=("echo",)),
    ]
    async with asking_house(server_era, way_out, owners=owners) as (home, chat):
        told: list[Event] = []
        home.daemon.events.subscribe(told.append)
        may = await home.client(way_in, era, token="may")
        pending = may.tool("echo")
        call = await home.server.next_call()
        call, _ = await asked_and_answered(home, chat, call)
        call.text("done")
        assert (await pending.reply()).text == "done"
        done = [(event.name, event.transport, event.principal) for event in told if isinstance(event, ExchangeDone)]
        assert ("chat", "gateway", "may") in done

        may_not = await home.client(way_in, era, token="may-not")
        pending = may_not.tool("echo")
        call = await home.server.next_call()
        if server_era == "session":
            assert "error" in await within(call.ask("sampling/createMessage", ASKED))
            call.text("without")
            assert (await pending.reply()).text == "without"
        else:
            assert declared(call) == {}
            call.reply(wanting(("k", "sampling/createMessage", ASKED)))
            assert (await pending.reply()).error
        assert len(chat.calls) == 1


@four
async def test_a_class_of_data_goes_with_the_question(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era)
        for said in ("patient", ["patient", "staff"]):
            pending = client.tool("echo", meta={DATA_CLASS: said})
            call = await home.server.next_call()
            call, _ = await asked_and_answered(home, chat, call)
            assert chat.said("tools/call")[-1].params["_meta"][DATA_CLASS] == said
            call.text("done")
            assert (await pending.reply()).text == "done"


@four
async def test_a_class_that_cannot_be_read_might_be_what_must_stay(
    era: str, way_in: str, server_era: str, way_out: str
) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client(way_in, era)
        pending = client.tool("echo", meta={DATA_CLASS: {"patient": True}})
        call = await home.server.next_call()
        if server_era == "session":
            assert "error" in await within(call.ask("sampling/createMessage", ASKED))
            call.text("without")
            assert (await pending.reply()).text == "without"
        else:
            call.reply(wanting(("k", "sampling/createMessage", ASKED)))
            assert DATA_CLASS in (await pending.reply()).error["message"]
        assert not len(chat.calls)


async def test_who_wants_more_than_the_model_can_say_gets_less() -> None:
    async with asking_house("modern", "http") as (home, chat):
        schema = {"type": "object", "properties": {"max_tokens": {"type": "integer", "maximum": 5}}}
        chat.offers["tools"] = [tool("chat", inputSchema=schema)]
        client = await home.client("http", "modern")
        pending = client.tool("echo")
        call, _ = await asked_and_answered(home, chat, await home.server.next_call())
        assert chat.said("tools/call")[-1].params["arguments"] == ARGUMENTS | {"max_tokens": 5}
        call.text("done")
        assert (await pending.reply()).text == "done"


@four
async def test_a_model_that_samples_gets_no_further_than_depth(
    era: str, way_in: str, server_era: str, way_out: str
) -> None:
    """The server samples with its own tool."""
    async with asking_house(server_era, way_out, Sampling("echo")) as (home, _):
        client = await home.client(way_in, era)
        pending = client.tool("echo")
        stack = []
        for _ in range(4):
            call = await home.server.next_call()
            if server_era == "session":
                stack.append((call, call.ask("sampling/createMessage", ASKED)))
            else:
                assert declared(call) == {"sampling": {}}
                call.reply(wanting(("k", "sampling/createMessage", ASKED)))
        call = await home.server.next_call()
        if server_era == "session":
            assert "error" in await within(call.ask("sampling/createMessage", ASKED))
            call.text("bottom")
            for upper, answer in reversed(stack):
                assert (await within(answer))["result"]["content"]["text"] == "bottom"
                upper.text("bottom")
            assert (await pending.reply()).text == "bottom"
        else:
            assert declared(call) == {}
            call.reply(wanting(("k", "sampling/createMessage", ASKED)))
            assert (await pending.reply()).error["data"]["cause"] == "question_unanswered"
        assert home.daemon.gateway.admission.in_flight == 0


@four
async def test_who_gives_up_stops_the_model(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out) as (home, chat):
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        if server_era == "session":
            call.ask("sampling/createMessage", ASKED)
        else:
            call.reply(wanting(("k", "sampling/createMessage", ASKED)))
        chatting = await chat.next_call("tools/call")
        client.cancel(pending)
        cancelled = await chat.wait_heard("notifications/cancelled")
        assert cancelled.params["requestId"] == chatting.id
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_server_that_takes_its_question_back_stops_the_model(era: str) -> None:
    async with asking_house("session", "stdio") as (home, chat):
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.ask("sampling/createMessage", ASKED)
        chatting = await chat.next_call("tools/call")
        call.notify("notifications/cancelled", {"requestId": "ask-1"})
        cancelled = await chat.wait_heard("notifications/cancelled")
        assert cancelled.params["requestId"] == chatting.id
        call.text("done")
        assert (await pending.reply()).text == "done"


async def test_of_several_calls_of_one_caller_any_may_have_asked() -> None:
    async with asking_house("session", "stdio") as (home, chat):
        one, two = await home.client("tcp", "session"), await home.client("http", "modern")
        first, second = one.tool("echo"), two.tool("echo")
        calls = [await home.server.next_call(), await home.server.next_call()]
        assert calls[0].channel is calls[1].channel
        answer = calls[0].ask("sampling/createMessage", ASKED)
        says(await chat.next_call("tools/call"))
        assert (await within(answer))["result"] == ANSWER
        for call in calls:
            call.text("done")
        assert (await first.reply()).text == (await second.reply()).text == "done"


async def test_of_calls_of_several_callers_it_cannot_be_told() -> None:
    owners = [TokenOwner(name, sha256(name.encode()).hexdigest()) for name in ("ada", "bob")]
    async with asking_house("session", "stdio", owners=owners) as (home, chat):
        clients = [await home.client("tcp", "session", token=name) for name in ("ada", "bob")]
        pending = [client.tool("echo") for client in clients]
        calls = [await home.server.next_call(), await home.server.next_call()]
        error = (await within(calls[0].ask("sampling/createMessage", ASKED)))["error"]
        assert "cannot be told" in error["message"]
        assert not len(chat.calls)
        for call in calls:
            call.text("done")
        for one in pending:
            assert (await one.reply()).text == "done"


async def test_of_calls_of_several_classes_it_cannot_be_told() -> None:
    async with asking_house("session", "stdio") as (home, chat):
        client = await home.client("tcp", "session")
        pending = [client.tool("echo", meta={DATA_CLASS: "patient"}), client.tool("echo")]
        calls = [await home.server.next_call(), await home.server.next_call()]
        error = (await within(calls[0].ask("sampling/createMessage", ASKED)))["error"]
        assert "cannot be told" in error["message"]
        assert not len(chat.calls)
        for call in calls:
            call.text("done")
        for one in pending:
            assert (await one.reply()).text == "done"


async def test_outside_any_request_nobody_s_rights_are_there() -> None:
    async with asking_house("session", "stdio") as (home, chat):
        client = await home.client("tcp", "session")
        await client.names()
        (channel,) = await home.server.wait_channels(1)
        assert channel.capabilities == {"sampling": {}}
        error = (await within(channel.ask("sampling/createMessage", ASKED)))["error"]
        assert "cannot be told" in error["message"]
        assert not len(chat.calls)


async def test_outside_any_request_a_session_s_own_connection_has_its_rights() -> None:
    async with asking_house("session", "stdio") as (home, chat):
        client = await home.client("tcp", "session", capabilities={"roots": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.text("done")
        assert (await pending.reply()).text == "done"
        answer = call.channel.ask("sampling/createMessage", ASKED)
        says(await chat.next_call("tools/call"))
        assert (await within(answer))["result"] == ANSWER


@four
async def test_a_reload_says_who_samples_from_now_on(era: str, way_in: str, server_era: str, way_out: str) -> None:
    async with asking_house(server_era, way_out, Sampling()) as (home, chat):
        client = await home.client(way_in, era)
        for sampling in (Sampling(), CHAT, Sampling(), CHAT):
            take_up(home, sampling=sampling)
            seen: Json = {"sampling": {}} if sampling.tool else {}
            for _ in range(2):
                pending = client.tool("echo")
                call = await home.server.next_call()
                assert declared(call) == seen
                if seen:
                    call, answer = await asked_and_answered(home, chat, call)
                    assert answer == ANSWER
                call.text("done")
                assert (await pending.reply()).text == "done"


async def test_a_server_that_goes_on_asking_is_ended() -> None:
    async with asking_house("modern", "stdio", limits=Limits(rate_per_s=0, drain_s=0.0)) as (home, chat):
        client = await home.client("tcp", "modern")
        pending = client.tool("echo")
        rounds = 0
        while not pending.answer.done():
            call = await home.server.next_call()
            call.reply(wanting(("k", "sampling/createMessage", ASKED), state=f"s{rounds}"))
            rounds += 1
            if rounds > 64:
                break
            says(await chat.next_call("tools/call"))
        assert "64 times" in (await pending.reply()).error["message"]


async def test_garbled_questions_end_the_call() -> None:
    async with asking_house("modern", "stdio") as (home, _):
        client = await home.client("tcp", "modern")
        garbled: Sequence[Json] = ([], {f"k{n}": {"method": "sampling/createMessage"} for n in range(33)})
        for requests in garbled:
            pending = client.tool("echo")
            call = await home.server.next_call()
            call.reply({"resultType": "input_required", "inputRequests": requests})
            assert "backend `one`" in (await pending.reply()).error["message"]


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_filter_a_person_and_a_model_have_their_say_in_turn(era: str) -> None:
    """The filter wants an approval of the call; the server asks a person and a model; the filter sees the chat, too."""
    judge = Judge(lambda seen: PASS if seen.call["approved"] or seen.call["tool"] == "chat" else ask("Go on?"))
    chat = ScriptedServer("modern", "chat", tools=(tool("chat"),))
    servers = (ScriptedServer("modern"), chat)
    fields: list[Json] = [{"prefix": ""}, {"prefix": ""}]
    more: Json = {"transport": ["http", "tcp"], "fields": fields, "sampling": CHAT}
    async with guarded(*servers, judges={"judge": judge}, **more) as home:
        client = await home.client("http", era, capabilities={"elicitation": {}})
        pending = client.tool("echo")

        async def answer(pending: Pending, number: int) -> tuple[Pending, str]:
            """What the person was asked, and the call as it goes on."""
            if era == "session":
                question = await client.questions.wait(lambda item: True, skip=number)
                client.answer(question, ACCEPT)
                return pending, question["params"]["message"]
            result = (await pending.reply()).result
            ((key, request),) = result["inputRequests"].items()
            params = {"name": "echo", "arguments": {}, "inputResponses": {key: ACCEPT}}
            retry = client.begin("tools/call", params | {"requestState": result["requestState"]})
            return retry, request["params"]["message"]

        pending, message = await answer(pending, 0)
        assert message.startswith("Go on?")
        call = await home.server.next_call()
        call.reply(wanting(("a", "elicitation/create", FORM), ("b", "sampling/createMessage", ASKED)))
        says(await chat.next_call("tools/call"))
        pending, message = await answer(pending, 1)
        assert message == "Name?"
        call = await home.server.next_call()
        assert call.params["requestState"] == "s"
        assert call.params["inputResponses"] == {"a": ACCEPT, "b": ANSWER}
        call.text("done")
        assert (await pending.reply()).text == "done"
        assert "chat" in [seen.call["tool"] for seen in judge.seen]


@four
async def test_a_capability_samples_here_or_in_the_cloud_and_what_must_stay_stays(
    era: str, way_in: str, server_era: str, way_out: str
) -> None:
    here = ScriptedServer("modern", "here", tools=(tool("chat"),))
    cloud = ScriptedServer("modern", "cloud", tools=(tool("chat"),))
    chat = Capability("chat", order=("here__chat", "cloud__chat"), stay=("patient",))
    async with house(
        ScriptedServer(server_era),
        here,
        cloud,
        transport=[way_out, "tcp", "tcp"],
        fields=[{"prefix": ""}, {}, {"remote": True}],
        backends=[capabilities_backend((chat,))],
        sampling=CHAT,
    ) as home:
        client = await home.client(way_in, era)
        for classes in ({}, {DATA_CLASS: "patient"}):
            pending = client.tool("echo", meta=classes)
            call = await home.server.next_call()
            answer: asyncio.Future[Json] | None = None
            if server_era == "session":
                answer = call.ask("sampling/createMessage", ASKED)
            else:
                call.reply(wanting(("k", "sampling/createMessage", ASKED)))
            (await here.next_call("tools/call")).fail(-32603, "out of memory")
            if not classes:
                says(await cloud.next_call("tools/call"))
            if answer is not None:
                said = await within(answer)
                assert ("error" in said) is bool(classes)
                call.text("done")
            elif not classes:
                (await home.server.next_call()).text("done")
            reply = await pending.reply()
            if server_era == "session" or not classes:
                assert reply.text == "done"
            else:
                assert reply.error["data"]["method"] == "sampling/createMessage"
        assert len(cloud.calls) == 1


@four
async def test_what_must_stay_is_not_sampled_elsewhere(era: str, way_in: str, server_era: str, way_out: str) -> None:
    """The server serves a capability whose data must stay, and the tool that samples is in the cloud."""
    cloud = ScriptedServer("modern", "cloud", tools=(tool("chat"),))
    capability = Capability("ocr", order=("echo",), stay=("patient",))
    async with house(
        ScriptedServer(server_era),
        cloud,
        transport=[way_out, "tcp"],
        fields=[{"prefix": ""}, {"remote": True}],
        backends=[capabilities_backend((capability,))],
        sampling=Sampling("cloud__chat"),
    ) as home:
        client = await home.client(way_in, era)
        for classes in ({DATA_CLASS: "patient"}, {}):
            pending = client.tool("ocr", meta=classes)
            call = await home.server.next_call()
            if server_era == "session":
                answer = call.ask("sampling/createMessage", ASKED)
                if not classes:
                    says(await cloud.next_call("tools/call"))
                assert ("error" in await within(answer)) is bool(classes)
                call.text("done")
            else:
                call.reply(wanting(("k", "sampling/createMessage", ASKED)))
                if not classes:
                    says(await cloud.next_call("tools/call"))
                    (await home.server.next_call()).text("done")
            reply = await pending.reply()
            assert ("result" in reply.message) is (server_era == "session" or not classes)
        assert len(cloud.calls) == 1


@pytest.mark.parametrize(("who", "answered"), [("ada", True), ("bob", False)])
async def test_a_late_question_may_belong_to_what_another_gave_up(who: str, answered: bool) -> None:
    owners = [TokenOwner(name, sha256(name.encode()).hexdigest()) for name in ("ada", "bob")]
    async with asking_house("session", "stdio", owners=owners) as (home, chat):
        ada = await home.client("tcp", "session", token="ada")
        pending = ada.tool("echo")
        await home.server.next_call()
        ada.cancel(pending)
        await home.server.wait_heard("notifications/cancelled")
        other = await home.client("tcp", "session", token=who)
        pending = other.tool("echo")
        call = await home.server.next_call()
        answer = call.ask("sampling/createMessage", ASKED)
        if answered:
            says(await chat.next_call("tools/call"))
        assert ("result" in await within(answer)) is answered
        call.text("done")
        assert (await pending.reply()).text == "done"


@pytest.mark.parametrize(("era", "way_out"), [("session", "stdio"), ("modern", "stdio"), ("modern", "http")])
async def test_a_call_waits_for_the_model_and_then_its_deadline_holds_again(era: str, way_out: str) -> None:
    servers = (ScriptedServer("session"), ScriptedServer("modern", "chat", tools=(tool("chat"),)))
    fields: list[Json] = [{"prefix": "", "call_timeout_s": 0.3}, {"prefix": ""}]
    async with house(*servers, transport=[way_out, "tcp"], fields=fields, sampling=CHAT) as home:
        client = await home.client("http", era)
        pending = client.tool("echo")
        call = await home.server.next_call()
        answer = call.ask("sampling/createMessage", ASKED)
        chatting = await servers[1].next_call("tools/call")
        # Longer than any deadline of the call: nothing but time can show it.
        await asyncio.sleep(0.5)
        says(chatting)
        assert (await within(answer))["result"] == ANSWER
        assert "within 0.3 s" in (await pending.reply()).error["message"]


async def test_answers_that_wait_outlive_a_reload() -> None:
    async with asking_house("modern", "http") as (home, chat):
        client = await home.client("http", "modern", capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        call.reply(wanting(("a", "elicitation/create", FORM), ("b", "sampling/createMessage", ASKED)))
        says(await chat.next_call("tools/call"))
        asked = (await pending.reply()).result
        take_up(home, sampling=Sampling())
        params = {"name": "echo", "arguments": {}, "inputResponses": {"a": ACCEPT}}
        last = client.begin("tools/call", params | {"requestState": asked["requestState"]})
        call = await home.server.next_call()
        assert (call.params["requestState"], call.params["inputResponses"]) == ("s", {"a": ACCEPT, "b": ANSWER})
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.parametrize("way_out", ["stdio", "http"])
@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_person_has_time_while_and_after_the_model_answers(era: str, way_out: str) -> None:
    """A session server asks both of one call."""
    servers = (ScriptedServer("session"), ScriptedServer("modern", "chat", tools=(tool("chat"),)))
    fields: list[Json] = [{"prefix": "", "call_timeout_s": 0.3}, {"prefix": ""}]
    async with house(*servers, transport=[way_out, "tcp"], fields=fields, sampling=CHAT) as home:
        client = await home.client("http", era, capabilities={"elicitation": {}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert set(call.channel.capabilities) == {"elicitation", "sampling"}
        sampled, elicited = call.ask("sampling/createMessage", ASKED), call.ask("elicitation/create", FORM)
        asked = (await pending.reply()).result if era == "modern" else {}
        says(await servers[1].next_call("tools/call"))
        assert (await within(sampled))["result"] == ANSWER
        second = call.ask("sampling/createMessage", ASKED)
        says(await servers[1].next_call("tools/call"))
        assert (await within(second))["result"] == ANSWER
        # Longer than any deadline of the call: nothing but time can show it.
        await asyncio.sleep(0.5)
        if era == "session":
            client.answer(await client.questions.wait(lambda item: True), ACCEPT)
        else:
            ((key, request),) = asked["inputRequests"].items()
            assert request["method"] == "elicitation/create"
            params = {"name": "echo", "arguments": {}, "inputResponses": {key: ACCEPT}}
            pending = client.begin("tools/call", params | {"requestState": asked["requestState"]})
        assert (await within(elicited))["result"] == ACCEPT
        call.text("done")
        assert (await pending.reply()).text == "done"
