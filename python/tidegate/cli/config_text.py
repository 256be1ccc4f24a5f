"""The text of `tidegate.toml` as actions change it: read, written back whole, taken up by the gateway that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tidegate.cli.home import Home
from tidegate.cli.refused import Refused
from tidegate.config.atomic_file import write_atomically
from tidegate.config.embedded import default_snapshot
from tidegate.config.snapshot import Backend
from tidegate.config.toml_edit import TomlText

_RELOAD_TIMEOUT_S: Final = 90.0


def keep_defaults(text: TomlText, home: Home, but: str) -> None:
    """Writes out what there is by default, but for `but`, where a first table of `backends` would make it go.

    Raises: NotEditable.
    """
    if not names_backends(home):
        for backend in default_snapshot().backends:
            if backend.name != but:
                text.set(("backends", backend.name), written_out(backend))


def written_out(backend: Backend) -> dict[str, Any]:
    """One of those that are there by default, as a table."""
    table: dict[str, Any]
    if backend.plugin is not None:
        table = {"wasm": backend.plugin.file}
    elif backend.models:
        table = {"models": [{"path": model.path} for model in backend.models]}
    else:
        table = {"builtin": backend.address}
    return table if backend.prefix is None else {**table, "prefix": backend.prefix}


def names_backends(home: Home) -> bool:
    """Whether what is there by default is out of force, by one of the files."""
    from tidegate.config.document import merge, read_document

    return "backends" in merge(read_document(file) for file in home.files if Path(file).exists()).tree


def read_config(path: Path) -> str | None:
    """Raises: Refused."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise Refused(f"`{path}` is no UTF-8 text") from error
    except OSError as error:
        raise Refused(f"`{path}` cannot be read: {error.strerror}") from error


def write_config(path: Path, before: str | None, after: str) -> None:
    """Raises: Refused."""
    if read_config(path) != before:
        raise Refused(f"`{path}` was changed by somebody else meanwhile; try again")
    try:
        write_atomically(str(path), after)
    except OSError as error:
        raise Refused(f"`{error.filename or path}` cannot be written: {error.strerror}") from error


def reloaded(home: Home, config: str) -> str:
    """Has the running gateway take it up; what came of it, in words."""
    if home.running is None:
        return f"no running gateway uses it; `tidegate serve --config {config}` starts one"
    from tidegate.cli.admin_listener import Unanswered, tell

    try:
        status, outcome, _ = tell(home.running.admin, "/reload", _RELOAD_TIMEOUT_S)
    except Unanswered as error:
        return f"the running gateway was not told: {error}"
    if status != 200:
        return f"the running gateway refuses it: {outcome.get('error')}"
    return "the running gateway has taken it up"
