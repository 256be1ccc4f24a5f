"""Where addresses are limited the engine does without its pool, and a guest that cannot have its own is told so."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate import _sandbox
from tidegate.config.shipped import shipped_file

GIB = 1 << 30
TIMEOUT_S = 60.0

CHILD = """
import json, resource, select, sys

artefact, sha256, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (int(limit), int(limit)))
from tidegate import _sandbox

sandbox = _sandbox.Sandbox(None, 1, 1 << 30)
plugin = sandbox.load(
    "stats", artefact, bytes.fromhex(sha256), kind="module", world="tool", settings="{}", grants={}, bounds={}
)
wire = plugin.wire("stats", 64, 30.0)
arguments = {"values": [1, 2, 6]}
answers = []
for number in range(3):
    request = {"jsonrpc": "2.0", "id": number, "method": "tools/call"}
    wire.send(json.dumps({**request, "params": {"name": "summary", "arguments": arguments}}).encode())
    while len(answers) == number:
        select.select([sandbox.fileno()], [], [])
        answers += [json.loads(event[4]) for event in sandbox.take() if event[0] == "line"]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = shipped_file("sensor-stats")
    assert file is not None, "`make -C wasm` has not built sensor-stats"
    place = tmp_path_factory.mktemp("few") / "sensor-stats.cwasm"
    place.write_bytes(_sandbox.compile(file.read_bytes()))
    return place


def answers_within(addresses: int, artefact: Path) -> list[dict[str, object]]:
    sha256 = hashlib.sha256(artefact.read_bytes()).hexdigest()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(artefact), sha256, str(addresses)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert child.returncode == 0, child.stderr
    answers: list[dict[str, object]] = json.loads(child.stdout)
    return answers


def test_calls_are_served_one_by_one_where_only_a_few_memories_fit(artefact: Path) -> None:
    for answer in answers_within(8 * GIB, artefact):
        assert answer["result"]["structuredContent"]["mean"] == 3  # type: ignore[index]


def test_a_call_that_no_memory_can_be_had_for_may_be_repeated_and_says_why(artefact: Path) -> None:
    for answer in answers_within(3 * GIB, artefact):
        error = answer["error"]
        assert isinstance(error, dict)
        assert error["data"]["reason"] == "plugin_busy"
        assert "no addresses are left" in error["message"]
