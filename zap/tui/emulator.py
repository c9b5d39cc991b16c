"""A terminal's screen for a job that is typed into: what it printed becomes cells, and keys become what xterm sends.

The bytes are read here, and what they ask for is done by urwid's TermCanvas: it moves the cursor, scrolls, keeps modes,
charsets and both screens. Letters of all widths, colours and what erasing leaves are done here as well, and so is what
TermCanvas does otherwise than xterm does; the bug is named where it is worked around.

Nothing but text and attributes comes out: titles, the clipboard, links, the bell and what is not known are left out.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from functools import lru_cache
from itertools import chain, groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, cast

from urwid import AttrSpec, calc_width, move_next_char
from urwid.display.escape import ALT_DEC_SPECIAL_CHARS, DEC_SPECIAL_CHARS, PrivateMode
from urwid.vterm import CSI_COMMANDS, TermCanvas, TermModes

from zap.tui.colours import REMEMBERED, Colours, after
from zap.tui.text import width

if TYPE_CHECKING:
    from urwid.vterm import Terminal

KEPT_ROWS = 200  # that scrolled off the top, for a screen that grows
ANSWER_SIZE = 4096  # bytes for one feed; who asks for more does not read it
CLUSTER_SIZE = 16  # code points drawn as one, such as a letter and its accents; a family of emoji has eleven
UNFINISHED_SIZE = 256  # characters of a sequence whose end is still to come; longer ones mean nothing to anybody

_Cell = tuple[AttrSpec | None, Literal["0", "U"] | None, bytes]  # as TermCanvas has it; its charset stays None here
_Segment = tuple[AttrSpec | None, str]

_BLANK: _Cell = (None, None, b" ")
_JOINER = "\u200d".encode()  # of what is written next, or of nothing

# The grammar is that of ECMA-48. A sequence is over where what comes next cannot belong to it; a string (OSC, DCS, SOS,
# PM, APC, and the title of screen(1), ESC k) at BEL, CAN, SUB or ESC, as ST is an ESC that is followed by a backslash.
_TOKEN = re.compile(
    "(?P<text>[^\x00-\x1f\x7f]+)"
    "|\x1b(?:"
    r"\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~]?)"
    r"|\](?P<palette>R|P[0-9A-Fa-f]{7})"  # of the Linux console, and without an end
    r"|(?P<string>[]PX^_k])"
    r"|(?P<designator>[ -/]*)(?P<escape>[0-~]?))"
    "|(?P<control>.)",
    re.DOTALL,
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\](?:P[0-9A-Fa-f]{0,6})?|[ -/]*)")
_STRING_END = re.compile("[\x07\x18\x1a\x1b]")
_RESET = "\x1bc"

# One cell each, whatever stands beside them: they need not be measured.
_NARROW = re.compile("[ -~\xa1-\xac\xae-\u02ff\u2190-\u2211\u2500-\u25fc]*")
_LINES = str.maketrans(ALT_DEC_SPECIAL_CHARS, DEC_SPECIAL_CHARS)

# What turns the direction of writing or cannot be seen, but not the joiners 200c and 200d, which belong to letters.
_UNSEEN = re.compile(
    "[\x80-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_UNPASTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

_MODIFIER = re.compile("(shift|meta|ctrl) (?=.)", re.DOTALL)
_MODIFIERS = {"shift": 1, "meta": 2, "ctrl": 4}  # as xterm counts them
_CURSOR_KEYS = {"up": "A", "down": "B", "right": "C", "left": "D", "end": "F", "home": "H"}
_LETTER_KEYS = _CURSOR_KEYS | {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_NUMBER_KEYS = {"insert": 2, "delete": 3, "page up": 5, "page down": 6} | {
    f"f{5 + index}": number
    for index, number in enumerate((15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34))
}
_PASTE_KEYS = {"begin paste": b"\x1b[200~", "end paste": b"\x1b[201~"}
_BYTE = re.compile("<([0-9]+)>")  # as urwid calls what is no key, such as that of Ctrl and space
_CHARACTER_KEYS = {"enter": "\r", "tab": "\t", "esc": "\x1b", "backspace": "\x7f"}
_CONTROLS = {chr(code): chr(code & 31) for code in range(ord("@"), ord("~") + 1)}
_CONTROLS |= dict(zip(" 2345678/?\x7f", "\0\0\x1b\x1c\x1d\x1e\x1f\x7f\x1f\x7f\b", strict=True))

_BUTTONS = {button: button - 1 for button in (1, 2, 3)} | {button: button + 60 for button in (4, 5, 6, 7)}
_BUTTONS |= {button: button + 120 for button in (8, 9, 10, 11)}
_WHEEL = (4, 5, 6, 7)
_ACTIONS = {"mouse press": 0, "mouse release": 0, "mouse drag": 32}


class Emulator:
    """A terminal of so many columns and rows, at least one of each, that is drawn in so many colours."""

    def __init__(self, columns: int, rows: int, colours: Colours = 16777216) -> None:
        self._widget = _Widget()
        self._screen = _Screen(columns, rows, colours, self._widget)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""  # the beginning of a sequence
        self._is_in_string = False
        self._pressed = 0  # the mouse's button

    def feed(self, data: bytes) -> bytes:
        """Reads what the program printed; what the terminal answers by itself is to be sent to the program.

        It takes a microsecond for three letters, and three for a sequence or the end of a line; to clear a large screen
        takes fifty, and is said in three bytes. Who has a frame to draw feeds 4 KiB at a time, looking at the clock.
        """
        text = self._unfinished + self._decoder.decode(data)
        text = text[max(text.rfind(_RESET), 0) :]  # nothing of what was before is left then
        last = text.rfind("\x1b")
        if last >= 0 and _UNFINISHED.fullmatch(text, last):
            text, self._unfinished = text[:last], text[last : last + UNFINISHED_SIZE]
        else:
            self._unfinished = ""
        self._read(text)
        return self._widget.take_answer()

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(columns, rows)

    def draw(self) -> list[list[_Segment]]:
        """Exactly the screen's rows, each of exactly its columns. Colours that the program left open are `inherit`."""
        return self._screen.draw()

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Its column and row, or None while the program hides it."""
        return self._screen.term_cursor if self._modes.visible_cursor else None

    def key(self, name: str) -> bytes:
        """What xterm sends for a key that urwid calls so, or nothing for what xterm has no name for.

        The keypad sends what is written on it, in application mode too: urwid does not tell its keys from the others.
        """
        modifiers, key = _split(name)
        modified = f";{1 + modifiers}" if modifiers else ""
        if key in _LETTER_KEYS:
            is_application = self._modes.keys_decckm or key not in _CURSOR_KEYS
            introducer = f"\x1b[1{modified}" if modifiers else "\x1bO" if is_application else "\x1b["
            return f"{introducer}{_LETTER_KEYS[key]}".encode()
        if key in _NUMBER_KEYS:
            return f"\x1b[{_NUMBER_KEYS[key]}{modified}~".encode()
        if key in _PASTE_KEYS:
            return _PASTE_KEYS[key] if self._modes.bracketed_paste else b""
        if byte := _BYTE.fullmatch(key):
            return bytes([int(byte[1]) & 255])
        return self._character(_CHARACTER_KEYS.get(key, key), modifiers).encode(errors="ignore")

    def paste(self, text: str) -> bytes:
        """Text as if it was typed, but without control characters other than tabs and returns, which act as keys do."""
        typed = _UNPASTED.sub("", text.replace("\r\n", "\r").replace("\n", "\r"))
        return self.key("begin paste") + typed.encode(errors="ignore") + self.key("end paste")

    def mouse(self, event: str, button: int, column: int, row: int) -> bytes:
        """What xterm sends for one of urwid's mouse events in a cell of the screen, when the program asked for it.

        A button that is held may leave the screen.
        """
        modifiers, action = _split(event)
        tracking, width, height = self._modes.mouse_tracking, self._screen.width, self._screen.height
        if action not in _ACTIONS or tracking in (None, PrivateMode.MOUSE_HIGHLIGHT_TRACKING):
            return b""
        if action == "mouse press":
            if not (0 <= column < width and 0 <= row < height):
                return b""
            self._pressed = 0 if button in _WHEEL else button
        else:
            button = button or self._pressed  # urwid does not always know
            self._pressed = self._pressed if action == "mouse drag" else 0
        match tracking:
            case PrivateMode.MOUSE_X10:
                modifiers = 0
                is_wanted = action == "mouse press" and button <= 3
            case PrivateMode.MOUSE_REPORTING:
                is_wanted = action != "mouse drag"
            case _:
                is_wanted = True
        if not is_wanted or button not in _BUTTONS or (button in _WHEEL and action != "mouse press"):
            return b""
        code = _BUTTONS[button] + _ACTIONS[action] + (modifiers << 2)
        at = min(max(column, 0), width - 1), min(max(row, 0), height - 1)
        return _report(code, at, action == "mouse release", self._modes.mouse_encoding)

    @property
    def _modes(self) -> TermModes:
        return self._widget.term_modes

    def _character(self, character: str, modifiers: int) -> str:
        if len(character) > 1 and (character.isascii() or " " in character):
            return ""  # the name of something else, such as "window resize"
        if character == "\t" and modifiers & 1:
            character = "\x1b[Z"
        elif character == "\r" and self._modes.lfnl:
            character = "\r\n"
        elif modifiers & 4:
            character = _CONTROLS.get(character, character)
        return f"\x1b{character}" if modifiers & 2 else character

    def _read(self, text: str) -> None:
        at = self._past_string(text, 0) if self._is_in_string else 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            assert token
            at = token.end()
            match token.lastgroup:
                case "text":
                    self._screen.write(token["text"])
                case "control":
                    self._screen.control(token["control"])
                case "final":
                    self._screen.sequence(token["parameters"], token["between"], token["final"])
                case "escape":
                    self._screen.escape(token["designator"], token["escape"])
                case "string":
                    at = self._past_string(text, at)

    def _past_string(self, text: str, at: int) -> int:
        end = _STRING_END.search(text, at)
        self._is_in_string = end is None
        return end.end() - (end[0] == "\x1b") if end else len(text)


class _Widget:
    """What TermCanvas asks of the widget that it is drawn in."""

    def __init__(self) -> None:
        self.term_modes = TermModes()
        self._answer = b""

    def take_answer(self) -> bytes:
        answer, self._answer = self._answer, b""
        return answer

    def respond(self, answer: str) -> None:
        if len(self._answer) + len(answer) <= ANSWER_SIZE:
            self._answer += answer.encode()

    def leds(self, which: str) -> None:
        """The keyboard is not the job's."""


class _Screen(TermCanvas):
    """TermCanvas, but that a wide letter's second cell is empty bytes, and that whole pieces are written at once.

    Whatever tears a wide letter's two cells apart does not care: what is left of it is drawn as a space.
    """

    def __init__(self, columns: int, rows: int, colours: Colours, widget: _Widget) -> None:
        super().__init__(columns, rows, cast("Terminal", widget))
        self.scrollback_buffer = deque(maxlen=KEPT_ROWS)
        self._colours: Colours = colours
        self._last = ""  # what was written last, to be repeated
        self._drawn: list[tuple[list[_Cell] | None, list[_Segment]]] = []

    def write(self, text: str) -> None:
        """Text without control characters (of C0), from the cursor on."""
        if self.charset.current == "0":
            text = text.translate(_LINES)
        if _NARROW.fullmatch(text):
            written: list[_Cell] = [(self.attrspec, None, letter.encode()) for letter in text]
        else:
            written = self._measured(self._joined(_UNSEEN.sub("", text)))
        if written:
            self._last = (written[-1][2] or written[-2][2]).decode()
        self._place(written)

    def control(self, control: str) -> None:
        match control:
            case "\r":
                self.carriage_return()
            case "\n" | "\v" | "\f":
                self.linefeed()
                if self.modes.lfnl:
                    self.carriage_return()
            case "\b":
                self.move_cursor(-1, 0, relative=True)
            case "\t":
                self.tab()
            case "\x0e" | "\x0f":
                self.charset.activate(control == "\x0e")

    def sequence(self, parameters: str, between: str, final: str) -> None:
        """CSI: what TermCanvas does not know, or would take for something else, is done here."""
        if len(parameters) > UNFINISHED_SIZE:
            return
        marker = parameters.strip("0123456789:;")
        count = int(parameters[:4] or 1) or 1 if parameters[:4].isdecimal() else 1
        match marker + between + final:
            case "m":
                self.attrspec = after(self.attrspec, parameters, self._colours).shown
            case "S" | "T":
                for _ in range(min(count, self.height)):
                    self.scroll(reverse=final == "T")
            case "I" | "Z":
                for _ in range(min(count, self.width)):
                    self.tab() if final == "I" else self._tab_back()
            case "b":  # REP, by which ncurses draws lines of one letter
                self.write(self._last * min(count, self.width))
            case "!p":  # DECSTR
                self.modes.insert = self.modes.keys_decckm = self.modes.constrain_scrolling = False
                self.modes.autowrap = self.modes.visible_cursor = True
                self.attrspec = None
                self.reset_scroll()
            case ">c":  # an xterm that is new enough for vim to ask it for the mouse in SGR
                self.widget.respond("\x1b[>0;277;0c")
            case "?u" | "<u" | "=u" | ">u":  # the keyboard of kitty, which `Emulator.key` would have to speak
                pass
            case _ if final.encode() in CSI_COMMANDS:
                self.escbuf = (parameters + between).encode()
                self.parse_csi(final.encode())

    def escape(self, designator: str, final: str) -> None:
        """ESC without CSI. ESC % would take the drawing of lines away, which xterm has in UTF-8 as well."""
        if designator in ("", "#", "(", ")") and final:
            self.parse_noncsi(final.encode(), designator.encode())

    def draw(self) -> list[list[_Segment]]:
        """A line that is as it was is not put together again: most of a screen is."""
        before = chain(self._drawn, repeat((None, [])))
        self._drawn = [
            (was, row) if line == was else (line.copy(), self._row(line))
            for line, (was, row) in zip(self.term, before, strict=False)
        ]
        rows = [row for _, row in self._drawn]
        if self.modes.reverse_video:
            return [[(self._reversed(attr), text) for attr, text in row] for row in rows]
        return rows

    def _row(self, line: list[_Cell]) -> list[_Segment]:
        text = b"".join([letter for _, _, letter in line]).decode()
        if len(text) != self.width or not _NARROW.fullmatch(text):
            line = _mended(line)
        runs = groupby(line, itemgetter(0))
        return [(attr, b"".join([letter for _, _, letter in run]).decode()) for attr, run in runs]

    def resize(self, width: int, height: int) -> None:
        """TermCanvas lets a screen shrink at the top, even if there is nothing at the bottom."""
        hidden = self._hidden_screen
        x, y = self.term_cursor
        shift = _fit(self.term, self.scrollback_buffer, y, width, height)
        if self.saved_cursor:
            self.saved_cursor = (self.saved_cursor[0], self.saved_cursor[1] + shift)
        hidden_x, hidden_y = hidden.saved_cursor or (0, self.height - 1)
        hidden_shift = _fit(hidden.term, hidden.scrollback_buffer, hidden_y, width, height)
        if hidden.saved_cursor:
            hidden.saved_cursor = (hidden_x, hidden_y + hidden_shift)
        self.width, self.height = width, height
        self.reset_scroll()
        self.init_tabstops(extend=True)
        self.set_term_cursor(x, y + shift)

    def reset(self) -> None:
        """TermCanvas forgets to end bracketed paste, and has G1 draw lines though nobody asked for it."""
        super().reset()
        self.modes.bracketed_paste = False
        self.charset.define(1, "default")

    def set_mode(self, mode: int, flag: bool, qmark: bool, reset: bool) -> None:
        """No 132 columns, for which TermCanvas clears the screen, and xterm does nothing: reset(1) sends it."""
        if not (qmark and mode == 3):
            super().set_mode(mode, flag, qmark, reset)

    def set_term_cursor(self, x: int | None = None, y: int | None = None) -> None:
        """A cursor that moves forgets that the line is full; in TermCanvas some do not."""
        if x is not None or y is not None:
            self.is_rotten_cursor = False
        old_x, old_y = self.term_cursor
        self.term_cursor = self.constrain_coords(old_x if x is None else x, old_y if y is None else y)

    def csi_set_scroll(self, top: int = 0, bottom: int = 0) -> None:
        """A region of a screen that was larger a moment ago ends at the bottom; TermCanvas ignores it."""
        super().csi_set_scroll(top, min(bottom, self.height))

    def scroll(self, reverse: bool = False) -> None:
        """What scrolls in a region that does not begin at the top is no history; TermCanvas keeps it."""
        history = self.scrollback_buffer
        if self.scrollregion_start:
            self.scrollback_buffer = deque(maxlen=0)
        super().scroll(reverse)
        self.scrollback_buffer = history

    def reverse_video(self, undo: bool = False) -> None:
        """Done when it is drawn: TermCanvas takes every cell into its hand, at each flash."""

    def empty_char(self, char: bytes = b" ") -> _Cell:
        """Only the ground of what is erased keeps its colour (bce); in TermCanvas underlines stay, too."""
        return _ground(self.attrspec), None, char

    def erase(
        self, start: tuple[int, int] | tuple[int, int, bool], end: tuple[int, int] | tuple[int, int, bool]
    ) -> None:
        """From one cell to another. TermCanvas does it cell by cell, and spares what is outside of the region."""
        (left, top), (right, bottom) = (self.constrain_coords(*at[:2], ignore_scrolling=True) for at in (start, end))
        blank = self.empty_char()
        for y in range(top, bottom + 1):
            first, last = left if y == top else 0, right if y == bottom else self.width - 1
            self.term[y][first : last + 1] = [blank] * (last + 1 - first)

    def _place(self, written: list[_Cell]) -> None:
        at = 0
        while at < len(written):
            if self.is_rotten_cursor and self.modes.autowrap:
                self.carriage_return()
                self.linefeed()
            x, y = self.term_cursor
            line, room = self.term[y], self.width - x
            part = written[at : at + room]
            at += room
            if at < len(written):
                if not self.modes.autowrap:
                    part[-1:] = written[-1:]
                    at = len(written)
                elif not written[at][2]:  # both cells of a wide letter go to the next line
                    del part[-1]
                    at -= 1
            line[x : x if self.modes.insert else x + len(part)] = part
            del line[self.width :]
            self.set_term_cursor(x + len(part), y)
            self.is_rotten_cursor = at < len(written) or len(part) == room

    def _measured(self, text: str) -> list[_Cell]:
        measured: list[_Cell] = []
        at = 0
        while at < len(text):
            end = move_next_char(text, at, min(at + CLUSTER_SIZE, len(text)))
            columns = calc_width(text, at, end)
            if columns > 2:  # of Korean, letters that a terminal does not join
                end = at + 1
                columns = calc_width(text, at, end)
            if 0 < columns <= self.width:
                measured.append((self.attrspec, None, text[at:end].encode()))
                measured += [(self.attrspec, None, b"")] * (columns - 1)
            at = end
        return measured

    def _joined(self, text: str) -> str:
        """The text and the letter before it, which is taken back, if they are one, such as a letter and its accent."""
        x, y = self.term_cursor
        line = self.term[y]
        x -= not self.is_rotten_cursor
        if x > 0 and not line[x][2]:
            x -= 1
        before = line[x][2].decode() if x >= 0 else ""
        if not before or move_next_char(before + text[:1], 0, len(before) + 1) <= len(before):
            return text
        self.erase((x, y), (x, y))
        self.set_term_cursor(x, y)
        return before + text

    def _reversed(self, attr: AttrSpec | None) -> AttrSpec | None:
        return after(attr, "27" if attr and attr.standout else "7", self._colours).shown

    def _tab_back(self) -> None:
        x, y = self.term_cursor
        while x > 0:
            x -= 1
            if self.is_tabstop(x):
                break
        self.set_term_cursor(x, y)


def _fit(lines: list[list[_Cell]], kept: deque[list[_Cell]], y: int, width: int, height: int) -> int:
    """Gives a screen another size, and tells how far the cursor's line moves down.

    Lines below the cursor go first, then those at the top, which are kept and come back when the screen grows.
    """
    del lines[max(height, y + 1) :]
    shift = 0
    while len(lines) > height:
        kept.append(lines.pop(0))
        shift -= 1
    while len(lines) < height and kept:
        lines.insert(0, kept.pop())
        shift += 1
    lines += [[_BLANK]] * (height - len(lines))
    lines[:] = [line[:width] + [_BLANK] * (width - len(line)) for line in lines]
    return shift


def _mended(line: list[_Cell]) -> list[_Cell]:
    """As wide as it is long: a space for half a letter, and no two that together are narrower than they are alone."""
    mended: list[_Cell] = []
    is_second = False
    for (attr, _, letter), (_, _, following) in zip(line, (*line[1:], _BLANK), strict=True):
        columns = _columns(letter)
        is_wide = columns == 2 and not following
        if not is_second:
            mended.append((attr, None, letter.removesuffix(_JOINER) if columns == 1 or is_wide else b" "))
        is_second = is_wide and not is_second
    if _is_exact(b"".join([letter for _, _, letter in mended]), len(line)):
        return mended
    return [(attr, None, _alone(letter)) for attr, _, letter in mended]


@lru_cache(maxsize=REMEMBERED)
def _columns(letter: bytes) -> int:
    return width(letter.decode())


@lru_cache(maxsize=REMEMBERED)
def _is_exact(line: bytes, columns: int) -> bool:
    """Whether both ways to measure a line agree: by what is drawn as one, and as urwid does."""
    text = line.decode()
    return width(text) == calc_width(text, 0, len(text)) == columns


def _alone(letter: bytes) -> bytes:
    return letter if _NARROW.fullmatch(letter.decode()) else "\ufffd".encode() * _columns(letter)


@lru_cache(maxsize=REMEMBERED)
def _ground(attr: AttrSpec | None) -> AttrSpec | None:
    return AttrSpec("inherit", attr.background, attr.colors) if attr and attr.background != "inherit" else None


def _split(name: str) -> tuple[int, str]:
    """An urwid name's modifiers, which stand in any order, and the rest of it."""
    modifiers = 0
    while found := _MODIFIER.match(name):
        modifiers, name = modifiers | _MODIFIERS[found[1]], name[found.end() :]
    return modifiers, name


def _report(code: int, at: tuple[int, int], is_release: bool, encoding: PrivateMode | None) -> bytes:
    column, row = at
    if encoding == PrivateMode.MOUSE_SGR_MODE:
        return f"\x1b[<{code};{column + 1};{row + 1}{'m' if is_release else 'M'}".encode()
    if is_release:
        code |= 3  # which of the buttons is not told
    numbers = "".join(chr(33 + number) for number in (code - 1, column, row))
    if encoding == PrivateMode.MOUSE_UTF8_MODE:
        return b"\x1b[M" + numbers.encode()
    return b"\x1b[M" + numbers.encode("latin-1") if max(at) < 223 else b""  # no byte says more
