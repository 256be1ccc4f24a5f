"""All sessions: a bounded table by id, with the idle ones ended by one timer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

from tidegate.clock import Clock
from tidegate.config.snapshot import Limits
from tidegate.errors import Overloaded
from tidegate.pipeline.era.session import Session


class SessionTable:
    """Sessions by id. A session is idle while nothing runs in it and it has no stream open."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._used_s: dict[str, float] = {}
        self._reaper: asyncio.TimerHandle | None = None
        self.before_judging: Callable[[], None] | None = None
        """Called before the use of sessions is looked at: somebody may have something to say about it."""

    def take_up(self, limits: Limits) -> None:
        """Other bounds from now on. Sessions that are over a new bound go on."""
        self._limits = limits
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        self._arm()

    def open(self, make: Callable[[str], Session]) -> Session:
        """A new session under a new unguessable id. Raises: Overloaded."""
        if len(self._sessions) >= self._limits.sessions and not self._reap() and not self._end_idlest():
            raise Overloaded(f"the gateway has {self._limits.sessions} sessions open, its limit; try again later")
        key = secrets.token_urlsafe(24)
        session = make(key)
        self._sessions[key] = session
        self._used_s[key] = self._clock.now_s()
        self._arm()
        return session

    def find(self, key: str) -> Session | None:
        """The session, which counts as used now."""
        session = self._sessions.get(key)
        if session is not None:
            self._used_s[key] = self._clock.now_s()
        return session

    def end(self, session: Session) -> None:
        self._sessions.pop(session.key, None)
        self._used_s.pop(session.key, None)
        session.end()

    def forget(self, session: Session) -> None:
        """It ended by itself."""
        self._sessions.pop(session.key, None)
        self._used_s.pop(session.key, None)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)

    def _arm(self) -> None:
        if self._reaper is None and self._sessions and self._limits.session_idle_s > 0:
            delay_s = max(1.0, self._limits.session_idle_s / 4)
            self._reaper = asyncio.get_running_loop().call_later(delay_s, self._reap_and_arm)

    def _reap_and_arm(self) -> None:
        self._reaper = None
        self._reap()
        self._arm()

    def _reap(self) -> int:
        """Ends idle sessions; how many."""
        if self.before_judging is not None:
            self.before_judging()
        before_s = self._clock.now_s() - self._limits.session_idle_s
        idle = [session for key, session in self._sessions.items() if self._used_s[key] < before_s and _idle(session)]
        for session in idle:
            self.end(session)
        return len(idle)

    def _end_idlest(self) -> bool:
        """Makes room: a full table must not lock out who is there for who is not."""
        idle = [session for session in self._sessions.values() if _idle(session)]
        if idle:
            self.end(min(idle, key=lambda session: self._used_s[session.key]))
        return bool(idle)

    def close(self) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
            self._reaper = None
        for session in self:
            self.end(session)


def _idle(session: Session) -> bool:
    """Nothing runs in it and no stream of it is open."""
    return not session.busy and (session.general is None or not session.general.alive)
