"""Nothing more can be written down for a next runner: a real limit of file sizes makes every write of it fail."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path

import pytest

from tests.served import own_zap, reach
from tests.test_keeper import COUNTS, down, happened, log, next_runner, rows, runner, up
from tests.zap import Zap, facts, wait_until

PLAN = json.dumps({"systems": {"s": {kind: {"commands": [COUNTS], "tty": kind == "t"} for kind in ("p", "t")}}})
JOBS = ["s/p", "s/t"]
KEEPING = "what is kept for a runner that takes over"


pytestmark = pytest.mark.usefixtures("nobody_is_left")


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


class Counts:
    """Whoever reads what a job counts, and finds that no number is missing."""

    def __init__(self, zap: Zap, job: str) -> None:
        self._zap = zap
        self._job = job
        self._since = 0
        self.last: int | None = None

    def goes_on(self, least: int = 100) -> None:
        """For so many numbers, from wherever it is."""
        first = self.last or 0

        def has_more() -> bool:
            with reach(self._zap) as line:
                tail = line.tail(self._job, self._since, 1_000_000)
            self._since = tail.next
            for text in [told.text for told in tail.lines if told.stream == "out" and not told.is_open]:
                number = int(text.split()[1])
                assert self.last in (None, number - 1)
                self.last = number
            return (self.last or 0) > first + least

        wait_until(has_more, f"more of {self._job}")

    def begin_anew(self) -> None:
        """Behind the next line, of which a part may be missing."""
        with reach(self._zap) as line:
            before = line.tail(self._job, 0, 1_000_000).next
            wait_until(lambda: line.tail(self._job, before).next > before, "the end of a line")
        self._since, self.last = before + 1, None


def has(zap: Zap, event: str) -> bool:
    return any(fact["what"] == KEEPING for fact in facts(happened(zap), event))


def use_up(zap: Zap) -> None:
    """From now on no file of the runner can be longer than it is."""
    resource.prlimit(runner(zap), resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    wait_until(lambda: has(zap, "degraded"), "the runner to say so")


def test_where_nothing_can_be_kept_the_jobs_go_on_and_later_all_is_kept_again(zap: Zap) -> None:
    up(zap, PLAN)
    first = runner(zap)
    pids = {job: row["pid"] for job, row in rows(zap).items()}
    counts = [Counts(zap, job) for job in JOBS]
    use_up(zap)
    for count in counts:
        count.goes_on()
    resource.prlimit(first, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: has(zap, "recovered"), "the runner to keep all again")
    for count in counts:
        count.goes_on()
    os.kill(first, signal.SIGKILL)
    next_runner(zap, first)
    for count in counts:
        count.goes_on()
    assert {job: row["pid"] for job, row in rows(zap).items()} == pids
    assert [fact["what"] for fact in facts(happened(zap), "degraded")].count(KEEPING) == 1
    down(zap)
    assert "Traceback" not in log(zap)


def test_who_takes_over_where_nothing_could_be_kept_goes_on_from_what_was_there(zap: Zap) -> None:
    """And with other numbers of events than those who watch have met already, so that they hear of it."""
    up(zap, PLAN)
    pids = {job: row["pid"] for job, row in rows(zap).items()}
    counts = [Counts(zap, job) for job in JOBS]
    with reach(zap) as watching:
        news = watching.follow(0)
        use_up(zap)
        for count in counts:
            count.goes_on()
        first = runner(zap)
        os.kill(first, signal.SIGKILL)
        next_runner(zap, first)
        for count in counts:
            count.begin_anew()
            count.goes_on()
        assert {job: row["pid"] for job, row in rows(zap).items()} == pids
        last = 0
        for event in news:
            assert event["n"] >= last
            last = event["n"]
            if event["event"] == "took_over":
                break
        assert event["why"] == "the runner before ended by signal 9"
    down(zap)
    assert "Traceback" not in log(zap)
