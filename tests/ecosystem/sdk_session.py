"""One thorough visit of the official Python client to the everything-server, as values that visits are compared by."""

from __future__ import annotations

import math
from typing import Any

import anyio
from mcp import Client, types
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import FileUrl

LIMIT_S = 60.0
"""A visit takes about a second; this only ends one that hangs."""

AT_ONCE = 6


async def elicited(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult | types.ErrorData:
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    names = params.requested_schema["properties"]
    content: dict[str, Any] = {name: schema.get("default", f"my {name}") for name, schema in names.items()}
    return types.ElicitResult(action="accept", content=content)


async def sampled(
    context: ClientRequestContext, params: types.CreateMessageRequestParams
) -> types.CreateMessageResult | types.ErrorData:
    first = params.messages[0].content
    asked = first.text if isinstance(first, types.TextContent) else "?"
    content = types.TextContent(type="text", text=f"to {asked!r} I say Paris")
    return types.CreateMessageResult(role="assistant", content=content, model="none")


async def roots(context: ClientRequestContext) -> types.ListRootsResult | types.ErrorData:
    return types.ListRootsResult(
        roots=[types.Root(uri=FileUrl("file:///srv/one")), types.Root(uri=FileUrl("file:///srv/two"))]
    )


async def visit(server: Any, mode: str) -> dict[str, Any]:
    """Connects in the given way (`legacy` or `auto`) and uses everything once. Bounded."""
    logs: list[Any] = []

    async def logged(params: types.LoggingMessageNotificationParams) -> None:
        logs.append([params.level, params.data])

    client = Client(
        server,
        mode="legacy" if mode == "legacy" else "auto",
        elicitation_callback=elicited,
        sampling_callback=sampled,
        list_roots_callback=roots,
        logging_callback=logged,
        log_level="info",
        read_timeout_seconds=LIMIT_S / 2,
    )
    with anyio.fail_after(LIMIT_S):
        async with client:
            seen = await _use(client)
    seen["logs"] = logs
    return seen


async def _use(client: Client) -> dict[str, Any]:
    seen: dict[str, Any] = {"revision": client.protocol_version}
    seen["tools"] = _plain((await client.list_tools()).tools)
    seen["prompts"] = _plain((await client.list_prompts()).prompts)
    seen["templates"] = _plain((await client.list_resource_templates()).resource_templates)
    seen["resources"] = await _all_resources(client)
    for name, arguments in _CALLS.items():
        seen[name] = _result(await client.call_tool(name, arguments))
    seen["progress"] = await _progress(client)
    seen["parallel"] = await _in_parallel(client)
    for uri in ("test://static-text", "test://static-binary", "test://template/47/data", "test://watched-resource"):
        seen[uri] = _plain((await client.read_resource(uri)).contents)
    for prompt in (await client.list_prompts()).prompts:
        arguments = {each.name: f"a {each.name}" for each in prompt.arguments or []}
        seen[prompt.name] = _plain((await client.get_prompt(prompt.name, arguments)).messages)
    reference = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    seen["completion"] = _plain((await client.complete(reference, {"name": "arg1", "value": "par"})).completion)
    seen["refusals"] = [
        await _refusal(client.call_tool("no_such_tool", {})),
        await _refusal(client.read_resource("test://nothing-here")),
        await _refusal(client.get_prompt("no_such_prompt")),
    ]
    return seen


_CALLS: dict[str, dict[str, Any]] = {
    "test_simple_text": {},
    "test_multiple_content_types": {},
    "test_audio_content": {},
    "test_error_handling": {},
    "test_tool_with_logging": {},
    "awkward_numbers": {},
    "echo_arguments": {"é": [1, 2.5, None, {"deep": "\u2028"}], "big": 2**60 + 1},
    "test_x_mcp_header": {"region": "Nürnberg"},
    "test_sampling": {"prompt": "capital?"},
    "test_elicitation_sep1034_defaults": {},
    "test_input_required_result_list_roots": {},
    "test_input_required_result_multiple_inputs": {},
    "test_input_required_result_multi_round": {},
}


async def _all_resources(client: Client) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await client.list_resources(cursor=cursor)
        found += _plain(page.resources)
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


async def _progress(client: Client) -> list[Any]:
    """The progress of a call, and the call, in the order they came."""
    steps: list[Any] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        steps.append([progress, total, message])

    await client.call_tool("test_tool_with_progress", {}, progress_callback=step)
    return steps


async def _in_parallel(client: Client) -> list[Any]:
    """A few calls at once, each of which must get its own answer. Eight visits together stay below 64 calls."""
    answers: dict[int, Any] = {}

    async def call(number: int) -> None:
        answers[number] = (await client.call_tool("echo_arguments", {"number": number})).structured_content

    async with anyio.create_task_group() as group:
        for number in range(AT_ONCE):
            group.start_soon(call, number, name=f"call {number}")
    return [answers[number] for number in range(AT_ONCE)]


async def _refusal(attempt: Any) -> Any:
    """The code of the error that an attempt must end in."""
    try:
        answer = await attempt
    except MCPError as refusal:
        return refusal.code
    return f"no refusal: {answer!r}"


def _result(result: types.CallToolResult) -> Any:
    return {"content": _plain(result.content), "structured": result.structured_content, "error": result.is_error}


def _plain(value: Any) -> Any:
    """Models as JSON values; no NaN comes from JSON."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert not (isinstance(value, float) and math.isnan(value))
    return value
