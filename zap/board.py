"""Folds events into the rows that a person sees: one a job, with how it is and how it came there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zap import events
from zap.events import Event, State, Status


class Row(NamedTuple):
    """A job as far as the events tell. `begun` and `since` are times on the wall; `fixups` are those that healed it.

    `commands` is how many the job has, `command` the one that runs or ran last. `tasks` counts remedies that run.
    """

    job: str
    commands: int
    state: State = State.STOPPED
    epoch: int = 0
    since: float = 0.0
    begun: float | None = None
    command: int = 0
    text: str = ""
    exit: Status | None = None
    why: str = ""
    fixups: tuple[str, ...] = ()
    gave_up: tuple[str, ...] = ()
    tasks: int = 0

    @property
    def restarts(self) -> int:
        return max(self.epoch - 1, 0)

    @property
    def is_at_rest(self) -> bool:
        return self.state.is_rest and not self.tasks

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


class Board:
    """The rows by job, in the plan's order, as of the last event that was applied."""

    def __init__(self, jobs: Iterable[tuple[str, int]]) -> None:
        self.rows = {job: Row(job, commands) for job, commands in jobs}

    def apply(self, event: Event) -> None:
        if isinstance(event.fact, events.Skipped):  # the ends of remedies may be among what is gone
            self.rows = {job: row._replace(tasks=0) for job, row in self.rows.items()}
        row = self.rows.get(getattr(event.fact, "job", ""))
        if row:
            self.rows[row.job] = _fold(row, event.fact, event.at)


def _fold(row: Row, fact: events.Fact, at: float) -> Row:
    match fact:
        case events.Became():
            begun = at if row.begun is None and fact.state is State.STARTING else row.begun
            now = row._replace(state=fact.state, epoch=fact.epoch, since=at, begun=begun, why=fact.why)
            return now._replace(exit=fact.exit) if fact.exit else now
        case events.Spawned():
            return row._replace(command=0, text="", exit=None)
        case events.CommandStarted():
            return row._replace(command=fact.command, text=fact.text)
        case events.Exited():
            return row._replace(exit=fact.status)
        case events.FixStarted():
            return row._replace(tasks=row.tasks + 1)
        case events.Fixed():
            return row._replace(tasks=max(row.tasks - 1, 0), fixups=(*row.fixups, fact.fixup))
        case events.FixFailed():
            return row._replace(tasks=max(row.tasks - 1, 0), gave_up=(*row.gave_up, fact.fixup))
        case events.GaveUp() | events.Proposed():
            return row._replace(gave_up=(*row.gave_up, fact.fixup))
        case _:
            return row
