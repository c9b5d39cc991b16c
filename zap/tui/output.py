"""What a job has said, as rows of the screen: followed or scrolled, searched, filtered, selected."""

from __future__ import annotations

import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from zap.escape import plain
from zap.events import Line, Ran
from zap.events import Row as JobRow
from zap.remarks import headline, seconds
from zap.tui import text
from zap.tui.colours import Colours, parse
from zap.tui.feed import MOST, Feed, Item
from zap.tui.palette import Glyphs, spelled
from zap.tui.text import Attr, Row, Segment

if TYPE_CHECKING:
    from zap.matcher import Search

LEGIBLE = 20  # cells of a command that are worth more than what else its heading says
SHIFT = 8  # cells by which cut lines are moved
ROOMY = 40  # columns from which on there is room for the time
MARKS: dict[str, tuple[Attr, str]] = {"out": ("gutter", " "), "err": ("stream err", "┃"), "zap": ("stream zap", "┆")}
INKS = ("busy", "fix", "ok", "badge lines", "warn")  # of the names before lines of several jobs
DRAWS: Segment = ("dim", "draws on the whole screen: type into the job to see it")
# A place on the screen other than its corner, which is how some clear it, or the alternate screen (xterm's ctlseqs):
# without a terminal such a line is a jumble.
_DRAWN = re.compile(rb"\x1b\[(?:(?![01];[01][Hf])\d+;\d+[Hf]|\?(?:47|1047|1049)h)")


class Look(NamedTuple):
    """How lines are drawn."""

    colours: Colours
    glyphs: Glyphs
    wraps: bool = True
    has_times: bool = False


def is_error(line: Line) -> bool:
    return line.stream == "err"


def is_remark(line: Line) -> bool:
    return line.stream == "zap"


def is_fixup(line: Line) -> bool:
    return line.stream == "zap" and line.text.startswith("🔧".encode())


class Output:
    """A view onto a feed. `row` tells how a job is; `commands` are the texts of a job's commands."""

    def __init__(
        self,
        feed: Feed,
        row: Callable[[str], JobRow | None],
        commands: Mapping[str, tuple[str, ...]],
        look: Look,
        title: str = "",
    ) -> None:
        self.feed = feed
        self.title = title
        self.look = look
        self.search: Search | None = None
        self.is_following = True
        self.selection: tuple[int, int] | None = None  # where it began, and where it is now
        self.filter = ""  # what the feed's filter is called
        self.hit: int | None = None  # the index of the hit that was gone to
        self.is_left = False  # nobody looks at it any more, and nothing more is fetched for it
        self._row = row
        self._commands = commands
        self._top = 0  # the index of the first item that shows
        self._skip = 0  # how many of its rows are above the screen
        self._shift = 0
        self._hits: list[int] = []
        self._searched = (0, 0)
        self._size = (80, 24)
        self._shown: list[int | None] = []  # by row of the screen, the index of the item there
        self._drawn: dict[int, tuple[object, list[Row]]] = {}  # of what shows, what its look follows from
        self._is_near_end = False
        self._pressed: int | None = None  # the item where the mouse was pressed
        self.is_dragged = False  # the selection comes from the mouse
        self._inks = dict(zip(feed.jobs, cycle(INKS), strict=False))
        is_one_system = len({job.partition("/")[0] for job in feed.jobs}) == 1
        self._prefix = len(feed.jobs[0].partition("/")[0]) + 1 if is_one_system else 0  # letters that all names share
        self._names = max((text.width(job) - self._prefix for job in feed.jobs), default=0) if len(feed.jobs) > 1 else 0

    @property
    def job(self) -> str | None:
        """Whose lines these are, if they are one job's."""
        return self.feed.jobs[0] if len(self.feed.jobs) == 1 else None

    # Drawing.

    def draw(self, columns: int, rows: int) -> list[Row]:
        """Exactly so many rows, of at most so many cells."""
        self._size = (columns, rows)
        self._find_hits()
        drawn = self._draw_up_to(self.feed.end) if self.is_following else self._draw_from_top()
        drawn = drawn[:rows]
        last = self.feed.end
        self._shown = [index if index < last else None for index, _ in drawn] + [None] * (rows - len(drawn))
        self._drawn = {index: self._drawn[index] for index in self._shown if index in self._drawn}
        return [row for _, row in drawn] + [[] for _ in range(rows - len(drawn))]

    def _draw_up_to(self, last: int) -> list[tuple[int, Row]]:
        """A screen that ends with this item, which becomes what is looked at."""
        rows = self._size[1]
        drawn: list[tuple[int, Row]] = []
        index = last + 1
        while index > self.feed.begin and (len(drawn) < rows or index > last):
            index -= 1
            drawn[:0] = [(index, row) for row in self._rows(index)]
        self._top, self._skip = index, max(len(drawn) - rows, 0)
        return drawn[self._skip :]

    def _draw_from_top(self) -> list[tuple[int, Row]]:
        feed, rows = self.feed, self._size[1]
        self._keep_within()
        drawn: list[tuple[int, Row]] = []
        index, skip = self._top, self._skip
        while index <= feed.end and len(drawn) <= rows:
            drawn += [(index, row) for row in self._rows(index)[skip:]]
            index, skip = index + 1, 0
        self._is_near_end = feed.end - index < rows
        if index > feed.end and len(drawn) <= rows:  # nothing that is here is below
            self.is_following = feed.is_current and self.selection is None
            return self._draw_up_to(feed.end)
        return drawn

    def _rows(self, index: int) -> list[Row]:
        """All rows of an item: before it, what begins with it. Behind the last item stands what has no end yet."""
        columns = self._size[0]
        if index < self.feed.end:
            item = self.feed[index]
            return [*self._headings(index, columns), *self._rows_at(item, index, columns)]
        if not (self.is_following or self.feed.is_current):
            return []
        unfinished = [row for item in self.feed.unfinished for row in self._rows_of(item, None, columns)]
        return [*self._headings_behind(columns), *unfinished]

    def _rows_at(self, item: Item, index: int, columns: int) -> list[Row]:
        """As they were drawn before, unless something has changed."""
        is_selected = self.selection is not None and self._is_selected(index)
        now = item, columns, self.look, self._shift, self.search, index == self.hit, is_selected
        before, rows = self._drawn.get(index, (None, []))
        if now != before:
            rows = self._rows_of(item, index, columns)
            self._drawn[index] = now, rows
        return rows

    def _rows_of(self, item: Item, index: int | None, columns: int) -> list[Row]:
        line, look = item.line, self.look
        gutter = self._gutter(item, columns, is_hit=index is not None and index == self.hit)
        room = max(columns - text.row_width(gutter), 1)
        row = [DRAWS] if _DRAWN.search(line.text) else parse(line.text, look.colours)
        if line.stream == "zap":
            row = text.tint([(attr, spelled(said, look.glyphs)) for attr, said in row], "stream zap")
        if self.search:
            spans = self.search.spans(text.plain(row))
            if spans:
                row = text.mark(row, spans, "hit now" if index is not None and index == self.hit else "hit")
        if look.wraps:
            pieces = text.wrap(row, room)
        else:
            pieces = [text.cut(text.window(row, self._shift, room + 1), room, look.glyphs.ellipsis)]
        blank: Row = [(None, " " * text.row_width(gutter))] if gutter else []
        rows = [[*(blank if number else gutter), *piece] for number, piece in enumerate(pieces)]
        if index is not None and self.selection and self._is_selected(index):
            rows = [text.tint(text.pad(row, columns), "selection") for row in rows]
        return rows

    def _gutter(self, item: Item, columns: int, is_hit: bool) -> Row:
        """When it was said and by whom, as far as there is room; and what kind of line it is."""
        line, glyphs = item.line, self.look.glyphs
        gutter: Row = []
        if self.look.has_times and columns >= ROOMY:
            at = time.strftime("%H:%M:%S", time.localtime(line.at))
            gutter.append(("time", f"{at}.{int(line.at % 1 * 1000):03d} "))
        if self._names:
            room = max(min(self._names, columns // 4), 1)
            name = text.clip(item.job[self._prefix :], room, glyphs.ellipsis)
            gutter += text.pad([(self._inks[item.job], name)], room + 1)
        attr, mark = MARKS[line.stream]
        if glyphs.name == "ascii":
            mark = {"┃": "!", "┆": ":"}.get(mark, mark)
        return [*gutter, ("hit now", glyphs.shut) if is_hit else (attr, mark), (None, " ")]

    def _headings(self, index: int, columns: int) -> Iterator[Row]:
        """The commands that began between the item before and this one."""
        if self.job is None or self.feed.wanted is not None or not (row := self._row(self.job)) or not row.ran:
            return
        number = self.feed[index].line.number
        before = self.feed[index - 1].line.number if index > self.feed.begin else number - 1
        for ran in row.ran:
            if before < ran.line <= number:
                yield self._heading(self.job, ran, row, columns)

    def _headings_behind(self, columns: int) -> Iterator[Row]:
        """The commands that have said nothing yet."""
        if self.job is None or self.feed.wanted is not None or not (row := self._row(self.job)):
            return
        last = self.feed[self.feed.end - 1].line.number if self.feed.end > self.feed.begin else self.feed.reached
        for ran in row.ran:
            if ran.line > last:
                yield self._heading(self.job, ran, row, columns)

    def _heading(self, job: str, ran: Ran, row: JobRow, columns: int) -> Row:
        commands = self._commands.get(job, ())
        said = headline(commands[ran.command - 1]) if ran.command <= len(commands) else ""
        is_last = (ran.epoch, ran.command) == (row.epoch, row.command)
        status = ran.status or (row.exit if is_last else None)  # after `exec` there is nobody to tell the command's own
        attr = "heading" if status is None else "heading ok" if status.code == 0 else "heading bad"
        facts = [] if ran.seconds is None else [seconds(ran.seconds)]
        if status is None:
            facts = ["runs" if is_last and row.pid else "was ended"]
        elif status.code != 0:
            facts.append(str(status))
        how = ", ".join(facts) or "done"
        line = self.look.glyphs.across
        left = f"{line * 2} {ran.command}/{row.commands} "
        room = columns - text.width(f"{left} {how} {line * 2} ")
        run = f"run {ran.epoch}, " if row.epoch > 1 else ""
        if room - len(run) >= min(text.width(said), LEGIBLE):  # which command it is says more than which run
            how, room = f"{run}{how}", room - len(run)
        right = f" {how} {line * 2}"
        room = max(room, 0)
        shown = text.clip(spelled(said, self.look.glyphs).expandtabs(4), room, self.look.glyphs.ellipsis)
        rest = room - text.width(shown)
        return [(attr, left), (attr, shown), ("border", " " + line * rest), (attr, right)]

    # Scrolling.

    def scroll(self, rows: int) -> None:
        """Down by so many rows of the screen, or up by less than none."""
        if self.is_following:
            if rows >= 0:
                return
            self._draw_up_to(self.feed.end)
            self.is_following = False
        self._keep_within()
        self.hit = None
        self._skip += rows
        while self._skip < 0 and self._top > self.feed.begin:
            self._top -= 1
            self._skip += len(self._rows(self._top))
        self._skip = max(self._skip, 0)
        while self._top < self.feed.end and self._skip >= (height := len(self._rows(self._top))):
            self._skip -= height
            self._top += 1

    def move(self, rows: int) -> None:
        """The end of what is selected, or else what shows."""
        if self.selection:
            self.extend(rows)
        else:
            self.scroll(rows)

    def move_page(self, pages: int) -> None:
        self.move(pages * max(self._size[1] - 1, 1))

    def shift(self, steps: int) -> None:
        self._shift = max(self._shift + steps * SHIFT, 0)

    def follow(self) -> None:
        self.is_following, self.hit = True, None

    def clear(self, job: str) -> None:
        """What the job had said is gone for good."""
        self.feed.clear(job)
        self.selection = None
        self.follow()

    def go_to(self, index: int, above: int = 0) -> None:
        """The item at the top of the screen, or so many rows below it."""
        self.is_following = False
        self._top, self._skip = max(min(index, self.feed.end), self.feed.begin), 0
        if above:
            self.scroll(-above)

    def _keep_within(self) -> None:
        """What one looked at may have been let go of."""
        if self._top < self.feed.begin:
            self._top, self._skip = self.feed.begin, 0

    def _reveal(self, index: int) -> None:
        """Scroll no further than it takes to show this item."""
        self.is_following = False
        self._keep_within()
        height = sum(len(self._rows(at)) for at in range(self._top, min(index + 1, self._top + self._size[1])))
        if index < self._top or (index == self._top and self._skip):
            self._top, self._skip = index, 0
        elif index - self._top >= self._size[1] or height - self._skip > self._size[1]:
            self._draw_up_to(index)

    @property
    def needs_older(self) -> bool:
        """Whether one is about to see the beginning of what is here; who follows sees it where it fills no screen."""
        feed, rows = self.feed, self._size[1]
        above = feed.end - rows if self.is_following else self._top - 2 * rows
        return not feed.is_whole and above < feed.begin

    @property
    def wants_newer(self) -> bool:
        """Whether what comes is to be fetched: lines without gaps can be fetched once they are to be seen."""
        if self.is_following or self.needs_newer:
            return True
        return (self.feed.wanted is not None or self.job is None) and self.feed.end - self.feed.begin < MOST

    @property
    def needs_newer(self) -> bool:
        """Whether one reads towards the end of what is here, and there is more."""
        return not self.is_following and self._is_near_end and not self.feed.is_current

    @property
    def below(self) -> int:
        """How many lines are below what shows, as far as that is known: of lines to come one does not know the fit."""
        here = self.feed.end - 1 - self._last_shown
        return here + self.feed.waiting if self.feed.wanted is None else here

    @property
    def _last_shown(self) -> int:
        return max((index for index in self._shown if index is not None), default=self.feed.end - 1)

    # Searching.

    def look_for(self, search: Search | None) -> None:
        self.search, self.hit = search, None
        self._hits, self._searched = [], (self.feed.begin, self.feed.begin)

    def _find_hits(self) -> None:
        """In what has come since the last time, before and behind."""
        if self.search is None:
            return
        feed = self.feed
        begin, end = self._searched
        if end < feed.begin or begin > feed.end:
            begin = end = feed.begin
            self._hits = []
        del self._hits[: bisect_left(self._hits, feed.begin)]
        self._hits[:0] = self._hits_between(feed.begin, min(begin, feed.end))
        self._hits += self._hits_between(max(end, feed.begin), feed.end)
        self._searched = (feed.begin, feed.end)

    def _hits_between(self, begin: int, end: int) -> list[int]:
        search = self.search
        if search is None or begin >= end:
            return []
        items = self.feed.between(begin, end)
        return [index for index, item in enumerate(items, begin) if search.matches(plain(item.line.text))]

    @property
    def hits(self) -> tuple[int, int]:
        """Which hit was gone to (0: none), and how many there are."""
        self._find_hits()
        number = bisect_right(self._hits, self.hit) if self.hit is not None else 0
        return number, len(self._hits)

    def next_hit(self, step: int) -> bool:
        """To the next one below (1) or above (-1) the last; False when there is none."""
        self._find_hits()
        return self._go_to_next(self._hits, step)

    def seek(self, wanted: Callable[[Line], bool], step: int) -> bool:
        """To the next item above or below of which this is so; False when there is none here."""
        feed = self.feed
        items = feed.between(feed.begin, feed.end)
        return self._go_to_next([index for index, item in enumerate(items, feed.begin) if wanted(item.line)], step)

    def go_to_first(self, wanted: Callable[[Line], bool]) -> None:
        """To the oldest item here of which this is so, or to the end."""
        items = self.feed.between(self.feed.begin, self.feed.end)
        index = next((number for number, item in enumerate(items, self.feed.begin) if wanted(item.line)), None)
        if index is None:
            self.follow()
        else:
            self.go_to(index, above=self._size[1] // 3)
            self.hit = index

    def seek_command(self, step: int) -> bool:
        """To the beginning of the next command above or below."""
        row = self._row(self.job) if self.job else None
        if row is None or self.feed.begin >= self.feed.end:
            return False
        first = self.feed[self.feed.begin].line.number
        found = (self.feed.find(row.job, ran.line) for ran in row.ran if ran.line >= first)
        indices = sorted({self.feed.end if index is None else index for index in found})
        top = self.feed.end if self.is_following and step > 0 else self._top
        return self._go_to_next(indices, step, top if self.hit is None else self.hit, above=0)

    def _go_to_next(self, indices: list[int], step: int, current: int | None = None, above: int | None = None) -> bool:
        """To the next of these, from the one that was gone to, else from what shows; False when there is none."""
        current = self.hit if current is None else current
        if current is None:
            current = self._last_shown + 1 if step < 0 else self.feed.end if self.is_following else self._top - 1
        place = bisect_right(indices, current) if step > 0 else bisect_left(indices, current) - 1
        if not 0 <= place < len(indices):
            return False
        self.go_to(indices[place], self._size[1] // 3 if above is None else above)
        self.hit = indices[place]
        if self.selection:
            self.selection = (self.selection[0], min(self.hit, self.feed.end - 1))
        return True

    # Selecting.

    def select(self) -> None:
        """Begin with the last line that shows."""
        shown = [index for index in self._shown if index is not None]
        if shown:
            self.is_following = False
            self.selection = (shown[-1], shown[-1])

    def press_at(self, y: int) -> None:
        """The mouse was pressed here; a drag selects from here on."""
        self._pressed = self._item_at(y)
        self.selection = None
        self.is_dragged = False

    def drag_to(self, y: int) -> None:
        """Select up to where the mouse is now; beyond the edges more lines come."""
        rows = self._size[1]
        if not 0 <= y < rows:
            self.scroll(-1 if y < 0 else 1)
        index = self._item_at(max(min(y, rows - 1), 0))
        if index is None and self.feed.begin < self.feed.end:
            index = self._last_shown  # behind the last line is nothing to be selected
        if index is not None:
            self.is_following, self.is_dragged = False, True
            self.selection = (index if self._pressed is None else self._pressed, index)

    def _item_at(self, y: int) -> int | None:
        return self._shown[y] if 0 <= y < len(self._shown) else None

    def extend(self, rows: int) -> None:
        if not self.selection or self.feed.begin >= self.feed.end:
            return
        index = max(min(self.selection[1] + rows, self.feed.end - 1), self.feed.begin)
        self.selection = (self.selection[0], index)
        self._reveal(index)

    def _is_selected(self, index: int) -> bool:
        assert self.selection
        return min(self.selection) <= index <= max(self.selection)

    def selected(self) -> list[str]:
        """The text of what is selected, or else of what shows: without colours, as it was said and not as it wraps."""
        if self.selection:
            items = self.feed.between(min(self.selection), max(self.selection) + 1)
        else:
            indices = [index for index in self._shown if index is not None]
            items = self.feed.between(indices[0], indices[-1] + 1) if indices else []
            items += self.feed.unfinished if self.is_following else []
        return [plain(item.line.text) for item in items]
