from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from zap import vault
from zap.plan import KIB, MIB
from zap.vault import Vault

RECORDS = [b"one", b"", b"three\nwith a line", b"\x00" * 100_000]


@pytest.fixture
def own() -> Iterator[Vault]:
    made = Vault()
    yield made
    made.close()


def filled(own: Vault) -> Vault:
    for record in RECORDS:
        own.append(record)
    return own


def kept(own: Vault) -> Vault:
    """Another runner's, of the same file."""
    return Vault(os.dup(own.fd))


def test_records_come_back_in_order(own: Vault) -> None:
    assert list(filled(own).records()) == RECORDS


def test_an_empty_one_has_none(own: Vault) -> None:
    assert (list(own.records()), own.size) == ([], 0)


def test_another_runner_goes_on_behind_them(own: Vault) -> None:
    filled(own)
    other = kept(own)
    assert other.size == own.size
    other.append(b"more")
    assert list(vault.records(own.fd)) == [*RECORDS, b"more"]
    other.close()


def _cut(size: int) -> Callable[[int], None]:
    return lambda fd: os.ftruncate(fd, os.fstat(fd).st_size - size)


def _spoil(fd: int) -> None:
    end = os.fstat(fd).st_size
    os.pwrite(fd, b"?", end - 1)


def _no_body(fd: int) -> None:
    """The size was made before the bytes were there."""
    size = os.fstat(fd).st_size
    os.ftruncate(fd, size - 8)
    os.ftruncate(fd, size)


@pytest.mark.parametrize("tear", [_cut(1), _cut(8), _cut(11), _cut(15), _spoil, _no_body])
def test_a_record_that_was_torn_is_none(own: Vault, tear: Callable[[int], None]) -> None:
    filled(own)
    own.append(b"torn record")  # 11 bytes behind a head of 8
    tear(own.fd)
    assert list(own.records()) == RECORDS
    other = kept(own)
    other.append(b"short")  # of which the torn one must not become a part
    assert list(other.records()) == [*RECORDS, b"short"]
    other.close()


def test_whole_pages_are_given_back_and_no_others(own: Vault) -> None:
    os.pwrite(own.fd, b"x" * MIB, 0)
    used = os.fstat(own.fd).st_blocks
    vault.let_go(own.fd, 5000, MIB - 5000)
    stat = os.fstat(own.fd)
    assert (stat.st_size, stat.st_blocks * 512 <= 16 * KIB) == (MIB, True)
    assert used * 512 >= MIB
    assert os.pread(own.fd, 5000, MIB - 5000) == b"x" * 5000
    assert os.pread(own.fd, 8192, 8192) == bytes(8192)


def test_less_than_a_page_stays(own: Vault) -> None:
    os.pwrite(own.fd, b"x" * 4096, 0)
    vault.let_go(own.fd, 10, 4000)
    assert os.pread(own.fd, 4096, 0) == b"x" * 4096
