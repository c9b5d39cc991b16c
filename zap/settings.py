"""What may be written in jobs.yaml and in a fixup's file: every setting with its type, its default and its words.

The models check plain data in which every scalar is still text (see document.py and kinds.py). JSON Schema and the
reference in the docs are drawn from the same models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from zap import commands, plan
from zap.kinds import (
    DURATION_SCHEMA,
    TEXT_SCHEMA,
    AnyPath,
    AnyStep,
    Argument,
    Argv,
    Budget,
    Code,
    Duration,
    Factor,
    FilePath,
    FixupName,
    Flag,
    Lines,
    Name,
    OneOrMany,
    Pattern,
    Prompt,
    Scalar,
    Schema,
    Share,
    ShellArgv,
    ShellText,
    Signal,
    Size,
    Step,
    Text,
    Tries,
    Value,
    Variable,
    choice,
    suggest,
    wrong,
)

# Models. A field that was not written is not in `model_fields_set`; its default here is for the docs to tell.

_JOB = plan.Job._field_defaults
_FIXUP = plan.Fixup._field_defaults


def _setting(description: str, default: object = None) -> Any:
    if default is None:
        return Field(default_factory=lambda: None, description=description)
    return Field(default, description=description)


def _needed(description: str) -> Any:
    return Field(description=description)


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    noun: ClassVar[str] = "a mapping"
    short_forms: ClassVar[list[Schema]] = []  # what may stand for the mapping

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: object) -> object:
        return {} if value is None else cls.from_short(value)

    @classmethod
    def from_short(cls, value: Any) -> object:
        """The mapping that a short form stands for; anything else as it is."""
        return value

    def given(self) -> dict[str, Any]:
        """What was written, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Backoff(Model):
    """How long to wait before the next start. A duration alone is `first`."""

    noun = "a duration or a mapping"
    short_forms = [DURATION_SCHEMA]

    first: Duration = _setting("The first delay. 0 restarts at once.", plan.Backoff().first)
    factor: Factor = _setting("The delay is multiplied by this after each failure.", plan.Backoff().factor)
    most: Duration = _setting("The longest delay; never below `first`.", plan.Backoff().most)
    jitter: Share = _setting(
        "The share by which a delay may be longer or shorter, so that many jobs do not start in step.",
        plan.Backoff().jitter,
    )

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"first": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Backoff:
        if "most" in self.model_fields_set and self.most < self.first:
            raise wrong("most is less than first")
        return self

    def word(self) -> plan.Backoff:
        backoff = plan.Backoff(**self.given())
        return backoff._replace(most=max(backoff.first, backoff.most))


class Buffer(Model):
    """What is kept of a job's output: whichever bound is reached first."""

    lines: Lines = _setting("The most lines.", plan.Bound().lines)
    bytes: Size = _setting(
        "The most bytes: a number, or such as `512k`, `8MiB` (k, M and G are powers of 1024).", "8MiB"
    )

    def word(self) -> plan.Bound:
        return plan.Bound(**self.given())


class Stop(Model):
    """How a job is asked to end. A signal's name alone is `signal`."""

    noun = "a signal or a mapping"
    short_forms = [{"type": "string", "examples": ["TERM", "INT", "HUP"]}]

    signal: Signal = _setting(
        "The signal for everything that belongs to the job, with or without `SIG`.", plan.Stop().signal
    )
    command: ShellText = _setting("Shell text that is run before the signal is sent.")

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"signal": value} if isinstance(value, str) else value

    def word(self) -> plan.Stop:
        return plan.Stop(**self.given())


class Secret(Model):
    """Where a reply comes from that is never shown nor logged: exactly one of these."""

    file: AnyPath = _setting("A file; its first line is the reply. Relative to the plan's folder.")
    env: Variable = _setting("A variable of zap's own environment.")
    command: ShellText = _setting("Shell text; the first line of its output is the reply.")

    @model_validator(mode="after")
    def _check(self) -> Secret:
        if len(self.model_fields_set) != 1:
            raise wrong("a secret is exactly one of file, env, command")
        return self

    def word(self) -> plan.Secret:
        [(kind, source)] = self.given().items()
        return plan.Secret(kind, source)  # type: ignore[arg-type]


class Answer(Model):
    """What to type when a job asks: `reply` or `secret`."""

    prompt: Prompt = _needed("A pattern (Python's `re`) that the question matches.")
    reply: Text = _setting("What to type.")
    secret: Secret = _setting("Where the reply comes from when nobody may see it.")

    @model_validator(mode="after")
    def _check(self) -> Answer:
        if ("reply" in self.model_fields_set) == ("secret" in self.model_fields_set):
            raise wrong("an answer has a prompt and either a reply or a secret")
        return self

    def word(self) -> plan.Answer:
        return plan.Answer(**self.given() | ({"secret": self.secret.word()} if self.secret else {}))


def _to_mapping(value: object) -> object:
    return {} if value is None else value


class Defaults(Model):
    """Settings for all jobs of a file or of a system. A job's own come first, then its system's, then the file's;
    `env` is merged variable by variable, anything else is replaced.
    """

    cwd: AnyPath = _setting("The folder to run in, relative to the plan's folder; `~/…` is in the home folder.", ".")
    env: Annotated[dict[Variable, Value], BeforeValidator(_to_mapping)] = _setting(
        "Environment variables, on top of zap's own environment; null unsets one."
    )
    env_file: Annotated[list[FilePath], OneOrMany()] = _setting(
        "Files of `NAME=value` lines, relative to the plan's folder, the later over the earlier and `env` over all."
    )
    shell: ShellArgv = _setting("The shell that runs the commands.", "/bin/sh")
    tty: Flag = _setting(
        "Whether the job has a terminal: colours, output line by line, and it can be typed to. Without one it has "
        "pipes, which carry far more output.",
        _JOB["tty"],
    )
    restart: Annotated[plan.Restart, choice(plan.Restart)] = _setting(
        "When an ended job is started again.", _JOB["restart"]
    )
    settle: Duration = _setting("A job that has run so long counts as ready, and as healthy again.", _JOB["settle"])
    grace: Duration = _setting("Seconds from the stop signal to KILL.", _JOB["grace"])
    tries: Tries = _setting(
        "Restarts in a row before the job has failed, or `unlimited`. Healthy uptime refills them.", _JOB["tries"]
    )
    backoff: Backoff = _setting("How long to wait before the next start.")
    success_codes: Annotated[list[Code], OneOrMany()] = _setting("The exit codes that count as success.", 0)
    stop: Stop = _setting("How the job is asked to end.", plan.Stop().signal)
    buffer: Buffer = _setting("What is kept of the output.")
    answers: Annotated[list[Answer], OneOrMany()] = _setting("What to type when the job asks.")


Fixups = Annotated[list[FixupName], OneOrMany()]
_FIXUPS = "names, files or folders (with a slash, relative to the plan's folder), or `off`"


class Job(Defaults):
    """An ordered list of commands in one shell, each started when the one before it has ended well. A text alone, or a
    list, is `commands`.
    """

    noun = "a command, a list of commands or a mapping"
    short_forms = [{"type": "string"}, {"type": "array", "items": TEXT_SCHEMA, "minItems": 1}]

    commands: Annotated[list[ShellText], OneOrMany()] = _needed(
        "Shell text. An item of a list is one command. A text of several lines (`|`) is one command per line, but "
        "lines that belong together stay together: open quotes, here-docs, a trailing `\\`, `|`, `&&` or `||`, and "
        "everything from `if`, `for`, `while`, `until`, `case`, `{` or `(` to its end."
    )
    title: Text = _setting("What people see; derived from the commands when absent.")
    start: Flag = _setting("Whether the job is started with its system; else it is started by name.", _JOB["start"])
    fixups: Fixups = _setting(f"The fixups that are armed: {_FIXUPS}.")

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"commands": value} if isinstance(value, str | list) else value

    @model_validator(mode="after")
    def _check(self) -> Job:
        if not any(commands.split(text) for text in self.commands):
            raise wrong("has no commands")
        return self


class System(Model):
    """A group of jobs. The short form is a mapping of job names to jobs. With any of these keys it is the long form,
    and the jobs are below `jobs` (so a job that is called `start` needs the long form).
    """

    noun = "a mapping of jobs"
    short_forms = [{"type": "object", "additionalProperties": {"$ref": "#/$defs/Job"}}]

    jobs: Annotated[dict[Name, Job], BeforeValidator(_to_mapping)] = _needed("Job names and their jobs.")
    start: Flag = _setting("Whether it is started when nothing is named; else it is started by name.", True)
    defaults: Defaults = _setting("Settings for all its jobs.")
    fixups: Fixups = _setting(f"The fixups that are armed in this system: {_FIXUPS}.")

    @classmethod
    def from_short(cls, value: Any) -> object:
        if not isinstance(value, dict) or "jobs" in value:
            return value
        settings = [key for key in value if key in cls.model_fields]
        others = [key for key in value if key not in settings]
        if not settings:
            for name, job in value.items():
                if job in ("true", "false") and (hint := suggest(name, cls.model_fields)):
                    raise wrong(f'"{name}: {job}" would be a job with the command {job}{hint}')
            return {"jobs": value} if value else {}
        if others:
            raise wrong(
                f'"{settings[0]}" is a setting of the system, so its jobs belong below "jobs:" — '
                f"move {', '.join(others[:3])}{' …' if others[3:] else ''} there"
            )
        return value

    @model_validator(mode="after")
    def _check(self) -> System:
        if not self.jobs:
            raise wrong("has no jobs")
        return self


class File(Model):
    """A plan. Other keys may stand here when they begin with `x-`: a place for anchors."""

    systems: Annotated[dict[Name, System], BeforeValidator(_to_mapping)] = _needed("System names and their systems.")
    defaults: Defaults = _setting("Settings for all jobs.")
    fixups: Fixups = _setting(
        f"The fixups that are armed: {_FIXUPS}. Absent: the bundled ones, and those in `fixups/` beside the plan. "
        "The nearest says it: the job, its system, the file."
    )

    @classmethod
    def from_short(cls, value: Any) -> object:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if not key.startswith("x-")}

    @model_validator(mode="after")
    def _check(self) -> File:
        if not self.systems:
            raise wrong("there are no systems")
        return self


# A fixup's file. Nothing in it is expanded: what looks like a variable is the shell's, or text that a program printed.


class Match(Model):
    """One way to know the error; what is given must all hold."""

    pattern: Pattern = _setting(
        "Searched in each line (RE2: no look-around, no back-references); its groups are captures."
    )
    stream: Annotated[plan.MatchStream, choice(plan.MatchStream)] = _setting("Which output it is searched in.", "any")
    command: Pattern = _setting("Searched in the job's commands: only such jobs are meant.")
    exit: Annotated[list[Code], OneOrMany()] = _setting("The codes with which the job ended.")

    def word(self) -> plan.Match:
        return plan.Match(**self.given() | ({"exit": tuple(self.exit)} if self.exit else {}))


class Wait(Model):
    """What to wait for after the remedy. A duration alone is `seconds`, a step alone is `probe`."""

    noun = "a duration, a step or a mapping"
    short_forms = [DURATION_SCHEMA, {"type": "string"}, {"type": "array", "items": TEXT_SCHEMA}]

    seconds: Duration = _setting("So long at least.", plan.Wait().seconds)
    probe: AnyStep = _setting("Then until this step ends with exit code 0.")
    every: Duration = _setting("How often the probe is run.", plan.Wait().every)
    most: Duration = _setting("How long at most; after that the fixup has failed.", plan.Wait().most)

    @classmethod
    def from_short(cls, value: Any) -> object:
        if isinstance(value, str):
            return {"seconds" if re.match(r"[\d.-]", value) else "probe": value}
        return {"probe": value} if isinstance(value, list) else value

    def word(self) -> plan.Wait:
        return plan.Wait(**self.given())


class Examples(Model):
    """What the fixup must know and what it must leave alone; `zap fixups test` tries them."""

    matches: Annotated[list[Argument], OneOrMany()] = _setting("Lines as the real program prints them.")
    ignores: Annotated[list[Argument], OneOrMany()] = _setting("Near misses.")

    def word(self) -> plan.Examples:
        return plan.Examples(**{name: tuple(lines) for name, lines in self.given().items()})


class Fixup(Model):
    """A known error and its remedy, one file each; the file's name is the fixup's. Steps hold `{capture}` places; a
    text is a line for the shell, a list is an argv.
    """

    about: Text = _needed("What is wrong and what is done about it, for people.")
    match: Annotated[list[Match], OneOrMany()] = _needed("One way to know the error, or a list of them.")
    effects: Annotated[list[Annotated[plan.Effect, choice(plan.Effect)]], OneOrMany()] = _setting(
        "What the remedy does to the machine.", "none"
    )
    mode: Annotated[plan.Mode, choice(plan.Mode)] = _setting(
        "`auto` runs by itself, `ask` wants approval first.", _FIXUP["mode"]
    )
    run: Annotated[list[AnyStep], OneOrMany()] = _setting(
        "The remedy, step by step; nothing, when people are only told."
    )
    then: Annotated[plan.Then, choice(plan.Then)] = _setting("What happens with the job afterwards.", _FIXUP["then"])
    wait: Wait = _setting("What to wait for after the remedy.")
    verify: AnyStep = _setting("A step that ends with exit code 0 when the remedy has helped.")
    tries: Budget = _setting("At most so often in so long.", "3 in 10m")
    examples: Examples = _setting("Lines that try the fixup.")

    def word(self, name: str, where: plan.Where) -> plan.Fixup:
        given = self.given()
        for key in ("wait", "examples"):
            if key in given:
                given[key] = given[key].word()
        given["match"] = tuple(match.word() for match in self.match)
        for key in ("effects", "run"):
            if key in given:
                given[key] = tuple(given[key])
        return plan.Fixup(name=name, where=where, **given)


# What is drawn from the models.

_TITLE = "A plan for zap"
_CHAPTERS: tuple[tuple[str, tuple[type[Model], ...]], ...] = (
    ("jobs.yaml", (File, System, Job, Defaults, Backoff, Stop, Buffer, Answer, Secret)),
    ("A fixup's file", (Fixup, Match, Wait, Examples)),
)
MODELS = {model.__name__: model for _, models in _CHAPTERS for model in models}

_INTRODUCTION = """\
# Settings

Made from the types in `zap/settings.py` by `zap.settings.reference()`.

- A text is what was written: `010`, `on`, `1:30` and `8080` stay as they are; only a plain `null`, `~` or nothing is
  null.
- A duration is a number of seconds, or such as `500ms`, `10s`, `2m`, `1h30m`, `1d`.
- `${NAME}` and `${NAME:-default}` are filled in from zap's environment, in every value of jobs.yaml but shell text,
  where the shell does it with the job's own environment; `$${` is a plain `${`. Nothing is filled in in a fixup's file.
- Names of systems and jobs are made of letters, digits, dots, dashes and underscores; a job's full name is
  `system/job`.
- Anchors, aliases and `<<` work as usual.
"""


def schema() -> Schema:
    """JSON Schema of jobs.yaml, for editors."""
    drawn = File.model_json_schema()
    _tidy(drawn)
    for name, part in drawn["$defs"].items():
        if short_forms := MODELS[name].short_forms:
            drawn["$defs"][name] = {"anyOf": [*short_forms, part]}
    drawn["patternProperties"] = {"^x-": {}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _TITLE, **drawn}


def _tidy(part: object) -> None:
    """Drops pydantic's titles, which only repeat the keys (a setting called `title` is no text and stays)."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        if isinstance(part.get("description"), str):
            part["description"] = " ".join(part["description"].split())
        for item in part.values():
            _tidy(item)
    elif isinstance(part, list):
        for item in part:
            _tidy(item)


def reference() -> str:
    """Markdown of docs/settings.md."""
    parts = [_INTRODUCTION]
    for chapter, models in _CHAPTERS:
        parts.append(f"## {chapter}\n")
        parts += [_describe(model) for model in models]
    return "\n".join(parts)


def _describe(model: type[Model]) -> str:
    lines = [f"### {model.__name__}", "", " ".join((model.__doc__ or "").split()), ""]
    if model is Job:
        lines += ["Everything that [defaults](#defaults) may hold, and:", ""]
    lines += ["| setting | value | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if model is Job and name in Defaults.model_fields:
            continue
        noun = _noun(field.annotation, field.metadata).replace("|", "\\|")
        description = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{name}` | {noun} | {_default(field)} | {description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    match field.default:
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case int() | float() | str() as value:
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case _:
            return ""


def _noun(annotation: Any, metadata: Sequence[object] = ()) -> str:
    arguments = get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _noun(arguments[0], annotation.__metadata__)
    if noun := next((kind.noun for kind in metadata if isinstance(kind, Scalar | Argv | Step)), None):
        return noun
    if get_origin(annotation) is list:
        return (
            f"{_noun(arguments[0])}; one or a list"
            if any(isinstance(kind, OneOrMany) for kind in metadata)
            else "a list"
        )
    if get_origin(annotation) is dict:
        return f"a mapping: {_noun(arguments[0])} → {_noun(arguments[1])}"
    return f"[{annotation.__name__.lower()}](#{annotation.__name__.lower()})"
