"""Clients of the official SDKs that do as a test tells them, call by call, with the same few words for all of them.

    async with driven(SdkClient("typescript", "auto", "http"), daemon) as client:
        reply = await client.call("move", {"to": 5})

Whoever is asked something there answers as `client.person` says, and `client.asked` has what was asked.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import Process
from fronts import client_transport
from gateway_process import Gateway, command, environment
from mcp import Client, types
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from node_runtime import node

Sdk: TypeAlias = Literal["python", "typescript-1", "typescript-2"]
Said: TypeAlias = Literal["accept", "decline", "cancel"]
SCRIPT = str(Path(__file__).resolve().with_name("driven.mjs"))
LIMIT_S = 60.0
REVISIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


class SdkClient(NamedTuple):
    """Whose client, how it agrees on a revision, and by which way it comes."""

    sdk: Sdk
    mode: Literal["legacy", "auto"]
    front: Literal["http", "stdio"]

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def revision(self) -> str:
        return REVISIONS[self.mode]


KINDS: tuple[SdkClient, ...] = tuple(
    SdkClient(sdk, mode, front)  # type: ignore[arg-type]  # the literals are lost in the loop
    for sdk, mode in (
        ("python", "legacy"),
        ("python", "auto"),
        ("typescript-1", "legacy"),
        ("typescript-2", "legacy"),
        ("typescript-2", "auto"),
    )
    for front in ("http", "stdio")
)


@dataclass(frozen=True)
class Reply:
    """What a call came to: a result, or an error of the protocol."""

    text: str
    failed: bool
    structured: Any = None
    code: int | None = None
    """Of the protocol's error."""


Person: TypeAlias = Callable[[str], Said]
"""Gets the question, before anything is answered."""


def agrees(question: str) -> Said:
    return "accept"


class Driven(Protocol):
    revision: str
    asked: list[str]
    person: Person

    async def tools(self) -> list[str]: ...

    async def call(self, tool: str, arguments: dict[str, Any]) -> Reply: ...


def _reply(result: dict[str, Any]) -> Reply:
    text = "\n".join(block["text"] for block in result["content"] if block["type"] == "text")
    return Reply(text, bool(result.get("isError")), result.get("structuredContent"))


@asynccontextmanager
async def driven(kind: SdkClient, daemon: Gateway, *, asks: bool = True) -> AsyncIterator[Driven]:
    """`asks`: whether it says that a person can be asked. Bounded."""
    with anyio.fail_after(LIMIT_S):
        if kind.sdk == "python":
            client = _Python(kind, daemon, asks=asks)
            async with client.client:
                client.revision = client.client.protocol_version
                yield client
        else:
            async with _typescript(kind, daemon, asks=asks) as other:
                yield other


class _Python:
    def __init__(self, kind: SdkClient, daemon: Gateway, *, asks: bool) -> None:
        self.asked: list[str] = []
        self.person: Person = agrees
        self.revision = ""
        self.client = Client(
            client_transport(kind.front, daemon),
            mode=kind.mode,
            elicitation_callback=self._elicited if asks else None,
            read_timeout_seconds=LIMIT_S / 2,
        )

    async def _elicited(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        self.asked.append(params.message)
        answer = self.person(params.message)
        return types.ElicitResult(action=answer, content={} if answer == "accept" else None)

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Reply:
        try:
            result = await self.client.call_tool(tool, arguments)
        except MCPError as error:
            return Reply(error.message, failed=True, code=error.code)
        return _reply(result.model_dump(mode="json", by_alias=True, exclude_none=True))


@dataclass
class _Typescript:
    process: Process
    revision: str = ""
    asked: list[str] = field(default_factory=list)
    person: Person = agrees
    _orders: int = 0
    _heard: dict[int, dict[str, Any]] = field(default_factory=dict)
    _waiting: dict[int, anyio.Event] = field(default_factory=dict)
    connected: anyio.Event = field(default_factory=anyio.Event)

    async def _say(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(json.dumps(order).encode() + b"\n")

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        self._orders += 1
        number = self._orders
        heard = self._waiting[number] = anyio.Event()
        await self._say({**order, "id": number})
        await heard.wait()
        return self._heard.pop(number)

    async def tools(self) -> list[str]:
        return list((await self._order({"list": True}))["tools"])

    async def call(self, tool: str, arguments: dict[str, Any]) -> Reply:
        said = await self._order({"call": tool, "arguments": arguments})
        if "error" in said:
            return Reply(said["error"]["message"], failed=True, code=said["error"]["code"])
        return _reply(said["result"])

    async def listen(self) -> None:
        assert self.process.stdout is not None
        buffer = b""
        while True:
            try:
                buffer += await self.process.stdout.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                break
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "id" in said:
                    self._heard[said["id"]] = said
                    self._waiting.pop(said["id"]).set()
                elif "asked" in said:
                    self.asked.append(said["asked"])
                    await self._say({"question": said["question"], "answer": self.person(said["asked"])})
                else:
                    self.revision = said["revision"]
                    self.connected.set()
        assert self.connected.is_set(), "the client ended before it was connected"


@asynccontextmanager
async def _typescript(kind: SdkClient, daemon: Gateway, *, asks: bool) -> AsyncIterator[Driven]:
    wanted: dict[str, Any] = {"line": f"v{kind.sdk[-1]}", "mode": kind.mode, "asks": asks}
    if kind.front == "http":
        wanted["url"] = daemon.http
    else:
        wanted["command"] = [*command(), "connect"]
        wanted["env"] = {**environment(), "TIDEGATE_SOCKET": daemon.unix}
    with daemon.said.open("ab") as log:
        process = await anyio.open_process([node(), SCRIPT, json.dumps(wanted)], stderr=log)
    client = _Typescript(process)
    async with anyio.create_task_group() as group:
        group.start_soon(client.listen, name="hear the client")
        try:
            await client.connected.wait()
            yield client
        finally:
            with anyio.CancelScope(shield=True):
                assert process.stdin is not None
                await process.stdin.aclose()
                with anyio.move_on_after(5):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                await process.aclose()
