"""`tidegate schema`: the JSON Schema of `tidegate.toml`."""

from __future__ import annotations

import argparse
import json

from tidegate.cli import exit_codes

_EPILOG = """\
examples:
  tidegate schema > tidegate.schema.json
  tidegate schema | jq '."$defs".LimitsTable.properties | map_values(.description)'

  To have an editor complete and check the file, put this on its first line:
  #:schema ./tidegate.schema.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints the JSON Schema of `tidegate.toml`: every field with its unit, its default and the reason for it."
    )
    parser.epilog = f"{_EPILOG}\n{exit_codes.describe(exit_codes.OK, exit_codes.USAGE)}"


def run(args: argparse.Namespace) -> int:
    from tidegate.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exit_codes.OK
