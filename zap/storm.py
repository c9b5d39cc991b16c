"""Many jobs that fail at once have one cause: their restarts give way to each other, and it is told once."""

from __future__ import annotations

from collections import deque

WINDOW = 5.0  # seconds in which failures belong together
FEWEST = 5  # jobs; fewer are told one by one
SHARE = 0.2  # of the jobs that live
SPACING = 0.25  # seconds for each job of the storm; over so many their restarts are spread,
SPREAD_MOST = 10.0  # but not over more than these
GOLDEN = 0.6180339887498949  # steps by this share of 1 fill it evenly, however many they come to be


class Storm:
    """The failures of the last seconds. As long as they go on, it is the same storm."""

    def __init__(self) -> None:
        self._failed: deque[tuple[float, str]] = deque()
        self._is_on = False
        self._spread = 0  # how many restarts

    def count(self, job: str, living: int, now: float) -> tuple[float, tuple[str, ...]]:
        """One more has failed, while so many live, itself included: how many seconds its start shall give way, and if
        this makes it a storm, who has failed in it so far.
        """
        self._failed.append((now, job))
        while self._failed[0][0] < now - WINDOW:
            self._failed.popleft()
        jobs = tuple(dict.fromkeys(failed for _, failed in self._failed))
        was_on, self._is_on = self._is_on, len(jobs) >= max(FEWEST, SHARE * (living + len(jobs) - 1))
        if not self._is_on:
            return 0.0, ()
        self._spread += 1
        return self._spread * GOLDEN % 1.0 * min(SPACING * len(jobs), SPREAD_MOST), () if was_on else jobs

    def is_on(self, now: float) -> bool:
        return self._is_on and self._failed[-1][0] >= now - WINDOW
