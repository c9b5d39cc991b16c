"""A job's life as one table: state and input → a small rule → the next run and what is to be done.

Nothing here acts, waits or looks at a clock. `now` comes in, a timer is asked for by setting `due`, and what shall be
done in the world comes out as actions. Who calls must carry them out, in order, before the next input.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from zap.events import State, Status
from zap.plan import Job, Then

PATIENCE = 0.3  # seconds; a program that has just printed its error is mostly on its way out: let it end by itself
KILL_AGAIN = 1.0  # seconds between KILLs, for what was born during the last one
REMEDY_MOST = 600.0  # seconds; a remedy that takes longer is ended and has failed
GOLDEN = 0.6180339887498949  # steps by this share of 1 never fall into a rhythm: a jitter without chance


class After(Enum):
    """What follows when all that belonged to a job has ended."""

    REST = "rest"
    START = "start"
    FIX = "fix"
    JUDGE = "judge"


class Ladder(Enum):
    """How far the ending of a job has gone."""

    LEAVING = "leaving"
    ASKED = "asked"
    KILLED = "killed"


class Call(NamedTuple):
    """A fixup wants to heal the job; what it does is the caller's business."""

    fixup: str
    then: Then
    about: str


class Run(NamedTuple):
    """What the machine knows of a job. `epoch` counts its children; `exit` is how child `exit_epoch` ended.

    `failures` counts failed runs since the last healthy one. `seed` (0–1) is the job's share of chance, for jitter.
    """

    state: State = State.STOPPED
    is_wanted: bool = False
    epoch: int = 0
    since: float = 0.0
    due: float | None = None
    exit: Status | None = None
    exit_epoch: int = 0
    failures: int = 0
    after: After = After.REST
    ladder: Ladder = Ladder.LEAVING
    call: Call | None = None
    why: str = ""
    seed: float = 0.0


# Inputs: what the machine is told. Facts about a child carry its epoch; the stale ones are ignored.


class Start(NamedTuple):
    pass


class Stop(NamedTuple):
    is_hurried: bool = False


class Restart(NamedTuple):
    pass


class Spawned(NamedTuple):
    epoch: int


class NotSpawned(NamedTuple):
    epoch: int
    why: str


class Called(NamedTuple):
    """A line called for a fixup while the child lives."""

    epoch: int
    call: Call


class Fix(NamedTuple):
    """A person wants this fixup run, whatever state the job is in."""

    call: Call


class Exited(NamedTuple):
    """The shell has ended; `has_left` when others of its family have not; `at` says during which command."""

    epoch: int
    status: Status
    has_left: bool = False
    at: str = ""
    call: Call | None = None


class Emptied(NamedTuple):
    """Nothing of the child's family lives any more."""

    epoch: int


class Remedied(NamedTuple):
    """The remedy ended; `why` says what went wrong, and is empty when nothing did."""

    epoch: int
    why: str = ""


class Due(NamedTuple):
    """The time that `due` asked for has come."""


Input = Start | Stop | Restart | Fix | Spawned | NotSpawned | Called | Exited | Emptied | Remedied | Due


# Actions: what the machine wants done.


class Spawn(NamedTuple):
    """Bring child `epoch` into the world; answer with Spawned or NotSpawned."""

    epoch: int


class AskToEnd(NamedTuple):
    """Ask the job, and all of its family, to end: its stop command or signal."""


class Kill(NamedTuple):
    """KILL all of the family that there is."""


class Heal(NamedTuple):
    """Run the fixup's remedy; answer with Remedied."""

    call: Call


class EndRemedy(NamedTuple):
    """KILL the remedy; Remedied follows."""


Action = Spawn | AskToEnd | Kill | Heal | EndRemedy
Step = tuple[Run, tuple[Action, ...]]
Rule = Callable[[Run, Input, Job, float], Step]


class Impossible(Exception):
    """An input that this state cannot meet: a bug in whoever told it."""


def step(run: Run, given: Input, job: Job, now: float) -> Step:
    """The next run and what is to be done. Raises Impossible for what the table says cannot happen."""
    epoch = getattr(given, "epoch", run.epoch)
    if epoch < run.epoch:
        return run, ()
    return TABLE[run.state, type(given)](run, given, job, now)


def healthy_after(job: Job) -> float:
    """Seconds of uptime after which past failures are forgotten."""
    return max(job.settle, job.backoff.most)


def delay(job: Job, failures: int, chance: float) -> float:
    """Seconds to wait before the start that follows so many failures in a row; `chance` (0–1) places the jitter."""
    backoff = job.backoff
    # The exponent is bounded because 2.0 ** 1024 overflows, and long before it `most` has been reached.
    seconds = min(backoff.most, backoff.first * backoff.factor ** min(max(failures - 1, 0), 64))
    return seconds * (1 + backoff.jitter * (2 * chance - 1))


# The rules, in the order of a life.


def _begin(run: Run, now: float) -> Step:
    """Ask for the next child; what the last one left behind in the run ends here."""
    epoch = run.epoch + 1
    fresh = Run(
        State.STARTING, True, epoch, now, exit=run.exit, exit_epoch=run.exit_epoch, failures=run.failures, seed=run.seed
    )
    return fresh, (Spawn(epoch),)


def _rest(run: Run, state: State, why: str, now: float) -> Step:
    return run._replace(state=state, since=now, due=None, call=None, why=why), ()


def start(run: Run, given: Input, job: Job, now: float) -> Step:
    return _begin(run._replace(failures=0), now)


def want(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(is_wanted=True), ()


def unwant(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(is_wanted=False), ()


def start_after_stop(run: Run, given: Input, job: Job, now: float) -> Step:
    after = run.after if isinstance(given, Start) and run.after is not After.REST else After.START
    return run._replace(is_wanted=True, after=after), ()


def spawned(run: Run, given: Input, job: Job, now: float) -> Step:
    if not run.is_wanted:
        return _ask(run, After.REST, now, job)
    up = run._replace(state=State.RUNNING, since=now, due=now + job.settle)
    return up, ()


def not_spawned(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, NotSpawned)
    if not run.is_wanted:
        return _rest(run, State.STOPPED, "", now)
    return _fail(run, given.why, job, now)


def ready(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(state=State.READY, due=run.since + healthy_after(job)), ()


def healthy(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(failures=0, due=None), ()


def called(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Called)
    return _leave(run, given.call, now)


def called_ending(run: Run, given: Input, job: Job, now: float) -> Step:
    """What is left of a job that ended by itself still speaks; one that a person stopped is never healed."""
    assert isinstance(given, Called)
    if run.after is not After.JUDGE:
        return run, ()
    return run._replace(after=After.FIX, call=given.call), ()


def fix(run: Run, given: Input, job: Job, now: float) -> Step:
    """Nothing of the job lives: its remedy can run at once."""
    assert isinstance(given, Fix)
    return _over(_wish_to_fix(run, given.call), After.FIX, job, now)


def fix_up(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Fix)
    return _leave(run._replace(failures=0), given.call, now)


def fix_ending(run: Run, given: Input, job: Job, now: float) -> Step:
    """The grace that runs already goes on; also one that a person stopped is healed when a person wants that."""
    assert isinstance(given, Fix)
    return _wish_to_fix(run, given.call)._replace(after=After.FIX), ()


def _wish_to_fix(run: Run, call: Call) -> Run:
    return run._replace(is_wanted=True, failures=0, call=call, why=f"fixup {call.fixup}")


def _leave(run: Run, call: Call, now: float) -> Step:
    leaving = run._replace(
        state=State.STOPPING,
        since=now,
        due=now + PATIENCE,
        after=After.FIX,
        ladder=Ladder.LEAVING,
        call=call,
        why=f"fixup {call.fixup}",
    )
    return leaving, ()


def _ask(run: Run, after: After, now: float, job: Job) -> Step:
    asked = run._replace(state=State.STOPPING, since=now, due=now + job.grace, after=after, ladder=Ladder.ASKED)
    return asked, (AskToEnd(),)


def _kill(run: Run, after: After, now: float) -> Step:
    killed = run._replace(state=State.STOPPING, since=now, due=now + KILL_AGAIN, after=after, ladder=Ladder.KILLED)
    return killed, (Kill(),)


def stop(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Stop)
    unwanted = run._replace(is_wanted=False, call=None, why="")
    return _kill(unwanted, After.REST, now) if given.is_hurried else _ask(unwanted, After.REST, now, job)


def stop_ending(run: Run, given: Input, job: Job, now: float) -> Step:
    """The grace that runs already goes on: asking twice does not make it longer."""
    assert isinstance(given, Stop)
    unwanted = run._replace(is_wanted=False, after=After.REST, call=None, why="")
    if given.is_hurried:
        return _kill(unwanted, After.REST, now)
    if run.ladder is Ladder.LEAVING:
        return _ask(unwanted, After.REST, now, job)
    return unwanted, ()


def stop_waiting(run: Run, given: Input, job: Job, now: float) -> Step:
    return _rest(run._replace(is_wanted=False), State.STOPPED, "", now)


def stop_healing(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(is_wanted=False, due=None), (EndRemedy(),)


def restart(run: Run, given: Input, job: Job, now: float) -> Step:
    return _ask(run._replace(is_wanted=True), After.START, now, job)


def exited(run: Run, given: Input, job: Job, now: float) -> Step:
    """The shell ended by itself."""
    assert isinstance(given, Exited)
    over = run._replace(exit=given.status, exit_epoch=run.epoch, why=f"{given.status}{given.at}", call=given.call)
    after = After.FIX if given.call else After.JUDGE
    return _ask(over, after, now, job) if given.has_left else _over(over, after, job, now)


def exited_ending(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Exited)
    over = run._replace(exit=given.status, exit_epoch=run.epoch)
    if not given.has_left:
        return _over(over, run.after, job, now)
    return _ask(over, run.after, now, job) if run.ladder is Ladder.LEAVING else (over, ())


def emptied(run: Run, given: Input, job: Job, now: float) -> Step:
    return _over(run, run.after, job, now)


def climb(run: Run, given: Input, job: Job, now: float) -> Step:
    return _ask(run, run.after, now, job) if run.ladder is Ladder.LEAVING else _kill(run, run.after, now)


def _over(run: Run, after: After, job: Job, now: float) -> Step:
    """All that belonged to the child has ended: what now?"""
    if not run.is_wanted or after is After.REST:
        return _rest(run, State.STOPPED, "", now)
    if after is After.START:
        return _begin(run._replace(failures=0), now)
    if after is After.FIX and run.call:
        return run._replace(state=State.FIXING, since=now, due=now + REMEDY_MOST), (Heal(run.call),)
    return _judge(run, job, now)


def _judge(run: Run, job: Job, now: float) -> Step:
    """The job ended by itself, and well or not."""
    if run.exit is None or run.exit.code not in job.success_codes:
        return _fail(run, run.why, job, now)
    if job.restart == "always":
        return _wait(run._replace(failures=0), job, run.why, now)
    return _rest(run, State.DONE, "", now)


def _fail(run: Run, why: str, job: Job, now: float) -> Step:
    failed = run._replace(failures=run.failures + 1)
    if job.restart == "never":
        return _rest(failed, State.FAILED, why, now)
    if job.tries is not None and failed.failures >= job.tries:
        tries = "1 try" if failed.failures == 1 else f"{failed.failures} tries"
        return _rest(failed, State.FAILED, f"{why}; gave up after {tries}", now)
    return _wait(failed, job, why, now)


def _wait(run: Run, job: Job, why: str, now: float) -> Step:
    chance = (run.seed + run.epoch * GOLDEN) % 1.0
    seconds = delay(job, run.failures, chance)
    return run._replace(state=State.BACKOFF, since=now, due=now + seconds, call=None, why=why), ()


def start_again(run: Run, given: Input, job: Job, now: float) -> Step:
    return _begin(run, now)


def remedied(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Remedied)
    call = run.call
    assert call is not None
    if not run.is_wanted:
        return _rest(run, State.STOPPED, "", now)
    if given.why:
        why = f"took longer than {REMEDY_MOST:.0f} s" if run.due is None else given.why
        return _fail(run._replace(call=None), f"fixup {call.fixup}: {why}", job, now)
    if call.then == "give-up":
        return _rest(run, State.FAILED, f"fixup {call.fixup}: {call.about}", now)
    return _begin(run, now)


def end_healing(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(due=None), (EndRemedy(),)


def ignore(run: Run, given: Input, job: Job, now: float) -> Step:
    return run, ()


def impossible(run: Run, given: Input, job: Job, now: float) -> Step:
    raise Impossible(f"{run.state} cannot meet {given}")


# fmt: off
no = impossible
_ROWS: dict[type, tuple[Rule, ...]] = {
    #            stopped  starting     running  ready    stopping          fixing        backoff       done    failed
    Start:      (start,   want,        want,    want,    start_after_stop, want,         start,        start,  start),
    Stop:       (unwant,  unwant,      stop,    stop,    stop_ending,      stop_healing, stop_waiting, unwant, unwant),
    Restart:    (start,   want,        restart, restart, start_after_stop, want,         start,        start,  start),
    Fix:        (fix,     ignore,      fix_up,  fix_up,  fix_ending,       ignore,       fix,          fix,    fix),
    Spawned:    (no,      spawned,     no,      no,      no,               no,           no,           no,     no),
    NotSpawned: (no,      not_spawned, no,      no,      no,               no,           no,           no,     no),
    Called:     (no,      no,          called,  called,  called_ending,    no,           no,           no,     no),
    Exited:     (no,      no,          exited,  exited,  exited_ending,    no,           no,           no,     no),
    Emptied:    (no,      no,          no,      no,      emptied,          no,           no,           no,     no),
    Remedied:   (no,      no,          no,      no,      no,               remedied,     no,           no,     no),
    Due:        (no,      no,          ready,   healthy, climb,            end_healing,  start_again,  no,     no),
}
# fmt: on

TABLE: dict[tuple[State, type], Rule] = {
    (state, given): rule for given, rules in _ROWS.items() for state, rule in zip(State, rules, strict=True)
}
