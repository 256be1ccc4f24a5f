"""`python benches/run.py [--quick]`: what the gateway costs, beside no hop and a plain nginx hop, in one run.

Needs Debian's `wrk` and `nginx-light` (`apt-get install -y nginx-light wrk`), `rustc`, and the built gateway. Loopback
only. Writes `record/DATE.md` and `.json`; a good two minutes. It measures and never judges: nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from engines import build, echo_server, gateway, http_url, nginx, python_path, stdio_table, tcp_port
from load import HttpLoad, Lane, LineLoad, best_of
from machine import HERE, need, surroundings
from processes import Process, children, cpu_s, memory_kib, wakeups
from report import report
from wire import BIG, CALL, LIST, headers, http_session, message, post, tcp_session

CONNECTIONS = (1, 16, 64)


def call_once(process: Process) -> None:
    """So that the backend runs."""
    post(http_url(process), CALL, headers("tools/call", "echo"))


def calls(seconds: float, rounds: int) -> dict[str, Any]:
    """Small calls, one-megabyte results and long lists over every lane."""
    started: list[Process] = []

    def keep(process: Process) -> Process:
        started.append(process)
        return process

    try:
        web, web_port = echo_server("http")
        wire, wire_port = echo_server("tcp")
        many, many_port = echo_server("http", 1000)
        hop, hop_port = nginx(web_port)
        started.extend((web, wire, many, hop))
        direct_url, many_url, hop_url = (f"http://127.0.0.1:{port}/mcp" for port in (web_port, many_port, hop_port))
        to_http = keep(gateway("to_http", f'url = "{direct_url}"'))
        to_stdio = keep(gateway("to_stdio", stdio_table(), tcp=True))
        to_many = keep(gateway("to_many", f'url = "{many_url}"'))
        for process in (to_http, to_stdio):
            call_once(process)
        worker, child = children(hop.pid), children(to_stdio.pid)

        def http_lanes(name: str, body: str) -> list[Lane]:
            def http(url: str) -> Callable[[int, float], dict[str, Any]]:
                return HttpLoad(url, "tools/call", name, body)

            return [
                Lane("HTTP direct", http(direct_url), [], [web.pid]),
                Lane("HTTP → nginx → HTTP", http(hop_url), worker, [web.pid]),
                Lane("HTTP → tidegate → HTTP", http(http_url(to_http)), [to_http.pid], [web.pid]),
                Lane("HTTP → tidegate → stdio", http(http_url(to_stdio)), [to_stdio.pid], child),
            ]

        small = [
            *http_lanes("echo", CALL),
            Lane("TCP direct", LineLoad(wire_port, CALL), [], [wire.pid]),
            Lane("TCP → tidegate → stdio", LineLoad(tcp_port(to_stdio), CALL), [to_stdio.pid], child),
        ]
        listing = [
            Lane(name, HttpLoad(url, "tools/list", "", LIST), middle, [many.pid])
            for name, url, middle in (
                ("HTTP direct", many_url, []),
                ("HTTP → tidegate (catalogue)", http_url(to_many), [to_many.pid]),
            )
        ]
        found: dict[str, Any] = {"call": {}, "big": {}, "list": {}}
        for connections in CONNECTIONS:
            found["call"][connections] = best_of(small, connections, seconds, rounds)
        for connections in (1, 16):
            found["big"][connections] = best_of(http_lanes("big", BIG), connections, seconds, 1)
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


def at_rest(seconds: float) -> dict[str, Any]:
    """Memory and wake-ups of three daemons: nobody connected, HTTP sessions, TCP sessions."""
    idle, by_http, by_tcp = (gateway(f"rest_{index}", stdio_table(), tcp=True) for index in range(3))
    open_ones: list[socket.socket] = []
    try:
        memory: dict[str, Any] = {}
        time.sleep(0.5)
        memory["started, no call yet"] = memory_kib(idle.pid)
        call_once(idle)
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
            call_once(process)
            answered.append(time.perf_counter() - process.started_s)
            ready.append(process.said_s)
        finally:
            process.end()
        flags = ["--http", "127.0.0.1:0", "--unix", "", "--admin", ""]
        words = [sys.executable, "-m", "tidegate", "serve", *flags]
        process = Process(*words, says=True, environment=python_path())
        try:
            post(http_url(process), message("tools/call", "overview"), headers("tools/call", "overview"))
            default.append(time.perf_counter() - process.started_s)
        finally:
            process.end()
    names = {"an interpreter alone": bare, "listening": ready, "first call answered": answered,
             "first call answered, embedded default (`overview`)": default}  # fmt: skip
    return {
        name: {"median_ms": statistics.median(times) * 1000, "worst_ms": max(times) * 1000}
        for name, times in names.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    quick = parser.parse_args().quick
    need("wrk", "nginx", "rustc")
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
