"""The real `zap` in a real terminal: what a person sees and does, from the first start to the last quit."""

from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests import programs
from tests.terminal import Terminal
from tests.tmux import Tmux
from tests.zap import Zap, is_alive, wait_until
from zap import address

pytestmark = pytest.mark.real("tmux")

LISTENS = """echo $$ >pid; echo "\\033[31mopen\\033[0m for orders"
          while read order; do echo "heard $order"; [ "$order" != fail ] || exit 3; done"""
PLAN = f"""
systems:
  web:
    api:
      - |
          {LISTENS}
    page: echo hello; sleep 1000
  tools:
    jobs:
      count: seq -f 'line %g' 500; sleep 1000
"""
IS_OPEN = "q quit"  # what the last row says then; on a narrow screen there is no room for that
DETACH, STOP_ALL = "l", "s"


@pytest.fixture
def zap(tmp_path: Path) -> Iterator[Zap]:
    """A folder with a plan, and `zap` in $PATH; at the end nothing of it runs."""
    zap = Zap(tmp_path)
    (tmp_path / "bin").mkdir()
    zap.env |= {
        "PATH": f"{tmp_path / 'bin'}:{zap.env['PATH']}",
        "SHELL": "/bin/sh",
    }
    script(zap, "zap", f'exec {shlex.quote(sys.executable)} -m zap "$@"')
    zap.write(PLAN)
    yield zap
    zap.end()


def script(zap: Zap, name: str, text: str) -> str:
    """A program in $PATH."""
    path = zap.write(f"#!/bin/sh\n{textwrap.dedent(text)}\n", f"bin/{name}")
    path.chmod(0o755)
    return str(path)


@contextmanager
def opened(zap: Zap, command: str = "zap", columns: int = 120, rows: int = 40) -> Iterator[Tmux]:
    """The interface in a terminal, whose shell goes on when it is closed."""
    with Tmux(zap.folder, zap.env, columns, rows) as tmux:
        tmux.wait("$")
        tmux.type(f"{command}\n")
        tmux.wait(IS_OPEN if columns > 90 else "R restart")
        yield tmux


def running(zap: Zap) -> int:
    pid = zap.runner()
    assert pid
    return pid


def interface(tmux: Tmux) -> int:
    """The process that the terminal's shell waits for."""
    [child] = psutil.Process(tmux.shell).children()
    return child.pid


def pid_of_api(zap: Zap) -> int:
    return int(zap.wait_file("pid"))


def close(tmux: Tmux, how: str = DETACH) -> None:
    tmux.press("q")
    tmux.wait("leave everything running")
    tmux.press(how)
    wait_given_back(tmux)


def wait_given_back(tmux: Tmux) -> None:
    """Until the terminal is as it was before: its own screen, a cursor, no mouse, and long lines wrap."""
    modes = ("alternate_on", "mouse_any_flag", "cursor_flag", "wrap_flag")
    wait_until(lambda: [tmux.look(mode) for mode in modes] == ["0", "0", "1", "1"], "the terminal to be given back")


def choose(tmux: Tmux, job: str) -> None:
    """Select a job in the tree, by what one types of its name."""
    tmux.press("/")
    tmux.wait("jobs /")
    tmux.type(job)
    tmux.wait(lambda shown: f"jobs / {job}\n" in shown and f"│ {job} " in shown, f"the output of {job}")
    tmux.press("Enter")
    tmux.press("Escape")
    tmux.wait("▾")  # the whole tree


def type_into(tmux: Tmux, job: str) -> None:
    choose(tmux, job)
    tmux.press("Enter")
    tmux.wait(f"typing into {job}")


# Coming and going


def test_zap_comes_up_is_left_running_and_is_found_again(zap: Zap) -> None:
    with opened(zap) as tmux:
        tmux.wait("open for orders")
        shown = tmux.wait("ready")
        assert all(job in shown for job in ("▾ web", "api", "page", "▾ tools", "count"))
        api, serving = pid_of_api(zap), running(zap)
        close(tmux)
        tmux.type("echo code $?\n")
        tmux.wait("code 0")
        assert is_alive(api)
        assert is_alive(serving)
        tmux.type("clear; zap\n")
        tmux.wait("open for orders")
        assert (running(zap), pid_of_api(zap)) == (serving, api)


def test_quit_with_everything_stopped_leaves_nothing_and_a_terminal_as_it_was(zap: Zap) -> None:
    with opened(zap, "stty -a >before; zap; echo code $? >code; stty -a >after") as tmux:
        api, serving = pid_of_api(zap), running(zap)
        assert tmux.look("alternate_on") == tmux.look("mouse_any_flag") == "1"
        close(tmux, STOP_ALL)
        tmux.wait("zap: everything has ended")
        assert zap.wait_file("code") == "code 0\n"
        assert zap.wait_file("after") == zap.wait_file("before")
        wait_until(lambda: not address.is_claimed(zap.place), "the runner to end")
        assert not is_alive(api)
        assert not is_alive(serving)
        tmux.type("echo still here\n")
        tmux.wait("\nstill here")


def test_two_terminals_of_different_sizes_show_the_same(zap: Zap) -> None:
    with opened(zap) as wide:
        with opened(zap, "zap attach", 60, 15) as narrow:
            narrow.wait("● count")
            choose(wide, "web/api")
            wide.press("s")
            narrow.wait("1/2")
            narrow.press("Home", "Down", "Tab")
            narrow.wait("open for orders")
            narrow.press("s")
            wide.wait("run 2")
        wide.press("?")
        wide.wait("everywhere")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_the_interface_gets_the_terminal_back_and_the_jobs_go_on(zap: Zap, number: signal.Signals) -> None:
    with opened(zap, "stty -a >before; zap; echo code $? >code; stty -a >after") as tmux:
        api = pid_of_api(zap)
        os.kill(interface(tmux), number)
        assert zap.wait_file("code") == f"code {128 + number}\n"
        assert zap.wait_file("after") == zap.wait_file("before")
        wait_given_back(tmux)
        assert is_alive(api)


def test_killing_the_interface_leaves_the_jobs_running(zap: Zap) -> None:
    with opened(zap) as tmux:
        api, killed = pid_of_api(zap), interface(tmux)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed), "the interface to end")
        assert is_alive(api)
    with opened(zap, "zap attach") as tmux:
        tmux.wait("open for orders")
        assert pid_of_api(zap) == api


def test_a_terminal_that_is_closed_takes_only_the_interface_with_it(zap: Zap) -> None:
    with opened(zap) as tmux:
        api, closed = pid_of_api(zap), interface(tmux)
    wait_until(lambda: not is_alive(closed), "the interface to end")
    assert is_alive(api)


TICKS = """
systems:
  web:
    ticks: 'echo $$ >pid; i=0; while read word; do while :; do i=$((i+1)); echo "tick $i."; sleep 0.05; done; done'
"""


def ticks(tmux: Tmux) -> list[int]:
    """Those that show."""
    return [int(number) for number in re.findall(r"tick (\d+)\.", tmux.text())]


def wait_ticks(tmux: Tmux, least: int) -> list[int]:
    """Until this one shows, or a later one, and each that shows is the one after that before it."""

    def is_so() -> bool:
        found[:] = ticks(tmux)
        return max(found, default=0) >= least and found == list(range(found[0], found[-1] + 1))

    found: list[int] = []
    wait_until(is_so, f"tick {least}, and all before it")
    return found


def test_a_runner_that_is_killed_is_followed_by_another_and_the_screen_goes_on(zap: Zap) -> None:
    zap.write(TICKS)
    with opened(zap) as tmux:
        ticking, killed = pid_of_api(zap), running(zap)
        assert zap.run("send", "ticks", "go").returncode == 0
        seen = wait_ticks(tmux, 20)
        os.kill(killed, signal.SIGKILL)
        tmux.wait("another runner goes on: the runner before ended by signal 9")
        seen = wait_ticks(tmux, seen[-1] + 20)
        upgraded = running(zap)
        tmux.press("C-u")
        tmux.wait("another runner goes on: an upgrade was asked for by process")
        newest = wait_ticks(tmux, seen[-1] + 20)[-1]
        assert len({killed, upgraded, running(zap)}) == 3
        assert is_alive(ticking)
        tmux.press("P")
        tmux.wait("⏸ ticks")
        tmux.press("Tab", "Home")
        tmux.wait("tick 1.")
        seen = wait_ticks(tmux, 1)
        while seen[-1] < newest:  # every one of them is there, and once
            tmux.press("NPage")
            page = wait_ticks(tmux, seen[-1] + 1)
            assert page[0] <= seen[-1] + 1
            seen = page


def test_what_is_typed_while_the_runner_is_replaced_is_told_of(zap: Zap) -> None:
    """Nobody knows whether it was typed, and nothing is ever typed twice."""
    with opened(zap) as tmux:
        type_into(tmux, "web/api")
        stopped = running(zap)
        os.kill(stopped, signal.SIGSTOP)
        tmux.type("x")
        tmux.press("Enter")
        os.kill(stopped, signal.SIGKILL)
        tmux.wait("another runner has taken over meanwhile, and nobody knows whether this was done")
        tmux.type("y")
        tmux.press("Enter")
        tmux.wait("heard")
        assert "heard xx" not in tmux.text()


COMPLAINS = """
import os, sys, threading, time
def complain():
    while not os.path.exists("complain"):
        time.sleep(0.01)
    os.write(2, b"a library complains\\n")
    os.rename("complain", "complained")
if "attach" in sys.orig_argv:
    threading.Thread(target=complain, daemon=True).start()
"""


def test_a_note_that_is_lost_with_the_runner_does_not_end_the_interface(zap: Zap) -> None:
    assert zap.run("up").returncode == 0
    zap.write(COMPLAINS, "complains/sitecustomize.py")
    with opened(zap, "PYTHONPATH=complains zap attach") as tmux:
        runner = psutil.Process(running(zap))
        runner.suspend()
        (zap.folder / "complain").touch()
        wait_until((zap.folder / "complained").exists, "the complaint")
        tmux.press("?")
        tmux.wait("everywhere")
        tmux.press("Escape")
        runner.kill()
        tmux.wait("another runner goes on")


def test_killing_the_runner_and_its_keeper_is_told_and_gives_the_terminal_back(zap: Zap) -> None:
    with opened(zap, "stty -a >before; zap; echo code $? >code; stty -a >after") as tmux:
        api, runner = pid_of_api(zap), psutil.Process(running(zap))
        keeper = runner.parent()
        assert keeper and "keeper.py" in " ".join(keeper.cmdline())
        runner.suspend()  # so that it does not become the next keeper
        keeper.kill()
        runner.kill()
        tmux.wait("the runner is gone")
        assert zap.wait_file("code") == "code 3\n"
        assert zap.wait_file("after") == zap.wait_file("before")
        wait_given_back(tmux)
        wait_until(lambda: not is_alive(api), "a job without a terminal to end")


def test_a_runner_that_is_ended_by_others_is_told(zap: Zap) -> None:
    with opened(zap) as tmux:
        assert zap.run("down").returncode == 0
        tmux.wait("zap: the runner has ended")
        wait_given_back(tmux)


BROKEN = """
import sys
if "attach" in sys.orig_argv:
    from zap.tui import {module}
    def broken(*_):
        raise RuntimeError("provoked")
    {module}.{what} = broken
"""


@pytest.mark.parametrize("what", [("keys", "Keys.action"), ("heads", "head"), ("feed", "Feed.newer")])
def test_a_bug_gives_the_terminal_back_tells_and_leaves_the_jobs_running(zap: Zap, what: tuple[str, str]) -> None:
    assert zap.run("up").returncode == 0
    api = pid_of_api(zap)
    zap.write(BROKEN.format(module=what[0], what=what[1]), "broken/sitecustomize.py")
    with Tmux(zap.folder, zap.env, rows=100) as tmux:
        tmux.type("stty -a >before; PYTHONPATH=broken zap attach; stty -a >after\n")
        if what[0] == "keys":
            tmux.wait(IS_OPEN)
            tmux.press("x")
        shown = tmux.wait("RuntimeError: provoked")
        assert "Traceback (most recent call last)" in shown
        tmux.wait("`zap attach` shows them again")
        assert zap.wait_file("after") == zap.wait_file("before")
        wait_given_back(tmux)
        assert is_alive(api)


NOISY = """
import os, sys
if "attach" in sys.orig_argv:
    from zap.tui import keys
    action = keys.Keys.action
    def noisy(*given):
        os.write(2, b"said \\x1b]0;by\\x07 a library\\n" * (20000 if given[1] == "z" else 1))
        return action(*given)
    keys.Keys.action = noisy
"""


def test_what_is_written_to_standard_error_goes_to_zaps_own_log_and_not_over_the_screen(zap: Zap) -> None:
    assert zap.run("up").returncode == 0
    zap.write(NOISY, "noisy/sitecustomize.py")
    with opened(zap, "PYTHONPATH=noisy zap attach") as tmux:
        tmux.press("x")
        tmux.press("End")
        tmux.wait("┆ interface: said  a library")
        assert [row for row in tmux.text().split("\n") if "a library" in row and "│" not in row] == []
        tmux.press("z")  # more than anybody reads at once does not hold it up
        tmux.press("?")
        tmux.wait("everywhere")
        assert tmux.look("pane_title") != "by"


def test_wrong_preferences_are_told_all_at_once_and_nothing_is_started(zap: Zap) -> None:
    zap.write("theme: dork\nkeys: {quit: ctrl+q}\n", "home/.config/zap/config.yaml")
    with Tmux(zap.folder, zap.env, 200) as tmux:
        tmux.type("zap; echo code $?\n")
        shown = tmux.wait("code 2")
        assert 'config.yaml:1:8: theme: "dork" is not one of dark' in shown
        assert 'config.yaml:2:14: keys: quit: "ctrl+q" is not a key' in shown
    assert not address.is_claimed(zap.place)
    assert not (zap.folder / "pid").exists()


def test_a_terminal_without_a_screen_is_refused_before_anything_is_started(zap: Zap) -> None:
    with Tmux(zap.folder, zap.env) as tmux:
        tmux.type("TERM=dumb zap; echo code $?\n")
        assert "zap run" in tmux.wait("code 2")
    assert not address.is_claimed(zap.place)


# Watching and healing


def test_a_job_fails_and_heals_while_one_watches(zap: Zap) -> None:
    zap.write(
        """
        systems:
          shop:
            till:
              - |
                test -e 'cash box/key' || { echo "nowhere to be found: cash box" >&2; exit 4; }
              - echo the till is open; sleep 1000
        """
    )
    zap.write(
        """
        about: the box was never made; make it
        match:
          - {stream: err, pattern: 'nowhere to be found: (?P<box>.+)'}
        mode: auto
        run:
          - [mkdir, --, '{box}']
          - touch {box}/key
        then: restart
        examples:
          matches: ['nowhere to be found: cash box']
          ignores: ['nowhere']
        """,
        "fixups/no-box.yaml",
    )
    with opened(zap) as tmux:
        tmux.wait("the till is open")
        shown = tmux.wait(lambda shown: "● till" in shown and "no-box: done" in shown, "the job to be healed")
        order = ["nowhere to be found: cash box", "🔧 fixup no-box", "↺ restart: run 2", "the till is open"]
        assert [shown.index(text) for text in order] == sorted(shown.index(text) for text in order)
        assert "↺1" in shown  # and the tree says that it was started again


ASKING = """
about: the index is from yesterday; throw it away
match:
  - {pattern: 'the index is of (?P<day>\\w+)'}
effects: [deletes-file]
mode: ask
run:
  - [touch, '{day} is gone']
  - echo bye {day}
then: restart
examples:
  matches: ['the index is of monday']
  ignores: ['the index is of today!']
"""


def test_a_fixup_that_asks_shows_exactly_what_it_would_run_and_why(zap: Zap) -> None:
    zap.write("systems: {shop: {find: \"test -e 'monday is gone' || { echo the index is of monday; exit 9; }; cat\"}}")
    zap.write(ASKING, "fixups/old-index.yaml")
    with opened(zap, rows=50) as tmux:
        asked = tmux.wait("wants approval")
        tmux.press("Enter")  # which was meant for something else
        tmux.wait_gone("not now")
        assert not (zap.folder / "monday is gone").exists()
        tmux.press("f")
        tmux.wait("asks to run")
        tmux.press("Enter")
        asked = tmux.wait("not now")
        for text in ("the index is from yesterday", "the index is of monday", "deletes-file"):
            assert text in asked
        assert "$ touch 'monday is gone'" in asked
        assert re.search(r"\$ zap_day=monday; echo bye \"\$zap_day\"", asked)
        tmux.press("r")
        tmux.wait("● find")
        assert (zap.folder / "monday is gone").exists()
        assert "bye monday" in tmux.wait("run 2")


def test_an_approval_does_not_take_the_keys_from_who_is_typing(zap: Zap) -> None:
    zap.write("systems: {shop: {find: 'read go; echo the index is of monday; cat', other: cat}}")
    zap.write(ASKING, "fixups/old-index.yaml")
    with opened(zap) as tmux:
        tmux.press("/")
        tmux.wait("jobs /")
        assert zap.run("send", "shop/find", "go\n").returncode == 0
        tmux.wait(" asks ")
        tmux.type("other")
        tmux.press("Enter")
        shown = tmux.wait("not now")
        assert " /other" in shown
        assert not (zap.folder / "monday is gone").exists()
        assert zap.run("restart", "shop/find").returncode == 0
        tmux.wait_gone("not now")  # what it asked about is over


def test_restart_stop_and_start_of_a_job_and_of_a_system(zap: Zap) -> None:
    with opened(zap) as tmux:
        first = pid_of_api(zap)
        tmux.press("R")
        tmux.wait("run 2")
        wait_until(lambda: pid_of_api(zap) != first and is_alive(pid_of_api(zap)), "it to run anew")
        tmux.press("s")
        tmux.wait(lambda shown: "○ api" in shown and "● page" in shown, "one of them to be stopped")
        tmux.press("Home")
        tmux.press("s")
        tmux.wait(lambda shown: "0/2" in shown and "○ page" in shown, "all of them to be stopped")
        tmux.press("s")
        tmux.wait(lambda shown: "2/2" in shown and "● api" in shown, "all of them to be started")
        assert is_alive(pid_of_api(zap))


def test_a_signal_from_the_menu(zap: Zap) -> None:
    with opened(zap) as tmux:
        api = pid_of_api(zap)
        tmux.press("k")
        tmux.wait("signal to web/api")
        tmux.press("k")
        tmux.wait("killed by KILL")
        assert not is_alive(api)


# Reading


def test_search_shows_every_hit_and_goes_from_one_to_the_next(zap: Zap) -> None:
    with opened(zap) as tmux:
        choose(tmux, "tools/count")
        tmux.wait("line 500")
        tmux.press("Tab", "/")
        tmux.type("line 4.(")
        tmux.wait("missing")  # as RE2 says
        tmux.press("BSpace", "7")
        tmux.wait("/10+ hits")  # as far as they are fetched
        tmux.press("Enter")
        tmux.wait("10/10 hits")
        tmux.press("N", "N")
        tmux.wait("8/10 hits")
        tmux.press("n")
        tmux.wait("9/10 hits")
        coloured = next(row for row in tmux.rows(is_coloured=True) if "line 487" in row)
        assert re.search("\x1b\\[[0-9;]*48[0-9;]*m(\x1b\\[[0-9;]*m)*line 487", coloured)
        tmux.press("g")
        tmux.wait("line 1\n")
        tmux.press("G")
        tmux.wait("line 500")


def test_lines_are_copied_into_the_paste_buffer(zap: Zap) -> None:
    with opened(zap) as tmux:
        choose(tmux, "tools/count")
        tmux.wait("line 500")
        tmux.press("Tab", "v", "Up", "Up")
        tmux.wait("3 selected")
        tmux.press("y")
        tmux.wait("copied 3 lines by tmux")
        assert tmux.pasted() == ["line 498\nline 499\nline 500\n"]


def test_lines_are_copied_to_the_clipboard_of_the_terminal(zap: Zap) -> None:
    argv = [sys.executable, "-m", "zap"]
    with Terminal(argv, zap.folder, zap.env, 120, 40) as terminal:
        terminal.wait(lambda shown: IS_OPEN in shown and "open for orders" in shown)
        terminal.write(b"\t")
        terminal.wait(lambda shown: "search" in shown)
        terminal.write(b"vy")
        assert terminal.expect(b"\x1b]52;c;" + base64.b64encode(b"open for orders\n") + b"\a", 60)
        terminal.wait(lambda shown: "copied 1 line by OSC 52" in shown)


def test_a_job_is_opened_in_the_editor_at_its_place(zap: Zap) -> None:
    editor = script(
        zap, "editor", 'printf "%s\\n" "$@" >edited; trap "echo not now" INT; echo editing >&2; read x; read x'
    )
    with opened(zap, f"EDITOR={editor} zap") as tmux:
        choose(tmux, "tools/count")
        tmux.press("e")
        tmux.wait("editing")
        wait_given_back(tmux)
        tmux.press("C-c")  # is the editor's
        tmux.wait("not now")
        tmux.press("Enter", "Enter")
        tmux.wait(IS_OPEN)
        place, path = zap.wait_file("edited").split()
        assert path == str(zap.folder / "jobs.yaml")
        assert "count:" in PLAN.split("\n")[int(place[1:]) - 1]
        tmux.press("?")
        tmux.wait("everywhere")


def test_an_editor_that_is_not_there_is_told_and_keys_are_still_keys(zap: Zap) -> None:
    with opened(zap, "EDITOR=/nowhere/editor zap") as tmux:
        tmux.press("e")
        tmux.wait("$EDITOR: /nowhere/editor: No such file")
        tmux.press("C-c")
        tmux.wait("leave everything running")
        assert tmux.look("wrap_flag") == "0"


def test_the_pager_shows_all_lines_and_the_interface_comes_back(zap: Zap) -> None:
    pager = script(zap, "pager", 'wc -l <"$1"; tail -n 1 "$1"; read line')
    with opened(zap, f"PAGER={pager} zap") as tmux:
        choose(tmux, "tools/count")
        tmux.wait("line 500")
        tmux.press("Tab", "p")
        tmux.wait(lambda shown: re.search(r"^5\d\d\nline 500$", shown, re.MULTILINE), "the pager")
        tmux.press("Enter")
        tmux.wait("search")


def test_lines_are_saved_to_a_file(zap: Zap) -> None:
    with opened(zap) as tmux:
        choose(tmux, "tools/count")
        tmux.wait("line 500")
        tmux.press("Tab", "S")
        tmux.wait("save to")
        tmux.press("C-u")
        tmux.type("kept.txt\n")
        tmux.wait("to kept.txt")
        assert "line 1\nline 2\n" in zap.wait_file("kept.txt")
        tmux.press("S", "C-u")
        tmux.type("kept.txt\n")
        tmux.wait("is there already")
        tmux.press("n")
        tmux.wait_gone("is there already")
        tmux.press("S", "C-u")
        tmux.type("/nowhere/kept.txt\n")
        tmux.wait("/nowhere/kept.txt: No such file")


def test_an_event_leads_to_what_was_said_then(zap: Zap) -> None:
    with opened(zap) as tmux:
        assert zap.run("send", "web/api", "fail\n").returncode == 0
        tmux.wait(lambda shown: "✗ api" in shown, "the job to fail")
        choose(tmux, "tools/count")
        tmux.press("l")
        shown = tmux.wait(lambda shown: " opened " in shown and "web/api exit 3" in shown, "the whole log")
        log = [row for row in shown.split("\n") if re.search("│[0-9:]{8} ", row)]
        tmux.press("Home", *["Down"] * next(number for number, row in enumerate(log) if "exit 3" in row))
        tmux.press("Enter")
        shown = tmux.wait("heard fail")
        assert "web/api · failed" in shown


# The mouse


def test_the_mouse_chooses_scrolls_and_copies(zap: Zap) -> None:
    with opened(zap) as tmux:
        shown = tmux.wait("● count").split("\n")
        tmux.click(6, next(number for number, row in enumerate(shown) if "● count" in row))
        tmux.wait("line 500")
        tmux.click(60, 10, 64)
        begin = int(re.findall(r"│  line (\d+)", tmux.wait("below"))[0])
        tmux.drag((60, 4), (62, 7))  # the fourth line that shows, and so on
        tmux.wait("copied 4 lines")
        assert tmux.pasted() == ["".join(f"line {begin + row}\n" for row in (3, 4, 5, 6))]


# Typing into a job


TELLS_SIZE = """
set nocompatible
set mouse=a laststatus=2 statusline=%{&columns}\\ columns,\\ %{&lines}\\ lines
"""


def told_size(shown: str) -> tuple[int, ...] | None:
    """What vim says of its terminal."""
    told = re.search(r"(\d+) columns, (\d+) lines", shown)
    return told and tuple(map(int, told.groups()))


def pane_size(shown: str, columns: int, rows: int) -> tuple[int, int]:
    """Of the output, below which are two lines, and above it one."""
    return columns - shown.split("\n")[1].find("│") - 1, rows - 3


@pytest.mark.real("vim")
def test_a_file_is_written_in_vim_whatever_becomes_of_the_terminals_size(zap: Zap) -> None:
    zap.write("systems: {desk: {edit: 'exec vim -u vimrc -n letter.txt'}}")
    zap.write(TELLS_SIZE, "vimrc")
    with opened(zap) as tmux:
        tmux.wait("● edit")
        type_into(tmux, "desk/edit")
        tmux.wait("79 columns, 37 lines")
        tmux.type("iDear all,")
        tmux.press("Escape")
        for columns, rows in ((60, 15), (200, 50), (80, 24), (61, 49), (120, 40)):
            tmux.resize(columns, rows)
            tmux.wait(lambda shown, size=(columns, rows): told_size(shown) == pane_size(shown, *size), "vim to follow")
        tmux.click(tmux.text().split("\n")[1].index("│Dear all,") + 1, 1)  # at its D
        tmux.type("iMost ")
        tmux.press("Escape")
        tmux.type("ozap")
        tmux.press("Escape")
        tmux.type(":wq\n")
        assert zap.wait_file("letter.txt") == "Most Dear all,\nzap\n"
        tmux.wait("desk/edit has ended: exit 0")
        tmux.press("?")
        tmux.wait("everywhere")


def test_a_shell_has_a_history_colours_and_ctrl_c(zap: Zap) -> None:
    zap.write("systems: {desk: {shell: \"PS1='> ' exec bash --norc --noprofile -i 2>&1\"}}")
    with opened(zap) as tmux:
        tmux.wait("● shell")
        type_into(tmux, "desk/shell")
        tmux.wait("│>")
        tmux.type("printf '\\033[35;1m%s\\033[0m\\n' pur'ple'\n")
        tmux.wait("│purple")
        assert re.search("\x1b\\[[0-9;]*35m(\x1b\\[[0-9;]*m)*purple", "\n".join(tmux.rows(is_coloured=True)))
        tmux.type("echo $((6 * 7))\n")
        tmux.wait("│42\n")
        tmux.press("Up", "Up", "Enter")
        tmux.wait(lambda shown: shown.count("│purple") == 2, "the line before the last again")
        tmux.type("sleep 1000\n")
        wait_until(lambda: "sleep" in names_below(running(zap)), "sleep to run")
        tmux.press("C-c")
        tmux.type("echo code $?\n")
        tmux.wait("│code 130")
        tmux.type(f"{shlex.quote(sys.executable)} -q\n")
        tmux.wait("│>>>")
        tmux.type("print(40 + 2, input('say '))\n")
        tmux.wait("│say")  # a Ctrl+C that comes before it would take the line away, and out of the history
        tmux.press("C-c")
        tmux.wait("│KeyboardInterrupt")
        tmux.press("Up", "Enter")
        tmux.type("times\n")
        tmux.wait("│42 times")
        tmux.press("C-]")
        tmux.wait("search")
        tmux.press("Tab")
        tmux.wait("R restart")


def names_below(pid: int) -> list[str]:
    return [child.name() for child in psutil.Process(pid).children(recursive=True)]


def test_a_password_is_typed_without_being_shown(zap: Zap) -> None:
    zap.write(f"systems: {{desk: {{login: {programs.PROMPTS!r}}}}}".replace("\\'", "''"))
    with opened(zap) as tmux:
        tmux.wait("Password:")
        type_into(tmux, "desk/login")
        tmux.type("open sesame\n")
        assert "sesame" not in tmux.wait("got 11 letters")


def test_what_is_pasted_is_not_taken_for_keys(zap: Zap) -> None:
    with opened(zap) as tmux:
        api = pid_of_api(zap)
        tmux.tell("set-buffer", "sRqlC\nkK")
        tmux.tell("paste-buffer", "-p")
        tmux.press("?")
        tmux.wait("everywhere")
        tmux.press("Escape")
        tmux.wait_gone("everywhere")
        assert pid_of_api(zap) == api
        assert is_alive(api)
        type_into(tmux, "web/api")
        tmux.tell("set-buffer", "one\ntwo\n")
        tmux.tell("paste-buffer", "-p")
        tmux.wait("heard two")


def test_suspended_it_gives_the_terminal_to_the_shell_and_comes_back(zap: Zap) -> None:
    with opened(zap) as tmux:
        tmux.press("C-z")
        wait_given_back(tmux)
        tmux.wait("Stopped")
        assert zap.run("send", "web/api", "tea\n").returncode == 0
        tmux.type("fg\n")
        tmux.wait("heard tea")
        assert tmux.look("wrap_flag") == "0"
        tmux.press("C-c")
        tmux.wait("leave everything running")


# Other terminals


def test_it_is_resized_while_a_job_floods(zap: Zap) -> None:
    zap.write("systems: {flood: {yes: {commands: [yes 0123456789], tty: false}, other: 'sleep 1000'}}")
    with opened(zap) as tmux:
        tmux.wait("0123456789")
        for columns, rows in ((60, 15), (200, 50), (80, 24), (121, 33)):
            tmux.resize(columns, rows)
        tmux.wait(lambda shown: len(shown.split("\n")[0]) > 115 and IS_OPEN in shown.split("\n")[32], "a new frame")
        assert {row.index("│") for row in tmux.text().split("\n")[:31]} == {41}
        choose(tmux, "flood/other")
        tmux.press("s")
        tmux.wait("○ other")


def test_without_colours_nothing_is_coloured(zap: Zap) -> None:
    with opened(zap, "NO_COLOR=1 zap") as tmux:
        tmux.wait("open for orders")
        codes = re.findall("\x1b\\[([0-9;]*)m", "".join(tmux.rows(is_coloured=True)))
        assert {code for written in codes for code in written.split(";")} <= {"", "0", "1", "4", "7", "39", "49"}


@pytest.mark.parametrize("setting", ["TERM=linux", "LC_ALL=C"])
def test_a_terminal_without_such_letters_gets_others(zap: Zap, setting: str) -> None:
    with opened(zap, f"{setting} zap") as tmux:
        shown = tmux.wait(lambda shown: "* api" in shown and "open for orders" in shown, "both")
        assert shown.isascii()


def test_letters_of_all_kinds_are_shown_whatever_the_locale_says(zap: Zap) -> None:
    zap.write("systems: {words: {say: 'echo déjà 日本 👍; cat'}}")
    with opened(zap, "LC_ALL=C zap") as tmux:
        tmux.wait("déjà 日本 👍")


def test_a_terminal_that_does_not_know_its_size_and_one_of_a_single_cell(zap: Zap) -> None:
    argv = [sys.executable, "-m", "zap"]
    with Terminal(argv, zap.folder, zap.env, 80, 24) as terminal:
        for columns, rows in ((1, 1), (2, 2), (80, 1), (1, 24), (0, 0)):
            terminal.wait(lambda shown: "R restart" in shown)
            terminal.resize(columns, rows)
            terminal.write(b"?")
            terminal.write(b"\x1b")
            terminal.resize(80, 24)
        terminal.wait(lambda shown: "R restart" in shown)
