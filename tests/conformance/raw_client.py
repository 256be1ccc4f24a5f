"""A Streamable HTTP client that hides nothing: every frame of every answer as it came, numbers as they were spelled.

Used to compare what a server answers directly with what it answers through the gateway; an SDK would validate,
default and drop.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import httpx

Era: TypeAlias = Literal["session", "stateless"]
REVISION: dict[Era, str] = {"session": "2025-11-25", "stateless": "2026-07-28"}
CAPABILITIES: dict[str, Any] = {"sampling": {}, "elicitation": {"form": {}}, "roots": {}}
ROUNDS = 4
"""How often a call that needs input is answered; the longest asking tool needs three."""


@dataclass(frozen=True)
class Number:
    """A number by its spelling: `1.0` is not `1`, and no digit of a long integer is lost."""

    text: str

    def equals(self, other: Number) -> bool:
        """The same number of the same kind, whatever its spelling: `1e-07` is `1e-7`, and `1.0` is still not `1`."""
        whole = self.text.lstrip("-").isdigit()
        return whole == other.text.lstrip("-").isdigit() and Decimal(self.text) == Decimal(other.text)

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Answer:
    """What one request led to. `frames` are the messages before the last one, `last` the response itself."""

    status: int
    last: dict[str, Any]
    frames: list[dict[str, Any]] = field(default_factory=list)


def parse(text: str) -> Any:
    """JSON with numbers as `Number`."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def reply_to(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """What this client answers when it is asked: always the same."""
    if method == "roots/list":
        return {"roots": [{"uri": "file:///srv/one", "name": "one"}]}
    if method == "sampling/createMessage":
        return {
            "role": "assistant",
            "content": {"type": "text", "text": "Paris"},
            "model": "m",
            "stopReason": "endTurn",
        }
    if method == "elicitation/create":
        properties = params.get("requestedSchema", {}).get("properties", {})
        return {"action": "accept", "content": {name: _fill(schema) for name, schema in properties.items()}}
    return {}


def _fill(schema: dict[str, Any]) -> Any:
    if "default" in schema:
        default = schema["default"]
        return json.loads(default.text) if isinstance(default, Number) else default
    if schema.get("type") == "array":
        choices = schema["items"].get("enum") or [each["const"] for each in schema["items"]["anyOf"]]
        return choices[:2]
    if schema.get("type") == "boolean":
        return True
    if choices := schema.get("enum") or [each["const"] for each in schema.get("oneOf", [])]:
        return choices[0]
    return "word"


@dataclass
class RawClient:
    """One client of one era on one endpoint."""

    http: httpx.AsyncClient
    url: str
    era: Era
    capabilities: dict[str, Any] = field(default_factory=lambda: CAPABILITIES)
    session: str | None = None
    last_id: int = 0

    async def initialize(self) -> Answer:
        """Session era only: the handshake."""
        client = {"name": "raw", "version": "1"}
        wanted = {"protocolVersion": REVISION[self.era], "capabilities": self.capabilities, "clientInfo": client}
        answer = await self.request("initialize", wanted)
        await self.notify("notifications/initialized", {})
        return answer

    async def call(self, method: str, params: dict[str, Any], headers: dict[str, str] | None = None) -> list[Answer]:
        """One request and, when it needs input, the rounds after it."""
        answers = [await self.request(method, params, headers)]
        while len(answers) < ROUNDS and answers[-1].last.get("result", {}).get("resultType") == "input_required":
            result = answers[-1].last["result"]
            again = dict(params)
            if "requestState" in result:
                again["requestState"] = result["requestState"]
            again["inputResponses"] = {
                key: reply_to(question["method"], question.get("params", {}))
                for key, question in result.get("inputRequests", {}).items()
            }
            answers.append(await self.request(method, again, headers))
        return answers

    async def request(self, method: str, params: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        """One POST, read to its response; what the server asks meanwhile is answered."""
        self.last_id += 1
        body = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": self._with_meta(params)}
        head = self._headers(method, params) | (headers or {})
        frames: list[dict[str, Any]] = []
        async with self.http.stream("POST", self.url, content=json.dumps(body), headers=head) as response:
            self.session = response.headers.get("mcp-session-id", self.session)
            async for message in _messages(response):
                if "method" not in message:
                    return Answer(response.status_code, message, frames)
                frames.append(message)
                if "id" in message:
                    await self._reply(message)
        raise AssertionError(f"{method}: the stream ended without a response, after {frames}")

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        """A notification; anything but a 2xx is an error."""
        body = {"jsonrpc": "2.0", "method": method, "params": params}
        (await self.http.post(self.url, content=json.dumps(body), headers=self._headers(method, {}))).raise_for_status()

    async def close(self) -> None:
        """Ends the session, if there is one."""
        if self.session is not None:
            await self.http.delete(self.url, headers=self._headers("", {}))

    async def _reply(self, message: dict[str, Any]) -> None:
        identity = message["id"]
        number = json.loads(identity.text) if isinstance(identity, Number) else identity
        body = {"jsonrpc": "2.0", "id": number, "result": reply_to(message["method"], message.get("params", {}))}
        answer = await self.http.post(self.url, content=json.dumps(body), headers=self._headers("", {}))
        answer.raise_for_status()

    def _with_meta(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.era == "session":
            return params
        reserved = {
            "io.modelcontextprotocol/protocolVersion": REVISION[self.era],
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        }
        return {**params, "_meta": {**reserved, **params.get("_meta", {})}}

    def _headers(self, method: str, params: dict[str, Any]) -> dict[str, str]:
        head = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        if method != "initialize":
            head["mcp-protocol-version"] = REVISION[self.era]
        if self.session is not None:
            head["mcp-session-id"] = self.session
        if self.era == "stateless" and method:
            head["mcp-method"] = method
            if name := params.get("name") or params.get("uri"):
                head["mcp-name"] = header_value(str(name))
        return head


async def _messages(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON-RPC messages of a body, one or a stream of them."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        text = (await response.aread()).decode()
        if not text:
            raise AssertionError(f"HTTP {response.status_code} without a body")
        yield parse(text)
        return
    data: list[bytes] = []
    pending = b""
    async for chunk in response.aiter_bytes():
        # Split by hand: httpx would also end a line at U+2028, which JSON may contain as it is.
        *lines, pending = (pending + chunk).split(b"\n")
        for line in (each.removesuffix(b"\r") for each in lines):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line:
                if any(data):
                    yield parse(b"\n".join(data).decode())
                data = []


def header_value(text: str) -> str:
    """A value as it may stand in a header: as it is, or in the Base64 form of the 2026-07-28 transport."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@asynccontextmanager
async def raw_client(url: str, era: Era) -> AsyncIterator[tuple[RawClient, Answer]]:
    """A client that has introduced itself, and what it was told: the answer to `initialize` or `server/discover`."""
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as http:
        client = RawClient(http, url, era)
        hello = await (client.initialize() if era == "session" else client.request("server/discover", {}))
        try:
            yield client, hello
        finally:
            await client.close()
