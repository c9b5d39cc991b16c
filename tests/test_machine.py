"""The table is total, and in a world that tells it the truth it never breaks a promise: walked exhaustively."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple
from unittest.mock import patch

import pytest

from zap import machine, plan
from zap.events import State, Status
from zap.machine import (
    INSTANT_STARTS,
    KILL_AGAIN,
    MINUTE,
    PATIENCE,
    TABLE,
    TASK_MOST,
    After,
    AskToEnd,
    Call,
    Called,
    Due,
    Emptied,
    EndTask,
    Exited,
    Fix,
    Go,
    Heal,
    Impossible,
    Kill,
    Ladder,
    NotSpawned,
    Passed,
    Prepare,
    Restart,
    Run,
    Skip,
    Spawn,
    Spawned,
    Start,
    Stop,
    TaskEnded,
    Tidy,
    Unwell,
    step,
)
from zap.plan import Backoff, Command, Health, Hooks, Job, Need, Probe, Ready

JOB = Job("web/api", "api", (Command("run"),), "/")
CALL = Call("port-in-use", "restart", "the port is taken")
TELL = Call("give-it-up", "give-up", "it cannot be helped")
BEFORE = Hooks(before_start="make ready")
CLEAN_UP = Hooks(after_stop="make clean")
ATTENTIVE = Health(Probe(tcp="localhost:80"))
WISHES: tuple[machine.Input, ...] = (
    Start(),
    Stop(),
    Stop(is_held=True),
    Stop(is_hurried=True),
    Restart(),
    Restart(is_held=True),
    Fix(CALL),
    Fix(TELL),
)


def facts(epoch: int) -> tuple[machine.Input, ...]:
    """What is told of a child, and of what runs around its life."""
    return (
        Spawned(epoch),
        NotSpawned(epoch, "no such file"),
        Passed(epoch),
        Unwell(epoch, "it does not answer"),
        Called(epoch, CALL),
        Exited(epoch, Status(code=0)),
        Emptied(epoch),
        TaskEnded(epoch),
    )


FACTS = facts(1)
STALE = facts(0)
INPUTS = (*WISHES, *FACTS, Go(), Skip("skipped"), Due())
FEW = 2  # instant starts a minute, where all places are walked: the second is like the tenth
LONG = 100.0  # seconds; longer than an instant and than a minute


def job(**settings: object) -> Job:
    return JOB._replace(**settings)  # type: ignore[arg-type]


class World(NamedTuple):
    """What is true outside: what the hands would tell, and what they must not be asked for.

    `task` is what runs beside a job that does not live; `is_cut` when it was ended.
    """

    is_spawning: bool = False
    has_child: bool = False  # the shell lives
    has_left: bool = False  # the shell has ended, its family has not
    task: type | None = None
    is_cut: bool = False


class Place(NamedTuple):
    run: Run
    world: World


Happening = tuple[machine.Input, World]
Places = Mapping[Place, set[tuple[type, Place]]]


def happenings(place: Place, setting: Job) -> Iterator[Happening]:
    """Everything that can happen next, and what is true after it."""
    yield from ((wish, place.world) for wish in WISHES)
    yield from _on_the_way(place)
    yield from _of_the_child(place, setting)


def _on_the_way(place: Place) -> Iterator[Happening]:
    run, world = place
    if run.due is not None:
        yield Due(), world
    if run.state is State.WAITING or (run.state is State.STOPPING and run.ladder is Ladder.HELD):
        yield Go(), world
    if run.state is State.WAITING:
        yield Skip("skipped"), world
    if world.is_spawning:
        yield Spawned(run.epoch), world._replace(is_spawning=False, has_child=True)
        yield NotSpawned(run.epoch, "no such file"), world._replace(is_spawning=False)
    if world.task:
        ended = world._replace(task=None, is_cut=False)
        yield TaskEnded(run.epoch), ended  # also a moment before it was to be ended
        yield TaskEnded(run.epoch, "killed by KILL" if world.is_cut else "exit 1"), ended


def _of_the_child(place: Place, setting: Job) -> Iterator[Happening]:
    run, world = place
    if world.has_child:
        for status in (Status(code=0), Status(code=1), Status(signal="KILL")):
            for call in (None, CALL):
                gone = world._replace(has_child=False)
                yield Exited(run.epoch, status, call=call), gone
                yield Exited(run.epoch, status, has_left=True, call=call), gone._replace(has_left=True)
    if world.has_child and run.state in (State.RUNNING, State.READY):
        if setting.ready.by not in ("settle", "exit"):
            yield Passed(run.epoch), world
        if setting.health:
            yield Unwell(run.epoch, "it does not answer"), world
    if world.has_child or world.has_left:
        yield Called(run.epoch, CALL), world
        yield Called(run.epoch, TELL), world
    if world.has_left:
        yield Emptied(run.epoch), world._replace(has_left=False)


def times(run: Run, given: machine.Input) -> tuple[float, ...]:
    """When it can happen, as far as that makes a difference."""
    is_told_apart = isinstance(given, Exited | NotSpawned | TaskEnded)
    return (run.since + machine.INSTANT / 2, run.since + LONG) if is_told_apart else (run.since + LONG,)


def after(run: Run, world: World, given: machine.Input, actions: tuple[machine.Action, ...]) -> World:
    for action in actions:
        match action:
            case Spawn():
                assert world == World(), f"a second child beside {world}"
                world = world._replace(is_spawning=True)
            case Heal() | Prepare() | Tidy():
                assert world == World(), f"{action} beside {world}"
                world = world._replace(task=type(action))
            case AskToEnd():
                assert world.has_child or world.has_left, "nobody to ask"
                assert not run.is_hurried, "a hurried stop waits"
            case Kill():
                assert world.has_child or world.has_left, "nobody to kill"
                assert run.is_hurried or isinstance(given, Due), "killed before the time for that"
            case EndTask():
                assert world.task and not world.is_cut, "no task to end"
                world = world._replace(is_cut=True)
    return world


def known(run: Run, setting: Job) -> Run:
    """A run as far as rules can tell it from another: numbers that only grow are taken out, and words."""
    status = run.exit and Status(code=0 if run.exit.code in setting.success_codes else 7)
    return run._replace(
        epoch=1,
        exit_epoch=0,
        exit=status,
        since=0.0,
        due=None if run.due is None else 0.0,
        quick=(0.0,) * len(run.quick),
        why="because" if run.why else "",
    )


def check(place: Place, setting: Job) -> None:
    run, world = place
    assert run.is_busy == (world.task is not None)
    is_timeless = run.ladder is Ladder.HELD or world.is_cut
    match run.state:
        case State.STOPPED | State.DONE | State.FAILED:
            assert run.due is None, "a timer at rest"
            assert world == World(), f"at rest beside {world}"
            assert not run.is_wanted or run.state is not State.STOPPED
            assert run.why or run.state is not State.FAILED
        case State.WAITING:
            assert setting.needs, "it waits for nobody"
            assert run.is_wanted
            assert run.due is None
            assert world == World()
        case State.STARTING:
            assert world in (World(is_spawning=True), World(task=Prepare), World(task=Prepare, is_cut=True))
        case State.RUNNING:
            assert world == World(has_child=True)
            assert (run.due is not None) == (setting.ready.by == "settle")
        case State.READY:
            assert world == World(has_child=True)
        case State.STOPPING:
            assert (run.due is None) == is_timeless, "stopping for ever, or sooner than it may"
            assert world.has_child or world.has_left or world.task is Tidy
        case State.FIXING:
            assert world.task is Heal
            assert run.call is not None
        case State.BACKOFF:
            assert run.due is not None, "backoff for ever"
            assert world == World()
    if setting.tries is not None and (setting.restart != "never" or setting.health):
        assert run.failures <= setting.tries


def check_the_stale(place: Place) -> None:
    """What an earlier child does is no news, wherever this one is."""
    for fact in STALE:
        assert step(place.run, fact, JOB, LONG) == (place.run, ())


@cache
def walk(setting: Job) -> Places:
    """Every place that can be reached, with the inputs that lead on from it."""
    places: dict[Place, set[tuple[type, Place]]] = {}
    queue = [Place(known(Run(), setting), World())]
    with patch.object(machine, "INSTANT_STARTS", FEW):
        while queue:
            place = queue.pop()
            if place in places:
                continue
            check(place, setting)
            check_the_stale(place)
            onward = places[place] = set()
            for given, world in happenings(place, setting):
                for now in times(place.run, given):
                    run, actions = step(place.run, given, setting, now)
                    onward.add((type(given), Place(known(run, setting), after(run, world, given, actions))))
            queue += [reached for _, reached in onward]
    return places


def reaching(places: Places, within: set[Place], goal: set[Place]) -> set[Place]:
    """Those from which the goal can be come to."""
    sources: dict[Place, list[Place]] = {}
    for place in within:
        for _, reached in places[place]:
            sources.setdefault(reached, []).append(place)
    found: set[Place] = set()
    queue = list(goal)
    while queue:
        place = queue.pop()
        if place not in found:
            found.add(place)
            queue += sources.get(place, [])
    return found


NOT_BY_ITSELF = {type(wish) for wish in WISHES}
RICH = JOB._replace(
    needs=(Need("db/main"),),
    hooks=Hooks("make ready", "note", "note", "make clean"),
    stop=plan.Stop(("INT", "TERM"), keys="q"),
    ready=Ready(by="notify"),
    health=ATTENTIVE,
)
SETTINGS = {
    **{
        f"{restart}-{tries}-{codes}": job(restart=restart, tries=tries, success_codes=codes)
        for restart in ("never", "on-failure", "always")
        for tries in (1, 3)
        for codes in ((0,), (0, 1))
    },
    "needs": job(restart="on-failure", tries=1, needs=RICH.needs),
    "hooks": job(restart="always", tries=1, hooks=RICH.hooks),
    "rungs": job(stop=RICH.stop),
    "line": job(ready=Ready(by="line", line="listening")),
    "exit": job(ready=Ready(by="exit")),
    "health": job(health=ATTENTIVE, tries=3),
    "rich-never": RICH._replace(tries=1),
    "rich-always": RICH._replace(tries=1, restart="always"),
    "rich-on-failure": RICH._replace(tries=3, restart="on-failure"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_no_true_fact_breaks_a_promise(name: str) -> None:
    setting = SETTINGS[name]
    states = {place.run.state for place in walk(setting)}
    never = {State.DONE} if setting.restart == "always" else set()
    never |= set() if setting.needs else {State.WAITING}
    never |= {State.READY} if setting.ready.by == "exit" else set()
    assert states == set(State) - never


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wish_to_stop_always_ends_in_rest(name: str) -> None:
    """From wherever one says stop, whatever else happens but a person's wish, it comes to rest and stays there."""
    places = walk(SETTINGS[name])
    queue = [reached for onward in places.values() for given, reached in onward if given is Stop]
    seen: set[Place] = set()
    while queue:
        place = queue.pop()
        if place not in seen:
            seen.add(place)
            queue += [reached for given, reached in places[place] if given not in NOT_BY_ITSELF]
    assert not any(place.run.is_wanted for place in seen)
    on_their_way = {place.run.state for place in seen if not place.run.state.is_rest}
    assert on_their_way <= {State.STARTING, State.STOPPING, State.FIXING}
    assert all(place.world.is_cut for place in seen if place.world.task in (Prepare, Heal))
    # Everything that the world still owes (an end, a KILL that works) leads to rest: no place without a way there.
    assert reaching(places, seen, {place for place in seen if place.run.state.is_rest}) >= seen


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wish_to_fix_always_ends_in_the_remedy(name: str) -> None:
    """From wherever a job can be fixed, whatever else happens but a person's wish, its remedy is what runs next."""
    places = walk(SETTINGS[name])
    cannot = (State.STARTING, State.FIXING)
    for place, onward in places.items():
        if place.run.state in cannot:
            assert {reached for given, reached in onward if given is Fix} == {place}
    able = [place for place in places if place.run.state not in cannot]
    queue = [reached for place in able for given, reached in places[place] if given is Fix]
    seen: set[Place] = set()
    while queue:
        place = queue.pop()
        if place in seen:
            continue
        seen.add(place)
        assert place.run.is_wanted
        if place.run.state is State.FIXING:
            assert place.world == World(task=Heal)
            continue
        assert (place.run.state, place.run.after) == (State.STOPPING, After.FIX)
        queue += [reached for given, reached in places[place] if given not in NOT_BY_ITSELF]
    assert reaching(places, seen, {place for place in seen if place.run.state is State.FIXING}) >= seen
    assert {place.run.call for place in seen} == {CALL, TELL}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("given", INPUTS, ids=lambda it: type(it).__name__)
def test_every_state_answers_every_input(state: State, given: machine.Input) -> None:
    rule = TABLE[state, type(given)]
    run = Run(state, is_wanted=True, epoch=1, due=5.0, call=CALL)
    if rule is machine.impossible:
        with pytest.raises(Impossible, match=f"{state} cannot meet"):
            step(run, given, JOB, 10.0)
    else:
        reached, _ = step(run, given, JOB, 10.0)
        assert isinstance(reached, Run)


def test_the_table_has_no_hole_and_nothing_else() -> None:
    assert set(TABLE) == {(state, type(given)) for state in State for given in INPUTS}


@pytest.mark.parametrize("given", FACTS, ids=lambda it: type(it).__name__)
def test_what_an_earlier_child_does_is_no_news(given: machine.Input) -> None:
    run = Run(State.RUNNING, is_wanted=True, epoch=2)
    assert step(run, given, JOB, 10.0) == (run, ())


def live(setting: Job, *given: machine.Input, now: float = 0.0) -> Run:
    run = Run()
    for item in given:
        run, _ = step(run, item, setting, now)
    return run


def test_a_job_that_ends_well_is_done() -> None:
    run = live(JOB, Start(), Spawned(1), Exited(1, Status(code=0)))
    assert (run.state, run.exit, run.exit_epoch) == (State.DONE, Status(code=0), 1)


def test_a_job_that_fails_without_restart_says_why() -> None:
    run = live(JOB, Start(), Spawned(1), Exited(1, Status(code=3), at=" at command 2/4 `make`"))
    assert (run.state, run.why) == (State.FAILED, "exit 3 at command 2/4 `make`")


def test_delays_grow_to_the_cap_and_the_last_try_is_the_last() -> None:
    setting = job(restart="on-failure", tries=5, backoff=Backoff(1.0, 2.0, 5.0, 0.0))
    run, delays = live(setting, Start()), []
    for epoch in range(1, 6):
        run, _ = step(run, Spawned(epoch), setting, 0.0)
        run, _ = step(run, Exited(epoch, Status(code=1)), setting, 0.0)
        delays.append(run.due)
        if run.due is not None:
            run, actions = step(run, Due(), setting, run.due)
            assert actions == (Spawn(epoch + 1),)
    assert delays == [1.0, 2.0, 4.0, 5.0, None]
    assert (run.state, run.why) == (State.FAILED, "exit 1; gave up after 5 tries")


def test_jitter_stays_in_its_share_and_differs_between_jobs() -> None:
    setting = job(backoff=Backoff(10.0, 1.0, 10.0, 0.2))
    delays = {machine.delay(setting, 1, chance / 100) for chance in range(100)}
    assert min(delays) == 8.0
    assert 11.9 < max(delays) < 12.0
    assert len(delays) == 100


def test_the_budget_refills_after_healthy_uptime() -> None:
    setting = job(restart="on-failure", tries=2, backoff=Backoff(1.0, 2.0, 30.0, 0.0))
    run = live(setting, Start(), Spawned(1), Exited(1, Status(code=1)), Due(), Spawned(2), Due())
    assert (run.state, run.failures) == (State.READY, 1)
    assert run.due == machine.healthy_after(setting) == 30.0
    run, _ = step(run, Due(), setting, 30.0)
    assert (run.failures, run.due) == (0, None)
    run, _ = step(run, Exited(2, Status(code=1)), setting, 40.0)
    assert run.state is State.BACKOFF


def test_always_starts_again_after_a_good_end_without_counting_it() -> None:
    setting = job(restart="always", tries=1, backoff=Backoff(1.0, 2.0, 30.0, 0.0))
    run = live(setting, Start(), Spawned(1), Exited(1, Status(code=0)))
    assert (run.state, run.failures, run.due) == (State.BACKOFF, 0, 1.0)


def test_stop_asks_then_kills_and_kills_again() -> None:
    run = live(JOB, Start(), Spawned(1))
    run, actions = step(run, Stop(), JOB, 0.0)
    assert (actions, run.due) == ((AskToEnd(0),), 10.0)
    run, actions = step(run, Stop(), JOB, 5.0)
    assert (actions, run.due) == ((), 10.0)  # asking twice does not lengthen the grace
    run, actions = step(run, Due(), JOB, 10.0)
    assert (actions, run.due) == ((Kill(),), 10.0 + KILL_AGAIN)
    run, actions = step(run, Due(), JOB, 11.0)
    assert actions == (Kill(),)


def test_hurry_kills_at_once() -> None:
    run = live(JOB, Start(), Spawned(1))
    assert step(run, Stop(is_hurried=True), JOB, 0.0)[1] == (Kill(),)
    asked, _ = step(run, Stop(), JOB, 0.0)
    assert step(asked, Stop(is_hurried=True), JOB, 1.0)[1] == (Kill(),)


def test_a_matched_job_may_leave_by_itself_before_it_is_asked_to() -> None:
    run = live(JOB, Start(), Spawned(1), Called(1, CALL))
    assert (run.state, run.due) == (State.STOPPING, PATIENCE)
    left, actions = step(run, Exited(1, Status(code=1)), JOB, 0.1)
    assert (left.state, actions) == (State.FIXING, (Heal(CALL),))
    stays, actions = step(run, Due(), JOB, PATIENCE)
    assert actions == (AskToEnd(0),)
    assert stays.due == PATIENCE + JOB.grace


def test_after_the_remedy_the_job_goes_on_or_gives_up() -> None:
    fixing = live(JOB, Start(), Spawned(1), Called(1, CALL), Exited(1, Status(code=1)))
    assert step(fixing, TaskEnded(1), JOB, 1.0)[1] == (Spawn(2),)
    failed, _ = step(fixing, TaskEnded(1, "exit 1"), JOB, 1.0)
    assert (failed.state, failed.why) == (State.FAILED, "fixup port-in-use: exit 1")
    told = live(JOB, Start(), Spawned(1), Called(1, TELL), Exited(1, Status(code=1)), TaskEnded(1))
    assert (told.state, told.why) == (State.FAILED, "fixup give-it-up: it cannot be helped")


def test_what_a_person_stopped_is_never_healed() -> None:
    stopping = live(JOB, Start(), Spawned(1), Stop())
    assert step(stopping, Called(1, CALL), JOB, 0.0) == (stopping, ())
    assert live(JOB, Start(), Spawned(1), Called(1, CALL), Stop(), Exited(1, Status(code=1))).state is State.STOPPED


def fixed(run: Run, call: Call = CALL) -> tuple[Run, tuple[machine.Action, ...]]:
    return step(run, Fix(call), JOB, 50.0)


@pytest.mark.parametrize(
    "past",
    [
        (),
        (Start(), Spawned(1), Stop(), Exited(1, Status(signal="TERM"))),
        (Start(), Spawned(1), Exited(1, Status(code=0))),
        (Start(), Spawned(1), Exited(1, Status(code=1))),
    ],
    ids=["never begun", "stopped", "done", "failed"],
)
def test_a_job_at_rest_is_fixed_at_once_and_then_started(past: tuple[machine.Input, ...]) -> None:
    run = live(JOB, *past)
    assert run.state.is_rest
    run, actions = fixed(run)
    assert (run.state, run.why, actions) == (State.FIXING, "fixup port-in-use", (Heal(CALL),))
    assert run.due == 50.0 + TASK_MOST
    epoch = run.epoch
    run, actions = step(run, TaskEnded(epoch), JOB, 51.0)
    assert (run.state, actions) == (State.STARTING, (Spawn(epoch + 1),))


def test_a_job_that_waits_for_its_next_start_is_fixed_at_once() -> None:
    setting = job(restart="on-failure")
    waiting = live(setting, Start(), Spawned(1), Exited(1, Status(code=1)))
    assert waiting.state is State.BACKOFF
    run, actions = step(waiting, Fix(CALL), setting, 0.1)
    assert (run.state, run.failures, actions) == (State.FIXING, 0, (Heal(CALL),))


@pytest.mark.parametrize("given", [(), (Due(),)], ids=["running", "ready"])
def test_a_job_that_lives_is_ended_first_and_its_failures_are_forgotten(given: tuple[machine.Input, ...]) -> None:
    setting = job(restart="on-failure", backoff=Backoff(1.0, 2.0, 30.0, 0.0))
    run = live(setting, Start(), Spawned(1), Exited(1, Status(code=1)), Due(), Spawned(2), *given)
    assert run.failures == 1
    run, actions = step(run, Fix(CALL), setting, 5.0)
    assert (run.state, run.why, run.failures, actions) == (State.STOPPING, "fixup port-in-use", 0, ())
    run, actions = step(run, Due(), setting, 5.0 + PATIENCE)
    assert actions == (AskToEnd(0),)
    run, actions = step(run, Exited(2, Status(signal="TERM")), setting, 6.0)
    assert (run.state, actions) == (State.FIXING, (Heal(CALL),))


@pytest.mark.parametrize("wish", [Stop(), Stop(is_hurried=True), Restart()])
def test_a_wish_to_fix_takes_the_place_of_what_should_have_followed(wish: machine.Input) -> None:
    ending = live(JOB, Start(), Spawned(1), wish)
    run, actions = fixed(ending)
    assert (run.due, run.ladder, actions) == (ending.due, ending.ladder, ())  # the grace that runs goes on
    assert run.why == "fixup port-in-use"
    assert step(run, Exited(1, Status(signal="TERM")), JOB, 51.0)[1] == (Heal(CALL),)


def test_the_newest_wish_counts() -> None:
    ending, _ = fixed(live(JOB, Start(), Spawned(1)))
    other, _ = fixed(ending, TELL)
    assert step(other, Exited(1, Status(code=1)), JOB, 51.0)[1] == (Heal(TELL),)
    stopped, _ = step(ending, Stop(), JOB, 51.0)
    assert step(stopped, Exited(1, Status(code=1)), JOB, 52.0)[0].state is State.STOPPED
    called, _ = step(ending, Called(1, TELL), JOB, 51.0)  # a line is no wish
    assert step(called, Exited(1, Status(code=1)), JOB, 52.0)[1] == (Heal(CALL),)


def test_a_remedy_that_takes_too_long_is_ended_and_has_failed() -> None:
    fixing = live(JOB, Start(), Spawned(1), Called(1, CALL), Exited(1, Status(code=1)))
    ended, actions = step(fixing, Due(), JOB, TASK_MOST)
    assert actions == (EndTask(),)
    failed, _ = step(ended, TaskEnded(1, "killed by KILL"), JOB, TASK_MOST)
    assert (failed.state, failed.why) == (State.FAILED, "fixup port-in-use: took longer than 600 s")


def test_restart_ends_the_child_before_the_next_is_born() -> None:
    run = live(JOB, Start(), Spawned(1))
    run, actions = step(run, Restart(), JOB, 0.0)
    assert actions == (AskToEnd(0),)
    run, actions = step(run, Exited(1, Status(signal="TERM"), has_left=True), JOB, 0.1)
    assert actions == ()
    run, actions = step(run, Emptied(1), JOB, 0.2)
    assert actions == (Spawn(2),)


# Waiting for others.


class Life:
    """A job that is told things, and the time at which it is."""

    def __init__(self, **settings: object) -> None:
        self.job = job(**settings)
        self.run = Run()
        self.now = 0.0

    def tell(self, *given: machine.Input, at: float | None = None) -> tuple[machine.Action, ...]:
        """What it wants done after all of these."""
        self.now = self.now if at is None else at
        actions: tuple[machine.Action, ...] = ()
        for item in given:
            self.run, more = step(self.run, item, self.job, self.now)
            actions += more
        return actions

    def wait(self) -> tuple[machine.Action, ...]:
        """Until what it asked for is due."""
        assert self.run.due is not None
        return self.tell(Due(), at=self.run.due)

    @property
    def state(self) -> State:
        return self.run.state


WELL = Status(code=0)
ILL = Status(code=1)
NEEDS = (Need("db/main"),)


def test_who_needs_others_waits_until_it_may_go() -> None:
    life = Life(needs=NEEDS)
    assert life.tell(Start()) == ()
    assert (life.state, life.run.due, life.run.epoch) == (State.WAITING, None, 0)
    assert life.tell(Start(), Restart()) == ()
    assert life.state is State.WAITING
    assert life.tell(Go()) == (Spawn(1),)


def test_who_waits_in_vain_is_skipped_and_says_why() -> None:
    life = Life(needs=NEEDS)
    life.tell(Start(), Skip("skipped, because db/main is failed"))
    assert life.state is State.STOPPED
    assert life.run.why == "skipped, because db/main is failed"
    assert not life.run.is_wanted


def test_who_waits_is_stopped_at_once() -> None:
    life = Life(needs=NEEDS)
    assert life.tell(Start(), Stop()) == ()
    assert life.state is State.STOPPED


def test_who_waits_can_be_fixed_and_waits_again_after_it() -> None:
    life = Life(needs=NEEDS)
    assert life.tell(Start(), Fix(CALL)) == (Heal(CALL),)
    assert life.tell(TaskEnded(0)) == ()
    assert life.state is State.WAITING


@pytest.mark.parametrize(
    "past",
    [
        (Exited(1, ILL), Due()),
        (Restart(), Exited(1, WELL)),
        (Called(1, CALL), Exited(1, ILL), TaskEnded(1)),
    ],
    ids=["after a backoff", "after a restart", "after a remedy"],
)
def test_before_each_start_it_waits_again(past: tuple[machine.Input, ...]) -> None:
    life = Life(needs=NEEDS, restart="on-failure", hooks=BEFORE)
    assert life.tell(Start(), Go(), TaskEnded(1), Spawned(1))[-1:] == (Spawn(1),)
    assert Prepare() not in life.tell(*past)
    assert life.state is State.WAITING
    assert life.tell(Go()) == (Prepare(),)
    assert life.run.epoch == 2


# By what sign it is ready.


@pytest.mark.parametrize("by", ["line", "notify", "probe"])
def test_it_is_ready_by_its_sign_and_not_by_the_time_that_it_lives(by: str) -> None:
    life = Life(ready=Ready(by=by))  # type: ignore[arg-type]
    life.tell(Start(), Spawned(1))
    assert (life.state, life.run.due) == (State.RUNNING, None)
    life.tell(Passed(1), at=3.0)
    assert (life.state, life.run.due) == (State.READY, 30.0)
    seen = life.run
    assert life.tell(Passed(1)) == ()
    assert life.run == seen


def test_one_that_is_late_to_be_ready_lives_for_its_settle_time_before_it_counts_as_healthy() -> None:
    life = Life(ready=Ready(by="notify"), settle=5.0)
    life.tell(Start(), Spawned(1))
    life.tell(Passed(1), at=100.0)
    assert life.run.due == 105.0


def test_one_that_is_ready_by_its_exit_runs_until_it_is_done() -> None:
    life = Life(ready=Ready(by="exit"))
    life.tell(Start(), Spawned(1))
    assert (life.state, life.run.due) == (State.RUNNING, None)
    life.tell(Exited(1, WELL), at=500.0)
    assert life.state is State.DONE


# Hooks.


def test_the_hook_before_it_runs_first_and_then_the_child_comes() -> None:
    life = Life(hooks=BEFORE)
    assert life.tell(Start()) == (Prepare(),)
    assert (life.state, life.run.due) == (State.STARTING, TASK_MOST)
    assert life.tell(TaskEnded(1)) == (Spawn(1),)
    assert life.run.due is None
    life.tell(Spawned(1))
    assert life.state is State.RUNNING


def test_a_hook_before_it_that_fails_is_a_failed_try() -> None:
    life = Life(hooks=BEFORE, restart="on-failure", tries=2, backoff=Backoff(1.0, 2.0, 30.0, 0.0))
    assert life.tell(Start(), TaskEnded(1, "exit 1")) == (Prepare(),)
    assert (life.state, life.run.why, life.run.failures) == (State.BACKOFF, "before_start: exit 1", 1)
    assert life.wait() == (Prepare(),)
    life.tell(TaskEnded(2, "exit 1"))
    assert (life.state, life.run.why) == (State.FAILED, "before_start: exit 1; gave up after 2 tries")


def test_a_hook_before_it_that_fails_is_the_end_where_nothing_is_started_again() -> None:
    life = Life(hooks=Hooks("make ready", after_stop="make clean"))
    assert life.tell(Start(), TaskEnded(1, "exit 1")) == (Prepare(),)  # nothing has lived that is to be cleaned up
    assert (life.state, life.run.why) == (State.FAILED, "before_start: exit 1")


def test_a_hook_before_it_that_takes_too_long_is_ended_and_has_failed() -> None:
    life = Life(hooks=BEFORE)
    life.tell(Start())
    assert life.wait() == (EndTask(),)
    assert life.run.due is None
    life.tell(TaskEnded(1, "killed by KILL"))
    assert (life.state, life.run.why) == (State.FAILED, "before_start: took longer than 600 s")


@pytest.mark.parametrize("why", ["", "killed by KILL"])
def test_stop_ends_the_hook_before_it_once(why: str) -> None:
    """Also when it had just ended well."""
    life = Life(hooks=BEFORE)
    life.tell(Start())
    assert life.tell(Stop()) == (EndTask(),)
    assert life.tell(Stop(), Stop(is_hurried=True)) == ()
    assert life.tell(TaskEnded(1, why)) == ()
    assert (life.state, life.run.failures, life.run.why) == (State.STOPPED, 0, "")


def test_a_hook_that_took_too_long_is_not_ended_again_by_a_stop() -> None:
    life = Life(hooks=BEFORE)
    life.tell(Start())
    assert life.wait() == (EndTask(),)
    assert life.tell(Stop()) == ()
    life.tell(TaskEnded(1, "killed by KILL"))
    assert life.state is State.STOPPED


@pytest.mark.parametrize("again", [Start(), Restart()], ids=["start", "restart"])
def test_who_is_stopped_and_started_while_the_hook_before_it_runs_begins_anew(again: machine.Input) -> None:
    life = Life(hooks=BEFORE, tries=1, restart="on-failure")
    life.tell(Start())
    assert life.tell(Stop(), again) == (EndTask(),)
    assert life.tell(TaskEnded(1, "killed by KILL")) == (Prepare(),)
    assert (life.state, life.run.epoch, life.run.failures) == (State.STARTING, 2, 0)
    assert life.tell(TaskEnded(2)) == (Spawn(2),)


def test_who_needs_others_and_begins_anew_waits_again() -> None:
    life = Life(hooks=BEFORE, needs=NEEDS)
    life.tell(Start(), Go(), Stop(), Start())
    assert life.tell(TaskEnded(1, "killed by KILL")) == ()
    assert life.state is State.WAITING


def test_the_clean_up_runs_after_a_crash_and_before_the_restart() -> None:
    life = Life(hooks=CLEAN_UP, restart="on-failure", grace=4.0)
    life.tell(Start(), Spawned(1))
    assert life.tell(Exited(1, ILL), at=5.0) == (Tidy(),)
    assert (life.state, life.run.due) == (State.STOPPING, 9.0)
    assert life.tell(TaskEnded(1)) == ()
    assert (life.state, life.run.why) == (State.BACKOFF, "exit 1")
    assert life.wait() == (Spawn(2),)


def test_the_clean_up_waits_for_all_that_belongs_to_the_job() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1))
    assert life.tell(Exited(1, ILL, has_left=True)) == (AskToEnd(0),)
    assert life.tell(Emptied(1)) == (Tidy(),)
    life.tell(TaskEnded(1))
    assert life.state is State.FAILED


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ((Exited(1, WELL),), State.DONE),
        ((Exited(1, ILL),), State.FAILED),
        ((Stop(), Exited(1, Status(signal="TERM"))), State.STOPPED),
        ((Restart(), Exited(1, Status(signal="TERM"))), State.STARTING),
        ((Called(1, CALL), Exited(1, ILL)), State.FIXING),
        ((Exited(1, ILL, call=CALL),), State.FIXING),
        ((Fix(CALL), Exited(1, ILL)), State.FIXING),
    ],
    ids=["done", "failed", "stopped", "restarted", "called", "called by its exit", "fixed"],
)
@pytest.mark.parametrize("why", ["", "exit 1"], ids=["well", "ill"])
def test_after_the_clean_up_follows_what_would_have_followed(
    given: tuple[machine.Input, ...], state: State, why: str
) -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1))
    assert life.tell(*given)[-1:] == (Tidy(),)
    life.tell(TaskEnded(1, why))
    assert life.state is state


def test_a_clean_up_has_a_grace_of_its_own_and_is_ended_after_it() -> None:
    life = Life(hooks=CLEAN_UP, grace=4.0)
    life.tell(Start(), Spawned(1), Stop())
    assert life.tell(Exited(1, Status(signal="TERM")), at=3.0) == (Tidy(),)
    assert life.run.due == 7.0
    assert life.wait() == (EndTask(),)
    assert life.run.due is None
    life.tell(TaskEnded(1, "killed by KILL"))
    assert life.state is State.STOPPED


def test_who_is_in_a_hurry_is_not_cleaned_up() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1))
    assert life.tell(Stop(), Stop(is_hurried=True), Stop(), Exited(1, Status(signal="KILL"))) == (AskToEnd(0), Kill())
    assert life.state is State.STOPPED


def test_a_hurry_ends_the_clean_up_once() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1), Stop(), Exited(1, Status(signal="TERM")))
    assert life.tell(Stop()) == ()
    assert life.tell(Stop(is_hurried=True), Stop(is_hurried=True)) == (EndTask(),)
    life.tell(TaskEnded(1, "killed by KILL"))
    assert life.state is State.STOPPED


def test_a_hurry_that_is_over_is_forgotten_at_the_next_start() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1), Stop(is_hurried=True), Exited(1, Status(signal="KILL")), Start(), Spawned(2))
    assert life.tell(Exited(2, WELL)) == (Tidy(),)


def test_a_line_that_is_read_during_the_clean_up_calls_for_nothing() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1))
    assert life.tell(Exited(1, ILL), Called(1, CALL), TaskEnded(1)) == (Tidy(),)
    assert life.state is State.FAILED


def test_what_is_wished_during_the_clean_up_follows_it() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1), Stop(), Exited(1, Status(signal="TERM")))
    assert life.tell(Start()) == ()
    assert life.tell(TaskEnded(1)) == (Spawn(2),)
    life.tell(Spawned(2), Exited(2, ILL), Fix(CALL))
    assert life.tell(Called(2, TELL)) == ()  # a line is no wish
    assert life.tell(TaskEnded(2)) == (Heal(CALL),)
    assert life.tell(TaskEnded(2), Spawned(3), Exited(3, ILL), Stop()) == (Spawn(3), Tidy())
    life.tell(TaskEnded(3))
    assert life.state is State.STOPPED


@pytest.mark.parametrize(
    ("end", "over"),
    [
        (Exited(1, ILL, has_left=True), Emptied(1)),
        (Exited(1, WELL, has_left=True), Emptied(1)),
        (Exited(1, ILL), TaskEnded(1)),
        (Unwell(1, "it does not answer"), Exited(1, ILL)),
    ],
    ids=["failing", "done", "cleaning up", "unwell"],
)
def test_who_is_started_while_it_ends_by_itself_comes_up_again(end: machine.Input, over: machine.Input) -> None:
    life = Life(hooks=CLEAN_UP if isinstance(over, TaskEnded) else Hooks(), tries=1)
    life.tell(Start(), Spawned(1), end, Start(), over)
    assert (life.state, life.run.epoch) == (State.STARTING, 2)


# How it is asked to end.


def test_the_rungs_share_the_grace() -> None:
    life = Life(stop=plan.Stop(("INT", "TERM")), grace=10.0)
    assert machine.rungs(life.job) == ("INT", "TERM")
    life.tell(Start(), Spawned(1))
    assert life.tell(Stop(), at=100.0) == (AskToEnd(0),)
    assert life.run.due == 105.0
    assert life.wait() == (AskToEnd(1),)
    assert life.run.due == 110.0
    assert life.wait() == (Kill(),)
    assert life.run.due == 110.0 + KILL_AGAIN
    assert life.wait() == (Kill(),)


def test_keys_come_before_signals() -> None:
    life = Life(stop=plan.Stop(("INT", "TERM"), keys="q"), grace=9.0)
    assert machine.rungs(life.job) == ("", "INT", "TERM")
    life.tell(Start(), Spawned(1))
    said = [(life.now, life.tell(Stop()))]
    said += [(life.run.due or 0.0, life.wait()) for _ in range(3)]
    assert said == [(0.0, (AskToEnd(0),)), (3.0, (AskToEnd(1),)), (6.0, (AskToEnd(2),)), (9.0, (Kill(),))]


def test_no_grace_is_no_time_between_the_rungs() -> None:
    life = Life(stop=plan.Stop(("INT", "TERM")), grace=0.0)
    life.tell(Start(), Spawned(1), Stop())
    assert [life.wait(), life.wait(), life.now] == [(AskToEnd(1),), (Kill(),), 0.0]


def test_asking_again_neither_goes_back_nor_lengthens() -> None:
    life = Life(stop=plan.Stop(("INT", "TERM")), grace=10.0)
    life.tell(Start(), Spawned(1), Restart())
    life.wait()
    assert life.tell(Stop(), Restart(), Start(), Stop(is_held=True), at=6.0) == ()
    assert (life.run.rung, life.run.due) == (1, 10.0)


def test_the_next_time_it_is_asked_from_the_first_rung_on() -> None:
    life = Life(stop=plan.Stop(("INT", "TERM")))
    life.tell(Start(), Spawned(1), Restart())
    life.wait()
    life.tell(Exited(1, Status(signal="TERM")), Spawned(2))
    assert life.tell(Stop()) == (AskToEnd(0),)


# Who others need is asked when they have ended.


def test_a_held_stop_is_asked_when_it_may_go_and_its_grace_begins_then() -> None:
    life = Life()
    life.tell(Start(), Spawned(1))
    assert life.tell(Stop(is_held=True), at=5.0) == ()
    assert (life.state, life.run.ladder, life.run.due) == (State.STOPPING, Ladder.HELD, None)
    assert life.tell(Stop(is_held=True), Stop(), at=20.0) == ()
    assert life.tell(Go(), at=50.0) == (AskToEnd(0),)
    assert life.run.due == 60.0
    assert life.tell(Go()) == ()  # once


def test_a_hurried_stop_does_not_hold() -> None:
    life = Life()
    life.tell(Start(), Spawned(1))
    assert life.tell(Stop(is_hurried=True, is_held=True)) == (Kill(),)


def test_a_hurry_does_not_wait_for_who_is_held() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Stop(is_held=True))
    assert life.tell(Stop(is_hurried=True)) == (Kill(),)
    assert life.tell(Go()) == ()


def test_a_hurry_counts_also_for_who_is_just_being_born() -> None:
    life = Life()
    life.tell(Start(), Stop(is_hurried=True), Stop())
    assert life.tell(Spawned(1)) == (Kill(),)


def test_a_stop_while_it_is_about_to_leave_can_be_held() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Called(1, CALL))
    assert life.tell(Stop(is_held=True)) == ()
    assert life.tell(Go()) == (AskToEnd(0),)
    life.tell(Exited(1, Status(signal="TERM")))
    assert life.state is State.STOPPED


def test_a_held_restart_is_one_when_it_may_go() -> None:
    life = Life()
    life.tell(Start(), Spawned(1))
    assert life.tell(Restart(is_held=True, why="it follows db/main")) == ()
    assert life.run.why == "it follows db/main"
    assert life.tell(Go()) == (AskToEnd(0),)
    assert life.tell(Exited(1, Status(signal="TERM"))) == (Spawn(2),)


def test_who_is_held_and_started_comes_up_again() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Stop(is_held=True))
    assert life.tell(Start(), Go()) == (AskToEnd(0),)
    assert life.tell(Exited(1, Status(signal="TERM"))) == (Spawn(2),)


def test_who_is_held_and_fixed_is_healed_when_it_has_ended() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Stop(is_held=True))
    assert life.tell(Fix(CALL), Go()) == (AskToEnd(0),)
    assert life.tell(Exited(1, Status(signal="TERM"))) == (Heal(CALL),)


@pytest.mark.parametrize(
    ("wish", "state"), [(Stop(is_held=True), State.STOPPED), (Restart(is_held=True), State.STARTING)]
)
def test_a_job_that_exits_while_it_is_held_has_ended(wish: machine.Input, state: State) -> None:
    life = Life()
    life.tell(Start(), Spawned(1), wish)
    life.tell(Exited(1, ILL))
    assert (life.state, life.run.failures) == (state, 0)


def test_what_is_left_of_a_job_that_exits_while_it_is_held_is_asked_now() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Stop(is_held=True))
    assert life.tell(Exited(1, ILL, has_left=True), at=7.0) == (AskToEnd(0),)
    assert life.run.due == 17.0
    assert life.tell(Go(), Emptied(1)) == ()
    assert life.state is State.STOPPED


def test_why_it_is_stopped_is_kept() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Stop(why="db/main is failed"), Exited(1, Status(signal="TERM")))
    assert (life.state, life.run.why) == (State.STOPPED, "db/main is failed")
    life.tell(Start(), Spawned(2), Stop(), Exited(2, Status(signal="TERM")))
    assert life.run.why == ""


# A stop while a remedy runs.


def test_start_stop_start_while_a_remedy_runs_begins_anew() -> None:
    life = Life()
    life.tell(Fix(CALL))
    assert life.tell(Start(), Stop(), Start()) == (EndTask(),)
    assert life.tell(TaskEnded(0, "killed by KILL")) == (Spawn(1),)
    assert life.run.failures == 0


def test_stop_ends_the_remedy_once() -> None:
    life = Life()
    life.tell(Fix(TELL))
    assert life.tell(Stop(), Stop(is_hurried=True), Start(), Stop()) == (EndTask(),)
    assert life.tell(TaskEnded(0, "killed by KILL")) == ()
    assert (life.state, life.run.why) == (State.STOPPED, "")


def test_a_remedy_that_takes_too_long_is_not_ended_again_by_a_stop() -> None:
    life = Life()
    life.tell(Fix(CALL))
    assert life.wait() == (EndTask(),)
    assert life.tell(Stop()) == ()
    assert life.tell(Start(), TaskEnded(0, "killed by KILL")) == (Spawn(1),)


# Who is not well.


def test_who_is_not_well_is_ended_and_started_again_whatever_it_does_when_it_ends() -> None:
    life = Life(restart="never", tries=2, backoff=Backoff(1.0, 2.0, 30.0, 0.0))
    life.tell(Start(), Spawned(1))
    assert life.tell(Unwell(1, "3 health probes failed"), at=50.0) == (AskToEnd(0),)
    life.tell(Exited(1, WELL), at=51.0)
    assert (life.state, life.run.why, life.run.failures) == (State.BACKOFF, "3 health probes failed", 1)
    assert life.run.exit == WELL
    assert life.wait() == (Spawn(2),)
    life.tell(Spawned(2), Unwell(2, "3 health probes failed"), Exited(2, WELL))
    assert (life.state, life.run.why) == (State.FAILED, "3 health probes failed; gave up after 2 tries")


def test_crashes_and_being_unwell_count_together() -> None:
    life = Life(restart="on-failure", tries=3)
    life.tell(Start(), Spawned(1), Exited(1, ILL), Due(), Spawned(2), Unwell(2, "no sign of life"), Exited(2, ILL))
    assert (life.state, life.run.failures) == (State.BACKOFF, 2)
    life.tell(Due(), Spawned(3), Exited(3, ILL))
    assert (life.state, life.run.why) == (State.FAILED, "exit 1; gave up after 3 tries")


def test_what_is_left_of_one_that_is_not_well_is_ended_too() -> None:
    life = Life(hooks=CLEAN_UP)
    life.tell(Start(), Spawned(1), Unwell(1, "no sign of life"))
    assert life.tell(Exited(1, ILL, has_left=True)) == ()
    assert life.wait() == (Kill(),)
    assert life.tell(Emptied(1)) == (Tidy(),)
    life.tell(TaskEnded(1))
    assert (life.state, life.run.why) == (State.BACKOFF, "no sign of life")


def test_a_line_of_one_that_is_not_well_calls_for_nothing() -> None:
    life = Life()
    life.tell(Start(), Spawned(1), Unwell(1, "no sign of life"), Called(1, CALL), Exited(1, ILL))
    assert life.state is State.BACKOFF


# Ten instant starts a minute.


def births(life: Life, end: Callable[[int], tuple[machine.Input, ...]], until: float) -> list[float]:
    """When its children were asked for; what each of them is told takes a hundredth of a second."""
    found = []
    actions = life.tell(Start())
    while life.now < until:
        if actions in ((Spawn(life.run.epoch),), (Prepare(),)):
            found.append(life.now)
            actions = ()
            for given in end(life.run.epoch):
                actions = life.tell(given, at=life.now + 0.01)
        else:
            actions = life.wait()
    return found


INSTANT: dict[str, tuple[dict[str, object], Callable[[int], tuple[machine.Input, ...]]]] = {
    "always, and it ends well": ({"restart": "always"}, lambda epoch: (Spawned(epoch), Exited(epoch, WELL))),
    "on failure": ({}, lambda epoch: (Spawned(epoch), Exited(epoch, ILL))),
    "it leaves others": ({}, lambda epoch: (Spawned(epoch), Exited(epoch, ILL, has_left=True), Emptied(epoch))),
    "it cannot be born": ({}, lambda epoch: (NotSpawned(epoch, "no such file"),)),
    "its hook fails": ({"hooks": BEFORE}, lambda epoch: (TaskEnded(epoch, "exit 1"),)),
    "with a clean-up": ({"hooks": CLEAN_UP}, lambda epoch: (Spawned(epoch), Exited(epoch, ILL), TaskEnded(epoch))),
    "its exit calls for a remedy": (
        {},
        lambda epoch: (Spawned(epoch), Exited(epoch, ILL, call=CALL), TaskEnded(epoch)),
    ),
    "its exit calls for a remedy that fails": (
        {},
        lambda epoch: (Spawned(epoch), Exited(epoch, ILL, call=CALL), TaskEnded(epoch, "exit 1")),
    ),
    "a line calls for a remedy": (
        {},
        lambda epoch: (Spawned(epoch), Called(epoch, CALL), Exited(epoch, ILL), TaskEnded(epoch)),
    ),
    "it tells that it is in trouble": (
        {},
        lambda epoch: (Spawned(epoch), Unwell(epoch, "it is in trouble"), Exited(epoch, ILL)),
    ),
}


@pytest.mark.parametrize("what", INSTANT)
def test_what_ends_at_once_is_started_ten_times_a_minute_at_most(what: str) -> None:
    settings, end = INSTANT[what]
    at_once: dict[str, object] = {"restart": "on-failure", "tries": None, "backoff": Backoff(0.0, 1.0, 0.0, 0.0)}
    found = births(Life(**at_once | settings), end, until=150.0)
    assert len(found) >= 2 * INSTANT_STARTS, "it may try"
    for first, eleventh in zip(found, found[INSTANT_STARTS:], strict=False):
        assert eleventh - first >= MINUTE - 0.1


def test_one_that_has_lived_a_while_may_be_started_at_once_again() -> None:
    life = Life(restart="always", backoff=Backoff(0.0, 1.0, 0.0, 0.0))
    life.tell(Start())
    for epoch in range(1, 50):
        life.tell(Spawned(epoch))
        lived = 1.5 if epoch % INSTANT_STARTS == 0 else 0.0
        life.tell(Exited(epoch, WELL), at=life.now + lived)
        assert life.run.due == life.now
        assert life.wait() == (Spawn(epoch + 1),)


def test_a_person_may_start_it_as_often_as_they_like() -> None:
    life = Life(restart="always", backoff=Backoff(0.0, 1.0, 0.0, 0.0))
    life.tell(Start())
    for epoch in range(1, INSTANT_STARTS + 1):
        life.tell(Spawned(epoch), Exited(epoch, WELL))
        assert life.state is State.BACKOFF
        if epoch < INSTANT_STARTS:
            life.wait()
    assert life.run.due == MINUTE
    assert life.tell(Start(), at=1.0) == (Spawn(INSTANT_STARTS + 1),)
    life.tell(Spawned(INSTANT_STARTS + 1), Exited(INSTANT_STARTS + 1, WELL))
    assert life.run.due == 1.0


# Where many fail at once.


def test_who_gives_way_to_others_waits_longer_once() -> None:
    life = Life(restart="on-failure", backoff=Backoff(1.0, 1.0, 30.0, 0.0))
    life.tell(Start(), Spawned(1))
    life.tell(Exited(1, ILL, spread=3.0), at=50.0)
    assert life.run.due == 54.0
    life.wait()
    life.tell(Spawned(2))
    life.tell(Exited(2, ILL), at=60.0)
    assert life.run.due == 61.0


@pytest.mark.parametrize(
    "given",
    [
        (Exited(1, ILL, has_left=True, spread=3.0), Emptied(1), TaskEnded(1)),
        (Exited(1, ILL, call=CALL, spread=3.0), TaskEnded(1), TaskEnded(1, "exit 1")),
    ],
    ids=["after all that belongs to it has ended", "after a remedy that failed"],
)
def test_who_gives_way_does_so_whenever_it_comes_to_wait(given: tuple[machine.Input, ...]) -> None:
    life = Life(restart="on-failure", hooks=CLEAN_UP, backoff=Backoff(1.0, 1.0, 30.0, 0.0))
    life.tell(Start(), Spawned(1))
    life.tell(*given, at=50.0)
    assert (life.state, life.run.due) == (State.BACKOFF, 54.0)


def test_who_has_given_way_and_is_fixed_meanwhile_does_not_do_so_again() -> None:
    life = Life(restart="on-failure", backoff=Backoff(1.0, 1.0, 30.0, 0.0))
    life.tell(Start(), Spawned(1), Exited(1, ILL, spread=3.0))
    life.tell(Fix(CALL), TaskEnded(1, "exit 1"), at=2.0)
    assert (life.state, life.run.due) == (State.BACKOFF, 3.0)


def test_who_was_at_rest_meanwhile_gives_way_no_more() -> None:
    life = Life(restart="on-failure", tries=2, backoff=Backoff(1.0, 1.0, 30.0, 0.0))
    life.tell(Start(), Spawned(1), Exited(1, ILL), Due(), Spawned(2), Exited(2, ILL, spread=3.0))
    assert life.state is State.FAILED
    life.tell(Fix(CALL), TaskEnded(2, "exit 1"), at=5000.0)
    assert (life.state, life.run.due) == (State.BACKOFF, 5001.0)


def test_the_diagram_in_the_design_is_the_table() -> None:
    """`make docs` draws it again."""
    from tests import diagram

    design = diagram.DESIGN.read_text()
    assert diagram.written(design) == design
