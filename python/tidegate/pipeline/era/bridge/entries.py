"""What a server lists and declares, in the words of the client's revision.

Called when a catalogue is made for a revision, not for each request. Source: `vocabulary.py`; the schemas of
tools as 2025-06-18 has them (`Tool.outputSchema`) and as 2026-07-28 loosened them (SEP-2106).
"""

from __future__ import annotations

from typing import Final

from tidegate.pipeline.codec import patch_object
from tidegate.pipeline.era.bridge.content import annotated_for
from tidegate.pipeline.era.bridge.pieces import for_each, for_each_member, members, mentions, within, without
from tidegate.pipeline.era.bridge.tasks.shapes import task_capabilities
from tidegate.pipeline.era.bridge.vocabulary import AUDIO, STRUCTURED, lacking
from tidegate.protocol.revisions import MODERN

_OBJECTS: Final = {b"true": b"{}", b"false": b'{"not":{}}'}
"""The schemas that are no objects (JSON Schema 2020-12, core 4.3.2), and the same as objects."""


def entry_for(kind: str, entry: bytes, revision: str) -> bytes:
    """An entry of the catalogue (`kind`: tools, prompts, resources, templates), a raw JSON object."""
    if kind == "tools":
        return _tool(entry, revision)
    entry = without(entry, lacking(kind, revision))
    if kind == "prompts":
        late = lacking("argument", revision)
        if mentions(entry, late):
            entry = within(entry, "arguments", lambda every: for_each(every, lambda one: without(one, late)))
        return entry
    return annotated_for(entry, revision)


def capabilities_for(capabilities: dict[str, object], revision: str) -> dict[str, object]:
    """What servers declared, as a client of `revision` may see it. The same object when it sees all.

    `logging` and `resources.subscribe` stay for every era: each has its own way to use them. So does what no
    revision has.
    """
    capabilities = task_capabilities(capabilities, revision, stateless=revision in MODERN)
    unknown = lacking("capabilities", revision)
    if not any(name in capabilities for name in unknown):
        return capabilities
    return {name: value for name, value in capabilities.items() if name not in unknown}


def _tool(tool: bytes, revision: str) -> bytes:
    if AUDIO <= revision < STRUCTURED:
        tool = _title_as_annotation(tool)
    tool = without(tool, lacking("tools", revision))
    if revision in MODERN:
        return tool
    tool = within(tool, "inputSchema", _plain_properties)
    if b'"outputSchema"' not in tool:
        return tool
    schema = members(tool).get("outputSchema")
    if schema is not None and members(schema).get("type") != b'"object"':
        return without(tool, ("outputSchema",))
    return within(tool, "outputSchema", _plain_properties)


def _plain_properties(schema: bytes) -> bytes:
    """Until 2025-11-25 each property of a tool's schema is an object (`{ [key: string]: object }`)."""
    if b"true" not in schema and b"false" not in schema:
        return schema
    return within(schema, "properties", lambda every: for_each_member(every, lambda one: _OBJECTS.get(one, one)))


def _title_as_annotation(tool: bytes) -> bytes:
    """2025-03-26 has the title of a tool among its annotations alone."""
    known = members(tool)
    title = known.get("title")
    if title is None or "title" in members(known.get("annotations", b"{}")):
        return tool
    if "annotations" in known:
        return within(tool, "annotations", lambda notes: _with_title(notes, title))
    return patch_object(tool, [("annotations", _with_title(b"{}", title))])


def _with_title(notes: bytes, title: bytes) -> bytes:
    return patch_object(notes, [("title", title)]) if notes.startswith(b"{") else notes
