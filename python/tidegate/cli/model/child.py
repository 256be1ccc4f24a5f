"""Runs a process of tidegate's own that opens models, while a person sees that something happens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from tidegate.cli.passing_line import PassingLine
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean
from tidegate.clock import Clock

TIMEOUT_S = 600.0
"""A chat model of some gigabytes on the card of a small board."""
_TICK_S = 1.0


def answer_of(command: Sequence[str], environ: dict[str, str], name: str, doing: str) -> dict[str, Any]:
    """The JSON object that it prints. `doing` is shown while it takes long; empty for nothing.

    An interrupt from the keyboard ends the child, too. Raises: Refused, when it breaks down.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 (ourselves)
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
        )
    except OSError as error:
        raise Refused(f"no process could be started: {error}") from error
    out, err = _said(child, name, doing)
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        status = child.returncode
        last = err.decode("utf-8", "replace").strip().rpartition("\n")[2][:500]
        how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
        raise Refused(f"`{name}` cannot be loaded: its process {how}{f': {last}' if last else ''}")
    return answer


def _said(child: subprocess.Popen[bytes], name: str, doing: str) -> tuple[bytes, bytes]:
    """Raises: Refused."""
    line, clock = PassingLine(), Clock()
    began_s = clock.now_s()
    try:
        while True:
            try:
                return child.communicate(timeout=_TICK_S)
            except subprocess.TimeoutExpired:
                waited_s = clock.now_s() - began_s
                if waited_s > TIMEOUT_S:
                    raise Refused(f"`{name}` could not be loaded within {TIMEOUT_S:g} s") from None
                if line.live and doing:
                    line.show(clean(doing), f"  {waited_s:.0f} s")
    finally:
        line.clear()
        if child.poll() is None:
            child.kill()
            child.wait()
