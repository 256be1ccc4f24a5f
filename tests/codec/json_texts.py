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


Draw = Callable[[st.SearchStrategy[Any]], Any]
Members = dict[str, st.SearchStrategy[str]]


@st.composite
def _object_of(draw: Draw, known: Members, needed: tuple[str, ...] = ()) -> str:
    """An object of the known members in any order, mostly once each."""
    optional = [key for key in known if key not in needed]
    chosen = draw(st.lists(st.sampled_from(optional), unique=True)) if optional else []
    keys = draw(st.permutations([*needed, *chosen]))
    if keys and draw(st.integers(0, 9)) == 0:
        keys = [*keys, draw(st.sampled_from(keys))]
    members = [
        draw(SPACES) + draw(respelt(key)) + draw(SPACES) + ":" + draw(SPACES) + draw(known[key]) + draw(SPACES)
        for key in keys
    ]
    return "{" + ",".join(members) + "}"


GOOD_IDS = st.sampled_from(["1", "-7", '"a"', '"\\u0061"', "18446744073709551616"])
TOKENS = GOOD_IDS | SCALARS
META = _object_of({"progressToken": TOKENS, "a": VALUES})
GOOD: Members = {
    "jsonrpc": st.sampled_from(['"2.0"', '"2.0"', '"2\\u002e0"']),
    "id": GOOD_IDS,
    "method": st.sampled_from(['"tools/call"', '"notifications/progress"']) | STRINGS,
    "params": _object_of(
        {"name": STRINGS, "uri": STRINGS, "arguments": VALUES, "_meta": META, "progressToken": TOKENS}
    ),
    "result": _object_of({"resultType": STRINGS, "_meta": OBJECTS, "content": VALUES}),
    "error": OBJECTS,
    "extra": VALUES,
}
ODD: Members = {
    "jsonrpc": st.sampled_from(['"1.0"', "2.0"]),
    "id": st.sampled_from(["null", "1.5", "1e3", "true", "{}"]),
    "method": st.sampled_from(['"\\ud800"', "1"]),
    "params": VALUES | _object_of({"name": SCALARS, "uri": SCALARS, "_meta": VALUES}),
    "result": VALUES | _object_of({"resultType": VALUES, "_meta": VALUES}),
    "error": VALUES,
    "extra": VALUES,
}
MIXED: Members = {key: GOOD[key] | GOOD[key] | GOOD[key] | ODD[key] for key in GOOD}


def _messages(parts: Members) -> st.SearchStrategy[str]:
    def some(*needed: str, also: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
        known = {key: parts[key] for key in (*needed, *also, "extra")}
        return _object_of(known, needed)

    return st.one_of(
        some("jsonrpc", "id", "method", "params"),
        some("jsonrpc", "id", "method", also=("params",)),
        some("jsonrpc", "method", also=("params",)),
        some("jsonrpc", "id", "result"),
        some("jsonrpc", "error", also=("id",)),
    )


MESSAGES: st.SearchStrategy[str] = st.one_of(_messages(GOOD), _messages(MIXED), _object_of(MIXED))


@st.composite
def damaged(draw: Draw, texts: st.SearchStrategy[str]) -> bytes:
    """Bytes of a text with one place cut, doubled, or overwritten by something awkward."""
    whole = str(draw(texts)).encode()
    at = draw(st.integers(0, len(whole)))
    end = min(len(whole), at + draw(st.integers(0, 3)))
    awkward = [
        b"",
        b'"',
        b"\\",
        b"{",
        b"[",
        b"}",
        b"]",
        b",",
        b":",
        b"0",
        b"-",
        b".",
        b"\x00",
        b"\xff",
        b"\xc3",
        b"[[[",
    ]
    put = bytes(draw(st.sampled_from(awkward) | st.binary(max_size=2)))
    return whole[:at] + put + whole[end:]


ANY_BYTES = st.one_of(MESSAGES.map(str.encode), VALUES.map(str.encode), damaged(MESSAGES), damaged(VALUES), st.binary())
