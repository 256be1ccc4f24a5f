"""A plugin's file, read and taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.refused import Refused
from tidegate.config.document import names_file
from tidegate.config.shipped import shipped_file, shipped_names
from tidegate.sandbox.artefacts import sha256_of
from tidegate.sandbox.manifest import BrokenManifest, Manifest, manifest_text, parse_manifest, read_wasm
from tidegate.sandbox.sections import Kind, NotWasm, kind_of


@dataclass(frozen=True, slots=True)
class Opened:
    """A plugin, as far as it can be known without running it."""

    path: Path
    wasm: bytes
    digest: str
    kind: Kind
    manifest: Manifest
    manifest_text: bytes
    """As it was written, inside the file or beside it."""


def open_plugin(path: Path, manifest: Path | None = None) -> Opened:
    """With the manifest inside it or in `NAME.toml` beside it, or with `manifest`. Raises: Refused."""
    try:
        wasm = read_wasm(path)
        kind = kind_of(wasm)
        text = manifest.read_bytes() if manifest is not None else manifest_text(wasm, path)
        return Opened(path, wasm, sha256_of(wasm), kind, parse_manifest(text), text)
    except NotWasm as error:
        raise Refused(f"`{path}` {error}") from error
    except BrokenManifest as error:
        hint = "" if manifest is not None else "; `tidegate plugin pack` puts one into it"
        raise Refused(f"`{path}`: {error}{hint if 'there is no manifest' in str(error) else ''}") from error
    except OSError as error:
        raise Refused(f"`{error.filename or path}` cannot be read: {error.strerror}") from error


def find_file(named: str) -> tuple[Path, bool]:
    """The file that is named, or that of a plugin that comes with tidegate, and whether it is such. Raises: Refused."""
    if names_file(named):
        return Path(named), False
    if (path := shipped_file(named)) is not None:
        return path, True
    if Path(named).is_file():
        raise Refused(f"`{named}` is taken for a plugin that comes with tidegate; write `./{named}` for the file")
    known = ", ".join(shipped_names()) or "none in this build"
    raise Refused(f"no plugin `{named}` comes with tidegate (there is: {known}); write a file as `./{named}.wasm`")
