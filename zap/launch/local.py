"""On this machine: a job's settings → argv and environment of its shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zap.plan import Job

SHELL = "/bin/sh"
NOT_ENTERED = 125  # the code of who could not come to where its job shall be, as env(1), chroot(1) and podman have it
ENTERING = "zap:entering"  # stands in the command line of a job's process until it is there
TEMPORARY = ("/var/tmp", "/tmp")

TERM = "xterm-256color"  # what a job's terminal is, whatever zap itself was started in: so it is drawn when typed into


class Owner(NamedTuple):
    """Whom a job runs as, by numbers; a `user` of None is our own. Only of one `is_known` there are other groups."""

    user: int | None
    group: int
    is_known: bool = True


class Way(NamedTuple):
    """How a job's shell comes to be where it shall be. `programs` are the absolute paths of what is called by its name
    here; `loopback` is the argv that brings that up in a network of its own.

    `groups` are the folders of the control groups to join. `memory` (bytes) and `processes` (those that its user has)
    are the limits that no group holds. `mailbox` is the socket by which it tells how it is. `beside` is a process of
    the job, whose network and /tmp are shared instead of having new ones.
    """

    programs: Mapping[str, str]
    is_root: bool
    owner: Owner | None = None
    loopback: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    memory: int | None = None
    processes: int | None = None
    mailbox: str | None = None
    beside: int | None = None


def argv(job: Job, script: str, way: Way | None = None) -> list[str]:
    """The shell, its script, and the name by which it speaks of itself; a terminal's path may follow as `$1`.

    On a way, other programs come first, each of which becomes the next, so that the process is the same.
    """
    shell = [*job.shell, "-c", script, job.shell[0].rpartition("/")[2]]
    return shell if way is None else [*_enter(job, way), *shell]


def is_apart(job: Job) -> bool:
    """Whether it has a network or a /tmp of its own."""
    return job.private_tmp or job.network == "none"


def needed(job: Job, is_another: bool, is_beside: bool = False) -> set[str]:
    """The programs on its way; `is_another` is whether it runs as somebody else than us."""
    names = {"nsenter" if is_beside else "unshare"} if is_apart(job) else set()
    if job.private_tmp and not is_beside:
        names.add("mount")
    if is_another or (is_apart(job) and not is_beside):
        names.add("setpriv")
    if is_another:
        names.add("chown")
    return names if job.limits.nice is None else names | {"renice"}


def environment(
    job: Job,
    outer: Mapping[str, str],
    from_files: Mapping[str, str | None],
    person: Mapping[str, str | None] | None = None,
) -> dict[str, str]:
    """The outer environment, what tells of another `person`, then the job's env files, then its `env`; None takes a
    variable away.
    """
    terminal = {"TERM": TERM} if job.tty else {}
    merged: dict[str, str | None] = {**outer, **terminal, **(person or {}), **from_files, **dict(job.env)}
    return {name: value for name, value in merged.items() if value is not None}


def tags(plan: str, job: str, runner: str, keepers: Sequence[str], epoch: int) -> dict[str, str]:
    """What every process of a job carries in its environment, so that it is known for the job's wherever it hides.

    ZAP_RUN is that of no other child of any runner. `keepers` are who answers for it, such as `4711.123456`: pid and
    start, which no two processes have both. When none of them lives, it is a leftover; the last one is the runner.
    """
    run = f"{runner}:{job}:{epoch}"
    kept = {"ZAP_KEEPERS": ",".join(keepers), "ZAP_RUNNER": keepers[-1].partition(".")[0]}
    return {"ZAP_PLAN": plan, "ZAP_JOB": job, "ZAP_EPOCH": str(epoch), "ZAP_RUN": run} | kept


def _enter(job: Job, way: Way) -> list[str]:
    """The namespaces first, then a shell that makes them what they shall be and takes on the limits, then the user:
    each step needs a right that the next one has no more.
    """
    shell = [SHELL, "-c", "\n".join([*_steps(job, way), 'exec "$@"']), ENTERING]
    return [*_namespaces(job, way), *shell, *_become(job, way)]


def _namespaces(job: Job, way: Way) -> list[str]:
    if not is_apart(job):
        return []
    flags = [*(["--mount"] if job.private_tmp else []), *(["--net"] if job.network == "none" else [])]
    if way.beside is None:
        # Who is not root may do so as root of a namespace of users, in which everybody is who he was.
        ours = [] if way.is_root else ["--user", "--map-current-user", "--keep-caps"]
        return [way.programs["unshare"], *ours, *flags, "--"]
    ours = [] if way.is_root else ["--user", "--preserve-credentials"]
    # It has no command line for a moment when it becomes another program, and none any more when it has ended.
    told = f"$(tr '\\0' ' ' </proc/{way.beside}/cmdline)"
    look = f"case {told} in '' | *{ENTERING}*) sleep 0.01 ;; *) break ;; esac"
    wait = f'while [ -e /proc/{way.beside}/exe ]; do {look}; done; exec "$@"'
    joining = [way.programs["nsenter"], "--target", str(way.beside), *ours, *flags, "--"]
    return [SHELL, "-c", wait, "sh", *joining]


def _steps(job: Job, way: Way) -> Iterator[str]:
    limits = job.limits
    yield "say() { printf 'zap: %s\\n' \"$1\" >&2; }"
    yield f'fail() {{ say "$1"; exit {NOT_ENTERED}; }}'
    if job.network == "none" and way.beside is None:
        yield f"{shlex.join(way.loopback)} || fail 'network: none: its loopback could not be brought up'"
    if job.private_tmp:
        if way.beside is None:
            yield from _temporary(way)
        yield f"cd -- {shlex.quote(job.cwd)} || fail 'private_tmp: its folder is not there'"
    if way.owner and way.owner.user is not None:
        # Else it could not open its own terminal, or /dev/stderr.
        mailbox = [shlex.quote(path) for path in (_folder(way.mailbox), way.mailbox)] if way.mailbox else []
        whose = [way.programs["chown"], str(way.owner.user), "/proc/self/fd/1", "/proc/self/fd/2", *mailbox]
        yield f"{' '.join(whose)} || fail 'user: its output could not be given to it'"
    if limits.nice is not None:  # without -n, which is something else in every system
        yield _or_say(f"{way.programs['renice']} {limits.nice} -p $$ >/dev/null", "nice", limits.nice)
    if limits.oom_score is not None:
        yield _or_say(f"echo {limits.oom_score} >/proc/self/oom_score_adj", "oom_score", limits.oom_score)
    if limits.files is not None:
        yield _or_say(f"ulimit -n {limits.files}", "files", limits.files)
    for folder in way.groups:
        path = f"{folder}/cgroup.procs"
        yield f"echo 0 >{shlex.quote(path)} || fail {shlex.quote(f'limits: it could not join {folder}')}"
    if way.memory is not None:  # not -v: many programs reserve far more than they ever use
        yield _or_say(f"ulimit -d {way.memory // 1024}", "memory", way.memory)
    if way.processes is not None:  # -u, or as dash calls it, -p
        yield _or_say(f"ulimit -u {way.processes} || ulimit -p {way.processes}", "pids", way.processes)
    if job.umask is not None:
        yield f"umask {job.umask:03o}"


def _or_say(command: str, limit: str, value: int) -> str:
    refused = f"limits: {limit}: {value} is refused by the system, so it goes on without"
    return f"{{ {command}; }} 2>/dev/null || say {shlex.quote(refused)}"


def _temporary(way: Way) -> Iterator[str]:
    """Empty folders in memory, over those that all others see; but its mailbox is where it was."""
    mailbox = way.mailbox if way.mailbox and way.mailbox.startswith(tuple(f"{place}/" for place in TEMPORARY)) else None
    mount = way.programs["mount"]
    if mailbox:
        yield f"cd -- {shlex.quote(_folder(mailbox))}"
    for place in TEMPORARY:
        made = f"{mount} -t tmpfs -o mode=1777,nosuid,nodev zap {place}"
        yield f"[ ! -d {place} ] || {made} || fail 'private_tmp: {place} could not be mounted'"
    if mailbox:
        folder = shlex.quote(_folder(mailbox))
        bound = f"mkdir -p -- {folder} && {mount} --no-canonicalize --bind . {folder}"
        yield f"{bound} || fail 'private_tmp: the socket by which it tells how it is could not be brought there'"


def _become(job: Job, way: Way) -> list[str]:
    """Another user with the groups that the system gives it, or nobody but us, without what `unshare` left us."""
    if way.owner is None:
        is_freed = is_apart(job) and not way.is_root and way.beside is None
        return [way.programs["setpriv"], "--inh-caps=-all", "--ambient-caps=-all", "--"] if is_freed else []
    user, group, is_known = way.owner
    if user is None:
        return [way.programs["setpriv"], "--regid", str(group), "--keep-groups", "--"]
    groups = "--init-groups" if is_known else "--clear-groups"
    return [way.programs["setpriv"], "--reuid", str(user), "--regid", str(group), groups, "--"]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
