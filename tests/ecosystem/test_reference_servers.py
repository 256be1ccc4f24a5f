"""The reference servers from npm behind a running gateway: lists and real work, with the values of a direct visit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TextIO

import anyio
import pytest
from everything import reference_http
from fronts import FRONTS, Front, client_transport
from gateway_process import backend, gateway
from mcp import Client, types
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from npm_servers import SERVERS, NpmServer

BY_NAME = {server.name: server for server in SERVERS}


async def _work(transport: Any, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The lists of a server and the answers to a series of calls, as plain values."""
    with anyio.fail_after(60):
        async with Client(transport, mode="legacy", read_timeout_seconds=30) as client:
            tools = (await client.list_tools()).tools
            seen: dict[str, Any] = {"tools": [_plain(tool) for tool in tools]}
            if client.server_capabilities.resources is not None:
                seen["resources"] = await _pages(client)
            if client.server_capabilities.prompts is not None:
                seen["prompts"] = [_plain(prompt) for prompt in (await client.list_prompts()).prompts]
            seen["answers"] = [await _call(client, name, arguments) for name, arguments in calls]
            return seen


async def _pages(client: Client) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await client.list_resources(cursor=cursor)
        found += [_plain(resource) for resource in page.resources]
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


async def _call(client: Client, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return _plain(await client.call_tool(name, arguments))
    except MCPError as refusal:
        return {"code": refusal.code, "message": refusal.message}


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def quiet() -> TextIO:
    """Where the chatter of a server goes that is not under test."""
    return Path(os.devnull).open("w", encoding="utf-8")


async def _direct(server: NpmServer, folder: Path) -> dict[str, Any]:
    command = server.command(folder)
    launch = StdioServerParameters(
        command=command[0], args=command[1:], env={**os.environ, **server.environment(folder)}
    )
    with quiet() as log:
        return await _work(stdio_client(launch, errlog=log), server.calls(folder))


def _without_paths(seen: Any, folder: Path) -> Any:
    """The values with the folder of this visit taken out, so that two visits in two folders can be compared."""
    if isinstance(seen, str):
        return seen.replace(str(folder), "FOLDER")
    if isinstance(seen, list):
        return [_without_paths(each, folder) for each in seen]
    if isinstance(seen, dict):
        return {key: _without_paths(value, folder) for key, value in seen.items()}
    return seen


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_reference_server_on_stdio_does_the_same_work_behind_the_gateway(
    name: str, front: Front, tmp_path: Path
) -> None:
    server = BY_NAME[name]
    direct_folder, folder = tmp_path / "direct", tmp_path / "through"
    direct_folder.mkdir()
    folder.mkdir()
    direct = anyio.run(_direct, server, direct_folder)
    assert len(direct["tools"]) >= server.lowest_tools
    config = backend(name, command=server.command(folder), env=server.environment(folder))
    with gateway(config) as daemon:
        seen = anyio.run(_work, client_transport(front, daemon), server.calls(folder))
    expected = _without_paths(direct, direct_folder)
    for key, value in _without_paths(seen, folder).items():
        assert value == expected[key], f"`{key}` differs"
    assert seen.keys() == direct.keys()


@pytest.mark.parametrize("transport", ["streamableHttp", "sse"])
def test_the_reference_everything_server_works_behind_the_gateway_over_http(transport: str, tmp_path: Path) -> None:
    server = BY_NAME["everything"]
    direct = anyio.run(_direct, server, tmp_path)
    with reference_http(transport) as url:
        config = (
            backend("everything", url=url, transport="sse") if transport == "sse" else backend("everything", url=url)
        )
        with gateway(config) as daemon:
            seen = anyio.run(_work, daemon.http, server.calls(tmp_path))
    assert seen == direct


def test_all_reference_servers_at_once_are_one_catalogue(tmp_path: Path) -> None:
    config = "".join(
        backend(server.name, command=server.command(tmp_path), env=server.environment(tmp_path)) for server in SERVERS
    )

    async def listed(url: str) -> list[str]:
        async with Client(url, mode="auto") as client:
            answer = await client.call_tool("everything__echo", {"message": "hello"})
            assert answer.content == [types.TextContent(type="text", text="Echo: hello")]
            return [tool.name for tool in (await client.list_tools()).tools]

    with gateway(config) as daemon:
        names = anyio.run(listed, daemon.http)
    assert {name.split("__")[0] for name in names} == set(BY_NAME)
    assert "sequential-thinking__sequentialthinking" in names
