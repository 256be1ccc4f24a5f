"""Pressure stall information (kernel documentation, accounting/psi): time lost waiting for a resource."""

from __future__ import annotations

from typing import Literal

from tidegate.host import shape
from tidegate.host.fact import Observed
from tidegate.host.reading import fraction
from tidegate.host.tree import Tree

PRESSURE = shape.record(
    {
        f"{kind}_{window}_percent": shape.number(f"Time in which {who} waited, last {window[3:]} s")
        for kind, who in (("some", "at least one task"), ("full", "every task"))
        for window in ("avg10", "avg60", "avg300")
    },
    "Pressure stall information; null when the kernel does not keep it",
    null=True,
)


def read_pressure(tree: Tree, resource: Literal["cpu", "io", "memory"]) -> Observed | None:
    text = tree.text(f"proc/pressure/{resource}", 4096)
    if text is None:
        return None
    found: Observed = dict.fromkeys(PRESSURE["properties"])
    for line in text.split("\n"):
        words = line.split()
        for word in words[1:]:
            window, _, value = word.partition("=")
            key = f"{words[0]}_{window}_percent"
            if key in found:
                found[key] = fraction(value, high=100.0)
    return found
