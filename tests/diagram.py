"""The machine's diagram, drawn from the table: which input leads from which state to which other.

`python -m tests.diagram --write` draws it into DESIGN.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.test_machine import SETTINGS, walk
from zap.events import State

DESIGN = Path(__file__).parent.parent / "DESIGN.md"
MARKS = ("<!-- machine -->", "<!-- /machine -->")


def draw() -> str:
    """In Mermaid; inputs that leave the state as it is are left out."""
    edges: dict[tuple[State, State], set[str]] = {}
    for setting in SETTINGS.values():
        for place, onward in walk(setting).items():
            for given, reached in onward:
                if place.run.state is not reached.run.state:
                    edges.setdefault((place.run.state, reached.run.state), set()).add(given.__name__)
    order = list(State)
    lines = ["stateDiagram-v2", "    [*] --> stopped"]
    for (source, target), inputs in sorted(edges.items(), key=lambda edge: tuple(map(order.index, edge[0]))):
        lines.append(f"    {source} --> {target}: {', '.join(sorted(inputs))}")
    return "\n".join(lines)


def written(design: str) -> str:
    before, begin, rest = design.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    return f"{before}{begin}\n```mermaid\n{draw()}\n```\n{end}{after}"


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    DESIGN.write_text(written(DESIGN.read_text()))
