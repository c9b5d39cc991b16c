"""Children as they are spawned: what they find, what they do not inherit, how they end, and what is left of them."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import belongings
from tests.programs import CAT, EXIT_7, HOLDS_PIPE, IGNORES_TERM, PRINTS_AND_DIES, PROMPTS, python
from tests.zap import DEADLINE, is_alive, wait_until
from zap import census, child, script
from zap.census import MARKED
from zap.child import COLUMNS, ROWS, Child
from zap.events import Status

TAG = "runner:s/j:1"
BY_PIPE_AND_TERMINAL = pytest.mark.parametrize("has_tty", [False, True], ids=["pipe", "terminal"])

TELLS_DESCRIPTORS = python("import os; print('descriptors', *sorted(os.listdir('/proc/self/fd')))")

Spawn = Callable[..., Child]


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Spawns shell text as a job's shell is spawned; whatever happens, it is gone afterwards."""
    born: list[Child] = []

    def spawn(text: str, has_tty: bool = False, has_input: bool = False) -> Child:
        argv = ["/bin/sh", "-c", ('exec 0<>"$1"; shift\n' if has_tty else "") + text, "sh"]
        env = {"PATH": os.environ["PATH"], "ZAP_RUN": TAG}
        born.append(
            child.spawn(argv, cwd=str(tmp_path), env=env, has_tty=has_tty, has_input=has_input, nonce="n" * 16, tag=TAG)
        )
        return born[-1]

    yield spawn
    for one in born:
        one.signal_group(signal.SIGKILL)
        ended(one)
        one.close()


def ended(one: Child) -> Status:
    """How it ended, waited for as the runner does."""
    assert select.select([one.end_fd], [], [], DEADLINE)[0], "it has not ended"
    status = one.status()
    assert status is not None
    return status


def said(fd: int, until: Callable[[bytes], object]) -> bytes:
    """What comes from the descriptor, until that is so."""
    text = b""
    while not until(text):
        assert select.select([fd], [], [], DEADLINE)[0], f"it said no more than {text!r}"
        try:
            data = os.read(fd, 65536)
        except OSError:  # a terminal whose other side is closed says EIO
            data = b""
        assert data, f"it ended after {text!r}"
        text += data
    return text.replace(b"\r\n", b"\n")


def line(fd: int) -> str:
    return said(fd, lambda text: text.endswith(b"\n")).decode().removesuffix("\n")


@BY_PIPE_AND_TERMINAL
def test_it_leads_a_session_and_a_group_of_its_own(spawn: Spawn, has_tty: bool) -> None:
    one = spawn(CAT, has_tty, has_input=True)
    assert os.getsid(one.pid) == os.getpgid(one.pid) == one.pid
    assert one.has_tty == has_tty


@BY_PIPE_AND_TERMINAL
def test_output_and_errors_come_apart(spawn: Spawn, has_tty: bool) -> None:
    one = spawn("echo good; echo bad >&2; sleep 1000", has_tty)
    assert (line(one.out_fd), line(one.err_fd)) == ("good", "bad")


def test_its_terminal_is_its_controlling_one_and_errors_have_another(spawn: Spawn) -> None:
    one = spawn("tty; tty <&2; echo found >/dev/tty; stty size; sleep 1000", has_tty=True)
    out, err, found, size = said(one.out_fd, lambda text: text.count(b"\n") == 4).decode().splitlines()
    assert out.startswith("/dev/pts/")
    assert err.startswith("/dev/pts/")
    assert out != err
    assert found == "found"
    assert size == f"{ROWS} {COLUMNS}"


def test_who_has_a_terminal_is_told_that_it_has_another_size(spawn: Spawn) -> None:
    one = spawn("trap 'stty size; stty size <&2' WINCH; echo up; while :; do sleep 0.01; done", has_tty=True)
    assert line(one.out_fd) == "up"
    one.resize(24, 100)
    assert said(one.out_fd, lambda text: text.count(b"\n") == 2) == b"24 100\n24 100\n"


def test_the_terminal_of_who_has_ended_and_a_pipe_have_no_size_and_no_error(spawn: Spawn) -> None:
    spawn(CAT, has_input=True).resize(24, 100)
    over = spawn("exit 0", has_tty=True)
    ended(over)
    over.resize(24, 100)


def test_on_a_pipe_it_has_no_terminal_at_all(spawn: Spawn) -> None:
    one = spawn("(echo found >/dev/tty) 2>/dev/null || echo none; sleep 1000")
    assert line(one.out_fd) == "none"


@BY_PIPE_AND_TERMINAL
@pytest.mark.parametrize("text", [TELLS_DESCRIPTORS, script.build([TELLS_DESCRIPTORS], "n" * 16, has_tty=False)])
def test_it_has_no_descriptor_but_its_three(spawn: Spawn, has_tty: bool, text: str) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # somebody careless has left this open
    try:
        spawn("sleep 1000", has_tty, has_input=True)
        one = spawn(text, has_tty, has_input=True)
        # The fourth is the one that it lists them with.
        assert b"descriptors 0 1 2 3\n" in said(one.out_fd, lambda text: b"descriptors" in text and b"\n" in text)
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("exit 0", Status(code=0)),
        (EXIT_7, Status(code=7)),
        ("exit 255", Status(code=255)),
        ("kill -TERM $$", Status(signal="TERM")),
        (PRINTS_AND_DIES, Status(signal="KILL")),
        ("ulimit -c 0; kill -SEGV $$", Status(signal="SEGV")),
        ("kill -36 $$", Status(signal=f"RT{36 - signal.SIGRTMIN}")),
        ("exec /no/such/program", Status(code=127)),
    ],
)
@BY_PIPE_AND_TERMINAL
def test_how_it_ended_is_told_by_code_or_signal(spawn: Spawn, text: str, status: Status, has_tty: bool) -> None:
    one = spawn(text, has_tty)
    assert ended(one) == status
    assert one.status() == status  # as often as one asks, until it is let go


def test_while_it_lives_it_has_no_status_even_when_it_is_stopped(spawn: Spawn) -> None:
    one = spawn("echo up; kill -STOP $$; exit 3")
    line(one.out_fd)
    wait_until(lambda: Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it to stop")
    assert one.status() is None
    one.signal_group(signal.SIGCONT)
    assert ended(one) == Status(code=3)


@BY_PIPE_AND_TERMINAL
def test_its_end_is_known_while_a_grandchild_holds_its_output(spawn: Spawn, has_tty: bool) -> None:
    one = spawn(f"trap '' HUP; {HOLDS_PIPE}", has_tty)
    holder = int(line(one.out_fd))
    assert ended(one) == Status(code=0)
    assert is_alive(holder)


def test_a_signal_reaches_the_whole_group(spawn: Spawn) -> None:
    one = spawn("sleep 1000 & echo $!; sleep 1000")
    other = int(line(one.out_fd))
    one.signal_group(signal.SIGTERM)
    assert ended(one) == Status(signal="TERM")
    wait_until(lambda: not is_alive(other), "the other one of the group to end")


def test_who_ignores_term_lives_until_it_is_killed(spawn: Spawn) -> None:
    one = spawn(IGNORES_TERM)
    line(one.out_fd)
    one.signal_group(signal.SIGTERM)
    one.signal_group(signal.SIGKILL)
    assert ended(one) == Status(signal="KILL")


def test_signals_to_who_is_gone_are_no_error(spawn: Spawn) -> None:
    one = spawn("exit 0")
    ended(one)
    one.signal_group(signal.SIGTERM)
    gone = subprocess.Popen(["true"])
    gone.wait()
    child.kill([gone.pid], signal.SIGTERM)


@BY_PIPE_AND_TERMINAL
def test_what_is_typed_arrives(spawn: Spawn, has_tty: bool) -> None:
    one = spawn("read word; echo got $word; sleep 1000", has_tty, has_input=True)
    assert one.write(b"hello\n") == 6
    assert b"got hello\n" in said(one.out_fd, lambda text: b"got hello" in text and text.endswith(b"\n"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is another limit")
@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, MARKED * 2, MARKED, 5])
def test_whoever_descends_from_it_has_its_mark_and_nobody_else_where_there_is_room_for_one(hard: int) -> None:
    program = """
import json, resource, select, sys
from zap import census, child
if int(sys.argv[1]) != resource.RLIM_INFINITY:
    resource.setrlimit(census.RLIMIT_LOCKS, (3, int(sys.argv[1])))
before = resource.getrlimit(census.RLIMIT_LOCKS)
tells = "import json, resource; print(json.dumps(resource.getrlimit(10)))"
argv = ["/bin/sh", "-c", '(setsid "$@"); exit 0', "sh", sys.executable, "-I", "-S", "-c", tells]
one = child.spawn(argv, cwd="/", env={}, has_tty=False, has_input=False, nonce="n", tag="me:s/j:1")
after = resource.getrlimit(census.RLIMIT_LOCKS)
select.select([one.end_fd], [], [])
print(json.dumps([before, after, json.loads(open(one.out_fd, closefd=False).read())]))
one.close()
"""
    done = subprocess.run([sys.executable, "-c", program, str(hard)], capture_output=True, text=True, timeout=DEADLINE)
    assert not done.stderr, done.stderr
    before, after, told = json.loads(done.stdout)
    assert after == before
    assert told == [census.mark("me:s/j:1") if hard not in (5, MARKED) else before[0], before[1]]
    assert census.mark("me:s/j:1") != census.mark("me:s/j:2")


def test_without_input_there_is_nothing_to_type_into(spawn: Spawn) -> None:
    one = spawn(CAT)
    assert ended(one) == Status(code=0)  # it read /dev/null
    assert one.write(b"hello\n") == 0


def test_typing_into_who_does_not_read_takes_what_fits(spawn: Spawn) -> None:
    one = spawn("sleep 1000", has_input=True)
    taken = one.write(b"x" * 10_000_000)
    assert 0 < taken < 10_000_000
    assert one.write(b"x" * 10_000) == 0


def test_typing_into_who_has_ended_is_no_error(spawn: Spawn) -> None:
    one = spawn("exec <&-; echo closed; sleep 1000", has_input=True)
    line(one.out_fd)
    assert one.write(b"hello\n") == 0


def test_a_hushed_terminal_does_not_show_what_is_typed(spawn: Spawn) -> None:
    one = spawn("read word; echo got ${#word} letters; sleep 1000", has_tty=True)
    one.hush()
    one.write(b"secret\n")
    assert said(one.out_fd, lambda text: text.endswith(b"letters\r\n")) == b"got 6 letters\n"


def test_hushing_a_pipe_is_no_error(spawn: Spawn) -> None:
    spawn(CAT, has_input=True).hush()


def test_a_program_that_asks_on_dev_tty_can_be_answered(spawn: Spawn) -> None:
    one = spawn(PROMPTS, has_tty=True)
    said(one.out_fd, lambda text: text.endswith(b"Password: "))
    one.write(b"secret\n")
    assert b"got 6 letters" in said(one.out_fd, lambda text: b"letters" in text)


@BY_PIPE_AND_TERMINAL
@pytest.mark.parametrize(
    ("argv", "cwd", "named"),
    [
        (["/bin/sh", "-c", ":"], "/no/such/folder", "/no/such/folder"),
        (["/no/such/shell", "-c", ":"], "/", "/no/such/shell"),
        (["/etc/passwd", "-c", ":"], "/", "/etc/passwd"),
    ],
    ids=["no folder", "no shell", "no program"],
)
def test_who_cannot_be_started_leaves_nothing_open(argv: list[str], cwd: str, named: str, has_tty: bool) -> None:
    before = belongings()
    with pytest.raises(OSError) as caught:
        child.spawn(argv, cwd=cwd, env={}, has_tty=has_tty, has_input=True, nonce="n", tag=TAG)
    assert caught.value.filename == named
    assert belongings() == before


@BY_PIPE_AND_TERMINAL
@pytest.mark.parametrize("has_input", [False, True])
def test_without_descriptors_it_fails_and_leaves_nothing_open(has_tty: bool, has_input: bool) -> None:
    """With each number of free descriptors from none to enough: whichever step is the one that fails."""
    program = """
import os, resource, sys
from tests.conftest import belongings
from zap import child
has_tty, has_input = (word == "True" for word in sys.argv[1:])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
lowest = os.dup(0); os.close(lowest)
before = belongings()
for free in range(32):
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
    try:
        one = child.spawn(
            ["/bin/sh", "-c", "exit 7"], cwd="/", env={}, has_tty=has_tty, has_input=has_input, nonce="n", tag="t"
        )
    except OSError as error:
        failure = error.strerror
    else:
        one.close()
        failure = ""
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    assert belongings() == before, (free, belongings() ^ before)
    print(failure)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(has_tty), str(has_input)], capture_output=True, text=True, timeout=DEADLINE
    )
    assert not done.stderr, done.stderr
    failures = done.stdout.splitlines()
    enough = failures.index("")
    assert enough >= 6
    assert set(failures[:enough]) == {"Too many open files"}
    assert set(failures[enough:]) == {""}


@BY_PIPE_AND_TERMINAL
def test_letting_go_leaves_nothing_open_and_no_zombie(tmp_path: Path, has_tty: bool) -> None:
    before = belongings()
    one = child.spawn(
        ["/bin/sh", "-c", "exit 7"],
        cwd=str(tmp_path),
        env={},
        has_tty=has_tty,
        has_input=True,
        nonce="n",
        tag=TAG,
    )
    assert ended(one) == Status(code=7)
    one.close()
    assert belongings() == before


def test_room_is_made_for_many_children_and_they_get_the_limit_that_was() -> None:
    program = """
import resource
from zap import child
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(child.make_room(1), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
print(child.make_room(100), resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(800, hard))
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
print(child.make_room(100))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE)
    # Where no more can be had a spawn will say so; the children have the limit that we have, or had.
    assert done.stdout.splitlines()[:2] == ["None 256", "256 True"], done.stderr
    assert done.stdout.splitlines()[2] in ("None", "256")


def test_a_command_whose_output_is_wanted_is_not_waited_for_for_ever() -> None:
    assert child.capture(["echo", "hush"], "/", {}, DEADLINE) == b"hush\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.capture(["sleep", "1000"], "/", {"PATH": os.environ["PATH"]}, 0.05)
    with pytest.raises(subprocess.CalledProcessError):
        child.capture(["/bin/sh", "-c", EXIT_7], "/", {}, DEADLINE)


# What is started to live on.


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "state" / "zap" / "runner.log"


def detach(text: str, log: Path) -> bytes:
    return child.detach(["/bin/sh", "-c", text], {"PATH": os.environ["PATH"], "WHO": "me"}, str(log))


def reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_is_detached_says_a_line_and_lives_on_in_a_session_of_its_own(log: Path) -> None:
    word, who, pid = detach("echo ready $WHO $$; exec sleep 1000", log).split()
    try:
        assert (word, who) == (b"ready", b"me")
        assert os.getsid(int(pid)) == int(pid)
        assert is_alive(int(pid))
    finally:
        os.kill(int(pid), signal.SIGKILL)
        assert reap(int(pid)) == -signal.SIGKILL


def test_what_a_detached_one_has_to_complain_of_is_in_its_log_behind_what_was_there(log: Path) -> None:
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    reap(int(detach("echo trouble >&2; echo $$", log)))
    assert log.read_text() == "before\ntrouble\n"


def test_a_log_is_for_its_owner_alone(log: Path) -> None:
    before = os.umask(0)
    try:
        reap(int(detach("echo $$", log)))
    finally:
        os.umask(before)
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o077 == 0


def test_one_that_ends_without_a_word_has_said_nothing(log: Path) -> None:
    assert detach("echo $$ >&2; exit 3", log) == b""
    assert reap(int(log.read_text())) == 3


def test_one_that_cannot_be_started_leaves_nothing_open(log: Path) -> None:
    before = belongings()
    with pytest.raises(FileNotFoundError):
        child.detach(["/no/such/program"], {}, str(log))
    log.unlink()
    log.mkdir()
    with pytest.raises(IsADirectoryError):
        child.detach(["true"], {}, str(log))
    assert belongings() == before
