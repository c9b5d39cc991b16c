"""All jobs of a plan together: an input for one of them → what follows for it, for who needs it, and for whom it needs.

The rules of one job are the machine's and the vitals'; here they meet. Nothing acts and no clock is looked at: what
comes out is a list of effects, which whoever calls must carry out in order before the next input.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from zap import graph, machine, vitals
from zap.errors import ZapError
from zap.events import Fact, State, Stormed, Waits
from zap.machine import Ladder, Run
from zap.plan import Job, Need
from zap.storm import WINDOW, Storm
from zap.vitals import Vitals

NEEDS_LIFE = ("started", "ready", "line")  # whom is needed so stays until those who need it have ended


class Turned(NamedTuple):
    """The job's run was `before` and is `after` now."""

    before: Run
    after: Run


Effect = tuple[str, Turned | machine.Action | vitals.Action | Fact]
"""The job that it is about, and what: its run is another one, something is to be done, something is to be told."""


class Known(NamedTuple):
    """Of one job. `said` are the lines of its last child that meant something, `followed` whom it goes down with."""

    run: Run
    vitals: Vitals
    said: tuple[str, ...]
    followed: tuple[str, ...]
    waits: Waits


class _Life:
    """One job: its settings as they are now, and what is known of it."""

    __slots__ = ("followed", "job", "run", "said", "vitals", "waits")

    def __init__(self, job: Job, seed: float) -> None:
        self.job = job
        self.run = Run(seed=seed)
        self.vitals = Vitals()
        self.said: set[str] = set()  # the lines that others need or that make it ready, by pattern, of its last child
        self.followed: set[str] = set()  # of whom it follows, those who were there since it lives
        self.waits = Waits(job.name, 0)  # as it was told last

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for what will not happen by itself."""
        return self.run.state is State.WAITING and any(lack.is_hopeless for lack in self.waits.lacks)


class Flock:
    """The runs of a plan. `chance` gives each job its share of chance, from 0 to 1, for jitter."""

    def __init__(self, jobs: Iterable[Job], chance: Callable[[], float]) -> None:
        self._chance = chance
        self._lives = {job.name: _Life(job, chance()) for job in jobs}
        self._dependents: dict[str, list[str]] = {}
        self._storm = Storm()
        self._touched: deque[str] = deque()
        self._effects: list[Effect] = []
        self._connect()

    def run(self, name: str) -> Run:
        return self._lives[name].run

    def known(self, name: str) -> Known:
        """What another flock needs to go on with this job."""
        life = self._lives[name]
        return Known(life.run, life.vitals, tuple(sorted(life.said)), tuple(sorted(life.followed)), life.waits)

    def restore(self, name: str, known: Known) -> None:
        """Go on with the job where another flock was. Nothing follows from it: that was told there."""
        life = self._lives[name]
        life.run, life.vitals, life.waits = known.run, known.vitals, known.waits
        life.said, life.followed = set(known.said), set(known.followed)

    def job(self, name: str) -> Job:
        return self._lives[name].job

    def is_needed(self, name: str) -> bool:
        return bool(self._dependents[name])

    def vital_due(self, name: str) -> float | None:
        """When the job's vitals want a Tick."""
        return self._lives[name].vitals.due

    def signs(self, name: str) -> tuple[str, ...]:
        """The patterns of lines that mean something to somebody when this job prints them."""
        life = self._lives[name]
        lines = [life.job.ready.line, *(need.line for need in self._needs_of(name))]
        return tuple(dict.fromkeys(line for line in lines if line is not None))

    def is_stormy(self, now: float) -> bool:
        return self._storm.is_on(now)

    # What people want. Each answers with what follows, in order.

    def start(self, names: Iterable[str], now: float) -> list[Effect]:
        """Up, with whom they need, in order."""
        names = set(names)
        for name in graph.in_order(self._jobs, names | self._pulled(names)):
            self._give(name, machine.Start(), now)
        return self._settled(now)

    def stop(self, names: Iterable[str], is_hurried: bool, now: float) -> list[Effect]:
        """Down, in order."""
        self._bring_down(set(names), partial(machine.Stop, is_hurried), now)
        return self._settled(now)

    def restart(self, names: Iterable[str], now: float) -> list[Effect]:
        """Down and up again, in order."""
        names = set(names)
        self._bring_down(names, machine.Restart, now)
        self._pull(names, now)
        return self._settled(now)

    def rewire(self, names: Iterable[str], on: str, need: Need | None, now: float) -> list[Effect]:
        """From now on these jobs need `on` so, or not at all. ZapError: they would wait in a circle, or not for it."""
        changed: dict[str, tuple[Need, ...]] = {}
        for name in names:
            needs = self._lives[name].job.needs
            others = tuple(known for known in needs if known.job != on)
            if need is None and len(others) == len(needs):
                raise ZapError(f"{name} does not need {on}")
            changed[name] = others if need is None else (*others, need)
        all_needs = {name: changed.get(name, life.job.needs) for name, life in self._lives.items()}
        circle = graph.circle({name: [need.job for need in needs] for name, needs in all_needs.items()})
        if circle:
            raise ZapError(f"the needs would go in a circle: {' → '.join(circle)}")
        for name, needs in changed.items():
            self._lives[name].job = self._lives[name].job._replace(needs=needs)
            self._touched.append(name)
        self._touched.append(on)
        self._connect()
        return self._settled(now)

    # What happens.

    def give(self, name: str, given: machine.Input, now: float) -> list[Effect]:
        """An input for the job's machine."""
        self._give(name, given, now)
        if isinstance(given, machine.Fix):  # who is wanted fixed is wanted up
            self._pull({name}, now)
        return self._settled(now)

    def check(self, name: str, given: vitals.Input, now: float) -> list[Effect]:
        """An input for the job's vitals."""
        self._check(name, given, now)
        return self._settled(now)

    def hear(self, name: str, sign: str, now: float) -> list[Effect]:
        """The job has printed a line that this pattern matches: one of its signs."""
        life = self._lives[name]
        life.said.add(sign)
        self._touched.append(name)
        if sign == life.job.ready.line:
            self._check(name, vitals.Heard(), now)
        return self._settled(now)

    # The plan changes.

    def put(self, jobs: Iterable[Job], now: float) -> list[Effect]:
        """Jobs that are new, or that go on with other settings."""
        for job in jobs:
            if job.name in self._lives:
                self._adapt(self._lives[job.name], job, now)
            else:
                self._lives[job.name] = _Life(job, self._chance())
        self._touched += self._lives  # also those whom nobody needs any more
        self._connect()
        return self._settled(now)

    def remove(self, name: str) -> None:
        """A job at rest that nobody needs any more."""
        del self._lives[name]
        self._connect()

    # Behind the doors.

    @property
    def _jobs(self) -> Mapping[str, Job]:
        return {name: life.job for name, life in self._lives.items()}

    def _connect(self) -> None:
        self._dependents = {name: [] for name in self._lives}
        for name, life in self._lives.items():
            life.followed &= {need.job for need in life.job.needs if need.follow}
            for need in life.job.needs:
                self._dependents[need.job].append(name)

    def _needs_of(self, name: str) -> list[Need]:
        """How others need this job."""
        return [need for other in self._dependents[name] for need in self._lives[other].job.needs if need.job == name]

    def _pulled(self, names: set[str]) -> set[str]:
        """Whom these jobs need, and who has to be started for that, and whom those need in turn."""
        edges = {
            name: [need.job for need in life.job.needs if not (need.is_optional or self._is_met(need))]
            for name, life in self._lives.items()
        }
        return {name for name in graph.reach(edges, names) - names if not graph.is_coming(self._lives[name].run)}

    def _pull(self, names: set[str], now: float) -> None:
        """Those whom these need come up, in order."""
        for name in graph.in_order(self._jobs, self._pulled(names)):
            self._give(name, machine.Start(), now)

    def _is_met(self, need: Need) -> bool:
        needed = self._lives[need.job]
        return graph.is_met(need, needed.run, needed.said)

    def _followers(self, names: set[str]) -> set[str]:
        """Who lives and goes down with these jobs, or with others who do. With one that is at rest nobody does."""
        edges = {
            name: [other for other in dependents if name in self._lives[other].followed]
            for name, dependents in self._dependents.items()
            if not self._lives[name].run.state.is_rest
        }
        found = graph.reach(edges, names) - names
        return {name for name in found if self._lives[name].run.state in graph.LIVING}

    def _adapt(self, life: _Life, job: Job, now: float) -> None:
        """To other settings: what is asked of a job that is ready is asked anew, by these."""
        before, life.job = life.job, job
        if life.run.state is State.READY and (before.health, before.ping) != (job.health, job.ping):
            self._check(job.name, vitals.Readied(), now)

    def _bring_down(self, names: set[str], wish: Callable[[bool], machine.Input], now: float) -> None:
        """These, and with them who follows them; those first who need others. `wish` is told who is held by that."""
        going = names | self._followers(names)
        for name in reversed(graph.in_order(self._jobs, going)):
            is_held = bool(self._leavers(name))
            if name in names:
                self._give(name, wish(is_held), now)
            else:
                gone = min(self._lives[name].followed & going)
                self._give(name, machine.Restart(is_held, f"it follows {gone}"), now)

    def _leavers(self, name: str) -> tuple[str, ...]:
        """Who needs this job alive, and is on its way down."""
        return tuple(
            other
            for other in self._dependents[name]
            if graph.is_leaving(self._lives[other].run)
            and any(need.job == name and need.until in NEEDS_LIFE for need in self._lives[other].job.needs)
        )

    def _give(self, name: str, given: machine.Input, now: float) -> None:
        life = self._lives[name]
        before = life.run
        if isinstance(given, machine.Exited):
            given = given._replace(spread=self._count(life, given, now))
        life.run, actions = machine.step(before, given, life.job, now)
        after = life.run
        if after == before and not actions:
            return
        if isinstance(given, machine.Spawned):
            life.said.clear()
        self._effects.append((name, Turned(before, after)))
        self._effects += [(name, action) for action in actions]
        self._touched.append(name)
        if after.state is before.state:
            return
        life.waits = Waits(name, 0)
        if after.state is State.STARTING:
            life.followed = {need.job for need in life.job.needs if need.follow and self._is_met(need)}
        elif after.state is State.RUNNING:
            self._check(name, vitals.Began(after.epoch), now)
        elif after.state is State.READY:
            self._check(name, vitals.Readied(), now)
        elif before.state in graph.LIVING:
            self._check(name, vitals.Left(), now)

    def _check(self, name: str, given: vitals.Input, now: float) -> None:
        life = self._lives[name]
        life.vitals, outcome = vitals.step(life.vitals, given, life.job, now)
        for what in outcome:
            if isinstance(what, machine.Passed | machine.Unwell):
                self._give(name, what, now)
            else:
                self._effects.append((name, what))

    def _count(self, life: _Life, exited: machine.Exited, now: float) -> float:
        """How many seconds the job's next start shall give way to others that have failed as well."""
        run = life.run
        is_failure = run.state in graph.LIVING and exited.status.code not in life.job.success_codes
        if not is_failure or exited.epoch != run.epoch:
            return 0.0
        living = sum(other.run.state in graph.LIVING for other in self._lives.values())
        spread, jobs = self._storm.count(life.job.name, living, now)
        if jobs:
            self._effects.append((life.job.name, Stormed(jobs, WINDOW)))
        return spread

    def _settled(self, now: float) -> list[Effect]:
        """Until nothing follows from anything any more."""
        while self._touched:
            name = self._touched.popleft()
            if name in self._lives:
                life = self._lives[name]
                for other in (name, *self._dependents[name], *(need.job for need in life.job.needs)):
                    self._consider(self._lives[other], now)
        effects, self._effects = self._effects, []
        return effects

    def _consider(self, life: _Life, now: float) -> None:
        """What follows for a job from how those are whom it needs, or who need it."""
        run, job = life.run, life.job
        if run.state is State.WAITING:
            self._consider_waiting(life, now)
        elif run.state is State.STOPPING and run.ladder is Ladder.HELD:
            leavers = self._leavers(job.name)
            if leavers:
                self._tell_waits(life, Waits(job.name, run.epoch, leavers=leavers))
            else:
                self._give(job.name, machine.Go(), now)
        elif run.state in graph.LIVING:
            self._consider_living(life, now)

    def _consider_waiting(self, life: _Life, now: float) -> None:
        job = life.job
        needed = ((need, self._lives[need.job]) for need in job.needs)
        lacks = tuple(lack for need, other in needed if (lack := graph.lack(need, other.run, other.said)))
        hopeless = next((lack for lack in lacks if lack.is_hopeless), None)
        if not lacks:
            self._give(job.name, machine.Go(), now)
        elif hopeless and job.when_need_fails != "wait":
            state = self._lives[hopeless.job].run.state
            self._give(job.name, machine.Skip(f"skipped, because {hopeless.job} is {state}"), now)
        else:  # whoever waits in vain keeps others waiting in vain
            lacks = tuple(lack._replace(is_hopeless=True) if self._lives[lack.job].is_stuck else lack for lack in lacks)
            self._tell_waits(life, Waits(job.name, life.run.epoch, lacks))

    def _consider_living(self, life: _Life, now: float) -> None:
        name, job = life.job.name, life.job
        for need in job.needs:
            if self._is_met(need):
                if need.follow:
                    life.followed.add(need.job)
                continue
            has_failed = self._lives[need.job].run.state is State.FAILED and not need.is_optional
            if has_failed and job.when_need_fails == "stop":
                self._bring_down({name}, partial(machine.Stop, False, why=f"{need.job} is failed"), now)
                return
            if need.job in life.followed:
                self._bring_down({name}, partial(machine.Restart, why=f"it follows {need.job}"), now)
                return

    def _tell_waits(self, life: _Life, waits: Waits) -> None:
        if waits != life.waits:
            life.waits = waits
            self._effects.append((life.job.name, waits))
            self._touched.append(life.job.name)
