"""Why a job is as it is, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from zap.escape import plain
from zap.events import Line, Row, State
from zap.plan import Job
from zap.remarks import headline
from zap.units import seconds

LAST_LINES = 50  # are looked through for a job's last words
PLAIN = (State.READY, State.DONE, State.STOPPED)
"""What nobody asks about; a job in any other state is on its way, or in trouble."""


def sentence(row: Row, job: Job, now: float, words: str = "") -> str:
    """`web/worker is failed for 2 min 3 s: exit 1 at command 3/5 …; last words: …; fixup port-in-use did not help`.

    `now` is the time on the wall, `words` is what `last_words` found. Commands and captures are in it as they were
    written: who shows it lets only text pass.
    """
    parts = [f"{row.job} is {_state(row, job, now)}"]
    if words and row.state in (State.FAILED, State.BACKOFF, State.FIXING):
        parts.append(f"last words: {words}")
    asking = dict.fromkeys(proposed.fixup for proposed in row.asking)
    parts += [f"fixup {name} wants approval" for name in asking]
    if row.state not in (State.READY, State.DONE):
        parts += [f"fixup {name} did not help" for name in dict.fromkeys(row.gave_up) if name not in asking]
    return "; ".join(parts)


def ladder(row: Row, job: Job, now: float) -> str:
    """By what a job that is stopping was asked to end, and what comes next."""
    if row.sent == "KILL":
        return "KILL was sent, and something of it lives on"
    if not row.sent and not job.stop.command:
        return "it has a moment to end by itself"
    asked = f"{row.sent} was sent" if row.sent else "its stop command was run"
    return f"{asked}, KILL follows in {seconds(max(row.since + job.grace - now, 0.0))}"


def last_words(lines: Sequence[Line]) -> str:
    """The last thing that the job said itself."""
    said = (plain(line.text).strip() for line in reversed(lines) if line.stream != "zap")
    return next(filter(None, said), "")


def _state(row: Row, job: Job, now: float) -> str:
    passed = max(now - row.since, 0.0)
    so_far = f"{row.state} for {seconds(passed)}"
    match row.state:
        case State.STOPPED if row.begun is None:
            return "stopped: nobody has started it" + ("" if job.start else ", and it starts only by name")
        case State.STOPPED:
            return f"{so_far}: somebody stopped it"
        case State.RUNNING:
            left = max(job.settle - passed, 0.0)
            return f"{so_far}{_command(row)}: it counts as ready when it has lived {seconds(left)} longer"
        case State.READY:
            return f"{so_far}{_command(row)}"
        case State.STOPPING:
            return f"{so_far}{f', because of {row.why}' if row.why else ''}: {ladder(row, job, now)}"
        case State.BACKOFF:
            left = max((row.seconds or 0.0) - passed, 0.0)
            return f"waiting {seconds(left)} for its next start: {row.why}; {_runs(row)}"
        case State.FAILED:
            return f"{so_far}: {row.why}" + (f"; {_runs(row)}" if row.restarts else "")
        case State.DONE:
            return f"{so_far}: every command ended well"
        case _:
            return f"{so_far}{f': {row.why} runs' if row.why else ''}"


def _command(row: Row) -> str:
    return f" at command {row.command}/{row.commands} `{headline(row.text)}`" if row.command else ""


def _runs(row: Row) -> str:
    return "it was started once" if row.epoch == 1 else f"it was started {row.epoch} times"
