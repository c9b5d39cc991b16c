"""What goes wrong because of what a person asked for; everything else is a bug and keeps its traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # whoever only wants to fail does without the other words, which take a while
    from zap.plan import Where


class ZapError(Exception):
    """A mistake of the user's: the roof prints the message as it is, without a traceback, and exits with `code`."""

    code = 2


class Problem(NamedTuple):
    """One thing wrong in one place of a file; `what` is a whole sentence part that also says what would be right."""

    where: Where
    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.what}" if self.path else f"{self.where}: {self.what}"


class ConfigError(ZapError):
    """Every Problem of the files at once, sorted by place; nothing was started."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))
