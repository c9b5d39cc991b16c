"""Secrets out of a stream, also when a read ends in the middle of one."""

from __future__ import annotations

import re
from collections.abc import Iterable

COVER = "••••".encode()


class Mask:
    """Puts the cover in place of each secret. Of two that begin together the longer one is meant."""

    __slots__ = ("_held", "_pattern", "_secrets")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets))) if self._secrets else None
        self._held = b""

    @property
    def held(self) -> bytes:
        """What may be the beginning of a secret."""
        return self._held

    def hold(self, data: bytes) -> None:
        """Begin with this, which another mask has held."""
        self._held = data

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now: all but an end that might be the beginning of a secret."""
        if self._pattern is None:
            return data
        data = self._held + data
        shown: list[bytes] = []
        at, end = 0, self._begin(data, 0)
        for found in self._pattern.finditer(data):
            if found.start() >= end:
                break
            shown += data[at : found.start()], COVER
            at = found.end()
            if at > end:
                end = self._begin(data, at)
        shown.append(data[at:end])
        self._held = data[end:]
        return b"".join(shown)

    def flush(self) -> bytes:
        """What was held back; no more comes."""
        rest, self._held = self._held, b""
        return self._pattern.sub(COVER, rest) if self._pattern else rest

    def _begin(self, data: bytes, at: int) -> int:
        """The first place, not before `at`, from which the data is the beginning of a secret but not all of it."""
        first = len(data)
        for secret in self._secrets:
            place = data.find(secret[:1], max(at, len(data) - len(secret) + 1), first)
            while place >= 0:
                if secret.startswith(data[place:]):
                    first = place
                    break
                place = data.find(secret[:1], place + 1, first)
        return first
