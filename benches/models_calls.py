"""What is asked of models: each call another one, since two calls alike are computed once."""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import TREE
from wire import headers, message

SHIPPED = TREE / "python/tidegate/models/shipped"


def bytes_of_call(number: int) -> bytes:
    """Something like a log file, 2 KiB."""
    return (f"{number:08d} valve opened, pressure {number % 97} kPa\n" * 60).encode()[:2048]


def identify(number: int) -> dict[str, Any]:
    return {"file": base64.b64encode(bytes_of_call(number)).decode()}


def embed(number: int) -> dict[str, Any]:
    return {
        "texts": [f"Pump {number} reports a pressure of {number % 97} kPa and asks for somebody to look at its seal."]
    }


class ModelLoad:
    """A closed loop of one call after the other on each connection, no two alike. Of the shape of `Lane.load`."""

    def __init__(self, url: str, tool: str, arguments: Callable[[int], dict[str, Any]], expected: bytes) -> None:
        self._url = urllib.parse.urlsplit(url)
        self._tool = tool
        self._arguments = arguments
        self._expected = expected
        self._number = 0
        self._lock = threading.Lock()

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def __call__(self, connections: int, seconds: float) -> dict[str, Any]:
        taken: list[float] = []
        wrong: list[str] = []
        until = time.perf_counter() + seconds

        def caller() -> None:
            connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port)
            sent = headers("tools/call", self._tool)
            while time.perf_counter() < until:
                body = message("tools/call", self._tool, self._arguments(self._next()))
                began = time.perf_counter()
                connection.request("POST", self._url.path, body, sent)
                answer = connection.getresponse().read()
                taken.append((time.perf_counter() - began) * 1e6)
                if self._expected not in answer:
                    wrong.append(repr(answer[:200]))
            connection.close()

        began = time.perf_counter()
        threads = [threading.Thread(target=caller) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cell = spread_of(taken) | {"duration_us": (time.perf_counter() - began) * 1e6}
        return cell | ({"suspect": f"{len(wrong)} wrong answers: {wrong[0]}"} if wrong else {})


def spread_of(taken_us: list[float]) -> dict[str, Any]:
    """Requests, p50 and p99 of them."""
    ordered = sorted(taken_us)
    return {
        "requests": len(ordered),
        "p50_us": statistics.median(ordered),
        "p99_us": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))],
    }


def called(url: str, tool: str, arguments: dict[str, Any], timeout_s: float = 60) -> tuple[dict[str, Any], float]:
    """One call on a connection of its own: the message, and how many seconds it took."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    began = time.perf_counter()
    connection.request("POST", parts.path, message("tools/call", tool, arguments), headers("tools/call", tool))
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    took_s = time.perf_counter() - began
    connection.close()
    return answer, took_s


def copied(name: str, into: Path, changes: dict[str, str]) -> Path:
    """The manifest of a model that comes with tidegate, with other lines; its folder."""
    text = (SHIPPED / name / "model.toml").read_text()
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{old!r} is not in the manifest of {name}")
        text = text.replace(old, new)
    into.mkdir(parents=True, exist_ok=True)
    (into / "model.toml").write_text(text)
    return into
