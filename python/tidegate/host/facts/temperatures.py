"""Temperatures and fans from hwmon and the thermal zones (kernel documentation, hwmon/sysfs-interface)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.tree import Tree

COLDEST_MC: Final = -150_000
HOTTEST_MC: Final = 1_000_000
"""Thousandths of a degree; drivers without a reading report values far outside (e.g. -274 °C, 255 °C at a missing
probe stays in, nobody can tell it from heat)."""
FASTEST_RPM: Final = 1_000_000
SENSORS: Final = 256


class Temperatures:
    name = "temperatures"
    title = "Temperatures and fans"
    description = (
        "Every temperature sensor with its label, limits and reading, fans with their speed, and whether the "
        "supply voltage is too low (boards that report it)."
    )
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "sensors": shape.array(
                shape.record(
                    {
                        "source": {"type": "string", "enum": ["hwmon", "thermal_zone"], "description": "Where from"},
                        "device": shape.string("Chip or zone type"),
                        "label": shape.string("What it measures"),
                        "temperature_c": shape.number("Now"),
                        "high_c": shape.number("Limit at which it is too warm"),
                        "critical_c": shape.number("Limit at which the box protects itself"),
                    }
                ),
                "A sensor may appear as hwmon and as thermal zone",
            ),
            "hottest_c": shape.number("Highest reading"),
            "fans": shape.array(
                shape.record(
                    {
                        "device": shape.string("Chip"),
                        "label": shape.string("Which fan"),
                        "speed_rpm": shape.integer("Turns a minute"),
                    }
                ),
                "Fans that report a speed",
            ),
            "under_voltage": shape.boolean("Supply voltage too low, as a Raspberry Pi reports it"),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        sensors: list[Observed] = []
        fans: list[Observed] = []
        under_voltage: bool | None = None
        for chip in self._tree.names("sys/class/hwmon"):
            base = f"sys/class/hwmon/{chip}"
            device = self._tree.word(f"{base}/name")
            files = self._tree.names(base)
            sensors.extend(
                {
                    "source": "hwmon",
                    "device": device,
                    "label": self._tree.word(f"{base}/{stem}_label"),
                    "temperature_c": self._celsius(f"{base}/{stem}_input"),
                    "high_c": self._celsius(f"{base}/{stem}_max"),
                    "critical_c": self._celsius(f"{base}/{stem}_crit"),
                }
                for stem in _stems(files, "temp")
            )
            fans.extend(
                {
                    "device": device,
                    "label": self._tree.word(f"{base}/{stem}_label"),
                    "speed_rpm": self._tree.whole(f"{base}/{stem}_input", high=FASTEST_RPM),
                }
                for stem in _stems(files, "fan")
            )
            if device == "rpi_volt":
                alarm = self._tree.whole(f"{base}/in0_lcrit_alarm", high=1)
                under_voltage = None if alarm is None else alarm == 1
        sensors.extend(self._zones())
        sensors, fans = sensors[:SENSORS], fans[:SENSORS]
        readings = [sensor["temperature_c"] for sensor in sensors if sensor["temperature_c"] is not None]
        return {
            "sensors": sensors,
            "hottest_c": max(readings, default=None),
            "fans": fans,
            "under_voltage": under_voltage,
        }

    def describe(self, observed: Observed) -> str:
        lines = []
        for sensor in observed["sensors"]:
            name = " ".join(word for word in (sensor["device"], sensor["label"]) if word) or sensor["source"]
            limit = sensor["critical_c"] if sensor["critical_c"] is not None else sensor["high_c"]
            note = "" if limit is None else f" (limit {phrase.degrees(limit)})"
            lines.append(f"{name}: {phrase.degrees(sensor['temperature_c'])}{note}")
        for fan in observed["fans"]:
            name = " ".join(word for word in (fan["device"], fan["label"]) if word) or "fan"
            lines.append(f"{name}: {phrase.plain(fan['speed_rpm'])} rpm")
        if observed["under_voltage"]:
            lines.append("The supply voltage is too low")
        return "\n".join(lines) or "This box has no temperature sensors"

    def _zones(self) -> Iterator[Observed]:
        for zone in self._tree.names("sys/class/thermal"):
            if not zone.startswith("thermal_zone"):
                continue
            base = f"sys/class/thermal/{zone}"
            limits: dict[str, float] = {}
            for point in range(16):
                kind = self._tree.word(f"{base}/trip_point_{point}_type")
                if kind is None:
                    break
                limit = self._celsius(f"{base}/trip_point_{point}_temp")
                if limit is not None:
                    limits[kind] = min(limit, limits.get(kind, limit))
            yield {
                "source": "thermal_zone",
                "device": self._tree.word(f"{base}/type"),
                "label": None,
                "temperature_c": self._celsius(f"{base}/temp"),
                "high_c": limits.get("hot", limits.get("passive")),
                "critical_c": limits.get("critical"),
            }

    def _celsius(self, path: str) -> float | None:
        thousandths = self._tree.whole(path, low=COLDEST_MC, high=HOTTEST_MC)
        return None if thousandths is None else round(thousandths / 1000, 1)


def _stems(files: list[str], kind: str) -> list[str]:
    """`temp1`, `temp2`, … for which there is a reading."""
    return [name[: -len("_input")] for name in files if name.startswith(kind) and name.endswith("_input")]
