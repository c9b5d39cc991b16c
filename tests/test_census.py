"""Who lives and who belongs to whom: on written-down process tables, and among real processes that hide."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import DOUBLE_FORKS, HOLDS_PIPE, SETSID_ESCAPES, unmarked
from tests.zap import DEADLINE, wait_until
from zap import census, child
from zap.census import MARKED, RLIMIT_LOCKS, Census, Member, Process

ME = os.getpid()
marked = pytest.mark.skipif(
    sys.platform != "linux" or 0 <= resource.getrlimit(RLIMIT_LOCKS)[1] < MARKED, reason="nobody has a mark here"
)

# Far above any real pid (PID_MAX_LIMIT is 2 ** 22), so that no tag is found for them.
LEADER, CHILD, GRANDCHILD, STRANGER, KEEPER, GONE = (2**23 + number for number in range(6))


def process(pid: int, parent: int, group: int = STRANGER, session: int = STRANGER, state: str = "S") -> Process:
    return Process(pid, parent, group, session, state)


@pytest.mark.parametrize(
    ("others", "family"),
    [
        ([], set()),
        ([process(CHILD, LEADER)], {CHILD}),
        ([process(CHILD, LEADER), process(GRANDCHILD, CHILD)], {CHILD, GRANDCHILD}),
        ([process(CHILD, 1, group=LEADER)], {CHILD}),
        ([process(CHILD, 1, session=LEADER)], {CHILD}),
        ([process(CHILD, 1, session=LEADER), process(GRANDCHILD, CHILD)], {CHILD, GRANDCHILD}),
        ([process(CHILD, LEADER, state="Z"), process(GRANDCHILD, CHILD)], {GRANDCHILD}),
        ([process(CHILD, LEADER, state="T")], {CHILD}),
        ([process(STRANGER, ME)], set()),
        ([process(STRANGER, 1)], set()),
    ],
    ids=[
        "alone",
        "a child",
        "a grandchild",
        "of its group",
        "of its session",
        "below its session",
        "below one that has ended",
        "a stopped one",
        "another child of ours",
        "somebody else",
    ],
)
def test_a_family_is_who_descends_from_its_group_and_its_session(others: list[Process], family: set[int]) -> None:
    leader = process(LEADER, ME, LEADER, LEADER)
    for leader_state in "SZ":
        assert Census([leader._replace(state=leader_state), *others]).family(LEADER, "tag") == family
    assert Census(others).family(LEADER, "tag") <= family  # the leader may be gone already


def test_who_is_known_to_belong_does_with_whoever_is_below() -> None:
    hidden = [process(CHILD, ME), process(GRANDCHILD, CHILD)]
    look = Census([process(LEADER, ME, LEADER, LEADER), *hidden, process(STRANGER, ME)])
    assert look.family(LEADER, "tag") == set()
    assert look.family(LEADER, "tag", [CHILD, LEADER, STRANGER + 10]) == {CHILD, GRANDCHILD}


def test_the_number_of_a_leader_who_is_gone_says_nothing() -> None:
    look = Census([process(LEADER, ME, LEADER, LEADER), process(CHILD, LEADER, LEADER), process(GRANDCHILD, ME)])
    assert look.strays("tag", [GRANDCHILD]) == {GRANDCHILD}


def test_homes_are_nobodys_family_and_what_is_below_them_is_ours() -> None:
    """A keeper above us has jobs as well; nobody else does."""
    family = [process(LEADER, KEEPER, LEADER, LEADER), process(CHILD, LEADER), process(GRANDCHILD, ME)]
    look = Census([process(KEEPER, 1, LEADER), process(ME, KEEPER, LEADER), *family, process(STRANGER, 1)], [KEEPER])
    assert look.family(LEADER, "tag", [KEEPER, ME]) == {CHILD}
    assert look.of_homes() == look.below(KEEPER) == {LEADER, CHILD, GRANDCHILD}
    assert {one.pid for one in look.families({"": (LEADER, "tag")})[""]} == {LEADER, CHILD}
    assert look.orphans(set()) == [GRANDCHILD]  # the others are the keeper's to reap
    assert look.alive([KEEPER, ME, LEADER, STRANGER + 10]) == {(LEADER, 0.0)}


def test_no_tag_is_nobodys_tag() -> None:
    """Whoever asks for a family without one does not get everybody who has none."""
    look = Census([process(LEADER, ME, LEADER, LEADER), process(STRANGER, ME, STRANGER, STRANGER)])
    assert look.family(LEADER, "") == set()
    assert {one.pid for one in look.families({"": (LEADER, "")})[""]} == {LEADER}


def test_who_is_outside_stopped_or_an_orphan_is_told() -> None:
    look = Census([process(LEADER, ME, LEADER), process(CHILD, LEADER, CHILD, state="T"), process(STRANGER, ME)])
    assert look.outside([LEADER, CHILD], LEADER) == {CHILD}
    assert look.stopped([LEADER, CHILD, GRANDCHILD]) == {CHILD}
    assert look.orphans({LEADER}) == [STRANGER]
    assert look.below(ME) == {LEADER, CHILD, STRANGER}


def test_processes_that_are_each_others_parents_do_not_hang_it() -> None:
    """A table is read in many small steps, and a pid may be given again between two of them."""
    assert Census([process(CHILD, GRANDCHILD), process(GRANDCHILD, CHILD)]).below(CHILD) == {GRANDCHILD}


def test_the_real_table_has_us_and_our_child() -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as sleeper:
        look = census.take()
        assert sleeper.pid in look.below(ME)
        assert sleeper.pid not in look.family(ME + 2**23, "no such tag")
        assert look.outside([sleeper.pid], sleeper.pid) == set()
        sleeper.kill()
        wait_until(lambda: sleeper.pid not in census.take().below(ME), "it to be counted out")
        assert census.take().orphans(set()) == [sleeper.pid]  # not reaped yet


def test_a_program_with_parentheses_in_its_name_is_read_right() -> None:
    program = "open('/proc/self/comm', 'w').write(') Z 1 1 (') and print(flush=True); import time; time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-S", "-c", program], stdout=subprocess.PIPE) as odd:
        assert odd.stdout
        odd.stdout.readline()
        assert Path(f"/proc/{odd.pid}/comm").read_text() == ") Z 1 1 (\n"
        assert odd.pid in census.take().below(ME)
        odd.kill()


def test_families_of_many_are_those_of_each_with_the_leaders_and_who_has_ended() -> None:
    other = process(STRANGER, ME, STRANGER, STRANGER)
    ended = process(GRANDCHILD, CHILD, LEADER, LEADER, "Z")
    look = Census([process(LEADER, ME, LEADER, LEADER), process(CHILD, LEADER), ended, other])
    families = look.families({"a": (LEADER, "a"), "b": (STRANGER, "b"), "gone": (STRANGER + 1, "c")})
    pids = {name: {one.pid for one in family} for name, family in families.items()}
    # CHILD is of the stranger's session as well: nobody real can be in two.
    assert pids == {"a": {LEADER, CHILD, GRANDCHILD}, "b": {STRANGER, CHILD, GRANDCHILD}, "gone": set()}


def test_a_tree_has_the_leader_first_and_children_below_their_parents() -> None:
    group = {"group": LEADER, "session": LEADER}
    look = Census(
        [
            process(STRANGER, 1, **group),  # its parent has ended
            process(STRANGER + 1, STRANGER),
            process(LEADER, ME, **group)._replace(cpu=1.0, reaped=2.0, memory=3),
            process(CHILD, LEADER, **group),
            process(CHILD + 10, LEADER, state="Z", **group),
            process(GRANDCHILD, CHILD),
        ]
    )
    tree = look.tree(LEADER, "tag")
    assert [(member.depth, member.pid, member.parent) for member in tree] == [
        (0, LEADER, ME),
        (1, CHILD, LEADER),
        (2, GRANDCHILD, CHILD),
        (1, CHILD + 10, LEADER),
        (0, STRANGER, 1),
        (1, STRANGER + 1, STRANGER),
    ]
    assert tree[0] == Member(0, LEADER, ME, "S", 3.0, 3, "")
    assert tree[3].state == "Z"


def test_a_tree_may_be_deeper_than_python_may_call() -> None:
    depth = sys.getrecursionlimit() * 2
    look = Census(process(LEADER + number, LEADER + number - 1) for number in range(depth))
    assert [member.depth for member in look.tree(LEADER, "tag")] == list(range(depth))


def test_a_command_line_is_told_as_it_is_whatever_it_is() -> None:
    arguments = [b"sh", b"-c", b"sleep 1000; exit", b"\x1b]0;title\x07", b"\xff\n!", b""]
    with subprocess.Popen(arguments, executable="/bin/sh", start_new_session=True) as leader:
        tree = []

        def has_started() -> bool:
            tree[:] = census.take().tree(leader.pid, "no such tag")
            return len(tree) == 2 and tree[1].command == "sleep 1000"

        try:
            wait_until(has_started, "the shell to have started sleep")
        finally:
            os.killpg(leader.pid, signal.SIGKILL)
        assert tree[0].command == "sh -c sleep 1000; exit \x1b]0;title\x07 \ufffd\n!"
        assert [(member.depth, member.parent) for member in tree] == [(0, ME), (1, leader.pid)]
        wait_until(lambda: census.take().processes[leader.pid].has_ended, "the shell to end")
        [ended, *_] = census.take().tree(leader.pid, "no such tag")
        assert (ended.state, ended.command) == ("Z", "sh")


def test_what_a_process_has_used_is_what_the_kernel_says() -> None:
    burns = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-S", "-c", burns], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout
            busy.stdout.readline()
            by_kernel = census.take()
            by_psutil = Census(census._without_proc())
            command = census._command_without_proc(busy.pid)
        finally:
            busy.kill()
    for pid in (ME, busy.pid):
        one, other = by_kernel.processes[pid], by_psutil.processes[pid]
        assert one[:4] == other[:4]
        assert one.reaped == pytest.approx(other.reaped, abs=0.05)
        assert one.memory == pytest.approx(other.memory, rel=0.5)
    one, other = by_kernel.processes[busy.pid], by_psutil.processes[busy.pid]
    assert 0.15 < one.cpu == pytest.approx(other.cpu, abs=0.05)
    assert one.start > by_kernel.processes[ME].start
    assert other.start > by_psutil.processes[ME].start
    assert by_kernel.has(one)
    assert not by_kernel.has(one._replace(start=0.0))
    assert command == f"{sys.executable} -S -c {burns}"
    assert census._command_without_proc(busy.pid) == ""


def look_at(program: str) -> tuple[list[int], list[int], list[int]]:
    """The pid that a child's program tells, and who is then of its family, and of its runner: seen by a subreaper."""
    watcher = """
import json, os, select, signal, sys
from zap import census, child
from tests.zap import wait_until
child.adopt_orphans()
env = {"PATH": os.environ["PATH"], "ZAP_RUN": "me:s/j:1"}
other = child.spawn(
    ["sleep", "1000"], cwd="/", env=env | {"ZAP_RUN": "me:s/j:10"}, has_tty=False, has_input=False, nonce="n", tag=""
)
one = child.spawn(
    ["/bin/sh", "-c", sys.argv[1]], cwd="/", env=env, has_tty=False, has_input=False, nonce="n", tag="me:s/j:1"
)
select.select([one.out_fd], [], [])
told = int(os.read(one.out_fd, 100))
wait_until(one.status, "the leader to end")
wait_until(lambda: os.getpid() == int(open(f"/proc/{told}/stat").read().rpartition(")")[2].split()[1]), "adoption")
def is_itself():  # who is becoming another program has no environment for a moment
    return open(f"/proc/{told}/comm").read() != "sh\\n" and open(f"/proc/{told}/cmdline").read()
wait_until(is_itself, "it to be what it is")
look = census.take()
print(json.dumps([[told], sorted(look.family(one.pid, one.tag)), sorted(look.of_runner("me") - {other.pid})]))
child.kill(census.take().below(os.getpid()), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", watcher, program], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert not done.stderr, done.stderr
    told, family, of_runner = json.loads(done.stdout)
    return told, family, of_runner


@pytest.mark.parametrize("program", [HOLDS_PIPE, DOUBLE_FORKS, SETSID_ESCAPES], ids=["child", "double fork", "setsid"])
def test_who_is_left_behind_is_found_wherever_it_hides(program: str) -> None:
    told, family, of_runner = look_at(program)
    assert family == told
    assert of_runner == told


HIDES = "(env -i PATH=$PATH setsid sh -c 'echo $$; exec sleep 1000' &)"  # tells when it is hidden


@marked
def test_who_has_thrown_its_tag_away_has_its_mark_still() -> None:
    told, family, of_runner = look_at(HIDES)
    assert (family, of_runner) == (told, [])  # a mark does not tell for which runner


def test_who_has_thrown_its_tag_and_its_mark_away_is_found_by_nobodys_family() -> None:
    """That is why at zap's own end everything below it goes."""
    told, family, of_runner = look_at(unmarked(HIDES))
    assert (family, of_runner) == ([], [])
    assert told


@marked
def test_who_has_only_its_mark_is_found_by_whatever_asks_for_its_tag() -> None:
    """One adopted orphan, as its runner sees it, which is us."""
    env = {"PATH": os.environ["PATH"]}
    one = child.spawn(["sleep", "1000"], cwd="/", env=env, has_tty=False, has_input=False, nonce="n", tag="me:s/j:1")
    try:
        pid = one.pid
        look = Census([process(LEADER, ME, LEADER, LEADER), process(pid, ME), process(CHILD, pid)])
        assert look.family(LEADER, "me:s/j:1") == look.strays("me:s/j:1", []) == {pid, CHILD}
        assert look.of_tags(["me:s/j:1"]) == {pid, CHILD}
        assert look.marked(["me:s/j:10", "me:s/j:1"]) == {pid: "me:s/j:1"}
        families = look.families({"one": (LEADER, "me:s/j:1"), "other": (GONE, "me:s/j:10"), "none": (GONE, "")})
        assert {name: {one.pid for one in family} for name, family in families.items()} == {
            "one": {LEADER, pid, CHILD},
            "other": set(),
            "none": set(),
        }
        for tag in ("me:s/j:10", ""):
            assert look.family(LEADER, tag) == look.strays(tag, []) == look.of_tags([tag]) == set()
    finally:
        one.signal_group(signal.SIGKILL)
        one.close()
