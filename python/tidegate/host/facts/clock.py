"""What time the box thinks it is, in which zone, and whether to believe it."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tidegate.clock import Clock
from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.facts.uptime import LAST_SECOND, iso
from tidegate.host.kernel_clock import KernelClock
from tidegate.host.reading import printable
from tidegate.host.tree import Tree

ZONE_BYTES: Final = 64 * 1024
"""The largest zone of the tz database is below 4 KiB."""
DAEMONS: Final = (
    ("systemd-timesyncd", "run/systemd/timesync"),
    ("chrony", "run/chrony/chronyd.pid"),
    ("chrony", "run/chronyd.pid"),
    ("ntpd", "run/ntpd.pid"),
    ("openntpd", "run/ntpd.sock"),
)
"""What each time daemon leaves in /run while it runs."""


class WallClock:
    name = "clock"
    title = "Clock"
    description = (
        "The time of the box in UTC and its own time zone, whether its clock is synchronised, the monotonic clock "
        "and the battery-backed clock."
    )
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 0
    outputs = shape.record(
        {
            "utc": shape.string("Now, ISO-8601 UTC"),
            "unix_s": shape.number("Now, seconds since 1970-01-01T00:00Z", null=False),
            "local": shape.string("Now, ISO-8601 in the box's own zone, with offset"),
            "timezone": shape.string("Name of that zone, e.g. `Europe/Lisbon`"),
            "utc_offset_s": shape.integer("Offset of local time from UTC, east positive"),
            "synchronised": shape.boolean("Whether the clock follows a time source; null when nobody tells"),
            "max_error_s": shape.number("The kernel's bound on the error; meaningless while not synchronised"),
            "time_daemon": shape.string("The program that keeps the clock, if one was found"),
            "monotonic_s": shape.number("Monotonic clock; only differences mean anything", null=False),
            "rtc": shape.record(
                {
                    "name": shape.string("Driver"),
                    "utc": shape.string("Its time, taken for UTC"),
                    "ahead_s": shape.integer("Its time less the system clock's"),
                },
                "Battery-backed clock; null when there is none",
                null=True,
            ),
        }
    )

    def __init__(self, tree: Tree, clock: Clock, kernel: Callable[[], KernelClock | None]) -> None:
        self._tree = tree
        self._clock = clock
        self._kernel = kernel

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        now_s = self._clock.wall_s()
        sane = 0 <= now_s <= LAST_SECOND - 86400
        kernel = self._kernel()
        zone = self._zone_name()
        local = self._local(now_s) if sane else None
        offset = None if local is None else local.utcoffset()
        return {
            "utc": iso(now_s) if sane else None,
            "unix_s": round(now_s, 3),
            "local": None if local is None else local.isoformat(timespec="seconds"),
            "timezone": zone,
            "utc_offset_s": None if offset is None else int(offset.total_seconds()),
            "synchronised": self._synchronised(kernel),
            "max_error_s": None if kernel is None else round(kernel.max_error_s, 6),
            "time_daemon": next((name for name, trace in DAEMONS if self._tree.exists(trace)), None),
            "monotonic_s": round(self._clock.now_s(), 3),
            "rtc": self._rtc(now_s),
        }

    def describe(self, observed: Observed) -> str:
        lines = [f"{phrase.plain(observed['utc'])} (local {phrase.plain(observed['local'])})"]
        if observed["timezone"] is not None:
            lines.append(f"Time zone {observed['timezone']}")
        known = {True: "synchronised", False: "not synchronised", None: "not known to be synchronised"}
        by = "" if observed["time_daemon"] is None else f", {observed['time_daemon']} is running"
        lines.append(f"The clock is {known[observed['synchronised']]}{by}")
        rtc = observed["rtc"]
        if rtc is not None and rtc["ahead_s"] is not None:
            lines.append(f"Battery-backed clock: {rtc['utc']} ({rtc['ahead_s']:+d} s)")
        return "\n".join(lines)

    def _synchronised(self, kernel: KernelClock | None) -> bool | None:
        if kernel is not None:
            return kernel.synchronised
        if self._tree.exists("run/systemd/timesync/synchronized"):
            return True
        return False if self._tree.exists("run/systemd/timesync") else None

    def _zone_path(self) -> str:
        """The zone file below the root; the link is followed by hand because it may be absolute."""
        target = self._tree.target("etc/localtime")
        if target is None:
            return "etc/localtime"
        return target.removeprefix("../").lstrip("/")

    def _zone_name(self) -> str | None:
        _, marker, name = self._zone_path().partition("zoneinfo/")
        if marker:
            return printable(name, 64)
        written = self._tree.word("etc/timezone")
        if written is not None:
            return written[:64]
        return None if self._tree.exists("etc/localtime") else "UTC"  # tzset(3): no file means UTC

    def _local(self, now_s: float) -> datetime | None:
        path = self._zone_path()
        data = self._tree.data(path, ZONE_BYTES)
        if data is None:
            missing = not self._tree.exists("etc/localtime") and self._tree.target("etc/localtime") is None
            return datetime.fromtimestamp(int(now_s), UTC) if missing else None
        from zoneinfo import ZoneInfo  # only when somebody asks for the time

        try:
            return datetime.fromtimestamp(int(now_s), ZoneInfo.from_file(io.BytesIO(data)))
        except Exception:  # the parser promises no exception type for a damaged file
            return None

    def _rtc(self, now_s: float) -> Observed | None:
        names = self._tree.names("sys/class/rtc", 16)
        if not names:
            return None
        base = f"sys/class/rtc/{names[0]}"
        epoch = self._tree.whole(f"{base}/since_epoch", high=LAST_SECOND)
        return {
            "name": self._tree.word(f"{base}/name"),
            "utc": None if epoch is None else iso(epoch),
            "ahead_s": None if epoch is None else epoch - int(now_s),
        }
