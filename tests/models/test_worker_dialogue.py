"""What a worker says to whom: messages in, messages out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from toy_model import META, Bench, write_model

from tidegate.models.worker.assignment import ModelEntry


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench([write_model(tmp_path / "toy")], line_bytes=10_000, result_bytes=10_000, depth=10)
    yield bench
    bench.close()


def test_it_says_what_it_speaks(bench: Bench) -> None:
    result = bench.ask("server/discover")["result"]
    assert result["supportedVersions"] == ["2026-07-28"]
    assert result["capabilities"] == {"tools": {}}
    assert result["resultType"] == "complete"
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "toys"


def test_it_lists_its_tools_without_loading_anything(bench: Bench) -> None:
    result = bench.ask("tools/list")["result"]
    assert [tool["name"] for tool in result["tools"]] == ["echo"]
    assert result["ttlMs"] > 0
    Draft202012Validator.check_schema(result["tools"][0]["inputSchema"])
    assert bench.toys["toy"].loads == []


def test_a_call_is_answered_with_structure_and_words(bench: Bench) -> None:
    result = bench.echo("hi")["result"]
    assert result["structuredContent"]["said"] == "hi"
    assert result["content"] == [{"type": "text", "text": "hi"}]
    assert result["resultType"] == "complete"
    assert "isError" not in result


def test_a_manifest_renames_a_tool(tmp_path: Path) -> None:
    words = {"echo": {"name": "repeat", "title": "Repeat", "description": "Says it again"}}
    bench = Bench([write_model(tmp_path, tools=words)])
    assert (
        bench.ask("tools/list")["result"]["tools"][0] | words["echo"] == bench.ask("tools/list")["result"]["tools"][0]
    )
    assert bench.echo("hi", tool="repeat")["result"]["structuredContent"]["said"] == "hi"
    assert bench.echo("hi", tool="echo")["error"]["code"] == -32602
    bench.close()


def test_of_two_models_with_one_tool_the_later_one_says_whose_it_is(tmp_path: Path) -> None:
    bench = Bench([write_model(tmp_path / "a", "one"), write_model(tmp_path / "b", "two")])
    assert [tool["name"] for tool in bench.ask("tools/list")["result"]["tools"]] == ["echo", "two_echo"]
    bench.echo("hi", tool="two_echo")
    assert bench.toys["two"].batches == [["hi"]]
    assert bench.toys["one"].batches == []
    bench.close()


def test_a_broken_manifest_takes_only_its_own_tools_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = write_model(tmp_path / "broken", "broken", colour="red")
    bench = Bench([broken, write_model(tmp_path / "good", "good")])
    assert [tool["name"] for tool in bench.ask("tools/list")["result"]["tools"]] == ["echo"]
    assert bench.echo("hi")["result"]["structuredContent"]["said"] == "hi"
    assert "`colour`" in bench.ask("server/discover")["result"]["instructions"]
    error = bench.echo("hi", tool="perhaps_its")["error"]
    assert error["data"] == {"reason": "model_refused"}
    assert "`colour`" in error["message"]
    bench.close()
    assert "model_refused" in capfd.readouterr().err


def test_a_set_of_nothing_but_broken_models_says_so_instead_of_an_empty_list(tmp_path: Path) -> None:
    entries = [write_model(tmp_path / "a", settings={"senseless": True}), ModelEntry(str(tmp_path / "nothing"))]
    bench = Bench([*entries, ModelEntry("no-such-model", shipped=True)])
    error = bench.ask("tools/list")["error"]
    assert error["data"] == {"reason": "model_refused"}
    said = bench.ask("server/discover")["result"]["instructions"]
    assert "senseless" in said
    assert "nothing" in said
    assert "no-such-model" in said
    bench.close()


def test_the_digest_of_a_manifest_is_held_to(tmp_path: Path) -> None:
    entry = write_model(tmp_path)
    bench = Bench([ModelEntry(entry.path, digest="sha256:" + "0" * 64)])
    assert "digest" in bench.ask("tools/list")["error"]["message"]
    bench.close()


def test_what_is_called_wrongly_is_told_as_a_result(bench: Bench) -> None:
    result = bench.echo(5)["result"]
    assert result["isError"] is True
    assert "`text`" in result["content"][0]["text"]
    assert "structuredContent" not in result


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": "nothing", "arguments": {}}, -32602),
        ({"name": 5}, -32602),
        ({"name": "echo", "arguments": [1]}, -32602),
        ({"name": "echo", "arguments": {"text": "x"}, "inputResponses": 5}, -32602),
    ],
)
def test_a_call_of_nothing_is_refused(bench: Bench, params: dict[str, Any], code: int) -> None:
    assert bench.ask("tools/call", **params)["error"]["code"] == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 5000, -32600),
        (b"[" * 5000 + b"]" * 5000, -32600),
        (b"1" * 9000, -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":NaN}', -32700),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}', -32022),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 9 + b"]" * 9 + b"}}", -32600),
        (b"x" * 20_000, -32600),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_one_served(bench: Bench, line: bytes, code: int) -> None:
    bench.say(line)
    assert bench.hear()["error"]["code"] == code
    assert bench.ask("ping")["result"]["resultType"] == "complete"


def test_an_integer_of_thousands_of_digits_is_json_and_whoever_sent_it_is_answered(bench: Bench) -> None:
    params = json.dumps({"_meta": META, "name": "echo", "arguments": {"text": "x"}})
    for digits in ("9" * 9000, "-" + "9" * 9000):
        more = params.replace('"x"', f'"x", "more": [{digits}, 5]')
        bench.say(b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%b}' % more.encode())
        assert bench.hear()["id"] == 7
        bench.say(
            b'{"jsonrpc":"2.0","id":8,"method":"tools/call","params":%b}' % params.replace('"x"', digits).encode()
        )
        heard = bench.hear()
        assert (heard["id"], heard["result"]["isError"]) == (8, True)


def test_as_deep_as_may_be_is_no_deeper(bench: Bench) -> None:
    bench.say(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' + b"[" * 8 + b"]" * 8 + b"}}")
    assert "result" in bench.hear()


def test_answers_and_notifications_are_passed_over_in_silence(bench: Bench) -> None:
    bench.say(b'{"jsonrpc":"2.0","id":1,"result":{}}')
    bench.say(b'{"jsonrpc":"2.0","method":"notifications/whatever"}')
    bench.say(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}')
    bench.say(b"   ")
    request_id = bench.send("ping")
    assert bench.hear()["id"] == request_id


def test_a_version_that_is_not_spoken_is_answered_with_those_that_are(bench: Bench) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    error = bench.ask("tools/list", _meta=meta)["error"]
    assert error["code"] == -32022
    assert error["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


def test_a_subscription_is_acknowledged_for_nothing(bench: Bench) -> None:
    request_id = bench.send("subscriptions/listen", notifications={"toolsListChanged": True})
    message = bench.hear()
    assert message["method"] == "notifications/subscriptions/acknowledged"
    assert message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == request_id
    assert message["params"]["notifications"] == {}


def test_an_id_in_flight_is_not_used_twice(bench: Bench) -> None:
    bench.send("tools/call", "same", name="echo", arguments={"text": "a", "wait": True})
    assert bench.toys["toy"].begun.acquire(timeout=20)
    bench.send("tools/call", "same", name="echo", arguments={"text": "b"})
    assert bench.hear()["error"]["code"] == -32600
    bench.toys["toy"].gate.set()
    assert bench.hear()["result"]["structuredContent"]["said"] == "a"


def test_an_answer_that_is_too_large_or_no_json_is_an_error(bench: Bench) -> None:
    for how in ({"bytes": 10_000}, {"not_json": True}):
        error = bench.echo("x", **how)["error"]
        assert error["data"] == {"reason": "model_failed"}
        assert "`toy`" in error["message"]
    assert bench.echo("x", bytes=9_000)["result"]


def test_half_a_character_survives_the_way_there_and_back(bench: Bench) -> None:
    bench.say(
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"tools/call","params":{"_meta":%b,"name":"echo",'
        b'"arguments":{"text":"\\udfff"}}}' % json.dumps(META).encode()
    )
    message = bench.hear()
    assert message["id"] == "\ud800"
    assert message["result"]["structuredContent"]["said"] == "\udfff"


LINK = {"type": "resource_link", "uri": "file:///a"}


class TestLinks:
    def test_all_links_of_a_call_are_asked_for_in_one_round(self, bench: Bench) -> None:
        other = {"type": "resource_link", "uri": "file:///b"}
        result = bench.echo(LINK, second=other, third=LINK)["result"]
        assert result["resultType"] == "input_required"
        assert result["inputRequests"] == {
            "0": {"method": "resources/read", "params": {"uri": "file:///a"}},
            "1": {"method": "resources/read", "params": {"uri": "file:///b"}},
        }
        assert bench.toys["toy"].loads == []

    def test_the_call_that_comes_again_has_what_was_read(self, bench: Bench) -> None:
        responses = {"0": {"contents": [{"uri": "file:///a", "text": "from the file"}]}}
        arguments = {"text": LINK}
        answer = bench.ask("tools/call", name="echo", arguments=arguments, inputResponses=responses)
        assert answer["result"]["structuredContent"]["said"] == "from the file"

    def test_a_resource_without_contents_is_no_reason_to_ask_again(self, bench: Bench) -> None:
        arguments = {"text": LINK}
        answer = bench.ask("tools/call", name="echo", arguments=arguments, inputResponses={"0": {"contents": []}})
        assert answer["result"]["isError"] is True

    def test_links_have_a_bound(self, bench: Bench) -> None:
        links = {f"l{n}": {"type": "resource_link", "uri": f"file:///{n}"} for n in range(17)}
        assert bench.echo(LINK, **links)["result"]["isError"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | JSON,
        "id": st.integers() | JSON,
        "method": st.sampled_from(["ping", "tools/list", "tools/call", "server/discover", "subscriptions/listen"])
        | JSON,
        "params": st.fixed_dictionaries(
            {},
            optional={
                "_meta": st.just(META) | JSON,
                "name": st.just("echo") | JSON,
                "arguments": JSON | st.fixed_dictionaries({"text": JSON}),
                "inputResponses": JSON,
                "notifications": JSON,
                "cursor": JSON,
                "requestId": JSON,
            },
        )
        | JSON,
    },
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench([write_model(tmp_path_factory.mktemp("toy"))], depth=10)
    yield bench
    bench.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(st.binary(max_size=60) | MESSAGES.map(json.dumps).map(str.encode), min_size=20, max_size=60))
def test_whatever_comes_it_stays_alive_and_speaks_json_rpc(fuzzed: Bench, lines: list[bytes]) -> None:
    for line in lines:
        fuzzed.say(line)
    end = fuzzed.send("ping", f"end {id(lines)}")
    while (message := fuzzed.hear())["id" if "id" in message else "method"] != end:
        assert message["jsonrpc"] == "2.0"
        assert ("result" in message) + ("error" in message) + ("method" in message) == 1
        assert message.get("error", {}).get("code") != -32603 or "`toy`" in message["error"]["message"]
