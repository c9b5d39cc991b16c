"""Families that hide, grow or are adopted by a keeper: known, signalled and ended; orphans are reaped.

Each scene plays in a process of its own, to which orphans come: `python -m tests.test_reaper SCENE FOLDER …`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.programs import HOLDS_PIPE
from tests.torture.programs import BOMB_MOST, command
from tests.torture.survivors import SLACK, kill_all, living, marks, read, wait_up
from tests.zap import DEADLINE
from zap import census, child
from zap.child import Child
from zap.reaper import HUNT_MOST, REAP_LATER, Reaper

RUNNER = "me"
NAP = 0.01


def play(scene: Callable[..., Any], folder: Path, *arguments: object) -> Any:
    """What the scene tells."""
    argv = [sys.executable, "-m", "tests.test_reaper", scene.__name__, str(folder), *map(str, arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    kill_all(tmp_path)


def bear(folder: Path, text: str, job: str = "s/j", runner: str = RUNNER) -> Child:
    env = {"PATH": os.environ["PATH"], "ZAP_RUN": f"{runner}:{job}:1"}
    argv, tag = ["/bin/sh", "-c", text], env["ZAP_RUN"]
    return child.spawn(argv, cwd=str(folder), env=env, has_tty=False, has_input=False, nonce="n", tag=tag)


def reaper_of(*ours: Child, keeper: int | None = None) -> Reaper:
    pids = [born.pid for born in ours]
    return Reaper(asyncio.get_running_loop(), RUNNER, is_alone=True, ours=lambda: pids, keeper=keeper)


def reaper_is_done_with(reaper: Reaper, born: Child) -> bool:
    return born.status() is not None and not reaper.has_family(born)


async def until(is_so: Callable[[], object], seconds: float = DEADLINE) -> float:
    """How long it took; how late we were woken ourselves is forgiven many times over."""
    begun, latest = time.monotonic(), 0.0
    while not is_so():
        before = time.monotonic()
        assert before - begun < seconds + latest * SLACK, f"waited in vain: {before - begun:.1f} s"
        await asyncio.sleep(NAP)
        latest = max(latest, time.monotonic() - before - NAP)
    return time.monotonic() - begun


def states(folder: Path) -> set[str]:
    processes = [read(int(mark.partition(".")[0])) for mark in living(folder)]
    return {process.state for process in processes if process}


# Who belongs to whom.


async def hides_until_its_parent_ends(folder: Path) -> Any:
    """Nothing tells of it any more but that it was seen before."""
    born = bear(folder, command("hides"))
    wait_up(folder, ["."], 2)
    reaper = reaper_of(born)
    reaper.signal(born, "TERM")
    await until(born.status)
    hidden = census.take().family(born.pid, born.tag)
    has_family = reaper.has_family(born)
    reaper.signal(born, "KILL")
    await until(lambda: reaper_is_done_with(reaper, born))
    return [len(hidden), has_family, len(living(folder))]


def test_who_was_seen_once_is_known_whatever_it_does_to_hide(folder: Path) -> None:
    assert play(hides_until_its_parent_ends, folder) == [0, True, 0]


async def has_other_members(folder: Path) -> Any:
    (folder / "other").mkdir()
    born, other = bear(folder, "exit 0"), bear(folder / "other", command("ignores_term"), "s/k", "somebody")
    wait_up(folder, ["other"], 2)
    await until(born.status)
    reaper = reaper_of(born, other)
    told = [reaper.has_family(born), reaper.has_family(born, [other.pid, born.pid, os.getpid()])]
    told.append(reaper.has_family(born))  # it was told once
    reaper.signal(born, "KILL")
    await until(lambda: not reaper.has_family(born))
    return [*told, len(living(folder))]


def test_members_that_somebody_else_knows_of_belong_to_it(folder: Path) -> None:
    assert play(has_other_members, folder) == [False, True, True, 0]


async def gives_its_number_away(folder: Path) -> Any:
    """And whoever gets it leads a group of that number."""
    born = bear(folder, command("stops_itself"))
    wait_up(folder, ["."])
    reaper = reaper_of(born)
    reaper.signal(born, "CONT")
    await asyncio.sleep(2 / census.TICKS)  # so that the other one has another start
    os.kill(born.pid, signal.SIGKILL)
    await until(born.status)
    born.close()
    stranger = take(born.pid)
    reaper.signal(born, "KILL")
    await asyncio.sleep(HUNT_MOST / 2)
    return [stranger.pid == born.pid, stranger.poll() is None]


def take(pid: int) -> subprocess.Popen[bytes]:
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    return subprocess.Popen(["sleep", "1000"], start_new_session=True)


@pytest.mark.real("unshare")
@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/ns_last_pid"), reason="the kernel gives no number on demand")
def test_whom_the_number_of_one_that_is_gone_was_given_to_is_left_alone(folder: Path) -> None:
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    argv = [*apart, sys.executable, "-m", "tests.test_reaper", gives_its_number_away.__name__, str(folder)]
    root = Path(__file__).parent.parent
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.stderr, done.stdout) == ("", "[true, true]")


# The end of a family.


async def goes_on_forking(folder: Path) -> Any:
    """As soon as any of them dies there is room for another one, which is born before the others are dead."""
    born = bear(folder, command("bomb"))
    wait_up(folder, ["."], 1 + BOMB_MOST)
    before = marks(folder)
    reaper = reaper_of(born)
    reaper.signal(born, "KILL")
    await until(lambda: reaper_is_done_with(reaper, born), HUNT_MOST)
    return [len(living(folder)), len(marks(folder) - before)]


def test_of_those_who_fork_faster_than_they_are_killed_nobody_is_born_any_more(folder: Path) -> None:
    assert play(goes_on_forking, folder) == [0, 0]


async def forks_while_it_is_killed(folder: Path) -> Any:
    for number in "1234":
        (folder / number).mkdir()
        born = bear(folder / number, command("forks_at_usr1"), number)
        wait_up(folder, [number])
        reaper = reaper_of(born)
        os.kill(born.pid, signal.SIGUSR1)
        reaper.signal(born, "KILL")
    await asyncio.sleep(HUNT_MOST / 2)
    return len(living(folder))


def test_who_was_born_between_a_look_and_a_kill_is_killed_as_well(folder: Path) -> None:
    assert play(forks_while_it_is_killed, folder) == 0


async def forks_while_it_is_ended(folder: Path) -> Any:
    born = bear(folder, command("bomb"))
    wait_up(folder, ["."], BOMB_MOST // 2)  # the others are on their way
    reaper = reaper_of(born)
    left = await reaper.end_all(lambda: False)
    return [left, len(living(folder))]


def test_those_who_fork_are_ended_with_everything(folder: Path) -> None:
    assert play(forks_while_it_is_ended, folder) == [0, 0]


async def forks_while_it_is_stopped(folder: Path) -> Any:
    born = bear(folder, command("bomb"))
    wait_up(folder, ["."], BOMB_MOST // 2)  # the others are on their way
    reaper = reaper_of(born)
    reaper.signal(born, "STOP")
    await until(lambda: states(folder) == {"T"}, HUNT_MOST)
    before = marks(folder)
    await asyncio.sleep(0.1)
    told = [states(folder), marks(folder) == before]
    reaper.signal(born, "CONT")
    await until(lambda: "T" not in states(folder))
    reaper.signal(born, "KILL")
    await until(lambda: reaper_is_done_with(reaper, born))
    return [sorted(told[0]), told[1]]  # type: ignore[arg-type]


def test_nobody_of_a_family_that_is_stopped_goes_on(folder: Path) -> None:
    """Not even who was born meanwhile."""
    assert play(forks_while_it_is_stopped, folder) == [["T"], True]


async def ends_strangers(folder: Path) -> Any:
    """The runner before was killed when it had borne `stranger` and told nobody of it."""
    born = {}
    for name, runner in {"known": RUNNER, "stranger": RUNNER, "another's": "another"}.items():
        (folder / name).mkdir()
        born[name] = bear(folder / name, command("daemon"), name, runner)
    wait_up(folder, born, 2)
    reaper = reaper_of(*born.values())
    reaper.end_strangers([born["known"].tag])
    await until(lambda: "stranger" not in living(folder).values())
    reaper.close()
    return sorted(living(folder).values())


def test_a_child_of_a_runner_that_was_killed_before_it_told_of_it_is_ended(folder: Path) -> None:
    assert play(ends_strangers, folder) == ["another's", "another's", "known", "known"]


# A keeper.


def is_kept(folder: Path) -> Any:
    """We bear a job, and become the keeper of another process, which has not borne it and looks after it."""
    kept = bear(folder, command("daemon"))
    wait_up(folder, ["."], 2)
    keeper = os.getpid()
    return told_by(lambda: asyncio.run(looks_after(kept, folder, keeper)))


def told_by(what: Callable[[], Any]) -> Any:
    """By a child of ours."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(what()).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        return json.load(told)


async def looks_after(kept: Child, folder: Path, keeper: int) -> Any:
    born = child.inherited(kept.pid, kept.descriptors, kept.nonce, kept.tag, kept.born, has_tty=False)
    [daemon] = {int(mark.partition(".")[0]) for mark in living(folder)} - {born.pid}
    look = census.take([keeper])
    told = [look.family(born.pid, born.tag) == {daemon}, look.of_homes() == {born.pid, daemon}]
    told.append(census.take().family(born.pid, born.tag) == {daemon})  # whose child the leader is is told by the kernel
    reaper = reaper_of(born, keeper=keeper)
    reaper.signal(born, "KILL")
    await until(lambda: not reaper.has_family(born))
    return [*told, not living(folder)]


def test_a_keepers_children_are_a_runners_family_and_the_keeper_is_not(folder: Path) -> None:
    assert play(is_kept, folder) == [True, True, True, True]


def is_kept_and_ends_all(folder: Path) -> Any:
    bear(folder, command("daemon"))
    keeper = os.getpid()
    return told_by(lambda: (bear(folder, command("ignores_term")), asyncio.run(ends_all(folder, keeper)))[1])


async def ends_all(folder: Path, keeper: int) -> Any:
    wait_up(folder, ["."], 4)
    left = await reaper_of(keeper=keeper).end_all(lambda: False)
    return [left, len(living(folder))]


def test_everything_below_a_keeper_is_ended_but_not_itself(folder: Path) -> None:
    assert play(is_kept_and_ends_all, folder) == [0, 0]


async def has_lost_its_keeper(folder: Path, number: str) -> Any:
    return await reaper_of(keeper=int(number)).end_all(lambda: False)


def test_a_number_that_was_a_keepers_means_nothing_once_it_is_not_our_parents(folder: Path) -> None:
    with subprocess.Popen(["sh", "-c", HOLDS_PIPE + "; wait"], stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout
            below = int(stranger.stdout.readline())
            assert play(has_lost_its_keeper, folder, stranger.pid) == 0
            assert stranger.poll() is None
            os.kill(below, 0)
        finally:
            os.kill(below, signal.SIGKILL)


# Orphans.


def test_who_calls_all_the_time_does_not_put_it_off() -> None:
    """As probes that end many times a second do."""

    orphan = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], {})

    async def run() -> None:
        reaper = Reaper(asyncio.get_running_loop(), "a runner", is_alone=True, ours=set)
        async with asyncio.timeout(DEADLINE):
            while _is_there(orphan):
                reaper.reap_soon()
                await asyncio.sleep(REAP_LATER / 10)
        reaper.close()

    asyncio.run(run())


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    child.adopt_orphans()
    name, where, *others = sys.argv[1:]
    told = globals()[name](Path(where), *others)
    sys.stdout.write(json.dumps(asyncio.run(told) if asyncio.iscoroutine(told) else told))
    sys.stdout.flush()
    child.kill(census.take().below(os.getpid()), signal.SIGKILL)
