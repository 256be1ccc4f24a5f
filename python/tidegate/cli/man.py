"""`tidegate man`: the manual page, written from the verbs' own parsers when it is asked for.

It is not in the repository: a page that is made cannot be out of date. Packages write it to `man1/tidegate.1`. The
language is that of man(7), in the subset that groff and mandoc agree on.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidegate import __version__
from tidegate.cli import exit_codes
from tidegate.clock import Clock

if TYPE_CHECKING:
    from tidegate.cli.grammar import Argument, Command

_EPILOG = f"""\
examples:
  tidegate man > /usr/local/share/man/man1/tidegate.1
  tidegate man | man -l -                          read it now

{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"""

_FILES = (
    ("/etc/tidegate/tidegate.toml", "configuration of the service"),
    ("$XDG_RUNTIME_DIR/tidegate.sock", "where a user's gateway listens; else /run/tidegate/tidegate.sock"),
)
_ENVIRONMENT = (
    ("TIDEGATE_SOCKET", "unix socket of the gateway, for the gateway and its clients"),
    ("TIDEGATE_ADMIN", "admin listener that `status` and others ask"),
    ("TIDEGATE_TOKEN", "bearer token that verbs present to the gateway"),
    ("CREDENTIALS_DIRECTORY", "where a relative ${file:NAME} is looked for first"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints the manual page, tidegate(1), of this very version."
    parser.epilog = _EPILOG


def run(args: argparse.Namespace) -> int:
    from tidegate.cli.grammar import commands

    print(page(commands()), end="")
    return exit_codes.OK


def page(found: Sequence[Command]) -> str:
    """The whole page."""
    lines = [
        f'.TH TIDEGATE 1 "{_today()}" "tidegate {__version__}"',
        ".SH NAME",
        r"tidegate \- gateway between MCP clients and MCP servers",
        ".SH SYNOPSIS",
        r".B tidegate",
        r".I VERB",
        r"[\fIoptions\fR]",
        ".br",
        ".B tidegate",
        r".I VERB",
        r".B \-\-help",
        ".br",
        ".B tidegate",
        r".B \-\-version",
        ".SH DESCRIPTION",
        *_text(
            "tidegate is one process between any MCP client and any MCP server, made for a small Linux box. It speaks "
            "every revision of the protocol on both sides. Started without a configuration it listens on loopback, "
            "and has one server of its own, which tells facts of the box."
        ),
        ".SH VERBS",
    ]
    for command in found:
        lines += _command(command)
    lines.append(".SH EXIT STATUS")
    for code, meaning in exit_codes.MEANINGS.items():
        lines += [".TP", rf".B {code}", *_text(meaning)]
    lines.append(".SH ENVIRONMENT")
    for name, what in _ENVIRONMENT:
        lines += [".TP", f".B {_escaped(name)}", *_text(what)]
    lines.append(".SH FILES")
    for name, what in _FILES:
        lines += [".TP", f".I {_escaped(name)}", *_text(what)]
    lines += [".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1)"]
    return "\n".join(lines) + "\n"


def _today() -> str:
    """That of `$SOURCE_DATE_EPOCH` where somebody builds the same thing twice."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = int(given) if given.isdigit() else Clock().wall_s()
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _command(command: Command) -> Iterator[str]:
    yield f'.SS "tidegate {_escaped(" ".join(command.words))}"'
    yield from _text(" ".join(command.description.split()) or command.summary)
    yield ".PP"
    yield from _text(command.usage)
    for argument in (*command.positionals, *command.options):
        if argument.names != ("-h", "--help"):
            yield ".TP"
            yield _term(argument)
            yield from _text(argument.help or " ")
    for action in command.actions:
        yield from _command(action)
    if command.epilog:
        yield from _verbatim(_without_exit_codes(command.epilog))


def _without_exit_codes(epilog: str) -> str:
    """They stand at the end of the page, once; what is said of them by this verb alone stays."""
    return re.sub(r"\n*exit codes:\n(?:  \d.*\n?)+", "\n", epilog).strip("\n")


def _term(argument: Argument) -> str:
    if not argument.names:
        return rf"\fI{_escaped(argument.metavar)}\fR"
    names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in argument.names)
    return names + (rf" \fI{_escaped(argument.metavar)}\fR" if argument.metavar else "")


def _text(words: str) -> Iterator[str]:
    """Lines of running text; the formatter breaks them anew."""
    line = ""
    for word in map(_escaped, words.split()):
        if line and len(line) + len(word) > 76:
            yield _guarded(line)
            line = ""
        line = f"{line} {word}".lstrip()
    if line:
        yield _guarded(line)


def _verbatim(text: str) -> Iterable[str]:
    yield ".PP"
    yield ".nf"
    for line in text.splitlines():
        yield _guarded(_escaped(line)) if line else ".sp"
    yield ".fi"


def _escaped(text: str) -> str:
    """Every character as itself: backslash, the hyphen that can be searched for and pasted, and the quotes."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    for mark, escape in (('"', "\\(dq"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti")):
        text = text.replace(mark, escape)
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)


def _guarded(line: str) -> str:
    """A dot in the first column would be a command."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
