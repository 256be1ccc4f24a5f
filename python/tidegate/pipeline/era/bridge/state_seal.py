"""`requestState` of the gateway's own: which suspended call a retry belongs to, and that it may have it.

2026-07-28, patterns/mrtr, "Server Requirements" 4 and 5: the client carries the state, so it is encrypted and
authenticated, and holds the principal, an expiry and a digest of the request it was given out for. The key lives
and dies with the process, as the suspended calls do; a mark in front tells a state of an earlier process from a
forged one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import struct
from typing import Final

from tidegate.errors import InvalidParams
from tidegate.pipeline.codec import Envelope, seal, unseal
from tidegate.pipeline.json_text import json_value

_MARK: Final = "tg1"
_LAYOUT: Final = struct.Struct(">16sd32s32s")
"""Call, expiry on the gateway's clock, digest of the request, digest of the principal's key."""
_MOST_BYTES: Final = 1024
_NOT_OF_THE_REQUEST: Final = ("_meta", "inputResponses", "requestState")
_WAY_OUT: Final = "send the request again without `requestState` and `inputResponses`"


class StateSeal:
    """Seals and opens states of one run of the gateway."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._run = secrets.token_hex(4)

    def issue(self, call: bytes, principal: str, request: bytes, expires_s: float) -> str:
        """`call`: 16 bytes; `request`: what `request_digest` said of the request it is given out for."""
        plain = _LAYOUT.pack(call, expires_s, request, _digest(principal))
        sealed = seal(self._key, plain, self._run.encode())
        return f"{_MARK}.{self._run}.{base64.urlsafe_b64encode(sealed).decode().rstrip('=')}"

    def issued(self, state: str) -> bool:
        """Whether it looks like one of this run; a server may give out states of its own."""
        return state.startswith(f"{_MARK}.{self._run}.")

    def open(self, state: str, principal: str, request: bytes, now_s: float) -> bytes:
        """The call it stands for. Raises: InvalidParams, saying what is wrong and what to do."""
        mark, _, rest = state.partition(".")
        run, _, text = rest.partition(".")
        if mark == _MARK and len(run) == len(self._run) and run != self._run:
            raise InvalidParams(f"`requestState` is from before the gateway was restarted; {_WAY_OUT}")
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            sealed = b""
        ours = mark == _MARK and run == self._run and len(sealed) <= _MOST_BYTES
        plain = unseal(self._key, sealed, run.encode()) if ours else None
        if plain is None:
            raise InvalidParams(f"`requestState` is not one that this gateway gave out, or was altered; {_WAY_OUT}")
        call, expires_s, digest, owner = _LAYOUT.unpack(plain)
        if not secrets.compare_digest(owner, _digest(principal)):
            raise InvalidParams("`requestState` was given out to another client")
        if not secrets.compare_digest(digest, request):
            raise InvalidParams("`requestState` belongs to another request: repeat method and params unchanged")
        if now_s >= expires_s:
            raise InvalidParams(f"`requestState` has expired, its call does not wait any more; {_WAY_OUT}")
        return bytes(call)


def request_digest(message: bytes, envelope: Envelope) -> bytes:
    """What makes two requests the same: the method and all params but those that change from try to try."""
    span = envelope.params_span
    params = json_value(message[span[0] : span[1]]) if span is not None else {}
    salient = {key: value for key, value in params.items() if key not in _NOT_OF_THE_REQUEST}
    return hashlib.sha256(json.dumps([envelope.method, salient], sort_keys=True).encode()).digest()


def _digest(principal: str) -> bytes:
    return hashlib.sha256(principal.encode()).digest()
