"""What operators see of the relay, and that they see all that it did."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gateway import House
from scripted_server import Received, ScriptedServer, tool
from watched import ROADS, ask, keep_busy, page, watched

from tidegate.admin import flows as flow_page
from tidegate.config.bearer_token import token_sha256
from tidegate.config.snapshot import Client as TokenOwner

pytestmark = pytest.mark.anyio

OF_THIS_MOMENT = re.compile(
    r"# .*|process_.*|tidegate_(relay_|uptime_seconds|child_).*|tidegate_request_duration_seconds_(sum|bucket).*"
)
"""What no two runs have alike, and what is about the relay itself."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def flows(home: House) -> Any:
    return json.loads(await page(home, "/flows"))


async def flows_when(home: House, true: Callable[[Any], bool]) -> Any:
    """Once that is so."""
    for _ in range(1000):
        found = await flows(home)
        if true(found):
            return found
    raise AssertionError(found)


async def counts_of_a_busy_gateway(era: str, *, relay: bool) -> tuple[list[str], Any]:
    async with watched(ScriptedServer(era), relay=relay) as home:
        for client_era, way in ROADS:
            await keep_busy(home, await home.client(way, client_era))
        lines = (await page(home, "/metrics")).splitlines()
        return [line for line in lines if not OF_THIS_MOMENT.fullmatch(line)], await flows(home)


@pytest.mark.parametrize("era", ["modern", "session"])
async def test_metrics_are_the_same_with_the_relay_and_without(era: str) -> None:
    counted, relayed = await counts_of_a_busy_gateway(era, relay=True)
    expected, decided = await counts_of_a_busy_gateway(era, relay=False)
    assert counted == expected
    assert relayed["calls"]["relayed"] > 10
    assert decided["calls"]["relayed"] == 0
    assert relayed["calls"]["of"] == decided["calls"]["of"]
    assert decided["on"] is False


async def test_the_relay_has_metrics_of_its_own() -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        for _ in range(4):
            await ask(home, client, "tools/call", {"name": "echo"}, {"content": []})
        found = await page(home, "/metrics")
        relay = dict(line.rsplit(" ", 1) for line in found.splitlines() if line.startswith("tidegate_relay_"))
        relayed = (await flows(home))["calls"]["relayed"]
        assert relayed >= 2
        assert relay["tidegate_relay_calls_total"] == str(relayed)
        assert relay["tidegate_relay_flows"] == relay["tidegate_relay_flows_installed_total"] == "1"
        assert relay["tidegate_relay_voided_total"] == "0"
        assert relay['tidegate_relay_handed_over_total{reason="server"}'] == "0"


async def test_a_row_says_whose_flow_it_is_where_it_goes_and_what_it_did_and_tells_no_secret() -> None:
    owner = TokenOwner(name="laptop", token_sha256=token_sha256("a-token-nobody-knows"))
    async with watched(ScriptedServer("session"), owners=[owner]) as home:
        client = await home.http_client("session", token="a-token-nobody-knows")
        for fails in (False, False, False, True):
            result = {"content": [], **({"isError": True} if fails else {})}
            await ask(home, client, "tools/call", {"name": "echo"}, result)
        text = await page(home, "/flows")
        (row,) = json.loads(text)["rows"]
        assert row["calls"] >= 2
        assert row["tool_errors"] == 1
        assert row["mean_s"] > 0
        assert row["p99_s"] > 0
        assert row["used_ago_s"] <= row["age_s"]
        said = {key: row[key] for key in ("transport", "era", "client", "principal", "method", "name", "backend")}
        assert said == {
            "transport": "http",
            "era": "session",
            "client": "raw",
            "principal": "laptop",
            "method": "tools/call",
            "name": "echo",
            "backend": "one",
        }
        assert client.session
        assert client.session not in text
        assert "a-token-nobody-knows" not in text


async def test_totals_of_a_flow_stay_when_they_were_counted() -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        seen = []
        for _ in range(4):
            await ask(home, client, "tools/call", {"name": "echo"}, {"content": []})
            seen.append(sum(row["calls"] for row in (await flows(home))["rows"]))
        assert seen[-1] == seen[-2] + 1 == seen[-3] + 2


async def test_a_closed_client_has_no_flows() -> None:
    async with watched(ScriptedServer("modern")) as home:
        for way in ("tcp", "unix"):
            client = await home.client(way, "modern")
            for _ in range(3):
                await ask(home, client, "tools/call", {"name": "echo"}, {"content": []})
        assert [row["transport"] for row in (await flows(home))["rows"]] == ["unix", "tcp"]
        client.close()
        found = await flows_when(home, lambda found: found["flows"] == 1)
        assert [row["transport"] for row in found["rows"]] == ["tcp"]


async def test_the_page_says_why_all_flows_were_forgotten() -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        for _ in range(3):
            await ask(home, client, "tools/call", {"name": "echo"}, {"content": []})
        found = await flows(home)
        assert (found["flows"], found["voided"]) == (1, None)
        home.server.offers["tools"].append(tool("further"))
        home.server.announce("notifications/tools/list_changed")
        found = await flows_when(home, lambda found: found["flows"] == 0)
        assert found["voided"]["why"] == "lists"
        assert found["voided"]["backend"] == "one"
        assert found["voided"]["ago_s"] >= 0
        assert found["voided_total"] == 1


async def test_a_call_that_the_relay_gives_up_is_counted_by_why() -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        for answer in ({"content": []}, {"content": []}, "no"):
            await ask(home, client, "tools/call", {"name": "echo"}, answer)
        found = await flows(home)
        assert found["handed_over"] == {"client": 0, "server": 1, "session": 0, "slow": 0, "all": 0}
        assert found["in_flight"] == 0


async def test_rows_are_bounded_and_those_that_were_used_last_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_page, "MAX_ROWS", 2)
    async with watched(ScriptedServer("modern", tools=tuple(tool(f"tool{n}") for n in range(4)))) as home:
        client = await home.client("tcp", "modern")
        for name in ("tool0", "tool1", "tool2", "tool3", "tool1"):
            for _ in range(3):
                await ask(home, client, "tools/call", {"name": name}, {"content": []})
        found = await flows(home)
        assert found["flows"] == 4
        assert [row["name"] for row in found["rows"]] == ["tool1", "tool3"]


class Prompt(ScriptedServer):
    """Answers calls by itself."""

    def serve(self, received: Received) -> None:
        if received.method == "tools/call":
            received.reply(self.complete({"content": []}))
        else:
            super().serve(received)


async def test_each_replica_has_a_row_with_its_number() -> None:
    other = Prompt("modern", "two")
    async with watched(Prompt("modern")) as home:
        snapshot = home.daemon.snapshot
        (first,) = snapshot.backends
        second = await other.listen("tcp", home.folder)
        both = replace(first, replicas=2, endpoints=(first.address, second.address), balance="round_robin")
        await home.daemon.take_up(replace(snapshot, backends=(both,)))
        client = await home.client("tcp", "modern")
        found: Any = {"rows": []}
        for _ in range(200):
            await client.call("tools/call", {"name": "echo"})
            found = await flows(home)
            if len(found["rows"]) == 2 and all(row["calls"] for row in found["rows"]):
                break
        other.close()
        assert sorted(row["replica"] for row in found["rows"]) == [1, 2]
        assert found["flows"] == 2


async def test_a_uri_is_shown_without_its_password() -> None:
    async with watched(ScriptedServer("modern")) as home:
        client = await home.client("tcp", "modern")
        uri = "https://joe:hunter22@example.org/a"
        for _ in range(3):
            await ask(home, client, "resources/read", {"uri": uri}, {"contents": []})
        (row,) = (await flows(home))["rows"]
        assert row["name"] == "https://joe:…@example.org/a"
