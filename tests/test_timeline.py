"""`zap timeline`, as people run it: the real program, and a journal as runners write it."""

from __future__ import annotations

import calendar
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.terminal import Terminal
from tests.zap import DEADLINE, Zap
from zap import events, journal, paths, wire
from zap.events import Event, Fact, State, Status

PLAN = """
systems:
  web: {api: exec sleep 1000, worker: exec sleep 1000}
  db: {store: exec sleep 1000}
"""
BY = "user 1000, process 4711"
NIGHT = float(calendar.timegm((2026, 3, 4, 2, 59, 58)))

# When, in seconds after NIGHT, what, and what it came from. Numbers are from 1.
STORY: list[tuple[float, Fact, int]] = [
    (-86400.0, events.Opened("/jobs.yaml", 4711, "0.1.0"), 0),
    (-86399.0, events.Requested("start", (), BY), 0),
    (-86399.0, events.Became("db/store", 1, State.STARTING), 2),
    (-86398.75, events.Spawned("db/store", 1, 77), 3),
    (-86398.0, events.Became("db/store", 1, State.READY), 3),
    (-86397.0, events.Became("web/api", 1, State.STARTING), 2),
    (-86396.75, events.Spawned("web/api", 1, 78), 6),
    (-86396.0, events.Became("web/api", 1, State.READY), 6),
    (-30.0, events.Degraded("the journal", "no room"), 0),
    (0.0, events.Exited("db/store", 1, Status(None, "KILL", "memory"), 86398.9), 0),  # 10
    (0.0, events.Became("db/store", 1, State.BACKOFF, "out of memory (killed by KILL)", 1.5), 10),
    (0.5, events.Became("web/api", 1, State.STOPPING, "db/store went down"), 11),
    (0.625, events.Signalled("web/api", 1, "TERM"), 12),
    (0.75, events.Exited("web/worker", 3, Status(1), 5.0), 0),
    (0.875, events.Became("web/worker", 3, State.FAILED, "exit 1"), 14),  # 15
    (1.5, events.Became("db/store", 2, State.STARTING), 11),
    (1.625, events.Spawned("db/store", 2, 79), 16),
    (3.0, events.Became("db/store", 2, State.READY), 16),
    (4.0, events.CommandStarted("web/worker", 3, 1, "true"), 0),
    (100.0, events.Requested("restart", ("web/worker",), BY), 0),  # 20
    (100.125, events.Became("web/worker", 4, State.STARTING), 20),
    (100.25, events.Spawned("web/worker", 4, 80), 21),
    (200.0, events.Slept(3600.0), 0),
    (300.0, events.Closed(), 0),
]


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    zap = Zap(tmp_path)
    zap.env["TZ"] = "UTC"
    zap.write(PLAN)
    return zap


@pytest.fixture
def told(zap: Zap) -> Zap:
    """With the story in its journal."""
    write(zap, [Event(n, NIGHT + at, fact, cause) for n, (at, fact, cause) in enumerate(STORY, 1)])
    return zap


def folder(zap: Zap) -> str:
    return paths.state_folder(zap.env, paths.plan_id(str(zap.folder / "jobs.yaml")))


def write(zap: Zap, happened: Iterable[Event | bytes]) -> None:
    complaints: list[str] = []
    log = journal.Journal(folder(zap), complaints.append, complaints.append)
    for event in happened:
        log.append(event if isinstance(event, bytes) else _line(event))
    log.close()
    assert complaints == []


def _line(event: Event) -> bytes:
    return json.dumps(wire.event_to_plain(event)).encode() + b"\n"


def said(zap: Zap, *arguments: str) -> list[str]:
    """The lines of `zap timeline`, which ends well and has nothing to complain of."""
    done = zap.run("timeline", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def numbers(lines: Iterable[str]) -> list[int]:
    return [int(line.lstrip("▶┃ ").split()[1]) for line in lines if line[0] not in "—…" and len(line.split()) > 2]


def refused(zap: Zap, *arguments: str, code: int = 2) -> str:
    done = zap.run("timeline", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


# What is shown.


def test_one_line_tells_when_who_what_and_what_it_came_from(told: Zap) -> None:
    assert said(told) == [
        "— 2026-03-03, Tuesday —",
        "02:59:58.000      1 zap         zap 0.1.0 opened /jobs.yaml",
        "02:59:59.000      2 zap         start all: asked for by user 1000, process 4711",
        "02:59:59.250      4 db/store    started, process 77  ← 2 start, user 1000, process 4711",
        "03:00:00.000      5 db/store    ready  ← 2 start, user 1000, process 4711",
        "03:00:01.250      7 web/api     started, process 78  ← 2 start, user 1000, process 4711",
        "03:00:02.000      8 web/api     ready  ← 2 start, user 1000, process 4711",
        "— 2026-03-04, Wednesday —",
        "02:59:28.000      9 zap         ⚠ the journal: no room",
        "02:59:58.000     10 db/store    out of memory (killed by KILL) after 23 h 59 min",
        "02:59:58.000     11 db/store    ↺ out of memory (killed by KILL); next start in 1.5 s  ← 10",
        "02:59:58.500     12 web/api     stopping: db/store went down  ← 11",
        "02:59:58.625     13 web/api     was sent TERM  ← 12",
        "02:59:58.750     14 web/worker  exit 1 after 5.0 s",
        "02:59:58.875     15 web/worker  ✗ failed: exit 1  ← 14",
        "02:59:59.625     17 db/store    started, process 79, run 2  ← 11",
        "03:00:01.000     18 db/store    ready  ← 11",
        "03:01:38.000     20 zap         restart web/worker: asked for by user 1000, process 4711",
        "03:01:38.250     22 web/worker  started, process 80, run 4  ← 20 restart, user 1000, process 4711",
        "03:03:18.000     23 zap         the machine was asleep for 1 h 0 min",
        "03:04:58.000     24 zap         zap has ended",
    ]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("web/api", [1, 2, 7, 8, 9, 12, 13, 23, 24]),
        ("worker", [1, 2, 9, 14, 15, 20, 22, 23, 24]),
        ("db", [1, 2, 4, 5, 9, 10, 11, 17, 18, 23, 24]),
        ("api worker", [1, 2, 7, 8, 9, 12, 13, 14, 15, 20, 22, 23, 24]),
    ],
)
def test_of_a_job_what_is_about_it_or_about_all(told: Zap, names: str, shown: list[int]) -> None:
    assert numbers(said(told, *names.split())) == shown


def test_a_job_that_has_left_the_plan_is_known_by_the_journal(told: Zap) -> None:
    told.write("systems: {web: {api: 'true'}}")
    assert 10 in numbers(said(told, "store"))


def test_the_plan_may_be_wrong(told: Zap) -> None:
    told.write("systems: nonsense")
    assert 10 in numbers(said(told, "store"))


def test_a_name_that_nobody_has_is_told_with_a_near_one(told: Zap) -> None:
    assert refused(told, "web/apy") == "no system or job is called web/apy — did you mean web/api?\n"


def test_a_job_of_the_plan_to_which_nothing_has_happened_is_no_mistake(zap: Zap) -> None:
    zap.run("check")
    write(zap, [Event(1, NIGHT, events.Exited("web/api", 1, Status(0), 1.0))])
    zap.run("graph")  # keeps the plan
    expected = "nothing of that is in the journal, which goes back to event 1 of 2026-03-04 02:59:58\n"
    assert refused(zap, "store", code=1) == expected


def test_only_the_newest_are_shown_and_that_there_are_older_ones(told: Zap) -> None:
    lines = said(told, "-n", "2")
    assert lines[0] == "… what is older is left out; -n COUNT or --since WHEN shows more"
    assert numbers(lines) == [23, 24]
    assert numbers(said(told, "-n", "4")) == [20, 22, 23, 24]
    assert numbers(said(told, "-n", "2", "worker")) == [23, 24]
    assert said(told, "-n", "1", "--since", "+20")[-1].split()[1] == "24"
    assert len(numbers(said(told, "-n", "19"))) == 19
    assert not said(told, "-n", "19")[0].startswith("…")


def test_without_more_it_is_bounded(zap: Zap) -> None:
    write(zap, [Event(n, NIGHT, events.Exited("web/api", n, Status(0), 1.0)) for n in range(1, 301)])
    assert numbers(said(zap)) == list(range(201, 301))
    assert numbers(said(zap, "--since", "+1")) == list(range(1, 301))


def test_what_happens_all_the_time_does_not_hide_the_rest(zap: Zap) -> None:
    exited = [Event(n, NIGHT, events.Exited("web/api", n, Status(0), 1.0)) for n in range(1, 11)]
    quiet = [Event(n, NIGHT, events.CommandStarted("web/api", 1, n, "true")) for n in range(11, 2512)]
    write(zap, [*exited, *quiet])
    assert numbers(said(zap, "-n", "3")) == [8, 9, 10]


def test_a_cause_that_is_not_shown_says_who_asked(told: Zap) -> None:
    assert said(told, "--since", "+22")[1].endswith("← 20 restart, user 1000, process 4711")
    assert said(told, "-n", "3")[2].endswith("← 20 restart, user 1000, process 4711")


@pytest.mark.parametrize(
    ("since", "first"), [("2026-03-04", 9), ("2026-03-04T03:00", 18), ("+15", 15), ("@1772593198", 10)]
)
def test_since_a_time_or_an_event(told: Zap, since: str, first: int) -> None:
    assert numbers(said(told, "--since", since))[0] == first


@pytest.mark.parametrize("since", ["1h", "1h30m", f"{time.strftime('%H:%M', time.gmtime(time.time() - 1800))}"])
def test_since_a_while_ago_or_a_time_of_day(zap: Zap, since: str) -> None:
    happened = [(time.time() - ago, events.Exited("web/api", 1, Status(0), 1.0)) for ago in (7200.0, 600.0)]
    write(zap, [Event(n, at, fact) for n, (at, fact) in enumerate(happened, 1)])
    assert numbers(said(zap, "--since", since)) == [2]


def test_an_hour_may_have_one_digit(zap: Zap) -> None:
    assert "neither" not in refused(zap, "--since", "3:00", code=1)
    expected = "3:0 is neither a time ago (10m), a time (3:00, 2026-01-31T14:03), nor an event (+120)"
    assert expected in refused(zap, "--since", "3:0")


@pytest.mark.parametrize("arguments", [["-n", "0"], ["-n", "x"], ["--around", "1", "--since", "1h"], ["--around", "x"]])
def test_what_makes_no_sense_is_told(told: Zap, arguments: list[str]) -> None:
    assert refused(told, *arguments).startswith("usage: zap timeline")


# Around an event, or a time.


def test_around_an_event_are_what_led_to_it_what_came_of_it_and_what_others_did(told: Zap) -> None:
    assert said(told, "--around", "12") == [
        "— 2026-03-04, Wednesday —",
        "  02:59:28.000      9 zap         ⚠ the journal: no room",
        "┃ 02:59:58.000     10 db/store    out of memory (killed by KILL) after 23 h 59 min",
        "┃ 02:59:58.000     11 db/store    ↺ out of memory (killed by KILL); next start in 1.5 s  ← 10",
        "▶ 02:59:58.500     12 web/api     stopping: db/store went down  ← 11",
        "┃ 02:59:58.625     13 web/api     was sent TERM  ← 12",
        "  02:59:58.750     14 web/worker  exit 1 after 5.0 s",
        "  02:59:58.875     15 web/worker  ✗ failed: exit 1  ← 14",
        "  02:59:59.625     17 db/store    started, process 79, run 2  ← 11",
        "  03:00:01.000     18 db/store    ready  ← 11",
    ]


def test_a_chain_has_also_what_is_not_worth_a_line_otherwise(told: Zap) -> None:
    lines = said(told, "--around", "11", "web/api")
    assert numbers(lines) == [9, 10, 11, 12, 13, 16, 17, 18]
    assert "┃ 02:59:59.500     16 db/store  starting  ← 11" in lines
    assert "┃ 02:59:59.625     17 db/store  started, process 79, run 2  ← 16" in lines


def test_of_others_a_handful_is_shown(zap: Zap) -> None:
    write(zap, [Event(n, NIGHT + n, events.Exited("web/api", n, Status(0), 1.0)) for n in range(1, 101)])
    assert numbers(said(zap, "--around", "50")) == list(range(45, 56))
    assert numbers(said(zap, "--around", "2")) == list(range(1, 8))


def test_what_came_of_it_is_bounded(zap: Zap) -> None:
    write(zap, [Event(n, NIGHT, events.Exited("web/api", n, Status(0), 1.0), int(n > 1)) for n in range(1, 301)])
    lines = said(zap, "--around", "1")
    assert numbers(lines) == list(range(1, 102))
    assert lines[-1] == "… 199 more have come from it; -n COUNT shows more"
    assert numbers(said(zap, "--around", "1", "-n", "5")) == [1, 2, 3, 4, 5, 6]


def test_an_event_that_is_not_there_is_told_with_those_that_are(told: Zap) -> None:
    assert refused(told, "--around", "99") == "event 99 is not in the journal, which has 1 to 24\n"


def test_causes_that_go_round_in_circles_are_none(zap: Zap) -> None:
    fact = events.Exited("web/api", 1, Status(0), 1.0)
    write(zap, [Event(1, NIGHT, fact, 2), Event(2, NIGHT, fact, 1), Event(3, NIGHT, fact, 3)])
    assert numbers(said(zap, "--around", "2")) == [1, 2, 3]


def test_around_a_time_are_what_came_before_and_what_came_after(told: Zap) -> None:
    lines = said(told, "--around", "2026-03-04T03:00", "-n", "4")
    assert lines == [
        "— 2026-03-04, Wednesday —",
        "02:59:58.875     15 web/worker  ✗ failed: exit 1  ← 14",
        "02:59:59.625     17 db/store    started, process 79, run 2  ← 11",
        "▶ 03:00:00.000",
        "03:00:01.000     18 db/store    ready  ← 11",
        "03:01:38.000     20 zap         restart web/worker: asked for by user 1000, process 4711",
    ]
    assert said(told, "--around", "2026-03-05T00:00")[-1] == "▶ 00:00:00.000"


# For programs and for terminals.


def test_json_is_what_the_journal_has(told: Zap) -> None:
    found = [json.loads(line) for line in said(told, "--json")]
    assert found == list(journal.read(folder(told)))
    assert [event["n"] for event in map(json.loads, said(told, "--json", "-n", "2"))] == [23, 24]
    around = [json.loads(line)["n"] for line in said(told, "--json", "--around", "22")]
    assert around == [20, 21, 22]


HOSTILE: Any = {
    "n": 25,
    "at": NIGHT,
    "event": "exited\x1b]0;title\x07",
    "job": "web/\x1b[2Japi",
    "by": "\x9b2J\u202e",
    "jobs": ["web/\x1b[31m", 7, None],
}


@pytest.mark.parametrize(
    "arguments", [[], ["--json"], ["--around", "25"], ["web/api"], ["web/nobody"], ["-n", "9", "--color", "never"]]
)
def test_nothing_in_the_journal_drives_the_terminal(told: Zap, arguments: list[str]) -> None:
    requested = wire.event_to_plain(
        Event(26, NIGHT, events.Requested("start\x1b[2J", ("a\x07b",), "\x1b]0;x\x07\u202e"))
    )
    caused = wire.event_to_plain(Event(27, NIGHT, events.Became("web/api", 1, State.FAILED, "\x1b[2J\x9b"), 26))
    write(told, [json.dumps(event).encode() + b"\n" for event in (HOSTILE, requested, caused)])
    done = told.run("timeline", *arguments)
    assert done.stdout + done.stderr
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\x9b", "\u202e"}


STRANGE: list[dict[str, Any]] = [
    {"event": "shaved_yak", "job": "web/api", "cause": 24},
    {"event": "exited", "job": "web/api", "epoch": 1},
    {"event": "exited", "job": "web/api", "epoch": 1, "status": {"code": 1}, "seconds": 1.0, "mood": "bad"},
    {"event": "exited", "job": "web/api", "epoch": 1, "status": {"code": 1}, "seconds": float("inf")},
    {"event": "became", "job": "web/api", "epoch": 1, "state": "ascended"},
    {"event": "became", "job": ["web/api"], "cause": "24", "jobs": "web"},
    {"event": "", "job": None, "cause": -1},
    {"event": "requested", "job": "web/api", "jobs": 7},
]


@pytest.mark.parametrize("strange", STRANGE)
def test_what_another_zap_has_written_is_shown_by_its_name(told: Zap, strange: dict[str, Any]) -> None:
    write(told, [json.dumps({"n": 25, "at": NIGHT} | strange).encode() + b"\n"])
    name = strange["event"].replace("_", " ")
    assert said(told)[-1].split("  ←")[0].rstrip().endswith(f"25 {_name(strange):<10}  {name}".rstrip())
    assert numbers(said(told, "--around", "25"))
    assert 25 in numbers(said(told, "web/api")) or strange.get("job") != "web/api"


def _name(event: dict[str, Any]) -> str:
    return event["job"] if isinstance(event["job"], str) else "zap"


def test_lines_that_are_no_events_do_no_harm(told: Zap) -> None:
    write(told, [b"foreign\n", b"\xff\x00\n"])
    with open(journal.files(folder(told))[0], "ab") as file:
        file.write(b'{"n": 26, "at"')
    assert numbers(said(told))[-1] == 24


def test_colours_are_for_terminals_and_who_asks(told: Zap) -> None:
    coloured = said(told, "--color", "always")
    assert any("\x1b[31m✗ failed: exit 1\x1b[0m" in line for line in coloured)
    assert any("\x1b[31m⚠ the journal: no room\x1b[0m" in line for line in coloured)
    around = said(told, "--color", "always", "--around", "12")
    assert any("\x1b[2m✗ failed: exit 1\x1b[0m" in line for line in around), "what is not of the chain is faint"
    assert "\x1b" not in "".join(said(told))
    with Terminal([sys.executable, "-m", "zap", "timeline", "worker"], told.folder, told.env, columns=100) as terminal:
        terminal.wait(lambda screen: "zap has ended" in screen)
        row = next(number for number, text in enumerate(terminal.look()) if "✗ failed" in text)
        column = terminal.look()[row].index("✗")
        assert terminal.screen.buffer[row][column].fg == "red"


# Journals that are not there.


def test_without_a_journal_it_says_where_it_would_be(zap: Zap) -> None:
    where = journal.files(folder(zap))[0]
    plan = zap.folder / "jobs.yaml"
    expected = f"nothing is in the journal of {plan} yet; `zap up` starts a runner, which writes it to {where}\n"
    assert refused(zap, code=1) == expected
    assert refused(zap, "web/api", "--json", code=1) == expected
    write(zap, [])
    assert Path(where).exists()
    assert refused(zap, "--around", "7", code=1) == expected


def test_a_journal_that_cannot_be_read_is_told(zap: Zap) -> None:
    where = Path(journal.files(folder(zap))[0])
    where.parent.mkdir(parents=True)
    where.symlink_to("/etc/hostname")
    assert refused(zap).startswith(f"{where}: ")


def test_a_part_that_cannot_be_read_is_told_and_the_rest_shown(told: Zap) -> None:
    part = Path(journal.files(folder(told))[1])
    os.mkfifo(part)
    done = told.run("timeline")
    assert done.returncode == 0
    assert done.stderr == f"{part}: it is not a file\n"
    assert numbers(done.stdout.splitlines())[-1] == 24


def test_each_plan_has_its_own(told: Zap) -> None:
    other = told.write(PLAN, "other.yaml")
    assert "nothing is in the journal" in refused(told, "-f", str(other), code=1)


def test_it_does_not_wait_for_imports_that_it_does_not_need(told: Zap) -> None:
    dear = ["asyncio", "yaml", "pydantic", "re2", "psutil", "urwid", "subprocess", "difflib"]
    program = "import sys\nfrom zap.cli import main\ntry: main(['timeline', 'api'])\nexcept SystemExit: pass\n"
    program += f"print('dear:', *(name for name in {dear} if name in sys.modules))"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=told.folder, env=told.env, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout.splitlines()[-1] == "dear:"
