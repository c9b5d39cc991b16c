"""The verbs of scripts, as scripts run them: the real program against a real runner."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.programs import IGNORES_TERM, SETSID_ESCAPES
from tests.terminal import Terminal
from tests.zap import DEADLINE, Zap, is_alive, wait_until
from zap.events import Degraded, Event
from zap.verbs import history
from zap.wire import event_to_plain

# A runner that nobody changes: its jobs have said what they say, and are as they will be.
PLAN = r"""
systems:
  web:
    api:
      - cd /; echo one; echo two >&2
      - "echo 'three: error 42'; exec sleep 1000"
    colours:
      - printf '\033[31mred\033[0m \033]0;title\007\033[2Jtext\n'; exec sleep 1000
  batch:
    jobs:
      good: echo finished
      broken:
        - echo fine
        - echo "no such region" >&2; exit 3
      chatty:
        commands: [seq 500]
        tty: false
        buffer: {lines: 100}
      "hostile":
        - "printf 'A\\n'; exit 4  # \e[2J\e]0;title\a\x9b2J\u202e"
  tools:
    jobs:
      manual: {commands: exec sleep 1000, start: false}
      seed: {commands: echo seeded, start: false}
  more:
    start: false
    jobs: {api: exec sleep 1000}
  ears: {ear: exec cat}
"""
AT_REST = ("batch/good", "batch/broken", "batch/chatty", "batch/hostile")


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zap]:
    zap = Zap(tmp_path_factory.mktemp("still"))
    zap.write(PLAN)
    with zap.serve():
        zap.run("wait", "web", "--for", "ready")
        for job in AT_REST:
            zap.run("wait", job, "--for", "exit")
        wait_until(
            lambda: "title" not in said(zap, "logs", "web") and "text" in said(zap, "logs", "web"), "the colours"
        )
        yield zap


def said(zap: Zap, *arguments: str, code: int = 0) -> str:
    """Standard output of a verb that ends so, and has nothing to complain of."""
    done = zap.run(*arguments)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def told(zap: Zap, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(zap, *arguments, "--json", code=code).splitlines()]


def refused(zap: Zap, *arguments: str, code: int = 2) -> str:
    """Standard error of a verb that ends so, and prints nothing."""
    done = zap.run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


def shell(zap: Zap, *argv: str) -> str:
    done = subprocess.run(argv, cwd=zap.folder, env=zap.env, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stderr == ""
    return done.stdout


# What holds for all.

ALL = {
    "ps": [],
    "logs": [],
    "events": [],
    "start": ["web"],
    "stop": ["web"],
    "restart": ["web"],
    "wait": ["web"],
    "signal": ["HUP", "web"],
    "pause": ["web"],
    "resume": ["web"],
    "upgrade": [],
    "send": ["ear", "text"],
    "fix": ["web/api"],
    "why": [],
    "tree": [],
}


@pytest.mark.parametrize("verb", [*ALL, "completion"])
def test_every_verb_helps_and_tells_its_exit_codes(zap: Zap, verb: str) -> None:
    helped = said(zap, verb, "--help")
    assert helped.startswith(f"usage: zap {verb}")
    assert "exit codes: 0 " in helped or verb == "completion"


@pytest.mark.parametrize("verb", ALL)
def test_without_a_runner_every_verb_says_so_with_a_code_of_its_own(zap: Zap, verb: str) -> None:
    path = zap.write(PLAN)
    assert refused(zap, verb, *ALL[verb], code=3) == f"no runner of {path} is there; `zap up` starts one\n"


@pytest.mark.parametrize("verb", ALL)
def test_every_verb_is_about_the_plan_that_is_named(still: Zap, zap: Zap, verb: str) -> None:
    named = str(zap.write(PLAN, "other.yaml"))
    assert named in refused(still, verb, *ALL[verb], "--file", named, code=3)
    assert named in refused(still, "-f", named, verb, *ALL[verb], code=3)


@pytest.mark.parametrize("verb", ["ps", "logs", "start", "stop", "restart", "pause", "resume", "wait", "why", "tree"])
def test_an_unknown_name_is_told_with_a_near_one(still: Zap, verb: str) -> None:
    assert refused(still, verb, "bach") == "no system or job is called bach — did you mean batch?\n"
    assert refused(still, verb, "web", "api") == "more than one job is called api: more/api, web/api\n"


DEAR = ["asyncio", "yaml", "pydantic", "re2", "psutil", "urwid", "pexpect", "shtab", "subprocess", "difflib"]


CHANGING = ("stop", "restart", "signal", "pause", "upgrade")


@pytest.mark.parametrize("verb", [*(verb for verb in ALL if verb not in CHANGING), "names"])
def test_no_verb_waits_for_imports_that_it_does_not_need(still: Zap, verb: str) -> None:
    arguments = [verb, *ALL.get(verb, []), *(["--no-wait"] if verb == "start" else [])]
    program = f"import sys\nfrom zap.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
    program += f"print('dear:', *(name for name in {DEAR} if name in sys.modules))"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=still.folder, env=still.env, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout.splitlines()[-1] == "dear:"


def test_ps_needs_not_even_the_words(still: Zap) -> None:
    program = "import sys\nfrom zap.cli import main\ntry: main(['ps', '--color', 'always'])\nexcept SystemExit: pass\n"
    program += "print('words:', *({'zap.plan', 'zap.events', 'zap.wire', 'zap.child', 'shutil'} & set(sys.modules)))"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=still.folder, env=still.env, capture_output=True, text=True, timeout=DEADLINE)
    assert "web/api" in done.stdout
    # A text that is not printable is made so by a room that only knows bytes.
    assert done.stdout.splitlines()[-1] == "words:"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["ps"], ["events", "--all"], ["tree"], ["why"], ["why", "--json"], ["logs"], ["wait", "batch/hostile"]),
        *(["ps", "--json"], ["events", "--json"], ["tree", "--json"], ["logs", "--json"]),
    ],
)
def test_what_jobs_say_of_themselves_cannot_drive_the_terminal(still: Zap, arguments: list[str]) -> None:
    done = still.run(*arguments)
    assert "hostile" in done.stdout + done.stderr
    assert not set(done.stdout + done.stderr) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_a_pipe_that_is_closed_is_no_bug(still: Zap) -> None:
    line = f"{sys.executable} -m zap logs batch/chatty --json | head -1; echo ${{PIPESTATUS[0]}}"
    assert shell(still, "bash", "-c", line).splitlines()[-1] in ("0", "141")


# zap ps


def test_ps_shows_how_every_job_is(still: Zap) -> None:
    head, *rows = said(still, "ps").splitlines()
    assert head.split() == ["JOB", "STATE", "COMMAND", "UPTIME", "RESTARTS", "CPU", "MEMORY", "PID", "WHY"]
    told = {row.split()[0]: row.split() for row in rows}
    assert list(told) == [
        *("web/api", "web/colours", "batch/good", "batch/broken", "batch/chatty", "batch/hostile"),
        *("tools/manual", "tools/seed", "more/api", "ears/ear"),
    ]
    assert told["web/api"][1:4] == ["●", "ready", "2/2"]
    assert told["web/api"][-1].isdecimal()
    assert told["batch/good"][1:] == ["✓", "done", "1/1", "exit", "0"]
    assert " ".join(told["batch/broken"][1:]).startswith("✗ failed 2/2 exit 3 exit 3 at command 2/2 `echo")
    assert told["tools/manual"][1:] == ["○", "stopped"]


def test_columns_stand_below_each_other(still: Zap) -> None:
    lines = said(still, "ps").splitlines()
    assert len({line.index(word) for line, word in zip(lines, ["STATE", "●", "●", "✓", "✗", "✓"], strict=False)}) == 1
    assert not any(line != line.rstrip() for line in lines)


def test_ps_tells_rows_as_they_are(still: Zap) -> None:
    rows = {row["job"]: row for row in told(still, "ps")}
    assert rows["web/api"]["state"] == "ready" and rows["web/api"]["pid"] > 0
    assert 0 < rows["web/api"]["uptime"] < DEADLINE * 10
    assert rows["batch/broken"]["exit"] == {"code": 3} and "uptime" not in rows["batch/broken"]
    assert rows["batch/chatty"]["lines"] == 501  # the last is zap's


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        ("web", "web/api web/colours"),
        ("good web/api", "web/api batch/good"),
        ("tools more", "tools/manual tools/seed more/api"),
    ],
)
def test_names_choose_rows_also_those_that_do_not_start(still: Zap, names: str, jobs: str) -> None:
    assert [row["job"] for row in told(still, "ps", *names.split())] == jobs.split()


def test_colours_are_for_terminals_and_who_asks(still: Zap) -> None:
    assert "\x1b[32m● ready" in said(still, "ps", "--color", "always")
    assert "\x1b" not in said(still, "ps")
    assert "\x1b" not in said(still, "ps", "--color", "never")
    with Terminal([sys.executable, "-m", "zap", "ps"], still.folder, still.env, columns=60) as terminal:
        rows = last_screen(terminal)
    assert rows[1].startswith("web/api") and terminal.screen.buffer[1][rows[1].index("●")].fg == "green"
    assert len(rows) == 11, "a row is as wide as the terminal at the most"


def last_screen(terminal: Terminal) -> list[str]:
    """What a program leaves on its screen."""
    with contextlib.suppress(EOFError):
        terminal.pause(DEADLINE)
    return [row.rstrip() for row in terminal.look() if row.strip()]


# zap logs


def test_lines_come_in_the_order_of_time_behind_their_jobs(still: Zap) -> None:
    lines = said(still, "logs", "web", "good").splitlines()
    assert sorted(lines) == sorted(
        [
            "web/api     │ one",
            "web/api     ┃ two",
            "web/api     │ three: error 42",
            "web/colours │ red text",
            "batch/good  │ finished",
            "batch/good  ┆ ✓ done",
        ]
    )
    times = [line["at"] for line in told(still, "logs") if line["event"] == "line"]
    assert times == sorted(times)


def test_lines_are_told_as_zap_run_tells_them(still: Zap) -> None:
    lines = told(still, "logs", "web/api")
    assert [list(line) for line in lines] == [["at", "event", "job", "line", "stream", "command", "text"]] * 3
    assert ("out", 2, "three: error 42") in {(line["stream"], line["command"], line["text"]) for line in lines}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("batch/chatty -n 3", "499 500 ✓ done"),
        ("batch/chatty -n 2 --stream out", "499 500"),
        ("batch/chatty -n 0", ""),
        ("batch/chatty --since +499", "499 500 ✓ done"),
        ("batch/chatty --since +499 -n 1", "✓ done"),
        ("batch/chatty --since +9999", ""),
        ("batch/chatty --since 0s", ""),
        ("batch/chatty --grep 4[89]0", "480 490"),
        ("batch/broken --stream err", "no such region"),
        ("batch/broken --stream zap", '✗ failed: exit 3 at command 2/2 `echo "no such region" >&2; exit 3`'),
        ("batch/broken --command 1", "fine"),
        ("batch/broken --command 1 --grep region --stream err", None),
        ("web/colours", "red text"),
    ],
)
def test_what_is_wanted_of_the_lines_is_shown(still: Zap, arguments: str, lines: str | None) -> None:
    shown = said(still, "logs", "--no-prefix", *arguments.split(), code=int(lines is None))
    kept = [line for line in shown.splitlines() if "are gone" not in line]
    assert " ".join(kept) == (lines or "")


def test_time_chooses_lines(still: Zap) -> None:
    lines = told(still, "logs", "batch/chatty", "--stream", "out")[1:]
    ended = told(still, "logs", "batch/chatty", "--stream", "zap")[-1]
    assert [line["text"] for line in told(still, "logs", "batch/chatty", "--since", f"@{ended['at']}")] == ["✓ done"]
    assert told(still, "logs", "batch/chatty", "--since", f"@{ended['at'] + 0.001}") == []
    assert told(still, "logs", "batch/chatty", "--since", "1d", "--stream", "out") == lines
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(lines[0]["at"] - 60))
    assert told(still, "logs", "batch/chatty", "--since", day, "--stream", "out") == lines


@pytest.mark.parametrize("when", ["soon", "+x", "@x", "25:00", "2026-13-01", "-5"])
def test_a_time_that_is_none_is_told(still: Zap, when: str) -> None:
    assert "neither a time ago (10m), a time (14:03, 2026-01-31T14:03), nor a line (+120)" in refused(
        still, "logs", f"--since={when}"
    )


def test_lines_that_are_gone_are_said(still: Zap) -> None:
    first = said(still, "logs", "batch/chatty").splitlines()[0]
    assert re.fullmatch(r"batch/chatty ┆ … 401 lines are gone: only the newest are kept", first)
    assert told(still, "logs", "batch/chatty")[0]["event"] == "dropped"
    assert "gone" not in said(still, "logs", "batch/chatty", "-n", "100")


def test_a_pattern_that_is_none_is_told(still: Zap) -> None:
    assert refused(still, "logs", "--grep", "(").startswith("--grep (: not a pattern: missing )")
    assert "look" in refused(still, "logs", "--grep", "(?=x)y")
    assert said(still, "logs", "web", "--grep", "nowhere", code=1) == ""


def test_timestamps_and_colours(still: Zap) -> None:
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} batch/good │ finished", said(still, "logs", "good", "--timestamps").splitlines()[0]
    )
    coloured = said(still, "logs", "web/colours", "--color", "always", "--no-prefix")
    assert coloured == "\x1b[31mred\x1b[0m text\n"
    assert (
        said(still, "logs", "web/colours", "--color", "always")
        == f"\x1b[36mweb/colours\x1b[0m \x1b[2m│\x1b[0m {coloured}"
    )


def test_zap_has_a_log_of_its_own(still: Zap) -> None:
    assert re.match(rf"zap ┆ zap \S+ has opened {still.folder}/jobs.yaml, process \d+\n", said(still, "logs", "zap"))
    assert "has opened" not in said(still, "logs")
    jobs = {line["job"] for line in told(still, "logs", "zap", "batch/good")}
    assert jobs == {"zap", "batch/good"}


def test_following_goes_on_until_the_runner_ends(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            echo: while read line; do echo "got $line"; done
            other: exec sleep 1000
        """)
    with zap.serve() as runner, zap.start("logs", "-f", "s/echo") as following:
        assert following.stdout
        for word in ("one", "two"):
            assert zap.run("send", "echo", word).returncode == 0
            assert following.stdout.readline() == f"s/echo │ {word}\n"  # what the terminal echoes
            assert following.stdout.readline() == f"s/echo │ got {word}\n"
        runner.terminate()
        rest, _ = following.communicate(timeout=DEADLINE)
        assert rest == "s/echo ┆ ■ stopped\n"
        assert following.returncode == 0


def test_a_prompt_is_shown_though_its_line_has_no_end(zap: Zap) -> None:
    zap.write("""\
        systems: {s: {asks: 'printf "name? "; read name; echo "hello $name"; sleep 1000'}}
        """)
    with zap.serve(), zap.start("logs", "-f", "--no-prefix") as following:
        assert following.stdout
        assert following.stdout.readline() == "name? \n"
        zap.run("send", "asks", "you")
        assert [following.stdout.readline() for _ in range(2)] == ["name? you\n", "hello you\n"]
    with zap.serve():
        wait_until(lambda: said(zap, "logs", "--no-prefix") == "name? \n", "the prompt")
        assert told(zap, "logs")[0]["open"] is True


@pytest.mark.parametrize("verb", ["logs", "events"])
def test_following_ends_when_its_reader_has_gone_though_nothing_more_is_said(still: Zap, verb: str) -> None:
    line = f"{sys.executable} -m zap {verb} -f | grep -q web/api; echo ${{PIPESTATUS[@]}}"
    assert shell(still, "bash", "-c", line) == "141 0\n"


def test_following_ends_with_ctrl_c(still: Zap) -> None:
    with still.start("logs", "-f", "web/api") as following:
        assert following.stdout
        assert [following.stdout.readline() for _ in range(3)]
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=DEADLINE) == ("", None)
        assert following.returncode == 130
    assert told(still, "ps", "web/api")[0]["state"] == "ready"


def test_following_a_runner_that_is_killed_tells_so(zap: Zap) -> None:
    zap.write("systems: {s: {j: echo hello}}")
    with zap.serve() as runner, zap.start("logs", "-f") as following:
        assert following.stdout
        assert following.stdout.readline() == "s/j │ hello\n"
        wait_until(lambda: told(zap, "ps")[0]["state"] == "done", "the job to be done")
        killed = zap.runner()
        assert killed
        os.kill(killed, signal.SIGSTOP)  # so that it does not become the next keeper
        runner.kill()
        os.kill(killed, signal.SIGKILL)
        rest, _ = following.communicate(timeout=DEADLINE)
        assert rest.splitlines()[-1] == "the runner is gone"
        assert following.returncode == 3


def test_followers_of_a_flood_are_told_every_line_or_that_it_is_gone(zap: Zap) -> None:
    zap.write("systems: {s: {j: {commands: [read go, seq 300000], buffer: {lines: 1000}}}}")
    with zap.serve(), zap.start("logs", "-f", "--json") as following:
        zap.run("send", "s/j", "go")
        newest = 0
        assert following.stdout
        for line in following.stdout:
            item = json.loads(line)
            newest += item.get("lines", 1)
            assert item.get("line", newest) == newest
            if item.get("text") == "300000":
                break


# zap events


def test_events_are_told_as_far_as_they_have_happened(still: Zap) -> None:
    happened = told(still, "events")
    assert happened[0]["event"] == "opened"
    assert {event["event"] for event in happened} >= {"became", "spawned", "exited", "command_started", "command_ended"}
    assert not {"output", "measured"} & {event["event"] for event in happened}
    assert "output" in {event["event"] for event in told(still, "events", "--all")}
    numbers = [event["n"] for event in happened]
    assert numbers == sorted(numbers)
    assert [event["n"] for event in told(still, "events", "--since", str(numbers[3]))] == numbers[4:]
    assert told(still, "events", "--since", "999999999") == []


def test_events_are_lines_with_a_time_a_number_and_a_job(still: Zap) -> None:
    lines = said(still, "events", "--all").splitlines()
    told = [re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} +(\d+) (\S+)  (.+)", line) for line in lines]
    assert all(told)
    what = {(line[2], line[3]) for line in told if line}
    assert {("batch/broken", "exit 3 after"), ("batch/good", "✓ done"), ("zap", "zap")} <= {
        (job, next((word for word in ("exit 3 after", "✓ done", "zap") if text.startswith(word)), ""))
        for job, text in what
    }
    assert ("batch/broken", "command 1: echo fine") in what


def test_what_may_be_about_a_job_or_about_all_is_told_behind_whom_it_is_about() -> None:
    for job in ("", "web/api"):
        fact = Degraded("the log file", "No space left on device", job)
        line = history.text(event_to_plain(Event(7, 0.0, fact)))
        assert line.partition(" ")[2].strip() == f"7 {job or 'zap'}  ⚠ the log file: No space left on device"


def test_following_events_goes_on_until_the_runner_ends(zap: Zap) -> None:
    zap.write("systems: {s: {j: exec sleep 1000}}")
    with zap.serve() as runner, zap.start("events", "-f", "--json") as following:
        zap.run("signal", "WINCH", "j")
        assert following.stdout
        wanted = iter(["opened", "signalled"])
        want = next(wanted)
        for line in following.stdout:
            if json.loads(line)["event"] == want and (want := next(wanted, "")) == "":
                break
        runner.terminate()
        rest, _ = following.communicate(timeout=DEADLINE)
        assert json.loads(rest.splitlines()[-1])["event"] == "closed"
        assert following.returncode == 0


# zap start, stop, restart, wait


def states(zap: Zap) -> dict[str, str]:
    return {row["job"]: row["state"] for row in told(zap, "ps")}


def test_jobs_are_started_stopped_and_started_again(zap: Zap) -> None:
    zap.write("""\
        systems:
          web: {api: exec sleep 1000, db: exec sleep 1000, seed: {commands: echo seeded, start: false}}
          other: {job: exec sleep 1000}
        """)
    with zap.serve("other"):
        said(zap, "wait", "other")
        assert states(zap) == {"web/api": "stopped", "web/db": "stopped", "web/seed": "stopped", "other/job": "ready"}
        assert said(zap, "start", "web") == "✓ web/api ready\n✓ web/db ready\n"
        assert said(zap, "start", "web/seed") == "✓ web/seed done\n"
        before = {row["job"]: row["pid"] for row in told(zap, "ps")}
        assert [row["job"] for row in told(zap, "restart", "web")] == ["web/api", "web/db"], "seed does not run"
        after = {row["job"]: row["pid"] for row in told(zap, "ps")}
        assert after["other/job"] == before["other/job"]
        assert not {after["web/api"], after["web/db"]} & set(before.values())
        assert said(zap, "stop", "web") == "✓ web/api stopped\n✓ web/db stopped\n✓ web/seed done\n"
        assert not is_alive(after["web/api"])
        assert said(zap, "restart", "--all") == "✓ other/job ready\n"
        assert said(zap, "start", "--all") == "✓ web/api ready\n✓ web/db ready\n✓ other/job ready\n"
        assert said(zap, "stop", "--all", "--no-wait") == ""
        assert said(zap, "wait", "web", "job", "--for", "exit").count("✓") == 4


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_what_is_meant_has_to_be_said(still: Zap, verb: str) -> None:
    assert refused(still, verb) == "name systems or jobs, or say --all\n"
    assert refused(still, verb, "web", "--all") == "name systems or jobs, or say --all: not both\n"


def test_a_start_that_fails_says_why(zap: Zap) -> None:
    zap.write("systems: {s: {j: [echo fine, exit 7]}}")
    with zap.serve():
        done = zap.run("start", "j")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "✗ s/j is failed: exit 7 at command 2/2 `exit 7`\n"
        done = zap.run("start", "j", "--json")
        assert (done.returncode, json.loads(done.stdout)["exit"]) == (1, {"code": 7})


def test_stop_can_be_told_not_to_wait_for_grace(zap: Zap) -> None:
    zap.write(f"systems: {{s: {{j: {{commands: {json.dumps(IGNORES_TERM)}, grace: 1h}}}}}}")
    with zap.serve():
        wait_until(lambda: "ready" in said(zap, "logs"), "the job to ignore TERM")
        done = zap.run("stop", "j", "--timeout", "100ms")
        assert (done.returncode, done.stdout, done.stderr) == (124, "", "… s/j is stopping\n")
        assert said(zap, "stop", "j", "--now") == "✓ s/j stopped\n"


@pytest.mark.parametrize(
    ("name", "what", "code", "complaint"),
    [
        ("good", "ready", 0, ""),
        ("good", "done", 0, ""),
        ("good", "exit", 0, ""),
        ("web/api", "ready", 0, ""),
        ("web/api", "done", 124, "… web/api is ready\n"),
        ("web/api", "exit", 124, "… web/api is ready\n"),
        ("broken", "exit", 0, ""),
        ("broken", "done", 1, '✗ batch/broken is failed: exit 3 at command 2/2 `echo "no such region" >&2; exit 3`\n'),
        ("broken", "ready", 1, '✗ batch/broken is failed: exit 3 at command 2/2 `echo "no such region" >&2; exit 3`\n'),
        ("manual", "ready", 1, "✗ tools/manual is stopped\n"),
        ("manual", "exit", 0, ""),
    ],
)
def test_wait_tells_whether_it_is_so(still: Zap, name: str, what: str, code: int, complaint: str) -> None:
    done = still.run("wait", name, "--for", what, *(["--timeout", "0.1s"] if code == 124 else []))
    assert (done.returncode, done.stderr) == (code, complaint)


def test_a_duration_that_is_none_is_told(still: Zap) -> None:
    assert "soon is not a duration: write seconds, or such as 500ms" in refused(
        still, "wait", "web", "--timeout", "soon"
    )


def test_waiting_ends_when_it_has_become_so(zap: Zap) -> None:
    zap.write("systems: {s: {j: [read go]}}")
    with zap.serve(), zap.start("wait", "j", "--for", "done") as waiting:
        zap.run("send", "j", "go")
        assert waiting.communicate(timeout=DEADLINE) == ("✓ s/j done\n", None)
        assert waiting.returncode == 0


def test_waiting_ends_when_the_runner_does(zap: Zap) -> None:
    zap.write("systems: {s: {j: exec sleep 1000}}")
    argv = [sys.executable, "-m", "zap", "wait", "j", "--for", "done"]
    with zap.serve() as runner, Terminal(argv, zap.folder, zap.env) as terminal:
        terminal.wait(lambda screen: "s · s/j ready 1/1 exec sleep 1000 for" in screen)
        runner.terminate()
        assert last_screen(terminal)[0] in ("✗ s/j is stopped", "the runner has ended")


def test_ctrl_c_leaves_the_jobs_alone_and_the_terminal_clean(zap: Zap) -> None:
    zap.write("systems: {s: {j: {commands: exec sleep 1000, settle: 1h}}}")
    with zap.serve(), Terminal([sys.executable, "-m", "zap", "start", "j"], zap.folder, zap.env) as terminal:
        terminal.wait(lambda screen: re.search(r"\d s · s/j running 1/1 exec sleep 1000 for \d", screen) is not None)
        terminal.write(b"\x03")
        assert last_screen(terminal) in ([], ["^C"])
        assert states(zap) == {"s/j": "running"}


# zap signal, send, fix


def test_signals_are_sent_by_name_and_number(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            j: "trap 'echo hup' HUP; trap 'echo usr' USR1; echo set; while :; do sleep 0.05; done"
            rest: echo done
        """)
    with zap.serve():
        wait_until(lambda: "set" in said(zap, "logs", "j"), "the traps")
        wait_until(lambda: states(zap)["s/rest"] == "done", "the other job to end")
        for number, name in enumerate(("HUP", "SIGHUP", "1", "sighup", "USR1"), 1):
            assert said(zap, "signal", name, "s") == ""
            wait_until(lambda n=number: len(re.findall("hup|usr", said(zap, "logs", "j"))) == n, f"signal {name}")  # type: ignore[misc]
        assert said(zap, "logs", "j").count("usr") == 1
        assert told(zap, "signal", "WINCH", "s/j") == [{"signal": "WINCH", "jobs": ["s/j"]}]
        assert refused(zap, "signal", "HUP", "rest") == "s/rest does not run: there is nobody to signal\n"
        for wrong in ("NOPE", "0", "99", "_", "SIG"):
            assert refused(zap, "signal", wrong, "j") == f"{wrong} is not a signal; `kill -l` lists them\n"


EARS = """
systems:
  s:
    ear: &ear 'while read line; do echo "got $line"; done'
    other: *ear
    rest: echo done
"""


def hears(zap: Zap, job: str, word: str) -> None:
    """Wait until the job has answered a word that it was sent."""
    wait_until(lambda: f"got {word}" in said(zap, "logs", job), f"{job} to hear {word}")


def test_jobs_stand_still_and_go_on(zap: Zap) -> None:
    zap.write(EARS)
    with zap.serve():
        said(zap, "wait", "s", "--for", "ready")
        assert said(zap, "pause", "ear") == "⏸ s/ear paused\n"
        (row,) = told(zap, "ps", "ear")
        assert (row["state"], row["is_paused"]) == ("ready", True)
        assert re.search(r"s/ear +⏸ paused .* by process \d+ of user \d+\n", said(zap, "ps", "ear"))
        why = r"s/ear is paused for .*: by process \d+ of user \d+; `zap resume s/ear` lets it go on\n"
        assert re.fullmatch(why, said(zap, "why"))
        zap.run("send", "ear", "one")
        zap.run("send", "other", "two")
        hears(zap, "other", "two")
        assert "got one" not in said(zap, "logs", "ear")
        assert [(row["job"], row["is_paused"]) for row in told(zap, "resume", "s")] == [
            *(("s/ear", False), ("s/other", False))
        ]
        hears(zap, "ear", "one")
        assert said(zap, "pause", "s") == "⏸ s/ear paused\n⏸ s/other paused\n"
        assert said(zap, "resume", "other", "other") == "▶ s/other ready\n"
        assert said(zap, "stop", "ear") == "✓ s/ear stopped\n"
        lines = said(zap, "logs", "ear", "--stream", "zap", "--no-prefix").splitlines()
        assert lines == ["⏸ paused", "▶ resumed", "⏸ paused", "▶ resumed", "■ stopped"]


def test_who_does_not_live_cannot_be_paused(zap: Zap) -> None:
    zap.write(EARS)
    with zap.serve("rest"):
        said(zap, "wait", "rest", "--for", "done")
        assert refused(zap, "pause", "rest") == "s/rest is done: there is nobody to pause\n"
        assert refused(zap, "resume", "ear") == "s/ear is stopped: there is nobody to resume\n"
        assert refused(zap, "pause", "s") == "nothing of s lives: there is nobody to pause\n"


INSTALLED = """
import os, sys
if "{word}" in sys.orig_argv:
    os.write(2, b"something is missing\\n")
    os._exit(3)
"""


def test_another_runner_goes_on_with_the_jobs(zap: Zap) -> None:
    zap.write(EARS)
    with zap.serve():
        said(zap, "wait", "s", "--for", "ready")
        runner, pids = zap.runner(), {row["job"]: row["pid"] for row in told(zap, "ps")}
        shown = re.fullmatch(r"zap \S+ runs now, process (\d+): it took over after .+\n", said(zap, "upgrade"))
        assert shown and int(shown[1]) == zap.runner() != runner
        assert {row["job"]: row["pid"] for row in told(zap, "ps")} == pids
        zap.run("send", "ear", "one")
        hears(zap, "ear", "one")
        (item,) = told(zap, "upgrade")
        assert item["pid"] == zap.runner() != int(shown[1])
        assert item["version"] == item["before"] and 0 < item["seconds"] < DEADLINE
        assert re.search(r"upgrade all: asked for by process \d+ of user \d+\n", said(zap, "logs", "zap"))


def test_an_upgrade_to_what_cannot_take_over_changes_nothing_and_is_told(zap: Zap) -> None:
    zap.env["PYTHONPATH"] = str(zap.folder / "installed")
    zap.write(EARS)
    with zap.serve():
        before = zap.runner()
        zap.write(INSTALLED.format(word="--rehearse"), "installed/sitecustomize.py")
        why = "the zap that is installed now cannot take over, so nothing was changed: something is missing\n"
        assert refused(zap, "upgrade") == why
        assert zap.runner() == before
        zap.write(INSTALLED.format(word="--tether"), "installed/sitecustomize.py")
        why = refused(zap, "upgrade", code=3)
        assert re.fullmatch(rf"the other runner has ended, and with it everything; {zap.folder}/.*log says why\n", why)
        assert zap.runner() is None


def test_text_is_typed_with_a_newline_or_without(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            j: stty -echo; echo set; while IFS= read -r line; do echo "<$line>"; done
            deaf: {commands: exec sleep 1000, tty: false}
        """)
    with zap.serve():
        wait_until(lambda: "set" in said(zap, "logs", "j"), "the terminal to be quiet")
        assert said(zap, "send", "j", "one") == ""
        assert told(zap, "send", "s/j", "--json", "two\n") == [{"job": "s/j", "letters": 4}]
        said(zap, "send", "j", "-n", "th")
        said(zap, "send", "j", "ree")
        said(zap, "send", "j", "")
        said(zap, "send", "j", "--", "-x ü")
        assert zap.run("send", "j", "-", typed="four\nfive").returncode == 0
        want = ["set", "<one>", "<two>", "<three>", "<>", "<-x", "ü>", "<four>", "<five>"]
        wait_until(lambda: said(zap, "logs", "j", "--no-prefix").split() == want, "what was typed")
        assert refused(zap, "send", "deaf", "x") == "s/deaf has no input, because of its setting `tty: false`\n"
        assert refused(zap, "send", "s", "x") == "s is a system of 2 jobs; name one of them\n"


def test_long_texts_come_in_pieces_and_whole(zap: Zap) -> None:
    text = "".join(f"{number} 𝄞 ü\n" for number in range(25000)).encode()
    zap.write(f"systems: {{s: {{j: 'stty raw -echo; echo set; head -c {len(text)} | cksum'}}}}")
    with zap.serve():
        wait_until(lambda: "set" in said(zap, "logs"), "the terminal to be raw")
        assert zap.run("send", "j", "-", typed=text.decode()).returncode == 0
        said(zap, "wait", "j", "--for", "done")
        summed = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout
        assert summed.decode().strip() in said(zap, "logs")


FIXUP = """\
about: the door is shut
match: [{pattern: 'shut (?P<what>\\S+)'}]
mode: ask
run: [[touch, '{what}'], ['test', '!', '-e', no]]
examples: {matches: ['shut door'], ignores: ['open door']}
"""


def test_a_fixup_that_wants_approval_is_shown_and_run(zap: Zap) -> None:
    zap.write(FIXUP, "fixups/door.yaml")
    zap.write("""\
        fixups: [door]
        systems: {s: {j: 'test -e door || { echo shut door; exit 1; }; exec sleep 1000', other: exec sleep 1000}}
        """)
    with zap.serve():
        done = zap.run("wait", "j", "--for", "ready")
        assert done.stderr.startswith("✗ s/j is failed: exit 1 at command 1/1 ")
        assert done.stderr.endswith("; `zap fix s/j door` may help\n")
        assert said(zap, "fix", "j", "--list") == (
            "🔧 door  ask   the door is shut (none)\n"
            "   wants approval; `zap fix s/j door` would run:\n"
            "     touch door\n     test '!' -e no\n"
        )
        assert told(zap, "fix", "j", "--list")[0]["commands"] == ["touch door", "test '!' -e no"]
        assert "wants approval" in said(zap, "ps", "j")
        lines = said(zap, "fix", "j").splitlines()
        assert lines[:3] == ["🔧 fixup door: the door is shut", "🔧 $ touch door", "🔧 $ test '!' -e no"]
        assert re.fullmatch(r"🔧 fixup door: done after .*", lines[3])
        assert said(zap, "wait", "j") == "✓ s/j ready\n"
        assert refused(zap, "fix", "other") == "no fixup wants approval for s/other; name one of its own: door\n"
        assert refused(zap, "fix", "other", "nope") == "s/other has no fixup nope; it has door\n"


def test_a_fixup_that_fails_says_so(zap: Zap) -> None:
    zap.write(FIXUP, "fixups/door.yaml")
    zap.write("systems: {s: {j: 'echo shut no; exit 1'}}\nfixups: [door]")
    with zap.serve():
        zap.run("wait", "j")
        told_events = [event["event"] for event in told(zap, "fix", "j", code=1)]
        assert told_events == ["matched", "fix_started", "fix_failed"]
        zap.run("wait", "j")
        assert said(zap, "fix", "j", "door", "--no-wait") == ""


# zap tree


def test_the_tree_is_of_real_processes(zap: Zap) -> None:
    zap.write(f"""\
        systems:
          s:
            j: sh -c 'sleep 1000 & exec sleep 2000' && true
            hider: {{commands: {json.dumps(SETSID_ESCAPES + " & exec sleep 3000")}, tty: false}}
            rest: {{commands: echo, start: false}}
        """)
    with zap.serve():
        runner = zap.runner()
        pids = {row["job"]: row["pid"] for row in told(zap, "ps")}
        wait_until(lambda: "sleep 1000" in said(zap, "tree") and "sleep 3000" in said(zap, "tree"), "the sleepers")
        found = {item["job"]: item["processes"] for item in told(zap, "tree")}
        (keeper,) = found["zap"]
        assert [process["pid"] for process in keeper["children"]] == [runner]
        (shell,) = found["s/j"]
        assert (shell["pid"], shell["parent"]) == (pids["s/j"], runner)
        (inner,) = shell["children"]
        assert inner["command"] == "sleep 2000"
        assert [(child["command"], child["parent"], child["children"]) for child in inner["children"]] == [
            ("sleep 1000", inner["pid"], [])
        ]
        assert inner["memory"] > 0 and inner["cpu"] >= 0 and inner["state"] == "S"
        assert found["s/rest"] == []
        text = said(zap, "tree", "s/j", "rest").splitlines()
        assert [line.split()[0] for line in (text[1], text[-1])] == ["s/j", "s/rest"]
        assert text[1].endswith("/bin/sh (1/1 sh -c 'sleep 1000 & exec sleep 2000' && true)")
        assert text[2].endswith("└─ sleep 2000") and text[3].endswith("   └─ sleep 1000")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")
def test_who_left_its_family_is_shown_below_its_job(zap: Zap) -> None:
    zap.write(f"""\
        systems:
          s:
            hider: {{commands: {json.dumps(f"({SETSID_ESCAPES}); exec sleep 3000")}, tty: false}}
            other: exec sleep 1000
        """)
    with zap.serve():
        wait_until(lambda: said(zap, "logs", "hider"), "the hider to hide")
        hidden = int(said(zap, "logs", "hider", "--no-prefix"))
        processes = {item["job"]: item["processes"] for item in told(zap, "tree")}
        assert hidden in [process["pid"] for process in processes["s/hider"]]


# zap completion, zap names

ZAP = f"""#!/bin/sh
exec {sys.executable} -m zap "$@"
"""


@pytest.fixture(scope="module")
def shelled(tmp_path_factory: pytest.TempPathFactory) -> Zap:
    """With a `zap` to be typed, its completions in `zap.bash`, `_zap` and `zap.fish`, and another plan."""
    zap = Zap(tmp_path_factory.mktemp("shelled"))
    zap.write(PLAN)
    said(zap, "run", "--quiet", "--json", "good")  # the plan is kept from now on
    zap.write("systems: {elsewhere: {job: echo}}", "other plan.yaml")
    (zap.folder / "bin").mkdir()
    zap.write(ZAP, "bin/zap").chmod(0o755)
    zap.env["PATH"] = f"{zap.folder}/bin:{zap.env['PATH']}"
    for shell, name in (("bash", "zap.bash"), ("zsh", "_zap"), ("fish", "zap.fish")):
        zap.write(said(zap, "completion", shell), name)
    return zap


TYPED = [
    ("zap sto", {"stop"}),
    ("zap stop we", {"web", "web/api", "web/colours"}),
    ("zap stop web/api bat", {"batch", "batch/good", "batch/broken", "batch/chatty", "batch/hostile"}),
    ("zap logs -f --json web/", {"web/api", "web/colours"}),
    ("zap logs --stream z", {"zap"}),
    ("zap run tools/", {"tools/manual", "tools/seed"}),
    ("zap send ea", {"ears", "ears/ear"}),
    ("zap pause web/api ea", {"ears", "ears/ear"}),
    ("zap resu", {"resume"}),
    ("zap stop chat", {"chatty"}),
    ("zap stop api", set()),  # there are two
    ("zap stop --tim", {"--timeout"}),
    ("zap stop --file 'other plan.yaml' else", {"elsewhere", "elsewhere/job"}),
    ("zap stop -f 'other plan.yaml' else", {"elsewhere", "elsewhere/job"}),
]


@pytest.mark.real("bash")
@pytest.mark.parametrize(("line", "completions"), TYPED)
def test_bash_completes(shelled: Zap, line: str, completions: set[str]) -> None:
    words = shlex.split(line)
    program = f"""
        source zap.bash
        COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
        _shtab_zap 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """
    assert set(shell(shelled, "bash", "--norc", "-c", program).split()) == completions


@pytest.mark.real("bash")
def test_bash_completes_as_a_person_types(shelled: Zap) -> None:
    with Terminal(["bash", "--norc", "--noprofile"], shelled.folder, shelled.env | {"PS1": "> "}) as terminal:
        terminal.write(b"source <(zap completion bash); echo rea''dy\n")
        terminal.wait(lambda screen: "\nready" in screen)
        terminal.write(b"zap stop chat\t")
        terminal.wait(lambda screen: "zap stop chatty" in screen)


@pytest.mark.real("fish")
@pytest.mark.parametrize(("line", "completions"), TYPED)
def test_fish_completes(shelled: Zap, line: str, completions: set[str]) -> None:
    program = f"source zap.fish; complete --do-complete {shlex.quote(line)}"
    found = shell(shelled, "fish", "--no-config", "-c", program).splitlines()
    assert {item.split("\t")[0] for item in found} == completions


@pytest.mark.real("zsh")
@pytest.mark.parametrize(("line", "completions"), [(line, completions) for line, completions in TYPED if completions])
def test_zsh_completes(shelled: Zap, line: str, completions: set[str]) -> None:
    shelled.write("fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=1000; PS1='> '\n", ".zshrc")
    env = shelled.env | {"ZDOTDIR": str(shelled.folder)}
    with Terminal(["zsh", "-i"], shelled.folder, env, columns=80) as terminal:
        terminal.write(b"echo rea''dy\n")
        terminal.wait(lambda screen: "\nready" in screen)
        terminal.write(f"{line}\x04".encode())  # lists what there is
        # One alone is put into the line, where it also does for a list of one.
        terminal.wait(lambda screen: completions <= set(screen.rpartition("> zap")[2].split()))


def test_names_are_had_from_the_files_the_cache_and_the_runner(zap: Zap) -> None:
    zap.write("systems: {web: {api: exec sleep 1000}}")
    assert said(zap, "names") == "web\nweb/api\n", "nothing has run yet"
    said(zap, "run", "--until", "ready")
    assert said(zap, "names", "web/") == "web/api\n"
    with zap.serve():
        zap.write("systems: [")
        assert said(zap, "names", "w") == "web\nweb/api\n", "the files are wrong, but the runner knows"


@pytest.mark.parametrize("text", [None, "systems: [", "systems: {}"])
def test_names_never_complain(zap: Zap, text: str | None) -> None:
    if text:
        zap.write(text)
    assert said(zap, "names", "x") == ""
    assert said(zap, "names", "-f", "nowhere.yaml") == ""


def test_a_shell_that_is_not_known_is_refused(zap: Zap) -> None:
    assert "invalid choice: 'tcsh'" in refused(zap, "completion", "tcsh")


# Why.


def test_why_tells_of_what_is_neither_ready_nor_done_nor_stopped(still: Zap) -> None:
    told = said(still, "why").splitlines()
    assert [line.partition(" is ")[0] for line in told] == ["batch/broken", "batch/hostile"]
    assert re.fullmatch(
        r"batch/broken is failed for [^:]+: exit 3 at command 2/2 `echo \"no such region\" >&2; exit 3`; "
        "last words: no such region",
        told[0],
    )
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", told[1])


def test_why_tells_of_whatever_is_named(still: Zap) -> None:
    told = said(still, "why", "manual", "good").splitlines()
    assert re.fullmatch(r"batch/good is done for [^:]+: every command ended well", told[0])
    assert told[1] == "tools/manual is stopped: nobody has started it, and it starts only by name"
    (item,) = [json.loads(line) for line in said(still, "why", "broken", "--json").splitlines()]
    assert (item["job"], item["state"]) == ("batch/broken", "failed")
    assert item["why"].startswith("batch/broken is failed for ")
    done = still.run("why", "nobody")
    assert done.returncode == 2 and "no system or job is called nobody" in done.stderr


def test_why_says_when_nothing_is_the_matter(zap: Zap) -> None:
    zap.write("systems: {s: {j: 'true'}}")
    with zap.serve():
        zap.run("wait", "j", "--for", "done")
        assert said(zap, "why") == "nothing is the matter: 1 job is ready, done or stopped\n"


def test_why_tells_what_a_job_that_will_not_end_was_sent(zap: Zap) -> None:
    zap.write(f"systems: {{s: {{j: {{commands: {json.dumps(IGNORES_TERM)}, grace: 100s}}}}}}")
    with zap.serve():
        zap.run("wait", "j", "--for", "ready")
        with zap.start("stop", "j"):
            wait_until(lambda: "TERM was sent" in said(zap, "why"), "the signal")
            assert re.fullmatch(
                r"s/j is stopping for [^:]+: TERM was sent, KILL follows in [^,;]+ s\n", said(zap, "why")
            )
            zap.run("down", "--now")  # nobody waits for that grace
