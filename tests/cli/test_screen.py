"""A picture that is drawn in place, in a real terminal (a pseudo-terminal with nobody before it)."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from running_gateway import END_S, Running, command, gateway, read_until, workshop_config

from tidegate.cli import exit_codes

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """A command at a terminal."""

    def __init__(self, fd: int, process: subprocess.Popen[bytes]) -> None:
        self.fd = fd
        self.process = process

    def read(self, mark: bytes) -> bytes:
        return read_until(self.fd, mark, END_S)

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def modes(self) -> list[object]:
        return list(termios.tcgetattr(self.fd))


@contextmanager
def terminal(*words: str, term: str = "xterm", **environ: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    line, environment = command(*words, environ={"TERM": term, **environ})
    environment.pop("NO_COLOR", None) if "NO_COLOR" not in environ else None
    with subprocess.Popen(
        line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)


@pytest.mark.parametrize("words", [("top", "--interval", "0.2"), ("status", "--watch", "--interval", "0.2")])
def test_q_ends_it_and_the_terminal_is_as_it_was(at_home: Running, words: tuple[str, ...]) -> None:
    with terminal(*words) as watched:
        before = watched.modes()
        assert ENTER in watched.read(b"tidegate ")
        assert watched.modes() != before
        watched.type("q")
        assert LEAVE in watched.read(LEAVE)
        assert watched.process.wait(END_S) == exit_codes.OK
        assert watched.modes() == before


def test_ctrl_c_and_sigterm_leave_the_terminal_as_it_was(at_home: Running) -> None:
    for number, code in ((signal.SIGINT, exit_codes.INTERRUPTED), (signal.SIGTERM, 128 + signal.SIGTERM)):
        with terminal("status", "--watch") as watched:
            before = watched.modes()
            watched.read(b"tidegate ")
            watched.process.send_signal(number)
            assert LEAVE in watched.read(LEAVE)
            assert watched.process.wait(END_S) == code
            assert watched.modes() == before


def test_another_size_of_the_window_is_taken_up_at_once(at_home: Running) -> None:
    with terminal("status", "--watch", "--interval", "600") as watched:
        watched.read(b"awaiting answers")
        watched.resize(30, 60)
        # It is drawn again long before its time, and as narrow as the window.
        seen = watched.read(b"awaiting answers").decode()
        shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in seen.splitlines()]
        assert max(map(len, shown)) <= 30


def test_keys_put_rows_in_another_order_and_move_the_window(at_home: Running) -> None:
    with terminal("top", "--interval", "600") as watched:
        # The keys are the last row: the picture is complete.
        assert b"by calls" in watched.read(b"q end")
        watched.type("m")
        watched.read(b"by memory")
    with terminal("status", "--watch", "--interval", "600") as watched:
        watched.read(b"awaiting answers")
        watched.resize(80, 10)
        watched.read(b" lines below")
        watched.type("\x1b[6~")
        assert b" lines above" in watched.read(b" lines above")


def test_colours_are_left_out_where_they_are_not_wanted(at_home: Running) -> None:
    with terminal("status", "--watch") as watched:
        assert b"\x1b[1mtidegate" in watched.read(b"awaiting answers")
    with terminal("status", "--watch", NO_COLOR="1") as watched:
        assert b"m" not in re.findall(rb"\x1b\[[0-9;?]*([A-Za-z])", watched.read(b"awaiting answers"))


def test_a_terminal_that_can_do_nothing_gets_pictures_one_below_the_other(at_home: Running) -> None:
    with terminal("status", "--watch", "--interval", "0.2", term="dumb") as watched:
        seen = watched.read(b"awaiting answers")
        seen += watched.read(b"awaiting answers")
        assert b"\x1b" not in seen


def test_a_restart_of_the_gateway_is_waited_for() -> None:
    with (
        gateway(workshop_config()) as first,
        terminal("status", "--watch", "--interval", "0.2", "--admin", first.admin) as watched,
    ):
        watched.read(b"awaiting answers")
        first.stop()
        watched.read(b"Waiting for it.")
        with gateway(workshop_config(), admin=f"127.0.0.1:{first.admin.rpartition(':')[2]}"):
            watched.read(b"is a new process since")
