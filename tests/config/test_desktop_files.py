"""The `mcpServers` JSON of desktop hosts as a configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.foreign import backend_name
from tidegate.config.load import Loaded, load
from tidegate.config.problems import problems_of
from tidegate.config.snapshot import Backend, Secret
from tidegate.errors import ConfigError


def loaded(tmp_path: Path, tree: Any) -> Loaded:
    file = tmp_path / "desktop.json"
    file.write_text(tree if isinstance(tree, str) else json.dumps(tree, indent=1))
    return load([str(file)], {})


def backends(tmp_path: Path, servers: Any) -> tuple[Backend, ...]:
    return loaded(tmp_path, {"mcpServers": servers}).snapshot.backends


def test_a_program_with_arguments_environment_and_directory_is_a_stdio_backend(tmp_path: Path) -> None:
    server = {"command": "npx", "args": ["-y", "x"], "env": {"A": "1"}, "cwd": "/srv"}
    assert backends(tmp_path, {"files": server}) == (
        Backend(name="files", transport="stdio", command=("npx", "-y", "x"), env=(("A", Secret("1")),), cwd="/srv"),
    )


@pytest.mark.parametrize(
    ("kind", "transport"),
    [(None, "http"), ("http", "http"), ("streamable-http", "http"), ("streamableHttp", "http"), ("sse", "sse")],
)
def test_a_url_is_an_http_backend_unless_its_type_says_sse(tmp_path: Path, kind: str | None, transport: str) -> None:
    server: dict[str, Any] = {"url": "https://h.example/mcp", "headers": {"Authorization": "Bearer x"}}
    if kind:
        server["type"] = kind
    (backend,) = backends(tmp_path, {"web": server})
    assert (backend.transport, backend.url) == (transport, "https://h.example/mcp")
    assert backend.headers == (("Authorization", Secret("Bearer x")),)


@pytest.mark.parametrize("tree", [{"servers": {"a": {"command": "p"}}}, {"mcp": {"servers": {"a": {"command": "p"}}}}])
def test_the_files_of_vs_code_are_taken_too(tmp_path: Path, tree: Any) -> None:
    assert [backend.name for backend in loaded(tmp_path, tree).snapshot.backends] == ["a"]


def test_a_disabled_server_stays_in_the_configuration_switched_off(tmp_path: Path) -> None:
    on, off = backends(tmp_path, {"a": {"command": "p", "disabled": False}, "b": {"command": "p", "disabled": True}})
    assert (on.enabled, off.enabled) == (True, False)


def test_numbers_and_nulls_in_the_environment_mean_what_vs_code_means_by_them(tmp_path: Path) -> None:
    (backend,) = backends(tmp_path, {"a": {"command": "p", "env": {"PORT": 80, "NOTHING": None}}})
    assert backend.env == (("PORT", Secret("80")),)


def test_comments_and_trailing_commas_are_allowed(tmp_path: Path) -> None:
    text = '{ // mine\n"mcpServers": { "a": { "command": "p", /* no args */ }, },\n}'
    assert [backend.name for backend in loaded(tmp_path, text).snapshot.backends] == ["a"]


def test_what_the_host_keeps_beside_its_servers_is_left_alone(tmp_path: Path) -> None:
    tree = {"globalShortcut": "Ctrl+Space", "mcpServers": {"a": {"command": "p"}}}
    assert loaded(tmp_path, tree).notes == ()


def test_a_server_key_without_a_meaning_here_is_noted(tmp_path: Path) -> None:
    notes = loaded(tmp_path, {"mcpServers": {"a": {"command": "p", "autoApprove": ["x"]}}}).notes
    assert [(note.line, note.key) for note in notes] == [(5, "mcpServers.a.autoApprove")]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("GitHub", "github"),
        ("my server!", "my-server"),
        ("a__b", "a_b"),
        ("--", "server"),
        ("ünï", "n"),
        ("x" * 40, "x" * 32),
    ],
)
def test_names_are_made_to_fit_the_catalogue(theirs: str, ours: str) -> None:
    assert backend_name(theirs) == ours


def test_two_names_that_become_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`github` is taken"):
        backends(tmp_path, {"GitHub": {"command": "p"}, "github": {"command": "q"}})


def test_mistakes_are_reported_under_the_keys_of_the_file_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        backends(tmp_path, {"Web": {"type": "carrier-pigeon", "url": 3, "headers": {"X": 12345}, "disabled": "no"}})
    assert [(problem.line, problem.key, problem.message) for problem in problems_of(caught.value)] == [
        (
            4,
            "mcpServers.Web.type",
            'expected "stdio", "http", "sse", "tcp", "unix", "builtin", "wasm" or "openai", got "carrier-pigeon"',
        ),
        (5, "mcpServers.Web.url", "expected a string, got 3"),
        (7, "mcpServers.Web.headers.X", "expected a string, got a number"),
        (9, "mcpServers.Web.disabled", "expected `true` or `false`, got a string"),
    ]


@pytest.mark.parametrize("tree", [{}, [], 3, {"mcpServers": []}, {"inputs": []}])
def test_json_without_servers_is_no_configuration(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(ConfigError, match="expected an object with `mcpServers`"):
        loaded(tmp_path, tree)


def test_a_key_that_changes_what_a_server_does_is_not_dropped_silently(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`envFile` is not read"):
        backends(tmp_path, {"a": {"command": "p", "envFile": ".env"}})


def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, '{"mcpServers": {"a": {"command": "p"},\n"a": {"command": "q"}}}')
    assert [(problem.line, problem.key) for problem in problems_of(caught.value)] == [(2, "mcpServers.a")]


def test_a_variable_spelled_as_editors_spell_it_is_found_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"servers": {"a": {"command": "p", "env": {"K": "${env:KEY}"}}}}')
    (backend,) = load([str(file)], {"KEY": "v"}).snapshot.backends
    assert backend.env == (("K", Secret("v")),)


def test_a_value_an_editor_would_ask_for_is_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"asks a person in an editor.*`\$\{NAME\}`"):
        backends(tmp_path, {"a": {"command": "p", "env": {"K": "${input:key}"}}})
