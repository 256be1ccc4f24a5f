"""The smallest folder that passes for a model: right in all that is looked at before it is loaded, and not loadable."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

VECTORS = b"no vectors at all"
MODEL = """\
version = "1.2.3"
description = "Tells words apart."
licence = "MIT"
task = "text-classification"
"""


def write_model(folder: Path, text: str = MODEL, *, limits: Mapping[str, int] | None = None) -> tuple[Path, str]:
    """The folder, whose name is the model's, and the digest of its manifest."""
    folder.mkdir(exist_ok=True)
    (folder / "vectors.bin").write_bytes(VECTORS)
    bounds = "".join(f"{key} = {value}\n" for key, value in (limits or {}).items())
    manifest = (
        f'name = "{folder.name}"\n{text}'
        f'[files.model]\npath = "vectors.bin"\nsha256 = "{hashlib.sha256(VECTORS).hexdigest()}"\n'
        f"[limits]\n{bounds}"
    )
    (folder / "model.toml").write_text(manifest, encoding="utf-8")
    return folder, f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
