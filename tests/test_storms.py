"""Many jobs that die at once, and one that dies all the time: neither keeps the machine, or its person, busy."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import end_all, hearing
from tests.zap import Zap, is_alive, wait_until
from zap.machine import INSTANT_STARTS

MANY = 40


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def write(zap: Zap, jobs: dict[str, Any]) -> None:
    zap.write(json.dumps({"systems": {"s": jobs}}))


def test_many_that_are_killed_at_once_are_told_of_together_and_come_back(zap: Zap) -> None:
    job = {"commands": "exec sleep 1000", "settle": 0, "restart": "on-failure", "backoff": 0.1}
    names = [f"s/j{number}" for number in range(MANY)]
    write(zap, {name.partition("/")[2]: job for name in names} | {"other": "exec sleep 1000"})
    with hearing(zap) as heard:
        for name in names:
            heard.became(name, "ready")
        pids = heard.pids()
        other = pids.pop("s/other")
        for pid in pids.values():
            os.killpg(pid, signal.SIGKILL)
        for name in names:
            heard.became(name, "ready", after=heard.spawned(name, 2)["n"])
        again = heard.pids()
        assert again.pop("s/other") == other
        assert not {*pids.values()} & {*again.values()} and not any(map(is_alive, pids.values()))
        (storm,) = heard.so_far("stormed")
        assert 5 <= len(storm["jobs"]) <= MANY and set(storm["jobs"]) <= set(names)
        exits = heard.so_far("exited")
        assert len(exits) == MANY
        assert sum(fact["is_in_storm"] for fact in exits) >= MANY - len(storm["jobs"])
        waits = [fact["seconds"] for fact in heard.so_far("became") if fact["state"] == "backoff"]
        assert max(waits) > 2, "their restarts are spread"
        lines = zap.run("events").stdout.splitlines()
        told = [line for line in lines if re.search(r"s/j\d+  (↺ )?killed by KILL", line)]
        assert len(told) < 0.6 * MANY, "of two each"
        assert sum("jobs have failed within 5.0 s: their restarts are spread" in line for line in lines) >= 1
        assert len([line for line in zap.run("events", "--json").stdout.splitlines() if '"exited"' in line]) == MANY


def test_a_few_that_die_are_told_of_one_by_one(zap: Zap) -> None:
    job = {"commands": "exec sleep 1000", "settle": 0, "restart": "on-failure", "backoff": 0.1}
    write(zap, {f"j{number}": job for number in range(MANY // 2)})
    with hearing(zap) as heard:
        for number in range(MANY // 2):
            heard.became(f"s/j{number}", "ready")
        for number in range(3):
            os.kill(heard.pids()[f"s/j{number}"], signal.SIGKILL)
        for number in range(3):
            heard.spawned(f"s/j{number}", 2)
        assert not heard.so_far("stormed")
        assert len(re.findall("  killed by KILL after", zap.run("events").stdout)) == 3


@pytest.mark.parametrize(("restart", "command"), [("on-failure", "exit 3"), ("always", "exit 0"), ("always", "exit 3")])
def test_who_ends_at_once_again_and_again_is_started_ten_times_a_minute(zap: Zap, restart: str, command: str) -> None:
    """Whatever its settings say; and a person who starts it is not kept waiting."""
    job = {"commands": command, "restart": restart, "tries": "unlimited", "backoff": {"first": 0, "jitter": 0}}
    write(zap, {"j": job})
    with hearing(zap) as heard:
        last = heard.spawned("s/j", INSTANT_STARTS)
        told = heard.wait("became", "s/j", after=last["n"], state="backoff")
        assert 50 < told["seconds"] <= 60
        assert len(heard.so_far("spawned")) == INSTANT_STARTS
        assert re.search(r"s/j is waiting [56]\d(\.\d)? s for its next start", zap.run("why").stdout)
        assert heard.states() == {"s/j": "backoff"}
        assert zap.run("start", "j", "--no-wait").returncode == 0
        heard.spawned("s/j", INSTANT_STARTS + 1)


def test_who_cannot_be_started_again_and_again_is_no_other(zap: Zap) -> None:
    hooks = {"before_start": "echo >>tries; exit 1"}
    write(zap, {"j": {"commands": "true", "restart": "on-failure", "tries": "unlimited", "backoff": 0, "hooks": hooks}})
    with hearing(zap) as heard:
        wait_until(lambda: (heard.rows()["s/j"].get("seconds") or 0) > 50, "it to be made to wait")
        assert (zap.folder / "tries").read_text() == "\n" * INSTANT_STARTS
