"""What jobs use: on written-down process tables, on invented ones with the truth beside them, and by real processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.programs import python
from tests.zap import DEADLINE, wait_until
from zap import census
from zap.census import Census, Process
from zap.sampler import PROCESSORS, Load, Sampler

# Far above any real pid (PID_MAX_LIMIT is 2 ** 22), so that no tag is found for them.
SHELL, CHILD, GRANDCHILD = (2**23 + number for number in range(3))
MB = 10**6
STEP = 1000.0  # seconds between two samples, as we say: long enough that no machine has used them up

TICK = 0.01  # what the kernel rounds the times of a process to, proc(5)
ENDING = 0.15  # seconds of cpu that ending may take, which comes after the last look


def process(pid: int, cpu: float = 0.0, reaped: float = 0.0, state: str = "S", start: float = 1.0) -> Process:
    """The shell's child is the child, and its child the grandchild."""
    return Process(pid, pid - 1, SHELL, SHELL, state, cpu, reaped, start)


def shell(cpu: float = 0.0, reaped: float = 0.0) -> Process:
    return process(SHELL, cpu, reaped)


def spent(*looks: list[Process]) -> list[float]:
    """The seconds of cpu that each look but the first tells."""
    sampler, told = Sampler(), []
    for number, look in enumerate(looks):
        load = sampler.sample(Census(look), number * STEP, {"s/j": (SHELL, "no such tag")})["s/j"]
        told.append(round(load.cpu * STEP / 100, 6))
    assert told[0] == 0.0
    return told[1:]


@pytest.mark.parametrize(
    ("looks", "seconds"),
    [
        ([[shell(5)], [shell(5)]], [0]),
        ([[shell(5)], [shell(6.5)], [shell(7)]], [1.5, 0.5]),
        ([[shell()], [shell(reaped=2)]], [2]),
        ([[], [shell(2, 3)]], [5]),
        ([[shell(), process(CHILD, 3600)], [shell(reaped=3600.5)], [shell(reaped=3601)]], [0.5, 0.5]),
        ([[shell(), process(CHILD, 3600)], [shell(), process(CHILD, 3601, state="Z")], [shell(reaped=3601)]], [1, 0]),
        (
            [[shell(1), process(CHILD, 2, 3), process(GRANDCHILD, 4, 5)], [shell(1, 2 + 3 + 4 + 5 + 0.25)]],
            [0.25],
        ),
        ([[shell(1), process(CHILD, 3600)], [shell(2)], [shell(3)], [shell(4, 1)]], [1, 1, 2]),
        ([[shell(1), process(CHILD, 3600)], [shell(2)], [shell(2, 3600.5)]], [1, 0.5]),
        (
            [
                [shell(), process(CHILD), process(GRANDCHILD, 3600)],
                [shell(), process(CHILD)],
                [shell(reaped=3600.5)],
            ],
            [0, 0.5],
        ),
        ([[shell(), process(CHILD, 3600)], [shell(reaped=3600), process(CHILD, 2, start=9)]], [2]),
        (
            [[shell(), process(CHILD)._replace(group=1, session=1, parent=1, cpu=50)], [shell(), process(CHILD, 51)]],
            [1],
        ),
        (
            [
                [shell(), process(CHILD, 3600), process(GRANDCHILD, 1)._replace(parent=SHELL)],
                [shell(), process(GRANDCHILD, 1)._replace(parent=SHELL)],
                [shell()],
                [shell(reaped=5)],
                [shell(reaped=6)],
            ],
            [0, 0, 4, 1],
        ),
        ([[shell(), process(CHILD, 1)._replace(parent=GRANDCHILD), process(GRANDCHILD, 1)], [shell(1)]], [1]),
        ([[shell()], []], [0]),
        ([[shell()], [shell(STEP * PROCESSORS * 2)]], [STEP * PROCESSORS]),
    ],
    ids=[
        "nothing",
        "its own",
        "of a child that nobody saw",
        "of a shell that is new",
        "of a child that was seen, and then reaped",
        "of a child that has ended, and then is reaped",
        "of a child and its child, both reaped",
        "of a child that somebody else has reaped",
        "of a child that was reaped while the table was read",
        "of a grandchild that was, before the child was",
        "of a child with the pid of another",
        "of one that joins the family",
        "of others, soon after somebody else has reaped much",
        "of two that were each other's parents while the table was read",
        "of nobody",
        "no more than there is",
    ],
)
def test_what_is_used_between_two_looks_is_told_once(looks: list[list[Process]], seconds: list[float]) -> None:
    assert spent(*looks) == seconds


def test_a_percent_is_of_one_processor_and_memory_is_that_of_the_living() -> None:
    sampler = Sampler()
    jobs = {"s/a": (SHELL, "a"), "s/b": (SHELL + 100, "b"), "s/gone": (SHELL + 200, "c")}
    sampler.sample(Census([shell(), process(SHELL + 100)._replace(group=SHELL + 100, session=SHELL + 100)]), 10.0, jobs)
    mine = [shell(0.5)._replace(memory=3 * MB), process(CHILD, 0.5)._replace(memory=4 * MB)]
    ended = process(GRANDCHILD, 0.5, state="Z")
    other = process(SHELL + 100, 0.5)._replace(group=SHELL + 100, session=SHELL + 100, memory=MB, parent=1)
    loads = sampler.sample(Census([*mine, ended, other]), 12.0, jobs)
    assert loads == {
        "s/a": Load("s/a", 75.0, 7 * MB, 2),
        "s/b": Load("s/b", 25.0, MB, 1),
        "s/gone": Load("s/gone", 0.0, 0, 0),
    }


def test_no_time_between_two_samples_is_no_error() -> None:
    sampler = Sampler()
    for _ in range(2):
        assert sampler.sample(Census([shell(7)]), 10.0, {"s/j": (SHELL, "a")})["s/j"].cpu == 0.0


class Kernel:
    """Processes that work, fork, end and wait, as fork(2) and wait(2) say; times are in whole seconds."""

    def __init__(self) -> None:
        self.now = {SHELL: shell()}
        self.used = 0.0  # by everyone, ever
        self.has_lost = False

    def act(self, deed: str, which: int) -> None:
        living = [one for one in self.now.values() if not one.has_ended]
        one = living[which % len(living)]
        children = [other for other in self.now.values() if other.parent == one.pid]
        match deed:
            case "work":
                self.now[one.pid] = one._replace(cpu=one.cpu + 1 + which % 7)
                self.used += 1 + which % 7
            case "fork":
                pid = max(self.now) + 1
                self.now[pid] = process(pid, start=len(self.now) + self.used)._replace(parent=one.pid)
            case "end" if one.pid != SHELL:
                self.now[one.pid] = one._replace(state="Z")
                for child in children:
                    self.now[child.pid] = child._replace(parent=1)
                    self.has_lost = True
            case "wait" if ended := [child for child in children if child.has_ended]:
                child = self.now.pop(ended[which % len(ended)].pid)
                self.now[one.pid] = one._replace(reaped=one.reaped + child.cpu + child.reaped)
            case "wait by another":
                for orphan in [other for other in self.now.values() if other.parent == 1 and other.has_ended]:
                    del self.now[orphan.pid]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["work", "work", "fork", "fork", "end", "wait", "wait by another", "look"]),
            st.integers(0, 1000),
        ),
        max_size=80,
    )
)
def test_nothing_is_told_that_was_not_used_and_all_of_it_while_a_family_reaps_its_own(
    deeds: list[tuple[str, int]],
) -> None:
    kernel, sampler, at, used = Kernel(), Sampler(), 0.0, 0.0
    leaders = {"s/j": (SHELL, "no such tag")}
    sampler.sample(Census(kernel.now.values()), at, leaders)
    for deed, which in [*deeds, ("look", 0)]:
        if deed != "look":
            kernel.act(deed, which)
            continue
        at += STEP
        load = sampler.sample(Census(kernel.now.values()), at, leaders)["s/j"]
        told, truth = load.cpu * STEP / 100, kernel.used - used
        assert -1e-6 < told < truth + 1e-6
        assert kernel.has_lost or told > truth - 1e-6
        used = kernel.used


# Real processes. They say a line when they have come to a point, and go on when they are told to.


@contextmanager
def job(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["/bin/sh", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as born:
        try:
            yield born
        finally:
            if born.poll() is None:
                os.killpg(born.pid, 9)


def hear(born: subprocess.Popen[bytes]) -> bytes:
    assert born.stdout
    return born.stdout.readline()


def go_on(born: subprocess.Popen[bytes]) -> None:
    assert born.stdin
    born.stdin.write(b"\n")
    born.stdin.flush()


def sample(sampler: Sampler, now: float, *born: subprocess.Popen[bytes]) -> list[Load]:
    loads = sampler.sample(census.take(), now, {str(one.pid): (one.pid, "no such tag") for one in born})
    return [loads[str(one.pid)] for one in born]


def seconds(load: Load) -> float:
    return load.cpu * STEP / 100


def used_by_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


BURN = "import time\nwhile time.process_time() < {}: pass\n"
SAY_AND_WAIT = "print(flush=True); input()"


def test_a_busy_job_has_used_what_the_system_says_that_it_has_used() -> None:
    program = python(f"{SAY_AND_WAIT}\n{BURN.format(0.4)}{SAY_AND_WAIT}")
    with job(program) as busy, job("echo; exec sleep 1000") as idle:
        hear(busy)
        hear(idle)
        wait_until(lambda: psutil.Process(idle.pid).name() == "sleep", "the shell to become sleep")
        sampler, its_own = Sampler(), psutil.Process(busy.pid)
        sample(sampler, 0.0, busy, idle)
        before = sum(its_own.cpu_times()[:2])
        go_on(busy)
        hear(busy)
        load, other = sample(sampler, STEP, busy, idle)
        used = sum(its_own.cpu_times()[:2]) - before
        assert used > 0.3
        assert seconds(load) == pytest.approx(used, abs=4 * TICK)
        assert seconds(other) < 0.1
        assert (load.processes, other.processes) == (1, 1)


def test_an_idle_job_uses_nothing() -> None:
    with job("echo; sleep 1000 & wait") as idle:
        hear(idle)
        sampler, now = Sampler(), 0.0
        sample(sampler, now, idle)

        def rests() -> bool:
            nonlocal now
            now += STEP
            [load] = sample(sampler, now, idle)
            return load.cpu == 0.0 and load.processes == 2

        wait_until(rests, "sh and sleep to rest")


def test_a_job_is_charged_for_short_children_that_no_look_has_seen() -> None:
    before = used_by_ended_children()
    child = python(BURN.format(0.05))
    with job(f"read go; for i in 1 2 3 4 5 6 7 8; do ({child}); done; echo; read go; exit 0") as forks:
        sampler = Sampler()
        sample(sampler, 0.0, forks)
        go_on(forks)
        hear(forks)
        [load] = sample(sampler, STEP, forks)
        go_on(forks)
        assert forks.wait(DEADLINE) == 0
    assert load.processes == 1
    assert seconds(load) > 0.35
    assert seconds(load) == pytest.approx(used_by_ended_children() - before, abs=ENDING)


def test_a_job_is_charged_once_for_children_that_were_looked_at_while_they_lived() -> None:
    before = used_by_ended_children()
    child = python(f"{BURN.format(0.05)}{SAY_AND_WAIT}")
    with job(f"for i in 1 2 3 4 5 6 7 8; do ({child}); done; echo; read go; exit 0") as forks:
        sampler, told, now = Sampler(), 0.0, 0.0
        sampler.sample(census.take(), now, {})
        for _ in range(8):
            hear(forks)
            [load] = sample(sampler, now + STEP, forks)
            assert load.processes == 2
            go_on(forks)
            [later] = sample(sampler, now + 2 * STEP, forks)  # while it ends, is reaped, or the next is there
            now += 2 * STEP
            told += seconds(load) + seconds(later)
        hear(forks)
        told += seconds(sample(sampler, now + STEP, forks)[0])
        go_on(forks)
        assert forks.wait(DEADLINE) == 0
    assert told > 0.35
    assert told == pytest.approx(used_by_ended_children() - before, abs=ENDING)


def test_memory_that_a_child_takes_shows() -> None:
    takes = f"{SAY_AND_WAIT}; taken = b'x' * {50 * MB}; {SAY_AND_WAIT}"
    with job(f"({python(takes)}); exit 0") as grows:
        hear(grows)
        [before] = sample(Sampler(), 0.0, grows)
        go_on(grows)
        hear(grows)
        [after] = sample(Sampler(), 0.0, grows)
        assert (
            45 * MB < after.memory - before.memory < 60 * MB
        )  # the kernel may be late with some pages of each processor
        go_on(grows)


def test_who_hides_in_a_session_of_its_own_is_charged_to_the_job_that_it_is_tagged_with() -> None:
    """Seen by a subreaper, which the test itself is not."""
    hides = python(
        "import os, time\nos.fork() and os._exit(0)\nos.setsid()\nos.fork() and os._exit(0)\n"
        f"print(os.getpid(), flush=True)\n{BURN.format(0.3)}print('done', flush=True)\ntime.sleep(1000)"
    )
    watcher = """
import json, os, select, signal, sys
from zap import census, child
from zap.sampler import Sampler
from tests.zap import wait_until

child.adopt_orphans()
def spawn(program, tag):
    env = {"PATH": os.environ["PATH"], "ZAP_RUN": tag}
    return child.spawn(
        ["/bin/sh", "-c", program], cwd="/", env=env, has_tty=False, has_input=False, nonce="n", tag=tag
    )
other, one = spawn("exec sleep 1000", "me:s/j:10"), spawn(sys.argv[1], "me:s/j:1")
leaders = {"other": (other.pid, other.tag), "one": (one.pid, one.tag)}
sampler = Sampler()
sampler.sample(census.take(), 0.0, leaders)
text = b""
while not text.endswith(b"done\\n"):
    select.select([one.out_fd], [], [])
    text += os.read(one.out_fd, 100)
wait_until(one.status, "the leader to end")
look = census.take()
tree = [(member.depth, member.pid) for member in look.tree(one.pid, one.tag)]
print(json.dumps([sampler.sample(look, 1000.0, leaders), one.pid, int(text.split()[0]), tree]))
child.kill(census.take().below(os.getpid()), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", watcher, hides], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert not done.stderr, done.stderr
    loads, leader, hidden, tree = json.loads(done.stdout)
    one, other = Load(*loads["one"]), Load(*loads["other"])
    assert one.processes == other.processes == 1
    assert seconds(one) > 0.25
    assert one.memory > other.memory > 0
    assert seconds(other) < 0.1
    assert tree == [[0, leader], [0, hidden]]  # the shell has ended, and nobody has waited for it yet
