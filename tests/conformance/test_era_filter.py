"""The single-era servers of the other tests are what they pretend to be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "ecosystem"))

from era_filter import VERSION_KEY, Only, refusal
from single_era import single_era_http, single_era_stdio

ENVELOPE = {
    VERSION_KEY: "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def _request(method: str, envelope: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    meta = {} if envelope is None else {"_meta": envelope}
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, **meta}}


DISCOVER = _request("server/discover", ENVELOPE)
INITIALIZE = _request("initialize", **HELLO)
BARE = _request("tools/list")
CARRIED = _request("tools/list", ENVELOPE)


@pytest.mark.parametrize(
    ("only", "message", "code"),
    [
        ("session", DISCOVER, -32601),
        ("session", _request("server/discover"), -32601),
        ("session", CARRIED, -32600),
        ("session", INITIALIZE, None),
        ("session", BARE, None),
        ("session", {"jsonrpc": "2.0", "id": 1, "result": {}}, None),
        ("stateless", INITIALIZE, -32022),
        ("stateless", BARE, -32602),
        ("stateless", _request("tools/list", {**ENVELOPE, VERSION_KEY: "2025-11-25"}), -32022),
        ("stateless", {"jsonrpc": "2.0", "id": 1, "result": {}}, -32600),
        ("stateless", {"jsonrpc": "2.0", "method": "notifications/initialized"}, -32600),
        ("stateless", {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}, None),
        ("stateless", DISCOVER, None),
        ("stateless", CARRIED, None),
    ],
)
def test_what_the_other_era_says_is_refused(only: Only, message: dict[str, Any], code: int | None) -> None:
    found = refusal(only, message)
    assert (None if found is None else found.code) == code


@pytest.mark.parametrize(
    ("only", "codes", "supported"),
    [("session", [-32601, -32600, None, None], None), ("stateless", [None, None, -32022, -32602], ["2026-07-28"])],
)
def test_a_stdio_server_serves_one_era(only: Only, codes: list[int | None], supported: list[str] | None) -> None:
    answers = _spoken(only, [DISCOVER, CARRIED, INITIALIZE, BARE])
    assert [answer.get("error", {}).get("code") for answer in answers] == codes
    assert answers[2].get("error", {}).get("data", {}).get("supported") == supported
    kept = [answer["result"] for answer in answers if "result" in answer]
    assert all(("resultType" in result) == (only == "stateless") for result in kept)


def _spoken(only: Only, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each message after the answer to the one before; at the end stdin is closed and the server has to follow."""
    answers = []
    with subprocess.Popen(single_era_stdio(only), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in messages:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.wait(10) == 0
    return answers


def test_a_session_http_server_serves_no_envelope() -> None:
    with single_era_http("session") as url, httpx.Client(headers=ACCEPT, trust_env=False) as http:
        stateless = {"mcp-protocol-version": "2026-07-28"}
        probed = http.post(url, json=DISCOVER, headers={**stateless, "mcp-method": "server/discover"})
        assert (probed.status_code, probed.json()["error"]["code"]) == (400, -32000)
        unmarked = http.post(url, json=DISCOVER)
        assert (unmarked.status_code, unmarked.json()["error"]["code"]) == (400, -32601)
        greeted = http.post(url, json=INITIALIZE)
        assert greeted.status_code == 200
        session = {"mcp-session-id": greeted.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
        assert http.post(url, json=CARRIED, headers=session).status_code == 400
        assert http.post(url, json=BARE, headers=session).status_code == 200


def test_a_stateless_http_server_keeps_no_session() -> None:
    with single_era_http("stateless") as url, httpx.Client(headers=ACCEPT, trust_env=False) as http:
        for greeting in (http.post(url, json=INITIALIZE), http.get(url), http.delete(url)):
            assert 400 <= greeting.status_code < 500
        greeted = http.post(url, json=INITIALIZE)
        assert greeted.json()["error"]["data"]["supported"] == ["2026-07-28"]
        listed = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
        served = http.post(url, json=CARRIED, headers={**listed, "mcp-session-id": "of-another-era"})
        assert served.status_code == 200
        assert "mcp-session-id" not in served.headers
        assert http.post(url, json=BARE, headers=listed).json()["error"]["code"] == -32602
        assert http.post(url, json=BARE, headers={"mcp-protocol-version": "2025-11-25"}).status_code == 400
