"""How well a few typed letters fit a text, such as `rsj` fits `restart job`, and which of its letters they are."""

from __future__ import annotations

from collections.abc import Iterable

NEXT = 1.0  # for a letter right behind the one before it, or at the very beginning
BOUNDARY = 1.0  # for the first letter of a word
SPARE = -0.02  # for each letter of the text that was not asked for: of two that fit alike the shorter is meant

_Way = tuple[float, tuple[int, ...]]
"""One way to lay the first letters of a word over a text: what it is worth, and where the letters lie."""


def score(query: str, text: str) -> tuple[float, tuple[int, ...]] | None:
    """More is better; with the places in `text` that matched, in order. None when it does not match.

    Every word of the query is looked for on its own, its letters in order. Capitals count when the query has any.
    """
    letters = text
    if query == query.lower():
        letters = text.replace("İ", "I").lower()  # the one letter that becomes two, and would move all places
    ways = [_best_way(word, letters, text) for word in query.split()]
    found = [way for way in ways if way]
    if len(found) < len(ways):
        return None
    places = sorted({place for _, places in found for place in places})
    spare = len(text) - len(places) if places else 0  # who asks for nothing gets all in its own order
    return sum(worth for worth, _ in found) + SPARE * spare, tuple(places)


def rank(query: str, texts: Iterable[str]) -> list[int]:
    """The indexes of the texts that match, best first; of equals the earlier one."""
    scores = ((index, score(query, text)) for index, text in enumerate(texts))
    return [index for _, index in sorted((-found[0], index) for index, found in scores if found)]


def _best_way(word: str, letters: str, text: str) -> _Way | None:
    """Over all ways: a letter is tried wherever it occurs, behind the best of those that end before it. Linear."""
    ways: list[_Way] = [(0.0, (-1,))]  # by their last place; all begin just before the text
    for letter in word:
        longer: list[_Way] = []
        best = last = ways[0]
        ended, place = 0, letters.find(letter, last[1][-1] + 1)
        while place >= 0:
            while ended < len(ways) and ways[ended][1][-1] < place:
                last = ways[ended]
                best = last if last[0] > best[0] else best
                ended += 1
            worth, places = best
            if last[1][-1] == place - 1 and last[0] + NEXT >= worth:
                worth, places = last[0] + NEXT, last[1]
            longer.append((worth + BOUNDARY * _begins_word(text, place), (*places, place)))
            place = letters.find(letter, place + 1)
        if not longer:
            return None
        ways = longer
    worth, places = max(ways, key=lambda way: way[0])
    return worth, places[1:]


def _begins_word(text: str, place: int) -> bool:
    before = text[place - 1 : place]
    return not before.isalnum() or (text[place].isupper() and before.islower())
