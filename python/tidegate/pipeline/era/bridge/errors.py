"""A server's errors in the numbers of the client's revision.

Called by the listeners of this folder with the raw `error` of a response. Messages and data stay what the server said,
except where the error is about the hop between the gateway and the server, of which the client knows nothing.
Source: 2026-07-28, basic "Error Codes"; 2025-11-25, server/resources "Error Handling".
"""

from __future__ import annotations

from typing import Final

from tidegate.errors import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    MISSING_CLIENT_CAPABILITY,
    RESOURCE_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from tidegate.pipeline.codec import patch_object
from tidegate.pipeline.era.bridge.pieces import members, text_of
from tidegate.pipeline.json_text import json_bytes
from tidegate.protocol.revisions import MODERN

URL_ELICITATION_REQUIRED: Final = -32042
"""2025-11-25 only. Left as it is: what to make of it is the caller's to decide."""

_RESERVED: Final = range(-32099, -32019)
"""Codes that only the specification may give a meaning to, from 2026-07-28 on."""
_CODES: Final = range(-(2**31), 2**31)
"""What clients read into 32 bits."""
_HOP: Final = (HEADER_MISMATCH, UNSUPPORTED_PROTOCOL_VERSION)
"""Said of a request as the gateway wrote it."""


def error_for(method: str, error: bytes, revision: str, server_keeps_session: bool) -> tuple[bytes, int]:
    """The error (a raw JSON object) that `method` ended with, for a client of `revision`; and its code.

    `server_keeps_session`: the server is of the session era (to 2025-11-25). The same object when it fits.
    """
    known = members(error)
    code = _read_code(known.get("code"))
    message = text_of(known.get("message"))
    changes: list[tuple[str, bytes | None]] = []
    if message is None:
        message = "The server gave no reason"
        changes.append(("message", json_bytes(message)))
    fit = _code_for(method, code, known, revision, server_keeps_session)
    if code in _HOP and not server_keeps_session:
        words = f"The server refused the request as the gateway wrote it: {message}"
        # `data` would name the versions of the hop, and a client would try them on the gateway.
        changes = [("message", json_bytes(words)), ("data", None)]
    if fit != code:
        changes.append(("code", b"%d" % fit))
    if not changes:
        return error, fit
    return patch_object(error, changes), fit


def _code_for(method: str, code: int | None, known: dict[str, bytes], revision: str, server_keeps_session: bool) -> int:
    if code is None:
        return INTERNAL_ERROR
    if not server_keeps_session and code in _HOP:
        return INTERNAL_ERROR
    if revision in MODERN:
        if code == RESOURCE_NOT_FOUND:
            return INVALID_PARAMS
        if server_keeps_session and code in _RESERVED and code != URL_ELICITATION_REQUIRED:
            return INTERNAL_ERROR
        return code
    if server_keeps_session:
        return code
    if code == MISSING_CLIENT_CAPABILITY:
        return INVALID_REQUEST
    if code == INVALID_PARAMS and method == "resources/read" and "uri" in members(known.get("data", b"null")):
        return RESOURCE_NOT_FOUND
    return code


def _read_code(raw: bytes | None) -> int | None:
    """The integer that `raw` spells, or None."""
    if raw is None or len(raw) > 11 or not raw.removeprefix(b"-").isdigit():
        return None
    code = int(raw)
    return code if code in _CODES else None
