"""Brings children into the world: a job, or a remedy of its, → script → argv and environment → a child.

Needs no loop, so that the first jobs start before the loop is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zap import child, script
from zap.launch import local
from zap.plan import Job, Plan, Secret

SECRET_MOST = 60.0  # seconds; a keyring may want to be unlocked first
NOT_OURS_TO_GIVE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # they are for zap, from whoever has started it
NOTHING: Mapping[str, str] = {}


class World(NamedTuple):
    """What all children of one runner have in common: its plan's id, its own, the environment around it.

    `files` is the limit of open files that they shall have, where ours was raised.
    """

    plan: str
    runner: str
    environ: Mapping[str, str]
    files: int | None = None


def world(plan: Plan, clients: int = 0) -> World:
    """For a runner of this plan in this process; makes room for its children, and for so many who talk to it."""
    environ = {name: value for name, value in os.environ.items() if name not in NOT_OURS_TO_GIVE}
    return World(plan.id, os.urandom(6).hex(), environ, child.make_room(len(plan.jobs), clients))


def bear(world: World, job: Job, epoch: int, extra: Mapping[str, str] = NOTHING) -> child.Child:
    """The job's child number `epoch`; `extra` is environment that is for it alone. OSError, ValueError: it could not be
    started, and why.
    """
    return _bear(world, job, epoch, [command.text for command in job.commands], extra)


def bear_task(
    world: World, job: Job, epoch: int, commands: Sequence[str], folder: str, extra: Mapping[str, str] = NOTHING
) -> child.Child:
    """A remedy, a hook or a stop command, as the job runs and in the folder where it was, if that is still there.

    Its tag is its own: what ends the job does not end its remedy.
    """
    if os.path.isdir(folder):
        job = job._replace(cwd=folder)
    return _bear(world, job, epoch, commands, extra, suffix=":task")


def bear_probe(world: World, job: Job, epoch: int, command: str) -> child.Child:
    """A command that asks how the job is: in the job's folder, on pipes, without input, and none of it is marked.

    Its tag is its own, as a remedy's is, and another one each time: several may ask at once, and each ends alone.
    """
    env = environment(world, job, epoch, f":probe:{os.urandom(4).hex()}")
    limit = "" if world.files is None else f"ulimit -S -n {world.files}\n"
    argv = local.argv(job, limit + command)
    return child.spawn(argv, cwd=job.cwd, env=env, has_tty=False, has_input=False, nonce="", tag=env["ZAP_RUN"])


def needs_mailbox(job: Job) -> bool:
    """Whether the job tells how it is, by sd_notify(3)."""
    return job.ready.by == "notify" or job.watchdog is not None


def environment(world: World, job: Job, epoch: int, suffix: str = "") -> dict[str, str]:
    """What the job's processes find in their environment. OSError when an env file cannot be read."""
    tags = local.tags(world.plan, job.name, world.runner, os.getpid(), epoch)
    tags["ZAP_RUN"] += suffix
    return local.environment(job, world.environ, _from_files(job, world.environ)) | tags


def read_secret(world: World, job: Job, secret: Secret) -> bytes:
    """What a secret says, without its line end; blocks, for a command at most a minute.

    OSError or subprocess.SubprocessError when it cannot be had, neither of which tells it.
    """
    env = environment(world, job, 0)
    match secret.kind:
        case "file":
            with open(os.path.join(job.cwd, os.path.expanduser(secret.source)), "rb") as file:
                return file.readline().rstrip(b"\r\n")
        case "env":
            if secret.source not in env:
                raise OSError(f"the variable {secret.source} is not set")
            return os.fsencode(env[secret.source])
        case "command":
            printed = child.capture([*job.shell, "-c", secret.source], job.cwd, env, SECRET_MOST)
            return printed.rstrip(b"\r\n")


def _bear(
    world: World, job: Job, epoch: int, commands: Sequence[str], extra: Mapping[str, str], suffix: str = ""
) -> child.Child:
    nonce = os.urandom(8).hex()
    env = environment(world, job, epoch, suffix) | dict(extra)
    return child.spawn(
        local.argv(job, script.build(commands, nonce, job.tty, world.files)),
        cwd=job.cwd,
        env=env,
        has_tty=job.tty,
        has_input=bool(job.answers),
        nonce=nonce,
        tag=env["ZAP_RUN"],
    )


def _from_files(job: Job, environ: Mapping[str, str]) -> dict[str, str | None]:
    merged: dict[str, str | None] = {}
    if job.env_file:
        import dotenv

        for path in job.env_file:
            try:
                with open(path, encoding="utf-8") as file:
                    merged |= dotenv.dotenv_values(stream=file)
            except UnicodeDecodeError:
                raise ValueError(f"file {path}: it is not UTF-8 text") from None
    return merged
