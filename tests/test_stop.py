"""How everything ends: whatever a job has started and however it hides, nobody is left, and who ended how is told."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.programs import FLOODS, unmarked
from tests.zap import DEADLINE, Zap, facts, is_alive, lines, wait_until, working_in
from zap import child
from zap.child import Child
from zap.events import Status

UP = "echo $$ >>up"
SLEEPS = f"sh -c '{UP}; exec sleep 1000'"
IGNORES = f"sh -c 'trap \"\" TERM HUP; {UP}; exec sleep 1000'"
"""TERM, and HUP, which a terminal sends when its leader ends."""
QUIET = "</dev/null >/dev/null 2>&1"
ONCE_UP = "while ! [ -s up ]; do sleep 0.01; done"

ENDED_BY_THEIR_JOB = {
    "a child": f"{SLEEPS} & {ONCE_UP}",
    "a child of its group that ignores TERM": f"{IGNORES} & {ONCE_UP}",
    "a grandchild in a session of its own": f"setsid {SLEEPS} & {ONCE_UP}",
    "one in a session of its own that ignores TERM": f"setsid {IGNORES} & {ONCE_UP}",
    "a double fork": f"({SLEEPS} &); {ONCE_UP}",
    "a daemon": f"(setsid {SLEEPS} {QUIET} &); {ONCE_UP}",
    "a daemon that ignores TERM": f"(setsid {IGNORES} {QUIET} &); {ONCE_UP}",
    "a swarm": f"for i in 1 2 3 4 5 6 7 8 9; do (setsid {IGNORES} &); done; {ONCE_UP}",
}
ENDED_BY_ZAP = {"one that hid": f"(env -i PATH=$PATH setsid {IGNORES} {QUIET} &); {ONCE_UP}"}
STAYS = {
    "the job itself ignores TERM": f"trap '' TERM HUP; {SLEEPS}",
    "one that goes on forking": f"trap '' TERM HUP; {UP}; while :; do sleep 1000 & sleep 0.01; done",
    "one that forks when it is asked to end": f"trap 'setsid sleep 1000 &' TERM; {UP}; while :; do sleep 0.01; done",
    "one that stops itself": f"{UP}; kill -STOP $$; sleep 1000",
}
EVERYBODY = STAYS | {what: f"{text}; sleep 1000" for what, text in (ENDED_BY_THEIR_JOB | ENDED_BY_ZAP).items()}


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


@pytest.fixture(autouse=True)
def _nobody_is_left(tmp_path: Path) -> Iterator[None]:
    """Also where a test has failed."""
    yield
    for pid in living(tmp_path):
        os.kill(pid, signal.SIGKILL)


def living(folder: Path) -> dict[int, str]:
    """What zap runs itself counts not."""
    return {pid: command for pid, command in working_in(folder).items() if " -m zap " not in command}


def write(zap: Zap, jobs: dict[str, Any], *, own_folders: bool = False) -> None:
    """A plan of these jobs, by their settings or their commands, each with a folder of its own if it is wanted."""
    plan = {}
    for name, job in jobs.items():
        settings = dict(job) if isinstance(job, dict) else {"commands": [job]}
        if own_folders:
            (zap.folder / name).mkdir()
            settings["cwd"] = name
        plan[name] = settings
    zap.write(json.dumps({"systems": {"s": plan}}))


def by_pipe_and_terminal(text: str, **settings: Any) -> dict[str, Any]:
    return {name: {"commands": [text], "tty": name == "terminal", **settings} for name in ("pipe", "terminal")}


def wait_up(zap: Zap, *jobs: str) -> None:
    for job in jobs:
        zap.wait_file(f"{job}/up")


def next_fact(process: subprocess.Popen[str], is_it: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Reads what `zap run --json` tells until that is so."""
    assert process.stdout
    for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        if is_it(told):
            return told
    raise AssertionError("it ended before that")


def became(state: str, job: str = "s/j") -> Callable[[dict[str, Any]], object]:
    return lambda told: told["event"] == "became" and (told["job"], told["state"]) == (job, state)


@contextmanager
def on_a_terminal(zap: Zap) -> Iterator[Child]:
    """`zap run` as the leader of a terminal, as a person's shell runs it."""
    text = f'exec <>"$1" >&0 2>&0; exec {shlex.quote(sys.executable)} -m zap run'
    argv, folder = ["/bin/sh", "-c", text, "sh"], str(zap.folder)
    process = child.spawn(argv, cwd=folder, env=zap.env, has_tty=True, has_input=True, nonce="", tag="")
    try:
        yield process
    finally:
        process.signal_group(signal.SIGKILL)
        process.close()


def read_to_end(process: Child) -> str:
    """What it shows, until it has ended."""
    text = b""
    while process.out_fd in select.select([process.out_fd, process.end_fd], [], [], DEADLINE)[0]:
        try:
            text += os.read(process.out_fd, 65536)
        except OSError:  # its other side is closed
            assert select.select([process.end_fd], [], [], DEADLINE)[0]
            break
    return text.decode(errors="replace")


# Nobody is left.


@pytest.mark.parametrize("what", EVERYBODY)
def test_nobody_is_left_after_a_signal_to_zap(zap: Zap, what: str) -> None:
    write(zap, by_pipe_and_terminal(EVERYBODY[what], grace=0.1), own_folders=True)
    with zap.start("run", "--json") as process:
        wait_up(zap, "pipe", "terminal")
        assert len(living(zap.folder)) >= 2
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 143
    assert facts([json.loads(line) for line in told.splitlines()], "closed")[0]["left"] == 0


def test_nobody_is_left_of_a_whole_zoo_at_once(zap: Zap) -> None:
    jobs = {
        f"{kind}{number}": job
        for number, text in enumerate(EVERYBODY.values())
        for kind, job in by_pipe_and_terminal(text, grace=0.1).items()
    }
    write(zap, jobs, own_folders=True)
    with zap.start("run", "--quiet") as process:
        wait_up(zap, *jobs)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 130


@pytest.mark.parametrize("what", ENDED_BY_THEIR_JOB)
def test_nobody_is_left_after_a_jobs_own_end(zap: Zap, what: str) -> None:
    """While zap goes on, because of another job."""
    jobs = by_pipe_and_terminal(ENDED_BY_THEIR_JOB[what] + "; exit 3", grace=0.1)
    write(zap, jobs | {"on": "cd /; sleep 1000"}, own_folders=True)
    with zap.start("run", "--json") as process:
        ended = [next_fact(process, lambda told: told.get("state") == "failed") for _ in jobs]
        assert {told["job"] for told in ended} == {"s/pipe", "s/terminal"}
        assert all(told["why"].startswith("exit 3") for told in ended)
        assert living(zap.folder) == {}
        assert process.poll() is None
    assert process.returncode == 143


def test_who_hid_may_outlive_its_job_but_not_zap(zap: Zap) -> None:
    """Who has thrown away its environment and its mark (`census.mark`)."""
    write(zap, {"j": unmarked(ENDED_BY_ZAP["one that hid"]), "on": "cd /; sleep 1000"})
    with zap.start("run", "--json") as process:
        next_fact(process, became("done"))
        assert len(living(zap.folder)) == 1
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}


def test_a_stopped_job_is_woken_to_hear_that_it_shall_end(zap: Zap) -> None:
    """It has all the time in the world to say goodbye, and does."""
    write(zap, by_pipe_and_terminal(f"trap 'echo bye; exit' TERM; {UP}; kill -STOP $$", grace=1000), own_folders=True)
    with zap.start("run", "--json") as process:
        wait_up(zap, "pipe", "terminal")
        pids = [int((zap.folder / job / "up").read_text()) for job in ("pipe", "terminal")]
        wait_until(lambda: all(" T " in Path(f"/proc/{pid}/stat").read_text() for pid in pids), "both to be stopped")
        process.send_signal(signal.SIGTERM)
        told = [json.loads(line) for line in process.communicate(timeout=DEADLINE)[0].splitlines()]
    assert lines(told, "s/pipe", "out") == lines(told, "s/terminal", "out") == ["bye"]


def test_many_jobs_that_start_at_once_end_at_once(zap: Zap) -> None:
    """Before all of them are up."""
    jobs = {f"j{number}": {"commands": [f"setsid {IGNORES} & {SLEEPS}"], "grace": 0.1} for number in range(30)}
    write(zap, jobs, own_folders=True)
    with zap.start("run", "--quiet") as process:
        wait_up(zap, "j0")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 143


# How a job is asked to end.


@pytest.mark.parametrize("name", ["INT", "HUP", "USR1", "TERM"])
def test_a_job_is_asked_by_the_signal_that_it_wants(zap: Zap, name: str) -> None:
    traps = " ".join(f"trap 'echo {other}; exit' {other};" for other in ("INT", "HUP", "USR1", "TERM"))
    jobs = by_pipe_and_terminal(f"{traps} {UP}; while :; do sleep 0.01; done", stop=name, grace=1000)
    write(zap, jobs, own_folders=True)
    with zap.start("run", "--json") as process:
        wait_up(zap, *jobs)
        process.send_signal(signal.SIGTERM)
        told = [json.loads(line) for line in process.communicate(timeout=DEADLINE)[0].splitlines()]
    assert lines(told, "s/pipe", "out") == lines(told, "s/terminal", "out") == [name]
    assert {item["signal"] for item in facts(told, "signalled")} == {name}


def test_a_stop_command_ends_its_job_in_its_own_way(zap: Zap) -> None:
    """It runs where the job runs, what it says can be read, and only for who is left the signal follows."""
    job = f"trap '' TERM; {UP}; while ! [ -e please ]; do sleep 0.01; done; echo as you wish"
    write(zap, by_pipe_and_terminal(job, stop={"command": "echo asking; touch please"}, grace=1000), own_folders=True)
    with zap.start("run", "--json") as process:
        wait_up(zap, "pipe", "terminal")
        process.send_signal(signal.SIGTERM)
        told = [json.loads(line) for line in process.communicate(timeout=DEADLINE)[0].splitlines()]
        assert living(zap.folder) == {}
    for job in ("s/pipe", "s/terminal"):
        assert lines(told, job, "out") == ["as you wish"]
        assert "asking" in lines(told, job, "zap")


def end_with_stop_command(zap: Zap, command: str) -> None:
    write(zap, by_pipe_and_terminal(SLEEPS, stop={"command": command}, grace=0.2), own_folders=True)
    with zap.start("run", "--json") as process:
        wait_up(zap, "pipe", "terminal")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 143


@pytest.mark.parametrize("command", ["exit 1", "no-such-program"])
def test_a_stop_command_that_does_not_help_changes_nothing(zap: Zap, command: str) -> None:
    end_with_stop_command(zap, command)


def test_zap_never_ended_when_a_stop_command_hung(zap: Zap) -> None:
    """It was killed after the job that it did not end, of which nothing told who waited for it."""
    end_with_stop_command(zap, f"trap '' TERM HUP; {SLEEPS}")


# Exit is not end-of-output.


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_an_exit_is_told_while_a_grandchild_holds_the_output(zap: Zap, kind: str) -> None:
    """For ever, as far as this test goes: it ignores TERM, and the grace is longer than anybody waits."""
    jobs = by_pipe_and_terminal(f"{IGNORES} & {ONCE_UP}; echo last words; exit 3", grace=1000)
    write(zap, {kind: jobs[kind]}, own_folders=True)
    with zap.start("run", "--json") as process:
        assert next_fact(process, lambda told: told["event"] == "exited")["status"] == {"code": 3}
        assert is_alive(int((zap.folder / kind / "up").read_text()))
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # another one, because two of a kind may arrive as one
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_every_line_is_told_before_the_exit(zap: Zap, kind: str) -> None:
    jobs = by_pipe_and_terminal("seq 3000; seq 3000 >&2; printf open; exit 3")
    write(zap, {kind: jobs[kind]})
    told, code = zap.told()
    assert code == 3
    names = [item["event"] for item in told if item["event"] != "line" or item["stream"] != "zap"]
    assert "line" not in names[names.index("exited") :]
    assert lines(told, f"s/{kind}", "out") == [*map(str, range(1, 3001)), "open"]
    assert lines(told, f"s/{kind}", "err") == [*map(str, range(1, 3001))]


# Ctrl+C, whatever zap is doing.


def test_ctrl_c_during_a_remedy_ends_the_remedy_too(zap: Zap) -> None:
    fixup = {
        "about": "it is in the way",
        "match": {"pattern": "in the way"},
        "mode": "auto",
        "run": [f"setsid {IGNORES} & {IGNORES}"],
        "then": "restart",
        "examples": {"matches": ["in the way"]},
    }
    zap.write(json.dumps(fixup), "fixups/slow.yaml")
    write(zap, {"j": "echo in the way; exit 4"})
    with zap.start("run", "--json") as process:
        next_fact(process, lambda told: told["event"] == "fix_started")
        wait_until(lambda: (zap.folder / "up").exists(), "the remedy to be on its way")
        assert living(zap.folder)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 130


def test_ctrl_c_during_a_backoff_waits_for_nothing(zap: Zap) -> None:
    write(zap, {"j": {"commands": ["exit 3"], "restart": "on-failure", "backoff": {"first": 1000, "most": 1000}}})
    with zap.start("run", "--json") as process:
        next_fact(process, became("backoff"))
        process.send_signal(signal.SIGINT)
        next_fact(process, became("stopped"))
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 130


def test_ctrl_c_while_a_secret_is_fetched_ends_who_fetches_it(zap: Zap) -> None:
    hangs = {"prompt": "never asked", "secret": {"command": f"trap '' TERM INT; {SLEEPS}"}}
    write(zap, {"j": {"commands": ["touch lived"], "answers": [hangs]}})
    with zap.start("run") as process:
        wait_until(lambda: (zap.folder / "up").exists(), "the command to hang")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
        assert living(zap.folder) == {}
    assert process.returncode == 130
    assert not (zap.folder / "lived").exists()


def test_ctrl_c_typed_into_a_terminal_reaches_zap_alone(zap: Zap) -> None:
    """A terminal interrupts everyone of its foreground group; jobs have sessions of their own, and are only asked."""
    traps = "trap 'echo INT >>got' INT; trap 'echo TERM >>got; exit' TERM"
    jobs = by_pipe_and_terminal(f"{traps}; {UP}; while :; do sleep 0.01; done", grace=1000)
    write(zap, jobs, own_folders=True)
    with on_a_terminal(zap) as process:
        wait_up(zap, *jobs)
        process.write(b"\x03")
        assert read_to_end(process).count("exit code 130") == 1
        assert process.status() == Status(code=130)
        assert living(zap.folder) == {}
    for job in jobs:
        assert (zap.folder / job / "got").read_text() == "TERM\n"


def test_a_terminal_that_is_closed_ends_everything(zap: Zap) -> None:
    jobs = by_pipe_and_terminal(IGNORES, grace=0.1)
    write(zap, jobs, own_folders=True)
    with on_a_terminal(zap) as process, open(os.devnull) as nothing:
        wait_up(zap, *jobs)
        os.dup2(nothing.fileno(), process.out_fd)
        assert select.select([process.end_fd], [], [], DEADLINE)[0]
        assert living(zap.folder) == {}


def test_who_reads_nothing_keeps_neither_jobs_nor_zap_alive(zap: Zap) -> None:
    """As under a pager: the jobs end at the first signal, and zap, which wants to tell of it, at the second."""
    write(zap, {"j": f"{UP}; {FLOODS}"})
    with zap.start("run") as process:
        assert process.stdout
        held = array.array("i", [0])
        fd = process.stdout.fileno()
        # The pages of a full pipe are not full themselves.
        wait_until(lambda: not fcntl.ioctl(fd, termios.FIONREAD, held) and held[0] > 32 * 1024, "the pipe to be full")
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not living(zap.folder), "the job to end")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 143


# How a job ended, and what follows.


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        ("exit 0", {"code": 0}, 0),
        ("exit 1", {"code": 1}, 1),
        ("exit 255", {"code": 255}, 255),
        ("no-such-program", {"code": 127}, 127),
        ("./jobs.yaml", {"code": 126}, 126),
        ("(", {"code": 2}, 2),
        ("kill -TERM $$", {"signal": "TERM"}, 143),
        ("ulimit -c 0; kill -SEGV $$", {"signal": "SEGV"}, 139),
        ("sh -c 'kill -KILL $$'", {"code": 137}, 137),
    ],
)
def test_how_a_job_ended_is_how_zap_ends(zap: Zap, command: str, status: dict[str, Any], code: int) -> None:
    write(zap, by_pipe_and_terminal(command))
    told, ended = zap.told()
    assert ended == code
    assert [item["status"] for item in facts(told, "exited")] == [status, status]


def test_a_job_was_started_though_its_secret_could_not_be_had(zap: Zap) -> None:
    """How the command had ended was taken for an orphan's, when another job ended while its output was still held."""
    begun = "while ! [ -e begun ]; do sleep 0.01; done"
    fails = "touch begun; while ! [ -e go ]; do sleep 0.01; done & exit 4"
    asks = {"commands": ["touch lived"], "answers": [{"prompt": "never asked", "secret": {"command": fails}}]}
    write(zap, {"j": asks, "ends": begun, "lets": f"{begun}; sleep 0.5; touch go"})
    told, code = zap.told()
    assert code == 127
    assert "exit status 4" in facts(told, "not_spawned", "s/j")[0]["why"]
    assert not (zap.folder / "lived").exists()


def test_codes_that_are_a_success_are_one(zap: Zap) -> None:
    write(zap, {"j": {"commands": ["exit 3"], "success_codes": [0, 3]}, "k": {"commands": ["exit 0"]}})
    told, code = zap.told()
    assert code == 0
    assert {item["outcome"] for item in told[-1]["jobs"]} == {"done"}


def test_a_job_that_restarts_always_does_so_after_a_success_too(zap: Zap) -> None:
    """Until it is stopped; a success uses up no try."""
    write(zap, {"j": {"commands": ["exit 0"], "restart": "always", "tries": 2, "backoff": 0}})
    with zap.start("run", "--json") as process:
        next_fact(process, lambda told: told["event"] == "spawned" and told["epoch"] == 5)
        process.send_signal(signal.SIGTERM)
        rest = [json.loads(line) for line in process.communicate(timeout=DEADLINE)[0].splitlines()]
    assert process.returncode == 143
    assert rest[-1]["jobs"][0]["outcome"] == "stopped"


def test_tries_are_given_back_after_a_healthy_while(zap: Zap) -> None:
    """Two quick failures, a run that is healthy for long enough before it fails as well, and three tries anew."""
    command = "echo >>runs; [ $(wc -l <runs) != 3 ] || sleep 1.5; exit 7"
    backoff = {"first": 0.01, "most": 0.02, "jitter": 0}
    job = {"commands": [command], "restart": "on-failure", "tries": 3, "settle": 0.5, "backoff": backoff}
    write(zap, {"j": job})
    told, code = zap.told()
    assert code == 7
    assert len(facts(told, "spawned")) == 5
    assert facts(told, "became")[-1]["why"].endswith("gave up after 3 tries")
    delays = [item["seconds"] for item in facts(told, "became") if item["state"] == "backoff"]
    assert delays == pytest.approx([0.01, 0.02, 0.01, 0.02])


def test_who_ends_before_it_has_settled_was_never_ready(zap: Zap) -> None:
    write(zap, {"j": {"commands": ["exit 3"], "settle": 1000}})
    told, code = zap.told("--until", "ready")
    assert code == 3
    assert "ready" not in [item["state"] for item in facts(told, "became")]


def test_until_ready_waits_for_the_run_that_settles(zap: Zap) -> None:
    command = "echo >>runs; [ $(wc -l <runs) = 3 ] || exit 3; sleep 1000"
    write(zap, {"j": {"commands": [command], "settle": 0.5, "restart": "on-failure", "backoff": 0}})
    told, code = zap.told("--until", "ready")
    assert code == 0
    assert [item["epoch"] for item in facts(told, "became") if item["state"] == "ready"] == [3]
    assert told[-1]["jobs"][0]["outcome"] == "stopped"
    assert living(zap.folder) == {}
