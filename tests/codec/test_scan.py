"""The envelope scan, against its twin and against what JSON-RPC says."""

from __future__ import annotations

from typing import Any

import json_texts
import pytest
import twins
from agreement import assert_agree, outcome
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import DepthExceeded, DuplicateKey, InvalidRequest, InvalidUtf8, ParseError
from tidegate.pipeline import codec

CALL = (
    b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"box__disks","arguments":{"path":"/"},'
    b'"_meta":{"progressToken":"t-1"}}}'
)


def attributes(buf: bytes, max_depth: int = 64) -> dict[str, Any]:
    envelope = codec.scan(buf, max_depth)
    return {name: getattr(envelope, name) for name in dir(envelope) if not name.startswith("_")}


@settings(deadline=None, max_examples=1500)
@given(json_texts.ANY_BYTES, st.sampled_from([64, 64, 64, 3, 2, 1, 0]))
def test_native_and_twin_agree_on_any_bytes(buf: bytes, max_depth: int) -> None:
    assert_agree(attributes, twins.scan, buf, max_depth)


@settings(deadline=None, max_examples=300)
@given(json_texts.MESSAGES)
def test_native_and_twin_agree_on_every_prefix(text: str) -> None:
    buf = text.encode()
    for end in range(0, len(buf), 3):
        assert_agree(attributes, twins.scan, buf[:end], 64)


def test_a_call_is_read_as_spans() -> None:
    envelope = codec.scan(CALL)
    assert (envelope.kind, envelope.id, envelope.method, envelope.name) == (
        codec.REQUEST,
        b"7",
        "tools/call",
        "box__disks",
    )
    assert envelope.progress_token == b'"t-1"'
    spans = {
        "id": b"7",
        "method": b'"tools/call"',
        "name": b'"box__disks"',
        "arguments": b'{"path":"/"}',
        "meta": b'{"progressToken":"t-1"}',
        "progress_token": b'"t-1"',
    }
    for part, expected in spans.items():
        start, end = getattr(envelope, f"{part}_span")
        assert CALL[start:end] == expected
    assert envelope.result_span is envelope.error_span is envelope.result_type_span is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"jsonrpc":"2.0","id":1,"method":"ping"}', codec.REQUEST),
        ('{"jsonrpc":"2.0","method":"notifications/initialized"}', codec.NOTIFICATION),
        ('{"jsonrpc":"2.0","id":"x","result":{}}', codec.RESULT),
        ('{"jsonrpc":"2.0","id":"x","result":null}', codec.RESULT),
        ('{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}', codec.ERROR),
        ('{"jsonrpc":"2.0","id":null,"error":{}}', codec.ERROR),
        ('{"jsonrpc":"2.0","error":{}}', codec.ERROR),
        ("[]", codec.BATCH),
        (' [1,{"a":[]}] ', codec.BATCH),
    ],
)
def test_each_kind_of_message_is_recognised(text: str, kind: int) -> None:
    assert codec.scan(text.encode()).kind == kind


@pytest.mark.parametrize(
    ("text", "error", "id_raw"),
    [
        ('{"jsonrpc":"2.0","id":null,"method":"m"}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":1.0,"method":"m"}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":1e1,"method":"m"}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":true,"method":"m"}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":{},"method":"m"}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":3,"method":1}', InvalidRequest, b"3"),
        ('{"jsonrpc":"1.0","id":3,"method":"m"}', InvalidRequest, b"3"),
        ('{"id":3,"method":"m"}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3,"method":"m","params":[1]}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3,"method":"m","params":null}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3,"result":1,"error":{}}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3,"method":"m","result":1}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","id":3,"error":"x"}', InvalidRequest, b"3"),
        ('{"jsonrpc":"2.0","result":1}', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":3,"method":"m","params":{"_meta":4}}', InvalidRequest, b"3"),
        ("null", InvalidRequest, None),
        ('"text"', InvalidRequest, None),
        ('{"jsonrpc":"2.0","id":3,"id":4,"method":"m"}', DuplicateKey, None),
        ('{"jsonrpc":"2.0","\\u0069d":3,"id":4,"method":"m"}', DuplicateKey, None),
        ('{"jsonrpc":"2.0","method":"m","method":"n","id":3}', DuplicateKey, b"3"),
        ('{"jsonrpc":"2.0","method":"m","params":{"a":1,"\\u0061":1},"id":3}', DuplicateKey, b"3"),
        ('{"jsonrpc":"2.0","method":"m","params":{"_meta":{"a":1,"a":1}},"id":"\\u0061"}', DuplicateKey, b'"\\u0061"'),
        ('{"jsonrpc":"2.0","id":3,"result":{"a":1,"a":1}}', DuplicateKey, b"3"),
        ('{"jsonrpc":"2.0","id":3,"error":{"a":1,"a":1}}', DuplicateKey, b"3"),
        ('{"jsonrpc":"2.0","id":3,"method":"\\ud800"}', ParseError, None),
        ('{"jsonrpc":"2.0","id":3,"method":"m","params":{"name":"\\udc00\\ud800"}}', ParseError, None),
        ('{"jsonrpc":"2.0","id":3,"method":"m"}x', ParseError, None),
        ('\ufeff{"jsonrpc":"2.0","id":3,"method":"m"}', ParseError, None),
        ("", ParseError, None),
        ("{", ParseError, None),
    ],
)
def test_what_is_no_message_is_refused_with_its_id(text: str, error: type[Exception], id_raw: bytes | None) -> None:
    assert outcome(codec.scan, text.encode()) == (error.__name__, id_raw)


def test_a_key_twice_where_nobody_routes_by_it_is_let_through() -> None:
    buf = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"a":1,"a":2}}}'
    assert codec.scan(buf).arguments_span == (59, 72)


def test_a_null_meta_is_as_good_as_none() -> None:
    assert codec.scan(b'{"jsonrpc":"2.0","id":1,"result":{"_meta":null}}').meta_span is None


def test_a_wrong_byte_is_invalid_utf8_even_if_the_json_is_wrong_too() -> None:
    with pytest.raises(InvalidUtf8, match="byte 3"):
        codec.scan(b"[1 \xff")


def test_a_million_open_brackets_cost_no_stack() -> None:
    with pytest.raises(DepthExceeded, match="64"):
        codec.scan(b"[" * 1_000_000)
    with pytest.raises(ParseError):
        codec.scan(b"[" * 1_000_000, 2_000_000)
    deep = b'{"a":[' * 500_000 + b"]}" * 500_000
    with pytest.raises(InvalidRequest):
        codec.scan(deep, 2_000_000)


def test_depth_counts_the_message_itself() -> None:
    nested = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"a":[1]}}}'
    assert codec.scan(nested, 4).kind == codec.REQUEST
    with pytest.raises(DepthExceeded) as caught:
        codec.scan(nested, 3)
    assert caught.value.id_raw == b"1"  # type: ignore[attr-defined]


def test_many_keys_are_compared_and_the_last_duplicate_is_still_found() -> None:
    members = ",".join(f'"k{n}":{n}' for n in range(20_000))
    body = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{{members}'
    assert codec.scan(f"{body}}}}}".encode()).kind == codec.REQUEST
    with pytest.raises(DuplicateKey):
        codec.scan(f'{body},"\\u006b777":0}}}}'.encode())


def test_only_bytes_are_taken() -> None:
    for wrong in ("{}", bytearray(b"{}"), memoryview(b"{}")):
        with pytest.raises(TypeError):
            codec.scan(wrong)  # type: ignore[arg-type]
