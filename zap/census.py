"""One pass over the process table: who lives, who is whose child, who belongs to which job, and what each has used."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

TICKS = os.sysconf("SC_CLK_TCK")  # in a second; what the kernel counts time in, proc(5)
PAGE = os.sysconf("SC_PAGE_SIZE")
RLIMIT_LOCKS = 10  # getrlimit(2); Python has no name for it
MARKED = 1 << 40  # file locks, with a tag's own number: more than anybody else would ask for
COMMAND_MOST = 4096  # bytes that are read of a command line, which may have megabytes

T = TypeVar("T")


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
        self._adopted: dict[int, dict[str | int, list[int]]] = {}

    def has(self, process: Process) -> bool:
        """Whether it is the same one that another look has seen, and not a later one of that pid."""
        found = self.processes.get(process.pid)
        return found is not None and found.start == process.start

    def alive(self, pids: Iterable[int]) -> set[tuple[int, float]]:
        """Those of them that have not ended, by pid and start, which no other process has both."""
        return {(pid, self.processes[pid].start) for pid in self._alive(set(pids))}

    def family(self, leader: int, tag: str, known: Iterable[int] = ()) -> set[int]:
        """Everyone alive who belongs to a job's child, itself not counted; `known` are of it, whatever else is so.

        That is by group, by session, by descent from those and, for who was re-parented, by the tag or its mark.
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
        adopted = [self._by_sign(home, known) for home in set().union(*map(self._homes_of, known))]
        return {
            name: [self.processes[pid] for pid in self._household(leader, _signed(adopted, tag))]
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
                queue += [(inner, depth + 1) for inner in reversed(self._below.get(pid, ()))]
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
        signs = {sign for tag in tags for sign in _signs(tag)}
        mine = [pid for pid in self.of_homes() if self._sign(pid) in signs]
        others = [pid for one in mine for pid in (*self._groups.get(one, ()), *self._sessions.get(one, ()))]
        return self._alive(self._descendants([*mine, *others]))

    def marked(self, tags: Iterable[str]) -> dict[int, str]:
        """Everyone alive who shows no tag, but was born with one of these, and with which."""
        marks: dict[str | int, str] = {mark(tag): tag for tag in tags}
        signs = ((pid, self._sign(pid)) for pid, process in self.processes.items() if process.session)  # no kernel's
        return {pid: marks[sign] for pid, sign in signs if sign in marks}

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
        homes = self._homes_of(leader)
        for home in homes - self._adopted.keys():
            self._adopted[home] = self._by_sign(home, known=())
        return _signed([self._adopted[home] for home in homes], tag)

    def _by_sign(self, home: int, known: Collection[int]) -> dict[str | int, list[int]]:
        """Its children but those known, by their sign: among them are the ones that were re-parented to it."""
        index: dict[str | int, list[int]] = {}
        for pid in self._below.get(home, ()):
            if pid not in known:
                index.setdefault(self._sign(pid), []).append(pid)
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

    def _sign(self, pid: int) -> str | int:
        """By what it is known whose it is: its tag, or for who lives and shows none, its mark (`mark`)."""
        return self._tag(pid) or (0 if self.processes[pid].has_ended else _read_mark(pid))


def take(homes: Iterable[int] = ()) -> Census:
    """Everyone, now. Costs 15 to 30 µs a process, most of them the kernel's; one pass serves all jobs."""
    return Census(processes(), homes)


def processes() -> Iterator[Process]:
    """Those that are there now, each as it is when its turn comes."""
    try:
        pids = [int(entry) for entry in _with_reserve(os.listdir, "/proc") if entry.isdigit()]
    except FileNotFoundError:
        return iter(_without_proc())
    return filter(None, map(_read, pids))


def _read(pid: int) -> Process | None:
    """None for a process that has gone since the listing."""
    try:
        text = _with_reserve(_read_stat, f"/proc/{pid}/stat")
    except OSError:
        return None
    # proc(5): pid (comm) state ppid pgrp session …; the name may hold spaces and parentheses.
    of = text[text.rindex(b")") + 2 :].split(b" ", 22)
    cpu, reaped = int(of[11]) + int(of[12]), int(of[13]) + int(of[14])  # utime and stime, cutime and cstime
    start, memory = int(of[19]) / TICKS, int(of[21]) * PAGE
    # By place: naming the arguments would take half a microsecond.
    return Process(pid, int(of[1]), int(of[2]), int(of[3]), of[0].decode(), cpu / TICKS, reaped / TICKS, start, memory)


def mark(tag: str) -> int:
    """What tells whose a process is that has overwritten its environment, as those do that rename themselves.

    It is the soft limit of file locks that `child.spawn` gives a child, and that all its descendants inherit, whatever
    they do. No kernel since 2.4.25 looks at that limit (getrlimit(2), RLIMIT_LOCKS), and anybody may read it.
    """
    return MARKED | zlib.crc32(tag.encode(errors="surrogateescape"))


def _signs(tag: str) -> tuple[str | int, ...]:
    """By what they are known who were started with this tag; no tag is nobody's."""
    return (tag, mark(tag)) if tag else ()


def _signed(adopted: Iterable[Mapping[str | int, Sequence[int]]], tag: str) -> Iterator[int]:
    """Those of all that were adopted, by their signs, who were started with this tag."""
    return (pid for index in adopted for sign in _signs(tag) for pid in index.get(sign, ()))


def _read_tag(pid: int) -> str:
    try:
        text = _with_reserve(_read_file, f"/proc/{pid}/environ")
    except OSError:
        return ""
    for entry in text.split(b"\0"):
        if entry.startswith(b"ZAP_RUN="):
            return entry[8:].decode(errors="replace")
    return ""


def _read_mark(pid: int) -> int:
    """What `mark` has made of its tag, or another number where it has none (proc_pid_limits(5))."""
    try:
        words = _with_reserve(_read_file, f"/proc/{pid}/limits").partition(b"Max file locks ")[2].split(maxsplit=1)
    except OSError:
        return 0
    return int(words[0]) if words and words[0].isdigit() else 0  # else it is unlimited


def _read_stat(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1024)
    finally:
        os.close(fd)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _keep_back() -> list[int]:
    """A descriptor for looks, which must see everyone also when all others are in use; none where they are already."""
    try:
        return [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    except OSError:
        return []


_reserve = _keep_back()


def _with_reserve(look: Callable[[str], T], path: str) -> T:
    """What a look says, which needs one descriptor at a time."""
    try:
        return look(path)
    except OSError as error:
        if error.errno != errno.EMFILE or not _reserve:
            raise
    os.close(_reserve.pop())
    try:
        return look(path)
    finally:
        _reserve.extend(_keep_back())


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
