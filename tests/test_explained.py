"""`zap why` of a job in every state that there is: tests/explained.txt holds what a person reads, `_` for a time.

`pytest --update-screens` writes it anew; what has changed is then read in the diff.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import Heard, end_all, hearing
from tests.programs import IGNORES_TERM
from tests.zap import Zap, wait_until

EXPLAINED = Path(__file__).parent / "explained.txt"
TIME = re.compile(r"\d+(\.\d+)? (ms|s|min|h)\b( \d+ (s|min)\b)?")
TIMES = re.compile(r", \d+ times,")
COUNT = re.compile(r"\d+(?=/1000)")
STOPPED = re.compile(r"process \d+ was")
BY = re.compile(r"process \d+ of user \d+")

IGNORES_HUP = IGNORES_TERM.replace("TERM", "TERM HUP")
PLAN = f"""
defaults: {{settle: 0, grace: 1h, env: {{PYTHON: {json.dumps(sys.executable)}}}}}
fixups: [asks, hangs, helps-not]
systems:
  waits:
    started: {{commands: never, needs: {{job: starts/hook, for: started}}}}
    ready: {{commands: never, needs: runs/tcp}}
    done: {{commands: never, needs: {{job: up/plain, for: done}}}}
    ended: {{commands: never, needs: {{job: up/plain, for: ended}}}}
    line: {{commands: never, needs: {{job: up/plain, line: 'port [0-9]+'}}}}
    two: {{commands: never, needs: [runs/command, {{job: up/plain, for: done}}]}}
    of-one-that-waits: {{commands: never, needs: two}}
    of-one-in-backoff: {{commands: never, needs: rests/backoff}}
    of-one-that-is-paused: {{commands: never, needs: {{job: up/paused, for: done}}}}
    in-vain: {{commands: never, needs: rests/failed}}
    in-vain-of-one-that-waits: {{commands: never, needs: in-vain}}
    in-vain-of-one-that-is-stopped: {{commands: never, needs: {{job: rests/stopped, for: done}}}}
    in-vain-of-one-that-is-done: {{commands: never, needs: {{job: rests/done, line: 'port [0-9]+'}}}}
  starts:
    hook: {{commands: never, hooks: {{before_start: exec sleep 1000}}}}
  runs:
    settle: {{commands: exec sleep 1000, settle: 1h}}
    exit: {{commands: exec sleep 1000, ready: exit}}
    line: {{commands: ['true', exec sleep 1000], ready: {{line: 'listening on [0-9]+'}}}}
    notify: {{commands: exec "$PYTHON" -S notifies, ready: notify}}
    tcp: {{commands: exec sleep 1000, ready: {{tcp: 127.0.0.1:1, every: 1h}}}}
    http: {{commands: exec sleep 1000, ready: {{http: 'http://127.0.0.1:1/', every: 100ms}}}}
    command: {{commands: exec sleep 1000, ready: {{command: echo not yet; exit 4, every: 100ms}}}}
    file: {{commands: exec sleep 1000, ready: {{file: nowhere, every: 1h}}}}
    in-time: {{commands: exec sleep 1000, ready: {{line: never, within: 1h}}}}
    unasked: {{commands: exec sleep 1000, ready: {{command: exec sleep 1000, timeout: 1h}}}}
  up:
    plain: exec sleep 1000
    says: {{commands: exec "$PYTHON" -S notifies READY, ready: notify}}
    unhealthy:
      commands: exec sleep 1000
      health: {{command: echo it has a fever; exit 1, every: 100ms, fails: 1000}}
    deaf: {{commands: exec sleep 1000, ping: {{after: 100ms, command: exit 1, timeout: 100ms, fails: 1000}}}}
    paused: ['true', exec sleep 1000]
    halted: exec sleep 1000
  ends:
    held: exec sleep 1000
    asked: {{commands: "{IGNORES_TERM}", ready: {{line: ready}}, needs: held}}
    by-keys: {{commands: exec sleep 1000, stop: {{keys: q}}}}
    by-many-signals: {{commands: "{IGNORES_TERM}", ready: {{line: ready}}, stop: [TERM, INT]}}
    by-its-hook: {{commands: exec sleep 1000, hooks: {{before_stop: exec sleep 1000}}}}
    by-its-command: {{commands: exec sleep 1000, stop: {{command: exec sleep 1000}}}}
    clean-up: {{commands: exec sleep 1000, hooks: {{after_stop: exec sleep 1000}}}}
    left-behind: {{commands: ["{IGNORES_HUP} & while ! [ -e go ]; do sleep 0.01; done; exit 3"]}}
    follows: {{commands: "{IGNORES_TERM}", ready: {{line: ready}}, needs: {{job: held, follow: true}}}}
    unwell:
      commands: {IGNORES_TERM}
      ready: {{line: ready}}
      health: {{command: exit 7, every: 100ms, fails: 2}}
  rests:
    fixing: {{commands: echo it hangs; exit 1}}
    backoff:
      commands: echo no luck; exit 3
      restart: on-failure
      backoff: {{first: 1h, most: 1h}}
      settle: 1h
    done: 'true'
    failed: {{commands: ['true', echo no such disk >&2; exit 3], settle: 1h}}
    failed-often: {{commands: exit 4, restart: on-failure, tries: 2, backoff: 0}}
    killed: {{commands: kill -KILL $$}}
    not-there: {{commands: never, cwd: nowhere}}
    unprepared: {{commands: never, hooks: {{before_start: exit 9}}}}
    too-late: {{commands: exec sleep 1000, ready: {{line: never, within: 100ms}}, tries: 1}}
    starved: {{commands: exec sleep 1000, watchdog: 100ms, tries: 1}}
    asks: {{commands: echo it asks; exit 1}}
    not-helped: {{commands: echo it is hopeless; exit 1}}
    skipped: {{commands: never, needs: failed, when-need-fails: skip}}
    stopped-with-its-need:
      commands: exec sleep 1000
      needs: {{job: fails-late, for: started}}
      when-need-fails: stop
    fails-late: while ! [ -e go ]; do sleep 0.01; done; exit 5
    stopped: exec sleep 1000
    never: {{commands: never, start: false}}
"""
NOTIFIES = """
import os, socket, sys, time
mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
mailbox.sendto(b"STATUS=37 of 80\\n" + b"READY=1" * len(sys.argv[1:]), os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
"""
FIXUP = "about: {0}\nmatch: [{{pattern: {0}}}]\nmode: {1}\nrun: [{2}]\nexamples: {{matches: [{0}]}}\n"
FIXUPS = {
    "hangs": FIXUP.format("it hangs", "auto", "exec sleep 1000"),
    "helps-not": FIXUP.format("it is hopeless", "auto", "exit 6"),
    "asks": FIXUP.format("it asks", "ask", "exit 0"),
}
STATES = {
    "waits": "waiting",
    "starts": "starting",
    "runs": "running",
    "up": "ready",
    "ends": "stopping",
    "rests": "failed",
    "rests/fixing": "fixing",
    "rests/backoff": "backoff",
    "rests/done": "done",
    "rests/skipped": "stopped",
    "rests/stopped": "stopped",
    "rests/stopped-with-its-need": "stopped",
    "rests/never": "stopped",
}
"""What the jobs of a system are to become, but for those that are named."""


NEWS = {
    "waits": "lacks",
    "starts": "hook",
    "runs": "command",
    "runs/notify": "status",
    "runs/tcp": "probed",
    "runs/http": "probed",
    "runs/command": "probed",
    "runs/file": "probed",
    "up": "command",
    "up/says": "status",
    "up/unhealthy": "probed",
    "up/deaf": "probed",
    "up/paused": "is_paused",
    "up/halted": "is_paused",
    "ends": "sent",
    "ends/held": "leavers",
    "ends/by-its-hook": "hook",
    "ends/by-its-command": "hook",
    "ends/clean-up": "hook",
    "rests/fixing": "tasks",
    "rests/asks": "asking",
}
"""What must have been heard of them beside that."""
ENDING = ("held", "asked", "by-keys", "by-many-signals", "by-its-hook", "by-its-command", "clean-up")


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def bring_about(zap: Zap, heard: Heard) -> None:
    """Every state, and what is told of it."""
    up = ("rests/stopped", "rests/stopped-with-its-need", "up/paused", "up/halted")
    for job in (*(f"ends/{name}" for name in (*ENDING, "follows")), *up):
        heard.became(job, "ready")
    wait_until(lambda: heard.rows()["ends/left-behind"]["lines"], "the one that is left behind to ignore TERM")
    (zap.folder / "go").touch()
    assert zap.run("pause", "up/paused").returncode == 0
    os.kill(heard.pids()["up/halted"], signal.SIGSTOP)
    ending = [f"ends/{name}" for name in ENDING]
    assert zap.run("stop", *ending, "rests/stopped", "--no-wait").returncode == 0
    with contextlib.suppress(AssertionError):  # which jobs is told better here
        wait_until(lambda: not wanting(heard.rows()), "every job")
    assert wanting(heard.rows()) == []


def wanting(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Which jobs are not yet as they shall be."""
    return [job for job, row in rows.items() if row["state"] != _of(STATES, job) or not _has_news(job, row)]


def _has_news(job: str, row: dict[str, Any]) -> bool:
    news = _of(NEWS, job)
    is_hopeless = any(lack["is_hopeless"] for lack in row["lacks"])
    is_command_known = row["state"] not in ("running", "ready") or row["command"] == row["commands"]
    return (not news or bool(row[news])) and is_hopeless == job.startswith("waits/in-vain") and is_command_known


def _of(table: dict[str, str], job: str) -> str:
    return table.get(job, table.get(job.partition("/")[0], ""))


def test_why_tells_of_every_state_as_it_did(zap: Zap, request: pytest.FixtureRequest) -> None:
    zap.write(NOTIFIES, "notifies")
    for name, text in FIXUPS.items():
        zap.write(text, f"fixups/{name}.yaml")
    zap.write(PLAN)
    with hearing(zap) as heard:
        try:
            bring_about(zap, heard)
            done = zap.run("why", *(name for name in STATES if "/" not in name))
        finally:
            assert zap.run("down", "--now").returncode == 0
    assert (done.returncode, done.stderr) == (0, "")
    now = COUNT.sub("_", TIMES.sub(",", TIME.sub("_", done.stdout))).replace(str(zap.folder), "…")
    now = STOPPED.sub("process _ was", BY.sub("process _ of user _", now))
    if request.config.getoption("--update-screens"):
        EXPLAINED.write_text(now, encoding="utf-8")
    before = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    assert now.splitlines() == before.splitlines(), f"{EXPLAINED.name}: if this is right, --update-screens"
