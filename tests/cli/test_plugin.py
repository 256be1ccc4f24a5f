"""`tidegate plugin`: from a file to a table and back, with nothing granted that nobody granted."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running_gateway import gateway, workshop_config
from small_plugin import CURIOUS, FILTER, TOOL, module, write_plugin

from tidegate.cli import exit_codes, main
from tidegate.cli.plugin import written
from tidegate.cli.plugin.words import size
from tidegate.config.embedded import default_snapshot
from tidegate.config.load import load
from tidegate.sandbox.artefacts import Artefacts, sha256_of
from tidegate.sandbox.compiling import Compiled
from tidegate.sandbox.engine import engine_key
from tidegate.sandbox.manifest import embed, manifest_of
from tidegate.sandbox.sections import custom_section


@pytest.fixture(autouse=True)
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box of one's own, on which no gateway runs."""
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree_of(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def add(*words: str) -> int:
    return main(["plugin", "add", *words, "--config", "t.toml"])


def test_a_plugin_is_checked_copied_compiled_pinned_and_written_beside_what_there_is(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_plugin(box / "g.wasm")
    config = box / "t.toml"
    config.write_text("# mine\n[limits]\ndepth = 9   # keep\n")
    assert add("g.wasm") == exit_codes.OK
    digest = sha256_of(file.read_bytes())
    copy = f"plugins/greeter-{digest[7:19]}.wasm"
    assert config.read_text().startswith("# mine\n[limits]\ndepth = 9   # keep\n")
    assert tree_of(config)["backends"]["greeter"] == {"wasm": copy, "digest": digest}
    assert (box / copy).read_bytes() == file.read_bytes()
    assert stat.S_IMODE((box / copy).stat().st_mode) == 0o644
    assert Artefacts(box / "state" / "plugins").find(digest, engine_key()) is not None
    *others, backend = load([str(config)], {}).snapshot.backends
    # What a worker of models is told names the limits, too.
    assert [replace(one, env=()) for one in others] == [replace(one, env=()) for one in default_snapshot().backends]
    plugin = backend.plugin
    assert plugin is not None
    assert plugin.file == str(box / copy)
    shown = capsys.readouterr()
    assert "greeter 1.2.3, tools\n  Says hello.\n" in shown.out
    assert "asks for  nothing" in shown.out
    assert "added `greeter` to t.toml\n" in shown.err
    assert "`tidegate serve --config t.toml` starts one" in shown.err


def test_a_manifest_beside_the_file_goes_into_the_copy_so_that_the_digest_covers_it(box: Path) -> None:
    (box / "g.wasm").write_bytes(module())
    (box / "g.toml").write_text(TOOL)
    assert add("g.wasm") == exit_codes.OK
    table = tree_of(box / "t.toml")["backends"]["greeter"]
    copy = (box / table["wasm"]).read_bytes()
    assert sha256_of(copy) == table["digest"]
    assert manifest_of(copy).name == "greeter"
    assert custom_section((box / "g.wasm").read_bytes(), "tidegate:manifest") is None


def test_a_component_is_asked_for_its_tools_and_they_are_pinned_too(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TOOL.partition("[[tools]]")[0]
    (box / "g.wasm").write_bytes(embed(b"\0asm\x0d\0\x01\0", text.encode()))
    checks: list[str] = []

    def compiled(file: Path, digest: str, directory: Path, check: str, **_: object) -> Compiled:
        assert sha256_of(file.read_bytes()) == digest
        checks.append(check)
        return Compiled(1, '[{"name":"listed","inputSchema":{"type":"object"}}]')

    monkeypatch.setattr(written, "compiled", compiled)
    assert add("g.wasm") == exit_codes.OK
    assert checks == ["tools", "tool"]
    table = tree_of(box / "t.toml")["backends"]["greeter"]
    assert [tool.name for tool in manifest_of((box / table["wasm"]).read_bytes()).tools] == ["listed"]


def test_nothing_is_granted_where_nobody_can_be_asked(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    assert add("g.wasm") == exit_codes.FAILED
    shown = capsys.readouterr()
    for words in (
        "read:/data  read a folder of this box, as `/data`",
        "write:/out  read and write a folder of this box, as `/out`",
        "http        send HTTP requests to api.example.com",
        "store       keep up to 64 KiB of its own between calls",
        "log         write to the log of the gateway",
        "time        know the time",
    ):
        assert words in shown.out
    assert "nobody can be asked here what to grant; `--yes`" in shown.err
    assert not (box / "t.toml").exists()
    assert not (box / "plugins").exists()


@pytest.mark.parametrize(
    ("words", "granted"),
    [
        (["--grant", "none"], {}),
        (["--yes"], {"http": ["api.example.com"], "store_bytes": 65536, "log": True, "time": True}),
        (["--grant", "log"], {"log": True}),
        (["--grant", "store"], {"store_bytes": 65536}),
        (["--grant", "store=10", "--grant", "http=other:8080,b"], {"http": ["other:8080", "b"], "store_bytes": 10}),
        (["--grant", "http"], {"http": ["api.example.com"]}),
        (["--grant", "read:/data=d"], {"folders": {"/data": "d"}}),
        (["--grant", "read:/out=d"], {"folders": {"/out": "d"}}),
        (["--grant", "write:/out=d"], {"writable": {"/out": "d"}}),
        (
            ["--yes", "--grant", "write:/out=d", "--grant", "http=h"],
            {"writable": {"/out": "d"}, "http": ["h"], "store_bytes": 65536, "log": True, "time": True},
        ),
    ],
)
def test_what_is_granted_is_what_was_said(
    box: Path, capsys: pytest.CaptureFixture[str], words: list[str], granted: dict[str, Any]
) -> None:
    (box / "d").mkdir()
    write_plugin(box / "g.wasm", CURIOUS)
    assert add("g.wasm", "--json", "--no-compile", *words) == exit_codes.OK
    for key in ("folders", "writable"):
        if key in granted:
            granted = {**granted, key: {inside: str(box / outside) for inside, outside in granted[key].items()}}
    assert tree_of(box / "t.toml")["backends"]["greeter"].get("grants", {}) == granted
    answer = json.loads(capsys.readouterr().out)
    assert answer["granted"] == granted
    # There is always one of the two folders that nobody granted.
    assert set(answer["not_granted"]) == {"folders"} | {"http", "store_bytes", "log", "time"} - set(granted)
    load(["t.toml"], {})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("random", "it does not ask for `random`"),
        ("call=*", "it does not ask for `call`"),
        ("read:/etc=d", "it does not ask to read `/etc`"),
        ("write:/data=d", "it does not ask to write `/data`"),
        ("read:/data=nowhere", "expected a directory of this box"),
        ("read:/data", "expected a directory of this box"),
        ("http=http://x/", "expected a host name"),
        ("store=much", "expected a number of bytes"),
        ("everything", "expected one of log, time"),
        ("log=no", "expected one of log, time"),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused_and_nothing_is_written(
    box: Path, capsys: pytest.CaptureFixture[str], word: str, message: str
) -> None:
    (box / "d").mkdir()
    write_plugin(box / "g.wasm", CURIOUS)
    assert add("g.wasm", "--grant", word) in (exit_codes.FAILED, exit_codes.USAGE)
    assert message in capsys.readouterr().err
    assert not (box / "t.toml").exists()


@pytest.mark.parametrize(
    ("asked", "words", "message"),
    [
        ("store_bytes = 3000000000", ["--yes"], "`backends.greeter.grants.store_bytes`: expected at most 1073741824"),
        ('call = ["*"]', ["--grant", f"call={'x' * 300}"], "expected at most 256 characters"),
    ],
)
def test_what_the_gateway_would_not_take_is_not_written(
    box: Path, capsys: pytest.CaptureFixture[str], asked: str, words: list[str], message: str
) -> None:
    write_plugin(box / "g.wasm", f"{TOOL}[asks]\n{asked}\n")
    assert add("g.wasm", *words) == exit_codes.FAILED
    assert message in capsys.readouterr().err
    assert not (box / "t.toml").exists()
    assert not (box / "plugins").exists()


@pytest.mark.parametrize(("typed", "granted"), [("y", ["http", "log", "store_bytes", "time"]), ("n", []), ("q", None)])
def test_a_person_is_asked(box: Path, typed: str, granted: list[str] | None) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tidegate", "plugin", "add", "g.wasm", "--no-compile", "--config", "t.toml"]
    os.write(master, f"{typed}\n".encode())  # the line waits in the terminal until it is asked for
    done = subprocess.run(command, stdin=slave, stderr=slave, stdout=subprocess.PIPE, timeout=60, check=False)
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "Grant this? [y]es, [n]othing of it, [q]uit: " in said
    if granted is None:
        assert done.returncode == exit_codes.FAILED
        assert not (box / "t.toml").exists()
    else:
        assert done.returncode == exit_codes.OK
        assert sorted(tree_of(box / "t.toml")["backends"]["greeter"].get("grants", {})) == granted


def test_a_filter_gets_a_table_of_its_own_and_leaves_the_servers_alone(box: Path) -> None:
    write_plugin(box / "j.wasm", FILTER, b'{"pass":true}')
    assert add("j.wasm", "--filter", "mail__*", "--filter", "files__*", "--name", "guard") == exit_codes.OK
    tree = tree_of(box / "t.toml")
    assert set(tree) == {"filters"}
    assert tree["filters"]["guard"]["tools"] == ["mail__*", "files__*"]
    (found,) = load(["t.toml"], {}).snapshot.filters
    assert (found.name, found.tools, found.on_failure) == ("guard", ("mail__*", "files__*"), "refuse")


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (b"MZ", [], "`g.wasm` is not a WASM binary"),
        (module(), [], "there is no manifest in it (a custom section named `tidegate:manifest`), and there is no"),
        (embed(module(), TOOL.encode()) + b"\x01", [], "has no number at byte"),
        (embed(module(), TOOL.encode()), ["--filter", "*"], "serves tools and filters nothing"),
        (embed(module(), TOOL.encode()), ["--name", "A b"], "expected a name of at most 32"),
        (embed(module(), TOOL.encode()), ["--name", "host"], "there is a server `host`"),
        (embed(module(), TOOL.partition("[[")[0].encode()), [], "lists no tools, and a core module cannot be asked"),
        (embed(module(exports=("memory",)), TOOL.encode()), [], "`g.wasm` cannot be used: "),
        (embed(b"\0asm\x01\0\0\0\x07\x01\x05", TOOL.encode()), [], "`g.wasm` cannot be used: "),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason_and_nothing_is_written(
    box: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: list[str], message: str
) -> None:
    (box / "g.wasm").write_bytes(content)
    (box / "t.toml").write_text("[limits]\ndepth = 9\n")
    assert add("g.wasm", *words) in (exit_codes.FAILED, exit_codes.USAGE)
    assert message in capsys.readouterr().err
    assert (box / "t.toml").read_text() == "[limits]\ndepth = 9\n"
    assert not (box / "plugins").exists()


def test_a_name_is_given_once(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    assert add("g.wasm", "--no-compile") == exit_codes.OK
    assert add("g.wasm", "--no-compile") == exit_codes.FAILED
    assert "there is a plugin `greeter`; `--replace` puts this one in its place" in capsys.readouterr().err


def test_a_configuration_with_a_mistake_is_not_touched(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    (box / "t.toml").write_text("[limits]\ndepht = 9\n")
    assert add("g.wasm", "--no-compile") == exit_codes.USAGE
    assert "did you mean `depth`" in capsys.readouterr().err
    assert (box / "t.toml").read_text() == "[limits]\ndepht = 9\n"


def test_backends_that_are_written_inline_are_left_to_be_changed_by_hand(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm")
    (box / "t.toml").write_text('backends = { box = { builtin = "host" } }\n')
    assert add("g.wasm", "--no-compile") == exit_codes.FAILED
    assert "change it by hand" in capsys.readouterr().err
    assert (box / "t.toml").read_text() == 'backends = { box = { builtin = "host" } }\n'


def test_without_a_configuration_the_way_out_is_named(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    assert main(["plugin", "add", "g.wasm"]) == exit_codes.USAGE
    assert "say `--config tidegate.toml`" in capsys.readouterr().err
    (box / "host.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    assert main(["plugin", "add", "g.wasm", "--config", "host.json"]) == exit_codes.FAILED
    assert "JSON of a desktop host" in capsys.readouterr().err


def test_a_list_tells_what_each_one_is_and_whether_it_would_run(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    (box / "t.toml").write_text('[backends.host]\nbuiltin = "host"\n')
    assert add("g.wasm", "--grant", "log") == exit_codes.OK
    assert add("g.wasm", "--name", "gone", "--no-compile", "--grant", "none") == exit_codes.OK
    config = box / "t.toml"
    write_plugin(box / "loose.wasm", FILTER)
    config.write_text(
        config.read_text()
        + f"[filters.loose]\nwasm = 'loose.wasm'\ndigest = 'sha256:{'0' * 64}'\n"
        + "[filters.unknown]\nwasm = 'no-such-plugin'\n"
    )
    capsys.readouterr()
    assert main(["plugin", "list", "--config", "t.toml", "--json"]) == exit_codes.OK
    answer = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["world"], one["version"], one["tools"], one["granted"], one["state"], one["usable"])
            for one in answer["plugins"]] == [
        ("greeter", "tool", "1.2.3", ["hello"], {"log": True}, "compiled", True),
        ("gone", "tool", "1.2.3", ["hello"], {}, "compiled", True),
        ("loose", "filter", "0.1.0", ["*"], {}, "another file than was pinned", False),
        ("unknown", "filter", None, ["*"], {}, "not in this build", False),
    ]  # fmt: skip
    assert main(["plugin", "list", "--config", "t.toml"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "IS", "VERSION", "SERVES", "GRANTED", "STATE"]
    assert lines[1].split() == ["greeter", "tools", "1.2.3", "hello", "log", "compiled"]


def test_inspect_shows_a_configured_plugin_with_what_it_gets_and_does_not_get(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    assert add("g.wasm", "--grant", "log", "--json") == exit_codes.OK
    config = box / "t.toml"
    config.write_text(config.read_text() + "random = true\n[backends.greeter.bounds]\ndeadline_ms = 250\n")
    capsys.readouterr()
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml", "--json"]) == exit_codes.OK
    found = json.loads(capsys.readouterr().out)
    assert found["table"] == "backends.greeter"
    assert found["granted"] == {"log": True}
    assert found["in_vain"] == ["random"]
    assert set(found["not_granted"]) == {"folders", "http", "store_bytes", "time"}
    assert found["bounds"]["deadline_ms"] == 250
    assert found["pinned"] == found["digest"]
    assert found["kind"] == "module"
    assert found["asks"]["folders"] == {"/data": "read", "/out": "write"}
    assert [tool["name"] for tool in found["tools"]] == ["hello"]
    assert Path(found["artefact"]["path"]).parent == box / "state" / "plugins"
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "granted in vain, not asked for: random" in shown
    assert "0.25 s a call" in shown


def test_inspect_shows_a_file_before_it_is_added(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    assert main(["plugin", "inspect", "./g.wasm"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "asks for\n" in shown
    assert "granted" not in shown
    assert main(["plugin", "inspect", "nothing"]) == exit_codes.FAILED
    assert "no plugin `nothing` in the embedded default" in capsys.readouterr().err


def test_inspect_of_one_that_would_not_run_says_so_by_its_exit_code(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm")
    assert add("g.wasm", "--no-compile") == exit_codes.OK
    (copy,) = (box / "plugins").iterdir()
    write_plugin(copy, TOOL.replace("hello", "hallo"))
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml"]) == exit_codes.FAILED
    assert "another file than was pinned" in capsys.readouterr().out
    copy.unlink()
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml"]) == exit_codes.FAILED
    assert "file is missing" in capsys.readouterr().out


def test_nothing_that_a_plugin_says_steers_the_terminal(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = CURIOUS.replace("Says hello.", "a\\u001b[31mb").replace('"/data"', '"/d\\u009bta"')
    write_plugin(box / "g.wasm", hostile)
    assert add("g.wasm", "--grant", "none", "--no-compile") == exit_codes.OK
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml"]) == exit_codes.OK
    assert main(["plugin", "list", "--config", "t.toml"]) == exit_codes.OK
    shown = capsys.readouterr()
    assert not set("\x1b\x9b") & set(shown.out + shown.err)


def test_remove_takes_the_table_and_the_files_that_nobody_else_uses(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm", CURIOUS)
    before = '# mine\n[backends.box]\nbuiltin = "host"\n'
    (box / "t.toml").write_text(before)
    assert add("g.wasm", "--yes") == exit_codes.OK
    assert add("g.wasm", "--name", "second", "--grant", "none") == exit_codes.OK
    digest = tree_of(box / "t.toml")["backends"]["greeter"]["digest"]
    (copy,) = (box / "plugins").iterdir()
    artefacts = Artefacts(box / "state" / "plugins")
    assert main(["plugin", "remove", "greeter", "--config", "t.toml", "--json"]) == exit_codes.OK
    assert copy.exists()
    assert artefacts.find(digest, engine_key()) is not None
    assert set(tree_of(box / "t.toml")["backends"]) == {"box", "second"}
    assert main(["plugin", "remove", "second", "--config", "t.toml"]) == exit_codes.OK
    assert not copy.exists()
    assert artefacts.find(digest, engine_key()) is None
    assert (box / "t.toml").read_text() == before
    assert (box / "g.wasm").exists()
    assert main(["plugin", "remove", "box", "--config", "t.toml"]) == exit_codes.FAILED
    assert "`box` of t.toml is a server, not a plugin" in capsys.readouterr().err


def test_a_file_that_was_not_copied_stays_when_its_table_goes(box: Path) -> None:
    file = write_plugin(box / "g.wasm")
    (box / "t.toml").write_text(f"[backends.g]\nwasm = 'g.wasm'\ndigest = '{sha256_of(file.read_bytes())}'\n")
    assert main(["plugin", "remove", "g", "--config", "t.toml"]) == exit_codes.OK
    assert file.exists()


def test_one_compiled_elsewhere_is_taken_when_its_signer_is_trusted(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plugin(box / "g.wasm")
    assert main(["plugin", "compile", "g.wasm", "--key", "k"]) == exit_codes.OK
    assert stat.S_IMODE((box / "k").stat().st_mode) == 0o600
    public = (box / "k").read_text().split()[1]
    assert f'trusted_keys = ["{public}"]' in capsys.readouterr().err
    assert add("g.wasm", "--name", "first") == exit_codes.OK
    assert "which `plugins.trusted_keys` does not name" in capsys.readouterr().err
    (box / "state" / "plugins" / "seal.key").unlink()
    (box / "t.toml").write_text(f'[plugins]\ntrusted_keys = ["{public}"]\n')
    assert add("g.wasm") == exit_codes.OK
    assert main(["plugin", "inspect", "greeter", "--config", "t.toml"]) == exit_codes.OK
    assert f"signed by     {public}" in capsys.readouterr().out
    assert {path.suffix for path in (box / "plugins").iterdir()} == {".wasm", ".cwasm", ".seal"}
    digest = tree_of(box / "t.toml")["backends"]["greeter"]["digest"]
    # Another user's gateway finds it beside the plugin.
    (copy,) = (box / "plugins").glob("*.wasm")
    other = Artefacts(box / "other", [public])
    found = other.find(digest, engine_key(), copy)
    assert found is not None
    assert (found.signed_by, found.path.parent) == (public, box / "other")
    assert Artefacts(box / "other").find(digest, engine_key()) is None
    assert main(["plugin", "remove", "greeter", "--config", "t.toml"]) == exit_codes.OK
    assert not (box / "plugins").exists()


def test_a_signature_that_does_not_hold_is_none(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    assert main(["plugin", "compile", "g.wasm", "--key", "k"]) == exit_codes.OK
    public = (box / "k").read_text().split()[1]
    seal = json.loads((box / "g.cwasm.seal").read_text())
    (box / "g.cwasm").write_bytes((box / "g.cwasm").read_bytes() + b"\0")
    seal["artefact"] = sha256_of((box / "g.cwasm").read_bytes())
    (box / "g.cwasm.seal").write_text(json.dumps(seal))
    (box / "t.toml").write_text(f'[plugins]\ntrusted_keys = ["{public}"]\n')
    assert add("g.wasm") == exit_codes.OK
    assert f"its signature by `{public}` does not hold" in capsys.readouterr().err
    digest = tree_of(box / "t.toml")["backends"]["greeter"]["digest"]
    found = Artefacts(box / "state" / "plugins", [public]).find(digest, engine_key())
    assert found is not None
    assert found.signed_by == ""


def test_code_for_another_kind_of_box_is_made_and_not_taken_here(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    other = "x86_64-linux" if engine_key().startswith("aarch64") else "aarch64-linux"
    words = ["plugin", "compile", "g.wasm", "--target", other, "--key", "k"]
    assert main([*words, "-o", "g.cwasm"]) == exit_codes.OK
    assert json.loads((box / "g.cwasm.seal").read_text())["engine"] == engine_key(other)
    public = (box / "k").read_text().split()[1]
    (box / "t.toml").write_text(f'[plugins]\ntrusted_keys = ["{public}"]\n')
    assert add("g.wasm") == exit_codes.OK
    assert "was made for another engine" in capsys.readouterr().err
    assert main(["plugin", "compile", "g.wasm", "--target", "z80", "--key", "k"]) == exit_codes.FAILED
    assert "cannot compile for `z80`" in capsys.readouterr().err
    (box / "k").write_text("hello")
    assert main(words) == exit_codes.FAILED
    assert "is no signing key" in capsys.readouterr().err


def test_pack_puts_a_manifest_into_the_file(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (box / "g.wasm").write_bytes(module())
    (box / "m.toml").write_text(TOOL)
    assert main(["plugin", "pack", "g.wasm", "m.toml", "-o", "out.wasm"]) == exit_codes.OK
    assert manifest_of((box / "out.wasm").read_bytes()).name == "greeter"
    assert (box / "g.wasm").read_bytes() == module()
    assert main(["plugin", "pack", "g.wasm", "m.toml"]) == exit_codes.OK
    assert (box / "g.wasm").read_bytes() == (box / "out.wasm").read_bytes()
    (box / "m.toml").write_text("name = 3\n")
    capsys.readouterr()
    assert main(["plugin", "pack", "g.wasm", "m.toml"]) == exit_codes.FAILED
    assert "`world`: expected" in capsys.readouterr().err


def test_new_makes_a_directory_under_its_own_name(
    box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.cli.plugin import new

    template = box / "templates" / "c"
    (template / "target").mkdir(parents=True)
    (template / "target" / "junk").write_text("")
    (template / "my_plugin.c").write_text("// my-plugin\nint my_plugin;\n")
    (template / "data.bin").write_bytes(b"\xff\x00")
    (template / "build.sh").write_text("#!/bin/sh\n")
    (template / "build.sh").chmod(0o755)
    monkeypatch.setattr(new, "_TEMPLATES", box / "templates")
    assert main(["plugin", "new", "here/wind-speed", "--language", "c"]) == exit_codes.OK
    made = box / "here" / "wind-speed"
    assert sorted(path.name for path in made.iterdir()) == ["build.sh", "data.bin", "wind_speed.c"]
    assert (made / "wind_speed.c").read_text() == "// wind-speed\nint wind_speed;\n"
    assert (made / "data.bin").read_bytes() == b"\xff\x00"
    assert os.access(made / "build.sh", os.X_OK)
    assert main(["plugin", "new", "here/wind-speed", "--language", "c"]) == exit_codes.FAILED
    assert "is not an empty directory" in capsys.readouterr().err
    assert main(["plugin", "new", "Wind", "--language", "c"]) == exit_codes.USAGE
    assert main(["plugin", "new", "wind", "--language", "rust"]) == exit_codes.FAILED


def test_a_plugin_that_comes_with_tidegate_is_added_by_its_name(
    box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.config import embedded, shipped

    monkeypatch.setattr(embedded, "PLUGINS", ("greeter",), raising=False)
    monkeypatch.setattr(shipped, "DIRECTORY", box)
    write_plugin(box / "greeter.wasm")
    assert add("greeter") == exit_codes.OK
    assert tree_of(box / "t.toml")["backends"]["greeter"] == {"wasm": "greeter"}
    assert "host" in tree_of(box / "t.toml")["backends"]
    assert not (box / "plugins").exists()
    assert add("greeter") == exit_codes.FAILED
    assert add("greeter", "--name", "again") == exit_codes.OK
    assert add("gretter") == exit_codes.FAILED
    assert "(there is: greeter)" in capsys.readouterr().err
    assert main(["plugin", "list", "--config", "t.toml"]) == exit_codes.OK
    assert "compiled" in capsys.readouterr().out
    assert main(["check", "t.toml"]) == exit_codes.OK
    assert "greeter, which comes with tidegate" in capsys.readouterr().out


def test_the_running_gateway_takes_it_up_and_serves_it(
    box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(box / "g.wasm")
    with gateway(workshop_config()) as running:
        admin = ["--admin", running.admin]
        assert main(["plugin", "add", "g.wasm", *admin]) == exit_codes.OK
        shown = capsys.readouterr().err.splitlines()
        assert shown == [f"added `greeter` to {running.config}", "the running gateway has taken it up"]
        assert set(tree_of(Path(running.config))["backends"]) == {"workshop", "greeter"}
        assert main(["plugin", "list", *admin]) == exit_codes.OK
        assert "greeter" in capsys.readouterr().out
        assert main(["call", "greeter__hello", "--unix", running.unix]) == exit_codes.OK
        assert capsys.readouterr().out == "hello\n"
        monkeypatch.setenv("TIDEGATE_ADMIN", running.admin)
        assert main(["completion", "names", "plugins"]) == exit_codes.OK
        assert capsys.readouterr().out == "greeter\n"
        assert main(["plugin", "remove", "greeter", *admin]) == exit_codes.OK
        assert capsys.readouterr().err.splitlines()[-1] == "the running gateway has taken it up"
        assert main(["call", "greeter__hello", "--unix", running.unix]) != exit_codes.OK


def test_check_tells_of_plugins_that_would_not_run(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_plugin(box / "g.wasm")
    digest = sha256_of(file.read_bytes())
    (box / "t.toml").write_text(
        f"""
        [backends.good]
        wasm = "g.wasm"
        digest = "{digest}"
        grants.folders = {{ "/data" = "nowhere" }}
        [backends.other]
        wasm = "g.wasm"
        digest = "sha256:{"0" * 64}"
        [filters.gone]
        wasm = "gone.wasm"
        digest = "{digest}"
        [filters.unknown]
        wasm = "no-such-plugin"
        """
    )
    assert main(["check", "t.toml"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert f"  good   wasm     {box}/g.wasm  (grants: folders)" in shown
    assert f"`{box}/nowhere` is not a directory on this machine" in shown
    assert f"backends.other.wasm: has another digest, {digest}, so it will be refused" in shown
    assert "filters.gone.wasm: is not a file that can be read" in shown
    assert "filters.unknown.wasm: comes with no tidegate of this build" in shown


def test_signed_code_that_was_changed_is_not_what_its_seal_says(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(box / "g.wasm")
    assert main(["plugin", "compile", "g.wasm", "--key", "k"]) == exit_codes.OK
    public = (box / "k").read_text().split()[1]
    (box / "g.cwasm").write_bytes((box / "g.cwasm").read_bytes() + b"\0")
    (box / "t.toml").write_text(f'[plugins]\ntrusted_keys = ["{public}"]\n')
    assert add("g.wasm") == exit_codes.OK
    assert "`g.cwasm` is not what its seal says" in capsys.readouterr().err


def test_code_that_came_with_tidegate_is_used_as_it_is_and_goes_nowhere_else(
    box: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidegate.config import shipped
    from tidegate.sandbox import shipped_code

    package = box / "package"
    package.mkdir()
    monkeypatch.setattr(shipped, "DIRECTORY", package)
    file = write_plugin(package / "greeter.wasm")
    assert shipped_code.main() == 0
    assert add("greeter") == exit_codes.OK
    assert not (box / "state").exists()
    assert main(["plugin", "list", "--config", "t.toml"]) == exit_codes.OK
    assert "comes compiled" in capsys.readouterr().out
    assert add(str(file), "--name", "copied") == exit_codes.OK
    assert [path.suffix for path in (box / "plugins").iterdir()] == [".wasm"]
    assert "not taken" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "words"),
    [(999, "999 bytes"), (1024, "1 KiB"), (61_850, "60.4 KiB"), (1_047_552, "1023 KiB"), (1 << 30, "1 GiB")],
)
def test_a_size_is_said_in_plain_numbers(count: int, words: str) -> None:
    assert size(count) == words
