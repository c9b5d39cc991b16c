"""A job's commands → one POSIX shell script with marks; the bytes that come back → bytes without marks, and the marks.

A mark is an OSC sequence in the style of the shell-integration standard (OSC 133, `C` when a command's output begins,
`D` when it has ended) that carries the run's nonce: `ESC ] 133 ; C ; nonce ; number ; pid ; folder BEL` and
`ESC ] 133 ; D ; nonce ; number ; status ; BEL`. Both go to the job's output and to its errors, so that the lines of
either stream are known to belong to a command, over a pipe, a terminal or an ssh alike.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_START = b"\x1b]133;"
_LONGEST = 64 + 4096  # bytes of a mark: a path has at most 4096 (limits.h), prefix, nonce and numbers less than 64


class Mark(NamedTuple):
    """Command `number` (from 1) began, or ended with the shell's `$?`. `value` is the shell's pid, or that status.

    `folder` is where it began; empty at its end, and for a folder with control characters in its name. `line` is the
    number of the first line that it can say, once a transcript has counted them.
    """

    is_end: bool
    number: int
    value: int
    folder: str = ""
    line: int = 0


def build(commands: Sequence[str], nonce: str, has_tty: bool, files: int | None = None) -> str:
    """The text for `sh -c`. With `has_tty` its first argument is the path of the job's terminal.

    `files` is the limit of open files that the commands shall have, where it is not what the shell comes with.

    The shell leads a session without a controlling terminal; by opening the path it gets that one (tty_ioctl(4)).
    The commands run in this one shell, joined as by `&&`; each is an argument of `eval`, so that an unbalanced quote
    fails its own command only (`command` takes away eval's right to end the shell, POSIX 2.8.1). The copies of the
    first output and errors that the marks go to are closed for the commands, which may redirect theirs at will.
    """
    lines = ['exec 0<>"$1"; shift'] if has_tty else []
    if files is not None:
        lines.append(f"ulimit -S -n {files}")
    mark = rf"command printf '\033]133;%s;{nonce};%s;%s;%s\007'" + ' "$@"'
    lines += [
        "exec 8>&1 9>&2",
        f"_zap_mark() {{ {mark} >&8; {mark} >&9; }}",
        '_zap_folder() { case $PWD in *[[:cntrl:]]*) ;; *) command printf %s "$PWD" ;; esac; }',
    ]
    for number, text in enumerate(commands, 1):
        # The braces keep what `set -x` says of our own steps out of the job's errors.
        lines += [
            f'{{ _zap_mark C {number} $$ "$(_zap_folder)"; }} 2>/dev/null',
            f"command eval {shlex.quote(text)} 8>&- 9>&-",
            f"{{ _zap_status=$?; _zap_mark D {number} $_zap_status ''; [ $_zap_status = 0 ] || exit $_zap_status; }}"
            " 2>/dev/null",
        ]
    return "\n".join(lines)


# Of anybody: to compile a pattern for each child takes longer than to look whose a mark is.
_MARK = re.compile(rb"\x1b\]133;([CD]);(\w+);(\d{1,9});(\d{1,9});([^\x00-\x1f]*)\x07")


class Reader:
    """Takes one stream's bytes in whatever pieces they come and gives them back without marks, the marks in order."""

    __slots__ = ("_held", "_nonce")

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode()
        self._held = b""

    @property
    def held(self) -> bytes:
        """What may become a mark."""
        return self._held

    def hold(self, data: bytes) -> None:
        """Begin with this, which another reader has held."""
        self._held = data

    def feed(self, data: bytes) -> Iterator[bytes | Mark]:
        """What is in `data`; the start of what may become a mark is held until its rest has come."""
        if self._held:
            data, self._held = self._held + data, b""
        if b"\x1b" not in data:
            if data:
                yield data
            return
        begin = 0
        if _START in data:
            for match in _MARK.finditer(data):
                if match[2] != self._nonce:
                    continue
                if match.start() > begin:
                    yield data[begin : match.start()]
                yield Mark(match[1] == b"D", int(match[3]), int(match[4]), match[5].decode(errors="surrogateescape"))
                begin = match.end()
        end = self._end_of_certain(data, begin)
        self._held = data[end:]
        if end > begin:
            yield data[begin:end]

    def flush(self) -> bytes:
        """What was held, at the end of the stream."""
        held, self._held = self._held, b""
        return held

    @staticmethod
    def _end_of_certain(data: bytes, begin: int) -> int:
        last = data.rfind(b"\x1b", max(begin, len(data) - _LONGEST))
        if last < 0:
            return len(data)
        tail = data[last:]
        may_be_mark = _START.startswith(tail) or (tail.startswith(_START) and b"\x07" not in tail)
        return last if may_be_mark else len(data)
