"""Asks a job how it is, once: does somebody listen, what does a URL answer, how does a command end, is a file there.

What the job, or the network, does wrong is an answer, and never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from zap import __version__, census, child, escape
from zap.census import Process
from zap.child import Child
from zap.events import Status
from zap.plan import KIB, Probe

SAID_MOST = 300  # characters
PRINTED_MOST = 4 * KIB  # bytes that are kept of what a command printed last
CHUNK = 64 * KIB  # bytes a read
LAST_READS = 16  # of a command that has ended: a pipe may hold so many chunks, and one that is written to never ends
CLOCK_SLACK = 0.1  # seconds; a file's times are those of the kernel's last tick, which is older than what time() says
LOOK_AGAIN = 0.02  # seconds until who was KILLed is looked for again; each time longer
LOOK_SELDOM = 1.0  # the same for those whom the kernel does not let go of
WANTS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN}
TARGET = "%/?:@!$&'()*+,;=~[]"  # characters of a URL, beside letters and digits, that are sent as they are (RFC 3986)


class Finding(NamedTuple):
    """What came of it: `said` is one line, such as `connected`, `503 Service Unavailable`, `no answer within 5 s`.

    `is_ok` is None when nobody could be asked, for a want of ours: that says nothing of the job.
    """

    is_ok: bool | None
    said: str


def load(probes: Iterable[Probe]) -> None:
    """Whatever else these take of Python's modules."""
    if any(probe.http for probe in probes):
        import h11  # noqa: F401


async def ask(probe: Probe, within: float, since: float, bear: Callable[[str], Child]) -> Finding:
    """Takes at most `within` seconds. A file counts if it was made or changed after `since` (wall time; 0: ever).

    `bear` gives the child that runs a command. When this ends, whatever the cause, all of the command's family has
    been KILLed and the child is reaped; that alone may take longer.
    """
    try:
        if probe.command is not None:
            found = await _ask_command(probe.command, within, bear)
        else:
            async with asyncio.timeout(within):
                found = await _ask(probe, since)
    except (OSError, ValueError) as error:  # those of ssl and of text among them
        is_late = isinstance(error, TimeoutError) and error.errno is None  # the network's own has a number
        found = Finding(_is_ours(error), f"no answer within {within:g} s" if is_late else _words(error))
    return found._replace(said=escape.plain(found.said.encode(errors="replace")).strip()[:SAID_MOST])


def _is_ours(error: OSError | ValueError) -> bool | None:
    """What that says of the job: False, or None where it is us who have no descriptor, no memory or no process left."""
    return None if isinstance(error, OSError) and error.errno in WANTS else False


async def _ask(probe: Probe, since: float) -> Finding:
    if probe.tcp is not None:
        return await _ask_tcp(probe.tcp)
    if probe.http is not None:
        return await _ask_http(probe.http, probe.status)
    assert probe.file is not None
    return _ask_file(probe.file, since)


def _ask_file(path: str, since: float) -> Finding:
    """By the time of its last change as the kernel notes it, which also a file that was moved here has, or a link."""
    changed = max(os.stat(path).st_ctime, os.lstat(path).st_ctime)
    if changed < since - CLOCK_SLACK:
        return Finding(False, "it is there, but was not made or changed since the job was started")
    return Finding(True, "it is there")


async def _ask_tcp(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("this is not host:port")
    _, writer = await asyncio.open_connection(host.removeprefix("[").removesuffix("]"), int(port))
    # Where nobody listens, the kernel may give us that very port for our own end: then we are talking to ourselves.
    is_somebody = writer.get_extra_info("sockname") != writer.get_extra_info("peername")
    await _hang_up(writer)
    return Finding(True, "connected") if is_somebody else Finding(False, "connection refused")


async def _ask_http(url: str, wanted: tuple[int, ...]) -> Finding:
    """The status is all that is read: neither the body nor where a redirect leads."""
    import h11

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is not a URL of http or https")
    is_secret = parts.scheme == "https"
    port = parts.port or (443 if is_secret else 80)
    target = quote(f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/", safe=TARGET)
    headers = [
        ("Host", parts.netloc.rpartition("@")[2]),
        ("User-Agent", f"zap/{__version__}"),
        ("Accept", "*/*"),
        ("Connection", "close"),
    ]
    connection = h11.Connection(h11.CLIENT)
    try:
        request = connection.send(h11.Request(method="GET", target=target, headers=headers))
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=_trust() if is_secret else None)
        try:
            writer.write(request or b"")
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    data = await reader.read(CHUNK)
                    if not data:
                        return Finding(False, "the connection was closed without an answer")
                    connection.receive_data(data)
        finally:
            await _hang_up(writer)
    except h11.ProtocolError as error:
        return Finding(False, f"not a proper answer in HTTP: {str(error).partition(':')[0].lower()}")
    status, reason = event.status_code, event.reason.decode(errors="replace")
    return Finding(status in wanted if wanted else 200 <= status < 400, f"{status} {reason}")


@cache
def _trust() -> ssl.SSLContext:
    """Whom the system trusts, which takes tens of milliseconds to read."""
    return ssl.create_default_context()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """At once, whatever is on its way; the descriptor is closed in a later turn of the loop, which is waited for."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _ask_command(command: str, within: float, bear: Callable[[str], Child]) -> Finding:
    try:
        born = bear(command)
    except (OSError, ValueError) as error:
        where = f": {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return Finding(_is_ours(error), f"it could not be started: {_words(error)}{where}")
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Status] = loop.create_future()
    printed = {fd: b"" for fd, _ in born.outputs}  # who has printed last stands last

    def hear(fd: int) -> bool:
        """Whether there was something."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if data:
            printed[fd] = (printed.pop(fd) + data)[-PRINTED_MOST:]
        else:
            loop.remove_reader(fd)
        return bool(data)

    def on_end() -> None:
        status = born.status()
        if status is not None and not ended.done():
            loop.remove_reader(born.end_fd)
            ended.set_result(status)

    try:
        for fd, _ in born.outputs:
            loop.add_reader(fd, hear, fd)
        loop.add_reader(born.end_fd, on_end)
        async with asyncio.timeout(within):
            status = await ended
        for fd, _ in born.outputs:
            for _ in range(LAST_READS):
                if not hear(fd):
                    break
    finally:
        for fd in (born.out_fd, born.err_fd, born.end_fd):
            loop.remove_reader(fd)
        await _end(born)
    return Finding(status.code == 0, _last_line(printed) or str(status))


async def _end(born: Child) -> None:
    """KILLs the child with its family, until nobody is left, and reaps them; who wants to cancel us waits for that."""
    kill = child.number("KILL")
    family: dict[int, Process] = {}  # all whom we have met: who is re-parented to init on its way out is waited for too
    cancelled: asyncio.CancelledError | None = None
    pause = LOOK_AGAIN
    while True:
        look = census.take()  # before the child is signalled: who has left its group is known by descent from it
        met = look.families({"": (born.pid, born.tag)})[""]
        family |= {process.pid: process for process in met if process.pid != born.pid}
        living = {pid for pid, process in family.items() if look.has(process) and not look.processes[pid].has_ended}
        born.signal_group(kill)
        child.kill(look.outside(living, born.pid), kill)
        if not living and born.status() is not None and all(map(child.reap, family)):
            break
        try:
            await asyncio.sleep(pause)
        except asyncio.CancelledError as error:
            cancelled = error
        pause = min(2 * pause, LOOK_SELDOM)
    born.close()
    if cancelled:
        raise cancelled


def _last_line(printed: dict[int, bytes]) -> str:
    for tail in reversed(printed.values()):
        for line in reversed(tail.split(b"\n")):
            if text := escape.plain(line).strip():
                return text
    return ""


def _words(error: OSError | ValueError) -> str:
    """Without the system's numbers, which some of asyncio's errors have in their text only, one for each address."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return (error.reason or "no secret could be agreed on").lower().replace("_", " ")
        case socket.gaierror():
            return str(error.strerror).lower()
        case OSError():
            numbers = [error.errno] if error.errno else map(int, re.findall(r"\[Errno (\d+)\]", str(error)))
            said = dict.fromkeys(os.strerror(number).lower() for number in numbers)
            return " or ".join(said) or str(error) or "the connection was lost"
        case UnicodeError():
            return "nothing can have such a name"
        case _:
            return str(error)
