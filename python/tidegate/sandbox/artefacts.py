"""Plugins compiled to machine code, kept on disk, and why one of them may be run.

Machine code is trusted by whoever runs it, so each artefact has a seal beside it that binds its digest to that of the
WASM it was made of, to the engine and to the target. A seal is made with a key that only this box has, or signed by
somebody the configuration names. What is not sealed so is as good as not there. A file is written whole before its
seal is: a process that is killed between the two, or a power cut, leaves something that is compiled again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger("tidegate.sandbox")

SUFFIX: Final = ".cwasm"
_SEAL_SUFFIX: Final = ".seal"
_KEY: Final = "seal.key"
_KEY_BYTES: Final = 32
_MAX_SEAL_BYTES: Final = 4096
_MAX_ARTEFACT_BYTES: Final = 256 * 1024 * 1024
"""Four times the largest plugin."""

_MAX_KEPT: Final = 64
"""Artefacts; a box with more plugins than this compiles some of them again after a start."""

_ABANDONED_S: Final = 3600.0
"""What is half written and older than this was written by a process that is gone."""

_DOMAIN: Final = b"tidegate plugin artefact 1\n"
_numbers = itertools.count(1)


class ArtefactRefused(ValueError):
    """A precompiled file that must not be run. The message says why, for a person."""


class ArtefactsUnusable(OSError):
    """There is no place that is safe to keep them in."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One that may be run."""

    path: Path
    sha256: bytes
    """Of what was found there when it was looked at; whoever maps it compares."""
    signed_by: str = ""
    """The trusted key, or empty for one that was compiled here."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What is said of an artefact, and by whom."""

    wasm: str
    """`sha256:…` of the plugin."""
    artefact: str
    """`sha256:…` of the machine code."""
    engine: str
    target: str
    """Empty for the box it was made on."""
    proof: str
    """`hmac:HEX`, or `ed25519:PUBLIC:SIGNATURE` in Base64."""

    def message(self) -> bytes:
        """What is sealed or signed."""
        return sealed_message(self.wasm, self.artefact, self.engine, self.target)

    def text(self) -> bytes:
        values = {"wasm": self.wasm, "artefact": self.artefact, "engine": self.engine}
        return (json.dumps({**values, "target": self.target, "proof": self.proof}, indent=1) + "\n").encode()


def sealed_message(wasm: str, artefact: str, engine: str, target: str) -> bytes:
    """The bytes that a proof is about. JSON keeps the four apart."""
    return _DOMAIN + json.dumps([wasm, artefact, engine, target]).encode()


def sha256_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha256_of_file(path: Path) -> str:
    """Raises: OSError."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def seal_path(code: Path) -> Path:
    """Where the seal of machine code is."""
    return code.with_name(code.name + _SEAL_SUFFIX)


def read_seal(path: Path) -> Seal | None:
    """The seal in a file, or None where there is none that could be read. What it claims is still to be checked."""
    text = _read(path, _MAX_SEAL_BYTES)
    try:
        values: Any = json.loads(text) if text is not None else None
    except (ValueError, RecursionError):
        return None
    keys = ("wasm", "artefact", "engine", "target", "proof")
    if not isinstance(values, dict) or not all(isinstance(values.get(key), str) for key in keys):
        return None
    return Seal(**{key: values[key] for key in keys})


def signed_seal(code: Path) -> Seal | None:
    """That of machine code from elsewhere. Seals of other kinds are of no use outside the place they were made for."""
    seal = read_seal(seal_path(code))
    return seal if seal is not None and seal.proof.startswith("ed25519:") else None


def signed(wasm: str, code: bytes, engine: str, target: str, secret: bytes, public: bytes) -> Seal:
    """A seal that another box takes when it trusts `public`. Needs the native sandbox."""
    from tidegate import _sandbox

    artefact = sha256_of(code)
    signature = _sandbox.sign(secret, sealed_message(wasm, artefact, engine, target))
    coded = base64.b64encode(signature).decode()
    return Seal(wasm, artefact, engine, target, f"{shown_key(public)}:{coded}")


def shown_key(public: bytes) -> str:
    """A public key as `plugins.trusted_keys` has it."""
    return f"ed25519:{base64.b64encode(public).decode()}"


class Artefacts:
    """Those in one directory, which is made when the first is put there."""

    def __init__(self, directory: Path, trusted_keys: Collection[str] = ()) -> None:
        self.directory = directory
        self._trusted_keys = frozenset(trusted_keys)

    def find(self, digest: str, engine: str, beside: Path | None = None) -> Artefact | None:
        """The artefact of the plugin with this digest for this engine, or None when it has to be compiled.

        `beside` is the `.wasm` file: one that was precompiled elsewhere may lie there as `NAME.cwasm` with its seal.
        It is copied, so that nobody who may write there can change it afterwards.
        """
        path = self._path(digest, engine)
        if found := self._judged(path, digest, engine):
            return found
        if beside is None:
            return None
        foreign = beside.with_suffix(SUFFIX)
        if signed_seal(foreign) is None:
            if foreign.exists() and read_seal(seal_path(foreign)) is None:
                _log.warning("plugin_artefact_ignored path=%s reason=it has no seal that could be read", foreign)
            return None
        try:
            return self.take_in(foreign, digest, engine)
        except (ArtefactRefused, OSError) as error:
            _log.warning("plugin_artefact_ignored path=%s reason=%s", foreign, error)
            return None

    def put(self, digest: str, engine: str, code: bytes, target: str = "") -> Artefact:
        """Keeps what was compiled here. Raises: OSError."""
        self._prepare()
        artefact = sha256_of(code)
        message = sealed_message(digest, artefact, engine, target)
        proof = f"hmac:{hmac.new(self._key(), message, hashlib.sha256).hexdigest()}"
        return self._keep(Seal(digest, artefact, engine, target, proof), code)

    def take_in(self, foreign: Path, digest: str, engine: str) -> Artefact:
        """Keeps a copy of one that was compiled elsewhere and signed by a trusted key.

        Raises: ArtefactRefused, OSError.
        """
        seal = read_seal(seal_path(foreign))
        if seal is None:
            raise ArtefactRefused(f"`{foreign.name}` has no `{seal_path(foreign).name}` that could be read beside it")
        if seal.wasm != digest:
            raise ArtefactRefused(f"`{foreign.name}` was made of another plugin, {seal.wasm}")
        if seal.engine != engine:
            raise ArtefactRefused(
                f"`{foreign.name}` was made for another engine (`{seal.engine}`, this one is `{engine}`); compile it "
                "with the version of tidegate that runs here"
            )
        self._check_proof(seal)  # before what may be large is read
        code = _read(foreign, _MAX_ARTEFACT_BYTES)
        if code is None or sha256_of(code) != seal.artefact:
            raise ArtefactRefused(f"`{foreign.name}` is not what its seal says")
        self._prepare()
        return self._keep(seal, code)

    def remove(self, digest: str) -> int:
        """Removes every artefact of a plugin; how many bytes that freed."""
        freed = 0
        for path in self._all():
            if path.name.startswith(f"{_hex(digest)}-"):
                freed += self._drop(path)
        return freed

    def sweep(self, engine: str) -> int:
        """Removes what another engine left and what was never finished; how many bytes that freed."""
        freed = 0
        kept: list[tuple[float, Path]] = []
        for path in self._all():
            age_s = _age_s(path)
            if path.stem.endswith(f"-{_engine_hex(engine)}") and (seal_path(path).exists() or age_s < _ABANDONED_S):
                kept.append((age_s, path))
            else:
                freed += self._drop(path)
        for _, path in sorted(kept)[_MAX_KEPT:]:
            freed += self._drop(path)
        with suppress(OSError):
            for path in self.directory.glob(".*.new"):
                if _age_s(path) > _ABANDONED_S:
                    freed += _unlink(path)
        return freed

    def _all(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from sorted(self.directory.glob(f"*{SUFFIX}"))

    def _drop(self, path: Path) -> int:
        """The seal first: without it, the rest is nothing."""
        return _unlink(seal_path(path)) + _unlink(path)

    def _path(self, digest: str, engine: str) -> Path:
        return self.directory / f"{_hex(digest)}-{_engine_hex(engine)}{SUFFIX}"

    def _judged(self, path: Path, digest: str, engine: str) -> Artefact | None:
        seal = read_seal(seal_path(path))
        if seal is None or seal.wasm != digest or seal.engine != engine or not self._is_private():
            return None
        try:
            signer = self._check_proof(seal)
            found = sha256_of_file(path)
        except (ArtefactRefused, OSError) as error:
            _log.warning("plugin_artefact_ignored path=%s reason=%s", path, error)
            return None
        if found != seal.artefact:
            _log.warning("plugin_artefact_ignored path=%s reason=it is not what its seal says", path)
            return None
        return Artefact(path, bytes.fromhex(_hex(found)), signer)

    def _check_proof(self, seal: Seal) -> str:
        """The key that signed it, or empty for our own. Raises: ArtefactRefused, OSError."""
        kind, _, rest = seal.proof.partition(":")
        if kind == "hmac":
            key = self._read_key()
            if key is None or not hmac.compare_digest(
                hmac.new(key, seal.message(), hashlib.sha256).hexdigest().encode(), rest.encode()
            ):
                raise ArtefactRefused("it was not compiled on this box by this user, and is not signed")
            return ""
        public, _, coded = rest.partition(":")
        name = f"{kind}:{public}"
        if name not in self._trusted_keys:
            raise ArtefactRefused(f"it is signed by `{name}`, which `plugins.trusted_keys` does not name")
        from tidegate import _sandbox

        try:
            usable = kind == "ed25519" and _sandbox.verify(
                base64.b64decode(public, validate=True), seal.message(), base64.b64decode(coded, validate=True)
            )
        except ValueError:
            usable = False
        if not usable:
            raise ArtefactRefused(f"its signature by `{name}` does not hold")
        return name

    def _keep(self, seal: Seal, code: bytes) -> Artefact:
        path = self._path(seal.wasm, seal.engine)
        beside = seal_path(path)
        if beside.exists() and read_seal(beside) != seal:
            _unlink(beside)  # that of what is about to go
        self._write(path, code)
        self._write(beside, seal.text())
        signer = "" if seal.proof.startswith("hmac:") else seal.proof.rpartition(":")[0]
        return Artefact(path, bytes.fromhex(_hex(seal.artefact)), signer)

    def _write(self, path: Path, data: bytes) -> None:
        """Whole or not at all, on the disk before it has its name. Raises: OSError."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            _unlink(temporary)
            raise

    def _prepare(self) -> None:
        """Raises: OSError; ArtefactsUnusable where others could write."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_private():
            raise ArtefactsUnusable(
                f"`{self.directory}` is not a directory that only this user can write to, and what is in it is run; "
                f"`chmod 700 {self.directory}` or remove it"
            )

    def _is_private(self) -> bool:
        try:
            found = self.directory.stat()
        except OSError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022

    def _read_key(self) -> bytes | None:
        """The key of this box, or None. One that others could have read is as good as none."""
        path = self.directory / _KEY
        try:
            found = path.lstat()
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None
        key = _read(path, _KEY_BYTES)
        return key if key is not None and len(key) == _KEY_BYTES else None

    def _key(self) -> bytes:
        """As above, made when there is none. Raises: OSError."""
        while (key := self._read_key()) is None:
            path = self.directory / _KEY
            temporary = path.with_name(f".{_KEY}.{os.getpid()}.{next(_numbers)}.new")
            self._write(temporary, secrets.token_bytes(_KEY_BYTES))
            try:
                os.link(temporary, path)  # two may do this at once; the first one's stays
            except FileExistsError:
                if self._read_key() is None:
                    temporary.replace(path)
            finally:
                _unlink(temporary)
        return key


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _engine_hex(engine: str) -> str:
    return hashlib.sha256(engine.encode()).hexdigest()[:16]


def _age_s(path: Path) -> float:
    """By the file system's clock, which other processes wrote by."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _unlink(path: Path) -> int:
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size


def _read(path: Path, most: int) -> bytes | None:
    """A regular file of at most so many bytes, or None."""
    try:
        # A FIFO or a device in its place would never end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = stream.read(most + 1)
    except OSError:
        return None
    return data if len(data) <= most else None
