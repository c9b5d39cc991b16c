"""Who lives, and who looks after whom: read from /proc, not from what zap knows of its jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.zap import DEADLINE, Zap, wait_until
from zap.errors import ZapError

NAP = 0.005  # seconds between looks
SLACK = 20  # times the latest that we woke from a nap, by which zap may be late as well


class Process(NamedTuple):
    pid: int
    parent: int
    state: str
    start: str
    command: str

    @property
    def mark(self) -> str:
        """As `programs.mark` names it."""
        return f"{self.pid}.{self.start}"


class Gone(NamedTuple):
    """When the last of them had gone, in seconds since they were asked, and how late a machine so busy may be."""

    seconds: float
    allowance: float


def read(pid: int) -> Process | None:
    """None for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[1]), fields[0], fields[19], command)


def everybody() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := read(int(entry))):
            yield process


def runner_of(zap: Zap) -> int | None:
    """In the background; None while none answers, as one that is just taking over on a busy machine."""
    try:
        return zap.runner()
    except ZapError:
        return None


def keeper_of(zap: Zap) -> int | None:
    """The parent of that one."""
    runner = runner_of(zap)
    process = runner and read(runner)
    return process.parent if process else None


def runner_below(keeper: int) -> int:
    """The runner among its children."""
    [runner] = [one.pid for one in everybody() if one.parent == keeper and " -m zap " in one.command]
    return runner


def marks(folder: Path) -> set[str]:
    """What the programs of `tests.torture.programs` have left in this folder and below."""
    return {path.name for path in folder.rglob("pids/*.*")}


def living(folder: Path) -> dict[str, str]:
    """Those of them who live, and where they were started."""
    found = {}
    for path in folder.rglob("pids/*.*"):
        process = read(int(path.name.partition(".")[0]))
        if process and process.mark == path.name:
            found[path.name] = str(path.parent.parent.relative_to(folder))
    return found


def wait_gone(folder: Path, since: float, jobs: Container[str] | None = None) -> Gone:
    """Until none of these jobs, or of all, lives; `since` (time.monotonic) somebody has wanted that."""
    latest = 0.0
    while left := {mark: job for mark, job in living(folder).items() if jobs is None or job in jobs}:
        before = time.monotonic()
        assert before < since + DEADLINE, f"they live on: {left}"
        time.sleep(NAP)
        latest = max(latest, time.monotonic() - before - NAP)
    return Gone(time.monotonic() - since, latest * SLACK)


def wait_up(folder: Path, names: Iterable[str], least: int = 1) -> None:
    """Until in each of these folders there are so many."""
    for name in names:
        pids = folder / name / "pids"
        wait_until(lambda pids=pids: pids.is_dir() and len(list(pids.glob("*.*"))) >= least, f"{name} to be up")


def kill_all(folder: Path) -> None:
    """Whoever a failed test has left, by where they work, which nobody here changes; who is stopped bears nobody."""
    stopped: set[int] = set()
    while new := {process.pid for process in everybody() if _works_in(process.pid, folder)} - stopped:
        _send(new, signal.SIGSTOP)
        stopped |= new
    _send(stopped, signal.SIGKILL)


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(folder)
    except OSError:
        return False
