"""HTTP/1.1 heads: against the twin, against h11, and against what proxies have been smuggled past with."""

from __future__ import annotations

from typing import Any

import frame_twins
import h11
import pytest
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import BadHttp, TooLarge
from tidegate.pipeline import codec


def attributes(head: object) -> dict[str, Any] | None:
    return None if head is None else {name: getattr(head, name) for name in dir(head) if not name.startswith("_")}


def request(buf: bytes, max_bytes: int = 1000) -> dict[str, Any] | None:
    return attributes(codec.parse_request_head(buf, max_bytes))


def response(buf: bytes, max_bytes: int = 1000) -> dict[str, Any] | None:
    return attributes(codec.parse_response_head(buf, max_bytes))


NAMES = st.sampled_from(
    [
        b"Host",
        b"host",
        b"Content-Length",
        b"content-length",
        b"Transfer-Encoding",
        b"Connection",
        b"Expect",
        b"X-A",
        b"_",
    ]
)
VALUES = st.sampled_from(
    [
        b"",
        b"x",
        b" x ",
        b"\tx\t",
        b"a b",
        b"5",
        b"05",
        b"6",
        b"+5",
        b"5, 5",
        b"chunked",
        b"Chunked",
        b"gzip, chunked",
        b"close",
        b"Keep-Alive",
        b"keep-alive, close",
        b"100-continue",
        b"\xe9",
        b"a:1",
        b"[::1]:8",
        b"a,b",
        b"9" * 25,
    ]
)
FIELDS = st.one_of(
    st.tuples(NAMES, st.sampled_from([b":", b": ", b": ", b" :"]), VALUES).map(b"".join),
    st.just(b"Host: a"),
    st.just(b"Host: a"),
    st.sampled_from([b" folded", b"\tfolded", b"no colon", b": none", b"X: \x00", b"X: a\rb", b"X\xe9: a", b"X: \x7f"]),
)
ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r\r\n"])
START_LINES = st.sampled_from(
    [b"GET / HTTP/1.1"] * 4
    + [
        b"POST /mcp?a=b HTTP/1.1",
        b"GET / HTTP/1.0",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/2.0",
        b"GET /\xe9 HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 404",
        b"HTTP/1.1 999 ",
        b"HTTP/1.1 099 X",
        b"HTTP/1.1 200X",
        b"HTTP/1.1 200 \xe9",
        b"G\x00T / HTTP/1.1",
        b"",
        b"GET / http/1.1",
        b"GET /",
        b"\x16\x03\x01",
    ]
)
HEADS = st.one_of(
    st.tuples(
        st.sampled_from([b""] * 6 + [b"\r\n", b"\r", b"\n", b"\r\n\r\n"]),
        START_LINES,
        ENDS,
        st.lists(st.tuples(FIELDS, ENDS).map(b"".join), max_size=4).map(b"".join),
        st.sampled_from([b"\r\n", b"\r\n", b"\r\nbody\r\n\r\n", b"", b"\r"]),
    ).map(b"".join),
    st.binary(max_size=30),
)


@settings(deadline=None, max_examples=1500)
@given(HEADS, st.integers(0, 80) | st.just(1000))
def test_heads_agree_with_the_twin(buf: bytes, max_bytes: int) -> None:
    assert_agree(request, frame_twins.parse_request_head, buf, max_bytes)
    assert_agree(response, frame_twins.parse_response_head, buf, max_bytes)


@settings(deadline=None, max_examples=300)
@given(HEADS)
def test_a_prefix_is_incomplete_or_has_the_same_outcome(buf: bytes) -> None:
    for parse in (request, response):
        final = None
        for end in range(len(buf) + 1):
            try:
                now: object = parse(buf[:end])
            except BadHttp:
                now = "bad"
            assert final is None or now == final, "an outcome changed with more bytes"
            final = now


@settings(deadline=None, max_examples=500)
@given(HEADS)
def test_what_is_accepted_means_the_same_to_h11(buf: bytes) -> None:
    try:
        head = codec.parse_request_head(buf, 1000)
    except BadHttp:
        return
    if head and head.minor == 1:
        other = h11.Connection(h11.SERVER)
        # h11 does not step over an empty line.
        other.receive_data(buf[: head.head_len].removeprefix(b"\r\n"))
        event = other.next_event()
        assert isinstance(event, h11.Request)
        assert (event.method.decode(), event.target.decode()) == (head.method, head.target)
        # h11 joins equal lengths into one field.
        mine = list(dict.fromkeys((name.encode(), value.encode("latin-1")) for name, value in head.headers))
        if not any(name == "content-length" for name, _ in head.headers):
            assert list(dict.fromkeys(event.headers)) == mine


START = b"POST /mcp HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    "head",
    [
        START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        START + b"Content-Length: 5, 6\r\n\r\n",
        START + b"Content-Length: 5, 5\r\n\r\n",
        START + b"Content-Length: +5\r\n\r\n",
        START + b"Content-Length: -5\r\n\r\n",
        START + b"Content-Length: 0x5\r\n\r\n",
        START + b"Content-Length: 5 5\r\n\r\n",
        START + b"Content-Length:\r\n\r\n",
        START + b"Content-Length: 9223372036854775808\r\n\r\n",
        START + b"Content-Length: 18446744073709551621\r\n\r\n",
        START + b"Content-Length : 5\r\n\r\n",
        START + b"Content-Length\t: 5\r\n\r\n",
        START + b"Content-Length: \x0b5\r\n\r\n",
        START + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        START + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        START + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
        START + b"Transfer-Encoding: xchunked\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        START + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
        START + b'Transfer-Encoding: "chunked"\r\n\r\n',
        START + b"Transfer-Encoding : chunked\r\n\r\n",
        START + b"Transfer-Encoding:\r\n\r\n",
        START + b"Transfer-Encoding:\r\n chunked\r\n\r\n",
        START + b"X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n",
        START + b" X: a\r\n\r\n",
        START + b"X: a\nTransfer-Encoding: chunked\r\n\r\n",
        START + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
        START + b"X: a\x00b\r\n\r\n",
        START + b"X\x00: a\r\n\r\n",
        START + b"X Y: a\r\n\r\n",
        START + b"X(: a\r\n\r\n",
        START + b": a\r\n\r\n",
        START + b"X\r\n\r\n",
        START + b"\xefX: a\r\n\r\n",
        START + b"Host: b\r\n\r\n",
        START + b"Host: a\r\n\r\n",
        START + b"X: a\r\n\n",
        START + b"X: a\n\r\n",
        b"POST /mcp HTTP/1.1\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: a, b\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"POST /mcp HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /mcp HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"POST  /mcp HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST\t/mcp HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /m cp HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /mcp HTTP/1.10\r\nHost: a\r\n\r\n",
        b"POST /mcp HTTP/0.9\r\nHost: a\r\n\r\n",
        b"POST /mcp HTTP/2.0\r\nHost: a\r\n\r\n",
        b"POST /mcp\r\nHost: a\r\n\r\n",
        b"PO(T /mcp HTTP/1.1\r\nHost: a\r\n\r\n",
        b" POST /mcp HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\n",
    ],
)
def test_an_ambiguous_request_is_refused(head: bytes) -> None:
    with pytest.raises(BadHttp):
        codec.parse_request_head(head, 10_000)


def test_equal_lengths_are_one_length() -> None:
    head = codec.parse_request_head(START + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 1000)
    assert head
    assert head.content_length == 5


def test_a_head_over_the_limit_is_431_whether_it_ends_or_not() -> None:
    whole = START + b"X: " + b"a" * 100 + b"\r\n\r\n"
    for buf in (whole, whole[:-30], START + b"X: a\r\n" * 50):
        with pytest.raises(TooLarge) as caught:
            codec.parse_request_head(buf, 64)
        assert caught.value.status == 431
    assert codec.parse_request_head(whole, len(whole))
    assert TooLarge.status == 413


def test_one_empty_line_before_a_request_is_stepped_over() -> None:
    head = codec.parse_request_head(b"\r\n" + START + b"\r\n", 1000)
    assert head
    assert head.head_len == len(START) + 4


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK"),
        (b"HTTP/1.0 404", 404, ""),
        (b"HTTP/1.1 500 ", 500, ""),
        (b"HTTP/1.1 200 \xe9", 200, "é"),
    ],
)
def test_status_lines_as_servers_write_them(line: bytes, status: int, reason: str) -> None:
    head = codec.parse_response_head(line + b"\r\nContent-Length: 0\r\n\r\n", 1000)
    assert head
    assert (head.status, head.reason, head.content_length) == (status, reason, 0)
