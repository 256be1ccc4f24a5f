"""Bearer tokens: from what a client shows to who it is. Only digests are known here."""

from __future__ import annotations

import hashlib

from tidegate.config.snapshot import Snapshot
from tidegate.pipeline.principal import Principal


class Bearer:
    """The clients of the configuration in force."""

    def __init__(self, snapshot: Snapshot) -> None:
        limits = snapshot.limits
        self._by_digest: dict[str, Principal] = {}
        self.required = False
        """Whether anonymous callers are turned away."""
        self.anonymous = Principal("anonymous", None, rate_per_s=limits.rate_per_s, burst=limits.burst)
        """Everybody, where nobody needs a token."""
        self.owner = Principal("anonymous", None, rate_per_s=limits.rate_per_s, burst=limits.burst)
        """Our own user and root on the unix socket, who never need one. For all but that the same as `anonymous`."""
        self.take_up(snapshot)

    def take_up(self, snapshot: Snapshot) -> list[Principal]:
        """The clients of `snapshot` from now on. Whoever keeps name and token stays the same object.

        Returns everybody who came, went or has other rules than before. Those who went are `revoked`.
        """
        limits = snapshot.limits
        before, now = self._by_digest, dict[str, Principal]()
        moved: list[Principal] = []
        for client in snapshot.clients:
            known = before.get(client.token_sha256)
            if known is None or known.name != client.name:
                known = Principal(client.name, client, rate_per_s=limits.rate_per_s, burst=limits.burst)
                moved.append(known)
            else:
                rules = _rules(known)
                known.adjust(client, rate_per_s=limits.rate_per_s, burst=limits.burst)
                if _rules(known) != rules:
                    moved.append(known)
            now[client.token_sha256] = known
        for everybody in (self.anonymous, self.owner):
            rules = _rules(everybody)
            everybody.adjust(None, rate_per_s=limits.rate_per_s, burst=limits.burst)
            if _rules(everybody) != rules:
                moved.append(everybody)
        kept = set(map(id, now.values()))
        for principal in before.values():
            principal.revoked = id(principal) not in kept
            if principal.revoked:
                moved.append(principal)
        self._by_digest = now
        self.required = self.anonymous.revoked = bool(now)
        return moved

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


def _rules(principal: Principal) -> tuple[object, ...]:
    return principal.patterns, principal.rate_per_s, principal.burst
