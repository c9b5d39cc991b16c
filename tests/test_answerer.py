from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap.answerer import LONGEST_SEQUENCE, WINDOW, Answerer
from zap.plan import Answer, Secret

NAME = Answer(r"[Nn]ame\?", reply="zap")
PASSWORD = Answer(r"^Pass(word|phrase) for \w+: ", secret=Secret("env", "PASSWORD"))
SURE = Answer("Größe ändern … \\[y/N\\]", reply="y")
ANSWERS = [NAME, PASSWORD, SURE]

SAID = [
    (b"name?", [NAME]),
    (b"Name?\r\n", [NAME]),
    (b"\nPassword for root: ", [PASSWORD]),
    (b"\r\n\x1b[1mPass\x1b[31mphrase\x1b[0m for \x1b]0;title\x07me: ", [PASSWORD]),
    ("Größe ändern … [y/N]".encode(), [SURE]),
    (b"\nwhat name.\n", []),
    (b"no Password for root: \n", []),
    (b"\xff\x1b(Bblah \x1b[2J\n", []),
]


@given(said=st.lists(st.sampled_from(SAID), max_size=6), cuts=st.lists(st.integers(0, 150), max_size=20))
def test_each_prompt_is_heard_once_whatever_the_chunking(
    said: list[tuple[bytes, list[Answer]]], cuts: list[int]
) -> None:
    text = b"".join(piece for piece, _ in said)
    answerer = Answerer(ANSWERS)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    heard = [answerer.feed("out", text[begin:end]) for begin, end in pairwise(edges)]
    assert [answer for answers in heard for answer in answers] == [answer for _, answers in said for answer in answers]


def test_a_prompt_is_heard_as_soon_as_it_is_complete() -> None:
    answerer = Answerer(ANSWERS)
    assert answerer.feed("out", b"Your na") == []
    assert answerer.feed("out", b"me?") == [NAME]
    assert answerer.feed("out", b"\n") == []


def test_streams_are_heard_apart() -> None:
    answerer = Answerer(ANSWERS)
    assert answerer.feed("out", b"Password for ") == []
    assert answerer.feed("err", b"root: ") == []
    assert answerer.feed("out", b"root: ") == [PASSWORD]


@pytest.mark.parametrize("size", [10, 1000, 64 * 1024])
def test_a_prompt_is_heard_in_the_middle_of_a_flood(size: int) -> None:
    answerer = Answerer(ANSWERS)
    text = b"x" * 50_000 + b"name?" + b"y" * 50_000 + b"\n" * WINDOW + b"name?"
    heard = [answerer.feed("out", text[at : at + size]) for at in range(0, len(text), size)]
    assert [answer for answers in heard for answer in answers] == [NAME, NAME]


def test_a_pattern_that_matches_nothing_at_all_does_not_hang() -> None:
    assert Answerer([Answer("x*", reply="")]).feed("out", b"abc") == []


def test_a_sequence_that_never_ends_is_not_waited_for() -> None:
    answerer = Answerer(ANSWERS)
    assert answerer.feed("out", b"\x1b]0;" + b"x" * LONGEST_SEQUENCE) == []
    assert answerer.feed("out", b"name?") == [NAME]
