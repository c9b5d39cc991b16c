from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import zap.buffer
from zap.buffer import Buffer
from zap.events import Line, Stream
from zap.plan import KIB, MIB, Bound
from zap.session import Tail

STREAMS: tuple[Stream, ...] = ("out", "err", "zap")

Chunk = tuple[Stream, bytes | None]
"""What a stream says, or None where its line ends."""

CHUNK = st.tuples(
    st.sampled_from(STREAMS),
    st.none() | st.text("ab\n\r", max_size=12).map(str.encode) | st.sampled_from([b"\n" * 7, b"x" * 30 + b"\n"]),
)
CHUNKS = st.lists(CHUNK, max_size=40)
BOUNDS = st.builds(Bound, st.integers(1, 12), st.integers(1, 60))


Position = dict[Stream, int]
"""By stream, how many bytes from its beginning."""


class Kept(NamedTuple):
    """A line, what of it is kept with its newline, and where in its stream that begins."""

    line: Line
    raw: bytes
    begin: int


class Oracle:
    """The same by the simplest means: a list of lines, of which what is too much is taken away one by one."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.lines: list[Kept] = []
        self.open: dict[Stream, tuple[bytes, float, int]] = dict.fromkeys(STREAMS, (b"", 0.0, 0))
        self.last = 0
        self.errors = 0
        self.said: Position = dict.fromkeys(STREAMS, 0)

    def append(self, data: bytes, at: float, stream: Stream, command: int) -> tuple[int, bytes]:
        first, done = self.last + 1, b""
        begin = self.said[stream] - len(self.open[stream][0])
        self.said[stream] += len(data)
        *complete, rest = (self.open[stream][0] + data).split(b"\n")
        for text in complete:
            self.last += 1
            self.errors += stream == "err"
            self.lines.append(Kept(Line(self.last, at, stream, command, text.rstrip(b"\r")), text + b"\n", begin))
            begin += len(text) + 1
            done += text + b"\n"
        if data and not data.endswith(b"\n"):
            self.open[stream] = rest, at, command
        elif data:
            self.open[stream] = b"", at, self.open[stream][2]
        self.shed()
        return first, done

    def end_line(self, stream: Stream, at: float) -> tuple[int, bytes]:
        begun, _, command = self.open[stream]
        return self.append(b"\n", at, stream, command) if begun else (self.last + 1, b"")

    @property
    def size(self) -> int:
        return sum(len(raw) for _, raw, _ in self.lines) + sum(len(text) for text, _, _ in self.open.values())

    def clear(self) -> None:
        self.lines = []
        self.open = dict.fromkeys(STREAMS, (b"", 0.0, 0))

    def shed(self) -> None:
        while len(self.lines) > self.bound.lines:
            self.lines.pop(0)
        while (excess := self.size - self.bound.bytes) > 0:
            is_open = any(text for text, _, _ in self.open.values())
            if not self.lines:
                stream = max(self.open, key=lambda stream: len(self.open[stream][0]))
                self.open[stream] = self.open[stream][0][excess:], *self.open[stream][1:]
            elif len(self.lines) == 1 and not is_open:
                line, raw, begin = self.lines[0]
                self.lines = [
                    Kept(line._replace(text=raw[excess:-1].rstrip(b"\r")), raw[excess:], begin + excess),
                ]
            else:
                self.lines.pop(0)

    def tail(self, since: int, at_most: int) -> Tail:
        lines = [kept.line for kept in self.lines if kept.line.number > since][:at_most]
        first = self.lines[0].line.number if self.lines else self.last + 1
        reached = lines[-1].number if lines else max(since, first - 1)
        if reached >= self.last:
            lines += [kept.line for kept in self.unfinished()]
        return Tail(tuple(lines), reached, max(0, first - 1 - since))

    def unfinished(self) -> list[Kept]:
        return [
            Kept(Line(self.last + 1, at, stream, command, text, True), text, self.said[stream] - len(text))
            for stream, (text, at, command) in self.open.items()
            if text
        ]

    def unknown(self, since: int, at_most: int, had: Position) -> tuple[Tail, Position]:
        """What of a tail a reader has not had yet, looked at byte by byte, and what he has had then."""
        tail, had = self.tail(since, at_most), dict(had)
        kept = {(line.number, line.stream): (raw, begin) for line, raw, begin in [*self.lines, *self.unfinished()]}
        lines = []
        for line in tail.lines:
            raw, begin = kept[line.number, line.stream]
            text = bytes(byte for place, byte in enumerate(raw, begin) if place >= had[line.stream])
            lines.append(line._replace(text=text.removesuffix(b"\n")))
            if line.stream != "zap":
                had[line.stream] = begin + len(raw)
        return tail._replace(lines=tuple(lines)), had


@pytest.fixture(params=["blocks as they are", "a block of 8 bytes", "two notes to a block"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same lines wherever the blocks begin."""
    if request.param == "a block of 8 bytes":
        monkeypatch.setattr(zap.buffer, "BLOCK", 8)
    elif request.param == "two notes to a block":
        monkeypatch.setattr(zap.buffer, "MOST_NOTES", 2)


def feed(chunks: list[Chunk], buffer: Buffer | Oracle, begin: int = 0) -> Iterator[tuple[int, bytes]]:
    for number, (stream, data) in enumerate(chunks, begin):
        if data is None:
            yield buffer.end_line(stream, float(number))
        else:
            yield buffer.append(data, float(number), stream, number // 3)


@pytest.mark.usefixtures("_blocks")
@given(chunks=CHUNKS, bound=BOUNDS)
@example(chunks=[("out", b"\n"), ("err", b"\na"), ("err", None)], bound=Bound(1, 1))
def test_the_same_as_a_list_of_lines(chunks: list[Chunk], bound: Bound) -> None:
    buffer, oracle = Buffer(bound), Oracle(bound)
    for told, expected in zip(feed(chunks, buffer), feed(chunks, oracle), strict=True):
        assert told == expected
        assert buffer.tail(0, 1000) == oracle.tail(0, 1000)
    assert buffer.size == oracle.size
    assert buffer.errors == oracle.errors


@pytest.mark.usefixtures("_blocks")
@given(chunks=CHUNKS, bound=BOUNDS)
def test_nothing_is_over_the_bound_and_nothing_is_lost_uncounted(chunks: list[Chunk], bound: Bound) -> None:
    buffer, before, completed = Buffer(bound), 0, 0
    taken = 0
    for (_, data), (first, lines) in zip(chunks, feed(chunks, buffer), strict=True):
        taken += len(data) if data is not None else len(lines) > 0
        completed += lines.count(b"\n")
        assert first == before + 1
        assert buffer.last == completed
        before = buffer.last
        tail = buffer.tail(0, 1000)
        kept = [line for line in tail.lines if not line.is_open]
        assert len(kept) <= bound.lines
        assert sum(len(line.text) for line in tail.lines) <= buffer.size <= bound.bytes
        assert buffer.is_open == (len(tail.lines) > len(kept))
        assert len(kept) + buffer.dropped_lines == completed
        assert buffer.size + buffer.dropped_bytes == taken
        assert buffer.first == buffer.last - len(kept) + 1


@given(text=st.text("ab\n\r", max_size=60).map(str.encode), cuts=st.lists(st.integers(0, 60)))
def test_any_chunking_gives_the_same_lines(text: bytes, cuts: list[int]) -> None:
    whole, parts = Buffer(Bound()), Buffer(Bound())
    _, lines = whole.append(text, 1.0, "out", 1)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    told = [parts.append(text[begin:end], 1.0, "out", 1) for begin, end in pairwise(edges)]
    assert parts.tail(0, 1000) == whole.tail(0, 1000)
    assert b"".join(done for _, done in told) == lines


@pytest.mark.usefixtures("_blocks")
@given(chunks=CHUNKS, since=st.integers(0, 60), at_most=st.integers(0, 9))
def test_pages_are_parts_of_the_whole(chunks: list[Chunk], since: int, at_most: int) -> None:
    buffer, oracle = Buffer(Bound(9, 100)), Oracle(Bound(9, 100))
    for _ in zip(feed(chunks, buffer), feed(chunks, oracle), strict=True):
        pass
    assert buffer.tail(since, at_most) == oracle.tail(since, at_most)
    pages, at = [], 0
    while at < buffer.last:
        page = buffer.tail(at, 2)
        pages += [line for line in page.lines if not line.is_open]
        at = page.next
    assert pages == [line for line in buffer.tail(0, 1000).lines if not line.is_open]


# Byte by byte, as who draws a terminal's screen follows.


class Follower:
    """Remembers what `tail` tells it to, and puts together what it is given."""

    def __init__(self) -> None:
        self.since = 0
        self.known = (0, 0)
        self.dropped = 0
        self.said: dict[Stream, bytes] = {"out": b"", "err": b""}

    def poll(self, buffer: Buffer, at_most: int = 1000) -> Tail:
        tail = buffer.tail(self.since, at_most, known=self.known)
        for line in tail.lines:
            if line.stream != "zap":
                self.said[line.stream] += line.text if line.is_open else line.text + b"\n"
        self.since, self.known = tail.next, tail.known
        self.dropped += tail.dropped
        return tail


Deed = Chunk | int | Literal["clear"]
"""What happens to a buffer; a number is somebody who fetches at most so many lines."""

DEED = st.integers(0, 4) | CHUNK


@pytest.mark.usefixtures("_blocks")
@given(deeds=st.lists(DEED, max_size=60))
@example(deeds=[("out", b"ab"), 1, ("err", b"oh\n"), 1, ("out", b"c\nd"), 1])
@example(deeds=[("out", b"ab\r"), 1, ("out", b"\n"), 1])
def test_who_looks_now_and_then_puts_together_exactly_what_was_said(deeds: list[Deed]) -> None:
    buffer, follower = Buffer(Bound()), Follower()
    said: dict[Stream, bytes] = dict.fromkeys(STREAMS, b"")
    for deed in deeds:
        match deed:
            case int():
                follower.poll(buffer, deed)
            case (stream, None):
                said[stream] += buffer.end_line(stream, 1.0)[1] and b"\n"
            case (stream, data):
                buffer.append(data, 1.0, stream, 1)
                said[stream] += data
    assert all(said[stream].startswith(follower.said[stream]) for stream in follower.said)
    follower.poll(buffer)
    assert follower.said == {"out": said["out"], "err": said["err"]}
    assert follower.dropped == 0


@pytest.mark.usefixtures("_blocks")
@given(deeds=st.lists(DEED | st.just("clear"), max_size=60), bound=BOUNDS)
@example(deeds=[("out", b"xy"), 1, ("out", b"xxxxxxxxxxxxxxxxxxxxxxz"), ("out", b"\n"), 1], bound=Bound(9, 9))
@example(deeds=[("out", b"xyz"), 1, ("out", b"\n"), ("out", b"abcdef\n"), 1], bound=Bound(1, 60))
@example(deeds=[("out", b"Pass"), 1, "clear", ("out", b"word: "), 1, ("out", b"\nok"), 1], bound=Bound(9, 60))
def test_no_byte_comes_twice_and_none_is_left_out_that_was_still_there(deeds: list[Deed], bound: Bound) -> None:
    buffer, oracle, follower = Buffer(bound), Oracle(bound), Follower()
    had: Position = dict.fromkeys(STREAMS, 0)
    for number, deed in enumerate(deeds):
        match deed:
            case "clear":
                buffer.clear()
                oracle.clear()
            case int():
                expected, had = oracle.unknown(follower.since, deed, had)
                assert follower.poll(buffer, deed)._replace(known=(0, 0)) == expected
            case chunk:
                for _ in zip(feed([chunk], buffer, number), feed([chunk], oracle, number), strict=True):
                    pass


def test_what_somebody_knows_who_knows_too_much_does_no_harm() -> None:
    """A number from the life of another runner, or one that was made up."""
    buffer = Buffer(Bound())
    buffer.append(b"one\ntwo", 1.0, "out", 1)
    tail = buffer.tail(0, 9, known=(10**30, -5))
    assert [line.text for line in tail.lines] == [b"", b""]
    assert tail.known == (7, 0)
    assert [line.text for line in buffer.tail(0, 9, known=(-(10**30), 0)).lines] == [b"one", b"two"]


# Lines that are too long to be shown.


@pytest.mark.usefixtures("_blocks")
@given(chunks=CHUNKS, widest=st.integers(0, 12))
def test_of_a_line_that_is_too_long_the_part_comes_that_a_terminal_shows(chunks: list[Chunk], widest: int) -> None:
    buffer = Buffer(Bound())
    for _ in feed(chunks, buffer):
        pass
    whole, narrow = buffer.tail(0, 1000), buffer.tail(0, 1000, widest=widest)
    assert narrow._replace(lines=whole.lines) == whole
    for line, part in zip(whole.lines, narrow.lines, strict=True):
        assert part._replace(text=line.text) == line
        if len(line.text) <= widest:
            assert part.text == line.text
        elif line.is_open or b"\r" in line.text:  # it grows, or a progress bar has gone over itself
            assert len(part.text) == widest and line.text.endswith(part.text)
        else:
            assert len(part.text) == widest and line.text.startswith(part.text)


def test_a_progress_bar_shows_how_far_it_came() -> None:
    buffer = Buffer(Bound())
    buffer.append(b"".join(b"\r%3d %%" % share for share in range(101)) + b"\r\n", 1.0, "out", 1)
    assert buffer.tail(0, 1, widest=5).lines[0].text == b"100 %"


def test_out_and_err_do_not_cut_into_each_other() -> None:
    buffer = Buffer(Bound())
    buffer.append(b"one, ", 1.0, "out", 1)
    assert buffer.append(b"oh\nno", 2.0, "err", 1) == (1, b"oh\n")
    assert buffer.append(b"two\r\n", 3.0, "out", 2) == (2, b"one, two\r\n")
    assert buffer.tail(0, 9).lines == (
        Line(1, 2.0, "err", 1, b"oh"),
        Line(2, 3.0, "out", 2, b"one, two"),
        Line(3, 2.0, "err", 1, b"no", is_open=True),
    )


def test_a_remark_is_a_line_and_leaves_a_prompt_alone() -> None:
    buffer = Buffer(Bound())
    buffer.append(b"Password: ", 1.0, "out", 1)
    assert buffer.remark("↺ restart", 2.0) == 1
    assert buffer.tail(0, 9).lines == (
        Line(1, 2.0, "zap", 0, "↺ restart".encode()),
        Line(2, 1.0, "out", 1, b"Password: ", is_open=True),
    )


def test_what_is_cleared_counts_as_dropped_and_its_numbers_are_not_given_again() -> None:
    buffer = Buffer(Bound())
    buffer.append(b"a\nb\nc", 1.0, "out", 1)
    buffer.clear()
    assert buffer.tail(0, 9) == Tail((), 2, 2)
    assert (buffer.dropped_lines, buffer.dropped_bytes, buffer.is_open) == (2, 5, False)
    assert buffer.append(b"d\n", 2.0, "out", 1) == (3, b"d\n")
    assert buffer.tail(0, 9) == Tail((Line(3, 2.0, "out", 1, b"d"),), 3, 2)


def test_a_line_of_134_mb_stays_within_the_bound() -> None:
    buffer = Buffer(Bound())
    chunk = b"x" * (64 * KIB)
    for _ in range(2047):
        buffer.append(chunk, 1.0, "out", 1)
        assert buffer.size <= 8 * MIB
    assert buffer.tail(0, 1).lines[0].text == b"x" * 8 * MIB
    first, lines = buffer.append(b"y\n", 2.0, "out", 1)
    assert (first, buffer.last, buffer.dropped_lines) == (1, 1, 0)
    assert lines.endswith(b"xy\n")
    assert buffer.tail(0, 1).lines[0].text == b"x" * (8 * MIB - 2) + b"y"
    assert buffer.dropped_bytes == 2047 * 64 * KIB + 2 - 8 * MIB


def test_who_follows_a_screen_may_have_only_the_end_of_what_is_new() -> None:
    buffer = Buffer(Bound())
    buffer.append(b"first\nunfinished", 1.0, "out", 1)
    tail = buffer.tail(0, 9, widest=3, known=(0, 0))
    assert [line.text for line in tail.lines] == [b"rst", b"hed"]
    buffer.append(b"!", 1.0, "out", 1)
    assert [line.text for line in buffer.tail(1, 9, widest=3, known=tail.known).lines] == [b"!"]
