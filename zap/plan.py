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
Until = Literal["started", "ready", "done", "ended", "line"]
WhenNeedFails = Literal["wait", "skip", "stop"]
Sign = Literal["settle", "exit", "line", "notify", "probe"]
Network = Literal["host", "none"]


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
    """How a job is asked to end: by signals, named without SIG, one after the other, until KILL.

    Before them, when given, a shell command is run, or `keys` are typed. Keys and signals share the grace equally.
    """

    signals: tuple[str, ...] = ("TERM",)
    command: str | None = None
    keys: str | None = None


class Need(NamedTuple):
    """A job that another one waits for (by its full name), and until when.

    started: it lives, or is done. ready: it is ready, or done. done: it ended well. ended: it ended. line: since its
    last start it has printed a line that `line` matches (RE2), and has not failed. An optional need is not started for
    the other's sake, and is waited for only while it is on its way. With `follow` the other one goes down when it does,
    and comes up after it.
    """

    job: str
    until: Until = "ready"
    line: str | None = None
    is_optional: bool = False
    follow: bool = False


class Probe(NamedTuple):
    """A question whether a job is well; exactly one of the first four is given.

    `tcp` is `host:port`, to which somebody must listen. `http` is a URL that must answer with one of `status`, or when
    there is none, with 200 to 399. `command` is shell text that must exit 0, run as the job is. `file` is an absolute
    path, which must be there.
    """

    tcp: str | None = None
    http: str | None = None
    command: str | None = None
    file: str | None = None
    status: tuple[int, ...] = ()

    def __str__(self) -> str:
        kind, what = next((kind, what) for kind, what in zip(self._fields, self[:4], strict=False) if what is not None)
        return f"{kind} {what}"


class Ready(NamedTuple):
    """By what sign a job is known to be ready: it has lived for its settle time, exited well, printed a line, told so
    (sd_notify(3)), or `passes` probes in a row went well.

    A probe is begun `every` seconds after the one before, and fails when it takes longer than `timeout`. A job that is
    not ready `within` so many seconds is ended, and has failed.
    """

    by: Sign = "settle"
    line: str | None = None
    probe: Probe | None = None
    every: float = 1.0
    timeout: float = 5.0
    passes: int = 1
    within: float | None = None


class Health(NamedTuple):
    """A probe of a job that is ready: `fails` failures in a row end it, and it has failed."""

    probe: Probe
    every: float = 10.0
    timeout: float = 5.0
    fails: int = 3


class Ping(NamedTuple):
    """A sign of life that is asked for when a job was silent for `after` seconds: exactly one of the next two is given.

    `command` is shell text that must exit 0 within `timeout`; `send` is a line that is typed into the job, which must
    say something within `timeout`. `fails` failures in a row end the job, and it has failed.
    """

    after: float
    command: str | None = None
    send: str | None = None
    timeout: float = 10.0
    fails: int = 3


class Hooks(NamedTuple):
    """Shell text that is run around a job's life, as the job is, but in shells of its own.

    `before_start` must end well, or the job cannot start; `after_start` is run when it is ready, `before_stop` before
    it is asked to end, and `after_stop` when all that belonged to it has ended, whatever the cause, before it starts
    again; there ZAP_EXIT is its exit code, or the signal that killed it. Who hurries does without it.
    """

    before_start: str | None = None
    after_start: str | None = None
    before_stop: str | None = None
    after_stop: str | None = None


class Limits(NamedTuple):
    """What a job and all its family may use together; None is no limit of ours.

    `memory` is in bytes, `cpu` in processors (1.5 is one and a half), `pids` counts processes and threads. They hold
    for the family as a whole where there are control groups, and for each process by itself where there are none.
    `files` is the most open files of each process, `nice` from -20 to 19, `oom_score` from -1000 to 1000 (proc(5),
    oom_score_adj).
    """

    memory: int | None = None
    cpu: float | None = None
    pids: int | None = None
    files: int | None = None
    nice: int | None = None
    oom_score: int | None = None


class Log(NamedTuple):
    """A file that gets everything that a job says; `file` is absolute.

    It is put away when it has `size` bytes, and `keep` old ones are kept, with `compress` as gzip.
    """

    file: str
    size: int = 10 * MIB
    keep: int = 5
    compress: bool = True


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
    """An ordered list of commands in one shell. `name` is `system/job`; `cwd` is absolute; a None in `env` unsets.

    `watchdog` is the most seconds between two signs of life that it gives by itself (sd_watchdog_enabled(3)). `user`
    and `group` are names or numbers, None for our own. With `private_tmp` its /tmp and /var/tmp are its own, and empty.
    """

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
    needs: tuple[Need, ...] = ()
    when_need_fails: WhenNeedFails = "wait"
    ready: Ready = Ready()
    health: Health | None = None
    ping: Ping | None = None
    watchdog: float | None = None
    hooks: Hooks = Hooks()
    limits: Limits = Limits()
    user: str | None = None
    group: str | None = None
    umask: int | None = None
    private_tmp: bool = False
    network: Network = "host"
    log: Log | None = None
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
    """Everything that the files say. `path` is absolute; `id` tells plans apart on one machine.

    With `is_watched` a runner in the background reloads it when it changes.
    """

    path: str
    id: str
    systems: tuple[System, ...]
    fixups: tuple[Fixup, ...] = ()
    is_watched: bool = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(job for system in self.systems for job in system.jobs)
