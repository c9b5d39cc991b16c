"""The families of our children: who lives of them, signals for all of them, and the end of whoever is left over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterable

from zap import census, child
from zap.census import Census, Process
from zap.child import Child

AGAIN = 0.02  # seconds between looks at whether what shall end has ended
HUNT_MOST = 1.0  # seconds that whom a KILL has not reached is looked for, at intervals that grow
MANY = 20  # processes of one family, of whom some may be born while the others are killed
REAP_LATER = 0.1  # seconds; orphans often end in swarms
REAP_EVERY = 60.0  # seconds; a look takes microseconds, and an orphan that waits for it costs a number
END_MOST = 5.0  # seconds to wait for KILLed processes that the kernel does not let go of


class _Hunt:
    """For whom a signal that nobody can refuse has not reached; `met` are all that were of the family since then."""

    def __init__(self, name: str, until: float) -> None:
        self.name = name
        self.until = until
        self.pause = AGAIN / 2
        self.met: set[tuple[int, float]] = set()
        self.next: asyncio.Handle | None = None


class Reaper:
    """`ours` are the pids of children that are let go of by whoever has them, or None: not all of them are known now.

    With `is_alone`, whatever else is below this process and its keeper belongs to it; otherwise what carries the tag of
    `runner` does. `keeper` is our parent, to which orphans may come as well; those it reaps itself.

    Who was seen once to be of a family is known for it from then on, whatever it does to hide.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        runner: str,
        is_alone: bool,
        ours: Callable[[], Collection[int] | None],
        keeper: int | None = None,
    ) -> None:
        self.keeper = keeper
        self._loop = loop
        self._runner = runner
        self._is_alone = is_alone
        self._ours = ours
        self._census: Census | None = None
        self._known: dict[Child, dict[int, Process]] = {}  # leaders with their families, as they were seen last
        self._hunts: dict[Child, _Hunt] = {}
        self._orphans: set[int] = set()  # of families that we have signalled: ours to reap, should they become ours
        self._reaping: asyncio.TimerHandle | None = None
        self._ending: asyncio.TimerHandle | None = None  # of strangers

    def has_family(self, leader: Child, members: Collection[int] = ()) -> bool:
        """Whether anybody lives who belongs to this child, which has ended itself. `members` are known to belong."""
        if self._family(leader, members):
            return True
        self._let_go(leader)
        return False

    def signal(self, leader: Child, name: str, members: Collection[int] = ()) -> None:
        """To all of its family, the signal of this name without SIG. Who is stopped is woken: it could not hear.

        KILL and STOP are also for those that are born meanwhile: they are looked for again and again, for a second.
        """
        self._cease(leader)
        if name in ("KILL", "STOP"):
            hunt = self._hunts[leader] = _Hunt(name, self._loop.time() + HUNT_MOST)
            self._strike(leader, hunt, members)
            return
        family = self._family(leader, members)
        self._send(leader, family, name)
        child.kill(self._look().stopped({*family, leader.pid}), child.number("CONT"))

    def reap_soon(self) -> None:
        """Who ends may leave orphans that end; and now and then somebody else's do, of which nobody tells us.

        SIGCHLD is of no use: a thousand of them fill the pipe by which the loop hears of signals, Ctrl+C among them.
        """
        soon = self._loop.time() + REAP_LATER
        if self._reaping and self._reaping.when() <= soon:  # else who calls often enough would put it off for ever
            return
        if self._reaping:
            self._reaping.cancel()
        self._reaping = self._loop.call_at(soon, self._reap_and_again)

    def end_strangers(self, tags: Collection[str]) -> None:
        """KILLs who was started for our runner and belongs to none of the children with these tags.

        One that is killed between a birth and telling of it leaves such a child to the runner after it.
        """
        self._end_tagged(self._take().tags(self._runner) - set(tags), self._loop.time() + END_MOST)

    async def end_all(self, has_tasks: Callable[[], bool]) -> int:
        """KILLs whatever is left of what we started; how many processes even that did not end.

        Waits for what ends without being told of, as long as `has_tasks` says that there is any.
        """
        until = self._loop.time() + END_MOST
        met: set[tuple[int, float]] = set()
        while True:
            look = self._take()
            left = look.of_homes() if self._is_alone else look.of_runner(self._runner)
            self._orphans |= left
            self._reap()
            if not (left or has_tasks()) or self._loop.time() > until:
                return len(left)
            new = look.alive(left) - met
            is_growing = bool(met and new)
            met |= new
            child.kill(left, child.number("STOP" if is_growing else "KILL"))
            await asyncio.sleep(0 if is_growing else AGAIN)

    def stopped(self, leaders: Iterable[Child]) -> dict[Child, int]:
        """Of whose family somebody stands still, by a signal: the leader, and one of those."""
        look = self._look()
        found = {leader: look.stopped({leader.pid, *self._family(leader, ())}) for leader in leaders}
        return {leader: min(still) for leader, still in found.items() if still}

    def close(self) -> None:
        """No timer of ours runs any more."""
        if self._reaping:
            self._reaping.cancel()
            self._reaping = None
        if self._ending:
            self._ending.cancel()
        for leader in list(self._hunts):
            self._let_go(leader)

    # Who belongs to whom.

    def _take(self) -> Census:
        """A keeper that is not our parent any more is gone, and its number may be another's."""
        return census.take([self.keeper] if self.keeper is not None and self.keeper == os.getppid() else [])

    def _look(self) -> Census:
        """Who lives; one pass over the process table serves everyone who asks in this turn of the loop."""
        if self._census is None:
            self._census = self._take()
            self._loop.call_soon(self._forget)
        return self._census

    def _forget(self) -> None:
        self._census = None

    def _family(self, leader: Child, members: Collection[int]) -> set[int]:
        look = self._look()
        also = [*members, *(pid for pid, process in self._known.get(leader, {}).items() if look.has(process))]
        family = look.family(leader.pid, leader.tag, also) if self._is_there(leader) else look.strays(leader.tag, also)
        seen = {pid: look.processes[pid] for pid in family}
        first = self._known.get(leader, {}).get(leader.pid) or look.processes.get(leader.pid)
        self._known[leader] = {leader.pid: first} | seen if first else seen
        return family

    def _is_there(self, leader: Child) -> bool:
        """False when it was let go of since we have seen it: its number may be another's now, and its group's."""
        before = self._known.get(leader, {}).get(leader.pid)
        return before is None or self._look().has(before)

    def _let_go(self, leader: Child) -> None:
        self._cease(leader)
        self._known.pop(leader, None)

    # Who shall hear what.

    def _send(self, leader: Child, family: Collection[int], name: str) -> None:
        number = child.number(name)
        if self._is_there(leader):
            leader.signal_group(number)
            family = self._look().outside(family, leader.pid)
        child.kill(family, number)

    def _strike(self, leader: Child, hunt: _Hunt, members: Collection[int] = ()) -> None:
        """STOPs the family until a look finds nobody new, or KILLs it until a look finds nobody.

        One that is large, or grows, is stopped before it is killed: who is stopped has no children, and keeps its place
        where their number is limited.
        """
        look = self._look()
        family = self._family(leader, members)
        self._orphans |= family
        new = look.alive({*family, leader.pid}) - hunt.met
        is_over = self._loop.time() > hunt.until
        is_growing = bool(new) if hunt.met or hunt.name == "STOP" else len(new) > MANY
        hunt.met |= new
        if is_growing and not is_over:
            self._send(leader, family, "STOP")
            hunt.next = self._loop.call_soon(self._strike, leader, hunt)
            return
        self._send(leader, family, hunt.name)
        if hunt.name == "STOP":
            self._cease(leader)
        elif not (family or look.alive([leader.pid])):
            self._let_go(leader)
        elif is_over:
            self._cease(leader)
        else:
            hunt.next = self._loop.call_later(hunt.pause, self._strike, leader, hunt)
            hunt.pause *= 2

    def _cease(self, leader: Child) -> None:
        hunt = self._hunts.pop(leader, None)
        if hunt and hunt.next:
            hunt.next.cancel()

    def _end_tagged(self, tags: Collection[str], until: float) -> None:
        left = self._take().of_tags(tags)
        self._orphans |= left
        child.kill(left, child.number("KILL"))
        if left and self._loop.time() < until:
            self._ending = self._loop.call_later(AGAIN, self._end_tagged, tags, until)
        else:
            self._ending = None
            self.reap_soon()

    # Who has ended.

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
        self._orphans.clear()
