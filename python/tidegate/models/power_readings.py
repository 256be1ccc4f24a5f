"""What the kernel says of heat, battery, mains and cores: sysfs, by its documented names (`thermal/sysfs-api`,
`hwmon/sysfs-interface`, `testing/sysfs-class-power`). Everything may be missing, and much is on most boxes.

Which sensors count is found out once in a while; in between only their readings are taken. A drive's sensor wakes the
drive, a network module runs at 85 °C without harm: where the box says which sensors are its processor's, only those are
read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from tidegate.host.tree import Tree

COLDEST_MC: Final = -40_000
HOTTEST_MC: Final = 150_000
"""Thousandths of a degree; a driver that reports what is beyond has no reading."""
SENSORS: Final = 32
SUPPLIES: Final = 16
SURVEY_EVERY: Final = 60
"""Readings between two looks at which sensors and supplies there are: five minutes."""

_PROCESSOR: Final = re.compile(r"cpu|soc|core|package|pkg|k10temp|zenpower|cluster")
"""In the name of a chip or zone, in lower case."""
_FRUGAL: Final = frozenset(("low-power", "quiet", "cool"))
"""Platform profiles by which a person asked the firmware for less than it could do."""


@dataclass(frozen=True, slots=True)
class PowerReadings:
    """One look. None: the box does not say."""

    hottest_c: float | None = None
    discharging: bool = False
    """Whether the box lives on its battery."""
    battery_percent: float | None = None
    """What its batteries hold."""
    wants_little: bool = False
    """Whether somebody has set the box to a frugal platform profile."""
    cores: int = 1
    """That this process may use."""


class PowerSources:
    """Where to look, on one box."""

    def __init__(self, tree: Tree, cores: int | None = None) -> None:
        """`tree`: of sysfs, so its root is what is `/sys` on a running machine."""
        self._tree = tree
        self._cores = cores
        self._sensors: list[str] = []
        self._batteries: list[str] = []
        self._mains: list[str] = []
        self._readings = 0

    def read(self) -> PowerReadings:
        if self._readings % SURVEY_EVERY == 0:
            self._survey()
        self._readings += 1
        found = [self._tree.whole(path, low=COLDEST_MC, high=HOTTEST_MC) for path in self._sensors]
        degrees = [reading / 1000 for reading in found if reading is not None]
        charges = [charge for base in self._batteries if (charge := self._charge(base)) is not None]
        return PowerReadings(
            hottest_c=max(degrees, default=None),
            discharging=self._discharging(),
            battery_percent=sum(charges) / len(charges) if charges else None,
            wants_little=self._tree.word("firmware/acpi/platform_profile") in _FRUGAL,
            cores=self._usable_cores(),
        )

    def _survey(self) -> None:
        """Finds sensors and supplies."""
        named: list[tuple[str, str]] = []
        for zone in self._tree.names("class/thermal"):
            if zone.startswith("thermal_zone"):
                base = f"class/thermal/{zone}"
                named.append((self._tree.word(f"{base}/type") or "", f"{base}/temp"))
        for chip in self._tree.names("class/hwmon"):
            base = f"class/hwmon/{chip}"
            name = self._tree.word(f"{base}/name") or ""
            named.extend(
                (name, f"{base}/{file}")
                for file in self._tree.names(base)
                if file.startswith("temp") and file.endswith("_input")
            )
        processor = [path for name, path in named if _PROCESSOR.search(name.lower())]
        self._sensors = (processor or [path for _, path in named])[:SENSORS]
        self._batteries, self._mains = [], []
        for supply in self._tree.names("class/power_supply", SUPPLIES):
            base = f"class/power_supply/{supply}"
            kind = self._tree.word(f"{base}/type")
            if kind in ("Battery", "UPS"):
                # A mouse has a battery too.
                if self._tree.word(f"{base}/scope") != "Device":
                    self._batteries.append(base)
            elif kind in ("Mains", "USB", "Wireless"):
                self._mains.append(base)

    def _discharging(self) -> bool:
        states = [self._tree.word(f"{base}/status") for base in self._batteries if self._present(base)]
        if not states:
            return False
        if "Discharging" in states:
            return True
        if any(state in ("Charging", "Full", "Not charging") for state in states):
            return False
        plugged = [online for base in self._mains if (online := self._tree.whole(f"{base}/online", high=2)) is not None]
        return bool(plugged) and not any(plugged)

    def _charge(self, base: str) -> float | None:
        """Percent."""
        if not self._present(base):
            return None
        capacity = self._tree.whole(f"{base}/capacity", high=100)
        if capacity is not None:
            return float(capacity)
        for kind in ("energy", "charge"):
            now, full = self._tree.whole(f"{base}/{kind}_now"), self._tree.whole(f"{base}/{kind}_full")
            if now is not None and full:
                return min(100.0, 100 * now / full)
        return None

    def _present(self, base: str) -> bool:
        return self._tree.whole(f"{base}/present", high=1) != 0

    def _usable_cores(self) -> int:
        cores = self._cores or len(os.sched_getaffinity(0))
        quota, _, period = (self._tree.word("fs/cgroup/cpu.max") or "").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            cores = min(cores, -(-int(quota) // int(period)))  # of a container, rounded up
        return max(1, cores)
