"""The lines around the panes: their heads, and the bar at the bottom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from zap.events import Degraded, Lack, State
from zap.events import Row as JobRow
from zap.tui import text
from zap.tui.dialog import Prompt
from zap.tui.keys import Keys
from zap.tui.output import Output
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Attr, Row, Segment
from zap.tui.tree import short

_WORDS = {
    "toggle": "start/stop",
    "pause": "resume",
    "event lines": "its lines",
    "events": "log",
    "focus": "pane",
    "palette": "all",
}


def head(title: Row, right: str, columns: int, has_focus: bool, glyphs: Glyphs) -> Row:
    """A pane's name, a line, and something at its end."""
    right = f" {right} " if right else ""
    named: Attr = "title" if has_focus else "dim"
    left = [(attr or named, said) for attr, said in [(None, " "), *title]]
    left = text.cut(left, max(columns - text.width(right) - 1, 1), glyphs.ellipsis)
    rest = max(columns - text.row_width(left) - text.width(right) - 1, 0)
    line: Attr = "border focus" if has_focus else "border"
    return [*left, (line, f" {glyphs.across * rest}"), ("dim", right)]


def of_output(output: Output, row: JobRow | None) -> tuple[Row, str]:
    """Whose lines these are and what of them shows, and where in them one is; at the end what may be cut."""
    facts: Row = [(None, output.title)]
    if row:
        facts.append(_state(row))
    if output.search:
        number, count = output.hits
        more = "" if output.feed.is_whole else "+"
        facts.append((None, f"{number}/{count}{more} hits of {output.search.pattern}"))
    if output.filter:
        facts.append((None, f"only {output.filter}"))
    if output.feed.dropped:
        facts.append((None, f"{output.feed.dropped} lines skipped"))
    if row:
        facts += _how(row)
    where = ""
    if output.selection:
        where = f"{abs(output.selection[1] - output.selection[0]) + 1} selected"
    elif not output.is_following:
        where = f"{output.look.glyphs.follow} {output.below} below"
    glyphs = output.look.glyphs
    told = [[(attr, spelled(said, glyphs))] for attr, said in facts]
    return [*told[0], *(part for fact in told[1:] for part in [(None, spelled(" · ", glyphs)), *fact])], where


def _state(row: JobRow) -> Segment:
    if row.state is State.WAITING and row.lacks:
        lacks = sorted(row.lacks, key=lambda lack: not lack.is_hopeless)
        return "bad" if row.is_stuck else None, f"waiting for {', '.join(_lack(lack, row.job) for lack in lacks)}"
    if row.is_paused:
        return "state paused", "paused"
    if row.leavers:
        return None, f"{row.state}, held by {', '.join(short(leaver, row.job) for leaver in row.leavers)}"
    return None, str(row.state)


def _lack(lack: Lack, job: str) -> str:
    """`db`, `migration (done, in vain)`."""
    notes = {"ready": [], "line": [f'line "{lack.line}"']}.get(lack.until, [str(lack.until)])
    notes += ["in vain"] if lack.is_hopeless else []
    return short(lack.job, job) + (f" ({', '.join(notes)})" if notes else "")


def _how(row: JobRow) -> Iterator[Segment]:
    """What keeps it from being ready, or well; why it is as it is; and what it says of itself."""
    for bad in (probed for probed in row.probed if not probed.is_ok):
        if bad.question == "ready" and row.state is State.RUNNING:
            yield None, f"ready {bad.times}×: {bad.by}: {bad.said}"
        elif bad.question != "ready" and row.state is State.READY:
            yield "warn", f"{bad.question} {bad.times}/{bad.most} failed: {bad.by}: {bad.said}"
    if row.why and (row.is_paused or row.state not in (State.READY, State.RUNNING)):
        yield None, row.why
    if row.status and row.pid:
        yield None, row.status


def lasting(degraded: Collection[Degraded], columns: int, glyphs: Glyphs) -> Row:
    """What zap goes on without, and why if it is one thing; nothing where there is none."""
    if not degraded:
        return []
    names = ", ".join(f"{one.what} of {one.job}" if one.job else one.what for one in degraded)
    why = "".join(f": {one.why}" for one in degraded) if len(degraded) == 1 else ""
    return [("notice bad", text.clip(spelled(f" ⚠ {names}{why}", glyphs), columns - 1, glyphs.ellipsis)), (None, " ")]


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
