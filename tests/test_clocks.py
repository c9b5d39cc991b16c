from __future__ import annotations

import pytest

from zap.clocks import LEAST, Clocks
from zap.events import Jumped, Slept


class Time:
    """Three clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.steady, self.boot = 1_700_000_000.0, 50.0, 90.0
        self.clocks = Clocks(lambda: self.wall, lambda: self.steady, lambda: self.boot)

    def passes(self, wall: float, steady: float, boot: float) -> list[Jumped | Slept]:
        self.wall, self.steady, self.boot = self.wall + wall, self.steady + steady, self.boot + boot
        return self.clocks.look()


def test_time_that_passes_is_nothing() -> None:
    time = Time()
    assert [time.passes(seconds, seconds, seconds) for seconds in (0.0, 1.0, 3600.0)] == [[], [], []]


@pytest.mark.parametrize("drift", [LEAST, -LEAST])
def test_a_clock_that_is_kept_right_has_not_jumped(drift: float) -> None:
    time = Time()
    assert time.passes(10 + drift, 10, 10) == []
    assert time.passes(10 + drift, 10, 10) == []  # nor when it adds up


def test_two_clocks_are_not_read_at_the_same_moment() -> None:
    assert Time().passes(10 + LEAST, 10, 10 + LEAST) == []


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 2.5])
def test_somebody_sets_the_clock(seconds: float) -> None:
    time = Time()
    (told,) = time.passes(1 + seconds, 1, 1)
    assert isinstance(told, Jumped)
    assert told.seconds == pytest.approx(seconds)
    assert time.passes(1, 1, 1) == []  # once


def test_the_machine_sleeps_and_its_clock_goes_on() -> None:
    time = Time()
    assert time.passes(601, 1, 601) == [Slept(600.0)]
    assert time.passes(1, 1, 1) == []


def test_the_clock_is_set_while_the_machine_sleeps() -> None:
    assert Time().passes(4201, 1, 601) == [Slept(600.0), Jumped(3600.0)]


def test_the_machines_own_clocks_agree() -> None:
    clocks = Clocks()
    assert clocks.look() == []
