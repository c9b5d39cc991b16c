"""A real tmux with real programs in it: keys go in; its screen, its modes and its paste buffers can be looked at."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.zap import DEADLINE, is_alive, wait_until

LOOK_EVERY = 0.03  # seconds; a look takes a process
SHELL = ("env", "PS1=$ ", "sh")  # a prompt that is the same everywhere


class Tmux:
    """`with Tmux(folder, env) as tmux:` has a shell in its window; at the end of the block nothing of it is left.

    A server of its own, on a socket of its own and without anybody's settings. Text is that of the whole screen, with a
    newline after each row; rows end where there is nothing but spaces.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str], columns: int = 120, rows: int = 40, argv: Sequence[str] = SHELL
    ) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="zap-")  # short enough for a socket
        self._env = dict(env) | {"TERM": "xterm-256color"}
        settings = (
            "set -g default-terminal tmux-256color; set -g status off; set -g escape-time 0; set -g history-limit 9"
        )
        config = Path(self._place.name, "config")
        config.write_text(settings.replace("; ", "\n") + "\nset -s set-clipboard on\n")
        self.tell("-f", str(config), "new-session", "-d", *_size(columns, rows), "-c", str(folder), *argv)
        self.pid = int(self.tell("display-message", "-p", "#{pid}"))
        self.shell = int(self.tell("display-message", "-p", "#{pane_pid}"))

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """What runs in it hears SIGHUP, as when a window is closed."""
        try:
            self.tell("kill-server")
            wait_until(lambda: not is_alive(self.pid) and not is_alive(self.shell), "tmux to end")
        finally:
            self._place.cleanup()

    def tell(self, *arguments: str, data: str | None = None) -> str:
        """A command for tmux, and what it says."""
        return subprocess.run(
            ["tmux", "-S", f"{self._place.name}/socket", *arguments],
            env=self._env,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
            check=True,
        ).stdout

    def press(self, *keys: str) -> None:
        """Keys by tmux's names, such as Enter, Escape, C-c, Up; what is no name is typed letter by letter."""
        self.tell("send-keys", "--", *keys)

    def type(self, text: str) -> None:
        """Text as it is."""
        self.tell("send-keys", "-l", "--", text)

    def send(self, data: bytes) -> None:
        """Bytes as a terminal sends them, such as a click of the mouse."""
        self.tell("send-keys", "-H", *(f"{byte:02x}" for byte in data))

    def click(self, column: int, row: int, button: int = 0) -> None:
        """Press and release, both counted from 0; button 0 is the left one, 64 and 65 are the wheel."""
        self.send(_mouse(button, column, row, "M"))
        if button < 64:
            self.send(_mouse(button, column, row, "m"))

    def drag(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """With the left button, from one column and row to another."""
        self.send(_mouse(0, *begin, "M") + _mouse(32, *end, "M") + _mouse(0, *end, "m"))

    def text(self) -> str:
        return self.tell("capture-pane", "-p")

    def rows(self, is_coloured: bool = False) -> list[str]:
        """The screen's rows, with their colours as escape sequences or without."""
        return self.tell("capture-pane", "-p", "-N", *(("-e",) if is_coloured else ())).split("\n")[:-1]

    def wait(self, is_so: str | Callable[[str], object], what: str = "") -> str:
        """Until this text shows, or this is so of the text; the text. AssertionError: what showed instead."""
        until = time.monotonic() + DEADLINE
        while True:
            seen = self.text()
            if is_so(seen) if callable(is_so) else is_so in seen:
                return seen
            assert time.monotonic() < until, f"waited in vain for {what or repr(is_so)}; instead there was\n{seen}"
            time.sleep(LOOK_EVERY)

    def wait_gone(self, text: str) -> None:
        self.wait(lambda shown: text not in shown, f"{text!r} to go")

    def resize(self, columns: int, rows: int) -> None:
        self.tell("resize-window", *_size(columns, rows))

    def look(self, what: str) -> str:
        """One of tmux's own variables, such as `cursor_flag`, `alternate_on`, `mouse_any_flag`, `pane_title`."""
        return self.tell("display-message", "-p", f"#{{{what}}}").rstrip("\n")

    def pasted(self) -> list[str]:
        """The paste buffers, the newest first."""
        names = self.tell("list-buffers", "-F", "#{buffer_name}").split()
        return [self.tell("show-buffer", "-b", name) for name in names]


def _size(columns: int, rows: int) -> tuple[str, ...]:
    return "-x", str(columns), "-y", str(rows)


def _mouse(button: int, column: int, row: int, end: str) -> bytes:
    """In SGR, which counts from 1 (Control Sequences, xterm)."""
    return f"\x1b[<{button};{column + 1};{row + 1}{end}".encode()
