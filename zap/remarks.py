"""What zap itself says in a job's output: a fact → one line of stream `zap`, or none for facts that speak otherwise."""

from __future__ import annotations

from zap import events
from zap.events import Fact, Row, State
from zap.units import seconds as seconds


def remark(fact: Fact) -> str | None:
    match fact:
        case events.Spawned(epoch=epoch) if epoch > 1:
            return f"↺ restart: run {epoch}"
        case events.NotSpawned():
            return f"✗ cannot start: {fact.why}"
        case events.Became():
            return _became(fact)
        case events.Matched():
            return f"🔧 fixup {fact.fixup}: {fact.about}"
        case events.Proposed():
            would = "\n".join(f"🔧   {line}" for command in fact.commands for line in command.splitlines())
            effects = ", ".join(effect for effect in fact.effects if effect != "none") or "nothing else"
            return f"🔧 fixup {fact.fixup} wants approval ({effects}); with --heal all it would run:\n{would}"
        case events.FixStarted():
            return "\n".join(f"🔧 $ {line}" for line in map(headline, fact.commands)) or None
        case events.Fixed():
            return f"🔧 fixup {fact.fixup}: {'verified' if fact.is_verified else 'done'} after {seconds(fact.seconds)}"
        case events.FixFailed():
            return f"🔧 fixup {fact.fixup} failed: {fact.why}"
        case events.GaveUp():
            return f"🔧 fixup {fact.fixup} gave up: {fact.why}"
        case events.HookStarted():
            return f"⚑ {fact.hook}: {headline(fact.text)}"
        case events.HookFailed():
            return f"⚑ {fact.hook} failed: {fact.why}"
        case events.Probed(is_ok=False, question="health" | "ping"):
            return f"♥ {fact.question} {fact.times}/{fact.most} failed: {fact.by}: {fact.said}"
        case events.Probed(is_ok=True, question="health" | "ping"):
            return f"♥ {fact.question}: {fact.by}: {fact.said}"
        case events.Stormed():
            return f"⚠ {len(fact.jobs)} jobs have failed within {seconds(fact.seconds)}: their restarts are spread"
        case events.Rewired():
            return f"it needs {', '.join(need.job for need in fact.needs) or 'nobody'} from now on"
        case events.Removed():
            return "is not in the plan any more"
        case events.Reloaded():
            parts = zip(("added", "removed", "restarted", "adapted"), fact, strict=True)
            return "; ".join(f"{what} {', '.join(jobs)}" for what, jobs in parts if jobs) or "nothing has changed"
        case events.NotReloaded():
            return f"✗ the plan has changed, and is not right, so all goes on as before:\n{fact.why}"
        case events.Requested():
            return f"{fact.verb} {', '.join(fact.jobs) or 'all'}: asked for by {fact.by}"
        case events.Paused():
            return "⏸ paused" + (f": {fact.why}" if fact.why else "")
        case events.Resumed():
            return "▶ resumed"
        case events.Degraded():
            return f"⚠ {fact.what}: {fact.why}"
        case events.Recovered():
            return f"⚠ {fact.what} works again" + (f"; {fact.lost}" if fact.lost else "")
        case events.Jumped():
            way = "forwards" if fact.seconds > 0 else "back"
            return f"the clock was set {way} by {seconds(abs(fact.seconds))}"
        case events.Slept():
            return f"the machine was asleep for {seconds(fact.seconds)}"
        case events.Left():
            count = "1 process" if fact.processes == 1 else f"{fact.processes} processes"
            return f"{count} of {', '.join(fact.jobs)}, left behind by a runner that is gone: ended"
        case events.TookOver():
            return f"process {fact.pid} took over after {seconds(fact.seconds)}: {fact.why}; the jobs went on"
        case events.Answered():
            return f"⌨ answered the prompt {fact.prompt!r}"
        case events.Overloaded():
            return f"⚠ {fact.what}: {fact.value:,.0f} over {fact.limit:,.0f}/s for {seconds(fact.window)}{fact.advice}"
        case events.Relieved():
            return f"⚠ {fact.what}: relieved, {fact.value:,.0f}/s"
        case _:
            return None


def told(fact: Fact) -> str | None:
    """What happened, as one line of a log of events; None for what happens all the time."""
    match fact:
        case events.Output() | events.CommandStarted() | events.CommandEnded() | events.Measured() | events.Restated():
            return None
        case events.Became(is_in_storm=True) | events.Exited(is_in_storm=True):  # of which Stormed tells
            return None
        case events.Spawned():
            return f"started, process {fact.pid}" + (f", run {fact.epoch}" if fact.epoch > 1 else "")
        case events.Exited():
            return f"{fact.status} after {seconds(fact.seconds)}"
        case events.Signalled():
            return f"was sent {'its keys' if fact.signal == events.KEYS else fact.signal}"
        case events.Became(state=State.STARTING | State.RUNNING | State.WAITING):
            return None
        case events.Waits(lacks=lacks, leavers=leavers):
            if leavers:
                return f"first those end that need it: {', '.join(leavers)}"
            return f"waits for {', '.join(lack.job for lack in lacks)}"
        case events.Notified():
            return f"told: {fact.status}"
        case events.Became(state=State.READY | State.STOPPING | State.FIXING):
            return f"{fact.state}: {fact.why}" if fact.why else str(fact.state)
        case events.FixStarted():
            return f"🔧 fixup {fact.fixup} runs"
        case events.Cleared():
            return "its lines were let go of"
        case events.Opened():
            return f"zap {fact.version} opened {fact.plan}"
        case events.Closed():
            return f"zap has ended; {fact.left} processes could not be ended" if fact.left else "zap has ended"
        case events.Skipped():
            return "some events are gone: they came faster than they were read"
        case _:
            text = remark(fact)
            return headline(text) if text else None


def _became(fact: events.Became) -> str | None:
    match fact.state:
        case State.BACKOFF:
            return f"↺ {fact.why}; next start in {seconds(fact.seconds or 0.0)}"
        case State.FAILED:
            return f"✗ failed: {fact.why}"
        case State.DONE:
            return "✓ done"
        case State.STOPPED:
            return f"■ stopped: {fact.why}" if fact.why else "■ stopped"
        case _:
            return None


def headline(command: str) -> str:
    """The first line of a command, with a sign that there is more."""
    first, more, _ = command.strip().partition("\n")
    return f"{first} …" if more else first


def doing(row: Row, now: float) -> str:
    """What goes on: `web/api running 2/5 npm ci for 12.0 s`."""
    if row.lacks:
        return f"{row.job} waits for {', '.join(lack.job for lack in row.lacks)}"
    command = f" {row.command}/{row.commands} {headline(row.text)}" if row.command else ""
    state = "paused" if row.is_paused else row.state
    return f"{row.job} {state}{command} for {seconds(max(now - row.since, 0.0))}"
