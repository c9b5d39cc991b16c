from __future__ import annotations

import io
import re
import unicodedata
from itertools import pairwise

import pytest
import urwid
from hypothesis import example, given
from hypothesis import strategies as st
from urwid.ansi_parser import parse_ansi_line
from urwid.display.raw import Screen
from urwid.testing import resolve_attr

from zap import escape
from zap.tui.colours import Colours, parse
from zap.tui.text import Row, plain

TRUE: Colours = 16777216
ALL: tuple[Colours, ...] = (1, 16, 88, 256, TRUE)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")

CODES = st.one_of(
    st.integers(0, 110).map(str),
    st.sampled_from(["", "0", "38", "48", "4:3", "4:0", "38;5", "38:5", "38;2;1;2", "58;5;1", "58:2::1:2:3", "9" * 60]),
    st.tuples(st.sampled_from(["38", "48", "58"]), st.sampled_from(";:"), st.integers(0, 300)).map(
        lambda parts: f"{parts[0]}{parts[1]}5{parts[1]}{parts[2]}"
    ),
    st.tuples(st.sampled_from(["38;2", "48;2", "38:2:", "48:2"]), st.lists(st.integers(0, 260), max_size=5)).map(
        lambda parts: (":" if ":" in parts[0] else ";").join([parts[0], *map(str, parts[1])])
    ),
)
SEQUENCES = st.lists(CODES, max_size=4).map(lambda codes: f"\x1b[{';'.join(codes)}m".encode())
OTHERS = [
    b"text",
    b"\t",
    b" ",
    b"\r",
    b"\x07",
    "构é👩‍👧\u200d\u0301".encode(),
    b"\xff\xc2",
    b"\x1b[2J",
    b"\x1b]0;t\x07",
    b"\x9b1m",
]
LINES = st.lists(SEQUENCES | st.sampled_from(OTHERS), max_size=12).map(b"".join) | st.binary(max_size=60)


def drawn(row: Row) -> list[tuple[str, str, str]]:
    """Foreground, background and text of each segment, `-` where the colour is left open."""
    return [
        (attr.foreground.replace("inherit", "-"), attr.background.replace("inherit", "-"), text)
        if isinstance(attr, urwid.AttrSpec)
        else ("-", "-", text)
        for attr, text in row
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("plain", [("-", "-", "plain")]),
        ("a\x1b[31mb\x1b[0mc", [("-", "-", "a"), ("dark red", "-", "b"), ("-", "-", "c")]),
        ("\x1b[31mb\x1b[mc", [("dark red", "-", "b"), ("-", "-", "c")]),
        ("\x1b[1;31;44mb", [("dark red,bold", "dark blue", "b")]),
        ("\x1b[91;107mb", [("light red", "white", "b")]),
        (
            "\x1b[31ma\x1b[1mb\x1b[39mc\x1b[22md",
            [("dark red", "-", "a"), ("dark red,bold", "-", "b"), ("-,bold", "-", "c"), ("-", "-", "d")],
        ),
        ("\x1b[41ma\x1b[49mb", [("-", "dark red", "a"), ("-", "-", "b")]),
        ("\x1b[1;2;3;4;7;9mx", [("-,bold,italics,standout,underline,strikethrough,faint", "-", "x")]),
        ("\x1b[1;2;3;4;7;9m\x1b[22;23;24;27;29mx", [("-", "-", "x")]),
        ("\x1b[5mblink\x1b[6mfast", [("-", "-", "blinkfast")]),
        ("\x1b[5;31mx", [("dark red", "-", "x")]),
        ("\x1b[8mhidden", [("-", "-", "hidden")]),
        ("\x1b[21mtwo lines", [("-,underline", "-", "two lines")]),
        ("\x1b[4:3mcurly\x1b[4:0mnot", [("-,underline", "-", "curly"), ("-", "-", "not")]),
        ("\x1b[38;5;208ma", [("#f80", "-", "a")]),
        ("\x1b[38;5;1;48;5;244ma", [("h1", "g50", "a")]),
        ("\x1b[38:5:208ma", [("#f80", "-", "a")]),
        ("\x1b[38;2;1;2;3ma", [("#010203", "-", "a")]),
        ("\x1b[48:2::1:2:3ma", [("-", "#010203", "a")]),
        ("\x1b[48:2:1:2:3ma", [("-", "#010203", "a")]),
        ("\x1b[38:2:1:2:3:4:0:0ma", [("#020304", "-", "a")]),
        ("\x1b[38;2;;;mblack", [("#000000", "-", "black")]),
        ("\x1b[38;5;1:2;4mb", [("h1,underline", "-", "b")]),
        ("\x1b[58;5;1mline's colour\x1b[58;2;1;4;7m\x1b[58:2::1:4:7m.", [("-", "-", "line's colour.")]),
        ("\x1b[4;58;5;9;1mx", [("-,bold,underline", "-", "x")]),
        ("\x1b[38;5;300ma\x1b[38;2;1;2;300mb\x1b[38mc\x1b[38;5md", [("-", "-", "abcd")]),
        ("\x1b[1:2;99;1234567mx", [("-", "-", "x")]),
        ("\x1b[31m\x1b[0ma\x1b[31mb\x1b[31mc\x1b[32m\x1b[31md", [("-", "-", "a"), ("dark red", "-", "bcd")]),
        ("\x1b[2J\x1b[31mno \x1b]0;title\x07escape\x07", [("dark red", "-", "no escape")]),
    ],
)
def test_parse(line: str, expected: list[tuple[str, str, str]]) -> None:
    assert drawn(parse(line.encode(), TRUE)) == expected


@pytest.mark.parametrize(
    ("colours", "expected"),
    [
        (1, [("-,bold", "-", "basic"), ("-", "-", "cubetrue")]),
        (16, [("dark red,bold", "-", "basic"), ("brown", "-", "cube"), ("dark blue", "light gray", "true")]),
        (88, [("dark red,bold", "-", "basic"), ("#f80", "-", "cube"), ("#00f", "#ccc", "true")]),
        (256, [("dark red,bold", "-", "basic"), ("#f80", "-", "cube"), ("#00f", "#ddd", "true")]),
        (TRUE, [("dark red,bold", "-", "basic"), ("#f80", "-", "cube"), ("#0000e0", "#dedede", "true")]),
    ],
)
def test_a_terminal_shows_the_colours_that_it_has(colours: Colours, expected: list[tuple[str, str, str]]) -> None:
    line = b"\x1b[1;31mbasic\x1b[0;38;5;208mcube\x1b[0;3;9;38;2;0;0;224;48;2;222;222;222mtrue"
    without = [
        (re.sub(",italics|,strikethrough", "", foreground), *rest) for foreground, *rest in drawn(parse(line, colours))
    ]
    assert without == expected


def test_without_colours_only_what_every_terminal_can_do_is_left() -> None:
    assert drawn(parse(b"\x1b[1;2;3;4;7;9;31;42mx", 1)) == [("-,bold,standout,underline", "-", "x")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\t|", "        |"),
        ("a\tb\tc", "a       b       c"),
        ("1234567\t8", "1234567 8"),
        ("12345678\t9", "12345678        9"),
        ("构\t|", "构      |"),
        ("a\x1b[31mb\x1b[0m\tc", "ab      c"),
        ("\x1b[41m\t\x1b[0m\t|", "                |"),
    ],
)
def test_tabs_reach_to_every_eighth_cell(line: str, expected: str) -> None:
    assert plain(parse(line.encode(), 256)) == expected


def test_a_tab_has_the_colours_of_its_place() -> None:
    assert drawn(parse(b"ab\x1b[41m\tc\x1b[0m\td", 16)) == [
        *[("-", "-", "ab"), ("-", "dark red", "      c"), ("-", "-", "       d")],
    ]


@given(line=LINES, colours=st.sampled_from(ALL))
@example(line=b"\x1b[31\x1b[m", colours=256)
def test_no_line_raises_and_nothing_but_its_text_comes_out(line: bytes, colours: Colours) -> None:
    row = parse(line, colours)
    text = plain(row)
    assert not CONTROL.search(text)
    assert not [letter for letter in text if unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs")]
    if not re.search(rb"[\r\x80-\xff]", line):
        assert text.replace(" ", "") == escape.plain(line).replace("\t", "").replace(" ", "")
    assert all(part for _, part in row)
    assert all(one[0] != two[0] for one, two in pairwise(row))
    for attr, _ in row:
        assert attr is None or isinstance(attr, urwid.AttrSpec)
        assert attr is None or (attr.colors <= colours and not attr.blink)


@given(line=LINES, colours=st.sampled_from(ALL))
def test_urwid_can_draw_every_line(line: bytes, colours: Colours) -> None:
    screen = Screen(input=io.StringIO(), output=io.StringIO())
    screen.set_terminal_properties(colors=colours)
    screen.register_palette([(None, "default", "default"), ("selected", "white", "dark blue")])
    for attr, _ in parse(line, colours):
        sequence = screen._attr_to_escape(attr)
        assert re.fullmatch(r"\x1b\[[0-9;]*m", sequence)
        rest, of_table = re.subn(r"[34]8;5;\d+", "", sequence)
        assert colours >= 88 or not of_table
        assert colours >= 256 or not re.search("[34]8;2;", rest)
        assert colours > 1 or set(sequence[2:-1].split(";")) <= {"0", "1", "4", "7", "39", "49"}


@given(
    codes=st.lists(
        st.sampled_from(
            [*range(5), 7, 9, *range(22, 25), 27, 29, *range(30, 38), 39, *range(40, 48), 49, *range(90, 98)]
        ),
        max_size=8,
    )
)
def test_what_urwid_knows_is_drawn_as_urwid_draws_it(codes: list[int]) -> None:
    line = "a" + "".join(f"\x1b[{code}m{code}" for code in codes)
    ours = [(resolve_attr(attr, [], colors=256), letter) for attr, text in parse(line.encode(), 256) for letter in text]
    (theirs,) = parse_ansi_line(line)
    attrs = [resolve_attr(attr, [], colors=256) for attr, run in theirs.attrib for _ in range(run)]
    assert [letter for _, letter in ours] == list(theirs.text)
    assert [_settings(attr) for attr, _ in ours] == [_settings(attr) for attr in attrs]


def _settings(attr: urwid.AttrSpec) -> tuple[object, ...]:
    names = ("bold", "faint", "italics", "underline", "standout", "strikethrough")
    return (*attr.get_rgb_values(), *(getattr(attr, name) for name in names))


@pytest.mark.parametrize(
    "piece", [b"\x1b[m", b"\x1b[31ma", b"a\x1b[m", b"\x1b[31m\t", b"\x1b[1;", b"a\t", "构\t".encode()]
)
def test_a_very_long_line_takes_no_more_than_linear_time(piece: bytes) -> None:
    line = piece * (1_000_000 // len(piece))
    text = plain(parse(line, 256))
    assert text.replace(" ", "") == escape.plain(line).replace("\t", "")
