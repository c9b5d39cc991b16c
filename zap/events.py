"""What happened, in the past tense; the runner numbers each fact and publishes it as an Event."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

from zap.plan import Need, Until

Stream = Literal["out", "err", "zap"]
Question = Literal["ready", "health", "ping", "watchdog"]
KEYS = "keys"  # in the place of a signal's name
LOG = "zap"  # what the runner's own log is called where a job's name is wanted


class State(StrEnum):
    """Where a job is in its life. A job at rest has no child and no timer; one that is waiting has neither as well."""

    STOPPED = "stopped"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    STOPPING = "stopping"
    FIXING = "fixing"
    BACKOFF = "backoff"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_rest(self) -> bool:
        return self in (State.STOPPED, State.DONE, State.FAILED)


class Status(NamedTuple):
    """How a process ended: by an exit code (0–255), or killed by a signal (its name without SIG).

    `cause` is `memory` where the kernel has killed it, or one of its family, because the job's memory was used up. It
    is `unseen`, and the code 127, when whoever could have been told of it was killed.
    """

    code: int | None = None
    signal: str | None = None
    cause: Literal["memory", "unseen"] | None = None

    @property
    def is_out_of_memory(self) -> bool:
        return self.cause == "memory"

    def __str__(self) -> str:
        if self.cause == "unseen":
            return "an end that nobody saw"
        told = f"exit {self.code}" if self.signal is None else f"killed by {self.signal}"
        return f"out of memory ({told})" if self.is_out_of_memory else told


UNSEEN = Status(code=127, cause="unseen")


class Line(NamedTuple):
    """One line of a job's output; `text` is raw (colours and all) without its newline; `command` counts from 1.

    Numbers start at 1, are never given twice and never go back. An open line has no newline yet (a prompt): it has
    the number that it will have if nothing else is completed first, and may still grow.
    """

    number: int
    at: float
    stream: Stream
    command: int
    text: bytes
    is_open: bool = False


class Load(NamedTuple):
    """What a job's shell and all its family use.

    `cpu` is the average since the look before, in percent of one processor: two of them at work are 200.0. `memory` is
    what is resident, in bytes, added up: a page that several processes share counts in each. `processes` live.
    """

    job: str
    cpu: float
    memory: int
    processes: int


# Facts about one job. `epoch` counts the job's children from 1, so that nothing stale is taken for news.


class Became(NamedTuple):
    """The job is in another state now; `why` is a sentence part, `seconds` is how long a backoff will last.

    `exit` is how the child of this epoch ended, if it has. With `is_in_storm` it is one of many to which the same
    happens: Stormed has told of them together.
    """

    job: str
    epoch: int
    state: State
    why: str = ""
    seconds: float | None = None
    exit: Status | None = None
    is_in_storm: bool = False


class Lack(NamedTuple):
    """A need that is not met. With `is_hopeless` the job that is needed is at rest, or waits for one that is: somebody
    has to do something.
    """

    job: str
    until: Until
    line: str | None = None
    is_hopeless: bool = False


class Waits(NamedTuple):
    """What keeps a job from starting, or from being asked to end: `leavers` need it, and are ending first."""

    job: str
    epoch: int
    lacks: tuple[Lack, ...] = ()
    leavers: tuple[str, ...] = ()


class Probed(NamedTuple):
    """An answer to the question how the job is, or that none came; those that go well are told when the last did not.

    `by` is what was asked, such as `tcp localhost:5432`; `said` is what the answer was, or what the probe printed last.
    `times` answers in a row were like it, of the `most` at which the job is ready, or ended. The next question follows
    in `seconds`. A newer one takes the place of one that a reader has not had yet. `when` is there in a row only: when
    it was, on the wall.
    """

    job: str
    epoch: int
    question: Question
    is_ok: bool
    by: str
    said: str = ""
    times: int = 1
    most: int = 1
    seconds: float | None = None
    when: float = 0.0


class Notified(NamedTuple):
    """The job has told how it is (STATUS of sd_notify(3))."""

    job: str
    epoch: int
    status: str


class Spawned(NamedTuple):
    job: str
    epoch: int
    pid: int


class NotSpawned(NamedTuple):
    job: str
    epoch: int
    why: str


class CommandStarted(NamedTuple):
    """`line` is the number of the first line that it can have said."""

    job: str
    epoch: int
    command: int
    text: str
    line: int = 0


class CommandEnded(NamedTuple):
    job: str
    epoch: int
    command: int
    status: Status
    seconds: float


class Exited(NamedTuple):
    """The job's shell has ended, and what it said before has been read. `is_in_storm` is as in Became."""

    job: str
    epoch: int
    status: Status
    seconds: float
    is_in_storm: bool = False


class Signalled(NamedTuple):
    """A signal was sent to everything that belongs to the job; or, to end it, its `keys` were typed."""

    job: str
    epoch: int
    signal: str


class Paused(NamedTuple):
    """The job's processes stand still, until Resumed: a person wants it, or somebody has sent a STOP, as `why` says."""

    job: str
    epoch: int
    why: str = ""


class Resumed(NamedTuple):
    """The job goes on."""

    job: str
    epoch: int


class Output(NamedTuple):
    """A pointer: lines `first` to `last` can be fetched; with `is_open` there is an unfinished line behind them.

    `errors` lines of stream `err` have been completed so far. A newer pointer takes the place of one that a reader has
    not had yet; he goes on from what he has, and may so hear of a job's last lines behind its exit.
    """

    job: str
    first: int
    last: int
    is_open: bool = False
    errors: int = 0


class Cleared(NamedTuple):
    """Somebody let the job's lines go; numbers go on."""

    job: str


class Matched(NamedTuple):
    """A fixup knows this error. `line` is the number of the line that told it, 0 when the exit alone did."""

    job: str
    epoch: int
    fixup: str
    line: int
    about: str


class Proposed(NamedTuple):
    """A fixup matched that wants approval: this is exactly what it would run."""

    job: str
    epoch: int
    fixup: str
    line: int
    commands: tuple[str, ...]
    effects: tuple[str, ...]


class FixStarted(NamedTuple):
    job: str
    epoch: int
    fixup: str
    commands: tuple[str, ...]


class Fixed(NamedTuple):
    """The remedy ended well; `is_verified` when the fixup has a `verify` and that ended well too."""

    job: str
    epoch: int
    fixup: str
    seconds: float
    is_verified: bool


class FixFailed(NamedTuple):
    job: str
    epoch: int
    fixup: str
    why: str


class GaveUp(NamedTuple):
    """A fixup matched and was not run, because its tries are used up or a capture was not safe to use."""

    job: str
    epoch: int
    fixup: str
    why: str


class HookStarted(NamedTuple):
    """`hook` is called as in the settings; for `stop` it is the stop command."""

    job: str
    epoch: int
    hook: str
    text: str


class HookFailed(NamedTuple):
    """What was to be run around the job's life did not end well."""

    job: str
    epoch: int
    hook: str
    why: str


class Answered(NamedTuple):
    """A prompt was answered; `prompt` is the pattern, and the reply is not told."""

    job: str
    epoch: int
    prompt: str


class Overloaded(NamedTuple):
    """`value` was over `limit` for `window` seconds; said once until it is relieved. `advice` is what may help."""

    job: str
    what: str
    value: float
    limit: float
    window: float
    advice: str = ""


class Relieved(NamedTuple):
    job: str
    what: str
    value: float
    limit: float
    window: float


class Ran(NamedTuple):
    """A command as it ran in child `epoch`: from line `line` on, since `at`; without a status it has not ended."""

    epoch: int
    command: int
    line: int
    at: float
    status: Status | None = None
    seconds: float | None = None


class Row(NamedTuple):
    """A job as far as the events tell. `begun`, `since` and `spawned` are times on the wall; `fixups` have healed it.

    `commands` is how many the job has, `command` the one that runs or ran last. `tasks` counts remedies that run.
    `lines` and `errors` (those of stream `err`) have been completed so far. `asking` are fixups that want approval,
    `ran` the commands that ran last, oldest first. `sent` is the signal that was sent last since the state changed.
    `asked` is when it was last set on its way up, `up` when it was ready or done after that. `lacks` and `leavers` are
    what it waits for, `probed` is the last answer of this run, by question, and `status` what the run told of itself.
    `hook` is the one that runs while the job waits for it. With `is_paused` its processes stand still.
    """

    job: str
    commands: int
    state: State = State.STOPPED
    epoch: int = 0
    since: float = 0.0
    begun: float | None = None
    spawned: float | None = None
    pid: int = 0
    command: int = 0
    text: str = ""
    exit: Status | None = None
    why: str = ""
    seconds: float | None = None
    fixups: tuple[str, ...] = ()
    gave_up: tuple[str, ...] = ()
    asking: tuple[Proposed, ...] = ()
    ran: tuple[Ran, ...] = ()
    tasks: int = 0
    sent: str = ""
    asked: float | None = None
    up: float | None = None
    lacks: tuple[Lack, ...] = ()
    leavers: tuple[str, ...] = ()
    probed: tuple[Probed, ...] = ()
    status: str = ""
    hook: str = ""
    is_paused: bool = False
    lines: int = 0
    errors: int = 0
    cpu: float = 0.0
    memory: int = 0

    @property
    def restarts(self) -> int:
        return max(self.epoch - 1, 0)

    @property
    def is_at_rest(self) -> bool:
        return self.state.is_rest and not self.tasks

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for what will not happen by itself."""
        return self.state is State.WAITING and any(lack.is_hopeless for lack in self.lacks)

    @property
    def code(self) -> int:
        """What a shell would say of how the last child ended; 127 when there was none."""
        if self.exit is None:
            return 127
        if self.exit.code is not None:
            return self.exit.code
        return 128 + _NUMBERS.get(self.exit.signal or "", 0)


# signal(7); the ones that a job is likely to die of have the same number on every system that zap knows.
_NUMBERS = {"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "FPE": 8, "KILL": 9, "SEGV": 11, "PIPE": 13}
_NUMBERS |= {"ALRM": 14, "TERM": 15}


class Restated(NamedTuple):
    """How a job is, for a reader who has not followed how it came to that."""

    job: str
    row: Row


class Rewired(NamedTuple):
    """Somebody has changed what the job needs, until the plan is reloaded."""

    job: str
    needs: tuple[Need, ...]


class Removed(NamedTuple):
    """The job is not in the plan any more, and has ended."""

    job: str


# Facts about the whole.


class Measured(NamedTuple):
    """What jobs use; those whose figures have not changed are left out."""

    loads: tuple[Load, ...]


class Stormed(NamedTuple):
    """Many jobs have failed within `seconds`; their restarts are spread. These, and those that follow, are told here
    and not each by itself."""

    jobs: tuple[str, ...]
    seconds: float


class Reloaded(NamedTuple):
    """The plan is another one now: these jobs are new, are removed, are restarted, or go on with other settings.

    A Restated for each job that is new comes before, a Removed for each that is removed comes when it has ended.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()


class NotReloaded(NamedTuple):
    """The plan has changed, and is not right; everything goes on as before. `why` is a problem a line."""

    why: str


class Requested(NamedTuple):
    """Somebody has asked for this; what follows from it has this event's number as its cause.

    `verb` is called as on the socket, `by` says who: a user and a process, or a signal.
    """

    verb: str
    jobs: tuple[str, ...] = ()
    by: str = ""


class Degraded(NamedTuple):
    """Something that zap does beside the jobs cannot be done, and they go on without it: `what` (such as `the
    journal`), and `why`. Told once, until Recovered.
    """

    what: str
    why: str
    job: str = ""


class Recovered(NamedTuple):
    """What was degraded works again; `lost` says what is missing for good, and is empty when nothing is."""

    what: str
    lost: str = ""
    job: str = ""


class Jumped(NamedTuple):
    """The clock on the wall was set by so many seconds, forwards or back. What zap waits for does not follow it."""

    seconds: float


class Slept(NamedTuple):
    """The machine was suspended for so many seconds, in which no job ran and no timer went on."""

    seconds: float


class Left(NamedTuple):
    """These processes were found, left behind by a runner of the plan that is gone, and were ended."""

    jobs: tuple[str, ...]
    processes: int


class TookOver(NamedTuple):
    """The runner is another process now, which has taken everything over from the one before; the jobs went on.

    `why` says what has become of that one; nobody was there for `seconds`.
    """

    pid: int
    version: str
    why: str
    seconds: float


class Opened(NamedTuple):
    """The runner is there."""

    plan: str
    pid: int
    version: str


class Skipped(NamedTuple):
    """This reader was too slow: what was numbered from `events` before this one is gone for him.

    What is kept follows, then a Restated for each job, and the newest pointer to the output of each.
    """

    events: int


class Closed(NamedTuple):
    """The runner has ended all that it started; `left` processes could not be ended. No event follows."""

    left: int = 0


Fact = (
    Became
    | Spawned
    | NotSpawned
    | Waits
    | Probed
    | Notified
    | CommandStarted
    | CommandEnded
    | Exited
    | Signalled
    | Paused
    | Resumed
    | Output
    | Cleared
    | Restated
    | Measured
    | Matched
    | Proposed
    | FixStarted
    | Fixed
    | FixFailed
    | GaveUp
    | HookStarted
    | HookFailed
    | Answered
    | Overloaded
    | Relieved
    | Stormed
    | Rewired
    | Removed
    | Reloaded
    | NotReloaded
    | Requested
    | Degraded
    | Recovered
    | Jumped
    | Slept
    | Left
    | TookOver
    | Opened
    | Skipped
    | Closed
)


class Event(NamedTuple):
    """A fact with its number and its time (seconds since the epoch of the clock on the wall).

    Numbers grow from 1. They have gaps where a pointer to output gave way to a newer one. `cause` is the number of the
    event from which this one followed, 0 where there is none.
    """

    n: int
    at: float
    fact: Fact
    cause: int = 0
