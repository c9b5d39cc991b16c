"""All job descriptors behind one nested epoll, which the loop sees as a single reader.

The loop's own bookkeeping per descriptor and wake-up is what makes supervisors slow: here one wake-up serves every
descriptor that has something, in bounded reads, and pidfds, timers and clients never queue behind a flood.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import selectors
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from zap.inbox import Inbox

CHUNK = 64 * 1024  # bytes a read: 1 MiB reads are slower, and their bytes objects fragment the heap
FULL = CHUNK // 2  # bytes of a read from a pipe that tell of more: the pages of a full pipe are rarely full themselves
FULL_TERMINAL = 2 * 1024  # the same of a terminal, which gives 4 KiB at most
MOST_READY = 32  # descriptors served before the loop has its turn again
MOST_ROUNDS = 8  # chunks read from each of them
FEW = 4  # descriptors that may have more than one such round: 2 MiB keep the loop waiting for 2 ms
LITTLE = 16 * 1024  # bytes of a sweep; after less the nap is the long one, so that many quiet jobs come together
LONG_NAP = 0.005  # seconds until the next sweep when nobody has more: chatter costs a third, and nobody sees 5 ms
NAP = 0.002  # the same after more, as a writer of lines would have filled its pipe in 5 ms
AWAKE = 0.002  # seconds without a nap after a terminal's full read: it holds little, and its writer would wait for us
ANSWER = 0.02  # seconds without a nap for somebody who waits for the answer to what was typed
AWAITED = 0.1  # seconds in which much of an answer is no flood
ATTENTION = 0.3  # seconds in which floods wait for somebody at the keys
TRICKLE = 0.02  # seconds that they wait between two looks
BIG_PIPE = 1024 * 1024  # bytes; for a pipe that was found full, so that the nap does not throttle its writer
DRAIN_MOST = 2 * BIG_PIPE  # bytes read at a child's exit; what a grandchild floods on may never end

Source = TypeVar("Source")


class Intake(Generic[Source]):
    """Reads what its descriptors have: `deliver(source, data)` for each read, `swept()` after a round of them.

    With an inbox, no byte is lost when this process is killed: `swept` has it settled then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Source, bytes], None],
        swept: Callable[[], None],
        inbox: Inbox | None = None,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._swept = swept
        self._inbox = inbox
        self._numbers: dict[int, int] = {}  # by what the inbox knows a descriptor
        self._ready = _Ready()
        self._sources: dict[int, Source] = {}
        self._full: dict[int, int] = {}  # how many bytes of a read tell that there is more
        self._enlarged: set[int] = set()
        self._held: set[int] = set()
        self._parked: set[int] = set()  # floods that wait
        self._awaited: frozenset[int] = frozenset()  # where answers come
        self._awaited_until = 0.0
        self._awake_until = 0.0
        self._attentive_until = 0.0
        self._parking: asyncio.TimerHandle | None = None
        self._nap: asyncio.TimerHandle | None = None
        loop.add_reader(self._ready.fileno(), self._sweep)

    def add(self, fd: int, source: Source, number: int = 0) -> None:
        """A non-blocking descriptor whose data is the source's, until `remove` or its end.

        `number` is by what the inbox knows it; 0 when it need not.
        """
        self._sources[fd] = source
        self._numbers[fd] = number
        self._full[fd] = FULL_TERMINAL if os.isatty(fd) else FULL
        self._ready.add(fd)

    def remove(self, fd: int) -> None:
        """Forget the descriptor; it may have ended long ago. Before it is closed."""
        if self._sources.pop(fd, None) is not None:
            if self._is_read(fd):
                self._ready.remove(fd)
            for some in (self._held, self._parked, self._enlarged):
                some.discard(fd)
            del self._full[fd], self._numbers[fd]

    def hold(self, fd: int) -> None:
        """Leave it unread for now, so that whoever writes there waits."""
        if fd in self._sources:
            self._leave(fd, self._held)

    def release(self, fd: int) -> None:
        """Read it again."""
        if fd in self._held:
            self._take_up(fd, self._held)

    def attend(self, awaited: Collection[int] = ()) -> None:
        """Somebody is at the keys: who floods waits now and then, so that neither we nor the machine are busy with it.

        What is said next on the awaited descriptors waits for nothing.
        """
        now = self._loop.time()
        self._attentive_until = now + ATTENTION
        if awaited:
            self._awaited, self._awaited_until = frozenset(awaited), now + AWAITED
            self._awake_until = now + ANSWER
            if self._nap:
                self._nap.cancel()
                self._nap = self._loop.call_later(0, self._sweep)

    def _is_read(self, fd: int) -> bool:
        return fd not in self._held and fd not in self._parked

    def _leave(self, fd: int, left: set[int]) -> None:
        if self._is_read(fd):
            self._ready.remove(fd)
        left.add(fd)

    def _take_up(self, fd: int, left: set[int]) -> None:
        left.remove(fd)
        if self._is_read(fd):
            self._ready.add(fd)

    def _park(self, fd: int) -> None:
        self._leave(fd, self._parked)
        self._parking = self._parking or self._loop.call_later(TRICKLE, self._unpark)

    def _unpark(self) -> None:
        self._parking = None
        for fd in list(self._parked):
            self._take_up(fd, self._parked)

    def drain(self, fd: int) -> Iterator[bytes]:
        """What the descriptor holds now, without waiting for more or for its end."""
        total = 0
        while total < DRAIN_MOST:
            data = self._read(fd) if fd in self._sources else b""
            if not data:
                return
            total += len(data)
            yield data

    def close(self) -> None:
        if self._parking:
            self._parking.cancel()
        if self._nap:
            self._nap.cancel()
        else:
            self._loop.remove_reader(self._ready.fileno())
        self._ready.close()

    def _sweep(self) -> None:
        ready = self._ready.poll(MOST_READY)
        full: list[int] = []
        total = 0
        now = self._loop.time()
        is_attentive = now < self._attentive_until
        awaited = self._awaited if now < self._awaited_until else ()
        for _ in range(MOST_ROUNDS):
            full = []
            for fd in ready:
                source = self._sources.get(fd)
                if source is None or not self._is_read(fd):
                    continue
                if self._inbox and self._inbox.is_full:
                    self._swept()
                data = self._read(fd)
                if data is None:
                    continue
                if not data:
                    self.remove(fd)
                    continue
                total += len(data)
                if len(data) >= self._full[fd] and is_attentive and fd not in awaited:
                    self._park(fd)
                elif len(data) >= self._full[fd]:
                    full.append(fd)
                    if self._full[fd] == FULL_TERMINAL:
                        self._awake_until = max(self._awake_until, now + AWAKE)
                    elif fd not in self._enlarged:
                        self._enlarge(fd)
                self._deliver(source, data)
            if not 0 < len(full) <= FEW:
                break
            ready = full  # there is more, and no need to ask the loop
        self._swept()
        self._rest(is_idle=not ready, is_awake=bool(full) or now < self._awake_until, is_little=total < LITTLE)

    def _read(self, fd: int) -> bytes | None:
        """A chunk; None when there is nothing now; empty at the end (a terminal's other side is closed: EIO)."""
        try:
            if self._inbox and (number := self._numbers[fd]):
                return self._inbox.read(number, fd, self._full[fd] == FULL_TERMINAL)
            return os.read(fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _rest(self, is_idle: bool, is_awake: bool, is_little: bool) -> None:
        """Until somebody has something, or for a nap. To listen and to cease costs 0.1 ms: naps follow upon naps."""
        is_napping, self._nap = self._nap is not None, None
        if is_idle or is_awake:
            if is_napping:
                self._loop.add_reader(self._ready.fileno(), self._sweep)
            return
        if not is_napping:
            self._loop.remove_reader(self._ready.fileno())
        self._nap = self._loop.call_later(LONG_NAP if is_little else NAP, self._sweep)

    def _enlarge(self, fd: int) -> None:
        self._enlarged.add(fd)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # a terminal, or the user's share of pipe memory is used up
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, BIG_PIPE)


class _Ready:
    """Which descriptors have something; itself a descriptor that is readable when any has."""

    def __init__(self) -> None:
        # The selectors module has no bound on how many it reports, and a flood of 200 jobs would hold the loop.
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._selector = None if self._epoll else selectors.DefaultSelector()

    def fileno(self) -> int:
        return self._epoll.fileno() if self._epoll else self._selector.fileno()  # type: ignore[union-attr]

    def add(self, fd: int) -> None:
        if self._epoll:
            self._epoll.register(fd, select.EPOLLIN)
        elif self._selector:
            self._selector.register(fd, selectors.EVENT_READ)

    def remove(self, fd: int) -> None:
        (self._epoll or self._selector).unregister(fd)  # type: ignore[union-attr]

    def poll(self, most: int) -> list[int]:
        if self._epoll:
            return [fd for fd, _ in self._epoll.poll(0, most)]
        return [key.fd for key, _ in self._selector.select(0)]  # type: ignore[union-attr]

    def close(self) -> None:
        (self._epoll or self._selector).close()  # type: ignore[union-attr]
