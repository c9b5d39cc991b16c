"""Many patterns over a chunk of output at once, in linear time.

The engine is RE2 and nothing else: `re` can be hung by one hostile line, so it is not a fallback. A pattern sees one
line at a time, without its ending, without escape sequences, and as a terminal would have left it: what a carriage
return went back over is gone.

All patterns together make one alternation, which runs over the whole chunk and only finds the lines worth a look; a
set then says which patterns such a line is for, and only those run alone, for their captures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import re2

from zap.escape import strip
from zap.plan import KIB, MIB

LONGEST_LINE = 64 * KIB  # of a longer line, such as minified code, the first bytes are looked at
LONGEST_RAW = 4 * LONGEST_LINE  # with its escape sequences

_MEMORY_ALONE = 4 * MIB
_MEMORY_TOGETHER = 64 * MIB  # a bound: RE2 takes what the lines it meets call for, and starts afresh when it is reached

# One construct of a pattern, as far as it matters here; a class is swallowed whole, because `(` is a letter in it.
_CONSTRUCT = re.compile(
    r"(?P<escape>\\(?s:.))|\[\^?\]?(?:\\(?s:.)|\[:\^?\w+:\]|[^\]\\])*\]"
    r"|(?P<look>\(\?<?[=!])|(?P<named>\(\?P?<(?P<name>\w+)>)|(?P<back>\(\?P=)|(?P<flags>\(\?[a-zA-Z]*-?[a-zA-Z]*[:)])"
)
_REFUSED_ESCAPES = {
    r"\A": r"\A is not for lines: use ^, a pattern sees one line",
    r"\z": r"\z is not for lines: use $, a pattern sees one line",
    r"\Z": r"\Z is not for lines: use $, a pattern sees one line",
    r"\n": r"\n never matches: a pattern sees one line, without its ending",
    r"\C": r"\C matches half a letter: use .",
    r"\Q": r"\Q is not supported: put a backslash before each special character",
}


class Hit(NamedTuple):
    """`pattern` is its place in the sequence, `line` counts from 0 in the chunk; unused captures are not there."""

    pattern: int
    line: int
    text: str
    captures: dict[str, str]


def check(pattern: str) -> str | None:
    """What is wrong with a pattern, as one sentence part, or None."""
    if not pattern:
        return "an empty pattern matches every line"
    if "\n" in pattern:
        return "a pattern has no line breaks: it sees one line"
    names: set[str] = set()
    for construct in _CONSTRUCT.finditer(pattern):
        if name := construct["name"]:
            if name in names or not name.isidentifier():
                return f"two captures are named {name}" if name in names else f'"{name}" cannot name a capture'
            names.add(name)
        elif escape := construct["escape"]:
            if escape in _REFUSED_ESCAPES:
                return _REFUSED_ESCAPES[escape]
            if escape[1] in "123456789":
                return f"{escape} is a back-reference, which takes more than linear time: it is not supported"
        elif construct["back"]:
            return "(?P=…) is a back-reference, which takes more than linear time: it is not supported"
        elif construct["look"]:
            return f"{construct['look']}…) looks around, which takes more than linear time: it is not supported"
        elif (flags := construct["flags"]) and "m" in flags.partition("-")[2]:
            return "(?-m) is not supported: a pattern sees one line"
    try:
        re2.compile(pattern.encode(errors="surrogatepass"), _options(_MEMORY_ALONE))
    except re2.error as error:
        return f"not a pattern: {_reason(error)}"
    if _compile(pattern).search(b""):
        return "it matches an empty line, and so says nothing"
    return None


def captures(pattern: str) -> frozenset[str]:
    """The names of its groups."""
    return frozenset(construct["name"] for construct in _CONSTRUCT.finditer(pattern) if construct["named"])


def search(pattern: str, text: str) -> bool:
    """Whether any line of the text matches."""
    return _compile(pattern).search(_normal(text.encode(errors="replace"))) is not None


class Search:
    """One pattern that a person looks for in lines as they are shown; small letters match capitals too.

    ValueError: it is no pattern, and why.
    """

    def __init__(self, pattern: str) -> None:
        if why := check(pattern):
            raise ValueError(why)
        options = _options(_MEMORY_ALONE)
        options.case_sensitive = pattern != pattern.lower()
        self.pattern = pattern
        self._compiled = re2.compile(pattern, options)

    def matches(self, line: str) -> bool:
        return self._compiled.search(_whole_letters(line)) is not None

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where it matches: begin and end of each place, in letters."""
        found = self._compiled.finditer(_whole_letters(line))
        return [(match.start(), match.end()) for match in found if match.end() > match.start()]


def _whole_letters(line: str) -> str:
    """Without surrogates, which RE2 cannot take."""
    return line if line.isascii() else line.encode(errors="replace").decode()


class Matcher:
    """Patterns that `check` finds nothing wrong with. It keeps no state: one may serve any number of jobs."""

    __slots__ = ("_alone", "_any", "_patterns", "_set")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)
        self._alone = [_compile(pattern) for pattern in self._patterns]
        self._any = None
        if self._patterns:
            options = _options(_MEMORY_TOGETHER)
            options.never_capture = True
            self._any = re2.compile("|".join(map(_without_names, self._patterns)).encode(), options)
            self._set = re2.Set.SearchSet(options)
            for pattern in self._patterns:
                self._set.Add(f"(?m:{pattern})")
            self._set.Compile()

    def scan(self, data: bytes) -> list[Hit]:
        """Every pattern's first match in each line, in order of lines, then of patterns. `data` is whole lines."""
        if self._any is None:
            return []
        data = _normal(data)
        found = self._any.search(data)
        if found is None:
            return []
        hits: list[Hit] = []
        line = counted = 0
        while found:
            begin = data.rfind(b"\n", 0, found.start()) + 1
            end = data.find(b"\n", begin)
            end = len(data) if end < 0 else end
            line += data.count(b"\n", counted, begin)
            counted = begin
            hits += self._hits(line, data[begin:end])
            if end + 1 >= len(data):
                break
            found = self._any.search(data, end + 1)
        return hits

    def _hits(self, number: int, line: bytes) -> Iterator[Hit]:
        # The set answers nothing when it runs out of memory; then each pattern is asked.
        for pattern in sorted(self._set.Match(line) or range(len(self._alone))):
            if found := self._alone[pattern].search(line):
                named = found.groupdict().items()
                captured = {name.decode(): value.decode() for name, value in named if value is not None}
                yield Hit(pattern, number, line.decode(), captured)


def _options(memory: int) -> re2.Options:
    options = re2.Options()
    options.log_errors = False  # RE2 would write to descriptor 2
    options.never_nl = True  # neither \s nor [^x] crosses into the next line
    options.max_mem = memory
    return options


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re2._Regexp:
    return re2.compile(f"(?m:{pattern})".encode(errors="surrogatepass"), _options(_MEMORY_ALONE))


def _without_names(pattern: str) -> str:
    # Two patterns may give the same name to a capture, one alternation may not.
    return f"(?m:{_CONSTRUCT.sub(lambda construct: '(?:' if construct['named'] else construct[0], pattern)})"


def _reason(error: re2.error) -> str:
    reason = error.args[0]
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def _normal(data: bytes) -> bytes:
    """The lines as a person would see them, in valid UTF-8; as many as before."""
    if len(data) > LONGEST_RAW and max(map(len, lines := data.split(b"\n"))) > LONGEST_RAW:
        # Megabytes of escape sequences would stop everything for seconds. Of returns the last goes over the others.
        data = b"\n".join(line[-LONGEST_RAW:] if b"\r" in line else line[:LONGEST_RAW] for line in lines)
    if b"\x1b" in data:
        # What `strip` also takes (a NUL, say) must not depend on what else is in the chunk.
        pairs = zip(data.split(b"\n"), strip(data).split(b"\n"), strict=True)
        data = b"\n".join(stripped if b"\x1b" in line else line for line, stripped in pairs)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\r" in data:
            data = b"\n".join(line.rstrip(b"\r").rpartition(b"\r")[2] for line in data.split(b"\n"))
    if len(data) > LONGEST_LINE and max(map(len, lines := data.split(b"\n"))) > LONGEST_LINE:
        data = b"\n".join(line[:LONGEST_LINE] for line in lines)
    try:
        data.isascii() or data.decode()
    except UnicodeDecodeError:
        data = data.decode(errors="replace").encode()
    return data
