"""`zap tree`: the processes that there really are, below the runner and below each job."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from zap import census, frame
from zap.census import Census, Member
from zap.choice import among
from zap.frame import Plain
from zap.remarks import headline
from zap.table import Cell, lines
from zap.units import seconds, size
from zap.verbs import reach, usage

RUNNER = "zap"
HEAD = ("JOB", "PID", "STATE", "CPU", "MEMORY", "COMMAND")
RIGHT = ("PID", "CPU", "MEMORY")
DEEPEST = 100  # levels below the runner; what is deeper is shown at that level
STATES = {"Z": 2, "X": 2, "T": 33, "R": 32}  # ended, ended, stopped, at work


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(subparsers, "tree", "the processes of every job", run, "0 when it is told")
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help="only these, and not the runner itself")
    usage.add_json(parser, "a job and its `processes`, each with its `children`; cpu in seconds, memory in bytes")
    usage.add_colour(parser)


def run(arguments: argparse.Namespace) -> int:
    """Shows every process that lives below the runner and its keeper, under the job that it belongs to: also those that
    left their group or lost their parent, and remedies. CPU is what it has used in all, with what its ended children
    had."""
    with reach.runner(arguments) as line:
        hello = line.hello
    rows = reach.rows(arguments)
    jobs = among(rows, arguments.names)
    families = _families(census.take(), hello, rows)
    told = {job: families.get(job, []) for job in ([] if arguments.names else [RUNNER]) + jobs}
    if arguments.json:
        for job, processes in told.items():
            reach.tell({"job": job, "processes": processes})
        return 0
    cells = [cell for job, processes in told.items() for cell in _cells(job, processes, rows.get(job, {}))]
    for text in lines(HEAD, cells, right=RIGHT, has_colour=usage.has_colour(arguments.color), width=reach.width()):
        print(text)
    return 0


def _families(
    look: Census, hello: frame.Hello, rows: Mapping[str, Mapping[str, Plain]]
) -> dict[str, list[dict[str, Plain]]]:
    """By job, and for the runner, its keeper and what is nobody's: its processes, each with its children below it."""
    ours = (hello.keeper or hello.pid, hello.pid)
    owners = {row["pid"]: job for job, row in rows.items() if row["pid"]}
    families: dict[str, list[Member]] = {}
    job = RUNNER
    for member in look.tree(ours[0], ""):
        if member.depth == 0 and member.pid != ours[0]:
            break  # beside it: whoever started it
        if member.pid in ours:
            job = RUNNER
        elif member.parent in ours:  # a job's shell, a remedy, or one that lost its parent
            job = owners.get(member.pid) or look.job(member.pid)
        families.setdefault(job if job in rows else RUNNER, []).append(member)
    return {job: _nested(members) for job, members in families.items()}


def _nested(members: Sequence[Member]) -> list[dict[str, Plain]]:
    top: list[dict[str, Plain]] = []
    levels = [top]
    for member in members:
        depth = min(member.depth, DEEPEST) - members[0].depth
        children: list[dict[str, Plain]] = []
        told = {
            "pid": member.pid,
            "parent": member.parent,
            "state": member.state,
            "cpu": round(member.cpu, 2),
            "memory": member.memory,
            "command": reach.shown(member.command),
            "children": children,
        }
        levels[depth].append(told)
        levels[depth + 1 :] = [children]
    return top


def _cells(job: str, processes: Sequence[Mapping[str, Plain]], row: Mapping[str, Plain]) -> Iterator[list[Cell | str]]:
    if not processes:
        state = row["state"] if row else "gone"  # the runner has been killed since it has answered us
        yield [job, "", Cell(state, 2), "", "", ""]
    for process in processes:
        command = process["command"]
        if process["pid"] == row.get("pid"):  # its argument is a whole script: what it is at says more
            command = f"{command.partition(' -c ')[0]} ({row['command']}/{row['commands']} {headline(row['text'])})"
        yield from _branch(job, process, command)
        job = ""


def _branch(job: str, process: Mapping[str, Plain], command: str, indent: str = "") -> Iterator[list[Cell | str]]:
    yield [
        job,
        f"{process['pid']}",
        Cell(process["state"], STATES.get(process["state"])),
        seconds(process["cpu"]),
        size(process["memory"]),
        reach.shown(command),
    ]
    children = process["children"]
    indent = indent.replace("├─ ", "│  ").replace("└─ ", "   ")
    for index, child in enumerate(children):
        branch = f"{indent}{'└─ ' if index + 1 == len(children) else '├─ '}"
        yield from _branch("", child, f"{branch}{child['command']}", branch)
