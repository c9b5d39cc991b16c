"""jobs.yaml and the fixups' files → Plan, or every Problem of all of them at once."""

from __future__ import annotations

import os
import pathlib
import pwd
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from zap import commands, document, fixup, graph, kinds, matcher, paths, plan, settings
from zap.document import Document, Path
from zap.errors import ConfigError, Problem

_Model = TypeVar("_Model", bound=settings.Model)

FIXUPS = "fixups"  # the folder beside the plan


class Loaded(NamedTuple):
    """A plan, and all that decided it: the absolute paths of files and of folders (whether they exist or not).

    With `is_expanded` the environment decided it too.
    """

    plan: plan.Plan
    files: tuple[str, ...]
    folders: tuple[str, ...]
    is_expanded: bool


def load(path: pathlib.Path, environ: Mapping[str, str], bundled: pathlib.Path | None = None) -> Loaded:
    """`bundled` is the folder of the fixups that come with zap, if it is not where it always is. ConfigError: with
    everything that is wrong.
    """
    return _Loading(path, environ, bundled or pathlib.Path(paths.bundled_fixups())).load()


class _Loading:
    """One load: what was read on the way, and what was found to be wrong."""

    __slots__ = ("_bundled", "_environ", "_files", "_fixups", "_folders", "_path", "_problems", "_sources")

    def __init__(self, path: pathlib.Path, environ: Mapping[str, str], bundled: pathlib.Path) -> None:
        self._path = path
        self._environ = environ
        self._bundled = os.path.abspath(bundled)
        self._problems: list[Problem] = []
        self._files: list[str] = []
        self._folders: list[str] = []
        self._fixups: dict[str, plan.Fixup] = {}
        self._sources: dict[str, str] = {}  # a fixup's name → its file; also of one that is not right

    def load(self) -> Loaded:
        path = os.path.abspath(self._path)
        folder = os.path.dirname(path)
        text = self._read(path, _as_typed(self._path))
        self._load_fixups(self._bundled)
        self._load_fixups(os.path.join(folder, FIXUPS))
        surroundings = kinds.Surroundings(self._environ, folder, self._sources.keys())
        file = self._check(text, settings.File, surroundings)
        drafts = list(_drafts(text, surroundings))
        needs, problems = _needs(text, drafts)
        self._problems += problems
        self._problems += [problem for draft in drafts for problem in _contradictions(text, draft, folder)]
        self._problems += _shared_logs(text, drafts, folder)
        systems: tuple[plan.System, ...] = ()
        if file is not None:
            standard = list(self._sources)
            by_path = {path: self._load_fixups(path) for path in _fixup_paths(file)}
            systems = _systems(file, text, folder, needs, _Armory(self._fixups, standard, by_path))
        if self._problems:
            raise ConfigError(_presentable(self._problems))
        return Loaded(
            plan=plan.Plan(
                path=path,
                id=paths.plan_id(path),
                systems=systems,
                fixups=tuple(self._fixups[name] for name in sorted(self._fixups)),
                is_watched=file is not None and file.watch_plan,
            ),
            files=tuple(dict.fromkeys([*self._files, *surroundings.files])),
            folders=tuple(dict.fromkeys(self._folders)),
            is_expanded=surroundings.is_used,
        )

    def _read(self, path: str, name: str) -> Document:
        self._files.append(path)
        try:
            content = pathlib.Path(path).read_bytes()
        except OSError as error:
            unread = Document(name)
            unread.add((0, 0), f"cannot be read: {(error.strerror or str(error)).lower()}")
            return unread
        return document.parse(content, name)

    def _check(self, text: Document, model: type[_Model], surroundings: kinds.Surroundings | None) -> _Model | None:
        """What the document says, when it says it rightly; what is wrong is noted."""
        self._problems += text.problems
        if text.data is None and text.problems:
            return None
        if not isinstance(text.data, dict):
            said = "is empty" if text.data is None else f"holds {kinds.shown(text.data)}, not a mapping"
            self._problems.append(Problem(text.value(()), "", f"the file {said} — it begins with {_BEGINS[model]}"))
            return None
        try:
            return model.model_validate(text.data, context=surroundings)
        except ValidationError as error:
            self._problems += [_problem(text, model, details) for details in error.errors()]
            return None

    def _load_fixups(self, path: str) -> list[str]:
        """Loads a file, or those of a folder, that were not loaded yet; the names of the fixups that are in there."""
        files = [path]
        if not os.path.isfile(path):
            self._folders.append(path)
            entries = sorted(os.listdir(path)) if os.path.isdir(path) else []
            files = [os.path.join(path, entry) for entry in entries if entry.endswith((".yaml", ".yml"))]
        for file in files:
            if file not in self._files:
                self._load_fixup(file)
        return [pathlib.Path(file).stem for file in files]

    def _load_fixup(self, path: str) -> None:
        text = self._read(path, _as_typed(pathlib.Path(path)))
        name = pathlib.Path(path).stem
        other = self._sources.get(name)
        if other is not None and os.path.dirname(other) != self._bundled:
            text.add((0, 0), f"the fixup {name} is in {_as_typed(pathlib.Path(other))} already")
        self._sources[name] = path
        if (model := self._check(text, settings.Fixup, None)) is not None:
            word = model.word(name, text.value(()))
            wrong = [Problem(text.value(at), _label(text.written(at)), what) for at, what in fixup.check(word)]
            self._problems += wrong
            if not wrong:
                self._fixups[name] = word


_BEGINS: dict[type[settings.Model], str] = {settings.File: '"systems:"', settings.Fixup: '"about:" and "match:"'}


def _as_typed(path: pathlib.Path) -> str:
    try:
        return str(path.absolute().relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)


def _presentable(problems: Iterable[Problem]) -> list[Problem]:
    """One printable line each, and each once: an alias brings the same to many jobs."""
    lines = [Problem(where, _on_one_line(path), _on_one_line(what)) for where, path, what in problems]
    return list({(problem.where, problem.what): problem for problem in reversed(lines)}.values())


def _on_one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


# From what the checks say to Problems.


def _problem(text: Document, model: type[settings.Model], details: ErrorDetails) -> Problem:
    at = details["loc"]

    def label(place: Path) -> str:
        return _label(text.written(place))

    if at and at[-1] == "[key]":
        return Problem(text.key(at[:-1]), label(at[:-2]), details["ctx"]["what"])
    match details["type"]:
        case "zap":
            return Problem(text.value(at), label(at), details["ctx"]["what"])
        case "extra_forbidden":
            return Problem(text.key(at), label(at[:-1]), _unknown(str(at[-1]), _model_at(model, at[:-1])))
        case "missing":
            return Problem(text.key(at[:-1]), label(at[:-1]), f'"{at[-1]}" is missing')
        case _:
            nouns = {"model_type": _model_at(model, at).noun, "list_type": "a list"}
            noun = nouns.get(details["type"], "a mapping")
            return Problem(text.value(at), label(at), f"expected {noun}, not {kinds.shown(details['input'])}")


def _unknown(key: str, model: type[settings.Model]) -> str:
    if model is settings.Defaults and key in settings.System.settings() and key in settings.File.settings():
        return f'"{key}" stands beside defaults, not in them'
    if model is settings.Defaults and key in settings.Job.settings():
        return f'"{key}" is a setting of a single job and has no place in defaults'
    if model is settings.System:
        hint = kinds.suggest(key, model.settings()) or ' — a job belongs below "jobs:"'
        return f'unknown key "{key}"{hint}'
    return f'unknown key "{key}"{kinds.suggest(key, model.settings())}'


def _model_at(model: type[settings.Model], at: Path) -> type[settings.Model]:
    """The model that checks what is at this place, or around it."""
    annotation: Any = model
    for step in at:
        if isinstance(annotation, type) and issubclass(annotation, settings.Model):
            field = annotation.settings().get(str(step))
            annotation = field.annotation if field else None
        else:
            annotation = (get_args(annotation) or (None,))[-1]
        if isinstance(annotation, type) and issubclass(annotation, settings.Model):
            model = annotation
    return model


def _label(at: Path) -> str:
    """`web/api: backoff: first`: the job's full name, then the settings; an item of a list is told by its place."""
    match [step for step in at if isinstance(step, str)]:
        case ["systems", system, "jobs", job, *rest]:
            names = [f"{system}/{job}", *rest]
        case ["systems", system, key, *rest] if key not in settings.System.settings():
            names = [f"{system}/{key}", *rest]
        case ["systems", *names]:
            pass
        case names:
            pass
    return ": ".join(names)


# What no setting knows of itself. Each job is looked at by itself, so that what is wrong with another hides nothing.


class _Draft(NamedTuple):
    """A job as it is written at `at`: those of its needs that are right, each with its place, and if all settings of it
    are right, these together with those of its defaults.
    """

    name: str
    at: Path
    needs: list[tuple[Path, settings.Need]]
    settings: dict[str, Any] | None

    @property
    def system(self) -> str:
        return self.name.partition("/")[0]


def _drafts(text: Document, surroundings: kinds.Surroundings) -> Iterator[_Draft]:
    file = _mapping(text.data)
    defaults = _attempt(settings.Defaults, file.get("defaults"), surroundings)
    for system_name, written in _mapping(file.get("systems")).items():
        system = _mapping(written)
        layers = (defaults, _attempt(settings.Defaults, system.get("defaults"), surroundings))
        is_long = "jobs" in system
        for job_name, written_job in _mapping(system.get("jobs") if is_long else system).items():
            if is_long or job_name not in settings.System.settings():
                job = _attempt(settings.Job, written_job, surroundings)
                at: Path = ("systems", system_name, "jobs", job_name)
                yield _Draft(
                    name=f"{system_name}/{job_name}",
                    at=at,
                    needs=list(_written_needs(_mapping(written_job).get("needs"), (*at, "needs"), surroundings)),
                    settings=_merged(*layers, job) if job and all(layers) else None,
                )


def _written_needs(written: Any, at: Path, surroundings: kinds.Surroundings) -> Iterator[tuple[Path, settings.Need]]:
    for row, item in enumerate(written if isinstance(written, list) else [written]):
        if need := _attempt(settings.Need, item, surroundings):
            yield (*at, row, "job"), need


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _attempt(model: type[_Model], data: Any, surroundings: kinds.Surroundings) -> _Model | None:
    """The data as the model has it, or None: what is wrong with it has been told already."""
    try:
        return model.model_validate(data, context=surroundings)
    except ValidationError:
        return None


def _needs(text: Document, drafts: Sequence[_Draft]) -> tuple[dict[str, tuple[plan.Need, ...]], list[Problem]]:
    """What each job needs, by full names, and what is wrong with the names."""
    names = [draft.name for draft in drafts]
    known = set(names)
    found: dict[str, tuple[plan.Need, ...]] = {}
    places: dict[tuple[str, str], Path] = {}
    problems: list[Problem] = []
    for draft in drafts:
        words = []
        for at, need in draft.needs:
            job = need.job if "/" in need.job else f"{draft.system}/{need.job}"
            what = None
            if job not in known:
                what = _no_job(need.job, draft.system, names)
            elif job == draft.name:
                what = "a job cannot need itself"
            elif first := places.get((draft.name, job)):
                what = f"{job} is needed twice, first in line {text.value(first).line}"
            if what is not None:
                problems.append(Problem(text.value(at), _label(text.written(at)), what))
            else:
                places[draft.name, job] = at
                words.append(need.word(job))
        found[draft.name] = tuple(words)
    return found, problems + list(_circles(text, places))


def _no_job(name: str, system: str, names: Sequence[str]) -> str:
    if "/" in name:
        return f'there is no job "{name}"{kinds.suggest(name, names)}'
    own = [other.removeprefix(f"{system}/") for other in names if other.startswith(f"{system}/")]
    elsewhere = [other for other in names if other.endswith(f"/{name}")]
    hint = f" — did you mean {' or '.join(elsewhere[:3])}?" if elsewhere else kinds.suggest(name, own)
    if not hint and (inside := next((other for other in names if other.startswith(f"{name}/")), None)):
        hint = f" — {name} is a system, and a need is one job of it, such as {inside}"
    return f'there is no job "{name}" in {system}{hint}'


_CIRCLES_MOST = 10  # jobs that all need each other have more than anybody reads


def _circles(text: Document, places: Mapping[tuple[str, str], Path]) -> Iterator[Problem]:
    """Each is told at the need that closes it; without that the next is looked for."""
    edges: dict[str, list[str]] = {}
    for job, needed in places:
        edges.setdefault(job, []).append(needed)
    for _ in range(_CIRCLES_MOST):
        circle = graph.circle(edges)
        if circle is None:
            return
        *_, job, needed = circle
        edges[job].remove(needed)
        at = places[job, needed]
        what = f"the needs go in a circle: {' → '.join(circle)}"
        yield Problem(text.value(at), _label(text.written(at)), what)


def _contradictions(text: Document, draft: _Draft, folder: str) -> Iterator[Problem]:
    """What the job's settings, each of them right, do not say together."""
    if draft.settings is None:
        return
    job = plan.Job(draft.name, "", (), folder)._replace(**draft.settings)

    def problem(at: tuple[str, ...], what: str) -> Problem:
        return Problem(text.value((*draft.at, *at)), f"{draft.name}: {': '.join(at)}", what)

    if not job.tty and not job.answers:
        nothing = "there is nothing to type into, because tty is false and there are no answers"
        if job.stop.keys is not None:
            yield problem(("stop", "keys"), nothing)
        if job.ping and job.ping.send is not None:
            yield problem(("ping", "send"), nothing)
    if job.ready.by == "exit" and job.restart == "always":
        what = "by exit the job is never ready, because restart: always starts it again whenever it ends"
        yield problem(("ready",), what)
    if job.network == "none":
        for name, probe in (("ready", job.ready.probe), ("health", job.health and job.health.probe)):
            if probe and (kind := "tcp" if probe.tcp else "http" if probe.http else None):
                what = "nobody reaches a job with network: none — ask by command, which is run where the job is"
                yield problem((name, kind), what)
    if job.private_tmp and job.cwd.startswith(("/tmp/", "/var/tmp/")):
        yield problem(("private_tmp",), f"the job would not see its folder any more: {job.cwd} is in the /tmp of all")
    if job.user and job.user.isdigit() and job.group is None and not _has_number(int(job.user)):
        yield problem(("user",), f"nobody has the number {job.user}, so it is in no group — write group: as well")


def _has_number(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user))
    except KeyError:
        return False


def _shared_logs(text: Document, drafts: Sequence[_Draft], folder: str) -> Iterator[Problem]:
    """Two who put away the same file would lose what they say."""
    writers: dict[str, str] = {}
    for draft in drafts:
        log = draft.settings and _log(draft.name, {"cwd": folder, **draft.settings})
        if log and writers.setdefault(log.file, draft.name) != draft.name:
            at: Path = (*draft.at, "log", "file")
            what = f"this file is the log of {writers[log.file]} already — write such as {{system}}/{{job}}.log"
            yield Problem(text.value(at), f"{draft.name}: log", what)


# From what is written to the plan.


def _fixup_paths(file: settings.File) -> list[str]:
    levels: list[settings.File | settings.System | settings.Job] = [file]
    for system in file.systems.values():
        levels += [system, *system.jobs.values()]
    return list(dict.fromkeys(item for level in levels for item in level.fixups or () if kinds.is_path(item)))


class _Armory:
    """Which fixups are armed for a job."""

    __slots__ = ("_by_path", "_fixups", "_standard")

    def __init__(self, fixups: Mapping[str, plan.Fixup], standard: list[str], by_path: Mapping[str, list[str]]) -> None:
        self._fixups = fixups
        self._standard = standard
        self._by_path = by_path

    def armed(self, written: list[str] | None, texts: list[str]) -> tuple[str, ...]:
        """`written` is what the nearest `fixups` says, None when there is none."""
        names = self._standard
        if written is not None:
            names = [name for item in written if item for name in self._by_path.get(item, [item])]
        fixups = [self._fixups[name] for name in dict.fromkeys(names) if name in self._fixups]
        return tuple(fixup.name for fixup in fixups if _is_for(fixup, texts))


def _is_for(fixup: plan.Fixup, texts: list[str]) -> bool:
    return any(
        match.command is None or any(matcher.search(match.command, text) for text in texts) for match in fixup.match
    )


def _systems(
    file: settings.File,
    text: Document,
    folder: str,
    needs: Mapping[str, tuple[plan.Need, ...]],
    armory: _Armory,
) -> tuple[plan.System, ...]:
    systems = []
    for name, system in file.systems.items():
        at: Path = ("systems", name)
        layers = (file.defaults, system.defaults)
        written = file.fixups if system.fixups is None else system.fixups
        jobs = []
        for job_name, job in system.jobs.items():
            job_at: Path = (*at, "jobs", job_name)
            pieces = _commands(job, text, (*job_at, "commands"))
            texts = [piece.text for piece in pieces]
            full_name = f"{name}/{job_name}"
            merged = {"cwd": folder, **_merged(*layers, job)}
            jobs.append(
                plan.Job(
                    name=full_name,
                    title=job.title or commands.title(texts),
                    commands=pieces,
                    start=job.start,
                    fixups=armory.armed(written if job.fixups is None else job.fixups, texts),
                    needs=needs[full_name],
                    where=text.key(job_at),
                    **merged | {"log": _log(full_name, merged)},
                )
            )
        systems.append(plan.System(name, tuple(jobs), system.start, text.key(at)))
    return tuple(systems)


def _commands(job: settings.Job, text: Document, at: Path) -> tuple[plan.Command, ...]:
    if text.is_list(at):
        return tuple(plan.Command(command, text.value((*at, row))) for row, command in enumerate(job.commands))
    return tuple(plan.Command(piece.text, text.row(at, piece.row)) for piece in commands.split(job.commands[0]))


def _log(job: str, merged: Mapping[str, Any]) -> plan.Log | None:
    """The job's own, among its settings, whose file is in its folder."""
    log: plan.Log | None = merged.get("log")
    if log is None:
        return None
    file = log.file
    for place, name in zip(kinds.LOG_PLACES, job.split("/"), strict=True):
        file = file.replace(place, name)
    return log._replace(file=os.path.normpath(os.path.join(merged["cwd"], file)))


_ALONE = ("commands", "title", "start", "fixups", "needs")  # what the plan has of these is more than what is written


def _merged(*layers: settings.Defaults | None) -> dict[str, Any]:
    """The settings of a job as the plan names them, the later layer over the earlier."""
    merged: dict[str, Any] = {}
    env: dict[str, str | None] = {}
    for layer in layers:
        if layer is not None:
            given = layer.given()
            env |= given.pop("env", {})
            merged |= {name: value for name, value in given.items() if name not in _ALONE}
    return {name: _word(value) for name, value in merged.items()} | {"env": tuple(env.items())}


def _word(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_word, value))
    return value.word() if isinstance(value, _WORDS) else value


_WORDS = (
    *(settings.Backoff, settings.Buffer, settings.Stop, settings.Answer),
    *(settings.Ready, settings.Health, settings.Ping, settings.Hooks, settings.Limits, settings.Log),
)
