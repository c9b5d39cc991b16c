"""One pass over the process table: who lives, who is whose child, and who belongs to which job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Process(NamedTuple):
    """One process as the kernel lists it. Z and X have ended and wait for their parent to ask; T is stopped."""

    pid: int
    parent: int
    group: int
    session: int
    state: str


class Census:
    """Everyone at one moment, indexed so that a thousand jobs can ask for their families in one go."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._all = {process.pid: process for process in processes}
        self._below = self._index(lambda process: process.parent)
        self._groups = self._index(lambda process: process.group)
        self._sessions = self._index(lambda process: process.session)
        self._tags: dict[int, str] = {}

    def family(self, leader: int, tag: str) -> set[int]:
        """Everyone alive who belongs to a child of ours, itself not counted.

        That is by group, by session, by descent from those and, for who was re-parented to us, by the tag.
        """
        roots = [leader, *self._groups.get(leader, ()), *self._sessions.get(leader, ())]
        roots += [pid for pid in self._below.get(os.getpid(), ()) if pid != leader and self._tag(pid) == tag]
        return self._alive(self._descendants(roots) - {leader})

    def below(self, pid: int) -> set[int]:
        """Everyone alive below this process."""
        return self._alive(self._descendants([pid]) - {pid})

    def of_runner(self, runner: str) -> set[int]:
        """Everyone alive below us who was started for this runner, and everyone below those."""
        mine = [pid for pid in self.below(os.getpid()) if self._tag(pid).startswith(f"{runner}:")]
        return self._alive(self._descendants(mine))

    def outside(self, pids: Iterable[int], group: int) -> set[int]:
        """Those of them that left the group."""
        return {pid for pid in pids if self._all[pid].group != group}

    def stopped(self, pids: Iterable[int]) -> set[int]:
        """Those of them that hear no signal but KILL until they are continued."""
        return {pid for pid in pids if pid in self._all and self._all[pid].state == "T"}

    def orphans(self, known: set[int]) -> list[int]:
        """Children of ours, ended ones too, that we did not spawn: they were re-parented to us."""
        return [pid for pid in self._below.get(os.getpid(), ()) if pid not in known]

    def _index(self, key: Callable[[Process], int]) -> dict[int, list[int]]:
        index: dict[int, list[int]] = {}
        for process in self._all.values():
            index.setdefault(key(process), []).append(process.pid)
        return index

    def _descendants(self, roots: Iterable[int]) -> set[int]:
        found: set[int] = set()
        queue = list(roots)
        while queue:
            pid = queue.pop()
            if pid not in found:
                found.add(pid)
                queue += self._below.get(pid, ())
        return found

    def _alive(self, pids: set[int]) -> set[int]:
        me = os.getpid()
        return {pid for pid in pids if pid in self._all and self._all[pid].state not in "ZX" and pid != me}

    def _tag(self, pid: int) -> str:
        """The ZAP_RUN that the process was started with; empty when it has none or its environment may not be read."""
        if pid not in self._tags:
            self._tags[pid] = _read_tag(pid)
        return self._tags[pid]


def take() -> Census:
    """Everyone, now. Costs about 10 µs a process; one pass serves all jobs."""
    try:
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except FileNotFoundError:
        return Census(_without_proc())
    return Census(process for process in map(_read, pids) if process)


def _read(pid: int) -> Process | None:
    """None for a process that has gone since the listing."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(fd, 1024)
    except OSError:
        return None
    finally:
        os.close(fd)
    # proc(5): pid (comm) state ppid pgrp session …; the name may hold spaces and parentheses.
    state, parent, group, session = text[text.rindex(b")") + 2 :].split(None, 4)[:4]
    return Process(pid, int(parent), int(group), int(session), state.decode())


def _read_tag(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = file.read()
    except OSError:
        return ""
    for entry in text.split(b"\0"):
        if entry.startswith(b"ZAP_RUN="):
            return entry[8:].decode(errors="replace")
    return ""


def _without_proc() -> list[Process]:
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                pid = process.pid
                state = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_STOPPED: "T"}.get(process.status(), "S")
                found.append(Process(pid, process.ppid(), os.getpgid(pid), os.getsid(pid), state))
        except (psutil.Error, OSError):
            continue
    return found
