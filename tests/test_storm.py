"""When many jobs fail at once: from when it is one thing that happens, how long, and who starts again when."""

from __future__ import annotations

from collections import Counter

from zap.storm import FEWEST, SHARE, SPACING, SPREAD_MOST, WINDOW, Storm

FIRST = tuple(f"s/{number}" for number in range(FEWEST))


def fail(storm: Storm, *jobs: str, living: int = 20, now: float = 100.0) -> list[tuple[float, tuple[str, ...]]]:
    """One after the other, at the same time; so many live before that."""
    return [storm.count(job, living - gone, now) for gone, job in enumerate(jobs)]


def test_a_few_that_fail_are_no_storm() -> None:
    storm = Storm()
    assert fail(storm, *FIRST[1:]) == [(0.0, ())] * (FEWEST - 1)
    assert not storm.is_on(100.0)


def test_a_storm_is_told_once_with_all_who_are_in_it_so_far() -> None:
    storm = Storm()
    told = [jobs for _, jobs in fail(storm, *FIRST, "s/8", "s/9", "s/0")]
    assert told == [()] * (FEWEST - 1) + [FIRST] + [()] * 3
    assert storm.is_on(100.0)


def test_those_before_it_was_one_give_way_to_nobody() -> None:
    spreads = [spread for spread, _ in fail(Storm(), *FIRST, "s/8")]
    assert spreads[: FEWEST - 1] == [0.0] * (FEWEST - 1)
    assert all(spreads[FEWEST - 1 :])


def test_starts_are_spread_the_longer_the_more_there_are_but_not_for_ever() -> None:
    storm = Storm()
    for number in range(200):
        ((spread, _),) = fail(storm, f"s/{number}", living=200 - number)
        assert spread <= min(SPACING * (number + 1), SPREAD_MOST)


def test_starts_fill_the_time_evenly() -> None:
    storm = Storm()
    fail(storm, *(f"s/{number}" for number in range(60)), living=60)
    spreads = [spread for spread, _ in fail(storm, *(f"t/{number}" for number in range(100)), living=100)]
    seconds = Counter(int(spread) for spread in spreads)
    assert set(seconds) == set(range(int(SPREAD_MOST)))
    assert all(8 <= count <= 12 for count in seconds.values())


def test_one_job_that_fails_over_and_over_is_no_storm() -> None:
    storm = Storm()
    assert fail(storm, *["s/0"] * 30) == [(0.0, ())] * 30


def test_failures_that_are_far_apart_are_no_storm() -> None:
    storm = Storm()
    apart = WINDOW / (FEWEST - 1) + 0.01
    for number in range(30):
        assert fail(storm, f"s/{number}", now=100.0 + number * apart) == [(0.0, ())]


def test_failures_within_the_window_are_one_to_its_edge() -> None:
    storm = Storm()
    fail(storm, *FIRST[1:], now=100.0)
    assert fail(storm, FIRST[0], now=100.0 + WINDOW)[0][1] == (*FIRST[1:], FIRST[0])


def test_in_a_large_flock_it_takes_a_share_of_all_who_live() -> None:
    storm = Storm()
    jobs = [f"s/{number}" for number in range(100)]
    told = fail(storm, *jobs, living=100)
    begins = next(place for place, (_, failed) in enumerate(told) if failed)
    assert begins + 1 == SHARE * 100
    assert told[begins][1] == tuple(jobs[: begins + 1])


def test_as_long_as_they_go_on_it_is_the_same_storm() -> None:
    storm = Storm()
    assert sum(bool(jobs) for _, jobs in fail(storm, *FIRST)) == 1
    for number in range(1, 40):
        assert fail(storm, *FIRST, now=100.0 + number * WINDOW / 2)[-1][1] == ()
        assert storm.is_on(100.0 + number * WINDOW / 2)


def test_a_storm_is_over_when_nobody_has_failed_for_a_while() -> None:
    storm = Storm()
    fail(storm, *FIRST)
    assert storm.is_on(100.0 + WINDOW)
    assert not storm.is_on(100.0 + WINDOW + 0.01)
    assert fail(storm, "s/9", now=120.0) == [(0.0, ())]
    assert not storm.is_on(120.0)


def test_the_next_storm_is_another_one() -> None:
    storm = Storm()
    fail(storm, *FIRST)
    assert fail(storm, *FIRST, now=500.0)[-1][1] == FIRST


def test_before_anything_happened_there_is_none() -> None:
    assert not Storm().is_on(0.0)
