"""Tasks between the eras when somebody goes astray: too deep, too late, of no task that is known."""

from __future__ import annotations

import pytest
from gateway import house
from heard import Json, within
from test_tasks_across_eras import (
    ACCEPT,
    ALL,
    CONTENT,
    EXTENDED,
    FORM,
    RELATED,
    SAMPLE,
    SAMPLED,
    about,
    begun,
    flat,
    made,
    polled,
    require,
    session_server,
    state,
    stateless_server,
    update,
)

from tidegate.config.snapshot import Limits

pytestmark = pytest.mark.anyio


# -- a session's client, a stateless server --------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "depth"), [(64, 59), (400, 390)])
async def test_answers_may_be_as_deep_as_the_gateway_lets_them(limit: int, depth: int) -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, depth=limit)
    async with house(stateless_server(), transport="stdio", limits=limits) as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        await made(home, client)
        pending = about(client, "result")
        requests = {"a": {"method": "sampling/createMessage", "params": SAMPLE}}
        await polled(home, "input_required", inputRequests=requests)
        deep: Json = []
        for _ in range(depth):
            deep = [deep]
        client.answer(await client.questions.wait(lambda item: True), {**SAMPLED, "_meta": {"deep": deep}})
        call = await home.server.next_call()
        while call.method == "tasks/get":
            call.reply({"resultType": "complete", **flat("input_required", inputRequests=requests)})
            call = await home.server.next_call()
        assert call.params["inputResponses"]["a"]["_meta"] == {"deep": deep}
        call.reply({"resultType": "complete"})
        await polled(home, "completed", result={**CONTENT, "_meta": {"deep": deep}})
        assert (await pending.reply()).text == "done"


@pytest.mark.parametrize("answer", [None, 7, "Ada", [ACCEPT]])
async def test_an_answer_that_is_no_object_ends_the_wait(answer: Json) -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        await made(home, client)
        pending = about(client, "result")
        requests = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        await polled(home, "input_required", inputRequests=requests)
        client.answer(await client.questions.wait(lambda item: True), answer)
        assert "no object" in (await pending.reply()).error["message"]
        assert (await home.server.wait_heard("tasks/cancel")).params["taskId"] == "t-1"
        assert not home.server.said("tasks/update")


async def test_a_task_that_asks_what_cannot_be_asked_is_cancelled_for_who_knows_of_none() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        pending = client.tool("echo")
        require(await home.server.next_call())
        (await home.server.next_call()).reply({"resultType": "task", **flat("working")})
        await polled(home, "input_required", inputRequests={"a": {"method": "roots/list"}})
        assert "roots" in (await pending.reply()).error["message"]
        assert (await home.server.wait_heard("tasks/cancel")).params["taskId"] == "t-1"


async def test_a_task_whose_state_is_an_error_is_cancelled_for_who_knows_of_none() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        pending = client.tool("echo")
        require(await home.server.next_call())
        (await home.server.next_call()).reply({"resultType": "task", **flat("working")})
        (await home.server.next_call("tasks/get")).fail(-32603, "broken")
        assert (await pending.reply()).error == {"code": -32603, "message": "broken"}
        assert (await home.server.wait_heard("tasks/cancel")).params["taskId"] == "t-1"


@pytest.mark.parametrize("shown", [True, False])
async def test_a_task_that_cannot_be_asked_for_is_cancelled_for_who_knows_of_none(
    monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    monkeypatch.setattr("tidegate.pipeline.era.bridge.tasks.polled_task._FIRST_S", 0.01)
    monkeypatch.setattr("tidegate.pipeline.era.bridge.tasks.polled_task._SLOWEST_S", 0.01)
    async with house(stateless_server(), transport="http") as home:
        client = await home.client("http", "session")
        if shown:
            await made(home, client)
            pending = about(client, "result")
        else:
            pending = client.tool("echo")
            require(await home.server.next_call())
            (await home.server.next_call()).reply({"resultType": "task", **flat("working")})
        for _ in range(5):
            (await home.server.next_call("tasks/get")).reply(b"[]")
        assert "no object" in (await pending.reply()).error["message"]
        if shown:
            await client.call("ping")
            assert not home.server.said("tasks/cancel")
        else:
            assert (await home.server.wait_heard("tasks/cancel")).params["taskId"] == "t-1"


# -- a stateless client without tasks, a stateless server that makes one -----------------------------------------


async def test_an_error_of_a_task_of_a_stateless_server_reaches_a_stateless_client_as_it_is() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=ALL)
        pending = client.tool("echo")
        require(await home.server.next_call())
        (await home.server.next_call()).reply({"resultType": "task", **flat("working")})
        error = {"code": -32021, "message": "needs roots", "data": {"requiredCapabilities": {"roots": {}}}}
        await polled(home, "failed", error=error)
        assert (await pending.reply()).error == error


# -- a stateless client, a session server ----------------------------------------------------------------------


async def test_a_question_of_a_task_that_nobody_follows_is_not_put_to_a_call() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        for known in (False, True):
            if known:
                await begun(home, client)
            pending = client.tool("plain")
            call = await home.server.next_call("tools/call")
            answer = call.channel.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": "t-9"}}})
            assert "error" in await within(answer)
            assert not pending.answer.done()
            call.text("done")
            assert (await pending.reply()).text == "done"


async def test_a_question_that_names_no_task_is_the_call_s_while_a_result_is_waited_for() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        await begun(home, client)
        about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        waits = await home.server.next_call("tasks/result")
        pending = client.tool("plain")
        call = await home.server.next_call("tools/call")
        assert call.channel is waits.channel
        answer = call.channel.ask("elicitation/create", FORM)
        asked = (await pending.reply()).result
        ((key, _),) = asked["inputRequests"].items()
        params = {"name": "plain", "arguments": {}, "inputResponses": {key: ACCEPT}}
        last = client.begin("tools/call", params | {"requestState": asked["requestState"]})
        assert (await within(answer))["result"] == ACCEPT
        call.text("done")
        assert (await last.reply()).text == "done"
        # Without a call it can only be the task's.
        answer = waits.channel.ask("elicitation/create", FORM)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        ((key, _),) = (await pending.reply()).result["inputRequests"].items()
        await update(client, **{key: ACCEPT})
        assert (await within(answer))["result"] == ACCEPT


async def test_a_task_that_the_server_does_not_know_keeps_no_connection() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        call = await begun(home, client)
        service = home.daemon.gateway.services[0]
        (connection,) = {
            slot.connection for slot in service.slots.values() if slot.connection and slot.connection.has_tasks
        }
        question = call.channel.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": "t-1"}}})
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).fail(-32603, "later")
        assert (await pending.reply()).error["code"] == -32603
        assert connection.has_tasks
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).fail(-32602, "Task not found")
        assert (await pending.reply()).error == {"code": -32602, "message": "Task not found"}
        assert not connection.has_tasks
        assert "error" in await within(question)


async def test_questions_that_nobody_answers_are_refused_in_time() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_s=0.2)
    async with house(session_server(), transport="stdio", limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        await begun(home, client)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        waits = await home.server.next_call("tasks/result")
        related = {"_meta": {RELATED: {"taskId": "t-1"}}}
        answer = waits.ask("elicitation/create", FORM | related)
        ((key, _),) = (await pending.reply()).result["inputRequests"].items()
        assert "in time" in (await within(answer))["error"]["message"]
        cancelled = await home.server.wait_heard("notifications/cancelled")
        assert cancelled.params["requestId"] == waits.id
        # The task goes on. Late answers are those of nothing that is open.
        assert (await update(client, **{key: ACCEPT}))["result"] == {"resultType": "complete"}
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("completed"))
        (await home.server.next_call("tasks/result")).reply(CONTENT)
        assert (await pending.reply()).result["status"] == "completed"


async def test_tasks_that_wait_for_a_client_are_bounded() -> None:
    limits = Limits(rate_per_s=0, drain_s=0.0, suspended_per_client=1)
    async with house(session_server(), transport="stdio", limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        call = await begun(home, client)
        pending = client.tool("echo")
        (await home.server.next_call("tools/call")).reply({"task": state("working", taskId="t-2")})
        await pending.reply()
        for task, other in (("t-1", "t-2"), ("t-2", "t-1")):
            # The one that waits longest gives way.
            refused = call.channel.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": other}}})
            answer = call.channel.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": task}}})
            assert "error" in await within(refused)
            pending = about(client, "get", task)
            (await home.server.next_call("tasks/get")).reply(state("working", taskId=task))
            ((key, _),) = (await pending.reply()).result["inputRequests"].items()
            responses = {"inputResponses": {key: ACCEPT}}
            assert "result" in (await about(client, "update", task, **responses).reply()).message
            assert (await within(answer))["result"] == ACCEPT
