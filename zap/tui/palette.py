"""How things look: the colours of a theme, and the glyphs that say what a job is and what happened to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from zap.events import State

Entry = tuple[str | None, str, str, str, str, str]
"""As urwid's `register_palette` takes it: name, ink and paper of 16 colours, without colour, ink and paper of 256."""


class Theme(NamedTuple):
    """The name None is what everything else lies upon.

    A look with no paper of its own inherits it: `LayeredAttr("state failed", "selected")` is red on the selected row.
    """

    name: str
    entries: tuple[Entry, ...]


class Glyphs(NamedTuple):
    """Each is one cell wide, but for the wrench, which is two. `corners` go from the upper left clockwise."""

    name: str
    states: Mapping[State, str]
    paused: str
    open: str
    shut: str
    down: str
    across: str
    corners: str
    fixup: str
    error: str
    lines: str
    ellipsis: str
    thumb: str
    follow: str
    checked: str
    unchecked: str


UNICODE = Glyphs(
    name="unicode",
    states={
        State.STOPPED: "○",
        State.WAITING: "◔",
        State.STARTING: "◌",
        State.RUNNING: "◐",
        State.READY: "●",
        State.STOPPING: "◍",
        State.FIXING: "🔧",
        State.BACKOFF: "↺",
        State.DONE: "✓",
        State.FAILED: "✗",
    },
    paused="⏸",
    open="▾",
    shut="▸",
    down="│",
    across="─",
    corners="┌┐┘└",
    fixup="🔧",
    error="✗",
    lines="+",
    ellipsis="…",
    thumb="█",
    follow="↓",
    checked="☑",
    unchecked="☐",
)

ASCII = Glyphs(
    name="ascii",
    states={
        State.STOPPED: ".",
        State.WAITING: "%",
        State.STARTING: ":",
        State.RUNNING: "~",
        State.READY: "*",
        State.STOPPING: "/",
        State.FIXING: "&",
        State.BACKOFF: "@",
        State.DONE: "=",
        State.FAILED: "x",
    },
    paused='"',
    open="v",
    shut=">",
    down="|",
    across="-",
    corners="++++",
    fixup="&",
    error="!",
    lines="+",
    ellipsis="~",
    thumb="#",
    follow="v",
    checked="x",
    unchecked="o",
)


_SPELLING = str.maketrans(
    {"·": "-", "…": "~", "🔧": "&", "✓": "=", "✗": "x", "↺": "@", "■": "#", "⚠": "!", "⌨": ">"}
    | {"⚑": "^", "♥": "+", "⏸": '"', "▶": ">", "×": "x", "—": "--"}
    | {"↑": "up", "↓": "down", "←": "<-", "→": "->"}
)


def spelled(said: str, glyphs: Glyphs) -> str:
    """What zap itself says, in letters that the terminal has."""
    return said if glyphs is UNICODE or said.isascii() else said.translate(_SPELLING)


class _Look(NamedTuple):
    """`bare` is what it has where there is no colour; without a paper it inherits the one that it stands on."""

    ink: str
    paper: str = ""
    settings: str = ""
    bare: str = ""


_LOOKS = {
    "text": _Look("text"),
    "dim": _Look("dim"),
    "title": _Look("accent", settings="bold", bare="bold"),
    "bar": _Look("text", "bar", bare="standout"),
    "bar key": _Look("accent", "bar", "bold", "bold,standout"),
    "border": _Look("faint"),
    "border focus": _Look("accent", settings="bold", bare="bold"),
    "selected": _Look("text", "selected", bare="underline"),
    "selected focus": _Look("text", "focus", "bold", "standout"),
    "heading": _Look("accent", settings="bold", bare="bold"),
    "heading ok": _Look("ok", settings="bold", bare="bold"),
    "heading bad": _Look("bad", settings="bold", bare="bold,underline"),
    "stream err": _Look("bad", bare="bold"),
    "stream zap": _Look("busy", bare="underline"),
    "gutter": _Look("faint"),
    "time": _Look("dim"),
    "hit": _Look("black", "hit", bare="standout"),
    "hit now": _Look("black", "hit now", "bold", "bold,underline,standout"),
    "selection": _Look("text", "focus", bare="standout"),
    "badge lines": _Look("accent"),
    "badge errors": _Look("bad", settings="bold", bare="bold"),
    "badge fixups": _Look("fix", bare="bold"),
    "notice": _Look("dim"),
    "notice bad": _Look("bad", settings="bold", bare="bold"),
    "notice fix": _Look("fix", bare="bold"),
    "dialog": _Look("text", "dialog"),
    "dialog title": _Look("accent", "dialog", "bold", "bold"),
    "dialog key": _Look("accent", settings="bold", bare="bold,underline"),
    "input": _Look("text", "bar", bare="underline"),
    "prompt": _Look("accent", "bar", "bold", "bold"),
    "ok": _Look("ok"),
    "bad": _Look("bad", settings="bold", bare="bold"),
    "warn": _Look("warn", bare="bold"),
    "fix": _Look("fix", bare="bold"),
    "busy": _Look("busy"),
    "off": _Look("faint"),
    "match": _Look("warn", settings="bold,underline", bare="bold,underline"),
    "state stopped": _Look("dim"),
    "state waiting": _Look("accent"),
    "state starting": _Look("busy"),
    "state running": _Look("busy"),
    "state ready": _Look("ok", settings="bold"),
    "state stopping": _Look("warn"),
    "state fixing": _Look("fix", settings="bold", bare="bold"),
    "state backoff": _Look("warn", bare="bold"),
    "state done": _Look("ok"),
    "state failed": _Look("bad", settings="bold", bare="bold"),
    "state paused": _Look("warn", settings="bold", bare="bold,underline"),
}

# A colour is two: one of the 16, which every person sets as they like, and one of the 256, which nobody does. From the
# 256 are taken those whose contrast on all papers of the theme is known to suffice.
_Colour = tuple[str, str]
_NONE: _Colour = ("default", "default")
_HITS: dict[str, _Colour] = {
    "black": ("black", "#000"),
    "hit": ("brown", "#fd0"),
    "hit now": ("light gray", "#f80"),
}
_DARK = _HITS | {
    "base": _NONE,
    "text": ("white", "g93"),
    "dim": ("light gray", "g70"),
    "faint": ("light gray", "g62"),
    "accent": ("light blue", "#8af"),
    "ok": ("light green", "#8d8"),
    "bad": ("light red", "#f88"),
    "warn": ("yellow", "#fd8"),
    "fix": ("light magenta", "#d8f"),
    "busy": ("light cyan", "#6dd"),
    "bar": ("dark blue", "g19"),
    "dialog": ("black", "g15"),
    "selected": ("dark gray", "g19"),
    "focus": ("dark blue", "#008"),
}
_LIGHT = _HITS | {
    "base": _NONE,
    "text": ("black", "g11"),
    "dim": ("dark gray", "g35"),
    "faint": ("dark gray", "g38"),
    "accent": ("dark blue", "#00a"),
    "ok": ("dark green", "#060"),
    "bad": ("dark red", "#a00"),
    "warn": ("brown", "#860"),
    "fix": ("dark magenta", "#80a"),
    "busy": ("dark cyan", "#066"),
    "bar": ("light gray", "g93"),
    "dialog": ("light gray", "g93"),
    "selected": ("light gray", "g93"),
    "focus": ("light cyan", "#dff"),
}
_CONTRAST = _HITS | {
    "base": ("black", "#000"),
    "text": ("white", "#fff"),
    "dim": ("white", "g89"),
    "faint": ("white", "g89"),
    "accent": ("light cyan", "#8df"),
    "ok": ("light green", "#8f8"),
    "bad": ("light red", "#faa"),
    "warn": ("yellow", "#ff0"),
    "fix": ("light magenta", "#fbf"),
    "busy": ("light cyan", "#0ff"),
    "bar": ("dark blue", "#008"),
    "dialog": ("black", "#000"),
    "selected": ("dark gray", "g19"),
    "focus": ("dark blue", "#00a"),
}


def _coloured(name: str, colours: Mapping[str, _Colour]) -> Theme:
    entries: list[Entry] = [_entry(None, _Look("text", "base"), colours) if colours["base"] != _NONE else _PLAIN]
    return Theme(name, (*entries, *(_entry(look_name, look, colours) for look_name, look in _LOOKS.items())))


def _entry(name: str | None, look: _Look, colours: Mapping[str, _Colour]) -> Entry:
    low, high = (f"{ink},{look.settings}".rstrip(",") for ink in colours[look.ink])
    low_paper, high_paper = colours[look.paper] if look.paper else ("inherit", "inherit")
    return name, low, low_paper, look.bare or "default", high, high_paper


def _bare(name: str, look: _Look) -> Entry:
    """Inherits even where there is nothing to inherit but settings, such as those of the row that it stands on."""
    settings = f"inherit,{look.bare}".rstrip(",")
    return name, settings, "inherit", look.bare or "default", settings, "inherit"


_PLAIN: Entry = (None, "default", "default", "default", "default", "default")

THEMES = {
    theme.name: theme
    for theme in (
        _coloured("dark", _DARK),
        _coloured("light", _LIGHT),
        _coloured("contrast", _CONTRAST),
        Theme("mono", (_PLAIN, *(_bare(name, look) for name, look in _LOOKS.items()))),
    )
}


def choose(preference: str | None, environ: Mapping[str, str], colours: int) -> Theme:
    """`preference` is a theme's name; `colours` is how many the terminal has, 1 for none.

    Whatever is preferred, there is no colour under `$NO_COLOR` (no-color.org). Without a preference `$COLORFGBG`
    tells which terminal is light; most are dark.
    """
    if environ.get("NO_COLOR") or colours == 1:
        return THEMES["mono"]
    return THEMES[preference or ("light" if _is_light(environ) else "dark")]


def glyphs(preference: str | None, environ: Mapping[str, str]) -> Glyphs:
    """`preference` is "unicode" or "ascii"; without one the locale decides, and a console that has few letters.

    Python itself sets `$LC_CTYPE` to C.UTF-8 where the locale is C (PEP 538), and so do we then speak UTF-8.
    """
    if preference is None:
        locale = next((value for name in ("LC_ALL", "LC_CTYPE", "LANG") if (value := environ.get(name))), "C")
        is_utf8 = "utf8" in locale.lower().replace("-", "")
        preference = "unicode" if is_utf8 and environ.get("TERM") not in ("linux", "dumb") else "ascii"
    return UNICODE if preference == UNICODE.name else ASCII


def _is_light(environ: Mapping[str, str]) -> bool:
    """rxvt, Konsole and others tell `ink;paper`, or `ink;something;paper`, as numbers of the 16 colours."""
    paper = environ.get("COLORFGBG", "").rpartition(";")[2]
    return paper in ("7", "9", "10", "11", "12", "13", "14", "15")
