from __future__ import annotations

import io
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import cast
from unicodedata import normalize

import pyte
import pytest
import urwid
from hypothesis import example, given
from hypothesis import strategies as st
from urwid.display.raw import Screen
from urwid.testing import ScriptedScreen, check_box_sizing, render_runs, render_text

from tests.test_tui_text import COLUMNS, ROWS, cells, letters
from zap.tui.canvas import Painting, Run
from zap.tui.colours import Colours, parse
from zap.tui.text import Attr, Row, pad, plain

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FAMILY = "👩‍👩‍👧"


@pytest.fixture(autouse=True, scope="module")
def _utf8() -> Iterator[None]:
    before = urwid.util.get_encoding()
    urwid.set_encoding("utf-8")
    yield
    urwid.set_encoding(before)


class Wall(urwid.Widget):
    """Shows these rows, and blank ones below."""

    _sizing = frozenset([urwid.BOX])

    def __init__(self, rows: Sequence[Row], cursor: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.painted, self.cursor = rows, cursor

    def render(self, size: tuple[int, int], focus: bool = False) -> Painting:  # type: ignore[override]
        columns, height = size
        rows = [*self.painted, *([[]] * height)][:height]
        fits = self.cursor and self.cursor[0] < columns and self.cursor[1] < height
        return Painting(rows, columns, self.cursor if fits else None)


def rows_of(content: Iterable[Iterable[Run]]) -> list[Row]:
    return [[(cast(Attr, attr), text.decode()) for attr, _, text in runs] for runs in content]


def test_rows_are_padded_and_cut() -> None:
    painting = Painting([[("red", "ab"), (None, "构建")], [], [("one", "构")]], 5, (1, 2))
    assert (painting.cols(), painting.rows(), painting.cursor) == (5, 3, (1, 2))
    assert rows_of(painting.content()) == [
        [("red", "ab"), (None, "构"), (None, " ")],
        [(None, "     ")],
        [("one", "构"), (None, "   ")],
    ]
    assert painting.decoded_text == ("ab构 ", "     ", "构   ")


@given(rows=st.lists(ROWS, min_size=1, max_size=3), columns=COLUMNS)
@example(rows=[[(None, "\ud800\udfff\x1b]0;t\x07\x1b[31mred\tx\r\ny")]], columns=12)
@example(rows=[[("one", "👩"), ("two", "\u200d👧")]], columns=2)
def test_every_row_is_exactly_as_wide_and_is_text_alone(rows: list[Row], columns: int) -> None:
    for row in rows_of(Painting(rows, columns).content()):
        assert cells(plain(row)) == columns
        assert sum(cells(text) for _, text in row) == columns, "urwid measures run by run"
        assert not CONTROL.search(plain(row))


@given(rows=st.lists(ROWS, min_size=1, max_size=3), columns=st.integers(1, 20), data=st.data())
def test_a_part_is_as_wide_as_asked_and_shows_what_is_there(rows: list[Row], columns: int, data: st.DataObject) -> None:
    painting = Painting(rows, columns)
    left = data.draw(st.integers(0, columns - 1))
    width = data.draw(st.integers(1, columns - left))
    top = data.draw(st.integers(0, len(rows) - 1))
    height = data.draw(st.integers(1, len(rows) - top))
    part = rows_of(painting.content(left, top, width, height))
    assert [cells(plain(row)) for row in part] == [width] * height
    if (left, width) == (0, columns):
        assert part == rows_of(painting.content())[top : top + height]
    if all(plain(row).isascii() for row in rows):
        all_letters = [letters(row) for row in rows_of(painting.content())]
        assert [letters(row) for row in part] == [row[left : left + width] for row in all_letters[top : top + height]]


def test_a_part_is_what_the_rest_of_the_size_is_if_none_is_asked_for() -> None:
    painting = Painting([[(None, "abc")], [(None, "def")], [(None, "ghi")]], 3)
    assert rows_of(painting.content(1, 1)) == [[(None, "ef")], [(None, "hi")]]


def test_attrs_are_mapped() -> None:
    red = urwid.AttrSpec("dark red", "inherit")
    painting = Painting([[("one", "a"), (None, "b"), (red, "c")]], 3)
    mapped = rows_of(painting.content(attr={"one": "two", None: "ground"}))
    assert mapped == [[("two", "a"), ("ground", "b"), (red, "c")]]

    mapping: dict[Hashable, Hashable] = {"one": "two"}
    wall = urwid.AttrMap(Wall([[("one", "a"), (None, "b"), (red, "c")]]), mapping)
    assert render_runs(wall, (4, 1)) == [[("two", "a"), (None, "b"), (red, "c"), (None, " ")]]


def test_urwid_is_content_with_its_size() -> None:
    check_box_sizing(Wall([[(None, "构建" * 50)]], cursor=(1, 0)))


@pytest.mark.parametrize(("left", "covered"), [(0, "XXX 建成"), (1, "aXXX建成"), (3, "ab XXX成"), (5, "ab构 XXX")])
def test_what_is_half_covered_is_a_space(left: int, covered: str) -> None:
    below = Wall([[(None, "ab构建成")]] * 3)
    shown = urwid.Overlay(urwid.SolidFill("X"), below, "left", 3, "top", 1, left=left, top=1)
    assert render_text(shown, (8, 3)) == ["ab构建成", covered, "ab构建成"]


def test_columns_stand_side_by_side() -> None:
    left, right = Wall([[(None, "构建成功")], [("one", "ab")]]), Wall([[(None, f"{FAMILY}x")]])
    columns = urwid.Columns([(5, left), right])
    assert render_text(columns, (8, 2)) == [f"构建 {FAMILY}x", "ab      "]


def test_a_loop_draws_it() -> None:
    screen = ScriptedScreen(size=(6, 2), inputs=[["x"]])
    urwid.MainLoop(Wall([[(None, "构建成功")]], cursor=(3, 1)), screen=screen).run()
    assert screen.last_text == ["构建成", "      "]
    assert screen.canvases[-1].cursor == (3, 1)


def draw(frames: Sequence[Sequence[Row]], columns: int, colours: Colours = 256) -> pyte.Screen:
    """What a terminal shows after urwid has drawn these screens one after another."""
    written = io.StringIO()
    with open(os.devnull) as nothing:
        screen = Screen(input=nothing, output=written)
        screen.set_terminal_properties(colors=colours)
        screen.register_palette([("selected", "white", "dark blue")])
        screen.start()
        for rows in frames:
            screen.draw_screen((columns, len(rows)), Painting(rows, columns))
        shown = pyte.Screen(columns, len(frames[-1]))
        pyte.Stream(shown).feed(written.getvalue())
        screen.stop()
    return shown


@pytest.mark.parametrize("last", ["abcdef", "abcd构", "ab构建", "abc构", "构建成", "ab构e\u0301f", "ab构 ", "", "a"])
@pytest.mark.parametrize("split", range(6))
def test_a_terminal_shows_the_last_row_up_to_its_last_cell(last: str, split: int) -> None:
    """urwid draws the last cell by sliding it into its place, since a terminal would scroll if it was written there."""
    rows: list[Row] = [[(None, "first")], [("one", last[:split]), ("two", last[split:])]]
    shown = draw([rows], 6)
    assert [line.rstrip() for line in shown.display] == ["first", normalize("NFC", last.rstrip())]


@given(text=st.text(st.sampled_from("ab构建é█✓ "), max_size=14), ends=st.lists(st.integers(0, 14), max_size=3))
def test_a_terminal_shows_what_the_rows_say(text: str, ends: list[int]) -> None:
    begins = [0, *sorted(ends)]
    row: Row = [(f"attr {b}", text[b:e]) for b, e in zip(begins, [*begins[1:], len(text)], strict=True)]
    shown = draw([[[(None, "x" * 8)]] * 3, [row, [], row]], 8)
    expected = plain(pad(row, 8)).rstrip()
    assert [line.rstrip() for line in shown.display] == [expected, "", expected]


@pytest.mark.parametrize(
    ("colours", "foreground", "background"),
    [(1, "default", "default"), (16, "brightred", "blue"), (256, "ff0000", "0000ff"), (2**24, "fa0305", "0402f5")],
)
def test_a_terminal_shows_a_job_in_its_colours(colours: Colours, foreground: str, background: str) -> None:
    row = parse(b"a\x1b[1;38;2;250;3;5;48;2;4;2;245mb\x1b[0mc", colours)
    shown = draw([[row]], 4, colours)
    line = [shown.buffer[0][column] for column in range(4)]
    assert "".join(cell.data for cell in line) == "abc "
    assert [cell.bold for cell in line] == [False, True, False, False]
    assert (line[1].fg, line[1].bg) == (foreground, background)
    assert {(cell.fg, cell.bg) for cell in (line[0], *line[2:])} == {("default", "default")}
