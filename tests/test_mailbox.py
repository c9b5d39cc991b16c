"""What a job tells of itself: the protocol of sd_notify(3) over real sockets, and nothing that a sender can break."""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import belongings
from tests.zap import DEADLINE
from zap import mailbox
from zap.mailbox import AT_ONCE, DATAGRAM_MOST, Mailbox, Notice, read

SAYS = """
import os, socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), os.environ["NOTIFY_SOCKET"])
"""


# What it means.


@pytest.mark.parametrize(
    ("datagram", "notice"),
    [
        (b"READY=1", Notice(is_ready=True)),
        (b"READY=1\n", Notice(is_ready=True)),
        (b"READY=1\0", Notice(is_ready=True)),
        (b"WATCHDOG=1", Notice(is_alive=True)),
        (b"WATCHDOG=trigger", Notice(is_in_trouble=True)),
        (b"WATCHDOG_USEC=20000000", Notice(watchdog=20.0)),
        (b"WATCHDOG_USEC=1", Notice(watchdog=0.000001)),
        (b"WATCHDOG_USEC=0", Notice(watchdog=0.0)),
        (b"WATCHDOG_USEC=18446744073709551615", Notice(watchdog=18446744073709.551615)),
        (b"STATUS=a = b", Notice(status="a = b")),
        (b"STATUS=", Notice(status="")),
        (b"STATUS=one\nSTATUS=two", Notice(status="two")),
        (b"READY=1\nSTATUS=up\nMAINPID=12\n\nX_MINE=3\nWATCHDOG=1", Notice(True, True, status="up")),
    ],
)
def test_what_is_said_is_read(datagram: bytes, notice: Notice) -> None:
    assert read(datagram) == notice


@pytest.mark.parametrize(
    "datagram",
    [
        *(b"", b"\0", b"\n\n", b"=", b"=1", b"READY", b"READY=", b"READY=0", b"READY=11", b" READY=1", b"ready=1"),
        *(b"WATCHDOG=2", b"WATCHDOG=TRIGGER", b"STATUS", b"RELOADING=1", b"STOPPING=1", b"BARRIER=1", b"FDSTORE=1"),
        *(b"WATCHDOG_USEC=", b"WATCHDOG_USEC=-1", b"WATCHDOG_USEC=1.5", b"WATCHDOG_USEC=1e9", b"WATCHDOG_USEC= 1"),
        *(b"WATCHDOG_USEC=" + b"9" * 21, "WATCHDOG_USEC=\u0663".encode(), b"WATCHDOG_USEC=1_000"),
    ],
)
def test_what_is_not_known_or_not_right_is_ignored(datagram: bytes) -> None:
    assert read(datagram) == Notice()
    assert read(datagram + b"\nREADY=1") == Notice(is_ready=True)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07alert", "red alert"),
        (b"  50 %\r100 %  ", "100 %"),
        ("caf\u00e9 \u202etfel".encode(), "caf\u00e9 tfel"),
        (b"caf\xe9", "caf\ufffd"),
        (b"a\0b", "ab"),
        (b"x" * 4000, "x" * 300),
    ],
)
def test_a_status_is_one_line_that_is_safe_to_show(said: bytes, status: str) -> None:
    assert read(b"STATUS=" + said) == Notice(status=status)


@given(
    st.lists(
        st.one_of(st.binary(), st.sampled_from([b"READY=", b"STATUS=", b"WATCHDOG=", b"WATCHDOG_USEC=", b"1", b"\n"]))
    )
)
def test_whatever_is_said_can_be_read(pieces: list[bytes]) -> None:
    notice = read(b"".join(pieces))
    assert notice.status is None or (len(notice.status) <= 300 and "\n" not in notice.status)
    assert notice.watchdog is None or notice.watchdog >= 0


# How it comes.


class Heard:
    """A mailbox, and what was heard in it; `also` is called for each."""

    def __init__(self, also: Callable[[], None] = lambda: None) -> None:
        self.notices: list[Notice] = []
        self._also = also
        self.mailbox = Mailbox(asyncio.get_running_loop(), self._on_notice)

    def _on_notice(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._also()

    async def wait_until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE):
            while True:
                if is_so():
                    return
                await asyncio.sleep(0.001)


@contextmanager
def heard(also: Callable[[], None] = lambda: None) -> Iterator[Heard]:
    one = Heard(also)
    try:
        yield one
    finally:
        one.mailbox.close()
        assert not os.path.lexists(os.path.dirname(one.mailbox.path))


@contextmanager
def sender(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(path)
        one.setblocking(False)
        yield one


async def send(one: socket.socket, data: bytes) -> None:
    """Waits for room, as a job does; the loop reads meanwhile."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                one.send(data)
                return
            except BlockingIOError:
                await asyncio.sleep(0)


def test_what_a_job_says_is_heard_in_order() -> None:
    async def run() -> None:
        with heard() as one, sender(one.mailbox.path) as job:
            for number in range(50):
                await send(job, b"STATUS=%d" % number)
            await send(job, b"X_NOTHING=1")
            await send(job, b"")
            await send(job, b"READY=1\nSTATUS=up")
            await one.wait_until(lambda: len(one.notices) == 51)
            assert one.notices == [*(Notice(status=str(number)) for number in range(50)), Notice(True, status="up")]

    asyncio.run(run())


def test_a_process_of_its_own_is_heard() -> None:
    _is_heard([sys.executable, "-S", "-c", SAYS, "READY=1\nSTATUS=up"])


@pytest.mark.real("systemd-notify")
def test_the_systems_own_tool_is_heard() -> None:
    """It also waits until what it said was read (a barrier)."""
    _is_heard(["systemd-notify", "--ready", "--status=up"])


def _is_heard(argv: list[str]) -> None:
    async def run() -> None:
        with heard() as one:
            said = await asyncio.create_subprocess_exec(*argv, env={**os.environ, "NOTIFY_SOCKET": one.mailbox.path})
            async with asyncio.timeout(DEADLINE):
                assert await said.wait() == 0
            await one.wait_until(lambda: one.notices)
            assert one.notices == [Notice(is_ready=True, status="up")]

    asyncio.run(run())


@pytest.mark.parametrize("text", [b"BARRIER=1", b"FDSTORE=1\nREADY=1", b"x" * 10_000])
def test_descriptors_that_come_along_are_closed_which_answers_a_barrier(text: bytes) -> None:
    """sd_notify_barrier(3): a pipe's end is sent, and whoever sent it waits until it is closed on all sides."""

    async def run() -> None:
        with heard() as one, sender(one.mailbox.path) as job:
            before = belongings()
            reading, writing = os.pipe()
            running = asyncio.get_running_loop()
            answered = running.create_future()
            try:
                job.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))])
            finally:
                os.close(writing)
            running.add_reader(reading, answered.set_result, None)
            async with asyncio.timeout(DEADLINE):
                await answered
            running.remove_reader(reading)
            assert os.read(reading, 1) == b""
            os.close(reading)
            assert belongings() == before
            assert one.notices == ([Notice(is_ready=True)] if b"READY" in text else [])

    asyncio.run(run())


def test_a_flood_does_not_hold_the_loop() -> None:
    """Who floods says the next thing as soon as there is room: here whenever one was read."""

    async def run() -> None:
        most = turns = since = 0

        def flood_on() -> None:
            nonlocal since, most
            since += 1
            most = max(most, since)
            job.send(b"WATCHDOG=1")

        def turn() -> None:
            nonlocal since, turns
            since = 0
            turns += 1
            asyncio.get_running_loop().call_soon(turn)

        with heard(flood_on) as one, sender(one.mailbox.path) as job:
            job.send(b"WATCHDOG=1")
            turn()
            await one.wait_until(lambda: len(one.notices) > 10 * AT_ONCE)
            assert most <= AT_ONCE
            assert turns >= 10

    asyncio.run(run())


def test_what_is_too_long_is_ignored_as_a_whole() -> None:
    """What is cut off may be half of a number."""

    async def run() -> None:
        with heard() as one, sender(one.mailbox.path) as job:
            await send(job, b"READY=1\n".ljust(DATAGRAM_MOST + 1, b"x"))
            await send(job, b"STATUS=up\n".ljust(DATAGRAM_MOST, b"x"))
            await one.wait_until(lambda: one.notices)
            assert one.notices == [Notice(status="up")]

    asyncio.run(run())


def test_who_was_closed_hears_no_more() -> None:
    """Also what was said already, when it is closed by who hears the first of it."""

    async def run() -> None:
        notices = []
        is_closed = asyncio.Event()

        def hear(notice: Notice) -> None:
            notices.append(notice)
            one.close()
            is_closed.set()

        one = Mailbox(asyncio.get_running_loop(), hear)
        with sender(one.path) as job:
            for _ in range(3):
                job.send(b"READY=1")
            async with asyncio.timeout(DEADLINE):
                await is_closed.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            with pytest.raises(OSError):
                job.send(b"READY=1")
        assert notices == [Notice(is_ready=True)]

    asyncio.run(run())


def test_each_run_has_its_own() -> None:
    async def run() -> None:
        with heard() as earlier, heard() as later, sender(earlier.mailbox.path) as job:
            await send(job, b"READY=1")
            await earlier.wait_until(lambda: earlier.notices)
            assert not later.notices

    asyncio.run(run())


# Where it is.


@contextmanager
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    one = asyncio.new_event_loop()
    try:
        yield one
    finally:
        one.close()


@contextmanager
def made(runtime: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if runtime is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    with loop() as one:
        made = Mailbox(one, lambda _: None)
        try:
            yield Path(made.path)
        finally:
            made.close()


@pytest.fixture
def short() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield path


def test_its_folder_is_its_owners_alone_and_goes_with_it(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with made(short, monkeypatch) as path:
        assert path.parent.parent == Path(short)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.is_socket()
        (path.parent / "left by the job").touch()
    assert os.listdir(short) == []


@pytest.mark.parametrize("runtime", [None, "", ".", "/no/such/folder", "/dev/null"])
def test_without_a_runtime_folder_it_is_where_temporary_files_are(
    runtime: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(runtime, monkeypatch) as path:
        assert path.parent.parent == Path(tempfile.gettempdir())


def test_the_runtime_folder_of_somebody_else_is_not_used(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    us = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: us + 1)
    with made(short, monkeypatch) as path:
        assert path.parent.parent != Path(short)


@pytest.mark.parametrize("length", [60, *range(76, 84), 150])
def test_its_path_is_never_longer_than_an_address_may_be(
    short: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{short}/".ljust(length, "x")
    os.mkdir(place)
    monkeypatch.setattr(tempfile, "tempdir", place)
    for runtime in (place, None):
        with made(runtime, monkeypatch) as path:
            assert len(os.fsencode(path)) < mailbox.SUN_PATH
            assert (path.parent.parent == Path(place)) == (length < 80)


def test_what_cannot_be_made_is_told_and_leaves_nothing(short: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "PLACE_MOST", 1000)
    place = f"{short}/".ljust(120, "x")
    os.mkdir(place)
    monkeypatch.setenv("XDG_RUNTIME_DIR", place)
    with loop() as one, pytest.raises(OSError, match="AF_UNIX path too long"):
        Mailbox(one, lambda _: None)
    assert os.listdir(place) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_nobody_else_can_say_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    with made("/tmp", monkeypatch) as path:
        path.chmod(0o777)
        program = f"import os, socket; os.setuid(65534)\n{SAYS}"
        env = {**os.environ, "NOTIFY_SOCKET": str(path)}
        done = subprocess.run(
            [sys.executable, "-S", "-c", program, "READY=1"], env=env, capture_output=True, text=True, timeout=DEADLINE
        )
        assert "PermissionError" in done.stderr
