"""`tidegate check`: what a configuration would do, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidegate.cli import exit_codes, main


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_good_file_is_described_by_listeners_backends_and_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path / "a.toml",
        '[listen]\nunix = "/run/x.sock"\n[backends.files]\ncommand = ["sh", "-c", "true"]\nenv = { K = "v" }\n'
        f'[clients.laptop]\ntoken_sha256 = "{"0" * 64}"\ntools = ["files__*"]\n',
    )
    assert main(["check", file]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert f"{file}: ok" in shown
    assert "  unix   /run/x.sock (mode 0600)" in shown
    assert "  files  stdio    sh -c true  (env: K)" in shown
    assert "  laptop  tools files__*" in shown
    assert "notes" not in shown


NO_TOOL = "can be no tool: none has such a prefix"
NO_MODEL = "no model `chta` comes with tidegate (did you mean `chat`?)"
ASK = '[capabilities.ask]\norder = ["{}"]\n'
OTHER = '[backends.a]\nurl = "http://h/mcp"\n'
SAMPLING = '[sampling]\ntool = "{}"\n'


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (ASK.format("clod__chat"), [f"capabilities.ask.order[0]: `clod__chat` {NO_TOOL}; did you mean `cloud__chat`?"]),
        (ASK.format("cloud_chat"), [f"capabilities.ask.order[0]: `cloud_chat` {NO_TOOL}; did you mean `cloud__chat`?"]),
        (
            ASK.format("web__x") + '[backends.web]\nurl = "http://h/mcp"\nprefix = "w_"\n',
            [f"capabilities.ask.order[0]: `web__x` {NO_TOOL}; did you mean `w_x`?"],
        ),
        (
            ASK.format("cloudy"),
            [f"capabilities.ask.order[0]: `cloudy` {NO_TOOL}; tools begin with `cloud__`"],
        ),
        (
            ASK.format("cloud__chat") + SAMPLING.format("nope") + '[openai]\nmodels = { "gpt-4" = "aks" }\n',
            [
                f"sampling.tool: `nope` {NO_TOOL}; tools begin with `cloud__`",
                f"openai.models.gpt-4: `aks` {NO_TOOL}; did you mean `ask`?",
            ],
        ),
        (
            '[backends.m]\nmodels = [{ path = "chta" }]\n',
            [
                f"backends.m.models[0].path: `chta` cannot be loaded: {NO_MODEL}",
            ],
        ),
        (ASK.format("quick") + OTHER + 'aliases = { slow = "quick" }\n', []),
        (ASK.format("any") + OTHER + 'prefix = ""\n', []),
        (SAMPLING.format("chat") + '[openai]\nmodels = { "*" = "chat" }\n', []),
        (SAMPLING.format("chat") + OTHER + "enabled = false\n", []),
        (SAMPLING.format("a__chat") + OTHER + "enabled = false\n", []),
    ],
)
def test_a_name_that_nothing_can_have_is_noted_and_none_that_something_may_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, notes: list[str]
) -> None:
    file = written(tmp_path / "a.toml", f'[backends.cloud]\nurl = "http://h/mcp"\n{text}')
    assert main(["check", "--json", file]) == exit_codes.OK
    found = json.loads(capsys.readouterr().out)["notes"]
    assert [f"{note['key']}: {note['message']}" for note in found] == notes


def test_without_a_file_the_embedded_default_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert shown.startswith("embedded default: ok")
    assert "127.0.0.1:8808" in shown


def test_every_mistake_is_printed_and_the_exit_code_says_bad_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "a.toml", "[limits]\ndepth = 'x'\n[backends.a]\ncommand = 3\n")
    assert main(["check", file]) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"{file}:2: limits.depth: expected a whole number, got a string",
        f"{file}:4: backends.a.command: expected a list of strings, got 3",
    ]


def test_json_output_holds_the_same_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = written(tmp_path / "good.toml", '[backends.a]\nurl = "http://h/mcp"\n')
    bad = written(tmp_path / "bad.toml", "x = 1\n")
    assert main(["check", "--json", good]) == exit_codes.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert [(item["name"], item["transport"], item["target"]) for item in answer["backends"]] == [
        ("a", "http", "http://h/mcp")
    ]
    assert main(["check", "--json", bad]) == exit_codes.USAGE
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], [(item["line"], item["key"]) for item in answer["problems"]]) == (False, [(1, "x")])


@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_no_secret_is_shown_whether_written_out_or_referred_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: list[str]
) -> None:
    monkeypatch.setenv("TIDEGATE_TEST_CANARY", "c4nary-from-environment")
    file = written(
        tmp_path / "a.toml",
        """
        [backends.a]
        command = ["sh", "--api-key", "c4nary-in-arguments", "${TIDEGATE_TEST_CANARY}"]
        env = { PLAIN = "c4nary-in-env", K = "${TIDEGATE_TEST_CANARY}" }
        [backends.b]
        url = "https://u:c4nary-password@h/mcp?token=c4nary-query"
        headers = { X = "c4nary-header" }
        """,
    )
    assert main(["check", *mode, file]) == exit_codes.OK
    captured = capsys.readouterr()
    assert "c4nary" not in captured.out + captured.err
    assert "${TIDEGATE_TEST_CANARY}" in captured.out


def test_missing_secrets_can_be_left_out_of_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "a.toml", '[backends.a]\nurl = "${TIDEGATE_TEST_UNSET}/mcp"\n')
    assert main(["check", file]) == exit_codes.USAGE
    assert "`TIDEGATE_TEST_UNSET` is not set" in capsys.readouterr().err
    assert main(["check", "--without-secrets", file]) == exit_codes.OK
    assert "${TIDEGATE_TEST_UNSET}/mcp" in capsys.readouterr().out


def test_a_program_that_is_not_there_is_a_note_and_not_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "a.toml", '[backends.a]\ncommand = "no-such-program -x"\n')
    assert main(["check", file]) == exit_codes.OK
    assert (
        f"{file}:2: backends.a.command: is no program on this machine; write arguments apart" in capsys.readouterr().out
    )
