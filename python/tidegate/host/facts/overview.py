"""Everything short, in one call, with what deserves attention in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.facts.clock import WallClock
from tidegate.host.facts.disks import Disks
from tidegate.host.facts.identity import Identity
from tidegate.host.facts.load import Load
from tidegate.host.facts.memory import Memory
from tidegate.host.facts.network import Network
from tidegate.host.facts.temperatures import Temperatures
from tidegate.host.facts.uptime import Uptime

DISK_PERCENT: Final = 90.0
MEMORY_PERCENT: Final = 90.0
"""In use, so that less than a tenth is available."""
PRESSURE_PERCENT: Final = 10.0
"""Of the last 10 s some task waited for memory."""
LOAD_PER_CPU: Final = 2.0
"""Load average over 5 minutes, each processor."""
CRITICAL_MARGIN_C: Final = 10.0
HOT_C: Final = 85.0
"""Where a sensor has no limit of its own; small boards throttle at 80 to 85 °C."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """The facts an overview is made of."""

    load: Load
    memory: Memory
    disks: Disks
    temperatures: Temperatures
    uptime: Uptime
    clock: WallClock
    network: Network
    identity: Identity


class Overview:
    name = "overview"
    title = "Overview of the box"
    description = (
        "The state of the box in one call: load, memory, disks, temperature, uptime, clock and links in short, and "
        "`warnings` that say in words what deserves attention."
    )
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 1000
    outputs = shape.record(
        {
            "warnings": shape.array({"type": "string"}, "What deserves attention; empty when all is well"),
            "hostname": shape.string("Host name"),
            "model": shape.string("Board or machine"),
            "distribution": shape.string("Distribution with version"),
            "utc": shape.string("Now, ISO-8601 UTC"),
            "clock_synchronised": shape.boolean("Whether the clock follows a time source"),
            "uptime_s": shape.number("Seconds since boot"),
            "cpu_count": shape.integer("Processors online"),
            "load_1min": shape.number("Load average over 1 minute"),
            "load_5min": shape.number("Load average over 5 minutes"),
            "utilisation_percent": shape.number("Processors in use since the previous look"),
            "memory_total_bytes": shape.integer("Installed and usable"),
            "memory_available_bytes": shape.integer("Could be given to programs without swapping"),
            "memory_used_percent": shape.number("Of total"),
            "hottest_c": shape.number("Highest temperature"),
            "disks": shape.array(
                shape.record(
                    {
                        "mount": shape.string("Mount point", null=False),
                        "size_bytes": shape.integer("Size"),
                        "available_bytes": shape.integer("Available to ordinary users"),
                        "used_percent": shape.number("Used"),
                    }
                ),
                "Local file systems",
            ),
            "links": shape.array(
                shape.record(
                    {
                        "name": shape.string("Name", null=False),
                        "operstate": shape.string("State"),
                        "addresses": shape.array({"type": "string"}, "IP addresses with prefix length"),
                    }
                ),
                "Network links other than loopback",
            ),
            "default_gateway": shape.string("Router of the best default route"),
        }
    )

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        of = self._subjects
        load, memory, disks = of.load.observe({}), of.memory.observe({}), of.disks.observe({})
        temperatures, clock, network = of.temperatures.observe({}), of.clock.observe({}), of.network.observe({})
        identity = of.identity.observe({})
        return {
            "warnings": [
                *_disk_warnings(disks),
                *_memory_warnings(memory),
                *_load_warnings(load),
                *_temperature_warnings(temperatures),
                *_clock_warnings(clock),
                *_network_warnings(network),
            ],
            "hostname": identity["hostname"],
            "model": identity["model"],
            "distribution": identity["distribution"],
            "utc": clock["utc"],
            "clock_synchronised": clock["synchronised"],
            "uptime_s": of.uptime.observe({})["uptime_s"],
            "cpu_count": load["cpu_count"],
            "load_1min": load["load_1min"],
            "load_5min": load["load_5min"],
            "utilisation_percent": load["utilisation_percent"],
            "memory_total_bytes": memory["total_bytes"],
            "memory_available_bytes": memory["available_bytes"],
            "memory_used_percent": memory["used_percent"],
            "hottest_c": temperatures["hottest_c"],
            "disks": [
                {key: fs[key] for key in ("mount", "size_bytes", "available_bytes", "used_percent")}
                for fs in disks["filesystems"]
                if not fs["network"]
            ],
            "links": [
                {"name": link["name"], "operstate": link["operstate"], "addresses": _addresses(link)}
                for link in network["links"]
                if link["name"] != "lo"
            ],
            "default_gateway": next((r["gateway"] for r in network["default_routes"] if r["gateway"]), None),
        }

    def describe(self, observed: Observed) -> str:
        lines = [f"Warning: {warning}" for warning in observed["warnings"]] or ["No warnings"]
        lines.append(
            f"{phrase.plain(observed['hostname'])} ({phrase.plain(observed['model'])}, "
            f"{phrase.plain(observed['distribution'])}), up {phrase.duration(observed['uptime_s'])}"
        )
        lines.append(
            f"Load {phrase.plain(observed['load_1min'])} on {phrase.plain(observed['cpu_count'])} processors; "
            f"memory {phrase.share(observed['memory_used_percent'])} used, "
            f"{phrase.size(observed['memory_available_bytes'])} available"
        )
        if observed["hottest_c"] is not None:
            lines.append(f"Hottest sensor {phrase.degrees(observed['hottest_c'])}")
        for disk in observed["disks"]:
            used, left = phrase.share(disk["used_percent"]), phrase.size(disk["available_bytes"])
            told = disk["used_percent"] is not None
            lines.append(f"Disk {disk['mount']}: " + (f"{used} used, {left} available" if told else "cannot be read"))
        for link in observed["links"]:
            addresses = ", ".join(link["addresses"]) or "no address"
            lines.append(f"Link {link['name']}: {phrase.plain(link['operstate'])}, {addresses}")
        lines.append(f"Clock {phrase.plain(observed['utc'])}")
        return "\n".join(lines)


def _addresses(link: Observed) -> list[str]:
    return [
        address["address"] + ("" if address["prefix_bits"] is None else f"/{address['prefix_bits']}")
        for address in link["addresses"]
    ]


def _disk_warnings(disks: Observed) -> list[str]:
    found = []
    for fs in disks["filesystems"]:
        if fs["read_only"] or fs["network"]:
            continue  # a read-only image is always full; a network mount is another machine's
        if fs["used_percent"] is not None and fs["used_percent"] > DISK_PERCENT:
            left = phrase.size(fs["available_bytes"])
            found.append(f"Disk {fs['mount']} is {phrase.share(fs['used_percent'])} full, {left} left")
        if fs["inodes_used_percent"] is not None and fs["inodes_used_percent"] > DISK_PERCENT:
            found.append(f"Disk {fs['mount']} has used {phrase.share(fs['inodes_used_percent'])} of its inodes")
    return found


def _memory_warnings(memory: Observed) -> list[str]:
    found = []
    if memory["used_percent"] is not None and memory["used_percent"] > MEMORY_PERCENT:
        found.append(f"Memory is short: only {phrase.size(memory['available_bytes'])} available")
    limit, held = memory["cgroup_limit_bytes"], memory["cgroup_used_bytes"]
    if limit is not None and held is not None and held * 100 > limit * MEMORY_PERCENT:
        found.append(f"The control group uses {phrase.size(held)} of its limit of {phrase.size(limit)}")
    some = (memory["pressure"] or {}).get("some_avg10_percent")
    if some is not None and some > PRESSURE_PERCENT:
        found.append(f"Memory pressure: tasks waited for memory {phrase.share(some)} of the last 10 s")
    return found


def _load_warnings(load: Observed) -> list[str]:
    average, cpus = load["load_5min"], load["cpu_count"]
    if average is None or cpus is None or average <= cpus * LOAD_PER_CPU:
        return []
    return [f"Load {average} over 5 minutes is high for {cpus} processors"]


def _temperature_warnings(temperatures: Observed) -> list[str]:
    found: dict[str, None] = {}
    for sensor in temperatures["sensors"]:
        now, critical = sensor["temperature_c"], sensor["critical_c"]
        name = " ".join(word for word in (sensor["device"], sensor["label"]) if word) or sensor["source"]
        if now is None:
            continue
        if critical is not None and critical > 0:
            if now >= critical - CRITICAL_MARGIN_C:
                found[f"{name} is at {phrase.degrees(now)}, critical is {phrase.degrees(critical)}"] = None
        elif now >= HOT_C:
            found[f"{name} is hot: {phrase.degrees(now)}"] = None
    if temperatures["under_voltage"]:
        found["The supply voltage is too low"] = None
    return list(found)


def _clock_warnings(clock: Observed) -> list[str]:
    return ["The clock is not synchronised"] if clock["synchronised"] is False else []


def _network_warnings(network: Observed) -> list[str]:
    found = [
        f"Link {link['name']} is down"
        for link in network["links"]
        if link["physical"] and link["enabled"] is not False and link["operstate"] in ("down", "lowerlayerdown")
    ]
    if network["links"] and not network["default_routes"]:
        found.append("No default route: other networks cannot be reached")
    return found
