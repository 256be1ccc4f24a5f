"""`tidegate import`: desktop files become TOML, secrets stay where they are."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tidegate.cli import exit_codes, main
from tidegate.config.load import load
from tidegate.config.snapshot import Snapshot

SECRET = "ghp_c4nary0123456789"

SERVERS: dict[str, Any] = {
    "GitHub": {
        "command": "docker",
        "args": ["run", "-e", f"GITHUB_TOKEN={SECRET}", "--api-key", "c4nary-flag", "image"],
        "env": {"GITHUB_TOKEN": SECRET, "DEBUG": "true", "EDITOR_KEY": "${input:editor-key}"},
    },
    "web": {
        "type": "streamable-http",
        "url": "https://u:c4nary-pw@h.example/mcp?api_key=c4nary-query",
        "headers": {"Authorization": "Bearer c4nary.header", "X-Plain": "1"},
    },
    "old": {"type": "sse", "url": "https://h.example/sse", "disabled": True},
}


def desktop_file(path: Path, servers: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))
    return str(path)


def backends_of(text: str) -> Any:
    return tomllib.loads(text)["backends"]


def snapshot_of(path: Path, text: str, environ: dict[str, str]) -> Snapshot:
    path.write_text(text)
    return load([str(path)], environ).snapshot


def test_secrets_become_references_and_the_person_is_told_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", desktop_file(tmp_path / "a.json", SERVERS)]) == exit_codes.OK
    captured = capsys.readouterr()
    assert "c4nary" not in captured.out + captured.err
    backends = backends_of(captured.out)
    assert backends["github"]["env"] == {
        "GITHUB_TOKEN": "${GITHUB_TOKEN}",
        "DEBUG": "true",
        "EDITOR_KEY": "${EDITOR_KEY}",
    }
    assert backends["github"]["command"] == [
        "docker", "run", "-e", "GITHUB_TOKEN=${GITHUB_TOKEN}", "--api-key", "${GITHUB_API_KEY}", "image",
    ]  # fmt: skip
    assert backends["web"]["headers"] == {"Authorization": "Bearer ${WEB_AUTHORIZATION}", "X-Plain": "1"}
    assert backends["old"] == {"transport": "sse", "url": "https://h.example/sse", "enabled": False}
    assert 'GITHUB_TOKEN = "${GITHUB_TOKEN}"  # set GITHUB_TOKEN for the gateway' in captured.out
    assert "set before starting the gateway: GITHUB_TOKEN, " in captured.err


def test_with_the_variables_set_the_result_is_what_the_desktop_file_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = {name: SERVERS[name] for name in ("web", "old")}
    source = desktop_file(tmp_path / "a.json", servers)
    assert main(["import", source]) == exit_codes.OK
    environ = {
        "WEB_AUTHORIZATION": "c4nary.header",
        "WEB_URL_SECRET": "c4nary-pw",
        "WEB_URL_SECRET_2": "c4nary-query",
    }
    imported = snapshot_of(tmp_path / "b.toml", capsys.readouterr().out, environ)
    assert imported.backends == load([source], {}).snapshot.backends


def test_secrets_are_copied_when_that_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    servers = {"web": SERVERS["web"]}
    source = desktop_file(tmp_path / "a.json", servers)
    assert main(["import", "--keep-secrets", source]) == exit_codes.OK
    imported = snapshot_of(tmp_path / "b.toml", capsys.readouterr().out, {})
    assert imported.backends == load([source], {}).snapshot.backends


def test_two_secrets_never_share_a_variable_and_one_secret_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = {
        name: {"command": "p", "env": {"TOKEN": value}} for name, value in (("a", "x1"), ("b", "x2"), ("c", "x1"))
    }
    assert main(["import", desktop_file(tmp_path / "a.json", servers)]) == exit_codes.OK
    backends = backends_of(capsys.readouterr().out)
    assert [backends[name]["env"]["TOKEN"] for name in "abc"] == ["${TOKEN}", "${B_TOKEN}", "${TOKEN}"]


def test_the_output_file_is_private_and_an_existing_one_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = desktop_file(tmp_path / "a.json", {"a": {"command": "p"}})
    output = tmp_path / "tidegate.toml"
    assert main(["import", source, "--output", str(output)]) == exit_codes.OK
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    output.write_text("# mine")
    output.chmod(0o644)
    assert main(["import", source, "--output", str(output)]) == exit_codes.FAILED
    assert output.read_text() == "# mine"
    assert main(["import", source, "--output", str(output), "--force"]) == exit_codes.OK
    assert backends_of(output.read_text()) == {"a": {"command": ["p"]}}
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "tidegate.toml"]


@pytest.mark.parametrize(
    ("host", "place", "key"),
    [
        ("claude-desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"),
        ("vscode", ".config/Code/User/mcp.json", "servers"),
        ("cursor", ".cursor/mcp.json", "mcpServers"),
    ],
)
def test_the_file_of_a_host_is_found_in_its_usual_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, host: str, place: str, key: str
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert main(["import", "--from", host]) == exit_codes.FAILED
    assert str(tmp_path / place) in capsys.readouterr().err
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text(json.dumps({key: {"a": {"command": "p"}}}))
    assert main(["import", "--from", host]) == exit_codes.OK
    assert backends_of(capsys.readouterr().out) == {"a": {"command": ["p"]}}


def test_the_same_server_in_two_files_is_imported_once_and_two_of_one_name_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = desktop_file(tmp_path / "a.json", {"same": {"command": "p"}, "x": {"command": "one"}})
    second = desktop_file(tmp_path / "b.json", {"same": {"command": "p"}, "x": {"command": "two"}})
    assert main(["import", first, second]) == exit_codes.OK
    found = {name: table["command"] for name, table in backends_of(capsys.readouterr().out).items()}
    assert found == {"same": ["p"], "x": ["one"], "x-2": ["two"]}


def test_mistakes_of_all_files_are_reported_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = desktop_file(tmp_path / "a.json", {"a": {"command": 3}})
    toml = tmp_path / "b.toml"
    toml.write_text("[limits]\n")
    output = tmp_path / "out.toml"
    assert main(["import", bad, str(toml), "--output", str(output)]) == exit_codes.USAGE
    captured = capsys.readouterr()
    assert "mcpServers.a.command: expected a list of strings, got 3" in captured.err
    assert f"{toml}: expected JSON with `mcpServers`" in captured.err
    assert not output.exists()


def test_without_anything_to_import_the_usage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import"]) == exit_codes.USAGE
    assert "--from HOST" in capsys.readouterr().err
