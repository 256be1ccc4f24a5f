"""What the suite launches as "the client": a tidegate before its fixture server, and an official client before that.

    python gateway_client.py [--front http|stdio|tcp|unix|none] URL

The suite names the scenario and the revision in the environment. Whatever the fixture sees, the gateway sent.
`--front none` leaves the gateway out: the same driver straight at the fixture, which shows that a failure is not the
driver's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

import anyio
import httpx
from fronts import Front, client_transport
from gateway_process import backend, gateway
from mcp import Client, types
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import FileUrl

LIMIT_S = 25.0
"""The suite gives a client 30 s."""
SESSION_SCENARIOS = frozenset({"initialize", "elicitation-sep1034-client-defaults", "sse-retry"})


async def accept_with_defaults(
    context: ClientRequestContext, params: types.ElicitRequestParams
) -> types.ElicitResult | types.ErrorData:
    """A user who leaves the form as it is and agrees: defaults stay, a yes-or-no without one gets a yes."""
    if not isinstance(params, types.ElicitRequestFormParams):
        return types.ElicitResult(action="decline")
    content: dict[str, Any] = {}
    for name, schema in params.requested_schema.get("properties", {}).items():
        if "default" in schema:
            content[name] = schema["default"]
        elif schema.get("type") == "boolean":
            content[name] = True
    return types.ElicitResult(action="accept", content=content)


async def answer_sampling(
    context: ClientRequestContext, params: types.CreateMessageRequestParams
) -> types.CreateMessageResult | types.ErrorData:
    return types.CreateMessageResult(
        role="assistant", content=types.TextContent(type="text", text="fine"), model="none", stop_reason="endTurn"
    )


async def answer_roots(context: ClientRequestContext) -> types.ListRootsResult | types.ErrorData:
    return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///srv"))])


def sample_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Arguments that satisfy the required properties of a tool, by their type."""
    by_type: dict[str, Any] = {"string": "word", "number": 2, "integer": 3, "boolean": True, "array": [], "object": {}}
    properties = schema.get("properties", {})
    return {name: by_type.get(properties.get(name, {}).get("type"), "word") for name in schema.get("required", [])}


async def call_every_tool(client: Client) -> None:
    """What a curious host does: list, then call each tool with something that fits."""
    tools = (await client.list_tools()).tools
    for tool in tools:
        arguments = {"a": 5, "b": 3} if tool.name == "add_numbers" else sample_arguments(tool.input_schema)
        await client.call_tool(tool.name, arguments)


async def call_what_the_context_asks(client: Client) -> None:
    """The calls the suite handed over, argument for argument."""
    wanted = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")).get("toolCalls", [])
    await client.list_tools()
    for call in wanted:
        await client.call_tool(call["name"], call["arguments"])


async def use_everything(client: Client) -> None:
    """Every list, and every entry of it."""
    await call_every_tool(client)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(str(resource.uri))
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def send_some_requests(client: Client) -> None:
    """Requests whose answers do not matter: the fixture looks at their `_meta` and headers."""
    for attempt in (client.list_tools, lambda: client.call_tool("any", {})):
        try:
            await attempt()
        except MCPError as refusal:
            print(f"refused: {refusal}", file=sys.stderr)


async def call_in_parallel(client: Client) -> None:
    """The multi-round tools while an unrelated one is called too: nothing of one may reach the other."""
    names = [tool.name for tool in (await client.list_tools()).tools]
    failures: list[str] = []

    async def call(name: str) -> None:
        try:
            await client.call_tool(name, {})
        except Exception as failure:  # the other calls go on; all failures are reported together
            failures.append(f"{name}: {failure!r}")

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(call, name, name=name)
    if failures:
        print("\n".join(failures), file=sys.stderr)


async def call_what_is_listed_raw(url: str) -> None:
    """Lists by plain HTTP and calls what is listed: an SDK would drop malformed tools itself and hide them."""
    listing = await _post(url, "tools/list", {})
    for tool in listing["result"]["tools"]:
        arguments = sample_arguments(tool["inputSchema"])
        await _post(url, "tools/call", {"name": tool["name"], "arguments": arguments}, tool["inputSchema"])


async def _post(url: str, method: str, params: dict[str, Any], schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """One 2026-07-28 request and its answer, as JSON or as the last frame of a stream."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
    }
    if "name" in params:
        headers["mcp-name"] = params["name"]
    for name, property_schema in (schema or {}).get("properties", {}).items():
        if (mark := property_schema.get("x-mcp-header")) and mark.isalnum() and name in params.get("arguments", {}):
            headers[f"mcp-param-{mark}"] = str(params["arguments"][name])
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    async with httpx.AsyncClient(timeout=LIMIT_S) as http:
        answer = await http.post(url, json=body, headers=headers)
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        frames = [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]
        return dict(json.loads(frames[-1]))
    return dict(answer.json())


async def list_tools_only(client: Client) -> None:
    """Nothing but the list: the fixture looks at what else is fetched."""
    await client.list_tools()


DRIVERS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "initialize": list_tools_only,
    "tools_call": call_every_tool,
    "elicitation-sep1034-client-defaults": call_every_tool,
    "sse-retry": call_every_tool,
    "request-metadata": send_some_requests,
    "http-standard-headers": use_everything,
    "http-custom-headers": call_what_the_context_asks,
    "http-invalid-tool-headers": call_every_tool,
    "sep-2322-client-request-state": call_in_parallel,
    "json-schema-ref-no-deref": list_tools_only,
}
"""Scenario → what a client does in it."""


@asynccontextmanager
async def in_front(front: Front | None, url: str, legacy: bool) -> AsyncIterator[tuple[Client, str]]:
    """An official client and the address it faces: a gateway in front of the fixture, or the fixture itself."""
    with ExitStack() as running:
        facing = url
        target: Any = url
        if front is not None:
            daemon = running.enter_context(gateway(backend("fixture", url=url)))
            facing = daemon.http
            target = client_transport(front, daemon)
        client = Client(
            target,
            mode="legacy" if legacy else "auto",
            elicitation_callback=accept_with_defaults,
            sampling_callback=answer_sampling,
            list_roots_callback=answer_roots,
            read_timeout_seconds=LIMIT_S,
        )
        async with client:
            yield client, facing


async def drive(front: Front | None, url: str) -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    legacy = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") < "2026-07-28" or scenario in SESSION_SCENARIOS
    if front is None and scenario == "json-schema-ref-no-deref":
        legacy = True  # The fixture speaks a session; the SDK needs telling, a gateway finds out.
    with anyio.fail_after(LIMIT_S):
        async with in_front(front, url, legacy) as (client, facing):
            if scenario == "http-invalid-tool-headers" and front == "http":
                await call_what_is_listed_raw(facing)
            else:
                await DRIVERS.get(scenario, call_every_tool)(client)


def main() -> None:
    parser = argparse.ArgumentParser(description="tidegate as the client under test.")
    parser.add_argument("--front", choices=["http", "stdio", "tcp", "unix", "none"], default="http")
    parser.add_argument("url")
    options = parser.parse_args()
    anyio.run(drive, None if options.front == "none" else options.front, options.url)


if __name__ == "__main__":
    main()
