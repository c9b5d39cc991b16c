"""A runner of a plan, and all that it tells from its first event on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import served
from tests.zap import DEADLINE, Zap
from zap import dial

Told = dict[str, Any]
"""An event, as `zap events --json` tells it."""


class Heard:
    """What a runner has told so far is in `told`; more is heard only while something is waited for."""

    def __init__(self, zap: Zap) -> None:
        self._zap = zap
        self._line = self._dial()
        self._news = self._line.follow(0)
        self.told: list[Told] = []

    def wait(self, event: str, job: str | None = None, *, after: int = 0, **fields: object) -> Told:
        """The first such event with a number above `after`, whether it has happened or is yet to."""
        wanted = {"event": event} | ({"job": job} if job else {}) | fields

        def is_it(told: Told) -> bool:
            return told["n"] > after and all(told.get(name) == value for name, value in wanted.items())

        found = next(filter(is_it, self.told), None)
        until = time.monotonic() + DEADLINE
        while found is None:
            assert self._line.hears(until - time.monotonic()), f"waited in vain for {wanted}; {self._last()}"
            told = next(self._news, None)
            assert told is not None, f"it has ended before {wanted}; {self._last()}"
            self.told.append(told)
            found = told if is_it(told) else None
        return found

    def became(self, job: str, state: str, after: int = 0) -> int:
        """The number of the event that tells it, once it has come."""
        return int(self.wait("became", job, after=after, state=state)["n"])

    def spawned(self, job: str, epoch: int = 1) -> Told:
        return self.wait("spawned", job, epoch=epoch)

    def so_far(self, event: str, job: str | None = None, after: int = 0) -> list[Told]:
        """All such events that have happened by now."""
        with self._dial() as line:
            newest = next(line.follow())["n"]
        while not self.told or self.told[-1]["n"] < newest:
            self.told.append(next(self._news))
        return [
            told
            for told in self.told
            if told["event"] == event and told["n"] > after and job in (None, told.get("job"))
        ]

    def to_the_end(self) -> list[Told]:
        """All that it told, once it has ended."""
        self.wait("closed")
        return self.told

    def rows(self) -> dict[str, Told]:
        """How every job is."""
        with self._dial() as line:
            told = {}
            for event in line.follow():
                if event["event"] != "restated":
                    break
                told[event["job"]] = event["row"]
            return told

    def states(self) -> dict[str, str]:
        return {job: row["state"] for job, row in self.rows().items()}

    def pids(self) -> dict[str, int]:
        """Of those jobs that live."""
        return {job: row["pid"] for job, row in self.rows().items() if row["pid"]}

    def close(self) -> None:
        self._line.close()

    def _last(self) -> str:
        return f"the last that it told: {self.told[-10:]}"

    def _dial(self) -> dial.Line:
        line = dial.reach(self._zap.place)
        assert line, "no runner is there"
        return line


@contextmanager
def hearing(zap: Zap, *names: str) -> Iterator[Heard]:
    """A `zap serve` of the plan. Afterwards it has ended, and so has everybody whom it started."""
    with zap.serve(*names):
        heard = Heard(zap)
        try:
            yield heard
        finally:
            heard.close()


def end_all(folder: Path) -> None:
    """Whoever lives in the folder is killed, also where a test has failed; nobody should have."""
    assert not served.end_all(folder)


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
