"""What the property tests feed the JSON functions: texts rather than values, since spelling is the point."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

SPACES = st.sampled_from(["", "", "", "", " ", "\n", "\t \r\n"])

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["0", "-0", "-0.0", "1.0", "1.50", "1e5", "1E+05", "0.1", "1e400", "2.5e-7", "1e16", "-32", "255"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)

CHARACTERS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda text: json.dumps(text)[1:-1]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1]
    ),
    st.sampled_from(["\\ud83d\\ude00", "\\ud800", "\\udc00x", "\\u0000", "\\/", "\\\\", "\\ud800\\u0041"]),
)

STRINGS = st.lists(CHARACTERS, max_size=3).map(lambda parts: '"' + "".join(parts) + '"')

SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null"]))


def respelt(key: str) -> st.SearchStrategy[str]:
    """A key as a token, mostly plain and sometimes with its first character escaped."""
    return st.sampled_from([f'"{key}"'] * 4 + [f'"\\u{ord(key[0]):04x}{key[1:]}"'])


def objects(keys: st.SearchStrategy[str], values: st.SearchStrategy[str], max_size: int = 4) -> st.SearchStrategy[str]:
    member = st.tuples(SPACES, keys, SPACES, SPACES, values, SPACES).map(
        lambda parts: f"{parts[0]}{parts[1]}{parts[2]}:{parts[3]}{parts[4]}{parts[5]}"
    )
    full = st.lists(member, min_size=1, max_size=max_size).map(lambda members: "{" + ",".join(members) + "}")
    return st.one_of(full, SPACES.map(lambda space: "{" + space + "}")) if max_size else full


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    item = st.tuples(SPACES, values, SPACES).map("".join)
    return st.lists(item, max_size=4).map(lambda items: "[" + ",".join(items) + "]")


SHORT_KEYS = st.one_of(st.sampled_from("abc").flatmap(respelt), STRINGS)

VALUES: st.SearchStrategy[str] = st.recursive(
    SCALARS, lambda inner: st.one_of(objects(SHORT_KEYS, inner), arrays(inner)), max_leaves=12
)

OBJECTS = objects(SHORT_KEYS, VALUES)


def _members(known: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    """An object with some of the known members, now and then with one twice or an unknown one."""
    one = st.sampled_from(sorted(known)).flatmap(lambda key: st.tuples(respelt(key), known[key]))
    other = st.tuples(SHORT_KEYS, VALUES)
    member = st.tuples(SPACES, one | one | one | other, SPACES).map(
        lambda parts: f"{parts[0]}{parts[1][0]}{parts[2]}:{parts[0]}{parts[1][1]}{parts[2]}"
    )
    return st.lists(member, max_size=6, unique_by=lambda text: text.split(":")[0]).map(
        lambda members: "{" + ",".join(members) + "}"
    )


IDS = st.one_of(st.sampled_from(["1", "-7", '"a"', '"\\u0061"', "null", "1.5", "1e3", "true", "{}"]), NUMBERS)
TOKENS = st.one_of(IDS, STRINGS)
META = _members({"progressToken": TOKENS, "a": VALUES})
PARAMS = _members(
    {"name": STRINGS | SCALARS, "uri": STRINGS, "arguments": VALUES, "_meta": META | META | VALUES, "progressToken": TOKENS}
)
RESULT = _members({"resultType": STRINGS | VALUES, "_meta": OBJECTS | VALUES, "content": VALUES})
VERSION = st.sampled_from(['"2.0"'] * 6 + ['"2\\u002e0"', '"1.0"', "2.0"])

PARTS: dict[str, st.SearchStrategy[str]] = {
    "jsonrpc": VERSION,
    "id": IDS,
    "method": st.sampled_from(['"tools/call"', '"notifications/progress"', '"\\ud800"', "1"]) | STRINGS,
    "params": PARAMS | PARAMS | PARAMS | VALUES,
    "result": RESULT | RESULT | VALUES,
    "error": OBJECTS | VALUES,
    "x": VALUES,
}

SHAPES = st.sampled_from(
    [
        ["jsonrpc", "id", "method", "params"],
        ["jsonrpc", "id", "method", "params"],
        ["params", "method", "id", "jsonrpc", "x"],
        ["jsonrpc", "method", "params"],
        ["jsonrpc", "id", "result"],
        ["jsonrpc", "id", "error"],
        ["jsonrpc", "error"],
        ["jsonrpc", "id", "result", "error"],
        ["jsonrpc", "id", "id", "method"],
        ["jsonrpc", "id", "method", "params", "params"],
        ["jsonrpc", "id", "method", "result"],
        ["id", "method"],
    ]
)


@st.composite
def _messages(draw: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    members = [
        draw(SPACES) + draw(respelt(key)) + draw(SPACES) + ":" + draw(SPACES) + draw(PARTS[key]) + draw(SPACES)
        for key in draw(SHAPES)
    ]
    return str(draw(SPACES)) + "{" + ",".join(members) + "}" + str(draw(SPACES))


MESSAGES: st.SearchStrategy[str] = _messages()


@st.composite
def damaged(draw: Callable[[st.SearchStrategy[Any]], Any], texts: st.SearchStrategy[str]) -> bytes:
    """Bytes of a text with one place cut, doubled, or overwritten by something awkward."""
    whole: bytes = draw(texts).encode()
    at = draw(st.integers(0, len(whole)))
    end = min(len(whole), at + draw(st.integers(0, 3)))
    awkward = [b"", b'"', b"\\", b"{", b"[", b"}", b"]", b",", b":", b"0", b"-", b".", b"\x00", b"\xff", b"\xc3", b"[[["]
    return whole[:at] + draw(st.sampled_from(awkward) | st.binary(max_size=2)) + whole[end:]


ANY_BYTES = st.one_of(MESSAGES.map(str.encode), VALUES.map(str.encode), damaged(MESSAGES), damaged(VALUES), st.binary())
