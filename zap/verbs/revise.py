"""`zap reload` and `zap need`: what the jobs are, and whom they need, is changed while they run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from zap import dial, requests
from zap.errors import ZapError
from zap.plan import Plan, Until
from zap.revision import Change, Revision, compare
from zap.verbs import reach, usage
from zap.wire import to_plain

CONDITIONS = ("started", "ready", "done", "ended")


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
