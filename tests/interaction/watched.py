"""A gateway that an operator watches, and clients that keep it busy: the same with the relay and without."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from clients import Client
from gateway import House, house
from heard import Json, within
from scripted_server import ScriptedServer

from tidegate.config.snapshot import Client as TokenOwner

ROADS = (("modern", "http"), ("modern", "tcp"), ("session", "http"), ("session", "unix"))


@asynccontextmanager
async def watched(
    server: ScriptedServer,
    *,
    relay: bool = True,
    access_log: bool = False,
    owners: Sequence[TokenOwner] = (),
    transport: str = "tcp",
) -> AsyncIterator[House]:
    """As `house`, with an admin listener."""
    async with house(server, transport=transport, owners=owners) as home:
        before = home.daemon.snapshot
        listen = replace(before.listen, admin="127.0.0.1:0")
        await home.daemon.take_up(replace(before, listen=listen, relay=relay, access_log=access_log))
        yield home


async def page(home: House, path: str) -> str:
    """The body of a page of the admin listener."""
    host, _, port = str(home.daemon.addresses["admin"]).removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await within(reader.read())).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return body.decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def ask(home: House, client: Client, method: str, params: Json, answer: Json) -> None:
    """One request, answered by the server with `answer`; a string is an error's."""
    pending = client.begin(method, params)
    call = await home.server.next_call(method)
    if isinstance(answer, str):
        call.fail(-32000, answer)
    else:
        call.reply(home.server.complete(answer))
    await pending.reply()


async def keep_busy(home: House, client: Client) -> None:
    """Calls that end in each of the ways in which one can, most of them several times."""
    for _ in range(4):
        await ask(home, client, "tools/call", {"name": "echo", "arguments": {}}, {"content": []})
    for _ in range(2):
        await ask(home, client, "tools/call", {"name": "echo", "arguments": {}}, {"content": [], "isError": True})
    await ask(home, client, "tools/call", {"name": "echo", "arguments": {}}, "the server's own")
    for _ in range(3):
        await ask(home, client, "prompts/get", {"name": "greet"}, {"messages": []})
    for _ in range(3):
        await ask(home, client, "resources/read", {"uri": "test://one/a"}, {"contents": []})
    await client.call("tools/call", {"name": "nowhere", "arguments": {}})
    await client.call("tools/list")
