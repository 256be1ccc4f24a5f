"""What the worker does where there is no memory."""

from __future__ import annotations

import os

import pytest

from tidegate.errors import ModelOutOfMemory
from tidegate.models.worker import pipes
from tidegate.models.worker.failing import as_failure
from tidegate.models.worker.turns import Turns


def test_what_comes_while_there_is_no_memory_for_a_block_is_read_in_small_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    incoming, outgoing = os.pipe()
    turns = Turns()
    taken: list[bytes | None] = []
    lines = [b"x" * 10_000, b"y"]

    def no_memory(descriptor: int, count: int) -> bytes:
        raise MemoryError

    reading = pipes.LinesIn(turns, incoming, 100_000, taken.append, turns.end)
    monkeypatch.setattr(pipes.os, "read", no_memory)
    os.write(outgoing, lines[1] + b"\n")
    os.write(outgoing, lines[0] + b"\n" + lines[1] + b"\n")
    os.close(outgoing)
    reading.start()
    turns.run()
    os.close(incoming)
    # A line of several pieces has its room taken away before others are.
    assert taken == [lines[1], None, lines[1]]


def test_python_that_has_no_memory_for_an_error_is_out_of_memory() -> None:
    failure = as_failure("toy", SystemError("error return without exception set"))
    assert isinstance(failure, ModelOutOfMemory)
