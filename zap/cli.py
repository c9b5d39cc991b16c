"""The roof: arguments and exit codes, and the parts put together."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from zap import __version__, paths
from zap.choice import choose
from zap.errors import ConfigError, ZapError
from zap.verbs import register, usage

# Each verb imports what it needs when it is done, so that `zap ps` does not wait for what `zap run` needs.
if TYPE_CHECKING:
    import asyncio

    from zap import background, child, nursery
    from zap.address import Claim
    from zap.config import Loaded
    from zap.estate import Estate
    from zap.events import Left
    from zap.headless import Options
    from zap.healer import Heal
    from zap.plan import Fixup, Job, Plan

DEFAULT = "open"
SCRIPTED = (
    *("ps", "logs", "events", "timeline", "start", "stop", "restart", "wait", "signal", "send", "fix"),
    *("pause", "resume", "upgrade", "reload", "need", "why", "critical", "tree", "doctor", "names"),
)
VERBS = (DEFAULT, "attach", "up", "down", "serve", "init", "run", "check", "graph", "fixups", *SCRIPTED, "completion")
CLAIM = "claim"  # by which the keeper has the runner's lock and its socket
BUG = 70  # EX_SOFTWARE of sysexits(3)
INIT_FORWARDS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")]
INIT_FORWARDS += [signal.SIGWINCH, signal.SIGCONT]
FIRST = 8  # jobs that are started before the loop is imported; it starts the others

EPILOG = """\
exit codes of `zap run`: 0 when all that should end ended well, else that of the first job that failed;
130 after Ctrl+C, 143 after TERM; 2 when the plan or the command line is wrong, and then nothing was started.
The plan is -f FILE, $ZAP_FILE, or jobs.yaml here or in the nearest folder above."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The `zap` command. Exits with its code."""
    if sys.stdout is None:  # closed by who called us (`>&-`)
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale without ✓ is no reason to fail
            stream.reconfigure(errors="replace")
    words = _with_verb(sys.argv[1:] if argv is None else argv)
    arguments = _parser(words[0]).parse_args(words)
    try:
        code: int = arguments.do(arguments)
        sys.stdout.flush()  # here, where a reader who is gone is no bug
    except ZapError as error:
        print(error, file=sys.stderr)
        code = error.code
    except BrokenPipeError:  # `zap check --schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno != errno.EIO or error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the terminal is gone, and SIGHUP is on its way
        code = 128 + signal.SIGHUP
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)


def _parser(verb: str) -> argparse.ArgumentParser:
    """For one verb, or when it is none (`--help`) or asks for it (`completion`), for all."""
    parser = argparse.ArgumentParser(
        prog="zap",
        description="Keeps a flock of programs alive, and heals what it knows how to heal.",
        epilog=EPILOG,
        formatter_class=usage.formatter,
    )
    parser.add_argument("--version", action="version", version=f"zap {__version__}")
    parser.set_defaults(parser=parser)  # by which `completion` knows what there is to complete
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)
    if verb in SCRIPTED:
        register(verbs, verb)
        return parser

    opened = verbs.add_parser(
        DEFAULT,
        help="the interface; starts what is named, or everything, if nothing runs yet (this is what `zap` alone does)",
        description=_open.__doc__,
    )
    opened.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="what to start; systems that start by default")
    _add_plan(opened)
    _add_heal(opened)
    opened.set_defaults(do=_open)

    attach = verbs.add_parser("attach", help="the interface of what runs already", description=_attach.__doc__)
    _add_plan(attach)
    attach.set_defaults(do=_attach)

    up = verbs.add_parser("up", help="start in the background, and return when all is ready", description=_up.__doc__)
    up.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="what to start; systems that start by default")
    _add_plan(up)
    _add_heal(up)
    up.add_argument("--no-wait", action="store_true", help="return at once")
    up.set_defaults(do=_up)

    down = verbs.add_parser("down", help="end everything that runs in the background", description=_down.__doc__)
    _add_plan(down)
    down.add_argument("--now", action="store_true", help="do not wait for any job's grace")
    down.set_defaults(do=_down)

    serve = verbs.add_parser("serve", help="be the runner, in the foreground, without a screen (for an init system)")
    serve.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="what to start; systems that start by default")
    _add_plan(serve)
    _add_heal(serve)
    serve.add_argument("--report", action="store_true", help=argparse.SUPPRESS)
    for flag in ("--init", "--quiet", "--json"):
        serve.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    serve.add_argument("--tether", type=int, metavar="FD", help=argparse.SUPPRESS)
    serve.add_argument("--rehearse", type=int, metavar="FD", help=argparse.SUPPRESS)
    serve.set_defaults(do=_serve)

    init = verbs.add_parser("init", help="be the first process of a container", description=_init.__doc__)
    init.add_argument("plan", nargs="?", metavar="PLAN", help="(default: $ZAP_FILE, or jobs.yaml here or above)")
    init.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="what to run; every system that starts by default")
    _add_heal(init)
    init.add_argument("-q", "--quiet", action="store_true", help="only the summary")
    init.add_argument("--json", action="store_true", help="one JSON object per line: every event and every line")
    init.set_defaults(do=_init)

    run = verbs.add_parser(
        "run",
        help="run systems or jobs in the foreground, without a screen",
        description="Runs systems or jobs together, shows what they say, heals them, and ends them in order.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="what to run; every system that starts by default")
    _add_plan(run)
    run.add_argument("--until", choices=("ready", "done"), default="done", help="when it is over (default: done)")
    _add_heal(run)
    run.add_argument("-q", "--quiet", action="store_true", help="only the summary")
    run.add_argument("--json", action="store_true", help="one JSON object per line: every event and every line")
    usage.add_colour(run)
    run.set_defaults(do=_run)

    check = verbs.add_parser("check", help="say everything that is wrong with the plan", description=_check.__doc__)
    _add_plan(check)
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of jobs.yaml, for editors")
    check.add_argument("--json", action="store_true", help="one JSON object per problem")
    check.set_defaults(do=_check)

    graph = verbs.add_parser("graph", help="draw which job needs which", description=_graph.__doc__)
    graph.add_argument("names", nargs="*", metavar="SYSTEM|JOB", help="only these, and whatever they need")
    _add_plan(graph)
    forms = graph.add_mutually_exclusive_group()
    forms.add_argument("--format", choices=("tree", "mermaid", "dot"), default="tree", help="(default: tree)")
    forms.add_argument("--json", action="store_true", help="one JSON object per line: a job and its `needs`")
    usage.add_colour(graph)
    graph.set_defaults(do=_graph)

    fixups = verbs.add_parser("fixups", help="list the fixups, or test their examples", description=_fixups.__doc__)
    fixups.add_argument("what", nargs="?", choices=("list", "test"), default="list")
    _add_plan(fixups)
    fixups.add_argument("--json", action="store_true", help="one JSON object per fixup and line")
    fixups.set_defaults(do=_fixups)
    if verb not in VERBS or verb == "completion":
        register(verbs)
    return parser


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--file", metavar="FILE", help="the plan (default: $ZAP_FILE, or jobs.yaml here or above)"
    )


def _add_heal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--heal",
        choices=("auto", "all", "none"),
        default="auto",
        help="which fixups run: the safe ones (default), also those that want approval, or none",
    )


def _with_verb(argv: Sequence[str]) -> list[str]:
    """`zap web -f x` is `zap open web -f x`, and `zap -f x ps` is `zap ps -f x`: the verb may stand behind the plan."""
    words = list(argv)
    before = 0
    while before < len(words) and words[before].startswith("-") and words[before] not in ("-h", "--help", "--version"):
        before += 2 if words[before] in ("-f", "--file") else 1
    if before < len(words) and words[before] in VERBS:
        said = ["--file" if word == "-f" else word for word in words[:before]]  # -f is for what follows in `zap logs`
        return [words[before], *said, *words[before + 1 :]]
    if before < len(words) and words[before] in ("-h", "--help", "--version"):
        return words
    return [DEFAULT, *words]


# the interface, and the runner in the background


def _open(arguments: argparse.Namespace) -> int:
    """Opens the interface. If no runner of the plan is there, it is started in the background first."""
    from zap import background, requests

    plan = _plan(arguments.file)
    choose(plan, arguments.names)
    _need_terminal()
    line, is_new = background.bring_up(plan.path, arguments.names, arguments.heal, os.environ)
    with line:
        if arguments.names and not is_new:
            line.call(requests.Start(tuple(job.name for job in choose(line.plan(), arguments.names))))
    return _show(plan.path)


def _attach(arguments: argparse.Namespace) -> int:
    """Opens the interface of the runner that is there; any number of them can be open at a time."""
    from zap import background, dial

    _need_terminal()
    path = paths.plan_file(arguments.file, os.environ)
    line = background.find(path, os.environ)
    if line is None:
        raise dial.NoRunner(f"no runner of {path} is there: `zap up` starts one, `zap` also shows it")
    line.close()
    return _show(path)


def _need_terminal() -> None:
    """Before anything is started, also that what the person prefers can be read."""
    without = "`zap up` starts in the background, `zap run` without a screen"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ZapError(f"the interface needs a terminal: {without}")
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise ZapError(f"the interface needs a terminal with a screen, and this one has none (TERM): {without}")
    from zap import preferences
    from zap.tui.keys import NAMES

    preferences.load(os.environ, NAMES)


def _show(path: str) -> int:
    import gc

    gc.disable()  # modules are no garbage; to look for some among them, now and again and again, takes its time
    import asyncio

    from zap.client import connect
    from zap.tui import app

    gc.freeze()
    gc.enable()

    async def show() -> str:
        client = await connect(paths.runtime_folder(os.environ, paths.plan_id(path)))
        if client is None:
            raise ZapError("the runner has ended meanwhile")
        try:
            return await app.run(client, os.environ)
        finally:
            client.close()

    said = asyncio.run(show())
    if said:
        print(said)
    return 0


def _up(arguments: argparse.Namespace) -> int:
    """Starts in the background what is named, or everything that starts by default. Returns when all is ready.

    The exit code is 1 when something failed instead. What runs already goes on. Ctrl+C stops waiting, not the jobs.
    """
    from zap import background, requests
    from zap.verbs import whole

    plan = _plan(arguments.file)
    jobs = choose(plan, arguments.names)
    try:
        line, is_new = background.bring_up(plan.path, arguments.names, arguments.heal, os.environ)
        with line:
            if not is_new:
                _tell_of_changes(line.plan(), plan)
                jobs = choose(line.plan(), arguments.names)
                line.call(requests.Start(tuple(job.name for job in jobs)))
            return 0 if arguments.no_wait else whole.wait_up(line, [job.name for job in jobs])
    except KeyboardInterrupt:
        print("what was started goes on; `zap down` ends it", file=sys.stderr)
        raise


def _tell_of_changes(running: Plan, written: Plan) -> None:
    """Whoever has changed the plan since may think that it was read again."""
    from zap.revision import compare

    if not compare(running, written).is_nothing:
        print("the plan is another one now than what runs: `zap reload` does what has changed", file=sys.stderr)


def _down(arguments: argparse.Namespace) -> int:
    """Ends all jobs and the runner, and returns when nothing is left. Ctrl+C does not wait for graces any more."""
    from zap import background
    from zap.verbs import whole

    path = paths.plan_file(arguments.file, os.environ)
    is_hurried = arguments.now
    line = background.find(path, os.environ)
    if line is None:
        print(f"no runner of {path} is there")
    while line:
        try:
            with line:
                whole.end(line, is_hurried)
            line = None
        except KeyboardInterrupt:
            if is_hurried:
                raise
            is_hurried = True
            line = background.find(path, os.environ)
    if not background.wait_gone(path, os.environ):
        raise ZapError("all jobs have ended, but the runner has not")
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from zap import address, background, child, nursery

    if arguments.rehearse is not None:
        from zap import memory, vault

        memory.read(vault.records(arguments.rehearse))
        return 0
    if arguments.tether is not None:
        return _take_over(arguments)
    try:
        plan = _plan(arguments.file)
        jobs = choose(plan, arguments.names)
        claimed = background.claim(plan, os.environ)
        left = _end_leftovers(plan)
    except ZapError as error:
        if arguments.report:
            background.report({"error": str(error), "code": error.code})
        raise
    os.chdir(os.path.dirname(plan.path))  # and not wherever somebody stood, who may want to unmount that
    caught = _catch()
    child.adopt_orphans()
    world = nursery.world(plan, address.MOST_CLIENTS)
    estate = None
    if child.CAN_HAND_OVER:
        from zap.estate import Estate
        from zap.keeper import FORWARDED
        from zap.tether import split

        forwarded = INIT_FORWARDS if arguments.init else FORWARDED
        tether = split(plan.path, _successor(arguments, plan), caught, forwarded)
        if not arguments.init:  # else they are for process 1, which reaps them at once
            child.adopt_orphans()
        world = world._replace(keepers=nursery.keepers(tether.pid))
        estate = Estate(tether)
        estate.hold(CLAIM, claimed.descriptors)
    first = _start_first(plan, jobs, world)
    shown = _options(arguments, plan, jobs) if arguments.init else None
    start = background.Start([job.name for job in jobs], first, caught, None, arguments.report, shown, left)
    return _be_runner(plan, world, arguments.heal, claimed, estate, start)


def _init(arguments: argparse.Namespace) -> int:
    """Runs systems or jobs as `zap run` does, as process 1: reaps every orphan, sends HUP, QUIT, USR1, USR2, WINCH and
    CONT to the jobs, ends in order on TERM and INT, and ends when the jobs have. It answers on its socket meanwhile."""
    from zap import child

    if not child.CAN_HAND_OVER:
        raise ZapError("zap cannot be process 1 on this system: it has no pidfd_open, memfd_create and splice")
    arguments.file, arguments.init, arguments.report = arguments.plan, True, False
    arguments.tether = arguments.rehearse = None
    return _serve(arguments)


def _successor(arguments: argparse.Namespace, plan: Plan) -> list[str]:
    """What starts another runner, to go on where this one is killed."""
    flags = [name for name in ("report", "init", "quiet", "json") if getattr(arguments, name)]
    words = ["--file", plan.path, "--heal", arguments.heal, *(f"--{flag}" for flag in flags), *arguments.names]
    return [sys.executable, "-P", "-m", "zap", "serve", *words]


def _take_over(arguments: argparse.Namespace) -> int:
    """Be the runner in the place of one that was killed, or has made way for us."""
    import socket

    from zap import address, background, child, nursery
    from zap.estate import Estate
    from zap.tether import Tether

    caught = _catch()
    tether = Tether(socket.socket(fileno=arguments.tether), os.getppid(), arguments.file)
    estate = Estate(tether, tether.take())
    known = estate.known
    plan = known.whole.plan
    tether.argv = _successor(arguments, plan)
    if not arguments.init:
        child.adopt_orphans()
    claimed = address.claimed(background.folder(plan.path, os.environ), estate.fds(CLAIM))
    world = nursery.world(plan, address.MOST_CLIENTS, tether.pid)
    world = world._replace(runner=known.whole.runner, files=known.whole.files)
    shown = _options(arguments, plan, choose(plan, arguments.names)) if arguments.init else None
    start = background.Start((), {}, caught, known, arguments.report, shown)
    return _be_runner(plan, world, known.whole.heal, claimed, estate, start)


def _be_runner(
    plan: Plan,
    world: nursery.World,
    heal: Heal,
    claimed: Claim,
    estate: Estate | None,
    start: background.Start,
) -> int:
    from zap import background

    try:
        import asyncio

        async def serve() -> int:
            asyncio.get_running_loop().set_exception_handler(_on_bug_kept if estate else _on_bug)
            return await background.serve(plan, world, heal, claimed, estate, start)

        return asyncio.run(serve())
    finally:
        for born in start.first.values():  # those that no runner has taken over
            born.signal_group(signal.SIGKILL)
        claimed.hide()


def _catch() -> list[int]:
    """Signals that end us and come before there is a loop."""
    caught: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: caught.append(number))
    return caught


# run


def _run(arguments: argparse.Namespace) -> int:
    from zap import background, child, nursery
    from zap.remarks import remark

    plan = _plan(arguments.file)
    jobs = choose(plan, arguments.names)
    caught = _catch()
    child.adopt_orphans()
    if not background.is_there(plan.path, os.environ) and (left := _end_leftovers(plan)):
        print(f"zap: {remark(left)}", file=sys.stderr)
    tether = None
    if child.CAN_HAND_OVER:
        from zap.tether import split

        tether = split(plan.path, None, caught)
        child.adopt_orphans()
    world = nursery.world(plan, keeper=tether.pid if tether else None)
    first = _start_first(plan, jobs, world)
    try:
        import asyncio

        from zap import headless
        from zap.runner import Runner

        async def run() -> int:
            asyncio.get_running_loop().set_exception_handler(_on_bug)
            options = _options(arguments, plan, jobs)
            runner = Runner(
                plan,
                world,
                heal=arguments.heal,
                is_alone=True,
                is_followed=not options.is_quiet,
                adopted=first,
                keeper=tether.pid if tether else None,
            )
            try:
                return await headless.run(runner, options, sys.stdout.fileno(), caught, tether)
            finally:
                await runner.close()

        return asyncio.run(run())
    except BaseException:
        for born in first.values():  # those that no runner has taken over
            born.signal_group(signal.SIGKILL)
        raise


def _start_first(plan: Plan, jobs: Sequence[Job], world: nursery.World) -> dict[str, child.Child]:
    """Children of the first jobs that need no preparation. What cannot be started is left to the runner to tell."""
    from zap import nursery

    born: dict[str, child.Child] = {}
    for job in filter(_is_prepared, _with_needed(plan, jobs)):
        with contextlib.suppress(OSError, ValueError):
            born[job.name] = nursery.bear(world, job, 1)
        if len(born) == FIRST:
            break
    return born


def _end_leftovers(plan: Plan) -> Left | None:
    """What runners of the plan that are gone have left behind, before anything else is started."""
    from zap import leftovers

    return leftovers.end(plan.id, {job.name: job.grace for job in plan.jobs})


def _is_prepared(job: Job) -> bool:
    """Whether nothing has to be waited for, or made, before its child."""
    from zap import nursery

    is_limited = any(limit is not None for limit in (job.limits.memory, job.limits.cpu, job.limits.pids))
    return not (
        is_limited or job.needs or job.answers or job.hooks.before_start is not None or nursery.needs_mailbox(job)
    )


def _with_needed(plan: Plan, jobs: Sequence[Job]) -> list[Job]:
    """And those that these need, which are started for their sake."""
    if not any(job.needs for job in jobs):  # then nothing has to be imported for it, and the first start sooner
        return list(jobs)
    from zap import graph

    names = graph.needed({job.name: job for job in plan.jobs}, [job.name for job in jobs])
    return [job for job in plan.jobs if job.name in names]


def _on_bug_kept(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback of ours has raised: the keeper starts another runner, which goes on from what was written down."""
    import traceback

    print(f"zap has a bug, and another runner goes on: {context['message']}", file=sys.stderr)
    if error := context.get("exception"):
        traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(BUG)


def _on_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback of ours has raised: nothing is sure any more but that no child shall be left behind."""
    import traceback

    from zap import census, child

    error = context.get("exception")
    print(f"zap has a bug, and ends everything: {context['message']}", file=sys.stderr)
    if error:
        traceback.print_exception(error)
    child.kill(census.take().below(os.getpid()), signal.SIGKILL)
    os._exit(BUG)


def _options(arguments: argparse.Namespace, plan: Plan, jobs: Sequence[Job]) -> Options:
    from zap.headless import Options

    return Options(
        jobs=tuple(job.name for job in jobs),
        needed=tuple(job.name for job in _with_needed(plan, jobs) if job not in jobs),
        until=getattr(arguments, "until", "done"),
        is_quiet=arguments.quiet,
        is_json=arguments.json,
        has_colour=usage.has_colour(getattr(arguments, "color", "auto")),
        is_terminal=sys.stdout.isatty(),
    )


# the plan


def _plan(named: str | None) -> Plan:
    from zap import cache

    path = paths.plan_file(named, os.environ)
    folder = paths.cache_folder(os.environ)
    plan = cache.read(folder, path)
    if plan is None:
        loaded = _load(path)
        plan = loaded.plan
        if not loaded.is_expanded:
            cache.write(folder, path, plan, loaded.files, loaded.folders)
    return plan


def _load(path: str) -> Loaded:
    from pathlib import Path

    from zap import config

    return config.load(Path(path), os.environ)


def _check(arguments: argparse.Namespace) -> int:
    """Checks the plan and every fixup that belongs to it, and says everything that is wrong in one go."""
    if arguments.schema:
        from zap import settings

        print(json.dumps(settings.schema(), indent=2, ensure_ascii=False))
        return 0
    try:
        plan = _load(paths.plan_file(arguments.file, os.environ)).plan
    except ConfigError as error:
        if not arguments.json:
            raise
        for problem in error.problems:
            told = {"file": problem.where.file, "line": problem.where.line, "column": problem.where.column}
            print(json.dumps(told | {"path": problem.path, "what": problem.what}, ensure_ascii=False))
        return error.code
    if not arguments.json:
        counts = (("system", len(plan.systems)), ("job", len(plan.jobs)), ("fixup", len(plan.fixups)))
        parts = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts)
        print(f"{plan.path}: {parts}: nothing wrong")
    return 0


def _graph(arguments: argparse.Namespace) -> int:
    """Draws which job needs which: below each job, or behind its arrows, stands what it needs.

    The plan is the one of the runner, if one is there: then the tree shows how each job is, too.
    """
    from zap import background
    from zap.verbs import drawing, reach

    line = background.find(paths.plan_file(arguments.file, os.environ), os.environ)
    if line is None:
        return drawing.show(_plan(arguments.file), {}, arguments)
    with line:
        return drawing.show(line.plan(), reach.rows(arguments), arguments)


def _fixups(arguments: argparse.Namespace) -> int:
    """Lists the fixups that the plan can use, the bundled ones among them; `test` runs every one's examples."""
    fixups = _plan(arguments.file).fixups
    return _test_fixups(fixups, arguments.json) if arguments.what == "test" else _list_fixups(fixups, arguments.json)


def _list_fixups(fixups: Sequence[Fixup], is_json: bool) -> int:
    from zap.wire import to_plain

    width = max((len(fixup.name) for fixup in fixups), default=0)
    for fixup in fixups:
        if is_json:
            print(json.dumps(to_plain(fixup), ensure_ascii=False))
        else:
            print(f"{fixup.name:<{width}}  {fixup.mode:<4}  {fixup.about} ({', '.join(fixup.effects)})")
    return 0


def _test_fixups(fixups: Sequence[Fixup], is_json: bool) -> int:
    from zap.fixup import failed_examples

    failed = 0
    for fixup in fixups:
        problems = failed_examples(fixup)
        failed += bool(problems)
        count = len(fixup.examples.matches) + len(fixup.examples.ignores)
        if is_json:
            told = [{"path": list(path), "what": what} for path, what in problems]
            print(json.dumps({"fixup": fixup.name, "examples": count, "problems": told}, ensure_ascii=False))
            continue
        print(f"{'✗' if problems else '✓'} {fixup.name}: {count} examples")
        for path, what in problems:
            print(f"    {'.'.join(map(str, path))}: {what}")
    return 1 if failed else 0
