"""Members of a JSON text that is somebody else's: what was not meant to change keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.json_edit import JsonText, NotEditable
from tidegate.config.locate import without_json_comments

ENTRY = {"command": "/usr/bin/tidegate", "args": ["connect"]}
PATH = ("mcpServers", "tidegate")

COMMENTED = """\
// what I like
{
\t"theme": "dark", // never light
\t/* servers { "tidegate": 1 } */
\t"mcpServers": {
\t\t"other": { "command": "x" }, // keep, really
\t\t// "off": {},
\t},
}
"""


def read(text: str) -> Any:
    return json.loads(without_json_comments(text))


def edited(text: str, value: Any = ENTRY, path: tuple[str, ...] = PATH) -> str:
    json_text = JsonText(text)
    json_text.set(path, value)
    return json_text.text


def removed(text: str, path: tuple[str, ...] = PATH) -> str:
    json_text = JsonText(text)
    json_text.remove(path)
    return json_text.text


def test_a_member_is_appended_in_the_style_of_the_file_and_every_comment_stays() -> None:
    assert edited(COMMENTED) == COMMENTED.replace(
        '\t\t// "off": {},\n',
        '\t\t"tidegate": {\n\t\t\t"command": "/usr/bin/tidegate",\n\t\t\t"args": ["connect"]\n\t\t},\n'
        '\t\t// "off": {},\n',
    )


def test_taking_it_out_again_gives_the_bytes_there_were() -> None:
    assert removed(edited(COMMENTED)) == COMMENTED


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "",
        "{\n}\n",
        '{"mcpServers": {}}',
        '{"mcpServers": {"a": {}}}',
        '{\n  "mcpServers": {\n    "a": {}\n  }\n}\n',
        '{\r\n  "mcpServers": {\r\n    "a": {} // c\r\n  }\r\n}\r\n',
        '{\n    "x": 1\n}',
        "{ // nothing yet\n}",
        '{"mcpServers": {"a": {"command": "tide\\u0067ate", "n": 1.50e2}}, "z": "//"}',
        '\ufeff{"x": 1}',
        '{"x": [1, 2,], /* , */ }',
        '{"mcpServers": { /* none */ }}',
        '{"x": 1 /* } */ , "y": {"b": 2 // {\n}}',
    ],
)
def test_the_result_reads_as_meant_whatever_the_file_looked_like(text: str) -> None:
    before = read(text.removeprefix("\ufeff")) if text else {}
    after = edited(text)
    expected = {**before, "mcpServers": {**before.get("mcpServers", {}), "tidegate": ENTRY}}
    assert read(after.removeprefix("\ufeff")) == expected
    assert after.startswith("\ufeff") == text.startswith("\ufeff")
    del expected["mcpServers"]["tidegate"]
    assert read(removed(after).removeprefix("\ufeff")) == expected


def test_lines_end_as_they_did() -> None:
    after = edited('{\r\n  "mcpServers": {\r\n    "a": {}\r\n  }\r\n}\r\n')
    assert "\n" not in after.replace("\r\n", "")


def test_one_value_is_replaced_in_place() -> None:
    text = '{"mcpServers": {"tidegate": {"command": "/old", "args": ["connect"], "disabled": true}}} // end'
    assert edited(text, "/new", (*PATH, "command")) == text.replace("/old", "/new")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"mcpServers": {"tidegate": {}, "b": 1}}', '{"mcpServers": {"b": 1}}'),
        ('{"mcpServers": {"a": 1, "tidegate": {}}}', '{"mcpServers": {"a": 1}}'),
        ('{"mcpServers": {"a": 1 , "tidegate": {} }}', '{"mcpServers": {"a": 1 }}'),
        ('{"mcpServers": {"tidegate": {}}}', '{"mcpServers": {}}'),
        ('{\n  "mcpServers": {\n    "tidegate": {}, // ours\n    "b": 1\n  }\n}', None),
        ('{\n  "mcpServers": {\n    "a": 1, // one\n    // two\n    "tidegate": {}\n  }\n}', None),
    ],
)
def test_a_member_is_taken_out_with_its_comma_and_no_comment(text: str, left: str | None) -> None:
    after = removed(text)
    if left is not None:
        assert after == left
    for comment in ("// ours", "// one", "// two"):
        assert (comment in after) == (comment in text)
    expected = read(text)
    del expected["mcpServers"]["tidegate"]
    assert read(after) == expected


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    for text in ("{}", '{"mcpServers": []}', COMMENTED):
        assert removed(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: not JSON"),
        ("[]", "line 1, column 1: expected an object"),
        ('{"mcpServers": []}', "line 1, column 16: expected an object as the value of `mcpServers`"),
        ('{\n "a": 1,\n "a": 2}', "line 3, column 2: expected each key once; `a` came before"),
        ('{"a": NaN}', "not JSON that can be read: `NaN` is not a JSON value"),
        ('{"a": "' + "x", "line 1, column 7: not JSON"),
        ("[" * 100_000, "not JSON that can be read"),
    ],
)
def test_what_cannot_be_read_without_doubt_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(NotEditable) as refused:
        edited(text)
    assert str(refused.value).startswith(message)


KEYS = st.sampled_from(["a", "b", "tidegate", "mcpServers", 'q"uote', "Ω", "//", "/*"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
NOISE = st.sampled_from(["", "", " ", "\n", "\n  ", "\t", "/* { , */", "// } ,\n", ' // "x": 1\n\n', "\r\n"])


@st.composite
def written(draw: st.DrawFn, value: Any, noise: st.SearchStrategy[str] = NOISE) -> str:
    """`value` as somebody may have written it: comments and blanks anywhere, trailing commas."""
    gap = lambda: draw(noise)  # noqa: E731
    if isinstance(value, dict):
        parts = [
            f"{gap()}{json.dumps(key)}{gap()}:{gap()}{draw(written(item, noise))}{gap()}" for key, item in value.items()
        ]
        comma = f",{gap()}" if parts and draw(st.booleans()) else ""
        return "{" + gap() + ",".join(parts) + comma + "}"
    if isinstance(value, list):
        comma = f",{gap()}" if value and draw(st.booleans()) else ""
        return "[" + ",".join(f"{gap()}{draw(written(item, noise))}{gap()}" for item in value) + comma + "]"
    return json.dumps(value)


@settings(deadline=None)
@given(st.data(), st.dictionaries(KEYS, VALUES, max_size=4), VALUES)
def test_any_text_reads_as_meant_after_set_and_after_remove(data: st.DataObject, tree: Any, value: Any) -> None:
    servers = tree.get("mcpServers", {})
    if not isinstance(servers, dict):
        servers = {}
        del tree["mcpServers"]
    text = data.draw(written(tree))
    assert read(text) == tree
    after = edited(text, value)
    expected = {**tree, "mcpServers": {**tree.get("mcpServers", {}), "tidegate": value}}
    assert read(after) == expected
    assert list(read(after)) == list(expected)
    without = removed(after)
    del expected["mcpServers"]["tidegate"]
    assert read(without) == expected
    if "tidegate" not in servers:  # else what stood in the value that was replaced is gone with it
        assert comments(after) == comments(without) == comments(text)


def comments(text: str) -> list[str]:
    plain = without_json_comments(text)
    found = "".join(char if char != blank else " " for char, blank in zip(text, plain, strict=True))
    return sorted(word for word in found.replace(",", " ").split() if word)
