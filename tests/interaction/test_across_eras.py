"""Questions of servers from one era to the other, over every transport that can carry them."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from clients import Pending
from gateway import House, house
from heard import Json, within
from scripted_server import Received, ScriptedServer, dump

from tidegate.config.snapshot import Client, Limits

FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
SAMPLE: Json = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
SAMPLED: Json = {"role": "assistant", "content": {"type": "text", "text": "!"}, "model": "m"}
ALL: Json = {"elicitation": {}, "sampling": {}, "roots": {}}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}

pytestmark = pytest.mark.anyio

INTO_SESSIONS = [(way_in, way_out) for way_in in ("tcp", "http") for way_out in ("stdio", "http", "tcp", "sse")]
INTO_STATELESS = [(way_in, way_out) for way_in in ("tcp", "http", "sse") for way_out in ("stdio", "http")]
into_sessions = pytest.mark.parametrize(("way_in", "way_out"), INTO_SESSIONS)
into_stateless = pytest.mark.parametrize(("way_in", "way_out"), INTO_STATELESS)


def retry(client: Json, asked: Json, responses: Json, **more: Json) -> Pending:
    """The first request again, with answers."""
    params = {"name": "echo", "arguments": {}, "inputResponses": responses, "requestState": asked["requestState"]}
    return client.begin("tools/call", params | more)


async def input_required(pending: Pending) -> Json:
    result = (await pending.reply()).result
    assert result["resultType"] == "input_required", result
    return result


async def asking_call(home: House, way_in: str, **more: Json) -> tuple[Json, Pending, Received]:
    client = await home.client(way_in, "modern", capabilities=ALL, **more)
    pending = client.tool("echo")
    return client, pending, await home.server.next_call()


@pytest.mark.requirement("across.question-becomes-input-required")
@into_sessions
async def test_a_servers_question_is_answered_by_a_retry(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client, pending, call = await asking_call(home, way_in)
        assert set(call.channel.capabilities) == {"elicitation", "sampling", "roots"}
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        ((key, request),) = asked["inputRequests"].items()
        assert request["method"] == "elicitation/create"
        assert request["params"]["message"] == "Name?"
        last = retry(client, asked, {key: ACCEPT})
        assert (await within(answer))["result"] == ACCEPT
        call.text("Hello Ada")
        assert (await last.reply()).text == "Hello Ada"


@pytest.mark.requirement("across.several-questions", "across.several-rounds", "across.partial-answers")
@into_sessions
async def test_several_questions_and_several_rounds(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client, pending, call = await asking_call(home, way_in)
        form, sample = call.ask("elicitation/create", FORM), call.ask("sampling/createMessage", SAMPLE)
        asked = await input_required(pending)
        keys = {request["method"]: key for key, request in asked["inputRequests"].items()}
        assert set(keys) == {"elicitation/create", "sampling/createMessage"}
        # Half of the answers, and one to nothing: the rest is asked for again.
        second = retry(client, asked, {keys["elicitation/create"]: ACCEPT, "nothing": {}})
        assert (await within(form))["result"] == ACCEPT
        asked = await input_required(second)
        assert list(asked["inputRequests"]) == [keys["sampling/createMessage"]]
        third = retry(client, asked, {keys["sampling/createMessage"]: SAMPLED})
        assert (await within(sample))["result"] == SAMPLED
        roots = call.ask("roots/list", {})
        asked = await input_required(third)
        (key,) = asked["inputRequests"]
        last = retry(client, asked, {key: {"roots": []}})
        assert (await within(roots))["result"] == {"roots": []}
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.requirement("across.progress")
@into_sessions
async def test_progress_follows_whoever_waits(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities=ALL)
        pending = client.tool("echo", meta={"progressToken": "one"})
        call = await home.server.next_call()
        call.progress(1)
        call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        call.progress(2)  # Nobody waits: it has nowhere to go.
        await asyncio.sleep(0.1)
        params = {"name": "echo", "arguments": {}, "inputResponses": {"q1": ACCEPT}}
        last = client.begin(
            "tools/call", params | {"requestState": asked["requestState"]}, meta={"progressToken": "two"}
        )
        await asyncio.sleep(0.1)
        call.progress(3)
        call.text("done")
        assert (await last.reply()).text == "done"
        heard = [notice["params"] for notice in client.notices]
        assert [(one["progressToken"], one["progress"]) for one in heard] == [("one", 1), ("two", 3)]


@pytest.mark.requirement("across.malformed-answers")
async def test_a_malformed_answer_is_refused_and_the_call_still_waits() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "http")
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        for bad in ([], "x", 1, None, {}, {"action": "perhaps"}, {"action": "accept", "content": "x"}):
            assert (await retry(client, asked, {"q1": bad}).reply()).error["code"] == -32602
        assert (await retry(client, asked, []).reply()).error["code"] == -32602
        last = retry(client, asked, {"q1": ACCEPT})
        assert (await within(answer))["result"] == ACCEPT
        for method, params, bad, good in (
            ("sampling/createMessage", SAMPLE, {"role": "assistant", "content": []}, SAMPLED),
            ("roots/list", {}, {"roots": [{"name": "x"}]}, {"roots": [{"uri": "file:///x"}]}),
        ):
            answer = call.ask(method, params)
            asked = await input_required(last)
            (key,) = asked["inputRequests"]
            assert (await retry(client, asked, {key: bad}).reply()).error["code"] == -32602
            last = retry(client, asked, {key: good})
            assert (await within(answer))["result"] == good
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.requirement("across.state-sealed", "across.state-expires")
async def test_a_state_is_good_for_its_request_its_client_and_its_time_only() -> None:
    owners = [Client(name, sha256(name.encode()).hexdigest()) for name in ("ann", "bob")]
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=1.0)
    async with house(ScriptedServer("session"), transport="stdio", owners=owners, limits=limits) as home:
        ann, pending, call = await asking_call(home, "http", token="ann")
        bob = await home.client("http", "modern", capabilities=ALL, token="bob")
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        state = asked["requestState"]

        async def refused(client: Json, state: str, words: str, **more: Json) -> None:
            error = (await retry(client, asked, {"q1": ACCEPT}, requestState=state, **more).reply()).error
            assert error["code"] == -32602
            assert words in error["message"]

        await refused(bob, state, "another client")
        await refused(ann, state, "another request", arguments={"other": 1})
        await refused(ann, state[:-6] + ("A" if state[-6] != "A" else "B") + state[-5:], "altered")
        await refused(ann, "nonsense", "altered")
        mark, run, sealed = state.split(".")
        await refused(ann, f"{mark}.{'0' * len(run)}.{sealed}", "restarted")
        assert not answer.done()
        # Nobody comes back: the server hears that, and the call is cancelled.
        assert "error" in await within(answer)
        await home.server.wait_heard("notifications/cancelled")
        await refused(ann, state, "expired")


@pytest.mark.requirement("across.state-used-once")
async def test_a_state_is_used_up_by_the_answer() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "http")
        call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        last = retry(client, asked, {"q1": ACCEPT})
        await asyncio.sleep(0.05)
        # A second one while the first is being answered.
        assert (await retry(client, asked, {"q1": ACCEPT}).reply()).error["code"] == -32600
        call.text("done")
        assert (await last.reply()).text == "done"
        assert "ended" in (await retry(client, asked, {"q1": ACCEPT}).reply()).error["message"]


@pytest.mark.requirement("across.result-kept")
async def test_a_result_that_comes_while_nobody_waits_is_kept_for_the_retry() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        _, pending, call = await asking_call(home, "tcp")
        call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        call.text("could not wait")
        await asyncio.sleep(0.05)
        # From another connection, too.
        other = await home.client("http", "modern", capabilities=ALL)
        assert (await retry(other, asked, {"q1": ACCEPT}).reply()).text == "could not wait"


@pytest.mark.requirement("across.undeclared")
async def test_what_a_client_did_not_declare_is_never_used_on_it() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client = await home.client("http", "modern", capabilities={"elicitation": {"form": {}}})
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert call.channel.capabilities == {"elicitation": {"form": {}}}
        assert "error" in await within(call.ask("sampling/createMessage", SAMPLE))
        assert "error" in await within(call.ask("elicitation/create", {"mode": "url", "url": "x:y", "message": "?"}))
        call.fail(-32603, "I had to ask")
        error = (await pending.reply()).error
        assert (error["code"], error["message"]) == (-32021, "I had to ask")
        assert error["data"] == {"requiredCapabilities": {"sampling": {}, "elicitation": {"url": {}}}}
        plain = await home.client("http", "modern")
        pending = plain.tool("echo")
        call = await home.server.next_call()
        assert call.channel.capabilities == {}
        assert "error" in await within(call.ask("elicitation/create", FORM))
        call.text("done")
        assert (await pending.reply()).text == "done"


@pytest.mark.requirement("across.client-gone")
async def test_a_server_that_asks_after_the_client_is_gone_is_told_so() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "tcp")
        client.notify("notifications/cancelled", {"requestId": pending.id})
        await home.server.wait_heard("notifications/cancelled")
        assert "error" in await within(call.ask("elicitation/create", FORM))


@pytest.mark.requirement("across.never-mixed-up")
@pytest.mark.parametrize("way_out", ["stdio", "http"])
async def test_two_clients_at_once_are_each_asked_their_own(way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        clients = [await home.client("http", "modern", capabilities=ALL) for _ in range(3)]
        pendings = [client.tool("echo", {"n": n}) for n, client in enumerate(clients)]
        calls = [await home.server.next_call() for _ in clients]
        answers = {}
        for call in reversed(calls):
            n = call.params["arguments"]["n"]
            answers[n] = call.ask("elicitation/create", FORM | {"message": str(n)})
        for n, (client, pending) in enumerate(zip(clients, pendings, strict=True)):
            asked = await input_required(pending)
            assert asked["inputRequests"]["q1"]["params"]["message"] == str(n)
            reply = {"action": "accept", "content": {"name": str(n)}}
            last = retry(client, asked, {"q1": reply}, arguments={"n": n})
            assert (await within(answers[n]))["result"] == reply
            next(call for call in calls if call.params["arguments"]["n"] == n).text(str(n))
            assert (await last.reply()).text == str(n)


@pytest.mark.requirement("across.bounded")
async def test_suspended_calls_are_bounded() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_per_client=1)
    async with house(ScriptedServer("session"), transport="http", limits=limits) as home:
        client, pending, call = await asking_call(home, "http")
        first = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        # The one that waits longest gives way to a new one of the same client.
        _, pending, call = await asking_call(home, "http")
        second = call.ask("elicitation/create", FORM)
        after = await input_required(pending)
        assert "error" in await within(first)
        assert "ended" in (await retry(client, asked, {"q1": ACCEPT}).reply()).error["message"]
        last = retry(client, after, {"q1": ACCEPT})
        assert (await within(second))["result"] == ACCEPT
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.requirement("across.bounded")
async def test_a_client_takes_no_room_from_another() -> None:
    owners = [Client(name, sha256(name.encode()).hexdigest()) for name in ("ann", "bob")]
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended=1)
    async with house(ScriptedServer("session"), transport="http", owners=owners, limits=limits) as home:
        ann, pending, call = await asking_call(home, "http", token="ann")
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        _, pending, other = await asking_call(home, "http", token="bob")
        other.ask("elicitation/create", FORM)
        assert "limit of the gateway" in (await pending.reply()).error["message"]
        last = retry(ann, asked, {"q1": ACCEPT})
        assert (await within(answer))["result"] == ACCEPT
        call.text("done")
        assert (await last.reply()).text == "done"


# -- a session's client, a stateless server ------------------------------------------------------------------------


@pytest.mark.requirement("across.input-required-becomes-questions")
@into_stateless
async def test_a_request_for_input_becomes_questions_to_the_client(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities=ALL)
        pending = client.tool("echo", {"n": 1}, meta={"progressToken": "p"})
        call = await home.server.next_call()
        call.progress(2)
        declared = call.params["_meta"]["io.modelcontextprotocol/clientCapabilities"]
        assert set(declared) == {"elicitation", "sampling", "roots"}
        requests = {
            "a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}},
            "b": {"method": "sampling/createMessage", "params": SAMPLE},
        }
        call.reply({"resultType": "input_required", "inputRequests": requests, "requestState": "s1"})
        for number in range(len(requests)):
            question = await client.questions.wait(lambda item: True, skip=number)
            client.answer(question, ACCEPT if question["method"] == "elicitation/create" else SAMPLED)
        call = await home.server.next_call()
        assert call.params["inputResponses"] == {"a": ACCEPT, "b": SAMPLED}
        assert call.params["requestState"] == "s1"
        assert call.params["arguments"] == {"n": 1}
        call.progress(2)
        call.progress(3)
        call.reply({"resultType": "input_required", "requestState": "s2"})
        call = await home.server.next_call()
        assert "inputResponses" not in call.params
        assert call.params["requestState"] == "s2"
        call.text("done")
        result = (await pending.reply()).result
        assert result["content"][0]["text"] == "done"
        assert "resultType" not in result
        assert [one["params"]["progress"] for one in client.notices] == [2, 3]


@pytest.mark.requirement("across.refused-question")
async def test_a_question_the_session_client_refuses_ends_the_call_in_words() -> None:
    async with house(ScriptedServer("modern"), transport="http") as home:
        client = await home.client("http", "session", capabilities=ALL)
        pending = client.tool("echo")
        call = await home.server.next_call()
        requests = {"a": {"method": "sampling/createMessage", "params": SAMPLE}}
        call.reply({"resultType": "input_required", "inputRequests": requests})
        question = await client.questions.wait(lambda item: True)
        error = {"code": -1, "message": "User rejected"}
        client.send_other(dump({"jsonrpc": "2.0", "id": question["id"], "error": error}))
        error = (await pending.reply()).error
        assert "User rejected" in error["message"]


@pytest.mark.requirement("across.url")
async def test_a_url_is_opened_once_and_waited_for() -> None:
    async with house(ScriptedServer("modern"), transport="http") as home:
        client = await home.client("http", "session", capabilities={"elicitation": {"url": {}}})
        pending = client.tool("echo")
        place = {"mode": "url", "url": "https://example.com/a", "message": "Sign in"}
        wanted = {
            "resultType": "input_required",
            "inputRequests": {"a": {"method": "elicitation/create", "params": place}},
        }
        call = await home.server.next_call()
        call.reply(wanted)
        question = await client.questions.wait(lambda item: True)
        elicitation = question["params"].pop("elicitationId")
        assert question["params"] == place
        client.answer(question, {"action": "accept"})
        for _ in range(2):
            call = await home.server.next_call()
            assert call.params["inputResponses"] == {"a": {"action": "accept"}}
            call.reply(wanted)
        (await home.server.next_call()).text("signed in")
        assert (await pending.reply()).text == "signed in"
        notice = await client.notices.wait(lambda one: one["method"] == "notifications/elicitation/complete")
        assert notice["params"]["elicitationId"] == elicitation
        assert len(client.questions) == 1


@pytest.mark.requirement("across.url-required")
async def test_a_required_url_becomes_a_question_and_the_call_again() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client = await home.client("http", "modern", capabilities={"elicitation": {"url": {}}})
        pending = client.tool("echo")
        place = {"mode": "url", "url": "https://example.com/a", "message": "Sign in", "elicitationId": "e1"}
        (await home.server.next_call()).fail(-32042, "sign in first", {"elicitations": [place]})
        asked = await input_required(pending)
        assert asked["inputRequests"]["q1"]["params"] == {key: place[key] for key in ("mode", "url", "message")}
        last = retry(client, asked, {"q1": {"action": "accept"}})
        call = await home.server.next_call()
        assert not {"inputResponses", "requestState"} & set(call.params)
        call.text("signed in")
        assert (await last.reply()).text == "signed in"


@pytest.mark.requirement("across.other-era-later")
@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_server_that_comes_back_in_the_other_era_is_found_again(era: str) -> None:
    server = ScriptedServer(era)
    async with house(server, transport="http") as home:
        clients = [await home.client("http", one) for one in ("session", "modern")]
        for client in clients:
            pending = client.tool("echo")
            (await server.next_call()).text("before")
            assert (await pending.reply()).text == "before"
        server.era = "modern" if era == "session" else "session"
        for service in home.daemon.gateway.services:
            for slot in list(service.slots.values()):
                if slot.connection is not None:
                    await slot.connection.aclose()
        for client in clients:
            pending = client.tool("echo")
            (await server.next_call()).text("after")
            assert (await pending.reply()).text == "after"


@pytest.mark.requirement("across.cancelled")
async def test_cancelling_withdraws_the_question_and_the_round() -> None:
    async with house(ScriptedServer("modern"), transport="stdio") as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        pending = client.tool("echo")
        call = await home.server.next_call()
        requests = {"a": {"method": "elicitation/create", "params": FORM}}
        call.reply({"resultType": "input_required", "inputRequests": requests})
        question = await client.questions.wait(lambda item: True)
        client.notify("notifications/cancelled", {"requestId": pending.id})
        notice = await client.notices.wait(lambda one: one["method"] == "notifications/cancelled")
        assert notice["params"]["requestId"] == question["id"]
        client.answer(question, ACCEPT)
        await client.call("ping")
        assert not pending.answer.done()


@pytest.mark.requirement("across.server-dies")
async def test_a_server_that_dies_while_the_client_is_away_is_told_at_the_retry() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "http")
        call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        call.channel.hang_up()
        await asyncio.sleep(0.1)
        assert "one" in (await retry(client, asked, {"q1": ACCEPT}).reply()).error["message"]


@pytest.mark.requirement("across.reconnection")
async def test_a_call_outlives_the_connection_it_came_over() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "tcp")
        answer = call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        client.close()
        await asyncio.sleep(0.05)
        again = await home.client("tcp", "modern", capabilities=ALL)
        last = retry(again, asked, {"q1": ACCEPT})
        assert (await within(answer))["result"] == ACCEPT
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.requirement("across.cancelled")
@pytest.mark.parametrize("way_in", ["tcp", "http"])
async def test_cancelling_the_retry_cancels_the_servers_call(way_in: str) -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, way_in)
        call.ask("elicitation/create", FORM)
        asked = await input_required(pending)
        last = retry(client, asked, {"q1": ACCEPT})
        await asyncio.sleep(0.1)
        client.cancel(last)
        cancelled = await home.server.wait_heard("notifications/cancelled")
        assert cancelled.params["requestId"] == call.id
        assert "ended" in (await retry(client, asked, {"q1": ACCEPT}).reply()).error["message"]


@pytest.mark.requirement("across.withdrawn")
async def test_a_question_the_server_withdraws_is_not_asked_again() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client, pending, call = await asking_call(home, "http")
        call.ask("elicitation/create", FORM)
        call.ask("sampling/createMessage", SAMPLE)
        asked = await input_required(pending)
        call.notify("notifications/cancelled", {"requestId": "ask-2"})
        await asyncio.sleep(0.1)
        (key,) = (key for key, one in asked["inputRequests"].items() if one["method"] == "elicitation/create")
        last = retry(client, asked, {key: ACCEPT})
        await asyncio.sleep(0.1)
        call.text("done")
        assert (await last.reply()).text == "done"


@pytest.mark.requirement("across.log-level")
async def test_a_level_for_a_request_is_set_before_it_and_kept_to_it() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        loud = await home.client("http", "modern", capabilities=ALL)
        pending = loud.tool("echo", meta={"io.modelcontextprotocol/logLevel": "warning"})
        call = await home.server.next_call("tools/call")
        assert [one.params for one in home.server.said("logging/setLevel")] == [{"level": "warning"}]
        for level in ("info", "error"):
            call.notify("notifications/message", {"level": level, "data": level})
        call.text("done")
        await pending.reply()
        assert [one["params"]["data"] for one in loud.notices] == ["error"]
        quiet = await home.client("http", "modern", capabilities=ALL)
        pending = quiet.tool("echo")
        call = await home.server.next_call("tools/call")
        call.notify("notifications/message", {"level": "error", "data": "x"})
        call.text("done")
        await pending.reply()
        assert len(quiet.notices) == 0


@pytest.mark.requirement("across.subscriptions")
@pytest.mark.parametrize("way_out", ["stdio", "http"])
async def test_a_listener_hears_of_a_session_servers_changes(way_out: str) -> None:
    async with house(ScriptedServer("session"), transport=way_out) as home:
        for abilities in ({}, ALL):
            client = await home.client("http", "modern", capabilities=abilities)
            wanted = {"toolsListChanged": True, "resourceSubscriptions": ["test://one/a"]}
            before = len(home.server.heard)
            client.begin("subscriptions/listen", {"notifications": wanted})
            await client.notices.wait(lambda one: one["method"].endswith("acknowledged"))
            await home.server.wait_heard("resources/subscribe", skip=before)
            home.server.announce("notifications/resources/updated", {"uri": "test://one/a"})
            await client.notices.wait(lambda one: one["method"] == "notifications/resources/updated")
            home.server.announce("notifications/tools/list_changed", None)
            await client.notices.wait(lambda one: one["method"] == "notifications/tools/list_changed")
            assert sum(one["method"] == "notifications/resources/updated" for one in client.notices) == 1


@pytest.mark.requirement("across.subscriptions")
@pytest.mark.parametrize("way_out", ["stdio", "http"])
async def test_whoever_is_told_that_a_resource_is_watched_misses_no_update(way_out: str) -> None:
    update = "notifications/resources/updated", {"uri": "test://one/a"}
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client = await home.client("tcp", "session")
        assert (await client.call("resources/subscribe", {"uri": "test://one/a"})).result == {}
        home.server.announce(*update)
        notice = await client.notices.wait(lambda one: one["method"] == update[0])
        assert notice["params"]["uri"] == "test://one/a"
    async with house(ScriptedServer("session"), transport=way_out) as home:
        client = await home.client("tcp", "modern")
        client.begin("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["test://one/a"]}})
        first = await client.notices.wait(lambda one: True)
        assert first["method"] == "notifications/subscriptions/acknowledged"
        assert home.server.said("resources/subscribe")
        home.server.announce(*update)
        await client.notices.wait(lambda one: one["method"] == update[0])


@pytest.mark.requirement("across.undeclared")
@pytest.mark.parametrize(("way_in", "way_out"), [("tcp", "stdio"), ("http", "http")])
async def test_a_stateless_server_cannot_use_what_a_stateless_client_did_not_declare(way_in: str, way_out: str) -> None:
    async with house(ScriptedServer("modern"), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities={"elicitation": {}})
        wanted = {
            "a": {"method": "elicitation/create", "params": FORM},
            "b": {"method": "sampling/createMessage", "params": SAMPLE},
        }
        pending = client.tool("echo")
        (await home.server.next_call()).reply({"resultType": "input_required", "inputRequests": wanted})
        error = (await pending.reply()).error
        assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"sampling": {}}})
        pending = client.tool("echo")
        del wanted["b"]
        (await home.server.next_call()).reply({"resultType": "input_required", "inputRequests": wanted})
        assert (await input_required(pending))["inputRequests"] == wanted


@pytest.mark.requirement("across.undeclared")
async def test_whoever_comes_back_with_fewer_abilities_is_asked_no_more_than_those() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        _, pending, call = await asking_call(home, "http")
        form, sample = call.ask("elicitation/create", FORM), call.ask("sampling/createMessage", SAMPLE)
        asked = await input_required(pending)
        less = await home.client("http", "modern", capabilities={"elicitation": {}})
        last = retry(less, asked, {})
        assert "error" in await within(sample)
        asked = await input_required(last)
        assert [one["method"] for one in asked["inputRequests"].values()] == ["elicitation/create"]
        last = retry(less, asked, {next(iter(asked["inputRequests"])): ACCEPT})
        assert (await within(form))["result"] == ACCEPT
        assert "error" in await within(call.ask("roots/list", {}))
        call.text("done")
        assert (await last.reply()).text == "done"
