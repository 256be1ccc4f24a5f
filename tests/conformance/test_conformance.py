"""The official conformance suite through a running gateway: stdio and HTTP upstreams, both frozen requirement sets.

A pass needs every required scenario, no warning, no scenario that checked nothing, and at least the checks that
succeed without a gateway (`direct.json`): silence is not a pass. Then the values: the same requests with and without
the gateway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

import anyio
import pytest
from everything import STDIO, everything_http
from fronts import FRONTS, Front
from gateway_process import Gateway, backend, gateway
from raw_client import Era
from same_answers import ERAS, compare
from silence import silent
from suite import run_client, run_server

HERE = Path(__file__).resolve().parent
REQUIRED = {"2025-11-25": 30, "2026-07-28": 37}
"""How many server scenarios each frozen set has."""
CLIENT_REQUIRED = {"2025-11-25": 4, "2026-07-28": 7}
"""How many client scenarios each set has outside `auth/*`."""
_NOTHING_TO_CALL = "the fixture offers no capability, so that no request of the client is passed on to it"
OTHERWISE = {
    ("server-sse-multiple-streams", "server-sse-streams-functional"): "SSE is optional there",
    ("request-metadata", "sep-2575-client-declares-roots-capability"): _NOTHING_TO_CALL,
    ("request-metadata", "sep-2575-client-declares-sampling-capability"): _NOTHING_TO_CALL,
    ("request-metadata", "sep-2575-client-declares-elicitation-capability"): _NOTHING_TO_CALL,
}
"""Checks that need not happen through the gateway, and why."""
OPTIONAL_FAILURES = ("tasks-",)
"""Scenarios the suite runs unscored and the everything-server itself does not answer: it has no tasks extension."""


NO_RELAY = os.environ.get("TIDEGATE_TEST_RELAY") == "off"
"""All of it with a gateway that decides every call anew; else stdio is tried both ways."""


@pytest.fixture(scope="module", params=["stdio", "http"] if NO_RELAY else ["stdio", "http", "stdio, no relay"])
def upstream(request: pytest.FixtureRequest) -> Iterator[tuple[str, Gateway, str]]:
    """The kind of upstream, a daemon in front of it, and the URL of an everything-server that is asked directly."""
    kind, _, switch = request.param.partition(", ")
    arguments = ["--no-relay"] if switch or NO_RELAY else []
    with everything_http() as url:
        config = backend("everything", command=STDIO) if kind == "stdio" else backend("everything", url=url)
        with gateway(config, *arguments) as daemon:
            yield kind, daemon, url


@pytest.mark.parametrize("requirements", list(REQUIRED))
def test_every_required_server_scenario_passes_through_the_gateway(
    upstream: tuple[str, Gateway, str], requirements: str
) -> None:
    _, daemon, _ = upstream
    outcome = run_server(daemon.http, requirements)
    assert outcome.all_passed, outcome.summary()
    assert outcome.passed == REQUIRED[requirements]
    assert "dns-rebinding-protection" in [scenario.name for scenario in outcome.scenarios]
    assert silent(outcome, OTHERWISE) == {}
    unscored = [each for each in outcome.not_scored if not each.name.startswith(OPTIONAL_FAILURES)]
    assert [each.name for each in unscored if each.verdict != "passed"] == []


@pytest.mark.parametrize("era", ERAS)
def test_every_answer_has_the_value_of_a_direct_one(upstream: tuple[str, Gateway, str], era: Era) -> None:
    kind, daemon, url = upstream
    count, found = anyio.run(_compared, url, daemon.http, era, kind == "http")
    assert not found, "\n".join(map(str, found))
    assert count > 50


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("requirements", list(CLIENT_REQUIRED))
def test_the_gateway_is_a_conforming_client(requirements: str, front: Front) -> None:
    command = f"{sys.executable} {HERE / 'gateway_client.py'} --front {front}"
    outcome = run_client(command, requirements)
    assert outcome.all_passed, outcome.summary()
    assert outcome.passed == CLIENT_REQUIRED[requirements]
    assert silent(outcome, OTHERWISE) == {}


async def _compared(url: str, through: str, era: Era, letter: bool) -> tuple[int, list[Any]]:
    return await compare(url, through, era, letter=letter)
