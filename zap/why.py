"""Why a job is as it is, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zap.escape import plain
from zap.events import KEYS, Lack, Line, Probed, Question, Row, State
from zap.machine import rungs
from zap.plan import Job
from zap.remarks import headline
from zap.units import seconds, size

LAST_LINES = 50  # are looked through for a job's last words


def is_plain(row: Row) -> bool:
    """Whether nobody asks; other jobs are on their way, or in trouble."""
    match row.state:
        case State.READY:
            return not (row.is_paused or any(_trouble(row)))
        case State.STOPPED:
            return not row.why
        case state:
            return state is State.DONE


def sentence(row: Row, job: Job, now: float, rows: Mapping[str, Row], words: str = "") -> str:
    """`web/worker is failed for 2 min 3 s: exit 1 at command 3/5 …; last words: …; fixup port-in-use did not help`.

    `now` is the time on the wall, `rows` are all jobs', `words` is what `last_words` found. Commands and captures are
    in it as they were written: who shows it lets only text pass.
    """
    parts = [f"{row.job} waits for {_lacks(row, rows, now)}"]
    if row.state is not State.WAITING or not row.lacks:
        parts = [f"{row.job} is {_state(row, job, now)}"]
    if row.state in (State.RUNNING, State.READY):
        parts += [f"it says: {row.status}"] if row.status else []
        parts += _trouble(row)
    if row.state in (State.FAILED, State.BACKOFF, State.FIXING, State.STOPPING):
        parts += _memory(row, job)
    if words and row.state in (State.FAILED, State.BACKOFF, State.FIXING):
        parts.append(f"last words: {words}")
    asking = dict.fromkeys(proposed.fixup for proposed in row.asking)
    parts += [f"fixup {name} wants approval" for name in asking]
    if row.state not in (State.READY, State.DONE):
        parts += [f"fixup {name} did not help" for name in dict.fromkeys(row.gave_up) if name not in asking]
    return "; ".join(parts)


def ladder(row: Row, job: Job, now: float) -> str:
    """By what a job that is stopping was asked to end, and what comes next."""
    if row.leavers:
        return f"first those end that need it: {', '.join(row.leavers)}"
    if row.hook == "after_stop":
        return "its clean-up runs"
    if row.sent == "KILL":
        return "KILL was sent, and something of it lives on"
    if not row.sent and not job.stop.command and not job.hooks.before_stop:
        return "it has a moment to end by itself"
    asked = "its hook before_stop runs" if row.hook == "before_stop" else "its stop command was run"
    if row.sent:
        asked = "its keys were typed" if row.sent == KEYS else f"{row.sent} was sent"
    steps = [KEYS if rung == "" else rung for rung in rungs(job)]
    each = job.grace / len(steps)
    turn = min(int(max(now - row.since, 0.0) / each), len(steps) - 1) if each else len(steps) - 1
    following = [*steps, "KILL"][turn + 1]
    return f"{asked}, {following} follows in {seconds(max(row.since + each * (turn + 1) - now, 0.0))}"


def last_words(lines: Sequence[Line]) -> str:
    """The last thing that the job said itself."""
    said = (plain(line.text).strip() for line in reversed(lines) if line.stream != "zap")
    return next(filter(None, said), "")


def _state(row: Row, job: Job, now: float) -> str:
    passed = max(now - row.since, 0.0)
    so_far = f"{row.state} for {seconds(passed)}"
    if row.is_paused:
        by = f": {row.why}" if row.why else ""
        return f"paused for {seconds(passed)}{_command(row)}{by}; `zap resume {row.job}` lets it go on"
    match row.state:
        case State.STOPPED if row.begun is None:
            return "stopped: nobody has started it" + ("" if job.start else ", and it starts only by name")
        case State.STOPPED:
            return f"{so_far}: {row.why or 'somebody stopped it'}"
        case State.RUNNING:
            return f"{so_far}{_command(row)}: {_becoming_ready(row, job, now)}"
        case State.READY:
            return f"{so_far}{_command(row)}"
        case State.STOPPING:
            return f"{so_far}{f' ({row.why})' if row.why else ''}: {ladder(row, job, now)}"
        case State.BACKOFF:
            left = max((row.seconds or 0.0) - passed, 0.0)
            return f"waiting {seconds(left)} for its next start: {row.why}; {_runs(row)}"
        case State.FAILED:
            return f"{so_far}: {row.why}" + (f"; {_runs(row)}" if row.restarts else "")
        case State.DONE:
            return f"{so_far}: every command ended well"
        case State.STARTING if row.hook:
            return f"{so_far}: its hook before_start runs"
        case _:
            return f"{so_far}{f': {row.why} runs' if row.why else ''}"


def _becoming_ready(row: Row, job: Job, now: float) -> str:
    """What makes it ready, and how far that is."""
    passed = max(now - row.since, 0.0)
    within = job.ready.within
    ends = "" if within is None else f", and is ended if that is not so in {seconds(max(within - passed, 0.0))}"
    match job.ready.by:
        case "settle":
            return f"it counts as ready when it has lived {seconds(max(job.settle - passed, 0.0))} longer{ends}"
        case "exit":
            return f"it counts as ready when it has ended well{ends}"
        case "notify":
            return f"it counts as ready when it tells so{ends}"
        case "line":
            return f"it counts as ready when it says `{job.ready.line}`{ends}"
        case "probe":
            answer = _answer(row, "ready")
            so_far = "it was not asked yet" if answer is None else _probe(answer, now)
            return f"not ready, {so_far}{ends}"


def _answer(row: Row, question: Question) -> Probed | None:
    return next((probed for probed in row.probed if probed.question == question), None)


def _probe(answer: Probed, now: float) -> str:
    """`probe tcp localhost:5432: connection refused, 7 times, next in 3 s`."""
    times = "" if answer.times == 1 else f", {answer.times} times"
    following = ""
    if answer.seconds is not None:
        following = f", next in {seconds(max(answer.when + answer.seconds - now, 0.0))}"
    return f"probe `{answer.by}`: {answer.said}{times}{following}"


def _trouble(row: Row) -> list[str]:
    """What is not well with a job that is ready."""
    return [
        f"{answer.question} {answer.times}/{answer.most} failed: {answer.by}: {answer.said}"
        for answer in row.probed
        if answer.question != "ready" and not answer.is_ok
    ]


def _memory(row: Row, job: Job) -> list[str]:
    """What to do where the memory was used up."""
    if row.exit is None or not row.exit.is_out_of_memory:
        return []
    if job.limits.memory is None:
        return ["it has no limit of its own, so that the machine's was reached, or that of the group that zap is in"]
    limit = f"its processes may have {size(job.limits.memory)} together"
    return [f"{limit}: give them more by `limits: {{memory: …}}`, or let them need less"]


def _lacks(row: Row, rows: Mapping[str, Row], now: float) -> str:
    return "; and ".join(_lack(lack, rows.get(lack.job), now) for lack in row.lacks)


def _lack(lack: Lack, needed: Row | None, now: float) -> str:
    """`web/db: not ready, probe …`."""
    until = f"not said `{lack.line}`" if lack.until == "line" else f"not {lack.until}"
    if needed is None:
        return f"{lack.job}: {until}"
    if needed.is_paused and lack.until != "started":
        return f"{lack.job}: {until}, it is paused{f', {needed.why}' if needed.why else ''}"
    match needed.state:
        case State.STOPPED | State.FAILED | State.DONE:
            return f"{lack.job}: it is {needed.state}{f', {needed.why}' if needed.why else ''}, and {until}"
        case State.WAITING:
            return f"{lack.job}: it waits for {', '.join(other.job for other in needed.lacks)} itself"
        case State.BACKOFF:
            return f"{lack.job}: {until}, it starts again after {needed.why}"
        case State.RUNNING if (answer := _answer(needed, "ready")) and lack.until != "started":
            return f"{lack.job}: {until}, {_probe(answer, now)}"
        case State.RUNNING | State.READY:
            return f"{lack.job}: {until}, {needed.state} for {seconds(max(now - needed.since, 0.0))}{_command(needed)}"
        case state:
            return f"{lack.job}: {until}, it is {state}"


def _command(row: Row) -> str:
    return f" at command {row.command}/{row.commands} `{headline(row.text)}`" if row.command else ""


def _runs(row: Row) -> str:
    return "it was started once" if row.epoch == 1 else f"it was started {row.epoch} times"
