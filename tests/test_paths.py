"""Where the plan is looked for, and where zap keeps what it keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zap import paths
from zap.errors import ZapError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a plan, another one two folders below, and one stands between the two."""
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    for place in (tmp_path, below.parent):
        (place / "jobs.yaml").touch()
    monkeypatch.chdir(tmp_path / "a")
    return tmp_path


def test_a_file_that_is_named_goes_before_the_variable(folder: Path) -> None:
    environ = {"ZAP_FILE": "b/jobs.yaml"}
    assert paths.plan_file("../jobs.yaml", environ) == str(folder / "jobs.yaml")
    assert paths.plan_file(None, environ) == str(folder / "a/b/jobs.yaml")


@pytest.mark.parametrize(("here", "found"), [(".", "."), ("a", "."), ("a/b", "a/b"), ("a/b/c", "a/b")])
def test_the_nearest_folder_above_counts(folder: Path, here: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / here)
    assert paths.plan_file(None, {"ZAP_FILE": ""}) == str(folder / found / "jobs.yaml")


def test_a_folder_of_that_name_is_no_plan(folder: Path) -> None:
    (folder / "a" / "jobs.yaml").mkdir()
    assert paths.plan_file(None, {}) == str(folder / "jobs.yaml")


@pytest.mark.parametrize(
    ("named", "variable", "said"),
    [
        ("none.yaml", "../jobs.yaml", "-f none.yaml: there is no such file"),
        ("b", "../jobs.yaml", "-f b: it is not a file"),
        (None, "none.yaml", "$ZAP_FILE none.yaml: there is no such file"),
        (None, ".", "$ZAP_FILE .: it is not a file"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_named_and_is_no_file_is_told(named: str | None, variable: str, said: str) -> None:
    """And not looked for elsewhere: something else would be run than what was meant."""
    with pytest.raises(ZapError) as raised:
        paths.plan_file(named, {"ZAP_FILE": variable})
    assert str(raised.value) == said


def test_without_any_plan_it_says_where_it_looked(folder: Path) -> None:
    (folder / "jobs.yaml").unlink()
    with pytest.raises(ZapError, match=f"^there is no jobs.yaml in {folder}/a or in a folder above"):
        paths.plan_file(None, {})


@pytest.mark.parametrize("named", [None, "/dev/null"])
def test_a_current_folder_that_is_gone_is_told_and_no_traceback(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ZapError, match="the current folder is gone"):
        paths.plan_file(named, {})


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_CACHE_HOME": "/cache", "HOME": "/home/me"}, "/cache/zap"),
        ({"XDG_CACHE_HOME": "cache", "HOME": "/home/me"}, "/home/me/.cache/zap"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/zap"),
        ({"HOME": "/home/me"}, "/home/me/.cache/zap"),
        ({"XDG_CACHE_HOME": "/cache"}, "/cache/zap"),
        ({"XDG_CACHE_HOME": "cache"}, None),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_the_cache_is_where_the_xdg_says(environ: dict[str, str], folder: str | None) -> None:
    """XDG Base Directory Specification: a relative path is invalid and must be ignored."""
    assert paths.cache_folder(environ) == folder


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"XDG_CONFIG_HOME": "/config", "HOME": "/home/me"}, "/config/zap/config.yaml"),
        ({"XDG_CONFIG_HOME": "config", "HOME": "/home/me"}, "/home/me/.config/zap/config.yaml"),
        ({"HOME": "/home/me"}, "/home/me/.config/zap/config.yaml"),
        ({"XDG_CONFIG_HOME": "/config"}, "/config/zap/config.yaml"),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_what_a_person_prefers_is_where_the_xdg_says(environ: dict[str, str], file: str | None) -> None:
    assert paths.config_file(environ) == file


def test_the_bundled_fixups_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "port-in-use.yaml" in {path.name for path in Path(paths.bundled_fixups()).iterdir()}


# Where a runner is found, and what it leaves.


def test_plans_are_told_apart_by_their_path() -> None:
    one = paths.plan_id("/home/me/jobs.yaml")
    assert one == paths.plan_id("/home/me/jobs.yaml")
    assert one != paths.plan_id("/home/you/jobs.yaml")
    assert len(paths.plan_id("/caf\udce9/jobs.yaml")) == len(one) == 12
    assert set(one) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("base", "is_taken"), [("{folder}", True), ("relative", False), ("{folder}/jobs.yaml", False), ("", False)]
)
def test_a_runner_is_found_below_the_runtime_folder_where_there_is_one(
    folder: Path, base: str, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "relative").mkdir()
    environ = {"XDG_RUNTIME_DIR": base.format(folder=folder), "HOME": "/home/me"}
    expected = f"{folder}/zap/abc" if is_taken else f"/tmp/zap-{os.getuid()}/abc"
    assert paths.runtime_folder(environ, "abc") == expected


def test_without_a_runtime_folder_each_person_has_one_of_their_own() -> None:
    assert paths.runtime_folder({}, "abc") == f"/tmp/zap-{os.getuid()}/abc"
    assert paths.runtime_folder({"XDG_RUNTIME_DIR": "/no/such/folder"}, "abc") == f"/tmp/zap-{os.getuid()}/abc"


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}, "/state/zap/abc/runner.log"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/me"}, "/home/me/.local/state/zap/abc/runner.log"),
        ({"HOME": "/home/me"}, "/home/me/.local/state/zap/abc/runner.log"),
        ({"XDG_STATE_HOME": "/state"}, "/state/zap/abc/runner.log"),
        ({"HOME": "", "XDG_RUNTIME_DIR": "/tmp"}, "/tmp/zap/abc/runner.log"),
    ],
)
def test_a_runners_log_is_where_the_xdg_says(environ: dict[str, str], file: str) -> None:
    """And with it all that is kept of a plan."""
    assert paths.log_file(environ, "abc") == file
    assert paths.state_folder(environ, "abc") == os.path.dirname(file)
