"""The loads, and one measurement: what a load found, and the CPU time the processes behind it took meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from machine import HERE, run
from processes import WORK, cpu_s, kernel_s
from wire import EXPECTED, headers, post


@dataclass(frozen=True)
class Lane:
    """One way from the load to the backend, and the process in the middle."""

    name: str
    load: Callable[[int, float], dict[str, Any]]
    """Of connections and seconds."""
    middle: Sequence[int] = ()
    """Process ids whose CPU time is counted; empty for a direct connection."""
    ends: Sequence[int] = ()
    """The backend's."""


def measure(lane: Lane, connections: int, seconds: float) -> dict[str, Any]:
    def times_s() -> dict[str, float]:
        return {
            "cpu_s_per_10k": sum(map(cpu_s, lane.middle)),
            "kernel_cpu_s_per_10k": sum(map(kernel_s, lane.middle)),
            "backend_cpu_s_per_10k": sum(map(cpu_s, lane.ends)),
        }

    before = times_s()
    cell = lane.load(connections, seconds)
    after = times_s()
    cell["per_s"] = cell["requests"] / cell["duration_us"] * 1e6
    return cell | {name: (after[name] - before[name]) / cell["requests"] * 1e4 for name in after}


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


@dataclass(frozen=True)
class HttpLoad:
    """wrk with one call: a closed loop, as fast as it goes. Whole seconds, at least one."""

    url: str
    method: str
    name: str
    body: str
    token: str = ""
    sessions: tuple[str, ...] = ()
    """Of 2025-11-25. With them each request has another id and belongs to the next one."""

    def __call__(self, connections: int, seconds: float) -> dict[str, Any]:
        sent = headers(self.method, self.name, self.token, self.sessions[0] if self.sessions else "")
        answer, got = post(self.url, self.body, sent)
        if b'"result"' not in answer:
            raise RuntimeError(f"{self.url} answers {answer[:300]!r}")
        text = run("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s",
                   HERE / "call.lua", self.url, "--", self.body, json.dumps(sent), *self.sessions)  # fmt: skip
        cell: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
        cell["answer_bytes"] = len(answer)
        # wrk counts bytes, head included. An error has another length than a right answer; the last ones may be cut
        # off.
        right = len("HTTP/1.1 200 OK\r\n\r\n") + sum(len(key) + len(value) + 4 for key, value in got.items())
        right += len(answer)
        seen = cell["bytes"] / max(1, cell["requests"])
        if cell["errors"] or abs(seen / right - 1) > 0.005 + connections / max(1, cell["requests"]):
            cell["suspect"] = f"{cell['errors']} errors, {seen:.0f} bytes an answer where {right} are right"
        return cell


@dataclass(frozen=True)
class PacedLoad:
    """`http_load` with a stateless call: an open loop of `rate_per_s` over all connections, or 0: a closed one."""

    url: str
    body: str
    name: str = "echo"
    expected: str = EXPECTED

    def at(self, rate_per_s: float) -> Callable[[int, float], dict[str, Any]]:
        def load(connections: int, seconds: float) -> dict[str, Any]:
            port, path = self.url.removeprefix("http://127.0.0.1:").split("/", 1)
            lines = "".join(f"{key}: {value}\r\n" for key, value in headers("tools/call", self.name).items())
            head = f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}Content-Length: {len(self.body)}\r\n\r\n"
            words = (port, connections, seconds, rate_per_s, head + self.body, self.expected)
            return _judged(json.loads(run(WORK / "http_load", *map(str, words))))

        return load


@dataclass(frozen=True)
class LineLoad:
    """`line_load` with one call: a closed loop."""

    port: int
    body: str

    def __call__(self, connections: int, seconds: float) -> dict[str, Any]:
        words = (self.port, connections, seconds, self.body, EXPECTED)
        return _judged(json.loads(run(WORK / "line_load", *map(str, words))))


def _judged(cell: dict[str, Any]) -> dict[str, Any]:
    if cell["errors"]:
        cell["suspect"] = f"{cell['errors']} wrong answers"
    return cell
