"""Orphans are reaped, whoever else keeps calling for it. (Families, signals and the end of all: tests/test_stop.py.)"""

from __future__ import annotations

import asyncio
import os

from tests.zap import DEADLINE
from zap.reaper import REAP_LATER, Reaper


def test_who_calls_all_the_time_does_not_put_it_off() -> None:
    """As probes that end many times a second do."""

    orphan = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], {})

    async def run() -> None:
        reaper = Reaper(asyncio.get_running_loop(), "a runner", is_alone=True, ours=set)
        async with asyncio.timeout(DEADLINE):
            while _is_there(orphan):
                reaper.reap_soon()
                await asyncio.sleep(REAP_LATER / 10)
        reaper.close()

    asyncio.run(run())


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
