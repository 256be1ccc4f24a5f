"""The worker as a process: what only a process can show."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_model import META, WAIT_S, told, write_model

from tidegate.models.worker.worker import STUCK

PROGRAM = Path(__file__).with_name("toy_model.py")
LONG_S = 3600
"""Of computing that no test waits for."""


class Child:
    def __init__(self, environment: str, *arguments: str, program: list[str] | None = None) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, *(program or [str(PROGRAM)]), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"TIDEGATE_MODELS": environment},
        )
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.stdin, self.stdout = self.popen.stdin, self.popen.stdout
        self._rest = b""

    def send(self, request_id: int, method: str, token: Any = None, **params: Any) -> None:
        meta = META | ({"progressToken": token} if token is not None else {})
        message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {"_meta": meta, **params}}
        self.stdin.write(json.dumps(message).encode() + b"\n")
        self.stdin.flush()

    def echo(self, request_id: int, text: str = "hello", token: Any = None, **how: Any) -> None:
        self.send(request_id, "tools/call", token, name="echo", arguments={"text": text, **how})

    def hear(self) -> Any:
        while b"\n" not in self._rest:
            assert select.select([self.stdout], [], [], WAIT_S)[0], "the worker said nothing"
            data = os.read(self.stdout.fileno(), 1 << 16)
            assert data, "the worker ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    def end(self) -> tuple[int, bytes, bytes]:
        """Exit status and what it said besides, its input having ended."""
        out, err = self.popen.communicate(timeout=WAIT_S)
        return self.popen.returncode, self._rest + out, err


Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Child] = []

    def begin(*arguments: str, limits: dict[str, Any] | None = None, **more: Any) -> Child:
        entry = write_model(tmp_path / "toy", limits=limits or {"memory_bytes": 1 << 20})
        started.append(Child(told([entry], **more), *arguments))
        return started[-1]

    yield begin
    for child in started:
        if child.popen.poll() is None:
            child.popen.kill()
        for pipe in (child.popen.stdin, child.popen.stdout, child.popen.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        child.popen.wait()


def test_the_real_one_lists_a_shipped_model_without_any_library_of_models() -> None:
    environment = json.dumps({"models": [{"path": "language", "shipped": True}]})
    child = Child(environment, program=["-P", "-m", "tidegate.models"])
    child.send(1, "tools/list")
    assert [tool["name"] for tool in child.hear()["result"]["tools"]] == ["identify"]
    mapped = Path(f"/proc/{child.popen.pid}/maps").read_text(encoding="utf-8")
    for library in ("onnxruntime", "numpy", "fasttext", "PIL", "_asyncio", "_ssl"):
        assert library not in mapped
    assert child.end() == (0, b"", b"")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_it_says_what_it_is(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-P", "-m", "tidegate.models", *arguments], capture_output=True, check=True)
    assert b"TIDEGATE_MODELS" in done.stdout
    assert b"tools/list" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told_"),
    [(["--linger"], "{}"), (["--linger", "x"], "{}"), (["--linger", "nan"], "{}"), (["x"], "{}"), ([], ""), ([], "{}")],
)
def test_what_makes_no_sense_is_said_on_stderr(arguments: list[str], told_: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tidegate.models", *arguments],
        capture_output=True,
        check=False,
        env=os.environ | {"TIDEGATE_MODELS": told_},
    )
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"--help" in done.stderr


def test_it_comes_last_for_the_processor_and_first_when_memory_runs_out(start: Start) -> None:
    child = start()
    child.send(1, "ping")
    child.hear()
    assert os.getpriority(os.PRIO_PROCESS, child.popen.pid) >= min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
    assert Path(f"/proc/{child.popen.pid}/oom_score_adj").read_text() == "500\n"


def test_its_end_of_input_ends_it_whatever_it_computes(start: Start) -> None:
    child = start()
    child.echo(1, "x", token=1, pieces=["."], burn=0)
    while "id" not in child.hear():
        pass
    child.echo(2, "y", burn=LONG_S)
    child.send(3, "ping")
    assert child.hear()["id"] == 3
    assert child.end() == (0, b"", b"")


def test_what_it_has_in_flight_is_answered_first_if_there_is_time(start: Start) -> None:
    child = start("--linger", str(LONG_S))
    child.echo(1, "x", burn=0.05)
    status, out, _ = child.end()
    assert status == 0
    assert json.loads(out)["result"]["structuredContent"]["said"] == "x"


def test_requests_may_come_from_a_file_and_answers_go_to_one(tmp_path: Path) -> None:
    entry = write_model(tmp_path / "toy")
    requests, replies = tmp_path / "requests", tmp_path / "replies"
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    params = {"_meta": META, "name": "echo", "arguments": {"text": "x"}}
    # The last line lacks its end.
    requests.write_text(
        json.dumps({"jsonrpc": "2.0", "id": 0, "method": "ping"}) + "\n" + json.dumps({**message, "params": params})
    )
    with requests.open("rb") as stdin, replies.open("wb") as stdout:
        subprocess.run(
            [sys.executable, str(PROGRAM), "--linger", str(WAIT_S)],
            stdin=stdin,
            stdout=stdout,
            env=os.environ | {"TIDEGATE_MODELS": told([entry])},
            check=True,
            timeout=WAIT_S,
        )
    assert [json.loads(line)["id"] for line in replies.read_text().splitlines()] == [0, 1]


def test_nothing_but_messages_goes_to_its_output(start: Start) -> None:
    child = start()
    child.echo(1, "x", print=True)
    assert child.hear()["id"] == 1
    status, out, err = child.end()
    assert (status, out) == (0, b"")
    assert b"a library talks" in err
    assert b"so does Python" in err


def test_memory_over_its_bound_is_an_error_and_the_worker_lives_on(start: Start) -> None:
    child = start(memory_bytes=160 << 20)
    child.echo(1, "x", allocate=400 << 20)
    error = child.hear()["error"]
    assert error["data"] == {"reason": "model_out_of_memory"}
    child.echo(2, "x", allocate=1 << 20)
    assert child.hear()["result"]["structuredContent"]["said"] == "x"


def test_a_message_that_does_not_fit_into_memory_is_refused_and_the_next_one_served(start: Start) -> None:
    child = start(memory_bytes=64 << 20, line_bytes=1 << 30)
    child.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * (100 << 20) + b'"}}\n')
    child.send(2, "ping")
    while (message := child.hear()).get("id") != 2:
        assert "error" in message
    assert "result" in message


def test_a_call_that_does_not_return_is_answered_and_then_ends_the_worker(start: Start) -> None:
    child = start(limits={"memory_bytes": 1 << 20, "deadline_ms": 100}, stuck_s=1.0)
    for number in range(100):
        child.echo(number, "x", token="t", burn=LONG_S)
        if "method" in child.hear():
            assert child.hear()["error"]["data"] == {"reason": "model_deadline"}
            break
        # On a busy machine its time may be up before it is begun.
    assert child.popen.wait(WAIT_S) == STUCK
    assert b"model_stuck model=toy" in child.end()[2]


def test_when_nobody_reads_any_more_it_ends(start: Start) -> None:
    child = start()
    child.send(1, "ping")
    child.hear()
    child.stdout.close()
    child.echo(2, "x")
    assert child.popen.wait(WAIT_S) == 0


def test_it_can_be_ended_by_a_signal_while_it_computes(start: Start) -> None:
    child = start()
    child.echo(1, "x", burn=LONG_S)
    child.send(2, "ping")
    child.hear()
    child.popen.terminate()
    assert child.popen.wait(WAIT_S) == -signal.SIGTERM
