"""`zap logs`: what jobs have said, and what they say next."""

from __future__ import annotations

import argparse
import heapq
import math
import sys
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from zap import dial, events, units
from zap.choice import among
from zap.errors import ZapError
from zap.events import LOG, Event, Line
from zap.scribe import Manner, Scribe
from zap.verbs import reach, usage

PAGE = 2000  # lines fetched at once
PROMPT_AFTER = 0.1  # seconds that a line without end is left alone: it is mostly about to be finished
ROUNDED = 1e-6  # seconds by which the time that JSON tells of a line may be later than the line
KEPT = ": only the newest are kept"
TOO_FAST = ": they came faster than they could be shown"

Keep = Callable[[Sequence[Line]], Sequence[Line]]


class Told(NamedTuple):
    """A line of a job, or that so many before the next one are gone."""

    at: float
    job: str
    line: Line | None
    dropped: int = 0


def register(subparsers: usage.Subparsers) -> None:
    codes = "0 when it is told, 1 when --grep has found nothing"
    parser = usage.add(subparsers, "logs", "what jobs have said", run, codes, follows=True)
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help="whose (default: all); zap is zap's own log")
    parser.add_argument("-n", "--lines", type=_count, metavar="LINES", help="of each job only so many, the newest")
    parser.add_argument(
        "--since",
        type=since,
        metavar="WHEN",
        help="a time ago (10m, 1h30m), a time (14:03, 2026-01-31T14:03, @ and seconds since 1970), or +N for line N on",
    )
    parser.add_argument("--grep", metavar="PATTERN", help="only lines that match (RE2; (?i) in front ignores case)")
    parser.add_argument("--stream", choices=("out", "err", "zap"), help="only these; zap is what zap says among them")
    parser.add_argument("--command", type=_count, metavar="N", help="only lines of each job's N-th command")
    parser.add_argument("--timestamps", action="store_true", help="with the time of each line")
    parser.add_argument("--no-prefix", action="store_true", help="without the job's name")
    usage.add_json(parser, "a line, as `zap run --json` tells it")
    usage.add_colour(parser)


def run(arguments: argparse.Namespace) -> int:
    """Shows what jobs have said as far as it is kept, in the order of time. With -f it goes on with what they say next,
    until the runner ends."""
    keep = _keep(arguments)
    with reach.runner(arguments) as watching, reach.runner(arguments) as line:
        news = watching.watch()
        newest = _newest(news)
        jobs = _chosen(newest, arguments.names)
        clock = reach.clock if arguments.timestamps else None
        manner = Manner(arguments.json, usage.has_colour(arguments.color), not arguments.no_prefix, clock)
        reader = _Reader(line, Scribe(jobs, manner), keep)
        backlogs = [_backlog(reader, job, newest[job], arguments) for job in jobs]
        has_told = False
        for told in heapq.merge(*backlogs, key=lambda told: told.at):
            has_told |= reader.tell(told, KEPT)
        if arguments.follow:
            _follow(watching, news, reader, jobs)
        else:
            for job in jobs:
                has_told |= reader.tell_prompts(job)
    return 1 if arguments.grep and not (has_told or arguments.follow) else 0


def since(text: str) -> int | float:
    """A line's number, or a time on the wall in seconds: the type of an argument."""
    if text.startswith("+") and text[1:].isdecimal():
        return int(text[1:])
    ago = units.duration(text)
    if ago is not None:
        return time.time() - ago
    from datetime import date, datetime, timedelta
    from datetime import time as clock

    try:
        if text.startswith("@"):
            return float(text[1:]) - ROUNDED
        if ":" not in text[:3]:
            return datetime.fromisoformat(text).timestamp()
        today = datetime.combine(date.today(), clock.fromisoformat(text))
        return (today if today.timestamp() <= time.time() else today - timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text} is neither a time ago (10m), a time (14:03, 2026-01-31T14:03), nor a line (+120)"
        ) from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of lines or of a command")
    return int(text)


def _keep(arguments: argparse.Namespace) -> Keep:
    """Which lines are wanted. ZapError: the pattern is none."""
    pattern = None
    if arguments.grep is not None:
        from zap import matcher

        problem = matcher.check(arguments.grep)
        if problem:
            raise ZapError(f"--grep {arguments.grep}: {problem}")
        pattern = matcher.Matcher([arguments.grep])

    def keep(lines: Sequence[Line]) -> Sequence[Line]:
        if arguments.stream or arguments.command is not None:
            lines = [
                line
                for line in lines
                if (arguments.stream or line.stream) == line.stream
                and (line.command if arguments.command is None else arguments.command) == line.command
            ]
        if pattern and lines:
            hits = pattern.scan(b"\n".join(line.text for line in lines) + b"\n")
            lines = [lines[hit.line] for hit in hits]
        return lines

    return keep


def _newest(news: Iterator[Event]) -> dict[str, int]:
    """By job, and for zap's own log, the number of the newest line."""
    newest: dict[str, int] = {}
    for event in news:
        match event.fact:
            case events.Restated(job=job, row=row):
                newest[job] = row.lines
            case events.Output(job=job, last=last):  # behind the rows
                newest[job] = last
                if job == LOG:
                    return newest
    raise dial.NoRunner("the runner has ended")


def _chosen(newest: dict[str, int], names: Sequence[str]) -> list[str]:
    jobs = [job for job in newest if job != LOG]
    others = [name for name in names if name != LOG]
    return (among(jobs, others) if others or not names else []) + [LOG] * (LOG in names)


class _Reader:
    """Fetches lines of jobs and tells those that are wanted. `seen` is by job the newest line that was fetched."""

    def __init__(self, line: dial.Line, scribe: Scribe, keep: Keep) -> None:
        self._line = line
        self._scribe = scribe
        self._keep = keep
        self.seen: dict[str, int] = {}

    def read(self, job: str, since: int, last: int) -> Iterator[Told]:
        """What there is of the lines above `since`, up to `last`."""
        self.seen[job] = since
        while since < last:
            tail = self._line.tail(job, since, min(PAGE, last - since))
            complete = [line for line in tail.lines if not line.is_open]
            if tail.dropped:
                yield Told(complete[0].at if complete else 0.0, job, None, tail.dropped)
            for line in self._keep(complete):
                yield Told(line.at, job, line)
            if tail.next == since:
                return
            since = self.seen[job] = tail.next

    def first_at(self, job: str, at: float, last: int) -> int:
        """The number of the first line that is not older; one more than `last` when there is none."""

        def age(number: int) -> float:
            lines = self._line.tail(job, number - 1, 1).lines
            return lines[0].at if lines else math.inf

        oldest = self._line.tail(job, 0, 1).lines
        first = min(oldest[0].number if oldest else last + 1, last + 1)
        return first + bisect_left(range(first, last + 1), at, key=age)

    def tell(self, told: Told, why: str) -> bool:
        """Whether it is a line."""
        if told.line:
            sys.stdout.write(self._scribe.line(told.job, told.line))
        else:
            sys.stdout.write(self._scribe.dropped(told.job, told.dropped, why))
        return told.line is not None

    def tell_prompts(self, job: str) -> bool:
        """The lines that stand unfinished, unless there are complete ones to be told before them."""
        told = [self._scribe.prompt(job, line) for line in self._keep(self._line.tail(job, self.seen[job], 0).lines)]
        sys.stdout.write("".join(told))
        return any(told)


def _backlog(reader: _Reader, job: str, last: int, arguments: argparse.Namespace) -> Iterable[Told]:
    begin = 0
    if isinstance(arguments.since, int):
        begin = max(arguments.since - 1, 0)
    elif arguments.since is not None:
        begin = reader.first_at(job, arguments.since, last) - 1
    if arguments.lines is None:
        return reader.read(job, begin, last)
    is_all = arguments.grep is None and arguments.stream is None and arguments.command is None
    if is_all or not arguments.lines:
        begin = max(begin, last - arguments.lines)
    return deque((told for told in reader.read(job, begin, last) if told.line), maxlen=arguments.lines)


def _follow(watching: dial.Line, news: Iterator[Event], reader: _Reader, jobs: Sequence[str]) -> None:
    """What comes, until the runner has ended."""
    prompting = dict.fromkeys(jobs, time.monotonic())  # when a job's unfinished lines are looked at
    while True:
        sys.stdout.flush()
        due = min(prompting.values(), default=None)
        if watching.hears(None if due is None else due - time.monotonic(), reader=sys.stdout.fileno()):
            event = next(news, None)
            match event.fact if event else None:
                case events.Output(job=job, last=last, is_open=is_open) if job in reader.seen:
                    _tell_news(reader, job, last)
                    if is_open:
                        prompting[job] = time.monotonic() + PROMPT_AFTER
                    else:
                        prompting.pop(job, None)
                case events.Restated(job=job, row=row) if job in reader.seen:  # some events were skipped
                    _tell_news(reader, job, row.lines)
                case events.Closed() | None:  # the last words have no pointer any more
                    for job in jobs:
                        _tell_news(reader, job, sys.maxsize)
                    return
        now = time.monotonic()
        for job in [job for job, due in prompting.items() if due <= now]:
            del prompting[job]
            reader.tell_prompts(job)


def _tell_news(reader: _Reader, job: str, last: int) -> None:
    for told in reader.read(job, reader.seen[job], last):
        reader.tell(told, TOO_FAST)
