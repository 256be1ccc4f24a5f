"""What happens between real clients and a real server: callers vanish, servers die, answers are long, lists change."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from everything import STDIO
from fronts import FRONTS, Front, client_transport
from gateway_process import UNHURRIED, Gateway, backend, gateway
from mcp import Client, types
from mcp.shared.exceptions import MCPError
from upstreams import upstream

MODES = ("legacy", "auto")
LIMIT_S = 30


@pytest.fixture(scope="module", params=["stdio", "http"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with upstream(request.param) as config, gateway(config) as running:
        yield running


def _text(result: types.CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text


async def _wait_until_waiting(client: Client, wanted: int) -> None:
    """Returns once the server has this many waiting calls; the limit around it bounds the wait."""
    while _text(await client.call_tool("how_many_wait", {})) != str(wanted):  # noqa: ASYNC110
        await anyio.sleep(0.05)  # The number is in another process; there is no event to wait for.


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_call_given_up_is_cancelled_at_the_server(daemon: Gateway, front: Front, mode: str) -> None:
    async def give_up() -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(client_transport(front, daemon), mode=mode) as client:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.call_tool, "wait_a_while", {"seconds": 29}, name="waits")
                    await _wait_until_waiting(client, 1)
                    group.cancel_scope.cancel()
                await _wait_until_waiting(client, 0)

    anyio.run(give_up)


@pytest.mark.parametrize("front", FRONTS)
def test_the_calls_of_a_vanished_client_are_cancelled_at_the_server(daemon: Gateway, front: Front) -> None:
    """In the stateless era, where another client can see it; a session has a server of its own."""

    async def vanish() -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(daemon.http, mode="auto") as observer:
                async with anyio.create_task_group() as group:
                    group.start_soon(_hang, client_transport(front, daemon), name="vanishes")
                    await _wait_until_waiting(observer, 1)
                    group.cancel_scope.cancel()
                await _wait_until_waiting(observer, 0)

    anyio.run(vanish)


async def _hang(transport: Any) -> None:
    async with Client(transport, mode="auto") as client:
        await client.call_tool("wait_a_while", {"seconds": 29})


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_megabyte_comes_through_unharmed_both_ways(daemon: Gateway, front: Front, mode: str) -> None:
    async def exchange() -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(client_transport(front, daemon), mode=mode) as client:
                long = _text(await client.call_tool("long_text", {"characters": 1_000_000}))
                assert len(long) == 1_000_000
                echoed = await client.call_tool("echo_arguments", {"long": long})
                assert echoed.structured_content == {"long": long}

    anyio.run(exchange)


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("front", FRONTS)
def test_a_session_hears_of_changes_between_calls(daemon: Gateway, front: Front) -> None:
    heard: list[str] = []
    all_heard = anyio.Event()

    async def handler(message: Any) -> None:
        heard.append(getattr(message, "method", repr(message)))
        if len(heard) == 3:
            all_heard.set()

    async def listen() -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(client_transport(front, daemon), mode="legacy", message_handler=handler) as client:
                await client.subscribe_resource("test://watched-resource")
                await client.call_tool("test_trigger_tool_change", {})
                await client.call_tool("test_trigger_prompt_change", {})
                await client.call_tool("test_trigger_resource_update", {"uri": "test://watched-resource"})
                await all_heard.wait()

    anyio.run(listen)
    assert sorted(heard) == [
        "notifications/prompts/list_changed",
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    ]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_dies_costs_one_call_and_comes_back(front: Front, mode: str) -> None:
    async def survive(daemon: Gateway) -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(client_transport(front, daemon), mode=mode) as client:
                async with anyio.create_task_group() as group:
                    group.start_soon(_dies, client, name="dies")
                    await _wait_until_waiting(client, 1)
                    for process in daemon.descendants():
                        if "everything_server" in process.command:
                            os.kill(process.pid, signal.SIGKILL)
                assert await _again(client) == "This is a simple text response for testing."

    with gateway(UNHURRIED + backend("everything", command=STDIO)) as daemon:
        anyio.run(survive, daemon)


async def _dies(client: Client) -> None:
    with pytest.raises(MCPError) as refusal:
        await client.call_tool("wait_a_while", {"seconds": 29})
    assert "everything" in refusal.value.message


async def _again(client: Client) -> str:
    """The answer of the next call that is answered: a restart may take a moment, in which calls are refused."""
    while True:
        try:
            return _text(await client.call_tool("test_simple_text", {}))
        except MCPError:
            await anyio.sleep(0.2)


def test_a_dead_server_does_not_harm_another() -> None:
    async def use(daemon: Gateway) -> None:
        with anyio.fail_after(LIMIT_S):
            async with Client(daemon.http, mode="auto") as client:
                listed = [tool.name for tool in (await client.list_tools()).tools]
                assert "good__test_simple_text" in listed
                answer = await client.call_tool("good__test_simple_text", {})
                assert _text(answer) == "This is a simple text response for testing."

    broken = backend("broken", command=["/bin/sh", "-c", "echo not json; exit 3"])
    nobody = backend("nobody", url="http://127.0.0.1:9/mcp")
    with gateway(backend("good", command=STDIO) + broken + nobody) as daemon:
        anyio.run(use, daemon)
