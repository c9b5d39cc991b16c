"""How it is known that a job is ready, and that it stays well: real servers, real probes, and what follows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import end_all, free_port, hearing
from tests.programs import python
from tests.zap import Zap, is_alive, lines, wait_until

GATE = "while ! [ -e go ]; do sleep 0.01; done"
"""Until the test lets it through."""
SLEEPS = "exec sleep 1000"
TCP = """
import os, socket, time
while not os.path.exists("go"): time.sleep(0.01)
server = socket.create_server(("127.0.0.1", PORT))
time.sleep(1000)
"""
HTTP = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS if os.path.exists("go") else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"""
NOTIFIES = """
import os, socket, sys, time
mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def tell(text): mailbox.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
def wait():
    while not os.path.exists("go"): time.sleep(0.01)
"""


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def write(zap: Zap, **jobs: Any) -> None:
    zap.write(json.dumps({"systems": {"s": jobs}}))


def notifies(program: str) -> str:
    return python(f"{NOTIFIES}\n{program}\ntime.sleep(1000)")


def probed(row: dict[str, Any], question: str) -> dict[str, Any] | None:
    return next((answer for answer in row["probed"] if answer["question"] == question), None)


def said(zap: Zap, *arguments: str) -> str:
    done = zap.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# By what sign.

COLOURED = r"printf '\033[32mlisten\033[1ming\033[0m on %s\r\n' 80"


def signs(port: int) -> dict[str, tuple[dict[str, Any], str]]:
    """Jobs that are ready once the gate is open, and what was wrong before that."""
    refused = f"probe `tcp 127.0.0.1:{port}`: connection refused"
    unavailable = f"probe `http http://127.0.0.1:{port}/`: 503 Service Unavailable"
    line = {"line": "^listening on [0-9]+$"}
    tcp, http = (program.replace("PORT", str(port)) for program in (TCP, HTTP))
    address, url = {"tcp": f"127.0.0.1:{port}"}, {"http": f"http://127.0.0.1:{port}/"}
    notifier = notifies("tell('STATUS=loading'); wait(); tell('READY=1\\nSTATUS=serving')")
    command = "[ -e go ] || { echo looking; echo not yet >&2; exit 4; }"
    return {
        "line": ({"commands": f"{GATE}; {COLOURED}; {SLEEPS}", "ready": line}, "when it says `"),
        "line of errors": ({"commands": f"{GATE}; {COLOURED} >&2; {SLEEPS}", "ready": line}, "when it says `"),
        "line in a pipe": ({"commands": f"{GATE}; {COLOURED}; {SLEEPS}", "ready": line, "tty": False}, "it says `"),
        "tcp": ({"commands": python(tcp), "ready": address | {"every": 0.1}}, refused),
        "http": ({"commands": python(http.replace("STATUS", "200")), "ready": url | {"every": 0.1}}, unavailable),
        "http that moves": (
            {"commands": python(http.replace("STATUS", "302")), "ready": url | {"every": 0.1}},
            unavailable,
        ),
        "http status": (
            {"commands": python(http.replace("STATUS", "418")), "ready": url | {"every": 0.1, "status": [200, 418]}},
            unavailable,
        ),
        "command": (
            {"commands": SLEEPS, "ready": {"command": command, "every": 0.1, "passes": 2}},
            "command [ -e go ] || { echo looking; echo not yet >&2; exit 4; }`: not yet",
        ),
        "file": (
            {"commands": f"{GATE}; touch stale; {SLEEPS}", "ready": {"file": "stale", "every": 0.1}},
            "it is there, but was not made or changed since the job was started",
        ),
        "notify": ({"commands": notifier, "ready": "notify"}, "when it tells so; it says: loading"),
    }


@pytest.mark.parametrize("sign", signs(0))
def test_a_job_is_ready_when_the_sign_comes_and_not_before(zap: Zap, sign: str) -> None:
    job, why = signs(free_port())[sign]
    (zap.folder / "stale").touch()
    write(zap, j=job | {"settle": 0})
    with hearing(zap) as heard:
        wait_until(lambda: why in zap.run("why", "j").stdout, f"zap why to tell {why}, not {zap.run('why').stdout}")
        assert heard.states() == {"s/j": "running"}
        assert not [told for told in heard.so_far("became") if told["state"] == "ready"]
        (zap.folder / "go").touch()
        heard.became("s/j", "ready")
        assert heard.rows()["s/j"]["epoch"] == 1
        assert "s/j is ready for" in said(zap, "why", "j")


def test_what_a_probe_that_failed_said_last_is_in_its_row(zap: Zap) -> None:
    command = "[ -e go ] && echo all is well || { echo not yet; exit 4; }"
    write(zap, j={"commands": SLEEPS, "ready": {"command": command, "every": 0.1, "passes": 2}})
    with hearing(zap) as heard:
        heard.wait("probed", "s/j", is_ok=False)
        (row,) = [json.loads(line) for line in said(zap, "ps", "--json").splitlines()]
        answer = probed(row, "ready")
        assert answer and answer["by"] == f"command {command}" and answer["said"] == "not yet"
        assert answer["times"] >= 1 and answer["seconds"] == 0.1 and answer["when"] > row["spawned"]
        (zap.folder / "go").touch()
        passed = heard.wait("probed", "s/j", is_ok=True, times=2)
        assert (passed["said"], passed["most"]) == ("all is well", 2)
        assert heard.became("s/j", "ready") > passed["n"]


def test_what_a_job_tells_of_itself_is_in_its_row_and_goes_with_it(zap: Zap) -> None:
    write(zap, j={"commands": notifies("tell('READY=1\\nSTATUS=37 of 80'); wait(); os._exit(0)"), "ready": "notify"})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        assert heard.wait("notified", "s/j")["status"] == "37 of 80"
        (row,) = [json.loads(line) for line in said(zap, "ps", "--json").splitlines()]
        assert row["status"] == "37 of 80"
        (zap.folder / "go").touch()
        heard.became("s/j", "done")
        assert "37 of 80" not in said(zap, "why", "j")


def test_a_job_that_is_ready_by_its_end_is_never_ready_before(zap: Zap) -> None:
    write(zap, j={"commands": f"{GATE}; exit 0", "ready": "exit", "settle": 0}, up={"commands": SLEEPS, "settle": 0.5})
    with hearing(zap) as heard:
        heard.became("s/up", "ready")  # as the other one would be by now if it had settled
        assert heard.states()["s/j"] == "running"
        assert "it counts as ready when it has ended well" in said(zap, "why", "j")
        (zap.folder / "go").touch()
        heard.became("s/j", "done")
        assert "ready" not in [told["state"] for told in heard.so_far("became", "s/j")]


def test_a_file_that_was_made_at_once_was_not_seen(zap: Zap) -> None:
    """The first jobs are born before the runner is all there, and it took the file for one of another time."""
    write(zap, j={"commands": f"touch sign; {SLEEPS}", "ready": {"file": "sign"}})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")


def test_a_sign_of_the_run_before_does_not_count(zap: Zap) -> None:
    """Neither a line nor a file."""
    once = "[ -e twice ] || {{ {0}; touch twice; while ! [ -e ../go ]; do sleep 0.01; done; exit 3; }}; exec sleep 1000"
    again = {"restart": "on-failure", "backoff": 0.3}
    for name in ("line", "file"):
        (zap.folder / name).mkdir()
    ready = {"file": "file/sign", "every": 0.1}
    write(
        zap,
        line={"commands": once.format("echo up"), "ready": {"line": "^up$"}, "cwd": "line"} | again,
        file={"commands": once.format("touch sign"), "ready": ready, "cwd": "file"} | again,
        later={"commands": SLEEPS, "start": False},
    )
    with hearing(zap) as heard:
        for name in ("s/line", "s/file"):
            heard.became(name, "ready")
        (zap.folder / "go").touch()
        heard.spawned("s/line", 2)
        heard.wait("probed", "s/file", epoch=2, is_ok=False)
        assert zap.run("start", "later").returncode == 0
        assert heard.states() == {"s/line": "running", "s/file": "running", "s/later": "ready"}


# In time.


def test_who_is_not_ready_in_time_is_ended_and_each_time_is_a_try(zap: Zap) -> None:
    ready = {"line": "never", "within": 0.3}
    write(zap, j={"commands": SLEEPS, "ready": ready, "restart": "on-failure", "tries": 2, "backoff": 0})
    told, code = zap.told()
    assert code != 0
    assert [fact["epoch"] for fact in told if fact["event"] == "spawned"] == [1, 2]
    became = [(fact["epoch"], fact["state"]) for fact in told if fact["event"] == "became"]
    assert became == [
        *((1, "starting"), (1, "running"), (1, "stopping"), (1, "backoff")),
        *((2, "starting"), (2, "running"), (2, "stopping"), (2, "failed")),
    ]
    assert told[-1]["jobs"][0]["why"] == "it was not ready within 300 ms; gave up after 2 tries"


def test_who_is_ready_in_time_stays(zap: Zap) -> None:
    job = {"commands": f"echo up; {SLEEPS}", "ready": {"line": "up", "within": 2}}
    write(zap, j=job, later={"commands": SLEEPS, "settle": 2.5})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        heard.became("s/later", "ready")
        assert heard.states() == {"s/j": "ready", "s/later": "ready"}


# Health.


@pytest.mark.parametrize("restart", ["never", "on-failure"])
def test_three_health_probes_that_fail_in_a_row_restart_the_job(zap: Zap, restart: str) -> None:
    health = {"command": "[ ! -e sick ] || { echo it has a fever; exit 1; }", "every": 0.1}
    hooks = {"after_stop": "rm -f sick"}
    write(zap, j={"commands": SLEEPS, "settle": 0, "health": health, "restart": restart, "backoff": 0, "hooks": hooks})
    with hearing(zap) as heard:
        pid = heard.spawned("s/j")["pid"]
        heard.became("s/j", "ready")
        (zap.folder / "sick").touch()
        why = heard.wait("became", "s/j", state="stopping")["why"]
        assert why == f"3 health probes failed, the last one: command {health['command']}: it has a fever"
        heard.became("s/j", "ready", after=heard.spawned("s/j", 2)["n"])
        assert not is_alive(pid)
        assert "♥ health 3/3 failed: " in said(zap, "logs", "j")


def test_health_that_comes_back_is_told_and_nothing_is_restarted(zap: Zap) -> None:
    """The second and the third probe fail; the fourth goes well."""
    command = "echo >>asked; n=$(wc -l <asked); [ $n != 2 -a $n != 3 ] || { echo number $n is bad; exit 1; }"
    write(zap, j={"commands": SLEEPS, "settle": 0, "health": {"command": command, "every": 0.1}})
    with hearing(zap) as heard:
        failed = heard.wait("probed", "s/j", question="health", is_ok=False, times=2)
        assert (failed["said"], failed["most"]) == ("number 3 is bad", 3)
        again = heard.wait("probed", "s/j", after=failed["n"], question="health", is_ok=True)
        assert again["times"] == 1
        wait_until(lambda: (zap.folder / "asked").read_text().count("\n") > 6, "more probes")
        assert heard.so_far("probed", "s/j", after=again["n"]) == [], "what goes well is not told again and again"
        assert heard.rows()["s/j"]["epoch"] == 1
        remarks = [line for line in said(zap, "logs", "j").splitlines() if "♥" in line]
        told = [remark.split("♥ ")[1].partition(":")[0] for remark in remarks]
        assert told == ["health 1/3 failed", "health 2/3 failed", "health"]


def test_a_job_with_trouble_says_so_while_it_is_ready(zap: Zap) -> None:
    health = {"command": "echo it has a fever; exit 1", "every": 0.1, "fails": 1000}
    write(zap, j={"commands": SLEEPS, "settle": 0, "health": health})
    with hearing(zap) as heard:
        heard.wait("probed", "s/j", question="health", is_ok=False)
        (told,) = said(zap, "why").splitlines()
        assert told.startswith("s/j is ready for ")
        assert f"/1000 failed: command {health['command']}: it has a fever" in told


HANGS = "(setsid sh -c 'echo $$ >hidden; exec sleep 1000' &); echo $$ >asked; trap '' TERM; sleep 1000; :"
"""It does not end, and has somebody who has left its family."""


def test_a_probe_that_hangs_is_killed_with_all_that_it_started(zap: Zap) -> None:
    health = {"command": HANGS, "every": 0.1, "timeout": 1, "fails": 1}
    write(zap, j={"commands": SLEEPS, "settle": 0, "health": health, "tries": 1})
    with hearing(zap) as heard:
        pids = [int(zap.wait_file(name)) for name in ("asked", "hidden")]
        assert heard.wait("probed", "s/j", is_ok=False)["said"] == "no answer within 1 s"
        heard.became("s/j", "failed")
        assert not any(map(is_alive, pids))


@pytest.mark.parametrize("question", ["ready", "health", "ping"])
def test_nobody_of_a_probe_outlives_the_job_that_it_asks(zap: Zap, question: str) -> None:
    probe = {"command": HANGS, "timeout": "1h"} | ({"after": 0.1} if question == "ping" else {"every": 0.1})
    write(zap, j={"commands": SLEEPS, "settle": 0, question: probe})
    with hearing(zap):
        pids = [int(zap.wait_file(name)) for name in ("asked", "hidden")]
        assert all(map(is_alive, pids))
        assert zap.run("stop", "j").returncode == 0
        wait_until(lambda: not any(map(is_alive, pids)), "the probe to be gone")


@pytest.mark.parametrize("question", ["ready", "health"])
def test_probes_do_not_overlap(zap: Zap, question: str) -> None:
    """Though each takes longer than it is to the next, and other things end meanwhile."""
    probe = {"command": "echo begin >>log; sleep 0.3; echo end >>log; exit 1", "every": 0.1}
    probe |= {"fails": 1000} if question == "health" else {}
    write(zap, j={"commands": SLEEPS, "settle": 0, question: probe})
    with hearing(zap):
        log = zap.folder / "log"
        wait_until(lambda: log.exists() and log.read_text().count("end") > 3, "four probes")
        told = log.read_text().split()
        assert told == (["begin", "end"] * len(told))[: len(told)]


def test_no_probe_is_asked_of_a_job_that_does_not_live(zap: Zap) -> None:
    health = {"command": "echo $ZAP_EPOCH >>asked", "every": 0.1}
    write(zap, j={"commands": SLEEPS, "settle": 0, "health": health}, up={"commands": SLEEPS, "start": False})
    with hearing(zap, "s/j"):
        zap.wait_file("asked")
        assert zap.run("stop", "j").returncode == 0
        before = (zap.folder / "asked").read_text()
        assert zap.run("start", "up").returncode == 0  # which takes a second
        assert (zap.folder / "asked").read_text() == before
        assert zap.run("start", "j").returncode == 0
        wait_until(lambda: (zap.folder / "asked").read_text().endswith("2\n"), "the second run to be asked")


# Ping.


def test_who_is_silent_and_does_not_answer_is_restarted(zap: Zap) -> None:
    """But nobody is asked who talks."""
    ping = {"after": 0.5, "command": "echo $ZAP_JOB >>asked; echo nobody is in; exit 1", "fails": 2, "timeout": 0.1}
    talks = "while :; do echo talk; sleep 0.05; done"
    jobs = {"silent": {"commands": SLEEPS}, "talks": {"commands": talks}}
    write(zap, **{name: job | {"ping": ping, "settle": 0, "backoff": 0} for name, job in jobs.items()})
    with hearing(zap) as heard:
        why = heard.wait("became", "s/silent", state="stopping")["why"]
        assert why == "2 pings after 500 ms of silence failed, the last one: nobody is in"
        heard.became("s/silent", "ready", after=heard.spawned("s/silent", 2)["n"])
        assert heard.rows()["s/talks"]["epoch"] == 1
        assert set((zap.folder / "asked").read_text().split()) == {"s/silent"}
        assert "♥ ping 2/2 failed: command " in said(zap, "logs", "silent")


def test_a_ping_that_goes_well_restarts_nothing(zap: Zap) -> None:
    write(zap, j={"commands": SLEEPS, "settle": 0, "ping": {"after": 0.1, "command": "echo >>asked", "fails": 1}})
    with hearing(zap) as heard:
        wait_until(lambda: (zap.folder / "asked").exists() and len((zap.folder / "asked").read_text()) > 3, "pings")
        assert heard.rows()["s/j"]["epoch"] == 1
        assert not heard.so_far("probed", "s/j")


@pytest.mark.parametrize("answers", [True, False])
def test_who_is_typed_to_has_to_say_something_beside_the_echo(zap: Zap, answers: bool) -> None:
    """The terminal says again whatever is typed; that is no sign of life."""
    job = "while read line; do echo alive; done" if answers else SLEEPS
    ping = {"after": 0.3, "send": "are you there", "timeout": 1, "fails": 2}
    write(zap, j={"commands": job, "settle": 0, "ping": ping, "backoff": 0})
    with hearing(zap) as heard:
        if answers:
            wait_until(lambda: said(zap, "logs", "j").count("│ alive") > 2, "pings to be answered")
            assert heard.rows()["s/j"]["epoch"] == 1
            assert not heard.so_far("probed", "s/j")
        else:
            why = heard.wait("became", "s/j", state="stopping")["why"]
            assert why == "2 pings after 300 ms of silence failed, the last one: it said nothing within 1.0 s"
            heard.spawned("s/j", 2)
        assert "│ are you there\n" in said(zap, "logs", "j")


def test_who_turned_the_echo_off_is_not_mistaken_for_it(zap: Zap) -> None:
    """Its answer is as long as what was typed."""
    job = "stty -echo; echo set; while read line; do echo 12345; done"
    ping = {"after": 0.3, "send": "1234", "timeout": 0.5, "fails": 1}
    write(zap, j={"commands": job, "ready": {"line": "set"}, "ping": ping})
    with hearing(zap) as heard:
        wait_until(lambda: said(zap, "logs", "j").count("│ 12345") > 2, "pings to be answered")
        assert heard.rows()["s/j"]["epoch"] == 1


# The watchdog.


@pytest.mark.parametrize("restart", ["never", "on-failure"])
def test_a_watchdog_that_starves_restarts_the_job(zap: Zap, restart: str) -> None:
    feeds = notifies("while not os.path.exists('go'): tell('WATCHDOG=1'); time.sleep(0.05)")
    write(zap, j={"commands": feeds, "settle": 0, "watchdog": 2, "restart": restart, "backoff": 0})
    with hearing(zap) as heard:
        begun = heard.spawned("s/j")["at"]
        wait_until(lambda: time.time() > begun + 3, "longer than it lives without food")
        assert heard.rows()["s/j"]["epoch"] == 1
        (zap.folder / "go").touch()
        assert heard.wait("became", "s/j", state="stopping")["why"] == "watchdog: no sign of life for 2.0 s"
        heard.spawned("s/j", 2)


def test_a_job_that_tells_of_trouble_is_restarted_at_once(zap: Zap) -> None:
    troubled = notifies(
        "tell('READY=1'); wait(); os.path.exists('twice') or (open('twice', 'w'), tell('WATCHDOG=trigger'))"
    )
    write(zap, j={"commands": troubled, "ready": "notify", "watchdog": "1h", "backoff": 0})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        (zap.folder / "go").touch()
        assert heard.wait("became", "s/j", state="stopping")["why"] == "watchdog: it has told that it is in trouble"
        heard.became("s/j", "ready", after=heard.spawned("s/j", 2)["n"])


def test_a_job_is_told_how_often_to_feed_and_may_choose_another_time(zap: Zap) -> None:
    chooses = notifies("print(os.environ['WATCHDOG_USEC'], flush=True); tell('WATCHDOG_USEC=300000')")
    write(zap, j={"commands": chooses, "settle": 0, "watchdog": "1h", "tries": 1})
    with hearing(zap) as heard:
        assert heard.wait("became", "s/j", state="stopping")["why"] == "watchdog: no sign of life for 300 ms"
        assert "│ 3600000000\n" in said(zap, "logs", "j")


# Whose socket.

SHOWS = "echo ${NOTIFY_SOCKET-none} ${WATCHDOG_USEC-none} ${WATCHDOG_PID-none}"


def test_what_is_for_zap_is_not_for_its_jobs(zap: Zap) -> None:
    """As where zap is itself a service of systemd; neither for their hooks and probes."""
    hooks = {"before_start": SHOWS, "after_stop": SHOWS}
    zap.env |= {"NOTIFY_SOCKET": "/run/ours", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
    write(
        zap,
        j={
            "commands": f"{SHOWS}; {GATE}",
            "settle": 0,
            "hooks": hooks,
            "health": {"command": f"{SHOWS} >>health; touch go", "every": 0.1},
        },
    )
    told, code = zap.told()
    assert code == 0
    assert lines(told, "s/j", "out") == ["none none none"]
    assert [line for line in lines(told, "s/j", "zap") if "none" in line and "echo" not in line] == [
        "none none none"
    ] * 2
    assert (zap.folder / "health").read_text() == "none none none\n"


def test_each_run_has_a_socket_of_its_own_that_goes_with_it(zap: Zap) -> None:
    shows = notifies("print(os.environ['NOTIFY_SOCKET'], flush=True); tell('READY=1')")
    write(zap, j={"commands": shows, "ready": "notify", "restart": "on-failure", "backoff": 0})
    with hearing(zap) as heard:
        heard.became("s/j", "ready")
        os.kill(heard.pids()["s/j"], signal.SIGKILL)
        heard.became("s/j", "ready", after=heard.spawned("s/j", 2)["n"])
        first, second = (line.split()[-1] for line in said(zap, "logs", "j").splitlines() if "│" in line)
        assert first != second
        assert not Path(first).exists() and Path(second).exists()
        assert zap.run("stop", "j").returncode == 0
        assert not Path(second).exists() and not Path(second).parent.exists()
