"""Content blocks in the words of a revision: what it lacks becomes text that says what was there.

Called for results and for questions. A block of a type that the revision has keeps its bytes, less the
members that came later. Source: `ContentBlock` and `SamplingMessage` of the five `schema.ts`.
"""

from __future__ import annotations

from functools import cache

from tidegate.pipeline.codec import patch_object, splice
from tidegate.pipeline.era.bridge.pieces import elements, for_each, members, mentions, text_of, within, without
from tidegate.pipeline.era.bridge.vocabulary import STRUCTURED, lacking
from tidegate.pipeline.json_text import json_bytes
from tidegate.protocol.revisions import MODERN


@cache
def suspects(place: str, revision: str) -> tuple[str, ...]:
    """Content without any of these words, in quotes, is as the revision has it."""
    words = lacking(place, revision) + lacking("content", revision) + lacking("annotations", revision)
    # A tool's result that is told to a model has structured output of its own.
    return (*words, "structuredContent") if place == "sampling" and revision not in MODERN else words


def fits(value: bytes, revision: str, place: str = "block") -> bool:
    """Whether whatever content there is in `value` surely needs no change: cheap, and wrong only towards no."""
    return not mentions(value, suspects(place, revision))


def block_for(block: bytes, revision: str, place: str = "block") -> bytes:
    """One block. `place` is "block" (tool results, prompts) or "sampling"."""
    if fits(block, revision, place):
        return block
    known = members(block)
    kind = text_of(known.get("type"))
    if kind in lacking(place, revision):
        said: list[tuple[str, bytes | None]] = [
            ("type", b'"text"'),
            ("text", json_bytes(_describe(kind or "", known, revision))),
        ]
        if "annotations" in known:
            said.append(("annotations", known["annotations"]))
        block = patch_object(b"{}", said)
    elif kind == "tool_result":
        block = within(structured_for(block, revision), "content", lambda blocks: blocks_for(blocks, revision))
    return _less(block, revision)


def blocks_for(blocks: bytes, revision: str, place: str = "block") -> bytes:
    """An array of blocks."""
    if fits(blocks, revision, place):
        return blocks
    return for_each(blocks, lambda block: block_for(block, revision, place))


def resource_for(resource: bytes, revision: str) -> bytes:
    """What a resource holds: in `resources/read`, or embedded in a block."""
    return without(resource, lacking("content", revision))


def annotated_for(value: bytes, revision: str) -> bytes:
    """Anything with `annotations` of an audience, a priority and a date."""
    late = lacking("annotations", revision)
    return within(value, "annotations", lambda notes: without(notes, late)) if mentions(value, late) else value


def structured_starts(revision: str) -> bytes:
    """What `structuredContent` may begin with, in revisions with sessions: an object only, or nothing at all."""
    return b"{" if revision >= STRUCTURED else b""


def structured_for(holder: bytes, revision: str) -> bytes:
    """A tool's result without `structuredContent` that the revision cannot have.

    Until 2025-06-18 there is none, until 2026-07-28 it is an object. When no text stands beside it, the JSON
    becomes the text, as 2025-06-18 (server/tools, "Structured Content") wants it for clients that read only text.
    """
    if revision in MODERN or b'"structuredContent"' not in holder:
        return holder
    known = members(holder)
    value = known.get("structuredContent")
    if value is None or value[0] in structured_starts(revision):
        return holder
    blocks = known.get("content")
    if value != b"null" and not any(text_of(members(block).get("type")) == "text" for block in elements(blocks or b"")):
        said = patch_object(b'{"type":"text"}', [("text", json_bytes(value.decode()))])
        if blocks is None:
            holder = patch_object(holder, [("content", b"[" + said + b"]")])
        else:
            holder = within(holder, "content", lambda array: _appended(array, said))
    return without(holder, ("structuredContent",))


def _appended(array: bytes, element: bytes) -> bytes:
    if not array.startswith(b"["):
        return array
    end = len(array) - 1
    return splice(array, [(end, end, b"," + element if elements(array) else element)])


def _less(block: bytes, revision: str) -> bytes:
    """The block less the members that came after the revision."""
    late = lacking("content", revision)
    block = annotated_for(without(block, late), revision)
    if b'"resource"' in block and mentions(block, late):
        block = within(block, "resource", lambda resource: resource_for(resource, revision))
    return block


# -- words for what cannot be shown -------------------------------------------------------------------------


def _describe(kind: str, known: dict[str, bytes], revision: str) -> str:
    if kind == "resource_link":
        return _describe_link(known)
    if kind == "tool_use":
        name = text_of(known.get("name")) or "unnamed"
        call = text_of(known.get("id"))
        return f"[use of tool {name}{f', call {call}' if call else ''}] {known.get('input', b'{}').decode()}"
    if kind == "tool_result":
        return _describe_result(known, revision)
    facts = [text_of(known.get("mimeType")), _size_of_base64(known.get("data"))]
    return f"[{kind}: {', '.join(fact for fact in facts if fact)}; not in protocol revision {revision}]"


def _describe_link(known: dict[str, bytes]) -> str:
    title = text_of(known.get("title"))
    size = known.get("size", b"")
    facts = [
        title,
        text_of(known.get("name")) if title is None else None,
        text_of(known.get("uri")),
        text_of(known.get("mimeType")),
        f"{size.decode()} bytes" if size.isdigit() else None,
    ]
    description = text_of(known.get("description"))
    return f"[resource: {', '.join(fact for fact in facts if fact)}]" + (f" {description}" if description else "")


def _describe_result(known: dict[str, bytes], revision: str) -> str:
    failed = known.get("isError") == b"true"
    call = text_of(known.get("toolUseId"))
    said = [f"[{'error' if failed else 'result'} of tool{f', call {call}' if call else ''}]"]
    content = known.get("content", b"[]")
    inner = [members(block_for(block, revision)) for block in elements(content)]
    texts = [text_of(block.get("text")) or f"[{text_of(block.get('type')) or 'content'}]" for block in inner]
    if not texts and "structuredContent" in known:
        texts = [known["structuredContent"].decode()]
    return "\n".join(said + texts) if len(texts) > 1 else " ".join(said + texts)


def _size_of_base64(data: bytes | None) -> str | None:
    """Of a raw JSON string in base64, the bytes it stands for."""
    if data is None or not data.startswith(b'"'):
        return None
    return f"{(len(data) - 2) * 3 // 4 - data[-3:-1].count(b'=')} bytes"
