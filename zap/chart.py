"""Drawings of who needs whom: a tree for a person, a flowchart for Mermaid, a graph for Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from zap.escape import plain
from zap.plan import Job, Need

Form = Literal["tree", "mermaid", "dot"]

# Letters that mean nothing in a text between quotes, whatever version of Mermaid reads it.
_SPECIAL_IN_MERMAID = re.compile(r"[^\w ./()-]")
_SPECIAL_IN_DOT = {"\\": "\\\\", '"': '\\"', "&": "&amp;"}


def draw(jobs: Sequence[Job], form: Form, signs: Mapping[str, str] | None = None) -> Iterator[str]:
    """The lines of the drawing. Whomever the jobs need is among them, and they stand as in the plan.

    `signs` are set before the names in a tree, which shows how jobs are; the other two are made of the plan alone.
    """
    match form:
        case "tree":
            return _tree(jobs, signs or {})
        case "mermaid":
            return _mermaid(jobs)
        case "dot":
            return _dot(jobs)


def condition(need: Need) -> str:
    """What is to be said of a need: nothing when the job has to be ready, and that is all."""
    until = f'line "{_shown(need.line or "")}"' if need.until == "line" else need.until
    said = ["" if until == "ready" else until, "optional" if need.is_optional else "", "follow" if need.follow else ""]
    return ", ".join(filter(None, said))


def _tree(jobs: Sequence[Job], signs: Mapping[str, str]) -> Iterator[str]:
    """Below each job whom it needs. What stands below a job is written where it is met first, and … elsewhere: a path
    for each way from top to bottom could be more lines than anybody can read."""
    known = {job.name: job for job in jobs}
    needed = {need.job for job in jobs for need in job.needs}
    shown: set[str] = set()
    # What is still to be written, the next one last: what a line hangs on, its branch, and the need that it is for.
    todo = [("", "", Need(job.name)) for job in reversed(jobs) if job.name not in needed]
    while todo:
        stem, branch, need = todo.pop()
        needs = known[need.job].needs
        said = condition(need)
        again = " …" if needs and need.job in shown else ""
        sign = f"{signs[need.job]} " if need.job in signs else ""
        yield f"{stem}{branch}{sign}{need.job}{f' ({said})' if said else ''}{again}"
        if not again:
            shown.add(need.job)
            below = stem + {"├─ ": "│  ", "└─ ": "   "}.get(branch, "")
            branches = ["├─ "] * (len(needs) - 1) + ["└─ "]
            todo += [(below, *item) for item in zip(reversed(branches), reversed(needs), strict=False)]


def _mermaid(jobs: Sequence[Job]) -> Iterator[str]:
    """Names would not do as ids: some of them are words of the language, such as `end`."""
    ids = {job.name: f"job{number}" for number, job in enumerate(jobs, 1)}
    yield "flowchart TD"
    for number, (system, members) in enumerate(_by_system(jobs), 1):
        yield f"  subgraph system{number} [{_in_mermaid(system)}]"
        for job in members:
            yield f"    {ids[job.name]}[{_in_mermaid(*_label(job))}]"
        yield "  end"
    for job in jobs:
        for need in job.needs:
            said = condition(need)
            label = f"|{_in_mermaid(said)}|" if said else ""
            yield f"  {ids[job.name]} {'-.->' if need.is_optional else '-->'}{label} {ids[need.job]}"


def _dot(jobs: Sequence[Job]) -> Iterator[str]:
    yield "digraph {"
    yield "  node [shape=box]"
    for number, (system, members) in enumerate(_by_system(jobs), 1):
        yield f"  subgraph cluster{number} {{"
        yield f"    label={_in_dot(system)}"
        for job in members:
            yield f"    {_in_dot(job.name)} [label={_in_dot(*_label(job))}]"
        yield "  }"
    for job in jobs:
        for need in job.needs:
            said = condition(need)
            looks = [f"label={_in_dot(said)}"] if said else []
            looks += ["style=dotted"] if need.is_optional else []
            yield f"  {_in_dot(job.name)} -> {_in_dot(need.job)}" + (f" [{', '.join(looks)}]" if looks else "")
    yield "}"


def _by_system(jobs: Sequence[Job]) -> Iterator[tuple[str, Iterator[Job]]]:
    """In the plan the jobs of a system stand together."""
    return groupby(jobs, key=lambda job: job.system)


def _label(job: Job) -> list[str]:
    """Its name within its system, and what it is, where the name does not say that already."""
    name = job.name.partition("/")[2]
    return [name] if job.title in ("", name) else [name, job.title]


def _shown(text: str) -> str:
    """As one line of text, without what could drive a terminal."""
    return plain(" ".join(text.split("\n")).encode(errors="replace"))


def _in_mermaid(*lines: str) -> str:
    """Mermaid's own way to write any letter is `#35;`."""
    escaped = (_SPECIAL_IN_MERMAID.sub(lambda found: f"#{ord(found[0])};", _shown(line)) for line in lines)
    return '"' + "<br/>".join(escaped) + '"'


def _in_dot(*lines: str) -> str:
    """Graphviz takes `&…;` for a letter, and `\\n` for the end of a line that is set in the middle."""
    escaped = ("".join(_SPECIAL_IN_DOT.get(letter, letter) for letter in _shown(line)) for line in lines)
    return '"' + "\\n".join(escaped) + '"'
