"""Words ⇄ plain data that JSON can carry: events for `--json` and sockets, plans for the cache."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zap.events import Event, Line

Plain = Any  # what json.loads gives: dict, list, str, int, float, bool, None


def event_to_plain(event: Event) -> dict[str, Plain]:
    """`{"n": 17, "at": 1763671234.123, "event": "exited", …}`: the fact's name in snake case, then its fields."""
    told: dict[str, Plain] = to_plain(event.fact)
    return {"n": event.n, "at": round(event.at, 6), "event": name_of(type(event.fact))} | told


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
    return re.sub(r"(?<!^)(?=[A-Z])", "_", word.__name__).lower()


def to_plain(value: object) -> Plain:
    """A word's fields by name, tuples as lists; what is None by default and is None is left out."""
    fields = getattr(value, "_fields", None)
    if fields is not None:
        defaults: Mapping[str, object] = value._field_defaults  # type: ignore[attr-defined]
        pairs = ((field, getattr(value, field)) for field in fields)
        return {field: to_plain(item) for field, item in pairs if item is not None or defaults.get(field) is not None}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


@cache
def reader_of(kind: Any) -> Callable[[Plain], Any]:
    """A function from plain data back to a `kind`: a word, a tuple of them, a literal or an optional one.

    It trusts that the data was written by `to_plain`; data of another shape raises TypeError, KeyError, ValueError or
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
        return lambda data: tuple([read_item(item) for item in data])
    if origin is tuple:
        read_items = [reader_of(argument) for argument in arguments]
        return lambda data: tuple([read(item) for read, item in zip(read_items, data, strict=True)])
    if origin in (Union, types.UnionType):
        return _reader_of_union([argument for argument in arguments if argument is not type(None)])
    if kind in (str, int, float, bool) or origin is Literal:
        return lambda data: data
    raise TypeError(f"no way to read {kind}")


def _reader_of_union(members: list[Any]) -> Callable[[Plain], Any]:
    """None, or the one member; of text and a tuple, the tuple when a list came."""
    composed = [member for member in members if member is not str]
    if len(composed) > 1 or not members:
        raise TypeError(f"no way to tell {members} apart")
    read = reader_of(composed[0] if composed else str)
    return lambda data: data if data is None or (str in members and isinstance(data, str)) else read(data)
