"""Cells stand in columns, whatever is in them."""

from __future__ import annotations

import pytest

from zap.table import Cell, lines

HEAD = ("JOB", "CPU", "WHY")
ROWS: list[list[Cell | str]] = [["web/api", "1.0 %", Cell("it failed", 31)], ["a", "100.0 %", ""]]


def test_columns_are_as_wide_as_what_is_widest_in_them() -> None:
    assert list(lines(HEAD, ROWS, right=["CPU"])) == [
        "JOB          CPU  WHY",
        "web/api    1.0 %  it failed",
        "a        100.0 %",
    ]


def test_only_the_head_is_shown_of_nothing() -> None:
    assert list(lines(HEAD, [])) == ["JOB  CPU  WHY"]


def test_colours_take_no_room() -> None:
    coloured = list(lines(HEAD, ROWS, has_colour=True))
    assert coloured[1] == "web/api  1.0 %    \x1b[31mit failed\x1b[0m"
    assert coloured[2] == "a        100.0 %"


def test_a_wrench_takes_two_cells() -> None:
    assert list(lines(("STATE", "PID"), [["🔧 fixing", "1"], ["✓ readily", "2"]])) == [
        "STATE      PID",
        "🔧 fixing  1",
        "✓ readily  2",
    ]


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (27, "web/api  1.0 %    it failed"),
        (26, "web/api  1.0 %    it fail…"),
        (19, "web/api  1.0 %    …"),
        (18, "web/api  1.0 %"),
        (10, "web/api  …"),
        (7, "web/api"),
        (3, "we…"),
    ],
)
def test_a_row_is_cut_where_the_terminal_ends(width: int, row: str) -> None:
    assert list(lines(HEAD, ROWS, width=width))[1] == row
