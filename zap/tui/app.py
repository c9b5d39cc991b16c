"""The interface in a real terminal: urwid's screen and loop, a session's events, and a way back out of all of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import termios
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import urwid
from urwid.display.raw import Screen

from zap import child, preferences, requests
from zap.address import NoRunner
from zap.board import Board
from zap.errors import ZapError
from zap.events import Event
from zap.plan import Plan
from zap.session import Session
from zap.tui import palette
from zap.tui.colours import Colours
from zap.tui.desk import Desk
from zap.tui.interface import Interface
from zap.tui.keys import NAMES, Keys
from zap.tui.output import Look
from zap.tui.window import Window

FRAME = 1 / 30  # seconds between frames
CALM = 0.25  # the same when nothing has changed but counts
TURN = 0.001  # seconds that events take before keys have their turn
ANSWER = 0.3  # seconds after a key, in which what it leads to is drawn as soon as it is known
ESCAPE_MOST = 0.04  # seconds until an Esc is a key of its own and not the beginning of another
ENDING = (signal.SIGTERM, signal.SIGHUP)  # SIGINT is asyncio's: it cancels us
SIZE = 80, 24  # columns and rows of a terminal that does not know its own, such as a serial line
TOLD_MOST = 64 * 1024  # bytes of standard error that are noted at once
HEAR_MOST = 1.0  # seconds to wait at the end, should somebody whom a library has started still hold it
GONE = "the runner is gone, and none has taken its place: `zap` starts another, and ends what this one has left behind"
BUG = "This is a bug of zap's interface. The jobs go on, and `zap attach` shows them again."


async def run(session: Session, environ: Mapping[str, str]) -> str:
    """Shows the session until the person leaves; what there is to say then.

    ZapError: the runner is gone, a signal has ended us, or the preferences are wrong.
    """
    return await _Terminal(session, preferences.load(environ, NAMES), environ).run()


class _Surface(Screen):
    """urwid's screen; whenever it is up, what urwid leaves as it was is ours as well, and afterwards as it was."""

    def __init__(self, errors: int) -> None:
        """What is written to standard error while the screen is up goes to the descriptor `errors`."""
        # A terminal that does not tell whether it knows bracketed paste would give us what is pasted as keys.
        super().__init__(bracketed_paste_mode=True, focus_reporting=False)
        self._errors = errors
        self._kept: int | None = None

    def _start(self, *arguments: Any, **options: Any) -> None:
        super()._start(*arguments, **options)
        # Ctrl+C, Ctrl+S, Ctrl+Z and the like are keys here, also for the jobs that are typed into.
        self.tty_signal_keys("undefined", "undefined", "undefined", "undefined", "undefined")
        # A terminal that draws a letter wider than urwid counts shall cut the row and not scroll (DECAWM, xterm).
        self.write("\x1b[?7l")
        self._kept = os.dup(2)
        os.dup2(self._errors, 2)

    def _stop(self) -> None:
        if self._kept is not None:
            os.dup2(self._kept, 2)
            os.close(self._kept)
            self._kept = None
        try:
            self.write("\x1b[?7h")
            super()._stop()
        except (OSError, termios.error) as error:
            if error.args[0] != errno.EIO:
                raise
            # The terminal is gone, and what it was not shown goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)

    def get_cols_rows(self) -> tuple[int, int]:
        columns, rows = super().get_cols_rows()
        if columns <= 0 or rows <= 0:
            columns, self.maxrow = SIZE
        return columns, self.maxrow or rows


class _Loop(urwid.MainLoop):
    """Draws when the host does, and not once more after every key: frames are what a key waits for."""

    def entering_idle(self) -> None: ...


class _Terminal:
    """The host of an Interface."""

    def __init__(self, session: Session, wishes: preferences.Preferences, environ: Mapping[str, str]) -> None:
        self._session = session
        self._wishes = wishes
        self._environ = environ
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[str] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._desk: Desk | None = None
        self._main: urwid.MainLoop | None = None
        self._screen: _Surface | None = None
        self._drawing: asyncio.TimerHandle | None = None
        self._drawn = 0.0  # when the last frame was, and how long it took
        self._took = 0.0
        self._pressed = 0.0  # when the last key was
        self._is_hearing = False  # of an event, which may have nothing to do with the key
        self._ticking: asyncio.TimerHandle | None = None

    async def run(self) -> str:
        watch = self._session.watch(None, FRAME / 2)
        plan, board, newest = await _situation(self._session, watch)
        colours = _colours(self._environ)
        theme = palette.choose(self._wishes.theme, self._environ, colours)
        shown: Colours = 1 if theme.name == "mono" else colours
        look = Look(
            shown, palette.glyphs(self._wishes.glyphs, self._environ), self._wishes.wrap, self._wishes.timestamps
        )
        urwid.set_encoding("utf-8")
        desk = self._desk = Desk(self._session, plan, board, Keys(self._wishes.keys), look, self, self._environ)
        desk.newest = newest
        interface = Interface(desk)
        self._loop.set_exception_handler(self._on_bug)
        for ending in ENDING:
            self._loop.add_signal_handler(ending, self._on_signal, ending)
        with self._told_errors() as errors:
            screen = self._screen = _Surface(errors)
            screen.set_terminal_properties(colors=shown)
            screen.register_palette(theme.entries)
            screen.set_input_timeouts(complete_wait=ESCAPE_MOST)
            loop = urwid.AsyncioEventLoop(loop=self._loop)
            self._main = _Loop(
                Window(interface),
                screen=screen,
                event_loop=loop,
                handle_mouse=self._wishes.mouse,
                input_filter=self._on_keys,
            )
            with self._main.start():
                interface.start()
                self.begin(self._follow(watch, interface))
                self._tick()
                try:
                    return await self._done
                finally:
                    await self._end()

    async def _follow(self, watch: AsyncIterator[Event], interface: Interface) -> None:
        until = self._loop.time() + TURN
        async for event in watch:
            self._is_hearing = True
            interface.on_event(event)
            self._is_hearing = False
            if self._loop.time() > until:  # what has come already is heard without a pause
                await asyncio.sleep(0)
                until = self._loop.time() + TURN

    async def _end(self) -> None:
        for timer in (self._drawing, self._ticking):
            if timer:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # The host.

    def begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def redraw(self, is_calm: bool = False) -> None:
        """At most so many frames a second, and none in the way of what a key leads to, which is drawn at once."""
        due = next_frame(self._loop.time(), self._drawn, self._took, self._pressed, self._is_hearing)
        due = max(due, self._drawn + CALM) if is_calm else due
        if self._drawing and due < self._drawing.when():
            self._drawing.cancel()
            self._drawing = None
        if self._drawing is None:
            self._drawing = self._loop.call_at(due, self._draw)

    def repaint(self) -> None:
        if self._screen:
            self._screen.clear()
        self.redraw()

    def write(self, data: bytes) -> None:
        if self._screen:
            self._screen.write(data.decode())
            self._screen.flush()

    def hand_over(self, argv: Sequence[str]) -> None:
        assert self._main
        with self._main.paused():  # what jobs say meanwhile waits, or is skipped
            child.hand_over(argv, self._environ)
        self.redraw()

    def suspend(self) -> None:
        child.suspend()  # which urwid hears, and gives the terminal back before it obeys

    def quit(self, said: str = "") -> None:
        if not self._done.done():
            self._done.set_result(said)

    # Frames.

    def _on_keys(self, keys: list[Any], raw: list[int]) -> list[Any]:
        self._pressed = self._loop.time()
        if "window resize" in keys:
            self.redraw()
        return keys

    def _draw(self) -> None:
        self._drawing = None
        begun = self._loop.time()
        if self._main and self._main.screen.started:
            self._main.draw_screen()
        self._drawn = self._loop.time()
        self._took = self._drawn - begun

    def _tick(self) -> None:
        """Ages grow, and nothing tells us; as soon as one reads otherwise, and not before."""
        assert self._desk
        self._ticking = self._loop.call_later(self._desk.tree.next_change() + 0.01, self._tick)
        self.redraw()

    # What may go wrong.

    def _on_signal(self, number: signal.Signals) -> None:
        ended = ZapError(f"zap: ended by {number.name}; the jobs go on")
        ended.code = 128 + number
        self._fail(ended)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error:
            self._fail(error)

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._fail(context.get("exception") or RuntimeError(context["message"]))

    def _fail(self, error: BaseException) -> None:
        """The terminal is given back, and the jobs go on; who made the interface hears why."""
        is_refused = isinstance(error, OSError) and error.errno == errno.EIO
        if is_refused or not (isinstance(error, ZapError) or os.isatty(sys.stdin.fileno())):
            self._on_signal(signal.SIGHUP)  # which is on its way: the terminal is gone, whoever has noticed it first
        elif not self._done.done():
            if isinstance(error, NoRunner):
                error = NoRunner(GONE)
            elif not isinstance(error, ZapError):
                error.add_note(BUG)
            self._done.set_exception(error)

    @contextlib.contextmanager
    def _told_errors(self) -> Iterator[int]:
        """A descriptor for standard error, what is written to which goes to zap's own log and not over the screen."""
        reading, writing = os.pipe()
        # A thread reads it, because we may be the ones who write, and more than fits.
        hearing = threading.Thread(target=self._hear_errors, args=(reading,), daemon=True)
        hearing.start()
        try:
            yield writing
        finally:
            os.close(writing)
            hearing.join(HEAR_MOST)

    def _hear_errors(self, reading: int) -> None:
        with open(reading, "rb", buffering=0) as errors:
            while data := errors.read(TOLD_MOST):
                self._loop.call_soon_threadsafe(self._note, data)

    def _note(self, data: bytes) -> None:
        text = data.decode(errors="replace").strip()
        if text:
            self.begin(self._ask_to_note(f"interface: {text}"))

    async def _ask_to_note(self, text: str) -> None:
        with contextlib.suppress(ZapError):  # when the runner is gone, the watch tells so
            await self._session.ask(requests.Note(text))


def next_frame(now: float, drawn: float, took: float, pressed: float, is_hearing: bool) -> float:
    """When to draw what has changed: the last frame was `drawn` and `took` so long, the last key was `pressed`.

    What is heard is seldom what the key has led to, and waits, so that it is not in the way.
    """
    if now < pressed + ANSWER and not is_hearing:
        return max(now, drawn + took)
    return max(now, max(drawn, pressed) + FRAME)


async def _situation(session: Session, watch: AsyncIterator[Event]) -> tuple[Plan, Board, int]:
    """The plan, how every job of it is, and the number of the newest event: before anything is drawn.

    When the plan becomes another one meanwhile, what it was is never waited for: a job is told of before its plan is.
    """
    board = Board(())
    newest = 0
    if not (plan := await session.plan()).jobs:
        return plan, board, newest
    async for event in watch:
        if not board.rows:
            plan = await session.plan()
        board.apply(event)
        newest = event.n
        if board.rows.keys() >= {job.name for job in plan.jobs}:
            return plan, board, newest
    raise ZapError("the runner has ended")


def _colours(environ: Mapping[str, str]) -> Colours:
    """How many the terminal shows, as it says itself."""
    term = environ.get("TERM", "")
    if environ.get("NO_COLOR") or term in ("", "dumb", "vt100", "vt220"):
        return 1
    if environ.get("COLORTERM") in ("truecolor", "24bit") or "direct" in term:
        return 16777216
    return 256 if "256" in term or term in ("xterm-kitty", "alacritty", "foot", "wezterm") else 16
