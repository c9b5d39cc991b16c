"""The runner in the background, as a person meets it: it comes up, stays, is found, and goes with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.programs import IGNORES_TERM, SETSID_ESCAPES
from tests.served import children, own_zap, place, reach, serving
from tests.terminal import Terminal
from tests.zap import DEADLINE, Zap, wait_until, working_in
from zap import address, background, paths

SLEEPS = """
systems:
  s:
    j: exec sleep 1000
    k: exec sleep 1000
"""
STUBBORN = f"""
defaults: {{grace: 1000}}
systems:
  s:
    j: "{IGNORES_TERM}"
    k: exec sleep 1000
"""
NEVER_READY = """
systems:
  s:
    j: exec sleep 1000
    k: {commands: echo; exit 1, restart: always, tries: unlimited}
"""


pytestmark = pytest.mark.usefixtures("nobody_is_left")


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


def runners(folder: Path) -> list[int]:
    return [pid for pid, command in working_in(folder).items() if " -m zap serve " in command]


def rows(zap: Zap) -> dict[str, dict[str, Any]]:
    with reach(zap) as line:
        told = {}
        for event in line.follow():
            if event["event"] != "restated":
                break
            told[event["job"]] = event["row"]
        return told


def up(zap: Zap, *arguments: str, code: int = 0) -> str:
    """What it complains of."""
    done = zap.run("up", *arguments)
    assert (done.stdout, done.returncode) == ("", code), done.stderr
    return done.stderr


def down(zap: Zap, *arguments: str) -> None:
    """And nothing is left the moment that it returns."""
    done = zap.run("down", *arguments)
    left = working_in(zap.folder)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert not left


# Up and down.


def test_up_returns_when_all_is_ready_and_down_when_nothing_is_left(zap: Zap) -> None:
    zap.write(SLEEPS)
    assert up(zap) == ""
    assert {job: row["state"] for job, row in rows(zap).items()} == {"s/j": "ready", "s/k": "ready"}
    assert up(zap) == ""  # there is nothing to do
    assert [row["epoch"] for row in rows(zap).values()] == [1, 1]
    down(zap)
    done = zap.run("down")
    assert (done.stdout, done.returncode) == (f"no runner of {zap.folder / 'jobs.yaml'} is there\n", 0)


def test_up_starts_what_is_named_and_more_when_it_is_named_later(zap: Zap) -> None:
    zap.write(SLEEPS)
    up(zap, "s/k")
    assert {job: row["state"] for job, row in rows(zap).items()} == {"s/j": "stopped", "s/k": "ready"}
    up(zap, "s/j")
    assert {row["state"] for row in rows(zap).values()} == {"ready"}
    down(zap)


def test_up_says_what_failed_once_the_others_are_ready(zap: Zap) -> None:
    zap.write(SLEEPS + "    broken: {commands: exit 3, restart: never}\n    done: 'true'\n")
    assert up(zap, code=1) == "✗ s/broken is failed: exit 3 at command 1/1 `exit 3`\n"
    assert [row["state"] for row in rows(zap).values()] == ["ready", "ready", "failed", "done"]
    assert up(zap, "--no-wait") == ""
    down(zap)


def test_overloaded_output_is_one_event_until_it_is_relieved(zap: Zap) -> None:
    zap.write("systems: {s: {j: {commands: 'yes | head -n 3000000; sleep 1000', tty: false}}}")
    up(zap, "--no-wait")
    seen: list[dict[str, Any]] = []
    with zap.start("events", "-f", "--json") as process:
        assert process.stdout
        while not seen or seen[-1]["event"] != "relieved":
            line = process.stdout.readline()
            assert line, "it has ended"
            seen += [event for event in [json.loads(line)] if event.get("what") == "output lines"]
    assert [event["event"] for event in seen] == ["overloaded", "relieved"]
    assert seen[0]["value"] > seen[0]["limit"]
    down(zap)


def test_up_with_a_wrong_plan_shows_every_problem_and_starts_nothing(zap: Zap) -> None:
    zap.write("systems: {s: {j: {commands: 'true', restart: maybe, grace: long}}}")
    said = up(zap, code=2)
    assert "restart" in said and "grace" in said
    assert said.count("jobs.yaml:1:") == len(said.splitlines()) == 2
    assert not working_in(zap.folder)
    zap.write(SLEEPS)
    assert "no system or job is called s/x" in up(zap, "s/x", code=2)
    assert not working_in(zap.folder)


@pytest.mark.parametrize("text", [IGNORES_TERM, SETSID_ESCAPES + "; sleep 1000"], ids=["ignores TERM", "escapes"])
def test_down_returns_when_who_will_not_end_has_ended_too(zap: Zap, text: str) -> None:
    zap.write(f"defaults: {{grace: 0.2}}\nsystems: {{s: {{j: {{commands: [{json.dumps(text)}]}}}}}}")
    up(zap, "--no-wait")
    down(zap)


def test_down_now_does_not_wait_for_graces(zap: Zap) -> None:
    zap.write(STUBBORN)
    up(zap)
    down(zap, "--now")


@pytest.mark.parametrize("at_once", [2, 5])
def test_who_comes_up_at_the_same_time_finds_one_runner(zap: Zap, at_once: int) -> None:
    zap.write(SLEEPS)
    argv = [sys.executable, "-m", "zap", "up"]
    many = [
        subprocess.Popen(argv, cwd=zap.folder, env=zap.env, stderr=subprocess.PIPE, text=True) for _ in range(at_once)
    ]
    assert [(one.communicate(timeout=DEADLINE)[1], one.returncode) for one in many] == [("", 0)] * at_once
    wait_until(lambda: len(runners(zap.folder)) == 1, "those who came too late to be gone")
    assert [row["epoch"] for row in rows(zap).values()] == [1, 1]
    down(zap)


def test_two_projects_do_not_meet(zap: Zap, tmp_path: Path) -> None:
    for name in ("one", "two"):
        zap.write(SLEEPS.replace("1000", "2000"), f"{name}/jobs.yaml")
        assert up(zap, "-f", f"{name}/jobs.yaml") == ""
    assert len(runners(tmp_path)) == 2
    assert zap.run("down", "-f", "one/jobs.yaml").returncode == 0
    (left,) = runners(tmp_path)
    assert str(tmp_path / "two" / "jobs.yaml") in working_in(tmp_path)[left]
    assert zap.run("down", "-f", "two/jobs.yaml").returncode == 0


# A runner that dies.


def kill(zap: Zap) -> None:
    """As a machine that runs out of memory does: the runner, its keeper, and their jobs."""

    def has_killed_all() -> bool:
        left = working_in(zap.folder)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(has_killed_all, "everybody to be dead")


def test_what_a_killed_runner_left_is_no_hindrance(zap: Zap) -> None:
    path = zap.write(SLEEPS)
    up(zap)
    kill(zap)
    assert sorted(os.listdir(place(zap, path))) == ["lock", "socket"]
    done = zap.run("ps")
    assert (done.returncode, done.stdout) == (3, "")
    assert zap.run("down").returncode == 0
    assert up(zap) == ""
    assert {row["state"] for row in rows(zap).values()} == {"ready"}
    down(zap)


def test_a_runner_that_cannot_live_is_told_with_the_place_of_its_log(zap: Zap) -> None:
    """And what it had started already is gone again."""
    zap.write(SLEEPS)
    zap.write("raise ImportError('this installation is broken')", "broken/asyncio.py")
    zap.env["PYTHONPATH"] = str(zap.folder / "broken")
    assert up(zap, code=2) == f"the runner has ended at once; its log is {log(zap)}\n"
    assert "this installation is broken" in log(zap).read_text()
    assert not working_in(zap.folder)


# A person at a terminal.


def at_terminal(zap: Zap, command: str) -> Terminal:
    """A shell, somewhere else, that says the code of what it has run, and then does nothing."""
    text = f"trap : INT; {sys.executable} -m zap {command} -f {zap.folder}/jobs.yaml; echo code $?; exec cat"
    return Terminal(["sh", "-c", text], Path("/"), zap.env, columns=100, rows=10)


def test_up_shows_what_it_waits_for_and_ctrl_c_stops_only_the_waiting(zap: Zap) -> None:
    zap.write(NEVER_READY)
    with at_terminal(zap, "up") as terminal:
        terminal.wait(lambda shown: " · s/k " in shown and "s/j" not in shown)
        terminal.write(b"\x03")
        terminal.wait(lambda shown: "code 130" in shown)
        assert any("what was started goes on; `zap down` ends it" in line for line in terminal.look())
        assert not any(" · " in line for line in terminal.look())
        assert rows(zap)["s/j"]["state"] == "ready"
    down(zap)


def test_down_shows_who_will_not_end_and_ctrl_c_does_not_wait_for_him(zap: Zap) -> None:
    zap.write(STUBBORN)
    up(zap)
    with at_terminal(zap, "down") as terminal:
        terminal.wait(lambda shown: "s/j: TERM was sent, KILL follows in 16 min" in shown)
        terminal.write(b"\x03")
        terminal.wait(lambda shown: "code 0" in shown)
        assert not any(" · " in line for line in terminal.look())
    assert not working_in(zap.folder)


@pytest.mark.parametrize(("command", "plan"), [("up", NEVER_READY), ("down", STUBBORN)])
def test_who_waits_for_a_runner_that_dies_is_told(zap: Zap, command: str, plan: str) -> None:
    zap.write(plan)
    up(zap, "--no-wait")
    with at_terminal(zap, command) as terminal:
        terminal.wait(lambda shown: "s · s/" in shown)
        kill(zap)
        terminal.wait(lambda shown: "code 3" in shown)
        assert any(line.startswith("the runner is gone") for line in terminal.look())


def test_the_runner_outlives_the_terminal_that_it_was_started_from(zap: Zap) -> None:
    zap.write(SLEEPS)
    with at_terminal(zap, "up") as terminal:
        terminal.wait(lambda shown: "code 0" in shown)
    (pid,) = runners(zap.folder)
    os.kill(pid, signal.SIGHUP)
    assert [(row["state"], row["epoch"]) for row in rows(zap).values()] == [("ready", 1), ("ready", 1)]
    assert pid in children(os.getsid(pid))  # which its keeper leads
    down(zap)


# In the foreground.


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_in_the_foreground_signals_end_it_and_the_second_does_not_wait(zap: Zap, ending: signal.Signals) -> None:
    zap.write(STUBBORN)
    with zap.start("serve") as process:
        wait_until(lambda: address.is_claimed(place(zap, zap.folder / "jobs.yaml")), "the runner")
        wait_until(lambda: {row["state"] for row in rows(zap).values()} == {"ready"}, "the jobs")
        process.send_signal(ending)
        wait_until(lambda: [row["state"] for row in rows(zap).values()] == ["stopping", "stopped"], "the end to begin")
        process.send_signal(ending)
        said, _ = process.communicate(timeout=DEADLINE)
        assert (process.returncode, said) == (0, "")


def test_there_is_one_runner_of_a_plan(zap: Zap) -> None:
    with serving(zap, SLEEPS):
        done = zap.run("serve")
        assert (done.returncode, done.stderr) == (2, f"a runner of {zap.folder / 'jobs.yaml'} is there already\n")


# Places.


def log(zap: Zap) -> Path:
    path = Path(paths.log_file(zap.env, paths.plan_id(str(zap.folder / "jobs.yaml"))))
    assert path.is_relative_to(zap.folder / "home" / ".local" / "state" / "zap")
    return path


def test_the_log_tells_who_did_what_to_its_owner_alone(zap: Zap) -> None:
    zap.write(SLEEPS)
    up(zap)
    assert zap.run("stop", "s/j").returncode == 0
    assert stat.S_IMODE(log(zap).stat().st_mode) == 0o600
    down(zap)
    text = log(zap).read_text()
    for said in (" has opened ", "stop s/j: asked for by process ", "close all: asked for by process "):
        assert said in text
    up(zap)
    down(zap)
    assert log(zap).read_text().startswith(text)


def test_a_log_that_has_grown_long_is_begun_anew_at_any_time(zap: Zap) -> None:
    zap.write(SLEEPS)
    log(zap).parent.mkdir(parents=True)
    log(zap).write_text("old\n" * background.LOG_MOST)
    up(zap)
    kept = log(zap).with_name("runner.log.1")
    assert kept.read_text().startswith("old")
    with reach(zap) as line:
        for _ in range(30):
            line.ask("note", text=("x" * 1000 + "\n") * 100)
        wait_until(lambda: kept.read_text().startswith("20"), "the log to be put away once more")
        line.ask("note", text="after that")
    wait_until(lambda: "after that" in log(zap).read_text(), "the new log to be written to")
    assert max(log(zap).stat().st_size, kept.stat().st_size) < 2 * background.LOG_MOST
    assert stat.S_IMODE(log(zap).stat().st_mode) == 0o600
    down(zap)


def test_a_log_that_cannot_be_written_is_told(zap: Zap) -> None:
    zap.write(SLEEPS)
    (zap.folder / "home" / ".local").write_text("in the way")
    assert "the runner cannot be started: " in up(zap, code=2)
    assert "Not a directory" in up(zap, code=2)


@pytest.mark.parametrize("name", ["", "not-there", "relative", "n" * 90])
def test_wherever_the_runtime_folder_is_the_runner_is_found(zap: Zap, name: str, tmp_path: Path) -> None:
    """Missing, and so somewhere in /tmp; or too long for a socket's address."""
    if len(name) > 50:
        (tmp_path / name).mkdir()
    zap.env["XDG_RUNTIME_DIR"] = {"": "", "relative": "relative"}.get(name, str(tmp_path / name))
    path = zap.write(SLEEPS)
    up(zap)
    folder = Path(place(zap, path))
    assert folder.is_relative_to(tmp_path) == (len(name) > 50)
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    down(zap)


IN_ANOTHERS_NAME = """
import os, sys
from zap import paths
os.setuid(65534)
print(paths.runtime_folder({"XDG_RUNTIME_DIR": sys.argv[1]}, "id"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_runtime_folder_of_somebody_else_is_left_alone() -> None:
    """`su` keeps the variable; the folder is there, but not for us. Here it is root's."""
    argv = [sys.executable, "-c", IN_ANOTHERS_NAME, "/usr"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == "/tmp/zap-65534/id\n", done.stderr


def test_a_plan_has_one_runner_whichever_way_one_comes_to_it(zap: Zap) -> None:
    zap.write(SLEEPS)
    (zap.folder / "link").symlink_to(zap.folder)
    up(zap, "-f", "link/jobs.yaml")
    assert {row["state"] for row in rows(zap).values()} == {"ready"}
    down(zap)


def test_a_runtime_folder_that_is_no_good_is_told(zap: Zap) -> None:
    zap.write(SLEEPS)
    (zap.folder / "zap").write_text("in the way")
    said = up(zap, code=2)
    assert "not a folder of yours" in said or "Not a directory" in said
    assert not working_in(zap.folder)
