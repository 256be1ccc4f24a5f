"""`python benches/plugins.py [--quick]`: what a call of a WASM plugin costs, and what hostile ones cost everybody else.

One interleaved run: every cell is measured in each round in turn, so a noisy neighbour disturbs all alike, and a ratio
is taken within a round. The plugin is `guests/echo.c`, as a core module and as a component: a kilobyte in and out.
Beside it stand the same gateway with a native server that answers as much (`echo_server.rs`, the empty hop) and with
two servers in Python on stdio. Where the time of a call goes is measured by `rust/sandbox/examples/costs.rs`, without a
gateway.

Needs Debian's `wrk`, `clang` and `lld`, cargo, the official Python SDK, the built gateway, and what
`make -C wasm all hostile` builds. Loopback only. Writes `record/DATE-plugins.md` and `.json`; some four minutes,
`--quick` one and no record. It measures and never judges: nothing here is a test.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines import LIMITS, build, echo_server, gateway, http_url
from load import HttpLoad, Lane, PacedLoad, measure
from machine import HERE, need, run, surroundings
from plugins_report import report
from processes import WORK, Process, children, memory_kib
from relay_report import kept_notes
from rounds import Cell, in_rounds
from wire import EXPECTED, headers, message, post

TEXT = f"{EXPECTED:<1000}"
CALL = message("tools/call", "echo", {"text": TEXT})
WORK_CALL = message("tools/call", "work", {"text": TEXT})
GUESTS = WORK / "guests"
WASM = HERE.parent / "wasm"
HOSTILE = WASM / "hostile" / "build"
CLANG = (
    "--target=wasm32",
    "-std=c11",
    "-O2",
    "-mbulk-memory",
    "-fno-builtin",
    "-nostdlib",
    "-Wl,--no-entry,--strip-all",
)
WIDE = "bounds = { concurrency = 16, deadline_ms = 10000 }"

RATE_PER_S = 1000
"""Of calls to the good neighbour, which is far below what it can take."""
PLUGIN_RATE_PER_S = 200
ATTACK_RATE_PER_S = 50
"""Of calls to each hostile plugin: more than get done, and not so many that the calls alone are the load."""
ATTACKS = ("loops", "allocates", "recurses", "floods-log", "answers-too-much")


# -- what runs ----------------------------------------------------------------------------------------------------


def guests() -> tuple[Path, Path]:
    """The echo as a core module and as a component."""
    GUESTS.mkdir(parents=True, exist_ok=True)
    source, tools = HERE / "guests" / "echo.c", WASM / ".venv" / "bin" / "wasm-tools"
    module, core, component = (GUESTS / f"{name}.wasm" for name in ("module", "core", "component"))
    run("clang", *CLANG, "-o", module, source)
    run("clang", *CLANG, "-DCOMPONENT", "-o", core, source)
    run(tools, "component", "embed", WASM / "wit", "--world", "tool-plugin", core, "-o", core)
    run(tools, "component", "new", core, "-o", component)
    for file in (module, component):
        file.with_suffix(".toml").write_text((HERE / "guests" / "echo.toml").read_text())
    return module, component


def wasm_table(file: Path, more: str = WIDE) -> str:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f'wasm = "{file}"\ndigest = "sha256:{digest}"\n{more}'


def command_table(*words: str | Path) -> str:
    return f"command = {json.dumps([str(word) for word in words])}"


@dataclass(frozen=True)
class Door:
    """Where the load knocks, and whose CPU time counts: the gateway's, and that of its child."""

    engine: str
    url: str
    middle: list[int]
    ends: list[int]


class Street:
    """All gateways, each with one backend. What is idle takes no time."""

    def __init__(self, until: ExitStack) -> None:
        self._until = until
        module, component = guests()
        self.module, self.component = module, component
        native = WORK / "echo_server"
        web, port = self._keep(*echo_server("http", 2, len(TEXT)))
        self.doors = [
            Door("no hop", f"http://127.0.0.1:{port}/mcp", [], [web.pid]),
            self._door("native server, stdio", command_table(native, "stdio", "2", str(len(TEXT)))),
            self._door("plugin, module", wasm_table(module)),
            self._door("plugin, component", wasm_table(component)),
            self._door("plain Python, stdio", command_table(sys.executable, "-u", HERE / "stdio_echo.py")),
            self._door("Python SDK, stdio", command_table(sys.executable, HERE / "stdio_sdk.py")),
        ]
        over_http = gateway("plugins_http", f'url = "http://127.0.0.1:{port}/mcp"')
        until.callback(over_http.end)
        self.doors.insert(1, Door("native server, HTTP", http_url(over_http), [over_http.pid], [web.pid]))

    def _keep(self, process: Process, port: int) -> tuple[Process, int]:
        self._until.callback(process.end)
        return process, port

    def _door(self, engine: str, table: str) -> Door:
        daemon = gateway("plugins_" + engine.replace(", ", "_").replace(" ", "_").lower(), table)
        self._until.callback(daemon.end)
        called(http_url(daemon), CALL)
        return Door(engine, http_url(daemon), [daemon.pid], children(daemon.pid))

    def door(self, engine: str) -> Door:
        return next(door for door in self.doors if door.engine == engine)


def called(url: str, body: str, name: str = "echo") -> None:
    """Once, so that all is loaded. Raises: RuntimeError."""
    answer = post(url, body, headers("tools/call", name))[0]
    if EXPECTED.encode() not in answer:
        raise RuntimeError(f"{url} answers {answer[:300]!r}")


# -- a call beside other calls ------------------------------------------------------------------------------------


def cells(street: Street, quick: bool) -> list[Cell]:
    found = []
    for door in street.doors:
        busy = Lane("", HttpLoad(door.url, "tools/call", "echo", CALL), door.middle, door.ends)
        found.append(Cell("busy", door.engine, busy, 16, 1))
        alone = Lane("", PacedLoad(door.url, CALL).at(0), door.middle, door.ends)
        seconds = 0.3 if quick else 0.7
        found.append(Cell("alone", door.engine, alone, 1, seconds, one_core=True))
        found.append(Cell("alone_free", door.engine, alone, 1, seconds))
        paced = Lane("", PacedLoad(door.url, CALL).at(RATE_PER_S), door.middle, door.ends)
        found.append(Cell("paced", door.engine, paced, 4, 2 * seconds))
    for engine in ("plugin, module", "plugin, component"):
        door = street.door(engine)
        lane = Lane("", PacedLoad(door.url, WORK_CALL, "work").at(0), door.middle, [])
        for row, connections, one_core in (("work_1", 1, False), ("work_8", 8, False), ("work_8_one_core", 8, True)):
            found.append(Cell(row, engine, lane, connections, 0.3 if quick else 1, one_core))
    return found


# -- without a gateway --------------------------------------------------------------------------------------------


def costs(street: Street, quick: bool) -> dict[str, float]:
    """Microseconds, by `examples/costs.rs`."""
    cargo = (
        "cargo",
        "run",
        "--locked",
        "--quiet",
        "--profile",
        "sandbox",
        "-p",
        "tidegate-sandbox",
        "--example",
        "costs",
    )
    flags = ["--quick"] if quick else []
    text = run(*cargo, "--", street.module, street.component, *flags, cwd=HERE.parent, timeout_s=None)
    found: dict[str, float] = json.loads(text)
    return found


# -- at rest ------------------------------------------------------------------------------------------------------

_SHIPPED_TOOLS = ("units", "sensor-stats", "data")
_SHIPPED_FILTERS = ("mask", "safety-envelope")


def memory(seconds: float) -> dict[str, dict[str, int]]:
    """Daemons without plugins, and with those that come with tidegate, some of them used."""
    stdio = command_table(WORK / "echo_server", "stdio", "2")
    tools = "".join(f'[backends.{name}]\nwasm = "{name}"\n' for name in _SHIPPED_TOOLS)
    filters = "".join(f'[filters.{name}]\nwasm = "{name}"\ntools = ["other_*"]\n' for name in _SHIPPED_FILTERS)
    summary = message("tools/call", "sensor-stats__summary", {"values": [1, 2, 3]})
    convert = message("tools/call", "units__convert", {"value": 1, "from": "km", "to": "m"})
    query = message("tools/call", "data__describe", {"text": "a,b\n1,2"})
    one = {"sensor-stats__summary": summary}
    rows: dict[str, tuple[str, dict[str, str]]] = {
        "no plugin configured": ("", {}),
        "three tool plugins configured, none used": (tools, {}),
        "these and two filters, which are loaded at once": (tools + filters, {}),
        "three tool plugins, `sensor-stats` used": (tools, one),
        "three tool plugins, all used, one with a JavaScript engine": (
            tools,
            {**one, "units__convert": convert, "data__describe": query},
        ),
    }
    found = {}
    for row, (tables, calls) in rows.items():
        # One after the other: what two of them map is counted as half of it.
        daemon = gateway("plugins_rest", stdio, config=LIMITS + tables)
        try:
            for name, body in calls.items():
                post(http_url(daemon), body, headers("tools/call", name))
            time.sleep(seconds)
            found[row] = memory_kib(daemon.pid)
        finally:
            daemon.end()
    return found


# -- under attack -------------------------------------------------------------------------------------------------


@contextmanager
def attack(url: str, seconds: float) -> Iterator[None]:
    """Each hostile plugin is called all the time, over eight connections."""
    running = []
    port, path = url.removeprefix("http://127.0.0.1:").split("/", 1)
    for name in ATTACKS:
        body = message("tools/call", f"{name}__go")
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers("tools/call", f"{name}__go").items())
        head = f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        words = [WORK / "http_load", port, 8, seconds + 1, ATTACK_RATE_PER_S, head + body, "error"]
        running.append(subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE))  # noqa: S603 - our words
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in running:
            process.terminate()
            process.communicate()


def under_attack(street: Street, rounds: int, seconds: float) -> dict[str, Any]:
    """Latency of a good server's calls, and of a good plugin's, while hostile ones are called and while not."""
    tables = "".join(
        f"[backends.{name}]\n{wasm_table(HOSTILE / f'{name}.wasm', 'grants = { log = true }')}\n" for name in ATTACKS
    )
    tables += f"[backends.good]\n{wasm_table(street.module)}\n"
    backend = command_table(WORK / "echo_server", "stdio", "2", str(len(TEXT)))
    daemon = gateway("plugins_attacked", backend, config=LIMITS + tables)
    try:
        url = http_url(daemon)
        lanes = {
            "good server": ("bench__echo", RATE_PER_S, 4),
            "good plugin": ("good__echo", PLUGIN_RATE_PER_S, 4),
        }
        found: dict[str, Any] = {name: {"quiet": [], "attacked": []} for name in lanes}
        for name, _, _ in lanes.values():
            called(url, message("tools/call", name, {"text": TEXT}), name)
        with attack(url, 1):
            time.sleep(1)
        time.sleep(0.5)
        found["before_kib"] = memory_kib(daemon.pid)
        for _ in range(rounds):
            for row, (name, rate, connections) in lanes.items():
                load = PacedLoad(url, message("tools/call", name, {"text": TEXT}), name).at(rate)
                lane = Lane("", load, [daemon.pid], [])
                found[row]["quiet"].append(measure(lane, connections, seconds))
                with attack(url, seconds):
                    found[row]["attacked"].append(measure(lane, connections, seconds))
        time.sleep(0.5)
        found["after_kib"] = memory_kib(daemon.pid)
        return found
    finally:
        daemon.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    args = parser.parse_args()
    need("wrk", "clang", "wasm-ld", "cargo", "rustc")
    build()
    # What is compiled is kept from one run to the next, and nobody else's.
    os.environ["TIDEGATE_STATE"] = str(WORK / "state")
    quick, rounds = args.quick, 1 if args.quick else args.rounds
    begun = time.monotonic()

    def told(words: str) -> None:
        print(f"{time.monotonic() - begun:4.0f} s: {words}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {"machine": surroundings(), "rounds": rounds}
    with ExitStack() as until:
        street = Street(until)
        told("all runs")
        found["cells"] = in_rounds(cells(street, quick), rounds, told)
        found["attack"] = under_attack(street, 1 if quick else 3, 1 if quick else 3)
        told("attacked")
    found["costs"] = costs(street, quick)
    told("without a gateway")
    found["memory_kib"] = memory(0.5 if quick else 2)
    found["machine"]["load_after"] = os.getloadavg()[0]
    found["took_s"] = round(time.monotonic() - begun)
    target = HERE / "record" / f"{found['machine']['date'][:10]}-plugins.md"
    text = report(found, kept_notes(target))
    print(text)
    if not quick:
        target.write_text(text)
        target.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
