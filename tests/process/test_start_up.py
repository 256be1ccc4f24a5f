"""Ten configured servers that nobody uses cost nothing, and what they offer is known before any of them runs."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon_process import END_S, READY_S, Process, started
from daemon_process import read_line as first_line

SERVERS = 10
MOST_FOR_TEN_BYTES = 1_500_000
"""Measured: under 0.3 MB for the services and the configuration itself. One Python child alone has 8 MB."""
SERVER = """
import json, os, sys, time
folder, name = sys.argv[1:]
with open(folder + "/starts", "a") as starts:
    starts.write(name + "\\n")
if os.path.exists(folder + "/stuck"):
    time.sleep(600)
tools = open(folder + "/tools").read().split()
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    reply = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        reply["result"] = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                           "serverInfo": {"name": name, "version": "1"}}
    elif asked["method"] == "tools/list":
        reply["result"] = {"tools": [{"name": tool, "inputSchema": {"type": "object"}} for tool in tools]}
    elif asked["method"] == "tools/call":
        reply["result"] = {"content": [{"type": "text", "text": name}]}
    else:
        reply["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(reply), flush=True)
"""


class Person:
    """A session over the unix socket; answers and what comes unasked are kept apart."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(READY_S)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("rb")
        self._id = 0
        self.told: list[str] = []
        info = {"name": "t", "version": "1"}
        self.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})
        self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _say(self, message: Any) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, method: str, params: Any = None) -> Any:
        self._id += 1
        self._say({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params or {}})
        while True:
            message = json.loads(self._lines.readline())
            if message.get("id") == self._id:
                return message["result"]
            self.told.append(message["method"])

    def tools(self) -> set[str]:
        return {tool["name"] for tool in self.ask("tools/list")["tools"]}

    def wait_told(self, method: str) -> None:
        while method not in self.told:
            self.told.append(json.loads(self._lines.readline())["method"])

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()


def configured(folder: Path, servers: int = SERVERS) -> Path:
    (folder / "server.py").write_text(SERVER, encoding="utf-8")
    (folder / "tools").write_text("look", encoding="utf-8")
    lines = ['[backends.host]\nbuiltin = "host"\n']
    for number in range(servers):
        command = json.dumps([sys.executable, "-I", "-S", str(folder / "server.py"), str(folder), f"s{number}"])
        lines.append(f"[backends.s{number}]\ncommand = {command}\n")
    path = folder / "tidegate.toml"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@contextmanager
def gateway(folder: Path, config: Path) -> Iterator[Process]:
    words = ["--config", str(config), "--http", "127.0.0.1:0", "--unix", str(folder / "s"), "--admin", ""]
    with started("serve", *words, environ={"TIDEGATE_STATE": str(folder / "state")}) as process:
        process.ready = first_line(process.popen.stdout)
        yield process


def stop(process: Process) -> None:
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(END_S) == 0


def starts(folder: Path) -> list[str]:
    path = folder / "starts"
    return path.read_text(encoding="ascii").split() if path.exists() else []


def children(process: Process) -> list[str]:
    return [
        words
        for task in Path(f"/proc/{process.popen.pid}/task").glob("*/children")
        for words in task.read_text(encoding="ascii").split()
    ]


def anonymous_bytes(process: Process) -> int:
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def test_ten_configured_servers_that_nobody_uses_run_no_child_and_take_no_memory(tmp_path: Path) -> None:
    used = []
    for servers in (0, SERVERS):
        folder = tmp_path / str(servers)
        folder.mkdir()
        with gateway(folder, configured(folder, servers)) as process:
            assert children(process) == []
            assert starts(folder) == []
            used.append(anonymous_bytes(process))
    assert used[1] - used[0] < MOST_FOR_TEN_BYTES


def heard_once(folder: Path, config: Path, wanted: set[str]) -> None:
    """A daemon's life in which somebody saw the list."""
    with gateway(folder, config) as process:
        with Person(folder / "s") as person:
            assert wanted <= person.tools()
        stop(process)


def test_after_a_restart_the_tools_are_listed_although_no_server_can_start(tmp_path: Path) -> None:
    """The servers hang at their start: whatever the list has is remembered, and it does not wait for them."""
    config = configured(tmp_path)
    wanted = {f"s{number}__look" for number in range(SERVERS)}
    heard_once(tmp_path, config, wanted)
    assert sorted(starts(tmp_path)) == sorted(f"s{number}" for number in range(SERVERS)), "each was started once"
    (tmp_path / "stuck").touch()
    with gateway(tmp_path, config) as process:
        assert children(process) == []
        with Person(tmp_path / "s") as person:
            assert wanted <= person.tools()
        process.popen.kill()


def test_a_remembered_list_is_refreshed_behind_and_clients_are_told(tmp_path: Path) -> None:
    config = configured(tmp_path, 2)
    heard_once(tmp_path, config, {"s0__look", "s1__look"})
    (tmp_path / "tools").write_text("look listen", encoding="utf-8")
    with gateway(tmp_path, config), Person(tmp_path / "s") as person:
        assert not {"s0__listen", "s1__listen"} & person.tools()
        while not {"s0__listen", "s1__listen"} <= person.tools():
            person.wait_told("notifications/tools/list_changed")
            person.told.clear()


def test_one_call_after_a_restart_starts_the_one_server_it_needs(tmp_path: Path) -> None:
    config = configured(tmp_path)
    heard_once(tmp_path, config, {"s7__look"})
    (tmp_path / "starts").unlink()
    with gateway(tmp_path, config), Person(tmp_path / "s") as person:
        assert person.ask("tools/call", {"name": "s7__look", "arguments": {}})["content"][0]["text"] == "s7"
        assert starts(tmp_path) == ["s7"]
