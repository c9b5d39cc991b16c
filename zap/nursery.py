"""Brings children into the world: a job, or a remedy of its, → script → argv and environment → a child.

Needs no loop, so that the first jobs start before the loop is imported.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from zap import child, script
from zap.launch import local
from zap.plan import Job, Limits, Plan, Secret

if TYPE_CHECKING:  # the first jobs are started sooner without it
    from zap import cgroup

SECRET_MOST = 60.0  # seconds; a keyring may want to be unlocked first
TRIAL_MOST = 5.0  # seconds; it takes some 5 ms
SYSTEM_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")  # first, so that root calls nobody else's programs
CAP_SETUID, CAP_SYS_NICE, CAP_SYS_RESOURCE = 7, 23, 24  # capabilities(7)
LOOPBACK = (  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING (netdevice(7))
    "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH22x', b'lo', 0x41))"
)
SWITCHES = {  # of sysctl, each with the value that forbids namespaces to everybody but root, and one that does not
    "user.max_user_namespaces": ("0", "10000"),
    "kernel.unprivileged_userns_clone": ("0", "1"),  # Debian
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),  # Ubuntu
}
NOT_OURS_TO_GIVE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # they are for zap, from whoever has started it
NOTHING: Mapping[str, str] = {}


class World(NamedTuple):
    """What all children of one runner have in common: its plan's id, its own, the environment around it.

    `files` is the limit of open files that they shall have, where ours was raised. `keepers` are who answers for them,
    the runner's own process last (`child.identity`).
    """

    plan: str
    runner: str
    environ: Mapping[str, str]
    files: int | None = None
    keepers: tuple[str, ...] = ()


def world(plan: Plan, clients: int = 0, keeper: int | None = None) -> World:
    """For a runner of this plan in this process; makes room for its children, and for so many who talk to it.

    `keeper` is the process that ends or hands over what this one would leave behind.
    """
    environ = {name: value for name, value in os.environ.items() if name not in NOT_OURS_TO_GIVE}
    files = child.make_room(len(plan.jobs), clients)
    return World(plan.id, os.urandom(6).hex(), environ, files, keepers(keeper))


def keepers(keeper: int | None) -> tuple[str, ...]:
    """Who answers for the children of a runner in this process: its keeper, if it has one, and itself."""
    return tuple(child.identity(pid) for pid in (keeper, os.getpid()) if pid is not None)


def bear(
    world: World, job: Job, epoch: int, extra: Mapping[str, str] = NOTHING, groups: Sequence[str] = ()
) -> child.Child:
    """The job's child number `epoch`; `extra` is environment that is for it alone. OSError, ValueError: it could not be
    started, and why.

    `groups` are the folders of the control group that was made for it (`cgroup.make`). Those of its limits that this
    one does not hold are set for each of its processes, as far as the system can.
    """
    return _bear(world, job, epoch, [command.text for command in job.commands], extra, groups=groups)


def bear_task(
    world: World,
    job: Job,
    epoch: int,
    commands: Sequence[str],
    folder: str,
    extra: Mapping[str, str] = NOTHING,
    beside: int | None = None,
) -> child.Child:
    """A remedy, a hook or a stop command, as the job runs and in the folder where it was, if that is still there.

    Its tag is its own: what ends the job does not end its remedy. Nor do the job's limits: one that has no memory left
    can still be healed. `beside` is the job's own child while there is one, whose network and /tmp it shares.
    """
    if os.path.isdir(folder) and not (job.private_tmp and folder.startswith(("/tmp/", "/var/tmp/"))):
        job = job._replace(cwd=folder)
    return _bear(world, job._replace(limits=Limits()), epoch, commands, extra, suffix=":task", beside=beside)


def bear_probe(world: World, job: Job, epoch: int, command: str, beside: int | None = None) -> child.Child:
    """A command that asks how the job is: in the job's folder, on pipes, without input, and none of it is marked.

    Its tag is its own, as a remedy's is, and another one each time: several may ask at once, and each ends alone. As a
    task has, it has none of the job's limits, and `beside`.
    """
    job = job._replace(limits=Limits())
    env = environment(world, job, epoch, f":probe:{os.urandom(4).hex()}")
    limit = "" if world.files is None else f"ulimit -S -n {world.files}\n"
    argv = local.argv(job, limit + command, _way(job, NOTHING, beside=beside))
    return child.spawn(argv, cwd=job.cwd, env=env, has_tty=False, has_input=False, nonce="", tag=env["ZAP_RUN"])


def needs_mailbox(job: Job) -> bool:
    """Whether the job tells how it is, by sd_notify(3)."""
    return job.ready.by == "notify" or job.watchdog is not None


def environment(world: World, job: Job, epoch: int, suffix: str = "") -> dict[str, str]:
    """What the job's processes find in their environment. OSError when an env file cannot be read."""
    tags = local.tags(world.plan, job.name, world.runner, world.keepers or keepers(None), epoch)
    tags["ZAP_RUN"] += suffix
    return local.environment(job, world.environ, _from_files(job, world.environ), _person(job)) | tags


def read_secret(world: World, job: Job, secret: Secret) -> bytes:
    """What a secret says, without its line end; blocks, for a command at most a minute.

    OSError or subprocess.SubprocessError when it cannot be had, neither of which tells it.
    """
    env = environment(world, job._replace(user=None), 0)  # it is we who ask for it, and we who type it
    match secret.kind:
        case "file":
            with open(os.path.join(job.cwd, os.path.expanduser(secret.source)), "rb") as file:
                return file.readline().rstrip(b"\r\n")
        case "env":
            if secret.source not in env:
                raise OSError(f"the variable {secret.source} is not set")
            return os.fsencode(env[secret.source])
        case "command":
            printed = child.capture([*job.shell, "-c", secret.source], job.cwd, env, SECRET_MOST)
            return printed.rstrip(b"\r\n")


def preflight(job: Job) -> str | None:
    """Why nothing of this job can be started here as its settings want it, and what would help; None when it can be.

    Namespaces and other users are tried, which blocks for some 5 ms, `TRIAL_MOST` seconds at most; not again once it
    has gone well.
    """
    try:
        owner = _owner(job)
        _programs(job, owner)
    except OSError as error:
        return str(error)
    if owner is None and not local.is_apart(job):
        return None
    if owner and not _can(CAP_SETUID):
        return f"{_settings(job)} cannot be had here: only root can start jobs as somebody else — run zap as root"
    trial = job._replace(limits=Limits(), umask=None, cwd="/", shell=(local.SHELL,))
    try:
        _try(tuple(local.argv(trial, ":", _to(trial, owner))))
    except OSError as error:
        return f"{_settings(trial)} cannot be had here: {error}{_hint()}"
    return None


def shortcomings(job: Job, found: cgroup.Found) -> tuple[str, ...]:
    """What is not in force here as the job's settings have it: a sentence each, with what is instead, and why."""
    why = preflight(job)
    return (*([why] if why else []), *_unlimited(job, found))


def _unlimited(job: Job, found: cgroup.Found) -> Iterator[str]:
    limits = job.limits
    if limits.memory is not None and not found.memory.is_there:
        yield f"limits: memory: holds for each process, not for all together: {found.memory.why}"
    if limits.cpu is not None and not found.cpu.is_there:
        yield f"limits: cpu: does not hold: {found.cpu.why}"
    if limits.pids is not None and not found.pids.is_there:
        is_root = _is_root(_owner(job))
        instead = (
            "does not hold, because root may have any number" if is_root else "its user may have so many more than now"
        )
        yield f"limits: pids: {instead}: {found.pids.why}"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limits.files is not None and resource.RLIM_INFINITY != files < limits.files and not _can(CAP_SYS_RESOURCE):
        yield f"limits: files: the system refuses more than {files}, which ulimit -H -n raises where zap is started"
    if limits.nice is not None and limits.nice < _nicest() and not _can(CAP_SYS_NICE):
        yield f"limits: nice: the system refuses less than {_nicest()} — it takes CAP_SYS_NICE, as root has"
    if limits.oom_score is not None and limits.oom_score < _oom_score() and not _can(CAP_SYS_RESOURCE):
        yield f"limits: oom_score: the system refuses less than {_oom_score()} — it takes CAP_SYS_RESOURCE, as root has"


def _bear(
    world: World,
    job: Job,
    epoch: int,
    commands: Sequence[str],
    extra: Mapping[str, str],
    suffix: str = "",
    groups: Sequence[str] = (),
    beside: int | None = None,
) -> child.Child:
    nonce = os.urandom(8).hex()
    env = environment(world, job, epoch, suffix) | dict(extra)
    files = world.files if job.limits.files is None else None
    return child.spawn(
        local.argv(job, script.build(commands, nonce, job.tty, files), _way(job, extra, groups, beside)),
        cwd=job.cwd,
        env=env,
        has_tty=job.tty,
        has_input=bool(job.answers),
        nonce=nonce,
        tag=env["ZAP_RUN"],
    )


def _from_files(job: Job, environ: Mapping[str, str]) -> dict[str, str | None]:
    merged: dict[str, str | None] = {}
    if job.env_file:
        import dotenv

        for path in job.env_file:
            try:
                with open(path, encoding="utf-8") as file:
                    merged |= dotenv.dotenv_values(stream=file)
            except UnicodeDecodeError:
                raise ValueError(f"file {path}: it is not UTF-8 text") from None
    return merged


# The way to where a job shall be.


def _way(job: Job, extra: Mapping[str, str], groups: Sequence[str] = (), beside: int | None = None) -> local.Way | None:
    """None for a job that is to be nowhere else than we are. OSError: it cannot come there, and why."""
    owner = _owner(job)
    held = _held(groups) if groups else frozenset()
    memory = None if "memory" in held else job.limits.memory
    pids = None if "pids" in held or _is_root(owner) else job.limits.pids
    others = (memory, pids, job.limits.files, job.limits.nice, job.limits.oom_score, job.umask)
    if not (owner or local.is_apart(job) or groups) and others == (None,) * len(others):
        return None
    if why := preflight(job):
        raise OSError(why)
    if "/" in job.shell[0] and not os.path.exists(os.path.join(job.cwd, job.shell[0])):  # said by nobody else then
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), job.shell[0])
    return _to(job, owner, beside)._replace(
        groups=tuple(groups),
        memory=memory,
        processes=None if pids is None else pids + _count(_user(owner)),
        mailbox=extra.get("NOTIFY_SOCKET"),
    )


def _held(groups: Sequence[str]) -> frozenset[str]:
    from zap import cgroup

    return cgroup.Cgroup(groups).limits


def _to(job: Job, owner: local.Owner | None, beside: int | None = None) -> local.Way:
    ip = _program("ip")
    loopback = (ip, "link", "set", "lo", "up") if ip else (sys.executable, "-I", "-S", "-c", LOOPBACK)
    return local.Way(_programs(job, owner, beside), os.geteuid() == 0, owner, loopback, beside=beside)


def _programs(job: Job, owner: local.Owner | None, beside: int | None = None) -> dict[str, str]:
    """Where those are that the way takes. OSError: some are nowhere."""
    found = {name: _program(name) for name in sorted(local.needed(job, owner is not None, beside is not None))}
    if missing := [name for name, path in found.items() if path is None]:
        raise OSError(f"{_settings(job)} needs {', '.join(missing)}, which cannot be found — install util-linux")
    return {name: path for name, path in found.items() if path}


def _program(name: str) -> str | None:
    paths = (os.path.join(folder, name) for folder in (*SYSTEM_PATH, *os.get_exec_path()) if os.path.isabs(folder))
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def _settings(job: Job) -> str:
    """Those which need that something is done, as they are written."""
    written = {"user": job.user, "group": job.group, "private_tmp": "true" if job.private_tmp else None}
    written |= {"network": "none" if job.network == "none" else None}
    written |= {"limits": None if job.limits.nice is None else f"nice: {job.limits.nice}"}
    return " and ".join(f"{name}: {value}" for name, value in written.items() if value is not None)


@cache
def _try(argv: tuple[str, ...]) -> None:
    """OSError, which is not remembered: it went wrong, and how."""
    if why := child.consult(argv, (), TRIAL_MOST):
        raise OSError(why)


def _hint() -> str:
    """What a person can do about a trial that went wrong."""
    if os.geteuid() == 0:
        return " — root may have it with CAP_SYS_ADMIN: podman run --cap-add SYS_ADMIN"
    for switch, (off, on) in SWITCHES.items():
        with contextlib.suppress(OSError), open(f"/proc/sys/{switch.replace('.', '/')}", encoding="ascii") as file:
            if file.read().strip() == off:
                return f" — run zap as root, or allow it to everybody: sysctl {switch}={on}"
    return " — run zap as root"


# Whom it runs as.


def _owner(job: Job) -> local.Owner | None:
    """None when that is who we are. OSError: there is no such user or group."""
    if job.user is None and job.group is None:
        return None
    entry = None if job.user is None else _entry(job.user)
    if job.group is not None:
        try:
            group = int(job.group) if job.group.isdigit() else grp.getgrnam(job.group).gr_gid
        except KeyError:
            raise OSError(f"there is no group {job.group}") from None
    elif entry:
        group = entry.pw_gid
    else:
        raise OSError(f"user: {job.user} is nobody's number, so it is not known in which group: write group as well")
    user = None if job.user is None else entry.pw_uid if entry else int(job.user)
    if user in (None, os.geteuid()) and group == os.getegid():
        return None
    return local.Owner(user, group, entry is not None)


def _entry(user: str) -> pwd.struct_passwd | None:
    """None for a number that is nobody's."""
    try:
        return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        if user.isdigit():
            return None
        raise OSError(f"there is no user {user}") from None


def _person(job: Job) -> dict[str, str | None]:
    """What tells another user who it is, as systemd.exec(5) has it; our own runtime folder is not for it.

    Who may not log in has a shell that does nothing, which is no use to the programs that look for one.
    """
    if job.user is None:
        return {}
    entry = _entry(job.user)
    name, home, shell = (entry.pw_name, entry.pw_dir, entry.pw_shell) if entry else (job.user, "/", "")
    if shell.rpartition("/")[2] in ("", "nologin", "false"):
        shell = local.SHELL
    told: dict[str, str | None] = {"USER": name, "LOGNAME": name, "HOME": home, "SHELL": shell}
    return told if entry and entry.pw_uid == os.geteuid() else told | {"XDG_RUNTIME_DIR": None}


def _user(owner: local.Owner | None) -> int:
    return os.geteuid() if owner is None or owner.user is None else owner.user


def _is_root(owner: local.Owner | None) -> bool:
    return _user(owner) == 0


def _count(user: int) -> int:
    """The threads that a user has now, which is what the system counts (RLIMIT_NPROC, getrlimit(2))."""
    count = 0
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == user:
                count += os.stat(f"/proc/{entry}/task").st_nlink - 2
    return count


# What the system lets us do.


def _can(capability: int) -> bool:
    """Whether we have it (capabilities(7)); where nobody tells, root has all."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> capability & 1)
    return os.geteuid() == 0


def _nicest() -> int:
    """The least nice that we may give without a capability."""
    now = os.getpriority(os.PRIO_PROCESS, 0)
    if sys.platform == "linux":
        return min(now, 20 - resource.getrlimit(resource.RLIMIT_NICE)[0])
    return now


def _oom_score() -> int:
    """Our own, than which no less can be had without a capability."""
    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", encoding="ascii") as file:
        return int(file.read())
    return 0
