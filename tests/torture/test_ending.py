"""Whatever does not want to end, however it hides and however it is asked: nobody is left, and it takes the grace and a
second at most. Who is left is told by marks that the programs leave, not by what zap believes.

(A last line without a newline and a prompt are also in tests/test_stop.py, tests/test_run.py and tests/test_verbs.py.)
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.torture.programs import BOMB_MOST, ENDLESS, SWARM, command
from tests.torture.survivors import Gone, kill_all, living, wait_gone, wait_up
from tests.zap import DEADLINE, Zap, lines, wait_until

GRACE = 0.5
MOST = GRACE + 1.0  # seconds from asking to the last end
BY_HAND = 0.5  # seconds that a command takes to start and to ask
UP = {"bomb": BOMB_MOST, "swarm": SWARM, "ignores_term": 2, "leader_exits": 2, "setsid_grandchild": 3, "daemon": 2}
UP |= {"hides": 2, "hides_for_good": 2}
"""How many there are when it is up; one where nothing is said."""
KINDS = ("terminal", "pipe")
ZOO = [f"{program}-{kind}" for program in ENDLESS for kind in KINDS]


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    kill_all(tmp_path)


def write(zap: Zap, jobs: Iterable[str], **settings: Any) -> None:
    """A plan of these jobs, each in a folder of its own; they are called PROGRAM-KIND, or PROGRAM-KIND-NUMBER."""
    plan = {}
    for job in jobs:
        program, kind, *_ = job.split("-")
        (zap.folder / job).mkdir()
        plan[job] = {"commands": [command(program)], "tty": kind == "terminal", "cwd": job, "grace": GRACE} | settings
    zap.write(json.dumps({"systems": {"s": plan}}))


def wait_jobs(zap: Zap, jobs: Iterable[str]) -> None:
    for job in jobs:
        wait_up(zap.folder, [job], UP.get(job.partition("-")[0], 1))


def check(gone: Gone, most: float = MOST) -> None:
    assert gone.seconds < most + gone.allowance


def end(zap: Zap, process: subprocess.Popen[str], number: signal.Signals) -> None:
    """By a signal to `zap run`, which ends no sooner than everybody else."""
    assert living(zap.folder)
    asked = time.monotonic()
    process.send_signal(number)
    gone = wait_gone(zap.folder, asked)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + number
    assert not living(zap.folder)  # nor was anybody born since
    check(gone)


def ask(zap: Zap, *arguments: str, ended: Container[str] | None = None) -> Gone:
    """By another command, which returns no sooner than those jobs, or all, have ended."""
    asked = time.monotonic()
    with zap.start(*arguments) as process:
        gone = wait_gone(zap.folder, asked, ended)
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
    return gone


@pytest.mark.parametrize("program", ENDLESS)
def test_nobody_is_left_of_one_alone(zap: Zap, program: str) -> None:
    jobs = [f"{program}-{kind}" for kind in KINDS]
    write(zap, jobs)
    with zap.start("run", "--quiet") as process:
        wait_jobs(zap, jobs)
        end(zap, process, signal.SIGTERM)


def test_nobody_is_left_of_all_at_once_after_ctrl_c(zap: Zap) -> None:
    write(zap, ZOO)
    with zap.start("run", "--quiet") as process:
        wait_jobs(zap, ZOO)
        end(zap, process, signal.SIGINT)


def test_nobody_is_left_of_fifty_jobs_that_were_not_all_up(zap: Zap) -> None:
    jobs = [f"{job}-{number}" for number in range(3) for job in ZOO if not job.startswith("bomb")][:50]
    write(zap, jobs)
    with zap.start("run", "--quiet") as process:
        wait_jobs(zap, jobs[:1])
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        gone = wait_gone(zap.folder, asked)
        process.communicate(timeout=DEADLINE)
        assert not living(zap.folder)  # nor was anybody born since
    assert process.returncode == 143
    check(gone)


def test_nobody_is_left_of_a_job_that_was_stopped_while_others_go_on(zap: Zap) -> None:
    """Without control groups, also who has hidden before anybody looked: by its mark alone (`census.mark`)."""
    write(zap, [*ZOO, "ignores_term-pipe-on"])
    done = zap.run("up")
    assert done.returncode == 0, done.stderr
    try:
        wait_jobs(zap, ZOO)
        others = {mark for mark, job in living(zap.folder).items() if job not in ZOO}
        check(ask(zap, "stop", *(f"s/{job}" for job in ZOO), ended=ZOO), MOST + BY_HAND)
        assert living(zap.folder).keys() == others
        check(ask(zap, "down"), MOST + BY_HAND)
    finally:
        zap.run("down", "--now")


def test_nobody_is_left_of_who_left_by_itself(zap: Zap) -> None:
    """While zap goes on: the shell has ended, and whoever is left of its group has the grace."""
    jobs = [f"leader_exits_at_once-{kind}" for kind in KINDS]
    write(zap, [*jobs, "ignores_term-pipe"])
    with zap.start("run", "--json") as process:
        wait_jobs(zap, [*jobs, "ignores_term-pipe"])
        asked = time.monotonic()
        check(wait_gone(zap.folder, asked, jobs))
        assert process.poll() is None
        end(zap, process, signal.SIGTERM)


def test_last_words_without_a_newline_are_kept(zap: Zap) -> None:
    jobs = [f"says_last_words-{kind}" for kind in KINDS]
    write(zap, jobs, grace=1000)
    with zap.start("run", "--json") as process:
        wait_jobs(zap, jobs)
        process.send_signal(signal.SIGTERM)
        told = [json.loads(line) for line in process.communicate(timeout=DEADLINE)[0].splitlines()]
    for job in jobs:
        assert lines(told, f"s/{job}", "out") == ["ready", "last words"]


def test_a_prompt_is_visible_while_it_waits(zap: Zap) -> None:
    write(zap, ["asks-terminal"])
    done = zap.run("up", "--no-wait")
    assert done.returncode == 0, done.stderr
    try:
        wait_jobs(zap, ["asks-terminal"])
        wait_until(lambda: zap.run("logs", "--no-prefix", "--stream", "out").stdout == "Your name: \n", "the prompt")
        assert zap.run("send", "s/asks-terminal", "Anna").returncode == 0
        wait_until(lambda: "hello, Anna\n" in zap.run("logs", "--no-prefix").stdout, "the answer")
    finally:
        zap.end()
    assert not living(zap.folder)
