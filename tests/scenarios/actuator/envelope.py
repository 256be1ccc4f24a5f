"""The machine, the gateway before it with the filter between, and the configuration of that."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "ecosystem"))

from everything import listening  # noqa: E402 - found by the line above
from gateway_process import Gateway, gateway  # noqa: E402

Way: TypeAlias = Literal["stdio", "http"]
PROGRAM = str(HERE / "machine.py")
SETTINGS = (HERE / "envelope.toml").read_text(encoding="utf-8")


def command(log: Path) -> list[str]:
    return [sys.executable, PROGRAM, "--log", str(log)]


@contextmanager
def machine_table(way: Way, log: Path) -> Iterator[str]:
    """The keys of its table in the configuration. Over HTTP it outlives a gateway."""
    if way == "stdio":
        # There is one machine, so everybody gets the same process.
        yield f'command = {json.dumps(command(log))}\nisolation = "shared"'
    else:
        with listening([*command(log), "--http"], {}, "/mcp") as url:
            yield f"url = {json.dumps(url)}"


def configuration_text(table: str, *, relay: bool = True, more: str = "") -> str:
    """`more`: further keys of the machine's table."""
    return SETTINGS.replace("#MACHINE", f"{table}\n{more}").replace("#RELAY", f"relay = {str(relay).lower()}")


def guarded(table: str, *, relay: bool = True, more: str = "") -> AbstractContextManager[Gateway]:
    return gateway(configuration_text(table, relay=relay, more=more))
