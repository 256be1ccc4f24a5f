"""Starts a stdio server as the gateway would, for a bounded time, and watches what it does.

It is asked to `initialize`, which a server of any era answers with something; then its stdin is closed, as the stdio
binding ends a server. What was asked, answered and printed is kept as facts; the checks judge them.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tidegate.clock import Clock
from tidegate.config.snapshot import Backend
from tidegate.errors import UpstreamUnreachable
from tidegate.pipeline.upstream.child.program import death_pact, environment, find_program, why_not_started
from tidegate.protocol.revisions import LATEST_LEGACY

LONGEST_S: Final = 60.0
"""A server is not waited for longer, whatever `start_timeout_s` says: somebody sits in front of this."""

_GRACE_S: Final = 2.0
_LINES: Final = 5
_LINE_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_SETTLE_S: Final = 0.3
"""How long the output is still read after the answer: some print only then that they are ready."""
INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": LATEST_LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "tidegate-doctor", "version": "1"},
    },
}


@dataclass(slots=True)
class Trial:
    """What was seen of one server."""

    answered_s: float | None = None
    """Seconds from the start to its answer; None: there was none."""
    waited_s: float = 0.0
    exit_status: int | None = None
    """As it ended by itself before it was told to; negative for a signal. None: it did not."""
    noise: list[tuple[int, str]] = field(default_factory=list)
    """(number of the line, text) of lines on stdout that are no JSON-RPC."""
    stderr: list[str] = field(default_factory=list)
    """Its last lines."""
    lines: int = 0
    started: bool = False
    not_started: str = ""
    """Why the system would not start it, although the program is there."""


def try_server(backend: Backend, clock: Clock) -> Trial:
    """Starts it, asks, and ends it with all that it started. Takes at most `start_timeout_s`, and 6 s to end it."""
    trial = Trial()
    environ = environment(backend)
    try:
        program = find_program(backend, environ.get("PATH"))
    except UpstreamUnreachable:
        return trial  # the check `commands` says why
    try:
        child = subprocess.Popen(  # noqa: S603  what the configuration says
            [*death_pact(), program, *backend.command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            cwd=backend.cwd,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        trial.not_started = str(why_not_started(backend, error))
        return trial
    trial.started = True
    try:
        _watch(child, trial, clock, min(backend.start_timeout_s, LONGEST_S))
    finally:
        _end(child)
    return trial


def _watch(child: subprocess.Popen[bytes], trial: Trial, clock: Clock, longest_s: float) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    start_s = clock.now_s()
    with suppress(OSError):
        child.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    rests = {child.stdout: b"", child.stderr: b""}
    until_s = start_s + longest_s
    with selectors.DefaultSelector() as selector:
        for stream in rests:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and (left_s := until_s - clock.now_s()) > 0:
            for key, _ in selector.select(left_s):
                stream = child.stdout if key.fileobj is child.stdout else child.stderr
                data = os.read(key.fd, _CHUNK_BYTES)
                if not data:
                    selector.unregister(stream)
                *lines, rest = (rests[stream] + data).split(b"\n")
                if not data and rest:
                    lines, rest = [rest], b""
                rests[stream] = rest[-_LINE_BYTES:]
                for line in lines:
                    if stream is child.stderr:
                        _keep_stderr(trial, line)
                    elif _is_answer(trial, line) and trial.answered_s is None:
                        trial.answered_s = clock.now_s() - start_s
                        until_s = min(until_s, clock.now_s() + _SETTLE_S)
    trial.waited_s = clock.now_s() - start_s
    with suppress(subprocess.TimeoutExpired):
        # Its output has ended, so it is about to; otherwise it still runs.
        trial.exit_status = child.wait(_SETTLE_S if not trial.answered_s else 0)


def _is_answer(trial: Trial, line: bytes) -> bool:
    """Notes a line of stdout; whether it is a message at all."""
    trial.lines += 1
    if not line.strip():
        return False
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    messages = message if isinstance(message, list) else [message]
    if messages and all(isinstance(item, dict) and item.get("jsonrpc") == "2.0" for item in messages):
        return any("result" in item or "error" in item for item in messages)
    if len(trial.noise) < _LINES:
        trial.noise.append((trial.lines, line[:1000].decode("utf-8", "replace")))
    return False


def _keep_stderr(trial: Trial, line: bytes) -> None:
    text = line[:1000].decode("utf-8", "replace").strip()
    if text:
        trial.stderr = [*trial.stderr, text][-_LINES:]


def _end(child: subprocess.Popen[bytes]) -> None:
    """Stdin closed, SIGTERM, SIGKILL: the order of the stdio binding; then whatever is left of its group."""
    assert child.stdin is not None
    with suppress(OSError):
        child.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal_group(child.pid, number)
        try:
            child.wait(_GRACE_S)
            break
        except subprocess.TimeoutExpired:
            continue
    _signal_group(child.pid, signal.SIGKILL)
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
