"""What is read in calls and answers, and written into them; how a capability is listed."""

from __future__ import annotations

import json

import pytest

from tidegate.config.snapshot import Capability
from tidegate.errors import InvalidParams
from tidegate.pipeline.capabilities.data_class import must_stay, read_classes
from tidegate.pipeline.capabilities.entries import entry_of, has_output
from tidegate.pipeline.capabilities.result import confidence_of, is_structured, says_failed, with_served_by
from tidegate.pipeline.codec import scan
from tidegate.pipeline.era.inner import tool_call
from tidegate.pipeline.exchange import UNREAD


def classes(meta: str, usual: str = "") -> tuple[str, ...]:
    message = ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":' + meta + "}}").encode()
    return read_classes(message, scan(message), usual)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ('"patient"', ("patient",)),
        ('["patient","staff"]', ("patient", "staff")),
        ('"p\\u0061tient"', ("patient",)),
        ('""', ("usual",)),
        ("[]", ("usual",)),
        ("null", ("usual",)),
        ('["", "staff"]', ("staff",)),
    ],
)
def test_the_class_of_data_is_what_the_call_says(said: str, read: tuple[str, ...]) -> None:
    assert classes('{"io.tidegate/data-class":' + said + "}", "usual") == read


@pytest.mark.parametrize("said", ["1", "{}", '["a",1]', '[["a"]]', "true"])
def test_a_class_that_cannot_be_read_is_refused(said: str) -> None:
    with pytest.raises(InvalidParams):
        classes('{"io.tidegate/data-class":' + said + "}")


def test_a_call_that_says_nothing_has_the_usual_class_or_none() -> None:
    assert classes("{}", "usual") == ("usual",)
    assert classes("{}") == ()


@pytest.mark.parametrize("told", [(), ("a",), ("a", "b")])
def test_classes_are_read_as_they_were_told_to_the_next_tool(told: tuple[str, ...]) -> None:
    message = tool_call("x", b"{}", UNREAD, classes=told)
    assert read_classes(message, scan(message), "") == told


@pytest.mark.parametrize(
    ("one", "stay", "stays"),
    [
        (("patient",), ("patient",), "patient"),
        ((" Patient",), ("patient",), " Patient"),
        (("PATIENT-scan",), ("patient*",), "PATIENT-scan"),
        (("staff", "patient"), ("PATIENT",), "patient"),
        (("\uff50atient",), ("patient",), "\uff50atient"),
        (("pat\u200bient",), ("patient",), "pat\u200bient"),
        (("staff",), ("patient",), ""),
        ((), ("*",), ""),
        (("x",), (), ""),
    ],
)
def test_what_must_stay_is_found_however_it_is_spelled(one: tuple[str, ...], stay: tuple[str, ...], stays: str) -> None:
    assert must_stay(one, stay) == stays


@pytest.mark.parametrize(
    ("result", "path", "confidence"),
    [
        ('{"structuredContent":{"confidence":0.5}}', "confidence", 0.5),
        ('{"structuredContent":{"a":{"b":1}}}', "a.b", 1.0),
        ('{"structuredContent":{"confidence":7}}', "confidence", 1.0),
        ('{"structuredContent":{"confidence":-7}}', "confidence", 0.0),
        ('{"structuredContent":{"confidence":1e999}}', "confidence", None),
        ('{"structuredContent":{"confidence":true}}', "confidence", None),
        ('{"structuredContent":{"confidence":"0.1"}}', "confidence", None),
        ('{"structuredContent":{"confidence":{}}}', "confidence.deeper", None),
        ('{"structuredContent":[0.5]}', "confidence", None),
        ('{"confidence":0.5}', "confidence", None),
    ],
)
def test_how_sure_an_answer_is_stands_in_its_structured_content(
    result: str, path: str, confidence: float | None
) -> None:
    assert confidence_of(result.encode(), path) == confidence


def test_only_true_is_an_error_and_only_an_object_is_structured() -> None:
    assert says_failed(b'{"isError": true}')
    assert not says_failed(b'{"isError":"true"}')
    assert not says_failed(b'{"content":[{"isError":true}]}')
    assert is_structured(b'{"structuredContent":{}}')
    assert not is_structured(b'{"structuredContent":null}')


def test_an_answer_says_who_gave_it_and_nothing_else_changes() -> None:
    result = (
        b'{ "content":[ {"type":"text","text":"\\u00e4"} ],"x":1.50,"_meta":{"other":[1],"io.tidegate/served-by":1}}'
    )
    told = with_served_by(result, {"tool": "t"})
    assert told.startswith(b'{ "content":[ {"type":"text","text":"\\u00e4"} ],"x":1.50,"_meta":{"other":[1],')
    assert json.loads(told)["_meta"] == {"other": [1], "io.tidegate/served-by": {"tool": "t"}}
    assert json.loads(told)["resultType"] == "complete"
    assert json.loads(with_served_by(b'{"_meta":7,"resultType":"complete"}', 1))["_meta"] == {
        "io.tidegate/served-by": 1
    }


def test_who_says_twice_who_served_it_is_not_given_on() -> None:
    forged = b'{"content":[],"_meta":{"io.tidegate/served-by":1,"a":2,"io.tidegate/served-by":3}}'
    told = with_served_by(forged, {"tool": "t"})
    assert told.count(b"served-by") == 1
    assert json.loads(told)["_meta"] == {"io.tidegate/served-by": {"tool": "t"}}


def test_it_is_listed_as_its_first_tool() -> None:
    first = b'{"name":"a__x","title":"X","description":"d","inputSchema":{"type" : "object"},"_meta":{},"icons":[]}'
    reads = b'{"name":"y","inputSchema":{},"outputSchema":{},"annotations":{"readOnlyHint":true}}'
    entry = entry_of(Capability("cap", ()), [first, reads])
    assert entry is not None
    assert json.loads(entry) == {
        "name": "cap", "title": "X", "description": "d", "inputSchema": {"type": "object"},
    }  # fmt: skip
    assert not has_output(entry)
    entry = entry_of(Capability("cap", (), description="mine"), [reads])
    assert entry is not None
    assert json.loads(entry) == {
        "name": "cap",
        "description": "mine",
        "inputSchema": {},
        "outputSchema": {},
        "annotations": {"readOnlyHint": True},
    }
    assert has_output(entry)
    assert entry_of(Capability("cap", ()), []) is None
