"""How much a job says: too much is told once, with what may help, and so is its end."""

from __future__ import annotations

import pytest

from zap import events
from zap.events import Fact
from zap.meter import MOST_BYTES, MOST_LINES, WINDOW, Meter
from zap.plan import Job

TTY = Job("web/api", "api", (), "/")
PIPE = TTY._replace(tty=False)


def fed(meter: Meter, lines: float, size: float, for_seconds: int, now: float = 0.0) -> list[Fact]:
    """What it says to so much a second, a tenth at a time."""
    return [
        fact
        for tenth in range(for_seconds * 10)
        for fact in meter.feed(round(lines / 10), round(size / 10), now + tenth / 10)
    ]


@pytest.mark.parametrize(
    ("lines", "size", "what"),
    [(MOST_LINES * 1.5, 0, "output lines"), (0, MOST_BYTES * 1.5, "output bytes")],
)
def test_too_much_is_told_once_and_so_is_its_end(lines: float, size: float, what: str) -> None:
    meter = Meter(PIPE)
    (over,) = fed(meter, lines, size, for_seconds=10)
    assert isinstance(over, events.Overloaded)
    assert (over.job, over.what, over.window) == ("web/api", what, WINDOW)
    assert over.value > over.limit == max(limit for limit in (MOST_LINES, MOST_BYTES) if limit <= max(lines, size))
    due = meter.due
    assert due is not None and 10.0 < due <= 10.0 + 2 * WINDOW
    assert meter.check(due - 0.01) == []
    (relieved,) = meter.check(due)
    assert isinstance(relieved, events.Relieved)
    assert relieved.what == what and relieved.value < relieved.limit
    assert meter.due is None


def test_both_are_told_when_both_are_too_much() -> None:
    meter = Meter(PIPE)
    over = fed(meter, MOST_LINES * 2, MOST_BYTES * 2, for_seconds=5)
    assert [fact.what for fact in over if isinstance(fact, events.Overloaded)] == ["output lines", "output bytes"]
    while meter.due is not None:
        over += meter.check(meter.due)
    assert [type(fact) for fact in over] == [events.Overloaded] * 2 + [events.Relieved] * 2


def test_a_burst_is_no_overload() -> None:
    meter = Meter(PIPE)
    assert meter.feed(round(MOST_LINES * WINDOW * 0.9), 0, 0.0) == []
    assert meter.due is None
    assert fed(meter, MOST_LINES * 0.5, MOST_BYTES * 0.5, for_seconds=9, now=WINDOW) == []


@pytest.mark.parametrize(("job", "is_advised"), [(TTY, True), (PIPE, False)])
def test_a_pipe_is_advised_to_who_has_none(job: Job, is_advised: bool) -> None:
    (over,) = fed(Meter(job), MOST_LINES * 2, 0, for_seconds=5)
    assert isinstance(over, events.Overloaded)
    assert ("tty: false" in over.advice) is is_advised
