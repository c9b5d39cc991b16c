"""The names that a person types → the jobs that are meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zap.errors import ZapError
from zap.plan import Job, Plan


def choose(plan: Plan, names: Sequence[str]) -> tuple[Job, ...]:
    """The jobs of these systems, `system/job`s, or jobs by their bare name where only one has it; in the plan's order.

    A job with `start: false` comes only by its own name. Without names: every system and job that starts by default.
    ZapError: nothing has that name, or more than one, or nothing starts by default.
    """
    if not names:
        return _default(plan)
    chosen: set[str] = set()
    for name in names:
        chosen |= _named(plan, name)
    return tuple(job for job in plan.jobs if job.name in chosen)


def _default(plan: Plan) -> tuple[Job, ...]:
    jobs = tuple(job for system in plan.systems if system.start for job in system.jobs if job.start)
    if not jobs:
        raise ZapError(f"nothing starts by default; name a system or a job: {_listed(_names(plan))}")
    return jobs


def _named(plan: Plan, name: str) -> set[str]:
    systems = [system for system in plan.systems if system.name == name]
    jobs = {job.name for job in plan.jobs if name in (job.name, job.name.partition("/")[2])}
    if systems:
        started = {job.name for job in systems[0].jobs if job.start}
        if not started:
            raise ZapError(f"no job of {name} starts with it; name one: {_listed(job.name for job in systems[0].jobs)}")
        return started
    if len(jobs) > 1:
        raise ZapError(f"more than one job is called {name}: {_listed(sorted(jobs))}")
    if not jobs:
        from difflib import get_close_matches  # only for a mistake, and not cheap

        names = _names(plan)
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {_listed(names)}"
        raise ZapError(f"no system or job is called {name} — {hint}")
    return jobs


def _names(plan: Plan) -> list[str]:
    """Systems first: they are what is mostly meant."""
    return [system.name for system in plan.systems] + [job.name for job in plan.jobs]


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
