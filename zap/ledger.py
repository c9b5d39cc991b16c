"""What is written down at the end of each turn of the runner: for the next one, and for people into the journal.

When memory is used up the jobs go on, and nothing is written down: whoever takes over then goes on from what was there
before. It is tried again, and from then on everything is there once more but the lines that were said before.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from zap import memory, wire
from zap.events import LOG, Event, Row
from zap.memory import KeptSeat, KeptStream, KeptTask, Whole

if TYPE_CHECKING:
    import asyncio

    from zap import child
    from zap.buffer import Buffer
    from zap.bus import Bus
    from zap.estate import Estate
    from zap.flock import Flock
    from zap.journal import Journal
    from zap.memory import KeptChild
    from zap.plan import Job
    from zap.seat import Seat, Task
    from zap.store import Store

AGAIN_FIRST, AGAIN_MOST = 2.0, 300.0  # seconds until it is tried again, twice as long after each time


class Ledger:
    """`whole` and `row` tell what is the runner's to know, `written` how far a log file is. `on_trouble` hears, once,
    why nothing can be written down for a next runner, and `on_relief` what is missing there when it can again.

    Without an estate there is no next runner.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        estate: Estate | None,
        journal: Journal | None,
        *,
        bus: Bus,
        flock: Flock,
        seats: Mapping[str, Seat],
        log: Buffer,
        whole: Callable[[], Whole],
        row: Callable[[Seat], Row],
        written: Callable[[Seat], tuple[int, ...]],
        on_trouble: Callable[[str], object],
        on_relief: Callable[[str], object],
    ) -> None:
        self._loop = loop
        self._estate = estate
        self._journal = journal
        self._bus = bus
        self._flock = flock
        self._seats = seats
        self._log = log
        self._whole = whole
        self._row = row
        self._written = written
        self._on_trouble = on_trouble
        self._on_relief = on_relief
        self._stores: dict[str, Store] = {}  # by job, and that of zap's own log
        self._changed: set[Seat] = set()  # since the last commit,
        self._heard: set[Seat] = set()  # so their output,
        self._news: list[bytes] = []  # and events
        self._gone: list[str] = []
        self._settings: dict[str, Job] = {}  # by job, those that are written down
        self._is_whole_new = True
        self._is_due = False
        self._lines: deque[bytes] = deque(maxlen=memory.MOST_EVENTS)
        self._released: list[tuple[child.Child, KeptChild]] = []  # until it is written down that nobody needs them
        self._has_ceased = False
        self._again = AGAIN_FIRST

    # What has changed.

    def touch(self, seat: Seat | None = None) -> None:
        """Something has, of this job if one is named: it is written down before anything else happens."""
        if self._estate is None and self._journal is None:
            return
        if seat:
            self._changed.add(seat)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.commit)

    def touch_whole(self) -> None:
        """What belongs to no job has."""
        self._is_whole_new = True

    def hear(self, seat: Seat) -> None:
        """What it says has, or how far that was told: written down at the end of the turn."""
        self._heard.add(seat)

    def tell(self, event: Event) -> None:
        if self._estate or self._journal:
            line = _line(event)
            self._news.append(line)
            self._lines.append(line)

    def release(self, born: child.Child, kept: KeptChild) -> None:
        """Nothing of it is needed any more; but how it ended is, until that is written down."""
        self._released.append((born, kept))
        self.touch()

    @property
    def released(self) -> set[int]:
        return {born.pid for born, _ in self._released}

    # Whose lines are kept.

    def keep(self, name: str, buffer: Buffer, place: tuple[int, int, int] | None = None) -> None:
        """From now on. With a place, those that were kept are in the buffer again. Before the seat's first turn."""
        if self._estate is None:
            return
        try:
            self._stores[name] = self._estate.store(name, buffer, place)
        except OSError as error:
            self._cease(error)
        else:
            if self._has_ceased:
                self._stores[name].cease()

    def keep_seat(self, seat: Seat) -> None:
        """A job's that is new."""
        self.keep(seat.name, seat.transcript.buffer)
        self._changed.add(seat)
        self._heard.add(seat)

    def forget(self, seat: Seat) -> None:
        if self._estate and (store := self._stores.pop(seat.name, None)):
            self._estate.drop_store(seat.name, store)
        self._gone.append(seat.name)
        self._settings.pop(seat.name, None)

    def restore(self, events: Iterable[Event]) -> None:
        """After somebody else's `commit`: all of it is written down anew."""
        self._lines += map(_line, events)
        self._changed |= set(self._seats.values())
        self._heard |= self._changed
        self._is_whole_new = True

    # Writing.

    def commit(self) -> None:
        """Before anything of this turn is told to anybody.

        First into the journal: what is there and was not written down here, is cut off again by who takes over.
        """
        self._is_due = False
        if self._journal and self._news:
            self._journal.append(b"\n".join([*self._news, b""]))
        if self._estate:
            self._commit(self._estate)
        self._clear()

    def flush(self) -> None:
        if self._journal:
            self._journal.flush()

    def close(self) -> None:
        self.commit()
        if self._journal:
            self._journal.close()

    def _commit(self, estate: Estate) -> None:
        is_new = self._changed or self._heard or self._news or self._is_whole_new or self._log.fresh
        if is_new and not self._has_ceased:
            try:
                self._write(estate, is_full=estate.is_long)
            except OSError as error:
                self._cease(error)
        if estate.inbox.trouble:
            self._cease(estate.inbox.trouble)
        if self._has_ceased:
            estate.inbox.told = self._bus.last
            estate.inbox.settle()

    def _write(self, estate: Estate, is_full: bool) -> None:
        if is_full:
            self._changed |= set(self._seats.values())
            self._heard |= self._changed
        for name in [LOG, *(seat.name for seat in self._heard)]:
            if name in self._stores:
                self._stores[name].write()
        changed = [seat for seat in self._changed if self._seats.get(seat.name) is seat]
        heard = [seat for seat in self._heard if self._seats.get(seat.name) is seat]
        record = memory.record(
            last=self._bus.last,
            turn=estate.inbox.turn,
            log=self._place(LOG),
            written=self._log.last,
            whole=self._whole() if self._is_whole_new or is_full else None,
            seats={seat.name: self._kept_seat(seat) for seat in changed},
            settled={seat.name for seat in changed if not is_full and self._settings.get(seat.name) is seat.job},
            streams={seat.name: self._kept_stream(seat) for seat in heard},
            gone=self._gone,
            rows={name: self._row(seat) for name, seat in self._seats.items()} if is_full else None,
            events=self._lines if is_full else self._news,
        )
        estate.write(record, is_full)
        self._settings |= {seat.name: seat.job for seat in changed}

    def _clear(self) -> None:
        self._changed.clear()
        self._heard.clear()
        self._news.clear()
        self._gone.clear()
        self._is_whole_new = False
        released, self._released = self._released, []
        for born, kept in released:
            if self._estate:
                self._estate.drop(kept)
            born.close()

    def _cease(self, error: OSError) -> None:
        if self._has_ceased:
            return
        self._has_ceased = True
        for store in self._stores.values():
            store.cease()
        self._on_trouble(error.strerror or str(error))
        self._try_later()

    def _try_later(self) -> None:
        self._loop.call_later(self._again, self._begin_anew)
        self._again = min(2 * self._again, AGAIN_MOST)

    def _begin_anew(self) -> None:
        """Beside what is there, which counts until all is written."""
        self.commit()  # for the journal, and so that nothing of this turn is forgotten with what is cleared below
        assert self._estate
        estate, before = self._estate, self._stores
        buffers = {LOG: self._log} | {name: seat.transcript.buffer for name, seat in self._seats.items()}
        self._stores = {}
        try:
            for name, buffer in buffers.items():
                self._stores[name] = estate.store(name, buffer)
            estate.inbox.trouble = None
            self._write(estate, is_full=True)
        except OSError:
            self._stores, new = before, self._stores
            for name, store in new.items():
                estate.drop_store(name, store)
                store.cease()
            self._try_later()
            return
        for name, store in before.items():
            estate.drop_store(name, store)
        self._has_ceased = False
        self._clear()
        self._on_relief("lines from before would be missing if the runner was killed now")

    # How it is said.

    def _place(self, name: str) -> tuple[int, int, int]:
        return self._stores[name].place if name in self._stores else memory.NOWHERE

    def _kept_seat(self, seat: Seat) -> KeptSeat:
        return KeptSeat(
            job=seat.job,
            life=self._flock.known(seat.name),
            child=seat.kept,
            tasks=tuple(_kept_task(task, task.kept) for task in seat.tasks if task.kept),
            mailbox=seat.mailbox.path if seat.mailbox else "",
            has_ended=seat.has_ended,
            spawned=seat.spawned,
            command=seat.command,
            command_since=seat.command_since,
            code=seat.code,
            folder=seat.folder,
            asking=tuple(map(memory.kept_call, seat.asking.values())),
            remedy=(memory.kept_call(seat.remedy[0]), seat.remedy[1]) if seat.remedy else None,
            size=seat.size,
            replies=tuple((seat.job.answers.index(answer), memory.text(said)) for answer, said in seat.replies.items()),
            began=seat.transcript.began,
            overloads=seat.meter.overloads,
            cause=seat.cause,
            is_paused=seat.is_paused,
        )

    def _kept_stream(self, seat: Seat) -> KeptStream:
        script = seat.transcript
        held = tuple(map(memory.text, script.held))
        place, written = self._place(seat.name), self._written(seat)
        return KeptStream(place, seat.told, seat.was_open, seat.spoke, held, script.commands, written)


def _kept_task(task: Task, kept: KeptChild) -> KeptTask:
    held = tuple(map(memory.text, task.errand.held))
    return KeptTask(task.kind, kept, task.purpose, task.since, tuple(task.errand.ended), held)


def _line(event: Event) -> bytes:
    return json.dumps(wire.event_to_plain(event), separators=(",", ":")).encode()
