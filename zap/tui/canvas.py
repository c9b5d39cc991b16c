"""Rows of text as urwid draws them: exactly as wide as they may be, and nothing in them that drives the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import urwid

from zap import escape
from zap.tui.text import REMEMBERED, Row, pad, plain, whole, window

Run = tuple[Hashable, Literal["0", "U"] | None, bytes]


class Painting(urwid.Canvas):
    """As many rows as it is given, each cut or filled with spaces to so many columns; the cursor is (column, row).

    The text is in UTF-8, which `urwid.set_encoding` has to say as well before it is drawn. With `is_painted` all rows
    come from `paint`.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        columns: int,
        cursor: tuple[int, int] | None = None,
        is_painted: bool = False,
    ) -> None:
        super().__init__()
        self._rows = rows if is_painted else [paint(row, columns) for row in rows]
        self._columns = columns
        self.cursor = cursor

    def cols(self) -> int:
        return self._columns

    def rows(self) -> int:
        return len(self._rows)

    def content(
        self,
        trim_left: int = 0,
        trim_top: int = 0,
        cols: int = 0,
        rows: int = 0,
        attr: Mapping[Hashable, Hashable] | None = None,
    ) -> Iterator[list[Run]]:
        """Runs as urwid asks for them, of all rows or of those that something else does not cover; 0 is the rest."""
        cols = cols or self._columns - trim_left
        shown = self._rows[trim_top : trim_top + rows if rows else None]
        if cols < self._columns:
            shown = [window(row, trim_left, cols) for row in shown]
        for row in shown:
            yield [(attr.get(own, own) if attr else own, None, text.encode()) for own, text in row]


def paint(row: Row, columns: int) -> Row:
    """Exactly so wide, and without what would drive the terminal."""
    text = plain(row)
    if not text.isprintable():
        row = [(attr, _printable(part)) for attr, part in row]
    row = pad(row, columns)
    return row if text.isascii() else whole(row)  # because urwid measures run by run


@lru_cache(maxsize=REMEMBERED)
def _printable(text: str) -> str:
    """Joiners may stay, controls may not."""
    return escape.plain(text.encode(errors="replace")).replace("\t", " ")
