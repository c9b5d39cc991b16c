"""The terminal emulator: what programs print is shown as tmux shows it, keys are xterm's, and nothing else gets out."""

from __future__ import annotations

import curses
import fcntl
import os
import select
import struct
import subprocess
import termios
import tracemalloc
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urwid
from hypothesis import example, given
from hypothesis import strategies as st
from urwid.display import escape

from tests.zap import wait_until
from zap.tui.colours import Colours
from zap.tui.emulator import ANSWER_SIZE, CLUSTER_SIZE, KEPT_ROWS, Emulator
from zap.tui.text import width

COLUMNS, ROWS = 80, 24


def fed(data: bytes | str, columns: int = 20, rows: int = 4, colours: Colours = 16777216) -> Emulator:
    emulator = Emulator(columns, rows, colours)
    emulator.feed(data.encode() if isinstance(data, str) else data)
    return emulator


def lines(emulator: Emulator) -> list[str]:
    return ["".join(text for _, text in row).rstrip() for row in emulator.draw()]


def first(data: str) -> urwid.AttrSpec | None:
    """The look of the first letter."""
    return fed(data).draw()[0][0][0]


# What real programs print


class Program:
    """A program on a terminal of its own that is emulated, and all that it printed."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.emulator = Emulator(COLUMNS, ROWS)
        self.printed = b""
        self._master, slave = os.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        controlled = ["sh", "-c", 'exec "$@" <"$0"', os.ttyname(slave), *argv]  # by the first terminal that it opens
        self._process = subprocess.Popen(
            controlled, stdout=slave, stderr=slave, cwd=folder, env=env | {"PS1": "$ "}, start_new_session=True
        )
        os.close(slave)

    def send(self, data: bytes) -> None:
        os.write(self._master, data)

    def type(self, *keys: str) -> None:
        self.send(b"".join(map(self.emulator.key, keys)))

    def wait(self, text: str) -> None:
        """Until the screen shows it."""
        wait_until(lambda: self._read() or text in "\n".join(lines(self.emulator)), repr(text))

    def wait_end(self) -> None:
        wait_until(lambda: self._process.poll() is not None or self._read(), "the program to end")
        self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            try:
                data = os.read(self._master, 1000)
            except OSError:  # nobody is there any more
                return
            self.printed += data
            if answer := self.emulator.feed(data):
                self.send(answer)


class Tmux:
    """A pane whose program only lets others write to its terminal."""

    def __init__(self) -> None:
        self._name = f"zap-test-{os.getpid()}"
        self._shown = 0
        window = ["new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS)]
        program = "stty raw -echo -opost; printf ready; exec sleep 1000"
        self.run(*window, program, ";", "set", "status", "off", ";", "set", "window-size", "manual")
        self.run("resize-window", "-x", str(COLUMNS), "-y", str(ROWS))
        wait_until(lambda: "ready" in self.run("capture-pane", "-p"), "tmux")
        self._fd = os.open(self.run("display", "-p", "#{pane_tty}").strip(), os.O_WRONLY | os.O_NOCTTY)

    def run(self, *arguments: str) -> str:
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        command = ["tmux", "-u", "-L", self._name, "-f", "/dev/null", *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    def show(self, printed: bytes) -> tuple[Emulator, tuple[int, int] | None]:
        """Its screen, with colours, and where its cursor is."""
        self._shown += 1
        title = f"shown-{self._shown}"
        os.write(self._fd, b"\x1b[?1049l\x1bc" + printed + f"\x1b]2;{title}\x1b\\".encode())
        wait_until(lambda: title in self.run("display", "-p", "#{pane_title}"), "tmux to read")
        column, row, is_shown = self.run("display", "-p", "#{cursor_x} #{cursor_y} #{cursor_flag}").split()
        screen = self.run("capture-pane", "-p", "-N", "-e").rstrip("\n").replace("\n", "\r\n")
        cursor = (min(int(column), COLUMNS - 1), int(row))  # beyond the last column while a line is full
        return fed("\x1b)0" + screen, COLUMNS, ROWS), cursor if is_shown == "1" else None

    def close(self) -> None:
        os.close(self._fd)
        self.run("kill-server")


@pytest.fixture(scope="module")
def tmux() -> Iterator[Tmux]:
    tmux = Tmux()
    yield tmux
    tmux.close()


@contextmanager
def running(tmux: Tmux, folder: Path, *argv: str) -> Iterator[tuple[Program, Callable[[], None]]]:
    program = Program(list(argv), folder)

    def compare() -> None:
        screen, cursor = tmux.show(program.printed)
        assert lines(program.emulator) == lines(screen)
        assert looks(program.emulator) == looks(screen)
        assert program.emulator.cursor == cursor

    try:
        yield program, compare
    finally:
        program.close()


def looks(emulator: Emulator) -> list[list[tuple[Any, ...]]]:
    """Each letter and how it looks; not the spaces at the ends, which tmux keeps from us if they were only erased."""
    rows = []
    for row in emulator.draw():
        letters = [(letter, attr and _look(attr)) for attr, text in row for letter in text]
        while letters and letters[-1][0] == " ":
            letters.pop()
        rows.append(letters)
    return rows


def _look(attr: urwid.AttrSpec) -> tuple[Any, ...]:
    """Of the 16 colours there are two names: those of the basic ones, and those of the first of 256."""
    return attr.get_rgb_values(), attr.bold, attr.underline, attr.standout, attr.italics, attr.strikethrough


TEXT = "# a long text\n" + "".join(f"def row_{number}(): return '日本語 é {number}'\n" for number in range(200))


@pytest.mark.real("tmux")
@pytest.mark.real("vim")
def test_vim_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(TEXT)
    settings = "set number hlsearch ruler mouse=a laststatus=2 showcmd"
    command = f"echo before; vim -N -u NONE -i NONE -n -c 'syntax on' -c '{settings}' rows.py; echo after"
    with running(tmux, tmp_path, "sh", "-c", command) as (vim, compare):
        vim.wait("def row_5()")
        compare()
        vim.type(*"/row_14", "enter")
        vim.wait("16,5")
        compare()
        vim.type(*":split", "enter", *"150G", "page down", "down", "ctrl e")
        vim.wait("def row_160()")
        compare()
        vim.type("O")
        vim.send(vim.emulator.paste("漢字\tand more\ntwo\n" + "long " * 20))
        vim.wait("two")
        vim.type("esc", *"kkVjj")
        vim.wait("VISUAL")
        compare()
        vim.type("esc", *":set nonumber", "enter")
        vim.send(vim.emulator.mouse("mouse press", 1, 6, 2) + vim.emulator.mouse("mouse release", 0, 6, 2))
        vim.type(*"iclicked")
        vim.wait("clicked")
        compare()
        vim.type("esc", *":qa!", "enter")
        vim.wait("after")
        vim.wait_end()
        compare()
        assert lines(vim.emulator)[:3] == ["before", "after", ""]


@pytest.mark.real("tmux")
@pytest.mark.real("less")
def test_less_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(TEXT)
    with running(tmux, tmp_path, "less", "-R", "-N", "rows.py") as (less, compare):
        less.wait("row_10()")
        compare()
        less.type("page down", *"/row_99", "enter")
        less.wait("row_99()")
        compare()
        less.type("up", "up", "up", "page up", "up")
        less.wait("row_75()")
        compare()
        less.type("end", "G")
        less.wait("(END)")
        compare()
        less.type("q")
        less.wait_end()
        compare()


@pytest.mark.real("tmux")
@pytest.mark.real("htop")
def test_htop_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    with running(tmux, tmp_path, "htop") as (htop, compare):
        htop.wait("Quit")
        compare()
        htop.type("f2")
        htop.wait("Done")
        compare()
        htop.type("f10")
        htop.wait("Quit")
        htop.type("f5", "down", "down", "end")
        htop.wait("F5List")
        compare()
        htop.type("f10")
        htop.wait_end()
        compare()


@pytest.mark.real("tmux")
@pytest.mark.real("top")
def test_top_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    with running(tmux, tmp_path, "top") as (top, compare):
        top.wait("PID")
        compare()
        top.type("h")
        top.wait("Help")
        compare()
        top.type("esc")
        top.wait("PID")
        top.type("q")
        top.wait_end()
        compare()


@pytest.mark.real("tmux")
@pytest.mark.real("nano")
def test_nano_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(TEXT)
    with running(tmux, tmp_path, "nano", "rows.py") as (nano, compare):
        nano.wait("Exit")
        compare()
        nano.type("page down", "page down", "end", *" hello 日本", "enter", "backspace", "up", "home")
        nano.wait("hello")
        compare()
        nano.type("ctrl x")
        nano.wait("Save modified")
        compare()
        nano.type("n")
        nano.wait_end()
        compare()


@pytest.mark.real("tmux")
@pytest.mark.real("bash")
def test_readline_looks_as_in_tmux(tmux: Tmux, tmp_path: Path) -> None:
    with running(tmux, tmp_path, "bash", "--norc") as (bash, compare):
        bash.wait("$")
        bash.type(*"echo one two three", "meta b", "ctrl w", "home", *"FIRST; ", "end", "left", *"日é")
        bash.wait("thre日ée")
        compare()
        bash.type("ctrl c")
        bash.wait("^C\n$")  # what is typed before is thrown away
        bash.type("ctrl r", *"zzz", "ctrl g", *("x" * 3 * COLUMNS), "ctrl a", *"echo ", "ctrl e", "meta backspace")
        bash.type(*"fin", "shift tab", "enter")
        bash.wait("\nfin")
        compare()
        bash.type("ctrl d")
        bash.wait_end()
        compare()


@pytest.mark.real("tmux")
@pytest.mark.parametrize(
    "printed",
    [
        "\x1b[31mred \x1b[1mbold \x1b[4munder \x1b[7mback\x1b[27m \x1b[22;24m plain \x1b[m\x1b[3mitalic\x1b[9mstruck",
        "\x1b[94mbright\x1b[103mon bright\x1b[38;5;208;48;5;17m256\x1b[38;2;1;2;3;48;2;200;100;50mtrue\x1b[39;49mno",
        "\x1b[38:5:208mcolons\x1b[48:2::10:20:30mand more\x1b[0;4:3mcurly\x1b[4:0mnot",
        "\x1b[58;5;5;31mthe line's own colour is none of the text's\x1b[m\x1b[58:2::1:2:3mnor so",
        "\x1b(0lqqk\r\nx  x\r\nmqqj\x1b(B abc \x1b)0\x0eaq\x0fx",
        "日本語" * 20 + "x" + "語" * 30,
        "x" * COLUMNS + "y" * COLUMNS + "\r\nz",
        "\x1b[?7l" + "x" * COLUMNS + "abc\x1b[?7h\r\n" + "y" * COLUMNS + "z",
        "abcdef\x1b[3G\x1b[4hXY日\x1b[4l-",
        "abc\x1b[5b",
        "\r\n".join(map(str, range(40))) + "\x1b[5;10r\x1b[5H\x1bM\x1b[10H\n\n\x1b[3S\x1b[2T\x1b[r",
        "\r\n".join(map(str, range(40))) + "\x1b[5;10r\x1b[7H\x1b[2L\x1b[9H\x1b[M\x1b[4h\x1b[6Hx\x1b[?6h\x1b[2;3Hy",
        "1\t2\t3\x1b[Zx\x1b[2Zy\r\n\x1b[3g\x1b[5G\x1bH\r\tfive",
        "abcdefgh\x1b[4G\x1b[2P|\x1b[2@\x1b[3Xx\r\nabcdef\x1b[3D\x1b[1K\r\nabcdef\x1b[3D\x1b[K\r\n"
        + "a\r\n" * 5
        + "\x1b[3A\x1b[J",
        "main\x1b7\x1b[5;5H\x1b[?1049halternate\x1b[1;1Hthere\x1b[?1049l-back",
        "x\r\ny\x1b[2;3r\x1b[?6h\x1b[1J",
        "one\x1b[31m\x1b7\x1b[5;5H\x1b[mtwo\x1b8three",
        "\x1b[44mground\x1b[K\r\n\x1b[4;7mfour\x1b[K\x1b[m|",
        "e\u0301x a\u0308\u0301 n\u0303",
    ],
)
def test_it_looks_as_in_tmux(tmux: Tmux, printed: str) -> None:
    emulator = fed(printed, COLUMNS, ROWS)
    screen, cursor = tmux.show(printed.encode())
    assert looks(emulator) == looks(screen)
    assert emulator.cursor == cursor


# What tmux does otherwise, or does not tell


@pytest.mark.parametrize(
    ("printed", "shown", "cursor"),
    [
        ("a\x07b\x00c\x7fd", ["abcd"], (4, 0)),
        ("abc\rX\n\vY\fZ", ["Xbc", "", " Y", "  Z"], (3, 3)),
        ("\x1b[20ha\nb", ["a", "b"], (1, 1)),
        ("ab\bX\b\b\bY", ["YX"], (1, 0)),
        ("\x1b]0;title\x07a\x1b]2;other\x1b\\b\x1b]52;c;QUJD\x07c", ["abc"], (3, 0)),
        ("\x1bPq#0;2;0\nfoo\x1b\\a\x1b_Gdata\x1b\\b\x1bXsos\x1b\\c\x1b^pm\x1b\\d\x1bktitle\x1b\\e", ["abcde"], (5, 0)),
        ("\x1b]0;never ends\x18a", ["a"], (1, 0)),
        ("\x1b]0;never ends\x1b[31ma", ["a"], (1, 0)),
        ("\x1b]Ra\x1b]P1aabbccb", ["ab"], (2, 0)),
        ("\x1b[12", [""], (0, 0)),
        ("\x1b[1\x1b[2Ca\x1b[3 qb\x1b[>4;2mc\x1b[?4md\x1b[<1ue\x1b[=1uf\x1b[1<mg", ["  abcdefg"], (9, 0)),
        ("\x1b*0\x1b+0\x1b-Aq\x1b%Gq\x1b(0q\x1b%Gq", ["qq──"], (4, 0)),
        ("\x0eq\x0f", ["q"], (1, 0)),
        ("x\x1b#8\x1b[2;1H\x1b[K", ["E" * 20, "", "E" * 20, "E" * 20], (0, 1)),
        ("x\x1b[?3hy\x1b[?3lz", ["xyz"], (3, 0)),
        ("ab\x1b[2;99ry", ["yb"], (1, 0)),
        ("x\x1b[44m\x1b[3;3H\x1bcy", ["y"], (1, 0)),
        ("x" * 20 + "\x1b[1G\x1b[4hab", ["ab" + "x" * 18], (2, 0)),
        ("x" * 20 + "\ry", ["y" + "x" * 19], (1, 0)),
        ("x\x1b[1G\x1b[1 @\x1b[1$r", ["x"], (0, 0)),
        ("a\u200d\x1b[2Gb\xadc\U000e0041", ["abc"], (3, 0)),
        ("\u1100" * 3, ["\u1100" * 3], (6, 0)),
        ("\x1b[4hx\x1b[1Gy\x1b[!p\x1b[1Gz", ["zx"], (1, 0)),
        ("a\x1b[2Ib\x1b[2Zc", ["a       c       b"], (9, 0)),
        ("日\x1b[2b|", ["日日日|"], (7, 0)),
        ("日本語\x1b[4G\x1b[P", ["日 語"], (3, 0)),
        ("日本語\x1b[2Gx\x1b[5G\x1b[K", [" x本"], (4, 0)),
        ("\x1b[1;20H日本", ["", "日本"], (4, 1)),
        ("\x1b[?7l\x1b[1;20H日", [""], (19, 0)),
        ("👩‍👩‍👧|👍🏽|🇩🇪|1️⃣|", ["👩‍👩‍👧|👍🏽|🇩🇪|1️⃣|"], (12, 0)),
        ("a\u202eb\u200fc\u2066d\x85e\x9bf", ["abcdef"], (6, 0)),
        ("\u0301a\r\n\u200d", ["a"], (0, 1)),
        (b"\xff\xc3(\xe6\x97\xf0\x9f", ["��(�"], (4, 0)),
        ("x" * 19 + "\r\x1b[1;20Hy\x08\x1b[20Gzw", ["x" * 19 + "z", "w"], (1, 1)),
    ],
)
def test_it_looks_as_xterm_shows_it(printed: str | bytes, shown: list[str], cursor: tuple[int, int]) -> None:
    emulator = fed(printed)
    assert lines(emulator) == shown + [""] * (4 - len(shown))
    assert emulator.cursor == cursor


def test_a_letter_and_what_belongs_to_it_may_come_one_after_the_other() -> None:
    whole = "👩‍👩‍👧e\u0301日🇩🇪\x1b[31m👍🏽☂️"
    emulator = Emulator(20, 2)
    for byte in whole.encode():
        emulator.feed(bytes([byte]))
    assert emulator.draw() == fed(whole, 20, 2).draw()
    assert emulator.cursor == (11, 0)


def test_an_accent_leaves_the_next_letter_alone() -> None:
    emulator = fed("exy\x1b[2G")
    emulator.feed("\u0301".encode())
    assert lines(emulator)[0] == "e\u0301xy"


def test_an_accent_finds_its_letter_at_the_end_of_a_line() -> None:
    emulator = fed(" " * 19 + "e")
    emulator.feed("\u0301".encode())
    assert lines(emulator)[0] == " " * 19 + "e\u0301"
    emulator.feed(b"\x1b[1;20H" + "☂".encode())
    emulator.feed("\ufe0f".encode())
    assert lines(emulator)[:2] == ["", "☂\ufe0f"]  # which has become too wide


def test_a_letter_has_only_so_many_accents() -> None:
    assert len(lines(fed("a" + "\u0301" * 1000))[0]) == CLUSTER_SIZE


def test_letters_that_have_become_neighbours_do_not_join() -> None:
    line = fed("🇩 🇪\x1b[3G\x1b[P")
    assert width(lines(line)[0]) == 4
    assert "🇩🇪" not in lines(line)[0]


def test_the_cursor_is_gone_while_it_is_hidden() -> None:
    emulator = fed("ab\x1b[?25l")
    assert emulator.cursor is None
    emulator.feed(b"\x1b[?25hc")
    assert emulator.cursor == (3, 0)


def test_attributes() -> None:
    assert first("a") is None
    assert first("\x1b[1;3;4;7;9;31ma") == urwid.AttrSpec(
        "dark red,bold,italics,underline,standout,strikethrough", "inherit", 16
    )
    assert first("\x1b[38;2;1;2;3;44ma") == urwid.AttrSpec("#010203", "dark blue", 1 << 24)
    assert first("\x1b[31;44m\x1b[39;49ma") is None
    assert first(f"\x1b[{'31;' * 1000}31ma") is None
    assert first("\x1b]8;;https://example.org\x1b\\a") is None


def test_colours_are_as_few_as_the_terminal_has() -> None:
    look = fed("\x1b[38;2;250;5;5ma", colours=16).draw()[0][0][0]
    assert look == urwid.AttrSpec("light red", "inherit", 16)
    assert fed("\x1b[31ma", colours=1).draw() == fed("a").draw()


def test_the_whole_screen_is_reversed_and_back() -> None:
    emulator = fed("a\x1b[7mb\x1b[?5h", 2, 1)
    reversed_ = urwid.AttrSpec("inherit,standout", "inherit", 1)
    assert emulator.draw() == [[(reversed_, "a"), (None, "b")]]
    emulator.feed(b"\x1b[?5l")
    assert emulator.draw() == [[(None, "a"), (reversed_, "b")]]


def test_what_is_erased_keeps_its_ground_but_no_line() -> None:
    assert fed("\x1b[4;7;44m\x1b[K", 2, 1).draw() == [[(urwid.AttrSpec("inherit", "dark blue", 16), "  ")]]


# What the terminal answers


def test_it_answers_what_it_is_asked() -> None:
    emulator = Emulator(20, 4)
    assert emulator.feed(b"\x1b[2;3H\x1b[6n\x1b[5n") == b"\x1b[2;3R\x1b[0n"
    assert emulator.feed(b"\x1b[c\x1b[0c") == b"\x1b[?6c" * 2
    assert emulator.feed(b"\x1b[>c") == b"\x1b[>0;277;0c"
    assert emulator.feed(b"\x1b[?u\x1b]11;?\x07\x1bP+q544e\x1b\\\x1b[?1c\x1b]52;c;?\x07") == b""


def test_who_asks_too_much_is_not_answered_for_ever() -> None:
    emulator = Emulator(20, 4)
    assert 0 < len(emulator.feed(b"\x1b[6n" * 100_000)) <= ANSWER_SIZE
    assert emulator.feed(b"\x1b[6n") == b"\x1b[1;1R"


# Other sizes


def test_a_screen_that_shrinks_loses_first_what_is_below_the_cursor() -> None:
    emulator = fed("one\r\ntwo\r\nthree\r\nfour\x1b[2;4H")
    emulator.resize(20, 3)
    assert (lines(emulator), emulator.cursor) == (["one", "two", "three"], (3, 1))
    emulator.resize(20, 1)
    assert (lines(emulator), emulator.cursor) == (["two"], (3, 0))
    emulator.resize(20, 3)
    assert (lines(emulator), emulator.cursor) == (["one", "two", ""], (3, 1))


def test_the_screen_behind_the_alternate_one_shrinks_and_grows_as_well() -> None:
    emulator = fed("one\r\ntwo\r\n$ vim\x1b[?1049h\x1b[2J\x1b[4;4Hx")
    emulator.resize(10, 2)
    emulator.resize(10, 4)
    emulator.feed(b"\x1b[?1049l")
    assert (lines(emulator), emulator.cursor) == (["one", "two", "$ vim", ""], (5, 2))


def test_without_a_saved_cursor_the_screen_behind_loses_its_top() -> None:
    emulator = fed("one\r\ntwo\r\nthree\r\nfour\x1b[?47h")
    emulator.resize(20, 2)
    emulator.feed(b"\x1b[?47l")
    assert lines(emulator) == ["three", "four"]


def test_a_saved_cursor_stays_where_it_was_in_the_text() -> None:
    emulator = fed("one\r\ntwo\r\nthree\x1b7\r\nfour")
    emulator.resize(20, 2)
    emulator.feed(b"\x1b8!")
    assert lines(emulator) == ["three!", "four"]


def test_a_wider_screen_has_more_tabs_and_a_lower_one_scrolls_as_a_whole() -> None:
    emulator = fed("\x1b[1;4r", 4, 4)
    emulator.resize(30, 2)
    emulator.feed(b"one\r\ntwo\r\n\t\tthree")
    assert lines(emulator) == ["two", " " * 16 + "three"]


def test_a_narrower_screen_cuts_a_wide_letter() -> None:
    emulator = fed("日本", 4, 1)
    emulator.resize(3, 1)
    assert emulator.draw() == [[(None, "日 ")]]


def test_what_scrolled_off_is_kept_only_where_it_was_the_top_and_only_so_much() -> None:
    emulator = fed("".join(f"{number}\r\n" for number in range(1000)) + "\x1b[2;3r\x1b[3H\n\n\n\x1b[r\x1b[4H")
    emulator.resize(20, 1000)
    assert lines(emulator)[KEPT_ROWS - 1] == str(1000 - 4)
    assert lines(emulator)[0] == str(1000 - 3 - KEPT_ROWS)


# What is hostile

PIECES = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.text("日👍🏽🇩\u200d\ufe0f\u0301कष가ำ\u202e☂\x9b ", max_size=10).map(str.encode),
    st.builds(
        lambda marker, numbers, between, final: f"\x1b[{marker}{';'.join(numbers)}{between}{final}".encode(),
        st.sampled_from(["", "?", ">", "=", "<"]),
        st.lists(
            st.sampled_from(["", "0", "1", "2", "3", "4", "5", "6", "7", "38", "1049", "4:3", "9" * 30]), max_size=4
        ),
        st.sampled_from(["", "", "", " ", "!", "$"]),
        st.characters(min_codepoint=0x40, max_codepoint=0x7E),
    ),
    st.sampled_from(
        ["\x1bc", "\x1b7", "\x1b8", "\x1bM", "\x1bD", "\x1b#8", "\x1b(0", "\x1b)0\x0e", "\x1b]0;x", "\x1bP"]
    ).map(str.encode),
    st.sampled_from(["\r", "\n", "\t", "\b", "\x18", "\x1b", "\x1b[", "\x1b[12;"]).map(str.encode),
)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 6))


@given(SIZES, st.lists(PIECES | SIZES, max_size=20))
@example((1, 1), ["日本".encode(), (3, 1), "日".encode(), (1, 1), b"\x1b[?7l", "日".encode()])
@example((5, 1), ["☂".encode() * 5, "\ufe0f".encode()])
def test_whatever_comes_is_a_screen_of_the_right_size_with_nothing_but_text(
    size: tuple[int, int], steps: list[bytes | tuple[int, int]]
) -> None:
    emulator = Emulator(*size)
    for step in steps:
        if isinstance(step, bytes):
            emulator.feed(step)
        else:
            size = step
            emulator.resize(*size)
        rows = emulator.draw()
        assert len(rows) == size[1]
        for row in rows:
            text = "".join(text for _, text in row)
            assert urwid.calc_width(text, 0, len(text)) == width(text) == size[0]
            assert not {unicodedata.category(letter) for letter in text} & {"Cc", "Cs", "Zl", "Zp"}
            assert not set(text) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
        column, line = emulator.cursor or (0, 0)
        assert 0 <= column < size[0] and 0 <= line < size[1]


SANE = [
    "abc",
    "x" * 30,
    "\r\n",
    "\t",
    "日本",
    "e\u0301",
    "👩‍👩‍👧",
    "🇩🇪",
    "\x1b[31;1m",
    "\x1b[2;3H",
    "\x1b[K",
    "\x1b[?1049h",
]
SANE += [
    "\x1b]0;title\x07",
    "\x1bPq;1\x1b\\",
    "\x1b(0",
    "\x1b(B",
    "\x1b[3b",
    "\x1b[!p",
    "\x1b]P1aabbcc",
    "\x1b]R",
    "\x1b7",
    "\x1b8",
]


@given(st.lists(st.sampled_from(SANE), max_size=12).map("".join).map(str.encode), st.data())
def test_it_does_not_matter_where_what_comes_is_cut(data: bytes, draw: st.DataObject) -> None:
    whole, pieces = fed(data), Emulator(20, 4)
    begin = 0
    while begin < len(data):
        end = draw.draw(st.integers(begin + 1, len(data)))
        pieces.feed(data[begin:end])
        begin = end
    assert pieces.draw() == whole.draw()
    assert pieces.cursor == whole.cursor


@pytest.mark.parametrize(("begin", "flood"), [("\x1b[", "9"), ("\x1b]", "9"), ("\x1b", "("), ("a", "\u0301")])
def test_what_never_ends_is_not_kept(begin: str, flood: str) -> None:
    emulator = fed(begin)
    chunk = flood.encode() * 100_000
    tracemalloc.start()
    try:
        for _ in range(10):
            emulator.feed(chunk)
        assert tracemalloc.get_traced_memory()[0] < len(chunk)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("begin", "flood", "size"),
    [
        (b"\x1b]0;", b"x", 10_000_000),
        (b"\x1bP", b"\n", 10_000_000),
        (b"\x1b[", b"9", 10_000_000),
        (b"\x1b[", b"1;", 10_000_000),
        (b"\x1b", b" ", 10_000_000),
        (b"", b"\x1bc", 10_000_000),
        (b"", b"\x1b", 1_000_000),
        (b"", b"\x1b[", 1_000_000),
        (b"", b"\xff", 1_000_000),
        (b"a", "\u0301".encode(), 1_000_000),
        (b"", "ᄀ".encode(), 300_000),
        (b"", b"\x1b[999999999;999999999H\xe2", 300_000),
        (b"", b"\x1b[999999999b\x1b[999999999S\x1b[999999999L\x1b[999999999@", 30_000),
        (b"", b"\x1b[?5h\x1b[?5l", 300_000),
    ],
)
def test_a_flood_passes(begin: bytes, flood: bytes, size: int) -> None:
    emulator = fed(begin, COLUMNS, ROWS)
    chunk = flood * (65_536 // len(flood))
    for _ in range(size // min(len(chunk), size)):
        emulator.feed(chunk[:size])
    emulator.feed(b"\x18\x1b[?5l\x1b[m\x1b[H\x1b[2Jstill there")
    assert lines(emulator) == ["still there"] + [""] * (ROWS - 1)


# Keys

TERMINFO = {
    "kcuu1": "up",
    "kcud1": "down",
    "kcub1": "left",
    "kcuf1": "right",
    "khome": "home",
    "kend": "end",
    "kich1": "insert",
    "kdch1": "delete",
    "kpp": "page up",
    "knp": "page down",
    "kcbt": "shift tab",
    "kbs": "backspace",
    "kLFT": "shift left",
    "kRIT": "shift right",
    "kri": "shift up",
    "kind": "shift down",
    "kHOM": "shift home",
    "kEND": "shift end",
    "kDC": "shift delete",
    "kIC": "shift insert",
    "kPRV": "shift page up",
    "kNXT": "shift page down",
    **{f"kf{number}": f"f{number}" for number in range(1, 13)},
    **{f"kf{12 + number}": f"shift f{number}" for number in range(1, 13)},
    **{f"kf{24 + number}": f"ctrl f{number}" for number in range(1, 13)},
    **{f"kf{48 + number}": f"meta f{number}" for number in range(1, 13)},
}


def test_keys_are_those_of_xterm() -> None:
    """terminfo's are those of the application mode, which programs that use it turn on."""
    curses.setupterm("xterm-256color", 1)
    emulator = fed("\x1b[?1h\x1b=")
    assert {name: emulator.key(key) for name, key in TERMINFO.items()} == {
        name: curses.tigetstr(name) for name in TERMINFO
    }


def test_the_cursor_keys_are_others_without_the_application_mode() -> None:
    emulator = fed("\x1b[?1h\x1b[?1l")
    assert [emulator.key(key) for key in ("up", "home", "end")] == [b"\x1b[A", b"\x1b[H", b"\x1b[F"]
    assert emulator.key("f1") == b"\x1bOP"


def test_urwid_reads_every_key_that_is_sent_as_the_same() -> None:
    emulator = Emulator(20, 4)
    names = [
        *"aZ1[~é日 ",
        "enter",
        "tab",
        "esc",
        "backspace",
        "ctrl a",
        "<0>",
        "ctrl _",
        "ctrl ^",
        "meta a",
        "meta é",
    ]
    names += ["meta ctrl a", "meta enter", "meta backspace", "meta [", "ctrl up", "shift meta ctrl left", "meta f5"]
    names += sorted({name for _, name in escape.input_sequences if escape_is_sent(name)})
    assert len(names) > 100
    for name in names:
        read, rest = escape.process_keyqueue(list(emulator.key(name)), False)
        assert (read, rest) == ([name], []), name


def escape_is_sent(name: str) -> bool:
    key = name.split(" ")[-1]
    return key not in ("mouse", "sgrmouse", "in", "out", "ok", "paste", "5", "enter", *"/*-+.,=0123456789")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("enter", b"\r"),
        ("shift enter", b"\r"),
        ("ctrl  ", b"\0"),
        ("ctrl c", b"\x03"),
        ("ctrl C", b"\x03"),
        ("ctrl [", b"\x1b"),
        ("ctrl 3", b"\x1b"),
        ("ctrl ?", b"\x7f"),
        ("ctrl /", b"\x1f"),
        ("ctrl é", "é".encode()),
        ("ctrl backspace", b"\b"),
        ("meta shift tab", b"\x1b\x1b[Z"),
        ("meta shift up", b"\x1b[1;4A"),
        ("👍🏽", "👍🏽".encode()),
        ("\ud800", b""),
        ("window resize", b""),
        ("focus in", b""),
        ("super a", b""),
        ("begin paste", b""),
        ("<255>", b"\xff"),
        ("ctrl @", b"\0"),
        ("", b""),
    ],
)
def test_other_keys(name: str, sent: bytes) -> None:
    assert Emulator(20, 4).key(name) == sent


def test_enter_is_two_bytes_in_newline_mode() -> None:
    assert fed("\x1b[20h").key("enter") == b"\r\n"


def test_what_is_pasted_cannot_act_as_keys() -> None:
    pasted = "one\r\ntwo\nthree\t\x1b[201~\x03\x9b\x7fé"
    assert Emulator(20, 4).paste(pasted) == "one\rtwo\rthree\t[201~é".encode()
    assert fed("\x1b[?2004h").paste(pasted) == "\x1b[200~one\rtwo\rthree\t[201~é\x1b[201~".encode()


def test_after_a_reset_nothing_is_bracketed() -> None:
    emulator = fed("\x1b[?2004h")
    emulator.feed(b"\x1bc")
    assert emulator.paste("a") == b"a"


# The mouse


@pytest.mark.parametrize(
    "event",
    [
        ("mouse press", 1, 0, 0),
        ("mouse press", 3, 19, 3),
        ("shift meta ctrl mouse press", 2, 3, 2),
        ("mouse press", 4, 3, 2),
        ("ctrl mouse press", 5, 3, 2),
        ("mouse press", 8, 3, 2),
        ("mouse drag", 1, 3, 2),
        ("mouse release", 1, 3, 2),
        ("meta mouse release", 3, 3, 2),
    ],
)
def test_urwid_reads_what_the_mouse_sent_as_the_same(event: tuple[str, int, int, int]) -> None:
    sent = fed("\x1b[?1002h\x1b[?1006h").mouse(*event)
    assert escape.process_keyqueue(list(sent), False) == ([event], [])


def test_the_mouse_is_reported_to_those_who_ask() -> None:
    mouse = [
        ("mouse press", 1, 3, 2),
        ("mouse drag", 1, 4, 2),
        ("mouse release", 0, 4, 2),
        ("ctrl mouse press", 4, 3, 2),
    ]

    def sent(modes: str) -> list[bytes]:
        emulator = fed(modes)
        return [emulator.mouse(*event) for event in mouse]

    nothing = [b""] * 4
    assert sent("") == sent("\x1b[?1006h") == sent("\x1b[?1000h\x1b[?1000l") == sent("\x1b[?1001h") == nothing
    assert sent("\x1b[?1002;1006h") == [b"\x1b[<0;4;3M", b"\x1b[<32;5;3M", b"\x1b[<0;5;3m", b"\x1b[<80;4;3M"]
    assert sent("\x1b[?1003;1006h") == sent("\x1b[?1002;1006h")
    assert sent("\x1b[?1000;1006h") == [b"\x1b[<0;4;3M", b"", b"\x1b[<0;5;3m", b"\x1b[<80;4;3M"]
    assert sent("\x1b[?1000h") == [b"\x1b[M $#", b"", b"\x1b[M#%#", b"\x1b[Mp$#"]
    assert sent("\x1b[?9h") == [b"\x1b[M $#", b"", b"", b""]


def test_the_mouse_may_leave_the_screen_only_while_it_is_held() -> None:
    emulator = fed("\x1b[?1002;1006h")
    assert emulator.mouse("mouse press", 1, 20, 0) == b""
    assert emulator.mouse("mouse press", 1, -1, 0) == b""
    assert emulator.mouse("mouse press", 1, 0, 4) == b""
    assert emulator.mouse("mouse drag", 1, 99, -1) == b"\x1b[<32;20;1M"
    assert emulator.mouse("mouse release", 0, 0, 0) == b""  # of nothing
    assert emulator.mouse("mouse release", 4, 0, 0) == b""  # a wheel is not let go
    assert emulator.mouse("mouse press", 99, 0, 0) == b""
    assert emulator.mouse("double click", 1, 0, 0) == b""


def test_the_mouse_far_to_the_right_needs_more_than_a_byte() -> None:
    press = partial(fed, columns=400)
    assert press("\x1b[?1000h").mouse("mouse press", 1, 222, 0) == b"\x1b[M \xff!"
    assert press("\x1b[?1000h").mouse("mouse press", 1, 223, 0) == b""
    assert press("\x1b[?1000;1005h").mouse("mouse press", 1, 223, 0) == b"\x1b[M " + chr(256).encode() + b"!"
