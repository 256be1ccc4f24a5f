"""`tidegate reload`: the running gateway reads its configuration again, and says what that changed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from tidegate.cli import admin_listener, exit_codes
from tidegate.cli.terminal import clean, complain, json_text

_TIMEOUT_S: Final = 90.0
"""Reading may take 30 s on a slow card, and another reload may have to end first."""

_CODES: Final = exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE, exit_codes.NO_DAEMON)
_EPILOG: Final = f"""\
examples:
  tidegate check tidegate.toml && tidegate reload
  tidegate reload --json

When it returns with {exit_codes.OK}, what the files say is in force. Files that cannot be used are refused, with
file, line and key and exit code {exit_codes.USAGE}, and change nothing. A changed file is also taken up by itself, and
on SIGHUP.

{admin_listener.WHERE}

{_CODES}"""

_KINDS: Final = ("backends", "clients", "listeners")
_WORDS: Final = (
    ("added", "added"),
    ("removed", "removed"),
    ("changed", "changed, started anew"),
    ("adjusted", "changed, goes on"),
)
"""Member of the answer → what a person reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Have the running gateway read its configuration again and put it into force."
    parser.epilog = _EPILOG
    admin_listener.add_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def run(args: argparse.Namespace) -> int:
    try:
        status, outcome, text = admin_listener.tell(admin_listener.address(args.admin), "/reload", _TIMEOUT_S)
    except admin_listener.Unanswered as error:
        return error.complain()
    refused = status != 200
    if args.json:
        print(json_text(text.rstrip()))
    elif refused:
        for line in str(outcome.get("error")).splitlines():
            complain(clean(line))
        complain(f"refused; configuration {outcome.get('generation')} stays in force")
    else:
        print("\n".join(_lines(outcome)))
    return exit_codes.USAGE if refused else exit_codes.OK


def _lines(outcome: Mapping[str, Any]) -> list[str]:
    generation = outcome.get("generation")
    if not outcome.get("files"):
        return ["nothing to read: the gateway was started without `--config FILE`"]
    if outcome.get("result") == "unchanged":
        return [f"nothing changed; configuration {generation} stays in force"]
    changed = outcome.get("changed")
    changed = changed if isinstance(changed, dict) else {}
    lines = [f"configuration {generation} is in force"]
    for kind in _KINDS:
        found = changed.get(kind, {})
        lines += [f"  {kind}, {words}: {_names(found[key])}" for key, words in _WORDS if found.get(key)]
    limits = changed.get("limits", {})
    if limits.get("now"):
        lines.append(f"  limits: {_names(limits['now'])}")
    if limits.get("new_connections"):
        lines.append(f"  limits, for connections opened from now on: {_names(limits['new_connections'])}")
    if changed.get("settings"):
        lines.append(f"  settings: {_names(changed['settings'])}")
    unchanged = changed.get("backends", {}).get("unchanged", [])
    if unchanged:
        lines.append(f"  {len(unchanged)} backend{'s' if len(unchanged) != 1 else ''} untouched")
    return lines


def _names(names: list[str]) -> str:
    return ", ".join(map(clean, names))
