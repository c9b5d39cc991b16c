"""The fixups that come with zap: their examples, and their remedies on real leftovers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from zap import config
from zap.child import identity
from zap.fixup import Filled, Triage, check, failed_examples, fill
from zap.plan import Fixup

FOLDER = Path(__file__).parent.parent / "fixups"
TAGS = {"ZAP_PLAN": f"the-plan-of-test-process-{os.getpid()}", "ZAP_JOB": "web/api"}

LISTENS = """
import signal, socket, sys
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
signal.pause()
"""
LISTENS_AND_HEALS = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
print(port, subprocess.call(["sh", "-c", f"zap_port={port}; " + sys.argv[1]]))
"""


@cache
def bundled() -> dict[str, Fixup]:
    """Loaded the way every plan loads them."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "jobs.yaml")
        file.write_text("systems: {web: {api: date}}")
        return {fixup.name: fixup for fixup in config.load(file, {}, FOLDER).plan.fixups}


def load(name: str) -> Fixup:
    return bundled()[name]


NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


class Healing(NamedTuple):
    code: int
    said: str


def commands_for(name: str, line: str, job: str = "npx podman docker pactl") -> list[str]:
    call = Triage([load(name)], [job]).read("err", line.encode() + b"\n", 1)
    assert call is not None, line
    filled = fill(call.fixup, call.captures)
    assert isinstance(filled, Filled), filled
    return list(filled.commands)


def heal(name: str, line: str, cwd: Path, tags: dict[str, str] = TAGS, *, steps: int | None = None) -> Healing:
    """What the remedy for this line does, run as the runner runs it: its commands in one shell, as joined by `&&`."""
    script = " && ".join(f"eval {shlex.quote(command)}" for command in commands_for(name, line)[:steps])
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=cwd,
        env={**os.environ, **tags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return Healing(done.returncode, done.stdout)


@contextmanager
def child(*argv: str, cwd: Path | None = None, tags: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the test at the latest."""
    env = {**os.environ, **(tags or {})}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, cwd=cwd, env=env, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listener(*options: str, tags: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with child(sys.executable, "-c", LISTENS, *options, tags=tags) as process:
        assert process.stdout
        yield process, int(process.stdout.readline())


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_fixup_is_as_it_says(name: str) -> None:
    fixup = load(name)
    assert check(fixup) == []
    assert failed_examples(fixup) == []
    assert fixup.examples.ignores
    # Nothing is deleted, killed or started without a word.
    lines = "\n".join(str(step) for step in fixup.run).splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*(?:(?:podman|docker) (?:stop|rm)|rm|kill|virsh .* start|VBoxManage startvm) ", line):
            assert any("echo" in before for before in lines[max(0, number - 3) : number]), line


@pytest.mark.parametrize("name", NAMES)
def test_no_other_bundled_fixup_takes_its_lines(name: str) -> None:
    fixups = [load(each) for each in NAMES]
    for line in load(name).examples.matches:
        call = Triage(fixups, ["npx podman docker pactl"]).read("out", line.encode() + b"\n", 1)
        assert call is not None
        assert call.fixup.name == name, line


# port-in-use, address-in-use


def node_says(port: int) -> str:
    return f"Error: listen EADDRINUSE: address already in use 127.0.0.1:{port}"


def test_a_leftover_of_the_job_is_stopped(tmp_path: Path) -> None:
    with listener(tags=TAGS) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path)
        assert process.wait(10) == -signal.SIGTERM
    assert healing.code == 0, healing.said
    assert f"stopping process {process.pid} (" in healing.said
    assert "ZAP_JOB=web/api" in healing.said


def test_a_leftover_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    with listener("stubborn", tags=TAGS) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path)
        assert process.wait(10) == -signal.SIGKILL
    assert healing.code == 0, healing.said
    assert f"killing process {process.pid} (" in healing.said


@pytest.mark.parametrize("tags", [{}, {**TAGS, "ZAP_JOB": "web/api2"}, {**TAGS, "ZAP_PLAN": "another"}])
def test_a_holder_that_is_not_of_the_job_is_left_alone(tags: dict[str, str], tmp_path: Path) -> None:
    with listener(tags=tags) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path)
        assert process.poll() is None
    assert healing.code == 1
    assert f"held by process {process.pid} (" in healing.said


def test_a_job_of_another_zap_that_still_runs_is_left_alone(tmp_path: Path) -> None:
    another = TAGS | {"ZAP_RUNNER": str(os.getpid())}
    with listener(tags=another) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path, TAGS | {"ZAP_RUNNER": str(dead_pid())})
        assert process.poll() is None
        assert (healing.code, "which is not of this job" in healing.said) == (1, True)
        assert heal("port-in-use", node_says(port), tmp_path, another).code == 0
        assert process.wait(10) == -signal.SIGTERM


def test_a_leftover_of_a_zap_that_is_gone_is_stopped(tmp_path: Path) -> None:
    with listener(tags=TAGS | {"ZAP_RUNNER": str(dead_pid())}) as (process, port):
        assert heal("port-in-use", node_says(port), tmp_path, TAGS | {"ZAP_RUNNER": str(os.getpid())}).code == 0
        assert process.wait(10) == -signal.SIGTERM


def test_a_job_whose_keeper_lives_is_left_alone_though_its_runner_does_not(tmp_path: Path) -> None:
    kept = {"ZAP_KEEPERS": f"{identity(os.getpid())},{dead_pid()}.1", "ZAP_RUNNER": str(dead_pid())}
    with listener(tags=TAGS | kept) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path, TAGS | {"ZAP_KEEPERS": f"{dead_pid()}.2"})
        assert process.poll() is None
        assert (healing.code, "which is not of this job" in healing.said) == (1, True)


@pytest.mark.parametrize("kept", ["{me}.1", "{dead}.1,{dead}.2", "{dead}.0"])
def test_a_leftover_whose_keepers_are_gone_is_stopped_though_one_of_their_numbers_lives(
    kept: str, tmp_path: Path
) -> None:
    tags = TAGS | {"ZAP_KEEPERS": kept.format(me=os.getpid(), dead=dead_pid()), "ZAP_RUNNER": str(os.getpid())}
    with listener(tags=tags) as (process, port):
        healing = heal("port-in-use", node_says(port), tmp_path, TAGS | {"ZAP_KEEPERS": identity(os.getpid())})
        assert healing.code == 0, healing.said
        assert process.wait(10) == -signal.SIGTERM


def test_a_leftover_of_an_earlier_run_under_the_same_keeper_is_stopped(tmp_path: Path) -> None:
    keeper = identity(os.getpid())
    with listener(tags=TAGS | {"ZAP_KEEPERS": f"{keeper},{dead_pid()}.1"}) as (process, port):
        mine = TAGS | {"ZAP_KEEPERS": f"{keeper},{dead_pid()}.2"}
        assert heal("port-in-use", node_says(port), tmp_path, mine).code == 0
        assert process.wait(10) == -signal.SIGTERM


def test_a_remedy_that_knows_no_job_kills_nothing(tmp_path: Path) -> None:
    nobody = {"ZAP_PLAN": "", "ZAP_JOB": ""}
    with listener(tags=nobody) as (process, port):
        assert heal("port-in-use", node_says(port), tmp_path, nobody).code == 1
        assert process.poll() is None


def test_an_ancestor_of_the_remedy_is_left_alone(tmp_path: Path) -> None:
    remedy = commands_for("port-in-use", node_says(1))[0].removeprefix("zap_port=1; ")
    argv = [sys.executable, "-c", LISTENS_AND_HEALS, remedy]
    done = subprocess.run(argv, env={**os.environ, **TAGS}, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == "1"
    assert "which is not of this job" in done.stderr


def test_a_port_that_is_free_again_is_well(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    healing = heal("port-in-use", node_says(port), tmp_path)
    assert (healing.code, healing.said) == (0, f"nobody listens on port {port} any more\n")


def test_without_a_port_only_leftovers_of_the_job_are_stopped(tmp_path: Path) -> None:
    line = "OSError: [Errno 98] Address already in use"
    with listener() as (other, _):
        with listener(tags=TAGS) as (ours, _):
            assert heal("address-in-use", line, tmp_path).code == 0
            assert ours.wait(10) == -signal.SIGTERM
        healing = heal("address-in-use", line, tmp_path)
        assert other.poll() is None
    assert healing.code == 1
    assert "no leftover of this job" in healing.said


# stale-pid-file


def rails_says(file: Path) -> str:
    return f"A server is already running. Check {file}."


def test_a_pid_file_of_a_dead_process_is_deleted(tmp_path: Path) -> None:
    file = tmp_path / "server.pid"
    file.write_text(f"{(pid := dead_pid())}\n")
    healing = heal("stale-pid-file", rails_says(file), tmp_path)
    assert healing == Healing(0, f"deleting {file}: its process {pid} is gone\n")
    assert not file.exists()


def test_a_pid_file_of_a_living_process_stays(tmp_path: Path) -> None:
    file = tmp_path / "server.pid"
    file.write_text(str(os.getpid()))
    healing = heal("stale-pid-file", rails_says(file), tmp_path)
    assert healing.code == 1
    assert f"process {os.getpid()} of {file} is alive (" in healing.said
    assert file.exists()


def test_a_pid_file_older_than_the_process_of_that_number_is_deleted(tmp_path: Path) -> None:
    file = tmp_path / "server.pid"
    with child("cat") as process:
        file.write_text(str(process.pid))
        os.utime(file, (time.time() - 3600, time.time() - 3600))
        healing = heal("stale-pid-file", rails_says(file), tmp_path)
        assert process.poll() is None
    assert healing.code == 0, healing.said
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "nonsense", "0", "-1", "12 34x"])
def test_a_file_without_a_pid_stays(text: str, tmp_path: Path) -> None:
    file = tmp_path / "server.pid"
    file.write_text(text)
    assert heal("stale-pid-file", rails_says(file), tmp_path).code == 1
    assert file.exists()


def test_a_link_to_a_pid_file_stays(tmp_path: Path) -> None:
    (tmp_path / "other").write_text(str(dead_pid()))
    link = tmp_path / "server.pid"
    link.symlink_to("other")
    assert heal("stale-pid-file", rails_says(link), tmp_path).code == 1
    assert link.is_symlink()


# stale-socket-file


def go_says(file: Path) -> str:
    return f"listen unix {file}: bind: address already in use"


def test_a_socket_that_nobody_has_open_is_deleted(tmp_path: Path) -> None:
    file = tmp_path / "zap test.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(file))
    healing = heal("stale-socket-file", go_says(file), tmp_path)
    assert healing == Healing(0, f"deleting {file}: it is a socket, and no process has it open\n")
    assert not file.exists()


def test_a_living_socket_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (str(tmp_path / "zap test 1.sock"), "zap test 2.sock"):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path)
            bound.listen()
            healing = heal("stale-socket-file", go_says(tmp_path / path), tmp_path)
        assert healing.code == 1
        assert "is left alone" in healing.said
        assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    file = tmp_path / "app.sock"
    file.write_text("precious")
    assert heal("stale-socket-file", go_says(file), tmp_path).code == 1
    assert file.read_text() == "precious"


# git-index-lock


def git(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    return subprocess.run(["git", *who, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def locked(top: Path) -> tuple[str, Path]:
    """What git says of an index.lock that is there, and that lock."""
    lock = Path(git("rev-parse", "--absolute-git-dir", cwd=top).stdout.strip()) / "index.lock"
    lock.touch()
    (top / "file").write_text("x")
    said = git("add", "file", cwd=top).stderr.splitlines()[0]
    assert str(lock) in said
    return said, lock


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", str(tmp_path / "shop"), cwd=tmp_path)
    git("commit", "--allow-empty", "-m", "x", cwd=tmp_path / "shop")
    return tmp_path / "shop"


@pytest.mark.real("git")
def test_a_lock_that_no_git_holds_is_deleted(repository: Path, tmp_path: Path) -> None:
    said, lock = locked(repository)
    healing = heal("git-index-lock", said, tmp_path)
    assert healing.code == 0, healing.said
    assert f"deleting {lock}: no git works in {repository}" in healing.said
    assert git("add", "file", cwd=repository).returncode == 0


@pytest.mark.real("git")
def test_a_lock_stays_while_a_git_works_in_the_repository(repository: Path, tmp_path: Path) -> None:
    said, lock = locked(repository)
    with child("git", "cat-file", "--batch", cwd=repository) as process:
        healing = heal("git-index-lock", said, tmp_path)
    assert healing.code == 1
    assert f"in use by process {process.pid} " in healing.said
    assert lock.exists()


@pytest.mark.real("git")
def test_a_lock_of_a_linked_work_tree_stays_while_a_git_works_there(repository: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git("worktree", "add", str(tree), cwd=repository)
    said, lock = locked(tree)
    with child("git", "cat-file", "--batch", cwd=tree) as process:
        healing = heal("git-index-lock", said, tmp_path)
    assert f"in use by process {process.pid} " in healing.said
    assert lock.exists()


@pytest.mark.real("git")
def test_a_lock_stays_while_any_program_has_it_open(repository: Path, tmp_path: Path) -> None:
    said, lock = locked(repository)
    with lock.open("w"):
        healing = heal("git-index-lock", said, tmp_path)
    assert f"in use by process {os.getpid()} " in healing.said
    assert lock.exists()


# What installs


@pytest.mark.real("npm")
def test_missing_node_modules_are_installed_once(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.mkdir()
    (left / "package.json").write_text('{"name": "left", "version": "1.0.0"}')
    line = "Error: Cannot find module 'left'"
    assert "there is no package.json" in heal("missing-node-modules", line, tmp_path).said
    (tmp_path / "package.json").write_text('{"dependencies": {"left": "file:./left"}}')
    healing = heal("missing-node-modules", line, tmp_path, {"npm_config_offline": "true"})
    assert healing.code == 0, healing.said
    assert (tmp_path / "node_modules" / "left" / "package.json").exists()
    again = heal("missing-node-modules", line, tmp_path)
    assert again.code == 1
    assert "node_modules is there, without left" in again.said


def test_a_missing_python_module_is_installed_into_the_virtual_environment(tmp_path: Path) -> None:
    line = "ModuleNotFoundError: No module named 'left'"
    no_environment = {"VIRTUAL_ENV": ""}
    assert "there is no virtual environment" in heal("missing-python-module", line, tmp_path, no_environment).said
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=tmp_path, timeout=100, check=True)
    assert "there is no requirements.txt" in heal("missing-python-module", line, tmp_path, no_environment).said
    with zipfile.ZipFile(tmp_path / "left-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("left.py", "")
        wheel.writestr("left-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: left\nVersion: 1.0\n")
        wheel.writestr("left-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("left-1.0.dist-info/RECORD", "")
    (tmp_path / "requirements.txt").write_text("./left-1.0-py3-none-any.whl\n")
    healing = heal("missing-python-module", line, tmp_path, no_environment)
    assert healing.code == 0, healing.said
    other = heal("missing-python-module", "ModuleNotFoundError: No module named 'right'", tmp_path, no_environment)
    assert other.code == 1  # installed, and still not there: verified


# What only tells


def test_the_inotify_limit_is_told(tmp_path: Path) -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
    healing = heal("inotify-watch-limit", "OSError: [Errno 28] inotify watch limit reached", tmp_path)
    assert healing.code == 0
    assert f"max_user_watches = {limit}." in healing.said
    assert re.search(r"sudo sysctl fs\.inotify\.max_user_watches=\d+\n", healing.said)


def test_of_a_disk_that_is_not_full_the_files_are_told(tmp_path: Path) -> None:
    healing = heal("disk-full", "cp: error writing 'x': No space left on device", tmp_path, {"TMPDIR": "/proc"})
    assert healing.code == 0
    assert "inodes" in healing.said or " is full: " in healing.said


@pytest.mark.real("unshare")
def test_the_biggest_directories_of_a_full_disk_are_told(tmp_path: Path) -> None:
    fill_up = "mount -t tmpfs -o size=1m zap . && cd . && mkdir small big && echo x >small/x; cat /dev/zero >big/x"
    remedy = commands_for("disk-full", "cat: write error: No space left on device")[0]
    script = f"{fill_up} 2>/dev/null; cd {shlex.quote(str(tmp_path))} && {remedy}"
    argv = ["unshare", "--mount", "--user", "--map-root-user", "sh", "-c", script]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert f"{tmp_path} is full: " in done.stdout, done.stderr
    biggest = [line.split() for line in done.stdout.splitlines() if line.startswith("   ")]
    assert biggest[:2] == [["1.0", str(tmp_path)], ["1.0", f"{tmp_path}/big"]]


# Virtual machines and containers


@pytest.mark.real("virsh")
def test_only_a_machine_of_exactly_that_name_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "domain.xml").write_text(
        "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><test:runstate>5</test:runstate>"
        "<name>buildbox</name><memory>1024</memory><os><type>hvm</type></os></domain>"
    )
    (tmp_path / "node.xml").write_text("<node><domain file='domain.xml'/></node>")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", f"test://{tmp_path}/node.xml")
    say = "ssh: connect to host {} port 22: No route to host"
    healing = heal("ssh-host-asleep", say.format("buildbox"), tmp_path, steps=1)
    assert healing.code == 0, healing.said
    assert "starting the virtual machine buildbox" in healing.said
    assert "buildbox is started; waiting for its port" in healing.said
    other = heal("ssh-host-asleep", say.format("build"), tmp_path, steps=1)
    assert other == Healing(1, "no virtual machine is named build: start the host yourself\n")


@pytest.mark.real("podman")
def test_a_container_that_does_not_run_is_removed(tmp_path: Path) -> None:
    podman, name = shutil.which("podman") or "podman", f"zap-test-{os.getpid()}"
    create = [podman, "create", "--name", name, "--rootfs", str(tmp_path), "true"]
    subprocess.run(create, capture_output=True, timeout=60, check=True)
    try:
        again = subprocess.run(create, capture_output=True, text=True, timeout=60, check=False)
        healing = heal("container-name-in-use-podman", again.stderr.strip(), tmp_path)
        assert healing.code == 0, healing.said
        assert f'removing the container "{name}": it does not run, it is created' in healing.said
        assert subprocess.run([podman, "container", "exists", name], timeout=60, check=False).returncode == 1
    finally:
        subprocess.run([podman, "rm", "--force", "--ignore", name], capture_output=True, timeout=60, check=False)
