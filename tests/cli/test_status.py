"""`tidegate status`."""

from __future__ import annotations

import json

import pytest
from running_gateway import Running, gateway, workshop_config

from tidegate.cli import exit_codes, main

Capture = pytest.CaptureFixture[str]


def test_a_running_gateway_is_shown_with_its_listeners_and_backends(at_home: Running, capsys: Capture) -> None:
    assert main(["call", "echo", "text=a"]) == exit_codes.OK
    capsys.readouterr()
    assert main(["status"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert rows["http"] == [at_home.http]
    assert rows["unix"] == [at_home.unix]
    assert rows["sessions"] == ["0"]
    assert rows["workshop"] == ["ready", "stdio", "2026-07-28", "1/1", "13", "0", "0"]
    assert 'workshop: isolation "auto"' in lines
    assert " ".join(rows["everybody"]) == "ready 2026-07-28 no session is kept: each request says whose it is"


def test_json_is_everything_that_is_counted(at_home: Running, capsys: Capture) -> None:
    assert main(["status", "--admin", at_home.admin, "--json"]) == exit_codes.OK
    status = json.loads(capsys.readouterr().out)
    assert status["listen"]["http"] == [at_home.http]
    assert status["backends"][0]["backend"] == "workshop"
    assert status["suspended"] == {"calls": 0, "limit": 256}


def test_a_backend_that_cannot_be_reached_is_shown_with_its_error(capsys: Capture) -> None:
    broken = '[backends.broken]\ncommand = ["/nowhere/at.all"]\n'
    with gateway(workshop_config() + broken) as running:
        assert main(["tools", "--unix", running.unix]) == exit_codes.OK
        capsys.readouterr()
        assert main(["status", "--admin", running.admin]) == exit_codes.BACKEND
    shown = capsys.readouterr().out
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("broken ")] == ["down"]
    assert "last error: backend `broken`: the program `/nowhere/at.all` was not found" in shown


def test_without_a_daemon_the_message_names_the_way_out(capsys: Capture) -> None:
    assert main(["status", "--admin", "http://127.0.0.1:1"]) == exit_codes.NO_DAEMON
    said = capsys.readouterr().err
    assert "`tidegate serve`" in said
    assert "`--admin URL`" in said


def test_what_is_no_admin_listener_is_recognised(at_home: Running, capsys: Capture) -> None:
    assert main(["status", "--admin", at_home.http]) == exit_codes.FAILED
    assert "not as an admin listener" in capsys.readouterr().err


def test_what_is_no_url_is_a_usage_error() -> None:
    assert main(["status", "--admin", "ftp://here"]) == exit_codes.USAGE
