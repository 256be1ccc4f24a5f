"""The official Python client through a running gateway: every way in and out, both eras, against a direct visit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from everything import STDIO
from fronts import FRONTS, Front, client_transport, standalone_command
from gateway_process import Gateway, backend, configuration, gateway
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.subscriptions import ToolsListChanged
from sdk_session import visit
from upstreams import UPSTREAMS, upstream

MODES = ("legacy", "auto")
REVISIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


@pytest.fixture(scope="module")
def direct() -> dict[str, dict[str, Any]]:
    """What a visit without a gateway sees, by mode."""
    server = StdioServerParameters(command=STDIO[0], args=STDIO[1:])
    return {mode: anyio.run(visit, server, mode) for mode in MODES}


@pytest.fixture(scope="module", params=UPSTREAMS)
def daemon(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """One daemon in front of the everything-server for all visits of this module, one for each kind of upstream."""
    with upstream(request.param) as config, gateway(config) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("front", FRONTS)
def test_a_visit_through_the_gateway_sees_what_a_direct_one_sees(
    daemon: Gateway, direct: dict[str, dict[str, Any]], front: Front, mode: str
) -> None:
    seen = anyio.run(visit, client_transport(front, daemon), mode)
    assert seen["revision"] == REVISIONS[mode]
    for key, value in direct[mode].items():
        assert seen[key] == value, f"`{key}` differs"


@pytest.mark.parametrize("mode", MODES)
def test_many_clients_at_once_each_get_their_own_answers(
    daemon: Gateway, direct: dict[str, dict[str, Any]], mode: str
) -> None:
    async def visits() -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []

        async def one(front: Front) -> None:
            seen.append(await visit(client_transport(front, daemon), mode))

        async with anyio.create_task_group() as group:
            for front in (*FRONTS, *FRONTS):
                group.start_soon(one, front, name=front)
        return seen

    for seen in anyio.run(visits):
        # A log message names no request. On a stream shared by many callers it cannot be told whose it is while several
        # calls are in service, and must rather reach nobody than somebody else.
        assert all(line in direct[mode]["logs"] for line in seen.pop("logs"))
        assert seen == {key: value for key, value in direct[mode].items() if key != "logs"}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("mode", MODES)
def test_fifty_calls_at_once_on_one_connection_each_get_their_own_answer(
    daemon: Gateway, front: Front, mode: str
) -> None:
    async def burst() -> dict[int, Any]:
        answers: dict[int, Any] = {}

        async def call(client: Client, number: int) -> None:
            answers[number] = (await client.call_tool("echo_arguments", {"number": number})).structured_content

        with anyio.fail_after(60):
            async with Client(client_transport(front, daemon), mode=mode) as client, anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(call, client, number, name=f"call {number}")
        return answers

    assert anyio.run(burst) == {number: {"number": number} for number in range(50)}


@pytest.mark.parametrize("mode", MODES)
def test_connect_standalone_is_a_gateway_of_its_own(direct: dict[str, dict[str, Any]], mode: str) -> None:
    with configuration(backend("everything", command=STDIO)) as path:
        assert anyio.run(visit, standalone_command(str(path)), mode) == direct[mode]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("mode", MODES)
def test_a_cancelled_call_leaves_the_connection_usable(daemon: Gateway, front: Front, mode: str) -> None:
    async def cancel_one() -> str:
        with anyio.fail_after(30):
            async with Client(client_transport(front, daemon), mode=mode) as client:
                with anyio.move_on_after(0.3):
                    await client.call_tool("wait_a_while", {"seconds": 25})
                answer = await client.call_tool("test_simple_text", {})
                return answer.content[0].model_dump()["text"]  # type: ignore[no-any-return]  # pydantic dumps to Any

    assert anyio.run(cancel_one) == "This is a simple text response for testing."


@pytest.mark.parametrize("front", FRONTS)
def test_a_listener_hears_of_a_changed_tool_list(daemon: Gateway, front: Front) -> None:
    async def listen() -> object:
        with anyio.fail_after(30):
            async with (
                Client(client_transport(front, daemon), mode="auto") as client,
                client.listen(tools_list_changed=True) as subscription,
            ):
                await client.call_tool("test_trigger_tool_change", {})
                return await anext(aiter(subscription))

    assert isinstance(anyio.run(listen), ToolsListChanged)


def test_two_servers_are_one_catalogue_with_prefixes() -> None:
    two = backend("left", command=STDIO) + backend("right", command=STDIO)

    async def names(url: str) -> tuple[list[str], Any]:
        async with Client(url, mode="auto") as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
            answer = await client.call_tool("right__echo_arguments", {"a": 1})
            return listed, answer.structured_content

    with gateway(two) as daemon:
        listed, answer = anyio.run(names, daemon.http)
    assert {name.split("__")[0] for name in listed} == {"left", "right"}
    assert len(listed) == len(set(listed))
    assert {"left__test_simple_text", "right__test_simple_text"} <= set(listed)
    assert answer == {"a": 1}
