"""Events on disk: nothing is lost by a kill, a full disk is told, and whatever the files hold is no reason to fail.

A torn line is a line that was not written as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
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
from zap import journal
from zap.journal import Journal

KILLS = 30


def lines(first: int, last: int, size: int = 0) -> bytes:
    """Events of these numbers; with a size, each has so many bytes."""
    told = [json.dumps({"n": n, "at": 1.5, "event": "exited", "job": "web/api"}) for n in range(first, last + 1)]
    return "".join(line + " " * (size - len(line) - 1) + "\n" for line in told).encode()


def numbers(folder: Path | str) -> list[int]:
    return [event["n"] for event in journal.read(str(folder))]


def filled(opened: Open, monkeypatch: pytest.MonkeyPatch, last: int) -> Journal:
    """With events up to this number, in files of ten."""
    monkeypatch.setattr(journal, "SIZE", 1000)
    log = opened()
    for n in range(1, last + 1):
        log.append(lines(n, n, size=100))
    return log


def inodes(folder: Path) -> list[int]:
    return [os.stat(path).st_ino for path in journal.files(str(folder)) if os.path.exists(path)]


class Ears:
    """What a journal has told its runner."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_trouble(self, why: str) -> None:
        self.told.append(why)

    def on_relief(self, lost: str) -> None:
        self.told.append(f"relieved: {lost}")


@pytest.fixture
def ears() -> Ears:
    return Ears()


Open = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path, ears: Ears) -> Iterator[Open]:
    """Opens the journal of a folder `state`."""
    with contextlib.ExitStack() as stack:

        def open_journal(after: int | None = None) -> Journal:
            made = Journal(str(tmp_path / "state"), ears.on_trouble, ears.on_relief, after)
            stack.callback(made.close)
            return made

        yield open_journal


def test_what_is_appended_is_there_at_once(opened: Open, tmp_path: Path) -> None:
    log = opened()
    assert log.last == 0
    log.append(lines(1, 2))
    log.append(lines(3, 3))
    events = list(journal.read(str(tmp_path / "state")))
    assert [event["n"] for event in events] == [1, 2, 3]
    assert events[0] == {"n": 1, "at": 1.5, "event": "exited", "job": "web/api"}


def test_it_is_for_its_owner_alone(opened: Open, tmp_path: Path) -> None:
    opened().append(lines(1, 1))
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / journal.NAME).stat().st_mode) == 0o600


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    reading = journal.read(str(tmp_path / "none"))
    assert (list(reading), reading.skipped, reading.troubles) == ([], 0, [])
    assert journal.tail(str(tmp_path / "none"), 10) == []


def test_numbers_go_on_where_they_were(opened: Open) -> None:
    log = opened()
    log.append(lines(1, 41))
    log.close()
    assert opened().last == 41


def test_what_is_appended_when_it_is_closed_goes_nowhere(opened: Open, ears: Ears, tmp_path: Path) -> None:
    log = opened()
    log.append(lines(1, 1))
    log.close()
    log.append(lines(2, 2))
    log.flush()
    log.close()
    assert numbers(tmp_path / "state") == [1]
    assert ears.told == []


# What is found in the files.


@pytest.mark.parametrize("torn", [b'{"n": 4, "at"', b"\0" * 3000, b"x" * 200_000, lines(4, 4)[:-1]])
def test_a_torn_last_line_is_cut_off(opened: Open, tmp_path: Path, torn: bytes) -> None:
    log = opened()
    log.append(lines(1, 3))
    log.close()
    path = tmp_path / "state" / journal.NAME
    with path.open("ab") as file:
        file.write(torn)
    reading = journal.read(str(tmp_path / "state"))
    assert ([event["n"] for event in reading], reading.skipped) == ([1, 2, 3], 1)
    log = opened()
    assert log.last == 3
    log.append(lines(4, 4))
    assert path.read_bytes() == lines(1, 4)


FOREIGN = [
    b"\n",
    b"\xff\xfe\x00\n",
    b"[" * 100_000 + b"\n",
    b"null\n",
    b"[1, 2]\n",
    b'{"n": "1", "at": 1.0, "event": "exited"}\n',
    b'{"n": true, "at": 1.0, "event": "exited"}\n',
    b'{"n": 1, "at": 1.0}\n',
    b'{"n": 1, "event": "exited"}\n',
    b'{"n": 1, "at": Infinity, "event": "exited"}\n',
    b'{"n": 1, "at": -1, "event": "exited"}\n',
    b'{"n": 1, "at": NaN, "event": "exited"}\n',
    b'{"n": 1, "at": 1.0, "event": ["exited"]}\n',
    b'{"n": 1, "at": 1.0, "event": "exited"}, {"n": 2, "at": 1.0, "event": "exited"}\n',
    b'{"n": 1, "at": 1.0, "event": "exited"}], [1\n',
]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_lines_that_are_no_events_are_skipped_and_counted(opened: Open, tmp_path: Path, foreign: bytes) -> None:
    log = opened()
    log.append(lines(1, 1))
    log.append(foreign)
    log.append(lines(2, 2))
    log.append(foreign)
    for is_newest_first in (False, True):
        reading = journal.Reading(str(tmp_path / "state"), is_newest_first)
        assert sorted(event["n"] for event in reading) == [1, 2]
        assert reading.skipped == 2
    log.close()
    assert opened().last == 2


def test_a_line_that_is_closed_by_the_next_is_two_that_are_no_events(opened: Open, tmp_path: Path) -> None:
    """Lines are read together, as one list."""
    opened().append(b'{"n": 1, "at": 1, "event": "x", "a": [1\n2]}\n' + lines(2, 2))
    assert numbers(tmp_path / "state") == [2]


def test_a_file_that_cannot_be_read_is_told(opened: Open, tmp_path: Path) -> None:
    opened().append(lines(1, 1))
    (tmp_path / "state" / "journal.1.jsonl").mkdir()
    os.mkfifo(tmp_path / "state" / "journal.2.jsonl")
    reading = journal.read(str(tmp_path / "state"))
    assert [event["n"] for event in reading] == [1]
    assert [Path(trouble.partition(":")[0]).name for trouble in reading.troubles] == [
        *("journal.1.jsonl", "journal.2.jsonl")
    ]


def test_the_newest_come_from_the_end(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SIZE", 5000)
    monkeypatch.setattr(journal, "_BLOCK", 700)
    log = opened()
    for n in range(1, 101):
        log.append(lines(n, n, size=100))
    assert [event["n"] for event in journal.tail(str(tmp_path / "state"), 3)] == [98, 99, 100]
    assert [event["n"] for event in journal.tail(str(tmp_path / "state"), 70)] == list(range(31, 101))
    assert [event["n"] for event in journal.tail(str(tmp_path / "state"), 1000)] == list(range(1, 101))


# Files that are put away.


def test_old_ones_are_kept_as_far_as_there_is_room(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(opened, monkeypatch, 100)
    assert numbers(tmp_path / "state") == list(range(61, 101))
    assert sorted(os.listdir(tmp_path / "state")) == [
        *("journal.1.jsonl", "journal.2.jsonl", "journal.3.jsonl", "journal.jsonl")
    ]
    assert {path.stat().st_size for path in (tmp_path / "state").iterdir()} == {1000}
    log.close()
    assert opened().last == 100


def test_an_append_that_is_longer_than_a_file_is_not_torn(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SIZE", 1000)
    log = opened()
    log.append(lines(1, 50, size=100))
    log.append(lines(51, 51))
    assert numbers(tmp_path / "state") == list(range(1, 52))


def test_the_newest_number_may_be_in_a_file_that_was_put_away(opened: Open, tmp_path: Path) -> None:
    log = opened()
    log.append(lines(1, 7))
    log.close()
    state = tmp_path / "state"
    (state / journal.NAME).rename(state / "journal.1.jsonl")
    log = opened()
    assert log.last == 7
    log.append(lines(8, 8))
    assert numbers(state) == list(range(1, 9))
    log.close()
    (state / journal.NAME).write_text('{"n": 8')
    assert opened().last == 7


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_who_is_killed_while_files_are_put_away_has_lost_nothing_but_the_oldest(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    """After so many renames."""
    filled(opened, monkeypatch, 40).close()
    renames = [("journal.2", "journal.3"), ("journal.1", "journal.2"), ("journal", "journal.1")]
    for old, new in renames[:killed_after]:
        (tmp_path / "state" / f"{old}.jsonl").rename(tmp_path / "state" / f"{new}.jsonl")
    assert numbers(tmp_path / "state") == list(range(11, 41))
    log = opened()
    assert log.last == 40
    for n in range(41, 52):
        log.append(lines(n, n, size=100))
    kept = numbers(tmp_path / "state")
    assert kept == list(range(kept[0], 52)) and len(kept) > 30


def test_reading_does_not_mind_files_that_are_put_away_meanwhile(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SIZE", 20_000)
    log = opened()
    log.append(lines(1, 1))
    over = threading.Event()

    def write() -> None:
        n = 1
        while not over.is_set():
            n += 1
            log.append(lines(n, n, size=100))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = 0
        for _ in range(300):
            found = numbers(tmp_path / "state")
            assert found == list(range(found[0], found[-1] + 1))
            assert found[-1] >= before
            before = found[-1]
    finally:
        over.set()
        writer.join()
    assert before > 1000


def test_a_journal_that_somebody_has_emptied_is_gone_on_with(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SIZE", 1000)
    log = opened()
    log.append(lines(1, 9, size=100))
    os.truncate(tmp_path / "state" / journal.NAME, 0)
    log.append(lines(10, 18, size=100))
    assert (tmp_path / "state" / journal.NAME).read_bytes() == lines(10, 18, size=100)
    assert len(os.listdir(tmp_path / "state")) == 1


# A runner that takes over.


@pytest.mark.parametrize("after", [0, 5, 29, 30, 31, 38, 40, 50])
def test_what_came_after_a_number_is_cut_off_wherever_it_is(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    filled(opened, monkeypatch, 40).close()
    log = opened(after=after)
    last = min(after, 40)
    assert log.last == last
    assert numbers(tmp_path / "state") == list(range(1, last + 1))
    log.append(lines(last + 1, last + 3))
    assert numbers(tmp_path / "state")[-13:] == list(range(max(last - 9, 1), last + 4))


def test_lines_that_are_no_events_do_not_save_those_after_a_number(opened: Open, tmp_path: Path) -> None:
    log = opened()
    log.append(lines(1, 3) + b"foreign\n" + lines(4, 5) + b"foreign\n" + b"torn")
    log.close()
    opened(after=3)
    assert (tmp_path / "state" / journal.NAME).read_bytes() == lines(1, 3) + b"foreign\n"


# Disks that are full, slow or gone.


def test_a_write_that_is_short_leaves_no_torn_line(
    opened: Open, ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_EVERY", 0.0)
    monkeypatch.setattr(journal, "HELD_MOST", 1500)
    path = tmp_path / "state" / journal.NAME
    log = opened()
    log.append(lines(1, 10, size=100))
    for before in (10, 22):
        with no_file_is_longer_than(before * 100 + 250):
            log.append(lines(before + 1, before + 10, size=100))
            assert path.read_bytes() == lines(1, before, size=100)
            log.append(lines(before + 11, before + 11, size=100))
        assert ears.told == [f"{path}: File too large"]
        log.append(lines(before + 12, before + 12, size=100))
        assert path.read_bytes() == lines(1, before + 12, size=100)
        assert ears.told[1:] == ["relieved: "]
        ears.told.clear()


def test_a_short_write_that_cannot_be_taken_back_is_when_it_is_opened_again(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_EVERY", 0.0)
    log = opened()
    log.append(lines(1, 10, size=100))

    def fail(fd: int, size: int) -> None:
        raise OSError(5, "Input/output error")

    with no_file_is_longer_than(1250), monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", fail)
        log.append(lines(11, 20, size=100))
    log.append(lines(21, 21, size=100))
    assert (tmp_path / "state" / journal.NAME).read_bytes() == lines(1, 21, size=100)


def test_while_it_cannot_be_written_the_newest_are_held(
    opened: Open, ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is tried again now and then, not at each."""
    monkeypatch.setattr(journal, "HELD_MOST", 1000)
    (tmp_path / "state").write_text("in the way")
    log = opened()
    assert (log.last, ears.told) == (0, []), "told when there is something to write"
    for n in range(1, 31, 2):
        log.append(lines(n, n + 1, size=100))
    assert ears.told == [f"{tmp_path}/state/{journal.NAME}: File exists"]
    (tmp_path / "state").unlink()
    log.append(lines(31, 31, size=100))
    assert not (tmp_path / "state").exists()

    def is_relieved() -> bool:
        log.flush()
        return len(ears.told) > 1

    wait_until(is_relieved, "the journal to be written")
    assert ears.told[1:] == ["relieved: 22 events are missing"]
    log.append(lines(32, 32))
    assert numbers(tmp_path / "state") == [*range(23, 33)]


def test_what_is_held_is_written_when_it_is_closed(opened: Open, ears: Ears, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    log = opened()
    log.append(lines(1, 1))
    (tmp_path / "state").unlink()
    log.close()
    assert numbers(tmp_path / "state") == [1]
    assert ears.told[1:] == ["relieved: "]


def test_a_folder_that_was_deleted_is_made_again_at_once(opened: Open, ears: Ears, tmp_path: Path) -> None:
    log = opened()
    log.append(lines(1, 10))
    shutil.rmtree(tmp_path / "state")
    log.append(lines(11, 12))
    assert numbers(tmp_path / "state") == [11, 12]
    path = tmp_path / "state" / journal.NAME
    assert ears.told == [f"{path}: it was deleted", "relieved: what had happened before is gone"]
    log.append(lines(13, 13))
    assert numbers(tmp_path / "state") == [11, 12, 13]


def test_who_is_told_may_append(tmp_path: Path) -> None:
    """As a runner does, which tells its clients of it, and the journal."""
    state = tmp_path / "state"
    n = 0
    log: list[Journal] = []

    def tell(why: str) -> None:
        nonlocal n
        n += 1
        log[0].append(lines(n, n))

    log.append(Journal(str(state), tell, tell))
    tell("")
    shutil.rmtree(state)
    tell("")
    assert numbers(state) == [2, 3, 4], "what was to be written, the trouble and the relief"
    log[0].close()


def test_a_take_over_while_nothing_can_be_written_cuts_off_later(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_EVERY", 0.0)
    log = opened()
    log.append(lines(1, 10, size=100))
    log.close()
    with monkeypatch.context() as patched:
        patched.setattr(os, "makedirs", lambda *_, **__: os.mkdir("/proc/none"))
        log = opened(after=7)
        assert log.last == 7
        log.append(lines(8, 8, size=100))
    assert numbers(tmp_path / "state") == [*range(1, 11)]
    log.append(lines(9, 9, size=100))
    assert numbers(tmp_path / "state") == [*range(1, 10)]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_not_written_to(opened: Open, ears: Ears, tmp_path: Path, kind: str) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "state" / journal.NAME
    other = tmp_path / "other"
    other.write_text("mine\n")
    if kind == "link":
        path.symlink_to(other)
    else:
        os.mkfifo(path)
    log = opened()
    log.append(lines(1, 1))
    assert len(ears.told) == 1
    assert other.read_text() == "mine\n"


FULL_DISK = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from zap.journal import Journal, read
told = []
log = Journal("disk/state", told.append, lambda lost: told.append("relieved: " + lost))
def line(n):
    return (json.dumps({"n": n, "at": 1.0, "event": "x"}) + " " * 500 + "\\n").encode()
n = 0
while not told:
    n += 1
    log.append(line(n))
full = n
for n in range(n + 1, n + 20):
    log.append(line(n))
os.unlink("disk/ballast")
until = time.monotonic() + 60
while len(told) < 2 and time.monotonic() < until:
    log.flush()
    time.sleep(0.01)
log.append(line(n + 1))
log.close()
reading = read("disk/state")
assert [event["n"] for event in reading] == list(range(1, n + 2)), "all are there"
print(full > 100, reading.skipped, *told, sep="\\n")
"""


@pytest.mark.real("unshare")
def test_a_full_disk_is_told_and_nothing_is_missing_when_there_is_room_again(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    fill = 'mount -t tmpfs -o size=1m zap disk && head -c 900k /dev/zero >disk/ballast && exec "$@"'
    unshare = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", fill, "sh"]
    argv = [*unshare, sys.executable, "-S", "-c", FULL_DISK, str(ROOT)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        *("True", "0", "disk/state/journal.jsonl: No space left on device", "relieved: ")
    ]


# A power cut.


class Disk:
    """Whatever is asked of it to be kept for good, by whom and when; it may take its time, or fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[float, str]] = []
        self.kept: set[int] = set()
        self.is_free = threading.Event()
        self.is_free.set()
        self.error: OSError | None = None
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, fd: int) -> None:
        self.asked.append((time.monotonic(), threading.current_thread().name))
        self.is_free.wait(DEADLINE)
        if self.error:
            raise self.error
        self.kept.add(os.fstat(fd).st_ino)
        self._fsync(fd)


def test_what_was_written_is_on_the_disk_within_a_second(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so are files that were put away, and the folder."""
    disk = Disk(monkeypatch)
    filled(opened, monkeypatch, 30)
    state = tmp_path / "state"
    wait_until(lambda: disk.kept >= {*inodes(state), state.stat().st_ino}, "all to be kept")
    assert {name for _, name in disk.asked} == {"journal"}, "the caller never waits for the disk"


def test_the_disk_is_asked_once_a_second_and_not_when_nothing_happens(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SYNC_EVERY", 0.2)
    disk = Disk(monkeypatch)
    log = opened()
    begun = time.monotonic()
    n = 0
    while time.monotonic() < begun + 1.0:
        n += 1
        log.append(lines(n, n))
    rounds = len(disk.asked) - 1  # the folder is one more
    assert 1 <= rounds <= 6
    wait_until(lambda: not log._dirty.is_set(), "the last round")
    asked = len(disk.asked)
    time.sleep(0.5)  # in which it could ask again
    assert len(disk.asked) <= asked + 1


def test_a_disk_that_is_stuck_holds_up_nobody(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SIZE", 1000)
    disk = Disk(monkeypatch)
    log = opened()
    disk.is_free.clear()
    begun = time.monotonic()
    for n in range(1, 1001):
        log.append(lines(n, n, size=100))
    wait_until(lambda: disk.asked, "the disk to be asked")
    log.close(0.05)
    assert time.monotonic() - begun < DEADLINE / 2
    assert len([fd for fd in os.listdir("/proc/self/fd") if _leads(fd).endswith("deleted)")]) < 10
    disk.is_free.set()
    log._thread.join()
    assert log._fd is not None
    os.close(log._fd)


def _leads(fd: str) -> str:
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return ""


def test_a_disk_that_keeps_nothing_is_told(
    opened: Open, ears: Ears, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SYNC_EVERY", 0.01)
    disk = Disk(monkeypatch)
    disk.error = OSError(5, "Input/output error")
    log = opened()
    n = 0

    def told(count: int) -> bool:
        nonlocal n
        n += 1
        log.append(lines(n, n))
        return len(ears.told) >= count

    wait_until(lambda: told(1), "the trouble")
    disk.error = None
    wait_until(lambda: told(2), "the relief")
    assert ears.told == [
        f"{tmp_path}/state/{journal.NAME}: Input/output error",
        "relieved: what was written in that time may not survive a power cut",
    ]
    assert numbers(tmp_path / "state") == [*range(1, n + 1)]


# Kills.

FLOODS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from zap import journal
journal.SIZE = 3000
def fail(why):
    raise SystemExit(why)
log = journal.Journal(sys.argv[2], fail, fail, after=int(sys.argv[3]) if sys.argv[3] else None)
n = log.last
while True:
    new = range(n + 1, n + 2 + n % 3)
    log.append(b"".join(b'{"n":%d,"at":1.0,"event":"x","pad":"%s"}\\n' % (i, b"x" * (i * 7 % 200)) for i in new))
    n = new[-1]
    os.write(1, b"%d\\n" % n)
"""


@pytest.mark.parametrize("takes_over", [False, True])
def test_kills_at_any_moment_lose_nothing_tear_nothing_and_double_nothing(tmp_path: Path, takes_over: bool) -> None:
    """What append() has returned for is there. Who takes over goes on from what the one before has told."""
    chance = random.Random(1)
    told = 0
    for _ in range(KILLS // 2):
        after = str(told) if takes_over else ""
        argv = [sys.executable, "-S", "-c", FLOODS, str(ROOT), str(tmp_path / "state"), after]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout and process.stderr
            first = process.stdout.readline()
            time.sleep(chance.random() * 0.02)  # a random moment
            process.kill()
            said, complained = process.communicate(timeout=DEADLINE)
        assert not complained
        assert int(first) > told
        told = int((first + said).split()[-1])
        reading: Any = journal.read(str(tmp_path / "state"))
        found = [event["n"] for event in reading]
        assert found == [*range(found[0], found[-1] + 1)]
        assert told <= found[-1] <= told + 3, "the last append may have been killed before it returned"
        assert reading.skipped <= 1
