"""References to what must not stand in a configuration file: environment variables and file secrets.

`${NAME}`, `${NAME:-default}` and `${file:/path}` in the command, `args`, `env`, `cwd`, `url`, `openai`, `headers` and
`settings` of a backend, and in the `settings` of a filter; `$${` is a plain `${`. `${env:NAME}`, as VS Code and Cursor
spell it, is the same as `${NAME}`. What a reference resolves to is in no message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tidegate.config.document import Document, Tree
from tidegate.config.locate import KeyPath
from tidegate.config.problems import Problem
from tidegate.config.snapshot import Secret

REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME: Final = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

MAX_SECRET_BYTES: Final = 64 * 1024
"""A key or token is far smaller; a wrong path must not be read to its end."""

_FIELDS: Final = ("command", "args", "env", "cwd", "url", "openai", "headers", "settings")
_SECTIONS: Final = ("backends", "filters")


class UnresolvedReference(ValueError):
    """A reference that leads nowhere. The message names the reference, not a value."""


def expand(text: str, environ: Mapping[str, str], directory: Path = Path()) -> Secret:
    """`text` with its references replaced.

    A relative `${file:name}` is looked for in `$CREDENTIALS_DIRECTORY` (where the service manager puts credentials)
    and otherwise in `directory`, that of the configuration file.

    Raises: UnresolvedReference listing every reference in `text` that could not be replaced.
    """
    failed: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        try:
            return _lookup(match.group(1), environ, directory)
        except UnresolvedReference as error:
            failed.append(str(error))
            return ""

    value = REFERENCE.sub(replace, text)
    if failed:
        raise UnresolvedReference("; ".join(failed))
    return Secret(value)


def resolve(document: Document, environ: Mapping[str, str]) -> tuple[Tree, dict[KeyPath, Problem]]:
    """The document's tree with every reference replaced, and a problem for each key where that failed.

    A text that failed stays as it was written. The result holds secrets in the clear.
    """
    problems: dict[KeyPath, Problem] = {}

    def walk(value: Any, path: KeyPath) -> Any:
        if isinstance(value, str):
            place = document.place(path)
            try:
                return expand(value, environ, Path(place.file).absolute().parent).reveal()
            except UnresolvedReference as error:
                problems[path] = place.problem(str(error))
                return value
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        return value

    tree = dict(document.tree)
    for section in _SECTIONS:
        found = tree.get(section)
        if isinstance(found, dict):
            tree[section] = {
                name: {
                    key: walk(value, (section, name, key)) if key in _FIELDS else value for key, value in table.items()
                }
                if isinstance(table, dict)
                else table
                for name, table in found.items()
            }
    return tree, problems


def secret_files(document: Document, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Every file that the document's references name, whether it can be read or not."""
    found: dict[str, None] = {}

    def walk(value: Any, path: KeyPath) -> None:
        if isinstance(value, str):
            for match in REFERENCE.finditer(value):
                reference = match.group(1) or ""
                if reference.startswith("file:"):
                    directory = Path(document.place(path).file).absolute().parent
                    found[str(_secret_path(reference.removeprefix("file:"), environ, directory))] = None
        elif isinstance(value, list | dict):
            for key, item in enumerate(value) if isinstance(value, list) else value.items():
                walk(item, (*path, key))

    for section in _SECTIONS:
        tables = document.tree.get(section)
        for name, table in tables.items() if isinstance(tables, dict) else ():
            for key, value in table.items() if isinstance(table, dict) else ():
                if key in _FIELDS:
                    walk(value, (section, name, key))
    return tuple(found)


def _lookup(reference: str | None, environ: Mapping[str, str], directory: Path) -> str:
    if reference is None:
        raise UnresolvedReference("expected `}` after `${`; write `$${` for a plain `${`")
    if reference.startswith("file:"):
        return _read_secret(reference.removeprefix("file:"), environ, directory)
    if reference.startswith("input:"):
        raise UnresolvedReference(
            f"`${{{reference}}}` asks a person in an editor; nobody sits at a gateway, so write `${{NAME}}` and set it"
        )
    found = _NAME.fullmatch(reference)
    if found is None:
        raise UnresolvedReference(
            "expected `${NAME}`, `${NAME:-default}` or `${file:/path}`; write `$${` for a plain `${`"
        )
    name, default = found.groups()
    value = environ.get(name)
    if default is not None:
        return value or default
    if value is None:
        raise UnresolvedReference(
            f"environment variable `{name}` is not set; set it for the gateway, or write `${{{name}:-default}}`"
        )
    return value


def _secret_path(name: str, environ: Mapping[str, str], directory: Path) -> Path:
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    try:
        if credentials and (Path(credentials) / name).exists():
            return Path(credentials) / name
    except (OSError, ValueError):
        pass
    return directory / name


def _read_secret(name: str, environ: Mapping[str, str], directory: Path) -> str:
    path = _secret_path(name, environ, directory)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a usable path"
        raise UnresolvedReference(f"secret file `{path}` cannot be read: {reason}") from None
    if len(content) > MAX_SECRET_BYTES:
        raise UnresolvedReference(f"expected at most {MAX_SECRET_BYTES} bytes in secret file `{path}`")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UnresolvedReference(f"expected UTF-8 text in secret file `{path}`") from None
    return text.removesuffix("\n").removesuffix("\r")
