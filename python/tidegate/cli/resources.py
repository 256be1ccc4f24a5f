"""`tidegate resources`: what can be read through the gateway, and reading it."""

from __future__ import annotations

import argparse

from tidegate.cli import exit_codes, questions, reach
from tidegate.cli.catalogue import choose, print_list_json, unknown
from tidegate.cli.client import Client, Reply, RpcError
from tidegate.cli.content import Shelf, print_resource
from tidegate.cli.terminal import clean, complain, json_text, one_line, print_table
from tidegate.errors import INVALID_PARAMS, METHOD_NOT_FOUND, RESOURCE_NOT_FOUND

_EPILOG = f"""\
examples:
  tidegate resources                         every resource, and the templates of further ones
  tidegate resources 'file://*'              those whose URI fits the pattern
  tidegate resources host://overview         read one
  tidegate resources demo://logo.png > logo.png

Text goes to stdout. Bytes become a file, which is named on stderr, unless stdout is a file or a pipe already.

{exit_codes.describe(*reach.EXIT_CODES)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the resources behind the gateway, or read one."
    parser.epilog = _EPILOG
    parser.add_argument("uri", nargs="?", metavar="URI", help="a resource to read, or a pattern with `*` to list")
    parser.add_argument("--output", metavar="DIR", help="where bytes go (default: here)")
    reach.add_arguments(parser)
    reach.add_call_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.uri is None or "*" in args.uri:
        return reach.served(args, lambda client: _list(client, args))
    return reach.served(args, lambda client: _read(client, args), questions.capabilities())


def _list(client: Client, args: argparse.Namespace) -> int:
    chosen = choose("resource", _listed(client, "resources"), "uri", args.uri)
    if isinstance(chosen, int):
        return chosen
    if args.json:
        print_list_json("resources", chosen)
        return exit_codes.OK
    print_table(_row(entry, "uri") for entry in chosen.entries)
    if args.uri is None and (templates := _listed(client, "templates")):
        print("\ntemplates")
        print_table((_row(entry, "uriTemplate") for entry in templates), "  ")
    return exit_codes.OK


def _read(client: Client, args: argparse.Namespace) -> int:
    try:
        reply = questions.ask_until_complete(client, "resources/read", {"uri": args.uri}, name=args.uri)
    except RpcError as error:
        if error.rpc_code not in (INVALID_PARAMS, RESOURCE_NOT_FOUND):
            raise
        known = [str(entry.value.get("uri")) for entry in _listed(client, "resources")]
        # What is listed and still refused has a reason of its own.
        complain(str(error) if args.uri in known else unknown("resource", args.uri, known))
        return exit_codes.FAILED
    if isinstance(reply, int):
        return reply
    if args.json:
        print(json_text(reply.text))
        return exit_codes.OK
    contents = reply.value.get("contents")
    items = [item for item in contents if isinstance(item, dict)] if isinstance(contents, list) else []
    shelf = Shelf(args.output, args.uri)
    print_resource(items, args.output, shelf)
    return exit_codes.FAILED if shelf.failed else exit_codes.OK


def _listed(client: Client, kind: str) -> list[Reply]:
    """A gateway of servers that have none of that kind may not know the method."""
    try:
        return client.list_all(kind)
    except RpcError as error:
        if error.rpc_code == METHOD_NOT_FOUND:
            return []
        raise


def _row(entry: Reply, key: str) -> tuple[str, str, str]:
    value = entry.value
    said = value.get("title") or value.get("description") or value.get("name") or ""
    return clean(str(value.get(key))), one_line(str(value.get("mimeType") or "")), one_line(str(said))
