"""The JSON half of the codec said slowly: a tree is built, then questions are asked of it.

Each function here has the name of its native one and must agree with it on every input: same result or same
class of error. `frame_twins.py` is the other half.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tidegate.errors import DepthExceeded, DuplicateKey, InvalidRequest, InvalidUtf8, ParseError
from tidegate.pipeline import codec

Span = tuple[int, int]

UNBOUNDED = 10**9
"""Room for nesting where the codec has no bound."""

_SPACE = re.compile(rb"[ \t\r\n]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"')
_WORD = re.compile(rb"true|false|null")


@dataclass
class Node:
    """One value and where it lies."""

    kind: str
    """object, array, string, integer, float or word."""
    span: Span
    raw: bytes
    members: list[Member] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Characters of a string; may hold lone surrogates."""
        decoded = json.loads(self.raw)
        assert isinstance(decoded, str)
        return decoded


@dataclass
class Member:
    key: Node
    value: Node


class _Reader:
    """Recursive descent over bytes."""

    def __init__(self, buf: bytes) -> None:
        self.buf = buf

    def space(self, at: int) -> int:
        found = _SPACE.match(self.buf, at)
        assert found
        return found.end()

    def expect(self, byte: bytes, at: int) -> int:
        if self.buf[at : at + 1] != byte:
            raise ParseError(f"{byte!r} expected at {at}")
        return at + 1

    def value(self, at: int, room: int) -> Node:
        for kind, pattern in (("string", _STRING), ("number", _NUMBER), ("word", _WORD)):
            if found := pattern.match(self.buf, at):
                raw = found.group()
                if kind == "number":
                    kind = "float" if set(raw) & set(b".eE") else "integer"
                return Node(kind, found.span(), raw)
        opening = self.buf[at : at + 1]
        if opening not in (b"{", b"["):
            raise ParseError(f"no value at {at}")
        if room == 0:
            raise DepthExceeded(f"too deep at {at}")
        node = Node("object" if opening == b"{" else "array", (at, at), b"")
        closing = b"}" if opening == b"{" else b"]"
        end = self.space(at + 1)
        if self.buf[end : end + 1] != closing:
            while True:
                end = self.member(node, end, room) if opening == b"{" else self.item(node, end, room)
                end = self.space(end)
                if self.buf[end : end + 1] != b",":
                    break
                end = self.space(end + 1)
        end = self.expect(closing, end)
        node.span = (at, end)
        node.raw = self.buf[at:end]
        return node

    def member(self, node: Node, at: int, room: int) -> int:
        found = _STRING.match(self.buf, at)
        if not found:
            raise ParseError(f"no key at {at}")
        key = Node("string", found.span(), found.group())
        after = self.space(self.expect(b":", self.space(found.end())))
        value = self.value(after, room - 1)
        node.members.append(Member(key, value))
        return value.span[1]

    def item(self, node: Node, at: int, room: int) -> int:
        value = self.value(at, room - 1)
        node.items.append(value)
        return value.span[1]


def tree(buf: bytes, start: int = 0, end: int = -1, max_depth: int = UNBOUNDED) -> Node:
    """The one value in `[start, end)`, with spans into `buf`."""
    if end == -1:
        end = len(buf)
    if end < 0 or not start <= end <= len(buf):
        raise ValueError("range outside")
    try:
        buf[start:end].decode()
    except UnicodeDecodeError:
        raise InvalidUtf8("not UTF-8") from None
    reader = _Reader(buf[:end])
    node = reader.value(reader.space(start), max_depth)
    if reader.space(node.span[1]) != end:
        raise ParseError("something follows")
    return node


def has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _twice(node: Node | None) -> Iterator[str]:
    """Keys that an object has had before."""
    seen = set()
    for member in node.members if node else ():
        key = member.key.text
        if key in seen:
            yield key
        seen.add(key)


def _get(node: Node | None, key: str) -> Node | None:
    for member in node.members if node else ():
        if member.key.text == key:
            return member.value
    return None


def _only(node: Node | None, *kinds: str) -> Node | None:
    return node if node and node.kind in kinds else None


def _refuse(error: Exception, id_raw: bytes | None) -> Exception:
    error.id_raw = id_raw  # type: ignore[attr-defined]
    return error


def scan(buf: bytes, max_depth: int = 64) -> dict[str, Any]:
    """The attributes of the envelope."""
    message = tree(buf, max_depth=max_depth)
    answer: dict[str, Any] = {
        name: None
        for name in dir(codec.Envelope)
        if name.endswith("_span") or name in ("id", "method", "name", "progress_token", "result_type")
    }
    if message.kind == "array":
        return answer | {"kind": codec.BATCH}
    if message.kind != "object":
        raise _refuse(InvalidRequest("not an object"), None)

    id_ = _get(message, "id")
    usable = _only(id_, "string", "integer")
    id_raw = usable.raw if usable and "id" not in _twice(message) else None

    # With a key twice the message is refused anyway, so that it matters little which of the two is read here:
    # but an object in either place is looked into.
    for member in message.members:
        key = member.key.text
        inner = [member.value] if key in ("params", "result", "error") else []
        if key == "params":
            inner += [below.value for below in member.value.members if below.key.text == "_meta"]
        if any(list(_twice(node)) for node in inner):
            raise _refuse(DuplicateKey("twice"), id_raw)
    if list(_twice(message)):
        raise _refuse(DuplicateKey("twice"), id_raw)

    params, result, error = (_get(message, key) for key in ("params", "result", "error"))
    method = _get(message, "method")
    version = _get(message, "jsonrpc")
    params_meta, result_meta = _get(params, "_meta"), _get(result, "_meta")
    wrong = (
        not version
        or version.kind != "string"
        or version.text != "2.0"
        or (params and params.kind != "object")
        or (error and error.kind != "object")
        or any(meta and meta.kind != "object" and meta.raw != b"null" for meta in (params_meta, result_meta))
        or (method and method.kind != "string")
        or sum(1 for part in (method, result, error) if part) != 1
    )
    if method:
        kind = codec.REQUEST if id_ else codec.NOTIFICATION
        wrong = wrong or (id_ is not None and not usable)
    elif result:
        kind = codec.RESULT
        wrong = wrong or not usable
    else:
        kind = codec.ERROR
        wrong = wrong or (id_ is not None and not usable and id_.raw != b"null")
    if wrong:
        raise _refuse(InvalidRequest("not JSON-RPC"), id_raw)

    name = _only(_get(params, "name"), "string") or _only(_get(params, "uri"), "string")
    result_type = _only(_get(result, "resultType"), "string")
    scalars = ("string", "integer", "float")
    token = _only(_get(params_meta, "progressToken"), *scalars)
    if kind == codec.NOTIFICATION:
        token = _only(_get(params, "progressToken"), *scalars) or token
    for node in (method, name, result_type):
        if node and has_lone_surrogate(node.text):
            raise _refuse(ParseError("a lone surrogate"), None)
    parts = {
        "id": usable,
        "method": method,
        "params": params,
        "name": name,
        "meta": _only(params_meta, "object") or _only(result_meta, "object"),
        "arguments": _get(params, "arguments"),
        "result": result,
        "error": error,
        "progress_token": token,
        "result_type": result_type,
    }
    return answer | {
        "kind": kind,
        "id": id_raw,
        "method": method and method.text,
        "name": name and name.text,
        "progress_token": token and token.raw,
        "result_type": result_type and result_type.text,
        **{f"{part}_span": node and node.span for part, node in parts.items()},
    }


def array_spans(buf: bytes, start: int = 0, end: int = -1) -> list[Span]:
    node = tree(buf, start, end)
    if node.kind != "array":
        raise ParseError("not an array")
    return [item.span for item in node.items]


def _object(buf: bytes, start: int = 0, end: int = -1) -> list[Member]:
    node = tree(buf, start, end)
    if node.kind != "object":
        raise ParseError("not an object")
    return node.members


def member_spans(buf: bytes, start: int = 0, end: int = -1) -> list[tuple[str, int, int]]:
    members = _object(buf, start, end)
    if any(has_lone_surrogate(member.key.text) for member in members):
        raise ParseError("a lone surrogate")
    return [(member.key.text, *member.value.span) for member in members]


def find_member(buf: bytes, key: str, start: int = 0, end: int = -1) -> Span | None:
    found = [member.value.span for member in _object(buf, start, end) if member.key.text == key]
    if len(found) > 1:
        raise DuplicateKey("twice")
    return found[0] if found else None


def splice(buf: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    bounds = [0, *(bound for start, end, _ in edits for bound in (start, end)), len(buf)]
    if bounds != sorted(bounds):
        raise ValueError("out of order or outside")
    for start, end, with_ in reversed(edits):
        buf = buf[:start] + with_ + buf[end:]
    return buf


def patch_object(buf: bytes, changes: list[tuple[str, bytes | None]]) -> bytes:
    wanted = dict(changes)
    if len(wanted) < len(changes):
        raise ValueError("changed twice")
    for value in wanted.values():
        try:
            if value is not None:
                tree(value)
        except ParseError:
            raise ValueError("not JSON") from None
    members = _object(buf)
    keys = [member.key.text for member in members]
    if any(value is not None and keys.count(key) > 1 for key, value in changes):
        raise DuplicateKey("twice")
    if members:
        head, tail = members[0].key.span[0], members[-1].value.span[1]
    else:
        head = tail = buf.index(b"{") + 1
    parts: list[tuple[bytes, bytes]] = []
    end = head
    for member in members:
        separator = buf[end : member.key.span[0]]
        end = member.value.span[1]
        value = wanted.get(member.key.text, member.value.raw)
        if value is not None:
            parts.append((separator, buf[member.key.span[0] : member.value.span[0]] + value))
    for key, value in changes:
        if value is not None and key not in keys:
            parts.append((b",", json.dumps(key, ensure_ascii=False).encode() + b":" + value))
    body = b"".join((separator if place else b"") + text for place, (separator, text) in enumerate(parts))
    return buf[:head] + body + buf[tail:]
