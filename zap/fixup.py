"""Which fixup does this output call for, what exactly is then run, and how often: the rules of healing.

Captured text is never code. In an argv it is one argument. In a shell line it is not put into the text at all: the
value is assigned to a variable in front of the line, and its place becomes that variable in double quotes.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from zap import matcher
from zap.events import Line, Stream
from zap.plan import Fixup, Match, Step, Wait

LONGEST_CAPTURE = 4096  # bytes: a name, a path or an address is shorter; what is longer is not one

Path = tuple[str | int, ...]
"""Where in a fixup's file: keys and indices."""

Part = Literal["run", "wait", "verify"]

# `${word}` is the shell's, `{{word}}` is the text `{word}`, `{word}` is a place.
_BRACES = re.compile(r"\$\{[A-Za-z_]\w*\}|\{\{(?P<literal>[A-Za-z_]\w*)\}\}|\{(?P<name>[A-Za-z_]\w*)\}")


# What is run.


class Filled(NamedTuple):
    """The remedy as commands for one shell, in order, exactly as they are shown and run; `parts` says what each is."""

    commands: tuple[str, ...]
    parts: tuple[Part, ...]


class Refused(NamedTuple):
    """A capture is not safe to use; `why` is a sentence."""

    why: str


def fill(fixup: Fixup, captures: Mapping[str, str]) -> Filled | Refused:
    """The commands of a fixup whose `check` is clean."""
    steps = [*fixup.run, *(step for step in (fixup.wait.probe, fixup.verify) if step is not None)]
    for place in (place for step in steps for place in _places_in(step)):
        if why := _refusal(place, captures):
            return Refused(why)
    run = [_fill_step(step, captures) for step in fixup.run]
    wait = list(_waiting(fixup.wait, captures))
    verify = [_fill_step(fixup.verify, captures)] if fixup.verify is not None else []
    by_part: list[tuple[Part, list[str]]] = [("run", run), ("wait", wait), ("verify", verify)]
    return Filled((*run, *wait, *verify), tuple(part for part, commands in by_part for _ in commands))


def _refusal(place: _Place, captures: Mapping[str, str]) -> str | None:
    name, value = place.name, captures.get(place.name, "")
    if not value:
        return f"{{{name}}} captured nothing"
    if "\0" in value:
        return f"{{{name}}} captured a NUL byte, which no argument can hold"
    if len(value.encode(errors="replace")) > LONGEST_CAPTURE:
        return f"{{{name}}} captured more than {LONGEST_CAPTURE} bytes"
    if value.startswith("-") and not place.prefix and "--" not in place.before:
        return f"{{{name}}} captured {value!r}, which a program could take for an option"
    return None


def _fill_step(step: Step, captures: Mapping[str, str]) -> str:
    if isinstance(step, tuple):
        return shlex.join(_fill_argument(argument, captures) for argument in step)
    line, begin, used = "", 0, dict[str, str]()
    for place in _places(step):
        line += step[begin : place.begin]
        line += f'"$zap_{place.name}"' if place.name else step[place.begin + 1 : place.end - 1]
        begin = place.end
        if place.name:
            used[place.name] = captures[place.name]
    assignments = "".join(f"zap_{name}={shlex.quote(value)}; " for name, value in used.items())
    return assignments + line + step[begin:]


def _fill_argument(argument: str, captures: Mapping[str, str]) -> str:
    def value(braces: re.Match[str]) -> str:
        if braces["literal"]:
            return braces[0][1:-1]
        return captures[braces["name"]] if braces["name"] else braces[0]

    return _BRACES.sub(value, argument)


def _waiting(wait: Wait, captures: Mapping[str, str]) -> Iterator[str]:
    if wait.seconds:
        yield f"sleep {wait.seconds:g}"
    if wait.probe is not None:
        probe = _fill_step(wait.probe, captures)
        # The probe stands on lines of its own, so that it may end with a comment; in `( )` for the `exit`.
        yield (
            f"(\nzap_end=$(($(date +%s) + {math.ceil(wait.most)}))\nuntil\n{probe}\ndo\n"
            f'  [ "$(date +%s)" -lt "$zap_end" ] || {{ echo "still not so after {wait.most:g} s" >&2; exit 1; }}\n'
            f"  sleep {wait.every:g}\ndone\n)"
        )


# What the shell would make of a place.


class _Place(NamedTuple):
    """A `{name}` from `begin` to `end`; a `{{literal}}` has no name.

    `before` is the words before it in its simple command, quotes and all, `prefix` the part of its own word before it,
    `context` the kind of text around it when that is not plain shell.
    """

    begin: int
    end: int
    name: str
    before: tuple[str, ...] = ()
    prefix: str = ""
    context: str = ""


class _Level:
    """A list of commands as the shell reads it: the line itself, or what is in `$( )`, `( )` or backticks."""

    __slots__ = ("opener", "quote", "word", "words")

    def __init__(self, opener: str) -> None:
        self.opener = opener
        self.quote = ""
        self.words: list[str] = []
        self.word = ""

    def end_word(self) -> None:
        if self.word:
            self.words.append(self.word)
        self.word = ""

    def end_command(self) -> None:
        self.words, self.word = [], ""


_CLOSERS = {"$(": ")", "(": ")", "((": "))", "$((": "))", "`": "`"}
_OPENERS = re.compile(r"\$\(\(|\$\(|`")
_HERE_DOCUMENT = re.compile(r"<<(?!<)-?[ \t]*(?P<end>[^\s;|&<>()]+)")


def _places(line: str) -> list[_Place]:
    """Every place in a shell line (POSIX 2.3, as far as it matters for places), in order."""
    places: list[_Place] = []
    levels = [_Level("")]
    documents: list[str] = []
    at = 0
    while at < len(line):
        level, char, begin = levels[-1], line[at], at
        at += 1
        if braces := _BRACES.match(line, begin):
            at = braces.end()
            if braces["literal"] or braces["name"]:
                words = tuple(level.words)
                places.append(_Place(begin, at, braces["name"] or "", words, level.word, _context(levels)))
            level.word += braces[0]
        elif level.quote == "'":
            level.word += char
            level.quote = "" if char == "'" else "'"
        elif level.quote == "#":
            if char == "\n":
                level.quote, at = "", begin
        elif char == "\\":
            at += 1
            level.word += line[begin:at]
        elif level.opener and not level.quote and line.startswith(_CLOSERS[level.opener], begin):
            at = begin + len(_CLOSERS[level.opener])
            levels.pop()
            levels[-1].word += "$()"
        elif opener := _OPENERS.match(line, begin):
            at = opener.end()
            levels.append(_Level(opener[0]))
        elif level.quote:
            level.word += char
            level.quote = "" if char == level.quote else level.quote
        elif char in "'\"":
            level.word += char
            level.quote = char
        elif char == "#" and not level.word:
            level.quote = "#"
        elif document := _HERE_DOCUMENT.match(line, begin):
            at = document.end()
            level.end_word()
            documents.append(re.sub(r"['\"\\]", "", document["end"]))
        elif char == "(":
            at += line.startswith("((", begin)
            level.end_command()
            levels.append(_Level(line[begin:at]))
        elif char == "\n" and documents:
            level.end_command()
            for end in documents:
                found = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE).search(line, at)
                body_end = found.start() if found else len(line)
                for braces in _BRACES.finditer(line, at, body_end):
                    if braces["literal"] or braces["name"]:
                        place = _Place(braces.start(), braces.end(), braces["name"] or "", (), " ", "a here-document")
                        places.append(place)
                at = found.end() if found else body_end
            documents = []
        elif char in ";|&\n)" and not (char == "&" and level.word[-1:] in ("<", ">")):
            level.end_command()
        elif char.isspace():
            level.end_word()
        else:
            level.word += char
    return places


def _context(levels: Sequence[_Level]) -> str:
    openers = {level.opener for level in levels}
    if "`" in openers:
        return "backticks"
    if openers & {"((", "$(("}:
        return "arithmetic"
    return {"'": "quotes", '"': "quotes", "#": "a comment"}.get(levels[-1].quote, "")


def _places_in(step: Step) -> list[_Place]:
    if isinstance(step, str):
        return [place for place in _places(step) if place.name]
    return [
        _Place(braces.start(), braces.end(), braces["name"], step[:number], argument[: braces.start()])
        for number, argument in enumerate(step)
        for braces in _BRACES.finditer(argument)
        if braces["name"]
    ]


# Words that stand before the program: keywords, programs that run their arguments, options, assignments, redirections.
_BEFORE_PROGRAM = re.compile(
    r"if|then|elif|else|do|while|until|!|\{|(?:\S*/)?(?:builtin|command|doas|env|exec|nice|nohup|setsid|sudo|time"
    r"|timeout|xargs)|-\S*|\d+[smhd]?|[A-Za-z_]\w*=.*|\d*[<>].*",
    re.DOTALL,
)
_REDIRECTION = re.compile(r"\d*[<>]+[&|]?")
_EVALUATES = {"eval", ".", "source", "trap", "alias", "let", "declare", "typeset", "local", "readonly", "export"}
_EVALUATES |= {"unset", "read", "[["}  # in bash a name such as a[$(…)] is evaluated
_INTERPRETERS = re.compile(r"(ba|da|k|mk|z|fi|a|c|tc)?sh|busybox|su|script|watch|python[\d.]*|perl|ruby|node|php|lua")
_CODE_OPTION = re.compile(r"-[A-Za-z]*[cep]|--(eval|print|command|session-command|run)=?")
_SSH_OPTION_WITH_VALUE = re.compile(r"-[A-Za-z0-9]*[BbcDEeFIiJLlmOopQRSWw]")


def _danger(place: _Place) -> str | None:
    """Why what is captured could become code in this place, as far as it can be told."""
    plain = [word.strip("'\"\\").rpartition("/")[2] or word for word in place.before]
    program = next((i for i, word in enumerate(place.before) if not _BEFORE_PROGRAM.fullmatch(word)), None)
    last = place.before[-1] if place.before else ""
    if program is None:
        is_value = _REDIRECTION.fullmatch(last) or _REDIRECTION.match(place.prefix) or "=" in place.prefix
        return None if is_value else "which program runs cannot be captured: name it"
    if plain[program] in _EVALUATES:
        return f"{plain[program]} evaluates its arguments, and captured text is never code"
    if plain[program] == "find" and last in ("-exec", "-execdir", "-ok", "-okdir"):
        return "which program runs cannot be captured: name it"
    takes_code = any(map(_INTERPRETERS.fullmatch, plain)) and any(map(_CODE_OPTION.fullmatch, (last, place.prefix)))
    if takes_code or (plain[program] in ("awk", "gawk", "mawk", "sed") and _is_first_operand(place, program)):
        return "captured text is never code: pass it as an argument behind the code"
    if "ssh" in plain and _is_behind_host(place, plain.index("ssh")):
        return "the far shell evaluates it, and captured text is never code"
    return None


def _is_first_operand(place: _Place, program: int) -> bool:
    last = place.before[-1]
    if last in ("-v", "-F", "-f", "-i") or place.prefix.startswith("-"):
        return False
    return last == "-e" or all(word.startswith("-") for word in place.before[program + 1 :])


def _is_behind_host(place: _Place, ssh: int) -> bool:
    words = iter((*place.before[ssh + 1 :], place.prefix))
    for word in words:
        if word.startswith("-o"):
            return True
        if _SSH_OPTION_WITH_VALUE.fullmatch(word):
            next(words, None)
        elif not word.startswith("-"):
            return next(words, None) is not None
    return False


# What is wrong with a fixup.


_SUDO = re.compile(r"^\s*(sudo|doas)\b", re.MULTILINE)


def check(fixup: Fixup) -> list[tuple[Path, str]]:
    """What can be known to be wrong without running anything, each with its place in the file."""
    return [
        *_check_match(fixup),
        *_check_effects(fixup),
        *(problem for path, step in _steps(fixup) for problem in _check_step(path, step, fixup.match)),
    ]


def _check_match(fixup: Fixup) -> Iterator[tuple[Path, str]]:
    if not fixup.match:
        yield ("match",), "nothing to match: give a pattern or exit codes"
    for number, match in enumerate(fixup.match):
        if match.pattern is None and not match.exit:
            yield ("match", number), "nothing to match: give a pattern, exit codes or both"
        for key, pattern in (("pattern", match.pattern), ("command", match.command)):
            if pattern is not None and (why := matcher.check(pattern)):
                yield ("match", number, key), why
    if not fixup.examples.matches and any(match.pattern is not None for match in fixup.match):
        yield ("examples",), "matches: is missing: give lines as the real program prints them"


def _check_effects(fixup: Fixup) -> Iterator[tuple[Path, str]]:
    if "none" in fixup.effects and len(fixup.effects) > 1:
        yield ("effects",), "none stands alone"
    if "sudo" in fixup.effects and fixup.mode == "auto":
        yield ("mode",), "what needs sudo is asked for: use mode: ask"
    for path, step in _steps(fixup):
        if "sudo" not in fixup.effects and _SUDO.search(step if isinstance(step, str) else step[0] if step else ""):
            yield path, "it runs sudo, and effects: does not say so"


def _check_step(path: Path, step: Step, alternatives: Sequence[Match]) -> Iterator[tuple[Path, str]]:
    if not step or step == ("",):
        yield path, "nothing to run"
    captures = [matcher.captures(match.pattern or "") for match in alternatives]
    for place in _places_in(step):
        at: Path = (*path, len(place.before)) if isinstance(step, tuple) else path
        lacking = [number for number, names in enumerate(captures) if place.name not in names]
        if len(lacking) == len(captures):
            yield at, _no_capture(place.name, sorted(frozenset[str]().union(*captures)))
        elif lacking:
            yield (
                at,
                f"{{{place.name}}} is not captured by match {lacking[0] + 1}, and every match must be healed by it",
            )
        elif place.context in ("quotes", "backticks", "a here-document"):
            yield at, f"{{{place.name}}} is in {place.context}: write it outside, it arrives quoted"
        elif place.context == "arithmetic":
            yield at, f"{{{place.name}}} is in arithmetic, which evaluates it, and captured text is never code"
        elif not place.context and (why := _danger(place)):
            yield at, f"{{{place.name}}}: {why}"


def _no_capture(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches  # only for a mistake, and not cheap

    known = f"captures are {', '.join(names)}" if names else "nothing is captured"
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {{{close[0]}}}?" if close else f"for the text itself write {{{{{name}}}}}"
    return f"there is no capture {{{name}}}; {known} — {hint}"


def _steps(fixup: Fixup) -> Iterator[tuple[Path, Step]]:
    for number, step in enumerate(fixup.run):
        yield ("run", number), step
    if fixup.wait.probe is not None:
        yield ("wait", "probe"), fixup.wait.probe
    if fixup.verify is not None:
        yield ("verify",), fixup.verify


def failed_examples(fixup: Fixup) -> list[tuple[Path, str]]:
    """Examples that are not as they say, and alternatives that no example shows. For a fixup whose `check` is clean."""
    patterns = [match.pattern for match in fixup.match if match.pattern is not None]
    problems: list[tuple[Path, str]] = []
    shown: set[str] = set()
    for number, line in enumerate(fixup.examples.matches):
        matching = {pattern for pattern in patterns if matcher.search(pattern, line)}
        shown |= matching
        if not matching:
            problems.append((("examples", "matches", number), "no pattern matches this line"))
    for number, line in enumerate(fixup.examples.ignores):
        if any(matcher.search(pattern, line) for pattern in patterns):
            problems.append((("examples", "ignores", number), "a pattern matches this line"))
    for number, match in enumerate(fixup.match):
        if match.pattern is not None and match.pattern not in shown:
            problems.append((("match", number, "pattern"), "no example shows what it matches"))
    return problems


# Which one, and how often.


class Call(NamedTuple):
    """A fixup is called for, by line number `line`, or by the exit alone when that is 0."""

    fixup: Fixup
    line: int
    captures: dict[str, str]


_Armed = tuple[Fixup, Match]


class Triage:
    """One job's armed fixups over its life. Each line is looked at once, so that an old one never calls again."""

    __slots__ = ("_by_exit", "_by_stream", "_noted")

    def __init__(self, fixups: Sequence[Fixup], commands: Sequence[str]) -> None:
        armed = [(fixup, match) for fixup in fixups for match in fixup.match if _is_for(match, commands)]
        self._by_exit = [(fixup, match) for fixup, match in armed if match.exit]
        self._by_stream: dict[Stream, tuple[list[_Armed], tuple[str, ...]]] = {}
        streams: tuple[Stream, ...] = ("out", "err")
        for stream in streams:
            reads = [(fixup, match) for fixup, match in armed if match.pattern and match.stream in (stream, "any")]
            if reads:
                self._by_stream[stream] = reads, tuple(match.pattern or "" for _, match in reads)
        self._noted: dict[_Armed, Call] = {}

    def read(self, stream: Stream, data: bytes, first: int) -> Call | None:
        """The first call in these whole lines, of which `first` is the number of the first one."""
        if stream not in self._by_stream:
            return None
        armed, patterns = self._by_stream[stream]
        called = None
        for hit in _matcher(patterns).scan(data):
            fixup, match = armed[hit.pattern]
            call = Call(fixup, first + hit.line, hit.captures)
            if match.exit:
                self._noted[fixup, match] = call
            elif called is None:
                called = call
        return called

    def on_exit(self, code: int | None) -> Call | None:
        """What the exit calls for, alone or with a line of this run; no code when a signal ended it."""
        noted, self._noted = self._noted, {}
        for fixup, match in self._by_exit:
            if code not in match.exit:
                continue
            if match.pattern is None:
                return Call(fixup, 0, {})
            if call := noted.get((fixup, match)):
                return call
        return None

    @property
    def notes(self) -> bool:
        """Whether lines are noted for what an exit calls for."""
        return any(match.pattern is not None for _, match in self._by_exit)

    def reset(self) -> None:
        """A new run starts: what the last one said is over."""
        self._noted.clear()


def recall(fixup: Fixup, commands: Sequence[str], lines: Sequence[Line]) -> Call:
    """The newest of these lines that calls for the fixup; without one the call has no captures."""
    armed = [match for match in fixup.match if match.pattern and _is_for(match, commands)]
    calls = [Call(fixup, 0, {})]
    for stream in ("out", "err"):
        patterns = tuple(match.pattern or "" for match in armed if match.stream in (stream, "any"))
        said = [line for line in lines if line.stream == stream]
        hits = _matcher(patterns).scan(b"".join(line.text + b"\n" for line in said))
        if hits:
            hit = next(hit for hit in hits if hit.line == hits[-1].line)
            calls.append(Call(fixup, said[hit.line].number, hit.captures))
    return max(calls, key=lambda call: call.line)


def _is_for(match: Match, commands: Iterable[str]) -> bool:
    return match.command is None or any(matcher.search(match.command, command) for command in commands)


@lru_cache(maxsize=256)
def _matcher(patterns: tuple[str, ...]) -> matcher.Matcher:
    # Jobs mostly have the same fixups armed: they share what RE2 compiles and remembers.
    return matcher.Matcher(patterns)


class Ledger:
    """How often each fixup was tried for each job, as far back as its budget looks. `now` never goes back."""

    __slots__ = ("_spent",)

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], tuple[float, ...]] = {}

    def spend(self, job: str, fixup: Fixup, now: float) -> bool:
        """Take one try, if there is one left; `now` is in seconds."""
        within = tuple(at for at in self._spent.get((job, fixup.name), ()) if now - at < fixup.tries.seconds)
        is_left = len(within) < fixup.tries.times
        self._spent[job, fixup.name] = (*within, now) if is_left else within
        return is_left

    @property
    def spent(self) -> tuple[tuple[str, str, tuple[float, ...]], ...]:
        """Job, fixup, and when it was tried."""
        return tuple((job, fixup, times) for (job, fixup), times in self._spent.items())

    def restore(self, spent: Iterable[tuple[str, str, tuple[float, ...]]]) -> None:
        self._spent = {(job, fixup): times for job, fixup, times in spent}
