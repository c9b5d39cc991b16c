"""`zap critical`: what the time until jobs were ready was spent on."""

from __future__ import annotations

import argparse
import time

from zap import critical, wire
from zap.choice import among
from zap.errors import ZapError
from zap.events import Row, State
from zap.verbs import reach, usage


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(
        subparsers, "critical", "what the time until jobs were ready was spent on", run, "0 when it is told"
    )
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help="the last of these (default: of all that run)")
    usage.add_json(parser, "a leg of the way, with its parts; times are on the wall, in seconds")


def run(arguments: argparse.Namespace) -> int:
    """Tells what the time was spent on from when jobs were started until the last of them was ready: who waited for
    whom, how long each took, and by which of its commands. Who is not ready yet is told of as far as he has come."""
    read = wire.reader_of(Row)
    rows: dict[str, Row] = {job: read(row) for job, row in reach.rows(arguments).items()}
    with reach.runner(arguments) as line:
        jobs = {job.name: job for job in line.plan().jobs}
    goal = among(rows, arguments.names)
    if not arguments.names:
        goal = [job for job in goal if rows[job].state is not State.STOPPED]
    legs = critical.path(rows, jobs, goal, time.time())
    if not legs:
        raise ZapError(f"nobody has started {' or '.join(arguments.names) or 'anything'}")
    if arguments.json:
        for leg in legs:
            reach.tell(wire.to_plain(leg))
    else:
        print(*map(reach.shown, critical.lines(legs)), sep="\n")
    return 0
