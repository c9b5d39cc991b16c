"""What zap says in a job's output: one line for each thing that a person wants to know, as a person would say it."""

from __future__ import annotations

from typing import get_args

import pytest

from zap import events
from zap.events import Fact, State, Status
from zap.plan import Need
from zap.remarks import doing, headline, remark, seconds, told

J = "web/api"

SAID: list[tuple[Fact, str | None]] = [
    (events.Spawned(J, 1, 77), None),
    (events.Spawned(J, 2, 77), "↺ restart: run 2"),
    (
        events.NotSpawned(J, 1, "folder /x: No such file or directory"),
        "✗ cannot start: folder /x: No such file or directory",
    ),
    (events.Became(J, 1, State.STARTING), None),
    (events.Became(J, 1, State.STOPPING), None),
    (events.Became(J, 1, State.BACKOFF, "exit 1", 1.5), "↺ exit 1; next start in 1.5 s"),
    (events.Became(J, 1, State.FAILED, "exit 1"), "✗ failed: exit 1"),
    (events.Became(J, 1, State.DONE), "✓ done"),
    (events.Became(J, 1, State.STOPPED), "■ stopped"),
    (
        events.Became(J, 1, State.STOPPED, "skipped, because s/db is failed"),
        "■ stopped: skipped, because s/db is failed",
    ),
    (events.Became(J, 0, State.WAITING), None),
    (events.Waits(J, 0, (events.Lack("s/db", "ready"),)), None),
    (events.Probed(J, 1, "ready", False, "tcp localhost:80", "connection refused"), None),
    (
        events.Probed(J, 1, "health", False, "tcp localhost:80", "connection refused", 2, 3),
        "♥ health 2/3 failed: tcp localhost:80: connection refused",
    ),
    (events.Probed(J, 1, "health", True, "tcp localhost:80", "connected"), "♥ health: tcp localhost:80: connected"),
    (events.Probed(J, 1, "ping", False, "send hello", "silence", 1, 3), "♥ ping 1/3 failed: send hello: silence"),
    (events.Notified(J, 1, "loading"), None),
    (events.HookStarted(J, 1, "before_start", "rm x\nls"), "⚑ before_start: rm x …"),
    (events.HookFailed(J, 1, "before_start", "exit 1"), "⚑ before_start failed: exit 1"),
    (
        events.Stormed((J, "s/b"), 5.0),
        "⚠ 2 jobs have failed within 5.0 s: their restarts are spread",
    ),
    (events.Rewired(J, (Need("s/db"), Need("s/b"))), "it needs s/db, s/b from now on"),
    (events.Rewired(J, ()), "it needs nobody from now on"),
    (events.Removed(J), "is not in the plan any more"),
    (events.Reloaded((J,), ("s/b",), (), ("s/c", "s/d")), "added web/api; removed s/b; adapted s/c, s/d"),
    (events.Reloaded(), "nothing has changed"),
    (
        events.NotReloaded("jobs.yaml:1:1: x\njobs.yaml:2:1: y"),
        "✗ the plan has changed, and is not right, so all goes on as before:\njobs.yaml:1:1: x\njobs.yaml:2:1: y",
    ),
    (events.CommandStarted(J, 1, 1, "ls"), None),
    (events.CommandEnded(J, 1, 1, Status(0), 1.0), None),
    (events.Exited(J, 1, Status(0), 1.0), None),
    (events.Signalled(J, 1, "TERM"), None),
    (events.Output(J, 1, 1), None),
    (events.Cleared(J), None),
    (events.Restated(J, events.Row(J, 1)), None),
    (events.Measured((events.Load(J, 1.0, 1, 1),)), None),
    (events.Matched(J, 1, "lock", 3, "a lock"), "🔧 fixup lock: a lock"),
    (
        events.Proposed(J, 1, "lock", 3, ("rm x\nls", "true"), ("deletes-file", "sudo")),
        "🔧 fixup lock wants approval (deletes-file, sudo); with --heal all it would run:\n"
        "🔧   rm x\n🔧   ls\n🔧   true",
    ),
    (
        events.Proposed(J, 1, "lock", 3, ("true",), ("none",)),
        "🔧 fixup lock wants approval (nothing else); with --heal all it would run:\n🔧   true",
    ),
    (events.FixStarted(J, 1, "lock", ("rm x\nls", "true")), "🔧 $ rm x …\n🔧 $ true"),
    (events.FixStarted(J, 1, "lock", ()), None),
    (events.Fixed(J, 1, "lock", 0.0123, True), "🔧 fixup lock: verified after 12 ms"),
    (events.Fixed(J, 1, "lock", 1.0, False), "🔧 fixup lock: done after 1.0 s"),
    (events.FixFailed(J, 1, "lock", "`rm`: exit 1"), "🔧 fixup lock failed: `rm`: exit 1"),
    (events.GaveUp(J, 1, "lock", "used up"), "🔧 fixup lock gave up: used up"),
    (events.Answered(J, 1, "Sure\\?"), "⌨ answered the prompt 'Sure\\\\?'"),
    (
        events.Overloaded(J, "output lines", 30000.0, 20000.0, 3.0, "; be quiet"),
        "⚠ output lines: 30,000 over 20,000/s for 3.0 s; be quiet",
    ),
    (events.Relieved(J, "output lines", 12.4, 20000.0, 3.0), "⚠ output lines: relieved, 12/s"),
    (
        events.Requested("stop", (J, "s/b"), "process 4711 of user 1000"),
        "stop web/api, s/b: asked for by process 4711 of user 1000",
    ),
    (events.Requested("close", (), "signal TERM"), "close all: asked for by signal TERM"),
    (events.Paused(J, 1), "⏸ paused"),
    (events.Paused(J, 1, "process 77 was stopped by a signal"), "⏸ paused: process 77 was stopped by a signal"),
    (events.Resumed(J, 1), "▶ resumed"),
    (events.Degraded("the journal", "No space left on device"), "⚠ the journal: No space left on device"),
    (events.Recovered("the journal"), "⚠ the journal works again"),
    (events.Recovered("the log file", "12 lines are missing", J), "⚠ the log file works again; 12 lines are missing"),
    (events.Jumped(-3600.0), "the clock was set back by 1 h 0 min"),
    (events.Jumped(2.0), "the clock was set forwards by 2.0 s"),
    (events.Slept(125.4), "the machine was asleep for 2 min 5 s"),
    (events.Left((J,), 1), "1 process of web/api, left behind by a runner that is gone: ended"),
    (events.Left((J, "s/b"), 3), "3 processes of web/api, s/b, left behind by a runner that is gone: ended"),
    (
        events.TookOver(4712, "1.0", "the runner before ended by signal 9", 0.3),
        "process 4712 took over after 300 ms: the runner before ended by signal 9; the jobs went on",
    ),
    (events.Opened("/jobs.yaml", 1, "1"), None),
    (events.Skipped(3), None),
    (events.Closed(), None),
]


@pytest.mark.parametrize(("fact", "said"), SAID, ids=lambda item: type(item).__name__)
def test_a_fact_is_said_as_a_person_says_it(fact: Fact, said: str | None) -> None:
    assert remark(fact) == said


def test_every_kind_of_fact_was_thought_of() -> None:
    assert {type(fact) for fact, _ in SAID} == set(get_args(Fact))


TOLD: list[tuple[Fact, str | None]] = [
    (events.Output(J, 1, 1), None),
    (events.CommandStarted(J, 1, 1, "ls"), None),
    (events.Became(J, 1, State.STARTING), None),
    (events.Became(J, 1, State.READY), "ready"),
    (events.Became(J, 1, State.STOPPING, "fixup lock"), "stopping: fixup lock"),
    (events.Became(J, 1, State.FAILED, "exit 1"), "✗ failed: exit 1"),
    (events.Spawned(J, 1, 77), "started, process 77"),
    (events.Spawned(J, 2, 77), "started, process 77, run 2"),
    (events.Exited(J, 1, Status(3), 1.5), "exit 3 after 1.5 s"),
    (events.Signalled(J, 1, "TERM"), "was sent TERM"),
    (events.Exited(J, 1, Status(3), 1.5, is_in_storm=True), None),
    (events.Became(J, 1, State.FAILED, "exit 1", is_in_storm=True), None),
    (events.Became(J, 0, State.WAITING), None),
    (events.Waits(J, 0, (events.Lack("s/db", "ready"), events.Lack("s/b", "done"))), "waits for s/db, s/b"),
    (events.Waits(J, 0, leavers=("s/b",)), "first those end that need it: s/b"),
    (events.Notified(J, 1, "loading"), "told: loading"),
    (events.Probed(J, 1, "ready", False, "tcp localhost:80", "connection refused"), None),
    (events.Signalled(J, 1, events.KEYS), "was sent its keys"),
    (events.Closed(2), "zap has ended; 2 processes could not be ended"),
]


@pytest.mark.parametrize(("fact", "said"), TOLD)
def test_a_log_of_events_is_told_in_one_line_each(fact: Fact, said: str | None) -> None:
    assert told(fact) == said


@pytest.mark.parametrize("fact", [fact for fact, said in SAID if said])
def test_what_is_remarked_is_also_told(fact: Fact) -> None:
    line = told(fact)
    assert line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 ms"),
        (0.0004, "0 ms"),
        (0.5, "500 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (125.4, "2 min 5 s"),
        (3599.6, "1 h 0 min"),
        (3840, "1 h 4 min"),
        (360000, "100 h 0 min"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(value: float, said: str) -> None:
    assert seconds(value) == said


@pytest.mark.parametrize(
    ("command", "shown"), [("ls", "ls"), ("ls\n", "ls"), ("\n  a\n  b\n", "a …"), ("a\n\nb", "a …"), ("", "")]
)
def test_of_a_command_the_first_line_is_shown(command: str, shown: str) -> None:
    assert headline(command) == shown


def test_what_goes_on_is_told_with_its_command_and_how_long() -> None:
    row = events.Row(J, 2, State.READY, 1, since=88.0, pid=77, command=2, text="npm ci\nls")
    assert doing(row, 100.0) == "web/api ready 2/2 npm ci … for 12.0 s"
    assert doing(row._replace(is_paused=True), 100.0) == "web/api paused 2/2 npm ci … for 12.0 s"
    waiting = events.Row(J, 2, State.WAITING, lacks=(events.Lack("s/db", "ready"), events.Lack("s/b", "done")))
    assert doing(waiting, 100.0) == "web/api waits for s/db, s/b"
