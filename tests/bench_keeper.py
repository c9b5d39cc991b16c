"""`python -m tests.bench_keeper [NAME…]`: what the keeper costs, and how long a runner that was killed is missed.

Each figure stands beside the same without a keeper, in pairs that take turns, or beside a yardstick; read the ratios.
NAME is some of: lines, chatter, guard, takeover, upgrade, profile.
"""

from __future__ import annotations

import os
import pstats
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import LINES, SIZE, Cost, Folder, cpu_of, head, memory_of, say, time_of, wait, warm
from tests.bench_soak import memory_files
from zap import dial, paths
from zap.dial import NoRunner

PAIRS = 5
STARTS = 15
COUNTS = (1, 50, 200)
FULL = 6000  # lines of 101 B, which is what a buffer keeps
KILLS = 5

# zap without keeper or guard, as on a system where nothing can be handed over; else the same detour to the real one.
DETOUR = """
import sys
from zap import child
child.CAN_HAND_OVER = sys.argv.pop(1) == "kept"
from zap.cli import main
sys.exit(main())
"""
# Looks at a runner that takes over, from its first import until it has gone on, and tells in a file.
LOOK = """
import sys
if "--tether" in sys.orig_argv:
    import cProfile, os, signal
    profile = cProfile.Profile()
    def end(*_):
        profile.disable()
        profile.dump_stats(os.environ["PROFILED"] + f".{os.getpid()}")
    signal.signal(signal.SIGUSR2, end)
    profile.enable()
"""


def zap(folder: Folder, is_kept: bool, *arguments: str) -> list[str]:
    (folder.path / "detour.py").write_text(DETOUR)
    return [sys.executable, "detour.py", "kept" if is_kept else "alone", *arguments]


def place(folder: Folder) -> str:
    return paths.runtime_folder(folder.env, paths.plan_id(str(folder.path / "jobs.yaml")))


def pairs(measure: Callable[[bool], Sequence[float]], times: int) -> tuple[list[float], list[float]]:
    """Medians with a keeper and without, of so many turns of both."""
    found: dict[bool, list[Sequence[float]]] = {True: [], False: []}
    for number in range(times):
        for is_kept in (True, False) if number % 2 else (False, True):
            found[is_kept].append(measure(is_kept))
    with_one, without = (
        [statistics.median(column) for column in zip(*found[is_kept], strict=True)] for is_kept in found
    )
    return with_one, without


# What is paid all the time.


def lines(folder: Folder) -> None:
    head(f"lines: {LINES:,} lines of one job, {SIZE / 1e6:.0f} MB, `zap serve` with a keeper and without")
    for kind, per_write, tty in (
        ("pipe, 4 KiB writes", 40, False),
        ("pipe, a write per line", 1, False),
        ("terminal", 40, True),
    ):
        folder.plan({"j": {"commands": [f"{sys.executable} writer.py {per_write} wrote"], "tty": tty, "fixups": "off"}})
        warm(folder)

        def flood(is_kept: bool) -> tuple[float, float, float]:
            """Seconds of the writer, of the runner's cpu and of the keeper's."""
            (folder.path / "wrote").unlink(missing_ok=True)
            with serving(folder, is_kept) as (runner, keeper):
                wait(lambda: (folder.path / "wrote").exists() and (folder.path / "wrote").stat().st_size > 0)
                time.sleep(0.3)
                return folder.written()[0], cpu_of(runner), cpu_of(keeper) if is_kept else 0.0

        kept, alone = pairs(flood, PAIRS)
        say(f"{kind}: without", f"{SIZE / alone[0] / 1e6:6.0f} MB/s {alone[1]:5.2f} s cpu")
        say(f"{kind}: with a keeper", f"{alone[0] / kept[0]:6.2f} × the rate", f"{kept[1] / alone[1]:.2f} × the cpu")


def chatter(folder: Folder) -> None:
    head("chatter: 200 jobs × 10 lines/s, `zap serve` with a keeper and without")
    tick = f"exec {sys.executable} -S -c 'import time\nwhile 1: print(\"x\" * 80, flush=True); time.sleep(0.1)'"
    folder.plan({f"j{number}": {"commands": [tick], "fixups": "off"} for number in range(200)})
    warm(folder)

    def tick_on(is_kept: bool) -> tuple[float, float, float]:
        with serving(folder, is_kept) as (runner, keeper):
            time.sleep(6)
            before = cpu_of(runner)
            time.sleep(6)
            of_keeper = memory_of(keeper) if is_kept else 0
            return (cpu_of(runner) - before) / 6, memory_of(runner), of_keeper

    kept, alone = pairs(tick_on, 2)
    say("cpu without", f"{100 * alone[0]:6.1f} %")
    say("cpu with a keeper", f"{100 * kept[0]:6.1f} %", f"{kept[0] / alone[0]:.2f} ×")
    say(
        "resident: without, with, the keeper itself", f"{alone[1] / 1e6:.1f} {kept[1] / 1e6:.1f} {kept[2] / 1e6:.1f} MB"
    )


def guard(folder: Folder) -> None:
    head(f"guard: `zap run` with its guard and without, medians of {STARTS}")
    folder.plan({"j": {"commands": ["date +%s%N >first"]}, "k": {"commands": ["true"]}})
    warm(folder)

    def run(is_kept: bool) -> tuple[float, float, float]:
        begin = time.time()
        cost: Cost = folder.run(zap(folder, is_kept, "run", "--quiet"))
        return int((folder.path / "first").read_text()) / 1e9 - begin, cost.wall, cost.cpu

    run(True)
    kept, alone = pairs(run, STARTS)
    bare = statistics.median(time_of([sys.executable, "-c", "pass"], folder) for _ in range(STARTS))
    say("python -c pass", f"{1000 * bare:6.1f} ms")
    for what, one, other in zip(("to the first byte of the first job", "to its end", "cpu"), kept, alone, strict=True):
        say(f"{what}: without", f"{1000 * other:6.1f} ms", f"{other / bare:.2f} × python -c pass")
        say(f"{what}: with", f"{1000 * one:6.1f} ms", f"{one / other:.2f} × without, {1000 * (one - other):+.1f} ms")


@contextmanager
def serving(folder: Folder, is_kept: bool) -> Iterator[tuple[int, int]]:
    """The processes of a runner, and of its keeper or 0, until the block ends."""
    process = subprocess.Popen(zap(folder, is_kept, "serve"), cwd=folder.path, env=folder.env, stdin=subprocess.DEVNULL)
    try:
        with reached(folder) as line:
            who = line.hello.pid, line.hello.keeper
        yield who
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def reached(folder: Folder, but: int = 0) -> Iterator[dial.Line]:
    """The runner that is not process `but`."""
    until = time.monotonic() + 120
    line = None
    while line is None:
        if time.monotonic() > until:
            raise SystemExit("no runner has come up")
        with suppress(NoRunner):
            line = dial.reach(place(folder))
        if line and line.hello.pid == but:
            line.close()
            line = None
        if line is None:
            time.sleep(0.001)
    with line:
        yield line


# What a hand-over takes.


def takeover(folder: Folder) -> None:
    head(f"takeover: kill -9 of the runner until a `tail` is answered again, medians of {KILLS}")
    hand_over(folder, lambda runner: os.kill(runner, signal.SIGKILL))


def upgrade(folder: Folder) -> None:
    head(f"upgrade: from asking for one until a `tail` is answered by the new runner, medians of {KILLS}")

    def ask(_: int) -> None:
        with reached(folder) as line:
            line.ask("upgrade")

    hand_over(folder, ask)


def hand_over(folder: Folder, end: Callable[[int], None]) -> None:
    folder.env["ZAP_CRASHES"] = "1000"
    imports = "import asyncio, zap.cli, zap.runner, zap.server, zap.estate, zap.background"
    floor = statistics.median(time_of([sys.executable, "-P", "-c", imports], folder) for _ in range(5))
    say(f"python -c '{imports[:30]}…', the floor", f"{1000 * floor:6.1f} ms")
    for is_full in (False, True):
        for count in COUNTS:
            with filled(folder, count, is_full) as line_of_last:
                took = [missed(folder, end, line_of_last) for _ in range(KILLS)]
                tail, cpu = map(statistics.median, zip(*took, strict=True))
                what = f"{count} jobs, {FULL if is_full else 'no'} lines each"
                say(what, f"{1000 * tail:6.0f} ms", f"{tail / floor:.1f} × the floor; {1000 * cpu:.0f} ms of cpu")
                with reached(folder) as line:
                    files, runner = memory_files(line.hello.keeper), line.hello.pid
                sizes = {name: sum(size for each, size in files if each == name) for name, _ in files}
                told = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in sorted(sizes.items()))
                say("", f"runner {memory_of(runner) / 2**20:.0f} MB", told)


def missed(folder: Folder, end: Callable[[int], None], last: int) -> tuple[float, float]:
    """Seconds until it has answered with the last job's last line, and those of cpu that it has used by then."""
    with reached(folder) as line:
        runner = line.hello.pid
    begin = time.perf_counter()
    end(runner)
    with reached(folder, runner) as line:
        tail = line.tail("s/j0", max(last - 1, 0))
        assert last == 0 or [one.number for one in tail.lines] == [last], (last, tail)
        return time.perf_counter() - begin, cpu_of(line.hello.pid)


@contextmanager
def filled(folder: Folder, count: int, is_full: bool, **env: str) -> Iterator[int]:
    """A runner in the background of so many jobs, that have said all that they will; the number of the last line."""
    (folder.path / "said").write_bytes((b"x" * 100 + b"\n") * FULL)
    command = "cat said; touch up-$N; exec sleep 1000" if is_full else "touch up-$N; exec sleep 1000"
    folder.plan({f"j{number}": {"commands": [command], "env": {"N": str(number)}} for number in range(count)})
    for up in folder.path.glob("up-*"):
        up.unlink()
    done = subprocess.run(
        folder.zap("up", "--no-wait"), cwd=folder.path, env=folder.env | env, timeout=60, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    try:
        wait(lambda: len(list(folder.path.glob("up-*"))) == count)
        time.sleep(2.0)
        yield last_line(folder, FULL if is_full else 0)
    finally:
        folder.run(folder.zap("down", "--now"))


def last_line(folder: Folder, least: int) -> int:
    with reached(folder) as line:
        for event in line.follow():
            if event["event"] == "restated" and event["job"] == "s/j0":
                assert event["row"].get("lines", 0) >= least
                return int(event["row"].get("lines", 0))
    raise SystemExit("there is no s/j0")


def profile(folder: Folder) -> None:
    head(f"profile: where a take-over spends its time, 200 jobs × {FULL} lines")
    (folder.path / "sitecustomize.py").write_text(LOOK)
    env = {"PYTHONPATH": f"{folder.path}", "PROFILED": str(folder.path / "profile"), "ZAP_CRASHES": "1000"}
    with filled(folder, 200, True, **env) as last:
        for _ in range(2):
            took, _ = missed(folder, lambda runner: os.kill(runner, signal.SIGKILL), last)
        with reached(folder) as line:
            runner = line.hello.pid
        os.kill(runner, signal.SIGUSR2)
        told = folder.path / f"profile.{runner}"
        wait(told.exists)
        time.sleep(0.5)
        say("until `tail`, while it is looked at", f"{1000 * took:6.0f} ms")
        figures = pstats.Stats(str(told))
        figures.sort_stats("cumulative").print_stats(45)
        figures.sort_stats("tottime").print_stats(25)


BENCHES: dict[str, Callable[[Folder], None]] = {
    "lines": lines,
    "chatter": chatter,
    "guard": guard,
    "takeover": takeover,
    "upgrade": upgrade,
    "profile": profile,
}


def main(names: Sequence[str]) -> None:
    for name in names or list(BENCHES):
        with TemporaryDirectory(prefix="zap-bench-") as path:
            BENCHES[name](Folder(Path(path)))


if __name__ == "__main__":
    main(sys.argv[1:])
