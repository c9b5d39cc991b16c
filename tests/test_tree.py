"""The tree: what is listed, where one is in it, how each job is, and what one has not seen yet."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import NOON, became, job, plan, runs, shown
from zap import events
from zap.board import Board
from zap.events import LOG, Event, Fact, Lack, Load, Probed, Proposed, Ran, State, Status, Waits
from zap.plan import MIB, System
from zap.tui import text
from zap.tui.palette import UNICODE
from zap.tui.tree import TURNS, Entry, Seen, Tree, age, count, size, step

API, WORKER, DATABASE, SHELL = "web/api", "web/worker", "data/database", "tools/psql"


PAUSED = events.Paused(API, 1)
SICK = Probed(API, 1, "health", False, "tcp localhost:80", "connection refused", 2, 3)


class Stand:
    """A tree and the board that it shows."""

    def __init__(self, *facts: Fact, columns: int = 40, rows: int = 12) -> None:
        self.plan = plan(
            job(API, "cd api", "npm ci", "npm start"),
            job(WORKER, "worker"),
            job(DATABASE, "postgres"),
            job(SHELL, "psql", start=False),
        )
        self.board = Board((job.name, len(job.commands)) for job in self.plan.jobs)
        self.now = NOON
        self.size = (columns, rows)
        self.hear(*facts)
        self.tree = Tree(self.plan, self.board, UNICODE, lambda: self.now)

    def hear(self, *facts: Fact) -> None:
        for fact in facts:
            self.board.apply(Event(1, self.now, fact))

    def draw(self, has_focus: bool = True) -> list[str]:
        self.rows = self.tree.draw(*self.size, has_focus)
        assert len(self.rows) == self.size[1]
        return [text.plain(row).rstrip() for row in self.rows]

    def row(self, name: str) -> str:
        """What is told of it, with single spaces."""
        return " ".join(next(row for row in self.draw() if name in row.split()).split())

    def marked(self) -> list[str]:
        """The rows that look selected."""
        self.draw()
        return [text.plain(row).strip() for row in self.rows if any("selected" in shown(attr) for attr, _ in row)]


def told(*facts: Fact, name: str = "api", **options: int) -> str:
    return Stand(*facts, **options).row(name)


def test_systems_jobs_and_the_log_stand_in_the_order_of_the_plan() -> None:
    assert [row.split()[:2] for row in Stand().draw()[:9]] == [
        ["▾", "web"],
        ["○", "api"],
        ["○", "worker"],
        ["▾", "data"],
        ["○", "database"],
        ["▾", "tools"],
        ["○", "psql"],
        ["zap", "its"],
        [],
    ]


def test_the_first_job_is_selected() -> None:
    assert Stand().tree.selected == Entry("web", API)
    assert Tree(plan(), Board(()), UNICODE).selected == Entry("", LOG)


# What is told of a job.


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ([], "○ api"),
        ([became(API, State.STARTING)], "◌ api 0s"),
        ([*runs(API, "cd api", "npm ci")], "◐ api 2/3 0s"),
        ([*runs(API, "cd api"), became(API, State.READY)], "● api 1/3 0s"),
        ([*runs(API), became(API, State.STOPPING)], "◍ api 0s"),
        ([became(API, State.FIXING)], "🔧api 0s"),
        ([became(API, State.WAITING)], "◔ api 0s"),
        ([became(API, State.WAITING), Waits(API, 0, (Lack(WORKER, "ready"),))], "◔ api worker 0s"),
        (
            [became(API, State.WAITING), Waits(API, 0, (Lack(WORKER, "ready"), Lack(DATABASE, "done")))],
            "◔ api worker, data/database 0s",
        ),
        ([*runs(API), became(API, State.STOPPING), Waits(API, 1, leavers=(WORKER,))], "◍ api worker 0s"),
        ([*runs(API), became(API, State.READY), SICK], "● api health 2/3 0s"),
        ([*runs(API), SICK._replace(question="ready")], "◐ api 0s"),
        ([became(API, State.BACKOFF, "exit 1", exit=Status(1))], "↺ api exit 1"),
        ([became(API, State.BACKOFF, "no shell")], "↺ api backoff"),
        ([became(API, State.DONE, exit=Status(0))], "✓ api done"),
        ([became(API, State.FAILED, exit=Status(None, "KILL"))], "✗ api killed by KILL"),
        ([became(API, State.FAILED, "no shell")], "✗ api failed"),
        ([*runs(API, epoch=3)], "◐ api ↺2 0s"),
        ([*runs(API, "cd api"), became(API, State.READY), PAUSED], "⏸ api 1/3 paused 0s"),
        ([*runs(API), PAUSED, events.Resumed(API, 1)], "◐ api 0s"),
        ([became(API, State.FAILED, exit=Status(None, "KILL", "memory"))], "✗ api out of memory"),
    ],
)
def test_how_a_job_is(facts: list[Fact], said: str) -> None:
    drawn = next(row for row in Stand(*facts).draw() if "api" in row)
    assert " ".join(drawn.split()) == said


def test_a_job_that_asks_says_so() -> None:
    assert told(*runs(API), Proposed(API, 1, "free-port", 1, ("x",), ())) == "◐ api asks 0s"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (40, "◔ api data/database, worker, ui 0s"),
        (35, "◔ api data/database, worker, ui"),
        (32, "◔ api data/database +2 0s"),
        (25, "◔ api data/database +2"),
        (24, "◔ api 0s"),
        (6, "◔ a…"),
    ],
)
def test_of_those_for_whom_a_job_waits_as_many_are_named_as_there_is_room_for(columns: int, said: str) -> None:
    lacks = (Lack(WORKER, "ready"), Lack("web/ui", "ready"), Lack(DATABASE, "done", is_hopeless=True))
    stand = Stand(became(API, State.WAITING), Waits(API, 0, lacks), columns=columns)
    stand.draw()
    assert " ".join(text.plain(stand.rows[1]).split()) == said


@pytest.mark.parametrize(("is_hopeless", "look"), [(True, "bad"), (False, "state waiting")])
def test_who_waits_in_vain_looks_so_and_is_counted(is_hopeless: bool, look: str) -> None:
    stand = Stand(became(API, State.WAITING), Waits(API, 0, (Lack(DATABASE, "ready", None, is_hopeless),)))
    stand.tree.move(1)
    stand.draw()
    (row,) = [row for row in stand.rows if " data/database" in text.plain(row)[3:]]
    assert {shown(attr) for attr, said in row if said.strip() in ("◔", "data/database")} == {look}
    assert stand.row("web") == ("▾ web 0/2 ◔1" if is_hopeless else "▾ web 0/2")


def test_how_long_a_job_waits_is_told_and_not_since_when_it_ran() -> None:
    stand = Stand(*runs(API))
    stand.now += 100
    stand.hear(became(API, State.WAITING))
    stand.now += 3
    assert stand.row("api") == "◔ api 3s"
    assert stand.tree.next_change() == 1


def test_what_a_job_uses_shows_where_there_is_room() -> None:
    facts = [*runs(API), events.Measured((Load(API, 12.6, 210 * MIB, 3),))]
    assert told(*facts, columns=36) == "◐ api 0s 13% 210M"
    assert told(*facts, columns=35) == "◐ api 0s"


def test_ages_are_coarse_and_told_when_they_change() -> None:
    assert [age(seconds) for seconds in (-1, 0, 9.9, 10, 59, 60, 3599, 3600, 47.9 * 3600, 48 * 3600, 10**7)] == [
        *("0s", "0s", "9s", "10s", "50s", "1m", "59m", "1h", "47h", "2d", "115d")
    ]


@given(seconds=st.integers(0, 10**8).map(lambda hundredths: hundredths / 100), later=st.floats(0, 0.99))
def test_until_an_age_changes_it_reads_the_same(seconds: float, later: float) -> None:
    stand = Stand(*runs(API))
    stand.now += seconds
    before = stand.row("api")
    stand.now += stand.tree.next_change() * later
    assert stand.row("api") == before


def test_nothing_changes_by_itself_when_nothing_runs() -> None:
    assert Stand().tree.next_change() == 3600
    assert Stand(*runs(API)).tree.next_change() == 1
    assert step(59.9) == 10


@pytest.mark.parametrize(
    ("amount", "said"), [(0, "0M"), (34 * MIB, "34M"), (999 * MIB, "999M"), (1300 * MIB, "1.3G"), (2**40, "1024.0G")]
)
def test_sizes_are_short(amount: int, said: str) -> None:
    assert size(amount) == said


def test_counts_take_four_cells_at_most() -> None:
    assert [count(number) for number in (0, 999, 1000, 999_999, 1_000_000)] == ["0", "999", "1k", "999k", "1M"]


def test_a_system_counts_its_jobs_that_are_up_and_that_have_failed() -> None:
    stand = Stand(*runs(API), became(WORKER, State.FAILED, exit=Status(1)))
    assert stand.row("web") == "▾ web 1/2 ✗1"
    assert stand.row("data") == "▾ data 0/1"


def test_commands_show_how_they_went() -> None:
    stand = Stand(*runs(API, "cd api", "npm ci"))
    stand.tree.fold(is_open=True)
    assert [" ".join(row.split()) for row in stand.draw()[2:5]] == ["✓ cd api 1s", "▸ npm ci", "npm start"]
    stand.hear(events.CommandEnded(API, 1, 2, Status(1), 75.0))
    assert " ".join(stand.draw()[3].split()) == "✗ npm ci 1m"
    stand.hear(events.Spawned(API, 2, 9), became(API, State.RUNNING, epoch=2))
    assert " ".join(stand.draw()[2].split()) == "cd api", "what ran before is another run's"


@given(columns=st.integers(1, 80), badges=st.booleans())
def test_every_row_fits(columns: int, badges: bool) -> None:
    stand = Stand(*runs(API, "cd api", "npm ci", epoch=30), events.Measured((Load(API, 1000, 2**40, 3),)))
    if badges:
        stand.hear(events.Output(API, 1, 10**9, False, 10**9), *[events.Fixed(API, 1, "x", 1.0, False)] * 20)
    stand.size = (columns, 12)
    stand.tree.fold(is_open=True)
    stand.draw()
    assert all(text.row_width(row) <= columns for row in stand.rows)


# Moving, folding.


def moved(stand: Stand, *steps: int) -> list[str]:
    names = []
    for number in steps:
        stand.tree.move(number)
        names.append(stand.tree.selected.job or stand.tree.selected.system)
    return names


def test_one_moves_over_all_that_is_listed_and_not_beyond() -> None:
    stand = Stand()
    assert moved(stand, -1, -1, 2, 1, 1, 99, 1, -99) == ["web", "web", WORKER, "data", DATABASE, LOG, LOG, "web"]


def test_what_is_selected_is_in_sight_and_looks_selected() -> None:
    stand = Stand(rows=3)
    for steps in (1, 1, 1, 1, 5, -2, -99):
        stand.tree.move(steps)
        (marked,) = stand.marked()
        name = stand.tree.selected.job or stand.tree.selected.system
        assert name.rpartition("/")[2] in marked
    assert {shown(attr) for attr, _ in stand.rows[0]} == {
        "title on selected focus",
        "dim on selected focus",
        "selected focus",
    }
    stand.draw(has_focus=False)
    assert all("focus" not in shown(attr) for attr, _ in stand.rows[0])


def test_a_system_folds_with_what_it_holds() -> None:
    stand = Stand(*runs(API))
    stand.tree.fold(is_open=False)
    assert stand.tree.selected == Entry("web")
    assert [row.split()[1] for row in stand.draw()[:3]] == ["web", "data", "database"]
    assert stand.row("web") == "▸ web 1/2"
    stand.tree.fold(is_open=True)
    assert stand.draw()[1].split()[1] == "api"


def test_folding_goes_from_the_commands_to_the_job_to_the_system() -> None:
    stand = Stand()
    stand.tree.fold(is_open=True)
    stand.tree.move(2)
    assert stand.tree.selected == Entry("web", API, 2)
    stand.tree.fold(is_open=False)
    assert stand.tree.selected == Entry("web", API)
    stand.tree.fold(is_open=False)
    assert stand.tree.selected == Entry("web")


def test_where_one_clicks_is_selected() -> None:
    stand = Stand(rows=3)
    stand.tree.move(99)
    stand.draw()
    assert stand.tree.select_at(1)
    assert stand.tree.selected == Entry("tools", SHELL)
    assert not stand.tree.select_at(3), "there is nothing"


def test_a_job_that_is_gone_to_is_unfolded_and_no_longer_narrowed_away() -> None:
    stand = Stand()
    stand.tree.fold(is_open=False)
    stand.tree.narrow("psql")
    stand.tree.select(WORKER)
    assert stand.tree.narrowed == ""
    assert stand.marked()[0].split()[1] == "worker"


# Ordering, narrowing.


def test_the_order_goes_round_and_the_selection_stays_on_its_job() -> None:
    stand = Stand(
        *runs(API),
        became(DATABASE, State.FAILED, exit=Status(1)),
        events.Measured((Load(WORKER, 9.0, 1, 1), Load(SHELL, 1.0, 9, 1))),
    )
    seen = {}
    for _ in range(5):
        order = stand.tree.sort()
        seen[order] = [row.split()[1] for row in stand.draw() if "/" in row.split()[1:2][0:1].__str__()]
        assert stand.tree.selected == Entry("web", API)
    assert seen["state"] == [DATABASE, API, SHELL, WORKER]
    assert seen["name"] == [DATABASE, SHELL, API, WORKER]
    assert seen["cpu"][:2] == [WORKER, SHELL]
    assert seen["memory"][:2] == [SHELL, WORKER]
    assert stand.tree.order == "plan"


def test_who_waits_in_vain_is_nearly_as_urgent_as_what_has_failed() -> None:
    stand = Stand(
        became(API, State.WAITING),
        became(WORKER, State.BACKOFF, exit=Status(1)),
        became(DATABASE, State.FAILED),
        became(SHELL, State.WAITING),
        Waits(SHELL, 0, (Lack(DATABASE, "ready", is_hopeless=True),)),
    )
    stand.tree.sort()
    assert [row.split()[1] for row in stand.draw() if "/" in row] == [DATABASE, SHELL, WORKER, API]


def test_who_was_on_a_system_is_on_something_that_shows_in_another_order() -> None:
    stand = Stand()
    stand.tree.move(-1)
    stand.tree.sort()
    assert stand.tree.selected in stand.tree.entries()
    assert stand.marked()[0].split()[1] == stand.tree.chosen()[0]


def test_narrowing_shows_what_fits_best_first_and_what_of_it_does() -> None:
    stand = Stand()
    stand.tree.narrow("wk")
    assert [row.split()[1] for row in stand.draw() if row] == [WORKER]
    (row,) = [row for row in stand.rows if row]
    assert "".join(part for attr, part in row if "match" in shown(attr)) == "wk"
    stand.tree.narrow("da")
    assert stand.tree.selected == Entry("data", DATABASE), "the best of them"
    stand.tree.narrow("")
    assert stand.tree.selected == Entry("data", DATABASE)
    assert stand.marked()[0].split()[1] == "database"


def test_the_log_is_found_by_its_name() -> None:
    stand = Stand()
    stand.tree.narrow("zap")
    assert stand.tree.selected == Entry("", LOG)
    stand.tree.narrow("")
    assert stand.tree.selected == Entry("", LOG)


def test_where_nothing_fits_nothing_is_chosen() -> None:
    stand = Stand()
    stand.tree.narrow("xyz")
    assert stand.draw()[0].strip() == "no job fits"
    assert stand.tree.chosen() == ()
    stand.tree.move(1)
    stand.tree.fold(is_open=False)
    assert not stand.tree.select_at(0)
    stand.tree.narrow("")
    assert stand.tree.chosen() == (API,)


# The plan becomes another one.


def becomes(stand: Stand, *jobs: str, systems: tuple[str, ...] = ()) -> None:
    """The plan has these jobs now, and those that are not among them have ended."""
    new = plan(*(job(name, "new") for name in jobs))
    new = new._replace(systems=(*new.systems, *(System(name, ()) for name in systems)))
    for name in jobs:
        if name not in stand.board.rows:
            stand.hear(events.Restated(name, events.Row(name, 1)))
    gone = set(stand.board.rows).difference(jobs)
    stand.tree.adopt(new, gone)
    stand.hear(*map(events.Removed, gone))


def names(stand: Stand) -> list[str]:
    return [row.split()[1] for row in stand.draw() if row][:-1]


def test_jobs_come_and_go_with_the_plan() -> None:
    stand = Stand()
    becomes(stand, "web/ui", WORKER, "shop/app", API, systems=("empty",))
    assert names(stand) == ["web", "ui", "worker", "api", "shop", "app", "empty"]
    assert stand.tree.selected == Entry("web", API), "it is still there"
    assert len(stand.tree.jobs[API].commands) == 1, "and has its new settings"
    heard(stand, 3, name="web/ui")
    assert stand.row("ui") == "○ ui +3", "of a new job nothing was seen"
    becomes(stand)
    assert (names(stand), stand.tree.selected) == ([], Entry("", LOG))


def test_a_job_that_still_ends_stands_where_it_stood_and_one_of_which_nothing_is_known_does_not_yet() -> None:
    stand = Stand(became(API, State.STOPPING), became(SHELL, State.STOPPING))
    stand.tree.adopt(plan(job("web/ui", "x"), job(WORKER, "x"), job("web/late", "x"), job(DATABASE, "x")))
    assert names(stand) == ["web", "api", "worker", "data", "database", "tools", "psql"]
    stand.hear(events.Restated("web/ui", events.Row("web/ui", 1)))
    stand.tree.adopt(plan(job("web/ui", "x"), job(WORKER, "x"), job("web/late", "x"), job(DATABASE, "x")), {API, SHELL})
    assert names(stand) == ["web", "ui", "worker", "data", "database"]


@pytest.mark.parametrize(
    ("chosen", "left", "neighbour"),
    [
        (API, (WORKER, DATABASE), WORKER),
        (WORKER, (API, DATABASE), API),
        (WORKER, (DATABASE,), DATABASE),
        (SHELL, (API, WORKER, DATABASE), DATABASE),
        (API, (DATABASE, SHELL), DATABASE),
    ],
)
def test_when_the_selected_job_is_gone_its_neighbour_is_selected(
    chosen: str, left: tuple[str, ...], neighbour: str
) -> None:
    stand = Stand()
    stand.tree.select(chosen)
    becomes(stand, *left)
    assert stand.tree.selected.job == neighbour
    assert len(stand.marked()) == 1


def test_when_the_selected_system_is_gone_what_stood_beside_it_is_selected() -> None:
    stand = Stand()
    stand.tree.move(2)
    assert stand.tree.selected == Entry("data")
    becomes(stand, API, WORKER)
    assert stand.tree.selected == Entry("web", WORKER)


def test_in_the_order_that_one_looks_at_the_neighbour_is_the_one_below() -> None:
    stand = Stand(*runs(WORKER), became(API, State.FAILED), became(SHELL, State.BACKOFF))
    stand.tree.sort()
    stand.tree.select(API)
    becomes(stand, WORKER, DATABASE, SHELL)
    assert stand.tree.selected == Entry("tools", SHELL)


def test_a_command_that_is_gone_leaves_its_job_selected() -> None:
    stand = Stand()
    stand.tree.fold(is_open=True)
    stand.tree.move(3)
    assert stand.tree.selected == Entry("web", API, 3)
    becomes(stand, API, WORKER, DATABASE)
    assert stand.tree.selected == Entry("web", API)
    assert " ".join(stand.draw()[2].split()) == "new"


# What an action is for.


def test_an_action_for_a_system_is_for_its_jobs_that_start_with_it_or_are_up() -> None:
    stand = Stand()
    stand.tree.move(-1)
    assert stand.tree.chosen() == (API, WORKER)
    stand.tree.select(SHELL)
    assert stand.tree.chosen() == (SHELL,)
    stand.tree.move(-1)
    assert stand.tree.chosen() == (), "it is started by its name"
    stand.hear(*runs(SHELL))
    assert stand.tree.chosen() == (SHELL,)
    stand.tree.move(99)
    assert stand.tree.chosen() == (), "the log is no job"


# What one has not seen.


def heard(stand: Stand, lines: int, errors: int = 0, name: str = API) -> None:
    stand.hear(events.Output(name, 1, lines, False, errors))


def test_what_was_said_before_one_came_was_seen() -> None:
    stand = Stand(events.Output(API, 1, 70, False, 3))
    assert stand.tree.unseen(API) == Seen()
    heard(stand, 75, 5)
    assert stand.tree.unseen(API) == Seen(5, 2)


def test_what_is_new_shows_until_one_looks() -> None:
    stand = Stand(*runs(API))
    heard(stand, 1234, 2)
    stand.hear(events.Fixed(API, 1, "x", 1.0, False), events.GaveUp(API, 1, "y", "why"))
    assert stand.row("api") == "◐ api 🔧2 ✗2 +1k 0s"
    stand.tree.look_at(API)
    assert stand.row("api") == "◐ api 0s"
    heard(stand, 1235, 2)
    assert stand.row("api") == "◐ api +1 0s"


def test_counts_have_their_turn_and_all_else_shows_at_once() -> None:
    jobs = [job(f"web/j{number}", "x") for number in range(20)]
    board = Board((each.name, 1) for each in jobs)
    tree = Tree(plan(*jobs), board, UNICODE, lambda: NOON)

    def draw(lines: int | None = None) -> list[str]:
        for each in jobs if lines else ():
            board.apply(Event(1, NOON, events.Output(each.name, 1, lines, False, 0)))
        return [text.plain(row).split()[-1] for row in tree.draw(40, 30, False)[1:21]]

    draw()
    assert draw(lines=1) == ["+1"] * 20
    assert not tree.is_behind
    assert sorted(set(draw(lines=2))) == ["+1", "+2"]
    for _ in range(TURNS - 1):
        assert tree.is_behind
        said = draw()
    assert said == ["+2"] * 20
    assert not tree.is_behind
    board.apply(Event(1, NOON, became("web/j7", State.FAILED)))
    assert "failed" in text.plain(tree.draw(40, 30, False)[8])


def test_of_a_folded_system_the_sum_shows() -> None:
    stand = Stand()
    heard(stand, 5, 1)
    heard(stand, 3, 1, WORKER)
    assert stand.row("web") == "▾ web 0/2"
    stand.tree.fold(is_open=False)
    assert stand.row("web") == "▸ web ✗2 +8 0/2"


def test_of_the_log_what_is_new_shows_as_well() -> None:
    stand = Stand()
    stand.draw()
    stand.tree.log_lines = 2
    assert stand.row("zap") == "zap +2 its own log"
    stand.tree.look_at(LOG)
    assert stand.row("zap") == "zap its own log"


MOVES = st.one_of(
    st.tuples(st.just("move"), st.integers(-9, 9)),
    st.tuples(st.just("move_page"), st.integers(-2, 2)),
    st.tuples(st.just("fold"), st.booleans()),
    st.tuples(st.just("toggle_fold")),
    st.tuples(st.just("sort")),
    st.tuples(st.just("narrow"), st.sampled_from(["", " ", "a", "web", "zap", "xyz", "W", "d b"])),
    st.tuples(st.just("select"), st.sampled_from([API, DATABASE, SHELL, LOG])),
    st.tuples(st.just("select_at"), st.integers(0, 12)),
)


@given(moves=st.lists(MOVES, max_size=20), rows=st.integers(1, 12), columns=st.integers(1, 60))
def test_whatever_one_does_what_is_chosen_is_what_is_seen(
    moves: list[tuple[Any, ...]], rows: int, columns: int
) -> None:
    stand = Stand(rows=rows, columns=columns)
    for name, *given_to in moves:
        getattr(stand.tree, name)(*given_to)
        assert len(stand.marked()) == (1 if stand.tree.entries() else 0)
        assert stand.tree.selected in stand.tree.entries() or not stand.tree.chosen()


def test_a_command_that_ended_long_ago_is_that_of_its_own_run() -> None:
    ran = (Ran(1, 1, 1, 0.0, Status(1), 1.0), Ran(2, 1, 5, 0.0))
    stand = Stand(events.Restated(API, events.Row(API, 3, State.RUNNING, 2, pid=5, command=1, ran=ran)))
    stand.tree.fold(is_open=True)
    assert " ".join(stand.draw()[2].split()) == "▸ cd api"
