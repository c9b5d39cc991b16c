"""A job's buffer outside of the process: whatever it takes in is written down, for a runner that has to go on from it.

A file without a name (memfd_create(2)) of which the keeper has a copy. It holds what `Buffer.fresh` tells, and now and
then a snapshot without lines, from which on everything that the buffer still keeps is there; what is before that is
given back.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections import deque
from typing import NamedTuple

from zap.buffer import CLEARED, Buffer, Taken
from zap.plan import KIB
from zap.vault import let_go

SNAPSHOT_EVERY = 256 * KIB  # bytes of records
PAGE = mmap.PAGESIZE
MOST_AT_ONCE = 500  # records of a writev(2), which takes 1024 parts
_HEAD = struct.Struct("<dIIQ")  # when, what, how many bytes, and the line's number before it
_SNAPSHOT = 0xFFFFFFFF
_CLEARED = 0xFFFFFFFE


class Place(NamedTuple):
    """Which part of a store counts: from a snapshot on, up to what was written down last. `number` tells it from others
    of the same buffer.
    """

    begin: int = 0
    end: int = 0
    number: int = 0


NOWHERE = Place()


class Store:
    def __init__(self, buffer: Buffer, fd: int | None = None, place: Place = NOWHERE) -> None:
        """With a descriptor that was kept, `buffer` is empty, and takes in what is there up to the end of the place."""
        self.fd = os.memfd_create("zap-store") if fd is None else fd
        self.place = place
        self._gone = place.begin - place.begin % PAGE
        self._buffer = buffer
        self._snapshots: deque[tuple[int, int]] = deque()  # where, and the newest line that was complete there
        self._snapshot_end = 0  # of the last of them
        if fd is not None:
            os.ftruncate(fd, place.end)
            self._read()
        if not self._snapshots:
            self._write_snapshot()
        buffer.fresh = []

    def write(self) -> None:
        """What the buffer has taken in since the last time. OSError: memory is used up, and some of it is missing."""
        self._let_go()
        fresh, self._buffer.fresh = self._buffer.fresh or [], []
        for begin in range(0, len(fresh), MOST_AT_ONCE):
            parts: list[bytes] = []
            for taken in fresh[begin : begin + MOST_AT_ONCE]:
                kind = _CLEARED if taken.kind == CLEARED else taken.kind
                parts += _HEAD.pack(taken.at, kind, len(taken.data), 0), taken.data
            self._append(parts)
        if self.place.end - self._snapshot_end > max(SNAPSHOT_EVERY, 2 * self._buffer.unfinished):
            self._write_snapshot()
            self._forget()

    def cease(self) -> None:
        """Nothing more is taken in. What was written down stays."""
        self._buffer.fresh = None

    def close(self) -> None:
        os.close(self.fd)

    def _append(self, parts: list[bytes]) -> None:
        size = sum(map(len, parts))
        written = os.pwritev(self.fd, parts, self.place.end)
        rest = b"" if written == size else b"".join(parts)
        while written < size:
            written += os.pwrite(self.fd, rest[written:], self.place.end + written)
        self.place = self.place._replace(end=self.place.end + size)

    def _write_snapshot(self) -> None:
        at, last = self.place.end, self._buffer.last
        told, begun = self._buffer.snapshot()
        data = json.dumps(told).encode() + b"\n" + begun
        self._append([_HEAD.pack(0.0, _SNAPSHOT, len(data), last), data])
        self._snapshots.append((at, last))
        self._snapshot_end = self.place.end

    def _forget(self) -> None:
        """What is before a snapshot at which there was no line yet that is kept."""
        while len(self._snapshots) > 1 and self._snapshots[1][1] < self._buffer.first:
            self._snapshots.popleft()
        self.place = self.place._replace(begin=self._snapshots[0][0])

    def _let_go(self) -> None:
        """What was forgotten the last time; whoever wrote down our place knows of it by now."""
        if self.place.begin - self._gone >= SNAPSHOT_EVERY:
            let_go(self.fd, self._gone, self.place.begin)
            self._gone = self.place.begin - self.place.begin % PAGE

    def _read(self) -> None:
        begin, end = self.place.begin, self.place.end
        if begin == end:
            return
        start = begin - begin % PAGE  # a map begins with a page
        with mmap.mmap(self.fd, end - start, prot=mmap.PROT_READ, offset=start) as kept:
            at = begin - start
            while at < end - start:
                when, kind, length, last = _HEAD.unpack_from(kept, at)
                data = kept[at + _HEAD.size : at + _HEAD.size + length]
                if kind == _SNAPSHOT:
                    if at == begin - start:
                        told, _, begun = data.partition(b"\n")
                        self._buffer.restore(json.loads(told), begun)
                    self._snapshots.append((start + at, last))
                    self._snapshot_end = start + at + _HEAD.size + length
                elif kind == _CLEARED:
                    self._buffer.clear()
                else:
                    self._buffer.take(Taken(data, when, kind))
                at += _HEAD.size + length
