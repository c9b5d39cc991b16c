"""Whether a rate is too high: said once when it is, and once when it has been well below for a while."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

SLOTS = 16  # parts of a window in which amounts are added up; what a gauge remembers does not grow with its feed


class Crossing(NamedTuple):
    """The rate is too high from now on, or is no longer; `value` and `limit` are per second, `window` is in seconds."""

    is_over: bool
    value: float
    limit: float
    window: float


class Gauge:
    """Over when more than `limit` per second came in the last `window` seconds, on average.

    Relieved when that has been no more than the share `relief` (0–1) of the limit for another window.
    """

    __slots__ = ("_calm_since", "_is_over", "_limit", "_relief", "_slots", "_total", "_window")

    def __init__(self, limit: float, window: float, relief: float = 0.7) -> None:
        self._limit = limit
        self._window = window
        self._relief = limit * relief
        self._slots: deque[tuple[float, float]] = deque()  # since when, and how much
        self._total = 0.0
        self._is_over = False
        self._calm_since: float | None = None

    @property
    def due(self) -> float | None:
        """When `check` will have something to say if nothing is fed until then; None while there is nothing to say."""
        if not self._is_over:
            return None
        if self._calm_since is not None:
            return self._calm_since + self._window
        total = self._total
        for since, amount in self._slots:
            total -= amount
            calm = since + self._window
            if self._is_calm(total):
                break
        return calm + self._window

    @property
    def is_over(self) -> bool:
        return self._is_over

    def resume(self, now: float) -> None:
        """It was over when it was last heard of: as if the limit had been reached just now."""
        self._is_over, self._calm_since = True, None
        self._total = self._limit * self._window
        self._slots = deque([(now, self._total)])

    def feed(self, amount: float, now: float) -> Crossing | None:
        """So much came since the last call. `now` is in seconds and never goes back."""
        self._forget(now)
        if amount:
            if self._slots and now - self._slots[-1][0] < self._window / SLOTS:
                since, before = self._slots.pop()
                self._slots.append((since, before + amount))
            else:
                self._slots.append((now, amount))
            self._total += amount
        if not self._is_calm(self._total):
            self._calm_since = None
        return self._judge(now)

    def check(self, now: float) -> Crossing | None:
        """What silence has changed."""
        self._forget(now)
        return self._judge(now)

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] + self._window <= now:
            since, amount = self._slots.popleft()
            self._total = self._total - amount if self._slots else 0.0
            if self._calm_since is None and self._is_calm(self._total):
                self._calm_since = since + self._window

    def _is_calm(self, total: float) -> bool:
        return total / self._window <= self._relief

    def _judge(self, now: float) -> Crossing | None:
        value = self._total / self._window
        if self._is_over:
            is_over = self._calm_since is None or now < self._calm_since + self._window
        else:
            is_over = value > self._limit
        if is_over == self._is_over:
            return None
        self._is_over = is_over
        return Crossing(is_over, value, self._limit, self._window)
