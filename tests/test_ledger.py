"""Nothing more can be written down for a next runner: a real limit of file sizes makes every write of it fail."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import own_zap
from tests.test_keeper import COUNTS, down, happened, log, next_runner, reach, rows, runner, up
from tests.zap import Zap, facts, wait_until, working_in

PLAN = json.dumps({"systems": {"s": {kind: {"commands": [COUNTS], "tty": kind == "t"} for kind in ("p", "t")}}})
JOBS = ["s/p", "s/t"]
KEEPING = "what is kept for a runner that takes over"


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield own_zap(tmp_path)
    for pid in working_in(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def numbers(zap: Zap, job: str) -> list[int]:
    """That the job has said, and the runner has."""
    with reach(zap) as line:
        tail = line.tail(job, 0, 1_000_000)
        return [int(told.text.split()[1]) for told in tail.lines if told.text.startswith(b"line ") and not told.is_open]


def has_more(zap: Zap, job: str, than: int = 100) -> bool:
    """And none is missing among them."""
    said = numbers(zap, job)
    assert said == list(range(said[0], said[-1] + 1)) if said else True
    return bool(said) and said[-1] > said[0] + than


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
    use_up(zap)
    before = {job: numbers(zap, job)[-1] for job in JOBS}
    wait_until(lambda: all(numbers(zap, job)[-1] > before[job] + 100 for job in JOBS), "more lines")
    assert all(has_more(zap, job) for job in JOBS)
    resource.prlimit(first, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: has(zap, "recovered"), "the runner to keep all again")
    assert runner(zap) == first
    os.kill(first, signal.SIGKILL)
    next_runner(zap, first)
    wait_until(lambda: all(has_more(zap, job) for job in JOBS), "lines of the next runner")
    assert {job: row["pid"] for job, row in rows(zap).items()} == pids
    assert [fact["what"] for fact in facts(happened(zap), "degraded")].count(KEEPING) == 1
    down(zap)
    assert "Traceback" not in log(zap)


def test_who_takes_over_where_nothing_could_be_kept_goes_on_from_what_was_there(zap: Zap) -> None:
    up(zap, PLAN)
    pids = {job: row["pid"] for job, row in rows(zap).items()}
    use_up(zap)
    before = {job: numbers(zap, job)[-1] for job in JOBS}
    wait_until(lambda: all(numbers(zap, job)[-1] > before[job] + 100 for job in JOBS), "more lines")
    first = runner(zap)
    os.kill(first, signal.SIGKILL)
    next_runner(zap, first)
    wait_until(lambda: all(numbers(zap, job)[-1] > before[job] + 1000 for job in JOBS), "lines of the next runner")
    assert {job: row["pid"] for job, row in rows(zap).items()} == pids
    down(zap)
    assert "Traceback" not in log(zap)
