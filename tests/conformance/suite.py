"""Runs the official conformance suite and reads what it found, scenario by scenario.

    python tests/conformance/suite.py server --url URL --requirements 2026-07-28 [--singly] [--json]
    python tests/conformance/suite.py client --command CMD --requirements 2025-11-25 [--only NAME]… [--json]

Its exit codes and its summary are not read: they hide scenarios that checked nothing. The checks it writes to files
are. Every run is a process group with a deadline, which is ended as a whole.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

from node_runtime import LOOPBACK_ONLY, node, package_file

WHOLE_RUN_S = 240.0
"""A whole server run takes 2 to 30 s."""
SCENARIO_S = 60.0
"""One scenario run on its own; the suite's own limit for a client is half of it."""
WIRE_CHECK = "wire-schema-valid"
"""The check the suite adds to whatever it saw. Alone it says nothing about the scenario."""

Verdict = Literal["passed", "failed", "skipped", "empty", "missing"]


@dataclass(frozen=True)
class Check:
    """One thing the suite looked at. `status` is SUCCESS, FAILURE, WARNING, INFO or SKIPPED."""

    id: str
    status: str
    message: str


@dataclass(frozen=True)
class Scenario:
    """What came of one scenario. `missing`: no result was left; `empty`: only the wire schema was checked."""

    name: str
    verdict: Verdict
    checks: list[Check] = field(default_factory=list)

    @property
    def complaints(self) -> list[Check]:
        """Everything that is not as it should be, warnings included."""
        return [check for check in self.checks if check.status in ("FAILURE", "WARNING")]

    @property
    def succeeded(self) -> list[str]:
        """The ids of the checks that succeeded, in order, repeated as often as they did."""
        return [check.id for check in self.checks if check.status == "SUCCESS"]


@dataclass(frozen=True)
class Outcome:
    """All scenarios of one run that count, in the order of the requirement set, and those that do not."""

    requirements: str
    leg: str
    scenarios: list[Scenario]
    not_scored: list[Scenario] = field(default_factory=list)

    def count(self, verdict: Verdict) -> int:
        return sum(scenario.verdict == verdict for scenario in self.scenarios)

    @property
    def passed(self) -> int:
        return self.count("passed")

    @property
    def all_passed(self) -> bool:
        """Every required scenario passed, none was empty or skipped, and nothing was warned of."""
        return self.passed == len(self.scenarios) and not any(each.complaints for each in self.scenarios)

    def summary(self) -> str:
        """One line for each scenario with a problem, then the counts."""
        lines = []
        for scenario in self.scenarios:
            if scenario.verdict != "passed" or scenario.complaints:
                lines.append(f"{scenario.verdict:8} {scenario.name}")
                lines += [f"           {check.status} {check.id}: {check.message}" for check in scenario.complaints]
        counts = Counter(scenario.verdict for scenario in self.scenarios)
        rest = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()) if verdict != "passed")
        warnings = sum(check.status == "WARNING" for each in self.scenarios for check in each.checks)
        lines.append(
            f"{self.leg} {self.requirements}: {self.passed}/{len(self.scenarios)} passed"
            + (f", {rest}" if rest else "")
            + (f", {warnings} warnings" if warnings else "")
        )
        return "\n".join(lines)


class SuiteFailed(RuntimeError):
    """The suite itself did not do what was asked."""


def required(leg: Literal["server", "client"], requirements: str) -> list[str]:
    """The scenarios of a frozen requirement set, in its order.

    Raises: SuiteFailed
    """
    listing = _run(["list", "--requirements", requirements], SCENARIO_S).stdout
    names: list[str] = []
    inside = False
    for line in listing.splitlines():
        if not line.startswith(" "):
            inside = line.lower().startswith(f"{leg} scenarios")
        elif inside and (match := re.fullmatch(r"\s+- (\S+)", line)):
            names.append(match[1])
    if not names:
        raise SuiteFailed(f"no {leg} scenarios for {requirements} in: {listing[:500]}")
    return names


def run_server(url: str, requirements: str, *, singly: bool = False, only: Sequence[str] = ()) -> Outcome:
    """The server scenarios of a requirement set against a running endpoint."""
    names = [name for name in required("server", requirements) if not only or name in only]
    if not singly and not only:
        with tempfile.TemporaryDirectory(prefix="tidegate-suite-") as folder:
            _run(["server", "--url", url, "--requirements", requirements, "-o", folder], WHOLE_RUN_S)
            found = dict(_read(Path(folder)))
        scored = [found.get(name, Scenario(name, "missing")) for name in names]
        return Outcome(requirements, "server", scored, [each for each in found.values() if each.name not in names])
    at = ["--spec-version", requirements, "--force"]
    return Outcome(
        requirements,
        "server",
        [_run_one(name, ["server", "--url", url, "--scenario", name, *at], SCENARIO_S) for name in names],
    )


def run_client(command: str, requirements: str, *, only: Sequence[str] = (), auth: bool = False) -> Outcome:
    """The client scenarios of a requirement set, one after the other; `command` gets the fixture's URL as its last
    argument.

    `auth/*` is left out unless asked for. The suite splits the command at blanks, so its words may not contain any.
    """
    names = [name for name in required("client", requirements) if auth or not name.startswith("auth/")]
    names = [name for name in names if not only or name in only]
    limit_ms = str(int(SCENARIO_S / 2 * 1000))
    at = ["--spec-version", requirements, "--force", "--timeout", limit_ms]
    return Outcome(
        requirements,
        "client",
        [_run_one(name, ["client", "--command", command, "--scenario", name, *at], SCENARIO_S) for name in names],
    )


def _run_one(name: str, arguments: list[str], limit_s: float) -> Scenario:
    with tempfile.TemporaryDirectory(prefix="tidegate-suite-") as folder:
        finished = _run([*arguments, "-o", folder], limit_s)
        scenario = dict(_read(Path(folder))).get(name)
    if scenario is not None:
        return scenario
    return Scenario(name, "missing", [Check("no-result", "FAILURE", finished.stderr[-2000:])])


def _run(arguments: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
    """One run of the suite's command line in its own process group, of which nothing is left afterwards."""
    suite = package_file("@modelcontextprotocol/conformance", "dist/index.js")
    command = [node(), "--require", LOOPBACK_ONLY, suite, *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NODE_")}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as err,
    ):
        # Files, not pipes: a grandchild that survives would keep a pipe open and the reader waiting.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        finally:
            _end_group(process)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, code, out.read(), err.read())


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends whatever is left of the run's process group and reaps its leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_FOLDER = re.compile(r"(?:server-)?(?P<name>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


def _read(folder: Path) -> Iterator[tuple[str, Scenario]]:
    """Every scenario that left a `checks.json` below the folder (a name with a slash makes a sub-folder)."""
    for path in sorted(folder.rglob("checks.json")):
        name = str(path.parent.relative_to(folder))
        if match := _FOLDER.fullmatch(name):
            # A server run prefixes every folder with `server-`, also a scenario that begins with that word itself.
            name = match["name"]
        checks = [
            Check(str(raw["id"]), str(raw["status"]), str(raw.get("errorMessage") or raw.get("description") or ""))
            for raw in json.loads(path.read_text(encoding="utf-8"))
        ]
        yield name, Scenario(name, judge(checks), checks)


def judge(checks: Iterable[Check]) -> Verdict:
    """The verdict on a scenario: one failure fails it, and a pass needs a success that is not the wire check alone."""
    statuses = Counter(check.status for check in checks if check.id != WIRE_CHECK or check.status == "FAILURE")
    if statuses["FAILURE"]:
        return "failed"
    if statuses["SUCCESS"]:
        return "passed"
    return "skipped" if statuses["SKIPPED"] else "empty"


def main() -> int:
    parser = argparse.ArgumentParser(description="The official conformance suite, read check by check.")
    legs = parser.add_subparsers(dest="leg", required=True)
    server = legs.add_parser("server", help="scenarios against a running endpoint")
    server.add_argument("--url", required=True)
    server.add_argument("--singly", action="store_true", help="one process a scenario, for one that hangs")
    client = legs.add_parser("client", help="scenarios against a client command, one at a time")
    client.add_argument("--command", required=True)
    client.add_argument("--auth", action="store_true", help="with the auth/* scenarios")
    for leg in (server, client):
        leg.add_argument("--requirements", required=True, choices=["2025-11-25", "2026-07-28"])
        leg.add_argument("--only", action="append", default=[], metavar="SCENARIO")
        leg.add_argument("--json", action="store_true", help="everything as JSON on stdout")
    options = parser.parse_args()
    if options.leg == "server":
        outcome = run_server(options.url, options.requirements, singly=options.singly, only=options.only)
    else:
        outcome = run_client(options.command, options.requirements, only=options.only, auth=options.auth)
    print(json.dumps(asdict(outcome), indent=1) if options.json else outcome.summary())
    return 0 if outcome.all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
