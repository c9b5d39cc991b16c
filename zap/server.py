"""The runner's side of its socket: who dials asks, watches and fetches through the session, each at their own pace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine

from zap import __version__, address, frame, requests, wire
from zap.errors import ZapError
from zap.plan import KIB
from zap.session import Session, Tail

MOST_WATCHES = 16  # of one client
MOST_REST = 1.0  # seconds between the looks that a watch takes
MOST_LINES = 2000  # of one answer: encoding them takes some 4 ms, in which nobody else has a turn
MOST_TEXT = 256 * KIB  # of one answer's lines, unless it is one line alone
MOST_UNSENT = 64 * KIB  # beyond it a client is not read from, and is told no events, until it has read some of it
AT_ONCE = 64 * KIB  # that are read
TOLD_AT_ONCE = 64  # events
TURN = 0.002  # seconds that a client who says much at once has before the others
LINGER = 1.0  # seconds for a client that is hung up on to read what it was sent
ACCEPT_AGAIN = 1.0  # seconds, when there is no descriptor for another client


class Server:
    """Answers whoever dials, from `listen` until `close`. A client's mistakes, its pace and its death are its own.

    An exception that is no client's doing goes to the loop's exception handler.
    """

    def __init__(self, session: Session, plan: str, keeper: int | None = None) -> None:
        self._session = session
        self._hello = frame.Hello(__version__, frame.PROTOCOL, plan, os.getpid(), keeper or 0)
        self._loop = asyncio.get_running_loop()
        self._welcoming: asyncio.Task[None] | None = None
        self._clients: dict[asyncio.Task[None], _Client] = {}

    def listen(self, listening: socket.socket) -> None:
        """The socket does not block."""
        self._welcoming = self._begin(self._welcome(listening))

    async def close(self) -> None:
        """Hangs up on everyone. Who has followed the events of a session that is closed now has a moment to take the
        last ones, and to fetch the last lines, maybe over another connection.
        """
        if self._welcoming:
            self._welcoming.cancel()
        if any(client.watches for client in self._clients.values()):
            await asyncio.wait(self._clients, timeout=LINGER)
        for serving in self._clients:
            serving.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _welcome(self, listening: socket.socket) -> None:
        is_full = False
        while True:
            try:
                connected, _ = await self._loop.sock_accept(listening)
                pid, uid = address.peer(connected)
            except OSError as error:  # accept(2): among others EMFILE and ENFILE
                await self._note(f"no new client can be let in for now: {error.strerror}")
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            who = f"process {pid} of user {uid}"
            if uid not in (os.geteuid(), 0):
                await self._turn_away(connected, f"this runner is for user {os.geteuid()}", who)
            elif len(self._clients) < address.MOST_CLIENTS:
                is_full = False
                client = _Client(self._session, connected, who)
                serving = self._begin(client.serve(self._hello))
                self._clients[serving] = client
                serving.add_done_callback(self._clients.pop)
            else:  # told once: who tries again and again shall not fill the log
                who, is_full = "" if is_full else f"{who}, and whoever else comes now", True
                await self._turn_away(connected, f"the runner has {address.MOST_CLIENTS} clients already", who)

    async def _turn_away(self, connected: socket.socket, why: str, who: str) -> None:
        with connected, contextlib.suppress(OSError):
            connected.send(frame.encode({"id": None, "error": why, "code": 2}))
        if who:
            await self._note(f"turned away {who}: {why}")

    async def _note(self, text: str) -> None:
        await self._session.ask(requests.Note(text))

    def _begin(self, what: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(what)
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._loop.call_exception_handler({"message": "the socket is not served any more", "exception": error})


class _Client:
    """One connection: calls are answered one after the other, watches go on beside them."""

    def __init__(self, session: Session, connected: socket.socket, who: str) -> None:
        self._session = session
        self._connected = connected
        self._who = who
        self._loop = asyncio.get_running_loop()
        self._outbox: list[bytes] = []
        self.watches: dict[int, asyncio.Task[None]] = {}

    async def serve(self, hello: frame.Hello) -> None:
        """Until the client hangs up, or says what nobody has to say."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=self._connected, limit=AT_ONCE)
        self._writer.transport.set_write_buffer_limits(high=MOST_UNSENT)
        try:
            async with asyncio.TaskGroup() as self._group:
                with contextlib.suppress(OSError):
                    await self._converse(hello)
                for watch in self.watches.values():
                    watch.cancel()
        finally:
            self._flush()
            self._writer.close()
            try:
                await asyncio.wait_for(self._writer.wait_closed(), LINGER)
            except TimeoutError:
                with contextlib.suppress(AttributeError):  # asyncio's, when it is closed by now after all
                    self._writer.transport.abort()
            except OSError:
                pass

    async def _converse(self, hello: frame.Hello) -> None:
        self._send(wire.to_plain(hello))
        until = self._loop.time() + TURN
        async for line in self._lines():
            if len(line) >= frame.MOST_CALL:
                self._send({"id": None, "error": f"a line has at most {frame.MOST_CALL} bytes", "code": 2})
                return
            await self._answer(line)
            if self._loop.time() > until:
                await self._catch_up()
                until = self._loop.time() + TURN

    async def _lines(self) -> AsyncIterator[bytes]:
        """What the client says, line by line; also one that is too long already and has no end yet."""
        begun = b""
        while data := await self._reader.read(AT_ONCE):
            *lines, begun = (begun + data).split(b"\n")
            for line in lines:
                yield line
            if len(begun) >= frame.MOST_CALL:
                yield begun
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Until the client has read enough of what it was told, and the others have had their turn."""
        self._flush()
        await self._writer.drain()
        await asyncio.sleep(0)

    async def _answer(self, line: bytes) -> None:
        number = None
        try:
            number, call = wire.read_call(line)
            result = await self._perform(number, call)
        except wire.BadCall as error:
            self._send({"id": error.number, "error": str(error), "code": 2})
        except ZapError as error:
            self._send({"id": number, "error": str(error), "code": error.code})
        else:
            if not isinstance(call, wire.Watch):
                self._send({"id": number, "result": result})

    async def _perform(self, number: int, call: wire.Call) -> wire.Plain:
        match call:
            case wire.Watch():
                if number in self.watches:
                    raise ZapError(f"there is a watch {number} already")
                if len(self.watches) >= MOST_WATCHES:
                    raise ZapError(f"one client has at most {MOST_WATCHES} watches")
                self.watches[number] = self._group.create_task(self._watch(number, call))
            case wire.Unwatch():
                if watch := self.watches.pop(call.watch, None):
                    watch.cancel()
            case wire.Lines():
                return await self._tail(call)
            case wire.Describe(is_fresh):
                return wire.to_plain(await self._session.plan(is_fresh))
            case requests.Attend() | requests.Note() | requests.Reload() | requests.Upgrade() | requests.Close():
                await self._session.ask(call, self._who)
            case _:  # each job once: a thousand times the same would only keep the others waiting
                await self._session.ask(call._replace(jobs=tuple(dict.fromkeys(call.jobs))), self._who)
        return {}

    async def _tail(self, call: wire.Lines) -> wire.Plain:
        """As many lines as one answer holds."""
        since, at_most = max(call.since, 0), min(max(call.at_most, 0), MOST_LINES)
        tail = await self._session.tail(call.job, since, at_most, call.widest, call.known)
        fitting = _fitting(tail)
        if is_cut := fitting < len(tail.lines) and not tail.lines[fitting].is_open:
            tail = await self._session.tail(call.job, since, fitting, call.widest, call.known)
        elif call.at_most > at_most == len(tail.lines):
            is_cut = not tail.lines[-1].is_open
        return wire.tail_to_plain(tail, is_cut)

    async def _watch(self, number: int, call: wire.Watch) -> None:
        """The publisher goes on whether this client reads or not: what it has missed then, the session makes up for."""
        since = call.since if call.since is None else max(call.since, 0)
        events = self._session.watch(since, min(max(call.rest, 0.0), MOST_REST))
        with contextlib.suppress(OSError):
            async for event in events:
                self._send({"id": number, "event": wire.event_to_plain(event)})
                if len(self._outbox) >= TOLD_AT_ONCE:
                    await self._catch_up()
                await self._writer.drain()
            self._send({"id": number, "result": {}})

    def _send(self, message: dict[str, wire.Plain]) -> None:
        """What is said in one turn of the loop goes out together: a system call costs more than a message."""
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(frame.encode(message))

    def _flush(self) -> None:
        if self._outbox and not self._writer.is_closing():
            self._writer.write(b"".join(self._outbox))
        self._outbox.clear()


def _fitting(tail: Tail) -> int:
    """How many of the lines one answer holds, but at least one."""
    size = 0
    for index, line in enumerate(tail.lines):
        size += len(line.text)
        if size > MOST_TEXT and index:
            return index
    return len(tail.lines)
