"""Numbers facts, keeps the last of them, and lets any number of readers follow at their own pace."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import takewhile

from zap.events import Closed, Event, Fact, Output, Probed, Skipped

KEPT = 10_000  # events; a reader that falls further behind skips, and is told how many
ATTENTION = 0.02  # seconds in which nobody rests, after somebody has typed


class Bus:
    """Publishing never waits: a reader finds what is still kept when its turn comes. After Closed nothing is published.

    Who has skipped is told what `restate` says, the facts that make up for what is gone: how things are now. Of the
    pointers to a job's output only the newest is kept, because it says all that the others did, and so of the answers
    to a question how it is.
    """

    def __init__(self, restate: Callable[[], Iterable[Fact]], settle: Callable[[], None] = lambda: None) -> None:
        """`settle` is called before events are given out, for who has to write them down first."""
        self._restate = restate
        self._settle = settle
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._pointers: dict[tuple[str, str], Event] = {}  # by job and what it points at, the newest last
        self._closed: Event | None = None
        self._lost = 0  # the number of the newest event that is gone
        self._first = 0  # and of the newest that was not ours
        self._waiting: set[asyncio.Future[None]] = set()
        self._resting: set[asyncio.Future[None]] = set()
        self._attentive_until = 0.0
        self.last = 0

    def begin(self, last: int) -> None:
        """Number what follows behind this, which was another runner's; nobody has missed any of that."""
        self.last = self._first = last

    def restore(self, kept: Iterable[Event], last: int, is_all: bool) -> None:
        """Go on behind another bus: with what it had, or the newest of it, and its numbers."""
        self._kept.extend(kept)
        self.last = last
        before = self._kept[0].n - 1 if self._kept else last
        self._first, self._lost = (before, 0) if is_all else (0, before)

    def publish(self, fact: Fact, cause: int = 0) -> Event:
        event = Event(self.last + 1, time.time(), fact, cause)
        if self._closed:
            return event
        self.last = event.n
        match fact:
            case Closed():
                self._closed = event
            case Output(job=job):
                self._point((job, "output"), event)
            case Probed(job=job, question=question):
                self._point((job, question), event)
            case _:
                if len(self._kept) == KEPT:
                    self._lost = self._kept[0].n
                self._kept.append(event)
        _wake(self._waiting)
        if not isinstance(fact, Output):
            _wake(self._resting)
        return event

    def _point(self, at: tuple[str, str], event: Event) -> None:
        """Instead of where it pointed before."""
        self._pointers.pop(at, None)
        self._pointers[at] = event

    def attend(self) -> None:
        """Somebody waits for what is said next: for a moment nobody rests."""
        self._attentive_until = asyncio.get_running_loop().time() + ATTENTION
        _wake(self._resting)

    async def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncGenerator[Event, None]:
        """Events above `since`, then those that come, until Closed has been given out; None begins with how it is.

        Pointers to output wait for `rest` seconds after other events, and come together.
        """
        loop = asyncio.get_running_loop()
        is_behind = False
        resting_until = 0.0
        if since is None or since > self.last:  # a number from the life of another runner
            since, is_behind = self.last, True
        since = max(since, self._first)
        while True:
            self._settle()
            if since < self._lost:
                is_behind, skipped, since = True, self._lost - since, self._lost
                yield Event(since, time.time(), Skipped(skipped))
            elif news := self._above(since):
                for event in news:
                    since = event.n
                    yield event
                resting_until = loop.time() + rest
            elif is_behind:
                is_behind = False
                for fact in self._now():
                    yield Event(since, time.time(), fact)
            elif self._closed:
                yield self._closed
                return
            elif (now := loop.time()) < resting_until and now >= self._attentive_until:
                await _turn(self._resting, resting_until - now)
            else:
                await _turn(self._waiting)

    def _above(self, since: int) -> list[Event]:
        """In order, without Closed. Both sources are looked at from their newest end."""
        news = list(takewhile(lambda event: event.n > since, reversed(self._kept)))
        news += takewhile(lambda event: event.n > since, reversed(self._pointers.values()))
        news.sort()
        return news

    def _now(self) -> list[Fact]:
        """All of one moment: what happens while a reader has the turn comes to him as events."""
        pointers = [pointer.fact for pointer in self._pointers.values() if isinstance(pointer.fact, Output)]
        return [*self._restate(), *pointers]


async def _turn(readers: set[asyncio.Future[None]], at_most: float | None = None) -> None:
    """Until these readers are woken, or so many seconds have passed."""
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    timer = None if at_most is None else loop.call_later(at_most, _wake, {turn})
    readers.add(turn)
    try:
        await turn
    finally:
        readers.discard(turn)  # also of a reader who goes away while nothing happens
        if timer:
            timer.cancel()


def _wake(readers: set[asyncio.Future[None]]) -> None:
    for reader in readers:
        if not reader.done():
            reader.set_result(None)
    readers.clear()
