"""A job's life as one table: state and input → a small rule → the next run and what is to be done.

Nothing here acts, waits or looks at a clock. `now` comes in, a timer is asked for by setting `due`, and what shall be
done in the world comes out as actions. Who calls must carry them out, in order, before the next input.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from zap.events import State, Status
from zap.plan import Job, Then

PATIENCE = 0.3  # seconds; a program that has just printed its error is mostly on its way out: let it end by itself
KILL_AGAIN = 1.0  # seconds between KILLs, for what was born during the last one
TASK_MOST = 600.0  # seconds; a hook or a remedy that takes longer is ended and has failed
INSTANT = 1.0  # seconds; who ends sooner by itself may do so for ever, and keep the machine busy with it
INSTANT_STARTS = 10  # in any minute
MINUTE = 60.0
GOLDEN = 0.6180339887498949  # steps by this share of 1 never fall into a rhythm: a jitter without chance


class After(StrEnum):
    """What follows when all that belonged to a job has ended."""

    REST = "rest"
    START = "start"
    FIX = "fix"
    JUDGE = "judge"
    FAIL = "fail"


class Ladder(StrEnum):
    """How far the ending of a job has gone."""

    HELD = "held"
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
    `rung` counts what it was asked to end by, `is_busy` while a hook or a remedy of its runs. `quick` is when runs
    began that ended at once, one after the other; `spread` is how many seconds its next start gives way to others.
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
    rung: int = 0
    is_busy: bool = False
    is_hurried: bool = False
    call: Call | None = None
    why: str = ""
    seed: float = 0.0
    quick: tuple[float, ...] = ()
    spread: float = 0.0


# Inputs: what the machine is told. Facts about a child carry its epoch; the stale ones are ignored.


class Start(NamedTuple):
    pass


class Stop(NamedTuple):
    """`is_held`: others that need the job are ending first; Go follows when they have. `why` is empty for a person."""

    is_hurried: bool = False
    is_held: bool = False
    why: str = ""


class Restart(NamedTuple):
    """As Stop, and then a start."""

    is_held: bool = False
    why: str = ""


class Go(NamedTuple):
    """Nobody is in its way any more: whom it waited for is there, or those who need it have ended."""


class Skip(NamedTuple):
    """Whom it waits for will not be there."""

    why: str


class Spawned(NamedTuple):
    epoch: int


class NotSpawned(NamedTuple):
    epoch: int
    why: str


class Passed(NamedTuple):
    """It is ready, by the sign that its settings name."""

    epoch: int


class Unwell(NamedTuple):
    """It lives, and does not do what it should."""

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
    """The shell has ended; `has_left` when others of its family have not; `at` says during which command.

    `spread` seconds its next start shall give way, because many have failed at once.
    """

    epoch: int
    status: Status
    has_left: bool = False
    at: str = ""
    call: Call | None = None
    spread: float = 0.0


class Emptied(NamedTuple):
    """Nothing of the child's family lives any more."""

    epoch: int


class TaskEnded(NamedTuple):
    """The hook or the remedy ended; `why` says what went wrong, and is empty when nothing did."""

    epoch: int
    why: str = ""


class Due(NamedTuple):
    """The time that `due` asked for has come."""


Wish = Start | Stop | Restart | Fix
Input = Wish | Go | Skip | Spawned | NotSpawned | Passed | Unwell | Called | Exited | Emptied | TaskEnded | Due


# Actions: what the machine wants done.


class Spawn(NamedTuple):
    """Bring child `epoch` into the world; answer with Spawned or NotSpawned."""

    epoch: int


class Prepare(NamedTuple):
    """Run the hook `before_start`; answer with TaskEnded."""


class AskToEnd(NamedTuple):
    """Ask the job, and all of its family, to end, by this rung of its ladder (see `rungs`)."""

    rung: int


class Kill(NamedTuple):
    """KILL all of the family that there is."""


class Heal(NamedTuple):
    """Run the fixup's remedy; answer with TaskEnded."""

    call: Call


class Tidy(NamedTuple):
    """Run the hook `after_stop`; answer with TaskEnded."""


class EndTask(NamedTuple):
    """KILL the hook or the remedy; TaskEnded follows."""


Action = Prepare | Spawn | AskToEnd | Kill | Heal | Tidy | EndTask
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


def rungs(job: Job) -> tuple[str, ...]:
    """By what a job is asked to end, one after the other: "" are its keys, the others are signals. KILL follows."""
    return (*([""] if job.stop.keys is not None else []), *job.stop.signals)


# The rules, in the order of a life.


def _enter(run: Run, job: Job, now: float) -> Step:
    """On its way up. Who needs others waits for them, also for those who are there: Go comes at once then."""
    if not job.needs:
        return _begin(run, job, now)
    return run._replace(state=State.WAITING, is_wanted=True, since=now, due=None, call=None, why=""), ()


def _begin(run: Run, job: Job, now: float) -> Step:
    """Ask for the next child; what the last one left behind in the run ends here."""
    epoch = run.epoch + 1
    fresh = Run(State.STARTING, True, epoch, now, exit=run.exit, exit_epoch=run.exit_epoch, after=After.JUDGE)
    fresh = fresh._replace(failures=run.failures, seed=run.seed, quick=run.quick)
    if job.hooks.before_start is None:
        return fresh, (Spawn(epoch),)
    return fresh._replace(is_busy=True, due=now + TASK_MOST), (Prepare(),)


def _rest(run: Run, state: State, why: str, now: float) -> Step:
    return run._replace(state=state, since=now, due=None, is_busy=False, call=None, why=why, quick=(), spread=0.0), ()


def start(run: Run, given: Input, job: Job, now: float) -> Step:
    return _enter(run._replace(failures=0, quick=()), job, now)


def go(run: Run, given: Input, job: Job, now: float) -> Step:
    return _begin(run, job, now)


def ask_now(run: Run, given: Input, job: Job, now: float) -> Step:
    return _ask(run, run.after, now, job) if run.ladder is Ladder.HELD else (run, ())


def skip(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Skip)
    return _rest(run._replace(is_wanted=False), State.STOPPED, given.why, now)


def want(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(is_wanted=True), ()


def unwant(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(is_wanted=False), ()


def want_anew(run: Run, given: Input, job: Job, now: float) -> Step:
    """Who was stopped while its hook ran begins anew when that has ended."""
    after = After.START if run.after is After.REST else run.after
    return run._replace(is_wanted=True, is_hurried=False, after=after), ()


def abort(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Stop)
    is_hurried = run.is_hurried or given.is_hurried
    unwanted = run._replace(is_wanted=False, is_hurried=is_hurried, why=given.why)
    if not run.is_busy:
        return unwanted, ()
    return unwanted._replace(after=After.REST, due=None), _end_task(run)


def start_next(run: Run, given: Input, job: Job, now: float) -> Step:
    """Also who ends by itself comes up again. A remedy that it ends for comes first, if it shall only be started."""
    after = After.FIX if isinstance(given, Start) and run.after is After.FIX else After.START
    if isinstance(given, Restart) and given.is_held and run.ladder is Ladder.LEAVING:
        return _ask(run._replace(is_wanted=True), after, now, job, is_held=True)
    return run._replace(is_wanted=True, after=after), ()


def spawned(run: Run, given: Input, job: Job, now: float) -> Step:
    if not run.is_wanted:
        return _kill(run, After.REST, now) if run.is_hurried else _ask(run, After.REST, now, job)
    up = run._replace(state=State.RUNNING, since=now, due=now + job.settle if job.ready.by == "settle" else None)
    return up, ()


def not_spawned(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, NotSpawned)
    return _cannot_start(run, given.why, job, now)


def prepared(run: Run, given: Input, job: Job, now: float) -> Step:
    """The hook has ended, and the child may come; or somebody has ended the hook."""
    assert isinstance(given, TaskEnded)
    free = run._replace(is_busy=False, due=None)
    if run.is_wanted and run.after is After.START:
        return _enter(free._replace(failures=0), job, now)
    if not run.is_wanted or given.why:
        return _cannot_start(free, f"before_start: {_cut_short(run) or given.why}", job, now)
    return free, (Spawn(run.epoch),)


def _cannot_start(run: Run, why: str, job: Job, now: float) -> Step:
    if not run.is_wanted:
        return _rest(run, State.STOPPED, run.why, now)
    return _fail(_was_quick(run, now), why, job, now)


def _cut_short(run: Run) -> str:
    """What is to be said of a task that took too long."""
    return f"took longer than {TASK_MOST:.0f} s" if run.due is None else ""


def ready(run: Run, given: Input, job: Job, now: float) -> Step:
    due = max(now + job.settle, run.since + healthy_after(job))
    return run._replace(state=State.READY, due=due), ()


def unwell(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Unwell)
    return _ask(_having_lived(run, now)._replace(why=given.why), After.FAIL, now, job)


def healthy(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(failures=0, due=None), ()


def called(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Called)
    return _leave(_having_lived(run, now), given.call, now)


def called_late(run: Run, given: Input, job: Job, now: float) -> Step:
    """What is left of a job that ended by itself still speaks; one that a person stopped is never healed."""
    assert isinstance(given, Called)
    if run.after is not After.JUDGE or run.is_busy:
        return run, ()
    return run._replace(after=After.FIX, call=given.call), ()


def fix(run: Run, given: Input, job: Job, now: float) -> Step:
    """Nothing of the job lives: its remedy can run at once."""
    assert isinstance(given, Fix)
    return _next(_wish_to_fix(run, given.call), After.FIX, job, now)


def fix_up(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Fix)
    return _leave(run._replace(failures=0), given.call, now)


def fix_next(run: Run, given: Input, job: Job, now: float) -> Step:
    """The grace that runs already goes on; also one that a person stopped is healed when a person wants that."""
    assert isinstance(given, Fix)
    return _wish_to_fix(run, given.call)._replace(after=After.FIX), ()


def _wish_to_fix(run: Run, call: Call) -> Run:
    return run._replace(is_wanted=True, failures=0, quick=(), call=call, why=f"fixup {call.fixup}")


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


def _ask(run: Run, after: After, now: float, job: Job, is_held: bool = False) -> Step:
    """From here on the grace runs; but not yet while others that need the job are ending."""
    asked = run._replace(state=State.STOPPING, since=now, after=after, rung=0)
    if is_held:
        return asked._replace(ladder=Ladder.HELD, due=None), ()
    return asked._replace(ladder=Ladder.ASKED, due=_rung_over(asked, job)), (AskToEnd(0),)


def _rung_over(run: Run, job: Job) -> float:
    """When the next rung's turn is. The rungs share the grace, so that KILL comes when it is over, however many."""
    return run.since + job.grace * (run.rung + 1) / len(rungs(job))


def _kill(run: Run, after: After, now: float) -> Step:
    since = run.since if run.state is State.STOPPING else now
    killed = run._replace(state=State.STOPPING, since=since, due=now + KILL_AGAIN, after=after, ladder=Ladder.KILLED)
    return killed, (Kill(),)


def stop(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Stop)
    unwanted = run._replace(is_wanted=False, is_hurried=given.is_hurried, call=None, why=given.why)
    if given.is_hurried:
        return _kill(unwanted, After.REST, now)
    return _ask(unwanted, After.REST, now, job, given.is_held)


def stop_ending(run: Run, given: Input, job: Job, now: float) -> Step:
    """The grace that runs already goes on: asking twice does not make it longer. A clean-up ends by itself."""
    assert isinstance(given, Stop)
    unwanted = run._replace(
        is_wanted=False,
        is_hurried=run.is_hurried or given.is_hurried,
        after=After.REST,
        call=None,
        why=given.why,
    )
    if run.is_busy and given.is_hurried:
        return unwanted._replace(due=None), _end_task(run)
    if run.is_busy:
        return unwanted, ()
    if given.is_hurried:
        return _kill(unwanted, After.REST, now)
    if run.ladder is Ladder.LEAVING:
        return _ask(unwanted, After.REST, now, job, given.is_held)
    return unwanted, ()


def _end_task(run: Run) -> tuple[Action, ...]:
    """Once: where there is no timer any more, it was told so already."""
    return (EndTask(),) if run.due is not None else ()


def stop_idle(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Stop)
    return _rest(run._replace(is_wanted=False), State.STOPPED, given.why, now)


def abort_fix(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Stop)
    unwanted = run._replace(is_wanted=False, after=After.REST, due=None, why=given.why)
    return unwanted, _end_task(run)


def restart(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, Restart)
    return _ask(run._replace(is_wanted=True, why=given.why), After.START, now, job, given.is_held)


def exited(run: Run, given: Input, job: Job, now: float) -> Step:
    """The shell ended by itself."""
    assert isinstance(given, Exited)
    over = run._replace(exit=given.status, exit_epoch=run.epoch, why=f"{given.status}{given.at}", call=given.call)
    over = _having_lived(over._replace(spread=given.spread), now)
    after = After.FIX if given.call else After.JUDGE
    return _ask(over, after, now, job) if given.has_left else _over(over, after, job, now)


def _having_lived(run: Run, now: float) -> Run:
    """What was known of runs that ended at once is forgotten with one that did not."""
    return _was_quick(run, run.since) if now - run.since < INSTANT else run._replace(quick=())


def _was_quick(run: Run, began: float) -> Run:
    return run._replace(quick=(*run.quick[1 - INSTANT_STARTS :], began))


def ended(run: Run, given: Input, job: Job, now: float) -> Step:
    """Who was left to end by itself, or still waited to be asked, leaves the rest of its family to be asked now."""
    assert isinstance(given, Exited)
    over = run._replace(exit=given.status, exit_epoch=run.epoch)
    if not given.has_left:
        return _over(over, run.after, job, now)
    return _ask(over, run.after, now, job) if run.ladder in (Ladder.LEAVING, Ladder.HELD) else (over, ())


def emptied(run: Run, given: Input, job: Job, now: float) -> Step:
    return _over(run, run.after, job, now)


def climb(run: Run, given: Input, job: Job, now: float) -> Step:
    """The time of the rung, or of the clean-up, is over."""
    if run.is_busy:
        return run._replace(due=None), (EndTask(),)
    if run.ladder is Ladder.LEAVING:
        return _ask(run, run.after, now, job)
    if run.ladder is Ladder.ASKED and run.rung + 1 < len(rungs(job)):
        higher = run._replace(rung=run.rung + 1)
        return higher._replace(due=_rung_over(higher, job)), (AskToEnd(higher.rung),)
    return _kill(run, run.after, now)


def _over(run: Run, after: After, job: Job, now: float) -> Step:
    """All that belonged to the child has ended. Before anything else its clean-up runs, if there is time for that;
    it has a grace of its own."""
    if job.hooks.after_stop is None or run.is_hurried:
        return _next(run, after, job, now)
    since = run.since if run.state is State.STOPPING else now
    tidying = run._replace(state=State.STOPPING, since=since, after=after, ladder=Ladder.ASKED)
    return tidying._replace(is_busy=True, due=now + job.grace), (Tidy(),)


def tidied(run: Run, given: Input, job: Job, now: float) -> Step:
    """What went wrong with the clean-up is told, and nothing else: the job itself has ended as it has."""
    return _next(run._replace(is_busy=False), run.after, job, now)


def _next(run: Run, after: After, job: Job, now: float) -> Step:
    """Nothing of it is there any more: what now?"""
    if not run.is_wanted or after is After.REST:
        return _rest(run, State.STOPPED, run.why, now)
    if after is After.START:
        return _enter(run._replace(failures=0, quick=()), job, now)
    if after is After.FAIL:
        return _fail(run, run.why, job, now, is_unwell=True)
    if after is After.FIX and run.call:
        fixing = run._replace(state=State.FIXING, since=now, due=now + TASK_MOST, after=After.FIX, is_busy=True)
        return fixing, (Heal(run.call),)
    return _judge(run, job, now)


def _judge(run: Run, job: Job, now: float) -> Step:
    """The job ended by itself, and well or not."""
    if run.exit is None or run.exit.code not in job.success_codes:
        return _fail(run, run.why, job, now)
    if job.restart == "always":
        return _wait(run._replace(failures=0), job, run.why, now)
    return _rest(run, State.DONE, "", now)


def _fail(run: Run, why: str, job: Job, now: float, is_unwell: bool = False) -> Step:
    """Who asks zap whether a job is well wants it started again when it is not, whatever it does when it ends."""
    failed = run._replace(failures=run.failures + 1)
    if job.restart == "never" and not is_unwell:
        return _rest(failed, State.FAILED, why, now)
    if job.tries is not None and failed.failures >= job.tries:
        tries = "1 try" if failed.failures == 1 else f"{failed.failures} tries"
        return _rest(failed, State.FAILED, f"{why}; gave up after {tries}", now)
    return _wait(failed, job, why, now)


def _wait(run: Run, job: Job, why: str, now: float) -> Step:
    chance = (run.seed + run.epoch * GOLDEN) % 1.0
    due = max(now + delay(job, run.failures, chance) + run.spread, _soonest(run))
    return _back_off(run, due, why, now)


def _back_off(run: Run, due: float, why: str, now: float) -> Step:
    waiting = run._replace(state=State.BACKOFF, since=now, due=due, is_busy=False, call=None, why=why, spread=0.0)
    return waiting, ()


def _soonest(run: Run) -> float:
    """When it may start by itself, whatever its settings say: what ends at once is no way to spend a minute."""
    return run.quick[0] + MINUTE if len(run.quick) == INSTANT_STARTS else 0.0


def start_again(run: Run, given: Input, job: Job, now: float) -> Step:
    return _enter(run, job, now)


def remedied(run: Run, given: Input, job: Job, now: float) -> Step:
    assert isinstance(given, TaskEnded)
    call = run.call
    assert call is not None
    free = run._replace(is_busy=False)
    if not run.is_wanted:
        return _rest(free, State.STOPPED, run.why, now)
    if run.after is After.START:
        return _enter(free._replace(failures=0, quick=()), job, now)
    if given.why:
        return _fail(free._replace(call=None), f"fixup {call.fixup}: {_cut_short(run) or given.why}", job, now)
    if call.then == "give-up":
        return _rest(free, State.FAILED, f"fixup {call.fixup}: {call.about}", now)
    if (due := _soonest(run)) > now:
        return _back_off(free, due, run.why, now)
    return _enter(free, job, now)


def end_task(run: Run, given: Input, job: Job, now: float) -> Step:
    return run._replace(due=None), (EndTask(),)


def ignore(run: Run, given: Input, job: Job, now: float) -> Step:
    return run, ()


def impossible(run: Run, given: Input, job: Job, now: float) -> Step:
    raise Impossible(f"{run.state} cannot meet {given}")


# fmt: off
no = impossible
_ROWS: dict[type, tuple[Rule, ...]] = {
    #            stopped waiting    starting     running  ready    stopping     fixing     backoff      done    failed
    Start:      (start,  want,      want_anew,   want,    want,    start_next,  want_anew, start,       start,  start),
    Stop:       (unwant, stop_idle, abort,       stop,    stop,    stop_ending, abort_fix, stop_idle,   unwant, unwant),
    Restart:    (start,  want,      want_anew,   restart, restart, start_next,  want_anew, start,       start,  start),
    Fix:        (fix,    fix,       ignore,      fix_up,  fix_up,  fix_next,    ignore,    fix,         fix,    fix),
    Go:         (no,     go,        no,          no,      no,      ask_now,     no,        no,          no,     no),
    Skip:       (no,     skip,      no,          no,      no,      no,          no,        no,          no,     no),
    Spawned:    (no,     no,        spawned,     no,      no,      no,          no,        no,          no,     no),
    NotSpawned: (no,     no,        not_spawned, no,      no,      no,          no,        no,          no,     no),
    Passed:     (no,     no,        no,          ready,   ignore,  no,          no,        no,          no,     no),
    Unwell:     (no,     no,        no,          unwell,  unwell,  no,          no,        no,          no,     no),
    Called:     (no,     no,        no,          called,  called,  called_late, no,        no,          no,     no),
    Exited:     (no,     no,        no,          exited,  exited,  ended,       no,        no,          no,     no),
    Emptied:    (no,     no,        no,          no,      no,      emptied,     no,        no,          no,     no),
    TaskEnded:  (no,     no,        prepared,    no,      no,      tidied,      remedied,  no,          no,     no),
    Due:        (no,     no,        end_task,    ready,   healthy, climb,       end_task,  start_again, no,     no),
}
# fmt: on

TABLE: dict[tuple[State, type], Rule] = {
    (state, given): rule for given, rules in _ROWS.items() for state, rule in zip(State, rules, strict=True)
}
