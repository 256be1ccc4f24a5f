"""The command line: finds the verb, imports its module alone, and turns how it ended into an exit code.

`tidegate serve` must not pay for what other verbs need, so nothing of a verb is imported before it is chosen.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from tidegate.cli import exit_codes
from tidegate.cli.verbs import VERBS, Verb
from tidegate.errors import TidegateError

_DESCRIPTION = "tidegate: one guarded door between MCP clients and MCP servers, on a small Linux box."

_EXAMPLES = """\
examples:
  tidegate serve                                   start on the embedded default, loopback only
  tidegate import --from claude-desktop --output tidegate.toml
  tidegate check tidegate.toml                     what would this file do?
  tidegate serve --config tidegate.toml
  tidegate tools                                   what can be called through the running gateway?
  tidegate VERB --help                             everything about one verb"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb. Returns its exit code; never raises SystemExit."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else exit_codes.FAILED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.FAILED
    except TidegateError as error:
        print(f"tidegate: {error}", file=sys.stderr)
        return exit_codes.of_error(error)
    except OSError as error:
        place = f"`{error.filename}`: " if error.filename else ""
        print(f"tidegate: {place}{error.strerror or error}", file=sys.stderr)
        return exit_codes.FAILED


def _run(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-"):
        verb = _find(arguments[0])
        parser = parser_of(verb)
        status = import_module(verb.module).run(parser.parse_args(arguments[1:]))
        assert isinstance(status, int)
        sys.stdout.flush()
        return status
    parser = _top_parser()
    parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return exit_codes.USAGE


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """The parser of one verb; imports the verb's module and no other's."""
    parser = argparse.ArgumentParser(
        prog=f"tidegate {verb.name}",
        description=verb.help,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    import_module(verb.module).add_arguments(parser)
    return parser


def _find(name: str) -> Verb:
    for verb in VERBS:
        if verb.name == name:
            return verb
    from difflib import get_close_matches

    near = get_close_matches(name, [verb.name for verb in VERBS], n=1)
    hint = f"did you mean `{near[0]}`?" if near else "`tidegate --help` lists them"
    print(f"tidegate: no verb `{name}`; {hint}", file=sys.stderr)
    raise SystemExit(exit_codes.USAGE)


def _top_parser() -> argparse.ArgumentParser:
    width = max(len(verb.name) for verb in VERBS) + 2
    table = "\n".join(f"  {verb.name:<{width}}{verb.help}" for verb in VERBS)
    parser = argparse.ArgumentParser(
        prog="tidegate",
        usage="tidegate VERB [options]",
        description=f"{_DESCRIPTION}\n\nverbs:\n{table}",
        epilog=f"{_EXAMPLES}\n\n{exit_codes.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="print the version and exit")
    return parser


class _PrintVersion(argparse.Action):
    """Looks the version up only when asked: package metadata is slow to read."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("tidegate")
        except PackageNotFoundError:
            found = "0+source"
        print(f"tidegate {found}")
        parser.exit(exit_codes.OK)
