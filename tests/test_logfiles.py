"""What jobs say, in files: whole, bounded, and never at the cost of a job or of another job's file."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.disks import no_file_is_longer_than
from tests.house import ROOT
from tests.zap import DEADLINE, wait_until
from zap import logfiles
from zap.logfiles import LogFiles, Written
from zap.plan import KIB, MIB, Log

A, B = "web/api", "web/worker"
KILLS = 12


def text(first: int, last: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(first, last + 1))


class Ears:
    """What was told of which job, and by which thread."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.threads: set[str] = set()

    def on_trouble(self, job: str, why: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.append((job, why))

    def on_relief(self, job: str, lost: str) -> None:
        self.threads.add(threading.current_thread().name)
        self.told.append((job, f"relieved: {lost}"))


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture(autouse=True)
def _is_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes a part of one."""
    for name, seconds in (("GATHER", 0.02), ("RETRY_EVERY", 0.02), ("CALM", 0.05)):
        monkeypatch.setattr(logfiles, name, seconds)


@pytest.fixture
def files(ears: Ears) -> Iterator[LogFiles]:
    made = LogFiles(ears.on_trouble, ears.on_relief)
    yield made
    made.close(DEADLINE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "api.log"


def log(path: Path, size: int = 10 * MIB, keep: int = 5, compress: bool = False) -> Log:
    return Log(str(path), size, keep, compress)


def wait_written(files: LogFiles, line: int, job: str = A) -> None:
    wait_until(lambda: files.written(job).line >= line, f"line {line}, after {files.written(job)}")


def all_of(path: Path) -> bytes:
    """What is in all files together."""
    numbers = {int(found.name.split(".")[2]) for found in path.parent.glob(f"{path.name}.*") if found.is_file()}
    old = [Path(f"{path}.{number}") for number in sorted(numbers, reverse=True)]
    parts = [part.read_bytes() if part.exists() else gzip.decompress(Path(f"{part}.gz").read_bytes()) for part in old]
    return b"".join([*parts, path.read_bytes()])


# What is written.


def test_what_a_job_says_is_in_its_file_soon(files: LogFiles, path: Path) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 2), 2)
    files.put(A, text(3, 3), 3)
    wait_until(lambda: path.exists() and path.read_bytes() == text(1, 3), "the lines")
    assert files.written(A) == (len(text(1, 3)), 3, path.stat().st_ino)
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, "what jobs say is not for everybody"


def test_what_was_put_before_it_is_closed_is_written(files: LogFiles, path: Path) -> None:
    files.open(A, log(path))
    for number in range(1, 1001):
        files.put(A, text(number, number), number)
    files.close(DEADLINE)
    assert path.read_bytes() == text(1, 1000)
    files.put(A, text(1001, 1001), 1001)
    files.close(DEADLINE)
    assert path.read_bytes() == text(1, 1000)


def test_closing_waits_for_all_that_is_queued(files: LogFiles, path: Path) -> None:
    chunk = b"x" * 999 + b"\n"
    files.open(A, log(path))
    for number in range(1, 51):
        files.put(A, chunk * 100, number * 100)
    files.close(DEADLINE)
    assert path.stat().st_size == 5_000_000


def test_what_was_written_makes_room(files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "JOB_MOST", 10_000)
    monkeypatch.setattr(logfiles, "MOST", 10_000)
    files.open(A, log(path))
    for number in range(1, 1001, 100):
        files.put(A, text(number, number + 99), number + 99)
        files.put(A, text(number, number + 99), number + 99)
        wait_written(files, number + 99)
    assert b"missing" not in path.read_bytes()


def test_a_job_without_a_log_costs_nothing(files: LogFiles) -> None:
    files.put(A, text(1, 1), 1)
    assert files.written(A) == Written()
    files.change(A, None)
    assert threading.active_count() == 1 or "log files" not in {thread.name for thread in threading.enumerate()}


def test_every_job_has_its_own(files: LogFiles, path: Path) -> None:
    jobs = [f"s/{number}" for number in range(50)]
    for job in jobs:
        files.open(job, log(path.parent / job / "log"))
    for number in range(1, 21):
        for job in jobs:
            files.put(job, f"{job} {number}\n".encode(), number)
    files.close(DEADLINE)
    for job in jobs:
        expected = "".join(f"{job} {number}\n" for number in range(1, 21))
        assert (path.parent / job / "log").read_text() == expected


@pytest.mark.parametrize("before", [b"", b"from before\n", b"killed in the mid"])
def test_a_file_that_is_there_is_gone_on_with_and_a_line_that_was_torn_is_ended(
    files: LogFiles, path: Path, before: bytes
) -> None:
    path.parent.mkdir()
    path.write_bytes(before)
    files.open(A, log(path))
    files.put(A, text(1, 1), 1)
    files.close(DEADLINE)
    assert path.read_bytes() == (before and before.removesuffix(b"\n") + b"\n") + text(1, 1)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        (b"plain\n", b"plain\n"),
        (b"of a terminal\r\n", b"of a terminal\n"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07text\n", b"red text\n"),
        (b"\x1b]0;never ended\nnext\n", b"\nnext\n"),
        (b" 10%\r 20%\r100%\n", b" 10%\r 20%\r100%\n"),
        ("┃ naïve → ✓\tend\n".encode(), "┃ naïve → ✓\tend\n".encode()),
        (b"\xff\xfe no text \xe2\n", b"\xff\xfe no text \xe2\n"),
        (b"bell\x07 null\x00\n", b"bell null\n"),
        (b"\x9b2Jcleared\n", b"cleared\n"),
    ],
)
def test_it_is_text_that_can_be_searched(files: LogFiles, path: Path, said: bytes, written: bytes) -> None:
    files.open(A, log(path))
    files.put(A, said, 1)
    files.close(DEADLINE)
    assert path.read_bytes() == written


# Files that are put away.


def test_it_is_put_away_at_the_end_of_a_line(files: LogFiles, path: Path) -> None:
    files.open(A, log(path, size=1000, keep=100))
    for number in range(1, 1001, 10):
        files.put(A, text(number, number + 9), number + 9)
    files.close(DEADLINE)
    assert all_of(path) == text(1, 1000)
    old = [found for found in path.parent.iterdir() if found != path]
    assert len(old) > 5
    for found in old:
        assert found.read_bytes().endswith(b"\n")
        assert 980 < found.stat().st_size <= 1000


def test_only_so_many_are_kept(files: LogFiles, path: Path) -> None:
    files.open(A, log(path, size=1000, keep=3))
    files.put(A, text(1, 1000), 1000)
    files.close(DEADLINE)
    assert sorted(found.name for found in path.parent.iterdir()) == ["api.log", "api.log.1", "api.log.2", "api.log.3"]
    assert text(1, 1000).endswith(all_of(path))


def test_when_none_are_kept_it_is_begun_anew(files: LogFiles, path: Path) -> None:
    files.open(A, log(path, size=1000, keep=0))
    files.put(A, text(1, 1000), 1000)
    files.close(DEADLINE)
    assert [found.name for found in path.parent.iterdir()] == ["api.log"]
    assert text(1, 1000).endswith(path.read_bytes()) and path.stat().st_size <= 1000


def test_a_line_that_is_longer_than_a_file_may_be_is_whole(files: LogFiles, path: Path) -> None:
    long = b"x" * 5000 + b"\n"
    files.open(A, log(path, size=1000, keep=10))
    files.put(A, text(1, 2) + long + long + text(5, 6), 6)
    files.close(DEADLINE)
    assert all_of(path) == text(1, 2) + long + long + text(5, 6)
    assert Path(f"{path}.2").read_bytes() == long


def test_a_new_file_is_for_whom_the_old_one_was(files: LogFiles, path: Path) -> None:
    files.open(A, log(path, size=1000))
    files.put(A, text(1, 1), 1)
    wait_written(files, 1)
    path.chmod(0o604)
    files.put(A, text(2, 200), 200)
    wait_written(files, 200)
    assert Path(f"{path}.1").exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


def test_what_was_put_away_is_compressed_when_there_is_time(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 0.0)
    files.open(A, log(path, size=10_000, keep=100, compress=True))
    files.put(A, text(1, 5000), 5000)
    wait_written(files, 5000)
    old = (len(text(1, 5000)) - 1) // 10_000
    wait_until(lambda: not list(path.parent.glob("*[0-9]")), "all to be compressed")
    assert sorted(found.suffix for found in path.parent.iterdir()) == [*[".gz"] * old, ".log"]
    assert all_of(path) == text(1, 5000)
    files.put(A, text(5001, 10_000), 10_000)
    wait_written(files, 10_000)
    assert all_of(path) == text(1, 10_000), "they go on with higher numbers"
    wait_until(lambda: not list(path.parent.glob("*[0-9]")), "all to be compressed again")
    assert all_of(path) == text(1, 10_000)
    assert {stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()} == {
        stat.S_IMODE(path.stat().st_mode)
    }


def test_who_was_killed_while_compressing_does_it_again(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 0.0)
    path.parent.mkdir()
    Path(f"{path}.2").write_bytes(text(1, 100))
    Path(f"{path}.2.gz.part").write_bytes(b"half")
    Path(f"{path}.1").write_bytes(text(101, 200))
    Path(f"{path}.1.gz").write_bytes(b"of which the plain one was still there")
    files.open(A, log(path, keep=2, compress=True))
    files.put(A, text(201, 201), 201)
    wait_written(files, 201)
    expected = ["api.log", "api.log.1.gz", "api.log.2.gz"]
    wait_until(lambda: sorted(found.name for found in path.parent.iterdir()) == expected, "both to be compressed")
    assert all_of(path) == text(1, 201)


def test_what_stands_in_the_way_of_old_ones_is_told_and_it_grows_meanwhile(
    files: LogFiles, ears: Ears, path: Path
) -> None:
    Path(f"{path}.1").mkdir(parents=True)
    (Path(f"{path}.1") / "mine").touch()
    files.open(A, log(path, size=1000, keep=1))
    files.put(A, text(1, 500), 500)
    wait_written(files, 500)
    assert path.read_bytes() == text(1, 500)
    wait_until(lambda: ears.told, "the trouble")
    assert ears.told == [(A, f"{path}: it cannot be put away, and grows: Is a directory")]
    shutil.rmtree(f"{path}.1")
    files.put(A, text(501, 501), 501)
    wait_until(lambda: len(ears.told) > 1, "the relief")
    assert ears.told[1:] == [(A, "relieved: ")]
    assert Path(f"{path}.1").read_bytes() == text(1, 500) or path.read_bytes() == text(1, 501)


def test_a_number_that_is_free_is_used_before_the_oldest_is_given_up(files: LogFiles, path: Path) -> None:
    """Who was killed while files were put away has left one."""
    path.parent.mkdir()
    for number in (2, 3):
        Path(f"{path}.{number}").write_bytes(b"old %d\n" % number)
    files.open(A, log(path, size=1000, keep=3))
    files.put(A, text(1, 130), 130)
    wait_written(files, 130)
    assert Path(f"{path}.3").read_bytes() == b"old 3\n"
    assert all_of(path) == b"old 3\nold 2\n" + text(1, 130)


def test_of_the_oldest_nothing_stays_behind(files: LogFiles, path: Path) -> None:
    path.parent.mkdir()
    Path(f"{path}.1.gz").write_bytes(gzip.compress(b"old\n"))
    files.open(A, log(path, size=1000, keep=1))
    files.put(A, text(1, 130), 130)
    wait_written(files, 130)
    assert sorted(found.name for found in path.parent.iterdir()) == ["api.log", "api.log.1"]


def test_files_that_are_put_away_while_one_is_compressed_are_not_mixed_up(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 0.0)
    monkeypatch.setattr(logfiles, "COMPRESS_PIECE", 30)
    monkeypatch.setattr(logfiles, "GATHER", 0.001)
    files.open(A, log(path, size=3000, keep=1000, compress=True))
    for number in range(1, 4001, 1000):
        files.put(A, text(number, number + 999), number + 999)
        wait_written(files, number + 999)
        wait_until(lambda: list(path.parent.glob("*.part")), "one to be begun")
    wait_until(lambda: not list(path.parent.glob("*[0-9]")), "all to be compressed")
    assert all_of(path) == text(1, 4000)


def test_whoever_does_not_want_it_compressed_any_more_is_heard(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 0.3)
    files.open(A, log(path, size=1000, keep=2, compress=True))
    files.put(A, text(1, 200), 200)
    wait_written(files, 200)
    files.change(A, log(path, size=1000, keep=2))
    wait_until(lambda: file_of(files).compress_at == math.inf, "nothing to be due")
    assert not list(path.parent.glob("*.gz"))


def test_what_was_put_away_just_now_waits_for_who_may_take_over(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 1000.0)
    path.parent.mkdir()
    for number in (1, 2):
        Path(f"{path}.{number}").write_bytes(b"old\n")
    os.utime(f"{path}.2", (1e9, 1e9))
    files.open(A, log(path, compress=True))
    wait_until(lambda: Path(f"{path}.2.gz").exists() and file_of(files).compress_at > time.monotonic(), "the older one")
    assert sorted(found.name for found in path.parent.iterdir()) == ["api.log", "api.log.1", "api.log.2.gz"]
    assert Path(f"{path}.2.gz").stat().st_mtime == 1e9


def test_what_cannot_be_compressed_stays_as_it_is(files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "COMPRESS_AFTER", 0.0)
    Path(f"{path}.1.gz.part").mkdir(parents=True)
    files.open(A, log(path, size=1000, compress=True))
    files.put(A, text(1, 200), 200)
    wait_until(lambda: file_of(files).compress_at > time.monotonic() + 10, "it to be tried")
    assert all_of(path) == text(1, 200)


def file_of(files: LogFiles) -> logfiles._File:
    """Once it is open."""
    wait_until(lambda: files._spools[A].file, "the file to be opened")
    file = files._spools[A].file
    assert file
    return file


def test_whoever_says_much_is_not_left_waiting(files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "GATHER", 1000.0)
    files.open(A, log(path))
    for number in range(1, 101):
        files.put(A, b"x" * 9_999 + b"\n", number)
    wait_written(files, 20)


# Others who handle the file.


@pytest.mark.parametrize("does", ["move", "delete", "delete the folder", "replace"])
def test_a_file_that_was_taken_away_is_made_anew(files: LogFiles, ears: Ears, path: Path, does: str) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 1), 1)
    wait_written(files, 1)
    if does == "move":
        path.rename(path.parent / "moved")
    elif does == "delete":
        path.unlink()
    elif does == "replace":
        path.rename(path.parent / "moved")
        path.write_bytes(b"created by logrotate\n")
    else:
        shutil.rmtree(path.parent)
    files.put(A, text(2, 2), 2)
    wait_written(files, 2)
    assert path.read_bytes() == (b"created by logrotate\n" if does == "replace" else b"") + text(2, 2)
    assert files.written(A) == (path.stat().st_size, 2, path.stat().st_ino)
    assert ears.told == []
    if (path.parent / "moved").exists():
        assert (path.parent / "moved").read_bytes() == text(1, 1)


def test_a_file_that_was_emptied_is_gone_on_with_from_its_beginning(files: LogFiles, path: Path) -> None:
    """As `copytruncate` of logrotate(8) does it."""
    files.open(A, log(path))
    files.put(A, text(1, 100), 100)
    wait_written(files, 100)
    os.truncate(path, 0)
    files.put(A, text(101, 101), 101)
    wait_written(files, 101)
    assert path.read_bytes() == text(101, 101)
    assert files.written(A).size == len(text(101, 101))


# Files that are none.


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("link", "it is a link; name the file that it leads to"),
        ("dead link", "it is a link; name the file that it leads to"),
        ("pipe", "it is not a file; name another one"),
        ("folder", "it is not a file; name another one"),
        ("device", "it is not a file; name another one"),
    ],
)
def test_what_is_no_file_is_told_and_left_alone(
    files: LogFiles, ears: Ears, path: Path, tmp_path: Path, kind: str, why: str
) -> None:
    """And the others are written."""
    other = tmp_path / "passwd"
    path.parent.mkdir()
    if kind == "link":
        other.write_text("mine\n")
        path.symlink_to(other)
    elif kind == "dead link":
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    named = Path("/dev/null") if kind == "device" else path
    files.open(A, log(named))
    files.open(B, log(tmp_path / "other.log"))
    for job in (A, B):
        files.put(job, text(1, 1), 1)
    wait_written(files, 1, B)
    wait_until(lambda: ears.told, "the trouble")
    assert ears.told == [(A, f"{named}: {why}")]
    assert ears.threads == {"log files"}
    assert not other.exists() or other.read_text() == "mine\n"
    if kind in ("link", "pipe"):
        path.unlink()
        wait_written(files, 1)
        wait_until(lambda: len(ears.told) > 1, "the relief")
        assert ears.told[1:] == [(A, "relieved: ")]
        assert path.read_bytes() == text(1, 1)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_takes_the_place_of_a_file_while_it_is_opened_is_not_written_to(
    files: LogFiles, ears: Ears, path: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "passwd"
    other.write_text("mine\n")
    path.parent.mkdir()
    if kind == "link":
        path.symlink_to(other)
    else:
        os.mkfifo(path)
    before = os.stat(other)
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda name: before if name == str(path) else lstat(name))
    files.open(A, log(path))
    files.put(A, text(1, 1), 1)
    wait_until(lambda: ears.told, "the trouble")
    assert other.read_text() == "mine\n"


def test_a_file_is_one_jobs(files: LogFiles, ears: Ears, path: Path) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 1), 1)
    wait_written(files, 1)
    files.open(B, log(path))
    files.put(B, b"not there\n", 1)
    wait_until(lambda: ears.told, "the trouble")
    assert ears.told == [(B, f"{path}: that is the log of {A} already; each job needs one of its own")]
    files.close(DEADLINE)
    assert path.read_bytes() == text(1, 1)
    assert ears.told[1:] == [(B, f"{path}: 1 line is not written (10 B)")]


# Disks that are full, slow or gone.


def test_a_write_that_is_short_is_gone_on_with_in_the_middle_of_the_line(
    files: LogFiles, ears: Ears, path: Path
) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 10), 10)
    wait_written(files, 10)
    before = files.written(A)
    with no_file_is_longer_than(before.size + 12):
        files.put(A, text(11, 12), 12)
        files.put(A, text(13, 20), 20)
        wait_until(lambda: ears.told, "the trouble")
        assert ears.told == [(A, f"{path}: File too large")]
        assert path.stat().st_size == before.size + 12
        assert files.written(A) == before, "nothing is written by half"
    wait_until(lambda: len(ears.told) > 1, "the relief")
    assert ears.told[1:] == [(A, "relieved: ")]
    assert path.read_bytes() == text(1, 20)
    assert files.written(A) == (len(text(1, 20)), 20, path.stat().st_ino)


def test_the_rest_of_a_line_goes_where_its_beginning_is(files: LogFiles, ears: Ears, path: Path) -> None:
    """Also when the file is long enough by then."""
    long = b"x" * 5000 + b"\n"
    files.open(A, log(path, size=100, keep=10))
    with no_file_is_longer_than(1000):
        files.put(A, long, 1)
        wait_until(lambda: ears.told, "the trouble")
    files.put(A, text(2, 3), 3)
    wait_written(files, 3)
    assert path.read_bytes() == text(2, 3)
    assert Path(f"{path}.1").read_bytes() == long


def test_it_is_not_tried_again_all_the_time(
    files: LogFiles, ears: Ears, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "RETRY_EVERY", 1000.0)
    path.mkdir(parents=True)
    files.open(A, log(path))
    files.put(A, text(1, 1), 1)
    wait_until(lambda: ears.told, "the trouble")
    path.rmdir()
    files.open(B, log(path.parent / "other.log"))
    for job in (A, B):
        files.put(job, text(2, 2), 2)
    wait_written(files, 2, B)
    assert not path.exists()
    files.close(DEADLINE)
    assert path.read_bytes() == text(1, 2), "but when it is closed"


FULL_DISK = """
import os, re, sys, time
sys.path.insert(0, sys.argv[1])
from zap import logfiles
from zap.plan import Log
logfiles.GATHER = logfiles.RETRY_EVERY = 0.01
logfiles.CALM = 0.1
told = []
def on_relief(job, lost):
    told.append((job, "relieved: " + lost))
files = logfiles.LogFiles(lambda job, why: told.append((job, why)), on_relief)
here = os.getcwd()
files.open("a", Log(here + "/disk/a.log", 1 << 30, 0, False))
files.open("b", Log(here + "/b.log", 1 << 30, 0, False))
def wait(is_so, what):
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.005)
line = put = 0
chunk = b"x" * 99 + b"\\n"
while line < 160_000:
    line += 500
    files.put("a", chunk * 500, line)
    files.put("b", b"%d\\n" % line, line)
    wait(lambda: files.written("b").line >= line, "the other job's file")
wait(lambda: told, "the trouble")
os.unlink("disk/ballast")
wait(lambda: len(told) > 1, "the relief")
files.close(60)
with open("disk/a.log", "rb") as file:
    text = file.read()
kept = text.count(chunk)
gaps = [int(found.replace(b",", b"")) for found in re.findall(rb"zap: ([0-9,]+) lines? (?:is|are) missing here", text)]
assert kept + sum(gaps) == line, (kept, gaps, line)
assert len(text.splitlines()) == kept + len(gaps), "no line is torn"
assert told[0] == ("a", here + "/disk/a.log: No space left on device")
assert len(told) == 2 and told[1][0] == "a"
said = re.fullmatch(r"relieved: ([0-9,]+) lines are missing \\([0-9.]+ MiB\\)", told[1][1])
assert int(said[1].replace(",", "")) == sum(gaps) > 0, told
print("kept and missing are all")
"""


@pytest.mark.real("unshare")
def test_of_a_full_disk_what_was_said_is_kept_in_the_file_or_counted(tmp_path: Path) -> None:
    """And the other jobs' files get all."""
    (tmp_path / "disk").mkdir()
    fill = 'mount -t tmpfs -o size=16m zap disk && head -c 14m /dev/zero >disk/ballast && exec "$@"'
    unshare = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", fill, "sh"]
    argv = [*unshare, sys.executable, "-S", "-c", FULL_DISK, str(ROOT)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stderr, done.stdout) == ("", "kept and missing are all\n")


class Disk:
    """Takes what the thread writes when it is free, else so many writes as it has `permits` for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_free = threading.Event()
        self.is_free.set()
        self.is_asked = threading.Event()
        self.permits = threading.Semaphore(0)
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: Any) -> int:
        if threading.current_thread().name == "log files":
            self.is_asked.set()
            while not self.is_free.wait(0.002) and not self.permits.acquire(blocking=False):
                pass
        return self._write(fd, data)


def memory() -> int:
    """Bytes that are resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_gigabyte_that_a_stuck_disk_does_not_take_costs_neither_time_nor_memory(
    files: LogFiles, ears: Ears, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = b"x" * 127 + b"\n"
    size = 64 * KIB
    disk = Disk(monkeypatch)
    files.open(A, log(path, size=MIB * 100))
    disk.is_free.clear()
    before = memory()
    begun = time.monotonic()
    line = 0
    for _ in range(16 * KIB):
        line += size // len(chunk)
        files.put(A, chunk * (size // len(chunk)), line)
    assert time.monotonic() - begun < DEADLINE / 4
    assert memory() - before < logfiles.MOST + 4 * MIB
    disk.is_free.set()
    wait_written(files, line)
    wait_until(lambda: len(ears.told) == 2, "the relief")
    text = path.read_bytes()
    kept = text.count(chunk)
    missing = line - kept
    assert kept * len(chunk) > MIB
    said = f"{missing:,} lines are missing"
    assert text.splitlines()[-1].decode().startswith(f"… zap: {said} here (")
    assert ears.told[0] == (A, f"{path}: the job says more than can be written")
    assert ears.told[1][1].startswith(f"relieved: {said} (")
    files.put(A, chunk, line + 1)
    wait_written(files, line + 1)
    assert path.read_bytes().endswith(b"\n" + chunk)


def test_who_cannot_be_written_leaves_room_for_the_others(
    files: LogFiles, ears: Ears, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = b"x" * 64 * KIB + b"\n"
    stuck = [f"s/{number}" for number in range(4)]
    for job in stuck:
        files.open(job, log(Path("/dev/null")))
        files.put(job, b"first\n", 1)
    wait_until(lambda: len(ears.told) == len(stuck), "the troubles")
    for number in range(2, 300):
        for job in stuck:
            files.put(job, chunk, number)
    files.open(A, log(path))
    for number in range(1, 100):
        files.put(A, chunk, number)
    wait_written(files, 99)
    assert path.read_bytes() == chunk * 99


def test_there_is_one_long_gap_rather_than_many(files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "JOB_MOST", 20_000)
    monkeypatch.setattr(logfiles, "PIECE", 1000)
    disk = Disk(monkeypatch)
    chunk = b"x" * 799 + b"\n"  # which takes 1000 bytes
    files.open(A, log(path))
    files.put(A, chunk, 1)
    wait_written(files, 1)
    disk.is_free.clear()
    for number in range(2, 41):
        files.put(A, chunk, number)
    assert disk.is_asked.wait(DEADLINE)
    disk.permits.release(5)
    wait_written(files, 5)
    for number in range(41, 61):
        files.put(A, chunk, number)
    disk.is_free.set()
    files.close(DEADLINE)
    assert path.read_bytes().count(b"missing here") == 1


def test_trouble_is_not_over_before_what_is_missing_is_known(
    files: LogFiles, ears: Ears, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "JOB_MOST", 20_000)
    monkeypatch.setattr(logfiles, "PIECE", 1000)
    monkeypatch.setattr(logfiles, "CALM", 0.0)
    path.mkdir(parents=True)
    files.open(A, log(path))
    for number in range(1, 41):
        files.put(A, b"x" * 799 + b"\n", number)
    wait_until(lambda: ears.told, "the trouble")
    path.rmdir()
    wait_written(files, 40)
    wait_until(lambda: len(ears.told) > 1, "the relief")
    assert ears.told[1:] == [(A, "relieved: 20 lines are missing (16 KiB)")]


def test_all_jobs_together_have_a_bound(files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "MOST", 10_000)
    disk = Disk(monkeypatch)
    jobs = [f"s/{number}" for number in range(20)]
    for job in jobs:
        files.open(job, log(path.parent / job / "log"))
    disk.is_free.clear()
    for job in jobs:
        files.put(job, b"x" * 799 + b"\n", 1)
    disk.is_free.set()
    files.close(DEADLINE)
    texts = [(path.parent / job / "log").read_bytes() for job in jobs]
    assert sum(b"missing" in text for text in texts) == 10


def test_closing_does_not_wait_for_a_disk_that_is_stuck(
    files: LogFiles, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    files.open(A, log(path))
    disk.is_free.clear()
    files.put(A, text(1, 1), 1)
    assert disk.is_asked.wait(DEADLINE)
    begun = time.monotonic()
    files.close(0.05)
    assert time.monotonic() - begun < DEADLINE / 4
    disk.is_free.set()


# Settings that change.


def test_a_log_that_goes_elsewhere_takes_with_it_what_comes(files: LogFiles, path: Path) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 2), 2)
    wait_written(files, 2)
    files.put(A, text(3, 5), 5)
    files.change(A, log(path.parent / "new.log"))
    wait_until(lambda: (path.parent / "new.log").exists(), "the new one")
    files.put(A, text(6, 7), 7)
    wait_written(files, 7)
    assert path.read_bytes() == text(1, 5)
    assert (path.parent / "new.log").read_bytes() == text(6, 7)


def test_a_log_that_could_not_be_written_gives_what_waits_to_the_new_one(
    files: LogFiles, ears: Ears, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "RETRY_EVERY", 1000.0)
    files.open(A, log(Path("/dev/null")))
    files.put(A, text(1, 5), 5)
    wait_until(lambda: ears.told, "the trouble")
    files.change(A, log(path))
    wait_written(files, 5)
    assert path.read_bytes() == text(1, 5)
    files.put(A, text(6, 6), 6)
    wait_written(files, 6)
    files.close(DEADLINE)
    assert ears.told[1:] == [(A, "relieved: ")]


def test_the_size_may_change(files: LogFiles, path: Path) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 500), 500)
    wait_written(files, 500)
    files.change(A, log(path, size=1000, keep=50))
    files.put(A, text(501, 1000), 1000)
    wait_written(files, 1000)
    assert Path(f"{path}.1").exists() and path.stat().st_size <= 1000
    assert all_of(path) == text(1, 1000)


def test_a_job_may_have_no_log_any_more_and_one_again(files: LogFiles, ears: Ears, path: Path) -> None:
    files.open(A, log(path))
    files.put(A, text(1, 2), 2)
    wait_written(files, 2)
    files.put(A, text(3, 5), 5)
    files.change(A, None)
    files.put(A, b"nobody writes this\n", 6)
    wait_until(lambda: files.written(A) == Written(), "the job to be forgotten")
    assert path.read_bytes() == text(1, 5)
    files.change(A, log(path))
    files.put(A, text(7, 8), 8)
    wait_written(files, 8)
    assert path.read_bytes() == text(1, 5) + text(7, 8)
    files.change(A, None)
    wait_until(lambda: files.written(A) == Written(), "the job to be forgotten while it is silent")
    assert ears.told == []


def test_what_waited_for_a_log_that_is_no_more_is_counted(
    files: LogFiles, ears: Ears, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves its room to others."""
    monkeypatch.setattr(logfiles, "MOST", 400)
    files.open(A, log(Path("/dev/null")))
    files.put(A, text(1, 5), 5)
    wait_until(lambda: ears.told, "the trouble")
    files.change(A, None)
    wait_until(lambda: len(ears.told) == 2, "the relief")
    assert ears.told[1] == (A, f"relieved: 5 lines are missing ({len(text(1, 5))} B)")
    files.open(B, log(path))
    files.put(B, text(1, 5), 5)
    wait_written(files, 5, B)
    assert path.read_bytes() == text(1, 5)


# A runner that takes over.

Go = Callable[[Written], LogFiles]


@pytest.fixture
def go_on(ears: Ears, path: Path) -> Iterator[Go]:
    """Another runner, from there."""
    made: list[LogFiles] = []

    def go_on(at: Written) -> LogFiles:
        made.append(LogFiles(ears.on_trouble, ears.on_relief))
        made[-1].open(A, log(path, size=1000, keep=20), at)
        return made[-1]

    yield go_on
    for files in made:
        files.close(DEADLINE)


def first_runner(path: Path, until: int, last: int) -> Written:
    """Writes to line `last`; how far it was at line `until`."""
    ears = Ears()
    files = LogFiles(ears.on_trouble, ears.on_relief)
    files.open(A, log(path, size=1000, keep=20))
    files.put(A, text(1, until), until)
    wait_written(files, until)
    at = files.written(A)
    files.put(A, text(until + 1, last), last)
    files.close(DEADLINE)
    return at


@pytest.mark.parametrize("last", [40, 41, 60, 110, 300, 900])
def test_lines_that_are_written_again_are_there_once(go_on: Go, path: Path, last: int) -> None:
    """Wherever the file has gone since: this one holds some 110 lines."""
    at = first_runner(path, 40, last)
    files = go_on(at)
    assert files.written(A) == at, "from the first moment"
    files.put(A, text(41, 1000), 1000)
    files.close(DEADLINE)
    assert all_of(path) == text(1, 1000)


def test_a_line_that_was_torn_by_a_kill_is_written_again(go_on: Go, path: Path) -> None:
    at = first_runner(path, 40, 40)
    with path.open("ab") as file:
        file.write(b"line 4")
    files = go_on(at)
    files.put(A, text(41, 50), 50)
    files.close(DEADLINE)
    assert all_of(path) == text(1, 50)


def test_a_file_that_is_gone_is_no_trouble(go_on: Go, ears: Ears, path: Path) -> None:
    at = first_runner(path, 40, 60)
    path.rename(path.parent / "moved-away")
    files = go_on(at)
    files.put(A, text(41, 50), 50)
    files.close(DEADLINE)
    assert path.read_bytes() == text(41, 50)
    assert ears.told == []


def test_a_file_that_is_another_one_is_not_cut_and_says_that_lines_may_be_there_twice(go_on: Go, path: Path) -> None:
    at = first_runner(path, 40, 60)
    path.rename(path.parent / "moved-away")
    path.write_bytes(text(41, 60))
    files = go_on(at)
    files.put(A, text(41, 80), 80)
    files.close(DEADLINE)
    note = "… zap: some of the lines that follow may be above already\n".encode()
    assert path.read_bytes() == text(41, 60) + note + text(41, 80)


def test_who_takes_over_from_one_that_had_not_opened_the_file_yet_cuts_nothing_off(go_on: Go, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"from before\n")
    files = go_on(Written())
    files.put(A, text(1, 5), 5)
    files.close(DEADLINE)
    assert path.read_bytes() == b"from before\n" + text(1, 5)


def test_a_file_that_was_emptied_since_is_gone_on_with(go_on: Go, path: Path) -> None:
    at = first_runner(path, 40, 60)
    os.truncate(path, 0)
    files = go_on(at)
    files.put(A, text(41, 50), 50)
    files.close(DEADLINE)
    assert path.read_bytes() == text(41, 50)


FLOODS = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from zap import logfiles
from zap.plan import Log
def fail(job, why):
    os.write(2, why.encode())
files = logfiles.LogFiles(fail, fail)
at = json.loads(sys.argv[3])
files.open("a", Log(sys.argv[2], 200_000, 1000, False), logfiles.Written(*at) if at else None)
line = at[1] if at else 0
while True:
    count = 1 + line * 7 % 40
    files.put("a", b"".join(b"line %d\\n" % number for number in range(line + 1, line + count + 1)), line + count)
    line += count
    while line - files.written("a").line > 20_000:
        os.sched_yield()
    os.write(1, (json.dumps(files.written("a")) + "\\n").encode())
"""


def test_kills_at_any_moment_of_a_flood_leave_every_line_there_once(path: Path) -> None:
    """As long as who takes over puts again what came after the place that he knows of."""
    chance = random.Random(1)
    at: list[int] | None = None
    for _ in range(KILLS):
        argv = [sys.executable, "-S", "-c", FLOODS, str(ROOT), str(path), json.dumps(at)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout and process.stderr
            while not (first := json.loads(process.stdout.readline()))[1]:
                pass
            time.sleep(chance.random() * 0.05)  # a random moment
            process.kill()
            said, complained = process.communicate(timeout=DEADLINE)
        assert not complained
        told = [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
        at = told[-chance.randrange(1, 20)] if len(told) > 20 else first
    assert at
    ears = Ears()
    files = LogFiles(ears.on_trouble, ears.on_relief)
    files.open(A, Log(str(path), 200_000, 1000, False), Written(*at))
    files.close(DEADLINE)
    assert at[1] > 1000
    assert all_of(path) == text(1, at[1])
