"""What a client lets servers ask of it, in words of no particular era.

`asked_abilities` reads a client's declaration once; `may_ask` holds every question against it, so that an
ability which the client did not declare is never used on it. Sources: `ClientCapabilities` of the five
`schema.ts`; 2025-11-25 and 2026-07-28, client/elicitation and client/sampling, "Capabilities".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.json_text import json_value

Abilities = dict[str, dict[str, dict[str, object]]]
"""Ability → the parts of it, each with an empty object. What is not declared is not there."""

_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "elicitation": ("form", "url"),
    "sampling": ("tools", "context"),
    "roots": (),
}

_ABILITY_OF: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


def asked_abilities(capabilities: Mapping[str, object]) -> Abilities:
    """A client's declared capabilities, reduced to what a server may use on it.

    Equal abilities come out equal, in the same order: the JSON of them may serve as a key. Elicitation of no
    named mode is elicitation by form, as 2025-06-18 has it and later revisions still read it.
    """
    found: Abilities = {}
    for ability, parts in _PARTS.items():
        declared = capabilities.get(ability)
        if not isinstance(declared, dict):
            continue
        found[ability] = {part: {} for part in parts if isinstance(declared.get(part), dict)}
        if ability == "elicitation" and not found[ability]:
            found[ability] = {"form": {}}
    return found


def may_ask(abilities: Abilities, method: str, params: bytes) -> str | None:
    """None when a client of these abilities may be asked this, else a sentence that says what it did not declare.

    `params` is a raw JSON object, or empty for none.
    """
    ability = _ABILITY_OF.get(method)
    if ability is None:
        return f"A server may not ask a client `{method}`"
    parts = abilities.get(ability)
    if parts is None:
        return f"The client did not declare `{ability}`"
    known = members(params)
    if ability == "elicitation":
        mode = _mode(known.get("mode"))
        if mode not in parts:
            return f"The client did not declare `elicitation.{mode}`"
    elif ability == "sampling" and "tools" not in parts:
        used = next((name for name in ("tools", "toolChoice") if known.get(name, b"null") != b"null"), None)
        if used is not None:
            return f"The client did not declare `sampling.tools`, which `{used}` needs"
    return None


def needed(method: str, params: bytes) -> Abilities:
    """What a client must declare to be asked this; nothing for what no client can be asked."""
    ability = _ABILITY_OF.get(method)
    if ability is None:
        return {}
    known = members(params)
    if ability == "elicitation":
        return {ability: {_mode(known.get("mode")): {}}}
    if ability == "sampling" and any(known.get(name, b"null") != b"null" for name in ("tools", "toolChoice")):
        return {ability: {"tools": {}}}
    return {ability: {}}


def undeclared(abilities: bytes, result: bytes) -> Abilities:
    """What an `InputRequiredResult` (a raw JSON object) asks that a client of these abilities (raw) did not declare."""
    declared = json_value(abilities)
    missing: Abilities = {}
    for raw in members(members(result).get("inputRequests", b"{}")).values():
        request = members(raw)
        method = text_of(request.get("method")) or ""
        params = request.get("params", b"{}")
        if may_ask(declared, method, params) is not None:
            missing |= needed(method, params)
    return missing


def _mode(raw: bytes | None) -> str:
    """How an elicitation is to be made; by form unless it says otherwise."""
    if raw is None or raw == b"null":
        return "form"
    return text_of(raw) or json.dumps(json_value(raw))
