"""`zap up` and `zap down` as they wait: until all is ready, until nothing is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from zap import dial
from zap.board import Board
from zap.errors import ZapError
from zap.events import Closed, Row, State
from zap.plan import Job
from zap.remarks import doing
from zap.verbs import change, waiting
from zap.why import ladder


def wait_up(line: dial.Line, jobs: Sequence[str]) -> int:
    """Until each is ready, has done its work, or is at rest for another reason, which is told; the exit code."""
    rows = change.watch(line, jobs, _is_settled)
    down = [row for row in rows if not change.is_up(row)]
    for row in down:
        print(change.why(row, False), file=sys.stderr)
    return 1 if down else 0


def _is_settled(row: Row) -> bool | None:
    return True if row.is_at_rest or row.is_stuck or row.state is State.READY else None


def end(line: dial.Line, is_hurried: bool) -> None:
    """Closes the runner; returns when it has ended all that it started.

    ZapError: something could not be ended.
    """
    jobs = {job.name: job for job in line.plan().jobs}
    board = Board(())

    def awaited() -> list[str]:
        rows = [row for row in board.rows.values() if not row.is_at_rest]
        return [_ending(row, jobs.get(row.job), time.time()) for row in rows] or ["ending what is left"]

    news = waiting.follow(line, board, awaited)
    next(news)  # the watch has begun, and will not miss the end
    line.post("close", is_hurried=is_hurried)
    for fact in news:
        if isinstance(fact, Closed) and fact.left:
            raise ZapError(f"{fact.left} processes could not be ended")


def _ending(row: Row, job: Job | None, now: float) -> str:
    """Who holds up the end, what he was sent, and for how long he may, if he is still in the plan."""
    return f"{row.job}: {ladder(row, job, now)}" if job and row.state is State.STOPPING else doing(row, now)
