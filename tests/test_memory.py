"""What a runner knows, on its way to the next one: nothing is lost, the last word counts, other words are refused."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zap import events, flock, memory, wire
from zap.events import Event, Question, Row, State
from zap.fixup import Call
from zap.machine import After, Ladder, Run
from zap.memory import MOST_EVENTS, KeptCall, KeptChild, KeptSeat, KeptStream, KeptTask, Known, Purpose, Whole
from zap.plan import Command, Fixup, Job, Plan
from zap.script import Mark
from zap.vitals import Vitals

REFUSALS = (TypeError, KeyError, ValueError, AttributeError)
J = "web/api"
JOB = Job(J, "api", (Command("x"),), "/")
SEAT = KeptSeat(JOB, flock.Known(Run(), Vitals(), (), (), events.Waits(J, 0)))
WHOLE = Whole(Plan("/jobs.yaml", "id", ()), "0" * 12, "auto")

TEXT = st.sampled_from(["", J, "ü", "\n", "\r\0\x1b", '"\\', "\udcff", "\ud800", "\u2028", "a" * 300])
FLOAT = st.sampled_from([0.0, -0.0, 0.1, 1763671234.1234567, 1e-300, 5.0, float("inf")])
INTEGER = st.sampled_from([0, 1, -1, 4711, 2**53 + 1])


@cache
def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of such a field, by its declaration alone: each field of each word inside has many."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    if hasattr(kind, "_fields"):
        return st.builds(kind, **{name: any_of(hint) for name, hint in get_type_hints(kind).items()})
    if origin in (Union, types.UnionType):
        return st.one_of(*map(any_of, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(any_of, arguments))
    return {str: TEXT, float: FLOAT, int: INTEGER, bool: st.booleans(), type(None): st.none()}[kind]


def event_line(event: Event) -> bytes:
    return json.dumps(wire.event_to_plain(event)).encode()


def record(known: Known) -> bytes:
    """One that says all of it."""
    parts: dict[str, Any] = {name: getattr(known, name) for name in Known._fields if name != "events"}
    return memory.record(**parts, events=map(event_line, known.events))


def partial(**settings: Any) -> bytes:
    counts: dict[str, Any] = {"last": 0, "turn": 0, "log": memory.NOWHERE, "written": 0}
    return memory.record(**counts | settings)


def whole_with(seat: KeptSeat = SEAT, stream: KeptStream | None = None, whole: Whole = WHOLE) -> Known:
    return Known(whole, {J: seat}, {J: stream or KeptStream()}, {J: Row(J, 1)}, [], 7, 3, (1, 2, 3), 4)


# There and back.


@settings(max_examples=50)
@given(any_of(KeptSeat), any_of(KeptStream), any_of(Whole), any_of(Row))
def test_whatever_is_known_comes_back_as_it_was(seat: KeptSeat, stream: KeptStream, whole: Whole, row: Row) -> None:
    known = Known(whole, {J: seat, "web/ü": SEAT}, {J: stream}, {row.job: row}, [], 2**40, 2, (5, 6, 7), 7)
    assert repr(memory.read([record(known)])) == repr(known)  # which tells -0.0 from 0.0, and 1 from 1.0 and True


def test_every_state_of_a_job_can_be_kept() -> None:
    for state, after, ladder in product(State, After, Ladder):
        run = Run(state, after=after, ladder=ladder, exit=events.Status(signal="KILL"), due=1.5, quick=(1.0, 2.0))
        for out in (None, *get_args(Question)):
            known = whole_with(SEAT._replace(life=SEAT.life._replace(run=run, vitals=Vitals(2, out=out, ping_at=3.5))))
            again = memory.read([record(known)])
            assert again == known
            assert type(again.seats[J].life.run.state) is State  # what is matched by identity


def test_what_belongs_to_a_child_and_its_tasks_comes_back() -> None:
    call = KeptCall(Fixup("lock", "a lock", ()), 9, (("path", "/tmp/\udcff"),))
    child = KeptChild("child:3", 77, "r:web/api:2", "n", 1.5, (3, 4), True, False, ("/sys/fs/cgroup/zap-r/web+api-2",))
    task = KeptTask("aside", child, Purpose("fix", call), 2.5, (Mark(True, 1, 0),), (memory.text(b"\xff\0\n"),))
    known = whole_with(SEAT._replace(child=child, tasks=(task,), asking=(call,)))
    assert memory.read([record(known)]) == known


@given(st.binary())
def test_bytes_come_back_though_they_are_no_text(data: bytes) -> None:
    known = whole_with(stream=KeptStream(held=(memory.text(data),)))
    [held] = memory.read([record(known)]).streams[J].held
    assert memory.data(held) == data


def test_a_call_comes_back_with_its_captures_in_order() -> None:
    call = Call(Fixup("lock", "a lock", ()), 9, {"z": "1", "a": "2"})
    again = memory.call_of(memory.kept_call(call))
    assert again == call
    assert list(again.captures) == ["z", "a"]


# One record after the other.


class Change(NamedTuple):
    """Of one turn: jobs that have gone, or changed (and how), or said something; what happened; whether all is told.

    With `is_settled` the settings of jobs that were there before are not written again.
    """

    gone: frozenset[str] = frozenset()
    seats: Mapping[str, int] = types.MappingProxyType({})
    streams: Mapping[str, int] = types.MappingProxyType({})
    rows: tuple[tuple[str, int], ...] = ()
    is_full: bool = False
    has_whole: bool = False
    is_settled: bool = False


NAMES = st.sampled_from([J, "web/db", "web/\udcff"])
CHANGES = st.lists(
    st.builds(
        Change,
        st.frozensets(NAMES, max_size=2),
        st.dictionaries(NAMES, st.integers(0, 9), max_size=2),
        st.dictionaries(NAMES, st.integers(0, 9), max_size=2),
        st.lists(st.tuples(NAMES, st.integers(0, 9)), max_size=3).map(tuple),
        st.sampled_from([False, False, False, True]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=80)
@given(CHANGES)
def test_many_records_come_to_the_last_state(changes: list[Change]) -> None:
    now = Known(WHOLE, {}, {}, {}, [], 0, 0, memory.NOWHERE, 0)
    records = [record(now)]
    for turn, change in enumerate(changes, 1):
        seats = {name: SEAT._replace(command=number) for name, number in change.seats.items()}
        streams = {name: KeptStream(told=number) for name, number in change.streams.items()}
        news = [
            Event(now.last + number, 1.5, events.Restated(name, Row(name, lines)))
            for number, (name, lines) in enumerate(change.rows, 1)
        ]
        settled = now.seats.keys() - change.gone if change.is_settled else ()
        whole = WHOLE._replace(files=turn) if change.has_whole or change.is_full else None
        now = Known(
            whole or now.whole,
            {name: seat for name, seat in now.seats.items() if name not in change.gone} | seats,
            {name: stream for name, stream in now.streams.items() if name not in change.gone} | streams,
            now.rows | {name: Row(name, lines) for name, lines in change.rows},
            [*now.events, *news],
            now.last + len(news),
            turn,
            (turn, turn + 1, 9),
            turn + 2,
        )
        if change.is_full:
            records.append(record(now))
        else:
            told = {"whole": whole, "seats": seats, "settled": settled, "streams": streams, "gone": change.gone}
            counts = {"last": now.last, "turn": turn, "log": now.log, "written": now.written}
            records.append(memory.record(**told, **counts, events=map(event_line, news)))  # type: ignore[arg-type]
        assert memory.read(records) == now


def test_a_record_that_says_everything_makes_those_before_it_count_no_more() -> None:
    before = whole_with()
    after = Known(WHOLE._replace(files=1), {}, {}, {}, [], 8, 4, memory.NOWHERE, 0)
    assert memory.read([record(before), record(after)]) == after


def test_who_has_gone_and_come_again_within_a_turn_is_there() -> None:
    again = SEAT._replace(command=5)
    known = memory.read([record(whole_with()), partial(gone=[J], seats={J: again}, streams={J: KeptStream()})])
    assert known.seats == {J: again}
    assert memory.read([record(whole_with()), partial(gone=[J, "web/nobody"])]).seats == {}


def test_settings_are_those_that_were_written_last_and_of_who_has_none_there_is_no_seat() -> None:
    other, again = SEAT._replace(job=JOB._replace(cwd="/other")), SEAT._replace(job=JOB._replace(cwd="/more"))
    records = [record(whole_with()), partial(seats={J: other}), partial(seats={J: SEAT._replace(cause=5)}, settled=[J])]
    assert memory.read(records).seats == {J: other._replace(cause=5)}
    assert memory.read([*records, partial(seats={J: again})]).seats == {J: again}
    for who_has_none in ({"gone": [J], "seats": {J: SEAT}}, {"seats": {"web/new": SEAT}}):
        with pytest.raises(REFUSALS):
            memory.read([*records, partial(**who_has_none, settled=[J, "web/new"])])


def test_as_many_events_are_known_as_can_be_told_but_all_of_them_count() -> None:
    happened = [Event(n, 1.5, events.Output(J, n, n)) for n in range(1, MOST_EVENTS + 11)]
    half = len(happened) // 2
    records = [
        record(whole_with()),
        *(partial(events=map(event_line, part)) for part in (happened[:half], happened[half:])),
    ]
    known = memory.read(records)
    assert known.events == happened[-MOST_EVENTS:]
    assert known.rows[J].lines == MOST_EVENTS + 10
    early = [Event(1, 1.5, events.Became(J, 1, State.FAILED)), *happened]
    assert memory.read([record(whole_with()), partial(events=map(event_line, early))]).rows[J].state is State.FAILED


def test_events_of_a_record_that_says_everything_are_in_its_rows_already() -> None:
    told = Event(1, 1.5, events.FixStarted(J, 1, "lock", ()))
    known = whole_with()._replace(events=[told], rows={J: Row(J, 1, tasks=1)})
    assert memory.read([record(known)]) == known
    more = memory.read([record(known), partial(events=[event_line(told._replace(n=2))])])
    assert (more.rows[J].tasks, len(more.events)) == (2, 2)


# Of a zap that knew other things.


def changed(change: Callable[[dict[str, Any]], object]) -> list[bytes]:
    """A record in which something is otherwise."""
    head = json.loads(record(whole_with()))
    change(head)
    return [json.dumps(head).encode()]


def places(value: Any, *path: str) -> Iterable[tuple[str, ...]]:
    """Where there is a word in plain data."""
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from places(inner, *path, name)


def inside(head: dict[str, Any], path: Iterable[str]) -> dict[str, Any]:
    for name in path:
        head = head[name]
    return head


WORDS = [
    path for path in places(json.loads(record(whole_with()))) if path not in ((), ("seats",), ("streams",), ("rows",))
]


def test_what_is_not_changed_can_be_read() -> None:
    assert memory.read(changed(lambda head: None)) == whole_with()
    assert {("whole",), ("seats", J), ("seats", J, "life", "vitals"), ("rows", J)} <= set(WORDS)


@pytest.mark.parametrize("path", WORDS, ids=".".join)
def test_a_field_that_nobody_knows_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(REFUSALS):
        memory.read(changed(lambda head: inside(head, path).update(another=1)))


@pytest.mark.parametrize(
    "path",
    [
        *(("last",), ("turn",), ("log",), ("written",), ("whole",), ("whole", "plan"), ("whole", "heal")),
        *(("seats", J, "job"), ("seats", J, "life"), ("seats", J, "life", "run"), ("rows", J, "commands")),
    ],
    ids=".".join,
)
def test_a_field_that_is_missing_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(REFUSALS):
        memory.read(changed(lambda head: inside(head, path[:-1]).pop(path[-1])))


@pytest.mark.parametrize(
    "change",
    [
        lambda stream: stream.append(1),
        lambda stream: stream.pop(),
        lambda stream: stream.clear(),
        lambda stream: stream.insert(0, "told"),
        lambda stream: stream.__setitem__(0, ["1", 2]),
        lambda stream: stream.__setitem__(1, "7"),
        lambda stream: stream.__setitem__(4, "held"),
    ],
    ids=["more", "less", "nothing", "moved", "no place", "text", "text for a list"],
)
def test_a_stream_that_is_otherwise_is_refused(change: Callable[[list[Any]], object]) -> None:
    with pytest.raises(REFUSALS):
        memory.read(changed(lambda head: change(head["streams"][J])))


@pytest.mark.parametrize(
    "change",
    [
        lambda head: inside(head, ["seats", J, "life", "run"]).update(state="dancing"),
        lambda head: inside(head, ["seats", J]).update(began="1"),
        lambda head: inside(head, ["whole"]).update(heal="never"),
        lambda head: inside(head, ["whole"]).update(spent=[["job", "fixup"]]),
        lambda head: head.update(seats=[1]),
        lambda head: head.update(whole=None),
        lambda head: head.update(log=None),
    ],
    ids=["a state", "a number", "a choice", "a pair", "no seats", "nothing", "no place"],
)
def test_what_is_of_another_kind_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(REFUSALS):
        memory.read(changed(change))


@pytest.mark.parametrize("text", [b"", b"null", b"[1]", b"{", b"\xff", b'{"last": 1}\n{}', b'{"last": 1}\n\n'])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(REFUSALS):
        memory.read([record(whole_with()), text])


def test_an_event_that_nobody_knows_is_refused() -> None:
    with pytest.raises(REFUSALS):
        memory.read([record(whole_with()), partial(events=[b'{"n": 1, "at": 1.5, "event": "danced"}'])])


def test_no_records_are_refused() -> None:
    with pytest.raises(REFUSALS):
        memory.read([])
