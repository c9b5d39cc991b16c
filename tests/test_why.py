"""Why a job is as it is: every state, and what zap knows about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import why
from zap.events import Line, Proposed, Row, State, Status
from zap.plan import Command, Job, Stop

J = "web/api"
NOW = 1000.0
JOB = Job(J, "api", (Command("cd api"), Command("npm start\n--port 80")), "/", settle=5.0, grace=10.0)


def row(state: State, **fields: Any) -> Row:
    """Of a job that has been in this state for 3 s."""
    return Row(J, 2, state, **{"epoch": 1, "begun": 900.0, "since": NOW - 3.0} | fields)


def proposed(name: str) -> Proposed:
    return Proposed(J, 1, name, 1, ("x",), ())


ENDED = {"why": "exit 1 at command 2/2 `npm start …`", "exit": Status(1)}
AT_2 = {"command": 2, "text": "npm start\n--port 80", "pid": 7}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Row(J, 2), "stopped: nobody has started it"),
        (row(State.STOPPED), "stopped for 3.0 s: somebody stopped it"),
        (row(State.STARTING), "starting for 3.0 s"),
        (
            row(State.RUNNING, **AT_2),
            "running for 3.0 s at command 2/2 `npm start …`: it counts as ready when it has lived 2.0 s longer",
        ),
        (row(State.READY, **AT_2), "ready for 3.0 s at command 2/2 `npm start …`"),
        (row(State.STOPPING, sent="TERM"), "stopping for 3.0 s: TERM was sent, KILL follows in 7.0 s"),
        (row(State.STOPPING, sent="KILL"), "stopping for 3.0 s: KILL was sent, and something of it lives on"),
        (
            row(State.STOPPING, why="fixup lock"),
            "stopping for 3.0 s, because of fixup lock: it has a moment to end by itself",
        ),
        (row(State.FIXING, why="fixup lock"), "fixing for 3.0 s: fixup lock runs"),
        (
            row(State.BACKOFF, seconds=4.5, epoch=3, **ENDED),
            "waiting 1.5 s for its next start: exit 1 at command 2/2 `npm start …`; it was started 3 times",
        ),
        (
            row(State.BACKOFF, seconds=1.0, **ENDED),
            f"waiting 0 ms for its next start: {ENDED['why']}; it was started once",
        ),
        (row(State.DONE), "done for 3.0 s: every command ended well"),
        (row(State.FAILED, **ENDED), "failed for 3.0 s: exit 1 at command 2/2 `npm start …`"),
        (
            row(State.FAILED, epoch=5, gave_up=("lock", "port", "lock"), asking=(proposed("port"),), **ENDED),
            "failed for 3.0 s: exit 1 at command 2/2 `npm start …`; it was started 5 times; fixup port wants approval; "
            "fixup lock did not help",
        ),
    ],
)
def test_every_state_has_its_sentence(given: Row, said: str) -> None:
    assert why.sentence(given, JOB, NOW) == f"{J} is {said}"


def test_a_job_that_starts_only_by_name_says_so() -> None:
    assert why.sentence(Row(J, 2), JOB._replace(start=False), NOW).endswith("and it starts only by name")


def test_a_stop_command_is_told() -> None:
    job = JOB._replace(stop=Stop(command="npm stop"))
    assert why.sentence(row(State.STOPPING), job, NOW).endswith(": its stop command was run, KILL follows in 7.0 s")


def test_last_words_are_told_of_what_went_wrong() -> None:
    assert why.sentence(row(State.FAILED, **ENDED), JOB, NOW, "no route").endswith("`; last words: no route")
    assert "no route" not in why.sentence(row(State.READY), JOB, NOW, "no route")


def test_last_words_are_the_jobs_own() -> None:
    said = [b"fetching", b"\x1b[31mno route\x1b[0m ", b"  ", b"\xe2\x9c\x97 failed"]
    streams: Any = ("out", "err", "out", "zap")
    lines = [Line(n, 0.0, stream, 1, text) for n, (text, stream) in enumerate(zip(said, streams, strict=True))]
    assert why.last_words(lines) == "no route"
    assert why.last_words(lines[3:]) == ""


@given(
    state=st.sampled_from(State),
    fields=st.fixed_dictionaries(
        {"epoch": st.integers(0, 9), "command": st.integers(0, 2), "why": st.sampled_from(["", "exit 1"])},
        optional={"begun": st.none(), "sent": st.sampled_from(["", "TERM", "KILL"]), "seconds": st.none()},
    ),
    now=st.floats(0, 1e9),
)
def test_whatever_a_job_is_there_is_one_sentence(state: State, fields: dict[str, Any], now: float) -> None:
    said = why.sentence(row(state, **fields), JOB, now)
    assert said.startswith(f"{J} is ")
    assert "-" not in said.partition(" is ")[2] and "None" not in said
    assert "\n" not in said
