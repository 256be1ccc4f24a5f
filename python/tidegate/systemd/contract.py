"""What the daemon says to its service manager, and when: ready, status, watchdog, reloading, stopping.

The daemon holds one while it runs under a manager and none otherwise, so that without one nothing is imported and
nothing ticks. Below it: `Notifier` (datagrams), `Watchdog` and `Canary` (feeding), `Inherited` (sockets).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.control.telemetry.backend_state import STATES, backend_state
from tidegate.events import BackendState, Event, Events
from tidegate.systemd.notify import Notifier, socket_address
from tidegate.systemd.sockets import Inherited, take_passed
from tidegate.systemd.watchdog import Watchdog, watchdog_timeout_s

_STATUS_DELAY_S: Final = 0.25
"""A backend's changes come in bursts; one line is enough for each."""
_NAMES: Final = 5
"""Backends named in the status line."""
_CHILDREN_S: Final = 15.0
"""What ending takes beside the drain time, at most: a child is asked, told and killed, 2 s each, on a busy box."""
_WORDS: Final = {"idle": "not needed"}

Backends = Iterable[Mapping[str, Any]]


class Contract:
    """One daemon's relation to its manager. Made within the running loop. Raises: ConfigError (see `take_passed`)."""

    def __init__(self, environ: MutableMapping[str, str], clock: Clock) -> None:
        """Takes what concerns this process out of `environ`, so that no child believes it is meant."""
        self._clock = clock
        self.inherited = Inherited(take_passed(environ))
        address = socket_address(environ.pop("NOTIFY_SOCKET", ""))
        self._watchdog_s = watchdog_timeout_s(environ) if address is not None else None
        for variable in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            environ.pop(variable, None)
        self._later = asyncio.get_running_loop().call_later
        self._notifier = Notifier(address, self._later) if address is not None else None
        self._watchdog: Watchdog | None = None
        self._end_canary: Callable[[], None] = lambda: None
        self._backends: Callable[[], Backends] = tuple
        self._told = ""
        self._refused = ""
        self._status_due = False
        self._stopping = False

    # -- ready ------------------------------------------------------------------------------------------------

    def follow(self, events: Events, backends: Callable[[], Backends]) -> None:
        """Keeps the status line true. `backends`: rows as `Daemon.backends` makes them."""
        if self._notifier is not None:
            self._backends = backends
            events.subscribe(self._happened)

    def ready(self) -> None:
        """Listeners accept, and whatever was to be up from the start can be used."""
        self._told = self._text()
        self._send(READY="1", STATUS=self._told)

    def watch(self, serve: Callable[[], asyncio.Protocol], spawn: Callable[..., None]) -> None:
        """Begins to feed the watchdog, if the manager has one. `serve` makes the protocol of a stream connection."""
        if self._watchdog_s is None:
            return
        import faulthandler

        from tidegate.systemd.canary import Canary

        # A watchdog that is not fed ends in SIGABRT: the log then has the line that the loop stood at.
        faulthandler.enable()
        watchdog = Watchdog(
            self._watchdog_s,
            self._clock,
            ask=lambda: canary.ask(),
            feed=lambda: self._send(WATCHDOG="1"),
            later=self._later,
        )
        canary = Canary(serve, spawn=spawn, answered=watchdog.answered, lost=watchdog.lost)
        self._watchdog, self._end_canary = watchdog, canary.close
        watchdog.beat()

    def _happened(self, event: Event) -> None:
        if isinstance(event, BackendState) and not self._status_due:
            self._status_due = True
            self._later(_STATUS_DELAY_S, self._tell_status)

    def _tell_status(self) -> None:
        self._status_due = False
        text = self._text()
        if text != self._told and not self._stopping:
            self._told = text
            self._send(STATUS=text)

    def _text(self) -> str:
        return "; ".join(filter(None, (status_text(self._backends()), self._refused)))

    # -- changes ----------------------------------------------------------------------------------------------

    def reloading(self) -> None:
        """The configuration is read again; `reloaded` ends that.

        The manager holds this time against that of its own request (`Type=notify-reload`), so it is the kernel's
        monotonic clock.
        """
        self._send(RELOADING="1", MONOTONIC_USEC=str(int(self._clock.now_s() * 1_000_000)))

    def reloaded(self, refused: str) -> None:
        """What was read is in force; or it is not, and the status line says why until it was mended."""
        self._refused = f"the changed configuration is refused: {refused}" if refused else ""
        if not self._stopping:
            self.ready()

    def stopping(self, drain_s: float) -> None:
        """On the way out; asks for the time that takes, whatever the unit's own limit is."""
        self._stopping = True
        within_us = int((drain_s + _CHILDREN_S) * 1_000_000)
        self._send(STOPPING="1", STATUS="stopping: running calls are finished", EXTEND_TIMEOUT_USEC=str(within_us))

    def failed(self, reason: str) -> None:
        """Could not start: `systemctl status` shows why."""
        self._stopping = True
        self._send(STATUS=f"cannot start: {reason}")

    def close(self) -> None:
        """The very last."""
        if self._watchdog is not None:
            self._watchdog.close()
        self._end_canary()
        if self._notifier is not None:
            self._notifier.close()

    def _send(self, **fields: str) -> None:
        if self._notifier is not None:
            self._notifier.send(**fields)


def status_text(backends: Backends) -> str:
    """`3 backends: 2 ready, 1 down (files)`."""
    by_state: dict[str, list[str]] = {}
    for backend in backends:
        by_state.setdefault(backend_state(backend), []).append(str(backend.get("backend")))
    total = sum(map(len, by_state.values()))
    if not total:
        return "no backends"
    parts = [_part(state, by_state[state]) for state in STATES if state in by_state]
    return f"{total} backend{'s' if total != 1 else ''}: {', '.join(parts)}"


def _part(state: str, names: list[str]) -> str:
    text = f"{len(names)} {_WORDS.get(state, state)}"
    if state in ("ready", "idle"):
        return text
    more = [f"{len(names) - _NAMES} more"] if len(names) > _NAMES else []
    return f"{text} ({', '.join([*names[:_NAMES], *more])})"
