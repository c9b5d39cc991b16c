"""What can be done at the desk: every action of the table of keys."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zap import events, requests, why
from zap.errors import ZapError
from zap.escape import plain, safe
from zap.events import LOG, Event, State
from zap.tui import menus
from zap.tui.desk import Desk
from zap.tui.dialog import Prompt
from zap.tui.feed import Wanted, fetch
from zap.tui.output import Look, Output, is_error, is_fixup, is_remark
from zap.tui.palette import spelled

if TYPE_CHECKING:
    from zap.matcher import Search

MOST_OF_A_LINE = 4096  # bytes, in a dialog


class Deeds:
    """One method for each action that takes more than a line. They return at once; what takes a while is begun."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._is_log_whole = False
        self._table = self._by_name()

    def do(self, action: str) -> None:
        """An action of the table, by its name."""
        self._table[action]()
        self._desk.host.redraw()

    def _by_name(self) -> dict[str, Callable[[], None]]:
        return {
            "restart": lambda: self._desk.ask(requests.Restart(self._desk.chosen()), "restarting"),
            "toggle": self.do_toggle,
            "pause": self.do_pause,
            "signal": self.do_signal,
            "fix": self.do_fix,
            "why": lambda: self._desk.host.begin(self.tell_why()),
            "type": self.do_type,
            "edit": self.do_edit,
            "reload": lambda: self._desk.host.begin(self.reload()),
            "upgrade": lambda: self._desk.host.begin(self.upgrade()),
            "clear": lambda: self._desk.ask(requests.Clear(self._desk.chosen()), "let go of the lines of"),
            "focus": self.do_focus,
            "merged": self.do_merged,
            "split": self.do_split,
            "events": self.do_events,
            "palette": lambda: self._desk.dialogs.append(menus.palette(self._desk.keys, self.do, self._desk.glyphs)),
            "help": lambda: self._desk.dialogs.append(menus.helping(self._desk.keys, self._desk.glyphs)),
            "redraw": self._desk.host.repaint,
            "suspend": self._desk.host.suspend,
            "back": self.do_back,
            "quit": self.do_quit,
            "up": lambda: self.do_move(-1),
            "down": lambda: self.do_move(1),
            "page up": lambda: self.do_move_page(-1),
            "page down": lambda: self.do_move_page(1),
            "first": lambda: self.do_move(-(10**9)),
            "last": lambda: self.do_move(10**9),
            "fold": lambda: self.do_fold(is_open=False),
            "unfold": lambda: self.do_fold(is_open=True),
            "narrow": self.do_narrow,
            "sort": lambda: self._desk.say(f"ordered by {self._desk.tree.sort()}"),
            "scroll up": lambda: self._desk.output_here.move(-1),
            "scroll down": lambda: self._desk.output_here.move(1),
            "scroll page up": lambda: self._desk.output_here.move_page(-1),
            "scroll page down": lambda: self._desk.output_here.move_page(1),
            "scroll first": lambda: self._desk.read(self._desk.reader.to_first(self._desk.output_here)),
            "follow": self.do_follow,
            "scroll left": lambda: self._desk.output_here.shift(-1),
            "scroll right": lambda: self._desk.output_here.shift(1),
            "search": self.do_search,
            "next hit": lambda: self._go_to_hit(1),
            "previous hit": lambda: self._go_to_hit(-1),
            "filter": self.do_filter,
            "only errors": lambda: self._toggle_filter(is_error, "errors"),
            "only remarks": lambda: self._toggle_filter(is_remark, "zap's remarks"),
            "next command": lambda: self._desk.read(self._desk.reader.to_command(self._desk.output_here, 1)),
            "previous command": lambda: self._desk.read(self._desk.reader.to_command(self._desk.output_here, -1)),
            "next error": lambda: self._seek(is_error, 1, "error"),
            "previous error": lambda: self._seek(is_error, -1, "error"),
            "next fixup": lambda: self._seek(is_fixup, 1, "fixup"),
            "previous fixup": lambda: self._seek(is_fixup, -1, "fixup"),
            "select": self.do_select,
            "copy": self.do_copy,
            "save": self.do_save,
            "pager": lambda: self._desk.host.begin(self.do_pager()),
            "wrap": lambda: self._change_look(self._desk.look._replace(wraps=not self._desk.look.wraps)),
            "timestamps": lambda: self._change_look(self._desk.look._replace(has_times=not self._desk.look.has_times)),
            "event up": lambda: self._desk.log.move(-1),
            "event down": lambda: self._desk.log.move(1),
            "event page up": lambda: self._desk.log.move_page(-1),
            "event page down": lambda: self._desk.log.move_page(1),
            "event first": lambda: self._desk.log.move(-(10**9)),
            "event last": lambda: self._desk.log.move(10**9),
            "event lines": self.do_event_lines,
            "leave": self._desk.leave,
        }

    def do_toggle(self) -> None:
        """A system is stopped when any of its jobs is up."""
        jobs = self._desk.chosen()
        up = tuple(job for job in jobs if not self._desk.board.rows[job].state.is_rest)
        if up:
            self._desk.ask(requests.Stop(up), "stopping")
        else:
            self._desk.ask(requests.Start(jobs), "starting")

    def do_pause(self) -> None:
        """The jobs of a system are paused when any of them goes on."""
        rows = [self._desk.board.rows[job] for job in self._desk.chosen()]
        living = tuple(row.job for row in rows if row.state in (State.RUNNING, State.READY))
        going = tuple(job for job in living if not self._desk.board.rows[job].is_paused)
        if not living:
            self._desk.say("nobody is there to be paused", "warn")
        elif going:
            self._desk.ask(requests.Pause(going), "pausing")
        else:
            self._desk.ask(requests.Resume(living), "letting go on:")

    def do_signal(self) -> None:
        jobs = tuple(job for job in self._desk.chosen() if self._desk.board.rows[job].pid)
        if not jobs:
            self._desk.say("nobody is there to be sent a signal", "warn")
            return
        send = lambda name: self._desk.ask(requests.Signal(jobs, name), f"{name} to")  # noqa: E731
        self._desk.dialogs.append(menus.signals(jobs, send, self._desk.glyphs))

    def do_fix(self) -> None:
        jobs = self._desk.chosen()
        if len(jobs) != 1:
            self._desk.say("choose one job first", "warn")
            return
        job = self._desk.tree.jobs[jobs[0]]
        known = [fixup for fixup in self._desk.plan.fixups if fixup.name in job.fixups]
        row = self._desk.board.rows[job.name]
        run = lambda name: self._desk.ask(requests.Fix((job.name,), name), f"fixup {name} for")  # noqa: E731
        ask = lambda proposed: self._desk.host.begin(self.ask_approval(proposed))  # noqa: E731
        self._desk.dialogs.append(menus.fixups(job.name, row, known, run, ask, self._desk.glyphs))

    async def tell_why(self) -> None:
        desk = self._desk
        told = []
        for name in desk.chosen():
            begin = max(desk.last.get(name, 0) - why.LAST_LINES, 0)
            tail = await fetch(desk.session, name, begin, why.LAST_LINES, MOST_OF_A_LINE)
            if name in desk.tree.jobs:
                row, job, words = desk.board.rows[name], desk.tree.jobs[name], why.last_words(tail.lines)
                told.append(why.sentence(row, job, desk.clock(), desk.board.rows, words))
        if told:
            desk.dialogs.append(menus.explaining(told))
            desk.host.redraw()
        else:
            desk.say("choose a job first", "warn")

    async def reload(self) -> None:
        """What has changed then is told by an event, as it is when somebody else asks for it."""
        doing = "reading the plan again"
        await self._ask(requests.Reload(), doing, "the plan was read again", "the plan was not reloaded")

    async def upgrade(self) -> None:
        """That another runner has taken over then is told by an event, as it is when somebody else asks for it."""
        doing = "asking the zap that is installed now whether it could take over"
        await self._ask(requests.Upgrade(), doing, "another runner takes over", "zap was not upgraded")

    async def _ask(self, request: requests.Request, doing: str, done: str, refused: str) -> None:
        """What is said meanwhile, and then."""
        desk = self._desk
        desk.say(doing)
        try:
            await desk.session.ask(request)
        except ZapError as error:
            desk.say(refused, "notice bad")
            desk.refuse(refused, str(error))
        else:
            desk.say(done)

    async def ask_approval(self, proposed: events.Proposed) -> None:
        line = None
        if proposed.line:
            tail = await fetch(self._desk.session, proposed.job, proposed.line - 1, 1, MOST_OF_A_LINE)
            line = next((line for line in tail.lines if line.number == proposed.line), None)
        about = next((fixup.about for fixup in self._desk.plan.fixups if fixup.name == proposed.fixup), "")
        run = lambda: self._desk.ask(requests.Fix((proposed.job,), proposed.fixup), f"fixup {proposed.fixup} for")  # noqa: E731
        key = spelled(self._desk.keys.shown("fix"), self._desk.glyphs)
        self._desk.waiting.append(menus.approval(proposed, about, line, run, self._desk.glyphs, key))
        self._desk.close_outdated()
        self._desk.show_waiting()

    def do_move(self, steps: int) -> None:
        self._desk.is_merged = False
        self._desk.tree.move(steps)
        self._desk.show_selected()

    def do_move_page(self, pages: int) -> None:
        self._desk.is_merged = False
        self._desk.tree.move_page(pages)
        self._desk.show_selected()

    def do_fold(self, is_open: bool) -> None:
        self._desk.tree.fold(is_open)
        self._desk.show_selected()

    def do_focus(self) -> None:
        """From the tree through the outputs and back."""
        if not self._desk.has_focus:
            self._desk.has_focus, self._desk.at = True, 0
        elif not self._desk.has_log and self._desk.at + 1 < len(self._desk.outputs):
            self._desk.at += 1
        else:
            self._desk.has_focus = False

    def do_merged(self) -> None:
        self._desk.is_merged = not self._desk.is_merged
        self._desk.has_log = False
        self._desk.show_selected()

    def do_split(self) -> None:
        if len(self._desk.outputs) > 1:
            self._desk.outputs, self._desk.at = [self._desk.output_here], 0
            return
        rest = [job for job in self._desk.tree.jobs if job != self._desk.output_here.job]
        self._desk.outputs.append(self._desk.output((rest[0],)) if rest else self._desk.output((LOG,)))
        self._desk.has_log, self._desk.at = False, 1
        self._desk.reader.refresh(self._desk.output_here)
        self._desk.say("the tree's selection shows in the second pane; Tab goes from pane to pane")

    def do_events(self) -> None:
        self._desk.has_log = not self._desk.has_log
        self._desk.has_focus |= self._desk.has_log
        if self._desk.has_log and not self._is_log_whole:
            self._is_log_whole = True
            self._desk.host.begin(self._fetch_log())

    async def _fetch_log(self) -> None:
        """What had happened before this interface was opened, up to what it has heard itself."""
        newest = self._desk.newest
        older: list[Event] = []
        with contextlib.suppress(ZapError):
            async for event in self._desk.session.watch(0):
                older.append(event)
                if len(older) % 500 == 0:
                    self._desk.say(f"fetching what happened: {len(older)} events")
                if event.n >= newest:
                    break
        self._desk.log.prepend(older)
        self._desk.say("")

    def do_event_lines(self) -> None:
        if event := self._desk.log.selected():
            self.go_to_event(event)

    def go_to_event(self, event: Event) -> None:
        """To the lines that the job said when the event happened."""
        job = getattr(event.fact, "job", "")
        if isinstance(event.fact, events.Requested) and len(event.fact.jobs) == 1:
            [job] = event.fact.jobs
        if isinstance(event.fact, events.NotReloaded):
            self._desk.dialogs.append(menus.refusing("the plan was not reloaded", event.fact.why, self._desk.glyphs))
            return
        if job not in self._desk.tree.jobs:
            self._desk.say(f"{job} is not in the plan any more" if job else "this event is of no job", "warn")
            return
        self._desk.leave()
        self._desk.tree.select(job)
        self._desk.has_log, self._desk.is_merged, self._desk.has_focus = False, False, True
        self._desk.show_selected()
        if self._desk.output_here.filter:
            self._filter_by(None, "")
        self._desk.read(self._desk.reader.to_moment(self._desk.output_here, getattr(event.fact, "line", 0), event.at))

    def do_back(self) -> None:
        output = self._desk.output_here
        if self._desk.has_log:
            self._desk.has_log = False
        elif output.selection:
            output.selection = None
        elif output.search:
            output.look_for(None)
        elif output.filter:
            self._filter_by(None, "")
        elif self._desk.tree.narrowed:
            self._desk.tree.narrow("")
        elif self._desk.is_merged:
            self.do_merged()
        elif not output.is_following:
            self.do_follow()
        else:
            self._desk.has_focus = False

    def _change_look(self, look: Look) -> None:
        self._desk.look = look
        for output in self._desk.views:
            output.look = look

    def _seek(self, wanted: Wanted, step: int, what: str) -> None:
        self._desk.read(self._desk.reader.to_line(self._desk.output_here, wanted, step, what))

    def _go_to_hit(self, step: int) -> None:
        if self._desk.output_here.search:
            self._desk.read(self._desk.reader.to_hit(self._desk.output_here, step))
        else:
            self._desk.say(f"nothing is searched for yet: {self._desk.keys.shown('search')} begins", "warn")

    def do_follow(self) -> None:
        output = self._desk.output_here
        if output.selection:
            output.extend(10**9)
        else:
            output.follow()
            self._desk.reader.refresh(output)

    def do_search(self) -> None:
        output = self._desk.output_here
        before = output.search

        def done(pattern: str | None) -> None:
            if pattern is None:
                output.look_for(before)
            elif pattern == "":
                output.look_for(None)
            elif self._search(output, pattern):
                self._desk.read(self._desk.reader.to_hit(output, -1, is_nearest=True))

        def change(pattern: str) -> None:
            self._search(output, pattern)

        value = output.search.pattern if output.search else ""
        self._desk.prompt = Prompt("search /", value, done, change)

    def _search(self, output: Output, pattern: str) -> bool:
        if not pattern:
            output.look_for(None)
            return False
        search = self._compiled(pattern)
        if search:
            output.look_for(search)
        return search is not None

    def _compiled(self, pattern: str) -> Search | None:
        """None: the person is told what is wrong with it."""
        from zap.matcher import Search  # RE2 is not needed to show a screen

        try:
            return Search(pattern)
        except ValueError as error:
            if self._desk.prompt:
                self._desk.prompt.problem = str(error)
            return None

    def do_filter(self) -> None:
        def done(pattern: str | None) -> None:
            if pattern == "":
                self._filter_by(None, "")
            elif pattern is not None and (search := self._compiled(pattern)):
                self._filter_by(lambda line: search.matches(plain(line.text)), pattern)

        self._desk.prompt = Prompt("only lines with &", self._desk.output_here.filter, done)

    def _toggle_filter(self, wanted: Wanted, name: str) -> None:
        """The same filter again takes it away."""
        if self._desk.output_here.feed.wanted is wanted:
            self._filter_by(None, "")
        else:
            self._filter_by(wanted, name)

    def _filter_by(self, wanted: Wanted | None, name: str) -> None:
        """Anew with all that is kept."""
        self._desk.renew(self._desk.at, self._desk.output_here.feed.jobs, wanted, name)

    def do_select(self) -> None:
        output = self._desk.output_here
        if output.selection:
            output.selection = None
        else:
            output.select()
            self._desk.say("the arrows select; copy with " + self._desk.keys.shown("copy"))

    def do_copy(self) -> None:
        output = self._desk.output_here
        lines = output.selected()
        output.selection = None
        if lines:
            self._desk.host.begin(self._desk.reader.copy(lines))
        else:
            self._desk.say("there is nothing to copy", "warn")

    def do_save(self) -> None:
        jobs = self._desk.output_here.feed.jobs
        name = (jobs[0] if len(jobs) == 1 else "zap").replace("/", "-") + ".log"

        def done(path: str | None) -> None:
            if path:
                self._save(os.path.expanduser(path), is_new=True)

        self._desk.prompt = Prompt("save to", name, done)

    def _save(self, path: str, is_new: bool) -> None:
        if is_new and os.path.exists(path):
            self._desk.dialogs.append(
                menus.overwriting(path, lambda: self._save(path, is_new=False), self._desk.glyphs)
            )
        else:
            self._desk.read(self._desk.reader.save(self._desk.output_here, path))

    async def do_pager(self) -> None:
        import shlex
        import tempfile

        with tempfile.TemporaryDirectory(prefix="zap-") as folder:
            path = os.path.join(folder, self._desk.output_here.title.replace("/", "-").replace(" ", "-"))
            if await self._desk.reader.save(self._desk.output_here, path, safe):
                self._desk.say("")
                self._hand_over([*shlex.split(self._desk.environ.get("PAGER") or "less -R"), path], "$PAGER")

    def do_edit(self) -> None:
        import shlex

        jobs = self._desk.chosen()
        where = self._desk.tree.jobs[jobs[0]].where if jobs else None
        argv = shlex.split(self._desk.environ.get("VISUAL") or self._desk.environ.get("EDITOR") or "vi")
        if os.path.basename(argv[0]) in ("code", "codium", "subl", "zed"):
            place = [f"{self._desk.plan.path}:{where.line}:{where.column}" if where else self._desk.plan.path]
            place = ["--goto", *place] if os.path.basename(argv[0]) in ("code", "codium") else place
        else:
            place = [f"+{where.line}", self._desk.plan.path] if where else [self._desk.plan.path]
        self._hand_over([*argv, *place], "$EDITOR")

    def _hand_over(self, argv: Sequence[str], what: str) -> None:
        try:
            self._desk.host.hand_over(argv)
        except OSError as error:
            self._desk.say(f"{what}: {argv[0]}: {error.strerror}", "notice bad")

    def do_type(self) -> None:
        if not self._desk.has_focus and self._enter_tree():
            return
        jobs = self._desk.chosen()
        row = self._desk.board.rows.get(jobs[0]) if len(jobs) == 1 else None
        if row is None:
            self._desk.say("choose one job first", "warn")
        elif not row.pid:
            self._desk.say(f"{row.job} is {row.state}: there is nobody to type to", "warn")
        elif not self._desk.tree.jobs[row.job].tty:
            self._desk.say(f"{row.job} has no terminal, because of its setting `tty: false`", "warn")
        else:
            if self._desk.output_here.job != row.job:
                self._desk.tree.select(row.job)
                self._desk.show_selected()
            self._desk.has_log, self._desk.has_focus = False, True
            self._desk.enter(row.job)
            self._desk.say(f"typing into {row.job}: {self._desk.keys.shown('leave')} leaves", "warn")

    def _enter_tree(self) -> bool:
        """Of what is no job: open what is within, or go to its lines; whether it was such."""
        _, job, command = self._desk.tree.selected
        if job == LOG:
            self.do_focus()
        elif not job:
            self._desk.tree.toggle_fold()
        elif command:
            row = self._desk.board.rows[job]
            ran = next((ran for ran in reversed(row.ran) if ran.command == command), None)
            if ran is None:
                self._desk.say("this command has not run yet", "warn")
                return True
            self._desk.has_log, self._desk.has_focus = False, True
            self._desk.read(self._desk.reader.to_moment(self._desk.output_here, ran.line, ran.at))
        else:
            return False
        return True

    def do_narrow(self) -> None:
        tree = self._desk.tree
        before = tree.narrowed, tree.selected

        def done(query: str | None) -> None:
            if query is None:
                tree.narrowed, tree.selected = before
                tree.move(0)
            self._desk.show_selected()

        def change(query: str) -> None:
            tree.narrow(query)
            self._desk.show_selected()

        def other(key: str) -> None:
            if key in ("up", "down"):
                self.do_move(1 if key == "down" else -1)

        self._desk.prompt = Prompt("jobs /", tree.narrowed, done, change, other)

    def do_quit(self) -> None:
        if self._desk.is_closing:
            self._desk.say("not waiting for any job's grace")
            self._desk.host.begin(self._desk.ask_runner(requests.Close(is_hurried=True)))
            return
        running = sum(not row.state.is_rest for row in self._desk.board.rows.values())
        self._desk.dialogs.append(menus.closing(running, self._stop_all, self._leave_all, self._desk.glyphs))

    def _leave_all(self) -> None:
        self._desk.host.quit("zap goes on in the background: `zap` shows it again, `zap down` ends it")

    def _stop_all(self) -> None:
        self._desk.is_closing = True
        self._desk.say("ending everything; once more, and nobody's grace is waited for")
        self._desk.host.begin(self._desk.ask_runner(requests.Close()))
