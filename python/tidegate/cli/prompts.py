"""`tidegate prompts`: the prompts behind the gateway, and what one of them says."""

from __future__ import annotations

import argparse
from typing import Any

from tidegate.cli import exit_codes, questions, reach
from tidegate.cli.arguments import BadArguments, split_token
from tidegate.cli.catalogue import choose, print_list_json
from tidegate.cli.client import Client, Reply
from tidegate.cli.content import Shelf, print_block
from tidegate.cli.terminal import clean, complain, json_text, one_line, print_table

_EPILOG = f"""\
examples:
  tidegate prompts                              every prompt with its arguments
  tidegate prompts 'review*'                    those whose name fits the pattern
  tidegate prompts review language=en           the messages of one

{exit_codes.describe(*reach.EXIT_CODES)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the prompts behind the gateway, or get one."
    parser.epilog = _EPILOG
    parser.add_argument("name", nargs="?", metavar="NAME", help="a prompt, or a pattern with `*` and `?`")
    parser.add_argument("arguments", nargs="*", metavar="key=value", help="its arguments; all of them are text")
    parser.add_argument("--output", metavar="DIR", help="where images and sound go (default: here)")
    reach.add_arguments(parser)
    reach.add_call_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return reach.served(args, lambda client: _prompts(client, args), questions.capabilities())


def _prompts(client: Client, args: argparse.Namespace) -> int:
    chosen = choose("prompt", client.list_all("prompts"), "name", args.name)
    if isinstance(chosen, int):
        return chosen
    if chosen.exact:
        return _get(client, args, chosen.entries[0].value)
    if args.json:
        print_list_json("prompts", chosen)
    else:
        print_table(_row(entry) for entry in chosen.entries)
    return exit_codes.OK


def _row(entry: Reply) -> tuple[str, str, str]:
    value = entry.value
    words = [f"{name}=" if needed else f"[{name}=]" for name, needed, _ in _arguments(value)]
    said = value.get("description") or value.get("title") or ""
    return clean(str(value.get("name"))), clean(" ".join(words)), one_line(str(said))


def _arguments(prompt: dict[str, Any]) -> list[tuple[str, bool, str]]:
    """(name, required, description) of each."""
    listed = prompt.get("arguments")
    found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [
        (str(item.get("name")), item.get("required") is True, one_line(str(item.get("description") or "")))
        for item in found
    ]


def _get(client: Client, args: argparse.Namespace, prompt: dict[str, Any]) -> int:
    try:
        values = dict(map(_pair, args.arguments))
        missing = [argument for argument in _arguments(prompt) if argument[1] and argument[0] not in values]
        if missing:
            lines = [f"\n  {name}=  {said}".rstrip() for name, _, said in missing]
            raise BadArguments(f"missing: {', '.join(f'`{name}`' for name, _, _ in missing)}{''.join(lines)}")
    except BadArguments as error:
        complain(f"{args.name}: {error}")
        return exit_codes.USAGE
    params: dict[str, object] = {"name": args.name}
    if values:
        params["arguments"] = values
    reply = questions.ask_until_complete(client, "prompts/get", params, name=args.name)
    if isinstance(reply, int):
        return reply
    if args.json:
        print(json_text(reply.text))
        return exit_codes.OK
    shelf = Shelf(args.output, args.name)
    messages = reply.value.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and isinstance(message.get("content"), dict):
            print(f"{chr(10) if number else ''}[{one_line(str(message.get('role', '?')))}]")
            print_block(message["content"], shelf)
    return exit_codes.FAILED if shelf.failed else exit_codes.OK


def _pair(word: str) -> tuple[str, str]:
    """Raises: BadArguments."""
    from pathlib import Path

    key, operator, text = split_token(word)
    if operator.startswith(":="):
        raise BadArguments(f"`{key}:=`: a prompt takes text only; write `{key}=`")
    if operator == "=@":
        try:
            return key, Path(text).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadArguments(f"`{key}`: `{text}` cannot be read as UTF-8 text: {error}") from error
    return key, text
