"""Whether a job that lives is ready, and well: when its probes are due, and what their answers, its notices and its
silence come to.

Like the machine, nothing here acts: `now` comes in, a timer is asked for by `due`, and out come actions. Of one job
never two probes are out at a time, and an answer that nobody waits for any more is no news.
"""

from __future__ import annotations

from typing import NamedTuple

from zap.events import Notified, Probed, Question
from zap.machine import Passed, Unwell
from zap.plan import Job, Probe
from zap.units import seconds as told


class Vitals(NamedTuple):
    """What is known of child `epoch`; 0 when there is none.

    `asked` numbers the probes; `out` is the question that the last of them asks, while it has not answered. The times
    at which something is to be done are None where nothing is: `probe_at` to ask, `within_at` to have become ready,
    `ping_at` to look whether it was silent, `watchdog_at` to have given a sign of life. `fails` and `passes` count the
    probes in a row, `pings` those that it left without an answer; `pinged` is when a line was sent that it has not
    answered yet.
    """

    epoch: int = 0
    is_ready: bool = False
    asked: int = 0
    out: Question | None = None
    fails: int = 0
    passes: int = 0
    pings: int = 0
    pinged: float | None = None
    probe_at: float | None = None
    within_at: float | None = None
    ping_at: float | None = None
    watchdog_at: float | None = None
    watchdog: float | None = None

    @property
    def due(self) -> float | None:
        """When it wants to be told of the time; while a probe is out, there is nothing to begin."""
        times = [self.within_at, self.watchdog_at]
        if self.out is None:
            times += [self.probe_at, self.ping_at]
        return min((at for at in times if at is not None), default=None)


# Inputs.


class Began(NamedTuple):
    epoch: int


class Readied(NamedTuple):
    """The machine counts it as ready."""


class Left(NamedTuple):
    """It is not running any more, or is on its way out."""


class Answered(NamedTuple):
    """What came of probe `asked`; `is_ok` is None when nobody could be asked, which says nothing of the job."""

    asked: int
    is_ok: bool | None
    said: str


class Heard(NamedTuple):
    """It has printed the line that says that it is ready."""


class Noticed(NamedTuple):
    """It has told of itself (sd_notify(3)); `watchdog` is another time to give signs of life in, 0 for none."""

    is_ready: bool = False
    is_alive: bool = False
    is_in_trouble: bool = False
    status: str | None = None
    watchdog: float | None = None


class Tick(NamedTuple):
    """The time that `due` asked for has come; `heard` is when the job has last said anything."""

    heard: float = 0.0


Input = Began | Readied | Left | Answered | Heard | Noticed | Tick


# Actions.


class Ask(NamedTuple):
    """Begin this probe; answer with Answered. It fails when it takes longer than `timeout` seconds."""

    asked: int
    question: Question
    probe: Probe
    timeout: float


class Drop(NamedTuple):
    """End the probe that is out; no answer is wanted any more."""


class Say(NamedTuple):
    """Type this line into the job."""

    line: str


Action = Ask | Drop | Say
Outcome = Action | Passed | Unwell | Probed | Notified
Step = tuple[Vitals, tuple[Outcome, ...]]


def step(vitals: Vitals, given: Input, job: Job, now: float) -> Step:
    """What is known then, and what follows: things to do, inputs for the machine, and facts to be told."""
    match given:
        case Began(epoch):
            return _begin(vitals, epoch, job, now), ()
        case Left():
            return Vitals(asked=vitals.asked), (Drop(),) if vitals.out else ()
        case _ if not vitals.epoch:
            return vitals, ()
        case Readied():
            return _ready(vitals, job, now)
        case Answered():
            return _answered(vitals, given, job, now)
        case Heard():
            return (vitals, ()) if vitals.is_ready else (vitals, (Passed(vitals.epoch),))
        case Noticed():
            return _noticed(vitals, given, job, now)
        case Tick(heard):
            return _on_time(vitals, job, heard, now)


def _begin(vitals: Vitals, epoch: int, job: Job, now: float) -> Vitals:
    """Numbers go on, so that no answer about an earlier child is taken for one about this."""
    return Vitals(
        epoch=epoch,
        asked=vitals.asked,
        probe_at=now if job.ready.by == "probe" else None,
        within_at=None if job.ready.within is None else now + job.ready.within,
        watchdog=job.watchdog,
        watchdog_at=None if job.watchdog is None else now + job.watchdog,
    )


def _ready(vitals: Vitals, job: Job, now: float) -> Step:
    """From here on it is its health that is asked for; anew, if that is by other settings now."""
    up = vitals._replace(is_ready=True, out=None, fails=0, passes=0, pings=0, pinged=None, within_at=None)
    up = up._replace(
        probe_at=now + job.health.every if job.health else None, ping_at=now + job.ping.after if job.ping else None
    )
    return up, (Drop(),) if vitals.out else ()


def _on_time(vitals: Vitals, job: Job, heard: float, now: float) -> Step:
    """One thing at a time; what else is due comes next, because `due` is still there."""
    epoch = vitals.epoch
    if vitals.within_at is not None and vitals.within_at <= now:
        assert job.ready.within is not None
        return vitals, (Unwell(epoch, f"it was not ready within {told(job.ready.within)}"),)
    if vitals.watchdog_at is not None and vitals.watchdog_at <= now:
        why = f"no sign of life for {told(vitals.watchdog or 0.0)}"
        return vitals, (Probed(job.name, epoch, "watchdog", False, "notify", why), Unwell(epoch, f"watchdog: {why}"))
    if vitals.out:
        return vitals, ()
    if vitals.probe_at is not None and vitals.probe_at <= now:
        return _ask(vitals, job)
    if vitals.ping_at is not None and vitals.ping_at <= now:
        return _look_at_silence(vitals, job, heard, now)
    return vitals, ()


def _ask(vitals: Vitals, job: Job) -> Step:
    if vitals.is_ready:
        assert job.health is not None
        return _out(vitals, "health", job.health.probe, job.health.timeout)
    assert job.ready.probe is not None
    return _out(vitals, "ready", job.ready.probe, job.ready.timeout)


def _out(vitals: Vitals, question: Question, probe: Probe, timeout: float) -> Step:
    asking = vitals._replace(asked=vitals.asked + 1, out=question)
    return asking, (Ask(asking.asked, question, probe, timeout),)


def _answered(vitals: Vitals, answer: Answered, job: Job, now: float) -> Step:
    if answer.asked != vitals.asked or vitals.out is None:
        return vitals, ()
    question, back = vitals.out, vitals._replace(out=None)
    if question == "ping":
        assert job.ping is not None
        if answer.is_ok is None:
            return back._replace(ping_at=now + job.ping.after), ()
        return _pong(back, answer.is_ok, answer.said, job, now)
    if question == "health":
        assert job.health is not None
        every, most, probe = job.health.every, job.health.fails, job.health.probe
    else:
        assert job.ready.probe is not None
        every, most, probe = job.ready.every, job.ready.passes, job.ready.probe
    back = back._replace(probe_at=now + every)
    if answer.is_ok is None:
        return back, ()
    back = back._replace(
        fails=0 if answer.is_ok else vitals.fails + 1,
        passes=vitals.passes + 1 if answer.is_ok else 0,
    )
    times = back.passes if answer.is_ok else back.fails
    is_over = times >= most and answer.is_ok == (question == "ready")
    tells = question == "ready" or not answer.is_ok or vitals.fails > 0
    wait = None if is_over else every
    fact = Probed(job.name, back.epoch, question, answer.is_ok, str(probe), answer.said, times, most, wait)
    told_facts = (fact,) if tells else ()
    if not is_over:
        return back, told_facts
    if question == "ready":
        return back, (*told_facts, Passed(back.epoch))
    why = f"{_times(times, 'health probe')} failed, the last one: {probe}: {answer.said}"
    return back._replace(probe_at=None), (*told_facts, Unwell(back.epoch, why))


def _look_at_silence(vitals: Vitals, job: Job, heard: float, now: float) -> Step:
    ping = job.ping
    assert ping is not None
    if vitals.pinged is not None:
        spoke = heard >= vitals.pinged
        said = "it spoke" if spoke else f"it said nothing within {told(ping.timeout)}"
        return _pong(vitals._replace(pinged=None), spoke, said, job, now)
    if heard + ping.after > now:
        return _pong(vitals, True, "it spoke", job, now, heard + ping.after - now)
    if ping.command is not None:
        return _out(vitals, "ping", Probe(command=ping.command), ping.timeout)
    return vitals._replace(pinged=now, ping_at=now + ping.timeout), (Say(ping.send or ""),)


def _pong(vitals: Vitals, is_ok: bool, said: str, job: Job, now: float, wait: float | None = None) -> Step:
    """A ping that was not answered is repeated after its timeout, one that was, after as long a silence again."""
    ping = job.ping
    assert ping is not None
    by = f"command {ping.command}" if ping.command is not None else f"send {ping.send}"
    pings = 0 if is_ok else vitals.pings + 1
    if wait is None:
        wait = ping.after if is_ok else ping.timeout
    back = vitals._replace(pings=pings, ping_at=now + wait)
    is_over = pings >= ping.fails
    tells = not is_ok or vitals.pings > 0
    times, seconds = max(pings, 1), None if is_over else wait
    fact = Probed(job.name, back.epoch, "ping", is_ok, by, said, times, ping.fails, seconds)
    facts = (fact,) if tells else ()
    if not is_over:
        return back, facts
    why = f"{_times(pings, 'ping')} after {told(ping.after)} of silence failed, the last one: {said}"
    return back._replace(ping_at=None), (*facts, Unwell(back.epoch, why))


def _noticed(vitals: Vitals, notice: Noticed, job: Job, now: float) -> Step:
    epoch = vitals.epoch
    outcome: list[Outcome] = []
    if notice.status is not None:
        outcome.append(Notified(job.name, epoch, notice.status))
    if notice.watchdog is not None and job.watchdog is not None:
        watchdog = notice.watchdog or None
        vitals = vitals._replace(watchdog=watchdog, watchdog_at=now + watchdog if watchdog else None)
    if notice.is_alive and vitals.watchdog is not None:
        vitals = vitals._replace(watchdog_at=now + vitals.watchdog)
    if notice.is_ready and job.ready.by == "notify" and not vitals.is_ready:
        outcome.append(Passed(epoch))
    if notice.is_in_trouble and vitals.watchdog is not None:
        outcome.append(Unwell(epoch, "watchdog: it has told that it is in trouble"))
    return vitals, tuple(outcome)


def _times(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
