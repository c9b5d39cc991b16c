"""A call to a runner that blocks, for scripts: without a loop, whose import would take longer than the answer."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from zap import address, frame
from zap.address import NoRunner as NoRunner
from zap.errors import ZapError
from zap.frame import Plain

if TYPE_CHECKING:
    from zap import wire
    from zap.events import Event
    from zap.plan import Plan
    from zap.session import Tail

AT_ONCE = 256 * 1024  # bytes that are taken from the socket at once
HELLO_MOST = 10.0  # seconds until a runner that lives must answer
REACH_MOST = 10.0  # seconds until one that comes up must listen, and one that ends must have ended
REACH_EVERY = 0.02  # seconds


class Line:
    """One connection. Only one thing at a time: a watch that was begun goes on until the line is closed, and beside it
    there is only `post`.

    `ask` and `follow` speak in plain data; the others do it in words, whose import takes longer than an answer.

    When another runner takes over, the line goes on with that one.
    """

    def __init__(self, dialled: socket.socket, folder: str) -> None:
        self._socket = dialled
        self._folder = folder
        self._heard = bytearray()
        self._number = 0
        dialled.settimeout(HELLO_MOST)
        self.hello = frame.read_hello(self._read())
        dialled.settimeout(None)

    def ask(self, verb: str, **fields: Plain) -> Plain:
        """The result. ZapError: why there is none; NoRunner when the runner is gone."""
        while True:
            try:
                number = self._send({"verb": verb} | fields)
                while (answer := self._read()).get("id") not in (number, None):  # None: it could not read what we said
                    pass
            except NoRunner:
                self._dial_again()
                if verb not in frame.REPEATABLE:
                    raise ZapError(frame.UNKNOWN) from None
            else:
                return frame.result_of(answer)

    def follow(self, since: int | None = None) -> Iterator[dict[str, Plain]]:
        """Events as they come over the line. Begins at once, not when the first is wanted."""
        return self._events(self._send({"verb": "watch", "since": since}), since)

    def post(self, verb: str, **fields: Plain) -> None:
        """A call beside a watch. Its result is not told; if there is an error, it comes as one of the watch."""
        self._send({"verb": verb} | fields)

    def hears(self, seconds: float | None = None, reader: int | None = None) -> bool:
        """Whether something comes within so many seconds; blocks until then.

        `reader` is a descriptor that is written to; BrokenPipeError when nobody reads it any more (POLLERR, poll(2)).
        """
        if b"\n" in self._heard:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if reader is not None:
            poll.register(reader, 0)
        ready = [fd for fd, _ in poll.poll(None if seconds is None else max(seconds, 0.0) * 1000)]
        if reader in ready:
            raise BrokenPipeError
        return bool(ready)

    def call(self, call: wire.Call) -> Plain:
        """The result. ZapError: why there is none."""
        from zap import wire

        return self.ask(**wire.call_to_plain(call))

    def watch(self, since: int | None = None) -> Iterator[Event]:
        """As the session's; blocks for what comes next. Begins at once, not when the first is wanted."""
        from zap import wire

        return map(wire.event_from_plain, self.follow(since))

    def tail(self, job: str, since: int = 0, at_most: int = 1000) -> Tail:
        from zap import wire

        call: wire.Lines | None = wire.Lines(job, since, at_most)
        tails = []
        while call:
            answer = self.call(call)
            tails.append(wire.tail_from_plain(answer))
            call = wire.rest_of(call, answer)
        return wire.joined(tails)

    def plan(self, is_fresh: bool = False) -> Plan:
        from zap import wire
        from zap.plan import Plan

        plan: Plan = wire.reader_of(Plan)(self.ask("plan", is_fresh=is_fresh))
        return plan

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _events(self, number: int, since: int | None) -> Iterator[dict[str, Plain]]:
        while True:
            try:
                answer = self._read()
            except NoRunner:
                self._dial_again()
                number = self._send({"verb": "watch", "since": since})
                continue
            if "event" in answer:
                if answer["event"]["event"] != "restated":  # all of these have one number: the rest would be missed
                    since = answer["event"]["n"]
                yield answer["event"]
            elif answer.get("id") == number:
                frame.result_of(answer)
                return
            else:
                frame.result_of(answer)

    def _dial_again(self) -> None:
        """To the runner that has taken over. NoRunner when there is none."""
        line = reach(self._folder)
        if line is None:
            raise NoRunner("the runner is gone")
        self._socket.close()
        self._socket, self._heard, self.hello = line._socket, line._heard, line.hello

    def _send(self, fields: Mapping[str, Plain]) -> int:
        self._number += 1
        line = frame.call_line(self._number, fields)
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise NoRunner(f"the runner is gone: {error.strerror}") from None
        return self._number

    def _read(self) -> dict[str, Plain]:
        seen = 0
        while (end := self._heard.find(b"\n", seen)) < 0:
            seen = len(self._heard)
            self._heard += self._receive()
        answer = frame.read_answer(self._heard[:end])
        del self._heard[: end + 1]
        return answer

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(AT_ONCE)
        except TimeoutError:
            raise ZapError("the runner lives, but does not answer") from None
        except OSError as error:
            raise NoRunner(f"the runner is gone: {error.strerror}") from None
        if not data:
            raise NoRunner("the runner is gone")
        return data


def dial(folder: str) -> Line | None:
    """None: no runner lives there. ZapError: it does not answer, does not let us in, or is not for us to talk to."""
    dialled = address.connect(folder)
    if dialled is None:
        return None
    try:
        return Line(dialled, folder)
    except NoRunner:  # it was just ending
        dialled.close()
        return None
    except BaseException:
        dialled.close()
        raise


def reach(folder: str) -> Line | None:
    """As `dial`, but one that is just coming up is waited for, and so is the end of one that is just ending."""
    until = time.monotonic() + REACH_MOST
    while True:
        line = dial(folder)
        if line or not address.is_claimed(folder):
            return line
        if time.monotonic() > until:
            raise ZapError(f"a runner lives, but cannot be reached: it holds {folder}/lock")
        time.sleep(REACH_EVERY)
