"""What clients send to be looked at or listened to: every spelling, and what is said of those that are none."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tidegate.models.inputs.binary import NeedsResource, binary, binary_schema, only, with_resources
from tidegate.models.task import BadInput

LINK = {"type": "resource_link", "uri": "file:///scan.png", "name": "scan"}


def spellings(data: bytes) -> list[Any]:
    plain = base64.b64encode(data).decode()
    return [
        plain,
        plain.rstrip("="),
        base64.urlsafe_b64encode(data).decode(),
        base64.encodebytes(data).decode(),
        f"data:image/png;base64,{plain}",
        f"DATA:application/octet-stream;x=y;BASE64,{quote(plain)}",
        "data:," + quote(data),
        {"type": "image", "data": plain, "mimeType": "image/png"},
        {"type": "audio", "data": plain, "mimeType": "audio/wav"},
        {"type": "resource", "resource": {"uri": "a:b", "blob": plain}},
    ]


@given(st.binary(min_size=1, max_size=300))
@settings(max_examples=100, deadline=None)
def test_every_spelling_is_the_same_bytes(data: bytes) -> None:
    schema = Draft202012Validator(binary_schema("A picture.", "image", "audio"))
    for value in spellings(data):
        assert binary({"image": value}, "image", 300) == data
        assert schema.is_valid(value)


def test_text_in_a_resource_is_its_bytes() -> None:
    assert (
        binary({"file": {"type": "resource", "resource": {"uri": "a:b", "text": "héllo"}}}, "file", 10)
        == b"h\xc3\xa9llo"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "`file` is missing: send it as base64 text"),
        ("", "`file` is empty"),
        ("/home/me/scan.png", "`file` is no base64.* A path or an address cannot be opened from here"),
        ("https://example.org/scan.png", "`file` is no base64.* A path or an address cannot be opened from here"),
        ("abc$", "`file` is no base64"),
        ("a", "`file` is no base64"),
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,", "`file` is empty"),
        ("data:image/png;base64,%ff", "`file` is no base64"),
        ("data:,", "`file` is empty"),
        (17, "`file` is a number"),
        (True, "`file` is a truth value"),
        (["aGk="], "`file` is a list"),
        ({}, "neither `data` nor `resource.blob`"),
        ({"type": "image", "data": 5}, "neither `data` nor"),
        ({"type": "resource", "resource": {"blob": None}}, "neither `data` nor"),
        ({"type": "resource", "resource": {"text": ""}}, "`file` is empty"),
        ({"type": "resource", "resource": {"text": "\ud800"}}, "half of a surrogate pair"),
        ("data:,\ud800", "half of a surrogate pair"),
        ({"type": "resource_link"}, "a resource link needs a `uri`"),
    ],
)
def test_what_is_no_file_is_told_what_to_send(value: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        binary({"file": value} if value is not None else {}, "file", 1000)


def test_more_than_may_be_is_refused_before_it_is_decoded() -> None:
    fits, large = bytes(range(256)) * 16, bytes(range(256)) * 16 + b"x"
    for one, other in zip(spellings(fits), spellings(large), strict=True):
        assert binary({"file": one}, "file", len(fits)) == fits
        with pytest.raises(BadInput, match="`file` is too large: it may have 4096 bytes"):
            binary({"file": other}, "file", len(fits))
    with pytest.raises(BadInput, match="too large"):
        binary({"file": "$" * 10_000_000}, "file", 4096)


def test_a_link_is_asked_for_and_then_it_is_what_was_read() -> None:
    with pytest.raises(NeedsResource) as needed:
        binary({"file": LINK}, "file", 100)
    assert needed.value.uri == "file:///scan.png"
    read = {"file:///scan.png": {"contents": [{"uri": "file:///scan.png", "blob": base64.b64encode(b"hi").decode()}]}}
    filled = with_resources({"file": LINK, "top": 3}, read)
    assert binary(filled, "file", 100) == b"hi"
    assert filled["top"] == 3
    assert with_resources({"file": LINK}, {"other:": {}}) == {"file": LINK}


@pytest.mark.parametrize("result", [{}, {"contents": []}, {"contents": "x"}, {"contents": [None]}])
def test_a_resource_without_contents_is_told_so(result: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"the resource `file:///scan\.png` has no contents"):
        with_resources({"file": LINK}, {"file:///scan.png": result})


def test_a_misspelt_argument_is_named_with_those_that_there_are() -> None:
    only({"file": 1}, frozenset(("file", "top")))
    with pytest.raises(BadInput, match="there is no argument `fiel`; there is `file`, `top`"):
        only({"fiel": 1}, frozenset(("file", "top")))
