"""`make pictures`: the pictures of the README, from the real program in a real terminal, with a shop that only talks.

What stands on the screen is text in them too, each letter in its own cell; lines and frames are drawn, so that they
meet whatever font there is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from pyte.screens import Char, Screen

from tests.terminal import Terminal

T = TypeVar("T")

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SIZE = 130, 30  # columns and rows
CELL = 8.4, 18  # of 14 px letters, as wide as most monospace fonts are
FONTS = "ui-monospace,'Cascadia Mono','JetBrains Mono','SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace"
BASELINE = 13.5  # from the top of a cell
MARGIN = 12
STYLES = {
    "bold": "font-weight:bold",
    "italics": "font-style:italic",
    "underscore": "text-decoration:underline",
    "strikethrough": "text-decoration:line-through",
}
STYLE = "".join(f".{name}{{{style}}}" for name, style in STYLES.items())
NARROW = 62, 22
LIFE = 12.0  # seconds until there is something to see
BETWEEN = 0.02  # seconds without a byte: between two frames
UP, DOWN, RIGHT, ESCAPE = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b"

# What is drawn, so that it meets what is in the next cell: from the middle to which sides, and how thick.
LINES = {
    "─": ("lr", 1.2),
    "│": ("ud", 1.2),
    "┃": ("ud", 2.6),
    "┌": ("rd", 1.2),
    "┐": ("ld", 1.2),
    "└": ("ur", 1.2),
    "┘": ("lu", 1.2),
}
# Equal lines; words with a space between; anything else by itself, with the second cell of what is wide.
PIECE = re.compile(rf"(?P<line>[{''.join(LINES)}])(?P=line)*|[!-~]+(?: [!-~]+)*|[^ -~]\0?")


class Ground(NamedTuple):
    """What a terminal looks like where a program says nothing, and its 8 colours, dull and bright."""

    paper: str
    ink: str
    colours: dict[str, str]


NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
DULL = ("1b2028", "e06c75", "98c379", "d8b365", "61afef", "c678dd", "56b6c2", "c8ccd4")
BRIGHT = ("5c6370", "ff7b85", "b0dc90", "f0cc80", "82c4ff", "dc9bf0", "76d4e0", "ffffff")
DEEP = ("1b2028", "b02a37", "2c7a3c", "8a6100", "1f5fb0", "8a3fa0", "0e7480", "6a7078")


def _colours(dull: Sequence[str], bright: Sequence[str]) -> dict[str, str]:
    return dict(zip(NAMES, dull, strict=True)) | dict(zip((f"bright{name}" for name in NAMES), bright, strict=True))


DARK = Ground("10141b", "ccd2dc", _colours(DULL, BRIGHT))
LIGHT = Ground("fcfcfa", "24292f", _colours(DEEP, ("6a7078", *DEEP[1:])))


# The screen as a drawing.


class Look(NamedTuple):
    """How a cell looks, in colours that need no terminal to be known."""

    ink: str
    paper: str
    style: str


def draw(screen: Screen, ground: Ground) -> str:
    """An SVG of what the screen shows now."""
    across, down = CELL
    width, height = screen.columns * across + 2 * MARGIN, screen.lines * down + 2 * MARGIN
    rows = [_row([screen.buffer[y][x] for x in range(screen.columns)], y, ground) for y in range(screen.lines)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">',
            f"<style>text{{font:14px {FONTS};white-space:pre}}g rect{{shape-rendering:crispEdges}}{STYLE}</style>",
            f'<rect width="100%" height="100%" rx="8" fill="#{ground.paper}"/>',
            f'<g transform="translate({MARGIN},{MARGIN})">',
            *(part for row in rows for part in row),
            "</g>",
            "</svg>\n",
        ]
    )


def _row(cells: Sequence[Char], y: int, ground: Ground) -> Iterator[str]:
    across, down = CELL
    looks = [_look(cell, ground) for cell in cells]
    for paper, begin, end in _runs([look.paper for look in looks]):
        if paper != ground.paper:
            area = f'x="{begin * across:g}" y="{y * down}" width="{(end - begin) * across:g}" height="{down}"'
            yield f'<rect {area} fill="#{paper}"/>'
    letters = "".join([cell.data if len(cell.data) == 1 else "\0" if not cell.data else "\ufffd" for cell in cells])
    for look, begin, end in _runs(looks):
        for piece in PIECE.finditer(letters, begin, end):
            x, columns = piece.start(), piece.end() - piece.start()
            if piece["line"]:
                yield _line(piece["line"], x, columns, y, look)
            else:
                yield _text("".join([cell.data for cell in cells[x : x + columns]]), x, columns, y, look)


def _runs(values: Sequence[T]) -> Iterator[tuple[T, int, int]]:
    """Of what is equal, from where to where it goes."""
    at = 0
    for value, run in groupby(values):
        begin, at = at, at + len(list(run))
        yield value, begin, at


def _line(letter: str, x: int, columns: int, y: int, look: Look) -> str:
    across, down = CELL
    sides, thick = LINES[letter]
    path = ""
    if sides == "lr":
        path = f"M{x * across:g} {(y + 0.5) * down:g}h{columns * across:g}"
    for number in range(x, x + columns) if not path else ():
        middle = f"M{(number + 0.5) * across:g} {(y + 0.5) * down:g}"
        ends = {"l": f"h{-across / 2:g}", "r": f"h{across / 2:g}", "u": f"v{-down / 2:g}", "d": f"v{down / 2:g}"}
        path += "".join(middle + ends[side] for side in sides)
    return f'<path d="{path}" stroke="#{look.ink}" stroke-width="{thick}" fill="none"/>'


def _text(text: str, x: int, columns: int, y: int, look: Look) -> str:
    across, down = CELL
    length = f' textLength="{columns * across:g}" lengthAdjust="spacingAndGlyphs"' if len(text) > 1 else ""
    style = f' class="{look.style}"' if look.style else ""
    return (
        f'<text x="{x * across:g}" y="{y * down + BASELINE:g}" fill="#{look.ink}"{length}{style}>{escape(text)}</text>'
    )


def _look(cell: Char, ground: Ground) -> Look:
    ink = ground.ink if cell.fg == "default" else ground.colours.get(cell.fg, cell.fg)
    paper = ground.paper if cell.bg == "default" else ground.colours.get(cell.bg, cell.bg)
    if cell.reverse:
        ink, paper = paper, ink
    style = " ".join(name for name in STYLES if getattr(cell, name))
    return Look(ink, paper, style)


# What is photographed.


@contextmanager
def shop(theme: str) -> Iterator[Path]:
    """A home with the shop in it, where nothing has happened yet."""
    with TemporaryDirectory() as home:
        folder = Path(home) / "shop"
        shutil.copytree(FOLDER / "shop", folder)
        (folder / ".migrate.lock").touch()
        wishes = Path(home) / ".config" / "zap" / "config.yaml"
        wishes.parent.mkdir(parents=True)
        wishes.write_text(f"theme: {theme}\n")
        yield folder


def env(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder.parent),
        "XDG_RUNTIME_DIR": str(folder.parent),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "COLORTERM": "truecolor",
    }


@contextmanager
def zap(folder: Path, columns: int, rows: int) -> Iterator[Terminal]:
    """The interface, and what it runs, until the end of the block."""
    argv = [sys.executable, "-m", "zap"]
    try:
        with Terminal(argv, folder, env(folder), columns, rows) as terminal:
            yield terminal
    finally:
        subprocess.run([*argv, "down", "--now"], cwd=folder, env=env(folder), check=True, stdout=subprocess.DEVNULL)


def press(terminal: Terminal, *keys: str) -> None:
    for key in keys:
        terminal.write(key.encode())
        terminal.pause(0.15)


def picture(terminal: Terminal, name: str, ground: Ground = DARK) -> None:
    while terminal.read(BETWEEN):
        pass
    terminal.look()
    path = FOLDER / f"{name}.svg"
    path.write_text(draw(terminal.screen, ground))
    print(f"{path.relative_to(FOLDER.parent.parent)}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    with shop("dark") as folder, zap(folder, *SIZE) as terminal:
        terminal.wait(lambda shown: "wants approval" in shown)
        terminal.pause(1.5)
        picture(terminal, "approval")
        press(terminal, ESCAPE)
        terminal.pause(LIFE)
        press(terminal, DOWN, DOWN, "R", *[DOWN] * 5)
        terminal.wait(lambda shown: "applied 3 migrations" in shown and "web/worker ready" in shown)
        picture(terminal, "healed")
        press(terminal, "l")
        terminal.wait(lambda shown: "stale-lock runs" in shown)
        picture(terminal, "events")
        press(terminal, "l", "\t", *[UP] * 7, "|", *[DOWN] * 2)
        picture(terminal, "split")
        press(terminal, "|", *[UP] * 2, "\t", "/", *"/items", "\r", "N", "N", "N", "N")
        picture(terminal, "search")
    with shop("light") as folder, zap(folder, *SIZE) as terminal:
        terminal.wait(lambda shown: "wants approval" in shown)
        press(terminal, ESCAPE)
        terminal.pause(LIFE)
        picture(terminal, "light", LIGHT)
    with shop("dark") as folder, zap(folder, *NARROW) as terminal:
        terminal.wait(lambda shown: "wants approval" in shown)
        press(terminal, ESCAPE)
        terminal.pause(LIFE)
        picture(terminal, "narrow")


if __name__ == "__main__":
    main()
