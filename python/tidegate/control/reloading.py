"""Reloading: on a signal, a changed file or an operator's word, the files are read again and put into force.

The loop of the configuration: observe (`SourceWatch`, signals, the admin listener), decide (the validating child says
whether the files can be used), apply (the daemon). One reload at a time; what is asked for meanwhile is answered by
one more. Files that cannot be used change nothing: what was in force stays, and the reason is told to whoever asked,
to the log, to `status` and to the service manager.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from tidegate.clock import Clock
from tidegate.config.problems import Problem, config_error, problems_of
from tidegate.config.read import Reading
from tidegate.config.snapshot import Snapshot
from tidegate.config.source_watch import SourceWatch, marks_of
from tidegate.errors import ConfigError

_log = logging.getLogger("tidegate.reload")

Told = Callable[["Outcome"], None]


class Configured(Protocol):
    """The daemon, as its configuration sees it."""

    async def take_up(self, snapshot: Snapshot) -> Mapping[str, object] | None:
        """Puts `snapshot` into force; what that changed, or None when it is what is in force already.

        Raises: ConfigError, and then nothing has changed.
        """


class Manager(Protocol):
    """The service manager's side (`systemd/contract.py`)."""

    def reloading(self) -> None: ...

    def reloaded(self, refused: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one reload ended."""

    cause: str
    """Who asked: SIGHUP, a file, the admin listener; several when they were folded into one."""
    result: str
    """`applied`, `unchanged` or `refused`."""
    at: str
    """When it ended, ISO 8601, UTC."""
    took_s: float
    generation: int
    """Of the configuration that is in force now."""
    files: tuple[str, ...]
    """What was read; none where the gateway was started without any."""
    changed: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    """Why it was refused."""

    @property
    def error(self) -> str | None:
        """The problems as a person reads them, a line each."""
        return str(config_error(self.problems)) if self.problems else None

    def fields(self) -> dict[str, object]:
        """As JSON values, for operators."""
        return {
            "result": self.result,
            "generation": self.generation,
            "files": list(self.files),
            "cause": self.cause,
            "at": self.at,
            "took_s": self.took_s,
            "changed": dict(self.changed),
            "error": self.error,
            "problems": [asdict(problem) for problem in self.problems],
        }


class Reloading:
    """The configuration of one daemon: which files, which generation, and how the last reload ended."""

    def __init__(
        self,
        files: Iterable[str],
        read: Callable[[], Awaitable[Reading]],
        configured: Configured,
        clock: Clock,
        spawn: Callable[..., None],
        manager: Manager | None = None,
    ) -> None:
        """`read`: reads and validates the files, as at the start of the daemon."""
        self.files = tuple(files)
        self.generation = 1
        self.last: Outcome | None = None
        self._read = read
        self._configured = configured
        self._clock = clock
        self._spawn = spawn
        self._manager = manager
        self._watch: SourceWatch | None = None
        self._secret_files: tuple[str, ...] = ()
        self._running = False
        self._closed = False
        self._asked: list[tuple[str, Told | None]] = []

    def watch(self, secret_files: Iterable[str], marks: Mapping[str, tuple[object, ...]]) -> None:
        """From now on a file that differs from what was read (at `marks`) is taken up by itself."""
        if not self.files:
            return
        try:
            self._watch = SourceWatch(lambda: self.request("a changed file"))
        except OSError as error:
            _log.warning("files_not_watched error=%s; SIGHUP and `tidegate reload` still work", error.strerror)
            return
        self._secret_files = tuple(secret_files)
        self._watch.watch((*self.files, *self._secret_files), dict(marks))

    def request(self, cause: str, told: Told | None = None) -> None:
        """Reloads soon. `told` is called once, when it is in force or was refused."""
        self._asked.append((cause, told))
        if not self._running and not self._closed:
            self._running = True
            self._spawn(self._run, name="reload")

    def close(self) -> None:
        """No further reload begins."""
        self._closed = True
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def statistics(self) -> dict[str, object]:
        return {
            "generation": self.generation,
            "files": list(self.files),
            "watched": self._watch is not None and self._watch.complete,
            "error": self.last.error if self.last is not None else None,
            "last_reload": self.last.fields() if self.last is not None else None,
        }

    async def _run(self) -> None:
        try:
            while self._asked and not self._closed:
                asked, self._asked = self._asked, []
                outcome = await self._once(", ".join(dict.fromkeys(cause for cause, _ in asked)))
                for _, told in asked:
                    try:
                        if told is not None:
                            told(outcome)
                    except Exception:
                        # Whoever asked first must not cost the others their answer.
                        _log.exception("reload_not_told")
        finally:
            self._running = False

    async def _once(self, cause: str) -> Outcome:
        began_s = self._clock.now_s()
        if self._manager is not None:
            self._manager.reloading()
        result, changed = "refused", None
        problems: tuple[Problem, ...] = ()
        marks = marks_of(self.files)
        reading = Reading(None)
        try:
            reading = await self._read()
            changed = await self._configured.take_up(reading.usable())
            result = "unchanged" if changed is None else "applied"
        except ConfigError as error:
            problems = tuple(problems_of(error))
        except Exception as error:
            # A defect of ours must not end reloading for good.
            _log.exception("reload_failed")
            problems = (Problem("", 0, "", f"the gateway failed over it: {type(error).__name__}: {error}"),)
        if result == "applied":
            self.generation += 1
        if self._watch is not None:
            # Of files that cannot be used it is not sure that all their secrets were found.
            known = self._secret_files if reading.snapshot is None else ()
            self._secret_files = tuple(dict.fromkeys((*known, *reading.secret_files)))
            self._watch.watch((*self.files, *self._secret_files), marks)
        outcome = Outcome(
            cause=cause,
            result=result,
            at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            took_s=round(self._clock.now_s() - began_s, 3),
            generation=self.generation,
            files=self.files,
            changed=changed or {},
            problems=problems,
        )
        self.last = outcome
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        if outcome.result == "refused":
            for problem in outcome.problems:
                _log.error("reload_refused cause=%s %s", outcome.cause, problem)
            _log.error("reload_refused the configuration in force stays, generation=%d", outcome.generation)
        else:
            _log.info("reload_%s cause=%s generation=%d", outcome.result, outcome.cause, outcome.generation)
        if self._manager is not None:
            self._manager.reloaded(str(outcome.problems[0]) if outcome.problems else "")
