"""Who needs whom, drawn: whatever the needs are, each of them is there once, and no text breaks out of its quotes."""

from __future__ import annotations

import html
import json
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.zap import DEADLINE
from zap import chart, escape
from zap.plan import Command, Job, Need

HOSTILE = 'a "b" \\n \\ & &amp; #35; <b> `c` %% ]} | -- end\n\x1b[2J\x1b]0;title\x07\x9b2J\u202e ü'
HARMLESS = 'a "b" \\n \\ & &amp; #35; <b> `c` %% ]} | -- end  ü'


def job(name: str, *needs: Need | str, title: str = "") -> Job:
    found = tuple(Need(need) if isinstance(need, str) else need for need in needs)
    return Job(name, title, (Command("true"),), "/", needs=found)


FLOCK = (
    job("web/api", "db/postgres", Need("db/migrate", "done"), title="npm start"),
    job("web/worker", Need("web/api", "line", line="listening on \\d+", follow=True), Need("mail/smtp", "started")),
    job("db/postgres", title="postgres"),
    job("db/migrate", "db/postgres"),
    job("mail/smtp", Need("db/postgres", "ended", is_optional=True)),
    job("alone/cron"),
)


def drawn(jobs: tuple[Job, ...] | list[Job], form: chart.Form) -> list[str]:
    return list(chart.draw(jobs, form))


def test_a_tree_shows_below_each_job_whom_it_needs() -> None:
    assert drawn(FLOCK, "tree") == [
        "web/worker",
        '├─ web/api (line "listening on \\d+", follow)',
        "│  ├─ db/postgres",
        "│  └─ db/migrate (done)",
        "│     └─ db/postgres",
        "└─ mail/smtp (started)",
        "   └─ db/postgres (ended, optional)",
        "alone/cron",
    ]


def test_what_stands_below_a_job_is_shown_once() -> None:
    assert drawn([job("s/a", "s/c"), job("s/b", Need("s/c", "done")), job("s/c", "s/d"), job("s/d")], "tree") == [
        *("s/a", "└─ s/c", "   └─ s/d"),
        *("s/b", "└─ s/c (done) …"),
    ]


def test_signs_stand_before_the_names_that_have_one() -> None:
    signs = {"s/a": "●", "s/b": "\x1b[33m◐\x1b[0m"}
    assert list(chart.draw([job("s/a", "s/b", "s/c"), job("s/b"), job("s/c")], "tree", signs)) == [
        *("● s/a", "├─ \x1b[33m◐\x1b[0m s/b", "└─ s/c"),
    ]


def test_mermaid() -> None:
    assert drawn(FLOCK, "mermaid") == [
        "flowchart TD",
        '  subgraph system1 ["web"]',
        '    job1["api<br/>npm start"]',
        '    job2["worker"]',
        "  end",
        '  subgraph system2 ["db"]',
        '    job3["postgres"]',
        '    job4["migrate"]',
        "  end",
        '  subgraph system3 ["mail"]',
        '    job5["smtp"]',
        "  end",
        '  subgraph system4 ["alone"]',
        '    job6["cron"]',
        "  end",
        "  job1 --> job3",
        '  job1 -->|"done"| job4',
        '  job2 -->|"line #34;listening on #92;d#43;#34;#44; follow"| job1',
        '  job2 -->|"started"| job5',
        "  job4 --> job3",
        '  job5 -.->|"ended#44; optional"| job3',
    ]


def test_dot() -> None:
    assert drawn(FLOCK[2:5], "dot") == [
        "digraph {",
        "  node [shape=box]",
        "  subgraph cluster1 {",
        '    label="db"',
        '    "db/postgres" [label="postgres"]',
        '    "db/migrate" [label="migrate"]',
        "  }",
        "  subgraph cluster2 {",
        '    label="mail"',
        '    "mail/smtp" [label="smtp"]',
        "  }",
        '  "db/migrate" -> "db/postgres"',
        '  "mail/smtp" -> "db/postgres" [label="ended, optional", style=dotted]',
        "}",
    ]


@pytest.mark.parametrize("form", ["tree", "mermaid", "dot"])
def test_the_deepest_plan_is_drawn(form: chart.Form) -> None:
    deepest = 2000
    jobs = [job(f"s/j{number}", f"s/j{number + 1}") for number in range(deepest)] + [job(f"s/j{deepest}")]
    assert len(drawn(jobs, form)) >= deepest


@pytest.mark.parametrize("form", ["tree", "mermaid", "dot"])
def test_many_ways_from_top_to_bottom_are_not_many_lines(form: chart.Form) -> None:
    layers = 200
    jobs = [job(f"s/{side}{at}", f"s/a{at + 1}", f"s/b{at + 1}") for at in range(layers - 1) for side in "ab"]
    jobs += [job(f"s/{side}{layers - 1}") for side in "ab"]
    assert len(drawn(jobs, form)) <= 6 * layers + 10


@given(st.data())
def test_every_job_and_every_need_is_in_every_drawing_once(data: st.DataObject) -> None:
    names = [f"s{number % 3}/j{number}" for number in range(data.draw(st.integers(1, 12)))]
    jobs = [
        job(name, *data.draw(st.lists(st.sampled_from(names[at + 1 :]), unique=True)) if names[at + 1 :] else [])
        for at, name in enumerate(names)
    ]
    jobs.sort(key=lambda job: job.system)
    edges = sorted((job.name, need.job) for job in jobs for need in job.needs)
    tree: list[tuple[str, str]] = []
    above: list[str] = []
    for line in drawn(jobs, "tree"):
        at = re.search(r"\w", line)
        assert at
        depth = at.start() // 3
        name = line[at.start() :].removesuffix(" …")
        del above[depth:]
        tree += [(above[-1], name)] if above else []
        above.append(name)
    assert sorted(tree) == edges
    ids = {f"job{number}": job.name for number, job in enumerate(jobs, 1)}
    mermaid = re.findall(r"^  (\w+) --> (\w+)$", "\n".join(drawn(jobs, "mermaid")), re.MULTILINE)
    assert sorted((ids[one], ids[other]) for one, other in mermaid) == edges
    assert sorted(re.findall(r'^  "(.*)" -> "(.*)"$', "\n".join(drawn(jobs, "dot")), re.MULTILINE)) == edges


def plain(text: str) -> str:
    return escape.plain(" ".join(text.split("\n")).encode(errors="replace"))


QUOTED_IN_MERMAID = r'"([^"]*)"'
QUOTED_IN_DOT = r'"((?:[^"\\]|\\.)*)"'


@given(st.text())
def test_no_text_breaks_out_of_its_quotes(text: str) -> None:
    jobs = [job("s/a", Need("s/b", "line", line=text), title=f"t{text}"), job("s/b")]
    node, _, _, edge = drawn(jobs, "mermaid")[2:]
    found = re.fullmatch(rf"    job1\[{QUOTED_IN_MERMAID}]", node)
    assert found and not re.search(r"[`\\|%&:]|#(?!\d+;)|<(?!br/>)", found[1])
    assert html.unescape(re.sub(r"#(\d+);", r"&#\1;", found[1])).partition("<br/>")[2] == plain(f"t{text}")
    assert re.fullmatch(rf"  job1 -->\|{QUOTED_IN_MERMAID}\| job2", edge)
    (node,) = (line for line in drawn(jobs, "dot") if line.startswith('    "s/a"'))
    found = re.fullmatch(rf'    "s/a" \[label={QUOTED_IN_DOT}]', node)
    assert found
    label = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), found[1])
    assert label.replace("&amp;", "&").partition("\n")[2] == plain(f"t{text}")
    assert any(re.fullmatch(rf'  "s/a" -> "s/b" \[label={QUOTED_IN_DOT}]', line) for line in drawn(jobs, "dot"))


@pytest.mark.parametrize("form", ["tree", "mermaid", "dot"])
def test_no_text_drives_the_terminal(form: chart.Form) -> None:
    jobs = [job("s/a", Need("s/b", "line", line=HOSTILE), title=HOSTILE), job("s/b")]
    assert all(line.isprintable() for line in drawn(jobs, form))


@pytest.mark.real("dot")
def test_graphviz_reads_what_is_written_for_it() -> None:
    jobs = [job("s/a", Need("s/b", "line", line=HOSTILE, is_optional=True), title=HOSTILE), job("s/b"), *FLOCK]
    text = "\n".join(drawn(jobs, "dot"))
    argv = ["dot", "-Tjson0"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stderr == ""
    said = json.loads(done.stdout)
    named = {item["_gvid"]: item["name"] for item in said["objects"]}
    edges = [(named[edge["tail"]], named[edge["head"]]) for edge in said["edges"]]
    assert sorted(edges) == sorted((job.name, need.job) for job in jobs for need in job.needs)
    assert [item["label"] for item in said["objects"] if "nodes" in item] == ["s", "web", "db", "mail", "alone"]
    svg = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, timeout=DEADLINE, check=True)
    shown = html.unescape(svg.stdout).replace("\xa0", " ")
    assert f">{HARMLESS}<" in shown and f'line "{HARMLESS}", optional<' in shown
