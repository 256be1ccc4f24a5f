"""The keeper: a tiny process that outlives a daemon killed by SIGKILL, and ends what the daemon's children started.

The kernel ends a child with its daemon (`setpriv --pdeathsig`), but not the child's own children. The keeper is a shell
of less than 1 MiB that waits on a pipe of which the daemon alone holds the other end. It is told of each child's group;
when the pipe ends without a word, it kills those groups and every process that carries the daemon's mark, then leaves.
It exists while there is a child, is in a session of its own, and holds nothing of the daemon's but that pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
from typing import Final
from weakref import WeakKeyDictionary

from tidegate.pipeline.upstream.child.exit_watch import watch_exit
from tidegate.pipeline.upstream.child.mark import daemon_mark, started

_log = logging.getLogger("tidegate.child")

_SHELL: Final = "/bin/sh"
_SCRIPT: Final = r"""# tidegate: ends what a killed gateway leaves behind
# Nothing here may start a process: that can fail just when it is needed. `read` skips NUL.
trap '' TERM INT HUP QUIT PIPE USR1 USR2 TSTP
groups=
while read -r word id; do
  case $word in
    +) groups="$groups $id" ;;
    -) kept=
       for group in $groups; do [ "$group" = "$id" ] || kept="$kept $group"; done
       groups=$kept ;;
    .) exit 0 ;;
  esac
done
started() { # PID: sets $at to the time it was started and $group; fails when it is gone
  at= group=
  { while IFS= read -r line || [ -n "$line" ]; do text=$line; done; } <"/proc/$1/stat" || return 1
  set -f; set -- ${text##*) }; set +f
  group=$3; shift 19 && at=$1
}
round=0 quiet=0
while [ $round -lt 300 ] && [ $quiet -lt 2 ]; do
  round=$((round + 1)) found=
  for group in $groups; do kill -KILL "-$group"; done
  for place in /proc/[0-9]*; do
    pid=${place#/proc/}
    [ "$pid" != $$ ] && started "$pid" && [ "$at" -ge "$2" ] || continue
    { while IFS= read -r line || [ -n "$line" ]; do
        case $line in *"$1"*) { kill -KILL "-$group" || kill -KILL "$pid"; } && found=y; break ;; esac
      done; } <"$place/environ"
  done
  if [ "$found" ]; then quiet=0; else quiet=$((quiet + 1)); fi
done
"""
_MOST_LOSSES: Final = 5
"""Somebody who kills it that often means it."""
_LEAVING_S: Final = 1.0


class Keeper:
    """The daemon's end of it: one an event loop, while there are children."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._pipe = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._losses = 0
        self._left = asyncio.Event()

    def expect(self) -> None:
        """Called before a child is started, so that no child is ever without it."""
        if self._process is not None or self._losses > _MOST_LOSSES:
            return
        try:
            process, writing = _start()
        except OSError as error:
            _log.warning(
                "keeper_not_started error=%s; if this gateway is killed by SIGKILL, what its children started may stay",
                error,
            )
            return
        left = asyncio.Event()
        try:
            watch_exit(process, lambda: self._gone(process, left))
        except OSError:
            # No descriptor is left; the child will not get any, either. Without a word it would end those that run.
            os.write(writing, b".\n")
            os.close(writing)
            process.wait()
            return
        self._process, self._pipe, self._left = process, writing, left
        for group in self._groups:
            self._tell(b"+ %d\n" % group)

    def add(self, group: int) -> None:
        self._groups.add(group)
        self._tell(b"+ %d\n" % group)

    def remove(self, group: int) -> None:
        """Nobody is left in it. With the last one the keeper leaves."""
        self._groups.discard(group)
        self._tell(b"- %d\n" % group)

    async def leave_if_idle(self) -> None:
        process, left = self._process, self._left
        if process is None or self._groups:
            return
        self._tell(b".\n")
        self._close()
        self._process = None
        self._losses = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_S):
                await left.wait()

    def _tell(self, line: bytes) -> None:
        """Never waits: a keeper that does not read is told nothing more; it still has the mark to go by."""
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, line)

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _gone(self, process: subprocess.Popen[bytes], left: asyncio.Event) -> None:
        left.set()
        if process is self._process:
            _log.warning("keeper_lost status=%s", process.returncode)
            self._losses += 1
            self._process = None
            self._close()
            if self._groups:
                self.expect()


def _start() -> tuple[subprocess.Popen[bytes], int]:
    """The keeper and the pipe to it. Raises: OSError."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        os.set_blocking(writing, False)
        process = subprocess.Popen(  # noqa: S603  our own words
            # By way of a variable, so that lists of processes stay readable.
            [_SHELL, "-c", 'eval "$KEEPER"', "tidegate-keeper", daemon_mark(), str(started())],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"KEEPER": _SCRIPT},
            start_new_session=True,
        )
    except OSError:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return process, writing


_keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, Keeper] = WeakKeyDictionary()


def keeper() -> Keeper:
    """That of the running loop."""
    return _keepers.setdefault(asyncio.get_running_loop(), Keeper())
