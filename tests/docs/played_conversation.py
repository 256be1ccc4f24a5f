"""What client and gateway say to each other on a page, said again: does the gateway still say it?

A line that begins with `→` is what the client sends, one with `←` what it gets next; both are one JSON text, and go on
in lines that begin with a blank. Of what it gets, more may be there than the page shows. `"…"` stands for any value,
and, where the client sends it, for the last one that it got under the same key.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

ANSWER_S = 30.0
ANY = "…"
TURN = re.compile(r"^([→←]) (.*(?:\n[ \t]+.*)*)$", re.MULTILINE)


def turns(text: str) -> list[tuple[bool, Any]]:
    """(whether the client says it, what) of each turn."""
    found = [(turn[1] == "→", json.loads(turn[2])) for turn in TURN.finditer(text)]
    assert len(found) == len(re.findall(r"^\S", text, re.MULTILINE)), "a line is no part of the conversation"
    return found


def have(text: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Has the conversation with a program that speaks on stdin and stdout. Raises: AssertionError."""
    heard: dict[str, Any] = {}
    path = environment["PATH"].partition(":")[0]
    with subprocess.Popen(
        [f"{path}/{command[0]}", *command[1:]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # A gateway that says nothing ends the conversation.
        patience = threading.Timer(ANSWER_S, process.kill)
        patience.start()
        try:
            for ours, message in turns(text):
                if ours:
                    process.stdin.write(json.dumps(_filled(message, heard)).encode() + b"\n")
                    process.stdin.flush()
                else:
                    line = process.stdout.readline()
                    assert line, f"nothing was said in the place of {message}"
                    differs = _difference(message, json.loads(line), heard, "")
                    assert not differs, f"{differs}\n{line.decode()}"
        finally:
            patience.cancel()
            process.stdin.close()
            process.wait(ANSWER_S)


def _filled(value: Any, heard: dict[str, Any], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _filled(item, heard, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, heard, key) for item in value]
    return heard[key] if value == ANY else value


def _difference(shown: Any, said: Any, heard: dict[str, Any], key: str) -> str:
    """Where what was said is not what is shown; nothing where it is."""
    if shown == ANY:
        heard[key] = said
        return ""
    if isinstance(shown, dict) and isinstance(said, dict):
        for name, value in shown.items():
            if name not in said:
                return f"`{name}` is missing"
            if differs := _difference(value, said[name], heard, name):
                return differs
        return ""
    if isinstance(shown, list) and isinstance(said, list) and len(shown) == len(said):
        return next(filter(None, (_difference(*pair, heard, key) for pair in zip(shown, said, strict=True))), "")
    return "" if shown == said else f"`{key}` is {said!r} and not {shown!r}"
