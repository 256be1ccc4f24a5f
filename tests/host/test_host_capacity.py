"""A file system that does not answer costs its deadline once, and one thread."""

from __future__ import annotations

import os
import threading

from tidegate.clock import Clock
from tidegate.host.capacity import STUCK, Capacity

RESULT = os.statvfs_result((1, 1, 1, 1, 1, 1, 1, 1, 0, 255))


def test_a_hung_mount_is_reported_and_not_asked_again_until_it_answers() -> None:
    release = threading.Event()
    asked: list[bytes] = []

    def statvfs(path: bytes) -> os.statvfs_result:
        asked.append(path)
        if path == b"/hung":
            release.wait(30)
        return RESULT

    capacity = Capacity(Clock(), statvfs, answer_s=0.05)
    try:
        answers = capacity.ask_patiently([b"/hung", b"/fine"])
        assert answers[b"/hung"].found is None
        assert not answers[b"/hung"].failed
        assert answers[b"/fine"].found == RESULT
        assert capacity.ask_patiently([b"/hung"])[b"/hung"].found is None
        assert asked.count(b"/hung") == 1
    finally:
        release.set()
    for thread in threading.enumerate():
        if thread.name == "tidegate-statvfs":
            thread.join(30)
    recovered = Capacity(Clock(), statvfs, answer_s=30).ask_patiently([b"/hung"])
    assert recovered[b"/hung"].found == RESULT
    assert capacity.ask_patiently([b"/fine"])[b"/fine"].found == RESULT


def test_stuck_threads_are_bounded() -> None:
    release = threading.Event()
    started = threading.Semaphore(0)

    def statvfs(path: bytes) -> os.statvfs_result:
        started.release()
        release.wait(30)
        return RESULT

    capacity = Capacity(Clock(), statvfs, answer_s=0.01)
    try:
        answers = capacity.ask_patiently([b"/%d" % number for number in range(STUCK + 10)])
        assert all(answer.found is None and not answer.failed for answer in answers.values())
        for _ in range(STUCK):
            assert started.acquire(timeout=30)
        assert not started.acquire(blocking=False)
    finally:
        release.set()


def test_a_refusal_is_not_silence() -> None:
    def statvfs(path: bytes) -> os.statvfs_result:
        raise PermissionError(path)

    capacity = Capacity(Clock(), statvfs)
    assert capacity.ask(b"/x").failed
    assert capacity.ask_patiently([b"/x"])[b"/x"].failed
