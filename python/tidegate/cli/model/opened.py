"""A folder with `model.toml`: the manifest read, the files checked. Nothing of the model itself is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.refused import Refused
from tidegate.config.model_workers import names_model_folder
from tidegate.config.shipped_models import MANIFEST, missing_packages, shipped_model_folder, shipped_models
from tidegate.errors import ModelFailed
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import ModelManifest, read_manifest


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
    if names_model_folder(named):
        path = Path(named)
        return (path.parent if path.name == MANIFEST else path), ""
    if (folder := shipped_model_folder(named)) is not None:
        return folder, named
    if (Path(named) / MANIFEST).exists():
        raise Refused(f"`{named}` is taken for a model that comes with tidegate; write `./{named}` for the folder")
    known = ", ".join(shipped_models()) or "none in this build"
    raise Refused(f"no model `{named}` comes with tidegate (there is: {known}); write a folder as `./{named}`")


def open_model(folder: Path, shipped: str = "", digest: str = "") -> Opened:
    """Raises: Refused."""
    try:
        return Opened(read_manifest(folder, digest), shipped)
    except ModelFailed as error:
        hint = ""
        if not (folder / MANIFEST).exists():
            hint = f"; `tidegate model new {folder} --task TASK --file FILE` writes one" if folder.is_dir() else ""
        raise Refused(f"{error}{hint}") from error
