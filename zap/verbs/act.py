"""`zap signal`, `zap send`, `zap fix`, `zap pause`, `zap resume`: something is done to jobs that live."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence

from zap import dial
from zap.choice import among
from zap.errors import ZapError
from zap.frame import Plain
from zap.verbs import reach, usage

PIECE = 64 * 1024  # letters of one call, which as JSON are at most twelve bytes each
DONE = "0 when the runner took it"


def register(subparsers: usage.Subparsers) -> None:
    signalling = usage.add(subparsers, "signal", "send a signal to jobs", run_signal, DONE)
    signalling.add_argument("signal", metavar="SIGNAL", help="by name or number: HUP, SIGHUP, 1")
    signalling.add_argument("names", nargs="+", metavar=usage.NAMES, help="to everything that belongs to these")
    usage.add_json(signalling, "the signal, and the jobs that were sent it")

    pausing = usage.add(subparsers, "pause", "let jobs stand still, as they are", run_pause, DONE)
    resuming = usage.add(subparsers, "resume", "let jobs go on that were paused", run_resume, DONE)
    for parser in (pausing, resuming):
        parser.add_argument("names", nargs="+", metavar=usage.NAMES, help="which; of a system, those that live")
        usage.add_json(parser, "a job as `zap ps` tells it")

    sending = usage.add(subparsers, "send", "type to a job", run_send, DONE)
    sending.add_argument("job", metavar=usage.JOB, help="whom to")
    sending.add_argument("text", metavar="TEXT", help="what; - is standard input")
    sending.add_argument("-n", "--no-newline", action="store_true", help="do not end it with a newline")
    usage.add_json(sending, "the job, and how many letters it was sent")

    fixing = usage.add(
        subparsers, "fix", "run a fixup for a job", run_fix, "0 when it has helped, 1 when it has failed; 0 for --list"
    )
    fixing.add_argument("job", metavar=usage.JOB, help="for whom")
    fixing.add_argument("fixup", nargs="?", metavar="FIXUP", help="which (default: the one that wants approval)")
    fixing.add_argument("--list", action="store_true", help="only show what can be run, and what wants approval")
    fixing.add_argument("--no-wait", action="store_true", help="return when it has been taken on")
    usage.add_json(fixing, "an event of the fixup; with --list a fixup")


def run_signal(arguments: argparse.Namespace) -> int:
    """Sends a signal to every process that belongs to these jobs; of a system, to those that live."""
    name = _signal(arguments.signal)
    jobs = _living(reach.rows(arguments), arguments.names)
    with reach.runner(arguments) as line:
        line.ask("signal", jobs=jobs, signal=name)
    if arguments.json:
        reach.tell({"signal": name, "jobs": jobs})
    return 0


def _signal(text: str) -> str:
    """`HUP` for whatever a person may write for it."""
    try:
        number = int(text) if text.isdecimal() else getattr(signal, f"SIG{text.upper().removeprefix('SIG')}")
        return signal.Signals(number).name.removeprefix("SIG")
    except (AttributeError, ValueError, TypeError):
        raise ZapError(f"{reach.shown(text)} is not a signal; `kill -l` lists them") from None


def _living(found: Mapping[str, Mapping[str, Plain]], names: Sequence[str]) -> list[str]:
    """The jobs that live of what is named. ZapError: of something that is named nobody does."""
    jobs: dict[str, None] = {}
    for name in names:
        meant = among(found, [name])
        living = [job for job in meant if found[job]["pid"]]
        if not living:
            raise ZapError(f"{meant[0] if len(meant) == 1 else name} does not run: there is nobody to signal")
        jobs |= dict.fromkeys(living)
    return list(jobs)


def run_pause(arguments: argparse.Namespace) -> int:
    """Lets every process of these jobs stand still, as it is, until `zap resume`: they keep their memory, their ports
    and their place, and use no cpu. Whoever is stopped, restarted or sent a signal goes on by that. Meanwhile nobody
    asks such a job whether it is well."""
    return _freeze(arguments, "pause")


def run_resume(arguments: argparse.Namespace) -> int:
    """Lets these jobs go on where they were paused, also by a STOP that somebody has sent them."""
    return _freeze(arguments, "resume")


def _freeze(arguments: argparse.Namespace, verb: str) -> int:
    found = reach.rows(arguments)
    jobs: dict[str, None] = {}
    for name in arguments.names:
        meant = among(found, [name])
        living = [job for job in meant if found[job]["state"] in ("running", "ready")]
        if len(meant) > 1 and not living:
            raise ZapError(f"nothing of {name} lives: there is nobody to {verb}")
        jobs |= dict.fromkeys(meant if len(meant) == 1 else living)
    with reach.runner(arguments) as line:
        line.ask(verb, jobs=list(jobs))
    rows = reach.rows(arguments)
    for row in [rows[job] for job in jobs if job in rows]:
        if arguments.json:
            reach.tell(row)
        else:
            print(f"⏸ {row['job']} paused" if row["is_paused"] else f"▶ {row['job']} {row['state']}")
    return 0


def run_send(arguments: argparse.Namespace) -> int:
    """Types a text to a job, as if at its terminal, and then a newline if there is none at its end."""
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape") if arguments.text == "-" else arguments.text
    if not arguments.no_newline and not text.endswith("\n"):
        text += "\n"
    job = reach.one(reach.rows(arguments), arguments.job)
    with reach.runner(arguments) as line:
        for begin in range(0, len(text), PIECE):
            line.ask("send", jobs=[job], text=text[begin : begin + PIECE])
    if arguments.json:
        reach.tell({"job": job, "letters": len(text)})
    return 0


def run_fix(arguments: argparse.Namespace) -> int:
    """Runs a fixup for a job, approved, and waits for what comes of it. Which captures it has is decided by the line
    that called for it, or the newest line that does."""
    rows = reach.rows(arguments)
    job = reach.one(rows, arguments.job)
    with reach.runner(arguments) as line, reach.runner(arguments) as watching:
        if arguments.list:
            return _list(line.ask("plan"), rows[job], arguments.json)
        news = watching.follow()
        next(news)  # it has begun
        line.ask("fix", jobs=[job], fixup=arguments.fixup)
        return 0 if arguments.no_wait else _follow(news, job, arguments)


def _follow(news: Iterator[Mapping[str, Plain]], job: str, arguments: argparse.Namespace) -> int:
    """What the fixup does, until it is over."""
    from zap import wire
    from zap.remarks import remark

    fixup = None
    for event in news:
        if event.get("job") != job:
            continue
        if fixup is None and event["event"] == "matched" and arguments.fixup in (None, event["fixup"]):
            fixup = event["fixup"]
        if fixup and event["event"] == "became" and event["state"] == "stopped":
            raise ZapError(f"{job} was stopped before fixup {fixup} could help")
        if fixup is None or event.get("fixup") != fixup:
            continue
        if arguments.json:
            reach.tell(event)
        elif said := remark(wire.event_from_plain(event).fact):
            print(*map(reach.shown, said.splitlines()), sep="\n", flush=True)
        if event["event"] in ("fixed", "fix_failed"):
            return 0 if event["event"] == "fixed" else 1
    raise dial.NoRunner("the runner has ended")


def _list(plan: Mapping[str, Plain], row: Mapping[str, Plain], is_json: bool) -> int:
    """The fixups that are armed for the job, and what exactly those that want approval would run."""
    jobs = {job["name"]: job for system in plan["systems"] for job in system["jobs"]}
    fixups = [fixup for fixup in plan["fixups"] if fixup["name"] in jobs[row["job"]]["fixups"]]
    asking = {proposed["fixup"]: proposed for proposed in row["asking"]}
    width = max((len(fixup["name"]) for fixup in fixups), default=0)
    for fixup in fixups:
        name, about, mode = fixup["name"], fixup["about"], fixup["mode"]
        proposed = asking.get(name)
        if is_json:
            told = {"fixup": name, "about": about, "mode": mode, "effects": fixup["effects"]}
            reach.tell(told | ({"line": proposed["line"], "commands": proposed["commands"]} if proposed else {}))
            continue
        sign, effects = "🔧" if proposed else "  ", ", ".join(fixup["effects"])
        print(reach.shown(f"{sign} {name:<{width}}  {mode:<4}  {about} ({effects})"))
        if proposed:
            print(f"   wants approval; `zap fix {row['job']} {name}` would run:")
            for command in proposed["commands"]:
                print(*(f"     {reach.shown(part)}" for part in command.splitlines()), sep="\n")
    return 0
