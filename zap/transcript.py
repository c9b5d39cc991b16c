"""What one job says: bytes as they are read → lines in its buffer, marks as facts, and calls for fixups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from zap.buffer import Buffer
from zap.fixup import Call, Triage
from zap.mask import Mask
from zap.matcher import Matcher, search
from zap.plan import Fixup, Job
from zap.script import Mark, Reader

Source = Literal["out", "err"]
LONGEST_LINE = 64 * 1024  # bytes of an unfinished line that an errand may hold back


EVERYTHING = 10**9  # lines


class Sign(NamedTuple):
    """A line that means something to somebody, by the pattern that it was known by: told once for each child."""

    pattern: str


Told = Mark | Call | Sign


class Transcript:
    """A job's buffer, and the child that speaks into it. Lines outlive the child; old ones never call again."""

    def __init__(self, job: Job, fixups: Sequence[Fixup]) -> None:
        self.buffer = Buffer(job.buffer)
        self._ears: dict[Source, _Ear] = {}
        self._signs: tuple[str, ...] = ()
        self._awaited: tuple[str, ...] = ()  # the signs that this child has not given yet
        self._matcher = Matcher(())
        self._began = 0  # the last line before this child's
        self.arm(job, fixups)

    def arm(self, job: Job, fixups: Sequence[Fixup]) -> None:
        """From now on these fixups are called for by what is said."""
        self._triage = Triage(fixups, [command.text for command in job.commands])

    def await_signs(self, patterns: Sequence[str]) -> list[Sign]:
        """From now on these lines mean something; those of them that this child has printed already."""
        new = [pattern for pattern in patterns if pattern not in self._signs]
        awaited = [pattern for pattern in patterns if pattern in self._awaited or pattern in new]
        self._signs = tuple(patterns)
        text = b""
        if new and self._ears:
            lines = self.buffer.tail(self._began, EVERYTHING).lines
            text = b"\n".join(line.text for line in lines if line.stream != "zap" and not line.is_open)
        given = [pattern for pattern in new if text and search(pattern, text.decode(errors="replace"))]
        self._await(pattern for pattern in awaited if pattern not in given)
        return [Sign(pattern) for pattern in given]

    def _await(self, patterns: Iterable[str]) -> None:
        self._awaited = tuple(patterns)
        self._matcher = Matcher(self._awaited)

    def begin(self, nonce: str, secrets: Iterable[bytes] = ()) -> None:
        """Another child speaks from here on; what its marks carry is `nonce`, what it must not show are `secrets`."""
        secrets = tuple(secrets)
        self._ears = {"out": _Ear(nonce, secrets), "err": _Ear(nonce, secrets)}
        self._triage.reset()
        self._began = self.buffer.last
        self._await(self._signs)

    @property
    def began(self) -> int:
        """The last line before this child's."""
        return self._began

    @property
    def commands(self) -> tuple[int, int]:
        """To which command the next line of each stream belongs."""
        return (self._ears["out"].command, self._ears["err"].command) if self._ears else (0, 0)

    @property
    def held(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What is neither a line nor a mark yet: of each stream, what its mask holds, and what its reader does."""
        if not self._ears:
            return b"", b"", b"", b""
        out, err = self._ears["out"], self._ears["err"]
        return out.mask.held, out.reader.held, err.mask.held, err.reader.held

    def resume(
        self,
        nonce: str,
        secrets: Iterable[bytes],
        began: int,
        held: Sequence[bytes],
        commands: tuple[int, int],
        said: Iterable[str],
    ) -> None:
        """Go on with a child that another transcript has heard so far; the buffer is as it was left by that.

        `said` are the signs that the child has given.
        """
        self.begin(nonce, secrets)
        self._began = began
        for number, ear in enumerate(self._ears.values()):
            ear.mask.hold(held[2 * number])
            ear.reader.hold(held[2 * number + 1])
            ear.command = commands[number]
        for line in self.buffer.tail(began, EVERYTHING).lines if self._triage.notes else ():
            if line.stream != "zap" and not line.is_open:
                self._triage.read(line.stream, line.text + b"\n", line.number)
        self._await(pattern for pattern in self._signs if pattern not in said)

    def hear(self, source: Source, data: bytes, now: float) -> list[Told]:
        """A chunk as it was read. Of the marks, which come on both streams, those on `out` are told."""
        ear = self._ears[source]
        return self._take(source, ear, ear.reader.feed(ear.mask.feed(data)), now)

    def end(self, now: float) -> list[Told]:
        """The streams end here: what was held back or has no newline is a line now."""
        told: list[Told] = []
        for source, ear in self._ears.items():
            told += self._take(source, ear, [*ear.reader.feed(ear.mask.flush()), ear.reader.flush()], now)
            told += self._finish_line(source, now)
        return told

    def on_exit(self, code: int | None) -> Call | None:
        """The fixup that an exit with this code, after these lines, calls for; None is a death by signal."""
        return self._triage.on_exit(code)

    def _take(self, source: Source, ear: _Ear, pieces: Iterable[bytes | Mark], now: float) -> list[Told]:
        told: list[Told] = []
        for piece in pieces:
            if isinstance(piece, Mark):
                told += self._finish_line(source, now)
                ear.command = piece.number
                if source == "out":
                    told.append(piece if piece.is_end else piece._replace(line=self.buffer.last + 1))
            elif piece:
                told += self._judge(source, *self.buffer.append(piece, now, source, ear.command))
        return told

    def _finish_line(self, source: Source, now: float) -> list[Told]:
        return self._judge(source, *self.buffer.end_line(source, now))

    def _judge(self, source: Source, first: int, lines: bytes) -> list[Told]:
        if not lines:
            return []
        call = self._triage.read(source, lines, first)
        told: list[Told] = [call] if call else []
        if self._awaited:
            hits = {self._awaited[hit.pattern] for hit in self._matcher.scan(lines)}
            if hits:
                told += map(Sign, hits)
                self._await(pattern for pattern in self._awaited if pattern not in hits)
        return told


class _Ear:
    """One stream of the child that speaks now. `command` is the number of the one that it belongs to."""

    __slots__ = ("command", "mask", "reader")

    def __init__(self, nonce: str, secrets: Sequence[bytes]) -> None:
        self.mask = Mask(secrets)
        self.reader = Reader(nonce)
        self.command = 0


class Errand:
    """What something done for a job says (a remedy, a stop command): lines of stream `zap`, which call for nothing."""

    def __init__(self, buffer: Buffer, nonce: str, ended: Iterable[Mark] = (), held: Iterable[bytes] = ()) -> None:
        """With `ended` and `held`, which another errand had, it goes on from there."""
        self._buffer = buffer
        self._readers: dict[Source, Reader] = {"out": Reader(nonce), "err": Reader(nonce)}
        self._open: dict[Source, bytes] = {"out": b"", "err": b""}
        self.ended: list[Mark] = list(ended)
        for number, data in enumerate(held):
            source: Source = "err" if number % 2 else "out"
            if number < 2:
                self._readers[source].hold(data)
            else:
                self._open[source] = data

    @property
    def held(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What may become a mark, of each stream, and then its unfinished line."""
        return self._readers["out"].held, self._readers["err"].held, self._open["out"], self._open["err"]

    def hear(self, source: Source, data: bytes, now: float) -> None:
        for piece in self._readers[source].feed(data):
            if isinstance(piece, Mark):
                if piece.is_end and source == "out":
                    self.ended.append(piece)
                continue
            text = self._open[source] + piece
            end = text.rfind(b"\n") + 1
            if len(text) - end > LONGEST_LINE:
                end = len(text)
            self._open[source] = text[end:]
            self._say(text[:end], now)

    def end(self, now: float) -> None:
        for source in self._open:
            self._say(self._open[source] + self._readers[source].flush(), now)
            self._open[source] = b""

    def _say(self, text: bytes, now: float) -> None:
        if text:
            self._buffer.append(text if text.endswith(b"\n") else text + b"\n", now, "zap", 0)
