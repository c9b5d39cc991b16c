"""`zap doctor` as a person asks it, on this machine and where less can be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.born import real_root
from tests.zap import DEADLINE, Zap
from zap import cgroup

PLAN = """
systems:
  web:
    plain: echo fine
    tight: {commands: echo fine, limits: {memory: 64M, cpu: 0.5, pids: 20}}
    apart: {commands: echo fine, private_tmp: true, network: none, cwd: /}
    other: {commands: echo fine, user: nobody}
"""
WHATS = [
    *("control groups", "memory", "cpu", "pids", "pausing at once", "killing at once"),
    *("private_tmp", "network: none", "user, group", "nice", "oom_score", "files"),
    *("shell", "terminals", "subreaper", "pidfd", "hand-over"),
    *("runtime folder", "state folder", "cache folder"),
]


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


def doctor(zap: Zap, *arguments: str) -> dict[str, dict[str, Any]]:
    """What it tells as JSON, by what it tells of; nothing that zap needs is missing."""
    done = zap.run("doctor", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return {row["what"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_it_tells_of_everything_without_a_plan(zap: Zap) -> None:
    rows = doctor(zap)
    assert list(rows) == WHATS
    assert all(row["how"] and row["state"] in ("yes", "partly", "no") for row in rows.values())


def test_it_tells_what_was_found(zap: Zap) -> None:
    rows, found = doctor(zap), cgroup.find()
    assert (rows["control groups"]["state"] == "yes") == (found.kind != "none")
    for limit in cgroup.LIMITS:
        ability: cgroup.Ability = getattr(found, limit)
        assert (rows[limit]["state"] == "yes") == ability.is_there
        assert (ability.root or ability.why) in rows[limit]["how"]
    assert rows["runtime folder"]["how"] == str(zap.folder / "runtime" / "zap")
    assert rows["cache folder"]["how"] == str(zap.folder / "home" / ".cache" / "zap")


def test_people_get_a_line_each_with_a_mark(zap: Zap) -> None:
    done = zap.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line[2:].split("  ")[0] for line in lines] == WHATS
    assert {line[0] for line in lines} <= set("✓–✗")
    assert "✓ shell            /bin/sh" in lines


def test_it_makes_nothing(zap: Zap) -> None:
    doctor(zap)
    assert os.listdir(zap.folder / "home") == []
    assert os.listdir(zap.folder / "runtime") == []


@real_root
@pytest.mark.real("unshare")
def test_a_plan_whose_settings_can_all_be_in_force_is_told_in_a_line(zap: Zap) -> None:
    path = zap.write(PLAN)
    found = cgroup.find()
    if not all(getattr(found, limit).is_there for limit in cgroup.LIMITS):
        pytest.skip("there are no control groups for us")
    rows = doctor(zap)
    assert rows["the plan"] == {
        "what": "the plan",
        "state": "yes",
        "how": f"{path}: all that its jobs ask for can be had here",
    }
    assert rows["runtime folder"]["how"] == zap.place


def run_in(zap: Zap, *around: str) -> tuple[list[dict[str, Any]], int]:
    """What it tells when it is run by a program that takes something away from it, and its exit code."""
    done = subprocess.run(
        [*around, sys.executable, "-m", "zap", "doctor", "--json"],
        cwd=zap.folder,
        env=zap.env | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


@real_root
@pytest.mark.real("unshare")
def test_jobs_that_cannot_be_isolated_are_told_of(zap: Zap) -> None:
    """As in a container without rights: none to make namespaces, and none to become others."""
    zap.write(PLAN)
    rows, code = run_in(zap, "setpriv", "--bounding-set=-sys_admin,-setuid,-sys_nice,-sys_resource", "--")
    states = {row["what"]: row["state"] for row in rows}
    assert [states[what] for what in ("private_tmp", "network: none", "user, group")] == ["no"] * 3
    assert [states[what] for what in ("nice", "oom_score")] == ["partly"] * 2
    hows = {row["job"]: row["how"] for row in rows if row.get("job") in ("web/apart", "web/other")}
    assert hows["web/apart"].startswith("private_tmp: true and network: none cannot be had here: unshare: ")
    assert "only root can start jobs as somebody else" in hows["web/other"]
    assert code == 0


@real_root
@pytest.mark.real("unshare")
def test_jobs_that_cannot_be_limited_are_told_of_with_what_is_instead(zap: Zap) -> None:
    zap.write(PLAN)
    without_groups = 'umount --recursive --lazy /sys/fs/cgroup; exec "$@"'
    rows, code = run_in(zap, "unshare", "--mount", "sh", "-c", without_groups, "sh")
    states = {row["what"]: row["state"] for row in rows}
    assert [states[what] for what in WHATS[:6]] == ["no", "partly", "no", "partly", "partly", "partly"]
    assert [(row["job"], row["state"], row["how"]) for row in rows if "job" in row] == [
        (
            *("web/tight", "partly"),
            "limits: memory: holds for each process, not for all together: no control groups are mounted",
        ),
        ("web/tight", "partly", "limits: cpu: does not hold: no control groups are mounted"),
        (
            *("web/tight", "partly"),
            "limits: pids: does not hold, because root may have any number: no control groups are mounted",
        ),
    ]
    assert code == 0


@real_root
@pytest.mark.real("unshare")
def test_something_is_missing_that_zap_itself_needs(zap: Zap) -> None:
    without_terminals = 'mount -t tmpfs none /dev/pts; exec "$@"'
    rows, code = run_in(zap, "unshare", "--mount", "sh", "-c", without_terminals, "sh")
    assert [row["what"] for row in rows if row["state"] == "no"] == ["terminals"]
    assert code == 1


def test_a_plan_that_is_wrong_is_no_obstacle(zap: Zap) -> None:
    path = zap.write("systems: {web: {a: {commands: ls, user: nobdy, limits: {}, umask: 9}}}\n")
    assert doctor(zap)["the plan"]["how"] == f"{path} has 2 problems, which zap check tells"


def test_a_plan_that_is_named_must_be_there(zap: Zap) -> None:
    done = zap.run("doctor", "-f", "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "-f nowhere.yaml: there is no such file\n"
