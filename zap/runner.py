"""The engine, and the only one that changes a Run: facts in, `machine.step`, actions out, events published."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, assert_never

from zap import __version__, child, events, machine, matcher, memory, nursery, requests, vitals, wire
from zap.board import Board
from zap.buffer import Buffer
from zap.bus import Bus
from zap.clocks import Clocks
from zap.errors import ZapError
from zap.events import LOG, State, Status
from zap.fixup import Call, Filled, Refused, fill, recall
from zap.flock import Effect, Flock, Turned
from zap.graph import LIVING
from zap.healer import Heal, Healer
from zap.intake import Intake
from zap.ledger import Ledger
from zap.memory import KeptSeat, KeptStream, Known, Purpose, Whole
from zap.plan import MIB, Answer, Bound, Fixup, Job, Limits, Need, Plan, System
from zap.reaper import Reaper
from zap.remarks import headline, remark
from zap.revision import compare
from zap.scales import Scales
from zap.script import Mark
from zap.seat import Kind, Seat, Task
from zap.session import Tail
from zap.transcript import Errand, Sign, Source, Told, Transcript

if TYPE_CHECKING:
    from zap import cgroup
    from zap.estate import Estate
    from zap.journal import Journal
    from zap.logfiles import LogFiles
    from zap.memory import KeptChild

MOST_SPAWNS = 8  # a turn of the loop: a spawn can stall its caller for some ms when the cpu is overloaded
TERMINAL_MOST = 10_000  # rows or columns
TYPE_MOST = 1024 * 1024  # bytes that may wait until a job reads what is typed to it
# What may be degraded.
JOURNAL, LOG_FILE, GROUPS, LIMITS = "the journal", "the log file", "its control group", "its limits"
KEEPING, PROBES = "what is kept for a runner that takes over", "asking how it is"
MAILBOX = "mailbox:"  # and its path: by what the keeper has it
LOGS_MOST = 5.0  # seconds in which what jobs have said last is written to their files
LOG_BOUND = Bound(2000, MIB)
TYPE_AGAIN = 0.01  # seconds until what a full terminal did not take is tried again
PACE_LINES = 20_000  # lines by which who follows may be behind
PACE_MOST = 1.0  # seconds; a terminal that was stopped shall not stop the jobs
ROUND = 5.0  # seconds between looks at what nobody tells of: clocks, and processes that somebody has stopped
LEAVE_AFTER = 0.05  # seconds in which whoever asked for an upgrade is answered
LOOK_AGAIN = 0.02  # seconds between looks at whether what a job left behind has ended


_EachRequest = (
    requests.Signal | requests.Send | requests.Fix | requests.Resize | requests.Clear | requests.Pause | requests.Resume
)


class Runner:
    """A Session onto jobs that are children of this process. Made inside a running loop, in the main thread.

    `heal` says which fixups run: those that are safe by themselves, all, or none. With `is_alone` the process is the
    runner's own, and everything below it ends with it; otherwise what carries the runner's tag does. With `is_followed`
    there is one who fetches every line: what was not fetched yet is kept beyond the bound of lines. `adopted` are
    first children, by job, that were born before there was a loop; each is taken out as it is taken over.

    Events are kept in the folder `journal`. `keeper` is the process that outlives this one. What is to outlive it goes
    into the `estate`; with `known`, it goes on where another one was killed.
    """

    def __init__(
        self,
        plan: Plan,
        world: nursery.World,
        *,
        heal: Heal = "auto",
        is_alone: bool = False,
        is_followed: bool = False,
        adopted: MutableMapping[str, child.Child] | None = None,
        keeper: int | None = None,
        journal: str | None = None,
        estate: Estate | None = None,
        known: Known | None = None,
    ) -> None:
        self._plan = plan
        self._estate = estate
        self._world = world
        self._is_alone = is_alone
        self._is_followed = is_followed
        self._adopted = {} if adopted is None else adopted
        self._loop = asyncio.get_running_loop()
        self._board = Board((job.name, len(job.commands)) for job in plan.jobs)
        self._bus = Bus(self._restate, lambda: self._ledger.commit())
        self._log = Buffer(LOG_BOUND)
        inbox = estate.inbox if estate else None
        last = max(known.last, estate.inbox.told) if known and estate else None
        diary = self._open_journal(journal, last) if journal else None
        self._logs: LogFiles | None = None
        self._groups: cgroup.Found | None = None
        self._degraded: dict[tuple[str, str], str] = {}  # by what, and of which job: why
        self._intake: Intake[tuple[Seat, Task | None, Source]] = Intake(self._loop, self._hear, self._swept, inbox)
        self._healer = Healer(heal)
        self._fixups = {fixup.name: fixup for fixup in plan.fixups}
        self._cause = 0  # the event from which what is done just now follows
        jobs = plan.jobs
        if known:  # those that were removed, and live, are in the plan no more
            names = dict.fromkeys([*(job.name for job in plan.jobs), *known.seats])
            jobs = tuple(known.seats[name].job for name in names if name in known.seats)
        self._flock = Flock(jobs, random.random)
        self._seats = {job.name: self._seat(job) for job in jobs}
        self._ledger = Ledger(
            self._loop,
            estate,
            diary,
            bus=self._bus,
            flock=self._flock,
            seats=self._seats,
            log=self._log,
            whole=self._whole,
            row=self._row,
            written=self._written,
            on_trouble=lambda why: self._loop.call_soon(self._degrade, KEEPING, "", why),
            on_relief=lambda lost: self._loop.call_soon(self._recover, KEEPING, "", lost),
        )
        self._pending: deque[tuple[int, Callable[[float], list[Effect]]]] = deque()
        self._is_stepping = False
        self._removed: set[str] = set()  # from the plan, but not at rest yet
        begun = min((kept.spawned for kept in known.seats.values() if kept.spawned), default=None) if known else None
        self._scales = Scales(self._loop, self._leaders, self._on_loads, begun, keeper)
        self._clocks = Clocks()
        self._rounds = self._loop.call_later(ROUND, self._make_round)
        self._cradle: deque[tuple[Seat, int]] = deque()
        self._dirty: set[Seat] = set()
        self._reaper = Reaper(self._loop, world.runner, is_alone, self._ours, keeper)
        self._closing: asyncio.Task[None] | None = None
        self._endings = estate.endings if estate else {}
        if estate and known:
            self._restore(estate, known)
            return
        self._ledger.keep(LOG, self._log)
        for seat in self._seats.values():
            self._ledger.keep_seat(seat)
            self._open_log(seat)
        self._publish(events.Opened(plan.path, os.getpid(), __version__))
        self._note(f"zap {__version__} has opened {plan.path}, process {os.getpid()}")

    def _seat(self, job: Job) -> Seat:
        self._load_probe(job)
        seat = Seat(job, self._flock, Transcript(job, self._armed(job)))
        seat.transcript.buffer.read = 0 if self._is_followed else None
        return seat

    def _open_journal(self, folder: str, last: int | None) -> Journal:
        """Its complaints come while something is being told: they are told next."""
        from zap.journal import Journal

        def on_trouble(why: str) -> None:
            self._loop.call_soon(self._degrade, JOURNAL, "", why)

        def on_relief(lost: str) -> None:
            self._loop.call_soon(self._recover, JOURNAL, "", lost)

        journal = Journal(folder, on_trouble, on_relief, last)
        if last is None:
            self._bus.begin(journal.last)
        return journal

    @staticmethod
    def _load_probe(job: Job) -> None:
        """While there are descriptors to read it by: what Python could not read once it does not look for again."""
        probes = [asked.probe for asked in (job.health, job.ready) if asked and asked.probe]
        if probes or job.ping:
            from zap import probe

            probe.load(probes)

    def _open_log(self, seat: Seat, written: Sequence[int] = ()) -> None:
        """The file that gets what the job says, if it shall have one; from what was `written` on."""
        log = seat.job.log
        if self._logs is None and log:
            from zap.logfiles import LogFiles

            def on_trouble(job: str, why: str) -> None:
                self._loop.call_soon_threadsafe(self._degrade, LOG_FILE, job, why)

            def on_relief(job: str, lost: str) -> None:
                self._loop.call_soon_threadsafe(self._recover, LOG_FILE, job, lost)

            self._logs = LogFiles(on_trouble, on_relief)
        seat.transcript.buffer.whole = [] if log else None
        if self._logs is None:
            return
        if log and written:
            from zap.logfiles import Written

            self._logs.open(seat.name, log, Written(*written))
        else:
            self._logs.change(seat.name, log)

    def _log_again(self, seat: Seat, written: Sequence[int]) -> None:
        """Those of its kept lines that its file does not have."""
        kept, seat.transcript.buffer.whole = seat.transcript.buffer.whole or [], [] if seat.job.log else None
        for lines, last in kept:
            missing = last - written[1] if written else 0
            if self._logs and missing > 0:
                self._logs.put(seat.name, b"\n".join(lines.split(b"\n")[-missing - 1 :]), last)

    def _degrade(self, what: str, job: str, why: str) -> None:
        """Something beside the jobs cannot be done: told once."""
        if (what, job) not in self._degraded:
            self._degraded[what, job] = why
            self.tell(events.Degraded(what, why, job))

    def _recover(self, what: str, job: str, lost: str) -> None:
        if self._degraded.pop((what, job), None) is not None:
            self.tell(events.Recovered(what, lost, job))

    def tell(self, fact: events.Degraded | events.Recovered | events.Jumped | events.Slept | events.Left) -> None:
        """In the job's own lines where it is about one, else in zap's."""
        seat = self._seats.get(getattr(fact, "job", ""))
        if seat:
            self._say(seat, fact)
        else:
            self._publish(fact)
            self._note(remark(fact) or "")

    def _armed(self, job: Job) -> list[Fixup]:
        return [] if self._healer.heal == "none" else [self._fixups[name] for name in job.fixups]

    # The session.

    async def ask(self, request: requests.Request, by: str = "") -> None:
        match request:
            case requests.Note():
                self._note(request.text)
                return
            case requests.Attend():
                self._intake.attend()
                self._scales.stir()
                return
            case requests.Reload():
                plan = await self._new_plan()
                self._perform(request, (), by, lambda: self._adopt(plan))
                return
            case requests.Upgrade():
                await self._rehearse()
                self._perform(request, (), by, lambda: self._leave(by))
                return
            case requests.Close():
                self._perform(request, (), by, lambda: self._close(request.is_hurried))
                return
        unknown = [name for name in request.jobs if name not in self._seats]
        if unknown:
            raise ZapError(f"there is no job {', '.join(unknown)}")
        if self._closing:
            raise ZapError("zap is ending: it takes no more requests")
        self._perform(request, request.jobs, by, lambda: self._serve_jobs(request))

    def _perform(self, request: requests.Request, jobs: tuple[str, ...], by: str, what: Callable[[], object]) -> None:
        """What somebody wants, and what follows is known to follow from that. What is typed is nobody's business."""
        is_told = by and not isinstance(request, requests.Send | requests.Resize)
        if is_told:
            told = events.Requested(wire.name_of(type(request)), jobs, by)
            self._cause = self._publish(told).n
            self._note(remark(told) or "")
        try:
            what()
        finally:
            self._cause = 0

    def _serve_jobs(self, request: requests.JobRequest) -> None:
        match request:
            case requests.Start(jobs):
                self._do(lambda now: self._flock.start(jobs, now))
            case requests.Restart(jobs):
                self._do(lambda now: self._flock.restart(jobs, now))
            case requests.Stop(jobs, is_hurried):
                self._stop(jobs, is_hurried)
            case requests.Need(jobs, on, until, line, is_optional, follow):
                self._rewire(jobs, on, Need(on, until, line, is_optional, follow))
            case requests.Unneed(jobs, on):
                self._rewire(jobs, on, None)
            case _:
                self._serve_each(request)

    def _serve_each(self, request: _EachRequest) -> None:
        """What cannot be done for some of the jobs is done for the others."""
        refused: dict[str, None] = {}
        for name in request.jobs:
            try:
                self._serve(self._seats[name], request)
            except ZapError as error:
                refused[str(error)] = None
        if refused:
            raise ZapError("\n".join(refused))

    def _serve(self, seat: Seat, request: _EachRequest) -> None:
        match request:
            case requests.Signal():
                self._signal_by_name(seat, request.signal)
            case requests.Send():
                self._send(seat, request.text)
            case requests.Fix():
                self._fix(seat, request.fixup)
            case requests.Pause() | requests.Resume():
                self._pause(seat, isinstance(request, requests.Pause))
            case requests.Resize():
                if not (0 < request.rows <= TERMINAL_MOST and 0 < request.columns <= TERMINAL_MOST):
                    raise ZapError(f"a terminal has 1 to {TERMINAL_MOST} rows and columns")
                seat.size = (request.rows, request.columns)
                if seat.child and not seat.has_ended:
                    seat.child.resize(*seat.size)
                self._ledger.touch(seat)
            case requests.Clear():
                seat.transcript.buffer.clear()
                seat.was_open = False
                self._ledger.hear(seat)
                self._publish(events.Cleared(seat.job.name))
            case _:
                assert_never(request)

    def _stop(self, jobs: Iterable[str], is_hurried: bool) -> None:
        """What is done beside a job, or before it, ends with the wish that it be there."""
        self._do(lambda now: self._flock.stop(jobs, is_hurried, now))
        for name in jobs:
            seat = self._seats[name]
            self._end_tasks(seat, "aside")
            if seat.fetching:
                seat.fetching.cancel()

    def _rewire(self, jobs: Sequence[str], on: str, need: Need | None) -> None:
        if on not in self._seats:
            raise ZapError(f"there is no job {on}")
        if need and (need.until == "line") != (need.line is not None):
            raise ZapError("a need until a line names the line")
        if need and need.line is not None and (why := matcher.check(need.line)):
            raise ZapError(f"{need.line:.80}: {why}")
        self._do(lambda now: self._flock.rewire(jobs, on, need, now))
        self._plan = self._plan._replace(systems=tuple(map(self._as_it_is, self._plan.systems)))
        self._ledger.touch_whole()
        for name in jobs:
            self._publish(events.Rewired(name, self._seats[name].job.needs))
        self._listen(self._seats[on])

    def _as_it_is(self, system: System) -> System:
        return system._replace(jobs=tuple(self._seats[job.name].job for job in system.jobs))

    def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[events.Event]:
        """As the session's. While somebody watches who began with how things are, what jobs use is measured."""
        return self._bus.watch(since, rest) if since is not None else self._watch_all(rest)

    async def _watch_all(self, rest: float) -> AsyncIterator[events.Event]:
        self._scales.look()
        try:
            async with contextlib.aclosing(self._bus.watch(None, rest)) as watch:
                async for event in watch:
                    yield event
        finally:
            self._scales.look_away()

    def _on_loads(self, loads: tuple[events.Load, ...]) -> None:
        self._publish(events.Measured(loads))

    def _leaders(self) -> dict[str, tuple[int, str]]:
        seats = self._seats.items()
        return {name: (seat.child.pid, seat.child.tag) for name, seat in seats if seat.child}

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        self._ledger.commit()  # nobody is told what the next runner would not know
        if job == LOG:
            return self._log.tail(since, at_most, widest, known)
        if job not in self._seats:
            raise ZapError(f"there is no job {job}")
        seat = self._seats[job]
        if self._is_followed:
            seat.transcript.buffer.read = max(since, seat.transcript.buffer.read or 0)
            self._pace(seat)
        return seat.transcript.buffer.tail(since, at_most, widest, known)

    async def plan(self, is_fresh: bool = False) -> Plan:
        return await self._read_plan() if is_fresh else self._plan

    async def _read_plan(self) -> Plan:
        """In a thread, because it takes a while."""
        from pathlib import Path

        from zap import config

        return (await asyncio.to_thread(config.load, Path(self._plan.path), self._world.environ)).plan

    async def _new_plan(self) -> Plan:
        try:
            plan = await self._read_plan()
        except ZapError as error:
            refused = events.NotReloaded(str(error))
            self._publish(refused)
            self._note(remark(refused) or "")
            raise
        if self._closing:
            raise ZapError("zap is ending: it takes no more requests")
        return plan

    def _adopt(self, plan: Plan) -> None:
        """The plan is this one from here on."""
        revision = compare(self._plan, plan)
        jobs = {job.name: job for job in plan.jobs}
        self._plan = plan
        self._ledger.touch_whole()
        self._fixups = {fixup.name: fixup for fixup in plan.fixups}
        for name in revision.added:
            self._removed.discard(name)
            if name not in self._seats:  # else it was on its way out
                self._seats[name] = seat = self._seat(jobs[name])
                self._ledger.keep_seat(seat)
        self._do(lambda now: self._flock.put(jobs.values(), now))
        changed = {change.job: change.settings for change in revision.changed}
        for name in (*revision.added, *changed):
            seat = self._seats[name]
            self._load_probe(seat.job)
            seat.transcript.arm(seat.job, self._armed(seat.job))
            seat.transcript.buffer.bound(seat.job.buffer)
            self._open_log(seat)
            self._set_timers(seat)
            row = self._row(seat)._replace(commands=len(seat.job.commands))
            is_asked_anew = not {"health", "ping"}.isdisjoint(changed.get(name, ()))
            self._publish(events.Restated(name, row._replace(probed=()) if is_asked_anew else row))
        for seat in self._seats.values():
            self._listen(seat)
        self._removed |= set(revision.removed)
        self._stop(revision.removed, is_hurried=False)
        for name in revision.removed:
            self._remove_at_rest(self._seats[name])
        running = {name for name, seat in self._seats.items() if not seat.run.state.is_rest and seat.run.is_wanted}
        restarted = [change.job for change in revision.changed if change.is_decisive and change.job in running]
        self._do(lambda now: self._flock.restart(restarted, now))
        starting = [job.name for system in plan.systems for job in system.jobs if system.start and job.start]
        self._do(lambda now: self._flock.start([name for name in revision.added if name in starting], now))
        adapted = tuple(change.job for change in revision.changed if change.job not in restarted)
        told = events.Reloaded(revision.added, revision.removed, tuple(restarted), adapted)
        self._publish(told)
        self._note(f"the plan was read again: {remark(told)}")

    def _remove_at_rest(self, seat: Seat) -> None:
        """A job that is not in the plan any more, once nothing of it is left, nor of those that need it."""
        name = seat.name
        if name not in self._removed or not seat.run.state.is_rest or seat.tasks or self._flock.is_needed(name):
            return
        needed = [self._seats[need.job] for need in seat.job.needs]
        self._removed.discard(name)
        self._dirty.discard(seat)
        for timer in (seat.typing, seat.metering, seat.pacing):
            if timer:
                timer.cancel()
        del self._seats[name]
        self._flock.remove(name)
        if self._logs:
            self._logs.change(name, None)
        self._ledger.forget(seat)
        self._publish(events.Removed(name))
        for other in needed:
            self._remove_at_rest(other)

    async def close(self) -> None:
        """Ends every job and whatever else is left, and publishes Closed. Returns when nothing is left."""
        await self._close(is_hurried=False)

    def _close(self, is_hurried: bool) -> asyncio.Task[None]:
        self._stop(tuple(self._seats), is_hurried)
        if self._closing is None:
            self._ledger.touch_whole()
            self._closing = self._loop.create_task(self._wind_up())
        return self._closing

    async def _wind_up(self) -> None:
        watch = self._bus.watch(self._bus.last)
        living = {name for name, seat in self._seats.items() if not seat.run.state.is_rest}
        while living:
            fact = (await anext(watch)).fact
            if isinstance(fact, events.Became | events.Restated | events.Removed):
                seat = self._seats.get(fact.job)
                if seat is None or seat.run.state.is_rest:
                    living.discard(fact.job)
        left = await self._reaper.end_all(self._has_tasks)
        self._reaper.close()
        self._rounds.cancel()
        self._intake.close()
        self._scales.close()
        if self._logs:
            await asyncio.to_thread(self._logs.close, LOGS_MOST)
        self._publish(events.Closed(left))
        self._ledger.close()

    # The machine: the only place where a run changes.

    def _step(self, seat: Seat, given: machine.Input) -> None:
        self._do(lambda now: self._flock.give(seat.job.name, given, now), seat)

    def _check(self, seat: Seat, given: vitals.Input) -> None:
        self._do(lambda now: self._flock.check(seat.job.name, given, now), seat)

    def _do(self, what: Callable[[float], list[Effect]], seat: Seat | None = None) -> None:
        """Changes runs, and carries out what follows, in order, before anything else changes any.

        The timers of the seat, and of those whom it has touched, are set anew.
        """
        self._pending.append((self._cause or (seat.cause if seat else 0), what))
        if self._is_stepping:
            return
        self._is_stepping = True
        before = self._cause
        try:
            while self._pending:
                self._cause, what = self._pending.popleft()
                effects = what(self._loop.time())
                for name, effect in effects:
                    self._carry_out(self._seats[name], effect)
                for touched in {self._seats[name] for name, _ in effects} | ({seat} if seat else set()):
                    self._set_timers(touched)
                    self._ledger.touch(touched)
                    if self._removed:
                        self._loop.call_soon(self._remove_at_rest, touched)
        finally:
            self._is_stepping = False
            self._cause = before

    def _set_timers(self, seat: Seat) -> None:
        seat.timer = self._timer(seat.timer, seat.run.due, self._on_due, seat)
        due = self._flock.vital_due(seat.job.name)
        seat.vital_timer = self._timer(seat.vital_timer, due, self._on_vital_due, seat)

    def _timer(
        self, timer: asyncio.TimerHandle | None, due: float | None, on_due: Callable[[Seat], None], seat: Seat
    ) -> asyncio.TimerHandle | None:
        if timer and timer.when() == due:
            return timer
        if timer:
            timer.cancel()
        return None if due is None else self._loop.call_at(due, on_due, seat)

    def _on_due(self, seat: Seat) -> None:
        seat.timer = None
        self._step(seat, machine.Due())

    def _on_vital_due(self, seat: Seat) -> None:
        seat.vital_timer = None
        self._check(seat, vitals.Tick(seat.spoke))

    def _carry_out(self, seat: Seat, effect: Turned | machine.Action | vitals.Action | events.Fact) -> None:
        match effect:
            case Turned(before, after):
                self._on_turn(seat, before, after)
            case machine.Prepare():
                self._begin_hook(seat, "before_start", "own")
            case machine.Spawn(epoch):
                if any(answer.secret for answer in seat.job.answers):
                    seat.fetching = self._loop.create_task(self._fetch_secrets(seat, epoch))
                else:
                    self._expect(seat, epoch)
            case machine.AskToEnd(rung):
                self._ask_to_end(seat, rung)
            case machine.Kill():
                self._signal(seat, "KILL")
            case machine.Heal():
                assert seat.remedy is not None
                self._begin_remedy(seat, *seat.remedy)
            case machine.Tidy():
                self._begin_hook(seat, "after_stop", "own")
            case machine.EndTask():
                self._end_tasks(seat, "own")
            case vitals.Ask():
                seat.probing = self._loop.create_task(self._probe(seat, effect, seat.probing))
            case vitals.Drop():
                if seat.probing:
                    seat.probing.cancel()
            case vitals.Say(line):
                self._ping(seat, line)
            case events.Stormed():
                self._publish(effect)
                self._note(remark(effect) or "")
            case _:
                self._say(seat, effect)

    def _on_turn(self, seat: Seat, before: machine.Run, after: machine.Run) -> None:
        is_free = before.ladder is machine.Ladder.HELD and after.ladder is not before.ladder
        if after.state is before.state and not (is_free and after.state is State.STOPPING):
            return
        now = self._loop.time()
        seconds = after.due - after.since if after.state is State.BACKOFF and after.due is not None else None
        exit = after.exit if after.exit_epoch == after.epoch else None
        is_in_storm = after.state in (State.BACKOFF, State.FAILED) and self._flock.is_stormy(now)
        self._say(seat, events.Became(seat.job.name, after.epoch, after.state, after.why, seconds, exit, is_in_storm))
        if after.state is State.READY and seat.job.hooks.after_start is not None:
            self._begin_hook(seat, "after_start", "aside")

    def _restate(self) -> Iterator[events.Fact]:
        """How every job is, for a reader who has not followed how it came to that."""
        for name, seat in self._seats.items():
            yield events.Restated(name, self._row(seat))
        for (what, job), why in self._degraded.items():
            yield events.Degraded(what, why, job)

    def _row(self, seat: Seat) -> events.Row:
        """Pointers to output are not told to our own board: the buffer knows."""
        buffer = seat.transcript.buffer
        row = self._board.rows.get(seat.name, events.Row(seat.name, len(seat.job.commands)))
        return row._replace(lines=buffer.last, errors=buffer.errors)

    def _publish(self, fact: events.Fact, cause: int | None = None) -> events.Event:
        """`cause` is for what follows from something else than what is done just now."""
        self._ledger.touch()
        event = self._bus.publish(fact, self._cause if cause is None else cause)
        self._board.apply(event)
        if not isinstance(fact, events.Measured | events.Restated):
            self._ledger.tell(event)
        return event

    def _note(self, text: str) -> None:
        """A line in zap's own log."""
        self._ledger.touch()
        first = self._log.remark(text, time.time())
        self._bus.publish(events.Output(LOG, first, self._log.last))

    def _say(self, seat: Seat, fact: events.Fact) -> None:
        self._ledger.touch(seat)
        match fact:
            case events.Exited():  # by itself, unless we have asked for it
                seat.cause = self._publish(fact, seat.cause if seat.run.state is State.STOPPING else 0).n
            case events.Became() | events.Signalled() | events.Fixed() | events.FixFailed() | events.HookFailed():
                seat.cause = self._publish(fact, self._cause or seat.cause).n
            case events.Matched() | events.Overloaded() | events.Probed(is_ok=False):
                seat.cause = self._publish(fact, 0).n
            case events.Spawned() | events.NotSpawned() | events.FixStarted() | events.HookStarted():
                self._publish(fact, self._cause or seat.cause)
            case _:
                self._publish(fact)
        text = remark(fact)
        if text:
            seat.transcript.buffer.remark(text, time.time())
            self._dirty.add(seat)
            self._loop.call_soon(self._swept)

    # Birth.

    def _expect(self, seat: Seat, epoch: int) -> None:
        if not self._cradle:
            self._loop.call_soon(self._spawn_some)
        self._cradle.append((seat, epoch))

    async def _fetch_secrets(self, seat: Seat, epoch: int) -> None:
        """In a thread, because a keyring may have to ask somebody."""
        try:
            for answer in seat.job.answers:
                if answer.secret:
                    secret = await asyncio.to_thread(nursery.read_secret, self._world, seat.job, answer.secret)
                    seat.replies[answer] = secret
        except asyncio.CancelledError:
            self._miscarry(seat, epoch, "")
        except Exception as error:  # a file, a variable, or whatever a command may do; never the secret itself
            why = _why(error, seat.job) if isinstance(error, OSError) else str(error)
            self._miscarry(seat, epoch, f"the secret for an answer could not be had: {why}")
        else:
            self._expect(seat, epoch)
        finally:
            seat.fetching = None

    def _miscarry(self, seat: Seat, epoch: int, why: str) -> None:
        if why:
            self._say(seat, events.NotSpawned(seat.job.name, epoch, why))
        self._step(seat, machine.NotSpawned(epoch, why))

    def _spawn_some(self) -> None:
        for _ in range(min(MOST_SPAWNS, len(self._cradle))):
            seat, epoch = self._cradle.popleft()
            self._spawn(seat, epoch)
        if self._cradle:
            self._loop.call_soon(self._spawn_some)

    def _spawn(self, seat: Seat, epoch: int) -> None:
        born = self._adopted.pop(seat.job.name, None)
        if born is None and not seat.run.is_wanted:
            self._miscarry(seat, epoch, "")
            return
        seat.groups = () if born else self._make_group(seat, epoch)
        try:
            born = born or nursery.bear(self._world, seat.job, epoch, self._open_mailbox(seat), seat.groups)
        except (OSError, ValueError) as error:
            self._close_mailbox(seat)
            self._remove_group(seat)
            self._miscarry(seat, epoch, _why(error, seat.job))
            return
        seat.child = born
        seat.kept = self._hold(born, seat.groups)
        if seat.size:
            born.resize(*seat.size)
        seat.has_ended = seat.is_paused = False
        seat.spawned = seat.spoke = self._loop.time()
        seat.echo = 0
        seat.command, seat.command_since = 0, None
        seat.asking.clear()
        seat.untyped.clear()
        seat.transcript.begin(born.nonce, seat.replies.values())
        self._listen(seat)
        if seat.job.answers:
            from zap.answerer import Answerer

            seat.answerer = Answerer(seat.job.answers)
        self._attach(seat, None, born, seat.kept)
        self._say(seat, events.Spawned(seat.job.name, epoch, born.pid))
        self._scales.stir()
        self._step(seat, machine.Spawned(epoch))

    def _attach(self, seat: Seat, task: Task | None, born: child.Child, kept: KeptChild | None) -> None:
        """From now on it is heard, and when it ends. What another process has to tell us of comes by the keeper."""
        numbers = kept.numbers if kept else (0, 0)
        for number, (fd, source) in zip(numbers, born.outputs, strict=True):
            self._intake.add(fd, (seat, task, source), number)
        if born.is_ours and task:
            self._loop.add_reader(born.end_fd, self._on_task_end, seat, task)
        elif born.is_ours:
            self._loop.add_reader(born.end_fd, self._on_end, seat, born)

    def _hold(self, born: child.Child, groups: Sequence[str] = ()) -> KeptChild | None:
        return self._estate.hold_child(born, groups) if self._estate else None

    def _make_group(self, seat: Seat, epoch: int) -> tuple[str, ...]:
        """For a job with limits that groups hold. Where there are none it has to do without, and it is told."""
        limits = seat.job.limits
        if limits.memory is None and limits.cpu is None and limits.pids is None:
            return ()
        from zap import cgroup

        try:
            self._groups = self._groups or cgroup.find()
            groups = cgroup.make(self._groups, cgroup.name(self._world.runner, seat.name, epoch), limits)
        except OSError as error:
            self._degrade(GROUPS, seat.name, str(error.strerror or error))
            return ()
        self._recover(GROUPS, seat.name, "")
        if lacking := nursery.shortcomings(seat.job, self._groups):
            self._degrade(LIMITS, seat.name, "; ".join(lacking))
        return groups

    @staticmethod
    def _group(seat: Seat) -> cgroup.Cgroup | None:
        if not seat.groups:
            return None
        from zap.cgroup import Cgroup

        return Cgroup(seat.groups)

    @staticmethod
    def _end_strange_mailbox(name: str) -> None:
        """Of a child that nobody knows of: as below."""
        if name.startswith(MAILBOX):
            from zap import mailbox

            mailbox.remove(name.removeprefix(MAILBOX))

    def _end_strange_groups(self) -> None:
        """Those of ours that belong to no child: the runner before was killed between making one and telling of it.

        The job is started again under the same name, and so needs the place.
        """
        if not any(job.limits != Limits() for job in self._plan.jobs):
            return
        from zap import cgroup

        known = {folder for seat in self._seats.values() for folder in seat.groups}
        for group in cgroup.groups(cgroup.roots()).get(self._world.runner, ()):
            if known.isdisjoint(group.folders):
                group.thaw()
                group.kill()
                group.remove()

    def _remove_group(self, seat: Seat) -> None:
        if group := self._group(seat):
            group.remove()
        seat.groups = ()

    def _members(self, seat: Seat) -> Collection[int]:
        group = self._group(seat)
        return group.processes() if group else ()

    def _release_child(self, born: child.Child, kept: KeptChild | None) -> None:
        """Nothing of it is needed any more; but how it ended is, until that is written down."""
        if kept:
            self._ledger.release(born, kept)
        else:
            born.close()

    def _open_mailbox(self, seat: Seat) -> dict[str, str]:
        """For a job that tells how it is: what has to be in its environment. One for each child, and no other's."""
        job = seat.job
        if not nursery.needs_mailbox(job):
            return {}
        from zap.mailbox import Mailbox

        seat.mailbox = Mailbox(self._loop, lambda notice: self._check(seat, vitals.Noticed(*notice)))
        if self._estate:
            self._estate.hold(MAILBOX + seat.mailbox.path, [seat.mailbox.fileno()])
        usec = {} if job.watchdog is None else {"WATCHDOG_USEC": str(round(job.watchdog * 1_000_000))}
        return {"NOTIFY_SOCKET": seat.mailbox.path, **usec}

    def _reopen_mailbox(self, seat: Seat, path: str, fd: int) -> None:
        from zap.mailbox import Mailbox

        seat.mailbox = Mailbox(self._loop, lambda notice: self._check(seat, vitals.Noticed(*notice)), (path, fd))

    def _close_mailbox(self, seat: Seat) -> None:
        if seat.mailbox:
            if self._estate:
                self._estate.tether.drop(MAILBOX + seat.mailbox.path)
            seat.mailbox.close()
            seat.mailbox = None

    # How it is.

    async def _probe(self, seat: Seat, ask: vitals.Ask, before: asyncio.Task[None] | None) -> None:
        """Asks once, when the one before has ended, and nobody of it is left."""
        from zap import probe

        is_wanted = True
        while before and not before.done():
            try:
                await asyncio.wait([before])
            except asyncio.CancelledError:
                is_wanted = False
        if not is_wanted:
            return

        def bear(command: str) -> child.Child:
            beside = seat.child.pid if seat.child and not seat.has_ended else None
            seat.probe = nursery.bear_probe(self._world, seat.job, seat.run.epoch, command, beside)
            return seat.probe

        since = seat.child.born if seat.child and ask.question == "ready" else 0.0
        try:
            answer = await probe.ask(ask.probe, ask.timeout, since, bear)
        finally:
            if seat.probe:
                seat.probe = None
                self._reaper.reap_soon()
        if answer.is_ok is None:
            self._degrade(PROBES, seat.name, answer.said)
        else:
            self._recover(PROBES, seat.name, "")
        self._check(seat, vitals.Answered(ask.asked, answer.is_ok, answer.said))

    def _ping(self, seat: Seat, line: str) -> None:
        if seat.child is None or seat.child.in_fd is None:
            return
        data = line.encode() + b"\n"
        if seat.child.echoes:
            seat.echo = len(data) + 1  # a terminal says a newline as two
        self._type(seat, data)

    def _listen(self, seat: Seat) -> None:
        """For the lines that mean something to somebody."""
        for sign in seat.transcript.await_signs(self._flock.signs(seat.job.name)):
            self._on_sign(seat, sign)

    def _on_sign(self, seat: Seat, sign: Sign) -> None:
        self._do(lambda now: self._flock.hear(seat.job.name, sign.pattern, now), seat)

    # Output.

    def _hear(self, key: tuple[Seat, Task | None, Source], data: bytes) -> None:
        seat, task, source = key
        now = time.time()
        self._dirty.add(seat)
        seat.heard += len(data)
        self._ledger.hear(seat)
        if task:
            task.errand.hear(source, data, now)
            self._ledger.touch(seat)
            return
        echoed = min(seat.echo, len(data))
        seat.echo -= echoed
        if len(data) > echoed:
            seat.spoke = self._loop.time()
        if seat.answerer:
            for answer in seat.answerer.feed(source, data):
                self._answer(seat, answer)
        self._take(seat, seat.transcript.hear(source, data, now))

    def _take(self, seat: Seat, told: list[Told]) -> None:
        for item in told:
            match item:
                case Mark():
                    self._on_mark(seat, item)
                case Sign():
                    self._on_sign(seat, item)
                case _:
                    self._on_call(seat, item)

    def _on_mark(self, seat: Seat, mark: Mark) -> None:
        job, epoch, now = seat.job, seat.run.epoch, self._loop.time()
        if mark.is_end:
            self._end_command(seat, Status(code=mark.value))
        elif 1 <= mark.number <= len(job.commands):
            seat.command, seat.command_since, seat.code = mark.number, now, None
            seat.folder = mark.folder or job.cwd
            text = job.commands[mark.number - 1].text
            self._say(seat, events.CommandStarted(job.name, epoch, mark.number, text, mark.line))

    def _end_command(self, seat: Seat, status: Status) -> None:
        if seat.command_since is not None:
            seconds = self._loop.time() - seat.command_since
            seat.command_since = None
            seat.code = status.code
            self._say(seat, events.CommandEnded(seat.job.name, seat.run.epoch, seat.command, status, seconds))

    def _answer(self, seat: Seat, answer: Answer) -> None:
        if seat.child is None:
            return
        if answer.secret:
            seat.child.hush()
        self._say(seat, events.Answered(seat.job.name, seat.run.epoch, answer.prompt))
        reply = seat.replies[answer] if answer.secret else (answer.reply or "").encode()
        self._type(seat, reply + b"\n")

    def _send(self, seat: Seat, text: str) -> None:
        name = seat.job.name
        if seat.child is None or seat.has_ended:
            raise ZapError(f"{name} is {seat.run.state}: there is nobody to type to")
        if seat.child.in_fd is None:
            raise ZapError(f"{name} has no input, because of its setting `tty: false`")
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ZapError("this is not text") from None
        if len(seat.untyped) + len(data) > TYPE_MOST:
            raise ZapError(f"{name} does not read what is typed to it")
        self._type(seat, data)

    def _type(self, seat: Seat, data: bytes) -> None:
        """Into the child, in as many goes as it takes; who has typed waits for the answer."""
        self._bus.attend()
        self._intake.attend([fd for fd, _ in seat.child.outputs] if seat.child else [])
        seat.untyped += data
        if seat.typing is None:
            self._type_some(seat)

    def _type_some(self, seat: Seat) -> None:
        seat.typing = None
        if seat.child is None or seat.has_ended:
            seat.untyped.clear()
            return
        del seat.untyped[: seat.child.write(bytes(seat.untyped))]
        if seat.untyped:
            seat.typing = self._loop.call_later(TYPE_AGAIN, self._type_some, seat)

    def _swept(self) -> None:
        """After a round of reading."""
        self._point()
        self._ledger.commit()

    def _point(self) -> None:
        """One pointer a job to what is new."""
        now = self._loop.time()
        facts: list[tuple[Seat, events.Fact]] = []
        for seat in self._dirty:
            buffer = seat.transcript.buffer
            if buffer.whole and self._logs:
                for lines, last in buffer.whole:
                    self._logs.put(seat.name, lines, last)
                buffer.whole.clear()
            facts += [(seat, fact) for fact in seat.meter.feed(buffer.last - seat.told, seat.heard, now)]
            seat.heard = 0
            self._await_relief(seat)
            if self._is_followed:
                self._pace(seat)
            is_open = buffer.is_open
            if buffer.last > seat.told or is_open or seat.was_open:
                self._bus.publish(events.Output(seat.job.name, seat.told + 1, buffer.last, is_open, buffer.errors))
                seat.told, seat.was_open = buffer.last, is_open
                self._ledger.hear(seat)
        self._dirty.clear()
        for seat, fact in facts:
            self._say(seat, fact)

    def _pace(self, seat: Seat) -> None:
        """A job that says more than the one who follows can fetch is left unread until that one has come nearer.

        It waits for a follower who moves, but not for one who stands: then lines are dropped, and counted.
        """
        buffer = seat.transcript.buffer
        if buffer.last - (buffer.read or 0) <= PACE_LINES:
            seat.is_left_behind = False
            if seat.pacing:
                self._release(seat)
        elif seat.child and not seat.has_ended and not seat.pacing and not seat.is_left_behind:
            for fd, _ in seat.child.outputs:
                self._intake.hold(fd)
            seat.pacing = self._loop.call_later(PACE_MOST, self._leave_behind, seat)

    def _leave_behind(self, seat: Seat) -> None:
        seat.is_left_behind = True
        self._release(seat)

    def _release(self, seat: Seat) -> None:
        if seat.pacing:
            seat.pacing.cancel()
            seat.pacing = None
        if seat.child:
            for fd, _ in seat.child.outputs:
                self._intake.release(fd)

    def _await_relief(self, seat: Seat) -> None:
        """Silence has no event of its own: while a meter is not at rest, it is looked at when it asks for it."""
        due = seat.meter.due
        if due is not None and seat.metering is None:
            seat.metering = self._loop.call_at(due, self._check_meter, seat)

    def _check_meter(self, seat: Seat) -> None:
        seat.metering = None
        for fact in seat.meter.check(self._loop.time()):
            self._say(seat, fact)
        self._await_relief(seat)

    # Death.

    def _on_end(self, seat: Seat, dead: child.Child) -> None:
        """The shell has ended: take what it still said, look who is left, and only then tell."""
        status = dead.status()
        if status is None or seat.child is not dead or seat.has_ended:
            return
        self._find_room()
        self._loop.remove_reader(dead.end_fd)
        seat.has_ended = True
        self._release(seat)
        self._drain(seat, dead)
        if status == events.UNSEEN and seat.code is not None:
            status = Status(code=seat.code)
        has_left = self._reaper.has_family(dead, self._members(seat))
        group = self._group(seat)
        if group and status.code not in seat.job.success_codes and group.kills_by_memory():
            status = status._replace(cause="memory")
        epoch = seat.run.epoch
        at = self._at(seat, status)
        self._end_command(seat, status)
        now = self._loop.time()
        self._say(seat, events.Exited(seat.job.name, epoch, status, now - seat.spawned, self._flock.is_stormy(now)))
        call = self._screen(seat, seat.transcript.on_exit(status.code))
        if has_left:
            self._loop.call_later(LOOK_AGAIN, self._look_after, seat, dead)
        else:
            self._let_go(seat, dead)
        self._step(seat, machine.Exited(epoch, status, has_left, at, call))

    def _find_room(self) -> None:
        """For what somebody who has ended still says: many may do so in one turn. Before anything of it is known."""
        if self._estate and self._estate.inbox.is_half_full:
            self._ledger.commit()

    def _drain(self, seat: Seat, dead: child.Child) -> None:
        now = time.time()
        self._dirty.add(seat)
        for fd, source in dead.outputs:
            for data in self._intake.drain(fd):
                self._take(seat, seat.transcript.hear(source, data, now))
        self._take(seat, seat.transcript.end(now))
        self._ledger.hear(seat)
        self._point()

    def _at(self, seat: Seat, status: Status) -> str:
        """During which command it ended, where that is not plain."""
        count = len(seat.job.commands)
        if not seat.command or (status.code in seat.job.success_codes and seat.command == count):
            return ""
        text = seat.job.commands[seat.command - 1].text.strip().partition("\n")[0]
        return f" at command {seat.command}/{count} `{text}`"

    def _look_after(self, seat: Seat, dead: child.Child) -> None:
        """Until nobody of the dead child's family is left."""
        if self._reaper.has_family(dead, self._members(seat)):
            self._loop.call_later(LOOK_AGAIN, self._look_after, seat, dead)
            return
        self._find_room()
        self._drain(seat, dead)
        self._let_go(seat, dead)
        self._step(seat, machine.Emptied(seat.run.epoch))

    def _let_go(self, seat: Seat, dead: child.Child) -> None:
        for fd, _ in dead.outputs:
            self._intake.remove(fd)
        self._release_child(dead, seat.kept)
        seat.child = seat.kept = None
        self._remove_group(seat)
        self._close_mailbox(seat)
        self._reaper.reap_soon()
        self._end_tasks(seat, "stop")

    def _signal(self, seat: Seat, name: str) -> None:
        """To all of the family; who is stopped is woken, because it could not hear."""
        if seat.child is None:
            return
        group = self._group(seat)
        self._unpause(seat)
        self._say(seat, events.Signalled(seat.job.name, seat.run.epoch, name))
        self._reaper.signal(seat.child, name, self._members(seat))
        if name == "KILL" and group:
            group.kill()

    def _signal_by_name(self, seat: Seat, name: str) -> None:
        try:
            child.number(name)
        except KeyError:
            raise ZapError(f"there is no signal {name:.20}; signals are named without SIG, as in HUP or USR1") from None
        if seat.child is None:
            raise ZapError(f"{seat.job.name} is {seat.run.state}: there is nobody to signal")
        self._signal(seat, name)

    # Healing.

    def _on_call(self, seat: Seat, call: Call) -> None:
        """A line called for a fixup while the child, or some of its family, lives."""
        wanted = self._screen(seat, call)
        if wanted:
            self._step(seat, machine.Called(seat.run.epoch, wanted))

    def _screen(self, seat: Seat, call: Call | None) -> machine.Call | None:
        """What the machine shall know of a call; what only runs beside the job is started here."""
        run = seat.run
        is_ended = run.state is State.STOPPING and run.after in (machine.After.REST, machine.After.START)  # by a person
        if call is None or not run.is_wanted or run.call or is_ended:
            return None
        verdict = self._healer.judge(seat.job, seat.run.epoch, call, self._loop.time())
        if verdict is None:
            return None
        self._ledger.touch_whole()  # what is left of the fixup's tries
        for fact in verdict.facts:
            self._say(seat, fact)
            if isinstance(fact, events.Proposed):
                seat.asking[fact.fixup] = call
        if verdict.filled is None:
            return None
        if call.fixup.then == "continue":
            self._begin_remedy(seat, call, verdict.filled)
            return None
        seat.remedy = (call, verdict.filled)
        return machine.Call(call.fixup.name, call.fixup.then, call.fixup.about)

    def _fix(self, seat: Seat, name: str | None) -> None:
        """A person wants this: neither approval nor budget is asked for."""
        job = seat.job
        call = seat.asking.get(name) if name else next(reversed(seat.asking.values()), None)
        if call is None:
            fixup = self._fixup(job, name)
            lines = seat.transcript.buffer.tail(0, seat.job.buffer.lines).lines
            call = recall(fixup, [command.text for command in job.commands], lines)
        filled = fill(call.fixup, call.captures)
        if isinstance(filled, Refused):
            raise ZapError(f"fixup {call.fixup.name} cannot be run for {job.name}: {filled.why}")
        is_beside = call.fixup.then == "continue"
        if not is_beside and seat.run.state in (State.STARTING, State.FIXING):
            raise ZapError(f"{job.name} is {seat.run.state}: try again when it is not")
        self._say(seat, events.Matched(job.name, seat.run.epoch, call.fixup.name, call.line, call.fixup.about))
        if is_beside:
            self._begin_remedy(seat, call, filled)
        else:
            seat.remedy = (call, filled)
            self._step(seat, machine.Fix(machine.Call(call.fixup.name, call.fixup.then, call.fixup.about)))

    def _fixup(self, job: Job, name: str | None) -> Fixup:
        if name in self._fixups and name in job.fixups:
            return self._fixups[name]
        known = ", ".join(job.fixups) or "none"
        if name is None:
            raise ZapError(f"no fixup wants approval for {job.name}; name one of its own: {known}")
        raise ZapError(f"{job.name} has no fixup {name:.80}; it has {known}")

    def _begin_remedy(self, seat: Seat, call: Call, filled: Filled) -> None:
        fixup = call.fixup
        seat.asking.pop(fixup.name, None)
        self._say(seat, events.FixStarted(seat.job.name, seat.run.epoch, fixup.name, tuple(filled.commands)))
        kind: Kind = "aside" if fixup.then == "continue" else "own"
        self._begin_task(seat, kind, filled.commands, Purpose("fix", memory.kept_call(call), filled))

    def _on_remedied(self, seat: Seat, purpose: Purpose, task: Task | None, why: str) -> None:
        assert purpose.call and purpose.filled
        name, epoch, fixup, filled = seat.job.name, seat.run.epoch, purpose.call.fixup, purpose.filled
        if why:
            why = f"{_failed_part(filled, task.errand.ended)}: {why}" if task else why
            self._say(seat, events.FixFailed(name, epoch, fixup.name, why))
        else:
            seconds = self._loop.time() - task.since if task else 0.0
            self._say(seat, events.Fixed(name, epoch, fixup.name, seconds, fixup.verify is not None))
        if fixup.then != "continue":
            self._step(seat, machine.TaskEnded(epoch, why))

    # Tasks: what is done for a job beside its child.

    def _begin_hook(self, seat: Seat, name: str, kind: Kind) -> None:
        text = getattr(seat.job.hooks, name)
        exit = seat.run.exit
        extra = {"ZAP_EXIT": str(exit.signal or exit.code)} if exit and name == "after_stop" else {}
        self._say(seat, events.HookStarted(seat.job.name, seat.run.epoch, name, text))
        self._begin_task(seat, kind, [text], Purpose("hook", steps=((name, text),)), extra)

    def _on_hooked(self, seat: Seat, name: str, kind: Kind, why: str) -> None:
        if why:
            self._say(seat, events.HookFailed(seat.job.name, seat.run.epoch, name, why))
        if kind == "own":
            self._step(seat, machine.TaskEnded(seat.run.epoch, why))

    def _ask_to_end(self, seat: Seat, rung: int) -> None:
        """At first by what its settings want to be run; after that, and for those whom it did not reach, the rung."""
        self._unpause(seat)
        steps = [("before_stop", seat.job.hooks.before_stop), ("stop", seat.job.stop.command)]
        texts = [(name, text) for name, text in steps if text is not None]
        if rung or seat.has_ended or not texts:
            self._climb(seat, rung)
        else:
            self._ask_by(seat, texts)

    def _ask_by(self, seat: Seat, texts: Sequence[tuple[str, str]]) -> None:
        name, text = texts[0]
        self._say(seat, events.HookStarted(seat.job.name, seat.run.epoch, name, text))
        self._begin_task(seat, "stop", [text], Purpose("ask", steps=tuple(texts)))

    def _on_asked(self, seat: Seat, texts: Sequence[tuple[str, str]], why: str) -> None:
        (name, _), *others = texts
        if why:
            self._say(seat, events.HookFailed(seat.job.name, seat.run.epoch, name, why))
        if not seat.child or seat.has_ended or seat.run.state is not State.STOPPING:
            return
        if others:
            self._ask_by(seat, others)
        else:
            self._climb(seat, seat.run.rung)

    def _climb(self, seat: Seat, rung: int) -> None:
        """Keys are for the shell and who reads with it: what it has left behind is asked by the first signal."""
        rungs = machine.rungs(seat.job)
        signal = rungs[min(rung, len(rungs) - 1)]  # a reload may have made the ladder shorter
        if signal:
            self._signal(seat, signal)
        elif seat.child and not seat.has_ended and seat.child.in_fd is not None:
            self._say(seat, events.Signalled(seat.job.name, seat.run.epoch, events.KEYS))
            self._type(seat, (seat.job.stop.keys or "").encode())
        else:
            self._signal(seat, seat.job.stop.signals[0])

    def _begin_task(
        self,
        seat: Seat,
        kind: Kind,
        commands: Sequence[str],
        purpose: Purpose,
        extra: Mapping[str, str] = nursery.NOTHING,
    ) -> None:
        try:
            beside = seat.child.pid if seat.child and not seat.has_ended else None
            born = nursery.bear_task(self._world, seat.job, seat.run.epoch, commands, seat.folder, extra, beside)
        except (OSError, ValueError) as error:
            self._on_task_over(seat, kind, purpose, None, _why(error, seat.job))
            return
        errand = Errand(seat.transcript.buffer, born.nonce)
        task = Task(kind, born, self._hold(born), errand, purpose, self._loop.time())
        seat.tasks.append(task)
        self._attach(seat, task, born, task.kept)
        self._ledger.touch(seat)

    def _on_task_end(self, seat: Seat, task: Task) -> None:
        status = task.child.status()
        if status is None or task not in seat.tasks:
            return
        self._find_room()
        self._loop.remove_reader(task.child.end_fd)
        now = time.time()
        for fd, source in task.child.outputs:
            for data in self._intake.drain(fd):
                task.errand.hear(source, data, now)
            self._intake.remove(fd)
        task.errand.end(now)
        self._release_child(task.child, task.kept)
        seat.tasks.remove(task)
        self._dirty.add(seat)
        self._ledger.hear(seat)
        self._point()
        self._ledger.touch(seat)
        self._on_task_over(seat, task.kind, task.purpose, task, "" if status.code == 0 else str(status))
        self._remove_at_rest(seat)

    def _on_task_over(self, seat: Seat, kind: Kind, purpose: Purpose, task: Task | None, why: str) -> None:
        """`task` is None when it could not be started; `why` is what went wrong, or nothing."""
        match purpose.what:
            case "fix":
                self._on_remedied(seat, purpose, task, why)
            case "hook":
                self._on_hooked(seat, purpose.steps[0][0], kind, why)
            case "ask":
                self._on_asked(seat, purpose.steps, why)

    def _end_tasks(self, seat: Seat, kind: Kind) -> None:
        for task in seat.tasks:
            if task.kind == kind:
                self._reaper.signal(task.child, "KILL")

    # What outlives us.

    @property
    def living(self) -> tuple[str, ...]:
        """Jobs that can be sent signals."""
        return tuple(name for name, seat in self._seats.items() if seat.child)

    def forsake(self, why: str) -> None:
        """There is nobody any more who would hand over to another runner."""
        self._degrade("the keeper", "", why)

    def settle(self) -> None:
        """What has happened so far is there for the next runner, whatever becomes of this one."""
        self._ledger.commit()

    def on_ending(self, pid: int, code: int | None, signal: int | None) -> None:
        """The keeper tells how a child of an earlier runner has ended; of one that it could not ask, neither."""
        for seat in self._seats.values():
            for born, task in [(seat.child, None), *((task.child, task) for task in seat.tasks)]:
                if born and born.pid == pid and not born.is_ours:
                    born.ending = _ending(code, signal)
                    if task:
                        self._on_task_end(seat, task)
                    else:
                        self._on_end(seat, born)

    def _whole(self) -> Whole:
        return Whole(
            self._plan,
            self._world.runner,
            self._healer.heal,
            self._world.files,
            self._healer.spent,
            self._healer.told,
            tuple(sorted(self._removed)),
            self._closing is not None,
        )

    def _written(self, seat: Seat) -> tuple[int, ...]:
        """How far its log file is."""
        return tuple(self._logs.written(seat.name)) if self._logs and seat.job.log else ()

    # Going on where another one was killed.

    def _restore(self, estate: Estate, known: Known) -> None:
        self._removed = set(known.whole.removed)
        self._healer.restore(known.whole.spent, known.whole.healed)
        self._board.rows |= known.rows
        if estate.inbox.told > known.last:  # more was told than is known: nobody has followed to where we begin
            known.events.clear()
            self._bus.restore((), estate.inbox.told + 1, is_all=False)
        else:
            self._bus.restore(known.events, known.last, is_all=len(known.events) < memory.MOST_EVENTS)
        self._ledger.keep(LOG, self._log, known.log)
        sources: dict[int, tuple[Seat, Task | None, Source]] = {}
        for name, kept in known.seats.items():
            sources |= self._revive(estate, self._seats[name], kept, known.streams[name])
        self._ledger.restore(known.events)
        gone = time.time() - estate.since if estate.since else 0.0
        told = events.TookOver(os.getpid(), __version__, estate.why, max(gone, 0.0))
        self._publish(told)
        self._note(remark(told) or "")
        for number, data in estate.inbox.left(known.turn):
            if data and number in sources:
                self._hear(sources[number], data)
        for name in estate.forget_others():
            self._end_strange_mailbox(name)
        tags = {born.tag for seat in self._seats.values() for born in self._children(seat)}
        self._reaper.end_strangers(tags)
        self._end_strange_groups()
        for seat in self._seats.values():
            buffer = seat.transcript.buffer
            self._bus.publish(events.Output(seat.name, seat.told + 1, buffer.last, buffer.is_open, buffer.errors))
            seat.told, seat.was_open = buffer.last, buffer.is_open
            self._go_on(seat)
        if known.whole.is_closing:
            self._close(is_hurried=False)

    def _revive(
        self, estate: Estate, seat: Seat, kept: KeptSeat, stream: KeptStream
    ) -> dict[int, tuple[Seat, Task | None, Source]]:
        """The seat as it was, and by which numbers the inbox knows what it heard."""
        now = self._loop.time()
        life = kept.life
        if life.vitals.out == "ping":  # nobody waits for that one any more: another one is due
            life = life._replace(vitals=life.vitals._replace(out=None, ping_at=now))
        elif life.vitals.out:
            life = life._replace(vitals=life.vitals._replace(out=None, probe_at=now))
        self._flock.restore(seat.name, life)
        script = seat.transcript
        self._open_log(seat, stream.written)
        self._ledger.keep(seat.name, script.buffer, stream.place)
        self._log_again(seat, stream.written)
        seat.has_ended, seat.spawned, seat.folder, seat.size = kept.has_ended, kept.spawned, kept.folder, kept.size
        seat.command, seat.command_since = kept.command, kept.command_since
        seat.code = kept.code
        seat.told, seat.was_open, seat.spoke = stream.told, stream.was_open, stream.spoke
        seat.asking = {call.fixup.name: memory.call_of(call) for call in kept.asking}
        seat.remedy = (memory.call_of(kept.remedy[0]), kept.remedy[1]) if kept.remedy else None
        seat.replies = {seat.job.answers[index]: memory.data(said) for index, said in kept.replies}
        seat.cause, seat.is_paused = kept.cause, kept.is_paused
        seat.meter.resume(kept.overloads, now)
        script.await_signs(self._flock.signs(seat.name))
        sources: dict[int, tuple[Seat, Task | None, Source]] = {}
        if kept.child and (born := estate.child(kept.child)):
            seat.child, seat.kept, seat.groups = born, kept.child, kept.child.groups
            held = tuple(map(memory.data, stream.held))
            script.resume(born.nonce, seat.replies.values(), kept.began, held, stream.commands, life.said)
            if seat.job.answers:
                from zap.answerer import Answerer

                seat.answerer = Answerer(seat.job.answers)
            sources |= _numbered(kept.child, seat, None)
            self._attach(seat, None, born, seat.kept)
        for each in kept.tasks:
            if doing := estate.child(each.child):
                errand = Errand(script.buffer, doing.nonce, each.ended, map(memory.data, each.held))
                task = Task(each.kind, doing, each.child, errand, each.purpose, each.since)
                seat.tasks.append(task)
                sources |= _numbered(each.child, seat, task)
                self._attach(seat, task, doing, task.kept)
        if kept.mailbox and (fds := estate.fds(MAILBOX + kept.mailbox)):
            self._reopen_mailbox(seat, kept.mailbox, fds[0])
        return sources

    def _go_on(self, seat: Seat) -> None:
        """What the one before was about to do, and what has happened since."""
        self._set_timers(seat)
        run = seat.run
        is_doing = any(task.kind == "own" for task in seat.tasks)
        match run.state:
            case State.STARTING if seat.child is None and not is_doing:
                self._carry_out(seat, machine.Prepare() if run.is_busy else machine.Spawn(run.epoch))
            case State.FIXING if not is_doing and seat.remedy:
                self._begin_remedy(seat, *seat.remedy)
            case State.STOPPING if run.is_busy and not is_doing:
                self._carry_out(seat, machine.Tidy())
            case State.RUNNING | State.READY | State.STOPPING if seat.child is None and not run.is_busy:
                self._step(seat, machine.Exited(run.epoch, events.UNSEEN))  # the keeper did not have it
        for born, task in [(seat.child, None), *((task.child, task) for task in seat.tasks)]:
            if born and born.pid in self._endings:
                born.ending = _ending(*self._endings[born.pid])
                if task:
                    self._loop.call_soon(self._on_task_end, seat, task)
                elif not seat.has_ended:
                    self._loop.call_soon(self._on_end, seat, born)
        if seat.child and seat.has_ended:
            self._look_after(seat, seat.child)

    # Making way for another one.

    async def _rehearse(self) -> None:
        """Whether the zap that is installed now could go on from here. ZapError: it could not, and why."""
        if self._estate is None:
            raise ZapError("there is no keeper that could hand over to another runner: `zap down` and `zap up` do it")
        self._ledger.commit()
        why = await asyncio.to_thread(self._estate.rehearse)
        if why:
            raise ZapError(f"the zap that is installed now cannot take over, so nothing was changed: {why}")

    def _leave(self, by: str) -> None:
        self._loop.call_later(LEAVE_AFTER, self._hand_over, by)

    def _hand_over(self, by: str) -> None:
        """And end, without a word to anybody: everything goes on."""
        assert self._estate
        self._ledger.commit()
        self._estate.leave(f"an upgrade was asked for by {by}")
        os._exit(0)

    # Who belongs to us.

    def _ours(self) -> set[int] | None:
        """None while a secret is fetched: the command that does it is waited for by a thread of its own."""
        if any(seat.fetching for seat in self._seats.values()):
            return None
        living = {born.pid for seat in self._seats.values() for born in self._children(seat)}
        return living | self._ledger.released

    def _pause(self, seat: Seat, is_paused: bool) -> None:
        name = seat.name
        if seat.child is None or seat.run.state not in (State.RUNNING, State.READY):
            raise ZapError(f"{name} is {seat.run.state}: there is nobody to {'pause' if is_paused else 'resume'}")
        if not is_paused:
            self._unpause(seat)
        elif not seat.is_paused:
            group = self._group(seat)
            if not (group and group.freeze()):
                self._reaper.signal(seat.child, "STOP", self._members(seat))
            self._note_pause(seat)

    def _unpause(self, seat: Seat) -> None:
        """Also before it is asked to end: who stands still cannot hear."""
        if not seat.is_paused or seat.child is None:
            return
        if group := self._group(seat):
            group.thaw()
        self._reaper.signal(seat.child, "CONT", self._members(seat))
        self._note_pause(seat)

    def _note_pause(self, seat: Seat, why: str = "") -> None:
        """It stands still now, or goes on. Meanwhile nobody asks how it is."""
        name, epoch = seat.name, seat.run.epoch
        seat.is_paused = not seat.is_paused
        self._say(seat, events.Paused(name, epoch, why) if seat.is_paused else events.Resumed(name, epoch))
        if seat.run.state in LIVING:
            self._check(seat, vitals.Left() if seat.is_paused else vitals.Began(epoch))
            if not seat.is_paused and seat.run.state is State.READY:
                self._check(seat, vitals.Readied())

    def _is_frozen(self, seat: Seat) -> bool:
        group = self._group(seat)
        return group is not None and group.is_frozen()

    def _make_round(self) -> None:
        self._rounds = self._loop.call_later(ROUND, self._make_round)
        for fact in self._clocks.look():
            self.tell(fact)
        self._ledger.flush()
        leaders = {seat.child: seat for seat in self._seats.values() if seat.child and seat.run.state in LIVING}
        stopped = self._reaper.stopped(leaders) if leaders else {}
        for leader, seat in leaders.items():
            if leader in stopped and not seat.is_paused:
                self._note_pause(seat, f"process {stopped[leader]} was stopped by a signal")
            elif leader not in stopped and seat.is_paused and not self._is_frozen(seat):
                self._note_pause(seat)

    @staticmethod
    def _children(seat: Seat) -> list[child.Child]:
        return [task.child for task in seat.tasks] + [born for born in (seat.child, seat.probe) if born]

    def _has_tasks(self) -> bool:
        """A stop command, and a probe that was let go of, end without an event."""
        return any(seat.tasks or (seat.probing and not seat.probing.done()) for seat in self._seats.values())


def _numbered(kept: KeptChild, seat: Seat, task: Task | None) -> dict[int, tuple[Seat, Task | None, Source]]:
    out, err = kept.numbers
    return {out: (seat, task, "out"), err: (seat, task, "err")}


def _ending(code: int | None, signal: int | None) -> Status:
    if signal is not None:
        return Status(signal=child.name(signal))
    return events.UNSEEN if code is None else Status(code=code)


def _failed_part(filled: Filled, ended: Sequence[Mark]) -> str:
    """What of a remedy went wrong: `run`, `wait` or `verify`, and the command."""
    number = next((mark.number for mark in ended if mark.value), len(ended) + 1)
    if number > len(filled.commands):
        return "run"
    return f"{filled.parts[number - 1]} `{headline(filled.commands[number - 1])}`"


def _why(error: OSError | ValueError, job: Job) -> str:
    """In words: a missing folder and a missing shell are both «No such file» to the system."""
    if isinstance(error, ValueError):  # an env file that is not text
        return str(error)
    if error.errno == errno.E2BIG:
        return "its commands and its environment are too long for the system: put them into a script"
    if error.filename is None:
        return str(error.strerror or error)
    what = "folder" if error.filename == job.cwd else "file"
    return f"{what} {error.filename}: {error.strerror}"
