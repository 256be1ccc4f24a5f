"""How full the file systems are, and what the block devices have done.

Mounts come from /proc/self/mountinfo (proc_pid_mountinfo(5)); file systems that hold no files of their own
(proc, sysfs, tmpfs, …) are left out, bind mounts of one file system are one entry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.capacity import Answer, Capacity
from tidegate.host.fact import Observed
from tidegate.host.reading import LARGEST, percent, printable, scaled, whole
from tidegate.host.tree import Tree

PSEUDO: Final = frozenset(
    {
        "autofs",
        "bdev",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "cpuset",
        "debugfs",
        "devpts",
        "devtmpfs",
        "dax",
        "drm",
        "efivarfs",
        "functionfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nfsd",
        "none",
        "nsfs",
        "pipefs",
        "proc",
        "pstore",
        "ramfs",
        "resctrl",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "smackfs",
        "sockfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "usbfs",
        "xenfs",
    }
)
"""Kernel interfaces and memory; autofs too, because looking at it would mount something."""
NETWORK: Final = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
        "smbfs",
    }
)
"""Answers come from another machine, or never. `fuse` and `fuse.*` are treated alike: a program answers."""
MOUNTS: Final = 256
PLACES: Final = 16
"""Further mount points listed for one file system."""
SECTOR_BYTES: Final = 512
"""Unit of /proc/diskstats and /sys/block/*/size, whatever the device's own sector size."""

_ESCAPE: Final = re.compile(rb"\\([0-3][0-7]{2})")

_INPUTS: Final[shape.Schema] = {
    "type": "object",
    "properties": {
        "network": {
            "type": "boolean",
            "default": False,
            "description": "Also ask network and FUSE file systems, which may take up to 2 s",
        }
    },
    "additionalProperties": False,
}


@dataclass(slots=True)
class Mount:
    """One line of mountinfo. Paths are raw bytes with the octal escapes undone."""

    number: str
    """`major:minor` of the file system."""
    place: bytes
    fstype: str
    source: str
    read_only: bool
    others: list[bytes] = field(default_factory=list)

    @property
    def network(self) -> bool:
        return self.fstype in NETWORK or self.fstype == "fuse" or self.fstype.startswith("fuse.")


class Disks:
    name = "disks"
    title = "Disks and file systems"
    description = (
        "Mounted file systems with size, use and inodes, and block devices with their I/O counters. Network file "
        "systems are listed but not asked how full they are unless `network` is true."
    )
    inputs = _INPUTS
    ttl_ms = 1000
    filesystem = shape.record(
        {
            "mount": shape.string("Mount point", null=False),
            "also_mounted_at": shape.array({"type": "string"}, "Other mount points of the same file system"),
            "device": shape.string("Device or source"),
            "fstype": shape.string("File system type"),
            "read_only": shape.boolean("Mounted read-only", null=False),
            "network": shape.boolean("Served by another machine or a program", null=False),
            "state": {
                "type": "string",
                "enum": ["ok", "not_asked", "no_answer", "unreadable"],
                "description": "Whether the numbers below are known, and if not, why",
            },
            "size_bytes": shape.integer("Size"),
            "used_bytes": shape.integer("In use"),
            "available_bytes": shape.integer("Available to ordinary users"),
            "used_percent": shape.number("Used, of used and available together, as df counts"),
            "inodes": shape.integer("Inodes; null when the file system has no fixed number"),
            "inodes_used": shape.integer("Inodes in use"),
            "inodes_used_percent": shape.number("Of all inodes"),
        }
    )
    outputs = shape.record(
        {
            "filesystems": shape.array(filesystem, "In order of mount point"),
            "devices": shape.array(
                shape.record(
                    {
                        "device": shape.string("Kernel name", null=False),
                        "model": shape.string("Model"),
                        "size_bytes": shape.integer("Size"),
                        "rotational": shape.boolean("Spinning disk"),
                        "removable": shape.boolean("Removable medium"),
                        "read_only": shape.boolean("Write-protected"),
                        "read_bytes": shape.integer("Read since boot"),
                        "written_bytes": shape.integer("Written since boot"),
                        "reads": shape.integer("Read requests since boot"),
                        "writes": shape.integer("Write requests since boot"),
                        "busy_s": shape.number("Time with requests in flight since boot"),
                    }
                ),
                "Whole block devices; unused loop, RAM and zram devices are left out",
            ),
        }
    )

    def __init__(self, tree: Tree, capacity: Capacity) -> None:
        self._tree = tree
        self._capacity = capacity

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        mounts = self.mounts()
        return {
            "filesystems": self._filesystems(mounts, ask_network=arguments.get("network") is True),
            "devices": self._devices(),
        }

    def observe_mount(self, place: bytes) -> Observed | None:
        """The file system mounted at `place` (any of its mount points), None when nothing is mounted there."""
        for mount in self.mounts():
            if place == mount.place or place in mount.others:
                return self._filesystems([mount], ask_network=True)[0]
        return None

    def describe(self, observed: Observed) -> str:
        lines = []
        for fs in observed["filesystems"]:
            head = f"{fs['mount']} ({phrase.plain(fs['fstype'])} on {phrase.plain(fs['device'])})"
            if fs["state"] != "ok":
                lines.append(f"{head}: {fs['state'].replace('_', ' ')}")
                continue
            lines.append(
                f"{head}: {phrase.size(fs['used_bytes'])} of {phrase.size(fs['size_bytes'])} used "
                f"({phrase.share(fs['used_percent'])}), {phrase.size(fs['available_bytes'])} available"
                + (", read-only" if fs["read_only"] else "")
            )
        lines.extend(
            f"{device['device']}: {phrase.size(device['size_bytes'])}, read {phrase.size(device['read_bytes'])}, "
            f"written {phrase.size(device['written_bytes'])} since boot"
            for device in observed["devices"]
        )
        return "\n".join(lines) or "No file systems found"

    def mounts(self) -> list[Mount]:
        """Real mounts, one a file system, in order of mount point."""
        visible: dict[bytes, Mount] = {}
        for line in (self._tree.data("proc/self/mountinfo") or b"").split(b"\n"):
            mount = _parse(line)
            if mount is None:
                continue
            visible.pop(mount.place, None)  # a later mount at the same place hides the earlier one
            if mount.fstype in PSEUDO or (mount.fstype == "overlay" and mount.place != b"/"):
                continue  # overlays other than our root are the containers of somebody else
            visible[mount.place] = mount
        systems: dict[tuple[str, str], Mount] = {}
        for mount in sorted(visible.values(), key=lambda mount: (mount.place.count(b"/"), mount.place)):
            first = systems.setdefault((mount.number, mount.fstype), mount)
            if first is not mount:
                first.others.append(mount.place)
                first.read_only = first.read_only and mount.read_only
        return sorted(systems.values(), key=lambda mount: mount.place)[:MOUNTS]

    def _filesystems(self, mounts: list[Mount], *, ask_network: bool) -> list[Observed]:
        where = {mount.place: self._tree.locate(mount.place) for mount in mounts}
        slow = [path for mount in mounts if mount.network and (path := where[mount.place]) is not None]
        answers = self._capacity.ask_patiently(slow) if ask_network and slow else {}
        found = []
        for mount in mounts:
            path = where[mount.place]
            if path is None:
                found.append(_describe_mount(mount, "unreadable", None))
            elif mount.network and not ask_network:
                found.append(_describe_mount(mount, "not_asked", None))
            else:
                answer = answers[path] if mount.network else self._capacity.ask(path)
                found.append(_describe_mount(mount, _state(answer), answer.found))
        return found

    def _devices(self) -> list[Observed]:
        counters: dict[str, list[int | None]] = {}
        for line in self._tree.lines("proc/diskstats"):
            words = line.split()
            if len(words) >= 14:
                counters[words[2]] = [whole(word) for word in words[3:14]]
        devices = []
        for name in self._tree.names("sys/block"):
            row = counters.get(name, [None] * 11)
            if name.startswith(("loop", "ram", "zram")) and not (row[0] or row[4]):
                continue
            base = f"sys/block/{name}"
            busy_ms = row[9]
            devices.append(
                {
                    "device": printable(name) or "?",
                    "model": self._tree.word(f"{base}/device/model") or self._tree.word(f"{base}/device/name"),
                    "size_bytes": scaled(self._tree.whole(f"{base}/size"), SECTOR_BYTES),
                    "rotational": _flag(self._tree.whole(f"{base}/queue/rotational")),
                    "removable": _flag(self._tree.whole(f"{base}/removable")),
                    "read_only": _flag(self._tree.whole(f"{base}/ro")),
                    "read_bytes": scaled(row[2], SECTOR_BYTES),
                    "written_bytes": scaled(row[6], SECTOR_BYTES),
                    "reads": row[0],
                    "writes": row[4],
                    "busy_s": None if busy_ms is None else busy_ms / 1000,
                }
            )
        return devices


def _parse(line: bytes) -> Mount | None:
    before, separator, after = line.partition(b" - ")
    words, more = before.split(b" "), after.split(b" ")
    if not separator or len(words) < 6 or len(more) < 3:
        return None
    options = words[5].split(b",") + more[2].split(b",")
    return Mount(
        number=words[2].decode("ascii", "replace"),
        place=_unescape(words[4]),
        fstype=more[0].decode("utf-8", "replace"),
        source=_unescape(more[1]).decode("utf-8", "replace"),
        read_only=b"ro" in options,
    )


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), text)


def _show(path: bytes) -> str:
    return printable(path.decode("utf-8", "replace"), 1024) or "?"


def _flag(number: int | None) -> bool | None:
    return None if number is None else number != 0


def _state(answer: Answer) -> str:
    if answer.found is not None:
        return "ok"
    return "unreadable" if answer.failed else "no_answer"


def _describe_mount(mount: Mount, state: str, found: os.statvfs_result | None) -> Observed:
    size = used = available = inodes = inodes_used = None
    if found is not None:
        size = _bounded(found.f_blocks * found.f_frsize)
        used = _bounded((found.f_blocks - found.f_bfree) * found.f_frsize)
        available = _bounded(found.f_bavail * found.f_frsize)
        if found.f_files > 0:
            inodes, inodes_used = _bounded(found.f_files), _bounded(found.f_files - found.f_ffree)
    return {
        "mount": _show(mount.place),
        "also_mounted_at": [_show(place) for place in mount.others[:PLACES]],
        "device": printable(mount.source),
        "fstype": printable(mount.fstype),
        "read_only": mount.read_only,
        "network": mount.network,
        "state": state,
        "size_bytes": size,
        "used_bytes": used,
        "available_bytes": available,
        "used_percent": percent(used, used + available) if used is not None and available is not None else None,
        "inodes": inodes,
        "inodes_used": inodes_used,
        "inodes_used_percent": percent(inodes_used, inodes),
    }


def _bounded(number: int) -> int | None:
    return number if 0 <= number <= LARGEST else None
