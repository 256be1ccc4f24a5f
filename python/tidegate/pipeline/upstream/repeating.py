"""What may be done twice, because twice is no more than once.

A request that a server may or may not have done is sent again only if it is one of these. The rule is in
`docs/operations/bad_networks.md`. Annotations are the server's own word about its own tools: if they are wrong, it is
that server which does something twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate.pipeline.codec import find_member
from tidegate.pipeline.json_text import json_value
from tidegate.protocol.methods import LIST_METHOD

READING: Final = frozenset(LIST_METHOD.values()) | {
    "server/discover",
    "prompts/get",
    "resources/read",
    "completion/complete",
    "ping",
    "initialize",
}
"""Methods that change nothing. (A session opened twice by `initialize` is used once.)"""
_HINTS: Final = ("readOnlyHint", "idempotentHint")


def repeatable_tools(entries: Iterable[tuple[str, bytes]]) -> frozenset[str]:
    """Names of the tools, given as (name, raw entry), that say of themselves that they only read or are idempotent."""
    found = set()
    for name, raw in entries:
        if b'Hint"' in raw:
            at = find_member(raw, "annotations")
            said = json_value(raw[at[0] : at[1]]) if at is not None else None
            if isinstance(said, dict) and any(said.get(hint) is True for hint in _HINTS):
                found.add(name)
    return frozenset(found)
