"""Whether a message says the same to every reader, and what filters write in place of a part of it.

A filter reads a call with one JSON library, the server with another. Where the two could understand different things,
the filter would judge what is never done: so such a call is refused before it is shown to any filter.
"""

from __future__ import annotations

import json
from typing import Final

from tidegate.errors import AmbiguousCall, FilterFailed, TidegateError
from tidegate.pipeline.codec import Envelope, find_member, member_spans, patch_object, scan, splice
from tidegate.pipeline.json_text import json_bytes

_OUTER: Final = ("jsonrpc", "id", "method", "params")
_PARAMS: Final = ("name", "arguments", "task", "_meta", "inputResponses", "requestState")
_NOTHING: Final = b"{}"


def arguments_of(message: bytes, envelope: Envelope) -> bytes:
    """The arguments of a `tools/call`, a raw JSON object. Raises: AmbiguousCall."""
    _spelled(message, None, _OUTER)
    if envelope.params_span is not None:
        _spelled(message, envelope.params_span, _PARAMS)
    span = envelope.arguments_span
    if span is None:
        return _NOTHING
    raw = message[span[0] : span[1]]
    if not raw.startswith(b"{"):
        raise AmbiguousCall("`params.arguments` must be an object")
    twice = _repeated_key(raw)
    if twice is not None:
        raise AmbiguousCall(f"`params.arguments` has the key `{twice}` twice in one object")
    return raw


def _spelled(message: bytes, span: tuple[int, int] | None, known: tuple[str, ...]) -> None:
    """Some readers do not tell `Arguments` from `arguments`."""
    folded = {name.casefold(): name for name in known}
    for key, _, _ in member_spans(message, *(span or (0, -1))):
        meant = folded.get(key.casefold())
        if meant is not None and meant != key:
            raise AmbiguousCall(f"the key `{key}` is `{meant}` to some servers; write it so, or leave it out")


class _Twice(Exception):
    pass


def _once(pairs: list[tuple[str, object]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _Twice(key)
        seen.add(key)


def _repeated_key(raw: bytes) -> str | None:
    """A key that an object in `raw`, which `scan` has passed, has twice at any depth."""
    try:
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _Twice as found:
        return str(found)
    return None


def reads_one_way(raw: bytes) -> bool:
    """Whether a result has no key twice in one object."""
    return _repeated_key(raw) is None


def with_arguments(message: bytes, envelope: Envelope, arguments: bytes) -> bytes:
    """The call with other arguments; every other byte stays."""
    span = envelope.arguments_span
    if span is not None:
        return splice(message, [(span[0], span[1], arguments)])
    within = envelope.params_span
    assert within is not None
    return splice(
        message, [(within[0], within[1], patch_object(message[within[0] : within[1]], [("arguments", arguments)]))]
    )


def changed_object(text: bytes, whose: str, depth: int) -> bytes:
    """What a filter wants in place of arguments or of a result. Raises: FilterFailed, unless it is one JSON object that
    every reader reads alike.
    """
    head = b'{"jsonrpc":"2.0","id":0,"result":'
    text = text.strip(b" \t\r\n")
    try:
        envelope = scan(head + text + b"}", depth)
    except TidegateError as error:
        raise FilterFailed(f"filter `{whose}` wrote what is not JSON: {error}") from error
    if envelope.result_span != (len(head), len(head) + len(text)) or not text.startswith(b"{"):
        raise FilterFailed(f"filter `{whose}` wrote what is not one JSON object")
    if _repeated_key(text) is not None:
        raise FilterFailed(f"filter `{whose}` wrote a key twice in one object")
    return text


def call_text(tool: str, arguments: bytes, caller: str, *, approved: bool) -> bytes:
    """The `call` that filters are shown."""
    return (
        b'{"tool":' + json_bytes(tool) + b',"arguments":' + arguments
        + b',"caller":' + json_bytes(caller) + b',"approved":' + (b"true" if approved else b"false") + b"}"
    )  # fmt: skip


def member_of(message: bytes, envelope: Envelope, name: str) -> bytes | None:
    """A member of `params`, raw."""
    span = envelope.params_span
    at = find_member(message, name, *span) if span is not None else None
    return message[at[0] : at[1]] if at is not None else None


def refusal(text: str, *, stateless: bool) -> bytes:
    """A tool's result, raw, that says why there is no other."""
    result = b'{"content":[{"type":"text","text":' + json_bytes(text) + b'}],"isError":true'
    return result + (b',"resultType":"complete"}' if stateless else b"}")
