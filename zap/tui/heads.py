"""The lines around the panes: their heads, and the bar at the bottom."""

from __future__ import annotations

from collections.abc import Iterable

from zap.events import Row as JobRow
from zap.events import State
from zap.tui import text
from zap.tui.dialog import Prompt
from zap.tui.keys import Keys
from zap.tui.output import Output
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Attr, Row

_WORDS = {"toggle": "start/stop", "event lines": "its lines", "events": "log", "focus": "pane", "palette": "all"}


def head(title: str, right: str, columns: int, has_focus: bool, glyphs: Glyphs) -> Row:
    """A pane's name, a line, and something at its end."""
    right = f" {right} " if right else ""
    left = text.clip(f" {title}", max(columns - text.width(right) - 1, 1), glyphs.ellipsis)
    rest = max(columns - text.width(left) - text.width(right) - 1, 0)
    line: Attr = "border focus" if has_focus else "border"
    return [("title" if has_focus else "dim", left), (line, f" {glyphs.across * rest}"), ("dim", right)]


def of_output(output: Output, row: JobRow | None) -> tuple[str, str]:
    """Whose lines these are and what of them shows, and where in them one is."""
    facts = [output.title]
    if row:
        facts.append(str(row.state))
        if row.why and row.state not in (State.READY, State.RUNNING):
            facts.append(row.why)
    if output.search:
        number, count = output.hits
        more = "" if output.feed.is_whole else "+"
        facts.append(f"{number}/{count}{more} hits of {output.search.pattern}")
    if output.filter:
        facts.append(f"only {output.filter}")
    if output.feed.dropped:
        facts.append(f"{output.feed.dropped} lines skipped")
    where = ""
    if output.selection:
        where = f"{abs(output.selection[1] - output.selection[0]) + 1} selected"
    elif not output.is_following:
        where = f"{output.look.glyphs.follow} {output.below} below"
    return spelled(" · ", output.look.glyphs).join(facts), where


def prompt_bar(prompt: Prompt, columns: int, glyphs: Glyphs) -> tuple[Row, int]:
    """The line that is typed on, and the column of its cursor."""
    label = text.clip(f" {prompt.label} ", columns // 2, "")
    problem = text.clip(f" {prompt.problem}", columns // 2, glyphs.ellipsis) if prompt.problem else ""
    room = max(columns - text.width(label) - text.width(problem), 1)
    typed, column = prompt.input.draw(room)
    row: Row = [("prompt", label), *text.pad(typed, room, "input"), ("notice bad", problem)]
    return text.tint(text.pad(row, columns), "bar"), text.width(label) + column


def bar(row: Row, columns: int, glyphs: Glyphs) -> Row:
    return text.tint(text.pad(text.cut(row, columns, glyphs.ellipsis), columns), "bar")


def hints(keys: Keys, names: Iterable[str], columns: int, glyphs: Glyphs) -> list[tuple[str, Row]]:
    """What some of the keys do, by action; where there is no room for all, the last four stay."""
    told: list[tuple[str, Row]] = []
    for name in names:
        if key := spelled(keys.shown(name), glyphs):
            told.append((name, [("bar key", f" {key}"), ("bar", f" {_WORDS.get(name, name)} ")]))
    while len(told) > 4 and sum(text.row_width(row) for _, row in told) > columns:
        del told[-5]
    return told
