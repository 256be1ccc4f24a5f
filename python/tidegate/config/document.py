"""One configuration file as a tree of plain values in the layout of `tidegate.toml`, and where each key stands.

Both kinds end up here: `tidegate.toml` as it is, the files of desktop hosts (JSON, and the TOML of Codex) through
`foreign.py`. Nothing is validated beyond the syntax; `merge` lays several documents over each other.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tidegate.config.locate import KeyPath, Lines, locate_json, locate_toml, without_json_comments
from tidegate.config.problems import Problem

Tree = dict[str, Any]

MAX_FILE_BYTES: Final = 1024 * 1024
"""No configuration of a small box is larger; a wrong path (a log, a database) is refused before it is parsed."""

REACH_KEYS: Final = ("command", "url", "tcp", "unix", "builtin", "wasm", "models", "openai")
"""The ways to reach a backend; a table has exactly one of them."""

PLUGIN_KEYS: Final = ("digest", "grants", "settings", "bounds")
"""What goes with `wasm` and with nothing else."""

OPENAI_KEYS: Final = ("chat_model", "embedding_model")
"""What goes with `openai` and with nothing else."""

_TOML_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key was written."""

    file: str
    line: int
    key: str
    """Dotted, as in that file: a desktop host's `mcpServers.files.command`, not our `backends.files.command`."""

    def problem(self, message: str) -> Problem:
        return Problem(self.file, self.line, self.key, message)


@dataclass(slots=True)
class Document:
    """One file, or several merged."""

    files: tuple[str, ...]
    tree: Tree = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    """Not wrong, but perhaps not meant."""

    def place(self, path: KeyPath) -> Place:
        """Of the key at `path`; a key that is missing stands where the nearest table around it does."""
        for length in range(len(path), 0, -1):
            if found := self.places.get(path[:length]):
                missing = "".join(f".{dotted((key,))}" for key in path[length:] if isinstance(key, str))
                return replace(found, key=found.key + missing) if missing else found
        return Place(self.files[-1] if len(self.files) == 1 else "", 0, dotted(path))


def dotted(path: KeyPath) -> str:
    """`backends.files.args[0]`; a key that TOML would quote is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
            text += f".{shown}" if text else shown
    return text


def names_file(wasm: str) -> bool:
    """Whether a `wasm` is a file, rather than the name of a plugin that comes with tidegate."""
    return "/" in wasm or wasm.endswith(".wasm")


def read_document(file: str) -> Document:
    """Reads and parses one file; anything that goes wrong is among its `problems`. Never raises for the file's sake."""
    document = Document((file,))
    text = _read_text(file, document)
    if text is None:
        return document
    if file.endswith((".json", ".jsonc")) or (not file.endswith(".toml") and text.lstrip().startswith("{")):
        _parse_json(file, text, document)
    else:
        _parse_toml(file, text, document)
    return document


def merge(documents: Iterable[Document]) -> Document:
    """Lays later documents over earlier ones: tables key by key, everything else whole.

    A later file that reaches a backend in another way replaces the earlier way, with what belonged to it: another
    plugin does not get what was granted to the first.
    """
    merged = Document(())
    for document in documents:
        merged.files += document.files
        merged.problems += document.problems
        merged.notes += document.notes
        merged.places |= document.places
        for section in ("backends", "filters"):
            below = merged.tree.get(section)
            later = document.tree.get(section)
            if isinstance(below, dict) and isinstance(later, dict):
                for name, table in later.items():
                    if isinstance(table, dict) and isinstance(below.get(name), dict):
                        _forget_reach(below[name], table)
        _lay_over(merged.tree, document.tree)
    return merged


def _forget_reach(table: Tree, later: Tree) -> None:
    chosen = [key for key in REACH_KEYS if key in later]
    if not chosen:
        return
    for key in (*REACH_KEYS, *PLUGIN_KEYS, *OPENAI_KEYS, "args", "transport"):
        table.pop(key, None)


def _lay_over(below: Tree, above: Mapping[str, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict):
            inner = below.get(key)
            below[key] = dict(inner) if isinstance(inner, dict) else {}
            _lay_over(below[key], value)
        else:
            below[key] = value


def _read_text(file: str, document: Document) -> str | None:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a usable path"
        document.problems.append(Problem(file, 0, "", f"cannot be read: {reason}"))
        return None
    if len(content) > MAX_FILE_BYTES:
        document.problems.append(Problem(file, 0, "", f"expected a file of at most {MAX_FILE_BYTES} bytes"))
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        document.problems.append(Problem(file, line, "", "expected UTF-8 text"))
        return None


def _parse_toml(file: str, text: str, document: Document) -> None:
    try:
        document.tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _TOML_PLACE.search(message)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        document.problems.append(Problem(file, line, "", f"not TOML: {_TOML_PLACE.sub('', message)}"))
        return
    except RecursionError:
        document.problems.append(Problem(file, 0, "", "not TOML that can be read: nested too deeply"))
        return
    except ValueError as error:  # a number with thousands of digits
        document.problems.append(Problem(file, 0, "", f"not TOML: {error}"))
        return
    document.places = _places(file, locate_toml(text))
    if "mcp_servers" in document.tree:  # Codex's own configuration
        from tidegate.config.foreign import adopt

        tree, places = document.tree, document.places
        document.tree, document.places = {}, {}
        adopt(tree, places, document)


def _parse_json(file: str, text: str, document: Document) -> None:
    from tidegate.config.foreign import adopt

    plain = without_json_comments(text)
    try:
        tree = json.loads(plain, parse_constant=_refuse_constant)
        lines, repeated = locate_json(plain)
    except json.JSONDecodeError as error:
        document.problems.append(Problem(file, error.lineno, "", f"not JSON: {error.msg}"))
        return
    except RecursionError:
        document.problems.append(Problem(file, 0, "", "not JSON that can be read: nested too deeply"))
        return
    except ValueError as error:
        document.problems.append(Problem(file, 0, "", f"not JSON: {error}"))
        return
    again = {path for path, _ in repeated}
    for path, line in repeated:
        if any(path[:length] in again for length in range(1, len(path))):
            continue
        document.problems.append(Problem(file, line, dotted(path), "expected each key once; it came before"))
    adopt(tree, _places(file, lines), document)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"`{name}` is not a JSON value")


def _places(file: str, lines: Lines) -> dict[KeyPath, Place]:
    return {path: Place(file, line, dotted(path)) for path, line in lines.items()}
