"""The entries of models in `tidegate.toml`: written, changed, taken away. Their folders stay where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.cli.config_text import keep_defaults, names_backends, read_config, write_config, written_out
from tidegate.cli.home import Home
from tidegate.cli.model.configured import Configured
from tidegate.cli.model.opened import Opened
from tidegate.cli.refused import Refused
from tidegate.config.json_edit import NotEditable
from tidegate.config.toml_edit import TomlText

Entry = dict[str, Any]
Entries = list[Entry]


@dataclass(frozen=True, slots=True)
class Change:
    """A set of models as it shall be."""

    config: Path
    home: Home
    set: str
    edit: Callable[[Entries], Entries]
    """What its `models` are after; an empty list takes the table away."""

    def text(self) -> tuple[str | None, str]:
        """(before, after). Raises: Refused."""
        before = read_config(self.config)
        path = ("backends", self.set)
        try:
            text = TomlText(before or "")
            written = text.get(path)
            if written is None and (by_default := self._by_default()) is not None:
                entries: Any = by_default
            else:
                entries = (written or {}).get("models", [])
            if not isinstance(entries, list):
                raise NotEditable(f"`backends.{self.set}.models` is no list")
            left = self.edit([*entries])
            if left or not names_backends(self.home):
                keep_defaults(text, self.home, but=self.set)
            if left:
                text.set(path, {"models": left})
            else:
                text.remove(path)
        except NotEditable as error:
            raise Refused(f"`{self.config}`, {error}; nothing was changed") from error
        return before, text.text

    def write(self) -> None:
        """Raises: Refused."""
        before, after = self.text()
        write_config(self.config, before, after)

    def _by_default(self) -> Entries | None:
        """Of a set that is there because the file names no backends."""
        if names_backends(self.home):
            return None
        backend = next((one for one in self.home.snapshot.backends if one.name == self.set and one.models), None)
        return written_out(backend)["models"] if backend is not None else None


def entry_of(opened: Opened, config: Path) -> Entry:
    """Pinned, and its path from the file it is written into, or whole where it is not below that."""
    if opened.shipped:
        return {"path": opened.shipped}
    # Not resolved: a link in the way is the operator's, and may lead elsewhere tomorrow.
    folder, home = (Path(os.path.normpath(path.absolute())) for path in (opened.folder, config.parent))
    path = f"./{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
    return {"path": path, "digest": opened.manifest.digest}


def without(config: str, configured: Configured, home: Home) -> Change:
    """Raises: Refused, where the model is written in another file."""

    def edit(entries: Entries) -> Entries:
        if configured.index >= len(entries):
            raise NotEditable(f"`{configured.full_name}` is not in it; give the file that it is in with `--config`")
        return [entry for index, entry in enumerate(entries) if index != configured.index]

    return Change(Path(config), home, configured.set, edit)
