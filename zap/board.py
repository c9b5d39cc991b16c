"""Folds events into the rows that a person sees: one a job, with how it is and how it came there."""

from __future__ import annotations

from collections.abc import Iterable

from zap import events
from zap.events import Event, Row, State

RAN_MOST = 50  # commands that a row remembers; every job of a plan has one, and all of them are told at once


class Board:
    """The rows by job, in the plan's order, as of the last event that was applied."""

    def __init__(self, jobs: Iterable[tuple[str, int]]) -> None:
        self.rows = {job: Row(job, commands) for job, commands in jobs}
        self._asked = (0, "")  # the number of the last request, and who has asked

    def apply(self, event: Event) -> None:
        match event.fact:
            case events.Restated(row=row):
                self.rows[row.job] = row
            case events.Measured(loads=loads):
                for load in loads:
                    if load.job in self.rows:
                        self.rows[load.job] = self.rows[load.job]._replace(cpu=load.cpu, memory=load.memory)
            case events.Removed(job=job):
                self.rows.pop(job, None)
            case events.Requested(by=by):
                self._asked = (event.n, f"by {by}")
            case events.Paused(job=job, why=why) if job in self.rows:
                number, by = self._asked
                why = why or (by if event.cause == number else "")
                self.rows[job] = self.rows[job]._replace(is_paused=True, since=event.at, why=why)
            case fact:
                old = self.rows.get(getattr(fact, "job", ""))
                if old:
                    self.rows[old.job] = _fold(old, fact, event.at)


def _resumed(row: Row) -> Row:
    """As before it was paused. It has been running since its birth, and ready since `up`."""
    if not row.is_paused:
        return row
    before = row.up if row.state is State.READY else row.spawned
    return row._replace(is_paused=False, since=row.since if before is None else before, why="")


def _fold(row: Row, fact: events.Fact, at: float) -> Row:
    match fact:
        case events.Became(state=State.READY) if row.is_paused:  # its time went on
            return row._replace(state=State.READY, up=at if row.up is None else row.up)
        case events.Became():
            now = row._replace(
                state=fact.state,
                epoch=fact.epoch,
                since=at,
                why=fact.why,
                seconds=fact.seconds,
                exit=fact.exit or row.exit,
                sent="",
                hook="",
                lacks=(),
                leavers=(),
                is_paused=False,
            )
            if fact.state in (State.WAITING, State.STARTING) and row.state is not State.WAITING:
                return now._replace(asked=at, up=None, begun=at if row.begun is None else row.begun)
            return now._replace(up=at) if fact.state in (State.READY, State.DONE) and row.up is None else now
        case events.Waits():
            return row._replace(lacks=fact.lacks, leavers=fact.leavers)
        case events.Spawned():
            return row._replace(
                command=0,
                text="",
                exit=None,
                spawned=at,
                pid=fact.pid,
                asking=(),
                probed=(),
                status="",
                hook="",
                is_paused=False,
            )
        case events.Probed() if fact.epoch == row.epoch:
            others = tuple(probed for probed in row.probed if probed.question != fact.question)
            return row._replace(probed=(*others, fact._replace(when=at)))
        case events.Resumed():
            return _resumed(row)
        case events.Notified():
            return row._replace(status=fact.status)
        case events.Signalled(signal=events.KEYS):
            return row._replace(sent=fact.signal, hook="")
        case events.Signalled():  # which wakes whoever stands still
            return _resumed(row)._replace(sent=fact.signal, hook="")
        case events.HookStarted() if fact.hook != "after_start":
            return row._replace(hook=fact.hook)
        case events.CommandStarted():
            ran = (*row.ran[1 - RAN_MOST :], events.Ran(fact.epoch, fact.command, fact.line, at))
            return row._replace(command=fact.command, text=fact.text, ran=ran)
        case events.CommandEnded():
            ran = tuple(
                ended._replace(status=fact.status, seconds=fact.seconds)
                if (ended.epoch, ended.command) == (fact.epoch, fact.command)
                else ended
                for ended in row.ran
            )
            return row._replace(ran=ran)
        case events.Output():  # it may be older than what was restated
            return row._replace(lines=max(row.lines, fact.last), errors=max(row.errors, fact.errors))
        case events.Exited():
            return row._replace(exit=fact.status, pid=0, cpu=0.0, memory=0, hook="", is_paused=False)
        case events.FixStarted():
            asking = tuple(proposed for proposed in row.asking if proposed.fixup != fact.fixup)
            return row._replace(tasks=row.tasks + 1, asking=asking)
        case events.Fixed():
            return row._replace(tasks=max(row.tasks - 1, 0), fixups=(*row.fixups, fact.fixup))
        case events.FixFailed():
            return row._replace(tasks=max(row.tasks - 1, 0), gave_up=(*row.gave_up, fact.fixup))
        case events.Proposed():
            return row._replace(gave_up=(*row.gave_up, fact.fixup), asking=(*row.asking, fact))
        case events.GaveUp():
            return row._replace(gave_up=(*row.gave_up, fact.fixup))
        case _:
            return row
