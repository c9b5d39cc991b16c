"""The names that a person types → the jobs that are meant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from zap.errors import ZapError

if TYPE_CHECKING:  # who has only names starts without the words
    from zap.plan import Job, Plan


def choose(plan: Plan, names: Sequence[str], living: Collection[str] = ()) -> tuple[Job, ...]:
    """The jobs of these systems, `system/job`s, or jobs by their bare name where only one has it; in the plan's order.

    A job with `start: false` comes only by its own name, or with its system when it is one of the `living`. Without
    names: every system and job that starts by default. ZapError: nothing has that name, or more than one, or nothing
    starts by default.
    """
    if not names:
        return _default(plan)
    chosen: set[str] = set()
    for name in names:
        chosen |= _started(plan, name, living)
    return tuple(job for job in plan.jobs if job.name in chosen)


def among(jobs: Collection[str], names: Iterable[str]) -> list[str]:
    """Which of these jobs (`system/job`) are meant: as `choose`, but a system is all of its jobs. In the jobs' order.

    Without names: all. ZapError: nothing has that name, or more than one.
    """
    meant = {job for name in names for job in _named(jobs, name)}
    return [job for job in jobs if job in meant] if names else list(jobs)


def _default(plan: Plan) -> tuple[Job, ...]:
    jobs = tuple(job for system in plan.systems if system.start for job in system.jobs if job.start)
    if not jobs:
        raise ZapError(
            f"nothing starts by default; name a system or a job: {_listed(_names([job.name for job in plan.jobs]))}"
        )
    return jobs


def _started(plan: Plan, name: str, living: Collection[str]) -> set[str]:
    jobs = {job.name: job for job in plan.jobs}
    meant = _named(jobs, name)
    if name not in map(_system, jobs):
        return set(meant)
    started = {job for job in meant if jobs[job].start or job in living}
    if not started:
        raise ZapError(f"no job of {name} starts with it; name one: {_listed(meant)}")
    return started


def _named(jobs: Collection[str], name: str) -> list[str]:
    found = [job for job in jobs if _system(job) == name]
    found = found or [job for job in jobs if name in (job, job.partition("/")[2])]
    if len(found) > 1 and _system(found[0]) != name:
        raise ZapError(f"more than one job is called {name}: {_listed(sorted(found))}")
    if not found:
        from difflib import get_close_matches  # only for a mistake, and not cheap

        names = _names(jobs)
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {_listed(names)}"
        raise ZapError(f"no system or job is called {name} — {hint}")
    return found


def _names(jobs: Iterable[str]) -> list[str]:
    """Systems first: they are what is mostly meant."""
    return [*dict.fromkeys(map(_system, jobs)), *jobs]


def _system(job: str) -> str:
    return job.partition("/")[0]


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
