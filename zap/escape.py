"""Escape sequences out of what a job printed: all of them, or all but colour.

The grammar is that of ECMA-48, with one rule of our own: a newline ends every sequence, so that a program cannot make
lines disappear, and as many lines go out as came in.
"""

from __future__ import annotations

import re

RESET = "\x1b[0m"

_CSI = rb"[0-?]*[ -/]*[@-~]?"
_STRING = rb"[^\x07\x18\x1a\x1b\n]*(?:\x07|\x1b\\)?"  # what OSC, DCS, SOS, PM and APC hold

# The first byte stands alone and is looked back at, because `re` finds the members of one class quickly. A byte of
# 80 to 9f is a control only where it is not inside a UTF-8 character, and c2 is the first half of the same controls.
_SEQUENCE = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xc2](?:"
    rb"(?<=\x1b)(?:\[" + _CSI + rb"|[]PX^_]" + _STRING + rb"|[ -/]*[0-~]?)"
    rb"|(?<=[\x00-\x1a\x1c-\x1f\x7f])"
    rb"|(?:(?<=\xc2)[\x80-\x9f]"
    rb"|(?<=[\x80-\x9f])(?<![\xc2-\xf4].)(?<![\xe0-\xf4][\x80-\xbf].)(?<![\xf0-\xf4][\x80-\xbf][\x80-\xbf].))"
    rb"(?:(?<=\x9b)" + _CSI + rb"|(?<=[\x90\x98\x9d-\x9f])" + _STRING + rb"|)"
    rb")",
    re.DOTALL,
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[]PX^_][^\x07\x18\x1a\n]*|[ -/]*)\Z")
_HALF_LETTER = re.compile(rb"(?:[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2})\Z")
_COLOUR = re.compile(rb"\x1b\[[0-9;:]{0,64}m")
_COLOURED = re.compile(rb"(?:[\t -~]++|" + _COLOUR.pattern + rb")*+")
_COLOUR_TEXT = re.compile(_COLOUR.pattern.decode())
_LAST_IS_RESET = re.compile(r"\x1b\[[0;]*m[^\x1b]*\Z")

# Controls, separators of lines and paragraphs, what turns the direction of writing, and what nobody can see; but not
# the joiners 200c and 200d, without which families of emoji and Persian words fall apart.
_UNSEEN = re.compile(
    "[\x00-\x08\n-\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)


def strip(data: bytes) -> bytes:
    """Any number of lines without escape sequences and control characters; newlines, returns and tabs stay."""
    return _SEQUENCE.sub(b"", data)


def complete(data: bytes) -> int:
    """How many bytes come before the escape sequence, or the letter, that the data ends within."""
    last = data.rfind(b"\x1b")
    if last >= 0 and _UNFINISHED.match(data, last):
        return last
    half = _HALF_LETTER.search(data, max(0, len(data) - 3))
    return half.start() if half else len(data)


def safe(text: bytes) -> str:
    """One line as it may reach a person's terminal: printable text, tabs and colour, which is reset at the end.

    Of what carriage returns overwrite the last is told; invalid UTF-8 becomes U+FFFD.
    """
    if text.isascii() and (line := text.decode()).isprintable():  # most lines are, and it costs a tenth
        return line
    # What is of ASCII and colour alone is as it should be, and to see that takes a tenth as well.
    line = text.decode() if _COLOURED.fullmatch(text) else _seen(_SEQUENCE.sub(_keep_colour, text))
    last = line.rfind("\x1b")
    return line if last < 0 or _LAST_IS_RESET.match(line, last) else line + RESET


def plain(text: bytes) -> str:
    """One line without even colour."""
    if text.isascii() and (line := text.decode()).isprintable():
        return line
    return _seen(strip(text))


def _keep_colour(sequence: re.Match[bytes]) -> bytes:
    found = sequence[0]
    return found if _COLOUR.fullmatch(found) else b""


def _seen(text: bytes) -> str:
    line = _UNSEEN.sub("", text.decode(errors="replace"))
    if "\r" in line:
        written = (part for part in reversed(line.split("\r")) if _COLOUR_TEXT.sub("", part))
        line = next(written, "")
    return line
