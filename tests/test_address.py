"""Where a runner is found: one lives there at a time, the dead are no hindrance, and nobody else gets in."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.zap import DEADLINE
from zap import address
from zap.address import Claim
from zap.errors import ZapError

CLAIMS = """
import sys, time
from zap import address
claimed = address.claim(sys.argv[1])
print("claimed" if claimed else "taken", flush=True)
time.sleep(1000)
"""
LISTENS_AS_ANOTHER = """
import os, socket, sys, time
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1] + "/socket")
os.setuid(65534)
listening.listen()
print("listens", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a plan, below one of zap's, neither of which is there yet."""
    return tmp_path / "zap" / "id"


@contextmanager
def claimed(folder: Path | str) -> Iterator[Claim]:
    claim = address.claim(str(folder))
    assert claim is not None
    try:
        yield claim
    finally:
        claim.close()


@contextmanager
def program(text: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has said something, and is gone afterwards."""
    argv = [sys.executable, "-c", text, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().rstrip()


def is_found(folder: Path | str) -> bool:
    dialled = address.connect(str(folder))
    if dialled:
        dialled.close()
    return dialled is not None


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_who_claims_it_is_found_and_can_be_talked_to(folder: Path) -> None:
    with claimed(folder) as claim:
        assert address.is_claimed(str(folder))
        dialled = address.connect(str(folder))
        assert dialled is not None
        with dialled, claim.socket.accept()[0] as accepted:
            dialled.sendall(b"hello")
            assert accepted.recv(9) == b"hello"
            for end in (dialled, accepted):
                assert address.peer(end) == (os.getpid(), os.geteuid())


def test_where_nobody_is_nobody_is_found(folder: Path) -> None:
    assert not address.is_claimed(str(folder))
    assert not is_found(folder)
    assert not folder.parent.exists(), "who only looks makes nothing"


def test_only_one_at_a_time_lives_there(folder: Path) -> None:
    with claimed(folder):
        assert address.claim(str(folder)) is None
        with program(CLAIMS, folder) as other:
            assert said(other) == "taken"
        assert is_found(folder), "who came second has not disturbed the first"
    assert not address.is_claimed(str(folder))
    with claimed(folder):
        assert is_found(folder)


def test_who_has_closed_leaves_nothing_to_be_found(folder: Path) -> None:
    with claimed(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["lock"]
    assert not is_found(folder)


def test_what_a_dead_one_left_is_no_hindrance(folder: Path) -> None:
    with program(CLAIMS, folder) as dead:
        assert said(dead) == "claimed"
        assert is_found(folder)
        assert address.claim(str(folder)) is None
        dead.kill()
        dead.wait(DEADLINE)
        assert stat.S_ISSOCK((folder / "socket").lstat().st_mode)
        assert not address.is_claimed(str(folder))
        assert not is_found(folder)
    with claimed(folder):
        assert is_found(folder)


def test_a_child_of_its_does_not_live_there_on(folder: Path) -> None:
    """The lock is not inherited, or a daemon that a job leaves would be taken for the runner."""
    with claimed(folder):
        child = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        assert not address.is_claimed(str(folder))
    finally:
        child.kill()
        child.wait()


def test_what_is_no_socket_is_nobody(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / "socket").touch()
    assert not is_found(folder)
    with claimed(folder):
        assert is_found(folder)


def test_it_does_not_make_its_loop_wait(folder: Path) -> None:
    with claimed(folder) as claim, pytest.raises(BlockingIOError):
        claim.socket.accept()


# Nobody else gets in.


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_all_of_it_is_for_its_owner_alone_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with claimed(folder):
            assert os.umask(umask) == umask, "it is as it was"
            assert (mode(folder.parent), mode(folder)) == (0o700, 0o700)
            assert (mode(folder / "lock"), mode(folder / "socket")) == (0o600, 0o600)
    finally:
        os.umask(before)


def test_a_folder_that_others_could_enter_is_closed(folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        path.chmod(0o777)
    with claimed(folder):
        assert (mode(folder.parent), mode(folder)) == (0o700, 0o700)
        folder.chmod(0o755)
        assert is_found(folder)
        assert mode(folder) == 0o700


def test_the_folder_of_another_person_is_not_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with claimed(folder):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    for found in (address.claim, address.connect):
        with pytest.raises(ZapError, match=r"is not a folder of yours: remove it, or set XDG_RUNTIME_DIR"):
            found(str(folder))


@pytest.mark.parametrize("which", ["its own", "the one above"])
@pytest.mark.parametrize("is_link", [False, True], ids=["a file", "a link"])
def test_what_is_no_folder_is_not_trusted(folder: Path, tmp_path: Path, which: str, is_link: bool) -> None:
    path = folder if which == "its own" else folder.parent
    path.parent.mkdir(exist_ok=True)
    if is_link:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        path.symlink_to(elsewhere)
    else:
        path.touch()
    with pytest.raises(ZapError, match="is not a folder of yours"):
        address.claim(str(folder))
    if is_link:
        assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_who_listens_there_is_not_talked_to(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    with program(LISTENS_AS_ANOTHER, folder) as other:
        assert said(other) == "listens"
        with pytest.raises(ZapError, match=r"is somebody else's \(user 65534\)"):
            address.connect(str(folder))


# What goes wrong is told in words.


def test_a_place_that_cannot_be_made_is_told() -> None:
    with pytest.raises(ZapError, match="no place for the runner's socket: /dev/null/x/zap/id: Not a directory"):
        address.claim("/dev/null/x/zap/id")
    with pytest.raises(ZapError, match="cannot be found: /dev/null/x/zap/id: Not a directory"):
        address.connect("/dev/null/x/zap/id")


@pytest.mark.parametrize("name", ["socket", "lock"])
def test_what_is_in_the_way_is_told_and_the_lock_is_not_kept(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    with pytest.raises(ZapError, match=r"no place for the runner.s socket: .*: Is a directory"):
        address.claim(str(folder))
    (folder / name).rmdir()
    with claimed(folder):
        assert is_found(folder)


def test_a_link_in_the_place_of_the_lock_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(ZapError, match="no place for the runner's socket"):
        address.claim(str(folder))
    assert not (tmp_path / "target").exists()


# Long paths: unix(7) has room for 108 bytes.


@pytest.fixture
def short() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield path


@pytest.mark.parametrize("length", [60, *range(90, 112), 200, 2000])
def test_a_path_may_be_of_any_length(short: str, length: int) -> None:
    """Around the length at which the address does not hold it any more, and far beyond."""
    folder = f"{short}/zap/"
    while length - len(folder) > 200:
        folder += "x" * 199 + "/"
    folder += "x" * (length - len(folder))
    assert len(folder) == length
    with claimed(folder) as claim:
        assert os.path.exists(f"{folder}/socket")
        assert is_found(folder)
        claim.socket.accept()[0].close()
    assert os.listdir(folder) == ["lock"]


def test_a_path_may_be_no_text(short: str) -> None:
    folder = os.fsdecode(os.fsencode(short) + b"/caf\xe9/id")
    with claimed(folder):
        assert is_found(folder)


def test_who_waits_to_be_heard_is_not_turned_away(folder: Path) -> None:
    """A runner that is busy accepts later."""
    with claimed(folder) as claim:
        waiting = [address.connect(str(folder)) for _ in range(50)]
        try:
            for dialled in waiting:
                assert isinstance(dialled, socket.socket)
                dialled.sendall(b"x")
            for _ in waiting:
                with claim.socket.accept()[0] as accepted:
                    assert accepted.recv(1) == b"x"
        finally:
            for dialled in waiting:
                if dialled:
                    dialled.close()
