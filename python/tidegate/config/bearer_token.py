"""Makes bearer tokens: 256 random bits that can be recognised, and the hash that is kept of them."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

PREFIX: Final = "tg_"
"""So that a scanner (and a person) sees what leaked."""

RANDOM_BYTES: Final = 32


def new_token() -> str:
    """`tg_` and 32 random bytes in base64url, 43 characters."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def token_sha256(token: str) -> str:
    """Lower-case hex. A plain hash suffices: nobody guesses 256 bits, so there is nothing to slow down."""
    return hashlib.sha256(token.encode()).hexdigest()
