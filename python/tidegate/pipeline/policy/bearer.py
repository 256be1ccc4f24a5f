"""Bearer tokens: from what a client shows to who it is. Only digests are known here."""

from __future__ import annotations

import hashlib

from tidegate.config.snapshot import Snapshot
from tidegate.pipeline.principal import Principal


class Bearer:
    """The clients of one configuration."""

    def __init__(self, snapshot: Snapshot) -> None:
        limits = snapshot.limits
        self._by_digest = {
            client.token_sha256: Principal(client.name, client, rate_per_s=limits.rate_per_s, burst=limits.burst)
            for client in snapshot.clients
        }
        self.required = bool(self._by_digest)
        """Whether anonymous callers are turned away."""
        self.anonymous = Principal("anonymous", None, rate_per_s=limits.rate_per_s, burst=limits.burst)

    def principal(self, token: str) -> Principal | None:
        """Whose token it is. Looked up by digest, so the time says nothing about the token."""
        return self._by_digest.get(hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest())

    def from_header(self, authorization: str | None) -> Principal | None:
        """The caller by an `Authorization` header; the anonymous one where none is required."""
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer":
                return self.principal(token.strip()) or (None if self.required else self.anonymous)
        return None if self.required else self.anonymous
