"""What a person means by a few letters; the clever way is held against one that tries everything."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zap.fuzzy import BOUNDARY, NEXT, SPARE, rank, score


def marked(query: str, text: str) -> str | None:
    """The text with brackets around the letters that matched."""
    found = score(query, text)
    return found and "".join(f"[{letter}]" if place in found[1] else letter for place, letter in enumerate(text))


@pytest.mark.parametrize(
    ("query", "text", "seen"),
    [
        ("rsj", "restart job", "[r]e[s]tart [j]ob"),
        ("wa", "web/api", "[w]eb/[a]pi"),
        ("oc", "openCache", "[o]pen[C]ache"),
        ("test", "latest-test", "latest-[t][e][s][t]"),
        ("api", "a_p_api", "a_p_[a][p][i]"),
        ("lo", "hello-log_old", "hello-[l][o]g_old"),
        ("pal", "open palette", "open [p][a][l]ette"),
        ("a", "banana", "b[a]nana"),
        ("web/api", "web/api", "[w][e][b][/][a][p][i]"),
        ("job re", "restart job", "[r][e]start [j][o][b]"),
        ("re re", "restart", "[r][e]start"),
        ("ä", "Größe ÄNDERN", "Größe [Ä]NDERN"),
        ("st", "İstanbul", "İ[s][t]anbul"),
        ("Is", "Istanbul istIs", "[I][s]tanbul istIs"),
    ],
)
def test_the_letters_are_where_a_person_sees_them(query: str, text: str, seen: str) -> None:
    assert marked(query, text) == seen


@pytest.mark.parametrize(
    ("query", "text"),
    [("x", "restart"), ("tr", "rt"), ("aa", "a"), ("job x", "restart job"), ("R", "restart"), ("a", ""), ("rT", "rt")],
)
def test_what_is_not_there_does_not_match(query: str, text: str) -> None:
    assert score(query, text) is None


@pytest.mark.parametrize("query", ["", "  "])
def test_no_query_matches_everything_in_its_order(query: str) -> None:
    assert score(query, "anything") == (0, ())
    assert rank(query, ["b", "a", ""]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("fb", "foo-bar", "fabric"),
        ("fb", "foo_bar", "fubar"),
        ("fb", "foo.bar", "fubar"),
        ("fb", "foo/bar", "fubar"),
        ("fb", "foo bar", "fubar"),
        ("fb", "fooBar", "foobar"),
        ("res", "restart", "hard reset"),
        ("res", "restart", "rename server"),
        ("ab", "ab", "a-b"),
        ("log", "log", "logs"),
        ("log", "log view", "log view of all jobs"),
        ("log", "show log", "slow gear"),
        ("api", "web/api", "web/a-proxy-index"),
        ("wa", "wall", "web/api"),
        ("wap", "web/api", "wallpaper"),
        ("re jo", "restart job", "remote major"),
    ],
)
def test_what_is_meant_comes_first(query: str, better: str, worse: str) -> None:
    assert rank(query, [worse, better]) == [1, 0]


def test_of_equals_the_earlier_comes_first_and_what_does_not_match_never() -> None:
    assert rank("a", ["xa", "b", "ya", "a", "za"]) == [3, 0, 2, 4]


def test_capitals_count_when_there_are_any() -> None:
    assert rank("r", ["R", "r"]) == [0, 1]
    assert rank("R", ["r", "R"]) == [1]


@settings(max_examples=1000)
@given(st.text("abA-", min_size=1, max_size=3), st.text("abAB-/ ", max_size=9))
def test_it_finds_the_best_of_all_ways(query: str, text: str) -> None:
    letters = text if query != query.lower() else text.lower()
    worths = [
        worth(places, text)
        for places in combinations(range(len(text)), len(query))
        if all(letters[place] == letter for place, letter in zip(places, query, strict=True))
    ]
    found = score(query, text)
    if not worths:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(max(worths))
        assert found[0] == pytest.approx(worth(found[1], text))


def worth(places: tuple[int, ...], text: str) -> float:
    """As the constants say, letter by letter."""
    total = SPARE * (len(text) - len(places))
    for before, place in zip((-1, *places), places, strict=False):
        total += NEXT * (place == before + 1)
        total += BOUNDARY * (place == 0 or text[place - 1] in "-/ " or (text[place - 1 : place + 1] in CAMELS))
    return total


CAMELS = {"aA", "aB", "bA", "bB"}


@given(st.text(max_size=6), st.text(max_size=20))
def test_any_text_can_be_asked_for_anything(query: str, text: str) -> None:
    found = score(query, text)
    if found:
        assert list(found[1]) == sorted(set(found[1]))
        assert all(0 <= place < len(text) for place in found[1])
    assert score(text, text) is not None
