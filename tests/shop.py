"""What tests of the interface look at: the programs of a shop on a bad day, of every state one."""

from __future__ import annotations

from collections.abc import Iterator

from tests.recorded import Recorded, became, job, plan, runs
from zap import events
from zap.events import LOG, Fact, Load, State, Status
from zap.plan import MIB, Fixup, Match, Plan

API, WORKER, ASSETS, MAIL = "web/api", "web/worker", "web/assets", "web/mail"
DATABASE, CACHE, MIGRATION, BACKUP = "data/database", "data/cache", "data/migration", "data/backup"
SHELL = "tools/psql"

PORT_TAKEN = "address already in use: 127.0.0.1:8080"
FIXUPS = (
    Fixup("free-port", "another process holds the port; end it", (Match(pattern="address already in use"),)),
    Fixup("install-dependencies", "a package is missing; install it", (Match(pattern="ModuleNotFoundError"),)),
)


def shop_plan() -> Plan:
    named = tuple(fixup.name for fixup in FIXUPS)
    return plan(
        job(API, "cd api", "npm ci", "npm run build", "./wait-for database:5432", "npm start", fixups=named),
        job(WORKER, "python -m worker --queue default", fixups=named),
        job(ASSETS, "cd web", "esbuild --bundle --watch src/main.ts", "true"),
        job(MAIL, "mailhog", start=False),
        job(DATABASE, "exec postgres -D data"),
        job(CACHE, "exec redis-server"),
        job(MIGRATION, "./migrate up", "./migrate check"),
        job(BACKUP, "pg_dump shop > shop.sql"),
        job(SHELL, "psql shop", start=False),
        fixups=FIXUPS,
    )


def shop() -> Recorded:
    """Nobody has looked at it yet."""
    session = Recorded(shop_plan())
    session.say(LOG, "zap 1.0 opened /home/ann/shop/jobs.yaml\n", "zap", 0)
    session.tell(events.Opened("/home/ann/shop/jobs.yaml", 4700, "1.0"))
    _database(session)
    session.now += 1
    _others(session)
    session.now += 2
    _api(session)
    session.now += 300
    return session


def _tell(session: Recorded, *facts: Fact) -> None:
    for fact in facts:
        session.tell(fact)


def _database(session: Recorded) -> None:
    _tell(session, *runs(DATABASE, "exec postgres -D data", pid=4710))
    session.say(DATABASE, "LOG:  listening on 127.0.0.1:5432\nLOG:  database system is ready\n", "err")
    _tell(session, became(DATABASE, State.READY))
    _tell(session, *runs(CACHE, "exec redis-server", pid=4711))
    session.say(CACHE, "* Ready to accept connections\n")
    _tell(session, became(CACHE, State.READY), became(CACHE, State.STOPPING, "asked to"))


def _others(session: Recorded) -> None:
    _tell(session, *runs(MIGRATION, "./migrate up", "./migrate check", pid=4712))
    session.say(MIGRATION, "applied 3 migrations\n")
    _tell(session, events.CommandEnded(MIGRATION, 1, 2, Status(0), 0.3), events.Exited(MIGRATION, 1, Status(0), 1.8))
    _tell(session, became(MIGRATION, State.DONE, exit=Status(0)))
    _tell(session, *runs(BACKUP, "pg_dump shop > shop.sql", pid=4713))
    session.say(BACKUP, "pg_dump: error: connection refused\n", "err")
    _tell(session, events.CommandEnded(BACKUP, 1, 1, Status(1), 0.2), events.Exited(BACKUP, 1, Status(1), 0.2))
    _tell(session, became(BACKUP, State.FAILED, "exit 1, and 5 tries are used up", exit=Status(1)))
    _tell(session, *runs(WORKER, "python -m worker --queue default", pid=4714))
    session.say(WORKER, "ModuleNotFoundError: No module named 'celery'\n", "err")
    _tell(session, events.Exited(WORKER, 1, Status(1), 0.8))
    _tell(session, became(WORKER, State.BACKOFF, "exit 1", seconds=4.0, exit=Status(1)))
    _tell(session, became(ASSETS, State.STARTING))


def _api(session: Recorded) -> None:
    """Its port is taken at first, which is healed; then it serves."""
    _tell(session, *runs(API, "cd api", "npm ci", "npm run build", "./wait-for database:5432", "npm start", pid=4720))
    session.say(API, f"Error: listen EADDRINUSE: {PORT_TAKEN}\n", "err", 5)
    _tell(session, events.Exited(API, 1, Status(1), 6.1))
    session.say(API, "🔧 fixup free-port: another process holds the port; end it\n", "zap", 0)
    _tell(
        session,
        events.Matched(API, 1, "free-port", 1, "another process holds the port; end it"),
        became(API, State.FIXING, "free-port", exit=Status(1)),
        events.FixStarted(API, 1, "free-port", ("fuser -k 8080/tcp",)),
        events.Fixed(API, 1, "free-port", 0.4, True),
        became(API, State.STARTING, epoch=2),
    )
    session.say(API, "🔧 fixup free-port: verified after 400 ms\n", "zap", 0)
    session.now += 1
    _tell(session, events.Spawned(API, 2, 4721))
    session.say(API, "↺ restart: run 2\n", "zap", 0)
    _tell(session, became(API, State.RUNNING, epoch=2))
    for number, text in enumerate(("cd api", "npm ci", "npm run build", "./wait-for database:5432", "npm start"), 1):
        if number > 1:
            _tell(session, events.CommandEnded(API, 2, number - 1, Status(0), 0.7 * number))
        _tell(session, events.CommandStarted(API, 2, number, text, session.buffers[API].last + 1))
        session.say(API, "".join(_said(number)), command=number)
    _tell(session, became(API, State.READY, epoch=2))
    _tell(session, events.Measured((Load(API, 12.4, 210 * MIB, 9), Load(DATABASE, 0.6, 1300 * MIB, 12))))


def _said(command: int) -> Iterator[str]:
    match command:
        case 2:
            yield "added 412 packages in 2s\n\x1b[33m7 vulnerabilities\x1b[0m (3 moderate, 4 high)\n"
        case 3:
            for number in range(1, 31):
                yield f"[{number:2}/30] \x1b[32mcompiled\x1b[0m src/page{number}.ts in {number * 7 % 40} ms\n"
        case 5:
            yield "> shop@2.1.0 start\n\x1b[1;36mlistening\x1b[0m on \x1b[4mhttp://127.0.0.1:8080\x1b[0m\n"
            for number in range(1, 41):
                yield f"GET /items/{number} \x1b[38;5;214m200\x1b[0m {number * 13 % 90} ms\n"
