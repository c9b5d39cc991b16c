"""What is done with lines besides looking at them: fetched as they are needed, gone to, copied, saved."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorded import Person, Recorded, job, plan
from tests.shop import API, WORKER, shop
from zap.events import LOG
from zap.session import Tail
from zap.tui import reader


class Counting(Recorded):
    """Counts how often it is asked for lines, and for how many."""

    def __init__(self) -> None:
        super().__init__(plan(job(API, "true"), job(WORKER, "true")))
        self.calls = 0

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        self.calls += 1
        return await super().tail(job, since, at_most, widest, known)

    def counted(self) -> int:
        calls, self.calls = self.calls, 0
        return calls


@pytest.fixture
def ann(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    monkeypatch.chdir(tmp_path)
    with Person(shop(), 120, 40) as person:
        yield person


def said(ann: Person) -> str:
    return ann.screen[-1].strip()


# Fetching.


def test_what_nobody_looks_at_is_not_fetched() -> None:
    session = Counting()
    with Person(session) as ann:
        session.counted()
        ann.hears_say(WORKER, "line\n" * 50)
        assert session.counted() == 0
        ann.hears_say(API, "line\n" * 50)
        assert session.counted() == 1
        ann.presses("tab", "page up", "page up")
        session.counted()
        ann.hears_say(API, "line\n" * 50)
        assert session.counted() == 0, "one reads further up"
        ann.presses("end")
        assert session.counted() == 1


def test_a_screen_at_rest_asks_for_nothing() -> None:
    session = Counting()
    for number in range(2000):
        session.say(API if number % 2 else WORKER, f"line {number}\n")
    with Person(session) as ann:
        for keys in ((), ("tab", "page up"), ("m",), ("m", "page up"), ("home",), ("E",)):
            ann.presses(*keys)
            session.counted()
            ann.waits(1)
            ann.resizes(*ann.size)
            assert session.counted() == 0, keys


def test_of_a_flood_a_page_is_fetched() -> None:
    session = Counting()
    with Person(session) as ann:
        session.counted()
        ann.hears_say(API, "line\n" * 100_000)
        assert session.counted() <= 2


def test_a_filter_that_is_taken_away_is_not_fetched_for_any_longer() -> None:
    session = Counting()
    session.say(API, "line\n" * 6000)
    with Person(session) as ann:
        output = ann.desk.output_here
        output.is_left = True
        session.counted()
        ann._run(ann.desk.read, ann.desk.reader.fetch_back(output, lambda line: False))
        assert session.counted() == 0


def test_of_more_lines_than_anybody_keeps_the_newest_are_here_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, ann: Person
) -> None:
    monkeypatch.setattr(reader, "MOST", 500)
    ann.hears_say(API, "line\n" * 6000)
    ann.presses("tab", "home")
    assert "there are older lines than these" in said(ann)
    assert 500 <= len(ann.desk.output_here.feed.between(-(10**6), 10**6)) < 3000


# Saving.


def saved(ann: Person, path: str = "web-api.log") -> list[str]:
    return Path(path).read_text().splitlines()


def test_the_lines_of_a_job_are_saved_without_colours(ann: Person) -> None:
    ann.presses("tab", "S", "enter")
    assert said(ann) == f"saved {ann.session.buffers[API].last} lines to web-api.log"
    assert saved(ann)[0] == "Error: listen EADDRINUSE: address already in use: 127.0.0.1:8080"
    assert saved(ann)[-1] == "GET /items/40 200 70 ms"
    assert len(saved(ann)) == ann.session.buffers[API].last


def test_all_that_is_kept_is_saved_however_much_it_is(ann: Person) -> None:
    ann.hears_say(API, "".join(f"line {number}\n" for number in range(5000)))
    ann.presses("tab", "S", "enter")
    assert len(saved(ann)) == ann.session.buffers[API].last - ann.session.buffers[API].first + 1
    assert saved(ann)[-5000:] == [f"line {number}" for number in range(5000)]


def test_what_a_filter_lets_through_is_saved(ann: Person) -> None:
    ann.presses("tab", "E", "S", "enter")
    assert said(ann) == "saved 1 line to web-api.log"


def test_of_several_jobs_each_line_says_whose_it_was(ann: Person) -> None:
    ann.presses("m", "tab", "S", "enter")
    assert "web/worker: ModuleNotFoundError: No module named 'celery'" in saved(ann, "zap.log")


def test_a_file_that_is_there_is_not_written_over_unasked(ann: Person) -> None:
    Path("web-api.log").write_text("mine")
    ann.presses("tab", "S", "enter", "enter")
    assert saved(ann) == ["mine"]
    ann.presses("S", "enter", "y")
    assert len(saved(ann)) > 10


def test_what_cannot_be_saved_is_told(ann: Person) -> None:
    ann.presses("tab", "S", *"/nowhere", "enter")
    assert said(ann) == "web-api.log/nowhere: No such file or directory"
    ann.presses("S", "enter")
    ann.session.refusal = "no runner is there any more"
    ann.presses("S", "enter", "y")
    assert said(ann) == "no runner is there any more"


def test_who_gives_up_saving_saves_nothing(ann: Person) -> None:
    ann.presses("tab", "S", "esc")
    assert not list(Path().iterdir())


# Copying.


def copied(ann: Person) -> str:
    sequence, ann.written = ann.written, b""
    assert sequence.startswith(b"\x1b]52;c;") and sequence.endswith(b"\a")
    return base64.b64decode(sequence[7:-1]).decode()


def test_selected_lines_are_copied_as_they_were_said(ann: Person) -> None:
    ann.hears_say(API, "\x1b[31mred\x1b[0m " + "word " * 50 + "\nlast\n")
    ann.presses("tab", "v", "up", "y")
    assert copied(ann) == "red " + "word " * 50 + "\nlast\n"
    assert said(ann) == "copied 2 lines by OSC 52"
    assert not ann.sees("selected")


def test_without_a_selection_what_shows_is_copied(ann: Person) -> None:
    ann.presses("tab", "y")
    assert copied(ann).splitlines() == [f"GET /items/{n} 200 {n * 13 % 90} ms" for n in range(4, 41)]


def test_where_there_is_nothing_the_clipboard_stays_as_it_is(ann: Person) -> None:
    ann.presses("tab", "&", *"xyz", "enter", "y")
    assert (ann.written, said(ann)) == (b"", "there is nothing to copy")


def test_hostile_text_is_copied_as_text(ann: Person) -> None:
    ann.hears_say(LOG, b"a\x1b]52;c;eA==\x07b\x1b[2J\n", "zap", 0)
    ann.presses("end", "tab", "v", "y")
    assert copied(ann) == "ab\n"
