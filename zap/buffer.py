"""What a job said last: bytes as they come → numbered lines, as many as the bound allows, and a count of the rest."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from zap.events import Line, Stream
from zap.plan import KIB, Bound
from zap.session import Tail

BLOCK = 64 * KIB  # bytes; what is let go leaves the memory in such pieces
MOST_NOTES = 4 * KIB  # in a block, whose lines may be let go as fast as they come

_STREAMS: tuple[Stream, ...] = ("out", "err", "zap")
_KINDS = {stream: kind for kind, stream in enumerate(_STREAMS)}
CLEARED = -1  # in the place of a kind


class Taken(NamedTuple):
    """What a buffer took in, as `append` was given it; `kind` is the command and the stream in one number."""

    data: bytes
    at: float
    kind: int


class Buffer:
    """Complete lines, and for each stream the line that it has not finished.

    Whole lines are let go, the oldest first. Only a line that is alone longer than the bound loses its own beginning.
    Bytes are counted as they are held: with newlines, also those that `end_line` and `remark` add. What was taken in
    is at any time `size` plus `dropped_bytes`, and `last` lines were completed, of which `dropped_lines` are gone.
    """

    __slots__ = (
        *("_blocks", "_held", "_most_bytes", "_most_lines", "_open", "_said"),
        *("errors", "first", "fresh", "last", "read", "whole"),
    )

    def __init__(self, bound: Bound) -> None:
        self.bound(bound)
        self._said = [0] * len(_STREAMS)  # bytes, by stream
        self._blocks = deque([_Block(1, self._said)])  # the newest is never sealed; the oldest may be half gone already
        self._open = {stream: _Open() for stream in _STREAMS}
        self._held = 0
        self.first = 1
        """The number of the oldest line that is kept; `last + 1` when there is none."""
        self.last = 0
        """The number of the newest complete line."""
        self.errors = 0
        """How many lines of stream `err` were completed."""
        self.read: int | None = None
        """Who wants every line has read so far: what is newer is kept beyond the bound of lines, not that of bytes."""
        self.fresh: list[Taken] | None = None
        """Everything that was taken in, in order, for somebody who writes it down and empties the list."""
        self.whole: list[tuple[bytes, int]] | None = None
        """The job's own lines as they were completed, some at a time, and the number of the last of them; likewise."""

    def bound(self, bound: Bound) -> None:
        """What is kept from now on, at most."""
        self._most_lines, self._most_bytes = bound

    @property
    def size(self) -> int:
        """Bytes kept, those of unfinished lines among them."""
        self._let_go()
        return self._held

    @property
    def dropped_lines(self) -> int:
        return self.first - 1

    @property
    def dropped_bytes(self) -> int:
        return sum(self._said) - self.size

    @property
    def is_open(self) -> bool:
        return bool(self._open["out"].data or self._open["err"].data or self._open["zap"].data)

    def append(self, data: bytes, at: float, stream: Stream, command: int) -> tuple[int, bytes]:
        """Take a chunk as it was read. The number of the first line that it completes, and all that it completes."""
        first, kind = self.last + 1, _KINDS[stream]
        if self.fresh is not None:
            self.fresh.append(Taken(data, at, command << 2 | kind))
        self._said[kind] += len(data)
        self._held += len(data)
        end = data.rfind(b"\n") + 1
        line = self._open[stream]
        lines = b""
        if end:
            if line.data:
                begun = line.data
                begun += data[:end]
                lines = bytes(begun)
                line.data = bytearray()
            else:
                begun = None
                lines = data if end == len(data) else data[:end]
            block = self._blocks[-1]
            if (block.data and len(block.data) + len(lines) > BLOCK) or len(block.starts) == MOST_NOTES:
                block = self._next_block()
            if begun is not None and len(begun) > BLOCK:
                block.data = begun  # megabytes are not copied once more
            else:
                block.data += lines
            block.starts.append(first - block.origin)
            block.times.append(at)
            block.kinds.append(command << 2 | kind)
            block.ends[kind] = self._said[kind] - len(data) + end
            count = lines.count(b"\n")
            self.last += count
            if self.whole is not None and stream != "zap":
                self.whole.append((lines, self.last))
            if stream == "err":
                self.errors += count
            if self.last - self.first >= self._most_lines:
                self._bound_lines()
        if end < len(data):
            line.data += data[end:]
            line.at = at
            line.command = command
        if self._held > self._most_bytes:
            self._bound_bytes()
        return first, lines

    def end_line(self, stream: Stream, at: float) -> tuple[int, bytes]:
        """An unfinished line ends here; as `append`."""
        line = self._open[stream]
        return self.append(b"\n", at, stream, line.command) if line.data else (self.last + 1, b"")

    def remark(self, text: str, at: float) -> int:
        """Something that zap says; the number of its (first) line."""
        return self.append(f"{text}\n".encode(errors="replace"), at, "zap", 0)[0]

    def clear(self) -> None:
        """Let everything go. It counts as dropped, and numbers go on."""
        if self.fresh is not None:
            self.fresh.append(Taken(b"", 0.0, CLEARED))
        self._held = 0
        self.first = self.last + 1
        self._blocks = deque([_Block(self.first, self._blocks[-1].ends)])
        self._open = {stream: _Open() for stream in _STREAMS}

    def take(self, taken: Taken) -> None:
        """As it was taken in before."""
        self.append(taken.data, taken.at, _STREAMS[taken.kind & 3], taken.kind >> 2)

    @property
    def unfinished(self) -> int:
        """Bytes of lines without an end."""
        return sum(len(line.data) for line in self._open.values())

    def snapshot(self) -> tuple[dict[str, Any], bytes]:
        """What is needed to go on from here, but no complete line: as plain data, and the unfinished lines together."""
        begun = {stream: (len(line.data), line.at, line.command) for stream, line in self._open.items()}
        told = {"last": self.last, "errors": self.errors, "said": self._said, "open": begun}
        return told, b"".join(line.data for line in self._open.values())

    def restore(self, snapshot: dict[str, Any], begun: bytes) -> None:
        """Begin where a snapshot was made: its lines are gone."""
        self.last, self.errors, self._said = snapshot["last"], snapshot["errors"], list(snapshot["said"])
        self.first = self.last + 1
        end = 0
        for stream, (size, at, command) in snapshot["open"].items():
            line = self._open[stream]
            begin, end = end, end + size
            line.data, line.at, line.command = bytearray(begun[begin:end]), at, command
        self._held = self.unfinished
        ends = [said - len(self._open[stream].data) for stream, said in zip(_STREAMS, self._said, strict=True)]
        self._blocks = deque([_Block(self.first, ends)])

    def tail(self, since: int, at_most: int, widest: int | None = None, known: tuple[int, int] | None = None) -> Tail:
        """Complete lines above `since`, at most so many, and behind the last of all the unfinished ones.

        `widest` and `known` are the session's.
        """
        number = max(since + 1, self.first)
        end = min(number + at_most, self.last + 1)
        lines: list[Line] = []
        for block, after in self._spans():
            if number < min(after, end):
                lines += block.read(number, min(after, end), after)
                number = after
        reached = max(since, self.first - 1, end - 1)
        begun = self._unfinished() if reached >= self.last else []
        dropped = max(0, self.first - 1 - since)
        if known is not None:
            news, known = self._unknown(lines, begun, known, is_all=reached >= self.last)
            if widest is not None:
                news = [line._replace(text=line.text[max(len(line.text) - widest, 0) :]) for line in news]
            return Tail(tuple(news), reached, dropped, known)
        if widest is not None:
            whole = [line._replace(text=_part(line, widest)) for line in [*lines, *begun]]
        else:
            whole = [line._replace(text=line.text.rstrip(b"\r")) if line.text[-1:] == b"\r" else line for line in lines]
            whole += begun
        return Tail(tuple(whole), reached, dropped)

    def _spans(self) -> Iterator[tuple[_Block, int]]:
        """The blocks, each with the number behind its last line."""
        begins = [block.first for block in islice(self._blocks, 1, None)]
        return zip(self._blocks, [*begins, self.last + 1], strict=True)

    def _unfinished(self) -> list[Line]:
        return [
            Line(self.last + 1, line.at, stream, line.command, bytes(line.data), True)
            for stream, line in self._open.items()
            if line.data
        ]

    def _unknown(
        self, lines: Sequence[Line], begun: Sequence[Line], known: tuple[int, int], is_all: bool
    ) -> tuple[list[Line], tuple[int, int]]:
        """Less what the reader has had of each stream, and how much of it he has had then."""
        had = [*known, 0]
        ends = self._ends(lines[-1].number) if lines else had
        at = list(ends)
        news = []
        for line in reversed(lines):
            kind = _KINDS[line.stream]
            at[kind] -= len(line.text) + 1
            news.append(line._replace(text=line.text[max(had[kind] - at[kind], 0) :]))
        news.reverse()
        for line in begun:
            kind = _KINDS[line.stream]
            begin = self._said[kind] - len(line.text)
            news.append(line._replace(text=line.text[max(had[kind] - begin, 0) :]))
        out, err, _ = self._said if is_all else map(max, had, ends)
        return news, (out, err)

    def _ends(self, number: int) -> list[int]:
        """How much each stream had said when it came to the end of this line."""
        block, after = next((block, after) for block, after in self._spans() if number < after)
        ends = list(block.ends)
        for line in block.read(number + 1, after, after) if number + 1 < after else ():
            ends[_KINDS[line.stream]] -= len(line.text) + 1
        return ends

    def _next_block(self) -> _Block:
        block = _Block(self.last + 1, self._blocks[-1].ends)
        if self._blocks[-1].data:
            self._blocks[-1].seal()
        else:
            self._blocks.pop()
        self._blocks.append(block)
        return block

    def _bound_lines(self) -> None:
        # Within a block, lines are let go by their number alone: to look for their end is dear, and mostly in vain.
        first = self.last - self._most_lines + 1
        self.first = first if self.read is None else max(self.first, min(first, self.read + 1))
        while len(self._blocks) > 1 and self._blocks[1].first <= self.first:
            self._held -= len(self._blocks.popleft().data)

    def _let_go(self) -> None:
        """Really drop the lines before `first`."""
        block = self._blocks[0]
        if block.first < self.first:
            after = self._blocks[1].first if len(self._blocks) > 1 else self.last + 1
            self._held -= block.cut(block.offset(self.first, after), self.first)

    def _bound_bytes(self) -> None:
        self._let_go()
        while (excess := self._held - self._most_bytes) > 0:
            block = self._blocks[0]
            is_open = self.is_open
            if self.first > self.last:
                longest = max(self._open.values(), key=lambda line: len(line.data))
                del longest.data[:excess]
                self._held -= excess
            elif self.first == self.last and not is_open:
                self._held -= block.cut(excess, self.first)
            else:
                # The newest line of all is spared: the turn above cuts it.
                newest = block.data.rfind(b"\n", 0, -1) + 1
                end = block.data.find(b"\n", excess - 1) + 1 or len(block.data)
                if end > newest and len(self._blocks) == 1 and not is_open:
                    end = newest
                self.first += block.data.count(b"\n", 0, end)
                self._held -= block.cut(end, self.first)
                if not block.data and len(self._blocks) > 1:
                    self._blocks.popleft()


def _part(line: Line, widest: int) -> bytes:
    """Of what is too long, what a terminal shows first: the end, where the line still grows or returns went over it."""
    text = line.text if line.is_open else line.text.rstrip(b"\r")
    if len(text) <= widest:
        return text
    return text[len(text) - widest :] if line.is_open or b"\r" in text else text[:widest]


class _Open:
    """A line without its newline; `command` stays when it is over."""

    __slots__ = ("at", "command", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self.at = 0.0
        self.command = 0


class _Block:
    """Complete lines from the number `first` on.

    What lines have in common is noted where it changes: the line's number less `origin`, its time, and in one number
    its command and stream. `ends` is how much each stream had said by the end of its last line here, or before.
    """

    __slots__ = ("data", "ends", "first", "kinds", "origin", "starts", "times")

    def __init__(self, first: int, ends: Iterable[int]) -> None:
        self.first = self.origin = first
        self.ends = list(ends)
        self.data = bytearray()
        self.starts = array("I")
        self.times = array("d")
        self.kinds = array("I")

    def seal(self) -> None:
        if len(self.starts) > 1:
            self.data = bytearray(self.data)  # gives back what growing has set aside

    def cut(self, size: int, first: int) -> int:
        del self.data[:size]
        self.first = first
        return size

    def offset(self, number: int, after: int) -> int:
        """Where the line begins; `after` is the number behind the block's last line."""
        lines = number - self.first
        if lines * 2 <= after - self.first:
            return len(self.data) - len(bytes(self.data).split(b"\n", lines)[lines])
        return len(bytes(self.data).rsplit(b"\n", after - number + 1)[0]) + 1

    def read(self, number: int, end: int, after: int) -> list[Line]:
        """The lines from `number` up to, without, `end`."""
        begin, count = number - self.first, end - number
        if end - self.first <= after - number:
            texts = bytes(self.data).split(b"\n", begin + count)[begin : begin + count]
        else:
            texts = bytes(self.data).rsplit(b"\n", after - number + 1)[1 : 1 + count]
        note = bisect_right(self.starts, number - self.origin) - 1
        lines = []
        for text in texts:
            while note + 1 < len(self.starts) and self.starts[note + 1] <= number - self.origin:
                note += 1
            kind = self.kinds[note]
            lines.append(Line(number, self.times[note], _STREAMS[kind & 3], kind >> 2, text))
            number += 1
        return lines
