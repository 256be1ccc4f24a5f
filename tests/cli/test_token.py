"""`tidegate token`: shown once, kept as a hash."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import tomllib
from pathlib import Path

import pytest

from tidegate.cli import exit_codes, main
from tidegate.config.load import load


def test_a_new_token_is_shown_with_the_block_that_holds_only_its_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "laptop", "--tools", "files__*", "--tools", "host__*"]) == exit_codes.OK
    token, _, block = capsys.readouterr().out.partition("\n\n")
    assert token.startswith("tg_")
    assert len(base64.urlsafe_b64decode(token.removeprefix("tg_") + "=")) == 32
    assert token not in block
    assert tomllib.loads(block)["clients"] == {
        "laptop": {"token_sha256": hashlib.sha256(token.encode()).hexdigest(), "tools": ["files__*", "host__*"]}
    }


def test_two_tokens_differ(capsys: pytest.CaptureFixture[str]) -> None:
    main(["token", "new", "a", "--json"])
    main(["token", "new", "a", "--json"])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["token"] != second["token"]


def test_a_client_is_appended_and_the_rest_of_the_file_stays_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tidegate.toml"
    before = "# mine\r\n[limits]\r\ndepth = 9   # keep"
    file.write_bytes(before.encode())
    file.chmod(0o640)
    for name in ("a", "b"):
        assert main(["token", "new", name, "--config", str(file)]) == exit_codes.OK
    tokens = capsys.readouterr().out.split()
    assert file.read_bytes().decode().startswith(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    snapshot = load([str(file)], {}).snapshot
    assert [(client.name, client.token_sha256, client.tools) for client in snapshot.clients] == [
        (name, hashlib.sha256(token.encode()).hexdigest(), ("*",)) for name, token in zip("ab", tokens, strict=True)
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["tidegate.toml"]


def test_a_configuration_that_does_not_exist_is_made_for_the_owner_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tidegate.toml"
    assert main(["token", "new", "a", "--config", str(file), "--json"]) == exit_codes.OK
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(capsys.readouterr().out)["token"] not in file.read_text()


def test_a_symbolic_link_to_the_configuration_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("")
    (tmp_path / "link.toml").symlink_to("real.toml")
    assert main(["token", "new", "a", "--config", str(tmp_path / "link.toml")]) == exit_codes.OK
    assert (tmp_path / "link.toml").is_symlink()
    assert "[clients.a]" in (tmp_path / "real.toml").read_text()


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        ("[clients.a]\ntoken_sha256 = 'x'\n", exit_codes.FAILED, "already has a token"),
        ("clients = { b = { token_sha256 = 'x' } }\n", exit_codes.FAILED, "not written as `[clients.NAME]` tables"),
        ("[limits\n", exit_codes.USAGE, "not TOML"),
    ],
)
def test_a_file_that_cannot_take_the_client_is_left_alone_and_no_token_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, status: int, said: str
) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(content)
    assert main(["token", "new", "a", "--config", str(file)]) == status
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
    assert file.read_text() == content


def test_a_desktop_file_has_no_place_for_clients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "a", "--config", str(tmp_path / "a.json")]) == exit_codes.FAILED
    assert "give a TOML file" in capsys.readouterr().err


def test_a_directory_that_is_not_there_is_a_failure_and_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "new", "a", "--config", str(tmp_path / "no" / "a.toml")]) == exit_codes.FAILED
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["A", "a b", "a__b", "-a", "x" * 33, ""])
def test_a_name_the_configuration_would_refuse_is_refused_here(name: str) -> None:
    assert main(["token", "new", "--", name]) == exit_codes.USAGE


def test_clients_are_listed_with_what_they_may_use_and_without_the_whole_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(
        f'[clients.all]\ntoken_sha256 = "{"a" * 64}"\n[clients.few]\ntoken_sha256 = "{"b" * 64}"\ntools = ["x", "y"]\n'
        '[backends.a]\ncommand = "${TIDEGATE_TEST_UNSET}"\n'
    )
    assert main(["token", "list", "--config", str(file)]) == exit_codes.OK
    assert capsys.readouterr().out.splitlines() == ["all  aaaaaaaaaaaa…  *", "few  bbbbbbbbbbbb…  x, y"]
    assert main(["token", "list", "--config", str(file), "--json"]) == exit_codes.OK
    assert [client["name"] for client in json.loads(capsys.readouterr().out)] == ["all", "few"]
