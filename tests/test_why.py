"""Why a job is as it is: every state, and what zap knows about it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import why
from zap.events import Lack, Line, Probed, Proposed, Row, State, Status
from zap.plan import MIB, Command, Job, Limits, Ready, Stop, Until

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
            "stopping for 3.0 s (fixup lock): it has a moment to end by itself",
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
    assert why.sentence(given, JOB, NOW, {}) == f"{J} is {said}"


@pytest.mark.parametrize("state", [State.RUNNING, State.READY])
def test_a_job_that_stands_still_says_since_when_by_whom_and_how_it_goes_on(state: State) -> None:
    still = row(state, is_paused=True, why="by process 9 of user 1", **AT_2)
    said = "paused for 3.0 s at command 2/2 `npm start …`: by process 9 of user 1; `zap resume web/api` lets it go on"
    assert why.sentence(still, JOB, NOW, {}) == f"{J} is {said}"
    assert why.sentence(row(state, is_paused=True), JOB, NOW, {}).startswith(f"{J} is paused for 3.0 s; `zap resume")
    assert not why.is_plain(still)


KILLED = {"why": "out of memory (killed by KILL) at command 1/2 `cd api`", "exit": Status(None, "KILL", "memory")}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            Limits(memory=512 * MIB),
            "its processes may have 512 MiB together: give them more by `limits: {memory: …}`, or let them need less",
        ),
        (
            Limits(),
            "it has no limit of its own, so that the machine's was reached, or that of the group that zap is in",
        ),
    ],
)
def test_where_memory_was_used_up_its_limit_is_told_and_what_to_do(limits: Limits, said: str) -> None:
    job = JOB._replace(limits=limits)
    words = "loading 900 images"
    told = f"{J} is failed for 3.0 s: {KILLED['why']}; {said}; last words: {words}"
    assert why.sentence(row(State.FAILED, **KILLED), job, NOW, {}, words) == told
    for state in (State.BACKOFF, State.FIXING, State.STOPPING):
        assert f"; {said}" in why.sentence(row(state, **KILLED), job, NOW, {})
    assert "limit" not in why.sentence(row(State.FAILED, exit=Status(None, "KILL"), why="killed by KILL"), job, NOW, {})
    assert "limit" not in why.sentence(row(State.STARTING, **KILLED), job, NOW, {}), "it is the next run"


def test_a_job_that_starts_only_by_name_says_so() -> None:
    assert why.sentence(Row(J, 2), JOB._replace(start=False), NOW, {}).endswith("and it starts only by name")


PROBED = Probed(J, 1, "ready", False, "tcp localhost:5432", "connection refused", 7, 1, 1.0, NOW - 0.4)
READY_BY = [
    (Ready(by="exit"), {}, "it counts as ready when it has ended well"),
    (
        Ready(by="notify", within=10.0),
        {},
        "it counts as ready when it tells so, and is ended if that is not so in 7.0 s",
    ),
    (Ready(by="line", line="up$"), {}, "it counts as ready when it says `up$`"),
    (Ready(by="probe"), {}, "not ready, it was not asked yet"),
    (
        Ready(by="probe"),
        {"probed": (PROBED,)},
        "not ready, probe `tcp localhost:5432`: connection refused, 7 times, next in 600 ms",
    ),
    (Ready(), {"status": "loading 3/9"}, "it counts as ready when it has lived 2.0 s longer; it says: loading 3/9"),
]


@pytest.mark.parametrize(("ready", "fields", "said"), READY_BY)
def test_what_makes_it_ready_is_told(ready: Ready, fields: dict[str, Any], said: str) -> None:
    job = JOB._replace(ready=ready)
    assert why.sentence(row(State.RUNNING, **fields), job, NOW, {}) == f"{J} is running for 3.0 s: {said}"


def lacking(until: Until = "ready", job: str = "web/db") -> Lack:
    return Lack(job, until, "listening" if until == "line" else None)


def of(state: State, **fields: Any) -> Row:
    return row(state, **fields)._replace(job="web/db")


WAITS = [
    (
        [lacking()],
        of(State.RUNNING, probed=(PROBED,)),
        "not ready, probe `tcp localhost:5432`: connection refused, 7 times",
    ),
    ([lacking()], of(State.RUNNING, **AT_2), "not ready, running for 3.0 s at command 2/2 `npm start …`"),
    ([lacking("started")], of(State.STARTING), "not started, it is starting"),
    ([lacking("done")], of(State.READY), "not done, ready for 3.0 s"),
    ([lacking()], of(State.RUNNING, is_paused=True, why="by process 9"), "not ready, it is paused, by process 9"),
    ([lacking("done")], of(State.READY, is_paused=True), "not done, it is paused"),
    ([lacking("ended")], of(State.STOPPING), "not ended, it is stopping"),
    ([lacking("line")], of(State.READY), "not said `listening`, ready for 3.0 s"),
    ([lacking()], of(State.FAILED, why="exit 1"), "it is failed, exit 1, and not ready"),
    ([lacking()], of(State.STOPPED), "it is stopped, and not ready"),
    ([lacking()], of(State.BACKOFF, why="exit 1"), "not ready, it starts again after exit 1"),
    ([lacking()], of(State.WAITING, lacks=(lacking(job="web/net"),)), "it waits for web/net itself"),
    ([lacking(), lacking("done", "web/gone")], of(State.STARTING), "not ready, it is starting; and web/gone: not done"),
]


@pytest.mark.parametrize(("lacks", "needed", "said"), WAITS)
def test_for_whom_it_waits_and_why_is_told(lacks: list[Lack], needed: Row, said: str) -> None:
    waiting = row(State.WAITING, lacks=tuple(lacks))
    told = why.sentence(waiting, JOB, NOW, {needed.job: needed})
    assert told.startswith(f"{J} waits for web/db: {said}")


def test_who_is_held_by_others_says_by_whom() -> None:
    held = row(State.STOPPING, leavers=("web/ui", "web/worker"))
    assert why.sentence(held, JOB, NOW, {}).endswith(": first those end that need it: web/ui, web/worker")


def test_who_was_skipped_says_why() -> None:
    skipped = row(State.STOPPED, why="skipped, because web/db is failed")
    assert why.sentence(skipped, JOB, NOW, {}).endswith("for 3.0 s: skipped, because web/db is failed")
    assert not why.is_plain(skipped)


def test_what_is_not_well_with_who_is_ready_is_told() -> None:
    trouble = Probed(J, 1, "health", False, "tcp localhost:80", "connection refused", 2, 3)
    ill = row(State.READY, probed=(trouble,))
    assert why.sentence(ill, JOB, NOW, {}).endswith("; health 2/3 failed: tcp localhost:80: connection refused")
    assert not why.is_plain(ill)
    assert why.is_plain(row(State.READY, probed=(trouble._replace(is_ok=True),)))


def test_each_rung_of_the_ladder_has_its_time() -> None:
    job = JOB._replace(stop=Stop(("INT", "TERM"), keys="q"), grace=9.0)
    steps = [
        (0.5, "keys", "its keys were typed, INT follows in 2.5 s"),
        (4.0, "INT", "INT was sent, TERM follows in 2.0 s"),
    ]
    steps.append((8.0, "TERM", "TERM was sent, KILL follows in 1.0 s"))
    for passed, sent, said in steps:
        stopping = row(State.STOPPING, sent=sent, since=NOW - passed)
        assert why.ladder(stopping, job, NOW) == said
    assert why.ladder(row(State.STOPPING, hook="after_stop"), JOB, NOW) == "its clean-up runs"
    at_once = JOB._replace(grace=0.0)
    assert why.ladder(row(State.STOPPING, sent="TERM"), at_once, NOW) == "TERM was sent, KILL follows in 0 ms"


def test_a_stop_command_is_told() -> None:
    job = JOB._replace(stop=Stop(command="npm stop"))
    assert why.sentence(row(State.STOPPING), job, NOW, {}).endswith(": its stop command was run, KILL follows in 7.0 s")


def test_last_words_are_told_of_what_went_wrong() -> None:
    assert why.sentence(row(State.FAILED, **ENDED), JOB, NOW, {}, "no route").endswith("`; last words: no route")
    assert "no route" not in why.sentence(row(State.READY), JOB, NOW, {}, "no route")


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
        optional={
            "begun": st.none(),
            "sent": st.sampled_from(["", "TERM", "KILL"]),
            "seconds": st.none(),
            "is_paused": st.booleans(),
            "exit": st.sampled_from([Status(1), KILLED["exit"]]),
        },
    ),
    now=st.floats(0, 1e9),
)
def test_whatever_a_job_is_there_is_one_sentence(state: State, fields: dict[str, Any], now: float) -> None:
    said = why.sentence(row(state, **fields), JOB, now, {})
    assert said.startswith(f"{J} is ")
    assert "-" not in said.partition(" is ")[2] and "None" not in said
    assert "\n" not in said
