from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap.matcher import LONGEST_LINE, LONGEST_RAW, Hit, Matcher, captures, check, search

PATTERNS = [
    r"foo\s+bar",
    r"a[^x]b",
    r"(?s)q.r",
    r"^(?P<name>\w+)$",
    r"(?i)ERR(?P<name>\d+)?",
    r"\PLz$",
    r"[\s\S]=\D",
    r"é|�",
]
LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"", b"foo", b"bar", b"foo  bar", b"a", b"b", b"q", b"r", b"qrr", b"err12", b"=", b"50%\rErr7"]
        ),
        st.text("ab =qrz\t\ré\x1b[31m", max_size=12).map(str.encode),
        st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
    ),
    max_size=12,
)


@given(lines=LINES, cuts=st.lists(st.integers(0, 12)), ending=st.sampled_from([b"\n", b"\r\n"]))
def test_chunks_give_the_same_hits_as_lines_and_patterns_alone(
    lines: list[bytes], cuts: list[int], ending: bytes
) -> None:
    alone = [
        Hit(pattern, number, hit.text, hit.captures)
        for number, line in enumerate(lines)
        for pattern, text in enumerate(PATTERNS)
        for hit in Matcher([text]).scan(line + ending)
    ]
    together = []
    matcher = Matcher(PATTERNS)
    edges = sorted({0, *(min(cut, len(lines)) for cut in cuts), len(lines)})
    for begin, end in pairwise(edges):
        hits = matcher.scan(b"".join(line + ending for line in lines[begin:end]))
        together += [hit._replace(line=hit.line + begin) for hit in hits]
    assert together == alone


@given(st.lists(st.text("abcé 0", max_size=8), max_size=8))
def test_it_finds_what_re_finds(lines: list[str]) -> None:
    patterns = [r"a+(?P<x>b?)", r"^c|0$", r"[^a]é\b"]
    data = "".join(line + "\n" for line in lines).encode()
    expected = [
        (pattern, number, line, found.groupdict())
        for number, line in enumerate(lines)
        for pattern, text in enumerate(patterns)
        if (found := re.compile(text, re.ASCII).search(line))
    ]
    assert Matcher(patterns).scan(data) == expected


def test_without_patterns_nothing_is_found() -> None:
    assert Matcher([]).scan(b"anything\n") == []


def test_a_line_is_matched_as_a_person_sees_it() -> None:
    matcher = Matcher(["^error: (?P<what>.*)$"])
    shown = b"\x1b[1m\x1b[31merror\x1b[0m: red\r\n" + b"10 %\r 90 %\rerror: done\n" + b"error: gone\rnothing more\n"
    assert [(hit.line, hit.captures["what"]) for hit in matcher.scan(shown)] == [(0, "red"), (1, "done")]


def test_bytes_that_are_no_text_do_not_hide_a_line() -> None:
    assert Matcher(["error (?P<x>.*)"]).scan(b"\xff error \xfe\xc3\n") == [Hit(0, 0, "� error ��", {"x": "��"})]


def test_of_a_long_line_the_beginning_is_matched() -> None:
    matcher = Matcher(["begin", "end"])
    line = b"begin" + b"x" * LONGEST_LINE + b"end\n"
    assert [hit.pattern for hit in matcher.scan(line + b"end\n")] == [0, 1]
    # The cut may go through a letter.
    assert matcher.scan(b"begin" + "é".encode() * LONGEST_LINE + b"\n")[0].text[-1] == "�"


def test_of_megabytes_of_escape_sequences_only_some_are_looked_at() -> None:
    matcher = Matcher(["begin", "end"])
    colours = b"\x1b[31m" * LONGEST_RAW
    assert [hit.pattern for hit in matcher.scan(b"begin" + colours + b"end\nend\n")] == [0, 1]
    assert [(hit.line, hit.pattern) for hit in matcher.scan(b"begin" + colours + b"\rend\n")] == [(0, 1)]


def test_an_unused_capture_is_not_there() -> None:
    assert Matcher(["a(?P<x>1)?(?P<y>2)?"]).scan(b"a2\n")[0].captures == {"y": "2"}


def test_a_bomb_is_linear() -> None:
    # `re` would need longer than the sun has left.
    assert Matcher(["(a*)*b$", "(a|a)*c$"]).scan(b"a" * 50_000 + b"\n") == []


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("", "empty pattern"),
        ("a|", "empty line"),
        ("x*", "empty line"),
        ("^$", "empty line"),
        ("a(", "missing )"),
        ("a)", "unexpected )"),
        ("[a", "missing ]"),
        ("*", "repetition"),
        ("a{2000}", "repetition"),
        ("(?=x)", "looks around"),
        ("(?<!x)y", "looks around"),
        (r"(a)\1", "back-reference"),
        ("(?P<a>x)(?P=a)", "back-reference"),
        ("(?P<a>x)(?P<a>y)", "two captures are named a"),
        ("(?P<1>x)", "cannot name a capture"),
        (r"x\Z", "use $"),
        (r"x\z", "use $"),
        (r"\Ax", "use ^"),
        (r"a\nb", "one line"),
        ("a\nb", "one line"),
        ("(?-m)^x", "one line"),
        (r"\Qx", "backslash"),
        (r"\C", "use ."),
        ("\ud800(", "not a pattern"),
    ],
)
def test_a_pattern_that_cannot_work_is_told(pattern: str, wrong: str) -> None:
    assert wrong in (check(pattern) or "nothing is said")


@pytest.mark.parametrize(
    "pattern", [r"\bfoo", "[(?=]x", r"\\A", r"[\]\\(]", "(?i:x)y", "(?P<a>x)|(?P<b>y)", "[]a]", "^x$"]
)
def test_a_pattern_that_can_work_is_not_objected_to(pattern: str) -> None:
    assert check(pattern) is None
    assert Matcher([pattern, pattern]).scan(b"nothing of it\n") == []


def test_captures_are_named() -> None:
    assert captures(r"(?P<a>x)(?<b>y)(z)[(?P<c>]\(?P<d>") == {"a", "b"}


def test_search_looks_at_each_line() -> None:
    assert search("^podman run", "cd x\npodman run y\n")
    assert not search("^podman run", "echo podman run")
    assert not search("x.*y", "x\ny")
