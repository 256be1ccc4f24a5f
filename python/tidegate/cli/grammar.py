"""What can be typed after `tidegate`, read from the verbs' own parsers: for shell completion and the man page.

argparse has no public way to look into a parser; its `_actions` have been there unchanged since Python 2.7, and the
tests would tell.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tidegate.cli import parser_of
from tidegate.cli.verbs import VERBS

Kind = Literal["word", "file", "directory", "choice"]
"""What a value is, as far as a shell can help with it."""

_KINDS: Final[dict[str, Kind]] = {"FILE": "file", "PATH": "file", "DIR": "directory"}


@dataclass(frozen=True, slots=True)
class Argument:
    """An option, or a positional when it has no names."""

    names: tuple[str, ...]
    metavar: str
    """Of its value; empty when it takes none."""
    help: str
    kind: Kind
    choices: tuple[str, ...]
    repeatable: bool
    required: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One verb, or an action of one."""

    words: tuple[str, ...]
    """`("token", "new")`"""
    summary: str
    description: str
    epilog: str
    usage: str
    options: tuple[Argument, ...]
    positionals: tuple[Argument, ...]
    actions: tuple[Command, ...]


def commands() -> list[Command]:
    """Every verb, in the order of the table."""
    return [_command((verb.name,), verb.help, parser_of(verb)) for verb in VERBS]


def every(found: list[Command]) -> Iterator[Command]:
    """The verbs, and their actions behind each."""
    for command in found:
        yield command
        yield from every(list(command.actions))


def _command(words: tuple[str, ...], summary: str, parser: argparse.ArgumentParser) -> Command:
    options, positionals, actions = [], [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            actions = [_command((*words, name), helps.get(name, ""), sub) for name, sub in action.choices.items()]
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            options.append(_argument(action, parser))
        else:
            positionals.append(_argument(action, parser))
    return Command(
        words,
        summary,
        (parser.description or "").strip(),
        (parser.epilog or "").strip(),
        " ".join(parser.format_usage().split()).removeprefix("usage: "),
        tuple(options),
        tuple(positionals),
        tuple(actions),
    )


def _argument(action: argparse.Action, parser: argparse.ArgumentParser) -> Argument:
    choices = tuple(map(str, action.choices)) if action.choices is not None else ()
    takes_value = action.nargs != 0
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if choices and action.metavar is None:
        metavar = "|".join(choices)
    kinds = [_KINDS[word] for word in metavar.split("|") if word in _KINDS]
    kind: Kind = "choice" if choices else kinds[0] if kinds else "word"
    # The formatter fills in `%(default)s`, as it does for --help.
    words = parser._get_formatter()._expand_help(action) if action.help else ""
    return Argument(
        tuple(action.option_strings),
        metavar if takes_value else "",
        words,
        kind,
        choices,
        action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction),
        action.required,
    )
