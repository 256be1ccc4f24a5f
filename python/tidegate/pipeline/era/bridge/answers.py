"""Whether a client's answer to a question is one: what a server of any revision would choke on is told the client.

Sources: `ElicitResult`, `CreateMessageResult` and `ListRootsResult` of the schemas. What a server makes of the
contents is its own affair.
"""

from __future__ import annotations

from typing import Final

from tidegate.pipeline.era.bridge.pieces import elements, members, text_of

_ACTIONS: Final = ("accept", "decline", "cancel")


def fault_of(method: str, answer: bytes) -> str | None:
    """What is wrong with `answer`, a raw JSON value; None for nothing."""
    if not answer.startswith(b"{"):
        return "must be an object: the result of what was asked"
    known = members(answer)
    if method == "elicitation/create":
        return _elicitation(known)
    if method == "sampling/createMessage":
        return _sampling(known)
    if method == "roots/list":
        return _roots(known)
    return None


def _elicitation(known: dict[str, bytes]) -> str | None:
    if text_of(known.get("action")) not in _ACTIONS:
        return "needs `action`: one of " + ", ".join(f"`{action}`" for action in _ACTIONS)
    if not known.get("content", b"{}").startswith((b"{", b"null")):
        return "has a `content` that is no object"
    return None


def _sampling(known: dict[str, bytes]) -> str | None:
    if text_of(known.get("role")) not in ("assistant", "user"):
        return "needs `role`: `assistant`"
    if text_of(known.get("model")) is None:
        return "needs `model`, a string"
    if not known.get("content", b"").startswith((b"{", b"[")):
        return "needs `content`, a block or an array of them"
    return None


def _roots(known: dict[str, bytes]) -> str | None:
    roots = known.get("roots", b"")
    if not roots.startswith(b"[") or any(text_of(members(root).get("uri")) is None for root in elements(roots)):
        return "needs `roots`, an array of objects with a `uri`"
    return None
