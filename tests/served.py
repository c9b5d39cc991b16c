"""A runner in a process of its own, and whoever talks to it in whatever manner."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.torture.survivors import kill_all
from tests.zap import DEADLINE, Zap, wait_until, working_in
from zap import address, dial, paths

IDLE = """
systems:
  s:
    j: exec sleep 1000
"""


def own_zap(folder: Path) -> Zap:
    """With a runtime folder of its own, so that no test meets another's runner."""
    zap = Zap(folder)
    zap.env["XDG_RUNTIME_DIR"] = str(folder)
    return zap


def place(zap: Zap, path: Path) -> str:
    """The folder where the runner of this plan is found."""
    return paths.runtime_folder(zap.env, paths.plan_id(str(path)))


def reach(zap: Zap) -> dial.Line:
    """The runner of the zap's plan."""
    line = dial.reach(place(zap, zap.folder / "jobs.yaml"))
    assert line
    return line


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def end_all(folder: Path) -> dict[int, str]:
    """Who has lived on in the folder, or below, and is ended now: what goes to the background is nobody's child."""
    left = working_in(folder)
    kill_all(folder)
    return left


class Served:
    """A `zap serve` of a plan."""

    def __init__(self, zap: Zap, process: subprocess.Popen[str], folder: str) -> None:
        self.zap = zap
        self.process = process
        self.folder = folder

    def dial(self) -> dial.Line:
        line = dial.reach(self.folder)
        assert line
        return line

    @property
    def pid(self) -> int:
        """The runner's; `process` is its keeper."""
        (pid,) = children(self.process.pid)
        return pid

    @property
    def memory(self) -> int:
        """Bytes that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def lines(self, job: str) -> int:
        """How many the job has said."""
        with self.dial() as line:
            return next(event.fact.row.lines for event in line.watch() if event.fact.job == job)  # type: ignore[union-attr]

    def log(self) -> list[str]:
        with self.dial() as line:
            return [told.text.decode() for told in line.tail("zap").lines]


@contextmanager
def serving(zap: Zap, plan: str = IDLE, *argv: str) -> Iterator[Served]:
    """From when it answers until it has ended as it should, and has complained of nothing."""
    folder = place(zap, zap.write(plan))
    with zap.start("serve", *argv) as process:
        wait_until(lambda: address.is_claimed(folder) or process.poll() is not None, "the runner")
        served = Served(zap, process, folder)
        served.dial().close()
        yield served
        line = dial.reach(folder)
        if line:
            with line:
                line.ask("close", is_hurried=True)
        said, _ = process.communicate(timeout=DEADLINE)
        assert (process.returncode, said) == (0, "")


class Speaker:
    """A connection that says whatever it is told to, and hears lines as they come."""

    def __init__(self, folder: str) -> None:
        connected = address.connect(folder)
        assert connected
        self.socket: socket.socket = connected
        self.socket.settimeout(DEADLINE)
        self._file = self.socket.makefile("rb")
        self.hello = self.hear()

    def say(self, *calls: object) -> None:
        self.socket.sendall(b"".join(json.dumps(call).encode() + b"\n" for call in calls))

    def hear(self) -> Any:
        """None when the runner has hung up."""
        try:
            line = self._file.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def asks(self, verb: str, **fields: object) -> Any:
        self.say({"id": 1, "verb": verb} | fields)
        return self.hear()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
