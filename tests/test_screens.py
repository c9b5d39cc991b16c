"""Screens as text and attributes: tests/screens/*.txt hold what a person sees, at three sizes.

`pytest --update-screens` writes them anew; what has changed is then read in the diff.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from urwid.testing import resolve_attr

from tests.recorded import Person, Recorded, became, job, plan, runs, shown
from tests.shop import API, CACHE, DATABASE, WORKER, shop
from zap import events
from zap.events import LOG, Lack, Load, State, Status
from zap.plan import MIB, Plan, System
from zap.tui.palette import ASCII, THEMES

SCREENS = Path(__file__).parent / "screens"
SIZES = ((80, 24), (200, 50), (60, 15))

Do = Callable[[Person], None]


class View(NamedTuple):
    """What she does to see it, in which session, and what her terminal is like."""

    do: Do
    session: Callable[[], Recorded] = shop
    options: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        return self.do.__name__.replace("_", "-")


def tree_and_output(ann: Person) -> None:
    pass


def output(ann: Person) -> None:
    ann.presses("tab")


def scrolled(ann: Person) -> None:
    ann.presses("tab", "page up")


def said_while_scrolled(ann: Person) -> None:
    ann.presses("tab", "page up")
    ann.hears_say(API, "GET /late 200\n" * 3, command=5)


def oldest_lines(ann: Person) -> None:
    ann.presses("tab", "home")


def search_typed(ann: Person) -> None:
    ann.presses("tab", "/")
    ann.types("2[0-9] ms")


def searched(ann: Person) -> None:
    ann.presses("tab", "/")
    ann.types("items/.7")
    ann.presses("enter", "N")


def search_refused(ann: Person) -> None:
    ann.presses("tab", "/")
    ann.types("(items")
    ann.presses("enter")


def filtered(ann: Person) -> None:
    ann.presses("tab", "&")
    ann.types("7 ms")
    ann.presses("enter")


def only_errors(ann: Person) -> None:
    ann.presses("tab", "E")


def only_remarks(ann: Person) -> None:
    ann.presses("tab", "Z")


def previous_error(ann: Person) -> None:
    ann.presses("tab", "{")


def previous_command(ann: Person) -> None:
    ann.presses("tab", "[", "[")


def selection(ann: Person) -> None:
    ann.presses("tab", "v", "up", "up", "up")


def copied(ann: Person) -> None:
    ann.presses("tab", "v", "up", "y")


def timestamps(ann: Person) -> None:
    ann.presses("tab", "t")


def merged(ann: Person) -> None:
    ann.presses("m", "tab")


def one_system(ann: Person) -> None:
    ann.presses("home", "tab", "home")


def split(ann: Person) -> None:
    ann.presses("|")


def split_and_focus(ann: Person) -> None:
    ann.presses("|", "end", "tab", "tab")


def event_log(ann: Person) -> None:
    ann.presses("l")


def event_selected(ann: Person) -> None:
    ann.presses("l", "home", "page down")


def lines_of_an_event(ann: Person) -> None:
    ann.presses("l", *["up"] * 5, "enter")


def palette(ann: Person) -> None:
    ann.presses("ctrl p")


def palette_typed(ann: Person) -> None:
    ann.presses("ctrl p")
    ann.types("nexco")


def palette_without_hits(ann: Person) -> None:
    ann.presses("ctrl p")
    ann.types("zzz")


def helping(ann: Person) -> None:
    ann.presses("?")


def helping_scrolled(ann: Person) -> None:
    ann.presses("?", "page down")


def signals(ann: Person) -> None:
    ann.presses("k", "down")


def fixups(ann: Person) -> None:
    ann.presses("f")


def no_fixups(ann: Person) -> None:
    ann.presses(*["down"] * 5, "f")


def quitting(ann: Person) -> None:
    ann.presses("q")


def overwriting(ann: Person) -> None:
    ann.presses("tab", "S", "ctrl u")
    ann.types("/dev/null")
    ann.presses("enter")


def narrowing(ann: Person) -> None:
    ann.presses("/")
    ann.types("dac")


def narrowed(ann: Person) -> None:
    ann.presses("/")
    ann.types("wk")
    ann.presses("enter")


def narrowed_to_nothing(ann: Person) -> None:
    ann.presses("/")
    ann.types("zzz")
    ann.presses("enter")


def sorted_by_state(ann: Person) -> None:
    ann.presses("o")


def sorted_by_memory(ann: Person) -> None:
    ann.presses("o", "o", "o", "o")


def folded(ann: Person) -> None:
    ann.presses("right", *["down"] * 10, "left", "left")
    ann.hears_say(DATABASE, "LOG:  checkpoint\n", "err")
    ann.hears_say(CACHE, "* saving\n* saved\n")


def unseen(ann: Person) -> None:
    ann.hears_say(DATABASE, "LOG:  checkpoint\n" * 1234)
    ann.hears_say(WORKER, "task done\n" * 3)
    ann.hears_say(WORKER, "task failed\n" * 2, "err")
    ann.hears(events.Fixed(WORKER, 1, "install-dependencies", 2.0, False))


def something_happened_elsewhere(ann: Person) -> None:
    ann.hears(events.Exited(DATABASE, 1, Status(None, "KILL"), 300.0))
    ann.hears(became(DATABASE, State.BACKOFF, "killed by KILL", seconds=1.0, exit=Status(None, "KILL")))


def paused(ann: Person) -> None:
    ann.hears(events.Paused(API, 2, "process 4721 was stopped by a signal"))


def something_that_zap_goes_on_without(ann: Person) -> None:
    ann.hears(events.Degraded("the journal", "No space left on device"))
    ann.hears(events.Probed(API, 2, "health", True, "tcp localhost:8080", "connected"))


def another_runner(ann: Person) -> None:
    ann.hears(events.Jumped(-3600.0), events.Slept(7200.0), events.Left((API,), 2))
    ann.hears(events.Requested("stop", (CACHE, WORKER), "process 4799 of user 1000"))
    ann.hears(events.TookOver(4800, "1.0", "the runner before ended by signal 9", 0.3))
    ann.presses("l")
    ann.hears(events.TookOver(4801, "1.1", "an upgrade was asked for by process 4799 of user 1000", 0.2))


def refused(ann: Person) -> None:
    ann.session.refusal = "zap is ending: it takes no more requests"
    ann.presses("R")


def zaps_log(ann: Person) -> None:
    ann.presses("end")
    ann.hears_say(LOG, "interface: DeprecationWarning: something is old\n", "zap", 0)
    ann.presses("tab")


def typing_into_a_job(ann: Person) -> None:
    ann.hears(*runs(WORKER, "python", epoch=2, pid=4730))
    ann.hears_say(WORKER, "Python 3.13.0 on linux\n>>> ")
    ann.presses("down", "enter")
    ann.types("6*7")
    ann.hears_say(WORKER, "\x1b[1;35m6*7\x1b[0m")


def a_program_that_fills_the_screen(ann: Person) -> None:
    ann.hears(*runs(WORKER, "vim notes", epoch=2, pid=4730))
    ann.presses("down", "enter")
    tildes = "".join(f"\x1b[{row};1H\x1b[94m~" for row in range(3, 12))
    text = f"\x1b[1;1H買う物\x1b[2;1Hmilk, 🥚{tildes}"
    ann.hears_say(WORKER, f"\x1b[?1049h\x1b[2J{text}\x1b[m\x1b[12;1H-- INSERT --\x1b[2;9H")


def _proposed() -> events.Proposed:
    commands = ("fuser --kill --namespace tcp 8080", "echo 'freed\tthe port'; rm -f /tmp/a\x1b[2J\u202eb")
    return events.Proposed(API, 2, "free-port", 1, commands, ("kills-process", "deletes-file"))


def why_of_a_system(ann: Person) -> None:
    ann.presses("home", "W")


def approval(ann: Person) -> None:
    ann.hears(_proposed())


def approval_scrolled(ann: Person) -> None:
    ann.hears(_proposed())
    ann.presses("page down", "up")


def fixups_of_which_one_asks(ann: Person) -> None:
    ann.hears(_proposed())
    ann.presses("n", "f")


# Sessions of their own.


def states() -> Recorded:
    names = [f"all/{state}" for state in (*State, "paused")]
    session = Recorded(plan(*(job(name, "one", "two", "three") for name in names)))
    for name, state in zip(names, (*State, State.READY), strict=True):
        for fact in runs(name, "one", "two"):
            session.tell(fact)
        why = "asked to" if state is State.STOPPING else "exit 3"
        if state in (State.DONE, State.FAILED, State.BACKOFF):
            status = Status(0 if state is State.DONE else 3)
            session.tell(events.Exited(name, 1, status, 2.0))
            session.tell(became(name, state, why, seconds=4.0, exit=status))
        else:
            session.tell(became(name, state, why))
    session.tell(events.Paused("all/paused", 1))
    session.tell(events.Measured(tuple(Load(name, 1.6, 34 * MIB, 2) for name in names)))
    session.now += 42
    return session


UI, APP, DB, QUEUE, MIGRATE, REPORT = "web/ui", "web/app", "web/db", "data/queue", "data/migrate", "web/report"


def needing() -> Recorded:
    """Jobs that wait for each other: one that becomes ready, one that is not well, and one that has failed."""
    session = Recorded(plan(*(job(name, "one", "two") for name in (UI, APP, DB, REPORT, QUEUE, MIGRATE))))
    refused = events.Probed(DB, 1, "ready", False, "tcp localhost:5432", "connection refused", 7, 1, 1.0)
    unwell = events.Probed(
        QUEUE, 1, "health", False, "http http://localhost:8080/health", "503 Service Unavailable", 2, 3
    )
    for fact in (
        *(became(name, State.WAITING) for name in (UI, APP, REPORT)),
        *(*runs(DB, "one"), refused, *runs(QUEUE, "one", "two"), became(QUEUE, State.READY), unwell),
        events.Notified(QUEUE, 1, "3 clients, 12 messages"),
        *(*runs(MIGRATE, "one"), events.Exited(MIGRATE, 1, Status(1), 0.3)),
        became(MIGRATE, State.FAILED, "exit 1 at command 1/2 `one`", exit=Status(1)),
        events.Waits(UI, 0, (Lack(APP, "ready"), Lack(DB, "line", "listening"))),
        events.Waits(
            APP, 0, (Lack(DB, "ready"), Lack(QUEUE, "line", "synced"), Lack(MIGRATE, "done", is_hopeless=True))
        ),
        events.Waits(REPORT, 0, (Lack(DB, "ready"),)),
        events.HookFailed(QUEUE, 1, "after_start", "exit 1"),
    ):
        session.tell(fact)
    session.now += 42
    return session


def waiting(ann: Person) -> None:
    ann.presses("down")


def waiting_in_ascii(ann: Person) -> None:
    ann.presses("down", "o", "tab")


def becoming_ready(ann: Person) -> None:
    ann.presses("down", "down", "tab")


def unwell(ann: Person) -> None:
    ann.presses(*["down"] * 5, "tab")


def held(ann: Person) -> None:
    ann.hears(became(DB, State.STOPPING), events.Waits(DB, 1, leavers=(REPORT, QUEUE)))
    ann.presses("down", "down")


def a_plan_that_is_not_right(ann: Person) -> None:
    ann.hears(events.Stormed((DB, QUEUE, MIGRATE, REPORT, APP), 5.0))
    ann.hears(events.Reloaded((REPORT,), ("web/old",), (DB, QUEUE)))
    ann.hears(events.NotReloaded("jobs.yaml:3:9: web/ui: needs: there is no job app2\njobs.yaml:7:9: web/db: what?"))
    ann.presses("l", "home", "end")


def reload_refused(ann: Person) -> None:
    problems = [f"jobs.yaml:{line}:9: web/ui: needs: there is no job app{line}, of {line}" for line in range(3, 40)]
    ann.session.refusal = "\n".join(problems)
    ann.presses("ctrl r", "page down")


def every_state(ann: Person) -> None:
    ann.presses("right", "down")


def every_state_in_ascii(ann: Person) -> None:
    ann.presses("end", "up", "right", "o")


def nothing() -> Recorded:
    return Recorded(Plan("/jobs.yaml", "none", ()))


def no_job_at_all(ann: Person) -> None:
    ann.presses("|", "m", "R", "tab")


def little() -> Recorded:
    empty = System("empty", ())
    return Recorded(plan(job("web/api", ""))._replace(systems=(empty, *plan(job("web/api", "")).systems)))


def a_system_without_jobs(ann: Person) -> None:
    ann.presses("home", "s")


def a_job_that_has_said_nothing(ann: Person) -> None:
    ann.hears(*runs("web/api", ""))


LONG = "a-name-that-goes-on-and-on-for-much-longer-than-anybody-would-ever-want-to-read"


def long() -> Recorded:
    jobs = (job(f"{LONG}/{LONG}", f"echo {LONG} {LONG}", "true"), job("b/c", "true"))
    session = Recorded(plan(*jobs, path=f"/{LONG}/jobs.yaml"))
    name = jobs[0].name
    for fact in runs(name, *(command.text for command in jobs[0].commands)):
        session.tell(fact)
    session.say(name, f"{LONG} " * 10 + "\n" + "short\n")
    session.say("b/c", "here\n")
    return session


def long_names(ann: Person) -> None:
    ann.presses("right", "tab")


def long_names_merged(ann: Person) -> None:
    ann.presses("m", "t", "tab")


def cut_lines(ann: Person) -> None:
    ann.presses("tab", "w", "right", "right")


def wide() -> Recorded:
    session = Recorded(plan(job("web/api", "echo 買う物"), job("web/other", "true")))
    for fact in runs("web/api", "echo 買う物"):
        session.tell(fact)
    for shift in range(4):
        session.say("web/api", "." * shift + "買う物をする👩‍👩‍👧é́x" * 12 + "\n")
    session.say("web/api", "\x1b[41m構\x1b[42m建\x1b[m\tafter a tab\u200b\u202e\n" + "👍🏽 🇩🇪 ⚠️ ❤️ ☺ ﷽\n", "err")
    return session


def wide_letters(ann: Person) -> None:
    ann.presses("tab")


def wide_letters_cut(ann: Person) -> None:
    ann.presses("tab", "w")


def wide_letters_behind_a_dialog(ann: Person) -> None:
    ann.presses("tab", "q")


def asking() -> Recorded:
    session = Recorded(plan(job("web/api", "sudo true")))
    for fact in runs("web/api", "sudo true"):
        session.tell(fact)
    session.say("web/api", "one line\n[sudo] password for ann: ")
    return session


def an_unfinished_line(ann: Person) -> None:
    ann.presses("tab")


def hostile() -> Recorded:
    session = Recorded(plan(job("web/api", "true"), job("web/other", "true")))
    for fact in runs("web/api", "true"):
        session.tell(fact)
    for text in (
        b"title \x1b]0;owned\x07 and clipboard \x1b]52;c;b3duZWQ=\x07 and query \x1b[6n\x1b[c",
        b"cleared \x1b[2J\x1b[H\x1b[?1049h screen",
        b"unterminated \x1b]0;swallows",
        b"the next line \x9b31m and \xc2\x9d0;t\x9c",
        b"back\b\b\b\bspaces \x7f bells \a\a nulls \0\0 tabs\tend",
        b"returns over\rwritten",
        b"invalid \xff\xfe\xf0\x9f utf-8 \xed\xa0\x80",
        "right to left \u202e\u2067abc\u2069 marks \u200f\u061c, joined \u200d\u200c".encode(),
        b"\x1b[31;44;5;7;8;9mblinking, hidden, reversed",
        b"\x1b[999999999999m" + b"\x1b[" + b"1;" * 500 + b"mmany numbers",
        b"\x1b" * 300 + b"(B" + b"charset\x0e\x0f",
    ):
        session.say("web/api", text + b"\n")
    return session


def hostile_output(ann: Person) -> None:
    ann.hears(events.GaveUp("web/api", 1, "x", "the capture \x1b]0;t\x07\u202e\n\x1b[2J is not safe"))
    ann.presses("tab")


VIEWS = (
    *(
        View(do)
        for do in (tree_and_output, output, scrolled, said_while_scrolled, oldest_lines, search_typed, searched)
    ),
    *(View(do) for do in (search_refused, filtered, only_errors, only_remarks, previous_error, previous_command)),
    *(View(do) for do in (selection, copied, timestamps, merged, one_system, split, split_and_focus, event_log)),
    *(View(do) for do in (event_selected, lines_of_an_event, palette, palette_typed, palette_without_hits, helping)),
    *(View(do) for do in (helping_scrolled, signals, fixups, no_fixups, quitting, overwriting, narrowing, narrowed)),
    *(View(do) for do in (narrowed_to_nothing, sorted_by_state, sorted_by_memory, folded, unseen, refused, zaps_log)),
    *(View(do) for do in (something_happened_elsewhere, typing_into_a_job, a_program_that_fills_the_screen, approval)),
    *(View(do) for do in (why_of_a_system, approval_scrolled, fixups_of_which_one_asks, paused)),
    *(View(do) for do in (something_that_zap_goes_on_without, another_runner)),
    View(every_state, states),
    View(every_state_in_ascii, states, {"glyphs": ASCII}),
    *(View(do, needing) for do in (waiting, becoming_ready, unwell, held)),
    View(waiting_in_ascii, needing, {"glyphs": ASCII}),
    *(View(do, needing) for do in (a_plan_that_is_not_right, reload_refused)),
    View(no_job_at_all, nothing),
    View(a_system_without_jobs, little),
    View(a_job_that_has_said_nothing, little),
    *(View(do, long) for do in (long_names, long_names_merged, cut_lines)),
    *(View(do, wide) for do in (wide_letters, wide_letters_cut, wide_letters_behind_a_dialog)),
    View(an_unfinished_line, asking),
    View(hostile_output, hostile),
)


@pytest.mark.parametrize("view", VIEWS, ids=[view.name for view in VIEWS])
def test_a_screen_looks_as_it_did(view: View, request: pytest.FixtureRequest) -> None:
    pieces = []
    for columns, rows in SIZES:
        with Person(view.session(), columns, rows, **view.options) as ann:
            view.do(ann)
            pieces += [f"== {columns} × {rows} ==", *written(ann, shown)]
    compare(view.name, pieces, request)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_a_theme_looks_as_it_did(theme: Any, request: pytest.FixtureRequest) -> None:
    """With as many colours as it is for."""

    def resolved(attr: object) -> str:
        return shown(resolve_attr(attr, theme.entries, colors=1 if theme.name == "mono" else 256))

    with Person(shop(), 80, 24, colours=1 if theme.name == "mono" else 256) as ann:
        unseen(ann)
        searched(ann)
        ann.presses("k")
        compare(f"theme-{theme.name}", written(ann, resolved), request)


def written(ann: Person, named: Callable[[object], str]) -> Iterable[str]:
    """The text, and below it of each row, or of several alike, the runs: the attribute and the length in characters."""
    yield from (row.rstrip() for row in ann.screen)
    told = [", ".join(f"{look} {length}" for look, length in merged_runs(row, named)) for row in ann.runs]
    for look, alike in groupby(range(len(told)), key=lambda number: told[number]):
        first, *_, last = [*alike] * 2
        yield f"{first}: {look}" if first == last else f"{first}-{last}: {look}"
    yield f"cursor: {ann.cursor}"


def merged_runs(row: list[tuple[object, str]], named: Callable[[object], str]) -> Iterable[tuple[str, int]]:
    for look, alike in groupby(row, key=lambda run: named(run[0])):
        yield look, sum(len(text) for _, text in alike)


def compare(name: str, pieces: Iterable[str], request: pytest.FixtureRequest) -> None:
    path = SCREENS / f"{name}.txt"
    now = "\n".join([*pieces, ""])
    if request.config.getoption("--update-screens"):
        SCREENS.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    assert now.splitlines() == before.splitlines(), f"{path.name}: if this is right, --update-screens"


def test_every_screen_is_looked_at() -> None:
    names = {view.name for view in VIEWS} | {f"theme-{name}" for name in THEMES}
    assert {path.stem for path in SCREENS.glob("*.txt")} == names
