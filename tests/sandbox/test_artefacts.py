"""Machine code is run when this box made it or a trusted key signed it, and never otherwise."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidegate
from tidegate.config.paths import plugins_directory
from tidegate.sandbox.artefacts import (
    ArtefactRefused,
    Artefacts,
    ArtefactsUnusable,
    Seal,
    read_seal,
    sha256_of,
)

DIGEST = sha256_of(b"wasm")
OTHER = sha256_of(b"other")
ENGINE = "wasmtime 48, x86_64"
CODE = b"code" * 1000


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path / "state" / "plugins")


def seal_of(path: Path) -> Path:
    return path.with_name(path.name + ".seal")


def test_what_was_put_there_is_found_by_plugin_and_engine(artefacts: Artefacts) -> None:
    assert artefacts.find(DIGEST, ENGINE) is None
    put = artefacts.put(DIGEST, ENGINE, CODE)
    assert artefacts.find(DIGEST, ENGINE) == put
    assert (put.path.read_bytes(), put.sha256, put.signed_by) == (CODE, hashlib.sha256(CODE).digest(), "")
    assert artefacts.find(OTHER, ENGINE) is None
    assert artefacts.find(DIGEST, "another engine") is None
    assert Artefacts(artefacts.directory).find(DIGEST, ENGINE) == put


def test_everything_is_for_its_owner_only(artefacts: Artefacts) -> None:
    artefacts.put(DIGEST, ENGINE, CODE)
    assert artefacts.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in artefacts.directory.iterdir()} == {0o600}


def _flip_code(path: Path) -> None:
    path.write_bytes(b"evil" + path.read_bytes()[4:])


def _of_another_plugin(path: Path) -> None:
    seal = read_seal(seal_of(path))
    assert seal is not None
    seal_of(path).write_bytes(replace(seal, wasm=OTHER).text())


def _reseal_by_hand(path: Path) -> None:
    _flip_code(path)
    seal = read_seal(seal_of(path))
    assert seal is not None
    seal_of(path).write_bytes(replace(seal, artefact=sha256_of(path.read_bytes())).text())


def _new_key(path: Path) -> None:
    (path.parent / "seal.key").write_bytes(b"k" * 32)


DAMAGE: list[Callable[[Path], None]] = [
    _flip_code,
    _of_another_plugin,
    _reseal_by_hand,
    _new_key,
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.unlink(),
    lambda path: seal_of(path).unlink(),
    lambda path: seal_of(path).write_bytes(b""),
    lambda path: seal_of(path).write_bytes(b"[" * 5000),
    lambda path: seal_of(path).write_text(json.dumps({"wasm": DIGEST})),
    lambda path: (path.parent / "seal.key").unlink(),
    lambda path: (path.parent / "seal.key").chmod(0o644),
    lambda path: path.parent.chmod(0o777),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_changed_is_not_found_and_is_made_good_by_putting_it_again(
    artefacts: Artefacts, damage: Callable[[Path], None]
) -> None:
    path = artefacts.put(DIGEST, ENGINE, CODE).path
    damage(path)
    assert artefacts.find(DIGEST, ENGINE) is None
    artefacts.directory.chmod(0o700)
    artefacts.put(DIGEST, ENGINE, CODE)
    found = artefacts.find(DIGEST, ENGINE)
    assert found is not None
    assert found.path.read_bytes() == CODE


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_seal_opens_the_door_but_the_right_one(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    artefacts = Artefacts(tmp_path_factory.mktemp("plugins"))
    path = artefacts.put(DIGEST, ENGINE, CODE).path
    seal_of(path).write_bytes(text)
    assert artefacts.find(DIGEST, ENGINE) is None


@pytest.mark.parametrize("proof", ["hmac:", "hmac:é", "hmac:" + "0" * 64, "", "none", "ed25519:AAAA:AAAA", "ed25519"])
def test_a_made_up_proof_is_none(artefacts: Artefacts, proof: str) -> None:
    path = artefacts.put(DIGEST, ENGINE, CODE).path
    seal = read_seal(seal_of(path))
    assert seal is not None
    seal_of(path).write_bytes(replace(seal, proof=proof).text())
    assert artefacts.find(DIGEST, ENGINE) is None


def test_a_directory_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    place = tmp_path / "plugins"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(ArtefactsUnusable, match="chmod 700"):
        Artefacts(place).put(DIGEST, ENGINE, CODE)


def test_one_beside_the_plugin_that_nobody_trusted_signed_is_not_taken(
    artefacts: Artefacts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = tmp_path / "units.cwasm"
    wasm = tmp_path / "units.wasm"
    assert artefacts.find(DIGEST, ENGINE, wasm) is None
    assert not caplog.messages
    foreign.write_bytes(CODE)
    assert artefacts.find(DIGEST, ENGINE, wasm) is None
    assert caplog.messages == [f"plugin_artefact_ignored path={foreign} reason=it has no seal that could be read"]
    sealed = Seal(DIGEST, sha256_of(CODE), ENGINE, "", "ed25519:" + "A" * 43 + "=:" + "A" * 86 + "==")
    for seal, message in (
        (None, "has no `units.cwasm.seal`"),
        (replace(sealed, wasm=OTHER), "was made of another plugin"),
        (replace(sealed, engine="old"), "was made for another engine"),
        (replace(sealed, proof="hmac:" + "0" * 64), "was not compiled on this box"),
        (sealed, "`plugins.trusted_keys` does not name"),
    ):
        if seal is not None:
            seal_of(foreign).write_bytes(seal.text())
        with pytest.raises(ArtefactRefused) as caught:
            artefacts.take_in(foreign, DIGEST, ENGINE)
        assert message in str(caught.value)
        assert artefacts.find(DIGEST, ENGINE, wasm) is None


def test_another_engine_s_and_unfinished_ones_are_swept_and_the_others_stay(artefacts: Artefacts) -> None:
    current = artefacts.put(DIGEST, ENGINE, CODE).path
    unsealed = artefacts.put(OTHER, ENGINE, CODE).path
    seal_of(unsealed).unlink()
    old = artefacts.put(DIGEST, "engine of last year", CODE).path
    abandoned = artefacts.directory / ".x.cwasm.1.1.new"
    abandoned.write_bytes(b"half")
    fresh = artefacts.directory / ".y.cwasm.1.1.new"
    fresh.write_bytes(b"half")
    artefacts.sweep(ENGINE)
    assert (old.exists(), seal_of(old).exists()) == (False, False)
    assert (current.exists(), unsealed.exists(), abandoned.exists(), fresh.exists()) == (True, True, True, True)
    long_ago = time.time() - 7200
    for path in (unsealed, abandoned, current):
        os.utime(path, (long_ago, long_ago))
    artefacts.sweep(ENGINE)
    assert (current.exists(), unsealed.exists(), abandoned.exists(), fresh.exists()) == (True, False, False, True)
    assert artefacts.find(DIGEST, ENGINE) is not None


def test_all_of_one_plugin_are_removed_and_those_of_another_stay(artefacts: Artefacts) -> None:
    artefacts.put(DIGEST, ENGINE, CODE)
    artefacts.put(DIGEST, "another", CODE)
    artefacts.put(OTHER, ENGINE, CODE)
    assert artefacts.remove(DIGEST) > 2 * len(CODE)
    assert artefacts.find(DIGEST, ENGINE) is None
    assert artefacts.find(OTHER, ENGINE) is not None


_PUTTING = """
import os, signal, sys
from pathlib import Path
from tidegate.sandbox.artefacts import Artefacts, sha256_of

left = int(sys.argv[2])

def counted(function):
    def stepped(*args, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return function(*args, **named)
    return stepped

artefacts = Artefacts(Path(sys.argv[1]))
for owner, name in ((os, "open"), (os, "fsync"), (os, "link"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
    setattr(owner, name, counted(getattr(owner, name)))
artefacts.put(sha256_of(b"wasm"), "engine", b"n" * 300_000)
"""


@pytest.mark.parametrize("before", [None, CODE])
def test_a_process_that_is_killed_at_any_step_leaves_a_valid_one_or_none(tmp_path: Path, before: bytes | None) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(tidegate.__file__).parents[1])}
    outcomes = set()
    for steps in range(100):
        artefacts = Artefacts(tmp_path / str(steps))
        if before is not None:
            artefacts.put(DIGEST, "engine", before)
        command = [sys.executable, "-S", "-c", _PUTTING, str(artefacts.directory), str(steps)]
        status = subprocess.run(command, env=environment, check=False).returncode
        found = artefacts.find(DIGEST, "engine")
        code = None if found is None else found.path.read_bytes()
        assert code in (None, before, b"n" * 300_000)
        if found is not None:
            assert hashlib.sha256(code or b"").digest() == found.sha256
        outcomes.add(code)
        artefacts.put(DIGEST, "engine", CODE)
        assert artefacts.find(DIGEST, "engine") is not None
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert steps > 6
    assert outcomes == {None, before, b"n" * 300_000}


def test_they_are_kept_beneath_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_STATE", "/var/lib/x")
    assert plugins_directory() == Path("/var/lib/x/plugins")
    monkeypatch.setenv("TIDEGATE_STATE", "")
    assert plugins_directory() is None
