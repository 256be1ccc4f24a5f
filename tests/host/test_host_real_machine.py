"""The machine the tests run on, whatever it is: everything fits its schema and the certain things are there."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import jsonschema
import pytest

from tidegate.clock import Clock
from tidegate.host.server import HostServer

SERVER = HostServer(Clock())


@pytest.mark.parametrize("tool", SERVER.tools(), ids=lambda tool: tool["name"])
def test_every_tool_describes_this_machine(tool: dict[str, Any]) -> None:
    result = SERVER.call(tool["name"], {})
    jsonschema.validate(result["structuredContent"], tool["outputSchema"], jsonschema.Draft202012Validator)
    assert result["content"][0]["text"]


def test_what_every_linux_machine_has() -> None:
    overview = SERVER.call("overview", {})["structuredContent"]
    for field in ("hostname", "utc", "uptime_s", "cpu_count", "load_1min", "memory_total_bytes"):
        assert overview[field] is not None, field


def test_this_very_process_is_seen() -> None:
    processes = SERVER.call("processes", {"limit": 50, "sort": "cpu"})["structuredContent"]
    assert processes["process_count"] >= 1


def test_calls_from_many_threads_all_succeed() -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for name in ("load", "memory", "disks", "network"):
                SERVER.call(name, {})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_an_idle_daemon_loads_nothing_heavy_for_it() -> None:
    code = (
        "import sys; from tidegate.clock import Clock; from tidegate.host.dialogue import HostDialogue;"
        "from tidegate.host.server import HostServer; HostDialogue(HostServer(Clock()));"
        "heavy = {'asyncio', 'pydantic', 'mcp', 'anyio', 'ssl', 'ctypes', 'zoneinfo', 'http', 'email'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"
