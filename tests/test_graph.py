"""Who needs whom: every need in every state, circles told the right way round, and orders that nobody can fault."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap.events import Lack, State
from zap.graph import circle, in_order, is_leaving, is_met, lack, needed, reach
from zap.machine import Run
from zap.plan import Command, Job, Need, Until

LINE = "listening on \\d+"

# fmt: off
_MET = {
    #         stopped waiting starting running ready  stopping fixing backoff done   failed
    "started": (False, False,  False,   True,   True,  False,   False, False,  True,  False),
    "ready":   (False, False,  False,   False,  True,  False,   False, False,  True,  False),
    "done":    (False, False,  False,   False,  False, False,   False, False,  True,  False),
    "ended":   (False, False,  False,   False,  False, False,   False, False,  True,  True),
    "line":    (False, False,  False,   True,   True,  False,   False, False,  True,  False),
}
# fmt: on
CONDITIONS: tuple[Until, ...] = ("started", "ready", "done", "ended", "line")
TABLE = [(until, state, _MET[until][place]) for until in CONDITIONS for place, state in enumerate(State)]


def need(until: Until, is_optional: bool = False) -> Need:
    return Need("db/main", until, LINE if until == "line" else None, is_optional)


def job(name: str, *needs: str) -> Job:
    return Job(name, name, (Command("run"),), "/", needs=tuple(map(Need, needs)))


def plan(*jobs: Job) -> dict[str, Job]:
    return {job.name: job for job in jobs}


@pytest.mark.parametrize(("until", "state", "met"), TABLE)
def test_a_need_is_met_in_these_states(until: Until, state: State, met: bool) -> None:
    assert is_met(need(until), Run(state), {LINE}) == met


@pytest.mark.parametrize("state", State)
def test_a_line_has_to_be_said(state: State) -> None:
    assert not is_met(need("line"), Run(state), set())
    assert not is_met(need("line"), Run(state), {"another"})


@pytest.mark.parametrize(("until", "state", "met"), TABLE)
def test_what_is_not_met_is_missing_and_hopeless_where_nothing_moves(until: Until, state: State, met: bool) -> None:
    missing = Lack("db/main", until, need(until).line, is_hopeless=state in (State.STOPPED, State.DONE, State.FAILED))
    assert lack(need(until), Run(state), {LINE}) == (None if met else missing)


@pytest.mark.parametrize(("until", "state", "met"), TABLE)
def test_an_optional_need_is_missing_only_while_it_is_on_its_way(until: Until, state: State, met: bool) -> None:
    is_at_rest = state in (State.STOPPED, State.DONE, State.FAILED)
    missing = Lack("db/main", until, need(until).line)
    assert lack(need(until, is_optional=True), Run(state), {LINE}) == (None if met or is_at_rest else missing)


@pytest.mark.parametrize("is_wanted", [True, False])
@pytest.mark.parametrize("state", State)
def test_who_is_leaving_has_not_left(state: State, is_wanted: bool) -> None:
    is_at_rest = state in (State.STOPPED, State.DONE, State.FAILED)
    leaves = not is_at_rest and (state is State.STOPPING or not is_wanted)
    assert is_leaving(Run(state, is_wanted)) == leaves


def test_there_is_no_circle_where_nobody_waits_for_himself() -> None:
    assert circle({}) is None
    assert circle({"a": ["b", "c"], "b": ["d"], "c": ["d"]}) is None


def test_a_circle_names_each_job_before_whom_it_needs() -> None:
    assert circle({"a": ["a"]}) == ("a", "a")
    found = circle({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"], "d": []})
    assert found in (("a", "b", "c", "a"), ("b", "c", "a", "b"), ("c", "a", "b", "c"))


NAMES = [f"s/{number}" for number in range(7)]
NEEDS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4, unique=True))


def _comes_back(needs: dict[str, list[str]], name: str) -> bool:
    """Whether from whom it needs one comes to itself: slowly."""
    return name in reach(needs, needs.get(name, ()))


@given(NEEDS)
def test_a_circle_is_found_if_there_is_one_and_is_one(needs: dict[str, list[str]]) -> None:
    found = circle(needs)
    assert (found is not None) == any(_comes_back(needs, name) for name in NAMES)
    if found:
        assert found[0] == found[-1]
        assert len(set(found)) == len(found) - 1
        assert all(on in needs[name] for name, on in pairwise(found))


@given(NEEDS, st.sets(st.sampled_from(NAMES)))
def test_all_are_reached_that_one_comes_to_in_steps(needs: dict[str, list[str]], names: set[str]) -> None:
    reached = set(names)
    while more := {on for name in reached for on in needs.get(name, ())} - reached:
        reached |= more
    assert reach(needs, names) == reached


def test_who_is_needed_is_so_by_way_of_others_but_not_of_optional_needs() -> None:
    web = job("web", "api")._replace(needs=(Need("api"), Need("metrics", is_optional=True)))
    jobs = plan(web, job("api", "db"), job("db"), job("metrics", "disk"), job("disk"), job("alone"))
    assert needed(jobs, ["web"]) == {"web", "api", "db"}
    assert needed(jobs, ["db", "metrics"]) == {"db", "metrics", "disk"}
    assert needed(jobs, []) == set()


def test_whom_a_job_needs_comes_before_it() -> None:
    jobs = plan(job("web", "db", "cache"), job("db"), job("cache", "db"))
    assert in_order(jobs, ["web", "db", "cache"]) == ["db", "cache", "web"]


def test_also_by_way_of_a_job_that_is_not_asked_for() -> None:
    jobs = plan(job("web", "api"), job("api", "db"), job("db"))
    assert in_order(jobs, ["web", "db"]) == ["db", "web"]


def test_who_needs_nobody_stays_in_the_order_of_the_plan() -> None:
    jobs = plan(job("c"), job("a"), job("b"))
    assert in_order(jobs, ["a", "b", "c"]) == ["c", "a", "b"]
    assert in_order(jobs, {"b", "c"}) == ["c", "b"]
    assert in_order(jobs, []) == []


@st.composite
def wirings(draw: st.DrawFn, is_in_order: bool = False) -> dict[str, list[str]]:
    """Whom each job of a plan needs, without circles: in a hidden order only some of those before it."""
    hidden = draw(st.permutations(NAMES))
    needs: dict[str, list[str]] = {hidden[0]: []}
    for number, name in enumerate(hidden[1:], 1):
        needs[name] = draw(st.lists(st.sampled_from(hidden[:number]), max_size=3, unique=True))
    return needs if is_in_order else {name: needs[name] for name in draw(st.permutations(NAMES))}


def wired(needs: dict[str, list[str]]) -> dict[str, Job]:
    return plan(*(job(name, *others) for name, others in needs.items()))


@given(wirings(), st.lists(st.sampled_from(NAMES)))
def test_an_order_has_everyone_once_and_behind_whom_it_needs(needs: dict[str, list[str]], names: list[str]) -> None:
    found = in_order(wired(needs), names)
    assert sorted(found) == sorted(set(names))
    for place, name in enumerate(found):
        assert (reach(needs, [name]) - {name}).isdisjoint(found[place:])


@given(wirings(), st.lists(st.sampled_from(NAMES)))
def test_an_order_does_not_depend_on_how_one_asks(needs: dict[str, list[str]], names: list[str]) -> None:
    jobs = wired(needs)
    assert in_order(jobs, names) == in_order(jobs, [*reversed(names), *names]) == in_order(jobs, set(names))


@given(wirings(is_in_order=True), st.sets(st.sampled_from(NAMES)))
def test_a_plan_that_is_in_order_already_stays_as_it_is(needs: dict[str, list[str]], names: set[str]) -> None:
    assert in_order(wired(needs), names) == [name for name in needs if name in names]
