"""What a hostile job prints changes nothing on the person's terminal but the pane that it is shown in."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal
from tests.tmux import Tmux
from tests.zap import DEADLINE, Zap
from zap import dial, requests

COLUMNS, ROWS = 120, 40
TREE = 24  # columns of the tree in which nothing changes by itself
BORDER = 40  # the column between the tree and the output

# Who is told a name prints what hides behind it, then that name in capitals, which are letters in every charset. What
# comes next puts everything back. All that it is told is written down.
HOSTILE = r"""
import os, select, sys, termios
settings = termios.tcgetattr(0)
settings[3] &= ~termios.ECHO
termios.tcsetattr(0, termios.TCSANOW, settings)
MIB = 1 << 20
ANSWERED = b"\x1b[c\x1b[>c\x1b[=c\x1b[5n\x1b[6n\x1b[?6n\x1b[?1$p\x1b[14t\x1b[18t\x1b[21t\x05\x1bZ\x1bP$qm\x1b\\"
PAYLOADS = {
    "titles": b"\x1b]0;owned\x07\x1b]2;owned\x1b\\\x1bkowned\x1b\\\x1b[22t\x9d0;owned\x07\xc2\x9d0;owned\x07",
    "clipboard": b"\x1b]52;c;b3duZWQ=\x07\x1b]52;p;b3duZWQ=\x1b\\\x1bPtmux;\x1b\x1b]52;c;b3duZWQ=\x07\x1b\\",
    "queries": ANSWERED + b"\x1bP+q544e\x1b\\\x1b]10;?\x07\x1b]11;?\x07\x1b]52;c;?\x07\x1b[>0q\x1b[?u\x1b[?996n",
    "screens": b"\x1b[?1049h\x1b[2J\x1b[Halternate\x1b[?47h\x1b[?1047h\x1b[3J",
    "modes": b"\x1b[?1000h\x1b[?1002h\x1b[?1003h\x1b[?1006h\x1b[?1015h\x1b[?2004h\x1b[?1004h\x1b[?25l\x1b[?7l\x1b[?5h",
    "keyboard": b"\x1b=\x1b>\x1b[?1h\x1b[4h\x1b[>1u\x1b[>4;2m\x1b[2h\x1b[1q",
    "resets": b"\x1bc\x1b[!p\x1b#8\x1b[r\x1b[5;10r\x1b[?6h\x1b[8;5;20t\x1b[3;0;0t\x1b[2t\x1b[?3h\x1b[9;1t",
    "letters": b"\x1b(0qqq\x0eqqq\x1b%@\x1b%G\x1bn\x1bo\x1b*0\x1bN",
    "prints": b"\x1b[5i secret \x1b[4i\x1b[i\x1b[?5i",
    "cells": b"\x1b[999;999Hcorner\x1b[9Bbelow\x1b[1;1Habove\x1b[9D\x1b[9Aup\b\b\b\b\x1b[99L\x1b[99M\x1b[99S\x1bM" * 9,
    "bidi": "\u202eowned\u2066\u2067\u2068\u200f\u200e\u061c \u05d0\u05d1 \u2028\u2029\ufeff\u200b".encode() * 50,
    "wide": "\u65e5\U0001f469\u200d\U0001f467\u1100\u1161\ufe0f\u20e3\U0001f1e6e\u0301\u0e33\u0bb8\u0bcd".encode() * 99,
    "marks": b"Z" + "\u0301".encode() * 200,  # which pyte takes its time for
    "invalid": bytes(range(128, 256)) * 20 + b"\xe2\x82\xf0\x9f\xc0\x80\xed\xa0\x80\xf5\x80\x80\x80",
    "controls": bytes(byte for byte in range(32) if byte not in (10, 27)) * 50 + b"\x7f" * 50,
    "csi": b"\x1b[" + b"9;" * 100_000,
    "osc": b"\x1b]0;" + b"x" * 100_000,
    "dcs": b"\x1bP1;2|" + b"x" * 100_000,
    "escapes": b"\x1b" * (10 * MIB),
    "sequences": b"\x1b[31m\x1b[1;1H\x1b]0;x\x07" * (10 * MIB // 19),
    "line": b"0123456789abcdef" * (20 * MIB // 16),
}
typed = open("typed", "wb", buffering=0)
print("end of start", flush=True)
while line := os.read(0, 4096):
    typed.write(line)
    name = line.split()[-1].decode("ascii", "replace")
    if name == "flood":
        while not select.select([0], [], [], 0)[0]:
            sys.stdout.write("0123456789 \x1b]0;owned\x07\x1b[6n\n" * 1000)
    else:
        sys.stdout.buffer.write(PAYLOADS.get(name, b"?") + b"\x18\n" + name.upper().encode() + b"\n")
        sys.stdout.flush()
    typed.write(os.read(0, 4096))
    sys.stdout.buffer.write(b"\x18\x1bc\x1b[?1049l\x1b[m\nend of " + name.encode() + b"\n")
    sys.stdout.flush()
"""
NAMES = re.findall(r'^    "(\w+)":', HOSTILE, re.MULTILINE)

# All that urwid says to a terminal while it draws: cells, colours, where they go, and whether the cursor shows.
_DRAWING = re.compile(
    r"\x1b\[[0-9;]*[HmK]|\x1b\[\?(?:25|2026)[hl]|\x1b\[4[hl]|[\b]|[^\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_PART = re.compile(r"\x1b[^\x1b]*\Z")


class Witness(Terminal):
    """Remembers all that came."""

    said = b""

    def read(self, seconds: float) -> bytes:
        data = super().read(seconds)
        self.said += data
        return data

    def look(self) -> list[str]:
        """As it is, cell by cell: pyte's own way cannot show half of a wide letter."""
        self._stream.feed(bytes(self._unseen))
        self._unseen.clear()
        cells = self.screen.buffer
        return ["".join(cells[row][column].data for column in range(COLUMNS)) for row in range(ROWS)]

    def wait_for(self, text: str) -> None:
        self.wait(lambda shown: text in shown, DEADLINE)

    def outside(self) -> list[str]:
        """What is not the output's pane nor changes by itself."""
        last = self.look()[-1]
        cells = [self.screen.buffer[row] for row in range(ROWS - 2)]
        return [*("".join(row[column].data for column in (*range(TREE), BORDER)) for row in cells), last]

    def strange(self) -> str:
        """What came that is no drawing."""
        text = self.said.decode(errors="replace")
        return _DRAWING.sub("", _PART.sub("", text))


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    zap = Zap(tmp_path)
    zap.write(HOSTILE, "hostile.py")
    zap.write(
        f"""
        systems:
          tests:
            hostile: exec {sys.executable} -S hostile.py
            other: cat >heard
        """
    )
    yield zap
    zap.end()


def opened(zap: Zap) -> Witness:
    terminal = Witness([sys.executable, "-m", "zap"], zap.folder, zap.env, COLUMNS, ROWS)
    try:
        terminal.wait_for("end of start")
        terminal.wait(lambda shown: shown.count("●") == 2, DEADLINE)
    except BaseException:
        terminal.__exit__()
        raise
    return terminal


def print_all(zap: Zap, terminal: Witness, tell: Callable[[str], None]) -> None:
    """Every payload, and after each of them a look at what is around it."""
    before = terminal.outside()
    terminal.said = b""
    for name in NAMES:
        tell(name)
        terminal.wait_for(name.upper())
        assert terminal.strange() == "", name
        assert terminal.outside() == before, name
        tell("on")
        terminal.wait_for(f"end of {name}")
        assert terminal.strange() == "", name
        assert terminal.outside() == before, name
        terminal.said = b""
    assert terminal.screen.title == ""
    assert (zap.folder / "heard").read_bytes() == b""


def test_whatever_a_job_prints_nothing_changes_outside_of_its_pane(zap: Zap) -> None:
    with opened(zap) as terminal:
        print_all(zap, terminal, lambda name: send(zap, name))
        assert (zap.folder / "typed").read_text() == "".join(f"{name}\non\n" for name in NAMES)


def test_whatever_a_job_prints_while_one_types_into_it_nothing_changes_outside_of_its_pane(zap: Zap) -> None:
    with opened(zap) as terminal:
        terminal.write(b"\r")
        terminal.wait_for("typing into tests/hostile")
        print_all(zap, terminal, lambda name: terminal.write(f"{name}\r".encode()))
        answers = re.sub("|".join(f"{name}\n" for name in (*NAMES, "on")), "", (zap.folder / "typed").read_text())
        assert re.fullmatch(r"(\x1b\[[?>]?[0-9;]*[cnR])*", answers)
        terminal.write(b"\x1d")
        terminal.wait_for("search")


def test_keys_are_answered_while_a_job_floods(zap: Zap) -> None:
    with opened(zap) as terminal:
        before = terminal.outside()
        terminal.said = b""
        send(zap, "flood")
        terminal.wait_for("0123456789")
        for _ in range(3):
            terminal.write(b"?")
            terminal.wait_for("everywhere")
            terminal.write(b"\x1b")
            terminal.wait(lambda shown: "everywhere" not in shown, DEADLINE)
        terminal.write(b"\r")
        terminal.wait_for("typing into tests/hostile")
        terminal.write(b"\x1d")
        terminal.wait_for("search")
        terminal.write(b"\t\r")
        terminal.wait_for("typing into tests/hostile")
        assert terminal.strange() == ""
        terminal.write(b"stop\r")  # reaches the job
        terminal.wait_for("end of flood")
        terminal.write(b"\x1d\t")
        terminal.wait_for("R restart")
        assert terminal.outside() == before


@pytest.mark.real("tmux")
def test_the_title_and_the_clipboard_of_the_real_terminal_stay(zap: Zap) -> None:
    with Tmux(zap.folder, zap.env, COLUMNS, ROWS, [sys.executable, "-m", "zap"]) as tmux:
        tmux.wait("end of start")
        title = tmux.look("pane_title")
        for name in ("titles", "clipboard", "resets", "modes"):
            send(zap, name)
            tmux.wait(name.upper())
            send(zap, "on")
            tmux.wait(f"end of {name}")
        tmux.press("Enter")
        tmux.wait("typing into")
        for name in ("clipboard", "titles"):
            tmux.type(f"{name}\n")
            tmux.wait(name.upper())
            tmux.type("on\n")
            tmux.wait(f"end of {name}")
        assert tmux.look("pane_title") == title
        assert tmux.pasted() == []


def send(zap: Zap, name: str) -> None:
    line = dial.dial(zap.place)
    assert line
    with line:
        line.call(requests.Send(("tests/hostile",), f"{name}\n"))
