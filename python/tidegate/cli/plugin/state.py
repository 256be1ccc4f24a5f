"""What can be said of a configured plugin without running it: its manifest, and whether it could be run at once."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.cli.plugin.configured import Configured
from tidegate.cli.plugin.opened import Opened, open_plugin
from tidegate.cli.refused import Refused
from tidegate.config.paths import plugins_directory
from tidegate.sandbox.artefacts import Artefact, Artefacts
from tidegate.sandbox.engine import NoEngine, engine_key
from tidegate.sandbox.shipped_code import shipped_code


@dataclass(frozen=True, slots=True)
class State:
    """Of one plugin."""

    words: str
    """For a column of a table."""
    usable: bool
    """The gateway would load it."""
    opened: Opened | None = None
    artefact: Artefact | None = None


def state_of(configured: Configured, trusted_keys: tuple[str, ...]) -> State:
    plugin, file = configured.plugin, configured.file
    if file is None:
        return State("not in this build", usable=False)
    if not file.exists():
        return State("file is missing", usable=False)
    try:
        opened = open_plugin(file)
    except Refused as refused:
        return State(f"broken: {str(refused).removeprefix(f'`{file}`').lstrip(': ')}", usable=False)
    if plugin.digest and opened.digest != plugin.digest:
        return State("another file than was pinned", usable=False, opened=opened)
    world = "filter" if configured.section == "filters" else "tool"
    if opened.manifest.world != world:
        return State(f"is a {opened.manifest.world}, not a {world}", usable=False, opened=opened)
    return compiled_state(opened, trusted_keys, plugin.file if plugin.shipped else "")


def compiled_state(opened: Opened, trusted_keys: tuple[str, ...], shipped: str = "") -> State:
    """Whether its machine code is there, for whoever runs this. `shipped`: its name, if it comes with tidegate."""
    directory = plugins_directory()
    try:
        engine = engine_key()
    except NoEngine:
        return State("this build runs no plugins", usable=False, opened=opened)
    if shipped and (artefact := shipped_code(shipped, opened.digest, engine)) is not None:
        return State("comes compiled", usable=True, opened=opened, artefact=artefact)
    artefact = Artefacts(directory, trusted_keys).find(opened.digest, engine) if directory is not None else None
    if artefact is None:
        return State("to be compiled when needed", usable=True, opened=opened)
    words = "compiled" if not artefact.signed_by else "compiled elsewhere, signed"
    return State(words, usable=True, opened=opened, artefact=artefact)
