"""References to the environment and to secret files, and that no message holds what they lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.config.load import load
from tidegate.config.problems import problems_of
from tidegate.config.secrets import UnresolvedReference, expand
from tidegate.errors import ConfigError

CANARY = "c4nary-value-that-must-not-be-seen"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain $HOME text", "plain $HOME text"),
        ("${A}", "one"),
        ("x${A}y${B}z", "xoneytwoz"),
        ("${env:A}", "one"),
        ("${NOPE:-fallback}", "fallback"),
        ("${NOPE:-}", ""),
        ("${A:-fallback}", "one"),
        ("${EMPTY}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${NOPE:-http://h:1/?a=b}", "http://h:1/?a=b"),
        ("$${A}", "${A}"),
    ],
)
def test_references_are_replaced_and_everything_else_is_left(text: str, value: str) -> None:
    assert expand(text, {"A": "one", "B": "two", "EMPTY": ""}).reveal() == value


def test_what_was_substituted_is_not_substituted_again() -> None:
    assert expand("${A}", {"A": "${B}", "B": "x"}).reveal() == "${B}"


@pytest.mark.parametrize("text", ["${NOPE}", "${}", "${1A}", "${A", "${A%x}", "${A-x}", "${input:a}", "${ A }"])
def test_a_reference_that_leads_nowhere_is_an_error(text: str) -> None:
    with pytest.raises(UnresolvedReference):
        expand(text, {"A": "one"})


def test_every_reference_that_failed_is_named() -> None:
    with pytest.raises(UnresolvedReference, match=r"`ONE` is not set.*`TWO` is not set"):
        expand("${ONE} ${TWO}", {})


def test_a_file_secret_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("two\nlines\n")
    assert expand(f"${{file:{tmp_path}/key}}", {}).reveal() == "two\nlines"


def test_a_relative_file_secret_is_a_service_credential_or_lies_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "key").write_text("beside")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert expand("${file:key}", environ, tmp_path / "beside").reveal() == "beside"
    (tmp_path / "key").write_text("credential")
    assert expand("${file:key}", environ, tmp_path / "beside").reveal() == "credential"


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * 65537])
def test_a_file_secret_that_cannot_be_used_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(UnresolvedReference, match=f"`{tmp_path}/key`"):
        expand(f"${{file:{tmp_path}/key}}", {})


def test_references_work_in_every_field_that_may_hold_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(
        """
        [backends.a]
        command = ["${A}", "--x=${A}"]
        args = ["${A}"]
        env = { K = "${A}" }
        cwd = "/${A}"
        [backends.b]
        url = "https://${A}.example/${A}"
        headers = { X = "Bearer ${A}" }
        [backends.c]
        openai = "https://${A}.example/v1"
        chat_model = "big"
        """
    )
    a, b, c = load([str(file)], {"A": "v"}).snapshot.backends
    assert (a.command, a.cwd) == (("v", "--x=v", "v"), "/v")
    assert [value.reveal() for _, value in (*a.env, *b.headers)] == ["v", "Bearer v"]
    assert (b.url, c.url) == ("https://v.example/v", "https://v.example/v1")


def test_a_missing_variable_is_reported_at_its_key_and_nothing_else_is_said_of_that_key(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text('[backends.a]\nurl = "${NOPE}"\nheaders = { X = "${NOPE2}" }\n')
    with pytest.raises(ConfigError) as caught:
        load([str(file)], {})
    assert [(problem.line, problem.key) for problem in problems_of(caught.value)] == [
        (2, "backends.a.url"),
        (3, "backends.a.headers.X"),
    ]


MISUSES = {
    "a URL that is none": 'url = "SECRET"',
    "a URL with a line break": 'url = "http://SECRET/\\n"',
    "a header with a line break": 'url = "http://h/"\nheaders = { X = "SECRET\\n" }',
    "a variable with NUL": 'command = "p"\nenv = { K = "SECRET\\u0000" }',
    "an argument with NUL": 'command = ["p", "SECRET\\u0000"]',
    "a default beside an unset variable": 'command = "p"\nenv = { K = "${NOPE}${OTHER:-SECRET}" }',
    "a malformed reference": 'command = "p"\nenv = { K = "${A-SECRET}" }',
    "a secret under a wrong key": 'command = "p"\ntoken = "SECRET"',
    "a list of secrets": 'command = "p"\nenv = { K = ["SECRET"] }',
    "a secret instead of a table": 'command = "p"\nenv = "SECRET"',
    "a secret as a number's value": 'command = "p"\nmax_in_flight = "SECRET"',
    "a secret as a prefix": 'command = "p"\nprefix = "SECRET !"',
}


@pytest.mark.parametrize("misuse", MISUSES)
@pytest.mark.parametrize("spelling", [CANARY, "${CANARY}"])
def test_no_error_holds_the_value_of_a_secret(tmp_path: Path, misuse: str, spelling: str) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text("[backends.a]\n" + MISUSES[misuse].replace("SECRET", spelling))
    with pytest.raises(ConfigError) as caught:
        load([str(file)], {"CANARY": CANARY})
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.data)


def test_a_token_written_where_its_hash_belongs_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[clients.a]\ntoken_sha256 = "tg_{CANARY}"')
    with pytest.raises(ConfigError, match="does not belong in a file") as caught:
        load([str(file)], {})
    assert CANARY not in str(caught.value)
