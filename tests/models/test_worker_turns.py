"""The worker's loop: what any thread wants done is done once, in order, and by one at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tidegate.models.worker.turns import Turns

WAIT_S = 10.0
EACH = 2000


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.soon(made.end)
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_what_many_threads_want_is_done_once_in_their_order_and_never_two_at_a_time(turns: Turns) -> None:
    done: list[tuple[int, int]] = []
    together: list[int] = []
    at_it = threading.Lock()

    def action(who: int, number: int) -> Callable[[], None]:
        def act() -> None:
            if not at_it.acquire(blocking=False):
                together.append(number)
                return
            done.append((who, number))
            at_it.release()

        return act

    def ask(who: int) -> None:
        for number in range(EACH):
            turns.soon(action(who, number))
            if number % 100 == who:
                time.sleep(0.001)  # the loop falls asleep in between

    threads = [threading.Thread(target=ask, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    over = threading.Event()
    turns.soon(over.set)
    assert over.wait(WAIT_S)
    assert together == []
    assert len(done) == 4 * EACH
    assert [[number for who, number in done if who == one] for one in range(4)] == [list(range(EACH))] * 4


def test_while_the_loop_sleeps_it_is_done_where_it_is_asked_for(turns: Turns) -> None:
    _asleep(turns)
    where: list[int] = []
    turns.soon(lambda: where.append(threading.get_ident()))
    assert where == [threading.get_ident()]


def test_a_time_set_meanwhile_is_kept(turns: Turns) -> None:
    _asleep(turns)
    rang = threading.Event()
    turns.soon(lambda: turns.at(turns.now_s() + 0.01, rang.set) and None)
    assert rang.wait(WAIT_S)


def test_a_descriptor_watched_meanwhile_is_heard_and_one_given_up_is_not(turns: Turns) -> None:
    near, far = os.pipe()
    heard = threading.Event()

    def hear() -> None:
        os.read(near, 1)
        turns.when_readable(near, None)
        heard.set()

    try:
        _asleep(turns)
        turns.soon(lambda: turns.when_readable(near, hear))
        os.write(far, b"x")
        assert heard.wait(WAIT_S)
        heard.clear()
        os.write(far, b"y")
        _asleep(turns)
        assert not heard.is_set()
    finally:
        os.close(near)
        os.close(far)


def test_without_memory_one_thing_is_lost_and_the_next_one_done(
    turns: Turns, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_memory() -> None:
        raise MemoryError

    _asleep(turns)
    turns.soon(no_memory)
    after = threading.Event()
    turns.soon(after.set)
    assert after.wait(WAIT_S)
    assert "no_memory" in capfd.readouterr().err


def test_after_the_end_nothing_is_done() -> None:
    turns = Turns()
    turns.soon(turns.end)
    turns.run()
    late: list[int] = []
    turns.soon(lambda: late.append(1))
    assert late == []


def _asleep(turns: Turns) -> None:
    """Waits until the loop sleeps: what is asked for now is done here."""
    until_s = time.monotonic() + WAIT_S
    where: list[int] = []
    while not where or where[-1] != threading.get_ident():
        assert time.monotonic() < until_s, "the loop never sleeps"
        time.sleep(0.001)
        turns.soon(lambda: where.append(threading.get_ident()))
