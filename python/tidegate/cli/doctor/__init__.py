"""`tidegate doctor`: says in words what is wrong, how it was found, and what to do about it.

    case.py      what the checks look at, read once
    trial.py     starts a stdio server for a moment; visit.py goes to an HTTP one
    checks/      one fault a file
    rounds.py    runs them at the same time, each bounded
    progress.py  what is being looked at
    report.py    the words

It changes nothing. It starts the stdio servers that no running gateway has ready, unless `--no-start` is given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from tidegate.cli import exit_codes
from tidegate.cli.doctor.checks import NAMES

_EPILOG = f"""\
examples:
  tidegate doctor                                the configuration of the running gateway, or the embedded default
  tidegate doctor tidegate.toml                  before it is served
  tidegate doctor --no-start tidegate.toml       start no server, only look
  tidegate doctor --only certificate --only clock tidegate.toml
  tidegate doctor --json | jq -r '.findings[] | "\\(.severity) \\(.what)"'
  tidegate doctor --list                         every check, and what it looks at

Servers that a command starts are started for a moment as the gateway would start them, and ended again; not those
that a running gateway has ready (but for --start-all). Nothing else is changed. A secret is never printed.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}

Exit code {exit_codes.FAILED} means that there is at least one error (with --strict: error or warning),
{exit_codes.USAGE} that the configuration itself cannot be used."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Looks at the configuration, the box, the servers and the running gateway, and says in words what is wrong,\n"
        "how that was found, and what to do."
    )
    parser.epilog = _EPILOG
    parser.add_argument("files", nargs="*", metavar="FILE", help="configuration (default: see the examples)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    starting = parser.add_mutually_exclusive_group()
    starting.add_argument("--no-start", action="store_true", help="start no server")
    starting.add_argument("--start-all", action="store_true", help="also start those that a running gateway has ready")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="CHECK", help="this check; may be repeated")
    parser.add_argument(
        "--skip", action="append", default=[], choices=NAMES, metavar="CHECK", help="not this one; may be repeated"
    )
    parser.add_argument("--strict", action="store_true", help="a warning is enough for exit code 1")
    parser.add_argument("--quiet", action="store_true", help="do not show progress")
    parser.add_argument("--admin", metavar="URL", help="admin listener of the running gateway (default: as configured)")
    parser.add_argument("--list", action="store_true", help="list the checks and end")


def run(args: argparse.Namespace) -> int:
    from tidegate.cli.admin_listener import Unanswered
    from tidegate.cli.doctor.case import open_case
    from tidegate.cli.doctor.checks import load_checks
    from tidegate.cli.doctor.examine import examine
    from tidegate.cli.doctor.progress import Progress
    from tidegate.cli.doctor.report import as_json, as_text, worst_first
    from tidegate.cli.terminal import spell_unencodable

    spell_unencodable()
    checks = load_checks(name for name in args.only or NAMES if name not in args.skip)
    if args.list:
        _print_list([(check.name, check.looks_at) for check in checks], as_json=args.json)
        return exit_codes.OK
    try:
        case = open_case(args.files, args.admin)
    except Unanswered as error:
        return error.complain()
    progress = Progress(quiet=args.quiet or args.json)
    found = examine(case, checks, start=not args.no_start, start_all=args.start_all, told=progress.told)
    findings = worst_first(found)
    if args.json:
        print(json.dumps(as_json(case, findings, len(checks)), indent=2))
    else:
        print(as_text(case, findings, len(checks)))
    if any(finding.check in ("configuration", "environment") and finding.severity == "error" for finding in findings):
        return exit_codes.USAGE
    bad = ("error", "warning") if args.strict else ("error",)
    return exit_codes.FAILED if any(finding.severity in bad for finding in findings) else exit_codes.OK


def _print_list(rows: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{"check": name, "looks_at": what} for name, what in rows], indent=2))
        return
    width = max(len(name) for name, _ in rows) if rows else 0
    for name, what in rows:
        print(f"{name:<{width}}  {what}")
