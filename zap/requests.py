"""What somebody wants, in the imperative; jobs are named in full (`system/job`)."""

from __future__ import annotations

from typing import NamedTuple


class Start(NamedTuple):
    jobs: tuple[str, ...]


class Stop(NamedTuple):
    """End these jobs and all that belongs to them; `is_hurried` does not wait for their grace."""

    jobs: tuple[str, ...]
    is_hurried: bool = False


class Restart(NamedTuple):
    jobs: tuple[str, ...]


class Close(NamedTuple):
    """End every job and all that was started, and then the runner; it is over when Closed has been published."""

    is_hurried: bool = False


Request = Start | Stop | Restart | Close
