"""Whether a fixup that was called for may run now, and what there is to say about it either way."""

from __future__ import annotations

from typing import Literal, NamedTuple

from zap import events
from zap.events import Fact
from zap.fixup import Call, Filled, Ledger, Refused, fill
from zap.plan import Job

Heal = Literal["auto", "all", "none"]


class Verdict(NamedTuple):
    """What to say, and what to run; `filled` is None when nothing shall run."""

    facts: tuple[Fact, ...]
    filled: Filled | None = None


class Healer:
    """Approval, safe captures and budgets. `heal` says which fixups run: those that are safe by themselves, all, none.

    What was declined, or runs beside the job, is told once in a run, however often its line comes.
    """

    def __init__(self, heal: Heal) -> None:
        self.heal = heal
        self._ledger = Ledger()
        self._told: dict[str, tuple[int, set[str]]] = {}  # by job: the epoch, and the fixups that it was told of

    def judge(self, job: Job, epoch: int, call: Call, now: float) -> Verdict | None:
        """None when the fixup has had its say in this run."""
        fixup = call.fixup
        if self._told.get(job.name, (0,))[0] != epoch:
            self._told[job.name] = (epoch, set())
        told = self._told[job.name][1]
        if fixup.name in told:
            return None
        told.add(fixup.name)
        matched = events.Matched(job.name, epoch, fixup.name, call.line, fixup.about)
        filled = fill(fixup, call.captures)
        if isinstance(filled, Refused):
            return Verdict((matched, events.GaveUp(job.name, epoch, fixup.name, filled.why)))
        if fixup.mode == "ask" and self.heal != "all":
            what = (filled.commands, tuple(fixup.effects))
            return Verdict((matched, events.Proposed(job.name, epoch, fixup.name, call.line, *what)))
        if not self._ledger.spend(job.name, fixup, now):
            why = f"{fixup.tries.times} tries within {fixup.tries.seconds:.0f} s are used up"
            return Verdict((matched, events.GaveUp(job.name, epoch, fixup.name, why)))
        return Verdict((matched,), filled)

    @property
    def spent(self) -> tuple[tuple[str, str, tuple[float, ...]], ...]:
        """How often fixups were tried: job, fixup, and when."""
        return self._ledger.spent

    @property
    def told(self) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """Which fixups have had their say in a run: job, epoch, fixups."""
        return tuple((job, epoch, tuple(sorted(names))) for job, (epoch, names) in self._told.items())

    def restore(
        self,
        spent: tuple[tuple[str, str, tuple[float, ...]], ...],
        told: tuple[tuple[str, int, tuple[str, ...]], ...],
    ) -> None:
        """Go on from where another healer was."""
        self._ledger.restore(spent)
        self._told = {job: (epoch, set(names)) for job, epoch, names in told}
