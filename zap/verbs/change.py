"""`zap start`, `zap stop`, `zap restart`, `zap wait`: what is wanted of jobs, and waiting until it is so."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from zap import dial, requests
from zap.board import Board
from zap.choice import among, choose
from zap.errors import ZapError
from zap.events import Closed, Row, State
from zap.remarks import doing
from zap.verbs import reach, usage, waiting
from zap.wire import to_plain

TIMED_OUT = 124  # as timeout(1)
CODES = "0 when it is so, 1 when it cannot become so any more, 124 when the time is over"

Judge = Callable[[Row], bool | None]
"""Whether it is so; None: it may become so."""


def is_up(row: Row) -> bool | None:
    return True if row.state in (State.READY, State.DONE) else False if _is_idle(row) else None


def is_done(row: Row) -> bool | None:
    return row.state is State.DONE if _is_idle(row) else None


def is_over(row: Row) -> bool | None:
    return True if _is_idle(row) else None


def _is_idle(row: Row) -> bool:
    """Whether nothing goes on with it, and nothing will by itself."""
    return row.state.is_rest or row.is_stuck


JUDGES: dict[str, Judge] = {"ready": is_up, "done": is_done, "exit": is_over}


def register(subparsers: usage.Subparsers) -> None:
    starting = _add(subparsers, "start", "start jobs, and wait until they are ready or done", run_start)
    stopping = _add(subparsers, "stop", "stop jobs, and wait until they have ended", run_stop)
    stopping.add_argument("--now", action="store_true", help="do not wait for their grace: KILL")
    restarting = _add(subparsers, "restart", "stop jobs, start them again, and wait until they are ready", run_restart)
    for parser, what in ((starting, "starts by default"), (stopping, "is there"), (restarting, "runs")):
        parser.add_argument("--all", action="store_true", help=f"every job that {what}")
        parser.add_argument("--no-wait", action="store_true", help="return when it has been taken on")
    waiting = _add(subparsers, "wait", "wait until jobs are ready, done or have ended", run_wait)
    waiting.add_argument(
        "--for",
        dest="what",
        choices=tuple(JUDGES),
        default="ready",
        help="ready: up, or done (default); done: ended well; exit: ended, well or not",
    )


def _add(subparsers: usage.Subparsers, name: str, about: str, do: usage.Do) -> argparse.ArgumentParser:
    parser = usage.add(subparsers, name, about, do, CODES)
    parser.add_argument("names", nargs="+" if name == "wait" else "*", metavar=usage.NAMES, help="which")
    parser.add_argument("--timeout", type=usage.duration, metavar="TIME", help="wait no longer: 30, 30s, 2m")
    usage.add_json(parser, "a job as `zap ps` tells it")
    return parser


def run_start(arguments: argparse.Namespace) -> int:
    """Starts jobs and waits until each is ready, or has done its work. A system, and --all, are the jobs that start by
    default. What runs already goes on. Ctrl+C stops the waiting, not the jobs."""
    with reach.runner(arguments) as line:
        jobs = [job.name for job in choose(line.plan(), _names(arguments))]
        return _ask(line, requests.Start(tuple(jobs)), is_up, arguments)


def run_stop(arguments: argparse.Namespace) -> int:
    """Stops jobs and waits until all that belonged to them has ended: their stop command or signal, their grace, then
    KILL. Ctrl+C stops the waiting, not the stopping."""
    jobs = among(reach.rows(arguments), _names(arguments))
    with reach.runner(arguments) as line:
        return _ask(line, requests.Stop(tuple(jobs), arguments.now), is_over, arguments)


def run_restart(arguments: argparse.Namespace) -> int:
    """Stops jobs, starts them again, and waits until each is ready, or has done its work. A system is the jobs that
    start by default and those that run, --all is every job that runs. What does not run is only started."""
    names = _names(arguments)
    jobs = [job for job, row in reach.rows(arguments).items() if not State(row["state"]).is_rest]
    with reach.runner(arguments) as line:
        if names:
            jobs = [job.name for job in choose(line.plan(), names, living=jobs)]
        return _ask(line, requests.Restart(tuple(jobs)), is_up, arguments)


def run_wait(arguments: argparse.Namespace) -> int:
    """Waits until each of the jobs is ready, done or has ended. A job that has failed or was stopped does not become
    ready by itself: then it is over at once, and said why."""
    jobs = among(reach.rows(arguments), arguments.names)
    with reach.runner(arguments) as line:
        return _await(line, jobs, JUDGES[arguments.what], arguments)


def _names(arguments: argparse.Namespace) -> list[str]:
    """None of them with --all."""
    names: list[str] = arguments.names
    if bool(names) == arguments.all:
        raise ZapError(
            "name systems or jobs, or say --all" if not names else "name systems or jobs, or say --all: not both"
        )
    return names


def _ask(line: dial.Line, request: requests.JobRequest, judge: Judge, arguments: argparse.Namespace) -> int:
    line.call(request)
    return 0 if arguments.no_wait else _await(line, request.jobs, judge, arguments)


def _await(line: dial.Line, jobs: Sequence[str], judge: Judge, arguments: argparse.Namespace) -> int:
    """Until it is so of every job, cannot become so of one, or the time is over; tells how they are then."""
    rows = watch(line, jobs, judge, arguments.timeout)
    verdicts = [judge(row) for row in rows]
    for row, verdict in zip(rows, verdicts, strict=True):
        if arguments.json:
            reach.tell(to_plain(row))
        elif verdict:
            print(f"✓ {row.job} {row.state}")
        if not verdict:
            print(why(row, verdict), file=sys.stderr)
    return 0 if all(verdicts) else 1 if False in verdicts else TIMED_OUT


def watch(line: dial.Line, jobs: Sequence[str], judge: Judge, timeout: float | None = None) -> list[Row]:
    """How the jobs are, once it is so of every one, cannot become so of one, or the time is over."""
    board = Board(())

    def rows() -> list[Row]:
        return [board.rows[job] for job in jobs]

    def awaited() -> list[str]:
        return [doing(row, time.time()) for row in rows() if not judge(row)]

    verdicts: dict[str, bool | None] = {}
    for fact in waiting.follow(line, board, awaited, timeout):
        if isinstance(fact, Closed):
            raise dial.NoRunner("the runner has ended")
        told = getattr(fact, "job", "")
        changed = jobs if not verdicts else [told] if told in verdicts else []
        verdicts |= {job: judge(board.rows[job]) for job in changed}
        if all(verdicts.values()) or False in verdicts.values():
            break
    return rows()


def why(row: Row, verdict: bool | None) -> str:
    asked = "".join(f"; `zap fix {row.job} {proposed.fixup}` may help" for proposed in row.asking)
    lacks = ", ".join(lack.job for lack in row.lacks)
    why = f": {row.why}" if row.why else f" for {lacks}" if lacks else ""
    return reach.shown(f"{'…' if verdict is None else '✗'} {row.job} is {row.state}{why}{asked}")
