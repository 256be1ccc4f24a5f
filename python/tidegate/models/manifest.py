"""`model.toml`: what a model is, what it takes and gives, and what its files must be.

Written by whoever ships a model; read as untrusted. Sizes, counts and names are bounded here; whether the files are
what this says is `files.py`, whether the settings make sense is the task's.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from tidegate.config.shipped_models import MANIFEST
from tidegate.config.untrusted_toml import NotAcceptable, read_untrusted
from tidegate.errors import ModelRefused

MAX_MANIFEST_BYTES: Final = 256 * 1024

_MAX_FILES: Final = 32
_MAX_TENSORS: Final = 64
"""Inputs, or outputs, of one file."""
_MAX_RANK: Final = 16
_MAX_PACKAGES: Final = 32
_MAX_TEXT: Final = 16 * 1024
"""Characters of a description; models read all of them at every turn."""
_MAX_LINE: Final = 256
"""Characters of a title, a licence, a version."""
_MAX_PATH: Final = 1024
_MAX_DIMENSION: Final = 1 << 31

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_TASK: Final = re.compile(r"[a-z][a-z-]{0,31}")
_TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_IMPORT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PACKAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION: Final = re.compile(r"[0-9A-Za-z.+_-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DTYPE: Final = re.compile(r"[a-z][a-z0-9_]{1,31}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output as the model must declare it. -1 in a shape: any size."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file, by the part it plays for the task (`model`, `tokenizer`, `detector`, …)."""

    role: str
    path: str
    """Relative to the folder of the manifest, or of the package; never leaves it."""
    sha256: str
    """64 lower-case hexadecimal digits."""
    package: str = ""
    """An installed Python package that carries it, by its import name; empty: the manifest's folder."""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    """Empty: not checked."""


@dataclass(frozen=True, slots=True)
class ToolWords:
    """What one of the task's tools is called for this model. Empty: as the task has it."""

    name: str = ""
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What it needs; the operator's bounds win."""

    memory_bytes: int = 256 * 1024 * 1024
    """Of the worker while it is loaded, for its share of the budget."""
    deadline_ms: int = 60_000
    """For one call from its start."""
    input_bytes: int = 4 * 1024 * 1024
    """Of one call's decoded input."""
    batch: int = 8
    """Jobs computed together, by weight."""
    batch_wait_ms: float = 2.0
    """How long the first of a batch waits for others, at most, while the model is free."""
    queue: int = 256
    """Calls that may wait."""


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """A whole `model.toml`."""

    name: str
    version: str
    description: str
    licence: str
    task: str
    files: tuple[ModelFile, ...]
    folder: Path
    """Where the manifest stands."""
    digest: str
    """`sha256:` of the manifest's bytes: what a configuration pins."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The task's: pre- and post-processing, labels, thresholds."""
    tools: dict[str, ToolWords] = field(default_factory=dict)
    """By the task's own name of the tool."""
    limits: ModelLimits = field(default_factory=ModelLimits)
    install: tuple[str, ...] = ()
    """Python packages that it needs, for the sentence that says what is missing."""

    def file(self, role: str) -> ModelFile:
        """Raises: ModelRefused, when the task needs one of this role and none is named."""
        found = next((file for file in self.files if file.role == role), None)
        if found is None:
            raise ModelRefused(f"model `{self.name}`: the task `{self.task}` needs `[files.{role}]`")
        return found


class BrokenManifest(ValueError):
    """It cannot be used. The message names the key and what was expected, for whoever ships the model."""


def read_manifest(folder: Path, digest: str = "") -> ModelManifest:
    """The manifest in `folder`; with a `digest`, only if its bytes have it. Raises: ModelRefused."""
    place = folder / MANIFEST
    try:
        text = _read(place)
        found = digest_of(text)
        if digest and found != digest:
            if _DIGEST.fullmatch(digest) is None:
                raise BrokenManifest(f"the pinned digest `{digest[:80]}` is not `sha256:` and 64 hexadecimal digits")
            raise BrokenManifest(f"its digest is `{found}`, and pinned is `{digest}`")
        return parse_manifest(text, folder)
    except OSError as error:
        raise ModelRefused(f"model `{place}` is refused: it cannot be read: {error.strerror}") from error
    except BrokenManifest as error:
        raise ModelRefused(f"model `{place}` is refused: {error}") from error


def digest_of(text: bytes) -> str:
    return "sha256:" + hashlib.sha256(text).hexdigest()


def parse_manifest(text: bytes, folder: Path) -> ModelManifest:
    """Raises: BrokenManifest, whatever the bytes are."""
    try:
        tree = read_untrusted(text, MAX_MANIFEST_BYTES)
    except NotAcceptable as error:
        raise BrokenManifest(str(error)) from error
    known = "name version description licence task install files settings tools limits"
    _known(tree, "", known.split())
    files = _table(tree, "files")
    if len(files) > _MAX_FILES:
        raise BrokenManifest(f"`files`: expected at most {_MAX_FILES}")
    return ModelManifest(
        name=_matching(tree, "name", _NAME, "at most 64 lower-case letters, digits, `-` and `_`"),
        version=_matching(tree, "version", _VERSION, "a version such as `1.0.0`"),
        description=_text(tree, "description", "", most=_MAX_TEXT),
        licence=_text(tree, "licence", ""),
        task=_matching(tree, "task", _TASK, "the name of a task, such as `embedding`"),
        files=tuple(_file(role, files) for role in files),
        folder=folder,
        digest=digest_of(text),
        settings=_table(tree, "settings"),
        tools=_tools(tree),
        limits=_limits(tree),
        install=_install(tree),
    )


def _read(place: Path) -> bytes:
    """Nothing but a plain file, and not more of it than may be. Raises: OSError, BrokenManifest."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BrokenManifest("it is no plain file")
        return stream.read(MAX_MANIFEST_BYTES + 1)


def _file(role: str, files: Mapping[str, Any]) -> ModelFile:
    place = f"files.{role}"
    if _ROLE.fullmatch(role) is None:
        raise BrokenManifest(f"`files`: `{role[:64]}` is no role; expected at most 32 lower-case letters and digits")
    table = _table(files, role, "files.")
    _known(table, f"{place}.", ("package", "path", "sha256", "inputs", "outputs"))
    package = _text(table, "package", "", f"{place}.")
    if package and _IMPORT_NAME.fullmatch(package) is None:
        raise BrokenManifest(f"`{place}.package`: expected the import name of a package, without dots")
    path = _text(table, "path", None, f"{place}.", most=_MAX_PATH)
    if not is_inner_path(path):
        raise BrokenManifest(f"`{place}.path`: expected a path below the folder, with neither `..` nor a leading `/`")
    return ModelFile(
        role=role,
        path=path,
        sha256=_matching(table, "sha256", _SHA256, "64 lower-case hexadecimal digits", f"{place}."),
        package=package,
        inputs=_tensors(table, "inputs", place),
        outputs=_tensors(table, "outputs", place),
    )


def is_inner_path(path: str) -> bool:
    """Whether it stays below the folder that it is relative to, as far as its text tells."""
    return (
        bool(path)
        and all(char.isprintable() for char in path)
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def _tensors(table: Mapping[str, Any], key: str, place: str) -> tuple[Tensor, ...]:
    value = table.get(key, [])
    at = f"{place}.{key}"
    if not isinstance(value, list) or len(value) > _MAX_TENSORS or not all(isinstance(item, dict) for item in value):
        raise BrokenManifest(f"`{at}`: expected a list of at most {_MAX_TENSORS} tables")
    found = []
    for number, item in enumerate(value):
        where = f"{at}[{number}]."
        _known(item, where, ("name", "dtype", "shape"))
        shape = item.get("shape")
        if (
            not isinstance(shape, list)
            or len(shape) > _MAX_RANK
            or not all(type(size) is int and -1 <= size <= _MAX_DIMENSION for size in shape)
        ):
            raise BrokenManifest(f"`{where}shape`: expected at most {_MAX_RANK} sizes, -1 for any")
        name = _text(item, "name", None, where)
        found.append(Tensor(name, _matching(item, "dtype", _DTYPE, "a type such as `float32`", where), tuple(shape)))
    if len({tensor.name for tensor in found}) < len(found):
        raise BrokenManifest(f"`{at}`: expected each name once")
    return tuple(found)


def _tools(tree: Mapping[str, Any]) -> dict[str, ToolWords]:
    found: dict[str, ToolWords] = {}
    tables = _table(tree, "tools")
    for tool in tables:
        if _TOOL_NAME.fullmatch(tool) is None or len(tables) > _MAX_FILES:
            raise BrokenManifest(f"`tools`: expected at most {_MAX_FILES} tables, each named after a tool of the task")
        place = f"tools.{tool}."
        table = _table(tables, tool, "tools.")
        _known(table, place, ("name", "title", "description"))
        name = _text(table, "name", "", place)
        if name and _TOOL_NAME.fullmatch(name) is None:
            raise BrokenManifest(f"`{place}name`: expected at most 64 letters, digits, `_`, `-` and `.`")
        found[tool] = ToolWords(
            name, _text(table, "title", "", place), _text(table, "description", "", place, most=_MAX_TEXT)
        )
    return found


_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "memory_bytes": (0, 1 << 40),
    "deadline_ms": (1, 86_400_000),
    "input_bytes": (1, 1 << 31),
    "batch": (1, 4096),
    "batch_wait_ms": (0, 1000),
    "queue": (1, 65_536),
}
"""What each limit may be."""


def _limits(tree: Mapping[str, Any]) -> ModelLimits:
    table = _table(tree, "limits")
    _known(table, "limits.", [one.name for one in fields(ModelLimits)])
    for key, value in table.items():
        low, high = _BOUNDS[key]
        kinds = (int, float) if key == "batch_wait_ms" else (int,)
        if type(value) not in kinds or not low <= value <= high:
            raise BrokenManifest(f"`limits.{key}`: expected a number from {low:g} to {high:.15g}")
    return ModelLimits(**table)


def _install(tree: Mapping[str, Any]) -> tuple[str, ...]:
    value = tree.get("install", [])
    if (
        not isinstance(value, list)
        or len(value) > _MAX_PACKAGES
        or not all(isinstance(one, str) and _PACKAGE.fullmatch(one) for one in value)
    ):
        raise BrokenManifest(f"`install`: expected a list of at most {_MAX_PACKAGES} names of Python packages")
    return tuple(value)


def _known(table: Mapping[str, Any], place: str, known: list[str] | tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise BrokenManifest(f"`{place}{key[:64]}`: no such key; expected {', '.join(f'`{one}`' for one in known)}")


def _table(table: Mapping[str, Any], key: str, place: str = "") -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise BrokenManifest(f"`{place}{key}`: expected a table")
    return value


def _text(table: Mapping[str, Any], key: str, default: str | None, place: str = "", *, most: int = _MAX_LINE) -> str:
    """`default` None: it must be there."""
    value = table.get(key, default)
    if not isinstance(value, str) or len(value) > most or (default is None and not value):
        raise BrokenManifest(f"`{place}{key}`: expected text of at most {most} characters")
    return value


def _matching(table: Mapping[str, Any], key: str, pattern: re.Pattern[str], expected: str, place: str = "") -> str:
    value = table.get(key)
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise BrokenManifest(f"`{place}{key}`: expected {expected}")
    return value
