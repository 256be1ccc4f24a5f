"""`tidegate`, which also says on stderr how long its loop stood still: a line `stood STEP MS` for each step of a kind
that may have many calls to go through.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from tidegate.cli import main
from tidegate.pipeline.relay.lane import FastLane
from tidegate.pipeline.serve import Gateway

TOLD_MS = 1.0


def timed(of: type, name: str) -> None:
    step: Callable[..., Any] = getattr(of, name)

    def run(*args: Any, **more: Any) -> Any:
        began_s = time.perf_counter()
        try:
            return step(*args, **more)
        finally:
            took_ms = (time.perf_counter() - began_s) * 1000
            if took_ms >= TOLD_MS or name == "take_up":
                sys.stderr.write(f"stood {of.__name__}.{name} {took_ms:.2f}\n")

    setattr(of, name, run)


def time_collections() -> None:
    """The collector's full rounds, which may fall into any step."""
    began_s = 0.0

    def run(phase: str, about: dict[str, int]) -> None:
        nonlocal began_s
        if about["generation"] == 2 and phase == "start":
            began_s = time.perf_counter()
        elif about["generation"] == 2:
            sys.stderr.write(f"stood gc.collect {(time.perf_counter() - began_s) * 1000:.2f}\n")

    gc.callbacks.append(run)


if __name__ == "__main__":
    time_collections()
    timed(Gateway, "take_up")
    timed(Gateway, "_end_revoked")
    timed(FastLane, "settle")
    timed(FastLane, "_tick")
    sys.exit(main())
