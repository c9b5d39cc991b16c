"""What jobs say, as text for a terminal, a pipe or a program: each line behind its job's name, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import NamedTuple

from zap.escape import plain, safe
from zap.events import Line
from zap.wire import line_to_plain

COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)  # of the names; red is for what goes wrong
BARS = {"out": "│", "err": "┃", "zap": "┆"}
BAR_COLOURS = {"│": 2, "┃": 31, "┆": 2}


class Manner(NamedTuple):
    """How lines are told. `clock` makes of a line's time what stands before it."""

    is_json: bool = False
    has_colour: bool = False
    has_names: bool = True
    clock: Callable[[float], str] | None = None


class Scribe:
    """Tells the lines of some jobs. It remembers the prompts that it has told: once ended they are not told again."""

    def __init__(self, jobs: Sequence[str], manner: Manner) -> None:
        self._manner = manner
        width = max(map(len, jobs), default=0) if manner.has_names else 0
        colours = dict(zip(jobs, cycle(COLOURS), strict=False))
        self._prefixes = {
            (job, stream): _prefix(job.ljust(width), bar, colours[job] if manner.has_colour else None)
            for job in jobs
            for stream, bar in BARS.items()
            if manner.has_names
        }
        self._prompts: dict[tuple[str, str], str] = {}  # by job and stream

    def line(self, job: str, line: Line) -> str:
        """A complete line; nothing for one that was told as a prompt and has only been ended since."""
        text = self._text(line)
        if self._prompts.pop((job, line.stream), None) == text and not self._manner.is_json:
            return ""
        return self._format(job, line, text)

    def prompt(self, job: str, line: Line) -> str:
        """A line that stands unfinished: mostly somebody is being asked something. Nothing when it has been told."""
        text = self._text(line)
        if not text.strip() or self._prompts.get((job, line.stream)) == text:
            return ""
        self._prompts[job, line.stream] = text
        return self._format(job, line, text)

    def dropped(self, job: str, lines: int, why: str = "") -> str:
        """That so many lines are gone."""
        if self._manner.is_json:
            return as_json({"event": "dropped", "job": job, "lines": lines})
        return f"{self._prefixes.get((job, 'zap'), '')}… {lines} lines are gone{why}\n"

    def _text(self, line: Line) -> str:
        return safe(line.text) if self._manner.has_colour and not self._manner.is_json else plain(line.text)

    def _format(self, job: str, line: Line, text: str) -> str:
        if self._manner.is_json:
            return as_json(line_to_plain(job, line, text))
        when = (
            f"{_inked(self._manner.clock(line.at), 2 if self._manner.has_colour else None)} "
            if self._manner.clock
            else ""
        )
        return f"{when}{self._prefixes.get((job, line.stream), '')}{text}\n"


def as_json(told: object) -> str:
    """One line."""
    return json.dumps(told, ensure_ascii=False) + "\n"


def _prefix(name: str, bar: str, colour: int | None) -> str:
    return f"{_inked(name, colour)} {_inked(bar, BAR_COLOURS[bar] if colour else None)} "


def _inked(text: str, colour: int | None) -> str:
    return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"
