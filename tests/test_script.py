"""Commands in one shell: whatever their text, whatever the pieces in which output comes, each owns what it said."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zap.script import Mark, Reader, build

NONCE = "0123456789abcdef"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


class Told(NamedTuple):
    """What one command said, and how it ended; None for one that never told its end."""

    out: str
    err: str
    status: int | None


def execute(commands: list[str], shell: str = "sh") -> tuple[dict[int, Told], int]:
    argv = ["busybox", "sh"] if shell == "busybox" else [shell]
    script = build(commands, NONCE, False)
    with TemporaryDirectory() as folder:  # random text may well write files
        done = subprocess.run([*argv, "-c", script], capture_output=True, stdin=subprocess.DEVNULL, cwd=folder)
    said = {"out": dict[int, str](), "err": dict[int, str]()}
    ended: dict[int, int] = {}
    for stream, data in (("out", done.stdout), ("err", done.stderr)):
        number = 0
        for item in read(data):
            if isinstance(item, Mark):
                number = item.number
                said[stream].setdefault(number, "")
                if item.is_end:
                    ended[number] = item.value
            else:
                said[stream][number] = said[stream].get(number, "") + item.decode(errors="replace")
    told = {
        number: Told(said["out"].get(number, ""), said["err"].get(number, ""), ended.get(number))
        for number in said["out"]
    }
    return told, done.returncode


def read(data: bytes, size: int | None = None) -> list[bytes | Mark]:
    """The stream in pieces of this size, neighbouring bytes joined again."""
    reader = Reader(NONCE)
    pieces = [data] if size is None else [data[at : at + size] for at in range(0, len(data), size)]
    items = [item for piece in pieces for item in reader.feed(piece)]
    if held := reader.flush():
        items.append(held)
    joined: list[bytes | Mark] = []
    for item in items:
        if joined and isinstance(item, bytes) and isinstance(joined[-1], bytes):
            joined[-1] += item
        else:
            joined.append(item)
    return joined


@pytest.mark.parametrize("shell", SHELLS)
class TestShell:
    def test_state_carries_over(self, shell: str) -> None:
        told, code = execute(["cd /", "x=5; export y=6", "f() { echo $x $y $PWD; }", "f"], shell)
        assert told[4] == Told("5 6 /\n", "", 0)
        assert code == 0

    def test_a_mark_tells_the_folder(self, shell: str, tmp_path: Path) -> None:
        (tmp_path / "a ä").mkdir()
        (tmp_path / "b\n\a").mkdir()
        argv = ["busybox", "sh"] if shell == "busybox" else [shell]
        commands = [f"cd '{tmp_path}/a ä'", "cd ../b*", "true"]
        done = subprocess.run([*argv, "-c", build(commands, NONCE, False)], capture_output=True)
        begun = [item for item in read(done.stdout) if isinstance(item, Mark) and not item.is_end]
        assert [mark.folder for mark in begun[1:]] == [f"{tmp_path}/a ä", ""]

    def test_the_first_failure_ends_it(self, shell: str) -> None:
        told, code = execute(["echo a", "echo b >&2; false", "echo c"], shell)
        assert told == {1: Told("a\n", "", 0), 2: Told("", "b\n", 1)}
        assert code == 1

    def test_exit_in_the_middle(self, shell: str) -> None:
        told, code = execute(["echo a", "echo b; exit 4; echo no", "echo c"], shell)
        assert told[2] == Told("b\n", "", None)
        assert (3 in told, code) == (False, 4)

    def test_exec_replaces_the_shell(self, shell: str) -> None:
        told, code = execute(["echo a", "exec echo b", "echo c"], shell)
        assert told[2] == Told("b\n", "", None)
        assert (3 in told, code) == (False, 0)

    @pytest.mark.parametrize("text", ["if", "echo 'x", 'echo "x', "echo $(", "fi", "( echo", "for", "}"])
    def test_a_syntax_error_fails_its_own_command_only(self, shell: str, text: str) -> None:
        told, code = execute(["echo a", text, "echo c"], shell)
        assert told[1] == Told("a\n", "", 0)
        assert (3 in told, code != 0) == (False, True)
        assert told[2].err

    def test_here_documents(self, shell: str) -> None:
        told, _ = execute(["cat <<E\na $((1+1))\n'q' \"d\"\nE", "cat <<'E'\n$x\nE"], shell)
        assert told == {1: Told("a 2\n'q' \"d\"\n", "", 0), 2: Told("$x\n", "", 0)}

    def test_background_jobs_belong_to_the_command_that_runs_then(self, shell: str) -> None:
        told, _ = execute(["{ echo late; } & wait", "echo b"], shell)
        assert told == {1: Told("late\n", "", 0), 2: Told("b\n", "", 0)}

    def test_redirected_for_good(self, shell: str) -> None:
        told, code = execute(
            ["exec >/dev/null 2>&1; echo gone", "echo gone too", "exec 8>/dev/null 9>&8", "false"], shell
        )
        assert told[2] == Told("", "", 0)
        assert (told[4], code) == (Told("", "", 1), 1)

    def test_output_that_imitates_a_mark_is_output(self, shell: str) -> None:
        fake = r"printf '\033]133;D;%s;1;0\007'" " ffffffffffffffff"
        told, _ = execute([fake, r"printf '\033]133;C\007\033]133;D;0\007'", "printf '\\033]133;'"], shell)
        assert told[1].out == "\x1b]133;D;ffffffffffffffff;1;0\x07"
        assert told[2].out == "\x1b]133;C\x07\x1b]133;D;0\x07"
        assert told[3] == Told("\x1b]133;", "", 0)

    def test_options_of_the_shell_stay_the_users(self, shell: str) -> None:
        told, code = execute(["set -eu", "echo a", "false; echo no", "echo no"], shell)
        assert told[2] == Told("a\n", "", 0)
        assert (told[3].out, 4 in told, code) == ("", False, 1)

    def test_our_own_steps_are_not_traced(self, shell: str) -> None:
        told, _ = execute(["set -x", "echo a"], shell)
        assert "_zap" not in told[2].err
        assert NONCE not in "".join(item.err + item.out for item in told.values())

    def test_descriptors_of_the_marks_are_not_inherited(self, shell: str) -> None:
        told, _ = execute(
            ["for fd in 8 9; do [ -e /proc/self/fd/$fd ] && echo $fd; done; sh -c 'ls /proc/$$/fd'"], shell
        )
        assert not {"8", "9"} & set(told[1].out.split())


TEXTS = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF, exclude_characters="\0"), max_size=30)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_any_text_is_attributed_to_its_command(before: list[str], text: str) -> None:
    """Commands that print given text, then one that is any text at all: what is before it is untouched by it."""
    commands = [f"printf %s {quoted(item)}" for item in before]
    # What the text does is its own affair, in a shell that may do nothing: it must only not reach its neighbours.
    harmless = f"PATH=/nonexistent; : {quoted(text)}"
    told, code = execute([*commands, harmless, "exit 7"])
    assert [told[number].out for number in range(1, len(before) + 1)] == before
    assert told[len(before) + 1] == Told("", "", 0)
    assert code == 7


@settings(max_examples=100, deadline=None)
@given(st.text("'\"`$(){}<>|&;\\\n #!*?[]~=abc", max_size=12))
def test_broken_text_cannot_reach_the_next_command(text: str) -> None:
    told, _ = execute(["echo a", f"PATH=/nonexistent; unset PATH; {text}"])
    assert told[1] == Told("a\n", "", 0)
    assert set(told) == {1, 2}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from([b"\x1b", b"\x1b]133;", b"\x1b]133;C;", b"\x07", NONCE.encode(), b"\x1b[31m", b"\n"]),
        st.builds(
            lambda kind, number, value: f"\x1b]133;{kind};{NONCE};{number};{value};/tmp/ä\x07".encode(),
            st.sampled_from("CD"),
            st.integers(1, 999),
            st.integers(0, 4_194_304),
        ),
    ),
    max_size=12,
).map(b"".join)


@given(PIECES, st.integers(1, 9))
def test_any_chunking_gives_the_same(data: bytes, size: int) -> None:
    assert read(data, size) == read(data)


@given(PIECES)
def test_only_marks_are_taken_out(data: bytes) -> None:
    def text(item: bytes | Mark) -> bytes:
        if isinstance(item, bytes):
            return item
        return f"\x1b]133;{'D' if item.is_end else 'C'};{NONCE};{item.number};{item.value};{item.folder}\x07".encode()

    # Numbers are written back without leading zeros; the strategy makes none.
    assert b"".join(map(text, read(data))) == data


def test_nothing_is_held_that_cannot_become_a_mark() -> None:
    reader = Reader(NONCE)
    assert list(reader.feed(b"Password: \x1b[0m")) == [b"Password: \x1b[0m"]
    assert list(reader.feed(b"\x1b]133;" + b"x" * 5000)) == [b"\x1b]133;" + b"x" * 5000]
