"""The one table of what can be done: each action with its keys, for the keyboard, the palette and the help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

Where = Literal["any", "tree", "output", "events", "inside"]
"""What has the focus when the keys count."""


class Action(NamedTuple):
    """`keys` are named as urwid names them, the first is shown; `about` is an imperative, as the help says it."""

    name: str
    keys: tuple[str, ...]
    about: str
    where: Where = "any"


ACTIONS = (
    Action("restart", ("R",), "restart the job, or every job of the system"),
    Action("toggle", ("s",), "start the job or system, or stop it"),
    Action("pause", ("P",), "pause the job, or every job of the system, or let them go on"),
    Action("signal", ("k",), "send a signal, from a menu"),
    Action("fix", ("f",), "run a fixup for this job, those that it asks for first"),
    Action("why", ("W",), "say why the job, or each of the system, is as it is"),
    Action("type", ("enter", "i"), "type into the job, as if this were its terminal"),
    Action("edit", ("e",), "open the job's place in jobs.yaml in $EDITOR"),
    Action("reload", ("ctrl r",), "read the plan again, and do what has changed in it"),
    Action("clear", ("C",), "let go of what the job has said"),
    Action("focus", ("tab", "shift tab"), "go to the other pane"),
    Action("merged", ("m",), "all jobs in one view, or back to one"),
    Action("split", ("|",), "two jobs side by side, or back to one"),
    Action("events", ("l",), "the event log, or back to the output"),
    Action("palette", ("ctrl p", ":"), "find any action by its name"),
    Action("help", ("?", "f1"), "say what the keys do"),
    Action("redraw", ("ctrl l",), "draw the whole screen again"),
    Action("suspend", ("ctrl z",), "put the interface into the background of the shell"),
    Action("upgrade", ("ctrl u",), "change to the zap that is installed now; the jobs go on"),
    Action("back", ("esc",), "leave the selection, search, filter or view that was opened last"),
    Action("quit", ("q", "ctrl c"), "close the interface; it asks whether to stop everything"),
    Action("up", ("up",), "the job above", "tree"),
    Action("down", ("down",), "the job below", "tree"),
    Action("page up", ("page up",), "a page up", "tree"),
    Action("page down", ("page down",), "a page down", "tree"),
    Action("first", ("home", "g"), "the first", "tree"),
    Action("last", ("end", "G"), "the last", "tree"),
    Action("fold", ("left", "-"), "fold the system, or the job's commands", "tree"),
    Action("unfold", ("right", "+"), "unfold it", "tree"),
    Action("narrow", ("/",), "show only jobs that fit what you type", "tree"),
    Action("sort", ("o",), "order by the plan, state, name, cpu or memory", "tree"),
    Action("scroll up", ("up",), "a line up", "output"),
    Action("scroll down", ("down",), "a line down", "output"),
    Action("scroll page up", ("page up", "b"), "a page up", "output"),
    Action("scroll page down", ("page down",), "a page down", "output"),
    Action("scroll first", ("home", "g"), "the oldest line that is kept", "output"),
    Action("follow", ("end", "G"), "the newest line, and follow", "output"),
    Action("scroll left", ("left",), "to the left, where lines are cut", "output"),
    Action("scroll right", ("right",), "to the right, where lines are cut", "output"),
    Action("search", ("/",), "search a pattern (RE2; small letters match capitals too)", "output"),
    Action("next hit", ("n",), "the next line that matches", "output"),
    Action("previous hit", ("N",), "the previous line that matches", "output"),
    Action("filter", ("&",), "show only lines that match a pattern", "output"),
    Action("only errors", ("E",), "show only errors, or all", "output"),
    Action("only remarks", ("Z",), "show only what zap remarks, or all", "output"),
    Action("next command", ("]",), "the next command's beginning", "output"),
    Action("previous command", ("[",), "the previous command's beginning", "output"),
    Action("next error", ("}",), "the next error", "output"),
    Action("previous error", ("{",), "the previous error", "output"),
    Action("next fixup", (")",), "the next remark of a fixup", "output"),
    Action("previous fixup", ("(",), "the previous remark of a fixup", "output"),
    Action("select", ("v",), "select lines with the arrows; again to end", "output"),
    Action("copy", ("y",), "copy the selected lines, or else what shows, to the clipboard", "output"),
    Action("save", ("S",), "save the job's lines to a file", "output"),
    Action("pager", ("p",), "show the job's lines in $PAGER", "output"),
    Action("wrap", ("w",), "wrap long lines, or cut them", "output"),
    Action("timestamps", ("t",), "show when each line came", "output"),
    Action("event up", ("up",), "the event above", "events"),
    Action("event down", ("down",), "the event below", "events"),
    Action("event page up", ("page up",), "a page up", "events"),
    Action("event page down", ("page down",), "a page down", "events"),
    Action("event first", ("home", "g"), "the oldest event", "events"),
    Action("event last", ("end", "G"), "the newest event, and follow", "events"),
    Action("event lines", ("enter",), "go to what the job said then", "events"),
    Action("leave", ("ctrl ]",), "cease to type into the job", "inside"),
)
NAMES = tuple(action.name for action in ACTIONS)

ABOUT = """\
What the keys of the interface do; `?` shows the same. Others can be chosen in `$XDG_CONFIG_HOME/zap/config.yaml`
(`~/.config/zap/config.yaml`), by the name of the action; an empty list takes an action's keys away:

```yaml
theme: dark            # light, contrast, mono; without it the terminal suggests one
glyphs: unicode        # or ascii
mouse: true
wrap: true             # long lines, at first
timestamps: false
keys:
  restart: [R, f5]
  quit: [ctrl q]
```"""

_SHOWN = {" ": "space", "page up": "PgUp", "page down": "PgDn", "up": "↑", "down": "↓", "left": "←", "right": "→"}
_SHOWN |= {"enter": "Enter", "esc": "Esc", "tab": "Tab", "home": "Home", "end": "End"}


class Keys:
    """The table with what a person has changed in it: by action, the keys instead; none at all unbinds.

    A key that a person has given away is taken from whom it was. To cease to type always has one: nobody is locked in.
    """

    def __init__(self, changed: Mapping[str, tuple[str, ...]]) -> None:
        changed = {name: keys for name, keys in changed.items() if keys or name != "leave"}
        given = {(action.where, key) for action in ACTIONS for key in changed.get(action.name, ())}

        def kept(action: Action) -> tuple[str, ...]:
            places = (action.where,) if action.where == "inside" else (action.where, "any")
            return tuple(key for key in action.keys if not any((place, key) in given for place in places))

        self.actions = tuple(action._replace(keys=changed.get(action.name, kept(action))) for action in ACTIONS)
        self._by_name = {action.name: action for action in self.actions}
        self._by_key = {(action.where, key): action.name for action in self.actions for key in action.keys}

    def action(self, key: str, where: Where) -> str | None:
        """What the key does there: what is meant for there goes before what counts anywhere."""
        return self._by_key.get((where, key)) or (self._by_key.get(("any", key)) if where != "inside" else None)

    def shown(self, name: str) -> str:
        """The action's first key as it is printed on a keyboard; empty when it has none."""
        keys = self._by_name[name].keys
        return shown(keys[0]) if keys else ""

    def help(self) -> Iterator[tuple[str, str, str]]:
        """Of each action: where it counts, its keys, what it does."""
        for action in self.actions:
            yield action.where, " ".join(map(shown, action.keys)), action.about


def reference() -> str:
    """The table in Markdown."""
    rows = [
        f"| {action.where} | {' '.join(f'`{shown(key)}`' for key in action.keys).replace('|', chr(92) + '|')} "
        f"| {action.name} | {action.about} |"
        for action in ACTIONS
    ]
    head = ["# Keys", "", ABOUT, "", "| where | keys | action | |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def shown(key: str) -> str:
    """`ctrl p` as `^P`, `page up` as `PgUp`."""
    if key.startswith("ctrl "):
        return f"^{key[5:].upper()}"
    return _SHOWN.get(key, key)
