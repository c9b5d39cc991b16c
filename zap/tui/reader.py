"""What is done with lines, besides looking at them: fetched, searched, sought, copied, saved."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

from zap.errors import ZapError
from zap.escape import plain
from zap.events import Line
from zap.session import Session
from zap.tui import clipboard
from zap.tui.feed import MOST
from zap.tui.host import Host, Say
from zap.tui.output import Output

REST = 1 / 30  # seconds between two looks at what a job says
PAGE = 2000  # lines fetched at once for a file


class Reader:
    """Fetches for outputs, one at a time each. `last` is the newest line of each job, as the events tell."""

    def __init__(
        self, session: Session, host: Host, say: Say, last: Mapping[str, int], environ: Mapping[str, str]
    ) -> None:
        self._session = session
        self._host = host
        self._say = say
        self._last = last
        self._environ = environ
        self._again: set[Output] = set()
        self._fetching: set[Output] = set()

    def refresh(self, output: Output) -> None:
        """Fetch what the output lacks; what comes meanwhile is fetched after a rest, so that a flood costs a frame."""
        self._again.add(output)
        if output not in self._fetching:
            self._fetching.add(output)
            self._host.begin(self._fetch(output))

    async def _fetch(self, output: Output) -> None:
        try:
            while output in self._again:
                self._again.discard(output)
                async with output.feed.turn:
                    if output.wants_newer and await output.feed.newer(output.is_following or output.needs_newer):
                        self._again.add(output)
                    while output.needs_older and await output.feed.older():
                        pass
                self._host.redraw()
                await asyncio.sleep(REST)
        finally:
            self._fetching.discard(output)
            self._again.discard(output)

    async def fetch_filtered(self, output: Output) -> None:
        """What of all that is kept the output's filter lets through, or without one the newest lines."""
        if output.feed.wanted:
            await self.fetch_back(output, lambda line: False)
        self.refresh(output)

    async def fetch_back(self, output: Output, is_so: Callable[[Line], bool]) -> None:
        """Older lines, until the oldest that is here is like this, or all are here that the runner or we keep."""
        feed = output.feed
        async with feed.turn:
            if not feed.is_begun or (feed.dropped and output.is_following):
                await feed.latest()
            while not (output.is_left or (feed.begin < feed.end and is_so(feed[feed.begin].line))):
                if feed.end - feed.begin >= MOST:
                    self._say(f"there are older lines than these {feed.end - feed.begin}: saving takes all", "warn")
                    return
                if not await feed.older(PAGE):
                    break
                self._say(f"fetching older lines: {feed.end - feed.begin}")
        self._say("")

    # Going somewhere.

    async def to_first(self, output: Output) -> None:
        await self.fetch_back(output, lambda line: False)
        if output.selection:
            output.extend(-(10**9))
        else:
            output.go_to(output.feed.begin)

    async def to_hit(self, output: Output, step: int, is_nearest: bool = False) -> None:
        """To the next in this direction; for the nearest, to the one before it if there is none."""
        await self.fetch_back(output, lambda line: False)  # so that the count is of all that is kept
        if not (output.next_hit(step) or (is_nearest and output.next_hit(-step))):
            count = output.hits[1]
            self._say("no more lines match in this direction" if count else "no line matches", "warn")
        self._host.redraw()

    async def to_line(self, output: Output, wanted: Callable[[Line], bool], step: int, what: str) -> None:
        """To the next line of which this is so."""
        await self._seek(output, lambda: output.seek(wanted, step), step, what)

    async def to_command(self, output: Output, step: int) -> None:
        await self._seek(output, lambda: output.seek_command(step), step, "command")

    async def _seek(self, output: Output, is_found: Callable[[], bool], step: int, what: str) -> None:
        while not is_found():
            async with output.feed.turn:
                is_more = step < 0 and await output.feed.older()
            if not is_more:
                self._say(f"no {'later' if step > 0 else 'earlier'} {what}", "warn")
                return
        self._host.redraw()

    async def to_moment(self, output: Output, number: int, at: float) -> None:
        """To the line of this number, or without one to what was said at this time."""
        await self.fetch_back(output, lambda line: line.number <= number if number else line.at <= at)
        output.go_to_first(lambda line: line.number >= number if number else line.at >= at - 0.05)

    # Taking away.

    async def copy(self, lines: list[str]) -> None:
        """To the person's clipboard."""
        loop = asyncio.get_running_loop()

        def write(data: bytes) -> None:
            loop.call_soon_threadsafe(self._host.write, data)

        text = "\n".join(lines) + "\n"
        how = await asyncio.to_thread(clipboard.copy, text, self._environ, write)
        self._say(f"copied {len(lines)} {'line' if len(lines) == 1 else 'lines'} by {how}", "ok")

    async def save(self, output: Output, path: str, shown: Callable[[bytes], str] = plain) -> bool:
        """Every line that is kept, or that the filter lets through; whether that went well."""
        lines = 0
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                for job in output.feed.jobs:
                    prefix = f"{job}: " if len(output.feed.jobs) > 1 else ""
                    since = 0
                    while True:
                        tail = await self._session.tail(job, since, PAGE)
                        wanted = [line for line in tail.lines if not output.feed.wanted or output.feed.wanted(line)]
                        file.writelines(f"{prefix}{shown(line.text)}\n" for line in wanted)
                        lines += len(wanted)
                        if tail.next == since or tail.next >= self._last.get(job, 0):
                            break
                        since = tail.next
                        self._say(f"saving: {lines} lines")
        except OSError as error:
            self._say(f"{path}: {error.strerror}", "notice bad")
            return False
        except ZapError as error:
            self._say(str(error), "notice bad")
            return False
        self._say(f"saved {lines} {'line' if lines == 1 else 'lines'} to {path}", "ok")
        return True
