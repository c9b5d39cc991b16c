"""What somebody wants, in the imperative; jobs are named in full (`system/job`)."""

from __future__ import annotations

from typing import NamedTuple


class Start(NamedTuple):
    """Bring these jobs up; those that are up already stay as they are."""

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


class Attend(NamedTuple):
    """Somebody is at the keys: for a moment the runner reads floods slowly, so that there is time for what they do."""


class Note(NamedTuple):
    """A line for zap's own log."""

    text: str


class Close(NamedTuple):
    """End every job and all that was started, and then the runner; it is over when Closed has been published."""

    is_hurried: bool = False


JobRequest = Start | Stop | Restart | Signal | Send | Fix | Resize | Clear
Request = JobRequest | Attend | Note | Close
