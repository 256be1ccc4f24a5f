"""What each revision has, written down a second time, as JSON Schemas that allow nothing else.

Taken by hand from `schema.ts` of each revision. The official `schema.json` lets unknown members pass; these
do not, since a client sees only what its revision has.
"""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]

ANY: Shape = {}
STRING: Shape = {"type": "string"}
NUMBER: Shape = {"type": "number"}
BOOLEAN: Shape = {"type": "boolean"}
OBJECT: Shape = {"type": "object"}
STRINGS: Shape = {"type": "array", "items": STRING}


def closed(required: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def listed(items: Shape) -> Shape:
    return {"type": "array", "items": items}


def since(first: str, revision: str, members: dict[str, Shape]) -> dict[str, Shape]:
    return members if revision >= first else {}


def meta(revision: str) -> dict[str, Shape]:
    return since("2025-06-18", revision, {"_meta": OBJECT})


def icons(revision: str) -> dict[str, Shape]:
    return since("2025-11-25", revision, {"icons": listed(OBJECT)})


def title(revision: str) -> dict[str, Shape]:
    return since("2025-06-18", revision, {"title": STRING})


def notes(revision: str) -> dict[str, Shape]:
    late = since("2025-06-18", revision, {"lastModified": STRING})
    return {"annotations": closed({}, {"audience": STRINGS, "priority": NUMBER, **late})}


def held(revision: str) -> Shape:
    more = {"mimeType": STRING, **meta(revision)}
    return {"oneOf": [closed({"uri": STRING, key: STRING}, more) for key in ("text", "blob")]}


def resource_members(revision: str) -> dict[str, Shape]:
    return {
        "description": STRING,
        "mimeType": STRING,
        **notes(revision),
        **title(revision),
        **icons(revision),
        **meta(revision),
    }


def plain_blocks(revision: str) -> list[Shape]:
    more = {**notes(revision), **meta(revision)}
    media = {"data": STRING, "mimeType": STRING}
    blocks = [
        closed({"type": {"const": "text"}, "text": STRING}, more),
        closed({"type": {"const": "image"}, **media}, more),
    ]
    if revision >= "2025-03-26":
        blocks.append(closed({"type": {"const": "audio"}, **media}, more))
    return blocks


def block(revision: str) -> Shape:
    more = {**notes(revision), **meta(revision)}
    blocks = [*plain_blocks(revision), closed({"type": {"const": "resource"}, "resource": held(revision)}, more)]
    if revision >= "2025-06-18":
        named = {"type": {"const": "resource_link"}, "uri": STRING, "name": STRING}
        blocks.append(closed(named, {"size": NUMBER, **resource_members(revision)}))
    return {"oneOf": blocks}


def sampling_block(revision: str) -> Shape:
    blocks = plain_blocks(revision)
    if revision >= "2025-11-25":
        structured = ANY if revision >= "2026-07-28" else OBJECT
        blocks.append(
            closed({"type": {"const": "tool_use"}, "id": STRING, "name": STRING, "input": OBJECT}, {"_meta": OBJECT})
        )
        blocks.append(
            closed(
                {"type": {"const": "tool_result"}, "toolUseId": STRING, "content": listed(block(revision))},
                {"structuredContent": structured, "isError": BOOLEAN, "_meta": OBJECT},
            )
        )
    return {"oneOf": blocks}


def result(method: str, revision: str) -> Shape:
    """A session's result; `_meta` may hold nothing of the hop."""
    hop = {"not": {"pattern": "^io.modelcontextprotocol/(serverInfo|subscriptionId)$"}}
    common: dict[str, Shape] = {"_meta": {"type": "object", "propertyNames": hop}}
    if method == "tools/call":
        structured = since("2025-06-18", revision, {"structuredContent": OBJECT})
        return closed({"content": listed(block(revision))}, {"isError": BOOLEAN, **structured, **common})
    if method == "prompts/get":
        message = closed({"role": STRING, "content": block(revision)})
        return closed({"messages": listed(message)}, {"description": STRING, **common})
    assert method == "resources/read"
    return closed({"contents": listed(held(revision))}, common)


def schema_of_a_tool(revision: str, *, any_root: bool = False) -> Shape:
    if revision >= "2026-07-28":
        return OBJECT if any_root else {"type": "object", "properties": {"type": {"const": "object"}}}
    objects = {"type": "object", "additionalProperties": OBJECT}
    return {
        "type": "object",
        "properties": {"type": {"const": "object"}, "properties": objects, "required": STRINGS},
        "required": ["type"],
    }


def entry(kind: str, revision: str) -> Shape:
    named = {**title(revision), **icons(revision), **meta(revision)}
    if kind == "tools":
        hints = {"title": STRING, "readOnlyHint": BOOLEAN}
        return closed(
            {"name": STRING, "inputSchema": schema_of_a_tool(revision)},
            {
                "description": STRING,
                **named,
                **since("2025-03-26", revision, {"annotations": closed({}, hints)}),
                **since("2025-06-18", revision, {"outputSchema": schema_of_a_tool(revision, any_root=True)}),
                **({"execution": OBJECT} if revision == "2025-11-25" else {}),
            },
        )
    if kind == "prompts":
        argument = closed({"name": STRING}, {"description": STRING, "required": BOOLEAN, **title(revision)})
        return closed({"name": STRING}, {"description": STRING, "arguments": listed(argument), **named})
    if kind == "resources":
        return closed({"uri": STRING, "name": STRING}, {"size": NUMBER, **resource_members(revision)})
    return closed({"uriTemplate": STRING, "name": STRING}, resource_members(revision))


def sampling(revision: str) -> Shape:
    content = sampling_block(revision)
    late: dict[str, Shape] = {}
    if revision >= "2025-11-25":
        content = {"anyOf": [content, listed(content)]}
        late = {"tools": listed(entry("tools", revision)), "toolChoice": OBJECT}
    message = closed({"role": STRING, "content": content}, since("2025-11-25", revision, {"_meta": OBJECT}))
    task = {"task": OBJECT} if revision == "2025-11-25" else {}
    return closed({"messages": listed(message), "maxTokens": NUMBER}, {"_meta": OBJECT, **late, **task})
