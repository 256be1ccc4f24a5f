"""Tasks between the eras, with the official SDK at the server's end, and at the client's where it has them.

The SDK's client does not take a task of 2025-11-25 for an answer, so clients that follow one write their messages by
themselves; those that see a plain call, and the stateless one with an extension, are the SDK's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from clients import HttpClient
from fronts import client_transport
from gateway import house
from gateway_process import Gateway, backend, gateway
from mcp import Client, ClientSession, types
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from node_runtime import node
from person import BOUND_S, Era, Person, text_of
from pydantic import TypeAdapter
from roads import SDK_TEST
from scripted_server import ScriptedServer
from task_server import EXTENSION, RELATED

pytestmark = SDK_TEST

ERAS: tuple[Era, ...] = ("session", "stateless")
ACCEPT = {"action": "accept", "content": {"name": "Ada"}}


def server_command(era: Era) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("task_server.py")), era]


@pytest.fixture(scope="module", params=ERAS)
def home(request: pytest.FixtureRequest) -> Iterator[tuple[Era, Gateway]]:
    """A gateway in front of a server of one era."""
    with gateway("[limits]\nrate_per_s = 0\n" + backend("greeter", command=server_command(request.param))) as running:
        yield request.param, running


# -- a client of 2025-11-25 --------------------------------------------------------------------------------------


@asynccontextmanager
async def in_session(running: Gateway) -> AsyncIterator[HttpClient]:
    client = HttpClient(running.http, "session", capabilities={"elicitation": {"form": {}}})
    await client.start()
    try:
        yield client
    finally:
        client.close()


async def made(client: HttpClient) -> types.Task:
    params = {"name": "greet", "arguments": {}, "task": {"ttl": 60_000}}
    created = types.CreateTaskResult.model_validate((await client.call("tools/call", params)).result)
    assert created.task.status == "working"
    assert created.task.ttl == 60_000
    return created.task


@pytest.mark.proves("tasks.follow", "tasks.question", cells=["session-session", "session-stateless"])
async def test_a_session_client_follows_a_task(home: tuple[Era, Gateway]) -> None:
    async with in_session(home[1]) as client:
        tasks = types.ServerCapabilities.model_validate(client.initialized["capabilities"]).tasks
        assert tasks is not None
        assert tasks.requests is not None
        assert tasks.requests.tools is not None
        assert tasks.requests.tools.call is not None
        task = await made(client)
        about = {"taskId": task.task_id}
        state = types.GetTaskResult.model_validate((await client.call("tasks/get", about)).result)
        assert state.status == "working"
        assert state.created_at == task.created_at
        assert state.poll_interval == 50
        pending = client.begin("tasks/result", about)
        question = await client.questions.wait(lambda asked: True)
        assert question["params"]["_meta"][RELATED] == about
        client.answer(question, ACCEPT)
        result = (await pending.reply()).result
        assert types.CallToolResult.model_validate(result).content == [types.TextContent(text="Hello Ada")]
        assert result["_meta"][RELATED] == about
        state = types.GetTaskResult.model_validate((await client.call("tasks/get", about)).result)
        assert state.status == "completed"
        assert len(client.questions) == 1


@pytest.mark.proves("tasks.follow", "tasks.question", cells=["session-session", "session-stateless"])
def test_the_typescript_sdk_follows_a_task(home: tuple[Era, Gateway]) -> None:
    era, running = home
    run = subprocess.run(
        [node(), str(Path(__file__).with_name("task_client.mjs")), running.http],
        capture_output=True,
        text=True,
        timeout=3 * BOUND_S,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    said = json.loads(run.stdout)
    assert said["support"] == ("required" if era == "session" else "optional")
    assert said["seen"][0] == "working"
    assert said["seen"][-1] == "result"
    assert said["text"] == "Hello Ada"
    assert said["asked"] == ["Whom shall I greet?"]


@pytest.mark.proves("tasks.cancel", cells=["session-session", "session-stateless"])
async def test_a_session_client_cancels_a_task(home: tuple[Era, Gateway]) -> None:
    async with in_session(home[1]) as client:
        about = {"taskId": (await made(client)).task_id}
        cancelled = types.CancelTaskResult.model_validate((await client.call("tasks/cancel", about)).result)
        assert cancelled.status == "cancelled"
        state = types.GetTaskResult.model_validate((await client.call("tasks/get", about)).result)
        assert state.status == "cancelled"
        assert (await client.call("tasks/cancel", about)).error["code"] == types.INVALID_PARAMS


@pytest.mark.proves("tasks.owner", cells=["session-session", "session-stateless"])
async def test_a_task_is_its_sessions_own(home: tuple[Era, Gateway]) -> None:
    async with in_session(home[1]) as client, in_session(home[1]) as other:
        about = {"taskId": (await made(client)).task_id}
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            foreign = (await other.call(method, about)).error
            unknown = (await other.call(method, {"taskId": "none"})).error
            assert foreign["code"] == unknown["code"] == types.INVALID_PARAMS
            assert foreign["message"].replace(about["taskId"], "none") == unknown["message"]


@pytest.mark.proves("tasks.list", cell="session-session")
@pytest.mark.shows_gap("tasks.list", cell="session-stateless")
async def test_tasks_are_listed_where_the_server_can(home: tuple[Era, Gateway]) -> None:
    async with in_session(home[1]) as client:
        task = await made(client)
        declared = client.initialized["capabilities"]["tasks"]
        answer = await client.call("tasks/list", {})
        if home[0] == "session":
            assert "list" in declared
            assert [each["taskId"] for each in answer.result["tasks"]] == [task.task_id]
        else:
            assert "list" not in declared
            assert answer.error["code"] == types.METHOD_NOT_FOUND


# -- a stateless client with the extension -----------------------------------------------------------------------


class TaskResult(types.Result):
    """What the server answers instead of the tool's result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    ttl_ms: int | None
    poll_interval_ms: int


class About(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class Ask(types.Request[About, str]):
    name_param = "taskId"


ANY: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


class Tasks(ClientExtension):
    """Polls a task to its end and answers what it asks, or cancels it."""

    identifier = EXTENSION

    def __init__(self, *, cancels: bool = False) -> None:
        self.cancels = cancels
        self.seen: list[str] = []
        self.task_id = ""

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=TaskResult, resolve=self.resolve)]

    async def ask(self, session: ClientSession, method: str, **more: Any) -> dict[str, Any]:
        answer = await session.send_request(Ask(method=method, params=About(task_id=self.task_id, **more)), ANY)
        assert answer["resultType"] == "complete"
        return answer

    async def resolve(self, made: TaskResult, context: ClaimContext) -> types.CallToolResult:
        session = context.session
        self.task_id = made.task_id
        self.seen.append(made.status)
        with anyio.fail_after(BOUND_S):
            while True:
                state = await self.ask(session, "tasks/get")
                assert (state["ttlMs"], state["pollIntervalMs"]) == (60_000, 50)
                self.seen.append(state["status"])
                if state["status"] == "completed":
                    return types.CallToolResult.model_validate(state["result"])
                if state["status"] == "cancelled":
                    raise MCPError(types.INTERNAL_ERROR, "cancelled")
                if self.cancels:
                    await self.ask(session, "tasks/cancel")
                elif state["status"] == "input_required":
                    await self.ask(
                        session, "tasks/update", input_responses=dict.fromkeys(state["inputRequests"], ACCEPT)
                    )
                await anyio.sleep(state["pollIntervalMs"] / 1000)


@asynccontextmanager
async def with_tasks(running: Gateway, tasks: Tasks) -> AsyncIterator[Client]:
    person = Person()
    async with Client(
        running.http,
        mode="auto",
        extensions=[tasks],
        elicitation_callback=person.on_elicit,
        cache=None,
        read_timeout_seconds=BOUND_S,
    ) as client:
        assert client.server_capabilities.extensions == {EXTENSION: {}}
        yield client


@pytest.mark.proves("tasks.follow", "tasks.question", cells=["stateless-session", "stateless-stateless"])
async def test_a_stateless_client_follows_a_task(home: tuple[Era, Gateway]) -> None:
    tasks = Tasks()
    async with with_tasks(home[1], tasks) as client:
        assert text_of(await client.call_tool("greet", {})) == "Hello Ada"
        assert tasks.seen[0] == "working"
        assert "input_required" in tasks.seen
        assert tasks.seen[-1] == "completed"


@pytest.mark.proves("tasks.cancel", cells=["stateless-session", "stateless-stateless"])
async def test_a_stateless_client_cancels_a_task(home: tuple[Era, Gateway]) -> None:
    tasks = Tasks(cancels=True)
    async with with_tasks(home[1], tasks) as client:
        with pytest.raises(MCPError, match="cancelled"):
            await client.call_tool("greet", {})


@pytest.mark.proves("tasks.owner", cells=["stateless-session", "stateless-stateless"])
async def test_a_task_is_its_principals_own(home: tuple[Era, Gateway]) -> None:
    """Behind a gateway with tokens."""
    config = "".join(
        f'[clients.{name}]\ntoken_sha256 = "{sha256(name.encode()).hexdigest()}"\n' for name in ("ann", "bob")
    )
    with gateway(config + backend("greeter", command=server_command(home[0]))) as running:
        ann, bob = (
            HttpClient(running.http, "modern", capabilities={"extensions": {EXTENSION: {}}}, token=name)
            for name in ("ann", "bob")
        )
        try:
            task = (await ann.call("tools/call", {"name": "greet", "arguments": {}})).result
            assert task["resultType"] == "task"
            for method in ("tasks/get", "tasks/update", "tasks/cancel"):
                params = {"inputResponses": {}} if method == "tasks/update" else {}
                foreign = (await bob.call(method, {"taskId": task["taskId"], **params})).error
                unknown = (await bob.call(method, {"taskId": "none", **params})).error
                assert foreign["code"] == unknown["code"] == types.INVALID_PARAMS
                assert foreign["message"].replace(task["taskId"], "none") == unknown["message"]
            assert (await ann.call("tasks/get", {"taskId": task["taskId"]})).result["status"] == "working"
        finally:
            ann.close()
            bob.close()


# -- clients without tasks ---------------------------------------------------------------------------------------


@pytest.mark.proves(
    "tasks.plain", cells=["session-session", "session-stateless", "stateless-session", "stateless-stateless"]
)
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("front", ["http", "tcp"])
async def test_a_client_without_tasks_sees_a_plain_call(
    home: tuple[Era, Gateway], era: Era, front: Literal["http", "tcp"]
) -> None:
    person = Person()
    async with person.client(client_transport(front, home[1]), era, abilities=("elicitation",)) as client:
        assert text_of(await client.call_tool("greet", {})) == "Hello Ada's name"
        assert [asked.message for asked in person.asked] == ["Whom shall I greet?"]


# -- what servers say of tasks by themselves, by scripts ---------------------------------------------------------

STATUS = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "status": "working"}


@pytest.mark.proves("tasks.status", cell="session-session")
async def test_a_session_client_hears_the_status_of_its_task() -> None:
    async with house(ScriptedServer("session"), transport="stdio") as home:
        client = await home.client("http", "session")
        other = await home.client("http", "session")
        pending = client.begin("tools/call", {"name": "echo", "arguments": {}, "task": {}})
        call = await home.server.next_call()
        call.reply({"task": {"taskId": "t", "ttl": None, **STATUS}})
        await pending.reply()
        call.channel.notify("notifications/tasks/status", {"taskId": "t", "ttl": None, **STATUS})
        heard = await client.notices.wait(lambda notice: notice["method"] == "notifications/tasks/status")
        assert heard["params"]["taskId"] == "t"
        await other.call("ping")
        assert not list(other.notices)


@pytest.mark.shows_gap("tasks.status", cells=["stateless-session", "stateless-stateless"])
@pytest.mark.parametrize("era", ["session", "modern"])
async def test_a_stateless_client_is_told_that_it_will_not_hear_of_tasks(era: str) -> None:
    async with house(ScriptedServer(era), transport="stdio") as home:
        client = await home.client("http", "modern", capabilities={"extensions": {EXTENSION: {}}})
        client.begin("subscriptions/listen", {"notifications": {"taskIds": ["t"]}})
        told = await client.notices.wait(lambda notice: notice["method"].endswith("acknowledged"))
        assert told["params"]["notifications"] == {}


@pytest.mark.shows_gap("tasks.status", cell="session-stateless")
async def test_a_stateless_server_is_not_asked_to_tell_of_tasks() -> None:
    server = ScriptedServer("modern")
    server.capabilities["extensions"] = {EXTENSION: {}}
    async with house(server, transport="stdio") as home:
        client = await home.client("http", "session")
        await client.call("tools/list")
        listen = await server.wait_heard("subscriptions/listen")
        assert "taskIds" not in listen.params["notifications"]
