"""A server's results in the words of the client's revision.

Called by the era stage for an answer whose server may be of another revision; nothing here touches the wire.
"A client sees only what its revision has": what it lacks is taken out, or said in words that it has. A
2026-07-28 client lacks nothing that older servers say; what it wants added (`resultType`, …) is added by
`era/modern.py`. Source: `vocabulary.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tidegate.pipeline.era.bridge.content import (
    block_for,
    blocks_for,
    fits,
    resource_for,
    structured_for,
    structured_starts,
    suspects,
)
from tidegate.pipeline.era.bridge.pieces import for_each, mentions, within, without, without_meta
from tidegate.pipeline.era.bridge.vocabulary import CACHEABLE_WORDS, HOP_ENTRIES, RESULT_WORDS, lacking
from tidegate.protocol.methods import LIST_METHOD
from tidegate.protocol.revisions import MODERN

_CACHEABLE = frozenset((*LIST_METHOD.values(), "resources/read", "server/discover"))
_PLACES: Final = {"tools/call": "content", "tasks/result": "content", "prompts/get": "messages"}
_HELD: Final = "contents"

Change = tuple[str, bytes | None]


class Fitting(NamedTuple):
    """What is left out of a result, and how it is told whether anything else is to be done: see `result_for`."""

    members: tuple[str, ...]
    entries: tuple[str, ...]
    """Of `_meta`, which goes with the last of them."""
    structured: bytes | None
    """As of `structured_starts`; None for results that have no such thing."""
    place: str
    """The member with the content."""
    words: tuple[str, ...]
    """Content in which one of these stands, in quotes, may have to be written anew."""


class ResultEdits(NamedTuple):
    """What becomes of results on their way to one client: members are set, or they are fitted. None: nothing."""

    untyped: list[Change] | Fitting | None
    """Of those that have no `resultType`."""
    complete: list[Change] | Fitting | None
    """Of those with `"resultType":"complete"`. Others are not simple."""


def members_for_modern(method: str) -> list[Change]:
    """What a 2026-07-28 client must find in a result that has no `resultType`."""
    changes: list[Change] = [("resultType", b'"complete"')]
    if method == "resources/read":
        changes += [("ttlMs", b"0"), ("cacheScope", b'"private"')]
    return changes


def fitting_for(method: str, revision: str) -> Fitting:
    """How a result of the methods of a server's own is fitted to a client of `revision`, which has sessions."""
    if method == "resources/read":
        place, words = _HELD, lacking("content", revision)
    else:
        place, words = _PLACES[method], suspects("block", revision)
    structured = structured_starts(revision) if place == "content" else None
    return Fitting(_dropped(method), HOP_ENTRIES, structured, place, words)


def _dropped(method: str) -> tuple[str, ...]:
    return CACHEABLE_WORDS if method in _CACHEABLE else RESULT_WORDS


def result_for(method: str, result: bytes, revision: str) -> bytes:
    """The result of `method`, a raw JSON object, for a client of `revision`; the same object if it fits.

    Entries of lists are not looked into: the catalogue keeps them as `entry_for` left them.
    """
    if revision in MODERN:
        return result
    result = without(result, _dropped(method))
    result = without_meta(result, HOP_ENTRIES)
    if method in ("tools/call", "tasks/result"):
        result = structured_for(result, revision)
        if fits(result, revision):
            return result
        return within(result, _PLACES[method], lambda blocks: blocks_for(blocks, revision))
    if method == "prompts/get" and not fits(result, revision):
        return within(result, _PLACES[method], lambda messages: _messages(messages, revision))
    if method == "resources/read" and mentions(result, lacking("content", revision)):
        return within(result, _HELD, lambda held: for_each(held, lambda resource: resource_for(resource, revision)))
    return result


def _messages(messages: bytes, revision: str) -> bytes:
    return for_each(messages, lambda message: within(message, "content", lambda block: block_for(block, revision)))
