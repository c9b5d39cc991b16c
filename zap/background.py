"""The runner in the background: being it, bringing it up, finding it, and seeing it gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zap import address, dial, events, frame, paths, requests
from zap.errors import ZapError
from zap.escape import plain

if TYPE_CHECKING:
    from zap.address import Claim
    from zap.child import Child
    from zap.config import Loaded
    from zap.events import Line
    from zap.frame import Plain
    from zap.healer import Heal
    from zap.nursery import World
    from zap.plan import Plan
    from zap.session import Session

GONE_MOST = 10.0  # seconds from a runner's last word to its end
GONE_EVERY = 0.02  # seconds
LOOK_EVERY = 1.0  # seconds between looks at the files of a plan that is watched
LOG_MOST = 1024 * 1024  # bytes; a longer log is begun anew, and the old one kept beside it
READY: Mapping[str, Plain] = {"result": {}}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Look = tuple[int, int, int]  # a file's number, when it was changed, its size


def find(path: str, environ: Mapping[str, str]) -> dial.Line | None:
    """The runner of the plan at this path; one that is just coming up, or ending, is waited for."""
    return dial.reach(_folder(path, environ))


def bring_up(path: str, names: Sequence[str], heal: str, environ: Mapping[str, str]) -> tuple[dial.Line, bool]:
    """The runner of the plan, and whether it was started here; only then the named ones are started with it.

    ZapError: it could not be started, and why.
    """
    line = find(path, environ)
    if line:
        return line, False
    from zap import child

    log = paths.log_file(environ, paths.plan_id(path))
    argv = [sys.executable, "-P", "-m", "zap", "serve", "--file", path, "--heal", heal, "--report", *names]
    try:
        _rotate(log)
        told = child.detach(argv, environ, log)
    except OSError as error:
        raise ZapError(f"the runner cannot be started: {error.filename or log}: {error.strerror or error}") from None
    line = find(path, environ)  # also where two were started at the same time: then one of them is there
    if line:
        return line, told == frame.encode(READY)
    if told:
        frame.result_of(frame.read_answer(told))
    raise ZapError(f"the runner has ended at once; its log is {log}")


def wait_gone(path: str, environ: Mapping[str, str]) -> bool:
    """Until no runner of the plan is a process any more; False when one still is after a while."""
    until = time.monotonic() + GONE_MOST
    while address.is_claimed(_folder(path, environ)):
        if time.monotonic() > until:
            return False
        time.sleep(GONE_EVERY)
    return True


def claim(plan: Plan, environ: Mapping[str, str]) -> Claim:
    """Become the plan's runner. ZapError when there is one."""
    claimed = address.claim(_folder(plan.path, environ))
    if claimed is None:
        raise ZapError(f"a runner of {plan.path} is there already")
    return claimed


def report(told: Mapping[str, Plain]) -> None:
    """One line to whoever started us with `--report` and waits on our standard output, which becomes the log."""
    with contextlib.suppress(OSError):
        os.write(1, frame.encode(told))
    os.dup2(2, 1)


async def serve(
    plan: Plan,
    world: World,
    jobs: Sequence[str],
    heal: Heal,
    claimed: Claim,
    first: dict[str, Child],
    caught: Sequence[int],
    is_background: bool,
) -> None:
    """Runs the jobs and answers on the socket until somebody closes the runner, and all that it started has ended.

    INT, TERM and HUP close it, the second of them without waiting for graces. In the background HUP does not: the
    terminal that we were started from has nothing to say to us.
    """
    import asyncio

    from zap.runner import Runner
    from zap.server import Server

    loop = asyncio.get_running_loop()
    runner = Runner(plan, world, heal=heal, is_alone=True, adopted=first)
    server = Server(runner, plan.path)
    begun: list[asyncio.Task[None]] = []
    watching: asyncio.Task[None] | None = None

    async def close(why: str, is_hurried: bool) -> None:
        await runner.ask(requests.Note(f"close all: asked for by signal {why}"))
        await runner.ask(requests.Close(is_hurried))

    def on_signal(number: int) -> None:
        if number != signal.SIGHUP or not is_background:
            begun.append(loop.create_task(close(signal.Signals(number).name, is_hurried=bool(begun))))

    for ending in ENDING:
        loop.add_signal_handler(ending, on_signal, ending)
    try:
        server.listen(claimed.socket)
        await runner.ask(requests.Start(tuple(jobs)))
        if is_background:
            report(READY)
        for number in caught:
            on_signal(number)
        watching = loop.create_task(_keep_plan(runner, world.environ))
        await _keep_log(runner, paths.log_file(world.environ, plan.id) if is_background else None)
    finally:
        if watching:
            watching.cancel()
        await runner.close()
        await server.close()


async def _keep_plan(session: Session, environ: Mapping[str, str]) -> None:
    """Reads the plan again when any of its files has changed, as long as it says that it is watched.

    By looking at them: they are few, and where a folder is another machine's, nothing else tells of changes.
    """
    async for event in session.watch(0):
        if isinstance(event.fact, events.Opened | events.Reloaded):
            await _reload_on_change(session, environ)


async def _reload_on_change(session: Session, environ: Mapping[str, str]) -> None:
    """Until the plan is not watched any more. While it is not right, NotReloaded tells so each time that it changes."""
    import asyncio

    files: Sequence[str] = []
    refused: list[_Look | None] | None = None  # how they were when they were not right
    while (plan := await session.plan()).is_watched:
        files = files or [plan.path]
        now = _look(files)  # and only then read: what is changed meanwhile is another one
        loaded = await asyncio.to_thread(_load, plan, environ)
        if loaded and files != [*loaded.files, *loaded.folders]:
            files = [*loaded.files, *loaded.folders]
            continue
        if now == refused or (loaded and loaded.plan == plan):  # else it has changed since the runner has read it
            await _change(files, now)
            now = _look(files)
        try:
            await session.ask(requests.Reload())
        except ZapError:
            refused = now


async def _change(files: Sequence[str], before: Sequence[_Look | None]) -> None:
    """Until one of them is another than before, and all are left alone again: an editor may write in several goes."""
    import asyncio

    now = _look(files)
    while now == before:
        await asyncio.sleep(LOOK_EVERY)
        now = _look(files)
    changing = None
    while changing != now:
        changing = now
        await asyncio.sleep(LOOK_EVERY)
        now = _look(files)


def _load(plan: Plan, environ: Mapping[str, str]) -> Loaded | None:
    from pathlib import Path

    from zap import config

    try:
        return config.load(Path(plan.path), environ)
    except ZapError:
        return None


def _look(files: Sequence[str]) -> list[_Look | None]:
    looks: list[_Look | None] = []
    for file in files:
        try:
            look = os.stat(file)
            looks.append((look.st_ino, look.st_mtime_ns, look.st_size))
        except OSError:
            looks.append(None)
    return looks


async def _keep_log(session: Session, log: str | None) -> None:
    """Until the session closes: what is noted there also goes to standard error, which outlives it."""
    seen = 0
    async for event in session.watch(0):
        if log and isinstance(event.fact, events.Output) and event.fact.job == events.LOG:
            tail = await session.tail(events.LOG, seen)
            seen = tail.next
            with contextlib.suppress(OSError):  # a disk that is full is no reason to end
                _write(log, tail.lines)


def _write(log: str, lines: Sequence[Line]) -> None:
    for line in lines:
        at = time.strftime("%F %T", time.localtime(line.at))
        os.write(2, f"{at} {plain(line.text)}\n".encode())
    if _rotate(log):
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as new:
            os.dup2(new.fileno(), 1)
            os.dup2(new.fileno(), 2)


def _rotate(log: str) -> bool:
    """Whether the log was long enough to be put away."""
    if not os.path.exists(log) or os.path.getsize(log) <= LOG_MOST:
        return False
    os.replace(log, f"{log}.1")
    return True


def _folder(path: str, environ: Mapping[str, str]) -> str:
    return paths.runtime_folder(environ, paths.plan_id(path))
