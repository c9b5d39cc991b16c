"""Rows of coloured text, measured in the cells that they take on the screen.

What is drawn as one, such as a letter and its accent or a family of emoji, may begin in one segment and end in the
next. Therefore all of this looks at a row's whole text first, and cuts only between such clusters.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import cast

import urwid
from urwid.util import LayeredAttr

Attr = str | urwid.AttrSpec | LayeredAttr | None
"""A name of the palette, colours of its own, several of these one over another, or nothing."""
Segment = tuple[Attr, str]
Row = list[Segment]

ELLIPSIS = "…"
REMEMBERED = 4096  # texts and how wide they are, which is what a person looks at for a while
LONG = 1000  # characters; longer texts are measured anew, because to keep them costs more

# One cell each, whatever stands beside them: Latin, Greek, Cyrillic, quotes, arrows, frames, blocks, ticks, Braille and
# the private letters that prompts are drawn with. Only what is not among them is worth a slow look.
_ONE_CELL_EACH = re.compile(
    "[ -~\xa1-\xac\xae-\u02ff\u0391-\u03a1\u03a3-\u0482\u048a-\u052f\u1e00-\u1f15\u2010-\u2027\u2030-\u205e"
    "\u20a0-\u20bf\u2190-\u2319\u2460-\u25fc\u270c-\u2727\u2758-\u2794\u2798-\u27af\u27c0-\u2b1a\ue000-\uf8ff]*"
)


def plain(row: Row) -> str:
    return "".join([text for _, text in row])


def width(text: str) -> int:
    """In cells. Control characters count for nothing, and `Painting` leaves them out."""
    return _reach(text, sys.maxsize)[1]


def row_width(row: Row) -> int:
    return width(plain(row))


def cut(row: Row, columns: int, ellipsis: str = ELLIPSIS) -> Row:
    """At most so many cells; an ellipsis, as far as there is room for it, stands for what is missing."""
    text = plain(row)
    columns = max(columns, 0)
    if _reach(text, columns)[0] == len(text):
        return row
    ellipsis = ellipsis[: _reach(ellipsis, columns)[0]]
    kept, rest = _split(row, [_reach(text, columns - width(ellipsis))[0]])
    return [*kept, (rest[0][0], ellipsis)] if ellipsis else kept


def clip(text: str, columns: int, ellipsis: str = ELLIPSIS) -> str:
    """As `cut`, for text without colours."""
    return plain(cut([(None, text)], columns, ellipsis))


def pad(row: Row, columns: int, attr: Attr = None) -> Row:
    """Exactly so many cells: what is too much is left out, and what is missing are spaces of this attr."""
    text = plain(row)
    end, cells = _reach(text, max(columns, 0))
    if end < len(text):
        row = _split(row, [end])[0]
    return [*row, (attr, " " * (columns - cells))] if cells < columns else row


def wrap(row: Row, columns: int) -> list[Row]:
    """Pieces of at most so many cells, at least one; only what alone is wider than that stands over."""
    text = plain(row)
    ends = [0]
    while True:
        end, _ = _reach(text, max(columns, 1), ends[-1])
        if end == ends[-1] < len(text):
            end = urwid.move_next_char(text, end, len(text))
        if end == len(text):
            return _split(row, ends[1:])
        ends.append(end)


def window(row: Row, begin: int, columns: int) -> Row:
    """What shows in so many cells from the cell `begin` on; half of a wide character is a space."""
    text = plain(row)
    begin, columns = max(begin, 0), max(columns, 0)
    first, cells = _reach(text, begin) if begin else (0, 0)
    after, half = first, 0
    if cells < begin and first < len(text):
        after = urwid.move_next_char(text, first, len(text))
        half = min(cells + width(text[first:after]) - begin, columns)
    last, cells = _reach(text, columns - half, after)
    _, halved, shown, rest = _split(row, [first, after, last])
    if half:
        shown = [(halved[0][0], " " * half), *shown]
    if rest and half + cells < columns:
        shown = [*shown, (rest[0][0], " " * (columns - half - cells))]
    return shown


def mark(row: Row, spans: Iterable[tuple[int, int]], attr: Attr) -> Row:
    """The same text, whose characters (not cells) from the begin to the end of each span have this attr."""
    ends = [0]
    for begin, end in sorted(spans):
        ends.append(max(begin, ends[-1]))
        ends.append(max(end, ends[-1]))
    pieces = _split(row, ends[1:])
    marked = [[(attr, plain(piece))] if piece and odd % 2 else piece for odd, piece in enumerate(pieces)]
    return list(chain.from_iterable(marked))


def tint(row: Row, attr: Attr) -> Row:
    """The row on such a ground: text without an attr has this one, and colours of its own show it where they are open.

    Colours are open where they say `inherit`, as those of `colours.parse` do for what a job has not set.
    """
    return [(attr if own is None else _over(own, attr), text) for own, text in row]


def whole(row: Row) -> Row:
    """The row with no boundary within what is drawn as one, all of which has the attr that it begins with."""
    if all(_is_simple(text[:1]) for _, text in row[1:]) or sum(width(text) for _, text in row) == row_width(row):
        return row
    text, ends = plain(row), [0]
    while ends[-1] < len(text):
        ends.append(urwid.move_next_char(text, ends[-1], len(text)))
    return [(cluster[0][0], plain(cluster)) for cluster in _split(row, ends[1:-1])]


@lru_cache(maxsize=REMEMBERED)
def _over(own: Attr, ground: Attr) -> Attr:
    return cast(Attr, LayeredAttr.layer(own, ground))


def _is_simple(text: str) -> bool:
    return (text.isascii() and text.isprintable()) or _ONE_CELL_EACH.fullmatch(text) is not None


def _reach(text: str, columns: int, begin: int = 0) -> tuple[int, int]:
    """How far so many cells from an index on reach: to which index, and how many of them are used.

    Clusters are counted one by one. urwid.calc_width is quicker, but for some texts, such as those with a joiner
    between two letters, it says less than their clusters take.
    """
    if _is_simple(text[begin : begin + columns + 1]):
        end = min(begin + columns, len(text))
        return end, end - begin
    if len(text) > LONG:
        return urwid.calc_text_pos(text, begin, len(text), columns)
    end, cells = _remembered(text[begin:], columns)
    return begin + end, cells


@lru_cache(maxsize=REMEMBERED)
def _remembered(text: str, columns: int) -> tuple[int, int]:
    return urwid.calc_text_pos(text, 0, len(text), columns)


def _split(row: Row, ends: Iterable[int]) -> list[Row]:
    """The row cut at these indices of its text, which ascend: one piece more than there are indices."""
    left = list(ends)[::-1]
    pieces: list[Row] = [[]]
    at = 0
    for attr, text in row:
        begin = 0
        while left and left[-1] < at + len(text):
            end = left.pop() - at
            if end > begin:
                pieces[-1].append((attr, text[begin:end]))
            pieces.append([])
            begin = end
        if begin < len(text):
            pieces[-1].append((attr, text[begin:]))
        at += len(text)
    return pieces + [[] for _ in left]
