"""Both ends of the socket: what a client tells is what the runner would, and when there is no runner it says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.served import IDLE, children, own_zap, place, serving
from tests.zap import DEADLINE, Zap, wait_until
from zap import address, client, dial, events, frame, nursery, requests
from zap.address import NoRunner
from zap.client import Client, connect
from zap.errors import ZapError
from zap.events import Event
from zap.plan import Bound, Command, Job, Plan, System
from zap.runner import Runner
from zap.server import Server
from zap.session import Session, Tail

SAYS = (
    "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; echo wrong $i >&2; done; printf 'a\\rb\\377\\n'; printf open"
)


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


def job(folder: Path, name: str, text: str, **chosen: Any) -> Job:
    return Job(f"s/{name}", name, (Command(text),), str(folder), **{"tty": False} | chosen)


@contextlib.asynccontextmanager
async def both(folder: Path, *jobs: Job) -> AsyncIterator[tuple[Runner, Client]]:
    """The same session, in this process and over a socket."""
    bugs: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    plan = Plan("/jobs.yaml", "id", (System("s", jobs),), ())
    place = str(folder / "zap" / "id")
    claimed = address.claim(place)
    assert claimed
    runner = Runner(plan, nursery.world(plan))
    server = Server(runner, plan.path)
    server.listen(claimed.socket)
    dialled = await connect(place)
    assert dialled
    try:
        async with asyncio.timeout(DEADLINE):
            yield runner, dialled
    finally:
        dialled.close()
        await runner.close()
        await server.close()
        claimed.close()
    assert not bugs, bugs


async def at_rest(session: Session, *jobs: str) -> None:
    left = set(jobs)
    async for event in session.watch(0):
        if isinstance(event.fact, events.Became) and event.fact.state.is_rest:
            left.discard(event.fact.job)
        if not left:
            return


async def told(session: Session, since: int | None, most: int) -> list[tuple[int, events.Fact]]:
    """What a watch begins with, without times, which for what is only restated are those of the telling."""
    watch = session.watch(since)
    return [((event := await anext(watch)).n, event.fact) for _ in range(most)]


# A session is a session.


async def compare(folder: Path, check: Callable[[Session, Session], Coroutine[None, None, None]]) -> None:
    says, short = job(folder, "says", SAYS), job(folder, "short", SAYS, buffer=Bound(1000, 20_000))
    async with both(folder, says, short) as (runner, dialled):
        await dialled.ask(requests.Start(("s/says", "s/short")))
        await at_rest(dialled, "s/says", "s/short")
        await check(runner, dialled)


def test_lines_are_the_same_over_the_socket(tmp_path: Path) -> None:
    numbers = st.sampled_from([0, 1, 2, 5, 999, 1000, 1999, 2000, 2001, 5999, 6002, 6003, 10**6])
    known = st.none() | st.tuples(st.integers(0, 30_000), st.integers(0, 60_000))

    async def check(runner: Session, dialled: Session) -> None:
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        asked: list[Any] = []

        @settings(max_examples=60, database=None, suppress_health_check=[HealthCheck.too_slow])
        @given(job=st.sampled_from(["s/says", "s/short", "zap"]), since=numbers, at_most=numbers,
               widest=st.none() | st.integers(0, 9), known=known)  # fmt: skip
        def collect(**call: Any) -> None:
            asked.append(call)

        collect()
        assert loop and this
        for call in asked:
            assert await dialled.tail(**call) == await runner.tail(**call)

    asyncio.run(compare(tmp_path, check))


def test_events_the_plan_and_refusals_are_the_same_over_the_socket(tmp_path: Path) -> None:
    async def check(runner: Session, dialled: Session) -> None:
        assert await dialled.plan() == await runner.plan()
        for since, count in ((None, 5), (0, 12), (1, 11), (10, 5)):
            assert await told(dialled, since, count) == await told(runner, since, count)
        for wrong in (requests.Start(("s/x",)), requests.Signal(("s/says",), "NO"), requests.Send(("s/says",), "x")):
            assert await refusal(dialled, wrong) == await refusal(runner, wrong)

    asyncio.run(compare(tmp_path, check))


async def refusal(session: Session, request: requests.Request) -> tuple[str, int]:
    with pytest.raises(ZapError) as raised:
        await session.ask(request)
    return str(raised.value), raised.value.code


# Calls that nobody waits for any more.


def test_a_call_that_is_cancelled_does_not_confuse_the_next(tmp_path: Path) -> None:
    async def check(runner: Session, dialled: Session) -> None:
        for turns in range(20):
            waiting = [asyncio.create_task(dialled.tail("s/says", number, 500)) for number in range(4)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
            assert all([isinstance(await settled(task), asyncio.CancelledError | Tail) for task in waiting[::2]])
            for number in (1, 3):
                assert await waiting[number] == await runner.tail("s/says", number, 500)
            assert (await dialled.plan()).path == "/jobs.yaml"

    asyncio.run(compare(tmp_path, check))


async def settled(task: asyncio.Task[Any]) -> Any:
    (result,) = await asyncio.gather(task, return_exceptions=True)
    return result


def test_a_watch_that_is_left_is_hung_up_on(tmp_path: Path) -> None:
    async def check(_: Session, dialled: Session) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            async for event in dialled.watch(0):
                assert event.n
                break
        await asyncio.to_thread(
            wait_until, lambda: len(os.listdir("/proc/self/fd")) <= before, "both ends to be closed"
        )

    asyncio.run(compare(tmp_path, check))


def test_a_watch_ends_with_the_runner(tmp_path: Path) -> None:
    async def check(_: Session, dialled: Session) -> None:
        watch = dialled.watch(None)
        await anext(watch)
        await dialled.ask(requests.Close())
        assert isinstance([event async for event in watch][-1].fact, events.Closed)

    asyncio.run(compare(tmp_path, check))


# Runners that die, hang, or are none.


def test_when_the_runner_dies_everyone_who_waits_is_told(zap: Zap) -> None:
    path = zap.write(IDLE)

    async def wait_in_vain(folder: str, pid: int) -> list[Any]:
        dialled = await connect(folder)
        assert dialled
        watches = [dialled.watch(None) for _ in range(3)]
        for watch in watches:
            await anext(watch)
        (runner,) = children(pid)
        os.kill(runner, signal.SIGSTOP)
        calls = [dialled.tail("s/j"), dialled.plan(), dialled.ask(requests.Note("x"))]
        waiting = [asyncio.create_task(call) for call in calls]
        waiting += [asyncio.create_task(exhaust(watch)) for watch in watches]
        for _ in range(10):
            await asyncio.sleep(0)
        for each in (pid, runner):  # else its keeper would start another, or it would be the next keeper
            os.kill(each, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            told = await asyncio.gather(*waiting, return_exceptions=True)
            told.append(await settled(asyncio.create_task(dialled.plan())))
        dialled.close()
        return told

    with zap.start("serve") as process:
        folder = place(zap, path)
        wait_until(lambda: address.is_claimed(folder), "the runner")
        told = asyncio.run(wait_in_vain(folder, process.pid))
        process.wait(DEADLINE)
    assert len(told) == 7
    assert all(isinstance(error, NoRunner) and error.code == 3 for error in told), told
    assert dial.reach(folder) is None


async def exhaust(watch: AsyncIterator[Event]) -> None:
    async for _ in watch:
        pass


# Who answers is not always a runner that we can talk to. Each way to dial says so.


async def by_client(folder: str) -> bool:
    dialled = await connect(folder)
    if dialled:
        dialled.close()
    return dialled is not None


def by_line(folder: str) -> bool:
    line = dial.dial(folder)
    if line:
        line.close()
    return line is not None


WAYS: list[Callable[[str], bool]] = [by_line, lambda folder: asyncio.run(by_client(folder))]


@contextlib.contextmanager
def answering(folder: str, said: bytes, stays: bool = True) -> Iterator[None]:
    """Somebody listens there and says this to the first who comes, and then no more."""
    claimed = address.claim(folder)
    assert claimed
    claimed.socket.setblocking(True)
    is_over = threading.Event()

    def answer() -> None:
        with contextlib.suppress(OSError):
            connected, _ = claimed.socket.accept()
            with connected:
                connected.sendall(said)
                if stays:
                    is_over.wait(DEADLINE)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        claimed.socket.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE)
        claimed.close()


@pytest.mark.parametrize("way", WAYS, ids=["line", "client"])
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"zap": "9.1", "protocol": frame.PROTOCOL + 1, "new": []}, "the runner is of zap 9.1, which this one cannot"),
        ({"id": None, "error": "the runner is full", "code": 2}, "the runner is full"),
        ([], "what answers there is no runner of zap"),
        ("HTTP/1.1 400 Bad Request", "what answers there is no runner of zap"),
        ({"hello": "world"}, "which this one cannot talk to"),
    ],
)
def test_who_cannot_be_talked_to_is_told(tmp_path: Path, way: Callable[[str], bool], said: object, why: str) -> None:
    folder = str(tmp_path / "zap" / "id")
    with answering(folder, json.dumps(said).encode() + b"\n"), pytest.raises(ZapError, match=why):
        way(folder)


@pytest.mark.parametrize("way", WAYS, ids=["line", "client"])
@pytest.mark.parametrize("said", [b"", b'{"zap": "1", "prot'])
def test_who_hangs_up_at_once_is_not_there(tmp_path: Path, way: Callable[[str], bool], said: bytes) -> None:
    folder = str(tmp_path / "zap" / "id")
    with answering(folder, said, stays=False):
        assert not way(folder)


@pytest.mark.parametrize("way", WAYS, ids=["line", "client"])
def test_who_says_nothing_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[[str], bool]
) -> None:
    folder = str(tmp_path / "zap" / "id")
    monkeypatch.setattr(client, "HELLO_MOST", 0.05)
    monkeypatch.setattr(dial, "HELLO_MOST", 0.05)
    with answering(folder, b""), pytest.raises(ZapError, match="lives, but does not answer"):
        way(folder)


def test_where_nobody_is_nobody_is_found_and_who_comes_up_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "zap" / "id"
    assert not any(way(str(folder)) for way in WAYS)
    assert dial.reach(str(folder)) is None
    claimed = address.claim(str(folder))
    assert claimed
    claimed.socket.close()  # it lives, and does not listen (any more)
    monkeypatch.setattr(dial, "REACH_MOST", 0.05)
    with pytest.raises(ZapError, match="a runner lives, but cannot be reached: it holds "):
        dial.reach(str(folder))
    monkeypatch.undo()
    found: list[object] = []
    reaching = threading.Thread(target=lambda: found.append(dial.reach(str(folder))))
    reaching.start()
    claimed.close()
    reaching.join(DEADLINE)
    assert found == [None]
    assert not any(way(str(folder)) for way in WAYS)


def test_a_call_beside_a_watch_is_done_and_its_error_is_told(zap: Zap) -> None:
    with serving(zap) as served:
        with served.dial() as line:
            watch = line.follow()
            next(watch)  # it has begun
            line.post("clear", jobs=["s/j"])
            assert any(event["event"] == "cleared" for event in watch)
            line.post("clear", jobs=["s/x"])
            with pytest.raises(ZapError, match="there is no job s/x"):
                list(watch)
        with served.dial() as line:
            assert not line.hears(0.0)
            watch = line.follow()
            assert line.hears(DEADLINE)
            line.post("close")
            assert [event["event"] for event in watch][-1] == "closed"
            assert line.hears(DEADLINE)
            with pytest.raises(NoRunner):
                line.ask("plan")
