"""Programs that real-process tests run: one line of POSIX shell each, which needs no more than a shell and Python."""

from __future__ import annotations

import os
import shlex
import sys

from zap.census import RLIMIT_LOCKS


def python(program: str) -> str:
    """By its real path: a project that stands in /tmp is not there for a job that has one of its own."""
    return f"exec {shlex.quote(os.path.realpath(sys.executable))} -S -c {shlex.quote(program)}"


def unmarked(text: str) -> str:
    """This shell text, without the mark by which its job is known (`census.mark`)."""
    limit = f"resource.setrlimit({RLIMIT_LOCKS}, (0, 0))"
    return python(f"import os, resource; {limit}; os.execlp('sh', 'sh', '-c', {text!r})")


CAT = "exec cat"
EXIT_7 = "exit 7"

IGNORES_TERM = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
"""Also what it starts ignores it: only KILL helps."""

HOLDS_PIPE = "sleep 1000 & echo $!"
"""Ends at once, and leaves somebody who holds its output and whose pid it tells."""

FLOODS = "exec yes 0123456789"

DOUBLE_FORKS = "(sleep 1000 >/dev/null 2>&1 & echo $!)"
"""What it leaves is nobody's child any more, but of its group."""

SETSID_ESCAPES = python(
    "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); print(os.getpid(), flush=True)"
    "; [os.dup2(os.open(os.devnull, os.O_RDWR), fd) for fd in (0, 1, 2)]; time.sleep(1000)"
)
"""What it leaves is in a session and a group of its own, as a daemon is, and holds no output."""

PRINTS_AND_DIES = "printf 'last words'; kill -s KILL $$"
"""Its last line has no newline."""

PROMPTS = python("import getpass; print('got', len(getpass.getpass('Password: ')), 'letters')")
"""Asks on /dev/tty, as sudo does, without showing what is typed."""
