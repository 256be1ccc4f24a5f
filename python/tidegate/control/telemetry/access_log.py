"""A line for each request that ended, and for what plugins did beyond their own memory: `access_log = true`.

Subscribes to `Events` while it is wanted. A line says what was asked, by whom, of whom, how it ended and how long it
took; never what was said. What the relay does by itself comes later, in batches, and is written before whatever ended
after it: the order is that of the ends.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Final

from tidegate.config.secret_shape import secret_url_spans
from tidegate.control.telemetry.console import ACCESS
from tidegate.events import CallsEnded, CapabilityServed, Event, Events, ExchangeDone, PluginActed

_MAX_CHARS: Final = 200
"""Of one value: names and URIs are words of clients."""
_PLAIN: Final = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f]+")
_CANARY: Final = "canary"
"""The transport of the daemon's calls to itself, which are nobody's requests."""

_log = logging.getLogger(ACCESS)


class AccessLog:
    """Writes while it is open."""

    def __init__(self, events: Events, catch_up: Callable[[], None]) -> None:
        """`catch_up`: has the relay tell what it did so far."""
        self._events = events
        self._catch_up = catch_up
        self._last_s = 0.0
        _log.setLevel(logging.INFO)
        events.subscribe(self._happened)

    def close(self) -> None:
        self._events.unsubscribe(self._happened)

    def _happened(self, event: Event) -> None:
        if isinstance(event, ExchangeDone):
            if event.transport != _CANARY:
                self._catch_up()
                self._write(event, time.time())
        elif isinstance(event, PluginActed):
            self._catch_up()
            self._last_s = max(time.time(), self._last_s)
            _write_act(event, self._last_s)
        elif isinstance(event, CapabilityServed):
            self._catch_up()
            self._last_s = max(time.time(), self._last_s)
            _write_served(event, self._last_s)
        elif isinstance(event, CallsEnded):
            now_s = time.time()
            for ago_s, done in event.calls:
                self._write(done, now_s - ago_s)
            if event.lost:
                _log.warning("requests_not_listed count=%d", event.lost)

    def _write(self, done: ExchangeDone, ended_s: float) -> None:
        """`ended_s`: since the epoch. No line is of an earlier time than the one before it: two clocks are read."""
        self._last_s = max(ended_s, self._last_s)
        _write(done, self._last_s)


def _write_act(act: PluginActed, ended_s: float) -> None:
    _line(
        "plugin name=%s what=%s target=%s caller=%s outcome=%s duration_ms=%.3f",
        (
            _value(act.plugin),
            act.what,
            _value(_without_secrets(act.target)),
            _value(act.caller),
            act.outcome,
            act.duration_s * 1000,
        ),
        ended_s,
    )


def _write_served(served: CapabilityServed, ended_s: float) -> None:
    _line(
        "capability name=%s tool=%s backend=%s where=%s why=%s outcome=%s attempts=%d duration_ms=%.3f",
        (
            _value(served.capability),
            _value(served.tool),
            _value(served.backend),
            _value(served.where),
            _value(served.why),
            served.outcome,
            served.attempts,
            served.duration_s * 1000,
        ),
        ended_s,
    )


def _write(done: ExchangeDone, ended_s: float) -> None:
    name = done.name if done.method != "resources/read" else _without_secrets(done.name)
    _line(
        "request method=%s name=%s backend=%s principal=%s transport=%s era=%s outcome=%s%s duration_ms=%.3f",
        (
            _value(done.method),
            _value(name),
            _value(done.backend),
            _value(done.principal),
            done.transport,
            "stateless" if done.stateless else "session",
            done.outcome,
            f" filter={_value(done.filter)}" if done.filter else "",
            done.duration_s * 1000,
        ),
        ended_s,
    )


def _line(text: str, values: tuple[object, ...], ended_s: float) -> None:
    record = _log.makeRecord(ACCESS, logging.INFO, __file__, 0, text, values, None)
    record.created = ended_s
    record.msecs = ended_s % 1 * 1000
    _log.handle(record)


def _value(text: str) -> str:
    """One word, quoted where it is not one by itself; `-` for none."""
    if not text:
        return "-"
    text = text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _without_secrets(uri: str) -> str:
    kept, at = "", 0
    if "://" not in uri:
        return uri
    for start, end in secret_url_spans(uri):
        kept += uri[at:start] + "…"
        at = end
    return kept + uri[at:]
