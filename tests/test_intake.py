"""Bytes from many descriptors: none is lost, none is starved, and nobody is waited for."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.zap import DEADLINE
from zap import intake
from zap.intake import CHUNK, DRAIN_MOST, MOST_READY, MOST_ROUNDS, Intake

Deliver = Callable[[int, bytes], None]


class Pipes:
    """So many pipes and an intake that reads them; what each has said is collected."""

    def __init__(self, count: int, deliver: Deliver | None = None) -> None:
        self.pairs = [os.pipe() for _ in range(count)]
        self.said: dict[int, bytearray] = defaultdict(bytearray)
        self.sweeps = 0
        self._also = deliver
        self.intake: Intake[int] = Intake(asyncio.get_running_loop(), self._deliver, self._swept)
        for source, (reading, writing) in enumerate(self.pairs):
            os.set_blocking(reading, False)
            os.set_blocking(writing, False)
            self.intake.add(reading, source)

    def write(self, source: int, data: bytes) -> int:
        return os.write(self.pairs[source][1], data)

    async def write_all(self, source: int, data: bytes) -> None:
        while data:
            try:
                data = data[self.write(source, data) :]
            except BlockingIOError:
                await asyncio.sleep(0)

    async def wait_until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while True:
                if is_so():
                    return
                await asyncio.sleep(0)

    def close(self) -> None:
        self.intake.close()
        for fd in sum(self.pairs, ()):
            os.close(fd)

    def _deliver(self, source: int, data: bytes) -> None:
        self.said[source] += data
        if self._also:
            self._also(source, data)

    def _swept(self) -> None:
        self.sweeps += 1


@contextmanager
def pipes(count: int, deliver: Deliver | None = None) -> Iterator[Pipes]:
    several = Pipes(count, deliver)
    try:
        yield several
    finally:
        several.close()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=50), st.sampled_from([1, 1, 1, 3000]))))
def test_nothing_is_lost_or_changed_under_many_descriptors(writes: list[tuple[int, bytes, int]]) -> None:
    async def run() -> None:
        with pipes(10) as several:
            written: dict[int, bytes] = defaultdict(bytes)
            for source, piece, times in writes:
                await several.write_all(source, piece * times)
                written[source] += piece * times
            await several.wait_until(lambda: sum(map(len, several.said.values())) == sum(map(len, written.values())))
            assert several.said == {source: data for source, data in written.items() if data}

    asyncio.run(run())


@pytest.mark.parametrize("floods", [1, 3, 2 * MOST_READY])
def test_a_flood_does_not_starve_who_says_little(floods: int) -> None:
    """Who floods has always more to say. The quiet one has its turn all the same, and so has the loop."""

    async def run() -> None:
        flooded = 0

        def flood_on(source: int, data: bytes) -> None:
            nonlocal flooded
            if source < floods:
                flooded += 1
                several.write(source, bytes(CHUNK))

        with pipes(floods + 1, flood_on) as several:
            for source in range(floods):
                several.write(source, bytes(CHUNK))
            await several.wait_until(lambda: flooded > floods * MOST_ROUNDS)
            flooded = 0
            several.write(floods, b"a word")
            await several.wait_until(lambda: several.said[floods])
            assert several.said[floods] == b"a word"
            assert flooded <= 4 * MOST_READY * MOST_ROUNDS
            timer = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(timer.set_result, None)
            flooded = 0
            await timer
            assert flooded <= 2 * MOST_READY * MOST_ROUNDS

    asyncio.run(run())


def test_a_round_is_announced_once_however_many_have_spoken() -> None:
    async def run() -> None:
        with pipes(MOST_READY) as several:
            for source in range(MOST_READY):
                several.write(source, b"a word")
            await several.wait_until(lambda: len(several.said) == MOST_READY)
            assert several.sweeps == 1

    asyncio.run(run())


def test_who_has_typed_something_waits_for_no_nap() -> None:
    async def speak() -> None:
        with pipes(1) as all_pipes:
            all_pipes.write(0, b"prompt ")
            await all_pipes.wait_until(lambda: all_pipes.sweeps == 1)
            all_pipes.write(0, b"echo")
            all_pipes.intake.attend([all_pipes.pairs[0][0]])
            for _ in range(3):
                await asyncio.sleep(0)
            assert all_pipes.said[0] == b"prompt echo"
            all_pipes.write(0, b", and what follows")
            for _ in range(3):
                await asyncio.sleep(0)
            assert all_pipes.said[0] == b"prompt echo, and what follows"

    asyncio.run(speak())


def test_floods_wait_for_somebody_at_the_keys_but_not_what_was_typed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATTENTION", "AWAITED", "TRICKLE"):
        monkeypatch.setattr(intake, name, 3600.0)
    rounds = [0, 0]

    async def run() -> None:
        def flood_on(source: int, data: bytes) -> None:
            if source < 2:
                rounds[source] += 1
                several.write(source, bytes(CHUNK))

        with pipes(3, flood_on) as several:
            several.intake.attend([several.pairs[1][0]])
            for source in range(2):
                several.write(source, bytes(CHUNK))
            several.write(2, b"a word")
            await several.wait_until(lambda: rounds[1] > 100 and several.said[2])
            assert rounds[0] == 1
            assert several.said[2] == b"a word"

    asyncio.run(run())


@pytest.mark.parametrize("is_held", [False, True])
def test_a_flood_that_waits_goes_on(is_held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "ATTENTION", 3600.0)
    monkeypatch.setattr(intake, "TRICKLE", 0.001)

    async def run() -> None:
        with pipes(1) as several:
            several.intake.attend()
            for number in range(5):
                several.write(0, bytes(CHUNK))
                await several.wait_until(lambda number=number: len(several.said[0]) == (number + 1) * CHUNK)
            if is_held:  # while it waits
                several.intake.hold(several.pairs[0][0])
                several.intake.release(several.pairs[0][0])
            several.write(0, b"the end")
            await several.wait_until(lambda: several.said[0].endswith(b"the end"))

    asyncio.run(run())


def test_who_ends_while_it_waits_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "TRICKLE", 0.001)

    async def run() -> None:
        with pipes(2) as several:
            several.intake.attend()
            several.write(0, bytes(CHUNK))
            await several.wait_until(lambda: several.said[0])
            several.intake.remove(several.pairs[0][0])
            several.write(0, b"to nobody")
            several.write(1, bytes(CHUNK))  # is read, and waits, and is read again
            await several.wait_until(lambda: several.said[1])
            several.write(1, b"a word")
            await several.wait_until(lambda: several.said[1].endswith(b"a word"))
            assert len(several.said[0]) == CHUNK

    asyncio.run(run())


def test_draining_takes_what_is_there_and_waits_for_nothing() -> None:
    async def run() -> None:
        with pipes(1) as several:
            reading = several.pairs[0][0]
            assert list(several.intake.drain(reading)) == []
            several.write(0, b"last words")
            assert list(several.intake.drain(reading)) == [b"last words"]
            assert list(several.intake.drain(reading)) == []  # the other end is still open

    asyncio.run(run())


def test_draining_ends_though_somebody_floods_on() -> None:
    async def run() -> None:
        with pipes(1) as several:
            several.write(0, bytes(CHUNK))
            total = 0
            for data in several.intake.drain(several.pairs[0][0]):
                total += len(data)
                several.write(0, bytes(len(data)))
            assert DRAIN_MOST <= total < DRAIN_MOST + CHUNK

    asyncio.run(run())


def test_an_end_is_noticed_once_and_others_are_read_on() -> None:
    async def run() -> None:
        with pipes(2) as several:
            os.close(several.pairs[0][1])
            several.write(1, b"one ")
            await several.wait_until(lambda: several.said[1])
            sweeps = several.sweeps
            for _ in range(20):
                await asyncio.sleep(0)
            assert several.sweeps <= sweeps + 1  # an ended descriptor is readable for ever, and would never let it rest
            several.write(1, b"two")
            await several.wait_until(lambda: several.said[1] == b"one two")
            several.intake.remove(several.pairs[0][0])
            several.pairs[0] = (several.pairs[0][0], os.dup(several.pairs[0][0]))

    asyncio.run(run())


def test_a_terminal_whose_program_has_ended_is_at_its_end() -> None:
    async def run() -> None:
        with pipes(1) as several:
            master, slave = os.openpty()
            os.set_blocking(master, False)
            several.intake.add(master, 7)
            os.write(slave, b"last words\n")
            os.close(slave)
            several.write(0, b"on")
            await several.wait_until(lambda: several.said[0] and several.said[7])
            assert several.said[7] == b"last words\r\n"
            several.intake.remove(master)
            os.close(master)

    asyncio.run(run())


def test_who_was_removed_during_a_round_is_not_read_in_it() -> None:
    """Its descriptor may be closed by then, and its number another's."""

    async def run() -> None:
        def remove_the_others(source: int, data: bytes) -> None:
            for other, (reading, _) in enumerate(several.pairs):
                if other != source:
                    several.intake.remove(reading)

        with pipes(5, remove_the_others) as several:
            for source in range(5):
                several.write(source, b"a word")
            await several.wait_until(lambda: several.sweeps)
            for _ in range(5):
                await asyncio.sleep(0.005)
            assert list(several.said.values()) == [b"a word"]

    asyncio.run(run())


def test_a_pipe_that_was_found_full_becomes_bigger() -> None:
    async def run() -> None:
        with pipes(1) as several:
            several.write(0, bytes(CHUNK))
            await several.wait_until(lambda: len(several.said[0]) == CHUNK)
            assert several.write(0, bytes(4 * CHUNK)) > CHUNK

    asyncio.run(run())
