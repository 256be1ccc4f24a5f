"""Requests that are refused, each by the name of what is wrong; and how answers look on the wire."""

from __future__ import annotations

import base64
import json
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from daemon_process import wait_until
from openai_house import House, house

from tidegate.pipeline.era.openai.tool_result import ServedBy
from tidegate.protocol.meta_keys import SERVED_BY

CHAT = "/v1/chat/completions"
USER = [{"role": "user", "content": "hi"}]


def image() -> Any:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "model"),
    "a model that is a number": ({"model": 4}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "messages that are none": ({"messages": "hi"}, "messages"),
    "a message that is none": ({"messages": ["hi"]}, "messages[0]"),
    "an unknown role": ({"messages": [{"role": "tutor", "content": "x"}]}, "messages[0].role"),
    "a role that is a list": ({"messages": [{"role": [], "content": "x"}]}, "messages[0].role"),
    "no content": ({"messages": [*USER, {"role": "user"}]}, "messages[1].content"),
    "content that is a number": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
    "a part that is none": ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content[0]"),
    "a part without text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
    ),
    "an image": ({"messages": image()}, "messages[0].content[0]"),
    "a tool's answer": ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0]"),
    "a tool call": ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0]"),
    "two answers": ({"n": 2}, "n"),
    "n that is none": ({"n": "1"}, "n"),
    "tools": ({"tools": [{"type": "function"}]}, "tools"),
    "functions": ({"functions": [{}]}, "functions"),
    "a schema": ({"response_format": {"type": "json_schema"}}, "response_format"),
    "JSON": ({"response_format": {"type": "json_object"}}, "response_format"),
    "a format that is none": ({"response_format": []}, "response_format"),
    "logprobs": ({"logprobs": True}, "logprobs"),
    "top logprobs": ({"top_logprobs": 3}, "top_logprobs"),
    "bias": ({"logit_bias": {"50256": -100}}, "logit_bias"),
    "sound": ({"modalities": ["text", "audio"]}, "modalities"),
    "no tokens": ({"max_tokens": 0}, "max_tokens"),
    "half a token": ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    "true tokens": ({"max_tokens": True}, "max_tokens"),
    "heat": ({"temperature": 2.1}, "temperature"),
    "heat that is endless": ({"temperature": 1e999}, "temperature"),
    "heat in words": ({"temperature": "hot"}, "temperature"),
    "below nothing": ({"top_p": -0.1}, "top_p"),
    "a seed in words": ({"seed": "x"}, "seed"),
    "a seed that is huge": ({"seed": 10**30}, "seed"),
    "many stops": ({"stop": ["a"] * 5}, "stop"),
    "a stop that is a number": ({"stop": [1]}, "stop"),
    "a stream that is none": ({"stream": "yes"}, "stream"),
    "options that are none": ({"stream": True, "stream_options": 1}, "stream_options"),
    "usage that is none": ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_served_is_refused_by_its_name(open_house: House, why: str) -> None:
    members, param = REFUSED[why]
    body = json.dumps({"model": "gpt-x", "messages": USER, **members}).replace("Infinity", "1e999").encode()
    status, _, answer = open_house.ask("POST", CHAT, body)
    assert status == 400, answer
    error = answer["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "bad_parameter", param)
    assert param.rpartition(".")[2] in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_does_something_else_says_so(open_house: House, stream: bool) -> None:
    body = {"model": "embedder", "messages": USER, "stream": stream}
    status, _, answer = open_house.ask("POST", CHAT, body)
    assert (status, answer["error"]["message"]) == (400, "`embedder` does not chat")
    assert (answer["error"]["code"], answer["error"]["param"]) == ("wrong_model", "model")
    status, _, answer = open_house.ask("POST", "/v1/embeddings", {"model": "gpt-x", "input": "hi"})
    assert (status, answer["error"]["message"]) == (400, "`gpt-x` does not embed texts")


IGNORED: dict[str, Any] = {
    "n": 1, "tools": [], "functions": None, "response_format": {"type": "text"}, "logprobs": False, "logit_bias": {},
    "modalities": ["text"], "user": "x", "store": True, "metadata": {"a": "b"}, "parallel_tool_calls": True,
    "presence_penalty": 1, "tool_choice": "none", "stop": None, "seed": None, "max_tokens": None, "unheard_of": [1],
}  # fmt: skip


def test_what_changes_nothing_is_let_be(open_house: House) -> None:
    assert open_house.say("hi", **IGNORED)[0] == 200


def test_a_system_message_alone_is_what_is_answered(open_house: House) -> None:
    messages = [{"role": "system", "content": "shape"}]
    _, _, answer = open_house.ask("POST", CHAT, {"model": "gpt-x", "messages": messages})
    told = json.loads(answer["choices"][0]["message"]["content"])
    assert told["messages"] == [{"role": "user", "content": "shape"}]


EMBEDDINGS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no input": ({"input": None}, 400, "bad_parameter"),
    "an empty list": ({"input": []}, 400, "bad_parameter"),
    "an empty text": ({"input": ["a", ""]}, 400, "bad_parameter"),
    "tokens": ({"input": [1, 2]}, 400, "bad_parameter"),
    "lists of tokens": ({"input": [[1, 2]]}, 400, "bad_parameter"),
    "too many texts": ({"input": ["a"] * 2049}, 400, "bad_parameter"),
    "another form": ({"encoding_format": "int8"}, 400, "bad_parameter"),
    "other dimensions": ({"dimensions": 2}, 400, "bad_parameter"),
    "a tool that fails": ({"input": "fail"}, 400, "tool_error"),
    "lengths that differ": ({"input": ["odd", "b"]}, 502, "upstream_protocol"),
    "too few": ({"input": ["few", "b"]}, 502, "upstream_protocol"),
    "words for numbers": ({"input": "words", "encoding_format": "base64"}, 502, "upstream_protocol"),
    "another model in the middle": ({"input": ["a"] * 64 + ["other model"]}, 502, "upstream_protocol"),
}


@pytest.mark.parametrize("why", EMBEDDINGS)
def test_texts_that_cannot_be_embedded_are_refused(open_house: House, why: str) -> None:
    members, status, code = EMBEDDINGS[why]
    got, _, answer = open_house.ask("POST", "/v1/embeddings", {"model": "embedder", "input": "a", **members})
    assert (got, answer["error"]["code"]) == (status, code), answer


def test_embeddings_come_as_numbers_or_as_bytes(open_house: House) -> None:
    asked = {"model": "embedder", "input": ["a", "bb"]}
    plain = open_house.ask("POST", "/v1/embeddings", asked)[2]
    packed = open_house.ask("POST", "/v1/embeddings", {**asked, "encoding_format": "base64"})[2]
    rows = [row["embedding"] for row in plain["data"]]
    assert rows == [[1.0, 0.0, 0.5], [2.0, 1.0, 0.5]]
    assert [list(struct.unpack("<3f", base64.b64decode(row["embedding"]))) for row in packed["data"]] == rows
    assert plain["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


def test_the_answer_says_who_served(open_house: House) -> None:
    _, headers, answer = open_house.say("hi")
    assert headers["x-tidegate-served-by"] == "chat"
    assert answer["tidegate"]["served_by"] == {"tool": "chat"}
    # Where it was routed to is not for the tool itself to say.
    _, headers, answer = open_house.say("routed")
    assert headers["x-tidegate-served-by"] == "chat"
    assert answer["tidegate"]["served_by"] == {"tool": "chat"}


def test_words_about_who_served_stay_one_header() -> None:
    why = "the local model is busy\r\nset-cookie: x=é" + "y" * 1000
    said = ServedBy({"_meta": {SERVED_BY: {"tool": "cloud__chat", "where": "cloud", "why": why}}}, "chat").header[1]
    assert said.startswith("cloud cloud__chat; why=the local model is busy??set-cookie: x=?y")
    assert len(said) < 500


def test_a_capability_says_who_served_and_why(tmp_path: Path) -> None:
    routed = """
[capabilities.talk]
order = ["gone__chat", "chat"]
[openai]
models = { "gpt-*" = "talk" }
"""
    with house(tmp_path, routed) as here:
        _, headers, answer = here.say("hi")
        assert headers["x-tidegate-served-by"].startswith("local chat; why=")
        served_by = answer["tidegate"]["served_by"]
        assert (served_by["tool"], served_by["where"]) == ("chat", "local")
        assert served_by["attempts"][-1]["outcome"] == "ok"
        stream = exchange(here, raw({"model": "gpt-x", "messages": USER, "stream": True}, "1.0"))
        assert said_in(stream) == "hi "
        assert b'"where":"local"' in stream
        assert here.ask("GET", "/v1/models")[2]["data"][0]["id"] == "talk"


ODD_BODIES = {
    "nothing": (b"", 400, "not_json"),
    "no JSON": (b"{", 400, "not_json"),
    "a list": (b"[]", 400, "not_json"),
    "a string": (b'"x"', 400, "not_json"),
    "two objects": (b"{}{}", 400, "not_json"),
    "an object and more": (b'{},"name":{}', 400, "not_json"),
    "the end of ours": (b'{}}}', 400, "not_json"),
    "NUL": (b'{"model":"\0"}', 400, "not_json"),
    "bytes that are no text": (b'{"model":"\xff"}', 400, "invalid_utf8"),
    "depth": (b'{"a":' * 80 + b"1" + b"}" * 80, 400, "too_deep"),
    "much depth": (b'{"a":' + b"[" * 40000 + b"]" * 40000 + b"}", 400, "too_deep"),
    "NaN": (b'{"model":"gpt-x","temperature":NaN}', 400, "not_json"),
    "a number of many digits": (b'{"model":' + b"9" * 9000 + b"}", 400, "bad_parameter"),
    "many messages": (
        b'{"model":"gpt-x","messages":[' + b",".join([b'{"role":"user","content":"x"}'] * 3000) + b"]}", 200, ""),
    "many that are none": (b'{"model":"gpt-x","messages":[' + b",".join([b"{}"] * 30000) + b"]}", 400, "bad_parameter"),
    "half a character": (b'{"model":"gpt-x","messages":[{"role":"user","content":"\\ud800"}]}', 200, ""),
    "an unknown model of half a character": (
        b'{"model":"\\udfff","messages":[{"role":"user","content":""}]}', 404, "model_not_found"),
    "a long name": (
        b'{"model":"gpt-' + b"x" * 90000 + b'","messages":[{"role":"user","content":""}]}', 404, "model_not_found"),
}  # fmt: skip


@pytest.mark.parametrize("why", ODD_BODIES)
def test_odd_bodies_get_an_answer_in_the_clients_shape(open_house: House, why: str) -> None:
    body, status, code = ODD_BODIES[why]
    got, _, answer = open_house.ask("POST", CHAT, body)
    assert got == status, answer
    if status != 200:
        assert answer["error"]["code"] == code
        assert len(answer["error"]["message"]) < 500


def test_a_body_over_the_limit_is_too_large(open_house: House) -> None:
    status, _, answer = open_house.ask("POST", CHAT, b'{"model":"' + b"x" * 100_000 + b'"}')
    assert status == 413
    assert answer["error"]["code"] == "too_large"
    assert "body_bytes" in answer["error"]["message"]
    status, _, answer = open_house.ask("POST", CHAT, b"no gzip", {"content-encoding": "gzip"})
    assert (status, answer["error"]["code"]) == (400, "bad_encoding")
    assert open_house.ask("POST", "/mcp", b"x" * 100_001)[2]["jsonrpc"] == "2.0"


def test_paths_and_methods(open_house: House) -> None:
    assert open_house.ask("GET", CHAT)[0] == 405
    assert open_house.ask("POST", "/v1/models", {})[0] == 405
    assert open_house.ask("DELETE", "/v1/models/secret")[0] == 405
    status, _, answer = open_house.ask("POST", "/v1/completions", {})
    assert (status, answer["error"]["code"]) == (404, "unknown_url")
    assert open_house.ask("POST", CHAT, b"{}", {"content-type": "text/plain"})[0] == 415
    assert open_house.ask("HEAD", "/v1/models")[::2] == (200, None)
    assert open_house.ask("GET", "/v1/models/%73ecret")[2]["id"] == "secret"
    assert open_house.ask("GET", "/v1/models/%ff")[0] == 404


def exchange(where: House, *requests: bytes, bound_bytes: int = 1 << 20) -> bytes:
    """All that the gateway says to these bytes, until it closes the connection."""
    with socket.create_connection(where.address, timeout=20) as sock:
        for request in requests:
            sock.sendall(request)
        told = b""
        while len(told) < bound_bytes:
            data = sock.recv(65536)
            if not data:
                break
            told += data
        return told


def raw(body: Any, version: str = "1.1", *more: str) -> bytes:
    sent = json.dumps(body).encode()
    lines = [f"POST {CHAT} HTTP/{version}", "host: 127.0.0.1", "content-type: application/json", *more]
    return "\r\n".join([*lines, f"content-length: {len(sent)}"]).encode() + b"\r\n\r\n" + sent


def said_in(stream: bytes) -> str:
    events = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_http_1_0_gets_whole_answers_and_streams(open_house: House) -> None:
    whole = exchange(open_house, raw({"model": "gpt-x", "messages": USER}, "1.0"))
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert json.loads(whole.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"] == "hi "
    stream = exchange(open_house, raw({"model": "gpt-x", "messages": USER, "stream": True}, "1.0"))
    assert b"transfer-encoding" not in stream.partition(b"\r\n\r\n")[0]
    assert said_in(stream) == "hi "
    assert stream.endswith(b"data: [DONE]\n\n")


def test_pipelined_requests_are_answered_in_order(open_house: House) -> None:
    first = raw({"model": "gpt-x", "messages": [{"role": "user", "content": "one"}], "stream": True})
    second = raw({"model": "gpt-x", "messages": [{"role": "user", "content": "two"}]}, "1.1", "connection: close")
    told = exchange(open_house, first + second)
    assert told.count(b"HTTP/1.1 200 ") == 2
    assert told.index(b'"one "') < told.index(b"[DONE]") < told.index(b'"two "')


def test_a_reader_that_does_not_read_is_cut_off_and_its_call_stops(open_house: House) -> None:
    before = open_house.stopped.count("flood")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(open_house.address)
        messages = [{"role": "user", "content": "flood"}]
        sock.sendall(raw({"model": "gpt-x", "messages": messages, "stream": True}))
        wait_until(lambda: open_house.stopped.count("flood") > before, "the tool was told to stop")
        told = b""
        # Whether the kernel tells of the reset depends on what it had left to say.
        with suppress(ConnectionResetError):
            while data := sock.recv(1 << 20):
                told += data
        assert b"[DONE]" not in told
        assert b'"error"' not in told


def test_off_unless_it_is_configured(tmp_path: Path) -> None:
    with house(tmp_path, "") as closed:
        for method, path in (
            ("POST", CHAT),
            ("POST", "/v1/embeddings"),
            ("GET", "/v1/models"),
            ("GET", "/v1/models/x"),
        ):
            status, _, answer = closed.ask(method, path, b"{}" if method == "POST" else None)
            assert (status, answer) == (404, {"error": "nothing here; the MCP endpoint is `/mcp`"})
