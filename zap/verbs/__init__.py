"""The verbs that scripts use, and people between two looks at the screen: each talks to the runner of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zap.verbs.usage import Subparsers


def register(subparsers: Subparsers, verb: str | None = None) -> None:
    """Adds the parsers, each with a `do` that takes the arguments and gives the exit code.

    When the verb is known only its room is opened: a script that asks for a table does not wait for the others.
    """
    if verb in (None, "ps"):
        from zap.verbs import ps

        ps.register(subparsers)
    if verb in (None, "logs"):
        from zap.verbs import logs

        logs.register(subparsers)
    if verb in (None, "events"):
        from zap.verbs import history

        history.register(subparsers)
    if verb in (None, "timeline"):
        from zap.verbs import timeline

        timeline.register(subparsers)
    if verb in (None, "start", "stop", "restart", "wait"):
        from zap.verbs import change

        change.register(subparsers)
    if verb in (None, "signal", "send", "fix", "pause", "resume"):
        from zap.verbs import act

        act.register(subparsers)
    if verb in (None, "reload", "need", "upgrade"):
        from zap.verbs import revise

        revise.register(subparsers)
    if verb in (None, "why"):
        from zap.verbs import explain

        explain.register(subparsers)
    if verb in (None, "critical"):
        from zap.verbs import spent

        spent.register(subparsers)
    if verb in (None, "tree"):
        from zap.verbs import tree

        tree.register(subparsers)
    if verb in (None, "doctor"):
        from zap.verbs import doctor

        doctor.register(subparsers)
    if verb in (None, "completion", "names"):
        from zap.verbs import completion

        completion.register(subparsers)
