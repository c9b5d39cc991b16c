"""Reads that a kill cannot tear: the bytes go from the job's pipe straight into a file that outlives us (splice(2)).

What read(2) has returned is nowhere but in the process. splice(2) moves it within the kernel, so that each byte is in
the pipe or in the file, whenever we are killed; the file's position, which the keeper's copy shares, says how far. A
list of whose bytes stand where is kept beside it. A terminal's bytes take a pipe on the way (one end of a splice is a
pipe), which outlives us as well.

The file is used over and over: what was taken care of is `settled`, and the next read begins at the front.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Sequence

from zap.plan import KIB, MIB

SIZE = 8 * MIB  # of the file; memory is used for as much of it as a turn of reading fills
CHUNK = 64 * KIB
MOST_EXTENTS = 4000
USED_UP = {errno.ENOMEM, errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_NUMBER = struct.Struct("@Q")  # native, because that is written in one go, and `<Q` byte by byte
_TURN, _COUNT, _TOLD, _EXTENTS = (
    0,
    8,
    16,
    24,
)  # where the table has the turn, how many extents so far, `told`, and these
_EXTENT = struct.Struct("@QQ")  # whose bytes, and where they begin
_TABLE = 64 * KIB


class Inbox:
    """`turn` counts what was settled. `trouble` is why something had to be read that does not outlive us.

    From the descriptors of one that was kept: see `left`.
    """

    def __init__(self, fds: Sequence[int] = ()) -> None:
        if fds:
            self.fds = list(fds)
        else:
            self.fds = [os.memfd_create("zap-inbox"), os.memfd_create("zap-extents"), *os.pipe()]
            os.ftruncate(self.fds[0], SIZE)
            os.posix_fallocate(self.fds[1], 0, _TABLE)  # else a mapped page for which there is no memory is a SIGBUS
        self._file, table, self._pipe_end, self._pipe = self.fds
        self._bytes = mmap.mmap(self._file, SIZE)
        self._table = mmap.mmap(table, _TABLE)
        self.turn: int = _NUMBER.unpack_from(self._table, _TURN)[0]
        self._count = 0
        self._at = 0
        self._is_open = False
        self.trouble: OSError | None = None

    @property
    def told(self) -> int:
        """The newest event that was told of while nothing could be written down: for this there is always room."""
        told: int = _NUMBER.unpack_from(self._table, _TOLD)[0]
        return told

    @told.setter
    def told(self, number: int) -> None:
        _NUMBER.pack_into(self._table, _TOLD, number)

    @property
    def is_full(self) -> bool:
        """Whether it has to be settled before the next read."""
        return self._at + CHUNK > SIZE or self._count == MOST_EXTENTS

    @property
    def is_half_full(self) -> bool:
        return self._at > SIZE // 2 or self._count > MOST_EXTENTS // 2

    def read(self, number: int, fd: int, is_terminal: bool) -> bytes:
        """A chunk of what the descriptor has, for whoever has this number; empty at its end.

        BlockingIOError: there is nothing now. OSError: a terminal whose other side is closed says EIO.

        When there is no memory for it in the file, it is read as by anybody else, and `trouble` tells why.
        """
        if not self._is_open:
            self._begin()
        _EXTENT.pack_into(self._table, _EXTENTS + self._count * _EXTENT.size, number, self._at)
        self._count += 1
        _NUMBER.pack_into(self._table, _COUNT, self._count)
        begin = self._at
        size = 0
        try:
            if is_terminal:
                size = os.splice(fd, self._pipe, CHUNK, flags=os.SPLICE_F_NONBLOCK)
                while self._at < begin + size:
                    self._at += os.splice(self._pipe_end, self._file, begin + size - self._at)
            else:
                self._at += os.splice(fd, self._file, CHUNK, flags=os.SPLICE_F_NONBLOCK)
        except OSError as error:
            if error.errno not in USED_UP:
                raise
            self.trouble = error
            moved = self._at - begin
            return self._bytes[begin : self._at] + os.read(self._pipe_end if size else fd, size - moved or CHUNK)
        return self._bytes[begin : self._at]

    def settle(self) -> None:
        """All that was read has been taken care of: what follows begins anew. After `turn` was written down."""
        self._is_open = False
        self._count = self._at = 0

    def left(self, settled: int) -> list[tuple[int, bytes]]:
        """What was read and not taken care of when the runner before was killed, in order: whose, and what.

        `settled` is the turn that it has written down last. The turn goes on: the next `settle` is for this as well.
        """
        self.turn, count = (_NUMBER.unpack_from(self._table, at)[0] for at in (_TURN, _COUNT))
        if self.turn <= settled or not count:
            self.turn = max(self.turn, settled)
            return []
        os.set_blocking(self._pipe_end, False)
        try:
            while os.splice(self._pipe_end, self._file, CHUNK, flags=os.SPLICE_F_NONBLOCK):  # it was on its way
                pass
        except BlockingIOError:
            pass
        finally:
            os.set_blocking(self._pipe_end, True)
        extents = [_EXTENT.unpack_from(self._table, _EXTENTS + index * _EXTENT.size) for index in range(count)]
        ends = [begin for _, begin in extents[1:]] + [os.lseek(self._file, 0, os.SEEK_CUR)]
        self._is_open, self._count, self._at = True, count, ends[-1]
        return [(number, self._bytes[begin:end]) for (number, begin), end in zip(extents, ends, strict=True)]

    def close(self) -> None:
        self._bytes.close()
        self._table.close()
        for fd in self.fds:
            os.close(fd)

    def _begin(self) -> None:
        """The turn comes last: killed before that, it is still the one that is settled."""
        _NUMBER.pack_into(self._table, _COUNT, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        self.turn += 1
        _NUMBER.pack_into(self._table, _TURN, self.turn)
        self._is_open = True
