"""Where a runner is found: a folder of its own, a lock that says whether it lives, and its Unix socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterator

from zap.errors import ZapError

BACKLOG = 512
MOST_CLIENTS = 500  # each costs a descriptor, and what it has said by half or has not read is kept for it
ACCEPT_MOST = 10  # seconds until a runner that lives must have taken who dials
SUN_PATH = 100  # bytes; unix(7) has room for 108, macOS for 104


class NoRunner(ZapError):
    """Nothing runs of this plan, or not any more."""

    code = 3


class Claim:
    """This process is the runner of the folder, from `claim` until `close` or its death, and listens there."""

    def __init__(self, folder: str, lock: int, listening: socket.socket) -> None:
        self._folder = folder
        self._lock = lock
        self.socket = listening

    @property
    def descriptors(self) -> list[int]:
        """For `claimed`."""
        return [self._lock, self.socket.fileno()]

    def hide(self) -> None:
        """Nobody finds us any more. The lock goes with our death: who sees it free has seen the last of us."""
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._folder, "socket"))

    def close(self) -> None:
        """The lock is let go last, so that whoever comes next finds a clean place."""
        self.hide()
        os.close(self._lock)


def claimed(folder: str, descriptors: list[int]) -> Claim:
    """What another process has claimed, and handed over."""
    lock, listening = descriptors
    return Claim(folder, lock, socket.socket(fileno=listening))


def claim(folder: str) -> Claim | None:
    """None: another runner lives there. What a dead one left behind is cleaned up. ZapError: the folder is no good."""
    try:
        _make(folder)
        return _claim(folder)
    except OSError as error:
        raise ZapError(f"no place for the runner's socket: {folder}: {error.strerror or error}") from None


def _claim(folder: str) -> Claim | None:
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    listening = None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when its holder dies
        except BlockingIOError:
            os.close(lock)
            return None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, "socket"))
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)  # the socket is for its owner from its first moment
        try:
            with _short(folder) as short:
                listening.bind(os.path.join(short, "socket"))
        finally:
            os.umask(mask)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        if listening:
            listening.close()
        os.close(lock)
        raise
    return Claim(folder, lock, listening)


def is_claimed(folder: str) -> bool:
    """Whether a runner lives there; it may not listen yet."""
    try:
        lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def connect(folder: str) -> socket.socket | None:
    """To the runner there; None when there is none. Blocks while too many others dial, for `ACCEPT_MOST` seconds.

    ZapError: the folder is no good, or the runner takes nobody.
    """
    try:
        _check(folder)
        return _connect(folder)
    except (FileNotFoundError, ConnectionRefusedError):  # none, or what a dead runner left
        return None
    except BlockingIOError:
        raise ZapError(f"the runner in {folder} lives, but takes no new clients") from None
    except OSError as error:
        raise ZapError(f"the runner's socket cannot be found: {folder}: {error.strerror}") from None


def _connect(folder: str) -> socket.socket:
    dialling = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A timeout of Python's makes the socket one that does not block, and connect(2) then fails where it would wait.
        dialling.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", ACCEPT_MOST, 0))
        with _short(folder) as short:
            dialling.connect(os.path.join(short, "socket"))
        dialling.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
        if (uid := peer(dialling)[1]) not in (os.geteuid(), 0):
            raise ZapError(f"the socket in {folder} is somebody else's (user {uid})")
    except BaseException:
        dialling.close()
        raise
    return dialling


def peer(connected: socket.socket) -> tuple[int, int]:
    """The process (0 where the system does not tell) and the user at the other end (unix(7), SO_PEERCRED)."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        return pid, uid
    # macOS: LOCAL_PEERCRED gives a struct xucred, whose second member is the user.
    return 0, struct.unpack_from("2I", connected.getsockopt(0, 1, 76))[1]


def _make(folder: str) -> None:
    base = os.path.dirname(folder)
    os.makedirs(os.path.dirname(base), exist_ok=True)
    for path in (base, folder):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        _check(path)


def _check(folder: str) -> None:
    """Only its owner may come in: in /tmp anybody can make a folder of that name first."""
    seen = os.lstat(folder)
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise ZapError(f"{folder} is not a folder of yours: remove it, or set XDG_RUNTIME_DIR to a folder of your own")
    if stat.S_IMODE(seen.st_mode) & 0o077:
        os.chmod(folder, 0o700)


@contextlib.contextmanager
def _short(folder: str) -> Iterator[str]:
    """Another path to the folder that a socket's address has room for."""
    if len(os.fsencode(folder)) < SUN_PATH - len("/socket"):
        yield folder
        return
    if not os.path.isdir("/proc/self/fd"):
        raise ZapError(f"{folder} is too long for a socket: {os.strerror(errno.ENAMETOOLONG)}; set XDG_RUNTIME_DIR")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
