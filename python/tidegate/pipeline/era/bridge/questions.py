"""What a server asks of a client (sampling, elicitation, roots), in the words of the client's revision.

Called with the raw `params` of a question after `may_ask` let it pass; where a client of the revision cannot
have declared the ability, nothing is made up here. Sources: `CreateMessageRequest`, `ElicitRequest`,
`ListRootsRequest` of the five `schema.ts`; SEP-1330 (enums), SEP-2322 (questions inside results).
"""

from __future__ import annotations

import secrets
from typing import Final

from tidegate.pipeline.codec import patch_object
from tidegate.pipeline.era.bridge.abilities import Abilities
from tidegate.pipeline.era.bridge.content import block_for, blocks_for
from tidegate.pipeline.era.bridge.entries import entry_for
from tidegate.pipeline.era.bridge.pieces import (
    elements,
    for_each,
    for_each_member,
    members,
    text_of,
    within,
    without,
    without_meta,
)
from tidegate.pipeline.era.bridge.vocabulary import TASKS, lacking
from tidegate.pipeline.json_text import json_bytes
from tidegate.protocol.meta_keys import PROGRESS_TOKEN, REQUEST_ENVELOPE
from tidegate.protocol.revisions import MODERN

_NOTHING: Final = b'{"type":"text","text":""}'


def question_for(method: str, params: bytes, revision: str, abilities: Abilities | None = None) -> bytes:
    """The `params` of a question, a raw JSON object (or empty for none), for a client of `revision`.

    With the client's `abilities`, also less what it did not declare and what may be left out: the servers'
    context in a sampling request. The same object when it fits.
    """
    # In the stateless era a question travels inside a result: no request, so it has no progress of its own.
    params = without_meta(params, (PROGRESS_TOKEN,) if revision in MODERN else REQUEST_ENVELOPE)
    params = without(params, lacking(method, revision))
    if method == "sampling/createMessage":
        return _sampling(params, revision, abilities)
    if method == "elicitation/create":
        return _elicitation(params, revision)
    return params


# -- sampling ---------------------------------------------------------------------------------------------------


def _sampling(params: bytes, revision: str, abilities: Abilities | None) -> bytes:
    params = within(params, "messages", lambda messages: _messages(messages, revision))
    params = within(params, "tools", lambda tools: for_each(tools, lambda tool: entry_for("tools", tool, revision)))
    if abilities is not None and revision >= TASKS and "context" not in abilities.get("sampling", {}):
        # Before that there was nothing to declare, and the client decides.
        context = text_of(members(params).get("includeContext"))
        if context in ("thisServer", "allServers"):
            params = without(params, ("includeContext",))
    return params


def _messages(messages: bytes, revision: str) -> bytes:
    late = lacking("message", revision)
    if revision >= TASKS:
        return for_each(messages, lambda message: within(message, "content", lambda it: _content(it, revision)))
    return _spread(for_each(messages, lambda message: without(message, late)), revision)


def _content(content: bytes, revision: str) -> bytes:
    if content.startswith(b"["):
        return blocks_for(content, revision, "sampling")
    return block_for(content, revision, "sampling")


def _spread(messages: bytes, revision: str) -> bytes:
    """Until 2025-11-25 a message has one block: one of several becomes as many messages of the same role."""
    spread: list[bytes] = []
    changed = False
    for message in elements(messages):
        content = members(message).get("content", _NOTHING)
        blocks = elements(content) if content.startswith(b"[") else [content]
        for block in blocks or [_NOTHING]:
            single = block_for(block, revision, "sampling")
            if single is not content:
                changed = True
                spread.append(_saying(message, single))
            else:
                spread.append(message)
    return b"[" + b",".join(spread) + b"]" if changed else messages


def _saying(message: bytes, block: bytes) -> bytes:
    return within(message, "content", lambda _: block)


# -- elicitation ------------------------------------------------------------------------------------------------


def _elicitation(params: bytes, revision: str) -> bytes:
    known = members(params)
    if text_of(known.get("mode")) == "url":
        if revision in MODERN:
            return without(params, ("elicitationId",))
        if text_of(known.get("elicitationId")) is None and revision >= TASKS:
            named = json_bytes(secrets.token_urlsafe(16))
            return patch_object(without(params, ("elicitationId",)), [("elicitationId", named)])
        return params
    if known.get("mode") == b"null":
        params = without(params, ("mode",))
    if revision >= TASKS:
        return params
    params = without(params, ("mode",))
    return within(params, "requestedSchema", lambda schema: within(schema, "properties", _choices))


def _choices(properties: bytes) -> bytes:
    """Titled choices as 2025-06-18 spells them. Choices of several have no counterpart there and stay."""
    if b'"oneOf"' not in properties:
        return properties
    return for_each_member(properties, _choice)


def _choice(field: bytes) -> bytes:
    known = members(field)
    options = [members(option) for option in elements(known.get("oneOf", b""))]
    values = [option.get("const", b"") for option in options]
    if known.get("type") != b'"string"' or "enum" in known or not values:
        return field
    if not all(value.startswith(b'"') for value in values):
        return field
    titles = [option["title"] if text_of(option.get("title")) else option["const"] for option in options]
    listed: list[tuple[str, bytes | None]] = [
        ("enum", b"[" + b",".join(values) + b"]"),
        ("enumNames", b"[" + b",".join(titles) + b"]"),
    ]
    return patch_object(without(field, ("oneOf", "enumNames")), listed)
