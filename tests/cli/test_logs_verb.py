"""`tidegate logs`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest
from running_gateway import END_S, Running, command, gateway, read_until, workshop_config

from tidegate.cli import exit_codes, main

Capture = pytest.CaptureFixture[str]

BROKEN = '[backends.broken]\ncommand = ["/nowhere/at.all"]\n'
TALKING = """\
[backends.talking]
command = ["/bin/sh", "-c", "printf 'up \\\\033[2J PASSWORD=hunter2\\\\n' >&2; exit 3"]
"""


@pytest.fixture(scope="module")
def troubled() -> Iterator[Running]:
    with gateway(workshop_config() + BROKEN + TALKING) as running:
        assert main(["tools", "--unix", running.unix]) == exit_codes.OK
        yield running


def test_what_went_wrong_is_in_the_log_with_its_backend(troubled: Running, capsys: Capture) -> None:
    assert main(["logs", "--admin", troubled.admin, "--level", "warning", "--backend", "broken"]) == exit_codes.OK
    _day, line, *_ = capsys.readouterr().out.splitlines()
    assert " warning broken: backend_unavailable " in line
    assert "the program `/nowhere/at.all` was not found" in line


def test_what_a_server_printed_is_there_without_secrets_and_cannot_steer(troubled: Running, capsys: Capture) -> None:
    assert main(["logs", "--admin", troubled.admin, "--backend", "talking"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "up \\x1b[2J PASSWORD=…" in shown
    assert "\x1b" not in shown


def test_json_is_one_object_a_line(troubled: Running, capsys: Capture) -> None:
    assert main(["logs", "--admin", troubled.admin, "--json", "--lines", "2"]) == exit_codes.OK
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2
    assert {"number", "time_s", "level", "logger", "backend", "text"} == set(rows[0])


def test_no_line_that_fits_is_said(troubled: Running, capsys: Capture) -> None:
    assert main(["logs", "--admin", troubled.admin, "--backend", "nobody", "--since", "2h"]) == exit_codes.OK
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no line that fits" in shown.err


@pytest.mark.parametrize("words", [["--since", "soon"], ["--lines", "-1"], ["--level", "loud"]])
def test_what_makes_no_sense_is_a_usage_error(words: list[str]) -> None:
    assert main(["logs", *words]) == exit_codes.USAGE


def test_without_a_daemon_following_ends_at_once() -> None:
    assert main(["logs", "--follow", "--admin", "http://127.0.0.1:1"]) == exit_codes.NO_DAEMON


def test_following_shows_lines_as_they_come_and_waits_through_a_restart() -> None:
    with gateway(BROKEN) as running:
        words, environ = command("logs", "--follow", "--backend", "broken", "--admin", running.admin)
        with subprocess.Popen(
            words, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                main(["tools", "--unix", running.unix])
                assert b"backend_unavailable" in read_until(process.stdout.fileno(), b"not found\n", END_S)
                port = running.admin.rpartition(":")[2]
                running.stop()
                assert b"waiting for it" in read_until(process.stderr.fileno(), b"waiting for it\n", END_S)
                with gateway(BROKEN, admin=f"127.0.0.1:{port}") as again:
                    main(["tools", "--unix", again.unix])
                    assert b"answers again" in read_until(process.stderr.fileno(), b"again\n", END_S)
                    assert b"backend_unavailable" in read_until(process.stdout.fileno(), b"not found\n", END_S)
            finally:
                process.kill()
