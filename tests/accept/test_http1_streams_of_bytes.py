"""The server protocol in memory: however the bytes are cut, and whatever they are, it stays itself."""

from __future__ import annotations

import asyncio
import random

import pytest
from http_peer import chunked_post, post, relay_of

from tidegate.clock import ManualClock
from tidegate.config.snapshot import Limits
from tidegate.pipeline.accept.connection_registry import ConnectionRegistry
from tidegate.pipeline.accept.http1 import HttpRequest, HttpServerProtocol
from tidegate.pipeline.codec import HttpDownstream


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False
        self.reading = True

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> object:
        return None

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close


def connect(limits: Limits | None = None) -> tuple[asyncio.Protocol, Wire, list[HttpRequest], ConnectionRegistry]:
    """The requests are answered by whoever takes them off the list."""
    clock = ManualClock()
    limits = limits or Limits()
    registry = ConnectionRegistry(4, clock)
    requests: list[HttpRequest] = []
    slow = HttpServerProtocol(requests.append, limits, clock, registry)
    relay = relay_of(limits, clock)
    protocol = HttpDownstream(relay, slow) if relay is not None else slow
    wire = Wire()
    protocol.connection_made(wire)  # type: ignore[arg-type]
    return protocol, wire, requests, registry


def disconnect(protocol: asyncio.Protocol, registry: ConnectionRegistry) -> None:
    protocol.connection_lost(None)
    registry.deadlines.stop()
    assert len(registry) == 0
    assert len(registry.deadlines) == 0


def answer(request: HttpRequest, dice: random.Random) -> None:
    if dice.random() < 0.5:
        request.respond(200, (), request.body)
    else:
        stream = request.start_stream(200)
        stream.write(request.body)
        stream.close()


@pytest.mark.parametrize("seed", range(50))
async def test_requests_come_out_as_they_went_in_however_they_are_cut(seed: int) -> None:
    dice = random.Random(seed)
    protocol, wire, requests, registry = connect()
    bodies = [dice.randbytes(dice.choice((0, 1, 10, 1000, 100_000))) for _ in range(20)]
    sent = b"".join(
        post(body) if dice.random() < 0.5 else chunked_post([part for part in (body[:7], body[7:]) if part])
        for body in bodies
    )
    seen: list[bytes] = []
    while sent or requests:
        if sent and wire.reading and (not requests or dice.random() < 0.5):
            cut = dice.choice((1, 5, 100, 5000, 200_000))
            protocol.data_received(sent[:cut])
            sent = sent[cut:]
        assert len(requests) <= 1
        if requests and dice.random() < 0.7:
            request = requests.pop()
            seen.append(request.body)
            answer(request, dice)
    assert seen == bodies
    assert not wire.closing
    assert wire.written.count(b"HTTP/1.1 200 OK\r\n") == len(bodies)
    disconnect(protocol, registry)


@pytest.mark.parametrize("seed", range(200))
async def test_damaged_bytes_are_served_or_refused_and_never_raise(seed: int) -> None:
    dice = random.Random(seed)
    protocol, wire, requests, registry = connect(Limits(body_bytes=5000, header_bytes=2000))
    sent = bytearray(b"".join([post(b"x" * 50), chunked_post([b"a" * 10, b"b" * 20], "Expect: 100-continue")] * 5))
    for _ in range(dice.randint(1, 6)):
        position = dice.randrange(len(sent))
        damage = dice.randrange(4)
        if damage == 0:
            sent[position] = dice.randrange(256)
        elif damage == 1:
            del sent[position : position + dice.randint(1, 40)]
        elif damage == 2:
            sent[position:position] = dice.randbytes(dice.randint(1, 40))
        else:
            sent[position:position] = dice.choice((b"\r\n", b"\n", b"\0", b"Content-Length: 7\r\n", b"0\r\n\r\n"))
    raw = bytes(sent)
    while raw and not wire.closing:
        cut = dice.randint(1, 300)
        protocol.data_received(raw[:cut])
        raw = raw[cut:]
        while requests:
            answer(requests.pop(), dice)
    if dice.random() < 0.5:
        protocol.eof_received()
    disconnect(protocol, registry)
