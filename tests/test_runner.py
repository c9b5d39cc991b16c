"""The runner as a session, in this process: what is asked of it, what it tells, and that the two fit together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.programs import FLOODS, IGNORES_TERM
from tests.zap import DEADLINE, is_alive, wait_until
from zap import __version__, bus, events, nursery, requests
from zap.board import Board
from zap.errors import ZapError
from zap.events import LOG, Event, Fact, Row, State, Status
from zap.healer import Heal
from zap.plan import Answer, Backoff, Bound, Command, Fixup, Job, Match, Plan, Secret, System
from zap.remarks import remark
from zap.requests import JobRequest
from zap.runner import LOG_BOUND, TYPE_MOST, Runner

J = "s/j"
AT_ONCE = Backoff(first=0.01, jitter=0.0)
EVERYTHING = 10**9


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """A job of one shell that runs in a folder of the test's own; a pipe unless the test is about terminals."""

    def job(*commands: str, name: str = J, **settings: Any) -> Job:
        chosen: dict[str, Any] = {"tty": False, "backoff": AT_ONCE} | settings
        return Job(name, name, tuple(map(Command, commands)), str(tmp_path), **chosen)

    return job


@asynccontextmanager
async def running(*jobs: Job, fixups: tuple[Fixup, ...] = (), heal: Heal = "auto") -> AsyncIterator[Runner]:
    """A runner of these jobs, closed whatever happens; a task of the loop that raises fails the test."""
    bugs: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    plan = Plan("/jobs.yaml", "id", (System("s", jobs),), fixups)
    runner = Runner(plan, nursery.world(plan), heal=heal)
    try:
        async with asyncio.timeout(DEADLINE):
            yield runner
    finally:
        await runner.close()
    assert not bugs, bugs


async def told(runner: Runner, is_last: Callable[[Fact], object]) -> list[Fact]:
    """Everything that has happened, up to the first fact of which this is so."""
    facts = []
    async for event in runner.watch():
        facts.append(event.fact)
        if is_last(event.fact):
            break
    return facts


def of(kind: type, facts: list[Fact]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


def is_at_rest(fact: Fact) -> bool:
    return isinstance(fact, events.Became) and fact.state.is_rest


def became(state: State) -> Callable[[Fact], bool]:
    return lambda fact: isinstance(fact, events.Became) and fact.state is state


async def texts(runner: Runner, stream: str = "out", job: str = J) -> list[str]:
    lines = (await runner.tail(job, 0, EVERYTHING)).lines
    return [line.text.decode(errors="replace") for line in lines if line.stream == stream]


async def heard(runner: Runner, text: str, job: str = J) -> None:
    """Once the job has said this line."""
    async for _ in runner.watch():
        if text in await texts(runner, job=job):
            return


async def attach(runner: Runner) -> tuple[dict[str, Row], int]:
    """How every job is, as somebody is told who attaches, and as of which event."""
    board, watch = Board(()), runner.watch(None)
    for _ in (await runner.plan()).jobs:
        event = await anext(watch)
        board.apply(event)
    return board.rows, event.n


async def row(runner: Runner) -> Row:
    return (await attach(runner))[0][J]


def nth(kind: type, times: int) -> Callable[[Fact], bool]:
    """Whether a fact is the so manieth of its kind."""
    before = iter(range(times - 1))
    return lambda fact: isinstance(fact, kind) and next(before, None) is None


def test_what_is_asked_happens_and_what_was_said_can_be_fetched(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("echo one; echo two >&2", "printf three")) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, is_at_rest)
            assert [type(fact).__name__ for fact in facts if not isinstance(fact, events.Output)] == [
                "Opened",
                "Became",
                "Spawned",
                "Became",
                *["CommandStarted", "CommandEnded"] * 2,
                "Exited",
                "Became",
            ]
            assert [fact.state for fact in of(events.Became, facts)] == ["starting", "running", "done"]
            assert await texts(runner) == ["one", "three"]
            assert await texts(runner, "err") == ["two"]
            assert (await runner.plan()).jobs[0].name == J

    asyncio.run(run())


@pytest.mark.parametrize(
    "request_",
    [
        requests.Start((J, "s/k")),
        requests.Stop((J, "s/k")),
        requests.Restart((J, "s/k")),
        requests.Signal((J, "s/k"), "HUP"),
        requests.Send((J, "s/k"), "hello"),
        requests.Fix((J, "s/k")),
        requests.Resize((J, "s/k"), 24, 80),
        requests.Clear((J, "s/k")),
    ],
    ids=lambda request: type(request).__name__,
)
def test_an_unknown_job_is_the_users_mistake_and_nothing_happens(job: Callable[..., Job], request_: JobRequest) -> None:
    async def run() -> None:
        async with running(job("echo")) as runner:
            with pytest.raises(ZapError, match="there is no job s/k"):
                await runner.ask(request_)
            with pytest.raises(ZapError, match="there is no job s/k"):
                await runner.tail("s/k")
            await runner.ask(requests.Close())
            facts = await told(runner, lambda fact: isinstance(fact, events.Closed))
            assert [fact for fact in facts if not isinstance(fact, events.Output)] == [facts[0], events.Closed()]
            assert isinstance(facts[0], events.Opened)

    asyncio.run(run())


def test_who_is_ending_takes_no_more_requests(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("sleep 1000")) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.RUNNING))
            await runner.ask(requests.Close())
            with pytest.raises(ZapError, match="ending"):
                await runner.ask(requests.Start((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Closed))
            assert facts[-1] == events.Closed(0)

    asyncio.run(run())


def test_two_watchers_see_the_same(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("seq 1000", "exit 3", restart="on-failure", tries=5)) as runner:

            async def watch() -> list[Event]:
                return [event async for event in runner.watch()]

            early = asyncio.create_task(watch())
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.FAILED))
            late = asyncio.create_task(watch())
            await runner.ask(requests.Close())
            first, second = map(without_pointers, (await early, await late))
            assert first == second
            assert [event.n for event in await early] == sorted({event.n for event in await early})
            assert of(events.Output, [event.fact for event in await early])

    asyncio.run(run())


def test_a_slow_watcher_is_told_how_much_it_skipped_and_how_things_are(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "KEPT", 50)

    async def run() -> None:
        async with running(job(*[":"] * 100)) as runner:
            watch = runner.watch()
            seen = [await anext(watch)]
            await runner.ask(requests.Start((J,)))
            await asyncio.create_task(_until_rest(runner))
            await runner.ask(requests.Close())
            seen += [event async for event in watch]
            skipped = of(events.Skipped, [event.fact for event in seen])
            assert len(skipped) == 1
            at = next(place for place, event in enumerate(seen) if isinstance(event.fact, events.Skipped))
            assert seen[at].n == seen[at - 1].n + skipped[0].events
            now = next(place for place, event in enumerate(seen) if isinstance(event.fact, events.Restated))
            assert [type(event.fact) for event in seen[at + 1 : now]].count(events.CommandEnded) == 24  # of the last 50
            assert now > at
            (restated,) = of(events.Restated, [event.fact for event in seen])
            assert (restated.row.state, restated.row.exit) == (State.DONE, Status(code=0))
            numbers = [event.n for event in seen]
            assert numbers == sorted(numbers)
            assert isinstance(seen[-1].fact, events.Closed)

    asyncio.run(run())


def without_pointers(seen: list[Event]) -> list[Event]:
    return [event for event in seen if not isinstance(event.fact, events.Output)]


async def _until_rest(runner: Runner) -> None:
    """Watched from the newest event on, always in time."""
    async for event in runner.watch():
        if is_at_rest(event.fact):
            return


@pytest.mark.parametrize("bound", [Bound(1000, EVERYTHING), Bound(EVERYTHING, 64 * 1024), Bound(1, 1)])
@pytest.mark.parametrize("tty", [False, True], ids=["pipe", "terminal"])
def test_what_was_produced_is_what_is_kept_and_what_was_dropped(
    job: Callable[..., Job], bound: Bound, tty: bool
) -> None:
    count = 100_000

    async def run() -> None:
        async with running(job(f"seq {count}", buffer=bound, tty=tty)) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, is_at_rest)
            await asyncio.sleep(0)  # what became of it is also a remark, which is pointed at a turn later
            tail = await runner.tail(J, 0, EVERYTHING)
            remarks = [fact for fact in facts if remark(fact)]
            assert tail.next == count + len(remarks)
            assert len(tail.lines) + tail.dropped == tail.next
            assert [line.number for line in tail.lines] == list(range(tail.dropped + 1, tail.next + 1))
            kept = [int(line.text) for line in tail.lines if line.stream == "out"]
            assert kept == list(range(count - len(kept) + 1, count + 1))

    asyncio.run(run())


def test_who_goes_on_from_what_he_has_at_each_pointer_has_every_line_once(
    job: Callable[..., Job], tmp_path: Path
) -> None:
    """However much there is: they are pointers, and there are far fewer of them than of lines."""
    everything = Bound(EVERYTHING, EVERYTHING)

    async def run() -> None:
        closes = "printf open; while [ ! -e seen ]; do sleep 0.01; done; echo closed"
        says = job("seq 50000; echo bad >&2", closes, buffer=everything)
        async with running(says) as runner:
            await runner.ask(requests.Start((J,)))
            lines: list[events.Line] = []
            outputs: list[events.Output] = []
            async for event in runner.watch():
                if isinstance(event.fact, events.Output) and event.fact.job == J:
                    outputs.append(event.fact)
                    if event.fact.is_open:
                        (tmp_path / "seen").touch()
                    tail = await runner.tail(J, lines[-1].number if lines else 0, EVERYTHING)
                    lines += [line for line in tail.lines if not line.is_open]
                    is_done = bool(lines) and lines[-1].text == b"\xe2\x9c\x93 done"
                    if is_done and event.fact.last == lines[-1].number:  # a line may be there before its pointer
                        break
            assert [line.number for line in lines] == list(range(1, len(lines) + 1))
            said = [line.text for line in lines if line.stream == "out"]
            assert said == [*(b"%d" % number for number in range(1, 50_001)), b"openclosed"]
            assert [fact.last for fact in outputs] == sorted(fact.last for fact in outputs)
            assert (outputs[-1].last, outputs[-1].errors) == (len(lines), 1)
            assert not outputs[-1].is_open
            assert len(outputs) < 5000

    asyncio.run(run())


def test_at_the_exit_all_that_was_said_can_be_fetched_and_commands_have_ended(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("echo one", "printf two; exit 4")) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Exited))
            before = [type(fact) for fact in facts[:-1]]
            assert await texts(runner) == ["one", "two"]
            assert before.index(events.CommandStarted) < before.index(events.CommandEnded)
            ended = of(events.CommandEnded, facts)
            assert [(fact.command, fact.status) for fact in ended] == [(1, Status(code=0)), (2, Status(code=4))]
            assert facts[-1].status == Status(code=4)  # type: ignore[union-attr]

    asyncio.run(run())


def test_stopped_before_it_was_started_it_never_lives(job: Callable[..., Job], tmp_path: Path) -> None:
    async def run() -> None:
        async with running(job("touch lived")) as runner:
            await runner.ask(requests.Start((J,)))
            await runner.ask(requests.Stop((J,)))
            facts = await told(runner, is_at_rest)
            assert [fact.state for fact in of(events.Became, facts)] == ["starting", "stopped"]
            assert not of(events.Spawned, facts)

    asyncio.run(run())
    assert not (tmp_path / "lived").exists()


def test_stopped_and_started_again_before_it_was_started_it_lives_once(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("sleep 1000")) as runner:
            for request in (requests.Start, requests.Stop, requests.Start, requests.Stop, requests.Start):
                await runner.ask(request((J,)))
            facts = await told(runner, became(State.RUNNING))
            assert len(of(events.Spawned, facts)) == 1

    asyncio.run(run())


def test_stopped_while_its_secret_is_fetched_it_never_lives(job: Callable[..., Job], tmp_path: Path) -> None:
    wait = "while [ ! -e go ]; do sleep 0.01; done; echo hush"

    async def run() -> None:
        asking = job("touch lived", answers=(Answer("never asked", secret=Secret("command", wait)),))
        async with running(asking) as runner:
            await runner.ask(requests.Start((J,)))
            await asyncio.sleep(0)
            await runner.ask(requests.Stop((J,)))
            facts = await told(runner, is_at_rest)
            assert not of(events.Spawned, facts)
            (tmp_path / "go").touch()

    asyncio.run(run())
    assert not (tmp_path / "lived").exists()


def test_a_restart_begins_when_all_of_the_old_run_has_ended(job: Callable[..., Job]) -> None:
    async def run() -> None:
        stubborn = f"(trap '' TERM; sleep 1000) & {IGNORES_TERM}"
        async with running(job(stubborn, grace=0.05)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "ready")
            await runner.ask(requests.Restart((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            first, second = of(events.Spawned, facts)
            assert not is_alive(first.pid)
            assert is_alive(second.pid)
            assert [fact.signal for fact in of(events.Signalled, facts)] == ["TERM", "KILL"]
            assert [(fact.epoch, fact.status) for fact in of(events.Exited, facts)] == [(1, Status(signal="KILL"))]

    asyncio.run(run())


def test_a_restart_during_the_stop_is_not_forgotten(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(IGNORES_TERM, grace=0.05)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "ready")
            await runner.ask(requests.Stop((J,)))
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            assert "stopped" not in [fact.state for fact in of(events.Became, facts)]

    asyncio.run(run())


def test_the_exit_that_is_shown_belongs_to_the_last_run_that_ended(job: Callable[..., Job]) -> None:
    """Four runs that end with 1, 2, 3 and 4; while one lives, nothing is shown of the one before."""
    counts = "echo >>runs; exit $(wc -l <runs)"

    async def run() -> None:
        async with running(job(counts, restart="on-failure", tries=4)) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, became(State.FAILED))
            shown = [(fact.state, fact.epoch, fact.exit) for fact in of(events.Became, facts)]
            for state, epoch, exit in shown:
                if state is State.RUNNING:
                    assert exit is None
                elif state in (State.BACKOFF, State.FAILED):
                    assert exit == Status(code=epoch)
            assert [state for state, _, _ in shown].count(State.BACKOFF) == 3

    asyncio.run(run())


def test_a_job_that_floods_can_be_stopped(job: Callable[..., Job]) -> None:
    async def run() -> None:
        floods = [job(FLOODS, name=f"s/{number}", tty=number % 2 == 0) for number in range(4)]
        async with running(*floods) as runner:
            names = tuple(one.name for one in floods)
            await runner.ask(requests.Start(names))
            await told(runner, lambda fact: isinstance(fact, events.Output) and fact.last > 100_000)
            await runner.ask(requests.Stop(names))
            ended = set()
            async for event in runner.watch():
                if is_at_rest(event.fact):
                    ended.add(event.fact.job)  # type: ignore[union-attr]
                if ended == set(names):
                    break

    asyncio.run(run())


HEALS = Fixup("heals", "it is broken", (Match(pattern="it is broken"),), run=("touch healed",), mode="auto")


def test_a_fixup_is_not_called_by_a_line_of_the_run_before(job: Callable[..., Job]) -> None:
    """The old line is still in the buffer, and its unfinished half does not become whole with the next run's."""
    broken = "[ -e healed ] || { echo it is broken; printf 'it is '; exit 1; }; echo broken; echo well; sleep 1000"

    async def run() -> None:
        async with running(job(broken, fixups=("heals",)), fixups=(HEALS,)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "well")
            await runner.ask(requests.Restart((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 3)
            assert len(of(events.Matched, facts)) == len(of(events.Fixed, facts)) == 1
            assert (await texts(runner))[:4] == ["it is broken", "it is ", "broken", "well"]

    asyncio.run(run())


@pytest.mark.parametrize("restarts", [False, True], ids=["stop", "restart"])
def test_what_a_person_ends_is_not_healed(job: Callable[..., Job], tmp_path: Path, restarts: bool) -> None:
    dying = "trap 'echo it is broken; exit 1' TERM; echo up; while :; do sleep 0.01; done"

    async def run() -> None:
        async with running(job(dying, fixups=("heals",)), fixups=(HEALS,)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            await runner.ask((requests.Restart if restarts else requests.Stop)((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Exited))
            await runner.ask(requests.Stop((J,)))
            facts = await told(runner, became(State.STOPPED))
            assert "it is broken" in await texts(runner)
            assert not of(events.Matched, facts)

    asyncio.run(run())
    assert not (tmp_path / "healed").exists()


def test_stopped_during_a_remedy_the_remedy_ends_and_nothing_starts(job: Callable[..., Job], tmp_path: Path) -> None:
    slow = HEALS._replace(run=("echo $$ >remedy; sleep 1000",))

    async def run() -> None:
        async with running(job("echo it is broken; exit 1", fixups=("heals",)), fixups=(slow,)) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, lambda fact: isinstance(fact, events.FixStarted))
            remedy = tmp_path / "remedy"
            await asyncio.to_thread(wait_until, lambda: remedy.exists() and remedy.read_text(), "the remedy to begin")
            await runner.ask(requests.Stop((J,)))
            facts = await told(runner, became(State.STOPPED))
            assert len(of(events.Spawned, facts)) == 1
            assert of(events.FixFailed, facts)
            assert not is_alive(int(remedy.read_text()))

    asyncio.run(run())


def test_a_restart_is_no_failure_that_an_exit_calls_a_fixup_for(job: Callable[..., Job], tmp_path: Path) -> None:
    """However it exits when it is asked to: that a person wants."""
    on_exit = HEALS._replace(match=(Match(exit=(7,)),))
    dying = "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"

    async def run() -> None:
        async with running(job(dying, fixups=("heals",)), fixups=(on_exit,)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            await runner.ask(requests.Restart((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            assert of(events.Exited, facts)[0].status == Status(code=7)
            assert not of(events.Matched, facts)

    asyncio.run(run())
    assert not (tmp_path / "healed").exists()


def test_however_many_end_at_once_it_sees_them_all_end(
    job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the runner itself may be a slow reader of what it tells."""
    monkeypatch.setattr(bus, "KEPT", 1)

    async def run() -> None:
        jobs = [job(f"touch {number}; sleep 1000", name=f"s/{number}") for number in range(10)]
        async with running(*jobs) as runner:
            await runner.ask(requests.Start(tuple(job.name for job in jobs)))
            await asyncio.to_thread(wait_until, lambda: len(list(tmp_path.iterdir())) == 10, "all of them to live")
            await runner.ask(requests.Close())
            assert await told(runner, lambda fact: isinstance(fact, events.Closed))

    asyncio.run(run())


# Signals.

TELLS_SIGNALS = "trap 'echo got USR1' USR1; echo up; while :; do sleep 0.01; done"


def test_a_signal_reaches_the_job(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(TELLS_SIGNALS)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            await runner.ask(requests.Signal((J,), "USR1"))
            await heard(runner, "got USR1")
            facts = await told(runner, lambda fact: isinstance(fact, events.Signalled))
            assert facts[-1] == events.Signalled(J, 1, "USR1")
            assert (await row(runner)).state in (State.RUNNING, State.READY)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["HUPP", "", "SIGHUP", "hup", "9", "_BLOCK", "\x1b[2J", "x" * 1000])
def test_a_signal_that_is_none_is_told(job: Callable[..., Job], name: str) -> None:
    async def run() -> None:
        async with running(job("sleep 1000")) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.RUNNING))
            with pytest.raises(ZapError, match=r"^there is no signal .{0,30}; signals are named without SIG"):
                await runner.ask(requests.Signal((J,), name))

    asyncio.run(run())


def test_where_nobody_lives_there_is_nobody_to_signal_or_to_type_to(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(":", tty=True)) as runner:
            for state, wish in ((State.STOPPED, None), (State.DONE, requests.Start((J,)))):
                if wish:
                    await runner.ask(wish)
                    await told(runner, became(state))
                with pytest.raises(ZapError, match=f"s/j is {state}: there is nobody to signal"):
                    await runner.ask(requests.Signal((J,), "HUP"))
                with pytest.raises(ZapError, match=f"s/j is {state}: there is nobody to type to"):
                    await runner.ask(requests.Send((J,), "hello\n"))

    asyncio.run(run())


def test_what_cannot_be_done_for_one_job_is_done_for_the_others(job: Callable[..., Job]) -> None:
    jobs = [job(TELLS_SIGNALS, name=name) for name in ("s/off", J, "s/gone")]

    async def run() -> None:
        async with running(*jobs) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            with pytest.raises(ZapError) as raised:
                await runner.ask(requests.Signal(("s/off", J, "s/gone"), "USR1"))
            assert str(raised.value).splitlines() == [
                "s/off is stopped: there is nobody to signal",
                "s/gone is stopped: there is nobody to signal",
            ]
            await heard(runner, "got USR1")

    asyncio.run(run())


# Typing.

READS = "echo up; read -r word; echo got $word; read -r word; echo then $word; sleep 1000"
BY_TERMINAL_AND_PIPE = pytest.mark.parametrize(
    "settings", [{"tty": True}, {"answers": (Answer("never asked", reply=""),)}], ids=["terminal", "pipe"]
)


@BY_TERMINAL_AND_PIPE
def test_what_is_sent_arrives_as_it_is(job: Callable[..., Job], settings: dict[str, Any]) -> None:
    async def run() -> None:
        async with running(job(READS, **settings)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            for part in ("hel", "lo\n"):
                await runner.ask(requests.Send((J,), part))
            await heard(runner, "got hello")
            await runner.ask(requests.Send((J,), "world\n"))
            await heard(runner, "then world")

    asyncio.run(run())


@BY_TERMINAL_AND_PIPE
def test_bytes_that_are_no_text_are_sent_as_they_are(job: Callable[..., Job], settings: dict[str, Any]) -> None:
    async def run() -> None:
        async with running(job('echo up; read -r word; printf %s "$word" | od -An -tx1', **settings)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            await runner.ask(requests.Send((J,), "\udcff\udc80é\n"))
            await heard(runner, " ff 80 c3 a9")

    asyncio.run(run())


def test_a_key_that_interrupts_interrupts(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("echo up; exec sleep 1000", tty=True)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            await runner.ask(requests.Send((J,), "\x03"))
            facts = await told(runner, lambda fact: isinstance(fact, events.Exited))
            assert facts[-1].status == Status(signal="INT")  # type: ignore[union-attr]

    asyncio.run(run())


def test_a_job_without_an_input_cannot_be_typed_to_and_says_why(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("sleep 1000")) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.RUNNING))
            with pytest.raises(ZapError, match="s/j has no input, because of its setting `tty: false`"):
                await runner.ask(requests.Send((J,), "hello\n"))

    asyncio.run(run())


def test_what_is_no_text_at_all_is_not_sent(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(READS, tty=True)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            with pytest.raises(ZapError, match="this is not text"):
                await runner.ask(requests.Send((J,), "\ud800\n"))
            await runner.ask(requests.Send((J,), "hello\n"))
            await heard(runner, "got hello")

    asyncio.run(run())


CHUNK = "0123456\n" * 8192


@BY_TERMINAL_AND_PIPE
def test_who_does_not_read_is_typed_to_no_more_than_can_wait(job: Callable[..., Job], settings: dict[str, Any]) -> None:
    async def run() -> None:
        async with running(job("echo up; exec sleep 1000", **settings)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            sent = 0
            with pytest.raises(ZapError, match="s/j does not read what is typed to it"):
                while True:
                    await runner.ask(requests.Send((J,), CHUNK))
                    sent += len(CHUNK)
                    assert sent < 4 * TYPE_MOST
            assert sent > TYPE_MOST - len(CHUNK)
            await runner.ask(requests.Stop((J,)))
            await told(runner, became(State.STOPPED))

    asyncio.run(run())


def test_who_reads_late_reads_all_of_it_in_order(job: Callable[..., Job], tmp_path: Path) -> None:
    chunks = [CHUNK.replace("0", str(number)) for number in range(5)]
    reads = f"echo up; while [ ! -e go ]; do sleep 0.01; done; head -c {5 * len(CHUNK)} >read"
    answers = (Answer("never asked", reply=""),)

    async def run() -> None:
        async with running(job(reads, answers=answers)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            for chunk in chunks:
                await runner.ask(requests.Send((J,), chunk))
            (tmp_path / "go").touch()
            await told(runner, became(State.DONE))

    asyncio.run(run())
    assert (tmp_path / "read").read_text() == "".join(chunks)


def test_what_one_child_did_not_read_is_not_typed_into_the_next(job: Callable[..., Job]) -> None:
    """It may be a password, and another program."""
    twice = f"[ -e again ] || {{ touch again; echo up; exec sleep 1000; }}; {READS}"
    answers = (Answer("never asked", reply=""),)

    async def run() -> None:
        async with running(job(twice, answers=answers)) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            for _ in range(5):
                await runner.ask(requests.Send((J,), CHUNK))
            await runner.ask(requests.Restart((J,)))
            await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            await runner.ask(requests.Send((J,), "new\n"))
            await told(runner, lambda fact: isinstance(fact, events.CommandStarted) and fact.epoch == 2)
            async for _ in runner.watch():
                if any(text.startswith("got") for text in await texts(runner)):
                    break
            assert "got new" in await texts(runner)

    asyncio.run(run())


# Fixing by hand.

ASKS = HEALS._replace(mode="ask")
NAMES = Fixup("unlocks", "it is locked", (Match(r'file "(?P<file>[^"]+)" is locked'),), run=("touch -- ./{file}",))
TELLS = Fixup("tells", "tells", (Match("never said"),), run=("touch told",), then="continue")
WELL = "[ -e healed ] && { echo well; exec sleep 1000; }"


def is_fixed(fact: Fact) -> bool:
    return isinstance(fact, events.Fixed)


@pytest.mark.parametrize("name", [None, "heals"])
def test_what_wants_approval_runs_when_it_is_given_and_the_job_goes_on(
    job: Callable[..., Job], name: str | None
) -> None:
    async def run() -> None:
        async with running(job(f"{WELL}; echo it is broken; exit 1", fixups=("heals",)), fixups=(ASKS,)) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, became(State.FAILED))
            (proposed,) = of(events.Proposed, facts)
            assert (await row(runner)).asking == (proposed,)
            await runner.ask(requests.Fix((J,), name))
            await heard(runner, "well")
            facts = await told(runner, is_fixed)
            (matched, approved) = of(events.Matched, facts)
            assert approved == matched  # by the same line
            assert of(events.FixStarted, facts)[0].commands == proposed.commands
            assert (await row(runner)).asking == ()
            assert (await row(runner)).fixups == ("heals",)

    asyncio.run(run())


def test_it_keeps_asking_when_it_was_stopped_before_the_remedy_ran(job: Callable[..., Job], tmp_path: Path) -> None:
    asks = f"{WELL}; echo it is broken; exec sleep 1000"

    async def run() -> None:
        async with running(job(asks, fixups=("heals",)), fixups=(ASKS,)) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, lambda fact: isinstance(fact, events.Proposed))
            await runner.ask(requests.Fix((J,)))
            await runner.ask(requests.Stop((J,)))
            await told(runner, became(State.STOPPED))
            assert not (tmp_path / "healed").exists()
            assert [proposed.fixup for proposed in (await row(runner)).asking] == ["heals"]
            await runner.ask(requests.Fix((J,)))
            await heard(runner, "well")

    asyncio.run(run())


def test_what_was_approved_is_asked_for_no_more(job: Callable[..., Job]) -> None:
    beside = TELLS._replace(mode="ask", match=HEALS.match)

    async def run() -> None:
        async with running(job("echo it is broken; sleep 1000", fixups=("tells",)), fixups=(beside,)) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, lambda fact: isinstance(fact, events.Proposed))
            await runner.ask(requests.Fix((J,)))
            await told(runner, is_fixed)
            assert (await row(runner)).asking == ()
            with pytest.raises(ZapError, match="no fixup wants approval for s/j; name one of its own: tells"):
                await runner.ask(requests.Fix((J,)))

    asyncio.run(run())


def test_what_the_last_run_asked_for_is_over_with_the_next(job: Callable[..., Job]) -> None:
    once = "[ -e again ] || { touch again; echo it is broken; exit 1; }; exec sleep 1000"

    async def run() -> None:
        async with running(job(once, fixups=("heals",)), fixups=(ASKS,)) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.FAILED))
            assert (await row(runner)).asking
            await runner.ask(requests.Start((J,)))
            await told(runner, nth(events.Spawned, 2))
            assert (await row(runner)).asking == ()
            with pytest.raises(ZapError, match="no fixup wants approval"):
                await runner.ask(requests.Fix((J,)))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("commands", "until"),
    [("exec sleep 1000", State.RUNNING), ("exit 1", State.FAILED), ("exit 0", State.DONE), ("exec sleep 1000", None)],
    ids=["running", "failed", "done", "stopped"],
)
def test_a_fixup_that_is_named_runs_with_what_an_old_line_says(
    job: Callable[..., Job], tmp_path: Path, commands: str, until: State | None
) -> None:
    """Whatever state the job is in: one that lives is ended first, and when the remedy has run it is started."""
    says = """echo 'file "old" is locked'; echo 'file "it'"'"'s; new" is locked' >&2; echo up; """

    async def run() -> None:
        async with running(job(says + commands, fixups=("unlocks",)), fixups=(NAMES,), heal="none") as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            if until is None:
                await runner.ask(requests.Stop((J,)))
            await told(runner, became(until or State.STOPPED))
            await runner.ask(requests.Fix((J,), "unlocks"))
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            (matched,) = of(events.Matched, facts)
            assert (matched.fixup, matched.about) == ("unlocks", "it is locked")
            lines = (await runner.tail(J, matched.line - 1, 1)).lines
            assert [(line.stream, line.text) for line in lines] == [("err", b'file "it\'s; new" is locked')]
            assert len(of(events.Exited, facts)) == len(of(events.Fixed, facts)) == 1
            assert facts.index(of(events.Exited, facts)[0]) < facts.index(of(events.FixStarted, facts)[0])
            assert (tmp_path / "it's; new").exists() and not (tmp_path / "old").exists()

    asyncio.run(run())


def test_a_job_that_never_ran_can_be_fixed_and_is_started_then(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(f"{WELL}; exit 1", fixups=("heals",)), fixups=(ASKS,)) as runner:
            await runner.ask(requests.Fix((J,), "heals"))
            await heard(runner, "well")
            facts = await told(runner, is_fixed)
            assert [fact.state for fact in of(events.Became, facts)] == ["fixing"]

    asyncio.run(run())


def test_a_remedy_beside_the_job_leaves_it_running(job: Callable[..., Job], tmp_path: Path) -> None:
    async def run() -> None:
        async with running(job("exec sleep 1000", fixups=("tells",)), fixups=(TELLS,)) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.RUNNING))
            for times in (1, 2):
                await runner.ask(requests.Fix((J,), "tells"))
                facts = await told(runner, nth(events.Fixed, times))
                assert not of(events.Exited, facts)
            assert (await row(runner)).fixups == ("tells", "tells")

    asyncio.run(run())
    assert (tmp_path / "told").exists()


def test_a_remedy_of_a_persons_that_fails_leaves_the_job_failed(job: Callable[..., Job]) -> None:
    fails = ASKS._replace(run=("exit 3",))

    async def run() -> None:
        async with running(job("exit 1", fixups=("heals",)), fixups=(fails,)) as runner:
            await runner.ask(requests.Fix((J,), "heals"))
            facts = await told(runner, became(State.FAILED))
            assert facts[-1].why == "fixup heals: run `exit 3`: exit 3"  # type: ignore[union-attr]
            assert not of(events.Spawned, facts)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fixup", "why"),
    [
        ("unlocks", r"^fixup unlocks cannot be run for s/j: {file} captured nothing$"),
        ("nonsense", r"^s/j has no fixup nonsense; it has heals, unlocks$"),
        ("tells", r"^s/j has no fixup tells; it has heals, unlocks$"),
        (None, r"^no fixup wants approval for s/j; name one of its own: heals, unlocks$"),
    ],
)
def test_what_cannot_be_fixed_is_told_and_nothing_runs(
    job: Callable[..., Job], tmp_path: Path, fixup: str | None, why: str
) -> None:
    async def run() -> None:
        fixups = (ASKS, NAMES, TELLS)
        async with running(job("echo up; sleep 1000", fixups=("heals", "unlocks")), fixups=fixups) as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, "up")
            with pytest.raises(ZapError, match=why):
                await runner.ask(requests.Fix((J,), fixup))
            now = await row(runner)
            assert now.state in (State.RUNNING, State.READY) and now.tasks == 0

    asyncio.run(run())


def test_a_capture_that_could_be_an_option_is_not_run(job: Callable[..., Job]) -> None:
    removes = NAMES._replace(run=("rm {file}",))

    async def run() -> None:
        says = job("""echo 'file "-rf" is locked'; sleep 1000""", fixups=("unlocks",))
        async with running(says, fixups=(removes,), heal="none") as runner:
            await runner.ask(requests.Start((J,)))
            await heard(runner, 'file "-rf" is locked')
            with pytest.raises(ZapError, match="could take for an option"):
                await runner.ask(requests.Fix((J,), "unlocks"))

    asyncio.run(run())


def test_who_is_just_being_started_or_fixed_is_left_in_peace(job: Callable[..., Job], tmp_path: Path) -> None:
    slow = ASKS._replace(run=("touch begun; while [ ! -e go ]; do sleep 0.01; done",))

    async def run() -> None:
        async with running(job("sleep 1000", fixups=("heals",)), fixups=(slow,)) as runner:
            await runner.ask(requests.Start((J,)))
            with pytest.raises(ZapError, match="s/j is starting: try again when it is not"):
                await runner.ask(requests.Fix((J,), "heals"))
            await told(runner, became(State.RUNNING))
            await runner.ask(requests.Fix((J,), "heals"))
            await told(runner, became(State.FIXING))
            with pytest.raises(ZapError, match="s/j is fixing: try again when it is not"):
                await runner.ask(requests.Fix((J,), "heals"))
            (tmp_path / "go").touch()
            facts = await told(runner, lambda fact: isinstance(fact, events.Spawned) and fact.epoch == 2)
            assert len(of(events.FixStarted, facts)) == 1

    asyncio.run(run())


# Its terminal, and what it said.


def test_a_terminal_is_as_large_as_somebody_looks_at_it(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("while :; do stty size; sleep 0.01; done", tty=True)) as runner:
            await runner.ask(requests.Resize((J,), 24, 100))  # for whoever comes
            await runner.ask(requests.Start((J,)))
            await heard(runner, "24 100")
            await runner.ask(requests.Resize((J,), 30, 90))
            await heard(runner, "30 90")
            for size in ((0, 80), (24, -1), (24, 10**9)):
                with pytest.raises(ZapError, match="a terminal has 1 to 10000 rows and columns"):
                    await runner.ask(requests.Resize((J,), *size))

    asyncio.run(run())


def test_a_pipe_has_no_size_and_no_error(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("sleep 1000")) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, became(State.RUNNING))
            await runner.ask(requests.Resize((J,), 24, 100))

    asyncio.run(run())


def test_what_is_cleared_is_gone_and_numbers_go_on(job: Callable[..., Job], tmp_path: Path) -> None:
    says = "echo one; echo two; printf half; while [ ! -e go ]; do sleep 0.01; done; echo ' three'; sleep 1000"

    async def run() -> None:
        async with running(job(says)) as runner:
            await runner.ask(requests.Start((J,)))
            async for _ in runner.watch():
                if "half" in await texts(runner):
                    break
            await runner.ask(requests.Clear((J,)))
            tail = await runner.tail(J)
            assert (tail.lines, tail.next, tail.dropped) == ((), 2, 2)
            (tmp_path / "go").touch()
            await heard(runner, " three")
            assert [line.number for line in (await runner.tail(J)).lines] == [3]
            facts = await told(runner, lambda fact: isinstance(fact, events.Output) and fact.last == 3)
            assert of(events.Cleared, facts) == [events.Cleared(J)]

    asyncio.run(run())


# zap's own log.


def test_what_is_noted_is_in_zaps_own_log_and_pointed_at(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(":")) as runner:
            await runner.ask(requests.Note("one\ntwo"))
            await runner.ask(requests.Note("\ud800"))
            tail = await runner.tail(LOG)
            opened, *noted = [(line.number, line.stream, line.text) for line in tail.lines]
            assert opened[2].startswith(f"zap {__version__} has opened /jobs.yaml, process ".encode())
            assert noted == [(2, "zap", b"one"), (3, "zap", b"two"), (4, "zap", b"?")]
            assert (await runner.tail(LOG, since=3)).lines == tail.lines[3:]
            facts = await told(runner, lambda fact: isinstance(fact, events.Output))
            assert facts[-1] == events.Output(LOG, 4, 4)

    asyncio.run(run())


def test_its_own_log_is_bounded(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job(":")) as runner:
            for number in range(LOG_BOUND.lines + 10):
                await runner.ask(requests.Note(str(number)))
            tail = await runner.tail(LOG, 0, EVERYTHING)
            assert (len(tail.lines), tail.dropped) == (LOG_BOUND.lines, 11)
            await runner.ask(requests.Note("x" * 4 * LOG_BOUND.bytes))
            tail = await runner.tail(LOG, 0, EVERYTHING)
            assert sum(len(line.text) for line in tail.lines) <= LOG_BOUND.bytes

    asyncio.run(run())


# Who attaches.


def test_who_attaches_is_first_told_how_each_job_is_in_the_plans_order(job: Callable[..., Job]) -> None:
    names = ("s/c", J, "s/a")

    async def run() -> None:
        async with running(*[job("echo up", name=name) for name in names]) as runner:
            await runner.ask(requests.Start((J,)))
            await told(runner, is_at_rest)
            watch = runner.watch(None)
            first = [(await anext(watch)).fact for _ in names]
            assert [type(fact) for fact in first] == [events.Restated] * 3
            assert [fact.job for fact in first] == list(names)  # type: ignore[union-attr]
            assert [fact.row.state for fact in first] == ["stopped", "done", "stopped"]  # type: ignore[union-attr]

    asyncio.run(run())


def test_what_is_restated_is_what_all_events_together_say(job: Callable[..., Job]) -> None:
    """Of jobs that have gone through much: restarts, remedies that help or do not, proposals, signals, floods."""
    fails = Fixup("fails", "never works", (Match(exit=(4,)),), run=("exit 1",), mode="auto", then="continue")
    jobs = (
        job("echo out; echo err >&2", "exit 3", name="s/flaky", restart="on-failure", tries=3),
        job("[ -e healed ] || { echo it is broken; exit 1; }", name="s/healed", fixups=("heals",)),
        job("echo it is broken; exit 4", name="s/asks", fixups=("asks", "fails")),
        job("seq 20000", "echo; kill -9 $$", name="s/floods"),
        job("sleep 1000", name="s/killed"),
        job("sleep 1000", name="s/lives"),
        job("true", name="s/missing")._replace(cwd="/no/such/folder"),
        job("true", name="s/never"),
    )
    fixups = (HEALS, ASKS._replace(name="asks"), fails)
    over = {"s/flaky", "s/healed", "s/asks", "s/floods", "s/killed", "s/missing"}

    async def run() -> None:
        async with running(*jobs, fixups=fixups) as runner:
            folded = Board((job.name, len(job.commands)) for job in jobs)
            await runner.ask(requests.Start(tuple(job.name for job in jobs[:-1])))
            is_signalled = False
            watch = runner.watch()
            async for event in watch:
                folded.apply(event)
                if folded.rows["s/killed"].state is State.RUNNING and not is_signalled:
                    is_signalled = True
                    await runner.ask(requests.Signal(("s/killed",), "KILL"))
                if all(folded.rows[name].epoch and folded.rows[name].is_at_rest for name in over):
                    break
            restated, at = await attach(runner)
            while event.n < at:  # no turn of the loop has passed: all of it is there
                event = await anext(watch)
                folded.apply(event)
            for name, now in restated.items():
                said = folded.rows[name]
                assert (said.lines, said.errors) <= (
                    now.lines,
                    now.errors,
                )  # what is not pointed at yet is known already
                assert said._replace(lines=now.lines, errors=now.errors) == now
            assert {name: restated[name].state for name in sorted(over)} == {
                "s/asks": State.FAILED,
                "s/flaky": State.FAILED,
                "s/floods": State.FAILED,
                "s/healed": State.DONE,
                "s/killed": State.FAILED,
                "s/missing": State.FAILED,
            }
            assert [ran.epoch for ran in restated["s/flaky"].ran] == [1, 1, 2, 2, 3, 3]
            assert restated["s/healed"].fixups == ("heals",)
            assert sorted(restated["s/asks"].gave_up) == ["asks", "fails"]
            assert len(restated["s/asks"].asking) == 1
            assert restated["s/floods"].lines > 20000
            assert restated["s/flaky"].errors == 3
            assert restated["s/lives"].pid and not restated["s/killed"].pid

    asyncio.run(run())
