"""A manifest says what it should or is refused in words, whoever wrote it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.config.snapshot import Bounds
from tidegate.sandbox.manifest import (
    MAX_MANIFEST_BYTES,
    SECTION,
    Asks,
    BrokenManifest,
    Manifest,
    Tool,
    embed,
    listed_tools,
    manifest_of,
    parse_manifest,
    with_tools,
)
from tidegate.sandbox.sections import custom_section

MODULE = b"\0asm\x01\0\0\0"
PLAIN = 'name = "units"\nversion = "1.0.0"\nworld = "tool"\n'
FILTER = 'name = "mask"\nversion = "1.0.0"\nworld = "filter"\n'
CONVERT = '[[tools]]\nname = "convert"\ninput_schema = { properties = { value = { type = "number" } } }\n'


def refusal(text: str) -> str:
    with pytest.raises(BrokenManifest) as caught:
        parse_manifest(text.encode())
    return str(caught.value)


def test_everything_a_manifest_may_say_is_understood() -> None:
    text = """
        name = "units"
        version = "1.0.0"
        description = "Converts."
        world = "tool"
        [[tools]]
        name = "convert"
        title = "Convert"
        description = "A to B."
        input_schema = { type = "object", properties = { value = { type = "number" } } }
        output_schema = '{"type":"object","required":["value"]}'
        annotations = { readOnlyHint = true }
        [asks]
        folders = { "/data" = "read", "/out" = "write" }
        http = ["API.example.com", "127.0.0.1:8080", "*"]
        store_bytes = 65536
        log = true
        time = true
        random = true
        call = ["host__*"]
        [limits]
        memory_bytes = 16777216
        deadline_ms = 1000
        output_bytes = 1048576
        concurrency = 4
    """
    found = parse_manifest(text.encode())
    tool = {
        "name": "convert",
        "title": "Convert",
        "description": "A to B.",
        "inputSchema": {"type": "object", "properties": {"value": {"type": "number"}}},
        "outputSchema": {"type": "object", "required": ["value"]},
        "annotations": {"readOnlyHint": True},
    }
    assert json.loads(found.tools[0].json) == tool
    assert found == Manifest(
        name="units",
        version="1.0.0",
        world="tool",
        description="Converts.",
        tools=(Tool("convert", found.tools[0].json),),
        asks=Asks(
            folders=(("/data", "read"), ("/out", "write")),
            http=("api.example.com", "127.0.0.1:8080", "*"),
            store_bytes=65536,
            log=True,
            time=True,
            random=True,
            call=("host__*",),
        ),
        limits=Bounds(16777216, 1000, 1048576, 4),
    )


def test_a_filter_says_what_it_inspects() -> None:
    assert parse_manifest((FILTER + 'inspects = ["result"]').encode()).inspects == ("result",)


def test_a_schema_without_a_type_is_one_of_an_object() -> None:
    (tool,) = parse_manifest((PLAIN + CONVERT).encode()).tools
    assert json.loads(tool.json)["inputSchema"]["type"] == "object"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "`world`: expected"),
        ("a", "the manifest is not TOML"),
        (PLAIN.replace("units", "Units"), "`name`: expected at most 32 lower-case"),
        (PLAIN.replace("units", "../x"), "`name`: expected at most 32 lower-case"),
        (PLAIN.replace('"1.0.0"', "1"), "`version`: expected a version"),
        (PLAIN.replace("tool", "both"), '`world`: expected "tool" or "filter"'),
        (PLAIN + "colour = 1", "`colour`: unknown key; expected asks, "),
        (PLAIN + 'inspects = ["request"]', "`inspects`: expected only beside"),
        (FILTER, "`inspects`: expected a list"),
        (FILTER + "inspects = []", '`inspects`: expected some of "request"'),
        (FILTER + 'inspects = ["all"]', '`inspects`: expected some of "request"'),
        (FILTER + 'inspects = ["result"]\n' + CONVERT, "`tools`: expected none"),
        (PLAIN + "tools = []", "`tools`: expected `[[tools]]`"),
        (PLAIN + CONVERT + CONVERT, "`tools`: expected each name once"),
        (PLAIN + CONVERT.replace("convert", "a b"), "`tools[0].name`: expected at most 64"),
        (PLAIN + "[[tools]]\nname = 'x'", "`tools[0].input_schema`: expected it to be given"),
        (PLAIN + "[[tools]]\nname = 'x'\ninput_schema = '{'", "`tools[0].input_schema`: expected a table, or JSON"),
        (PLAIN + "[[tools]]\nname = 'x'\ninput_schema = '[]'", "`tools[0].inputSchema`: expected a JSON Schema"),
        (PLAIN + "[[tools]]\nname = 'x'\ninput_schema = {type = 'string'}", "`tools[0].inputSchema`: expected a JSON"),
        (PLAIN + CONVERT + "colour = 1", "`tools[0].colour`: unknown key"),
        (PLAIN + f"[[tools]]\nname = 'x'\ninput_schema = '{'[' * 20000}'", "`tools[0].input_schema`: expected a table"),
        (PLAIN + "[asks]\nlog = 1", "`asks.log`: expected `true` or `false`"),
        (PLAIN + "[asks]\nfiles = true", "`asks.files`: unknown key"),
        (PLAIN + "[asks]\nhttp = ['http://x/']", "`asks.http`: expected host names"),
        (PLAIN + "[asks]\nfolders = {'data' = 'read'}", "`asks.folders`: expected absolute"),
        (PLAIN + "[asks]\nfolders = {'/a/../b' = 'read'}", "`asks.folders`: expected absolute"),
        (PLAIN + "[asks]\nfolders = {'/a' = 'rw'}", '`asks.folders./a`: expected "read" or "write"'),
        (PLAIN + "[asks]\nstore_bytes = -1", "`asks.store_bytes`: expected a whole number"),
        (PLAIN + "[limits]\ndeadline_ms = true", "`limits.deadline_ms`: expected a whole number"),
        (PLAIN + f"[asks]\ncall = {['x'] * 65}", "`asks.call`: expected a list of at most 64"),
        (PLAIN + "description = 2020-01-01", "expected values that JSON has"),
        (PLAIN + CONVERT + "annotations = {a = nan}", "expected numbers that JSON has"),
        (PLAIN + CONVERT + f"annotations = {{a = 0x{'f' * 5000}}}", "expected numbers of at most 64 bits"),
        (PLAIN + f"x = {'[' * 40}{']' * 40}", "expected at most 32 levels"),
        (PLAIN + "[[tools]]\nname = 'x'\ninput_schema = '{\"\\ud800\":0}'", "expected text without lone surrogates"),
        ("a." * 100_000 + "a = 1", "expected keys of at most 16 parts"),
        ('"\\"".' * 50_000 + "a = 1", "expected keys of at most 16 parts"),
        ("a = " + "[" * 100_000, "the manifest is nested too deeply"),
        ("a = " + "9" * 100_000, "the manifest is not TOML"),
        ("#" * (MAX_MANIFEST_BYTES + 1), "expected at most 262144 bytes"),
        (
            PLAIN + "".join(f"[[tools]]\nname = 't{at}'\ninput_schema = {{}}\n" for at in range(257)),
            "`tools`: expected",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_with_the_key(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BrokenManifest, match="not UTF-8"):
        parse_manifest(b"name = '\xff'")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: (PLAIN + text).encode("utf-8", "replace")))
def test_no_bytes_raise_anything_but_a_refusal(text: bytes) -> None:
    try:
        found = parse_manifest(text)
    except BrokenManifest:
        return
    assert found.name == "units"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.fixed_dictionaries({"name": JSON | st.just("a"), "inputSchema": JSON | st.just({})}) | JSON))
@example([{"name": "a", "inputSchema": {"x": "\ud800"}}])
@example([{"name": "a", "inputSchema": {"x": 1e400}}])
def test_whatever_a_guest_lists_is_tools_or_a_refusal(listed: list[object]) -> None:
    try:
        tools = listed_tools(json.dumps(listed))
    except BrokenManifest:
        return
    for tool in tools:
        json.loads(tool.json).pop("inputSchema")["type"] = "object"
        tool.json.encode()


def test_listed_tools_are_written_into_the_manifest_as_they_are() -> None:
    tools = listed_tools(
        json.dumps(
            [
                {
                    "name": "a",
                    "title": "It's",
                    "description": 'Says "so"\n\\ and \u007f.',
                    "inputSchema": {"type": "object", "properties": {"x.y": {"enum": [None, 1.5, "ü"]}}},
                    "outputSchema": {"type": "object"},
                    "annotations": {"readOnlyHint": True},
                    "execution": "dropped",
                },
                {"name": "b", "inputSchema": {}},
            ]
        )
    )
    assert [tool.name for tool in tools] == ["a", "b"]
    text = with_tools(PLAIN.encode() + b"[asks]\nlog = true\n", tools)
    assert parse_manifest(text).tools == tools
    assert parse_manifest(text).asks.log


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[1]", '[{"name":"a"}]', '[{"name":"a","inputSchema":{}},1]', "[" * 9]
)
def test_a_list_of_tools_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BrokenManifest, match="list-tools"):
        listed_tools(text)


def test_a_manifest_goes_into_the_file_and_comes_out_of_it(tmp_path: Path) -> None:
    text = (PLAIN + CONVERT).encode()
    wasm = embed(MODULE, text)
    assert custom_section(wasm, SECTION) == text
    assert manifest_of(wasm) == parse_manifest(text)
    with pytest.raises(BrokenManifest):
        embed(MODULE, b"")


def test_a_manifest_beside_the_file_is_read_when_there_is_none_in_it(tmp_path: Path) -> None:
    file = tmp_path / "units.wasm"
    with pytest.raises(BrokenManifest, match="there is no manifest in it"):
        manifest_of(MODULE, file)
    (tmp_path / "units.toml").write_text(PLAIN)
    assert manifest_of(MODULE, file).name == "units"
    inside = embed(MODULE, PLAIN.replace("units", "inside").encode())
    assert manifest_of(inside, file).name == "inside"
