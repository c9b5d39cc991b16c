"""A million things happen to random plans, and no promise is broken; a rule that is wrong is found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator import World
from zap import flock, graph, machine, storm, vitals
from zap.events import Lack
from zap.flock import Flock

INPUTS = 1_000_000
SHARES = 20  # so that the processors share them
A_LIFE = 2000  # inputs to one plan


@pytest.mark.parametrize("share", range(SHARES))
def test_a_million_inputs_break_no_promise(share: int) -> None:
    given, seed = 0, share * 1_000_000
    while given < INPUTS / SHARES:
        given += _live(seed)
        seed += 1


def _live(seed: int) -> int:
    world = World(seed)
    try:
        world.live(A_LIFE)
    except (AssertionError, machine.Impossible) as error:
        pytest.fail(f"{error or type(error).__name__}: python -m tests.simulator {seed} {A_LIFE}")
    return world.given


def _nobody(*_: Any) -> tuple[str, ...]:
    return ()


def _is_met(need: Any, run: Any, said: Any) -> bool:
    return run.state in graph.LIVING


def _lack(need: Any, run: Any, said: Any) -> Lack | None:
    """Also an optional need of who is at rest is waited for."""
    return None if graph.is_met(need, run, said) else Lack(need.job, need.until, need.line, run.state.is_rest)


def _settled(self: Flock, now: float) -> list[flock.Effect]:
    """Who needs a job is not told of it."""
    self._touched.clear()
    effects, self._effects = self._effects, []
    return effects


def _left(vitals_: Any, given: Any, job: Any, now: float) -> Any:
    """The probe that is out is forgotten, and goes on."""
    if isinstance(given, vitals.Left):
        return vitals.Vitals(), ()
    return _STEP(vitals_, given, job, now)


def _begin(run: machine.Run, job: Any, now: float) -> machine.Step:
    """Nobody is waited for."""
    return machine._begin(run, job, now)


_STEP = vitals.step

WRONG: dict[str, tuple[Any, str, Any]] = {
    "who is needed goes first": (Flock, "_leavers", _nobody),
    "needs are met too early": (graph, "is_met", _is_met),
    "optional needs are waited for": (graph, "lack", _lack),
    "news reach nobody": (Flock, "_settled", _settled),
    "a probe outlives its run": (vitals, "step", _left),
    "nobody is waited for": (machine, "_enter", _begin),
    "restarts without a bound": (machine, "_soonest", lambda run: 0.0),
    "a rung is too short": (machine, "_rung_over", lambda run, job: run.since),
    "a clean-up beside a child": (machine, "_rest", lambda run, state, why, now: (run._replace(state=state), ())),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_rule_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*WRONG[what])
    with pytest.raises((AssertionError, machine.Impossible)):
        for seed in range(50):
            World(seed).live(A_LIFE)


def test_a_storm_spreads_what_it_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator meets storms, too: without them, nothing gives way."""
    spreads: list[float] = []
    count = storm.Storm.count

    def counted(self: storm.Storm, job: str, living: int, now: float) -> tuple[float, tuple[str, ...]]:
        spread, jobs = count(self, job, living, now)
        spreads.append(spread)
        return spread, jobs

    monkeypatch.setattr(storm.Storm, "count", counted)
    for seed in range(40):
        World(seed).live(A_LIFE)
    assert any(spreads)
