"""The host facts as MCP tools and resources, without any protocol around them.

`dialogue.py` puts JSON-RPC in front; tests and the gateway may call this directly. Every method is thread-safe.
`call` and `read` read sysfs, which may block for moments: keep them off an event loop.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.errors import UnknownResource, UnknownTool
from tidegate.host.arguments import admit
from tidegate.host.capacity import Capacity, Statvfs
from tidegate.host.fact import Fact, Observed
from tidegate.host.facts.clock import WallClock
from tidegate.host.facts.disks import Disks
from tidegate.host.facts.identity import Identity
from tidegate.host.facts.load import Load
from tidegate.host.facts.memory import Memory
from tidegate.host.facts.network import Network
from tidegate.host.facts.overview import Overview, Subjects
from tidegate.host.facts.processes import Processes
from tidegate.host.facts.temperatures import Temperatures
from tidegate.host.facts.uptime import Uptime
from tidegate.host.kernel_clock import KernelClock, read_kernel_clock
from tidegate.host.tree import Tree

VERSION: Final = "0.1.0"
SCHEME: Final = "host://"
MIME: Final = "application/json"
DISK_PREFIX: Final = "host://disks/"
LONGEST_URI: Final = 4096
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")


class HostServer:
    """What the box offers.

    `root` other than `/` describes the box whose recorded file tree is there; nothing of the running machine
    then leaks in, except the capacity of its file systems unless `statvfs` is given too.
    """

    capabilities: Final[dict[str, Any]] = {"tools": {}, "resources": {}}
    """Nothing is announced as changing: the lists are the same for as long as the process lives."""
    server_info: Final[dict[str, Any]] = {"name": "tidegate-host", "title": "Host facts", "version": VERSION}
    instructions: Final = (
        "Read-only facts about the machine this server runs on. Start with `overview`: it says in `warnings` what "
        "deserves attention. Every field carries its unit in its name; null means the machine does not tell."
    )

    def __init__(self, clock: Clock, root: Path = Path("/"), *, statvfs: Statvfs = os.statvfs) -> None:
        tree = Tree(root)
        self._disks = Disks(tree, Capacity(clock, statvfs))
        subjects = Subjects(
            load=Load(tree, clock),
            memory=Memory(tree),
            disks=self._disks,
            temperatures=Temperatures(tree),
            uptime=Uptime(tree),
            clock=WallClock(tree, clock, read_kernel_clock if tree.is_machine else _no_kernel),
            network=Network(tree),
            identity=Identity(tree),
        )
        facts: tuple[Fact, ...] = (
            Overview(subjects),
            subjects.load,
            subjects.memory,
            subjects.disks,
            subjects.temperatures,
            subjects.uptime,
            subjects.clock,
            subjects.network,
            subjects.identity,
            Processes(tree),
        )
        self._facts: dict[str, Fact] = {fact.name: fact for fact in facts}

    def tools(self) -> list[dict[str, Any]]:
        """MCP `Tool` objects, always in the same order."""
        return [
            {
                "name": fact.name,
                "title": fact.title,
                "description": fact.description,
                "inputSchema": fact.inputs,
                "outputSchema": fact.outputs,
                "annotations": {
                    "title": fact.title,
                    "readOnlyHint": True,
                    "destructiveHint": False,
                    "idempotentHint": True,
                    "openWorldHint": False,
                },
            }
            for fact in self._facts.values()
        ]

    def resources(self) -> list[dict[str, Any]]:
        """MCP `Resource` objects: one a fact, with its default arguments."""
        return [
            {
                "uri": SCHEME + fact.name,
                "name": fact.name,
                "title": fact.title,
                "description": fact.description,
                "mimeType": MIME,
            }
            for fact in self._facts.values()
        ]

    def resource_templates(self) -> list[dict[str, Any]]:
        """MCP `ResourceTemplate` objects."""
        return [
            {
                "uriTemplate": DISK_PREFIX + "{mount}",
                "name": "disk",
                "title": "One file system",
                "description": "The file system mounted at `mount`, percent-encoded: `host://disks/%2Fboot`.",
                "mimeType": MIME,
            }
        ]

    def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A `CallToolResult`: `structuredContent` that fits the tool's `outputSchema`, and the same in words.

        Raises:
            UnknownTool: no such tool.
            InvalidParams: arguments that do not fit its `inputSchema`.
        """
        fact = self._facts.get(name)
        if fact is None:
            raise UnknownTool(f"Unknown tool: `{name[:128]}`")
        admit(name, fact.inputs, arguments)
        observed = fact.observe(arguments)
        return {
            "content": [{"type": "text", "text": fact.describe(observed)}],
            "structuredContent": observed,
            "isError": False,
        }

    def read(self, uri: str) -> dict[str, Any]:
        """A `ReadResourceResult` with one JSON text.

        Raises:
            UnknownResource: nothing has this URI, or nothing is mounted there.
        """
        observed = self._observe(uri) if len(uri) <= LONGEST_URI else None
        if observed is None:
            raise UnknownResource("Resource not found", data={"uri": uri[:LONGEST_URI]})
        text = json.dumps(observed, ensure_ascii=False, separators=(",", ":"))
        return {"contents": [{"uri": uri, "mimeType": MIME, "text": text}]}

    def ttl_ms(self, uri: str) -> int:
        """How long what `read` gave may be taken for fresh."""
        fact = self._facts.get(uri.removeprefix(SCHEME))
        return 0 if fact is None else fact.ttl_ms

    def _observe(self, uri: str) -> Observed | None:
        if uri.startswith(DISK_PREFIX):
            mount = _unquote(uri[len(DISK_PREFIX) :])
            return self._disks.observe_mount(mount if mount.startswith(b"/") else b"/" + mount)
        fact = self._facts.get(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else None
        return None if fact is None else fact.observe({})


def _unquote(text: str) -> bytes:
    """Percent-decoding (RFC 3986); a `%` without two hex digits stays as it is."""
    return _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8", "replace"))


def _no_kernel() -> KernelClock | None:
    """A recorded tree has no kernel to ask."""
    return None
