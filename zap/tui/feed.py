"""The lines of one job, or of several together, as far as they are here: fetched when somebody wants to see them."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from typing import NamedTuple

from zap.errors import ZapError
from zap.events import Line
from zap.session import Session, Tail

PAGE = 300  # lines fetched at once
SCREENFUL = 100  # lines of a look at a job that says more than anybody can read
LAST = 1000  # lines that are fetched of all jobs together when they are merged
WIDEST = 8 * 1024  # bytes of a line: more than fills a screen, and little enough for one frame
MOST_LOOKED_AT = 20 * PAGE  # lines of one job between two frames, where only some are wanted
MOST = 50_000  # items; what is older is let go, and fetched again when it is wanted
SPARE = MOST // 10  # items let go at once, because that is no cheaper for one


class Item(NamedTuple):
    """A line and whose it is."""

    job: str
    line: Line


Wanted = Callable[[Line], bool]


class Feed:
    """Items from index `begin` up to, without, `end`. An item keeps its index when others come before or behind it.

    Of one job, and without a filter, the items are its lines without gaps. Those of several jobs are in the order of
    time: what one has said waits until the others have been asked for what they said by then. `unfinished` are lines
    that have no end yet.
    """

    def __init__(self, session: Session, jobs: Sequence[str], last: Mapping[str, int], wanted: Wanted | None = None):
        self.jobs = tuple(jobs)
        self.wanted = wanted
        self.begin = 0
        self.turn = asyncio.Lock()  # who fetches holds it
        self.is_begun = False
        self.dropped = 0  # lines that are not here: gone before they could be fetched, or more than could be looked at
        self._session = session
        self._last = last  # the newest line of each job, as the events tell
        self._items: list[Item] = []
        self._strands = [_Strand(job, 0) for job in self.jobs]

    @property
    def end(self) -> int:
        return self.begin + len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index - self.begin]

    def between(self, begin: int, end: int) -> list[Item]:
        return self._items[max(begin - self.begin, 0) : max(end - self.begin, 0)]

    def find(self, job: str, number: int) -> int | None:
        """The index of the first item at or behind this line of the job."""
        items = enumerate(self._items, self.begin)
        return next((index for index, item in items if item.job == job and item.line.number >= number), None)

    @property
    def unfinished(self) -> list[Item]:
        return [item for strand in self._strands for item in strand.open]

    @property
    def is_whole(self) -> bool:
        """Whether nothing older is kept by the runner, as far as we know."""
        return all(strand.is_whole and not strand.behind for strand in self._strands)

    @property
    def is_current(self) -> bool:
        """Whether all that was said is here, as far as the events tell."""
        return not self.waiting

    @property
    def waiting(self) -> int:
        """How many lines were said that are still to come."""
        unseen = (max(self._last.get(strand.job, 0) - strand.next, 0) for strand in self._strands)
        return sum(unseen) + sum(len(strand.ahead) for strand in self._strands)

    @property
    def reached(self) -> int:
        """The number of the newest line that was looked at, where it is one job."""
        return self._strands[0].next if self._strands else 0

    def clear(self, job: str) -> None:
        """What the job had said is gone for good; of several jobs, the others' lines come again."""
        self.dropped = 0
        self.is_begun &= self.jobs == (job,)
        self._strands = [_Strand(strand.job, strand.next) for strand in self._strands]
        self._begin_anew()
        for strand in self._strands:
            strand.is_whole = True

    # Fetching. One at a time: `turn` sees to that. A strand that was replaced meanwhile is fetched for in vain.

    async def latest(self) -> bool:
        """Only the newest lines; indices go on. As `newer`."""
        share = PAGE if len(self.jobs) == 1 else max(LAST // max(len(self.jobs), 1), 10)
        self._strands = [_Strand(job, max(self._last.get(job, 0) - share, 0)) for job in self.jobs]
        self._begin_anew()
        self.dropped = 0
        self.is_begun = True
        return await self.newer()

    async def newer(self, is_followed: bool = True) -> bool:
        """What has come since; of a job that says more than anybody can read, only the end while it is followed.

        Whether there is more that was left for the next time.
        """
        if not self.is_begun:
            return await self.latest()
        reached = [await self._fetch_newer(strand, is_followed) for strand in self._strands]
        horizon = min(reached, default=math.inf) if len(self._strands) > 1 else math.inf
        frontier = self._frontier()
        for item in _in_order(strand.take_ahead(horizon) for strand in self._strands):
            if item.line.at >= frontier or self._items:
                self._items.append(item)
            else:
                self._strands[self.jobs.index(item.job)].behind.append(item)
        if is_followed and len(self._items) > MOST + SPARE:
            self._let_go(len(self._items) - MOST)
        return any(map(math.isfinite, reached))

    async def older(self, at_most: int = PAGE) -> bool:
        """So many lines before what is here, of the job whose lines reach back least; False when there are none."""
        if self.is_whole or not self.is_begun:
            return False
        reaching = [strand for strand in self._strands if not strand.is_whole]
        if reaching:
            await self._fetch_older(max(reaching, key=lambda strand: strand.oldest_at), at_most)
        frontier = self._frontier()
        items = list(_in_order(strand.take_behind(frontier) for strand in self._strands))
        self._items[:0] = items
        self.begin -= len(items)
        return True

    def _frontier(self) -> float:
        """The time from which on all jobs' lines have been looked at."""
        if len(self._strands) == 1:
            return -math.inf
        return max((strand.oldest_at for strand in self._strands if not strand.is_whole), default=-math.inf)

    async def _fetch_newer(self, strand: _Strand, is_followed: bool) -> float:
        """The time up to which its lines are known now."""
        most = PAGE if self.wanted is None else MOST_LOOKED_AT
        behind = self._last.get(strand.job, 0) - strand.next
        page, is_flood = PAGE, is_followed and behind > 2 * most
        if is_flood:
            if self.wanted is None:
                most = page = SCREENFUL
            strand.next += behind - most
            if len(self._strands) == 1 and self.wanted is None:
                self._begin_anew()
            else:
                self.dropped += behind - most
        for _ in range(2 * most // PAGE or 1):
            before = strand.next
            tail = await fetch(self._session, strand.job, before, page, WIDEST)
            strand.next = tail.next
            strand.open = [Item(strand.job, line) for line in tail.lines if line.is_open and self._wants(line)]
            lines = [line for line in tail.lines if not line.is_open]
            if math.isinf(strand.oldest_at):
                strand.is_whole |= tail.dropped > 0
                strand.oldest = lines[0].number if lines else tail.next + 1
                strand.oldest_at = lines[0].at if lines else math.inf
            else:
                self.dropped += tail.dropped
            strand.ahead += [Item(strand.job, line) for line in lines if self._wants(line)]
            if not lines or strand.next >= self._last.get(strand.job, 0):
                return math.inf
        return lines[-1].at

    async def _fetch_older(self, strand: _Strand, at_most: int) -> None:
        since = max(strand.oldest - 1 - at_most, 0)
        tail = await fetch(self._session, strand.job, since, at_most, WIDEST)
        lines = [line for line in tail.lines if line.number < strand.oldest and not line.is_open]
        strand.is_whole = since == 0 or not lines or lines[0].number > since + 1
        if lines:
            strand.oldest, strand.oldest_at = lines[0].number, lines[0].at
        strand.behind[:0] = [Item(strand.job, line) for line in lines if self._wants(line)]

    def _wants(self, line: Line) -> bool:
        return self.wanted is None or self.wanted(line)

    def _begin_anew(self) -> None:
        """Without any item; indices go on."""
        self.begin = self.end
        self._items.clear()
        for strand in self._strands:
            strand.forget_older(strand.next + 1, math.inf)

    def _let_go(self, count: int) -> None:
        """Of the oldest items."""
        del self._items[:count]
        self.begin += count
        first = {item.job: item.line.number for item in reversed(self._items)}
        for strand in self._strands:
            strand.forget_older(first.get(strand.job, strand.next + 1), self._items[0].line.at)


async def fetch(
    session: Session, job: str, since: int, at_most: int, widest: int, known: tuple[int, int] | None = None
) -> Tail:
    """As the session's tail. A job that is not in the plan any more has no lines: of it we may hear only later."""
    try:
        return await session.tail(job, since, at_most, widest, known)
    except ZapError:
        if any(job == planned.name for planned in (await session.plan()).jobs):
            raise
        return Tail((), since, 0, known or (0, 0))


class _Strand:
    """What is known of one job's lines. Lines from `oldest` to `next` have been looked at.

    Of them, `ahead` and `behind` are not among the feed's items yet: another job may have said something between.
    """

    __slots__ = ("ahead", "behind", "is_whole", "job", "next", "oldest", "oldest_at", "open")

    def __init__(self, job: str, since: int) -> None:
        self.job = job
        self.next = since
        self.ahead: list[Item] = []
        self.behind: list[Item] = []
        self.open: list[Item] = []

        self.forget_older(since + 1, math.inf)

    def forget_older(self, oldest: int, at: float) -> None:
        self.oldest, self.oldest_at = oldest, at
        self.is_whole = oldest == 1
        self.behind.clear()

    def take_ahead(self, horizon: float) -> list[Item]:
        """What was said up to then."""
        taken = list(takewhile(lambda item: item.line.at <= horizon, self.ahead))
        del self.ahead[: len(taken)]
        return taken

    def take_behind(self, frontier: float) -> list[Item]:
        """What was said since then."""
        taken = list(takewhile(lambda item: item.line.at >= frontier, reversed(self.behind)))[::-1]
        del self.behind[len(self.behind) - len(taken) :]
        return taken


def _in_order(strands: Iterator[list[Item]]) -> Iterator[Item]:
    """By time; what one job said stays as it said it, and of one moment the earlier job's comes first."""
    pieces = [strand for strand in strands if strand]
    if len(pieces) < 2:
        return chain.from_iterable(pieces)
    return heapq.merge(*pieces, key=lambda item: item.line.at)
