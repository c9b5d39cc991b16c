"""What the interface needs of the terminal that it is in."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from zap.tui.text import Attr


class Host(Protocol):
    """The terminal, and the loop."""

    def redraw(self, is_calm: bool = False) -> None:
        """Soon, or a little later; as often as one likes."""

    def repaint(self) -> None:
        """All of it, also what should be there already."""

    def begin(self, what: Coroutine[Any, Any, None]) -> None:
        """Something that takes a while and that nobody waits for. A ZapError of it ends the interface."""

    def write(self, data: bytes) -> None:
        """To the terminal itself, past the screen."""

    def hand_over(self, argv: Sequence[str]) -> None:
        """The terminal belongs to this program until it ends. OSError: it could not be started."""

    def suspend(self) -> None: ...

    def quit(self, said: str = "") -> None:
        """Close the interface, and say that on the terminal that was given back."""


class Say(Protocol):
    """Tells what an action has led to; nothing takes away what was told."""

    def __call__(self, said: str, attr: Attr = "notice") -> None: ...
