from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zap.gauge import Crossing, Gauge

FEEDS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 400)), max_size=60)
"""Seconds since the last one, and how much."""


def fed(gauge: Gauge, feeds: list[tuple[float, int]]) -> tuple[list[Crossing], float]:
    """What it said, and the time when the last was fed; checks are made when they are due."""
    said, now = [], 0.0
    for pause, amount in feeds:
        while (due := gauge.due) is not None and due <= now + pause:
            said.append(gauge.check(due))
        now += pause
        said.append(gauge.feed(amount, now))
    return [crossing for crossing in said if crossing], now


@given(feeds=FEEDS)
def test_over_and_relieved_take_turns(feeds: list[tuple[float, int]]) -> None:
    said, _ = fed(Gauge(100, 2), feeds)
    assert all(before.is_over != after.is_over for before, after in pairwise(said))
    assert all(crossing.is_over for crossing in said[:1])
    assert all(crossing.value > 100 if crossing.is_over else crossing.value <= 70 for crossing in said)


@given(feeds=FEEDS)
def test_silence_is_relief_and_then_there_is_no_timer(feeds: list[tuple[float, int]]) -> None:
    gauge = Gauge(100, 2)
    said, now = fed(gauge, feeds)
    assert (gauge.due is not None) == (bool(said) and said[-1].is_over)
    if gauge.due is not None:
        due = gauge.due
        assert now <= due <= now + 4.000001
        assert gauge.check(max(now, due - 0.001)) is None
        relieved = gauge.check(due)
        assert relieved and not relieved.is_over
        assert gauge.due is None


@given(feeds=st.lists(st.tuples(st.floats(0.5, 3), st.integers(0, 50)), max_size=60))
def test_below_the_limit_nothing_is_said(feeds: list[tuple[float, int]]) -> None:
    assert fed(Gauge(100, 2), feeds)[0] == []


@given(pauses=st.lists(st.floats(0.01, 0.2), min_size=50, max_size=99))
def test_a_steady_rate_is_over_when_it_is_above_the_limit(pauses: list[float]) -> None:
    pauses += [0.1] * 30
    assert fed(Gauge(1000, 2), [(pause, round(800 * pause)) for pause in pauses])[0] == []
    said, _ = fed(Gauge(1000, 2), [(pause, round(1300 * pause)) for pause in pauses])
    assert [crossing.is_over for crossing in said] == [True]


def test_a_story() -> None:
    gauge = Gauge(limit=100, window=2)
    assert gauge.feed(150, 10.0) is None
    assert gauge.feed(60, 11.0) == Crossing(True, 105, 100, 2)
    assert gauge.feed(500, 11.5) is None, "told once"
    assert gauge.due == 15.5, "all of it is forgotten at 13.5, and a window later it is over"
    assert gauge.feed(150, 13.0) is None
    assert gauge.feed(130, 14.6) is None, "what came at 13 is more than 70 a second until 15"
    assert gauge.due == 17.0
    assert gauge.check(16.9) is None
    assert gauge.check(17.0) == Crossing(False, 0, 100, 2)
    assert gauge.due is None
    assert gauge.feed(201, 18.0) == Crossing(True, 100.5, 100, 2)
