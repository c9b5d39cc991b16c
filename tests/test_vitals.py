"""Whether a job is ready and well: each kind of question as a story with its times, and what no story may ever do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap import vitals
from zap.events import Notified, Probed
from zap.machine import Passed, Unwell
from zap.plan import Command, Health, Job, Ping, Probe, Ready
from zap.vitals import Answered, Ask, Began, Drop, Heard, Left, Noticed, Outcome, Readied, Say, Tick, Vitals, step

J = "web/api"
JOB = Job(J, "api", (Command("run"),), "/")
PORT = Probe(tcp="localhost:80")
URL = Probe(http="http://localhost/health")
BY_PROBE = Ready(by="probe", probe=PORT, every=2.0, timeout=5.0)
NOTIFY = Ready(by="notify")
HEALTH = Health(URL, every=10.0, timeout=4.0, fails=3)
BY_COMMAND = Ping(after=30.0, command="ask it", timeout=8.0, fails=2)
BY_LINE = Ping(after=30.0, send="hello", timeout=8.0, fails=2)


class Patient:
    """The vitals of a job, and what comes of what they are told."""

    def __init__(self, **settings: object) -> None:
        self.job = JOB._replace(**settings)  # type: ignore[arg-type]
        self.vitals = Vitals()
        self.now = 0.0
        self.heard = 0.0

    def tell(self, given: vitals.Input, at: float | None = None) -> tuple[Outcome, ...]:
        self.now = self.now if at is None else at
        self.vitals, outcome = step(self.vitals, given, self.job, self.now)
        return outcome

    def wait(self) -> tuple[Outcome, ...]:
        """Until what is due next."""
        assert self.vitals.due is not None
        return self.tell(Tick(self.heard), at=max(self.now, self.vitals.due))

    def answer(self, is_ok: bool, said: str = "", at: float | None = None) -> tuple[Outcome, ...]:
        return self.tell(Answered(self.vitals.asked, is_ok, said), at)

    @property
    def due(self) -> float | None:
        return self.vitals.due


def patient(at: float = 0.0, **settings: object) -> Patient:
    """One that lives since then."""
    made = Patient(**settings)
    assert made.tell(Began(1), at) == ()
    return made


def up(at: float = 0.0, **settings: object) -> Patient:
    """One that is ready since then."""
    made = patient(at, **settings)
    assert made.tell(Readied()) == ()
    return made


# Nothing to ask.


def test_of_a_job_without_any_of_this_nothing_is_ever_due() -> None:
    it = Patient()
    assert it.due is None
    for told in (Began(1), Readied(), Noticed(is_ready=True, is_alive=True, is_in_trouble=True), Left()):
        assert it.tell(told) == ()
        assert it.due is None


@pytest.mark.parametrize(
    "given",
    [Readied(), Answered(0, True, ""), Heard(), Noticed(True, True, True, "well", 5.0), Tick(), Left()],
    ids=lambda it: type(it).__name__,
)
def test_who_does_not_live_is_not_well_and_not_ill(given: vitals.Input) -> None:
    it = Patient(ready=BY_PROBE, health=HEALTH, ping=BY_COMMAND, watchdog=5.0)
    assert it.tell(given) == ()
    assert it.vitals == Vitals()


# Ready by a probe.


def test_it_is_asked_at_once_and_again_after_each_failure_until_it_answers() -> None:
    it = patient(100.0, ready=BY_PROBE)
    assert it.due == 100.0
    assert it.wait() == (Ask(1, "ready", PORT, 5.0),)
    assert it.due is None  # while it is out
    failed = Probed(J, 1, "ready", False, "tcp localhost:80", "refused", times=1, most=1, seconds=2.0)
    assert it.answer(False, "refused", at=100.5) == (failed,)
    assert it.due == 102.5
    assert it.wait() == (Ask(2, "ready", PORT, 5.0),)
    assert it.answer(False, "refused") == (failed._replace(times=2),)
    assert it.wait() == (Ask(3, "ready", PORT, 5.0),)
    passed = Probed(J, 1, "ready", True, "tcp localhost:80", "it listens", times=1, most=1, seconds=None)
    assert it.answer(True, "it listens") == (passed, Passed(1))
    it.tell(Readied())
    assert it.due is None


def test_so_many_in_a_row_must_go_well() -> None:
    it = patient(ready=BY_PROBE._replace(passes=3))
    told = []
    for is_ok in (True, True, False, True, True, True):
        it.wait()
        told.append(it.answer(is_ok))
    counts = [(fact.is_ok, fact.times, fact.most) for facts in told for fact in facts if isinstance(fact, Probed)]
    assert counts == [(True, 1, 3), (True, 2, 3), (False, 1, 3), (True, 1, 3), (True, 2, 3), (True, 3, 3)]
    assert [Passed(1) in facts for facts in told] == [False] * 5 + [True]


def test_one_that_is_not_ready_within_its_time_is_not_well() -> None:
    it = patient(100.0, ready=BY_PROBE._replace(within=3.0))
    it.wait()
    it.answer(False)
    it.wait()
    assert (it.now, it.due) == (102.0, 103.0)  # also while a probe is out
    assert it.wait() == (Unwell(1, "it was not ready within 3.0 s"),)
    assert it.tell(Left()) == (Drop(),)
    assert it.due is None


def test_one_that_is_ready_within_its_time_has_no_time_to_keep() -> None:
    it = patient(ready=NOTIFY._replace(within=3.0))
    assert it.due == 3.0
    assert it.tell(Noticed(is_ready=True), at=2.0) == (Passed(1),)
    it.tell(Readied())
    assert it.due is None
    assert it.tell(Tick(), at=50.0) == ()


@pytest.mark.parametrize("by", ["settle", "exit"])
def test_also_one_that_needs_no_sign_can_be_late(by: str) -> None:
    it = patient(ready=Ready(by=by, within=3.0))  # type: ignore[arg-type]
    assert it.wait() == (Unwell(1, "it was not ready within 3.0 s"),)
    assert it.now == 3.0


# Ready by a line, or by its own word.


def test_a_line_makes_it_ready_once() -> None:
    it = patient(ready=Ready(by="line", line="listening"))
    assert it.due is None
    assert it.tell(Heard()) == (Passed(1),)
    it.tell(Readied())
    assert it.tell(Heard()) == ()


def test_its_own_word_makes_it_ready_once() -> None:
    it = patient(ready=NOTIFY)
    assert it.tell(Noticed()) == ()
    assert it.tell(Noticed(is_ready=True)) == (Passed(1),)
    it.tell(Readied())
    assert it.tell(Noticed(is_ready=True)) == ()


@pytest.mark.parametrize("ready", [Ready(), Ready(by="exit"), Ready(by="line", line="x"), BY_PROBE])
def test_its_word_counts_only_where_it_is_asked_for(ready: Ready) -> None:
    assert patient(ready=ready).tell(Noticed(is_ready=True)) == ()


def test_what_it_tells_of_itself_is_told_on() -> None:
    it = patient(ready=NOTIFY)
    assert it.tell(Noticed(is_ready=True, status="3 workers")) == (Notified(J, 1, "3 workers"), Passed(1))
    assert it.tell(Noticed(status="")) == (Notified(J, 1, ""),)


# The watchdog.


def test_who_gives_signs_of_life_is_let_live() -> None:
    it = patient(100.0, watchdog=5.0)
    assert it.due == 105.0
    assert it.tell(Noticed(is_alive=True), at=104.0) == ()
    assert it.due == 109.0
    it.tell(Readied())
    assert it.due == 109.0
    assert it.tell(Tick(), at=108.9) == ()


def test_who_gives_none_is_not_well() -> None:
    it = patient(100.0, watchdog=5.0)
    assert it.tell(Noticed(status="busy"), at=104.0) == (Notified(J, 1, "busy"),)  # not a sign of life
    why = "no sign of life for 5.0 s"
    assert it.wait() == (Probed(J, 1, "watchdog", False, "notify", why), Unwell(1, f"watchdog: {why}"))
    assert it.now == 105.0


def test_it_may_take_another_time_to_give_signs_in() -> None:
    it = patient(100.0, watchdog=5.0)
    assert it.tell(Noticed(watchdog=60.0), at=103.0) == ()
    assert it.due == 163.0
    it.tell(Noticed(is_alive=True), at=110.0)
    assert it.due == 170.0
    assert it.wait()[-1] == Unwell(1, "watchdog: no sign of life for 1 min 0 s")


def test_or_none_at_all() -> None:
    it = patient(watchdog=5.0)
    assert it.tell(Noticed(watchdog=0.0)) == ()
    assert it.due is None
    assert it.tell(Noticed(is_alive=True, is_in_trouble=True)) == ()
    assert it.due is None
    it.tell(Noticed(watchdog=2.0), at=50.0)
    assert it.due == 52.0


def test_who_is_not_watched_cannot_wish_for_it() -> None:
    it = patient()
    assert it.tell(Noticed(is_alive=True, is_in_trouble=True, watchdog=5.0)) == ()
    assert it.due is None


def test_who_tells_that_it_is_in_trouble_is_believed() -> None:
    it = patient(watchdog=5.0)
    assert it.tell(Noticed(is_in_trouble=True)) == (Unwell(1, "watchdog: it has told that it is in trouble"),)


def test_each_life_has_the_watchdog_of_its_settings() -> None:
    it = patient(watchdog=5.0)
    it.tell(Noticed(watchdog=60.0))
    it.tell(Left())
    it.tell(Began(2), at=1000.0)
    assert it.due == 1005.0


# Health.


def test_health_is_asked_for_from_when_it_is_ready() -> None:
    it = patient(100.0, health=HEALTH)
    assert it.due is None
    it.tell(Readied(), at=105.0)
    assert it.due == 115.0
    assert it.wait() == (Ask(1, "health", URL, 4.0),)
    it.answer(True, at=116.0)
    assert it.due == 126.0


def probed(is_ok: bool, times: int, seconds: float | None = 10.0, said: str = "") -> Probed:
    return Probed(J, 1, "health", is_ok, f"http {URL.http}", said, times, 3, seconds)


def test_so_many_failures_in_a_row_and_it_is_not_well() -> None:
    it = up(health=HEALTH)
    told = []
    for said in ("503", "503", "timed out after 4.0 s"):
        it.wait()
        told.append(it.answer(False, said))
    why = f"3 health probes failed, the last one: http {URL.http}: timed out after 4.0 s"
    last = probed(False, 3, None, "timed out after 4.0 s")
    assert told == [(probed(False, 1, said="503"),), (probed(False, 2, said="503"),), (last, Unwell(1, why))]
    assert it.due is None


def test_one_failure_can_be_enough() -> None:
    it = up(health=HEALTH._replace(fails=1))
    it.wait()
    assert it.answer(False, "503")[-1] == Unwell(1, f"1 health probe failed, the last one: http {URL.http}: 503")


def test_what_goes_well_is_told_after_what_did_not() -> None:
    it = up(health=HEALTH)
    told = []
    for is_ok in (True, True, True, False, False, True, True, False):
        it.wait()
        told.append(it.answer(is_ok))
    assert told == [
        (),
        (),
        (),
        (probed(False, 1),),
        (probed(False, 2),),
        (probed(True, 1),),
        (),
        (probed(False, 1),),
    ]


def test_the_failures_before_it_was_ready_do_not_count() -> None:
    it = patient(ready=BY_PROBE, health=HEALTH)
    for is_ok in (False, False, True):
        it.wait()
        it.answer(is_ok)
    it.tell(Readied())
    it.wait()
    assert it.answer(False) == (probed(False, 1),)


# Signs of life that are asked for.


def pinged(is_ok: bool, by: str, said: str, times: int = 1, seconds: float | None = 8.0) -> Probed:
    return Probed(J, 1, "ping", is_ok, by, said, times, 2, seconds)


def test_who_speaks_is_not_pinged() -> None:
    it = up(100.0, ping=BY_COMMAND)
    assert it.due == 130.0
    it.heard = 120.0
    assert it.wait() == ()
    assert it.due == 150.0
    it.heard = 149.0
    assert it.wait() == ()
    assert it.due == 179.0


def test_who_is_silent_is_asked_by_a_command() -> None:
    it = up(100.0, ping=BY_COMMAND)
    it.heard = 100.0
    assert it.wait() == (Ask(1, "ping", Probe(command="ask it"), 8.0),)
    assert it.now == 130.0
    assert it.due is None
    assert it.answer(True, at=131.0) == ()
    assert it.due == 161.0  # after as long a silence again


def test_who_does_not_answer_the_command_is_not_well() -> None:
    it = up(ping=BY_COMMAND)
    it.wait()
    assert it.answer(False, "exit 1", at=31.0) == (pinged(False, "command ask it", "exit 1"),)
    assert it.due == 39.0
    assert it.wait() == (Ask(2, "ping", Probe(command="ask it"), 8.0),)
    why = "2 pings after 30.0 s of silence failed, the last one: exit 2"
    assert it.answer(False, "exit 2") == (pinged(False, "command ask it", "exit 2", 2, None), Unwell(1, why))
    assert it.due is None


def test_a_ping_that_goes_well_is_told_after_one_that_did_not() -> None:
    it = up(ping=BY_COMMAND)
    it.wait()
    it.answer(False, "exit 1")
    it.wait()
    assert it.answer(True, "pong") == (pinged(True, "command ask it", "pong", 1, 30.0),)
    it.wait()
    assert it.answer(False, "exit 1") == (pinged(False, "command ask it", "exit 1"),)


def test_who_is_silent_is_sent_a_line_and_answers() -> None:
    it = up(ping=BY_LINE)
    assert it.wait() == (Say("hello"),)
    assert (it.now, it.due) == (30.0, 38.0)
    it.heard = 33.0
    assert it.wait() == ()
    assert it.due == 68.0
    assert it.wait() == (Say("hello"),)


def test_who_says_nothing_to_a_line_in_time_is_not_well() -> None:
    it = up(ping=BY_LINE)
    it.heard = 0.0
    it.wait()
    said = "it said nothing within 8.0 s"
    assert it.wait() == (pinged(False, "send hello", said),)
    assert (it.now, it.due) == (38.0, 46.0)
    assert it.wait() == (Say("hello"),)
    why = f"2 pings after 30.0 s of silence failed, the last one: {said}"
    assert it.wait() == (pinged(False, "send hello", said, 2, None), Unwell(1, why))
    assert it.due is None


def test_who_answers_the_second_line_is_well() -> None:
    it = up(ping=BY_LINE)
    it.wait()
    it.wait()
    assert it.wait() == (Say("hello"),)
    it.heard = it.now
    assert it.wait() == (pinged(True, "send hello", "it spoke", 1, 30.0),)


def test_a_silence_that_ends_is_no_silence() -> None:
    """What was not answered before it does not count any more."""
    it = up(ping=BY_LINE)
    it.wait()
    it.wait()
    it.heard = 45.0
    assert not any(isinstance(outcome, Say | Unwell) for outcome in it.wait())
    assert (it.now, it.due) == (46.0, 75.0)
    it.wait()
    assert it.wait() == (pinged(False, "send hello", "it said nothing within 8.0 s"),)


def test_a_silence_that_ends_is_told_after_a_ping_that_was_not_answered() -> None:
    """Else whoever looks sees a job that does not answer, for ever."""
    it = up(ping=BY_LINE)
    it.wait()
    it.wait()
    it.heard = 45.0
    assert [type(outcome) for outcome in it.wait()] == [Probed]


# Several at once, one after the other.


def test_never_two_probes_are_out() -> None:
    it = up(health=HEALTH._replace(every=30.0), ping=BY_COMMAND)
    assert it.wait() == (Ask(1, "health", URL, 4.0),)
    assert it.due is None
    assert it.tell(Tick()) == ()
    it.answer(True, at=31.0)
    assert it.due == 30.0
    assert it.wait() == (Ask(2, "ping", Probe(command="ask it"), 8.0),)
    assert it.tell(Tick(), at=70.0) == ()
    it.answer(True)
    assert it.wait() == (Ask(3, "health", URL, 4.0),)


def test_a_starving_watchdog_does_not_wait_for_an_answer() -> None:
    it = up(health=HEALTH, watchdog=12.0)
    it.wait()
    assert it.due == 12.0
    assert it.wait()[-1] == Unwell(1, "watchdog: no sign of life for 12.0 s")


# What nobody waits for any more.


def test_an_answer_comes_once() -> None:
    it = up(health=HEALTH)
    it.wait()
    it.answer(False)
    seen = it.vitals
    assert it.answer(False) == ()
    assert it.vitals == seen


@pytest.mark.parametrize("settings", [{"health": HEALTH}, {"ping": BY_COMMAND}], ids=["health", "ping"])
def test_that_nobody_could_be_asked_says_nothing_and_it_is_asked_again(settings: dict[str, object]) -> None:
    it = up(**settings)
    for asked in range(1, 10):  # more than may fail
        assert [type(outcome) for outcome in it.wait()] == [Ask]
        assert it.tell(Answered(asked, None, "too many open files")) == ()
        assert (it.vitals.fails, it.vitals.pings, it.vitals.passes) == (0, 0, 0)


def test_an_answer_to_an_earlier_question_is_no_news() -> None:
    it = up(health=HEALTH)
    it.wait()
    it.answer(True)
    it.wait()
    seen = it.vitals
    assert it.tell(Answered(1, False, "refused")) == ()
    assert it.vitals == seen


def test_an_answer_to_a_question_before_it_was_ready_is_no_news() -> None:
    it = patient(ready=BY_PROBE, health=HEALTH)
    it.wait()
    assert it.tell(Readied()) == (Drop(),)
    assert it.answer(False) == ()
    assert it.vitals.fails == 0


def test_an_answer_to_a_question_about_an_earlier_child_is_no_news() -> None:
    it = patient(ready=BY_PROBE)
    assert it.wait() == (Ask(1, "ready", PORT, 5.0),)
    assert it.tell(Left()) == (Drop(),)
    it.tell(Began(2), at=10.0)
    it.wait()
    assert it.tell(Answered(1, True, "it listens")) == ()


def test_who_leaves_lets_go_of_the_probe_that_is_out() -> None:
    it = up(health=HEALTH, ping=BY_COMMAND, watchdog=60.0)
    it.wait()
    assert it.tell(Left()) == (Drop(),)
    assert it.due is None
    assert it.tell(Left()) == ()


def test_who_leaves_while_nothing_is_asked_lets_go_of_nothing() -> None:
    it = up(health=HEALTH, ping=BY_COMMAND, watchdog=60.0)
    assert it.tell(Left()) == ()
    assert it.due is None


# Other settings.


def test_by_other_settings_it_is_asked_anew() -> None:
    it = up(health=HEALTH)
    it.wait()
    it.answer(False)
    it.wait()
    it.job = it.job._replace(health=HEALTH._replace(probe=PORT, every=1.0))
    assert it.tell(Readied(), at=50.0) == (Drop(),)
    assert it.due == 51.0
    assert it.wait() == (Ask(3, "health", PORT, 4.0),)
    (fact,) = it.answer(False)
    assert isinstance(fact, Probed)
    assert fact.times == 1


def test_what_is_asked_no_more_is_not_due() -> None:
    it = up(health=HEALTH, ping=BY_LINE)
    it.job = it.job._replace(health=None, ping=None)
    it.tell(Readied())
    assert it.due is None


def test_by_other_settings_pings_are_counted_anew() -> None:
    it = up(ping=BY_COMMAND)
    it.wait()
    it.answer(False, "exit 1")
    it.job = it.job._replace(ping=BY_COMMAND._replace(after=60.0))
    it.tell(Readied(), at=100.0)
    assert it.wait() == (Ask(2, "ping", Probe(command="ask it"), 8.0),)
    assert it.answer(False, "exit 1") == (pinged(False, "command ask it", "exit 1"),)


def test_by_other_settings_a_line_that_was_sent_before_is_not_waited_for() -> None:
    it = up(ping=BY_LINE)
    assert it.wait() == (Say("hello"),)
    it.job = it.job._replace(ping=BY_LINE._replace(send="good day"))
    it.tell(Readied(), at=35.0)
    assert it.wait() == (Say("good day"),)
    assert it.now == 65.0


# Whatever happens.

GIVEN = st.one_of(
    st.just(Began(1)),
    st.just(Readied()),
    st.just(Left()),
    st.just(Heard()),
    st.builds(
        Noticed,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, "busy"]),
        st.sampled_from([None, 0.0, 3.0, 50.0]),
    ),
    st.builds(Answered, st.integers(0, 5), st.booleans(), st.just("refused")),
    st.builds(Tick, st.floats(0.0, 500.0)),
)
SETTINGS: st.SearchStrategy[dict[str, object]] = st.builds(
    dict,
    ready=st.sampled_from([Ready(), NOTIFY._replace(within=20.0), BY_PROBE, BY_PROBE._replace(passes=2, within=9.0)]),
    health=st.sampled_from([None, HEALTH, HEALTH._replace(every=0.1, fails=1)]),
    ping=st.sampled_from([None, BY_COMMAND, BY_LINE, BY_LINE._replace(after=0.5, timeout=0.5)]),
    watchdog=st.sampled_from([None, 4.0]),
)


@given(SETTINGS, st.lists(st.tuples(GIVEN, st.sampled_from([0.0, 0.5, 10.0, 40.0]), st.booleans()), max_size=60))
def test_a_probe_is_never_forgotten_and_never_beside_another(
    settings: dict[str, object], story: list[tuple[vitals.Input, float, bool]]
) -> None:
    """Whatever comes, at any time or when something is due; what follows from it is told at once, as the flock does."""
    it = Patient(**settings)
    out = 0
    for told, later, is_due in story:
        if isinstance(told, Began) and it.vitals.epoch:
            continue
        at = it.now + later
        queue = [told]
        if is_due and it.due is not None:
            at, queue = max(it.now, it.due), [Tick()]
        while queue:
            before, item = it.vitals, queue.pop()
            outcome = it.tell(item, at)
            if isinstance(item, Answered) and item.asked == out:
                out = 0
            if isinstance(item, Tick) and before.due is not None and before.due <= at:
                assert outcome or it.vitals != before, "a tick for nothing"
            for what in outcome:
                match what:
                    case Ask(asked):
                        assert not out, "two probes at once"
                        out = asked
                    case Drop():
                        assert out, "nothing to let go of"
                        out = 0
                    case Unwell():
                        queue.append(Left())
                    case Passed():
                        queue.append(Readied())
            assert (it.vitals.out is None) == (out == 0)
        assert it.vitals.epoch or it.due is None
