"""A model's files, found and checked: `place("model")` is the path of a file that is what the manifest says it is.

Nothing outside the folder of the manifest, or of the package that carries the file, is ever opened: each part of a path
is opened on its own and no link is followed. A digest is computed when the file is first needed and again when the file
is another than before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tidegate.errors import ModelMissing, ModelRefused
from tidegate.models.manifest import ModelFile, ModelManifest

MAX_FILE_BYTES: Final = 16 << 30
"""Of one file, where no budget says less."""

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, times of change: another when somebody wrote to the file or put another in its place."""


class FileChanged(ModelRefused):
    """A file has another digest than its manifest says."""


class ModelFiles:
    """Those of one model. Used on the computing thread of the model."""

    def __init__(self, manifest: ModelManifest, memory_bytes: int = 0) -> None:
        self._manifest = manifest
        self._max_bytes = min(memory_bytes or MAX_FILE_BYTES, MAX_FILE_BYTES)
        self._files = {file.role: file for file in manifest.files}
        self._checked: dict[str, Identity] = {}
        """What was right when it was hashed, by role."""

    def place(self, role: str) -> Path:
        """The verified file. Raises: ModelRefused, ModelMissing."""
        file = self._files.get(role)
        if file is None:
            raise self._refused(f"its manifest has no `[files.{role}]`, which its task needs")
        root = self._root(file)
        with self._opened(file, root) as descriptor:
            identity = self._identity(descriptor)
            size = identity[2]
            if size > self._max_bytes:
                raise self._refused(f"`{file.path}` has {size} bytes, and {self._max_bytes} are allowed")
            if self._checked.get(role) != identity:
                found = _sha256(descriptor)
                if found != file.sha256:
                    raise FileChanged(
                        f"model `{self._manifest.name}` is refused: `{file.path}` has the SHA-256 `{found}`, "
                        f"and its manifest says `{file.sha256}`"
                    )
                if self._identity(descriptor) != identity:
                    raise self._refused(f"`{file.path}` was written to while it was read")
                self._checked[role] = identity
        return root / file.path

    def still_those(self) -> None:
        """After loading: what was opened by its path is what was checked. Raises: ModelRefused, ModelMissing."""
        for role, identity in self._checked.items():
            file = self._files[role]
            with self._opened(file, self._root(file)) as descriptor:
                if self._identity(descriptor) != identity:
                    raise self._refused(f"`{file.path}` was replaced while it was loaded")

    def _root(self, file: ModelFile) -> Path:
        """What the path is relative to. An installed package is looked up, never imported."""
        if not file.package:
            return self._manifest.folder
        from importlib.util import find_spec

        try:
            spec = find_spec(file.package)
        except (ImportError, ValueError):
            spec = None
        folders = list(spec.submodule_search_locations or ()) if spec is not None else []
        if not folders:
            raise self._missing(f"the package `{file.package}` is not installed")
        return Path(folders[0])

    @contextmanager
    def _opened(self, file: ModelFile, root: Path) -> Iterator[int]:
        """A descriptor of the plain file. Raises: ModelRefused, ModelMissing."""
        parts = file.path.split("/")
        opened: list[int] = []
        try:
            # The folder itself may be reached by a link: where it is, is the operator's.
            opened.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            for part in parts[:-1]:
                opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
            opened.append(os.open(parts[-1], _FILE, dir_fd=opened[-1]))
            if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
                raise self._refused(f"`{file.path}` is no plain file")
            yield opened[-1]
        except FileNotFoundError:
            where = (
                f"the package `{file.package}` has no `{file.path}`"
                if file.package
                else f"there is no `{root / file.path}`"
            )
            raise self._missing(where) from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise self._refused(f"`{file.path}` is reached by a link, and none is followed") from None
            raise self._refused(f"`{file.path}` cannot be read: {error.strerror}") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _identity(self, descriptor: int) -> Identity:
        found = os.fstat(descriptor)
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _refused(self, why: str) -> ModelRefused:
        return ModelRefused(f"model `{self._manifest.name}` is refused: {why}")

    def _missing(self, why: str) -> ModelMissing:
        return ModelMissing(f"model `{self._manifest.name}` is not there: {why}{how_to_install(self._manifest)}")


def how_to_install(manifest: ModelManifest) -> str:
    """The end of a sentence that says what is missing."""
    if not manifest.install:
        return ""
    return f"; `tidegate model add {manifest.name} --install` brings it (packages {', '.join(manifest.install)})"


def _sha256(descriptor: int) -> str:
    digest = hashlib.sha256()
    at = 0
    # pread: the descriptor stays where it is for whoever else reads it.
    while block := os.pread(descriptor, 1 << 20, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
