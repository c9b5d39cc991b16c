"""What can be done: each key asks the runner for what it says, or changes what is seen and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorded import NOON, Person, Recorded, became, job, plan, runs
from tests.shop import API, ASSETS, BACKUP, CACHE, DATABASE, MAIL, MIGRATION, WORKER, shop
from zap import events, requests
from zap.events import LOG, State, Status
from zap.tui.desk import KNOWN_MOST
from zap.tui.tree import Entry


@pytest.fixture
def ann() -> Iterator[Person]:
    with Person(shop(), 120, 40) as person:
        yield person


def asked(ann: Person) -> list[requests.Request]:
    told, ann.session.asked = ann.session.asked, []
    return told


def said(ann: Person) -> str:
    return ann.screen[-1].strip()


def go_to(ann: Person, name: str) -> None:
    ann.desk.tree.select(name)
    ann.desk.show_selected()
    ann.resizes(*ann.size)


# What the runner is asked for.


def test_a_job_is_restarted_stopped_and_started(ann: Person) -> None:
    ann.presses("R")
    assert (asked(ann), said(ann)) == ([requests.Restart((API,))], "restarting web/api")
    ann.presses("s")
    assert (asked(ann), said(ann)) == ([requests.Stop((API,))], "stopping web/api")
    go_to(ann, BACKUP)
    ann.presses("s")
    assert (asked(ann), said(ann)) == ([requests.Start((BACKUP,))], "starting data/backup")


def test_of_a_system_those_are_stopped_that_are_up(ann: Person) -> None:
    ann.presses("home", "s")
    assert asked(ann) == [requests.Stop((API, WORKER, ASSETS))]
    ann.presses("R")
    assert asked(ann) == [requests.Restart((API, WORKER, ASSETS))]
    for name in (API, WORKER, ASSETS):
        ann.hears(became(name, State.STOPPED))
    ann.presses("s")
    assert asked(ann) == [requests.Start((API, WORKER, ASSETS))], "not what is only started by its name"


def test_a_job_is_paused_and_goes_on(ann: Person) -> None:
    ann.presses("P")
    assert (asked(ann), said(ann)) == ([requests.Pause((API,))], "pausing web/api")
    ann.hears(events.Paused(API, 2))
    ann.presses("right")
    assert said(ann).startswith("P resume")
    ann.presses("P")
    assert (asked(ann), said(ann)) == ([requests.Resume((API,))], "letting go on: web/api")
    ann.hears(events.Resumed(API, 2))
    ann.presses("right")
    assert "resume" not in said(ann)
    go_to(ann, BACKUP)
    ann.presses("P")
    assert (asked(ann), said(ann)) == ([], "nobody is there to be paused")


def test_of_a_system_those_are_paused_that_go_on_and_when_none_does_all_go_on(ann: Person) -> None:
    ann.hears(*runs(WORKER, "true", epoch=2), events.Paused(WORKER, 2))
    ann.presses("home", "P")
    assert asked(ann) == [requests.Pause((API,))]
    ann.hears(events.Paused(API, 2))
    ann.presses("P")
    assert asked(ann) == [requests.Resume((API, WORKER))]


def test_another_zap_takes_over_or_it_is_told_why_not(ann: Person) -> None:
    ann.presses("ctrl u")
    assert (asked(ann), said(ann)) == ([requests.Upgrade()], "another runner takes over")
    ann.hears(events.TookOver(4800, "1.1", "an upgrade was asked for by process 9 of user 1", 0.2))
    assert said(ann) == "another runner goes on: an upgrade was asked for by process 9 of user 1"
    ann.session.refusal = "the zap that is installed now cannot take over: something is missing"
    ann.presses("ctrl u")
    assert said(ann) == "zap was not upgraded"
    assert ann.sees("· the zap that is installed now cannot take over: something is missing")


def test_an_action_is_for_the_job_whose_output_has_the_focus(ann: Person) -> None:
    ann.presses("|", "end")
    ann.desk.at = 1
    ann.desk.tree.select(CACHE)
    ann.desk.show_selected()
    ann.presses("tab", "R")
    assert asked(ann) == [requests.Restart((API,))]
    ann.presses("tab", "R")
    assert asked(ann) == [requests.Restart((CACHE,))]
    ann.presses("tab", "up", "R")
    assert asked(ann) == [requests.Restart((DATABASE,))]


def test_the_log_is_nothing_to_be_restarted(ann: Person) -> None:
    ann.presses("end", "R", "s", "k", "f", "C")
    assert asked(ann) == []
    ann.presses("R")
    assert said(ann) == "choose a job first"


def test_what_the_runner_refuses_is_said(ann: Person) -> None:
    ann.session.refusal = "zap is ending: it takes no more requests"
    ann.presses("R")
    assert said(ann) == "zap is ending: it takes no more requests"
    assert ann.attrs_of("zap is ending") == {"notice bad on bar"}


def test_of_what_cannot_be_done_for_several_jobs_nothing_is_lost(ann: Person) -> None:
    ann.session.refusal = "web/api does not read\nweb/worker is backoff: there is nobody"
    ann.presses("home", "R")
    assert said(ann) == "web/api does not read"
    assert ann.sees("· web/worker is backoff: there is nobody")
    ann.presses("esc")
    assert not ann.sees("┌")


def test_the_plan_is_reloaded(ann: Person) -> None:
    ann.presses("ctrl r")
    assert (asked(ann), said(ann)) == ([requests.Reload()], "the plan was read again")
    ann.hears(events.Reloaded((), ("web/old",), (API,), ()))
    assert "removed web/old; restarted web/api" in ann.screen[-2]


def test_what_is_wrong_with_a_plan_is_all_told_and_can_be_scrolled(ann: Person) -> None:
    problems = [f"jobs.yaml:{line}:5: web/api: needs: there is no job of the name {line}" for line in range(1, 61)]
    ann.session.refusal = "\n".join(problems)
    ann.presses("ctrl r")
    assert said(ann) == "the plan was not reloaded"
    seen = set()
    for _ in range(4):
        seen |= {row.partition("· ")[2].rpartition("│")[0].strip() for row in ann.screen if "· jobs.yaml" in row}
        ann.presses("page down")
    assert seen == set(problems)
    ann.presses("esc")
    assert not ann.sees("jobs.yaml:")


def test_what_is_wrong_with_a_plan_does_not_take_the_keys_of_who_is_typing(ann: Person) -> None:
    """It is said when the runner has read the plan, and by then one may be elsewhere."""
    ann.presses("/")
    ann.session.refusal = "jobs.yaml:1:1: what?"
    ann.does("reload")
    ann.types("x")
    assert not ann.sees("what?")
    ann.presses("enter")
    assert ann.sees("· jobs.yaml:1:1: what?")


def test_a_signal_is_chosen_from_a_menu(ann: Person) -> None:
    ann.presses("k", "h")
    assert asked(ann) == [requests.Signal((API,), "HUP")]
    go_to(ann, MIGRATION)
    ann.presses("k")
    assert (asked(ann), said(ann)) == ([], "nobody is there to be sent a signal")


def test_a_fixup_is_chosen_from_a_menu(ann: Person) -> None:
    ann.presses("f", "down", "enter")
    assert asked(ann) == [requests.Fix((API,), "install-dependencies")]


def test_lines_are_let_go_of(ann: Person) -> None:
    ann.presses("C")
    assert asked(ann) == [requests.Clear((API,))]
    ann.hears(events.Cleared(API))
    assert not ann.sees("GET")
    ann.hears_say(API, "a new line\n")
    assert ann.sees("  a new line")


# Leaving.


def test_who_leaves_may_leave_everything_running(ann: Person) -> None:
    ann.presses("q")
    assert ann.sees("5 jobs are running.")
    assert ann.farewell is None
    ann.presses("enter")
    assert (ann.farewell, asked(ann)) == ("zap goes on in the background: `zap` shows it again, `zap down` ends it", [])


def test_who_leaves_may_stop_everything_and_is_told_when_it_has_ended(ann: Person) -> None:
    ann.presses("q", "s")
    assert asked(ann) == [requests.Close()]
    assert ann.farewell is None
    ann.presses("q")
    assert asked(ann) == [requests.Close(is_hurried=True)], "a second time does not wait"
    ann.hears(events.Closed(2))
    assert ann.farewell == "zap: everything has ended; 2 processes could not be ended"


def test_who_has_thought_better_of_it_stays(ann: Person) -> None:
    ann.presses("q", "esc")
    assert ann.farewell is None
    assert not ann.sees("close zap")


def test_a_runner_that_was_ended_by_others_ends_the_interface(ann: Person) -> None:
    ann.hears(events.Closed())
    assert ann.farewell == "zap: the runner has ended"


# Programs that take the terminal.


@pytest.mark.parametrize(
    ("environ", "argv"),
    [
        ({}, ["vi", "+{line}", "/home/ann/shop/jobs.yaml"]),
        ({"EDITOR": "nano -w"}, ["nano", "-w", "+{line}", "/home/ann/shop/jobs.yaml"]),
        ({"EDITOR": "x", "VISUAL": "code --wait"}, ["code", "--wait", "--goto", "/home/ann/shop/jobs.yaml:{line}:5"]),
        ({"EDITOR": "subl"}, ["subl", "/home/ann/shop/jobs.yaml:{line}:5"]),
    ],
)
def test_the_editor_opens_the_jobs_place(environ: dict[str, str], argv: list[str]) -> None:
    with Person(shop(), environ=environ) as ann:
        ann.presses("e")
        place = ann.desk.tree.jobs[API].where
        assert place
        assert ann.programs == [[part.format(line=place.line) for part in argv]]


def test_the_editor_opens_the_file_where_no_job_is_meant(ann: Person) -> None:
    ann.presses("end", "e")
    assert ann.programs == [["vi", "/home/ann/shop/jobs.yaml"]]


def test_the_pager_gets_all_lines_with_their_colours(ann: Person, tmp_path: Path) -> None:
    read: list[str] = []
    ann.hand_over = lambda argv: read.extend([*argv[:-1], Path(argv[-1]).read_text()])  # type: ignore[method-assign]
    ann.presses("tab", "p")
    assert read[:2] == ["less", "-R"]
    assert len(read[2].splitlines()) == ann.session.buffers[API].last
    assert "\x1b[1;36mlistening\x1b[0m" in read[2]


def test_a_program_that_is_not_there_is_told_of(ann: Person) -> None:
    def fail(argv: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    ann.hand_over = fail  # type: ignore[method-assign]
    ann.presses("e")
    assert said(ann) == "$EDITOR: vi: No such file or directory"


def test_the_interface_goes_into_the_background_of_the_shell(ann: Person) -> None:
    ann.presses("ctrl z")
    assert ann.is_suspended


# What is seen.


def test_tab_goes_from_pane_to_pane_and_back(ann: Person) -> None:
    ann.presses("|")
    seen = []
    for _ in range(4):
        ann.presses("tab")
        seen.append((ann.desk.has_focus, ann.desk.at))
    assert seen == [(True, 0), (True, 1), (False, 1), (True, 0)]


def test_the_same_job_beside_itself_is_looked_at_twice(ann: Person) -> None:
    ann.presses("|", "home", "down")
    assert [output.job for output in ann.desk.outputs] == [API, API]
    ann.presses("tab", "page up")
    assert [output.is_following for output in ann.desk.outputs] == [False, True]


def test_a_view_is_found_again_as_it_was_left(ann: Person) -> None:
    ann.presses("tab", "page up")
    before = ann.screen
    ann.presses("tab", "down")
    assert ann.sees("celery")
    ann.presses("up", "tab")
    assert ann.screen == before


def test_why_each_of_what_is_selected_is_as_it_is(ann: Person) -> None:
    ann.presses("W")
    assert ann.sees("┌─ why")
    assert ann.sees("web/api is ready for")
    ann.presses("esc", "home", "W")
    for name in (API, WORKER):
        assert ann.sees(f"{name} is ")
    ann.presses("esc", "end", "W")
    assert ann.sees("choose a job first")


def test_why_tells_of_whom_a_job_waits_for(ann: Person) -> None:
    ann.hears(became(WORKER, State.WAITING), events.Waits(WORKER, 1, (events.Lack(BACKUP, "done", is_hopeless=True),)))
    go_to(ann, WORKER)
    ann.presses("W")
    assert ann.sees("web/worker waits for data/backup")
    assert ann.sees("exit 1, and 5 tries are used up"), "which is why that one has failed"


def test_only_the_views_that_were_looked_at_last_are_kept() -> None:
    names = [f"s/j{number:02}" for number in range(KNOWN_MOST + 4)]
    session = Recorded(plan(*[job(name, "true") for name in names]))
    with Person(session) as ann:
        ann.presses("home", *["down"] * (len(names) + 1), *["up"] * len(names))
        assert len(ann.desk.known) == KNOWN_MOST
        assert list(ann.desk.known)[-1] == tuple(ann.desk.output_here.feed.jobs)
        assert ann.desk.output_here in ann.desk.known.values()


def test_all_jobs_in_one_view_and_back(ann: Person) -> None:
    ann.presses("m")
    assert ann.sees("all jobs")
    ann.presses("down")
    assert ann.sees("web/worker · backoff")


def test_all_lines_of_all_jobs_can_be_seen_together(ann: Person) -> None:
    ann.presses("m", "tab", "home")
    assert "listening on 127.0.0.1:5432" in ann.screen[1]
    ann.presses("&")
    ann.types("error")
    ann.presses("enter")
    assert ann.sees("data/backup    ┃ pg_dump: error: connection refused")
    assert ann.sees("web/api        ┃ Error: listen EADDRINUSE")


@pytest.mark.parametrize(
    ("keys", "before"),
    [
        (["v", "up"], "selected"),
        (["/", "G", "E", "T", "enter"], "hits of GET"),
        (["E"], "only errors"),
        (["page up"], "below"),
        (["l"], "data/database started"),
        (["m"], "all jobs"),
    ],
)
def test_back_takes_away_what_was_opened_last(ann: Person, keys: list[str], before: str) -> None:
    ann.presses("tab", *keys)
    assert ann.sees(before)
    ann.presses("esc", "esc")
    assert not ann.sees(before)


def test_back_at_the_end_goes_to_the_tree(ann: Person) -> None:
    ann.presses("tab", "esc")
    assert not ann.desk.has_focus


def test_long_lines_wrap_or_are_cut_and_times_show_in_every_pane(ann: Person) -> None:
    ann.hears_say(API, "x" * 300 + "\n")
    rows = sum("xxx" in row for row in ann.screen)
    ann.presses("|", "tab", "w", "t")
    assert rows > 2
    assert sum("xxx" in row for row in ann.screen) == 1
    assert sum("08:00:01.000" in row for row in ann.screen) == 1, "also of the other pane"


# Searching, filtering.


def test_a_search_marks_while_one_types_and_goes_to_the_nearest_hit(ann: Person) -> None:
    ann.presses("tab", "/")
    ann.types("vulner")
    assert ann.sees("0/1 hits of vulner")
    assert not ann.sees("7 vulnerabilities"), "one is still where one was"
    ann.presses("enter")
    assert ann.sees("1/1 hits of vulner")
    assert ann.sees("▸ 7 vulnerabilities")
    ann.presses("n")
    assert said(ann) == "no more lines match in this direction"


def test_a_search_that_is_given_up_leaves_the_one_before(ann: Person) -> None:
    ann.presses("tab", "/")
    ann.types("GET")
    ann.presses("enter", "/", "ctrl u")
    ann.types("xyz")
    assert ann.sees("0/0 hits of xyz")
    ann.presses("esc")
    assert ann.sees("hits of GET")


def test_of_hits_that_may_not_be_all_it_is_said_so(ann: Person) -> None:
    ann.hears_say(API, "line\n" * 3000)
    ann.presses("tab", "/", *"line")
    assert ann.sees("+ hits of line")
    ann.presses("enter")
    assert ann.sees("3000/3000 hits of line")


def test_a_search_without_hits_says_so(ann: Person) -> None:
    ann.presses("tab", "n")
    assert said(ann) == "nothing is searched for yet: / begins"
    ann.presses("/")
    ann.types("xyz")
    ann.presses("enter")
    assert said(ann) == "no line matches"


def test_where_one_reads_above_every_hit_the_next_below_is_the_nearest(ann: Person) -> None:
    ann.presses("tab", "home", "/")
    ann.types("items/40")
    ann.presses("enter")
    assert ann.sees("1/1 hits")


def test_what_is_no_pattern_is_told_and_can_be_mended(ann: Person) -> None:
    for key in ("/", "&"):
        ann.presses("tab" if key == "/" else "esc", key)
        ann.types("(items")
        ann.presses("enter")
        assert "missing )" in said(ann)
        ann.presses("home", "delete")
        assert "missing" not in said(ann)
        ann.presses("enter")
    assert ann.sees("only items")


def test_the_same_filter_again_takes_it_away(ann: Person) -> None:
    ann.presses("tab", "E")
    assert ann.sees("only errors")
    ann.presses("Z")
    assert ann.sees("only zap's remarks")
    ann.presses("Z")
    assert not ann.sees("only")
    ann.presses("&", *"errors", "enter")
    assert ann.sees("only errors")
    ann.presses("E")
    assert ann.sees("EADDRINUSE"), "a pattern of that name is another filter"


def test_a_filter_finds_what_was_said_long_ago_and_what_is_said_next(ann: Person) -> None:
    ann.hears_say(API, "needle one\n" + "hay\n" * 3000)
    ann.presses("tab", "&", *"needle", "enter")
    ann.hears_say(API, "more hay\nneedle two\n")
    assert [row.partition("│")[2].strip() for row in ann.screen[1:4]] == ["needle one", "needle two", ""]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("}", "later error"),
        ("{", "earlier error"),
        (")", "later fixup"),
        ("(", "earlier fixup"),
        ("[", "earlier command"),
    ],
)
def test_where_there_is_none_it_is_said(key: str, what: str) -> None:
    session = Recorded(plan(job(API, "true")))
    session.say(API, "line\n")
    with Person(session) as ann:
        ann.presses("tab", key)
        assert said(ann) == f"no {what}"


def test_an_error_of_long_ago_is_fetched(ann: Person) -> None:
    ann.hears_say(API, "line\n" * 3000)
    ann.presses("tab", "{")
    assert ann.sees("▸ Error: listen EADDRINUSE")


def test_a_command_of_long_ago_is_fetched(ann: Person) -> None:
    ann.hears_say(API, "line\n" * 3000)
    ann.presses("tab", "[", "[")
    assert "npm run build" in ann.screen[1]


# The tree.


def test_enter_on_a_system_folds_it_and_on_a_job_types_into_it(ann: Person) -> None:
    ann.presses("home", "enter")
    assert not ann.sees("worker")
    ann.presses("enter", "down", "enter")
    assert ann.sees("typing into web/api")


def test_enter_on_a_command_goes_to_its_lines(ann: Person) -> None:
    ann.presses("right", "down", "down", "down")
    assert ann.desk.tree.selected == Entry("web", API, 3)
    ann.presses("enter")
    assert ann.sees("▸ [ 1/30] compiled")
    assert ann.desk.has_focus


def test_enter_on_a_command_that_has_not_run_says_so(ann: Person) -> None:
    go_to(ann, ASSETS)
    ann.presses("right", "down", "enter")
    assert said(ann) == "this command has not run yet"


def test_enter_on_the_log_goes_to_it(ann: Person) -> None:
    ann.presses("end", "enter")
    assert ann.desk.where == "output"
    assert ann.desk.output_here.job == LOG


def test_narrowing_goes_to_the_best_and_may_be_given_up(ann: Person) -> None:
    ann.presses("/")
    ann.types("dat")
    assert ann.desk.tree.selected == Entry("data", CACHE), "which shows at once"
    assert ann.sees("data/cache · stopping")
    ann.presses("down")
    assert ann.desk.tree.selected == Entry("data", BACKUP)
    ann.presses("esc")
    assert ann.desk.tree.selected == Entry("web", API)
    assert ann.sees("web/api · ready")


def test_a_narrowed_tree_is_widened_by_going_back(ann: Person) -> None:
    ann.presses("/", *"wk", "enter")
    assert not ann.sees("database")
    ann.presses("esc")
    assert ann.sees("database")
    assert ann.desk.tree.selected == Entry("web", WORKER)


# Events.


def test_the_event_log_begins_before_one_came_and_goes_on(ann: Person) -> None:
    ann.presses("l")
    assert ann.sees("zap 1.0 opened /home/ann/shop/jobs.yaml")
    ann.hears(events.Exited(DATABASE, 1, Status(1), 300.0))
    assert ann.sees("data/database exit 1 after 5 min 0 s")
    told = [row for row in ann.screen if "opened" in row]
    ann.presses("l", "l")
    assert [row for row in ann.screen if "opened" in row] == told, "nothing comes twice"


def test_enter_goes_from_an_event_to_what_the_job_said_then(ann: Person) -> None:
    ann.hears_say(API, "line\n" * 3000)
    ann.presses("tab", "E", "l")
    while "🔧 fixup free-port: another" not in _selected_row(ann):
        ann.presses("up")
    ann.presses("enter")
    assert ann.desk.where == "output"
    assert ann.sees("▸ Error: listen EADDRINUSE"), "the line that called for the fixup"
    assert not ann.sees("only errors"), "what is not an error would not be there"


def test_an_event_without_a_line_leads_to_its_time(ann: Person) -> None:
    ann.session.now = NOON + 1000
    ann.hears(events.Exited(CACHE, 1, Status(0), 1.0))
    ann.hears_say(CACHE, "* said later\n")
    ann.presses("l")
    ann.presses("enter")
    assert ann.sees("data/cache")
    assert ann.sees("▸ * said later")


def test_what_somebody_has_asked_for_one_job_leads_to_it(ann: Person) -> None:
    by = "process 9 of user 1"
    ann.hears(events.Requested("stop", (DATABASE,), by), events.Requested("stop", (DATABASE, CACHE), by))
    ann.presses("l", "up", "enter")
    assert ann.desk.output_here.job == DATABASE
    ann.presses("l", "end", "enter")
    assert said(ann) == "this event is of no job"


def test_an_event_of_no_job_leads_nowhere(ann: Person) -> None:
    ann.presses("l", "home", "enter")
    assert said(ann) == "this event is of no job"
    ann.hears(events.Exited(CACHE, 1, Status(0), 1.0), events.Removed(CACHE))
    ann.presses("end", "enter")
    assert said(ann) == "data/cache is not in the plan any more"


def test_enter_on_a_plan_that_is_not_right_tells_all_that_is_wrong(ann: Person) -> None:
    long = "jobs.yaml:3:5: " + "very " * 40 + "wrong"
    ann.hears(events.NotReloaded(f"{long}\njobs.yaml:9:5: and that"))
    assert "✗ the plan has changed, and is not right" in ann.screen[-2]
    assert ann.attrs_of("✗ the plan has changed") == {"notice bad"}
    ann.presses("l")
    assert ann.sees("  jobs.yaml:9:5: and that")
    assert not ann.sees("wrong")
    ann.presses("enter")
    assert ann.sees("very wrong")
    ann.presses("esc", "l")
    ann.clicks(12, 38)
    assert ann.sees("· jobs.yaml:9:5: and that"), "also from the line of what happened last"


def _selected_row(ann: Person) -> str:
    from tests.recorded import shown

    rows = [row for row in ann.runs if any("selected focus" in shown(attr) for attr, _ in row)]
    return "".join(text for _, text in rows[0])


# Typing.


@pytest.mark.parametrize(
    ("name", "why"), [(MIGRATION, "is done: there is nobody to type to"), (MAIL, "is stopped: there is nobody")]
)
def test_where_nobody_is_one_cannot_type(ann: Person, name: str, why: str) -> None:
    go_to(ann, name)
    ann.presses("enter")
    assert why in said(ann)
    assert ann.desk.where == "tree"


def test_where_there_is_no_terminal_one_cannot_type() -> None:
    session = Recorded(plan(job(API, "cat", tty=False)))
    for fact in runs(API, "cat"):
        session.tell(fact)
    with Person(session, 120, 24) as ann:
        ann.presses("i")
        assert said(ann) == "web/api has no terminal, because of its setting `tty: false`"


def test_what_is_typed_goes_to_the_job_and_one_key_leaves(ann: Person) -> None:
    ann.presses("i", *"ls R", "enter", "ctrl c", "up")
    sent = "".join(request.text for request in asked(ann) if isinstance(request, requests.Send))
    assert sent == "ls R\r\x03\x1b[A"
    ann.presses("ctrl ]", "R")
    assert asked(ann) == [requests.Restart((API,))]


def test_the_jobs_terminal_has_the_size_of_the_pane(ann: Person) -> None:
    ann.presses("i")
    sizes = [(request.rows, request.columns) for request in asked(ann) if isinstance(request, requests.Resize)]
    assert sizes[-1] == (37, 79)
    ann.resizes(60, 15)
    sizes = [(request.rows, request.columns) for request in asked(ann) if isinstance(request, requests.Resize)]
    assert sizes[-1] == (12, 60)


def test_when_the_job_ends_there_is_nobody_to_type_to_any_more(ann: Person) -> None:
    ann.presses("i")
    ann.hears(events.Exited(API, 2, Status(3), 1.0))
    assert ann.desk.where == "output"
    assert said(ann) == "web/api has ended: exit 3"
