"""The conversation, message by message, in both eras."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_box import recorded_server

from tidegate.host.__main__ import converse
from tidegate.host.dialogue import LEGACY, MESSAGE_BYTES, MODERN, HostDialogue

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
SERVER_INFO = {"name": "tidegate-host", "title": "Host facts", "version": "0.1.0"}
METHODS = ("tools/list", "resources/list", "resources/templates/list")


def say(dialogue: HostDialogue, message: object) -> Any:
    reply = dialogue.receive(json.dumps(message).encode())
    assert reply is None or b"\n" not in reply
    return None if reply is None else json.loads(reply)


def ask(dialogue: HostDialogue, method: str, params: dict[str, Any] | None = None, request_id: object = 1) -> Any:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "method": method}
    if params is not None:
        message["params"] = params
    reply = say(dialogue, message)
    assert reply["jsonrpc"] == "2.0"
    assert reply["id"] == request_id
    return reply


def ask_modern(dialogue: HostDialogue, method: str, **params: Any) -> Any:
    return ask(dialogue, method, {"_meta": META, **params})


def fresh() -> HostDialogue:
    return HostDialogue(recorded_server())


def initialized(revision: str = "2025-11-25") -> HostDialogue:
    dialogue = fresh()
    hello = {"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    assert ask(dialogue, "initialize", hello)["result"]["protocolVersion"] == revision
    assert say(dialogue, {"jsonrpc": "2.0", "method": "notifications/initialized"}) is None
    return dialogue


class TestLegacy:
    @pytest.mark.parametrize("revision", LEGACY)
    def test_the_handshake_settles_on_the_revision_asked_for(self, revision: str) -> None:
        assert initialized(revision).revision == revision

    @pytest.mark.parametrize("asked", ["2099-01-01", "1.0", "", "2026-07-28"])
    def test_the_handshake_offers_the_latest_revision_instead_of_an_unknown_one(self, asked: str) -> None:
        result = ask(fresh(), "initialize", {"protocolVersion": asked, "capabilities": {}})["result"]
        assert result["protocolVersion"] == "2025-11-25"
        assert result["capabilities"] == {"tools": {}, "resources": {}}
        assert result["serverInfo"] == SERVER_INFO
        assert result["instructions"]

    def test_a_handshake_without_a_revision_is_refused(self) -> None:
        assert ask(fresh(), "initialize", {})["error"]["code"] == -32602

    def test_ping_is_answered_even_before_the_handshake(self) -> None:
        assert ask(fresh(), "ping")["result"] == {}
        assert ask(initialized(), "ping", {})["result"] == {}

    def test_anything_else_before_the_handshake_is_refused(self) -> None:
        assert ask(fresh(), "tools/list")["error"]["code"] == -32602

    @pytest.mark.parametrize("method", METHODS)
    def test_lists_carry_no_modern_fields(self, method: str) -> None:
        result = ask(initialized(), method)["result"]
        assert len(result) == 1
        assert next(iter(result.values()))

    def test_a_tool_answers_in_words_and_structure(self) -> None:
        result = ask(initialized(), "tools/call", {"name": "uptime", "_meta": {"progressToken": 1}})["result"]
        assert result["structuredContent"]["uptime_s"] == 36050.25
        assert result["content"][0]["text"].startswith("Up 10 h")
        assert "resultType" not in result
        assert "_meta" not in result

    def test_an_unknown_resource_is_32002(self) -> None:
        error = ask(initialized(), "resources/read", {"uri": "host://nope"})["error"]
        assert (error["code"], error["data"]) == (-32002, {"uri": "host://nope"})

    def test_a_resource_is_read(self) -> None:
        (content,) = ask(initialized(), "resources/read", {"uri": "host://memory"})["result"]["contents"]
        assert json.loads(content["text"])["used_percent"] == 25.0

    @pytest.mark.parametrize("method", ["prompts/list", "logging/setLevel", "server/discover", "subscriptions/listen"])
    def test_what_was_not_declared_is_not_found(self, method: str) -> None:
        assert ask(initialized(), method, {})["error"]["code"] == -32601

    @pytest.mark.parametrize(("revision", "as_result"), [("2025-06-18", False), ("2025-11-25", True)])
    def test_wrong_arguments_are_told_as_the_revision_has_it(self, revision: str, as_result: bool) -> None:
        reply = ask(initialized(revision), "tools/call", {"name": "processes", "arguments": {"limit": 0}})
        if as_result:
            assert reply["result"]["isError"]
            assert "1 to 50" in reply["result"]["content"][0]["text"]
        else:
            assert reply["error"]["code"] == -32602

    def test_batches_are_answered_in_the_one_revision_that_has_them(self) -> None:
        batch = [
            {"jsonrpc": "2.0", "id": 1, "method": "ping"},
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}},
            {"jsonrpc": "2.0", "id": "b", "method": "nope"},
            7,
        ]
        dialogue = initialized("2025-03-26")
        first, second, third = say(dialogue, batch)
        assert first == {"jsonrpc": "2.0", "id": 1, "result": {}}
        assert (second["id"], second["error"]["code"]) == ("b", -32601)
        assert (third["id"], third["error"]["code"]) == (None, -32600)
        assert say(dialogue, [batch[1]]) is None
        assert say(dialogue, [])["error"]["code"] == -32600
        assert say(dialogue, batch[:1] * 65)["error"]["code"] == -32600
        for other in ("2024-11-05", "2025-06-18", "2025-11-25"):
            assert say(initialized(other), batch)["error"]["code"] == -32600


class TestModern:
    def test_discovery_tells_everything_and_how_long_it_holds(self) -> None:
        result = ask_modern(fresh(), "server/discover")["result"]
        assert result.pop("instructions")
        assert result == {
            "resultType": "complete",
            "supportedVersions": list(MODERN),
            "capabilities": {"tools": {}, "resources": {}},
            "ttlMs": 3_600_000,
            "cacheScope": "public",
            "_meta": {"io.modelcontextprotocol/serverInfo": SERVER_INFO},
        }

    @pytest.mark.parametrize("method", METHODS)
    def test_lists_need_no_handshake(self, method: str) -> None:
        result = ask_modern(fresh(), method)["result"]
        assert result["resultType"] == "complete"
        assert result["cacheScope"] == "public"
        assert result["ttlMs"] > 0
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == SERVER_INFO

    def test_a_tool_result_is_complete_and_not_cacheable(self) -> None:
        result = ask_modern(fresh(), "tools/call", name="load", arguments={})["result"]
        assert result["resultType"] == "complete"
        assert "ttlMs" not in result
        assert "cacheScope" not in result
        assert result["structuredContent"]["cpu_count"] == 4

    def test_a_read_may_only_be_cached_for_the_same_client(self) -> None:
        result = ask_modern(fresh(), "resources/read", uri="host://identity")["result"]
        assert (result["ttlMs"], result["cacheScope"]) == (60_000, "private")
        assert ask_modern(fresh(), "resources/read", uri="host://disks/%2F")["result"]["ttlMs"] == 0

    def test_an_unknown_resource_is_32602(self) -> None:
        error = ask_modern(fresh(), "resources/read", uri="host://nope")["error"]
        assert (error["code"], error["data"]) == (-32602, {"uri": "host://nope"})

    @pytest.mark.parametrize("version", ["1900-01-01", "2025-11-25", ""])
    def test_an_unknown_revision_is_answered_with_the_known_ones(self, version: str) -> None:
        meta = META | {"io.modelcontextprotocol/protocolVersion": version}
        error = ask(fresh(), "tools/list", {"_meta": meta})["error"]
        assert error["code"] == -32022
        assert error["data"] == {
            "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
            "requested": version,
        }

    @pytest.mark.parametrize(
        "meta",
        [
            {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
            {"io.modelcontextprotocol/clientCapabilities": {}},
            META | {"io.modelcontextprotocol/clientCapabilities": []},
            META | {"io.modelcontextprotocol/protocolVersion": 20260728},
            {},
            None,
            [],
        ],
    )
    def test_a_request_without_its_metadata_is_refused(self, meta: object) -> None:
        assert ask(fresh(), "server/discover", {"_meta": meta})["error"]["code"] == -32602

    @pytest.mark.parametrize("method", ["ping", "prompts/list", "logging/setLevel", "resources/subscribe", "nope"])
    def test_what_the_revision_or_the_server_lacks_is_not_found(self, method: str) -> None:
        assert ask_modern(fresh(), method)["error"]["code"] == -32601

    def test_a_subscription_is_acknowledged_for_nothing_and_stays_open(self) -> None:
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["host://load"]}
        message = {
            "jsonrpc": "2.0",
            "id": "sub",
            "method": "subscriptions/listen",
            "params": {"_meta": META, "notifications": wanted},
        }
        dialogue = fresh()
        assert say(dialogue, message) == {
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": "sub"}, "notifications": {}},
        }
        end = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "sub"}}
        assert say(dialogue, end) is None

    def test_a_subscription_to_nothing_named_is_refused(self) -> None:
        assert ask_modern(fresh(), "subscriptions/listen")["error"]["code"] == -32602

    def test_wrong_arguments_are_a_result_a_model_can_read(self) -> None:
        reply = ask_modern(fresh(), "tools/call", name="disks", arguments={"network": 1})
        assert reply["result"]["isError"]
        assert reply["result"]["resultType"] == "complete"


class TestBoth:
    def test_a_modern_request_is_served_beside_a_legacy_session(self) -> None:
        dialogue = initialized("2024-11-05")
        assert "resultType" in ask_modern(dialogue, "tools/list")["result"]
        assert "resultType" not in ask(dialogue, "tools/list")["result"]

    @pytest.mark.parametrize("dialogue", [initialized(), fresh()], ids=["legacy", "modern"])
    @pytest.mark.parametrize(
        ("method", "params"),
        [
            ("tools/call", {}),
            ("tools/call", {"name": 5}),
            ("tools/call", {"name": "reboot"}),
            ("tools/call", {"name": "load", "arguments": []}),
            ("tools/call", {"name": "load", "arguments": None}),
            ("resources/read", {}),
            ("resources/read", {"uri": 1}),
            ("tools/list", {"cursor": "x"}),
            ("tools/list", {"cursor": ""}),
        ],
    )
    def test_malformed_parameters_are_refused(
        self, dialogue: HostDialogue, method: str, params: dict[str, Any]
    ) -> None:
        meta = {} if dialogue.revision else {"_meta": META}
        assert ask(dialogue, method, {**params, **meta})["error"]["code"] == -32602

    @pytest.mark.parametrize("request_id", [0, -1, 2**63, 10**40, "", "a", "1", "\ud800", "\u2028 é"])
    def test_ids_come_back_as_they_were(self, request_id: object) -> None:
        assert ask(fresh(), "ping", request_id=request_id)["result"] == {}

    @pytest.mark.parametrize(
        ("line", "code"),
        [
            (b"", -32700),
            (b"{", -32700),
            (b"\xff\xfe", -32700),
            (b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}', -32700),
            (b'{"id":' + b"1" * 5000 + b"}", -32700),
            (b"[" * 200_000, -32600),
            (b" " * (MESSAGE_BYTES + 1), -32600),
            (b"5", -32600),
            (b'"ping"', -32600),
            (b"[]", -32600),
            (b"{}", -32600),
            (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
            (b'{"jsonrpc":"2.0","id":1}', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
            (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
            (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
            (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602),
        ],
    )
    def test_what_is_no_request_is_refused(self, line: bytes, code: int) -> None:
        reply = fresh().receive(line)
        assert reply is not None
        assert json.loads(reply)["error"]["code"] == code

    def test_answers_to_nothing_are_ignored(self) -> None:
        assert say(fresh(), {"jsonrpc": "2.0", "id": 1, "result": {}}) is None
        assert say(fresh(), {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}) is None

    def test_a_fault_inside_is_one_error_and_the_dialogue_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = recorded_server()

        def broken(name: str, arguments: object) -> dict[str, Any]:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(server, "call", broken)
        dialogue = HostDialogue(server)
        error = ask_modern(dialogue, "tools/call", name="load")["error"]
        assert error == {"code": -32603, "message": "Internal error: ZeroDivisionError"}
        assert ask(dialogue, "ping")["result"] == {}

    def test_many_threads_may_speak_at_once(self) -> None:
        dialogue = fresh()
        wrong: list[object] = []

        def work(number: int) -> None:
            for turn in range(10):
                request_id = f"{number}-{turn}"
                message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call"}
                reply = say(dialogue, message | {"params": {"_meta": META, "name": "load"}})
                if reply["id"] != request_id or "result" not in reply:
                    wrong.append(reply)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | JSON, "method": st.sampled_from([*METHODS, "tools/call", "initialize"]) | JSON},
    optional={
        "id": st.integers() | st.text(max_size=5) | JSON,
        "params": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "_meta": st.just(META) | JSON,
                "name": st.sampled_from(["load", "processes"]) | JSON,
                "arguments": JSON,
                "uri": st.just("host://load") | st.text().map("host://{}".format) | JSON,
                "cursor": JSON,
                "protocolVersion": st.sampled_from(LEGACY) | JSON,
            },
        ),
    },
)
SHARED = HostDialogue(recorded_server())


@settings(max_examples=200, deadline=None)
@given(REQUESTS | st.lists(REQUESTS, max_size=3) | JSON)
def test_whatever_is_said_the_answer_is_json_rpc_or_nothing(message: object) -> None:
    reply = SHARED.receive(json.dumps(message).encode())
    for answer in [] if reply is None else (parsed if isinstance(parsed := json.loads(reply), list) else [parsed]):
        assert answer["jsonrpc"] == "2.0"
        assert ("result" in answer) + ("error" in answer) + ("method" in answer) == 1


@given(st.binary(max_size=300))
def test_bytes_that_mean_nothing_never_raise(line: bytes) -> None:
    SHARED.receive(line)


def test_a_stream_is_answered_line_by_line_past_what_is_too_long() -> None:
    ping = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}'
    lines = [ping % 1, b"", b"  ", b"x" * (2 * MESSAGE_BYTES), ping % 2 + b"\r", ping % 3]
    replies = io.BytesIO()
    converse(fresh(), io.BytesIO(b"\n".join(lines)), replies)
    answers = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [answer.get("id") for answer in answers] == [1, None, 2, 3]
    assert "longer than" in answers[1]["error"]["message"]
