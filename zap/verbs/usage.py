"""What the verbs' arguments have in common: how they are called, read and explained."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from zap import units

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
    Do = Callable[[argparse.Namespace], int]

NAMES = "SYSTEM|JOB"
JOB = "JOB"
"""What arguments are called that take names: completion knows them by that."""

EXITS = """\
exit codes: {codes};
2 when the command line is wrong or the runner refuses, 3 when no runner of the plan is there, 130 after Ctrl+C."""


def add(
    subparsers: Subparsers, name: str, about: str, do: Do, codes: str, *, follows: bool = False
) -> argparse.ArgumentParser:
    """A parser for a verb. With `follows`, `-f` is for that, and the plan is named with `--file` alone."""
    parser = subparsers.add_parser(
        name,
        help=about,
        description="\n".join(line.strip() for line in (do.__doc__ or "").splitlines()),
        epilog=EXITS.format(codes=codes),
        formatter_class=formatter,
    )
    parser.set_defaults(do=do)
    flags = ["--file"] if follows else ["-f", "--file"]
    parser.add_argument(*flags, metavar="FILE", help="the plan (default: $ZAP_FILE, or jobs.yaml here or above)")
    if follows:
        parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until the runner ends")
    return parser


def add_json(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"one JSON object per line: {about}")


def add_colour(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="(default: auto)")


def has_colour(choice: str) -> bool:
    """Whether standard output shall have colours (https://no-color.org)."""
    may_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return choice == "always" or (choice == "auto" and may_colour)


def duration(text: str) -> float:
    """Seconds; as the type of an argument."""
    found = units.duration(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text} is not a duration: write seconds, or such as 500ms, 10s, 2m, 1h30m")
    return found


def formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal; argparse, which asks for each argument, would import shutil for that, and it others."""
    try:
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size().columns)
    except (OSError, ValueError):
        columns = 0
    return argparse.RawDescriptionHelpFormatter(prog, width=(columns or 80) - 2)
