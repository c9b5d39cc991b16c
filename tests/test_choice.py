"""What a person names is what is meant, or it is said what could be."""

from __future__ import annotations

import re

import pytest

from zap.choice import among, choose
from zap.errors import ZapError
from zap.plan import Job, Plan, System


def plan(**systems: dict[str, bool]) -> Plan:
    """Systems of jobs that start by default or not; a system whose name ends in `_` does not."""
    return Plan(
        "/jobs.yaml",
        "id",
        tuple(
            System(
                name.rstrip("_"),
                tuple(Job(f"{name.rstrip('_')}/{job}", job, (), "/", start=start) for job, start in jobs.items()),
                start=not name.endswith("_"),
            )
            for name, jobs in systems.items()
        ),
    )


PLAN = plan(
    web={"api": True, "worker": True, "seed": False},
    shop={"api": True, "web": True},
    tools_={"psql": True, "dump": False},
    rare={"backup": False},
)


def chosen(*names: str, of: Plan = PLAN) -> list[str]:
    return [job.name for job in choose(of, names)]


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        ("", "web/api web/worker shop/api shop/web"),
        ("shop", "shop/api shop/web"),
        ("web/worker", "web/worker"),
        ("worker", "web/worker"),
        ("tools", "tools/psql"),
        ("psql", "tools/psql"),
        ("dump", "tools/dump"),
        ("seed", "web/seed"),
        ("tools seed", "web/seed tools/psql"),
        ("rare/backup", "rare/backup"),
    ],
)
def test_names_choose(names: str, jobs: str) -> None:
    assert chosen(*names.split()) == jobs.split()


def test_a_system_goes_before_a_job_of_the_same_name() -> None:
    assert chosen("web") == ["web/api", "web/worker"]
    assert chosen("shop/web") == ["shop/web"]


def test_the_order_is_the_plans_and_each_comes_once() -> None:
    assert chosen("tools/psql", "shop", "worker", "shop/api", "shop", "web/worker") == [
        "web/worker",
        "shop/api",
        "shop/web",
        "tools/psql",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("api", "more than one job is called api: shop/api, web/api"),
        ("wroker", "no system or job is called wroker — did you mean web/worker?"),
        ("sohp", "no system or job is called sohp — did you mean shop?"),
        ("tols", "no system or job is called tols — did you mean tools?"),
        ("", "no system or job is called  — there are web, shop, tools, rare, web/api"),
        ("rare", "no job of rare starts with it; name one: rare/backup"),
    ],
)
def test_a_name_that_is_not_clear_is_told_with_what_there_is(name: str, said: str) -> None:
    with pytest.raises(ZapError) as raised:
        chosen("shop", name)
    assert str(raised.value).startswith(said)
    assert raised.value.code == 2


def test_when_nothing_starts_by_default_it_says_what_could() -> None:
    with pytest.raises(ZapError, match=r"^nothing starts by default; name a system or a job: tools, rare, tools/psql"):
        chosen(of=plan(tools_={"psql": True}, rare={"backup": False}))


def test_a_long_list_of_names_is_cut() -> None:
    many = plan(many_={f"job{number}": True for number in range(50)})
    with pytest.raises(ZapError, match=r"many, many/job0, .*, many/job10 and 39 more$"):
        chosen(of=many)


JOBS = [job.name for job in PLAN.jobs]


@pytest.mark.parametrize(
    ("names", "jobs"),
    [
        ("", " ".join(JOBS)),
        ("web", "web/api web/worker web/seed"),
        ("rare", "rare/backup"),
        ("seed shop/api", "web/seed shop/api"),
        ("worker web/worker", "web/worker"),
    ],
)
def test_among_all_jobs_a_system_is_the_whole_of_it(names: str, jobs: str) -> None:
    assert among(JOBS, names.split()) == jobs.split()


@pytest.mark.parametrize("name", ["nonsense", "api"])
def test_among_all_jobs_the_same_is_refused_for_the_same_reason(name: str) -> None:
    with pytest.raises(ZapError) as told:
        choose(PLAN, [name])
    with pytest.raises(ZapError, match=re.escape(str(told.value))):
        among(JOBS, [name])


def test_what_lives_comes_with_its_system() -> None:
    assert [job.name for job in choose(PLAN, ["web"], living=["web/seed", "tools/dump"])] == [
        *("web/api", "web/worker", "web/seed")
    ]
    assert [job.name for job in choose(PLAN, ["rare"], living=["rare/backup"])] == ["rare/backup"]
