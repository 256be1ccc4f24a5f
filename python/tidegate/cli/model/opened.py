"""A folder with `model.toml`: the manifest read, the files checked. Nothing of the model itself is loaded."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegate.cli.refused import Refused
from tidegate.config.model_workers import names_model_folder
from tidegate.config.shipped_models import MANIFEST, missing_packages, not_shipped, shipped_model_folder
from tidegate.errors import ModelFailed
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import ModelManifest, read_manifest

NEW_SHA256: Final = f"put the new `sha256` into {MANIFEST} first"
"""What has to be done about a file that was changed, before it can be added."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A model, as far as it can be known without loading it."""

    manifest: ModelManifest
    shipped: str = ""
    """Its name, if it comes with tidegate."""

    @property
    def folder(self) -> Path:
        return self.manifest.folder

    @property
    def named(self) -> str:
        """As `tidegate model add` takes it."""
        return self.shipped or (f"./{self.folder}" if "/" not in str(self.folder) else str(self.folder))

    def missing(self) -> tuple[str, ...]:
        """Packages that it needs and that are not installed."""
        return missing_packages(self.folder)

    def check_files(self) -> dict[str, Path]:
        """Where its files are, by role, all of which are what the manifest says. Reads them. Raises: ModelFailed."""
        files = ModelFiles(self.manifest)
        return {file.role: files.place(file.role) for file in self.manifest.files}


def find_folder(named: str) -> tuple[Path, str]:
    """The folder that is named, and the name of the model if it comes with tidegate. Raises: Refused."""
    path = Path(named)
    if path.is_file() and path.name != MANIFEST and shipped_model_folder(named) is None:
        command = f"tidegate model new {shlex.quote(path.stem)} --task TASK --file {shlex.quote(named)}"
        raise Refused(f"`{named}` is a file; `{command}` makes a folder of it")
    if names_model_folder(named):
        if "/" not in named and not path.exists():
            raise Refused(f"there is no folder `{named}`, and {not_shipped(named)}")
        return (path.parent if path.name == MANIFEST else path), ""
    if (folder := shipped_model_folder(named)) is not None:
        return folder, named
    if is_plain_folder(named):
        raise Refused(f"`{named}` is taken for a model that comes with tidegate; write `./{named}` for the folder")
    raise Refused(f"{not_shipped(named)}; write a folder as `./{named}`")


def is_plain_folder(named: str) -> bool:
    """Whether there is a folder with a model of this name, which is not taken for one as it has no `/`."""
    return (Path(named) / MANIFEST).exists()


def open_model(folder: Path, shipped: str = "", digest: str = "") -> Opened:
    """Raises: Refused."""
    try:
        return Opened(read_manifest(folder, digest), shipped)
    except ModelFailed as error:
        hint = ""
        if not (folder / MANIFEST).exists():
            hint = f"; `tidegate model new {folder} --task TASK --file FILE` writes one" if folder.is_dir() else ""
        raise Refused(f"{error}{hint}") from error
