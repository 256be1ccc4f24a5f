"""Hears of the end of a process that we started: on any event loop, without SIGCHLD, without a thread if possible."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable


def watch_exit(process: subprocess.Popen[bytes], ended: Callable[[], None], *, group: bool = False) -> None:
    """Calls `ended` when it has exited and been reaped. `group`: everybody in its process group goes with it.

    Raises: OSError, when there is no descriptor left to watch it by.
    """
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):
        _watch_by_thread(loop, process, ended, group)
        return
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError as error:
        if error.errno not in (_ENOSYS, _EPERM):
            raise
        _watch_by_thread(loop, process, ended, group)
        return

    def readable() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        if group:
            # Before it is reaped nobody else can have its number.
            end_group(process.pid)
        process.wait()
        ended()

    loop.add_reader(descriptor, readable)


_ENOSYS, _EPERM = 38, 1
"""A kernel before 5.3, or a sandbox that does not know the call."""


def end_group(leader: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def _watch_by_thread(
    loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], ended: Callable[[], None], group: bool
) -> None:
    def wait() -> None:
        with contextlib.suppress(OSError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        if group:
            end_group(process.pid)
        process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(ended)

    threading.Thread(target=wait, name=f"wait {process.pid}", daemon=True).start()
