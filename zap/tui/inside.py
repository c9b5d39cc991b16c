"""Typing into a job: its terminal in a pane, emulated from what it says, and the keys sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from zap import requests
from zap.events import Line
from zap.session import Session
from zap.tui.colours import Colours
from zap.tui.emulator import Emulator
from zap.tui.feed import fetch
from zap.tui.host import Host
from zap.tui.text import Row

PAGE = 200  # lines of what was said before, to begin with; more than that at once is read by nobody
FEED_MOST = 64 * 1024  # bytes of one look: of what is more only the end is drawn
PIECE = 4 * 1024  # bytes between two turns of whoever else waits, such as a key
REST = 1 / 30  # seconds after a look that found more than a piece
SETTLE = 0.05  # seconds in which a program hears of a size before it is told of another
CANCEL = b"\x18"  # ends what was begun before something is missing (ECMA-48)
SEND_MOST = 64 * 1024  # bytes of one request


class Inside:
    """Begins with what is on the job's terminal; a program that fills the screen draws it anew for its new size.

    `last` is the newest line of each job, as the events tell; `ask` tells the person what the runner refuses.
    """

    def __init__(
        self,
        session: Session,
        job: str,
        last: Mapping[str, int],
        colours: Colours,
        host: Host,
        ask: Callable[[requests.Request], Coroutine[Any, Any, None]],
    ) -> None:
        self.job = job
        self._session = session
        self._last = last
        self._colours: Colours = colours
        self._host = host
        self._ask = ask
        self._since = 0
        self._known = (0, 0)
        self._emulator: Emulator | None = None
        self._typed = bytearray()
        self._is_sending = False
        self._size = (0, 0)
        self._is_resizing = False
        self._is_behind = False
        self._is_looking = False
        self._is_current = False

    def enter(self) -> None:
        """One looks at it again: what it draws is what was known until it has drawn anew."""
        self._size = (0, 0)
        self._is_current = False

    def draw(self, columns: int, rows: int) -> tuple[list[Row], tuple[int, int] | None]:
        """Its rows, and where the cursor is."""
        if self._emulator is None:
            self._emulator = Emulator(columns, rows, self._colours)
        if (columns, rows) != self._size:
            self._size = (columns, rows)
            self._emulator.resize(columns, rows)
            if not self._is_resizing:
                self._is_resizing = True
                self._host.begin(self._resize())
            self.refresh()
        return [list(row) for row in self._emulator.draw()], self._emulator.cursor

    async def _resize(self) -> None:
        """Until the job has heard of the last size.

        At first it hears of another one: who has the right size already would not draw anything (ioctl_tty(2)).
        """
        try:
            columns, rows = self._size
            told = (0, 0)
            if not self._is_current and columns > 1:
                await self._ask(requests.Resize((self.job,), rows, columns - 1))
                await asyncio.sleep(SETTLE)
            while told != self._size:
                told = columns, rows = self._size
                await self._ask(requests.Resize((self.job,), rows, columns))
        finally:
            self._is_resizing = False

    def refresh(self) -> None:
        """The job has said something since."""
        self._is_behind = True
        if self._emulator and not self._is_looking:
            self._is_looking = True
            self._host.begin(self._look(self._emulator))

    async def _look(self, emulator: Emulator) -> None:
        try:
            while self._is_behind:
                self._is_behind = False
                self._since = max(self._since, self._last.get(self.job, 0) - PAGE)
                tail = await fetch(self._session, self.job, self._since, PAGE, FEED_MOST, self._known)
                data = b"".join(map(_said, tail.lines))
                is_whole = len(data) == sum(tail.known) - sum(self._known)
                self._since, self._known = tail.next, tail.known
                await self._feed(emulator, data if is_whole else CANCEL + data[-FEED_MOST:])
        finally:
            self._is_looking = False

    async def _feed(self, emulator: Emulator, data: bytes) -> None:
        for begin in range(0, len(data), PIECE):
            answer = emulator.feed(data[begin : begin + PIECE])
            if self._is_current:  # what was asked before one came in was asked of nobody
                self._send(answer)
            self._host.redraw()
            await asyncio.sleep(0)
        self._is_current = True
        if len(data) > PIECE:
            await asyncio.sleep(REST)

    def press(self, key: str) -> None:
        if self._emulator:
            self._send(self._emulator.key(key))

    def mouse(self, event: str, button: int, column: int, row: int) -> None:
        if self._emulator:
            self._send(self._emulator.mouse(event, button, column, row))

    def _send(self, data: bytes) -> None:
        """Keys that come together are sent together, and in order."""
        self._typed += data
        if self._typed and not self._is_sending:
            self._is_sending = True
            self._host.begin(self._send_typed())

    async def _send_typed(self) -> None:
        try:
            while self._typed:
                text = self._typed[:SEND_MOST].decode("utf-8", "surrogateescape")
                del self._typed[:SEND_MOST]
                await self._ask(requests.Send((self.job,), text))
        finally:
            self._is_sending = False


def _said(line: Line) -> bytes:
    """As the terminal has heard it; what zap remarks it has not."""
    if line.stream == "zap":
        return b""
    return line.text if line.is_open else line.text + b"\n"
