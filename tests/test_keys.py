"""The one table of what can be done: each action has keys and a deed, and no two want the same key."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.recorded import Person
from tests.shop import shop
from zap.preferences import _is_key
from zap.tui import keys as table
from zap.tui.keys import ACTIONS, NAMES, Keys, shown


def test_no_two_actions_want_the_same_key_in_one_place() -> None:
    for one, other in itertools.combinations(ACTIONS, 2):
        if one.where == other.where:
            assert not set(one.keys) & set(other.keys), f"{one.name} and {other.name}"


def test_a_key_that_counts_everywhere_means_something_else_only_where_that_is_meant() -> None:
    everywhere = {key for action in ACTIONS if action.where == "any" for key in action.keys}
    doubled = {
        (a.name, key) for a in ACTIONS if a.where not in ("any", "inside") for key in a.keys if key in everywhere
    }
    assert doubled == {("event lines", "enter")}, "the event log has nothing to type into"


def test_names_and_keys_are_such() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for action in ACTIONS:
        assert action.keys, action.name
        assert all(_is_key(key) for key in action.keys), action.name
        assert action.about[0].islower() and action.about[-1] != "."


def test_every_action_has_a_deed_and_every_deed_is_one() -> None:
    with Person(shop()) as ann:
        assert set(ann.interface._deeds._table) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_action_can_be_done_at_any_moment(name: str) -> None:
    """From the palette one can do what makes no sense just now."""
    for before in ((), ("tab",), ("l",), ("m",), ("|",), ("end", "tab")):
        with Person(shop()) as ann:
            ann.presses(*before)
            ann.does(name)


def test_the_help_says_every_key_and_what_it_does() -> None:
    with Person(shop(), 100, 100) as ann:
        ann.presses("?")
        for action in ACTIONS:
            said = f"  {' '.join(map(shown, action.keys)):<14} {action.about}"
            assert ann.sees(said), action.name


def test_the_document_of_the_keys_is_current() -> None:
    path = Path(__file__).parent.parent / "docs" / "keys.md"
    assert path.read_text() == table.reference(), "make docs"


def test_a_person_gives_keys_and_takes_them() -> None:
    keys = Keys({"restart": ("f5", "ctrl r"), "quit": ()})
    assert keys.action("f5", "tree") == keys.action("ctrl r", "output") == "restart"
    assert keys.action("R", "tree") is None
    assert keys.action("q", "tree") is None
    assert (keys.shown("restart"), keys.shown("quit")) == ("f5", "")


def test_a_key_that_was_given_away_is_no_longer_told_for_what_it_was() -> None:
    keys = Keys({"restart": ("q", "up")})
    assert keys.action("q", "tree") == keys.action("up", "tree") == keys.action("up", "output") == "restart"
    told = {about: shown for _, shown, about in keys.help()}
    assert told["close the interface; it asks whether to stop everything"] == "^C"
    assert told["the job above"] == ""
    assert told["restart the job, or every job of the system"] == "q ↑"


def test_a_key_for_one_place_stays_what_it_is_elsewhere() -> None:
    keys = Keys({"narrow": ("s",)})
    assert keys.action("s", "tree") == "narrow"
    assert keys.action("s", "output") == "toggle"
    assert keys.shown("toggle") == "s"


def test_while_one_types_only_the_key_to_leave_counts() -> None:
    keys = Keys({})
    assert [keys.action(key, "inside") for key in ("R", "ctrl c", "esc", "ctrl ]")] == [None, None, None, "leave"]


def test_nobody_is_locked_into_a_job() -> None:
    assert Keys({"leave": ()}).action("ctrl ]", "inside") == "leave"
    keys = Keys({"leave": ("f12",)})
    assert (keys.action("f12", "inside"), keys.action("ctrl ]", "inside")) == ("leave", None)


@pytest.mark.parametrize(
    ("key", "said"), [("ctrl p", "^P"), ("page up", "PgUp"), (" ", "space"), ("R", "R"), ("f1", "f1"), ("up", "↑")]
)
def test_keys_are_told_as_they_stand_on_a_keyboard(key: str, said: str) -> None:
    assert shown(key) == said


def test_what_a_person_has_bound_works_in_the_interface() -> None:
    with Person(shop(), keys={"help": ("h",), "leave": ("f12",)}) as ann:
        ann.presses("h")
        assert ann.sees("─ keys ─")
