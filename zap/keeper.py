"""The small parent of a runner: it outlives it, holds what a runner needs to go on, and starts the next one.

A program of its own: `keeper.py PLAN FD`, where FD has the state that it begins with (`State`). It imports nothing of
zap, and hardly anything else, so that little can fail, and little is kept in memory. With its runner it speaks over a
socket of packets (SOCK_SEQPACKET, unix(7)), each a JSON object, with descriptors (SCM_RIGHTS):

    hold NAME, descriptors     keep copies of them; in the place of those that had this name; `pid` is whose they are
    drop NAME                  let go of them, and reap that process
    give                       tell me all of it: one `held` for each, `ended` for who has ended meanwhile, then `given`
    up                         from now on a runner that ends without `bye` is followed by another
    leave ARGV                 this runner ends to make way for another one: start that by ARGV
    bye                        this runner ends because everything has
    ended PID                  (from the keeper) a child of an earlier runner, which is ours now, has ended so
    signal NUMBER              (from the keeper) somebody has sent us this
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False  # typing would be one import more
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Fields = dict[str, Any]  # plain data, as JSON has it

CRASHES = 3  # of runners, unless ZAP_CRASHES says another number, within

CRASH_WINDOW = 60.0  # seconds: then there is no use in starting another
START_MOST = 10.0  # seconds in which a runner that cannot be started is tried again: memory may be short for a moment
END_MOST = 10.0  # seconds to wait for KILLed processes that the kernel does not let go of
AGAIN = 0.02  # seconds between looks at them, or tries
SEND_MOST = 10.0  # seconds; who takes nothing for so long is not there
FOR_NOW = {errno.ENOMEM, errno.ENOBUFS, errno.ETOOMANYREFS}
MOST_FDS = 253  # of one message (unix(7), SCM_RIGHTS)
PACKET = 64 * 1024  # bytes; longer ones are not sent
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAILED = 70  # EX_SOFTWARE of sysexits(3)


def send(line: socket.socket, message: Fields, fds: Sequence[int] = ()) -> None:
    """One packet. OSError: nobody is there, or what there is takes no more, or memory is used up for long."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    data = [json.dumps(message).encode()]
    until = time.monotonic() + SEND_MOST
    while True:
        try:
            line.sendmsg(data, rights)
            return
        except OSError as error:
            if error.errno not in FOR_NOW or time.monotonic() > until:
                raise
        time.sleep(AGAIN)


def receive(line: socket.socket, waits: bool = False) -> tuple[Fields, list[int]] | None:
    """One packet and the descriptors that came with it, closed on exec; None at the end.

    BlockingIOError: there is none yet, and we do not wait.
    """
    data, rights, _, _ = line.recvmsg(PACKET, socket.CMSG_SPACE(MOST_FDS * 4), 0 if waits else socket.MSG_DONTWAIT)
    fds = array.array("i")
    for level, kind, content in rights:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    for fd in fds:
        os.set_inheritable(fd, False)
    return (json.loads(data), list(fds)) if data else None


def become(plan: str, state: Fields, fds: list[int]) -> None:
    """Turns this process, with all its children, into a keeper that begins with this state. OSError: it cannot.

    `fds` are those that the state speaks of. That orphans come to us outlives an exec (PR_SET_CHILD_SUBREAPER).
    """
    told = os.memfd_create("zap-keeper", 0)
    os.write(told, json.dumps(state).encode())
    os.lseek(told, 0, os.SEEK_SET)
    for fd in fds:
        os.set_inheritable(fd, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, state["forwarded"])  # they wait until we hear them again
    try:
        os.execv(sys.executable, [sys.executable, "-I", "-S", os.path.abspath(__file__), plan, str(told)])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, state["forwarded"])


class Keeper:
    """`argv` starts a runner, with the number of its end of the socket behind it; None: nobody follows this one."""

    def __init__(
        self,
        line: socket.socket | None,
        runner: int,
        argv: list[str] | None,
        held: Fields,
        forwarded: Sequence[int] = FORWARDED,
    ) -> None:
        self.line = line
        self.runner = runner  # a pid, 0 when there is none
        self.argv = argv
        self.held = held  # by name: what was told with it, and the descriptors
        self.ended: dict[int, Fields] = {}  # children that are ours, by pid, and not let go of yet
        self.crashes: list[float] = []
        self.most_crashes = int(os.environ.get("ZAP_CRASHES") or CRASHES)
        self.is_up = bool(held)
        self.is_leaving = False
        self.has_said_bye = False
        self.has_orphans = True
        self.why = ""
        self.gone_at = 0.0
        self.poll = select.poll()
        self.ours: dict[int, int] = {}  # by descriptor that tells its end: a pid
        self.wake, waker = os.pipe()
        for fd in (self.wake, waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self.forwarded = forwarded
        for number in (*forwarded, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
        self.poll.register(self.wake, select.POLLIN)
        if line:
            self.poll.register(line, select.POLLIN)

    def keep(self) -> int:
        """Until there is nothing to keep any more; the exit code."""
        if not self.runner:
            self.inherit()
            self.start()
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.wake:
                    self.on_signals()
                elif self.line and fd == self.line.fileno():
                    self.on_message()
                elif fd in self.ours:
                    self.on_end(fd)
            status = self.reap() if self.has_orphans else None
            if status is not None:
                self.read_rest()
                code = self.follow(status)
                if code is not None:
                    return code

    def on_signals(self) -> None:
        for number in os.read(self.wake, 4096):
            if number in self.forwarded:
                self.tell({"signal": number})
            else:
                self.has_orphans = True

    def on_message(self) -> bool:
        """Whether there may be more."""
        try:
            received = receive(self.line) if self.line else None
        except BlockingIOError:
            return False
        except OSError:
            received = None
        if received is None:
            self.hang_up()
            return False
        message, fds = received
        if "hold" in message:
            self.let_go(message["hold"])
            self.held[message["hold"]] = (message, fds)
        elif "drop" in message:
            self.let_go(message["drop"])
        elif "give" in message:
            self.give()
        elif "up" in message:
            self.is_up = True
        elif "leave" in message:
            self.argv, self.is_leaving, self.why = message["leave"], True, message["why"]
        elif "bye" in message:
            self.has_said_bye = True
        return True

    def read_rest(self) -> None:
        """What the runner has still told before it ended."""
        while self.line and self.on_message():
            pass

    def hang_up(self) -> None:
        if self.line:
            self.poll.unregister(self.line)
            self.line.close()
            self.line = None

    def let_go(self, name: str) -> None:
        message, fds = self.held.pop(name, ({}, []))
        pid = message.get("pid", 0)
        if pid in self.ended:
            del self.ended[pid]
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        for fd in fds:
            if self.ours.pop(fd, None) is not None:
                self.poll.unregister(fd)
            os.close(fd)

    def give(self) -> None:
        for message, fds in list(self.held.values()):
            self.tell({**message, "held": message["hold"]}, fds)
        for fields in self.ended.values():
            self.tell(fields)
        self.tell({"given": self.why, "at": self.gone_at})

    def tell(self, message: Fields, fds: Sequence[int] = ()) -> None:
        if self.line:
            with contextlib.suppress(OSError):  # it is gone: we shall hear of it
                send(self.line, message, fds)

    def inherit(self) -> None:
        """The children of a runner that is gone are ours now: their ends are told to us."""
        for message, fds in self.held.values():
            if message.get("pid") and message["pid"] not in self.ended and fds[-1] not in self.ours:
                self.ours[fds[-1]] = message["pid"]
                self.poll.register(fds[-1], select.POLLIN)

    def on_end(self, fd: int) -> None:
        """A child has ended. It stays unreaped until the runner lets go of it, so that its pid remains its own."""
        self.poll.unregister(fd)
        pid = self.ours.pop(fd)
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it became another's before we were there
            found = None
        self.ended[pid] = {"ended": pid, "code": None, "signal": None}
        if found:
            self.ended[pid]["code" if found.si_code == os.CLD_EXITED else "signal"] = found.si_status
        self.tell(self.ended[pid])

    def reap(self) -> int | None:
        """Takes the status of every orphan that has ended; the runner's, if that is one of them."""
        self.has_orphans = False
        held = {message.get("pid") for message, _ in self.held.values()}
        status = None
        for pid in children():
            if pid not in held:
                try:
                    reaped, how = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue
                if reaped and pid == self.runner:
                    status = how
        return status

    def follow(self, status: int) -> int | None:
        """The runner has ended: another one follows, or the exit code."""
        code = os.waitstatus_to_exitcode(status)
        before, self.runner, self.gone_at = self.runner, 0, time.time()
        self.hang_up()
        if self.argv is None or self.has_said_bye or not self.is_up:
            self.end_all()
            return code if code >= 0 else 128 - code
        if self.is_leaving:
            self.upgrade()
        else:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            self.why = f"the runner before ended by {how}"
            self.crashes = [*(at for at in self.crashes if at > self.gone_at - CRASH_WINDOW), self.gone_at]
            say(f"the runner, process {before}, ended by {how}")
            if len(self.crashes) >= self.most_crashes:
                left = self.end_all()
                say(f"{len(self.crashes)} runners ended within a minute, so that all jobs were; {left} processes left")
                return FAILED
        self.inherit()
        self.start()
        return None

    def upgrade(self) -> None:
        """The next runner is of what is installed now, and so shall its keeper be."""
        self.is_leaving = False
        fds = [fd for _, fds in self.held.values() for fd in fds]
        state = {"argv": self.argv, "held": self.held, "forwarded": self.forwarded, "why": self.why, "at": self.gone_at}
        try:
            become(sys.argv[1], state, fds)
        except OSError as error:
            say(f"the keeper stays what it is: {error}")

    def start(self) -> None:
        """Another runner, which asks for what is held."""
        assert self.argv is not None
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(theirs.fileno(), True)
        argv = [*self.argv, str(theirs.fileno())]
        until = time.monotonic() + START_MOST
        while not self.runner:
            try:
                self.runner = os.posix_spawn(argv[0], argv, os.environ, setsigdef=[*self.forwarded, signal.SIGCHLD])
            except OSError as error:
                if time.monotonic() > until:
                    say(f"no runner can be started, so that all jobs are ended: {error}")
                    self.end_all()
                    sys.exit(FAILED)
                time.sleep(AGAIN)
        theirs.close()
        self.line = ours
        self.poll.register(ours, select.POLLIN)

    def end_all(self) -> int:
        """KILLs every process below us; how many even that did not end."""
        until = time.monotonic() + END_MOST
        met: set[int] = set()
        while (left := below(os.getpid())) and time.monotonic() < until:
            is_growing = bool(met and left - met)  # then all are stopped first: who is stopped bears nobody
            met |= left
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGSTOP if is_growing else signal.SIGKILL)
            for pid in children():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if not is_growing:
                time.sleep(AGAIN)
        return len(left)


def say(text: str) -> None:
    """Into the log, which standard error is."""
    with contextlib.suppress(OSError):
        os.write(2, f"{time.strftime('%F %T')} zap's keeper: {text}\n".encode())


def children() -> list[int]:
    """Ours, ended ones too."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid, (parent, _) in processes().items() if parent == me]


def below(me: int) -> set[int]:
    """Everyone alive who descends from this process."""
    table = processes()
    found = {me}
    while more := {pid for pid, (parent, _) in table.items() if parent in found} - found:
        found |= more
    return {pid for pid in found - {me} if table[pid][1] not in "ZX"}


def processes() -> dict[int, tuple[int, str]]:
    """Parent and state of everyone, by pid (proc_pid_stat(5))."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            table[int(entry)] = (int(parent), state.decode())
    return table


def split(
    plan: str, argv: list[str] | None, caught: Sequence[int], forwarded: Sequence[int]
) -> tuple[socket.socket, int]:
    """The child goes on, and gets its end of the socket and our pid. We keep it, and end with its code.

    With `argv`, by which other runners are started, as a program of our own, that needs less memory. `caught` are
    signals that came before. Orphans must come to us already, and there must be only one thread.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
    runner = os.fork()
    if not runner:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
        ours.close()
        return theirs, pid
    theirs.close()
    try:
        if argv is not None:
            state = {"argv": argv, "held": {}, "line": ours.fileno(), "runner": runner, "forwarded": forwarded}
            become(plan, state, [ours.fileno()])
        keeper = Keeper(ours, runner, None, {}, forwarded)
        for number in caught:
            keeper.tell({"signal": number})
        code = keeper.keep()
    except BaseException as error:  # the runner hears of it: its end of the socket is all that there is of us then
        say(f"it has ended: {error!r}")
        os._exit(FAILED)
    os._exit(code)


def main() -> int:
    with open(int(sys.argv[2]), "rb") as file:
        state = json.loads(file.read())
    if "--report" in state["argv"]:  # who has started us waits until nobody but the runner has that descriptor
        os.dup2(2, 1)
    line = socket.socket(fileno=state["line"]) if "line" in state else None
    held = {name: (message, fds) for name, (message, fds) in state["held"].items()}
    for fd in [fd for _, fds in held.values() for fd in fds] + ([line.fileno()] if line else []):
        os.set_inheritable(fd, False)
    keeper = Keeper(line, state.get("runner", 0), state["argv"], held, state["forwarded"])
    keeper.why, keeper.gone_at = state.get("why", ""), state.get("at", 0.0)
    return keeper.keep()


if __name__ == "__main__":
    sys.exit(main())
