"""Which box this is: names, kernel, board, distribution, virtualisation. No serial numbers, no machine id."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from tidegate.host import phrase, shape
from tidegate.host.fact import Observed
from tidegate.host.reading import printable
from tidegate.host.tree import Tree

HYPERVISORS: Final = (
    ("qemu", "qemu"),
    ("kvm", "kvm"),
    ("vmware", "vmware"),
    ("innotek", "virtualbox"),
    ("virtualbox", "virtualbox"),
    ("xen", "xen"),
    ("microsoft corporation virtual", "hyper-v"),
    ("parallels", "parallels"),
    ("bochs", "bochs"),
    ("amazon ec2", "amazon"),
    ("google compute", "google"),
    ("openstack", "openstack"),
    ("apple virtualization", "apple"),
    ("bhyve", "bhyve"),
)
"""(what DMI vendor and product say, lower case; what we call it)."""


class Identity:
    name = "identity"
    title = "Identity of the box"
    description = "Host name, kernel, architecture, machine model, distribution, and whether it is virtual."
    inputs = shape.NO_ARGUMENTS
    ttl_ms = 60_000
    outputs = shape.record(
        {
            "hostname": shape.string("Host name"),
            "kernel": shape.string("Kernel name and release"),
            "architecture": shape.string("Machine architecture, e.g. `aarch64`"),
            "model": shape.string("Board or machine"),
            "cpu_model": shape.string("Processor"),
            "distribution": shape.string("Distribution with version"),
            "distribution_id": shape.string("Its short id, e.g. `debian`"),
            "distribution_version": shape.string("Its version, e.g. `12`"),
            "virtualisation": shape.string("Hypervisor when there are signs of one, `unknown` if it has no name"),
            "container": shape.string("Container engine when there are signs of one"),
        }
    )

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def observe(self, arguments: Mapping[str, Any]) -> Observed:
        tree = self._tree
        kind, release = tree.word("proc/sys/kernel/ostype"), tree.word("proc/sys/kernel/osrelease")
        machine = tree.word("proc/sys/kernel/arch")  # since Linux 6.1
        if machine is None and tree.is_machine:
            machine = os.uname().machine
        release_of = self._os_release()
        cpu = self._cpu()
        return {
            "hostname": tree.word("proc/sys/kernel/hostname"),
            "kernel": " ".join(word for word in (kind, release) if word) or None,
            "architecture": machine,
            "model": self._model(),
            "cpu_model": cpu.get("model name") or cpu.get("Hardware") or cpu.get("cpu model"),
            "distribution": release_of.get("PRETTY_NAME") or release_of.get("NAME"),
            "distribution_id": release_of.get("ID"),
            "distribution_version": release_of.get("VERSION_ID"),
            "virtualisation": self._virtualisation(cpu),
            "container": self._container(),
        }

    def describe(self, observed: Observed) -> str:
        lines = [f"{phrase.plain(observed['hostname'])}: {phrase.plain(observed['model'])}"]
        lines.append(
            f"{phrase.plain(observed['distribution'])}, {phrase.plain(observed['kernel'])}, "
            f"{phrase.plain(observed['architecture'])}"
        )
        if observed["virtualisation"] is not None:
            lines.append(f"Virtual machine ({observed['virtualisation']})")
        if observed["container"] is not None:
            lines.append(f"Container ({observed['container']})")
        return "\n".join(lines)

    def _model(self) -> str | None:
        for path in ("sys/firmware/devicetree/base/model", "proc/device-tree/model"):
            model = self._tree.word(path)
            if model is not None:
                return model
        words = [self._tree.word(f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")]
        return " ".join(word for word in words if word) or None

    def _cpu(self) -> dict[str, str | None]:
        """The fields of the first processor in /proc/cpuinfo (and of the board, which come last on ARM)."""
        fields: dict[str, str | None] = {}
        for line in self._tree.lines("proc/cpuinfo"):
            key, colon, value = line.partition(":")
            if colon and len(fields) < 256:
                fields.setdefault(key.strip(), printable(value, 4096 if key.strip() == "flags" else 200))
        return fields

    def _os_release(self) -> dict[str, str | None]:
        """os-release(5): shell-like assignments; quotes and backslashes undone, nothing expanded."""
        lines = self._tree.lines("etc/os-release") or self._tree.lines("usr/lib/os-release")
        fields: dict[str, str | None] = {}
        for line in lines[:128]:
            key, equals, value = line.strip().partition("=")
            if not equals or key.startswith("#"):
                continue
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            fields[key] = printable(value.replace("\\", ""))
        return fields

    def _virtualisation(self, cpu: dict[str, str | None]) -> str | None:
        hypervisor = self._tree.word("sys/hypervisor/type")
        if hypervisor is not None:
            return hypervisor
        names = ("sys_vendor", "product_name", "bios_vendor", "board_vendor")
        signs = " ".join((self._tree.word(f"sys/class/dmi/id/{name}") or "") for name in names).lower()
        for sign, name in HYPERVISORS:
            if sign in signs:
                return name
        if self._tree.exists("sys/firmware/devicetree/base/hypervisor"):
            return "unknown"
        return "unknown" if "hypervisor" in (cpu.get("flags") or "").split() else None

    def _container(self) -> str | None:
        named = self._tree.word("run/systemd/container")
        if named is not None:
            return named
        if self._tree.exists("run/.containerenv"):
            return "podman"
        return "docker" if self._tree.exists(".dockerenv") else None
