"""What a job printed, in the colours that it chose, as far as the terminal can show them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

import urwid
from urwid.ansi_parser import sgi_params_to_attrspec

from zap import escape
from zap.tui.text import Row, width

TAB = 8  # cells
REMEMBERED = 4096  # attributes; a rainbow has more, and takes its time

_COLOUR = re.compile("\x1b\\[([0-9;:]*)m")
_PARAMETER = re.compile("(?:^|;)([345]8;5;[0-9]*|[345]8;2;[0-9]*;[0-9]*;[0-9]*|[^;]*)")
_SETTINGS = ("bold", "faint", "italics", "underline", "standout", "strikethrough")  # nothing blinks
_SETTINGS_OF_ONE_COLOUR = ("bold", "underline", "standout")
_BASIC = (
    *("black", "dark red", "dark green", "brown", "dark blue", "dark magenta", "dark cyan", "light gray"),
    *("dark gray", "light red", "light green", "yellow", "light blue", "light magenta", "light cyan", "white"),
)

Colours = Literal[1, 16, 88, 256, 16777216]
"""How many a terminal can show; the last is 2**24."""


class Style(NamedTuple):
    """What the job asked for so far, and what of that the terminal can show."""

    asked: urwid.AttrSpec | None = None
    shown: urwid.AttrSpec | None = None


PLAIN = Style()


def parse(text: bytes, colours: Colours) -> Row:
    """One line: nothing of it but text and colour comes out, and tabs are spaces.

    What the job leaves open is `inherit`, so that the ground on which the line is drawn shows there.
    """
    line = escape.safe(text)
    row: Row = [(None, line)] if line else []
    if "\x1b" in line:
        row = _coloured(line, colours)
    return _without_tabs(row) if "\t" in line else row


def _coloured(line: str, colours: Colours) -> Row:
    first, *pieces = _COLOUR.split(line)
    row: Row = []
    style, shown, texts = PLAIN, PLAIN.shown, [first]
    for parameters, text in zip(pieces[::2], pieces[1::2], strict=True):
        style = after(style.asked, parameters, colours)
        if text and style.shown is not shown:
            row.append((shown, "".join(texts)))
            shown, texts = style.shown, []
        texts.append(text)
    row.append((shown, "".join(texts)))
    return row if row[0][1] else row[1:]


def _without_tabs(row: Row) -> Row:
    expanded: Row = []
    column = 0
    for attr, text in row:
        first, *rest = text.split("\t")
        pieces = [first]
        column += width(first)
        for piece in rest:
            spaces = TAB - column % TAB
            pieces += [" " * spaces, piece]
            column += spaces + width(piece)
        expanded.append((attr, "".join(pieces)))
    return expanded


@lru_cache(maxsize=REMEMBERED)
def after(asked: urwid.AttrSpec | None, parameters: str, colours: Colours) -> Style:
    """The style once `ESC [ parameters m` has come (SGR, ECMA-48), which are digits, colons and semicolons."""
    numbers = [number for parameter in _PARAMETER.findall(parameters) for number in _numbers(parameter)]
    asked = sgi_params_to_attrspec(numbers, asked, unset_color="inherit", bright_is_bold=False)
    return Style(asked, _shown(asked, colours)) if asked else PLAIN


def _numbers(parameter: str) -> list[int]:
    """One parameter with its arguments as urwid reads it: with semicolons, and no lines but straight ones.

    With colons (ISO 8613-6) there may be a colour space before red, green and blue.
    """
    match [int(number or 0) for number in re.split("[;:]", parameter)]:
        case [38 | 48 as ground, 5, number, *_]:
            return [ground, 5, number]
        case [38 | 48 as ground, 2, red, green, blue] | [38 | 48 as ground, 2, _, red, green, blue, *_]:
            return [ground, 2, red, green, blue]
        case [4, kind]:
            return [4 if kind else 24]
        case [21]:  # two lines
            return [4]
        case [38 | 48 | 58]:
            return []
        case [number]:
            return [number]
        case _:
            return []


def _shown(asked: urwid.AttrSpec, colours: Colours) -> urwid.AttrSpec | None:
    foreground, background = asked.foreground.partition(",")[0], asked.background
    if asked.colors > colours:
        values = asked.get_rgb_values()
        foreground, background = _nearest(values[:3], colours), _nearest(values[3:], colours)
    settings = [name for name in (_SETTINGS if colours > 1 else _SETTINGS_OF_ONE_COLOUR) if getattr(asked, name)]
    if foreground == background == "inherit" and not settings:
        return None
    return _attr(",".join([foreground, *settings]), background, min(asked.colors, colours))


@lru_cache(maxsize=REMEMBERED)
def _attr(foreground: str, background: str, colours: Colours) -> urwid.AttrSpec:
    """The same object for the same look, because `is` takes a tenth of the time that `==` does."""
    return urwid.AttrSpec(foreground, background, colours)


def _nearest(values: tuple[int | None, ...], colours: Colours) -> str:
    """Of fewer colours the one that looks most like this red, green and blue; of 88 and 256 urwid finds it."""
    numbers = [value for value in values if value is not None]
    if not numbers or colours == 1:
        return "inherit"
    if colours == 16:
        return min(_BASIC, key=lambda name: _distance(numbers, _values(name)))
    return "#" + "".join(f"{number >> 4:x}" for number in numbers)


def _distance(one: list[int], other: list[int]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


@lru_cache(maxsize=len(_BASIC))
def _values(basic: str) -> list[int]:
    return [value for value in urwid.AttrSpec(basic, "inherit", 16).get_rgb_values() if value is not None]
