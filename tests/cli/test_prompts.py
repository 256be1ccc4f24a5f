"""`tidegate prompts`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from workshop import PROMPTS

from tidegate.cli import exit_codes, main

pytestmark = pytest.mark.usefixtures("at_home")

Capture = pytest.CaptureFixture[str]


def test_prompts_are_listed_with_their_arguments(capsys: Capture) -> None:
    assert main(["prompts"]) == exit_codes.OK
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == ["greet who= [tone=] Greets somebody.", "picture Shows a picture."]


def test_a_pattern_picks_prompts(capsys: Capture) -> None:
    assert main(["prompts", "g*", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out) == {"prompts": PROMPTS[:1]}


def test_the_messages_of_a_prompt_are_printed_by_role(capsys: Capture) -> None:
    assert main(["prompts", "greet", "who=Ada", "tone=1"]) == exit_codes.OK
    assert capsys.readouterr().out == "[user]\nGreet Ada, 1.\n\n[assistant]\nHello.\n"


def test_a_missing_argument_is_explained(capsys: Capture) -> None:
    assert main(["prompts", "greet"]) == exit_codes.USAGE
    said = capsys.readouterr().err
    assert "missing: `who`" in said
    assert "Whom to greet" in said


def test_an_unknown_prompt_is_answered_with_close_matches(capsys: Capture) -> None:
    assert main(["prompts", "great"]) == exit_codes.FAILED
    assert "no prompt `great`; did you mean `greet`?" in capsys.readouterr().err


def test_a_picture_in_a_message_becomes_a_file(capsys: Capture, tmp_path: Path) -> None:
    assert main(["prompts", "picture", "--output", str(tmp_path)]) == exit_codes.OK
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    assert capsys.readouterr().out == "[user]\n"
