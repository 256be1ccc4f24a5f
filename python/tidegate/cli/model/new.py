"""`tidegate model new`: a folder with an ONNX, GGUF or fastText file of one's own and the `model.toml` about it.

What the file takes and gives is read by a process of its own; digests are computed; the rest is the task's, and has
defaults or is given by `--setting`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate.cli import exit_codes
from tidegate.cli.model.child import answer_of
from tidegate.cli.model.trying import tried
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import complain, say
from tidegate.config.atomic_file import write_atomically
from tidegate.config.read import child_environment
from tidegate.config.shipped_models import MANIFEST
from tidegate.config.snapshot import Model, Snapshot
from tidegate.config.toml_text import toml_value
from tidegate.errors import ModelFailed
from tidegate.models.catalogue import TASKS, make_task
from tidegate.models.manifest import BrokenManifest, is_inner_path, parse_manifest, read_manifest

_ROLE: Final = re.compile(r"([a-z][a-z0-9_-]{0,31})=(.+)")
_FASTTEXT: Final = (".ftz", ".bin")
_TEXT_TASKS: Final = ("embedding", "text-classification")
_MIB: Final = 1 << 20
_IMAGE_TASKS: Final = ("image-classification", "text-recognition")

_EPILOG: Final = f"""\
examples:
  tidegate model new doctype --task image-classification --file doctype.onnx --labels labels.txt
  tidegate model new forecast --task tensor --file forecast.onnx
  tidegate model new meaning --task embedding --file model.onnx --file tokenizer=tokenizer.json
  tidegate model new talk --task chat --file SmolLM2-360M.gguf --setting context=4096

  A file is copied into the folder, unless it is there. `--file ROLE=PATH` gives it another role than `model`; which
  roles and settings a task knows is in docs/models.md, and what it does not know is refused.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}
Exit code {exit_codes.FAILED} also means that the folder was written, and cannot be loaded yet: it says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, and its part in the model."""

    role: str
    source: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a model.toml for a model file of your own, with digests and what the file declares."
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", help="where; its last part is the model's name")
    tasks = sorted(TASKS)
    parser.add_argument(
        "--task", choices=tasks, metavar="TASK", required=True, help=f"what it is for: {', '.join(tasks)}"
    )
    parser.add_argument(
        "--file", action="append", metavar="[ROLE=]FILE", required=True, help="of the model; may be repeated"
    )
    parser.add_argument("--name", metavar="NAME", help="of the model, if not that of the directory")
    parser.add_argument("--licence", metavar="WORDS", default="", help="under which it may be used")
    parser.add_argument("--description", metavar="WORDS", default="", help="what it does, for people and for models")
    parser.add_argument("--labels", metavar="FILE", help="the names of its classes, a line each, in their order")
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--no-try", action="store_true", help="do not load it to see whether it can be")
    parser.add_argument("--quiet", action="store_true", help="do not show progress")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.directory)
    parts = _parts(args.file)
    settings = _settings(args)
    if (folder / MANIFEST).exists():
        raise Refused(f"`{folder / MANIFEST}` is there; change it, or give another directory")
    inner = {part.role: _inner_path(part, folder) for part in parts}
    declared = {part.role: _declared(part, args.quiet) for part in parts if _is_model(part.source)}
    text = _text(args, folder, parts, inner, declared, settings)
    try:
        # What the task makes of settings and roles: nothing is opened for that, and nothing written before it is right.
        make_task(parse_manifest(text.encode(), folder), lambda role: folder / inner[role])
    except (BrokenManifest, ModelFailed) as error:
        raise Refused(f"{error}; nothing was written", exit_codes.USAGE) from error
    _write(folder, parts, inner, text)
    return _tried(args, folder)


def _parts(words: Sequence[str]) -> list[Part]:
    """Raises: Refused."""
    parts: list[Part] = []
    for word in words:
        found = _ROLE.fullmatch(word)
        part = Part(found[1], Path(found[2])) if found else Part("model", Path(word))
        if part.role in {one.role for one in parts}:
            raise Refused(
                f"`{word}`: there is a `{part.role}` already; `--file ROLE={word}` gives it another role",
                exit_codes.USAGE,
            )
        if not part.source.is_file():
            raise Refused(f"`{part.source}` is no file")
        parts.append(part)
    return parts


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """Raises: Refused."""
    settings: dict[str, Any] = {}
    for word in args.setting:
        key, equals, value = word.partition("=")
        if not equals or re.fullmatch(r"[A-Za-z0-9_-]+", key) is None:
            raise Refused(f"`--setting {word}`: expected `KEY=VALUE`", exit_codes.USAGE)
        try:
            settings[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = value
    if args.labels is not None:
        try:
            lines = Path(args.labels).read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"`{args.labels}` cannot be read: {getattr(error, 'strerror', None) or error}") from error
        settings["labels"] = [line.strip() for line in lines if line.strip()]
    return settings


def _inner_path(part: Part, folder: Path) -> str:
    """Where in the folder it is, or will be. Raises: Refused."""
    source, home = (Path(os.path.normpath(path.absolute())) for path in (part.source, folder))
    path = str(source.relative_to(home)) if source.is_relative_to(home) else source.name
    if not is_inner_path(path):
        raise Refused(f"`{part.source}`: expected a name of printable characters", exit_codes.USAGE)
    return path


def _is_model(path: Path) -> bool:
    return path.suffix.lower() in (".onnx", ".gguf")


def _declared(part: Part, quiet: bool) -> dict[str, Any]:
    """What its file says of itself. Raises: Refused."""
    command = [sys.executable, "-P", "-m", "tidegate.models.declared", str(part.source.absolute())]
    name = part.source.name
    found = answer_of(command, child_environment(), name, "" if quiet else f"reading {name}")
    if "error" in found:
        raise Refused(str(found["error"]))
    if found.get("kind") == "onnx" and "inputs" not in found:
        say(f"onnxruntime is not installed, so what `{name}` takes and gives is not written down")
    return found


def _text(
    args: argparse.Namespace,
    folder: Path,
    parts: Sequence[Part],
    inner: dict[str, str],
    declared: dict[str, dict[str, Any]],
    settings: dict[str, Any],
) -> str:
    """Raises: Refused."""
    name = args.name or folder.absolute().name
    lines = [
        f"# Written by `tidegate model new`. After a change: `tidegate model add {_named(folder)} --replace`.",
        f"name = {toml_value(name)}",
        'version = "1"',
        f"description = {toml_value(args.description)}",
        f"licence = {toml_value(args.licence)}",
        f"task = {toml_value(args.task)}",
        f"install = {toml_value(_packages(args.task, parts))}",
    ]
    for part in parts:
        lines += ["", f"[files.{part.role}]", f"path = {toml_value(inner[part.role])}"]
        lines.append(f"sha256 = {toml_value(_sha256(part.source))}")
        for key in ("inputs", "outputs"):
            lines += _tensors(key, declared.get(part.role, {}).get(key))
    lines += ["", "[limits]", "# Of the worker while it is loaded.", f"memory_bytes = {_guessed_bytes(parts)}"]
    lines += ["", "[settings]", *(f"{key} = {toml_value(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _guessed_bytes(parts: Sequence[Part]) -> int:
    """Until it was loaded once."""
    size = sum(part.source.stat().st_size for part in parts)
    return 512 * _MIB + (2 if any(part.source.suffix.lower() == ".gguf" for part in parts) else 8) * size


def _tensors(key: str, tensors: list[dict[str, Any]] | None) -> list[str]:
    return [f"{key} = [", *(f"  {toml_value(one)}," for one in tensors), "]"] if tensors else []


def _packages(task: str, parts: Sequence[Part]) -> list[str]:
    endings = {part.source.suffix.lower() for part in parts if part.role == "model"}
    if task == "chat" or ".gguf" in endings:
        return ["xllamacpp"]
    if endings & {*_FASTTEXT}:
        return ["fasttext-predict"]
    more = ["tokenizers"] if task in _TEXT_TASKS else ["pillow"] if task in _IMAGE_TASKS else []
    return ["onnxruntime", "numpy", *more]


def _sha256(path: Path) -> str:
    """Raises: Refused."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Refused(f"`{path}` cannot be read: {error.strerror}") from error


def _write(folder: Path, parts: Sequence[Part], inner: dict[str, str], text: str) -> None:
    """The manifest last: a folder without one is no model. Raises: Refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            place = folder / inner[part.role]
            if not place.exists():
                shutil.copyfile(part.source, place)
            elif not place.samefile(part.source):
                raise Refused(f"`{place}` is there and is another file")
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"`{error.filename or folder}` cannot be written: {error.strerror}") from error


def _tried(args: argparse.Namespace, folder: Path) -> int:
    print(folder / MANIFEST)
    try:
        manifest = read_manifest(folder)
        model = Model(str(folder.absolute()), digest=manifest.digest)
        found = tried(model, manifest.name, Snapshot(), load=not args.no_try, quiet=args.quiet)
    except (Refused, ModelFailed) as error:
        complain(f"it cannot be loaded yet: {error}")
        return exit_codes.FAILED
    if found.memory_bytes is not None:
        _set_memory(folder, found.memory_bytes)
    say(f"its tools: {', '.join(str(one['name']) for one in found.tools)}")
    say(f"next: `tidegate model add {_named(folder)}`")
    return exit_codes.OK


def _named(folder: Path) -> str:
    """As `tidegate model add` takes it."""
    return str(folder) if "/" in str(folder) else f"./{folder}"


def _set_memory(folder: Path, measured: int) -> None:
    """What loading took, with room for computing. Raises: Refused."""
    needs = -(-(measured * 3 // 2 + 32 * _MIB) // _MIB) * _MIB
    try:
        text = (folder / MANIFEST).read_text("utf-8")
        changed = re.sub(r"(?m)^memory_bytes = .*$", f"memory_bytes = {needs}", text, count=1)
        write_atomically(str(folder / MANIFEST), changed)
    except OSError as error:
        raise Refused(f"`{folder / MANIFEST}` cannot be written: {error.strerror}") from error
