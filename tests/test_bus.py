"""Events on their way to readers: whatever their pace, who folds them into a board ends with the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.zap import DEADLINE
from zap import bus, events
from zap.board import Board
from zap.bus import Bus
from zap.events import Event, Fact, Load, State, Status

A, B = "web/api", "web/db"
JOBS = ((A, 3), (B, 1))


class World:
    """A bus, the truth as a naive reader would have it who has missed nothing, and everything that was published."""

    def __init__(self) -> None:
        self.truth = Board(JOBS)
        self.bus = Bus(lambda: (events.Restated(job, row) for job, row in self.truth.rows.items()))
        self.published: list[Event] = []

    def publish(self, fact: Fact) -> None:
        self.published.append(self.bus.publish(fact))
        self.truth.apply(self.published[-1])

    def say(self, job: str, lines: int = 1) -> None:
        row = self.truth.rows[job]
        self.publish(events.Output(job, row.lines + 1, row.lines + lines, errors=row.errors + lines // 2))


class Reader:
    """Somebody who reads at a pace of their own."""

    def __init__(self, world: World, since: int | None = 0, rest: float = 0.0) -> None:
        self.board = Board(JOBS)
        self.seen: list[Event] = []
        self.begun = world.bus.last if since is None else since
        self.has_ended = False
        self._watch = world.bus.watch(since, rest)
        self._next: asyncio.Future[Event] | None = None

    async def read(self, at_most: int = 10**6) -> list[Fact]:
        """What is there, at most so many."""
        count = len(self.seen)
        while len(self.seen) < count + at_most and not self.has_ended:
            self._next = self._next or asyncio.ensure_future(anext(self._watch))
            for _ in range(3):  # turns of the loop: a reader that waited is woken in one and reads in another
                await asyncio.sleep(0)
            if not self._next.done():
                break
            try:
                event = self._next.result()
            except StopAsyncIteration:
                self.has_ended = True
            else:
                self.seen.append(event)
                self.board.apply(event)
            self._next = None
        return [event.fact for event in self.seen[count:]]

    async def leave(self) -> None:
        if self._next:
            self._next.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await self._next
        await self._watch.aclose()  # type: ignore[attr-defined]


def run(scene: Callable[[World, Callable[..., Reader]], Awaitable[None]], kept: int = 5) -> None:
    """A scene in a world whose bus keeps only so many events; its readers leave at the end."""

    async def play() -> None:
        world, readers = World(), list[Reader]()

        def reader(since: int | None = 0, rest: float = 0.0) -> Reader:
            readers.append(Reader(world, since, rest))
            return readers[-1]

        try:
            await scene(world, reader)
        finally:
            for one in readers:
                await one.leave()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "KEPT", kept)
        asyncio.run(play())


def numbers(reader: Reader) -> list[int]:
    return [event.n for event in reader.seen]


# The property.

JOB = st.sampled_from([A, B])
EPOCH = st.integers(1, 2)
FIXUP = st.sampled_from(["lock", "key"])
FACT: st.SearchStrategy[Fact] = st.one_of(
    st.builds(events.Became, JOB, EPOCH, st.sampled_from(State), st.just("so"), exit=st.none() | st.just(Status(1))),
    st.builds(events.Spawned, JOB, EPOCH, st.just(77)),
    st.builds(events.CommandStarted, JOB, EPOCH, st.integers(1, 3), st.just("ls"), st.integers(1, 9)),
    st.builds(events.CommandEnded, JOB, EPOCH, st.integers(1, 3), st.just(Status(0)), st.just(0.5)),
    st.builds(events.Exited, JOB, EPOCH, st.just(Status(0)), st.just(0.5)),
    st.builds(events.FixStarted, JOB, EPOCH, FIXUP, st.just(("rm x",))),
    st.builds(events.Fixed, JOB, EPOCH, FIXUP, st.just(0.5), st.just(True)),
    st.builds(events.FixFailed, JOB, EPOCH, FIXUP, st.just("exit 1")),
    st.builds(events.GaveUp, JOB, EPOCH, FIXUP, st.just("used up")),
    st.builds(events.Proposed, JOB, EPOCH, FIXUP, st.just(3), st.just(("rm x",)), st.just(("none",))),
    st.builds(events.Cleared, JOB),
    st.builds(lambda job, cpu: events.Measured((Load(job, cpu, 4096, 1),)), JOB, st.floats(0, 400)),
)

Attach = None
Say = tuple[str, int]
Deed = Fact | Say | int | None
"""A fact, lines that a job says, everybody reads at most so many, or somebody attaches."""

DEED = FACT | st.tuples(JOB, st.integers(1, 9)) | st.integers(0, 4) | st.just(99) | st.none()


@given(deeds=st.lists(DEED, max_size=60), kept=st.integers(1, 7), is_closed=st.booleans())
@example(
    deeds=[1, *[events.Fixed(A, 1, "lock", 0.5, True)] * 4, 1, events.Fixed(B, 1, "lock", 0.5, True)],
    kept=2,
    is_closed=False,
)
@example(deeds=[None, 1, events.Fixed(B, 1, "lock", 0.5, True)], kept=2, is_closed=False)
def test_whatever_its_pace_a_reader_ends_with_the_truth(deeds: list[Deed], kept: int, is_closed: bool) -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        readers = [reader(0)]
        for deed in deeds:
            match deed:
                case None:
                    readers.append(reader(None))
                    await readers[-1].read(1)
                case int():
                    for one in readers:
                        await one.read(deed)
                case (str(job), int(lines)) if type(deed) is tuple:
                    world.say(job, lines)
                case fact:
                    world.publish(fact)  # type: ignore[arg-type]
        if is_closed:
            world.publish(events.Closed())
        for one in readers:
            await one.read()
            assert one.board.rows == world.truth.rows
            assert one.has_ended is is_closed
            check(one, world)

    run(scene, kept)


def check(reader: Reader, world: World) -> None:
    """What is promised of numbers and pointers, with nobody's word for it but what was given out."""
    assert numbers(reader) == sorted(numbers(reader))
    pointers: dict[str, int] = {}
    told: set[int] = set()
    for event in reader.seen:
        match event.fact:
            case events.Output(job=job, last=last):
                assert last >= pointers.get(job, 0), "a pointer went back"
                pointers[job] = last
            case events.Skipped(events=count):
                gone = set(range(event.n - count + 1, event.n + 1))
                assert not gone & told
                told |= gone
            case events.Restated():
                pass
            case _:
                assert event.n not in told, "told twice, or told and skipped"
                assert event == world.published[event.n - 1]
                told.add(event.n)
    due = {event.n for event in world.published if not isinstance(event.fact, events.Output)}
    assert {n for n in due if n > reader.begun} <= told, "neither told nor said to be gone"


# And by example.


def test_of_pointers_only_the_newest_is_kept_and_they_push_nothing_else_out() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        world.publish(events.Spawned(A, 1, 77))
        for _ in range(1000):
            world.say(A)
            world.say(B)
        late = reader()
        assert await late.read() == [
            events.Spawned(A, 1, 77),
            events.Output(A, 1000, 1000),
            events.Output(B, 1000, 1000),
        ]
        assert numbers(late) == [1, 2000, 2001]

    run(scene)


def test_who_is_quick_is_told_of_every_pointer() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        quick = reader()
        for turn in range(20):
            world.say(A if turn % 3 else B)
            assert len(await quick.read()) == 1
        assert numbers(quick) == list(range(1, 21))

    run(scene)


def test_who_has_skipped_is_told_how_much_then_what_is_kept_and_then_how_it_is() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        slow = reader()
        world.publish(events.Spawned(A, 1, 77))
        await slow.read()
        world.say(B, 3)  # its number is among those that are gone, and what it said is not
        for code in range(9):
            world.publish(events.Exited(A, code, Status(code), 1.0))
        assert await slow.read() == [
            events.Skipped(5),
            *[events.Exited(A, code, Status(code), 1.0) for code in range(4, 9)],
            *[events.Restated(job, row) for job, row in world.truth.rows.items()],
            events.Output(B, 1, 3, errors=1),
        ]
        assert numbers(slow) == [1, 6, *range(7, 12), 11, 11, 11]
        world.publish(events.Spawned(A, 2, 78))
        assert await slow.read() == [events.Spawned(A, 2, 78)]

    run(scene)


@pytest.mark.parametrize("since", [None, 10**30])
def test_who_attaches_is_told_how_it_is_and_then_what_comes(since: int | None) -> None:
    """Also with a number that he has from the life of another runner."""

    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        world.publish(events.Spawned(A, 1, 77))
        world.say(A, 5)
        attached = reader(since)
        rows = world.truth.rows
        assert await attached.read() == [
            events.Restated(A, rows[A]),
            events.Restated(B, rows[B]),
            events.Output(A, 1, 5, errors=2),
        ]
        assert numbers(attached) == [2, 2, 2]
        world.say(A)
        assert await attached.read() == [events.Output(A, 6, 6, errors=2)]

    run(scene)


def test_how_it_is_is_of_one_moment() -> None:
    """What happens while it is told would otherwise be told twice: one remedy would count as two."""

    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        attached = reader(None)
        await attached.read(1)
        world.publish(events.Fixed(B, 1, "lock", 0.5, True))
        await attached.read()
        assert attached.board.rows[B].fixups == ("lock",)

    run(scene)


def test_a_number_that_is_known_goes_on_from_there() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        for epoch in range(1, 5):
            world.publish(events.Spawned(A, epoch, 77))
        assert await reader(2).read() == [events.Spawned(A, 3, 77), events.Spawned(A, 4, 77)]
        assert await reader(4).read() == []

    run(scene)


@pytest.mark.parametrize("since", [0, 3, 4, 99, None])
def test_closed_ends_every_watch_also_one_that_begins_after_it(since: int | None) -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        early = reader(0)
        await early.read()
        for epoch in range(1, 4):
            world.publish(events.Spawned(A, epoch, 77))
        world.publish(events.Closed())
        late = reader(since)
        for one in (early, late):
            assert (await one.read())[-1] == events.Closed()
            assert one.has_ended

    run(scene)


def test_who_is_behind_hears_how_it_is_before_the_end() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        slow = reader()
        world.publish(events.Spawned(A, 1, 77))
        await slow.read()
        for epoch in range(2, 9):
            world.publish(events.Spawned(A, epoch, 77))
        world.publish(events.Closed())
        told = await slow.read()
        assert [type(fact).__name__ for fact in told] == ["Skipped", *["Spawned"] * 5, "Restated", "Restated", "Closed"]

    run(scene)


def test_after_the_end_nothing_is_published() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        one = reader()
        world.publish(events.Closed())
        world.say(A)
        world.publish(events.Spawned(A, 1, 77))
        assert await one.read() == [events.Closed()]
        assert world.bus.last == 1

    run(scene)


def test_a_reader_that_leaves_while_it_waits_disturbs_nobody() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        stays, leaves = reader(), reader()
        await stays.read()
        await leaves.read()
        await leaves.leave()
        world.say(A)
        assert await stays.read() == [events.Output(A, 1, 1)]

    run(scene)


LONG = 3600.0  # seconds, which no test waits for


def test_who_rests_is_told_of_pointers_together_and_of_anything_else_at_once() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        rests = reader(rest=LONG)
        world.say(A)
        assert await rests.read() == [events.Output(A, 1, 1)]
        world.say(A)
        world.say(B)
        world.say(A)
        assert await rests.read() == []
        world.publish(events.Spawned(A, 1, 77))
        assert await rests.read() == [events.Output(B, 1, 1), events.Output(A, 3, 3), events.Spawned(A, 1, 77)]

    run(scene)


def test_nobody_rests_when_somebody_has_typed() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        rests = reader(rest=LONG)
        world.say(A)
        await rests.read()
        world.say(A)
        assert await rests.read() == []
        world.bus.attend()
        assert await rests.read() == [events.Output(A, 2, 2)]
        world.say(A)
        assert await rests.read() == [events.Output(A, 3, 3)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bus, "ATTENTION", LONG)
        run(scene)


def test_a_rest_ends() -> None:
    async def scene(world: World, reader: Callable[..., Reader]) -> None:
        rests = reader(rest=0.001)
        for number in range(1, 4):
            world.say(A)
            async with asyncio.timeout(DEADLINE):
                while (said := await rests.read()) == []:
                    pass
            assert said == [events.Output(A, number, number)]

    run(scene)
