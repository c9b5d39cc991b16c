"""What a job has said, on a screen: where one is in it, what is found in it, what is taken out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recorded import NOON, Recorded, job, plan, shown
from zap.events import Line, Ran, Row, State, Status
from zap.matcher import Search
from zap.tui import text
from zap.tui.feed import Feed
from zap.tui.output import DRAWS, Look, Output, is_error, is_fixup, is_remark
from zap.tui.palette import ASCII, UNICODE

A, B = "web/api", "web/worker"
COMMANDS = {A: ("cd api", "npm ci\nnpm start")}


class View:
    """An output of so many columns and rows. Its jobs have said what `says` was given."""

    def __init__(
        self, *jobs: str, columns: int = 20, rows: int = 5, row: Row | None = None, wanted: Any = None, **look: Any
    ) -> None:
        self.session = Recorded(plan(job(A, "true"), job(B, "true")))
        self.last: dict[str, int] = {}
        self.size = (columns, rows)
        self.row = row
        feed = Feed(self.session, jobs or (A,), self.last, wanted)
        self.output = Output(feed, lambda _: self.row, COMMANDS, Look(256, UNICODE)._replace(**look))

    def says(self, *lines: str, job: str = A, stream: Any = "out", command: int = 1, end: str = "\n") -> None:
        for line in lines:
            self.session.say(job, line + end, stream, command)
        self.last[job] = self.session.buffers[job].last

    def fetch(self) -> None:
        asyncio.run(self.output.feed.newer(self.output.is_following))

    def fetch_all(self) -> None:
        self.fetch()
        while asyncio.run(self.output.feed.older()):
            pass

    def draw(self) -> list[str]:
        rows = self.output.draw(*self.size)
        assert len(rows) == self.size[1]
        return [text.plain(row).rstrip() for row in rows]

    @property
    def texts(self) -> list[str]:
        """What shows, without what stands before each line."""
        return [row[2:] for row in self.draw()]

    def looks(self, part: str) -> set[str]:
        return {shown(attr) for row in self.output.draw(*self.size) for attr, run in row if part in run}


def numbered(count: int = 20, **options: Any) -> View:
    view = View(**options)
    view.says(*(f"line {number}" for number in range(1, count + 1)))
    view.fetch_all()
    view.draw()
    return view


def lines(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last + 1)]


# Scrolling.


def test_the_end_is_followed() -> None:
    view = numbered()
    assert view.texts == lines(16, 20)
    view.says("more")
    view.fetch()
    assert view.texts == [*lines(17, 20), "more"]


def test_fewer_lines_than_rows_stand_at_the_top() -> None:
    view = numbered(2)
    assert view.texts == ["line 1", "line 2", "", "", ""]
    view.output.scroll(-1)
    assert view.texts == ["line 1", "line 2", "", "", ""]
    assert view.output.is_following


def test_who_scrolls_up_stays_where_he_is_when_more_comes() -> None:
    view = numbered()
    view.output.scroll(-3)
    assert view.texts == lines(13, 17)
    assert view.output.below == 3
    view.says("more")
    assert view.texts == lines(13, 17)
    assert view.output.below == 4, "what was said and is not here yet counts as well"
    view.fetch()
    assert view.texts == lines(13, 17)


def test_who_comes_back_to_the_end_follows_again() -> None:
    view = numbered()
    view.output.scroll(-1)
    view.draw()
    assert not view.output.is_following
    view.output.scroll(1)
    view.draw()
    assert view.output.is_following


def test_pages_overlap_by_a_row() -> None:
    view = numbered()
    view.output.move_page(-1)
    assert view.texts == lines(12, 16)
    view.output.move_page(-9)
    assert view.texts == lines(1, 5)
    view.output.move_page(1)
    assert view.texts == lines(5, 9)


def test_beyond_the_ends_there_is_nothing() -> None:
    view = numbered()
    view.output.scroll(-1000)
    assert view.texts == lines(1, 5)
    view.output.scroll(1000)
    assert view.texts == lines(16, 20)


@given(
    widths=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    wraps=st.booleans(),
    rows=st.integers(1, 12),
    begin=st.integers(0, 40),
    by=st.integers(0, 60),
)
def test_down_and_up_again_is_where_one_was(widths: list[int], wraps: bool, rows: int, begin: int, by: int) -> None:
    """As far as it goes down: at the end it stops, and follows."""
    view = View(columns=10, rows=rows, wraps=wraps)
    view.says(*(chr(97 + number % 26) * width for number, width in enumerate(widths)))
    view.fetch()
    view.draw()
    view.output.scroll(-begin)
    seen = [view.draw()]
    while not view.output.is_following and len(seen) <= by:
        view.output.scroll(1)
        seen.append(view.draw())
    for before in reversed(seen[:-1]):
        view.output.scroll(-1)
        assert view.draw() == before


@given(widths=st.lists(st.integers(0, 40), max_size=30), rows=st.integers(1, 9), columns=st.integers(1, 20))
def test_row_by_row_the_whole_is_what_one_page_shows(widths: list[int], rows: int, columns: int) -> None:
    view = View(columns=columns, rows=rows)
    view.says(*(chr(97 + number % 26) * width for number, width in enumerate(widths)))
    view.fetch()
    view.size = (columns, 2000)
    whole = view.draw()[: sum(max(-(-width // max(columns - 2, 1)), 1) for width in widths)]
    view.size = (columns, rows)
    view.draw()
    view.output.go_to(view.output.feed.begin)
    seen = view.draw()[: len(whole)]
    while not view.output.is_following:
        view.output.scroll(1)
        seen.append(view.draw()[rows - 1])
    assert seen[: len(whole)] == whole
    assert len(seen) - len(whole) <= 1


def test_a_long_line_wraps_and_what_is_scrolled_are_rows() -> None:
    view = View(columns=12, rows=3)
    view.says("0123456789" * 3, "end")
    view.fetch()
    assert view.draw() == ["  0123456789", "  0123456789", "  end"]
    view.output.scroll(-1)
    assert view.draw() == ["  0123456789"] * 3


def test_a_long_line_is_cut_and_moved() -> None:
    view = View(columns=12, rows=2, wraps=False)
    view.says("0123456789abcdefghijklmn", "short")
    view.fetch()
    assert view.draw() == ["  012345678…", "  short"]
    view.output.shift(1)
    assert view.draw() == ["  89abcdefg…", ""]
    view.output.shift(1)
    assert view.draw() == ["  ghijklmn", ""]
    view.output.shift(-9)
    assert view.draw() == ["  012345678…", "  short"]


def test_an_unfinished_line_is_behind_the_last_and_can_be_scrolled_past() -> None:
    view = numbered()
    view.says("password: ", end="")
    view.fetch()
    assert view.texts == [*lines(17, 20), "password:"]
    view.output.scroll(-1)
    assert view.texts == lines(16, 20)
    view.output.scroll(-1)
    assert view.texts == lines(15, 19)
    view.output.scroll(2)
    assert view.texts == [*lines(17, 20), "password:"]
    assert view.output.is_following


def test_an_unfinished_line_that_fills_the_screen_can_be_scrolled() -> None:
    view = View(columns=12, rows=2)
    view.says("first")
    view.says("0123456789" * 4 + "end", end="")
    view.fetch()
    assert view.draw() == ["  0123456789", "  end"]
    view.output.scroll(-4)
    assert view.draw() == ["  first", "  0123456789"]


def test_when_all_was_let_go_one_is_at_the_end() -> None:
    view = numbered()
    view.output.scroll(-10)
    view.draw()
    view.output.feed.clear(A)
    assert view.texts == [""] * 5
    view.says("more")
    view.fetch()
    assert view.texts == ["more", "", "", "", ""]


def test_older_lines_are_wanted_before_one_sees_that_they_are_missing() -> None:
    view = View()
    view.says(*(f"line {number}" for number in range(1, 1001)))
    view.fetch()
    view.draw()
    assert not view.output.needs_older
    view.output.scroll(-290)
    view.draw()
    assert view.output.needs_older
    view.fetch_all()
    view.draw()
    assert not view.output.needs_older


def test_who_follows_a_flood_fetches_a_screen_of_it_and_nothing_older() -> None:
    view = numbered(10)
    view.says(*(f"flood {number}" for number in range(5000)))
    view.fetch()
    assert not view.output.needs_older
    assert view.texts == [f"flood {number}" for number in range(4995, 5000)]
    assert not view.output.needs_older


def test_who_follows_fetches_older_lines_where_there_are_too_few_for_the_screen() -> None:
    view = View(rows=400)
    view.says(*(f"line {number}" for number in range(1, 1001)))
    view.fetch()
    view.draw()
    assert view.output.needs_older
    view.fetch_all()
    assert view.texts == lines(601, 1000)
    assert not view.output.needs_older


def test_newer_lines_are_wanted_when_one_nears_them() -> None:
    view = numbered(100)
    view.output.scroll(-50)
    view.draw()
    view.says(*(f"more {number}" for number in range(50)))
    assert not view.output.wants_newer
    view.output.scroll(47)
    view.draw()
    assert view.output.needs_newer
    view.fetch()
    view.output.scroll(4)
    assert view.texts[-1] == "more 0"


# What stands beside and between the lines.


def test_errors_and_remarks_are_told_from_the_rest() -> None:
    view = View()
    view.says("plain")
    view.says("wrong", stream="err")
    view.says("🔧 healed", stream="zap")
    view.fetch()
    assert view.draw()[:3] == ["  plain", "┃ wrong", "┆ 🔧 healed"]
    assert view.looks("┃") == {"stream err"}
    assert view.looks("healed") == {"stream zap"}
    view.output.look = Look(256, ASCII)
    assert view.draw()[1:3] == ["! wrong", ": & healed"]
    said = [item.line for item in view.output.feed.between(0, 3)]
    assert [is_error(line) for line in said] == [False, True, False]
    assert [is_remark(line) for line in said] == [False, False, True]
    assert [is_fixup(line) for line in said] == [False, False, True]


def test_a_line_is_in_its_own_colours() -> None:
    view = View(columns=40)
    view.says("\x1b[31mred \x1b[1mbold\x1b[0m plain \x1b[38;5;208mone of 256\x1b[m")
    view.fetch()
    assert view.looks("red") == {"dark red/·"}
    assert view.looks("bold") == {"dark red,bold/·"}
    assert view.looks("plain") == {"-"}
    assert view.looks("of 256") == {"#f80/·"}


@pytest.mark.parametrize("said", ["\x1b[?1049h\x1b[2J top", "a\x1b[4;17Hb", "\x1b[12;1f-"])
def test_what_is_drawn_on_the_whole_screen_is_no_line(said: str) -> None:
    view = View(columns=80)
    view.says(said)
    view.fetch()
    assert view.texts[0] == DRAWS[1]


@pytest.mark.parametrize("said", ["\x1b[H\x1b[2J", "\x1b[1;1H\x1b[0J", "\x1b[0;0f", "\x1b[2K\x1b[1G\x1b[?25l"])
def test_who_only_clears_the_screen_is_read(said: str) -> None:
    view = View()
    view.says(f"{said}it is ready")
    view.fetch()
    assert view.texts[0] == "it is ready"


def test_times_show_where_there_is_room() -> None:
    view = View(columns=60, has_times=True)
    view.session.now = NOON + 0.25
    view.says("one")
    view.fetch()
    row = view.draw()[0]
    assert row.endswith("00:00.250   one"), row  # the hour is of the zone that this machine is in
    view.size = (39, 5)
    assert view.texts[0] == "one"


def test_of_several_jobs_each_line_says_whose_it_is() -> None:
    view = View(A, B, columns=40)
    view.says("one", job=A)
    view.session.now += 1
    view.says("two", job=B)
    view.fetch()
    assert view.draw()[:2] == ["api      one", "worker   two"], "the system that they share is left out"
    assert view.looks("api") != view.looks("worker")


ROW = Row(A, 2, State.RUNNING, 1, pid=7, command=2, ran=(Ran(1, 1, 1, 0.0, Status(0), 1.25), Ran(1, 2, 3, 0.0)))


def commands(row: Row = ROW, columns: int = 40) -> View:
    view = View(columns=columns, rows=6, row=row)
    view.says("one", "two", "three")
    view.fetch()
    return view


def test_each_command_has_a_heading_with_how_it_went() -> None:
    assert commands().draw() == [
        "── 1/2 cd api ───────────────── 1.2 s ──",
        "  one",
        "  two",
        "── 2/2 npm ci … ──────────────── runs ──",
        "  three",
        "",
    ]


@pytest.mark.parametrize(
    ("change", "told", "look"),
    [
        ({"ran": (Ran(1, 2, 3, 0.0, Status(3), 0.5),)}, "500 ms, exit 3", "heading bad"),
        ({"ran": (Ran(1, 2, 3, 0.0, Status(None, "HUP"), 0.5),)}, "500 ms, killed by HUP", "heading bad"),
        ({"pid": 0, "exit": Status(1)}, "exit 1", "heading bad"),
        ({"pid": 0, "exit": Status(0)}, "done", "heading ok"),
        ({"pid": 0}, "was ended", "heading"),
        ({"epoch": 2, "ran": (Ran(1, 2, 3, 0.0),)}, "run 1, was ended", "heading"),
        ({"epoch": 2, "ran": (Ran(2, 2, 3, 0.0),)}, "run 2, runs", "heading"),
    ],
)
def test_a_heading_tells_how_its_command_ended(change: dict[str, Any], told: str, look: str) -> None:
    view = commands(ROW._replace(**change))
    heading = next(row for row in view.draw() if "npm ci" in row)
    assert heading.endswith(f" {told} ──")
    assert view.looks("npm ci") == {look}


def test_a_command_that_has_said_nothing_yet_stands_at_the_end() -> None:
    view = commands(ROW._replace(ran=(Ran(1, 1, 1, 0.0, Status(0), 1.0), Ran(1, 2, 4, 0.0))))
    assert [row[:6] for row in view.draw()] == ["── 1/2", "  one", "  two", "  thre", "── 2/2", ""]


def test_commands_whose_lines_were_let_go_of_have_no_heading() -> None:
    view = commands()
    view.output.feed.clear(A)
    assert view.draw() == [""] * 6


@given(columns=st.integers(1, 60))
def test_a_heading_is_as_wide_as_the_pane(columns: int) -> None:
    heading = commands(columns=columns).output.draw(columns, 1000)[0]
    assert text.row_width(heading) == columns or columns < 17


# Searching and going somewhere.


def searched(pattern: str, count: int = 20, **options: Any) -> View:
    view = numbered(count, **options)
    view.output.look_for(Search(pattern))
    return view


def test_hits_are_counted_and_shown() -> None:
    view = searched("e 1[5-9]")
    assert view.output.hits == (0, 5)
    assert view.looks("e 17") == {"hit"}


def test_from_hit_to_hit() -> None:
    view = searched("[27]$")
    assert [view.output.next_hit(-1) and view.output.hits for _ in range(5)] == [(4, 4), (3, 4), (2, 4), (1, 4), False]
    assert "line 2" in view.texts
    assert view.looks("2") == {"hit now"}
    assert [view.output.next_hit(1) and view.output.hits for _ in range(4)] == [(2, 4), (3, 4), (4, 4), False]


def test_the_next_hit_after_scrolling_is_the_next_from_there() -> None:
    view = searched("[05]$")
    view.output.next_hit(-1)
    view.output.next_hit(-1)
    view.draw()
    view.output.scroll(-1000)
    view.draw()
    assert view.output.next_hit(1)
    assert view.output.hits == (1, 4)


def test_the_hit_that_was_gone_to_is_seen_even_where_nothing_is_to_be_marked() -> None:
    view = searched(r"\b", rows=6)
    assert view.output.next_hit(-1)
    assert view.looks("▸") == {"hit now"}


def test_what_comes_while_one_searches_is_searched_as_well_and_what_goes_is_not_counted() -> None:
    view = searched("line")
    view.says("another line", "and another")
    view.fetch()
    assert view.output.hits == (0, 21)
    view.output.feed.clear(A)
    assert view.output.hits == (0, 0)
    view.says("a new line")
    view.fetch()
    assert view.output.hits == (0, 1)


def test_older_hits_are_counted_once_they_are_here() -> None:
    view = View()
    view.says(*(f"line {number}" for number in range(1, 1001)))
    view.fetch()
    view.draw()
    view.output.look_for(Search("line 99"))
    assert view.output.hits == (0, 10)
    view.fetch_all()
    assert view.output.hits == (0, 11)


def test_from_error_to_error_and_there_is_no_way_beyond_the_last() -> None:
    view = View()
    for number in range(30):
        view.says(f"line {number}", stream="err" if number in (3, 20) else "out")
    view.fetch()
    view.draw()
    assert [view.output.seek(is_error, -1) for _ in range(3)] == [True, True, False]
    assert "line 3" in view.texts
    assert [view.output.seek(is_error, 1) for _ in range(2)] == [True, False]
    assert "line 20" in view.texts


def test_from_command_to_command() -> None:
    ran = tuple(Ran(1, number, 10 * number - 9, 0.0, Status(0), 1.0) for number in range(1, 6))
    view = numbered(60, row=Row(A, 5, State.RUNNING, 1, pid=7, command=5, ran=ran))
    tops = []
    view.draw()
    for step in (-1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1):
        tops.append(view.draw()[0][3:6] if view.output.seek_command(step) else None)
    assert tops == ["5/5", "4/5", "3/5", "2/5", "1/5", None, "2/5", "3/5", "4/5", "5/5", None]


def test_the_last_command_is_reached_though_less_than_a_screen_is_below_it() -> None:
    ran = (Ran(1, 1, 1, 0.0, Status(0), 1.0), Ran(1, 2, 18, 0.0), Ran(1, 3, 21, 0.0))
    view = numbered(20, rows=8, row=Row(A, 3, State.RUNNING, 1, pid=7, command=3, ran=ran))
    view.draw()
    view.output.go_to(view.output.feed.begin)
    view.draw()
    assert [view.output.seek_command(1) for _ in range(3)] == [True, True, False]


# Taking lines out.


def test_lines_are_selected_with_the_arrows_and_the_selection_stays_in_sight() -> None:
    view = numbered()
    view.output.select()
    view.draw()
    for number in range(19, 12, -1):
        view.output.move(-1)
        assert view.looks(f"line {number}") == {"selection"}
    assert view.output.selected() == lines(13, 20)
    assert not view.output.is_following


@given(moves=st.lists(st.integers(-30, 30), max_size=15), rows=st.integers(1, 8), data=st.data())
def test_the_end_of_the_selection_is_always_in_sight(moves: list[int], rows: int, data: st.DataObject) -> None:
    view = View(columns=10, rows=rows)
    widths = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=25))
    view.says(*("x" * width for width in widths))
    view.fetch()
    view.draw()
    view.output.select()
    for steps in moves:
        view.output.extend(steps)
        view.draw()
        assert view.output.selection
        assert view.output.selection[1] in view.output._shown


def test_who_jumps_takes_the_end_of_the_selection_along() -> None:
    view = searched("line 9")
    view.output.select()
    assert view.output.next_hit(-1)
    assert view.output.selected() == lines(9, 20)


def test_what_is_taken_is_as_it_was_said() -> None:
    view = View(columns=10, rows=9)
    view.says("\x1b[31mred\x1b[0m " + "long " * 10, "two\x1b]0;title\x07", stream="err")
    view.fetch()
    view.draw()
    assert view.output.selected() == ["red " + "long " * 10, "two"], "without a selection what shows"
    view.says("half", end="")
    view.fetch()
    view.draw()
    assert view.output.selected()[-1] == "half"


def test_the_mouse_selects_from_where_it_was_pressed() -> None:
    view = numbered()
    view.output.press_at(1)
    view.output.drag_to(3)
    assert view.output.selected() == lines(17, 19)
    view.draw()
    view.output.drag_to(0)
    assert view.output.selected() == lines(16, 17)


def test_who_drags_beyond_the_edge_gets_more() -> None:
    view = numbered()
    view.output.press_at(2)
    for _ in range(4):
        view.output.drag_to(-1)
        view.draw()
    assert view.output.selected()[0] == "line 13"
    assert view.output.selected()[-1] == "line 18"


def test_behind_the_last_line_nothing_can_be_selected() -> None:
    view = numbered(2)
    view.output.press_at(1)
    view.output.drag_to(4)
    assert view.output.selected() == ["line 2"]


def test_a_filter_shows_what_it_lets_through_and_no_headings() -> None:
    wanted: Callable[[Line], bool] = lambda line: b"t" in line.text  # noqa: E731
    view = View(columns=30, row=ROW, wanted=wanted)
    view.says("one", "two", "three")
    view.fetch()
    assert view.texts[:3] == ["two", "three", ""]


def test_nothing_at_all_can_be_drawn_scrolled_sought_and_copied() -> None:
    view = View()
    view.fetch()
    output = view.output
    for act in (lambda: output.scroll(-1), lambda: output.scroll(1), output.select, lambda: output.extend(1)):
        act()
        assert view.draw() == [""] * 5
    tried: Sequence[bool] = (output.next_hit(1), output.seek(is_error, -1), output.seek_command(1))
    assert not any(tried)
    assert output.selected() == []
    assert output.below == 0
