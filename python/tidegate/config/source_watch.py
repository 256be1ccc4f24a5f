"""Tells when a configuration file, or a secret that it refers to, is another one than before.

Called by `control/reloading.py`. Watches directories, not files, as editors and deployments put a new file in the
place of the old one. A path may lead through symbolic links, any of which may be swapped (`..data` of a mounted
volume): each directory on the way that holds a link or the file is watched for that one name. What counts in the end
is whether the file at the end of the path differs, so that a neighbour's change is no news.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tidegate.config.inotify import (
    ATTRIBUTES,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    Event,
    Inotify,
)

SETTLE_S: Final = 0.3
"""How long nothing must happen before a change counts: an editor renames, writes and removes in a row."""
_MASK: Final = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ATTRIBUTES | DELETE_SELF | MOVE_SELF
_MOST_LINKS: Final = 40
"""As many as the kernel follows on one path."""

Mark = tuple[object, ...]
"""What tells one state of a file from another."""
Point = tuple[str, str]
"""(directory, name of an entry in it)."""

_log = logging.getLogger("tidegate.config")


def marks_of(files: Iterable[str]) -> dict[str, Mark]:
    """The state of each file now. One that cannot be looked at has a state, too."""
    return {file: _mark(file) for file in files}


def _mark(file: str) -> Mark:
    try:
        found = Path(file).stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid, found.st_gid


def watch_points(file: str) -> set[Point]:
    """The directory entries that decide what `file` is: every symbolic link on its way, and the last entry.

    Where a directory is missing, the entry that would bring it back.
    """
    points: set[Point] = set()
    rest = list(Path(file).absolute().parts[1:])
    at = Path("/")
    links = 0
    while rest:
        name = rest.pop(0)
        if name == "..":
            at = at.parent
            continue
        path = at / name
        try:
            mode = path.lstat().st_mode
            target = path.readlink() if stat.S_ISLNK(mode) else None
        except (OSError, ValueError):
            points.add((str(at), name))
            break
        if target is not None:
            points.add((str(at), name))
            links += 1
            if links > _MOST_LINKS:
                break
            rest = [*(target.parts[1:] if target.is_absolute() else target.parts), *rest]
            at = Path("/") if target.is_absolute() else at
            continue
        if not rest:
            points.add((str(at), name))
        at = path
    return points


class SourceWatch:
    """Watches a set of files within the running loop, and calls back once for each change that settled."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Raises: OSError, where the system can watch nothing more."""
        self._changed = changed
        self._inotify = Inotify()
        self._loop = asyncio.get_running_loop()
        self._files: tuple[str, ...] = ()
        self._marks: dict[str, Mark] = {}
        self._names: dict[int, tuple[str, set[str]]] = {}
        """Watch → its directory and the entries of it that matter."""
        self.complete = True
        """Whether every directory that matters is watched. Some systems allow few watches, or forbid the directory."""
        self._settling: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._inotify.fd, self._happened)

    def watch(self, files: Iterable[str], marks: dict[str, Mark] | None = None) -> None:
        """From now on these files. `marks`: the states that are known already, those at which files were last read;
        a file that has moved on from it counts as changed.
        """
        self._files = tuple(dict.fromkeys(files))
        self._arm()
        now = marks_of(self._files)
        self._marks = {**now, **{file: mark for file, mark in (marks or {}).items() if file in now}}
        if self._marks != now:
            self._settle_soon()

    def close(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()

    def _arm(self) -> None:
        """Has the kernel watch what decides where the files are now."""
        wanted: dict[str, set[str]] = {}
        for file in self._files:
            for directory, name in watch_points(file):
                wanted.setdefault(directory, set()).add(name)
        kept: dict[int, tuple[str, set[str]]] = {}
        self.complete = True
        for directory, names in wanted.items():
            try:
                watch = self._inotify.add(directory, _MASK)
            except OSError as error:
                self.complete = False
                _log.warning("not_watched directory=%s error=%s", directory, error.strerror)
                continue
            known = kept.get(watch)
            kept[watch] = (directory, names | known[1] if known is not None else names)
        for watch in self._names.keys() - kept.keys():
            self._inotify.remove(watch)
        self._names = kept

    def _happened(self) -> None:
        # Every event is taken out, or the descriptor would wake the loop again.
        if [event for event in self._inotify.events() if self._matters(event)]:
            self._settle_soon()

    def _matters(self, event: Event) -> bool:
        if event.mask & OVERFLOW:
            return True
        if event.watch not in self._names:
            return False
        if event.mask & IGNORED:
            del self._names[event.watch]
            return True
        directory, names = self._names[event.watch]
        if event.mask & (DELETE_SELF | MOVE_SELF):
            return True
        if event.name not in names:
            return False
        return not (event.mask & CREATE) or _is_whole(Path(directory, event.name))

    def _settle_soon(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._settling = self._loop.call_later(SETTLE_S, self._settled)

    def _settled(self) -> None:
        self._settling = None
        self._arm()
        now = marks_of(self._files)
        if now != self._marks:
            self._marks = now
            self._changed()


def _is_whole(path: Path) -> bool:
    """Whether an entry that has just come can be read. A plain file is still being written: its end is told."""
    try:
        found = path.lstat()
    except OSError:
        return True
    return not stat.S_ISREG(found.st_mode) or found.st_nlink > 1
