"""The event log: what happened to all jobs, when and why, and from where one jumps to what was said then."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import deque

from zap import events
from zap.events import Event, State
from zap.remarks import told
from zap.tui import text
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Attr, Row

KEPT = 10_000  # as many as the runner keeps


class Log:
    """Events, oldest first, and the one that is selected; at the end it follows. Of a plan that is not right every
    problem is told, in a row of its own."""

    def __init__(self, glyphs: Glyphs) -> None:
        self._glyphs = glyphs
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._at: int | None = None  # by its number; None follows
        self._top = 0  # the number of the first that shows
        self._height = 1
        self._shown: list[Event] = []  # by row of the screen

    def add(self, event: Event) -> None:
        if is_told(event) and (not self._events or event.n > self._events[-1].n):
            self._events.append(event)

    def prepend(self, older: list[Event]) -> None:
        """What had happened before one began to listen."""
        first = self._events[0].n if self._events else math.inf
        missing = [event for event in older if is_told(event) and event.n < first]
        room = KEPT - len(self._events)
        self._events.extendleft(reversed(missing[max(len(missing) - room, 0) :]))

    def selected(self) -> Event | None:
        return self._events[self._index()] if self._events else None

    def move(self, steps: int) -> None:
        if self._events:
            self._select(max(0, min(self._index() + steps, len(self._events) - 1)))

    def move_page(self, pages: int) -> None:
        self.move(pages * max(self._height - 1, 1))

    def select_at(self, y: int) -> bool:
        """What shows in this row of the screen; whether it was selected already."""
        if not 0 <= y < len(self._shown):
            return False
        before = self.selected()
        self._select(self._place(self._shown[y].n))
        return before == self._shown[y]

    def draw(self, columns: int, rows: int, has_focus: bool) -> list[Row]:
        self._height = rows
        drawn: list[Row] = []
        self._shown = []
        index = self._index()
        begin = self._first_shown(index, rows)
        self._top = self._events[begin].n if self._events else 0
        for number in range(begin, len(self._events)):
            event = self._events[number]
            for row in rows_of(event, self._glyphs):
                row = text.cut(row, columns, self._glyphs.ellipsis)
                if number == index:
                    row = text.tint(text.pad(row, columns), "selected focus" if has_focus else "selected")
                drawn.append(row)
                self._shown.append(event)
            if len(drawn) >= rows:
                break
        if not self._events:
            drawn = [text.cut([("dim", "nothing has happened yet")], columns)]
        del drawn[rows:], self._shown[rows:]
        return drawn + [[] for _ in range(rows - len(drawn))]

    def _first_shown(self, index: int, rows: int) -> int:
        """As before, unless what is selected would not show, or rows at the end would be empty."""
        begin = max(min(self._place(self._top), index), 0)
        return min(max(begin, self._begin_up_to(index, rows)), self._begin_up_to(len(self._events) - 1, rows))

    def _begin_up_to(self, last: int, rows: int) -> int:
        """Where a screen begins that ends with this event."""
        room = rows - _height_of(self._events[last]) if last >= 0 else 0
        while last > 0 and (room := room - _height_of(self._events[last - 1])) >= 0:
            last -= 1
        return max(last, 0)

    def _select(self, index: int) -> None:
        self._at = None if index == len(self._events) - 1 else self._events[index].n

    def _index(self) -> int:
        return len(self._events) - 1 if self._at is None else self._place(self._at)

    def _place(self, number: int) -> int:
        """Of the event of this number, or of the next one that is kept."""
        return min(bisect_left(self._events, number, key=lambda event: event.n), len(self._events) - 1)


def is_told(event: Event) -> bool:
    return told(event.fact) is not None


def row_of(event: Event, glyphs: Glyphs) -> Row:
    at = time.strftime("%H:%M:%S", time.localtime(event.at))
    job = getattr(event.fact, "job", "")
    row: Row = [
        ("time", f"{at} "),
        ("busy", f"{job} " if job else ""),
        (attr_of(event), spelled(told(event.fact) or "", glyphs)),
    ]
    if isinstance(event.fact, events.Stormed):  # nothing else tells of these
        row.append(("busy", f": {', '.join(event.fact.jobs)}"))
    return row


def rows_of(event: Event, glyphs: Glyphs) -> list[Row]:
    problems = (spelled(f"  {problem}", glyphs) for problem in _problems(event))
    return [row_of(event, glyphs), *([(attr_of(event), problem)] for problem in problems)]


def _problems(event: Event) -> list[str]:
    return event.fact.why.splitlines() if isinstance(event.fact, events.NotReloaded) else []


def _height_of(event: Event) -> int:
    return 1 + len(_problems(event))


def attr_of(event: Event) -> Attr:
    match event.fact:
        case events.Became(state=State.FAILED) | events.NotSpawned() | events.FixFailed() | events.GaveUp():
            return "notice bad"
        case events.HookFailed() | events.Stormed() | events.NotReloaded() | events.Degraded():
            return "notice bad"
        case events.Paused():
            return "state paused"
        case events.Waits(lacks=lacks):
            return "notice bad" if any(lack.is_hopeless for lack in lacks) else "state waiting"
        case events.Overloaded() | events.Proposed() | events.Probed(is_ok=False):
            return "warn"
        case events.Jumped() | events.Slept() | events.Left() | events.TookOver():
            return "warn"
        case events.Matched() | events.FixStarted() | events.Fixed():
            return "notice fix"
        case events.Became(state=State.READY | State.DONE) | events.Probed() | events.Reloaded() | events.Recovered():
            return "ok"
        case _:
            return "notice"
