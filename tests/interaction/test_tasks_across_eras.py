"""Tasks of 2025-11-25 and of the extension of 2026-07-28, each towards a client of the other era, by scripts."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import pytest
from clients import Pending
from gateway import House, house
from heard import Json, within
from scripted_server import Received, ScriptedServer, tool

from tidegate.config.snapshot import Client, Limits

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
DECLARED = "io.modelcontextprotocol/clientCapabilities"
FORM: Json = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
SAMPLE: Json = {"messages": [{"role": "user", "content": {"type": "text", "text": "?"}}], "maxTokens": 5}
SAMPLED: Json = {"role": "assistant", "content": {"type": "text", "text": "!"}, "model": "m"}
EXTENDED: Json = {"extensions": {EXTENSION: {}}}
ALL: Json = {"elicitation": {}, "sampling": {}}
ACCEPT: Json = {"action": "accept", "content": {"name": "Ada"}}
TIMES: Json = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z"}
CONTENT: Json = {"content": [{"type": "text", "text": "done"}]}

pytestmark = pytest.mark.anyio

roads = pytest.mark.parametrize(
    ("way_in", "way_out"), [("tcp", "stdio"), ("http", "http"), ("http", "stdio"), ("tcp", "http")]
)


def stateless_server(name: str = "one") -> ScriptedServer:
    server = ScriptedServer("modern", name)
    server.capabilities["extensions"] = {EXTENSION: {}}
    return server


def session_server(name: str = "one", support: str = "required") -> ScriptedServer:
    listed = (tool("echo", execution={"taskSupport": support}), tool("plain"))
    server = ScriptedServer("session", name, tools=listed)
    server.capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    return server


def flat(status: str, **more: Json) -> Json:
    """A task of the extension."""
    return {"taskId": "t-1", "status": status, **TIMES, "ttlMs": 60000, "pollIntervalMs": 50, **more}


def state(status: str, **more: Json) -> Json:
    """A task of 2025-11-25."""
    return {"taskId": "t-1", "status": status, **TIMES, "ttl": 60000, "pollInterval": 50, **more}


def about(client: Json, method: str, task_id: str = "t-1", **more: Json) -> Pending:
    return client.begin(f"tasks/{method}", {"taskId": task_id, **more})


def declares(call: Received) -> bool:
    return EXTENSION in call.params["_meta"][DECLARED].get("extensions", {})


# -- a session's client, a stateless server --------------------------------------------------------------------


async def made(home: House, client: Json, **more: Json) -> Json:
    """A session's client calls a tool as a task, and a stateless server makes one."""
    pending = client.begin("tools/call", {"name": "echo", "arguments": {"n": 1}, "task": {"ttl": 1000}})
    call = await home.server.next_call("tools/call")
    assert declares(call)
    assert "task" not in call.params
    assert call.params["arguments"] == {"n": 1}
    call.reply({"resultType": "task", **flat("working", **more)})
    return (await pending.reply()).result


@roads
async def test_a_session_client_follows_a_task_of_a_stateless_server(way_in: str, way_out: str) -> None:
    async with house(stateless_server(), transport=way_out) as home:
        client = await home.client(way_in, "session")
        able = client.initialized["capabilities"]
        assert able["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
        assert "extensions" not in able
        (listed,) = (await client.call("tools/list")).result["tools"]
        assert listed["execution"] == {"taskSupport": "optional"}
        assert await made(home, client) == {"task": state("working")}

        pending = about(client, "get")
        call = await home.server.next_call("tasks/get")
        assert declares(call)
        assert call.params["taskId"] == "t-1"
        if way_out == "http":
            assert call.headers["mcp-name"] == "t-1"
        call.reply({"resultType": "complete", **flat("working", statusMessage="half")})
        assert (await pending.reply()).result == state("working", statusMessage="half")

        pending = about(client, "result")
        (await home.server.next_call("tasks/get")).reply({"resultType": "complete", **flat("working")})
        ended = {"resultType": "complete", **flat("completed", result={"resultType": "complete", **CONTENT})}
        (await home.server.next_call("tasks/get")).reply(ended)
        assert (await pending.reply()).result == {**CONTENT, "_meta": {RELATED: {"taskId": "t-1"}}}

        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(ended)
        assert (await pending.reply()).result == state("completed")


async def polled(home: House, status: str, **more: Json) -> Received:
    """Answers the next `tasks/get`."""
    call = await home.server.next_call("tasks/get")
    call.reply({"resultType": "complete", **flat(status, **more)})
    return call


@roads
async def test_a_task_asks_the_session_client_each_thing_once(way_in: str, way_out: str) -> None:
    async with house(stateless_server(), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities=ALL)
        await made(home, client)
        pending = about(client, "result")
        one = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        both = {**one, "b": {"method": "sampling/createMessage", "params": SAMPLE}}
        await polled(home, "input_required", inputRequests=one)
        await polled(home, "input_required", inputRequests=both)
        await polled(home, "input_required", inputRequests=both)
        for number, wanted in enumerate(("elicitation/create", "sampling/createMessage")):
            question = await client.questions.wait(lambda item: True, skip=number)
            assert question["method"] == wanted
            assert question["params"]["_meta"] == {RELATED: {"taskId": "t-1"}}
        await polled(home, "input_required", inputRequests=both)
        client.answer(client.questions.items[0], ACCEPT)
        await polled(home, "input_required", inputRequests=both)
        client.answer(client.questions.items[1], SAMPLED)
        home.server.silent.add("tasks/get")
        update = await home.server.calls.wait(lambda call: call.method == "tasks/update")
        assert update.params["inputResponses"] == {"a": ACCEPT, "b": SAMPLED}
        update.reply({"resultType": "complete"})
        # The server may take its time to see the answers.
        await polled(home, "input_required", inputRequests=both)
        await polled(home, "completed", result=CONTENT)
        assert (await pending.reply()).text == "done"
        assert len(client.questions) == 2


async def test_a_tool_that_reports_an_error_has_failed_for_a_session_client() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        await made(home, client)
        wrong = {"content": [{"type": "text", "text": "no"}], "isError": True}
        pending = about(client, "get")
        await polled(home, "completed", result=wrong)
        assert (await pending.reply()).result == state("failed")
        pending = about(client, "result")
        await polled(home, "completed", result=wrong)
        result = (await pending.reply()).result
        assert result["isError"] is True


async def test_errors_of_the_request_reach_a_session_client() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        await made(home, client)
        pending = about(client, "result")
        await polled(home, "failed", error={"code": -32603, "message": "limit", "data": [1]})
        assert (await pending.reply()).error == {"code": -32603, "message": "limit", "data": [1]}
        pending = about(client, "result")
        await polled(home, "cancelled", statusMessage="by someone")
        assert "cancelled: by someone" in (await pending.reply()).error["message"]
        pending = about(client, "result")
        (await home.server.next_call("tasks/get")).fail(-32602, "Task has expired")
        assert (await pending.reply()).error == {"code": -32602, "message": "Task has expired"}


async def test_a_session_client_cancels() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        await made(home, client)
        waits = about(client, "result")
        await polled(home, "working")
        pending = about(client, "cancel")
        while not pending.answer.done():
            call = await home.server.next_call()
            assert declares(call)
            if call.method == "tasks/get":
                call.reply({"resultType": "complete", **flat("working")})
            else:
                assert call.method == "tasks/cancel"
                call.reply({"resultType": "complete"})
                break
        result = (await pending.reply()).result
        assert result["status"] == "cancelled"
        assert result["taskId"] == "t-1"
        assert "cancelled" in (await waits.reply()).error["message"]
        # Cancelled is what it stays, though the server may still finish it.
        pending = about(client, "get")
        await polled(home, "completed", result=CONTENT)
        assert (await pending.reply()).result["status"] == "cancelled"
        assert "cancelled" in (await about(client, "result").reply()).error["message"]
        pending = about(client, "cancel")
        await polled(home, "completed", result=CONTENT)
        assert (await pending.reply()).error["code"] == -32602


async def test_a_finished_task_cannot_be_cancelled_by_a_session_client() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        await made(home, client)
        pending = about(client, "cancel")
        await polled(home, "completed", result=CONTENT)
        error = (await pending.reply()).error
        assert error["code"] == -32602
        assert "'completed'" in error["message"]
        assert not home.server.said("tasks/cancel")


async def test_what_a_server_answers_at_once_is_kept_as_a_finished_task() -> None:
    async with house(stateless_server(), transport="http") as home:
        client = await home.client("http", "session")
        other = await home.client("http", "session")
        pending = client.begin("tools/call", {"name": "echo", "arguments": {}, "task": {"ttl": 5000}})
        (await home.server.next_call()).text("at once")
        task = (await pending.reply()).result["task"]
        assert task["status"] == "working"
        assert task["ttl"] == 5000
        result = (await about(client, "get", task["taskId"]).reply()).result
        assert result == {**task, "status": "completed"}
        result = (await about(client, "result", task["taskId"]).reply()).result
        assert result == {
            "content": [{"type": "text", "text": "at once"}],
            "_meta": {RELATED: {"taskId": task["taskId"]}},
        }
        assert (await about(client, "cancel", task["taskId"]).reply()).error["code"] == -32602
        assert (await about(other, "get", task["taskId"]).reply()).error["code"] == -32602
        assert not home.server.said("tasks/get")


async def test_kept_results_are_bounded() -> None:
    async with house(stateless_server(), transport="http", limits=Limits(rate_per_s=0, drain_s=0.0)) as home:
        client = await home.client("http", "session")
        ids = []
        for number in range(34):
            pending = client.begin("tools/call", {"name": "echo", "arguments": {}, "task": {}})
            (await home.server.next_call()).text(str(number))
            ids.append((await pending.reply()).result["task"]["taskId"])
        assert (await about(client, "result", ids[0]).reply()).error["code"] == -32602
        assert (await about(client, "result", ids[1]).reply()).error["code"] == -32602
        assert (await about(client, "result", ids[2]).reply()).text == "2"


async def test_a_server_may_ask_before_it_makes_the_task() -> None:
    async with house(stateless_server(), transport="http") as home:
        client = await home.client("http", "session", capabilities=ALL)
        pending = client.begin("tools/call", {"name": "echo", "arguments": {}, "task": {}})
        call = await home.server.next_call()
        requests = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        call.reply({"resultType": "input_required", "inputRequests": requests, "requestState": "s"})
        client.answer(await client.questions.wait(lambda item: True), ACCEPT)
        call = await home.server.next_call()
        assert call.params["inputResponses"] == {"a": ACCEPT}
        assert declares(call)
        assert "task" not in call.params
        call.reply({"resultType": "task", **flat("working")})
        assert (await pending.reply()).result == {"task": state("working")}


@pytest.mark.parametrize("more", [{}, {"revision": "2025-06-18"}])
async def test_a_plain_call_of_a_session_client_never_declares_the_extension(more: Json) -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session", **more)
        if more:
            assert "tasks" not in client.initialized["capabilities"]
            assert "execution" not in (await client.call("tools/list")).result["tools"][0]
        params: Json = {"name": "echo", "arguments": {}} | ({"task": {}} if more else {})
        pending = client.begin("tools/call", params)
        call = await home.server.next_call()
        assert not declares(call)
        assert "task" not in call.params
        call.text("done")
        assert (await pending.reply()).result == CONTENT


async def test_a_client_that_leaves_tasks_result_may_come_back_and_is_asked_again() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        await made(home, client)
        first = about(client, "result")
        requests = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        await polled(home, "input_required", inputRequests=requests)
        question = await client.questions.wait(lambda item: True)
        client.cancel(first)
        notice = await client.notices.wait(lambda one: one["method"] == "notifications/cancelled")
        assert notice["params"]["requestId"] == question["id"]
        client.answer(question, ACCEPT)
        again = about(client, "result")
        while len(client.questions) != 2:
            await polled(home, "input_required", inputRequests=requests)
            await asyncio.sleep(0.01)
        client.answer(client.questions.items[1], ACCEPT)
        call = await home.server.next_call()
        while call.method == "tasks/get":
            call.reply({"resultType": "complete", **flat("input_required", inputRequests=requests)})
            call = await home.server.next_call()
        call.reply({"resultType": "complete"})
        await polled(home, "completed", result=CONTENT)
        assert (await again.reply()).text == "done"


async def test_two_that_wait_for_one_task_are_answered_both() -> None:
    async with house(stateless_server(), transport="http") as home:
        client = await home.client("http", "session")
        await made(home, client)
        one, other = about(client, "result"), about(client, "result")
        await polled(home, "working")
        await polled(home, "completed", result=CONTENT)
        assert (await one.reply()).text == "done"
        assert (await other.reply()).text == "done"


async def test_a_task_of_another_looks_like_none() -> None:
    owners = [Client(name, sha256(name.encode()).hexdigest()) for name in ("ann", "bob")]
    async with house(stateless_server(), transport="http", owners=owners) as home:
        ann = await home.client("http", "session", token="ann")
        bob = await home.client("http", "session", token="bob")
        await made(home, ann)
        for method in ("get", "result", "cancel"):
            foreign = (await about(bob, method).reply()).error
            unknown = (await about(bob, method, "t-2").reply()).error
            assert foreign["code"] == unknown["code"] == -32602
            assert foreign["message"].replace("t-1", "t-2") == unknown["message"]
        pending = about(ann, "get")
        await polled(home, "working")
        assert (await pending.reply()).result["status"] == "working"


# -- a plain call, a stateless server that makes a task of it ---------------------------------------------------


def require(call: Received) -> None:
    required = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    call.fail(-32021, "Missing required client capability", required)


@roads
async def test_a_tool_that_a_stateless_server_runs_as_a_task_only(way_in: str, way_out: str) -> None:
    async with house(stateless_server(), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities=ALL)
        pending = client.tool("echo", {"n": 1})
        call = await home.server.next_call()
        assert not declares(call)
        require(call)
        call = await home.server.next_call()
        assert declares(call)
        assert set(call.params["_meta"][DECLARED]) == {*ALL, "extensions"}
        assert call.params["arguments"] == {"n": 1}
        call.reply({"resultType": "task", **flat("working")})
        requests = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        await polled(home, "input_required", inputRequests=requests)
        client.answer(await client.questions.wait(lambda item: True), ACCEPT)
        call = await home.server.next_call()
        while call.method == "tasks/get":
            call.reply({"resultType": "complete", **flat("input_required", inputRequests=requests)})
            call = await home.server.next_call()
        assert call.params["inputResponses"] == {"a": ACCEPT}
        call.reply({"resultType": "complete"})
        await polled(home, "completed", result=CONTENT)
        assert (await pending.reply()).result == CONTENT


async def test_cancelling_the_call_cancels_the_task_of_a_stateless_server() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        pending = client.tool("echo")
        require(await home.server.next_call())
        (await home.server.next_call()).reply({"resultType": "task", **flat("working")})
        await polled(home, "working")
        client.cancel(pending)
        cancel = await home.server.wait_heard("tasks/cancel")
        assert cancel.params["taskId"] == "t-1"
        assert declares(cancel)


@roads
async def test_a_stateless_client_without_tasks_on_a_server_that_needs_them(way_in: str, way_out: str) -> None:
    async with house(stateless_server(), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities=ALL)
        params: Json = {"name": "echo", "arguments": {"n": 1}}
        pending = client.begin("tools/call", params)
        call = await home.server.next_call()
        assert not declares(call)
        require(call)
        call = await home.server.next_call()
        assert set(call.params["_meta"][DECLARED]) == {*ALL, "extensions"}
        # Its own rounds come before the task, and are the server's.
        requests = {"a": {"method": "elicitation/create", "params": FORM | {"mode": "form"}}}
        call.reply({"resultType": "input_required", "inputRequests": requests, "requestState": "tg1.of.server"})
        asked = (await pending.reply()).result
        assert asked["requestState"] == "tg1.of.server"
        retried = params | {"inputResponses": {"a": ACCEPT}, "requestState": "tg1.of.server"}
        pending = client.begin("tools/call", retried)
        require(await home.server.next_call())
        call = await home.server.next_call()
        assert call.params["requestState"] == "tg1.of.server"
        call.reply({"resultType": "task", **flat("working")})
        await polled(home, "input_required", inputRequests=requests)
        asked = (await pending.reply()).result
        ((key, request),) = asked["inputRequests"].items()
        assert request["params"]["message"] == "Name?"
        last = client.begin(
            "tools/call", params | {"inputResponses": {key: ACCEPT}, "requestState": asked["requestState"]}
        )
        call = await home.server.next_call()
        while call.method == "tasks/get":
            call.reply({"resultType": "complete", **flat("input_required", inputRequests=requests)})
            call = await home.server.next_call()
        assert call.method == "tasks/update"
        assert call.params["inputResponses"] == {"a": ACCEPT}
        call.reply({"resultType": "complete"})
        await polled(home, "completed", result=CONTENT)
        assert (await last.reply()).result == {**CONTENT, "resultType": "complete"}


async def test_other_errors_of_a_server_with_tasks_pass_unchanged() -> None:
    async with house(stateless_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern")
        pending = client.tool("echo")
        needed = {"requiredCapabilities": {"sampling": {}}}
        (await home.server.next_call()).fail(-32021, "needs sampling", needed)
        assert (await pending.reply()).error == {"code": -32021, "message": "needs sampling", "data": needed}


# -- a stateless client, a session server ----------------------------------------------------------------------


async def begun(home: House, client: Json) -> Received:
    """A stateless client calls a tool that its session server runs as a task only."""
    pending = client.tool("echo", {"n": 1})
    call = await home.server.next_call("tools/call")
    assert call.params["task"] == {}
    call.reply({"task": state("working")})
    result = (await pending.reply()).result
    assert result == {"resultType": "task", **flat("working")}
    return call


@roads
async def test_a_stateless_client_follows_a_task_of_a_session_server(way_in: str, way_out: str) -> None:
    async with house(session_server(), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities=EXTENDED)
        able = (await client.call("server/discover")).result["capabilities"]
        assert able["extensions"] == {EXTENSION: {}}
        assert "tasks" not in able
        assert "execution" not in (await client.call("tools/list")).result["tools"][0]
        await begun(home, client)

        pending = about(client, "get")
        call = await home.server.next_call("tasks/get")
        assert "_meta" not in call.params or DECLARED not in call.params["_meta"]
        call.reply(state("working", statusMessage="half"))
        assert (await pending.reply()).result == {"resultType": "complete", **flat("working", statusMessage="half")}

        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("completed"))
        call = await home.server.next_call("tasks/result")
        call.reply({**CONTENT, "_meta": {RELATED: {"taskId": "t-1"}}})
        result = (await pending.reply()).result
        assert result == {
            "resultType": "complete",
            **flat("completed", result={**CONTENT, "resultType": "complete"}),
        }


async def update(client: Json, **responses: Json) -> Json:
    return (await about(client, "update", inputResponses=responses).reply()).message


@roads
async def test_questions_of_a_task_are_shown_and_answered(way_in: str, way_out: str) -> None:
    async with house(session_server(), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities={**ALL, **EXTENDED})
        await begun(home, client)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        waits = await home.server.next_call("tasks/result")
        related = {"_meta": {RELATED: {"taskId": "t-1"}}}
        form = waits.ask("elicitation/create", FORM | related)
        sample = waits.ask("sampling/createMessage", SAMPLE | related)
        result = (await pending.reply()).result
        assert result["resultType"] == "complete"
        assert result["status"] == "input_required"
        asked = result["inputRequests"]
        keys = {request["method"]: key for key, request in asked.items()}
        assert set(keys) == {"elicitation/create", "sampling/createMessage"}
        assert "_meta" not in asked[keys["elicitation/create"]]["params"]

        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        assert (await pending.reply()).result["inputRequests"] == asked
        bad = await update(client, **{keys["elicitation/create"]: "Ada"})
        assert bad["error"]["code"] == -32602
        acked = await update(client, **{keys["elicitation/create"]: ACCEPT, "nothing": {}})
        assert acked["result"] == {"resultType": "complete"}
        assert (await within(form))["result"] == ACCEPT
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        assert list((await pending.reply()).result["inputRequests"]) == [keys["sampling/createMessage"]]
        await update(client, **{keys["sampling/createMessage"]: SAMPLED, keys["elicitation/create"]: {}})
        assert (await within(sample))["result"] == SAMPLED

        # A later question has a key of its own.
        waits.ask("elicitation/create", FORM | related)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        (later,) = (await pending.reply()).result["inputRequests"]
        assert later not in keys.values()
        await update(client, **{later: ACCEPT})
        waits.reply(CONTENT | related)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("completed"))
        result = (await pending.reply()).result
        assert result["status"] == "completed"
        assert result["result"]["content"] == CONTENT["content"]
        assert len(home.server.said("tasks/result")) == 1


async def test_a_server_that_wants_input_and_does_not_say_what_still_works() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        await begun(home, client)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("input_required"))
        await home.server.next_call("tasks/result")
        assert (await pending.reply()).result["status"] == "working"


async def test_questions_of_tasks_on_one_connection_reach_their_own() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        call = await begun(home, client)
        pending = client.tool("echo")
        second = await home.server.next_call("tools/call")
        assert second.channel is call.channel
        second.reply({"task": state("working", taskId="t-2")})
        await pending.reply()
        plain = client.tool("plain")
        await home.server.next_call("tools/call")
        for task in ("t-2", "t-1"):
            call.channel.ask("elicitation/create", FORM | {"message": task, "_meta": {RELATED: {"taskId": task}}})
        for task in ("t-1", "t-2"):
            pending = about(client, "get", task)
            (await home.server.next_call("tasks/get")).reply(state("working", taskId=task))
            result = (await pending.reply()).result
            assert result["status"] == "input_required"
            (request,) = result["inputRequests"].values()
            assert request["params"]["message"] == task
        assert not plain.answer.done()


async def test_a_task_that_failed_shows_why() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        await begun(home, client)
        pending = about(client, "get")
        (await home.server.next_call("tasks/get")).reply(state("failed", statusMessage="limit"))
        (await home.server.next_call("tasks/result")).fail(-32603, "limit", {"x": 1})
        result = (await pending.reply()).result
        assert result == {
            "resultType": "complete",
            **flat("failed", statusMessage="limit", error={"code": -32603, "message": "limit", "data": {"x": 1}}),
        }


async def test_a_tool_that_reports_an_error_is_complete_for_a_stateless_client() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        await begun(home, client)
        wrong = {"content": [{"type": "text", "text": "no"}], "isError": True}
        for _ in range(2):
            pending = about(client, "get")
            (await home.server.next_call("tasks/get")).reply(state("failed"))
            if not home.server.said("tasks/result"):
                (await home.server.next_call("tasks/result")).reply(wrong)
            result = (await pending.reply()).result
            assert result == {"resultType": "complete", **flat("completed", result={**wrong, "resultType": "complete"})}


async def test_a_stateless_client_cancels() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        call = await begun(home, client)
        question = call.channel.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": "t-1"}}})
        pending = about(client, "cancel")
        (await home.server.next_call("tasks/cancel")).reply(state("cancelled"))
        assert (await pending.reply()).result == {"resultType": "complete"}
        assert "error" in await within(question)


async def test_a_finished_task_is_cancelled_without_an_error() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        await begun(home, client)
        pending = about(client, "cancel")
        (await home.server.next_call("tasks/cancel")).fail(-32602, "already in terminal status")
        assert (await pending.reply()).result == {"resultType": "complete"}


async def test_tasks_of_a_session_server_are_for_clients_that_declare_them() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        plain = await home.client("tcp", "modern")
        await begun(home, client)
        error = (await about(plain, "get").reply()).error
        assert error["code"] == -32021
        assert error["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        assert (await about(client, "get", "t-9").reply()).error["code"] == -32602
        assert (await about(client, "result").reply()).error["code"] == -32601
        assert (await client.call("tasks/get", {})).error["code"] == -32602


async def test_a_task_of_another_principal_looks_like_none_to_a_stateless_client() -> None:
    owners = [Client(name, sha256(name.encode()).hexdigest()) for name in ("ann", "bob")]
    async with house(session_server(), transport="http", owners=owners) as home:
        ann = await home.client("http", "modern", token="ann", capabilities=EXTENDED)
        bob = await home.client("http", "modern", token="bob", capabilities=EXTENDED)
        await begun(home, ann)
        for method in ("get", "update", "cancel"):
            foreign = (await about(bob, method, inputResponses={}).reply()).error
            unknown = (await about(bob, method, "t-2", inputResponses={}).reply()).error
            assert foreign["code"] == unknown["code"] == -32602
            assert foreign["message"].replace("t-1", "t-2") == unknown["message"]


@pytest.mark.parametrize("support", ["optional", "forbidden"])
async def test_a_tool_that_need_not_be_a_task_is_called_directly(support: str) -> None:
    async with house(session_server(support=support), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        pending = client.tool("echo")
        call = await home.server.next_call()
        assert "task" not in call.params
        call.text("done")
        assert (await pending.reply()).text == "done"


async def test_a_stateless_client_cannot_ask_for_a_task() -> None:
    async with house(session_server(support="optional"), transport="stdio") as home:
        client = await home.client("tcp", "modern", capabilities=EXTENDED)
        params = {"name": "echo", "arguments": {"task": {"ttl": 1}}, "task": {"ttl": 1}}
        pending = client.begin("tools/call", params)
        call = await home.server.next_call()
        assert "task" not in call.params
        assert call.params["arguments"] == {"task": {"ttl": 1}}
        call.text("done")
        assert (await pending.reply()).text == "done"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"status": 7},
        {"status": "completed"},
        {"status": "completed", "result": "text"},
        {"status": "failed", "error": []},
        {"status": "input_required", "inputRequests": []},
        {"status": "input_required", "inputRequests": {"a": 1}},
        {"status": "input_required", "inputRequests": {"a": {"method": "sampling/createMessage", "params": []}}},
        {"status": "input_required", "inputRequests": {"a": {"method": "tools/call", "params": {}}}},
    ],
)
async def test_a_server_that_makes_no_sense_of_its_task_ends_the_wait_or_is_asked_again(said: Json) -> None:
    async with house(stateless_server(), transport="http") as home:
        client = await home.client("http", "session", capabilities=ALL)
        await made(home, client)
        pending = about(client, "result")
        await polled(home, **{"status": "working"} | said)
        if said.get("status") not in ("completed", "failed") and not isinstance(said.get("inputRequests"), dict):
            await polled(home, "completed", result=CONTENT)
            assert (await pending.reply()).text == "done"
        else:
            assert "code" in (await pending.reply()).error
        assert not client.questions.items
        await client.call("ping")


@pytest.mark.parametrize("task", [7, None, {}, {"taskId": 7}, {"taskId": "t-1", "status": []}])
async def test_a_session_server_that_makes_no_sense_of_its_task_harms_nobody(task: Json) -> None:
    async with house(session_server(), transport="stdio") as home:
        for declared in (EXTENDED, {}):
            client = await home.client("tcp", "modern", capabilities=declared)
            pending = client.tool("echo")
            (await home.server.next_call()).reply({"task": task})
            if declared or not isinstance(task, dict) or task.get("taskId") != "t-1":
                await pending.reply()
            pending = client.tool("plain")
            (await home.server.next_call("tools/call")).text("done")
            assert (await pending.reply()).text == "done"


# -- a plain call, a session server that makes a task of it -----------------------------------------------------


@roads
@pytest.mark.parametrize("more", [{}, {"revision": "2025-06-18"}])
async def test_a_tool_that_a_session_server_runs_as_a_task_only(way_in: str, way_out: str, more: Json) -> None:
    async with house(session_server(), transport=way_out) as home:
        client = await home.client(way_in, "session", capabilities=ALL, **more)
        pending = client.tool("echo", {"n": 1})
        call = await home.server.next_call()
        assert call.params["task"] == {}
        assert call.params["arguments"] == {"n": 1}
        call.reply({"task": state("working")})
        waits = await home.server.next_call("tasks/result")
        answer = waits.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": "t-1"}}})
        client.answer(await client.questions.wait(lambda item: True), ACCEPT)
        assert (await within(answer))["result"] == ACCEPT
        waits.reply({**CONTENT, "_meta": {RELATED: {"taskId": "t-1"}}})
        assert (await pending.reply()).result == CONTENT


@roads
async def test_a_stateless_client_without_tasks_sees_a_plain_call(way_in: str, way_out: str) -> None:
    async with house(session_server(), transport=way_out) as home:
        client = await home.client(way_in, "modern", capabilities=ALL)
        pending = client.tool("echo", {"n": 1})
        call = await home.server.next_call()
        assert call.params["task"] == {}
        call.reply({"task": state("working")})
        waits = await home.server.next_call("tasks/result")
        answer = waits.ask("elicitation/create", FORM | {"_meta": {RELATED: {"taskId": "t-1"}}})
        asked = (await pending.reply()).result
        assert asked["resultType"] == "input_required"
        ((key, request),) = asked["inputRequests"].items()
        assert request["params"]["message"] == "Name?"
        params = {"name": "echo", "arguments": {"n": 1}, "inputResponses": {key: ACCEPT}}
        last = client.begin("tools/call", params | {"requestState": asked["requestState"]})
        assert (await within(answer))["result"] == ACCEPT
        waits.reply(CONTENT)
        assert (await last.reply()).result == {**CONTENT, "resultType": "complete"}


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_cancelling_the_call_cancels_the_task_of_a_session_server(era: str) -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        (await home.server.next_call()).reply({"task": state("working")})
        await home.server.next_call("tasks/result")
        client.cancel(pending)
        assert (await home.server.wait_heard("tasks/cancel")).params["taskId"] == "t-1"


@pytest.mark.parametrize("era", ["session", "modern"])
async def test_errors_of_a_task_are_those_of_the_plain_call(era: str) -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", era)
        pending = client.tool("echo")
        (await home.server.next_call()).reply({"task": state("working")})
        (await home.server.next_call("tasks/result")).fail(-32603, "limit")
        assert (await pending.reply()).error == {"code": -32603, "message": "limit"}
        pending = client.tool("echo")
        (await home.server.next_call()).fail(-32602, "bad arguments")
        assert (await pending.reply()).error["message"] == "bad arguments"
        pending = client.tool("echo")
        (await home.server.next_call()).text("no task after all")
        assert (await pending.reply()).text == "no task after all"


async def test_progress_goes_on_while_the_task_runs() -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "session")
        for params in ({"name": "echo", "task": {}}, {"name": "echo"}):
            pending = client.begin("tools/call", params, meta={"progressToken": "p"})
            call = await home.server.next_call("tools/call")
            call.progress(1)
            call.reply({"task": state("working")})
            call.progress(2)
            call.channel.notify("notifications/tasks/status", state("working"))
            if "task" not in params:
                (await home.server.next_call("tasks/result")).reply(CONTENT)
            await pending.reply()
            await client.call("ping")
        heard = [(one["method"], one["params"].get("progress")) for one in client.notices]
        progress = "notifications/progress"
        # Who does not know of the task does not hear of its status.
        assert heard == [
            (progress, 1), (progress, 2), ("notifications/tasks/status", None), (progress, 1), (progress, 2)
        ]  # fmt: skip


async def test_a_connection_with_an_unfinished_task_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.pipeline.upstream.lanes._IDLE_S", 0.0)
    limits = Limits(rate_per_s=0, drain_s=0.0, session_idle_s=0.0)
    async with house(session_server(), transport="stdio", limits=limits) as home:
        client = await home.client("tcp", "modern", capabilities={**ALL, **EXTENDED})
        call = await begun(home, client)
        service = home.daemon.gateway.services[0]
        await asyncio.sleep(0.01)
        service._lanes._sweep()
        pending = about(client, "get")
        call = await home.server.next_call("tasks/get")
        call.reply(state("cancelled"))
        assert (await pending.reply()).result["status"] == "cancelled"
        assert not call.channel.closed.is_set()
        await asyncio.sleep(0.01)
        service._lanes._sweep()
        await within(call.channel.closed.wait())


@pytest.mark.parametrize("over", ["get", "result", "cancel"])
async def test_the_connection_of_a_session_stays_while_its_task_runs(over: str) -> None:
    async with house(session_server(), transport="stdio") as home:
        client = await home.client("tcp", "session", capabilities=ALL)
        pending = client.begin("tools/call", {"name": "echo", "task": {}})
        (await home.server.next_call()).reply({"task": state("working")})
        await pending.reply()
        service = home.daemon.gateway.services[0]
        (slot,) = [slot for slot in service.slots.values() if slot.client is not None]
        assert slot.connection is not None
        pending = about(client, "get")
        (await home.server.next_call()).reply(state("working"))
        await pending.reply()
        assert slot.connection.has_tasks
        pending = about(client, over)
        (await home.server.next_call()).reply(CONTENT if over == "result" else state("cancelled"))
        await pending.reply()
        assert not slot.connection.has_tasks


# -- several servers --------------------------------------------------------------------------------------------


async def test_tasks_of_several_servers_find_their_own() -> None:
    async with house(stateless_server("new"), session_server("old"), transport="http") as home:
        new, old = home.servers
        client = await home.client("http", "session")
        assert client.initialized["capabilities"]["tasks"] == {"cancel": {}, "requests": {"tools": {"call": {}}}}
        for server, task_id, task in (
            (new, "n", {"resultType": "task", **flat("working", taskId="n")}),
            (old, "o", {"task": state("working", taskId="o")}),
        ):
            pending = client.begin("tools/call", {"name": f"{server.name}__echo", "arguments": {}, "task": {}})
            (await server.next_call("tools/call")).reply(task)
            assert (await pending.reply()).result["task"]["taskId"] == task_id
        pending = about(client, "get", "n")
        (await new.next_call("tasks/get")).reply({"resultType": "complete", **flat("working", taskId="n")})
        assert (await pending.reply()).result == state("working", taskId="n")
        pending = about(client, "get", "o")
        (await old.next_call("tasks/get")).reply(state("working", taskId="o"))
        assert (await pending.reply()).result == state("working", taskId="o")
        assert (await client.call("tasks/list")).error["code"] == -32601

        client = await home.client("http", "modern", capabilities=EXTENDED)
        assert (await client.call("server/discover")).result["capabilities"]["extensions"] == {EXTENSION: {}}
        assert (await about(client, "get", "n").reply()).error["code"] == -32602
        pending = client.tool("old__echo")
        (await old.next_call("tools/call")).reply({"task": state("working", taskId="p")})
        assert (await pending.reply()).result["taskId"] == "p"
        pending = client.tool("new__echo")
        (await new.next_call("tools/call")).reply({"resultType": "task", **flat("working", taskId="q")})
        assert (await pending.reply()).result["taskId"] == "q"
        pending = about(client, "get", "q")
        (await new.next_call("tasks/get")).reply({"resultType": "complete", **flat("working", taskId="q")})
        assert (await pending.reply()).result == {"resultType": "complete", **flat("working", taskId="q")}
