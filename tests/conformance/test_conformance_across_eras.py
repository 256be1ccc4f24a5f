"""The official conformance suite of one era through a gateway whose server knows only the other one.

Every scenario has to pass but those the suite's own design rules out, which are listed with their reason; whoever
passes although it is listed fails the test too, so that the list stays true. A skipped scenario, an empty one and one
with a warning has not passed. Then the values: what comes through is what a server of the client's own era says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

import anyio
import pytest
from era_filter import Only
from everything import everything_http
from gateway_process import UNHURRIED, Gateway, backend, gateway
from raw_client import Era, raw_client
from same_answers import Difference, compare
from silence import silent
from single_era import single_era_http, single_era_stdio
from suite import Outcome, Scenario, run_server


@dataclass(frozen=True)
class Crossing:
    """A suite against servers of the other era."""

    era: Era
    """What the client speaks."""
    requirements: str
    required: int
    """Scenarios in the frozen set."""
    floor: int
    """How many have to pass whatever the tables below say."""


CROSSINGS: dict[Only, Crossing] = {
    "session": Crossing("stateless", "2026-07-28", 37, 27),
    "stateless": Crossing("session", "2025-11-25", 30, 26),
}


@dataclass(frozen=True)
class RuledOut:
    """Why a scenario cannot pass, and the checks of it that do not succeed; the others have to."""

    why: str
    checks: frozenset[str]


RULED_OUT: dict[Only, dict[str, RuledOut]] = {
    "session": {
        "server-stateless": RuledOut(
            "wants the server to refuse by -32021 what needs an undeclared capability; session revisions have no code "
            "for it, so that their servers refuse by another one",
            frozenset({"sep-2575-server-rejects-undeclared-capability", "sep-2575-missing-capability-http-400"}),
        ),
        "input-required-result-basic-elicitation": RuledOut(
            "wants the question under the key `user_name`; a session server's question is a request without a key",
            frozenset({"sep-2322-elicitation-incomplete", "sep-2322-elicitation-complete"}),
        ),
        "input-required-result-ignore-extra-params": RuledOut(
            "answers before it was asked; a session server cannot be told an answer it did not ask for",
            frozenset({"sep-2322-ignore-unexpected-params"}),
        ),
    },
    "stateless": {},
}
"""Server's era → scenario → why not."""

NOT_CHECKED: dict[Only, dict[tuple[str, str], str]] = {
    "session": {("server-sse-multiple-streams", "server-sse-streams-functional"): "SSE is optional there"},
    "stateless": {("server-sse-multiple-streams", "server-sse-streams-functional"): "SSE is optional there"},
}
"""Server's era → (scenario, check) that succeeds directly and need not happen → why."""

UNSCORED: dict[Only, dict[str, str]] = {
    "session": {},
    "stateless": {"server-sse-polling": "wants a stream that its server closes early; stateless servers have none"},
}
"""Server's era → scenario the suite runs without scoring it → why it does not pass. `tasks-*` apart: the server has
no tasks extension, so that they fail without a gateway too."""

_CACHING = "a session server says nothing of caching; whoever speaks for it may not call an answer public"
_ONCE = "a stateless call is made again with its answers, and reports its progress again; a session call just goes on"
OTHER_VALUES: dict[Only, dict[str, str]] = {
    "session": {
        r"(tools|prompts|resources|resources/templates)/list: last\.result\.cacheScope": _CACHING,
        r"tools/call test_streaming_elicitation: told \(length\)": _ONCE,
    },
    "stateless": {},
}
"""Server's era → pattern of a request and the place in its answer → why there is another value than a direct one."""


@dataclass(frozen=True)
class Across:
    """A daemon in front of a server of one era, and one of both eras that is asked directly."""

    only: Only
    crossing: Crossing
    daemon: Gateway
    direct: str


@pytest.fixture(scope="module", params=["session", "stateless"])
def only(request: pytest.FixtureRequest) -> Only:
    era: Only = request.param
    return era


@pytest.fixture(scope="module", params=["stdio", "http"])
def across(request: pytest.FixtureRequest, only: Only) -> Iterator[Across]:
    with ExitStack() as stack:
        direct = stack.enter_context(everything_http())
        if request.param == "stdio":
            config = backend("everything", command=single_era_stdio(only))
        else:
            config = backend("everything", url=stack.enter_context(single_era_http(only)))
        daemon = stack.enter_context(gateway(config + UNHURRIED))
        yield Across(only, CROSSINGS[only], daemon, direct)


def test_every_scenario_passes_that_the_other_era_can_serve(across: Across) -> None:
    anyio.run(_first_of_its_abilities, across)
    outcome = run_server(across.daemon.http, across.crossing.requirements)
    assert len(outcome.scenarios) == across.crossing.required
    assert sum(_clean(each) for each in outcome.scenarios) >= across.crossing.floor, outcome.summary()
    expected = {name: set(ruled.checks) for name, ruled in RULED_OUT[across.only].items()}
    assert _lacking(outcome, across.only) == expected, outcome.summary()
    unscored = [each for each in outcome.not_scored if not each.name.startswith("tasks-")]
    assert {each.name for each in unscored if not _clean(each)} == set(UNSCORED[across.only])


async def _first_of_its_abilities(across: Across) -> None:
    """One call of a client that can be asked for forms only, as one check makes it.

    Such clients get a server connection, over stdio a process, of their own; that check waits 0.6 s for an answer,
    in which no Python server starts.
    """
    if across.crossing.era == "stateless":
        async with raw_client(across.daemon.http, "stateless") as (client, _):
            client.capabilities = {"elicitation": {}}
            await client.request("tools/call", {"name": "test_simple_text", "arguments": {}})


def _clean(scenario: Scenario) -> bool:
    return scenario.verdict == "passed" and not scenario.complaints


def _lacking(outcome: Outcome, only: Only) -> dict[str, set[str]]:
    """What complained or did not happen, by scenario. One that is not there has at least its verdict."""
    lost = silent(outcome, NOT_CHECKED[only])
    lacking: dict[str, set[str]] = {}
    for scenario in outcome.scenarios:
        found = {each.id for each in scenario.complaints} | set(lost.get(scenario.name, []))
        if found or not _clean(scenario):
            lacking[scenario.name] = found or {scenario.verdict}
    return lacking


def test_every_answer_has_the_value_that_a_server_of_the_own_era_gives(across: Across) -> None:
    count, found = anyio.run(_compared, across)
    known = {pattern: re.compile(pattern) for pattern in OTHER_VALUES[across.only]}
    unknown = [each for each in found if not any(pattern.fullmatch(_place(each)) for pattern in known.values())]
    assert not unknown, "\n".join(map(str, unknown))
    places = [_place(each) for each in found]
    assert [name for name, pattern in known.items() if not any(map(pattern.fullmatch, places))] == []
    assert count > 50


async def _compared(across: Across) -> tuple[int, list[Difference]]:
    return await compare(across.direct, across.daemon.http, across.crossing.era, across=True)


def _place(difference: Difference) -> str:
    return f"{difference.request}: {difference.where}"
