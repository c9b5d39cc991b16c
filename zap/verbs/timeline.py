"""`zap timeline`: who started, stopped and restarted what, and why, from the journal on disk."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, cycle, islice, takewhile

from zap import events, journal, paths, wire
from zap.choice import among
from zap.errors import ZapError
from zap.events import Fact, State
from zap.frame import Plain
from zap.remarks import headline, told
from zap.scribe import COLOURS
from zap.verbs import reach, usage
from zap.verbs.logs import since

COUNT = 100  # events, where nothing else bounds them
ABOUT = 40  # events before and after a time
BEHIND = 2000  # events before those that are shown, among which their causes are looked for
HANDFUL = 5  # events of others before, and as many after
SHORTLY = 60.0  # seconds
LISTS = ("jobs", "added", "removed", "restarted", "adapted")  # of jobs, in an event about several
STATE_COLOURS = {State.FAILED: 31, State.BACKOFF: 33, State.READY: 32, State.DONE: 32, State.FIXING: 35}
BAD = events.NotSpawned | events.FixFailed | events.GaveUp | events.HookFailed | events.NotReloaded | events.Degraded
IT, CHAIN, OTHER = "▶ ", "┃ ", "  "

Event = dict[str, Plain]
Row = tuple[Event, str]  # and how it is marked
IsWanted = Callable[[Event], bool]


class Nothing(ZapError):
    """There is nothing to tell."""

    code = 1


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(subparsers, "timeline", "who started, stopped and restarted what, and why", run, "")
    parser.epilog = """\
exit codes: 0 when it is told, 1 when there is nothing to tell;
2 when the command line is wrong or the journal cannot be read, 130 after Ctrl+C."""
    about = "only these, also those that have left the plan"
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help=about)
    when = parser.add_mutually_exclusive_group()
    when.add_argument(
        "--around",
        type=_event_or_time,
        metavar="EVENT|TIME",
        help="the event of this number, what it came from, what came from it, and what else happened just then; "
        "or what happened before and after a time (3:00)",
    )
    when.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="a time ago (10m, 2h), a time (3:00, 2026-01-31T14:03, @ and seconds since 1970), or +N for event N on",
    )
    most = f"at most so many, the newest (default: {COUNT}; with --since, all)"
    parser.add_argument("-n", "--count", type=_count, metavar="COUNT", help=most)
    usage.add_json(parser, "an event, as the journal has it")
    usage.add_colour(parser)


def run(arguments: argparse.Namespace) -> int:
    """Shows what has happened, one event per line: its time, its number, the job, what it is, and ← the event that it
    came from. This is read from the journal on disk, which goes back further than a runner remembers, whether one is
    there or not."""
    path = paths.plan_file(arguments.file, os.environ)
    folder = paths.state_folder(os.environ, paths.plan_id(path))
    reading = journal.Reading(folder, is_newest_first=not _needs_all(arguments))
    found = list(reading) if _needs_all(arguments) else _recent(reading, arguments)
    if not found:
        where = journal.files(folder)[0]
        why = f"nothing is in the journal of {path} yet; `zap up` starts a runner, which writes it to {where}"
        raise ZapError("\n".join(reading.troubles)) if reading.troubles else Nothing(why)
    for trouble in reading.troubles:
        print(reach.shown(trouble), file=sys.stderr)
    is_wanted = _wanted(_chosen(found, arguments.names, path), arguments.json)
    if isinstance(arguments.around, int):
        rows, more = _around(found, arguments.around, arguments.count or COUNT, is_wanted)
        _tell(rows, found, arguments)
        if more and not arguments.json:
            print(f"… {more} more have come from it; -n COUNT shows more")
        return 0
    if arguments.around is not None:
        _tell(_about(found, arguments.around, arguments.count or ABOUT, is_wanted), found, arguments)
        return 0
    most = arguments.count or (COUNT if arguments.since is None else len(found))
    newest = islice((event for event in reversed(found) if _is_since(event, arguments) and is_wanted(event)), most + 1)
    picked = list(newest)[::-1]
    if not picked:
        first = f"event {found[0]['n']} of {time.strftime('%F %T', time.localtime(found[0]['at']))}"
        raise Nothing(f"nothing of that is in the journal, which goes back to {first}")
    if len(picked) > most and not arguments.json:
        print("… what is older is left out; -n COUNT or --since WHEN shows more")
    _tell([(event, "") for event in picked[-most:]], found, arguments)
    return 0


# Arguments.


def _moment(text: str) -> int | float:
    """An event's number, or a time on the wall in seconds."""
    try:
        return since(f"0{text}" if text[1:2] == ":" else text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text} is neither a time ago (10m), a time (3:00, 2026-01-31T14:03), nor an event (+120)"
        ) from None


def _event_or_time(text: str) -> int | float:
    """As `_moment`, but a bare number is that of an event."""
    return int(text) if text.isdecimal() else _moment(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of events")
    return int(text)


# What is to be told.


def _needs_all(arguments: argparse.Namespace) -> bool:
    """Whether it takes more than the end of the journal."""
    return bool(arguments.names) or arguments.since is not None or arguments.around is not None


def _recent(reading: Iterator[Event], arguments: argparse.Namespace) -> list[Event]:
    is_wanted = _wanted(None, arguments.json)
    most = arguments.count or COUNT
    found = []
    for event in reading:
        found.append(event)
        most -= is_wanted(event)
        if not most:
            break
    return [*found, *islice(reading, BEHIND)][::-1]


def _chosen(found: Iterable[Event], names: Sequence[str], path: str) -> set[str] | None:
    """The jobs that are meant, None for all. ZapError: neither the journal nor the plan has one of that name."""
    if not names:
        return None
    known = dict.fromkeys(job for event in found for job in _jobs(event))
    try:
        return set(among(known, names))
    except ZapError:
        from zap import cache

        plan = cache.read(paths.cache_folder(os.environ), path)
        if plan is None:
            raise
        return set(among(dict.fromkeys([*known, *(job.name for job in plan.jobs)]), names))


def _wanted(jobs: Collection[str] | None, is_json: bool) -> IsWanted:
    """What is about one of these jobs, or about all; a person is not told of what happens all the time."""

    def is_wanted(event: Event) -> bool:
        about = _jobs(event)
        is_about = jobs is None or not about or not about.isdisjoint(jobs)
        return is_about and (is_json or not _is_quiet(event))

    return is_wanted


def _is_since(event: Event, arguments: argparse.Namespace) -> bool:
    """Clocks are set back now and then, but numbers only grow."""
    if isinstance(arguments.since, int):
        return bool(event["n"] >= arguments.since)
    return arguments.since is None or bool(event["at"] >= arguments.since)


def _around(found: Sequence[Event], number: int, most: int, is_wanted: IsWanted) -> tuple[list[Row], int]:
    """Events and how they are marked, in the order in which they happened; and how many that came from it are not
    among them."""
    by_number = {event["n"]: index for index, event in enumerate(found)}
    if number not in by_number:
        raise ZapError(f"event {number} is not in the journal, which has {found[0]['n']} to {found[-1]['n']}")
    here = by_number[number]
    marks = {here: IT}
    cause = _cause(found[here])
    while cause in by_number:
        marks[by_number[cause]] = CHAIN
        cause = _cause(found[by_number[cause]])
    followed = {number: here}
    for index in range(here + 1, len(found)):
        if _cause(found[index]) in followed:
            followed[found[index]["n"]] = index
    marks |= dict.fromkeys(islice(followed.values(), 1, most + 1), CHAIN)
    for side in (range(here - 1, -1, -1), range(here + 1, len(found))):
        near = takewhile(lambda index: abs(found[index]["at"] - found[here]["at"]) <= SHORTLY, side)
        others = (index for index in near if index not in marks and found[index]["n"] not in followed)
        marks |= dict.fromkeys(islice((index for index in others if is_wanted(found[index])), HANDFUL), OTHER)
    return [(found[index], marks[index]) for index in sorted(marks)], max(len(followed) - 1 - most, 0)


def _about(found: Sequence[Event], at: float, most: int, is_wanted: IsWanted) -> list[Row]:
    """What came last before a time, and first after it."""
    then = next((index for index, event in enumerate(found) if event["at"] >= at), len(found))
    before = [*islice(filter(is_wanted, reversed(found[:then])), most // 2)]
    return [(event, "") for event in [*reversed(before), *islice(filter(is_wanted, found[then:]), most // 2)]]


# How it is told.


def _tell(rows: Iterable[Row], found: Iterable[Event], arguments: argparse.Namespace) -> None:
    """`found` is where causes are looked for. A time that was asked about has a line of its own."""
    if arguments.json:
        for event, _ in rows:
            reach.tell(event)
        return
    rows = list(rows)
    known = {event["n"]: event for event in found}
    shown = {event["n"] for event, _ in rows}
    names = {_name(event) for event, _ in rows}
    width = max(map(len, names), default=0)
    colours = dict(zip(sorted(names), cycle(COLOURS), strict=False))
    ink = _ink if usage.has_colour(arguments.color) else _plain
    due = arguments.around if isinstance(arguments.around, float) else math.inf
    day = ""
    for event, mark in rows:
        today = time.strftime("%F, %A", time.localtime(event["at"]))
        if today != day:
            print(ink(f"— {today} —", 2))
            day = today
        if event["at"] >= due:
            print(ink(f"▶ {reach.clock(due)}", 1))
            due = math.inf
        name = _name(event)
        fact, text = _meaning(event)
        text = reach.shown(text or _quiet(fact) or _label(event))
        of_name, of_text = (2, 2) if mark == OTHER else (colours[name], _colour(fact))
        when = ink(f"{reach.clock(event['at'])} {event['n']:>6}", 2)
        source = ink(_source(event, known, shown), 2)
        print(f"{mark}{when} {ink(name.ljust(width), of_name)}  {ink(text, of_text)}{source}")
    if rows and due != math.inf:
        print(ink(f"▶ {reach.clock(due)}", 1))


def _name(event: Event) -> str:
    """The job that it is about; zap, where it is about several or all."""
    job = event.get("job")
    return reach.shown(job) if isinstance(job, str) and job else events.LOG


def _label(event: Event) -> str:
    label: str = event["event"]
    return label.replace("_", " ")


def _quiet(fact: Fact | None) -> str:
    """What is told where it belongs to a chain."""
    match fact:
        case events.Became():
            return f"{fact.state}: {fact.why}" if fact.why else str(fact.state)
        case events.Exited():
            return str(fact.status)
        case events.CommandStarted():
            return f"command {fact.command}: {headline(fact.text)}"
        case events.CommandEnded():
            return f"command {fact.command}: {fact.status}"
        case _:
            return ""


def _source(event: Event, known: Mapping[int, Event], shown: Collection[int]) -> str:
    """The event that it came from, of those that are shown to a person; and who asked for that."""
    number = _cause(event)
    while number in known and number not in shown and _is_quiet(known[number]) and _cause(known[number]):
        number = _cause(known[number])
    fact = _meaning(known[number])[0] if number in known else None
    asked = f" {fact.verb}, {fact.by}" if isinstance(fact, events.Requested) else ""
    return reach.shown(f"  ← {number}{asked}") if number else ""


def _colour(fact: Fact | None) -> int:
    match fact:
        case events.Requested():
            return 1
        case events.Became():
            return STATE_COLOURS.get(fact.state, 0)
        case events.Exited():
            return 31 if fact.status.is_out_of_memory else 0
        case _:
            return 31 if isinstance(fact, BAD) else 0


def _ink(text: str, colour: int) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text else text


def _plain(text: str, colour: int) -> str:
    return text


# Events as they are found: whoever wrote them may have been another zap.


def _meaning(event: Event) -> tuple[Fact | None, str | None]:
    """The fact and what is told of it, None where that is nothing for a log; of one that this zap does not know, its
    name."""
    try:
        fact = wire.event_from_plain(event).fact
        return fact, told(fact)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None, _label(event)


def _is_quiet(event: Event) -> bool:
    return _meaning(event)[1] is None


def _cause(event: Event) -> int:
    """0 where there is none."""
    cause = event.get("cause")
    return cause if type(cause) is int and 0 < cause < event["n"] else 0


def _jobs(event: Event) -> set[str]:
    """Whom it is about; nobody, when it is about all."""
    lists = [event[name] for name in LISTS if isinstance(event.get(name), list)]
    return {reach.shown(job) for job in [event.get("job"), *chain.from_iterable(lists)] if isinstance(job, str) and job}
