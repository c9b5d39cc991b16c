"""Control groups, where there are any for us: limits for all of a job together, and its end at one blow (cgroups(7)).

Nothing is remembered between two calls: a group is known by its folders, so that another process can go on with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal, NamedTuple

from zap import child
from zap.plan import Limits

Kind = Literal["v2", "v1", "none"]

LIMITS = ("memory", "cpu", "pids")
LEAF = "zap-itself"  # below a group that was delegated: for the processes that it must not have itself any more
FREEZE_MOST = 0.1  # seconds; who waits for a disk cannot be frozen before it answers
KILL_WAITS = (
    0.02,
    0.05,
    0.1,
    0.2,
)  # seconds for who was killed to end, which takes 1 to 10 ms, before it is done again
SWEEP_WAIT = 0.2  # seconds; it takes some 10 ms from when a group is made until somebody is in it
AGAIN = 0.001  # seconds between two looks at whether it is so
CPU_PERIOD = 100_000  # microseconds, the kernel's own default
RETREATS = 20  # looks for who forked while the others were moved

_V1 = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max", "freezer": "freezer.state"}
_V2 = {"memory": "memory.max", "cpu": "cpu.max", "pids": "pids.max"}
_ENTRY = re.compile(r"zap-([0-9a-f]{12})")  # the folder of a runner, by its id


class Ability(NamedTuple):
    """Groups that can do something are made below the folder `root`; where there is none, `why` says why not."""

    root: str = ""
    why: str = ""

    @property
    def is_there(self) -> bool:
        return bool(self.root)


NOT_MOUNTED = Ability(why="no control groups are mounted")


class Found(NamedTuple):
    """What groups can do for us here. `kind` is that of the limits, which may differ from where they freeze and kill.

    With `retreats`, all processes of the root are moved to a group `LEAF` below it when the first group is made: groups
    that have limits must be in one without processes of its own (cgroups(7), "no internal processes").
    """

    kind: Kind
    memory: Ability
    cpu: Ability
    pids: Ability
    freeze: Ability
    kill: Ability
    retreats: bool = False


class _Hierarchy(NamedTuple):
    """One that is mounted: what it controls, and the folders of its top and of our own group."""

    is_v2: bool
    controllers: frozenset[str]
    top: str
    own: str


def is_wanted(limits: Limits) -> bool:
    """Whether a group is of any use for them; joining one costs 1 to 2 ms."""
    return any(getattr(limits, name) is not None for name in LIMITS)


def find(process: str = "/proc/self") -> Found:
    """What can be done here, tried in groups that are gone again. `process` is the folder of one in /proc."""
    v1: dict[str, Ability] = {}
    v2: dict[str, Ability] = {}
    retreats = False
    for hierarchy in _hierarchies(process):
        if hierarchy.is_v2:
            v2 = _try_v2(hierarchy)
            retreats = _may_retreat(hierarchy)
        else:
            v1 |= _try_v1(hierarchy)
    limits = {limit: v1.get(limit) or v2.get(limit) or NOT_MOUNTED for limit in LIMITS}  # none is in both
    freeze = _first(v2.get("freeze"), v1.get("freezer"))
    kinds: list[Kind] = ["v1" if limit in v1 else "v2" for limit, ability in limits.items() if ability.is_there]
    kind = kinds[0] if kinds else "none"
    return Found(kind, **limits, freeze=freeze, kill=_first(v2.get("kill"), freeze), retreats=retreats)


def name(runner: str, job: str, epoch: int) -> str:
    """Of the group of a job's child; no other has it, and `+` is in no job's name."""
    return f"zap-{runner}/{job.replace('/', '+')}-{epoch}"


def make(found: Found, name: str, limits: Limits) -> tuple[str, ...]:
    """The folders of a new group with those of the limits that groups hold here. OSError: there is none, and why."""
    wanted = [limit for limit in LIMITS if getattr(limits, limit) is not None]
    held = [limit for limit in wanted if getattr(found, limit).is_there]
    if not held:
        raise OSError(_all({getattr(found, limit).why for limit in wanted}))
    roots: dict[str, list[str]] = {}
    for what in [*held, "kill", "freeze"]:
        ability: Ability = getattr(found, what)
        if ability.is_there:
            roots.setdefault(ability.root, []).append(what)
    folders: list[str] = []
    try:
        for root, whats in roots.items():
            folders.append(_make(root, name, [limit for limit in LIMITS if limit in whats], found.retreats))
            for limit in whats:
                if limit in LIMITS:
                    _set_limit(folders[-1], limit, getattr(limits, limit))
    except OSError as error:
        Cgroup(folders).remove()
        raise OSError(f"no control group could be made: {_explain(error)}") from None
    return tuple(folders)


def roots(process: str = "/proc/self") -> set[str]:
    """The folders below which `find` looks for what can be done, as far as we may write there; nothing is tried."""
    return {
        root
        for hierarchy in _hierarchies(process)
        if hierarchy.is_v2 or hierarchy.controllers & _V1.keys()
        if os.access(root := _root(hierarchy) if hierarchy.is_v2 else hierarchy.own, os.W_OK)
    }


def groups(roots: Collection[str]) -> dict[str, list[Cgroup]]:
    """The groups that are there, by the id of their runner. One that has none may still have its folder."""
    folders: dict[str, dict[str, list[str]]] = {}
    for root in roots:
        for named in filter(None, map(_ENTRY.fullmatch, _entries(root))):
            of_runner = folders.setdefault(named[1], {})
            for folder in _below(os.path.join(root, named[0])):
                of_runner.setdefault(os.path.basename(folder), []).append(folder)
    return {runner: [Cgroup(each) for each in of_runner.values()] for runner, of_runner in folders.items()}


def sweep(roots: Collection[str], alive: Callable[[], Collection[str]]) -> None:
    """Removes the groups of runners that are gone, in which nobody is: of those whose ids `alive` does not tell.

    Where there are any it blocks for `SWEEP_WAIT` seconds, and asks again: an empty one may be that of a runner of
    which nobody knows yet, whose job is about to join it.
    """
    idle: dict[str, list[Cgroup]] = {}
    for runner, those in groups(roots).items():
        empty = [group for group in those if group.is_empty()]
        if empty or not those:
            idle[runner] = empty
    gone = idle.keys() - alive() if idle else set()
    if not gone:
        return
    time.sleep(SWEEP_WAIT)
    for runner in gone.difference(alive()):
        for group in idle[runner]:
            group.remove()
        for root in roots:
            with contextlib.suppress(OSError):  # it is gone with its last group, has one still, or was never there
                os.rmdir(os.path.join(root, f"zap-{runner}"))


class Cgroup:
    """The group of one job's child, by its folders; there may be several, one in each hierarchy.

    What the job has made below it belongs to it. Whatever is gone already is no error.
    """

    __slots__ = ("folders",)

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = tuple(folders)

    @property
    def job(self) -> str:
        """Whose it is, by its `name`."""
        return os.path.basename(self.folders[0]).rpartition("-")[0].replace("+", "/")

    @property
    def limits(self) -> frozenset[str]:
        """Those that hold for it as a whole: of memory, cpu and pids."""
        files = {file: limit for table in (_V1, _V2) for limit, file in table.items()}
        return frozenset(limit for file, limit in files.items() if limit in LIMITS and self._with(file))

    def processes(self) -> set[int]:
        """Who is in it; those that have ended are not."""
        return {pid for folder in self.folders for inner in _tree(folder) for pid in _pids(inner)}

    def is_empty(self) -> bool:
        return not self.processes()

    def freeze(self) -> bool:
        """Lets all of it stand still, also who is born meanwhile; False when not all do after `FREEZE_MOST` seconds, or
        when there is nothing here to do it by.
        """
        frozen = [*self._set("cgroup.freeze", "1"), *self._set("freezer.state", "FROZEN")]
        return bool(frozen) and _wait(self.is_frozen, FREEZE_MOST)

    def is_frozen(self) -> bool:
        """Whether all of it stands still (the states of the processes do not tell)."""
        told = [_values(folder, "cgroup.events").get("frozen") == "1" for folder in self._with("cgroup.freeze")]
        told += [_read(folder, "freezer.state").strip() == "FROZEN" for folder in self._with("freezer.state")]
        return any(told)

    def thaw(self) -> None:
        """Lets all of it go on."""
        self._set("cgroup.freeze", "0")
        self._set("freezer.state", "THAWED")

    def kill(self) -> bool:
        """Ends everybody in it, also who forks faster than one can look; whether nobody is left.

        Blocks until then, or until what is in `KILL_WAITS` is over.
        """
        for seconds in KILL_WAITS:
            if not self._set("cgroup.kill", "1"):
                self.freeze()
            child.kill(self.processes(), child.number("KILL"))
            self.thaw()  # with v1, who is frozen dies only then
            if _wait(self.is_empty, seconds):
                return True
        return False

    def kills_by_memory(self) -> int:
        """How many processes of it the kernel has killed because memory ran out, so far."""
        counts = [_values(folder, "memory.events") for folder in self._with("memory.events")]  # with all that is below
        for folder in self._with("memory.oom_control"):
            counts += [_values(inner, "memory.oom_control") for inner in _tree(folder)]
        return sum(int(count.get("oom_kill", 0)) for count in counts)

    def remove(self) -> bool:
        """Whether it is gone now: a group with processes stays."""
        for folder in self.folders:
            for inner in reversed(list(_tree(folder))):
                with contextlib.suppress(OSError):
                    os.rmdir(inner)
            with contextlib.suppress(OSError):  # the runner's, with others of its groups in it
                if _ENTRY.fullmatch(os.path.basename(os.path.dirname(folder))):
                    os.rmdir(os.path.dirname(folder))
        return not any(map(os.path.exists, self.folders))

    def _with(self, file: str) -> list[str]:
        return [folder for folder in self.folders if os.path.exists(os.path.join(folder, file))]

    def _set(self, file: str, text: str) -> list[str]:
        """Writes it wherever there is such a file; the folders where that went well."""
        done = []
        for folder in self._with(file):
            with contextlib.suppress(OSError):
                _write(folder, file, text)
                done.append(folder)
        return done


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    """Blocks until it is so, so many seconds at most; whether it is."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(AGAIN)
    return True


# Where groups can be.


def _hierarchies(process: str) -> Iterator[_Hierarchy]:
    """Those of proc_pid_mountinfo(5), where our own place is that of proc_pid_cgroup(5)."""
    ours: dict[str, str] = {}
    for line in _read(process, "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        ours |= dict.fromkeys(names.split(","), path)  # v2 has no names there: it is called ""
    seen: set[str] = set()  # a controller is in one hierarchy only, which may be mounted twice
    for line in _read(process, "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, top = map(_unescape, before.split(" ")[3:5])
        kind, _, options = after.split(" ", 2)
        is_v2 = kind == "cgroup2"
        controllers = frozenset([""] if is_v2 else ours.keys() & set(options.split(","))) - seen
        if kind not in ("cgroup", "cgroup2") or not controllers:
            continue
        seen |= controllers
        path = ours.get(min(controllers), "/")
        # Where only a part is mounted, as in a container, the top is that part.
        inner = path.removeprefix(root.rstrip("/")) if f"{path}/".startswith(f"{root.rstrip('/')}/") else "/"
        own = os.path.normpath(os.path.join(top, inner.lstrip("/")))
        yield _Hierarchy(is_v2, controllers, top, own if os.path.isdir(own) else top)


def _try_v1(hierarchy: _Hierarchy) -> dict[str, Ability]:
    """Below our own group, so that its limits hold for us still."""
    root = hierarchy.own
    found = {}
    for controller in hierarchy.controllers & _V1.keys():
        try:
            with _trial(root) as folder:
                is_there = os.access(os.path.join(folder, _V1[controller]), os.W_OK)
                found[controller] = Ability(root) if is_there else Ability(why=f"{root} has no {_V1[controller]}")
        except OSError as error:
            found[controller] = Ability(why=_explain(error))
    return found


def _try_v2(hierarchy: _Hierarchy) -> dict[str, Ability]:
    root = _root(hierarchy)
    found = {}
    try:
        with _trial(root) as folder:
            for what, file in (("freeze", "cgroup.freeze"), ("kill", "cgroup.kill")):
                is_there = os.access(os.path.join(folder, file), os.W_OK)
                found[what] = Ability(root) if is_there else Ability(why=f"the kernel is too old for {file}")
    except OSError as error:
        return dict.fromkeys((*LIMITS, "freeze", "kill"), Ability(why=_explain(error)))
    for limit in LIMITS:
        why = _why_not(hierarchy, root, limit)
        found[limit] = Ability(why=why) if why else Ability(root)
    return found


def _root(hierarchy: _Hierarchy) -> str:
    """The group that was delegated to us. Who has none can make groups at the top, if it is root."""
    if os.path.basename(hierarchy.own) == LEAF:
        return os.path.dirname(hierarchy.own)
    return hierarchy.own if _is_delegated(hierarchy) else hierarchy.top


def _may_retreat(hierarchy: _Hierarchy) -> bool:
    """Whether whoever is in the root may be moved to the leaf."""
    return os.path.basename(hierarchy.own) == LEAF or _is_delegated(hierarchy)


def _is_delegated(hierarchy: _Hierarchy) -> bool:
    """Whether somebody has given us our own group, with all that is in it, to do with as we like."""
    own = hierarchy.own
    if not _has_parent(own):
        return False
    for name in ("user.delegate", "trusted.delegate"):  # systemd.resource-control(5)
        with contextlib.suppress(OSError, AttributeError):
            if os.getxattr(own, name) == b"1":
                return True
    if os.geteuid():  # given to us, and not only a part of what was
        is_topmost = own == hierarchy.top or os.stat(os.path.dirname(own)).st_uid != os.geteuid()
        return os.stat(own).st_uid == os.geteuid() and is_topmost
    return own == hierarchy.top and _is_first()  # a container's, all of which we have started


def _is_first() -> bool:
    """Whether the first process is ours: this one, or a Python that has started it."""
    with contextlib.suppress(OSError):
        return os.getpid() == 1 or (os.getppid() == 1 and os.path.samefile("/proc/1/exe", "/proc/self/exe"))
    return False


def _why_not(hierarchy: _Hierarchy, root: str, limit: str) -> str:
    """Why a group below the root cannot have this limit; empty when it can."""
    if limit not in _read(root, "cgroup.controllers").split():
        hint = "" if root == hierarchy.top else " — start zap with systemd-run … -p Delegate=yes, which delegates it"
        return f"the kernel does not offer {limit} in {root}{hint}"
    if limit in _read(root, "cgroup.subtree_control").split():
        return ""
    if not os.access(os.path.join(root, "cgroup.subtree_control"), os.W_OK):
        return f"only root may offer {limit} below {root} — run zap as root"
    if _has_parent(root) and _pids(root) and not _may_retreat(hierarchy):
        return f"{root} has processes of its own, so that nobody can offer {limit} below it"
    return ""


def _has_parent(group: str) -> bool:
    """Whether it is not the topmost group of the machine, which alone has no type."""
    return os.path.exists(os.path.join(group, "cgroup.type"))


@contextlib.contextmanager
def _trial(root: str) -> Iterator[str]:
    folder = os.path.join(root, f"zap-{os.urandom(6).hex()}")
    os.mkdir(folder)
    try:
        yield folder
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(folder)


def _first(*abilities: Ability | None) -> Ability:
    """The first that is there, or else that has a reason why not."""
    mounted = [ability for ability in abilities if ability is not None]
    return next((ability for ability in mounted if ability.is_there), (mounted or [NOT_MOUNTED])[0])


def _explain(error: OSError) -> str:
    where = os.path.dirname(error.filename or "") or "there"
    match error.errno:
        case errno.EROFS:
            return f"{where} is mounted read-only, as in most containers — run the container privileged"
        case errno.EACCES | errno.EPERM:
            hint = "run zap as root"
            if os.path.isdir("/run/systemd/system"):
                hint += ", or by systemd-run --user --scope -p Delegate=yes zap …"
            return f"only root may make groups in {where} — {hint}"
        case errno.EBUSY:
            return f"{where} has processes of its own, so that groups below it can have no limits"
        case _:
            return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


def _all(reasons: Collection[str]) -> str:
    return "; ".join(sorted(reasons))


# Making one.


def _make(root: str, name: str, limits: Sequence[str], retreats: bool) -> str:
    """A new folder; one that is there already is an error."""
    folder = os.path.join(root, name)
    runner = os.path.dirname(folder)
    is_v2 = os.path.exists(os.path.join(root, "cgroup.controllers"))
    if is_v2:
        _offer(root, limits, retreats)
    os.makedirs(runner, exist_ok=True)
    try:
        if is_v2:
            _offer(runner, limits, retreats=False)
        os.mkdir(folder)
    except OSError:
        with contextlib.suppress(OSError):  # others of its groups are in it
            os.rmdir(runner)
        raise
    return folder


def _offer(group: str, limits: Sequence[str], retreats: bool) -> None:
    """From now on the groups below it have such limits."""
    missing = [limit for limit in limits if limit not in _read(group, "cgroup.subtree_control").split()]
    if not missing:
        return
    text = " ".join(f"+{limit}" for limit in missing)
    try:
        _write(group, "cgroup.subtree_control", text)
    except OSError as error:
        if error.errno != errno.EBUSY or not retreats:
            raise
        _retreat(group)
        _write(group, "cgroup.subtree_control", text)


def _retreat(group: str) -> None:
    leaf = os.path.join(group, LEAF)
    os.makedirs(leaf, exist_ok=True)
    for _ in range(RETREATS):
        processes = _pids(group)
        if not processes:
            return
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                _write(leaf, "cgroup.procs", str(pid))


def _set_limit(folder: str, limit: str, value: float) -> None:
    is_v2 = os.path.exists(os.path.join(folder, "cgroup.controllers"))
    match limit:
        case "memory" if is_v2:
            _write(folder, "memory.max", str(value))
            _write_if_there(folder, "memory.swap.max", "0")  # or else it would swap for ever and never be out of memory
        case "memory":
            _write(folder, "memory.limit_in_bytes", str(value))
            _write_if_there(folder, "memory.memsw.limit_in_bytes", str(value))
        case "cpu" if is_v2:
            _write(folder, "cpu.max", f"{round(value * CPU_PERIOD)} {CPU_PERIOD}")
        case "cpu":
            _write(folder, "cpu.cfs_period_us", str(CPU_PERIOD))
            try:
                _write(folder, "cpu.cfs_quota_us", str(round(value * CPU_PERIOD)))
            except OSError as error:
                if error.errno != errno.EINVAL:  # a group above it has less, and that holds for it too
                    raise
        case _:
            _write(folder, "pids.max", str(value))


# The files.


def _entries(folder: str) -> list[str]:
    """Files as well: to tell them apart takes longer. None for what is not there."""
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []


def _below(folder: str) -> list[str]:
    return next(([os.path.join(folder, name) for name in names] for _, names, _ in os.walk(folder)), [])


def _tree(folder: str) -> Iterator[str]:
    """The folder and all below it, from the top."""
    return (inner for inner, _, _ in os.walk(folder))


def _pids(folder: str) -> set[int]:
    return {int(pid) for pid in _read(folder, "cgroup.procs").split()} - {0}  # 0 is one of another pid namespace


def _values(folder: str, file: str) -> dict[str, str]:
    pairs = (line.split() for line in _read(folder, file).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _read(folder: str, file: str) -> str:
    """Empty for what is not there, or is not told."""
    try:
        with open(os.path.join(folder, file), encoding="utf-8", errors="surrogateescape") as opened:
            return opened.read()
    except OSError:
        return ""


def _write_if_there(folder: str, file: str, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        _write(folder, file, text)


def _write(folder: str, file: str, text: str) -> None:
    path = os.path.join(folder, file)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), path)
