"""What happened, in the past tense; the runner numbers each fact and publishes it as an Event."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

Stream = Literal["out", "err", "zap"]


class State(StrEnum):
    """Where a job is in its life. A job at rest has no child and no timer."""

    STOPPED = "stopped"
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
    """How a process ended: by an exit code (0–255), or killed by a signal (its name without SIG)."""

    code: int | None = None
    signal: str | None = None

    def __str__(self) -> str:
        return f"exit {self.code}" if self.signal is None else f"killed by {self.signal}"


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


# Facts about one job. `epoch` counts the job's children from 1, so that nothing stale is taken for news.


class Became(NamedTuple):
    """The job is in another state now; `why` is a sentence part, `seconds` is how long a backoff will last.

    `exit` is how the child of this epoch ended, if it has.
    """

    job: str
    epoch: int
    state: State
    why: str = ""
    seconds: float | None = None
    exit: Status | None = None


class Spawned(NamedTuple):
    job: str
    epoch: int
    pid: int


class NotSpawned(NamedTuple):
    job: str
    epoch: int
    why: str


class CommandStarted(NamedTuple):
    job: str
    epoch: int
    command: int
    text: str


class CommandEnded(NamedTuple):
    job: str
    epoch: int
    command: int
    status: Status
    seconds: float


class Exited(NamedTuple):
    """The job's shell has ended, and what it said before has been read."""

    job: str
    epoch: int
    status: Status
    seconds: float


class Signalled(NamedTuple):
    """A signal was sent to everything that belongs to the job."""

    job: str
    epoch: int
    signal: str


class Output(NamedTuple):
    """A pointer: lines `first` to `last` can be fetched; with `is_open` there is an unfinished line behind them."""

    job: str
    first: int
    last: int
    is_open: bool = False


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


# Facts about the whole.


class Opened(NamedTuple):
    """The runner is there."""

    plan: str
    pid: int
    version: str


class Skipped(NamedTuple):
    """This reader was too slow: so many events up to this one are gone for it. How each job is now follows."""

    events: int


class Closed(NamedTuple):
    """The runner has ended all that it started; `left` processes could not be ended. No event follows."""

    left: int = 0


Fact = (
    Became
    | Spawned
    | NotSpawned
    | CommandStarted
    | CommandEnded
    | Exited
    | Signalled
    | Output
    | Matched
    | Proposed
    | FixStarted
    | Fixed
    | FixFailed
    | GaveUp
    | Answered
    | Overloaded
    | Relieved
    | Opened
    | Skipped
    | Closed
)


class Event(NamedTuple):
    """A fact with its number (from 1, without gaps) and its time (seconds since the epoch of the clock on the wall)."""

    n: int
    at: float
    fact: Fact
