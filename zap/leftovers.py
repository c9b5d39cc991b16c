"""What runners that are gone have left behind: found by what its environment says, and ended.

A process is a leftover when it was started for a job of the plan, and nobody lives who answers for it. What has
overwritten its environment is found as long as it is in the session of one that has not, or below it, or was born of
the same child, or is in a control group of the same runner.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from zap import census, cgroup, child, paths
from zap.census import Census
from zap.cgroup import Cgroup
from zap.errors import ZapError
from zap.events import Left
from zap.plan import Job

AGAIN = 0.02  # seconds between looks at whether what was killed has ended
END_MOST = 5.0  # seconds to wait for KILLed processes that the kernel does not let go of
GRACE = Job._field_defaults["grace"]  # of jobs that the plan does not have any more
MAILBOX = re.compile("zap-[a-z0-9_]{8}")  # the folder of one, as tempfile.mkdtemp names it
NAMED = 3  # processes that an error names


class Leftover(NamedTuple):
    """A process by pid and start, as a census has them, and whose it was. `tag` is empty where it has none itself."""

    pid: int
    start: float
    job: str
    tag: str


def find(plan: str, look: Census | None = None) -> list[Leftover]:
    """Everyone alive who was started for the plan of this id by a runner that is gone; of their sessions, and below;
    and of that runner's control groups.

    Nobody while a keeper of the plan lives: a job knows only the runner and the keeper that it was started by, and when
    these were killed in turns, others look after it now. Never we, our ancestors, our session: we may have been started
    within a job. Costs some 20 µs for each process of our user; a look, which costs more, is taken only if there is
    somebody.
    """
    if look is None:
        if not _left(plan, _pids()):
            return []
        look = census.take()
    if plan in _kept():
        return []
    left = _left(plan, look.processes)
    spared = _spared(look)
    found: dict[int, Leftover] = {}
    for one in left.keys() - spared:
        for pid in {one, *_around(look, one)} - spared:
            tags = left.get(pid, {})
            job = (tags or left[one])["ZAP_JOB"]
            found[pid] = Leftover(pid, look.processes[pid].start, job, tags.get("ZAP_RUN", ""))
    jobs = {one.tag: one.job for one in found.values() if one.tag}
    for pid, tag in look.marked(jobs).items() if jobs else ():
        if pid not in spared | found.keys():
            found[pid] = Leftover(pid, look.processes[pid].start, jobs[tag], "")
    for group in _groups(found.values()):
        for pid in (group.processes() & look.processes.keys()) - spared - found.keys():
            found[pid] = Leftover(pid, look.processes[pid].start, group.job, "")
    return sorted(found.values())


def end(plan: str, grace_of: Mapping[str, float]) -> Left | None:
    """Ends whom `find` finds: TERM, for each job its grace (in seconds), KILL. Returns when nobody is left.

    None when there was nobody. Blocks for the longest grace at most; and 5 s more for who does not heed KILL, which is
    a ZapError. Mailboxes to which nobody listens any more are removed, and empty control groups of any runner that is
    gone, which takes `cgroup.SWEEP_WAIT` where there are some.
    """
    _remove_mailboxes()
    left = _end_all(plan, grace_of)
    cgroup.sweep(cgroup.roots(), _runners)
    return left


def _end_all(plan: str, grace_of: Mapping[str, float]) -> Left | None:
    found = find(plan)
    met: dict[tuple[int, float], Leftover] = {}
    begun = time.monotonic()
    has_killed = False
    while found:
        now = time.monotonic()
        new = [one for one in found if one[:2] not in met]
        met |= {one[:2]: one for one in new}
        due = {one.pid: begun + grace_of.get(one.job, GRACE) for one in found}
        asked = [one.pid for one in new if due[one.pid] > now]
        child.kill(asked, child.number("TERM"))
        child.kill(asked, child.number("CONT"))  # who is stopped could not hear,
        for group in _groups(new):  # nor who is frozen, whom in some systems not even KILL would end
            group.thaw()
        is_growing = has_killed and bool(new)  # then all are stopped first: who is stopped has no children
        late = [pid for pid in due if due[pid] <= now]
        child.kill(late, child.number("STOP" if is_growing else "KILL"))
        has_killed = has_killed or bool(late)
        if now > max(due.values()) + END_MOST:
            raise ZapError(_stubborn(found))
        if not is_growing:
            _wait(list(due), min(due.values()) - now if not late else AGAIN)
        look = census.take()
        known = {one[:2]: one for one in find(plan, look)}
        hidden = {mark: met[mark] for mark in look.alive(pid for pid, _ in met) & met.keys()}  # since they were met
        found = sorted({**hidden, **known}.values())
    if not met:
        return None
    return Left(tuple(sorted({one.job for one in met.values()})), len(met))


# Whose a process is.


def _pids() -> list[int]:
    try:
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    except FileNotFoundError:  # there is no /proc: nobody can be found
        return []


def _left(plan: str, pids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Those who say that they are of the plan, and of keepers who are gone; and what else they say."""
    return {
        pid: told
        for pid, told in _told(pids, f"ZAP_PLAN={plan}")
        if told.get("ZAP_PLAN") == plan and "ZAP_JOB" in told and not any(map(_lives, _keepers(told)))
    }


def _runners() -> set[str]:
    """The ids of those of any plan who live, or whose jobs are looked after by others: of all that have jobs."""
    kept = _kept()
    return {
        told.get("ZAP_RUN", "").partition(":")[0]
        for _, told in _told(_pids(), "ZAP_RUN=")
        if told.get("ZAP_PLAN") in kept or any(map(_lives, _keepers(told)))
    }


def _kept() -> set[str]:
    """The ids of the plans of which a keeper lives, by how it was called (`keeper.become`)."""
    kept = set()
    for _, arguments in _read(_pids(), "cmdline"):
        words = arguments.split(b"\0")
        if len(words) > 4 and words[1:3] == [b"-I", b"-S"] and words[3].endswith(b"/zap/keeper.py"):
            kept.add(paths.plan_id(os.fsdecode(words[4])))
    return kept


def _groups(leftovers: Iterable[Leftover]) -> list[Cgroup]:
    """All of their runners, who are gone: whoever is in one, and however it hides, is a leftover."""
    runners = {one.tag.partition(":")[0] for one in leftovers if one.tag}
    there = cgroup.groups(cgroup.roots()) if runners else {}
    return [group for runner in runners for group in there.get(runner, ())]


def _told(pids: Iterable[int], entry: str) -> Iterator[tuple[int, dict[str, str]]]:
    """What the environments say in which this stands."""
    for pid, entries in _read(pids, "environ"):
        if entry.encode() in entries:
            yield pid, dict(each.decode(errors="replace").partition("=")[::2] for each in entries.split(b"\0"))


def _read(pids: Iterable[int], file: str) -> Iterator[tuple[int, bytes]]:
    """Such a file of each, if it is of our user: only root may have started somebody under another one."""
    user = os.geteuid()
    for pid in pids:
        try:
            if user and os.stat(f"/proc/{pid}").st_uid != user:
                continue
            with open(f"/proc/{pid}/{file}", "rb", buffering=0) as opened:
                text = opened.read()
        except OSError:  # gone, or nobody's business
            continue
        yield pid, text


def _keepers(tags: Mapping[str, str]) -> list[str]:
    """Who answers for it. A zap before the one that had keepers has told no more than its pid."""
    kept = tags.get("ZAP_KEEPERS") or tags.get("ZAP_RUNNER", "")
    return [keeper for keeper in kept.split(",") if keeper]


def _lives(keeper: str) -> bool:
    """Whether this very process lives (`child.identity`); where its start is not known, one of its pid."""
    pid, _, start = keeper.partition(".")
    try:
        with open(f"/proc/{int(pid)}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return False
    return fields[0] not in (b"Z", b"X") and start in ("", "0", fields[19].decode())


def _spared(look: Census) -> set[int]:
    me = os.getpid()
    spared = {me, *look.below(me), *_around(look, me)}
    if me in look.processes:
        spared |= {process.pid for process in look.above(look.processes[me])}
    return spared


def _around(look: Census, pid: int) -> set[int]:
    """Everyone of its session, and below it and those; 0 is a session that cannot be seen from here."""
    process = look.processes.get(pid)
    if process is None or not process.session:
        return look.below(pid)
    return look.family(process.session, "", [pid, process.session]) | ({process.session} & look.processes.keys())


def _stubborn(found: Sequence[Leftover]) -> str:
    named = ", ".join(f"process {one.pid} of {one.job}" for one in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"a runner that is gone has left behind whom not even KILL ends: {named}{more}; try again when they have ended"
    )


def _wait(pids: Sequence[int], seconds: float) -> None:
    """Until all of them have ended, or the time is over."""
    until = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        watched = 0
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended, or there is no descriptor left to watch it with
                fd = os.pidfd_open(pid)
                stack.callback(os.close, fd)
                poll.register(fd, select.POLLIN)
                watched += 1
        while (left := until - time.monotonic()) > 0:
            if not watched:
                time.sleep(min(left, AGAIN))
                return
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                watched -= 1


# Mailboxes.


def _remove_mailboxes() -> None:
    """Those of our user to which nobody listens any more (`mailbox`), of any plan."""
    for folder in _mailboxes():
        path = os.path.join(folder, "notify")
        if not _is_heard(path):
            with contextlib.suppress(OSError):  # somebody else was faster
                os.unlink(path)
                os.rmdir(folder)


def _mailboxes() -> list[str]:
    """Folders in which there is a socket and nothing else: one that is not there yet may be on its way."""
    found = []
    for place in {os.environ.get(name, "") for name in ("XDG_RUNTIME_DIR", "TMPDIR", "TEMP", "TMP")} | {"/tmp"}:
        try:
            folders = [entry.path for entry in os.scandir(place or "/tmp") if MAILBOX.fullmatch(entry.name)]
        except OSError:
            continue
        for folder in folders:
            with contextlib.suppress(OSError):
                seen = os.lstat(folder)
                is_ours = stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()
                if is_ours and os.listdir(folder) == ["notify"] and stat.S_ISSOCK(os.lstat(f"{folder}/notify").st_mode):
                    found.append(folder)
    return found


def _is_heard(path: str) -> bool:
    """Asked of the socket itself, which may be another container's: it refuses when nobody has it (connect(2))."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
