"""The real `zap`, run by tests as a person would run it, in a folder and a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zap import dial, paths

DEADLINE = 60.0  # seconds that anything may take on a machine that is busy with something else


class Zap:
    """A folder with a plan. Nothing of the person's own environment reaches it but PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("home", "runtime"):
            (folder / name).mkdir(mode=0o700)
        self.env = {"HOME": str(folder / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.env["XDG_RUNTIME_DIR"] = str(folder / "runtime")

    def write(self, text: str, name: str = "jobs.yaml") -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(text))
        return path

    def run(
        self, *arguments: str, env: dict[str, str] | None = None, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`typed` is its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "zap", *arguments],
            cwd=self.folder,
            env=self.env | (env or {}),
            input=typed,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
        )

    def told(self, *arguments: str) -> tuple[list[dict[str, Any]], int]:
        """What `zap run --json` told, and its exit code."""
        done = self.run("run", "--json", *arguments)
        assert not done.stderr, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()], done.returncode

    def spawn(self, *argv: str) -> subprocess.Popen[str]:
        """A program in the folder, with nothing to read, and all that it says in one pipe."""
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`zap` in the background; whatever happens, it is gone afterwards."""
        process = self.spawn(sys.executable, "-m", "zap", *arguments)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=DEADLINE)
            except (subprocess.TimeoutExpired, ValueError):
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()

    @contextmanager
    def serve(self, *names: str) -> Iterator[subprocess.Popen[str]]:
        """`zap serve` of the plan, from when it answers."""

        def answers() -> bool:
            assert process.poll() is None, f"the runner has ended: {process.communicate()}"
            return self.runner() is not None

        with self.start("serve", *names) as process:
            wait_until(answers, "the runner to answer")
            yield process

    @property
    def place(self) -> str:
        """Where the plan's runner is found."""
        return paths.runtime_folder(self.env, paths.plan_id(str(self.folder / "jobs.yaml")))

    def runner(self) -> int | None:
        """The process of the one in the background that answers."""
        line = dial.dial(self.place)
        if line is None:
            return None
        with line:
            return line.hello.pid

    def end(self) -> None:
        """The runner in the background and its jobs; if it does not heed `zap down`, it is killed."""
        left = self.runner()
        try:
            ended = self.run("down", "--now")
            assert ended.returncode == 0, ended.stderr
            left = None
        finally:
            if left:
                os.kill(left, signal.SIGKILL)

    def wait_file(self, name: str) -> str:
        """The text of a file that a job writes, once it has some that ends with a newline."""
        path = self.folder / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} to be written")
        return path.read_text()


def wait_until(is_so: Callable[[], object], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.01)


def working_in(folder: Path) -> dict[int, str]:
    """Everyone alive in the folder or below, with their commands: who hides may change all but where it works."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                place = Path(os.readlink(process / "cwd"))
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if place.is_relative_to(folder) and is_alive(int(process.name)):
                found[int(process.name)] = command
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def lines(told: list[dict[str, Any]], job: str, stream: str | None = None) -> list[str]:
    return [
        item["text"]
        for item in told
        if item["event"] == "line" and item["job"] == job and not item.get("open") and stream in (None, item["stream"])
    ]


def facts(told: list[dict[str, Any]], event: str, job: str | None = None) -> list[dict[str, Any]]:
    return [item for item in told if item["event"] == event and job in (None, item.get("job"))]
