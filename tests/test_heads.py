"""The lines around the panes: whose they are, where one is, and what the keys do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import shown
from tests.test_output import ROW, numbered
from zap.events import Degraded, Lack, Probed, State
from zap.events import Row as JobRow
from zap.matcher import Search
from zap.tui import heads, text
from zap.tui.dialog import Prompt
from zap.tui.keys import Keys
from zap.tui.output import Output
from zap.tui.palette import UNICODE
from zap.tui.text import Row


def plain(row: Row) -> str:
    return text.plain(row)


def headed(title: str, columns: int, right: str = "") -> str:
    return plain(heads.head([(None, title)], right, columns, False, UNICODE))


def told(row: JobRow | None, output: Output | None = None) -> str:
    """What is told of an output, by default one of some lines that nobody searches."""
    if output is None:
        output = numbered(20).output
        output.title = ROW.job
    return plain(heads.of_output(output, row)[0])


def look(row: JobRow, said: str) -> str:
    """What that part of it looks like."""
    return next(shown(attr) for attr, part in heads.of_output(numbered(20).output, row)[0] if said in part)


def test_a_head_has_a_name_a_line_and_something_at_its_end() -> None:
    assert headed("web/api", 30, "↓ 3 below") == " web/api ────────── ↓ 3 below "
    assert headed("web/api", 20) == " web/api ───────────"
    assert headed("a name that is long", 12) == " a name th… "


def test_the_head_of_the_pane_that_has_the_focus_looks_so() -> None:
    title: Row = [(None, "x"), ("warn", "y")]
    looks = [[shown(attr) for attr, _ in heads.head(title, "", 9, has_focus, UNICODE)] for has_focus in (True, False)]
    assert looks == [["title", "title", "warn", "border focus", "dim"], ["dim", "dim", "warn", "border", "dim"]]


@given(title=st.text(max_size=30), right=st.text(max_size=9), columns=st.integers(1, 40))
def test_a_head_fits(title: str, right: str, columns: int) -> None:
    assert text.row_width(heads.head([(None, title)], right, columns, True, UNICODE)) <= max(
        columns, text.width(right) + 4
    )


def test_of_an_output_is_told_how_its_job_is_and_what_of_its_lines_shows() -> None:
    output = numbered(20).output
    output.title = "web/api"
    assert heads.of_output(output, ROW) == ([(None, "web/api"), (None, " · "), (None, "running")], "")
    assert told(ROW._replace(state=State.FAILED, why="exit 3")) == "web/api · failed · exit 3"
    output.look_for(Search("7"))
    output.filter = "errors"
    assert told(ROW, output) == "web/api · running · 0/2 hits of 7 · only errors"
    output.feed.dropped = 9
    assert told(None, output) == "web/api · 0/2 hits of 7 · only errors · 9 lines skipped"


LACKS = (
    Lack("web/db", "ready"),
    Lack("data/queue", "started"),
    Lack("web/cache", "line", "warm"),
    Lack("web/migration", "done", is_hopeless=True),
)
REFUSED = Probed("web/api", 1, "ready", False, "tcp localhost:5432", "connection refused", 7)
SICK = Probed("web/api", 1, "health", False, "http http://localhost/", "503 Service Unavailable", 2, 3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            ROW._replace(state=State.WAITING, lacks=LACKS),
            'waiting for migration (done, in vain), db, data/queue (started), cache (line "warm")',
        ),
        (ROW._replace(state=State.WAITING), "waiting"),
        (ROW._replace(state=State.STOPPING, leavers=("web/ui", "shop/app")), "stopping, held by ui, shop/app"),
        (ROW._replace(state=State.STOPPING, leavers=("web/ui",), why="x"), "stopping, held by ui · x"),
        (ROW._replace(probed=(REFUSED,)), "running · ready 7×: tcp localhost:5432: connection refused"),
        (ROW._replace(probed=(REFUSED._replace(is_ok=True),)), "running"),
        (ROW._replace(state=State.READY, probed=(REFUSED,)), "ready"),
        (
            ROW._replace(state=State.READY, probed=(SICK,), status="serving"),
            "ready · health 2/3 failed: http http://localhost/: 503 Service Unavailable · serving",
        ),
        (ROW._replace(state=State.STOPPING, probed=(SICK,), why="unwell"), "stopping · unwell"),
        (ROW._replace(state=State.DONE, pid=0, status="serving"), "done"),
        (ROW._replace(is_paused=True, why="by process 9 of user 1"), "paused · by process 9 of user 1"),
        (ROW._replace(state=State.READY, is_paused=True, status="serving"), "paused · serving"),
    ],
)
def test_of_a_job_is_told_whom_it_waits_for_and_how_well_it_is(row: JobRow, said: str) -> None:
    assert told(row) == f"web/api · {said}"


def test_what_somebody_has_to_look_after_looks_so() -> None:
    assert look(ROW._replace(state=State.WAITING, lacks=LACKS), "waiting") == "bad"
    assert look(ROW._replace(state=State.WAITING, lacks=LACKS[:3]), "waiting") == "-"
    assert look(ROW._replace(state=State.READY, probed=(SICK,)), "503") == "warn"
    assert look(ROW._replace(is_paused=True), "paused") == "state paused"


FULL = Degraded("the journal", "No space left on device")


@pytest.mark.parametrize(
    ("degraded", "columns", "said"),
    [
        ([], 40, ""),
        ([FULL], 40, " ⚠ the journal: No space left on device "),
        ([FULL], 20, " ⚠ the journal: No… "),
        ([FULL, FULL._replace(what="the log file", job="web/api")], 60, " ⚠ the journal, the log file of web/api "),
    ],
)
def test_what_zap_goes_on_without_is_told_in_the_room_that_there_is(
    degraded: list[Degraded], columns: int, said: str
) -> None:
    assert plain(heads.lasting(degraded, columns, UNICODE)) == said


def test_what_one_searches_goes_before_what_may_be_long() -> None:
    output = numbered(20).output
    output.look_for(Search("7"))
    assert told(ROW._replace(probed=(REFUSED,), status="busy"), output).startswith(
        " · running · 0/2 hits of 7 · ready 7×"
    )


def test_of_an_output_is_told_where_one_is() -> None:
    view = numbered(20)
    view.output.scroll(-3)
    view.draw()
    assert heads.of_output(view.output, None)[1] == "↓ 3 below"
    view.output.select()
    view.output.extend(-1)
    assert heads.of_output(view.output, None)[1] == "2 selected"


def test_hints_that_do_not_fit_are_left_out_but_for_the_last() -> None:
    keys = Keys({})
    names = ("restart", "toggle", "fix", "focus", "palette", "help", "quit")

    def hinted(columns: int) -> list[str]:
        return [name for name, _ in heads.hints(keys, names, columns, UNICODE)]

    assert hinted(200) == list(names)
    assert hinted(60) == ["restart", "toggle", "focus", "palette", "help", "quit"]
    assert hinted(10) == ["focus", "palette", "help", "quit"]
    assert "".join(plain(row) for _, row in heads.hints(keys, names[:2], 80, UNICODE)) == " R restart  s start/stop "


def test_an_action_without_a_key_is_no_hint() -> None:
    assert heads.hints(Keys({"restart": ()}), ("restart",), 80, UNICODE) == []


def prompt(value: str, problem: str = "") -> Prompt:
    made = Prompt("search /", value, lambda _: None)
    made.problem = problem
    return made


def test_the_line_to_type_on_has_a_label_and_a_cursor_and_says_what_is_wrong() -> None:
    row, cursor = heads.prompt_bar(prompt("abc"), 30, UNICODE)
    assert (plain(row), cursor) == (" search / abc" + " " * 17, 13)
    row, cursor = heads.prompt_bar(prompt("(", "missing )"), 30, UNICODE)
    assert (plain(row), cursor) == (" search / (          missing )", 11)


def test_of_a_long_line_the_end_shows_where_one_types() -> None:
    row, cursor = heads.prompt_bar(prompt("0123456789abcdef"), 20, UNICODE)
    assert (plain(row), cursor) == (" search / 789abcdef ", 19)


@given(value=st.text(max_size=40), problem=st.text(max_size=40), columns=st.integers(1, 60))
def test_the_line_to_type_on_is_as_wide_as_the_screen(value: str, problem: str, columns: int) -> None:
    assert text.row_width(heads.prompt_bar(prompt(value, problem), columns, UNICODE)[0]) == columns


@pytest.mark.parametrize("columns", [1, 5, 80])
def test_the_bar_is_as_wide_as_the_screen(columns: int) -> None:
    row = heads.bar([("warn", "said 買う")], columns, UNICODE)
    assert text.row_width(row) == columns
    assert all("on bar" in shown(attr) or attr == "bar" for attr, _ in row)
