"""One child: spawned in its own session on pipes or terminals, noticed when it ends, signalled with all its family."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from zap.census import RLIMIT_LOCKS, mark
from zap.events import Status

ROWS, COLUMNS = 40, 120  # of a job's terminal, until somebody looks at it through one of another size
FILES_PER_CHILD = 8  # two streams, an input, a pidfd, and the same again for a remedy
FILES_OF_OURS = 64
CAN_HAND_OVER = all(hasattr(os, name) for name in ("splice", "memfd_create", "pidfd_open"))  # to another runner: Linux
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


Output = Literal["out", "err"]


class Child:
    """A process and our ends of its streams. `tag` stands in its environment, `nonce` in its marks.

    `born` is when that was, on the wall.
    """

    __slots__ = ("_popen", "born", "end_fd", "ending", "err_fd", "in_fd", "nonce", "out_fd", "pid", "tag")

    def __init__(
        self,
        popen: subprocess.Popen[bytes] | None,
        pid: int,
        streams: tuple[int | None, int, int],
        end_fd: int,
        nonce: str,
        tag: str,
        born: float,
    ) -> None:
        self._popen = popen  # None for a child of another process
        self.pid = pid
        self.born = born
        self.in_fd, self.out_fd, self.err_fd = streams  # a terminal's in_fd is its out_fd; None: nothing to type into
        self.end_fd = end_fd  # readable when the process has ended
        self.ending: Status | None = None  # of another process's child: how it has ended, once that one has told
        self.nonce = nonce
        self.tag = tag

    @property
    def is_ours(self) -> bool:
        """Whether the kernel tells us how it ends; else `ending` is set by whoever hears of it."""
        return self._popen is not None

    @property
    def descriptors(self) -> list[int]:
        """All of them, for `inherited`: the one that tells of its end is the last."""
        typed = [] if self.in_fd in (None, self.out_fd) else [self.in_fd]
        return [self.out_fd, self.err_fd, *typed, self.end_fd]

    @property
    def has_tty(self) -> bool:
        return self.in_fd == self.out_fd

    @property
    def outputs(self) -> tuple[tuple[int, Output], ...]:
        """What it speaks on: each descriptor, and which of its streams that is."""
        return (self.out_fd, "out"), (self.err_fd, "err")

    def status(self) -> Status | None:
        """How it ended, or None while it lives. The process stays unreaped, so that its pid and group stay its own."""
        if self._popen is None:
            return self.ending
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else has reaped it: as the shell says of what it does not know
            return Status(code=127)
        if ended is None:
            return None
        return Status(code=ended.si_status) if ended.si_code == os.CLD_EXITED else Status(signal=name(ended.si_status))

    def signal_group(self, signal_number: int) -> None:
        """To every process of its group. Only before `close`: after that the group may be another's."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal_number)

    def hush(self) -> None:
        """The terminal stops echoing, so that a secret typed into it is not shown."""
        if not self.has_tty:
            return
        with contextlib.suppress(termios.error):
            settings = termios.tcgetattr(self.out_fd)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(self.out_fd, termios.TCSANOW, settings)

    @property
    def echoes(self) -> bool:
        """Whether its terminal says again what is typed."""
        if not self.has_tty:
            return False
        try:
            return bool(termios.tcgetattr(self.out_fd)[3] & termios.ECHO)
        except termios.error:
            return False

    def write(self, data: bytes) -> int:
        """Types into the child; how many bytes it took, 0 when it takes none now or has no input."""
        if self.in_fd is None:
            return 0
        try:
            return os.write(self.in_fd, data)
        except OSError:  # full, or closed by the other side
            return 0

    def resize(self, rows: int, columns: int) -> None:
        """Its terminals are so large now; who has one is told by SIGWINCH (ioctl_tty(2))."""
        if self.has_tty:
            for fd in (self.out_fd, self.err_fd):
                with contextlib.suppress(OSError):
                    _set_size(fd, rows, columns)

    def close(self) -> None:
        """Reaps it and lets go of its streams. Only after it has ended."""
        if self._popen:
            self._popen.wait()
        for fd in {self.in_fd, self.out_fd, self.err_fd, self.end_fd} - {None}:
            os.close(fd)  # type: ignore[arg-type]


def spawn(
    argv: Sequence[str], *, cwd: str, env: Mapping[str, str], has_tty: bool, has_input: bool, nonce: str, tag: str
) -> Child:
    """A child that leads its own session and group. With a terminal, errors have one of their own, and the path of
    the first is appended to argv for the child to open (see `script.build`). OSError: it could not be started.

    No preexec_fn: it would make Python fork and copy its page tables (1–100 ms) where it can vfork (0.1 ms).
    """
    opened: list[int] = []  # every descriptor made here, until the child has it
    ours: list[int] = []
    try:
        if has_tty:
            try:
                for _ in range(2):
                    master, slave = os.openpty()
                    opened += [master, slave]
                    _set_size(slave, ROWS, COLUMNS)
                    ours.append(master)
                out, err = opened[1], opened[3]
                argv = [*argv, os.ttyname(out)]
            except OSError as error:
                raise _no_terminal(error) from None
            stdin, in_fd = out, ours[0]
        else:
            for _ in range(2):
                reading, writing = os.pipe()
                opened += [reading, writing]
                ours.append(reading)
            out, err = opened[1], opened[3]
            stdin, in_fd = subprocess.DEVNULL, None
            if has_input:
                stdin, in_fd = os.pipe()
                opened += [stdin, in_fd]
                ours.append(in_fd)
        with _marking(tag):
            popen = subprocess.Popen(
                argv, stdin=stdin, stdout=out, stderr=err, cwd=cwd, env=env, start_new_session=True, close_fds=True
            )
    except BaseException:
        for fd in opened:
            os.close(fd)
        raise
    for fd in set(opened) - set(ours):
        os.close(fd)
    for fd in ours:
        os.set_blocking(fd, False)
    try:
        end_fd = _watch_end(popen.pid)
        return Child(popen, popen.pid, (in_fd, ours[0], ours[1]), end_fd, nonce, tag, time.time())
    except OSError:  # no descriptor left to watch it with
        popen.kill()
        popen.wait()
        for fd in ours:
            os.close(fd)
        raise


def inherited(pid: int, fds: Sequence[int], nonce: str, tag: str, born: float, has_tty: bool) -> Child:
    """A child of an earlier runner, by its `descriptors`: it is another process's now, which tells of its end."""
    out_fd, err_fd, *typed, end_fd = fds
    in_fd = out_fd if has_tty else typed[0] if typed else None
    return Child(None, pid, (in_fd, out_fd, err_fd), end_fd, nonce, tag, born)


def identity(pid: int) -> str:
    """`4711.123456`: a pid and when its process was started, in ticks since the machine's (proc_pid_stat(5)).

    No other process has both, until the machine is started anew. Without /proc, or for one that is gone, `4711.0`.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return f"{pid}.{int(file.read().rpartition(b')')[2].split()[19])}"
    except (OSError, IndexError):
        return f"{pid}.0"


def kill(pids: Iterable[int], signal_number: int) -> None:
    """Signals each; who is gone already is left in peace."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal_number)


def reap(pid: int) -> bool:
    """Takes the status of an orphan that was re-parented to us; False while it lives."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # it never became ours
        return True


def ended() -> int | None:
    """Some child of ours that has ended and is not reaped, if there is one."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def number(signal_name: str) -> int:
    """A signal's number by its name without SIG."""
    return signal.Signals[f"SIG{signal_name}"]


def adopt_orphans() -> bool:
    """From now on descendants whose parent dies become our children (PR_SET_CHILD_SUBREAPER), not init's.

    False where the system has no such thing: there, what forks twice and leaves its session is not found again.
    """
    import ctypes

    try:
        return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except AttributeError:  # macOS
        return False


def make_room(children: int, clients: int = 0) -> int | None:
    """Raises the limit of open files, if so many of both need it; the former one, which is what children shall have.

    None when nothing was changed: there is room, or more cannot be had, and then a spawn will say so (EMFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = children * FILES_PER_CHILD + clients + FILES_OF_OURS
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return None
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
    except (OSError, ValueError):
        return None
    return soft


def capture(argv: Sequence[str], cwd: str, env: Mapping[str, str], seconds: float) -> bytes:
    """What a command prints; blocks at most so many seconds. OSError or subprocess.SubprocessError when it fails."""
    return subprocess.run(
        argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=seconds, check=True
    ).stdout


def consult(argv: Sequence[str], fds: Sequence[int], seconds: float) -> str:
    """What a program complains of, which gets these descriptors; empty when it ended well. Blocks at most so long."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=fds, timeout=seconds)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    words = done.stderr.decode(errors="replace").strip().splitlines()
    return words[-1] if words else f"it ended with code {done.returncode}"


def hand_over(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Runs a program on our own terminal until it ends; its code. Ctrl+C is for it alone. OSError: it is not there."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # what is ignored would be so for the program as well
    try:
        with subprocess.Popen(argv, env=env) as program:
            return program.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def suspend() -> None:
    """Asks our whole group to stop, as Ctrl+Z does in a terminal: also who has started us and waits, such as make."""
    os.kill(0, signal.SIGTSTP)


def detach(argv: Sequence[str], env: Mapping[str, str], log: str) -> bytes:
    """Starts a process of its own, in a session of its own, whose errors go to the file `log`, appended.

    Blocks until it closes its standard output or says a whole line there, and returns what it said. OSError: it could
    not be started.
    """
    os.makedirs(os.path.dirname(log), mode=0o700, exist_ok=True)
    reading, writing = os.pipe()
    with open(reading, "rb") as told:
        try:
            with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as errors:
                subprocess.Popen(
                    argv, env=env, stdin=subprocess.DEVNULL, stdout=writing, stderr=errors, start_new_session=True
                ).returncode = 0  # nobody waits for it: it outlives us
        finally:
            os.close(writing)
        return told.readline()


def pipe(argv: Sequence[str], data: bytes, env: Mapping[str, str], seconds: float) -> bool:
    """Gives a command the data to read; whether it ended well. Blocks at most so many seconds, then it is killed.

    What it prints is let go. It may leave a process in the background, as xclip does, which goes on after us.
    """
    try:
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    except OSError:
        return False
    with popen:
        try:
            popen.communicate(data, seconds)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)
            return False
    return popen.returncode == 0


def name(signal_number: int) -> str:
    """A signal's name without SIG; `RT5` and the like for those that have none."""
    try:
        return signal.Signals(signal_number).name.removeprefix("SIG")
    except ValueError:
        return f"RT{signal_number - signal.SIGRTMIN}"


@contextlib.contextmanager
def _marking(tag: str) -> Iterator[None]:
    """Whoever is born within carries the tag's mark. Where the hard limit is too low, and elsewhere than on Linux,
    where that number is of another limit, it has none: then it is known by its tag alone.
    """
    before = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            before = resource.getrlimit(RLIMIT_LOCKS)
            resource.setrlimit(RLIMIT_LOCKS, (mark(tag), before[1]))
    try:
        yield
    finally:
        if before:
            resource.setrlimit(RLIMIT_LOCKS, before)


def _set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _no_terminal(error: OSError) -> OSError:
    """In words: for the system, a terminal more than there may be is space that is not left on a device."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return error
    why = f"/dev/ptmx and /dev/pts are not as they should be ({error.strerror})"
    if error.errno == errno.ENOSPC:
        why = "as many are in use as the system allows, which is what `sysctl kernel.pty.max` says"
    return OSError(error.errno, f"no terminal can be had: {why}; with `tty: false` it needs none")


def _watch_end(pid: int) -> int:
    """A descriptor that is readable once the process has ended: a pidfd, or without those, a pipe and a thread."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    import threading

    reading, writing = os.pipe()

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        os.close(writing)

    threading.Thread(target=wait, daemon=True).start()
    return reading
