"""`zap reload`, `zap need`, `zap upgrade`: what the jobs are, whom they need, and who runs them, while they go on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from zap import dial, paths, requests
from zap.board import Board
from zap.errors import ZapError
from zap.events import Closed, TookOver
from zap.plan import Plan, Until
from zap.remarks import seconds
from zap.revision import Change, Revision, compare
from zap.verbs import reach, usage, waiting
from zap.wire import to_plain

CONDITIONS = ("started", "ready", "done", "ended")
UPGRADE_MOST = 120.0  # seconds: one minute for a new runner to show that it could take over, and time to do it


def register(subparsers: usage.Subparsers) -> None:
    codes = "0 when it is done, or nothing has changed"
    reloading = usage.add(subparsers, "reload", "read the plan again, and do what has changed", run_reload, codes)
    reloading.add_argument("-n", "--dry-run", action="store_true", help="only show what would be done")
    usage.add_json(reloading, "`added`, `removed`, and `changed`: a job, its settings, and whether it is restarted")

    needing = usage.add(subparsers, "need", "change whom a job needs", run_need, "0 when the runner took it")
    needing.add_argument("job", metavar=usage.JOB, help="who needs")
    needing.add_argument("on", metavar=usage.JOB, help="whom")
    until = needing.add_mutually_exclusive_group()
    until.add_argument("--for", dest="until", choices=CONDITIONS, default="ready", help="until when (default: ready)")
    until.add_argument("--line", metavar="PATTERN", help="until it prints such a line")
    until.add_argument("--remove", action="store_true", help="not any more")
    needing.add_argument("--optional", action="store_true", help="only if it is on its way, or there")
    needing.add_argument("--follow", action="store_true", help="go down when it does, and come up after it")
    usage.add_json(needing, "the job, and all that it needs then")

    codes = "0 when another runner goes on"
    upgrading = usage.add(subparsers, "upgrade", "change to the zap that is installed now", run_upgrade, codes)
    usage.add_json(upgrading, "`version` and `pid` of the runner, the version `before`, and `seconds` between them")


def run_reload(arguments: argparse.Namespace) -> int:
    """Compares the plan's files with what runs, shows what is different, and does it: jobs that are new start, those
    that are gone stop, and those are restarted of which a setting has changed that decides what runs (its commands,
    folder, environment, shell, terminal, answers, how it gets ready). Other settings hold at once, without a restart.
    When anything in the files is wrong, all of it is told and nothing changes."""
    with reach.runner(arguments) as line:
        before, after = line.plan(), line.plan(is_fresh=True)
        revision = compare(before, after)
        if arguments.json:
            reach.tell({**to_plain(revision), "changed": [_plain(change) for change in revision.changed]})
        else:
            for text in _described(revision, after):
                print(reach.shown(text))
        if not arguments.dry_run:
            line.call(requests.Reload())
    return 0


def _plain(change: Change) -> dict[str, object]:
    return {**to_plain(change), "is_restarted": change.is_decisive}


def _described(revision: Revision, plan: Plan) -> Iterator[str]:
    """One line for each job that is another one now."""
    if revision.is_nothing:
        yield "nothing has changed"
    starting = {job.name for system in plan.systems for job in system.jobs if system.start and job.start}
    for name in revision.added:
        yield f"+ {name}: new, {'starts' if name in starting else 'starts by name'}"
    for name in revision.removed:
        yield f"- {name}: gone, is stopped"
    for change in revision.changed:
        what = "is restarted, if it runs" if change.is_decisive else "without a restart"
        yield f"~ {change.job}: {', '.join(change.settings)}: {what}"


def run_need(arguments: argparse.Namespace) -> int:
    """Makes a job need another one from now on, or not any more, until the plan is reloaded. A job that waits goes on
    waiting, or starts, by what it needs then; one that runs goes on."""
    rows = reach.rows(arguments)
    job, on = (reach.one(rows, name) for name in (arguments.job, arguments.on))
    with reach.runner(arguments) as line:
        line.call(_request(arguments, job, on))
        if arguments.json:
            _tell(line, job)
    return 0


def _request(arguments: argparse.Namespace, job: str, on: str) -> requests.Need | requests.Unneed:
    if not arguments.remove:
        until: Until = "line" if arguments.line is not None else arguments.until
        return requests.Need((job,), on, until, arguments.line, arguments.optional, arguments.follow)
    if arguments.optional or arguments.follow:
        raise ZapError("what is removed is neither --optional nor --follow")
    return requests.Unneed((job,), on)


def _tell(line: dial.Line, job: str) -> None:
    needs = next(known.needs for known in line.plan().jobs if known.name == job)
    reach.tell({"job": job, "needs": to_plain(needs)})


def run_upgrade(arguments: argparse.Namespace) -> int:
    """Hands everything over to another runner, of the zap that is installed now, and returns when that one goes on. No
    job stops, and nothing of what they say is lost. Before that, the new one is asked whether it could: if not, the
    reason is told, and nothing changes."""
    with reach.runner(arguments) as line:
        before = line.hello.zap
        news = waiting.follow(line, Board(()), lambda: ["waiting for the other runner"], UPGRADE_MOST)
        next(news)  # it has begun, and will not miss it
        log = paths.log_file(os.environ, paths.plan_id(line.hello.plan))
        line.post("upgrade")
        try:
            told = next((fact for fact in news if isinstance(fact, TookOver | Closed)), None)
        except dial.NoRunner:
            raise dial.NoRunner(f"the other runner has ended, and with it everything; {log} says why") from None
    if told is None:
        raise ZapError(f"no other runner has taken over in {seconds(UPGRADE_MOST)}; {log} may say why")
    if isinstance(told, Closed):
        raise dial.NoRunner("the runner has ended")
    if arguments.json:
        reach.tell({"version": told.version, "pid": told.pid, "before": before, "seconds": round(told.seconds, 3)})
    else:
        since = f"zap {told.version}" + ("" if told.version == before else f" (before: {before})")
        print(reach.shown(f"{since} runs now, process {told.pid}: it took over after {seconds(told.seconds)}"))
    return 0
