"""What holds for every test: nothing is left behind, and real parts are there."""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no bug.
settings.register_profile("zap", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zap")

PATIENCE = 5.0  # seconds for what is ending already, such as an executor's thread

Belongings = frozenset[tuple[str, str]]


def belongings() -> Belongings:
    """The descriptors and the children, ended ones as well, of this process: what it is and which."""
    return frozenset([*_descriptors(), *_children()])


def _descriptors() -> Iterator[tuple[str, str]]:
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    for fd in os.listdir(folder):
        try:
            yield f"descriptor {fd}", os.readlink(f"{folder}/{fd}") if folder[1:5] == "proc" else str(os.fstat(int(fd)))
        except OSError:  # the one of this listing
            continue


def _children() -> list[tuple[str, str]]:
    while True:
        tasks = list(Path("/proc/self/task").glob("*/children"))
        if not tasks:
            return [("child", str(child.pid)) for child in psutil.Process().children()]
        try:  # a hundred times cheaper than a walk over all processes
            return [("child", pid) for task in tasks for pid in task.read_text().split()]
        except OSError:  # a thread ended meanwhile, such as an executor's: its children are another's now
            continue


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = belongings()
    yield
    left = belongings() - before
    until = time.monotonic() + PATIENCE
    while left and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
        left = belongings() - before
    for what, which in left:
        if what == "child":
            psutil.Process(int(which)).kill()
            os.waitpid(int(which), 0)
    assert not left, f"the test left behind: {', '.join(' '.join(item) for item in sorted(left))}"


@pytest.fixture
def nobody_is_left(tmp_path: Path) -> Iterator[None]:
    """What goes to the background is nobody's child, and would live on where a test has failed."""
    from tests.served import end_all  # which has the whole of zap behind it

    yield
    assert not end_all(tmp_path)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-screens", action="store_true", help="take the screens as they are now for right")


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [part for marker in item.iter_markers("real") for part in marker.args if not shutil.which(part)]
    if missing:
        why = f"needs {' and '.join(missing)}, which is not here"
        if os.environ.get("ZAP_REQUIRE_REAL") == "1":
            pytest.fail(why)
        pytest.skip(why)
