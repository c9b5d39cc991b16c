"""The other side of the socket: a session onto a runner in another process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from zap import address, frame, wire
from zap.address import NoRunner
from zap.errors import ZapError
from zap.events import Event, Restated
from zap.plan import MIB, Plan
from zap.requests import Request
from zap.session import Tail

MOST_ANSWER = 64 * MIB  # bytes of a line: one answer holds a line of a job, which may be as long as its buffer
MOST_EVENT = 4 * MIB  # and who follows without reading has this much in his memory, not that much
DIAL_EVERY = 0.05  # seconds
HELLO_MOST = 10.0  # seconds until a runner that lives must answer


class Client:
    """A Session. Calls share one connection and are answered in order; each watch has one of its own.

    A call that is cancelled is done all the same, and its answer is let go. Everything goes on with a runner that takes
    over, and raises NoRunner once there is none.
    """

    def __init__(self, folder: str, hello: frame.Hello, line: _Line) -> None:
        self._folder = folder
        self._line = line
        self._turn = asyncio.Lock()
        self._number = 0
        self.hello = hello

    async def ask(self, request: Request, by: str = "") -> None:
        await self._call(request)

    async def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[Event]:
        while True:
            line, _ = await _dial_again(self._folder, MOST_EVENT)
            try:
                await line.write(wire.call_line(1, wire.Watch(since, rest)))
                while "event" in (answer := await line.read()):
                    event = wire.event_from_plain(answer["event"])
                    if not isinstance(event.fact, Restated):  # all of these have one number: the rest would be missed
                        since = event.n
                    yield event
                frame.result_of(answer)
                return
            except NoRunner:  # another one may have taken over
                continue
            finally:
                line.close()

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        call: wire.Lines | None = wire.Lines(job, since, at_most, widest, known)
        tails = []
        while call:
            answer = await self._call(call)
            tails.append(wire.tail_from_plain(answer))
            call = wire.rest_of(call, answer)
        return wire.joined(tails)

    async def plan(self, is_fresh: bool = False) -> Plan:
        plan: Plan = wire.reader_of(Plan)(await self._call(wire.Describe(is_fresh)))
        return plan

    def close(self) -> None:
        self._line.close()

    async def _call(self, call: wire.Call) -> wire.Plain:
        async with self._turn:
            while True:
                try:
                    return frame.result_of(await self._answer(call))
                except NoRunner:
                    self._line.close()
                    self._line, self.hello = await _dial_again(self._folder, MOST_ANSWER)
                    if wire.call_to_plain(call)["verb"] not in frame.REPEATABLE:
                        raise ZapError(frame.UNKNOWN) from None

    async def _answer(self, call: wire.Call) -> dict[str, wire.Plain]:
        self._number += 1
        number = self._number
        await self._line.write(wire.call_line(number, call))
        while (answer := await self._line.read()).get("id") not in (number, None):
            pass  # of a call that nobody waits for any more
        return answer


async def connect(folder: str) -> Client | None:
    """None: no runner lives there. ZapError: it is one that we cannot talk to."""
    try:
        line, hello = await _dial(folder, MOST_ANSWER)
    except NoRunner:
        return None
    return Client(folder, hello, line)


class _Line:
    """A connection: one JSON object per line, each way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, line: bytes) -> None:
        try:
            self._writer.write(line)
            await self._writer.drain()
        except OSError as error:
            raise NoRunner(f"the runner is gone: {error.strerror or error}") from None

    async def read(self) -> dict[str, wire.Plain]:
        try:
            line = await self._reader.readline()
        except OSError as error:
            raise NoRunner(f"the runner is gone: {error.strerror or error}") from None
        except ValueError:
            raise ZapError("the runner says more at once than there is room for") from None
        if not line.endswith(b"\n"):
            raise NoRunner("the runner is gone")
        return frame.read_answer(line)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._writer.close()


async def _dial_again(folder: str, most: int) -> tuple[_Line, frame.Hello]:
    """As `_dial`, but one that is about to take over is waited for."""
    while True:
        try:
            return await _dial(folder, most)
        except NoRunner:
            if not address.is_claimed(folder):
                raise
            await asyncio.sleep(DIAL_EVERY)


async def _dial(folder: str, most: int) -> tuple[_Line, frame.Hello]:
    """NoRunner: there is none. Takes lines of so many bytes at most."""
    dialled = address.connect(folder)
    if dialled is None:
        raise NoRunner("no runner is there")
    reader, writer = await asyncio.open_unix_connection(sock=dialled, limit=most)
    line = _Line(reader, writer)
    try:
        async with asyncio.timeout(HELLO_MOST):
            return line, frame.read_hello(await line.read())
    except TimeoutError:
        line.close()
        raise ZapError("the runner lives, but does not answer") from None
    except BaseException:
        line.close()
        raise
