"""Where each key of a configuration file stands: path of the key → line, for error messages.

The standard parsers say what a file holds, not where. These two scanners walk a text that has already been
parsed, so they may assume it is valid; they build no values. Paths are tuples of keys and list indexes.
"""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

KeyPath = tuple[str | int, ...]
Lines = dict[KeyPath, int]
"""Line numbers are 1-based. A table written in pieces stands where it was first named."""

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}#\n]+")
_JSON_SPACE: Final = re.compile(r"[ \t\r\n]*")
_JSON_NOISE: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=(?>\s+|//[^\n]*|/\*.*?\*/)*+[}\]])', re.DOTALL
)
"""Strings (kept), comments and trailing commas: what editors allow in JSON and RFC 8259 does not. Behind a comma a
comment is taken whole or not at all, so that a bracket in it closes nothing."""


def locate_toml(text: str) -> Lines:
    """Every table, key and list element of a valid TOML text."""
    scan = _TomlScan(text)
    scan.document()
    return scan.lines


def without_json_comments(text: str) -> str:
    """The same text with comments and trailing commas blanked out; every other character keeps its place."""

    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return _JSON_NOISE.sub(blank, text)


def locate_json(text: str) -> tuple[Lines, list[tuple[KeyPath, int]]]:
    """Every member and element of a valid JSON text, and the members whose name came before in the same object."""
    lines: Lines = {}
    repeated: list[tuple[KeyPath, int]] = []
    starts = _line_starts(text)
    decoder = json.JSONDecoder()

    def skip(at: int) -> int:
        found = _JSON_SPACE.match(text, at)
        return found.end() if found else at

    def value(at: int, path: KeyPath) -> int:
        """Walks the value at `at`; returns where it ends."""
        if text[at] not in "{[":
            end: int = decoder.raw_decode(text, at)[1]
            return end
        closing = "}" if text[at] == "{" else "]"
        index = 0
        at = skip(at + 1)
        while text[at] != closing:
            line = bisect_right(starts, at)
            here: KeyPath = (*path, index)
            if closing == "}":
                name, at = decoder.raw_decode(text, at)
                here = (*path, name)
                at = skip(skip(at) + 1)
                if here in lines:
                    repeated.append((here, line))
            lines[here] = line
            at = skip(value(at, here))
            if text[at] == ",":
                at = skip(at + 1)
            index += 1
        return at + 1

    value(skip(0), ())
    return lines, repeated


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


class _TomlScan:
    def __init__(self, text: str) -> None:
        self.lines: Lines = {}
        self._text = text + "\n"
        self._at = 0
        self._starts = _line_starts(text)
        self._lengths: dict[KeyPath, int] = {}
        """Elements so far of each `[[array of tables]]`."""

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip(newlines=True):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for key in self._keys():
            path = (*path, key)
            self._note(path, line)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
        if is_array:
            if isinstance(path[-1], int):
                path = path[:-1]
            index = self._lengths.get(path, 0)
            self._lengths[path] = index + 1
            path = (*path, index)
            self._note(path, line)
        self._at += 2 if is_array else 1
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, line)
        self._at += 1
        self._skip()
        self._value(path)

    def _keys(self) -> Iterator[str]:
        """The parts of a dotted key; stops in front of `=` or `]`."""
        while True:
            self._skip()
            if self._text[self._at] in "\"'":
                start = self._at
                self._string()
                yield tomllib.loads(f"key = {self._text[start : self._at]}")["key"]
            else:
                bare = _BARE_KEY.match(self._text, self._at)
                assert bare is not None
                self._at = bare.end()
                yield bare.group()
            self._skip()
            if self._text[self._at] != ".":
                return
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._at += 1
            index = 0
            while self._skip(newlines=True) and self._text[self._at] != "]":
                self._note((*path, index), self._line())
                self._value((*path, index))
                index += self._comma()
            self._at += 1
        elif first == "{":
            self._at += 1
            while self._skip(newlines=True) and self._text[self._at] != "}":
                self._pair(path)
                self._comma()
            self._at += 1
        else:
            scalar = _SCALAR.match(self._text, self._at)
            assert scalar is not None
            self._at = scalar.end()

    def _comma(self) -> int:
        self._skip(newlines=True)
        if self._text[self._at] == ",":
            self._at += 1
            return 1
        return 0

    def _string(self) -> None:
        quote = self._text[self._at]
        escapes = quote == '"'
        long = self._text.startswith(quote * 3, self._at)
        ending = quote * 3 if long else quote
        self._at += len(ending)
        while not self._text.startswith(ending, self._at):
            self._at += 2 if escapes and self._text[self._at] == "\\" else 1
        self._at += len(ending)
        if long:
            # Up to two quotes may stand directly before the closing three.
            while self._text[self._at] == quote:
                self._at += 1

    def _skip(self, newlines: bool = False) -> bool:
        """Passes blanks, and newlines and comments where they may stand; False at the end of the text."""
        blanks = " \t\r\n" if newlines else " \t\r"
        while self._at < len(self._text):
            if self._text[self._at] in blanks:
                self._at += 1
            elif newlines and self._text[self._at] == "#":
                self._at = self._text.index("\n", self._at)
            else:
                return True
        return False

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)
