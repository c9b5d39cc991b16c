"""Words as plain data: no event loses a field on its way to `--json`, and a plan comes back as it was."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import events, plan
from zap.events import Event, Fact, Line, State, Status
from zap.wire import event_to_plain, line_to_plain, name_of, reader_of, to_plain

J = "web/api"

TOLD: list[tuple[Fact, dict[str, Any]]] = [
    (
        events.Became(J, 2, State.BACKOFF, "exit 1", 1.5, Status(1)),
        {"event": "became", "state": "backoff", "why": "exit 1", "seconds": 1.5, "exit": {"code": 1}},
    ),
    (events.Spawned(J, 2, 77), {"event": "spawned", "pid": 77}),
    (events.NotSpawned(J, 2, "no such folder"), {"event": "not_spawned", "why": "no such folder"}),
    (events.CommandStarted(J, 2, 3, "npm ci"), {"event": "command_started", "command": 3, "text": "npm ci"}),
    (
        events.CommandEnded(J, 2, 3, Status(0), 2.5),
        {"event": "command_ended", "command": 3, "status": {"code": 0}, "seconds": 2.5},
    ),
    (
        events.Exited(J, 2, Status(signal="KILL"), 2.5),
        {"event": "exited", "status": {"signal": "KILL"}, "seconds": 2.5},
    ),
    (events.Signalled(J, 2, "TERM"), {"event": "signalled", "signal": "TERM"}),
    (events.Output(J, 4, 9, True), {"event": "output", "first": 4, "last": 9, "is_open": True}),
    (
        events.Matched(J, 2, "lock", 9, "a lock"),
        {"event": "matched", "fixup": "lock", "line": 9, "about": "a lock"},
    ),
    (
        events.Proposed(J, 2, "lock", 9, ("rm x", "ls"), ("deletes-file",)),
        {"event": "proposed", "fixup": "lock", "line": 9, "commands": ["rm x", "ls"], "effects": ["deletes-file"]},
    ),
    (events.FixStarted(J, 2, "lock", ("rm x",)), {"event": "fix_started", "fixup": "lock", "commands": ["rm x"]}),
    (
        events.Fixed(J, 2, "lock", 0.5, False),
        {"event": "fixed", "fixup": "lock", "seconds": 0.5, "is_verified": False},
    ),
    (events.FixFailed(J, 2, "lock", "exit 1"), {"event": "fix_failed", "fixup": "lock", "why": "exit 1"}),
    (events.GaveUp(J, 2, "lock", "used up"), {"event": "gave_up", "fixup": "lock", "why": "used up"}),
    (events.Answered(J, 2, "Sure?"), {"event": "answered", "prompt": "Sure?"}),
    (
        events.Overloaded(J, "output lines", 9.0, 5.0, 3.0, "; less"),
        {"event": "overloaded", "what": "output lines", "value": 9.0, "limit": 5.0, "window": 3.0, "advice": "; less"},
    ),
    (
        events.Relieved(J, "output lines", 1.0, 5.0, 3.0),
        {"event": "relieved", "what": "output lines", "value": 1.0, "limit": 5.0, "window": 3.0},
    ),
    (events.Opened("/jobs.yaml", 7, "1.0"), {"event": "opened", "plan": "/jobs.yaml", "pid": 7, "version": "1.0"}),
    (events.Skipped(12), {"event": "skipped", "events": 12}),
    (events.Closed(0), {"event": "closed", "left": 0}),
]


@pytest.mark.parametrize(("fact", "told"), TOLD, ids=lambda item: type(item).__name__)
def test_an_event_is_told_with_all_its_fields(fact: Fact, told: dict[str, Any]) -> None:
    about = {key: value for key, value in (("job", J), ("epoch", 2)) if key in fact._fields}
    assert json.loads(json.dumps(event_to_plain(Event(17, 1763671234.1234567, fact)))) == {
        "n": 17,
        "at": 1763671234.123457,
        **about,
        **told,
    }
    assert {"n", "at", "event", *fact._fields} == {"n", "at", *about, *told}


def test_every_kind_of_fact_is_told() -> None:
    assert {type(fact) for fact, _ in TOLD} == set(get_args(Fact))
    assert len({name_of(kind) for kind in get_args(Fact)}) == len(TOLD)


def test_what_is_none_by_default_is_left_out() -> None:
    assert to_plain(events.Became(J, 1, State.DONE)) == {"job": J, "epoch": 1, "state": "done", "why": ""}


@pytest.mark.parametrize("is_open", [False, True])
def test_a_line_is_told_as_open_only_when_it_is(is_open: bool) -> None:
    told = line_to_plain(J, Line(42, 1.25, "err", 2, b"raw", is_open), "shown")
    assert told == {
        "at": 1.25,
        "event": "line",
        "job": J,
        "line": 42,
        "stream": "err",
        "command": 2,
        "text": "shown",
        **({"open": True} if is_open else {}),
    }


# Plans there and back.


def there_and_back(sent: plan.Plan) -> plan.Plan:
    back: plan.Plan = reader_of(plan.Plan)(json.loads(json.dumps(to_plain(sent))))
    return back


WHERE = plan.Where("jobs.yaml", 3, 5)
FULL = plan.Plan(
    path="/jobs.yaml",
    id="abc",
    systems=(
        plan.System(
            "web",
            (
                plan.Job(
                    "web/api",
                    "api",
                    (plan.Command("cd api", WHERE), plan.Command("npm ci")),
                    "/",
                    env=(("A", "1"), ("GONE", None)),
                    tries=None,
                    backoff=plan.Backoff(0.5, jitter=0.0),
                    stop=plan.Stop("INT", "bye"),
                    answers=(
                        plan.Answer("a?", reply=""),
                        plan.Answer("b?", secret=plan.Secret("file", "/key")),
                    ),
                    where=WHERE,
                ),
            ),
            start=False,
        ),
    ),
    fixups=(
        plan.Fixup(
            "lock",
            "a lock",
            (plan.Match("held", exit=(1, 2)), plan.Match(None, "err", "git", (3,))),
            run=("rm {x}", ("rm", "--", "{x}")),
            wait=plan.Wait(1.0, ("nc", "{x}")),
            verify="true",
        ),
    ),
)


def test_a_plan_comes_back_as_it_was() -> None:
    assert there_and_back(FULL) == FULL


def test_none_that_is_no_default_comes_back_as_none() -> None:
    """`tries` without a limit must not become five, and a variable that is unset must not become empty."""
    (job,) = there_and_back(FULL).jobs
    assert job.tries is None
    assert dict(job.env)["GONE"] is None


def test_a_step_comes_back_as_the_kind_that_it_was() -> None:
    """One that became an argv would no longer be seen by the shell, and the other way round by one."""
    (fixup,) = there_and_back(FULL).fixups
    assert fixup.run == ("rm {x}", ("rm", "--", "{x}"))
    assert (fixup.wait.probe, fixup.verify) == (("nc", "{x}"), "true")


TEXT = st.text(max_size=9)
STEPS = st.one_of(TEXT, st.lists(TEXT, max_size=3).map(tuple))


@given(env=st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=3), tries=st.none() | st.integers(), probe=STEPS)
def test_any_plan_comes_back_as_it_was(env: list[tuple[str, str | None]], tries: int | None, probe: plan.Step) -> None:
    job = plan.Job("web/api", "", (), "/", env=tuple(env), tries=tries)
    fixup = plan.Fixup("lock", "", (), (probe,), wait=plan.Wait(probe=probe))
    sent = plan.Plan("", "", (plan.System("web", (job,)),), (fixup,))
    assert there_and_back(sent) == sent


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "text",
        3,
        {},
        {**to_plain(FULL), "more": 1},
        {**to_plain(FULL), "systems": None},
        {**to_plain(FULL), "systems": [None, 1]},
        {**to_plain(FULL), "systems": [{"name": "web", "jobs": [{"name": "j"}]}]},
        {**to_plain(FULL), "fixups": [[]]},
    ],
)
def test_data_of_another_shape_is_an_error_that_can_be_caught(broken: object) -> None:
    with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
        reader_of(plan.Plan)(broken)


@pytest.mark.parametrize("kind", [bytes, int | tuple[int, ...] | tuple[str, ...], set[str]])
def test_a_type_without_a_reader_is_told_at_once(kind: Any) -> None:
    with pytest.raises(TypeError, match="no way to"):
        reader_of(kind)
