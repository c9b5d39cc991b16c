"""`zap run` before a recorded session: what a person or a program reads of it, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from zap import events, headless, requests
from zap.buffer import Buffer
from zap.events import Event, Fact, Row, State, Status, Stream
from zap.headless import Options
from zap.plan import Bound, Command, Job, Plan, System
from zap.requests import Request
from zap.session import Session, Tail

A, B = "web/api", "web/db"
PATIENCE = 10.0  # seconds for what takes a part of one


class Said(NamedTuple):
    """The job has said this; without a newline at its end the line is open."""

    text: str
    job: str = A
    stream: Stream = "out"


Until = Callable[[], object]
Scene = Fact | Said | Until
"""What happens next, or what it waits for."""


class Recorded:
    """A session that was written down: it tells its scenes, a second each by its own clock, then that it has closed."""

    def __init__(self, *scenes: Scene, bound: Bound = Bound()) -> None:  # noqa: B008 - frozen
        self.scenes: Iterable[Scene] = scenes
        self.buffers = {job: Buffer(bound) for job in (A, B)}
        self.asked: list[Request] = []

    async def ask(self, request: Request, by: str = "") -> None:
        self.asked.append(request)

    async def watch(self, since: int | None = 0, rest: float = 0.0) -> AsyncIterator[Event]:
        n = since or 0
        for scene in chain(self.scenes, [events.Closed()]):
            fact: Fact | None
            if isinstance(scene, Said):
                fact = self._say(scene)
            elif callable(scene):
                await self._wait(scene)
                continue
            else:
                fact = scene
            n += 1
            yield Event(n, float(n), fact)

    async def tail(
        self,
        job: str,
        since: int = 0,
        at_most: int = 1000,
        widest: int | None = None,
        known: tuple[int, int] | None = None,
    ) -> Tail:
        return self.buffers[job].tail(since, at_most, widest, known)

    async def plan(self, is_fresh: bool = False) -> Plan:
        jobs = tuple(Job(job, "", (Command("one"), Command("two")), "/") for job in (A, B))
        return Plan("/jobs.yaml", "id", (System("web", jobs),))

    def is_asked(self, request: Request) -> Until:
        return lambda: request in self.asked

    def _say(self, said: Said) -> events.Output:
        buffer = self.buffers[said.job]
        first, _ = buffer.append(said.text.encode(), 1.5, said.stream, 1)
        return events.Output(said.job, first, buffer.last, buffer.is_open)

    async def _wait(self, condition: Until) -> None:
        until = time.monotonic() + PATIENCE
        is_so = False
        while not is_so:
            assert time.monotonic() < until, "waited in vain"
            await asyncio.sleep(0.005)  # the loop and the thread that writes have their turn in any case
            is_so = bool(condition())


def started(job: str = A, epoch: int = 1) -> tuple[Fact, ...]:
    return events.Became(job, epoch, State.STARTING), events.Spawned(job, epoch, 77)


def ended(state: State = State.DONE, code: int = 0, job: str = A, epoch: int = 1) -> tuple[Fact, ...]:
    why = f"exit {code}" if state is State.FAILED else ""
    exit = Status(code)
    return events.Exited(job, epoch, exit, 1.0), events.Became(job, epoch, state, why, exit=exit)


class Paper:
    """The file that is written on; it can be read meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, session: Session, jobs: tuple[str, ...] = (A,), caught: tuple[int, ...] = (), **options: Any) -> int:
        with open(self.path, "wb") as file:
            return asyncio.run(headless.run(session, Options(jobs, **options), file.fileno(), caught))

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def lines(self) -> list[str]:
        """What was told before the summary."""
        return self.text.partition("\n\n")[0].splitlines()

    @property
    def summary(self) -> list[str]:
        return self.text[self.text.index(" in ") - 6 :].strip().splitlines()

    def shows(self, text: str) -> Until:
        return lambda: text in self.text


@pytest.fixture
def paper(tmp_path: Path) -> Paper:
    path = tmp_path / "paper"
    path.touch()
    return Paper(path)


# Lines.


def test_each_line_is_told_once_with_its_job_and_stream(paper: Paper) -> None:
    said = [Said("one\ntw"), Said("o\n"), Said("bad\n", B, "err"), Said("✓ done\n", A, "zap")]
    assert paper.run(Recorded(*started(), *started(B), *said, *ended(), *ended(job=B)), (A, B)) == 0
    assert paper.lines == ["web/api │ one", "web/api │ two", "web/db  ┃ bad", "web/api ┆ ✓ done"]
    assert "\x1b" not in paper.text


def test_jobs_that_were_not_asked_for_are_not_told(paper: Paper) -> None:
    paper.run(Recorded(*started(), Said("other\n", B), Said("mine\n"), *ended()))
    assert paper.lines == ["web/api │ mine"]


RED = "\x1b[31mred\x1b[0m \x1b[2Jend\n"


def test_colour_is_shown_where_it_is_wanted_and_nothing_else_passes(paper: Paper) -> None:
    paper.run(Recorded(*started(), Said(RED), *ended()), has_colour=True)
    assert "\x1b[31mred\x1b[0m end\n" in paper.text
    assert set(re.findall(r"\x1b[^a-zA-Z]*[a-zA-Z]", paper.text)) <= {f"\x1b[{code}m" for code in (0, 2, 31, 32, 36)}
    assert re.sub(r"\x1b\[\d+m", "", paper.text).startswith("web/api │ red end\n")


@pytest.mark.parametrize("options", [{}, {"is_json": True}, {"is_json": True, "has_colour": True}])
def test_elsewhere_lines_are_plain(paper: Paper, options: dict[str, Any]) -> None:
    paper.run(Recorded(*started(), Said(RED), *ended()), **options)
    assert "red end" in paper.text
    assert "\x1b" not in paper.text and "u001b" not in paper.text


def test_quiet_tells_the_summary_alone(paper: Paper) -> None:
    paper.run(Recorded(*started(), Said("hello\n"), Said("Password: "), *ended()), is_quiet=True)
    assert paper.text.splitlines() == ["", *paper.summary]
    paper.run(Recorded(*started(), Said("hello\n"), *ended()), is_quiet=True, is_json=True)
    assert [item["event"] for item in paper.told] == ["summary"]


def test_json_tells_every_event_and_every_line(paper: Paper) -> None:
    code = paper.run(Recorded(*started(), Said("one\ntwo\n"), Said("bad\n", stream="err"), *ended()), is_json=True)
    assert code == 0
    names = ["became", "spawned", "output", "line", "line", "output", "line", "exited", "became", "closed", "summary"]
    assert [item["event"] for item in paper.told] == names
    assert [item["n"] for item in paper.told if "n" in item] == list(range(1, 8))
    lines = [item for item in paper.told if item["event"] == "line"]
    assert [(item["line"], item["stream"], item["text"]) for item in lines] == [
        (1, "out", "one"),
        (2, "out", "two"),
        (3, "err", "bad"),
    ]


def test_lines_that_are_gone_are_counted_and_told(paper: Paper) -> None:
    def flooded() -> Recorded:
        return Recorded(*started(), Said("".join(f"{n}\n" for n in range(10))), *ended(), bound=Bound(lines=3))

    paper.run(flooded())
    assert paper.lines == [
        "web/api ┆ … 7 lines are gone: they came faster than they could be shown",
        *(f"web/api │ {n}" for n in (7, 8, 9)),
    ]
    paper.run(flooded(), is_json=True)
    assert {"event": "dropped", "job": A, "lines": 7} in paper.told


def test_more_than_a_page_is_told_to_its_end(paper: Paper) -> None:
    many = headless.PAGE * 2 + 1
    lines = "".join(f"{n}\n" for n in range(many))
    paper.run(Recorded(*started(), Said(lines), *ended(), bound=Bound(lines=10 * many)))
    assert paper.lines == [f"web/api │ {n}" for n in range(many)]


def test_a_skip_is_survived_and_told(paper: Paper) -> None:
    """Also what a remedy did may be among what is gone; how things are comes after it."""
    fix = events.FixStarted(A, 1, "lock", ("rm x",))
    code = paper.run(Recorded(*started(), fix, events.Skipped(900), *ended(), Said("still here\n")), is_json=True)
    assert code == 0
    assert [item["events"] for item in paper.told if item["event"] == "skipped"] == [900]
    assert [item["text"] for item in paper.told if item["event"] == "line"] == ["still here"]


def restated(state: State, job: str = A, **fields: Any) -> Fact:
    return events.Restated(job, Row(job, 2, state, epoch=1, **fields))


@pytest.mark.parametrize(
    ("facts", "is_over"),
    [
        ([restated(State.DONE)], True),
        ([restated(State.RUNNING)], False),
        ([restated(State.DONE, tasks=1)], False),
        ([restated(State.DONE, tasks=1), events.Fixed(A, 1, "lock", 0.1, False)], True),
    ],
)
def test_the_end_may_be_among_what_was_skipped(paper: Paper, facts: list[Fact], is_over: bool) -> None:
    """Also that of a remedy: how it is now says whether there is anything to wait for."""
    fix = events.FixStarted(A, 1, "lock", ("rm x",))
    session = Recorded(*started(), fix, events.Skipped(900), *facts)
    paper.run(session)
    assert (requests.Close() in session.asked) is is_over


def test_a_failure_may_be_among_what_was_skipped(paper: Paper) -> None:
    failed = restated(State.FAILED, exit=Status(4), why="exit 4", lines=1)
    session = Recorded(*started(), Said("no such region\n"), events.Skipped(900), restated(State.DONE, B), failed)
    assert paper.run(session) == 4
    assert "exit 4" in paper.summary[1] and "last words: no such region" in paper.summary[2]


# Prompts.


def test_a_prompt_is_told_after_a_while_and_not_twice(paper: Paper) -> None:
    prompt = "web/api │ Password: \n"
    paper.run(Recorded(*started(), Said("Password: "), paper.shows(prompt), Said("\nwelcome\n"), *ended()))
    assert paper.lines == ["web/api │ Password: ", "web/api │ welcome"]


def test_an_answer_behind_a_prompt_is_told_with_it(paper: Paper) -> None:
    paper.run(Recorded(*started(), Said("Sure? "), paper.shows("Sure?"), Said("yes\n"), *ended()))
    assert paper.lines == ["web/api │ Sure? ", "web/api │ Sure? yes"]


def test_the_same_prompt_is_told_again_when_it_is_asked_again(paper: Paper) -> None:
    again: Until = lambda: paper.text.count("Password: ") == 2  # noqa: E731
    paper.run(
        Recorded(*started(), Said("Password: "), paper.shows("Password: "), Said("\nPassword: "), again, *ended())
    )
    assert paper.lines == ["web/api │ Password: "] * 2


def test_a_prompt_that_comes_in_two_halves_is_told(paper: Paper) -> None:
    """The second half comes while the first is being looked at; it shall not stay there unseen."""
    halves = [Said("Pass"), Said("word: ")]
    paper.run(Recorded(*started(), *halves, paper.shows("web/api │ Password: \n"), *ended()))
    assert paper.lines == ["web/api │ Password: "]


def test_a_prompt_on_each_stream_is_told(paper: Paper) -> None:
    both: Until = lambda: paper.shows("│ out?")() and paper.shows("┃ err?")()  # noqa: E731
    paper.run(Recorded(*started(), Said("out?"), Said("err?", stream="err"), both, *ended()))
    assert sorted(paper.lines) == sorted(["web/api │ out?", "web/api ┃ err?"])


def test_json_tells_an_open_line_as_open_and_then_whole(paper: Paper) -> None:
    paper.run(Recorded(*started(), Said("Sure? "), paper.shows('"open"'), Said("\n"), *ended()), is_json=True)
    lines = [(item["line"], item["text"], item.get("open")) for item in paper.told if item["event"] == "line"]
    assert lines == [(1, "Sure? ", True), (1, "Sure? ", None)]


# The end.


def test_it_starts_what_was_named_and_closes_when_all_is_over(paper: Paper) -> None:
    session = Recorded(*started(), *started(B), *ended(), Said("not yet\n", B), *ended(job=B))
    paper.run(session, (A, B))
    assert session.asked == [requests.Start((A, B)), requests.Close()]


@pytest.mark.parametrize(
    ("scenes", "is_over"),
    [
        ([*started()], False),
        ([*started(), events.Became(A, 1, State.READY)], False),
        ([*started(), events.Became(A, 1, State.BACKOFF)], False),
        ([*started(), *ended()], True),
        ([*started(), *ended(State.FAILED, 4)], True),
        ([events.Became(A, 0, State.STOPPED)], False),
        ([*started(), events.FixStarted(A, 1, "tell", ("df",)), *ended()], False),
        ([*started(), events.FixStarted(A, 1, "tell", ("df",)), *ended(), events.Fixed(A, 1, "tell", 1, False)], True),
        ([*started(), events.FixStarted(A, 1, "tell", ("df",)), *ended(), events.FixFailed(A, 1, "tell", "x")], True),
    ],
)
def test_it_closes_when_all_jobs_and_remedies_are_at_rest(paper: Paper, scenes: list[Scene], is_over: bool) -> None:
    session = Recorded(*scenes)
    paper.run(session)
    assert (requests.Close() in session.asked) is is_over


@pytest.mark.parametrize("state", [State.READY, State.DONE, State.FAILED])
def test_until_ready_closes_once_all_are_up_or_over(paper: Paper, state: State) -> None:
    up = events.Became(A, 1, State.READY)
    session = Recorded(*started(), up, *started(B), events.Became(B, 1, state))
    paper.run(session, (A, B), until="ready")
    assert session.asked[1:] == [requests.Close()]
    session = Recorded(*started(), up, *started(B), events.Became(B, 1, State.RUNNING))
    paper.run(session, (A, B), until="ready")
    assert session.asked[1:] == []


LIFE: dict[str, tuple[list[Scene], str]] = {
    "done": ([*started(), *ended()], "✓ web/api  done          3.0 s"),
    "failed": (
        [*started(), Said("no such region\n"), Said("✗ failed\n", stream="zap"), *ended(State.FAILED, 4)],
        "✗ web/api  failed        5.0 s  exit 4\n             last words: no such region",
    ),
    "stopped": ([*started(), *ended(State.STOPPED, 143)], "■ web/api  stopped       3.0 s"),
    "never begun": ([], "■ web/api  stopped        0 ms"),
    "still there": ([*started(), events.Became(A, 1, State.RUNNING)], "? web/api  running       2.0 s"),
    "healed": (
        [*started(), events.Fixed(A, 1, "lock", 1, True), *started(epoch=2), *ended(epoch=2)],
        "✓ web/api  done          6.0 s  ↺ 1  🔧 lock",
    ),
    "healed twice": (
        [*started(), *[events.Fixed(A, 1, "lock", 1, True)] * 2, *ended()],
        "✓ web/api  done          5.0 s  🔧 lock × 2",
    ),
    "gave up": (
        [*started(), events.GaveUp(A, 1, "lock", "used up"), *ended(State.FAILED, 6)],
        "✗ web/api  failed        4.0 s  🔧 lock did not help  exit 6",
    ),
}


@pytest.mark.parametrize("life", LIFE)
def test_the_summary_says_how_it_went(paper: Paper, life: str) -> None:
    scenes, row = LIFE[life]
    paper.run(Recorded(*scenes))
    assert re.fullmatch(r"1 job in \d+ ms, exit code \d+", paper.summary[0])
    assert "\n".join(paper.summary[1:]).strip() == row


def test_the_summary_is_a_line_a_job_and_says_how_many(paper: Paper) -> None:
    paper.run(Recorded(*started(), *started(B), *ended(), *ended(State.FAILED, 4, B)), (A, B))
    assert paper.summary[0].startswith("2 jobs in ")
    assert [row.split()[:3] for row in paper.summary[1:]] == [["✓", A, "done"], ["✗", B, "failed"]]


def test_the_summary_as_json(paper: Paper) -> None:
    heal: list[Fact] = [events.Fixed(A, 1, "lock", 1, True), events.GaveUp(A, 1, "key", "used up")]
    paper.run(Recorded(*started(), Said("no\n"), *heal, *ended(State.FAILED, 4)), is_json=True)
    told = paper.told[-1]
    assert told | {"seconds": 0} == {
        "event": "summary",
        "code": 4,
        "seconds": 0,
        "jobs": [
            {
                "job": A,
                "outcome": "failed",
                "seconds": 6.0,
                "restarts": 0,
                "status": {"code": 4},
                "why": "exit 4",
                "last_words": "no",
                "fixups": ["lock"],
                "gave_up": ["key"],
            }
        ],
    }


@pytest.mark.parametrize(
    ("scenes", "code"),
    [
        ([*started(), *started(B), *ended(), *ended(job=B)], 0),
        ([*started(), *started(B), *ended(State.FAILED, 4, B), *ended(State.FAILED, 7)], 4),
        ([*started(), *started(B), *ended(State.FAILED, 0), *ended(job=B)], 1),
        ([*started(), events.Became(A, 1, State.FAILED, "no", exit=Status(signal="KILL"))], 137),
        ([*started(), events.NotSpawned(A, 1, "no"), events.Became(A, 1, State.FAILED, "no")], 127),
        ([*started(), *ended(State.STOPPED, 143)], 0),
    ],
)
def test_the_exit_code_is_that_of_the_first_job_that_failed(paper: Paper, scenes: list[Scene], code: int) -> None:
    assert paper.run(Recorded(*scenes), (A, B)) == code


# Signals.


def comes(number: int) -> Until:
    def happens() -> bool:
        signal.raise_signal(number)
        return True

    return happens


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_closes_and_a_second_one_hurries(paper: Paper, number: int, code: int) -> None:
    session = Recorded()
    session.scenes = (
        *started(),
        comes(number),
        session.is_asked(requests.Close()),
        comes(signal.SIGTERM),
        session.is_asked(requests.Close(is_hurried=True)),
        *ended(State.STOPPED, 143),
    )
    assert paper.run(session) == code
    assert session.asked == [requests.Start((A,)), requests.Close(), requests.Close(is_hurried=True)]


def test_a_signal_that_came_before_the_loop_is_heard_after_the_start(paper: Paper) -> None:
    session = Recorded(*started(), *ended(State.STOPPED))
    assert paper.run(session, caught=(signal.SIGINT,)) == 130
    assert session.asked == [requests.Start((A,)), requests.Close()]


def test_signals_are_given_back_afterwards(paper: Paper) -> None:
    paper.run(Recorded(*started(), *ended()))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Where it is written.


def test_when_nobody_reads_on_it_asks_to_close_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    session = Recorded()

    def scenes() -> Iterator[Scene]:
        yield from started()
        while requests.Close() not in session.asked:
            yield Said("into the void\n")
            yield lambda: True
        yield from [Said("still\n")] * 9
        yield from ended(State.STOPPED)

    session.scenes = scenes()
    try:
        code = asyncio.run(headless.run(session, Options((A,)), writing))
    finally:
        os.close(writing)
    assert code == 128 + signal.SIGPIPE
    assert session.asked == [requests.Start((A,)), requests.Close()]


class TwoTails(Recorded):
    """Tells when somebody asks once more while whoever asked before still writes."""

    def __init__(self, *scenes: Scene) -> None:
        super().__init__(*scenes)
        self.asks = 0
        self.is_asked_twice = threading.Event()

    async def tail(self, *arguments: Any, **more: Any) -> Tail:
        self.asks += 1
        if self.asks == 2:
            asyncio.get_running_loop().call_later(0.1, self.is_asked_twice.set)  # by then that one writes, too
        return await super().tail(*arguments, **more)


@pytest.mark.timeout(60)
def test_two_who_wait_for_a_reader_both_go_on_when_he_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of a job, and the prompt that has stood behind them for a while."""
    monkeypatch.setattr(headless, "BACKLOG_MOST", 1000)
    session = TwoTails(*started(), Said("x" * 200_000 + "\nwell? "), *ended())
    reading, writing = os.pipe()
    read = bytearray()

    def read_all() -> None:
        session.is_asked_twice.wait(PATIENCE)
        while data := os.read(reading, 65536):
            read.extend(data)

    reader = threading.Thread(target=read_all)
    reader.start()
    try:
        asyncio.run(asyncio.wait_for(headless.run(session, Options((A,)), writing), PATIENCE))
    finally:
        os.close(writing)
        reader.join()
        os.close(reading)
    assert session.is_asked_twice.is_set()
    assert b"well?" in read


class Terminal:
    """A terminal, and what is written to it."""

    def __init__(self) -> None:
        self._ours, self.fd = pty.openpty()
        self._written = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: all other ends are closed, and everything was read
            while data := os.read(self._ours, 65536):
                self._written += data

    def run(self, session: Session, caught: tuple[int, ...] = (), **options: Any) -> str:
        """All that was written in the end."""
        asyncio.run(headless.run(session, Options((A,), is_terminal=True, **options), self.fd, caught))
        os.close(self.fd)
        self._thread.join()
        os.close(self._ours)
        return self._written.decode()

    def shows(self, text: str) -> Until:
        return lambda: text.encode() in self._written


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Whoever says nothing for a moment is silent."""
    monkeypatch.setattr(headless, "SILENCE", 0.0)
    monkeypatch.setattr(headless, "STATUS_EVERY", 0.01)
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


RUNNING = (*started(), events.Became(A, 1, State.RUNNING), events.CommandStarted(A, 1, 1, "one\nmore"))


def test_in_silence_a_terminal_shows_what_goes_on_and_then_the_lines_alone(terminal: Terminal) -> None:
    doing = terminal.shows(" · web/api running 1/2 one … for ")
    written = terminal.run(Recorded(*RUNNING, doing, Said("hello\n"), *ended()))
    left = [line.rpartition(headless.CLEAR)[2] for line in written.split("\r\n")]
    assert left[:2] == ["web/api │ hello", ""]
    assert left[2].startswith("1 job in ") and left[3].startswith("  ✓ web/api") and left[4:] == [""]


def test_a_status_is_never_wider_than_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    written = terminal.run(Recorded(*RUNNING, terminal.shows("…"), *ended()))
    statuses = [part for part in written.split(headless.CLEAR) if part.endswith("…")]
    assert statuses and all(len(status) < 30 for status in statuses)


def test_after_a_signal_the_status_says_what_a_second_one_does(terminal: Terminal) -> None:
    hint = terminal.shows("Ctrl+C again does not wait")
    assert "exit code 130" in terminal.run(Recorded(*RUNNING, hint, *ended(State.STOPPED)), (signal.SIGINT,))


@pytest.mark.parametrize("options", [{"is_quiet": True}, {"is_json": True}])
def test_without_lines_for_a_person_there_is_no_status(terminal: Terminal, options: dict[str, Any]) -> None:
    turns = iter(range(20))  # of 5 ms, in which others have shown a status ten times
    written = terminal.run(Recorded(*RUNNING, lambda: next(turns, None) is None, *ended()), **options)
    assert A in written
    assert "\x1b" not in written
