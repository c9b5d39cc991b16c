"""Who needs whom: whether a need is met, in which order jobs come up and go down, and who would wait in a circle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from zap.events import Lack, State
from zap.machine import After, Run
from zap.plan import Job, Need

LIVING = (State.RUNNING, State.READY)
Needs = Mapping[str, Sequence[str]]
"""By job, whom it needs. Who stands nowhere as a key needs nobody."""


def is_met(need: Need, run: Run, said: Collection[str]) -> bool:
    """`run` is that of the job which is needed, `said` are the lines, by pattern, that its last child has printed."""
    match need.until:
        case "started":
            return run.state in (*LIVING, State.DONE)
        case "ready":
            return run.state in (State.READY, State.DONE)
        case "done":
            return run.state is State.DONE
        case "ended":
            return run.state in (State.DONE, State.FAILED)
        case "line":
            return need.line in said and run.state in (*LIVING, State.DONE)


def lack(need: Need, run: Run, said: Collection[str]) -> Lack | None:
    """What is missing, or None when the need keeps nobody from starting."""
    if is_met(need, run, said) or (need.is_optional and run.state.is_rest):
        return None
    return Lack(need.job, need.until, need.line, is_hopeless=run.state.is_rest)


def is_leaving(run: Run) -> bool:
    """Whether it is on its way down, and has not ended yet: whom it needs stays for so long."""
    return run.state is State.STOPPING or not (run.is_wanted or run.state.is_rest)


def is_coming(run: Run) -> bool:
    """Whether it is up, or will be, unless something goes wrong."""
    is_ending = run.state is State.STOPPING and run.after not in (After.START, After.FIX)
    return run.is_wanted and not (run.state.is_rest or is_ending)


def circle(needs: Needs) -> tuple[str, ...] | None:
    """Jobs that would wait for each other for ever, each before whom it needs; the first is also the last."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return None


def in_order(jobs: Mapping[str, Job], names: Iterable[str]) -> list[str]:
    """These jobs, each behind those of them that it needs, also by way of others; else in the order of the plan.

    Needs must not go in a circle. To go down, the other way round.
    """
    wanted = set(names)
    order: dict[str, None] = {}
    for name in jobs:
        path = [name] if name in wanted else []
        while path:
            others = [need.job for need in jobs[path[-1]].needs if need.job not in order]
            if others:
                path.append(others[0])
            else:
                order[path.pop()] = None
    return [name for name in order if name in wanted]


def needed(jobs: Mapping[str, Job], names: Iterable[str]) -> set[str]:
    """These, and whom they need, optional needs aside, and whom those need in turn."""
    return reach({name: [need.job for need in job.needs if not need.is_optional] for name, job in jobs.items()}, names)


def reach(edges: Needs, names: Iterable[str]) -> set[str]:
    """These, and all that can be come to from them."""
    reached: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            queue += edges.get(name, ())
    return reached
