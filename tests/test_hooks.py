"""What is run around a job's life, and by what it is asked to end: in which order, and what follows if it is not."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import Heard, end_all, hearing
from tests.programs import python
from tests.zap import DEADLINE, Zap, facts, is_alive, lines, wait_until

SLEEPS = "exec sleep 1000"
GATE = "while ! [ -e go ]; do sleep 0.01; done"
"""Until the test lets it through."""
HANGS = "trap '' TERM INT HUP; (setsid sleep 1000 & echo $$ $! >hanging); sleep 1000; :"
"""It heeds nothing, and has somebody who has left its session."""
LOGS = {name: f"echo {name} $ZAP_EPOCH >>log" for name in ("before_start", "after_start", "before_stop")}
LOGS["after_stop"] = "echo after_stop $ZAP_EPOCH $ZAP_EXIT >>log"
LIVES = "trap 'echo down >>log; exit 5' TERM; echo up >>log; echo I am up; while :; do sleep 0.01; done"


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def write(zap: Zap, **jobs: Any) -> None:
    zap.write(json.dumps({"systems": {"s": jobs}}))


def log(zap: Zap) -> list[str]:
    return (zap.folder / "log").read_text().splitlines()


def hanging(zap: Zap) -> list[int]:
    return [int(pid) for pid in zap.wait_file("hanging").split()]


def sent(heard: Heard) -> list[str]:
    """By what the job was asked to end, and how the last of it did."""
    heard.wait("exited", "s/j")
    return [told["signal"] for told in heard.so_far("signalled", "s/j")]


# Hooks.


def test_hooks_run_around_a_life_that_somebody_ends(zap: Zap) -> None:
    write(zap, j={"commands": LIVES, "ready": {"line": "up"}, "hooks": LOGS})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        wait_until(lambda: len(log(zap)) == 3, "all that belongs to a start")
        assert zap.run("stop", "j").returncode == 0
        assert log(zap) == ["before_start 1", "up", "after_start 1", "before_stop 1", "down", "after_stop 1 5"]
        told = [item["hook"] for item in heard.so_far("hook_started")]
        assert told == ["before_start", "after_start", "before_stop", "after_stop"]
        assert not heard.so_far("hook_failed")
        assert heard.wait("signalled", "s/j")["n"] > heard.wait("hook_started", hook="before_stop")["n"]


def test_hooks_run_as_the_job_does_and_what_they_say_can_be_read(zap: Zap) -> None:
    (zap.folder / "below").mkdir()
    shows = "echo $ZAP_JOB in $PWD has $COLOUR; cd /; COLOUR=none"
    hooks = {name: f"echo this is {name}; {shows}" for name in LOGS}
    env = {"COLOUR": "green"}
    write(zap, j={"commands": ["cd below", "exit 0"], "settle": 0, "env": env, "hooks": hooks})
    told, code = zap.told()
    assert code == 0
    said = lines(told, "s/j", "zap")
    assert "this is before_start" in said and "this is after_stop" in said
    first, last = (said[said.index(f"this is {name}") + 1] for name in ("before_start", "after_stop"))
    assert first == f"s/j in {zap.folder} has green"
    assert last in (f"s/j in {zap.folder} has green", f"s/j in {zap.folder}/below has green")


def test_hooks_run_again_after_a_crash_and_before_the_next_start(zap: Zap) -> None:
    """Nobody asks it to end then, so that nothing comes before its end."""
    crashes = "echo up >>log; [ $ZAP_EPOCH != 1 ] || exit 7; [ $ZAP_EPOCH != 2 ] || kill -KILL $$; exit 0"
    job = {"commands": crashes, "settle": "1h", "restart": "on-failure", "backoff": 0, "hooks": LOGS}
    write(zap, j=job)
    told, code = zap.told()
    assert code == 0
    assert log(zap) == [
        *("before_start 1", "up", "after_stop 1 7"),
        *("before_start 2", "up", "after_stop 2 KILL"),
        *("before_start 3", "up", "after_stop 3 0"),
    ]
    assert not facts(told, "hook_failed")


def test_a_restart_runs_all_that_belongs_to_an_end_and_then_to_a_start(zap: Zap) -> None:
    write(zap, j={"commands": LIVES, "ready": {"line": "up"}, "hooks": LOGS})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        wait_until(lambda: len(log(zap)) == 3, "all that belongs to a start")
        assert zap.run("restart", "j").returncode == 0
        wait_until(lambda: len(log(zap)) == 9, "all that belongs to the next")
        assert log(zap)[3:] == [
            *("before_stop 1", "down", "after_stop 1 5"),
            *("before_start 2", "up", "after_start 2"),
        ]


def test_a_job_that_cannot_be_prepared_has_failed_and_says_why(zap: Zap) -> None:
    hooks = {"before_start": "echo no disk; exit 3", "after_stop": "touch ended"}
    write(zap, j={"commands": "touch lived", "hooks": hooks})
    told, code = zap.told()
    assert code != 0
    assert told[-1]["jobs"][0]["outcome"] == "failed"
    assert told[-1]["jobs"][0]["why"] == "before_start: exit 3"
    assert facts(told, "hook_failed")[0]["why"] == "exit 3"
    assert "no disk" in lines(told, "s/j", "zap")
    assert not facts(told, "spawned")
    assert not (zap.folder / "lived").exists()
    assert "before_start: exit 3" in zap.run("run").stdout


def test_a_start_that_cannot_be_prepared_is_a_try(zap: Zap) -> None:
    hooks = {"before_start": "echo >>tries; [ $(wc -l <tries) = 3 ]"}
    write(zap, j={"commands": "exit 0", "hooks": hooks, "restart": "on-failure", "backoff": 0, "tries": 3})
    told, code = zap.told()
    assert code == 0
    assert [fact["epoch"] for fact in facts(told, "spawned")] == [3]
    (zap.folder / "tries").unlink()
    write(zap, j={"commands": "exit 0", "hooks": hooks, "restart": "on-failure", "backoff": 0, "tries": 2})
    told, code = zap.told()
    assert code != 0
    assert told[-1]["jobs"][0]["why"] == "before_start: exit 1; gave up after 2 tries"


def test_what_goes_wrong_beside_a_job_is_told_and_changes_nothing(zap: Zap) -> None:
    hooks = {name: f"echo {name}; exit 4" for name in ("after_start", "before_stop", "after_stop")}
    write(zap, j={"commands": LIVES, "ready": {"line": "up"}, "hooks": hooks})
    with hearing(zap) as heard:
        heard.wait("hook_failed", "s/j", hook="after_start", why="exit 4")
        assert heard.states() == {"s/j": "ready"}
        assert zap.run("stop", "j").returncode == 0
        assert [told["hook"] for told in heard.so_far("hook_failed")] == ["after_start", "before_stop", "after_stop"]
        assert log(zap) == ["up", "down"]
        assert heard.states() == {"s/j": "stopped"}
        assert "⚑ after_stop failed: exit 4" in zap.run("logs", "j").stdout


def test_after_start_runs_when_the_job_is_ready_and_not_before(zap: Zap) -> None:
    job = f"{GATE}; echo up >>log; echo up; {SLEEPS}"
    write(zap, j={"commands": job, "ready": {"line": "up"}, "hooks": LOGS}, later={"commands": SLEEPS, "settle": 0.5})
    with hearing(zap) as heard:
        heard.became("s/later", "ready")
        assert log(zap) == ["before_start 1"]
        (zap.folder / "go").touch()
        wait_until(lambda: log(zap)[-1] == "after_start 1", "the hook")
        assert log(zap) == ["before_start 1", "up", "after_start 1"]
        assert heard.wait("hook_started", hook="after_start")["n"] > heard.became("s/j", "ready")


def test_a_clean_up_that_hangs_is_killed_after_the_grace(zap: Zap) -> None:
    write(zap, j={"commands": SLEEPS, "settle": 0, "grace": 0.5, "hooks": {"after_stop": HANGS}})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        with zap.start("stop", "j"):
            pids = hanging(zap)
            assert zap.run("wait", "j", "--for", "exit").returncode == 0
        assert heard.wait("hook_failed", "s/j", hook="after_stop")["why"] == "killed by KILL"
        assert heard.states() == {"s/j": "stopped"}
        assert not any(map(is_alive, pids))


@pytest.mark.parametrize("hook", ["before_start", "after_start", "before_stop", "after_stop"])
def test_ctrl_c_ends_a_hook_that_hangs_and_all_that_it_started(zap: Zap, hook: str) -> None:
    """The first asks, or in a clean-up waits for its grace; a second one does not wait."""
    write(zap, j={"commands": SLEEPS, "settle": 0, "grace": 0.5, "hooks": {hook: HANGS}})
    with zap.start("run", "--json") as process:
        if hook in ("before_stop", "after_stop"):
            assert process.stdout
            next(line for line in process.stdout if '"ready"' in line)
            process.send_signal(signal.SIGINT)
        pids = hanging(zap)
        process.send_signal(signal.SIGTERM if hook in ("before_stop", "after_stop") else signal.SIGINT)
        rest, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    told = [json.loads(line) for line in rest.splitlines()]
    assert told[-1]["jobs"][0]["outcome"] == "stopped"
    assert bool(facts(told, "spawned")) <= (hook != "before_start")
    assert not any(map(is_alive, pids))


def test_who_is_stopped_while_it_is_prepared_never_lives(zap: Zap) -> None:
    write(zap, j={"commands": "touch lived", "hooks": {"before_start": HANGS}})
    with hearing(zap) as heard:
        pids = hanging(zap)
        assert "s/j is starting for" in zap.run("why").stdout
        assert "its hook before_start runs" in zap.run("why").stdout
        assert zap.run("stop", "j").returncode == 0
        assert heard.states() == {"s/j": "stopped"}
        assert not any(map(is_alive, pids))
        assert not heard.so_far("spawned")


# The ladder.


def test_signals_are_sent_one_after_the_other_until_one_helps(zap: Zap) -> None:
    ignores = "trap '' INT; trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done"
    write(zap, j={"commands": ignores, "ready": {"line": "up"}, "stop": ["INT", "TERM"], "grace": 2})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == ["INT", "TERM"]
        first, second = (told["at"] for told in heard.so_far("signalled"))
        assert second - first >= 0.9, "each has its share of the grace"
        assert heard.wait("exited", "s/j")["status"] == {"code": 0}


def test_kill_comes_when_the_grace_is_over_however_many_have_asked(zap: Zap) -> None:
    ignores = "trap '' INT HUP TERM; echo up; while :; do sleep 0.01; done"
    write(zap, j={"commands": ignores, "ready": {"line": "up"}, "stop": ["INT", "HUP", "TERM"], "grace": 0.9})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == ["INT", "HUP", "TERM", "KILL"]
        times = [told["at"] for told in heard.so_far("signalled")]
        assert times[3] - times[0] >= 0.8
        assert min(times[1] - times[0], times[2] - times[1], times[3] - times[2]) > 0.1
        assert heard.wait("exited", "s/j")["status"] == {"signal": "KILL"}


QUITS = python("""
import os, sys, termios, tty
tty.setcbreak(0)
print("up", flush=True)
while os.read(0, 1) != b"q": pass
print("bye", flush=True)
""")


def test_a_program_is_asked_by_the_key_that_it_knows(zap: Zap) -> None:
    write(zap, j={"commands": QUITS, "ready": {"line": "up"}, "stop": {"keys": "q"}, "grace": "1h"})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == ["keys"]
        assert heard.wait("exited", "s/j")["status"] == {"code": 0}
        assert "│ bye\n" in zap.run("logs", "j").stdout


def test_ctrl_c_can_be_typed_to_end_a_job(zap: Zap) -> None:
    """The terminal makes a signal of it, for whoever is in its foreground."""
    traps = "trap 'echo interrupted; exit 0' INT; echo up; while :; do sleep 0.01; done"
    write(zap, j={"commands": traps, "ready": {"line": "up"}, "stop": {"keys": "\x03"}, "grace": "1h"})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == ["keys"]
        assert "interrupted" in zap.run("logs", "j").stdout


def test_who_does_not_know_the_key_is_sent_the_signals(zap: Zap) -> None:
    write(zap, j={"commands": SLEEPS, "settle": 0, "stop": {"keys": "q", "signal": ["INT"]}, "grace": 0.4})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == ["keys", "INT"]


def test_first_comes_the_hook_then_the_command_then_the_keys(zap: Zap) -> None:
    stop = {"command": "echo command >>log; echo ends too >&2", "keys": "q"}
    hooks = {"before_stop": "sleep 0.2; echo before_stop >>log"}
    write(zap, j={"commands": f"{QUITS} && :", "ready": {"line": "up"}, "stop": stop, "hooks": hooks, "grace": "1h"})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert log(zap) == ["before_stop", "command"]
        assert sent(heard) == ["keys"]
        said = [line.split(" ", 2)[2] for line in zap.run("logs", "j").stdout.splitlines()]
        assert said.index("ends too") < said.index("bye")


def test_a_job_that_ends_by_its_stop_command_is_sent_nothing(zap: Zap) -> None:
    write(zap, j={"commands": GATE, "settle": 0, "stop": {"command": "touch go; sleep 0.5"}, "grace": "1h"})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard) == []
        assert heard.wait("exited", "s/j")["status"] == {"code": 0}


def test_a_hook_that_hangs_does_not_keep_the_job_from_being_killed(zap: Zap) -> None:
    write(zap, j={"commands": SLEEPS, "settle": 0, "grace": 0.5, "hooks": {"before_stop": HANGS}})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert zap.run("stop", "j").returncode == 0
        assert sent(heard)[-1] == "KILL"
        wait_until(lambda: not any(map(is_alive, hanging(zap))), "the hook to be gone")
