"""`tidegate resources`."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from running_gateway import READY_S, command
from workshop import BYTES, RESOURCES

from tidegate.cli import exit_codes, main

pytestmark = pytest.mark.usefixtures("at_home")

Capture = pytest.CaptureFixture[str]


def test_resources_and_templates_are_listed(capsys: Capture) -> None:
    assert main(["resources"]) == exit_codes.OK
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["workshop://note", "text/plain", "A", "note"]
    assert lines[1] == ["workshop://logo.png", "image/png", "logo"]
    assert ["workshop://shelf/{name}", "One", "shelf"] in lines


def test_a_pattern_picks_resources(capsys: Capture) -> None:
    assert main(["resources", "workshop://n*", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == {"resources": [RESOURCES[0]]}


def test_text_is_printed(capsys: Capture) -> None:
    assert main(["resources", "workshop://note"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("note ")


def test_bytes_become_a_file_when_a_directory_is_named(capsys: Capture, tmp_path: Path) -> None:
    assert main(["resources", "workshop://logo.png", "--output", str(tmp_path)]) == exit_codes.OK
    assert (tmp_path / "logo.png").read_bytes() == base64.b64decode(BYTES)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"saved image/png, 256 bytes: {tmp_path}/logo.png" in captured.err


def test_bytes_go_through_a_pipe_as_they_are() -> None:
    words, environ = command("resources", "workshop://logo.png")
    done = subprocess.run(words, env=environ, capture_output=True, timeout=READY_S, check=True)
    assert done.stdout == base64.b64decode(BYTES)


def test_an_unknown_resource_is_answered_with_close_matches(capsys: Capture) -> None:
    assert main(["resources", "workshop://nota"]) == exit_codes.FAILED
    assert "no resource `workshop://nota`; did you mean `workshop://note`" in capsys.readouterr().err


def test_json_is_the_result_as_it_came(capsys: Capture) -> None:
    assert main(["resources", "workshop://logo.png", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["contents"][0]["blob"] == BYTES
