"""What zap itself says in a job's output: a fact → one line of stream `zap`, or none for facts that speak otherwise."""

from __future__ import annotations

from zap import events
from zap.events import Fact, State


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
        case events.Answered():
            return f"⌨ answered the prompt {fact.prompt!r}"
        case events.Overloaded():
            return f"⚠ {fact.what}: {fact.value:,.0f} over {fact.limit:,.0f}/s for {seconds(fact.window)}{fact.advice}"
        case events.Relieved():
            return f"⚠ {fact.what}: relieved, {fact.value:,.0f}/s"
        case _:
            return None


def _became(fact: events.Became) -> str | None:
    match fact.state:
        case State.BACKOFF:
            return f"↺ {fact.why}; next start in {seconds(fact.seconds or 0.0)}"
        case State.FAILED:
            return f"✗ failed: {fact.why}"
        case State.DONE:
            return "✓ done"
        case State.STOPPED:
            return "■ stopped"
        case _:
            return None


def headline(command: str) -> str:
    """The first line of a command, with a sign that there is more."""
    first, more, _ = command.strip().partition("\n")
    return f"{first} …" if more else first


def seconds(value: float) -> str:
    """A duration as a person says it: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 4 min`."""
    if value < 0.9995:  # what is less is not 1000 ms
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
