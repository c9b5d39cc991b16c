"""Events folded into rows: what a person is told of a job is what happened to it, also for who has missed some."""

from __future__ import annotations

import pytest

from zap import events
from zap.board import Board, Row
from zap.events import Event, Fact, State, Status

J = "web/api"


def row(*facts: Fact) -> Row:
    """The row of the job when these have happened, one a second."""
    board = Board([(J, 3), ("web/other", 1)])
    for n, fact in enumerate(facts, 1):
        board.apply(Event(n, float(n), fact))
    assert board.rows["web/other"] == Row("web/other", 1)
    return board.rows[J]


def became(state: State, epoch: int = 1, why: str = "", exit: Status | None = None) -> Fact:
    return events.Became(J, epoch, state, why, exit=exit)


def test_rows_stand_in_the_plans_order() -> None:
    assert list(Board([("b/b", 1), ("a/a", 2)]).rows) == ["b/b", "a/a"]


def test_a_job_of_which_nothing_was_told_has_not_begun() -> None:
    assert row() == Row(J, 3, State.STOPPED)
    assert (row().begun, row().restarts, row().is_at_rest) == (None, 0, True)


def test_a_life() -> None:
    now = row(
        became(State.STARTING),
        events.Spawned(J, 1, 77),
        events.CommandStarted(J, 1, 1, "cd api"),
        events.CommandEnded(J, 1, 1, Status(0), 0.1),
        events.CommandStarted(J, 1, 2, "npm ci"),
        events.Exited(J, 1, Status(4), 1.0),
        became(State.FAILED, why="exit 4", exit=Status(4)),
    )
    assert now == Row(
        J, 3, State.FAILED, epoch=1, since=7.0, begun=1.0, command=2, text="npm ci", exit=Status(4), why="exit 4"
    )


def test_it_has_begun_when_it_was_first_started() -> None:
    again = row(became(State.STARTING), became(State.BACKOFF), became(State.STARTING, 2), became(State.RUNNING, 2))
    assert (again.begun, again.since, again.restarts) == (1.0, 4.0, 1)


def test_an_exit_belongs_to_its_run() -> None:
    """What the last child ended with says nothing about the one that runs."""
    facts = [became(State.STARTING), events.Exited(J, 1, Status(4), 1.0), became(State.BACKOFF, exit=Status(4))]
    assert row(*facts).exit == Status(4)
    assert row(*facts, became(State.STARTING, 2), events.Spawned(J, 2, 78)).exit is None


def test_the_command_of_the_last_run_is_not_shown_for_the_next() -> None:
    now = row(events.CommandStarted(J, 1, 2, "npm ci"), events.Spawned(J, 2, 78))
    assert (now.command, now.text) == (0, "")


FIX = (J, 1, "lock")
STARTED = events.FixStarted(*FIX, ("rm x",))
FIXED = events.Fixed(*FIX, 0.1, True)
FAILED = events.FixFailed(*FIX, "exit 1")


@pytest.mark.parametrize(
    ("facts", "tasks", "fixups", "gave_up"),
    [
        ([STARTED], 1, 0, 0),
        ([STARTED, STARTED], 2, 0, 0),
        ([STARTED, FIXED], 0, 1, 0),
        ([STARTED, FAILED], 0, 0, 1),
        ([STARTED, FIXED, STARTED, FIXED, STARTED, FAILED], 0, 2, 1),
        ([STARTED, events.Skipped(9)], 0, 0, 0),
        ([STARTED, events.Skipped(9), FIXED], 0, 1, 0),
        ([events.GaveUp(*FIX, "used up")], 0, 0, 1),
        ([events.Proposed(*FIX, 3, ("rm x",), ("none",))], 0, 0, 1),
        ([events.Matched(*FIX, 3, "a lock")], 0, 0, 0),
    ],
)
def test_remedies_are_counted(facts: list[Fact], tasks: int, fixups: int, gave_up: int) -> None:
    now = row(became(State.DONE), *facts)
    assert (now.tasks, now.fixups, now.gave_up) == (tasks, ("lock",) * fixups, ("lock",) * gave_up)
    assert now.is_at_rest is (tasks == 0)


@pytest.mark.parametrize("state", State)
def test_a_job_is_at_rest_when_it_has_ended_for_now(state: State) -> None:
    assert row(became(state)).is_at_rest is (state in (State.STOPPED, State.DONE, State.FAILED))


@pytest.mark.parametrize(
    "fact",
    [
        events.Output(J, 1, 9),
        events.Answered(J, 1, "Sure?"),
        events.Signalled(J, 1, "TERM"),
        events.Relieved(J, "output lines", 1, 2, 3),
        events.Became("no/such", 1, State.DONE),
        events.Opened("/jobs.yaml", 1, "1"),
        events.Closed(),
    ],
)
def test_what_changes_no_row_changes_none(fact: Fact) -> None:
    assert row(fact) == row()


@pytest.mark.parametrize(
    ("exit", "code"),
    [(Status(0), 0), (Status(4), 4), (Status(signal="KILL"), 137), (Status(signal="TERM"), 143), (None, 127)],
)
def test_a_code_is_what_a_shell_would_say(exit: Status | None, code: int) -> None:
    assert row(became(State.FAILED, exit=exit)).code == code


def test_a_death_by_a_signal_is_never_taken_for_a_good_end() -> None:
    assert row(became(State.FAILED, exit=Status(signal="RTMIN+3"))).code >= 128
