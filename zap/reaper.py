"""The families of our children: who lives of them, signals for all of them, and the end of whoever is left over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection

from zap import census, child
from zap.child import Child

AGAIN = 0.02  # seconds between looks at whether what shall end has ended
REAP_LATER = 0.1  # seconds; orphans often end in swarms
REAP_EVERY = 60.0  # seconds; a look takes microseconds, and an orphan that waits for it costs a number
END_MOST = 5.0  # seconds to wait for KILLed processes that the kernel does not let go of


class Reaper:
    """`ours` are the pids of children that are let go of by whoever has them, or None: not all of them are known now.

    With `is_alone`, whatever else is below this process belongs to it; otherwise what carries the tag of `runner` does.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runner: str,
        is_alone: bool,
        ours: Callable[[], Collection[int] | None],
    ) -> None:
        self._loop = loop
        self._runner = runner
        self._is_alone = is_alone
        self._ours = ours
        self._census: census.Census | None = None
        self._orphans: set[int] = set()  # of families that we have signalled: ours to reap, should they become ours
        self._reaping: asyncio.TimerHandle | None = None

    def has_family(self, leader: Child) -> bool:
        """Whether anybody lives who belongs to this child, which has ended itself."""
        return bool(self._look().family(leader.pid, leader.tag))

    def signal(self, leader: Child, name: str) -> None:
        """To all of its family, the signal of this name without SIG. Who is stopped is woken: it could not hear."""
        look = self._look()
        family = look.family(leader.pid, leader.tag)
        self._orphans |= family
        leader.signal_group(child.number(name))
        child.kill(look.outside(family, leader.pid), child.number(name))
        if name != "KILL":
            child.kill(look.stopped({*family, leader.pid}), child.number("CONT"))

    def reap_soon(self) -> None:
        """Who ends may leave orphans that end; and now and then somebody else's do, of which nobody tells us.

        SIGCHLD is of no use: a thousand of them fill the pipe by which the loop hears of signals, Ctrl+C among them.
        """
        soon = self._loop.time() + REAP_LATER
        if self._reaping and self._reaping.when() <= soon:  # else who calls often enough would put it off for ever
            return
        self.close()
        self._reaping = self._loop.call_at(soon, self._reap_and_again)

    async def end_all(self, has_tasks: Callable[[], bool]) -> int:
        """KILLs whatever is left of what we started; how many processes even that did not end.

        Waits for what ends without being told of, as long as `has_tasks` says that there is any.
        """
        until = self._loop.time() + END_MOST
        while True:
            look = census.take()
            left = look.below(os.getpid()) if self._is_alone else look.of_runner(self._runner)
            self._orphans |= left
            self._reap()
            if not (left or has_tasks()) or self._loop.time() > until:
                return len(left)
            child.kill(left, child.number("KILL"))
            await asyncio.sleep(AGAIN)

    def close(self) -> None:
        """No timer of ours runs any more."""
        if self._reaping:
            self._reaping.cancel()
            self._reaping = None

    def _look(self) -> census.Census:
        """Who lives; one pass over the process table serves everyone who asks in this turn of the loop."""
        if self._census is None:
            self._census = census.take()
            self._loop.call_soon(self._forget)
        return self._census

    def _forget(self) -> None:
        self._census = None

    def _reap_and_again(self) -> None:
        self._reap()
        self._reaping = self._loop.call_later(REAP_EVERY, self._reap_and_again)

    def _reap(self) -> None:
        """Takes the status of what was re-parented to us and has ended; our own children are let go where they end."""
        ours = self._ours() if self._is_alone else None
        if ours is None:
            for pid in list(self._orphans):
                if child.reap(pid):
                    self._orphans.discard(pid)
            return
        while (ended := child.ended()) is not None and ended not in ours:
            child.reap(ended)
        if ended is not None:  # behind one of ours that is not let go yet there may be others
            for orphan in self._look().orphans(set(ours)):
                child.reap(orphan)
