"""When jobs are weighed, on a clock that only the test moves."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from zap import census
from zap.census import Process
from zap.events import Load
from zap.plan import MIB
from zap.scales import EVERY, SELDOM, SLICE, WORTH, Scales

SHELL = 4711


class Clock:
    """As much of a loop as the scales see."""

    def __init__(self) -> None:
        self.now = 100.0
        self._due: list[tuple[float, int, _Timer]] = []
        self._number = count()

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, do: Callable[[], None]) -> _Timer:
        timer = _Timer(self.now + seconds, do)
        heapq.heappush(self._due, (timer.when(), next(self._number), timer))
        return timer

    def next(self) -> float | None:
        """What is due next happens; how long that took to come. None: nothing is due."""
        while self._due:
            when, _, timer = heapq.heappop(self._due)
            if not timer.is_cancelled:
                waited, self.now = when - self.now, max(when, self.now)
                timer.do()
                return max(waited, 0.0)
        return None


class _Timer:
    def __init__(self, when: float, do: Callable[[], None]) -> None:
        self._when = when
        self.do = do
        self.is_cancelled = False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.is_cancelled = True


class Stand:
    """Scales, and a process table of so many processes below the job's shell, each of which takes time to read."""

    def __init__(self, patch: pytest.MonkeyPatch, processes: int = 1, seconds: float = 0.0) -> None:
        self.clock = Clock()
        self.memory = MIB
        self.told: list[Load] = []
        self.leaders = {"web/api": (SHELL, "tag")}
        self._processes = processes
        self._seconds = seconds
        patch.setattr(census, "processes", self._table)
        loop: Any = self.clock
        self.scales = Scales(loop, lambda: self.leaders, self.told.extend)

    def _table(self) -> Iterator[Process]:
        for pid in range(SHELL, SHELL + self._processes):
            self.clock.now += self._seconds
            parent = os.getpid() if pid == SHELL else SHELL
            yield Process(pid, parent, SHELL, SHELL, "S", 0.0, 0.0, 1.0, self.memory)

    def waits(self, times: int) -> list[float]:
        return [round(waited) for _ in range(times) if (waited := self.clock.next()) is not None]


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    return Stand(monkeypatch)


def test_nobody_looks_and_nothing_is_due(stand: Stand) -> None:
    stand.scales.stir()
    assert stand.clock.next() is None
    assert stand.told == []


def test_who_looks_is_told_at_once_and_then_seldom_while_nothing_changes(stand: Stand) -> None:
    stand.scales.look()
    assert stand.told == [Load("web/api", 0.0, MIB, 1)]
    assert stand.waits(8) == [1, 2, 4, 8, 16, 30, 30, 30]
    assert len(stand.told) == 1, "only what reads otherwise"
    stand.memory = 2 * MIB
    assert stand.waits(2) == [SELDOM, EVERY]
    assert stand.told[1].memory == 2 * MIB


def test_when_something_happens_figures_are_soon_looked_at(stand: Stand) -> None:
    stand.scales.look()
    stand.waits(7)
    stand.scales.stir()
    assert stand.waits(2) == [EVERY, 2]


def test_when_the_last_looks_away_it_ends(stand: Stand) -> None:
    stand.scales.look()
    stand.scales.look()
    stand.scales.look_away()
    assert stand.waits(2) == [1, 2]
    stand.scales.look_away()
    stand.waits(1)
    assert stand.clock.next() is None


def test_where_nothing_runs_nothing_is_due(stand: Stand) -> None:
    stand.leaders = {}
    stand.scales.look()
    assert stand.clock.next() is None


def test_after_the_end_nothing_is_due(stand: Stand) -> None:
    stand.scales.look()
    stand.scales.close()
    assert stand.clock.next() is None


def test_others_have_their_turn_while_many_are_read_and_it_costs_a_percent_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand = Stand(monkeypatch, processes=100, seconds=SLICE * 0.6)
    stand.scales.look()
    turns = 0
    while not stand.told:
        begun = stand.clock.now
        assert stand.clock.next() == 0
        assert stand.clock.now - begun <= 3 * SLICE
        turns += 1
    assert turns >= 30
    assert stand.told == [Load("web/api", 0.0, 100 * MIB, 100)]
    assert stand.clock.next() == pytest.approx(100 * SLICE * 0.6 * WORTH)
