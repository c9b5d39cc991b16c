"""The whole screen: panes beside each other, what lies above them, and what of a frame is composed anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import urwid
from hypothesis import given
from hypothesis import strategies as st

from tests.test_tui_canvas import rows_of
from tests.test_tui_text import ROWS
from zap.tui.text import Row, plain, row_width
from zap.tui.window import Area, Piece, Placed, Scene, Window, compose

COLUMNS, HEIGHT = 12, 4
PANES = st.builds(
    lambda left, right, above, at: Scene(
        [Placed(Area(6, 0, 6, 4), right), Placed(Area(0, 0, 5, 4), left)],
        Placed(Area(at, 1, 5, 2), above) if above else None,
    ),
    st.lists(ROWS, max_size=5),
    st.lists(ROWS, max_size=5),
    st.lists(ROWS, max_size=3),
    st.integers(0, 7),
)


@pytest.fixture(autouse=True, scope="module")
def _utf8() -> Iterator[None]:
    before = urwid.util.get_encoding()
    urwid.set_encoding("utf-8")
    yield
    urwid.set_encoding(before)


class Stage:
    """Shows these scenes, one a frame."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = list(scenes)

    def scene(self, columns: int, rows: int) -> Scene:
        return self.scenes.pop(0)

    def press(self, key: str) -> None: ...

    def mouse(self, event: str, button: int, column: int, row: int) -> None: ...


def frames(*scenes: Scene, sizes: Sequence[tuple[int, int]] = ()) -> list[list[Row]]:
    shown = Window(Stage(scenes))
    sizes = sizes or [(COLUMNS, HEIGHT)] * len(scenes)
    return [rows_of(shown.render(size).content()) for size in sizes]


def test_panes_stand_where_they_are_placed() -> None:
    scene = Scene([Placed(Area(4, 0, 2, 1), [[(None, "right")]]), Placed(Area(0, 0, 3, 2), [[("one", "left")], []])])
    rows = frames(scene, sizes=[(6, 3)])[0]
    assert [plain(row) for row in rows] == ["lef ri", "      ", "      "]


def test_what_lies_above_covers_what_is_there() -> None:
    pieces = [Piece(0, 6, [("one", "abcdef")]), Piece(2, 2, [("two", "X")], is_above=True)]
    assert compose(pieces, 6) == [("one", "ab"), ("two", "X"), (None, " "), ("one", "ef")]


def test_half_of_a_wide_letter_under_a_dialog_is_blank() -> None:
    pieces = [Piece(0, 6, [(None, "a构建b")]), Piece(2, 2, [(None, "XX")], is_above=True)]
    assert plain(compose(pieces, 6)) == "a XX b"


@given(st.lists(PANES, min_size=2, max_size=4))
def test_a_frame_looks_the_same_whatever_was_there_before(scenes: list[Scene]) -> None:
    assert frames(*scenes) == [frames(scene)[0] for scene in scenes]


@given(PANES, st.integers(1, 15), st.integers(1, 6))
def test_every_row_is_as_wide_as_the_screen(scene: Scene, columns: int, rows: int) -> None:
    shown = frames(scene, scene, sizes=[(COLUMNS, HEIGHT), (columns, rows)])[1]
    assert [row_width(row) for row in shown] == [columns] * rows


def test_the_cursor_stays_on_the_screen() -> None:
    shown = Window(Stage([Scene([], cursor=(20, 1)), Scene([])]))
    assert [shown.render((5, 2)).cursor for _ in range(2)] == [(4, 1), None]


def test_urwid_is_told_that_it_is_a_box() -> None:
    assert Window(Stage([])).sizing() == frozenset([urwid.BOX])
