"""Where a request goes: the service, the server's own name for the thing, and what is written for it."""

from __future__ import annotations

from tidegate.pipeline.upstream.dialect import Edit
from tidegate.pipeline.upstream.service import Service


class Target:
    """Found by `forwarding.py` in the catalogue, used by `calls.py` and `tasks/`."""

    __slots__ = ("by_arguments", "edits", "generation", "headers", "name", "needs_task", "service")

    def __init__(
        self,
        service: Service,
        name: str | None,
        edits: list[Edit],
        headers: tuple[tuple[str, str], ...] = (),
        *,
        needs_task: bool = False,
        by_arguments: bool = False,
    ) -> None:
        self.service = service
        self.name = name
        self.edits = edits
        self.headers = headers
        self.generation = 0
        """Of the configuration by which it was found, as `Calls` counts them."""
        self.needs_task = needs_task
        """A tool that its session server runs as a task only."""
        self.by_arguments = by_arguments
        """What was decided may be another thing for other arguments of the same tool."""
