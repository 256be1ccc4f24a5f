"""How much memory there is for this process."""

from __future__ import annotations

from pathlib import Path

from tidegate.host.facts.memory import Memory
from tidegate.host.tree import Tree


def room_bytes() -> int:
    """What the box has, or the tightest control group allows. Where nobody says, a small box is assumed: 512 MiB."""
    observed = Memory(Tree(Path("/"))).observe({})
    known = [observed[key] for key in ("total_bytes", "cgroup_limit_bytes") if observed[key]]
    return min(known, default=512 * 1024 * 1024)
