"""`zap why`: a sentence for every job that is on its way or in trouble."""

from __future__ import annotations

import argparse
import time

from zap import why, wire
from zap.choice import among
from zap.events import Row
from zap.remarks import doing
from zap.verbs import reach, usage


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(subparsers, "why", "why jobs are as they are", run, "0 when it is told")
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help="only these, also where all is well")
    usage.add_json(parser, "`job`, `state` and `why`, a sentence")


def run(arguments: argparse.Namespace) -> int:
    """Says why jobs are as they are: what they wait for, how they ended, what zap has tried. Without names, it tells of
    every job that is neither ready, nor done, nor stopped."""
    read = wire.reader_of(Row)
    rows: dict[str, Row] = {job: read(row) for job, row in reach.rows(arguments).items()}
    with reach.runner(arguments) as line:
        plan = line.plan()
        settings = {job.name: job for job in plan.jobs}
        now = time.time()
        asked = [rows[job] for job in among(rows, arguments.names)]
        told = [row for row in asked if arguments.names or not why.is_plain(row)]
        for row in told:
            since = max(row.lines - why.LAST_LINES, 0)
            words = why.last_words(line.tail(row.job, since, why.LAST_LINES).lines)
            job = settings.get(row.job)
            text = why.sentence(row, job, now, rows, words) if job else doing(row, now)  # it has left the plan
            if arguments.json:
                reach.tell({"job": row.job, "state": row.state, "why": text})
            else:
                print(reach.shown(text))
    if not told and not arguments.json:
        print(f"nothing is the matter: {len(rows)} {'job is' if len(rows) == 1 else 'jobs are'} ready, done or stopped")
    return 0
