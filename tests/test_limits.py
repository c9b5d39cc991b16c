"""Limits and isolation of jobs: real processes that exceed what they may, and look for what they may not see."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.born import Ward, found_or_skip, job, real_root, ward
from tests.programs import python
from tests.served import end_all
from tests.zap import DEADLINE, Zap, wait_until, working_in
from zap import cgroup, nursery
from zap.events import Status
from zap.launch import local
from zap.plan import MIB, Job, Limits, Ready

NOBODY = pwd.getpwnam("nobody")
real_namespaces = pytest.mark.real("unshare")  # with which setpriv comes, and Linux
PLAIN = job("echo fine")
BY_PYTHON = (sys.executable, "-c", nursery.LOOPBACK)

EATS = python("print(len(bytearray(200 << 20)))")
FORKS = "n=0; while [ $n -lt 50 ]; do sleep 1000 & n=$((n + 1)); echo $n; done"
"""Ends, by dash's own word, when it cannot fork."""

TALKS_TO_ITSELF = python(
    "import socket; own = socket.create_server(('127.0.0.1', 0)); print(socket.socket().connect_ex(own.getsockname()))"
)
"""Says 0 when its loopback is up."""

SEES = {
    "descriptors": python("import os; print(*sorted(os.listdir('/proc/self/fd')))"),
    "network": "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '",
    "capabilities": "grep CapEff /proc/self/status | cut -f2",
}


@pytest.fixture
def children() -> Iterator[Ward]:
    with ward() as one:
        yield one


def lines(children: Ward, job: Job) -> list[str]:
    """What it says, when it has ended well."""
    born = children.bear(job)
    assert born.ended() == Status(code=0), born.errors
    return born.out.splitlines()


# Jobs that want nothing of it.


@pytest.mark.parametrize("has_tty", [False, True])
def test_a_job_without_such_settings_is_started_as_ever(children: Ward, has_tty: bool) -> None:
    born = children.bear(job("echo ready; read go", tty=has_tty, answers=("any",)))
    born.line()  # until it is there it has none
    argv = Path(f"/proc/{born.child.pid}/cmdline").read_text().split("\0")
    assert argv[:2] == ["/bin/sh", "-c"]
    assert argv[3] == "sh"
    assert len(argv) == (6 if has_tty else 5)
    assert local.argv(PLAIN, "script") == ["/bin/sh", "-c", "script", "sh"]


def test_a_job_that_runs_as_we_are_is_started_as_ever(children: Ward) -> None:
    me = pwd.getpwuid(os.geteuid())
    mine = job("echo $USER $HOME; exec sleep 1000", user=me.pw_name, group=str(os.getegid()), limits=Limits(cpu=1))
    born = children.bear(mine)
    assert born.line() == f"{me.pw_name} {me.pw_dir}"
    assert local.ENTERING not in Path(f"/proc/{born.child.pid}/cmdline").read_text()


# Limits.


@pytest.mark.parametrize(("limit", "expected"), [(Limits(files=64), "64 64"), (Limits(files=4096), "4096 4096")])
def test_no_more_files_can_be_opened_than_it_may(children: Ward, limit: Limits, expected: str) -> None:
    children.world = children.world._replace(files=100)  # what others have, whose limit is not their own
    assert lines(children, job("echo $(ulimit -S -n) $(ulimit -H -n)", limits=limit)) == [expected]
    born = children.bear(job(python("import os\nwhile True: os.dup(0)"), limits=limit))
    assert born.ended() == Status(code=1)
    assert "Too many open files" in born.errors


def test_it_is_as_nice_as_it_shall_be(children: Ward) -> None:
    assert lines(children, job("nice", limits=Limits(nice=7))) == ["7"]


@real_root
@real_namespaces
def test_it_is_less_nice_when_root_wants_that(children: Ward) -> None:
    assert lines(children, job("nice", limits=Limits(nice=-3))) == ["-3"]


@real_namespaces
def test_it_is_killed_first_when_memory_runs_out(children: Ward) -> None:
    assert lines(children, job("cat /proc/self/oom_score_adj", limits=Limits(oom_score=321))) == ["321"]


def test_what_the_system_refuses_is_said_and_the_job_goes_on(children: Ward) -> None:
    born = children.bear(job("echo fine", limits=Limits(files=2_000_000_000)))
    assert born.ended() == Status(code=0)
    assert born.out == "fine\n"
    assert born.errors == "zap: limits: files: 2000000000 is refused by the system, so it goes on without\n"


def test_files_that_it_makes_have_the_rights_that_the_umask_leaves(children: Ward, tmp_path: Path) -> None:
    assert lines(children, job("umask", umask=0o27)) == ["0027"]
    assert lines(children, job("umask; >file", umask=0o77, cwd=str(tmp_path))) == ["0077"]
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


@real_namespaces
def test_without_groups_each_process_has_its_limit_of_memory(children: Ward) -> None:
    born = children.bear(job(EATS, limits=Limits(memory=50 * MIB)))
    assert born.ended() == Status(code=1)
    assert "MemoryError" in born.errors
    assert children.bear(job("echo fine", limits=Limits(memory=50 * MIB))).ended() == Status(code=0)


@real_root
@real_namespaces
def test_without_groups_its_user_may_have_so_many_more_processes(children: Ward) -> None:
    others = [children.bear(job("echo up; exec sleep 1000", user="nobody")) for _ in range(3)]
    assert {other.line() for other in others} == {"up"}
    born = children.bear(job(FORKS, user="nobody", limits=Limits(pids=9)))
    assert born.ended() != Status(code=0)
    assert "ork" in born.errors
    assert born.out.splitlines()[-1] == "8", "with the shell these are nine"


@real_root
def test_with_a_group_all_of_it_has_one_limit(children: Ward) -> None:
    found = found_or_skip("memory", "pids")
    born = children.bear(job(FORKS, user="nobody", limits=Limits(pids=9)), found)
    assert born.ended() != Status(code=0)
    assert born.out.splitlines()[-1] == "8"
    eaten = children.bear(job(EATS, limits=Limits(memory=32 * MIB)), found)
    assert eaten.ended() == Status(signal="KILL")
    assert eaten.group.kills_by_memory() == 1


@real_root
def test_what_no_group_holds_is_held_for_each_process(children: Ward) -> None:
    """As where the memory controller is not there."""
    found = found_or_skip("pids")._replace(memory=cgroup.Ability(why="not here"))
    born = children.bear(job(EATS, limits=Limits(memory=50 * MIB, pids=20)), found)
    assert born.group.limits >= {"pids"}
    assert born.ended() == Status(code=1)
    assert "MemoryError" in born.errors


def test_who_cannot_join_its_group_does_not_run(children: Ward, tmp_path: Path) -> None:
    born = children.adopt(nursery.bear(children.world, PLAIN, 1, groups=[str(tmp_path / "gone")]))
    assert born.ended() == Status(code=local.NOT_ENTERED)
    assert born.out == ""
    assert born.errors.endswith(f"zap: limits: it could not join {tmp_path}/gone\n")


# Whom it runs as.


@real_root
@real_namespaces
@pytest.mark.parametrize("has_tty", [False, True])
def test_it_runs_as_another_user_and_can_use_its_terminal(children: Ward, has_tty: bool) -> None:
    text = "id -un; id -gn; id -G; echo bad >/proc/self/fd/2; echo good >/proc/self/fd/1"
    if has_tty:
        text += "; echo found >/dev/tty"
    born = children.bear(job(text, user="nobody", tty=has_tty))
    assert born.ended() == Status(code=0), born.errors
    group = subprocess.run(["id", "-gn", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    groups = subprocess.run(["id", "-G", "nobody"], capture_output=True, text=True, check=True).stdout.strip()
    assert born.out.splitlines() == ["nobody", group, groups, "good", *(["found"] if has_tty else [])]
    assert born.errors == "bad\n"


@real_root
@real_namespaces
def test_its_environment_is_that_of_its_user(children: Ward) -> None:
    children.world = children.world._replace(environ={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": "/run/user/0"})
    text = "echo $HOME $USER $LOGNAME $SHELL ${XDG_RUNTIME_DIR-none}"
    home = NOBODY.pw_dir
    assert lines(children, job(text, user="nobody")) == [f"{home} nobody nobody /bin/sh none"]
    mine = job(text, user="nobody", env=(("HOME", "/srv"), ("SHELL", "/bin/dash")))
    assert lines(children, mine) == ["/srv nobody nobody /bin/dash none"]
    numbered = job(text, user="4242", group="4243")
    assert lines(children, numbered) == ["/ 4242 4242 /bin/sh none"]


@real_root
@real_namespaces
@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"user": "4242", "group": "4243"}, "4242 4243 4243"),
        ({"user": str(NOBODY.pw_uid)}, f"{NOBODY.pw_uid} {NOBODY.pw_gid} {NOBODY.pw_gid}"),
        ({"user": "nobody", "group": "7"}, f"{NOBODY.pw_uid} 7 7 {NOBODY.pw_gid}"),
        ({"group": "4243"}, "0 4243 4243"),
    ],
    ids=str,
)
def test_numbers_will_do(children: Ward, settings: dict[str, object], ids: str) -> None:
    [said] = lines(children, job("echo $(id -u) $(id -g) $(id -G)", **settings))
    assert said.split()[:3] == ids.split()[:3]
    if "user" in settings:
        assert "0" not in said.split(), "root's groups are not its own"


@real_root
@real_namespaces
def test_root_is_not_left_to_another_user(children: Ward) -> None:
    before = os.getgroups()
    os.setgroups([*before, 4244])
    try:
        said = lines(children, job(f"{SEES['capabilities']}; id -G", user="nobody"))
        assert said[0] == "0" * 16
        assert "4244" not in said[1].split()
        assert "4244" in lines(children, job("id -G", group="4243"))[0].split()
    finally:
        os.setgroups(before)
    born = children.bear(job("echo 0 >/proc/self/oom_score_adj && echo -1 >/proc/self/oom_score_adj", user="nobody"))
    assert born.ended() != Status(code=0)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"user": "no-such-user"}, "there is no user no-such-user"),
        ({"group": "no-such-group"}, "there is no group no-such-group"),
        ({"user": "4000000000"}, "user: 4000000000 is nobody's number.* write group as well"),
    ],
    ids=str,
)
def test_who_is_not_there_is_told_of(children: Ward, settings: dict[str, object], why: str) -> None:
    assert nursery.preflight(job("ls", **settings))
    with pytest.raises(OSError, match=why):
        children.bear(job("ls", **settings))


# What it sees.


@real_root
@real_namespaces
def test_its_tmp_is_seen_by_nobody_else_and_empty_at_each_start(children: Ward) -> None:
    name = f"zap-test-{os.urandom(6).hex()}"
    text = f"ls -A /tmp /var/tmp | grep -v :; touch /tmp/{name} /var/tmp/{name}; ls /tmp /var/tmp; echo made; read go"
    mine = job(text, private_tmp=True, answers=("any",))
    for born in (children.bear(mine), children.bear(mine)):
        said = born.hear(lambda text: "made" in text)
        assert said.split() == ["/tmp:", name, "/var/tmp:", name, "made"]
        assert not any(os.path.exists(f"{folder}/{name}") for folder in local.TEMPORARY)


@real_root
@real_namespaces
def test_its_tmp_is_for_its_user_too_and_its_folder_may_be_there(children: Ward) -> None:
    mine = job("pwd; touch here; ls -A /tmp; stat -c %a /tmp", private_tmp=True, user="nobody", cwd="/tmp")
    assert lines(children, mine) == ["/tmp", "here", "1777"]


@real_root
@real_namespaces
def test_without_a_network_there_is_only_a_loopback_of_its_own(children: Ward) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = f"""
import errno, socket
print(socket.socket().connect_ex(("127.0.0.1", {port})) == errno.ECONNREFUSED)
own = socket.create_server(("127.0.0.1", {port}))
print(socket.socket().connect_ex(own.getsockname()))
print(socket.socket().connect_ex(("192.0.2.1", 80)) == errno.ENETUNREACH)
"""
        assert lines(children, job(SEES["network"], network="none")) == ["lo"]
        assert lines(children, job(python(text), network="none")) == ["True", "0", "True"]


@real_root
@real_namespaces
def test_the_loopback_is_there_without_ip_as_well(children: Ward) -> None:
    way = local.Way({"unshare": str(shutil.which("unshare"))}, True, None, BY_PYTHON)
    alone = job("ls", network="none")
    argv = local.argv(alone, TALKS_TO_ITSELF, way)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == "0\n", done.stderr


@real_root
@real_namespaces
@pytest.mark.parametrize("has_tty", [False, True])
def test_all_of_it_together_is_one_process_with_its_three_descriptors(children: Ward, has_tty: bool) -> None:
    found = found_or_skip("memory", "cpu", "pids")
    limits = Limits(64 * MIB, 0.9, 20, 64, 5, 300)
    text = "echo $$ $(id -un) $(umask) $(nice) $(ulimit -n) $(ls -A /tmp) $(cat /proc/self/oom_score_adj)"
    text += f"; {SEES['network']}; ls /proc/self/fd | tr '\\n' ' '; stat -c ' %U' /proc/self/fd/1"
    strict = {"user": "nobody", "umask": 0o27, "private_tmp": True, "network": "none"}
    born = children.bear(job(text, limits=limits, tty=has_tty, **strict), found)
    assert born.ended() == Status(code=0), born.errors
    assert born.errors == ""
    assert born.out.splitlines() == [f"{born.child.pid} nobody 0027 5 64 300", "lo", "0 1 2 3  nobody"]


@real_root
@real_namespaces
def test_who_is_not_root_may_have_it_too_and_is_who_he_is(tmp_path: Path) -> None:
    """As nobody does it; root can be asked to let nobody do so (user.max_user_namespaces, sysctl(8))."""
    programs = {name: str(shutil.which(name)) for name in ("unshare", "mount", "setpriv")}
    ip = shutil.which("ip") or pytest.skip("python is not nobody's to run, and ip is not there")
    way = local.Way(programs, False, None, (ip, "link", "set", "lo", "up"))
    text = f"id -un; touch /tmp/zap-mine; ls -A /tmp; {SEES['network']}; {SEES['capabilities']}; {ip} link show lo"
    alone = job("ls", private_tmp=True, network="none")
    become = ["setpriv", "--reuid", str(NOBODY.pw_uid), "--regid", str(NOBODY.pw_gid), "--clear-groups", "--"]
    done = subprocess.run(
        [*become, *local.argv(alone, text, way)], capture_output=True, text=True, timeout=DEADLINE, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:4] == ["nobody", "zap-mine", "lo", "0" * 16]
    assert "<LOOPBACK,UP," in done.stdout
    assert not os.path.exists("/tmp/zap-mine")


@real_root
@real_namespaces
@pytest.mark.real("systemd-notify")
def test_a_job_tells_how_it_is_from_wherever_it_is(children: Ward) -> None:
    """Through a socket in the /tmp that it does not see, which belongs to us."""
    folder = tempfile.mkdtemp(prefix="zap-test-", dir="/tmp")
    path = f"{folder}/notify"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mailbox:
            mailbox.bind(path)
            mailbox.settimeout(DEADLINE)
            strict = {"user": "nobody", "private_tmp": True, "network": "none", "ready": Ready(by="notify")}
            born = children.bear(job("exec systemd-notify READY=1", **strict), extra={"NOTIFY_SOCKET": path})
            assert mailbox.recv(100).startswith(b"READY=1")
            mailbox.recv(100)  # it waits for its descriptor to be closed, sd_notify_barrier(3)
            assert born.ended() == Status(code=0), born.errors
        assert os.listdir(folder) == ["notify"]
    finally:
        shutil.rmtree(folder)


# Those that look after it.


@real_root
@real_namespaces
def test_a_task_runs_as_the_job_does_but_without_its_limits(children: Ward) -> None:
    tight = Limits(1 * MIB, 0.01, 2, 32, 19, 1000)
    strict = job("ls", user="nobody", umask=0o27, private_tmp=True, network="none", limits=tight)
    text = f"echo $(id -un) $(umask) $(nice) $(ulimit -n) $(ls -A /tmp); {SEES['network']}"
    expected = [f"nobody 0027 0 {subprocess.getoutput('ulimit -n')}", "lo"]
    task = children.adopt(nursery.bear_task(children.world, strict, 1, [text], "/"))
    probe = children.adopt(nursery.bear_probe(children.world, strict, 1, text))
    for born in (task, probe):
        assert born.ended() == Status(code=0), born.errors
        assert born.out.splitlines() == expected


@real_root
@real_namespaces
@pytest.mark.parametrize("user", [None, "nobody"])
def test_beside_a_job_its_tmp_and_its_network_are_shared(children: Ward, user: str | None) -> None:
    serves = python(
        "import socket, time; own = socket.create_server(('127.0.0.1', 0))\n"
        "print(own.getsockname()[1], file=open('/tmp/port', 'w')); time.sleep(1000)"
    )
    strict = job(serves, private_tmp=True, network="none")
    asks = python(
        "import socket; print(socket.socket().connect_ex(('127.0.0.1', int(open('/tmp/port').read()))), flush=True)"
    )
    born = children.bear(strict)
    waits = f"until [ -s /tmp/port ]; do sleep 0.01; done; {asks if user is None else 'cat /tmp/port'}"
    asked = strict._replace(user=user)
    # At once, while the job may still be on its way there.
    probe = children.adopt(nursery.bear_probe(children.world, asked, 1, waits, beside=born.child.pid))
    task = children.adopt(nursery.bear_task(children.world, asked, 1, [waits], "/", beside=born.child.pid))
    for one in (probe, task):
        assert one.ended() == Status(code=0), one.errors
        assert one.out == "0\n" if user is None else int(one.out) > 0


@real_root
@real_namespaces
def test_beside_a_job_one_waits_until_it_is_there(children: Ward, tmp_path: Path) -> None:
    strict = job("sleep 1000", network="none")
    go = tmp_path / "go"
    slowly = ("/bin/sh", "-c", f"until [ -e {go} ]; do sleep 0.01; done; {shlex.join(BY_PYTHON)}")
    way = local.Way({"unshare": str(shutil.which("unshare"))}, True, None, slowly)
    with subprocess.Popen(local.argv(strict, "sleep 1000", way), start_new_session=True) as late:
        try:
            network = f"/proc/{late.pid}/ns/net"
            wait_until(lambda: os.readlink(network) != os.readlink("/proc/self/ns/net"), "it to be half way there")
            probe = children.adopt(nursery.bear_probe(children.world, strict, 1, TALKS_TO_ITSELF, beside=late.pid))
            doing = Path(f"/proc/{probe.child.pid}/task/{probe.child.pid}/children")
            wait_until(lambda: probe.child.status() is not None or doing.read_text(), "it to do something")
            go.touch()
            assert probe.ended() == Status(code=0), probe.errors
            assert probe.out == "0\n"
        finally:
            os.killpg(late.pid, signal.SIGKILL)


@real_root
@real_namespaces
def test_beside_who_is_gone_nothing_runs(children: Ward) -> None:
    gone = children.bear(job("exit 0"))
    gone.ended()
    probe = children.adopt(
        nursery.bear_probe(children.world, job("ls", network="none"), 1, "echo ran", beside=gone.child.pid)
    )
    assert probe.ended() != Status(code=0)
    assert probe.out == ""


# Where it cannot be.

ROOT = Path(__file__).parent.parent


@real_root
@real_namespaces
def test_a_job_that_cannot_be_isolated_does_not_start_and_the_reason_is_told() -> None:
    program = """
from tests.born import Ward, job
from zap import nursery
for settings in ({"private_tmp": True}, {"network": "none"}, {"user": "nobody"}, {"umask": 0}):
    one = job("echo ran", **settings)
    print(nursery.preflight(one))
    try:
        nursery.bear(Ward().world, one, 1).close()
    except OSError as error:
        print(error)
"""
    without_rights = ["setpriv", "--bounding-set=-sys_admin,-setuid", "--", sys.executable, "-c", program]
    done = subprocess.run(without_rights, capture_output=True, text=True, timeout=DEADLINE, cwd=ROOT)
    tmp, tmp_again, network, network_again, user, user_again, umask = done.stdout.splitlines()
    assert tmp.startswith("private_tmp: true cannot be had here: unshare: ")
    assert network.startswith("network: none cannot be had here: unshare: ")
    assert tmp.endswith("--cap-add SYS_ADMIN")
    assert user == "user: nobody cannot be had here: only root can start jobs as somebody else — run zap as root"
    assert (tmp, network, user) == (tmp_again, network_again, user_again)
    assert umask == "None"


@real_root
@real_namespaces
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nursery, "SYSTEM_PATH", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    why = nursery.preflight(job("ls", private_tmp=True, user="nobody"))
    assert why == (
        "user: nobody and private_tmp: true needs chown, mount, setpriv, unshare, which cannot be found — "
        "install util-linux"
    )


# When the runner is killed.


def test_a_group_of_a_child_that_nobody_knows_of_is_no_more_when_another_runner_takes_over(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It was made in the last moment of the one before, and its place is needed again."""
    found = found_or_skip("pids")
    zap = Zap(tmp_path)
    sleeper = subprocess.Popen(["sleep", "1000"], cwd=tmp_path)
    request.addfinalizer(sleeper.wait)
    request.addfinalizer(lambda: end_all(tmp_path))  # this one first
    zap.write("systems: {s: {j: {commands: exec sleep 1000, limits: {pids: 50}}}}")
    assert zap.run("up").returncode == 0
    before = zap.runner()
    (mine,) = [
        (runner, group)
        for runner, those in cgroup.groups(cgroup.roots()).items()
        for group in those
        if working_in(tmp_path).keys() & set(group.processes())
    ]
    strange = cgroup.Cgroup(cgroup.make(found, cgroup.name(mine[0], "s/j", 2), Limits(pids=50)))
    for folder in strange.folders:
        Path(folder, "cgroup.procs").write_text(str(sleeper.pid))
    os.kill(before or 0, signal.SIGKILL)
    assert -sleeper.wait(DEADLINE) == signal.SIGKILL
    wait_until(lambda: not any(map(os.path.exists, strange.folders)), "the strange group to be removed")
    assert mine[1].processes()
    assert zap.run("restart", "j").returncode == 0
    assert not [line for line in zap.run("logs", "j").stdout.splitlines() if "control group" in line]
    assert zap.run("down").returncode == 0
