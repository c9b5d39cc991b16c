"""How much a job says, and whether that is too much for anybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zap import events
from zap.events import Fact
from zap.gauge import Crossing, Gauge
from zap.plan import MIB, Job

WINDOW = 3.0  # seconds; a burst is no overload
LINES, BYTES = "output lines", "output bytes"
MOST_LINES = 20_000.0  # a second: far beyond what anybody reads
MOST_BYTES = 20.0 * MIB  # a second: half of what a terminal can carry


class Meter:
    """Output lines and bytes per second of one job → Overloaded, and when it is over, Relieved."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lines = Gauge(MOST_LINES, WINDOW)
        self._bytes = Gauge(MOST_BYTES, WINDOW)
        self._gauges = ((LINES, self._lines), (BYTES, self._bytes))

    def feed(self, lines: int, size: int, now: float) -> list[Fact]:
        return [
            *self._facts(LINES, self._lines.feed(lines, now)),
            *self._facts(BYTES, self._bytes.feed(size, now)),
        ]

    def check(self, now: float) -> list[Fact]:
        """What silence changes."""
        return [
            *self._facts(LINES, self._lines.check(now)),
            *self._facts(BYTES, self._bytes.check(now)),
        ]

    @property
    def overloads(self) -> tuple[str, ...]:
        """What is too much now, and was told."""
        return tuple(what for what, gauge in self._gauges if gauge.is_over)

    def resume(self, overloads: Sequence[str], now: float) -> None:
        """Go on from what another meter has told."""
        for what, gauge in self._gauges:
            if what in overloads:
                gauge.resume(now)

    @property
    def due(self) -> float | None:
        """When `check` should be called next; None while there is nothing that silence could change."""
        return min((due for due in (self._lines.due, self._bytes.due) if due is not None), default=None)

    def _facts(self, what: str, crossing: Crossing | None) -> Iterator[Fact]:
        if crossing is None:
            return
        told = (self._job.name, what, crossing.value, crossing.limit, crossing.window)
        if crossing.is_over:
            advice = "; `tty: false` would give it a pipe, which is faster than a terminal" if self._job.tty else ""
            yield events.Overloaded(*told, advice)
        else:
            yield events.Relieved(*told)
