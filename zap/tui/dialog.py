"""What takes the keys for a while: menus, pages of text, and the line to type on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

from zap import fuzzy
from zap.tui import text
from zap.tui.palette import Glyphs
from zap.tui.text import Row
from zap.tui.window import Area

WIDEST = 100  # columns of a dialog
FILLED_COLUMNS = 12  # that text has to have to be wrapped at its spaces
FRAMED_COLUMNS, FRAMED_ROWS = 20, 5  # of a screen; on a smaller one a dialog has no frame


class Choice(NamedTuple):
    """Something to choose: its name, a word beside it, and what is done. A key of its own chooses it at once."""

    label: str
    hint: str
    do: Callable[[], None]
    key: str = ""
    about: str = ""

    @property
    def told(self) -> str:
        return f"{self.label}: {self.about}" if self.about else self.label


class Dialog(Protocol):
    """`press` and `click` say whether it stays open; it is closed before what was `chosen` is done.

    `subject` is what it asks about; when that is settled otherwise, it is closed.
    """

    title: str
    chosen: Choice | None
    cursor: tuple[int, int] | None
    subject: Hashable

    def draw(self, columns: int, rows: int) -> list[Row]:
        """What is within the frame, as many rows as are needed and fit."""

    def press(self, key: str) -> bool: ...

    def paste(self, pasted: str) -> None: ...

    def click(self, y: int) -> bool: ...

    def scroll(self, rows: int) -> None: ...


class Input:
    """A line of text that is being typed; `cursor` counts letters."""

    def __init__(self, value: str = "") -> None:
        self.value = value
        self.cursor = len(value)

    def press(self, key: str) -> bool:
        """Whether the key was one for typing."""
        before, after = self.value[: self.cursor], self.value[self.cursor :]
        match key:
            case "backspace" | "ctrl h":
                self._set(before[:-1], after)
            case "delete" | "ctrl d":
                self._set(before, after[1:])
            case "ctrl u":
                self._set("", after)
            case "ctrl k":
                self._set(before, "")
            case "ctrl w" | "meta backspace":
                kept = before.rstrip().rpartition(" ")
                self._set(kept[0] + kept[1], after)
            case "left" | "ctrl b":
                self.cursor = max(self.cursor - 1, 0)
            case "right" | "ctrl f":
                self.cursor = min(self.cursor + 1, len(self.value))
            case "home" | "ctrl a":
                self.cursor = 0
            case "end" | "ctrl e":
                self.cursor = len(self.value)
            case _ if len(key) == 1 and key.isprintable():
                self._set(before + key, after)
            case _:
                return False
        return True

    def paste(self, pasted: str) -> None:
        shown = "".join(letter for letter in pasted if letter.isprintable())
        self._set(self.value[: self.cursor] + shown, self.value[self.cursor :])

    def draw(self, columns: int) -> tuple[Row, int]:
        """What shows of it in so many cells, and the column of the cursor."""
        column = text.width(self.value[: self.cursor])
        begin = max(column - columns + 1, 0)
        return text.window([("input", self.value + " ")], begin, columns), column - begin

    def _set(self, before: str, after: str) -> None:
        self.value, self.cursor = before + after, len(before)


class Menu:
    """Choices below some text; with `is_typed` what one types narrows them, else a choice's own key takes it.

    Text for which there is no room is scrolled, and says how much of it is left. `at` is the choice to begin with.
    """

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        glyphs: Glyphs,
        about: Sequence[Row] = (),
        is_typed: bool = False,
        at: int = 0,
        subject: Hashable = None,
    ) -> None:
        self.title = title
        self.input = Input() if is_typed else None
        self.chosen: Choice | None = None
        self.cursor: tuple[int, int] | None = None
        self.subject = subject
        self._choices = list(choices)
        self._about = list(about)
        self._glyphs = glyphs
        self._at = at
        self._begin = 0  # the first choice that shows
        self._above = 0  # rows of the text that are scrolled away
        self._is_cut = False  # whether there is more text than room
        self._first_row = 0
        self._most = 1

    def _shown(self) -> list[Choice]:
        """Those that fit what was typed by their names, then those that do by what is told of them."""
        if not self.input or not self.input.value:
            return self._choices
        ranked = fuzzy.rank(self.input.value, [choice.label for choice in self._choices])
        ranked += fuzzy.rank(self.input.value, [choice.told for choice in self._choices])
        return [self._choices[index] for index in dict.fromkeys(ranked)]

    def draw(self, columns: int, rows: int) -> list[Row]:
        shown = self._shown()
        head = self._draw_input(columns) if rows > 1 else []
        about = [piece for row in self._about for piece in _filled(row, columns)]
        least = min(len(shown), max(rows - len(head) - min(len(about), rows // 2), 1))
        about = self._draw_about(about, columns, max(rows - len(head) - least, 0))
        self._first_row = len(about) + len(head)
        self._most = max(rows - self._first_row, 1)
        self._at = max(min(self._at, len(shown) - 1), 0)
        self._begin = max(min(self._begin, self._at, len(shown) - self._most), self._at - self._most + 1, 0)
        if self.cursor:
            self.cursor = (self.cursor[0], len(about))
        drawn = [*about, *head]
        for index, choice in enumerate(shown[self._begin : self._begin + self._most], self._begin):
            drawn.append(self._draw(choice, index == self._at, columns))
        if not shown and self.input:
            drawn.append(text.cut([("dim", "nothing fits")], columns))
        return drawn[:rows]

    def _draw_input(self, columns: int) -> list[Row]:
        self.cursor = None
        if self.input is None:
            return []
        sign = "› " if self._glyphs.name == "unicode" else "> "
        typed, column = self.input.draw(max(columns - len(sign), 1))
        self.cursor = (len(sign) + column, 0)
        return [text.pad([("prompt", sign), *typed], columns, "input")]

    def _draw_about(self, about: list[Row], columns: int, rows: int) -> list[Row]:
        self._is_cut = len(about) > rows
        if not self._is_cut or rows < 2:
            return about[:rows]
        self._above = max(min(self._above, len(about) - rows + 1), 0)
        shown = about[self._above : self._above + rows - 1]
        more = f"{self._glyphs.ellipsis} {len(about) - rows + 1} more rows: PgUp, PgDn"
        return [*shown, text.cut([("warn", more)], columns)]

    def _draw(self, choice: Choice, is_at: bool, columns: int) -> Row:
        row: Row = [("dialog key", f"{choice.key} ")] if choice.key else []
        label: Row = [(None, choice.told)]
        if self.input and (value := self.input.value):
            found = fuzzy.score(value, choice.label) or fuzzy.score(value, choice.told)
            label = text.mark(label, [(place, place + 1) for place in found[1]] if found else [], "match")
        room = max(columns - text.width(choice.hint) - 1, columns * 2 // 3)  # for the label
        row = text.cut([*row, *label], room if choice.hint else columns, self._glyphs.ellipsis)
        if choice.hint:
            hint = text.clip(choice.hint, columns - text.row_width(row) - 1, self._glyphs.ellipsis)
            row = [*text.pad(row, columns - text.width(hint)), ("dim", hint)]
        return text.tint(text.pad(row, columns), "selected focus") if is_at else row

    def press(self, key: str) -> bool:
        shown = self._shown()
        match key:
            case "esc" | "ctrl c" | "ctrl g":
                return False
            case "up" | "ctrl p":
                self._at -= 1
            case "down" | "ctrl n":
                self._at += 1
            case "page up" | "page down":
                self.scroll(self._most if key == "page down" else -self._most)
            case "enter":
                return not shown or self._take(shown[self._at])
            case _ if self.input:
                if self.input.press(key):
                    self._at = 0
            case _:
                for choice in shown:
                    if choice.key and key == choice.key:
                        return self._take(choice)
        self._at = max(min(self._at, len(self._shown()) - 1), 0)
        return True

    def paste(self, pasted: str) -> None:
        if self.input:
            self.input.paste(pasted)
            self._at = 0

    def click(self, y: int) -> bool:
        shown = self._shown()
        index = y - self._first_row + self._begin
        if y >= self._first_row and index < len(shown):
            return self._take(shown[index])
        return True

    def scroll(self, rows: int) -> None:
        """The text, when there is more of it than room, else from choice to choice."""
        if self._is_cut:
            self._above += rows
        else:
            self._at = max(min(self._at + rows, len(self._shown()) - 1), 0)

    def _take(self, choice: Choice) -> bool:
        self.chosen = choice
        return False


class Page:
    """Text to read and scroll; any other key closes it."""

    chosen: Choice | None = None
    cursor: tuple[int, int] | None = None
    subject: Hashable = None

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        self.title = title
        self._rows = list(rows)
        self._begin = 0
        self._most = 1
        self._count = 0

    def draw(self, columns: int, rows: int) -> list[Row]:
        wrapped = [piece for row in self._rows for piece in _filled(row, columns)]
        self._most, self._count = rows, len(wrapped)
        if self._count <= rows or rows < 2:
            return wrapped[:rows]
        self._begin = max(min(self._begin, self._count - rows + 1), 0)
        end = self._begin + rows - 1
        place = f"{self._begin + 1} to {end} of {self._count}: up, down, PgUp, PgDn"
        return [*wrapped[self._begin : end], text.cut([("warn", place)], columns)]

    def press(self, key: str) -> bool:
        match key:
            case "up":
                self.scroll(-1)
            case "down":
                self.scroll(1)
            case "page up" | "b":
                self.scroll(1 - self._most)
            case "page down" | " ":
                self.scroll(self._most - 1)
            case "home":
                self._begin = 0
            case "end":
                self._begin = self._count
            case _:
                return False
        return True

    def paste(self, pasted: str) -> None:
        """Nothing is typed here."""

    def click(self, y: int) -> bool:
        return False

    def scroll(self, rows: int) -> None:
        self._begin = max(min(self._begin + rows, self._count), 0)


class Prompt:
    """A line at the bottom: `on_change` hears every change, `on_done` the whole, and None when it was given up.

    `on_other` gets the keys that are not for typing.
    """

    def __init__(
        self,
        label: str,
        value: str,
        on_done: Callable[[str | None], None],
        on_change: Callable[[str], None] | None = None,
        on_other: Callable[[str], None] | None = None,
    ) -> None:
        self.label = label
        self.input = Input(value)
        self.problem = ""
        self._on_done = on_done
        self._on_change = on_change
        self._on_other = on_other

    def press(self, key: str) -> bool:
        """Whether it stays."""
        if key == "enter":
            self._on_done(self.input.value)
            return bool(self.problem)
        if key in ("esc", "ctrl c", "ctrl g"):
            self._on_done(None)
            return False
        if self.input.press(key):
            self._change()
        elif self._on_other:
            self._on_other(key)
        return True

    def paste(self, pasted: str) -> None:
        self.input.paste(pasted)
        self._change()

    def _change(self) -> None:
        self.problem = ""
        if self._on_change:
            self._on_change(self.input.value)


def _filled(row: Row, columns: int) -> list[Row]:
    """The row's last segment wrapped at spaces and below itself, where it has a width to speak of."""
    if text.row_width(row) <= columns:
        return [row]
    *before, (attr, said) = row
    indent = text.row_width(before)
    if columns - indent < FILLED_COLUMNS:
        return text.wrap(row, columns)
    filled: list[Row] = []
    while said:
        end = len(text.plain(text.wrap([(attr, said)], columns - indent)[0]))
        if end < len(said):
            end = said.rfind(" ", 1, end + 1) + 1 or end
        filled.append([*(before if not filled else [(None, " " * indent)]), (attr, said[:end])])
        said = said[end:]
    return filled


class Framed(NamedTuple):
    """A dialog as it lies on the screen: its rows, where they go, and where within its frame its own rows are."""

    rows: list[Row]
    area: Area
    body: Area
    cursor: tuple[int, int] | None


def framed(dialog: Dialog, columns: int, rows: int, glyphs: Glyphs) -> Framed:
    """For a screen of this size, in a frame where there is room for one."""
    is_framed = columns >= FRAMED_COLUMNS and rows >= FRAMED_ROWS
    wide = min(columns - 4, WIDEST) if is_framed else columns
    inner = wide - 4 if is_framed else wide
    drawn = dialog.draw(inner, rows - 2 if is_framed else rows)
    drawn = [text.tint(text.pad(row, inner), "dialog") for row in drawn]
    high = len(drawn) + 2 if is_framed else len(drawn)
    area = Area((columns - wide) // 2, (rows - high) // 3, wide, high)
    body = Area(area.column + 2, area.row + 1, inner, len(drawn)) if is_framed else area
    cursor = (body.column + dialog.cursor[0], body.row + dialog.cursor[1]) if dialog.cursor else None
    return Framed(_in_frame(drawn, dialog.title, inner, glyphs) if is_framed else drawn, area, body, cursor)


def _in_frame(rows: list[Row], title: str, inner: int, glyphs: Glyphs) -> list[Row]:
    corners, across, down = glyphs.corners, glyphs.across, glyphs.down
    title = f" {text.clip(title, inner - 2, glyphs.ellipsis)} "
    rest = across * (inner + 1 - text.width(title))
    top: Row = [("dialog", corners[0] + across), ("dialog title", title), ("dialog", rest + corners[1])]
    bottom: Row = [("dialog", corners[3] + across * (inner + 2) + corners[2])]
    sides: tuple[Row, Row] = [("dialog", f"{down} ")], [("dialog", f" {down}")]
    return [top, *([*sides[0], *row, *sides[1]] for row in rows), bottom]
