"""The lines around the panes: whose they are, where one is, and what the keys do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import shown
from tests.test_output import ROW, numbered
from zap.events import State
from zap.matcher import Search
from zap.tui import heads, text
from zap.tui.dialog import Prompt
from zap.tui.keys import Keys
from zap.tui.palette import UNICODE
from zap.tui.text import Row


def plain(row: Row) -> str:
    return text.plain(row)


def test_a_head_has_a_name_a_line_and_something_at_its_end() -> None:
    assert plain(heads.head("web/api", "↓ 3 below", 30, False, UNICODE)) == " web/api ────────── ↓ 3 below "
    assert plain(heads.head("web/api", "", 20, False, UNICODE)) == " web/api ───────────"
    assert plain(heads.head("a name that is long", "", 12, False, UNICODE)) == " a name th… "


def test_the_head_of_the_pane_that_has_the_focus_looks_so() -> None:
    assert [shown(attr) for attr, _ in heads.head("x", "", 9, True, UNICODE)][:2] == ["title", "border focus"]
    assert [shown(attr) for attr, _ in heads.head("x", "", 9, False, UNICODE)][:2] == ["dim", "border"]


@given(title=st.text(max_size=30), right=st.text(max_size=9), columns=st.integers(1, 40))
def test_a_head_fits(title: str, right: str, columns: int) -> None:
    assert text.row_width(heads.head(title, right, columns, True, UNICODE)) <= max(columns, text.width(right) + 4)


def test_of_an_output_is_told_how_its_job_is_and_what_of_its_lines_shows() -> None:
    output = numbered(20).output
    output.title = "web/api"
    assert heads.of_output(output, ROW) == ("web/api · running", "")
    failed = ROW._replace(state=State.FAILED, why="exit 3")
    assert heads.of_output(output, failed) == ("web/api · failed · exit 3", "")
    output.look_for(Search("7"))
    output.filter = "errors"
    assert heads.of_output(output, ROW)[0] == "web/api · running · 0/2 hits of 7 · only errors"
    output.feed.dropped = 9
    assert heads.of_output(output, None)[0] == "web/api · 0/2 hits of 7 · only errors · 9 lines skipped"


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
