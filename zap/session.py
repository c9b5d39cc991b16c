"""The window that every door looks through: ask, watch, tail, plan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from zap.events import Event, Line
from zap.plan import Plan
from zap.requests import Request


class Tail(NamedTuple):
    """Some lines of a job. `dropped` lines between `since` and the first of them fell off the buffer unread.

    `next` is the `since` for the following call. Open lines are last, are not counted in `next`, and come again.
    `known` is what to pass as such next time: how many bytes of `out` and of `err` were given out, or gone before.
    """

    lines: tuple[Line, ...]
    next: int
    dropped: int
    known: tuple[int, int] = (0, 0)


class Session(Protocol):
    """A way to a runner. The runner is one itself; a client is one over a socket; a test writes one down."""

    async def ask(self, request: Request, by: str = "") -> None:
        """Take the request on: returns when the runner has it, not when it is fulfilled.

        `by` is who wants it, in words, for the runner's own log; what is empty is told nowhere. Over a socket the
        runner knows better.

        ZapError: a job that is not known, and nothing was done; or what could not be done for some of the jobs, and it
        was for the others.
        """

    def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[Event]:
        """Events with a number above `since`, then new ones as they come, until Closed. A slow reader gets Skipped.

        None begins with how every job is now. After events, those that only point to output come together, so many
        seconds later; but at once when somebody has just typed.
        """

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        """The lines of a job with a number above `since`, oldest first; `zap` is the runner's own log.

        Of a line with more than `widest` bytes, the beginning comes, or the end where that is what a terminal shows.
        With `known`, (0, 0) at first, texts are as they were said, carriage returns and all, and no byte of `out` and
        `err` comes twice, also of lines that grow: who draws a terminal's screen follows it so. Of what is new of a
        line, the last `widest` bytes come.
        """

    async def plan(self, is_fresh: bool = False) -> Plan:
        """What the files said when they were read; with `is_fresh`, what they say now, and nothing changes by it.

        ZapError: what they say now is not right, and everything that is wrong with it.
        """
