"""One pass over the process table: who lives, who is whose child, who belongs to which job, and what each has used."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")  # in a second; what the kernel counts time in, proc(5)
PAGE = os.sysconf("SC_PAGE_SIZE")
COMMAND_MOST = 4096  # bytes that are read of a command line, which may have megabytes


class Process(NamedTuple):
    """One process as the kernel lists it. Z and X have ended and wait for their parent to ask; T is stopped.

    `cpu` is what it has used itself, `reaped` what its ended children, and theirs, had used when they were waited for:
    both in seconds, to 10 ms. `start` tells apart two that were given the same pid. `memory` is
    what is resident, in bytes; pages that others share are counted too, and the kernel may be some of them late.
    """

    pid: int
    parent: int
    group: int
    session: int
    state: str
    cpu: float = 0.0
    reaped: float = 0.0
    start: float = 0.0
    memory: int = 0

    @property
    def has_ended(self) -> bool:
        return self.state in "ZX"


class Member(NamedTuple):
    """One of a job's processes; `cpu` is in seconds, with what its reaped children had used, `memory` in bytes.

    `command` is what the process says of itself: anything, and not safe to show.
    """

    depth: int
    pid: int
    parent: int
    state: str
    cpu: float
    memory: int
    command: str


class Census:
    """Everyone at one moment, indexed so that a thousand jobs can ask for their families in one go.

    `homes` are the processes besides ours to which orphans come, such as a keeper. They and we are nobody's family.
    """

    def __init__(self, processes: Iterable[Process], homes: Iterable[int] = ()) -> None:
        self.processes = {process.pid: process for process in processes}
        self._homes = {os.getpid(), *homes}
        self._below = self._index(lambda process: process.parent)
        self._groups = self._index(lambda process: process.group)
        self._sessions = self._index(lambda process: process.session)
        self._tags: dict[int, str] = {}
        self._adopted: dict[int, dict[str, list[int]]] = {}

    def has(self, process: Process) -> bool:
        """Whether it is the same one that another look has seen, and not a later one of that pid."""
        found = self.processes.get(process.pid)
        return found is not None and found.start == process.start

    def alive(self, pids: Iterable[int]) -> set[tuple[int, float]]:
        """Those of them that have not ended, by pid and start, which no other process has both."""
        return {(pid, self.processes[pid].start) for pid in self._alive(set(pids))}

    def family(self, leader: int, tag: str, known: Iterable[int] = ()) -> set[int]:
        """Everyone alive who belongs to a job's child, itself not counted; `known` are of it, whatever else is so.

        That is by group, by session, by descent from those and, for who was re-parented, by the tag.
        """
        return self._alive(self._household(leader, [*self._tagged(leader, tag), *known]) - {leader})

    def strays(self, tag: str, known: Iterable[int]) -> set[int]:
        """As `family`, of a leader who is gone: its number may be another's now."""
        return self._alive(self._descendants([*self._tagged(0, tag), *known], self._homes))

    def families(self, leaders: Mapping[str, tuple[int, str]]) -> dict[str, list[Process]]:
        """Everyone of each of these, by name (leader and tag): the leaders, and who has ended, counted as well.

        Asking for all at once spares reading the leaders' own tags, which costs as much as `take` does.
        """
        known = {leader for leader, _ in leaders.values()}
        adopted: dict[str, list[int]] = {}
        for home in set().union(*map(self._homes_of, known)):
            for tag, pids in self._by_tag(home, known).items():
                adopted.setdefault(tag, []).extend(pids)
        return {
            name: [self.processes[pid] for pid in self._household(leader, adopted.get(tag, ()) if tag else ())]
            for name, (leader, tag) in leaders.items()
        }

    def tree(self, leader: int, tag: str) -> list[Member]:
        """The leader and its family, each above its children: also who has ended and is not yet waited for.

        Who was re-parented to somebody outside stands at depth 0, below the leader's tree. The command lines are read
        now, and are empty for who has gone since the look.
        """
        left = {process.pid: process for process in self.families({"": (leader, tag)})[""]}
        strays = sorted(pid for pid, process in left.items() if process.parent not in left and pid != leader)
        members: list[Member] = []
        queue = [(pid, 0) for pid in (*reversed(strays), leader)]
        while queue:
            pid, depth = queue.pop()
            if process := left.pop(pid, None):
                use = process.cpu + process.reaped, process.memory
                members.append(Member(depth, pid, process.parent, process.state, *use, _read_command(pid)))
                queue += [(child, depth + 1) for child in reversed(self._below.get(pid, ()))]
        return members

    def job(self, pid: int) -> str:
        """Whose process it is, by the tag that it was started with; empty when it is nobody's."""
        return self._tag(pid).partition(":")[2].partition(":")[0]

    def above(self, process: Process) -> Iterator[Process]:
        """Its ancestors, the nearest first."""
        seen = {process.pid}  # a circle is possible: a pid may be given again while the table is read
        while (parent := self.processes.get(process.parent)) and parent.pid not in seen:
            seen.add(parent.pid)
            yield parent
            process = parent

    def below(self, pid: int) -> set[int]:
        """Everyone alive below this process."""
        return self._alive(self._descendants([pid]) - {pid})

    def of_homes(self) -> set[int]:
        """Everyone alive below us and the other homes."""
        return self._alive(self._descendants(self._homes))

    def of_runner(self, runner: str) -> set[int]:
        """Those of them who were started for this runner, and everyone below those."""
        mine = [pid for pid in self.of_homes() if self._tag(pid).startswith(f"{runner}:")]
        return self._alive(self._descendants(mine))

    def of_tags(self, tags: Collection[str]) -> set[int]:
        """Those of them who were started with one of these, everyone of their groups and sessions, and below those."""
        mine = [pid for pid in self.of_homes() if self._tag(pid) in tags]
        others = [pid for one in mine for pid in (*self._groups.get(one, ()), *self._sessions.get(one, ()))]
        return self._alive(self._descendants([*mine, *others]))

    def tags(self, runner: str) -> set[str]:
        """What everyone alive below us and the other homes was started with, as far as it was for this runner."""
        return {tag for pid in self.of_homes() if (tag := self._tag(pid)).startswith(f"{runner}:")}

    def outside(self, pids: Iterable[int], group: int) -> set[int]:
        """Those of them that left the group."""
        return {pid for pid in pids if self.processes[pid].group != group}

    def stopped(self, pids: Iterable[int]) -> set[int]:
        """Those of them that hear no signal but KILL until they are continued."""
        return {pid for pid in pids if pid in self.processes and self.processes[pid].state == "T"}

    def orphans(self, known: set[int]) -> list[int]:
        """Children of ours, ended ones too, that we did not spawn: they were re-parented to us."""
        return [pid for pid in self._below.get(os.getpid(), ()) if pid not in known | self._homes]

    def _index(self, key: Callable[[Process], int]) -> dict[int, list[int]]:
        index: dict[int, list[int]] = {}
        for process in self.processes.values():
            index.setdefault(key(process), []).append(process.pid)
        return index

    def _homes_of(self, leader: int) -> set[int]:
        """Whose children those become whom it loses: also who has adopted the leader itself, whoever that is."""
        process = self.processes.get(leader)
        return self._homes | {process.parent} if process else self._homes

    def _tagged(self, leader: int, tag: str) -> Iterator[int]:
        for home in self._homes_of(leader):
            if home not in self._adopted:
                self._adopted[home] = self._by_tag(home, known=())
            yield from self._adopted[home].get(tag, ()) if tag else ()

    def _by_tag(self, home: int, known: Collection[int]) -> dict[str, list[int]]:
        """Its children but those known, by their tag: among them are the ones that were re-parented to it."""
        index: dict[str, list[int]] = {}
        for pid in self._below.get(home, ()):
            if pid not in known:
                index.setdefault(self._tag(pid), []).append(pid)
        return index

    def _household(self, leader: int, adopted: Iterable[int]) -> set[int]:
        """The leader with its family, and those of both that have ended."""
        roots = [leader, *self._groups.get(leader, ()), *self._sessions.get(leader, ()), *adopted]
        return {pid for pid in self._descendants(roots, self._homes) if pid in self.processes}

    def _descendants(self, roots: Iterable[int], but: Collection[int] = ()) -> set[int]:
        """These and everyone below them; not `but` these, nor who is below those alone."""
        found: set[int] = set()
        queue = list(roots)
        while queue:
            pid = queue.pop()
            if pid not in found and pid not in but:
                found.add(pid)
                queue += self._below.get(pid, ())
        return found

    def _alive(self, pids: set[int]) -> set[int]:
        return {pid for pid in pids - self._homes if pid in self.processes and not self.processes[pid].has_ended}

    def _tag(self, pid: int) -> str:
        """The ZAP_RUN that the process was started with; empty when it has none or its environment may not be read."""
        if pid not in self._tags:
            self._tags[pid] = _read_tag(pid)
        return self._tags[pid]


def take(homes: Iterable[int] = ()) -> Census:
    """Everyone, now. Costs 15 to 30 µs a process, most of them the kernel's; one pass serves all jobs."""
    return Census(processes(), homes)


def processes() -> Iterator[Process]:
    """Those that are there now, each as it is when its turn comes."""
    try:
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except FileNotFoundError:
        return iter(_without_proc())
    return filter(None, map(_read, pids))


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
    of = text[text.rindex(b")") + 2 :].split(b" ", 22)
    cpu, reaped = int(of[11]) + int(of[12]), int(of[13]) + int(of[14])  # utime and stime, cutime and cstime
    start, memory = int(of[19]) / TICKS, int(of[21]) * PAGE
    # By place: naming the arguments would take half a microsecond.
    return Process(pid, int(of[1]), int(of[2]), int(of[3]), of[0].decode(), cpu / TICKS, reaped / TICKS, start, memory)


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


def _read_command(pid: int) -> str:
    """Its arguments, or its name when it has none, as it has none once it has ended; empty for one that has gone."""
    for name in ("cmdline", "comm"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read(COMMAND_MOST).rstrip(b"\0\n")
        except OSError:
            continue
        if text:
            return text.replace(b"\0", b" ").decode(errors="replace")
    return "" if os.path.exists("/proc/self") else _command_without_proc(pid)


def _command_without_proc(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return " ".join(process.cmdline())[:COMMAND_MOST] or process.name()
    except psutil.Error:
        return ""


def _without_proc() -> list[Process]:
    import psutil

    states = {psutil.STATUS_ZOMBIE: "Z", psutil.STATUS_STOPPED: "T"}
    found = []
    # What somebody else's process has used may be a secret, which is no reason not to list it.
    for process in psutil.process_iter(["ppid", "status", "cpu_times", "create_time", "memory_info"], ad_value=None):
        pid, info = process.pid, process.info
        try:
            group, session = os.getpgid(pid), os.getsid(pid)
        except OSError:
            continue
        times, memory = info["cpu_times"], info["memory_info"]
        cpu = times.user + times.system if times else 0.0
        reaped = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        state, start = states.get(info["status"], "S"), info["create_time"] or 0.0
        found.append(Process(pid, info["ppid"], group, session, state, cpu, reaped, start, memory.rss if memory else 0))
    return found
