"""Who a request is from, and what that one may see and use.

Made by `bearer.py` for a token, for a user whom the kernel vouches for, or for everybody where nobody needs a token. A
refused thing looks exactly like an unknown one.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from tidegate.config.snapshot import Client

_CACHE_ENTRIES = 4096
"""Decisions remembered per principal; names come from clients, so the memory is bounded."""


class Principal:
    """A caller. Compare by identity: one object per name and token, as long as a configuration has both."""

    __slots__ = ("_allowed", "burst", "key", "name", "patterns", "rate_per_s", "revoked")

    def __init__(self, name: str, client: Client | None, *, rate_per_s: float, burst: int) -> None:
        self.name = name
        self.key = name if client is not None else f":{name}"
        """Unlike that of any other. No name in a configuration has a colon."""
        self.revoked = False
        """The configuration does not have it any more: whoever came in as this must show again who they are."""
        self.patterns: dict[str, tuple[str, ...]] | None = None
        """None: everything."""
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._allowed: dict[tuple[str, str], bool] = {}
        self.adjust(client, rate_per_s=rate_per_s, burst=burst)

    def adjust(self, client: Client | None, *, rate_per_s: float, burst: int) -> None:
        """From now on under these rules; `rate_per_s` and `burst` where the client has none of its own."""
        patterns = None
        if client is not None:
            patterns = {"tools": client.tools, "resources": client.resources, "prompts": client.prompts}
            patterns["templates"] = client.resources
        self.patterns = patterns if patterns and any("*" not in allowed for allowed in patterns.values()) else None
        self._allowed = {}
        self.rate_per_s = client.rate_per_s if client and client.rate_per_s is not None else rate_per_s
        self.burst = client.burst if client and client.burst is not None else burst

    def may_use(self, kind: str, name: str) -> bool:
        """Whether this caller may see and use `name`, a tool, prompt, resource or template of the catalogue."""
        patterns = self.patterns
        if patterns is None:
            return True
        key = (kind, name)
        known = self._allowed.get(key)
        if known is None:
            known = any(fnmatchcase(name, pattern) for pattern in patterns[kind])
            if len(self._allowed) >= _CACHE_ENTRIES:
                self._allowed.clear()
            self._allowed[key] = known
        return known
