"""A server that runs a tool as a task, in one era only. Usage: python task_server.py session|stateless.

The official SDK has no tasks of its own at present. Of 2025-11-25 it has the types and of the extension nothing, so
both are written here as anybody would on top of the SDK: as an extension, and as a middleware.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import anyio
from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.runner import _serve_modern_stream, serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

Ctx: TypeAlias = ServerRequestContext[Any, Any]

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
REQUIRED = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
ASKED = {"mode": "form", "message": "Whom shall I greet?", "requestedSchema": SCHEMA}
WORDS = {"session": ("ttl", "pollInterval"), "stateless": ("ttlMs", "pollIntervalMs")}


class TaskParams(types.RequestParams):
    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class Greeting:
    """One task: waits for a name, then greets."""

    def __init__(self, era: str) -> None:
        self.era = era
        self.task_id = secrets.token_urlsafe(16)
        self.created = datetime.now(UTC).isoformat()
        self.polls = 0
        self.cancelled = False
        self.name: str | None = None
        self.done = anyio.Event()

    def answered(self, action: str, content: Any) -> None:
        self.name = content["name"] if action == "accept" else action
        self.done.set()

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        if self.name is not None:
            return "completed"
        return "input_required" if self.polls > 1 else "working"

    @property
    def result(self) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": f"Hello {self.name}"}], "isError": False}

    def state(self) -> dict[str, Any]:
        ttl, interval = WORDS[self.era]
        now = datetime.now(UTC).isoformat()
        task = {"taskId": self.task_id, "status": self.status, "createdAt": self.created, "lastUpdatedAt": now}
        return {**task, ttl: 60_000, interval: 50}


class Greeter:
    """What both eras have, and the handlers of each."""

    def __init__(self, era: str) -> None:
        self.era = era
        self.tasks: dict[str, Greeting] = {}

    async def list_tools(self, ctx: Ctx, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        execution = types.ToolExecution(task_support="required") if self.era == "session" else None
        return types.ListToolsResult(tools=[types.Tool(name="greet", input_schema=SCHEMA, execution=execution)])

    def make(self) -> Greeting:
        task = Greeting(self.era)
        self.tasks[task.task_id] = task
        return task

    def find(self, params: TaskParams) -> Greeting:
        task = self.tasks.get(params.task_id)
        if task is None:
            raise MCPError(types.INVALID_PARAMS, "Task not found")
        return task

    # -- the extension ----------------------------------------------------------------------------------------------

    async def call_tool(self, ctx: Ctx, params: types.CallToolRequestParams) -> Any:
        _require_extension(params)
        return {"resultType": "task", **self.make().state()}

    async def get(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        _require_extension(params)
        task = self.find(params)
        task.polls += 1
        state = task.state()
        if task.status == "input_required":
            state["inputRequests"] = {"name": {"method": "elicitation/create", "params": ASKED}}
        elif task.status == "completed":
            state["result"] = task.result
        return state

    async def update(self, ctx: Ctx, params: UpdateParams) -> dict[str, Any]:
        _require_extension(params)
        answer = params.input_responses.get("name")
        if answer is not None:
            self.find(params).answered(answer["action"], answer.get("content"))
        return {}

    async def cancel(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        _require_extension(params)
        self.find(params).cancelled = True
        return {}

    # -- 2025-11-25 -------------------------------------------------------------------------------------------------

    async def make_in_session(self, ctx: Ctx, call_next: Callable[[Ctx], Awaitable[Any]]) -> Any:
        """Middleware: the SDK would not let a `CreateTaskResult` pass."""
        if ctx.method == "tools/call":
            if "task" not in (ctx.params or {}):
                raise MCPError(types.METHOD_NOT_FOUND, "This tool runs as a task only")
            return {"task": self.make().state()}
        return await call_next(ctx)

    async def get_in_session(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        task = self.find(params)
        task.polls += 1
        return task.state()

    async def result_in_session(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        """Asks while the client waits here."""
        task = self.find(params)
        related = {RELATED: {"taskId": task.task_id}}
        if task.name is None and not task.cancelled:
            form = types.ElicitRequestFormParams.model_validate({**ASKED, "_meta": related})
            answer = await ctx.session.send_request(types.ElicitRequest(params=form), types.ElicitResult)
            task.answered(answer.action, answer.content)
        return {**task.result, "_meta": related}

    async def list_in_session(self, ctx: Ctx, params: types.PaginatedRequestParams) -> dict[str, Any]:
        return {"tasks": [task.state() for task in self.tasks.values()]}

    async def cancel_in_session(self, ctx: Ctx, params: TaskParams) -> dict[str, Any]:
        task = self.find(params)
        if task.status in ("completed", "cancelled"):
            raise MCPError(types.INVALID_PARAMS, f"Cannot cancel task: already {task.status}")
        task.cancelled = True
        return task.state()


def _require_extension(params: types.RequestParams) -> None:
    """Raises: MCPError, for a request that did not declare it."""
    declared = dict(params.meta or {}).get("io.modelcontextprotocol/clientCapabilities", {})
    if EXTENSION not in declared.get("extensions", {}):
        raise MCPError(-32021, "Missing required client capability", REQUIRED)


async def main(era: str) -> None:
    greeter = Greeter(era)
    server = Server("greeter", version="1", on_list_tools=greeter.list_tools, on_call_tool=greeter.call_tool)
    async with stdio_server() as (incoming, outgoing):
        if era == "stateless":
            server.extensions = {EXTENSION: {}}
            server.add_request_handler("tasks/get", TaskParams, greeter.get)
            server.add_request_handler("tasks/update", UpdateParams, greeter.update)
            server.add_request_handler("tasks/cancel", TaskParams, greeter.cancel)
            await _serve_modern_stream(server, incoming, outgoing, lifespan_state={}, raise_exceptions=False)
            return
        server.middleware.append(greeter.make_in_session)
        server.add_request_handler("tasks/get", TaskParams, greeter.get_in_session)
        server.add_request_handler("tasks/result", TaskParams, greeter.result_in_session)
        server.add_request_handler("tasks/cancel", TaskParams, greeter.cancel_in_session)
        server.add_request_handler("tasks/list", types.PaginatedRequestParams, greeter.list_in_session)
        options = server.create_initialization_options()
        options.capabilities.tasks = types.ServerTasksCapability(
            list=types.TasksListCapability(),
            cancel=types.TasksCancelCapability(),
            requests=types.ServerTasksRequestsCapability(
                tools=types.TasksToolsCapability(call=types.TasksCallCapability())
            ),
        )
        await serve_loop(server, incoming, outgoing, lifespan_state={}, init_options=options)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
