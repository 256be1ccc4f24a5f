"""The models that stand in a configuration, and the sets they are in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from tidegate.cli.home import Home
from tidegate.cli.refused import Refused
from tidegate.config.shipped_models import shipped_model_folder
from tidegate.config.snapshot import Backend, Model, Snapshot
from tidegate.errors import ModelFailed
from tidegate.models.manifest import ModelManifest, read_manifest


@dataclass(frozen=True, slots=True)
class Configured:
    """One model of a configuration."""

    backend: Backend
    """Its set."""
    index: int
    """In the list of the set."""
    name: str
    """By its manifest, or by its folder where that cannot be read."""

    @property
    def set(self) -> str:
        return self.backend.name

    @property
    def model(self) -> Model:
        return self.backend.models[self.index]

    @property
    def full_name(self) -> str:
        return f"{self.set}/{self.name}"

    @property
    def folder(self) -> Path | None:
        """None: of no model that this build comes with."""
        return folder_of(self.model)


def folder_of(model: Model) -> Path | None:
    return shipped_model_folder(model.path) if model.shipped else Path(model.path)


def models_of(snapshot: Snapshot) -> Iterator[Configured]:
    for backend in snapshot.backends:
        for index, model in enumerate(backend.models):
            yield Configured(backend, index, _name(model))


def model_of(home: Home, named: str) -> Configured:
    """`SET/MODEL`, or a name that only one model or the set of only one model has. Raises: Refused."""
    every = [*models_of(home.snapshot)]
    if exact := [one for one in every if one.full_name == named]:
        return exact[0]
    fitting = [one for one in every if named in (one.name, one.set)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(f"`{one.full_name}`" for one in fitting)
        raise Refused(f"`{named}` of {home.where} may be {names}; say which")
    if any(backend.name == named for backend in home.snapshot.backends):
        raise Refused(f"`{named}` of {home.where} is no model")
    near = get_close_matches(named, [name for one in every for name in (one.name, one.set, one.full_name)], n=1)
    hint = f"did you mean `{near[0]}`?" if near else "`tidegate model list` shows what there is"
    raise Refused(f"no model `{named}` in {home.where}; {hint}")


def read_or_none(model: Model) -> ModelManifest | None:
    """Its manifest, pinned or not; None where that cannot be read."""
    folder = folder_of(model)
    with suppress(ModelFailed):
        return read_manifest(folder) if folder is not None else None
    return None


def _name(model: Model) -> str:
    manifest = read_or_none(model)
    return manifest.name if manifest is not None else Path(model.path).name
