"""Numbers facts, keeps the last of them, and lets any number of readers follow at their own pace."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import takewhile

from zap.events import Closed, Event, Fact, Output, Skipped

KEPT = 10_000  # events; a reader that falls further behind skips, and is told how many


class Bus:
    """Publishing never waits: a reader finds what is still kept when its turn comes. After Closed nothing is published.

    Who has skipped is told what `restate` says, the facts that make up for what is gone: how things are now. Of the
    pointers to a job's output only the newest is kept: it says all that the others did.
    """

    def __init__(self, restate: Callable[[], Iterable[Fact]]) -> None:
        self._restate = restate
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._pointers: dict[str, Event] = {}  # by job, the newest last
        self._closed: Event | None = None
        self._lost = 0  # the number of the newest event that is gone
        self._waiting: set[asyncio.Future[None]] = set()
        self.last = 0

    def publish(self, fact: Fact) -> Event:
        event = Event(self.last + 1, time.time(), fact)
        if self._closed:
            return event
        self.last = event.n
        match fact:
            case Closed():
                self._closed = event
            case Output(job=job):
                self._pointers.pop(job, None)
                self._pointers[job] = event
            case _:
                if len(self._kept) == KEPT:
                    self._lost = self._kept[0].n
                self._kept.append(event)
        if self._waiting:
            for reader in self._waiting:
                if not reader.done():
                    reader.set_result(None)
            self._waiting.clear()
        return event

    async def watch(self, since: int | None = 0) -> AsyncGenerator[Event, None]:
        """Events above `since`, then those that come, until Closed has been given out; None begins with how it is."""
        is_behind = False
        if since is None or since > self.last:  # a number from the life of another runner
            since, is_behind = self.last, True
        while True:
            if since < self._lost:
                is_behind, skipped, since = True, self._lost - since, self._lost
                yield Event(since, time.time(), Skipped(skipped))
            elif news := self._above(since):
                for event in news:
                    since = event.n
                    yield event
            elif is_behind:
                is_behind = False
                for fact in self._now():
                    yield Event(since, time.time(), fact)
            elif self._closed:
                yield self._closed
                return
            else:
                turn = asyncio.get_running_loop().create_future()
                self._waiting.add(turn)
                try:
                    await turn
                finally:
                    self._waiting.discard(turn)  # also of a reader who goes away while nothing happens

    def _above(self, since: int) -> list[Event]:
        """In order, without Closed. Both sources are looked at from their newest end."""
        news = list(takewhile(lambda event: event.n > since, reversed(self._kept)))
        news += takewhile(lambda event: event.n > since, reversed(self._pointers.values()))
        news.sort()
        return news

    def _now(self) -> list[Fact]:
        """All of one moment: what happens while a reader has the turn comes to him as events."""
        return [*self._restate(), *(pointer.fact for pointer in self._pointers.values())]
