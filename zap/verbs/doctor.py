"""`zap doctor`: what zap can do on this machine, how, and what would let it do more."""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import resource
from collections.abc import Iterator
from typing import Literal, NamedTuple

from zap import cache, cgroup, child, nursery, paths
from zap.errors import ConfigError, ZapError
from zap.frame import Plain
from zap.plan import Job, Limits, Plan
from zap.verbs import reach, usage

State = Literal["yes", "partly", "no"]
MARKS: dict[State, str] = {"yes": "✓", "partly": "–", "no": "✗"}
EXITS = (
    "exit codes: 0, or 1 when something is missing that zap itself needs; 2 when the plan that is named is not there."
)
INSTEAD = {
    "memory": "for each process of a job, by ulimit -d",
    "pids": "by ulimit -u, which lets the job's user have so many more, and root any number",
}


class Check(NamedTuple):
    """One thing, and whether and how it can be done; `job` is whose setting it is. Without what `is_needed` zap is no
    use at all.
    """

    what: str
    state: State
    how: str
    job: str = ""
    is_needed: bool = False


def register(subparsers: usage.Subparsers) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="what zap can do on this machine, and how",
        description="\n".join(line.strip() for line in (run.__doc__ or "").splitlines()),
        epilog=EXITS,
        formatter_class=usage.formatter,
    )
    parser.set_defaults(do=run)
    parser.add_argument(
        "-f", "--file", metavar="FILE", help="the plan (default: $ZAP_FILE, or jobs.yaml here or above)"
    )
    usage.add_json(parser, "`what`, its `state` (yes, partly or no), `how`; for a job's settings also `job`")


def run(arguments: argparse.Namespace) -> int:
    """Says what can be done on this machine, tried by doing it: limits, isolation, and what zap needs for itself; where
    less can be done than may be wanted, why, and what would change that. Where there is a plan, it tells of the jobs
    whose settings cannot be in force as they are written, and what is instead."""
    found = cgroup.find()
    plan, problem = _plan(arguments.file)
    checks = [*_groups(found), *_isolation(found), *_system(), *_folders(plan)]
    if problem:
        checks.append(problem)
    if plan:
        checks += _jobs(plan, found)
    width = max(len(check.job or check.what) for check in checks)
    for check in checks:
        if arguments.json:
            told: dict[str, Plain] = {"what": check.what, "state": check.state, "how": check.how}
            reach.tell(told | ({"job": check.job} if check.job else {}))
        else:
            print(f"{MARKS[check.state]} {reach.shown(f'{check.job or check.what:<{width}}  {check.how}')}")
    return int(any(check.is_needed and check.state == "no" for check in checks))


def _plan(named: str | None) -> tuple[Plan | None, Check | None]:
    """The plan, if there is one, and what is wrong with it."""
    try:
        path = paths.plan_file(named, os.environ)
    except ZapError:
        if named or os.environ.get("ZAP_FILE"):
            raise
        return None, None
    plan = cache.read(paths.cache_folder(os.environ), path)
    if plan:
        return plan, None
    from pathlib import Path

    from zap import config

    try:
        return config.load(Path(path), os.environ).plan, None
    except ConfigError as error:
        count = "a problem" if len(error.problems) == 1 else f"{len(error.problems)} problems"
        return None, Check("the plan", "no", f"{path} has {count}, which zap check tells")


def _groups(found: cgroup.Found) -> Iterator[Check]:
    if found.kind == "none":
        yield Check("control groups", "no", "none for us, for the reason below")
    else:
        yield Check("control groups", "yes", f"{found.kind}, one for each run of a job that has such limits")
    for limit in cgroup.LIMITS:
        ability: cgroup.Ability = getattr(found, limit)
        if ability.is_there:
            leaf = f", once the processes there have moved to {cgroup.LEAF}" if found.retreats else ""
            yield Check(limit, "yes", f"for all of a job together, by its control group in {ability.root}{leaf}")
        elif limit in INSTEAD:
            yield Check(limit, "partly", f"{INSTEAD[limit]}: {ability.why}")
        else:
            yield Check(limit, "no", ability.why)
    for what, ability, instead in (
        ("pausing at once", found.freeze, "process by process, by STOP"),
        ("killing at once", found.kill, "process by process, so that a fork bomb may outrun it"),
    ):
        if ability.is_there:
            yield Check(what, "yes", f"what has limits by a control group, in {ability.root}")
        else:
            yield Check(what, "partly", f"{instead}: {ability.why}")


def _isolation(found: cgroup.Found) -> Iterator[Check]:
    nobody = Job("doctor/try", "", (), "/")
    for what, job, how in (
        ("private_tmp", nobody._replace(private_tmp=True), "a /tmp of its own for a job"),
        ("network: none", nobody._replace(network="none"), "a job with a loopback of its own, and nothing else"),
        ("user, group", nobody._replace(user=_somebody()), "jobs as other users"),
    ):
        why = nursery.preflight(job)
        yield Check(what, "no" if why else "yes", why or how)
    for what, limits, how in (
        ("nice", Limits(nice=-20), "any, also below 0"),
        ("oom_score", Limits(oom_score=-1000), "any, also below zap's own"),
    ):
        short = nursery.shortcomings(nobody._replace(limits=limits), found)
        yield Check(what, "partly" if short else "yes", short[0].removeprefix(f"limits: {what}: ") if short else how)
    soft, hard = (_number(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    yield Check("files", "yes", f"{soft} open ones for each process, and up to {hard} for who asks (ulimit -n)")


def _somebody() -> str:
    """Somebody else than us; it need not be anybody whom the system knows."""
    with contextlib.suppress(KeyError):
        if pwd.getpwnam("nobody").pw_uid != os.geteuid():
            return "nobody"
    return "root"


def _number(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)


def _system() -> Iterator[Check]:
    def check(what: str, is_there: bool, how: str, instead: str, state: State = "partly") -> Check:
        return Check(what, "yes" if is_there else state, how if is_there else instead, is_needed=state == "no")

    yield check("shell", os.access("/bin/sh", os.X_OK), "/bin/sh", "there is no /bin/sh that can be run", "no")
    yield check(
        "terminals", _has_terminals(), "for jobs with tty: true", "none can be opened: /dev/pts is missing", "no"
    )
    instead = "what leaves its job's session is not found again (PR_SET_CHILD_SUBREAPER)"
    yield check("subreaper", child.adopt_orphans(), "orphans of jobs come to zap", instead)
    yield check(
        "pidfd", _has_pidfd(), "the end of a process is told at once", "the end of a process is told by a thread"
    )
    instead = "when a runner is killed, its jobs are ended (memfd_create(2), splice(2))"
    yield check("hand-over", child.CAN_HAND_OVER and _has_splice(), "when a runner is killed, its jobs go on", instead)


def _has_terminals() -> bool:
    try:
        fds = os.openpty()
        os.ttyname(fds[1])
    except OSError:
        return False
    for fd in fds:
        os.close(fd)
    return True


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _has_splice() -> bool:
    """As the keeper uses it: from a pipe into memory."""
    reading, writing = os.pipe()
    kept = -1
    try:
        kept = os.memfd_create("zap-doctor")
        os.write(writing, b"!")
        return os.splice(reading, kept, 1) == 1
    except OSError:
        return False
    finally:
        for fd in {reading, writing, kept} - {-1}:
            os.close(fd)


def _folders(plan: Plan | None) -> Iterator[Check]:
    """Whether files can be made there; the folders themselves are made by who needs them."""
    name = plan.id if plan else ""
    runtime = paths.runtime_folder(os.environ, name)
    yield Check(
        "runtime folder", *_writable(runtime, "the runner cannot be reached, so that none is started"), "", True
    )
    state = paths.state_folder(os.environ, name)
    yield Check("state folder", *_writable(state, "nothing is kept of what happened"))
    kept = paths.cache_folder(os.environ)
    if kept is None:
        yield Check("cache folder", "partly", "none, because HOME is not set: plans are read anew each time")
    else:
        yield Check("cache folder", *_writable(kept, "plans are read anew each time"))


def _writable(folder: str, instead: str) -> tuple[State, str]:
    at = folder = folder.rstrip("/")
    while not os.path.lexists(at):
        at = os.path.dirname(at)
    if os.path.isdir(at) and os.access(at, os.W_OK | os.X_OK):
        return "yes", folder
    return "no", f"{folder} cannot be written, because of {at}: {instead}"


def _jobs(plan: Plan, found: cgroup.Found) -> Iterator[Check]:
    short = False
    for job in plan.jobs:
        cannot_start = nursery.preflight(job)
        for what in nursery.shortcomings(job, found):
            short = True
            yield Check("settings", "no" if what == cannot_start else "partly", what, job.name)
    if not short:
        yield Check("the plan", "yes", f"{plan.path}: all that its jobs ask for can be had here")
