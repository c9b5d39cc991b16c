"""The plan changes while its jobs run: what is restarted, what goes on, and what is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.heard import Heard, end_all, hearing
from tests.zap import Zap, is_alive, wait_until

SLEEPS = "exec sleep 1000"
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.01; done"
PLAN: dict[str, Any] = {
    "a": {"commands": SLEEPS, "settle": 0},
    "b": {"commands": SLEEPS, "settle": 0},
    "c": {"commands": SLEEPS, "settle": 0, "start": False},
}


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    yield Zap(tmp_path)
    end_all(tmp_path)


def text(jobs: dict[str, Any], **settings: Any) -> str:
    return json.dumps({"systems": {"s": jobs}} | settings)


def write(zap: Zap, jobs: dict[str, Any], **settings: Any) -> None:
    zap.write(text(jobs, **settings))


def save(zap: Zap, jobs: dict[str, Any], **settings: Any) -> None:
    """As an editor does that never leaves half a file: written beside it, and put in its place."""
    new = zap.write(text(jobs, **settings), "jobs.yaml.new")
    os.replace(new, zap.folder / "jobs.yaml")


def changed(name: str, **settings: Any) -> dict[str, Any]:
    return PLAN | {name: PLAN[name] | settings}


def reload(zap: Zap, *arguments: str) -> list[str]:
    done = zap.run("reload", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def up(heard: Heard, *jobs: str) -> dict[str, int]:
    """The processes of all that live, once these are ready."""
    for job in jobs:
        heard.became(job, "ready")
    return heard.pids()


# `zap reload`.


def test_a_dry_run_shows_what_would_be_done_and_does_nothing(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        new = changed("a", commands="exec sleep 2000") | {"d": "true", "e": {"commands": "true", "start": False}}
        del new["b"]
        write(zap, new)
        assert sorted(reload(zap, "--dry-run")) == [
            "+ s/d: new, starts",
            "+ s/e: new, starts by name",
            "- s/b: gone, is stopped",
            "~ s/a: title, commands: is restarted, if it runs",
        ]
        (told,) = [json.loads(line) for line in reload(zap, "--dry-run", "--json")]
        assert (told["added"], told["removed"]) == (["s/d", "s/e"], ["s/b"])
        assert told["changed"] == [{"job": "s/a", "settings": ["title", "commands"], "is_restarted": True}]
        assert heard.pids() == pids
        assert set(heard.states()) == {"s/a", "s/b", "s/c"}
        assert not heard.so_far("reloaded")


def test_a_plan_that_says_the_same_changes_nothing(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        zap.write("# only a remark\n" + json.dumps({"systems": {"s": PLAN}}, indent=4))
        assert reload(zap) == ["nothing has changed"]
        assert heard.pids() == pids


@pytest.mark.parametrize(
    "setting",
    [
        {"commands": ["true", "exec sleep 2000"]},
        {"env": {"COLOUR": "green"}},
        {"cwd": "below"},
        {"tty": False},
        {"ready": {"line": "never"}},
        {"watchdog": "1h"},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_only_the_job_that_is_another_one_now_is_restarted(zap: Zap, setting: dict[str, Any]) -> None:
    (zap.folder / "below").mkdir()
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        write(zap, changed("a", **setting))
        reload(zap)
        told = heard.wait("reloaded")
        assert (told["added"], told["removed"], told["restarted"], told["adapted"]) == ([], [], ["s/a"], [])
        again = heard.spawned("s/a", 2)
        assert again["pid"] != pids["s/a"] and not is_alive(pids["s/a"])
        heard.wait("became", "s/a", after=again["n"], state="running")
        assert heard.pids()["s/b"] == pids["s/b"]
        row = heard.rows()["s/a"]
        assert row["commands"] == len(setting.get("commands", [""]))


def test_what_is_changed_of_a_job_that_does_not_run_waits_for_its_start(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b")
        write(zap, changed("c", commands="echo another; exit 0"))
        assert reload(zap) == ["~ s/c: title, commands: is restarted, if it runs"]
        assert heard.states()["s/c"] == "stopped"
        assert zap.run("start", "c").returncode == 0
        heard.became("s/c", "done")
        assert "another" in zap.run("logs", "c").stdout


def test_a_grace_is_another_one_at_once_without_a_restart(zap: Zap) -> None:
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": "1h"}
    write(zap, {"a": stays})
    with hearing(zap) as heard:
        pids = up(heard, "s/a")
        write(zap, {"a": stays | {"grace": 0.2}})
        assert reload(zap) == ["~ s/a: grace: without a restart"]
        told = heard.wait("reloaded")
        assert (told["restarted"], told["adapted"]) == ([], ["s/a"])
        assert heard.pids() == pids
        assert zap.run("stop", "a").returncode == 0, "which would take an hour"
        assert [fact["signal"] for fact in heard.so_far("signalled")] == ["TERM", "KILL"]


def test_health_is_asked_for_by_other_settings_at_once(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        write(zap, changed("a", health={"command": "echo >>asked; exit 1", "every": 0.1, "fails": 1000}))
        reload(zap)
        heard.wait("probed", "s/a", question="health", is_ok=False)
        assert "s/a is ready for" in zap.run("why").stdout
        write(zap, changed("a", health={"command": "echo >>again", "every": 0.1}))
        reload(zap)
        zap.wait_file("again")
        assert zap.run("why").stdout.startswith("nothing is the matter"), "what was asked before counts no more"
        asked = zap.wait_file("asked")
        write(zap, PLAN)
        reload(zap)
        again = zap.wait_file("again")
        assert zap.run("start", "c").returncode == 0
        assert zap.wait_file("asked") == asked
        assert len(zap.wait_file("again")) <= len(again) + 1, "the last one was out"
        assert heard.pids()["s/a"] == pids["s/a"]


def test_what_is_new_starts_and_what_is_gone_stops_and_is_forgotten(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        new = {"new": {"commands": SLEEPS, "settle": 0, "needs": "a"}, "idle": {"commands": "true", "start": False}}
        write(zap, {name: job for name, job in PLAN.items() if name == "a"} | new)
        reload(zap)
        heard.became("s/new", "ready")
        heard.wait("removed", "s/b")
        heard.wait("removed", "s/c")
        assert heard.states() == {"s/a": "ready", "s/new": "ready", "s/idle": "stopped"}
        assert not is_alive(pids["s/b"])
        assert heard.pids()["s/a"] == pids["s/a"]
        assert "s/b" not in zap.run("ps").stdout
        assert "no system or job is called s/b" in zap.run("logs", "s/b").stderr


def test_who_is_gone_is_asked_as_ever_and_stays_until_it_has_ended(zap: Zap) -> None:
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": "1h"}
    write(zap, PLAN | {"d": stays})
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b", "s/d")
        write(zap, PLAN)
        reload(zap)
        heard.wait("signalled", "s/d", signal="TERM")
        assert heard.states()["s/d"] == "stopping"
        assert "s/d stopping" in zap.run("why").stdout
        assert zap.run("stop", "s/d", "--now", "--no-wait").returncode == 0
        heard.wait("removed", "s/d")
        assert "s/d" not in heard.states()


def test_who_comes_back_before_it_has_ended_starts_when_it_has(zap: Zap) -> None:
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": 2}
    write(zap, PLAN | {"d": stays})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b", "s/d")
        write(zap, PLAN)
        reload(zap)
        heard.wait("signalled", "s/d", signal="TERM")
        write(zap, PLAN | {"d": stays})
        reload(zap)
        heard.wait("signalled", "s/d", signal="KILL")
        again = heard.wait("became", "s/d", after=heard.wait("exited", "s/d")["n"], state="ready")
        assert not is_alive(pids["s/d"])
        assert again["epoch"] == 2
        assert heard.states() == {"s/a": "ready", "s/b": "ready", "s/c": "stopped", "s/d": "ready"}


def test_zap_down_ends_who_is_gone_from_the_plan_as_well(zap: Zap) -> None:
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": 1}
    write(zap, PLAN | {"d": stays})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b", "s/d")
        write(zap, PLAN)
        reload(zap)
        heard.wait("signalled", "s/d", signal="TERM")
        done = zap.run("down")
        assert (done.returncode, done.stderr) == (0, "")
        assert not any(map(is_alive, pids.values()))


def test_zap_had_a_bug_when_who_was_gone_from_the_plan_needed_another_who_was(zap: Zap) -> None:
    """The one had ended already, the other was still about it."""
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": "1h", "needs": {"job": "once", "for": "done"}}
    write(zap, PLAN | {"once": "true", "d": stays})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b", "s/d")
        write(zap, PLAN)
        reload(zap)
        heard.wait("signalled", "s/d", signal="TERM")
        assert heard.states()["s/once"] == "done"
        os.kill(pids["s/d"], signal.SIGKILL)
        assert heard.wait("removed", "s/once")["n"] > heard.wait("removed", "s/d")["n"]
        assert heard.states() == {"s/a": "ready", "s/b": "ready", "s/c": "stopped"}


def test_a_plan_that_is_wrong_is_refused_with_every_problem(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        zap.write("""\
            systems:
              s:
                a: {commands: exec sleep 2000, restart: maybe}
                b: {commands: exec sleep 2000, needs: nobody}
                d: {comands: x}
            """)
        done = zap.run("reload")
        assert (done.returncode, done.stdout) == (2, "")
        told = done.stderr.splitlines()
        assert [line.split(" ")[0] for line in told] == sorted(line.split(" ")[0] for line in told)
        assert all(line.startswith("jobs.yaml:") for line in told)
        for place, what in ((3, "maybe"), (4, "nobody"), (5, "comands")):
            assert any(line.startswith(f"jobs.yaml:{place}:") and what in line for line in told)
        zap.write("systems: [")
        assert zap.run("reload").returncode == 2
        assert heard.pids() == pids
        assert set(heard.states()) == {"s/a", "s/b", "s/c"}
        write(zap, changed("a", grace=1))
        assert reload(zap) == ["~ s/a: grace: without a restart"]


def test_needs_that_are_changed_let_somebody_start(zap: Zap) -> None:
    never = {"commands": SLEEPS, "ready": {"line": "never"}}
    write(zap, {"a": {"commands": SLEEPS, "settle": 0, "needs": "b"}, "b": never})
    with hearing(zap) as heard:
        heard.wait("waits", "s/a")
        heard.became("s/b", "running")
        write(zap, {"a": {"commands": SLEEPS, "settle": 0, "needs": {"job": "b", "for": "started"}}, "b": never})
        assert reload(zap) == ["~ s/a: needs: without a restart"]
        heard.became("s/a", "ready")
        assert heard.rows()["s/b"]["epoch"] == 1


# A plan that is watched.


def test_a_plan_that_is_watched_is_taken_when_it_changes(zap: Zap) -> None:
    write(zap, PLAN, **{"watch-plan": True})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        write(zap, changed("a", commands="exec sleep 2000"), **{"watch-plan": True})
        assert heard.wait("reloaded")["restarted"] == ["s/a"]
        heard.spawned("s/a", 2)
        assert heard.pids()["s/b"] == pids["s/b"]


def test_a_plan_that_is_put_in_the_place_of_another_is_taken(zap: Zap) -> None:
    """Again and again: each time it is another file."""
    job = {"commands": 'echo "it is $COLOUR"; exec sleep 1000', "settle": 0}
    write(zap, {"a": job | {"env": {"COLOUR": "red"}}}, **{"watch-plan": True})
    with hearing(zap) as heard:
        up(heard, "s/a")
        for epoch, colour in enumerate(("green", "blue"), 2):
            save(zap, {"a": job | {"env": {"COLOUR": colour}}}, **{"watch-plan": True})
            heard.became("s/a", "ready", after=heard.spawned("s/a", epoch)["n"])
            wait_until(lambda c=colour: f"it is {c}" in zap.run("logs", "a").stdout, colour)  # type: ignore[misc]
        assert len(heard.so_far("reloaded")) == 2


def test_a_broken_edit_is_told_and_its_repair_is_taken(zap: Zap) -> None:
    write(zap, PLAN, **{"watch-plan": True})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        zap.write("systems: {s: {a: {commands: x, restart: maybe, grace: long}}}\nwatch-plan: true\n")
        why = heard.wait("not_reloaded")["why"].splitlines()
        assert len(why) == 2 and "maybe" in why[0] and "long" in why[1]
        assert heard.pids() == pids
        assert "the plan has changed, and is not right" in zap.run("events").stdout
        (zap.folder / "jobs.yaml").unlink()
        heard.wait("not_reloaded", after=heard.wait("not_reloaded")["n"])
        assert heard.pids() == pids
        write(zap, changed("b", commands="exec sleep 2000"), **{"watch-plan": True})
        assert heard.wait("reloaded")["restarted"] == ["s/b"]
        heard.spawned("s/b", 2)
        assert heard.pids()["s/a"] == pids["s/a"]


def test_a_fixup_that_comes_to_a_plan_that_is_watched_is_armed(zap: Zap) -> None:
    write(zap, {"a": {"commands": "while read line; do echo $line; done", "settle": 0}}, **{"watch-plan": True})
    zap.write(FIXUP, "fixups/door.yaml")
    with hearing(zap) as heard:
        up(heard, "s/a")
        zap.write(FIXUP.replace("shut", "locked"), "fixups/door.yaml")
        assert heard.wait("reloaded")["adapted"] == ["s/a"]
        assert zap.run("send", "a", "the door is locked").returncode == 0
        heard.wait("proposed", "s/a", fixup="door")


FIXUP = """\
about: the door is shut
match: [{pattern: 'is shut'}]
run: ['true']
examples: {matches: ['is shut'], ignores: ['is open']}
"""


def test_watching_begins_and_ends_with_the_plan_that_says_so(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b")
        write(zap, PLAN, **{"watch-plan": True})
        reload(zap)
        first = heard.wait("reloaded")["n"]
        write(zap, changed("a", grace=1), **{"watch-plan": True})
        second = heard.wait("reloaded", after=first, adapted=["s/a"])["n"]
        write(zap, PLAN)
        third = heard.wait("reloaded", after=second, adapted=["s/a"])["n"]
        write(zap, changed("b", commands="exec sleep 2000"))
        assert zap.run("start", "c").returncode == 0
        assert not heard.so_far("reloaded", after=third)


# `zap need`.


def test_a_job_needs_another_one_from_now_on(zap: Zap) -> None:
    write(zap, PLAN | {"once": {"commands": "while ! [ -e go ]; do sleep 0.01; done", "start": False}})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        done = zap.run("need", "s/a", "once", "--for", "done", "--json")
        assert json.loads(done.stdout) == {
            "job": "s/a",
            "needs": [{"job": "s/once", "until": "done", "is_optional": False, "follow": False}],
        }
        assert heard.wait("rewired", "s/a")["needs"][0]["job"] == "s/once"
        assert heard.pids() == pids, "who runs goes on"
        assert zap.run("restart", "s/a", "--no-wait").returncode == 0
        heard.wait("waits", "s/a", lacks=[{"job": "s/once", "until": "done", "is_hopeless": False}])
        (zap.folder / "go").touch()
        assert heard.spawned("s/a", 2)["n"] > heard.became("s/once", "done")


def test_a_need_that_is_taken_away_lets_who_waited_start(zap: Zap) -> None:
    never = {"commands": SLEEPS, "ready": {"line": "never"}}
    write(zap, {"a": {"commands": SLEEPS, "settle": 0, "needs": "b"}, "b": never})
    with hearing(zap) as heard:
        heard.wait("waits", "s/a")
        assert zap.run("need", "a", "b", "--for", "started").returncode == 0
        heard.became("s/a", "ready")
        assert zap.run("need", "a", "b", "--line", "^up$").returncode == 0
        assert zap.run("restart", "a", "--no-wait").returncode == 0
        heard.wait("waits", "s/a", lacks=[{"job": "s/b", "until": "line", "line": "^up$", "is_hopeless": False}])
        assert zap.run("need", "a", "b", "--remove").returncode == 0
        heard.spawned("s/a", 2)
        assert heard.so_far("rewired", "s/a")[-1]["needs"] == []
        done = zap.run("need", "a", "b", "--remove")
        assert (done.returncode, done.stderr) == (2, "s/a does not need s/b\n")


def test_a_circle_of_needs_is_refused_and_nothing_changes(zap: Zap) -> None:
    write(zap, PLAN | {"b": PLAN["b"] | {"needs": "a"}, "c": PLAN["c"] | {"needs": "b"}})
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b")
        done = zap.run("need", "a", "c")
        assert done.returncode == 2
        assert done.stderr.startswith("the needs would go in a circle: s/")
        for job in ("s/a", "s/b", "s/c"):
            assert job in done.stderr
        done = zap.run("need", "a", "a")
        assert done.returncode == 2 and "circle" in done.stderr
        assert not heard.so_far("rewired")
        assert zap.run("need", "a", "nobody").returncode == 2
        assert zap.run("need", "b", "a", "--line", "(").stderr.startswith("(: ")
        assert zap.run("restart", "--all").returncode == 0


def test_what_was_needed_for_a_while_is_forgotten_with_the_next_reload(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b")
        assert zap.run("need", "a", "c").returncode == 0
        assert "s/c" in zap.run("graph", "a").stdout
        assert reload(zap) == ["~ s/a: needs: without a restart"]
        assert reload(zap) == ["nothing has changed"]
        assert zap.run("restart", "a").returncode == 0
        assert heard.states()["s/c"] == "stopped"


def test_zap_never_ended_when_who_held_up_an_end_did_not_need_it_any_more(zap: Zap) -> None:
    stays = {"commands": STUBBORN, "ready": {"line": "up"}, "grace": "1h"}
    write(zap, {"a": stays | {"needs": "b"}, "b": PLAN["b"]})
    with hearing(zap) as heard:
        pids = up(heard, "s/a", "s/b")
        assert zap.run("stop", "s", "--no-wait").returncode == 0
        heard.wait("waits", "s/b", leavers=["s/a"])
        assert "s/b is stopping for" in zap.run("why", "b").stdout
        assert "first those end that need it: s/a" in zap.run("why", "b").stdout
        assert zap.run("need", "a", "b", "--remove").returncode == 0
        heard.became("s/b", "stopped")
        assert is_alive(pids["s/a"])
        os.kill(pids["s/a"], signal.SIGKILL)


def test_who_lets_go_may_follow(zap: Zap) -> None:
    write(zap, PLAN)
    with hearing(zap) as heard:
        up(heard, "s/a", "s/b")
        assert zap.run("need", "a", "b", "--follow").returncode == 0
        assert zap.run("restart", "b").returncode == 0
        heard.became("s/a", "ready", after=heard.spawned("s/a", 2)["n"])
        assert heard.spawned("s/a", 2)["n"] > heard.became("s/b", "ready", after=heard.spawned("s/b", 2)["n"])
