"""The last log lines, bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.telemetry.log_ring import MAX_BYTES, MAX_CHARS, MAX_LINES, LogRing

log = logging.getLogger("tidegate.test")


def same(text: str) -> str:
    return text


@pytest.fixture
def ring() -> Iterator[LogRing]:
    kept = LogRing(same)
    kept.attach()
    yield kept
    kept.detach()


def test_it_keeps_from_info_on_while_the_console_prints_warnings_only(ring: LogRing) -> None:
    log.debug("unseen")
    log.info("seen %s", 1)
    log.warning("seen %s", 2)
    assert [(line.number, line.level, line.logger, line.text) for line in ring.lines] == [
        (1, 20, "tidegate.test", "seen 1"),
        (2, 30, "tidegate.test", "seen 2"),
    ]


def test_a_line_knows_whose_it_is(ring: LogRing) -> None:
    log.info("started", extra={"backend": "files"})
    log.info("backend_lost backend=web slot=shared")
    log.info("backend `mail`: the program was not found")
    log.info("about nobody")
    assert [line.backend for line in ring.lines] == ["files", "web", "mail", ""]


def test_after_it_is_detached_the_level_is_as_before() -> None:
    logger = logging.getLogger("tidegate")
    before = logger.level, list(logger.handlers)
    ring = LogRing(same)
    ring.attach()
    ring.detach()
    log.warning("gone")
    assert (logger.level, logger.handlers) == before
    assert not ring.lines


def test_the_oldest_lines_go_first(ring: LogRing) -> None:
    for number in range(MAX_LINES + 10):
        log.info("%s", number)
    assert len(ring.lines) == MAX_LINES
    assert ring.lines[0].text == "10"
    assert ring.lines[-1].number == ring.last == MAX_LINES + 10


@given(st.lists(st.integers(0, 3 * MAX_CHARS), max_size=300))
def test_bytes_are_bounded_whatever_comes(sizes: list[int]) -> None:
    ring = LogRing(same)
    for size in sizes:
        ring.handle(logging.LogRecord("x", 20, "", 0, "a" * size, (), None))
    counted = sum(len(line.text) + 200 for line in ring.lines)
    assert counted == ring.statistics()["bytes"] <= MAX_BYTES
    assert all(len(line.text) <= MAX_CHARS for line in ring.lines)


def test_secrets_are_hidden_before_they_are_kept() -> None:
    ring = LogRing(lambda text: text.replace("hunter2", "…"))
    padding = "." * (MAX_CHARS - 3)
    ring.handle(logging.LogRecord("x", 20, "", 0, padding + "hunter2", (), None))
    assert "hun" not in ring.lines[0].text


def test_a_traceback_is_part_of_its_line(ring: LogRing) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("failed")
    assert ring.lines[0].text.startswith("failed\nTraceback")
    assert ring.lines[0].text.endswith("ValueError: odd")


def test_a_line_that_cannot_be_put_together_is_kept_as_it_is() -> None:
    ring = LogRing(same)
    ring.handle(logging.LogRecord("x", 20, "", 0, "%d of many", ("none",), None))
    assert ring.lines[0].text == "%d of many"
