"""The checked plan that is kept: used only while nothing has changed, and it holds nothing that it should not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.zap import Zap
from zap import cache
from zap.plan import Command, Job, Plan, System


@pytest.fixture(autouse=True)
def no_umask() -> Iterator[None]:
    """A person's umask may be as wide as it likes."""
    before = os.umask(0)
    yield
    os.umask(before)


class Kept:
    """A plan's file, its folder of fixups, and the cache; `plan` is kept already."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "home" / "cache"
        self.file = folder / "jobs.yaml"
        self.file.write_text("systems: …", encoding="utf-8")
        self.fixups = folder / "fixups"
        self.fixups.mkdir()
        self.fixup = self.fixups / "lock.yaml"
        self.fixup.write_text("about: a lock")
        self.plan = Plan(str(self.file), "id", (System("s", (Job("s/j", "j", (Command("ls"),), "/", tries=None),)),))
        self.write()

    def write(self) -> None:
        files = [str(self.file), *map(str, self.fixups.iterdir())]
        cache.write(str(self.cache), str(self.file), self.plan, files, [str(self.fixups), "/no/such/folder"])

    def read(self) -> Plan | None:
        return cache.read(str(self.cache), str(self.file))

    @property
    def entry(self) -> Path:
        (entry,) = self.cache.iterdir()
        return entry


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_what_is_kept_is_the_plan(kept: Kept) -> None:
    assert kept.read() == kept.plan


def test_only_its_owner_can_read_it(kept: Kept) -> None:
    assert kept.entry.stat().st_mode & 0o777 == 0o600
    assert kept.cache.stat().st_mode & 0o777 == 0o700


def test_a_plan_without_an_entry_is_not_there(kept: Kept) -> None:
    assert cache.read(str(kept.cache), "/other/jobs.yaml") is None
    assert cache.read("/no/such/folder", str(kept.file)) is None
    assert cache.read(None, str(kept.file)) is None


def test_the_entry_of_another_plan_is_not_taken_for_ones_own(kept: Kept) -> None:
    """As with two paths of one checksum."""
    other = str(kept.file.with_name("other.yaml"))
    cache.write(str(kept.cache), other, kept.plan, [], [])
    mine, others = sorted(kept.cache.iterdir(), key=lambda entry: "other.yaml" in entry.read_text())
    mine.write_bytes(others.read_bytes())
    assert cache.read(str(kept.cache), other) == kept.plan
    assert kept.read() is None


CHANGES: dict[str, Callable[[Kept], object]] = {
    "the plan is changed": lambda kept: kept.file.write_text("systems: ...", encoding="utf-8"),
    "the plan ends its lines otherwise": lambda kept: kept.file.write_bytes(b"systems: \xe2\x80\xa6\r\n"),
    "the plan is no text any more": lambda kept: kept.file.write_bytes(b"\xff"),
    "the plan is gone": lambda kept: kept.file.unlink(),
    "a fixup is changed": lambda kept: kept.fixup.write_text("about: no lock"),
    "a fixup is new": lambda kept: (kept.fixups / "new.yaml").touch(),
    "a fixup is gone": lambda kept: kept.fixup.unlink(),
    "a fixup has another name": lambda kept: kept.fixup.rename(kept.fixups / "key.yaml"),
    "all fixups are gone": lambda kept: shutil.rmtree(kept.fixups),
    "one stands elsewhere": lambda kept: os.chdir(kept.fixups),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_checked_again(kept: Kept, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept.file.parent)
    kept.write()
    assert kept.read() == kept.plan
    CHANGES[change](kept)
    assert kept.read() is None


def test_a_new_zap_checks_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "__version__", "another")
    assert kept.read() is None


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda entry: b"",
    "half": lambda entry: entry[: len(entry) // 2],
    "no text": lambda entry: b"\xff" + entry,
    "no JSON": lambda entry: b"systems: web",
    "a list": lambda entry: b"[]",
    "nothing": lambda entry: b"null",
    "without a plan": lambda entry: entry.replace(b'"plan": {', b'"plam": {'),
    "a plan without systems": lambda entry: entry.replace(b'"systems": [', b'"sistems": ['),
    "another plan's shape": lambda entry: entry.replace(b'"systems": [{', b'"systems": [[], {'),
    "nothing seen": lambda entry: entry.replace(b'"files": {', b'"files": 3, "more": {'),
    "deep": lambda entry: b"[" * 1_000_000,
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_entry_that_is_broken_is_none(kept: Kept, how: str) -> None:
    before = kept.entry.read_bytes()
    kept.entry.write_bytes(BROKEN[how](before))
    assert kept.entry.read_bytes() != before
    assert kept.read() is None
    kept.write()
    assert kept.read() == kept.plan, "it is replaced"


def test_an_entry_of_another_person_is_not_trusted(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert kept.read() is None


def test_what_cannot_be_kept_is_no_error_and_leaves_nothing(kept: Kept) -> None:
    blocked = kept.file / "cache"  # below a file, where not even root can write
    cache.write(str(blocked), str(kept.file), kept.plan, [], [])
    kept.entry.unlink()
    cache.write(str(kept.cache), str(kept.file), kept.plan, ["/no/such/file"], [])
    cache.write(None, str(kept.file), kept.plan, [], [])
    assert list(kept.cache.iterdir()) == []


def test_an_entry_that_cannot_be_replaced_leaves_no_litter(kept: Kept) -> None:
    entry = kept.entry
    entry.unlink()
    entry.mkdir()
    kept.write()
    assert list(kept.cache.iterdir()) == [entry]
    assert kept.read() is None


def test_more_than_is_worth_comparing_is_not_kept(kept: Kept) -> None:
    kept.entry.unlink()
    kept.fixup.write_text("x" * (cache.SIZE_MOST + 1))
    kept.write()
    assert list(kept.cache.iterdir()) == []


# Through the real zap.


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


def entries(zap: Zap) -> list[Path]:
    return sorted((zap.folder / "home").glob(".cache/zap/*"))


def test_a_plan_that_was_run_is_kept_and_a_fixup_that_comes_is_seen(zap: Zap) -> None:
    zap.write("systems: {s: {j: 'echo in the way'}}")
    assert zap.run("run").returncode == 0
    (entry,) = entries(zap)
    kept = entry.stat()
    assert "fixup" not in zap.run("run").stdout
    assert entry.stat().st_mtime_ns == kept.st_mtime_ns, "the second run had it from the cache"
    zap.write(
        "{about: told, match: {pattern: in the way}, mode: auto, examples: {matches: [in the way]}}", "fixups/t.yaml"
    )
    assert "🔧 fixup t: told" in zap.run("run").stdout
    assert entries(zap) == [entry]


def test_a_plan_that_the_environment_decides_is_not_kept(zap: Zap) -> None:
    """What is in a variable may be a secret, and it may be another one at the next run."""
    zap.write("systems: {s: {j: {commands: 'echo got $KEY', env: {KEY: '${API_KEY}'}}}}")
    for secret in ("hush", "hush-hush"):
        assert f"got {secret}\n" in zap.run("run", env={"API_KEY": secret}).stdout
    assert entries(zap) == []


@pytest.mark.parametrize("setting", ["cwd: ~/there", "env: {KEY: '${HOME:-none}'}"])
def test_a_home_is_part_of_the_environment(zap: Zap, setting: str) -> None:
    (zap.folder / "home" / "there").mkdir()
    zap.write(f"systems: {{s: {{j: {{commands: pwd, {setting}}}}}}}")
    assert zap.run("run").returncode == 0
    assert entries(zap) == []


def test_a_run_in_a_folder_whose_name_is_no_text_leaves_no_litter_in_the_cache(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    zap = Zap(folder)
    zap.write("systems: {s: {j: echo hello}}")
    for _ in range(2):
        assert "s/j │ hello\n" in zap.run("run").stdout
    assert [entry.suffix for entry in entries(zap)] == [".json"]
