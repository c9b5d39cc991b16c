"""Weighs the jobs now and then, while somebody looks: seldom when nothing changes, and at a percent of cpu at most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from zap import census
from zap.census import Census, Process
from zap.events import Load
from zap.plan import MIB
from zap.sampler import Sampler

EVERY = 1.0  # seconds, while figures change
SELDOM = 30.0  # seconds, when they have not for a while, and nobody was at the keys
SLICE = 0.001  # seconds that a look takes at once
WORTH = 100  # times what a look takes are between two of them, so that it costs a percent at most


class Scales:
    """`leaders` tells the shells of the jobs that live; `changed` is told the figures that read otherwise than before.

    Everything that its jobs have used was used since `begun`, or when there is none, since now. `keeper` is a process
    to which their orphans may come.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        leaders: Callable[[], Mapping[str, tuple[int, str]]],
        changed: Callable[[tuple[Load, ...]], None],
        begun: float | None = None,
        keeper: int | None = None,
    ) -> None:
        self._loop = loop
        self._leaders = leaders
        self._changed = changed
        self._homes = [] if keeper is None else [keeper]
        self._sampler = Sampler(loop.time() if begun is None else begun)
        self._told: dict[str, tuple[int, int]] = {}
        self._lookers = 0
        self._rest = EVERY
        self._last = 0.0
        self._next: asyncio.TimerHandle | None = None
        self._reading: Iterator[Process] = iter(())
        self._found: list[Process] = []
        self._took = 0.0

    def look(self) -> None:
        """Somebody looks, until they look away."""
        self._lookers += 1
        if self._loop.time() - self._last > EVERY:
            self._weigh()

    def look_away(self) -> None:
        self._lookers -= 1

    def stir(self) -> None:
        """Something happens, or somebody is at the keys: figures will change, or are waited for."""
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
        if not (self._lookers and self._leaders()):
            return
        self._last = self._loop.time()
        self._reading, self._found, self._took = census.processes(), [], 0.0
        self._read()

    def _read(self) -> None:
        """In slices, because nobody else has a turn meanwhile."""
        begun = self._loop.time()
        for process in self._reading:
            self._found.append(process)
            if self._loop.time() > begun + SLICE:
                self._next = self._loop.call_later(0, self._read)
                self._took += self._loop.time() - begun
                return
        loads = self._sampler.sample(Census(self._found, self._homes), begun, self._leaders())
        self._took += self._loop.time() - begun
        self._tell(loads)

    def _tell(self, loads: Mapping[str, Load]) -> None:
        told = {name: (round(load.cpu), round(load.memory / MIB)) for name, load in loads.items()}
        changed = tuple(load for name, load in loads.items() if self._told.get(name) != told[name])
        self._told = told
        self._rest = EVERY if changed else min(self._rest * 2, SELDOM)
        self._wait(max(self._rest, self._took * WORTH))
        if changed:
            self._changed(changed)
