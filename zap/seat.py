"""A job's place in the runner: what the hands hold for it, and what is done beside its child."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zap.meter import Meter

if TYPE_CHECKING:
    import asyncio

    from zap import child, machine
    from zap.answerer import Answerer
    from zap.fixup import Call, Filled
    from zap.flock import Flock
    from zap.mailbox import Mailbox
    from zap.memory import KeptChild, Purpose
    from zap.plan import Answer, Job
    from zap.transcript import Errand, Transcript

Kind = Literal["own", "aside", "stop"]


class Task:
    """Something done for a job beside its child: a remedy, a hook or a stop command.

    The machine waits for its `own`; what is `aside` of a job that lives ends when somebody stops that; what is to
    `stop` it ends with it.
    """

    def __init__(
        self, kind: Kind, born: child.Child, kept: KeptChild | None, errand: Errand, purpose: Purpose, now: float
    ) -> None:
        self.kind = kind
        self.child = born
        self.kept = kept
        self.errand = errand
        self.purpose = purpose
        self.since = now


class Seat:
    """One job's place in the runner: its run, and what the hands hold for it."""

    def __init__(self, job: Job, flock: Flock, transcript: Transcript) -> None:
        self.name = job.name
        self._flock = flock
        self.transcript = transcript
        self.child: child.Child | None = None
        self.kept: KeptChild | None = None  # how the next runner finds the child
        self.has_ended = False  # the child's shell; others of its family may live
        self.spawned = 0.0
        self.command = 0  # the running command, or the last one
        self.command_since: float | None = None
        self.code: int | None = None  # with which the last command ended, as its shell has told
        self.folder = job.cwd  # where that command began
        self.remedy: tuple[Call, Filled] | None = None  # what the fixup that the machine knows of will run
        self.tasks: list[Task] = []
        self.timer: asyncio.TimerHandle | None = None  # the machine's
        self.vital_timer: asyncio.TimerHandle | None = None
        self.probing: asyncio.Task[None] | None = None  # the probe that is out, or was let go of and ends
        self.probe: child.Child | None = None  # its command
        self.mailbox: Mailbox | None = None
        self.cause = 0  # the event from which whatever follows for it will have followed
        self.spoke = 0.0  # when it said something last
        self.echo = 0  # bytes that are only what was typed, said again
        self.told = 0  # the newest line that an Output event pointed at
        self.was_open = False
        self.heard = 0  # bytes since the meter was fed
        self.meter = Meter(job)
        self.asking: dict[str, Call] = {}  # by fixup, what wants approval
        self.groups: tuple[str, ...] = ()  # of its control group, the folders
        self.size: tuple[int, int] | None = None  # rows and columns of its terminals, once somebody looks at them
        self.untyped = bytearray()  # what the child has not taken yet
        self.typing: asyncio.TimerHandle | None = None
        self.metering: asyncio.TimerHandle | None = None
        self.pacing: asyncio.TimerHandle | None = None  # while it is left unread for who follows
        self.is_paused = False
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
