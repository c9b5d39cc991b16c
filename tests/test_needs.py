"""Jobs that need others: who waits for whom, in which order they come and go, and what follows when one fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import Heard, end_all, free_port, hearing
from tests.zap import Zap, facts, lines

GATE = "while ! [ -e go ]; do sleep 0.01; done"
"""Until the test lets it through."""


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def write(zap: Zap, **systems: dict[str, Any]) -> None:
    zap.write(json.dumps({"systems": systems}))


def spawned(told: list[dict[str, Any]]) -> list[str]:
    """In which order jobs came up."""
    return [fact["job"] for fact in facts(told, "spawned")]


# Until when.


NEEDED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "started": ({"commands": "exec sleep 1000", "hooks": {"before_start": GATE}, "settle": "1h"}, {"for": "started"}),
    "started and over": ({"commands": GATE, "hooks": {"before_start": GATE}}, {"for": "started"}),
    "ready": ({"commands": f"{GATE}; echo up; exec sleep 1000", "ready": {"line": "^up$"}}, {"for": "ready"}),
    "ready as done is": ({"commands": GATE, "ready": "exit"}, {}),
    "done": ({"commands": GATE}, {"for": "done"}),
    "ended": ({"commands": f"{GATE}; exit 3"}, {"for": "ended"}),
    "a line": ({"commands": f"{GATE}; echo port 80; exec sleep 1000", "settle": "1h"}, {"line": "port [0-9]+"}),
}


STATE = {"ready": "ready", "ready as done is": "done", "done": "done", "ended": "failed"}
"""What the job that is needed must have become."""


@pytest.mark.parametrize("what", NEEDED)
def test_a_job_waits_for_what_it_needs_of_a_job_of_another_system(zap: Zap, what: str) -> None:
    db, need = NEEDED[what]
    write(zap, data={"db": db}, web={"api": {"commands": "exec sleep 1000", "needs": {"job": "data/db", **need}}})
    with hearing(zap) as heard:
        waits = heard.wait("waits", "web/api")
        until = "line" if "line" in need else need.get("for", "ready")
        line = {"line": need["line"]} if "line" in need else {}
        assert waits["lacks"] == [{"job": "data/db", "until": until, **line, "is_hopeless": False}]
        assert heard.states()["web/api"] == "waiting"
        assert not heard.so_far("spawned", "web/api")
        (zap.folder / "go").touch()
        assert heard.spawned("web/api")["n"] > heard.became("data/db", STATE.get(what, "running"))


def test_a_line_that_was_printed_before_anybody_needed_it_counts(zap: Zap) -> None:
    """Who needs it comes later; and after a restart it has to be printed again."""
    once = "[ -e twice ] || echo hello; touch twice; exec sleep 1000"
    needs = {"job": "db", "line": "^hello"}
    write(zap, s={"db": once, "api": {"commands": "exec sleep 1000", "needs": needs, "start": False}})
    with hearing(zap) as heard:
        heard.became("s/db", "ready")
        assert zap.run("start", "s/api").returncode == 0
        assert zap.run("stop", "s/api").returncode == 0
        assert zap.run("restart", "s/db").returncode == 0
        assert zap.run("start", "s/api", "--no-wait").returncode == 0
        heard.became("s/api", "waiting", after=heard.became("s/api", "stopped"))
        assert heard.states() == {"s/db": "ready", "s/api": "waiting"}


def test_optional_needs_are_waited_for_only_while_they_are_on_their_way(zap: Zap) -> None:
    needs = [{"job": name, "optional": True} for name in ("cold", "slow", "broken")]
    jobs = {
        "cold": {"commands": "exec sleep 1000", "start": False},
        "slow": {"commands": f"{GATE}; echo up; exec sleep 1000", "ready": {"line": "up"}},
        "broken": {"commands": "exit 3", "restart": "never"},
        "api": {"commands": "exec sleep 1000", "needs": needs},
    }
    write(zap, s=jobs)
    with hearing(zap) as heard:
        heard.became("s/broken", "failed")
        heard.wait("waits", "s/api", lacks=[{"job": "s/slow", "until": "ready", "is_hopeless": False}])
        (zap.folder / "go").touch()
        assert heard.spawned("s/api")["n"] > heard.became("s/slow", "ready")
        assert not heard.so_far("spawned", "s/cold")


# `zap run`.


@pytest.mark.parametrize("code", [0, 7])
def test_who_is_needed_comes_with_who_is_named_and_goes_when_that_is_done(zap: Zap, code: int) -> None:
    """Its lines are shown as well, and the exit code is that of the job which was named."""
    db = "trap 'echo bye; exit 9' TERM; echo hello; while :; do sleep 0.01; done"
    jobs = {"api": {"commands": [f"echo served; exit {code}"], "needs": {"job": "data/db", "line": "hello"}}}
    write(zap, data={"db": {"commands": [db], "settle": 0}, "other": "true"}, web=jobs)
    told, ended = zap.told("web/api")
    assert ended == code
    assert spawned(told) == ["data/db", "web/api"]
    assert lines(told, "data/db", "out") == ["hello", "bye"]
    assert lines(told, "web/api", "out") == ["served"]
    over = next(fact["n"] for fact in facts(told, "became", "web/api") if fact["state"] in ("done", "failed"))
    assert facts(told, "signalled", "data/db")[0]["n"] > over
    assert {job["job"]: job["outcome"] for job in told[-1]["jobs"]}["data/db"] == "stopped"
    text = zap.run("run", "web/api").stdout
    assert "data/db │ hello\n" in text and f"exit code {code}\n" in text


def test_optional_needs_do_not_come_with_who_is_named(zap: Zap) -> None:
    write(zap, s={"cache": "true", "api": {"commands": "true", "needs": {"job": "cache", "optional": True}}})
    told, code = zap.told("s/api")
    assert (spawned(told), code) == (["s/api"], 0)


def test_until_ready_waits_for_who_is_named(zap: Zap) -> None:
    api = {"commands": "exec sleep 1000", "needs": "db", "settle": 0}
    write(zap, s={"db": {"commands": "exec sleep 1000", "settle": 0.1}, "api": api})
    told, code = zap.told("--until", "ready", "s/api")
    assert code == 0
    ups = [fact["job"] for fact in facts(told, "became") if fact["state"] == "ready"]
    assert ups == ["s/db", "s/api"]


def test_zap_run_says_who_failed_instead_of_waiting_for_ever(zap: Zap) -> None:
    jobs = {"api": {"commands": "echo never", "needs": "data/db"}, "far": {"commands": "echo never", "needs": "api"}}
    write(zap, data={"db": "echo no such disk; exit 5"}, web=jobs)
    for name, waited in (("web/api", "waited for data/db"), ("web/far", "waited for web/api"), ("web", "web/api")):
        done = zap.run("run", name)
        assert done.returncode == 5
        assert waited in done.stdout
        assert "✗ data/db" in done.stdout and "exit 5 at command 1/1" in done.stdout
        assert "last words: no such disk" in done.stdout
        assert "never\n" not in done.stdout


# Up and down.


DIAMOND = {"db": [], "cache": ["db"], "queue": ["db"], "api": ["cache", "queue"], "web": ["api"]}


def diamond(zap: Zap) -> None:
    """Its jobs write when they come and when they go, and take a while for both."""
    up = "echo {0} up >> log; trap 'sleep 0.1; echo {0} down >> log; exit' TERM; while :; do echo {0}; sleep 0.05; done"
    up = up.replace("while", "sleep 0.1; while", 1)
    jobs = {
        name: {"commands": up.format(name), "needs": needs, "ready": {"line": name}} for name, needs in DIAMOND.items()
    }
    write(zap, s=dict(reversed(jobs.items())))


def test_all_come_up_behind_whom_they_need_and_go_down_before_them(zap: Zap) -> None:
    diamond(zap)
    with hearing(zap) as heard:
        heard.became("s/web", "ready")
        assert zap.run("down").returncode == 0
        told = heard.to_the_end()
    log = [line.split() for line in zap.wait_file("log").splitlines()]
    ups, downs = ([name for name, way in log if way == what] for what in ("up", "down"))
    assert sorted(ups) == sorted(downs) == sorted(DIAMOND)
    for name, needs in DIAMOND.items():
        for need in needs:
            assert ups.index(need) < ups.index(name)
            assert downs.index(need) > downs.index(name)
            ready = next(fact["n"] for fact in facts(told, "became", f"s/{need}") if fact["state"] == "ready")
            assert ready < facts(told, "spawned", f"s/{name}")[0]["n"]
            assert facts(told, "exited", f"s/{name}")[0]["n"] < facts(told, "signalled", f"s/{need}")[0]["n"]
    assert [fact["signal"] for fact in facts(told, "signalled")] == ["TERM"] * len(DIAMOND)
    held = facts(told, "waits", "s/db")[-1]
    assert set(held["leavers"]) <= {"s/cache", "s/queue"} and held["leavers"]


def test_who_is_stopped_alone_does_not_wait_for_who_needs_it_and_stays(zap: Zap) -> None:
    diamond(zap)
    with hearing(zap) as heard:
        heard.became("s/web", "ready")
        assert zap.run("stop", "s/db").returncode == 0
        assert heard.states() == {"s/db": "stopped"} | {f"s/{name}": "ready" for name in DIAMOND if name != "db"}


def test_down_now_holds_nobody_for_anybody(zap: Zap) -> None:
    stays = {"commands": "trap '' TERM; exec sleep 1000", "grace": "1h", "settle": 0}
    write(zap, s={"db": stays, "api": stays | {"needs": "db"}})
    with hearing(zap) as heard:
        heard.became("s/api", "ready")
        assert zap.run("down", "--now").returncode == 0
        assert {fact["signal"] for fact in facts(heard.to_the_end(), "signalled")} == {"KILL"}


# When a need fails.


def test_who_waits_for_what_has_failed_starts_when_that_is_started_again(zap: Zap) -> None:
    db = "[ -e go ] || exit 3; exec sleep 1000"
    write(zap, data={"db": {"commands": db, "settle": 0}}, web={"api": {"commands": "echo served", "needs": "data/db"}})
    with hearing(zap) as heard:
        heard.wait("waits", "web/api", lacks=[{"job": "data/db", "until": "ready", "is_hopeless": True}])
        assert "web/api waits for data/db: it is failed, exit 3 at command 1/1" in zap.run("why").stdout
        waiting = zap.run("wait", "web/api")
        assert (waiting.returncode, waiting.stdout) == (1, "")
        assert waiting.stderr == "✗ web/api is waiting for data/db\n"
        (zap.folder / "go").touch()
        assert zap.run("start", "data/db").returncode == 0
        heard.became("web/api", "done")


def test_starting_who_waits_for_what_has_failed_tries_that_again(zap: Zap) -> None:
    """As a person wants it who has put right what was wrong; a failure is no news then."""
    db = "[ -e go ] || exit 3; exec sleep 1000"
    write(zap, data={"db": {"commands": db, "settle": 0}}, web={"api": {"commands": "echo served", "needs": "data/db"}})
    with hearing(zap) as heard:
        heard.wait("waits", "web/api", lacks=[{"job": "data/db", "until": "ready", "is_hopeless": True}])
        (zap.folder / "go").touch()
        assert zap.run("start", "web/api").returncode == 0
        assert heard.states() == {"data/db": "ready", "web/api": "done"}


@pytest.mark.parametrize("manner", ["skip", "stop"])
def test_a_start_is_skipped_when_what_it_needs_has_failed(zap: Zap, manner: str) -> None:
    api = {"commands": "echo served", "needs": "data/db", "when-need-fails": manner}
    write(zap, data={"db": f"{GATE}; exit 3"}, web={"api": api})
    with hearing(zap) as heard:
        heard.became("web/api", "waiting")
        (zap.folder / "go").touch()
        told = heard.wait("became", "web/api", state="stopped")
        assert told["why"] == "skipped, because data/db is failed"
        assert not heard.so_far("spawned", "web/api")
        assert "web/api is stopped for" in zap.run("why").stdout
    assert zap.run("run", "web/api").returncode == 3


def test_who_is_up_goes_down_when_it_shall_stop_with_what_it_needs(zap: Zap) -> None:
    """But the one that is of another mind stays."""
    api = {"commands": "exec sleep 1000", "needs": "data/db", "settle": 0}
    jobs = {name: api | {"when-need-fails": manner} for name, manner in (("leaves", "stop"), ("stays", "skip"))}
    write(zap, data={"db": {"commands": f"{GATE}; exit 3", "settle": 0}}, web=jobs)
    with hearing(zap) as heard:
        for job in ("web/leaves", "web/stays"):
            heard.became(job, "ready")
        (zap.folder / "go").touch()
        failed = heard.became("data/db", "failed")
        assert heard.wait("became", "web/leaves", after=failed, state="stopped")["why"] == "data/db is failed"
        assert heard.states() == {"data/db": "failed", "web/leaves": "stopped", "web/stays": "ready"}


# Follow.


def following(zap: Zap) -> None:
    db = {"commands": "exec sleep 1000", "settle": 0.05, "restart": "on-failure", "backoff": 0.05}
    api = {"commands": "exec sleep 1000", "settle": 0, "needs": {"job": "db", "follow": True}}
    web = {"commands": "exec sleep 1000", "settle": 0, "needs": {"job": "api", "follow": True}}
    write(zap, s={"db": db, "api": api, "web": web, "other": api | {"needs": "db"}})


def came_back_in_order(heard: Heard, gone: int) -> None:
    """After the event `gone` of s/db those who follow it have gone, and came up behind it."""
    order = [
        heard.wait("exited", "s/web", after=gone)["n"],
        heard.wait("exited", "s/api", after=gone)["n"],
        heard.became("s/db", "ready", after=gone),
        heard.spawned("s/api", 2)["n"],
        heard.became("s/api", "ready", after=heard.spawned("s/api", 2)["n"]),
        heard.spawned("s/web", 2)["n"],
    ]
    assert order[0] < order[1]
    assert order[1:] == sorted(order[1:])
    assert heard.rows()["s/other"]["epoch"] == 1


def test_who_follows_is_restarted_in_order_when_the_other_crashes(zap: Zap) -> None:
    following(zap)
    with hearing(zap) as heard:
        heard.became("s/web", "ready")
        os.kill(heard.pids()["s/db"], signal.SIGKILL)
        gone = heard.wait("exited", "s/db")["n"]
        assert heard.wait("became", "s/api", state="stopping")["why"] == "it follows s/db"
        came_back_in_order(heard, gone)
        assert heard.rows()["s/web"]["epoch"] == 2


def test_who_follows_goes_before_the_one_that_is_restarted_and_comes_behind_it(zap: Zap) -> None:
    following(zap)
    with hearing(zap) as heard:
        up = heard.became("s/web", "ready")
        assert zap.run("restart", "s/db").returncode == 0
        came_back_in_order(heard, up)
        ended = heard.wait("exited", "s/api")["n"]
        assert heard.wait("signalled", "s/db")["n"] > ended, "the one that is followed is asked last"


def test_who_follows_waits_when_the_other_is_stopped_and_comes_back_with_it(zap: Zap) -> None:
    following(zap)
    with hearing(zap) as heard:
        up = heard.became("s/web", "ready")
        assert zap.run("stop", "s/db").returncode == 0
        heard.became("s/web", "waiting", after=up)
        assert heard.states() == {"s/db": "stopped", "s/api": "waiting", "s/web": "waiting", "s/other": "ready"}
        assert zap.run("start", "s/db").returncode == 0
        assert zap.run("wait", "s/web").returncode == 0
        came_back_in_order(heard, up)


# A circle.


def test_a_circle_is_refused_before_anything_starts(zap: Zap) -> None:
    write(zap, s={"a": {"commands": "true", "needs": "b"}, "b": {"commands": "true", "needs": "c"}, "c": "true"})
    assert zap.run("check").returncode == 0
    write(zap, s={"a": {"commands": "true", "needs": "b"}, "b": {"commands": "true", "needs": "a"}})
    done = zap.run("check")
    assert done.returncode == 2
    assert "the needs go in a circle: s/a → s/b → s/a" in done.stdout + done.stderr
    assert zap.run("run").returncode == 2


# Real parts.


def redis(port: int) -> str:
    """It listens late."""
    return f"sleep 1; exec redis-server --port {port} --bind 127.0.0.1 --save '' --appendonly no"


READY: dict[str, dict[str, Any]] = {
    "tcp": {"tcp": "{port}", "every": 0.1},
    "ping": {"command": "redis-cli -h 127.0.0.1 -p {port} ping | grep PONG", "every": 0.1},
    "line": {"line": "Ready to accept connections"},
}


@pytest.mark.real("redis-server")
@pytest.mark.real("redis-cli")
@pytest.mark.parametrize("sign", READY)
def test_a_server_that_comes_up_late_is_there_for_those_who_need_it(zap: Zap, sign: str) -> None:
    port = free_port()
    ready = {name: value.format(port=port) if isinstance(value, str) else value for name, value in READY[sign].items()}
    client = f"redis-cli -h 127.0.0.1 -p {port}"
    users = {
        "writes": {"commands": f"{client} set colour green", "needs": "data/redis"},
        "reads": {
            "commands": f"{client} get colour | grep green",
            "needs": ["data/redis", {"job": "writes", "for": "done"}],
        },
    }
    write(zap, data={"redis": {"commands": redis(port), "ready": ready}}, web=users)
    told, code = zap.told("web")
    assert code == 0, told[-1]
    assert spawned(told) == ["data/redis", "web/writes", "web/reads"]
    assert lines(told, "web/reads", "out") == ["green"]
    assert {job["job"]: job["outcome"] for job in told[-1]["jobs"]}["data/redis"] == "stopped"


@pytest.mark.real("redis-server")
@pytest.mark.real("redis-cli")
def test_without_the_need_they_would_have_failed(zap: Zap) -> None:
    port = free_port()
    write(zap, data={"redis": redis(port)}, web={"writes": f"redis-cli -h 127.0.0.1 -p {port} set colour green"})
    with hearing(zap) as heard:
        assert "exit 1 at command 1/1" in heard.wait("became", "web/writes", state="failed")["why"]
