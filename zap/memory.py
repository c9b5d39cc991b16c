"""What a runner knows, as far as the next one needs it: words, and how they are written down.

What is written at the end of each turn is a record: a line of JSON that tells what has changed, and behind it the
events of the turn, a line each. All records of a vault together, in order, are what is known.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from zap import flock, wire
from zap.board import Board
from zap.events import Event, Row
from zap.fixup import Call, Filled
from zap.frame import Plain
from zap.plan import Fixup, Job, Plan
from zap.script import Mark

MOST_EVENTS = 1000  # that the next runner can tell of
NOWHERE = (0, 0, 0)  # the place of a store that there is not


class KeptChild(NamedTuple):
    """`name` is by what the keeper has its descriptors, `numbers` are those of its two streams in the inbox.

    `groups` are its control groups, `born` is on the wall.
    """

    name: str
    pid: int
    tag: str
    nonce: str
    born: float
    numbers: tuple[int, int]
    has_tty: bool
    has_input: bool
    groups: tuple[str, ...] = ()


class KeptCall(NamedTuple):
    fixup: Fixup
    line: int
    captures: tuple[tuple[str, str], ...]


class Purpose(NamedTuple):
    """What a task is for. A remedy has a call and what it runs; a hook, or a job's stop command, has `steps`: its name
    and its text, and behind them those that follow it.
    """

    what: Literal["fix", "hook", "ask"]
    call: KeptCall | None = None
    filled: Filled | None = None
    steps: tuple[tuple[str, str], ...] = ()


class KeptTask(NamedTuple):
    kind: Literal["own", "aside", "stop"]
    child: KeptChild
    purpose: Purpose
    since: float
    ended: tuple[Mark, ...] = ()
    held: tuple[str, ...] = ()  # of `Errand.held`, as text


class KeptSeat(NamedTuple):
    """A job: what its rules know, and what the runner has of it."""

    job: Job
    life: flock.Known
    child: KeptChild | None = None
    tasks: tuple[KeptTask, ...] = ()
    mailbox: str = ""  # its path
    has_ended: bool = False
    spawned: float = 0.0
    command: int = 0
    command_since: float | None = None
    code: int | None = None
    folder: str = ""
    asking: tuple[KeptCall, ...] = ()
    remedy: tuple[KeptCall, Filled] | None = None
    size: tuple[int, int] | None = None
    replies: tuple[tuple[int, str], ...] = ()  # by the number of the answer, as `text`
    began: int = 0  # the last line before the child's
    overloads: tuple[str, ...] = ()
    cause: int = 0
    is_paused: bool = False


class KeptStream(NamedTuple):
    """What a job's output changes: small, because it is written at every turn in which it says something.

    `place` is that of its store, if it has one. `held` is what its transcript holds, as `text`, and `commands` to which
    command the next lines of its streams belong.
    """

    place: tuple[int, int, int] = NOWHERE
    told: int = 0
    was_open: bool = False
    spoke: float = 0.0
    held: tuple[str, ...] = ()
    commands: tuple[int, int] = (0, 0)
    written: tuple[int, ...] = ()  # how far its log file was


class Whole(NamedTuple):
    """What belongs to no job. `spent` is how often fixups were tried: job, fixup, and when; `healed` which have
    had their say in a run: job, epoch, fixups.
    """

    plan: Plan
    runner: str
    heal: Literal["auto", "all", "none"]
    files: int | None = None
    spent: tuple[tuple[str, str, tuple[float, ...]], ...] = ()
    healed: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    removed: tuple[str, ...] = ()
    is_closing: bool = False


class Known(NamedTuple):
    """Everything that the records of a vault say, in the end.

    `last` is the newest event, `turn` the inbox's that is settled, `log` the place of what zap itself has said, of
    which `written` lines were there.
    """

    whole: Whole
    seats: dict[str, KeptSeat]
    streams: dict[str, KeptStream]
    rows: dict[str, Row]
    events: list[Event]
    last: int
    turn: int
    log: tuple[int, int, int]
    written: int


def record(
    *,
    last: int,
    turn: int,
    log: tuple[int, int, int],
    written: int,
    whole: Whole | None = None,
    seats: Mapping[str, KeptSeat] | None = None,
    settled: Container[str] = (),
    streams: Mapping[str, KeptStream] | None = None,
    gone: Iterable[str] = (),
    rows: Mapping[str, Row] | None = None,
    events: Iterable[bytes] = (),
) -> bytes:
    """One turn's. With `rows` it says everything, and what was written before it does not count any more.

    The settings of those seats that are `settled` are as they were written before: they are most of a seat.
    """
    told: dict[str, Plain] = {"last": last, "turn": turn, "log": log, "written": written}
    if whole:
        told["whole"] = wire.to_plain(whole)
    if seats:
        told["seats"] = {name: _plain_seat(seat, name in settled) for name, seat in seats.items()}
    if streams:
        told["streams"] = {name: list(stream) for name, stream in streams.items()}
    if gone:
        told["gone"] = list(gone)
    if rows is not None:
        told["rows"] = {name: wire.to_plain(row) for name, row in rows.items()}
    return b"\n".join([json.dumps(told, separators=(",", ":")).encode(), *events])


def read(records: Iterable[bytes]) -> Known:
    """Raises TypeError, KeyError, ValueError or AttributeError when it is of a zap that knew other things."""
    told: dict[str, Plain] = {}
    seats: dict[str, Plain] = {}
    streams: dict[str, Plain] = {}
    rows: dict[str, Plain] = {}
    lines: deque[bytes] = deque(maxlen=MOST_EVENTS)
    since: list[bytes] = []  # the events behind the rows
    for text in records:
        head, *events = text.split(b"\n")
        news = json.loads(head)
        told |= news
        if "rows" in news:
            seats, streams, rows, since = {}, {}, news["rows"], []
            lines.clear()
            lines += events
        else:
            since += events
            lines += events
        for name in news.get("gone", ()):  # before the others: a job may have gone and come again within one turn
            seats.pop(name, None)
            streams.pop(name, None)
        for name, seat in news.get("seats", {}).items():
            seats[name] = seat if "job" in seat else seat | {"job": seats[name]["job"]}
        streams |= news.get("streams", {})
    board = Board(())
    board.rows |= {name: wire.reader_of(Row)(row) for name, row in rows.items()}
    for line in since:
        board.apply(wire.event_from_plain(json.loads(line)))
    return Known(
        wire.reader_of(Whole)(told["whole"]),
        {name: wire.reader_of(KeptSeat)(seat) for name, seat in seats.items()},
        {name: _read_stream(stream) for name, stream in streams.items()},
        dict(board.rows),
        [wire.event_from_plain(json.loads(line)) for line in lines],
        told["last"],
        told["turn"],
        _three(told["log"]),
        told["written"],
    )


def _three(numbers: Sequence[int]) -> tuple[int, int, int]:
    one, two, three = numbers
    return one, two, three


def _plain_seat(seat: KeptSeat, is_settled: bool) -> Plain:
    if not is_settled:
        return wire.to_plain(seat)
    return wire.to_plain(seat._replace(job=None))  # type: ignore[arg-type]


def _read_stream(values: Sequence[Plain]) -> KeptStream:
    """It is written without the names of its fields."""
    stream: KeptStream = wire.reader_of(KeptStream)(dict(zip(KeptStream._fields, values, strict=True)))
    return stream


def text(data: bytes) -> str:
    """Any bytes, one letter each."""
    return data.decode("latin-1")


def data(text: str) -> bytes:
    return text.encode("latin-1")


def kept_call(call: Call) -> KeptCall:
    return KeptCall(call.fixup, call.line, tuple(call.captures.items()))


def call_of(kept: KeptCall) -> Call:
    return Call(kept.fixup, kept.line, dict(kept.captures))
