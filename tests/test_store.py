from __future__ import annotations

import os
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from zap.buffer import Buffer
from zap.events import Stream
from zap.plan import KIB, MIB, Bound
from zap.store import SNAPSHOT_EVERY, Place, Store

STREAMS: tuple[Stream, ...] = ("out", "err", "zap")
EVERYTHING = 1 << 30

CHUNK = st.tuples(
    st.just("append"),
    st.sampled_from(STREAMS),
    st.sampled_from([b"", b"a", b"\n", b"ab\r\n", b"\xff\x00", b"one\ntwo\nthr", b"x" * 40_000, b"x" * 40_000 + b"\n"])
    | st.sampled_from([b"some line\n" * 9000, b"y" * 90_000]),
    st.integers(0, 3),
)
OTHER = st.tuples(st.sampled_from(["end", "remark", "clear", "write", "again"]), st.sampled_from(STREAMS))
OPERATIONS = st.lists(st.one_of(CHUNK, CHUNK, CHUNK, OTHER), max_size=50)
BOUNDS = st.builds(Bound, st.sampled_from([1, 3, 100, 20_000]), st.sampled_from([10, 1000, 100 * KIB, MIB]))


def looks(buffer: Buffer) -> object:
    """Everything that can be asked of it."""
    half = (buffer.first + buffer.last) // 2
    return (
        buffer.tail(0, EVERYTHING),
        buffer.tail(half, 5, 7),
        buffer.tail(half, EVERYTHING, known=(3, 0)),
        (buffer.first, buffer.last, buffer.errors, buffer.size, buffer.unfinished, buffer.is_open),
        (buffer.dropped_lines, buffer.dropped_bytes),
    )


def after(bound: Bound, store: Store, place: Place | None = None) -> tuple[Buffer, Store]:
    """As the next runner has it, by the place that was noted last."""
    buffer = Buffer(bound)
    return buffer, Store(buffer, os.dup(store.fd), place or store.place)


@settings(max_examples=60)
@given(BOUNDS, OPERATIONS)
def test_a_buffer_comes_back_as_it_was(bound: Bound, operations: list[tuple[str, Stream, bytes, int]]) -> None:
    buffer = Buffer(bound)
    store = Store(buffer)
    try:
        for at, (what, stream, *chunk) in enumerate(operations):
            if what == "append":
                buffer.append(chunk[0], float(at), stream, chunk[1])  # type: ignore[arg-type]
            elif what == "end":
                buffer.end_line(stream, float(at))
            elif what == "remark":
                buffer.remark("it is said\ntwice", float(at))
            elif what == "clear":
                buffer.clear()
            elif what == "write":
                store.write()
            else:  # and the one after that goes on from what this one has
                store.write()
                told = looks(buffer)
                buffer, other = after(bound, store)
                store.close()
                store = other
                assert looks(buffer) == told
        store.write()
        again, other = after(bound, store)
        other.close()
        assert looks(again) == looks(buffer)
    finally:
        store.close()


def test_what_was_not_written_down_is_not_there() -> None:
    buffer = Buffer(Bound())
    store = Store(buffer)
    buffer.append(b"written\n", 1.0, "out", 1)
    store.write()
    place = store.place
    buffer.append(b"lost\n", 2.0, "out", 1)
    store.write()  # but nobody has noted the place
    again, other = after(Bound(), store, place)
    assert [line.text for line in again.tail(0, 10).lines] == [b"written"]
    again.append(b"instead\n", 3.0, "out", 1)
    other.write()
    third, last = after(Bound(), other)
    assert [line.text for line in third.tail(0, 10).lines] == [b"written", b"instead"]
    for each in (store, other, last):
        each.close()


def test_memory_is_given_back() -> None:
    bound = Bound(1000, 64 * KIB)
    buffer = Buffer(bound)
    store = Store(buffer)
    numbers = count(1)
    most = 0
    for turn in range(1000):
        buffer.append(b"".join(b"line %d\n" % next(numbers) for _ in range(2000)), float(turn), "out", 1)
        store.write()
        most = max(most, os.fstat(store.fd).st_blocks * 512)
    assert store.place.end > 15 * MIB
    assert most < 4 * SNAPSHOT_EVERY
    again, other = after(bound, store)
    assert looks(again) == looks(buffer)
    other.close()
    store.close()


def test_a_line_that_grows_and_grows_is_not_copied_into_each_snapshot() -> None:
    bound = Bound(10, 2 * MIB)
    buffer = Buffer(bound)
    store = Store(buffer)
    for turn in range(320):
        buffer.append(b"x" * 32 * KIB, float(turn), "out", 1)
        store.write()
    assert store.place.end < 24 * MIB
    again, other = after(bound, store)
    assert looks(again) == looks(buffer)
    other.close()
    store.close()
