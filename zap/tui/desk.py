"""What lies open: the tree, the views beside it, what is typed into, and what stands above all."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any

from zap import requests
from zap.board import Board
from zap.errors import ZapError
from zap.events import LOG, Degraded, Event
from zap.plan import Plan
from zap.session import Session
from zap.tui import menus
from zap.tui.dialog import Dialog, Prompt
from zap.tui.feed import Feed, Wanted
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
        self.degraded: dict[tuple[str, str], Degraded] = {}  # by what and whose it is: what zap goes on without
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
        self._is_outdated = False  # the plan, and it is to be fetched again
        self._is_fetching = False
        self._doubted: set[str] = set()  # jobs of which one may have missed that they were removed
        self.commands: dict[str, tuple[str, ...]] = {}  # of each job, what the views of its lines look at
        self._note_commands()
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
            said = str(error).splitlines()
            self.say(said[0] if said else "", "notice bad")
            if len(said) > 1:
                self.refuse("what could not be done", str(error))

    def refuse(self, title: str, why: str) -> None:
        """Tell what was not done, when that is more than a line."""
        self.waiting.append(menus.refusing(title, why, self.glyphs))
        self.show_waiting()

    # The plan may become another one.

    def fetch_plan(self) -> None:
        """Soon: it has changed."""
        self._is_outdated = True
        if not self._is_fetching:
            self._is_fetching = True
            self.host.begin(self._fetch_plan())

    async def _fetch_plan(self) -> None:
        try:
            while self._is_outdated:
                self._is_outdated = False
                self.plan = await self.session.plan()
                gone = self._doubted.difference(job.name for job in self.plan.jobs)
                self._doubted.clear()
                self.adopt(gone)
                for name in gone:
                    self.board.rows.pop(name, None)
        finally:
            self._is_fetching = False

    def doubt(self) -> None:
        """Something was missed: which jobs there are is known again once the plan has come."""
        self._doubted = set(self.board.rows)
        self.fetch_plan()

    def hear_of(self, job: str, lines: int) -> None:
        """The job is there, and has said so many lines."""
        self._doubted.discard(job)
        self.last[job] = lines
        if job not in self.tree.jobs:
            self.adopt()
            if job not in self.tree.jobs:  # the plan that we know is older than the job
                self.fetch_plan()

    def adopt(self, gone: Collection[str] = ()) -> None:
        """There are the jobs of this plan that the board knows, but for those that it will let go of at once.

        What shows others goes, or becomes another view.
        """
        before, systems, chosen = set(self.tree.jobs), self.tree.systems, self.selected_jobs()
        self.tree.adopt(self.plan, gone)
        self._note_commands()
        for job in before - self.tree.jobs.keys():
            self._forget(job)
        if systems != self.tree.systems:
            for number in reversed(range(len(self.outputs))):
                self._follow(number, before, systems, chosen)
            self.known = {jobs: known for jobs, known in self.known.items() if len(jobs) == 1 or known in self.outputs}
        self.host.redraw()

    def _note_commands(self) -> None:
        for name, job in self.tree.jobs.items():
            self.commands[name] = tuple(command.text for command in job.commands)

    def _forget(self, job: str) -> None:
        """It is gone; one of the same name that comes later is another one."""
        if self.inside and self.inside.job == job:
            self.leave()
        self._entered = {key: inside for key, inside in self._entered.items() if key[0] != job}
        self.last.pop(job, None)
        self.commands.pop(job, None)
        if output := self.known.pop((job,), None):
            output.is_left = True

    def _follow(self, number: int, before: set[str], systems: Mapping[str, list[str]], chosen: tuple[str, ...]) -> None:
        """The view of one job goes with it, that of a system or of all has the jobs that these have now.

        Where it was the only one, or what the tree has selected, the view comes up of what is selected instead.
        """
        output = self.outputs[number]
        jobs = self._successors(set(output.feed.jobs), before, systems)
        if jobs is not None:
            if set(jobs) != set(output.feed.jobs):
                self.renew(number, jobs, output.feed.wanted, output.filter)
        elif len(self.outputs) == 1 or (number == self.at and output.feed.jobs == chosen):
            output.is_left = True
            self.outputs[number] = self.output(self.selected_jobs())
            self.reader.refresh(self.outputs[number])
        else:
            output.is_left = True
            del self.outputs[number]
            self.at -= int(self.at > number or self.at == len(self.outputs))

    def _successors(self, jobs: set[str], before: set[str], systems: Mapping[str, list[str]]) -> tuple[str, ...] | None:
        """Whose lines a view of these jobs shows from now on; None when there is nothing left to see."""
        if len(jobs) == 1:
            return tuple(jobs) if jobs <= {*self.tree.jobs, LOG} else None
        system = next((system for system, its in systems.items() if jobs == set(its)), None)
        if jobs == before and (self.is_merged or system is None):
            return tuple(self.tree.jobs)
        return tuple(self.tree.systems[system]) if system in self.tree.systems else None

    def renew(self, number: int, jobs: tuple[str, ...], wanted: Wanted | None, name: str) -> None:
        """Another view in the place of one, with this filter, of all that is kept; what is searched for stays."""
        before = self.outputs[number]
        before.is_left = True
        feed = Feed(self.session, jobs, self.last, wanted)
        output = Output(feed, self.board.rows.get, self.commands, self.look, self._title(jobs))
        output.filter = name
        output.look_for(before.search)
        self.known[jobs] = self.outputs[number] = output
        self.host.begin(self.reader.fetch_filtered(output))

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
