"""The reference servers from npm: how each is launched, and one real piece of work with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node_runtime import node, package_file

MESSAGE = "Grüße, \u4e16\u754c \U0001f600"


@dataclass(frozen=True)
class NpmServer:
    """A server, and the calls of one visit, in order: they may build on each other."""

    name: str
    arguments: Callable[[Path], list[str]]
    environment: Callable[[Path], dict[str, str]]
    calls: Callable[[Path], list[tuple[str, dict[str, Any]]]]
    lowest_tools: int

    def command(self, folder: Path) -> list[str]:
        """Launches it on a folder of its own."""
        return [
            node(),
            package_file(f"@modelcontextprotocol/server-{self.name}", "dist/index.js"),
            *self.arguments(folder),
        ]


def _everything(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("echo", {"message": MESSAGE}),
        ("get-sum", {"a": 2.5, "b": 4}),
        ("get-tiny-image", {}),
        ("get-structured-content", {"location": "New York"}),
        ("get-annotated-message", {"messageType": "error", "includeImage": True}),
        ("get-resource-links", {"count": 3}),
        ("get-sum", {"a": "not a number", "b": 4}),
    ]


def _filesystem(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    note = str(folder / "note.txt")
    return [
        ("write_file", {"path": note, "content": f"{MESSAGE}\nsecond line\n"}),
        ("read_text_file", {"path": note}),
        ("read_text_file", {"path": note, "head": 1}),
        ("edit_file", {"path": note, "edits": [{"oldText": "second", "newText": "2nd"}], "dryRun": False}),
        ("list_directory", {"path": str(folder)}),
        ("search_files", {"path": str(folder), "pattern": "*.txt"}),
        ("read_text_file", {"path": "/etc/hostname"}),
    ]


def _memory(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    ada = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program", MESSAGE]}
    engine = {"name": "Engine", "entityType": "machine", "observations": []}
    return [
        ("create_entities", {"entities": [ada, engine]}),
        ("create_relations", {"relations": [{"from": "Ada", "to": "Engine", "relationType": "programs"}]}),
        ("add_observations", {"observations": [{"entityName": "Engine", "contents": ["never built"]}]}),
        ("read_graph", {}),
        ("search_nodes", {"query": "first program"}),
    ]


def _thinking(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    first = {"thought": "Begin.", "nextThoughtNeeded": True, "thoughtNumber": 1, "totalThoughts": 2}
    last = {"thought": MESSAGE, "nextThoughtNeeded": False, "thoughtNumber": 2, "totalThoughts": 2}
    return [("sequentialthinking", first), ("sequentialthinking", last)]


SERVERS = (
    NpmServer("everything", lambda folder: ["stdio"], lambda folder: {}, _everything, 10),
    NpmServer("filesystem", lambda folder: [str(folder)], lambda folder: {}, _filesystem, 10),
    NpmServer(
        "memory", lambda folder: [], lambda folder: {"MEMORY_FILE_PATH": str(folder / "memory.jsonl")}, _memory, 8
    ),
    NpmServer("sequential-thinking", lambda folder: [], lambda folder: {}, _thinking, 1),
)
