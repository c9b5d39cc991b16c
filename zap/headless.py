"""`zap run`: a session's lines and events as text, one after the other, and at the end a summary and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from zap import events, requests, wire
from zap.board import Board
from zap.events import Event, Row, State, Stream
from zap.remarks import doing, seconds
from zap.scribe import Manner, Scribe, as_json
from zap.session import Session, Tail
from zap.tether import Presses, Tether
from zap.why import LAST_LINES, last_words

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAGE = 10_000  # lines fetched at once, in some 10 ms
BACKLOG_MOST = 16 * 1024 * 1024  # bytes of text that may wait for whoever reads it
LAST_WRITE = 0.5  # seconds for one write of what is left, when somebody was told to hurry
PROMPT_AFTER = 0.1  # seconds that a line without end is left alone: it is mostly about to be finished
STATUS_EVERY = 1.0  # seconds
SILENCE = 2.0  # seconds without a line after which a terminal is told what is going on
TOO_FAST = ": they came faster than they could be shown"
SIGN_COLOURS = {"✓": 32, "✗": 31, "■": 33}
CLEAR = "\r\x1b[K"
SIGNS = {State.DONE: "✓", State.FAILED: "✗", State.STOPPED: "■"}


class Options(NamedTuple):
    """What to run and how to tell of it. `has_colour` and `is_terminal` are about standard output.

    `needed` are jobs that run because those need them: they are told of as well, but nobody waits for their end.
    """

    jobs: tuple[str, ...]
    needed: tuple[str, ...] = ()
    until: Literal["ready", "done"] = "done"
    is_quiet: bool = False
    is_json: bool = False
    has_colour: bool = False
    is_terminal: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        return (*self.needed, *self.jobs)


async def show(session: Session, options: Options, fd: int, told: Mapping[str, int], signals: list[int]) -> int:
    """As `run`, but the jobs run already, and signals are somebody else's to hear, who notes here those that end us.

    `told` is up to which line of each job everything was told before.
    """
    headless = _Headless(session, options, fd, await _board(session), signals)
    return await headless.run((), told)


async def run(
    session: Session, options: Options, fd: int, caught: Sequence[int] = (), tether: Tether | None = None
) -> int:
    """Starts the jobs, tells of them on `fd` until all is over, and returns the exit code.

    `caught` are signals that came before there was a loop. INT, TERM and HUP end everything in order, a second one
    hurries; they are handled here until the runner has closed. By the tether come those that were sent to the process
    that a person has started; when that one is killed, everything ends.
    """
    headless = _Headless(session, options, fd, await _board(session))
    loop = asyncio.get_running_loop()
    for ending in ENDING:
        loop.add_signal_handler(ending, headless.on_signal, ending)
    if tether:
        forwarded = partial(headless.on_signal, is_forwarded=True)
        loop.add_reader(tether.fileno(), tether.hear, forwarded, _on_nothing, partial(_on_cut, headless, tether))
    try:
        return await headless.run(caught)
    finally:
        for ending in ENDING:
            loop.remove_signal_handler(ending)
        if tether:
            loop.remove_reader(tether.fileno())


def _on_nothing(*_: object) -> None:
    """Whose end the guard could tell of are our own children."""


def _on_cut(headless: _Headless, tether: Tether) -> None:
    asyncio.get_running_loop().remove_reader(tether.fileno())
    headless.on_cut()


async def _board(session: Session) -> Board:
    return Board((job.name, len(job.commands)) for job in (await session.plan()).jobs)


class _Headless:
    def __init__(
        self, session: Session, options: Options, fd: int, board: Board, signals: list[int] | None = None
    ) -> None:
        self._session = session
        self._options = options
        self._board = board
        self._paper = _Paper(fd)
        self._scribe = Scribe(options.shown, Manner(options.is_json, options.has_colour))
        self._seen = dict.fromkeys(options.shown, 0)  # the newest line of a job that was told
        self._last: dict[str, int] = {}  # the newest line that a job has, told or not
        self._last_words: dict[str, str] = {}
        self._prompting: set[str] = set()  # jobs whose unfinished lines will be looked at
        self._signals = [] if signals is None else signals
        self._presses = Presses()
        self._first_failed: str | None = None
        self._in_vain: dict[str, str] = {}  # jobs that could not start, because of others, and whom they waited for
        self._begun: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._has_status = False
        self._began = self._spoke = time.monotonic()

    async def run(self, caught: Sequence[int], told: Mapping[str, int] | None = None) -> int:
        if told is None:
            await self._session.ask(requests.Start(self._options.jobs))
        else:
            self._seen |= {job: line for job, line in told.items() if job in self._seen}
        for number in caught:  # only now: what was born already shall have its grace too
            self.on_signal(number)
        status = asyncio.create_task(self._keep_status()) if self._shows_status else None
        async for event in self._session.watch(0 if told is None else None):
            await self._on_event(event)
        if status:
            status.cancel()
        for job in self._options.shown:
            await self._tell_lines(job)
        for job in self._options.shown:
            if self._board.rows[job].state is State.FAILED:
                self._last_words[job] = await self._hear_last_words(job)
        code = self._code()
        await self._print(self._summary(code))
        await self._paper.flush()
        return code

    def on_cut(self) -> None:
        """Who guards us was killed, and so are we meant to be: nobody waits for us, nor we for who reads us."""
        self._close()
        self._paper.abandon()

    def on_signal(self, number: int, is_forwarded: bool = False) -> None:
        """The first one ends everything in order, any further one without waiting for graces, or for who reads us."""
        if not self._presses.is_new(number, is_forwarded):
            return
        self._signals.append(number)
        self._has_status = self._has_status or self._shows_status  # the terminal has written ^C into the line
        self._close(is_hurried=len(self._signals) > 1)
        if len(self._signals) > 1:
            self._paper.abandon()

    def _close(self, is_hurried: bool = False) -> None:
        if not self._is_closing or is_hurried:
            self._is_closing = True
            self._begin(self._session.ask(requests.Close(is_hurried)))

    def _begin(self, what: Coroutine[None, None, None]) -> None:
        """Something that nobody waits for; it is held here, because the loop itself holds no task."""
        task = asyncio.ensure_future(what)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    # Events, and the time between them.

    async def _on_event(self, event: Event) -> None:
        if self._paper.is_torn:
            self._close()  # nobody reads on, as in `zap run | head`
        self._board.apply(event)
        fact = event.fact
        if self._options.is_json and not self._options.is_quiet:
            await self._print(as_json(wire.event_to_plain(event)))
        if isinstance(fact, events.Output):
            self._last[fact.job] = fact.last
            if fact.job in self._seen:
                await self._tell_lines(fact.job)
        elif isinstance(fact, events.Became | events.Restated | events.Waits):
            row = self._board.rows[fact.job]
            if row.state is State.FAILED and self._first_failed is None:
                self._first_failed = fact.job
            self._note_waits(row)
            if self._is_over(fact.job):
                self._close()
        elif isinstance(fact, events.Fixed | events.FixFailed) and self._is_over(fact.job):
            self._close()

    def _note_waits(self, row: Row) -> None:
        """Before all is ended, and with it what anybody waits for."""
        if row.is_stuck:
            self._in_vain[row.job] = f"waited for {', '.join(lack.job for lack in row.lacks if lack.is_hopeless)}"
        elif row.state is State.STOPPED and row.why:
            self._in_vain[row.job] = row.why
        elif row.state is not State.STOPPED:
            self._in_vain.pop(row.job, None)

    async def _keep_status(self) -> None:
        """While nothing is said for a while, a person sees that something goes on."""
        while True:
            await asyncio.sleep(STATUS_EVERY)
            now = time.monotonic()
            if now - self._spoke >= SILENCE:
                await self._tell_status(now)

    def _is_over(self, job: str) -> bool:
        """Whether, after what happened to this job, there is nothing to wait for."""
        return self._is_at_end(job) and all(map(self._is_at_end, self._options.jobs))

    def _is_at_end(self, job: str) -> bool:
        row = self._board.rows[job]
        is_up = self._options.until == "ready" and row.state is State.READY
        return bool(row.epoch or row.begun) and (row.is_at_rest or row.is_stuck or is_up)

    # Lines.

    async def _tell_lines(self, job: str) -> None:
        """Everything that is there and was not told."""
        is_more = not self._options.is_quiet and self._paper.is_read
        while is_more:
            tail = await self._session.tail(job, self._seen[job], PAGE)
            complete = [line for line in tail.lines if not line.is_open]
            is_more = len(complete) == PAGE and self._paper.is_read
            texts = [self._scribe.dropped(job, tail.dropped, TOO_FAST)] if tail.dropped else []
            texts += [self._scribe.line(job, line) for line in complete]
            self._seen[job] = tail.next
            self._look_at_prompts(job, tail)
            await self._print("".join(texts))
            if is_more:
                await asyncio.sleep(0)  # signals and the jobs have their turn too

    def _look_at_prompts(self, job: str, tail: Tail) -> None:
        unfinished = {line.stream: line.text for line in tail.lines if line.is_open}
        if unfinished and job not in self._prompting:
            self._prompting.add(job)
            self._begin(self._tell_prompts(job, unfinished))

    async def _tell_prompts(self, job: str, before: Mapping[Stream, bytes]) -> None:
        """Unfinished lines that stand for a while: mostly somebody is being asked something."""
        await asyncio.sleep(PROMPT_AFTER)
        self._prompting.discard(job)
        tail = await self._session.tail(job, self._seen[job], PAGE)
        for line in tail.lines:
            if not line.is_open:
                continue
            if before.get(line.stream) != line.text:  # it has come or grown meanwhile, and may stand from now on
                self._look_at_prompts(job, tail)
            else:
                await self._print(self._scribe.prompt(job, line))

    async def _print(self, text: str) -> None:
        if not text:
            return
        self._spoke = time.monotonic()
        clear, self._has_status = CLEAR if self._has_status else "", False
        await self._paper.write(clear + text)

    async def _hear_last_words(self, job: str) -> str:
        """The last thing that a job itself said, for who wants to know why it failed."""
        since = max(self._last.get(job, 0) - LAST_LINES, 0)
        tail = await self._session.tail(job, since, LAST_LINES)
        return last_words(tail.lines)

    # What a person sees beside lines.

    @property
    def _shows_status(self) -> bool:
        return self._options.is_terminal and not self._options.is_json and not self._options.is_quiet

    async def _tell_status(self, now: float) -> None:
        rows = [row for job in self._options.shown if not (row := self._board.rows[job]).is_at_rest]
        told = " · ".join(doing(row, time.time()) for row in rows)
        text = f"{seconds(now - self._began)} · {told or 'ending'}"
        if self._signals:
            text = f"Ctrl+C again does not wait · {text}"
        width = max(shutil.get_terminal_size().columns - 3, 20)  # room for the ^C that the terminal writes
        if len(text) > width:
            text = text[: width - 1] + "…"
        self._has_status = True
        await self._paper.write(f"{CLEAR}\x1b[2m{text}\x1b[0m" if self._options.has_colour else f"{CLEAR}{text}")

    def _code(self) -> int:
        if self._signals:
            return 128 + self._signals[0]
        if self._paper.is_torn:
            return 128 + signal.SIGPIPE
        if self._first_failed:
            return self._board.rows[self._first_failed].code or 1
        return 1 if self._in_vain else 0

    def _summary(self, code: int) -> str:
        rows = [self._board.rows[job] for job in self._options.shown]
        took = time.monotonic() - self._began
        if self._options.is_json:
            jobs = [_outcome(row, self._why(row), self._last_words.get(row.job)) for row in rows]
            return as_json({"event": "summary", "code": code, "seconds": round(took, 3), "jobs": jobs})
        width = max((len(row.job) for row in rows), default=0)
        head = f"{len(rows)} {'job' if len(rows) == 1 else 'jobs'} in {seconds(took)}, exit code {code}"
        return "\n".join(["", head, *(self._summed(row, width) for row in rows), ""])

    def _why(self, row: Row) -> str:
        return self._in_vain.get(row.job) or row.why

    def _summed(self, row: Row, width: int) -> str:
        sign = SIGNS.get(row.state, "?")
        if self._options.has_colour:
            sign = f"\x1b[{SIGN_COLOURS.get(sign, 33)}m{sign}\x1b[0m"
        parts = [f"{row.state:<8}", f"{seconds(_took(row)):>9}"]
        if row.restarts:
            parts.append(f"↺ {row.restarts}")
        parts += [f"🔧 {name}{times}" for name, times in _counted(row.fixups)]
        parts += [f"🔧 {name}{times} did not help" for name, times in _counted(row.gave_up)]
        why = self._why(row)
        if why and row.state in (State.FAILED, State.STOPPED):
            parts.append(why)
        told = f"  {sign} {row.job:<{width}}  {'  '.join(parts)}"
        words = self._last_words.get(row.job)
        return f"{told}\n    {'':<{width}}  last words: {words}" if words else told


class _Paper:
    """Where text goes. A thread writes, so that whoever reads slowly holds up this door and not the runner."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting = 0  # bytes
        self._news = asyncio.Event()  # for whoever waits just now: it is never left set
        self._is_abandoned = False
        self.is_torn = False

    async def write(self, text: str) -> None:
        """Returns at once, unless much waits to be written already."""
        if self._thread is None:  # a daemon: a reader that never reads again shall not keep us from ending
            self._thread = threading.Thread(target=self._write, args=[asyncio.get_running_loop()], daemon=True)
            self._thread.start()
        data = text.encode(errors="replace")
        self._waiting += len(data)
        self._queue.put(data)
        while self._waiting > BACKLOG_MOST and self.is_read:
            await self._news.wait()

    @property
    def is_read(self) -> bool:
        """Whether there is anybody for whom it is worth to write."""
        return not (self.is_torn or self._is_abandoned)

    async def flush(self) -> None:
        """Returns when everything is written, or nobody reads any more."""
        while self._waiting and not self.is_torn:
            try:
                async with asyncio.timeout(LAST_WRITE if self._is_abandoned else None):
                    await self._news.wait()
            except TimeoutError:
                return

    def abandon(self) -> None:
        """Waits for nobody any more, but a moment for the last words."""
        self._is_abandoned = True
        self._on_written(0, is_torn=False)

    def _on_written(self, size: int, is_torn: bool) -> None:
        self._waiting -= size
        self.is_torn |= is_torn
        self._news.set()
        self._news.clear()

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        is_torn = False
        while True:
            data = self._queue.get()
            view = memoryview(data)
            while view and not is_torn:
                try:
                    view = view[os.write(self._fd, view) :]
                except OSError:  # EPIPE; EIO from a terminal that is gone
                    is_torn = True
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(self._on_written, len(data), is_torn)


def _outcome(row: Row, why: str, last_words: str | None) -> dict[str, object]:
    told = {"job": row.job, "outcome": str(row.state), "seconds": _took(row), "restarts": row.restarts}
    if row.exit:
        told["status"] = wire.to_plain(row.exit)
    if why:
        told["why"] = why
    if last_words:
        told["last_words"] = last_words
    return told | {"fixups": list(row.fixups), "gave_up": list(row.gave_up)}


def _took(row: Row) -> float:
    return round(row.since - row.begun, 3) if row.begun is not None else 0.0


def _counted(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, f" × {times}" if times > 1 else "") for name, times in Counter(names).items()]
