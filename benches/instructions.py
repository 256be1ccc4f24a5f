"""`python benches/instructions.py`: how many machine instructions the gateway executes for one call, by callgrind.

Times on a shared machine say little about a change of a few per cent; instructions do. The real daemon runs under
`valgrind --tool=callgrind` between a client and a server that live in this process and are not counted. A client has
one call open at a time, so each call is the same four reads and writes. Counters are read between rounds, so that
starting, greeting and warming up cost nothing here. What then differs between rounds is the garbage collector, which
runs each some hundred calls: rounds have to be long.

A lane is client era → server era over one transport on both sides; `asks` marks a client that declares sampling,
elicitation and roots (it may be given a server connection of its own). Lanes between unlike eras are bridged and
reported for information: what must not change is the cost of the others. Lanes through nginx and through a byte
forwarder show what a hop costs that does not look at what it passes on; `guarded` is the gateway with a token, patterns
over tools, a rate that is counted, and metrics.

    python benches/instructions.py                              the working tree, on standard output
    python benches/instructions.py --commit b31c1cc --save old.json   a commit, built in `.work/trees`
    python benches/instructions.py --compare old.json --record  the working tree beside it, into `record/DATE-eras.*`

Needs valgrind (`apt-get install -y valgrind`), for `--commit` cargo too. Loopback only; some fifteen minutes. It
measures and never judges: nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ends import PATIENCE_S, Client, Lane, Server
from engines import GUARDED, LIMITS, free_port, has_relay, nginx_flags, wait_port
from machine import HERE, described, need, run, surroundings
from processes import WORK
from wire import SESSION, STATELESS

LANES = [
    Lane(client, server, transport, asks)
    for client, server, asks in (
        (SESSION, SESSION, False),
        (SESSION, SESSION, True),
        (STATELESS, STATELESS, False),
        (STATELESS, STATELESS, True),
        (STATELESS, SESSION, False),
        (SESSION, STATELESS, False),
    )
    for transport in ("TCP", "HTTP")
]
LANES += [
    *(replace(lane, middle="slow lane") for lane in LANES if not lane.bridged and has_relay()),
    Lane(STATELESS, STATELESS, "HTTP", middle="guarded"),
    *([Lane(STATELESS, STATELESS, "HTTP", middle="guarded slow lane")] if has_relay() else []),
    Lane(STATELESS, STATELESS, "TCP", middle="forwarder"),
    Lane(STATELESS, STATELESS, "HTTP", middle="forwarder"),
    Lane(STATELESS, STATELESS, "HTTP", middle="nginx"),
]


# -- the middle under callgrind -----------------------------------------------------------------------------------


def daemon_command(tree: Path, lane: Lane, backend_port: int, folder: Path) -> list[str | Path]:
    where = f"127.0.0.1:{backend_port}"
    config = folder / "bench.toml"
    table = f'tcp = "{where}"' if lane.transport == "TCP" else f'url = "http://{where}/mcp"'
    config.write_text(f"{GUARDED if lane.guarded else LIMITS}\n[backends.bench]\n{table}\n")
    flags = ["--no-relay"] if lane.middle.endswith("slow lane") else []
    admin = "127.0.0.1:0" if lane.guarded else ""
    listens = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--unix", "", "--admin", admin]
    return [sys.executable, "-m", "tidegate", "serve", "--config", config, *listens, *flags]


class Counted:
    """What stands in the middle of a lane, under callgrind; a daemon is that of `tree`."""

    def __init__(self, tree: Path, lane: Lane, server: Server) -> None:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="callgrind-", dir=WORK))
        self.port = free_port()
        command: list[str | Path]
        if lane.middle == "nginx":
            command = ["nginx", *nginx_flags(folder, self.port, server.port, "master_process off;")]
        elif lane.middle == "forwarder":
            command = [sys.executable, HERE / "forwarder.py", str(self.port), str(server.port)]
        else:
            command = daemon_command(tree, lane, server.port, folder)
        files = [f"--callgrind-out-file={folder}/profile", f"--log-file={folder}/valgrind.log"]
        with (WORK / "stderr.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our words
                ["valgrind", "--tool=callgrind", *files, *command],  # noqa: S607 - whichever is found
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,  # `-m` imports from there first
                env={**os.environ, "PYTHONPATH": str(tree / "python"), "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1"},
            )
        try:
            if lane.middle == "nginx":
                wait_port(self.port)
                return
            said = self._first_line()
            if lane.middle != "forwarder":
                self.port = int(re.findall(r":(\d+)", str(json.loads(said)[lane.transport.lower()][0]))[-1])
        except BaseException:
            self.end()
            raise

    def _first_line(self) -> bytes:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE_S)[0]:
            raise TimeoutError("the process under callgrind said nothing")
        return self._process.stdout.readline()

    def count(self) -> int:
        """Instructions since the last count; sets the counters to zero."""
        command = ["callgrind_control", "--dump", str(self._process.pid)]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)  # noqa: S603 - our words
        return int(re.findall(r"(?m)^totals: (\d+)", self._last_dump().read_text())[-1])

    def keep(self, folder: Path, name: str) -> None:
        """The profile of the last round, for `callgrind_annotate`."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._last_dump(), folder / (re.sub(r"\W+", "_", name) + ".callgrind"))

    def _last_dump(self) -> Path:
        return max(self._folder.glob("profile.*"), key=lambda path: int(path.suffix[1:]))

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder)


def measure(tree: Path, lane: Lane, warm: int, calls: int, rounds: int, profile: Path | None) -> list[float]:
    """Instructions per call, one number a round."""
    server = Server(lane.server, lane.transport)
    try:
        daemon = Counted(tree, lane, server)
        try:
            client = Client(lane, daemon.port)
            client.calls(warm)
            daemon.count()
            found = []
            for _ in range(rounds):
                client.calls(calls)
                found.append(daemon.count() / calls)
            if profile is not None:
                daemon.keep(profile, lane.name)
            client.close()
            return found
        finally:
            daemon.end()
    finally:
        server.close()


# -- trees --------------------------------------------------------------------------------------------------------


def built(commit: str) -> Path:
    """The tree of a commit with its own native module, apart from the working tree."""
    tree = WORK / "trees" / commit
    module = tree / "python/tidegate/_native.abi3.so"
    if not module.exists():
        target, packed = WORK / "target", WORK / f"{commit}.tar"
        run("git", "archive", "-o", packed, commit, "Cargo.toml", "Cargo.lock", "python", "rust", cwd=HERE.parent)
        with tarfile.open(packed) as files:
            files.extractall(tree, filter="data")
        packed.unlink()
        cargo = ("cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", "rust/pybind/Cargo.toml")
        run(
            *cargo,
            cwd=tree,
            timeout_s=None,
            environment={"CARGO_TARGET_DIR": str(target), "PYO3_PYTHON": sys.executable},
        )
        shutil.copy(target / "release/lib_native.so", module)
    return tree


# -- the report ---------------------------------------------------------------------------------------------------


def table(found: dict[str, Any], before: dict[str, Any] | None) -> str:
    """Mean of the rounds of all runs, and how far the least and the most lie apart."""
    heads = ["instructions a call", "spread"]
    if before is not None:
        heads = ["after ÷ before", f"before ({before['commit']})", "spread", f"after ({found['commit']})", "spread"]
    lines = [f"| lane | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for bridged in (False, True):
        for name, cell in found["lanes"].items():
            if cell["bridged"] != bridged:
                continue
            fields = _fields(cell)
            if before is not None:
                old = before["lanes"].get(name)
                fields = (
                    [f"{cell['per_call'] / old['per_call']:.4f}", *_fields(old), *fields]
                    if old
                    else ["", "", "", *fields]
                )
            lines.append(f"| {name}{' (bridged)' if bridged else ''} | {' | '.join(fields)} |")
    return "\n".join(lines)


def _fields(cell: dict[str, Any]) -> list[str]:
    rounds = cell["rounds"]
    return [f"{cell['per_call']:,.0f}", f"{(max(rounds) - min(rounds)) / cell['per_call']:.3%}"]


def page(found: dict[str, Any], before: dict[str, Any] | None) -> str:
    machine = found["machine"]
    return f"""# Eras, in instructions

`python benches/instructions.py`, {machine["date"]}, {machine["cpu"]}, Linux {machine["kernel"]}, CPython
{machine["python"]}, uvloop {machine["uvloop"]}, {machine["valgrind"]}.

Instructions in user space that the daemon alone executes for one `tools/call`, one call at a time, by callgrind. Mean
of {found["runs"]} daemons, each {found["rounds"]} rounds of {found["calls"]} calls; spread: from the least round to the
most of all, the garbage collector's doing. Both sides of a lane use the same transport. `asks`: the client declares
sampling, elicitation and roots. Bridged lanes are for information.

{table(found, before)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--commit", help="measure this commit, archived and built under `.work/trees`")
    where.add_argument("--tree", type=Path, help="measure this tree, built already")
    parser.add_argument("--name", help="what the tree is called in the report")
    parser.add_argument("--lanes", default="", metavar="WORD", help="only lanes whose name contains this")
    parser.add_argument("--warm", type=int, default=200, help="calls before the first round (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=1000, help="calls a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds a run (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=2, help="daemons a lane (default: %(default)s)")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="keep the profile of each lane's last round")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="a file that --save wrote, shown beside this run")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the numbers as JSON")
    parser.add_argument("--record", action="store_true", help="write `record/DATE-eras.md` and `.json`")
    args = parser.parse_args()
    need("valgrind", "callgrind_control")
    WORK.mkdir(exist_ok=True)
    # So that the daemon is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    tree: Path = built(args.commit) if args.commit else (args.tree or HERE.parent).resolve()
    before = json.loads(args.compare.read_text()) if args.compare else None
    found: dict[str, Any] = {
        "machine": surroundings(),
        "commit": args.name or args.commit or described(tree),
        "calls": args.calls,
        "rounds": args.rounds,
        "runs": args.runs,
        "lanes": {},
    }
    for lane in LANES:
        if args.lanes not in lane.name:
            continue
        rounds: list[float] = []
        for _ in range(args.runs):
            rounds += measure(tree, lane, args.warm, args.calls, args.rounds, args.profile)
        found["lanes"][lane.name] = {"per_call": statistics.fmean(rounds), "bridged": lane.bridged, "rounds": rounds}
        print(f"{lane.name}: {statistics.fmean(rounds):,.0f}", file=sys.stderr, flush=True)
    print(table(found, before))
    if args.save:
        args.save.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if args.record:
        target = HERE / "record" / f"{found['machine']['date'][:10]}-eras"
        target.with_suffix(".md").write_text(page(found, before))
        both = {"after": found, "before": before} if before is not None else {"after": found}
        target.with_suffix(".json").write_text(json.dumps(both, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
