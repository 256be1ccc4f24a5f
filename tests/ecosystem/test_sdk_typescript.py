"""The official TypeScript SDK clients, 1.x and 2.x, through a running gateway, against a direct visit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from everything import STDIO
from fronts import FRONTS, Front
from gateway_process import Gateway, command, environment, gateway
from node_runtime import node
from upstreams import upstream

HERE = Path(__file__).resolve().parent
LIMIT_S = 60
CLIENTS = [("v1", "legacy"), ("v2", "legacy"), ("v2", "auto")]
"""SDK line and how it agrees on a revision. 1.x knows no other way."""
PROGRESS = [[done, 100, f"Completed step {done} of 100"] for done in (0, 50, 100)]
REVISIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}


def _visit(line: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """One run of a committed script; its stdout is what it saw."""
    script = str(HERE / f"sdk_{line}_visit.mjs")
    run = subprocess.run(
        [node(), script, json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    seen = json.loads(run.stdout)
    assert isinstance(seen, dict)
    return seen


def _address(front: Front, daemon: Gateway) -> dict[str, Any]:
    """Where a script finds the daemon."""
    if front == "http":
        return {"url": daemon.http}
    if front == "tcp":
        return {"socket": {"host": daemon.tcp[0], "port": daemon.tcp[1]}}
    if front == "unix":
        return {"socket": {"path": daemon.unix}}
    return {"command": [*command(), "connect"], "env": {**environment(), "TIDEGATE_SOCKET": daemon.unix}}


@pytest.fixture(scope="module")
def direct() -> dict[tuple[str, str], dict[str, Any]]:
    """What a visit without a gateway sees, by client."""
    return {(line, mode): _visit(line, {"mode": mode, "command": STDIO}) for line, mode in CLIENTS}


@pytest.fixture(scope="module", params=["stdio", "http"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with upstream(request.param) as config, gateway(config) as running:
        yield running


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(("line", "mode"), CLIENTS)
def test_a_visit_through_the_gateway_sees_what_a_direct_one_sees(
    daemon: Gateway, direct: dict[tuple[str, str], dict[str, Any]], front: Front, line: str, mode: str
) -> None:
    seen = _visit(line, {"mode": mode, **_address(front, daemon)})
    assert seen["revision"] == REVISIONS[mode]
    # Both SDK lines handle a notification a turn later than an answer: progress that arrives in one read with its
    # answer is lost to them. A client that stood still for a moment may so miss the last step, never one in between.
    steps = seen.pop("progress")
    assert steps == PROGRESS[: len(steps)]
    assert len(steps) >= len(PROGRESS) - 1
    for key, value in direct[line, mode].items():
        assert key == "progress" or seen[key] == value, f"`{key}` differs"
