"""`tidegate plugin new`: a directory with a plugin that works, to be made into one's own."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Final

from tidegate.cli import exit_codes
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import say
from tidegate.config.shipped import DIRECTORY

LANGUAGES: Final = ("rust", "javascript", "c")
_TEMPLATES: Final = DIRECTORY / "templates"
_DASHED: Final = "my-plugin"
"""Stands in the templates for the plugin's name, and `my_plugin` where a language has no `-` in names."""

_EPILOG: Final = f"""\
examples:
  tidegate plugin new weather --language rust
  tidegate plugin new weather --language javascript

Its `build.sh` says what it needs, and builds `build/NAME.wasm` with its manifest, `build/NAME.toml`.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Start a plugin of your own: a directory with one that works."
    parser.epilog = _EPILOG
    parser.add_argument("directory", metavar="DIR", help="where; its last part is the plugin's name")
    parser.add_argument("--language", choices=LANGUAGES, required=True, help="what it is written in")
    parser.add_argument("--name", metavar="NAME", help="of the plugin, if not that of the directory")


def run(args: argparse.Namespace) -> int:
    target = Path(args.directory)
    name = args.name or target.absolute().name
    if re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name) is None:
        raise Refused(
            f"`{name}`: expected a name of at most 32 lower-case letters, digits and `-` that starts with a letter; "
            "`--name` gives one",
            exit_codes.USAGE,
        )
    template = _TEMPLATES / args.language
    if not template.is_dir():
        raise Refused(f"this build has no template for {args.language}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"`{target}` exists and is not an empty directory")
    copy_template(template, target, name)
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        print(path)
    if (target / "build.sh").exists():
        say(f"next: `sh {target}/build.sh`, then `tidegate plugin add {target}/build/{name}.wasm`")
    return exit_codes.OK


def copy_template(template: Path, target: Path, name: str) -> None:
    """Every file, with the name in the place of the one it has there. Raises: OSError."""
    underscored = name.replace("-", "_")

    def named(text: str) -> str:
        return text.replace(_DASHED, name).replace(_DASHED.replace("-", "_"), underscored)

    for source in sorted(template.rglob("*")):
        relative = source.relative_to(template)
        if not source.is_file() or "target" in relative.parts or "node_modules" in relative.parts:
            continue
        path = target / named(str(relative))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_text(named(source.read_text("utf-8")), "utf-8")
        except UnicodeDecodeError:
            path.write_bytes(source.read_bytes())
        shutil.copymode(source, path)
