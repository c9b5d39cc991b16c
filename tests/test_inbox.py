from __future__ import annotations

import contextlib
import errno
import os
import pty
import random
import select
import signal
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.zap import DEADLINE, wait_until
from zap.inbox import CHUNK, MOST_EXTENTS, SIZE, Inbox
from zap.plan import KIB
from zap.vault import Vault

ROOT = Path(__file__).parent.parent
KILLS = 30
SETTLES_EVERY = 5  # reads

RUNNER = """
import os, select, sys
from zap.inbox import Inbox
from zap.vault import Vault

fds = [int(word) for word in sys.argv[1:]]
vault, inbox, sources = Vault(fds[0]), Inbox(fds[1:5]), {1: fds[5], 2: fds[6], 3: fds[7]}
turns = [int(record.split(b" ", 1)[0]) for record in vault.records()]
taken = inbox.left(turns[-1] if turns else 0)
for fd in sources.values():
    os.set_blocking(fd, False)
poll = select.poll()
for fd in sources.values():
    poll.register(fd, select.POLLIN)
while True:
    poll.poll(100)
    for number, fd in sources.items():
        try:
            taken.append((number, inbox.read(number, fd, number == 3)))
        except BlockingIOError:
            pass
    if len(taken) >= %d and taken:
        heard = b"".join(b"%%d %%d\\n" %% (number, len(data)) + data for number, data in taken)
        vault.append(b"%%d " %% inbox.turn + heard)
        inbox.settle()
        taken.clear()
"""
"""Reads from two pipes and a terminal, and notes what it has read every few reads; until it is killed."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Without any changes of what goes through; what is read from comes first."""
    ends = pty.openpty()
    tty.setraw(ends[1])
    os.set_blocking(ends[0], False)
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


def again(inbox: Inbox) -> Inbox:
    """As the next runner has it."""
    return Inbox([os.dup(fd) for fd in inbox.fds])


def test_bytes_of_a_pipe_are_exact(inbox: Inbox, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    everything = bytes(range(256)) * 200
    os.write(writing, everything)
    assert inbox.read(1, reading, False) == everything
    os.write(writing, b"more")
    assert inbox.read(1, reading, False) == b"more"


def test_bytes_of_a_terminal_are_exact(inbox: Inbox, terminal: tuple[int, int]) -> None:
    reading, writing = terminal
    everything = bytes(range(256)) * 8
    os.write(writing, everything)
    heard = b""
    while len(heard) < len(everything):
        assert select.select([reading], [], [], DEADLINE)[0]
        heard += inbox.read(1, reading, True)
    assert heard == everything


def test_nothing_to_read_is_no_end(inbox: Inbox, pipe: tuple[int, int], terminal: tuple[int, int]) -> None:
    for fd, is_terminal in ((pipe[0], False), (terminal[0], True)):
        with pytest.raises(BlockingIOError):
            inbox.read(1, fd, is_terminal)


def test_a_pipe_that_nobody_writes_to_ends(inbox: Inbox, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"last")
    os.close(pipe[1])
    assert [inbox.read(1, pipe[0], False) for _ in range(2)] == [b"last", b""]


def test_a_terminal_whose_other_side_is_closed_ends_with_an_error(inbox: Inbox, terminal: tuple[int, int]) -> None:
    os.write(terminal[1], b"last")
    os.close(terminal[1])
    assert inbox.read(1, terminal[0], True) == b"last"
    with pytest.raises(OSError) as error:
        inbox.read(1, terminal[0], True)
    assert error.value.errno == errno.EIO


def test_what_was_not_settled_is_left(inbox: Inbox, pipe: tuple[int, int], terminal: tuple[int, int]) -> None:
    os.write(pipe[1], b"settled")
    inbox.read(1, pipe[0], False)
    settled = inbox.turn
    inbox.settle()
    os.write(pipe[1], b"to one")
    inbox.read(1, pipe[0], False)
    with pytest.raises(BlockingIOError):
        inbox.read(1, pipe[0], False)
    os.write(terminal[1], b"to two")
    assert select.select([terminal[0]], [], [], DEADLINE)[0]
    inbox.read(2, terminal[0], True)
    other = again(inbox)
    assert [item for item in other.left(settled) if item[1]] == [(1, b"to one"), (2, b"to two")]
    os.write(pipe[1], b"and three")  # it goes on behind that, in the same turn
    assert other.read(1, pipe[0], False) == b"and three"
    third = again(inbox)
    left = [item for item in third.left(settled) if item[1]]
    assert left == [(1, b"to one"), (2, b"to two"), (1, b"and three")]
    third.settle()
    for one in (other, third):
        one.close()


def test_nothing_is_left_of_a_turn_that_was_written_down(inbox: Inbox, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"one")
    inbox.read(1, pipe[0], False)
    other = again(inbox)  # killed between the note and `settle`
    assert other.left(inbox.turn) == []
    os.write(pipe[1], b"two")
    assert other.read(1, pipe[0], False) == b"two"
    assert other.turn == inbox.turn + 1
    assert other.left(inbox.turn) == [(1, b"two")]
    other.close()


def test_nothing_is_left_of_one_that_has_read_nothing(inbox: Inbox) -> None:
    other = again(inbox)
    assert other.left(0) == []
    assert other.left(7) == []
    assert other.turn == 7
    other.close()


def test_what_was_on_its_way_from_a_terminal_is_left(inbox: Inbox, terminal: tuple[int, int]) -> None:
    os.write(terminal[1], b"one")
    inbox.read(1, terminal[0], True)
    os.write(inbox.fds[3], b" and two")  # killed between the two moves
    other = again(inbox)
    assert other.left(0) == [(1, b"one and two")]
    other.close()


def test_it_is_full_of_bytes_and_empty_once_settled(inbox: Inbox, pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    chunk = b"x" * (4 * KIB)
    size = 0
    while not inbox.is_full:
        assert inbox.is_half_full == (size > SIZE // 2)
        for _ in range(CHUNK // len(chunk)):
            os.write(writing, chunk)
        size += len(inbox.read(1, reading, False))
    assert SIZE - CHUNK < size <= SIZE
    inbox.settle()
    assert (inbox.is_full, inbox.is_half_full) == (False, False)
    os.write(writing, b"again")
    assert inbox.read(1, reading, False) == b"again"


def test_it_is_full_of_reads_even_of_such_that_found_nothing(inbox: Inbox, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"one")
    inbox.read(1, pipe[0], False)
    for count in range(1, MOST_EXTENTS):
        assert (inbox.is_full, inbox.is_half_full) == (False, count > MOST_EXTENTS // 2)
        with contextlib.suppress(BlockingIOError):
            inbox.read(2, pipe[0], False)
    assert inbox.is_full
    other = again(inbox)
    left = other.left(0)
    assert (left[0], {data for _, data in left[1:]}) == ((1, b"one"), {b""})
    other.close()


class Writer(threading.Thread):
    """Numbered lines, into each descriptor as much as it takes, until it is told to be still."""

    def __init__(self, fds: dict[int, int]) -> None:
        super().__init__()
        self.fds = fds
        self.wrote = {number: bytearray() for number in fds}
        self.is_still = False
        self._owed = dict.fromkeys(fds, b"")
        self._count = 0
        for fd in fds.values():
            os.set_blocking(fd, False)

    def run(self) -> None:
        while not self.is_still:
            for fd in select.select([], list(self.fds.values()), [], 0.01)[1]:
                number = next(number for number, each in self.fds.items() if each == fd)
                if not self._owed[number]:
                    self._owed[number] = b"".join(b"%d line %d\n" % (number, self._count + at) for at in range(100))
                    self._count += 100
                with contextlib.suppress(BlockingIOError):
                    size = os.write(fd, self._owed[number])
                    self.wrote[number] += self._owed[number][:size]
                    self._owed[number] = self._owed[number][size:]


def _noted(record: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Of RUNNER: the turn, and whose bytes."""
    turn, rest = record.split(b" ", 1)
    heard = []
    while rest:
        head, rest = rest.split(b"\n", 1)
        number, size = map(int, head.split())
        heard.append((number, rest[:size]))
        rest = rest[size:]
    return int(turn), heard


def _drain(fd: int) -> bytes:
    data = b""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(fd, CHUNK):
            data += chunk
    return data


def test_no_kill_tears_a_read(inbox: Inbox) -> None:
    """Runners one after the other, each killed in the middle of it, and each goes on from where the one before was."""
    pipes = {1: os.pipe(), 2: os.pipe(), 3: pty.openpty()}
    tty.setraw(pipes[3][1])
    vault = Vault()
    fds = [vault.fd, *inbox.fds, *(reading for reading, _ in pipes.values())]
    argv = [sys.executable, "-S", "-c", RUNNER % SETTLES_EVERY, *map(str, fds)]
    writer = Writer({number: writing for number, (_, writing) in pipes.items()})
    chance = random.Random()
    writer.start()
    try:
        for _ in range(KILLS):
            before = os.fstat(vault.fd).st_size
            runner = subprocess.Popen(argv, cwd=ROOT, pass_fds=fds)
            wanted = before + chance.randrange(200_000)

            def has_noted(runner: subprocess.Popen[bytes] = runner, wanted: int = wanted) -> bool:
                assert runner.poll() is None
                return os.fstat(vault.fd).st_size > wanted

            try:
                wait_until(has_noted, "the runner to have read")
            finally:
                runner.send_signal(signal.SIGKILL)
                runner.wait()
    finally:
        writer.is_still = True
        writer.join()
    turns, heard = [], []
    for record in vault.records():
        turn, items = _noted(record)
        turns.append(turn)
        heard += items
    assert turns == sorted(set(turns))
    last = again(inbox)
    heard += last.left(turns[-1])
    for number, (reading, _) in pipes.items():
        os.set_blocking(reading, False)
        heard.append((number, _drain(reading)))
    for number, wrote in writer.wrote.items():
        assert b"".join(data for whose, data in heard if whose == number) == wrote, number
        assert len(wrote) > 10_000
    last.close()
    vault.close()
    for ends in pipes.values():
        for fd in ends:
            os.close(fd)
