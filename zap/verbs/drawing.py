"""`zap graph`, once it has the plan: who needs whom, drawn or told."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from zap import chart, graph, wire
from zap.choice import among
from zap.frame import Plain
from zap.plan import Plan
from zap.verbs import ps, reach, usage


def show(plan: Plan, rows: Mapping[str, Mapping[str, Plain]], arguments: argparse.Namespace) -> int:
    """What is named and whatever it needs, or everything; `rows` are those of a runner, if there is one."""
    named = among([job.name for job in plan.jobs], arguments.names)
    shown = graph.reach({job.name: [need.job for need in job.needs] for job in plan.jobs}, named)
    jobs = [job for job in plan.jobs if job.name in shown]
    if arguments.json:
        for job in jobs:
            told = {"job": job.name, "needs": wire.to_plain(job.needs)}
            reach.tell(told | ({"state": rows[job.name]["state"]} if job.name in rows else {}))
        return 0
    has_colour = usage.has_colour(arguments.color)
    signs = {job.name: _sign(ps.shown_state(rows[job.name]), has_colour) for job in jobs if job.name in rows}
    for line in chart.draw(jobs, arguments.format, signs):
        print(line)
    return 0


def _sign(state: str, has_colour: bool) -> str:
    sign, colour = ps.SIGNS[state]
    return f"\x1b[{colour}m{sign}\x1b[0m" if has_colour else sign
