"""A session that was written down, and a person who looks at it: the interface without a runner and without a terminal.

Nothing here waits for the clock. What a person does is over when the screen has come to rest.
"""

from __future__ import annotations

import asyncio
import os
import re
import selectors
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import urwid

from zap import events
from zap.board import Board
from zap.buffer import Buffer
from zap.errors import ZapError
from zap.events import LOG, Event, Fact, Line, State, Status, Stream
from zap.plan import Bound, Command, Fixup, Job, Plan, System, Where
from zap.requests import Attend, Clear, Request
from zap.session import Tail
from zap.tui.colours import Colours
from zap.tui.desk import Desk
from zap.tui.interface import Interface
from zap.tui.keys import Keys
from zap.tui.output import Look
from zap.tui.palette import UNICODE, Glyphs
from zap.tui.text import width
from zap.tui.window import Window

NOON = 1_800_000_000.0  # 15 January 2027, 08:00 in UTC, and noon somewhere
FRAMES_MOST = 200  # after which a screen that nothing happens on has to be at rest
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

Runs = list[list[tuple[Hashable, str]]]


def job(name: str, *commands: str, **settings: Any) -> Job:
    """`web/api` with its commands; where it stands in the file follows from its name."""
    place = Where("jobs.yaml", 1 + sum(map(ord, name)) % 40, 5)
    return Job(name, name, tuple(map(Command, commands)), "/home/ann/shop", where=place, **settings)


def plan(*jobs: Job, fixups: Sequence[Fixup] = (), path: str = "/home/ann/shop/jobs.yaml") -> Plan:
    systems: dict[str, list[Job]] = {}
    for each in jobs:
        systems.setdefault(each.system, []).append(each)
    return Plan(path, "shop", tuple(System(name, tuple(its)) for name, its in systems.items()), tuple(fixups))


class Recorded:
    """A Session. `asked` is what was asked of it; `refusal`, when there is one, is what it answers.

    Lines are kept as the runner keeps them. `now` is the time on the wall, which only a test moves.
    """

    def __init__(self, plan: Plan, bound: Bound = Bound()) -> None:  # noqa: B008
        self.buffers = {name: Buffer(bound) for name in (*(job.name for job in plan.jobs), LOG)}
        self.events: list[Event] = []
        self.asked: list[Request] = []
        self.attended = 0
        self.refusal = ""
        self.now = NOON
        self._plan = plan

    def tell(self, fact: Fact) -> Event:
        """Something happens now."""
        event = Event(len(self.events) + 1, self.now, fact)
        self.events.append(event)
        return event

    def say(self, job: str, data: bytes | str, stream: Stream = "out", command: int = 1) -> Event:
        """The job says this now; what does not end in a newline is not a line yet. Bytes are taken as they are."""
        buffer = self.buffers[job]
        if isinstance(data, str):  # as a terminal passes it on
            data = data.replace("\n", "\r\n" if stream != "zap" else "\n").encode()
        first = buffer.append(data, self.now, stream, command)[0]
        return self.tell(events.Output(job, first, buffer.last, buffer.is_open, buffer.errors))

    async def ask(self, request: Request, by: str = "") -> None:
        if isinstance(request, Attend):  # at every other key
            self.attended += 1
            return
        self.asked.append(request)
        if self.refusal:
            raise ZapError(self.refusal)
        if isinstance(request, Clear):
            for name in request.jobs:
                self.buffers[name].clear()

    async def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[Event]:
        """What was recorded, and there it ends."""
        for event in self.events[since if since is not None else len(self.events) :]:
            yield event

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        await asyncio.sleep(0)  # as over a socket, others have a turn meanwhile
        if self.refusal:
            raise ZapError(self.refusal)
        return self.buffers[job].tail(since, at_most, widest, known)

    async def plan(self, is_fresh: bool = False) -> Plan:
        return self._plan


class Person:
    """Has a screen of this size, and everything that a Host has but a terminal. `with Person(session) as ann:`

    `written` went to the terminal past the screen, `programs` were given the terminal; `farewell` is what was said when
    the interface was closed, None before that.
    """

    def __init__(
        self,
        session: Recorded,
        columns: int = 80,
        rows: int = 24,
        *,
        glyphs: Glyphs = UNICODE,
        colours: Colours = 256,
        keys: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.session = session
        self.size = (columns, rows)
        self.written = b""
        self.programs: list[list[str]] = []
        self.farewell: str | None = None
        self.is_suspended = False
        self.runs: Runs = []
        self.cursor: tuple[int, int] | None = None  # column and row
        self._opened = (Look(colours, glyphs), Keys(keys), environ)
        self._selector = _Skips()
        self._bugs: list[dict[str, Any]] = []
        self._is_stale = True

    def __enter__(self) -> Person:
        self._before = urwid.util.get_encoding(), os.environ.get("TZ")
        urwid.set_encoding("utf-8")
        _set_zone("UTC")
        self._loop = _Loop(self._selector)
        self._loop.set_exception_handler(lambda _, context: self._bugs.append(context))
        self._run(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(_cancel_all())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        encoding, zone = self._before
        urwid.set_encoding(encoding)
        _set_zone(zone)

    def _open(self) -> None:
        look, keys, environ = self._opened
        plan = self.session._plan
        board = Board((job.name, len(job.commands)) for job in plan.jobs)
        for event in self.session.events:
            board.apply(event)
        self.desk = Desk(self.session, plan, board, keys, look, self, environ, clock=lambda: self.session.now)
        self.desk.newest = len(self.session.events)
        self.interface = Interface(self.desk)
        self._window = Window(self.interface)
        self.interface.start()

    # What happens, and what she does. All of it returns when the screen is at rest.

    def hears(self, *facts: Fact) -> None:
        for fact in facts:
            self._run(self.interface.on_event, self.session.tell(fact))

    def hears_say(self, job: str, data: bytes | str, stream: Stream = "out", command: int = 1) -> None:
        self._run(self.interface.on_event, self.session.say(job, data, stream, command))

    def presses(self, *keys: str) -> None:
        for key in keys:
            self._run(self._window.keypress, self.size, key)

    def types(self, text: str) -> None:
        self.presses(*text)

    def points(self, event: str, column: int, row: int, button: int = 1) -> None:
        """With the mouse: `mouse press`, `mouse drag` or `mouse release`."""
        self._run(self._window.mouse_event, self.size, event, button, column, row, True)

    def clicks(self, column: int, row: int) -> None:
        self.points("mouse press", column, row)
        self.points("mouse release", column, row, 0)

    def resizes(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        self._run(self.redraw)

    def does(self, action: str) -> None:
        """By its name, as from the palette."""
        self._run(self.interface._deeds.do, action)

    def waits(self, seconds: float) -> None:
        self.session.now += seconds
        self._run(self.redraw)

    # What she sees.

    @property
    def screen(self) -> list[str]:
        return ["".join(text for _, text in row) for row in self.runs]

    def sees(self, text: str) -> bool:
        return any(text in row for row in self.screen)

    def row_of(self, text: str) -> int:
        """The number of the first row that shows this."""
        return next(number for number, row in enumerate(self.screen) if text in row)

    def attrs_of(self, text: str) -> set[str]:
        """How the places look where this stands, within one run each."""
        return {shown(attr) for row in self.runs for attr, part in row if text in part}

    # The host.

    def redraw(self, is_calm: bool = False) -> None:
        self._is_stale = True

    def repaint(self) -> None:
        self.redraw()

    def begin(self, what: Coroutine[Any, Any, None]) -> None:
        self._loop.create_task(what).add_done_callback(self._on_done)

    def write(self, data: bytes) -> None:
        self.written += data

    def hand_over(self, argv: Sequence[str]) -> None:
        self.programs.append(list(argv))

    def suspend(self) -> None:
        self.is_suspended = True

    def quit(self, said: str = "") -> None:
        if self.farewell is None:
            self.farewell = said

    def _on_done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ZapError):
            self.quit(f"zap: {error}")
        elif error:
            self._bugs.append({"exception": error})

    def _run(self, do: Callable[..., object], *arguments: object) -> None:
        self._loop.run_until_complete(self._until_rest(do, *arguments))
        for bug in self._bugs:
            raise bug.get("exception") or RuntimeError(bug["message"])

    async def _until_rest(self, do: Callable[..., object], *arguments: object) -> None:
        do(*arguments)
        self._is_stale = True
        for _ in range(FRAMES_MOST):
            if self._is_stale:
                self._is_stale = False
                self._draw()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            if tasks:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
            elif not self._is_stale:
                return
        raise AssertionError("the screen does not come to rest")

    def _draw(self) -> None:
        """What holds for every frame is checked for every frame."""
        canvas = self._window.render(self.size, focus=True)
        self.runs = [[(attr, text.decode()) for attr, _, text in row] for row in canvas.content()]
        self.cursor = canvas.cursor
        assert len(self.runs) == self.size[1]
        for row in self.runs:
            text = "".join(part for _, part in row)
            assert width(text) == sum(urwid.calc_width(part, 0, len(part)) for _, part in row) == self.size[0], row
            assert not UNPRINTABLE.search(text), row
        if self.cursor:
            assert 0 <= self.cursor[0] < self.size[0] and 0 <= self.cursor[1] < self.size[1], self.cursor


def shown(attr: object) -> str:
    """An attr of the canvas as one reads it: `state failed on selected`."""
    match attr:
        case None:
            return "-"
        case urwid.AttrSpec():
            return f"{attr.foreground}/{attr.background}".replace("inherit", "·")
        case urwid.util.LayeredAttr():
            return " on ".join(map(shown, attr.layers))
        case _:
            return str(attr)


class _Skips(selectors.SelectSelector):
    """Never waits for a timer: the time that it would take has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            self.passed += max(timeout, 0.0)
            timeout = 0.0
        return super().select(timeout)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _Skips) -> None:
        super().__init__(selector)
        self._skips = selector

    def time(self) -> float:
        return self._skips.passed


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _set_zone(zone: str | None) -> None:
    if zone is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = zone
    time.tzset()


# What jobs go through, as facts.


def became(job: str, state: State, why: str = "", epoch: int = 1, **more: Any) -> Fact:
    return events.Became(job, epoch, state, why, **more)


def runs(job: str, *commands: str, epoch: int = 1, pid: int = 4711) -> Iterable[Fact]:
    """It is started, and has come to the last of these commands, having said nothing."""
    yield became(job, State.STARTING, epoch=epoch)
    yield events.Spawned(job, epoch, pid)
    yield became(job, State.RUNNING, epoch=epoch)
    for number, text in enumerate(commands, 1):
        if number > 1:
            yield events.CommandEnded(job, epoch, number - 1, Status(0), 1.5)
        yield events.CommandStarted(job, epoch, number, text, 1)


def lines(session: Recorded, job: str) -> tuple[Line, ...]:
    return session.buffers[job].tail(0, 10**6).lines
