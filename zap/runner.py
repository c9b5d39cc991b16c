"""The engine, and the only one that changes a Run: facts in, `machine.step`, actions out, events published."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, assert_never

from zap import __version__, child, events, machine, matcher, nursery, requests, vitals
from zap.board import Board
from zap.buffer import Buffer
from zap.bus import Bus
from zap.errors import ZapError
from zap.events import LOG, State, Status
from zap.fixup import Call, Filled, Refused, fill, recall
from zap.flock import Effect, Flock, Turned
from zap.healer import Heal, Healer
from zap.intake import Intake
from zap.meter import Meter
from zap.plan import MIB, Answer, Bound, Fixup, Job, Need, Plan, System
from zap.reaper import Reaper
from zap.remarks import headline, remark
from zap.revision import compare
from zap.scales import Scales
from zap.script import Mark
from zap.session import Tail
from zap.transcript import Errand, Sign, Source, Told, Transcript

if TYPE_CHECKING:
    from zap.answerer import Answerer
    from zap.mailbox import Mailbox

MOST_SPAWNS = 8  # a turn of the loop: a spawn can stall its caller for some ms when the cpu is overloaded
TERMINAL_MOST = 10_000  # rows or columns
TYPE_MOST = 1024 * 1024  # bytes that may wait until a job reads what is typed to it
LOG_BOUND = Bound(2000, MIB)
TYPE_AGAIN = 0.01  # seconds until what a full terminal did not take is tried again
PACE_LINES = 20_000  # lines by which who follows may be behind
PACE_MOST = 1.0  # seconds; a terminal that was stopped shall not stop the jobs
LOOK_AGAIN = 0.02  # seconds between looks at whether what a job left behind has ended


_Kind = Literal["own", "aside", "stop"]
_OnEnd = Callable[["_Task | None", str], None]
"""Is told of the task that has ended, or of none when it could not be started, and what went wrong, or nothing."""
_EachRequest = requests.Signal | requests.Send | requests.Fix | requests.Resize | requests.Clear


class _Task:
    """Something done for a job beside its child: a remedy, a hook or a stop command.

    The machine waits for its `own`; what is `aside` of a job that lives ends when somebody stops that; what is to
    `stop` it ends with it.
    """

    def __init__(self, kind: _Kind, born: child.Child, errand: Errand, on_end: _OnEnd, now: float) -> None:
        self.kind = kind
        self.child = born
        self.errand = errand
        self.on_end = on_end
        self.since = now


class _Seat:
    """One job's place in the runner: its run, and what the hands hold for it."""

    def __init__(self, job: Job, flock: Flock, transcript: Transcript) -> None:
        self.name = job.name
        self._flock = flock
        self.transcript = transcript
        self.child: child.Child | None = None
        self.has_ended = False  # the child's shell; others of its family may live
        self.spawned = 0.0
        self.command = 0  # the running command, or the last one
        self.command_since: float | None = None
        self.folder = job.cwd  # where that command began
        self.remedy: tuple[Call, Filled] | None = None  # what the fixup that the machine knows of will run
        self.tasks: list[_Task] = []
        self.timer: asyncio.TimerHandle | None = None  # the machine's
        self.vital_timer: asyncio.TimerHandle | None = None
        self.probing: asyncio.Task[None] | None = None  # the probe that is out, or was let go of and ends
        self.probe: child.Child | None = None  # its command
        self.mailbox: Mailbox | None = None
        self.spoke = 0.0  # when it said something last
        self.echo = 0  # bytes that are only what was typed, said again
        self.told = 0  # the newest line that an Output event pointed at
        self.was_open = False
        self.heard = 0  # bytes since the meter was fed
        self.meter = Meter(job)
        self.asking: dict[str, Call] = {}  # by fixup, what wants approval
        self.size: tuple[int, int] | None = None  # rows and columns of its terminals, once somebody looks at them
        self.untyped = bytearray()  # what the child has not taken yet
        self.typing: asyncio.TimerHandle | None = None
        self.metering: asyncio.TimerHandle | None = None
        self.pacing: asyncio.TimerHandle | None = None  # while it is left unread for who follows
        self.is_left_behind = False  # by who followed and stands now
        self.answerer: Answerer | None = None
        self.replies: dict[Answer, bytes] = {}
        self.fetching: asyncio.Task[None] | None = None

    @property
    def job(self) -> Job:
        return self._flock.job(self.name)

    @property
    def run(self) -> machine.Run:
        return self._flock.run(self.name)


class Runner:
    """A Session onto jobs that are children of this process. Made inside a running loop, in the main thread.

    `heal` says which fixups run: those that are safe by themselves, all, or none. With `is_alone` the process is the
    runner's own, and everything below it ends with it; otherwise what carries the runner's tag does. With `is_followed`
    there is one who fetches every line: what was not fetched yet is kept beyond the bound of lines. `adopted` are
    first children, by job, that were born before there was a loop; each is taken out as it is taken over.
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
    ) -> None:
        self._plan = plan
        self._world = world
        self._is_alone = is_alone
        self._is_followed = is_followed
        self._adopted = {} if adopted is None else adopted
        self._loop = asyncio.get_running_loop()
        self._board = Board((job.name, len(job.commands)) for job in plan.jobs)
        self._bus = Bus(self._restate)
        self._log = Buffer(LOG_BOUND)
        self._intake: Intake[tuple[_Seat, _Task | None, Source]] = Intake(self._loop, self._hear, self._swept)
        self._healer = Healer(heal)
        self._fixups = {fixup.name: fixup for fixup in plan.fixups}
        self._flock = Flock(plan.jobs, random.random)
        self._seats = {job.name: self._seat(job) for job in plan.jobs}
        self._pending: deque[Callable[[float], list[Effect]]] = deque()
        self._is_stepping = False
        self._removed: set[str] = set()  # from the plan, but not at rest yet
        self._scales = Scales(self._loop, self._leaders, lambda loads: self._publish(events.Measured(loads)))
        self._cradle: deque[tuple[_Seat, int]] = deque()
        self._dirty: set[_Seat] = set()
        self._reaper = Reaper(self._loop, world.runner, is_alone, self._ours)
        self._closing: asyncio.Task[None] | None = None
        self._publish(events.Opened(plan.path, os.getpid(), __version__))
        self._note(f"zap {__version__} has opened {plan.path}, process {os.getpid()}")

    def _seat(self, job: Job) -> _Seat:
        seat = _Seat(job, self._flock, Transcript(job, self._armed(job)))
        seat.transcript.buffer.read = 0 if self._is_followed else None
        return seat

    def _armed(self, job: Job) -> list[Fixup]:
        return [] if self._healer.heal == "none" else [self._fixups[name] for name in job.fixups]

    # The session.

    async def ask(self, request: requests.Request) -> None:
        match request:
            case requests.Note():
                self._note(request.text)
                return
            case requests.Attend():
                self._intake.attend()
                self._scales.stir()
                return
            case requests.Reload():
                await self._reload()
                return
            case requests.Close():
                self._close(request.is_hurried)
                return
        unknown = [name for name in request.jobs if name not in self._seats]
        if unknown:
            raise ZapError(f"there is no job {', '.join(unknown)}")
        if self._closing:
            raise ZapError("zap is ending: it takes no more requests")
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

    def _serve(self, seat: _Seat, request: _EachRequest) -> None:
        match request:
            case requests.Signal():
                self._signal_by_name(seat, request.signal)
            case requests.Send():
                self._send(seat, request.text)
            case requests.Fix():
                self._fix(seat, request.fixup)
            case requests.Resize():
                if not (0 < request.rows <= TERMINAL_MOST and 0 < request.columns <= TERMINAL_MOST):
                    raise ZapError(f"a terminal has 1 to {TERMINAL_MOST} rows and columns")
                seat.size = (request.rows, request.columns)
                if seat.child and not seat.has_ended:
                    seat.child.resize(*seat.size)
            case requests.Clear():
                seat.transcript.buffer.clear()
                seat.was_open = False
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

    async def _reload(self) -> None:
        try:
            plan = await self._read_plan()
        except ZapError as error:
            refused = events.NotReloaded(str(error))
            self._publish(refused)
            self._note(remark(refused) or "")
            raise
        if self._closing:
            raise ZapError("zap is ending: it takes no more requests")
        self._adopt(plan)

    def _adopt(self, plan: Plan) -> None:
        """The plan is this one from here on."""
        revision = compare(self._plan, plan)
        jobs = {job.name: job for job in plan.jobs}
        self._plan = plan
        self._fixups = {fixup.name: fixup for fixup in plan.fixups}
        for name in revision.added:
            self._removed.discard(name)
            if name not in self._seats:  # else it was on its way out
                self._seats[name] = self._seat(jobs[name])
        self._do(lambda now: self._flock.put(jobs.values(), now))
        changed = {change.job: change.settings for change in revision.changed}
        for name in (*revision.added, *changed):
            seat = self._seats[name]
            seat.transcript.arm(seat.job, self._armed(seat.job))
            seat.transcript.buffer.bound(seat.job.buffer)
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

    def _remove_at_rest(self, seat: _Seat) -> None:
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
        self._publish(events.Removed(name))
        for other in needed:
            self._remove_at_rest(other)

    async def close(self) -> None:
        """Ends every job and whatever else is left, and publishes Closed. Returns when nothing is left."""
        await self._close(is_hurried=False)

    def _close(self, is_hurried: bool) -> asyncio.Task[None]:
        self._stop(tuple(self._seats), is_hurried)
        if self._closing is None:
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
        self._intake.close()
        self._scales.close()
        self._publish(events.Closed(left))

    # The machine: the only place where a run changes.

    def _step(self, seat: _Seat, given: machine.Input) -> None:
        self._do(lambda now: self._flock.give(seat.job.name, given, now), seat)

    def _check(self, seat: _Seat, given: vitals.Input) -> None:
        self._do(lambda now: self._flock.check(seat.job.name, given, now), seat)

    def _do(self, what: Callable[[float], list[Effect]], seat: _Seat | None = None) -> None:
        """Changes runs, and carries out what follows, in order, before anything else changes any.

        The timers of the seat, and of those whom it has touched, are set anew.
        """
        self._pending.append(what)
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._pending:
                effects = self._pending.popleft()(self._loop.time())
                for name, effect in effects:
                    self._carry_out(self._seats[name], effect)
                for touched in {self._seats[name] for name, _ in effects} | ({seat} if seat else set()):
                    self._set_timers(touched)
                    if self._removed:
                        self._loop.call_soon(self._remove_at_rest, touched)
        finally:
            self._is_stepping = False

    def _set_timers(self, seat: _Seat) -> None:
        seat.timer = self._timer(seat.timer, seat.run.due, self._on_due, seat)
        due = self._flock.vital_due(seat.job.name)
        seat.vital_timer = self._timer(seat.vital_timer, due, self._on_vital_due, seat)

    def _timer(
        self, timer: asyncio.TimerHandle | None, due: float | None, on_due: Callable[[_Seat], None], seat: _Seat
    ) -> asyncio.TimerHandle | None:
        if timer and timer.when() == due:
            return timer
        if timer:
            timer.cancel()
        return None if due is None else self._loop.call_at(due, on_due, seat)

    def _on_due(self, seat: _Seat) -> None:
        seat.timer = None
        self._step(seat, machine.Due())

    def _on_vital_due(self, seat: _Seat) -> None:
        seat.vital_timer = None
        self._check(seat, vitals.Tick(seat.spoke))

    def _carry_out(self, seat: _Seat, effect: Turned | machine.Action | vitals.Action | events.Fact) -> None:
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

    def _on_turn(self, seat: _Seat, before: machine.Run, after: machine.Run) -> None:
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

    def _row(self, seat: _Seat) -> events.Row:
        """Pointers to output are not told to our own board: the buffer knows."""
        buffer = seat.transcript.buffer
        row = self._board.rows.get(seat.name, events.Row(seat.name, len(seat.job.commands)))
        return row._replace(lines=buffer.last, errors=buffer.errors)

    def _publish(self, fact: events.Fact) -> None:
        self._board.apply(self._bus.publish(fact))

    def _note(self, text: str) -> None:
        """A line in zap's own log."""
        first = self._log.remark(text, time.time())
        self._bus.publish(events.Output(LOG, first, self._log.last))

    def _say(self, seat: _Seat, fact: events.Fact) -> None:
        self._publish(fact)
        text = remark(fact)
        if text:
            seat.transcript.buffer.remark(text, time.time())
            self._dirty.add(seat)
            self._loop.call_soon(self._swept)

    # Birth.

    def _expect(self, seat: _Seat, epoch: int) -> None:
        if not self._cradle:
            self._loop.call_soon(self._spawn_some)
        self._cradle.append((seat, epoch))

    async def _fetch_secrets(self, seat: _Seat, epoch: int) -> None:
        """In a thread, because a keyring may have to ask somebody."""
        try:
            for answer in seat.job.answers:
                if answer.secret:
                    secret = await asyncio.to_thread(nursery.read_secret, self._world, seat.job, answer.secret)
                    seat.replies[answer] = secret
        except asyncio.CancelledError:
            self._miscarry(seat, epoch, "")
        except Exception as error:  # a file, a variable, or whatever a command may do; never the secret itself
            self._miscarry(seat, epoch, f"the secret for an answer could not be had: {error}")
        else:
            self._expect(seat, epoch)
        finally:
            seat.fetching = None

    def _miscarry(self, seat: _Seat, epoch: int, why: str) -> None:
        if why:
            self._say(seat, events.NotSpawned(seat.job.name, epoch, why))
        self._step(seat, machine.NotSpawned(epoch, why))

    def _spawn_some(self) -> None:
        for _ in range(min(MOST_SPAWNS, len(self._cradle))):
            seat, epoch = self._cradle.popleft()
            self._spawn(seat, epoch)
        if self._cradle:
            self._loop.call_soon(self._spawn_some)

    def _spawn(self, seat: _Seat, epoch: int) -> None:
        born = self._adopted.pop(seat.job.name, None)
        if born is None and not seat.run.is_wanted:
            self._miscarry(seat, epoch, "")
            return
        try:
            born = born or nursery.bear(self._world, seat.job, epoch, self._open_mailbox(seat))
        except (OSError, ValueError) as error:
            self._close_mailbox(seat)
            self._miscarry(seat, epoch, _why(error, seat.job))
            return
        seat.child = born
        if seat.size:
            born.resize(*seat.size)
        seat.has_ended = False
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
        for fd, source in born.outputs:
            self._intake.add(fd, (seat, None, source))
        self._loop.add_reader(born.end_fd, self._on_end, seat, born)
        self._say(seat, events.Spawned(seat.job.name, epoch, born.pid))
        self._scales.stir()
        self._step(seat, machine.Spawned(epoch))

    def _open_mailbox(self, seat: _Seat) -> dict[str, str]:
        """For a job that tells how it is: what has to be in its environment. One for each child, and no other's."""
        job = seat.job
        if not nursery.needs_mailbox(job):
            return {}
        from zap.mailbox import Mailbox

        seat.mailbox = Mailbox(self._loop, lambda notice: self._check(seat, vitals.Noticed(*notice)))
        usec = {} if job.watchdog is None else {"WATCHDOG_USEC": str(round(job.watchdog * 1_000_000))}
        return {"NOTIFY_SOCKET": seat.mailbox.path, **usec}

    @staticmethod
    def _close_mailbox(seat: _Seat) -> None:
        if seat.mailbox:
            seat.mailbox.close()
            seat.mailbox = None

    # How it is.

    async def _probe(self, seat: _Seat, ask: vitals.Ask, before: asyncio.Task[None] | None) -> None:
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
            seat.probe = nursery.bear_probe(self._world, seat.job, seat.run.epoch, command)
            return seat.probe

        since = seat.child.born if seat.child and ask.question == "ready" else 0.0
        try:
            answer = await probe.ask(ask.probe, ask.timeout, since, bear)
        finally:
            if seat.probe:
                seat.probe = None
                self._reaper.reap_soon()
        self._check(seat, vitals.Answered(ask.asked, answer.is_ok, answer.said))

    def _ping(self, seat: _Seat, line: str) -> None:
        if seat.child is None or seat.child.in_fd is None:
            return
        data = line.encode() + b"\n"
        if seat.child.echoes:
            seat.echo = len(data) + 1  # a terminal says a newline as two
        self._type(seat, data)

    def _listen(self, seat: _Seat) -> None:
        """For the lines that mean something to somebody."""
        for sign in seat.transcript.await_signs(self._flock.signs(seat.job.name)):
            self._on_sign(seat, sign)

    def _on_sign(self, seat: _Seat, sign: Sign) -> None:
        self._do(lambda now: self._flock.hear(seat.job.name, sign.pattern, now), seat)

    # Output.

    def _hear(self, key: tuple[_Seat, _Task | None, Source], data: bytes) -> None:
        seat, task, source = key
        now = time.time()
        self._dirty.add(seat)
        seat.heard += len(data)
        if task:
            task.errand.hear(source, data, now)
            return
        echoed = min(seat.echo, len(data))
        seat.echo -= echoed
        if len(data) > echoed:
            seat.spoke = self._loop.time()
        if seat.answerer:
            for answer in seat.answerer.feed(source, data):
                self._answer(seat, answer)
        self._take(seat, seat.transcript.hear(source, data, now))

    def _take(self, seat: _Seat, told: list[Told]) -> None:
        for item in told:
            match item:
                case Mark():
                    self._on_mark(seat, item)
                case Sign():
                    self._on_sign(seat, item)
                case _:
                    self._on_call(seat, item)

    def _on_mark(self, seat: _Seat, mark: Mark) -> None:
        job, epoch, now = seat.job, seat.run.epoch, self._loop.time()
        if mark.is_end:
            self._end_command(seat, Status(code=mark.value))
        elif 1 <= mark.number <= len(job.commands):
            seat.command, seat.command_since = mark.number, now
            seat.folder = mark.folder or job.cwd
            text = job.commands[mark.number - 1].text
            self._say(seat, events.CommandStarted(job.name, epoch, mark.number, text, mark.line))

    def _end_command(self, seat: _Seat, status: Status) -> None:
        if seat.command_since is not None:
            seconds = self._loop.time() - seat.command_since
            seat.command_since = None
            self._say(seat, events.CommandEnded(seat.job.name, seat.run.epoch, seat.command, status, seconds))

    def _answer(self, seat: _Seat, answer: Answer) -> None:
        if seat.child is None:
            return
        if answer.secret:
            seat.child.hush()
        self._say(seat, events.Answered(seat.job.name, seat.run.epoch, answer.prompt))
        reply = seat.replies[answer] if answer.secret else (answer.reply or "").encode()
        self._type(seat, reply + b"\n")

    def _send(self, seat: _Seat, text: str) -> None:
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

    def _type(self, seat: _Seat, data: bytes) -> None:
        """Into the child, in as many goes as it takes; who has typed waits for the answer."""
        self._bus.attend()
        self._intake.attend([fd for fd, _ in seat.child.outputs] if seat.child else [])
        seat.untyped += data
        if seat.typing is None:
            self._type_some(seat)

    def _type_some(self, seat: _Seat) -> None:
        seat.typing = None
        if seat.child is None or seat.has_ended:
            seat.untyped.clear()
            return
        del seat.untyped[: seat.child.write(bytes(seat.untyped))]
        if seat.untyped:
            seat.typing = self._loop.call_later(TYPE_AGAIN, self._type_some, seat)

    def _swept(self) -> None:
        """After a round of reading: one pointer a job to what is new."""
        now = self._loop.time()
        facts: list[tuple[_Seat, events.Fact]] = []
        for seat in self._dirty:
            buffer = seat.transcript.buffer
            facts += [(seat, fact) for fact in seat.meter.feed(buffer.last - seat.told, seat.heard, now)]
            seat.heard = 0
            self._await_relief(seat)
            if self._is_followed:
                self._pace(seat)
            is_open = buffer.is_open
            if buffer.last > seat.told or is_open or seat.was_open:
                self._bus.publish(events.Output(seat.job.name, seat.told + 1, buffer.last, is_open, buffer.errors))
                seat.told, seat.was_open = buffer.last, is_open
        self._dirty.clear()
        for seat, fact in facts:
            self._say(seat, fact)

    def _pace(self, seat: _Seat) -> None:
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

    def _leave_behind(self, seat: _Seat) -> None:
        seat.is_left_behind = True
        self._release(seat)

    def _release(self, seat: _Seat) -> None:
        if seat.pacing:
            seat.pacing.cancel()
            seat.pacing = None
        if seat.child:
            for fd, _ in seat.child.outputs:
                self._intake.release(fd)

    def _await_relief(self, seat: _Seat) -> None:
        """Silence has no event of its own: while a meter is not at rest, it is looked at when it asks for it."""
        due = seat.meter.due
        if due is not None and seat.metering is None:
            seat.metering = self._loop.call_at(due, self._check_meter, seat)

    def _check_meter(self, seat: _Seat) -> None:
        seat.metering = None
        for fact in seat.meter.check(self._loop.time()):
            self._say(seat, fact)
        self._await_relief(seat)

    # Death.

    def _on_end(self, seat: _Seat, dead: child.Child) -> None:
        """The shell has ended: take what it still said, look who is left, and only then tell."""
        status = dead.status()
        if status is None:
            return
        self._loop.remove_reader(dead.end_fd)
        seat.has_ended = True
        self._release(seat)
        self._drain(seat, dead)
        has_left = self._reaper.has_family(dead)
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

    def _drain(self, seat: _Seat, dead: child.Child) -> None:
        now = time.time()
        self._dirty.add(seat)
        for fd, source in dead.outputs:
            for data in self._intake.drain(fd):
                self._take(seat, seat.transcript.hear(source, data, now))
        self._take(seat, seat.transcript.end(now))
        self._swept()

    def _at(self, seat: _Seat, status: Status) -> str:
        """During which command it ended, where that is not plain."""
        count = len(seat.job.commands)
        if not seat.command or (status.code in seat.job.success_codes and seat.command == count):
            return ""
        text = seat.job.commands[seat.command - 1].text.strip().partition("\n")[0]
        return f" at command {seat.command}/{count} `{text}`"

    def _look_after(self, seat: _Seat, dead: child.Child) -> None:
        """Until nobody of the dead child's family is left."""
        if self._reaper.has_family(dead):
            self._loop.call_later(LOOK_AGAIN, self._look_after, seat, dead)
            return
        self._drain(seat, dead)
        self._let_go(seat, dead)
        self._step(seat, machine.Emptied(seat.run.epoch))

    def _let_go(self, seat: _Seat, dead: child.Child) -> None:
        for fd, _ in dead.outputs:
            self._intake.remove(fd)
        dead.close()
        seat.child = None
        self._close_mailbox(seat)
        self._reaper.reap_soon()
        self._end_tasks(seat, "stop")

    def _signal(self, seat: _Seat, name: str) -> None:
        """To all of the family; who is stopped is woken, because it could not hear."""
        if seat.child is None:
            return
        self._say(seat, events.Signalled(seat.job.name, seat.run.epoch, name))
        self._reaper.signal(seat.child, name)

    def _signal_by_name(self, seat: _Seat, name: str) -> None:
        try:
            child.number(name)
        except KeyError:
            raise ZapError(f"there is no signal {name:.20}; signals are named without SIG, as in HUP or USR1") from None
        if seat.child is None:
            raise ZapError(f"{seat.job.name} is {seat.run.state}: there is nobody to signal")
        self._signal(seat, name)

    # Healing.

    def _on_call(self, seat: _Seat, call: Call) -> None:
        """A line called for a fixup while the child, or some of its family, lives."""
        wanted = self._screen(seat, call)
        if wanted:
            self._step(seat, machine.Called(seat.run.epoch, wanted))

    def _screen(self, seat: _Seat, call: Call | None) -> machine.Call | None:
        """What the machine shall know of a call; what only runs beside the job is started here."""
        run = seat.run
        is_ended = run.state is State.STOPPING and run.after in (machine.After.REST, machine.After.START)  # by a person
        if call is None or not run.is_wanted or run.call or is_ended:
            return None
        verdict = self._healer.judge(seat.job, seat.run.epoch, call, self._loop.time())
        if verdict is None:
            return None
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

    def _fix(self, seat: _Seat, name: str | None) -> None:
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

    def _begin_remedy(self, seat: _Seat, call: Call, filled: Filled) -> None:
        fixup = call.fixup
        seat.asking.pop(fixup.name, None)
        self._say(seat, events.FixStarted(seat.job.name, seat.run.epoch, fixup.name, tuple(filled.commands)))
        kind: _Kind = "aside" if fixup.then == "continue" else "own"
        self._begin_task(seat, kind, filled.commands, partial(self._on_remedied, seat, call, filled))

    def _on_remedied(self, seat: _Seat, call: Call, filled: Filled, task: _Task | None, why: str) -> None:
        name, epoch, fixup = seat.job.name, seat.run.epoch, call.fixup
        if why:
            why = f"{_failed_part(filled, task.errand.ended)}: {why}" if task else why
            self._say(seat, events.FixFailed(name, epoch, fixup.name, why))
        else:
            seconds = self._loop.time() - task.since if task else 0.0
            self._say(seat, events.Fixed(name, epoch, fixup.name, seconds, fixup.verify is not None))
        if fixup.then != "continue":
            self._step(seat, machine.TaskEnded(epoch, why))

    # Tasks: what is done for a job beside its child.

    def _begin_hook(self, seat: _Seat, name: str, kind: _Kind) -> None:
        text = getattr(seat.job.hooks, name)
        exit = seat.run.exit
        extra = {"ZAP_EXIT": str(exit.signal or exit.code)} if exit and name == "after_stop" else {}
        self._say(seat, events.HookStarted(seat.job.name, seat.run.epoch, name, text))
        self._begin_task(seat, kind, [text], partial(self._on_hooked, seat, name, kind), extra)

    def _on_hooked(self, seat: _Seat, name: str, kind: _Kind, task: _Task | None, why: str) -> None:
        if why:
            self._say(seat, events.HookFailed(seat.job.name, seat.run.epoch, name, why))
        if kind == "own":
            self._step(seat, machine.TaskEnded(seat.run.epoch, why))

    def _ask_to_end(self, seat: _Seat, rung: int) -> None:
        """At first by what its settings want to be run; after that, and for those whom it did not reach, the rung."""
        steps = [("before_stop", seat.job.hooks.before_stop), ("stop", seat.job.stop.command)]
        texts = [(name, text) for name, text in steps if text is not None]
        if rung or seat.has_ended or not texts:
            self._climb(seat, rung)
        else:
            self._ask_by(seat, texts)

    def _ask_by(self, seat: _Seat, texts: Sequence[tuple[str, str]]) -> None:
        (name, text), *others = texts

        def go_on(task: _Task | None, why: str) -> None:
            if why:
                self._say(seat, events.HookFailed(seat.job.name, seat.run.epoch, name, why))
            if not seat.child or seat.has_ended or seat.run.state is not State.STOPPING:
                return
            if others:
                self._ask_by(seat, others)
            else:
                self._climb(seat, seat.run.rung)

        self._say(seat, events.HookStarted(seat.job.name, seat.run.epoch, name, text))
        self._begin_task(seat, "stop", [text], go_on)

    def _climb(self, seat: _Seat, rung: int) -> None:
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
        seat: _Seat,
        kind: _Kind,
        commands: Sequence[str],
        on_end: _OnEnd,
        extra: Mapping[str, str] = nursery.NOTHING,
    ) -> None:
        try:
            born = nursery.bear_task(self._world, seat.job, seat.run.epoch, commands, seat.folder, extra)
        except (OSError, ValueError) as error:
            on_end(None, _why(error, seat.job))
            return
        task = _Task(kind, born, Errand(seat.transcript.buffer, born.nonce), on_end, self._loop.time())
        seat.tasks.append(task)
        for fd, source in born.outputs:
            self._intake.add(fd, (seat, task, source))
        self._loop.add_reader(born.end_fd, self._on_task_end, seat, task)

    def _on_task_end(self, seat: _Seat, task: _Task) -> None:
        status = task.child.status()
        if status is None:
            return
        self._loop.remove_reader(task.child.end_fd)
        now = time.time()
        for fd, source in task.child.outputs:
            for data in self._intake.drain(fd):
                task.errand.hear(source, data, now)
            self._intake.remove(fd)
        task.errand.end(now)
        task.child.close()
        seat.tasks.remove(task)
        self._dirty.add(seat)
        self._swept()
        task.on_end(task, "" if status.code == 0 else str(status))
        self._remove_at_rest(seat)

    def _end_tasks(self, seat: _Seat, kind: _Kind) -> None:
        for task in seat.tasks:
            if task.kind == kind:
                self._reaper.signal(task.child, "KILL")

    # Who belongs to us.

    def _ours(self) -> set[int] | None:
        """None while a secret is fetched: the command that does it is waited for by a thread of its own."""
        if any(seat.fetching for seat in self._seats.values()):
            return None
        return {born.pid for seat in self._seats.values() for born in self._children(seat)}

    @staticmethod
    def _children(seat: _Seat) -> list[child.Child]:
        return [task.child for task in seat.tasks] + [born for born in (seat.child, seat.probe) if born]

    def _has_tasks(self) -> bool:
        """A stop command, and a probe that was let go of, end without an event."""
        return any(seat.tasks or (seat.probing and not seat.probing.done()) for seat in self._seats.values())


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
