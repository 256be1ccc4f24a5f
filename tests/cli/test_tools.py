"""`tidegate tools`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running_gateway import Running
from workshop import TOOLS

from tidegate.cli import exit_codes, main

pytestmark = pytest.mark.usefixtures("at_home")

Capture = pytest.CaptureFixture[str]


def test_every_tool_is_listed_with_the_first_line_of_its_description(capsys: Capture) -> None:
    assert main(["tools"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(TOOLS)
    assert lines[0].split(maxsplit=1) == ["echo", "Says what it was given."]
    assert "second line" not in "".join(lines)


def test_columns_are_aligned(capsys: Capture) -> None:
    main(["tools"])
    starts = {line.index(line.split(maxsplit=1)[1]) for line in capsys.readouterr().out.splitlines()}
    assert starts == {len("was_cancelled") + 2}


def test_a_pattern_picks_tools(capsys: Capture) -> None:
    assert main(["tools", "ask*"]) == exit_codes.OK
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ask", "ask_anyway"]


def test_a_pattern_that_fits_nothing_fails(capsys: Capture) -> None:
    assert main(["tools", "z*"]) == exit_codes.FAILED
    assert "no tool fits `z*`" in capsys.readouterr().err


def test_one_tool_is_shown_with_its_arguments(capsys: Capture) -> None:
    assert main(["tools", "echo"]) == exit_codes.OK
    shown = capsys.readouterr().out
    rows = {line.split()[0]: " ".join(line.split()) for line in shown.splitlines() if line.startswith("  ")}
    assert rows["text"] == "text string required What to say"
    assert rows["times"] == "times integer 1…5 (default 1)"
    assert rows["tags"] == "tags array of string"
    assert rows["counts"] == "counts array of integer"
    assert rows["colour"] == "colour one of red, green"
    assert "The second line is only in the long form." in shown
    assert "it changes nothing" in shown
    assert shown.rstrip().endswith("tidegate call echo text=TEXT")


def test_a_name_that_is_nearly_right_is_recognised(capsys: Capture) -> None:
    assert main(["tools", "ecco"]) == exit_codes.FAILED
    assert "no tool `ecco`; did you mean `echo`" in capsys.readouterr().err


def test_json_is_what_the_server_wrote(capsys: Capture) -> None:
    assert main(["tools", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == {"tools": TOOLS}
    assert main(["tools", "echo", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == TOOLS[0]


def test_descriptions_cannot_steer_the_terminal(capsys: Capture) -> None:
    main(["tools"])
    main(["tools", "nasty"])
    main(["tools", "--json"])
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert "\\x1b[2Jred\\x9b31m\\u202etxt.exe" in shown


@pytest.mark.parametrize("way", ["http", "tcp", "unix"])
def test_every_listener_gives_the_same_list(
    way: str, at_home: Running, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_SOCKET", "/nowhere/at.all")
    assert main(["tools", f"--{way}", getattr(at_home, way), "--json"]) == exit_codes.OK
    assert len(json.loads(capsys.readouterr().out)["tools"]) == len(TOOLS)


def test_without_a_daemon_the_message_names_the_way_out(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_SOCKET", "/nowhere/at.all")
    assert main(["tools"]) == exit_codes.NO_DAEMON
    said = capsys.readouterr().err
    assert "`/nowhere/at.all`" in said
    assert "`tidegate serve`" in said
    assert "`--standalone`" in said


@pytest.mark.parametrize("flags", [["--http", "http://127.0.0.1:1"], ["--tcp", "127.0.0.1:1"]])
def test_a_closed_port_is_no_daemon(flags: list[str], capsys: Capture) -> None:
    assert main(["tools", *flags]) == exit_codes.NO_DAEMON
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--http", "ftp://x"], ["--tcp", "nonsense"], ["--unix", "/a", "--tcp", "127.0.0.1:1"]]
)
def test_flags_that_make_no_sense_are_usage_errors(flags: list[str]) -> None:
    assert main(["tools", *flags]) == exit_codes.USAGE


def test_a_private_gateway_serves_a_configuration(
    at_home: Running, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_SOCKET", "/nowhere/at.all")
    assert main(["tools", "--config", at_home.config, "--json"]) == exit_codes.OK
    assert json.loads(capfd.readouterr().out) == {"tools": TOOLS}


def test_a_private_gateway_that_cannot_start_says_why(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[backends.x]\nnonsense = 1\n", encoding="utf-8")
    assert main(["tools", "--config", str(wrong)]) == exit_codes.USAGE
    said = capfd.readouterr().err
    assert "nonsense" in said
    assert "private gateway" in said
