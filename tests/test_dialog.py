"""Menus, pages and the line to type on: what keys and clicks do in them, and that all of it can be seen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import shown
from zap.events import Line, Proposed, Row, State
from zap.plan import Fixup, Match
from zap.tui import menus, text
from zap.tui.dialog import Choice, Input, Menu, Page, Prompt, framed
from zap.tui.keys import Keys
from zap.tui.palette import ASCII, UNICODE


class Done:
    """What was chosen."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def choice(self, name: str, hint: str = "", key: str = "") -> Choice:
        return Choice(name, hint, lambda: self.names.append(name), key)


def menu(count: int = 5, about: Sequence[str] = (), is_typed: bool = False) -> tuple[Menu, Done]:
    done = Done()
    choices = [done.choice(f"choice {number}", f"hint {number}", str(number)) for number in range(1, count + 1)]
    return Menu("title", choices, UNICODE, [[("dialog", line)] for line in about], is_typed), done


def drawn(dialog: Menu | Page, columns: int = 40, rows: int = 10) -> list[str]:
    shows = dialog.draw(columns, rows)
    assert len(shows) <= rows
    assert all(text.row_width(row) <= columns for row in shows)
    return [text.plain(row).rstrip() for row in shows]


def selected(dialog: Menu, columns: int = 40, rows: int = 10) -> str:
    rows_of = dialog.draw(columns, rows)
    (row,) = [row for row in rows_of if any("selected focus" in shown(attr) for attr, _ in row)]
    return text.plain(row)


def take(dialog: Menu) -> None:
    assert dialog.chosen
    dialog.chosen.do()


# Menus.


def test_a_menu_shows_what_can_be_chosen() -> None:
    assert drawn(menu(2, ["about it"])[0], 30) == [
        "about it",
        "1 choice 1              hint 1",
        "2 choice 2              hint 2",
    ]


def test_the_arrows_choose_and_enter_takes() -> None:
    dialog, done = menu()
    for key in ("down", "down", "up", "ctrl n"):
        assert dialog.press(key)
    assert "choice 3" in selected(dialog)
    assert not dialog.press("enter")
    take(dialog)
    assert done.names == ["choice 3"]


def test_a_choice_has_a_key_of_its_own() -> None:
    dialog, done = menu()
    assert dialog.press("x")
    assert not dialog.press("4")
    take(dialog)
    assert done.names == ["choice 4"]


@pytest.mark.parametrize("key", ["esc", "ctrl c", "ctrl g"])
def test_a_menu_can_be_left(key: str) -> None:
    dialog, _ = menu()
    assert not dialog.press(key)
    assert dialog.chosen is None


def test_a_click_takes_what_it_is_on_and_a_click_on_the_text_nothing() -> None:
    dialog, done = menu(3, ["about", "it"])
    drawn(dialog)
    assert dialog.click(1)
    assert dialog.click(7)
    assert not dialog.click(3)
    take(dialog)
    assert done.names == ["choice 2"]


def test_a_menu_that_is_longer_than_the_screen_scrolls() -> None:
    dialog, _ = menu(50)
    for key in ("page down", "down"):
        drawn(dialog)
        dialog.press(key)
    assert "choice 12" in selected(dialog)
    drawn(dialog)
    assert not dialog.click(0)
    assert dialog.chosen and dialog.chosen.label == "choice 3"
    dialog.scroll(-100)
    assert "choice 1 " in selected(dialog)


def test_text_that_does_not_fit_is_scrolled_and_says_how_much_there_is() -> None:
    dialog, _ = menu(2, [f"line {number}" for number in range(1, 21)])
    assert drawn(dialog) == [*(f"line {n}" for n in range(1, 8)), "… 13 more rows: PgUp, PgDn", *drawn(dialog)[-2:]]
    dialog.press("page down")
    assert drawn(dialog)[0] == "line 3"
    dialog.scroll(100)
    assert drawn(dialog)[6] == "line 20"
    assert "choice 1" in selected(dialog), "the choice is where it was"


def test_text_wraps_at_spaces_and_below_itself() -> None:
    page = Page("title", [[("dialog key", "  key  "), ("dialog", "some words that are long enough to wrap")]])
    assert drawn(page, 24) == ["  key  some words that", "       are long enough", "       to wrap"]
    assert drawn(page, 10)[0] == "  key  som", "where there is no room for that, as it comes"


@given(
    about=st.lists(st.text(max_size=60), max_size=12),
    count=st.integers(0, 9),
    is_typed=st.booleans(),
    typed=st.sampled_from(["", "choice", "3", "xyz"]),
    columns=st.integers(2, 50),
    rows=st.integers(1, 20),
    keys=st.lists(st.sampled_from(["up", "down", "page up", "page down", "x"]), max_size=8),
)
def test_a_menu_fits_and_shows_what_is_selected(
    about: list[str], count: int, is_typed: bool, typed: str, columns: int, rows: int, keys: list[str]
) -> None:
    dialog, _ = menu(count, about, is_typed)
    dialog.paste(typed)
    for key in keys:
        drawn(dialog, columns, rows)
        dialog.press(key)
    shows = dialog.draw(columns, rows)
    assert len(shows) <= rows
    marked = [row for row in shows if any("selected focus" in shown(attr) for attr, _ in row)]
    assert len(marked) == bool(dialog._shown())


# Typing into a menu.


def typed(query: str) -> Menu:
    dialog = Menu(
        "what to do",
        [
            Choice("restart", "R", lambda: None, about="restart the job"),
            Choice("split", "|", lambda: None, about="two jobs side by side"),
            Choice("scroll page up", "PgUp", lambda: None, about="a page up"),
        ],
        UNICODE,
        is_typed=True,
    )
    for letter in query:
        assert dialog.press(letter)
    return dialog


def test_what_is_typed_narrows_and_names_go_before_what_is_told_of_them() -> None:
    assert drawn(typed("sp"))[0] == "› sp"
    assert [row.split(":")[0] for row in drawn(typed("sp"))[1:]] == ["split", "scroll page up"]
    assert [row.split(":")[0] for row in drawn(typed("job"))[1:]] == ["restart", "split"]
    assert drawn(typed("xyz")) == ["› xyz", "nothing fits"]
    assert drawn(Menu("t", [], ASCII, is_typed=True)) == [">", "nothing fits"]


def test_what_fits_is_marked() -> None:
    rows = typed("spl").draw(60, 10)
    assert "".join(part for attr, part in rows[1] if "match" in shown(attr)) == "spl"


def test_with_nothing_that_fits_enter_does_nothing() -> None:
    assert typed("xyz").press("enter")
    assert typed("xyz").chosen is None


def test_what_was_typed_last_selects_the_best_again() -> None:
    dialog = typed("s")
    dialog.press("down")
    dialog.press("p")
    assert "split" in selected(dialog)


def test_the_cursor_is_where_one_types() -> None:
    dialog = typed("sp")
    drawn(dialog)
    assert dialog.cursor == (4, 0)
    dialog.press("left")
    drawn(dialog)
    assert dialog.cursor == (3, 0)


# The line to type on.


def line(*keys: str, value: str = "") -> tuple[str, int]:
    made = Input(value)
    for key in keys:
        made.press(key)
    return made.value, made.cursor


@pytest.mark.parametrize(
    ("keys", "value", "now"),
    [
        (["a", "é", "買"], "", ("aé買", 3)),
        (["left", "x"], "ab", ("axb", 2)),
        (["backspace"], "ab", ("a", 1)),
        (["home", "backspace", "delete"], "ab", ("b", 0)),
        (["left", "ctrl k"], "ab", ("a", 1)),
        (["left", "ctrl u"], "ab", ("b", 0)),
        (["ctrl w"], "one two  ", ("one ", 4)),
        (["ctrl w", "ctrl w", "ctrl w"], "one two", ("", 0)),
        (["ctrl a", "right", "right", "right", "end", "!"], "ab", ("ab!", 3)),
        (["left"] * 5, "ab", ("ab", 0)),
    ],
)
def test_a_line_is_typed_and_mended(keys: list[str], value: str, now: tuple[str, int]) -> None:
    assert line(*keys, value=value) == now


def test_keys_that_are_not_for_typing_are_left_alone() -> None:
    assert not any(Input("ab").press(key) for key in ("up", "f5", "ctrl p", "enter", "\x1b", "\n"))


def test_what_is_pasted_has_no_control_characters() -> None:
    made = Input("ab")
    made.press("left")
    made.paste("x\n\x1b[31my\t")
    assert (made.value, made.cursor) == ("ax[31myb", 7)


@given(
    value=st.text(st.characters(exclude_categories=["C"]), max_size=30),
    left=st.integers(0, 30),
    columns=st.integers(1, 20),
)
def test_the_cursor_of_a_line_is_always_in_sight(value: str, left: int, columns: int) -> None:
    made = Input(value)
    for _ in range(left):
        made.press("left")
    row, column = made.draw(columns)
    assert 0 <= column < max(columns, 1)
    assert text.row_width(row) <= columns


def test_a_prompt_tells_every_change_and_the_end() -> None:
    told: list[object] = []
    prompt = Prompt(
        "label", "a", told.append, lambda value: told.append(("now", value)), lambda key: told.append([key])
    )
    assert prompt.press("b")
    assert prompt.press("up")
    prompt.paste("c")
    assert not prompt.press("enter")
    assert told == [("now", "ab"), ["up"], ("now", "abc"), "abc"]


def test_a_prompt_that_is_given_up_tells_so() -> None:
    told: list[object] = []
    assert not Prompt("label", "a", told.append).press("esc")
    assert told == [None]


def test_a_prompt_with_a_problem_stays_until_it_is_mended() -> None:
    def done(value: str | None) -> None:
        prompt.problem = "wrong" if value == "x" else ""

    prompt = Prompt("label", "x", done)
    assert prompt.press("enter")
    assert prompt.problem == "wrong"
    assert prompt.press("backspace")
    assert prompt.problem == ""
    assert not prompt.press("enter")


# Pages and frames.


def test_a_page_scrolls_and_says_where_one_is() -> None:
    page = Page("keys", [[(None, f"line {number}")] for number in range(1, 31)])
    assert drawn(page)[-1] == "1 to 9 of 30: up, down, PgUp, PgDn"
    for key, first in (("down", 2), ("page down", 11), ("page up", 2), ("up", 1), ("up", 1), ("end", 22), ("home", 1)):
        assert page.press(key)
        assert drawn(page)[0] == f"line {first}"
    page.scroll(3)
    assert drawn(page)[0] == "line 4"
    assert not page.press("x")
    assert not page.click(0)


@pytest.mark.parametrize(("columns", "rows"), [(80, 22), (20, 5), (19, 22), (80, 4), (1, 1)])
def test_a_dialog_has_a_frame_where_there_is_room(columns: int, rows: int) -> None:
    dialog = framed(menu(2)[0], columns, rows, UNICODE)
    is_framed = columns >= 20 and rows >= 5
    assert ("┌" in text.plain(dialog.rows[0])) == is_framed
    assert dialog.area.columns + dialog.area.column <= columns
    assert dialog.area.rows == len(dialog.rows) <= rows
    assert all(text.row_width(row) == dialog.area.columns for row in dialog.rows)
    assert "1 choic" in text.plain(dialog.rows[dialog.body.row - dialog.area.row]) or columns == 1


# What the menus offer.


def test_before_a_fixup_runs_one_sees_exactly_what_and_why() -> None:
    proposed = Proposed(
        "web/api", 1, "x", 7, ("rm -f '/tmp/a b'\nkill 7", "echo \x1b]0;t\x07\u202edone"), ("sudo", "none")
    )
    said = Line(7, 0.0, "err", 1, b"\x1b[31mport \x1b]0;t\x07taken\x1b[0m")
    dialog = menus.approval(proposed, "frees it", said, lambda: None, UNICODE, "f")
    assert drawn(dialog, 40, 30) == [
        "frees it",
        "",
        "because of this line:",
        "  port taken",
        "",
        "it would run:",
        "  $ rm -f '/tmp/a b'",
        "  $ kill 7",
        "  $ echo done",
        "",
        "what it may do: sudo",
        "",
        "r run it",
        "n not now              f offers it again",
    ]
    assert "not now" in selected(dialog, 40, 30), "who presses Enter just then has not approved"
    assert dialog.subject == proposed


def test_fixups_that_ask_are_offered_first() -> None:
    done: list[object] = []
    known = [Fixup(name, f"about {name}", (Match(pattern="x"),)) for name in ("one", "two")]
    proposed = Proposed("web/api", 1, "two", 7, ("true",), ())
    row = Row("web/api", 1, State.FAILED, asking=(proposed,))
    dialog = menus.fixups("web/api", row, known, done.append, done.append, UNICODE)
    assert [row.split()[0] for row in drawn(dialog)] == ["two", "one"]
    dialog.press("enter")
    take(dialog)
    assert done == [proposed]


def test_the_palette_has_every_action() -> None:
    keys = Keys({})
    done: list[str] = []
    dialog = menus.palette(keys, done.append, UNICODE)
    assert len(dialog._choices) == len(keys.actions)
    dialog.paste("only errors")
    dialog.press("enter")
    take(dialog)
    assert done == ["only errors"]


@pytest.mark.parametrize(("running", "said"), [(0, "no job is running."), (1, "1 job is"), (7, "7 jobs are running.")])
def test_who_leaves_is_asked_what_becomes_of_the_jobs(running: int, said: str) -> None:
    dialog = menus.closing(running, lambda: None, lambda: None, UNICODE)
    assert said in drawn(dialog, 60)[0]
    assert "leave everything running" in selected(dialog, 60)
