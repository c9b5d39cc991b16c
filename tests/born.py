"""Children of jobs as tests have them: born by the nursery, with a control group or without, and gone afterwards."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.zap import DEADLINE
from zap import cgroup, nursery, script
from zap.cgroup import Cgroup, Found
from zap.child import Child
from zap.events import Status
from zap.plan import Command, Job, Plan

IS_ROOT = os.geteuid() == 0
real_root = pytest.mark.skipif(not IS_ROOT and os.environ.get("ZAP_REQUIRE_REAL") != "1", reason="needs root")


def job(text: str, **settings: object) -> Job:
    """On pipes, unless `tty` is set."""
    whole = Job("web/api", "a job", (Command(text),), "/", tty=False)
    return whole._replace(**settings)  # type: ignore[arg-type]


def found_or_skip(*abilities: str) -> Found:
    """What groups can do here; the test is skipped when that is not what it needs."""
    found = cgroup.find()
    missing = {name: getattr(found, name).why for name in abilities if not getattr(found, name).is_there}
    if missing:
        why = "; ".join(f"no {name} by control groups: {why}" for name, why in missing.items())
        if os.environ.get("ZAP_REQUIRE_REAL") == "1":
            pytest.fail(why)
        pytest.skip(why)
    return found


class Born:
    """A child, what it says without the marks, and its group."""

    def __init__(self, child: Child, group: Cgroup) -> None:
        self.child = child
        self.group = group
        self._said = {fd: b"" for fd, _ in child.outputs}
        self._readers = {fd: script.Reader(child.nonce or "none") for fd, _ in child.outputs}

    @property
    def out(self) -> str:
        return self._said[self.child.out_fd].replace(b"\r\n", b"\n").decode()

    @property
    def errors(self) -> str:
        return self._said[self.child.err_fd].replace(b"\r\n", b"\n").decode()

    def hear(self, until: Callable[[str], object]) -> str:
        """What it has said on its output, as soon as that is so."""
        end = time.monotonic() + DEADLINE
        while not until(self.out):
            assert time.monotonic() < end, f"it said no more than {self.out!r} and {self.errors!r}"
            assert self._read(0.1) or self.child.status() is None, f"it ended after {self.out!r} and {self.errors!r}"
        return self.out

    def line(self) -> str:
        return self.hear(lambda text: text.endswith("\n")).splitlines()[-1]

    def ended(self) -> Status:
        """How it ended, when it has; what it said is read to the last."""
        end = time.monotonic() + DEADLINE
        while not select.select([self.child.end_fd], [], [], 0)[0]:
            assert time.monotonic() < end, f"it has not ended, and said {self.out!r} and {self.errors!r}"
            self._read(0.1)
        while self._read(0):
            pass
        status = self.child.status()
        assert status is not None
        return status

    def _read(self, seconds: float) -> bool:
        has_read = False
        for fd in select.select([*self._said, self.child.end_fd], [], [], seconds)[0]:
            if fd in self._said:
                try:
                    data = os.read(fd, 65536)
                except OSError:  # a terminal whose other side is closed says EIO
                    data = b""
                has_read |= bool(data)
                self._said[fd] += b"".join(part for part in self._readers[fd].feed(data) if isinstance(part, bytes))
        return has_read


class Ward:
    """One runner's world, and all that were born into it."""

    def __init__(self) -> None:
        self.world = nursery.world(Plan("/jobs.yaml", "id", ()))
        self.born: list[Born] = []

    def bear(self, job: Job, found: Found | None = None, extra: Mapping[str, str] = nursery.NOTHING) -> Born:
        """In a group of its own, where `found` tells what groups can do."""
        epoch = len(self.born) + 1
        groups = cgroup.make(found, cgroup.name(self.world.runner, job.name, epoch), job.limits) if found else ()
        try:
            return self.adopt(nursery.bear(self.world, job, epoch, extra, groups), groups)
        except BaseException:
            Cgroup(groups).remove()
            raise

    def adopt(self, child: Child, groups: tuple[str, ...] = ()) -> Born:
        self.born.append(Born(child, Cgroup(groups)))
        return self.born[-1]


@contextmanager
def ward() -> Iterator[Ward]:
    one = Ward()
    try:
        yield one
    finally:
        for born in one.born:
            born.group.thaw()
            born.group.kill()
            born.child.signal_group(signal.SIGKILL)
            born.ended()
            born.child.close()
        left = [born.group.folders for born in one.born if not born.group.remove()]
        assert not left, f"these groups are left: {left}"
