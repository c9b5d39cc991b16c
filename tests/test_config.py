from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zap import plan, wire
from zap.config import Loaded, load
from zap.errors import ConfigError
from zap.settings import MODELS, reference, schema

HERE = Path(__file__).parent
BROKEN = HERE / "broken"
BUNDLED = BROKEN / "bundled"
ENVIRON = {"HOME": "/home/me", "EMPTY": ""}


def broken(folder: str) -> list[str]:
    return sorted(path.stem for path in BROKEN.glob(f"{folder}*.yaml"))


@pytest.mark.parametrize("name", broken(""))
def test_broken_plan_tells_all_its_problems(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    with pytest.raises(ConfigError) as raised:
        load(Path(f"{name}.yaml"), ENVIRON, BUNDLED)
    assert f"{raised.value}\n" == (BROKEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", broken("fixup/"))
def test_broken_fixup_tells_all_its_problems(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BROKEN)
    path = tmp_path / "jobs.yaml"
    path.write_text(f"systems: {{a: {{b: ls}}}}\nfixups: '{BROKEN / 'fixup' / name}.yaml'\n")
    with pytest.raises(ConfigError) as raised:
        load(path, ENVIRON, BUNDLED)
    assert f"{raised.value}\n" == (BROKEN / "fixup" / f"{name}.txt").read_text()


def test_there_are_enough_broken_files() -> None:
    assert len(broken("")) >= 50
    assert len(broken("fixup/")) >= 10


class Folder:
    """A folder with files in it that is loaded as a plan."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def load(self, text: str, environ: Mapping[str, str] = ENVIRON) -> Loaded:
        self.write("jobs.yaml", text)
        return load(self.path / "jobs.yaml", environ, BUNDLED)

    def job(self, text: str, environ: Mapping[str, str] = ENVIRON) -> plan.Job:
        """The one job of a plan, written as settings of the job."""
        lines = "".join(f"      {line}\n" for line in text.splitlines())
        return self.load(f"systems:\n  web:\n    api:\n{lines}", environ).plan.jobs[0]

    def problems(self, text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.load(text)
        return [str(problem).replace(f"{self.path}/", "") for problem in raised.value.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def texts(job: plan.Job) -> list[str]:
    return [command.text for command in job.commands]


def test_smallest_useful_file_has_three_lines(folder: Folder) -> None:
    loaded = folder.load("systems:\n  web:\n    api: npm run dev\n")
    path = str(folder.path / "jobs.yaml")
    assert loaded.plan.systems == (
        plan.System(
            "web",
            (
                plan.Job(
                    name="web/api",
                    title="npm run dev",
                    commands=(plan.Command("npm run dev", plan.Where(path, 3, 10)),),
                    cwd=str(folder.path),
                    fixups=("port-in-use",),
                    where=plan.Where(path, 3, 5),
                ),
            ),
            where=plan.Where(path, 2, 3),
        ),
    )
    assert loaded.plan.path == path
    assert loaded.is_expanded is False


def test_example_of_the_forms(folder: Folder) -> None:
    systems = folder.load(
        "systems:\n"
        "  web:\n"
        "    api: [cd api, npm ci, npm run dev]\n"
        "    worker:\n"
        "      commands: |\n"
        "        cd worker\n"
        "\n"
        "        ./work --queue mail\n"
        "      restart: on-failure\n"
        "  tools:\n"
        "    start: false\n"
        "    defaults: {tty: false}\n"
        "    jobs: {worker: top}\n"
    ).plan.systems
    api, worker = systems[0].jobs
    assert texts(api) == ["cd api", "npm ci", "npm run dev"]
    assert [command.where and command.where[1:] for command in api.commands] == [(3, 11), (3, 19), (3, 27)]
    assert texts(worker) == ["cd worker", "./work --queue mail"]
    assert [command.where and command.where[1:] for command in worker.commands] == [(6, 9), (8, 9)]
    assert (worker.restart, worker.tty, worker.title) == ("on-failure", True, "work mail")
    assert (systems[0].start, systems[1].start, systems[1].jobs[0].name) == (True, False, "tools/worker")
    assert systems[1].jobs[0].tty is False


def test_every_setting_reaches_the_plan(folder: Folder) -> None:
    folder.write("a.env", "A=1")
    folder.write("b.env", "B=1")
    job = folder.job(
        "commands: ./serve\n"
        "title: The server\n"
        "cwd: sub/../api\n"
        "env: {PORT: 80, GONE: null, ALSO: }\n"
        "env_file: [a.env, b.env]\n"
        "shell: bash -euo 'pipefail x'\n"
        "tty: false\n"
        "restart: always\n"
        "settle: 500ms\n"
        "grace: 1m30s\n"
        "tries: unlimited\n"
        "backoff: {first: 0, factor: 1.5, most: 1h, jitter: 0}\n"
        "success_codes: [0, 143]\n"
        'stop: {signal: [sigint, TERM], command: ./bye, keys: "\\x03${HOME}"}\n'
        "start: false\n"
        "fixups: off\n"
        "buffer: {lines: 100, bytes: 512k}\n"
        "answers:\n"
        "- {prompt: 'Sure\\?', reply: yes}\n"
        "- {prompt: 'Password:', secret: {file: ~/secret}}\n"
        "- {prompt: 'PIN', secret: {command: 'pass ${PIN}'}}\n"
        "when-need-fails: stop\n"
        "ready: {http: 'http://localhost${HOME}', status: 204, every: 100ms, timeout: 2, passes: 3, within: 1m}\n"
        "health: {command: 'ask ${PORT}', every: 5, timeout: 1, fails: 2}\n"
        "ping: {after: 5m, send: '${HOME}', timeout: 3, fails: 1}\n"
        "watchdog: 30s\n"
        "hooks: {before_start: 'a ${A}', after_start: b, before_stop: c, after_stop: 'echo $ZAP_EXIT'}\n"
    )
    assert job._replace(where=None, commands=()) == plan.Job(
        name="web/api",
        title="The server",
        commands=(),
        cwd=str(folder.path / "api"),
        env=(("PORT", "80"), ("GONE", None), ("ALSO", None)),
        env_file=(str(folder.path / "a.env"), str(folder.path / "b.env")),
        shell=("bash", "-euo", "pipefail x"),
        tty=False,
        restart="always",
        settle=0.5,
        grace=90,
        tries=None,
        backoff=plan.Backoff(0, 1.5, 3600, 0),
        success_codes=(0, 143),
        stop=plan.Stop(("INT", "TERM"), "./bye", "\x03/home/me"),
        start=False,
        fixups=(),
        buffer=plan.Bound(100, 512 * plan.KIB),
        answers=(
            plan.Answer(r"Sure\?", "yes"),
            plan.Answer("Password:", None, plan.Secret("file", "/home/me/secret")),
            plan.Answer("PIN", None, plan.Secret("command", "pass ${PIN}")),
        ),
        when_need_fails="stop",
        ready=plan.Ready(
            by="probe",
            probe=plan.Probe(http="http://localhost/home/me", status=(204,)),
            every=0.1,
            timeout=2,
            passes=3,
            within=60,
        ),
        health=plan.Health(plan.Probe(command="ask ${PORT}"), every=5, timeout=1, fails=2),
        ping=plan.Ping(after=300, send="/home/me", timeout=3, fails=1),
        watchdog=30,
        hooks=plan.Hooks("a ${A}", "b", "c", "echo $ZAP_EXIT"),
    )


def test_plan_with_everything_in_it_survives_the_cache(folder: Folder) -> None:
    found = folder.load(
        "watch-plan: true\n"
        "defaults: {when-need-fails: skip, ready: {by: notify, within: 3}, hooks: {after_stop: bye}}\n"
        "systems:\n"
        "  web:\n"
        "    api:\n"
        "      commands: ls\n"
        "      needs: [db, {job: infra/queue, line: up, optional: true, follow: true}, {job: mail, for: done}]\n"
        "      ready: {tcp: 80, every: 2, passes: 2}\n"
        "      health: {http: 'https://localhost', status: [200, 301]}\n"
        "      ping: {after: 5m, command: ls}\n"
        "      watchdog: 30s\n"
        '      stop: {signal: [INT, TERM], keys: "q\\r"}\n'
        "    db: {commands: ls, ready: {file: run/db.pid}}\n"
        "    mail: {commands: ls, ready: {line: up}}\n"
        "  infra: {queue: ls}\n"
    ).plan
    assert wire.reader_of(plan.Plan)(json.loads(json.dumps(wire.to_plain(found)))) == found
    api, db, mail, queue = found.jobs
    assert found.is_watched is True
    assert api.needs == (
        plan.Need("web/db"),
        plan.Need("infra/queue", "line", "up", is_optional=True, follow=True),
        plan.Need("web/mail", "done"),
    )
    assert api.stop == plan.Stop(("INT", "TERM"), keys="q\r")
    assert {job.when_need_fails for job in found.jobs} == {"skip"}
    assert {job.hooks for job in found.jobs} == {plan.Hooks(after_stop="bye")}
    assert queue.ready == plan.Ready("notify", within=3)
    assert mail.ready == plan.Ready("line", line="up")
    assert db.ready == plan.Ready("probe", probe=plan.Probe(file=str(folder.path / "run/db.pid")))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("db", [plan.Need("web/db")]),
        ("web/db", [plan.Need("web/db")]),
        ("infra/db", [plan.Need("infra/db")]),
        ("[db, infra/db]", [plan.Need("web/db"), plan.Need("infra/db")]),
        ("", []),
        ("[]", []),
        ("{job: db}", [plan.Need("web/db")]),
        ("{job: db, for: ready}", [plan.Need("web/db")]),
        ("{job: db, for: started}", [plan.Need("web/db", "started")]),
        ("{job: db, for: ended, optional: true}", [plan.Need("web/db", "ended", is_optional=True)]),
        ("{job: db, follow: true}", [plan.Need("web/db", follow=True)]),
        ("{job: db, line: 'on port ${N}'}", [plan.Need("web/db", "line", "on port ${N}")]),
        ("['${DB}', {job: 'infra/${DB}', for: '${FOR:-done}'}]", [plan.Need("web/db"), plan.Need("infra/db", "done")]),
        ("\n      - db\n      - job: infra/db", [plan.Need("web/db"), plan.Need("infra/db")]),
    ],
)
def test_needs(folder: Folder, written: str, expected: list[plan.Need]) -> None:
    text = f"systems:\n  web:\n    api:\n      commands: ls\n      needs: {written}\n    db: ls\n  infra: {{db: ls}}\n"
    assert list(folder.load(text, {"DB": "db"}).plan.jobs[0].needs) == expected


def test_needs_of_the_long_form_of_a_system_and_through_an_alias(folder: Folder) -> None:
    jobs = folder.load(
        "x-up: &up {needs: &needs [db, {job: infra/queue, for: started}]}\n"
        "systems:\n"
        "  web: {start: true, jobs: {a: {<<: *up, commands: ls}, b: {commands: ls, needs: *needs}, db: ls}}\n"
        "  infra: {queue: ls}\n"
    ).plan.jobs
    expected = (plan.Need("web/db"), plan.Need("infra/queue", "started"))
    assert [job.needs for job in jobs] == [expected, expected, (), ()]


def test_what_is_wrong_with_one_job_hides_nothing_that_is_wrong_with_its_needs(folder: Folder) -> None:
    assert folder.problems(
        "systems:\n"
        "  web:\n"
        "    a: {commands: ls, needs: b, tty: 3}\n"
        "    b: {needs: [c, a]}\n"
        "  db:\n"
        "    start: maybe\n"
        "    jobs:\n"
        "      pg: {commands: ls, needs: [web/b, pgbouncr]}\n"
        "      pgbouncer: {commands: ls, tty: false, stop: {keys: q}}\n"
        "  infra:\n"
        "    start: false\n"
        "    queue: {commands: ls, needs: mail}\n"
        "    mail: {commands: ls, needs: queue}\n"
    ) == [
        'jobs.yaml:3:38: web/a: tty: expected true or false, not "3"',
        'jobs.yaml:4:5: web/b: "commands" is missing',
        'jobs.yaml:4:17: web/b: needs: there is no job "c" in web',
        "jobs.yaml:4:20: web/b: needs: the needs go in a circle: web/a → web/b → web/a",
        'jobs.yaml:6:12: db: start: expected true or false, not "maybe"',
        'jobs.yaml:8:41: db/pg: needs: there is no job "pgbouncr" in db — did you mean pgbouncer?',
        "jobs.yaml:9:58: db/pgbouncer: stop: keys: there is nothing to type into, "
        "because tty is false and there are no answers",
        'jobs.yaml:11:5: infra: "start" is a setting of the system, so its jobs belong below "jobs:" — '
        "move queue, mail there",
        "jobs.yaml:13:33: infra/mail: needs: the needs go in a circle: infra/queue → infra/mail → infra/queue",
    ]


def test_jobs_that_all_need_each_other_have_few_problems(folder: Folder) -> None:
    names = [f"j{number}" for number in range(30)]
    jobs = "".join(
        f"    {name}: {{commands: ls, needs: [{', '.join(other for other in names if other != name)}]}}\n"
        for name in names
    )
    problems = folder.problems(f"systems:\n  web:\n{jobs}")
    assert all(": needs: the needs go in a circle: web/j" in problem for problem in problems)
    assert len(set(problems)) == 10


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("settle", plan.Ready()),
        ("exit", plan.Ready("exit")),
        ("notify", plan.Ready("notify")),
        ("${SIGN:-exit}", plan.Ready("exit")),
        ("{by: settle, within: 30s}", plan.Ready(within=30)),
        ("{by: exit, within: 1m}", plan.Ready("exit", within=60)),
        ("{by: notify, within: 0.5}", plan.Ready("notify", within=0.5)),
        ("{line: 'listening on ${PORT}'}", plan.Ready("line", line="listening on ${PORT}")),
        ("{line: up, within: 3}", plan.Ready("line", line="up", within=3)),
        ("{tcp: 5432}", plan.Ready("probe", probe=plan.Probe(tcp="localhost:5432"))),
        ("{command: pg_isready}", plan.Ready("probe", probe=plan.Probe(command="pg_isready"))),
        ("{file: /run/db.pid}", plan.Ready("probe", probe=plan.Probe(file="/run/db.pid"))),
        ("{file: ~/db.pid}", plan.Ready("probe", probe=plan.Probe(file="/home/me/db.pid"))),
        ("{http: 'http://localhost'}", plan.Ready("probe", probe=plan.Probe(http="http://localhost"))),
        (
            "{http: 'http://localhost', status: [200, 503], every: 100ms, timeout: 10ms, passes: 2}",
            plan.Ready("probe", None, plan.Probe(http="http://localhost", status=(200, 503)), 0.1, 0.01, 2),
        ),
    ],
)
def test_ready(folder: Folder, written: str, expected: plan.Ready) -> None:
    assert folder.job(f"commands: ls\nready: {written}").ready == expected


def test_ready_of_the_file_is_replaced_by_that_of_a_job(folder: Folder) -> None:
    jobs = folder.load(
        "defaults: {ready: {tcp: 80, within: 3}, hooks: {before_start: a}, when-need-fails: skip}\n"
        "systems: {web: {a: ls, b: {commands: ls, ready: settle, hooks: {}, when-need-fails: wait}}}\n"
    ).plan.jobs
    assert [job.ready for job in jobs] == [
        plan.Ready("probe", probe=plan.Probe(tcp="localhost:80"), within=3),
        plan.Ready(),
    ]
    assert [job.hooks for job in jobs] == [plan.Hooks("a"), plan.Hooks()]
    assert [job.when_need_fails for job in jobs] == ["skip", "wait"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", plan.Limits()),
        ("{memory: 1M}", plan.Limits(memory=plan.MIB)),
        ("{memory: 2GiB, cpu: 0.5, pids: 2}", plan.Limits(2048 * plan.MIB, 0.5, 2)),
        ("{files: 1024, nice: -20, oom_score: -1000}", plan.Limits(files=1024, nice=-20, oom_score=-1000)),
        ("{cpu: 16, nice: 19, oom_score: 1000}", plan.Limits(cpu=16, nice=19, oom_score=1000)),
        ("{memory: '${MOST:-64M}'}", plan.Limits(memory=64 * plan.MIB)),
    ],
)
def test_limits(folder: Folder, written: str, expected: plan.Limits) -> None:
    assert folder.job(f"commands: ls\nlimits: {written}").limits == expected


def test_where_a_job_runs(folder: Folder) -> None:
    job = folder.job("commands: ls\nuser: nobody\ngroup: 7\numask: 027\nprivate_tmp: true\nnetwork: none\ncwd: /srv")
    assert (job.user, job.group, job.umask, job.private_tmp, job.network) == ("nobody", "7", 0o27, True, "none")
    plain = folder.job("ls")
    assert (plain.user, plain.group, plain.umask, plain.private_tmp, plain.network) == (None, None, None, False, "host")


def test_limits_of_the_file_are_replaced_by_those_of_a_job(folder: Folder) -> None:
    jobs = folder.load(
        "defaults: {limits: {memory: 1M, nice: 5}, umask: '077', network: none, user: nobody}\n"
        "systems: {web: {a: ls, b: {commands: ls, limits: {nice: 0}, network: host, user: 0}}}\n"
    ).plan.jobs
    assert [job.limits for job in jobs] == [plan.Limits(memory=plan.MIB, nice=5), plan.Limits(nice=0)]
    assert [(job.umask, job.network, job.user) for job in jobs] == [(0o77, "none", "nobody"), (0o77, "host", "0")]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("api.log", plan.Log("HERE/api.log")),
        ("'../{system}/{job}-{job}.log'", plan.Log("HERE/web/api-api.log")),
        ("~/api.log", plan.Log("/home/me/api.log")),
        ("/var/log/api.log", plan.Log("/var/log/api.log")),
        ("{file: a, size: 64k, keep: 0, compress: false}", plan.Log("HERE/a", 64 * plan.KIB, 0, False)),
    ],
)
def test_log(folder: Folder, written: str, expected: plan.Log) -> None:
    """A relative file is in the job's folder."""
    here = str(folder.path / "deep").replace("/deep", "" if written.startswith("'..") else "/deep")
    log = folder.job(f"commands: ls\ncwd: deep\nlog: {written}").log
    assert log == expected._replace(file=expected.file.replace("HERE", here))


def test_each_job_has_a_log_of_its_own_by_the_defaults(folder: Folder) -> None:
    jobs = folder.load(
        "defaults: {log: {file: 'logs/{system}/{job}.log', keep: 1}}\nsystems: {web: {a: ls, b: ls}, db: {a: ls}}\n"
    ).plan.jobs
    logs = folder.path / "logs"
    assert [job.log for job in jobs] == [plan.Log(f"{logs}/{name}.log", keep=1) for name in ("web/a", "web/b", "db/a")]


@pytest.mark.parametrize("restart", ["never", "on-failure"])
def test_ready_by_exit_is_for_jobs_that_end(folder: Folder, restart: str) -> None:
    assert folder.job(f"commands: ls\nready: exit\nrestart: {restart}").ready.by == "exit"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("5432", "localhost:5432"),
        (":5432", "localhost:5432"),
        ("localhost:5432", "localhost:5432"),
        ("db.example.org:1", "db.example.org:1"),
        ("127.0.0.1:65535", "127.0.0.1:65535"),
        ("my_db-1:080", "my_db-1:80"),
        ("'[::1]:5432'", "[::1]:5432"),
        ("'[fe80::1%eth0]:80'", "[fe80::1%eth0]:80"),
        ("${HOST:-db}:${PORT:-80}", "db:80"),
    ],
)
def test_address(folder: Folder, written: str, expected: str) -> None:
    job = folder.job(f"commands: ls\nhealth:\n  tcp: {written}")
    assert job.health == plan.Health(plan.Probe(tcp=expected))


@pytest.mark.parametrize(
    "written",
    ["http://localhost", "https://db:8080/health?deep=1#top", "http://[::1]:80/", "http://me:secret@db/", "http://1"],
)
def test_url(folder: Folder, written: str) -> None:
    assert folder.job(f"commands: ls\nhealth: {{http: '{written}'}}").health == plan.Health(plan.Probe(http=written))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{after: 5m, command: 'curl ${URL}'}", plan.Ping(300, command="curl ${URL}")),
        ("{after: 0.1, send: ''}", plan.Ping(0.1, send="")),
        ("{after: 1h, send: status, timeout: 3, fails: 1}", plan.Ping(3600, send="status", timeout=3, fails=1)),
    ],
)
def test_ping(folder: Folder, written: str, expected: plan.Ping) -> None:
    assert folder.job(f"commands: ls\nping: {written}").ping == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("INT", plan.Stop(("INT",))),
        ("[INT, sigterm]", plan.Stop(("INT", "TERM"))),
        ("{signal: HUP}", plan.Stop(("HUP",))),
        ("{signal: [INT, INT, QUIT], command: 'bye ${X}'}", plan.Stop(("INT", "INT", "QUIT"), "bye ${X}")),
        ('{keys: "\\x03"}', plan.Stop(("TERM",), keys="\x03")),
        ('{keys: "\\r"}', plan.Stop(("TERM",), keys="\r")),
        ("{keys: quit}", plan.Stop(keys="quit")),
        ("{}", plan.Stop()),
    ],
)
def test_stop(folder: Folder, written: str, expected: plan.Stop) -> None:
    assert folder.job(f"commands: ls\nstop: {written}").stop == expected


def test_job_without_a_terminal_can_be_typed_into_when_it_is_answered(folder: Folder) -> None:
    job = folder.job(
        "commands: ls\ntty: false\nanswers: {prompt: x, reply: y}\nstop: {keys: q}\nping: {after: 1, send: x}"
    )
    assert (job.stop.keys, job.tty) == ("q", False)


@pytest.mark.parametrize(
    ("written", "expected"), [("", False), ("watch-plan: true", True), ("watch-plan: false", False)]
)
def test_plan_that_is_watched(folder: Folder, written: str, expected: bool) -> None:
    assert folder.load(f"systems: {{a: {{b: ls}}}}\n{written}\n").plan.is_watched is expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2s", plan.Backoff(2)),
        ("0", plan.Backoff(0)),
        ("1h", plan.Backoff(first=3600, most=3600)),
        ("{most: 5}", plan.Backoff(most=5)),
    ],
)
def test_backoff(folder: Folder, written: str, expected: plan.Backoff) -> None:
    assert folder.job(f"commands: ls\nbackoff: {written}").backoff == expected


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0", 0), ("1.5", 1.5), ("250ms", 0.25), ("10s", 10), ("2m", 120), ("1h30m", 5400), ("1d", 86400), ("0.5s", 0.5)],
)
def test_duration(folder: Folder, written: str, seconds: float) -> None:
    assert folder.job(f"commands: ls\ngrace: {written}").grace == seconds


def test_yaml_changes_nothing_that_was_written(folder: Folder) -> None:
    job = folder.job(
        "commands: [true, no, 010]\ntitle: 1:30\nenv: {A: on, B: 010, C: 0x1F, D: 2026-01-01, E: 1_000, no: ~}"
    )
    assert texts(job) == ["true", "no", "010"]
    assert job.title == "1:30"
    assert job.env == (("A", "on"), ("B", "010"), ("C", "0x1F"), ("D", "2026-01-01"), ("E", "1_000"), ("no", None))


def test_defaults_of_file_and_system(folder: Folder) -> None:
    jobs = folder.load(
        "defaults: {restart: always, grace: 1, env: {A: file, B: file}}\n"
        "systems:\n"
        "  web:\n"
        "    defaults: {grace: 2, env: {B: system, C: system}}\n"
        "    jobs: {api: {commands: ls, grace: 3, env: {C: job, A: null}}, other: ls}\n"
        "  db: {pg: ls}\n"
    ).plan.jobs
    assert [(job.restart, job.grace, dict(job.env)) for job in jobs] == [
        ("always", 3, {"A": None, "B": "system", "C": "job"}),
        ("always", 2, {"A": "file", "B": "system", "C": "system"}),
        ("always", 1, {"A": "file", "B": "file"}),
    ]


def test_anchors_and_merge_keys(folder: Folder) -> None:
    jobs = folder.load(
        "x-a: &a {grace: 1, tty: false, commands: ls}\n"
        "x-b: &b {grace: 2, restart: always}\n"
        "systems:\n"
        "  web:\n"
        "    one: {<<: *a, grace: 7}\n"
        "    two: {<<: [*b, *a]}\n"
        "    three: *a\n"
    ).plan.jobs
    assert [(job.grace, job.tty, job.restart) for job in jobs] == [
        (7, False, "never"),
        (2, False, "always"),
        (1, False, "never"),
    ]


def test_variables_are_expanded_but_not_in_shell_text(folder: Folder) -> None:
    job = folder.job(
        "commands: ['echo ${HOME}', 'echo $${A}']\n"
        "title: ${HOME} $${HOME} ${UNSET:-a b} ${EMPTY:-full} ${EMPTY}.\n"
        "tries: ${N:-3}\n"
        "tty: ${TTY:-false}\n"
        "stop: {command: 'kill ${PID}'}\n"
        "shell: ${SH:-bash -e}\n"
        "cwd: ~/x\n"
    )
    assert texts(job) == ["echo ${HOME}", "echo $${A}"]
    assert job.title == "/home/me ${HOME} a b full ."
    assert (job.tries, job.tty, job.shell, job.cwd) == (3, False, ("bash", "-e"), "/home/me/x")
    assert job.stop.command == "kill ${PID}"


@pytest.mark.parametrize(
    ("settings", "is_expanded"),
    [
        ("title: '$${A} $A'", False),
        ("title: '${HOME}'", True),
        ("title: '${NOT_SET:-x}'", True),
        ("cwd: ~/x", True),
        ("cwd: '~'", True),
        ("cwd: x", False),
    ],
)
def test_knows_whether_the_environment_decided(folder: Folder, settings: str, is_expanded: bool) -> None:
    loaded = folder.load(f"systems: {{web: {{api: {{commands: 'ls ${{HOME}}', {settings}}}}}}}")
    assert loaded.is_expanded is is_expanded


def test_same_command_everywhere_is_kept_whole_in_a_list(folder: Folder) -> None:
    job = folder.job("commands:\n- |\n  cd a\n  ls\n- >-\n  echo\n  folded\n")
    assert texts(job) == ["cd a\nls\n", "echo folded"]


def test_id_tells_plans_apart_by_path(folder: Folder) -> None:
    folder.write("other.yaml", "systems: {a: {b: ls}}")
    ids = {
        folder.load("systems: {a: {b: ls}}").plan.id,
        folder.load("systems: {a: {b: pwd}}").plan.id,
        load(folder.path / "other.yaml", ENVIRON, BUNDLED).plan.id,
    }
    assert len(ids) == 2
    assert all(len(name) == 12 and set(name) <= set("0123456789abcdef") for name in ids)


FIXUP = "about: {about}\nmatch: {{pattern: {pattern}}}\nexamples: {{matches: [{pattern}]}}\n"


def test_fixup_says_everything(folder: Folder) -> None:
    folder.write(
        "fixups/name.yaml",
        "about: ${not expanded}\n"
        "match:\n"
        "  - {stream: err, command: 'podman|docker', pattern: 'the name \"(?P<name>[^\"]+)\"'}\n"
        "  - {exit: [125, 126], pattern: '(?P<name>x)'}\n"
        "effects: kills-process\n"
        "mode: auto\n"
        "run:\n"
        "  - [podman, rm, --time, 5, --, '{name}']\n"
        "then: continue\n"
        "wait: {probe: [nc, -z, host, 22], every: 2, most: 1m}\n"
        "verify: test -e x\n"
        "tries: 2 in 1h\n"
        "examples:\n"
        "  matches: 'the name \"py1\"'\n"
        "  ignores: ['the volume']\n",
    )
    found = next(word for word in folder.load("systems: {a: {b: podman ps}}").plan.fixups if word.name == "name")
    assert found == plan.Fixup(
        name="name",
        about="${not expanded}",
        match=(
            plan.Match('the name "(?P<name>[^"]+)"', "err", "podman|docker"),
            plan.Match("(?P<name>x)", exit=(125, 126)),
        ),
        run=(("podman", "rm", "--time", "5", "--", "{name}"),),
        effects=("kills-process",),
        mode="auto",
        then="continue",
        wait=plan.Wait(probe=("nc", "-z", "host", "22"), every=2, most=60),
        verify="test -e x",
        tries=plan.Budget(2, 3600),
        examples=plan.Examples(('the name "py1"',), ("the volume",)),
        where=plan.Where(str(folder.path / "fixups/name.yaml"), 1, 1),
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("10s", plan.Wait(seconds=10)),
        ("nc -z host 22", plan.Wait(probe="nc -z host 22")),
        ("[nc, host]", plan.Wait(probe=("nc", "host"))),
    ],
)
def test_wait_of_a_fixup(folder: Folder, written: str, expected: plan.Wait) -> None:
    folder.write("fixups/f.yaml", FIXUP.format(about="x", pattern="x") + f"wait: {written}\n")
    assert folder.load("systems: {a: {b: ls}}").plan.fixups[0].wait == expected


def test_fixups_are_armed_for_jobs_that_they_are_for(folder: Folder) -> None:
    folder.write("fixups/mine.yml", FIXUP.format(about="mine", pattern="x"))
    folder.write("more/extra.yaml", FIXUP.format(about="extra", pattern="y"))
    jobs = folder.load(
        "systems:\n"
        "  all:\n"
        "    plain: ls\n"
        "    daemon: [cd x, ./daemon --all]\n"
        "    none: {commands: ./daemon, fixups: off}\n"
        "    empty: {commands: ./daemon, fixups: []}\n"
        "    named: {commands: ./daemon, fixups: [stale-pid, mine]}\n"
        "    file: {commands: ls, fixups: more/extra.yaml}\n"
        "    folder: {commands: ls, fixups: [./more/, port-in-use, stale-pid]}\n"
        "  some:\n"
        "    fixups: mine\n"
        "    jobs: {inherits: ls, differs: {commands: ls, fixups: port-in-use}}\n"
    )
    assert {job.name: job.fixups for job in jobs.plan.jobs} == {
        "all/plain": ("port-in-use", "mine"),
        "all/daemon": ("port-in-use", "stale-pid", "mine"),
        "all/none": (),
        "all/empty": (),
        "all/named": ("stale-pid", "mine"),
        "all/file": ("extra",),
        "all/folder": ("extra", "port-in-use"),
        "some/inherits": ("mine",),
        "some/differs": ("port-in-use",),
    }
    assert [word.name for word in jobs.plan.fixups] == ["extra", "mine", "port-in-use", "stale-pid"]


def test_fixup_beside_the_plan_replaces_the_bundled_one(folder: Folder) -> None:
    folder.write("fixups/port-in-use.yaml", FIXUP.format(about="mine", pattern="x"))
    found = folder.load("systems: {a: {b: ls}}").plan
    assert {word.name: word.about for word in found.fixups}["port-in-use"] == "mine"


def test_two_fixups_of_one_name_are_a_problem(folder: Folder) -> None:
    folder.write("fixups/a.yaml", FIXUP.format(about="x", pattern="x"))
    folder.write("fixups/a.yml", FIXUP.format(about="x", pattern="x"))
    folder.write("more/a.yaml", FIXUP.format(about="x", pattern="x"))
    assert len(folder.problems("systems: {a: {b: ls}}\nfixups: more/")) == 2


def test_problems_of_the_plan_and_of_fixups_come_together(folder: Folder) -> None:
    folder.write("fixups/f.yaml", "about: x\n")
    assert folder.problems("systems: {a: {b: ls, b: pwd, c: {}}}\nfixups: [f, nothing]") == [
        'fixups/f.yaml:1:1: "match" is missing',
        'jobs.yaml:1:22: "b" is written twice in one mapping, first in line 1',
        'jobs.yaml:1:30: a/c: "commands" is missing',
        'jobs.yaml:2:13: fixups: there is no fixup "nothing"',
    ]


def test_tells_what_decided_the_plan(folder: Folder) -> None:
    folder.write("fixups/f.yaml", FIXUP.format(about="x", pattern="x"))
    folder.write("more/g.yaml", FIXUP.format(about="x", pattern="x"))
    folder.write("h.yaml", FIXUP.format(about="x", pattern="x"))
    folder.write("a.env", "")
    loaded = folder.load("systems: {a: {b: {commands: ls, env_file: a.env}}}\nfixups: [more/, h.yaml, f]")
    names = ["jobs.yaml", "fixups/f.yaml", "more/g.yaml", "h.yaml", "a.env"]
    bundled = [str(path) for path in BUNDLED.iterdir()]
    assert sorted(loaded.files) == sorted(bundled + [str(folder.path / name) for name in names])
    assert loaded.folders == (str(BUNDLED), str(folder.path / "fixups"), str(folder.path / "more"))


def test_plan_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^none.yaml:1:1: cannot be read: no such file or directory$"):
        load(Path("none.yaml"), ENVIRON, BUNDLED)
    with pytest.raises(ConfigError, match=r"cannot be read: is a directory$"):
        load(tmp_path, ENVIRON, BUNDLED)


def test_place_is_as_the_person_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "jobs.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "sub")
    for path, name in [("../jobs.yaml", "../jobs.yaml"), (f"{tmp_path}/jobs.yaml", f"{tmp_path}/jobs.yaml")]:
        with pytest.raises(ConfigError) as raised:
            load(Path(path), ENVIRON, BUNDLED)
        assert raised.value.problems[0].where == plan.Where(name, 1, 1)


KEYS = ["systems", "defaults", "fixups", "web", "api", "jobs", "commands", "start", "env", "x-y", "<<", ""]
KEYS += list(plan.Job._fields) + [name for model in MODELS.values() for name in model.settings()]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["ls", "${A", "1s", "~", "off", "../x", "api", "80"])
)
TREES = st.recursive(
    LEAVES | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=5),
    max_leaves=30,
)
PLANS = TREES | st.fixed_dictionaries({"systems": st.dictionaries(st.sampled_from(KEYS), TREES, max_size=3)})
MARKUP = st.lists(
    st.sampled_from([*"-?:,[]{}#&*!|>'\"%@` \n\t~ab\0é", "  ", "\n  ", "<<: ", "*a", "&a ", "---", "..."])
)


def no_traceback(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load(path, ENVIRON, BUNDLED)
    except ConfigError as error:
        assert error.problems
        assert all(str(problem).isprintable() for problem in error.problems)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(PLANS)
def test_any_data_is_a_plan_or_has_problems(tmp_path: Path, data: object) -> None:
    no_traceback(tmp_path / "jobs.yaml", yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary() | st.text().map(str.encode) | MARKUP.map("".join).map(str.encode))
def test_any_text_is_a_plan_or_has_problems(tmp_path: Path, content: bytes) -> None:
    no_traceback(tmp_path / "jobs.yaml", content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from([*MODELS["Fixup"].model_fields]), TREES))
def test_any_data_is_a_fixup_or_has_problems(tmp_path: Path, data: dict[str, object]) -> None:
    (tmp_path / "fixups").mkdir(exist_ok=True)
    (tmp_path / "fixups" / "any.yaml").write_text(yaml.safe_dump(data))
    no_traceback(tmp_path / "jobs.yaml", b"systems: {a: {b: ls}}")


def test_reference_in_the_docs_is_current() -> None:
    assert (HERE.parent / "docs" / "settings.md").read_text() == reference()


def test_every_setting_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, model in MODELS.items()
        for key, field in model.settings().items()
        if not field.description
    ]
    assert undescribed == []


SETTINGS = {*plan.Job._fields} - {"name", "where"}


def test_schema_tells_editors_the_short_forms_too() -> None:
    drawn = json.loads(json.dumps(schema()))
    assert drawn["properties"]["systems"]["patternProperties"] == {"^[A-Za-z0-9._-]+$": {"$ref": "#/$defs/System"}}
    short, *others = drawn["$defs"]["System"]["anyOf"]
    assert short == {"type": "object", "additionalProperties": {"$ref": "#/$defs/Job"}}
    assert set(others[0]["properties"]) == {"jobs", "start", "defaults", "fixups"}
    text, many, whole = drawn["$defs"]["Job"]["anyOf"]
    assert (text["type"], many["type"], whole["type"]) == ("string", "array", "object")
    assert set(whole["properties"]) == {name.replace("when_need_fails", "when-need-fails") for name in SETTINGS}
    assert whole["properties"]["restart"]["enum"] == ["never", "on-failure", "always"]
    assert whole["properties"]["title"]["description"]
    assert (whole["additionalProperties"], whole["required"]) == (False, ["commands"])
    assert drawn["properties"]["watch-plan"]["type"] == "boolean"
    name, need = drawn["$defs"]["Need"]["anyOf"]
    assert name == {"type": "string"}
    assert set(need["properties"]) == {"job", "for", "line", "optional", "follow"}
    assert need["properties"]["for"]["enum"] == ["started", "ready", "done", "ended"]
    sign, ready = drawn["$defs"]["Ready"]["anyOf"]
    assert sign == {"enum": ["settle", "exit", "notify"]}
    assert {"by", "line", "tcp", "http", "command", "file", "status", "within"} < set(ready["properties"])
    assert [form["type"] for form in drawn["$defs"]["Stop"]["anyOf"]] == ["string", "array", "object"]
    assert set(drawn["$defs"]["Hooks"]["properties"]) == {*plan.Hooks._fields}


def test_reference_tells_the_names_as_they_are_written() -> None:
    rows = {line.split("|")[1].strip() for line in reference().splitlines() if line.startswith("| `")}
    assert {"`needs`", "`for`", "`optional`", "`when-need-fails`", "`watch-plan`", "`within`", "`after_stop`"} <= rows
    assert not rows & {"`until`", "`is_optional`", "`when_need_fails`", "`watch_plan`"}


def test_words_need_neither_yaml_nor_pydantic() -> None:
    program = "import sys, zap.plan, zap.errors, zap.events; print({'yaml', 'pydantic'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
