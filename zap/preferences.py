"""What a person wants of the interface: `~/.config/zap/config.yaml` → Preferences, or every Problem at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from zap import paths
from zap.errors import ConfigError, Problem
from zap.plan import Where

if TYPE_CHECKING:
    from zap.document import Document

ThemeName = Literal["dark", "light", "contrast", "mono"]
GlyphSet = Literal["unicode", "ascii"]


class Preferences(NamedTuple):
    """None: as the terminal suggests. `keys` are those that were written: by action; none at all unbinds it.

    `timestamps` and `wrap` are how an output is first shown.
    """

    theme: ThemeName | None = None
    glyphs: GlyphSet | None = None
    mouse: bool = True
    keys: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    timestamps: bool = False
    wrap: bool = True


def load(environ: Mapping[str, str], actions: Collection[str]) -> Preferences:
    """`actions` are the names that may have keys. Without a file: the defaults. ConfigError: with all that is wrong."""
    path = paths.config_file(environ)
    if path is None:
        return Preferences()
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Preferences()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError([Problem(Where(path, 1, 1), "", f"cannot be read: {why}")]) from None
    from zap import document  # only where there is something to read: yaml costs time

    return _check(document.parse(content, path), actions)


def _check(text: Document, actions: Collection[str]) -> Preferences:
    problems = list(text.problems)
    given: dict[str, Any] = {}
    if text.data is not None and not isinstance(text.data, dict):
        what = f'the file holds {_shown(text.data)}, not a mapping — it has settings such as "theme: dark"'
        problems.append(Problem(text.value(()), "", what))
    for name, value in text.data.items() if isinstance(text.data, dict) else ():
        if name == "keys":
            given[name] = _keys(text, actions, problems)
        elif name in _READERS:
            try:
                given[name] = _READERS[name](value)
            except ValueError as error:
                problems.append(Problem(text.value((name,)), name, str(error)))
        else:
            what = f"unknown key {_shown(name)}{_suggest(name, Preferences._fields)}"
            problems.append(Problem(text.key((name,)), "", what))
    if problems:
        raise ConfigError([Problem(where, _on_one_line(path), _on_one_line(what)) for where, path, what in problems])
    return Preferences(**given)


def _keys(text: Document, actions: Collection[str], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """The keys of each action; what is wrong with them is added to the problems."""
    written = text.data["keys"]
    if written is not None and not isinstance(written, dict):
        what = f"expected a mapping from actions to their keys, not {_shown(written)}"
        problems.append(Problem(text.value(("keys",)), "keys", what))
        return {}
    bound: dict[str, tuple[str, Where]] = {}
    for action, value in (written or {}).items():
        if action not in actions:
            what = f"there is no action {_shown(action)}{_suggest(action, actions)}"
            problems.append(Problem(text.key(("keys", action)), "keys", what))
        for index, key in enumerate(value if isinstance(value, list) else [value]):
            where = text.value(("keys", action, index))
            try:
                other, place = bound.setdefault(_read_key(key), (action, where))
                if other != action:
                    raise ValueError(f"{_shown(key)} is bound to {_shown(other)} already, in line {place.line}")
            except ValueError as error:
                problems.append(Problem(where, f"keys: {action}", str(error)))
    return {action: tuple(key for key, (owner, _) in bound.items() if owner == action) for action in written or {}}


# How each value is read from its text; ValueError: with what is wrong.

_LONGEST_SHOWN = 50


def _read_flag(value: object) -> bool:
    if value in ("true", "false"):
        return value == "true"
    meant = _MEANT_FLAGS.get(value.lower()) if isinstance(value, str) else None
    raise ValueError(f"expected true or false, not {_shown(value)}{f' — did you mean {meant}?' if meant else ''}")


_MEANT_FLAGS = dict.fromkeys(("true", "yes", "on", "y", "1"), "true")
_MEANT_FLAGS |= dict.fromkeys(("false", "no", "off", "n", "0"), "false")


def _choice(literal: object) -> Callable[[object], str]:
    choices = get_args(literal)

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected one of {', '.join(choices)}, not {_shown(value)}")
        if value not in choices:
            raise ValueError(f"{_shown(value)} is not one of {', '.join(choices)}{_suggest(value.lower(), choices)}")
        return value

    return read


_READERS: Mapping[str, Callable[[object], object]] = {
    "theme": _choice(ThemeName),
    "glyphs": _choice(GlyphSet),
    "mouse": _read_flag,
    "timestamps": _read_flag,
    "wrap": _read_flag,
}

# urwid's names: a printable character or one of these, behind any modifiers.
_MODIFIERS = ("shift", "meta", "ctrl", "super", "hyper")
_NAMES = (
    *("up", "down", "left", "right", "page up", "page down", "home", "end", "insert", "delete", "backspace"),
    *("enter", "tab", "esc", *(f"f{number}" for number in range(1, 36))),
)
_KEY = re.compile(f"(?:(?:{'|'.join(_MODIFIERS)}) )*(?:{'|'.join(_NAMES)}|.)")
_ELSEWHERE = {"alt": "meta", "option": "meta", "control": "ctrl", "escape": "esc", "return": "enter", "space": " "}
_ELSEWHERE |= {"del": "delete", "pgup": "page up", "pgdn": "page down", "pageup": "page up", "pagedown": "page down"}


def _read_key(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a key, or a list of keys ([] for none), not {_shown(value)}")
    if not _is_key(value):
        meant = " ".join(_meant_word(word) for word in re.split("[ +-]+", value.lower()))
        hint = f'did you mean "{meant}"?' if _is_key(meant) else "write such as R, f5, page up, ctrl p, meta x"
        raise ValueError(f"{_shown(value)} is not a key — {hint}")
    return value


def _is_key(text: str) -> bool:
    return text.isprintable() and _KEY.fullmatch(text) is not None


def _meant_word(word: str) -> str:
    """A word of a key's name as urwid has it; a letter is what it is."""
    if word in _ELSEWHERE or len(word) < 2:
        return _ELSEWHERE.get(word, word)
    return _nearest(word, " ".join((*_MODIFIERS, *_NAMES)).split()) or word


def _suggest(text: str, known: Iterable[str]) -> str:
    """` — did you mean …?` when something known is near, else nothing."""
    near = _nearest(text, known)
    return f" — did you mean {near}?" if near else ""


def _nearest(text: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # only for a mistake, and not cheap

    return next(iter(get_close_matches(text, list(known), 1)), None)


def _shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case str():
            return f'"{value}"' if len(value) <= _LONGEST_SHOWN else f'"{value[:_LONGEST_SHOWN]}…"'
        case list():
            return "a list"
        case _:
            return "a mapping"


def _on_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
