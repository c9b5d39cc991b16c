"""What has happened, on disk: one event a line, in a file that is put away when it is long, and outlives everybody.

A line that append() has returned for is in the kernel's hands: whoever is killed loses nothing. A power cut costs what
was written within the last second. A line that was not written as a whole can only be the last one, and is cut off by
the next who opens the journal.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import BinaryIO

from zap.frame import Plain
from zap.plan import KIB, MIB

NAME = "journal.jsonl"
SIZE = 4 * MIB  # of one file: some 25 000 events, which are read in a tenth of a second
KEEP = 3  # old ones beside it; an event is gone after some 75 000 others
HELD_MOST = 1 * MIB  # of lines that wait in memory while they cannot be written
RETRY_EVERY = 1.0  # seconds
SYNC_EVERY = 1.0  # seconds that a power cut may cost
END_MOST = 2.0  # seconds until a disk that is stuck is not waited for any more
_BLOCK = 64 * KIB
_AT_ONCE = 500  # lines that are read together
_LOOKS_MOST = 10  # at the list of files, while they are being put away
_LATEST = 10.0**11  # seconds; no calendar goes further than a few thousand years
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


def files(folder: str) -> list[str]:
    """Where the events are, the newest first, whether they are there or not."""
    return [os.path.join(folder, NAME), *(_old(folder, number) for number in range(1, KEEP + 1))]


class Journal:
    """Written by one runner at a time, from one thread. `last` is the newest event that was in it when it was opened.

    `on_trouble` is told why it cannot be written, once, and `on_relief` what is missing when it can again ("" when
    nothing is): both within append(), flush() or close(), and both may append.
    """

    def __init__(
        self,
        folder: str,
        on_trouble: Callable[[str], None],
        on_relief: Callable[[str], None],
        after: int | None = None,
    ) -> None:
        """With `after`, events with a higher number are cut off: who takes over will give these numbers again."""
        self.last = _last(folder, after)
        self._folder = folder
        self._after = after
        self._on_trouble = on_trouble
        self._on_relief = on_relief
        self._fd: int | None = None
        self._file = 0  # its inode
        self._size = 0
        self._held: deque[bytes] = deque()
        self._held_size = 0
        self._lost = 0  # lines
        self._missing: list[str] = []  # what else
        self._write_why = ""
        self._sync_why = ""
        self._is_told = False
        self._retry_at = 0.0
        self._retired: list[int] = []  # descriptors of files that were put away, and are not on the disk yet
        self._is_new = False  # the folder does not know the file for good
        self._dirty = threading.Event()
        self._closing = threading.Event()
        try:
            self._open()
        except OSError as error:
            self._write_why = self._say(error)  # is told when there is something to write
        self._thread = threading.Thread(target=self._sync, name="journal", daemon=True)
        self._thread.start()

    def append(self, lines: bytes) -> None:
        """Whole lines, a JSON object each. Never raises: what cannot be written is held as far as there is room."""
        if not self._write_why:
            try:
                self._write(lines)
            except OSError as error:
                self._write_why = self._say(error)
                self._hold(lines)
                # What was deleted can be made again at once.
                self._retry_at = 0.0 if error.errno == errno.ENOENT else time.monotonic() + RETRY_EVERY
                self._tell()
        else:
            self._hold(lines)
        self.flush()

    def flush(self) -> None:
        """Tries again to write what is held, at most once a second."""
        if self._write_why and time.monotonic() >= self._retry_at:
            self._retry()
        self._tell()

    def close(self, seconds: float = END_MOST) -> None:
        """Blocks until all is on the disk, at most so long. Nothing is written after it."""
        if self._closing.is_set():
            return
        if self._write_why:
            self._retry()
        self._tell()
        self._write_why, self._retry_at, self._is_told = "it is closed", float("inf"), True
        self._closing.set()
        self._dirty.set()
        self._thread.join(seconds)
        if not self._thread.is_alive() and self._fd is not None:
            os.close(self._fd)
            self._fd = None

    # writing

    def _write(self, lines: bytes) -> None:
        if self._fd is None:
            self._open()
        assert self._fd is not None
        status = os.fstat(self._fd)
        if not status.st_nlink:
            self._missing.append("what had happened before is gone")
            raise FileNotFoundError(errno.ENOENT, "it was deleted")
        self._size = status.st_size
        if self._size and self._size + len(lines) > SIZE:
            self._rotate()
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._fd, memoryview(lines)[written:])
        except OSError:
            if written:  # as whole as it was; else _open() does it
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._size)
            raise
        self._size += written
        self._dirty.set()

    def _open(self) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = os.path.join(self._folder, NAME)
        fd = _open_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            status = os.fstat(fd)
            if status.st_ino == self._file and self._size < status.st_size:  # half of a write is there
                os.ftruncate(fd, self._size)
            self._cut(fd)
        except OSError:
            os.close(fd)
            raise
        self._take(fd)

    def _cut(self, fd: int) -> None:
        """Lets go of a torn last line, and of what came after `after`: that can begin in a file that was put away."""
        number = _trim(fd, self._after)
        if self._after is not None:
            for path in files(self._folder)[1:]:
                if number is not None:
                    break
                with contextlib.suppress(FileNotFoundError):
                    old = _open_file(path, os.O_RDWR)
                    try:
                        number = _trim(old, self._after)
                    finally:
                        os.close(old)
        self._after = None

    def _rotate(self) -> None:
        """Each rename is whole: who is killed between two of them leaves a number free, which the next one fills."""
        free = next((n for n in range(1, KEEP) if not os.path.exists(_old(self._folder, n))), KEEP)
        for number in range(free, 1, -1):
            os.replace(_old(self._folder, number - 1), _old(self._folder, number))
        path = os.path.join(self._folder, NAME)
        os.replace(path, _old(self._folder, 1))
        self._take(_open_file(path, os.O_RDWR | os.O_APPEND | os.O_CREAT))

    def _take(self, fd: int) -> None:
        """Goes on with this file. The one before is left to the thread, which may be busy with it."""
        if self._fd is not None:
            if len(self._retired) > KEEP:  # the disk is stuck, and the oldest of them has been put away for good
                os.close(self._retired.pop(0))
            self._retired.append(self._fd)
        status = os.fstat(fd)
        self._fd, self._file, self._size = fd, status.st_ino, status.st_size
        self._is_new = True
        self._dirty.set()

    # trouble

    def _hold(self, lines: bytes) -> None:
        self._held.append(lines)
        self._held_size += len(lines)
        while self._held_size > HELD_MOST:
            oldest = self._held.popleft()
            self._lost += oldest.count(b"\n")
            self._held_size -= len(oldest)

    def _retry(self) -> None:
        self._retry_at = time.monotonic() + RETRY_EVERY
        try:
            self._open()
            self._write(b"".join(self._held))
        except OSError as error:
            self._write_why = self._say(error)
            return
        self._held.clear()
        self._held_size = 0
        self._write_why = ""

    def _tell(self) -> None:
        """Once each: whoever is told may append, and comes here again."""
        why = self._write_why or self._sync_why
        if why and not self._is_told:
            self._is_told = True
            if self._sync_why:
                self._missing.append("what was written in that time may not survive a power cut")
            self._on_trouble(why)
        elif self._is_told and not why:
            lost = "1 event is missing" if self._lost == 1 else f"{self._lost:,} events are missing"
            missing = [*self._missing, *([lost] if self._lost else [])]
            self._is_told, self._lost, self._missing = False, 0, []
            self._on_relief("; ".join(dict.fromkeys(missing)))

    def _say(self, error: OSError) -> str:
        return f"{os.path.join(self._folder, NAME)}: {error.strerror or error}"

    # the thread: a disk that is busy takes seconds for this

    def _sync(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._dirty.clear()
            self._sync_all()
            self._closing.wait(SYNC_EVERY)
        self._sync_all()

    def _sync_all(self) -> None:
        retired = [self._retired.pop(0) for _ in range(len(self._retired))]
        is_new, self._is_new = self._is_new, False
        try:
            for fd in (*retired, self._fd):
                if fd is not None:
                    os.fsync(fd)
            if is_new:
                _sync_folder(self._folder)
            self._sync_why = ""
        except FileNotFoundError:  # somebody has deleted it: the next append makes it again
            pass
        except OSError as error:
            self._sync_why = self._say(error)
        for fd in retired:
            os.close(fd)


class Reading(Iterator[dict[str, Plain]]):
    """The events of a journal, as they are read. `skipped` lines so far are no events; `troubles` are files that cannot
    be read, and why.

    That somebody writes to the journal meanwhile, and puts files away, does no harm: what comes is what was there when
    the first was asked for. Each has `n`, `at` and `event`.
    """

    def __init__(self, folder: str, is_newest_first: bool = False) -> None:
        self.skipped = 0
        self.troubles: list[str] = []
        self._folder = folder
        self._events = self._back() if is_newest_first else self._forth()

    def __next__(self) -> dict[str, Plain]:
        return next(self._events)

    def _forth(self) -> Iterator[dict[str, Plain]]:
        with contextlib.ExitStack() as stack:
            for file in reversed([stack.enter_context(file) for file in self._open()]):
                yield from self._read(file, _together(file))

    def _back(self) -> Iterator[dict[str, Plain]]:
        with contextlib.ExitStack() as stack:
            for file in [stack.enter_context(file) for file in self._open()]:
                yield from self._read(file, ([line] for _, line in _lines_back(file.fileno())))

    def _read(self, file: BinaryIO, parts: Iterator[list[bytes]]) -> Iterator[dict[str, Plain]]:
        try:
            for lines in parts:
                for event in _events(lines):
                    if event:
                        yield event
                    else:
                        self.skipped += 1
        except OSError as error:
            self.troubles.append(f"{file.name}: {error.strerror or error}")

    def _open(self) -> list[BinaryIO]:
        """The newest first. When some were put away while we opened them, all are opened again: then one was met
        twice, or another is the newest.
        """
        paths = files(self._folder)
        for look in range(1, _LOOKS_MOST + 1):
            self.troubles.clear()
            newest = _inode(paths[0])
            found = [file for file in map(self._open_one, paths) if file]
            is_whole = len({os.fstat(file.fileno()).st_ino for file in found}) == len(found)
            if (is_whole and _inode(paths[0]) == newest) or look == _LOOKS_MOST:
                break
            for file in found:
                file.close()
        return found

    def _open_one(self, path: str) -> BinaryIO | None:
        try:
            return open(path, "rb", opener=_open_file)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.troubles.append(f"{path}: {error.strerror or error}")
            return None


def read(folder: str) -> Reading:
    """All events that are kept, the oldest first."""
    return Reading(folder)


def tail(folder: str, most: int) -> list[dict[str, Plain]]:
    """The newest events, at most so many, the oldest of them first."""
    newest = [event for event, _ in zip(Reading(folder, is_newest_first=True), range(most), strict=False)]
    return newest[::-1]


def _old(folder: str, number: int) -> str:
    return os.path.join(folder, f"journal.{number}.jsonl")


def _open_file(path: str, flags: int) -> int:
    """And no link or pipe that somebody has put there."""
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a file", path)
    return fd


def _inode(path: str) -> int:
    """0 where there is nothing."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _last(folder: str, after: int | None) -> int:
    for path in files(folder):
        try:
            fd = _open_file(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            _, number = _end(fd, after)
        except OSError:
            number = None
        finally:
            os.close(fd)
        if number is not None:
            return number
    return 0


def _trim(fd: int, after: int | None) -> int | None:
    """What `_end` says is done, and the number told."""
    kept, number = _end(fd, after)
    if kept < os.fstat(fd).st_size:
        os.ftruncate(fd, kept)
    return number


def _end(fd: int, after: int | None) -> tuple[int, int | None]:
    """How much of a file to keep, which is all but a torn line and what came after; the last event's number in it."""
    kept = os.fstat(fd).st_size
    for offset, line in _lines_back(fd):
        event = _event(line)
        if not line.endswith(b"\n") or (event and after is not None and event["n"] > after):
            kept = offset
        elif event:
            number: int = event["n"]
            return kept, number
    return kept, None


def _lines_back(fd: int) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line; the last one first."""
    begin = os.fstat(fd).st_size
    rest = b""
    while begin:
        end, begin = begin, max(begin - _BLOCK, 0)
        block = os.pread(fd, end - begin, begin) + rest
        lines: list[bytes] = _LINE.findall(block)
        rest = lines.pop(0) if begin and lines else b""  # it may begin before
        offset = begin + len(block)
        for line in reversed(lines):
            offset -= len(line)
            yield offset, line


def _together(file: BinaryIO) -> Iterator[list[bytes]]:
    lines = _to_end(file)
    while part := list(islice(lines, _AT_ONCE)):
        yield part


def _to_end(file: BinaryIO) -> Iterator[bytes]:
    """What somebody adds to the last line meanwhile is not taken for another one."""
    for line in file:
        yield line
        if not line.endswith(b"\n"):
            return


def _events(lines: list[bytes]) -> list[dict[str, Plain] | None]:
    """In one go, which takes half of the time; each by itself when one of them is no event."""
    if lines[-1].endswith(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(b"[%s]" % b",".join(lines))
            if len(found) == len(lines):
                return [event if _is_event(event) else None for event in found]
    return list(map(_event, lines))


def _event(line: bytes) -> dict[str, Plain] | None:
    with contextlib.suppress(ValueError, RecursionError):
        event: Plain = json.loads(line)
        if line.endswith(b"\n") and _is_event(event):
            found: dict[str, Plain] = event
            return found
    return None


def _is_event(event: Plain) -> bool:
    if not isinstance(event, dict) or type(event.get("n")) is not int or not isinstance(event.get("event"), str):
        return False
    return type(event.get("at")) in (int, float) and 0 <= event["at"] < _LATEST
