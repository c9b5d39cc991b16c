"""How each kind of value in a file is read from its text, what it is called, and what editors are told about it."""

from __future__ import annotations

import difflib
import grp
import ipaddress
import os
import pwd
import re
import shlex
import signal
import urllib.parse
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from zap import matcher, plan, units
from zap.plan import KIB, MIB

Schema = dict[str, Any]

FEWEST_LINES = 100
FEWEST_BYTES = 64 * KIB  # one read
FEWEST_MEMORY = MIB  # a shell needs as much
FEWEST_PROCESSES = 2  # the shell, and what it starts
FEWEST_FILES = 32  # the shell has some of its own from 10 on
SHORTEST_INTERVAL = 0.1  # seconds between two probes: each costs a connection or a process

_LONGEST_SHOWN = 50
_HIGHEST_PORT = 65535
_HIGHEST_ID = 2**32 - 2  # of a user or a group: the one above means none (chown(2))

LOG_PLACES = ("{system}", "{job}")
SIGNALS = tuple(sorted(name.name.removeprefix("SIG") for name in signal.Signals))


def wrong(what: str) -> PydanticCustomError:
    return PydanticCustomError("zap", "{what}", {"what": what})


def suggest(text: str, known: Iterable[str]) -> str:
    """` — did you mean …?` when something known is near, else nothing."""
    near = difflib.get_close_matches(text, list(known), 1)
    return f" — did you mean {near[0]}?" if near else ""


def shown(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case str():
            return f'"{value}"' if len(value) <= _LONGEST_SHOWN else f'"{value[:_LONGEST_SHOWN].rstrip()}…"'
        case list():
            return "a list"
        case _:
            return "a mapping"


def is_path(fixup: str) -> bool:
    """Whether what is written under `fixups` is a file or a folder; else it is a name."""
    return "/" in fixup or fixup in (".", "..") or fixup.endswith((".yaml", ".yml"))


class Surroundings:
    """What a text in jobs.yaml may refer to: variables, files below the plan's folder, and fixups that exist.

    `is_used` says whether any variable was (the home folder is one).
    """

    __slots__ = ("_environ", "_fixups", "_folder", "files", "is_used")

    def __init__(self, environ: Mapping[str, str], folder: str, fixups: Collection[str]) -> None:
        self._environ = environ
        self._folder = folder
        self._fixups = fixups
        self.files: list[str] = []
        self.is_used = False

    def resolve(self, path: str) -> str:
        """The absolute path; `~` is the home folder."""
        if path == "~" or path.startswith("~/"):
            self.is_used = True
            path = self._environ.get("HOME", "~") + path[1:]
        return os.path.normpath(os.path.join(self._folder, os.path.expanduser(path)))

    def resolve_home(self, path: str) -> str:
        """`~` is the home folder; any other path is as it is."""
        return self.resolve(path) if path.startswith("~") else path

    def resolve_file(self, path: str) -> str:
        """The absolute path of a file that must be there, and that decides what the plan is."""
        whole = self.resolve(path)
        self.files.append(whole)
        if not os.path.isfile(whole):
            raise wrong(f"there is no file {shown(path)}")
        return whole

    def resolve_fixup(self, fixup: str) -> str:
        """A name that exists, "" for none at all, or the absolute path of a file or folder."""
        if fixup in ("off", "false"):
            return ""
        if is_path(fixup):
            whole = self.resolve(fixup)
            if not os.path.exists(whole):
                raise wrong(f"there is no file or folder {shown(fixup)}")
            return whole
        if fixup not in self._fixups:
            is_there = os.path.exists(self.resolve(fixup))
            hint = f" — write ./{fixup} for what is in the plan's folder" if is_there else suggest(fixup, self._fixups)
            raise wrong(f"there is no fixup {shown(fixup)}{hint}")
        return fixup

    def expand(self, text: str) -> str:
        """`${NAME}` and `${NAME:-default}` filled in, `$${` as `${`. An empty variable has the default too."""
        if "${" not in text:
            return text
        unset: list[str] = []

        def fill(place: re.Match[str]) -> str:
            if place["escaped"]:
                return "${"
            name, default = place["name"], place["default"]
            if name is None or "${" in (default or ""):
                raise wrong(
                    f"{shown(place[0])} is neither ${{NAME}} nor ${{NAME:-default}} — write $${{ for a plain ${{"
                )
            self.is_used = True
            if default is not None:
                return self._environ.get(name) or default
            if name not in self._environ:
                unset.append(name)
            return self._environ.get(name, "")

        expanded = _VARIABLE.sub(fill, text)
        if unset:
            names = [f"${{{name}}}" for name in dict.fromkeys(unset)]
            verb, pronoun = ("is", "it") if len(names) == 1 else ("are", "them")
            raise wrong(f"{' and '.join(names)} {verb} not set — set {pronoun}, or write ${{{unset[0]}:-default}}")
        return expanded


_VARIABLE = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}|[^}]*\}?)", re.ASCII
)


class Scalar:
    """Metadata of a type: reads the text, or raises `wrong`. Shell text is not expanded: the shell does that.

    Without Surroundings as the context of a validation nothing is expanded or resolved.
    """

    __slots__ = ("_is_optional", "_is_shell", "_read", "_resolve", "_schema", "noun")

    def __init__(
        self,
        noun: str,
        read: Callable[[str], object],
        schema: Schema,
        *,
        resolve: Callable[[Surroundings, Any], object] | None = None,
        is_shell: bool = False,
        is_optional: bool = False,
    ) -> None:
        self.noun = noun
        self._read = read
        self._schema = schema
        self._is_shell = is_shell
        self._is_optional = is_optional
        self._resolve = resolve

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return dict(self._schema)

    def _check(self, value: object, info: core_schema.ValidationInfo) -> object:
        if value is None and self._is_optional:
            return None
        if not isinstance(value, str):
            raise wrong(f"expected {self.noun}, not {shown(value)}")
        surroundings: Surroundings | None = info.context
        if self._is_shell or surroundings is None:
            return self._read(value)
        text = self._read(surroundings.expand(value))
        return text if self._resolve is None else self._resolve(surroundings, text)


def _read_flag(text: str) -> bool:
    if text not in ("true", "false"):
        near = {"yes": "true", "on": "true", "y": "true", "1": "true", "no": "false", "off": "false", "n": "false"}
        meant = near.get(text.lower()) or ("false" if text == "0" else text.lower())
        hint = f" — did you mean {meant}?" if meant in ("true", "false") else ""
        raise wrong(f"expected true or false, not {shown(text)}{hint}")
    return text == "true"


def _read_choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise wrong(f"{shown(text)} is not one of {', '.join(choices)}{suggest(text.lower(), choices)}")
        return text

    return read


def choice(literal: object) -> Scalar:
    choices = get_args(literal)
    return Scalar("one of " + ", ".join(choices), _read_choice(*choices), {"enum": list(choices)})


def _read_duration(text: str) -> float:
    """Seconds."""
    seconds = units.duration(text)
    if seconds is None:
        raise wrong(f"{shown(text)} is not a duration — write seconds, or such as 500ms, 10s, 2m, 1h30m")
    return seconds


def _read_moment(text: str) -> float:
    """Seconds, and not none at all."""
    seconds = _read_duration(text)
    if seconds <= 0:
        raise wrong(f"{shown(text)} is too short — it must be more than 0")
    return seconds


def _read_interval(text: str) -> float:
    seconds = _read_duration(text)
    if seconds < SHORTEST_INTERVAL:
        raise wrong(f"{shown(text)} is too short — at least {SHORTEST_INTERVAL * 1000:g}ms")
    return seconds


def _read_size(least: int) -> Callable[[str], int]:
    shortest = f"{least // KIB}k" if least < MIB else f"{least // MIB}M"

    def read(text: str) -> int:
        found = re.fullmatch(r"(\d{1,12})\s*(?:([KMG])(?:iB|B)?|B)?", text, re.ASCII | re.IGNORECASE)
        if not found:
            raise wrong(f"{shown(text)} is not a size — write bytes, or such as 512k, 8MiB")
        size = int(found[1]) * {"": 1, "K": KIB, "M": MIB, "G": 1024 * MIB}[(found[2] or "").upper()]
        if size < least:
            raise wrong(f"{shown(text)} is too small — at least {shortest}")
        return size

    return read


def _read_umask(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise wrong(f"{shown(text)} is not a umask — write three octal digits, such as 022, 027, 077")
    return int(text, 8)


def _read_user(text: str) -> str:
    """A name that exists, or a number."""
    if not _is_id(text):
        try:
            pwd.getpwnam(text)
        except (KeyError, ValueError):
            raise wrong(
                f"there is no user {shown(text)}{suggest(text, (one.pw_name for one in pwd.getpwall()))}"
            ) from None
    return text


def _read_group(text: str) -> str:
    if not _is_id(text):
        try:
            grp.getgrnam(text)
        except (KeyError, ValueError):
            raise wrong(
                f"there is no group {shown(text)}{suggest(text, (one.gr_name for one in grp.getgrall()))}"
            ) from None
    return text


def _is_id(text: str) -> bool:
    return bool(re.fullmatch(r"\d{1,10}", text, re.ASCII)) and int(text) <= _HIGHEST_ID


def _read_whole(least: int, most: int | None, noun: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if (
            not re.fullmatch(r"-?\d{1,12}" if least < 0 else r"\d{1,12}", text, re.ASCII)
            or int(text) < least
            or (most is not None and int(text) > most)
        ):
            raise wrong(f"{shown(text)} is not {noun}")
        return int(text)

    return read


def _whole(noun: str, least: int, most: int | None = None) -> Scalar:
    schema: Schema = {"type": "integer", "minimum": least} | ({} if most is None else {"maximum": most})
    return Scalar(noun, _read_whole(least, most, noun), schema)


def _read_tries(text: str) -> int | None:
    if text == "unlimited":
        return None
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not int(text):
        raise wrong(f"{shown(text)} is not a whole number from 1, or unlimited{suggest(text.lower(), ['unlimited'])}")
    return int(text)


def _read_number(least: float, most: float, noun: str) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) or not least <= float(text) <= most:
            raise wrong(f"{shown(text)} is not {noun}")
        return float(text)

    return read


def _number(noun: str, least: float, most: float) -> Scalar:
    return Scalar(noun, _read_number(least, most, noun), {"type": "number", "minimum": least, "maximum": most})


def _read_signal(text: str) -> str:
    name = text.upper().removeprefix("SIG")
    if name not in SIGNALS:
        raise wrong(f"{shown(text)} is not a signal{suggest(name, SIGNALS)}")
    return name


def _read_filled(noun: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.strip():
            raise wrong(f"expected {noun}, not an empty text")
        return text

    return read


def _read_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise wrong(f"{shown(text)} is not a name — only letters, digits, dots, dashes and underscores make one")
    return text


def _read_variable(text: str) -> str:
    if not text or "=" in text:
        raise wrong(f"{shown(text)} cannot name a variable")
    return text


def _read_prompt(text: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            pattern = re.compile(_read_filled("a pattern")(text))
    except (re.error, OverflowError, RecursionError) as error:
        raise wrong(f"{shown(text)} is not a pattern: {error}") from None
    if pattern.search(""):
        raise wrong(f"{shown(text)} matches where nothing is: no job asks that")
    return text


def _read_pattern(text: str) -> str:
    if why := matcher.check(text):
        raise wrong(why)
    return text


def _read_log_path(text: str) -> str:
    """With `{system}` and `{job}` still in it."""
    path = _read_filled("a file's path")(text)
    for place in re.findall(r"\{.*?\}", path):
        if place not in LOG_PLACES:
            raise wrong(f"{place} stands for nothing here — {' and '.join(LOG_PLACES)} do{suggest(place, LOG_PLACES)}")
    return path


def _read_keys(text: str) -> str:
    if not text:
        raise wrong("expected keys, not an empty text")
    return text


def _read_address(text: str) -> str:
    """`host:port`; a host that is an IPv6 address is in brackets."""
    found = re.fullmatch(r"(?:(?P<host>[\w.-]*|\[(?P<six>[^\s\[\]]+)\]):)?(?P<port>[0-9]+)", text)
    if not found or not _is_ipv6(found["six"]):
        raise wrong(f"{shown(text)} is not an address — write such as 5432, localhost:5432, '[::1]:5432'")
    port = found["port"].lstrip("0")
    if not port or len(port) > 5 or int(port) > _HIGHEST_PORT:
        raise wrong(f"{found['port']} is not a port (1–{_HIGHEST_PORT})")
    return f"{found['host'] or 'localhost'}:{port}"


def _is_ipv6(text: str | None) -> bool:
    try:
        return text is None or bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def _read_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise wrong(f"{shown(text)} is not a URL — it begins with http:// or https://")
    if not text.isprintable() or " " in text:
        raise wrong(f"{shown(text)} is not a URL: there is a space or a control character in it")
    try:
        parts = urllib.parse.urlsplit(text)
        is_right = parts.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        raise wrong(f"{shown(text)} is not a URL: its host or its port is wrong")
    if not parts.hostname:
        raise wrong(f"{shown(text)} is not a URL: there is no host in it")
    return text


def _read_budget(text: str) -> plan.Budget:
    found = re.fullmatch(r"(\d{1,6})\s+in\s+(\S+)", text, re.ASCII)
    if not found or not int(found[1]):
        raise wrong(f"{shown(text)} is not a budget — write such as 3 in 10m")
    return plan.Budget(int(found[1]), _read_duration(found[2]))


TEXT_SCHEMA: Schema = {"type": ["string", "number", "boolean"]}
DURATION_SCHEMA: Schema = {"type": ["number", "string"], "minimum": 0, "examples": ["500ms", "10s", "2m", "1h30m"]}
_MOMENT_SCHEMA: Schema = {"type": ["number", "string"], "exclusiveMinimum": 0, "examples": ["500ms", "10s", "2m"]}
_INTERVAL_SCHEMA = DURATION_SCHEMA | {"minimum": SHORTEST_INTERVAL}

Text = Annotated[str, Scalar("text", str, TEXT_SCHEMA)]
AnyPath = Annotated[
    str, Scalar('a path ("~" alone needs quotes)', _read_filled("a path"), TEXT_SCHEMA, resolve=Surroundings.resolve)
]
LogPath = Annotated[str, Scalar("a file's path", _read_log_path, TEXT_SCHEMA, resolve=Surroundings.resolve_home)]
FilePath = Annotated[
    str, Scalar("a file's path", _read_filled("a file's path"), TEXT_SCHEMA, resolve=Surroundings.resolve_file)
]
FixupName = Annotated[
    str,
    Scalar("a fixup", _read_filled("a fixup"), {"type": ["string", "boolean"]}, resolve=Surroundings.resolve_fixup),
]
Value = Annotated[str | None, Scalar("text", str, {"type": ["string", "number", "boolean", "null"]}, is_optional=True)]
ShellText = Annotated[
    str, Scalar("shell text", _read_filled("shell text"), {"type": ["string", "number", "boolean"]}, is_shell=True)
]
Argument = Annotated[str, Scalar("text", str, TEXT_SCHEMA, is_shell=True)]
Name = Annotated[str, Scalar("a name", _read_name, {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}, is_shell=True)]
Variable = Annotated[str, Scalar("a variable's name", _read_variable, {"type": "string"}, is_shell=True)]
Flag = Annotated[bool, Scalar("true or false", _read_flag, {"type": "boolean"})]
Duration = Annotated[float, Scalar("a duration", _read_duration, DURATION_SCHEMA)]
Moment = Annotated[float, Scalar("a duration above 0", _read_moment, _MOMENT_SCHEMA)]
Interval = Annotated[float, Scalar(f"a duration from {SHORTEST_INTERVAL * 1000:g}ms", _read_interval, _INTERVAL_SCHEMA)]
Count = Annotated[int, _whole("a whole number from 1", 1)]
Tries = Annotated[
    int | None,
    Scalar(
        "a whole number from 1, or unlimited",
        _read_tries,
        {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "unlimited"}]},
    ),
]
Code = Annotated[int, _whole("an exit code (0–255)", 0, 255)]
HttpStatus = Annotated[int, _whole("an HTTP status (100–599)", 100, 599)]
Lines = Annotated[int, _whole(f"a whole number from {FEWEST_LINES}", FEWEST_LINES)]
_SIZE_SCHEMA: Schema = {"type": ["integer", "string"], "examples": ["512k", "8MiB"]}
Size = Annotated[int, Scalar("a size", _read_size(FEWEST_BYTES), _SIZE_SCHEMA)]
Memory = Annotated[int, Scalar("a size", _read_size(FEWEST_MEMORY), _SIZE_SCHEMA | {"examples": ["512M", "2GiB"]})]
Processors = Annotated[float, _number("a number of processors from 0.01", 0.01, 10_000)]
Processes = Annotated[int, _whole(f"a whole number from {FEWEST_PROCESSES}", FEWEST_PROCESSES)]
Files = Annotated[int, _whole(f"a whole number from {FEWEST_FILES}", FEWEST_FILES)]
Nice = Annotated[int, _whole("a whole number from -20 to 19", -20, 19)]
OomScore = Annotated[int, _whole("a whole number from -1000 to 1000", -1000, 1000)]
Keep = Annotated[int, _whole("a whole number from 0", 0)]
_ID_SCHEMA: Schema = {"type": ["string", "integer"]}
User = Annotated[str, Scalar("a user's name or number", _read_user, _ID_SCHEMA)]
Group = Annotated[str, Scalar("a group's name or number", _read_group, _ID_SCHEMA)]
Umask = Annotated[
    int,
    Scalar(
        "three octal digits, such as 027", _read_umask, _ID_SCHEMA | {"pattern": "^0?[0-7]{3}$", "examples": ["027"]}
    ),
]
Factor = Annotated[float, _number("a number from 1 to 100", 1, 100)]
Share = Annotated[float, _number("a share from 0 to 1", 0, 1)]
Signal = Annotated[
    str,
    Scalar("a signal, such as TERM, INT, HUP", _read_signal, {"type": "string", "examples": ["TERM", "INT", "HUP"]}),
]
Prompt = Annotated[str, Scalar("a pattern", _read_prompt, {"type": "string", "format": "regex"})]
Pattern = Annotated[str, Scalar("a pattern (RE2)", str, {"type": "string"})]
LinePattern = Annotated[str, Scalar("a pattern (RE2)", _read_pattern, {"type": "string"}, is_shell=True)]
JobName = Annotated[str, Scalar("a job's name", _read_filled("a job's name"), {"type": "string"})]
Keys = Annotated[str, Scalar("keys", _read_keys, TEXT_SCHEMA)]
Address = Annotated[
    str,
    Scalar(
        "an address, such as 5432, localhost:5432",
        _read_address,
        {"type": ["integer", "string"], "examples": [5432, "localhost:5432", "[::1]:5432"]},
    ),
]
Url = Annotated[
    str,
    Scalar("a URL, such as http://localhost:8080/", _read_url, {"type": "string", "pattern": "^https?://"}),
]
Budget = Annotated[plan.Budget, Scalar("a budget, such as 3 in 10m", _read_budget, {"type": "string"})]


class OneOrMany:
    """Metadata of a list: a single item may be written without the list."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._to_list, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Schema:
        many = handler(core["schema"])
        return {"anyOf": [many["items"], many]}

    @staticmethod
    def _to_list(value: object) -> object:
        return value if isinstance(value, list) else [] if value is None else [value]


class Argv:
    """Metadata of a list of arguments: a text is taken apart as a shell would."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT_SCHEMA, "minItems": 1}]}

    noun = "text, or a list that is an argv"

    def _check(self, value: object, info: core_schema.ValidationInfo) -> tuple[str, ...]:
        surroundings: Any = info.context
        argv: list[str] = []
        if isinstance(value, str):
            try:
                argv = shlex.split(surroundings.expand(value))
            except ValueError as error:
                raise wrong(f"{shown(value)} is not an argv: {str(error).lower()}") from None
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            argv = [surroundings.expand(item) for item in value]
        if not argv or not argv[0]:
            raise wrong(f"expected {self.noun}, not {shown(value) if value else 'nothing'}")
        return tuple(argv)


class Step:
    """Metadata: a text is a line for the shell, a list is an argv."""

    noun = "shell text, or a list that is an argv"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": TEXT_SCHEMA, "minItems": 1}]}

    @staticmethod
    def _check(value: object) -> str | tuple[str, ...]:
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value) and value[0]:
            return tuple(value)
        raise wrong(f"expected {Step.noun}, not {shown(value) if value else 'nothing'}")


ShellArgv = Annotated[tuple[str, ...], Argv()]
AnyStep = Annotated[plan.Step, Step()]
