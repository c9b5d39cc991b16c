"""The engine, and the only one that changes a Run: facts in, `machine.step`, actions out, events published."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, MutableMapping, Sequence
from typing import TYPE_CHECKING, assert_never

from zap import __version__, census, child, events, machine, nursery, requests
from zap.board import Board
from zap.buffer import Buffer
from zap.bus import Bus
from zap.errors import ZapError
from zap.events import LOG, State, Status
from zap.fixup import Call, Filled, Refused, fill, recall
from zap.healer import Heal, Healer
from zap.intake import Intake
from zap.meter import Meter
from zap.plan import MIB, Answer, Bound, Fixup, Job, Plan
from zap.remarks import headline, remark
from zap.scales import Scales
from zap.script import Mark
from zap.session import Tail
from zap.transcript import Errand, Source, Transcript

if TYPE_CHECKING:
    from zap.answerer import Answerer

MOST_SPAWNS = 8  # a turn of the loop: a spawn can stall its caller for some ms when the cpu is overloaded
TERMINAL_MOST = 10_000  # rows or columns
TYPE_MOST = 1024 * 1024  # bytes that may wait until a job reads what is typed to it
LOG_BOUND = Bound(2000, MIB)
TYPE_AGAIN = 0.01  # seconds until what a full terminal did not take is tried again
PACE_LINES = 20_000  # lines by which who follows may be behind
PACE_MOST = 1.0  # seconds; a terminal that was stopped shall not stop the jobs
LOOK_AGAIN = 0.02  # seconds between looks at whether what a job left behind has ended
REAP_LATER = 0.1  # seconds; orphans often end in swarms
REAP_EVERY = 60.0  # seconds; a look takes microseconds, and an orphan that waits for it costs a number
CLOSE_MOST = 5.0  # seconds to wait for KILLed processes that the kernel does not let go of


class _Task:
    """Something done for a job beside its child: a remedy (with the call for it) or a stop command."""

    def __init__(self, born: child.Child, errand: Errand, remedy: tuple[Call, Filled] | None, now: float) -> None:
        self.child = born
        self.errand = errand
        self.remedy = remedy
        self.since = now


class _Seat:
    """One job's place in the runner: its run, and what the hands hold for it."""

    def __init__(self, job: Job, transcript: Transcript, seed: float) -> None:
        self.job = job
        self.run = machine.Run(seed=seed)
        self.transcript = transcript
        self.child: child.Child | None = None
        self.has_ended = False  # the child's shell; others of its family may live
        self.spawned = 0.0
        self.command = 0  # the running command, or the last one
        self.command_since: float | None = None
        self.folder = job.cwd  # where that command began
        self.remedy: tuple[Call, Filled] | None = None  # what the fixup that the machine knows of will run
        self.tasks: list[_Task] = []
        self.timer: asyncio.TimerHandle | None = None
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
        fixups = {fixup.name: fixup for fixup in plan.fixups}
        self._seats = {}
        for job in plan.jobs:
            armed = [fixups[name] for name in job.fixups] if heal != "none" else []
            seat = self._seats[job.name] = _Seat(job, Transcript(job, armed), random.random())
            seat.transcript.buffer.read = 0 if is_followed else None
        self._fixups = fixups
        self._scales = Scales(self._loop, self._leaders, lambda loads: self._publish(events.Measured(loads)))
        self._cradle: deque[tuple[_Seat, int]] = deque()
        self._dirty: set[_Seat] = set()
        self._census: census.Census | None = None
        self._orphans: set[int] = set()  # of families that we have signalled: ours to reap, should they become ours
        self._reaping: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._publish(events.Opened(plan.path, os.getpid(), __version__))
        self._note(f"zap {__version__} has opened {plan.path}, process {os.getpid()}")

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
            case requests.Close():
                self._close(request.is_hurried)
                return
        unknown = [name for name in request.jobs if name not in self._seats]
        if unknown:
            raise ZapError(f"there is no job {', '.join(unknown)}")
        if self._closing:
            raise ZapError("zap is ending: it takes no more requests")
        refused: dict[str, None] = {}
        for name in request.jobs:
            try:
                self._serve(self._seats[name], request)
            except ZapError as error:
                refused[str(error)] = None
        if refused:
            raise ZapError("\n".join(refused))

    def _serve(self, seat: _Seat, request: requests.JobRequest) -> None:
        match request:
            case requests.Start():
                self._step(seat, machine.Start())
            case requests.Restart():
                self._step(seat, machine.Restart())
            case requests.Stop():
                self._step(seat, machine.Stop(request.is_hurried))
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

    async def plan(self) -> Plan:
        return self._plan

    async def close(self) -> None:
        """Ends every job and whatever else is left, and publishes Closed. Returns when nothing is left."""
        await self._close(is_hurried=False)

    def _close(self, is_hurried: bool) -> asyncio.Task[None]:
        for seat in self._seats.values():
            self._step(seat, machine.Stop(is_hurried))
        if self._closing is None:
            self._closing = self._loop.create_task(self._wind_up())
        return self._closing

    async def _wind_up(self) -> None:
        watch = self._bus.watch(self._bus.last)
        living = {name for name, seat in self._seats.items() if not seat.run.state.is_rest}
        while living:
            fact = (await anext(watch)).fact
            if isinstance(fact, events.Became | events.Restated) and self._seats[fact.job].run.state.is_rest:
                living.discard(fact.job)
        left = await self._end_all()
        if self._reaping:
            self._reaping.cancel()
        self._intake.close()
        self._scales.close()
        self._publish(events.Closed(left))

    # The machine: the only place where a run changes.

    def _step(self, seat: _Seat, given: machine.Input) -> None:
        now = self._loop.time()
        before = seat.run
        seat.run, actions = machine.step(before, given, seat.job, now)
        if seat.run.due != before.due:
            if seat.timer:
                seat.timer.cancel()
            seat.timer = self._loop.call_at(seat.run.due, self._on_due, seat) if seat.run.due is not None else None
        if seat.run.state is not before.state:
            self._say(seat, self._became(seat, now))
        if isinstance(given, machine.Stop):
            self._end_remedies(seat)
            if seat.fetching:
                seat.fetching.cancel()
        for action in actions:
            self._act(seat, action)

    @staticmethod
    def _became(seat: _Seat, now: float) -> events.Became:
        run = seat.run
        seconds = run.due - now if run.state is State.BACKOFF and run.due is not None else None
        exit = run.exit if run.exit_epoch == run.epoch else None
        return events.Became(seat.job.name, run.epoch, run.state, run.why, seconds, exit)

    def _restate(self) -> Iterator[events.Fact]:
        """How every job is, for a reader who has not followed how it came to that."""
        for name, seat in self._seats.items():
            buffer = seat.transcript.buffer
            yield events.Restated(name, self._board.rows[name]._replace(lines=buffer.last, errors=buffer.errors))

    def _publish(self, fact: events.Fact) -> None:
        self._board.apply(self._bus.publish(fact))

    def _note(self, text: str) -> None:
        """A line in zap's own log."""
        first = self._log.remark(text, time.time())
        self._bus.publish(events.Output(LOG, first, self._log.last))

    def _act(self, seat: _Seat, action: machine.Action) -> None:
        match action:
            case machine.Spawn(epoch):
                if any(answer.secret for answer in seat.job.answers):
                    seat.fetching = self._loop.create_task(self._fetch_secrets(seat, epoch))
                else:
                    self._expect(seat, epoch)
            case machine.AskToEnd():
                if (
                    seat.job.stop.command is None
                    or seat.has_ended
                    or not self._begin_task(seat, [seat.job.stop.command])
                ):
                    self._signal(seat, seat.job.stop.signal)
            case machine.Kill():
                self._signal(seat, "KILL")
            case machine.Heal():
                assert seat.remedy is not None
                self._begin_task(seat, seat.remedy[1].commands, seat.remedy)
            case machine.EndRemedy():
                self._end_remedies(seat)
            case _:
                assert_never(action)

    def _on_due(self, seat: _Seat) -> None:
        seat.timer = None
        self._step(seat, machine.Due())

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
            born = born or nursery.bear(self._world, seat.job, epoch)
        except (OSError, ValueError) as error:
            self._miscarry(seat, epoch, _why(error, seat.job))
            return
        seat.child = born
        if seat.size:
            born.resize(*seat.size)
        seat.has_ended = False
        seat.spawned = self._loop.time()
        seat.command, seat.command_since = 0, None
        seat.asking.clear()
        seat.untyped.clear()
        seat.transcript.begin(born.nonce, seat.replies.values())
        if seat.job.answers:
            from zap.answerer import Answerer

            seat.answerer = Answerer(seat.job.answers)
        for fd, source in born.outputs:
            self._intake.add(fd, (seat, None, source))
        self._loop.add_reader(born.end_fd, self._on_end, seat, born)
        self._say(seat, events.Spawned(seat.job.name, epoch, born.pid))
        self._scales.stir()
        self._step(seat, machine.Spawned(epoch))

    # Output.

    def _hear(self, key: tuple[_Seat, _Task | None, Source], data: bytes) -> None:
        seat, task, source = key
        now = time.time()
        self._dirty.add(seat)
        seat.heard += len(data)
        if task:
            task.errand.hear(source, data, now)
            return
        if seat.answerer:
            for answer in seat.answerer.feed(source, data):
                self._answer(seat, answer)
        self._take(seat, seat.transcript.hear(source, data, now))

    def _take(self, seat: _Seat, told: list[Mark | Call]) -> None:
        for item in told:
            if isinstance(item, Mark):
                self._on_mark(seat, item)
            else:
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
        has_left = bool(self._look().family(dead.pid, dead.tag))
        epoch = seat.run.epoch
        at = self._at(seat, status)
        self._end_command(seat, status)
        self._say(seat, events.Exited(seat.job.name, epoch, status, self._loop.time() - seat.spawned))
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
        if self._look().family(dead.pid, dead.tag):
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
        self._reap_soon()
        for task in seat.tasks:
            if not task.remedy:  # a stop command has nothing to stop any more
                self._signal_family(task.child, "KILL")

    def _signal(self, seat: _Seat, name: str) -> None:
        """To all of the family; who is stopped is woken, because it could not hear."""
        if seat.child is None:
            return
        self._say(seat, events.Signalled(seat.job.name, seat.run.epoch, name))
        self._signal_family(seat.child, name)

    def _signal_by_name(self, seat: _Seat, name: str) -> None:
        try:
            child.number(name)
        except KeyError:
            raise ZapError(f"there is no signal {name:.20}; signals are named without SIG, as in HUP or USR1") from None
        if seat.child is None:
            raise ZapError(f"{seat.job.name} is {seat.run.state}: there is nobody to signal")
        self._signal(seat, name)

    def _signal_family(self, leader: child.Child, name: str) -> None:
        look = self._look()
        family = look.family(leader.pid, leader.tag)
        self._orphans |= family
        leader.signal_group(child.number(name))
        child.kill(look.outside(family, leader.pid), child.number(name))
        if name != "KILL":
            child.kill(look.stopped({*family, leader.pid}), child.number("CONT"))

    def _look(self) -> census.Census:
        """Who lives; one pass over the process table serves everyone who asks in this turn of the loop."""
        if self._census is None:
            self._census = census.take()
            self._loop.call_soon(self._forget_census)
        return self._census

    def _forget_census(self) -> None:
        self._census = None

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
            self._begin_task(seat, verdict.filled.commands, (call, verdict.filled))
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
            self._begin_task(seat, filled.commands, (call, filled))
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

    def _begin_task(self, seat: _Seat, commands: Sequence[str], remedy: tuple[Call, Filled] | None = None) -> bool:
        """Whether it could be started; a remedy that could not has failed."""
        if remedy:
            seat.asking.pop(remedy[0].fixup.name, None)
            self._say(seat, events.FixStarted(seat.job.name, seat.run.epoch, remedy[0].fixup.name, tuple(commands)))
        try:
            born = nursery.bear_remedy(self._world, seat.job, seat.run.epoch, commands, seat.folder)
        except (OSError, ValueError) as error:
            if remedy:
                self._end_remedy(seat, *remedy, why=_why(error, seat.job), seconds=0.0)
            return False
        task = _Task(born, Errand(seat.transcript.buffer, born.nonce), remedy, self._loop.time())
        seat.tasks.append(task)
        for fd, source in born.outputs:
            self._intake.add(fd, (seat, task, source))
        self._loop.add_reader(born.end_fd, self._on_task_end, seat, task)
        return True

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
        if task.remedy:
            call, filled = task.remedy
            why = "" if status.code == 0 else f"{_failed_part(filled, task.errand.ended)}: {status}"
            self._end_remedy(seat, call, filled, why, self._loop.time() - task.since)
        elif seat.child and not seat.has_ended:  # after the stop command, the signal for those that it did not reach
            self._signal(seat, seat.job.stop.signal)

    def _end_remedy(self, seat: _Seat, call: Call, filled: Filled, why: str, seconds: float) -> None:
        name, epoch, fixup = seat.job.name, seat.run.epoch, call.fixup
        if why:
            self._say(seat, events.FixFailed(name, epoch, fixup.name, why))
        else:
            self._say(seat, events.Fixed(name, epoch, fixup.name, seconds, fixup.verify is not None))
        if fixup.then != "continue":
            self._step(seat, machine.Remedied(epoch, why))

    def _end_remedies(self, seat: _Seat) -> None:
        for task in seat.tasks:
            if task.remedy:
                self._signal_family(task.child, "KILL")

    # Orphans.

    def _reap_soon(self) -> None:
        """Who ends may leave orphans that end; and now and then somebody else's do, of which nobody tells us.

        SIGCHLD is of no use: a thousand of them fill the pipe by which the loop hears of signals, Ctrl+C among them.
        """
        if self._reaping:
            self._reaping.cancel()
        self._reaping = self._loop.call_later(REAP_LATER, self._reap_and_again)

    def _reap_and_again(self) -> None:
        self._reap()
        self._reaping = self._loop.call_later(REAP_EVERY, self._reap_and_again)

    def _reap(self) -> None:
        """Takes the status of what was re-parented to us and has ended; our own children are let go where they end."""
        if not self._is_alone or any(seat.fetching for seat in self._seats.values()):
            # Not everyone here is an orphan: the command that fetches a secret is waited for by its own thread.
            for pid in list(self._orphans):
                if child.reap(pid):
                    self._orphans.discard(pid)
            return
        known = {born.pid for seat in self._seats.values() for born in self._children(seat)}
        while (ended := child.ended()) is not None and ended not in known:
            child.reap(ended)
        if ended is not None:  # behind one of ours that is not let go yet there may be others
            for orphan in self._look().orphans(known):
                child.reap(orphan)

    @staticmethod
    def _children(seat: _Seat) -> list[child.Child]:
        return [task.child for task in seat.tasks] + ([seat.child] if seat.child else [])

    async def _end_all(self) -> int:
        """KILLs whatever is left of what we started; how many processes even that did not end."""
        until = self._loop.time() + CLOSE_MOST
        while True:
            look = census.take()
            left = look.below(os.getpid()) if self._is_alone else look.of_runner(self._world.runner)
            self._orphans |= left
            self._reap()
            has_tasks = any(seat.tasks for seat in self._seats.values())  # a stop command ends without an event
            if not (left or has_tasks) or self._loop.time() > until:
                return len(left)
            child.kill(left, child.number("KILL"))
            await asyncio.sleep(LOOK_AGAIN)


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
