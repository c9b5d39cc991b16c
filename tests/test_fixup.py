from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zap.events import Line, Stream
from zap.fixup import LONGEST_CAPTURE, Call, Filled, Ledger, Refused, Triage, check, failed_examples, fill, recall
from zap.plan import Budget, Examples, Fixup, Match, Mode, Step, Wait

SHELLS = ["dash", "bash"]
HOSTILE = [
    "; touch canary",
    "$(touch canary)",
    "`touch canary`",
    "x\ntouch canary\n",
    "' ; touch canary ; '",
    '" ; touch canary ; "',
    "'\"'\"'$(touch canary)",
    "a' && touch canary #",
    "| touch canary",
    "& touch canary &",
    "> canary",
    "${IFS}touch${IFS}canary",
    "\\",
    "\\'; touch canary; \\'",
    "*",
    "~",
    "!!",
    "{name}",
    "{{name}}",
    "$zap_name",
    "a -rf /nowhere",
    " ",
    "é\t漢",
    "\x1b]0;title\x07",
    "EOF\ntouch canary",
    "a[$(touch canary)]",
]


def fixup(
    *run: Step,
    pattern: str = '"(?P<name>.*)"',
    match: Sequence[Match] | None = None,
    mode: Mode = "ask",
    wait: Wait = Wait(),  # noqa: B008 - frozen
    verify: Step | None = None,
    name: str = "one",
) -> Fixup:
    examples = Examples(matches=('"py1"',))
    alternatives = (Match(pattern),) if match is None else tuple(match)
    return Fixup(name, "", alternatives, run, mode=mode, wait=wait, verify=verify, examples=examples)


def told(of: Fixup) -> str:
    return "\n".join(f"{path}: {what}" for path, what in check(of))


def filled(step: Step, name: str) -> str:
    result = fill(fixup(step), {"name": name})
    assert isinstance(result, Filled), result
    return result.commands[0]


def run(shell: str, command: str, cwd: Path) -> bytes:
    """What the command prints; it may leave nothing behind."""
    done = subprocess.run([shell, "-c", command], cwd=cwd, capture_output=True, timeout=20, check=False)
    assert list(cwd.iterdir()) == [], command
    assert done.stderr == b"", done.stderr
    return done.stdout


# Captured text is never code.

SHOW = ("printf", "%s|", "a", "{name}", "b{name}c", "${name}", "{{name}}")
SHOW_LINE = "printf '%s|' a {name} b{name}c \"$(printf %s {name})\" '{{name}}' # {name}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_capture_arrives_as_it_is(shell: str, name: str, tmp_path: Path) -> None:
    assert check(fixup(SHOW, SHOW_LINE)) == []
    assert run(shell, filled(SHOW, name), tmp_path) == f"a|{name}|b{name}c|${{name}}|{{name}}|".encode()
    inner = name.rstrip("\n")  # `$( )` takes newlines from the end
    assert run(shell, filled(SHOW_LINE, name), tmp_path) == f"a|{name}|b{name}c|{inner}|{{name}}|".encode()


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
@example("'" * 60)
def test_any_capture_arrives_as_it_is(name: str) -> None:
    argv, line = ("printf", "%s", "={name}"), "printf %s ={name}"
    both = f"{filled(argv, name)}; {filled(line, name)}"
    done = subprocess.run(["dash", "-c", both], capture_output=True, timeout=20, check=True)
    assert done.stdout == f"={name}".encode() * 2


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", HOSTILE)
def test_even_a_place_that_check_objects_to_executes_nothing(shell: str, name: str, tmp_path: Path) -> None:
    for line in ["echo '{name}'", 'echo "{name}"', "cat <<EOF\n{name}\nEOF", "echo `echo {name}`"]:
        assert check(fixup(line))
        subprocess.run([shell, "-c", filled(line, name)], cwd=tmp_path, capture_output=True, timeout=20, check=False)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "nothing"),
        ("a\0b", "NUL"),
        ("x" * (LONGEST_CAPTURE + 1), "more than"),
        ("é" * (LONGEST_CAPTURE // 2 + 1), "more than"),
        ("x" * 1_000_000, "more than"),
        ("--", "option"),
        ("-rf", "option"),
    ],
)
@pytest.mark.parametrize("step", ["rm {name}", ("rm", "{name}")])
def test_a_capture_that_cannot_be_an_argument_is_refused(step: Step, name: str, why: str) -> None:
    refused = fill(fixup(step), {"name": name})
    assert isinstance(refused, Refused)
    assert why in refused.why


@pytest.mark.parametrize(
    "step", ["rm -- {name}", ("rm", "--", "{name}"), "cat ./{name}", ("cat", "--file={name}"), "x={name}; cat ./$x"]
)
def test_a_leading_dash_is_fine_where_it_is_no_option(step: Step) -> None:
    assert isinstance(fill(fixup(step), {"name": "-rf"}), Filled)


def test_a_double_dash_of_another_command_does_not_count() -> None:
    assert isinstance(fill(fixup("ls -- x; rm {name}"), {"name": "-rf"}), Refused)


def test_an_unused_capture_may_be_anything() -> None:
    assert fill(fixup("date"), {"name": "\0" * 10_000}) == Filled(("date",), ("run",))


def test_what_is_shown_is_what_is_run() -> None:
    of = fixup(
        ("podman", "rm", "--", "{name}"),
        "echo {name} {{name}} ${name} {print} { name } \\{name}",
        wait=Wait(seconds=0.5, probe=("test", "-e", "{name}"), every=2, most=9.5),
        verify="ls ./{name}",
    )
    assert fill(of, {"name": "it's", "print": "p"}) == Filled(
        (
            "podman rm -- 'it'\"'\"'s'",
            'zap_name=\'it\'"\'"\'s\'; zap_print=p; echo "$zap_name" {name} ${name} "$zap_print" { name } \\{name}',
            "sleep 0.5",
            "(\nzap_end=$(($(date +%s) + 10))\nuntil\ntest -e 'it'\"'\"'s'\ndo\n"
            '  [ "$(date +%s)" -lt "$zap_end" ] || { echo "still not so after 9.5 s" >&2; exit 1; }\n'
            "  sleep 2\ndone\n)",
            "zap_name='it'\"'\"'s'; ls ./\"$zap_name\"",
        ),
        ("run", "run", "wait", "wait", "verify"),
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_the_wait_ends_when_the_probe_is_content_and_at_its_limit(shell: str, tmp_path: Path) -> None:
    counting = 'n=$((n + 1)); [ "$n" = 3 ] # and a comment'
    content = fill(fixup(wait=Wait(probe=counting, every=0.01)), {})
    tired = fill(fixup(wait=Wait(probe="false", every=0.01, most=1)), {})
    assert isinstance(content, Filled)
    assert isinstance(tired, Filled)
    assert run(shell, f"{content.commands[0]}; echo $?", tmp_path) == b"0\n"
    assert run(shell, f"{tired.commands[0]} 2>&1; echo $?", tmp_path) == b"still not so after 1 s\n1\n"


# What is wrong with a fixup.


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        ("rm {nmae}", "('run', 0): there is no capture {nmae}; captures are name — did you mean {name}?"),
        (("rm", "-f", "--", "x", "{nmae}"), "('run', 0, 4): there is no capture {nmae}"),
        ("awk '{print}'", "for the text itself write {{print}}"),
        ("echo '{name}'", "in quotes"),
        ('echo "a {name}"', "in quotes"),
        ("echo 'a' \"$(echo '{name}')\"", "in quotes"),
        ("echo `cat {name}`", "in backticks"),
        ("cat <<E\n{name}\nE\ndate", "in a here-document"),
        ("cat <<-'E' | sort\n\t{name}\n\tE\n", "in a here-document"),
        ("echo $(({name} + 1))", "arithmetic"),
        ("(({name}))", "arithmetic"),
        ("{name} -x", "which program runs"),
        ("date && ./{name}", "which program runs"),
        ("sudo -n env A=1 {name}", "which program runs"),
        ("timeout 5 {name}", "which program runs"),
        ("if true; then {name}; fi", "which program runs"),
        ("find . -exec {name} ;", "which program runs"),
        (("{name}",), "which program runs"),
        (("nohup", "/bin/{name}"), "which program runs"),
        ("eval echo {name}", "evaluates"),
        ("date; 'eval' {name}", "evaluates"),
        (". ./{name}", "evaluates"),
        ("trap {name} EXIT", "evaluates"),
        ("[[ {name} -eq 1 ]]", "evaluates"),
        (("sh", "-c", "rm {name}"), "never code"),
        (("/bin/bash", "-euc", "rm {name}"), "never code"),
        (("sudo", "-n", "bash", "-o", "pipefail", "-c", "rm {name}"), "never code"),
        ("podman exec box sh -c {name}", "never code"),
        ("python3 -c {name}", "never code"),
        ("perl -e{name}", "never code"),
        ("awk {name} file", "never code"),
        ("sed -n -e {name} file", "never code"),
        ("ssh box rm {name}", "the far shell"),
        (("ssh", "-p", "22", "box", "rm {name}"), "the far shell"),
        (("ssh", "-oProxyCommand={name}", "box"), "the far shell"),
        ("", "nothing to run"),
        ((), "nothing to run"),
        ("sudo rm {name}", "effects: does not say so"),
    ],
)
def test_a_step_that_is_not_safe_is_told(step: Step, wrong: str) -> None:
    assert wrong in told(fixup(step))


@pytest.mark.parametrize(
    "step",
    [
        ("sh", "-c", 'rm -- "$1"', "sh", "{name}"),
        "sh -c 'rm -- \"$1\"' sh {name}",
        "x={name}; rm -- \"$x\" # don't use '{name}' here",
        'echo "$(cat {name})" >{name} 2>&1',
        "> {name} date",
        "A={name} ./run",
        "awk -v x={name} '{ print x }' {name}",
        "sed -n s/a/b/p {name}",
        ("ssh", "-p", "22", "{name}"),
        "ssh-keyscan -- {name}",
        "cat <<E && rm {name}\n$x\nE\nls {name}",
        "echo ${name} ${name:-x} {a,b} {} { } \\{nmae} {{nmae}} '{{nmae}}' ${#x} $(({ }))",
        "case {name} in (a) echo {name} ;; b) date ;; esac",
        "find . -name {name} -print",
        "git -C . checkout -- {name}",
        "(cd x && ls {name}) | while read -r y; do echo {name}; done",
        "echo it\\'s {name} \"it's\" {name}",
    ],
)
def test_a_step_that_is_safe_is_not_objected_to(step: Step) -> None:
    assert told(fixup(step)) == ""


def test_each_problem_has_its_place() -> None:
    of = fixup(
        "date",
        match=[Match(r"x\Z"), Match(), Match("(?P<name>x)", command="("), Match(exit=(3,))],
        verify="ls {name}",
        wait=Wait(probe="[ {x} ]"),
    )._replace(effects=("none", "sudo"), mode="auto", examples=Examples())
    assert [path for path, _ in check(of)] == [
        ("match", 0, "pattern"),
        ("match", 1),
        ("match", 2, "command"),
        ("examples",),
        ("effects",),
        ("mode",),
        ("wait", "probe"),
        ("verify",),
    ]
    assert [path for path, _ in check(fixup(match=[]))] == [("match",)]


def test_a_capture_must_come_with_every_alternative() -> None:
    of = fixup("rm {name}", match=[Match("(?P<name>x)"), Match("y")])
    assert told(of) == "('run', 0): {name} is not captured by match 2, and every match must be healed by it"


def test_examples_are_run() -> None:
    of = fixup(match=[Match("^a"), Match("^b"), Match(exit=(1,))])
    examples = Examples(matches=("a1", "x"), ignores=("c", "b"))
    assert failed_examples(of._replace(examples=examples)) == [
        (("examples", "matches", 1), "no pattern matches this line"),
        (("examples", "ignores", 1), "a pattern matches this line"),
        (("match", 1, "pattern"), "no example shows what it matches"),
    ]
    assert failed_examples(of._replace(examples=Examples(matches=("a1", "b1"), ignores=("c",)))) == []


# Which one, and how often.

NAMED = fixup(pattern='name "(?P<name>[^"]+)"', name="named")
GREEDY = fixup(pattern="in use", name="greedy")
ON_ERR = fixup(match=[Match("oops", "err")], name="on-err")
ON_EXIT = fixup(match=[Match(exit=(7, 8))], name="on-exit")
LINE_AND_EXIT = fixup(match=[Match("oh (?P<what>\\w+)", exit=(1,))], name="line-and-exit")


def test_the_first_line_calls_and_on_one_line_the_first_fixup() -> None:
    triage = Triage([NAMED, GREEDY], ["x"])
    assert triage.read("out", b'all is well\nin use\nname "a" in use\n', 40) == Call(GREEDY, 41, {})
    assert triage.read("err", b'name "a" in use\n', 43) == Call(NAMED, 43, {"name": "a"})
    assert triage.read("out", b"well\n", 44) is None


def test_only_its_stream_calls() -> None:
    triage = Triage([ON_ERR], ["x"])
    assert triage.read("out", b"oops\n", 1) is None
    assert triage.read("err", b"oops\n", 2) == Call(ON_ERR, 2, {})


def test_a_fixup_is_only_for_jobs_whose_commands_match() -> None:
    of = fixup(match=[Match("oops", command=r"\bpodman\b")])
    assert Triage([of], ["cd x", "sudo podman run y"]).read("out", b"oops\n", 1)
    assert Triage([of], ["cd podmania"]).read("out", b"oops\n", 1) is None


def test_the_exit_calls() -> None:
    triage = Triage([ON_ERR, ON_EXIT], ["x"])
    assert [triage.on_exit(code) for code in (0, None, 8)] == [None, None, Call(ON_EXIT, 0, {})]


def test_a_line_that_wants_an_exit_waits_for_it() -> None:
    triage = Triage([LINE_AND_EXIT, GREEDY], ["x"])
    assert triage.read("out", b"oh a\nin use\noh b\n", 1) == Call(GREEDY, 2, {})
    assert triage.on_exit(1) == Call(LINE_AND_EXIT, 3, {"what": "b"})
    assert triage.on_exit(1) is None
    triage.read("out", b"oh c\n", 4)
    assert triage.on_exit(0) is None
    assert triage.on_exit(1) is None


def test_an_old_line_does_not_call_in_the_next_run() -> None:
    triage = Triage([LINE_AND_EXIT], ["x"])
    triage.read("out", b"oh a\n", 1)
    triage.reset()
    assert triage.on_exit(1) is None


def spoken(*said: tuple[Stream, bytes]) -> list[Line]:
    return [Line(number, 1.0, stream, 1, text) for number, (stream, text) in enumerate(said, 41)]


def test_the_newest_line_that_calls_is_recalled_whatever_its_stream() -> None:
    lines = spoken(("out", b'name "a"'), ("err", b'\x1b[31mname "b"'), ("out", b"well"), ("err", b"well"))
    assert recall(NAMED, ["x"], lines) == Call(NAMED, 42, {"name": "b"})
    assert recall(NAMED, ["x"], lines[:1]) == Call(NAMED, 41, {"name": "a"})
    assert recall(NAMED, ["x"], spoken(("err", b'name "b"'), ("out", b'name "c"'))) == Call(NAMED, 42, {"name": "c"})


def test_a_line_that_calls_only_with_an_exit_is_recalled_too() -> None:
    """The job has ended long ago; what it said is what counts."""
    assert recall(LINE_AND_EXIT, ["x"], spoken(("out", b"oh no"))) == Call(LINE_AND_EXIT, 41, {"what": "no"})


def test_an_unfinished_line_is_recalled() -> None:
    prompt = Line(9, 1.0, "out", 1, b'name "a"?', is_open=True)
    assert recall(NAMED, ["x"], [prompt]) == Call(NAMED, 9, {"name": "a"})


def test_of_two_patterns_on_one_line_the_first_counts() -> None:
    of = fixup(match=[Match("(?P<name>b+)"), Match("(?P<name>a+)")])
    assert recall(of, ["x"], spoken(("out", b"aabb"))) == Call(of, 41, {"name": "bb"})


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (NAMED, []),
        (NAMED, [("out", b"well"), ("err", b"")]),
        (NAMED, [("zap", b'name "a"')]),
        (ON_ERR, [("out", b"oops")]),
        (ON_EXIT, [("out", b"exit 7")]),
        (fixup(match=[Match("oops", command="podman")]), [("out", b"oops")]),
    ],
)
def test_without_a_line_that_calls_nothing_is_captured(of: Fixup, said: list[tuple[Stream, bytes]]) -> None:
    """What zap says, or a remedy, calls for nothing either."""
    assert recall(of, ["x"], spoken(*said)) == Call(of, 0, {})


def test_a_budget_is_spent_and_comes_back() -> None:
    ledger, of = Ledger(), fixup()._replace(tries=Budget(2, 60.0))
    assert [ledger.spend("a/b", of, now) for now in (0, 1, 2, 59, 60, 60.5, 61)] == [
        *(True, True, False, False),
        *(True, False, True),
    ]
    assert ledger.spend("a/c", of, 61)
    assert ledger.spend("a/b", of._replace(name="other"), 61)


def test_the_whole_way_from_what_a_program_prints_to_its_remedy(tmp_path: Path) -> None:
    program = "raise SystemExit('name \"it\\'s; touch canary\" in use')"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    of = fixup("printf %s {name}", pattern='name "(?P<name>[^"]+)"')
    call = Triage([of], ["python"]).read("err", printed.stderr, 1)
    assert call
    remedy = fill(call.fixup, call.captures)
    assert isinstance(remedy, Filled)
    assert run("dash", remedy.commands[0], tmp_path) == b"it's; touch canary"
