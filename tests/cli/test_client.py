"""The command line's client against gateways that misbehave."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tidegate.cli import exit_codes, main

Capture = pytest.CaptureFixture[str]
WAIT_S = 10.0


@contextmanager
def scripted(*answers: bytes) -> Iterator[str]:
    """A listener that takes one connection a time and answers whatever comes with the next script, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(WAIT_S)
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(WAIT_S)


def result(**value: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def http(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"half a li",
        b"not json\n",
        b"[]\n",
        b'{"jsonrpc":"2.0","id":1}\n',
        b'{"jsonrpc":"2.0","id":1,"result":3}\n',
        b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
        b"[" * 100_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_garbage_on_a_stream_is_one_clear_failure(answer: bytes, capsys: Capture) -> None:
    with scripted(answer) as where:
        assert main(["tools", "--tcp", where]) == exit_codes.FAILED
    assert capsys.readouterr().err.startswith("tidegate: ")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-server\r\n",
        http(b"<html>", "text/html"),
        http(b"", status="502 Bad Gateway"),
        http(b"{}"),
        http(b"data: {}\n\n", "text/event-stream"),
        http(b": nothing\n\n", "text/event-stream"),
    ],
)
def test_garbage_over_http_is_one_clear_failure(answer: bytes, capsys: Capture) -> None:
    with scripted(answer) as where:
        assert main(["tools", "--http", where]) == exit_codes.FAILED
    assert capsys.readouterr().err.startswith("tidegate: ")


def test_answers_to_nobody_are_passed_over(capsys: Capture) -> None:
    stray = b'{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}\n{"jsonrpc":"2.0","method":"notifications/odd"}\n'
    with scripted(stray + result(tools=[{"name": "a"}]) + b"\r\n") as where:
        assert main(["tools", "--tcp", where]) == exit_codes.OK
    assert capsys.readouterr().out == "a\n"


def test_an_event_stream_is_read_to_its_answer(capsys: Capture) -> None:
    answer = result(tools=[{"name": "a", "description": "b"}])
    stream = b": hello\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\ndata: " + answer + b"\r\n\r\n"
    with scripted(http(stream, "text/event-stream")) as where:
        assert main(["tools", "--http", where]) == exit_codes.OK
    assert capsys.readouterr().out == "a  b\n"


def test_every_page_of_a_list_is_read(capsys: Capture) -> None:
    first = http(result(tools=[{"name": "a"}], nextCursor="more"))
    second = http(result(tools=[{"name": "b"}]).replace(b'"id": 1', b'"id": 2'))
    with scripted(first, second) as where:
        assert main(["tools", "--http", where]) == exit_codes.OK
    assert capsys.readouterr().out == "a\nb\n"


def test_an_error_of_the_gateway_is_its_message_and_an_exit_code(capsys: Capture) -> None:
    for code, status in ((-32603, exit_codes.BACKEND), (-32602, exit_codes.FAILED), (-31029, exit_codes.FAILED)):
        message = {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "it is \x1b[31mred"}}
        with scripted(http(json.dumps(message).encode(), status="400 Bad Request")) as where:
            assert main(["tools", "--http", where]) == status
        assert capsys.readouterr().err == "tidegate: it is \\x1b[31mred\n"
