"""Where things are: the plan's file, the bundled fixups, what zap keeps for itself."""

from __future__ import annotations

import hashlib
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


def plan_id(path: str) -> str:
    """By what the plan at this absolute path is told from others on the machine; also where links lead to it."""
    folder, name = os.path.split(path)
    return hashlib.sha256(os.fsencode(os.path.join(os.path.realpath(folder), name))).hexdigest()[:12]


def runtime_folder(environ: Mapping[str, str], plan: str) -> str:
    """Where a plan's runner is found while it lives: `$XDG_RUNTIME_DIR/zap/ID`, else a folder of the user's in /tmp.

    Also where that variable is somebody else's, as after `su`.
    """
    base = environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isabs(base) and os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK):
        return os.path.join(base, "zap", plan)
    return os.path.join("/tmp", f"zap-{os.getuid()}", plan)


def state_folder(environ: Mapping[str, str], plan: str) -> str:
    """What is kept of a plan from runner to runner: `$XDG_STATE_HOME/zap/ID`; without a home, where they are found."""
    base = _home(environ, "XDG_STATE_HOME", ".local/state")
    return os.path.join(base, "zap", plan) if base else runtime_folder(environ, plan)


def log_file(environ: Mapping[str, str], plan: str) -> str:
    """What a runner in the background has to say to nobody."""
    return os.path.join(state_folder(environ, plan), "runner.log")


def bundled_fixups() -> str:
    """The folder of the fixups that come with zap: inside the wheel, or beside the package in a checkout."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "fixups")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "fixups")


def cache_folder(environ: Mapping[str, str]) -> str | None:
    """`$XDG_CACHE_HOME/zap`; None where there is no home to keep it in."""
    base = _home(environ, "XDG_CACHE_HOME", ".cache")
    return base and os.path.join(base, "zap")


def config_file(environ: Mapping[str, str]) -> str | None:
    """What a person prefers: `$XDG_CONFIG_HOME/zap/config.yaml`, whether it exists or not; None without a home."""
    base = _home(environ, "XDG_CONFIG_HOME", ".config")
    return base and os.path.join(base, "zap", "config.yaml")


def _home(environ: Mapping[str, str], variable: str, standard: str) -> str | None:
    """The XDG Base Directory Specification has a relative path ignored."""
    base = environ.get(variable)
    if base and os.path.isabs(base):
        return base
    home = environ.get("HOME")
    return os.path.join(home, standard) if home else None
