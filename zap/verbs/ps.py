"""`zap ps`: how every job is, in a table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

from zap.choice import among
from zap.frame import Plain
from zap.table import Cell, lines
from zap.units import seconds, size
from zap.verbs import reach, usage

SIGNS = {
    "stopped": ("○", 2),
    "waiting": ("◔", 33),
    "starting": ("◌", 33),
    "running": ("◐", 33),
    "ready": ("●", 32),
    "stopping": ("◍", 33),
    "fixing": ("🔧", 35),
    "backoff": ("↺", 33),
    "done": ("✓", 32),
    "failed": ("✗", 31),
    "paused": ("⏸", 35),
}
HEAD = ("JOB", "STATE", "COMMAND", "UPTIME", "RESTARTS", "CPU", "MEMORY", "PID", "WHY")
RIGHT = ("COMMAND", "RESTARTS", "CPU", "MEMORY", "PID")


def register(subparsers: usage.Subparsers) -> None:
    parser = usage.add(subparsers, "ps", "how every job is", run, "0 when it is told")
    parser.add_argument("names", nargs="*", metavar=usage.NAMES, help="only these")
    usage.add_json(parser, "a job, with `uptime` in seconds while it lives")
    usage.add_colour(parser)


def run(arguments: argparse.Namespace) -> int:
    """Shows how every job is: its state, the running command of how many, how long it has lived or how it ended, how
    often it was started again, what it uses, and why it is so."""
    found = reach.rows(arguments)
    now = time.time()
    rows = [found[job] for job in among(found, arguments.names)]
    if arguments.json:
        for row in rows:
            reach.tell(row | {"uptime": round(uptime(row, now), 3)} if row["pid"] else row)
        return 0
    told = [cells(row, now) for row in rows]
    for text in lines(HEAD, told, right=RIGHT, has_colour=usage.has_colour(arguments.color), width=reach.width()):
        print(text)
    return 0


def cells(row: Mapping[str, Plain], now: float) -> list[Cell | str]:
    state = shown_state(row)
    sign, colour = SIGNS[state]
    lives = bool(row["pid"])
    others = [*(lack["job"] for lack in row["lacks"]), *row["leavers"]]
    asking = [f"fixup {proposed['fixup']} wants approval" for proposed in row["asking"]]
    why = [row["why"], f"waits for {', '.join(others)}" if others else "", *asking]
    return [
        row["job"],
        Cell(f"{sign} {state}", colour),
        f"{row['command']}/{row['commands']}" if row["epoch"] else "",
        seconds(uptime(row, now)) if lives else ended(row),
        f"{row['epoch'] - 1}" if row["epoch"] > 1 else "",
        f"{row['cpu']:.1f} %" if lives else "",
        size(row["memory"]) if lives else "",
        f"{row['pid']}" if lives else "",
        reach.shown("; ".join(filter(None, why))),
    ]


def shown_state(row: Mapping[str, Plain]) -> str:
    return "paused" if row["is_paused"] else str(row["state"])


def uptime(row: Mapping[str, Plain], now: float) -> float:
    """Seconds since the child that lives was born."""
    return max(now - float(row["spawned"]), 0.0)


def ended(row: Mapping[str, Plain]) -> str:
    """How the last child did, if there was one."""
    status = row.get("exit", {})
    if cause := status.get("cause"):
        return {"memory": "out of memory", "unseen": "nobody saw how"}[cause]
    return f"killed by {status['signal']}" if "signal" in status else f"exit {status['code']}" if status else ""
