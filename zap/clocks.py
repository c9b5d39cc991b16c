"""Whether somebody has set the clock on the wall, or the machine was asleep: what timers do not see."""

from __future__ import annotations

import time
from collections.abc import Callable

from zap.events import Jumped, Slept

LEAST = 2.0  # seconds; less is how clocks are kept right, and how long it takes to look at two of them

Clock = Callable[[], float]


def _since_boot() -> float:
    """Also goes on while the machine is asleep, which the monotonic clock does not (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Clocks:
    """Each look tells what has happened since the one before."""

    def __init__(self, wall: Clock = time.time, steady: Clock = time.monotonic, boot: Clock = _since_boot) -> None:
        self._clocks = (wall, steady, boot)
        self._before = self._read()

    def look(self) -> list[Jumped | Slept]:
        before, self._before = self._before, self._read()
        wall, steady, boot = (now - then for now, then in zip(self._before, before, strict=True))
        told: list[Jumped | Slept] = []
        if boot - steady > LEAST:
            told.append(Slept(boot - steady))
        if abs(wall - boot) > LEAST:  # a clock on the wall goes on in sleep as well
            told.append(Jumped(wall - boot))
        return told

    def _read(self) -> tuple[float, float, float]:
        wall, steady, boot = self._clocks
        return wall(), steady(), boot()
