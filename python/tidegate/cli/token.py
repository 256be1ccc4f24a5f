"""`tidegate token`: makes client tokens and lists whose there are.

The token itself is printed once and stored nowhere; the configuration keeps its SHA-256.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from tidegate.cli import exit_codes
from tidegate.config.bearer_token import new_token, token_sha256
from tidegate.config.document import merge, read_document
from tidegate.config.name_rule import check_name
from tidegate.config.problems import config_error
from tidegate.config.rules import tables
from tidegate.config.toml_text import toml_table

_EPILOG = """\
examples:
  tidegate token new laptop --config tidegate.toml         add a client that may call everything
  tidegate token new kiosk --tools 'host__*' --tools 'clock__now' --config tidegate.toml
  tidegate token new laptop                                print the block to paste
  tidegate token list --config tidegate.toml

  The client sends it as `Authorization: Bearer tg_...`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Makes a token for a client and lists the clients that have one. As soon as one client has a token, every\n"
        "client on HTTP and TCP needs one."
    )
    codes = exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)
    parser.epilog = f"{_EPILOG}\n{codes}"
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a token and show it once", allow_abbrev=False)
    new.add_argument("name", metavar="NAME", help="of the client: lower-case letters, digits, `-` and `_`")
    new.add_argument(
        "--tools",
        action="append",
        metavar="GLOB",
        help="tools it may see and call, as `tidegate tools` names them; may be repeated (default: all)",
    )
    new.add_argument(
        "--config", metavar="FILE", help="append the client to this TOML file instead of printing its block"
    )
    new.add_argument("--json", action="store_true", help="print one JSON object")
    listing = actions.add_parser("list", help="list the clients in configuration files", allow_abbrev=False)
    listing.add_argument("--config", metavar="FILE", action="append", required=True, help="may be repeated")
    listing.add_argument("--json", action="store_true", help="print a JSON array")


def run(args: argparse.Namespace) -> int:
    return _new(args) if args.action == "new" else _list(args)


def _new(args: argparse.Namespace) -> int:
    try:
        check_name(args.name)
    except ValueError as error:
        print(f"tidegate: NAME: {error}", file=sys.stderr)
        return exit_codes.USAGE
    token = new_token()
    values: dict[str, Any] = {"token_sha256": token_sha256(token)}
    if args.tools:
        values["tools"] = args.tools
    block = toml_table(("clients", args.name), values)
    if args.config:
        refusal = _append(args.config, args.name, block)
        if refusal:
            print(f"tidegate: {refusal}", file=sys.stderr)
            return exit_codes.FAILED
    if args.json:
        print(json.dumps({"name": args.name, "token": token, **values, "config": args.config}))
    elif args.config:
        print(token)
        print(f"added client `{args.name}` to {args.config}; the token above is not shown again", file=sys.stderr)
    else:
        print(f"{token}\n\n{block}", end="")
        print("the token is not shown again; the block goes into tidegate.toml", file=sys.stderr)
    return exit_codes.OK


def _append(file: str, name: str, block: str) -> str:
    """Adds the block to the file. Returns why not, or nothing.

    Raises: ConfigError if the file is no TOML now.
    """
    from tidegate.config.atomic_file import write_atomically

    if file.endswith((".json", ".jsonc")):
        return f"`{file}` is JSON of a desktop host, which has no place for clients; give a TOML file beside it"
    text = ""
    if Path(file).exists():
        document = read_document(file)
        if document.problems:
            raise config_error(document.problems)
        if name in dict(tables(document.tree, "clients")):
            return f"client `{name}` already has a token in {file}; remove its table first"
        text = Path(file).read_bytes().decode()
    if text:
        text = text.rstrip("\n") + "\n\n"
    text += block
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return f"`clients` in {file} is not written as `[clients.NAME]` tables, so none can be appended; add it by hand"
    write_atomically(file, text)
    return ""


def _list(args: argparse.Namespace) -> int:
    document = merge(read_document(file) for file in args.config)
    if document.problems:
        raise config_error(document.problems)
    clients = [
        {
            "name": name,
            "tools": _strings(table.get("tools", ["*"])),
            "token_sha256": table.get("token_sha256", ""),
            "file": document.place(("clients", name)).file,
        }
        for name, table in tables(document.tree, "clients")
    ]
    if args.json:
        print(json.dumps(clients, indent=2))
        return exit_codes.OK
    if not clients:
        print("no client has a token: whoever reaches a listener is let in", file=sys.stderr)
    width = max([len(client["name"]) for client in clients], default=0)
    for client in clients:
        print(f"{client['name']:<{width}}  {str(client['token_sha256'])[:12]}…  {', '.join(client['tools'])}")
    return exit_codes.OK


def _strings(value: Any) -> list[str]:
    """What stands there, for showing; `tidegate check` says when it is no list of strings."""
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
