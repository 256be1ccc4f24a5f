"""Who may use the endpoint, from where, and how often: as for `/mcp`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from daemon_process import wait_until
from openai_house import MODELS, House, house

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}


def client(name: str, more: str = "") -> str:
    return f'[clients.{name}]\ntoken_sha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n{more}\n'


CLIENTS = client("all") + client("embedding", 'tools = ["embed"]') + client("slow", "rate_per_s = 0.001\nburst = 2")


@pytest.fixture(scope="module")
def closed_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everybody needs a token, which is the client's name."""
    with house(tmp_path_factory.mktemp("closed"), MODELS + CLIENTS) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/models", "/v1/models/secret", "/v1/anything"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nobody"}, {"authorization": "Basic all"}])
def test_without_a_token_nothing_is_told(closed_house: House, path: str, headers: dict[str, str]) -> None:
    method = "GET" if "models" in path else "POST"
    status, found, answer = closed_house.ask(method, path, None if method == "GET" else ASKED, headers)
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")
    assert found["www-authenticate"].startswith("Bearer")


def test_with_one_the_call_is_the_clients(closed_house: House) -> None:
    assert closed_house.ask("POST", CHAT, ASKED, bearer("all"))[0] == 200


def test_a_tool_out_of_reach_looks_like_a_model_that_is_not_there(closed_house: House) -> None:
    answers = []
    for model in ("secret", "gone__", "nobody"):
        status, _, answer = closed_house.ask("POST", CHAT, {**ASKED, "model": model}, bearer("embedding"))
        assert status == 404
        answers.append(str(answer).replace(model, "…"))
    # `gone` has no tool behind it, and nothing tells it from what has one for others.
    status, _, answer = closed_house.ask("POST", CHAT, {**ASKED, "model": "gone"}, bearer("embedding"))
    answers.append(str(answer).replace("gone", "…"))
    assert len(set(answers)) == 1
    assert "secret_chat" not in answers[0]
    assert [one["id"] for one in closed_house.ask("GET", "/v1/models", None, bearer("embedding"))[2]["data"]] == [
        "embedder"
    ]
    assert closed_house.ask("GET", "/v1/models/secret", None, bearer("embedding"))[0] == 404
    assert closed_house.ask("GET", "/v1/models/secret", None, bearer("all"))[0] == 200
    embeddings = {"model": "embedder", "input": "a"}
    assert closed_house.ask("POST", "/v1/embeddings", embeddings, bearer("embedding"))[0] == 200


def test_more_requests_than_a_client_may_make_are_refused_for_now(closed_house: House) -> None:
    asked = [closed_house.ask("POST", CHAT, ASKED, bearer("slow")) for _ in range(3)]
    assert [status for status, _, _ in asked] == [200, 200, 429]
    assert asked[2][1]["retry-after"] == "1"
    assert asked[2][2]["error"]["code"] == "rate_limit_exceeded"
    assert closed_house.ask("GET", "/v1/models", None, bearer("slow"))[0] == 429


FOREIGN: list[dict[str, str]] = [
    {"host": "evil.example"},
    {"host": "evil.example:80", "origin": "http://evil.example:80"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings", "/v1/models", "/v1/models/secret"])
def test_a_page_that_was_led_here_by_another_name_gets_nothing(
    open_house: House, path: str, headers: dict[str, str]
) -> None:
    for method in ("OPTIONS", "GET" if "models" in path else "POST"):
        status, found, answer = open_house.ask(method, path, None if method != "POST" else ASKED, headers)
        assert (status, answer["error"]["code"]) == (403, "forbidden")
        assert "access-control-allow-origin" not in found


def test_a_page_of_this_box_may_ask_and_read(open_house: House) -> None:
    origin = {"origin": "http://localhost:3000"}
    status, found, _ = open_house.ask("OPTIONS", CHAT, None, origin)
    assert status == 204
    assert "authorization" in found["access-control-allow-headers"]
    for path, body in ((CHAT, ASKED), ("/v1/nothing", {})):
        found = open_house.ask("POST", path, body, origin)[1]
        assert found["access-control-allow-origin"] == origin["origin"]
    assert "x-tidegate-served-by" in open_house.ask("POST", CHAT, ASKED, origin)[1]["access-control-expose-headers"]


def test_what_is_configured_later_is_in_force_at_once(tmp_path: Any) -> None:
    with house(tmp_path, "") as changing:
        assert changing.say("hi")[0] == 404
        config = tmp_path / "tidegate.toml"
        before = config.read_text(encoding="utf-8")
        for models, status in ((MODELS, 200), (MODELS.replace("gpt-*", "other"), 404), ("", 404)):
            beside = tmp_path / "beside"
            beside.write_text(before + models, encoding="utf-8")
            beside.replace(config)
            wait_until(lambda wanted=status: changing.say("hi")[0] == wanted, "the models are in force")  # type: ignore[misc]


FILTERS = """
[filters.mask]
wasm = "mask"
tools = ["chat"]

[filters.safety]
wasm = "safety-envelope"
tools = ["secret_chat"]

[filters.safety.grants]
time = true
store_bytes = 65536

[[filters.safety.settings.tools]]
tool = "secret_chat"

[[filters.safety.settings.tools.arguments]]
pointer = "/max_tokens"
max = 100
"""


def test_filters_see_these_calls_and_what_is_streamed(tmp_path: Any) -> None:
    text = "write to ada@lovelace.example soon"
    with house(tmp_path, MODELS + FILTERS) as guarded:
        assert guarded.say(text)[2]["choices"][0]["message"]["content"] == "write to [email] soon "
        asked = {"model": "gpt-x", "stream": True, "messages": [{"role": "user", "content": text}]}
        streamed = post(guarded, asked)
        assert "[email]" in streamed
        assert "lovelace" not in streamed
        for stream in (False, True):
            status, _, answer = guarded.say(text, model="secret", stream=stream)
            assert (status, answer["error"]["code"]) == (403, "refused")
            assert "filter `safety` refused this call" in answer["error"]["message"]


def post(where: House, body: Any) -> str:
    """The body of the answer, as it is."""
    connection = HTTPConnection(*where.address, timeout=20)
    try:
        connection.request("POST", CHAT, json.dumps(body), {"content-type": "application/json"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


FAR = """
[backends.far]
openai = "http://127.0.0.1:9/v1"
chat_model = "large"
remote = true

[openai]
models = { far = "far__chat" }
"""


def test_data_of_a_class_are_not_sent_past_all_capabilities(tmp_path: Path) -> None:
    with house(tmp_path, FAR) as running:
        body = {"model": "far", "messages": [{"role": "user", "content": "hi"}]}
        status, _, answer = running.ask("POST", "/v1/chat/completions", body, {"x-tidegate-data-class": "private"})
        assert (status, answer["error"]["code"]) == (403, "must_stay")
        assert "call a capability" in answer["error"]["message"]
        # Nobody is there; but that was found out by asking.
        status, _, answer = running.ask("POST", "/v1/chat/completions", body)
        assert (status, answer["error"]["code"]) == (503, "upstream_unreachable")
