"""Typing into a job: what is sent to it, and what is shown of what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recorded import Person, Recorded, job, plan, runs
from zap import requests
from zap.plan import Bound
from zap.tui.inside import PAGE

J = "desk/edit"
QUERY, ANSWER = b"\x1b[6n", "\x1b[1;1R"


@pytest.fixture
def session() -> Recorded:
    session = Recorded(plan(job(J, "vim")), Bound(1000, 10_000))
    for fact in runs(J, "vim", pid=77):
        session.tell(fact)
    return session


@pytest.fixture
def ann(session: Recorded) -> Iterator[Person]:
    """At 80 × 24, which leaves 52 × 21 for the job."""
    with Person(session) as ann:
        yield ann


def typed(session: Recorded) -> str:
    return "".join(asked.text for asked in session.asked if isinstance(asked, requests.Send))


def sizes(session: Recorded) -> list[tuple[int, int]]:
    return [(asked.columns, asked.rows) for asked in session.asked if isinstance(asked, requests.Resize)]


def test_what_a_program_asks_its_terminal_is_answered_only_while_one_is_inside(ann: Person) -> None:
    ann.hears_say(J, QUERY)
    ann.presses("enter")
    assert typed(ann.session) == ""
    ann.hears_say(J, b"\x1b[H" + QUERY)
    assert typed(ann.session) == ANSWER
    ann.presses("ctrl ]")
    ann.hears_say(J, b"\x1b[H" + QUERY)
    ann.presses("enter")
    assert typed(ann.session) == ANSWER


def test_who_has_the_right_size_already_hears_of_another_one_first(ann: Person) -> None:
    ann.presses("enter")
    [first, second] = sizes(ann.session)
    assert first == (second[0] - 1, second[1])
    ann.presses("ctrl ]", "enter")
    assert sizes(ann.session)[2:] == [first, second]
    ann.resizes(60, 15)
    assert sizes(ann.session)[4:] == [(60, 12)]


def test_keys_are_sent_in_order_as_the_program_wants_them(ann: Person) -> None:
    ann.presses("enter", "up", "é", "ctrl c")
    ann.hears_say(J, b"\x1b[?1h")
    ann.presses("up", "begin paste", "x", "enter", "end paste")
    assert typed(ann.session) == "\x1b[Aé\x03\x1bOAx\r"


def test_what_the_program_wants_is_known_when_one_comes_back(ann: Person) -> None:
    ann.hears_say(J, b"\x1b[?1h")
    ann.presses("enter", "ctrl ]")
    for number in range(2 * PAGE):
        ann.session.say(J, f"line {number}\n")
    ann.hears_say(J, "prompt> ")
    ann.presses("enter", "up")
    assert typed(ann.session) == "\x1bOA"
    assert ann.sees(f"line {2 * PAGE - 1}")
    assert ann.sees("prompt>")


def test_another_run_of_the_job_begins_with_a_terminal_of_its_own(ann: Person) -> None:
    ann.presses("enter")
    ann.hears_say(J, b"\x1b[?1h\x1b[?25l")
    ann.presses("ctrl ]")
    ann.hears(*runs(J, "vim", pid=78, epoch=2))
    ann.hears_say(J, "\x1bc")
    ann.presses("enter", "up")
    assert typed(ann.session) == "\x1b[A"
    assert ann.cursor


def test_a_sequence_that_was_begun_before_lines_were_lost_swallows_nothing(ann: Person) -> None:
    ann.presses("enter")
    ann.hears_say(J, b"\x1b]0;a title that is never ended")
    ann.session.say(J, b"x" * 20_000 + b"\n")  # more than is kept, and gone before anybody looks
    ann.session.say(J, "y\n" * 2000)
    ann.hears_say(J, "still there")
    assert ann.sees("still there")


def test_what_the_runner_refuses_is_told(ann: Person) -> None:
    ann.presses("enter")
    ann.session.refusal = "desk/edit does not read what is typed to it"
    ann.presses("x")
    assert ann.sees("does not read what is typed to it")
    assert ann.desk.where == "inside"


def test_what_is_said_to_one_who_is_inside_is_not_unseen(ann: Person) -> None:
    ann.presses("enter")
    ann.hears_say(J, "hello\n" * 3)
    ann.presses("ctrl ]")
    assert not ann.sees("+3")
