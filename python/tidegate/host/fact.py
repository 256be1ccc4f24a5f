"""What one fact about the box is: a tool, a resource, and how to look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tidegate.host.shape import Schema

Observed = dict[str, Any]
"""A JSON object; field names carry their unit (`_bytes`, `_s`, `_c`, `_percent`), None is "not known"."""


class Fact(Protocol):
    """One subject. `observe` may block on sysfs, so never call it on an event loop; it is thread-safe."""

    @property
    def name(self) -> str:
        """Tool name, and the host part of `host://<name>`."""

    @property
    def title(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def inputs(self) -> Schema: ...

    @property
    def outputs(self) -> Schema: ...

    @property
    def ttl_ms(self) -> int:
        """How long an answer may be taken for fresh."""

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        """Looks now. `arguments` have passed `inputs`; missing ones mean their default."""

    def describe(self, observed: Observed) -> str:
        """The same in a few lines of text."""
