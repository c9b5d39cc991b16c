"""The socket by which a job tells how it is: sd_notify(3), whose address stands in its NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from zap import escape
from zap.plan import KIB

DATAGRAM_MOST = 4 * KIB  # bytes; longer ones are ignored, as by systemd
AT_ONCE = 100  # datagrams read before the loop has its turn again
STATUS_MOST = 300  # characters
SUN_PATH = 100  # bytes; unix(7) has room for 108, macOS for 104
PLACE_MOST = SUN_PATH - len("/zap-12345678/notify")
DIGITS_MOST = 20  # of a number of 64 bits


class Notice(NamedTuple):
    """What a job tells of itself: it is ready, it is alive (WATCHDOG=1), it is in trouble (WATCHDOG=trigger).

    `status` is one line that is safe to show, empty to take back the last one. `watchdog` is how many seconds there are
    to be between two signs of life from now on, at most; 0 when none are to be waited for.
    """

    is_ready: bool = False
    is_alive: bool = False
    is_in_trouble: bool = False
    status: str | None = None
    watchdog: float | None = None


def read(datagram: bytes) -> Notice:
    """Whatever else it says is ignored. Of what it says twice the last counts."""
    notice = Notice()
    for line in datagram.rstrip(b"\0").split(b"\n"):
        match line.split(b"=", 1):
            case b"READY", b"1":
                notice = notice._replace(is_ready=True)
            case b"WATCHDOG", b"1":
                notice = notice._replace(is_alive=True)
            case b"WATCHDOG", b"trigger":
                notice = notice._replace(is_in_trouble=True)
            case b"STATUS", text:
                notice = notice._replace(status=escape.plain(text).strip()[:STATUS_MOST])
            case b"WATCHDOG_USEC", number if number.isdigit() and len(number) <= DIGITS_MOST:
                notice = notice._replace(watchdog=int(number) / 1_000_000)
    return notice


class Mailbox:
    """One for each run of a job, so that what an earlier run says reaches nobody. Only our own user can reach it.

    `kept` is one that another process has made: its path and its descriptor. OSError: it could not be made.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_notice: Callable[[Notice], None],
        kept: tuple[str, int] | None = None,
    ) -> None:
        self._loop = loop
        self._on_notice = on_notice
        self._folder = os.path.dirname(kept[0]) if kept else _make_folder()
        self.path = os.path.join(self._folder, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM, fileno=kept[1] if kept else None)
        try:
            if not kept:
                self._socket.bind(self.path)
            self._socket.setblocking(False)
            loop.add_reader(self._socket.fileno(), self._hear)
        except BaseException:
            self._remove()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._remove()

    def _remove(self) -> None:
        self._socket.close()
        remove(self.path)

    def _hear(self) -> None:
        for _ in range(AT_ONCE):
            try:
                # There is no room for descriptors, so the kernel closes those that come along: for BARRIER=1 that is
                # the answer (sd_notify_barrier(3)), and FDSTORE=1 keeps nothing open here.
                datagram = self._socket.recv(DATAGRAM_MOST + 1)
            except OSError:  # there is no more, or who heard the last one has closed it
                return
            notice = read(datagram) if len(datagram) <= DATAGRAM_MOST else Notice()
            if notice != Notice():
                self._on_notice(notice)


def remove(path: str) -> None:
    """What is left of the one that had this path."""
    shutil.rmtree(os.path.dirname(path), ignore_errors=True)


def _make_folder() -> str:
    """Of mode 0700, in the first of the usual places whose path leaves room for that of the socket."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [*([runtime] if _is_ours(runtime) else []), tempfile.gettempdir(), "/tmp"]
    return tempfile.mkdtemp(prefix="zap-", dir=next(place for place in places if len(os.fsencode(place)) < PLACE_MOST))


def _is_ours(folder: str) -> bool:
    """Whether it is a folder, and our own user's, in which we can make one."""
    try:
        found = os.stat(folder)
    except OSError:
        return False
    is_folder = os.path.isabs(folder) and stat.S_ISDIR(found.st_mode)
    return is_folder and found.st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK)
