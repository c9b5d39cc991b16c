"""The runner as a session, in this process: what is asked of it, what it tells, and that the two fit together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.programs import FLOODS, IGNORES_TERM
from tests.zap import DEADLINE, is_alive, wait_until
from zap import bus, events, nursery, requests
from zap.errors import ZapError
from zap.events import Event, Fact, State, Status
from zap.plan import Answer, Backoff, Bound, Command, Fixup, Job, Match, Plan, Secret, System
from zap.remarks import remark
from zap.runner import Runner

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
async def running(*jobs: Job, fixups: tuple[Fixup, ...] = ()) -> AsyncIterator[Runner]:
    """A runner of these jobs, closed whatever happens; a task of the loop that raises fails the test."""
    bugs: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    plan = Plan("/jobs.yaml", "id", (System("s", jobs),), fixups)
    runner = Runner(plan, nursery.world(plan))
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


async def texts(runner: Runner, stream: str = "out") -> list[str]:
    return [line.text.decode() for line in (await runner.tail(J, 0, EVERYTHING)).lines if line.stream == stream]


async def heard(runner: Runner, text: str) -> None:
    """Once the job has said this line."""
    async for _ in runner.watch():
        if text in await texts(runner):
            return


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


@pytest.mark.parametrize("request_", [requests.Start, requests.Stop, requests.Restart])
def test_an_unknown_job_is_the_users_mistake_and_nothing_happens(job: Callable[..., Job], request_: Any) -> None:
    async def run() -> None:
        async with running(job("echo")) as runner:
            with pytest.raises(ZapError, match="there is no job s/k"):
                await runner.ask(request_((J, "s/k")))
            with pytest.raises(ZapError, match="there is no job s/k"):
                await runner.tail("s/k")
            await runner.ask(requests.Close())
            facts = await told(runner, lambda fact: isinstance(fact, events.Closed))
            assert [type(fact) for fact in facts] == [events.Opened, events.Closed]

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
            assert await early == await late
            assert [event.n for event in await early] == list(range(1, len(await early) + 1))

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
            assert seen[at + 1].fact == events.Became(J, 1, State.DONE, exit=Status(code=0))
            real = [event.n for event in [*seen[:at], *seen[at + 2 :]]]
            assert real == sorted(set(real))  # none twice
            assert len(real) + skipped[0].events == seen[-1].n  # none missing that was not counted
            assert isinstance(seen[-1].fact, events.Closed)

    asyncio.run(run())


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


def test_output_events_point_at_every_line_once(job: Callable[..., Job]) -> None:
    """However much there is: they are pointers, and there are far fewer of them than of lines."""

    async def run() -> None:
        async with running(job("seq 50000; echo bad >&2", "printf open; sleep 0.1; echo closed")) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Exited))
            outputs = of(events.Output, facts)
            assert outputs[0].first == 1
            assert [fact.first for fact in outputs[1:]] == [fact.last + 1 for fact in outputs[:-1]]
            assert outputs[-1].last == 50_002
            assert not outputs[-1].is_open
            for before, fact in pairwise(outputs):
                assert fact.last >= fact.first or fact.is_open or before.is_open
            assert len(outputs) < 5000

    asyncio.run(run())


def test_lines_are_told_before_the_exit_and_commands_in_between(job: Callable[..., Job]) -> None:
    async def run() -> None:
        async with running(job("echo one", "printf two; exit 4")) as runner:
            await runner.ask(requests.Start((J,)))
            facts = await told(runner, lambda fact: isinstance(fact, events.Exited))
            before = [type(fact) for fact in facts[:-1]]
            assert of(events.Output, facts)[-1].last == 2
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
