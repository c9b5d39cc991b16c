"""What each job uses: processor time from one look at the process table to the next, memory, and how many processes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from zap.census import Census, Process
from zap.events import Load

PROCESSORS = os.cpu_count() or 1


class Sampler:
    """Compares each look at the process table with the one before.

    What a process has used goes, when it has ended and is waited for, into its parent's account of reaped children.
    There also those are found that no look has seen; what was counted while they lived is taken off. Only who is reaped
    by nobody of the family (re-parented, or its parent ignores SIGCHLD) takes its last use, since the look before, away
    with it.
    """

    def __init__(self, begun: float = math.inf) -> None:
        """`begun` is when the oldest of the jobs was born, or before: the first sample's average is since then."""
        self._before = Census(())
        self._at = begun
        self._late: dict[int, float] = {}

    def sample(self, look: Census, now: float, leaders: Mapping[str, tuple[int, str]]) -> dict[str, Load]:
        """The load of each job, from the pid and the tag of its shell. `now`, of the look, is in seconds and grows."""
        elapsed = now - self._at
        counted = self._settle(look)
        loads = {}
        for name, family in look.families(leaders).items():
            spent = sum(self._spent(process, counted) for process in family)
            # A child that was read before its parent, and reaped between the two, stands in both accounts: no more can
            # have been used than there was.
            cpu = 100 * min(spent / elapsed, PROCESSORS) if elapsed > 0 else 0.0
            living = [process.memory for process in family if not process.has_ended]
            loads[name] = Load(name, cpu, sum(living), len(living))
        self._before, self._at = look, now
        return loads

    def _spent(self, process: Process, counted: Mapping[int, float]) -> float:
        """Seconds since the look before, by itself and by children that it has reaped."""
        if not self._before.has(process):
            return process.cpu + process.reaped
        before = self._before.processes[process.pid]
        return process.cpu - before.cpu + max(process.reaped - before.reaped - counted.get(process.pid, 0.0), 0.0)

    def _settle(self, look: Census) -> dict[int, float]:
        """By pid: seconds that were counted for who has gone since, and that the nearest above it should have reaped.

        A parent that was read just before it reaped has them in the next look only: until then they are `_late`.
        """
        owed: dict[int, float] = {}
        counted: dict[int, float] = {}
        for process in self._before.processes.values():
            late = self._late.get(process.pid, 0.0)
            if look.has(process):
                if late:
                    counted[process.pid] = late
            elif heir := next(filter(look.has, self._before.above(process)), None):
                owed[heir.pid] = owed.get(heir.pid, 0.0) + process.cpu + process.reaped + late
        self._late = {}
        for pid, seconds in owed.items():
            counted[pid] = counted.get(pid, 0.0) + seconds
            missing = counted[pid] - (look.processes[pid].reaped - self._before.processes[pid].reaped)
            if missing > 0:
                self._late[pid] = min(missing, seconds)
        return counted
