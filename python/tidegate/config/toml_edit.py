"""Changes one table of a TOML text by its lines: comments, order and spelling of all else stay.

For files that belong to another program. The table is written `[parent.name]`; one that is written inline is refused.
Nothing is given back unless the result reads as meant.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from tidegate.config.json_edit import NotEditable
from tidegate.config.toml_text import toml_table, toml_value

_PLACE: Final = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


class TomlText:
    """One text; `set` and `remove` change it, `text` is how it stands."""

    def __init__(self, text: str) -> None:
        """Raises: NotEditable."""
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self._text = text.removeprefix("\ufeff")
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._tree = _parsed(self._text)

    @property
    def text(self) -> str:
        return self._mark + self._text

    def get(self, path: Sequence[str]) -> Any:
        """The value at `path`, or None."""
        found: Any = self._tree
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def set(self, path: Sequence[str], values: dict[str, Any]) -> None:
        """Gives the table at `path` these values, None for none; others that it has stay. Raises: NotEditable."""
        if self.get(path) is None:
            values = {key: value for key, value in values.items() if value is not None}
            before = self._text.rstrip()
            block = toml_table(tuple(path), values).replace("\n", self._newline)
            gap = self._newline * 2 if before else ""
            self._taken_over(f"{before}{gap}{block}", path, values)
            return
        lines = self._text.splitlines(keepends=True)
        first, end = self._section(lines, tuple(path))
        left = dict(values)
        out = [*lines[: first + 1]]
        for start, stop in _statements(lines, first + 1, end):
            statement = "".join(lines[start:stop])
            key = next(iter(tomllib.loads(statement)), None)
            if key not in values:
                out += lines[start:stop]
            elif (value := left.pop(key, None)) is not None:
                out.append(f"{key} = {toml_value(value)}{_comment_behind(statement)}{self._newline}")
        added = [f"{key} = {toml_value(value)}{self._newline}" for key, value in left.items() if value is not None]
        out[first + 1 : first + 1] = added
        self._taken_over("".join([*out, *lines[end:]]), path, values)

    def remove(self, path: Sequence[str]) -> None:
        """Takes the table at `path` away, and the tables in it. Raises: NotEditable."""
        if self.get(path) is None:
            return
        lines = self._text.splitlines(keepends=True)
        headers = [*_headers(lines)]
        own = [index for index, (_, found) in enumerate(headers) if found[: len(path)] == tuple(path)]
        if not own:
            raise self._inline(path)
        for index in reversed(own):
            start = headers[index][0]
            end = headers[index + 1][0] if index + 1 < len(headers) else len(lines)
            end = _without_tail(lines, start + 1, end)
            while end < len(lines) and not lines[end].strip():
                end += 1  # the blank lines that parted it from the next
            del lines[start:end]
        text = "".join(lines)
        self._taken_over(f"{text.rstrip()}{self._newline}" if text.strip() else "", path, None)

    def _section(self, lines: list[str], path: tuple[str, ...]) -> tuple[int, int]:
        """(line of the header, line behind the last statement) of the table itself."""
        headers = [*_headers(lines)]
        for index, (line, found) in enumerate(headers):
            if found == path:
                end = headers[index + 1][0] if index + 1 < len(headers) else len(lines)
                return line, _without_tail(lines, line + 1, end)
        raise self._inline(path)

    def _inline(self, path: Sequence[str]) -> NotEditable:
        name = ".".join(path)
        return NotEditable(f"`{name}` is not written as `[{name}]`; change it by hand")

    def _taken_over(self, text: str, path: Sequence[str], values: dict[str, Any] | None) -> None:
        try:
            tree = _parsed(text)
        except NotEditable:
            raise self._inline(path) from None
        found: Any = tree
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if values is None:
            meant = found is None
        else:
            meant = isinstance(found, dict) and all(found.get(key) == value for key, value in values.items())
        if not meant:
            raise self._inline(path)
        self._text, self._tree = text, tree


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = _PLACE.search(message)
        place = f"line {found[1]}, column {found[2]}: " if found and found[1] else "at its end: "
        raise NotEditable(f"{place}not TOML: {_PLACE.sub('', message)}") from error
    except (ValueError, RecursionError) as error:
        raise NotEditable(f"not TOML that can be read: {error}") from error


def _headers(lines: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line, path) of each `[table]`. A line that only looks like one is in the middle of a value."""
    for number, line in enumerate(lines):
        if line.lstrip().startswith("[") and _is_whole(lines[:number]):
            try:
                found: Any = tomllib.loads(line)
            except tomllib.TOMLDecodeError:
                continue
            path = []
            while (isinstance(found, dict) and found) or isinstance(found, list):
                if isinstance(found, list):
                    found = found[0]
                    continue
                key = next(iter(found))
                path.append(key)
                found = found[key]
            yield number, tuple(path)


def _statements(lines: list[str], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The lines of each `key = value` between two headers; a comment or blank line is one by itself."""
    at = start
    while at < end:
        stop = at + 1
        while stop < end and not _is_whole(lines[at:stop]):
            stop += 1
        yield at, stop
        at = stop


def _comment_behind(statement: str) -> str:
    """What stands behind the value of `key = value`, with the blanks in front of it."""
    whole = tomllib.loads(statement)
    for found in re.finditer(r"\s*#", statement):
        with suppress(tomllib.TOMLDecodeError):
            if tomllib.loads(statement[: found.start()]) == whole:
                return statement[found.start() :].rstrip()
    return ""


def _is_whole(lines: list[str]) -> bool:
    """Whether nothing is left open at the end of these lines."""
    try:
        tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _without_tail(lines: list[str], start: int, end: int) -> int:
    """Blank lines and comments in front of the next header belong to that."""
    while end > start and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end
