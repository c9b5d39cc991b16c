"""Where things are: the plan's file, the bundled fixups, what zap keeps for itself."""

from __future__ import annotations

import os
from collections.abc import Mapping

from zap.errors import ZapError

NAME = "jobs.yaml"


def plan_file(named: str | None, environ: Mapping[str, str]) -> str:
    """The plan: the one that is named, `$ZAP_FILE`, or `jobs.yaml` in the current folder or the nearest one above."""
    try:
        here = folder = os.getcwd()
    except FileNotFoundError:
        raise ZapError("the current folder is gone; go to another one") from None
    given = named or environ.get("ZAP_FILE")
    if given:
        if not os.path.isfile(given):
            source = "-f" if named else "$ZAP_FILE"
            why = "it is not a file" if os.path.exists(given) else "there is no such file"
            raise ZapError(f"{source} {given}: {why}")
        return os.path.abspath(given)
    while True:
        path = os.path.join(folder, NAME)
        if os.path.isfile(path):
            return path
        above = os.path.dirname(folder)
        if above == folder:
            raise ZapError(f"there is no {NAME} in {here} or in a folder above; name one with -f FILE or $ZAP_FILE")
        folder = above


def bundled_fixups() -> str:
    """The folder of the fixups that come with zap: inside the wheel, or beside the package in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "fixups")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "fixups")


def cache_folder(environ: Mapping[str, str]) -> str | None:
    """`$XDG_CACHE_HOME/zap`; None where there is no home to keep it in."""
    base = environ.get("XDG_CACHE_HOME")
    if not base or not os.path.isabs(base):
        home = environ.get("HOME")
        if not home:
            return None
        base = os.path.join(home, ".cache")
    return os.path.join(base, "zap")
