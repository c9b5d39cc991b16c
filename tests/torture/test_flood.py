"""The runner is killed in the middle of floods of numbered lines, again and again: none is missing, none comes twice.

ZAP_TORTURE_KILLS says how often, instead of the few times that a run of all tests has time for.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.programs import FLOOD_LINES, command
from tests.torture.survivors import kill_all, living, wait_up
from tests.torture.test_killed import kill, wait_runner
from tests.zap import DEADLINE, Zap
from zap import dial

KILLS = int(os.environ.get("ZAP_TORTURE_KILLS") or 4)
BOUND = {"lines": 2 * FLOOD_LINES, "bytes": "64MiB"}  # those of one burst are read before those of the next are there
EARLIEST, STEP, STEPS = 0.002, 0.004, 8  # seconds from the beginning of a burst to a kill: one of so many
PAGE = 10_000  # lines fetched at once


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    zap = Zap(tmp_path)
    zap.env["ZAP_CRASHES"] = str(KILLS + 1)
    yield zap
    kill_all(tmp_path)


class Reader:
    """Of the lines of a job, which count from 1, each number once; what zap says among them has a stream of its own."""

    def __init__(self, zap: Zap, job: str) -> None:
        self._zap = zap
        self._job = job
        self._since = 0
        self.last = 0

    def read(self, last: int) -> None:
        """Up to that number."""
        until = time.monotonic() + DEADLINE
        line = dial.reach(self._zap.place)
        assert line
        with line:
            while self.last < last:
                tail = line.tail(self._job, self._since, PAGE)
                assert not tail.dropped
                self._since = tail.next
                for told in tail.lines:
                    if told.stream == "out" and not told.is_open:
                        assert int(told.text) == self.last + 1
                        self.last += 1
                assert time.monotonic() < until, f"{self.last} lines of {last}"


@pytest.mark.timeout(120 + 10 * KILLS)
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_not_a_line_is_missing_and_none_comes_twice_however_often_the_runner_is_killed(zap: Zap, kind: str) -> None:
    (zap.folder / kind).mkdir()
    job = {"commands": [command("flood")], "tty": kind == "terminal", "cwd": kind, "buffer": BOUND, "grace": 0.1}
    zap.write(json.dumps({"systems": {"s": {kind: job}}}))
    assert zap.run("up", "--no-wait").returncode == 0
    wait_up(zap.folder, [kind])
    before = living(zap.folder)
    [flood] = [int(mark.partition(".")[0]) for mark in before]
    reader = Reader(zap, f"s/{kind}")
    runner = wait_runner(zap)
    for number in range(KILLS):
        os.kill(flood, signal.SIGUSR1)
        time.sleep(EARLIEST + number % STEPS * STEP)
        kill(runner)
        reader.read((number + 1) * FLOOD_LINES)
        runner = wait_runner(zap, runner)
    assert living(zap.folder) == before
    zap.end()
