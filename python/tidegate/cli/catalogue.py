"""Picking entries of a catalogue list by name or pattern, for the verbs that show one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from tidegate.cli import exit_codes
from tidegate.cli.client import Reply
from tidegate.cli.terminal import complain, json_text, say


@dataclass(frozen=True)
class Chosen:
    """What was asked for."""

    entries: list[Reply]
    exact: bool
    """It is the one entry of that very name."""


def choose(noun: str, entries: Sequence[Reply], key: str, wanted: str | None) -> Chosen | int:
    """Entries that `wanted` names or fits, all for None; an exit code, with the message given, when there is none."""
    if wanted is None:
        if not entries:
            say(f"The gateway offers no {noun}s.")
        return Chosen(list(entries), exact=False)
    for entry in entries:
        if entry.value.get(key) == wanted:
            return Chosen([entry], exact=True)
    if "*" in wanted or (key == "name" and ("?" in wanted or "[" in wanted)):
        found = [entry for entry in entries if fnmatchcase(str(entry.value.get(key)), wanted)]
        if found:
            return Chosen(found, exact=False)
        complain(f"no {noun} fits `{wanted}`")
        return exit_codes.FAILED
    complain(unknown(noun, wanted, [str(entry.value.get(key)) for entry in entries]))
    return exit_codes.FAILED


def unknown(noun: str, wanted: str, names: Sequence[str]) -> str:
    """The message for a name that is not there, with those that come near."""
    near = get_close_matches(wanted, names, n=3, cutoff=0.5)
    if not near:
        # `echo` for `everything__echo`: close to a person, far by letters.
        near = [name for name in names if wanted.lower() in name.lower()][:3]
    hint = f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else f"`tidegate {noun}s` lists them"
    return f"no {noun} `{wanted}`; {hint}"


def print_list_json(key: str, chosen: Chosen) -> None:
    """`{"tools": […]}` of the entries, each as its server wrote it."""
    print(json_text(f'{{"{key}":[' + ",".join(entry.text for entry in chosen.entries) + "]}"))
