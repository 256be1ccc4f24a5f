"""Paragraphs and tables in a window."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.colours import Span, painted
from tidegate.cli.layout import Column, pad, table, wrap
from tidegate.cli.terminal import clean, width

texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60).map(clean)


@given(st.lists(texts.filter(lambda word: word and " " not in word), max_size=12), st.integers(8, 60))
def test_a_paragraph_fits_and_loses_nothing(words: list[str], room: int) -> None:
    lines = wrap(" ".join(words), room, "  ", "- ")
    assert all(width(line) <= room for line in lines)
    assert "".join(line[2:] for line in lines).replace(" ", "") == "".join(words).replace(" ", "")


@given(texts, st.integers(2, 40), st.booleans())
def test_a_padded_cell_is_as_wide_as_asked(text: str, room: int, right: bool) -> None:
    assert width(pad(text, room, right=right)) == room


COLUMNS = (Column("NAME", 0, least=8), Column("STATE"), Column("N", 1, right=True), Column("MORE", 2))


@given(st.lists(st.tuples(texts, st.sampled_from(("ready", "down")), texts, texts), max_size=5), st.integers(15, 120))
def test_a_table_fits_its_window(rows: list[tuple[str, ...]], room: int) -> None:
    lines = table(COLUMNS, [[Span(cell) for cell in row] for row in rows], room)
    assert len(lines) == len(rows) + 1
    assert all(width(painted(line, None, colours=False)) <= room for line in lines)


def test_columns_go_by_rank_and_the_name_is_cut_before() -> None:
    row = [Span("a-name-of-some-length"), Span("ready"), Span("12345"), Span("further words")]

    def titles(room: int) -> str:
        return painted(table(COLUMNS, [row], room)[0], None, colours=False)

    assert titles(80).split() == ["NAME", "STATE", "N", "MORE"]
    assert titles(38).split() == ["NAME", "STATE", "N", "MORE"]
    assert titles(30).split() == ["NAME", "STATE", "N"]
    assert titles(16).split() == ["NAME", "STATE"]


def test_a_column_that_says_nothing_is_left_out() -> None:
    lines = table(COLUMNS, [[Span("a"), Span("ready"), Span("-"), Span("x")]], 80)
    assert painted(lines[0], None, colours=False).split() == ["NAME", "STATE", "MORE"]


def test_colours_take_no_room_and_can_be_left_out() -> None:
    line = [Span("漢字漢字", "bad"), Span("end")]
    assert painted(line, 5, colours=False) == "漢字…"
    assert painted(line, 8, colours=True) == "\x1b[1;31m漢字漢字\x1b[0m"
    assert painted(line, None, colours=False) == "漢字漢字end"
