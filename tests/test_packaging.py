"""What a person installs is whole: the wheel carries the fixups, and zap in it finds them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.zap import Zap

ROOT = Path(__file__).parent.parent


def test_the_wheel_runs_by_itself(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("zap_runner-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    shipped = {path.name for path in (tmp_path / "installed" / "zap" / "fixups").iterdir()}
    assert shipped == {path.name for path in (ROOT / "fixups").iterdir()}
    (tmp_path / "work").mkdir()
    zap = Zap(tmp_path / "work")
    zap.write("systems: {s: {j: echo hello}}")
    there = {"PYTHONPATH": str(tmp_path / "installed")}
    listed = zap.run("fixups", env=there)
    assert {f"{line.split()[0]}.yaml" for line in listed.stdout.splitlines()} == shipped, listed.stderr
    assert zap.run("run", env=there).returncode == 0


def test_the_bundled_plan_shows_what_it_promises(tmp_path: Path) -> None:
    """The newcomer's first command: progress, a port healed, retries, and a failure explained."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with_home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "ZAP_DEMO_PORT": port}
    done = subprocess.run(
        [sys.executable, "-m", "zap", "run", "-f", str(ROOT / "jobs.yaml")],
        env=with_home,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    summary = done.stdout.partition("exit code 3\n")[2]
    rows = [line.split() for line in summary.splitlines()]
    assert [row[:3] for row in rows[:4]] == [
        ["✓", "demo/build", "done"],
        ["✓", "demo/server", "done"],
        ["✓", "demo/flaky", "done"],
        ["✗", "demo/broken", "failed"],
    ]
    assert "🔧 port-in-use" in summary.splitlines()[1]
    assert "↺ 2" in summary.splitlines()[2]
    assert "exit 3 at command 2/3" in summary.splitlines()[3]
    assert "last words: deploy.toml, line 7, no such region 'mars-1'" in summary
    assert "and is a leftover of this job (ZAP_JOB=demo/server)" in done.stdout
