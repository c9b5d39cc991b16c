"""Whether a fixup runs: approval, safe captures and budgets, and each is told once in a run."""

from __future__ import annotations

from typing import Any

import pytest

from zap import events
from zap.events import Fact
from zap.fixup import Call
from zap.healer import Heal, Healer, Verdict
from zap.plan import Budget, Fixup, Job, Match

J = Job("web/api", "api", (), "/")
OTHER = J._replace(name="web/other")


def fixup(name: str = "lock", **settings: Any) -> Fixup:
    settings = {"mode": "auto", "run": (("rm", "{path}"),), "tries": Budget(2, 60.0)} | settings
    return Fixup(name, "a lock", (Match("held"),), **settings)


def judged(
    healer: Healer, of: Fixup, epoch: int = 1, now: float = 0.0, job: Job = J, path: str = "/tmp/x"
) -> Verdict | None:
    return healer.judge(job, epoch, Call(of, 9, {"path": path}), now)


def said(verdict: Verdict | None) -> list[type[Fact]]:
    assert verdict
    return [type(fact) for fact in verdict.facts]


@pytest.mark.parametrize(
    ("mode", "heal", "runs"),
    [("auto", "auto", True), ("auto", "all", True), ("ask", "auto", False), ("ask", "all", True)],
)
def test_who_wants_approval_waits_for_it(mode: str, heal: Heal, runs: bool) -> None:
    verdict = judged(Healer(heal), fixup(mode=mode))
    assert verdict
    assert (verdict.filled is not None) is runs
    assert said(verdict) == ([events.Matched] if runs else [events.Matched, events.Proposed])


def test_what_is_proposed_is_what_would_be_run() -> None:
    of = fixup(mode="ask", verify="[ ! -e {path} ]", effects=("deletes-file",))
    proposed, runs = judged(Healer("auto"), of), judged(Healer("all"), of)
    assert proposed and runs and runs.filled
    assert proposed.facts == (
        events.Matched("web/api", 1, "lock", 9, "a lock"),
        events.Proposed("web/api", 1, "lock", 9, runs.filled.commands, ("deletes-file",)),
    )
    assert runs.filled.commands == ("rm /tmp/x", 'zap_path=/tmp/x; [ ! -e "$zap_path" ]')


def test_a_capture_that_is_not_safe_is_refused_even_with_heal_all() -> None:
    verdict = judged(Healer("all"), fixup(), path="-rf")
    assert said(verdict) == [events.Matched, events.GaveUp]
    assert verdict and verdict.filled is None
    assert "'-rf', which a program could take for an option" in str(verdict.facts[1])


@pytest.mark.parametrize("then", ["restart", "continue", "give-up"])
@pytest.mark.parametrize("mode", ["auto", "ask"])
@pytest.mark.parametrize("path", ["/tmp/x", "-rf"])
def test_each_fixup_has_its_say_once_in_a_run(then: str, mode: str, path: str) -> None:
    healer, of = Healer("auto"), fixup(then=then, mode=mode, tries=Budget(9, 60.0))
    first = judged(healer, of, path=path)
    assert first
    assert judged(healer, of, now=1.0, path=path) is None
    assert judged(healer, of, epoch=2, now=2.0, path=path) == Verdict(
        tuple(fact._replace(epoch=2) for fact in first.facts),  # type: ignore[call-arg]
        first.filled,
    )
    assert judged(healer, of, epoch=2, now=3.0, path=path) is None


def test_fixups_and_jobs_do_not_silence_each_other() -> None:
    healer = Healer("auto")
    for of in (fixup("lock"), fixup("key")):
        for job in (J, OTHER):
            assert said(judged(healer, of, job=job)) == [events.Matched]


def test_a_budget_is_used_up_and_refills() -> None:
    healer, of = Healer("auto"), fixup()
    for epoch in (1, 2):
        assert said(judged(healer, of, epoch, now=float(epoch))) == [events.Matched]
    late = judged(healer, of, 3, now=60.9)
    assert late and late.filled is None
    assert late.facts[1] == events.GaveUp("web/api", 3, "lock", "2 tries within 60 s are used up")
    assert said(judged(healer, of, 4, now=61.1)) == [events.Matched], "the first try is a minute ago"


def test_a_budget_is_that_of_one_job_and_one_fixup() -> None:
    healer = Healer("auto")
    once = Budget(1, 60.0)
    for job, of in ((J, fixup("a", tries=once)), (J, fixup("b", tries=once)), (OTHER, fixup("a", tries=once))):
        assert said(judged(healer, of, job=job)) == [events.Matched]
        assert said(judged(healer, of, epoch=2, job=job)) == [events.Matched, events.GaveUp]


def test_what_was_not_run_costs_no_try() -> None:
    """A refusal, or a proposal that nobody has approved, leaves the budget to the remedy itself."""
    healer, once = Healer("auto"), Budget(1, 60.0)
    assert said(judged(healer, fixup(tries=once), path="-rf")) == [events.Matched, events.GaveUp]
    assert said(judged(healer, fixup(tries=once, mode="ask"), epoch=2)) == [events.Matched, events.Proposed]
    assert said(judged(healer, fixup(tries=once), epoch=3)) == [events.Matched]
