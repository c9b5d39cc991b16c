"""The runner in the background: being it, bringing it up, finding it, and seeing it gone."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from zap import address, dial, events, frame, paths, requests
from zap.errors import ZapError
from zap.escape import plain

if TYPE_CHECKING:
    from zap.address import Claim
    from zap.child import Child
    from zap.config import Loaded
    from zap.estate import Estate
    from zap.events import Line
    from zap.frame import Plain
    from zap.headless import Options
    from zap.healer import Heal
    from zap.memory import Known
    from zap.nursery import World
    from zap.plan import Plan
    from zap.runner import Runner
    from zap.session import Session
    from zap.tether import Tether

GONE_MOST = 10.0  # seconds from a runner's last word to its end
GONE_EVERY = 0.02  # seconds
LOOK_EVERY = 1.0  # seconds between looks at the files of a plan that is watched
LOG_MOST = 1024 * 1024  # bytes; a longer log is begun anew, and the old one kept beside it
READY: Mapping[str, Plain] = {"result": {}}
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Look = tuple[int, int, int]  # a file's number, when it was changed, its size


def find(path: str, environ: Mapping[str, str]) -> dial.Line | None:
    """The runner of the plan at this path; one that is just coming up, or ending, is waited for."""
    return dial.reach(folder(path, environ))


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
    while address.is_claimed(folder(path, environ)):
        if time.monotonic() > until:
            return False
        time.sleep(GONE_EVERY)
    return True


def is_there(path: str, environ: Mapping[str, str]) -> bool:
    """Whether a runner of the plan lives; it may not answer yet."""
    return address.is_claimed(folder(path, environ))


def claim(plan: Plan, environ: Mapping[str, str]) -> Claim:
    """Become the plan's runner. ZapError when there is one."""
    claimed = address.claim(folder(plan.path, environ))
    if claimed is None:
        raise ZapError(f"a runner of {plan.path} is there already")
    return claimed


def report(told: Mapping[str, Plain]) -> None:
    """One line to whoever started us with `--report` and waits on our standard output, which becomes the log."""
    with contextlib.suppress(OSError):
        os.write(1, frame.encode(told))
    os.dup2(2, 1)


class Start(NamedTuple):
    """How a runner begins: with these jobs, some of whom are born already, and signals that came meanwhile; or, with
    what is `known`, where another one was killed.

    In the background nobody sees what it says. With `shown` it is the first process of a machine: what its jobs say
    goes to standard output, and it ends when they have; signals but INT and TERM are for them. `left` is what was found
    of a runner before.
    """

    jobs: Sequence[str]
    first: dict[str, Child]
    caught: Sequence[int]
    known: Known | None = None
    is_background: bool = False
    shown: Options | None = None
    left: events.Left | None = None


async def serve(plan: Plan, world: World, heal: Heal, claimed: Claim, estate: Estate | None, start: Start) -> int:
    """Runs the jobs and answers on the socket until somebody closes the runner, and all that it started has ended.

    INT, TERM and HUP close it, the second of them without waiting for graces. In the background HUP does not: the
    terminal that we were started from has nothing to say to us. The exit code.
    """
    import asyncio

    from zap.runner import Runner
    from zap.server import Server
    from zap.tether import Presses

    loop = asyncio.get_running_loop()
    keeper = estate.tether.pid if estate else None
    journal = paths.state_folder(world.environ, plan.id)
    runner = Runner(
        plan,
        world,
        heal=heal,
        is_alone=True,
        adopted=start.first,
        keeper=keeper,
        journal=journal,
        estate=estate,
        known=start.known,
    )
    if start.left:
        runner.tell(start.left)
    server = Server(runner, plan.path, keeper)
    begun: list[asyncio.Task[None]] = []
    watching: asyncio.Task[None] | None = None
    presses = Presses()
    ending: list[int] = []  # signals that told us to end

    def on_signal(number: int, is_forwarded: bool = False) -> None:
        if not presses.is_new(number, is_forwarded) or (number == signal.SIGHUP and start.is_background):
            return
        name = signal.Signals(number).name
        if start.shown and number not in (signal.SIGINT, signal.SIGTERM):
            request: requests.Request = requests.Signal(runner.living, name.removeprefix("SIG"))
        else:
            request = requests.Close(is_hurried=bool(ending))
            ending.append(number)
        begun.append(loop.create_task(runner.ask(request, f"signal {name}")))

    for each in ENDING:
        loop.add_signal_handler(each, on_signal, each)
    if estate:
        tether = estate.tether
        hear = partial(
            tether.hear, partial(on_signal, is_forwarded=True), runner.on_ending, partial(_on_cut, runner, tether)
        )
        loop.add_reader(tether.fileno(), hear)
        tether.up()
    try:
        server.listen(claimed.socket)
        if start.known is None:
            await runner.ask(requests.Start(tuple(start.jobs)))
            if start.is_background:
                report(READY)
        for number in start.caught:
            on_signal(number)
        watching = loop.create_task(_keep_plan(runner, world.environ))
        if start.shown:
            code = await _show(runner, start.shown, start.known, ending)
        else:
            code = 0
            written = start.known.written if start.known else 0
            await _keep_log(runner, paths.log_file(world.environ, plan.id) if start.is_background else None, written)
    finally:
        if watching:
            watching.cancel()
        await runner.close()
        await server.close()
        if estate:
            loop.remove_reader(estate.tether.fileno())
            estate.tether.bye()
    return code


async def _show(runner: Runner, options: Options, known: Known | None, signals: list[int]) -> int:
    from zap import headless

    told = {name: stream.told for name, stream in known.streams.items()} if known else dict.fromkeys(options.shown, 0)
    return await headless.show(runner, options, 1, told, signals)


def _on_cut(runner: Runner, tether: Tether) -> None:
    """The keeper is gone. This process, with all its children, becomes the next one, and starts a runner."""
    runner.settle()
    try:
        tether.replace("the keeper was killed, and the runner has taken its place", time.time())
    except OSError as error:
        runner.forsake(f"there is no keeper any more: {error.strerror}")


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


async def _keep_log(session: Session, log: str | None, seen: int) -> None:
    """Until the session closes: what is noted there after line `seen` goes to standard error as well."""
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


def folder(path: str, environ: Mapping[str, str]) -> str:
    return paths.runtime_folder(environ, paths.plan_id(path))
