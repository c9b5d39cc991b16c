"""The roof: arguments and exit codes, and the parts put together."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from zap import __version__, cache, census, child, nursery, paths
from zap.choice import choose
from zap.errors import ConfigError, ZapError
from zap.plan import Fixup, Job, Plan
from zap.wire import to_plain

if TYPE_CHECKING:
    import asyncio

    from zap.config import Loaded
    from zap.headless import Options

BUG = 70  # EX_SOFTWARE of sysexits(3)
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
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.do(arguments)
        sys.stdout.flush()  # here, where a reader who is gone is no bug
    except ZapError as error:
        print(error, file=sys.stderr)
        code = error.code
    except BrokenPipeError:  # `zap check --schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zap",
        description="Keeps a flock of programs alive, and heals what it knows how to heal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"zap {__version__}")
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)

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
    run.add_argument(
        "--heal",
        choices=("auto", "all", "none"),
        default="auto",
        help="which fixups run: the safe ones (default), also those that want approval, or none",
    )
    run.add_argument("-q", "--quiet", action="store_true", help="only the summary")
    run.add_argument("--json", action="store_true", help="one JSON object per line: every event and every line")
    run.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="(default: auto)")
    run.set_defaults(do=_run)

    check = verbs.add_parser("check", help="say everything that is wrong with the plan", description=_check.__doc__)
    _add_plan(check)
    check.add_argument("--schema", action="store_true", help="print the JSON Schema of jobs.yaml, for editors")
    check.add_argument("--json", action="store_true", help="one JSON object per problem")
    check.set_defaults(do=_check)

    fixups = verbs.add_parser("fixups", help="list the fixups, or test their examples", description=_fixups.__doc__)
    fixups.add_argument("what", nargs="?", choices=("list", "test"), default="list")
    _add_plan(fixups)
    fixups.add_argument("--json", action="store_true", help="one JSON object per fixup and line")
    fixups.set_defaults(do=_fixups)
    return parser


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--file", metavar="FILE", help="the plan (default: $ZAP_FILE, or jobs.yaml here or above)"
    )


# run


def _run(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments.file)
    jobs = choose(plan, arguments.names)
    caught: list[int] = []
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: caught.append(number))
    child.adopt_orphans()
    world = nursery.world(plan)
    first = _start_first(jobs, world)
    try:
        import asyncio

        from zap import headless
        from zap.runner import Runner

        async def run() -> int:
            asyncio.get_running_loop().set_exception_handler(_on_bug)
            options = _options(arguments, jobs)
            runner = Runner(
                plan, world, heal=arguments.heal, is_alone=True, is_followed=not options.is_quiet, adopted=first
            )
            try:
                return await headless.run(runner, options, sys.stdout.fileno(), caught)
            finally:
                await runner.close()

        return asyncio.run(run())
    except BaseException:
        for born in first.values():  # those that no runner has taken over
            born.signal_group(signal.SIGKILL)
        raise


def _start_first(jobs: Sequence[Job], world: nursery.World) -> dict[str, child.Child]:
    """Children of the first jobs that need no preparation. What cannot be started is left to the runner to tell."""
    born: dict[str, child.Child] = {}
    for job in jobs[:FIRST]:
        if not job.answers:
            with contextlib.suppress(OSError, ValueError):
                born[job.name] = nursery.bear(world, job, 1)
    return born


def _on_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback of ours has raised: nothing is sure any more but that no child shall be left behind."""
    import traceback

    error = context.get("exception")
    print(f"zap has a bug, and ends everything: {context['message']}", file=sys.stderr)
    if error:
        traceback.print_exception(error)
    child.kill(census.take().below(os.getpid()), signal.SIGKILL)
    os._exit(BUG)


def _options(arguments: argparse.Namespace, jobs: Sequence[Job]) -> Options:
    from zap.headless import Options

    is_terminal = sys.stdout.isatty()
    may_colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Options(
        jobs=tuple(job.name for job in jobs),
        until=arguments.until,
        is_quiet=arguments.quiet,
        is_json=arguments.json,
        has_colour=arguments.color == "always" or (arguments.color == "auto" and may_colour),
        is_terminal=is_terminal,
    )


# the plan


def _plan(named: str | None) -> Plan:
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

    return config.load(Path(path), os.environ, Path(paths.bundled_fixups()))


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


def _fixups(arguments: argparse.Namespace) -> int:
    """Lists the fixups that the plan can use, the bundled ones among them; `test` runs every one's examples."""
    fixups = _plan(arguments.file).fixups
    return _test_fixups(fixups, arguments.json) if arguments.what == "test" else _list_fixups(fixups, arguments.json)


def _list_fixups(fixups: Sequence[Fixup], is_json: bool) -> int:
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
