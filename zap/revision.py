"""What is different between two plans, and what that means for the jobs that run."""

from __future__ import annotations

from typing import NamedTuple

from zap.plan import Fixup, Job, Plan

DECISIVE = (
    *("commands", "cwd", "env", "env_file", "shell", "tty", "answers", "ready", "watchdog"),
    *("limits", "user", "group", "umask", "private_tmp", "network"),
)
"""Settings that decide what a job's child is and when it counts as ready; the others change while it lives."""


class Change(NamedTuple):
    """A job that is in both plans, and which of its settings differ; `fixups` also when one of these does."""

    job: str
    settings: tuple[str, ...]

    @property
    def is_decisive(self) -> bool:
        """Whether it is restarted, if it runs."""
        return any(name in DECISIVE for name in self.settings)


class Revision(NamedTuple):
    """Full names of jobs, in the order of the plans that they are in."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]

    @property
    def is_nothing(self) -> bool:
        return not (self.added or self.removed or self.changed)


def compare(old: Plan, new: Plan) -> Revision:
    """Where something stands in its file makes no difference."""
    before = {job.name: job for job in old.jobs}
    after = {job.name: job for job in new.jobs}
    renewed = _renewed(old.fixups, new.fixups)
    changes = [Change(name, _differing(before[name], job, renewed)) for name, job in after.items() if name in before]
    return Revision(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(change for change in changes if change.settings),
    )


def _renewed(old: tuple[Fixup, ...], new: tuple[Fixup, ...]) -> set[str]:
    before = {fixup.name: fixup._replace(where=None) for fixup in old}
    return {fixup.name for fixup in new if before.get(fixup.name) != fixup._replace(where=None)}


def _differing(old: Job, new: Job, renewed: set[str]) -> tuple[str, ...]:
    before, after = _placeless(old), _placeless(new)
    names = [name for name in Job._fields if getattr(before, name) != getattr(after, name)]
    if "fixups" not in names and not renewed.isdisjoint(new.fixups):
        names.append("fixups")
    return tuple(names)


def _placeless(job: Job) -> Job:
    commands = tuple(command._replace(where=None) for command in job.commands)
    return job._replace(where=None, commands=commands)
