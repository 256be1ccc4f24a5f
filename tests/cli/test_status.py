"""`tidegate status`."""

from __future__ import annotations

import json

import pytest
from running_gateway import Running, gateway, workshop_config

from tidegate.cli import exit_codes, main

Capture = pytest.CaptureFixture[str]


def test_a_running_gateway_is_shown_in_words_first(at_home: Running, capsys: Capture) -> None:
    assert main(["call", "echo", "text=a"]) == exit_codes.OK
    capsys.readouterr()
    assert main(["status"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tidegate has been up for ")
    assert lines[0].endswith(". 1 server: 1 ready.")
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    assert rows["http"] == [at_home.http]
    assert rows["unix"] == [at_home.unix]
    assert rows["sessions"] == ["0", "of", "4096"]
    head = next(line for line in lines if line.startswith("BACKEND")).split("  ")
    cells = next(line for line in lines if line.startswith("workshop  ")).split("  ")
    assert {"STATE", "SPEAKS", "PID", "RESTARTS", "IN FLIGHT", "TOOLS"} <= {title.strip() for title in head}
    assert {"ready", "2026-07-28", "stdio", "14", "0"} <= {cell.strip() for cell in cells}
    assert 'workshop: isolation "auto"' in lines
    assert " ".join(rows["everybody"]) == "ready 2026-07-28 no session is kept: each request says whose it is"


def test_json_is_everything_that_is_counted(at_home: Running, capsys: Capture) -> None:
    assert main(["status", "--admin", at_home.admin, "--json"]) == exit_codes.OK
    status = json.loads(capsys.readouterr().out)
    assert status["listen"]["http"] == [at_home.http]
    assert status["backends"][0]["backend"] == "workshop"
    assert status["backends"][0]["limits"]["max_in_flight"] == 64
    assert status["suspended"] == {"calls": 0, "limit": 256}


def test_a_backend_that_cannot_be_reached_is_explained(capsys: Capture) -> None:
    broken = '[backends.broken]\ncommand = ["/nowhere/at.all"]\n'
    with gateway(workshop_config() + broken) as running:
        assert main(["tools", "--unix", running.unix]) == exit_codes.OK
        capsys.readouterr()
        assert main(["status", "--admin", running.admin]) == exit_codes.BACKEND
    first, said, advice = capsys.readouterr().out.splitlines()[:3]
    assert first.endswith(". 2 servers: 1 ready, 1 out of order (`broken`).")
    assert said.startswith("! `broken` has been down for ")
    assert ": the program `/nowhere/at.all` was not found. tidegate " in said
    assert "`tidegate doctor`" in advice
    assert "`tidegate logs --backend broken`" in advice


def test_without_a_daemon_the_message_names_the_way_out(capsys: Capture) -> None:
    assert main(["status", "--admin", "http://127.0.0.1:1"]) == exit_codes.NO_DAEMON
    said = capsys.readouterr().err
    assert "`tidegate serve`" in said
    assert "`--admin URL`" in said


def test_what_is_no_admin_listener_is_recognised(at_home: Running, capsys: Capture) -> None:
    assert main(["status", "--admin", at_home.http]) == exit_codes.FAILED
    assert "not as an admin listener" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["ftp://here", "http://", "http://x:99999999", "[::1"])
def test_what_is_no_url_is_a_usage_error(where: str) -> None:
    assert main(["status", "--admin", where]) == exit_codes.USAGE
