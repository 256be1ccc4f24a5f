"""Which models a worker has loaded can be seen from outside, by the names of its threads."""

from __future__ import annotations

import os
import threading
import time

from tidegate.models.worker.thread_label import label_of, label_this_thread, labels_in


def test_a_thread_has_the_name_of_its_model_while_it_lives() -> None:
    labelled, done = threading.Event(), threading.Event()

    def live() -> None:
        label_this_thread("content-type-of-bytes")
        labelled.set()
        done.wait(20)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert labelled.wait(20)
        assert label_of("content-type-of-bytes") in labels_in(os.getpid())
        assert label_of("content-type") not in labels_in(os.getpid())
    finally:
        done.set()
        thread.join(20)
    # The kernel takes a moment longer than Python to let a thread go.
    until_s = time.monotonic() + 20
    while label_of("content-type-of-bytes") in labels_in(os.getpid()):
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert labels_in(2**22 + 1) == ()
