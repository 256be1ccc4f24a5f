"""`tidegate import`: turns the `mcpServers` JSON of desktop hosts into `tidegate.toml`.

What looks like a secret is not copied: a `${NAME}` reference takes its place, with a comment, and stderr lists what
to set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tidegate.cli import exit_codes
from tidegate.cli.desktop_hosts import IMPORTED, places_of
from tidegate.config.document import Document, Tree, read_document
from tidegate.config.locate import KeyPath
from tidegate.config.problems import Problem, config_error, problems_of
from tidegate.errors import ConfigError

_EPILOG = """\
examples:
  tidegate import --from claude-desktop                      show what it would be
  tidegate import --from claude-desktop --output tidegate.toml
  tidegate import ~/.cursor/mcp.json .vscode/mcp.json --output tidegate.toml
  tidegate serve --config tidegate.toml

  A value that looks like a secret becomes a reference such as ${GITHUB_TOKEN}: set that variable for the gateway, or
  write ${file:/path/to/secret} instead. `tidegate serve` also takes the JSON files themselves as --config.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Turns the MCP servers of a desktop host (Claude, VS Code, Cursor, Zed, Codex and others) into\n"
        "`tidegate.toml`. Secrets stay where they are; an entry that is this gateway itself is left out."
    )
    codes = exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)
    parser.epilog = f"{_EPILOG}\n{codes}"
    parser.add_argument("files", nargs="*", metavar="FILE", help="JSON file to import")
    parser.add_argument(
        "--from",
        dest="hosts",
        action="append",
        choices=IMPORTED,
        default=[],
        help="import the files this host keeps in its usual places",
    )
    parser.add_argument("--output", metavar="FILE", help="write there instead of to stdout; the file gets mode 0600")
    parser.add_argument("--force", action="store_true", help="replace the output file if there is one")
    parser.add_argument(
        "--keep-secrets", action="store_true", help="copy values that look like secrets instead of referring to them"
    )


def run(args: argparse.Namespace) -> int:
    files = list(args.files)
    for host in args.hosts:
        places = places_of(host)
        found = [place for place in places if Path(place).exists()]
        if not found:
            print(f"tidegate: no file of {host} found; looked for {', '.join(places)}", file=sys.stderr)
            return exit_codes.FAILED
        files += found
    if not files:
        print("tidegate: expected a FILE or `--from HOST`; see `tidegate import --help`", file=sys.stderr)
        return exit_codes.USAGE
    if args.output and Path(args.output).exists() and not args.force:
        print(f"tidegate: `{args.output}` exists; `--force` replaces it", file=sys.stderr)
        return exit_codes.FAILED
    documents = _read(files)
    text, variables = _toml(documents, keep_secrets=args.keep_secrets)
    if args.output:
        from tidegate.config.atomic_file import write_atomically

        write_atomically(args.output, text, private=True)
        print(f"wrote {args.output}", file=sys.stderr)
    else:
        print(text, end="")
    for document in documents:
        for note in document.notes:
            print(f"note: {note}", file=sys.stderr)
    if variables:
        print(f"set before starting the gateway: {', '.join(variables)}", file=sys.stderr)
    return exit_codes.OK


def _read(files: Sequence[str]) -> list[Document]:
    """Raises: ConfigError listing what is wrong in all files."""
    from tidegate.config.load import load

    documents = []
    problems: set[Problem] = set()
    for file in files:
        document = read_document(file)
        if not document.problems and ("backends" not in document.tree or set(document.tree) != {"backends"}):
            document.problems.append(Problem(file, 0, "", "expected JSON with `mcpServers`, as desktop hosts write it"))
        if document.problems:
            problems.update(document.problems)
            continue
        try:
            load([file], resolve_references=False)
        except ConfigError as error:
            problems.update(problems_of(error))
        documents.append(document)
    if problems:
        raise config_error(problems)
    return documents


def _toml(documents: Sequence[Document], *, keep_secrets: bool) -> tuple[str, list[str]]:
    from tidegate.config.toml_text import toml_table
    from tidegate.config.withhold import Withheld

    withheld = Withheld()
    seen: list[tuple[str, Tree]] = []
    taken: set[str] = set()
    blocks = []
    for document in documents:
        blocks.append(f"# From {document.files[0]}\n")
        for name, table in document.tree["backends"].items():
            if (name, table) in seen:
                continue
            seen.append((name, table))
            own = _free_name(name, taken)
            taken.add(own)
            changed: dict[KeyPath, list[str]] = {}
            if not keep_secrets:
                table, changed = withheld.table(own, table)
            renamed = f"# `{name}` is taken above.\n" if own != name else ""
            blocks.append(renamed + toml_table(("backends", own), _in_order(table), _comments(changed)))
    return "\n".join(blocks), withheld.variables


def _free_name(name: str, taken: set[str]) -> str:
    own, number = name, 2
    while own in taken:
        own = f"{name[:29]}-{number}"
        number += 1
    return own


def _comments(changed: Mapping[KeyPath, list[str]]) -> dict[KeyPath, str]:
    """One for each line of the output. Arguments are written behind their program, in one list."""
    lines: dict[KeyPath, list[str]] = {}
    for path, variables in changed.items():
        line: KeyPath = ("command",) if path[0] in ("args", "command") else path
        lines.setdefault(line, []).extend(variables)
    return {path: f"set {', '.join(dict.fromkeys(names))} for the gateway" for path, names in lines.items()}


def _in_order(table: Tree) -> dict[str, Any]:
    """`command` and `args` as the one list the documentation shows; the transport only where it says something."""
    ordered = dict(table)
    if isinstance(command := ordered.get("command"), str):
        ordered["command"] = [command, *ordered.pop("args", [])]
    inferred = "stdio" if "command" in ordered else "http"
    if ordered.get("transport") == inferred:
        del ordered["transport"]
    if ordered.get("enabled") is True:
        del ordered["enabled"]
    return {key: value for key, value in ordered.items() if value not in ({}, [])}
