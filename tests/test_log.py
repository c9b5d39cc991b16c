"""The event log: what is told in it, where one is in it, and what had happened before one came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import NOON, became, shown
from zap import events
from zap.events import Event, Fact, Lack, Load, State, Status
from zap.tui import log, text
from zap.tui.log import Log
from zap.tui.palette import UNICODE

API = "web/api"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def event(n: int, fact: Fact | None = None) -> Event:
    return Event(n, NOON + n, fact or events.Spawned(API, 1, n))


def filled(first: int = 1, last: int = 20, rows: int = 5) -> Log:
    made = Log(UNICODE)
    for n in range(first, last + 1):
        made.add(event(n))
    draw(made, rows)
    return made


def draw(made: Log, rows: int = 5, columns: int = 60) -> list[str]:
    drawn = made.draw(columns, rows, True)
    assert len(drawn) == rows
    assert all(text.row_width(row) <= columns for row in drawn)
    return [text.plain(row).rstrip() for row in drawn]


def numbers(made: Log, rows: int = 5) -> list[int]:
    return [int(row.rpartition(" ")[2]) for row in draw(made, rows) if row]


def selected(made: Log) -> int:
    found = made.selected()
    assert found
    return found.n


def test_an_event_is_told_with_its_time_its_job_and_its_cause() -> None:
    made = Log(UNICODE)
    assert draw(made)[0] == "nothing has happened yet"
    made.add(event(1, became(API, State.FAILED, "exit 3, and 5 tries are used up")))
    assert draw(made)[0] == "08:00:01 web/api ✗ failed: exit 3, and 5 tries are used up"


@pytest.mark.parametrize(
    ("fact", "look"),
    [
        (became(API, State.FAILED), "notice bad"),
        (became(API, State.READY), "ok"),
        (events.Overloaded(API, "lines", 9.0, 1.0, 5.0), "warn"),
        (events.Fixed(API, 1, "x", 1.0, True), "notice fix"),
        (events.FixFailed(API, 1, "x", "why"), "notice bad"),
        (events.Exited(API, 1, Status(0), 1.0), "notice"),
        (events.HookFailed(API, 1, "before_start", "exit 1"), "notice bad"),
        (events.Probed(API, 1, "health", False, "command ./check", "exit 1", 1, 3), "warn"),
        (events.Probed(API, 1, "ping", True, "command ./check", "exit 0", 1, 3), "ok"),
        (events.Waits(API, 1, (Lack("web/db", "ready"),)), "state waiting"),
        (events.Waits(API, 1, (Lack("web/db", "ready"), Lack("web/x", "done", is_hopeless=True))), "notice bad"),
        (events.Reloaded(("web/new",)), "ok"),
        (events.Reloaded(), "ok"),
        (events.NotReloaded("jobs.yaml:1:1: what?"), "notice bad"),
        (events.Paused(API, 1), "state paused"),
        (events.Resumed(API, 1), "notice"),
        (events.Requested("stop", (API,), "process 9 of user 1"), "notice"),
        (events.Degraded("the journal", "No space left on device"), "notice bad"),
        (events.Recovered("the journal"), "ok"),
        (events.Jumped(3600.0), "warn"),
        (events.Slept(3600.0), "warn"),
        (events.Left((API,), 3), "warn"),
        (events.TookOver(9, "1", "the runner before ended by signal 9", 0.3), "warn"),
    ],
)
def test_how_grave_it_is_shows(fact: Fact, look: str) -> None:
    assert shown(log.row_of(event(1, fact), UNICODE)[-1][0]) == look


def test_a_storm_is_one_line_that_names_those_in_it() -> None:
    made = Log(UNICODE)
    names = tuple(f"web/w{number}" for number in range(6))
    for n, name in enumerate(names[:5], 1):
        made.add(event(n, became(name, State.BACKOFF, "exit 1", seconds=1.0, is_in_storm=True)))
    made.add(event(6, events.Stormed(names[:5], 5.0)))
    made.add(event(7, became(names[5], State.FAILED, "exit 1", is_in_storm=True)))
    told = [row for row in draw(made, 9, 140) if row]
    storm = "⚠ 5 jobs have failed within 5.0 s: their restarts are spread: web/w0, web/w1, web/w2, web/w3, web/w4"
    assert told == [f"08:00:06 {storm}"]
    assert [shown(attr) for attr, _ in log.row_of(event(6, events.Stormed(names, 5.0)), UNICODE)[-2:]] == [
        *("notice bad", "busy")
    ]


def test_of_a_plan_that_is_not_right_every_problem_is_told() -> None:
    made = filled(1, 3)
    problems = ("jobs.yaml:3:5: web/api: what?", "jobs.yaml:9:5: web/db: and that?")
    made.add(event(4, events.NotReloaded("\n".join(problems))))
    assert draw(made, 6)[3].startswith("08:00:04 ✗ the plan has changed")
    assert draw(made, 6)[4:] == [f"  {problem}" for problem in problems]
    assert not made.select_at(0)
    assert not made.select_at(5), "a problem is the event's"
    assert made.select_at(4)
    assert selected(made) == 4
    made.add(event(5))
    assert draw(made, 4)[1:3] == [f"  {problem}" for problem in problems]
    made.move(-1)
    made.move_page(-1)
    assert selected(made) == 1
    made.move(3)
    assert draw(made, 1)[0].startswith("08:00:04 ✗"), "which is not all, but where it begins"


def test_what_happens_all_the_time_is_not_told() -> None:
    made = Log(UNICODE)
    for fact in (
        events.Output(API, 1, 2),
        events.Measured((Load(API, 1.0, 1, 1),)),
        events.CommandStarted(API, 1, 1, "true"),
        became(API, State.RUNNING),
    ):
        made.add(event(1, fact))
    assert made.selected() is None


def test_the_newest_is_followed_until_one_looks_elsewhere() -> None:
    made = filled()
    assert (numbers(made), selected(made)) == ([16, 17, 18, 19, 20], 20)
    made.add(event(21))
    assert (numbers(made), selected(made)) == ([17, 18, 19, 20, 21], 21)
    made.move(-1)
    made.add(event(22))
    assert (numbers(made), selected(made)) == ([17, 18, 19, 20, 21], 20)
    made.move(99)
    made.add(event(23))
    assert (numbers(made), selected(made)) == ([19, 20, 21, 22, 23], 23)


def test_one_moves_within_what_shows_before_it_scrolls() -> None:
    made = filled()
    made.move(-4)
    assert (numbers(made), selected(made)) == ([16, 17, 18, 19, 20], 16)
    made.move(-1)
    assert (numbers(made), selected(made)) == ([15, 16, 17, 18, 19], 15)
    made.move(2)
    assert (numbers(made), selected(made)) == ([15, 16, 17, 18, 19], 17)
    made.move_page(-1)
    assert selected(made) == 13
    made.move(-99)
    assert (numbers(made), selected(made)) == ([1, 2, 3, 4, 5], 1)


def test_a_click_selects_and_says_whether_it_was_so_already() -> None:
    made = filled()
    assert not made.select_at(1)
    assert (numbers(made), selected(made)) == ([16, 17, 18, 19, 20], 17)
    assert made.select_at(1)
    assert not made.select_at(9)
    assert not made.select_at(4)
    made.add(event(21))
    assert selected(made) == 21, "the newest is followed"


def test_what_had_happened_before_goes_before_and_nothing_comes_twice() -> None:
    made = filled(8, 12)
    made.move(-2)
    made.prepend([event(n) for n in range(1, 11)])
    assert selected(made) == 10
    assert numbers(made, 20) == list(range(1, 13))
    made.add(event(12))
    assert numbers(made, 20) == list(range(1, 13))


def test_of_what_had_happened_before_only_as_much_is_taken_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "KEPT", 10)
    made = filled(8, 12)
    made.prepend([event(n) for n in range(1, 8)])
    assert numbers(made, 20) == list(range(3, 13))
    made.add(event(13))
    assert numbers(made, 20) == list(range(4, 14))


ACTS = st.one_of(
    st.tuples(st.just("move"), st.integers(-9, 9)),
    st.tuples(st.just("move_page"), st.integers(-2, 2)),
    st.tuples(st.just("select_at"), st.integers(0, 9)),
    st.tuples(st.just("add"), st.integers(50, 99).map(event)),
    st.tuples(st.just("add"), st.integers(50, 99).map(lambda n: event(n, events.NotReloaded("one\ntwo\nthree")))),
    st.tuples(st.just("prepend"), st.just([event(n) for n in range(1, 30)])),
)


@given(acts=st.lists(ACTS, max_size=15), rows=st.integers(1, 9))
def test_what_is_selected_is_always_in_sight(acts: list[tuple[Any, ...]], rows: int) -> None:
    made = filled(40, 45, rows)
    for name, *given_to in acts:
        getattr(made, name)(*given_to)
        drawn = [row for row in made.draw(60, rows, True) if row]
        looks = [any("selected focus" in shown(attr) for attr, _ in row) for row in drawn]
        found = made.selected()
        assert found
        assert sum(looks) == min(len(log.rows_of(found, UNICODE)), rows)
        assert text.plain(drawn[looks.index(True)]).rstrip() == text.plain(text.cut(log.row_of(found, UNICODE), 60))
