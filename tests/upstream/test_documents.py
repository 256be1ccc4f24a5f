"""Documents on the disk: what two threads write at once is one of both."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tidegate.storage.documents import Documents


def test_two_that_write_at_once_leave_one_whole_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both_opened = threading.Barrier(2)
    real = os.fdopen

    def late(*args: Any, **more: Any) -> Any:
        both_opened.wait(10)
        return real(*args, **more)

    documents = Documents(tmp_path)
    texts = (b"a" * 10, b"b" * 1000)
    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(os, "fdopen", late)
        list(pool.map(partial(documents.write, "one.json"), texts))
    assert documents.read("one.json") in texts
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
    assert not caplog.messages
