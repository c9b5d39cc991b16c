"""The whole screen as one urwid widget: panes beside each other, lines at the bottom, a dialog above all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import NamedTuple, Protocol

import urwid

from zap.tui import text
from zap.tui.canvas import Painting, paint
from zap.tui.text import Row


class Area(NamedTuple):
    """A rectangle of the screen."""

    column: int
    row: int
    columns: int
    rows: int

    def holds(self, column: int, row: int) -> bool:
        return self.column <= column < self.column + self.columns and self.row <= row < self.row + self.rows


class Placed(NamedTuple):
    """A pane's rows and where they go."""

    area: Area
    rows: Sequence[Row]


class Scene(NamedTuple):
    """What the screen shows: panes that cover it, and what lies above them.

    The cursor is (column, row); one that would lie outside is at the edge.
    """

    panes: Sequence[Placed]
    above: Placed | None = None
    cursor: tuple[int, int] | None = None


class Stage(Protocol):
    """Who knows what shows, and what keys and the mouse do."""

    def scene(self, columns: int, rows: int) -> Scene: ...

    def press(self, key: str) -> None: ...

    def mouse(self, event: str, button: int, column: int, row: int) -> None: ...


class Window(urwid.Widget):
    """urwid's side of it. Of a frame only those rows are composed that differ from the frame before."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True
    no_cache = ("render",)

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage
        self._columns = 0
        self._composed: list[tuple[list[Piece] | None, Row]] = []

    def render(self, size: tuple[int, int], focus: bool = False) -> urwid.Canvas:  # type: ignore[override]
        columns, rows = size
        scene = self._stage.scene(columns, rows)
        cursor = (min(scene.cursor[0], columns - 1), min(scene.cursor[1], rows - 1)) if scene.cursor else None
        before = chain(self._composed if columns == self._columns else (), repeat((None, [])))
        self._columns = columns
        self._composed = [
            (pieces, row if pieces == as_before else paint(compose(pieces, columns), columns))
            for pieces, (as_before, row) in zip(arrange(scene, rows), before, strict=False)
        ]
        return Painting([row for _, row in self._composed], columns, cursor, is_painted=True)

    def keypress(self, size: tuple[int, int], key: str) -> str | None:  # type: ignore[override]
        self._stage.press(key)
        return None

    def mouse_event(  # type: ignore[override]
        self, size: tuple[int, int], event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        self._stage.mouse(event, button, col, row)
        return True


class Piece(NamedTuple):
    """A pane's row as a part of the screen's; what lies above the panes comes behind them."""

    column: int
    columns: int
    row: Row
    is_above: bool = False


def arrange(scene: Scene, rows: int) -> list[list[Piece]]:
    """The pieces of each row of the screen."""
    screen: list[list[Piece]] = [[] for _ in range(rows)]
    for area, drawn in sorted(scene.panes, key=lambda placed: placed.area.column):
        for pieces, row in zip(screen[area.row :], drawn[: area.rows], strict=False):
            pieces.append(Piece(area.column, area.columns, row))
    if scene.above:
        area, drawn = scene.above
        for pieces, row in zip(screen[area.row :], drawn[: area.rows], strict=False):
            pieces.append(Piece(area.column, area.columns, row, is_above=True))
    return screen


def compose(pieces: Sequence[Piece], columns: int) -> Row:
    """They cover the row from left to right, as far as they go."""
    composed: Row = []
    at = 0
    for piece in pieces:
        row = text.pad(piece.row, piece.columns)
        if piece.is_above:
            below = text.pad(composed, columns)
            after = piece.column + piece.columns
            left = text.pad(text.window(below, 0, piece.column), piece.column)
            composed = [*left, *row, *text.window(below, after, columns - after)]
        else:
            composed += [(None, " " * (piece.column - at)), *row] if piece.column > at else row
            at = piece.column + piece.columns
    return composed
