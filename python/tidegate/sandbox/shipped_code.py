"""`python -m tidegate.sandbox.shipped_code`: compiles the plugins that come with tidegate, where that is built.

What lies in the package beside the native modules is trusted as they are: whoever can write there can do without. Where
there is none, or it is of another box, a plugin is compiled when it is first used, as any other.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tidegate.config.shipped import shipped_file, shipped_names
from tidegate.sandbox.artefacts import SUFFIX, Artefact, Seal, read_seal, seal_path, sha256_of, sha256_of_file

PROOF: Final = "shipped"


def shipped_code(name: str, digest: str, engine: str) -> Artefact | None:
    """What was compiled of the plugin of this name, if it was of this file and for this engine."""
    path = _path(name)
    seal = read_seal(seal_path(path))
    if seal is None or (seal.wasm, seal.engine, seal.proof) != (digest, engine, PROOF):
        return None
    try:
        found = sha256_of_file(path)
    except OSError:
        return None
    return Artefact(path, bytes.fromhex(found.removeprefix("sha256:"))) if found == seal.artefact else None


def _path(name: str) -> Path:
    file = shipped_file(name)
    return (file or Path(name)).with_suffix(SUFFIX)


def _compile(name: str, engine: str) -> None:
    from tidegate.sandbox.engine import compile_for
    from tidegate.sandbox.manifest import read_wasm

    file = shipped_file(name)
    assert file is not None
    wasm = read_wasm(file)
    digest = sha256_of(wasm)
    if shipped_code(name, digest, engine) is not None:
        return
    code = compile_for(wasm, None)
    path = _path(name)
    seal = Seal(digest, sha256_of(code), engine, "", PROOF)
    # The seal last, and each whole: one that was killed in between is made again.
    for target, data in ((path, code), (seal_path(path), seal.text())):
        fresh = target.with_name(f".{target.name}.new")
        fresh.write_bytes(data)
        fresh.replace(target)


def main() -> int:
    from tidegate.sandbox.engine import NoEngine, engine_key

    try:
        engine = engine_key()
        for name in shipped_names():
            _compile(name, engine)
    except (NoEngine, OSError, ValueError) as error:
        print(f"tidegate: the plugins that come with it were not compiled: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
