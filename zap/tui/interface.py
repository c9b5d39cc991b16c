"""The interface: what shows where, and where each event, key and click goes."""

from __future__ import annotations

from zap import events
from zap.events import LOG, Event
from zap.remarks import told
from zap.tui import heads, text
from zap.tui.deeds import Deeds
from zap.tui.desk import Desk
from zap.tui.dialog import framed
from zap.tui.log import row_of
from zap.tui.output import Output
from zap.tui.text import Row
from zap.tui.window import Area, Placed, Scene

NARROW = 70  # columns; with fewer, one pane shows at a time
TREE_SHARE = 0.34
TREE_LEAST, TREE_MOST = 26, 60
OUTPUT_LEAST = 40  # columns; where two would have fewer, they are one below the other
HEADED_LEAST = 3  # rows of a pane; with fewer there is none for its name
WHEEL = 3  # rows
FOLD_COLUMNS = 4  # of the tree, where a click folds
QUIET = events.Spawned | events.Signalled | events.Notified | events.Requested  # what follows tells more
HINT = "do "  # what the areas are called where a click does what stands there


class Interface:
    """The desk as a screen. `on_event` brings it what happens."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._deeds = Deeds(desk)
        self._asked: set[tuple[str, int, str]] = set()  # of which approvals it has spoken by itself
        self._pasted: list[str] | None = None
        self._pressed = ""  # the area in which the mouse was pressed
        self._areas: dict[str, Area] = {}

    def scene(self, columns: int, rows: int) -> Scene:
        bottom = 2 if rows > 8 else 1 if rows > 1 or self._desk.prompt else 0
        body = rows - bottom
        is_narrow = columns < NARROW
        tree_wide = 0 if is_narrow else max(TREE_LEAST, min(int(columns * TREE_SHARE), TREE_MOST))
        begin = tree_wide + 1 if tree_wide else 0
        panes: list[Placed] = []
        cursor = None
        self._areas = {}
        if not is_narrow or self._desk.has_focus:
            right, cursor = self._right_panes(begin, columns - begin, body, is_narrow)
            panes += right
        if not is_narrow or not self._desk.has_focus:  # behind the others, because it shows what is unseen in them
            panes += self._tree_panes(tree_wide or columns, body)
        if tree_wide:
            panes.append(self._border(tree_wide, body))
        if bottom == 2:
            self._areas["happened"] = Area(0, body, columns, 1)
            panes.append(Placed(self._areas["happened"], [self._event_line(columns)]))
        if bottom:
            bar, bar_cursor = self._bar(columns, rows - 1)
            panes.append(Placed(Area(0, rows - 1, columns, 1), [bar]))
            cursor = cursor if bar_cursor is None else (bar_cursor, rows - 1)
        if not self._desk.dialogs:
            return Scene(panes, None, cursor)
        dialog = framed(self._desk.dialogs[-1], columns, max(body, 1), self._desk.glyphs)
        self._areas["dialog"] = dialog.body
        return Scene(panes, Placed(dialog.area, dialog.rows), dialog.cursor)

    def _border(self, column: int, rows: int) -> Placed:
        line: Row = [("border", self._desk.glyphs.down)]
        return Placed(Area(column, 0, 1, rows), [line] * rows)

    def _tree_panes(self, columns: int, rows: int) -> list[Placed]:
        tree, has_focus = self._desk.tree, not self._desk.has_focus and not self._desk.dialogs
        title = self._desk.plan.path.rpartition("/")[0].rpartition("/")[2] or "/"
        order = "" if tree.order == "plan" else f" by {tree.order}"
        narrowed = f" /{tree.narrowed}" if tree.narrowed else ""
        head = heads.head([(None, f"{title}{order}{narrowed}")], "", columns, has_focus, self._desk.glyphs)
        whole = Area(0, 0, columns, rows)
        area = self._areas["tree"] = _below_head(whole)
        drawn = tree.draw(columns, area.rows, has_focus)
        if tree.is_behind:
            self._desk.host.redraw(is_calm=True)
        return _headed(whole, head, Placed(area, drawn))

    def _right_panes(
        self, begin: int, columns: int, rows: int, is_narrow: bool
    ) -> tuple[list[Placed], tuple[int, int] | None]:
        if self._desk.has_log:
            has_focus = self._desk.has_focus and not self._desk.dialogs
            head = heads.head([(None, "events")], "", columns, has_focus, self._desk.glyphs)
            whole = Area(begin, 0, columns, rows)
            area = self._areas["events"] = _below_head(whole)
            return _headed(whole, head, Placed(area, self._desk.log.draw(columns, area.rows, has_focus))), None
        panes: list[Placed] = []
        cursor = None
        count = len(self._desk.outputs)
        for number in range(count):
            if is_narrow:  # one at a time
                if number == self._desk.at:
                    panes, cursor = self._output_panes(number, Area(begin, 0, columns, rows))
                continue
            if columns < 2 * OUTPUT_LEAST:  # one below the other
                top = number * rows // count
                area = Area(begin, top, columns, (number + 1) * rows // count - top)
            else:
                left = begin + number * columns // count + (1 if number else 0)
                area = Area(left, 0, begin + (number + 1) * columns // count - left, rows)
                if number:
                    panes.append(self._border(left - 1, rows))
            drawn, at = self._output_panes(number, area)
            panes += drawn
            cursor = at or cursor
        return panes, cursor

    def _output_panes(self, number: int, whole: Area) -> tuple[list[Placed], tuple[int, int] | None]:
        desk, output = self._desk, self._desk.outputs[number]
        is_here = number == desk.at
        area = self._areas[f"output {number}"] = _below_head(whole)
        cursor = None
        if desk.inside and is_here:
            drawn, at = desk.inside.draw(max(area.columns, 1), max(area.rows, 1))
            cursor = (area.column + at[0], area.row + at[1]) if at and area.rows else None
            desk.tree.look_at(desk.inside.job)
        else:
            drawn = output.draw(area.columns, area.rows)
            self._after_draw(output)
        title, where = heads.of_output(output, desk.board.rows.get(output.job or ""))
        title = [(None, "typing into "), *title] if desk.inside and is_here else title
        head = heads.head(title, where, area.columns, is_here and desk.has_focus and not desk.dialogs, desk.glyphs)
        return _headed(whole, head, Placed(area, drawn)), cursor

    def _after_draw(self, output: Output) -> None:
        """What was just seen is no longer unseen, and what is about to be seen is fetched."""
        if output.is_following and not output.filter:
            for job in output.feed.jobs:
                self._desk.tree.look_at(job)
        if output.needs_older or output.needs_newer:
            self._desk.reader.refresh(output)

    def _event_line(self, columns: int) -> Row:
        """The newest event, and at the end what zap goes on without."""
        glyphs = self._desk.glyphs
        row: Row = [("notice", "")] if self._desk.happened is None else row_of(self._desk.happened, glyphs)
        lasting = heads.lasting(self._desk.degraded.values(), columns // 2, glyphs)
        room = columns - text.row_width(lasting)
        row = text.cut([(None, " "), *row], room, glyphs.ellipsis)
        return [*text.pad(row, room), *lasting] if lasting else row

    def _bar(self, columns: int, y: int) -> tuple[Row, int | None]:
        """The line to type on, or what was said, or what the keys do, each to be clicked on as well."""
        if self._desk.prompt:
            return heads.prompt_bar(self._desk.prompt, columns, self._desk.glyphs)
        attr, said = self._desk.said
        row: Row = [(attr, f" {said}")] if said else []
        for name, hint in () if said else heads.hints(self._desk.keys, self._hinted(), columns, self._desk.glyphs):
            self._areas[f"{HINT}{name}"] = Area(text.row_width(row), y, text.row_width(hint), 1)
            row += hint
        return heads.bar(row, columns, self._desk.glyphs), None

    def _hinted(self) -> tuple[str, ...]:
        if self._desk.inside:
            return ("leave",)
        if self._desk.has_log and self._desk.has_focus:
            return ("event lines", "events", "palette", "help", "quit")
        job = self._desk.output_here.job if self._desk.has_focus else self._desk.tree.selected.job
        row = self._desk.board.rows.get(job or "")
        first = ("pause",) if row and row.is_paused else ()
        if self._desk.has_focus:
            return (*first, "search", "filter", "select", "copy", "type", "focus", "palette", "help", "quit")
        return (*first, "restart", "toggle", "fix", "type", "narrow", "events", "focus", "palette", "help", "quit")

    def on_event(self, event: Event) -> None:
        fact = event.fact
        self._desk.newest = event.n
        if isinstance(fact, events.Removed):  # while the board still has it: what is beside it may follow from that
            self._desk.adopt({fact.job})
        self._desk.board.apply(event)
        if isinstance(fact, events.Output):  # thousands a second: nothing else is about them
            if fact.job in self._desk.last:  # of who was removed the pointer may still be there
                self._desk.last[fact.job] = fact.last
                self._on_output(fact.job)
                self._desk.host.redraw(is_calm=True)
            return
        self._desk.log.add(event)
        if told(fact) and not isinstance(fact, QUIET):
            self._desk.happened = event
        match fact:
            case events.Skipped():
                self._desk.doubt()
            case events.Reloaded() | events.Rewired():
                self._desk.fetch_plan()
            case events.Restated():
                self._desk.hear_of(fact.job, fact.row.lines)
                for proposed in fact.row.asking:
                    self._ask_once(proposed)
            case events.Exited() if self._desk.inside and self._desk.inside.job == fact.job:
                self._desk.leave()
                self._desk.say(f"{fact.job} has ended: {fact.status}", "warn")
            case events.Cleared():
                for output in self._desk.views:
                    if fact.job in output.feed.jobs:
                        output.clear(fact.job)
                self._on_output(fact.job)
            case events.Proposed():
                self._ask_once(fact)
            case events.Degraded():
                self._desk.degraded[fact.what, fact.job] = fact
            case events.Recovered():
                self._desk.degraded.pop((fact.what, fact.job), None)
            case events.TookOver():
                self._desk.degraded.clear()  # whatever that one cannot do it tells
                if self._desk.said[0] != "notice bad":  # such as what nobody knows to be done
                    self._desk.say(f"another runner goes on: {fact.why}", "warn")
            case events.Closed():
                left = f"; {fact.left} processes could not be ended" if fact.left else ""
                self._desk.host.quit(
                    f"zap: everything has ended{left}" if self._desk.is_closing else "zap: the runner has ended"
                )
        self._desk.close_outdated()
        self._desk.show_waiting()
        self._desk.host.redraw(is_calm=isinstance(fact, events.Measured))

    def _on_output(self, job: str) -> None:
        desk = self._desk
        if job == LOG:
            desk.tree.log_lines = desk.last[LOG]
        if desk.inside and desk.inside.job == job:
            desk.inside.refresh()
        for number, output in enumerate(desk.outputs):
            if job in output.feed.jobs and not (desk.inside and number == desk.at):  # behind it nobody sees them
                desk.reader.refresh(output)

    def start(self) -> None:
        """Fetch what shows, and ask what waits to be asked."""
        for output in self._desk.outputs:
            self._desk.reader.refresh(output)
        for row in self._desk.board.rows.values():
            for proposed in row.asking:
                self._ask_once(proposed)

    def press(self, key: str) -> None:
        """A key, by urwid's name for it."""
        desk = self._desk
        if desk.inside and not (desk.dialogs or desk.prompt or desk.keys.action(key, "inside")):
            desk.inside.press(key)  # what it leads to is drawn once the job has said it
            return
        desk.attend()
        desk.host.redraw()
        self._press(key)
        desk.show_waiting()

    def _press(self, key: str) -> None:
        if self._desk.inside and not self._desk.dialogs and not self._desk.prompt:
            self._desk.leave()
            return
        if key in ("begin paste", "end paste"):
            self._paste(is_begin=key == "begin paste")
            return
        if self._pasted is not None:
            self._pasted.append(" " if key == "enter" else key if len(key) == 1 else "")
            return
        self._desk.said = ("notice", "")
        if self._desk.dialogs:
            self._press_dialog(self._desk.dialogs[-1].press(key))
        elif self._desk.prompt:
            prompt = self._desk.prompt
            if not prompt.press(key) and self._desk.prompt is prompt:
                self._desk.prompt = None
        elif action := self._desk.keys.action(key, self._desk.where):
            self._deeds.do(action)

    def _paste(self, is_begin: bool) -> None:
        if is_begin:
            self._pasted = []
            return
        pasted, self._pasted = "".join(self._pasted or ()), None
        if self._desk.dialogs:
            self._desk.dialogs[-1].paste(pasted)
        elif self._desk.prompt:
            self._desk.prompt.paste(pasted)

    def _press_dialog(self, stays: bool) -> None:
        if stays:
            return
        dialog = self._desk.dialogs.pop()
        if dialog.chosen:
            dialog.chosen.do()

    def mouse(self, event: str, button: int, column: int, row: int) -> None:
        self._desk.attend()
        self._desk.host.redraw()
        name = next((name for name, area in reversed(self._areas.items()) if area.holds(column, row)), "")
        if event == "mouse press":
            self._pressed = name
            self._desk.said = ("notice", "") if button not in (4, 5) else self._desk.said
        elif self._pressed in self._areas:
            name = self._pressed  # who drags may leave the pane
        area = self._areas.get(name)
        if self._desk.dialogs:
            if event == "mouse press" and button in (4, 5):
                self._desk.dialogs[-1].scroll(WHEEL if button == 5 else -WHEEL)
            elif event == "mouse press" and button == 1 and name == "dialog" and area:
                self._press_dialog(self._desk.dialogs[-1].click(row - area.row))
        elif area is None:
            pass
        elif self._desk.inside and name == f"output {self._desk.at}":
            self._desk.inside.mouse(event, button, column - area.column, row - area.row)
        elif event == "mouse press" and button in (4, 5):
            self._wheel(name, WHEEL if button == 5 else -WHEEL)
        elif button == 1 or event == "mouse release":
            self._click(event, name, column - area.column, row - area.row)
        self._desk.show_waiting()

    def _wheel(self, name: str, rows: int) -> None:
        if name == "tree" and not self._desk.inside:
            self._deeds.do_move(rows)
        elif name == "events":
            self._desk.log.move(rows)
        elif name.startswith("output"):
            self._desk.outputs[int(name[7:])].scroll(rows)

    def _click(self, event: str, name: str, column: int, row: int) -> None:
        desk = self._desk
        if name.startswith("output "):
            self._click_output(event, int(name[7:]), row)
        elif event != "mouse press":
            pass
        elif name.startswith(HINT):
            self._deeds.do(name.removeprefix(HINT))
        elif name == "happened" and desk.happened:
            self._deeds.go_to_event(desk.happened)
        elif name == "events":
            desk.has_focus = True
            if desk.log.select_at(row):
                self._deeds.do("event lines")
        elif name == "tree":
            desk.leave()
            desk.has_focus = False
            before = desk.tree.selected
            if desk.tree.select_at(row):
                entry = desk.tree.selected
                if column < FOLD_COLUMNS and (not entry.job or entry == before):
                    desk.tree.toggle_fold()
                desk.is_merged = False
                desk.show_selected()

    def _click_output(self, event: str, number: int, row: int) -> None:
        desk = self._desk
        if event == "mouse press":
            desk.leave()
            desk.has_focus, desk.at = True, number
        output = desk.outputs[number]
        match event:
            case "mouse press":
                output.press_at(row)
            case "mouse drag":
                output.drag_to(row)
            case "mouse release" if output.selection and output.is_dragged:
                self._deeds.do("copy")

    def _ask_once(self, proposed: events.Proposed) -> None:
        """A fixup that wants approval says so by itself, the first time."""
        key = (proposed.job, proposed.epoch, proposed.fixup)
        if proposed.job in self._desk.tree.jobs and key not in self._asked:
            self._asked.add(key)
            self._desk.host.begin(self._deeds.ask_approval(proposed))


def _below_head(whole: Area) -> Area:
    """What a pane has for itself."""
    head = int(whole.rows >= HEADED_LEAST)
    return Area(whole.column, whole.row + head, whole.columns, whole.rows - head)


def _headed(whole: Area, head: Row, pane: Placed) -> list[Placed]:
    return [Placed(whole._replace(rows=1), [head]), pane] if pane.area.row > whole.row else [pane]
