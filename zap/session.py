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
    """

    lines: tuple[Line, ...]
    next: int
    dropped: int


class Session(Protocol):
    """A way to a runner. The runner is one itself; a client is one over a socket; a test writes one down."""

    async def ask(self, request: Request) -> None:
        """Take the request on: returns when the runner has it, not when it is fulfilled. ZapError: an unknown job."""

    def watch(self, since: int = 0) -> AsyncIterator[Event]:
        """Events with a number above `since`, then new ones as they come, until Closed. A slow reader gets Skipped."""

    async def tail(self, job: str, since: int = 0, at_most: int = 1000) -> Tail:
        """The lines of a job with a number above `since`, oldest first."""

    async def plan(self) -> Plan:
        """What the files say."""
