from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zap.escape import RESET, complete, plain, safe, strip

COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
PIECES = [
    *(bytes([byte]) for byte in range(256)),
    *(b"\x1b" + final for final in (b"[", b"]", b"P", b"X", b"^", b"_", b"\\", b"(B", b"c", b"[31m", b"[0m", b"[2J")),
    *(letter.encode() for letter in "éя€⛏😀\x9b\x9d\u202e\u2066\u200b\u200d\u2028\ufeff\xad"),
    b"0;title\x07",
    b"text",
]
UNPRINTED = ("Cc", "Zl", "Zp")
TURNING = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI", "BN")
JOINERS = "\u200c\u200d"
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=60)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[1;31mred\x1b[0m and \x1b[38:2::1:2:3mrgb\x1b[m", b"red and rgb"),
        (b"\x1b[2J\x1b[H\x1b[?25lclean", b"clean"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\", b"ab"),
        (b"a\x1bPq#0;2;0\x1b\\b\x1b_Gf=1\x1b\\c\x1b^x\x1b\\d\x1bXy\x1b\\e", b"abcde"),
        (b"\x1b(B\x1b)0\x1b#8\x1b=\x1b>\x1b7\x1bctext", b"text"),
        (b"one\x1b]0;never ended\ntwo\x1bPnor this\nthree", b"one\ntwo\nthree"),
        (b"one\x1b[12\ntwo\x1b\nthree\x1b(\nfour", b"one\ntwo\nthree\nfour"),
        (b"a\x1b]0;x\x1b[31mb", b"ab"),
        (b"a\x1b]0;x\x18b\x1b]0;x\x1ac", b"abc"),
        (b"bell\x07 back\x08 \x00\x0b\x0c\x0e\x0f\x7fend\r\n\t.", b"bell back end\r\n\t."),
        (b"\x9b31mraw\x9d0;t\x07 c1 \x90q\x1b\\\x85", b"raw c1 "),
        ("\x9b31mtwo bytes\x9d0;t\x07".encode(), b"two bytes"),
        ("é".encode() + b"\x9b31m" + "⛏".encode() + b"\x9b1m" + "😀".encode() + b"\x9bm", "é⛏😀".encode()),
        ("УФХ ⛏ 👍 ŝ".encode(), "УФХ ⛏ 👍 ŝ".encode()),
    ],
)
def test_strip(data: bytes, expected: bytes) -> None:
    assert strip(data) == expected


@given(data=HOSTILE)
def test_strip_keeps_every_newline_and_leaves_no_control(data: bytes) -> None:
    stripped = strip(data)
    assert stripped.count(b"\n") == data.count(b"\n")
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", stripped)


@given(text=st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_strip_leaves_text_alone(text: str) -> None:
    assert strip(text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"a\x1b[31", b"\x1b[31"),
        (b"a\x1b[31mb", b""),
        (b"a\x1b]0;title", b"\x1b]0;title"),
        (b"a\x1b]0;title\n", b""),
        (b"a\x1b]0;t\x1b", b"\x1b"),
        (b"a\x1b(", b"\x1b("),
        ("aß😀".encode(), b""),
        ("aß".encode()[:-1], b"\xc3"),
        ("a😀".encode()[:-1], "😀".encode()[:-1]),
        (b"a\x80\x80", b""),
        (b"", b""),
    ],
)
def test_complete(data: bytes, rest: bytes) -> None:
    assert data[complete(data) :] == rest


@given(data=HOSTILE)
@example(data=b"\xc2\x1b[K\x9b31m")
@example(data=b"\xe2\x80\x1b[K\xae")
@example(data=b"\x1b\x1b[K[2J")
@example(data=b"\x1b\x00[2J")
@example(data="\x1b[31\u202em".encode())
def test_of_what_is_safe_only_colour_can_do_anything(data: bytes) -> None:
    text = safe(data)
    printed = COLOUR.sub("", text)
    assert not [letter for letter in printed if unicodedata.category(letter) in UNPRINTED and letter != "\t"]
    assert not [letter for letter in printed if unicodedata.bidirectional(letter) in TURNING and letter not in JOINERS]
    colours = COLOUR.findall(text)
    assert not colours or set(colours[-1][2:-1]) <= {"0", ";"}, "it ends without colour"


@given(data=HOSTILE)
def test_safe_of_safe_is_the_same(data: bytes) -> None:
    assert safe(safe(data).encode()) == safe(data)


@given(data=HOSTILE.map(lambda data: data.decode(errors="ignore").encode()))
def test_plain_is_safe_without_colour(data: bytes) -> None:
    assert plain(data) == COLOUR.sub("", safe(data))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        (b"\x1b[31mred", "\x1b[31mred" + RESET),
        (b"\x1b[31mred\x1b[39m", "\x1b[31mred\x1b[39m" + RESET),
        (b"\x1b[38;5;0mblack", "\x1b[38;5;0mblack" + RESET),
        (b"\x1b[>4;1m\x1b[?1m\x1b[1 mnot colour", "not colour"),
        (b"\x1b[" + b"1;" * 99 + b"1mtoo much", "too much"),
        (b"10%\r\x1b[32m50%\r", "\x1b[32m50%" + RESET),
        (b"done\r\x1b[0m", "done"),
        (b"done\r\r\n", "done"),
        (b"\r\r", ""),
        (b"a\tb\x08c\x07", "a\tbc"),
        (b"caf\xe9 \xff", "caf� �"),
        ("a\u202egnp.exe".encode(), "agnp.exe"),
        ("👩‍👧 می‌خواهم".encode(), "👩‍👧 می‌خواهم"),
        (b"", ""),
    ],
)
def test_safe(line: bytes, expected: str) -> None:
    assert safe(line) == expected


@pytest.mark.parametrize(
    "piece",
    [
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b",
        b"\x9b",
        b"\x9d",
        b"\xc2",
        b"\xf0\x90",
        b"\x1b[0",
        b"\r\x1b[0m",
        b"\x1b[0;m",
        b"\r",
    ],
)
def test_megabytes_of_beginnings_take_no_more_than_linear_time(piece: bytes) -> None:
    data = piece * (2_000_000 // len(piece))
    assert b"\x1b" not in strip(data)
    assert plain(data) == COLOUR.sub("", safe(data))


def test_a_megabyte_of_parameters_takes_no_more_than_linear_time() -> None:
    data = b"\x1b[" + b"0" * 2_000_000
    assert strip(data) == b""
    assert strip(data + b"!" * 2_000_000 + "é".encode()) == "é".encode()
    assert safe(data + b"m") == ""
