"""What may reach a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.content import safe_name
from tidegate.cli.progress import progress_words
from tidegate.cli.terminal import clean, cut, json_text, one_line, width

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)


@given(ANY_TEXT)
def test_no_control_character_is_left(text: str) -> None:
    kept = [char for char in clean(text) if unicodedata.category(char) in ("Cc", "Cs")]
    assert set(kept) <= {"\n", "\t"}


@given(ANY_TEXT)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


@given(st.recursive(ANY_TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3)))
def test_json_keeps_its_value_and_loses_what_a_terminal_obeys(value: object) -> None:
    shown = json_text(json.dumps(value, ensure_ascii=False, indent=1).replace("\n", "\r\n"))
    assert json.loads(shown) == value
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char != "\n"]


def test_ordinary_text_of_any_language_stays() -> None:
    for text in ("naïve 日本語 العربية עברית हिन्दी 👩‍👩‍👧", "a\tb\nc"):
        assert clean(text) == text


def test_a_direction_that_is_turned_is_shown() -> None:
    assert clean("invoice\u202efdp.exe") == "invoice\\u202efdp.exe"


@given(ANY_TEXT.map(one_line), st.integers(1, 40))
def test_what_is_cut_fits(line: str, room: int) -> None:
    assert width(cut(line, room)) <= room


def test_wide_characters_count_twice() -> None:
    assert width("日本") == 4
    assert cut("日本語", 5) == "日本…"


@given(ANY_TEXT, ANY_TEXT)
def test_a_file_name_is_one_harmless_step(name: str, mime_type: str) -> None:
    found = safe_name(name, mime_type)
    assert found.isascii()
    assert found[0] not in ".-_"
    assert set(found) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize(
    ("name", "mime_type", "found"),
    [
        ("file:///srv/a%20b.PNG", "image/png", "a_b.PNG"),
        ("photo.jpeg", "image/jpeg", "photo.jpeg"),
        ("server__shoot", "image/jpeg", "server__shoot.jpg"),
        ("../../.bashrc", "text/plain", "bashrc.txt"),
        ("blob", "application/x-unknown", "blob.bin"),
        ("", "image/png", "content.png"),
    ],
)
def test_names_of_files_keep_what_is_harmless(name: str, mime_type: str, found: str) -> None:
    assert safe_name(name, mime_type) == found


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"progress": 1, "total": 4, "message": "a\nb"}, "1/4 (25 %) a"),
        ({"progress": 0.5}, "0.5"),
        ({"progress": "x\x1b", "total": 0, "message": 3}, "?/0"),
        ({}, "?"),
        ({"progress": 10**400, "total": 3}, f"{10**400}/3"),
        ({"progress": 10**400, "total": 2 * 10**400}, f"{10**400}/{2 * 10**400} (50 %)"),
        ({"progress": 10**400, "total": float("inf")}, f"{10**400}/inf"),
        ({"progress": 1, "total": 5e-324}, "1/4.94066e-324"),
    ],
)
def test_progress_in_words(params: dict[str, object], words: str) -> None:
    assert progress_words(params) == words
