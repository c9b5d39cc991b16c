"""`make bench`: what zap costs, each figure beside its limit or its rival in the same run, as ratios.

Machines differ and are noisy: read the ratios. `make bench ARGS="NAME…"` runs some of: ingest, buffers, flock, start,
screen, attach, idle, and those of `tests/bench_keeper.py`. `make soak` is `tests/bench_soak.py`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.terminal import Terminal
from tests.zap import working_in
from zap import dial, paths

LINES = 1_000_000
LINE = (
    b"2026-11-20T12:00:00 info request served in 12 ms path=/api/v1/items/42 status=200 bytes=1234 worker=7"[:100]
    + b"\n"
)
assert len(LINE) == 101
SIZE = LINES * len(LINE)
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

# Writes SIZE bytes in blocks of so many lines, and tells in a file how long that took and what it cost itself.
WRITER = f"""
import json, os, resource, sys, time
block = {LINE!r} * int(sys.argv[1])
rounds = {LINES} // int(sys.argv[1])
begin = time.perf_counter()
for _ in range(rounds):
    rest = block
    while rest:
        rest = rest[os.write(1, rest):]
seconds = time.perf_counter() - begin
used = resource.getrusage(resource.RUSAGE_SELF)
open(sys.argv[2], "w").write(json.dumps([seconds, used.ru_utime + used.ru_stime]))
"""

# Reads a terminal as fast as it can and does nothing else.
DRAIN = r"""
#include <pty.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    int fd; char buffer[65536];
    pid_t pid = forkpty(&fd, 0, 0, 0);
    if (!pid) { execvp(argv[1], argv + 1); _exit(127); }
    while (read(fd, buffer, sizeof buffer) > 0) {}
    waitpid(pid, 0, 0);
    return 0;
}
"""

# Says its word ten times a second while somebody is there to hear it, and costs nothing itself.
TICKER = r"""
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    while (printf("%s %074d\n", argv[1], 0) > 0 && !fflush(stdout)) usleep(100000);
    return 1;
}
"""


class Cost(NamedTuple):
    """Seconds on the wall and of cpu, and the largest resident size in bytes, of one process."""

    wall: float
    cpu: float
    memory: int


class Folder:
    """A home and a plan of its own for each measurement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {"HOME": str(path), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb"}
        self.env["XDG_RUNTIME_DIR"] = str(path)
        (path / "writer.py").write_text(WRITER)

    def plan(self, jobs: dict[str, Any], **settings: Any) -> None:
        (self.path / "jobs.yaml").write_text(json.dumps({"systems": {"s": {"jobs": jobs}}} | settings))

    def patterns(self, count: int) -> None:
        """So many fixups that match nothing that is written here, the kind of patterns that people write."""
        folder = self.path / "fixups"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number in range(count):
            what = ("error", "cannot open", "no such host", "(?i)timed out", "EACCES")[number % 5]
            text = f"{what} {number}: file (?P<name>[^ ]+)"
            fixup = {"about": "nothing", "match": {"pattern": text}, "run": [["echo", "--", "{name}"]]}
            fixup["examples"] = {"matches": [f"{what.removeprefix('(?i)')} {number}: file x"]}
            (folder / f"f{number}.yaml").write_text(json.dumps(fixup))

    def zap(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "zap", *arguments]

    def run(self, argv: list[str]) -> Cost:
        """Runs it to its end; what its children cost is counted too, as wait4(2) does."""
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=self.path, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        return Cost(time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)

    def written(self) -> tuple[float, float]:
        seconds, cpu = json.loads((self.path / "wrote").read_text())
        return seconds, cpu


def main() -> None:
    from tests import bench_keeper  # which is built on this module

    benches = BENCHES | bench_keeper.BENCHES
    for name in sys.argv[1:] or benches:
        with TemporaryDirectory() as folder:
            benches[name](Folder(Path(folder)))


def say(what: str, value: str, aim: str = "") -> None:
    print(f"  {what:<58} {value:>22}   {aim}", flush=True)


def head(text: str) -> None:
    print(f"\n{text}", flush=True)


def median(measure: Callable[[], Any], times: int = 3) -> Any:
    """The run whose first figure is in the middle."""
    return sorted((measure() for _ in range(times)), key=lambda figures: figures[0])[times // 2]


# One job that floods.


def ingest(folder: Folder) -> None:
    head(f"ingest: {LINES:,} lines × {len(LINE)} B of one job, `zap run --quiet` beside `cat >/dev/null`")
    drain = compiled(folder, "drain", DRAIN)
    for kind, lines in (("pipe, 4 KiB writes", 40), ("pipe, a write per line", 1), ("terminal, 4 KiB writes", 40)):
        tty = kind.startswith("terminal")
        writer = f"{sys.executable} writer.py {lines} wrote"

        def beside(writer: str = writer, tty: bool = tty) -> tuple[float, float]:
            argv = [str(drain), *writer.split()] if tty else ["sh", "-c", f"{writer} | cat >/dev/null"]
            cost = folder.run(argv)
            wall, cpu = folder.written()
            return wall, cost.cpu - cpu

        rival, rival_cpu = median(beside)
        say(f"{kind}: {'C drain' if tty else 'cat'}", f"{SIZE / rival / 1e6:6.0f} MB/s {rival_cpu:5.2f} s cpu")
        for patterns in (0, 20, 200):
            folder.patterns(patterns)
            fixups: dict[str, Any] = {"fixups": ["./fixups"] if patterns else "off"}

            def with_zap(command: str, fixups: dict[str, Any] = fixups, tty: bool = tty) -> tuple[float, float, int]:
                folder.plan({"j": {"commands": [command], "tty": tty} | fixups})
                warm(folder)
                cost = folder.run(folder.zap("run", "--quiet"))
                wall, cpu = folder.written()
                return wall, cost.cpu - cpu, cost.memory

            (folder.path / "wrote").write_text("[1, 0]")
            _, idle_cpu, idle_memory = median(lambda run=with_zap: run("true"))
            wall, cpu, memory = median(lambda run=with_zap, writer=writer: run(writer))
            aim = "≥ 0.80" if tty else ("≥ 0.90" if lines == 1 else "≥ 0.30" if not patterns else "≥ 0.12")
            say(f"{kind}: zap, {patterns} patterns", f"{rival / wall:6.2f} × the rate", aim if patterns != 20 else "")
            used = max(cpu - idle_cpu, 0.0)
            aim = "≤ 1.0 per MB" if lines == 1 and not tty else ""
            say("", f"{used:5.2f} s = {used / max(rival_cpu, 0.01):5.2f} × its cpu", aim)
            over = (memory - idle_memory) / 2**20
            say("", f"{over:5.1f} MB over idle", "≤ 8 MiB (the buffer) + 16 MB")


def compiled(folder: Folder, name: str, source: str) -> Path:
    (folder.path / f"{name}.c").write_text(source)
    subprocess.run(["cc", "-O2", "-o", name, f"{name}.c", "-lutil"], cwd=folder.path, check=True)
    return folder.path / name


# Memory of buffers.


def buffers(folder: Folder) -> None:
    head("buffers: 20 jobs that each filled 6000 lines × 101 B")
    command = f"{sys.executable} -c \"print(('x' * 100 + chr(10)) * 7000)\"; touch done-$ZAP_JOB_NAME; sleep 1000"
    jobs = {f"j{number}": {"commands": [command], "env": {"ZAP_JOB_NAME": f"{number}"}} for number in range(20)}
    folder.plan(jobs)
    warm(folder)
    with running(folder) as process:
        wait(lambda: len(list(folder.path.glob("done-*"))) == 20)
        time.sleep(1)
        say("resident", f"{memory_of(process.pid) / 1e6:6.1f} MB", "≤ 45 MB (tmux 99, mprocs 959)")


# Many jobs.


def flock(folder: Folder) -> None:
    head("flock: many jobs, `zap run --quiet`; the plan is cached, as at every start but the first")
    tick = f"exec {sys.executable} -S -c 'import time\nwhile 1: print(\"x\" * 80, flush=True); time.sleep(0.1)'"
    folder.plan({f"j{number}": {"commands": [tick], "fixups": "off"} for number in range(200)})
    warm(folder)
    with running(folder) as process:
        time.sleep(5)
        before = cpu_of(process.pid)
        time.sleep(10)
        used = (cpu_of(process.pid) - before) / 10
        say("200 jobs × 10 lines/s: cpu of zap", f"{100 * used:6.1f} %", "≤ 5 % (runit 5.9, mprocs 94)")
        say("200 jobs × 10 lines/s: resident", f"{memory_of(process.pid) / 1e6:6.1f} MB", "≤ 40 MB (mprocs 313)")
    folder.plan(
        {
            f"j{number}": {"commands": ["touch up-$N; exec sleep 1000"], "env": {"N": str(number)}}
            for number in range(1000)
        }
    )
    warm(folder)
    for up in folder.path.glob("up-*"):
        up.unlink()
    begin = time.perf_counter()
    with running(folder) as process:
        wait(lambda: sum(entry.name.startswith("up-") for entry in os.scandir(folder.path)) == 1000)
        say("1000 idle jobs: all run after", f"{time.perf_counter() - begin:6.2f} s", "≤ 2 s (mprocs 15.7)")
        say("1000 idle jobs: resident", f"{memory_of(process.pid) / 1e6:6.1f} MB", "≤ 60 MB (mprocs 724)")
    folder.plan({f"j{number}": {"commands": ["exec sleep 1000"]} for number in range(50)})
    warm(folder)
    with running(folder) as process:
        time.sleep(40)  # past the uptime after which nothing is timed any more
        before = cpu_of(process.pid)
        time.sleep(10)
        say("50 idle jobs: cpu of zap in 10 s", f"{1000 * (cpu_of(process.pid) - before):6.1f} ms", "0")


# Latency.


def start(folder: Folder) -> None:
    head("start: latencies, medians of 15")
    bare = statistics.median(time_of([sys.executable, "-c", "pass"], folder) for _ in range(15))
    say("python -c pass", f"{1000 * bare:6.1f} ms")
    folder.plan({"j": {"commands": ["date +%s%N >first"]}, "k": {"commands": ["true"]}})
    warm(folder)

    def first_byte() -> float:
        begin = time.time()
        folder.run(folder.zap("run", "--quiet"))
        return int((folder.path / "first").read_text()) / 1e9 - begin

    alone = statistics.median(first_byte() for _ in range(15))
    direct = statistics.median(shell_stamp(folder) for _ in range(15))
    say("`sh -c date` by itself, to its stamp", f"{1000 * direct:6.1f} ms")
    say(
        "`zap run` to the first byte of the first job", f"{1000 * alone:6.1f} ms", "≤ 60 ms (honcho 53–87, mprocs 6–11)"
    )
    folder.plan(
        {
            "j": {
                "commands": ["date +%s%N >>back; date +%s%N >>left; exit 1"],
                "restart": "on-failure",
                "tries": 30,
                "backoff": 0,
            }
        }
    )
    folder.run(folder.zap("run", "--quiet"))
    back = list(map(int, (folder.path / "back").read_text().split()))
    left = list(map(int, (folder.path / "left").read_text().split()))
    gaps = [(begin - end) / 1e6 for begin, end in zip(back[1:], left, strict=False)]
    within = [(end - begin) / 1e6 for begin, end in zip(back, left, strict=True)]
    say("exit to restart, `date` to `date`", f"{statistics.median(gaps):6.1f} ms", "≤ 6 ms (runit 3, mprocs 3.9)")
    say("  of that the two `date` and the shell's own", f"{statistics.median(within):6.1f} ms")


def shell_stamp(folder: Folder) -> float:
    begin = time.time()
    folder.run(["sh", "-c", "date +%s%N >first"])
    return int((folder.path / "first").read_text()) / 1e9 - begin


def time_of(argv: list[str], folder: Folder) -> float:
    return folder.run(argv).wall


# The screen. The bench is the person and the terminal: it presses a key, and reads until the screen is told what the
# key leads to. The letters are such that nothing else on the screen has them, no text and no escape sequence.

LETTERS = [chr(number) for number in (*range(0x100, 0x148), *range(0x14A, 0x17F), *range(0x3B1, 0x3C9))]
LETTERS += [chr(number) for number in range(0x400, 0x482)]
KEYS = 250
THINKING = (0.010, 0.060)  # seconds between what a key led to and the next: by chance, so as to be in step with nothing
KEY_MOST = 20.0  # seconds that one key may take
MEASURE_MOST = 40.0  # seconds; who is slower is measured with fewer keys
DOWN, UP = b"\x1b[B", b"\x1b[A"
QUIET = 20  # jobs that have said something and say no more
FLOCK = 200
TMUX = ("tmux", "-L", "bench", "-u", "-f", "/dev/null")

Step = tuple[bytes, Sequence[bytes]]
"""A key, and what the screen is told because of it."""


class Seat(NamedTuple):
    """A person before a program, who types into its `cat`; after the keys `leave` those below choose among its jobs."""

    terminal: Terminal
    leave: Sequence[bytes]
    next: bytes
    previous: bytes
    is_named: bool  # the chosen job's full name stands above its lines


def screen(folder: Folder) -> None:
    head(f"screen: from a key to what it leads to on a screen of 200×50, p50 / p99 of {KEYS} keys")
    ticker = compiled(folder, "ticker", TICKER)
    quiet = {f"j{number:03}": f"echo {LETTERS[number]}; exec cat" for number in range(QUIET)}
    ticking = {f"j{number:03}": f"exec {ticker} {LETTERS[number]}" for number in range(FLOCK)}
    with Terminal(["cat"], folder.path, folder.env) as cat:
        say("a letter echoed by the kernel, which is the floor", told(latencies(cat, letters())[0])[0])
    for what, jobs, flood in (
        (f"{QUIET} quiet jobs", quiet, ""),
        ("`yes` floods", quiet, "until [ -e go ]; do sleep 0.1; done; exec yes"),
        (f"{FLOCK} jobs × 10 lines/s", ticking, ""),
    ):
        typed: dict[str, float] = {}
        chosen: dict[str, float] = {}
        for name, sit in (("tmux", before_tmux), ("mprocs", before_mprocs), ("zap", before_zap)):
            with sit(folder, jobs, flood) as seat:
                if seat is None:
                    say(f"{what}: {name}", "is not here")
                    continue
                (folder.path / "go").touch()
                seat.terminal.pause(1.0)
                value, typed[name] = told(latencies(seat.terminal, letters())[0])
                say(f"{what}: {name}, a letter typed into `cat`", value, beside(name, typed))
                for key in seat.leave:
                    seat.terminal.write(key)
                    seat.terminal.pause(0.5)
                *selected, lines = latencies(seat.terminal, choices(seat, len(jobs)))
                for times in selected:
                    say(f"{what}: {name}, the next job, selected", told(times)[0], "p99 ≤ 10 ms")
                value, chosen[name] = told(lines)
                say(f"{what}: {name}, the next job, its lines", value, beside(name, chosen))
                (folder.path / "go").unlink()
            say(f"{what}: {name}, processes left behind", str(end_survivors(folder)), "0")


def end_survivors(folder: Folder) -> int:
    """How many still work in the folder, a second after whoever started them has ended."""
    time.sleep(1.0)
    left = working_in(folder.path)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def letters() -> list[Step]:
    return [(letter.encode(), [letter.encode()]) for letter in LETTERS[:KEYS]]


def choices(seat: Seat, count: int) -> list[Step]:
    """From the first of so many jobs down, up again, and so on."""
    round_trip = [*range(count), *range(count - 2, 0, -1)]
    places = [round_trip[number % len(round_trip)] for number in range(KEYS + 1)]
    steps: list[Step] = []
    for before, after in pairwise(places):
        named = [f"s/j{after:03}".encode()] if seat.is_named else []
        steps.append((seat.next if after > before else seat.previous, [*named, LETTERS[after].encode()]))
    return steps


def latencies(terminal: Terminal, steps: Sequence[Step]) -> list[list[float]]:
    """For each thing that the steps' keys lead to, the seconds that it took each time."""
    chance = random.Random(1)
    taken: list[list[float]] = [[] for _ in steps[0][1]]
    end = time.monotonic() + MEASURE_MOST
    for key, needles in steps:
        terminal.pause(chance.uniform(*THINKING))
        begin = now = time.perf_counter()
        terminal.write(key)
        found: dict[bytes, float] = {}
        seen = b""
        while len(found) < len(needles) and now < begin + KEY_MOST:
            seen = seen[-64:] + terminal.read(begin + KEY_MOST - now)
            now = time.perf_counter()
            found = {needle: now - begin for needle in needles if needle in seen} | found
        for times, needle in zip(taken, needles, strict=True):
            times.append(found.get(needle, KEY_MOST))
        if time.monotonic() > end:
            break
    return taken


def told(times: Sequence[float]) -> tuple[str, float]:
    """Milliseconds of the middle one and of the slowest hundredth, and the latter by itself in seconds."""
    p50, p99 = statistics.median(times), sorted(times)[-(len(times) // 100) - 1]
    fewer = f" ({len(times)} keys)" if len(times) < KEYS else ""
    return f"{1000 * p50:.1f} / {1000 * p99:.1f} ms{fewer}", p99


def beside(name: str, p99: dict[str, float]) -> str:
    if name != "zap":
        return ""
    ratios = [f"{p99['zap'] / p99[rival]:.2g} × {rival}" for rival in p99 if rival != "zap"]
    return f"p99 ≤ 10 ms; it is {', '.join(ratios)}"


@contextmanager
def before_zap(folder: Folder, jobs: dict[str, str], flood: str) -> Iterator[Seat]:
    """The flood is in view, beside what is looked at."""
    with up(folder, {"cat": "exec cat"} | ({"flood": flood} if flood else {}) | jobs) as terminal:
        for key in (*((DOWN, b"|", UP) if flood else ()), b"\r"):
            terminal.write(key)
            terminal.pause(0.3)
        terminal.wait(lambda shown: "typing into s/cat" in shown)
        yield Seat(terminal, [b"\x1d", b"\t", DOWN, *([DOWN] if flood else [])], DOWN, UP, is_named=True)


@contextmanager
def up(folder: Folder, jobs: dict[str, str]) -> Iterator[Terminal]:
    """The interface, attached to a runner of these jobs."""
    with background(folder, jobs), attached(folder) as terminal:
        terminal.wait(lambda shown: "quit" in shown)
        terminal.pause(2.0)
        yield terminal


@contextmanager
def background(folder: Folder, jobs: dict[str, str]) -> Iterator[None]:
    folder.plan({name: {"commands": [text], "fixups": "off"} for name, text in jobs.items()})
    subprocess.run(folder.zap("up"), cwd=folder.path, env=folder.env, check=True)
    try:
        yield
    finally:
        folder.run(folder.zap("down", "--now"))


def attached(folder: Folder) -> Terminal:
    return Terminal(folder.zap("attach"), folder.path, folder.env)


@contextmanager
def before_tmux(folder: Folder, jobs: dict[str, str], flood: str) -> Iterator[Seat | None]:
    """The flood is in view, beside what is typed into; the jobs are windows."""
    if not shutil.which("tmux"):
        yield None
        return
    env = folder.env | {"TMUX_TMPDIR": str(folder.path), "TERM": "xterm-256color"}

    def ask(*words: str) -> None:
        subprocess.run([*TMUX, *words], cwd=folder.path, env=env, check=True)

    ask("new-session", "-d", "-x", "200", "-y", "50", "cat")
    try:
        ask("set-option", "-g", "assume-paste-time", "0")  # keys that come together are keys
        if flood:
            ask("split-window", "-d", "-h", flood)
        for text in jobs.values():
            ask("new-window", "-d", text)
        with Terminal([*TMUX, "attach"], folder.path, env) as terminal:
            terminal.pause(2.0)
            yield Seat(terminal, [b"\x02n"], b"\x02n", b"\x02p", is_named=False)
    finally:
        ask("kill-server")


@contextmanager
def before_mprocs(folder: Folder, jobs: dict[str, str], flood: str) -> Iterator[Seat | None]:
    """The flood goes on out of view: mprocs shows one job at a time."""
    path = mprocs()
    if path is None:
        yield None
        return
    jobs = {"cat": "exec cat"} | ({"flood": flood} if flood else {}) | jobs
    (folder.path / "mprocs.yaml").write_text(json.dumps({"procs": {name: {"shell": jobs[name]} for name in jobs}}))
    with Terminal([path], folder.path, folder.env) as terminal:
        terminal.wait(lambda shown: "┏Processes" in shown)
        terminal.pause(3.0)
        terminal.write(b"\x01")
        terminal.wait(lambda shown: "┏Terminal" in shown)
        yield Seat(terminal, [b"\x01", *[b"j"] * (2 if flood else 1)], b"j", b"k", is_named=False)


def mprocs() -> str | None:
    """Where it is; when it is nowhere, npm fetches it into a folder of the bench's own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zap-bench"
    here = cache / "node_modules" / ".bin" / "mprocs"
    there = shutil.which("mprocs")
    if not there and not here.exists() and shutil.which("npm"):
        subprocess.run(["npm", "install", "--silent", "--prefix", str(cache), "mprocs"], check=False)
    return there or (str(here) if here.exists() else None)


def attach(folder: Folder) -> None:
    head(f"attach: `zap attach` to a screen of 200×50 with {FLOCK} jobs, medians of 15")
    bare = statistics.median(time_of([sys.executable, "-c", "pass"], folder) for _ in range(15))
    floor = statistics.median(time_of([sys.executable, "-c", "import asyncio, urwid"], folder) for _ in range(15))
    say("python -c pass", f"{1000 * bare:6.1f} ms")
    say("python -c 'import asyncio, urwid', which is the floor", f"{1000 * floor:6.1f} ms")
    needles = [b" quit ", LETTERS[0].encode()]

    def seen() -> tuple[float, float]:
        begin = time.perf_counter()
        with attached(folder) as terminal:
            found: dict[bytes, float] = {}
            chunk = b""
            while len(found) < len(needles):
                chunk = chunk[-64:] + terminal.read(KEY_MOST)
                found = {needle: time.perf_counter() - begin for needle in needles if needle in chunk} | found
        return found[needles[0]], max(found.values())

    with background(folder, {f"j{number:03}": f"echo {LETTERS[number]}; exec cat" for number in range(FLOCK)}):
        first, whole = map(statistics.median, zip(*(seen() for _ in range(15)), strict=True))
        say("the first frame: all but the job's lines", f"{1000 * first:6.1f} ms", f"{first / floor:.2f} × the floor")
        say("all that is to be seen", f"{1000 * whole:6.1f} ms", f"≤ 250 ms; it is {whole / floor:.2f} × the floor")
        ps = statistics.median(time_of(folder.zap("ps"), folder) for _ in range(15))
        say("`zap ps`", f"{1000 * ps:6.1f} ms", f"≤ 80 ms; it is {ps / bare:.2f} × python -c pass")


def idle(folder: Folder) -> None:
    head("idle: an interface that is looked at, and 50 jobs that do nothing: cpu in 30 s")
    with up(folder, {f"j{number}": "exec sleep 1000" for number in range(50)}) as terminal:
        pids = terminal.pid, runner_of(folder)
        terminal.pause(65)  # from then on what shows changes once a minute
        before = [spent(pid) for pid in pids]
        terminal.pause(30)
        for name, pid, begin in zip(("the interface", "the runner"), pids, before, strict=True):
            say(name, f"{1000 * (spent(pid) - begin):6.1f} ms", "≤ 10 ms: a tick of the clock")


def runner_of(folder: Folder) -> int:
    """Its process."""
    line = dial.dial(paths.runtime_folder(folder.env, paths.plan_id(str(folder.path / "jobs.yaml"))))
    assert line
    with line:
        return line.hello.pid


def spent(pid: int) -> float:
    """Seconds of cpu, finer than in ticks where the kernel tells (proc(5))."""
    told = Path(f"/proc/{pid}/schedstat")
    return int(told.read_text().split()[0]) / 1e9 if told.exists() else cpu_of(pid)


class running:
    """zap in the background, until the block ends."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __enter__(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            self._folder.zap("run", "--quiet"),
            cwd=self._folder.path,
            env=self._folder.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def warm(folder: Folder) -> None:
    """Lets zap keep the checked plan; a run of nothing does."""
    subprocess.run(folder.zap("fixups"), cwd=folder.path, env=folder.env, stdout=subprocess.DEVNULL, check=True)


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit("waited in vain")
        time.sleep(0.005)


BENCHES: dict[str, Callable[[Folder], None]] = {
    "ingest": ingest,
    "buffers": buffers,
    "flock": flock,
    "start": start,
    "screen": screen,
    "attach": attach,
    "idle": idle,
}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    main()
