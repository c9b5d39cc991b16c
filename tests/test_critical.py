"""What the time until a job was ready was spent on: every leg, and who is to blame for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import critical
from zap.critical import Leg, path
from zap.events import Lack, Probed, Ran, Row, State, Status
from zap.plan import Command, Hooks, Job, Need, Probe, Ready, Until

NOW = 1000.0
OK = Status(0)


def job(name: str, *needs: Need | str, **fields: Any) -> Job:
    found = tuple(Need(need) if isinstance(need, str) else need for need in needs)
    commands = (Command("prepare"), Command("serve\n--port 80"))
    return Job(name, name, cwd="/", **{"commands": commands, "needs": found} | fields)


def up(job: str, asked: float, spawned: float, up: float, state: State = State.READY, **fields: Any) -> Row:
    return Row(job, 2, state, **{"epoch": 1, "since": up, "asked": asked, "spawned": spawned, "up": up} | fields)


def on_its_way(job: str, state: State, asked: float, **fields: Any) -> Row:
    return Row(job, 2, state, **{"epoch": 1, "since": asked, "asked": asked} | fields)


def way(rows: Sequence[Row], jobs: Sequence[Job], *goal: str) -> tuple[Leg, ...]:
    return path({row.job: row for row in rows}, {job.name: job for job in jobs}, goal or [row.job for row in rows], NOW)


def stretches(legs: Sequence[Leg]) -> list[tuple[str, float, float]]:
    return [(leg.job, leg.begin, leg.end) for leg in legs]


def test_a_job_that_nobody_holds_up_is_one_leg() -> None:
    (leg,) = way([up("s/a", 10.0, 10.5, 14.0)], [job("s/a", settle=3.0)])
    assert leg[:5] == ("s/a", 10.0, 14.0, "ready", "ready (it had lived for 3.0 s)")
    assert leg.parts == (("until its shell ran", 10.0, 10.5), ("until it was ready", 10.5, 14.0))


def test_who_was_up_last_before_a_job_began_is_who_it_waited_for() -> None:
    rows = [up("s/a", 10.0, 15.0, 16.0), up("s/b", 10.0, 10.0, 12.0), up("s/c", 10.0, 10.0, 15.0)]
    legs = way(rows, [job("s/a", "s/b", "s/c"), job("s/b"), job("s/c")])
    assert stretches(legs) == [("s/c", 10.0, 15.0), ("s/a", 15.0, 16.0)]


def test_it_goes_back_from_job_to_job() -> None:
    rows = [up("s/a", 10.0, 16.0, 17.0), up("s/b", 10.0, 12.0, 16.0), up("s/c", 10.0, 10.0, 12.0)]
    legs = way(rows, [job("s/a", "s/b"), job("s/b", "s/c"), job("s/c")])
    assert stretches(legs) == [("s/c", 10.0, 12.0), ("s/b", 12.0, 16.0), ("s/a", 16.0, 17.0)]
    assert stretches(way(rows, [job("s/a", "s/b"), job("s/b", "s/c"), job("s/c")], "s/b", "s/c")) == [
        *(("s/c", 10.0, 12.0), ("s/b", 12.0, 16.0)),
    ]


@pytest.mark.parametrize(
    ("need", "needed", "at", "outcome"),
    [
        (Need("s/b", "started"), up("s/b", 10.0, 12.0, 19.0), 12.0, "started"),
        (Need("s/b", "ready"), up("s/b", 10.0, 12.0, 14.0), 14.0, "ready"),
        (Need("s/b", "ready"), up("s/b", 10.0, 12.0, 14.0, State.DONE), 14.0, "done"),
        (Need("s/b", "done"), up("s/b", 10.0, 11.0, 12.0, State.DONE, since=14.0), 14.0, "done"),
        (Need("s/b", "ended"), on_its_way("s/b", State.FAILED, 10.0, since=14.0), 14.0, "ended"),
        (Need("s/b", "line", "go"), up("s/b", 10.0, 11.0, 12.0), 15.0, "line"),
    ],
)
def test_a_need_is_met_when_what_it_waits_for_has_come(need: Need, needed: Row, at: float, outcome: str) -> None:
    legs = way([up("s/a", 10.0, 15.0, 20.0), needed], [job("s/a", need), job("s/b")])
    assert stretches(legs) == [("s/b", 10.0, at), ("s/a", at, 20.0)]
    assert legs[0].outcome == outcome


@pytest.mark.parametrize(
    "needed",
    [
        up("s/b", 1.0, 2.0, 3.0),  # it was there already
        up("s/b", 17.0, 18.0, 19.0),  # it was started anew meanwhile
        Row("s/b", 2),  # an optional one that nobody has started
        on_its_way("s/b", State.RUNNING, 10.0, spawned=11.0),  # an optional one
    ],
)
def test_who_did_not_hold_it_up_is_not_blamed(needed: Row) -> None:
    legs = way([up("s/a", 10.0, 15.0, 20.0), needed], [job("s/a", "s/b"), job("s/b")], "s/a")
    assert stretches(legs) == [("s/a", 10.0, 20.0)]


def test_a_line_is_blamed_only_where_nothing_else_explains_the_wait() -> None:
    jobs = [job("s/a", "s/b", Need("s/c", "line", "go")), job("s/b"), job("s/c")]
    talker = up("s/c", 10.0, 10.5, 11.0)
    late = way([up("s/a", 10.0, 15.0, 20.0), up("s/b", 10.0, 10.0, 12.0), talker], jobs, "s/a")
    assert stretches(late) == [("s/c", 10.0, 15.0), ("s/a", 15.0, 20.0)]
    assert late[0].how == 'said "go"'
    soon = way([up("s/a", 10.0, 12.05, 20.0), up("s/b", 10.0, 10.0, 12.0), talker], jobs, "s/a")
    assert stretches(soon) == [("s/b", 10.0, 12.0), ("s/a", 12.0, 20.0)]


def test_the_time_of_a_leg_is_told_by_command() -> None:
    ran = (
        Ran(1, 1, 1, 3.0, OK, 1.0),  # of an earlier run
        *(Ran(2, 1, 5, 11.0, OK, 2.5), Ran(2, 2, 9, 13.5)),
    )
    row = up("s/a", 10.0, 10.75, 20.0, epoch=2, ran=ran)
    (leg,) = way([row], [job("s/a", ready=Ready("probe", probe=Probe(tcp="localhost:5432")))])
    assert leg.how == "ready (probe tcp localhost:5432); it was started 2 times"
    assert leg.parts == (
        ("until its shell ran", 10.0, 10.75),
        ("1/2 `prepare`", 10.75, 13.5),
        ("2/2 `serve …`", 13.5, 20.0),
    )


def test_what_a_command_did_after_the_job_was_ready_counts_for_nothing() -> None:
    ran = (Ran(1, 1, 1, 10.0, OK, 30.0), Ran(1, 2, 5, 40.0, OK, 1.0))
    (leg,) = way([up("s/a", 10.0, 10.0, 11.0, State.DONE, since=41.0, ran=ran)], [job("s/a")])
    assert leg.parts == (("1/2 `prepare`", 10.0, 11.0),)


def test_what_follows_the_last_command_is_told() -> None:
    ran = (Ran(1, 1, 1, 10.0, OK, 1.0), Ran(1, 2, 2, 11.0, OK, 1.0))
    (leg,) = way([up("s/a", 10.0, 10.0, 15.0, State.DONE, ran=ran)], [job("s/a", ready=Ready("exit"))])
    assert (leg.how, leg.parts[-1]) == ("done", ("until it was done", 12.0, 15.0))


def test_commands_that_the_row_has_forgotten_are_one_part() -> None:
    many = job("s/a", commands=tuple(Command(f"c{number}") for number in range(1, 61)))
    ran = tuple(Ran(1, number, number, 10.0 + number, OK, 1.0) for number in range(11, 61))
    (leg,) = way([Row("s/a", 60, State.READY, 1, asked=10.0, spawned=11.0, up=71.0, ran=ran)], [many])
    assert leg.parts[:3] == (
        ("until its shell ran", 10.0, 11.0),
        ("commands 1 to 10", 11.0, 21.0),
        ("11/60 `c11`", 21.0, 22.0),
    )


def test_a_hook_before_the_start_is_told() -> None:
    (leg,) = way([up("s/a", 10.0, 13.0, 14.0)], [job("s/a", hooks=Hooks(before_start="migrate"))])
    assert leg.parts[0] == ("before_start, and until its shell ran", 10.0, 13.0)


@pytest.mark.parametrize(
    ("ready", "said"),
    [
        (Ready("line", line="up"), 'ready (it said "up")'),
        (Ready("notify"), "ready (it told so)"),
        (Ready("exit"), "ready"),
    ],
)
def test_by_what_sign_a_job_was_ready_is_told(ready: Ready, said: str) -> None:
    assert way([up("s/a", 10.0, 11.0, 12.0)], [job("s/a", ready=ready)])[0].how == said


@pytest.mark.parametrize(
    ("epoch", "what"), [(3, "before its last start"), (1, "before it was started")]
)  # it has failed while the other one waited; somebody has started it by hand after the other one
def test_nothing_of_the_wait_is_left_out_when_who_is_waited_for_began_later(epoch: int, what: str) -> None:
    rows = [up("s/a", 10.0, 30.0, 31.0), up("s/b", 25.0, 26.0, 30.0, epoch=epoch)]
    legs = way(rows, [job("s/a", "s/b"), job("s/b")])
    assert stretches(legs) == [("s/b", 10.0, 30.0), ("s/a", 30.0, 31.0)]
    assert legs[0].parts[:2] == ((what, 10.0, 25.0), ("until its shell ran", 25.0, 26.0))


# So far.


def test_who_waits_comes_last_and_whom_it_waits_for_does_something() -> None:
    rows = [
        on_its_way("s/a", State.WAITING, 990.0, lacks=(Lack("s/b", "done"), Lack("s/c", "ready")), epoch=0),
        on_its_way("s/b", State.RUNNING, 990.0, spawned=992.0, ran=(Ran(1, 1, 1, 993.0),)),
        up("s/c", 990.0, 990.0, 991.0),
    ]
    legs = way(rows, [job("s/a", Need("s/b", "done"), "s/c"), job("s/b"), job("s/c")])
    assert stretches(legs) == [("s/b", 990.0, NOW), ("s/a", NOW, NOW)]
    assert [leg.outcome for leg in legs] == ["so far", "so far"]
    assert legs[0].parts == (("until its shell ran", 990.0, 992.0), ("1/2 `prepare`", 992.0, NOW))
    assert [leg.how for leg in legs] == ["running", "waits for s/b (done), s/c"]


def test_what_has_failed_is_waited_for_in_vain() -> None:
    rows = [
        on_its_way("s/a", State.WAITING, 990.0, lacks=(Lack("s/c", "line", "go"), Lack("s/b", "ready", None, True))),
        on_its_way("s/b", State.FAILED, 990.0, since=995.0, spawned=991.0, why="exit 1"),
        up("s/c", 990.0, 990.0, 991.0),
    ]
    legs = way(rows, [job("s/a", "s/b", Need("s/c", "line", "go")), job("s/b"), job("s/c")], "s/a")
    assert stretches(legs) == [("s/b", 990.0, 995.0), ("s/a", 995.0, NOW)]
    assert [leg.how for leg in legs] == ["failed: exit 1", 'waits for s/c (line "go"), s/b, in vain']


def test_nobody_is_blamed_for_what_nobody_has_started() -> None:
    rows = [on_its_way("s/a", State.WAITING, 990.0, lacks=(Lack("s/b", "ready", None, True),)), Row("s/b", 2)]
    legs = way(rows, [job("s/a", "s/b"), job("s/b")])
    assert stretches(legs) == [("s/a", 990.0, NOW)]
    assert way([Row("s/b", 2)], [job("s/b")]) == ()


def test_what_keeps_a_job_from_being_ready_is_told() -> None:
    probed = Probed("s/a", 1, "ready", False, "tcp localhost:80", "connection refused")
    (leg,) = way([on_its_way("s/a", State.RUNNING, 990.0, spawned=991.0, probed=(probed,))], [job("s/a")])
    assert leg.how == "running, tcp localhost:80: connection refused"
    (leg,) = way([on_its_way("s/a", State.BACKOFF, 990.0, spawned=991.0, why="exit 1", epoch=3)], [job("s/a")])
    assert leg.how == "backoff, exit 1; it was started 3 times"
    assert leg.parts == (("until its shell ran", 990.0, 991.0), ("backoff", 991.0, NOW))


def test_the_last_one_of_the_goal_is_told_of() -> None:
    rows = [
        up("s/a", 990.0, 990.0, 999.0),
        up("s/b", 990.0, 990.0, 995.0),
        on_its_way("s/c", State.FAILED, 990.0, since=999.5),
    ]
    jobs = [job(row.job) for row in rows]
    assert way(rows, jobs)[-1].job == "s/c"
    assert way(rows, jobs, "s/a", "s/b")[-1].job == "s/a"
    assert way([on_its_way("s/d", State.STARTING, 990.0), *rows], [job("s/d"), *jobs])[-1].job == "s/d"


@given(st.data())
def test_legs_and_parts_have_no_gaps_whatever_the_rows_say(data: st.DataObject) -> None:
    times = st.floats(1.0, 30.0).map(lambda time: round(time, 1))
    names = [f"s/j{number}" for number in range(data.draw(st.integers(1, 6)))]
    rows, jobs = [], []
    for at, name in enumerate(names):
        others = data.draw(st.lists(st.sampled_from(names[at + 1 :]), unique=True)) if names[at + 1 :] else []
        untils: st.SearchStrategy[Until] = st.sampled_from(get_args(Until))
        jobs.append(job(name, *(Need(other, data.draw(untils), "x") for other in others)))
        fields: dict[str, Any] = {name: data.draw(st.none() | times) for name in ("asked", "spawned", "up")}
        fields["ran"] = tuple(Ran(1, at + 1, 1, data.draw(times), OK, data.draw(st.none() | times)) for at in range(2))
        fields["lacks"] = tuple(Lack(other, "ready", None, data.draw(st.booleans())) for other in others)
        rows.append(Row(name, 2, data.draw(st.sampled_from(State)), 1, data.draw(times), **fields))
    legs = path({row.job: row for row in rows}, {job.name: job for job in jobs}, names, 40.0)
    assert bool(legs) == any(row.asked is not None for row in rows)
    for one, other in pairwise(legs):
        assert one.end == other.begin
    for leg in legs:
        edges = [leg.begin, *(part.end for part in leg.parts)]
        assert [part.begin for part in leg.parts] == edges[: len(leg.parts)] and edges == sorted(edges)
        assert leg.begin <= leg.end >= edges[-1]
    if legs:
        assert list(critical.lines(legs))


# For a person.


def test_a_table_shows_the_share_of_each_leg_and_what_took_time() -> None:
    ran = (Ran(1, 1, 1, 13.0, OK, 6.0), Ran(1, 2, 5, 19.0))
    rows = [up("web/api", 10.0, 13.0, 20.0, ran=ran), up("db/pg", 10.0, 10.01, 13.0)]
    assert list(critical.lines(way(rows, [job("web/api", "db/pg"), job("db/pg")]))) == [
        "10.0 s until web/api was ready",
        "  3.0 s   30%  ██████                db/pg: ready (it had lived for 1.0 s)",
        "                                        3.0 s  until it was ready",
        "  7.0 s   70%  ██████████████        web/api: ready (it had lived for 1.0 s)",
        "                                        6.0 s  1/2 `prepare`",
        "                                        1.0 s  2/2 `serve …`",
    ]


def test_a_table_of_what_is_on_its_way_says_so() -> None:
    rows = [
        on_its_way("s/a", State.WAITING, NOW - 4, lacks=(Lack("s/b", "ready"),)),
        on_its_way("s/b", State.STARTING, NOW - 4),
    ]
    assert list(critical.lines(way(rows, [job("s/a", "s/b"), job("s/b")]))) == [
        "4.0 s so far, for s/a",
        "  4.0 s  100%  ████████████████████  s/b: starting",
        "                                        4.0 s  until its shell ran",
        "   0 ms    0%                        s/a: waits for s/b",
    ]


def test_what_took_no_time_at_all_has_a_table_too() -> None:
    assert next(critical.lines(way([up("s/a", 10.0, 10.0, 10.0)], [job("s/a")]))) == "0 ms until s/a was ready"
