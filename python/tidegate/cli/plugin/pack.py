"""`tidegate plugin pack`: puts a manifest into a `.wasm` file, so that the two are one."""

from __future__ import annotations

import argparse
from pathlib import Path

from tidegate.cli import exit_codes
from tidegate.cli.plugin.opened import open_plugin
from tidegate.cli.plugin.words import headline
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import clean
from tidegate.sandbox.artefacts import sha256_of
from tidegate.sandbox.manifest import embed

_EPILOG = f"""\
examples:
  tidegate plugin pack weather.wasm manifest.toml
  tidegate plugin pack target/weather.wasm manifest.toml -o weather.wasm

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Put a manifest into a .wasm file, in place of any it has."
    parser.epilog = _EPILOG
    parser.add_argument("file", metavar="FILE", help="a .wasm file: a component, or a core module")
    parser.add_argument("manifest", metavar="MANIFEST", help="its manifest, TOML")
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of to the same file")


def run(args: argparse.Namespace) -> int:
    opened = open_plugin(Path(args.file), Path(args.manifest))
    wasm = embed(opened.wasm, opened.manifest_text)
    output = Path(args.output or args.file)
    temporary = output.with_name(f".{output.name}.new")
    try:
        temporary.write_bytes(wasm)
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Refused(f"`{error.filename or output}` cannot be written: {error.strerror}") from error
    print(f"{output}: {clean(headline(opened.manifest))}, {sha256_of(wasm)}")
    return exit_codes.OK
