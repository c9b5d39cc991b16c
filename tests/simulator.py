"""A world of random plans, children, probes and people on a clock of its own, in which the real rules decide.

`python -m tests.simulator SEED` tells what happens in the world of that seed, up to the promise that was broken.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator

from zap import machine, vitals
from zap.errors import ZapError
from zap.events import State, Status
from zap.flock import Effect, Flock, Turned
from zap.machine import After, AskToEnd, Call, EndTask, Heal, Kill, Ladder, Prepare, Run, Spawn, Tidy
from zap.plan import Backoff, Command, Health, Hooks, Job, Need, Ping, Probe, Ready, Restart, Sign, Stop, Until
from zap.vitals import Ask, Drop, Say

LINES = ("listening", "migrated")
PROBE = Probe(tcp="localhost:5432")
UP = (State.RUNNING, State.READY)


class Body:
    """What is true of a job outside: what the hands would see. `quick` is when children began that ended at once."""

    def __init__(self) -> None:
        self.spawning = 0  # the epoch that is to be born
        self.epoch = 0  # of the child that lives
        self.has_left = False
        self.is_killed = False
        self.since = 0.0
        self.task = ""
        self.is_task_cut = False
        self.probe = 0
        self.asked_at = 0.0
        self.said: set[str] = set()
        self.quick: deque[float] = deque(maxlen=machine.INSTANT_STARTS)

    @property
    def is_empty(self) -> bool:
        return not (self.spawning or self.epoch or self.has_left or self.task)


class World:
    """One plan, and what happens to it. AssertionError: a promise was broken."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.tell = tell
        self.now = 1000.0
        self.jobs = {job.name: job for job in plan(self.chance)}
        self.flock = Flock(self.jobs.values(), self.chance.random)
        self.names = list(self.jobs)
        self.bodies = {name: Body() for name in self.jobs}
        self.given = 0  # inputs
        self.is_wish = False  # of a person, what happens now
        self.is_brittle = self.chance.random() < 0.2  # whatever is born dies at once

    def live(self, inputs: int) -> None:
        """So many things happen; and then everything is to stop."""
        self._do(lambda: "start all", lambda: self.flock.start(self.names, self.now))
        while self.given < inputs:
            self.is_wish = self.chance.random() < (0.01 if self.is_brittle else 0.1)
            if self.is_wish:
                self._wish()
            else:
                self._happen()
        self._end()

    # What people want.

    def _wish(self) -> None:
        names = self.chance.sample(self.names, min(len(self.names), self.chance.choice((1, 1, 2, 99))))
        match self.chance.randrange(7):
            case 0 | 1 | 2:
                self._do(lambda: f"start {names}", lambda: self.flock.start(names, self.now))
            case 3:
                self._do(lambda: f"restart {names}", lambda: self.flock.restart(names, self.now))
            case 4:
                is_hurried = self.chance.random() < 0.2
                self._do(lambda: f"stop {names} {is_hurried}", lambda: self.flock.stop(names, is_hurried, self.now))
            case 5:
                self._fix(names[0])
            case 6:
                self._rewire(names[0])

    def _fix(self, name: str) -> None:
        call = Call("port-in-use", self.chance.choice(("restart", "give-up")), "the port is taken")
        self._do(lambda: f"fix {name}", lambda: self.flock.give(name, machine.Fix(call), self.now))

    def _rewire(self, name: str) -> None:
        """Needs come and go; never in a circle."""
        on = self.chance.choice(self.names)
        known = {need.job for need in self.flock.job(name).needs}
        need = None if on in known else some_need(self.chance, on)
        try:
            self._do(lambda: f"rewire {name} {need}", lambda: self.flock.rewire([name], on, need, self.now))
        except ZapError:
            assert on == name or need is None or name in reached(self.flock, on)

    # What happens.

    def _happen(self) -> None:
        if self.chance.random() < 0.003:  # the network is gone, or the disk is full
            for name in self.names:
                if self.bodies[name].epoch:
                    self._tell_fact("death", name, machine.Exited(self.bodies[name].epoch, Status(code=1)))
            return
        facts = list(self._facts_of(self.chance.choice(self.names)))
        if self.is_brittle:
            facts = [fact for fact in facts if fact[0] in ("birth", "death", "emptied", "task end")]
        if not facts or self.chance.random() < (0.02 if self.is_brittle else 0.3):
            self._pass_time()
        else:
            what, name, given = self.chance.choice(facts)
            self.now += 0.0 if self.is_brittle else self.chance.choice((0.0, 0.001, 0.2))
            self._tell_fact(what, name, given)
            if self.is_brittle and isinstance(given, machine.Spawned):
                self._tell_fact("death", name, machine.Exited(given.epoch, Status(code=self.chance.randrange(2))))

    def _pass_time(self) -> None:
        dues = [(due, name, kind) for name in self.jobs for due, kind in self._dues(name)]
        if not dues:
            self.now += 1.0
            self.given += 1
            return
        due, name, kind = min(dues)
        self.now = max(self.now, due)
        if kind == "machine":
            self._do(lambda: f"due {name}", lambda: self.flock.give(name, machine.Due(), self.now))
        else:
            heard = self.now - self.chance.choice((0.0, 5.0, 1000.0))
            self._do(lambda: f"tick {name}", lambda: self.flock.check(name, vitals.Tick(heard), self.now))

    def _dues(self, name: str) -> Iterator[tuple[float, str]]:
        if (due := self.flock.run(name).due) is not None:
            yield due, "machine"
        if (due := self.flock.vital_due(name)) is not None:
            yield due, "vitals"

    def _facts_of(self, name: str) -> Iterator[tuple[str, str, object]]:
        """What can happen to a job next."""
        body, epoch = self.bodies[name], self.flock.run(name).epoch
        if body.spawning:
            yield "birth", name, machine.Spawned(body.spawning)
            yield "failed birth", name, machine.NotSpawned(body.spawning, "no such file")
        if body.epoch:
            status = self.chance.choice((Status(code=0), Status(code=1), Status(signal="KILL")))
            call = Call("f", "restart", "it is known") if self.chance.random() < 0.1 else None
            yield "death", name, machine.Exited(epoch, status, self.chance.random() < 0.3, call=call)
            yield "line", name, self.chance.choice(LINES)
            is_ready, is_alive, is_in_trouble = (self.chance.random() < odds for odds in (0.3, 0.3, 0.05))
            notice = vitals.Noticed(is_ready, is_alive, is_in_trouble)
            yield "notice", name, notice
        if body.has_left:
            yield "emptied", name, machine.Emptied(epoch)
        if (body.epoch or body.has_left) and self.chance.random() < 0.1:
            yield "called", name, machine.Called(epoch, Call("f", "restart", "it is known"))
        if body.task:
            yield "task end", name, machine.TaskEnded(epoch, self.chance.choice(("", "", "exit 1")))
        if body.probe:
            yield "answer", name, vitals.Answered(body.probe, self.chance.random() < 0.6, "refused")

    def _tell_fact(self, what: str, name: str, given: object) -> None:
        body = self.bodies[name]
        match given:
            case machine.Spawned(epoch):
                body.spawning, body.epoch, body.since, body.said = 0, epoch, self.now, set()
            case machine.NotSpawned():
                body.spawning = 0
                body.quick.append(self.now)
            case machine.Exited(has_left=has_left):
                body.epoch, body.has_left = 0, has_left
            case machine.Emptied():
                body.has_left = False
            case machine.TaskEnded(epoch):
                body.task = ""
                if body.is_task_cut:
                    given = machine.TaskEnded(epoch, "killed by KILL")
            case vitals.Answered():
                body.probe = 0
        if isinstance(given, str):
            if given in self.flock.signs(name):
                body.said.add(given)
                self._do(lambda: f"{what} {name} {given}", lambda: self.flock.hear(name, given, self.now))
        elif isinstance(given, vitals.Answered | vitals.Noticed):
            self._do(lambda: f"{what} {name}", lambda: self.flock.check(name, given, self.now))
        else:
            self._do(lambda: f"{what} {name} {given}", lambda: self.flock.give(name, given, self.now))  # type: ignore[arg-type]

    # What follows, and whether it may.

    def _do(self, what: Callable[[], str], do: Callable[[], list[Effect]]) -> None:
        self.given += 1
        if self.tell:
            self.tell(f"{self.now:10.3f}  {what()}")
        effects = do()
        for name, effect in effects:
            if self.tell:
                self.tell(f"{'':12}  → {name}: {effect}")
            self._follow(name, effect)
        touched = {name for name, _ in effects}
        for name in self.names:
            needed = [need.job for need in self.flock.job(name).needs]
            if self.given % 50 == 0 or not touched.isdisjoint([name, *needed]):
                self._check(name)

    def _follow(self, name: str, effect: object) -> None:
        body, job = self.bodies[name], self.flock.job(name)
        match effect:
            case Turned(old, new):
                if new.state is State.STARTING and old.state is not State.STARTING:
                    self._may_start(name, old, new)
                if self.is_wish:  # whoever wants something has reasons
                    body.quick.clear()
                elif old.state in UP and new.state not in UP:
                    if self.now - body.since >= machine.INSTANT:
                        body.quick.clear()
                    else:
                        body.quick.append(body.since)
                if old.state is State.BACKOFF and new.state is not State.BACKOFF:
                    self._may_try_again(body)
                if new.state.is_rest or (old.after is After.START and new.state is not old.state):
                    body.quick.clear()  # somebody wanted that
            case Spawn(epoch):
                assert body.is_empty, "two children"
                body.spawning = epoch
            case Prepare() | Heal() | Tidy():
                assert body.is_empty, "a task beside a child"
                body.task, body.is_task_cut = type(effect).__name__, False
            case EndTask():
                assert body.task and not body.is_task_cut, "no task to end"
                body.is_task_cut = True
            case AskToEnd(rung):
                assert body.epoch or body.has_left, "nobody to ask"
                body.asked_at = self.now if rung == 0 else body.asked_at
                if self.is_wish and rung == 0 and body.epoch:
                    assert not leavers(self, name), "asked before those who need it have ended"
            case Kill():
                assert body.epoch or body.has_left, "nobody to kill"
                is_late = self.now >= body.asked_at + job.grace - 1e-6
                assert is_late or self.flock.run(name).is_hurried, "killed before its grace was over"
                body.is_killed = True
            case Ask(asked):
                assert not body.probe, "two probes at once"
                assert body.epoch, "a probe of nobody"
                body.probe = asked
            case Drop():
                assert body.probe, "no probe to drop"
                body.probe = 0
            case Say():
                assert body.epoch, "nobody to ping"

    def _may_start(self, name: str, old: Run, new: Run) -> None:
        job, body = self.flock.job(name), self.bodies[name]
        assert not job.needs or old.state is State.WAITING, "it has not waited"
        assert may_start(self, name), "it starts before its needs"
        body.is_killed = False

    def _may_try_again(self, body: Body) -> None:
        if len(body.quick) == machine.INSTANT_STARTS:
            assert self.now >= body.quick[0] + machine.MINUTE, "too many starts that end at once"

    def _check(self, name: str) -> None:
        run, body, job = self.flock.run(name), self.bodies[name], self.flock.job(name)
        if run.state.is_rest or run.state is State.WAITING:
            assert run.due is None, "a timer at rest"
            assert self.flock.vital_due(name) is None, "a vital timer at rest"
            assert body.is_empty and not body.probe, f"{run.state} beside something that lives"
        if run.state in UP:
            assert body.epoch, f"{run.state} without a child"
        else:
            assert not body.probe, "a probe outlives its run"
        if run.state is State.WAITING:
            assert not may_start(self, name), "it waits for nobody"
            if job.when_need_fails != "wait":
                assert not any(is_lost(self, need) for need in job.needs), "it waits in vain"
        if run.state is State.STOPPING and run.ladder is Ladder.HELD:
            assert leavers(self, name), "held by nobody"
        if job.tries is not None and run.state is not State.STOPPED:
            assert run.failures <= job.tries

    def _end(self) -> None:
        """A wish to stop always ends in stopped, whatever has happened, and in time."""
        names = self.names
        self.is_wish = True
        self._do(lambda: "stop all", lambda: self.flock.stop(names, False, self.now))
        self.is_wish = False
        until = self.now + sum(3 * job.grace + machine.TASK_MOST for job in self.jobs.values())
        while not all(self.flock.run(name).state.is_rest for name in names):
            assert self.now < until, "it does not end"
            owed = [fact for name in names for fact in self._facts_of(name) if self._is_owed(*fact)]
            if owed and self.chance.random() < 0.7:
                self._tell_fact(*self.chance.choice(owed))
            else:
                self._pass_time()
        for name in names:
            state = self.flock.run(name).state
            assert state is State.STOPPED or state in (State.DONE, State.FAILED)

    def _is_owed(self, what: str, name: str, _: object) -> bool:
        """What must come: what was begun, or killed, comes to its end."""
        body = self.bodies[name]
        return what in ("birth", "failed birth", "task end") or (what in ("death", "emptied") and body.is_killed)


# The same questions, answered slowly, from what is true outside.


def met(world: World, need: Need) -> bool:
    state = world.flock.run(need.job).state
    if need.until == "line":
        return need.line in world.bodies[need.job].said and state in (*UP, State.DONE)
    if need.until == "ended":
        return state is State.DONE or state is State.FAILED
    if state is State.DONE:
        return True
    return (state in UP and need.until == "started") or (state is State.READY and need.until == "ready")


def may_start(world: World, name: str) -> bool:
    for need in world.flock.job(name).needs:
        is_on_its_way = world.flock.run(need.job).state not in (State.STOPPED, State.DONE, State.FAILED)
        if not met(world, need) and (is_on_its_way or not need.is_optional):
            return False
    return True


def is_lost(world: World, need: Need) -> bool:
    state = world.flock.run(need.job).state
    return not need.is_optional and state in (State.STOPPED, State.DONE, State.FAILED) and not met(world, need)


def leavers(world: World, name: str) -> list[str]:
    found = []
    for other in world.jobs:
        run = world.flock.run(other)
        is_down = run.state in (State.STOPPED, State.DONE, State.FAILED)
        if run.state is State.STOPPING or (not is_down and not run.is_wanted):
            needs = [need.until for need in world.flock.job(other).needs if need.job == name]
            found += [other for until in needs if until not in ("done", "ended")]
    return found


def reached(flock: Flock, name: str) -> set[str]:
    """Whom it needs, and whom those need."""
    found = {name}
    queue = [name]
    while queue:
        for need in flock.job(queue.pop()).needs:
            if need.job not in found:
                found.add(need.job)
                queue.append(need.job)
    return found


# Random plans.


def plan(chance: random.Random) -> list[Job]:
    names = [f"s/{number}" for number in range(chance.randrange(1, 16))]
    jobs = [some_job(chance, name, names[:number]) for number, name in enumerate(names)]
    if chance.random() < 0.3:  # a flock of loners, that never give up
        always: tuple[Restart, ...] = ("on-failure", "always")
        return [job._replace(needs=(), tries=None, restart=chance.choice(always), ready=Ready()) for job in jobs]
    return jobs


def some_job(chance: random.Random, name: str, others: list[str]) -> Job:
    """It needs only jobs before it, so that there are no circles."""
    needed = chance.sample(others, min(len(others), chance.choice((0, 0, 1, 1, 2, 4))))
    signs: tuple[Sign, ...] = ("settle", "settle", "exit", "line", "notify", "probe")
    sign = chance.choice(signs)
    ready = Ready(
        by=sign,
        line=chance.choice(LINES) if sign == "line" else None,
        probe=PROBE if sign == "probe" else None,
        passes=chance.choice((1, 3)),
        within=chance.choice((None, None, 20.0)),
    )
    hooks = [chance.choice((None, None, None, "true")) for _ in range(4)]
    keys = chance.choice((None, None, "q"))
    return Job(
        name=name,
        title=name,
        commands=(Command("work"),),
        cwd="/",
        restart=chance.choice(("never", "on-failure", "always")),
        settle=chance.choice((0.0, 1.0, 5.0)),
        grace=chance.choice((0.0, 1.0, 10.0)),
        tries=chance.choice((None, 1, 3)),
        backoff=Backoff(chance.choice((0.0, 0.1, 1.0)), 2.0, 8.0, 0.1),
        success_codes=chance.choice(((0,), (0, 1))),
        stop=Stop(chance.choice((("TERM",), ("INT", "TERM"))), keys=keys),
        needs=tuple(some_need(chance, other) for other in needed),
        when_need_fails=chance.choice(("wait", "wait", "skip", "stop")),
        ready=ready,
        health=chance.choice((None, Health(PROBE, 2.0, 1.0, 2))),
        ping=chance.choice((None, None, Ping(30.0, command="ping"), Ping(30.0, send="hello"))),
        watchdog=chance.choice((None, None, 15.0)),
        hooks=Hooks(*hooks),
    )


def some_need(chance: random.Random, on: str) -> Need:
    conditions: tuple[Until, ...] = ("started", "ready", "ready", "done", "ended", "line")
    until = chance.choice(conditions)
    line = chance.choice(LINES) if until == "line" else None
    return Need(on, until, line, is_optional=chance.random() < 0.2, follow=chance.random() < 0.3)


def main(seed: int, inputs: int) -> None:
    World(seed, print).live(inputs)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
