"""On this machine: a job's settings → argv and environment of its shell."""

from __future__ import annotations

from collections.abc import Mapping

from zap.plan import Job

TERM = "xterm-256color"  # what a job's terminal is, whatever zap itself was started in: so it is drawn when typed into


def argv(job: Job, script: str) -> list[str]:
    """The shell, its script, and the name by which it speaks of itself; a terminal's path may follow as `$1`."""
    return [*job.shell, "-c", script, job.shell[0].rpartition("/")[2]]


def environment(job: Job, outer: Mapping[str, str], from_files: Mapping[str, str | None]) -> dict[str, str]:
    """The outer environment, then the job's env files, then its `env`; None takes a variable away."""
    terminal = {"TERM": TERM} if job.tty else {}
    merged: dict[str, str | None] = {**outer, **terminal, **from_files, **dict(job.env)}
    return {name: value for name, value in merged.items() if value is not None}


def tags(plan: str, job: str, runner: str, pid: int, epoch: int) -> dict[str, str]:
    """What every process of a job carries in its environment, so that it is known for the job's wherever it hides.

    ZAP_RUN is that of no other child of any runner; `pid` is the runner's own, so that a leftover of one that is gone
    can be told from a job of one that is there.
    """
    run = f"{runner}:{job}:{epoch}"
    return {"ZAP_PLAN": plan, "ZAP_JOB": job, "ZAP_EPOCH": str(epoch), "ZAP_RUN": run, "ZAP_RUNNER": str(pid)}
