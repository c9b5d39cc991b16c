"""The door to the street: options, exit codes and what is printed, through the real program."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.zap import DEADLINE, Zap
from zap import __version__, plan

ROOT = Path(__file__).parent.parent
GOOD = "systems: {web: {api: echo hello, db: [echo a, echo b]}}"
BAD = "systems:\n  web:\n    api: {comands: echo, grace: soon}\n"


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


def shell(zap: Zap, line: str) -> subprocess.CompletedProcess[str]:
    """A line as a person types it, with `zap` in it."""
    program = f"zap() {{ '{sys.executable}' -m zap \"$@\"; }}\n"
    argv = ["bash", "-c", program + line]
    return subprocess.run(argv, cwd=zap.folder, env=zap.env, capture_output=True, text=True, timeout=DEADLINE)


# Help.


@pytest.mark.parametrize("command", [[], ["run"], ["check"], ["fixups"]])
def test_every_command_helps(zap: Zap, command: list[str]) -> None:
    done = zap.run(*command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: zap")


def test_what_the_readme_says_of_run_is_in_its_help(zap: Zap) -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `-")]
    cells = " ".join(re.split(r"(?<!\\)\|", row)[1] for row in rows).replace("\\|", " ").replace("`", " ")
    options = set(re.findall(r"(?<!\S)--?[a-z]+", cells))
    words = set(re.findall(r"(?<!\S)[a-z]+", cells))
    assert {"-f", "-q", "--json", "--until", "--heal"} <= options
    assert {"ready", "auto", "all", "none"} <= words
    said = zap.run("run", "--help").stdout
    assert [option for option in options | words if not re.search(rf"(?<![\w-]){option}\b", said)] == []


def test_the_version(zap: Zap) -> None:
    assert zap.run("--version").stdout == f"zap {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the interface needs a terminal"),
        (["nonsense"], "no system or job is called nonsense"),
        (["open", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["run", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["run", "--until", "never"], "invalid choice: 'never'"),
        (["run", "--heal", "some"], "invalid choice: 'some'"),
        (["fixups", "run"], "invalid choice: 'run'"),
    ],
)
def test_a_wrong_command_line_is_told_and_starts_nothing(zap: Zap, arguments: list[str], said: str) -> None:
    zap.write("systems: {s: {j: touch started}}")
    done = zap.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (zap.folder / "started").exists()


# Check.


def test_check_counts_what_is_right(zap: Zap) -> None:
    path = zap.write(GOOD)
    done = zap.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{path}: 1 systems?, 2 jobs, \d+ fixups: nothing wrong\n", done.stdout)
    assert zap.run("check", "--json").stdout == ""


def test_check_tells_everything_that_is_wrong(zap: Zap) -> None:
    zap.write(BAD)
    done = zap.run("check")
    assert (done.returncode, done.stdout) == (2, "")
    told = zap.run("check", "--json")
    assert (told.returncode, told.stderr) == (2, "")
    problems = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(item["line"], item["column"], item["path"]) for item in problems] == [
        (3, 5, "web/api"),
        (3, 11, "web/api"),
        (3, 33, "web/api: grace"),
    ]
    assert done.stderr.splitlines() == ["{file}:{line}:{column}: {path}: {what}".format(**item) for item in problems]


def wrong(zap: Zap, *arguments: str) -> str:
    """What `check` says of a plan that cannot be right; `run` says the same, and neither shows a traceback."""
    done = zap.run("check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert zap.run("run", *arguments).stderr == done.stderr
    return done.stderr


def test_a_plan_that_is_a_folder_is_told(zap: Zap) -> None:
    assert wrong(zap, "-f", "home") == "-f home: it is not a file\n"


def test_a_plan_that_is_not_there_is_told(zap: Zap) -> None:
    assert wrong(zap, "-f", "none.yaml") == "-f none.yaml: there is no such file\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a file that not even root can read is there on Linux")
def test_a_plan_that_cannot_be_read_is_told(zap: Zap) -> None:
    assert wrong(zap, "-f", "/proc/self/mem") == "/proc/self/mem:1:1: cannot be read: input/output error\n"


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n"])
def test_an_empty_plan_is_told(zap: Zap, text: str) -> None:
    zap.write(text)
    assert wrong(zap).endswith('the file is empty — it begins with "systems:"\n')


def test_a_current_folder_that_is_gone_is_told_without_a_traceback(zap: Zap) -> None:
    done = shell(zap, "mkdir gone; cd gone; rmdir ../gone; zap run; echo $?; zap check -f /dev/null; echo $?")
    assert done.stdout == "2\n2\n"
    assert "Traceback" not in done.stderr
    assert done.stderr.count("the current folder is gone") == 2


# Schema.


def nodes(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [node for item in schema for node in nodes(item)]
    if isinstance(schema, dict):
        return [schema, *(node for item in schema.values() for node in nodes(item))]
    return []


def test_the_schema_is_one_and_names_every_setting(zap: Zap) -> None:
    done = zap.run("check", "--schema")  # without a plan
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["systems"], False)
    references = [node["$ref"] for node in nodes(schema) if isinstance(node.get("$ref"), str)]
    assert references and all(ref.removeprefix("#/$defs/") in schema["$defs"] for ref in references)
    objects = [node for node in nodes(schema) if isinstance(node.get("properties"), dict)]
    settings = {name for node in objects for name in node["properties"]}
    fields = {"when-need-fails" if field == "when_need_fails" else field for field in plan.Job._fields}
    assert fields - {"name", "where"} <= settings
    for node in objects:
        assert set(node.get("required", ())) <= set(node["properties"])


def test_the_schema_goes_through_a_pipe_that_closes_early(zap: Zap) -> None:
    done = shell(zap, "for i in 1 2 3; do zap check --schema | head -n 1; done")
    assert (done.stdout, done.stderr) == ("{\n" * 3, "")


@pytest.mark.parametrize("arguments", [["check", "--schema"], ["check"], ["fixups"]])
def test_when_nobody_reads_at_all_there_is_no_traceback(zap: Zap, arguments: list[str]) -> None:
    """As in `zap check | true`, also when all of it fits into a buffer that is written at the very end."""
    zap.write(GOOD)
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as nobody:
        argv = [sys.executable, "-m", "zap", *arguments]
        done = subprocess.run(
            argv, cwd=zap.folder, env=zap.env, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=DEADLINE
        )
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


# Fixups.

TELLS = """\
    about: in the way
    match: {pattern: 'in the (?P<what>way|road)'}
    mode: auto
    run: [[echo, '{what}']]
    then: continue
    examples: {matches: [in the way], ignores: [on the way]}
    """


@pytest.fixture
def tells(zap: Zap) -> Zap:
    """A plan with a fixup of its own."""
    zap.write(GOOD)
    zap.write(TELLS, "fixups/tells.yaml")
    return zap


def test_fixups_are_listed_with_what_they_do(tells: Zap) -> None:
    done = tells.run("fixups")
    assert done.returncode == 0
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}
    assert rows["tells"] == "auto"
    assert {"port-in-use", "disk-full", "git-index-lock"} <= rows.keys()
    assert all(line.endswith(")") for line in done.stdout.splitlines())
    assert tells.run("fixups", "list").stdout == done.stdout


def test_fixups_as_json_hold_all_that_their_files_say(tells: Zap) -> None:
    told = {item["name"]: item for item in map(json.loads, tells.run("fixups", "--json").stdout.splitlines())}
    assert told["tells"] == {
        "name": "tells",
        "about": "in the way",
        "match": [{"pattern": "in the (?P<what>way|road)", "stream": "any", "exit": []}],
        "run": [["echo", "{what}"]],
        "effects": ["none"],
        "mode": "auto",
        "then": "continue",
        "wait": {"seconds": 0.0, "every": 1.0, "most": 60.0},
        "tries": {"times": 3, "seconds": 600.0},
        "examples": {"matches": ["in the way"], "ignores": ["on the way"]},
        "where": {"file": "fixups/tells.yaml", "line": 1, "column": 1},
    }


def test_the_examples_of_all_fixups_are_right(tells: Zap) -> None:
    done = tells.run("fixups", "test")
    assert done.returncode == 0, done.stdout
    assert "✓ tells: 2 examples\n" in done.stdout
    assert "✗" not in done.stdout


def test_an_example_that_is_not_as_it_says_fails_and_is_named(tells: Zap) -> None:
    tells.write(
        TELLS.replace("[in the way]", "[in the way, away]").replace("[on the way]", "[in the road]"),
        "fixups/tells.yaml",
    )
    done = tells.run("fixups", "test")
    assert done.returncode == 1
    assert done.stdout.partition("✗ ")[2].splitlines()[:3] == [
        "tells: 3 examples",
        "    examples.matches.1: no pattern matches this line",
        "    examples.ignores.0: a pattern matches this line",
    ]
    told = tells.run("fixups", "test", "--json")
    assert told.returncode == 1
    failed = [item for item in map(json.loads, told.stdout.splitlines()) if item["problems"]]
    assert failed == [
        {
            "fixup": "tells",
            "examples": 3,
            "problems": [
                {"path": ["examples", "matches", 1], "what": "no pattern matches this line"},
                {"path": ["examples", "ignores", 0], "what": "a pattern matches this line"},
            ],
        }
    ]


# Where it is printed.

HELLO = r"systems: {s: {j: 'printf ''\033[31mred\033[0m\n'''}}"


@pytest.mark.parametrize(
    ("arguments", "env", "is_coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"TERM": "dumb"}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {}, False),
    ],
)
def test_on_a_terminal_it_is_coloured_unless_somebody_minds(
    zap: Zap, arguments: list[str], env: dict[str, str], is_coloured: bool
) -> None:
    """https://no-color.org: when the variable is there and not empty."""
    zap.write(HELLO)
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as screen:
        with open(theirs, "wb") as terminal:
            argv = [sys.executable, "-m", "zap", "run", *arguments]
            env = zap.env | {"TERM": "xterm"} | env
            subprocess.run(argv, cwd=zap.folder, env=env, stdin=subprocess.DEVNULL, stdout=terminal, timeout=DEADLINE)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: everything was read
            while data := screen.read(65536):
                shown += data
    assert b"red" in shown
    assert (b"\x1b[31mred\x1b[0m" in shown) is is_coloured


def test_a_locale_without_such_signs_is_no_reason_to_fail(zap: Zap) -> None:
    zap.write(GOOD)
    done = zap.run(
        "fixups", "test", env={"LANG": "C", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "? port-in-use:" in done.stdout
