"""`python -m tests.bench_soak [MINUTES]`: one runner in the background and a hard life, by default for 3 minutes.

200 jobs exit by chance, with codes and by signals, flood, leave children behind, are killed from outside, and several
clients at once ask for everything that can be asked for; some never read what they are told. It goes in rounds: in the
first half of them the runner is killed now and then, its keeper once a round, and an upgrade is asked for; in the
second half one runner lives on. After each round all jobs are stopped, and what is used then is compared: descriptors
must be the same, memory within a bound, and of the jobs nobody may be left. The exit code is 1 if anything has grown,
was left, or was complained of in the runner's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.bench import Folder
from tests.torture.survivors import everybody, kill_all
from zap import address, cgroup, dial, paths
from zap.dial import NoRunner
from zap.errors import ZapError
from zap.events import State

JOBS = 200
ROUND = 15.0  # seconds of load; to stop and to look takes some 5 more
SHARE_OF_KILLS = 0.6  # of a round, from its beginning, in which runner and keeper are killed: then there is peace
KILL_EVERY = (0.2, 1.5)  # seconds
SAMPLE_EVERY = 5.0  # seconds
SETTLE_MOST = 60.0  # seconds until everything has ended that was asked to, and all clients are forgotten
LOOKS, LOOK_EVERY = 8, 0.25  # after a round
TAKE_OVER_MOST = 30.0  # seconds, on a machine that is as busy as this
UPGRADE_TAKES = 5.0  # seconds that one has until somebody kills the runner again

# What may be used more at the end than at the beginning of each half.
MOST_MORE_RUNNER = 12 * 2**20  # bytes; events and buffers are full by then, but what was freed is not all given back
MOST_MORE_KEEPER = 2**20
MOST_MORE_FILES = 12 * 2**20  # bytes of all files in memory, where stores are as long as they get
MOST_STORE = 768 * 2**10  # bytes that a store is longer than its buffer, at most: it takes minutes until all are

Kind = dict[str, Any]
"""A job's settings. Whatever is by chance there is by the shell's pid, because `sh` has no other chance."""

CHANCE = "n=$(( $$ % 5 )); "
KINDS: dict[str, Kind] = {
    "exits": {"commands": [f"{CHANCE} sleep $n; exit $n"], "success_codes": [0, 1, 2, 3]},
    "pipes": {"commands": [f"{CHANCE} cat ../lines; echo oh >&2; sleep $n; exit $(( n / 4 ))"], "tty": False},
    "signals": {"commands": [f"{CHANCE} sleep $n; kill -$(( n * 2 + 7 )) $$; sleep 1"]},
    "lines": {"commands": [f"{CHANCE} cat ../lines; sleep $n"], "log": {"file": "said", "size": "256k", "keep": 2}},
    "bytes": {"commands": [f"{CHANCE} cat ../bytes; sleep $n"]},
    "unended": {"commands": [f"{CHANCE} cat ../bytes; cat ../bytes >&2; sleep $n"], "tty": False},
    "family": {"commands": ["sleep 1000 & setsid sleep 1000 & sleep 2; echo gone; exit 1"]},
    "deaf": {"commands": ["trap '' TERM HUP INT; while :; do sleep 1; done"]},
    "quiet": {"commands": ["exec sleep 1000"]},
    "cats": {"commands": ["exec cat"], "answers": {"prompt": "name", "reply": "zap"}},
    "hooked": {
        "commands": [f"{CHANCE} echo 'cannot open soak'; sleep $n; exit 1"],
        "hooks": {"before_start": "echo before", "after_start": "echo after", "before_stop": "echo", "after_stop": ":"},
        "stop": {"command": "kill -TERM $(cat pid) 2>/dev/null || :"},
    },
    "asked": {"commands": ["sleep 3"], "health": {"command": "exit 0", "every": "500ms"}, "settle": "100ms"},
    "told": {"commands": ["sleep 1000"], "ready": {"by": "notify", "within": 2}},
    "limited": {"commands": [f"{CHANCE} sleep $n & wait"], "limits": {"pids": 20}},
    "needy": {"commands": ["sleep 5"], "needs": [{"job": "quiet-8", "follow": True}]},
}
DEFAULTS = {
    "restart": "always",
    "tries": "unlimited",
    "backoff": {"first": "200ms", "factor": 1},
    "grace": "500ms",
    "buffer": {"lines": 100, "bytes": "64k"},
}
FIXUP = {
    "about": "the soak wants to see it run",
    "match": {"pattern": "cannot open (?P<what>[^ ]+)"},
    "run": [["echo", "--", "{what}"]],
    "mode": "auto",
    "then": "continue",
    "tries": "1000 in 1s",
    "examples": {"matches": ["cannot open x"]},
}
SIGNALS = ("KILL", "KILL", "TERM", "SEGV", "HUP", "INT", "QUIT", "USR1", "STOP")


class Used(NamedTuple):
    """What is used at a moment: bytes and numbers. Memory of a process is without what its files in memory have."""

    at: float
    keeper: int
    runner: int
    keeper_memory: int
    runner_memory: int
    keeper_fds: int
    runner_fds: int
    stores: int
    others: int
    processes: int
    zombies: int


class Soak:
    """The runner, and what everybody who does something to it has to know. `faults` are what must not be."""

    def __init__(self, folder: Folder, seed: int) -> None:
        self.folder = folder
        self.env = folder.env | {"ZAP_CRASHES": str(10**6)}
        self.plan_id = paths.plan_id(str(folder.path / "jobs.yaml"))
        self.place = paths.runtime_folder(self.env, self.plan_id)
        self.log = Path(paths.log_file(self.env, self.plan_id))
        self.chance = random.Random(seed)
        self.faults: list[str] = []
        self.counts: dict[str, int] = {}
        self.took_over: list[float] = []
        self.runners: set[str] = set()  # their ids; who takes over has the same
        self.is_loaded = threading.Event()
        self.is_over = threading.Event()
        self.names = [f"s/{list(KINDS)[number % len(KINDS)]}-{number}" for number in range(JOBS)]
        self.begun = time.monotonic()
        self._lock = threading.Lock()

    def write_plan(self, is_other: bool = False) -> None:
        """The other one has two jobs more, and some that are changed; neither is ever there by half."""
        kinds = list(KINDS.items())
        jobs = {}
        for number in range(JOBS + 2 * is_other):
            name, kind = kinds[number % len(kinds)]
            (self.folder.path / f"{name}-{number}").mkdir(exist_ok=True)
            jobs[f"{name}-{number}"] = kind | {"cwd": f"{name}-{number}"}
        if is_other:
            jobs["quiet-23"] = jobs["quiet-23"] | {"commands": ["exec sleep 2000"]}
            jobs["lines-18"] = jobs["lines-18"] | {"buffer": {"lines": 200, "bytes": "64k"}}
        plan = {"defaults": DEFAULTS, "fixups": ["./fixups"], "systems": {"s": {"jobs": jobs}}}
        new = self.folder.path / f"new-{threading.get_ident()}"
        new.write_text(json.dumps(plan))
        new.replace(self.folder.path / "jobs.yaml")

    def prepare(self) -> None:
        (self.folder.path / "fixups").mkdir()
        (self.folder.path / "fixups" / "soak.yaml").write_text(json.dumps(FIXUP))
        (self.folder.path / "lines").write_bytes(b"".join(b"%-99d\n" % number for number in range(1500)))
        (self.folder.path / "bytes").write_bytes(b"x" * 150_000)
        self.write_plan()

    def zap(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.folder.zap(*arguments),
            cwd=self.folder.path,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def fault(self, what: str) -> None:
        with self._lock:
            if len(self.faults) < 100:
                self.faults.append(f"{self.age:.0f} s: {what}")
                print(f"  FAULT {self.faults[-1]}", flush=True)

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    @property
    def age(self) -> float:
        return time.monotonic() - self.begun

    def dial(self) -> dial.Line:
        line = dial.reach(self.place)
        if line is None:
            raise NoRunner("no runner is there")
        return line

    def processes(self) -> tuple[int, int]:
        """Of runner and keeper."""
        with self.dial() as line:
            return line.hello.pid, line.hello.keeper

    def of_jobs(self) -> dict[int, str]:
        """Everyone alive with the plan's tag, and whose."""
        found = {}
        tag = f"ZAP_PLAN={self.plan_id}".encode()
        for process in everybody():
            with contextlib.suppress(OSError):
                entries = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if tag in entries:
                    [run] = [entry[8:].decode() for entry in entries if entry.startswith(b"ZAP_RUN=")]
                    self.runners.add(run.partition(":")[0])
                    found[process.pid] = f"{run}: {process.command.strip():.40}"
        return found

    def used(self) -> Used:
        runner, keeper = self.processes()
        files = memory_files(keeper)
        stores = sum(size for name, size in files if name == "zap-store")
        return Used(
            self.age,
            keeper,
            runner,
            memory_of(keeper),
            memory_of(runner),
            descriptors(keeper),
            descriptors(runner),
            stores,
            sum(size for _, size in files) - stores,
            len(self.of_jobs()),
            zombies(keeper) + zombies(runner),
        )


def memory_of(pid: int) -> int:
    """Resident, less the pages of files in memory, which are counted by themselves (proc_pid_status(5))."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssFile")) * 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_files(pid: int) -> list[tuple[str, int]]:
    """Its memfd_create(2) files, each once: the name and how many bytes of memory they have."""
    found: dict[int, tuple[str, int]] = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            path = f"/proc/{pid}/fd/{fd}"
            target = os.readlink(path)
            if target.startswith("/memfd:"):
                seen = os.stat(path)
                found[seen.st_ino] = target.removeprefix("/memfd:").partition(" ")[0], seen.st_blocks * 512
    return list(found.values())


def zombies(pid: int) -> int:
    """Children that have ended and were not reaped."""
    count = 0
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                count += Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return count


# Who does something to the runner. Each is called again and again while there is load, in a thread of its own.

Deed = Callable[[Soak, random.Random], None]


def requests(soak: Soak, chance: random.Random) -> None:
    """All that can be asked for, over one connection, for some seconds."""
    until = time.monotonic() + chance.uniform(1, 5)
    with soak.dial() as line:
        while time.monotonic() < until and soak.is_loaded.is_set():
            jobs = chance.sample(soak.names, chance.choice((1, 1, 1, 3, 10)))
            verb, fields = chance.choice(
                (
                    ("start", {"jobs": jobs}),
                    ("start", {"jobs": jobs}),
                    ("stop", {"jobs": jobs[:3], "is_hurried": chance.random() < 0.5}),
                    ("restart", {"jobs": jobs}),
                    ("send", {"jobs": jobs, "text": "your name\n" * chance.choice((1, 100))}),
                    ("clear", {"jobs": jobs}),
                    ("signal", {"jobs": jobs, "signal": chance.choice(("HUP", "USR1", "INT", "KILL"))}),
                    ("tail", {"job": jobs[0], "since": 0, "at_most": 1000}),
                    ("tail", {"job": jobs[0], "since": 0, "at_most": 100, "widest": 200, "known": [0, 0]}),
                    ("pause", {"jobs": jobs}),
                    ("resume", {"jobs": jobs}),
                    ("resize", {"jobs": jobs, "rows": chance.randrange(1, 100), "columns": 80}),
                    ("fix", {"jobs": jobs}),
                    ("plan", {}),
                    ("attend", {}),
                    ("nonsense", {}),
                )
            )
            with contextlib.suppress(ZapError):  # there may be nobody to type to, and so on
                line.ask(verb, **fields)
            soak.count("requests")
            time.sleep(chance.uniform(0.0, 0.15))


def watches(soak: Soak, chance: random.Random) -> None:
    """Follows events, and fetches lines that they point at; sometimes slowly."""
    until = time.monotonic() + chance.uniform(1, 8)
    rest = chance.choice((0.0, 0.0, 0.01))
    with soak.dial() as line, soak.dial() as beside:
        for told in line.follow(chance.choice((None, 0))):
            soak.count("events heard")
            if told["event"] == "output" and chance.random() < 0.05:
                with contextlib.suppress(ZapError):
                    beside.ask("tail", job=told["job"], since=max(0, told["first"] - 1), at_most=100)
            time.sleep(rest)
            if time.monotonic() > until or not soak.is_loaded.is_set():
                return


def does_not_read(soak: Soak, chance: random.Random) -> None:
    """Asks for much, and takes nothing of it."""
    connected = address.connect(soak.place)
    if connected is None:
        return
    with connected, contextlib.suppress(OSError):
        connected.settimeout(0.5)
        calls: list[dict[str, Any]] = [{"id": 1, "verb": "watch", "since": 0}, {"id": 2, "verb": "watch"}]
        for number in range(3, 200):
            calls.append({"id": number, "verb": "tail", "job": chance.choice(soak.names), "since": 0})
        with contextlib.suppress(TimeoutError):
            connected.sendall(b"".join(json.dumps(call).encode() + b"\n" for call in calls))
        soak.count("clients that do not read")
        soak_for(soak, chance.uniform(0.5, 4))


def commands(soak: Soak, chance: random.Random) -> None:
    """What a person types."""
    verbs = (["ps"], ["ps", "--json"], ["logs", "-n", "50", "lines-3"], ["tree"], ["timeline"], ["ps"])
    done = soak.zap(*chance.choice(verbs))
    if "Traceback" in done.stderr:
        soak.fault(f"{done.args[3:]} said {done.stderr[-1500:]}")
    soak.count("commands")
    soak_for(soak, 2.0)


def reloads(soak: Soak, chance: random.Random) -> None:
    """The plan is changed, and changed back."""
    soak_for(soak, chance.uniform(1, 4))
    for is_other in (True, False):
        soak.write_plan(is_other)
        with soak.dial() as line, contextlib.suppress(ZapError):
            line.ask("reload")
            soak.count("reloads")
        soak_for(soak, chance.uniform(1, 3))


def kills_jobs(soak: Soak, chance: random.Random) -> None:
    """Some process of some job, as nobody asked for. By pidfd, so that it is none that has got its number since."""
    opened: list[int] = []
    try:
        found = list(soak.of_jobs())
        for pid in chance.sample(found, min(len(found), 6)):
            with contextlib.suppress(OSError):
                fd = os.pidfd_open(pid)
                opened.append(fd)
                if f"ZAP_PLAN={soak.plan_id}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    signal.pidfd_send_signal(fd, signal.Signals[f"SIG{chance.choice(SIGNALS)}"])
                    soak.count("signals from outside")
        soak_for(soak, chance.uniform(0.3, 1.0))
    finally:
        for fd in opened:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGCONT)
            os.close(fd)


DEEDS: tuple[Deed, ...] = (
    *(requests, requests, requests, requests, watches, watches, watches),
    *(does_not_read, does_not_read, commands, reloads, kills_jobs),
)


def soak_for(soak: Soak, seconds: float) -> None:
    """Or until the load is taken away."""
    until = time.monotonic() + seconds
    while soak.is_loaded.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


class Doer(threading.Thread):
    """Does one thing all the time while there is load; `is_idle` when it has let go of everything."""

    def __init__(self, soak: Soak, deed: Deed, seed: int) -> None:
        super().__init__(daemon=True)
        self.deed = deed
        self.is_idle = True
        self._soak = soak
        self._chance = random.Random(seed)

    def run(self) -> None:
        while not self._soak.is_over.is_set():
            if not self._soak.is_loaded.wait(0.1):
                continue
            self.is_idle = False
            try:
                if self._soak.is_loaded.is_set():
                    self.deed(self._soak, self._chance)
            except (NoRunner, ZapError, BrokenPipeError, ConnectionResetError) as error:
                self._soak.count(f"refused: {error!s:.60}")
                time.sleep(0.05)
            except BaseException as error:
                self._soak.fault(f"{self.deed.__name__}: {error!r}")
                time.sleep(1.0)
            finally:
                self.is_idle = True


def busy(doers: Sequence[Doer]) -> str:
    """Where those are who are not idle."""
    frames = sys._current_frames()
    stacks = [traceback.format_stack(frames[doer.ident]) for doer in doers if not doer.is_idle and doer.ident]
    return "\n".join("".join(stack[2:]) for stack in stacks)


# The killer.


def kill(soak: Soak, who: str) -> None:
    """The runner or its keeper, and waits until another one answers."""
    runner, keeper = soak.processes()
    victim = runner if who == "runner" else keeper
    begin = time.monotonic()
    if who == "upgrade":
        with soak.dial() as line, contextlib.suppress(ZapError):
            line.ask("upgrade")
    else:
        os.kill(victim, signal.SIGKILL)
    while True:
        try:
            now = soak.processes()
        except (NoRunner, ZapError):
            now = runner, keeper
        if now[0] != runner and (who != "keeper" or now[1] != keeper):
            break
        if time.monotonic() > begin + TAKE_OVER_MOST:
            if who != "upgrade":
                soak.fault(f"no runner has answered {TAKE_OVER_MOST} s after the {who} was killed")
            return
        time.sleep(0.01)
    soak.took_over.append(time.monotonic() - begin)
    soak.count(f"kills of the {who}" if who != "upgrade" else "upgrades")


def load(soak: Soak, has_kills: bool, seconds: float) -> None:
    begin = time.monotonic()
    end = begin + seconds
    soak.is_loaded.set()
    victims = iter(["runner", "keeper", "upgrade", *["runner"] * 1000])
    next_kill = begin + soak.chance.uniform(*KILL_EVERY) if has_kills else end
    next_sample = begin + SAMPLE_EVERY
    while (now := time.monotonic()) < end:
        if now >= next_kill and now < begin + SHARE_OF_KILLS * seconds:
            kill(soak, next(victims))
            next_kill = time.monotonic() + soak.chance.uniform(*KILL_EVERY)
        if now >= next_sample:
            with contextlib.suppress(OSError, ZapError):
                tell(soak.used(), "")
            next_sample += SAMPLE_EVERY
        time.sleep(0.05)


def settle(soak: Soak, doers: Sequence[Doer], name: str) -> Used:
    """All jobs are stopped and all clients are gone: the least that is used then."""
    soak.is_loaded.clear()
    wait(soak, lambda: all(doer.is_idle for doer in doers), "clients to be done", lambda: busy(doers))
    soak.write_plan()
    begin = time.monotonic()
    with soak.dial() as line:
        line.ask("reload")
        jobs = [job.name for job in line.plan().jobs]
        line.ask("stop", jobs=jobs)
    wait(soak, lambda: all(State(row["state"]).is_rest for row in rows(soak).values()), "all jobs to be at rest")
    took = time.monotonic() - begin
    wait(soak, lambda: not soak.of_jobs(), "all processes of jobs to be gone", lambda: str(soak.of_jobs()))
    wait(soak, lambda: len(rows(soak)) == JOBS, "jobs that were removed to be gone")
    wait(soak, lambda: not left_behind(soak), "control groups and mailboxes to be gone", lambda: left_behind(soak), 5.0)
    looks = []
    for _ in range(LOOKS):
        time.sleep(LOOK_EVERY)
        looks.append(soak.used())
    least = Used(*map(min, zip(*looks, strict=True)))
    if least.zombies:
        soak.fault(f"{least.zombies} processes have ended and are not reaped")
    tell(least, f"{name}; stopped in {took:.1f} s")
    check_log(soak)
    with soak.dial() as line:
        line.ask("start", jobs=soak.names)
    return least


def rows(soak: Soak) -> dict[str, dict[str, Any]]:
    with soak.dial() as line:
        told = {}
        for event in line.follow():
            if event["event"] != "restated":
                break
            told[event["job"]] = event["row"]
            if len(told) > JOBS + 2:
                break
            if not line.hears(0.5):
                break
        return told


def wait(
    soak: Soak, is_so: Callable[[], bool], what: str, how: Callable[[], str] = lambda: "", most: float = SETTLE_MOST
) -> None:
    until = time.monotonic() + most
    while not is_so():
        if time.monotonic() > until:
            soak.fault(f"waited in vain for {what} {how():.2000}")
            return
        time.sleep(0.05)


def groups(soak: Soak) -> list[str]:
    """Control groups of jobs of this runner."""
    found = cgroup.find()
    roots = {ability.root for ability in (found.memory, found.cpu, found.pids, found.freeze, found.kill)} - {""}
    folders = [Path(root) / f"zap-{runner}" for root in roots for runner in soak.runners]
    return [str(group) for folder in folders for group in folder.glob("*/")]


def left_behind(soak: Soak) -> str:
    """Control groups of jobs of this runner, and mailboxes, while no job runs."""
    mailboxes = [entry.path for entry in os.scandir(soak.env["XDG_RUNTIME_DIR"]) if entry.name.startswith("zap-")]
    return " ".join(groups(soak) + mailboxes)


def check_log(soak: Soak) -> None:
    """What a runner or a keeper complains of there: our killing of them is no complaint."""
    for path in (soak.log.with_name(soak.log.name + ".1"), soak.log):
        if not path.exists():
            continue
        text = path.read_text(errors="replace")
        for bad in ("Traceback", "has a bug", "has ended:", "Exception", "never retrieved"):
            at = text.find(bad)
            if at >= 0:
                (Path("/tmp") / f"zap-soak-{os.getpid()}.log").write_text(text)
                soak.fault(f"the runner's log says: …{text[max(0, at - 200) : at + 3000]}")
                path.write_text("")  # told once
                break


# What is told.

COLUMNS = "    at    keeper   MB  fds    runner    MB  fds   stores MB  others MB  processes"


def tell(used: Used, what: str) -> None:
    mib = 2**20
    print(
        f"{used.at:6.0f}  {used.keeper:8} {used.keeper_memory / mib:4.1f} {used.keeper_fds:4}  {used.runner:8}"
        f" {used.runner_memory / mib:5.1f} {used.runner_fds:4} {used.stores / mib:11.1f} {used.others / mib:10.1f}"
        f" {used.processes:10}  {what}",
        flush=True,
    )


def compare(soak: Soak, what: str, settled: Sequence[Used], most_stores: int) -> None:
    """The first and the last of some rounds."""
    first, last = settled[0], settled[-1]
    bounds = {
        "keeper_fds": 0,
        "runner_fds": 0,
        "keeper_memory": MOST_MORE_KEEPER,
        "runner_memory": MOST_MORE_RUNNER,
        "stores": most_stores,
        "others": MOST_MORE_FILES,
        "processes": 0,
    }
    for name, most in bounds.items():
        before, after = getattr(first, name), getattr(last, name)
        if after - before > most:
            soak.fault(f"{what}: {name} has grown from {before:,} to {after:,}, which is more than {most:,}")


def end(soak: Soak) -> None:
    """And look for whoever is left."""
    runner, keeper = soak.processes()
    done = soak.zap("down")
    if done.returncode:
        soak.fault(f"`zap down` has ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    wait(soak, lambda: not (is_there(runner) or is_there(keeper)), "runner and keeper to end", most=10)
    for pid, what in soak.of_jobs().items():
        soak.fault(f"process {pid} is left of {what}")
    for process in everybody():
        with contextlib.suppress(OSError):
            if Path(os.readlink(f"/proc/{process.pid}/cwd")).is_relative_to(soak.folder.path):
                soak.fault(f"process {process.pid} still works there: {process.command}")
    if left := left_behind(soak):
        soak.fault(f"there is still {left}")
    check_log(soak)


def is_there(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


@contextlib.contextmanager
def soaking(seed: int) -> Iterator[Soak]:
    with TemporaryDirectory(prefix="zap-soak-") as place:
        soak = Soak(Folder(Path(place)), seed)
        try:
            soak.prepare()
            yield soak
        finally:
            soak.is_over.set()
            soak.is_loaded.clear()
            kill_all(soak.folder.path)


def main(minutes: float) -> int:
    count = max(4, round(minutes * 60 / (ROUND + 5)))
    killing = count // 2
    seed = int(os.environ.get("ZAP_SOAK_SEED") or time.time())
    print(f"soak: {JOBS} jobs, {count} rounds of {ROUND:.0f} s, ZAP_SOAK_SEED={seed}\n{COLUMNS}", flush=True)
    with soaking(seed) as soak:
        done = soak.zap("up", "--no-wait")
        if done.returncode:
            raise SystemExit(done.stderr)
        doers = [Doer(soak, deed, seed + number) for number, deed in enumerate(DEEDS)]
        for doer in doers:
            doer.start()
        settled = []
        for number in range(count):
            load(soak, number < killing, ROUND)
            settled.append(settle(soak, doers, f"after round {number + 1}{', kills' if number < killing else ''}"))
        soak.is_over.set()
        compare(soak, "while runners are killed", settled[:killing], JOBS * MOST_STORE)
        compare(soak, "while one runner lives", settled[killing:], MOST_MORE_FILES)
        end(soak)
        for what, times in sorted(soak.counts.items()):
            print(f"  {times:8}  {what}")
        if soak.took_over:
            print(f"  taken over in {statistics.median(soak.took_over):.2f} s, {max(soak.took_over):.2f} s at most")
        print(f"\n{len(soak.faults)} faults", *soak.faults, sep="\n  ")
        return 1 if soak.faults else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if sys.argv[1:] else 3.0))
