"""JSON that is valid and that Python, or UTF-8, cannot hold: nothing that peers write may raise in a callback."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.pipeline.codec import member_spans, scan
from tidegate.pipeline.era.bridge.abilities import may_ask, needed
from tidegate.pipeline.era.bridge.pieces import _odd_spans, members
from tidegate.pipeline.era.bridge.state_seal import request_digest
from tidegate.pipeline.era.log_level import reaches
from tidegate.pipeline.era.modern import ClientViews
from tidegate.pipeline.json_text import json_bytes, json_value
from tidegate.pipeline.principal import Principal

HUGE = b"9" * 5000
KEYS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def test_an_integer_of_thousands_of_digits_is_read() -> None:
    assert json_value(b'{"a":[1,%b],"b":1.5}' % HUGE) == {"a": [1, float("inf")], "b": 1.5}
    assert json_value(b"-" + HUGE) == float("-inf")


def test_what_is_no_number_in_json_is_written_as_null() -> None:
    assert (
        json_bytes({"a": [float("inf"), (1.5, float("nan"))], "\ud800": "é"})
        == b'{"a":[null,[1.5,null]],"\\ud800":"\\u00e9"}'
    )


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_members_are_found_beside_a_key_that_is_no_text(
    value: dict[str, object], ascii_only: bool, indent: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert _odd_spans(text) == member_spans(text)
    odd = b'{"\\ud800":1' + (b"," if value else b"") + text[1:]
    assert {key: json.loads(raw) for key, raw in members(odd).items()} == {"\ud800": 1} | value


def test_an_odd_key_does_not_hide_what_a_question_needs() -> None:
    odd = b'{"\\ud800":%b,"mode":"url","tools":[]}' % HUGE
    assert may_ask({"elicitation": {"form": {}}}, "elicitation/create", odd) is not None
    assert may_ask({"sampling": {}}, "sampling/createMessage", odd) is not None
    assert needed("sampling/createMessage", odd) == {"sampling": {"tools": {}}}
    assert may_ask({"elicitation": {"form": {}}}, "elicitation/create", b'{"mode":%b}' % HUGE) is not None


@pytest.mark.parametrize("odd", [HUGE, b"-" + HUGE, b"1e999", b'{"\\ud800":"\\udfff"}', b"[" * 50 + b"]" * 50])
def test_whatever_a_client_sends_has_a_digest(odd: bytes) -> None:
    message = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":%b}}}' % odd
    envelope = scan(message)
    other = message.replace(b'"x"', b'"y"')
    assert request_digest(message, envelope) == request_digest(message, envelope)
    assert request_digest(message, envelope) != request_digest(other, scan(other))


def test_a_client_may_say_odd_things_of_itself() -> None:
    meta = (
        b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":'
        b'{"experimental":{"a":1e999,"b":%b,"\\ud800":1}},"io.modelcontextprotocol/clientInfo":{"x":%b}}' % (HUGE, HUGE)
    )
    message = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":%b}}' % meta
    view = ClientViews().read(message, scan(message), Principal("ann", None, rate_per_s=0, burst=0))
    for said in (view.capabilities, view.info):
        assert said is not None
        assert b"Infinity" not in said
        json.loads(said)


def test_a_log_line_of_odd_numbers_is_let_through() -> None:
    message = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":%b}}' % HUGE
    assert reaches(message, 3)
    assert not reaches(message, 7)
