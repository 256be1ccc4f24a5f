"""`tidegate plugin add --replace`: another version takes a table over, and nothing that was decided there is lost."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from running_gateway import gateway, workshop_config
from small_plugin import CURIOUS, FILTER, TOOL, write_plugin

from tidegate.cli import exit_codes, main
from tidegate.cli.plugin import written
from tidegate.cli.plugin.replacing import is_lower, is_news, lacking, together
from tidegate.config.load import load
from tidegate.config.snapshot import Grants
from tidegate.sandbox.artefacts import Artefacts, sha256_of
from tidegate.sandbox.engine import engine_key
from tidegate.sandbox.manifest import Asks

NEWER = CURIOUS.replace("1.2.3", "1.10.0")
GREEDY = NEWER.replace("log = true", "log = true\nrandom = true").replace(
    '["api.example.com"]', '["api.example.com", "b.example.com"]'
)
MODEST = NEWER.replace("time = true\n", "")


@pytest.fixture(autouse=True)
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box of one's own, on which no gateway runs, with version 1.2.3 of a plugin in force."""
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def config(box: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A table that a person went on writing."""
    write_plugin(box / "g.wasm", CURIOUS)
    path = box / "t.toml"
    path.write_text('[backends.box]\nbuiltin = "host"\n')
    assert add("g.wasm", "--grant", "log", "--grant", "time", "--grant", "store=10", "--grant", "http=my.host") == 0
    text = path.read_text().replace("[backends.greeter]\n", "# ours\n[backends.greeter]\nprefix = 'g_'  # short\n")
    text = "".join(f"{line}  # pinned\n" if line.startswith("wasm") else f"{line}\n" for line in text.splitlines())
    path.write_text(
        f'{text}\n[backends.greeter.settings]\nkey = "${{KEY}}"  # secret\n'
        "[backends.greeter.bounds]\ndeadline_ms = 250\n"
    )
    capsys.readouterr()
    return path


def add(*words: str) -> int:
    return main(["plugin", "add", *words, "--config", "t.toml"])


def replace(*words: str) -> int:
    return add("new.wasm", "--replace", *words)


def table_of(path: Path, name: str = "greeter", section: str = "backends") -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(path.read_text())[section][name]
    return table


def test_only_the_file_and_its_digest_are_others_and_the_old_file_goes_with_its_code(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, text = table_of(config), config.read_text()
    artefacts = Artefacts(box / "state" / "plugins")
    assert artefacts.find(before["digest"], engine_key()) is not None
    digest = sha256_of(write_plugin(box / "new.wasm", NEWER).read_bytes())
    assert replace() == exit_codes.OK
    new = f"plugins/greeter-{digest[7:19]}.wasm"
    assert config.read_text() == text.replace(before["wasm"], new).replace(before["digest"], digest)
    assert [path.name for path in (box / "plugins").iterdir()] == [Path(new).name]
    assert artefacts.find(before["digest"], engine_key()) is None
    assert artefacts.find(digest, engine_key()) is not None
    shown = capsys.readouterr()
    assert "replaces         1.2.3\n" in shown.out
    assert "gets             64 MiB of memory and 0.25 s a call" in shown.out
    assert shown.err.splitlines() == [
        f"removed {box / before['wasm']}",
        "replaced `greeter` in t.toml: 1.2.3 by 1.10.0",
        "no running gateway uses it; `tidegate serve --config t.toml` starts one",
    ]


def test_a_file_that_another_plugin_uses_stays(box: Path, config: Path) -> None:
    assert add("g.wasm", "--name", "second", "--grant", "none") == exit_codes.OK
    before = table_of(config)
    write_plugin(box / "new.wasm", NEWER)
    assert replace("--name", "second", "--no-compile") == exit_codes.OK
    assert table_of(config) == before
    assert table_of(config, "second")["wasm"] != before["wasm"]
    assert (box / before["wasm"]).exists()
    assert Artefacts(box / "state" / "plugins").find(before["digest"], engine_key()) is not None


def test_a_file_that_add_did_not_copy_stays(box: Path) -> None:
    file = write_plugin(box / "mine.wasm", TOOL)
    (box / "t.toml").write_text(f"[backends.greeter]\nwasm = 'mine.wasm'\ndigest = '{sha256_of(file.read_bytes())}'\n")
    write_plugin(box / "new.wasm", TOOL.replace("1.2.3", "2.0"))
    assert replace("--no-compile") == exit_codes.OK
    assert file.exists()
    assert table_of(box / "t.toml")["wasm"].startswith("plugins/greeter-")


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (["--grant", "none"], {}),
        (["--grant", "random"], {"random": True}),
        (["--yes"], {"random": True, "http": ["my.host", "b.example.com"]}),
        (["--grant", "http"], {"http": ["my.host", "api.example.com", "b.example.com"]}),
        (["--grant", "store=20"], {"store_bytes": 20}),
        (["--yes", "--grant", "write:/out=d"], {
            "random": True, "http": ["my.host", "b.example.com"], "writable": {"/out": "d"},
        }),
    ],
)  # fmt: skip
def test_what_is_new_is_granted_when_somebody_says_so_and_added(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str], words: list[str], added: dict[str, Any]
) -> None:
    (box / "d").mkdir()
    before = table_of(config)
    write_plugin(box / "new.wasm", GREEDY)
    assert replace("--no-compile", "--json", *words) == exit_codes.OK
    answer = json.loads(capsys.readouterr().out)
    if "writable" in added:
        added = {**added, "writable": {"/out": str(box / "d")}}
    after = table_of(config)
    assert after["grants"] == {**before["grants"], **added} == answer["granted"]
    assert {key: value for key, value in after.items() if key not in ("wasm", "digest", "grants")} == {
        key: value for key, value in before.items() if key not in ("wasm", "digest", "grants")
    }
    assert answer["replaced"] == {
        "version": "1.2.3",
        "digest": before["digest"],
        "removed_files": [str(box / before["wasm"])],
    }
    assert ("random" in answer["not_granted"]) == ("random" not in added)
    assert ("http" in answer["not_granted"]) == ("http" not in added)
    load(["t.toml"], {"KEY": "x"})


def test_nothing_new_is_granted_where_nobody_can_be_asked(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, files = config.read_text(), {*(box / "plugins").iterdir()}
    write_plugin(box / "new.wasm", GREEDY)
    assert replace() == exit_codes.FAILED
    shown = capsys.readouterr()
    new = shown.out.partition("not granted yet")[2]
    assert "http           send HTTP requests to b.example.com\n" in new
    assert "random" in new
    assert "store" not in new  # less of it was granted than it asked for already
    assert "`--grant none` nothing more" in shown.err
    assert config.read_text() == text
    assert {*(box / "plugins").iterdir()} == files


@pytest.mark.parametrize(("typed", "random"), [("y", True), ("n", None), ("q", None)])
def test_a_person_is_asked_for_what_is_new(box: Path, config: Path, typed: str, random: bool | None) -> None:
    before = table_of(config)
    write_plugin(box / "new.wasm", GREEDY)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tidegate", "plugin", "add", "new.wasm", "--replace", "--no-compile"]
    os.write(master, f"{typed}\n".encode())
    done = subprocess.run(
        [*command, "--config", "t.toml"], stdin=slave, stderr=slave, stdout=subprocess.PIPE, timeout=60, check=False
    )
    os.close(slave)
    assert b"Grant this? [y]es" in os.read(master, 65536)
    os.close(master)
    after = table_of(config)
    assert done.returncode == (exit_codes.FAILED if typed == "q" else exit_codes.OK)
    assert (after["digest"] == before["digest"]) == (typed == "q")
    assert after["grants"].get("random") is random


def test_what_it_no_longer_asks_for_is_told_and_stays_and_is_told_again_when_it_is_asked_for(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grants = table_of(config)["grants"]
    write_plugin(box / "new.wasm", MODEST)
    assert replace("--no-compile") == exit_codes.OK
    assert "granted in vain  time: it no longer asks for this" in capsys.readouterr().out
    assert replace("--no-compile", "--json") == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["in_vain"] == ["time"]
    assert table_of(config)["grants"] == grants
    write_plugin(box / "new.wasm", NEWER)
    assert replace("--no-compile") == exit_codes.OK
    shown = capsys.readouterr().out
    assert "granted, and new  it did not ask for this before\n    time" in shown


def test_a_lower_version_and_the_same_file_are_told_and_taken(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "new.wasm", CURIOUS)
    text = config.read_text()
    assert replace() == exit_codes.OK
    assert "the file of `greeter` is the one that was there before: sha256:" in capsys.readouterr().err
    assert config.read_text() == text
    assert (box / table_of(config)["wasm"]).exists()
    assert Artefacts(box / "state" / "plugins").find(table_of(config)["digest"], engine_key()) is not None
    write_plugin(box / "new.wasm", CURIOUS.replace("1.2.3", "1.2.3-rc.1"))
    assert replace("--no-compile") == exit_codes.OK
    shown = capsys.readouterr()
    assert "1.2.3, which is higher" in shown.out
    assert "1.2.3 by 1.2.3-rc.1, a lower version" in shown.err


@pytest.mark.parametrize(
    ("manifest", "words", "message"),
    [
        (
            FILTER,
            ["--name", "greeter"],
            "`greeter` serves tools, and `judge` is a filter; `tidegate plugin remove greet",
        ),
        (TOOL, ["--name", "judge"], "`judge` is a filter, and `greeter` serves tools; `tidegate plugin remove judge`"),
        (TOOL, ["--name", "box"], "`box` is a server, not a plugin; without `--replace`, and with `--name`"),
        (TOOL, ["--name", "greter"], "no plugin `greter` in t.toml; did you mean `greeter`?"),
        (FILTER, ["--name", "judge", "--filter", "*"], "`--replace` keeps the `tools` of the table"),
        (TOOL, ["--grant", "random"], "it does not ask for `random`"),
    ],
)
def test_what_cannot_take_its_place_is_refused_with_the_way_out(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str], manifest: str, words: list[str], message: str
) -> None:
    write_plugin(box / "j.wasm", FILTER, b'{"pass":true}')
    assert add("j.wasm", "--no-compile") == exit_codes.OK
    text, files = config.read_text(), {*(box / "plugins").iterdir()}
    write_plugin(box / "new.wasm", manifest)
    assert replace("--no-compile", *words) in (exit_codes.FAILED, exit_codes.USAGE)
    assert message in capsys.readouterr().err
    assert config.read_text() == text
    assert {*(box / "plugins").iterdir()} == files


def test_a_filter_keeps_its_tools_and_what_becomes_of_failures(box: Path) -> None:
    write_plugin(box / "j.wasm", FILTER, b'{"pass":true}')
    assert add("j.wasm", "--filter", "mail__*", "--no-compile") == exit_codes.OK
    path = box / "t.toml"
    path.write_text(path.read_text() + 'on_failure = "pass"\n')
    before = table_of(path, "judge", "filters")
    write_plugin(box / "new.wasm", FILTER.replace("0.1.0", "0.2.0"), b'{"pass":true}')
    assert replace("--no-compile") == exit_codes.OK
    after = table_of(path, "judge", "filters")
    assert after == {**before, "wasm": after["wasm"], "digest": after["digest"]}
    assert after["digest"] != before["digest"]


@pytest.mark.parametrize(
    ("written_as", "expected"),
    [
        (
            'grants = { time = true, folders = { "/data" = "d" } }  # few',
            'grants = { time = true, folders = { "/data" = "d" }, log = true }  # few',
        ),
        ("grants.time = true\ngrants.http = ['h']", "grants = { time = true, http = [\"h\"], log = true }"),
        ("grants = {}", "grants = { log = true }"),
    ],
)  # fmt: skip
def test_grants_are_added_however_they_are_written(box: Path, written_as: str, expected: str) -> None:
    (box / "d").mkdir()
    digest = sha256_of(write_plugin(box / "mine.wasm", CURIOUS).read_bytes())
    (box / "t.toml").write_text(f"[backends.greeter]\nwasm = 'mine.wasm'\n{written_as}\ndigest = '{digest}'\n")
    new = sha256_of(write_plugin(box / "new.wasm", NEWER).read_bytes())
    assert replace("--no-compile", "--grant", "log") == exit_codes.OK
    assert (box / "t.toml").read_text() == (
        f'[backends.greeter]\nwasm = "plugins/greeter-{new[7:19]}.wasm"\n{expected}\ndigest = "{new}"\n'
    )


def test_a_table_that_is_written_inline_is_left_to_be_changed_by_hand_with_nothing_left_behind(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = sha256_of(write_plugin(box / "mine.wasm", TOOL).read_bytes())
    text = f"[backends]\ngreeter = {{ wasm = 'mine.wasm', digest = '{digest}' }}\n"
    (box / "t.toml").write_text(text)
    write_plugin(box / "new.wasm", TOOL.replace("1.2.3", "2.0"))
    assert replace() == exit_codes.FAILED
    assert "change it by hand" in capsys.readouterr().err
    assert (box / "t.toml").read_text() == text
    assert not (box / "plugins").exists()
    assert not (box / "state").exists()


def test_a_plugin_that_comes_with_tidegate_gives_way_to_ones_own_and_comes_back(
    box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.config import shipped

    (box / "package").mkdir()
    monkeypatch.setattr(shipped, "DIRECTORY", box / "package")
    write_plugin(box / "package" / "greeter.wasm")
    path = box / "t.toml"
    path.write_text('[backends.greeter]\nwasm = "greeter"\nprefix = "g_"\n')
    digest = sha256_of(write_plugin(box / "new.wasm", TOOL.replace("1.2.3", "2.0")).read_bytes())
    assert replace("--no-compile") == exit_codes.OK
    assert table_of(path) == {"wasm": f"plugins/greeter-{digest[7:19]}.wasm", "digest": digest, "prefix": "g_"}
    assert add("greeter", "--replace", "--no-compile") == exit_codes.OK
    assert table_of(path) == {"wasm": "greeter", "prefix": "g_"}
    assert not (box / "plugins").exists()


def test_one_that_is_served_by_default_is_replaced_and_the_others_of_the_default_stay(box: Path) -> None:
    defaults = {backend.name: backend.prefix for backend in load([], {}).snapshot.backends}
    write_plugin(box / "new.wasm")
    (box / "t.toml").write_text("")
    assert replace("--name", "units", "--no-compile") == exit_codes.OK
    found = load(["t.toml"], {}).snapshot.backends
    assert {backend.name: backend.prefix for backend in found} == defaults
    plugin = next(backend.plugin for backend in found if backend.name == "units")
    assert plugin is not None
    assert plugin.file.startswith(f"{box}/plugins/greeter-")


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("_put", True),
        ("write_config", False),
        ("write_config", True),
        ("drop_files", False),
        ("drop_files", True),
    ],
)
def test_a_kill_leaves_the_old_one_or_the_new_one_whole(box: Path, config: Path, step: str, after: bool) -> None:
    old = table_of(config)
    new = sha256_of(write_plugin(box / "new.wasm", NEWER).read_bytes())
    killed = f"""
import os, signal, sys
from tidegate.cli import main
from tidegate.cli.plugin import replacing, written
module = replacing if {step!r} == "drop_files" else written
whole = getattr(module, {step!r})
def kill(*args, **kwargs):
    if {after}:
        whole(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, {step!r}, kill)
main(["plugin", "add", "new.wasm", "--replace", "--no-compile", "--config", "t.toml"])
"""
    done = subprocess.run([sys.executable, "-c", killed], timeout=60, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    table = table_of(config)
    replaced = step == "drop_files" or (step == "write_config" and after)
    assert table["digest"] == (new if replaced else old["digest"])
    assert sha256_of((box / table["wasm"]).read_bytes()) == table["digest"]
    assert table["grants"] == old["grants"]
    # And the way on is the same command.
    assert replace("--no-compile") == exit_codes.OK
    assert table_of(config)["digest"] == new


def test_a_configuration_that_was_changed_meanwhile_is_not_overwritten(
    box: Path, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = written._copied

    def edited(*args: Any) -> Path:
        with config.open("a") as stream:
            stream.write("# meanwhile\n")
        return copied(*args)

    old = table_of(config)
    monkeypatch.setattr(written, "_copied", edited)
    write_plugin(box / "new.wasm", NEWER)
    assert replace("--no-compile") == exit_codes.FAILED
    assert "was changed by somebody else meanwhile" in capsys.readouterr().err
    assert table_of(config) == old
    assert (box / old["wasm"]).exists()


def test_the_running_gateway_serves_the_new_version_under_the_old_grants(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    write_plugin(box / "new.wasm", NEWER, b'{"result":{"content":[{"type":"text","text":"servus"}]}}')
    with gateway(workshop_config(), flags=("--log-level", "info")) as running:
        admin = ["--admin", running.admin]
        grants = ["--grant", "log", "--grant", "http=127.0.0.1:9"]
        assert main(["plugin", "add", "g.wasm", *grants, *admin]) == exit_codes.OK
        config = Path(running.config)
        config.write_text(config.read_text() + '[backends.greeter.settings]\nkey = "never told"\n')
        capsys.readouterr()
        assert main(["plugin", "add", "new.wasm", "--replace", *admin]) == exit_codes.OK
        assert capsys.readouterr().err.splitlines()[-1] == "the running gateway has taken it up"
        assert main(["call", "greeter__hello", "--unix", running.unix]) == exit_codes.OK
        assert capsys.readouterr().out == "servus\n"
        log = config.with_name("stderr").read_text()
    (line,) = [line for line in log.splitlines() if "plugin_loaded" in line and "version=1.10.0" in line]
    assert line.endswith("grants=log,http:127.0.0.1:9")
    assert "never told" not in log


NOTHING = Asks()


@pytest.mark.parametrize(
    ("asks", "before", "grants", "wanted", "news"),
    [
        (Asks(log=True), NOTHING, Grants(), Asks(log=True), True),
        (Asks(log=True), Asks(log=True), Grants(), Asks(log=True), False),
        (Asks(log=True), NOTHING, Grants(log=True), NOTHING, False),
        (Asks(http=("a", "b")), Asks(http=("a",)), Grants(http=("mine",)), Asks(http=("b",)), True),
        (Asks(http=("a",)), Asks(http=("a",)), Grants(http=("mine",)), NOTHING, False),
        (Asks(call=("a__x",)), NOTHING, Grants(call=("*",)), NOTHING, False),
        (Asks(call=("*",)), Asks(call=("*",)), Grants(call=("a__x",)), NOTHING, False),
        (Asks(store_bytes=20), Asks(store_bytes=20), Grants(store_bytes=10), NOTHING, False),
        (Asks(store_bytes=30), Asks(store_bytes=20), Grants(store_bytes=20), Asks(store_bytes=30), True),
        (Asks(store_bytes=30), Asks(store_bytes=20), Grants(store_bytes=40), NOTHING, False),
        (
            Asks(folders=(("/a", "write"),)),
            Asks(folders=(("/a", "read"),)),
            Grants(folders=(("/a", "x"),)),
            Asks(folders=(("/a", "write"),)),
            True,
        ),
        (
            Asks(folders=(("/a", "write"),)),
            Asks(folders=(("/a", "write"),)),
            Grants(folders=(("/a", "x"),)),
            NOTHING,
            False,
        ),
        (
            Asks(folders=(("/a", "read"),)),
            Asks(folders=(("/a", "write"),)),
            Grants(),
            Asks(folders=(("/a", "read"),)),
            False,
        ),
    ],
)  # fmt: skip
def test_what_was_decided_about_the_version_before_is_not_asked_again(
    asks: Asks, before: Asks, grants: Grants, wanted: Asks, news: bool
) -> None:
    assert lacking(asks, before, grants) == wanted
    assert is_news(wanted, before) == news


def test_a_folder_that_is_granted_anew_is_granted_once() -> None:
    before = Grants(folders=(("/a", "x"), ("/b", "y")), store_bytes=5, http=("h",))
    more = Grants(writable=(("/a", "z"),), http=("h", "i"))
    assert together(before, more) == Grants(
        folders=(("/b", "y"),), writable=(("/a", "z"),), store_bytes=5, http=("h", "i")
    )


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("1.9", "1.10"), ("1.0.0-rc.1", "1.0.0"), ("1.0-rc.2", "1.0-rc.10"), ("1.0-2", "1.0-a"), ("0.9.9", "1")],
)
def test_versions_are_compared_by_their_numbers(lower: str, higher: str) -> None:
    assert is_lower(lower, higher)
    assert not is_lower(higher, lower)


@pytest.mark.parametrize("same", [("1.0", "1.0.0"), ("1.0+a", "1.0+b"), ("nightly", "1.0"), ("1.0", "nightly")])
def test_versions_that_cannot_be_ordered_are_not(same: tuple[str, str]) -> None:
    assert not is_lower(*same)
