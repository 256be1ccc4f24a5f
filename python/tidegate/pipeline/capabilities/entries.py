"""How a capability is listed: as the first of its tools that is there, under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tidegate.config.snapshot import Capability
from tidegate.pipeline.codec import find_member, patch_object
from tidegate.pipeline.json_text import json_bytes

_TAKEN: Final = ("title", "description", "inputSchema", "outputSchema")


def entry_of(capability: Capability, tools: Sequence[bytes]) -> bytes | None:
    """A tool of `tools/list`, raw; None while there is nothing to be served by. `tools`: entries of those that are
    there, the preferred one first.
    """
    if not tools:
        return None
    first = tools[0]
    members: list[tuple[str, bytes | None]] = [("name", json_bytes(capability.name))]
    for name in _TAKEN:
        at = find_member(first, name)
        if at is not None:
            members.append((name, first[at[0] : at[1]]))
    if capability.description:
        members = [one for one in members if one[0] != "description"]
        members.insert(1, ("description", json_bytes(capability.description)))
    if all(_only_reads(tool) for tool in tools):
        members.append(("annotations", b'{"readOnlyHint":true}'))
    return patch_object(b"{}", members)


def has_output(entry: bytes) -> bool:
    return find_member(entry, "outputSchema") is not None


def _only_reads(tool: bytes) -> bool:
    at = find_member(tool, "annotations")
    if at is None or tool[at[0] : at[0] + 1] != b"{":
        return False
    at = find_member(tool, "readOnlyHint", *at)
    return at is not None and tool[at[0] : at[1]] == b"true"
