"""What the verbs have in common: whom they talk to, which jobs are meant, and how they speak."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping

from zap import dial, paths
from zap.choice import among
from zap.errors import ZapError
from zap.frame import Plain


def runner(arguments: argparse.Namespace) -> dial.Line:
    """A line to the runner of the plan that is meant. NoRunner when there is none."""
    path = paths.plan_file(arguments.file, os.environ)
    line = dial.reach(paths.runtime_folder(os.environ, paths.plan_id(path)))
    if line is None:
        raise dial.NoRunner(f"no runner of {path} is there; `zap up` starts one")
    return line


def rows(arguments: argparse.Namespace) -> dict[str, dict[str, Plain]]:
    """How every job is, in the plan's order: the fields of `events.Row`, as `wire` tells them."""
    found = {}
    with runner(arguments) as line:
        for event in line.follow():
            if event["event"] != "restated":  # behind them stand pointers, one to zap's own log at the least
                break
            found[event["job"]] = event["row"]
    return found


def one(rows: Mapping[str, object], name: str) -> str:
    """The one job that a name means. ZapError: it means none, or several."""
    meant = among(rows, [name])
    if len(meant) > 1:
        raise ZapError(f"{name} is a system of {len(meant)} jobs; name one of them")
    return meant[0]


def tell(told: Mapping[str, Plain]) -> None:
    """As one line of JSON, which a terminal may be shown as well."""
    text = json.dumps(told, ensure_ascii=False)
    print(text if text.isprintable() else json.dumps(told))


def width(fd: int = 1) -> int | None:
    """Columns of the terminal, where it is one."""
    try:
        return os.get_terminal_size(fd).columns or None
    except OSError:
        return None


def clock(at: float) -> str:
    """The time of day, to milliseconds."""
    return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03}"


def shown(text: str) -> str:
    """As one line that may reach a terminal."""
    if text.isprintable():
        return text
    from zap import escape

    return escape.plain(" ".join(text.split("\n")).encode(errors="replace"))
