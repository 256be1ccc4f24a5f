"""A server's results in the words of the client's revision.

Called by the era stage for an answer whose server may be of another revision; nothing here touches the wire.
"A client sees only what its revision has": what it lacks is taken out, or said in words that it has. A
2026-07-28 client lacks nothing that older servers say; what it wants added (`resultType`, …) is added by
`era/modern.py`. Source: `vocabulary.py`.
"""

from __future__ import annotations

from tidegate.pipeline.era.bridge.content import block_for, blocks_for, fits, resource_for, structured_for, suspects
from tidegate.pipeline.era.bridge.pieces import for_each, mentions, within, without, without_meta
from tidegate.pipeline.era.bridge.vocabulary import CACHEABLE_WORDS, HOP_ENTRIES, RESULT_WORDS, lacking
from tidegate.protocol.methods import LIST_METHOD
from tidegate.protocol.revisions import LATEST_LEGACY, MODERN

_CACHEABLE = frozenset((*LIST_METHOD.values(), "resources/read", "server/discover"))


def result_for(method: str, result: bytes, revision: str) -> bytes:
    """The result of `method`, a raw JSON object, for a client of `revision`; the same object if it fits.

    Entries of lists are not looked into: the catalogue keeps them as `entry_for` left them.
    """
    if revision in MODERN:
        return result
    result = without(result, CACHEABLE_WORDS if method in _CACHEABLE else RESULT_WORDS)
    result = without_meta(result, HOP_ENTRIES)
    if method in ("tools/call", "tasks/result"):
        result = structured_for(result, revision)
        if fits(result, revision):
            return result
        return within(result, "content", lambda blocks: blocks_for(blocks, revision))
    if method == "prompts/get" and not fits(result, revision):
        return within(result, "messages", lambda messages: _messages(messages, revision))
    if method == "resources/read" and mentions(result, lacking("content", revision)):
        return within(
            result, "contents", lambda held: for_each(held, lambda resource: resource_for(resource, revision))
        )
    return result


def foreign_words(method: str, revision: str) -> tuple[str, ...]:
    """Where none of these words stands, in quotes, in a result of a session's server, it is the client's as it is."""
    if revision == LATEST_LEGACY:
        # Nothing that such a server says is newer; what it says of the era after it is told by `resultType`.
        return ()
    words = CACHEABLE_WORDS if method in _CACHEABLE else RESULT_WORDS
    return (*words, *HOP_ENTRIES, "structuredContent", *suspects("block", revision))


def _messages(messages: bytes, revision: str) -> bytes:
    return for_each(messages, lambda message: within(message, "content", lambda block: block_for(block, revision)))
