"""The command itself: verbs found, help that teaches, exit codes kept."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate import errors
from tidegate.cli import exit_codes, main, parser_of
from tidegate.cli.verbs import VERBS


def test_help_lists_every_verb_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert all(f"  {verb.name} " in shown and verb.help in shown for verb in VERBS)
    assert all(meaning in shown for meaning in exit_codes.MEANINGS.values())


def test_without_a_verb_the_help_goes_to_stderr_and_the_usage_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert (captured.out, "verbs:" in captured.err) == ("", True)


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_the_help_of_a_verb_has_examples_and_its_exit_codes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == exit_codes.OK
    shown = capsys.readouterr().out
    examples = shown.partition("examples:\n")[2].partition("\n\n")[0]
    assert f"tidegate {verb}" in examples
    assert "exit codes:\n  0   done" in shown


def examples() -> list[list[str]]:
    """The command lines of every help, without what is said beside them and what a shell does around them."""
    found = []
    for verb in VERBS:
        epilog = parser_of(verb).epilog or ""
        for line in epilog.splitlines():
            match = re.match(r"  (?:.*(?:\| |\$\())?tidegate ([a-z]+(?: \S+)*)", line)
            if match is not None:
                words = shlex.split(match[1].partition(" | ")[0].partition(" > ")[0].partition(" && ")[0].rstrip(')"'))
                found.append(words)
    return found


@pytest.mark.parametrize("words", examples(), ids=" ".join)
def test_an_example_in_a_help_is_a_command_that_can_be_given(words: list[str]) -> None:
    (verb,) = [verb for verb in VERBS if verb.name == words[0]]
    parser_of(verb).parse_args(words[1:])


def test_a_mistyped_verb_is_answered_with_the_likely_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == exit_codes.USAGE
    assert "did you mean `check`?" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("tidegate ")


@pytest.mark.parametrize("arguments", [["check", "--no-such-flag"], ["token"], ["token", "new"], ["--no-such-flag"]])
def test_wrong_usage_has_its_exit_code(arguments: list[str]) -> None:
    assert main(arguments) == exit_codes.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.Unauthorized("x"), 4),
        (errors.Forbidden("x"), 4),
        (errors.UpstreamTimeout("x"), 5),
        (errors.UnknownTool("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: errors.TidegateError, code: int) -> None:
    assert exit_codes.of_error(error) == code


def test_finding_a_verb_imports_no_other_verb_and_no_validator() -> None:
    probe = (
        "import sys; from tidegate.cli import main; main(['token', 'new', 'a']); "
        "print([name for name in sys.modules if name in ('pydantic', 'asyncio') "
        "or name.startswith('tidegate.cli.') and name.rpartition('.')[2] not in ('exit_codes', 'verbs', 'token')])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tidegate schema | head -c 1"
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    assert (found.stdout, found.stderr) == ("{", "")
