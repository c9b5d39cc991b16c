"""The files of `log:`, which get everything that jobs say: written by one thread, put away when they are long.

Plain text: zap gives jobs a terminal, and what they do with it (colours, titles, the cursor) is left out, as they would
leave it out themselves if they wrote to a file. Lines end with a newline alone.

A file is that of one job. It is no link, because whoever may write to its folder could lead us astray by one, and no
pipe or device, because these cannot be put away.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Generator
from itertools import islice
from typing import NamedTuple

from zap import escape
from zap.plan import KIB, MIB, Log
from zap.units import size

MOST = 16 * MIB  # that waits in memory: what a disk that hiccups is behind after a tenth of a second of a flood
TROUBLED_MOST = MOST // 2  # of this, when the job's own file cannot be written: some is left to the others
JOB_MOST = 8 * MIB  # so that one alone does not take the place of all others
ENTRY = 200  # bytes of memory that are taken beside each text
PIECE = 1 * MIB  # that is written at once
HURRY = 256 * KIB  # of a job, which are not left waiting for more
GATHER = 0.1  # seconds that a line waits for others
RETRY_EVERY = 1.0  # seconds
CALM = 2.0  # seconds without trouble until it is taken to be over
COMPRESS_AFTER = 10.0  # seconds in which a runner that takes over can still go on with a file that was put away
COMPRESS_AGAIN = 60.0  # seconds after it could not be done
COMPRESS_PIECE = 256 * KIB
TEXT = bytes([*range(0x20, 0x7F), *b"\t\r\n"])
TOO_MUCH = "the job says more than can be written"
DOUBLED = "… zap: some of the lines that follow may be above already\n".encode()
SUFFIXES = ("", ".gz")


class Written(NamedTuple):
    """How far a job's file is written: its size, the number of the last line that is in it, and the file's inode.

    By that a runner that takes over knows where to go on.
    """

    size: int = 0
    line: int = 0
    inode: int = 0


class LogFiles:
    """`on_trouble` hears of a job and why its file cannot be written, once, and `on_relief` what is missing when that
    is over ("" when nothing is): both in the thread that writes.
    """

    def __init__(self, on_trouble: Callable[[str, str], None], on_relief: Callable[[str, str], None]) -> None:
        self._on_trouble = on_trouble
        self._on_relief = on_relief
        self._spools: dict[str, _Spool] = {}
        self._queued = 0
        self._lock = threading.Lock()  # for these two, and the queues
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._is_closing = False
        self._until = math.inf  # when what is left is given up
        self._thread: threading.Thread | None = None

    # These do not block.

    def open(self, job: str, log: Log, at: Written | None = None) -> None:
        """Whatever the job says from now on is written. With `at`, lines that came after that are cut off the file: who
        takes over puts them again.

        When the file of `at` has been put away since, it is taken back. When it is not there any more, a line in the
        new one says that some may be there twice.
        """
        with self._lock:
            spool = self._spools.setdefault(job, _Spool(job, at))
            if spool.path != log.file:
                spool.retry_at = 0.0
            spool.wanted, spool.path = log, log.file
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log files", daemon=True)
            self._thread.start()
        self._wake.set()

    def change(self, job: str, log: Log | None) -> None:
        """What has been put is written as before; None: and nothing more."""
        if log:
            self.open(job, log)
        elif job in self._spools:
            self._spools[job].wanted = None
            self._wake.set()

    def put(self, job: str, data: bytes, line: int) -> None:
        """Whole lines of a job, `line` is the number of the last one. What there is no room for is dropped, and a line
        in the file says how much. Of a job without a log, nothing is done.
        """
        spool = self._spools.get(job)
        if spool is None or spool.wanted is None or not data:
            return
        cost = len(data) + ENTRY
        with self._lock:
            # Whoever has begun to drop goes on until there is some room: one long gap is better than many short ones.
            own = JOB_MOST // 2 if spool.is_dropping else JOB_MOST
            most = TROUBLED_MOST if spool.is_in_trouble else MOST
            spool.is_dropping = self._queued + cost > most or bool(spool.queue and spool.queued + cost > own)
            if spool.is_dropping:
                spool.drop(data, line)
            else:
                spool.queue.append((data, line))
                spool.queued += cost
                self._queued += cost
        if spool.queued > HURRY and not self._hurry.is_set():
            self._hurry.set()
        if not self._wake.is_set():
            self._wake.set()

    def written(self, job: str) -> Written:
        spool = self._spools.get(job)
        return spool.written if spool else Written()

    def close(self, seconds: float) -> None:
        """Blocks until what was put is written, at most so long."""
        self._until = time.monotonic() + seconds
        self._is_closing = True
        self._wake.set()
        self._hurry.set()
        if self._thread:
            self._thread.join(seconds)

    # The thread.

    def _run(self) -> None:
        is_over = False
        while not is_over:
            self._wake.wait(self._pause())
            self._hurry.wait(GATHER)
            self._wake.clear()
            self._hurry.clear()
            is_closing = self._is_closing
            with self._lock:
                spools = list(self._spools.values())
            busy = [spool for spool in spools if self._serve(spool)]
            if busy:
                self._wake.set()
                self._hurry.set()
            elif not is_closing:
                self._compress(spools)
            is_over = is_closing and (not busy or time.monotonic() > self._until)
        for spool in spools:
            self._end(spool)

    def _pause(self) -> float | None:
        """Seconds until something is to be done unasked."""
        with self._lock:
            spools = list(self._spools.values())
        due = [spool.file.compress_at - time.monotonic() for spool in spools if spool.file]
        due += [RETRY_EVERY for spool in spools if spool.is_in_trouble]
        soonest = min(due, default=math.inf)
        return None if soonest == math.inf else max(soonest, 0.0)

    def _serve(self, spool: _Spool) -> bool:
        """Whether there is more to be written at once."""
        wanted = spool.wanted
        now = time.monotonic()
        try:
            if spool.file and (wanted is None or wanted.file != spool.file.log.file):
                self._leave(spool, spool.file)
            if wanted is None:
                self._forget(spool)
                return False
            if now < spool.retry_at and not self._is_closing:
                return False
            if spool.file is None:
                spool.file = _File(wanted, spool.at)
                spool.at = None
                self._check_alone(spool, spool.file)
                spool.written = Written(spool.file.size, spool.written.line, spool.file.inode)
            spool.file.log = wanted
            is_busy = self._write(spool, spool.file)
            if spool.file.why:
                self._be_in_trouble(spool, spool.file.why)
            elif not spool.gaps and now - spool.bad_at > CALM:
                self._be_relieved(spool)
            return is_busy
        except OSError as error:
            spool.retry_at = now + RETRY_EVERY
            self._be_in_trouble(spool, f"{spool.path}: {error.strerror or error}")
            return False

    def _write(self, spool: _Spool, file: _File) -> bool:
        """A piece of what is queued. Whether there is more."""
        if not spool.batch:
            self._take(spool)
        while spool.batch:
            spool.done += file.append(spool.batch, spool.done)
            cost = 0
            while spool.ends and spool.ends[0][0] <= spool.done:
                end, line, freed = spool.ends.popleft()
                cost += freed
                spool.written = Written(file.size - (spool.done - end), line, file.inode)
            self._free(spool, cost)
            if spool.done == len(spool.batch):
                spool.batch, spool.done = b"", 0
        return bool(spool.queue)

    def _take(self, spool: _Spool) -> None:
        taken: list[tuple[bytes, int] | _Gap] = []
        with self._lock:
            room = PIECE
            while spool.queue and room > 0:
                taken.append(spool.queue.popleft())
                room -= 0 if isinstance(entry := taken[-1], _Gap) else len(entry[0])
                spool.gaps -= isinstance(entry, _Gap)
        texts = []
        end = 0
        for entry in taken:
            if isinstance(entry, _Gap):
                spool.lost.add(entry)
                self._be_in_trouble(spool, f"{spool.path}: {TOO_MUCH}")
                texts.append(f"… zap: {entry.told('missing here')}\n".encode())
                line, cost = entry.line, 0
            else:
                data, line = entry
                texts.append(_plain(data))
                cost = len(data) + ENTRY
            end += len(texts[-1])
            spool.ends.append((end, line, cost))
        spool.batch = b"".join(texts)

    def _free(self, spool: _Spool, cost: int) -> None:
        with self._lock:
            spool.queued -= cost
            self._queued -= cost

    def _compress(self, spools: list[_Spool]) -> None:
        """A piece, of one of those that are due."""
        due = (spool.file for spool in spools if spool.file and spool.file.compress_at <= time.monotonic())
        for file in islice(due, 1):
            file.compress()

    def _leave(self, spool: _Spool, file: _File) -> None:
        """What is queued is written there if that can be done at once; what is left goes to the next one."""
        with contextlib.suppress(OSError):
            for _ in range(JOB_MOST // PIECE + 1):
                if not self._write(spool, file):
                    break
        file.close()
        spool.file = None

    def _forget(self, spool: _Spool) -> None:
        with self._lock:
            if spool.wanted is not None:  # the job has a log again
                return
            del self._spools[spool.job]
            self._queued -= spool.queued
        spool.lost.add(spool.left())
        if spool.is_in_trouble or spool.lost.lines:
            self._be_relieved(spool)

    def _end(self, spool: _Spool) -> None:
        left = spool.left()
        if left.lines:
            self._on_trouble(spool.job, f"{spool.path}: {left.told('not written')}")
        else:
            self._be_relieved(spool)
        if spool.file:
            spool.file.close()

    def _be_in_trouble(self, spool: _Spool, why: str) -> None:
        spool.bad_at = time.monotonic()
        if not spool.is_in_trouble:
            spool.is_in_trouble = True
            self._on_trouble(spool.job, why)

    def _be_relieved(self, spool: _Spool) -> None:
        lost, spool.lost = spool.lost, _Gap()
        if spool.is_in_trouble or lost.lines:
            spool.is_in_trouble = False
            self._on_relief(spool.job, lost.told("missing") if lost.lines else "")

    def _check_alone(self, spool: _Spool, file: _File) -> None:
        for other in list(self._spools.values()):
            if other is not spool and other.file and other.file.inode == file.inode:
                file.close()
                spool.file = None
                raise OSError(errno.EBUSY, f"that is the log of {other.job} already; each job needs one of its own")


class _Gap:
    """Lines that are not there; `line` is the number of the last of them."""

    def __init__(self) -> None:
        self.lines = 0
        self.bytes = 0
        self.line = 0

    def add(self, other: _Gap) -> None:
        self.lines += other.lines
        self.bytes += other.bytes

    def told(self, what: str) -> str:
        count = "1 line is" if self.lines == 1 else f"{self.lines:,} lines are"
        return f"{count} {what} ({size(self.bytes)})"


class _Spool:
    """What waits to be written for one job. The first part is the loop's and the thread's, the other the thread's."""

    def __init__(self, job: str, at: Written | None) -> None:
        self.job = job
        self.wanted: Log | None = None
        self.path = ""
        self.queue: deque[tuple[bytes, int] | _Gap] = deque()
        self.queued = 0  # bytes, also of what is in the batch
        self.gaps = 0  # in it
        self.is_dropping = False
        self.is_in_trouble = False
        self.written = at or Written()

        self.at = at
        self.file: _File | None = None
        self.batch = b""  # what was taken off the queue, of which `done` bytes are written
        self.done = 0
        self.ends: deque[tuple[int, int, int]] = deque()  # of its parts: where, the line there, what they cost
        self.retry_at = 0.0
        self.bad_at = 0.0
        self.lost = _Gap()

    def drop(self, data: bytes, line: int) -> None:
        if not self.queue or not isinstance(self.queue[-1], _Gap):
            self.queue.append(_Gap())
            self.gaps += 1
        gap = self.queue[-1]
        assert isinstance(gap, _Gap)
        gap.lines += data.count(b"\n")
        gap.bytes += len(data)
        gap.line = line

    def left(self) -> _Gap:
        """What was not written."""
        left = _Gap()
        for entry in [*self.queue, (self.batch[self.done :], 0)]:
            if isinstance(entry, _Gap):
                left.add(entry)
            else:
                left.lines += entry[0].count(b"\n")
                left.bytes += len(entry[0])
        return left


class _File:
    """A job's file, and those that were put away. OSError: it cannot be opened, or written. Who tries again later
    goes on where it stopped."""

    def __init__(self, log: Log, at: Written | None) -> None:
        self.log = log
        self.size = 0
        self.inode = 0
        self.why = ""  # it is not put away
        self.compress_at = time.monotonic() if log.compress else math.inf
        self._fd = -1
        self._is_torn = False  # its last line is not whole yet
        self._compressing: Generator[None, None, None] | None = None
        os.makedirs(os.path.dirname(log.file), exist_ok=True)
        is_found = not at or not at.inode or self._take_back(at.inode)
        self._open()
        try:
            if at and is_found and at.inode == self.inode and at.size < self.size:
                os.ftruncate(self._fd, at.size)
                self.size = at.size
            elif not is_found and self.size:
                self.size += os.write(self._fd, DOUBLED)
        except OSError:
            self.close()
            raise

    def append(self, data: bytes, begin: int) -> int:
        """Writes some of these lines, beginning there; how many bytes."""
        self._look()
        end = len(data)
        room = self.log.size - self.size
        if end - begin > room:
            last = data.rfind(b"\n", begin, begin + max(room, 0)) + 1
            if last:
                end = last
            elif self.size and not self._is_torn:
                if self._rotate():
                    return self.append(data, begin)
            else:  # the rest of a line, or one that is longer than the file may be
                end = data.find(b"\n", begin) + 1 or end
        written = os.write(self._fd, memoryview(data)[begin:end])
        self.size += written
        self._is_torn = data[begin + written - 1] != ord("\n")
        return written

    def compress(self) -> None:
        """A piece of what was put away, the oldest first."""
        try:
            if self._compressing is None:
                plain = [path for number in range(self.log.keep, 0, -1) if os.path.isfile(path := self._slot(number))]
                ripe = [path for path in plain if time.time() - os.stat(path).st_mtime >= COMPRESS_AFTER]
                self.compress_at = time.monotonic() + COMPRESS_AFTER if plain and self.log.compress else math.inf
                if not ripe or not self.log.compress:
                    return
                self._compressing = _compress(ripe[0])
            self.compress_at = 0.0
            next(self._compressing)
        except StopIteration:
            self._compressing = None
        except OSError:  # there is no room for it, most likely: it stays as it is
            self._compressing = None
            self.compress_at = time.monotonic() + COMPRESS_AGAIN

    def close(self) -> None:
        self._stop_compressing()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _slot(self, number: int, suffix: str = "") -> str:
        return f"{self.log.file}.{number}{suffix}" if number else self.log.file

    def _take_back(self, inode: int) -> bool:
        """Whether the file that was written is there: it is the current one again."""
        for number in range(self.log.keep + 1):
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(self._slot(number)).st_ino == inode:
                    if number:
                        os.replace(self._slot(number), self._slot(0))
                    for newer in range(1, number):
                        _remove(self._slot(newer), self._slot(newer, ".gz"))
                    return True
        return False

    def _open(self) -> None:
        path = self.log.file
        with contextlib.suppress(FileNotFoundError):
            _check(os.lstat(path).st_mode)  # a device may do something when it is opened
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        fd = os.open(path, flags, 0o640)
        try:
            status = os.fstat(fd)
            _check(status.st_mode)
            size = status.st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # somebody was killed
                size += os.write(fd, b"\n")
        except OSError:
            os.close(fd)
            raise
        self._fd, self.size, self.inode, self._is_torn = fd, size, status.st_ino, False

    def _look(self) -> None:
        """Whether it is still there, and how long: logrotate(8), or a person, may have taken it away or emptied it."""
        try:
            status = os.stat(self.log.file, follow_symlinks=False)
        except FileNotFoundError:
            status = None
        if self._fd >= 0 and status and status.st_ino == self.inode:
            self.size = status.st_size
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        os.makedirs(os.path.dirname(self.log.file), exist_ok=True)
        self._open()

    def _rotate(self) -> bool:
        """Whether it was put away. Who is killed between two renames leaves a number free, which the next one fills."""
        try:
            self._stop_compressing()
            mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
            keep = self.log.keep
            if keep:
                free = next((n for n in range(1, keep) if not any(map(os.path.lexists, self._both(n)))), keep)
                _remove(*self._both(free))
                for number in range(free, 1, -1):
                    for old, new in zip(self._both(number - 1), self._both(number), strict=True):
                        with contextlib.suppress(FileNotFoundError):
                            os.replace(old, new)
                os.replace(self.log.file, self._slot(1))
            else:
                os.unlink(self.log.file)
        except OSError as error:
            self.why = f"{self.log.file}: it cannot be put away, and grows: {error.strerror or error}"
            return False
        self.why = ""
        os.close(self._fd)
        self._fd = -1
        self._open()
        os.fchmod(self._fd, mode)
        if self.log.compress and keep:
            self.compress_at = min(self.compress_at, time.monotonic() + COMPRESS_AFTER)
        return True

    def _both(self, number: int) -> list[str]:
        return [self._slot(number, suffix) for suffix in SUFFIXES]

    def _stop_compressing(self) -> None:
        if self._compressing:
            self._compressing.close()
        self._compressing = None


def _compress(path: str) -> Generator[None, None, None]:
    """A piece at a time. The file is there until its compressed form is on the disk."""
    unfinished = f"{path}.gz.part"
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    target = -1
    try:
        status = os.fstat(source)
        _remove(unfinished)
        target = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IMODE(status.st_mode))
        squeeze = zlib.compressobj(wbits=31)  # as gzip does it
        while piece := os.read(source, COMPRESS_PIECE):
            _write_all(target, squeeze.compress(piece))
            yield
        _write_all(target, squeeze.flush())
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(target)
        os.replace(unfinished, f"{path}.gz")
        os.unlink(path)
    except BaseException:
        _remove(unfinished)
        raise
    finally:
        os.close(source)
        if target >= 0:
            os.close(target)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _check(mode: int) -> None:
    """OSError: it is no file."""
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "it is a link; name the file that it leads to")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a file; name another one")


def _plain(data: bytes) -> bytes:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if data.isascii() and not data.translate(None, TEXT):  # most of it is, and it costs a fifth
        return data
    return escape.strip(data)
