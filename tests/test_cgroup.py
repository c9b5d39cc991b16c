"""Control groups as this machine has them: real processes in real groups, which are gone afterwards."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.born import Ward, found_or_skip, job, real_root, ward
from tests.programs import python
from tests.zap import wait_until
from zap import cgroup
from zap.cgroup import Ability, Cgroup, Found
from zap.events import Status
from zap.plan import MIB, Limits

BOMB = python(
    "import os, time\n"
    "end = time.monotonic() + 60\n"
    "while time.monotonic() < end:\n"
    " try: os.fork()\n"
    " except OSError: pass"
)
"""Forks for a minute, and so does everybody whom it forks."""

BUSY = "echo ready; while :; do :; done"
EATS = f"exec {sys.executable} -S -c 'print(len(bytearray(200 << 20)))'"
SLEEPS = "echo ready; exec sleep 1000"


@pytest.fixture
def children() -> Iterator[Ward]:
    with ward() as one:
        yield one


@pytest.fixture(params=["as it is", "without v2"])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Found:
    """What is found; also as if v2 were not mounted, where v1 is there as well."""
    found = found_or_skip("memory", "cpu", "pids", "freeze", "kill")
    if request.param == "as it is":
        return found
    mounts = Path("/proc/self/mountinfo").read_text().splitlines(keepends=True)
    old = find(tmp_path, "".join(line for line in mounts if " - cgroup2 " not in line))
    if not (old.pids.is_there and old.freeze.is_there):
        pytest.skip("v2 is all that there is")
    return old


def find(folder: Path, mounts: str, places: str | None = None) -> Found:
    """As a process finds it that has these mounts, and these places in them."""
    (folder / "mountinfo").write_text(mounts)
    (folder / "cgroup").write_text(Path("/proc/self/cgroup").read_text() if places is None else places)
    return cgroup.find(str(folder))


def groups_of_runners(found: Found, named: str = "") -> set[str]:
    return {
        f"{root}/{name}" for root in roots_of(found) for name in os.listdir(root) if name.startswith(f"zap-{named}")
    }


def roots_of(found: Found) -> set[str]:
    return {ability.root for ability in found if isinstance(ability, Ability) and ability.root}


# What is found.


def test_looking_leaves_nothing_behind() -> None:
    before = groups_of_runners(cgroup.find())
    new = groups_of_runners(cgroup.find()) - before
    wait_until(lambda: not any(map(os.path.exists, new)), "those of other tests to go, which alone may be there")


def test_without_control_groups_there_are_none(tmp_path: Path) -> None:
    found = find(tmp_path, "22 27 0:21 / /proc rw,relatime - proc proc rw\n", "")
    none = Ability(why="no control groups are mounted")
    assert found == Found("none", none, none, none, none, none)
    assert cgroup.find(str(tmp_path / "nowhere")) == found


@pytest.mark.parametrize(
    ("root", "place", "inner"),
    [
        ("/", "/", ""),
        ("/", "/user.slice/mine", "/user.slice/mine"),
        ("/docker/abc", "/docker/abc/deep", "/deep"),  # only a part is mounted, as in a container
        ("/docker/abc", "/docker/abc", ""),
        ("/docker/abc", "/docker/abcd", ""),  # we are in no part of what is mounted
        ("/", "/gone", ""),
        ("/", "/../../other", ""),  # of another namespace
    ],
)
def test_our_own_group_is_found_in_what_is_mounted(tmp_path: Path, root: str, place: str, inner: str) -> None:
    """It is an ordinary folder here, so that nothing can be limited in it, which is told with its name."""
    top = tmp_path / "with space"
    for folder in ("user.slice/mine", "deep"):
        (top / folder).mkdir(parents=True)
    escaped = str(top).replace(" ", "\\040")
    mounts = f"35 31 0:32 {root} {escaped} rw,relatime shared:9 - cgroup none rw,cpu,cpuacct,memory\n"
    found = find(tmp_path, mounts, f"7:pids:/\n4:memory,cpu,cpuacct:{place}\n0::/\n")
    assert found.memory == Ability(why=f"{top}{inner} has no memory.limit_in_bytes")
    assert found.cpu == Ability(why=f"{top}{inner} has no cpu.cfs_quota_us")
    assert found.pids.why == "no control groups are mounted"
    assert found.kind == "none"
    assert sorted(entry.name for entry in (top / inner.lstrip("/")).iterdir()) in (["deep", "user.slice"], [])


def test_who_may_not_make_groups_is_told_so(tmp_path: Path) -> None:
    """As nobody may in /proc, root neither."""
    found = find(tmp_path, "35 31 0:32 / /proc/self rw - cgroup2 none rw\n", "0::/\n")
    assert found.kind == "none"
    assert "/proc/self" in found.memory.why
    assert found.memory == found.kill


def test_a_group_without_any_of_the_limits_is_none() -> None:
    nothing = Ability(why="nobody has any")
    found = Found("none", nothing, nothing, Ability(why="none of that"), nothing, nothing)
    with pytest.raises(OSError, match=r"^nobody has any; none of that$"):
        cgroup.make(found, cgroup.name("0" * 12, "web/api", 1), Limits(1 * MIB, 1.0, 10))


@pytest.mark.parametrize(
    ("limits", "is_wanted"),
    [(Limits(memory=1), True), (Limits(cpu=1), True), (Limits(pids=2), True), (Limits(files=64, nice=1), False)],
)
def test_only_some_limits_want_a_group(limits: Limits, is_wanted: bool) -> None:
    assert cgroup.is_wanted(limits) == is_wanted


def test_no_two_runs_have_one_name() -> None:
    names = {cgroup.name(*run) for run in [("a", "x.y/z", 1), ("a", "x/y.z", 1), ("a", "x/y.z", 2), ("b", "x/y.z", 2)]}
    assert len(names) == 4
    assert all(name.count("/") == 1 for name in names)


# What holds.


@real_root
def test_a_group_has_the_limits_that_were_asked_for(children: Ward, found: Found) -> None:
    born = children.bear(job(SLEEPS, limits=Limits(8 * MIB, 0.5, 12)), found)
    assert born.group.limits == {"memory", "cpu", "pids"}
    told = {Path(folder, "pids.max").read_text() for folder in born.group.folders if Path(folder, "pids.max").exists()}
    assert told == {"12\n"}


@real_root
def test_who_wants_too_much_memory_is_killed_and_that_is_counted(children: Ward, found: Found) -> None:
    born = children.bear(job(f"{EATS} || true; echo after", limits=Limits(memory=32 * MIB)), found)
    assert born.ended() == Status(signal="KILL")
    assert born.group.kills_by_memory() == 1
    assert "after" not in born.out


@real_root
def test_who_has_enough_memory_is_not(children: Ward, found: Found) -> None:
    born = children.bear(job("echo fine", limits=Limits(memory=32 * MIB)), found)
    assert born.ended() == Status(code=0)
    assert born.group.kills_by_memory() == 0


@real_root
def test_who_wants_too_much_processor_waits(children: Ward, found: Found) -> None:
    born = children.bear(job(BUSY, limits=Limits(cpu=0.1)), found)
    [stat] = [Path(folder, "cpu.stat") for folder in born.group.folders if "cpu" in Cgroup([folder]).limits]

    def throttled() -> int:
        return next(int(line.split()[1]) for line in stat.read_text().splitlines() if line.startswith("nr_throttled"))

    wait_until(lambda: throttled() > 3, "it to have to wait")


@real_root
def test_a_fork_bomb_stays_within_its_limit_and_is_ended(children: Ward, found: Found) -> None:
    born = children.bear(job(BOMB, limits=Limits(pids=100)), found)
    wait_until(lambda: len(born.group.processes()) == 100, "the bomb to have gone off")
    wait_until(born.group.kill, "all of it to end")
    assert born.group.is_empty()
    assert born.ended() == Status(signal="KILL")


@real_root
def test_who_is_in_a_group_cannot_leave_it_by_a_session_of_its_own(children: Ward, found: Found) -> None:
    text = "setsid sh -c 'echo $$; exec sleep 1000' & wait; sleep 1000"
    born = children.bear(job(text, limits=Limits(pids=20)), found)
    assert int(born.line()) in born.group.processes()
    assert born.group.kill()


@real_root
def test_what_is_frozen_stands_still_until_it_is_thawed(children: Ward, found: Found) -> None:
    frozen = children.bear(job(BUSY, limits=Limits(pids=20)), found)
    other = children.bear(job(BUSY, limits=Limits(pids=20)), found)
    frozen.line()
    assert not frozen.group.is_frozen()
    assert frozen.group.freeze()
    assert frozen.group.is_frozen()
    at, since = cpu(frozen.child.pid), cpu(other.child.pid)
    wait_until(lambda: cpu(other.child.pid) > since + 10, "time to pass for somebody else")
    assert cpu(frozen.child.pid) == at
    frozen.group.thaw()
    assert not frozen.group.is_frozen()
    wait_until(lambda: cpu(frozen.child.pid) > at, "it to go on")


@real_root
def test_who_is_frozen_can_be_ended(children: Ward, found: Found) -> None:
    born = children.bear(job(SLEEPS, limits=Limits(pids=20)), found)
    born.line()
    assert born.group.freeze()
    assert born.group.kill()
    assert born.ended() == Status(signal="KILL")


def cpu(pid: int) -> int:
    """What it has used, in ticks (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# What is left of it.


@real_root
def test_a_group_goes_when_all_have_ended_even_if_nobody_has_reaped_them(children: Ward, found: Found) -> None:
    born = children.bear(job(SLEEPS, limits=Limits(pids=20)), found)
    born.line()
    assert not born.group.remove()
    born.child.signal_group(signal.SIGKILL)
    born.ended()
    wait_until(born.group.is_empty, "all to have ended")
    assert born.group.remove()
    assert not any(map(os.path.exists, born.group.folders))
    assert not any(os.path.exists(os.path.dirname(folder)) for folder in born.group.folders)
    assert born.group.remove(), "what is gone is no error"
    assert (born.group.kill(), born.group.is_frozen(), born.group.kills_by_memory()) == (True, False, 0)
    born.group.thaw()
    assert not born.group.freeze()


@real_root
def test_what_a_job_made_below_its_group_belongs_to_it(children: Ward, found: Found) -> None:
    born = children.bear(job(f"echo ready; read go; {EATS}", answers=("any",), limits=Limits(memory=32 * MIB)), found)
    born.line()  # it is in its own group before it is put into another
    [folder] = [folder for folder in born.group.folders if "memory" in Cgroup([folder]).limits]
    inner = Path(folder, "inner", "most")
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text(str(born.child.pid))
    born.child.write(b"go\n")
    assert born.child.pid in born.group.processes()
    born.ended()
    assert born.group.kills_by_memory() == 1
    assert born.group.remove()


@real_root
def test_what_cannot_be_made_whole_is_not_made(children: Ward, found: Found) -> None:
    limits = Limits(8 * MIB, 0.5, 12)
    name = cgroup.name(children.world.runner, "web/api", 1)
    folders = cgroup.make(found, name, limits)
    try:
        Cgroup(folders[:-1]).remove()  # so that one of several is in the way
        before = groups_of_runners(found, children.world.runner)
        with pytest.raises(OSError, match="no control group could be made"):
            cgroup.make(found, name, limits)
        assert groups_of_runners(found, children.world.runner) == before
    finally:
        Cgroup(folders).remove()


# What is left of runners.


@pytest.fixture
def secluded(found: Found) -> Iterator[Found]:
    """Groups are made below one of ours, where no other runner's are."""
    Cgroup(
        cgroup.make(found, cgroup.name("c" * 12, "web/api", 1), Limits(pids=12))
    ).remove()  # v2 offers pids from now on
    name = f"test-{os.getpid()}"
    roots = {found.pids.root, found.kill.root, found.freeze.root}
    for root in roots:
        os.mkdir(f"{root}/{name}")
    try:
        pids, kill, freeze = (Ability(f"{ability.root}/{name}") for ability in (found.pids, found.kill, found.freeze))
        nothing = Ability(why="not here")
        yield Found(found.kind, memory=nothing, cpu=nothing, pids=pids, freeze=freeze, kill=kill)
    finally:
        for root in roots:
            os.rmdir(f"{root}/{name}")


@real_root
def test_what_runners_left_that_are_gone_is_swept_away(secluded: Found) -> None:
    lives, gone = "a" * 12, "b" * 12
    kept = cgroup.make(secluded, cgroup.name(lives, "web/api", 1), Limits(pids=12))
    left = cgroup.make(secluded, cgroup.name(gone, "web/api", 1), Limits(pids=12))
    try:
        told = cgroup.groups(roots_of(secluded))
        assert {runner: [group.job for group in groups] for runner, groups in told.items()} == {
            lives: ["web/api"],
            gone: ["web/api"],
        }
        assert {runner: set(groups[0].folders) for runner, groups in told.items()} == {
            lives: set(kept),
            gone: set(left),
        }
        cgroup.sweep(roots_of(secluded), lambda: [lives])
        assert all(map(os.path.exists, kept))
        assert not any(map(os.path.exists, left))
        assert not any(os.path.exists(os.path.dirname(folder)) for folder in left)
    finally:
        for folders in (kept, left):
            Cgroup(folders).remove()


@real_root
def test_who_is_heard_of_only_after_a_while_is_not_swept_away(secluded: Found) -> None:
    """Its job was on its way when it was asked for the first time."""
    folders = cgroup.make(secluded, cgroup.name("a" * 12, "web/api", 1), Limits(pids=12))
    told: list[list[str]] = [["a" * 12], []]
    try:
        cgroup.sweep(roots_of(secluded), told.pop)
        assert not told
        assert all(map(os.path.exists, folders))
    finally:
        Cgroup(folders).remove()


@real_root
def test_the_folder_of_a_runner_without_groups_is_swept_away_and_what_is_not_of_a_runner_stays(
    secluded: Found,
) -> None:
    names = [f"zap-{'b' * 12}", "zap-andmore", f"other-{'b' * 12}"]
    folders = [Path(root, name) for root in roots_of(secluded) for name in names]
    for folder in folders:
        folder.mkdir()
    try:
        cgroup.sweep(roots_of(secluded), list)
        assert [folder.exists() for folder in folders] == [False, True, True] * len(roots_of(secluded))
    finally:
        for folder in folders:
            if folder.exists():
                folder.rmdir()


@real_root
def test_where_nobody_is_idle_nobody_is_asked_for(secluded: Found) -> None:
    """For it takes a while to find out who lives."""
    with ward() as children:
        children.bear(job(SLEEPS, limits=Limits(pids=20)), secluded).line()
        cgroup.sweep(roots_of(secluded), lambda: pytest.fail("it was asked"))
        cgroup.sweep(["/nowhere"], lambda: pytest.fail("it was asked"))


def test_groups_are_looked_for_where_they_are_made(found: Found) -> None:
    assert roots_of(found) <= cgroup.roots()


@real_root
def test_who_was_left_standing_in_a_group_can_be_ended_though_frozen(secluded: Found) -> None:
    with ward() as children:
        born = children.bear(job(SLEEPS, limits=Limits(pids=20)), secluded)
        born.line()
        assert born.group.freeze()
        cgroup.sweep(roots_of(secluded), list)
        [[group]] = cgroup.groups(roots_of(secluded)).values()
        assert (set(group.folders), group.processes()) == (set(born.group.folders), {born.child.pid})
        assert group.kill()
        assert group.remove()
