"""The two conversations that no era can have alone: who takes part, what they are to say, and how they are run.

Client and server are the programs of this folder, as processes. Between them is the real daemon with a configuration
file; it finds out by itself what either end speaks.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "ecosystem"))

import owner  # noqa: E402
from conversation import Beat, Event, Kind, Step, matched, read, strangers  # noqa: E402
from conversation import ShownStep as ShownStep  # noqa: E402
from gateway_process import GatewayFailed, backend, gateway  # noqa: E402 - found by the line above
from transcript import FILE, Side, Way  # noqa: E402

PATIENCE_S = 30.0
EXPECTED = f"greenhouse: {owner.SENTENCE}"
"""What the tool says in the end: it has both answers in it, the second question was made from the first."""


@dataclass(frozen=True)
class End:
    """A program and what it speaks."""

    program: str
    revision: str
    transport: str


@dataclass(frozen=True)
class Scenario:
    title: str
    client: End
    server: End
    path: str
    """Where the client goes on the gateway."""
    acquaintance: str
    """Caption of what gateway and server say to each other before the call."""
    script: tuple[Step, ...]


@dataclass(frozen=True)
class Conversation:
    """What happened."""

    scenario: Scenario
    config: str
    events: tuple[Event, ...]
    steps: tuple[ShownStep, ...]
    got: str
    """What the client printed."""
    wrong: tuple[str, ...]
    """Expectations that were not met."""

    @property
    def answers(self) -> list[str]:
        """What the server was told, shortest form."""
        found = []
        for event in self.events:
            if event.side == "server" and event.kind is Kind.ANSWER:
                answers = [
                    event.message.get("result", {}),
                    *event.message.get("params", {}).get("inputResponses", {}).values(),
                ]
                found += [answer["roots"][0]["uri"] for answer in answers if "roots" in answer]
                found += [answer["content"]["text"] for answer in answers if "content" in answer]
        return found


def _both(first: Side, kind: Kind, about: str) -> tuple[Beat, Beat]:
    """A message that the one end says and the other hears."""
    other: Side = "server" if first == "client" else "client"
    ways: tuple[Way, Way] = ("says", "hears")
    return (first, ways[0], kind, about), (other, ways[1], kind, about)


ROOTS, SAMPLING, CALL = "roots/list", "sampling/createMessage", "tools/call"

OLD_CLIENT = Scenario(
    title="A client of 2024 and a server of 2026",
    client=End("client_2024.py", "2024-11-05", "HTTP+SSE"),
    server=End("server_2026.py", "2026-07-28", "HTTP"),
    path="/sse",
    acquaintance="tidegate meets the server: it knows no sessions, so tidegate speaks 2026-07-28 to it.",
    script=(
        Step(
            "The client opens a session, as it always did.",
            (("client", "says", Kind.REQUEST, "initialize"),),
        ),
        Step(
            "tidegate answers in the server's place: to the client, this is a server of 2024.",
            (
                ("client", "hears", Kind.RESULT, "initialize"),
                ("client", "says", Kind.NOTICE, "notifications/initialized"),
            ),
        ),
        Step(
            "The client calls a tool. The server gets the call with all that its revision wants to know.",
            _both("client", Kind.REQUEST, CALL),
        ),
        Step(
            "The server asks by ending the call with a question; the client is asked in its own way, by a request.",
            _both("server", Kind.QUESTION, ROOTS),
        ),
        Step(
            "The client answers; the server gets the call once more, with the answer and its own state.",
            _both("client", Kind.ANSWER, ROOTS),
        ),
        Step(
            "The server has a second question; for the client the same call is still running.",
            _both("server", Kind.QUESTION, SAMPLING),
        ),
        Step("The client lets its model answer.", _both("client", Kind.ANSWER, SAMPLING)),
        Step("The server is done: this is the answer to the client's call.", _both("server", Kind.RESULT, CALL)),
    ),
)

NEW_CLIENT = Scenario(
    title="A client of 2026 and a server of 2024",
    client=End("client_2026.py", "2026-07-28", "HTTP"),
    server=End("server_2024.py", "2024-11-05", "stdio"),
    path="/mcp",
    acquaintance="tidegate starts the server, finds that it wants a session, opens one as able as the client.",
    script=(
        Step("The client calls a tool, with no greeting before.", (("client", "says", Kind.REQUEST, CALL),)),
        Step("The server gets the call in its session.", (("server", "hears", Kind.REQUEST, CALL),)),
        Step(
            "The server asks in the middle of the call; the client is asked in its own way, by a result.",
            _both("server", Kind.QUESTION, ROOTS),
        ),
        Step(
            "The client calls again with the answer. The server, which was waiting all the time, just gets its answer.",
            _both("client", Kind.ANSWER, ROOTS),
        ),
        Step(
            "The server has a second question. The client gets it, and the sealed state of the waiting call.",
            _both("server", Kind.QUESTION, SAMPLING),
        ),
        Step("The client lets its model answer.", _both("client", Kind.ANSWER, SAMPLING)),
        Step(
            "The server is done: this is the answer to the client's last request.", _both("server", Kind.RESULT, CALL)
        ),
    ),
)

SCENARIOS = (OLD_CLIENT, NEW_CLIENT)


def play(scenario: Scenario) -> Conversation:
    """Starts everything, lets the client make its call, ends everything."""
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        notes = Path(folder) / "transcript"
        notes.touch()
        got, wrong = "", []
        with _server(scenario.server, notes) as (table, shown_table):
            try:
                with gateway(table) as running:
                    client = subprocess.run(
                        [sys.executable, str(HERE / scenario.client.program), _url(running.http, scenario.path)],
                        env={**os.environ, FILE: str(notes)},
                        stdin=subprocess.DEVNULL,
                        capture_output=True,
                        text=True,
                        timeout=PATIENCE_S,
                    )
                got = client.stdout.strip()
                if client.returncode != 0:
                    last = client.stderr.strip().splitlines()[-1:] or ["without a word"]
                    wrong.append(f"the client ended with {client.returncode}: {last[0]}")
            except (GatewayFailed, subprocess.TimeoutExpired) as failure:
                wrong.append(str(failure))
        events = read(notes)
    if got != EXPECTED:
        wrong.append(f"the client got `{got}` instead of `{EXPECTED}`")
    steps, unscripted = matched(events, scenario.script, scenario.acquaintance)
    wrong += unscripted
    wrong += strangers(events, "client", scenario.client.revision)
    wrong += strangers(events, "server", scenario.server.revision)
    return Conversation(scenario, shown_table, tuple(events), tuple(steps), got, tuple(wrong))


def _url(http: str, path: str) -> str:
    return http.removesuffix("/mcp") + path


@contextmanager
def _server(end: End, notes: Path) -> Iterator[tuple[str, str]]:
    """Its table in the configuration, and that table as it is shown. Only an HTTP server is started here."""
    script = str(HERE / end.program)
    environment = {FILE: str(notes)}
    if end.transport == "stdio":
        table = backend("greenhouse", command=[sys.executable, script], env=environment)
        yield table, backend("greenhouse", command=["python3", end.program])
        return
    process = subprocess.Popen(
        [sys.executable, script], env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], f"{end.program} does not start"
        table = backend("greenhouse", url=f"http://127.0.0.1:{int(process.stdout.readline())}/mcp")
        yield table, table
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stdout.close()
