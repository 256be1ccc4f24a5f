"""What the checks look at: the configuration, the environment, the box, and a running gateway if there is one.

Read once before the checks run; `trials` and `visits` are filled in by the observations that go before the checks
that need them. A configuration that cannot be used still gives as much of itself as can be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from tidegate.admin.redaction import MARK, Redaction
from tidegate.cli.doctor.running import Running, find_running
from tidegate.cli.doctor.trial import Trial
from tidegate.cli.doctor.visit import Visit
from tidegate.cli.terminal import clean
from tidegate.clock import Clock
from tidegate.config.document import Document, merge, read_document
from tidegate.config.embedded import default_snapshot
from tidegate.config.load import load
from tidegate.config.locate import KeyPath
from tidegate.config.problems import Problem, problems_of
from tidegate.config.secret_shape import value_looks_secret
from tidegate.config.secrets import resolve
from tidegate.config.snapshot import Backend, Snapshot
from tidegate.errors import ConfigError
from tidegate.host.tree import Tree

SYSTEM_CONFIG: Final = "/etc/tidegate/tidegate.toml"
_QUOTE_CHARS: Final = 160


@dataclass
class Case:
    """Shared by all checks, which only read it."""

    files: tuple[str, ...]
    """The configuration; none: the embedded default."""
    chosen: str
    """Why these files, in words; empty when they were given."""
    document: Document
    snapshot: Snapshot | None
    """None when the configuration cannot be used even without its references."""
    problems: tuple[Problem, ...] = ()
    """What `tidegate check` would refuse, but for references that lead nowhere."""
    notes: tuple[Problem, ...] = ()
    unresolved: Mapping[KeyPath, Problem] = field(default_factory=dict)
    """References that lead nowhere, by the place they stand at."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Clock = field(default_factory=Clock)
    tree: Tree = field(default_factory=lambda: Tree(Path("/")))
    running: Running | None = None
    """The gateway that answers on the admin address."""
    trials: dict[str, Trial] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Those that are switched on and whose references lead somewhere."""
        if self.snapshot is None:
            return ()
        lame = {path[1] for path in self.unresolved if len(path) > 1 and path[0] == "backends"}
        return tuple(item for item in self.snapshot.backends if item.enabled and item.name not in lame)

    @cached_property
    def _redaction(self) -> Redaction:
        return Redaction(self.snapshot or Snapshot())

    def quote(self, text: str) -> str:
        """Words of a server or another program, fit to be shown: one line, cut, without secrets and control marks."""
        line = clean(" ".join(self._redaction.text(text).split()))
        line = " ".join(MARK if value_looks_secret(word.strip("\"'`,;()[]")) else word for word in line.split(" "))
        return line if len(line) <= _QUOTE_CHARS else line[: _QUOTE_CHARS - 1] + "…"

    def place(self, backend: str, key: str = "") -> str:
        """Where a backend, or a key of it, stands: `tidegate.toml:12`."""
        place = self.document.place(("backends", backend, key) if key else ("backends", backend))
        return f"{place.file}:{place.line}" if place.line else place.file or "the embedded default"

    def search_path(self, backend: Backend) -> str | None:
        """The PATH that its program is looked for on."""
        return next((value.reveal() for name, value in backend.env if name == "PATH"), self.environ.get("PATH"))


def open_case(files: Sequence[str], admin: str | None = None, environ: Mapping[str, str] | None = None) -> Case:
    """Reads the configuration, and asks the running gateway. What is wrong with either is no error here.

    Raises: Unanswered, for an `admin` that is no URL.

    Without files: those that the running gateway was started with, else the system's, else the embedded default.
    """
    environ = os.environ if environ is None else environ
    chosen, running = "", None
    if not files:
        running = find_running(admin, environ)
        if running is not None and running.files:
            files, chosen = running.files, f"what the running gateway, pid {running.pid}, was started with"
        elif running is None and Path(SYSTEM_CONFIG).exists():
            files, chosen = (SYSTEM_CONFIG,), "the system's"
        else:
            chosen = "no file given, no gateway running with one"
    case = _read(tuple(files), chosen, environ)
    if running is None and (admin or case.snapshot is None or case.snapshot.listen.admin):
        own = None if case.snapshot is None else case.snapshot.listen.admin
        running = find_running(admin, environ, own)
    case.running = running
    return case


def _read(files: tuple[str, ...], chosen: str, environ: Mapping[str, str]) -> Case:
    if not files:
        return Case(files, chosen, Document(()), default_snapshot(environ), environ=environ)
    document = merge(read_document(file) for file in files)
    _, unresolved = resolve(document, environ)
    try:
        loaded = load(files, environ)
        return Case(files, chosen, loaded.document, loaded.snapshot, (), loaded.notes, environ=environ)
    except ConfigError as error:
        problems = tuple(problem for problem in problems_of(error) if problem not in set(unresolved.values()))
    try:
        loaded = load(files, environ, resolve_references=False)
    except ConfigError:
        return Case(files, chosen, document, None, problems, tuple(document.notes), unresolved, environ)
    return Case(files, chosen, loaded.document, loaded.snapshot, problems, loaded.notes, unresolved, environ)
