"""A person's approval of a call, in both eras: every way it can end, and every way to come by it unasked."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256

import pytest
from clients import Client, Pending, Reply
from gateway import House
from heard import Json, until, within
from judge import PASS, Inspection, Judge, Opinion, ask, change, configured, guarded, only_results, refuse
from scripted_server import Received, ScriptedServer
from test_filters import take_up

from tidegate.config.snapshot import Client as TokenOwner
from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio

ABLE: Json = {"elicitation": {}}
YES: Json = {"action": "accept", "content": {}}
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
NO = [
    ({"action": "decline"}, "a person declined it"),
    ({"action": "cancel"}, "a person was asked, and did not agree"),
]

servers = pytest.mark.parametrize("server_era", ["modern", "session"])
ways_in = pytest.mark.parametrize("way_in", ["http", "tcp"])


def careful(seen: Inspection) -> Opinion:
    """Far moves need a person."""
    if seen.arguments.get("to", 0) > 10 and not seen.call["approved"]:
        return ask(f"Move to {seen.arguments['to']}?")
    return PASS


def again(client: Client, first: Json, answers: Json, arguments: Json = None, state: str = "") -> Pending:
    """The retry of a stateless client."""
    more = {"inputResponses": answers, "requestState": state or first["requestState"]}
    return client.begin("tools/call", {"name": "echo", "arguments": arguments or {"to": 50}, **more})


async def question_of(client: Client, pending: Pending) -> Json:
    """What a stateless client is asked."""
    result = (await pending.reply()).result
    assert result["resultType"] == "input_required"
    assert set(result) == {"resultType", "inputRequests", "requestState"}
    return result


async def asked(client: Client, number: int = 0) -> Json:
    """What a session's client is asked."""
    return await client.questions.wait(lambda item: True, skip=number)


def made(home: House) -> list[Received]:
    return home.server.said("tools/call")


# -- sessions ---------------------------------------------------------------------------------------------------


@servers
@pytest.mark.parametrize("way_in", ["http", "tcp", "sse"])
async def test_a_session_s_call_waits_for_the_person(server_era: str, way_in: str) -> None:
    judge = Judge(careful)
    async with guarded(ScriptedServer(server_era), judges={"judge": judge}) as home:
        client = await home.client(way_in, "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        assert question["method"] == "elicitation/create"
        assert question["params"]["message"].startswith("Move to 50?")
        assert "filter `judge` asks before `echo` is called" in question["params"]["message"]
        assert made(home) == []
        client.answer(question, YES)
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"to": 50}
        call.text("moved")
        assert (await pending.reply()).text == "moved"
        assert [seen.call["approved"] for seen in judge.seen] == [False, True]
        # It was good for this call alone.
        other = client.tool("echo", {"to": 50})
        client.answer(await asked(client, 1), {"action": "decline"})
        assert (await other.reply()).result["isError"] is True
        assert len(made(home)) == 1


@pytest.mark.parametrize(("answer", "words"), NO)
@ways_in
async def test_a_session_s_call_that_nobody_approves_is_refused(way_in: str, answer: Json, words: str) -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client(way_in, "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        client.answer(await asked(client), answer)
        assert (await pending.reply()).text == f"filter `judge` needs a person's approval of this call: {words}"
        assert made(home) == []
        assert home.daemon.gateway.admission.in_flight == 0


@pytest.mark.parametrize("answer", [{}, {"action": "Accept"}, {"action": True}, {"action": ["accept"]}, {"x": 1}])
async def test_an_answer_that_is_none_is_no_approval(answer: Json) -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        client.answer(await asked(client), answer)
        assert (await pending.reply()).result["isError"] is True
        assert made(home) == []


async def test_an_error_instead_of_an_answer_is_no_approval() -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        error = {"code": -1, "message": "no window"}
        client.send_other(json.dumps({"jsonrpc": "2.0", "id": question["id"], "error": error}).encode())
        assert "no window" in (await pending.reply()).text
        assert made(home) == []


async def test_nobody_answers_in_time() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=0.05)
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}, limits=limits) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        assert "did not answer within 0.05 s" in (await pending.reply()).text
        # The client is told not to ask any more, and an answer that comes late is nobody's.
        await client.notices.wait(lambda notice: notice["method"] == "notifications/cancelled")
        client.answer(question, YES)
        await client.settle()
        assert made(home) == []


@ways_in
async def test_a_call_that_is_cancelled_while_a_person_is_asked_is_not_made(way_in: str) -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client(way_in, "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        client.cancel(pending)
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)
        client.answer(question, YES)
        await client.settle()
        assert made(home) == []


async def test_a_client_that_leaves_while_a_person_is_asked_leaves_nothing() -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        client.tool("echo", {"to": 50})
        await asked(client)
        client.close()
        await until(lambda: home.daemon.gateway.admission.in_flight == 0)
        await until(lambda: len(home.daemon.gateway.sessions) == 0)
        assert made(home) == []


async def test_the_answer_of_one_session_approves_nothing_in_another() -> None:
    async with guarded(ScriptedServer("session"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        stranger = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        stranger.answer(question, YES)
        await stranger.settle()
        assert made(home) == []
        client.answer(question, {"action": "decline"})
        assert (await pending.reply()).result["isError"] is True


@pytest.mark.parametrize("capabilities", [{}, {"sampling": {}}, {"elicitation": {"url": {}}}])
@ways_in
async def test_a_session_s_client_that_cannot_ask_is_told_what_is_needed(way_in: str, capabilities: Json) -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client(way_in, "session", capabilities=capabilities)
        text = (await client.tool("echo", {"to": 50}).reply()).text
        assert "did not declare `elicitation`" in text
        assert "Move to 50?" in text
        assert made(home) == []
        assert len(client.questions) == 0


async def test_rules_that_change_while_a_person_is_asked_are_those_that_count() -> None:
    judges: Json = {"old": Judge(careful), "new": Judge(lambda seen: refuse(f"approved: {seen.call['approved']}"))}
    async with guarded(ScriptedServer("session"), judges=judges, filters=[configured("old")]) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        question = await asked(client)
        take_up(home, filters=(configured("new"),))
        client.answer(question, YES)
        assert (await pending.reply()).text == "filter `new` refused this call: approved: False"
        assert made(home) == []


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_an_approval_is_for_what_was_shown(era: str) -> None:
    """A filter before the one that asks makes something else of the call each time."""
    number = iter(range(11, 100))
    judges: Json = {"drift": Judge(lambda seen: change({"to": next(number)})), "judge": Judge(careful)}
    async with guarded(ScriptedServer("modern"), judges=judges) as home:
        client = await home.client("tcp", era, capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        if era == "modern":
            for _ in range(3):
                first = await question_of(client, pending)
                pending = again(client, first, {"approval": YES})
            client.close()
        else:
            for turn in range(8):
                client.answer(await asked(client, turn), YES)
            assert "8 times" in (await pending.reply()).error["message"]
        assert all(not seen.call["approved"] for seen in judges["judge"].seen)
        assert made(home) == []


async def test_two_filters_may_each_ask() -> None:
    def also(seen: Inspection) -> Opinion:
        return PASS if seen.call["approved"] else ask("Really?")

    judges: Json = {"one": Judge(careful), "two": Judge(also)}
    async with guarded(ScriptedServer("modern"), judges=judges) as home:
        session = await home.client("tcp", "session", capabilities=ABLE)
        pending = session.tool("echo", {"to": 50})
        session.answer(await asked(session), YES)
        session.answer(await asked(session, 1), YES)
        (await home.server.next_call("tools/call")).text("moved")
        assert (await pending.reply()).text == "moved"

        client = await home.client("http", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        second = await question_of(client, again(client, first, {"approval": YES}))
        assert "Really?" in second["inputRequests"]["approval"]["params"]["message"]
        pending = again(client, second, {"approval": YES})
        (await home.server.next_call("tools/call")).text("moved")
        assert (await pending.reply()).text == "moved"
        assert len(made(home)) == 2


async def test_a_filter_that_asks_again_about_what_was_approved_has_failed() -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(lambda seen: ask("Sure?"))}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        client.answer(await asked(client), YES)
        assert "asked again about what was approved" in (await pending.reply()).error["message"]
        assert made(home) == []


async def test_asking_about_a_result_is_too_late() -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": only_results(lambda seen: ask("Show?"))}) as home:
        client = await home.client("tcp", "session", capabilities=ABLE)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).text("secret")
        reply = await pending.reply()
        assert "asked about a result" in reply.error["message"]
        assert b"secret" not in reply.raw


async def test_a_filter_that_is_no_more_refuses_nothing() -> None:
    judges: Json = {"old": Judge(lambda seen: None), "new": Judge()}
    async with guarded(ScriptedServer("session"), judges=judges, filters=[configured("old")]) as home:
        client = await home.client("tcp", "session")
        for opinion in (refuse("old rules"), ask("Old rules?")):
            take_up(home, filters=(configured("old"),))
            pending = client.tool("echo", {"to": 50})
            seen = await judges["old"].seen.wait(lambda seen: True, skip=len(judges["old"].seen))
            take_up(home, filters=(configured("new"),))
            seen.judge(opinion)
            (await home.server.next_call("tools/call")).text("moved")
            assert (await pending.reply()).text == "moved"


async def test_questions_come_on_the_stream_of_the_call() -> None:
    async with guarded(ScriptedServer("session"), transport="http", judges={"judge": Judge(careful)}) as home:
        client = await home.http_client("session", capabilities=ABLE, listens_at_once=False)
        pending = client.tool("echo", {"to": 50})
        client.answer(await asked(client), YES)
        call = await home.server.next_call("tools/call")
        answer = call.ask("elicitation/create", FORM)
        client.answer(await asked(client, 1), YES)
        assert (await within(answer))["result"] == YES
        call.text("moved")
        assert (await pending.reply()).text == "moved"


# -- stateless ----------------------------------------------------------------------------------------------------


@servers
@ways_in
async def test_a_stateless_call_is_made_when_its_client_comes_back_with_the_approval(
    server_era: str, way_in: str
) -> None:
    judge = Judge(careful)
    async with guarded(ScriptedServer(server_era), judges={"judge": judge}) as home:
        client = await home.client(way_in, "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        (question,) = first["inputRequests"].values()
        assert question["method"] == "elicitation/create"
        assert question["params"]["mode"] == "form"
        assert question["params"]["message"].startswith("Move to 50?")
        assert made(home) == []
        pending = again(client, first, {"approval": YES})
        call = await home.server.next_call("tools/call")
        assert set(call.params) <= {"name", "arguments", "_meta"}
        call.text("moved")
        assert (await pending.reply()).text == "moved"
        assert [seen.call["approved"] for seen in judge.seen] == [False, True]
        # One approval, one command.
        error = (await again(client, first, {"approval": YES}).reply()).error
        assert error["code"] == -32602
        assert "each state is good for one answer" in error["message"]
        assert len(made(home)) == 1


@pytest.mark.parametrize(("answer", "words"), NO)
async def test_a_stateless_call_that_nobody_approves_is_refused(answer: Json, words: str) -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("http", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        reply = await again(client, first, {"approval": answer}).reply()
        assert reply.text == f"filter `judge` needs a person's approval of this call: {words}"
        assert reply.result["resultType"] == "complete"
        # A person who changes their mind is asked anew.
        assert (await again(client, first, {"approval": YES}).reply()).error["code"] == -32602
        assert made(home) == []


@pytest.mark.parametrize("answer", [None, [], "accept", {}, {"action": "Accept"}, {"action": "accept", "content": 1}])
async def test_a_stateless_answer_that_is_none_may_be_mended(answer: Json) -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("http", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        assert (await again(client, first, {"approval": answer}).reply()).error["code"] == -32602
        assert made(home) == []
        pending = again(client, first, {"approval": YES})
        (await home.server.next_call("tools/call")).text("moved")
        assert (await pending.reply()).text == "moved"


@pytest.mark.parametrize("answers", [{}, {"other": YES}, {"Approval": YES}])
async def test_whoever_comes_back_without_the_answer_is_asked_again(answers: Json) -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("http", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        second = await question_of(client, again(client, first, answers))
        assert second["requestState"] != first["requestState"]
        assert made(home) == []


async def test_an_approval_cannot_be_forged() -> None:
    owners = [TokenOwner(name, sha256(name.encode()).hexdigest()) for name in ("ada", "bob")]
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}, owners=owners) as home:
        ada = await home.client("http", "modern", capabilities=ABLE, token="ada")
        bob = await home.client("http", "modern", capabilities=ABLE, token="bob")
        first = await question_of(ada, ada.tool("echo", {"to": 50}))
        state = first["requestState"]
        yes = {"approval": YES}
        attempts: list[tuple[str, Pending]] = [
            ("another caller", again(bob, first, yes)),
            ("another place", again(ada, first, yes, {"to": 60})),
            ("another spelling", again(ada, first, yes, {"to": 50.5})),
            ("more arguments", again(ada, first, yes, {"to": 50, "fast": True})),
            ("altered", again(ada, first, yes, state=state[:-2] + ("AA" if state[-2:] != "AA" else "BB"))),
            ("guessed", again(ada, first, yes, state="tg1.00000000.AAAA")),
            ("of this run", again(ada, first, yes, state=state.rsplit(".", 1)[0] + ".AAAA")),
            ("two dots", again(ada, first, yes, state=state + ".")),
        ]
        for what, pending in attempts:
            reply: Reply = await pending.reply()
            assert "error" in reply.message or reply.result["resultType"] == "input_required", what
        # Without a state, and with an approval that the client gives itself.
        for params in (
            {"inputResponses": yes},
            {"approved": True},
            {"_meta": {**ada.meta(), "approved": True}},
        ):
            arguments = {"name": "echo", "arguments": {"to": 50}, **params}
            raw = json.dumps({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": arguments})
            if "_meta" not in params:
                raw = raw[:-2] + ', "_meta": ' + json.dumps(ada.meta()) + "}}"
            pending = ada.pending[99] = Pending(99)
            ada.send_request(raw.encode(), pending)
            assert (await pending.reply()).result["resultType"] == "input_required"
        assert made(home) == []


async def test_of_two_that_come_back_at_once_one_is_heard() -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("tcp", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        both = [again(client, first, {"approval": YES}) for _ in range(2)]
        (await home.server.next_call("tools/call")).text("moved")
        assert (await both[0].reply()).text == "moved"
        assert (await both[1].reply()).error["code"] == -32602
        assert len(made(home)) == 1


async def test_an_approval_expires() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=0.05)
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}, limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        now_s = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > now_s + 0.1)
        assert (await again(client, first, {"approval": YES}).reply()).error["code"] == -32602
        assert made(home) == []


async def test_a_stateless_client_that_cannot_ask_is_told_what_is_needed() -> None:
    async with guarded(ScriptedServer("modern"), judges={"judge": Judge(careful)}) as home:
        client = await home.client("http", "modern")
        reply = await client.tool("echo", {"to": 50}).reply()
        assert reply.status == 400
        assert reply.error["code"] == -32021
        assert reply.error["data"] == {"requiredCapabilities": {"elicitation": {"form": {}}}}
        assert "Move to 50?" in reply.error["message"]
        assert made(home) == []


async def test_an_approval_does_not_outlive_the_filter_that_asked_for_it() -> None:
    judge = Judge(careful)
    filters = [configured("judge")]
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}, filters=filters) as home:
        client = await home.client("tcp", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        take_up(home, filters=(configured("judge", digest="sha256:" + "0" * 64),))
        second = await question_of(client, again(client, first, {"approval": YES}))
        assert second["requestState"] != first["requestState"]
        assert made(home) == []


# -- servers that ask as well -------------------------------------------------------------------------------------


async def test_a_stateless_server_may_ask_after_the_person_has_approved() -> None:
    judge = Judge(careful)
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        pending = again(client, first, {"approval": YES})
        call = await home.server.next_call("tools/call")
        wanted = {"name": {"method": "elicitation/create", "params": FORM}}
        call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
        second = await question_of(client, pending)
        assert second["requestState"] == "s-1"
        pending = again(client, second, {"name": YES})
        call = await home.server.next_call("tools/call")
        assert call.params["inputResponses"] == {"name": YES}
        call.text("moved")
        assert (await pending.reply()).text == "moved"
        assert [seen.call["approved"] for seen in judge.seen] == [False, True, True]
        # The server takes its state twice; the person agreed once.
        await question_of(client, again(client, second, {"name": YES}))
        assert len(made(home)) == 2


async def test_what_a_server_wanted_to_know_is_not_lost_when_the_person_is_asked_late() -> None:
    """A server asks first, and with its answer comes what the filter wants approved."""
    judge = Judge()
    async with guarded(ScriptedServer("modern"), judges={"judge": judge}) as home:
        client = await home.client("tcp", "modern", capabilities=ABLE)
        pending = client.tool("echo", {"to": 50})
        wanted = {"name": {"method": "elicitation/create", "params": FORM}}
        call = await home.server.next_call("tools/call")
        call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
        first = await question_of(client, pending)
        judge.on_request = careful
        second = await question_of(client, again(client, first, {"name": YES}))
        assert list(second["inputRequests"]) == ["approval"]
        pending = again(client, second, {"approval": YES})
        call = await home.server.next_call("tools/call")
        assert call.params["inputResponses"] == {"name": YES}
        assert call.params["requestState"] == "s-1"
        call.text("moved")
        assert (await pending.reply()).text == "moved"


@pytest.mark.parametrize("way_out", ["http", "stdio"])
async def test_a_session_server_may_ask_after_the_person_has_approved(way_out: str) -> None:
    judge = Judge(lambda seen: careful(seen) if seen.call["approved"] is False else change({"to": 49}))
    async with guarded(ScriptedServer("session"), transport=way_out, judges={"judge": judge}) as home:
        client = await home.client("http", "modern", capabilities=ABLE)
        first = await question_of(client, client.tool("echo", {"to": 50}))
        pending = again(client, first, {"approval": YES})
        call = await home.server.next_call("tools/call")
        assert call.params["arguments"] == {"to": 49}
        answer = call.ask("elicitation/create", FORM)
        second = await question_of(client, pending)
        (key,) = second["inputRequests"]
        pending = again(client, second, {key: YES})
        assert (await within(answer))["result"] == YES
        call.text("moved")
        assert (await pending.reply()).text == "moved"
        assert len(made(home)) == 1


async def test_a_session_client_answers_both_the_filter_and_the_server() -> None:
    judge = Judge(careful, only_results(lambda seen: PASS).on_result)
    for server_era in ("modern", "session"):
        async with guarded(ScriptedServer(server_era), transport="http", judges={"judge": judge}) as home:
            client = await home.client("http", "session", capabilities=ABLE)
            pending = client.tool("echo", {"to": 50})
            client.answer(await asked(client), YES)
            call = await home.server.next_call("tools/call")
            if server_era == "modern":
                wanted = {"name": {"method": "elicitation/create", "params": FORM}}
                call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
                client.answer(await asked(client, 1), YES)
                call = await home.server.next_call("tools/call")
            else:
                answer = call.ask("elicitation/create", FORM)
                client.answer(await asked(client, 1), YES)
                assert (await within(answer))["result"] == YES
            call.text("moved")
            assert (await pending.reply()).text == "moved"


async def test_a_call_in_rounds_is_looked_at_again_when_the_filters_changed() -> None:
    judges: Json = {"old": Judge(), "new": Judge(lambda seen: refuse("new rules"))}
    for filters in ([configured("old")], []):
        async with guarded(ScriptedServer("modern"), judges=judges, filters=filters) as home:
            client = await home.client("tcp", "session", capabilities=ABLE)
            pending = client.tool("echo", {"to": 50})
            call = await home.server.next_call("tools/call")
            wanted = {"name": {"method": "elicitation/create", "params": FORM}}
            call.reply({"resultType": "input_required", "inputRequests": wanted, "requestState": "s-1"})
            question = await asked(client)
            take_up(home, filters=(configured("new"),))
            client.answer(question, YES)
            assert (await pending.reply()).text == "filter `new` refused this call: new rules"
            assert len(made(home)) == 1
