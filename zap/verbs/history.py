"""`zap events`: what has happened, and what goes on happening."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from zap import events, wire
from zap.events import Fact
from zap.frame import Plain
from zap.remarks import headline, seconds, told
from zap.units import size
from zap.verbs import reach, usage

STEADY = ("output", "measured", "waits", "probed")  # what happens all the time


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(subparsers, "events", "what has happened", run, "0 when it is told", follows=True)
    parser.add_argument("--since", type=int, default=0, metavar="N", help="only events with a number above N")
    parser.add_argument("--all", action="store_true", help="also every pointer to output, and what jobs use")
    usage.add_json(parser, "an event")


def run(arguments: argparse.Namespace) -> int:
    """Shows what has happened as far as the runner remembers, one event per line: its time, its number, the job, and
    what it is. A script that comes again asks for what is new with `--since` the last number that it saw."""
    for event in happened(arguments):
        is_told_together = event.get("is_in_storm") and not arguments.json
        if arguments.all or not (event["event"] in STEADY or is_told_together):
            reach.tell(event) if arguments.json else print(text(event))
            if arguments.follow:
                sys.stdout.flush()
    return 0


def happened(arguments: argparse.Namespace) -> Iterator[dict[str, Plain]]:
    with reach.runner(arguments) as line:
        newest = next(line.follow())["n"]
    if arguments.since >= newest and not arguments.follow:
        return
    with reach.runner(arguments) as line:
        news = line.follow(arguments.since)
        while line.hears(reader=sys.stdout.fileno()) and (event := next(news, None)):
            yield event
            if event["n"] >= newest and not arguments.follow:
                return


def text(event: dict[str, Plain]) -> str:
    fact = wire.event_from_plain(event).fact
    job = event.get("job") or events.LOG
    return f"{reach.clock(event['at'])} {event['n']:>6} {job}  {reach.shown(told(fact) or _steady(fact))}"


def _steady(fact: Fact) -> str:
    """What a log for people leaves out."""
    match fact:
        case events.CommandStarted():
            return f"command {fact.command}: {headline(fact.text)}"
        case events.CommandEnded():
            return f"command {fact.command}: {fact.status} after {seconds(fact.seconds)}"
        case events.Became():
            return str(fact.state)
        case events.Restated():
            return f"is {fact.row.state}"
        case events.Output():
            return f"lines to {fact.last}" + (" and more to come" if fact.is_open else "")
        case events.Waits():
            others = [*(lack.job for lack in fact.lacks), *fact.leavers]
            return f"waits for {', '.join(others)}"
        case events.Probed():
            how = "well" if fact.is_ok else "failed"
            return f"{fact.question}, {how}, {fact.times}/{fact.most}: {fact.by}: {fact.said}"
        case events.Measured():
            return "; ".join(f"{load.job} uses {load.cpu:.1f} %, {size(load.memory)}" for load in fact.loads)
        case _:
            return wire.name_of(type(fact))
