"""Somebody behind an official SDK client: is asked, answers in a way that tells who answered, remembers everything."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal, TypeAlias

import anyio
from mcp import Client, types
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.exceptions import MCPDeprecationWarning
from pydantic import FileUrl

# Sampling, roots, logging and ping are deprecated by 2026-07-28 and still part of what a gateway has to carry.
warnings.simplefilter("ignore", MCPDeprecationWarning)

Era: TypeAlias = Literal["session", "stateless"]
REVISION: dict[Era, str] = {"session": "2025-11-25", "stateless": "2026-07-28"}
BOUND_S = 10.0
POLL_S = 0.01
ALL = ("elicitation", "sampling", "roots")

Elicited: TypeAlias = Callable[[types.ElicitRequestParams], types.ElicitResult | types.ErrorData]
Sampled: TypeAlias = Callable[[types.CreateMessageRequestParams], types.CreateMessageResult | types.ErrorData]


class Person:
    """Callbacks of one client. `forget` before each test when the client is shared."""

    def __init__(self, name: str = "Ada") -> None:
        self.name = name
        self.forget()

    def forget(self) -> None:
        self.asked: list[Any] = []
        """Params of every question, oldest first; roots as the string `roots`."""
        self.progress: list[tuple[float, float | None, str | None]] = []
        self.logs: list[tuple[str, Any]] = []
        self.heard: list[Any] = []
        """Every notification."""
        self.elicited: Elicited = self.accept
        self.sampled: Sampled = self.speak
        self.gate: anyio.Event | None = None
        """Answers wait for it, if there is one."""

    # -- answers -------------------------------------------------------------------------------------------------

    def accept(self, params: types.ElicitRequestParams) -> types.ElicitResult:
        if not isinstance(params, types.ElicitRequestFormParams):
            return types.ElicitResult(action="accept")
        names = params.requested_schema["properties"]
        return types.ElicitResult(action="accept", content={name: f"{self.name}'s {name}" for name in names})

    def speak(self, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        first = params.messages[0].content
        asked = first.text if isinstance(first, types.TextContent) else "?"
        content = types.TextContent(type="text", text=f"{self.name} to {asked!r}")
        return types.CreateMessageResult(role="assistant", content=content, model="none")

    # -- callbacks of the SDK ------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        if self.gate is not None:
            await self.gate.wait()

    async def on_elicit(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult | types.ErrorData:
        self.asked.append(params)
        await self._wait()
        return self.elicited(params)

    async def on_sample(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult | types.ErrorData:
        self.asked.append(params)
        await self._wait()
        return self.sampled(params)

    async def on_roots(self, context: ClientRequestContext) -> types.ListRootsResult | types.ErrorData:
        self.asked.append("roots")
        await self._wait()
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl(f"file:///home/{self.name}"))])

    async def on_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))

    async def on_log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logs.append((params.level, params.data))

    async def on_message(self, message: Any) -> None:
        self.heard.append(message)

    # -- seen from the test --------------------------------------------------------------------------------------

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Raises: TimeoutError."""
        with anyio.fail_after(BOUND_S):
            while not holds():  # noqa: ASYNC110 - set by the client's own tasks, polled to stay plain
                await anyio.sleep(POLL_S)

    def heard_of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind)]

    @asynccontextmanager
    async def client(
        self, server: Any, era: Era, *, abilities: tuple[str, ...] = ALL, token: str = "", log_level: str | None = None
    ) -> AsyncIterator[Client]:
        """A connected client of that era, which declares exactly these abilities."""
        more: dict[str, Any] = {"log_level": log_level}
        async with AsyncExitStack() as stack:
            if token:
                http = create_mcp_http_client(headers={"authorization": f"Bearer {token}"})
                server = streamable_http_client(server, http_client=await stack.enter_async_context(http))
            client = Client(
                server,
                mode="legacy" if era == "session" else "auto",
                elicitation_callback=self.on_elicit if "elicitation" in abilities else None,
                sampling_callback=self.on_sample if "sampling" in abilities else None,
                list_roots_callback=self.on_roots if "roots" in abilities else None,
                logging_callback=self.on_log,
                message_handler=self.on_message,
                cache=None,
                read_timeout_seconds=2 * BOUND_S,
                **more,
            )
            async with client:
                assert client.protocol_version == REVISION[era]
                yield client


def text_of(result: types.CallToolResult) -> str:
    block = result.content[0]
    assert isinstance(block, types.TextContent)
    return block.text
