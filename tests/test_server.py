"""The socket as whoever may talk to it finds it: many, slow, dying, wrong and hostile ones, and the runner unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.programs import FLOODS
from tests.served import IDLE, Served, Speaker, own_zap, place, serving
from tests.zap import DEADLINE, Zap, is_alive, wait_until
from zap import address, frame, requests, server, wire
from zap.errors import ZapError
from zap.events import Closed, Event, Fact
from zap.plan import KIB, MIB, Plan
from zap.server import Server
from zap.session import Tail

FLOOD = f"""
systems:
  s:
    flood: {{commands: {FLOODS}, tty: false}}
    j: exec sleep 1000
"""
TALK = """
systems:
  s:
    j: "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo line $i; done; printf 'and then'; exec sleep 1000"
"""
TALKED = 5000


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return own_zap(tmp_path)


def ready(served: Served, job: str = "s/j") -> None:
    with served.dial() as line:
        for event in line.follow(0):
            if event.get("job") == job and event.get("state") == "ready":
                return


# Calls and their answers.


def test_a_call_is_answered_under_its_id_and_a_mistake_with_what_it_is(zap: Zap) -> None:
    with serving(zap) as served, Speaker(served.folder) as one:
        assert one.hello["protocol"] == frame.PROTOCOL
        assert (one.hello["plan"], one.hello["pid"]) == (str(zap.folder / "jobs.yaml"), served.pid)
        assert one.asks("plan")["result"]["path"] == str(zap.folder / "jobs.yaml")
        assert one.asks("start", jobs=["s/x"]) == {"id": 1, "error": "there is no job s/x", "code": 2}
        assert one.asks("send", jobs=["s/j"], txt="") == {
            "id": 1,
            "error": "send takes jobs: tuple[str, ...], text: str",
            "code": 2,
        }
        one.say({"verb": "plan"}, "nonsense")
        assert [one.hear()["id"], one.hear()["id"]] == [None, None]
        one.say(*({"id": number, "verb": "tail", "job": "s/j"} for number in range(-50, 50)))
        assert [one.hear()["id"] for _ in range(100)] == list(range(-50, 50))


def test_watches_go_on_beside_calls_until_they_are_ended(zap: Zap) -> None:
    with serving(zap) as served, Speaker(served.folder) as one:
        one.say({"id": 5, "verb": "watch"}, {"id": 5, "verb": "watch"}, {"id": 6, "verb": "tail", "job": "s/j"})
        told = []
        while not told or told[-1]["id"] != 6:
            told.append(one.hear())
        assert {"id": 5, "error": "there is a watch 5 already", "code": 2} in told
        one.say({"id": 7, "verb": "unwatch", "watch": 5}, {"id": 8, "verb": "note", "text": "told to nobody"})
        told = []
        while not told or told[-1]["id"] != 8:
            told.append(one.hear())
        ended = [answer["id"] for answer in told].index(7)
        assert all(answer["id"] != 5 for answer in told[ended:])
        one.say(*({"id": number, "verb": "watch"} for number in range(server.MOST_WATCHES + 1)))
        while (answer := one.hear())["id"] != server.MOST_WATCHES:
            pass
        assert "at most" in answer["error"]


def test_who_says_that_nothing_more_comes_still_gets_every_answer(zap: Zap) -> None:
    """As `echo … | nc -N -U socket` does."""
    with serving(zap, TALK) as served, Speaker(served.folder) as one:
        ready(served)
        one.say(*({"id": number, "verb": "tail", "job": "s/j", "at_most": 100} for number in range(200)))
        one.socket.shutdown(socket.SHUT_WR)
        answers = list(iter(one.hear, None))
        assert [answer["id"] for answer in answers] == list(range(200))
        assert all(len(answer["result"]["lines"]) == 100 for answer in answers)


def test_an_answer_is_bounded_and_says_that_there_is_more(zap: Zap) -> None:
    long = """
    systems:
      s:
        j: "yes $(printf %01000d 0) | head -n 3000; exec sleep 1000"
    """
    with serving(zap, long) as served, Speaker(served.folder) as one:
        ready(served)
        wait_until(lambda: served.lines("s/j") == 3000, "all lines")
        since, seen = 0, 0
        while True:
            told = one.asks("tail", job="s/j", since=since, at_most=10**9)["result"]
            assert sum(len(line[4]) for line in told["lines"]) <= server.MOST_TEXT
            since, seen = told["next"], seen + len(told["lines"])
            if not told.get("is_cut"):
                break
        assert (since, seen) == (3000, 3000)
        known = [0, 0]
        texts = ""
        for _ in range(1000):
            told = one.asks("tail", job="s/j", since=len(texts) // 1001, at_most=10**9, known=known)["result"]
            assert sum(len(line[4]) for line in told["lines"]) <= server.MOST_TEXT
            texts += "".join(line[4].rstrip("\r") + "\n" for line in told["lines"])
            known = told["known"]
            if not told.get("is_cut"):
                break
        assert texts == ("0" * 1000 + "\n") * 3000
        with served.dial() as line:
            whole = line.tail("s/j", 0, 10**9)
            assert [told.number for told in whole.lines] == list(range(1, 3001))
            assert [told.number for told in line.tail("s/j", 10, 2500).lines] == list(range(11, 2511))


def test_a_thousand_times_the_same_job_is_that_job(zap: Zap) -> None:
    with serving(zap) as served, Speaker(served.folder) as one:
        assert one.asks("clear", jobs=["s/j"] * 10_000) == {"id": 1, "result": {}}
        assert sum(event["event"] == "cleared" for event in happened(served)) == 1
        assert served.log()[-1].startswith("clear s/j: asked for by process")


def happened(served: Served) -> list[dict[str, Any]]:
    """The events that are kept."""
    with served.dial() as line:
        newest = next(line.follow())["n"]
    told = []
    with served.dial() as line:
        for event in line.follow(0):
            told.append(event)
            if event["n"] >= newest:
                break
    return told


# Who comes in.


def mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_only_the_owner_can_reach_it(zap: Zap) -> None:
    with serving(zap) as served:
        assert mode(served.folder) == 0o700
        assert [mode(os.path.join(served.folder, name)) for name in ("socket", "lock")] == [0o600, 0o600]


AS_SOMEBODY_ELSE = """
import os, socket
os.setuid(65534)
dialled = socket.socket(socket.AF_UNIX)
dialled.connect("socket")
print(dialled.makefile().read(), end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_who_has_come_to_it_is_turned_away(zap: Zap) -> None:
    with serving(zap) as served:
        os.chmod(served.folder, 0o711)
        os.chmod(os.path.join(served.folder, "socket"), 0o666)
        done = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE],
            cwd=served.folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            {"id": None, "error": "this runner is for user 0", "code": 2}
        ], done.stderr
        assert served.log()[-1].endswith("of user 65534: this runner is for user 0")


def test_hundreds_of_clients_are_all_told_what_happens(zap: Zap) -> None:
    with serving(zap) as served, contextlib.ExitStack() as open_ones:
        many = [open_ones.enter_context(Speaker(served.folder)) for _ in range(300)]
        for one in many:
            one.say({"id": 1, "verb": "watch"})
        for one in many:
            assert one.hear()["event"]["event"] == "restated"
        many[7].say({"id": 3, "verb": "clear", "jobs": ["s/j"]})
        for one in many:
            while one.hear().get("event", {}).get("event") != "cleared":
                pass


def test_who_finds_it_full_is_told_so_and_let_in_when_there_is_room(zap: Zap) -> None:
    with serving(zap) as served, contextlib.ExitStack() as open_ones:
        first, *others = [open_ones.enter_context(Speaker(served.folder)) for _ in range(address.MOST_CLIENTS)]
        for _ in range(3):
            with pytest.raises(ZapError, match="the runner has 500 clients already"), served.dial():
                pass
        told = [line[4] for line in first.asks("tail", job="zap")["result"]["lines"]]
        assert sum("500 clients already" in text for text in told) == 1
        first.close()
        wait_until(lambda: is_let_in(served), "room for another one")
        for one in others:
            one.close()
        wait_until(lambda: is_let_in(served), "room for many")


def is_let_in(served: Served) -> bool:
    try:
        served.dial().close()
    except ZapError:
        return False
    return True


def test_without_a_descriptor_for_another_client_the_jobs_go_on(zap: Zap) -> None:
    few = f"ulimit -n 60; exec {sys.executable} -m zap serve"
    path = zap.write(IDLE)
    process = subprocess.Popen(["sh", "-c", few], cwd=zap.folder, env=zap.env, stdin=subprocess.DEVNULL)
    served = Served(zap, process, place(zap, path))
    try:
        wait_until(lambda: address.is_claimed(served.folder), "the runner")
        ready(served)
        waiting = [address.connect(served.folder) for _ in range(100)]
        wait_until(lambda: served.descriptors >= 60, "the last descriptor to be used")
        for one in waiting:
            one.close()
        wait_until(lambda: is_let_in(served), "room for another one")
        assert any("no new client can be let in for now: Too many open files" in text for text in served.log())
        with served.dial() as line:
            assert next(event["row"]["state"] for event in line.follow()) == "ready"
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


# The slow, and the dead.


def test_who_never_reads_costs_nothing_and_who_reads_late_is_told_what_is_gone(zap: Zap) -> None:
    call = json.dumps({"id": 1, "verb": "tail", "job": "s/flood", "at_most": 10_000}).encode() + b"\n"
    with serving(zap, FLOOD) as served, contextlib.ExitStack() as open_ones:
        wait_until(lambda: served.lines("s/flood") > 500_000, "the flood's buffer to be full")
        first = served.lines("s/flood")
        before = served.memory
        for _ in range(10):
            watching, asking = (open_ones.enter_context(Speaker(served.folder)) for _ in range(2))
            for number in range(server.MOST_WATCHES):
                watching.say({"id": number, "verb": "watch", "since": 0})
            asking.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    asking.socket.send(call * 1000)
        wait_until(lambda: served.lines("s/flood") > first + 1_000_000, "the flood to go on")
        assert served.memory - before < 24 * MIB
        with served.dial() as line:
            tail = line.tail("s/flood", first, 5)
            assert tail.dropped > 0
            assert [told.number for told in tail.lines] == [first + tail.dropped + 1 + index for index in range(5)]
        newest = 0
        while newest < first + 1_000_000:  # whoever reads on is told how it is, and not all that was
            answer = watching.hear()
            newest = max(newest, answer["event"]["last"] if answer["event"]["event"] == "output" else 0)


def test_who_reads_a_byte_at_a_time_is_told_all_the_same(zap: Zap) -> None:
    with serving(zap, TALK) as served, Speaker(served.folder) as one:
        ready(served)
        one.say({"id": 1, "verb": "tail", "job": "s/j", "at_most": 300})
        heard = bytearray()
        while not heard.endswith(b"\n"):
            heard += one.socket.recv(1)
        assert [line[4] for line in json.loads(heard)["result"]["lines"]][::299] == ["line 1", "line 300"]


DIES = """
import os, signal, socket, sys
sys.stdin.readline()
dialled = socket.socket(socket.AF_UNIX)
dialled.connect("socket")
dialled.recv(1)
dialled.sendall(sys.argv[1].encode())
os.kill(os.getpid(), signal.SIGKILL)
"""
WATCHES = '{"id": 1, "verb": "watch", "since": 0}\n'
TAILS = '{"id": 2, "verb": "tail", "job": "s/j", "at_most": 2000}\n'


@pytest.mark.parametrize(
    "said", ["", '{"id": 1, "ve', WATCHES, TAILS * 100, WATCHES + TAILS * 100 + '{"id"'], ids=lambda said: said[:30]
)
def test_the_death_of_clients_changes_nothing(zap: Zap, said: str) -> None:
    with serving(zap, TALK) as served:
        ready(served)
        before = served.descriptors
        dying = [
            subprocess.Popen([sys.executable, "-c", DIES, said], cwd=served.folder, stdin=subprocess.PIPE)
            for _ in range(5)
        ]
        for one in dying:
            one.communicate(b"now\n", DEADLINE)
            assert one.returncode == -signal.SIGKILL
        wait_until(lambda: served.descriptors <= before, "the runner to let go of them")
        assert next(event for event in happened(served) if event["event"] == "spawned")["epoch"] == 1


# What is no call, and what is meant to hurt.


@pytest.mark.parametrize("size", [frame.MOST_CALL - 1, frame.MOST_CALL + 1, 2 * MIB, 16 * MIB])
def test_a_line_is_bounded(zap: Zap, size: int) -> None:
    with serving(zap) as served, Speaker(served.folder) as one:
        head = b'{"id": 1, "verb": "note", "text": "'
        line = head + b"x" * (size - len(head) - 3) + b'"}\n'
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.socket.sendall(line)
        answer = one.hear()
        if size < frame.MOST_CALL:
            assert answer == {"id": 1, "result": {}}
        else:
            assert answer == {"id": None, "error": f"a line has at most {frame.MOST_CALL} bytes", "code": 2}
            assert one.hear() is None
        with served.dial() as other, pytest.raises(ZapError, match="too much for one call"):
            other.ask("note", text="x" * frame.MOST_CALL)


def unread(one: socket.socket) -> int:
    """Bytes that have come (FIONREAD of unix(7))."""
    return struct.unpack("i", fcntl.ioctl(one, termios.FIONREAD, b"\0" * 4))[0]  # type: ignore[no-any-return]


def test_who_is_hung_up_on_reads_the_rest_when_it_likes(zap: Zap) -> None:
    """Around the size where the last of it does not fit into the socket any more, and still is no reason to wait."""
    with serving(zap) as served, served.dial() as other:
        for kib in range(100, 400, 16):
            with Speaker(served.folder) as one:
                calls = b'{"id": 1, "verb": "dance"}\n'
                one.socket.sendall(calls)
                answer = len(json.dumps(one.hear()))
                one.socket.sendall(calls * (kib * KIB // answer) + b"half a call, and then no more")
                one.socket.shutdown(socket.SHUT_WR)
                came = -1
                while came != (came := unread(one.socket)):
                    for _ in range(20):  # turns of the runner, in which it goes on with us as well
                        other.ask("note", text="and meanwhile it is answered")
                while one.hear():
                    pass


def test_a_call_is_one_however_it_comes(zap: Zap) -> None:
    with serving(zap) as served, Speaker(served.folder) as one:
        for byte in b'{"id": 7, "verb": "tail", "job": "s/j"}\n{"id": 8,':
            one.socket.sendall(bytes([byte]))
        assert one.hear()["id"] == 7
        one.socket.sendall(b' "verb": "tail", "job": "s/j"}')
        one.socket.shutdown(socket.SHUT_WR)
        assert one.hear() is None  # half a line is none


ODD = [None, True, 0, -1, 2**31, 2**63, -(2**64), 10**4299, -(10**4300 - 1), 1.5, 1e308, float("nan"), float("-inf")]
ODD += ["", "s/j", "\ud800", "\0\x1b[2J", [], ["s/j"], ["s/j"] * 300, [1, 2], [0, 10**4299], [None], {}, {"a": []}]
HARMLESS: list[wire.Call] = [
    *(wire.Watch(), wire.Watch(0), wire.Watch(10**9), wire.Unwatch(1), wire.Unwatch(2), wire.Describe()),
    *(wire.Lines("s/j"), wire.Lines("s/j", 0, 10, 5, (0, 0)), wire.Lines("zap", 3, 20), wire.Lines("s/j", -3, -3, -3)),
    *(requests.Start(("s/j",)), requests.Stop(("s/no",)), requests.Restart(()), requests.Signal(("s/no",), "WINCH")),
    *(requests.Send(("s/j",), "hello\n"), requests.Fix(("s/j",)), requests.Fix(("s/j",), "x"), requests.Note("a\nb")),
    *(requests.Resize(("s/j",), 24, 80), requests.Clear(("s/j",))),
]
FIELDS = ["id", "since", "at_most", "widest", "known", "job", "text", "fixup", "rows", "watch", "__class__", "_fields"]
INPUTS = 50_000
LAST = b'{"id": -77, "verb": "tail", "job": "zap", "at_most": 0}\n'


def hostile(chance: random.Random) -> bytes:
    """One line without its end: bytes, what is nearly JSON, nearly a call, a call with anything in it, a call."""
    call = {"id": chance.randrange(30)} | wire.call_to_plain(chance.choice(HARMLESS))
    match chance.randrange(10):
        case 0:
            return chance.randbytes(chance.randrange(200)).replace(b"\n", b"")
        case 1:
            return bytes(chance.choices(b'{}[]",:0123456789eE+-.truefalsn \\u', k=chance.randrange(1, 80)))
        case 2:
            depth = chance.choice([1, 10, 300, 900, 1000, 1100, 5000])
            deep = chance.choice(["[" * depth + "]" * depth, "[" * depth, '{"a":' * depth + "1" + "}" * depth])
            return f'{{"id": {chance.choice(["1", deep])}, "verb": "start", "jobs": {deep}}}'.encode()
        case 3:
            digits = "9" * chance.choice([1, 19, 20, 4299, 4300, 4301, 9000])
            number = chance.choice([digits, f"-{digits}", "NaN", "-Infinity", "1e999", "1.0", '"1"', "null", "true"])
            return f'{{"id": {number}, "verb": "watch", "since": {number}}}'.encode()
        case 4 | 5:
            call |= {field: chance.choice(ODD) for field in chance.sample([*call, *FIELDS], 2) if field != "verb"}
        case 6 | 7:
            line = bytearray(json.dumps(call).encode())
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(line))
                line[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4)).replace(b"\n", b"")
            return bytes(line)
        case 8:
            call["verb"] = chance.choice(["dance", "", "__class__", "CLOSE", "\ud800", None, 1, [], {}])
    return json.dumps(call).encode()


def say_all(one: socket.socket, data: bytes) -> bytes:
    """Says it while it hears, until the call behind it is answered or the runner has hung up; the end of what came."""
    one.setblocking(False)
    left, heard = memoryview(data), b""
    while b'{"id":-77,' not in heard:
        can_read, can_write, _ = select.select([one], [one] if left else [], [], DEADLINE)
        assert can_read or can_write, "the runner does not answer"
        with contextlib.suppress(BlockingIOError):
            if can_write:
                try:
                    left = left[one.send(left[: 64 * KIB]) :]
                except BrokenPipeError:
                    left = left[:0]
            if can_read:
                try:
                    data = one.recv(MIB)
                except ConnectionResetError:
                    return heard
                if not data:
                    return heard
                heard = heard[-200:] + data
    return heard


def talk_wildly(served: Served, chance: random.Random, inputs: int) -> None:
    told = 0
    while told < inputs:
        lines = [hostile(chance) for _ in range(chance.choice([1, 20, 200]))]
        told += len(lines)
        data = b"\n".join(lines) + b"\n"
        with contextlib.closing(address.connect(served.folder)) as one:  # type: ignore[type-var]
            match chance.randrange(12):
                case 0:  # half a line, and gone without a look at what comes
                    one.sendall(data[: chance.randrange(min(len(data), 64 * KIB))])
                case 1 if chance.random() < 0.3:
                    heard = say_all(one, data + b"x" * 2 * MIB + b"\n" + LAST)
                    assert b"a line has at most" in heard or not heard.endswith(b"\n")
                case _:
                    assert b'{"id":-77,"result":' in say_all(one, data + LAST)


@pytest.mark.timeout(600)  # some 25 seconds, where nothing else is done
@pytest.mark.parametrize("seed", [3, 4])
def test_whatever_is_said_to_it_the_runner_is_unharmed(zap: Zap, seed: int) -> None:
    """An exception that is no client's mistake would end it (see below), and it does not end as it should then."""
    chance = random.Random(seed)
    with serving(zap, IDLE + "    bystander: exec sleep 1000\n") as served:
        ready(served, "s/bystander")
        child = row_of(served, "s/bystander")["pid"]
        talk_wildly(served, chance, INPUTS // 5)  # until what is bounded is full
        before = served.memory, served.descriptors
        talk_wildly(served, chance, INPUTS - INPUTS // 5)
        wait_until(lambda: served.descriptors <= before[1], "the runner to let go of them")
        assert served.memory - before[0] < 8 * MIB
        row = row_of(served, "s/bystander")
        assert (row["state"], row["pid"], row["epoch"], is_alive(child)) == ("ready", child, 1, True)


def row_of(served: Served, job: str) -> dict[str, Any]:
    with served.dial() as line:
        row: dict[str, Any] = next(event["row"] for event in line.follow() if event["job"] == job)
        return row


class Faulty:
    """A session with a bug in every part."""

    async def ask(self, request: requests.Request, by: str = "") -> None:
        raise KeyError("ask")

    async def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[Event]:
        raise KeyError("watch")
        yield Event(1, 0.0, Closed())

    async def tail(self, *arguments: object) -> Tail:
        raise KeyError("tail")

    async def plan(self, is_fresh: bool = False) -> Plan:
        raise KeyError("plan")


async def bugs_of(folder: Path, verb: str) -> list[Any]:
    loop = asyncio.get_running_loop()
    bugs: list[Any] = []
    found = asyncio.Event()
    loop.set_exception_handler(lambda _, context: (bugs.append(context), found.set()))
    claimed = address.claim(str(folder / "zap" / "id"))
    assert claimed
    served = Server(Faulty(), "/jobs.yaml")
    served.listen(claimed.socket)
    reader, writer = await asyncio.open_unix_connection(sock=address.connect(str(folder / "zap" / "id")))
    calls = {"note": requests.Note("x"), "watch": wire.Watch(), "tail": wire.Lines("s/j"), "plan": wire.Describe()}
    writer.write(wire.call_line(1, calls[verb]))
    async with asyncio.timeout(DEADLINE):
        await found.wait()
        assert await reader.read() != b""  # the hello, and then it is hung up on
    writer.close()
    await served.close()
    claimed.close()
    return bugs


@pytest.mark.parametrize("verb", ["note", "watch", "tail", "plan"])
def test_what_is_no_clients_mistake_does_not_go_unnoticed(tmp_path: Path, verb: str) -> None:
    (bug,) = asyncio.run(bugs_of(tmp_path, verb))
    error = bug["exception"]
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, KeyError)


# The end.


def test_who_watches_hears_of_the_end_and_who_does_not_read_holds_up_nobody(zap: Zap) -> None:
    with serving(zap, FLOOD) as served, Speaker(served.folder) as one, Speaker(served.folder) as deaf:
        one.say({"id": 1, "verb": "watch"}, {"id": 2, "verb": "close"})
        deaf.say(
            *({"id": number, "verb": "watch", "since": 0} for number in range(9)), *[{"id": 99, "verb": "plan"}] * 999
        )
        told = list(iter(one.hear, None))
        assert {"id": 2, "result": {}} in told
        assert [answer.get("event", {}).get("event") for answer in told[-2:]] == ["closed", None]
        assert told[-1] == {"id": 1, "result": {}}
        assert served.process.wait(DEADLINE) == 0
        assert address.connect(served.folder) is None


# What is said of it.


def test_the_reference_in_the_docs_is_current() -> None:
    text = (Path(__file__).parent.parent / "docs" / "socket.md").read_text()
    assert text == wire.reference()
    headings = [line.lstrip("# ").replace(" ", "-") for line in text.splitlines() if line.startswith("### ")]
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= set(headings)
    assert {*wire.VERBS, *map(wire.name_of, get_args(Fact))} <= set(headings)
