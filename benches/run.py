"""`python benches/run.py [--quick]`: what the gateway costs, beside no hop and a plain nginx hop, in one run.

Needs Debian's `wrk` and `nginx-light` (`apt-get install -y nginx-light wrk`), `rustc`, and the built gateway. Loopback
only. Writes `record/DATE.md` and `.json`; a good two minutes. It measures and never judges: nothing here is a test.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import WORK, Process, announced, children, cpu_s, memory_kib, wakeups
from report import report

HERE = Path(__file__).parent
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CONNECTIONS = (1, 16, 64)
LIMITS = """
[limits]
rate_per_s = 0
connections = 4096
sessions = 4096
in_flight = 4096
"""


def message(method: str, name: str = "", arguments: dict[str, Any] | None = None) -> str:
    params: dict[str, Any] = {"name": name, "arguments": arguments or {}} if name else {}
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}, separators=(",", ":")
    )


CALL = message("tools/call", "echo", {"path": "/var/log/syslog", "head": 20})
BIG = message("tools/call", "big")
LIST = message("tools/list")


def post(
    url: str, body: str, headers: dict[str, str] | None = None, method: str = "", name: str = ""
) -> tuple[bytes, dict[str, str]]:
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **(headers or {})}
    if method:
        sent |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, **({"Mcp-Name": name} if name else {})}
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        # Not urllib: it asks for the connection to be closed, and the answer would not look as wrk gets it.
        connection.request("POST", place.path, body.encode(), sent)
        answer = connection.getresponse()
        return answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def gateway(name: str, backend: str, *, tcp: bool = False, limits: str = LIMITS) -> Process:
    """A daemon with one backend; `backend` is the body of its table."""
    file = WORK / f"{name}.toml"
    file.write_text(f"{limits}\n[backends.bench]\n{backend}\nmax_in_flight = 4096\n")
    flags = ["--http", "127.0.0.1:0", "--unix", "", "--admin", ""] + (["--tcp", "127.0.0.1:0"] if tcp else [])
    return Process(
        sys.executable, "-m", "tidegate", "serve", "--config", file, *flags, says=True, environment=python_path()
    )


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(HERE.parent / "python")}


def stdio_table(tools: int = 2) -> str:
    return f"command = {json.dumps([str(WORK / 'echo_server'), 'stdio', str(tools)])}"


def nginx(port: int, backend_port: int) -> Process:
    """One worker that passes HTTP on over kept-alive connections, without access log: the least a hop costs."""
    file = WORK / "nginx.conf"
    file.write_text(f"""
daemon off; worker_processes 1; pid {WORK}/nginx.pid; error_log {WORK}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {WORK}/body; proxy_temp_path {WORK}/proxy;
  fastcgi_temp_path {WORK}/f; uwsgi_temp_path {WORK}/u; scgi_temp_path {WORK}/s;
  upstream backend {{ server 127.0.0.1:{backend_port}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""")
    process = Process("nginx", "-e", WORK / "nginx.log", "-p", WORK, "-c", file)
    wait_port(port)
    return process


def wait_port(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- load -------------------------------------------------------------------------------------------------------


def load_http(url: str, connections: int, seconds: float, method: str, name: str, body: str) -> dict[str, Any]:
    answer, headers = post(url, body, method=method, name=name)
    if b'"result"' not in answer:
        raise RuntimeError(f"{url} answers {answer[:300]!r}")
    text = run("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", HERE / "call.lua",
               url, "--", method, name, body)  # fmt: skip
    cell: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    cell["answer_bytes"] = len(answer)
    # wrk counts bytes, head included. An error has another length than a right answer; the last ones may be cut off.
    right = (
        len("HTTP/1.1 200 OK\r\n\r\n") + sum(len(key) + len(value) + 4 for key, value in headers.items()) + len(answer)
    )
    seen = cell["bytes"] / max(1, cell["requests"])
    if cell["errors"] or abs(seen / right - 1) > 0.005 + connections / max(1, cell["requests"]):
        cell["suspect"] = f"{cell['errors']} errors, {seen:.0f} bytes an answer where {right} are right"
    return cell


def load_lines(port: int, connections: int, seconds: float, body: str, expected: str) -> dict[str, Any]:
    text = run(WORK / "line_load", str(port), str(connections), str(seconds), body, expected)
    cell: dict[str, Any] = json.loads(text)
    if cell["errors"]:
        cell["suspect"] = f"{cell['errors']} wrong answers"
    return cell


def run(*command: str | Path) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603 - our words


def said(*command: str) -> str:
    """What a program says about itself, wherever; wrk fails when asked for its version."""
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603 - our words
    return (ended.stdout + ended.stderr).strip()


@dataclass
class Lane:
    """One way from the load to the backend, and the process in the middle."""

    name: str
    load: Callable[[int, float], dict[str, Any]]
    middle: list[int]
    """Process ids whose CPU time is counted; empty for a direct connection."""
    ends: list[int]
    """The backend's."""


def measure(lane: Lane, connections: int, seconds: float) -> dict[str, Any]:
    before = sum(map(cpu_s, lane.middle)), sum(map(cpu_s, lane.ends))
    cell = lane.load(connections, seconds)
    middle, end = sum(map(cpu_s, lane.middle)) - before[0], sum(map(cpu_s, lane.ends)) - before[1]
    cell["per_s"] = cell["requests"] / cell["duration_us"] * 1e6
    cell["cpu_s_per_10k"] = middle / cell["requests"] * 1e4
    cell["backend_cpu_s_per_10k"] = end / cell["requests"] * 1e4
    return cell


def best_of(lanes: list[Lane], connections: int, seconds: float, rounds: int) -> dict[str, dict[str, Any]]:
    """Rounds go over all lanes in turn, so a noisy neighbour disturbs all alike; the fastest round of each is kept."""
    found: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for lane in lanes:
            cell = measure(lane, connections, seconds)
            old = found.get(lane.name)
            if old is None or cell["per_s"] > old["per_s"]:
                found[lane.name] = cell
    return found


def http_url(process: Process) -> str:
    urls = announced(process)["http"]
    assert isinstance(urls, list)
    return str(urls[0])


def tcp_port(process: Process) -> int:
    addresses = announced(process)["tcp"]
    assert isinstance(addresses, list)
    return int(str(addresses[0]).rpartition(":")[2])


def calls(seconds: float, rounds: int) -> dict[str, Any]:
    """Small calls, one-megabyte results and long lists over every lane."""
    started: list[Process] = []

    def keep(process: Process) -> Process:
        started.append(process)
        return process

    try:
        server = WORK / "echo_server"
        web, wire = keep(Process(server, "http", "2", says=True)), keep(Process(server, "tcp", "2", says=True))
        many = keep(Process(server, "http", "1000", says=True))
        web_port, hop_port = int(web.said), free_port()
        direct_url, many_url = f"http://127.0.0.1:{web_port}/mcp", f"http://127.0.0.1:{int(many.said)}/mcp"
        hop, hop_url = keep(nginx(hop_port, web_port)), f"http://127.0.0.1:{hop_port}/mcp"
        to_http = keep(gateway("to_http", f'url = "{direct_url}"'))
        to_stdio = keep(gateway("to_stdio", stdio_table(), tcp=True))
        to_many = keep(gateway("to_many", f'url = "{many_url}"'))
        for process in (to_http, to_stdio):
            post(http_url(process), CALL, method="tools/call", name="echo")

        def http(url: str, method: str, name: str, body: str) -> Callable[[int, float], dict[str, Any]]:
            return lambda connections, length: load_http(url, connections, length, method, name, body)

        def lines(port: int) -> Callable[[int, float], dict[str, Any]]:
            return lambda connections, length: load_lines(port, connections, length, CALL, "hello from the bench")

        worker, child = children(hop.pid), children(to_stdio.pid)

        def http_lanes(method: str, name: str, body: str) -> list[Lane]:
            return [
                Lane("HTTP direct", http(direct_url, method, name, body), [], [web.pid]),
                Lane("HTTP → nginx → HTTP", http(hop_url, method, name, body), worker, [web.pid]),
                Lane("HTTP → tidegate → HTTP", http(http_url(to_http), method, name, body), [to_http.pid], [web.pid]),
                Lane("HTTP → tidegate → stdio", http(http_url(to_stdio), method, name, body), [to_stdio.pid], child),
            ]

        small = [
            *http_lanes("tools/call", "echo", CALL),
            Lane("TCP direct", lines(int(wire.said)), [], [wire.pid]),
            Lane("TCP → tidegate → stdio", lines(tcp_port(to_stdio)), [to_stdio.pid], child),
        ]
        listing = [
            Lane("HTTP direct", http(many_url, "tools/list", "", LIST), [], [many.pid]),
            Lane(
                "HTTP → tidegate (catalogue)",
                http(http_url(to_many), "tools/list", "", LIST),
                [to_many.pid],
                [many.pid],
            ),
        ]
        found: dict[str, Any] = {"call": {}, "big": {}, "list": {}}
        for connections in CONNECTIONS:
            found["call"][connections] = best_of(small, connections, seconds, rounds)
        for connections in (1, 16):
            found["big"][connections] = best_of(http_lanes("tools/call", "big", BIG), connections, seconds, 1)
            found["list"][connections] = best_of(listing, connections, seconds, 1)
        found["memory_after_load_kib"] = {
            "HTTP → tidegate → HTTP": memory_kib(to_http.pid),
            "HTTP → tidegate → stdio": memory_kib(to_stdio.pid),
        }
        return found
    finally:
        for process in reversed(started):
            process.end()


# -- at rest ----------------------------------------------------------------------------------------------------

INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"},
        },
    }
)
INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}'


def http_session(url: str) -> None:
    """A session of 2025-11-25, its connection closed."""
    headers = post(url, INITIALIZE)[1]
    key = {name.lower(): value for name, value in headers.items()}["mcp-session-id"]
    post(url, INITIALIZED, {"Mcp-Session-Id": key, "MCP-Protocol-Version": "2025-11-25"})


def tcp_session(port: int) -> socket.socket:
    """The same over TCP, its connection open."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.sendall(f"{INITIALIZE}\n".encode())
    answer = connection.recv(65536)
    if b'"result"' not in answer:
        raise RuntimeError(f"initialize answers {answer[:300]!r}")
    connection.sendall(f"{INITIALIZED}\n".encode())
    return connection


def at_rest(seconds: float) -> dict[str, Any]:
    """Memory and wake-ups of three daemons: nobody connected, HTTP sessions, TCP sessions."""
    idle, by_http, by_tcp = (gateway(f"rest_{index}", stdio_table(), tcp=True) for index in range(3))
    open_ones: list[socket.socket] = []
    try:
        memory: dict[str, Any] = {}
        time.sleep(0.5)
        memory["started, no call yet"] = memory_kib(idle.pid)
        post(http_url(idle), CALL, method="tools/call", name="echo")
        time.sleep(0.5)
        memory["idle, backend running"] = memory_kib(idle.pid)
        for upto in (100, 1000):
            for _ in range(len(open_ones), upto):
                http_session(http_url(by_http))
                open_ones.append(tcp_session(tcp_port(by_tcp)))
            time.sleep(0.5)
            memory[f"{upto} HTTP sessions, not connected"] = memory_kib(by_http.pid)
            memory[f"{upto} TCP sessions, connected"] = memory_kib(by_tcp.pid)
        rows = {"idle, backend running": idle, "1000 HTTP sessions": by_http, "1000 TCP sessions": by_tcp}
        time.sleep(1)
        before = {name: (wakeups(process.pid), cpu_s(process.pid)) for name, process in rows.items()}
        time.sleep(seconds)
        rest = {
            name: {
                "wakeups_per_s": (wakeups(process.pid) - before[name][0]) / seconds,
                "cpu_ms_per_s": (cpu_s(process.pid) - before[name][1]) * 1000 / seconds,
            }
            for name, process in rows.items()
        }
        return {"memory_kib": memory, "rest": rest, "rest_over_s": seconds}
    finally:
        for connection in open_ones:
            connection.close()
        for process in (idle, by_http, by_tcp):
            process.end()


def starts(rounds: int) -> dict[str, Any]:
    """From starting the process: until it listens, until the first call is answered (by a backend started for it)."""
    ready, answered, bare, default = [], [], [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=20)
        bare.append(time.perf_counter() - begun)
        process = gateway("start", stdio_table())
        try:
            post(http_url(process), CALL, method="tools/call", name="echo")
            answered.append(time.perf_counter() - process.started_s)
            ready.append(process.said_s)
        finally:
            process.end()
        flags = ["--http", "127.0.0.1:0", "--unix", "", "--admin", ""]
        words = [sys.executable, "-m", "tidegate", "serve", *flags]
        process = Process(*words, says=True, environment=python_path())
        try:
            post(http_url(process), message("tools/call", "overview"), method="tools/call", name="overview")
            default.append(time.perf_counter() - process.started_s)
        finally:
            process.end()
    names = {"an interpreter alone": bare, "listening": ready, "first call answered": answered,
             "first call answered, embedded default (`overview`)": default}  # fmt: skip
    return {
        name: {"median_ms": statistics.median(times) * 1000, "worst_ms": max(times) * 1000}
        for name, times in names.items()
    }


def surroundings() -> dict[str, Any]:
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": model.partition(":")[2].strip(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "uvloop": __import__("uvloop").__version__,
        "rustc": run("rustc", "-V").split()[1],
        "nginx": said("nginx", "-v").rpartition("/")[2],
        "wrk": said("wrk", "-v").split()[1],
        "commit": run("git", "-C", HERE, "rev-parse", "--short", "HEAD").strip(),
    }


def build() -> None:
    """Compiles server and load generator, when they are older than their source."""
    WORK.mkdir(exist_ok=True)
    for name in ("echo_server", "line_load"):
        source, program = HERE / f"{name}.rs", WORK / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            run("rustc", "-O", "--edition", "2024", "-o", program, source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    quick = parser.parse_args().quick
    missing = [tool for tool in ("wrk", "nginx", "rustc") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"benches need {', '.join(missing)}: `apt-get install -y nginx-light wrk`, and a Rust toolchain")
    build()
    begun = time.monotonic()
    found: dict[str, Any] = {"machine": surroundings()}
    found["starts"] = starts(2 if quick else 7)
    found |= calls(1 if quick else 2, 1 if quick else 2)
    found |= at_rest(3 if quick else 10)
    found["took_s"] = round(time.monotonic() - begun)
    text = report(found)
    print(text)
    if not quick:
        target = HERE / "record" / found["machine"]["date"][:10]
        target.with_suffix(".md").write_text(text)
        target.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
