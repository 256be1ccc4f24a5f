"""Tasks through a running gateway, with the reference everything-server, which has those of 2025-11-25."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from everything import reference_http
from gateway_process import Gateway, backend, gateway
from npm_servers import SERVERS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))

from raw_client import Number, RawClient, raw_client

EVERYTHING = next(server for server in SERVERS if server.name == "everything")
LIMIT_S = 40
"""The query takes about four seconds in the server."""


@pytest.fixture(scope="module", params=["stdio", "http"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if request.param == "stdio":
        command = EVERYTHING.command(tmp_path_factory.mktemp("everything"))
        with gateway(backend("everything", command=command)) as running:
            yield running
    else:
        with reference_http("streamableHttp") as url, gateway(backend("everything", url=url)) as running:
            yield running


async def _start(client: RawClient) -> str:
    """Starts a query as a task; its id."""
    wanted: dict[str, Any] = {"name": "simulate-research-query", "arguments": {"topic": "tides"}}
    answer = await client.request("tools/call", {**wanted, "task": {"ttl": 60_000}})
    task = answer.last["result"]["task"]
    assert task["status"] == "working"
    assert isinstance(task["ttl"], Number)
    return str(task["taskId"])


def test_a_call_as_a_task_is_followed_to_its_result(daemon: Gateway) -> None:
    async def follow() -> None:
        with anyio.fail_after(LIMIT_S):
            async with raw_client(daemon.http, "session") as (client, hello):
                assert hello.last["result"]["capabilities"]["tasks"]["requests"] == {"tools": {"call": {}}}
                task = await _start(client)
                assert (await client.request("tasks/get", {"taskId": task})).last["result"]["taskId"] == task
                listed = (await client.request("tasks/list", {})).last["result"]["tasks"]
                assert task in [each["taskId"] for each in listed]
                result = (await client.request("tasks/result", {"taskId": task})).last["result"]
                assert result["content"][0]["text"].startswith("# Research Report: tides")
                assert (await client.request("tasks/get", {"taskId": task})).last["result"]["status"] == "completed"

    anyio.run(follow)


def test_a_task_can_be_cancelled(daemon: Gateway) -> None:
    async def cancel() -> None:
        with anyio.fail_after(LIMIT_S):
            async with raw_client(daemon.http, "session") as (client, _):
                task = await _start(client)
                assert (await client.request("tasks/cancel", {"taskId": task})).last["result"]["status"] == "cancelled"
                assert (await client.request("tasks/get", {"taskId": task})).last["result"]["status"] == "cancelled"

    anyio.run(cancel)


# -- a client of 2026-07-28, which has tasks as an extension ----------------------------------------------------

EXTENSION = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
AMBIGUOUS = {"name": "simulate-research-query", "arguments": {"topic": "python", "ambiguous": True}}


async def _poll(client: RawClient, task: str, until: str) -> dict[str, Any]:
    """The task once it has this status."""
    while True:
        answer = await client.request("tasks/get", {"taskId": task}, {"mcp-name": task})
        state: dict[str, Any] = answer.last["result"]
        assert state["resultType"] == "complete"
        assert isinstance(state["pollIntervalMs"], Number)
        assert "pollInterval" not in state
        if state["status"] == until:
            return state
        await anyio.sleep(0.1)


def test_a_stateless_client_follows_a_task_and_answers_its_question(daemon: Gateway) -> None:
    async def follow() -> None:
        with anyio.fail_after(LIMIT_S):
            async with httpx.AsyncClient(timeout=LIMIT_S) as http:
                able = {"elicitation": {"form": {}}, **EXTENSION}
                client = RawClient(http, daemon.http, "stateless", able)
                discovered = (await client.request("server/discover", {})).last["result"]["capabilities"]
                assert "io.modelcontextprotocol/tasks" in discovered["extensions"]
                assert "tasks" not in discovered
                made = (await client.request("tools/call", AMBIGUOUS)).last["result"]
                assert made["resultType"] == "task"
                asked = (await _poll(client, made["taskId"], "input_required"))["inputRequests"]
                ((key, question),) = asked.items()
                assert question["method"] == "elicitation/create"
                answers = {key: {"action": "accept", "content": {"interpretation": "snake"}}}
                params = {"taskId": made["taskId"], "inputResponses": answers}
                acknowledged = await client.request("tasks/update", params, {"mcp-name": made["taskId"]})
                assert acknowledged.last["result"] == {"resultType": "complete"}
                ended = await _poll(client, made["taskId"], "completed")
                assert ended["result"]["content"][0]["text"].startswith("# Research Report: python (snake)")

    anyio.run(follow)


def test_a_client_without_tasks_calls_a_tool_that_runs_as_one(daemon: Gateway) -> None:
    async def call() -> None:
        with anyio.fail_after(LIMIT_S):
            async with httpx.AsyncClient(timeout=LIMIT_S) as http:
                stateless = RawClient(http, daemon.http, "stateless", {"elicitation": {"form": {}}})
                asked, answered = await stateless.call("tools/call", AMBIGUOUS)
                assert asked.last["result"]["resultType"] == "input_required"
                text = answered.last["result"]["content"][0]["text"]
                assert text.startswith("# Research Report: python (programming)")
            async with raw_client(daemon.http, "session") as (session, _):
                answer = await session.request("tools/call", AMBIGUOUS)
                heard = [frame["method"] for frame in answer.frames]
                assert "elicitation/create" in heard
                assert "notifications/tasks/status" not in heard
                text = answer.last["result"]["content"][0]["text"]
                assert text.startswith("# Research Report: python (programming)")

    anyio.run(call)
