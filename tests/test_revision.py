"""What is different between two plans: every setting, and nothing that is none."""

from __future__ import annotations

import pytest

from zap.plan import (
    MIB,
    Answer,
    Backoff,
    Bound,
    Command,
    Fixup,
    Health,
    Hooks,
    Job,
    Limits,
    Log,
    Match,
    Need,
    Ping,
    Plan,
    Probe,
    Ready,
    Stop,
    System,
    Where,
)
from zap.revision import Change, Revision, compare

HERE = Where("jobs.yaml", 3, 5)
THERE = Where("jobs.yaml", 30, 9)
PROBE = Probe(tcp="localhost:80")
API = Job("web/api", "run", (Command("build", HERE), Command("run", HERE)), "/srv", fixups=("lock",), where=HERE)
DB = Job("db/main", "serve", (Command("serve"),), "/srv")
CACHE = Job("db/cache", "cache", (Command("cache"),), "/srv")
LOCK = Fixup("lock", "a stale lock", (Match("locked"),), ("rm lock",), where=HERE)
PORT = Fixup("port", "a port is taken", (Match("in use"),), ("free it",))


def plan(*jobs: Job, fixups: tuple[Fixup, ...] = (LOCK, PORT)) -> Plan:
    """In systems, each from where its first job stands."""
    names = dict.fromkeys(job.system for job in jobs)
    systems = tuple(System(name, tuple(job for job in jobs if job.system == name)) for name in names)
    return Plan("/srv/jobs.yaml", "1", systems, fixups)


OLD = plan(API, DB)

# What decides what a job's child is, or when it counts as ready; and what can change while it lives.
DECISIVE: dict[str, object] = {
    "commands": (Command("build"), Command("run --fast")),
    "cwd": "/tmp",
    "env": (("PORT", "80"),),
    "env_file": ("/srv/.env",),
    "shell": ("/bin/bash",),
    "tty": False,
    "answers": (Answer("sure?", "yes"),),
    "ready": Ready(by="notify"),
    "watchdog": 5.0,
    "limits": Limits(memory=MIB),
    "user": "nobody",
    "group": "7",
    "umask": 0o27,
    "private_tmp": True,
    "network": "none",
}
GENTLE: dict[str, object] = {
    "title": "another",
    "restart": "always",
    "settle": 7.0,
    "grace": 7.0,
    "tries": 7,
    "backoff": Backoff(7.0),
    "success_codes": (0, 7),
    "stop": Stop(("INT",)),
    "start": False,
    "fixups": ("lock", "port"),
    "buffer": Bound(700),
    "needs": (Need("db/main"),),
    "when_need_fails": "skip",
    "health": Health(PROBE),
    "ping": Ping(7.0, command="ask"),
    "hooks": Hooks("make ready"),
    "log": Log("/srv/log"),
}


def changed(**settings: object) -> Job:
    return API._replace(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("setting", "value"), [*DECISIVE.items(), *GENTLE.items()])
def test_a_setting_that_is_another_is_told_by_its_name(setting: str, value: object) -> None:
    change = Change("web/api", (setting,))
    assert compare(OLD, plan(changed(**{setting: value}), DB)) == Revision((), (), (change,))
    assert compare(plan(changed(**{setting: value}), DB), OLD) == Revision((), (), (change,))
    assert change.is_decisive == (setting in DECISIVE)


def test_every_setting_is_looked_at() -> None:
    assert {*DECISIVE, *GENTLE} == {*Job._fields} - {"name", "where"}


def test_one_decisive_setting_decides() -> None:
    new = changed(cwd="/tmp", restart="always", hooks=Hooks("make ready"), commands=(Command("run"),))
    (change,) = compare(OLD, plan(new, DB)).changed
    assert change == Change("web/api", ("commands", "cwd", "restart", "hooks"))
    assert change.is_decisive


def test_the_same_plan_is_no_difference() -> None:
    assert compare(OLD, OLD) == Revision((), (), ())
    assert compare(OLD, OLD).is_nothing


def test_lines_that_have_moved_are_no_difference() -> None:
    moved = changed(where=THERE, commands=(Command("build", THERE), Command("run")))
    assert compare(OLD, plan(moved, DB, fixups=(LOCK._replace(where=THERE), PORT))).is_nothing


def test_the_order_of_jobs_and_fixups_is_no_difference() -> None:
    assert compare(plan(API, DB, CACHE), plan(CACHE, DB, API, fixups=(PORT, LOCK))).is_nothing


def test_the_order_of_commands_is_one() -> None:
    (change,) = compare(OLD, plan(changed(commands=API.commands[::-1]), DB)).changed
    assert change.settings == ("commands",)


@pytest.mark.parametrize(
    "fixup",
    [
        LOCK._replace(about="another"),
        LOCK._replace(match=(Match("is locked"),)),
        LOCK._replace(run=("rm -f lock",)),
        LOCK._replace(mode="auto"),
    ],
)
def test_a_fixup_that_is_another_is_one_for_those_who_have_it(fixup: Fixup) -> None:
    new = plan(API, DB, fixups=(fixup, PORT))
    assert compare(OLD, new) == Revision((), (), (Change("web/api", ("fixups",)),))
    assert not compare(OLD, new).changed[0].is_decisive


def test_a_fixup_that_nobody_has_is_none() -> None:
    assert compare(OLD, plan(API, DB, fixups=(LOCK, PORT._replace(mode="auto")))).is_nothing
    assert compare(OLD, plan(API, DB, fixups=(LOCK,))).is_nothing


def test_a_fixup_that_is_new_or_gone_is_one_for_those_who_have_it() -> None:
    """Once, also when the fixup that stays is another one."""
    before = plan(changed(fixups=("lock", "port")), DB)
    after = plan(changed(fixups=("lock",)), DB, fixups=(LOCK._replace(mode="auto"),))
    change = Change("web/api", ("fixups",))
    assert compare(before, after).changed == (change,)
    assert compare(after, before).changed == (change,)


def test_jobs_come_and_go_in_the_order_of_their_plans() -> None:
    left = Job("z/left", "left", (Command("left"),), "/")
    revision = compare(plan(left, CACHE, API), plan(DB, API, Job("a/new", "new", (Command("new"),), "/")))
    assert revision == Revision(("db/main", "a/new"), ("z/left", "db/cache"), ())
    assert not revision.is_nothing
    assert not compare(OLD, plan(API)).is_nothing
    assert not compare(plan(API), OLD).is_nothing


def test_changes_come_in_the_order_of_the_new_plan() -> None:
    jobs = [job._replace(grace=7.0) for job in (CACHE, API, DB)]
    assert [change.job for change in compare(plan(API, DB, CACHE), plan(*jobs)).changed] == [
        "db/cache",
        "db/main",
        "web/api",
    ]


def test_a_job_that_has_moved_to_another_system_is_another_job() -> None:
    moved = DB._replace(name="web/main")
    assert compare(OLD, plan(API, moved)) == Revision(("web/main",), ("db/main",), ())
