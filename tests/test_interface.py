"""The interface as a whole: whatever happens and whatever is pressed, what a person sees holds together."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recorded import Person, became, job, plan, runs, shown
from tests.shop import API, ASSETS, BACKUP, DATABASE, MAIL, WORKER, shop
from zap import events, requests
from zap.buffer import Buffer
from zap.errors import ZapError
from zap.events import LOG, Lack, Load, Proposed, State, Status
from zap.plan import Bound, Job
from zap.session import Tail
from zap.tui.keys import ACTIONS, NAMES
from zap.tui.palette import ASCII

Step = tuple[Any, ...]
"""What happens: a method of Person and what it is given."""

SIZES = st.tuples(st.integers(1, 130), st.integers(1, 40)) | st.sampled_from([(80, 24), (60, 15), (200, 50), (1, 1)])
KEYS = sorted({key for action in ACTIONS for key in action.keys} | set("abnryx.é買 ") | {"backspace", "delete", "f5"})
HOSTILE = [
    b"\x1b]0;t",
    b"\x1b[2J",
    b"\x1b[31m",
    b"\x1b[?1049h",
    b"\xff\xf0\x9f",
    "買👩\u200d👩\u202e".encode(),
    b"\r",
    b"\t",
]
PIECES = st.sampled_from([*HOSTILE, b"\n", b"error\n", b"x" * 300]) | st.binary(max_size=8)
TEXTS = st.lists(PIECES, max_size=8).map(b"".join)


def facts_of(job: str) -> st.SearchStrategy[events.Fact]:
    epoch = st.integers(1, 3)
    return st.one_of(
        st.builds(events.Became, st.just(job), epoch, st.sampled_from(State), st.sampled_from(["", "why\x1b[2J\n"])),
        st.builds(events.Spawned, st.just(job), epoch, st.integers(0, 9)),
        st.builds(events.CommandStarted, st.just(job), epoch, st.integers(1, 5), st.just("x\ty"), st.integers(0, 90)),
        st.builds(events.CommandEnded, st.just(job), epoch, st.integers(1, 5), st.just(Status(3)), st.just(0.5)),
        st.builds(events.Exited, st.just(job), epoch, st.just(Status(None, "KILL")), st.just(0.5)),
        st.sampled_from(
            [
                events.Cleared(job),
                events.Paused(job, 1, "why\x1b[2J\n"),
                events.Resumed(job, 1),
                events.Degraded("the log file", "買\x1b[2J\n", job),
                events.Recovered("the log file", "", job),
                events.Requested("stop", (job,), "process 9 of user 1"),
                events.TookOver(9, "1", "why\x1b[2J\n", 0.3),
                Proposed(job, 1, "free-port", 1, ("one two", "rm \x1b]0;\x07 three\n" * 9), ("sudo",)),
                events.FixStarted(job, 1, "free-port", ("one",)),
                events.Fixed(job, 1, "free-port", 2.0, True),
                events.Measured((Load(job, 99.5, 2**40, 3),)),
                events.Waits(job, 1, (Lack(DATABASE, "ready", is_hopeless=True), Lack("web/gone", "line", "x\x1b[2J"))),
                events.Waits(job, 1, leavers=(WORKER, "web/gone")),
                events.Probed(job, 1, "health", False, "tcp localhost:80", "no\tanswer", 2, 3, 1.0),
                events.Probed(job, 1, "ready", False, "command true", "買\x1b[2J", 99),
                events.Notified(job, 1, "買 40\xa0%\x1b]0;"),
                events.HookStarted(job, 1, "before_start", "one\ntwo"),
                events.HookFailed(job, 1, "before_start", "exit 1"),
                events.Removed(job),
                events.Restated(job, events.Row(job, 2, State.RUNNING, 1, pid=3, lines=7)),
                events.Rewired(job, ()),
            ]
        ),
    )


WHOLE = st.sampled_from(
    [
        events.Stormed((API, WORKER, "web/gone"), 5.0),
        events.Reloaded(("web/gone",), (API,), (WORKER,), ()),
        events.NotReloaded("jobs.yaml:1:1: what\x1b[2J?\n" * 30),
        events.Skipped(9),
    ]
)
STEPS = st.one_of(
    st.tuples(st.just("presses"), st.sampled_from(KEYS)),
    st.tuples(st.just("does"), st.sampled_from([name for name in NAMES if name != "save"])),
    st.tuples(st.just("hears_say"), st.sampled_from([API, WORKER, LOG]), TEXTS, st.sampled_from(["out", "err", "zap"])),
    st.tuples(
        st.just("hears_say"),
        st.sampled_from([API, WORKER, DATABASE]),
        st.sampled_from([1, 30, 700, 3000]).map(lambda count: b"line of a flood\n" * count),
    ),
    st.tuples(st.just("hears"), st.sampled_from([API, WORKER, MAIL, "web/gone"]).flatmap(facts_of)),
    st.tuples(st.just("hears"), WHOLE),
    st.tuples(
        st.just("points"),
        st.sampled_from(["mouse press", "mouse drag", "mouse release", "ctrl mouse press"]),
        st.integers(0, 130),
        st.integers(0, 40),
        st.sampled_from([0, 1, 1, 1, 3, 4, 5]),
    ),
    st.builds(lambda size: ("resizes", *size), SIZES),
)


@pytest.fixture(autouse=True, scope="module")
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Somewhere to write to."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    yield
    os.chdir(before)


@settings(max_examples=100)
@given(size=SIZES, steps=st.lists(STEPS, max_size=30))
def test_whatever_happens_the_screen_holds_together(size: tuple[int, int], steps: list[Step]) -> None:
    """Each frame is checked as it is drawn: it is as wide as the screen, and nothing in it drives a terminal."""
    with Person(shop(), *size) as ann:
        for do, *given_to in steps:
            getattr(ann, do)(*given_to)
            if ann.desk.prompt and ann.desk.prompt.label == "save to":
                ann.presses("esc")  # nothing is written anywhere
            selections_show(ann)


def selections_show(ann: Person) -> None:
    desk, (columns, rows) = ann.desk, ann.size
    looks = {shown(attr) for row in ann.runs for attr, _ in row}
    if desk.dialogs:
        if getattr(desk.dialogs[-1], "_shown", list)() and rows > 2:
            assert any("selected focus" in look for look in looks)
        return
    if (columns >= 70 or not desk.has_focus) and rows > 1 and desk.tree.entries():
        assert desk.tree.selected in desk.tree.entries()
        assert any("selected" in look for look in looks)


# The mouse.


@pytest.fixture
def ann() -> Iterator[Person]:
    with Person(shop(), 120, 40) as person:
        yield person


OUTPUT = 41  # the first column of the output pane, on this screen


def test_a_click_selects_a_job_and_shows_it(ann: Person) -> None:
    ann.clicks(10, ann.row_of("worker"))
    assert ann.sees("web/worker · backoff")
    assert ann.desk.where == "tree"


def test_a_click_on_the_fold_folds(ann: Person) -> None:
    ann.clicks(0, ann.row_of("▾ data"))
    assert ann.sees("▸ data")
    assert not ann.sees("✓ migration")
    ann.clicks(0, ann.row_of("▸ data"))
    assert ann.sees("▾ data")
    ann.clicks(15, ann.row_of("▾ data"))
    assert ann.sees("▾ data"), "on its name it is only selected"


def test_a_second_click_before_a_job_shows_its_commands(ann: Person) -> None:
    ann.clicks(2, ann.row_of("● api"))
    assert ann.sees("✓ npm ci")
    ann.clicks(2, ann.row_of("↺ worker"))
    assert not ann.sees("  python -m worker"), "that was the first on this one"


def test_the_wheel_scrolls_what_it_is_over_and_nothing_else(ann: Person) -> None:
    ann.points("mouse press", OUTPUT + 5, 10, 4)
    assert ann.sees("↓ 3 below")
    assert ann.desk.where == "tree"
    ann.points("mouse press", OUTPUT + 5, 10, 5)
    assert not ann.sees("below")
    ann.points("mouse press", 5, 5, 5)
    assert ann.desk.tree.selected.job == MAIL


def test_dragging_selects_and_letting_go_copies(ann: Person) -> None:
    ann.points("mouse press", OUTPUT + 9, 5)
    ann.points("mouse drag", OUTPUT + 9, 7)
    assert ann.sees("3 selected")
    ann.points("mouse drag", 2, 8)
    assert ann.sees("4 selected"), "also beyond the edge of the pane"
    ann.points("mouse release", 2, 8, 0)
    shown_lines = [row[OUTPUT + 2 :].rstrip() for row in ann.screen[5:9]]
    assert ann.written == b"\x1b]52;c;" + base64.b64encode("\n".join([*shown_lines, ""]).encode()) + b"\a"
    assert ann.sees("copied 4 lines by OSC 52")
    assert not ann.sees("selected")


def test_a_click_alone_copies_nothing(ann: Person) -> None:
    ann.clicks(OUTPUT + 9, 5)
    assert ann.written == b""
    assert ann.desk.where == "output"


def test_a_selection_made_with_the_keys_is_not_copied_by_a_click(ann: Person) -> None:
    ann.presses("tab", "v", "up")
    ann.clicks(OUTPUT + 9, 5)
    assert ann.written == b""


def test_an_event_is_selected_by_a_click_and_gone_to_by_another(ann: Person) -> None:
    ann.presses("l")
    row = ann.row_of("web/worker exit 1")
    ann.clicks(OUTPUT + 9, row)
    assert ann.desk.has_log
    ann.clicks(OUTPUT + 9, row)
    assert ann.sees("web/worker · backoff")
    assert ann.desk.where == "output"


def test_a_click_on_what_has_just_happened_goes_there(ann: Person) -> None:
    ann.session.now += 1
    ann.hears(events.Exited(DATABASE, 1, Status(1), 300.0))
    ann.hears_say(DATABASE, "last words\n")
    ann.clicks(9, ann.row_of("data/database exit 1"))
    assert ann.sees("▸ last words")


def test_what_the_bar_offers_can_be_clicked(ann: Person) -> None:
    ann.clicks(ann.screen[-1].index("help"), 39)
    assert ann.sees("─ keys ─")
    ann.presses("esc")
    ann.clicks(ann.screen[-1].index("restart") - 1, 39)
    assert ann.session.asked == [requests.Restart((API,))]


def test_in_a_menu_a_click_takes_and_the_wheel_moves(ann: Person) -> None:
    ann.presses("k")
    ann.points("mouse press", 60, 12, 5)
    ann.points("mouse press", 60, 12, 4)
    ann.clicks(60, ann.row_of("HUP"))
    assert ann.session.asked == [requests.Signal((API,), "HUP")]
    ann.presses("k")
    ann.clicks(0, 0)
    ann.clicks(ann.screen[ann.row_of("signal to")].index("┌"), ann.row_of("HUP"))
    assert ann.sees("signal to"), "beside it and on its frame there is nothing to take"


def test_behind_a_dialog_nothing_can_be_clicked(ann: Person) -> None:
    ann.presses("?")
    ann.points("mouse press", 5, 3)
    assert ann.desk.tree.selected.job == API


def test_a_click_into_another_pane_ceases_to_type(ann: Person) -> None:
    ann.presses("i")
    ann.clicks(OUTPUT + 5, 10)
    assert ann.desk.where == "inside"
    ann.clicks(10, ann.row_of("worker"))
    assert ann.desk.where == "tree"


def test_the_wheel_does_not_take_away_the_job_that_is_typed_into(ann: Person) -> None:
    ann.presses("i")
    ann.points("mouse press", 5, 5, 5)
    assert ann.sees("typing into web/api")
    ann.presses("ctrl ]")
    assert ann.sees("web/api · ready")


def test_who_is_at_the_keys_has_the_runners_attention(ann: Person) -> None:
    ann.presses("i")
    before = ann.session.attended
    ann.types("what is typed into a job says so itself")
    assert ann.session.attended == before
    ann.presses("ctrl ]")
    ann.desk._attended = 0.0
    ann.presses("down")
    ann.clicks(OUTPUT + 5, 10)
    assert ann.session.attended > before


# What comes up by itself.


def asked_for(epoch: int = 2) -> Proposed:
    return Proposed(API, epoch, "free-port", 1, ("fuser -k 8080/tcp",), ("kills-process",))


def test_a_fixup_that_wants_approval_asks_once(ann: Person) -> None:
    ann.hears(asked_for())
    assert ann.sees("fixup free-port wants approval")
    assert ann.sees("Error: listen EADDRINUSE")
    ann.presses("enter")
    assert not ann.sees("┌"), "Enter is: not now"
    assert ann.session.asked == []
    ann.hears(asked_for())
    assert not ann.sees("┌")
    ann.presses("f", "enter", "r")
    assert ann.session.asked == [requests.Fix((API,), "free-port")]


def test_what_was_asked_before_one_came_is_asked_at_once() -> None:
    session = shop()
    session.tell(asked_for())
    with Person(session) as ann:
        assert ann.sees("fixup free-port wants approval")


@pytest.mark.parametrize(("keys", "away"), [(["/", "r"], "enter"), (["i", "r"], "ctrl ]"), (["k"], "esc")])
def test_nothing_takes_the_keys_of_who_is_typing(ann: Person, keys: list[str], away: str) -> None:
    ann.presses(*keys)
    ann.hears(asked_for())
    assert not ann.sees("wants approval ─")
    ann.presses("n")
    ann.presses(away)
    assert ann.sees("wants approval ─")
    assert not [request for request in ann.session.asked if isinstance(request, requests.Fix)]


@pytest.mark.parametrize("fact", [events.FixStarted(API, 2, "free-port", ("x",)), events.Spawned(API, 3, 9)])
def test_what_is_settled_elsewhere_is_asked_no_longer(ann: Person, fact: events.Fact) -> None:
    ann.hears(asked_for(), Proposed(API, 2, "other", 1, ("x",), ()))
    ann.hears(fact)
    assert not ann.sees("free-port wants approval ─")


# What happens.


def test_what_happens_elsewhere_is_told_while_one_reads(ann: Person) -> None:
    ann.presses("tab", "page up")
    before = ann.screen[:-2]
    ann.hears(became(BACKUP, State.FAILED, "exit 1 again", exit=Status(1)))
    assert "data/backup ✗ failed: exit 1 again" in ann.screen[-2]
    assert [row[OUTPUT:] for row in ann.screen[:-2]] == [row[OUTPUT:] for row in before]


FULL = events.Degraded("the journal", "No space left on device")
TOOK_OVER = events.TookOver(9, "1", "the runner before ended by signal 9", 0.3)


def test_what_zap_goes_on_without_is_told_until_it_works_again(ann: Person) -> None:
    ann.hears(FULL, became(DATABASE, State.DONE))
    assert "data/database ✓ done" in ann.screen[-2]
    assert ann.screen[-2].endswith("⚠ the journal: No space left on device ")
    assert ann.attrs_of("No space left") == {"notice bad"}
    ann.hears(FULL, events.Degraded("the log file", "Permission denied", API))
    assert ann.screen[-2].endswith("⚠ the journal, the log file of web/api ")
    ann.hears(events.Recovered("the journal", "12 events are missing"))
    assert ann.screen[-2].endswith("⚠ the log file of web/api: Permission denied ")
    ann.hears(events.Recovered("the log file", "", API))
    assert ann.screen[-2].strip().endswith("web/api ⚠ the log file works again")


def test_that_another_runner_has_taken_over_is_told_but_not_instead_of_what_went_wrong(ann: Person) -> None:
    ann.hears(TOOK_OVER)
    assert ann.screen[-1].strip() == "another runner goes on: the runner before ended by signal 9"
    ann.presses("down")
    assert "another runner" not in ann.screen[-1]
    ann.session.refusal = "nobody knows whether this was done"
    ann.presses("R")
    ann.hears(TOOK_OVER)
    assert ann.screen[-1].strip() == "nobody knows whether this was done"


def test_what_somebody_asks_for_is_told_by_what_follows(ann: Person) -> None:
    ann.hears(events.Requested("stop", (DATABASE,), "process 9 of user 1"))
    assert not ann.sees("asked for by")
    ann.presses("l")
    assert ann.sees("stop data/database: asked for by process 9 of user 1")


def test_what_one_has_looked_at_is_no_longer_new(ann: Person) -> None:
    ann.hears_say(WORKER, "one\ntwo\n")
    assert ann.sees("+2")
    ann.presses("down")
    assert not ann.sees("+2")
    ann.hears_say(WORKER, "three\n")
    assert not ann.sees("+1"), "one is looking"
    ann.presses("tab", "E")
    ann.hears_say(WORKER, "four\n")
    assert ann.sees("+1"), "through a filter one does not see all"


def test_in_one_view_all_jobs_are_looked_at(ann: Person) -> None:
    ann.presses("m")
    ann.hears_say(WORKER, "one\n")
    ann.hears_say(DATABASE, "two\n")
    assert not ann.sees("+1")


def test_ages_grow(ann: Person) -> None:
    assert "5m" in ann.screen[ann.row_of("database")]
    ann.waits(60)
    assert "6m" in ann.screen[ann.row_of("database")]


def test_who_was_too_slow_is_late_and_not_wrong(ann: Person) -> None:
    row = ann.desk.board.rows[WORKER]._replace(state=State.READY, pid=5, lines=7)
    ann.hears(events.Skipped(5000), events.Restated(WORKER, row))
    assert "●" in ann.screen[ann.row_of("worker")]
    assert ann.sees("some events are gone")


def test_a_flood_costs_a_screenful_and_is_followed(ann: Person) -> None:
    ann.hears_say(API, "".join(f"line {number}\n" for number in range(100_000)))
    assert "line 99999" in ann.screen[-3]
    assert len(ann.desk.output_here.feed.between(0, 10**9)) < 1000


# The plan becomes another one.

NEW = "web/new"


def becomes(ann: Person, *changed: Job, gone: tuple[str, ...] = ()) -> None:
    """The files say this now: these jobs instead of those of their names, or as well, and none of those."""
    plan_now = ann.session._plan
    jobs = {each.name: each for each in (*plan_now.jobs, *changed) if each.name not in gone}
    for name in jobs.keys() - ann.session.buffers.keys():
        ann.session.buffers[name] = Buffer(Bound())
    ann.session._plan = plan(*jobs.values(), fixups=plan_now.fixups)


def test_a_job_that_is_new_is_there_as_soon_as_one_hears_of_it(ann: Person) -> None:
    becomes(ann, job(NEW, "echo", "serve"))
    ann.hears(events.Restated(NEW, events.Row(NEW, 2)))
    assert "○ new" in ann.screen[ann.row_of("mail") + 1]
    ann.hears(*runs(NEW, "echo", "serve"))
    ann.hears_say(NEW, "I am new\n")
    assert ann.screen[ann.row_of("◐ new")].split()[2:4] == ["+1", "2/2"]
    ann.hears(events.Reloaded((NEW,)))
    assert "added web/new" in ann.screen[-2]
    ann.clicks(10, ann.row_of("◐ new"))
    assert ann.sees("web/new · running")
    assert ann.sees("2/2 serve")
    assert ann.sees("I am new")


def test_of_a_job_whose_settings_are_others_one_sees_these(ann: Person) -> None:
    becomes(ann, job(API, "make", "serve"))
    ann.hears(events.Restated(API, ann.desk.board.rows[API]._replace(commands=2)), events.Reloaded((), (), (API,)))
    ann.presses("right")
    rows = [row[: OUTPUT - 1].split()[:2] for row in ann.screen[3:6]]
    assert rows == [["✓", "make"], ["✓", "serve"], ["↺", "worker"]]
    assert ann.sees("web/api · ready"), "and where one was"


def test_a_job_that_is_gone_leaves_what_one_looks_at_to_its_neighbour(ann: Person) -> None:
    becomes(ann, gone=(API,))
    ann.hears(events.Reloaded((), (API,)), became(API, State.STOPPING, epoch=2))
    assert ann.sees("web/api · stopping"), "it ends first"
    ann.hears(became(API, State.STOPPED, epoch=2), events.Removed(API))
    assert ann.desk.tree.selected.job == WORKER
    assert ann.sees("web/worker · backoff")
    assert ann.sees("web/api is not in the plan any more")
    assert not ann.sees("● api")
    ann.presses("R")
    assert ann.session.asked == [requests.Restart((WORKER,))]


@pytest.mark.parametrize("keys", [("m",), ("home",), ("|",), ("|", "tab", "tab"), ("m", "|"), ("l",), ("o",), ("i",)])
def test_whatever_shows_a_job_that_is_gone_closes_or_goes_on_without_it(ann: Person, keys: tuple[str, ...]) -> None:
    becomes(ann, gone=(API,))
    ann.presses(*keys)
    ann.hears(events.Removed(API))
    shown_jobs = [name for output in ann.desk.views for name in output.feed.jobs]
    assert shown_jobs and API not in shown_jobs
    assert ann.desk.inside is None
    assert all(output in ann.desk.known.values() for output in ann.desk.outputs)
    for key in ("m", "m", "home", "tab", "tab", "W", "esc", "l", "l", "q", "esc", "down"):
        ann.presses(key)
        selections_show(ann)


def test_all_jobs_in_one_view_are_those_that_there_are(ann: Person) -> None:
    ann.presses("m", "tab", "/", *"celery", "enter")
    becomes(ann, job(NEW, "serve"), gone=(API,))
    ann.hears(events.Restated(NEW, events.Row(NEW, 1)), events.Removed(API))
    ann.hears_say(NEW, "no celery here either\n")
    assert ann.desk.outputs[0].feed.jobs == tuple(ann.desk.tree.jobs)
    assert ann.sees("all jobs · 0/2 hits of celery"), "what one has searched for goes on"
    assert ann.sees("web/new")
    assert not ann.sees("GET /items")


def test_a_pane_beside_closes_with_its_job_and_the_one_of_the_tree_goes_on(ann: Person) -> None:
    ann.presses("|", "down")
    assert [output.job for output in ann.desk.outputs] == [API, WORKER]
    ann.hears(events.Removed(API))
    assert ([output.job for output in ann.desk.outputs], ann.desk.at) == ([WORKER], 0)
    ann.presses("|", "down")
    ann.hears(events.Removed(ASSETS))
    assert [output.job for output in ann.desk.outputs] == [WORKER, MAIL]


def test_a_job_that_comes_again_is_another_one(ann: Person) -> None:
    ann.hears(events.Removed(API))
    ann.session.buffers[API] = Buffer(Bound())
    ann.hears(events.Restated(API, events.Row(API, 5)))
    ann.hears_say(API, "anew\n")
    assert "+1" in ann.screen[ann.row_of("○ api")]
    ann.clicks(10, ann.row_of("○ api"))
    assert ann.screen[1][OUTPUT + 2 :].strip() == "anew"


def test_a_job_that_the_runner_does_not_know_any_more_has_no_lines(ann: Person) -> None:
    """It is asked for them while the news that it is gone are on their way."""
    tail = ann.session.tail

    async def knows_others(name: str, *rest: Any) -> Tail:
        if name == MAIL:
            raise ZapError(f"there is no job {name}")
        return await tail(name, *rest)

    becomes(ann, gone=(MAIL,))
    ann.session.tail = knows_others  # type: ignore[method-assign]
    for key in ("m", "tab", "home", "E", "E", "W", "esc", "m"):
        ann.presses(key)
    ann.clicks(10, ann.row_of("mail"))
    assert ann.farewell is None
    assert ann.sees("web/mail · stopped")


def test_of_a_job_that_nobody_knows_nothing_shows(ann: Person) -> None:
    before = ann.screen[:-2]
    ann.hears(*runs(NEW), events.Waits(NEW, 1, (Lack(API, "ready"),)), events.Exited(NEW, 1, Status(0), 1.0))
    ann.hears(events.Output(NEW, 1, 2), events.Removed(NEW), events.Restated(NEW, events.Row(NEW, 1)))
    assert ann.screen[:-2] == before


def test_who_has_missed_that_a_job_is_gone_learns_it(ann: Person) -> None:
    becomes(ann, gone=(API,))
    ann.hears(events.Skipped(5000))
    for name, row in list(ann.desk.board.rows.items()):
        ann.hears(events.Restated(name, row))
    assert not ann.sees("● api")
    assert ann.desk.tree.selected.job == WORKER


def test_a_job_that_was_held_is_told_to_be_stopping_again_when_it_is_asked_to_end(ann: Person) -> None:
    ann.hears(became(DATABASE, State.STOPPING), events.Waits(DATABASE, 1, leavers=(MAIL, WORKER)))
    ann.clicks(10, ann.row_of("◍ database"))
    assert "web/mail" in ann.screen[ann.row_of("◍ database")]
    assert ann.sees("data/database · stopping, held by web/mail, web/worker")
    ann.hears(became(DATABASE, State.STOPPING))
    assert ann.sees("data/database · stopping ─")


def test_what_a_job_says_of_itself_is_told_above_its_lines_and_is_no_news(ann: Person) -> None:
    before = ann.screen[-2]
    ann.hears(events.Notified(API, 2, "3 clients"))
    assert ann.sees("web/api · ready · 3 clients")
    assert ann.screen[-2] == before


# What is typed and pasted.


def test_what_is_pasted_is_typed_where_one_types_and_is_no_command(ann: Person) -> None:
    ann.presses("begin paste", *"Rq", "enter", "end paste")
    assert (ann.session.asked, ann.desk.dialogs) == ([], [])
    ann.presses("tab", "/", "begin paste", *"items", "enter", "2", "end paste")
    assert ann.sees("search / items 2")
    ann.presses("esc", "ctrl p", "begin paste", *"split", "end paste")
    assert ann.sees("› split")


def test_a_terminal_without_our_glyphs_gets_none_of_them() -> None:
    with Person(shop(), 100, 30, glyphs=ASCII) as ann:
        ann.hears(asked_for(), became(API, State.BACKOFF, "exit 1", seconds=1.0, exit=Status(1)))
        ann.hears(
            events.HookFailed(API, 2, "after_stop", "exit 1"),
            events.Probed(DATABASE, 1, "health", False, "tcp localhost:5432", "connection refused", 2, 3),
            events.NotReloaded("jobs.yaml:1:1: what? — did you mean …?\njobs.yaml:2:1: what?"),
            events.Probed(MAIL, 1, "ready", False, "tcp localhost:25", "connection refused", 7),
            became(MAIL, State.WAITING),
        )
        for keys in (
            ("n",),
            ("f",),
            ("esc", "right"),
            ("tab", "home"),
            ("Z",),
            ("l",),
            ("enter",),
            ("esc", "?"),
            ("esc", "ctrl p"),
            ("a",),
        ):
            ann.presses(*keys)
            assert all(row.isascii() for row in ann.screen), [row for row in ann.screen if not row.isascii()]


def test_a_narrow_terminal_shows_one_pane_at_a_time() -> None:
    with Person(shop(), 60, 15) as ann:
        assert ann.sees("▾ web")
        assert not ann.sees("web/api · ready")
        ann.presses("tab")
        assert not ann.sees("▾ web")
        assert ann.sees("web/api · ready")
        ann.presses("tab")
        ann.presses("|", "tab", "tab")
        assert ann.sees("web/worker · backoff")
        ann.resizes(90, 30)
        assert ann.sees("▾ web")
        assert ann.sees("web/api · ready")
        assert ann.sees("web/worker · backoff")


def test_hostile_output_changes_nothing_outside_of_its_pane(ann: Person) -> None:
    """Law 12. What a terminal would obey is not even in the canvas, which is checked for every frame."""
    before = [row[: OUTPUT - 1] for row in ann.screen], ann.screen[0], ann.screen[-1]
    for piece in (
        *HOSTILE,
        b"\x1b[1;1H" * 1000,
        b"\x1b]52;c;eA==\x07",
        b"\x1b[6n",
        b"\x1bP" + b"q" * 10_000,
        b"\x9b2J",
    ):
        ann.hears_say(API, piece * 3 + b"\n")
    ann.hears_say(API, b"\x1b]0;" * 100_000)
    assert ([row[: OUTPUT - 1] for row in ann.screen], ann.screen[0], ann.screen[-1]) == before
    assert ann.written == b""
    assert not [request for request in ann.session.asked if isinstance(request, requests.Send)]
