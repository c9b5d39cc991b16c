"""The runner is killed, the keeper is killed, both are: jobs go on, and nothing of what they say is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.programs import SETSID_ESCAPES, python
from tests.served import own_zap, reach
from tests.zap import DEADLINE, Zap, facts, is_alive, wait_until, working_in
from zap import paths

COUNTS = python(
    "import itertools, os, time\n"
    "for n in itertools.count(1):\n"
    "    print('line', n, flush=n % 20 == 0)\n"
    "    if n % 20 == 0:\n"
    "        if os.path.exists('stop'): break\n"
    "        time.sleep(.01)\n"
    "print('end', flush=True)"
)
"""Lines with their number, some hundreds in a second, until there is a file `stop`."""

SLEEPS = """
systems:
  s:
    j: exec sleep 1000
    k: {commands: exec sleep 1000, tty: false}
"""
ENDS = """
systems:
  s:
    code: {commands: 'while [ ! -e go ]; do sleep 0.02; done; echo last; exit 7', restart: never}
    signal: {commands: 'while [ ! -e go ]; do sleep 0.02; done; kill -s KILL $$', restart: never, tty: false}
"""


ESCAPES = json.dumps(f"({SETSID_ESCAPES}); exec sleep 1000")
BOTH = f"defaults: {{tty: false}}\nsystems: {{s: {{j: exec sleep 1000, k: {{commands: [{ESCAPES}]}}}}}}"
"""Three processes that stay, of which one hides; `k` tells its pid."""

FAILED = {"s/code": {"code": 7}, "s/signal": {"signal": "KILL"}}


pytestmark = pytest.mark.usefixtures("nobody_is_left")


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


def up(zap: Zap, plan: str, *arguments: str) -> str:
    """What it complains of."""
    zap.write(plan)
    done = zap.run("up", *arguments)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    return done.stderr


def down(zap: Zap) -> None:
    done = zap.run("down", "--now")
    left = working_in(zap.folder)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert not left


def rows(zap: Zap) -> dict[str, dict[str, Any]]:
    with reach(zap) as line:
        jobs = {job.name for job in line.plan().jobs}
        told: dict[str, Any] = {}
        for event in line.follow():
            told[event["job"]] = event["row"]
            if told.keys() == jobs:
                break
        return told


def happened(zap: Zap) -> list[dict[str, Any]]:
    """Every event that is remembered."""
    done = zap.run("events", "--all", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def said(zap: Zap, job: str) -> list[str]:
    """The job's own lines; the runner's log says whether some are gone."""
    with reach(zap) as line:
        tail = line.tail(job, 0, 1_000_000)
        assert not tail.dropped
        return [told.text.decode() for told in tail.lines if told.stream != "zap"]


def runner(zap: Zap) -> int:
    with reach(zap) as line:
        return line.hello.pid


def keeper(zap: Zap) -> int:
    return psutil.Process(runner(zap)).ppid()


def kill_runner(zap: Zap) -> int:
    """And the pid of the next one, once it answers."""
    before = runner(zap)
    os.kill(before, signal.SIGKILL)
    return next_runner(zap, before)


def next_runner(zap: Zap, before: int) -> int:
    wait_until(lambda: zap.runner() not in (None, before), "another runner")
    return runner(zap)


def log(zap: Zap) -> str:
    return Path(paths.log_file(zap.env, paths.plan_id(str(zap.folder / "jobs.yaml")))).read_text()


@contextlib.contextmanager
def following(zap: Zap, *arguments: str) -> Iterator[Path]:
    """A `zap` that goes on until the runner ends; the file that it prints to."""
    path = zap.folder / f"{arguments[0]}.said"
    with path.open("wb") as file:
        argv = [sys.executable, "-m", "zap", *arguments]
        process = subprocess.Popen(argv, cwd=zap.folder, env=zap.env, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: path.stat().st_size, f"{' '.join(arguments)} to begin")
        yield path
        assert process.wait(DEADLINE) == 0, path.read_text()[-1000:]
    finally:
        process.kill()
        process.wait()


# The runner is killed.


def test_jobs_go_on_and_every_line_is_there(zap: Zap) -> None:
    zap.env["ZAP_CRASHES"] = "10"
    job = "{{commands: [{}], buffer: {{lines: 1000000}}, tty: {}}}"
    text = json.dumps(COUNTS)
    jobs = f"    t: {job.format(text, 'true')}\n    p: {job.format(text, 'false')}\n"
    up(zap, f"systems:\n  s:\n{jobs}")
    before = rows(zap)
    with following(zap, "logs", "-f", "--no-prefix", "s/p") as logs, following(zap, "events", "-f", "--json") as told:
        runners = [runner(zap), *(kill_runner(zap) for _ in range(3))]
        during = rows(zap)
        (zap.folder / "stop").touch()
        wait_until(lambda: all(row["state"] == "done" for row in rows(zap).values()), "the jobs to end")
        after = rows(zap)
        lines = {job: said(zap, job) for job in after}
        everything = happened(zap)
        down(zap)
    assert len(set(runners)) == 4
    for job, heard in lines.items():
        assert (during[job]["pid"], after[job]["epoch"]) == (before[job]["pid"], 1)
        assert heard == [*(f"line {n}" for n in range(1, len(heard))), "end"], job
        assert len(heard) > 100
        assert after[job]["exit"] == {"code": 0}
    took = facts(everything, "took_over")
    assert [fact["pid"] for fact in took] == runners[1:]
    assert {fact["why"] for fact in took} == {"the runner before ended by signal 9"}
    numbers = [item["n"] for item in everything]
    assert numbers == sorted(set(numbers))
    followed = [json.loads(line) for line in told.read_text().splitlines()]
    assert [fact["pid"] for fact in facts(followed, "took_over")] == runners[1:]
    numbers = [item["n"] for item in followed if "n" in item]
    assert numbers == sorted(set(numbers))
    seen = [line for line in logs.read_text().splitlines() if line.startswith(("line", "end"))]
    assert seen == lines["s/p"]


def test_how_a_job_ended_while_nobody_was_there(zap: Zap) -> None:
    up(zap, ENDS, "--no-wait")
    pids = {job: row["pid"] for job, row in rows(zap).items()}
    keeps = keeper(zap)
    os.kill(keeps, signal.SIGSTOP)  # so that the next runner begins only when they have ended
    os.kill(runner(zap), signal.SIGKILL)
    (zap.folder / "go").touch()
    wait_until(lambda: not any(map(is_alive, pids.values())), "the jobs to end")
    os.kill(keeps, signal.SIGCONT)
    wait_until(lambda: {row["state"] for row in rows(zap).values()} == {"failed"}, "their ends to be told")
    assert {job: row["exit"] for job, row in rows(zap).items()} == FAILED
    assert said(zap, "s/code") == ["last"]
    told = happened(zap)
    assert sorted((fact["job"], fact["epoch"]) for fact in facts(told, "exited")) == [("s/code", 1), ("s/signal", 1)]
    down(zap)


def test_how_a_job_ends_that_was_another_runners(zap: Zap) -> None:
    up(zap, ENDS, "--no-wait")
    kill_runner(zap)
    (zap.folder / "go").touch()
    wait_until(lambda: {row["state"] for row in rows(zap).values()} == {"failed"}, "the jobs to end")
    assert {job: row["exit"] for job, row in rows(zap).items()} == FAILED
    assert said(zap, "s/code") == ["last"]
    down(zap)


def test_a_backoff_and_its_tries_survive(zap: Zap) -> None:
    tries = "tries: 2, backoff: {first: 1s, jitter: 0}"
    up(zap, f"systems: {{s: {{j: {{commands: exit 3, restart: on-failure, {tries}}}}}}}", "--no-wait")
    wait_until(lambda: rows(zap)["s/j"]["state"] == "backoff", "the backoff")
    kill_runner(zap)
    wait_until(lambda: rows(zap)["s/j"]["state"] == "failed", "it to give up")
    told = happened(zap)
    spawned, exited = facts(told, "spawned"), facts(told, "exited")
    assert [fact["epoch"] for fact in spawned] == [1, 2]
    assert spawned[1]["at"] - exited[0]["at"] == pytest.approx(1.0, abs=0.5)
    assert "gave up after 2 tr" in rows(zap)["s/j"]["why"]
    down(zap)


def test_who_waits_goes_on_waiting(zap: Zap) -> None:
    up(
        zap,
        """
        systems:
          s:
            first: {commands: 'while [ ! -e go ]; do sleep 0.02; done; echo up; exec sleep 1000', ready: {line: up}}
            second: {commands: echo fine, needs: first}
        """,
        "--no-wait",
    )
    wait_until(lambda: rows(zap)["s/second"]["state"] == "waiting", "it to wait")
    kill_runner(zap)
    assert rows(zap)["s/second"]["state"] == "waiting"
    (zap.folder / "go").touch()
    wait_until(lambda: rows(zap)["s/second"]["state"] == "done", "it to be done")
    assert rows(zap)["s/first"]["epoch"] == 1
    down(zap)


def test_the_tries_of_a_fixup_are_not_given_anew(zap: Zap) -> None:
    zap.write(
        """\
        about: it goes boom
        match: {exit: 1}
        run: ['true']
        mode: auto
        tries: 1 in 1h
        """,
        "fixups/boom.yaml",
    )
    waits = "if [ -e first ]; then while [ ! -e go ]; do sleep 0.02; done; fi; touch first; echo boom; exit 1"
    up(zap, f"systems: {{s: {{j: {{commands: [{json.dumps(waits)}], restart: never}}}}}}", "--no-wait")
    wait_until(lambda: rows(zap)["s/j"]["epoch"] == 2, "the remedy to have helped")
    kill_runner(zap)
    (zap.folder / "go").touch()
    wait_until(lambda: rows(zap)["s/j"]["state"] == "failed", "it to fail for good")
    told = happened(zap)
    assert [len(facts(told, event)) for event in ("fix_started", "gave_up", "spawned")] == [1, 1, 2]
    down(zap)


def test_a_line_without_an_end_goes_on_where_it_was(zap: Zap) -> None:
    asks = "printf 'name? '; read name; echo hello $name"
    up(zap, f"systems: {{s: {{j: {{commands: [{json.dumps(asks)}]}}}}}}", "--no-wait")
    wait_until(lambda: said(zap, "s/j") == ["name? "], "the question")
    kill_runner(zap)
    assert said(zap, "s/j") == ["name? "]
    assert zap.run("send", "s/j", "ann").returncode == 0
    wait_until(lambda: rows(zap)["s/j"]["state"] == "done", "the answer to be heard")
    assert said(zap, "s/j") == ["name? ann", "hello ann"]
    down(zap)


# The keeper is killed.


def test_there_is_a_keeper_again(zap: Zap) -> None:
    up(zap, SLEEPS)
    before = rows(zap)
    for _ in range(2):
        old = keeper(zap)
        os.kill(old, signal.SIGKILL)
        wait_until(lambda old=old: keeper(zap) not in (old, 1), "another keeper")  # type: ignore[misc]
        assert {job: row["pid"] for job, row in rows(zap).items()} == {job: row["pid"] for job, row in before.items()}
    assert "the keeper was killed, and the runner has taken its place" in {
        fact["why"] for fact in facts(happened(zap), "took_over")
    }
    kill_runner(zap)  # the new one does what the old one did
    assert {job: (row["pid"], row["state"]) for job, row in rows(zap).items()} == {
        job: (row["pid"], "ready") for job, row in before.items()
    }
    down(zap)


def test_how_a_job_ended_that_is_nobodys_child_any_more_is_what_its_shell_has_told(zap: Zap) -> None:
    """First the runner that has started it is killed, and then the keeper that has inherited it."""
    told = "{commands: ['while [ ! -e go ]; do sleep 0.02; done', sh -c 'exit 6'], restart: never}"
    up(zap, f"{ENDS}    told: {told}\n", "--no-wait")
    kill_runner(zap)
    old = keeper(zap)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: keeper(zap) not in (old, 1), "another keeper")
    (zap.folder / "go").touch()
    wait_until(lambda: {row["state"] for row in rows(zap).values()} == {"failed"}, "the jobs to end")
    unseen = {"code": 127, "cause": "unseen"}  # a shell that is killed, or leaves by `exit`, tells nothing
    assert {job: row["exit"] for job, row in rows(zap).items()} == {
        "s/told": {"code": 6},
        "s/code": unseen,
        "s/signal": unseen,
    }
    done = zap.run("ps")
    assert "nobody saw how" in done.stdout, done
    down(zap)


# Both are killed.


def test_what_both_have_left_is_ended_before_anything_starts(zap: Zap) -> None:
    up(zap, BOTH, "--no-wait")
    wait_until(lambda: len(said(zap, "s/k")) == 1, "it to have escaped")
    escaped = int(said(zap, "s/k")[0])
    left = {*(row["pid"] for row in rows(zap).values()), escaped}
    pids = [keeper(zap), runner(zap)]
    os.kill(pids[0], signal.SIGSTOP)  # nobody takes a place meanwhile
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, pids)), "them to end")
    assert is_alive(escaped)
    up(zap, BOTH, "--no-wait")
    assert not any(map(is_alive, left))
    (told,) = facts(happened(zap), "left")
    assert sorted(told["jobs"]) == ["s/j", "s/k"]
    assert told["processes"] >= len(left)
    assert {row["epoch"] for row in rows(zap).values()} == {1}
    down(zap)


# A runner that does not stay.


def test_the_third_kill_within_a_minute_ends_everything(zap: Zap) -> None:
    up(zap, BOTH, "--no-wait")
    wait_until(lambda: len(said(zap, "s/k")) == 1, "it to have escaped")
    for _ in range(2):
        kill_runner(zap)
    os.kill(runner(zap), signal.SIGKILL)
    wait_until(lambda: not working_in(zap.folder), "all to be ended")
    assert "3 runners ended within a minute" in log(zap)
    up(zap, SLEEPS)  # and nothing is in the way of a new beginning
    down(zap)


# Another zap.


def test_an_upgrade_keeps_the_jobs(zap: Zap) -> None:
    up(zap, SLEEPS)
    before = rows(zap)
    pids = [keeper(zap), runner(zap)]
    done = zap.run("upgrade", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pid"] == runner(zap) != pids[1]
    assert keeper(zap) == pids[0]  # the same process, of the new program
    assert {job: (row["pid"], row["state"]) for job, row in rows(zap).items()} == {
        job: (row["pid"], "ready") for job, row in before.items()
    }
    assert "an upgrade was asked for by" in facts(happened(zap), "took_over")[0]["why"]
    for _ in range(2):  # it was no crash: two are still allowed
        kill_runner(zap)
    down(zap)


# In the foreground.


@pytest.mark.parametrize("who", ["guard", "runner"])
def test_zap_run_leaves_nobody_whoever_of_it_is_killed(zap: Zap, who: str) -> None:
    zap.write(BOTH)
    with zap.start("run") as process:
        assert process.stdout
        while "s/k" not in (said := process.stdout.readline()) or not said.split()[-1].isdigit():
            assert said
        (inner,) = [child.pid for child in psutil.Process(process.pid).children() if "zap" in child.cmdline()]
        os.kill(process.pid if who == "guard" else inner, signal.SIGKILL)
        wait_until(lambda: not working_in(zap.folder), "all to be ended")
        assert process.wait(DEADLINE) in (-9, 128 + 9)


def test_one_press_of_a_key_for_all_of_the_group_counts_once(zap: Zap) -> None:
    stubborn = "trap 'echo asked >> asked' INT TERM; echo > ready; while :; do sleep 0.02; done"
    zap.write(f"systems: {{s: {{j: {{commands: [{json.dumps(stubborn)}], grace: 1000}}}}}}")
    argv = [sys.executable, "-m", "zap", "run"]
    process = subprocess.Popen(
        argv, cwd=zap.folder, env=zap.env, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    try:
        wait_until((zap.folder / "ready").exists, "the job")
        os.killpg(process.pid, signal.SIGINT)
        wait_until((zap.folder / "asked").exists, "the job to be asked")
        with pytest.raises(subprocess.TimeoutExpired):  # it would be over if the first had counted twice
            process.wait(0.5)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.communicate()
    assert not working_in(zap.folder)
