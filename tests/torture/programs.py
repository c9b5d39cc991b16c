"""Programs that do not want to end, or cannot be waited for: `python programs.py NAME FOLDER` is one of them.

Whoever is alive for longer than a moment leaves a file in the folder, named by its pid and its start
(proc_pid_stat(5)), so that a test knows whom to look for, whatever zap thinks, and however they hide.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable

SWARM = 12
BOMB_MOST = 60  # processes of one that are alive at a time
BOMB_PAUSE = 0.03  # seconds, of each, until it looks for a place again
LIFETIME = 300.0  # seconds; whatever goes wrong, nobody lives for longer, nor takes the machine with it
FLOOD_LINES = 20_000  # of one burst, which is more than a pipe holds


def command(name: str, folder: str = "pids") -> str:
    """The shell text that becomes this program. Without `site`, which takes longer than the rest."""
    words = [sys.executable, "-I", "-S", os.path.abspath(__file__), name, folder]
    return f"mkdir -p {shlex.quote(folder)}; exec {shlex.join(words)}"


def ignores_term() -> None:
    """And so does its child."""
    refuse()
    if os.fork() == 0:
        stay()
    stay()


def leader_exits() -> None:
    """When it is asked to end; a child of its group refuses."""
    if os.fork() == 0:
        refuse()
        stay()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    stay()


def leader_exits_at_once() -> None:
    """And leaves a child of its group that refuses."""
    refuse()
    if os.fork() == 0:
        stay()


def setsid_grandchild() -> None:
    """Its parent lives, and ends when it is asked to; it does not."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            refuse()
            stay()
        stay()
    stay()


def daemon() -> None:
    """In a session of its own, and nobody's child any more."""
    if os.fork() == 0:
        refuse()
        leave()
        stay()
    os.wait()
    stay()


def forks_when_asked() -> None:
    """Each time that it is asked to end, somebody is born in a session of its own, who refuses."""

    def bear(*_: object) -> None:
        if os.fork() == 0:
            refuse()
            os.setsid()
            stay()

    signal.signal(signal.SIGTERM, bear)
    stay()


def flees_when_asked() -> None:
    """It ends when it is asked to, and a child of its goes elsewhere and refuses."""

    def flee(*_: object) -> None:
        if os.fork() == 0:
            refuse()
            leave()
            stay()
        os._exit(0)

    signal.signal(signal.SIGTERM, flee)
    stay()


def hides() -> None:
    """In another session, under another name, without arguments, environment and mark (`census.mark`); its parent ends
    when it is asked.
    """
    import resource

    if os.fork() == 0:
        refuse()
        os.setsid()
        hide()
        resource.setrlimit(10, (0, 0))
        stay()
    stay()


def hides_for_good() -> None:
    """From the beginning it has no parent of ours any more, and nothing but its mark tells whose it is: as with nginx,
    which is a daemon and writes its title over its environment.
    """
    if os.fork() == 0:
        refuse()
        leave()
        hide()
        stay()
    os.wait()
    stay()


def swarm() -> None:
    refuse()
    for number in range(SWARM):
        if os.fork() == 0:
            if number % 2:
                leave()
            stay()
    stay()


def stops_itself() -> None:
    """Whoever is stopped hears nothing, but for KILL."""
    mark()
    os.kill(os.getpid(), signal.SIGSTOP)
    stay()


def bomb() -> None:
    """Each of them goes on bearing others, as many as there are places: a lock (flock(2)) that is taken for a child
    before it is born, and is free again the moment that it dies.
    """
    import fcntl

    refuse()
    mark()
    until = time.monotonic() + LIFETIME
    mine, place = -1, os.getpid()
    while time.monotonic() < until:
        place = (place + 37) % BOMB_MOST
        fd = os.open(os.path.join(FOLDER, f"place-{place}"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            time.sleep(BOMB_PAUSE)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
        if os.fork():
            os.close(fd)
        else:
            if mine >= 0:
                os.close(mine)
            mine, place = fd, os.getpid()
            if place % 2:
                os.setsid()
            mark()


def forks_at_usr1() -> None:
    """Bears children that stay, one after the other, as long as it lives."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    mark()
    signal.sigwait([signal.SIGUSR1])
    for _ in range(BOMB_MOST):
        if os.fork() == 0:
            os.setsid()
            stay()


def says_last_words() -> None:
    """When it is asked to end; and without a newline."""

    def say(*_: object) -> None:
        os.write(1, b"last words")
        os._exit(0)

    signal.signal(signal.SIGTERM, say)
    os.write(1, b"ready\n")
    stay()


def asks() -> None:
    """A prompt has no newline either."""
    mark()
    os.write(1, b"Your name: ")
    name = sys.stdin.readline().strip()
    os.write(1, f"hello, {name}\n".encode())
    stay()


def flood() -> None:
    """A burst of numbered lines for each USR1, as fast as they are taken."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    mark()
    first = 1
    while True:
        signal.sigwait([signal.SIGUSR1])
        lines = memoryview(b"".join(b"%d\n" % number for number in range(first, first + FLOOD_LINES)))
        while lines:
            lines = lines[os.write(1, lines) :]
        first += FLOOD_LINES


# What they are made of.


def mark() -> None:
    """Here I am."""
    with open("/proc/self/stat", "rb") as file:
        start = file.read().rpartition(b")")[2].split()[19].decode()
    os.close(os.open(os.path.join(FOLDER, f"{os.getpid()}.{start}"), os.O_CREAT | os.O_WRONLY, 0o600))


def stay() -> None:
    mark()
    until = time.monotonic() + LIFETIME
    while (left := until - time.monotonic()) > 0:
        time.sleep(left)


def refuse() -> None:
    """TERM; HUP, which a terminal sends when its leader ends; INT."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def leave() -> None:
    """As a daemon does: a session of its own, no parent that lives, no terminal."""
    os.setsid()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)


def hide() -> None:
    """Another name (PR_SET_NAME, prctl(2)), and nothing where arguments and environment were (proc_pid_stat(5))."""
    import ctypes

    ctypes.CDLL(None).prctl(15, b"kworker/0:1", 0, 0, 0)
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    begin, end = int(fields[45]), int(fields[48])
    ctypes.memset(begin, 0, end - begin)


ENDLESS: dict[str, Callable[[], None]] = {
    program.__name__: program
    for program in (
        *(ignores_term, leader_exits, setsid_grandchild, daemon, forks_when_asked, flees_when_asked, hides),
        *(hides_for_good, swarm, stops_itself, bomb),
    )
}
"""Who has to be ended."""
OTHERS: dict[str, Callable[[], None]] = {
    program.__name__: program for program in (leader_exits_at_once, forks_at_usr1, says_last_words, asks, flood)
}

if __name__ == "__main__":
    FOLDER = os.path.abspath(sys.argv[2])
    (ENDLESS | OTHERS)[sys.argv[1]]()
