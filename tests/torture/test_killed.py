"""kill -9 of what looks after the jobs: of one half of `zap run`, of the other, of both; of the runner in the
background, of its keeper, of both. Nobody is left whom nobody looks after, and who is looked after goes on.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.survivors import everybody, keeper_of, kill_all, living, read, runner_below, runner_of, wait_gone
from tests.torture.test_ending import KINDS, ZOO, check, wait_jobs, write
from tests.zap import DEADLINE, Zap, wait_until

PLAIN = [f"{program}-{kind}" for program in ("ignores_term", "setsid_grandchild", "daemon") for kind in KINDS]
ONE_BOMB = [job for job in ZOO if job != "bomb-terminal"]
NO_BOMB = [job for job in ZOO if not job.startswith("bomb")]
BY_TAG = [job for job in ONE_BOMB if not (job.startswith("hides") and job.endswith("terminal"))]
"""Of whom somebody stays who tells whose they are, which of those that hide ends with its terminal."""


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    kill_all(tmp_path)


def kill(*pids: int) -> None:
    """All of them before any of them can do anything about it."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def up(zap: Zap, *arguments: str) -> None:
    done = zap.run("up", "--no-wait", *arguments)
    assert done.returncode == 0, done.stderr


def wait_runner(zap: Zap, *others: int) -> int:
    """Until a runner answers that is none of these."""
    found: list[int | None] = [None]

    def is_there() -> bool:
        found[0] = runner_of(zap)
        return found[0] not in (None, *others)

    wait_until(is_there, "another runner")
    assert found[0]
    return found[0]


def wait_both(zap: Zap) -> tuple[int, int]:
    runner = wait_runner(zap)
    keeper = keeper_of(zap)
    assert keeper
    return runner, keeper


def in_background(zap: Zap, jobs: list[str]) -> tuple[dict[str, str], int, int]:
    """Who lives of these jobs once they are up, and the runner and the keeper that look after them."""
    write(zap, jobs)
    up(zap)
    wait_jobs(zap, jobs)
    return living(zap.folder), *wait_both(zap)


def wait_keeper(zap: Zap, other: int) -> None:
    """Until the runner has a keeper that is not that one, who is gone."""
    wait_until(lambda: keeper_of(zap) not in (None, other, 1), "another keeper")


def witness(zap: Zap, jobs: list[str]) -> None:
    """Another job of the plan, which writes down who of the others lives when it starts."""
    (zap.folder / "witness").mkdir()
    pids = shlex.join(f"{zap.folder}/{job}/pids" for job in jobs)
    lives = "grep -qs ') [^ZX] ' /proc/${mark%.*}/stat"
    look = f'for mark in $(ls {pids} | grep "[.]"); do {lives} && echo $mark; done'
    plan = json.loads((zap.folder / "jobs.yaml").read_text())
    plan["systems"]["s"]["witness"] = {"commands": [f"{{ {look}; echo over; }} >seen"], "cwd": "witness"}
    zap.write(json.dumps(plan))


def seen(zap: Zap) -> list[str]:
    zap.wait_file("witness/seen")
    wait_until(lambda: (zap.folder / "witness/seen").read_text().endswith("over\n"), "the witness")
    return (zap.folder / "witness/seen").read_text().splitlines()[:-1]


# zap run


@pytest.mark.parametrize("who", ["whom the person started", "the other one"])
def test_a_zap_run_that_is_killed_by_half_leaves_nobody(zap: Zap, who: str) -> None:
    write(zap, ONE_BOMB)
    with zap.start("run", "--quiet") as process:
        wait_jobs(zap, ONE_BOMB)
        victim = process.pid if who == "whom the person started" else runner_below(process.pid)
        killed = time.monotonic()
        kill(victim)
        gone = wait_gone(zap.folder, killed)
        assert process.wait(DEADLINE) != 0
    wait_until(lambda: not [one for one in everybody() if one.parent == victim or one.pid == victim], "both to end")
    check(gone)


def test_what_a_zap_run_leaves_that_was_killed_as_a_whole_is_ended_by_the_next_before_it_starts(zap: Zap) -> None:
    write(zap, BY_TAG)
    with zap.start("run", "--quiet") as process:
        wait_jobs(zap, BY_TAG)
        kill(process.pid, runner_below(process.pid))
        process.wait(DEADLINE)
    assert living(zap.folder)
    witness(zap, BY_TAG)
    done = zap.run("run", "--quiet", "witness")
    assert done.returncode == 0
    assert done.stderr.endswith("left behind by a runner that is gone: ended\n")
    assert seen(zap) == []
    assert not living(zap.folder)


# In the background


def test_a_runner_that_is_killed_is_followed_by_another_and_the_jobs_go_on(zap: Zap) -> None:
    before, runner, keeper = in_background(zap, NO_BOMB)
    kill(runner)
    wait_runner(zap, runner)
    assert keeper_of(zap) == keeper
    assert living(zap.folder).items() >= before.items()
    zap.end()
    assert not living(zap.folder)


def test_a_keeper_that_is_killed_is_followed_by_another_and_the_jobs_go_on(zap: Zap) -> None:
    before, runner, keeper = in_background(zap, NO_BOMB)
    kill(keeper)
    wait_until(lambda: (line := read(runner)) and line.parent != keeper, "the keeper to be gone")
    wait_keeper(zap, keeper)
    assert living(zap.folder).items() >= before.items()
    zap.end()
    assert not living(zap.folder)


def test_runner_and_keeper_can_be_killed_in_turns(zap: Zap) -> None:
    """Then nobody is the parent of the first jobs any more who ever was."""
    before, _, _ = in_background(zap, PLAIN)
    for _ in range(2):
        runner, keeper = wait_both(zap)
        kill(runner)
        wait_runner(zap, runner)
        kill(keeper)
        wait_keeper(zap, keeper)
    assert living(zap.folder) == before
    zap.end()
    assert not living(zap.folder)


def test_what_both_leave_is_ended_by_the_next_before_it_starts_anything(zap: Zap) -> None:
    _, runner, keeper = in_background(zap, BY_TAG)
    kill(runner, keeper)
    wait_until(lambda: runner_of(zap) is None, "both to be gone")
    assert living(zap.folder)
    witness(zap, BY_TAG)
    up(zap, "witness")
    assert seen(zap) == []
    assert not living(zap.folder)
    zap.end()
