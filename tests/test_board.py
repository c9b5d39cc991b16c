"""Events folded into rows: what a person is told of a job is what happened to it, also for who has missed some."""

from __future__ import annotations

import pytest

from zap import events
from zap.board import RAN_MOST, Board
from zap.events import Event, Fact, Load, Proposed, Question, Ran, Row, State, Status

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
        J,
        3,
        State.FAILED,
        epoch=1,
        since=7.0,
        begun=1.0,
        spawned=2.0,
        command=2,
        text="npm ci",
        exit=Status(4),
        why="exit 4",
        asked=1.0,
        ran=(Ran(1, 1, 0, 3.0, Status(0), 0.1), Ran(1, 2, 0, 5.0)),
    )


def test_while_it_lives_its_process_is_known() -> None:
    assert row(events.Spawned(J, 1, 77)).pid == 77
    assert row(events.Spawned(J, 1, 77), events.Exited(J, 1, Status(0), 1.0)).pid == 0


def test_how_long_a_backoff_lasts_is_said_while_it_lasts() -> None:
    backoff = events.Became(J, 1, State.BACKOFF, "exit 1", seconds=2.5)
    assert row(backoff).seconds == 2.5
    assert row(backoff, became(State.STARTING, 2)).seconds is None


def test_it_has_begun_when_it_was_first_started() -> None:
    again = row(became(State.STARTING), became(State.BACKOFF), became(State.STARTING, 2), became(State.RUNNING, 2))
    assert (again.begun, again.since, again.restarts) == (1.0, 4.0, 1)


def test_the_way_up_begins_anew_with_each_wait_or_start() -> None:
    up = [became(State.WAITING, 0), became(State.STARTING), became(State.RUNNING), became(State.READY)]
    assert (row(*up).asked, row(*up).up) == (1.0, 4.0)
    again = row(*up, became(State.BACKOFF), became(State.WAITING))
    assert (again.begun, again.asked, again.up) == (1.0, 6.0, None)
    assert row(*up[:3], became(State.DONE)).up == 4.0


def test_what_it_waits_for_is_known_while_it_waits() -> None:
    waits = [became(State.WAITING), events.Waits(J, 1, (events.Lack("web/db", "ready"),))]
    assert [lack.job for lack in row(*waits).lacks] == ["web/db"]
    assert row(*waits, became(State.STARTING)).lacks == ()
    held = [became(State.STOPPING), events.Waits(J, 1, leavers=("web/ui",))]
    assert row(*held).leavers == ("web/ui",)
    assert row(*held, became(State.STOPPING)).leavers == ()


def test_of_each_question_the_last_answer_of_this_run_is_kept() -> None:
    def answer(question: Question, times: int, epoch: int = 1) -> events.Probed:
        return events.Probed(J, epoch, question, False, "tcp localhost:80", "refused", times)

    begin = [became(State.STARTING), events.Spawned(J, 1, 77)]
    now = row(*begin, answer("health", 1), answer("ping", 1), answer("health", 2), answer("health", 9, epoch=0))
    assert [(probed.question, probed.times, probed.when) for probed in now.probed] == [
        ("ping", 1, 4.0),
        ("health", 2, 5.0),
    ]
    told = row(*begin, answer("health", 1), events.Notified(J, 1, "loading"))
    assert told.status == "loading"
    again = row(*begin, answer("health", 1), events.Notified(J, 1, "loading"), events.Spawned(J, 2, 78))
    assert (again.probed, again.status) == ((), "")


def test_a_job_that_is_removed_has_no_row() -> None:
    board = Board([(J, 1)])
    board.apply(events.Event(1, 1.0, events.Removed(J)))
    assert not board.rows


def test_an_exit_belongs_to_its_run() -> None:
    """What the last child ended with says nothing about the one that runs."""
    facts = [became(State.STARTING), events.Exited(J, 1, Status(4), 1.0), became(State.BACKOFF, exit=Status(4))]
    assert row(*facts).exit == Status(4)
    assert row(*facts, became(State.STARTING, 2), events.Spawned(J, 2, 78)).exit is None


def test_the_command_of_the_last_run_is_not_shown_for_the_next() -> None:
    now = row(events.CommandStarted(J, 1, 2, "npm ci"), events.Spawned(J, 2, 78))
    assert (now.command, now.text) == (0, "")


# What ran.


def started(command: int, epoch: int = 1, line: int = 0) -> Fact:
    return events.CommandStarted(J, epoch, command, f"command {command}", line)


def ended(command: int, epoch: int = 1, code: int = 0) -> Fact:
    return events.CommandEnded(J, epoch, command, Status(code), 0.5)


def test_each_command_is_remembered_with_where_it_began_and_how_it_ended() -> None:
    now = row(started(1, line=1), ended(1), started(2, line=8), ended(2, code=3), started(1, epoch=2, line=9))
    assert now.ran == (
        Ran(1, 1, 1, 1.0, Status(0), 0.5),
        Ran(1, 2, 8, 3.0, Status(3), 0.5),
        Ran(2, 1, 9, 5.0),
    )


def test_an_end_is_that_of_its_own_run() -> None:
    now = row(started(1), started(1, epoch=2), ended(1, code=7))
    assert [ran.status for ran in now.ran] == [Status(7), None]


def test_of_what_ran_the_last_is_remembered() -> None:
    now = row(*[started(1, epoch) for epoch in range(1, RAN_MOST + 3)], ended(1, 1))
    assert [ran.epoch for ran in now.ran] == list(range(3, RAN_MOST + 3))
    assert all(ran.status is None for ran in now.ran)


# Lines.


def test_lines_and_errors_are_counted_and_never_go_back() -> None:
    """What was restated may be ahead of a pointer that comes after it."""
    ahead = events.Restated(J, Row(J, 3, lines=12, errors=3))
    assert row(events.Output(J, 1, 9, errors=2))[-4:-2] == (9, 2)
    for facts in ([ahead, events.Output(J, 1, 9, errors=2)], [events.Output(J, 1, 9, errors=2), ahead]):
        now = row(*facts)
        assert (now.lines, now.errors) == (12, 3)
    now = row(ahead, events.Output(J, 10, 14, errors=4))
    assert (now.lines, now.errors) == (14, 4)


# What is used.


def test_what_is_used_is_that_of_the_newest_measure_and_of_nobody_who_has_ended() -> None:
    first = events.Measured((Load(J, 50.0, 1000, 2), Load("no/such", 1.0, 1, 1)))
    second = events.Measured((Load(J, 0.5, 2000, 2),))
    assert (row(first).cpu, row(first).memory) == (50.0, 1000)
    assert (row(first, second).cpu, row(first, second).memory) == (0.5, 2000)
    over = row(first, events.Exited(J, 1, Status(0), 1.0))
    assert (over.cpu, over.memory) == (0.0, 0)


# How it is, for who has not followed.


def test_what_is_restated_replaces_all_that_was_thought() -> None:
    now = Row(J, 3, State.DONE, 4, 9.0, fixups=("lock",), lines=7)
    assert row(STARTED, became(State.FIXING, 3), events.Restated(J, now)) == now


def test_a_board_may_begin_with_what_is_restated_alone() -> None:
    board = Board(())
    for name in ("b/b", "a/a"):
        board.apply(Event(1, 1.0, events.Restated(name, Row(name, 1))))
    assert board.rows == {"b/b": Row("b/b", 1), "a/a": Row("a/a", 1)}
    assert list(board.rows) == ["b/b", "a/a"]


# Remedies.

FIX = (J, 1, "lock")
STARTED = events.FixStarted(*FIX, ("rm x",))
FIXED = events.Fixed(*FIX, 0.1, True)
FAILED = events.FixFailed(*FIX, "exit 1")
PROPOSED = Proposed(*FIX, 3, ("rm x",), ("none",))
OTHER = PROPOSED._replace(fixup="key")


@pytest.mark.parametrize(
    ("facts", "tasks", "fixups", "gave_up"),
    [
        ([STARTED], 1, 0, 0),
        ([STARTED, STARTED], 2, 0, 0),
        ([STARTED, FIXED], 0, 1, 0),
        ([STARTED, FAILED], 0, 0, 1),
        ([STARTED, FIXED, STARTED, FIXED, STARTED, FAILED], 0, 2, 1),
        ([FIXED], 0, 1, 0),
        ([STARTED, events.Skipped(9), events.Restated(J, Row(J, 3))], 0, 0, 0),
        ([events.GaveUp(*FIX, "used up")], 0, 0, 1),
        ([PROPOSED], 0, 0, 1),
        ([events.Matched(*FIX, 3, "a lock")], 0, 0, 0),
    ],
)
def test_remedies_are_counted(facts: list[Fact], tasks: int, fixups: int, gave_up: int) -> None:
    now = row(became(State.DONE), *facts)
    assert (now.tasks, now.fixups, now.gave_up) == (tasks, ("lock",) * fixups, ("lock",) * gave_up)
    assert now.is_at_rest is (tasks == 0)


@pytest.mark.parametrize(
    ("facts", "asking"),
    [
        ([PROPOSED], [PROPOSED]),
        ([PROPOSED, OTHER], [PROPOSED, OTHER]),
        ([PROPOSED, OTHER, STARTED], [OTHER]),
        ([PROPOSED, events.FixStarted(J, 1, "other", ())], [PROPOSED]),
        ([PROPOSED, became(State.FAILED)], [PROPOSED]),
        ([PROPOSED, events.Spawned(J, 2, 78)], []),
    ],
)
def test_what_wants_approval_is_asked_for_until_it_runs_or_the_next_run_begins(
    facts: list[Fact], asking: list[Proposed]
) -> None:
    assert row(*facts).asking == tuple(asking)


@pytest.mark.parametrize("state", State)
def test_a_job_is_at_rest_when_it_has_ended_for_now(state: State) -> None:
    assert row(became(state)).is_at_rest is (state in (State.STOPPED, State.DONE, State.FAILED))


def test_the_signal_that_was_sent_is_known_until_the_state_changes() -> None:
    stopping = events.Became(J, 1, State.STOPPING)
    assert row(stopping, events.Signalled(J, 1, "TERM"), events.Signalled(J, 1, "KILL")).sent == "KILL"
    assert row(events.Signalled(J, 1, "HUP"), stopping).sent == ""


# Standing still.

UP = [became(State.STARTING), events.Spawned(J, 1, 77), became(State.RUNNING), became(State.READY)]
PAUSED = events.Paused(J, 1)
RESUMED = events.Resumed(J, 1)
BY = "process 9 of user 1"


def paused_for(*causes: int, ask: str = BY) -> Row:
    """How the job is when these have been paused that follow from such events; the first one is the request."""
    board = Board([(J, 3)])
    board.apply(Event(7, 1.0, events.Requested("pause", (J,), ask)))
    for n, cause in enumerate(causes, 8):
        board.apply(Event(n, float(n), PAUSED, cause))
    return board.rows[J]


def test_a_job_that_stands_still_does_so_since_then_and_goes_on_as_it_was() -> None:
    still = row(*UP, PAUSED)
    assert (still.is_paused, still.state, still.since, still.why) == (True, State.READY, 5.0, "")
    assert row(*UP, PAUSED, RESUMED) == row(*UP)
    assert row(*UP[:3], PAUSED).since == 4.0
    assert row(*UP[:3], PAUSED, RESUMED) == row(*UP[:3])._replace(since=2.0), "about when it was born"
    assert row(*UP, RESUMED) == row(*UP)


def test_who_has_paused_it_is_known_where_that_is_what_it_follows_from() -> None:
    assert paused_for(7).why == f"by {BY}"
    assert paused_for(0).why == paused_for(3).why == ""
    told = events.Paused(J, 1, "process 77 was stopped by a signal")
    assert row(*UP, told).why == "process 77 was stopped by a signal"
    assert row(*UP, told, RESUMED).why == ""


def test_a_job_that_becomes_ready_meanwhile_stands_still_since_before() -> None:
    still = row(*UP[:3], PAUSED, became(State.READY))
    assert (still.state, still.is_paused, still.since, still.up) == (State.READY, True, 4.0, 5.0)
    assert row(*UP[:3], PAUSED, became(State.READY), RESUMED).since == 5.0


@pytest.mark.parametrize(
    "fact",
    [
        became(State.STOPPING),
        events.Signalled(J, 1, "HUP"),
        events.Exited(J, 1, Status(signal="KILL"), 1.0),
        events.Spawned(J, 2, 78),
    ],
)
def test_what_ends_or_wakes_a_job_ends_its_standing_still(fact: Fact) -> None:
    assert not row(*UP, PAUSED, fact).is_paused


def test_keys_wake_nobody() -> None:
    assert row(*UP, PAUSED, events.Signalled(J, 1, events.KEYS)).is_paused
    assert row(*UP, PAUSED, events.Signalled(J, 1, "HUP"))._replace(sent="") == row(*UP)


@pytest.mark.parametrize(
    "fact",
    [
        events.Cleared(J),
        events.Requested("stop", (J,), BY),
        events.Degraded("the log file", "No space left on device", J),
        events.Recovered("the log file", "", J),
        events.TookOver(78, "1", "the runner before ended by signal 9", 0.3),
        events.Skipped(9),
        events.Answered(J, 1, "Sure?"),
        events.Relieved(J, "output lines", 1, 2, 3),
        events.Opened("/jobs.yaml", 1, "1"),
        events.Closed(),
    ],
)
def test_what_changes_no_row_changes_none(fact: Fact) -> None:
    assert row(fact) == row()


def test_what_is_told_of_a_job_that_is_not_on_the_board_changes_nothing() -> None:
    board = Board([(J, 1)])
    for fact in (events.Became("no/such", 1, State.DONE), events.Output(events.LOG, 1, 9)):
        board.apply(Event(1, 1.0, fact))
    assert board.rows == {J: Row(J, 1)}


@pytest.mark.parametrize(
    ("exit", "code"),
    [(Status(0), 0), (Status(4), 4), (Status(signal="KILL"), 137), (Status(signal="TERM"), 143), (None, 127)],
)
def test_a_code_is_what_a_shell_would_say(exit: Status | None, code: int) -> None:
    assert row(became(State.FAILED, exit=exit)).code == code


def test_a_death_by_a_signal_is_never_taken_for_a_good_end() -> None:
    assert row(became(State.FAILED, exit=Status(signal="RTMIN+3"))).code >= 128
