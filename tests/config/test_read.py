"""The daemon's side: the validating child and what comes back from it. Real processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.config.embedded import default_snapshot
from tidegate.config.load import load
from tidegate.config.problems import problems_of
from tidegate.config.read import read_snapshot
from tidegate.config.snapshot import Limits, Secret, Snapshot
from tidegate.config.transfer import decode_snapshot, encode_snapshot
from tidegate.errors import ConfigError

FULL = """
[listen]
http = ["127.0.0.1:0"]
[limits]
depth = 9
[backends.a]
command = ["p", "${TIDEGATE_TEST_VALUE}"]
env = { K = "${TIDEGATE_TEST_VALUE}" }
aliases = { x = "y" }
[backends.b]
url = "http://h/"
headers = { X = "1" }
[clients.c]
token_sha256 = "%s"
""" % ("0" * 64)


def read(*files: Path, timeout_s: float = 30.0) -> Snapshot:
    return asyncio.run(read_snapshot([str(file) for file in files], timeout_s=timeout_s))


def test_the_child_hands_over_exactly_what_the_validator_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_TEST_VALUE", "ü secret")
    file = tmp_path / "tidegate.toml"
    file.write_text(FULL)
    snapshot = read(file)
    assert snapshot == load([str(file)]).snapshot
    assert snapshot.backends[0].env == (("K", Secret("ü secret")),)
    assert hash(snapshot)


def test_no_files_are_the_embedded_default() -> None:
    assert read() == default_snapshot()


def test_every_problem_comes_back_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text("[limits]\ndepth = 'x'\n[backends.a]\n")
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert [(problem.file, problem.line, problem.key) for problem in problems_of(caught.value)] == [
        (str(file), 2, "limits.depth"),
        (str(file), 3, "backends.a"),
    ]


def test_a_file_name_that_looks_like_an_option_is_a_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "--help").write_text("limits.depth = 9")
    assert asyncio.run(read_snapshot(["--help"])).limits == Limits(depth=9)


def test_a_file_that_never_ends_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="took longer than"):
        read(tmp_path / "pipe.toml", timeout_s=0.05)


def test_a_module_in_the_working_directory_does_not_replace_the_validator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pydantic.py").write_text("raise SystemExit(9)")
    (tmp_path / "tidegate.toml").write_text("limits.depth = 9")
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path / "tidegate.toml").limits.depth == 9


def test_the_daemon_can_read_configuration_without_the_validator_in_it() -> None:
    probe = (
        "import sys, tidegate.config.exposure, tidegate.config.read; "
        "from tidegate.config.embedded import default_snapshot; default_snapshot(); "
        "print([name for name in ('pydantic', 'anyio', 'tomllib', 'argparse') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=30)
    assert found.stdout == "[]\n"


def test_the_child_prints_one_json_object_and_says_by_its_exit_code_whether_it_is_a_snapshot(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("")
    bad.write_text("x = 1")
    for file, status, key in ((good, 0, "snapshot"), (bad, 2, "problems")):
        command = [sys.executable, "-m", "tidegate.config.validate", str(file)]
        child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert (child.returncode, list(json.loads(child.stdout)), child.stderr) == (status, [key, "secret_files"], "")


def test_transfer_is_lossless() -> None:
    snapshot = default_snapshot({})
    assert decode_snapshot(json.loads(json.dumps(encode_snapshot(snapshot)))) == snapshot
