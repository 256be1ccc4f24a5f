"""What a model is, for a person. Everything that a manifest says is cleaned."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tidegate.cli.model.opened import Opened
from tidegate.cli.named_tools import prefix_of
from tidegate.cli.terminal import clean
from tidegate.config.snapshot import Backend, Snapshot
from tidegate.host.phrase import size

_EXAMPLES: Final = {
    "text": "text='Where is the next tide gauge?'",
    "texts": "texts='high water' texts='low water'",
    "query": "query='when is high water?'",
    "documents": "documents='The tide is high at noon.' documents='The pump was replaced.'",
    "image": "image=@FILE",
    "audio": "audio=@FILE",
    "file": "file=@FILE",
    "messages": """messages:='[{"role": "user", "content": "What is a tide?"}]'""",
    "values": "values:='[1, 2, 1, 2, 9]'",
}
"""Of arguments that the built-in tasks ask for, something that works."""


def headline(opened: Opened) -> str:
    manifest = opened.manifest
    return clean(f"{manifest.name} {manifest.version}, {manifest.task}")


def rows(opened: Opened) -> Iterator[tuple[str, str]]:
    """What its manifest says, a line each."""
    manifest = opened.manifest
    yield "licence", clean(manifest.licence) or "not said"
    yield "folder", clean(str(opened.folder))
    for file in manifest.files:
        place = f"{file.path} of the package {file.package}" if file.package else file.path
        yield f"file {file.role}", clean(place)
    if manifest.install:
        missing = opened.missing()
        yield "packages", ", ".join(f"{one} (not installed)" if one in missing else one for one in manifest.install)
    limits = manifest.limits
    yield "memory", f"{size(limits.memory_bytes)} while it is loaded"
    yield "a call", f"at most {limits.deadline_ms / 1000:g} s, input of at most {size(limits.input_bytes)}"


def called(tool: str, backend: Backend, snapshot: Snapshot) -> str:
    """The name of a tool as clients see it, where nothing else is in its way."""
    aliases = dict(backend.aliases)
    if tool in aliases:
        return aliases[tool]
    return f"{prefix_of(backend, snapshot)}{tool}"


def example_call(tool: Mapping[str, Any], name: str) -> str:
    """`tidegate call` with what the tool asks for."""
    schema = tool.get("inputSchema")
    required: Sequence[Any] = schema.get("required", ()) if isinstance(schema, dict) else ()
    words = [_EXAMPLES.get(str(one), f"{one}=…") for one in required]
    return clean(" ".join(["tidegate call", shlex.quote(name), *words]))
