"""How a job is: asked of real servers, commands and files; whatever they do is an answer, and nobody outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.programs import DOUBLE_FORKS, HOLDS_PIPE, IGNORES_TERM, SETSID_ESCAPES
from tests.zap import DEADLINE, wait_until, working_in
from zap import census, nursery, probe
from zap.child import Child
from zap.plan import Command, Job, Plan, Probe
from zap.probe import Finding

SOON = 0.3  # seconds; for what gets no answer however long it is waited for

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Of localhost, for a hundred years, signed by itself: it guards nothing.
CERTIFICATE = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg71nsUfJXk4LOZRxd
Q7qZKQaK5pryR/nllMv0b+1bswGhRANCAARVq9iySuiwsNyCTT0Xr6oHmBgSq4tv
movVq1r2ejVi8CnXMSeKNmAwZVsKyWxHoY8GsFmFvlEbrnVu08kI79Jl
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmDCCAT6gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFWr2LJK6LCw3IJN
PRevqgeYGBKri2+ai9WrWvZ6NWLwKdcxJ4o2YDBlWwrJbEehjwawWYW+URuudW7T
yQjv0mWjfzB9MB0GA1UdDgQWBBSFqKQ9us4Jpn37Dh/IHALwKclXPDAfBgNVHSME
GDAWgBSFqKQ9us4Jpn37Dh/IHALwKclXPDAPBgNVHRMBAf8EBTADAQH/MA4GA1Ud
DwEB/wQEAwIChDAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0E
AwIDSAAwRQIhAOlkyUFriApPVo7AKkHuDZQ+wbcUK6FxEBmVOIryp8cfAiAvJYxv
J4npjWHFFWSfaCMO8k2kxTumUTJoTr2S2Z13QQ==
-----END CERTIFICATE-----
"""


def nobody(command: str) -> Child:
    raise AssertionError("there is no command to run")


def ask(asked: Probe, within: float = DEADLINE, since: float = 0) -> Finding:
    """What is no command, of what needs no server of ours."""
    return asyncio.run(probe.ask(asked, within, since, nobody))


# Ports.


@asynccontextmanager
async def server(answer: Answer, host: str = "127.0.0.1", trust: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port where each who connects is answered so, until they have gone."""
    tasks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            await answer(reader, writer)
        writer.transport.abort()

    async with await asyncio.start_server(serve, host, 0, ssl=trust) as listening:
        yield listening.sockets[0].getsockname()[1]
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*filter(None, tasks))


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes what comes, until its client has gone."""
    while await reader.read(65536):
        pass


def saying(data: bytes, more: bytes = b"") -> Answer:
    """Reads the request, says this, and what follows again and again until its client has gone."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        while more:
            writer.write(more)
            await writer.drain()
        await silent(reader, writer)

    return answer


@contextmanager
def taken_port() -> Iterator[int]:
    """Nobody listens there, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("::1", "[::1]"), ("::1", "::1")],
)
def test_where_somebody_listens_it_connects(host: str, written: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trying:
        try:
            trying.bind((host, 0))
        except OSError:
            pytest.skip(f"there is no {host} here")

    async def run() -> None:
        heard = []

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.read())

        async with server(listen, host) as port:
            asked = Probe(tcp=f"{written}:{port}")
            assert await probe.ask(asked, DEADLINE, 0, nobody) == Finding(True, "connected")
        assert heard in ([b""], []), "it hangs up at once, and may have gone before it was noticed"

    asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_where_nobody_listens_it_is_refused(host: str) -> None:
    """Also where a name has several addresses, each of which refuses."""
    with taken_port() as port:
        for asked in (Probe(tcp=f"{host}:{port}"), Probe(http=f"http://{host}:{port}/")):
            finding = ask(asked)
            assert not finding.is_ok
            assert set(finding.said.split(" or ")) <= {"connection refused", "cannot assign requested address"}


@pytest.mark.skipif(sys.platform != "linux", reason="only there a port connects to itself")
def test_who_connects_to_itself_has_found_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks a port of the ephemeral range often enough is given it as its own some day."""
    with taken_port() as free:
        pass
    monkeypatch.setattr(asyncio, "open_connection", partial(asyncio.open_connection, local_addr=("127.0.0.1", free)))
    assert ask(Probe(tcp=f"127.0.0.1:{free}")) == Finding(False, "connection refused")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Probe(tcp="5432"), "this is not host:port"),
        (Probe(tcp="localhost:"), "this is not host:port"),
        (Probe(tcp="localhost:http"), "this is not host:port"),
        (Probe(tcp="localhost:99999"), "this is not host:port"),
        (Probe(tcp=f"{'x' * 70}.test:1"), "nothing can have such a name"),
        (Probe(tcp="\udc80.test:1"), "nothing can have such a name"),
        (Probe(http="ftp://localhost/"), "this is not a URL of http or https"),
        (Probe(http="http:///path"), "this is not a URL of http or https"),
        (Probe(http="http://h\u00f6st.test/"), "nothing can have such a name"),
        (Probe(file="/dev/null/file"), "not a directory"),
    ],
)
def test_what_cannot_be_asked_for_is_told(asked: Probe, said: str) -> None:
    assert ask(asked) == Finding(False, said)


def test_what_python_or_the_resolver_refuses_is_told() -> None:
    assert "port" in ask(Probe(http="http://localhost:x/")).said.lower()
    assert "null" in ask(Probe(file="/a\0b")).said
    unknown = ask(Probe(tcp="no-such-host.invalid:80"), within=SOON)
    assert not unknown.is_ok
    assert "errno" not in unknown.said.lower()


# HTTP.


def get(answer: Answer, within: float = DEADLINE, status: tuple[int, ...] = (), path: str = "/") -> Finding:
    async def run() -> Finding:
        async with server(answer) as port:
            return await probe.ask(Probe(http=f"http://127.0.0.1:{port}{path}", status=status), within, 0, nobody)

    return asyncio.run(run())


def head(status: str, *more: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 2", *more, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("status", "wanted", "is_ok"),
    [
        ("200 OK", (), True),
        ("204 No Content", (), True),
        ("302 Found", (), True),
        ("399 Strange", (), True),
        ("404 Not Found", (), False),
        ("503 Service Unavailable", (), False),
        ("404 Not Found", (200, 404), True),
        ("200 OK", (204,), False),
        ("302 Found", (200,), False),
    ],
)
def test_an_answer_is_well_by_its_status(status: str, wanted: tuple[int, ...], is_ok: bool) -> None:
    answer = saying(head(status, "Location: http://127.0.0.1:1/") + b"hi")
    assert get(answer, status=wanted) == Finding(is_ok, status)


def test_the_request_is_what_a_server_wants() -> None:
    heard = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(head("200 OK"))
        await silent(reader, writer)

    for path in ("", "/health?deep=1&name=a b#part", "/caf\u00e9/%20"):
        assert get(listen, path=path).is_ok
    assert [text.splitlines()[0] for text in heard] == [
        "GET / HTTP/1.1",
        "GET /health?deep=1&name=a%20b HTTP/1.1",
        "GET /caf%C3%A9/%20 HTTP/1.1",
    ]
    fields = [line.partition(": ") for line in heard[0].splitlines()[1:-1]]
    assert {name.lower() for name, _, _ in fields} == {"host", "user-agent", "accept", "connection"}
    assert {name.lower(): value for name, _, value in fields}["host"].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (head("200 \x1b[31mred\x1b[0m\x07"), "200 red"),
        (head("200"), "200"),
        (head("200 " + "x" * 1000), "200 " + "x" * 296),
        (head("200 caf\xe9"), "200 caf\ufffd"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + head("200 OK"), "200 OK"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not a proper answer in HTTP: illegal status line"),
        (b"\0" * 100_000, "not a proper answer in HTTP: illegal request line"),
    ],
)
def test_what_is_odd_is_told_in_one_harmless_line(said: bytes, expected: str) -> None:
    finding = get(saying(said))
    assert finding == Finding(expected.startswith("200"), expected)


@pytest.mark.parametrize("endless", [b"X-Filler: filling\r\n", b"x"], ids=["headers", "one header"])
def test_headers_without_end_are_not_read_without_end(endless: bytes) -> None:
    finding = get(saying(b"HTTP/1.1 200 OK\r\nA: ", endless * 100))
    assert finding == Finding(False, "not a proper answer in HTTP: receive buffer too long")


def test_a_body_without_end_is_not_read() -> None:
    assert get(saying(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000)) == Finding(True, "200 OK")


def test_informational_answers_without_end_are_no_answer() -> None:
    assert get(saying(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), SOON) == Finding(False, "no answer within 0.3 s")


@pytest.mark.parametrize("answer", [silent, saying(b"HTTP/1.1 200 ")], ids=["nothing", "half a line"])
def test_who_never_answers_is_not_waited_for(answer: Answer) -> None:
    assert get(answer, SOON) == Finding(False, "no answer within 0.3 s")


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nA: b\r\n"])
def test_who_hangs_up_has_not_answered(said: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()
        await writer.wait_closed()

    assert get(hang_up) == Finding(False, "the connection was closed without an answer")


def test_who_resets_the_connection_has_not_answered() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    assert get(reset) == Finding(False, "connection reset by peer")


@settings(max_examples=50)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda data: b"HTTP/1.1 200 " + data)))
def test_whatever_is_answered_is_an_answer(data: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()
        await writer.wait_closed()

    finding = get(answer)
    assert finding.said.isprintable() or "\t" in finding.said or "\u200c" in finding.said or "\u200d" in finding.said
    assert len(finding.said) <= 300


# TLS.


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's part; the system trusts it until the end of the test, if it is not told otherwise."""
    path = tmp_path / "certificate.pem"
    path.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    probe._trust.cache_clear()
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(path)
    yield trust
    probe._trust.cache_clear()


def get_secretly(answer: Answer, trust: ssl.SSLContext | None, within: float = DEADLINE) -> Finding:
    async def run() -> Finding:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # of the server's side, whose client has gone
        async with server(answer, trust=trust) as port:
            return await probe.ask(Probe(http=f"https://127.0.0.1:{port}/"), within, 0, nobody)

    return asyncio.run(run())


def test_https_is_asked_as_well(trusted: ssl.SSLContext) -> None:
    assert get_secretly(saying(head("200 OK")), trusted) == Finding(True, "200 OK")
    assert get_secretly(silent, trusted, SOON) == Finding(False, "no answer within 0.3 s")


def test_who_is_not_trusted_is_not_asked(trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    finding = get_secretly(saying(head("200 OK")), trusted)
    assert not finding.is_ok
    assert finding.said.startswith("its certificate is not trusted: self")


def test_who_knows_no_tls_is_told() -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(head("400 Bad Request"))
        await writer.drain()
        await silent(reader, writer)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)

    assert get_secretly(silent, None, SOON) == Finding(False, "no answer within 0.3 s")
    for answer in (speak_plainly, hang_up):
        finding = get_secretly(answer, None)
        assert not finding.is_ok
        assert finding.said
        assert "[" not in finding.said
        assert "_" not in finding.said


# Files.


def test_a_file_has_to_be_there(tmp_path: Path) -> None:
    asked = Probe(file=str(tmp_path / "pid"))
    assert ask(asked) == Finding(False, "no such file or directory")
    (tmp_path / "pid").touch()
    assert ask(asked) == Finding(True, "it is there")
    assert ask(Probe(file=str(tmp_path))).is_ok


def test_a_file_of_an_earlier_run_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    asked = Probe(file=str(path))
    since = time.time()
    path.touch()
    assert ask(asked, since=since).is_ok, "the clock of files lags behind"
    later = path.stat().st_ctime + probe.CLOCK_SLACK + 0.01
    assert ask(asked, since=later) == Finding(
        False, "it is there, but was not made or changed since the job was started"
    )


@pytest.mark.parametrize("how", ["written", "moved", "linked"])
def test_a_file_counts_from_when_it_was_changed_or_came_there(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "pid", tmp_path / "other"
    for old in (path, other) if how == "written" else (other,):
        old.touch()
        os.utime(old, (0, 0))
    since = other.stat().st_ctime + probe.CLOCK_SLACK + 0.01
    wait_until(lambda: time.time() > since, "the time to pass")
    assert not ask(Probe(file=str(path)), since=since).is_ok
    match how:
        case "written":
            path.write_text("1")
        case "moved":
            other.rename(path)
        case "linked":
            path.symlink_to(other)
    assert ask(Probe(file=str(path)), since=since).is_ok


# Commands.


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = tmp_path / "job"
    folder.mkdir()
    return Job("s/j", "j", (Command("exec sleep 1000"),), str(folder))


def bearer(job: Job, born: list[Child] | None = None) -> Callable[[str], Child]:
    """Who brings probes of the job into the world, and notes them."""
    world = nursery.world(Plan("/jobs.yaml", "id", ()))

    def bear(command: str) -> Child:
        one = nursery.bear_probe(world, job, 1, command)
        if born is not None:
            born.append(one)
        return one

    return bear


def run(job: Job, command: str, within: float = DEADLINE) -> Finding:
    """Nobody is left of it, wherever they hide."""
    finding = asyncio.run(probe.ask(Probe(command=command), within, 0, bearer(job)))
    assert working_in(Path(job.cwd)) == {}
    return finding


@pytest.mark.parametrize(
    ("command", "is_ok", "said"),
    [
        ("true", True, "exit 0"),
        ("echo all is well", True, "all is well"),
        ("exit 7", False, "exit 7"),
        ("no-such-program 2>/dev/null", False, "exit 127"),
        ("kill -s SEGV $$", False, "killed by SEGV"),
        ("echo bad >&2; exit 3", False, "bad"),
        ("echo first; echo last; exit 1", False, "last"),
        (r"printf 'last\n\n  \n\t\n'", True, "last"),
        ("printf 'no newline'; exit 1", False, "no newline"),
        (r"printf '\033[31mred\033[0m\033]0;title\007\r\n'", True, "red"),
        (r"printf '\377\n'", True, "\ufffd"),
        ("echo out; echo >&2", True, "out"),
        ("yes | head -c 5000000; echo end", True, "end"),
        ("yes | head -c 5000000 >&2; echo end >&2; exit 1", False, "end"),
        ("cat; exit 4", False, "exit 4"),
        ("exec >&- 2>&-; sleep 0.05; exit 5", False, "exit 5"),
    ],
)
def test_a_command_answers_by_its_exit_and_its_last_words(job: Job, command: str, is_ok: bool, said: str) -> None:
    assert run(job, command) == Finding(is_ok, said)


def test_of_a_long_line_a_part_is_told(job: Job) -> None:
    assert run(job, "yes x | tr -d '\\n' | head -c 100000") == Finding(True, "x" * 300)


@pytest.mark.parametrize("command", ["sleep 1000", "yes", IGNORES_TERM, f"{HOLDS_PIPE}; wait", "kill -s STOP $$"])
def test_a_command_that_does_not_end_is_killed(job: Job, command: str) -> None:
    assert run(job, command, SOON) == Finding(False, "no answer within 0.3 s")


def test_who_left_the_group_is_killed_with_it(job: Job) -> None:
    escapes = "import os, time; os.setsid(); open('pid', 'w').write(f'{os.getpid()}\\n'); time.sleep(1000)"
    command = f'{sys.executable} -S -c "{escapes}" & wait'

    async def run() -> None:
        asking = asyncio.create_task(probe.ask(Probe(command=command), DEADLINE, 0, bearer(job)))
        await has(Path(job.cwd, "pid"))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(run())
    assert working_in(Path(job.cwd)) == {}


@pytest.mark.parametrize("command", [HOLDS_PIPE, DOUBLE_FORKS, f"{IGNORES_TERM} & echo left", "yes & echo left"])
def test_a_command_does_not_outlive_its_end_in_the_background(job: Job, command: str) -> None:
    assert run(job, command).is_ok


def test_a_daemon_that_a_command_leaves_is_killed_and_reaped(job: Job) -> None:
    """Where orphans come to us, as they come to a runner."""
    asks = """
import asyncio, json, os, sys
from tests.test_probe import bearer
from zap import census, child, probe
from zap.plan import Job, Probe
child.adopt_orphans()
job = Job("s/j", "j", (), sys.argv[1])
bear = bearer(job)
other = bear("exec sleep 1000")
found = asyncio.run(probe.ask(Probe(command=sys.argv[2]), 60.0, 0, bear))
look = census.take()
print(json.dumps([found.is_ok, int(found.said) in look.processes, look.below(os.getpid()) == {other.pid}]))
other.signal_group(9)
"""
    command = f"({SETSID_ESCAPES} >pid); until [ -s pid ]; do sleep 0.01; done; cat pid"
    argv = [sys.executable, "-c", asks, job.cwd, command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert not done.stderr, done.stderr
    assert json.loads(done.stdout) == [True, False, True]


async def has(path: Path) -> None:
    """Until a command has written a line there."""
    await asyncio.to_thread(
        wait_until, lambda: path.exists() and path.read_text().endswith("\n"), f"{path} to be there"
    )


@pytest.mark.parametrize("times", [1, 1000])
@pytest.mark.parametrize("command", ["sleep 1000", IGNORES_TERM])
def test_who_cancels_waits_until_nobody_is_left(job: Job, command: str, times: int) -> None:
    async def run() -> None:
        born: list[Child] = []
        asked = Probe(command=f"echo >up; {command}")
        asking = asyncio.create_task(probe.ask(asked, DEADLINE, 0, bearer(job, born)))
        await has(Path(job.cwd, "up"))
        for _ in range(times):
            asking.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert born[0].pid not in census.take().processes

    asyncio.run(run())
    assert working_in(Path(job.cwd)) == {}


def test_a_loop_that_ends_leaves_nobody(job: Job) -> None:
    async def run() -> asyncio.Task[Finding]:
        asking = asyncio.create_task(
            probe.ask(Probe(command=f"echo >up; {HOLDS_PIPE}; wait"), DEADLINE, 0, bearer(job))
        )
        await has(Path(job.cwd, "up"))
        return asking

    assert asyncio.run(run()).cancelled()
    assert working_in(Path(job.cwd)) == {}


def test_several_ask_at_once_and_each_ends_alone(job: Job) -> None:
    go = Path(job.cwd, "go").touch

    async def run() -> None:
        bear = bearer(job)
        waits = "echo >up; until [ -e go ]; do sleep 0.01; done; echo gone on"
        one = asyncio.create_task(probe.ask(Probe(command=waits), DEADLINE, 0, bear))
        await has(Path(job.cwd, "up"))
        assert await probe.ask(Probe(command="exit 1"), DEADLINE, 0, bear) == Finding(False, "exit 1")
        assert await probe.ask(Probe(command="sleep 1000"), SOON, 0, bear) == Finding(False, "no answer within 0.3 s")
        go()
        assert await one == Finding(True, "gone on")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("job_has", "said"),
    [
        ({"shell": ("/no/such/shell",)}, "it could not be started: no such file or directory: /no/such/shell"),
        ({"cwd": "/no/such/folder"}, "it could not be started: no such file or directory: /no/such/folder"),
        ({"env_file": ("/dev/null/env",)}, "it could not be started: not a directory: /dev/null/env"),
    ],
)
def test_a_command_that_cannot_be_started_is_told(job: Job, job_has: dict[str, object], said: str) -> None:
    assert run(job, "true").is_ok
    bear = bearer(job._replace(**job_has))  # type: ignore[arg-type]
    assert asyncio.run(probe.ask(Probe(command="true"), DEADLINE, 0, bear)) == Finding(False, said)


def test_an_env_file_that_is_no_text_is_told(job: Job) -> None:
    path = Path(job.cwd, "env")
    path.write_bytes(b"A=\xff")
    finding = asyncio.run(probe.ask(Probe(command="true"), DEADLINE, 0, bearer(job._replace(env_file=(str(path),)))))
    assert finding == Finding(False, f"it could not be started: file {path}: it is not UTF-8 text")


def test_a_command_runs_as_the_job_does_but_alone(job: Job) -> None:
    job = job._replace(env=(("NAME", "value"),), shell=("/bin/sh", "-u"))
    assert run(job, "pwd").said == job.cwd
    assert run(job, "echo $NAME $ZAP_JOB $ZAP_EPOCH").said == "value s/j 1"
    assert run(job, "echo $-").said.count("u") == 1
    assert run(job, "tty").said == "not a tty"
    assert run(job, "ls /proc/self/fd | tr '\\n' ' '").said == "0 1 2 3"


def test_what_ends_the_job_does_not_find_its_probe_nor_the_other_way_round(job: Job) -> None:
    world = nursery.world(Plan("/jobs.yaml", "id", ()))._replace(files=100)
    born = nursery.bear(world, job._replace(tty=False), 1)
    asking = nursery.bear_probe(world, job, 1, "ulimit -n >limit; exec sleep 1000")
    try:
        wait_until(lambda: Path(job.cwd, "limit").exists() and Path(job.cwd, "limit").read_text() == "100\n", "both")
        look = census.take()
        assert asking.tag.startswith(f"{born.tag}:probe:")
        assert asking.pid not in look.family(born.pid, born.tag)
        assert born.pid not in look.family(asking.pid, asking.tag)
        assert look.job(asking.pid) == job.name
        assert {born.pid, asking.pid} <= look.of_runner(world.runner)
    finally:
        for one in (born, asking):
            one.signal_group(9)
            wait_until(one.status, "it to end")
            one.close()
