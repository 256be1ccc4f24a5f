"""`tidegate tools`: what can be called through the gateway, and with which arguments."""

from __future__ import annotations

import argparse
from typing import Any

from tidegate.cli import exit_codes, reach
from tidegate.cli.catalogue import choose, print_list_json
from tidegate.cli.client import Client, Reply
from tidegate.cli.schema_words import describe_arguments, example_arguments, one_argument
from tidegate.cli.terminal import clean, json_text, one_line, print_table

_EPILOG = f"""\
examples:
  tidegate tools                       every tool, with the first line of its description
  tidegate tools 'files__*'            those whose name fits the pattern
  tidegate tools overview              one tool: what it does and what it takes
  tidegate tools --json                the list as the servers wrote it
  tidegate tools --config tidegate.toml   through a private gateway

{exit_codes.describe(*reach.EXIT_CODES)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the tools behind the gateway, or show one of them."
    parser.epilog = _EPILOG
    parser.add_argument("name", nargs="?", metavar="NAME", help="a tool, or a pattern with `*` and `?`")
    reach.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return reach.served(args, lambda client: _tools(client, args))


def _tools(client: Client, args: argparse.Namespace) -> int:
    chosen = choose("tool", client.list_all("tools"), "name", args.name)
    if isinstance(chosen, int):
        return chosen
    if args.json:
        if chosen.exact:
            print(json_text(chosen.entries[0].text))
        else:
            print_list_json("tools", chosen)
    elif chosen.exact:
        print_tool(chosen.entries[0].value)
    else:
        print_table(_row(entry) for entry in chosen.entries)
    return exit_codes.OK


def _row(entry: Reply) -> tuple[str, str]:
    said = entry.value.get("description") or title_of(entry.value)
    return clean(str(entry.value.get("name"))), one_line(str(said))


def title_of(tool: dict[str, Any]) -> str:
    annotations = tool.get("annotations")
    title = tool.get("title") or (annotations.get("title") if isinstance(annotations, dict) else None)
    return title if isinstance(title, str) else ""


def print_tool(tool: dict[str, Any]) -> None:
    """One tool in words."""
    name = clean(str(tool.get("name"))).replace("\n", "\\n")
    title = one_line(title_of(tool))
    print(f"{name}: {title}" if title and title != name else name)
    description = tool.get("description")
    if isinstance(description, str) and description.strip():
        print()
        for line in clean(description).strip().splitlines():
            print(f"  {line}".rstrip())
    schema = tool.get("inputSchema")
    rows = describe_arguments(schema)
    print("\narguments" if rows else "\nIt takes no arguments.")
    print_table((one_argument(row) for row in rows), "  ")
    output = describe_arguments(tool.get("outputSchema"))
    if output:
        print("\nanswers with")
        print_table((one_argument(row, required_word="") for row in output), "  ")
    hints = _hints(tool.get("annotations"))
    if hints:
        print(f"\nIts server says: {', '.join(hints)}.")
    print(f"\n  tidegate call {name}{example_arguments(schema)}")


def _hints(annotations: object) -> list[str]:
    if not isinstance(annotations, dict):
        return []
    words = (
        ("readOnlyHint", "it changes nothing", "it may change things"),
        ("destructiveHint", "it may destroy", "it destroys nothing"),
        ("idempotentHint", "calling it again changes nothing more", ""),
        ("openWorldHint", "it reaches the outside world", "it stays in its own world"),
    )
    found = []
    for key, yes, no in words:
        value = annotations.get(key)
        if key == "destructiveHint" and annotations.get("readOnlyHint") is True:
            continue
        if isinstance(value, bool) and (said := yes if value else no):
            found.append(said)
    return found
