"""The runner's end of the line to its keeper: what is given to be kept, and what comes back (see `keeper`)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from zap import child, keeper
from zap.frame import Plain

TETHER = "--tether"  # behind which a runner is told which descriptor is its end


class Kept(NamedTuple):
    """What the keeper had: by name, what was told with it and its descriptors, which are ours now.

    `ended` is how children of an earlier runner have ended meanwhile, by pid (see `ending`). `why` and `at` are what
    has become of the runner before, and when.
    """

    held: dict[str, tuple[Mapping[str, Plain], list[int]]]
    ended: dict[int, tuple[int | None, int | None]]
    why: str
    at: float


class Tether:
    """`pid` is the keeper's, `argv` starts another runner of `plan`, with the number of its end of the line behind it;
    `forwarded` are signals that it tells us of.

    What is held is remembered here as well, so that this process can become the next keeper.
    """

    def __init__(
        self,
        line: socket.socket,
        pid: int,
        plan: str = "",
        argv: Sequence[str] = (),
        forwarded: Sequence[int] = keeper.FORWARDED,
    ) -> None:
        self.pid = pid
        self._forwarded = list(forwarded)
        self.argv = list(argv)
        self._plan = plan
        self._line = line
        line.set_inheritable(False)  # else the keeper that we may become has it, and so has every runner after that
        self._held: dict[str, tuple[dict[str, Plain], list[int]]] = {}
        self._is_cut = False

    def fileno(self) -> int:
        return self._line.fileno()

    def hold(self, name: str, fds: Sequence[int], pid: int = 0) -> None:
        """Keep copies of these descriptors, until `drop`; the last one tells the end of process `pid`."""
        message = {"hold": name, "pid": pid}
        self._held[name] = (message, list(fds))
        self._send(message, fds)

    def drop(self, name: str) -> None:
        """Before the descriptors are closed here."""
        if self._held.pop(name, None):
            self._send({"drop": name})

    def up(self) -> None:
        self._send({"up": 1})

    def bye(self) -> None:
        self._send({"bye": 1})

    def leave(self, why: str) -> None:
        """We end now, and another one follows."""
        self._send({"leave": [*self.argv, TETHER], "why": why})

    def take(self) -> Kept:
        """Everything that the keeper has; blocks until it has been told. OSError: the keeper is gone."""
        self._send({"give": 1})
        kept = Kept({}, {}, "", 0.0)
        while (received := keeper.receive(self._line, waits=True)) is not None:
            message, fds = received
            if "held" in message:
                name = message["held"]
                plain = {"hold": name, "pid": message["pid"]}
                self._held[name] = (plain, fds)
                kept.held[name] = (plain, fds)
            elif "ended" in message:
                kept.ended[message["ended"]] = message["code"], message["signal"]
            elif "given" in message:
                return kept._replace(why=message["given"], at=message["at"])
        raise OSError("the keeper is gone")

    def hear(
        self,
        on_signal: Callable[[int], None],
        on_end: Callable[[int, int | None, int | None], None],
        on_cut: Callable[[], None],
    ) -> None:
        """What the keeper has told, one of these for each; when the line is readable."""
        try:
            while True:
                received = keeper.receive(self._line)
                if received is None:
                    break
                message, _ = received
                if "ended" in message:
                    on_end(message["ended"], message["code"], message["signal"])
                elif "signal" in message:
                    on_signal(message["signal"])
        except BlockingIOError:
            return
        except OSError:
            pass
        self._is_cut = True
        on_cut()

    def replace(self, why: str, at: float) -> None:
        """Become the keeper of a new runner. Does not return. OSError: it cannot be done."""
        state = {"argv": [*self.argv, TETHER], "held": self._held, "forwarded": self._forwarded, "why": why, "at": at}
        keeper.become(self._plan, state, [fd for _, fds in self._held.values() for fd in fds])

    def close(self) -> None:
        self._line.close()

    def _send(self, message: Mapping[str, Plain], fds: Sequence[int] = ()) -> None:
        """Who is gone is heard of elsewhere."""
        if self._is_cut:
            return
        self._line.settimeout(keeper.SEND_MOST)
        try:
            keeper.send(self._line, dict(message), fds)
        except OSError as error:
            self._is_cut = True
            if isinstance(error, TimeoutError) or error.errno in keeper.FOR_NOW:
                # It stands still, and with it everything that it is for: another one takes its place.
                child.kill([self.pid], child.number("KILL"))
        finally:
            self._line.settimeout(None)


def split(
    plan: str,
    argv: Sequence[str] | None,
    caught: Sequence[int],
    forwarded: Sequence[int] = keeper.FORWARDED,
) -> Tether:
    """Makes this process two: what returns is its child, and it becomes the keeper, which ends with the child's code.

    Without `argv` nobody follows that child; `caught` are signals that came before, `forwarded` those that the child is
    told of. OSError: there is no room for it.
    """
    line, pid = keeper.split(plan, None if argv is None else [*argv, TETHER], caught, list(forwarded))
    return Tether(line, pid, plan, argv or (), forwarded)


class Presses:
    """One signal that reaches both the keeper and us, as Ctrl+C does, is one and not two."""

    def __init__(self) -> None:
        self._counts: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def is_new(self, number: int, is_forwarded: bool = False) -> bool:
        """Whether this one has not come the other way before."""
        known = max(counts.get(number, 0) for counts in self._counts)
        counts = self._counts[is_forwarded]
        counts[number] = counts.get(number, 0) + 1
        return counts[number] > known
