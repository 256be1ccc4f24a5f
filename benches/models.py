"""`python benches/models.py [--quick]`: what a call of a local model costs through the gateway, and broken ones others.

One interleaved run: every cell is measured in each round in turn, and a ratio is taken within a round. The model is
that of `content-type`, some ten milliseconds on one thread, in a process by itself (onnxruntime alone, and the task
around it) and behind the gateway over HTTP. For batches it stands there twice, once with `batch = 1`; beside it the
sentence model. No two calls are alike. Then: from cold to the first answer, the memory of a daemon with models that
nobody uses, and the latency of a good server's calls while broken models are called and a worker is killed again and
again.

Needs what `make models` installs and Debian's rustc. Loopback only. Writes `record/DATE-models.md` and `.json`; some
four minutes, `--quick` one and no record. It measures and never judges: nothing here is a test.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from engines import LIMITS, build, gateway, http_url, python_path, stdio_table
from load import Lane, PacedLoad, measure
from machine import HERE, need, run, surroundings
from models_calls import SHIPPED, ModelLoad, called, copied, embed, identify, spread_of
from models_report import report
from processes import Process, children, memory_kib
from relay_report import kept_notes
from rounds import Cell, in_rounds
from wire import message

CALLERS = (1, 2, 4, 8, 16)
POWER = '[power]\nprofile = "balanced"\n'
"""One thread for models on two cores, whatever the thermometer says."""
RATE_PER_S = 500
"""Of calls to the good neighbour, which is far below what it can take."""


def models_table(name: str, folder: Path) -> str:
    digest = hashlib.sha256((folder / "model.toml").read_bytes()).hexdigest()
    return f'[backends.{name}]\nmodels = [{{ path = "{folder}", digest = "sha256:{digest}" }}]\n'


def daemon(until: ExitStack, name: str, tables: str) -> Process:
    """With these models, an echo beside them, and no memory of an earlier run."""
    os.environ["TIDEGATE_STATE"] = until.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-"))
    process = gateway(f"models_{name}", stdio_table(), config=LIMITS + POWER + tables)
    until.callback(process.end)
    return process


# -- calls --------------------------------------------------------------------------------------------------------


def direct(threads: int) -> dict[str, Any]:
    """Lanes of the model without a gateway: one process measures both, in turn."""

    def load(part: str) -> Any:
        def measured(connections: int, seconds: float) -> dict[str, Any]:
            text = run(sys.executable, HERE / "models_direct.py", str(seconds), str(threads), environment=python_path())
            found = json.loads(text)
            return spread_of(found[part]) | {"duration_us": sum(found[part])}

        return measured

    return {part: Lane("", load(part)) for part in ("onnxruntime", "task")}


def cells(url: str, pid: int, quick: bool) -> list[Cell]:
    seconds = 1.0 if quick else 4.0
    found = [Cell("alone", part, lane, 1, seconds) for part, lane in direct(1).items()]
    for engine, tool, arguments, expected in (
        ("gateway", "kinds__identify", identify, b'"label"'),
        ("gateway, no batches", "single__identify", identify, b'"label"'),
        ("gateway, sentences", "sentence__embed", embed, b'"dimensions"'),
        ("gateway, sentences, no batches", "lone__embed", embed, b'"dimensions"'),
    ):
        lane = Lane("", ModelLoad(url, tool, arguments, expected), [pid], [])
        called(url, tool, arguments(0))
        if engine == "gateway":
            # A native load: what a client in Python costs is not the gateway's. One after the other, so alike or not.
            one = PacedLoad(url, message("tools/call", tool, arguments(0)), tool, expected.decode().strip('"')).at(0)
            found.append(Cell("alone", engine, Lane("", one, [pid], []), 1, seconds))
        found += [Cell(f"callers_{count}", engine, lane, count, seconds / 2) for count in CALLERS]
    return found


# -- from cold ----------------------------------------------------------------------------------------------------

_COLD = """
import base64, sys
from pathlib import Path
from models_calls import SHIPPED, identify
from tidegate.models.files import ModelFiles
from tidegate.models.manifest import read_manifest
from tidegate.models.tasks.file_type import FileType
from models_direct import Deaf
manifest = read_manifest(Path(SHIPPED) / "content-type")
task = FileType(manifest, ModelFiles(manifest).place)
task.load(1)
task.run([task.prepare("identify", identify(1))], [Deaf()])
"""


def cold(rounds: int) -> dict[str, list[float]]:
    """Seconds until the first answer."""
    found: dict[str, list[float]] = {"a process of its own, `content-type`": []}
    for _ in range(rounds):
        began = time.perf_counter()
        environment = {"PYTHONPATH": f"{python_path()['PYTHONPATH']}{os.pathsep}{HERE}"}
        run(sys.executable, "-c", _COLD, environment=environment)
        found["a process of its own, `content-type`"].append(time.perf_counter() - began)
        for name, tool, arguments in (
            ("content-type", "identify", identify(1)),
            ("language", "identify", {"text": "Where is the station?"}),
            ("sentence", "embed", embed(1)),
            ("chat", "chat", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}),
        ):
            with ExitStack() as until:
                running = daemon(until, "cold", f'[backends.{name}]\nmodels = [{{ path = "{name}" }}]\n')
                first, first_s = called(http_url(running), f"{name}__{tool}", arguments)
                if "result" not in first:
                    raise RuntimeError(f"{name} answers {first}")
                _, second_s = called(http_url(running), f"{name}__{tool}", arguments)
                found.setdefault(f"gateway, `{name}`", []).append(first_s)
                found.setdefault(f"gateway, `{name}`, the second call", []).append(second_s)
    return found


# -- at rest ------------------------------------------------------------------------------------------------------


def memory(seconds: float) -> dict[str, dict[str, int]]:
    """A daemon without models, with all that come with tidegate and none used, and with one used."""
    names = sorted(folder.parent.name for folder in SHIPPED.glob("*/model.toml"))
    tables = "".join(f'[backends.{name}]\nmodels = [{{ path = "{name}" }}]\n' for name in names)
    found = {}
    for row, table, used in (
        ("no model configured", "", False),
        (f"{len(names)} models configured, none used", tables, False),
        (f"{len(names)} models configured, `language` used", tables, True),
    ):
        with ExitStack() as until:
            running = daemon(until, "rest", table)
            if used:
                called(http_url(running), "language__identify", {"text": "Where is the station?"})
            time.sleep(seconds)
            found[row] = memory_kib(running.pid)
            if used:
                (worker,) = [pid for pid in children(running.pid) if b'"set": "language"' in told(pid)]
                found["its worker, `language` loaded"] = memory_kib(worker)
    return found


def told(pid: int) -> bytes:
    """What a worker of models is told; nothing of any other process."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().partition(b"TIDEGATE_MODELS=")[2]
    except OSError:
        return b""


# -- beside broken ones -------------------------------------------------------------------------------------------


def broken_tables(folder: Path) -> tuple[str, list[str]]:
    """Models that go wrong when they are loaded, and their tools."""
    wrong = copied("content-type", folder / "wrong", {"fe2d2eb49c5f88a9": "0000000000000000"})
    cut = folder / "cut"
    cut.mkdir()
    (cut / "model.onnx").write_bytes(b"\x08\x08" + os.urandom(4096))
    digest = hashlib.sha256((cut / "model.onnx").read_bytes()).hexdigest()
    (cut / "model.toml").write_text(
        'name = "cut"\nversion = "1"\ndescription = "Broken"\nlicence = "none"\ntask = "tensor"\n'
        f'[files.model]\npath = "model.onnx"\nsha256 = "{digest}"\n'
    )
    tables = models_table("wrong", wrong) + models_table("cut", cut)
    return tables, ["wrong__identify", "cut__run"]


@contextmanager
def calling(url: str, calls: list[tuple[str, dict[str, Any]]], kill_those_of: int = 0) -> Iterator[dict[str, int]]:
    """These are called all the time, each by one caller; and a worker of this daemon is killed five times a second."""
    over = threading.Event()
    counts = {"calls": 0, "kills": 0}

    def call(tool: str, arguments: dict[str, Any]) -> None:
        while not over.is_set():
            with suppress(OSError):
                called(url, tool, arguments)
                counts["calls"] += 1

    def kill() -> None:
        while not over.wait(0.2):
            for pid in children(kill_those_of):
                if told(pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        counts["kills"] += 1
                    break

    threads = [threading.Thread(target=call, args=one) for one in calls]
    if kill_those_of:
        threads.append(threading.Thread(target=kill))
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def beside_broken(rounds: int, seconds: float) -> dict[str, Any]:
    with ExitStack() as until:
        folder = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        tables, tools = broken_tables(folder)
        running = daemon(until, "broken", tables + '[backends.kinds]\nmodels = [{ path = "content-type" }]\n')
        url = http_url(running)
        found: dict[str, Any] = {"quiet": [], "busy": [], "attacked": [], "errors": {}}
        inputs = {"inputs": {"x": {"dtype": "float32", "shape": [1], "data": [1]}}}
        broken = [(tool, identify(1) if tool.endswith("identify") else inputs) for tool in tools]
        good = ("kinds__identify", identify(1))
        for tool, arguments in broken:
            answer, _ = called(url, tool, arguments)
            found["errors"][tool] = answer.get("error", answer)
        load = PacedLoad(url, message("tools/call", "bench__echo", {"text": "x"}), "bench__echo").at(RATE_PER_S)
        lane = Lane("", load, [running.pid], [])
        measure(lane, 4, 0.5)
        found["before_kib"] = memory_kib(running.pid)
        for _ in range(rounds):
            found["quiet"].append(measure(lane, 4, seconds))
            with calling(url, [good, *(("bench__echo", {"text": "x"}) for _ in broken)]) as counts:
                found["busy"].append(measure(lane, 4, seconds) | {"counts": dict(counts)})
            with calling(url, [good, *broken], running.pid) as counts:
                found["attacked"].append(measure(lane, 4, seconds) | {"counts": dict(counts)})
        time.sleep(1)
        found["after_kib"] = memory_kib(running.pid)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not recorded")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    args = parser.parse_args()
    need("rustc")
    build()
    quick, rounds = args.quick, 1 if args.quick else args.rounds
    begun = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - begun:4.0f} s: {words}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {"machine": surroundings(), "rounds": rounds, "callers": CALLERS}
    with ExitStack() as until:
        folder = Path(until.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        single = copied("content-type", folder / "single", {"batch = 16": "batch = 1"})
        lone = copied("sentence", folder / "lone", {"batch = 32": "batch = 1"})
        tables = '[backends.kinds]\nmodels = [{ path = "content-type" }]\n' + models_table("single", single)
        tables += '[backends.sentence]\nmodels = [{ path = "sentence" }]\n' + models_table("lone", lone)
        running = daemon(until, "street", tables)
        found["cells"] = in_rounds(cells(http_url(running), running.pid, quick), rounds, say)
    found["cold_s"] = cold(1 if quick else 3)
    say("from cold")
    found["memory_kib"] = memory(0.5 if quick else 2)
    found["broken"] = beside_broken(1 if quick else 3, 1 if quick else 3)
    say("beside broken ones")
    found["machine"]["load_after"] = os.getloadavg()[0]
    found["took_s"] = round(time.monotonic() - begun)
    target = HERE / "record" / f"{found['machine']['date'][:10]}-models.md"
    text = report(found, kept_notes(target))
    print(text)
    if not quick:
        target.write_text(text)
        target.with_suffix(".json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
