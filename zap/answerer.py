"""Which question a job is asking: pexpect's patterns, fed by hand with what was read.

pexpect's own way to a child takes 100 ms a spawn and decodes whatever is read; its patterns need neither.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pexpect.expect import Expecter, searcher_re
from pexpect.spawnbase import SpawnBase

from zap import escape
from zap.plan import KIB, Answer

WINDOW = 4 * KIB  # characters of the last output in which a prompt is looked for
LONGEST_SEQUENCE = 4 * KIB  # bytes of an unfinished escape sequence that are waited for


class Answerer:
    """The ears for one child. Each stream is heard by itself, without escape sequences and carriage returns."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = answers
        patterns = [re.compile(answer.prompt, re.MULTILINE) for answer in answers]
        self._ears = {"out": _Ear(patterns), "err": _Ear(patterns)}

    def feed(self, stream: Literal["out", "err"], data: bytes) -> list[Answer]:
        """The answers whose prompts are complete with this data, in the order in which they are asked for."""
        return [self._answers[index] for index in self._ears[stream].feed(data)]


class _Ear:
    """One stream. What pexpect takes for a child holds only what was heard last."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self._heard = SpawnBase(searchwindowsize=WINDOW, encoding="utf-8")
        self._searcher = searcher_re(patterns)
        self._expecter = Expecter(self._heard, self._searcher)
        self._held = b""

    def feed(self, data: bytes) -> Iterator[int]:
        data = self._held + data
        end = escape.complete(data)
        if len(data) - end > LONGEST_SEQUENCE:
            end = len(data)
        self._held = data[end:]
        text = escape.strip(data[:end]).replace(b"\r", b"").decode(errors="replace")
        for at in range(0, len(text), WINDOW // 2):
            index = self._expecter.new_data(text[at : at + WINDOW // 2])
            while index is not None and self._searcher.start < self._searcher.end:
                yield index
                index = self._expecter.existing_data()
            # pexpect keeps everything until a pattern matches.
            self._heard._before = io.StringIO()  # type: ignore[attr-defined]
