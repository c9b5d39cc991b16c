"""What the time until a job was ready was spent on: from its end back to whom it waited for last, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from zap.events import Lack, Row, State
from zap.plan import Job, Need, Until
from zap.remarks import headline
from zap.units import seconds

Outcome = Literal["started", "ready", "done", "ended", "line", "failed", "stopped", "so far"]

AT_ONCE = 0.1  # seconds in which a job starts when nobody is in its way any more
BAR = 20  # cells, for the whole time
SMALL = 0.01  # of the whole time: who reads a table is not told what took less


class Part(NamedTuple):
    """What a stretch of a leg was spent on; times are on the wall, as everywhere here."""

    what: str
    begin: float
    end: float


class Leg(NamedTuple):
    """A job's stretch of the way: its parts, without a gap. `how` says what came of it, and by what sign."""

    job: str
    begin: float
    end: float
    outcome: Outcome
    how: str
    parts: tuple[Part, ...]


class _Come(NamedTuple):
    """What a job had come to, and when: that is what another one had waited for, or waits for."""

    job: str
    outcome: Outcome
    at: float
    line: str | None = None


def path(rows: Mapping[str, Row], jobs: Mapping[str, Job], goal: Iterable[str], now: float) -> tuple[Leg, ...]:
    """The way to the one of these jobs that was up last, or that is not yet, the first leg first; each begins where the
    one before ends. None of it when nobody has started any.

    Of each job the last run is known: what came before is one part.
    """
    asked = [rows[job] for job in goal if rows[job].asked is not None]
    if not asked:
        return ()
    lacked = {lack.job for row in asked for lack in row.lacks}
    come: _Come | None = max((_stands(row, now) for row in asked), key=lambda last: (last.at, last.job not in lacked))
    legs: list[Leg] = []
    while come:
        row, job = rows[come.job], jobs[come.job]
        before = _waited_for(row, job, rows, come.at, now)
        begin = before.at if before else min(_asked(row), come.at)
        legs.append(Leg(come.job, begin, come.at, come.outcome, _how(row, job, come), _parts(row, job, begin, come)))
        come = before
    first = legs.pop()
    begin = min([first.begin, *(_asked(rows[leg.job]) for leg in legs)])
    if begin < first.begin:
        what = "before its last start" if rows[first.job].epoch > 1 else "before it was started"
        first = first._replace(begin=begin, parts=(Part(what, begin, first.begin), *first.parts))
    return (first, *reversed(legs))


def lines(legs: Sequence[Leg]) -> Iterator[str]:
    """A table for a person: the whole, each leg with its share, and below it what took time."""
    last = legs[-1]
    whole = last.end - legs[0].begin
    is_over = last.outcome != "so far"
    yield f"{seconds(whole)} {f'until {last.job} was {last.outcome}' if is_over else f'so far, for {last.job}'}"
    times = [seconds(leg.end - leg.begin) for leg in legs]
    width = max(map(len, times))
    for leg, time in zip(legs, times, strict=True):
        share = (leg.end - leg.begin) / whole if whole else 0.0
        start = f"  {time:>{width}}  {share:4.0%}  {'█' * round(share * BAR):<{BAR}}  "
        yield f"{start}{leg.job}: {leg.how}"
        for part in leg.parts:
            if part.end - part.begin >= SMALL * whole:
                yield f"{' ' * len(start)}{seconds(part.end - part.begin):>8}  {part.what}"


def _asked(row: Row) -> float:
    return row.since if row.asked is None else row.asked


def _spawned(row: Row) -> float | None:
    """When its shell ran, if it did since the job was set on its way."""
    return row.spawned if row.spawned is not None and row.spawned >= _asked(row) else None


def _stands(row: Row, now: float) -> _Come:
    """When the job was up, or else how it is now."""
    if row.up is not None:
        return _Come(row.job, "done" if row.state is State.DONE and row.up == row.since else "ready", row.up)
    return _is(row, now)


def _is(row: Row, now: float) -> _Come:
    match row.state:
        case State.DONE:
            return _Come(row.job, "done", row.since)
        case State.FAILED:
            return _Come(row.job, "failed", row.since)
        case State.STOPPED:
            return _Come(row.job, "stopped", row.since)
        case _:
            return _Come(row.job, "so far", now)


def _waited_for(row: Row, job: Job, rows: Mapping[str, Row], end: float, now: float) -> _Come | None:
    """What the job waited for last before its shell ran, or what it waits for. None when nobody made it wait.

    When a line was printed is not known: it was waited for when nothing else explains that the job started so late.
    """
    asked = _asked(row)
    if row.state is State.WAITING:
        come = _lacking(row.lacks, rows, now)
        return come if come and asked < come.at <= end else None
    went = min(_spawned(row) or end, end)
    found = [come for need in job.needs if (come := _met(need, rows[need.job])) and asked < come.at <= went]
    latest = max(found, key=lambda come: come.at, default=None)
    if went - (latest.at if latest else asked) > AT_ONCE:
        late = (need for need in job.needs if need.until == "line" and (_spawned(rows[need.job]) or went) < went)
        latest = next((_Come(need.job, "line", went, need.line) for need in late), latest)
    return latest


def _lacking(lacks: Sequence[Lack], rows: Mapping[str, Row], now: float) -> _Come | None:
    """Whom a job waits for in vain comes first."""
    lack = next((lack for lack in lacks if lack.is_hopeless), lacks[0] if lacks else None)
    return _is(rows[lack.job], now) if lack and rows[lack.job].asked is not None else None


def _met(need: Need, row: Row) -> _Come | None:
    """When the need was met, as far as the row tells."""
    match need.until:
        case "started":
            spawned = _spawned(row)
            return None if spawned is None else _Come(row.job, "started", spawned)
        case "ready":
            return None if row.up is None else _stands(row, row.up)
        case "done":
            return _Come(row.job, "done", row.since) if row.state is State.DONE else None
        case "ended":
            return _Come(row.job, "ended", row.since) if row.state in (State.DONE, State.FAILED) else None
        case "line":
            return None


def _how(row: Row, job: Job, come: _Come) -> str:
    match come.outcome:
        case "ready":
            said = f"ready{_sign(job)}"
        case "line":
            said = f'said "{come.line}"'
        case "so far" if row.state is State.WAITING:
            said = f"waits for {', '.join(map(_lack, row.lacks)) or 'its turn'}"
        case "so far":
            said = f"{row.state}{_trouble(row)}"
        case "failed" | "stopped":
            said = f"{come.outcome}{f': {row.why}' if row.why else ''}"
        case _:
            said = come.outcome
    return said if row.epoch < 2 else f"{said}; it was started {row.epoch} times"


def _sign(job: Job) -> str:
    """By what it is known to be ready, where that says something."""
    ready = job.ready
    match ready.by:
        case "settle":
            return f" (it had lived for {seconds(job.settle)})"
        case "line":
            return f' (it said "{ready.line}")'
        case "notify":
            return " (it told so)"
        case "probe":
            return f" (probe {ready.probe})"
        case "exit":
            return ""


def _trouble(row: Row) -> str:
    """What keeps a job that is on its way from being up, as far as anybody has said."""
    probed = next((probed for probed in row.probed if probed.question == "ready" and not probed.is_ok), None)
    said = row.why or (f"{probed.by}: {probed.said}" if probed else "")
    return f", {said}" if said else ""


def _lack(lack: Lack) -> str:
    words: dict[Until, str] = {"ready": "", "line": f' (line "{lack.line}")'}
    return f"{lack.job}{words.get(lack.until, f' ({lack.until})')}{', in vain' if lack.is_hopeless else ''}"


def _parts(row: Row, job: Job, begin: float, come: _Come) -> tuple[Part, ...]:
    """In order; what a board has forgotten of many commands is one part."""
    if row.state is State.WAITING:
        return ()
    spawned = _spawned(row)
    hook = "before_start, and " if job.hooks.before_start else ""
    stretches = [(f"{hook}until its shell ran", come.at if spawned is None else spawned)]
    known = 0
    for ran in row.ran if spawned is not None else ():
        if ran.epoch != row.epoch:
            continue
        if ran.command > known + 1:
            stretches.append((f"commands {known + 1} to {ran.command - 1}", ran.at))
        text = "".join(headline(command.text) for command in job.commands[ran.command - 1 : ran.command])
        ended = come.at if ran.seconds is None else ran.at + ran.seconds
        stretches.append((f"{ran.command}/{row.commands} `{text}`", ended))
        known = ran.command
    rests = {"so far": str(row.state), "line": "until it said so"}
    stretches.append((rests.get(come.outcome, f"until it was {come.outcome}"), come.at))
    parts = []
    for what, end in stretches:
        end = min(end, come.at)
        if end > begin:
            parts.append(Part(what, begin, end))
            begin = end
    return tuple(parts)
