"""Numbers facts, keeps the last of them, and lets any number of readers follow at their own pace."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice

from zap.events import Closed, Event, Fact, Skipped

KEPT = 10_000  # events; a reader that falls further behind skips, and is told how many


class Bus:
    """Publishing never waits: a reader finds what is still kept when its turn comes.

    Who has skipped is told what `restate` says, the facts that make up for what is gone: how things are now.
    """

    def __init__(self, restate: Callable[[], Iterable[Fact]]) -> None:
        self._restate = restate
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._waiting: list[asyncio.Future[None]] = []
        self.last = 0

    def publish(self, fact: Fact) -> None:
        self.last += 1
        self._kept.append(Event(self.last, time.time(), fact))
        if self._waiting:
            for reader in self._waiting:
                if not reader.done():
                    reader.set_result(None)
            self._waiting.clear()

    async def watch(self, since: int = 0) -> AsyncIterator[Event]:
        """Events above `since`, then those that come, until Closed has been given out."""
        while True:
            if since >= self.last:
                news = asyncio.get_running_loop().create_future()
                self._waiting.append(news)
                await news
                continue
            skipped = self._kept[0].n - 1 - since
            if skipped > 0:
                since += skipped
                for fact in (Skipped(skipped), *self._restate()):
                    yield Event(since, time.time(), fact)
                continue
            # A copy, because the deque may grow while a reader has the turn.
            for event in list(islice(reversed(self._kept), self.last - since))[::-1]:
                since = event.n
                yield event
                if isinstance(event.fact, Closed):
                    return
