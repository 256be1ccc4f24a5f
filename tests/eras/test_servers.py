"""The servers of these tests, without a gateway: each serves its own era and refuses the other one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from everything import listening
from houses import WayOut, command
from journal import Journal
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from person import Era, Person, text_of
from roads import SDK_TEST

pytestmark = SDK_TEST
LIMIT_S = 30
WAYS_OUT: tuple[WayOut, ...] = ("stdio", "http")


@contextmanager
def server(era: Era, way_out: WayOut, folder: Path) -> Iterator[Any]:
    """What an SDK client connects to."""
    line = command(era, way_out, Journal(folder))
    if way_out == "stdio":
        yield StdioServerParameters(command=line[0], args=line[1:])
    else:
        with listening(line, {}, "/mcp") as url:
            yield url


@pytest.mark.parametrize("way_out", WAYS_OUT)
async def test_a_session_server_serves_sessions_and_refuses_stateless_requests(way_out: WayOut, tmp_path: Path) -> None:
    with server("session", way_out, tmp_path) as reached, anyio.fail_after(LIMIT_S):
        async with Client(reached, mode="2026-07-28", cache=None) as client:
            with pytest.raises(MCPError):
                await client.call_tool("echo", {})
            with pytest.raises(MCPError):
                await client.session.send_discover("2026-07-28")
        async with Person().client(reached, "session") as client:
            assert text_of(await client.call_tool("elicit_form", {})) == "name: accept(name=Ada's name)"


@pytest.mark.parametrize("way_out", WAYS_OUT)
async def test_a_stateless_server_serves_stateless_requests_and_refuses_a_handshake(
    way_out: WayOut, tmp_path: Path
) -> None:
    refused = False
    with server("stateless", way_out, tmp_path) as reached, anyio.fail_after(LIMIT_S):
        async with Person().client(reached, "stateless") as client:
            assert text_of(await client.call_tool("elicit_form", {})) == "name: accept(name=Ada's name)"
        try:
            async with Client(reached, mode="legacy", cache=None):
                pass
        except* MCPError:
            refused = True
    assert refused
