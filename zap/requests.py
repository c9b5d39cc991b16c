"""What somebody wants, in the imperative; jobs are named in full (`system/job`)."""

from __future__ import annotations

from typing import NamedTuple

from zap.plan import Until


class Start(NamedTuple):
    """Bring these jobs up, and what they need; those that are up already stay as they are."""

    jobs: tuple[str, ...]


class Stop(NamedTuple):
    """End these jobs and all that belongs to them; `is_hurried` does not wait for their grace."""

    jobs: tuple[str, ...]
    is_hurried: bool = False


class Restart(NamedTuple):
    """End these jobs, and start them when all that belongs to them has ended."""

    jobs: tuple[str, ...]


class Signal(NamedTuple):
    """Send a signal, by its name without SIG, to everything that belongs to these jobs."""

    jobs: tuple[str, ...]
    signal: str


class Send(NamedTuple):
    """Type text into the jobs as it is: a line's end has to be in it. What is no UTF-8 is in surrogates (PEP 383)."""

    jobs: tuple[str, ...]
    text: str


class Fix(NamedTuple):
    """Run a fixup for the jobs, approved: the named one, or the one that wants approval.

    Its captures come from the line that called for it, or the newest line that does.
    """

    jobs: tuple[str, ...]
    fixup: str | None = None


class Resize(NamedTuple):
    """The jobs' terminals are so large from now on, also after a restart."""

    jobs: tuple[str, ...]
    rows: int
    columns: int


class Clear(NamedTuple):
    """Let go of what the jobs have said."""

    jobs: tuple[str, ...]


class Pause(NamedTuple):
    """Let the jobs' processes stand still, as they are, until they are resumed or asked to end."""

    jobs: tuple[str, ...]


class Resume(NamedTuple):
    """Let the jobs' processes go on."""

    jobs: tuple[str, ...]


class Need(NamedTuple):
    """From now on the jobs need job `on`, as plan.Need tells; what they needed of it before is forgotten.

    It holds until the plan is reloaded. ZapError: they would wait for each other in a circle.
    """

    jobs: tuple[str, ...]
    on: str
    until: Until = "ready"
    line: str | None = None
    is_optional: bool = False
    follow: bool = False


class Unneed(NamedTuple):
    """The jobs do not need job `on` any more."""

    jobs: tuple[str, ...]
    on: str


class Reload(NamedTuple):
    """Read the plan's files again and do what has changed: jobs whose own settings decide what runs are restarted.

    ZapError, when anything in the files is wrong: nothing has changed then.
    """


class Upgrade(NamedTuple):
    """Hand everything over to a new runner, of the zap that is installed now; the jobs go on.

    ZapError: that one could not do it, and why; nothing has changed then.
    """


class Attend(NamedTuple):
    """Somebody is at the keys: for a moment the runner reads floods slowly, so that there is time for what they do."""


class Note(NamedTuple):
    """A line for zap's own log."""

    text: str


class Close(NamedTuple):
    """End every job and all that was started, and then the runner; it is over when Closed has been published."""

    is_hurried: bool = False


JobRequest = Start | Stop | Restart | Signal | Send | Fix | Resize | Clear | Pause | Resume | Need | Unneed
Request = JobRequest | Reload | Upgrade | Attend | Note | Close
