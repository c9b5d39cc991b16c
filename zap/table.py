"""Rows of cells → lines of text that stand in columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

WIDE = "🔧"  # the only letter that zap itself writes which takes two cells of a terminal


class Cell(NamedTuple):
    """A text, and the number of its colour as SGR has it (ECMA-48)."""

    text: str
    colour: int | None = None


def lines(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell | str]],
    *,
    right: Collection[str] = (),
    has_colour: bool = False,
    width: int | None = None,
) -> Iterator[str]:
    """The head and the rows; columns named in `right` are flush right. What goes beyond the width is cut off."""
    cells = [[Cell(name, 2) for name in head], *([_cell(item) for item in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        parts = []
        room = width
        for index, cell in enumerate(row):
            gap = " " * (widths[index] - _width(cell))
            before, after = (gap, "") if head[index] in right else ("", gap)
            text = before + cell.text + after if index + 1 < len(row) else before + cell.text
            if room is not None:
                text = text if len(text) <= room else text[: max(room - 1, 0)] + "…"[:room]
                room = max(room - len(text) - 2, 0)
            parts.append(f"\x1b[{cell.colour}m{text}\x1b[0m" if has_colour and cell.colour and text.strip() else text)
        yield "  ".join(parts).rstrip()


def _cell(item: Cell | str) -> Cell:
    return Cell(item) if isinstance(item, str) else item


def _width(cell: Cell) -> int:
    return len(cell.text) + cell.text.count(WIDE)
