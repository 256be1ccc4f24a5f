"""A backend that runs models, as the loop of their memory sees it: its children, what they use, how to stop them."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.pipeline.upstream.child.usage import memory_bytes
from tidegate.pipeline.upstream.connection import Connection
from tidegate.pipeline.upstream.service import Service
from tidegate.pipeline.upstream.stdio_child import StdioChild


class ModelWorker:
    """Implements `Worker` of `control/model_memory.py`."""

    __slots__ = ("_service", "name")

    def __init__(self, service: Service) -> None:
        self._service = service
        self.name = service.name

    def _children(self) -> Iterator[tuple[Connection, StdioChild]]:
        for slot in self._service.slots.values():
            if slot.connection is not None and isinstance(slot.connection.link, StdioChild):
                yield slot.connection, slot.connection.link

    def used_memory_bytes(self) -> int:
        return sum(memory_bytes(child.pid) for _, child in self._children() if child.pid is not None)

    def requests_made(self) -> int:
        return sum(connection.requests for connection, _ in self._children())

    def rest(self, cause: str) -> bool:
        return self._service.rest(cause)

    def overdrawn(self, how: str) -> None:
        for _, child in list(self._children()):
            child.overdrawn(how)
