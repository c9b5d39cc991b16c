"""What a runner that was killed has left behind: real processes whom nobody looks after, and mailboxes nobody opens."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.born import found_or_skip, real_root
from tests.torture.programs import BOMB_MOST, SWARM, command
from tests.torture.survivors import kill_all, living, wait_gone, wait_up
from tests.torture.test_killed import in_background, kill, wait_keeper, wait_runner
from tests.zap import DEADLINE, Zap, wait_until
from zap import cgroup, leftovers, paths
from zap.census import take
from zap.cgroup import Cgroup, Found
from zap.child import identity
from zap.errors import ZapError
from zap.events import Left
from zap.leftovers import Leftover
from zap.mailbox import Mailbox
from zap.plan import Limits

PLAN = f"plan-of-test-{os.getpid()}"
FREEZER = Path("/sys/fs/cgroup/freezer")
ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    kill_all(tmp_path)


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    kill_all(tmp_path)


def dead() -> str:
    """A keeper that is gone."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        keeper = identity(process.pid)
        process.kill()
    return keeper


def leave(folder: Path, text: str, job: str = "s/j", least: int = 1, **tags: str) -> set[int]:
    """A job without anybody above it: the pids of those that are up, of whom there are so many at least."""
    place = folder / job.replace("/", "-")
    place.mkdir()
    env = {"PATH": os.environ["PATH"], "ZAP_PLAN": PLAN, "ZAP_JOB": job, "ZAP_RUN": f"me:{job}:1"}
    kept = tags or {"ZAP_KEEPERS": dead()}
    argv = ["sh", "-c", 'setsid sh -c "$1" </dev/null >/dev/null 2>&1 &', "sh", text]
    subprocess.run(argv, cwd=place, env=env | kept, check=True, timeout=DEADLINE)
    wait_up(folder, [place.name], least)
    return pids(folder, job)


def pids(folder: Path, *jobs: str) -> set[int]:
    names = {job.replace("/", "-") for job in jobs}
    return {int(mark.partition(".")[0]) for mark, name in living(folder).items() if name in names}


def found() -> set[int]:
    return {one.pid for one in leftovers.find(PLAN)}


# Who is one.


def test_who_has_nobody_who_answers_for_it_is_one(folder: Path) -> None:
    one = leave(folder, command("ignores_term"), least=2)
    starts = {pid: process.start for pid, process in take().processes.items()}
    assert leftovers.find(PLAN) == [Leftover(pid, starts[pid], "s/j", "me:s/j:1") for pid in sorted(one)]
    assert len(one) == 2


def test_whoever_answers_for_it_has_to_live_and_to_be_the_same(folder: Path) -> None:
    me = identity(os.getpid())
    with subprocess.Popen(["sleep", "1000"]) as zombie:
        ended = identity(zombie.pid)
        zombie.kill()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        left = [
            leave(folder, command("daemon"), "a/1", 2, ZAP_KEEPERS=f"{dead()},{dead()}"),
            leave(folder, command("daemon"), "a/2", 2, ZAP_KEEPERS=f"{os.getpid()}.1"),  # the number is another's now
            leave(folder, command("daemon"), "a/3", 2, ZAP_KEEPERS=ended),  # nobody has asked how it ended
            leave(folder, command("daemon"), "a/4", 2, ZAP_RUNNER=dead().partition(".")[0]),
        ]
        leave(folder, command("daemon"), "b/1", 2, ZAP_KEEPERS=f"{dead()},{me}")
        leave(folder, command("daemon"), "b/2", 2, ZAP_KEEPERS=f"{os.getpid()}.0")  # its start is not known
        leave(folder, command("daemon"), "b/3", 2, ZAP_RUNNER=str(os.getpid()))
        leave(folder, command("daemon"), "b/4", 2, ZAP_KEEPERS=dead(), ZAP_PLAN=f"{PLAN}0")
        assert found() == set().union(*left)


def test_who_has_no_environment_any_more_is_one_below_another_or_in_its_session(folder: Path) -> None:
    orphan = f"(env -i PATH=$PATH sh -c '{command('ignores_term')}' &); "
    left = leave(folder, orphan + command("hides"), least=4)
    tags = [one.tag for one in leftovers.find(PLAN)]
    assert found() == left
    assert sorted(tags) == ["", "", "", "me:s/j:1"]
    assert {one.job for one in leftovers.find(PLAN)} == {"s/j"}


def test_who_asks_from_within_a_leftover_does_not_find_itself_nor_who_shares_its_terminal(folder: Path) -> None:
    other = leave(folder, command("ignores_term"), "s/other", 2)
    finds = f"import json; from zap import leftovers; print(json.dumps([one.pid for one in leftovers.find('{PLAN}')]))"
    script = f'sh -c \'{command("ignores_term", "elsewhere")}\' & "$0" -c "$1" >told; mv told done; wait'
    (folder / "s-inside").mkdir()
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ZAP_PLAN": PLAN, "ZAP_JOB": "s/inside"}
    argv = ["sh", "-c", script, sys.executable, finds]
    tags = {"ZAP_KEEPERS": dead()}
    with subprocess.Popen(argv, cwd=folder / "s-inside", env=env | tags, start_new_session=True) as inside:
        wait_until((folder / "s-inside" / "done").exists, "it to be told")
        os.killpg(inside.pid, signal.SIGKILL)
    assert set(json.loads((folder / "s-inside" / "done").read_text())) == other


def test_nobody_is_one_while_a_keeper_of_the_plan_lives_though_it_is_none_of_theirs(folder: Path) -> None:
    """Those that they know were killed in turns, and it looks after them now."""
    path = str(folder / "jobs.yaml")
    plan = paths.plan_id(path)
    other = leave(folder, command("daemon"), "s/other", 2, ZAP_KEEPERS=dead())
    mine = leave(folder, command("daemon"), "s/mine", 2, ZAP_KEEPERS=dead(), ZAP_PLAN=plan)
    program = """
import sys
from zap import keeper
argv = ["/bin/sh", "-c", "echo up; exec sleep 1000"]
keeper.become(sys.argv[1], {"argv": argv, "held": {}, "forwarded": []}, [])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, path], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    ) as keeper:
        try:
            assert keeper.stdout
            assert keeper.stdout.readline() == b"up\n"
            assert leftovers.find(plan) == []
            assert leftovers.end(plan, {"s/mine": 0}) is None
            assert pids(folder, "s/mine") == mine
            assert found() == other
        finally:
            os.killpg(keeper.pid, signal.SIGKILL)
    assert {one.pid for one in leftovers.find(plan)} == mine


def test_jobs_whose_runner_and_keeper_were_killed_in_turns_are_none(zap: Zap) -> None:
    """Not even for a `zap run` that cannot know that there is a runner, because that is in another place."""
    before, runner, keeper = in_background(zap, ["daemon-pipe"])
    kill(runner)
    wait_runner(zap, runner)
    kill(keeper)
    wait_keeper(zap, keeper)
    plan = paths.plan_id(str(zap.folder / "jobs.yaml"))
    assert leftovers._left(plan, (int(mark.partition(".")[0]) for mark in before))  # by what they know
    assert leftovers.find(plan) == []
    (zap.folder / "elsewhere").mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(zap.folder / "elsewhere")}
    zap.write(json.dumps({"systems": {"s": {"other": "true"}}}))
    assert zap.run("run", "--quiet", env=env).returncode == 0
    assert living(zap.folder) == before
    zap.end()
    assert not living(zap.folder)


# Its end.


def test_nobody_is_left_and_it_takes_the_grace_and_a_second_at_most(folder: Path) -> None:
    programs = {"ignores_term": 2, "leader_exits": 2, "daemon": 2, "forks_when_asked": 1, "flees_when_asked": 1}
    programs |= {"setsid_grandchild": 3, "swarm": SWARM, "hides": 2, "bomb": BOMB_MOST}
    for program, least in programs.items():
        leave(folder, command(program), f"s/{program}", least)
    begun = time.monotonic()
    told = leftovers.end(PLAN, {f"s/{program}": 0.5 for program in programs})
    assert not living(folder)
    gone = wait_gone(folder, begun)
    assert gone.seconds < 0.5 + 1 + 0.5  # it is one process, and looks at all of them again and again
    assert told and told.jobs == tuple(sorted(f"s/{program}" for program in programs))
    assert told.processes >= sum(programs.values())
    assert leftovers.end(PLAN, {}) is None


def test_who_heeds_term_is_not_waited_for_and_who_is_stopped_is_woken_to_hear_it(folder: Path) -> None:
    leave(folder, command("stops_itself"), "s/stopped")
    leave(folder, f"trap 'echo >bye; exit' TERM; sh -c '{command('ignores_term')}' & wait", "s/polite", 2)
    begun = time.monotonic()
    assert leftovers.end(PLAN, {"s/stopped": 1000, "s/polite": 0.2}) == Left(("s/polite", "s/stopped"), 4)
    assert time.monotonic() - begun < DEADLINE
    assert (folder / "s-polite" / "bye").exists()
    assert not living(folder)


def test_each_job_has_a_grace_of_its_own(folder: Path) -> None:
    leave(folder, command("ignores_term"), "s/long", 2)
    leave(folder, command("ignores_term"), "s/short", 2)
    finds = f"from zap import leftovers; leftovers.end('{PLAN}', {{'s/long': 1000, 's/short': 0}})"
    with subprocess.Popen([sys.executable, "-c", finds], cwd=ROOT) as ending:
        try:
            wait_until(lambda: not pids(folder, "s/short"), "one to be killed")
            assert pids(folder, "s/long")
            for pid in pids(folder, "s/long"):
                os.kill(pid, signal.SIGKILL)
            assert ending.wait(DEADLINE) == 0  # and did not sleep for a thousand seconds
        finally:
            ending.kill()


@pytest.mark.skipif(not os.access(FREEZER, os.W_OK), reason="there is no freezer (cgroups(7)) here, or not for us")
def test_who_does_not_even_heed_kill_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "END_MOST", 0.2)
    frozen = leave(folder, command("ignores_term"), least=2)
    group = FREEZER / f"test-{os.getpid()}"
    group.mkdir()
    try:
        for pid in frozen:
            (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        with pytest.raises(ZapError, match=f"process {min(frozen)} of s/j, process {max(frozen)} of s/j"):
            leftovers.end(PLAN, {"s/j": 0})
    finally:
        (group / "freezer.state").write_text("THAWED")
        wait_until(lambda: not living(folder), "them to end")
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
        group.rmdir()


# In control groups.


class Grouped:
    """A job that is left behind in groups of its own, by a runner of its own."""

    def __init__(self, found: Found, folder: Path, text: str, least: int, **tags: str) -> None:
        self.runner = os.urandom(6).hex()
        self.group = Cgroup(cgroup.make(found, cgroup.name(self.runner, "s/j", 1), Limits(pids=50)))
        joins = "".join(f"echo 0 >{path}/cgroup.procs; " for path in self.group.folders)
        self.pids = leave(folder, joins + text, "s/j", least, ZAP_RUN=f"{self.runner}:s/j:1", **tags)

    @property
    def is_there(self) -> bool:
        return any(os.path.exists(os.path.dirname(path)) for path in self.group.folders)


@pytest.fixture
def grouped(folder: Path) -> Iterator[Callable[..., Grouped]]:
    found = found_or_skip("pids", "freeze", "kill")
    made: list[Grouped] = []

    def make(text: str, least: int, **tags: str) -> Grouped:
        made.append(Grouped(found, folder, text, least, **tags))
        return made[-1]

    yield make
    for one in made:
        one.group.kill()
        wait_until(one.group.remove, "its group to go")


@real_root
def test_who_is_frozen_is_woken_to_hear_that_it_shall_end_and_its_group_goes(
    folder: Path, grouped: Callable[..., Grouped]
) -> None:
    one = grouped(f"trap 'echo >bye; exit' TERM; sh -c '{command('ignores_term')}' & wait", 2, ZAP_KEEPERS=dead())
    assert one.group.freeze()
    assert leftovers.end(PLAN, {"s/j": 0.2}) == Left(("s/j",), 3)
    assert (folder / "s-j" / "bye").exists()
    assert not living(folder)
    assert not one.is_there


@real_root
def test_who_hides_for_good_is_one_by_the_group_of_another(folder: Path, grouped: Callable[..., Grouped]) -> None:
    one = grouped(command("hides_for_good"), 2, ZAP_KEEPERS=dead())
    assert found() == one.pids
    assert {(left.job, left.tag) for left in leftovers.find(PLAN)} == {("s/j", f"{one.runner}:s/j:1"), ("s/j", "")}
    leftovers.end(PLAN, {"s/j": 0})
    assert not living(folder)
    assert not one.is_there


@real_root
def test_groups_of_a_runner_that_lives_stay_whoever_is_in_them(folder: Path, grouped: Callable[..., Grouped]) -> None:
    one = grouped(command("hides_for_good"), 2, ZAP_KEEPERS=identity(os.getpid()))
    other = cgroup.make(found_or_skip("pids"), cgroup.name(one.runner, "s/other", 1), Limits(pids=50))
    try:
        assert leftovers.end(PLAN, {}) is None
        assert pids(folder, "s/j") == one.pids
        assert all(map(os.path.exists, other))
    finally:
        Cgroup(other).remove()


@real_root
def test_an_empty_group_of_a_runner_that_is_gone_goes(folder: Path) -> None:
    folders = cgroup.make(found_or_skip("pids"), cgroup.name(os.urandom(6).hex(), "s/j", 1), Limits(pids=50))
    leftovers.end(PLAN, {})
    assert not any(map(os.path.exists, folders))


# Mailboxes.


def mailbox(folder: Path, name: str = "zap-abc123_z") -> tuple[Path, socket.socket]:
    path = folder / name
    path.mkdir(mode=0o700)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bound.bind(str(path / "notify"))
    return path, bound


def test_a_mailbox_that_nobody_opens_any_more_is_removed(folder: Path) -> None:
    path, bound = mailbox(folder)
    with bound:
        leftovers.end(PLAN, {})
        assert path.exists()
    leftovers.end(PLAN, {})
    assert not path.exists()


def test_a_mailbox_that_a_job_may_write_to_stays(folder: Path) -> None:
    loop = asyncio.new_event_loop()
    opened = Mailbox(loop, lambda notice: None)
    leftovers.end(PLAN, {})
    assert opened.path.startswith(str(folder))
    assert os.path.exists(opened.path)
    opened.close()
    loop.close()


def test_what_is_no_mailbox_stays(folder: Path) -> None:
    for name, other in {"zap-andmore1": "precious", "zap-abcdefghi": None, "elsewhere": None}.items():
        path, bound = mailbox(folder, name)
        bound.close()
        if other:
            (path / other).touch()
    (folder / "zap-link1234").symlink_to("elsewhere")
    (folder / "zap-empty123").mkdir()  # its socket may be on its way
    (folder / "zap-notafold").touch()
    (folder / "zap-file1234").mkdir()
    (folder / "zap-file1234" / "notify").write_text("precious")
    (folder / "zap-stream12").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "zap-stream12" / "notify"))
        listening.listen()
        before = sorted(folder.rglob("*"))
        leftovers.end(PLAN, {})
    assert sorted(folder.rglob("*")) == before
