"""The programs of the tests do what their names say, and what a test leaves behind is seen."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import programs
from tests.conftest import belongings
from tests.zap import is_alive, wait_until


@contextmanager
def running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    argv = ["sh", "-c", program]
    with subprocess.Popen(argv, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def said(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    return process.stdout.readline()


def test_cat_says_what_it_is_told() -> None:
    with running(programs.CAT) as process:
        assert process.communicate(b"hello\n")[0] == b"hello\n"


def test_exit_7_exits_7() -> None:
    with running(programs.EXIT_7) as process:
        assert process.wait() == 7


def test_only_kill_ends_what_ignores_term() -> None:
    with running(programs.IGNORES_TERM) as process:
        assert said(process) == b"ready\n"
        os.killpg(process.pid, signal.SIGTERM)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_floods() -> None:
    with running(programs.FLOODS) as process:
        assert process.stdout and len(process.stdout.read(1_000_000)) == 1_000_000


def test_prints_and_dies() -> None:
    with running(programs.PRINTS_AND_DIES) as process:
        assert process.communicate()[0] == b"last words"
        assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("program", ["HOLDS_PIPE", "DOUBLE_FORKS", "SETSID_ESCAPES"])
def test_what_outlives_its_parent(program: str) -> None:
    with running(getattr(programs, program)) as process:
        output = process.stdout
        assert output
        left = int(said(process))
        try:
            process.wait()
            assert is_alive(left)
            assert (os.getpgid(left) == process.pid) == (program != "SETSID_ESCAPES")
            wait_until(
                lambda: bool(select.select([output], [], [], 0)[0]) == (program != "HOLDS_PIPE"),
                "the end of the output, where nobody holds it",
            )
        finally:
            os.kill(left, signal.SIGKILL)
            wait_until(lambda: not is_alive(left), "the end of what was left")


def test_prompts_on_the_terminal_and_does_not_echo() -> None:
    master, slave = os.openpty()
    terminal = os.ttyname(slave)  # whose session it becomes that opens it first
    with running(f"exec <{terminal} >{terminal} 2>&1; {programs.PROMPTS}"):
        shown = b""
        while not shown.endswith(b"Password: "):
            shown += os.read(master, 1000)
        os.write(master, b"hunter2\n")
        while b"letters" not in shown:
            shown += os.read(master, 1000)
    os.close(slave)
    os.close(master)
    assert b"got 7 letters" in shown
    assert b"hunter2" not in shown


def test_a_child_that_is_left_is_seen_dead_or_alive() -> None:
    before = belongings()
    with running("exec cat") as process:
        assert ("child", str(process.pid)) in belongings() - before
        assert process.stdin
        process.stdin.close()
        wait_until(lambda: not is_alive(process.pid), "the end of cat")
        assert ("child", str(process.pid)) in belongings() - before
    assert belongings() == before


def test_a_descriptor_that_is_left_is_seen() -> None:
    before = belongings()
    fd = os.open(os.devnull, os.O_RDONLY)
    assert belongings() - before == {(f"descriptor {fd}", os.devnull)}
    os.close(fd)
    assert belongings() == before
