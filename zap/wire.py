"""Words ⇄ plain data that JSON can carry: events for `--json`, plans for the cache, and what is said on the socket.

How it is said there is told in `frame`.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from zap import events, frame, requests
from zap.events import Event, Line
from zap.frame import Plain as Plain
from zap.session import Tail

# What can be called for, beside requests. The docstrings, and those of requests, are the reference in docs/socket.md.


class Watch(NamedTuple):
    """Events above `since`, as they come; without one, first how every job is now.

    After events, those that only point to output come together, `rest` seconds later (at most 1).
    """

    since: int | None = None
    rest: float = 0.0


class Unwatch(NamedTuple):
    """End the watch that was called for under this id."""

    watch: int


class Lines(NamedTuple):
    """Lines of a job above number `since`: a list of `[number, at, stream, command, text, is_open]`, and `next`, the
    `since` for the following call; `dropped` lines between are gone. Bytes that are no UTF-8 are surrogates (PEP 383).

    Of lines with more than `widest` bytes a part comes. With `known`, at first `[0, 0]` and then what the last answer
    told, lines that have grown come without the bytes of `out` and `err` that came before. With `"is_cut": true` there
    are more lines than one answer holds: go on from `next`.
    """

    job: str
    since: int = 0
    at_most: int = 1000
    widest: int | None = None
    known: tuple[int, int] | None = None


class Describe(NamedTuple):
    """The plan, as the runner has read it; or, if that is wanted, as it would read it now, which changes nothing."""

    is_fresh: bool = False


VERBS: dict[str, type] = {
    "watch": Watch,
    "unwatch": Unwatch,
    "tail": Lines,
    "plan": Describe,
    "start": requests.Start,
    "stop": requests.Stop,
    "restart": requests.Restart,
    "signal": requests.Signal,
    "send": requests.Send,
    "fix": requests.Fix,
    "resize": requests.Resize,
    "clear": requests.Clear,
    "pause": requests.Pause,
    "resume": requests.Resume,
    "need": requests.Need,
    "unneed": requests.Unneed,
    "reload": requests.Reload,
    "upgrade": requests.Upgrade,
    "attend": requests.Attend,
    "note": requests.Note,
    "close": requests.Close,
}
_VERB_OF = {kind: verb for verb, kind in VERBS.items()}
Call = Watch | Unwatch | Lines | Describe | requests.Request


def call_line(number: int, call: Call) -> bytes:
    return frame.call_line(number, call_to_plain(call))


def call_to_plain(call: Call) -> dict[str, Plain]:
    """`{"verb": "tail", "job": "web/api"}`: what is not set by default and not set here is left out."""
    fields: dict[str, Plain] = to_plain(call)
    return {"verb": _VERB_OF[type(call)]} | fields


def read_call(line: bytes) -> tuple[int, Call]:
    """A call and its id, from whoever it may be. BadCall: it is none, and why."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadCall(None, f"this is not JSON: {error}") from None
    number = data.get("id") if isinstance(data, dict) else None
    if type(number) is not int:
        raise BadCall(None, 'a call is an object with an "id" that is an integer')
    verb = data.get("verb")
    if not isinstance(verb, str):
        raise BadCall(number, 'a call has a "verb" that is text')
    kind = VERBS.get(verb)
    if kind is None:
        raise BadCall(number, f"there is no verb {verb!r:.80}; there are {', '.join(VERBS)}")
    fields = {name: value for name, value in data.items() if name not in ("id", "verb")}
    try:
        call: Call = reader_of(kind)(fields)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise BadCall(number, f"{verb} takes {', '.join(map(field_text, fields_of(kind))) or 'nothing'}") from None
    return number, call


class BadCall(Exception):
    """`number` is the call's id, where it has one."""

    def __init__(self, number: int | None, why: str) -> None:
        super().__init__(why)
        self.number = number


class Field(NamedTuple):
    """One field of a call: its type as Python writes it, and its default as JSON does, if it has one."""

    name: str
    type: str
    default: str | None


def fields_of(kind: type) -> list[Field]:
    defaults = kind._field_defaults  # type: ignore[attr-defined]
    return [
        Field(name, hint.__forward_arg__, json.dumps(defaults[name]) if name in defaults else None)
        for name, hint in kind.__annotations__.items()
    ]


def field_text(field: Field) -> str:
    """`since: int = 0`."""
    return f"{field.name}: {field.type}" + ("" if field.default is None else f" = {field.default}")


def tail_to_plain(tail: Tail, is_cut: bool = False) -> dict[str, Plain]:
    lines = [
        (line.number, line.at, line.stream, line.command, line.text.decode("utf-8", "surrogateescape"), line.is_open)
        for line in tail.lines
    ]
    told = {"lines": lines, "next": tail.next, "dropped": tail.dropped, "known": tail.known}
    return told | {"is_cut": True} if is_cut else told


def tail_from_plain(data: Mapping[str, Plain]) -> Tail:
    lines = tuple(
        Line(number, at, stream, command, text.encode("utf-8", "surrogateescape"), is_open)
        for number, at, stream, command, text, is_open in data["lines"]
    )
    known_out, known_err = data["known"]
    return Tail(lines, data["next"], data["dropped"], (known_out, known_err))


def rest_of(call: Lines, answer: Mapping[str, Plain]) -> Lines | None:
    """What is still to be called for, where one answer could not hold all of it."""
    if not answer.get("is_cut"):
        return None
    known = None if call.known is None else tuple(answer["known"])
    return call._replace(since=answer["next"], at_most=call.at_most - len(answer["lines"]), known=known)


def joined(tails: Sequence[Tail]) -> Tail:
    """The answers to one call and to what was still to be called for."""
    lines = tuple([line for tail in tails for line in tail.lines])
    return Tail(lines, tails[-1].next, sum(tail.dropped for tail in tails), tails[-1].known)


def event_from_plain(data: Mapping[str, Plain]) -> Event:
    fields = dict(data)
    n, at, name, cause = fields.pop("n"), fields.pop("at"), fields.pop("event"), fields.pop("cause", 0)
    return Event(n, at, reader_of(_facts()[name])(fields), cause)


@cache
def _facts() -> dict[str, type]:
    return {name_of(kind): kind for kind in get_args(events.Fact)}


def event_to_plain(event: Event) -> dict[str, Plain]:
    """`{"n": 17, "at": 1763671234.123, "event": "exited", …}`: the fact's name in snake case, then its fields.

    `cause` is there where there is one.
    """
    told: dict[str, Plain] = to_plain(event.fact)
    cause = {"cause": event.cause} if event.cause else {}
    return {"n": event.n, "at": round(event.at, 6), "event": name_of(type(event.fact))} | cause | told


def line_to_plain(job: str, line: Line, text: str) -> dict[str, Plain]:
    """`text` is the line as it may be shown; `"open": true` is there only for a line without an end yet."""
    told = {
        "at": round(line.at, 6),
        "event": "line",
        "job": job,
        "line": line.number,
        "stream": line.stream,
        "command": line.command,
        "text": text,
    }
    return told | {"open": True} if line.is_open else told


def name_of(word: type) -> str:
    """The class `CommandEnded` → `command_ended`."""
    return _snake(word.__name__)


@cache
def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def to_plain(value: object) -> Plain:
    """A word's fields by name, tuples as lists; what is None by default and is None is left out."""
    if not isinstance(value, tuple):
        return value
    fields = getattr(value, "_fields", None)
    if fields is None:
        return [to_plain(item) for item in value]
    defaults: Mapping[str, object] = value._field_defaults  # type: ignore[attr-defined]
    return {
        field: to_plain(item) if isinstance(item, tuple) else item
        for field, item in zip(fields, value, strict=True)
        if item is not None or defaults.get(field) is not None
    }


@cache
def reader_of(kind: Any) -> Callable[[Plain], Any]:
    """A function from plain data back to a `kind`: a word, a tuple of them, a literal or an optional one.

    Data of another shape, or with something of another type in it, raises TypeError, KeyError, ValueError or
    AttributeError.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        readers = {field: reader_of(hint) for field, hint in get_type_hints(kind).items()}

        def read_word(data: Mapping[str, Plain]) -> Any:
            return kind(**{field: readers[field](value) for field, value in data.items()})

        return read_word
    if origin is tuple and arguments[-1] is Ellipsis:
        read_item = reader_of(arguments[0])
        return lambda data: tuple([read_item(item) for item in _list(data)])
    if origin is tuple:
        read_items = [reader_of(argument) for argument in arguments]
        return lambda data: tuple([read(item) for read, item in zip(read_items, _list(data), strict=True)])
    if origin in (Union, types.UnionType):
        return _reader_of_union([argument for argument in arguments if argument is not type(None)])
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    if origin is Literal:
        return lambda data: data if data in arguments else _refuse(data, kind)
    if kind is float:
        return lambda data: data if type(data) in (float, int) else _refuse(data, kind)
    if kind in (str, int, bool):
        return lambda data: data if type(data) is kind else _refuse(data, kind)
    raise TypeError(f"no way to read {kind}")


def _list(data: Plain) -> list[Plain]:
    """And no text or object, though these have items too."""
    return data if type(data) is list else _refuse(data, list)


def _refuse(data: Plain, kind: object) -> Any:
    raise TypeError(f"{type(data).__name__} is no {kind}")


def _reader_of_union(members: list[Any]) -> Callable[[Plain], Any]:
    """None, or the one member; of text and a tuple, the tuple when a list came."""
    composed = [member for member in members if member is not str]
    if len(composed) > 1 or not members:
        raise TypeError(f"no way to tell {members} apart")
    read = reader_of(composed[0] if composed else str)
    return lambda data: data if data is None or (str in members and isinstance(data, str)) else read(data)


# docs/socket.md


_INTRODUCTION = """\
# The socket

Made from `zap/frame.py`, `zap/wire.py`, `zap/requests.py`, `zap/events.py` and `zap/plan.py` by `zap.wire.reference()`.

A runner listens on the Unix socket `$XDG_RUNTIME_DIR/zap/ID/socket`, or on `/tmp/zap-UID/ID/socket` where there is no
such folder. ID is the first twelve digits of the SHA-256 of its plan's path, in which no folder is a link. The socket
is for its owner alone. `zap/dial.py` speaks to it without a loop, `zap/client.py` within one.
"""
_VERBS = """\
## Verbs

`plan` is answered with a [plan](#plan-part), `tail` as told below, the others with an empty object.
"""
_EVENTS = """\
## Events

An event is an object with its number `n`, its time `at` in seconds since 1970, its name as `event`, and the fields of
its own. What is null by default, and is null, is left out, here and in everything that a runner says.
"""


def reference() -> str:
    """Markdown of docs/socket.md."""
    from zap.plan import Plan

    _, *conversation, _ = (frame.__doc__ or "").split("\n\n")
    facts = _facts()
    parts: dict[type, None] = {}
    for kind in (*facts.values(), Plan):
        _collect(kind, parts)
    return "\n".join(
        [
            *(_INTRODUCTION, "\n\n".join(conversation) + "\n"),
            *(_VERBS, *(_described(verb, kind) for verb, kind in VERBS.items())),
            *(_EVENTS, *(_described(name, kind) for name, kind in facts.items())),
            *("## Parts\n", *(_described(_heading(kind), kind) for kind in parts if kind not in facts.values())),
        ]
    )


def _collect(kind: Any, parts: dict[type, None]) -> None:
    """The words that a type is made of, and itself, if it is one."""
    for inner in get_args(kind):
        _collect(inner, parts)
    if hasattr(kind, "_fields") and kind not in parts:
        parts[kind] = None
        for hint in get_type_hints(kind).values():
            _collect(hint, parts)


def _described(name: str, kind: type) -> str:
    lines = [f"### {name}\n"]
    if not (kind.__doc__ or "").startswith(f"{kind.__name__}("):  # what a NamedTuple is given is not worth reading
        lines.append((kind.__doc__ or "").replace("\n    ", "\n").strip() + "\n")
    hints = get_type_hints(kind)
    defaults: Mapping[str, Any] = kind._field_defaults  # type: ignore[attr-defined]
    if hints:
        lines += ["| field | value | default |", "|---|---|---|"]
    for field, hint in hints.items():
        default = f"`{json.dumps(to_plain(defaults[field]))}`" if field in defaults else "needed"
        lines.append(f"| `{field}` | {_noun(hint)} | {default} |")
    return "\n".join(lines) + "\n"


def _noun(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_noun, arguments))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple and arguments[-1] is ...:
        return f"list of {_noun(arguments[0])}"
    if origin is tuple:
        return f"list of {', '.join(map(_noun, arguments))}"
    if hasattr(hint, "_fields"):
        return f"[{name_of(hint)}](#{_heading(hint).replace(' ', '-')})"
    if issubclass(hint, StrEnum):
        return ", ".join(f"`{value}`" for value in hint)
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(hint, "null")


def _heading(kind: type) -> str:
    """Not that of the verb or the event of the same name."""
    return name_of(kind) if kind in _facts().values() else f"{name_of(kind)} part"
