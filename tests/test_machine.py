"""The table is total, and in a world that tells it the truth it never breaks a promise: walked exhaustively."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from zap import machine
from zap.events import State, Status
from zap.machine import (
    KILL_AGAIN,
    PATIENCE,
    TABLE,
    AskToEnd,
    Call,
    Called,
    Due,
    Emptied,
    EndRemedy,
    Exited,
    Fix,
    Heal,
    Impossible,
    Kill,
    NotSpawned,
    Remedied,
    Restart,
    Run,
    Spawn,
    Spawned,
    Start,
    Stop,
    step,
)
from zap.plan import Backoff, Command, Job

JOB = Job("web/api", "api", (Command("run"),), "/")
CALL = Call("port-in-use", "restart", "the port is taken")
TELL = Call("give-it-up", "give-up", "it cannot be helped")
INPUTS = (
    Start(),
    Stop(),
    Stop(is_hurried=True),
    Restart(),
    Fix(CALL),
    Spawned(1),
    NotSpawned(1, "no such file"),
    Called(1, CALL),
    Exited(1, Status(code=0)),
    Emptied(1),
    Remedied(1),
    Due(),
)


def job(**settings: object) -> Job:
    return JOB._replace(**settings)  # type: ignore[arg-type]


class World(NamedTuple):
    """What is true outside: what the hands would tell, and what they must not be asked for."""

    is_spawning: bool = False
    has_child: bool = False  # the shell lives
    has_left: bool = False  # the shell has ended, its family has not
    has_remedy: bool = False


class Place(NamedTuple):
    run: Run
    world: World


def facts(place: Place) -> Iterator[tuple[machine.Input, World]]:
    """Everything that can happen next, and what is true after it."""
    run, world = place
    epoch = run.epoch
    yield from ((given, world) for given in (Start(), Stop(), Stop(is_hurried=True), Restart(), Fix(CALL), Fix(TELL)))
    if run.due is not None:
        yield Due(), world
    if world.is_spawning:
        yield Spawned(epoch), world._replace(is_spawning=False, has_child=True)
        yield NotSpawned(epoch, "no such file"), world._replace(is_spawning=False)
    if world.has_child:
        for status in (Status(code=0), Status(code=1), Status(signal="KILL")):
            for call in (None, CALL):
                gone = world._replace(has_child=False)
                yield Exited(epoch, status, call=call), gone
                yield Exited(epoch, status, has_left=True, call=call), gone._replace(has_left=True)
    if world.has_child or world.has_left:
        yield Called(epoch, CALL), world
        yield Called(epoch, TELL), world
    if world.has_left:
        yield Emptied(epoch), world._replace(has_left=False)
    if world.has_remedy:
        yield Remedied(epoch), world._replace(has_remedy=False)
        yield Remedied(epoch, "exit 1"), world._replace(has_remedy=False)


def after(world: World, actions: tuple[machine.Action, ...]) -> World:
    for action in actions:
        match action:
            case Spawn():
                assert world == World(), f"a second child beside {world}"
                world = world._replace(is_spawning=True)
            case Heal():
                assert not (world.has_child or world.has_left or world.has_remedy), f"healing beside {world}"
                world = world._replace(has_remedy=True)
            case AskToEnd() | Kill():
                assert world.has_child or world.has_left, "nobody to signal"
            case EndRemedy():
                assert world.has_remedy, "no remedy to end"
    return world


def known(run: Run) -> Run:
    """A run as far as rules can tell it from another: numbers that only grow are taken out."""
    return run._replace(epoch=1, exit_epoch=0, since=0.0, due=None if run.due is None else 0.0)


def check(place: Place, setting: Job) -> None:
    run, world = place
    if run.state.is_rest:
        assert run.due is None, "a timer at rest"
        assert world == World(), f"at rest beside {world}"
    if run.state in (State.STOPPING, State.BACKOFF):
        assert run.due is not None, f"{run.state} for ever"
    if run.state in (State.RUNNING, State.READY):
        assert world.has_child
    if run.state is State.FIXING:
        assert world.has_remedy
        assert run.call is not None
    if run.state is State.STOPPED:
        assert not run.is_wanted
    if run.state is State.FAILED:
        assert run.why
    if setting.tries is not None and setting.restart != "never":
        assert run.failures <= setting.tries


def walk(setting: Job) -> dict[Place, set[tuple[str, Place]]]:
    """Every place that can be reached, with the inputs that lead on from it."""
    begin = Place(Run(), World())
    places: dict[Place, set[tuple[str, Place]]] = {}
    queue = [begin]
    while queue:
        place = queue.pop()
        if place in places:
            continue
        check(place, setting)
        onward = places[place] = set()
        for given, world in facts(place):
            run, actions = step(place.run, given, setting, 100.0)
            reached = Place(known(run), after(world, actions))
            onward.add((type(given).__name__, reached))
            queue.append(reached)
    return places


WISHES = {"Start", "Stop", "Restart", "Fix"}
SETTINGS = [
    job(restart=restart, tries=tries, success_codes=codes)
    for restart in ("never", "on-failure", "always")
    for tries in (1, 3)
    for codes in ((0,), (0, 1))
]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda it: f"{it.restart}-{it.tries}-{it.success_codes}")
def test_no_true_fact_breaks_a_promise(setting: Job) -> None:
    places = walk(setting)
    states = {place.run.state for place in places}
    never = {State.DONE} if setting.restart == "always" else set()
    if setting.restart == "never" or (setting.restart == "on-failure" and setting.tries == 1):
        never = {State.BACKOFF}
    assert states == set(State) - never


@pytest.mark.parametrize("setting", SETTINGS[::4], ids=lambda it: it.restart)
def test_a_wish_to_stop_always_ends_in_rest(setting: Job) -> None:
    """From wherever one says stop, whatever else happens but a person's wish, it comes to rest and stays there."""
    places = walk(setting)
    stopped = {reached for onward in places.values() for name, reached in onward if name == "Stop"}
    for begin in stopped:
        seen: set[Place] = set()
        queue = [begin]
        while queue:
            place = queue.pop()
            if place in seen:
                continue
            seen.add(place)
            queue += [reached for name, reached in places[place] if name not in WISHES]
        assert all(not place.run.is_wanted for place in seen)
        assert all(place.run.state is not State.STARTING or place.world.is_spawning for place in seen)
        # Everything that the world still owes (an end, a KILL that works) leads to rest: no place without a way there.
        rest = {place for place in seen if place.run.state.is_rest}
        reaching = set(rest)
        while more := {p for p in seen - reaching if any(reached in reaching for _, reached in places[p])}:
            reaching |= more
        assert reaching == seen


@pytest.mark.parametrize("setting", SETTINGS[::4], ids=lambda it: it.restart)
def test_a_wish_to_fix_always_ends_in_the_remedy(setting: Job) -> None:
    """From wherever a job can be fixed, whatever else happens but a person's wish, its remedy is what runs next."""
    places = walk(setting)
    cannot = (State.STARTING, State.FIXING)
    for place, onward in places.items():
        if place.run.state in cannot:
            assert {reached for name, reached in onward if name == "Fix"} == {place}
    queue = [
        reached
        for place, onward in places.items()
        for name, reached in onward
        if name == "Fix" and place.run.state not in cannot
    ]
    seen: set[Place] = set()
    while queue:
        place = queue.pop()
        if place in seen:
            continue
        seen.add(place)
        assert place.run.is_wanted
        if place.run.state is State.FIXING:
            assert place.world == World(has_remedy=True)
            continue
        assert (place.run.state, place.run.after) == (State.STOPPING, machine.After.FIX)
        onward = {reached for name, reached in places[place] if name not in WISHES}
        assert any(reached.run.state is State.FIXING for reached in onward)
        queue += onward
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
    assert len(TABLE) == len(State) * len({type(given) for given in INPUTS})


@pytest.mark.parametrize("given", [Spawned(1), Exited(1, Status(code=0)), Remedied(1), Emptied(1)])
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
    assert (actions, run.due) == ((AskToEnd(),), 10.0)
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
    assert actions == (AskToEnd(),)
    assert stays.due == PATIENCE + JOB.grace


def test_after_the_remedy_the_job_goes_on_or_gives_up() -> None:
    fixing = live(JOB, Start(), Spawned(1), Called(1, CALL), Exited(1, Status(code=1)))
    assert step(fixing, Remedied(1), JOB, 1.0)[1] == (Spawn(2),)
    failed, _ = step(fixing, Remedied(1, "exit 1"), JOB, 1.0)
    assert (failed.state, failed.why) == (State.FAILED, "fixup port-in-use: exit 1")
    told = live(JOB, Start(), Spawned(1), Called(1, TELL), Exited(1, Status(code=1)), Remedied(1))
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
    assert run.due == 50.0 + machine.REMEDY_MOST
    epoch = run.epoch
    run, actions = step(run, Remedied(epoch), JOB, 51.0)
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
    assert actions == (AskToEnd(),)
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
    ended, actions = step(fixing, Due(), JOB, machine.REMEDY_MOST)
    assert actions == (EndRemedy(),)
    failed, _ = step(ended, Remedied(1, "killed by KILL"), JOB, machine.REMEDY_MOST)
    assert (failed.state, failed.why) == (State.FAILED, "fixup port-in-use: took longer than 600 s")


def test_restart_ends_the_child_before_the_next_is_born() -> None:
    run = live(JOB, Start(), Spawned(1))
    run, actions = step(run, Restart(), JOB, 0.0)
    assert actions == (AskToEnd(),)
    run, actions = step(run, Exited(1, Status(signal="TERM"), has_left=True), JOB, 0.1)
    assert actions == ()
    run, actions = step(run, Emptied(1), JOB, 0.2)
    assert actions == (Spawn(2),)


def test_the_diagram_in_the_design_is_the_table() -> None:
    """`make docs` draws it again."""
    from tests import diagram

    design = diagram.DESIGN.read_text()
    assert diagram.written(design) == design
