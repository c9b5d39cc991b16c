"""Weighs the jobs now and then, while somebody looks: seldom when nothing changes, and at a percent of cpu at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from zap import census
from zap.events import Load
from zap.plan import MIB
from zap.sampler import Sampler

EVERY = 1.0  # seconds, while figures change
SELDOM = 8.0  # seconds, when they have not for a while
WORTH = 100  # times what a look takes are between two of them, so that it costs a percent at most


class Scales:
    """`leaders` tells the shells of the jobs that live; `changed` is told the figures that read otherwise than before.

    Everything that its jobs have used was used since it was made.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        leaders: Callable[[], Mapping[str, tuple[int, str]]],
        changed: Callable[[tuple[Load, ...]], None],
    ) -> None:
        self._loop = loop
        self._leaders = leaders
        self._changed = changed
        self._sampler = Sampler(loop.time())
        self._told: dict[str, tuple[int, int]] = {}
        self._lookers = 0
        self._rest = EVERY
        self._last = 0.0
        self._next: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Somebody looks, until they look away."""
        self._lookers += 1
        if self._loop.time() - self._last > EVERY:
            self._weigh()

    def look_away(self) -> None:
        self._lookers -= 1

    def stir(self) -> None:
        """Something happens: figures will change."""
        self._rest = EVERY
        if self._lookers and (self._next is None or self._next.when() > self._loop.time() + EVERY):
            self._wait(EVERY)

    def close(self) -> None:
        if self._next:
            self._next.cancel()
        self._lookers = 0

    def _wait(self, seconds: float) -> None:
        if self._next:
            self._next.cancel()
        self._next = self._loop.call_later(seconds, self._weigh)

    def _weigh(self) -> None:
        if self._next:
            self._next.cancel()
            self._next = None
        leaders = self._leaders()
        if not (self._lookers and leaders):
            return
        self._last = self._loop.time()
        loads = self._sampler.sample(census.take(), self._last, leaders)
        took = self._loop.time() - self._last
        told = {name: (round(load.cpu), round(load.memory / MIB)) for name, load in loads.items()}
        changed = tuple(load for name, load in loads.items() if self._told.get(name) != told[name])
        self._told = told
        self._rest = EVERY if changed else min(self._rest * 2, SELDOM)
        self._wait(max(self._rest, took * WORTH))
        if changed:
            self._changed(changed)
