"""`tidegate call`: one tool, once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from tidegate.cli import exit_codes, questions, reach
from tidegate.cli.arguments import BadArguments, read_arguments
from tidegate.cli.catalogue import unknown
from tidegate.cli.client import Client
from tidegate.cli.content import Shelf, print_tool_result
from tidegate.cli.raw_json import Raw, parse
from tidegate.cli.schema_words import properties_of, takes_base64
from tidegate.cli.terminal import complain, json_text
from tidegate.protocol.param_headers import InvalidParamHeaders, argument_text, encode_value, param_headers

_NAME_CHARS: Final = 4096
"""Of a file with its folders."""
_EPILOG = f"""\
arguments:
  key=value     by the type the tool asks for: text as it is, numbers, true, false, JSON for lists and objects;
                a list may also be given item by item: key=a key=b
  key:=JSON     exactly this JSON
  key=@FILE     the content of a file, in base64 where the tool asks for that; key:=@FILE where it is JSON
  -             a JSON object on stdin, before the others

examples:
  tidegate call overview
  tidegate call processes sort=memory limit=5
  tidegate call files__write path=notes.txt content=@notes.txt
  tidegate call ocr__read image=@page.png
  echo '{{"limit": 5}}' | tidegate call processes -
  tidegate call camera__shoot --output pictures

Text goes to stdout; images, sound and other bytes become files, which are named on stderr. Ctrl-C cancels the call.

{exit_codes.describe(*reach.EXIT_CODES)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Call one tool through the gateway."
    parser.epilog = _EPILOG
    parser.add_argument("name", metavar="NAME", help="the tool, as `tidegate tools` names it")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="its arguments, see below")
    parser.add_argument("--args", metavar="JSON", help="its arguments as one JSON object")
    parser.add_argument("--output", metavar="DIR", help="where images, sound and other bytes go (default: here)")
    reach.add_arguments(parser)
    reach.add_call_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return reach.served(args, lambda client: _call(client, args), questions.capabilities())


def _call(client: Client, args: argparse.Namespace) -> int:
    tools = {str(entry.value.get("name")): entry.value for entry in client.list_all("tools")}
    tool = tools.get(args.name)
    if tool is None:
        complain(unknown("tool", args.name, list(tools)))
        return exit_codes.FAILED
    schema = tool.get("inputSchema")
    try:
        arguments, warnings = read_arguments([word for word in args.arguments if word != "-"], schema, _base(args))
    except BadArguments as error:
        complain(f"{args.name}: {error}")
        return exit_codes.USAGE
    for warning in warnings:
        complain(f"{args.name}: {warning}")
    params = {"name": args.name, "arguments": arguments}
    headers = _mirrored(schema, arguments)
    reply = questions.ask_until_complete(
        client, "tools/call", params, name=args.name, headers=headers, progress=not args.quiet
    )
    if isinstance(reply, int):
        return reply
    shelf = Shelf(args.output, args.name)
    if args.json:
        print(json_text(reply.text))
    else:
        print_tool_result(reply.value, shelf)
    if reply.value.get("isError") is True:
        for key, name in _named_files(schema, arguments):
            complain(f"{args.name}: `{key}=@{name}` sends the file; `{key}={name}` sends its name")
    return exit_codes.FAILED if reply.value.get("isError") is True or shelf.failed else exit_codes.OK


def _named_files(schema: object, arguments: Raw) -> list[tuple[str, str]]:
    """Arguments that want a file's bytes and were given the name of one that is here."""
    values = parse(arguments)
    given = values.items() if isinstance(values, dict) else ()
    parts = properties_of(schema)
    return [
        (key, value)
        for key, value in given
        if isinstance(value, str) and takes_base64(parts.get(key), schema) and _is_file(value)
    ]


def _is_file(name: str) -> bool:
    """What is no name at all, such as a whole file in base64, is none."""
    try:
        return 0 < len(name) <= _NAME_CHARS and Path(name).is_file()
    except (OSError, ValueError):
        return False


def _base(args: argparse.Namespace) -> str | None:
    """The object that `key=value` adds to. Raises: BadArguments."""
    from_stdin = "-" in args.arguments
    if from_stdin and args.args is not None:
        raise BadArguments("choose one of `-` and `--args`")
    if from_stdin:
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise BadArguments("stdin is no UTF-8 text") from error
    return args.args if isinstance(args.args, str) else None


def _mirrored(schema: object, arguments: Raw) -> list[tuple[str, str]]:
    """Arguments that HTTP repeats in headers (2026-07-28, "Custom Headers from Tool Parameters")."""
    try:
        marked = param_headers(schema)
    except InvalidParamHeaders:
        return []
    values = parse(arguments) if marked else None
    found = [(header.name, argument_text(header, values)) for header in marked]
    return [(f"Mcp-Param-{name}", encode_value(text)) for name, text in found if text is not None]
