"""Shell completion, pressed in real shells: what is offered is what the verbs take."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_gateway import Running, read_until

from tidegate.cli import exit_codes, main, parser_of
from tidegate.cli.grammar import commands, every
from tidegate.cli.verbs import VERBS
from tidegate.config.embedded import default_backends
from tidegate.config.shipped_models import shipped_models

SHELLS = ("bash", "zsh", "fish")
VERB_NAMES = {verb.name for verb in VERBS}
WAIT_S = 60.0

Offered = Callable[..., set[str]]

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_tidegate
printf '%s\\n' "${COMPREPLY[@]}"
"""

ZSH_SET_UP = """
PS1="READY-$((1 + 1))> " RPS1= PS2=
LISTMAX=1000
fpath=($HOME $fpath)
autoload -Uz compinit
compinit -u -D
bindkey '^I' complete-word
compadd() {
  if (( ${@[(I)-[ODA]]} )); then builtin compadd "$@"; return; fi
  local -a found
  builtin compadd -O found "$@"
  print -rl -- $found >> $HOME/offered
}
"""
"""What is offered is written down instead of being shown. `-O`, `-D` and `-A` only ask what would be. The prompt
comes when the line is edited; keys before that would be the terminal's."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `tidegate` in `bin`, the three scripts, and a file to complete."""
    place = tmp_path_factory.mktemp("completion")
    (place / "bin").mkdir()
    command = place / "bin" / "tidegate"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tidegate "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    (place / "work").mkdir()
    (place / "work" / "own.toml").touch()
    for shell in SHELLS:
        done = subprocess.run([command, "completion", shell], capture_output=True, check=True, timeout=WAIT_S)
        (place / ("_tidegate" if shell == "zsh" else f"tidegate.{shell}")).write_bytes(done.stdout)
    return place


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


class Zsh:
    """Its completion works only while a line is edited, so a terminal it is; one for all tests, as it starts slowly."""

    def __init__(self, place: Path) -> None:
        self.record = place / "offered"
        (place / "set_up.zsh").write_text(ZSH_SET_UP, encoding="utf-8")
        self.ours, theirs = pty.openpty()
        environ = {**environment(place), "HOME": str(place), "TERM": "dumb"}
        self.process = subprocess.Popen(
            ["zsh", "-f", "-i"], cwd=place / "work", env=environ, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.unread = b""
        self.tell("source ~/set_up.zsh", b"READY-2> ")

    def tell(self, line: str, *marks: bytes) -> None:
        """Types a line, and waits for these in its output."""
        os.write(self.ours, line.encode() + b"\n")
        for mark in marks:
            if mark not in self.unread:
                self.unread += read_until(self.ours, mark, WAIT_S)
            self.unread = self.unread.partition(mark)[2]

    def offered(self, line: str, environ: dict[str, str]) -> set[str]:
        settings = "; ".join(f"export {name}={shlex.quote(value)}" for name, value in environ.items())
        self.tell(settings or "true", b"READY-2> ")
        self.record.write_text("", encoding="utf-8")
        self.tell(f"{line}\t\x15print DONE-$((1 + 1))", b"DONE-2", b"READY-2> ")
        return set(self.record.read_text(encoding="utf-8").split())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture(scope="module")
def zsh(place: Path) -> Iterator[Zsh | None]:
    if shutil.which("zsh") is None:
        yield None
        return
    shell = Zsh(place)
    yield shell
    shell.close()


@pytest.fixture
def offered(place: Path, zsh: Zsh | None) -> Offered:
    """What a shell offers for the last of some words."""

    def ask(shell: str, *words: str) -> set[str]:
        needs(shell)
        line = " ".join(words)
        if shell == "zsh":
            assert zsh is not None
            return zsh.offered(line, {key: value for key, value in os.environ.items() if key.startswith("TIDEGATE_")})
        command = {
            "bash": ["bash", "--norc", "-c", ASK_BASH, "bash", str(place / "tidegate.bash"), *words],
            "fish": ["fish", "--no-config", "-c", f"source {place}/tidegate.fish; complete -C {shlex.quote(line)}"],
        }[shell]
        done = subprocess.run(
            command,
            cwd=place / "work",
            env=environment(place),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.stderr == "", done.stderr
        return {row.partition("\t")[0] for row in done.stdout.splitlines() if row}

    return ask


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "XDG_CONFIG_HOME": str(place)}


@pytest.mark.parametrize("shell", SHELLS)
def test_verbs_are_offered_first(shell: str, offered: Offered) -> None:
    assert offered(shell, "tidegate", "") >= VERB_NAMES
    assert offered(shell, "tidegate", "com") == {"completion"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_options_of_a_verb_are_offered_and_no_others(shell: str, offered: Offered) -> None:
    found = offered(shell, "tidegate", "check", "--")
    assert {"--json", "--without-secrets", "--help"} <= found
    assert "--allow-public" not in found


@pytest.mark.parametrize("shell", SHELLS)
def test_the_choices_of_an_option_are_offered(shell: str, offered: Offered) -> None:
    assert offered(shell, "tidegate", "serve", "--log-level", "") == {"debug", "info", "warning", "error"}


def test_a_value_behind_an_equals_sign_is_completed_in_bash(offered: Offered) -> None:
    assert offered("bash", "tidegate", "serve", "--log-level", "=", "w") == {"warning"}


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_offered_where_a_file_is_meant(shell: str, offered: Offered) -> None:
    assert "own.toml" in offered(shell, "tidegate", "serve", "--config", "o")
    assert "own.toml" in offered(shell, "tidegate", "check", "o")


@pytest.mark.parametrize("shell", SHELLS)
def test_actions_of_a_verb_are_offered_and_their_options(shell: str, offered: Offered) -> None:
    assert offered(shell, "tidegate", "token", "") == {"new", "list"}
    assert "--tools" in offered(shell, "tidegate", "token", "new", "laptop", "--")
    assert "--tools" not in offered(shell, "tidegate", "token", "list", "--")


@pytest.mark.parametrize("shell", SHELLS)
def test_tools_of_the_running_gateway_are_offered_to_call(shell: str, offered: Offered, at_home: Running) -> None:
    assert offered(shell, "tidegate", "call", "ec") == {"echo"}


def test_names_known_to_the_gateway_are_printed_a_line_each(
    at_home: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, name in (
        ("tools", "echo"),
        ("prompts", "greet"),
        ("resources", "workshop://note"),
        ("backends", "workshop"),
    ):
        assert main(["completion", "names", kind]) == exit_codes.OK
        assert name in capsys.readouterr().out.splitlines()


def test_where_no_gateway_runs_nothing_is_offered_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_SOCKET", str(tmp_path / "nobody"))
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    for kind in ("tools", "backends"):
        assert main(["completion", "names", kind]) == exit_codes.OK
    assert capfd.readouterr() == ("", "")
    # Which plugins there are stands in the configuration.
    assert main(["completion", "names", "plugins"]) == exit_codes.OK
    offered = [backend.name for backend in default_backends() if backend.plugin is not None]
    assert capfd.readouterr() == ("".join(f"{name}\n" for name in offered), "")
    assert main(["completion", "names", "models"]) == exit_codes.OK
    offered = [backend.name for backend in default_backends() if backend.models]
    assert capfd.readouterr() == ("".join(f"{name}\n" for name in offered), "")


@pytest.mark.parametrize("shell", SHELLS)
def test_models_that_come_with_tidegate_are_offered_beside_directories(
    shell: str, offered: Offered, place: Path
) -> None:
    (place / "work" / "doctype").mkdir(exist_ok=True)
    found = {name.rstrip("/") for name in offered(shell, "tidegate", "model", "add", "")}
    assert {*shipped_models(), "doctype"} <= found
    assert "own.toml" not in found


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_has_every_verb_and_every_long_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == exit_codes.OK
    script = capsys.readouterr().out
    for command in every(commands()):
        assert command.words[-1] in script
        for option in command.options:
            name = max(option.names, key=len)
            assert (f"-l {name[2:]} " if shell == "fish" else name) in script, (command.words, name)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_the_script(shell: str, place: Path) -> None:
    needs(shell)
    script = place / ("_tidegate" if shell == "zsh" else f"tidegate.{shell}")
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=WAIT_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_grammar_has_what_the_parsers_have() -> None:
    """Of each verb, every option that its help shows."""
    for verb, command in zip(VERBS, commands(), strict=True):
        shown = parser_of(verb).format_help()
        for option in command.options:
            assert all(name in shown for name in option.names)
            assert "%(" not in option.help
