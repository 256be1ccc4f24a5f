"""`python -m tidegate.sandbox.compile_child`: the child of `compiling.py`, and nothing else's business.

Compiling takes memory and seconds, in code that was written for speed and is fed bytes of strangers. So it is done in a
process of its own, which is polite, bounded, and gone afterwards. Prints one JSON object: `{"artefact_bytes": ...}`,
with `tools` where they were asked for, and exit 0; or `{"error": "..."}` and exit 1.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tidegate.sandbox.artefacts import Artefact, Artefacts, sha256_of
from tidegate.sandbox.granting import OWN
from tidegate.sandbox.manifest import World, read_wasm
from tidegate.sandbox.sections import Kind, kind_of

NICENESS: Final = 10
MAX_DATA_BYTES: Final = 1024 * 1024 * 1024
"""A JavaScript engine compiled to WASM takes 100 MB, the largest known guests half of this."""
MAX_CPU_S: Final = 600
_TOOLS_TIMEOUT_S: Final = 10.0


def main(argv: Sequence[str]) -> int:
    file, digest, directory, check = argv
    try:
        answer = _compiled(Path(file), digest, Artefacts(Path(directory)), check)
    except MemoryError:
        answer = {"error": f"compiling it takes more than {MAX_DATA_BYTES} bytes of memory"}
    except OSError as error:
        place = f"`{error.filename}`: " if error.filename else ""
        answer = {"error": f"{place}{error.strerror or error}"}
    except (ImportError, ValueError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    return 1 if "error" in answer else 0


def limit_itself() -> None:
    """So that the box goes on meanwhile, whatever the bytes make the compiler do."""
    os.nice(NICENESS)
    for limit, value in ((resource.RLIMIT_DATA, MAX_DATA_BYTES), (resource.RLIMIT_CPU, MAX_CPU_S)):
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _compiled(file: Path, digest: str, artefacts: Artefacts, check: str) -> dict[str, Any]:
    """Raises: OSError, ValueError, ImportError where this build has no sandbox."""
    from tidegate import _sandbox

    wasm = read_wasm(file)
    if sha256_of(wasm) != digest:
        raise ValueError(f"its digest is {sha256_of(wasm)}, expected {digest}")
    engine = _sandbox.engine_key(None)
    code = _sandbox.compile(wasm, None)
    artefact = artefacts.put(digest, engine, code)
    artefacts.sweep(engine)
    answer: dict[str, Any] = {"artefact_bytes": len(code)}
    if check != "code":
        plugin = _Loaded(artefact, kind_of(wasm), "filter" if check == "filter" else "tool")
        if check == "tools":
            answer["tools"] = plugin.tools()
    return answer


class _Loaded:
    """A plugin that is granted nothing. That it can be loaded says that it imports and exports what it should."""

    def __init__(self, artefact: Artefact, kind: Kind, world: World) -> None:
        """Raises: ValueError."""
        from tidegate import _sandbox

        self._sandbox = _sandbox.Sandbox(None, 1, OWN.memory_bytes)
        self._plugin = self._sandbox.load(
            "asked",
            str(artefact.path),
            artefact.sha256,
            kind=kind,
            world=world,
            settings="{}",
            grants={},
            bounds={
                "memory_bytes": OWN.memory_bytes,
                "deadline_ms": int(_TOOLS_TIMEOUT_S * 1000),
                "output_bytes": OWN.output_bytes,
            },
        )

    def tools(self) -> str:
        """What a component answers when it is asked for its tools. Raises: ValueError."""
        self._plugin.list_tools(_TOOLS_TIMEOUT_S)
        poll = select.poll()
        poll.register(self._sandbox.fileno(), select.POLLIN)
        while poll.poll(2000 * _TOOLS_TIMEOUT_S):
            for kind, _, _, _, first, second, _ in self._sandbox.take():
                if kind == "result":
                    return str(first)
                if kind == "failed":
                    raise ValueError(f"it does not say what tools it has: {second}")
        raise ValueError("it does not say what tools it has: no answer")


if __name__ == "__main__":
    limit_itself()
    # Skips the tear-down: what has been written is whole.
    os._exit(main(sys.argv[1:]))
