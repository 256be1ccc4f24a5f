"""The ways into a running gateway, each as a transport of the official Python client.

`stdio` is `tidegate connect` joining the daemon over its unix socket; `tcp` and `unix` are the SDK's own message
streams over a socket, one JSON text a line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import anyio
from anyio.abc import ByteStream
from gateway_process import Gateway, command, environment
from mcp import types
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.message import SessionMessage

Front: TypeAlias = Literal["http", "stdio", "tcp", "unix"]
FRONTS: tuple[Front, ...] = ("http", "stdio", "tcp", "unix")


def client_transport(front: Front, daemon: Gateway) -> Any:
    """What `mcp.Client` takes as its server to reach this daemon by this way."""
    if front == "http":
        return daemon.http
    if front == "stdio":
        return connect_command(daemon)
    return socket_client(daemon.tcp if front == "tcp" else daemon.unix)


@asynccontextmanager
async def connect_command(daemon: Gateway) -> AsyncIterator[tuple[Any, Any]]:
    """`tidegate connect` as a host application launches it, joining this daemon."""
    launch = StdioServerParameters(
        command=command()[0],
        args=[*command()[1:], "connect"],
        env={**environment(), "TIDEGATE_SOCKET": daemon.unix},
    )
    with daemon.said.open("a", encoding="utf-8") as log:
        async with stdio_client(launch, errlog=log) as streams:
            yield streams


def standalone_command(config: str) -> StdioServerParameters:
    """`tidegate connect --standalone`: a private gateway on stdin and stdout."""
    return StdioServerParameters(
        command=command()[0], args=[*command()[1:], "connect", "--standalone", "--config", config], env=environment()
    )


@asynccontextmanager
async def socket_client(address: tuple[str, int] | str) -> AsyncIterator[tuple[Any, Any]]:
    """Newline-delimited JSON-RPC over TCP (host, port) or a unix socket (path), as the SDK client's two streams."""
    stream: ByteStream
    if isinstance(address, str):
        stream = await anyio.connect_unix(address)
    else:
        stream = await anyio.connect_tcp(*address)
    into_client, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_client = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        buffer = b""
        async with into_client:
            while True:
                try:
                    buffer += await stream.receive()
                except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
                    return
                *lines, buffer = buffer.split(b"\n")
                for line in filter(None, lines):
                    await into_client.send(SessionMessage(types.jsonrpc_message_adapter.validate_json(line)))

    async def write() -> None:
        async with from_client:
            async for message in from_client:
                line = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await stream.send(line.encode() + b"\n")

    async with stream, anyio.create_task_group() as group:
        group.start_soon(read, name="read socket")
        group.start_soon(write, name="write socket")
        try:
            yield incoming, outgoing
        finally:
            group.cancel_scope.cancel()
