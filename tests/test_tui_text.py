from __future__ import annotations

import pytest
import urwid
from hypothesis import example, given
from hypothesis import strategies as st
from urwid.testing import resolve_attr

from zap.tui.text import Row, clip, cut, mark, pad, plain, row_width, tint, whole, width, window, wrap

FAMILY, FLAG, THUMB, HEART, ACCENT = "👩‍👩‍👧", "🇩🇪", "👍🏽", "❤️", "e\u0301"
PIECES = [
    *(
        FAMILY,
        FLAG,
        THUMB,
        HEART,
        ACCENT,
        "构",
        "建",
        "한",
        "क्षि",
        "မြန်",
        "می‌خواهم",
        "a",
        "B c",
        "é",
        "█▌",
        "⠋",
        "✓",
        "—",
    ),
    *(
        "\u200d",
        "\u200c",
        "\ufe0f",
        "\ufe0e",
        "\u0301",
        "\u1100",
        "\u1161",
        "\U0001f1e9",
        "\U0001f3fd",
        "\u0600",
        "\ue0b0",
    ),
    *("\x00", "\x7f", "\x9b", "\xad", "\u202e", "\ud800", "\t"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30)
ROWS: st.SearchStrategy[Row] = st.lists(st.tuples(st.sampled_from([None, "one", "two"]), TEXTS), max_size=5)
COLUMNS = st.integers(0, 20)


def clusters(text: str) -> list[str]:
    """What is drawn as one, letter by letter with urwid's own eyes."""
    found: list[str] = []
    at = 0
    while at < len(text):
        end = urwid.move_next_char(text, at, len(text))
        found.append(text[at:end])
        at = end
    return found


def cells(text: str) -> int:
    return sum(urwid.calc_width(cluster, 0, len(cluster)) for cluster in clusters(text))


def letters(row: Row) -> list[tuple[object, str]]:
    return [(attr, letter) for attr, text in row for letter in text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("", 0), ("abc", 3), ("naïve — “ok” ✓ ██░ ⠋ │", 22), ("构建", 4), (ACCENT, 1), ("a\u200db", 2)],
        *[(FAMILY, 2), (FLAG, 2), (THUMB, 2), (HEART, 2), ("\u0301", 0), ("\x00\x9b", 0), ("\ue0b0", 1)],
    ],
)
def test_width(text: str, expected: int) -> None:
    assert width(text) == expected


@given(text=TEXTS)
def test_width_is_that_of_what_is_drawn(text: str) -> None:
    assert width(text) == cells(text)


def test_no_letter_is_taken_for_one_that_is_easily_measured() -> None:
    for first in range(0, 0x20000, 0x80):
        block = "".join(map(chr, range(first, first + 0x80)))
        assert width(block) == cells(block), hex(first)
        assert [width(letter) for letter in block] == [cells(letter) for letter in block], hex(first)


@given(row=ROWS)
def test_a_row_is_as_wide_as_its_text(row: Row) -> None:
    assert row_width(row) == cells(plain(row))


@pytest.mark.parametrize(
    ("row", "columns", "ellipsis", "expected"),
    [
        ([("red", "abc")], 3, "…", [("red", "abc")]),
        ([("red", "abc")], 2, "…", [("red", "a"), ("red", "…")]),
        ([("red", "ab"), (None, "cd")], 3, "…", [("red", "ab"), (None, "…")]),
        ([("red", "abcdef")], 4, "...", [("red", "a"), ("red", "...")]),
        ([("red", "abcdef")], 2, "...", [("red", "..")]),
        ([("red", "abc")], 2, "", [("red", "ab")]),
        ([("red", "a构b")], 3, "…", [("red", "a"), ("red", "…")]),
        ([("red", "a构b")], 2, "", [("red", "a")]),
        ([("red", "abc")], 0, "…", []),
        ([("red", "abc")], -1, "…", []),
        ([], 0, "…", []),
        ([("red", f"a{FAMILY}")], 3, "…", [("red", f"a{FAMILY}")]),
        ([("red", f"a{FAMILY}b")], 3, "…", [("red", "a"), ("red", "…")]),
        ([("red", "👩"), ("two", "\u200d👧b")], 2, "", [("red", "👩"), ("two", "\u200d👧")]),
    ],
)
def test_cut(row: Row, columns: int, ellipsis: str, expected: Row) -> None:
    got = cut(row, columns, ellipsis)
    assert [segment for segment in got if segment[1]] == expected


@given(row=ROWS, columns=COLUMNS, ellipsis=st.sampled_from(["…", "...", ""]))
def test_what_is_cut_fits_and_is_the_beginning(row: Row, columns: int, ellipsis: str) -> None:
    got = cut(row, columns, ellipsis)
    assert row_width(got) <= columns
    if cells(plain(row)) <= columns:
        assert got == row
    elif ellipsis and columns >= len(ellipsis):
        assert plain(got).endswith(ellipsis)
        assert plain(row).startswith(plain(got).removesuffix(ellipsis))
        assert letters(row)[: len(letters(got)) - len(ellipsis)] == letters(got)[: -len(ellipsis)]


def test_clip() -> None:
    assert [clip("构建成功", columns) for columns in range(9)] == [
        *("", "…", "…", "构…", "构…", "构建…", "构建…", "构建成…", "构建成功"),
    ]
    assert clip("build", 4, "..") == "bu.."


@given(row=ROWS, columns=COLUMNS)
def test_a_padded_row_has_exactly_so_many_cells(row: Row, columns: int) -> None:
    got = pad(row, columns, "ground")
    assert row_width(got) == columns
    text = plain(got)
    assert plain(row).startswith(text) or text.rstrip(" ") == plain(cut(row, columns, "")).rstrip(" ")
    assert all(attr != "ground" or not part.strip(" ") for attr, part in got)


def test_half_a_character_is_not_drawn_at_the_right_edge() -> None:
    assert pad([("red", "a构建")], 4, "ground") == [("red", "a构"), ("ground", " ")]
    assert pad([("red", "构")], 1) == [(None, " ")]
    assert pad([], 2, "ground") == [("ground", "  ")]
    assert pad([("red", "ab")], 0) == []


@pytest.mark.parametrize(
    ("row", "columns", "expected"),
    [
        ([], 3, [[]]),
        ([(None, "abc")], 3, [[(None, "abc")]]),
        ([(None, "abcd")], 3, [[(None, "abc")], [(None, "d")]]),
        ([("red", "ab"), (None, "cdef")], 3, [[("red", "ab"), (None, "c")], [(None, "def")]]),
        ([("red", "abc"), (None, "def")], 3, [[("red", "abc")], [(None, "def")]]),
        ([(None, "a构建")], 2, [[(None, "a")], [(None, "构")], [(None, "建")]]),
        ([(None, "构建")], 1, [[(None, "构")], [(None, "建")]]),
        ([(None, "ab")], 0, [[(None, "a")], [(None, "b")]]),
        ([(None, f"ab{FAMILY}{FLAG}")], 3, [[(None, "ab")], [(None, FAMILY)], [(None, FLAG)]]),
        ([(None, f"ab{ACCENT}")], 3, [[(None, f"ab{ACCENT}")]]),
    ],
)
def test_wrap(row: Row, columns: int, expected: list[Row]) -> None:
    assert wrap(row, columns) == expected


@given(row=ROWS, columns=st.integers(1, 12))
def test_a_wrapped_row_loses_nothing_and_fills_its_pieces(row: Row, columns: int) -> None:
    pieces = wrap(row, columns)
    assert [letter for piece in pieces for letter in letters(piece)] == letters(row)
    assert [cluster for piece in pieces for cluster in clusters(plain(piece))] == clusters(plain(row))
    assert all(pieces[1:])
    for piece, following in zip(pieces, [*pieces[1:], []], strict=True):
        taken = cells(plain(piece))
        assert taken <= columns or len(clusters(plain(piece))) == 1
        assert not following or taken + cells(clusters(plain(following))[0]) > columns
    if cells(plain(pieces[0])) <= columns:
        assert letters(pieces[0]) == letters(cut(row, columns, ""))


@pytest.mark.parametrize(
    ("begin", "columns", "expected"),
    [
        (0, 99, [("red", "a构"), ("two", "b建c")]),
        (0, 2, [("red", "a ")]),
        (1, 2, [("red", "构")]),
        (2, 1, [("red", " ")]),
        (2, 2, [("red", " "), ("two", "b")]),
        (2, 3, [("red", " "), ("two", "b ")]),
        (5, 2, [("two", " c")]),
        (5, 1, [("two", " ")]),
        (6, 5, [("two", "c")]),
        (7, 5, []),
        (99, 5, []),
        (-2, 1, [("red", "a")]),
        (1, 0, []),
        (1, -5, []),
    ],
)
def test_window(begin: int, columns: int, expected: Row) -> None:
    got = window([("red", "a构"), ("two", "b建c")], begin, columns)
    assert letters(got) == letters(expected)


@given(row=ROWS, columns=st.integers(1, 12))
def test_windows_side_by_side_show_the_row(row: Row, columns: int) -> None:
    """Each shows its own cells: what is drawn in them, or spaces for what they show only a part of."""
    shown = [(at, window(row, at, columns)) for at in range(0, row_width(row) + columns, columns)]
    assert sum(row_width(got) for _, got in shown) == row_width(row)
    at = 0
    inside: dict[int, str] = {begin: "" for begin, _ in shown}
    for cluster in clusters(plain(row)):
        end = at + cells(cluster)
        for begin in inside:
            if begin <= at and end <= begin + columns and end > at:
                inside[begin] += cluster
            else:
                inside[begin] += " " * max(min(end, begin + columns) - max(at, begin), 0)
        at = end
    assert {begin: _drawn(plain(got)) for begin, got in shown} == {begin: _drawn(inside[begin]) for begin in inside}


def _drawn(text: str) -> str:
    return "".join(cluster for cluster in clusters(text) if cells(cluster))


@given(row=ROWS, spans=st.lists(st.tuples(st.integers(-3, 40), st.integers(-3, 40)), max_size=4))
@example(row=[(None, "abc")], spans=[(0, 0), (3, 3), (2, 1)])
@example(row=[("one", "ab"), ("two", "cd")], spans=[(1, 3), (0, 2)])
def test_mark_keeps_the_text_and_gives_an_attr_to_what_is_marked(row: Row, spans: list[tuple[int, int]]) -> None:
    expected = [
        ("hit" if any(begin <= at < end for begin, end in spans) else attr, letter)
        for at, (attr, letter) in enumerate(letters(row))
    ]
    assert letters(mark(row, spans, "hit")) == expected


def test_what_is_marked_is_one_segment() -> None:
    row: Row = [("one", "abc"), ("two", "def"), (None, "ghi")]
    assert mark(row, [(1, 7)], "hit") == [("one", "a"), ("hit", "bcdefg"), (None, "hi")]
    assert mark(row, [], "hit") == row


def test_on_a_ground_own_colours_stay_and_show_it_where_they_are_open() -> None:
    red = urwid.AttrSpec("dark red", "inherit")
    row = tint([(None, "a"), (red, "b"), ("hit", "c")], "selected")
    assert plain(row) == "abc"
    assert row[0] == ("selected", "a")

    palette = [("selected", "white", "dark blue"), ("hit", "black", "yellow")]
    drawn = [resolve_attr(attr, palette, colors=16) for attr, _ in row]
    assert [(spec.foreground, spec.background) for spec in drawn] == [
        *[("white", "dark blue"), ("dark red", "dark blue"), ("black", "yellow")],
    ]
    assert tint(row, None) == row


@given(row=ROWS)
@example(row=[("one", "👩"), ("two", "\u200d👧")])
@example(row=[("one", "构e"), ("two", "\u0301x")])
def test_no_segment_of_a_whole_row_begins_within_what_is_drawn_as_one(row: Row) -> None:
    got = whole(row)
    assert plain(got) == plain(row)
    assert sum(cells(text) for _, text in got) == cells(plain(row))
    begins = {0}
    for cluster in clusters(plain(row)):
        begins.add(max(begins) + len(cluster))
    kept = [attr for at, (attr, _) in enumerate(letters(row)) if at in begins]
    assert [attr for at, (attr, _) in enumerate(letters(got)) if at in begins] == kept


@pytest.mark.parametrize("piece", ["a", "构", "a\u0301", "\u200d", "\u1100", FAMILY, "a构"])
def test_a_very_long_line_takes_no_more_than_linear_time(piece: str) -> None:
    row: Row = [(None, piece * (300_000 // len(piece)))]
    assert row_width(cut(row, 80)) <= 80
    assert plain([segment for part in wrap(row, 80) for segment in part]) == plain(row)
    assert row_width(window(row, 100_000, 80)) <= 80
    assert plain(mark(row, [(at, at + 1) for at in range(0, 100_000, 2)], "hit")) == plain(row)
