"""Waiting for what shall become so: event after event, and on a terminal a line that says what for."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

from zap import dial
from zap.board import Board
from zap.events import Fact, Restated
from zap.units import seconds
from zap.verbs import reach

TICK = 0.2  # seconds between two looks at the clock, for the line on the terminal
CLEAR = "\r\x1b[K"


def follow(
    line: dial.Line, board: Board, what: Callable[[], list[str]], timeout: float | None = None
) -> Iterator[Fact | None]:
    """What happens, as the board has it then; the last is Closed, or the time is over. None: only the time has passed.

    `what` is asked for what is waited for, job by job, when that can be shown: on a terminal, and nowhere else.
    """
    news = line.watch()
    for told in news:  # how it is
        board.apply(told)
        if not isinstance(told.fact, Restated):
            break
    yield None
    began = due = time.monotonic()
    until = math.inf if timeout is None else began + timeout
    columns = reach.width(2)
    try:
        while (now := time.monotonic()) < until:
            if columns and now >= due:
                _show(" · ".join([seconds(now - began), *what()]), columns)
                due = now + TICK
            soonest = min(until, due) if columns else until
            if not line.hears(None if soonest == math.inf else soonest - now):
                yield None
            elif event := next(news, None):
                board.apply(event)
                yield event.fact
            else:
                return
    finally:
        if columns:
            _show("", columns)


def _show(text: str, columns: int) -> None:
    """In place of what was shown before, on the terminal's own line."""
    text = reach.shown(text)
    print(f"{CLEAR}{text if len(text) < columns else text[: columns - 2] + '…'}", end="", file=sys.stderr, flush=True)
