"""The menus and pages: what each offers, and with which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from zap.escape import plain
from zap.events import Line, Proposed
from zap.events import Row as JobRow
from zap.plan import Fixup
from zap.tui.dialog import Choice, Menu, Page
from zap.tui.keys import Keys
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Row

Given = TypeVar("Given")

SIGNALS = (
    ("TERM", "asks to end", "t"),
    ("INT", "as Ctrl+C", "i"),
    ("HUP", "mostly: read the settings again", "h"),
    ("QUIT", "ends with a core dump", "q"),
    ("USR1", "", "1"),
    ("USR2", "", "2"),
    ("STOP", "halts it", "s"),
    ("CONT", "lets it go on", "c"),
    ("KILL", "ends it at once", "k"),
)
_PLACES = {"any": "everywhere", "tree": "in the tree", "output": "in the output", "events": "in the event log"}
_PLACES |= {"inside": "while typing into a job"}


def signals(jobs: Sequence[str], send: Callable[[str], None], glyphs: Glyphs) -> Menu:
    choices = [Choice(name, about, _later(send, name), key) for name, about, key in SIGNALS]
    return Menu(f"signal to {named(jobs)}", choices, glyphs)


def closing(running: int, stop: Callable[[], None], leave: Callable[[], None], glyphs: Glyphs) -> Menu:
    what = "1 job is" if running == 1 else f"{running} jobs are" if running else "no job is"
    return Menu(
        "close zap",
        [
            Choice("leave everything running", "`zap attach` comes back to it", leave, "l"),
            Choice("stop everything", "in order, and end the runner", stop, "s"),
        ],
        glyphs,
        [[("dialog", f"{what} running.")], []],
    )


def fixups(
    job: str,
    row: JobRow,
    known: Sequence[Fixup],
    run: Callable[[str], None],
    ask: Callable[[Proposed], None],
    glyphs: Glyphs,
) -> Menu:
    """Those that want approval first, then the job's others."""
    asking = {proposed.fixup: proposed for proposed in row.asking}
    choices = [Choice(name, "asks to run: see what", _later(ask, asking[name])) for name in asking]
    choices += [Choice(fixup.name, fixup.about, _later(run, fixup.name)) for fixup in known if fixup.name not in asking]
    about: list[Row] = [] if choices else [[("dialog", "no fixup is armed for this job")]]
    return Menu(f"fixups for {job}", choices, glyphs, about)


def approval(
    proposed: Proposed, about: str, line: Line | None, run: Callable[[], None], glyphs: Glyphs, key: str
) -> Menu:
    """Exactly what would run, and why. `key` is how the fixups are offered again."""
    rows: list[Row] = [[("dialog", about)], []]
    if line is not None:
        rows += [[("dialog", "because of this line:")], [("dialog", "  "), ("stream err", plain(line.text))], []]
    elif not proposed.line:
        rows += [[("dialog", "because of how it ended")], []]
    rows.append([("dialog", "it would run:")])
    for command in proposed.commands:
        rows += [[("dialog key", "  $ "), ("dialog", part)] for part in plain_lines(command)]
    effects = ", ".join(effect for effect in proposed.effects if effect != "none") or "nothing else"
    rows += [[], [("dialog", f"what it may do: {effects}")], []]
    choices = [
        Choice("run it", "", run, "r"),
        Choice("not now", f"{key} offers it again" if key else "", lambda: None, "n"),
    ]
    title = f"{proposed.job}: fixup {proposed.fixup} wants approval"
    return Menu(title, choices, glyphs, rows, at=1, subject=proposed)  # at first what does no harm


def palette(keys: Keys, do: Callable[[str], None], glyphs: Glyphs) -> Menu:
    choices = [
        Choice(action.name, spelled(keys.shown(action.name), glyphs), _later(do, action.name), about=action.about)
        for action in keys.actions
    ]
    return Menu("what to do", choices, glyphs, is_typed=True)


def overwriting(path: str, write: Callable[[], None], glyphs: Glyphs) -> Menu:
    return Menu(
        f"{path} is there already",
        [Choice("write over it", "", write, "y"), Choice("leave it as it is", "", lambda: None, "n")],
        glyphs,
        at=1,
    )


def explaining(sentences: Sequence[str]) -> Page:
    """One paragraph a job."""
    rows: list[Row] = []
    for sentence in sentences:
        rows += [*([[]] if rows else []), [("dialog", " ".join(plain_lines(sentence)))]]
    return Page("why", rows)


def refusing(title: str, why: str, glyphs: Glyphs) -> Page:
    """Each line of what is wrong, such as a problem of the plan, whole."""
    lines = (spelled(line, glyphs) for line in plain_lines(why))
    return Page(title, [[("dialog", spelled("· ", glyphs)), ("dialog", line)] for line in lines])


def helping(keys: Keys, glyphs: Glyphs) -> Page:
    rows: list[Row] = []
    before = ""
    for where, shown, about in keys.help():
        if where != before:
            rows += [*([[]] if rows else []), [("dialog title", _PLACES[where])]]
            before = where
        rows.append([("dialog key", f"  {spelled(shown, glyphs):<14} "), ("dialog", about)])
    rows += [[], [("dialog", "The mouse works everywhere; with Shift it selects as your terminal does.")]]
    return Page("keys", rows)


def named(jobs: Sequence[str]) -> str:
    return jobs[0] if len(jobs) == 1 else f"{len(jobs)} jobs"


def plain_lines(command: str) -> list[str]:
    """Each line of a command as it may be shown."""
    return [plain(line.encode(errors="replace")).expandtabs(4) for line in command.splitlines()]


def _later(do: Callable[[Given], None], given: Given) -> Callable[[], None]:
    return lambda: do(given)
