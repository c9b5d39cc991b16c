"""The checked plan, kept by the content of the files that it came from: checking costs 200 ms, reading it back 3.

An entry is one JSON file, readable by its owner only, that holds the files' texts as they were. It is used when every
one of them, and the list of files in every folder that was looked into, is still the same, and so is zap itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from collections.abc import Iterable

from zap import __version__
from zap.plan import Plan
from zap.wire import Plain, reader_of, to_plain

SIZE_MOST = 4 * 1024 * 1024  # bytes of files; beyond that the comparison is no cheaper than the check


def read(folder: str | None, path: str) -> Plan | None:
    """The plan at `path` if it is kept and nothing has changed since. Whatever is wrong with the entry, it is None."""
    if folder is None:
        return None
    try:
        with open(_entry(folder, path), encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            kept = json.load(file)
        if kept["seen"] != _see(path, kept["seen"]["files"], kept["seen"]["folders"]):
            return None
        plan: Plan = reader_of(Plan)(kept["plan"])
        return plan
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write(folder: str | None, path: str, plan: Plan, files: Iterable[str], folders: Iterable[str]) -> None:
    """Keeps the plan. A cache that cannot be written is none: no error."""
    if folder is None:
        return
    with contextlib.suppress(OSError, ValueError):
        seen = _see(path, files, folders)
        if sum(len(text) for text in seen["files"].values()) > SIZE_MOST:
            return
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # A name of its own and a rename: a reader sees the old entry or the new one, whole (rename(2)).
        entry = _entry(folder, path)
        unfinished = f"{entry}.{os.getpid()}"
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump({"seen": seen, "plan": to_plain(plan)}, file)  # in ASCII: a path need not be UTF-8
            os.replace(unfinished, entry)
        except OSError:
            os.unlink(unfinished)
            raise


def _entry(folder: str, path: str) -> str:
    # Two plans with one checksum would only take turns in the same entry: the path in it is compared.
    return os.path.join(folder, f"plan-{zlib.crc32(os.fsencode(path)):08x}.json")


def _see(path: str, files: Iterable[str], folders: Iterable[str]) -> dict[str, Plain]:
    """Everything that a plan depends on, as it is now; where one stands decides how its problems are named."""
    return {
        "path": path,
        "here": os.getcwd(),
        "zap": [__version__, sys.version, _age_of_zap()],
        "files": {name: _text(name) for name in files},
        "folders": {name: sorted(os.listdir(name)) if os.path.isdir(name) else [] for name in folders},
    }


def _text(name: str) -> str:
    with open(name, encoding="utf-8", newline="") as file:
        return file.read()


def _age_of_zap() -> int:
    """When the rooms that decide what a plan is were changed last: an upgrade, or somebody working on zap."""
    folder = os.path.dirname(os.path.abspath(__file__))
    rooms = ("plan", "config", "settings", "kinds", "document", "commands", "fixup", "matcher", "graph", "units")
    return max((os.stat(os.path.join(folder, f"{room}.py")).st_mtime_ns for room in rooms), default=0)
