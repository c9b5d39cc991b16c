"""A terminal of our own with a real program in it: keys go in, bytes come out, and pyte knows what they would show."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

GONE_MOST = 10.0  # seconds that a program has to end once its terminal is gone
AT_ONCE = 64 * 1024  # bytes


class Terminal:
    """`with Terminal(argv, folder, env) as terminal:` starts the program; at the end of the block it is gone.

    `screen` is fed with what was read when `look` or `wait` is called, because that costs more than the reading.
    """

    def __init__(
        self, argv: Sequence[str], folder: Path, env: Mapping[str, str], columns: int = 200, rows: int = 50
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._unseen = bytearray()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                _resize(0, columns, rows)
                os.chdir(folder)
                os.execvpe(argv[0], list(argv), dict(env) | {"TERM": "xterm-256color"})
            finally:  # it could not be started; nothing of us may go on twice
                os._exit(127)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        """Hangs up, as a terminal does whose window is closed; who does not heed that is killed."""
        os.close(self._fd)
        until = time.monotonic() + GONE_MOST
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return
            time.sleep(0.005)

    def resize(self, columns: int, rows: int) -> None:
        _resize(self._fd, columns, rows)
        self.screen.resize(rows, columns)

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def read(self, seconds: float) -> bytes:
        """What comes next; nothing when nothing does for so long. EOFError: the program has ended."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return b""
        try:
            data = os.read(self._fd, AT_ONCE)
        except OSError:  # EIO, by which Linux tells the end of a terminal
            data = b""
        if not data:
            raise EOFError("the program has ended: " + "\n".join(self.look()).rstrip())
        self._unseen += data
        return data

    def pause(self, seconds: float) -> None:
        """Reads for so long, as a terminal does while its person thinks."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.read(left)

    def expect(self, needle: bytes, seconds: float) -> bool:
        """Whether these bytes come within so many seconds; returns as soon as they have."""
        until = time.monotonic() + seconds
        seen = b""
        while needle not in seen:
            left = until - time.monotonic()
            if left <= 0:
                return False
            seen = seen[1 - len(needle) :] + self.read(left)
        return True

    def look(self) -> list[str]:
        """The screen as it is now, row by row."""
        self._stream.feed(bytes(self._unseen))
        self._unseen.clear()
        return self.screen.display

    def wait(self, is_so: Callable[[str], bool], seconds: float = 30.0) -> None:
        """Until this is so of the screen's text. AssertionError: it never was, and what was there instead."""
        until = time.monotonic() + seconds
        while not is_so(shown := "\n".join(self.look())):
            assert time.monotonic() < until, shown
            self.read(0.1)


def _resize(fd: int, columns: int, rows: int) -> None:
    """As ioctl_tty(2) says; the program hears of it by SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
