"""What one job says: each line with its command and stream, no mark and no secret in it, and each calls once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zap.buffer import Buffer
from zap.fixup import Call
from zap.mask import COVER
from zap.plan import Bound, Command, Fixup, Job, Match
from zap.script import Mark
from zap.transcript import LONGEST_LINE, Errand, Source, Transcript

NONCE = "5eed"
JOB = Job("web/api", "api", (Command("npm ci"), Command("npm start")), "/")


def start(number: int, nonce: str = NONCE) -> bytes:
    return f"\x1b]133;C;{nonce};{number};77;/tmp\x07".encode()


def end(number: int, status: int = 0) -> bytes:
    return f"\x1b]133;D;{NONCE};{number};{status};\x07".encode()


def fixup(name: str, *match: Match) -> Fixup:
    return Fixup(name, "", match, mode="auto")


LOCK = fixup("lock", Match("lock (?P<path>.*) is held", "err"))
EXIT_9 = fixup("nine", Match(exit=(9,)))
BUSY_9 = fixup("busy", Match("busy", exit=(9,)))
ELSEWHERE = fixup("elsewhere", Match("lock", command="cargo"))


def transcript(*fixups: Fixup, secrets: tuple[bytes, ...] = ()) -> Transcript:
    heard = Transcript(JOB, fixups)
    heard.begin(NONCE, secrets)
    return heard


def said(buffer: Buffer) -> list[tuple[str, int, str]]:
    """Stream, command and text of each line, open ones with `…` behind."""
    lines = buffer.tail(0, 1000).lines
    return [(line.stream, line.command, line.text.decode() + "…" * line.is_open) for line in lines]


OUTPUT = start(1) + b"one\ntwo" + end(1) + start(2) + b"\x1b[31mthr\xc3\xa9e\x1b[0m\r\nmy hush key\nlast words"


@given(cuts=st.lists(st.integers(0, len(OUTPUT)), max_size=20))
@example(cuts=list(range(len(OUTPUT))))
def test_any_chunking_gives_the_same_lines_and_marks(cuts: list[int]) -> None:
    heard = transcript(secrets=(b"hush",))
    told = []
    for begin, until in pairwise([0, *sorted(cuts), len(OUTPUT)]):
        told += heard.hear("out", OUTPUT[begin:until], 0.0)
    assert told + heard.end(0.0) == [
        *(Mark(False, 1, 77, "/tmp", line=1), Mark(True, 1, 0)),
        Mark(False, 2, 77, "/tmp", line=3),
    ]
    assert said(heard.buffer) == [
        ("out", 1, "one"),
        ("out", 1, "two"),
        ("out", 2, "\x1b[31mthrée\x1b[0m"),
        ("out", 2, f"my {COVER.decode()} key"),
        ("out", 2, "last words"),
    ]


def test_each_stream_has_its_own_line_and_marks_are_told_once() -> None:
    heard = transcript()
    told = heard.hear("out", start(1) + b"half", 0.0) + heard.hear("err", start(1) + b"bad", 0.0)
    told += heard.hear("out", b" and half\n" + end(1), 0.0) + heard.hear("err", end(1), 0.0)
    assert told == [Mark(False, 1, 77, "/tmp", line=1), Mark(True, 1, 0)]
    assert said(heard.buffer) == [("out", 1, "half and half"), ("err", 1, "bad")]


def test_a_prompt_is_an_open_line_until_the_streams_end() -> None:
    heard = transcript()
    heard.hear("out", start(1) + b"Password: ", 0.0)
    assert said(heard.buffer) == [("out", 1, "Password: …")]
    heard.end(1.0)
    assert said(heard.buffer) == [("out", 1, "Password: ")]


def test_a_mark_without_the_nonce_is_output() -> None:
    heard = transcript()
    assert heard.hear("out", start(1) + start(2, "guess") + b"x\n", 0.0) == [Mark(False, 1, 77, "/tmp", line=1)]
    assert said(heard.buffer) == [("out", 1, start(2, "guess").decode() + "x")]


def test_the_marks_of_the_child_before_are_output_now() -> None:
    heard = transcript()
    heard.begin("next")
    assert heard.hear("out", start(1) + start(1, "next") + b"x\n", 0.0) == [Mark(False, 1, 77, "/tmp", line=2)]


def test_lines_outlive_the_child_and_belong_to_no_command_of_it() -> None:
    heard = transcript()
    heard.hear("out", start(2) + b"before\n", 0.0)
    heard.end(0.0)
    heard.begin("next")
    heard.hear("out", b"after\n", 0.0)
    assert said(heard.buffer) == [("out", 2, "before"), ("out", 0, "after")]


def calls(told: list[Mark | Call]) -> list[tuple[str, int, dict[str, str]]]:
    return [(item.fixup.name, item.line, item.captures) for item in told if isinstance(item, Call)]


def test_a_line_calls_for_a_fixup_as_soon_as_it_is_whole() -> None:
    heard = transcript(LOCK)
    heard.hear("out", b"fine\n", 0.0)
    assert heard.hear("err", b"lock /x is", 0.0) == []
    assert calls(heard.hear("err", b" held\nmore\n", 0.0)) == [("lock", 2, {"path": "/x"})]


def test_a_last_line_without_a_newline_calls_too() -> None:
    heard = transcript(LOCK)
    heard.hear("err", start(1) + b"lock /x is held", 0.0)
    assert calls(heard.end(0.0)) == [("lock", 1, {"path": "/x"})]


def test_an_old_line_never_calls_again() -> None:
    heard = transcript(LOCK)
    assert calls(heard.hear("err", b"lock /x is held\n", 0.0))
    assert heard.end(0.0) == []
    heard.begin("next")
    assert heard.hear("err", b"fine\n", 0.0) == []
    assert heard.end(0.0) == []


@pytest.mark.parametrize(("of", "source"), [(LOCK, "out"), (ELSEWHERE, "err")])
def test_a_fixup_for_other_streams_or_commands_is_not_called(of: Fixup, source: Source) -> None:
    assert transcript(of).hear(source, b"lock /x is held\n", 0.0) == []


@pytest.mark.parametrize(
    ("of", "output", "code", "called"),
    [
        (EXIT_9, b"", 9, ("nine", 0)),
        (EXIT_9, b"", 8, None),
        (EXIT_9, b"", None, None),
        (BUSY_9, b"ok\nbusy\n", 9, ("busy", 2)),
        (BUSY_9, b"busy\n", 0, None),
        (BUSY_9, b"ok\n", 9, None),
    ],
)
def test_an_exit_calls_with_what_was_said_before(
    of: Fixup, output: bytes, code: int | None, called: tuple[str, int] | None
) -> None:
    heard = transcript(of)
    assert heard.hear("out", output, 0.0) == []
    call = heard.on_exit(code)
    assert (call and (call.fixup.name, call.line)) == called


def test_what_the_last_child_said_does_not_explain_the_exit_of_this_one() -> None:
    heard = transcript(BUSY_9)
    heard.hear("out", b"busy\n", 0.0)
    heard.begin("next")
    assert heard.on_exit(9) is None


# Errands.


def test_an_errand_speaks_as_zap_and_its_commands_are_counted() -> None:
    buffer = Buffer(Bound())
    errand = Errand(buffer, NONCE)
    errand.hear("out", start(1) + b"rem", 0.0)
    errand.hear("err", b"oops\n", 0.0)
    errand.hear("out", b"oved\n" + end(1, 3) + start(2) + b"last", 0.0)
    errand.hear("err", end(1, 3), 0.0)
    errand.end(0.0)
    assert said(buffer) == [("zap", 0, "oops"), ("zap", 0, "removed"), ("zap", 0, "last")]
    assert errand.ended == [Mark(True, 1, 3)]


def test_an_errand_holds_back_no_more_than_a_long_line() -> None:
    buffer = Buffer(Bound())
    errand = Errand(buffer, NONCE)
    for _ in range(3):
        errand.hear("out", b"x" * LONGEST_LINE, 0.0)
    assert buffer.size >= 2 * LONGEST_LINE
    errand.end(0.0)
    assert sum(len(text) for _, _, text in said(buffer)) == 3 * LONGEST_LINE
