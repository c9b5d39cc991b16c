"""What may be written in jobs.yaml and in a fixup's file: every setting with its type, its default and its words.

The models check plain data in which every scalar is still text (see document.py and kinds.py). JSON Schema and the
reference in the docs are drawn from the same models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

from zap import commands, plan
from zap.kinds import (
    DURATION_SCHEMA,
    TEXT_SCHEMA,
    Address,
    AnyPath,
    AnyStep,
    Argument,
    Argv,
    Budget,
    Code,
    Count,
    Duration,
    Factor,
    FilePath,
    Files,
    FixupName,
    Flag,
    Group,
    HttpStatus,
    Interval,
    JobName,
    Keep,
    Keys,
    LinePattern,
    Lines,
    LogPath,
    Memory,
    Moment,
    Name,
    Nice,
    OneOrMany,
    OomScore,
    Pattern,
    Processes,
    Processors,
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
    Umask,
    Url,
    User,
    Value,
    Variable,
    choice,
    suggest,
    wrong,
)

# Models. A field that was not written is not in `model_fields_set`; its default here is for the docs to tell.

_JOB = plan.Job._field_defaults
_HEALTH = plan.Health._field_defaults
_PING = plan.Ping._field_defaults
_FIXUP = plan.Fixup._field_defaults

_Until = Literal["started", "ready", "done", "ended"]  # plan.Until, but for the line, which is a setting of its own
_By = Literal["settle", "exit", "notify"]  # plan.Sign, but for those that are settings of their own


def _setting(description: str, default: object = None, *, written: str | None = None) -> Any:
    """`written` is what the setting is called in the file, where Python's name for it is another one."""
    if default is None:
        return Field(default_factory=lambda: None, description=description, alias=written)
    return Field(default, description=description, alias=written)


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
        """What was written, by the names that the plan has for it."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def settings(cls) -> dict[str, FieldInfo]:
        """What may be written, by the names that it has in the file."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


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
    """How a job is asked to end: `command` is run, `keys` are typed, then the signals are sent, one after the other.
    Keys and signals share the job's `grace` equally; KILL ends what has outlived it. A signal's name alone, or a list
    of them, is `signal`.
    """

    noun = "a signal, a list of signals or a mapping"
    short_forms = [
        {"type": "string", "examples": ["TERM", "INT", "HUP"]},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]

    signal: Annotated[list[Signal], OneOrMany()] = _setting(
        "The signals for everything that belongs to the job, with or without `SIG`.", plan.Stop().signals[0]
    )
    command: ShellText = _setting("Shell text that is run before anything is typed or sent.")
    keys: Keys = _setting(
        'What is typed into the job before a signal is sent; in double quotes `"\\x03"` is Ctrl+C, `"\\r"` is Enter.'
    )

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"signal": value} if isinstance(value, str | list) else value

    @model_validator(mode="after")
    def _check(self) -> Stop:
        if "signal" in self.model_fields_set and not self.signal:
            raise wrong("there is no signal — write such as TERM")
        return self

    def word(self) -> plan.Stop:
        given = self.given()
        if "signal" in given:
            given["signals"] = tuple(given.pop("signal"))
        return plan.Stop(**given)


class Need(Model):
    """A job that must be up first. A name alone is `job`."""

    noun = "a job's name or a mapping"
    short_forms = [{"type": "string"}]

    job: JobName = _needed("A job of the same system by its name alone, any other as `system/job`.")
    until: Annotated[_Until, choice(_Until)] = _setting(
        "What it must have come to: `started` (it lives, or is done), `ready` (or done), `done` (it ended well) or "
        "`ended` (well or not).",
        plan.Need("").until,
        written="for",
    )
    line: LinePattern = _setting(
        "Instead of `for`: a pattern (RE2) of a line that it must have printed since its last start."
    )
    is_optional: Flag = _setting(
        "Whether it is not started for this job's sake, and is waited for only while it is on its way.",
        plan.Need("").is_optional,
        written="optional",
    )
    follow: Flag = _setting(
        "Whether this job goes down when the other one does, and comes up after it.", plan.Need("").follow
    )

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"job": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Need:
        if {"until", "line"} <= self.model_fields_set:
            raise wrong("a need has either line or for, not both")
        return self

    def word(self, job: str) -> plan.Need:
        """`job` is the full name of the one that is needed."""
        until: dict[str, plan.Until] = {"until": "line"} if self.line else {}
        return plan.Need(**self.given() | {"job": job} | until)


class Probe(Model):
    """A question whether a job is well: exactly one of tcp, http, command, file."""

    tcp: Address = _setting("A port, or `host:port`, to which somebody must listen; without a host it is `localhost`.")
    http: Url = _setting("A URL that must answer with `status`.")
    command: ShellText = _setting("Shell text that must exit 0, run as the job is.")
    file: AnyPath = _setting("A file or folder that must be there. Relative to the plan's folder.")
    status: Annotated[list[HttpStatus], OneOrMany()] = _setting(
        "Only for `http`: the statuses that are right. Absent: 200 to 399."
    )

    @field_validator("status")
    @classmethod
    def _is_for_http(cls, value: Any, info: ValidationInfo) -> Any:
        if not _is_any_written(("http",), info):
            raise wrong("is only for http")
        return value

    def probe(self) -> plan.Probe:
        given = self.given()
        if self.status:
            given["status"] = tuple(self.status)
        return plan.Probe(**{name: given[name] for name in plan.Probe._fields if name in given})


_PROBES = ("tcp", "http", "command", "file")


def _is_any_written(names: Iterable[str], info: ValidationInfo) -> bool:
    """Whether one of these settings, which must stand above in the model, was written; also when it is not right."""
    return any(info.data.get(name, name) is not None for name in names)


class Ready(Probe):
    """By what sign a job is known to be ready: exactly one of by, line, tcp, http, command, file. `settle`, `exit` or
    `notify` alone is `by`.
    """

    noun = "one of settle, exit, notify, or a mapping"
    short_forms = [{"enum": ["settle", "exit", "notify"]}]

    by: Annotated[_By, choice(_By)] = _setting(
        "`settle`: it has lived for its settle time. `exit`: it has ended well. `notify`: it tells so (sd_notify(3)).",
        plan.Ready().by,
    )
    line: LinePattern = _setting("A pattern (RE2) of a line that it prints.")
    every: Interval = _setting("Only for a probe: seconds from one to the next.", plan.Ready().every)
    timeout: Moment = _setting("Only for a probe: one that takes longer has failed.", plan.Ready().timeout)
    passes: Count = _setting("Only for a probe: how many in a row must go well.", plan.Ready().passes)
    within: Moment = _setting(
        "A job that is not ready by then is ended, and has failed; it is started again even with `restart: never`. "
        "Absent: it has for ever."
    )

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"by": value} if isinstance(value, str) else value

    @field_validator("every", "timeout", "passes")
    @classmethod
    def _is_for_probes(cls, value: Any, info: ValidationInfo) -> Any:
        if not _is_any_written(_PROBES, info):
            raise wrong(f"is only for {', '.join(_PROBES)}")
        return value

    @model_validator(mode="after")
    def _check(self) -> Ready:
        _check_one("a sign", ("by", "line", *_PROBES), self)
        return self

    def word(self) -> plan.Ready:
        given = self.given()
        sign: plan.Sign = "line" if self.line else given.get("by", "probe")
        others = {name: value for name, value in given.items() if name in plan.Ready._fields}
        return plan.Ready(**others | {"by": sign, "probe": self.probe() if sign == "probe" else None})


_TIMEOUT = "One that takes longer has failed."
_FAILS = (
    "How many must fail in a row for the job to be ended and to have failed; it is started again even with "
    "`restart: never`."
)


class Health(Probe):
    """A probe of a job that is ready: exactly one of tcp, http, command, file."""

    every: Interval = _setting("Seconds from one to the next.", _HEALTH["every"])
    timeout: Moment = _setting(_TIMEOUT, _HEALTH["timeout"])
    fails: Count = _setting(_FAILS, _HEALTH["fails"])

    @model_validator(mode="after")
    def _check(self) -> Health:
        _check_one("a probe", _PROBES, self)
        return self

    def word(self) -> plan.Health:
        others = {name: value for name, value in self.given().items() if name in plan.Health._fields}
        return plan.Health(probe=self.probe(), **others)


class Ping(Model):
    """A sign of life that is asked for when a job is silent: exactly one of command, send."""

    after: Moment = _needed("How long it is silent first.")
    command: ShellText = _setting("Shell text that must exit 0, run as the job is.")
    send: Text = _setting("A line that is typed into the job, which must say something then.")
    timeout: Moment = _setting(_TIMEOUT, _PING["timeout"])
    fails: Count = _setting(_FAILS, _PING["fails"])

    @model_validator(mode="after")
    def _check(self) -> Ping:
        _check_one("a ping", ("command", "send"), self)
        return self

    def word(self) -> plan.Ping:
        return plan.Ping(**self.given())


def _check_one(noun: str, names: Sequence[str], model: Model) -> None:
    if len(model.model_fields_set.intersection(names)) != 1:
        raise wrong(f"{noun} is exactly one of {', '.join(names)}")


class Hooks(Model):
    """Shell text that is run around a job's life, as the job is, but in a shell of its own."""

    before_start: ShellText = _setting("It must end well, or the job cannot start.")
    after_start: ShellText = _setting("When the job is ready.")
    before_stop: ShellText = _setting("Before the job is asked to end.")
    after_stop: ShellText = _setting(
        "When all that belonged to the job has ended, whatever the cause, and before it starts again. `ZAP_EXIT` is "
        "its exit code, or the signal that killed it. It has so long as the grace, and is left out when somebody "
        "does not want to wait."
    )

    def word(self) -> plan.Hooks:
        return plan.Hooks(**self.given())


class Limits(Model):
    """What a job and all that it starts may use: its commands, not its hooks, probes and remedies. `zap doctor` says
    how far they can be held on this machine.
    """

    memory: Memory = _setting(
        "Together, with what is swapped; who wants more is killed by the system. At least `1M`. Where there are no "
        "control groups, each process may have so much data, and who wants more is told that there is none."
    )
    cpu: Processors = _setting("Processors together: `0.5` is half of one. Only where there are control groups.")
    pids: Processes = _setting(
        "Processes and threads together, two at least. Where there are no control groups, the user may have so many "
        "more than when the job is started, and for root there is no limit."
    )
    files: Files = _setting("Open files of each process; more than zap itself may have are for root.")
    nice: Nice = _setting("How nice it is to others when the processor is busy, up to 19; below 0 is for root.")
    oom_score: OomScore = _setting(
        "How soon it is killed when the machine is out of memory: 1000 first, -1000 never. Below zap's own is for root."
    )

    def word(self) -> plan.Limits:
        return plan.Limits(**self.given())


class Log(Model):
    """A file that gets everything that the job says. A path alone is `file`."""

    noun = "a file's path or a mapping"
    short_forms = [{"type": "string"}]

    file: LogPath = _needed(
        "The file, relative to the job's folder; `{system}` and `{job}` in it are the names of these. No two jobs have "
        "the same one."
    )
    size: Size = _setting("When it has as many bytes, it is put away, and a new one is begun.", "10MiB")
    keep: Keep = _setting("How many old ones are kept.", plan.Log("").keep)
    compress: Flag = _setting("Whether old ones are compressed (gzip).", plan.Log("").compress)

    @classmethod
    def from_short(cls, value: Any) -> object:
        return {"file": value} if isinstance(value, str) else value

    def word(self) -> plan.Log:
        return plan.Log(**self.given())


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
    settle: Duration = _setting(
        "A job that has run so long counts as healthy again, and as ready, unless `ready` tells another sign.",
        _JOB["settle"],
    )
    grace: Duration = _setting(
        "Seconds from when the job is asked to end, by its hook, its stop command, keys or a signal, to KILL.",
        _JOB["grace"],
    )
    tries: Tries = _setting(
        "Restarts in a row before the job has failed, or `unlimited`. Healthy uptime refills them.", _JOB["tries"]
    )
    backoff: Backoff = _setting("How long to wait before the next start.")
    success_codes: Annotated[list[Code], OneOrMany()] = _setting("The exit codes that count as success.", 0)
    stop: Stop = _setting("How the job is asked to end.", plan.Stop().signals[0])
    buffer: Buffer = _setting("What is kept of the output.")
    answers: Annotated[list[Answer], OneOrMany()] = _setting("What to type when the job asks.")
    when_need_fails: Annotated[plan.WhenNeedFails, choice(plan.WhenNeedFails)] = _setting(
        "What follows when a job that is needed is at rest and not what it should be: `wait` until it is, or `skip` "
        "this start. `stop` is as `skip`, and a job that is up already goes down when one that it needs has failed.",
        _JOB["when_need_fails"],
        written="when-need-fails",
    )
    ready: Ready = _setting("By what sign the job is known to be ready.", plan.Ready().by)
    hooks: Hooks = _setting("What is run around the job's life.")
    limits: Limits = _setting("What the job may use.")
    user: User = _setting(
        "Whom the job runs as, with its hooks, probes and remedies; only root can start it as somebody else. `HOME`, "
        "`USER`, `LOGNAME` and `SHELL` are that user's. Absent: as zap runs."
    )
    group: Group = _setting("The group that the job runs in. Absent: that of the user.")
    umask: Umask = _setting("The rights that new files do not have. Absent: zap's own.")
    private_tmp: Flag = _setting(
        "Whether it has a `/tmp` and a `/var/tmp` of its own, in memory, which are empty at each start. Its hooks and "
        "its probes by `command` see them too, while it lives.",
        _JOB["private_tmp"],
    )
    network: Annotated[plan.Network, choice(plan.Network)] = _setting(
        "`host`: that of the machine. `none`: only a loopback of its own. Its hooks and its probes by `command` share "
        "it while it lives; else they, as remedies, have one like it.",
        _JOB["network"],
    )
    log: Log = _setting("A file that gets everything that the job says.")


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
    needs: Annotated[list[Need], OneOrMany()] = _setting(
        "The jobs that must be up first. Needs must not go in a circle, optional ones too."
    )
    health: Health = _setting("How it is known that the job is well while it is ready.")
    ping: Ping = _setting("What to do when the job is silent.")
    watchdog: Moment = _setting(
        "The most seconds between two signs of life that the job gives by itself (sd_watchdog_enabled(3)); without one "
        "it is ended, and has failed. It is started again even with `restart: never`."
    )

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
        settings = [key for key in value if key in cls.settings()]
        others = [key for key in value if key not in settings]
        if not settings:
            for name, job in value.items():
                if job in ("true", "false") and (hint := suggest(name, cls.settings())):
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
    watch_plan: Flag = _setting(
        "Whether a runner in the background reloads the plan when its files change.",
        plan.Plan._field_defaults["is_watched"],
        written="watch-plan",
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
    (
        "jobs.yaml",
        (
            *(File, System, Job, Need, Health, Ping, Defaults),
            *(Backoff, Stop, Ready, Hooks, Limits, Buffer, Log, Answer, Secret),
        ),
    ),
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
  where the shell does it with the job's own environment, and the patterns of lines; `$${` is a plain `${`. Nothing is
  filled in in a fixup's file.
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
    for name, field in model.settings().items():
        if model is Job and name in Defaults.settings():
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
