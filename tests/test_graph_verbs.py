"""`zap graph` and `zap critical`, as people run them: the real program, with a real runner where one is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.zap import DEADLINE, Zap, wait_until

PLAN = r"""
systems:
  db:
    store: {commands: [echo prepared, exec sleep 1000], settle: 300ms}
    seed: {commands: "sleep 0.2; echo seeded", needs: [store]}
  web:
    api: {commands: exec sleep 1000, needs: [db/store, {job: db/seed, for: done}], settle: 100ms}
    idle: {commands: exec sleep 1000, needs: [{job: api, optional: true}], start: false}
  more:
    "alone": "true"
"""
TREE = [
    *("web/idle", "└─ web/api (optional)", "   ├─ db/store", "   └─ db/seed (done)", "      └─ db/store"),
    "more/alone",
]
STUCK = r"""
systems:
  s:
    slow: {commands: "echo begun; exec sleep 1000", ready: {line: never}}
    late: {commands: exec sleep 1000, needs: [slow]}
    last: {commands: exec sleep 1000, needs: [late]}
"""


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zap]:
    """With a runner whose jobs are as they will be, and whose file is not what it was any more."""
    zap = Zap(tmp_path_factory.mktemp("still"))
    path = zap.write(PLAN)
    with zap.serve():
        zap.run("wait", "api", "--for", "ready")
        zap.run("wait", "alone", "--for", "done")
        path.write_text("systems: nonsense")
        yield zap


def said(zap: Zap, *arguments: str) -> str:
    """Standard output of a verb that ends well, and has nothing to complain of."""
    done = zap.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def told(zap: Zap, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(zap, *arguments, "--json").splitlines()]


def refused(zap: Zap, *arguments: str, code: int = 2) -> str:
    """Standard error of a verb that ends so, and prints nothing."""
    done = zap.run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


# zap graph


@pytest.mark.parametrize("verb", ["graph", "critical"])
def test_they_help(zap: Zap, verb: str) -> None:
    helped = said(zap, verb, "--help")
    assert helped.startswith(f"usage: zap {verb}")
    assert "SYSTEM|JOB" in helped
    assert "exit codes: 0 " in helped or verb == "graph"
    assert verb in said(zap, "completion", "bash")


def test_a_graph_needs_no_runner(zap: Zap) -> None:
    zap.write(PLAN)
    assert said(zap, "graph").splitlines() == TREE
    assert zap.runner() is None


def test_a_graph_is_of_what_is_named_and_of_whatever_that_needs(zap: Zap) -> None:
    named = str(zap.write(PLAN, "other.yaml"))
    assert said(zap, "graph", "api", "-f", named).splitlines() == [
        *("web/api", "├─ db/store", "└─ db/seed (done)", "   └─ db/store"),
    ]
    assert said(zap, "-f", named, "graph", "store", "more").splitlines() == ["db/store", "more/alone"]
    close = refused(zap, "graph", "stor", "-f", named)
    assert close.startswith("no system or job is called stor — did you mean ")


def test_a_graph_is_also_for_programs_that_draw(zap: Zap) -> None:
    zap.write(PLAN)
    mermaid = said(zap, "graph", "seed", "--format", "mermaid").splitlines()
    assert (mermaid[0], mermaid[-1]) == ("flowchart TD", "  job2 --> job1")
    dot = said(zap, "graph", "seed", "--format", "dot").splitlines()
    assert (dot[0], dot[-2:]) == ("digraph {", ['  "db/seed" -> "db/store"', "}"])
    assert "not allowed with" in refused(zap, "graph", "--format", "dot", "--json")


def test_a_graph_as_data(zap: Zap) -> None:
    zap.write(PLAN)
    store = {"job": "db/store", "until": "ready", "is_optional": False, "follow": False}
    assert told(zap, "graph", "api") == [
        {"job": "db/store", "needs": []},
        {"job": "db/seed", "needs": [store]},
        {"job": "web/api", "needs": [store, store | {"job": "db/seed", "until": "done"}]},
    ]


def test_there_is_no_graph_of_a_plan_that_is_wrong(zap: Zap) -> None:
    zap.write("systems: {s: {a: {commands: x, needs: [b]}, b: {commands: x, needs: [a]}}}")
    assert "jobs.yaml:1:" in refused(zap, "graph")
    zap.write("systems: {s: {a: {comands: x}}}")
    assert "did you mean commands?" in refused(zap, "graph")


def test_what_a_plan_says_does_not_drive_the_terminal(zap: Zap) -> None:
    hostile = r"\e[2J\e]0;title\a\x9b2J\u202e"
    zap.write(
        f'systems: {{s: {{a: {{commands: x, title: "{hostile}", needs: [{{job: b, line: "{hostile}"}}]}}, b: x}}}}'
    )
    for form in ("tree", "mermaid", "dot"):
        assert not set(said(zap, "graph", "--format", form)) & {"\x1b", "\x07", "\x9b", "\u202e"}


def test_a_graph_of_what_runs_shows_how_each_job_is(still: Zap) -> None:
    assert said(still, "graph").splitlines() == [
        *("○ web/idle", "└─ ● web/api (optional)", "   ├─ ● db/store", "   └─ ✓ db/seed (done)", "      └─ ● db/store"),
        "✓ more/alone",
    ]
    assert said(still, "graph", "store", "--color", "always") == "\x1b[32m●\x1b[0m db/store\n"
    said(still, "pause", "store")
    assert said(still, "graph", "store") == "⏸ db/store\n"
    said(still, "resume", "store")
    assert [(item["job"], item["state"]) for item in told(still, "graph", "seed")] == [
        *(("db/store", "ready"), ("db/seed", "done")),
    ]
    assert said(still, "graph", "--format", "mermaid").startswith("flowchart TD\n")


# zap critical


def test_critical_needs_a_runner(zap: Zap) -> None:
    path = zap.write(PLAN)
    assert refused(zap, "critical", code=3) == f"no runner of {path} is there; `zap up` starts one\n"


def test_critical_goes_from_job_to_job(still: Zap) -> None:
    store, seed, api = told(still, "critical")
    assert [leg["job"] for leg in (store, seed, api)] == ["db/store", "db/seed", "web/api"]
    assert [leg["outcome"] for leg in (store, seed, api)] == ["ready", "done", "ready"]
    assert (store["end"], seed["end"]) == (seed["begin"], api["begin"])
    for leg in (store, seed, api):
        edges = [leg["begin"], *(part["end"] for part in leg["parts"])]
        assert [part["begin"] for part in leg["parts"]] == edges[:-1] and edges[-1] == leg["end"]
    assert store["end"] - store["begin"] > 0.25  # it has to live for 300 ms
    assert seed["end"] - seed["begin"] > 0.15
    assert [part["what"] for part in seed["parts"]][:2] == ["until its shell ran", "1/1 `sleep 0.2; echo seeded`"]


def test_critical_is_a_table_for_people(still: Zap) -> None:
    head, *table = said(still, "critical", "api").splitlines()
    assert re.fullmatch(r"[\d.]+ m?s until web/api was ready", head)
    legs = [found for line in table if (found := re.fullmatch(r"  +([\d.]+ m?s) +(\d+)%  (█*) +(\w+/\w+): (.*)", line))]
    assert [leg[4] for leg in legs] == ["db/store", "db/seed", "web/api"]
    assert legs[0][5] == "ready (it had lived for 300 ms)"
    assert 98 <= sum(int(leg[2]) for leg in legs) <= 102
    assert said(still, "critical", "store").splitlines()[0].endswith(" until db/store was ready")


def test_critical_tells_of_nobody_whom_nobody_has_started(still: Zap) -> None:
    assert refused(still, "critical", "idle") == "nobody has started idle\n"
    assert refused(still, "critical", "nobody").startswith("no system or job is called nobody")


def test_critical_tells_how_far_it_has_come(zap: Zap) -> None:
    zap.write(STUCK)
    with zap.serve():
        wait_until(lambda: [leg["job"] for leg in told(zap, "critical")] == ["s/slow", "s/late", "s/last"], "the wait")
        slow, late, last = told(zap, "critical")
        assert [leg["outcome"] for leg in (slow, late, last)] == ["so far"] * 3
        assert slow["how"] == "running"
        assert slow["parts"][-1]["what"] == "1/1 `echo begun; exec sleep 1000`"
        assert (late["how"], last["how"]) == ("waits for s/slow", "waits for s/late")
        assert late["begin"] == late["end"] == last["end"]
        assert said(zap, "critical", "late").splitlines()[0].endswith(" so far, for s/late")
        assert "◐ s/slow" in said(zap, "graph")


@pytest.mark.parametrize("arguments", [["critical"], ["critical", "--json"]])
def test_critical_does_not_wait_for_imports_that_it_does_not_need(still: Zap, arguments: list[str]) -> None:
    dear = ["asyncio", "yaml", "pydantic", "re2", "psutil", "urwid", "pexpect", "shtab", "subprocess", "difflib"]
    program = f"import sys\nfrom zap.cli import main\ntry: main({arguments})\nexcept SystemExit: pass\n"
    program += f"print('dear:', *(name for name in {dear} if name in sys.modules))"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=still.folder, env=still.env, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout.splitlines()[-1] == "dear:"
