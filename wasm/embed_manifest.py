"""Appends a manifest to a built plugin: embed_manifest.py IN.wasm MANIFEST.toml OUT.wasm.

It becomes the custom section `tidegate:manifest`.
Custom sections may stand anywhere between the others, of a component as of a module, so the end will do.
"""

import os
import sys
import tomllib
from pathlib import Path

SECTION = b"tidegate:manifest"


def uleb128(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        if not number:
            return bytes(encoded) + bytes([low])
        encoded.append(low | 0x80)


def embed(wasm: bytes, manifest: bytes) -> bytes:
    body = uleb128(len(SECTION)) + SECTION + manifest
    return wasm + b"\0" + uleb128(len(body)) + body


def main() -> None:
    source, manifest, target = map(Path, sys.argv[1:])
    tomllib.loads(manifest.read_text())
    # Renamed into place, so that nobody ever loads half a file.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.write_bytes(embed(source.read_bytes(), manifest.read_bytes()))
    unfinished.rename(target)


if __name__ == "__main__":
    main()
