"""What lies open: the tree, the views beside it, what is typed into, and what stands above all."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from zap import requests
from zap.board import Board
from zap.errors import ZapError
from zap.events import LOG, Event
from zap.plan import Plan
from zap.session import Session
from zap.tui import menus
from zap.tui.dialog import Dialog, Prompt
from zap.tui.feed import Feed
from zap.tui.host import Host
from zap.tui.inside import Inside
from zap.tui.keys import Keys, Where
from zap.tui.log import Log
from zap.tui.output import Look, Output
from zap.tui.reader import Reader
from zap.tui.text import Attr
from zap.tui.tree import Tree

ALL = "all jobs"
KNOWN_MOST = 16  # views that are kept as they were left, the last ones; each may hold thousands of lines
ATTEND_AGAIN = 0.1  # seconds


class Desk:
    """The state of the interface. Who draws looks at it; deeds change it."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        board: Board,
        keys: Keys,
        look: Look,
        host: Host,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.session = session
        self.plan = plan
        self.board = board
        self.keys = keys
        self.look = look
        self.glyphs = look.glyphs
        self.host = host
        self.environ = environ
        self.clock = clock
        self.tree = Tree(plan, board, look.glyphs, clock)
        self.log = Log(look.glyphs)
        self.last = {LOG: 0} | {name: row.lines for name, row in board.rows.items()}
        self.newest = 0  # the number of the newest event
        self.happened: Event | None = None  # the newest that is worth a line
        self.reader = Reader(session, host, self.say, self.last, environ)
        self.known: dict[tuple[str, ...], Output] = {}  # views that were looked at, by their jobs, the last one last
        self.has_focus = False  # on the right side; else it is the tree's
        self.has_log = False  # the event log takes the place of the outputs
        self.is_merged = False  # all jobs in one view, whatever is selected
        self.inside: Inside | None = None
        self.dialogs: list[Dialog] = []  # the last one is seen
        self.waiting: list[Dialog] = []  # those that come up by themselves
        self.prompt: Prompt | None = None
        self.said: tuple[Attr, str] = ("notice", "")  # what the last action led to
        self.is_closing = False
        self._attended = 0.0
        self.commands = {job.name: tuple(command.text for command in job.commands) for job in plan.jobs}
        self._entered: dict[tuple[str, int], Inside] = {}  # what was typed into before, by job and epoch
        self.at = 0  # which of the outputs is meant
        self.outputs: list[Output] = []
        self.outputs.append(self.output(self.selected_jobs()))

    @property
    def where(self) -> Where:
        if self.inside:
            return "inside"
        if not self.has_focus:
            return "tree"
        return "events" if self.has_log else "output"

    def say(self, said: str, attr: Attr = "notice") -> None:
        self.said = (attr, said)
        self.host.redraw()

    def chosen(self) -> tuple[str, ...]:
        """The jobs that an action is for: those of the tree's selection, or of the output that has the focus."""
        if self.has_focus and not self.has_log and self.output_here.job:
            return (self.output_here.job,) if self.output_here.job != LOG else ()
        return self.tree.chosen()

    def ask(self, request: requests.JobRequest, said: str) -> None:
        if not request.jobs:
            self.say("choose a job first", "warn")
            return
        self.say(f"{said} {menus.named(request.jobs)}")
        self.host.begin(self.ask_runner(request))

    def attend(self) -> None:
        """Somebody is at the keys, and what they lead to comes first."""
        now = time.monotonic()
        if now > self._attended + ATTEND_AGAIN:
            self._attended = now
            self.host.begin(self.ask_runner(requests.Attend()))

    async def ask_runner(self, request: requests.Request) -> None:
        try:
            await self.session.ask(request)
        except ZapError as error:
            self.say(str(error), "notice bad")

    @property
    def output_here(self) -> Output:
        return self.outputs[self.at]

    def selected_jobs(self) -> tuple[str, ...]:
        if self.is_merged:
            return tuple(self.tree.jobs)
        entry = self.tree.selected
        return (entry.job,) if entry.job else tuple(self.tree.systems.get(entry.system, ()))

    def output(self, jobs: tuple[str, ...]) -> Output:
        """A view that was looked at before is as it was left, unless it is what another pane shows."""
        output = self.known.pop(jobs, None)
        if output is None or output in self.outputs[: self.at] + self.outputs[self.at + 1 :]:
            feed = Feed(self.session, jobs, self.last)
            output = Output(feed, self.board.rows.get, self.commands, self.look, self._title(jobs))
        self.known[jobs] = output
        if len(self.known) > KNOWN_MOST:
            del self.known[next(iter(self.known))]
        return output

    def _title(self, jobs: tuple[str, ...]) -> str:
        if len(jobs) < 2:
            return "".join(jobs) or "no jobs"
        systems = dict.fromkeys(job.partition("/")[0] for job in jobs)
        return ALL if len(jobs) == len(self.tree.jobs) else f"{', '.join(systems)}: {len(jobs)} jobs"

    def show_selected(self) -> None:
        if self.tree.entries():  # where none is left of the tree, what showed last stays
            self.outputs[self.at] = self.output(self.selected_jobs())
            self.reader.refresh(self.output_here)

    @property
    def views(self) -> set[Output]:
        """Those that show, and those that were looked at before."""
        return {*self.known.values(), *self.outputs}

    def enter(self, job: str) -> None:
        """Begin to type into it, or go on: whoever runs there may have said long ago what kind of keys it wants."""
        epoch = self.board.rows[job].epoch
        inside = self._entered.get((job, epoch))
        if inside is None:
            inside = Inside(self.session, job, self.last, self.look.colours, self.host, self.ask_runner)
            self._entered = {(job, epoch): inside} | {key: was for key, was in self._entered.items() if key[0] != job}
        inside.enter()
        self.inside = inside

    def leave(self) -> None:
        if self.inside:
            self.inside = None
            self.said = ("notice", "")
            self.reader.refresh(self.output_here)

    def show_waiting(self) -> None:
        """What comes up by itself never takes the keys of somebody who is typing."""
        if self.waiting and not (self.dialogs or self.prompt or self.inside):
            self.dialogs.append(self.waiting.pop(0))
            self.host.redraw()

    def close_outdated(self) -> None:
        """What is not asked any more: it was approved elsewhere, or the job has gone on without it."""
        if self.dialogs or self.waiting:
            asked = {None, *(proposed for row in self.board.rows.values() for proposed in row.asking)}
            self.dialogs = [dialog for dialog in self.dialogs if dialog.subject in asked]
            self.waiting = [dialog for dialog in self.waiting if dialog.subject in asked]

    def read(self, what: Coroutine[Any, Any, object]) -> None:
        async def read() -> None:
            await what
            self.host.redraw()

        self.host.begin(read())
