"""Whatever a job, zap or a person needs of the system is not to be had for a while: descriptors, memory, room on the
disk, terminals, folders, shells, files, time. Each is an event and a sentence; nothing of it ends the runner, nobody
else loses a line, and when it is over, what could not be done is done.

The faults are the kernel's own, and only for the runner of the test: its limits, its namespaces, its files.

(Elsewhere: descriptors for clients in tests/test_server.py, what is kept for the next runner in tests/test_store.py and
tests/test_memory.py, full disks below the runner in tests/test_journal.py and tests/test_logfiles.py, a terminal that
is closed over the interface in tests/test_interface_real.py, one process that reads clocks in tests/test_clocks.py.)
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.born import real_root
from tests.heard import Heard
from tests.programs import python
from tests.served import children
from tests.terminal import Terminal
from tests.torture.survivors import kill_all
from tests.zap import DEADLINE, Zap, facts, is_alive, wait_until, working_in
from zap import dial, requests
from zap.events import Stream

COUNTS = python(
    "import itertools, time\nfor number in itertools.count(1):\n    print(number, flush=True)\n    time.sleep(0.01)\n"
)
"""Lines with their numbers, a hundred in a second."""

NEIGHBOURS = {
    f"on-a-{kind}": {"commands": [COUNTS], "tty": kind == "terminal", "buffer": {"lines": 1_000_000, "bytes": "64MiB"}}
    for kind in ("terminal", "pipe")
}
"""Who have nothing to do with what goes wrong."""

AGAIN = {"restart": "always", "tries": "unlimited", "backoff": {"first": "0.5s", "factor": 1.0, "jitter": 0}}
SLEEPS = {"commands": ["exec sleep 1000"]} | AGAIN
STEP = 20  # lines by which a neighbour goes on when it does
TIOCVHANGUP = 0x5437  # ioctl_tty(2)


class Scene:
    """A runner whose jobs are about to meet something. `line` is a connection that was there before."""

    def __init__(self, zap: Zap, process: subprocess.Popen[str]) -> None:
        self.zap = zap
        (self.pid,) = children(process.pid)
        self.heard = Heard(zap)
        self.line = self._dial()

    @property
    def newest(self) -> int:
        """The number of the last event so far."""
        self.heard.so_far("opened")
        return int(self.heard.told[-1]["n"])

    def why(self, job: str) -> str:
        """The sentence."""
        done = self.zap.run("why", job)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def said(self, job: str, stream: Stream = "zap") -> list[str]:
        """All lines of a stream of a job that are whole, as `zap logs` shows them; `zap` is the runner's own log."""
        with self._dial() as line:
            tail = line.tail(job, 0, 1_000_000)
        assert not tail.dropped
        return [line.text.decode() for line in tail.lines if line.stream == stream and not line.is_open]

    def numbers(self, job: str) -> int:
        """How far a neighbour has counted, of whom no number is missing."""
        told = list(map(int, self.said(f"s/{job}", "out")))
        assert told == list(range(1, len(told) + 1)), job
        return len(told)

    def inside(self, *argv: str) -> None:
        """Runs it where the runner sees its files."""
        argv = ("nsenter", "--target", str(self.pid), "--mount", "--", *argv)
        subprocess.run(argv, check=True, timeout=DEADLINE, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        self.line.close()
        self.heard.close()

    def _dial(self) -> dial.Line:
        line = dial.reach(self.zap.place)
        assert line
        return line


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    left = working_in(tmp_path)
    kill_all(tmp_path)
    assert not left


@contextlib.contextmanager
def scene(zap: Zap, jobs: Mapping[str, object], before: Sequence[str] = ()) -> Iterator[Scene]:
    """With `before`, words that start the runner elsewhere. When it is over, nobody's lines are missing, all go on, the
    runner is still the one that it was, and nobody has complained of a bug.
    """
    zap.write(json.dumps({"defaults": {"settle": "0s"}, "systems": {"s": {**NEIGHBOURS, **jobs}}}))
    process = zap.spawn(*before, sys.executable, "-m", "zap", "serve")
    with process:
        try:
            wait_until(lambda: zap.runner() is not None or process.poll() is not None, "the runner")
            assert process.poll() is None, process.communicate()
            one = Scene(zap, process)
            with contextlib.closing(one):
                for job in NEIGHBOURS:
                    one.heard.became(f"s/{job}", "ready")
                yield one
                before_that = {job: one.numbers(job) for job in NEIGHBOURS}
                for job, least in before_that.items():
                    wait_until(lambda job=job, least=least: one.numbers(job) > least + STEP, f"{job} to go on")  # type: ignore[misc]
                assert zap.runner() == one.pid
                assert "bug" not in "".join(one.said("zap"))
                one.line.call(requests.Close(is_hurried=True))
            said, _ = process.communicate(timeout=DEADLINE)
            assert (process.returncode, said) == (0, "")
        finally:
            process.kill()


def cannot_start(one: Scene, job: str, why: str, begin: Callable[[], object], end: Callable[[], object]) -> None:
    """While a job cannot be started, that is told, where one looks for it; and it starts when it can be."""
    after = one.newest
    begin()
    one.line.call(requests.Restart((job,)))
    told = one.heard.wait("not_spawned", job, after=after)
    assert why in told["why"]
    assert why in one.heard.wait("became", job, after=told["n"], state="backoff")["why"]
    assert why in one.why(job)
    end()
    after = one.heard.wait("spawned", job, after=told["n"])["n"]
    one.heard.became(job, "ready", after)
    assert f"✗ cannot start: {told['why']}" in one.said(job)


# What the system gives to processes.


@contextlib.contextmanager
def no_descriptor(pid: int) -> Iterator[None]:
    """All that are used up to now stay; the next one would be more than the process may have (EMFILE)."""
    used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_without_descriptors_jobs_end_as_ever_and_start_later(zap: Zap) -> None:
    jobs = {
        "starts": SLEEPS | {"start": False},
        "leaves": {
            "commands": ["(trap '' TERM HUP; echo $$; exec sleep 1000) & read line; exit 3"],
            "restart": "never",
            "grace": "0.1s",
        },
        "probed": SLEEPS | {"ready": {"command": "true", "every": "0.1s"}, "start": False},
        "logged": {"commands": ["while read line; do echo $line; done"], "log": "said", "tty": True},
        "healthy": SLEEPS | {"health": {"command": "true", "every": "0.1s", "fails": 1}},
    }
    with scene(zap, jobs) as one:
        leaves = one.heard.pids()["s/leaves"]
        wait_until(lambda: one.said("s/leaves", "out"), "who is left behind to refuse")
        group = [pid for pid in working_in(zap.folder) if os.getpgid(pid) == leaves]
        assert len(group) == 2
        after = one.newest
        with no_descriptor(one.pid):
            one.line.call(requests.Start(("s/starts", "s/probed")))
            one.line.call(requests.Send(("s/leaves", "s/logged"), "go\n"))
            told = one.heard.wait("not_spawned", "s/starts", after=after)
            assert told["why"] == "Too many open files"
            assert one.heard.wait("exited", "s/leaves")["status"] == {"code": 3}
            one.heard.became("s/leaves", "failed")
            assert not any(map(is_alive, group))
            told = one.heard.wait("degraded", "s/healthy", after=after)
            assert (told["what"], told["why"]) == ("asking how it is", "it could not be started: too many open files")
        after = one.heard.told[-1]["n"]
        one.heard.wait("recovered", "s/healthy", after=after)
        assert not facts(one.heard.told, "exited", "s/healthy")
        for job in ("starts", "probed"):
            one.heard.became(f"s/{job}", "ready", after)
        assert zap.wait_file("said") == "go\ngo\n"  # what the terminal shows, and the job


CANNOT_FORK = """
import ctypes, os, signal, sys

def no_more(*_):
    libc.unshare(CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        os._exit(0)
    os.waitpid(first, 0)

def as_before(*_):
    fd = os.open("/proc/self/ns/pid", os.O_RDONLY)
    libc.setns(fd, CLONE_NEWPID)
    os.close(fd)

if "serve" in sys.orig_argv:
    CLONE_NEWPID = 0x20000000
    libc = ctypes.CDLL(None)
    signal.signal(signal.SIGUSR1, no_more)
    signal.signal(signal.SIGUSR2, as_before)
"""
"""At a signal, children would be born where the first process has ended, for which there is no memory
(pid_namespaces(7), ENOMEM); at another one, where they were born before."""


@real_root
def test_without_memory_for_another_process_jobs_start_later(zap: Zap) -> None:
    zap.write(CANNOT_FORK, "python/sitecustomize.py")
    zap.env["PYTHONPATH"] = str(zap.folder / "python")
    jobs = {
        "starts": SLEEPS,
        "asked": {"commands": ["trap 'exit 0' TERM; while :; do sleep 0.05; done"], "stop": {"command": "false"}},
        "healthy": SLEEPS | {"health": {"command": "true", "every": "0.1s", "fails": 1}},
    }
    with scene(zap, jobs) as one:
        pid = one.pid

        def begin() -> None:
            os.kill(pid, signal.SIGUSR1)
            told = one.heard.wait("degraded", "s/healthy")
            assert (told["what"], told["why"]) == (
                "asking how it is",
                "it could not be started: cannot allocate memory",
            )
            one.line.call(requests.Stop(("s/asked",)))
            assert one.heard.wait("hook_failed", "s/asked")["why"] == "Cannot allocate memory"
            one.heard.became("s/asked", "stopped")

        one.heard.became("s/healthy", "ready")
        cannot_start(one, "s/starts", "Cannot allocate memory", begin, lambda: os.kill(pid, signal.SIGUSR2))
        one.heard.wait("recovered", "s/healthy")
        assert not facts(one.heard.told, "exited", "s/healthy")


# What is kept.


def test_while_nothing_can_be_written_down_the_jobs_go_on(zap: Zap) -> None:
    """Neither the journal nor what is kept for a runner that takes over (RLIMIT_FSIZE)."""
    whats = ("the journal", "what is kept for a runner that takes over")
    with scene(zap, {}) as one:
        before = resource.prlimit(one.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (0, before[1]))
        for what in whats:
            assert "File too large" in one.heard.wait("degraded", what=what)["why"]
        least = one.numbers("on-a-pipe")
        wait_until(lambda: one.numbers("on-a-pipe") > least + STEP, "it to go on")
        resource.prlimit(one.pid, resource.RLIMIT_FSIZE, before)
        for what in whats:
            one.heard.wait("recovered", what=what)
        log = "\n".join(one.said("zap"))
        for what in whats:
            assert f"⚠ {what}: " in log
            assert f"⚠ {what} works again" in log


def check_file(path: Path, least: int) -> None:
    """A neighbour's lines up to this one are there, each once."""

    def last() -> int:
        numbers = list(map(int, path.read_text().rpartition("\n")[0].split()))
        assert numbers == list(range(1, len(numbers) + 1))
        return len(numbers)

    wait_until(lambda: last() >= least, f"line {least} in {path.name}")


DISK = 'mount -t tmpfs -o size=4m zap disk && exec "$@"'
MUCH = python(
    "import itertools, time\n"
    "for number in itertools.count(1):\n"
    "    print(number, flush=number % 50 == 0)\n"
    "    if number % 50 == 0: time.sleep(0.02)\n"
)


@real_root
@pytest.mark.real("unshare")
def test_a_full_disk_is_told_and_what_was_said_meanwhile_is_written_when_there_is_room(zap: Zap) -> None:
    """That of the journal and of a job's log file."""
    (zap.folder / "disk").mkdir()
    zap.env["HOME"] = str(zap.folder / "disk")
    jobs = {"says": {"commands": [MUCH], "log": "disk/said", "buffer": {"lines": 1_000_000, "bytes": "64MiB"}}}
    with scene(zap, jobs, ["unshare", "--mount", "sh", "-c", DISK, "sh"]) as one:
        disk = Path(f"/proc/{one.pid}/root{zap.folder}/disk")
        wait_until((disk / "said").exists, "the log file")
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", 0) as ballast:
            while ballast.write(b"." * 4096):
                pass
        for _ in range(100):  # more than there is room for in the last page that it has
            one.line.call(requests.Signal(("s/says",), "CONT"))
        journal = one.heard.wait("degraded", what="the journal")
        log = one.heard.wait("degraded", "s/says", what="the log file")
        for told in (journal, log):
            assert told["why"].endswith(": No space left on device")
        assert f"⚠ the log file: {zap.folder}/disk/said: No space left on device" in one.said("s/says")
        assert f"⚠ the journal: {journal['why']}" in one.said("zap")
        (disk / "ballast").unlink()
        for told in (journal, log):
            assert one.heard.wait("recovered", told["job"] or None, what=told["what"])["lost"] == ""
        check_file(disk / "said", one.numbers("says"))
        [path] = disk.rglob("journal.jsonl")
        kept = [json.loads(line)["n"] for line in path.read_text().splitlines()]
        assert kept == sorted(set(kept))
        assert journal["n"] in kept


# Terminals.

OWN_TERMINALS = (
    "mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 zap /dev/pts"
    ' && mount --bind /dev/pts/ptmx /dev/ptmx && exec "$@"'
)


@real_root
@pytest.mark.real("unshare")
def test_a_job_that_can_have_no_terminal_says_so_and_starts_when_it_can(zap: Zap) -> None:
    faults = {
        "sysctl kernel.pty.max": ("mount -o remount,max=1 /dev/pts", "mount -o remount,max=100 /dev/pts"),
        "(Invalid argument)": ("mount --bind /dev/null /dev/ptmx", "umount --lazy /dev/ptmx"),
        "(No such file or directory)": ("mount -t tmpfs zap /dev/pts", "umount --lazy /dev/pts"),
    }
    with scene(zap, {"j": SLEEPS}, ["unshare", "--mount", "sh", "-c", OWN_TERMINALS, "sh"]) as one:
        for why, (begin, end) in faults.items():
            begins, ends = partial(one.inside, *begin.split()), partial(one.inside, *end.split())
            cannot_start(one, "s/j", why, begins, ends)
            told = one.heard.so_far("not_spawned", "s/j")[-1]["why"]
            assert told.startswith("no terminal can be had: ")
            assert told.endswith("; with `tty: false` it needs none")


@real_root
def test_a_terminal_that_is_taken_away_ends_its_job_or_only_its_words(zap: Zap) -> None:
    waits = "while [ ! -e go ]; do sleep 0.02; done; echo lost; echo told >told"
    jobs = {"j": SLEEPS, "stays": {"commands": [f"trap '' HUP; echo first; {waits}; exit 5"], "restart": "never"}}
    with scene(zap, jobs) as one:
        one.heard.became("s/j", "ready")
        wait_until(lambda: one.said("s/stays", "out") == ["first"], "its first word")
        pids = one.heard.pids()
        after = one.newest
        for job in jobs:
            hang_up(pids[f"s/{job}"])
        told = one.heard.wait("exited", "s/j", after=after)
        assert told["status"] == {"signal": "HUP"}
        one.heard.became("s/j", "ready", told["n"])
        assert any("↺ killed by HUP" in line for line in one.said("s/j"))
        (zap.folder / "go").touch()
        assert one.heard.wait("exited", "s/stays")["status"] == {"code": 5}
        assert zap.wait_file("told") == "told\n"
        assert "s/stays is failed" in one.why("s/stays")


def hang_up(pid: int) -> None:
    """As if the line to the terminal of this process had gone (vhangup(2))."""
    import fcntl

    terminal = os.open(os.readlink(f"/proc/{pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.ioctl(terminal, TIOCVHANGUP)
    finally:
        os.close(terminal)


# Places.


def test_a_folder_a_shell_and_a_log_file_that_are_not_there_are_told_until_they_are(zap: Zap) -> None:
    folder, shell, log = zap.folder / "folder", zap.folder / "shell", zap.folder / "log"
    folder.mkdir()
    shell.symlink_to("/bin/sh")
    log.mkdir()
    jobs = {
        "deep": SLEEPS | {"cwd": "folder"},
        "odd": SLEEPS | {"shell": str(shell)},
        "limited": SLEEPS | {"shell": str(shell), "limits": {"nice": 1}},
        "logged": {"commands": [COUNTS], "log": "log"},
    }
    with scene(zap, jobs) as one:
        told = one.heard.wait("degraded", "s/logged", what="the log file")
        assert told["why"] == f"{log}: it is not a file; name another one"
        assert f"⚠ the log file: {told['why']}" in one.said("s/logged")
        log.rmdir()
        gone = "No such file or directory"
        cannot_start(one, "s/deep", f"folder {folder}: {gone}", folder.rmdir, folder.mkdir)
        for job in ("odd", "limited"):
            cannot_start(one, f"s/{job}", f"file {shell}: {gone}", shell.unlink, lambda: shell.symlink_to("/bin/sh"))
        assert one.heard.wait("recovered", "s/logged", what="the log file")["lost"] == ""
        check_file(log, one.numbers("logged"))


# Standing still, and time.

JUMPS = """
import os, sys, time
if "serve" in sys.orig_argv:
    wall, since = time.time, time.clock_gettime
    time.time = lambda: wall() + (3600 if os.path.exists("jump") else 0)
    slept = lambda: 60 if os.path.exists("jump") else 0
    time.clock_gettime = lambda clock: since(clock) + (slept() if clock == time.CLOCK_BOOTTIME else 0)
"""
"""The machine has slept for a minute, and its clock was set."""


def test_a_job_that_was_stopped_and_clocks_that_jump_are_told(zap: Zap) -> None:
    zap.write(JUMPS, "python/sitecustomize.py")
    zap.env["PYTHONPATH"] = str(zap.folder / "python")
    jobs = {"j": SLEEPS, "retries": {"commands": ["exit 3"]} | AGAIN | {"backoff": {"first": "1s", "factor": 1.0}}}
    with scene(zap, jobs) as one:
        one.heard.became("s/j", "ready")
        os.kill(one.heard.pids()["s/j"], signal.SIGSTOP)
        (zap.folder / "jump").touch()
        told = one.heard.wait("paused", "s/j")
        assert told["why"] == f"process {one.heard.pids()['s/j']} was stopped by a signal"
        assert round(one.heard.wait("slept")["seconds"]) == 60
        assert round(one.heard.wait("jumped")["seconds"]) == 3540
        assert "the machine was asleep for 1 min 0 s" in one.said("zap")
        assert "the clock was set forwards by 59 min 0 s" in one.said("zap")
        why = one.why("s/j")
        assert f": {told['why']}; `zap resume s/j` lets it go on" in why
        after = one.newest
        one.heard.wait("spawned", "s/retries", after=after)  # nobody waits for an hour, and nothing comes at once
        assert zap.run("resume", "s/j").returncode == 0
        one.heard.wait("resumed", "s/j")
        assert "s/j is ready" in one.why("s/j")


# Terminals of people.


@contextlib.contextmanager
def at_terminal(zap: Zap, text: str) -> Iterator[Terminal]:
    """A shell with this text, whose errors, and those of whom it starts, go to a file; afterwards it is closed."""
    with Terminal(["sh", "-c", f"exec 2>errors; {text}"], zap.folder, zap.env) as terminal:
        yield terminal


def test_a_terminal_that_is_closed_over_zap_run_ends_all_its_jobs(zap: Zap) -> None:
    stubborn = "trap '' HUP TERM; echo stubborn; while :; do sleep 0.05; done"
    zap.write(json.dumps({"systems": {"s": NEIGHBOURS | {"j": {"commands": [stubborn], "grace": "0.2s"}}}}))
    with at_terminal(zap, f"exec {sys.executable} -m zap run") as terminal:
        terminal.wait(lambda shown: "stubborn" in shown)
        terminal.wait(lambda shown: "on-a-pipe" in shown)
        assert len(working_in(zap.folder)) > 4
    wait_until(lambda: not working_in(zap.folder), "everybody to end")
    assert (zap.folder / "errors").read_text() == ""


def test_a_terminal_that_is_closed_over_those_who_look_leaves_the_jobs_running(zap: Zap) -> None:
    verbs = ["logs -f", "events -f", "up s/never"]
    never = {"commands": ["exec sleep 1000"], "ready": {"line": "never"}, "start": False}

    def looking() -> list[str]:
        commands = working_in(zap.folder).values()
        return [verb for verb in (*verbs, "attach") if any(f" -m zap {verb} " in command for command in commands)]

    with scene(zap, {"never": never}) as one:
        started = " & ".join(f"{sys.executable} -m zap {verb}" for verb in verbs)
        with at_terminal(zap, f"{started} & wait") as terminal:
            terminal.wait(lambda shown: "on-a-pipe" in shown)
            one.heard.wait("spawned", "s/never")
            assert looking() == verbs
        wait_until(lambda: not looking(), "them to end")
        assert (zap.folder / "errors").read_text() == ""
        with at_terminal(zap, f"exec {sys.executable} -m zap attach") as terminal:
            terminal.wait(lambda shown: "on-a-pipe" in shown)
            assert looking() == ["attach"]
        assert not looking()
        assert (zap.folder / "errors").read_text() == "zap: ended by SIGHUP; the jobs go on\n"
