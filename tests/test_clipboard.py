"""Text that reaches the clipboard: of the terminal, of tmux, and of the system through its tool."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.zap import DEADLINE, is_alive, wait_until
from zap import child
from zap.tui import clipboard

TEXT = "grüße 🔧\n$(x) '\x1b[31m\n"
LONG = "ä" * 40_000


class Desk:
    """A PATH with nothing but what a test puts there, and a terminal that remembers what was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {"PATH": str(folder)}
        self.written: list[bytes] = []

    def put(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\ncd '{self.folder}'\n{script}\n")
        path.chmod(0o700)

    def copy(self, text: str = TEXT, **environ: str) -> str:
        return clipboard.copy(text, self.environ | environ, self.written.append)

    def took(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture(autouse=True)
def _programs_are_as_slow_as_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "SECONDS", DEADLINE)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def sequence(text: str) -> bytes:
    return b"\x1b]52;c;" + base64.b64encode(text.encode()) + b"\x07"


def test_without_any_tool_the_terminal_is_asked(desk: Desk) -> None:
    assert desk.copy(WAYLAND_DISPLAY="wayland-0", DISPLAY=":0") == "OSC 52"
    assert desk.written == [sequence(TEXT)]


@pytest.mark.parametrize(
    ("tools", "environ", "used"),
    [
        (["wl-copy", "xclip"], {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "wl-copy"),
        (["wl-copy", "xclip", "xsel"], {"DISPLAY": ":0"}, "xclip -selection clipboard"),
        (["wl-copy", "xsel"], {"DISPLAY": ":0"}, "xsel --clipboard --input"),
        (["wl-copy", "xclip", "xsel", "pbcopy"], {"DISPLAY": ""}, "pbcopy"),
    ],
)
def test_the_tool_of_the_desktop_has_it_too(desk: Desk, tools: list[str], environ: dict[str, str], used: str) -> None:
    for tool in tools:
        desk.put(tool, 'echo "${0##*/}" "$@" >called; cat >text')
    assert desk.copy(**environ) == f"OSC 52 and {used.split()[0]}"
    assert desk.took("called").decode().strip() == used
    assert desk.took("text") == TEXT.encode()
    assert desk.written == [sequence(TEXT)]


def test_windows_has_it_in_its_own_letters(desk: Desk) -> None:
    desk.put("clip.exe", "cat >text")
    assert desk.copy() == "OSC 52 and clip.exe"
    assert desk.took("text").decode("utf-16-le") == TEXT


def test_a_tool_that_fails_makes_room_for_the_next(desk: Desk) -> None:
    desk.put("wl-copy", "exit 1")
    desk.put("xclip", "cat >text")
    assert desk.copy(WAYLAND_DISPLAY="gone", DISPLAY=":0") == "OSC 52 and xclip"
    assert desk.took("text") == TEXT.encode()


def test_what_is_too_long_for_a_terminal_is_left_to_the_tool(desk: Desk) -> None:
    desk.put("pbcopy", "cat >text")
    assert desk.copy(LONG) == "pbcopy"
    assert desk.took("text") == LONG.encode()
    assert desk.written == []


def test_what_is_too_long_for_a_terminal_is_cut_between_letters_and_told(desk: Desk) -> None:
    assert desk.copy("x" + LONG) == "OSC 52 (only its first 74 kB)"
    (written,) = desk.written
    taken = base64.b64decode(written.removeprefix(b"\x1b]52;c;").removesuffix(b"\x07"), validate=True).decode()
    assert ("x" + LONG).startswith(taken)
    assert clipboard.OSC_52_BYTES - 2 < len(taken.encode()) <= clipboard.OSC_52_BYTES
    assert len(written) <= 100_000


@pytest.mark.parametrize("text", ["", "short", "long" * 1000])
def test_within_screen_it_goes_through_in_small_pieces(desk: Desk, text: str) -> None:
    assert desk.copy(text, STY="1234.pts-0.host") == "OSC 52"
    (written,) = desk.written
    pieces = re.findall(rb"\x1bP(.*?)\x1b\\", written, re.DOTALL)
    assert b"".join(b"\x1bP" + piece + b"\x1b\\" for piece in pieces) == written
    assert b"".join(pieces) == sequence(text)
    assert max(map(len, pieces)) <= 256


def test_what_cannot_be_encoded_is_no_reason_to_fail(desk: Desk) -> None:
    desk.put("pbcopy", "cat >text")
    assert desk.copy("a\udcffb") == "OSC 52 and pbcopy"
    assert desk.took("text") == b"a?b"


def test_tmux_that_is_gone_or_too_old_is_passed_by(desk: Desk) -> None:
    desk.put("tmux", "cat >text; exit 1")
    assert desk.copy(TMUX="/gone,1,0") == "OSC 52"
    assert desk.written == [sequence(TEXT)]


class Tmux:
    """A server of our own, with nothing of the person's."""

    def __init__(self, socket: Path) -> None:
        self.argv = ["tmux", "-f", "/dev/null", "-S", str(socket)]
        self.environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        self.run("new-session", "-d", "sleep 1000")
        self.inside = self.environ | {"TMUX": self.run("display-message", "-p", "#{socket_path},#{pid},0").strip()}

    def run(self, *arguments: str) -> str:
        argv = [*self.argv, *arguments]
        return subprocess.run(argv, env=self.environ, capture_output=True, check=True, timeout=DEADLINE).stdout.decode()


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    server = Tmux(tmp_path / "s")
    yield server
    server.run("kill-server")


@pytest.mark.real("tmux")
@pytest.mark.parametrize("text", [TEXT, LONG], ids=["short", "long"])
def test_a_real_tmux_has_it_in_its_newest_buffer(tmux: Tmux, text: str) -> None:
    written: list[bytes] = []
    assert clipboard.copy(text, tmux.inside, written.append) == "tmux"
    assert tmux.run("show-buffer") == text
    assert written == []


@pytest.mark.real("tmux")
def test_a_real_tmux_hands_it_to_the_terminal_around_it(tmux: Tmux) -> None:
    outside = pexpect.spawn(tmux.argv[0], [*tmux.argv[1:], "attach"], env=tmux.environ, timeout=DEADLINE)
    try:
        wait_until(lambda: tmux.run("list-clients").strip(), "tmux to be attached")
        assert clipboard.copy(TEXT, tmux.inside, lambda data: None) == "tmux"
        outside.expect(rb"\x1b\]52;c?;" + re.escape(base64.b64encode(TEXT.encode())))
    finally:
        outside.close(force=True)


# The hand that does it.


def piped(script: str, data: bytes = b"", seconds: float = DEADLINE, path: Path | None = None) -> bool:
    return child.pipe(["sh", "-c", script, str(path)], data, {"PATH": os.environ["PATH"]}, seconds)


def test_a_program_reads_all_and_its_output_is_let_go(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytes(range(256)) * 4096  # more than a pipe holds
    assert piped('cat >"$0"; head -c 1000000 /dev/zero; echo loud >&2', data, path=tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == data
    assert capfd.readouterr() == ("", "")


def test_a_program_that_fails_or_does_not_read_or_does_not_exist_is_told_by_false() -> None:
    assert not piped("cat; exit 7")
    assert not piped("kill -9 $$")
    assert piped("exit 0", b"x" * 1_000_000)
    assert not child.pipe(["no-such-program"], b"", {"PATH": os.environ["PATH"]}, DEADLINE)


def test_a_program_that_hangs_is_killed_with_its_family(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    seconds = 0.1
    while not path.exists() or not path.read_text():  # on a slow machine it is killed before it comes so far
        assert seconds < DEADLINE
        assert not piped('sleep 1000 & echo $! >"$0"; wait', seconds=seconds, path=path)
        seconds *= 2
    wait_until(lambda: not is_alive(int(path.read_text())), "the family to be gone")


def test_what_a_program_leaves_in_the_background_holds_up_nobody_and_goes_on(tmp_path: Path) -> None:
    """As xclip and wl-copy do, which keep the text for as long as anybody may ask for it."""
    path = tmp_path / "pid"
    assert piped('cat; sleep 1000 & echo $! >"$0"', b"text", path=path)
    pid = int(path.read_text())
    try:
        assert is_alive(pid)
        assert os.getsid(pid) != os.getsid(0)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_the_tools_are_looked_for_where_the_person_has_them(desk: Desk) -> None:
    shutil.copy(shutil.which("true") or "", desk.folder / "pbcopy")
    assert desk.copy("") == "OSC 52 and pbcopy"
    assert desk.copy("", PATH="/nowhere") == "OSC 52"
