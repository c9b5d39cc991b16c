"""All jobs of a plan together: who comes up when, who goes down before whom, and what one job's news do to others."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from zap import machine, vitals
from zap.errors import ZapError
from zap.events import Lack, Probed, State, Status, Stormed, Waits
from zap.flock import Effect, Flock, Turned
from zap.machine import AskToEnd, Call, EndTask, Heal, Kill, Ladder, Spawn
from zap.plan import Backoff, Command, Health, Hooks, Job, Need, Ping, Probe, Ready, Stop, Until
from zap.storm import FEWEST, SPACING, WINDOW
from zap.vitals import Answered, Ask, Drop, Noticed

CALL = Call("port-in-use", "restart", "the port is taken")
PROBE = Probe(tcp="localhost:80")
LISTENING = "listening on \\d+"
LIVING = (State.RUNNING, State.READY)


def job(name: str, *needs: str | Need, **settings: object) -> Job:
    wanted = tuple(Need(need) if isinstance(need, str) else need for need in needs)
    return Job(name, name, (Command("run"),), "/", needs=wanted)._replace(**settings)  # type: ignore[arg-type]


def follow(on: str, until: Until = "ready") -> Need:
    return Need(on, until, follow=True)


class Stage:
    """A flock on a clock of its own. What it wants done happens when the story says so.

    `asked` are those who were asked to end or killed by the last that was told, `spawned` those who were to be born.
    """

    def __init__(self, *jobs: Job) -> None:
        self.flock = Flock(jobs, lambda: 0.5)
        self.names = [job.name for job in jobs]
        self.now = 0.0
        self.effects: list[Effect] = []

    # What people want.

    def start(self, *names: str) -> None:
        self.effects = self.flock.start(names, self.now)

    def stop(self, *names: str, is_hurried: bool = False) -> None:
        self.effects = self.flock.stop(names, is_hurried, self.now)

    def restart(self, *names: str) -> None:
        self.effects = self.flock.restart(names, self.now)

    def rewire(self, name: str, on: str, need: Need | None) -> None:
        self.effects = self.flock.rewire([name], on, need, self.now)

    # What happens.

    def give(self, name: str, given: machine.Input) -> None:
        self.effects = self.flock.give(name, given, self.now)

    def check(self, name: str, given: vitals.Input) -> None:
        self.effects = self.flock.check(name, given, self.now)

    def hear(self, name: str, line: str) -> None:
        self.effects = self.flock.hear(name, line, self.now)

    def bear(self, name: str) -> None:
        self.give(name, machine.Spawned(self.flock.run(name).epoch))

    def exit(self, name: str, code: int = 0) -> None:
        self.give(name, machine.Exited(self.flock.run(name).epoch, Status(code)))

    def end(self, name: str) -> None:
        """As it was asked to."""
        self.give(name, machine.Exited(self.flock.run(name).epoch, Status(signal="TERM")))

    def wait(self, name: str) -> None:
        """Until what the job's machine waits for is due."""
        due = self.flock.run(name).due
        assert due is not None
        self.now = max(self.now, due)
        self.give(name, machine.Due())

    def come_up(self, name: str) -> None:
        self.bear(name)
        self.wait(name)
        assert self[name] is State.READY

    def rise(self) -> list[str]:
        """Everybody comes up who can; in which order they were born."""
        found: list[str] = []
        while name := self._first(State.STARTING, State.RUNNING):
            if self[name] is State.STARTING:
                found.append(name)
                self.bear(name)
            else:
                self.wait(name)
        return found

    def sink(self) -> list[str]:
        """Everybody ends who is asked to; in which order they do."""
        found: list[str] = []
        while name := next((name for name in self.names if self.is_asked(name)), None):
            found.append(name)
            self.end(name)
        return found

    def up(self, *names: str) -> Stage:
        self.start(*names)
        self.rise()
        assert all(self[name] is State.READY for name in names)
        return self

    # How it is.

    def __getitem__(self, name: str) -> State:
        return self.flock.run(name).state

    def _first(self, *states: State) -> str | None:
        return next((name for name in self.names if self[name] in states), None)

    def is_held(self, name: str) -> bool:
        run = self.flock.run(name)
        return run.state is State.STOPPING and run.ladder is Ladder.HELD

    def is_asked(self, name: str) -> bool:
        return self[name] is State.STOPPING and not self.is_held(name)

    def why(self, name: str) -> str:
        return self.flock.run(name).why

    def told(self, kind: type) -> list[object]:
        return [effect for _, effect in self.effects if isinstance(effect, kind)]

    @property
    def spawned(self) -> list[str]:
        return [name for name, effect in self.effects if isinstance(effect, Spawn)]

    @property
    def asked(self) -> list[str]:
        return [name for name, effect in self.effects if isinstance(effect, AskToEnd | Kill)]

    @property
    def states(self) -> str:
        return ", ".join(f"{name} {self[name]}" for name in self.names)


WEB = (job("web", "api"), job("api", "db"), job("db"))


# Up.


def test_whom_a_job_needs_comes_up_first() -> None:
    stage = Stage(*WEB)
    stage.start("web")
    assert stage.states == "web waiting, api waiting, db starting"
    assert stage.spawned == ["db"]
    stage.bear("db")
    assert stage.spawned == []
    stage.wait("db")
    assert stage.spawned == ["api"]
    assert stage.rise() == ["api", "web"]
    assert stage.states == "web ready, api ready, db ready"


def test_those_are_started_in_order_who_need_nobody_that_is_not_there() -> None:
    stage = Stage(*WEB, job("log"))
    stage.start("web", "log")
    assert stage.spawned == ["db", "log"]
    turned = [name for name, effect in stage.effects if isinstance(effect, Turned)]
    assert turned.index("db") < turned.index("api") < turned.index("web")


def test_who_is_up_already_stays_as_it_is() -> None:
    stage = Stage(*WEB).up("web")
    stage.start("web", "api", "db")
    assert stage.effects == []


def test_an_optional_need_is_not_started_and_not_waited_for() -> None:
    stage = Stage(job("web", Need("log", is_optional=True)), job("log", "disk"), job("disk"))
    stage.start("web")
    assert stage.states == "web starting, log stopped, disk stopped"


def test_an_optional_need_that_is_on_its_way_is_waited_for() -> None:
    stage = Stage(job("web", Need("log", is_optional=True)), job("log"))
    stage.start("log", "web")
    assert stage.states == "web waiting, log starting"
    assert stage.rise() == ["log", "web"]


def test_an_optional_need_that_fails_keeps_nobody() -> None:
    stage = Stage(job("web", Need("log", is_optional=True), when_need_fails="stop"), job("log"))
    stage.start("log", "web")
    stage.bear("log")
    stage.exit("log", 1)
    assert stage.spawned == ["web"]
    stage.rise()
    assert stage.states == "web ready, log failed"


def goes_at(need: Need, *story: str) -> str | None:
    """At which part of what happens to `db` the job that needs it so is born."""
    stage = Stage(job("web", need), job("db", restart="on-failure", tries=2))
    stage.start("web")
    deeds = {
        "born": lambda: stage.bear("db"),
        "ready": lambda: stage.wait("db"),
        "says it": lambda: stage.hear("db", LISTENING),
        "says another": lambda: stage.hear("db", "another"),
        "exit 0": lambda: stage.exit("db", 0),
        "exit 1": lambda: stage.exit("db", 1),
        "again": lambda: stage.wait("db"),
    }
    for part in story:
        deeds[part]()
        if "web" in stage.spawned:
            return part
        assert stage["web"] is State.WAITING
    return None


@pytest.mark.parametrize(
    ("need", "story", "part"),
    [
        (Need("db", "started"), ("born", "ready"), "born"),
        (Need("db", "ready"), ("born", "ready"), "ready"),
        (Need("db", "ready"), ("born", "exit 0"), "exit 0"),
        (Need("db", "ready"), ("born", "exit 1", "again", "born", "ready"), "ready"),
        (Need("db", "ready"), ("born", "exit 1", "again", "born", "exit 1"), None),
        (Need("db", "done"), ("born", "ready", "exit 0"), "exit 0"),
        (Need("db", "done"), ("born", "ready", "exit 1", "again", "born", "exit 1"), None),
        (Need("db", "ended"), ("born", "ready", "exit 0"), "exit 0"),
        (Need("db", "ended"), ("born", "exit 1", "again", "born", "exit 1"), "exit 1"),
        (Need("db", "line", LISTENING), ("born", "says another", "ready", "says it"), "says it"),
        (Need("db", "line", LISTENING), ("born", "says it"), "says it"),
    ],
)
def test_it_waits_until_what_it_needs_is_so(need: Need, story: tuple[str, ...], part: str | None) -> None:
    assert goes_at(need, *story) == part


def test_a_try_that_fails_is_no_end() -> None:
    stage = Stage(job("web", Need("db", "ended")), job("db", restart="on-failure", tries=2))
    stage.start("web")
    stage.bear("db")
    stage.exit("db", 1)
    assert stage.states == "web waiting, db backoff"


def test_a_line_of_an_earlier_child_does_not_count() -> None:
    stage = Stage(job("web", Need("db", "line", LISTENING)), job("db", restart="always"))
    stage.start("db")
    stage.bear("db")
    stage.hear("db", LISTENING)
    stage.exit("db")
    stage.wait("db")
    stage.start("web")
    stage.rise()
    assert stage.states == "web waiting, db ready"
    stage.hear("db", LISTENING)
    assert stage.spawned == ["web"]


def test_a_line_that_was_said_already_counts() -> None:
    stage = Stage(job("web", Need("db", "line", LISTENING)), job("db")).up("db")
    stage.hear("db", LISTENING)
    stage.start("web")
    assert stage.spawned == ["web"]


def test_the_same_line_can_make_one_ready_and_let_another_go() -> None:
    db = job("db", ready=Ready(by="line", line=LISTENING))
    stage = Stage(job("web", "db"), job("log", Need("db", "line", LISTENING)), db)
    assert stage.flock.signs("db") == (LISTENING,)
    assert stage.flock.signs("web") == ()
    stage.start("web", "log")
    stage.bear("db")
    stage.hear("db", LISTENING)
    assert sorted(stage.spawned) == ["log", "web"]


def test_several_needs_of_one_job_must_all_be_met() -> None:
    stage = Stage(job("web", Need("db", "started"), Need("db", "line", LISTENING)), job("db"))
    stage.start("web")
    stage.bear("db")
    assert stage["web"] is State.WAITING
    stage.hear("db", LISTENING)
    assert stage.spawned == ["web"]


def test_before_each_start_it_waits_for_whom_it_needs() -> None:
    stage = Stage(job("web", "db", restart="on-failure"), job("db", restart="on-failure")).up("web")
    stage.exit("db", 1)
    stage.exit("web", 1)
    stage.wait("web")
    assert stage.states == "web waiting, db backoff"
    stage.wait("db")
    assert stage.rise() == ["db", "web"]


# Those that are done.


def test_who_is_done_is_not_run_again_for_the_sake_of_others() -> None:
    stage = Stage(job("web", Need("migrate", "done")), job("migrate", "db"), job("db"))
    stage.start("web")
    stage.rise()
    stage.exit("migrate")
    assert stage.rise() == ["web"]
    stage.stop("web", "db")
    stage.sink()
    stage.start("web")
    assert stage.spawned == ["web"]
    assert stage["db"] is State.STOPPED  # nor is whom it needed itself
    stage.restart("web")
    assert stage["migrate"] is State.DONE


def test_who_is_done_is_run_again_when_somebody_says_so() -> None:
    stage = Stage(job("web", Need("migrate", "done")), job("migrate"))
    stage.start("web")
    stage.rise()
    stage.exit("migrate")
    stage.rise()
    stage.stop("web")
    stage.sink()
    stage.start("web", "migrate")
    assert stage.spawned == ["migrate"]
    stage.rise()
    assert stage["web"] is State.WAITING
    stage.exit("migrate")
    assert stage.spawned == ["web"]


def test_who_has_failed_is_run_again_for_the_sake_of_others() -> None:
    stage = Stage(job("web", Need("migrate", "done")), job("migrate"))
    stage.start("web")
    stage.bear("migrate")
    stage.exit("migrate", 1)
    assert stage.states == "web waiting, migrate failed"
    stage.start("web")
    assert stage.spawned == ["migrate"]


def test_whom_a_job_needs_ended_is_not_run_again_when_it_has_failed() -> None:
    stage = Stage(job("web", Need("migrate", "ended")), job("migrate"))
    stage.start("web")
    stage.bear("migrate")
    stage.exit("migrate", 1)
    stage.rise()
    stage.stop("web")
    stage.sink()
    stage.start("web")
    assert stage.states == "web starting, migrate failed"


# Down.


def test_who_needs_others_goes_down_before_them() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("db", "api", "web")
    assert stage.asked == ["web"]
    assert stage.told(Waits) == [Waits("api", 1, leavers=("web",)), Waits("db", 1, leavers=("api",))]
    assert stage.is_held("api")
    assert stage.is_held("db")
    stage.end("web")
    assert stage.asked == ["api"]
    assert stage.states == "web stopped, api stopping, db stopping"
    stage.end("api")
    assert stage.asked == ["db"]
    stage.end("db")
    assert stage.states == "web stopped, api stopped, db stopped"


def test_the_grace_of_one_who_is_held_begins_when_it_is_asked() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("web", "api")
    stage.now += 500.0
    stage.end("web")
    assert stage.flock.run("api").due == stage.now + stage.flock.job("api").grace


def test_who_is_in_a_hurry_waits_for_nobody() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("db", "api", "web", is_hurried=True)
    assert sorted(stage.asked) == ["api", "db", "web"]
    assert len(stage.told(Kill)) == 3


def test_a_hurry_also_ends_those_who_are_held() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("db", "api", "web")
    stage.stop("db", "api", "web", is_hurried=True)
    assert sorted(stage.asked) == ["api", "db", "web"]


@pytest.mark.parametrize("until", ["done", "ended"])
def test_whose_end_was_waited_for_is_not_needed_any_more(until: Until) -> None:
    stage = Stage(job("web", Need("warm-up", until)), job("warm-up", restart="always"))
    stage.start("warm-up")
    stage.rise()
    stage.start("web")
    stage.rewire("web", "warm-up", None)
    stage.rise()
    stage.rewire("web", "warm-up", Need("warm-up", until))
    stage.stop("web", "warm-up")
    assert sorted(stage.asked) == ["warm-up", "web"]


def test_who_is_stopped_alone_goes_at_once_and_leaves_the_others_up() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("db")
    assert stage.asked == ["db"]
    stage.end("db")
    assert stage.states == "web ready, api ready, db stopped"


def test_an_optional_need_too_stays_until_those_have_ended_who_have_it() -> None:
    stage = Stage(job("web", Need("db", is_optional=True)), job("db")).up("db", "web")
    stage.stop("web", "db")
    assert stage.asked == ["web"]


def test_who_is_leaving_already_is_waited_for() -> None:
    stage = Stage(*WEB).up("web")
    stage.stop("api")
    stage.stop("db")
    assert stage.is_held("db")
    stage.end("api")
    assert stage.asked == ["db"]


def test_whoever_cleans_up_has_not_left() -> None:
    stage = Stage(job("web", "db", hooks=Hooks(after_stop="make clean")), job("db")).up("web")
    stage.stop("web", "db")
    stage.end("web")
    assert stage.is_held("db")
    stage.give("web", machine.TaskEnded(1))
    assert stage.asked == ["db"]


def test_a_remedy_that_is_to_end_is_waited_for() -> None:
    stage = Stage(job("web", "db"), job("db")).up("web")
    stage.give("web", machine.Called(1, CALL))
    stage.end("web")
    assert stage["web"] is State.FIXING
    stage.stop("web", "db")
    assert stage.told(EndTask)
    assert stage.is_held("db")
    stage.give("web", machine.TaskEnded(1, "killed by KILL"))
    assert stage.asked == ["db"]


def test_who_waits_and_who_is_at_rest_holds_nobody() -> None:
    stage = Stage(job("web", "db"), job("cron", "db"), job("db"))
    stage.start("web")
    stage.bear("db")
    stage.stop("web", "db", "cron")
    assert stage.states == "web stopped, cron stopped, db stopping"
    assert stage.asked == ["db"]


def test_what_keeps_a_job_is_told_again_only_when_it_is_something_else() -> None:
    stage = Stage(job("web", "db"), job("api", "db"), job("db")).up("web", "api")
    stage.stop("web", "api", "db")
    assert stage.told(Waits)[-1] == Waits("db", 1, leavers=("web", "api"))
    stage.stop("db")
    assert stage.told(Waits) == []
    stage.end("web")
    assert stage.told(Waits) == [Waits("db", 1, leavers=("api",))]


# Restart, and who follows.


def test_a_restart_goes_down_in_reverse_and_comes_up_in_order() -> None:
    stage = Stage(*WEB).up("web")
    stage.restart("db", "api", "web")
    assert stage.asked == ["web"]
    assert stage.sink() == ["web", "api", "db"]
    assert stage.states == "web waiting, api waiting, db starting"
    assert stage.rise() == ["db", "api", "web"]


def test_a_restart_starts_whom_it_needs() -> None:
    stage = Stage(*WEB)
    stage.restart("web")
    assert stage.spawned == ["db"]
    assert stage.rise() == ["db", "api", "web"]


def test_a_restart_leaves_those_up_who_do_not_follow() -> None:
    stage = Stage(*WEB).up("web")
    stage.restart("db")
    assert stage.asked == ["db"]
    stage.sink()
    stage.rise()
    assert stage.flock.run("api").epoch == 1


def test_a_restart_of_one_that_is_about_to_leave_holds_it_for_those_who_need_it() -> None:
    stage = Stage(job("web", "db"), job("db")).up("web")
    stage.give("db", machine.Called(1, CALL))
    stage.restart("web", "db")
    if not stage.is_held("db"):
        stage.wait("db")
    assert "db" not in stage.asked
    stage.end("web")
    assert stage.asked == ["db"]


FOLLOWING = (job("web", follow("api")), job("api", follow("db")), job("db", restart="on-failure"))


def test_who_follows_goes_down_before_and_comes_up_after() -> None:
    stage = Stage(*FOLLOWING).up("web")
    stage.restart("db")
    assert stage.asked == ["web"]
    assert [stage.why(name) for name in ("web", "api")] == ["it follows api", "it follows db"]
    assert stage.sink() == ["web", "api", "db"]
    assert stage.rise() == ["db", "api", "web"]
    assert [stage.flock.run(name).epoch for name in stage.names] == [2, 2, 2]


def test_who_follows_one_that_is_stopped_waits_for_it() -> None:
    stage = Stage(*FOLLOWING).up("web")
    stage.stop("db")
    assert stage.sink() == ["web", "api", "db"]
    assert stage.states == "web waiting, api waiting, db stopped"
    stage.start("db")
    assert stage.rise() == ["db", "api", "web"]


def test_who_follows_one_that_crashes_goes_down_and_comes_up_after_it() -> None:
    stage = Stage(*FOLLOWING).up("web")
    stage.exit("db", 1)
    assert stage.asked == ["web"]
    assert stage.is_held("api")
    assert stage.sink() == ["web", "api"]
    assert stage.states == "web waiting, api waiting, db backoff"
    stage.wait("db")
    assert stage.rise() == ["db", "api", "web"]


def test_who_follows_one_that_ends_well_stays() -> None:
    stage = Stage(*FOLLOWING).up("web")
    stage.exit("db", 0)
    assert stage.effects[-1][0] == "db"
    assert stage.states == "web ready, api ready, db done"


def test_who_is_stopped_with_whom_it_follows_does_not_come_again() -> None:
    stage = Stage(*FOLLOWING).up("web")
    stage.stop("web", "db")
    assert stage.sink() == ["web", "api", "db"]
    assert stage.states == "web stopped, api waiting, db stopped"


def test_who_is_not_up_follows_nobody() -> None:
    stage = Stage(*FOLLOWING).up("api")
    stage.restart("db")
    assert stage["web"] is State.STOPPED
    assert stage.asked == ["api"]


def test_who_is_down_already_or_going_down_is_not_started_by_following() -> None:
    jobs = [job(name, follow("db")) for name in ("failed", "leaving", "gone")]
    stage = Stage(*jobs, job("db")).up("failed", "leaving", "gone")
    stage.exit("failed", 1)
    stage.stop("leaving", "gone")
    stage.end("gone")
    stage.restart("db")
    stage.sink()
    assert stage.states == "failed failed, leaving stopped, gone stopped, db starting"


def test_nobody_follows_one_that_was_never_there() -> None:
    """A job that has optional needs lives without them, also when they come and go before they are ready."""
    stage = Stage(job("web", Need("log", is_optional=True, follow=True)), job("log")).up("web")
    stage.start("log")
    stage.bear("log")
    stage.exit("log", 1)
    assert stage["web"] is State.READY
    stage.start("log")
    stage.come_up("log")
    stage.exit("log", 1)
    assert stage.asked == ["web"]


def test_who_has_followed_an_optional_need_down_lives_on_without_it() -> None:
    stage = Stage(job("web", Need("log", is_optional=True, follow=True)), job("log")).up("log", "web")
    stage.exit("log", 1)
    assert stage.sink() == ["web"]
    assert stage.rise() == ["web"]
    assert stage.states == "web ready, log failed"


def test_a_line_that_it_follows_counts_from_each_start_anew() -> None:
    stage = Stage(job("web", Need("db", "line", LISTENING, follow=True)), job("db"))
    stage.start("web")
    stage.bear("db")
    stage.hear("db", LISTENING)
    stage.rise()
    assert stage.states == "web ready, db ready"
    stage.restart("db")
    stage.sink()
    stage.rise()
    assert stage.states == "web waiting, db ready"
    stage.hear("db", LISTENING)
    assert stage.spawned == ["web"]


def test_who_was_about_to_be_born_follows_too() -> None:
    """Its hook ran while the one was there that it follows: what comes of it comes after that one again."""
    stage = Stage(job("web", follow("db"), hooks=Hooks("make ready")), job("db", restart="on-failure"))
    stage.start("web")
    stage.come_up("db")
    stage.exit("db", 1)
    assert stage.states == "web starting, db backoff"
    stage.give("web", machine.TaskEnded(1))
    if stage["web"] is State.STARTING:
        stage.bear("web")
    stage.sink()
    assert stage.states == "web waiting, db backoff"
    stage.wait("db")
    stage.come_up("db")
    assert stage["web"] is State.STARTING


def test_who_follows_several_says_which_one_it_was() -> None:
    stage = Stage(job("web", follow("db"), follow("cache")), job("db"), job("cache")).up("web")
    stage.stop("cache")
    assert stage.why("web") == "it follows cache"


def test_who_follows_one_that_follows_says_which_one_it_was() -> None:
    stage = Stage(job("web", follow("a"), follow("b")), job("b", follow("db")), job("a"), job("db")).up("web")
    stage.stop("db")
    assert [stage.why(name) for name in ("b", "web")] == ["it follows db", "it follows b"]


def test_who_follows_several_says_which_one_has_crashed() -> None:
    stage = Stage(job("web", follow("db"), follow("cache")), job("db"), job("cache")).up("web")
    stage.exit("cache", 1)
    assert stage.why("web") == "it follows cache"


def test_nobody_goes_down_with_one_that_is_done_and_is_told_to_stop() -> None:
    """Nothing of it goes down: it is at rest, and stays as it is."""
    stage = Stage(job("web", follow("migrate", "done")), job("migrate"))
    stage.start("web")
    stage.rise()
    stage.exit("migrate")
    stage.rise()
    assert stage.states == "web ready, migrate done"
    stage.stop("migrate")
    assert stage.states == "web ready, migrate done"


def test_who_follows_one_that_is_done_comes_after_it_when_it_runs_again() -> None:
    stage = Stage(job("web", follow("migrate", "done")), job("migrate"))
    stage.start("web")
    stage.rise()
    stage.exit("migrate")
    stage.rise()
    stage.start("migrate")
    assert stage.asked == ["web"]
    stage.sink()
    stage.rise()
    assert stage["web"] is State.WAITING
    stage.exit("migrate")
    assert stage.spawned == ["web"]


# Started again while whom it needs is on its way down.


def test_who_is_needed_and_is_just_going_down_comes_up_again() -> None:
    stage = Stage(job("web", "db"), job("db")).up("web")
    stage.stop("web", "db")
    stage.end("web")
    assert stage["db"] is State.STOPPING
    stage.start("web")
    stage.sink()
    assert stage.rise() == ["db", "web"]


def test_who_is_needed_and_is_just_ending_by_itself_comes_up_again() -> None:
    stage = Stage(job("web", "db"), job("db", hooks=Hooks(after_stop="make clean"))).up("db")
    stage.exit("db", 1)
    assert stage["db"] is State.STOPPING
    stage.start("web")
    stage.give("db", machine.TaskEnded(1))
    assert stage.rise() == ["db", "web"]


def test_a_start_reaches_through_one_that_waits_in_vain() -> None:
    """Else only who knows the whole chain can get it to move."""
    stage = Stage(*WEB)
    stage.start("api")
    stage.bear("db")
    stage.exit("db", 1)
    assert stage.states == "web stopped, api waiting, db failed"
    stage.start("web")
    assert stage.rise() == ["db", "api", "web"]


# When one that is needed fails.


def test_who_waits_says_for_whom_and_whether_that_is_hopeless() -> None:
    stage = Stage(*WEB)
    stage.start("web")
    hopeful = {Waits("web", 0, (Lack("api", "ready"),)), Waits("api", 0, (Lack("db", "ready"),))}
    assert set(stage.told(Waits)) == hopeful
    stage.bear("db")
    stage.exit("db", 1)
    assert stage.states == "web waiting, api waiting, db failed"
    hopeless = Lack("db", "ready", is_hopeless=True)
    assert set(stage.told(Waits)) == {
        Waits("api", 0, (hopeless,)),
        Waits("web", 0, (hopeless._replace(job="api"),)),  # and so on up
    }
    stage.start("db")
    assert set(stage.told(Waits)) == hopeful
    assert stage.rise() == ["db", "api", "web"]


def test_who_does_not_wait_in_vain_is_skipped_and_those_who_need_it_too() -> None:
    stage = Stage(
        job("page", "web", when_need_fails="skip"),
        job("web", "api", when_need_fails="skip"),
        job("api", "db", when_need_fails="stop"),
        job("db"),
    )
    stage.start("page")
    stage.bear("db")
    stage.exit("db", 1)
    assert stage.states == "page stopped, web stopped, api stopped, db failed"
    assert [stage.why(name) for name in ("api", "web", "page")] == [
        "skipped, because db is failed",
        "skipped, because api is stopped",
        "skipped, because web is stopped",
    ]


def test_a_skip_is_of_this_start_only() -> None:
    stage = Stage(job("web", "db", when_need_fails="skip"), job("db"))
    stage.start("web")
    stage.bear("db")
    stage.exit("db", 1)
    stage.start("web")
    assert stage.rise() == ["db", "web"]


def test_who_would_skip_waits_as_long_as_there_is_hope() -> None:
    stage = Stage(job("web", "db", when_need_fails="skip"), job("db", restart="on-failure"))
    stage.start("web")
    stage.bear("db")
    stage.exit("db", 1)
    assert stage.states == "web waiting, db backoff"


def test_a_job_that_is_stopped_while_others_wait_for_it_lets_them_skip() -> None:
    stage = Stage(job("web", "db", when_need_fails="skip"), job("db"))
    stage.start("web")
    stage.bear("db")
    stage.stop("db")
    assert stage["web"] is State.WAITING
    stage.sink()
    assert (stage["web"], stage.why("web")) == (State.STOPPED, "skipped, because db is stopped")


def test_who_is_up_goes_down_when_one_that_it_needs_has_failed_and_its_setting_says_so() -> None:
    stage = Stage(
        job("stopper", "db", when_need_fails="stop"),
        job("skipper", "db", when_need_fails="skip"),
        job("waiter", "db"),
        job("db"),
    ).up("stopper", "skipper", "waiter")
    stage.exit("db", 1)
    assert stage.asked == ["stopper"]
    stage.sink()
    assert stage.states == "stopper stopped, skipper ready, waiter ready, db failed"
    assert stage.why("stopper") == "db is failed"


def test_who_goes_down_because_of_a_failure_goes_after_those_who_follow_it() -> None:
    stage = Stage(job("page", follow("web")), job("web", "db", when_need_fails="stop"), job("db")).up("page")
    stage.exit("db", 1)
    assert stage.asked == ["page"]
    assert stage.is_held("web")
    assert stage.sink() == ["page", "web"]
    assert stage.states == "page waiting, web stopped, db failed"


def test_a_crash_that_is_followed_by_a_try_stops_nobody() -> None:
    stage = Stage(job("web", "db", when_need_fails="stop"), job("db", restart="on-failure")).up("web")
    stage.exit("db", 1)
    assert stage.states == "web ready, db backoff"


def test_one_that_is_stopped_has_not_failed() -> None:
    stage = Stage(job("web", "db", when_need_fails="stop"), job("db")).up("web")
    stage.stop("db")
    stage.sink()
    assert stage.states == "web ready, db stopped"


def test_who_needs_another_to_have_ended_is_not_stopped_because_it_has() -> None:
    stage = Stage(job("web", Need("probe", "ended"), when_need_fails="stop"), job("probe"))
    stage.start("web")
    stage.bear("probe")
    stage.exit("probe", 1)
    assert stage.spawned == ["web"]
    stage.come_up("web")
    assert stage.states == "web ready, probe failed"


# Needs come and go.


def test_a_new_need_holds_back_who_has_not_begun() -> None:
    stage = Stage(job("web", "db"), job("db"), job("cache"))
    stage.start("web")
    stage.rewire("web", "cache", Need("cache"))
    assert stage.flock.job("web").needs == (Need("db"), Need("cache"))
    stage.rise()
    assert stage.states == "web waiting, db ready, cache stopped"
    stage.start("cache")
    assert stage.rise() == ["cache", "web"]


def test_a_new_need_does_not_end_who_lives() -> None:
    stage = Stage(job("web"), job("db")).up("web")
    stage.rewire("web", "db", follow("db"))
    assert stage["web"] is State.READY
    assert stage["db"] is State.STOPPED


def test_from_then_on_it_follows() -> None:
    stage = Stage(job("web"), job("db")).up("web", "db")
    stage.rewire("web", "db", follow("db"))
    stage.exit("db", 1)
    assert stage.asked == ["web"]


def test_a_need_that_is_taken_away_lets_go() -> None:
    stage = Stage(job("web", "db", "cache"), job("db"), job("cache")).up("db")
    stage.start("web")
    stage.stop("cache")
    assert stage["web"] is State.WAITING
    stage.rewire("web", "cache", None)
    assert stage.spawned == ["web"]
    assert stage.flock.job("web").needs == (Need("db"),)


def test_what_is_needed_of_a_job_is_one_thing_only() -> None:
    stage = Stage(job("web", Need("db", "started"), Need("cache"), Need("db", "line", "x")), job("db"), job("cache"))
    assert stage.flock.signs("db") == ("x",)
    stage.rewire("web", "db", Need("db", "line", LISTENING))
    assert stage.flock.job("web").needs == (Need("cache"), Need("db", "line", LISTENING))
    assert stage.flock.signs("db") == (LISTENING,)


def test_a_line_that_was_said_before_it_was_needed_counts_when_it_is_told() -> None:
    stage = Stage(job("web"), job("db"), job("cache")).up("db")
    stage.rewire("web", "db", Need("db", "line", LISTENING))
    stage.start("web")
    assert stage["web"] is State.WAITING
    stage.hear("db", LISTENING)
    assert stage.spawned == ["web"]


def test_needs_that_would_go_in_a_circle_are_refused_and_nothing_has_changed() -> None:
    stage = Stage(*WEB).up("web")
    with pytest.raises(ZapError, match="the needs would go in a circle: ") as error:
        stage.rewire("db", "web", Need("web"))
    _, _, circle = str(error.value).partition(": ")
    assert circle in ("db → web → api → db", "web → api → db → web", "api → db → web → api")
    assert stage.flock.job("db").needs == ()
    stage.restart("db", "web")
    assert stage.sink() == ["web", "db"]


def test_nobody_can_need_himself() -> None:
    stage = Stage(job("web"))
    with pytest.raises(ZapError, match=r"^the needs would go in a circle: web → web$"):
        stage.rewire("web", "web", Need("web"))


def test_a_need_that_is_not_there_cannot_be_taken_away() -> None:
    stage = Stage(*WEB)
    with pytest.raises(ZapError, match=r"^web does not need db$"):
        stage.rewire("web", "db", None)


def test_of_several_jobs_all_are_rewired_or_none() -> None:
    stage = Stage(*WEB, job("log"))
    with pytest.raises(ZapError, match="log does not need db"):
        stage.flock.rewire(["api", "log"], "db", None, 0.0)
    assert stage.flock.job("api").needs == (Need("db"),)
    stage.flock.rewire(["api", "db"], "log", Need("log"), 0.0)
    stage.start("web")
    assert stage.rise() == ["log", "db", "api", "web"]


def test_who_is_held_for_one_that_needs_it_no_more_is_asked() -> None:
    stage = Stage(job("web", "db"), job("db")).up("web")
    stage.stop("web", "db")
    stage.rewire("web", "db", None)
    assert stage.asked == ["db"]


def test_who_does_not_follow_any_more_stays_up() -> None:
    stage = Stage(job("web", follow("db")), job("db")).up("web")
    stage.rewire("web", "db", Need("db"))
    stage.stop("db")
    assert stage.asked == ["db"]
    assert stage["web"] is State.READY


# Their vitals.


def test_a_probe_that_goes_well_lets_those_go_who_wait_for_it() -> None:
    stage = Stage(job("web", "db"), job("db", ready=Ready(by="probe", probe=PROBE)))
    stage.start("web")
    assert stage.flock.vital_due("db") is None
    stage.bear("db")
    assert stage.flock.vital_due("db") == stage.now
    stage.check("db", vitals.Tick())
    assert stage.told(Ask) == [Ask(1, "ready", PROBE, 5.0)]
    stage.check("db", Answered(1, True, "it listens"))
    assert [fact.is_ok for fact in stage.told(Probed) if isinstance(fact, Probed)] == [True]
    assert stage.spawned == ["web"]
    assert stage["db"] is State.READY


def test_its_own_word_lets_those_go_who_wait_for_it() -> None:
    stage = Stage(job("web", "db"), job("db", ready=Ready(by="notify")))
    stage.start("web")
    stage.bear("db")
    stage.check("db", Noticed(is_ready=True))
    assert stage.spawned == ["web"]


def test_one_that_is_not_well_is_ended_and_who_follows_it_before() -> None:
    db = job("db", health=Health(PROBE, fails=1), tries=2)
    stage = Stage(job("web", follow("db")), db).up("web")
    stage.now = 500.0
    stage.check("db", vitals.Tick())
    stage.check("db", Answered(1, False, "refused"))
    assert stage["db"] is State.STOPPING
    assert stage.flock.vital_due("db") is None
    assert "web" in stage.asked
    stage.sink()
    assert stage.states == "web waiting, db backoff"
    assert stage.why("db") == "1 health probe failed, the last one: tcp localhost:80: refused"


def test_the_probe_that_is_out_is_let_go_of_when_its_job_leaves() -> None:
    stage = Stage(job("db", health=Health(PROBE))).up("db")
    stage.now = 500.0
    stage.check("db", vitals.Tick())
    stage.stop("db")
    assert stage.told(Drop) == [Drop()]
    assert stage.flock.vital_due("db") is None


def test_each_child_is_asked_anew() -> None:
    stage = Stage(job("db", ready=Ready(by="probe", probe=PROBE, within=9.0), restart="on-failure"))
    stage.start("db")
    stage.bear("db")
    stage.now = 20.0
    stage.check("db", vitals.Tick())
    stage.end("db")
    stage.wait("db")
    stage.now = 100.0
    stage.bear("db")
    assert stage.flock.vital_due("db") == 100.0


# The plan changes.


def test_jobs_that_are_new_can_be_started_and_needed() -> None:
    stage = Stage(job("web")).up("web")
    stage.flock.put([job("web"), job("api", "db"), job("db")], stage.now)
    stage.names = ["web", "api", "db"]
    stage.start("api")
    assert stage.rise() == ["db", "api"]
    assert stage["web"] is State.READY


def test_other_settings_hold_from_now_on() -> None:
    stage = Stage(job("web", "db"), job("db"), job("cache")).up("db", "web")
    stage.flock.put([job("web", "cache", grace=77.0)], stage.now)
    stage.stop("web", "db")
    assert sorted(stage.asked) == ["db", "web"]  # db is not needed any more
    assert stage.flock.run("web").due == stage.now + 77.0


def test_who_is_held_is_asked_when_the_new_plan_lets_it() -> None:
    stage = Stage(job("web", "db"), job("db")).up("web")
    stage.stop("web", "db")
    stage.effects = stage.flock.put([job("web")], stage.now)
    assert stage.asked == ["db"]


def test_who_waits_goes_when_the_new_plan_lets_it() -> None:
    stage = Stage(job("web", "db"), job("db"))
    stage.start("web")
    stage.stop("db")
    stage.effects = stage.flock.put([job("web")], stage.now)
    assert stage.spawned == ["web"]


def test_by_other_settings_one_that_is_ready_is_asked_anew() -> None:
    stage = Stage(job("db", health=Health(PROBE)), job("web")).up("db", "web")
    stage.now = 500.0
    stage.check("db", vitals.Tick())
    stage.effects = stage.flock.put([job("db", health=Health(PROBE, every=60.0))], stage.now)
    assert stage.told(Drop) == [Drop()]
    assert stage.flock.vital_due("db") == 560.0
    stage.effects = stage.flock.put([job("web", ping=Ping(9.0, send="hello"))], stage.now)
    assert stage.flock.vital_due("web") == 509.0


def test_by_the_same_settings_one_that_is_ready_is_left_alone() -> None:
    stage = Stage(job("db", health=Health(PROBE))).up("db")
    before = stage.flock.vital_due("db")
    stage.now = 500.0
    assert stage.flock.put([job("db", health=Health(PROBE), grace=3.0)], stage.now) == []
    assert stage.flock.vital_due("db") == before


def test_a_job_that_is_removed_is_gone() -> None:
    stage = Stage(job("web", "db"), job("db"))
    stage.flock.put([job("web")], stage.now)
    stage.flock.remove("db")
    with pytest.raises(KeyError):
        stage.flock.run("db")
    stage.names.remove("db")
    stage.start("web")
    assert stage.spawned == ["web"]


def test_who_does_not_follow_any_more_by_the_new_plan_stays_up() -> None:
    stage = Stage(job("web", follow("db")), job("db")).up("web")
    stage.flock.put([job("web", "db")], stage.now)
    stage.stop("db")
    assert stage["web"] is State.READY


# Fixups.


def test_a_remedy_that_has_helped_waits_for_whom_the_job_needs() -> None:
    stage = Stage(job("web", "db"), job("db", restart="on-failure")).up("web")
    stage.give("web", machine.Called(1, CALL))
    stage.exit("db", 1)
    stage.end("web")
    assert stage.told(Heal) == [Heal(CALL)]
    stage.give("web", machine.TaskEnded(1))
    assert stage.states == "web waiting, db backoff"
    stage.wait("db")
    assert stage.rise() == ["db", "web"]


# Many at once.


AT_ONCE = Backoff(1.0, 1.0, 1.0, 0.0)


def test_many_that_fail_at_once_are_told_once_and_their_restarts_give_way_to_each_other() -> None:
    names = [f"s/{number}" for number in range(12)]
    stage = Stage(*(job(name, restart="on-failure", backoff=AT_ONCE) for name in names)).up(*names)
    assert not stage.flock.is_stormy(stage.now)
    told: list[object] = []
    for name in names:
        stage.exit(name, 1)
        told += stage.told(Stormed)
    assert told == [Stormed(tuple(names[:FEWEST]), WINDOW)]
    assert stage.flock.is_stormy(stage.now)
    dues = [stage.flock.run(name).due or 0.0 for name in names]
    assert dues[: FEWEST - 1] == [stage.now + 1.0] * (FEWEST - 1)
    assert len(set(dues)) == len(names) - FEWEST + 2
    assert all(stage.now + 1.0 < due <= stage.now + 1.0 + SPACING * len(names) for due in dues[FEWEST - 1 :])
    stage.now += 100.0
    assert not stage.flock.is_stormy(stage.now)


def test_those_who_end_well_or_because_they_are_to_make_no_storm() -> None:
    names = [f"s/{number}" for number in range(20)]
    stage = Stage(*(job(name) for name in names)).up(*names)
    stage.stop(*names[:10])
    for name in names[:10]:
        stage.end(name)
        assert not stage.told(Stormed)
    for name in names[10:]:
        stage.exit(name, 0)
        assert not stage.told(Stormed)
    assert not stage.flock.is_stormy(stage.now)


def test_what_was_told_of_an_earlier_child_makes_no_storm() -> None:
    names = [f"s/{number}" for number in range(FEWEST)]
    stage = Stage(*(job(name) for name in names)).up(*names)
    for name in names:
        stage.give(name, machine.Exited(0, Status(1)))
    assert stage.effects == []
    assert not stage.flock.is_stormy(stage.now)


# The big one.


class Crowd:
    """A random plan of 200 jobs and 300 needs, in which things happen in any order, and everything is looked at anew
    after each.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.names = [f"s/{number}" for number in range(200)]
        needs: dict[str, list[Need]] = {name: [] for name in self.names}
        while sum(map(len, needs.values())) < 300:
            on, name = sorted(self.chance.sample(range(200), 2))
            if all(need.job != self.names[on] for need in needs[self.names[name]]):
                needs[self.names[name]].append(self._need(self.names[on]))
        ends = {need.job for wanted in needs.values() for need in wanted if need.until in ("done", "ended")}
        jobs = [self._job(name, needs[name], name in ends) for name in self.names]
        self.chance.shuffle(jobs)
        self.stage = Stage(*jobs)
        self.jobs = {job.name: job for job in jobs}
        self.said: set[str] = set()
        self.begun: list[str] = []
        self.fails = {name: self.chance.choice((0, 0, 0, 1)) for name in self.names}

    def _need(self, on: str) -> Need:
        conditions: tuple[Until, ...] = ("started", "ready", "ready", "done", "ended", "line")
        until = self.chance.choice(conditions)
        return Need(on, until, LISTENING if until == "line" else None, is_optional=self.chance.random() < 0.1)

    def _job(self, name: str, needs: Iterable[Need], ends: bool) -> Job:
        ready = Ready(by="exit") if ends else self.chance.choice((Ready(), Ready(by="notify")))
        hooks = Hooks(before_start=self.chance.choice((None, None, "make ready")))
        return job(name, *needs, ready=ready, hooks=hooks, restart="on-failure", stop=Stop(("INT", "TERM")))

    def is_met(self, need: Need) -> bool:
        state = self.stage[need.job]
        if need.until == "line":
            return need.job in self.said and state in (*LIVING, State.DONE)
        wanted = {
            "started": (*LIVING, State.DONE),
            "ready": (State.READY, State.DONE),
            "done": (State.DONE,),
            "ended": (State.DONE, State.FAILED),
        }
        return state in wanted[need.until]

    def may_start(self, name: str) -> bool:
        """Slowly: all of them have been started, so that also the optional ones are on their way."""
        return all(self.is_met(need) for need in self.jobs[name].needs)

    def happen(self, name: str) -> None:
        """The next thing in this job's life."""
        stage, run, wants = self.stage, self.stage.flock.run(name), self.jobs[name].ready.by
        match stage[name]:
            case State.STARTING if run.is_busy:
                stage.give(name, machine.TaskEnded(run.epoch))
            case State.STARTING:
                stage.bear(name)
            case State.RUNNING if self.fails[name]:
                self.fails[name] -= 1
                self.said.discard(name)
                stage.exit(name, 1)
            case State.RUNNING if name not in self.said:
                self.said.add(name)
                stage.hear(name, LISTENING)
            case State.RUNNING if wants == "exit":
                stage.exit(name)
            case State.RUNNING if wants == "notify":
                stage.check(name, Noticed(is_ready=True))
            case _:
                stage.wait(name)
        for begun, effect in stage.effects:
            if isinstance(effect, Turned) and effect.after.state is State.STARTING is not effect.before.state:
                assert self.may_start(begun), f"{begun} begins without whom it needs"
                self.begun.append(begun)

    def check_who_waits(self) -> None:
        for name in self.names:
            if self.stage[name] is State.WAITING:
                assert not self.may_start(name), f"{name} waits for nobody"
        for name in set(self.names) - set(self.begun):
            assert self.stage[name] is State.WAITING, f"{name} waits no more, and has not begun"

    def check_who_is_held(self) -> None:
        for name in self.names:
            if self.stage[name] is State.STOPPING:
                users = [
                    other
                    for other in self.names
                    for need in self.jobs[other].needs
                    if need.job == name and need.until not in ("done", "ended")
                ]
                has_users = any(not self.stage[other].is_rest for other in users)
                assert self.stage.is_held(name) == has_users, f"{name} is needed by {users}"


@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_jobs_come_up_behind_whom_they_need_and_go_down_before_them(seed: int) -> None:
    crowd = Crowd(seed)
    stage = crowd.stage
    stage.start(*crowd.names)
    crowd.begun += [name for name in crowd.names if stage[name] is State.STARTING]
    crowd.check_who_waits()
    while moving := [name for name in crowd.names if not crowd.stage[name].is_rest and stage[name] is not State.READY]:
        crowd.happen(crowd.chance.choice([name for name in moving if stage[name] is not State.WAITING]))
        crowd.check_who_waits()
    assert {stage[name] for name in crowd.names} == {State.READY, State.DONE}
    places = {name: place for place, name in enumerate(crowd.begun)}  # of the last start, for who was started again
    firsts = {name: crowd.begun.index(name) for name in crowd.names}
    for name, it in crowd.jobs.items():
        assert all(firsts[need.job] < places[name] for need in it.needs)

    up = [name for name in crowd.names if not stage[name].is_rest]
    stage.stop(*crowd.names)
    ended = []
    crowd.check_who_is_held()
    while asked := [name for name in crowd.names if stage.is_asked(name)]:
        ended.append(crowd.chance.choice(asked))
        stage.end(ended[-1])
        crowd.check_who_is_held()
    assert sorted(ended) == sorted(up)
    for name in ended:
        for need in crowd.jobs[name].needs:
            if need.job in ended and need.until not in ("done", "ended"):
                assert ended.index(name) < ended.index(need.job)
