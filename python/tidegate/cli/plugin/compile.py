"""`tidegate plugin compile`: machine code for a box that should not compile, signed so that it is taken there."""

from __future__ import annotations

import argparse
import base64
import os
import sys
from pathlib import Path

from tidegate.cli import exit_codes
from tidegate.cli.plugin.opened import find_file, open_plugin
from tidegate.cli.plugin.words import size
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import say
from tidegate.sandbox.artefacts import SUFFIX, seal_path, shown_key, signed
from tidegate.sandbox.engine import TARGETS, NoEngine, compile_for, engine_key, new_key

_SECRET = "tidegate-signing-key:"  # noqa: S105  what stands before one

_EPILOG = f"""\
examples:
  tidegate plugin compile weather.wasm --target aarch64-linux --key signing.key -o weather.cwasm

On the other box, put weather.cwasm and weather.cwasm.seal beside weather.wasm, the public key under `trusted_keys` of
`[plugins]` in tidegate.toml, and `tidegate plugin add weather.wasm`. Both boxes need the same version of tidegate.

{exit_codes.describe(exit_codes.OK, exit_codes.FAILED, exit_codes.USAGE)}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compile a plugin for another box, and sign what comes out."
    parser.epilog = _EPILOG
    parser.add_argument("file", metavar="FILE", help="a .wasm file, as it will be on the other box")
    parser.add_argument(
        "--target", metavar="TARGET", help=f"{', '.join(TARGETS)}, or a triple (default: this kind of box)"
    )
    parser.add_argument("--key", metavar="FILE", required=True, help="signing key; made when there is none")
    parser.add_argument("-o", "--output", metavar="FILE", help="machine code (default: beside FILE, .cwasm)")


def run(args: argparse.Namespace) -> int:
    path, _ = find_file(args.file)
    opened = open_plugin(path)
    output = Path(args.output) if args.output else path.with_suffix(SUFFIX)
    os.nice(10)
    try:
        engine = engine_key(args.target)
        secret, public = _key(Path(args.key))
        say(f"compiling {path.name}, which may take a minute")
        code = compile_for(opened.wasm, args.target)
    except (NoEngine, ValueError) as error:
        raise Refused(str(error)) from error
    seal = signed(opened.digest, code, engine, args.target or "", secret, public)
    try:
        output.write_bytes(code)
        seal_path(output).write_bytes(seal.text())
    except OSError as error:
        raise Refused(f"`{error.filename or output}` cannot be written: {error.strerror}") from error
    print(f"{output}: {size(len(code))} for {engine}")
    sys.stdout.flush()
    say(f'to be trusted on the other box: [plugins] trusted_keys = ["{shown_key(public)}"]')
    return exit_codes.OK


def _key(path: Path) -> tuple[bytes, bytes]:
    """Secret and public. Raises: Refused, NoEngine."""
    try:
        words = path.read_text("ascii").split()
        secret, public = words
        if not secret.startswith(_SECRET) or not public.startswith("ed25519:"):
            raise ValueError
        pair = (
            base64.b64decode(secret.removeprefix(_SECRET), validate=True),
            base64.b64decode(public.removeprefix("ed25519:"), validate=True),
        )
        if {len(part) for part in pair} != {32}:
            raise ValueError
        return pair
    except FileNotFoundError:
        return _made(path)
    except OSError as error:
        raise Refused(f"`{path}` cannot be read: {error.strerror}") from error
    except ValueError:
        raise Refused(f"`{path}` is no signing key; `tidegate plugin compile` makes one where there is none") from None


def _made(path: Path) -> tuple[bytes, bytes]:
    """Raises: Refused, NoEngine."""
    secret, public = new_key()
    text = f"{_SECRET}{base64.b64encode(secret).decode()}\n{shown_key(public)}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text)
    except OSError as error:
        raise Refused(f"`{path}` cannot be written: {error.strerror}") from error
    say(f"made a signing key in {path}; whoever has it can sign code for boxes that trust it")
    return secret, public
