"""The text of a job's commands: where a block of lines falls into single commands, and a short title for them all.

This is no shell. It knows just enough of POSIX sh (and bash) to see what belongs together, and keeps together whatever
it is not sure of.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

_LONGEST_TITLE = 48


class Piece(NamedTuple):
    """One command of a block; `row` is its first line in the block, from 0."""

    row: int
    text: str


def split(text: str) -> tuple[Piece, ...]:
    """One command per line, except that lines which belong together stay together: open quotes, here-docs, a trailing
    `\\`, `|`, `&&` or `||`, and everything from `if`, `for`, `while`, `until`, `case`, `{` or `(` to its end. Blank
    lines and lines of comment between commands are left out.
    """
    pieces = []
    row = 0
    for part in parts(text):
        if part.strip() and not ("\n" not in part and part.lstrip().startswith("#")):
            pieces.append(Piece(row, part))
        row += part.count("\n") + 1
    return tuple(pieces)


def parts(text: str) -> tuple[str, ...]:
    """The text, cut at the newlines that end a command; joined with newlines it is the text again."""
    begin = 0
    found = []
    for cut in _cuts(text):
        found.append(text[begin:cut])
        begin = cut + 1
    return (*found, text[begin:])


# What is open while a text is scanned: a quote, a bracket, or the word that ends a compound command.
_SUBSHELL, _SUBSTITUTION, _ARITHMETIC, _PARENTHESIS, _PARAMETER, _TEST = ")", "$)", "))", "a)", "$}", "]]"
_CASE_HEAD, _CASE_PATTERN, _CASE_BODY = "in", "pattern", "esac"
_CODE = {"", _SUBSHELL, _SUBSTITUTION, _TEST, _CASE_HEAD, _CASE_PATTERN, _CASE_BODY, "fi", "done", "}"}

_OPENS = {"if": "fi", "while": "done", "until": "done", "for": "done", "select": "done", "case": _CASE_HEAD, "{": "}"}
_OPENS["[["] = _TEST
_GOES_ON = {"if", "while", "until", "then", "do", "else", "elif", "{", "!", "time"}  # a command follows at once

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+|\\\n)
    |(?P<newline>\n)
    |(?P<comment>\#[^\n]*)
    |(?P<single>\$?'(?:(?<=\$')(?:\\.|[^'\\])*|(?<!\$')[^']*)')
    |(?P<tick>`(?:\\.|[^`\\])*`)
    |(?P<arithmetic>\$\(\()
    |(?P<substitution>\$\(|[<>]\()
    |(?P<parameter>\$\{)
    |(?P<double>")
    |(?P<here><<-?(?!<))
    |(?P<redirect><<<|[<>]&|>\||&>>?|<>|>>|[<>])
    |(?P<both>&&|\|\||\|&|\|)
    |(?P<next>;;&|;;|;&)
    |(?P<end>;|&)
    |(?P<open>\()
    |(?P<close>\))
    |(?P<word>(?:\\.|\$(?![({'"])|[^\s\\'"`$()<>;&|])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_TOKEN_GOES_ON = re.compile(r"""['"`$\\](?!\n)""")
_DELIMITER = re.compile(r"""[ \t]*((?:'[^'\n]*'|"[^"\n]*"|\\.|[^\s\\'"()<>;&|])+)""")
_QUOTED_TEXT = re.compile(r'(?:\\.|\$(?![({])|[^"\\$`])+', re.DOTALL)
_PARAMETER_TEXT = re.compile(r"(?:\\.|\$(?![({])|[^}\"\\$`])+", re.DOTALL)
_ARITHMETIC_TEXT = re.compile(r"[^()$`\"]+")
_FUNCTION_NAME = re.compile(r"[ \t]+[^\s()]+")
_TICK = re.compile(r"`(?:\\.|[^`\\])*`", re.DOTALL)


def _cuts(text: str) -> list[int]:
    """The newlines that end a command. None at all when something closes that was never opened."""
    cuts: list[int] = []
    stack: list[str] = []
    here_documents: list[tuple[str, bool]] = []
    is_start = True  # a reserved word counts only where a command begins
    is_glued = False  # after `&&`, `|` or `name()` the command goes on, however many newlines follow
    is_word = False  # the last token was a word, or part of one
    position = 0
    while position < len(text):
        top = stack[-1] if stack else ""
        if top not in _CODE:
            depth = len(stack)
            position = _quoted(text, position, stack)
            if position < 0:
                return cuts
            is_start = len(stack) > depth  # a `$(` inside; else at most the end of the word that the quotes are in
            is_word = not is_start
            continue
        token = _TOKEN.match(text, position)
        if token is None:
            return cuts  # a quote that nothing closes: all the rest is one command
        kind, said = token.lastgroup, token[0]
        position = token.end()
        after_word, is_word = is_word, False
        if kind == "comment" and after_word:
            kind = "word"
        if kind == "newline":
            if here_documents:
                position = _after_here_documents(text, position, here_documents)
                here_documents = []
                if position < 0 or position > len(text):
                    return cuts
            if not stack and not is_glued:
                cuts.append(position - 1)
            is_start = True
        elif kind == "word":
            is_alone = not after_word and not _TOKEN_GOES_ON.match(text, position)
            is_word = True
            if top == _TEST:
                if is_alone and said == "]]":
                    stack.pop()
            elif top == _CASE_HEAD:
                if is_alone and said == "in":
                    stack[-1] = _CASE_PATTERN
                    is_start = True
            elif is_alone and is_start:
                is_glued = False
                if said in ("fi", "done", "}", "esac"):
                    if top != said and not (said == "esac" and top == _CASE_PATTERN):
                        return []
                    stack.pop()
                    continue
                if said in _OPENS:
                    stack.append(_OPENS[said])
                is_start = said in _GOES_ON
                is_word = not is_start
                if said == "function" and (name := _FUNCTION_NAME.match(text, position)):
                    position = name.end()
                    is_start = is_glued = is_word = True
            else:
                is_start = is_glued = False
        elif kind in ("blank", "comment"):
            pass
        elif kind == "both":
            is_start = is_glued = top != _TEST
        elif kind == "end":
            is_start = True
        elif kind == "next":
            if top != _CASE_BODY:
                return []
            stack[-1] = _CASE_PATTERN
            is_start = True
        elif kind == "here":
            if (delimiter := _DELIMITER.match(text, position)) is None:
                return cuts
            here_documents.append((re.sub(r"\\(.)|['\"]", r"\1", delimiter[1]), said == "<<-"))
            position = delimiter.end()
        elif kind == "open" and top not in (_CASE_PATTERN, _TEST):
            if after_word and text.startswith(")", position):
                position += 1
                is_start = is_glued = True
            elif text.startswith("(", position):
                stack.append(_ARITHMETIC)
                position += 1
            else:
                stack.append(_SUBSHELL)
                is_start, is_glued = True, False
        elif kind == "close" and top != _TEST:
            if top == _CASE_PATTERN:
                stack[-1] = _CASE_BODY
            elif top in (_SUBSHELL, _SUBSTITUTION):
                stack.pop()
            else:
                return []
            is_start, is_word = top != _SUBSTITUTION, top == _SUBSTITUTION
            is_glued = False
        elif kind in ("substitution", "arithmetic", "parameter", "double"):
            stack.append(
                {"substitution": _SUBSTITUTION, "arithmetic": _ARITHMETIC, "parameter": _PARAMETER}.get(kind, '"')
            )
            is_start, is_glued = kind == "substitution", False
        elif kind in ("single", "tick"):
            is_start, is_glued, is_word = False, False, True
    return cuts


def _quoted(text: str, position: int, stack: list[str]) -> int:
    """Moves on inside double quotes, `${…}` or arithmetic; -1 when a backtick is never closed."""
    top = stack[-1]
    plain = {'"': _QUOTED_TEXT, _PARAMETER: _PARAMETER_TEXT}.get(top, _ARITHMETIC_TEXT)
    if match := plain.match(text, position):
        return match.end()
    if text[position] == "`":
        tick = _TICK.match(text, position)
        return tick.end() if tick else -1
    for opening, closing in (("$((", _ARITHMETIC), ("$(", _SUBSTITUTION), ("${", _PARAMETER)):
        if text.startswith(opening, position):
            stack.append(closing)
            return position + len(opening)
    closes = {'"': '"', _PARAMETER: "}", _ARITHMETIC: "))", _PARENTHESIS: ")"}[top]
    if text.startswith(closes, position):
        stack.pop()
        return position + len(closes)
    if text[position] == '"':
        stack.append('"')
    elif text[position] == "(":
        stack.append(_PARENTHESIS)
    return position + 1


def _after_here_documents(text: str, position: int, delimiters: list[tuple[str, bool]]) -> int:
    """Where the code goes on after the bodies; -1 when one of them is never closed."""
    for delimiter, is_indented in delimiters:
        while True:
            if position > len(text) or position < 0:
                return -1
            end = text.find("\n", position)
            line = text[position:] if end < 0 else text[position:end]
            position = len(text) + 1 if end < 0 else end + 1
            if (line.lstrip("\t") if is_indented else line) == delimiter:
                break
    return position


# Titles.

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_SETS_UP = {"cd", "pushd", "export", "unset", "set", "source", ".", "umask", "ulimit", "trap", "mkdir", "sleep", "echo"}
_SETS_UP |= {"true", ":", "for", "case", "select"}
_SYNTAX = {"{", "}", "!", "if", "then", "else", "elif", "fi", "while", "until", "do", "done", "esac"}
_WRAPS = {"sudo", "doas", "exec", "env", "nohup", "nice", "ionice", "setsid", "command", "time", "stdbuf", "unbuffer"}
_WRAPS_WITH_VALUE = {"timeout"}
_SHELLS = {"sh", "bash", "dash", "zsh"}
_TAKES_VALUE = {
    "sudo": "ugpCDhrtT", "ssh": "bcDEeFIiJLlmOopQRSWw", "nice": "n", "ionice": "cnp", "env": "uCS", "stdbuf": "ioe",
    "timeout": "sk", "sshfs": "oFp",
}  # fmt: skip
_WORDS_OF_TITLE = 3


def title(commands: Sequence[str]) -> str:
    """What the job is, from what it ends up running: `ssh gox` and then `sshfs gox:/data/Photo ~/Photo` is
    "gox: sshfs Photo". What only prepares (`cd`, `export`, …) and what only wraps (`sudo`, `exec`, `env`, …) is left
    out, options too, and of a path the last part is kept.
    """
    place = ""
    said = ""
    for command in commands:
        for words in _simple_commands(command):
            host, rest = _unwrap(words)
            if host and host != place:
                place, said = host, ""
            if rest and (rest[0] not in _SETS_UP or not said):
                is_better = not said or rest[0] not in _SETS_UP
                said = _shorten(rest) if is_better else said
    if not said and not place:
        said = next((line.strip() for command in commands for line in command.splitlines() if line.strip()), "")
    whole = " ".join((f"{place}: {said}" if place and said else place or said).split())
    return whole if len(whole) <= _LONGEST_TITLE else whole[: _LONGEST_TITLE - 1].rstrip() + "…"


def _simple_commands(command: str) -> list[list[str]]:
    """The words of what is run one after the other; of a pipeline its first part, without redirections."""
    lexer = shlex.shlex(command.partition("<<")[0], posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        tokens = command.split("\n", 1)[0].split()
    found: list[list[str]] = [[]]
    is_skipped = is_target = False
    for token in tokens:
        if token.strip("\n") in ("", ";", "&&", "||", "&"):
            found.append([])
            is_skipped = is_target = False
        elif token.startswith("|"):
            is_skipped = True
        elif set(token) <= set("<>&"):
            is_target = True
            if found[-1] and found[-1][-1].isdecimal():
                found[-1].pop()
        elif is_target:
            is_target = False
        elif not is_skipped and token not in ("(", ")") and (found[-1] or token not in _SYNTAX):
            found[-1].append(token)
    return [words for words in found if words]


def _unwrap(words: list[str]) -> tuple[str, list[str]]:
    """The host that the words run on ("" for here), and what is left when the wrappers are taken away."""
    host = ""
    while words:
        name = words[0].rpartition("/")[2]
        if _ASSIGNMENT.match(words[0]):
            words = words[1:]
        elif name in _WRAPS and words[1:]:
            words = _after_options(words[1:], _TAKES_VALUE.get(name, ""))
        elif name in _WRAPS_WITH_VALUE and words[1:]:
            words = _after_options(words[1:], _TAKES_VALUE.get(name, ""))[1:]
        elif name == "ssh" and (rest := _after_options(words[1:], _TAKES_VALUE["ssh"])):
            host = rest[0].rpartition("@")[2]
            return host, next((_unwrap(inner)[1] for inner in reversed(_simple_commands(" ".join(rest[1:])))), [])
        elif name in _SHELLS and len(words) > 2 and re.fullmatch(r"-[a-z]*c", words[1]):
            inner = [_unwrap(part)[1] for part in _simple_commands(words[2])]
            return host, inner[-1] if inner else words
        else:
            break
    return host, words


def _after_options(words: list[str], takes_value: str) -> list[str]:
    while words and words[0].startswith("-") and len(words[0]) > 1:
        is_pair = len(words[0]) == 2 and words[0][1] in takes_value
        words = words[2:] if is_pair else words[1:]
    return words


def _shorten(words: list[str]) -> str:
    short = [_last_part(words[0])]
    takes_value = _TAKES_VALUE.get(short[0], "")
    rest = _after_options(words[1:], takes_value)
    while rest and len(short) < _WORDS_OF_TITLE:
        if (part := _last_part(rest[0])) not in short:
            short.append(part)
        rest = _after_options(rest[1:], takes_value)
    return " ".join(" ".join(short).split())


def _last_part(word: str) -> str:
    """The end of a path or of host:path; an address such as http://… stays whole."""
    return word if "://" in word else word.rstrip("/").rpartition("/")[2] or word
