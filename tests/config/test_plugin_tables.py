"""Plugins in the configuration: what is granted, to which bytes, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tidegate.admin.redaction import Redaction
from tidegate.config.load import load
from tidegate.config.problems import problems_of
from tidegate.config.secrets import secret_files
from tidegate.config.snapshot import Backend, Bounds, Filter, Grants, Plugin, Secret, Snapshot
from tidegate.config.transfer import decode_snapshot, encode_snapshot
from tidegate.errors import ConfigError
from tidegate.pipeline.reload import Fate, plan

ENVIRON = {"XDG_RUNTIME_DIR": "/run/user/7", "KEY": "s3cr3t"}
DIGEST = "sha256:" + "ab" * 32
PUBLIC_KEY = "ed25519:" + "A" * 43 + "="


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def snapshot_of(*files: str) -> Snapshot:
    return load(files, ENVIRON).snapshot


def mistakes(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load([write(tmp_path / "tidegate.toml", text)], ENVIRON)
    return [f"{problem.line}: {problem.key}: {problem.message}" for problem in problems_of(caught.value)]


def test_every_key_of_a_plugin_reaches_the_snapshot(tmp_path: Path) -> None:
    file = write(
        tmp_path / "tidegate.toml",
        f"""
        [backends.units]
        wasm = "/opt/units.wasm"
        digest = "{DIGEST.upper().replace("SHA", "sha")}"
        max_in_flight = 5
        [backends.units.grants]
        folders = {{ "/data" = "/srv/data" }}
        writable = {{ "/out" = "/srv/out" }}
        http = ["API.example.com", "127.0.0.1:8080"]
        store_bytes = 65536
        log = true
        time = true
        random = true
        call = ["host__*"]
        [backends.units.settings]
        key = "${{KEY}}"
        deep = {{ list = [1, 2.5, true] }}
        [backends.units.bounds]
        memory_bytes = 1048576
        deadline_ms = 250
        output_bytes = 4096
        concurrency = 2

        [filters.mask]
        wasm = "mask"
        tools = ["mail__*"]
        on_failure = "pass"

        [plugins]
        trusted_keys = ["{PUBLIC_KEY}"]
        """,
    )
    snapshot = snapshot_of(file)
    assert snapshot.backends == (
        Backend(
            name="units",
            transport="wasm",
            max_in_flight=5,
            plugin=Plugin(
                file="/opt/units.wasm",
                digest=DIGEST,
                grants=Grants(
                    folders=(("/data", "/srv/data"),),
                    writable=(("/out", "/srv/out"),),
                    http=("api.example.com", "127.0.0.1:8080"),
                    store_bytes=65536,
                    log=True,
                    time=True,
                    random=True,
                    call=("host__*",),
                ),
                settings='{"key":"s3cr3t","deep":{"list":[1,2.5,true]}}',
                secrets=(Secret("s3cr3t"),),
                bounds=Bounds(memory_bytes=1048576, deadline_ms=250, output_bytes=4096, concurrency=2),
            ),
        ),
    )
    assert snapshot.filters == (Filter("mask", Plugin("mask", shipped=True), ("mail__*",), "pass"),)
    assert snapshot.trusted_keys == (PUBLIC_KEY,)
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    assert "s3cr3t" not in repr(snapshot)


def test_nothing_is_granted_unless_it_is_written(tmp_path: Path) -> None:
    file = write(tmp_path / "tidegate.toml", "[backends.units]\nwasm = 'units'\n[filters.mask]\nwasm = 'mask'\n")
    snapshot = snapshot_of(file)
    assert snapshot.backends[0].plugin == Plugin("units", shipped=True)
    assert snapshot.filters == (Filter("mask", Plugin("mask", shipped=True), ("*",), "refuse"),)
    assert Grants() == Grants((), (), (), 0, False, False, False, ())


def test_paths_count_from_the_file_they_stand_in(tmp_path: Path) -> None:
    table = f"wasm = 'plug/../units.wasm'\ndigest = '{DIGEST}'\ngrants.folders = {{'/d' = 'data'}}"
    first = write(tmp_path / "etc" / "one.toml", f"[backends.a]\n{table}\n")
    second = write(tmp_path / "two.toml", f"[filters.b]\n{table}\n")
    snapshot = snapshot_of(first, second)
    plugin = snapshot.backends[0].plugin
    assert plugin is not None
    assert (plugin.file, plugin.grants.folders) == (
        f"{tmp_path}/etc/units.wasm",
        (("/d", f"{tmp_path}/etc/data"),),
    )
    assert snapshot.filters[0].plugin.file == f"{tmp_path}/units.wasm"


def test_filters_keep_the_order_of_the_file(tmp_path: Path) -> None:
    text = "".join(f"[filters.{name}]\nwasm = 'mask'\n" for name in ("z", "a", "m"))
    assert [one.name for one in snapshot_of(write(tmp_path / "t.toml", text)).filters] == ["z", "a", "m"]


@pytest.mark.parametrize("section", ["backends", "filters"])
def test_another_plugin_in_a_later_file_does_not_inherit_what_the_first_was_granted(
    tmp_path: Path, section: str
) -> None:
    below = f"wasm = 'x.wasm'\ndigest = '{DIGEST}'\ngrants.http = ['h']\nsettings.k = 1\nbounds.deadline_ms = 9\n"
    first = write(tmp_path / "one.toml", f"[{section}.a]\n{below}")
    second = write(tmp_path / "two.toml", f"[{section}.a]\nwasm = 'units'\n")
    snapshot = snapshot_of(first, second)
    found = snapshot.backends[0].plugin if section == "backends" else snapshot.filters[0].plugin
    assert found == Plugin("units", shipped=True)


def test_a_secret_in_the_settings_is_followed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t\n")
    file = write(tmp_path / "t.toml", "[filters.a]\nwasm = 'mask'\nsettings.deep = [{ k = '${file:key}' }]\n")
    loaded = load([file], ENVIRON)
    assert loaded.snapshot.filters[0].plugin.settings == '{"deep":[{"k":"s3cr3t"}]}'
    assert secret_files(loaded.document, ENVIRON) == (str(tmp_path / "key"),)


def test_what_came_from_a_reference_or_looks_secret_is_known_as_such_and_not_shown_to_operators(tmp_path: Path) -> None:
    text = """
        [filters.a]
        wasm = "mask"
        [filters.a.settings]
        unit = "celsius"
        api_key = "k3y-in-the-file"
        deep = [{ word = "${KEY}-and-more" }, "plain words"]
        """
    snapshot = snapshot_of(write(tmp_path / "t.toml", text))
    assert snapshot.filters[0].plugin.secrets == (Secret("k3y-in-the-file"), Secret("s3cr3t-and-more"))
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    redaction = Redaction(snapshot)
    said = "celsius with k3y-in-the-file and s3cr3t-and-more in plain words"
    assert redaction.text(said) == "celsius with … and … in plain words"
    unresolved = load([str(tmp_path / "t.toml")], {}, resolve_references=False).snapshot
    assert unresolved.filters[0].plugin.secrets == (Secret("k3y-in-the-file"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[backends.a]\nwasm = 'x.wasm'", ["2: backends.a.wasm: expected `digest = "]),
        ("[filters.a]\nwasm = './x'", ["2: filters.a.wasm: expected `digest = "]),
        ("[filters.a]\ntools = ['*']", ["1: filters.a.wasm: expected it to be given"]),
        ("[backends.a]\nwasm = ''", ["2: backends.a.wasm: expected the path of a `.wasm` file"]),
        ("[backends.a]\nwasm = 'Units'", ["2: backends.a.wasm: expected the path of a `.wasm` file"]),
        ("[backends.a]\nwasm = 'units'\ndigest = 'ab'", ["3: backends.a.digest: expected `sha256:` and 64"]),
        ("[backends.a]\nwasm = 'units'\ncommand = 'x'", ["2: backends.a.wasm: expected one way to reach"]),
        ("[backends.a]\nwasm = 'units'\nreplicas = 2", ["3: backends.a.replicas: expected `command` beside"]),
        (
            "[backends.a]\nwasm = 'units'\ntransport = 'stdio'",
            ['3: backends.a.transport: expected "wasm" (or nothing)'],
        ),
        ("[backends.a]\ncommand = 'x'\ngrants.log = true", ["3: backends.a.grants: expected `wasm` beside `grants`"]),
        (
            "[backends.a]\nwasm = 'units'\ngrants.lgo = true",
            ["3: backends.a.grants.lgo: unknown key; did you mean `log`"],
        ),
        (
            "[filters.a]\nwasm = 'mask'\nbounds.fuel = 1",
            ["3: filters.a.bounds.fuel: unknown key; expected one of conc"],
        ),
        ("[filters.a]\nwasm = 'mask'\ntool = ['*']", ["3: filters.a.tool: unknown key; did you mean `tools`"]),
        ("[filters.a]\nwasm = 'mask'\ntools = []", ["3: filters.a.tools: expected a list that is not empty"]),
        ("[filters.a]\nwasm = 'mask'\non_failure = 'ignore'", ['3: filters.a.on_failure: expected "refuse" or "pass"']),
        (
            "[backends.a]\nwasm = 'units'\ngrants.http = ['http://h/']",
            ["3: backends.a.grants.http[0]: expected a host name"],
        ),
        ("[backends.a]\nwasm = 'units'\ngrants.http = ['*.h']", ["3: backends.a.grants.http[0]: expected a host name"]),
        (
            "[backends.a]\nwasm = 'units'\ngrants.folders = ['/data']",
            ["3: backends.a.grants.folders: expected a table of strings, got a list"],
        ),
        (
            "[backends.a]\nwasm = 'units'\ngrants.folders = {'/a/../b' = '/x'}",
            ["3: backends.a.grants.folders./a/../b: expected an absolute path as the plugin sees it"],
        ),
        (
            "[backends.a]\nwasm = 'units'\n[backends.a.grants]\nfolders = {'/a' = '/x'}\nwritable = {'/a' = '/y'}",
            ["5: backends.a.grants.writable./a: expected another path"],
        ),
        (
            "[backends.a]\nwasm = 'units'\nbounds.deadline_ms = -1",
            ["3: backends.a.bounds.deadline_ms: expected at least"],
        ),
        (
            "[backends.a]\nwasm = 'units'\nsettings.at = 2020-01-01",
            ["3: backends.a.settings: expected values that JSON"],
        ),
        ("[backends.a]\nwasm = 'units'\nsettings.at = [inf]", ["3: backends.a.settings: expected numbers that JSON"]),
        ("[backends.a]\nwasm = 'units'\nsettings = 3", ["3: backends.a.settings: expected a table, got a number"]),
        (
            f"[backends.a]\nwasm = 'units'\nsettings.at = {'[' * 40}{']' * 40}",
            ["3: backends.a.settings: expected at most 32 levels"],
        ),
        (
            "[backends.a]\nwasm = 'units'\nsettings.k = '${NOWHERE}'",
            ["3: backends.a.settings.k: environment variable `NOWHERE` is not set"],
        ),
        (
            "[backends.a]\nwasm = 'units'\n[filters.a]\nwasm = 'mask'",
            ["3: filters.a: expected a name of its own; a backend has this one"],
        ),
        (
            "[plugins]\ntrusted_keys = ['ed25519:AAAA']",
            ["2: plugins.trusted_keys[0]: expected `ed25519:` and a public"],
        ),
        ("[plugins]\ntrusted_key = []", ["2: plugins.trusted_key: unknown key; did you mean `trusted_keys`?"]),
    ],
)
def test_a_mistake_is_reported_with_its_line_its_key_and_what_was_expected(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    found = [line.replace('"/a"', "/a").replace('"/a/../b"', "/a/../b") for line in mistakes(tmp_path, text)]
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning), line


def test_a_plugin_that_was_changed_takes_the_place_of_the_old_one() -> None:
    plugin = Plugin("/x.wasm", digest=DIGEST)
    old = Backend("a", "wasm", plugin=plugin)
    for other in (
        replace(plugin, digest="sha256:" + "cd" * 32),
        replace(plugin, grants=Grants(log=True)),
        replace(plugin, settings='{"a":1}'),
        replace(plugin, bounds=Bounds(deadline_ms=1)),
    ):
        new = replace(old, plugin=other)
        assert plan(Snapshot(backends=(old,)), Snapshot(backends=(new,))).of(Fate.REPLACED) == ("a",)
    adjusted = replace(old, prefix="x_")
    assert plan(Snapshot(backends=(old,)), Snapshot(backends=(adjusted,))).of(Fate.ADJUSTED) == ("a",)
