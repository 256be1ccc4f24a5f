"""A cloud that speaks as OpenAI's does, on loopback: `/chat/completions`, streamed or not, and `/embeddings`.

It works until a test gives it a fault; then its answers go wrong in that one way. Its bytes are written here, not by
what is tested. It runs in the test's event loop and remembers whatever it was asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

Json = Any
KEY = "sk-fake-0123456789abcdef"
"""The one that it takes."""
DIMENSIONS = 8
BOUND_S = 10.0
"""Of each wait."""


def dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def said_to(body: Json) -> str:
    """What it says to a chat, by default."""
    return f"The cloud heard: {body['messages'][-1]['content']}"


def embedding(text: str) -> list[float]:
    """Of length 1, the same for the same text."""
    digest = hashlib.sha256(text.encode()).digest()[:DIMENSIONS]
    values = [byte - 127.5 for byte in digest]
    length = math.sqrt(sum(value * value for value in values))
    return [round(value / length, 6) for value in values]


def pieces_of(text: str) -> list[str]:
    """Words, each with the space before it: what is streamed one by one."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


class Asked:
    """One request, and every way to answer it."""

    def __init__(self, cloud: FakeCloud, road: _Road, target: str, headers: dict[str, str], raw: bytes) -> None:
        self.cloud = cloud
        self.road = road
        self.target = target
        self.headers = headers
        self.raw = raw
        self.body: Json = json.loads(raw) if raw else {}
        self.gone = asyncio.Event()
        """The connection is closed, by whomever."""

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    # -- bytes --------------------------------------------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        if self.road.transport is not None:
            self.road.transport.write(data)

    def close(self) -> None:
        """In order: what was written still arrives."""
        if self.road.transport is not None:
            self.road.transport.close()

    def reset(self) -> None:
        transport = self.road.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    def head(self, status: str, *fields: str) -> None:
        self.say("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode())

    def respond(self, status: str, body: bytes, *fields: str, kind: str = "application/json") -> None:
        self.head(status, f"content-type: {kind}", f"content-length: {len(body)}", *fields)
        self.say(body)

    def stream(self, *fields: str) -> None:
        self.head("200 OK", "content-type: text/event-stream", "transfer-encoding: chunked", *fields)

    def event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.say(b"%x\r\n%b\r\n" % (len(event), event))

    def end_stream(self) -> None:
        self.say(b"0\r\n\r\n")

    # -- right answers ------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        return self.cloud.says(self.body)

    def usage(self) -> Json:
        prompt = sum(len(str(message["content"]).split()) for message in self.body.get("messages", ()))
        spoken = len(pieces_of(self.text))
        return {"prompt_tokens": prompt, "completion_tokens": spoken, "total_tokens": prompt + spoken}

    def completion(self) -> Json:
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.cloud.finish_reason}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": self.usage()}

    def chunk(self, delta: Json, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return dump({**self._frame("chat.completion.chunk"), "choices": [choice]})

    def chunks(self) -> list[bytes]:
        """All events of a stream but `[DONE]`."""
        parts = [self.chunk({"role": "assistant", "content": ""})]
        parts += [self.chunk({"content": piece}) for piece in pieces_of(self.text)]
        parts.append(self.chunk({}, self.cloud.finish_reason))
        if (self.body.get("stream_options") or {}).get("include_usage"):
            parts.append(dump({**self._frame("chat.completion.chunk"), "choices": [], "usage": self.usage()}))
        return parts

    def embeddings(self) -> Json:
        texts = self.body["input"]
        data = [{"object": "embedding", "index": at, "embedding": embedding(text)} for at, text in enumerate(texts)]
        count = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "model": self.body["model"], "data": data, "usage": usage}

    def whole(self) -> Json:
        """The right answer, when it is not streamed."""
        return self.embeddings() if self.target.endswith("/embeddings") else self.completion()

    def answer(self) -> None:
        """As a cloud does that works."""
        if self.headers.get("authorization") != f"Bearer {self.cloud.key}":
            refused = {"message": f"Incorrect API key provided: {self.headers.get('authorization')}"}
            self.respond("401 Unauthorized", dump({"error": {**refused, "type": "invalid_request_error"}}))
        elif not self.target.endswith(("/chat/completions", "/embeddings")):
            self.respond("404 Not Found", dump({"error": {"message": f"Invalid URL ({self.target})"}}))
        elif self.streamed:
            self.stream()
            for part in self.chunks():
                self.event(part)
            self.event(b"[DONE]")
            self.end_stream()
        else:
            self.respond("200 OK", dump(self.whole()))

    def _frame(self, kind: str) -> Json:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": self.body.get("model", "")}


Fault = Callable[[Asked], None]
"""What goes wrong with one request, instead of `Asked.answer`."""


# -- faults ------------------------------------------------------------------------------------------------------------


def held(asked: Asked) -> None:
    """Slow: answered once the test calls `release`."""
    asked.cloud.held.append(asked)


def slow(delay_s: float) -> Fault:
    """Answers after that long."""
    return lambda asked: _later(delay_s, asked.answer)


def status(line: str, *fields: str) -> Fault:
    """Such as `500 Internal Server Error`."""
    return lambda asked: asked.respond(line, dump({"error": {"message": "it is not you, it is us"}}), *fields)


def broken(asked: Asked) -> None:
    status("500 Internal Server Error")(asked)


def busy(retry_after: str = "7") -> Fault:
    return status("429 Too Many Requests", f"retry-after: {retry_after}")


def garbage(asked: Asked) -> None:
    """A whole answer, of the right kind by its head, that is no JSON."""
    if asked.streamed:
        asked.stream()
        asked.event(b"<html>gateway timeout")
        asked.end_stream()
    else:
        asked.respond("200 OK", b"<html>gateway timeout</html>")


def wrong_shape(asked: Asked) -> None:
    """JSON, and nothing of what was asked for."""
    if asked.streamed:
        asked.stream()
        asked.event(b'{"choices":[{"delta":"hello"}]}')
        asked.event(b"[DONE]")
        asked.end_stream()
    else:
        asked.respond("200 OK", b'{"choices":[],"data":{"embedding":"none"}}')


def cut_body(asked: Asked) -> None:
    """Half of the answer that it announced, and then the link is gone."""
    body = dump(asked.whole())
    asked.head("200 OK", "content-type: application/json", f"content-length: {len(body)}")
    asked.say(body[: len(body) // 2])
    asked.close()


def cut_stream(pieces: int, *, reset: bool = False) -> Fault:
    """So many pieces of text, and then the link is gone: in the middle of a transfer."""

    def fault(asked: Asked) -> None:
        asked.stream()
        for part in asked.chunks()[: 1 + pieces]:
            asked.event(part)
        if reset:
            asked.reset()
        else:
            asked.close()

    return fault


def short_stream(pieces: int) -> Fault:
    """So many pieces, and then the transfer ends in order: only that nothing says that the answer does."""

    def fault(asked: Asked) -> None:
        asked.stream()
        for part in asked.chunks()[: 1 + pieces]:
            asked.event(part)
        asked.end_stream()

    return fault


def stalled_stream(pieces: int) -> Fault:
    """So many pieces; the rest when the test calls `release`."""

    def fault(asked: Asked) -> None:
        asked.stream()
        for part in asked.chunks()[: 1 + pieces]:
            asked.event(part)

        def rest() -> None:
            for part in asked.chunks()[1 + pieces :]:
                asked.event(part)
            asked.event(b"[DONE]")
            asked.end_stream()

        asked.cloud.rests.append(rest)

    return fault


def trickle(pause_s: float) -> Fault:
    """The right answer, not streamed, a byte at a time."""

    def fault(asked: Asked) -> None:
        body = dump(asked.whole())
        asked.head("200 OK", "content-type: application/json", f"content-length: {len(body)}")

        def go_on(at: int) -> None:
            if at < len(body) and asked.road.transport is not None:
                asked.say(body[at : at + 1])
                _later(pause_s, lambda: go_on(at + 1))

        go_on(0)

    return fault


def huge(size: int) -> Fault:
    """An answer of more than `size` bytes, streamed or not."""

    def fault(asked: Asked) -> None:
        if asked.streamed:
            asked.stream()
            for _ in range(size // 65536 + 1):
                asked.event(asked.chunk({"content": "x" * 65536}))
            asked.event(asked.chunk({}, "stop"))
            asked.event(b"[DONE]")
            asked.end_stream()
        else:
            asked.respond("200 OK", dump({**asked.whole(), "padding": "x" * size}))

    return fault


def elsewhere(url: str) -> Fault:
    """A redirect, which would carry the key to wherever it leads."""
    return lambda asked: asked.respond("307 Temporary Redirect", b"", f"location: {url}")


def dropped(asked: Asked) -> None:
    """Not one byte of answer."""
    asked.close()


def _later(delay_s: float, step: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(delay_s, step)


# -- the cloud ---------------------------------------------------------------------------------------------------------


class _Road(asyncio.Protocol):
    """One connection."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._asked: list[Asked] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.cloud.roads.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.cloud.roads.discard(self)
        for asked in self._asked:
            asked.gone.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, rest = self._buffer.split(b"\r\n\r\n", 1)
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            asked = Asked(self.cloud, self, first.split(" ")[1], headers, rest[:length])
            self._asked.append(asked)
            self.cloud.take(asked)


class FakeCloud:
    """The cloud. `fault` is what goes wrong with every request from then on; None: nothing does."""

    def __init__(self, *, key: str = KEY, says: Callable[[Json], str] = said_to) -> None:
        self.key = key
        self.says = says
        self.finish_reason = "stop"
        self.fault: Fault | None = None
        self.asked: list[Asked] = []
        """Every request so far."""
        self.held: list[Asked] = []
        self.rests: list[Callable[[], None]] = []
        self.roads: set[_Road] = set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._waiting: list[tuple[int, asyncio.Future[Asked]]] = []

    @property
    def url(self) -> str:
        """What a backend has as `openai`."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def come(self) -> None:
        """Listens; after `go`, on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Road(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go(self) -> None:
        """The link is cut: open connections end, new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for road in list(self.roads):
            if road.transport is not None:
                road.transport.abort()
        while self.roads:  # noqa: ASYNC110 - each goes at the next turn of the loop
            await asyncio.sleep(0)

    def release(self) -> None:
        """Answers what `held` and `stalled_stream` kept back."""
        held, self.held = self.held, []
        rests, self.rests = self.rests, []
        for asked in held:
            asked.answer()
        for rest in rests:
            rest()

    def take(self, asked: Asked) -> None:
        self.asked.append(asked)
        (self.fault or Asked.answer)(asked)
        for entry in list(self._waiting):
            number, future = entry
            if number < len(self.asked):
                self._waiting.remove(entry)
                if not future.done():
                    future.set_result(self.asked[number])

    async def request(self, number: int) -> Asked:
        """That one, counted from 0, once it has come. Raises: TimeoutError."""
        if number < len(self.asked):
            return self.asked[number]
        future: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._waiting.append((number, future))
        async with asyncio.timeout(BOUND_S):
            return await future

    def texts(self) -> Sequence[str]:
        """The last message of every chat so far."""
        return [asked.body["messages"][-1]["content"] for asked in self.asked if "messages" in asked.body]


@asynccontextmanager
async def fake_cloud(*, key: str = KEY, says: Callable[[Json], str] = said_to) -> AsyncIterator[FakeCloud]:
    """One that listens, and is gone afterwards."""
    cloud = FakeCloud(key=key, says=says)
    await cloud.come()
    try:
        yield cloud
    finally:
        await cloud.go()
