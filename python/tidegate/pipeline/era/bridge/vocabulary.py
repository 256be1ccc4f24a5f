"""Which revision has which word: members and content types with the span of revisions that know them.

Read by the files of this package that fit a message to a client. Sources: `schema.ts` of the five revisions
2024-11-05, 2025-03-26, 2025-06-18, 2025-11-25 and 2026-07-28, and the "Key Changes" pages between them.

Rules: a row is (word, first revision, last revision or "" for still there). Words that every revision has
are not listed. Words that no revision has are a private matter of the two ends and are left alone.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from tidegate.protocol.meta_keys import (
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    LOG_LEVEL,
    PROTOCOL_VERSION,
    SERVER_INFO,
    SUBSCRIPTION_ID,
)

AUDIO: Final = "2025-03-26"
"""Audio content; tool annotations; the `completions` capability."""
STRUCTURED: Final = "2025-06-18"
"""Structured tool output, resource links, elicitation, `title`, `_meta` on everything."""
TASKS: Final = "2025-11-25"
"""Tasks in the core, gone with the next revision; also icons, URL elicitation, tools in sampling."""
STATELESS: Final = "2026-07-28"
"""Results say their type, list themselves as cacheable, and structured output may be any value."""

_Row = tuple[str, str, str]

_NAMED: Final[tuple[_Row, ...]] = (
    ("title", STRUCTURED, ""),
    ("_meta", STRUCTURED, ""),
    ("icons", TASKS, ""),
)

_WORDS: Final[dict[str, tuple[_Row, ...]]] = {
    # Catalogue kinds.
    "tools": (*_NAMED, ("annotations", AUDIO, ""), ("outputSchema", STRUCTURED, ""), ("execution", TASKS, TASKS)),
    "prompts": _NAMED,
    "resources": _NAMED,
    "templates": _NAMED,
    "argument": (("title", STRUCTURED, ""),),
    # Annotations of resources and content.
    "annotations": (("lastModified", STRUCTURED, ""),),
    # Content types where a tool or prompt speaks (`ContentBlock`), and where a server asks a model.
    "block": (("audio", AUDIO, ""), ("resource_link", STRUCTURED, ""), ("tool_use", "", "-"), ("tool_result", "", "-")),
    "sampling": (("audio", AUDIO, ""), ("tool_use", TASKS, ""), ("tool_result", TASKS, "")),
    # Members of content and of what a resource holds.
    "content": (("_meta", STRUCTURED, ""), ("icons", TASKS, "")),
    # Members of `sampling/createMessage` and of its messages.
    "sampling/createMessage": (("tools", TASKS, ""), ("toolChoice", TASKS, ""), ("task", TASKS, TASKS)),
    "elicitation/create": (("task", TASKS, TASKS),),
    "message": (("_meta", TASKS, ""),),
    # Members of the server's capabilities.
    "capabilities": (("completions", AUDIO, ""), ("tasks", TASKS, TASKS), ("extensions", STATELESS, "")),
}


@cache
def lacking(kind: str, revision: str) -> tuple[str, ...]:
    """The words of this kind that `revision` does not have. Revisions are dates, so they compare as text."""
    return tuple(
        word for word, first, last in _WORDS.get(kind, ()) if revision < first or (last != "" and revision > last)
    )


RESULT_WORDS: Final = ("resultType",)
CACHEABLE_WORDS: Final = ("resultType", "ttlMs", "cacheScope")
"""Members of a result since 2026-07-28; the last two only on lists, `resources/read` and `server/discover`."""

HOP_ENTRIES: Final = (SERVER_INFO, SUBSCRIPTION_ID, PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL)
"""Entries of `_meta` that speak of the one connection they travel on. Others, such as
`io.modelcontextprotocol/related-task` (2025-11-25) or trace context, belong to the message and stay."""


def understands(revision: str, server_revision: str) -> bool:
    """Whether a client of `revision` has every word of a server of `server_revision`: nothing need be looked at.

    From 2024-11-05 to 2025-11-25 each revision only added words; 2026-07-28 also took some away.
    """
    return server_revision == revision or (server_revision < revision < STATELESS)
