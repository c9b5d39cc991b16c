from __future__ import annotations

import re

import pytest

from tests.house import FLOORS, PACKAGE, ROOT, draw, faults, written

REAL = re.compile(r"^@pytest\.mark\.real\(\"([^\"]+)\"\)$", re.MULTILINE)
TREE = {
    str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / PACKAGE).rglob("*.py") if path.name[0] not in ".#"
}


def test_every_file_stands_on_its_floor_and_imports_point_down() -> None:
    assert faults(TREE) == []


def test_every_room_has_a_file() -> None:
    rooms = {room for floor in FLOORS for room in floor.rooms}
    assert (
        sorted(
            room for room in rooms if not (ROOT / PACKAGE / room).with_suffix("" if room[-1] == "/" else ".py").exists()
        )
        == []
    )


def test_the_drawing_in_the_readme_is_this_house() -> None:
    readme = (ROOT / "README.md").read_text()
    assert draw() in readme and written(readme) == readme, "python -m tests.house --write"


def test_ci_installs_every_real_part() -> None:
    needed = {part for path in (ROOT / "tests").glob("test_*.py") for part in REAL.findall(path.read_text())}
    assert needed == set(re.findall(r"^    (\S+):\S+$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("zap/buffer.py", "from zap.runner import Runner", "zap/buffer.py:2: buffer imports runner, which is above it"),
        ("zap/buffer.py", "from zap import runner", "zap/buffer.py:2: buffer imports runner, which is above it"),
        ("zap/buffer.py", "import zap.runner", "zap/buffer.py:2: buffer imports runner, which is above it"),
        ("zap/plan.py", "from zap.session import Tail", "zap/plan.py:2: plan imports session, which is above it"),
        (
            "zap/runner.py",
            "def later():\n    from zap.headless import tell",
            "zap/runner.py:3: runner imports headless, which is above it",
        ),
        (
            "zap/child.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zap.runner import Runner",
            "zap/child.py:4: child imports runner, which is above it",
        ),
        ("zap/buffer.py", "from zap import mask", "zap/buffer.py:2: buffer imports mask, which is its neighbour"),
        ("zap/escape.py", "from zap import matcher", "zap/escape.py:2: escape imports matcher, which is its neighbour"),
        ("zap/child.py", "import zap.bus", "zap/child.py:2: child imports bus, which is its neighbour"),
        ("zap/child.py", "from .bus import Bus", "zap/child.py:2: an import that does not begin with zap"),
        ("zap/gauge.py", "import time", "zap/gauge.py:2: gauge imports time below the water line"),
        ("zap/gauge.py", "from os.path import join", "zap/gauge.py:2: gauge imports os below the water line"),
        (
            "zap/launch/ssh.py",
            "import subprocess",
            "zap/launch/ssh.py:2: launch/ imports subprocess below the water line",
        ),
        ("zap/gauge.py", "open('x')", "zap/gauge.py:2: a file is touched below the water line"),
        ("zap/headless.py", "import urwid", "zap/headless.py:2: headless imports urwid, which is for tui/"),
        ("zap/config.py", "import yaml", "zap/config.py:2: config imports yaml, which is for document"),
        (
            "zap/cli.py",
            "from pydantic import BaseModel",
            "zap/cli.py:2: cli imports pydantic, which is for config and kinds and settings",
        ),
        (
            "zap/runner.py",
            "import argparse",
            "zap/runner.py:2: runner imports argparse, which is for cli and headless and verbs/",
        ),
        ("zap/runner.py", "print(1)", "zap/runner.py:2: print is for cli and headless and verbs/"),
        (
            "zap/runner.py",
            "import subprocess",
            "zap/runner.py:2: runner imports subprocess, which is for child and keeper",
        ),
        ("zap/runner.py", "import os\nos.kill(1, 9)", "zap/runner.py:3: os.kill is for child and keeper"),
        ("zap/runner.py", "from os import posix_spawn", "zap/runner.py:2: os.posix_spawn is for child and keeper"),
        (
            "zap/cli.py",
            "import signal\nsend = signal.pidfd_send_signal",
            "zap/cli.py:3: signal.pidfd_send_signal is for child and keeper",
        ),
        ("zap/cli.py", "import importlib", "zap/cli.py:2: an import that nobody can see"),
        ("zap/cli.py", "__import__('zap.runner')", "zap/cli.py:2: an import that nobody can see"),
        ("zap/attic.py", "", "zap/attic.py: no floor names it"),
        ("zap/sinks/redis.py", "", "zap/sinks/redis.py: no floor names it"),
        ("zap/utils.py", "", "zap/utils.py: a cupboard is no room: say what is in it"),
        ("zap/launch/common.py", "", "zap/launch/common.py: a cupboard is no room: say what is in it"),
    ],
)
def test_a_fault_is_seen(path: str, source: str, fault: str) -> None:
    assert fault in faults({path: f'"""What it is for."""\n{source}'})


def test_a_file_that_does_not_say_what_it_is_for_is_seen() -> None:
    assert faults({"zap/plan.py": "KIB = 1024"}) == ["zap/plan.py: the first line does not say what the room is for"]


@pytest.mark.parametrize(
    "circle",
    [
        {"zap/errors.py": "from zap.plan import Where", "zap/plan.py": "def late():\n    import zap.errors"},
        {"zap/launch/ssh.py": "from zap.launch import local", "zap/launch/local.py": "from zap.launch import ssh"},
    ],
)
def test_a_circle_is_seen(circle: dict[str, str]) -> None:
    files = {path: f'"""What it is for."""\n{source}' for path, source in circle.items()}
    assert [fault for fault in faults(files) if fault.startswith("a circle: ")] == faults(files) != []


def test_what_is_right_is_no_fault() -> None:
    sources = {
        "zap/__init__.py": "__version__ = '1'",
        "zap/plan.py": "import re",
        "zap/errors.py": "from zap.plan import Where",
        "zap/matcher.py": "import re2\nfrom zap import plan\nfrom zap.escape import strip",
        "zap/launch/local.py": "from zap.plan import Job\nfrom zap.launch.ssh import quote",
        "zap/launch/ssh.py": "import shlex",
        "zap/child.py": "import os, signal, subprocess\nos.kill(1, signal.SIGTERM)",
        "zap/runner.py": "import os\nfrom zap import __version__, child\nos.getpid()",
        "zap/cli.py": "import argparse\nimport zap\nprint(1)\ndef run():\n    from zap import runner",
    }
    assert faults({path: f'"""What it is for."""\n{source}' for path, source in sources.items()}) == []
