"""`tidegate install`: one entry in somebody else's file, shown, confirmed, and taken back without a trace."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from running_gateway import TIDEGATE, read_until

from tidegate.cli import exit_codes, main
from tidegate.cli.desktop_hosts import HOSTS, IMPORTED
from tidegate.cli.install import BACKUPS
from tidegate.config.document import read_document
from tidegate.config.locate import without_json_comments

SETTINGS = """\
// mine
{
  "theme": "One Dark", /* nice */
  "context_servers": {
    "notes": { "command": "notes", "env": { "API_KEY": "sk-canary-0123456789" } }, // keep
  },
}
"""
WAIT_S = 60.0
STARTED = ("claude-desktop", "opencode", "codex")
"""One of each shape in which a command is written."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home with nothing in it, and a project to stand in."""
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME", "TIDEGATE_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "tidegate"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tidegate "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(project)
    return home


def file_of(home: Path, host: str, text: str = "") -> Path:
    """The first place of the host, there already."""
    place = HOSTS[host].places[0].format(home=home, config=home / ".config", codex=home / ".codex")
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def tree(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    found: dict[str, object] = (
        tomllib.loads(text) if path.suffix == ".toml" else json.loads(without_json_comments(text))
    )
    return found


def entry(path: Path, host: str) -> dict[str, object]:
    found: object = tree(path)
    for key in (*HOSTS[host].home, "tidegate"):
        assert isinstance(found, dict)
        found = found[key]
    assert isinstance(found, dict)
    return found


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*.bak"))


@pytest.mark.parametrize("host", HOSTS)
def test_each_host_gets_an_entry_that_launches_connect_and_loses_it_again(host: str, home: Path) -> None:
    path = file_of(home, host)
    assert main(["install", host, "--yes"]) == exit_codes.OK
    found = entry(path, host)
    command = found["command"]
    words = [*command] if isinstance(command, list) else [command, *found["args"]]  # type: ignore[misc]
    assert words[-1] == "connect"
    assert Path(str(words[0])).is_absolute()
    if host in STARTED:
        done = subprocess.run([*map(str, words), "--standalone"], input=b"", capture_output=True, timeout=WAIT_S)
        assert done.returncode == 0, done.stderr
    assert main(["install", host, "--yes", "--remove"]) == exit_codes.OK
    assert "tidegate" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("host", IMPORTED)
def test_import_reads_the_file_back_and_does_not_take_the_gateway_for_a_server(
    host: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = HOSTS[host]
    if known.format == "toml":
        path = file_of(home, host, '[mcp_servers.notes]\ncommand = "notes"\n')
    else:
        servers: object = {"notes": {"command": "notes"}}
        for key in reversed(known.home):
            servers = {key: servers}
        path = file_of(home, host, json.dumps(servers))
    assert main(["install", host, "--yes"]) == exit_codes.OK
    capsys.readouterr()
    assert main(["import", "--from", host]) == exit_codes.OK
    said = capsys.readouterr()
    assert list(tomllib.loads(said.out)["backends"]) == ["notes"]
    assert "is this gateway itself and is left out" in said.err
    assert list(read_document(str(path)).tree["backends"]) == ["notes"]


@pytest.mark.parametrize(
    "server",
    [
        {"command": "tidegate", "args": ["connect"]},
        {"command": "/opt/venv/bin/tidegate", "args": ["connect", "--unix", "/run/t.sock"]},
        {"command": "python3", "args": ["-m", "tidegate", "connect"]},
        {"command": "uvx", "args": ["tidegate", "connect"]},
        {"command": ["tidegate", "connect"]},
    ],
)
def test_the_gateway_is_known_however_it_is_started(server: object, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"x": server, "y": {"command": "tidegate", "args": ["status"]}}}))
    assert list(read_document(str(path)).tree["backends"]) == ["y"]


def test_the_rest_of_the_file_keeps_its_bytes_its_mode_and_its_link(home: Path) -> None:
    dotfiles = home / "dotfiles"
    dotfiles.mkdir()
    real = dotfiles / "zed.json"
    real.write_text(SETTINGS, encoding="utf-8")
    real.chmod(0o640)
    link = home / ".config" / "zed" / "settings.json"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert main(["install", "zed", "--yes"]) == exit_codes.OK
    assert link.is_symlink()
    after = real.read_text(encoding="utf-8")
    assert all(line in after.splitlines() for line in SETTINGS.splitlines())
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    (backup,) = backups(real)
    assert backup.read_text(encoding="utf-8") == SETTINGS
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert main(["install", "zed", "--yes", "--remove"]) == exit_codes.OK
    assert real.read_text(encoding="utf-8") == SETTINGS


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_file_is_not_waited_for(home: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(home, "zed")
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    assert main(["install", "zed", "--yes"]) == exit_codes.FAILED
    assert "is no file" in capsys.readouterr().err
    assert main(["install", "--list"]) == exit_codes.OK


def test_the_change_is_shown_without_the_secrets_around_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(home, "zed", SETTINGS)
    assert main(["install", "zed", "--dry-run"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert '+      "args": ["connect"],' in shown
    assert "canary" not in shown
    assert path.read_text(encoding="utf-8") == SETTINGS
    assert backups(path) == []


@pytest.mark.parametrize("indent", [None, 2])
def test_values_of_other_servers_are_shown_in_no_layout(
    indent: int | None, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"command": "other", "args": ["--pass", "plain-words"], "env": {"TOKEN": "plain-words-too"}}
    file_of(home, "cursor", json.dumps({"mcpServers": {"other": other}}, indent=indent))
    assert main(["install", "cursor", "--yes"]) == exit_codes.OK
    assert main(["install", "cursor", "--yes", "--remove"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "plain-words" not in shown
    assert shown.count('"connect"') == 2


def test_a_file_of_one_long_line_is_not_poured_over_the_terminal(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file_of(home, "cursor", json.dumps({"mcpServers": {}, "history": list(range(100_000))}))
    assert main(["install", "cursor", "--yes"]) == exit_codes.OK
    assert len(capsys.readouterr().out) < 2000


def test_nothing_is_written_where_nobody_can_be_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(home, "cursor", "{}")
    done = subprocess.run(
        [*TIDEGATE, "install", "cursor"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S
    )
    assert done.returncode == exit_codes.FAILED
    assert "`--yes` writes without asking" in done.stderr
    assert path.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(("answer", "written"), [(b"y\n", True), (b"\n", False), (b"n\n", False), (b"\x04", False)])
def test_a_person_is_asked_and_only_yes_is_yes(answer: bytes, written: bool, home: Path) -> None:
    path = file_of(home, "cursor", "{}")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*TIDEGATE, "install", "cursor"], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        assert b"mcp.json? [y/N]" in read_until(ours, b"[y/N]", WAIT_S)
        os.write(ours, answer)
        while read_until(ours, b"\n", WAIT_S):
            pass
        process.wait(WAIT_S)
    os.close(ours)
    assert process.returncode == (exit_codes.OK if written else exit_codes.FAILED)
    assert ("tidegate" in path.read_text(encoding="utf-8")) == written


@pytest.mark.parametrize(
    ("host", "text", "place"),
    [
        ("cursor", '{\n  "mcpServers": {\n    "a": 1\n    "b": 2\n}}', "line 4, column 5"),
        ("cursor", '{"mcpServers": []}', "line 1, column 16"),
        ("codex", "a = 1\nb = \n", "line 2, column 5"),
        ("codex", "mcp_servers = {}\n", "change it by hand"),
    ],
)
def test_a_file_that_cannot_be_read_without_doubt_is_refused_with_its_place(
    host: str, text: str, place: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(home, host, text)
    assert main(["install", host, "--yes"]) == exit_codes.FAILED
    said = capsys.readouterr().err
    assert place in said
    assert str(path) in said
    assert path.read_text(encoding="utf-8") == text
    assert backups(path) == []


def test_what_a_person_added_to_the_entry_stays(home: Path) -> None:
    path = file_of(home, "cursor", '{"mcpServers": {"tidegate": {"command": "/old", "env": {"A": "1"}, "x": true}}}')
    assert main(["install", "cursor", "--yes"]) == exit_codes.OK
    found = entry(path, "cursor")
    assert (found["env"], found["x"], found["args"]) == ({"A": "1"}, True, ["connect"])
    assert found["command"] != "/old"


def test_installed_twice_is_installed_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file_of(home, "cursor")
    assert main(["install", "cursor", "--yes"]) == exit_codes.OK
    before = path.read_bytes()
    capsys.readouterr()
    assert main(["install", "cursor", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == [{"host": "cursor", "result": "unchanged"}]
    assert path.read_bytes() == before


def test_backups_are_kept_but_not_for_ever(home: Path) -> None:
    path = file_of(home, "cursor", "{}")
    for number in range(BACKUPS + 2):
        assert main(["install", "cursor", "--yes", "--name", f"t{number}"]) == exit_codes.OK
    kept = backups(path)
    assert len(kept) == BACKUPS
    assert f't{BACKUPS}"' in kept[-1].read_text(encoding="utf-8")


def test_without_a_sign_of_the_host_nothing_is_made(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "windsurf", "--yes"]) == exit_codes.FAILED
    assert "no sign of Windsurf here" in capsys.readouterr().err
    assert list(home.iterdir()) == []
    assert main(["install", "windsurf", "--yes", "--force"]) == exit_codes.OK
    assert stat.S_IMODE((home / ".codeium/windsurf/mcp_config.json").stat().st_mode) == 0o600


def test_a_project_has_a_file_of_its_own(home: Path) -> None:
    assert main(["install", "vscode", "--project", "--yes"]) == exit_codes.OK
    assert entry(Path(".vscode/mcp.json"), "vscode")["type"] == "stdio"
    assert list(home.iterdir()) == []


def test_claude_is_the_desktop_where_it_is_and_else_the_command_line(home: Path) -> None:
    code = file_of(home, "claude-code", '{"numStartups": 3}')
    assert main(["install", "claude", "--yes"]) == exit_codes.OK
    assert entry(code, "claude-code")["type"] == "stdio"
    desktop = file_of(home, "claude-desktop")
    assert main(["install", "claude", "--yes"]) == exit_codes.OK
    assert entry(desktop, "claude-desktop")["args"] == ["connect"]


def test_the_gateway_that_was_meant_is_written_down(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(home, "cursor")
    monkeypatch.setenv("TIDEGATE_SOCKET", "/run/mine.sock")
    assert main(["install", "cursor", "--yes", "--config", "site.toml"]) == exit_codes.OK
    assert entry(path, "cursor")["args"] == [
        "connect", "--unix", "/run/mine.sock", "--config", str(Path("site.toml").absolute()),
    ]  # fmt: skip


def test_the_list_says_which_hosts_are_here_and_which_have_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file_of(home, "zed", SETTINGS)
    file_of(home, "codex")
    assert main(["install", "codex", "--yes"]) == exit_codes.OK
    capsys.readouterr()
    assert main(["install", "--list", "--json"]) == exit_codes.OK
    rows = {row["host"]: (row["here"], row["installed"]) for row in json.loads(capsys.readouterr().out)}
    assert rows["zed"] == (True, False)
    assert rows["codex"] == (True, True)
    assert rows["cursor"] == (False, False)
    assert main(["install", "--list"]) == exit_codes.OK
    assert "codex" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["cursor", "zed", "--file", "x"], ["nobody"]])
def test_wrong_usage_has_its_exit_code(arguments: list[str]) -> None:
    assert main(["install", *arguments]) == exit_codes.USAGE


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_killed_in_the_middle_the_file_is_the_old_one_or_the_new_one(call: str, home: Path) -> None:
    """SIGKILL just before the call that makes the new text last, and before the one that puts it in place."""
    path = file_of(home, "cursor", '{"mine": 1}')
    probe = (
        "import os, pathlib, signal, sys\n"
        "die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{'os.fsync' if call == 'fsync' else 'pathlib.Path.replace'} = die\n"
        "from tidegate.cli import main\n"
        "main(['install', 'cursor', '--yes'])\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=WAIT_S)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_text(encoding="utf-8") == '{"mine": 1}'
    assert main(["install", "cursor", "--yes"]) == exit_codes.OK
    assert tree(path)["mine"] == 1


def test_a_file_that_changed_while_a_person_thought_is_not_written_over(home: Path) -> None:
    path = file_of(home, "cursor", "{}")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*TIDEGATE, "install", "cursor"], stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        read_until(ours, b"[y/N]", WAIT_S)
        path.write_text('{"newer": true}', encoding="utf-8")
        os.write(ours, b"y\n")
        assert b"changed by somebody else meanwhile" in read_until(ours, b"try again", WAIT_S)
        process.wait(WAIT_S)
    os.close(ours)
    assert path.read_text(encoding="utf-8") == '{"newer": true}'
