"""The house: one table of what stands on which floor, the faults of a tree against it, and the drawing of it.

`python -m tests.house --write` draws it into the README.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PACKAGE = "zap"
MARKS = ("<!-- house -->", "<!-- /house -->")


class Floor(NamedTuple):
    """A room is a module, or with a slash at its end a folder of them."""

    name: str
    about: str
    rooms: tuple[str, ...]


FLOORS = (
    Floor("words", "frozen data", ("__init__", "errors", "plan", "events", "requests")),
    Floor("window", "ask, watch, tail, plan", ("session",)),
    Floor(
        "rules",
        "pure: same input, same answer",
        (
            *("machine", "vitals", "graph", "storm", "flock", "revision", "script", "commands", "buffer", "escape"),
            *("mask", "transcript", "matcher", "fixup", "healer", "gauge", "meter", "units", "remarks", "why", "board"),
            *("choice", "fuzzy", "frame", "wire", "scribe", "table", "chart", "critical", "memory", "launch/"),
        ),
    ),
    Floor(
        "hands",
        "each touches one kind of thing",
        (
            *("document", "kinds", "settings", "config", "cache", "paths", "child", "nursery", "intake", "census"),
            *("answerer", "bus", "sampler", "scales", "reaper", "leftovers", "probe", "mailbox", "address", "dial"),
            "preferences",
            *("journal", "logfiles", "cgroup", "clocks", "keeper", "tether", "vault", "inbox", "store", "estate"),
        ),
    ),
    Floor("engine", "the single writer", ("runner", "ledger", "seat")),
    Floor("doors", "each looks through the window", ("headless", "server", "client", "verbs/", "tui/")),
    Floor("roof", "arguments, exit codes, putting parts together", ("cli", "background", "__main__")),
)
WATER_LINE = 3  # the first floor above it: what is below touches no fd, pid, file, clock, loop or chance

# Neighbours do not know each other, but for these, which are one thing in two files.
BUILT_ON = {
    "errors": {"plan"},
    "matcher": {"escape"},
    "fixup": {"matcher"},
    "healer": {"fixup"},
    "meter": {"gauge"},
    "remarks": {"units"},
    "scribe": {"escape", "wire"},
    "why": {"escape", "machine", "remarks", "units"},
    "chart": {"escape"},
    "critical": {"remarks", "units"},
    "wire": {"frame"},
    "transcript": {"buffer", "fixup", "mask", "matcher", "script"},
    "graph": {"machine"},
    "vitals": {"machine", "units"},
    "flock": {"graph", "machine", "storm", "vitals"},
    "settings": {"kinds"},
    "config": {"document", "kinds", "paths", "settings"},
    "dial": {"address"},
    "preferences": {"document", "paths"},
    "child": {"census"},
    "sampler": {"census"},
    "scales": {"census", "sampler"},
    "nursery": {"cgroup", "child"},
    "cgroup": {"child"},
    "probe": {"census", "child"},
    "reaper": {"census", "child"},
    "leftovers": {"census", "cgroup", "child", "paths"},
    "tether": {"child", "keeper"},
    "intake": {"inbox"},
    "store": {"vault"},
    "estate": {"child", "inbox", "store", "tether", "vault"},
    "memory": {"board", "fixup", "flock", "frame", "script", "wire"},
    "ledger": {"seat"},
    "runner": {"ledger", "seat"},
    "cli": {"background"},
    "__main__": {"cli"},
}

TOUCHING = re.compile(
    "asyncio|concurrent|ctypes|fcntl|fileinput|getpass|glob|io|logging|mmap|multiprocessing|os|pathlib|pexpect|psutil|pty"
    "|queue|random|resource|secrets|select|selectors|shutil|signal|socket|socketserver|ssl|subprocess|tempfile|termios"
    "|threading|time|tty|urllib|urwid|uuid|yaml"
)
ONLY = {
    "argparse": {"cli", "headless", "verbs/"},
    "ctypes": {"child", "keeper"},
    "multiprocessing": set[str](),
    "pexpect": {"answerer"},
    "psutil": {"census"},
    "pty": set[str](),
    "pydantic": {"kinds", "settings", "config"},
    "pydantic_core": {"kinds", "settings", "config"},
    "re2": {"matcher"},
    "subprocess": {"child", "keeper"},
    "urwid": {"tui/"},
    "yaml": {"document"},
}
# What starts or signals a process, as it is written or as it is imported.
DEADLY = re.compile(
    r"os\.(fork|forkpty|kill|killpg|popen|system|posix_spawnp?|(exec|spawn)[lv]p?e?)"
    r"|signal\.(pidfd_send_signal|pthread_kill|raise_signal)|asyncio\.create_subprocess_\w+"
)
CUPBOARD = re.compile("base|common|core|helpers?|manager|misc|service|shared|tools?|utils?")

_FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor.rooms}


def faults(files: Mapping[str, str]) -> list[str]:
    """What is wrong with a tree: path → source, such as `zap/launch/local.py`."""
    modules = {_module(path): path for path in files}
    said: list[str] = []
    graph: dict[str, Set[str]] = {}
    for module, path in modules.items():
        room = _room(module)
        if any(map(CUPBOARD.fullmatch, module.split("."))):
            said.append(f"{path}: a cupboard is no room: say what is in it")
        if room not in _FLOOR_OF:
            said.append(f"{path}: no floor names it")
            continue
        tree = ast.parse(files[path])
        if not ast.get_docstring(tree):
            said.append(f"{path}: the first line does not say what the room is for")
        imported = list(_imports(tree, modules))
        graph[module] = {target for _, target in imported if target in modules} - {module}
        said += [f"{path}:{line}: {fault}" for line, target in imported for fault in _import_faults(room, target)]
        said += [f"{path}:{line}: {fault}" for line, fault in _deeds(room, tree)]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        said.append(f"a circle: {' → '.join(error.args[1])}")
    return said


def draw() -> str:
    """The floors as a house, the roof above."""
    lines = [" " * 31 + "▐▌", " " * 10 + "╱" + "─" * 20 + "▐▌" + "─" * 20 + "╲"]
    for number, floor in reversed(list(enumerate(FLOORS))):
        rows = [f"   │{row:^56}│" for row in _rows(floor.rooms, 54)]
        if number == len(FLOORS) - 1:
            rows = [f"      ╱{row:^50}╲   " for row in _rows(floor.rooms, 48)]
        rows[0] += f"   {number} {floor.name}: {floor.about}"
        lines += rows
        if number == len(FLOORS) - 1:
            lines.append("   ┌──┴" + "─" * 50 + "┴──┐")
        elif number == WATER_LINE:
            lines.append(" ══╪" + "═" * 56 + "╪══ the water line: below it no fd, pid, file, clock or loop")
        else:
            lines.append(f"   ├{'─' * 56}┤" if number else f"   └{'─' * 56}┘")
    return "\n".join(lines)


def written(readme: str) -> str:
    """The README with the drawing between its marks."""
    before, begin, rest = readme.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    return f"{before}{begin}\n```\n{draw()}\n```\n{end}{after}"


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__" if path.count("/") > 1 else "").replace("/", ".")


def _room(module: str) -> str:
    """`zap.launch.local` is in `launch/`, and so is `zap.launch`."""
    name, _, inner = module.removeprefix(f"{PACKAGE}.").partition(".")
    return f"{name}/" if inner or f"{name}/" in _FLOOR_OF else name


def _imports(tree: ast.Module, modules: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Line and module of every import: those within functions and those for types only as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, f"{PACKAGE}.__init__" if alias.name == PACKAGE else alias.name
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                name = f"{source}.{alias.name}"
                known = name in modules or (source == PACKAGE and _room(name) in _FLOOR_OF)
                yield node.lineno, name if known else f"{PACKAGE}.__init__" if source == PACKAGE else source


def _import_faults(room: str, target: str) -> Iterator[str]:
    top, floor = target.partition(".")[0], _FLOOR_OF[room]
    if not top:
        yield "an import that does not begin with zap"
    elif top == PACKAGE:
        other = _room(target)
        above = _FLOOR_OF.get(other, floor)
        is_same = other == room or other in BUILT_ON.get(room, ()) or (floor == 0 and above == 0)
        if above > floor:
            yield f"{room} imports {other}, which is above it"
        elif above == floor and not is_same:
            yield f"{room} imports {other}, which is its neighbour"
    elif top == "importlib":
        yield "an import that nobody can see"
    elif floor < WATER_LINE and TOUCHING.fullmatch(top):
        yield f"{room} imports {top} below the water line"
    elif room not in ONLY.get(top, {room}):
        yield f"{room} imports {top}, which is for {_list(ONLY[top])}"


def _deeds(room: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="print")) if room not in ONLY["argparse"]:
                yield node.lineno, f"print is for {_list(ONLY['argparse'])}"
            case ast.Call(func=ast.Name(id="open" | "input")) if _FLOOR_OF[room] < WATER_LINE:
                yield node.lineno, "a file is touched below the water line"
            case ast.Call(func=ast.Name(id="__import__")):
                yield node.lineno, "an import that nobody can see"
            case ast.Attribute(value=ast.Name(id=module), attr=name) if DEADLY.fullmatch(f"{module}.{name}"):
                if room not in ONLY["subprocess"]:
                    yield node.lineno, f"{module}.{name} is for {_list(ONLY['subprocess'])}"
            case ast.ImportFrom(module=str(module), names=names) if room not in ONLY["subprocess"]:
                for alias in names:
                    if DEADLY.fullmatch(f"{module}.{alias.name}"):
                        yield node.lineno, f"{module}.{alias.name} is for {_list(ONLY['subprocess'])}"


def _list(rooms: Set[str]) -> str:
    return " and ".join(sorted(rooms)) or "nobody"


def _rows(rooms: tuple[str, ...], width: int) -> list[str]:
    rows = [""]
    for room in rooms:
        if room != "__init__":
            if len(rows[-1]) + len(room) + 2 > width:
                rows.append("")
            rows[-1] += f"  {room}" if rows[-1] else room
    return rows


def main(arguments: list[str]) -> None:
    readme = ROOT / "README.md"
    if arguments == ["--write"]:
        readme.write_text(written(readme.read_text()))
    else:
        print(draw())


if __name__ == "__main__":
    main(sys.argv[1:])
