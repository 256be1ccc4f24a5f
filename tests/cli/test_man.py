"""The manual page: complete, and clean to the programs that set it."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tidegate.cli import exit_codes, main
from tidegate.cli.grammar import commands, every

WAIT_S = 60.0


@pytest.fixture(scope="module")
def roff() -> str:
    from tidegate.cli.man import page

    return page(commands())


def test_the_page_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["man"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith(".TH TIDEGATE 1 ")


def test_the_same_source_makes_the_same_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert main(["man"]) == exit_codes.OK
    assert '"1970-01-02"' in capsys.readouterr().out.splitlines()[0]


def test_every_verb_option_and_exit_code_is_in_it(roff: str) -> None:
    text = roff.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
    for command in every(commands()):
        assert f'.SS "tidegate {" ".join(command.words)}"' in text
        assert [name for option in command.options for name in option.names if name not in text] == []
    assert [code for code in exit_codes.MEANINGS if f".B {code}\n" not in text] == []


@pytest.mark.parametrize(
    "judge",
    [
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", "-"],
        ["mandoc", "-Tlint", "-Wwarning"],
    ],
    ids=lambda words: words[0],
)
def test_no_formatter_has_a_warning(judge: list[str], roff: str) -> None:
    if shutil.which(judge[0]) is None:
        pytest.skip(f"{judge[0]} is not installed")
    done = subprocess.run(judge, input=roff, capture_output=True, text=True, timeout=WAIT_S)
    said = done.stdout if judge[0] == "mandoc" else done.stderr
    assert (done.returncode, said) == (0, "")


def test_a_formatter_shows_what_is_typed_as_it_is_typed(roff: str) -> None:
    """Hyphens, quotes and backslashes are those that a shell takes when they are pasted."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-c", "-rLL=200n"],
        input=roff,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    text = re.sub(r".\x08", "", done.stdout)  # bold is a letter typed over itself
    assert "tidegate call files__write path=notes.txt content=@notes.txt" in text
    assert "echo '{\"limit\": 5}' | tidegate call processes -" in text
    assert "--without-secrets" in text
