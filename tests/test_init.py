"""`zap init` as the first process of a container, which a namespace of processes is as well."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.programs import DOUBLE_FORKS
from tests.served import own_zap
from tests.zap import DEADLINE, Zap, facts, lines, wait_until

pytestmark = [
    pytest.mark.real("unshare"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root may have a namespace of processes"),
]
APART = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


class Container:
    def __init__(self, zap: Zap, process: subprocess.Popen[str]) -> None:
        self._zap = zap
        self.process = process

    @property
    def first(self) -> psutil.Process:
        """Its process 1, as we see it from without."""
        (first,) = psutil.Process(self.process.pid).children()
        return first

    @property
    def runner(self) -> int | None:
        """While it has one."""
        for child in self.first.children():
            with contextlib.suppress(psutil.Error):
                if "zap" in child.cmdline():
                    return child.pid
        return None

    def end(self) -> tuple[list[dict[str, object]], int]:
        """What it has told, once it has ended, and its code."""
        said, _ = self.process.communicate(timeout=DEADLINE)
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")], self.process.returncode


@contextlib.contextmanager
def container(zap: Zap, plan: str) -> Iterator[Container]:
    path = zap.write(plan)
    process = zap.spawn(*APART, sys.executable, "-m", "zap", "init", "--json", str(path))
    try:
        yield Container(zap, process)
    finally:
        process.kill()  # and with it, by --kill-child, all of the namespace
        process.communicate()


def test_it_ends_with_its_jobs_and_with_their_code(zap: Zap) -> None:
    with container(zap, "systems: {s: {good: echo fine, bad: exit 7}}") as box:
        told, code = box.end()
    assert code == 7
    assert lines(told, "s/good", "out") == ["fine"]
    assert facts(told, "closed")[0]["left"] == 0


def test_it_is_process_1_and_reaps_orphans(zap: Zap) -> None:
    orphan = "sh -c '(sleep 0.1; echo $$ > orphan) & echo $$'; while [ ! -e orphan ]; do sleep 0.02; done"
    dead = 'ps -e -o stat= | grep -c Z > dead; [ "$(cat dead)" = 0 ]'
    wait = f"n=0; until {dead}; do n=$((n + 1)); [ $n -lt 200 ] || exit 9; sleep 0.02; done"
    with container(zap, f"systems: {{s: {{j: {json.dumps([orphan, wait])}}}}}") as box:
        told, code = box.end()
    assert code == 0, told


def test_signals_are_for_the_jobs(zap: Zap) -> None:
    job = "trap 'echo heard; exit 0' USR1; echo up > up; while :; do sleep 0.02; done"
    with container(zap, f"systems: {{s: {{j: {json.dumps([job])}}}}}") as box:
        zap.wait_file("up")
        box.first.send_signal(signal.SIGUSR1)
        told, code = box.end()
    assert lines(told, "s/j", "out") == ["heard"]
    assert code == 0


def test_it_ends_in_order_when_it_is_told_to(zap: Zap) -> None:
    plan = f"""
    systems:
      s:
        db: "trap 'echo db >> order; exit 0' TERM; echo up; while :; do sleep 0.02; done"
        api:
          commands: "trap 'sleep 0.1; echo api >> order; exit 0' TERM; echo up > up; while :; do sleep 0.02; done"
          needs: db
        hides: {json.dumps(DOUBLE_FORKS + "; exec sleep 1000")}
    """
    with container(zap, plan) as box:
        zap.wait_file("up")
        box.first.send_signal(signal.SIGTERM)
        told, code = box.end()
    assert code == 128 + signal.SIGTERM
    assert (zap.folder / "order").read_text().split() == ["api", "db"]
    assert facts(told, "closed")[0]["left"] == 0


def test_it_goes_on_when_its_runner_is_killed(zap: Zap) -> None:
    job = "echo $$; echo up > up; while [ ! -e go ]; do sleep 0.02; done; echo last; exit 5"
    with container(zap, f"systems: {{s: {{j: {json.dumps([job])}}}}}") as box:
        zap.wait_file("up")
        wait_until(lambda: zap.runner() is not None, "the runner to answer")  # before that, it ends with its runner
        before = box.runner
        assert before
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: box.runner not in (None, before), "another runner")
        (zap.folder / "go").touch()
        told, code = box.end()
    assert code == 5
    assert lines(told, "s/j", "out")[-1] == "last"
    assert facts(told, "exited")[0]["epoch"] == 1
