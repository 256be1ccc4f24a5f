"""Changes single members of a JSON text by its bytes: comments, trailing commas, order and spelling of the rest stay.

For files that belong to another program and that people edit by hand. The text may hold what editors allow: `//` and
`/* */` comments and trailing commas. Nothing is written back unless the result reads as meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tidegate.config.locate import without_json_comments

_SPACE: Final = re.compile(r"\s*")
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?:/\*(?:(?!\*/)[^\n])*\*/[ \t]*)*(?://[^\n]*)?(?=\r?\n|$)")
"""Blanks and comments up to the end of a line."""
_DEFAULT_UNIT: Final = "  "


class NotEditable(ValueError):
    """The text cannot be changed safely. The message says where (line, column) and why."""


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    start: int
    """Of its key."""
    value: int
    end: int
    """Behind its value."""


@dataclass(frozen=True, slots=True)
class _Object:
    start: int
    """Of `{`."""
    end: int
    """Of `}`."""
    members: tuple[_Member, ...]

    def find(self, key: str) -> _Member | None:
        return next((member for member in self.members if member.key == key), None)


class JsonText:
    """One text; `set` and `remove` change it, `text` is how it stands."""

    def __init__(self, text: str) -> None:
        """Raises: NotEditable."""
        self._mark = "\ufeff" if text.startswith("\ufeff") else ""
        self._text = text.removeprefix("\ufeff")
        if not self._text.strip():
            self._text = "{}\n"
        self._plain = ""
        self._taken_over(self._text)
        self._newline = "\r\n" if "\r\n" in self._text else "\n"
        indented = re.search(r"\n([ \t]+)\S", self._plain)
        self._unit = indented[1] if indented else _DEFAULT_UNIT

    @property
    def text(self) -> str:
        return self._mark + self._text

    def get(self, path: Sequence[str]) -> Any:
        """The value at `path`; None when it, or something on the way, is missing."""
        found: Any = json.loads(self._plain)
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def set(self, path: Sequence[str], value: Any) -> None:
        """Replaces the value at `path`, or appends the member, with all that is missing on the way.

        Raises: NotEditable, when something on the way is no object.
        """
        found = self._object(0)
        for depth, key in enumerate(path):
            member = found.find(key)
            if member is None:
                for missing in reversed(path[depth + 1 :]):
                    value = {missing: value}
                self._append(found, key, value)
                return
            if depth == len(path) - 1:
                margin = self._margin(member.start)
                self._replace([(member.value, member.end, self._rendered(value, margin))])
                return
            if self._plain[member.value] != "{":
                raise NotEditable(f"{self._place(member.value)}: expected an object as the value of `{key}`")
            found = self._object(member.value)

    def remove(self, path: Sequence[str]) -> None:
        """Takes the member at `path` away; nothing when it is not there."""
        found = self._object(0)
        for key in path[:-1]:
            member = found.find(key)
            if member is None or self._plain[member.value] != "{":
                return
            found = self._object(member.value)
        gone = found.find(path[-1])
        if gone is not None:
            self._cut(found, found.members.index(gone))

    def _taken_over(self, text: str) -> None:
        """Reads `text` anew. Raises: NotEditable."""
        plain = without_json_comments(text)
        try:
            value = json.loads(plain, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            raise NotEditable(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise NotEditable(f"not JSON that can be read: {error}") from error
        if not isinstance(value, dict):
            raise NotEditable("line 1, column 1: expected an object")
        self._text, self._plain = text, plain

    def _object(self, at: int) -> _Object:
        """The members of the object that starts behind the blanks at `at`. Raises: NotEditable for a key twice."""
        at = start = self._skip(at)
        decoder = json.JSONDecoder()
        members: list[_Member] = []
        at = self._skip(at + 1)
        while self._plain[at] != "}":
            key, behind = decoder.raw_decode(self._plain, at)
            value = self._skip(self._skip(behind) + 1)
            end = decoder.raw_decode(self._plain, value)[1]
            if any(member.key == key for member in members):
                raise NotEditable(f"{self._place(at)}: expected each key once; `{key}` came before")
            members.append(_Member(key, at, value, end))
            at = self._skip(end)
            if self._plain[at] == ",":
                at = self._skip(at + 1)
        return _Object(start, at, tuple(members))

    def _append(self, found: _Object, key: str, value: Any) -> None:
        inside = self._text[found.start + 1 : found.end]
        base = self._margin(found.start)
        if not found.members:
            margin = base + self._unit
            member = self._member(key, value, margin)
            kept = inside.rstrip()
            self._replace(
                [(found.start + 1 + len(kept), found.end, f"{self._newline}{margin}{member}{self._newline}{base}")]
            )
            return
        last = found.members[-1]
        comma = self._trailing_comma(last.end)
        if "\n" not in inside:
            text = f" {self._compact(key, value)}"
            self._replace(
                [(comma + 1, comma + 1, f"{text},")] if comma is not None else [(last.end, last.end, f",{text}")]
            )
            return
        margin = self._margin(last.start)
        member = f"{self._newline}{margin}{self._member(key, value, margin)}"
        behind = last.end if comma is None else comma + 1
        rest = _REST_OF_LINE.match(self._text, behind)
        place = rest.end() if rest is not None and rest.end() < found.end else behind
        if comma is not None:
            self._replace([(place, place, f"{member},")])
        else:
            self._replace([(last.end, last.end, ","), (place, place, member)])

    def _cut(self, found: _Object, index: int) -> None:
        member = found.members[index]
        comma = self._trailing_comma(member.end) if index == len(found.members) - 1 else self._text_comma(member.end)
        end = member.end if comma is None else comma + 1
        line = self._text.rfind("\n", 0, member.start) + 1
        start = member.start
        rest = re.compile(r"[ \t]*\r?\n").match(self._text, end)
        if rest is not None and not self._text[line:start].strip():
            start, end = line, rest.end()
        elif comma is not None:
            end += len(self._text[end:]) - len(self._text[end:].lstrip(" "))
        edits = [(start, end, "")]
        previous = found.members[index - 1].end if index else found.start + 1
        if len(found.members) == 1 and not (self._text[previous:start] + self._text[end : found.end]).strip():
            edits = [(previous, found.end, "")]
        elif index and comma is None:
            # The last one: the comma in front of it goes, too.
            before = self._text_comma(previous)
            if self._text[previous:start].strip() == "," and "\n" not in self._text[previous:start]:
                edits = [(previous, end, "")]
            elif before is not None:
                edits.insert(0, (before, before + 1, ""))
        self._replace(edits)

    def _text_comma(self, at: int) -> int | None:
        """The comma that parts the member that ends at `at` from the next."""
        at = self._skip(at)
        return at if self._plain[at] == "," else None

    def _trailing_comma(self, at: int) -> int | None:
        """The comma behind the last member, which only the text has, not its plain form."""
        while at < len(self._text):
            if self._text.startswith("//", at):
                at = self._text.find("\n", at)
            elif self._text.startswith("/*", at):
                at = self._text.find("*/", at) + 2
            elif self._text[at] == ",":
                return at
            elif self._text[at].isspace():
                at += 1
            else:
                return None
        return None

    def _member(self, key: str, value: Any, margin: str) -> str:
        return f"{json.dumps(key, ensure_ascii=False)}: {self._rendered(value, margin)}"

    def _compact(self, key: str, value: Any) -> str:
        return f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"

    def _rendered(self, value: Any, margin: str) -> str:
        """Objects a line each, lists of plain values in one line, as people write them."""
        if isinstance(value, dict) and value:
            inner = margin + self._unit
            lines = [f"{inner}{self._member(key, item, inner)}" for key, item in value.items()]
            joined = f",{self._newline}".join(lines)
            return f"{{{self._newline}{joined}{self._newline}{margin}}}"
        return json.dumps(value, ensure_ascii=False)

    def _margin(self, at: int) -> str:
        """The blanks that the line of `at` begins with."""
        line = self._text.rfind("\n", 0, at) + 1
        return re.match(r"[ \t]*", self._text[line:])[0]  # type: ignore[index]

    def _replace(self, edits: Sequence[tuple[int, int, str]]) -> None:
        """`edits` are in order and do not overlap. Raises: NotEditable, and then nothing has changed."""
        pieces, done = [], 0
        for start, end, text in edits:
            pieces += [self._text[done:start], text]
            done = end
        self._taken_over("".join([*pieces, self._text[done:]]))

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self._plain, at)
        return found.end() if found else at

    def _place(self, at: int) -> str:
        line = self._plain.count("\n", 0, at) + 1
        return f"line {line}, column {at - self._plain.rfind(chr(10), 0, at)}"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"`{name}` is not a JSON value")
