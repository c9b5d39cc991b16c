"""What a runner leaves to the next one, kept up to date: at every moment it is all there, whenever this one is killed.

A vault has the records of what the runner knows, a store for each job its output, an inbox the bytes that were read
and not yet taken care of, and the keeper has a copy of every descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from zap import child, memory
from zap.buffer import Buffer
from zap.inbox import Inbox
from zap.memory import KeptChild, Known
from zap.plan import MIB
from zap.store import Place, Store
from zap.tether import Kept, Tether
from zap.vault import Vault

VAULT, INBOX = "vault", "inbox"
REHEARSAL_MOST = 60.0  # seconds
MOST_RECORDS = 2 * MIB  # and as much again as the last full record was: then it is time for another


class Estate:
    def __init__(self, tether: Tether, kept: Kept | None = None) -> None:
        """A new one; or, from what the keeper had, the one of the runner before."""
        self.tether = tether
        self._kept = kept.held if kept else {}
        self.why = kept.why if kept else ""  # what has become of the runner before,
        self.since = kept.at if kept else 0.0  # and when
        self.endings = kept.ended if kept else {}  # of children, meanwhile
        self._next_number = 1
        self._full = 0  # bytes of the last record that said everything
        if kept:
            self._vault = Vault(self._take(VAULT)[0])
            self.inbox = Inbox(self._take(INBOX))
        else:
            self._vault = Vault()
            self.inbox = Inbox()
            tether.hold(VAULT, [self._vault.fd])
            tether.hold(INBOX, self.inbox.fds)

    @property
    def known(self) -> Known:
        """What the runner before has written down. Raises as `memory.read` when it is of another zap."""
        known = memory.read(self._vault.records())
        numbers = [seat.child.numbers for seat in known.seats.values() if seat.child]
        numbers += [task.child.numbers for seat in known.seats.values() for task in seat.tasks]
        places = [known.log, *(stream.place for stream in known.streams.values())]
        used = [number for pair in numbers for number in pair] + [Place(*place).number for place in places]
        self._next_number = max(used, default=0) + 1
        return known

    @property
    def is_long(self) -> bool:
        """Whether the next record has to say everything: it is the first, or there have been many since such a one."""
        return not self._vault.size or self._vault.size > MOST_RECORDS + 2 * self._full

    def write(self, record: bytes, is_full: bool = False) -> None:
        """With this record the turn is settled. OSError: memory is used up."""
        if is_full and self._vault.size:
            vault = Vault()
            try:
                vault.append(record)
            except OSError:
                vault.close()
                raise
            before, self._vault = self._vault, vault
            self.tether.hold(VAULT, [vault.fd])
            before.close()
        else:
            self._vault.append(record)
        if is_full:
            self._full = len(record)
        self.inbox.settle()

    # What the keeper holds for jobs.

    def store(self, name: str, buffer: Buffer, place: tuple[int, int, int] | None = None) -> Store:
        """Of a job's buffer; with a place, the one that was kept, which fills it."""
        if place:
            kept = Place(*place)
            if fds := self._take(_store(name, kept.number)):
                return Store(buffer, fds[0], kept)
        number, self._next_number = self._next_number, self._next_number + 1
        store = Store(buffer, place=Place(number=number))
        self.tether.hold(_store(name, number), [store.fd])
        return store

    def drop_store(self, name: str, store: Store) -> None:
        self.tether.drop(_store(name, store.place.number))
        store.close()

    def hold(self, name: str, fds: Sequence[int]) -> None:
        self.tether.hold(name, fds)

    def hold_child(self, born: child.Child, groups: Sequence[str] = ()) -> KeptChild:
        """A child from its birth on, until `drop`."""
        number, self._next_number = self._next_number, self._next_number + 2
        kept = KeptChild(
            f"child:{number}",
            born.pid,
            born.tag,
            born.nonce,
            born.born,
            (number, number + 1),
            born.has_tty,
            born.in_fd is not None,
            tuple(groups),
        )
        self.tether.hold(kept.name, born.descriptors, born.pid)
        return kept

    def child(self, kept: KeptChild) -> child.Child | None:
        """One that was held; None when the keeper does not know it: it was killed in the middle of telling."""
        fds = self._take(kept.name)
        return child.inherited(kept.pid, fds, kept.nonce, kept.tag, kept.born, kept.has_tty) if fds else None

    def drop(self, kept: KeptChild) -> None:
        self.tether.drop(kept.name)

    def fds(self, name: str) -> list[int]:
        """What was held under this name."""
        return self._take(name)

    def forget_others(self) -> list[str]:
        """What the keeper holds, and nobody knows of: what came in the last moment of the one before. Its names."""
        kept, self._kept = self._kept, {}
        for name, (_, fds) in kept.items():
            self.tether.drop(name)
            for fd in fds:
                os.close(fd)
        return list(kept)

    # Another runner.

    def rehearse(self) -> str:
        """Why the zap that is installed now could not go on from what is written down; empty if it could. Blocks."""
        return child.consult([*self.tether.argv, "--rehearse", str(self._vault.fd)], [self._vault.fd], REHEARSAL_MOST)

    def leave(self, why: str) -> None:
        """This process ends now, and another one follows."""
        self.tether.leave(why)

    def _take(self, name: str) -> list[int]:
        return self._kept.pop(name, ({}, []))[1]


def _store(name: str, number: int) -> str:
    """By what the keeper has it."""
    return f"store:{number}:{name}"
