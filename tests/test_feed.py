"""Lines as they are fetched: in order, none twice, and what is missing is known to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import Recorded, job, plan
from zap import events
from zap.events import Event, Line
from zap.plan import Bound
from zap.tui import feed as rooms
from zap.tui.feed import LAST, MOST, PAGE, SCREENFUL, Feed, Item

A, B = "web/a", "web/b"


class Told:
    """A feed and what the events have told of its jobs."""

    def __init__(
        self,
        *jobs: str,
        bound: Bound = Bound(),  # noqa: B008
        wanted: Callable[[Line], bool] | None = None,
    ) -> None:
        self.session = Recorded(plan(job(A, "true"), job(B, "true")), bound)
        self.last: dict[str, int] = {}
        self.feed = Feed(self.session, jobs, self.last, wanted)

    def say(self, job: str, *lines: str) -> None:
        for line in lines:
            self.note(self.session.say(job, f"{line}\n"))

    def flood(self, job: str, count: int, text: str = "flood") -> None:
        self.note(self.session.say(job, f"{text}\n" * count))

    def note(self, event: Event) -> None:
        assert isinstance(event.fact, events.Output)
        self.last[event.fact.job] = event.fact.last

    def tick(self, seconds: float = 1.0) -> None:
        self.session.now += seconds

    @property
    def items(self) -> list[Item]:
        return self.feed.between(self.feed.begin, self.feed.end)

    @property
    def texts(self) -> list[str]:
        return [item.line.text.decode() for item in self.items]

    @property
    def numbers(self) -> list[int]:
        return [item.line.number for item in self.items]


def done(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(what)


def test_the_newest_come_first_and_the_older_when_they_are_asked_for() -> None:
    told = Told(A)
    told.flood(A, PAGE + 50)
    done(told.feed.newer())
    assert told.numbers == list(range(51, PAGE + 51))
    assert not told.feed.is_whole
    before = {item.line.number: index for index, item in enumerate(told.items, told.feed.begin)}
    assert done(told.feed.older())
    assert told.numbers == list(range(1, PAGE + 51))
    after = {item.line.number: index for index, item in enumerate(told.items, told.feed.begin)}
    assert before.items() <= after.items(), "an item keeps its index"
    assert told.feed.is_whole
    assert not done(told.feed.older())


def test_what_has_come_since_follows() -> None:
    told = Told(A)
    told.say(A, "one")
    done(told.feed.newer())
    told.say(A, "two", "three")
    assert (told.feed.is_current, told.feed.waiting) == (False, 2)
    done(told.feed.newer())
    assert told.texts == ["one", "two", "three"]
    assert (told.feed.is_current, told.feed.waiting) == (True, 0)


def test_an_unfinished_line_is_known_until_it_is_finished() -> None:
    told = Told(A)
    told.note(told.session.say(A, "one\npass"))
    done(told.feed.newer())
    assert told.texts == ["one"]
    assert [item.line.text for item in told.feed.unfinished] == [b"pass"]
    told.note(told.session.say(A, "word: \n"))
    done(told.feed.newer())
    assert told.texts == ["one", "password: "]
    assert not told.feed.unfinished


def test_of_a_flood_only_the_end_is_fetched_while_it_is_followed_and_nothing_is_missing_there() -> None:
    told = Told(A)
    told.say(A, "one")
    done(told.feed.newer())
    told.flood(A, 5000)
    done(told.feed.newer(is_followed=True))
    assert told.numbers == list(range(5001 - SCREENFUL + 1, 5002))
    assert told.feed.dropped == 0, "they can be fetched"
    assert done(told.feed.older())
    assert told.numbers == list(range(5001 - SCREENFUL - PAGE + 1, 5002))


def test_who_reads_on_through_a_flood_misses_nothing() -> None:
    told = Told(A)
    told.say(A, "one")
    done(told.feed.newer())
    told.flood(A, 5000)
    calls = 0
    while done(told.feed.newer(is_followed=False)):
        calls += 1
    assert calls > 2
    assert told.numbers == list(range(1, 5002))


def test_lines_that_the_runner_has_let_go_of_are_counted() -> None:
    told = Told(A, bound=Bound(lines=10))
    told.flood(A, 5)
    done(told.feed.newer())
    told.flood(A, 100)
    done(told.feed.newer(is_followed=False))
    assert told.numbers == [*range(1, 6), *range(96, 106)]
    assert told.feed.dropped == 90


def test_what_was_gone_before_one_began_to_look_is_not_counted() -> None:
    told = Told(A, bound=Bound(lines=10))
    told.flood(A, 100)
    done(told.feed.newer())
    assert told.numbers == list(range(91, 101))
    assert (told.feed.dropped, told.feed.is_whole) == (0, True)


def test_a_filter_lets_through_what_it_wants_however_far_back() -> None:
    told = Told(A, wanted=lambda line: b"7" in line.text)
    told.say(A, *map(str, range(1, PAGE * 3)))
    done(told.feed.newer())
    while done(told.feed.older()):
        pass
    assert told.texts == [str(number) for number in range(1, PAGE * 3) if "7" in str(number)]


def test_a_filter_that_follows_a_flood_says_what_it_has_not_looked_at() -> None:
    told = Told(A, wanted=lambda line: line.text == b"needle")
    told.say(A, "needle")
    done(told.feed.newer())
    told.flood(A, 4 * rooms.MOST_LOOKED_AT)
    told.say(A, "needle")
    done(told.feed.newer())
    assert told.texts == ["needle", "needle"]
    assert told.feed.dropped == 3 * rooms.MOST_LOOKED_AT + 1


def test_several_jobs_are_in_the_order_of_time() -> None:
    told = Told(A, B)
    for number in range(4):
        told.say(A if number % 2 else B, f"{number}")
        told.tick()
    done(told.feed.newer())
    assert told.texts == ["0", "1", "2", "3"]


def test_what_one_job_said_waits_for_what_another_said_before() -> None:
    """A has said more than is fetched at once; what B said after that may not come before the rest of A."""
    told = Told(A, B)
    told.say(A, "begin")
    done(told.feed.newer())
    told.flood(A, 3 * PAGE, "early")
    told.tick()
    told.say(B, "late")
    assert done(told.feed.newer(is_followed=False))
    assert set(told.texts) == {"begin", "early"}
    assert told.feed.waiting == PAGE + 1
    assert not done(told.feed.newer(is_followed=False))
    assert told.texts == ["begin", *["early"] * 3 * PAGE, "late"]


def test_the_older_lines_of_several_jobs_come_in_the_order_of_time_as_well() -> None:
    told = Told(A, B)
    share = LAST // 2
    for number in range(share):
        told.say(A, f"a{number}")
        told.tick()
    for number in range(2 * share):
        told.say(B, f"b{number}")
    done(told.feed.newer())
    assert told.texts[0] == f"b{share}", "older ones of A are here, but what B said between is not"
    while done(told.feed.older()):
        pass
    assert told.texts == [f"a{number}" for number in range(share)] + [f"b{number}" for number in range(2 * share)]


@pytest.mark.parametrize("jobs", [(A,), (A, B)])
def test_what_is_cleared_is_gone_and_the_others_stay(jobs: tuple[str, ...]) -> None:
    told = Told(*jobs)
    told.say(A, "one", "two")
    told.say(B, "other")
    done(told.feed.newer())
    told.session.buffers[A].clear()
    told.feed.clear(A)
    assert told.texts == []
    told.say(A, "three")
    done(told.feed.newer())
    assert told.texts == ["three"] if jobs == (A,) else ["other", "three"]
    assert not done(told.feed.older())
    assert told.feed.dropped == 0


def test_lines_that_were_on_their_way_when_they_were_cleared_do_not_come_back() -> None:
    told = Told(A)
    told.say(A, "one")

    async def race() -> None:
        fetching = asyncio.ensure_future(told.feed.newer())
        await asyncio.sleep(0)
        told.feed.clear(A)
        await fetching

    done(race())
    assert told.texts == []


def test_what_nobody_reads_any_more_is_let_go_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MOST", 500)
    monkeypatch.setattr(rooms, "SPARE", 50)
    told = Told(A)
    for _ in range(10):
        told.flood(A, 100)
        done(told.feed.newer())
    assert 500 <= len(told.items) <= 550
    assert told.numbers[-1] == 1000
    assert not told.feed.is_whole
    while done(told.feed.older()):
        pass
    assert told.numbers == list(range(1, 1001))
    assert MOST > 10_000  # as it really is


SOURCES = st.sampled_from([A, B])
ACTS = st.one_of(
    st.tuples(st.just("say"), SOURCES, st.sampled_from([1, 2, 40, 350, 700, 2500])),
    st.tuples(st.just("tick")),
    st.tuples(st.just("newer"), st.booleans()),
    st.tuples(st.just("older"), st.integers(1, 500)),
    st.tuples(st.just("latest")),
    st.tuples(st.just("clear"), SOURCES),
)


@given(
    jobs=st.sampled_from([(A,), (A, B)]),
    wanted=st.sampled_from([None, lambda line: line.number % 3 == 0]),
    bound=st.sampled_from([Bound(), Bound(lines=500)]),
    acts=st.lists(ACTS, max_size=25),
)
def test_however_they_are_fetched_lines_are_in_order_and_none_comes_twice(
    jobs: tuple[str, ...], wanted: Callable[[Line], bool] | None, bound: Bound, acts: list[tuple[Any, ...]]
) -> None:
    told = Told(*jobs, bound=bound, wanted=wanted)
    feed = told.feed
    for act, *given_to in acts:
        known = {index: feed[index] for index in range(feed.begin, feed.end)}
        match act:
            case "say":
                told.flood(*given_to)
            case "tick":
                told.tick()
            case "clear":
                told.session.buffers[given_to[0]].clear()
                if given_to[0] in jobs:
                    feed.clear(given_to[0])
            case _:
                done(getattr(feed, act)(*given_to))
        assert all(feed[index] == item for index, item in known.items() if feed.begin <= index < feed.end)
        items = told.items
        assert [item.line.at for item in items] == sorted(item.line.at for item in items)
        for name in jobs:
            numbers = [item.line.number for item in items if item.job == name]
            assert numbers == sorted(set(numbers))
    while done(feed.newer(False)):
        pass
    while done(feed.older()):
        pass
    assert feed.is_current and feed.is_whole
    if not feed.dropped:  # then everything that is kept is here
        kept = [
            (name, line.number)
            for name in jobs
            for line in told.session.buffers[name].tail(0, 10**6).lines
            if not wanted or wanted(line)
        ]
        assert set(kept) <= {(item.job, item.line.number) for item in told.items}
