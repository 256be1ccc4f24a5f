"""The last log lines: `GET /logs`, one JSON object a line.

    lines=N       at most the last N of those that fit (default 100)
    backend=NAME  only what is about this backend
    level=NAME    from this level on: debug, info, warning, error
    since_s=S     not older than S seconds
    follow=1      goes on with new ones, until the reader leaves or the gateway ends

A follower that reads more slowly than lines come loses lines, and is told how many; one that stays stuck is let
go. An empty line now and then tells a follower that the gateway lives.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import parse_qs

from tidegate.admin.answer import HEADERS, answer
from tidegate.control.telemetry.log_ring import Line, LogRing
from tidegate.pipeline.accept.http_request import HttpRequest, HttpStream

_MOST_FOLLOWERS: Final = 8
_DEFAULT_LINES: Final = 100
_UNREAD_BYTES: Final = 256 * 1024
"""What a follower may leave unread before it loses lines."""
_BEAT_S: Final = 15.0
_STUCK_BEATS: Final = 8
"""A follower that took nothing for so many beats is let go."""
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_TYPE: Final = (*HEADERS, ("content-type", "application/x-ndjson"))


@dataclass(frozen=True)
class _Filter:
    """Which lines are wanted."""

    backend: str | None
    level: int
    not_before_s: float

    def takes(self, line: Line) -> bool:
        return (
            line.level >= self.level
            and line.time_s >= self.not_before_s
            and (self.backend is None or line.backend == self.backend)
        )


class LogPage:
    """Answers from the ring, once or for as long as somebody follows."""

    def __init__(self, ring: LogRing) -> None:
        self._ring = ring
        self._followers: set[_Follower] = set()

    def logs(self, request: HttpRequest) -> None:
        query = {name: values[-1] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        try:
            wanted, most = _read(query)
        except ValueError as error:
            answer(request, 400, {"error": str(error)})
            return
        # Taken while no other thread adds a line: a deque that changes cannot be gone through.
        with self._ring.lock or threading.RLock():
            kept = list(self._ring.lines)
            last = self._ring.last
        fitting = [line for line in kept if wanted.takes(line)]
        shown = fitting[len(fitting) - most :] if most < len(fitting) else fitting
        body = b"".join(map(_written, shown))
        if query.get("follow") not in ("1", "true") or request.method == "HEAD":
            request.respond(200, _TYPE, body)
        elif len(self._followers) >= _MOST_FOLLOWERS:
            answer(request, 503, {"error": f"{_MOST_FOLLOWERS} readers follow the log already, the most there may be"})
        else:
            self._followers.add(_Follower(self._ring, wanted, last, request, body, self._followers.discard))

    def close(self) -> None:
        """Ends the streams of all who follow."""
        for follower in list(self._followers):
            follower.end()


class _Follower:
    """One reader that is sent new lines as they come."""

    def __init__(
        self,
        ring: LogRing,
        wanted: _Filter,
        last: int,
        request: HttpRequest,
        first: bytes,
        gone: Callable[[_Follower], None],
    ) -> None:
        self._ring = ring
        self._wanted = wanted
        self._seen = last
        self._lost = 0
        self._stuck_beats = 0
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._due = False
        self._ended = False
        self._stream: HttpStream = request.start_stream(200, _TYPE)
        # The reader learns at once that it follows, also while there is nothing to say.
        self._stream.write(first or b"\n")
        request.on_disconnect = self.end
        ring.followers.add(self._told)
        self._beat = self._loop.call_later(_BEAT_S, self._beats)

    def _told(self) -> None:
        """In any thread, for each line: many lines of one turn of the loop are written together."""
        if self._due:
            return
        self._due = True
        try:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self._write)
            else:
                self._loop.call_soon_threadsafe(self._write)
        except RuntimeError:
            # The loop has ended, and whoever logs something must not hear of it.
            self._ring.followers.discard(self._told)

    def _write(self) -> None:
        self._due = False
        stream = self._stream
        if self._ended or stream.closed:
            self.end()
            return
        with self._ring.lock or threading.RLock():
            # From the end: a follower is usually a few lines behind.
            news = list(islice(reversed(self._ring.lines), self._ring.last - self._seen))
            missed = self._ring.last - self._seen - len(news)
            self._seen = self._ring.last
        fitting = [line for line in reversed(news) if self._wanted.takes(line)]
        self._lost += missed
        if stream.buffered_bytes > _UNREAD_BYTES:
            self._lost += len(fitting)
        else:
            self._send(fitting)

    def _send(self, lines: Iterable[Line]) -> None:
        note = b""
        if self._lost:
            note = json.dumps({"lost": self._lost}).encode() + b"\n"
            self._lost = 0
        self._stream.write(note + b"".join(map(_written, lines)))

    def _beats(self) -> None:
        """Finds out who has gone without a word, and tells what was lost when no further line comes."""
        stream = self._stream
        if stream.closed:
            self.end()
            return
        if stream.buffered_bytes > _UNREAD_BYTES:
            self._stuck_beats += 1
            if self._stuck_beats >= _STUCK_BEATS:
                self.end()
                return
        else:
            self._stuck_beats = 0
            self._send(())
            stream.write(b"\n")
        self._beat = self._loop.call_later(_BEAT_S, self._beats)

    def end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._beat.cancel()
        self._ring.followers.discard(self._told)
        self._stream.close()
        self._gone(self)


def _read(query: dict[str, str]) -> tuple[_Filter, int]:
    """The filter, and how many lines at most. Raises: ValueError, in words."""
    unknown = query.keys() - {"lines", "backend", "level", "since_s", "follow"}
    if unknown:
        raise ValueError(f"there is no parameter `{min(unknown)[:100]}`")
    level = query.get("level", "debug").lower()
    if level not in _LEVELS:
        raise ValueError(f"`level` is one of {', '.join(_LEVELS)}")
    try:
        most = int(query.get("lines", _DEFAULT_LINES))
        since_s = float(query.get("since_s", "inf"))
    except ValueError:
        raise ValueError("`lines` and `since_s` are numbers") from None
    if most < 0 or not since_s >= 0:
        raise ValueError("`lines` and `since_s` are not negative")
    return _Filter(query.get("backend"), _LEVELS[level], time.time() - since_s), most


def _written(line: Line) -> bytes:
    row = {
        "number": line.number,
        "time_s": round(line.time_s, 3),
        "level": logging.getLevelName(line.level).lower(),
        "logger": line.logger,
        "backend": line.backend,
        "text": line.text,
    }
    return json.dumps(row).encode() + b"\n"
