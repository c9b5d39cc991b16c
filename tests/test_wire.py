"""Words as plain data: nothing loses a field on its way, and of what comes from outside only what fits gets in."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import events, frame, plan, requests, wire
from zap.errors import ZapError
from zap.events import Event, Fact, Lack, Line, Load, Proposed, Ran, Row, State, Status
from zap.frame import PROTOCOL, Hello
from zap.plan import Need
from zap.session import Tail
from zap.wire import (
    VERBS,
    BadCall,
    call_line,
    event_from_plain,
    event_to_plain,
    line_to_plain,
    name_of,
    read_call,
    reader_of,
    tail_from_plain,
    tail_to_plain,
    to_plain,
)

J = "web/api"

TOLD: list[tuple[Fact, dict[str, Any]]] = [
    (
        events.Became(J, 2, State.BACKOFF, "exit 1", 1.5, Status(1), is_in_storm=True),
        {
            "event": "became",
            "state": "backoff",
            "why": "exit 1",
            "seconds": 1.5,
            "exit": {"code": 1},
            "is_in_storm": True,
        },
    ),
    (
        events.Waits(J, 2, (Lack("web/db", "line", "up"), Lack("web/job", "done", is_hopeless=True)), ("web/ui",)),
        {
            "event": "waits",
            "lacks": [
                {"job": "web/db", "until": "line", "line": "up", "is_hopeless": False},
                {"job": "web/job", "until": "done", "is_hopeless": True},
            ],
            "leavers": ["web/ui"],
        },
    ),
    (
        events.Probed(J, 2, "ready", False, "tcp localhost:80", "connection refused", 2, 3, 1.5),
        {
            "event": "probed",
            "question": "ready",
            "is_ok": False,
            "by": "tcp localhost:80",
            "said": "connection refused",
            "times": 2,
            "most": 3,
            "seconds": 1.5,
            "when": 0.0,
        },
    ),
    (events.Notified(J, 2, "loading"), {"event": "notified", "status": "loading"}),
    (events.HookStarted(J, 2, "after_stop", "rm x"), {"event": "hook_started", "hook": "after_stop", "text": "rm x"}),
    (events.HookFailed(J, 2, "after_stop", "exit 1"), {"event": "hook_failed", "hook": "after_stop", "why": "exit 1"}),
    (events.Stormed((J, "web/db"), 5.0), {"event": "stormed", "jobs": [J, "web/db"], "seconds": 5.0}),
    (
        events.Rewired(J, (Need("web/db", follow=True),)),
        {"event": "rewired", "needs": [{"job": "web/db", "until": "ready", "is_optional": False, "follow": True}]},
    ),
    (events.Removed(J), {"event": "removed"}),
    (
        events.Reloaded((J,), (), ("web/db",), ()),
        {"event": "reloaded", "added": [J], "removed": [], "restarted": ["web/db"], "adapted": []},
    ),
    (events.NotReloaded("jobs.yaml:1:1: x"), {"event": "not_reloaded", "why": "jobs.yaml:1:1: x"}),
    (events.Spawned(J, 2, 77), {"event": "spawned", "pid": 77}),
    (events.NotSpawned(J, 2, "no such folder"), {"event": "not_spawned", "why": "no such folder"}),
    (
        events.CommandStarted(J, 2, 3, "npm ci", 9),
        {"event": "command_started", "command": 3, "text": "npm ci", "line": 9},
    ),
    (
        events.CommandEnded(J, 2, 3, Status(0), 2.5),
        {"event": "command_ended", "command": 3, "status": {"code": 0}, "seconds": 2.5},
    ),
    (
        events.Exited(J, 2, Status(signal="KILL"), 2.5),
        {"event": "exited", "status": {"signal": "KILL"}, "seconds": 2.5, "is_in_storm": False},
    ),
    (events.Signalled(J, 2, "TERM"), {"event": "signalled", "signal": "TERM"}),
    (events.Paused(J, 2, "a STOP"), {"event": "paused", "why": "a STOP"}),
    (events.Resumed(J, 2), {"event": "resumed"}),
    (events.Output(J, 4, 9, True, 2), {"event": "output", "first": 4, "last": 9, "is_open": True, "errors": 2}),
    (events.Cleared(J), {"event": "cleared"}),
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
    (
        events.Restated(
            J,
            Row(
                J,
                3,
                State.FAILED,
                epoch=2,
                exit=Status(4),
                asking=(Proposed(J, 2, "lock", 9, ("rm x",), ("none",)),),
                ran=(Ran(2, 1, 8, 1.5, Status(4), 0.5), Ran(2, 2, 9, 2.5)),
            ),
        ),
        {
            "event": "restated",
            "row": {
                "job": J,
                "commands": 3,
                "state": "failed",
                "epoch": 2,
                "since": 0.0,
                "pid": 0,
                "command": 0,
                "text": "",
                "exit": {"code": 4},
                "why": "",
                "fixups": [],
                "gave_up": [],
                "asking": [
                    {"job": J, "epoch": 2, "fixup": "lock", "line": 9, "commands": ["rm x"], "effects": ["none"]}
                ],
                "ran": [
                    {"epoch": 2, "command": 1, "line": 8, "at": 1.5, "status": {"code": 4}, "seconds": 0.5},
                    {"epoch": 2, "command": 2, "line": 9, "at": 2.5},
                ],
                "tasks": 0,
                "sent": "",
                "lacks": [],
                "leavers": [],
                "probed": [],
                "status": "",
                "hook": "",
                "is_paused": False,
                "lines": 0,
                "errors": 0,
                "cpu": 0.0,
                "memory": 0,
            },
        },
    ),
    (
        events.Measured((Load(J, 12.5, 4096, 2),)),
        {"event": "measured", "loads": [{"job": J, "cpu": 12.5, "memory": 4096, "processes": 2}]},
    ),
    (
        events.Requested("stop", (J,), "process 1 of user 2"),
        {"event": "requested", "verb": "stop", "jobs": [J], "by": "process 1 of user 2"},
    ),
    (
        events.Degraded("the journal", "the disk is full"),
        {"event": "degraded", "what": "the journal", "why": "the disk is full", "job": ""},
    ),
    (events.Recovered("the journal"), {"event": "recovered", "what": "the journal", "lost": "", "job": ""}),
    (events.Jumped(-3.5), {"event": "jumped", "seconds": -3.5}),
    (events.Slept(60.0), {"event": "slept", "seconds": 60.0}),
    (events.Left((J,), 2), {"event": "left", "jobs": [J], "processes": 2}),
    (
        events.TookOver(7, "1.0", "killed", 0.5),
        {"event": "took_over", "pid": 7, "version": "1.0", "why": "killed", "seconds": 0.5},
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
    told = {"job": J, "epoch": 1, "state": "done", "why": "", "is_in_storm": False}
    assert to_plain(events.Became(J, 1, State.DONE)) == told


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


# Events, calls and answers there and back.


def by_wire(data: object) -> Any:
    return json.loads(frame.encode(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("fact", [fact for fact, _ in TOLD], ids=lambda fact: type(fact).__name__)
def test_an_event_comes_back_as_it_was(fact: Fact) -> None:
    sent = Event(17, 1763671234.25, fact)
    assert event_from_plain(by_wire(event_to_plain(sent))) == sent


@given(fact=st.one_of(*map(st.from_type, get_args(Fact))), n=st.integers(1))
def test_any_event_comes_back_as_it_was(fact: Fact, n: int) -> None:
    sent = Event(n, 1.25, fact)
    assert repr(event_from_plain(by_wire(event_to_plain(sent)))) == repr(sent)  # no number equals itself, if it is NaN


CALLS: list[wire.Call] = [
    wire.Watch(),
    wire.Watch(7),
    wire.Unwatch(3),
    wire.Watch(7, 0.5),
    wire.Lines(J),
    wire.Lines(J, 5, 10, 80, (3, 4)),
    wire.Describe(),
    wire.Describe(is_fresh=True),
    requests.Start((J, "web/db")),
    requests.Stop((J,)),
    requests.Stop((J,), is_hurried=True),
    requests.Restart(()),
    requests.Signal((J,), "HUP"),
    requests.Send((J,), "yes\n\x03\udcff"),
    requests.Fix((J,)),
    requests.Fix((J,), "lock"),
    requests.Resize((J,), 24, 80),
    requests.Clear((J,)),
    requests.Need((J,), "web/db"),
    requests.Need((J,), "web/db", "line", "listening", is_optional=True, follow=True),
    requests.Unneed((J,), "web/db"),
    requests.Pause((J,)),
    requests.Resume((J,)),
    requests.Reload(),
    requests.Upgrade(),
    requests.Attend(),
    requests.Note("one\ntwo"),
    requests.Close(),
    requests.Close(is_hurried=True),
]


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_a_call_comes_back_as_it_was(call: wire.Call) -> None:
    assert read_call(call_line(7, call)) == (7, call)


def test_every_request_and_every_call_has_a_verb() -> None:
    assert set(VERBS.values()) == set(get_args(wire.Call)) == {type(call) for call in CALLS}
    assert set(get_args(requests.Request)) <= set(VERBS.values())


@given(call=st.one_of(*map(st.from_type, VERBS.values())), number=st.integers())
def test_any_call_comes_back_as_it_was_and_is_one_line(call: wire.Call, number: int) -> None:
    line = call_line(number, call)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert read_call(line) == (number, call)


LINES = st.builds(
    Line,
    st.integers(1),
    st.floats(0, 2e9),
    st.sampled_from(get_args(events.Stream)),
    st.integers(0),
    st.binary(max_size=20),
    st.booleans(),
)


@given(tail=st.builds(Tail, st.lists(LINES).map(tuple), st.integers(0), st.integers(0)))
def test_any_tail_comes_back_byte_for_byte(tail: Tail) -> None:
    assert tail_from_plain(by_wire(tail_to_plain(tail))) == tail


def test_bytes_that_look_like_surrogates_come_back_too() -> None:
    tail = Tail((Line(1, 0.0, "out", 1, b"\xed\xb3\xbf\xff\x00"),), 1, 0, (5, 0))
    assert tail_from_plain(by_wire(tail_to_plain(tail))) == tail


def test_a_runner_that_speaks_otherwise_is_not_talked_to() -> None:
    hello = Hello("1.0", PROTOCOL, "/jobs.yaml", 77)
    assert frame.read_hello(by_wire(to_plain(hello))) == hello
    with pytest.raises(ZapError, match="zap 9, which this one cannot talk to"):
        frame.read_hello({"zap": "9", "protocol": PROTOCOL + 1, "new": True})


def test_an_error_is_told_with_its_exit_code() -> None:
    error = frame.error_of({"id": 7, "error": "there is no job x", "code": 3})
    assert (str(error), error.code) == ("there is no job x", 3)


# Calls from whoever it may be.


def refused(line: bytes) -> BadCall:
    with pytest.raises(BadCall) as raised:
        read_call(line)
    return raised.value


@pytest.mark.parametrize(
    ("line", "number", "why"),
    [
        (b"", None, "this is not JSON"),
        (b"\n", None, "this is not JSON"),
        (b"start web/api\n", None, "this is not JSON"),
        (b"\xff\xfe\n", None, "this is not JSON"),
        (b'{"id": 1, "verb": "plan"', None, "this is not JSON"),
        (b'{"id": 1, "verb": "plan"} {}', None, "this is not JSON"),
        (b'{"id": ' + b"9" * 5000 + b', "verb": "plan"}', None, "this is not JSON"),
        (b"[" * 1_000_000, None, "this is not JSON"),
        (b"[]", None, '"id" that is an integer'),
        (b"null", None, '"id" that is an integer'),
        (b'{"verb": "plan"}', None, '"id" that is an integer'),
        (b'{"id": true, "verb": "plan"}', None, '"id" that is an integer'),
        (b'{"id": 1.0, "verb": "plan"}', None, '"id" that is an integer'),
        (b'{"id": "1", "verb": "plan"}', None, '"id" that is an integer'),
        (b'{"id": 1}', 1, '"verb" that is text'),
        (b'{"id": 1, "verb": ["plan"]}', 1, '"verb" that is text'),
        (b'{"id": 1, "verb": "dance"}', 1, "there is no verb 'dance'; there are watch, unwatch, tail, plan, start"),
        (b'{"id": 1, "verb": "__class__"}', 1, "there is no verb '__class__'"),
        (b'{"id": 1, "verb": "plan", "more": 1}', 1, "plan takes is_fresh: bool = false"),
        (b'{"id": 1, "verb": "reload", "more": 1}', 1, "reload takes nothing"),
        (b'{"id": 1, "verb": "start"}', 1, "start takes jobs: tuple[str, ...]"),
        (b'{"id": 1, "verb": "start", "jobs": "web/api"}', 1, "start takes jobs: tuple[str, ...]"),
        (b'{"id": 1, "verb": "start", "jobs": {"web/api": 1}}', 1, "start takes jobs: tuple[str, ...]"),
        (b'{"id": 1, "verb": "start", "job": ["web/api"]}', 1, "start takes jobs: tuple[str, ...]"),
        (b'{"id": 1, "verb": "watch", "since": NaN}', 1, "watch takes since: int | None = null"),
        (b'{"id": 1, "verb": "tail", "job": "j", "known": [1]}', 1, "known: tuple[int, int] | None = null"),
        (b'{"id": 1, "verb": "tail", "job": "j", "known": [1, 2, 3]}', 1, "tail takes job: str, since: int = 0"),
        (b'{"id": 1, "verb": "tail", "job": "j", "known": "12"}', 1, "tail takes job: str"),
    ],
)
def test_what_is_no_call_is_refused_and_told_why(line: bytes, number: int | None, why: str) -> None:
    error = refused(line)
    assert why in str(error)
    assert error.number == number


def fits(value: object, hint: Any) -> bool:
    """Whether plain data may stand where this type is declared, by the declaration alone."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple and arguments[-1] is Ellipsis:
        return type(value) is list and all(fits(item, arguments[0]) for item in value)
    if origin is tuple:
        return type(value) is list and len(value) == len(arguments) and all(map(fits, value, arguments))
    if hint is float:
        return type(value) in (int, float)
    return value is None if hint is type(None) else type(value) is hint


ODD: list[Any] = [None, True, 0, -1, 10**4000, 1.5, float("nan"), float("inf"), "", "web/api", "\ud800", "\0"]
ODD += [[], ["web/api"], [1, 2], [1.5, 2], [True, False], [None, None], ["1", "2"], [[]], {}, {"jobs": []}, [{}]]


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_only_what_fits_its_type_gets_in(call: wire.Call) -> None:
    """Whatever stands in whichever field."""
    sent = json.loads(call_line(7, call))
    for field, hint in get_type_hints(type(call)).items():
        for value in ODD:
            line = json.dumps(sent | {field: value}).encode()
            if fits(value, hint):
                number, read = read_call(line)
                assert number == 7
                assert json.dumps(getattr(read, field)) == json.dumps(value)  # NaN equals nothing
            else:
                assert f"{sent['verb']} takes " in str(refused(line))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=9)
    | st.sampled_from([*VERBS, J]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({field for kind in VERBS.values() for field in kind.__annotations__} | {"id", "verb", "__class__"})


def is_answered(line: bytes) -> None:
    """By a call that is one, or by BadCall and nothing else."""
    try:
        number, call = read_call(line)
    except BadCall as error:
        assert str(error)
        frame.encode({"id": error.number, "error": str(error), "code": 2})
    else:
        hints = get_type_hints(type(call))
        plain = json.loads(json.dumps(call._asdict()))
        assert all(fits(plain[field], hint) for field, hint in hints.items())
        assert read_call(call_line(number, call)) == (number, call)


@given(line=st.binary(max_size=200))
def test_any_bytes_are_answered(line: bytes) -> None:
    is_answered(line)


@given(data=PLAIN)
def test_any_json_is_answered(data: object) -> None:
    is_answered(json.dumps(data).encode())


@given(verb=st.sampled_from(sorted(VERBS)), fields=st.dictionaries(st.sampled_from(NAMES), PLAIN, max_size=6))
def test_any_fields_are_answered(verb: str, fields: dict[str, object]) -> None:
    is_answered(json.dumps({"id": 7, "verb": verb} | fields).encode())


@given(call=st.sampled_from(CALLS), places=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=4))
def test_a_call_that_was_hurt_on_its_way_is_answered(call: wire.Call, places: list[tuple[int, bytes]]) -> None:
    line = call_line(7, call)
    for place, data in places:
        line = line[:place] + data + line[place + 1 :]
    is_answered(line)


NESTED: list[Callable[[str], str]] = [
    lambda deep: deep,
    lambda deep: f'{{"id": {deep}, "verb": "plan"}}',
    lambda deep: f'{{"id": 1, "verb": {deep}}}',
    lambda deep: f'{{"id": 1, "verb": "plan", "more": {deep}}}',
    lambda deep: f'{{"id": 1, "verb": "watch", "since": {deep}}}',
    lambda deep: f'{{"id": 1, "verb": "start", "jobs": {deep}}}',
    lambda deep: f'{{"id": 1, "verb": "fix", "jobs": [], "fixup": {deep}}}',
    lambda deep: f'{{"id": 1, "verb": "tail", "job": "j", "known": {deep}}}',
]


@pytest.mark.parametrize("place", range(len(NESTED)))
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_whatever_is_nested_how_deeply_is_answered(place: int, brackets: str) -> None:
    """Around the depth at which Python gives up, whoever it is that has to: the reader or what speaks of it."""
    begin, end = ('{"a":', "}") if brackets == "{}" else ("[", "]")
    limit = sys.getrecursionlimit()
    for depth in [*range(1, 9), *range(limit - 200, limit + 9), 20 * limit]:
        refused(NESTED[place](f"{begin * depth}1{end * depth}").encode())


def test_every_verb_says_what_it_does() -> None:
    for verb, kind in VERBS.items():
        about = kind.__doc__ or ""
        assert not about.startswith(f"{kind.__name__}("), f"{verb} has only what a NamedTuple is given"


def test_a_word_in_an_event_that_is_none_of_ours_is_an_error_that_can_be_caught() -> None:
    told = event_to_plain(Event(1, 1.0, events.Became(J, 1, State.DONE)))
    for broken in (
        {"state": "dancing"},
        {"state": ["done"]},
        {"epoch": "1"},
        {"exit": [1]},
        {"why": None},
        {"more": 1},
    ):
        with pytest.raises((TypeError, KeyError, ValueError, AttributeError)):
            event_from_plain(told | broken)


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
                    stop=plan.Stop(("INT", "TERM"), "bye", "q"),
                    needs=(plan.Need("s/k"), plan.Need("s/l", "line", "up", True, True)),
                    when_need_fails="skip",
                    ready=plan.Ready("probe", probe=plan.Probe(http="http://x", status=(200, 204)), within=3.0),
                    health=plan.Health(plan.Probe(file="/x")),
                    ping=plan.Ping(60.0, send="hello"),
                    watchdog=9.0,
                    hooks=plan.Hooks("a", "b", "c", "d"),
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
