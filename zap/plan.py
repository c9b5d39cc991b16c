"""What the files say, checked and complete: every default filled in, every name resolved."""

from __future__ import annotations

from typing import Literal, NamedTuple

KIB = 1024
MIB = 1024 * KIB

Step = str | tuple[str, ...]
"""One thing to run: a string is a line for the shell, a tuple is an argv that no shell looks at."""

Restart = Literal["never", "on-failure", "always"]
MatchStream = Literal["out", "err", "any"]
Effect = Literal["none", "restarts-service", "deletes-file", "kills-process", "starts-vm", "network", "sudo"]
Mode = Literal["auto", "ask"]
Then = Literal["restart", "continue", "give-up"]
SecretKind = Literal["file", "env", "command"]


class Where(NamedTuple):
    """A place in a file, as editors count: lines and columns from 1. `file` is as the person would type it."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Command(NamedTuple):
    """One command of a job: any shell text, here-docs and several lines included."""

    text: str
    where: Where | None = None


class Backoff(NamedTuple):
    """How long to wait before the next start: `first` seconds, times `factor` after each failure, at most `most`.

    `jitter` is the share (0–1) by which a delay may be longer or shorter, so that a flock does not start in step.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 30.0
    jitter: float = 0.1


class Bound(NamedTuple):
    """What a job's buffer keeps: whichever is reached first."""

    lines: int = 6000
    bytes: int = 8 * MIB


class Stop(NamedTuple):
    """How a job is asked to end: a signal's name without SIG, and before it, when given, a shell command."""

    signal: str = "TERM"
    command: str | None = None


class Secret(NamedTuple):
    """Where a reply comes from that is never shown nor logged: a file's first line, a variable, a command's output."""

    kind: SecretKind
    source: str


class Answer(NamedTuple):
    """What to type when a job asks: `prompt` is a pattern, exactly one of `reply` and `secret` is given."""

    prompt: str
    reply: str | None = None
    secret: Secret | None = None


class Job(NamedTuple):
    """An ordered list of commands in one shell. `name` is `system/job`; `cwd` is absolute; a None in `env` unsets."""

    name: str
    title: str
    commands: tuple[Command, ...]
    cwd: str
    env: tuple[tuple[str, str | None], ...] = ()
    env_file: tuple[str, ...] = ()
    shell: tuple[str, ...] = ("/bin/sh",)
    tty: bool = True
    restart: Restart = "never"
    settle: float = 1.0
    grace: float = 10.0
    tries: int | None = 5
    backoff: Backoff = Backoff()
    success_codes: tuple[int, ...] = (0,)
    stop: Stop = Stop()
    start: bool = True
    fixups: tuple[str, ...] = ()
    buffer: Bound = Bound()
    answers: tuple[Answer, ...] = ()
    where: Where | None = None

    @property
    def system(self) -> str:
        return self.name.partition("/")[0]


class System(NamedTuple):
    """A group of jobs that belong together. With `start` false it is started only by name."""

    name: str
    jobs: tuple[Job, ...]
    start: bool = True
    where: Where | None = None


class Match(NamedTuple):
    """One way to know an error. What is given must all hold; at least one of `pattern` and `exit` is given.

    `pattern` is searched in each line (RE2 syntax, no look-around); `command` is searched in the job's commands and
    decides which jobs it is for; `exit` is the codes with which the job ended. With both, the line counts when the job
    ends so.
    """

    pattern: str | None = None
    stream: MatchStream = "any"
    command: str | None = None
    exit: tuple[int, ...] = ()


class Wait(NamedTuple):
    """What to wait for after the remedy: `seconds`, then until `probe` exits 0.

    The probe runs every `every` seconds, for at most `most` seconds; after that the fixup has failed.
    """

    seconds: float = 0.0
    probe: Step | None = None
    every: float = 1.0
    most: float = 60.0


class Budget(NamedTuple):
    """At most `times` times within any `seconds`."""

    times: int = 3
    seconds: float = 600.0


class Examples(NamedTuple):
    """Lines that the fixup must match, and near misses that it must leave alone."""

    matches: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


class Fixup(NamedTuple):
    """A known error and its remedy. `name` is the file's name without its ending; steps hold `{capture}` places."""

    name: str
    about: str
    match: tuple[Match, ...]
    run: tuple[Step, ...] = ()
    effects: tuple[Effect, ...] = ("none",)
    mode: Mode = "ask"
    then: Then = "restart"
    wait: Wait = Wait()
    verify: Step | None = None
    tries: Budget = Budget()
    examples: Examples = Examples()
    where: Where | None = None


class Plan(NamedTuple):
    """Everything that the files say. `path` is absolute; `id` tells plans apart on one machine."""

    path: str
    id: str
    systems: tuple[System, ...]
    fixups: tuple[Fixup, ...] = ()

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(job for system in self.systems for job in system.jobs)
