"""The tree of systems, jobs and commands: how each is, what it uses, and what it has said since one last looked."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple, get_args

from zap import fuzzy
from zap.board import Board
from zap.events import LOG, State
from zap.events import Row as JobRow
from zap.plan import MIB, Job, Plan
from zap.remarks import headline
from zap.tui import text
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Attr, Row

Order = Literal["plan", "state", "name", "cpu", "memory"]
_URGENT = (
    *(State.FAILED, State.FIXING, State.BACKOFF, State.STOPPING, State.WAITING),
    *(State.STARTING, State.RUNNING, State.READY),
)
_STUCK = 0.5  # as urgent as what has failed, but for that itself
_PAUSED = 3.5  # as urgent as what somebody does something about just now
_AGEING = (State.WAITING, State.STARTING, State.RUNNING, State.READY, State.STOPPING, State.FIXING)


class Entry(NamedTuple):
    """A line of the tree: a system, a job of it, or (counted from 1) a command of that job."""

    system: str
    job: str = ""
    command: int = 0


class Seen(NamedTuple):
    """How much there was when one last looked."""

    lines: int = 0
    errors: int = 0
    fixups: int = 0


class _Drawn(NamedTuple):
    """A job's row of the tree, and what it was drawn from."""

    said: Row
    row: JobRow
    seen: Seen
    around: object


class Tree:
    """What of the tree shows, and where in it one is. `clock` tells the time on the wall, for ages.

    Its jobs are those that the board has a row for: of the plan, and those that are not in it any more and still end.
    """

    def __init__(self, plan: Plan, board: Board, glyphs: Glyphs, clock: Callable[[], float] = time.time) -> None:
        self.jobs: dict[str, Job] = {}
        self.systems: dict[str, list[str]] = {}
        self.order: Order = "plan"
        self.narrowed = ""
        self.log_lines = 0  # of zap's own log, which has no row
        self._board = board
        self._glyphs = glyphs
        self._clock = clock
        self._shut: set[str] = set()  # systems whose jobs are folded away
        self._open: set[str] = set()  # jobs whose commands show
        self._seen: dict[str, Seen] = {}
        self._begin = 0  # the first entry that shows
        self._height = 1
        self._drawn: dict[str, _Drawn] = {}
        self._frame = 0
        self._at = 0.0  # when it is drawn
        self.is_behind = False  # counts are still to be drawn
        self.selected = _LOG
        self.adopt(plan)
        self._seen = {job: self._now(job) for job in self.jobs}
        started = (name for name in self.jobs if board.rows[name].state is not State.STOPPED)
        self.selected = _entry(next(started, next(iter(self.jobs), LOG)))

    # What there is.

    def adopt(self, plan: Plan, gone: Collection[str] = ()) -> None:
        """There are the jobs of this plan now, but for those that the board will let go of at once.

        Where what was selected is gone, its neighbour is.
        """
        before = self.entries()
        there = self._board.rows.keys() - gone
        jobs = {job.name: job for job in (*self.jobs.values(), *plan.jobs) if job.name in there}
        systems = {system.name: [job.name for job in system.jobs if job.name in jobs] for system in plan.systems}
        for system, former in self.systems.items():
            if left := [name for name in former if name in jobs]:
                systems[system] = _with_leavers(systems.get(system, []), left)
        self.systems = systems
        self.jobs = {name: jobs[name] for its in systems.values() for name in its}
        self._seen = {name: self._seen[name] for name in self._seen if name == LOG} | {
            name: self._seen.get(name, Seen()) for name in self.jobs
        }
        self._drawn = {name: drawn for name, drawn in self._drawn.items() if name in self.jobs}
        self._open.intersection_update(self.jobs)
        self._shut.intersection_update(systems)
        if not self._has(self.selected):
            self.selected = self._neighbour(before)

    def _has(self, entry: Entry) -> bool:
        if not entry.job:
            return entry.system in self.systems
        return entry.job == LOG or (entry.job in self.jobs and entry.command <= len(self.jobs[entry.job].commands))

    def _neighbour(self, before: list[Entry]) -> Entry:
        """What is there still of what stood nearest to the selected entry: jobs rather than systems, its own first."""
        job = self.selected._replace(command=0)
        if self._has(job):
            return job
        place = next((index for index, entry in enumerate(before) if entry[:2] == job[:2]), len(before))
        left = [index for index, entry in enumerate(before) if not entry.command and self._has(entry)]

        def distance(index: int) -> tuple[bool, bool, int, bool]:
            entry = before[index]
            is_elsewhere = not self._is_flat and entry.system != job.system
            return entry.job in ("", LOG), is_elsewhere, abs(index - place), index < place

        return before[min(left, key=distance)] if left else _LOG

    def entries(self) -> list[Entry]:
        if not self._is_flat:
            return [*self._by_system(), _LOG]
        jobs = [*sorted(self.jobs, key=self._rank), LOG] if self.order != "plan" else [*self.jobs, LOG]
        if self.narrowed:
            jobs = [jobs[index] for index in fuzzy.rank(self.narrowed, jobs)]
        return [_entry(job) for job in jobs]

    @property
    def _is_flat(self) -> bool:
        """Jobs alone, without their systems."""
        return bool(self.narrowed) or self.order != "plan"

    def _by_system(self) -> Iterator[Entry]:
        for system, jobs in self.systems.items():
            yield Entry(system)
            for job in jobs if system not in self._shut else ():
                yield Entry(system, job)
                if job in self._open:
                    for number in range(1, len(self.jobs[job].commands) + 1):
                        yield Entry(system, job, number)

    def _rank(self, job: str) -> tuple[float, str]:
        row = self._board.rows[job]
        match self.order:
            case "state" if row.is_stuck:
                return _STUCK, job
            case "state" if row.is_paused:
                return _PAUSED, job
            case "state":
                return (_URGENT.index(row.state) if row.state in _URGENT else len(_URGENT), job)
            case "cpu":
                return -row.cpu, job
            case "memory":
                return -row.memory, job
            case _:
                return 0, job

    def chosen(self) -> tuple[str, ...]:
        """The jobs that an action is for: the selected one, or all of the selected system that start with it."""
        if not self.entries():
            return ()  # nobody acts on what they do not see
        if self.selected.job:
            return (self.selected.job,) if self.selected.job != LOG else ()
        jobs = self.systems.get(self.selected.system, [])
        return tuple(job for job in jobs if self.jobs[job].start or not self._board.rows[job].state.is_rest)

    # Moving.

    def move(self, steps: int) -> None:
        entries = self.entries()
        if entries:
            index = self._index(entries) + steps
            self.selected = entries[max(0, min(index, len(entries) - 1))]

    def move_page(self, pages: int) -> None:
        self.move(pages * max(self._height - 1, 1))

    def select(self, job: str) -> None:
        self.selected = _entry(job)
        self._shut.discard(self.selected.system)
        if self.selected not in self.entries():
            self.narrowed = ""

    def select_at(self, y: int) -> bool:
        """What shows in this row of the screen; False when nothing does."""
        entries = self.entries()
        if not 0 <= self._begin + y < len(entries):
            return False
        self.selected = entries[self._begin + y]
        return True

    def fold(self, is_open: bool) -> None:
        system, job, _ = self.selected
        if self._is_flat:
            return
        if is_open:
            if not job:
                self._shut.discard(system)
            elif job != LOG:
                self._open.add(job)
        elif job and job in self._open:
            self._open.discard(job)
            self.selected = Entry(system, job)
        elif system:
            self._shut.add(system)
            self.selected = Entry(system)

    def toggle_fold(self) -> None:
        is_shut = self.selected.job not in self._open if self.selected.job else self.selected.system in self._shut
        self.fold(is_open=is_shut)

    def sort(self) -> Order:
        orders = get_args(Order)
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]
        self.move(0)
        return self.order

    def narrow(self, query: str) -> None:
        """To jobs that fit, the best of which is selected."""
        self.narrowed = query.strip()
        if self.narrowed and (entries := self.entries()):
            self.selected = entries[0]
        self.move(0)

    def _index(self, entries: list[Entry]) -> int:
        """Of the selected entry, or of what is nearest to it."""
        for candidate in (self.selected, self.selected._replace(command=0), Entry(self.selected.system)):
            if candidate in entries:
                return entries.index(candidate)
        return 0

    # What is unseen.

    def look_at(self, job: str) -> None:
        """All that the job has said by now was seen."""
        if (now := self._now(job)) != self._seen.get(job):
            self._seen[job] = now

    def unseen(self, job: str) -> Seen:
        now = self._now(job)
        seen = self._seen.setdefault(job, now)  # of zap's own log all that was said before was seen
        return Seen(*(max(a - b, 0) for a, b in zip(now, seen, strict=True)))

    def _now(self, job: str) -> Seen:
        if job == LOG:
            return Seen(self.log_lines)
        row = self._board.rows[job]
        return Seen(row.lines, row.errors, len(row.fixups) + len(row.gave_up))

    # Drawing.

    def draw(self, columns: int, rows: int, has_focus: bool) -> list[Row]:
        entries = self.entries()
        self._height = rows
        index = self._index(entries)
        if index < self._begin:
            self._begin = index
        elif index >= self._begin + rows:
            self._begin = index - rows + 1
        self._begin = max(min(self._begin, len(entries) - rows), 0)
        drawn = [] if entries else [text.cut([("dim", "  no job fits")], columns)][:rows]
        self._frame += 1
        self._at = self._clock()
        self.is_behind = False
        for number, entry in enumerate(entries[self._begin : self._begin + rows], self._begin):
            row = self._draw(entry, columns, has_turn=(number + self._frame) % TURNS == 0)
            if number == index:
                row = text.tint(text.pad(row, columns), "selected focus" if has_focus else "selected")
            drawn.append(row)
        return drawn + [[] for _ in range(rows - len(drawn))]

    def _draw(self, entry: Entry, columns: int, has_turn: bool) -> Row:
        if entry.command:
            return self._draw_command(entry, columns)
        if entry.job == LOG:
            return self._fit([("dim", "  zap ")], [("dim", "its own log ")], self._badges(self.unseen(LOG)), columns)
        if entry.job:
            return self._draw_job(self.jobs[entry.job], columns, has_turn)
        return self._draw_system(entry.system, columns)

    def _draw_system(self, system: str, columns: int) -> Row:
        jobs = self.systems[system]
        fold = self._glyphs.shut if system in self._shut else self._glyphs.open
        rows = [self._board.rows[job] for job in jobs]
        up = sum(not row.state.is_rest and row.state is not State.WAITING for row in rows)
        row: Row = [("title", f"{fold} {system} ")]
        failed = sum(row.state is State.FAILED for row in rows)
        counts: Row = [("dim", f"{up}/{len(jobs)} ")]
        if failed:
            counts.append(("state failed", f"{self._glyphs.states[State.FAILED]}{failed} "))
        if stuck := sum(row.is_stuck for row in rows):
            counts.append(("bad", f"{self._glyphs.states[State.WAITING]}{stuck} "))
        if paused := sum(row.is_paused for row in rows):
            counts.append(("state paused", f"{self._glyphs.paused}{paused} "))
        unseen = Seen(*map(sum, zip(*map(self.unseen, jobs), strict=True))) if system in self._shut else Seen()
        return self._fit(row, counts, self._badges(unseen), columns)

    def _draw_job(self, job: Job, columns: int, has_turn: bool) -> Row:
        """As it was drawn before, unless something has changed: most frames are about one job of many.

        What only counts otherwise has its turn: numbers that change with every frame are read by nobody.
        """
        row, seen = self._board.rows[job.name], self._seen[job.name]
        grown = age(self._at - _begun(row)) if row.state in _AGEING else ""
        around = grown, columns, self.narrowed, self._is_flat
        drawn = self._drawn.get(job.name)
        if drawn and drawn.around == around:
            if drawn.row is row and drawn.seen is seen:
                return drawn.said
            if not has_turn and _calm(drawn.row, drawn.seen) == _calm(row, seen):
                self.is_behind = True
                return drawn.said
        said = self._draw_row(job, row, grown, columns)
        self._drawn[job.name] = _Drawn(said, row, seen, around)
        return said

    def _draw_row(self, job: Job, row: JobRow, grown: str, columns: int) -> Row:
        attr: Attr = "bad" if row.is_stuck else "state paused" if row.is_paused else f"state {row.state}"
        glyph = self._glyphs.paused if row.is_paused else self._glyphs.states[row.state]
        name = job.name if self._is_flat else job.name.partition("/")[2]
        left: Row = [(None, "  "), (attr, glyph + " " * (2 - text.width(glyph)))]
        _, places = (fuzzy.score(self.narrowed, job.name) if self.narrowed else None) or (0.0, ())
        named: Row = [("off" if row.state is State.STOPPED else "text", name)]
        left += text.mark(named, [(place, place + 1) for place in places], "match")
        left.append((None, " "))
        badges = self._badges(self.unseen(job.name))
        awaited = _awaited(row, columns - text.row_width([*left, *badges]) - 1)
        return self._fit(left, [*awaited, *self._how(row, grown, columns)], badges, columns)

    def _how(self, row: JobRow, grown: str, columns: int) -> Row:
        """What is said of a job, the most important first."""
        how: Row = []
        if row.state in (State.STARTING, State.RUNNING, State.READY) and row.commands > 1 and row.command:
            how.append(("busy", f"{row.command}/{row.commands} "))
        if row.is_paused:
            how.append(("state paused", "paused "))
        if row.asking:
            how.append(("warn", "asks "))
        if row.state is State.READY:
            how += [("warn", f"{bad.question} {bad.times}/{bad.most} ") for bad in row.probed if not bad.is_ok]
        if row.restarts:
            how.append(("warn", f"{self._glyphs.states[State.BACKOFF]}{row.restarts} "))
        match row.state:
            case state if state in _AGEING:
                how.append(("dim", f"{grown:>3} "))
            case State.DONE:
                how.append(("dim", "done "))
            case State.FAILED | State.BACKOFF if row.exit:
                how.append(("bad", "out of memory " if row.exit.is_out_of_memory else f"{row.exit} "))
            case State.STOPPED:
                pass
            case _:
                how.append((f"state {row.state}", f"{row.state} "))
        if columns >= WIDE and row.pid and row.memory:
            how.append(("dim", f"{row.cpu:3.0f}% {size(row.memory):>4} "))
        return how

    def _badges(self, unseen: Seen) -> Row:
        badges: Row = []
        if unseen.fixups:
            badges.append(("badge fixups", f"{self._glyphs.fixup}{count(unseen.fixups)} "))
        if unseen.errors:
            badges.append(("badge errors", f"{self._glyphs.error}{count(unseen.errors)} "))
        if unseen.lines:
            badges.append(("badge lines", f"{self._glyphs.lines}{count(unseen.lines)} "))
        return badges

    def _draw_command(self, entry: Entry, columns: int) -> Row:
        row = self._board.rows[entry.job]
        states = self._glyphs.states
        ran = next((ran for ran in reversed(row.ran) if (ran.epoch, ran.command) == (row.epoch, entry.command)), None)
        mark: tuple[Attr, str] = ("off", " ")
        if ran and ran.status is not None:
            is_well = ran.status.code == 0
            mark = ("ok", states[State.DONE]) if is_well else ("bad", states[State.FAILED])
        elif ran and row.pid:
            mark = ("busy", self._glyphs.shut)
        took: Row = [("dim", f" {age(ran.seconds)} ")] if ran and ran.seconds is not None else []
        said = spelled(headline(self.jobs[entry.job].commands[entry.command - 1].text), self._glyphs).expandtabs(4)
        return self._fit([(None, "      "), mark, ("dim", f" {said}")], took, [], columns)

    def _fit(self, left: Row, right: Row, badges: Row, columns: int) -> Row:
        """Both sides at their ends; what does not fit goes: first of what is said, then of the name."""
        room = columns - text.row_width(badges)
        while right and text.row_width(left) + text.row_width(right) > room:
            right = right[:-1]
        right = [*badges, *right]
        left = text.cut(left, columns - text.row_width(right), self._glyphs.ellipsis)
        return [*text.pad(left, columns - text.row_width(right)), *right]

    def next_change(self) -> float:
        """Seconds until an age that shows would read otherwise; nothing else changes by itself."""
        now = self._clock()
        ages = [now - _begun(row) for row in self._board.rows.values() if row.state in _AGEING]
        return min((step(value) - value % step(value) for value in ages), default=3600.0)


TURNS = 4  # frames in which every row's counts are drawn once
WIDE = 36  # columns from which on cpu and memory show
_LOG = Entry("", LOG)
_COUNTS = ("lines", "errors", "cpu", "memory")
assert JobRow._fields[-len(_COUNTS) :] == _COUNTS


def _calm(row: JobRow, seen: Seen) -> object:
    """What of a job is more than counts: there are some, or there are none."""
    return row[: -len(_COUNTS)], row.lines > seen.lines, row.errors > seen.errors


def _with_leavers(names: list[str], left: list[str]) -> list[str]:
    """These jobs, and those who are left of what was there before: they stand where they stood until they are gone."""
    for place, name in enumerate(left):
        if name not in names:
            before = left[place - 1] if place else ""
            names.insert(names.index(before) + 1 if before in names else 0, name)
    return names


def _begun(row: JobRow) -> float:
    """Since when it is as it is: of a job that lives and goes on, since it was started."""
    return row.since if row.state is State.WAITING or row.is_paused else row.spawned or row.since


def _awaited(row: JobRow, room: int) -> Row:
    """Whom the job waits for: of those who do not fit only how many they are, and first those who never come."""
    lacks = sorted(row.lacks, key=lambda lack: not lack.is_hopeless)
    names = [short(name, row.job) for name in (*(lack.job for lack in lacks), *row.leavers)]
    for said in (", ".join(names), f"{names[0]} +{len(names) - 1}") if names else ():
        if text.width(said) <= room:
            return [("bad" if row.is_stuck else f"state {row.state}", f"{said} ")]
    return []


def short(job: str, beside: str) -> str:
    """A job's name where another job is spoken of: without the system, where that is the same."""
    return job.removeprefix(f"{beside.partition('/')[0]}/")


def _entry(job: str) -> Entry:
    return Entry(job.partition("/")[0], job) if job != LOG else _LOG


def step(seconds: float) -> float:
    """How long an age of so many seconds reads the same."""
    return 1.0 if seconds < 10 else 10.0 if seconds < 60 else 60.0 if seconds < 3600 else 3600.0


def age(seconds: float) -> str:
    """`7s`, `40s`, `12m`, `5h`, `9d`: coarse, so that a screen at rest stays as it is."""
    seconds = max(seconds, 0.0)
    if seconds < 60:
        return f"{seconds // step(seconds) * step(seconds):.0f}s"
    if seconds < 3600:
        return f"{seconds // 60:.0f}m"
    return f"{seconds // 3600:.0f}h" if seconds < 48 * 3600 else f"{seconds // 86400:.0f}d"


def size(amount: int) -> str:
    """Bytes in three digits: `34M`, `1.2G`."""
    if amount < 1000 * MIB:
        return f"{amount / MIB:.0f}M"
    return f"{amount / MIB / 1024:.1f}G"


def count(number: int) -> str:
    """In four cells at most: `999`, `12k`, `3M`."""
    return str(number) if number < 1000 else f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"
