"""What outlives a runner in memory: records in a file without a name (memfd_create(2)), of which the keeper has a copy.

A record is there as a whole or not at all: a process can be killed in the middle of a write(2).
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator

_HEAD = struct.Struct("<II")  # the size of the record and its checksum


class Vault:
    """Records one after the other. From a descriptor that was kept, those that are in it stay."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = os.memfd_create("zap-vault") if fd is None else fd
        self.size = 0
        if fd is not None:
            for record in self.records():
                self.size += _HEAD.size + len(record)
            os.ftruncate(self.fd, self.size)

    def append(self, record: bytes) -> None:
        """OSError: memory is used up; the record is not in it then."""
        data = _HEAD.pack(len(record), zlib.crc32(record)) + record
        written = 0
        while written < len(data):
            written += os.pwrite(self.fd, data[written:], self.size + written)
        self.size += len(data)

    def records(self) -> Iterator[bytes]:
        return records(self.fd)

    def close(self) -> None:
        os.close(self.fd)


def records(fd: int) -> Iterator[bytes]:
    """Up to the first that is not whole."""
    size = os.fstat(fd).st_size
    at = 0
    while at + _HEAD.size <= size:
        length, checksum = _HEAD.unpack(os.pread(fd, _HEAD.size, at))
        record = os.pread(fd, length, at + _HEAD.size)
        if len(record) < length or zlib.crc32(record) != checksum:
            return
        yield record
        at += _HEAD.size + length


def let_go(fd: int, begin: int, end: int) -> None:
    """Gives back the memory of this part of the file, whose size stays; whole pages only (MADV_REMOVE, madvise(2))."""
    begin -= begin % mmap.PAGESIZE
    end -= end % mmap.PAGESIZE
    if begin < end:
        with mmap.mmap(fd, end - begin, offset=begin) as part:
            part.madvise(mmap.MADV_REMOVE)
