"""What is sent to one server, against a transport that only notes it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from tidegate.errors import Overloaded, TidegateError
from tidegate.pipeline.upstream.joined_writer import JoinedWriter
from tidegate.pipeline.upstream.link import Call

pytestmark = pytest.mark.anyio
CALL = cast(Call, object())
"""The writer only hands it back."""


class NotingTransport(asyncio.WriteTransport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent_bytes = 0
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Owner:
    """As much of a connection as the writer needs."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self.failures: list[tuple[Call, TidegateError]] = []

    def call_failed(self, call: Call, error: TidegateError) -> None:
        self.failures.append((call, error))


def writing(in_flight: int) -> tuple[NotingTransport, JoinedWriter, Owner]:
    transport = NotingTransport()
    return transport, JoinedWriter(transport, "one", 10), Owner(in_flight)


async def turn() -> None:
    """Lets the event loop do what was left for the end of this turn."""
    await asyncio.sleep(0)


async def test_a_lone_callers_messages_leave_at_once() -> None:
    transport, writer, owner = writing(in_flight=1)
    for message in (b"a", b"b"):
        writer.send(message, CALL, owner)  # type: ignore[arg-type]
    assert transport.written == [b"a\n", b"b\n"]


async def test_messages_of_one_turn_leave_together_after_the_first() -> None:
    transport, writer, owner = writing(in_flight=2)
    for message in (b"a", b"b", b"c"):
        writer.send(message, CALL, owner)  # type: ignore[arg-type]
    assert transport.written == [b"a\n"]
    await turn()
    assert transport.written == [b"a\n", b"b\nc\n"]
    writer.send(b"d", CALL, owner)  # type: ignore[arg-type]
    assert transport.written[-1] == b"d\n"


async def test_a_call_to_a_server_that_reads_too_slowly_fails_by_its_name() -> None:
    transport, writer, owner = writing(in_flight=1)
    transport.unsent_bytes = 11
    writer.send(b"a", CALL, owner)  # type: ignore[arg-type]
    writer.send(b"a notification", None, owner)  # type: ignore[arg-type]
    writer.send(b"nobody wants to know", CALL, None)
    ((call, error),) = owner.failures
    assert call is CALL
    assert isinstance(error, Overloaded)
    assert str(error) == "backend `one` reads too slowly"
    assert transport.written == []


async def test_what_waits_for_the_end_of_the_turn_counts_as_unsent() -> None:
    transport, writer, owner = writing(in_flight=2)
    for message in (b"a", b"0123456789", b"b"):
        writer.send(message, CALL, owner)  # type: ignore[arg-type]
    assert len(owner.failures) == 1
    await turn()
    assert transport.written == [b"a\n", b"0123456789\n"]


async def test_closing_sends_what_was_queued_and_then_nothing_more() -> None:
    transport, writer, owner = writing(in_flight=2)
    for message in (b"a", b"b"):
        writer.send(message, CALL, owner)  # type: ignore[arg-type]
    writer.close()
    writer.send(b"c", CALL, owner)  # type: ignore[arg-type]
    await turn()
    assert transport.written == [b"a\n", b"b\n"]
    assert owner.failures == []
