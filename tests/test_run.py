"""`zap run` as a person runs it: the real program, real children, what it prints and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.zap import DEADLINE, Zap, facts, is_alive, lines, wait_until


@pytest.fixture
def zap(tmp_path: Path) -> Zap:
    return Zap(tmp_path)


def test_three_lines_are_a_plan(zap: Zap) -> None:
    zap.write("""\
        systems:
          web:
            api: echo hello
        """)
    done = zap.run("run")
    assert done.returncode == 0, done.stderr
    assert "web/api │ hello\n" in done.stdout
    assert "✓ web/api  done" in done.stdout
    assert "\x1b" not in done.stdout


def test_events_are_numbered_and_lines_belong_to_commands(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            j:
              - echo one
              - cd /; X=5
              - echo $X $PWD; echo bad >&2
        """)
    told, code = zap.told()
    assert code == 0
    numbers = [item["n"] for item in told if "n" in item]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [(item["stream"], item["command"], item["text"]) for item in told if item["event"] == "line"] == [
        ("out", 1, "one"),
        ("out", 3, "5 /"),
        ("err", 3, "bad"),
        ("zap", 0, "✓ done"),
    ] or sorted(lines(told, "s/j")) == sorted(["one", "5 /", "bad", "✓ done"])
    ended = facts(told, "command_ended")
    assert [(item["command"], item["status"]) for item in ended] == [(n, {"code": 0}) for n in (1, 2, 3)]
    assert facts(told, "exited")[0]["status"] == {"code": 0}
    assert told[-1]["event"] == "summary"
    assert told[-1]["jobs"][0]["outcome"] == "done"
    assert facts(told, "closed")[0]["left"] == 0


def test_exit_code_is_that_of_the_first_job_that_failed(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            good: echo fine
            bad: [echo a, exit 7]
            worse: [sleep 0.5, exit 9]
        """)
    done = zap.run("run")
    assert done.returncode == 7
    assert "✗ s/bad    failed" in done.stdout
    assert "exit 7 at command 2/2 `exit 7`" in done.stdout


def test_a_job_killed_by_a_signal_counts_as_a_shell_counts_it(zap: Zap) -> None:
    zap.write("systems: {s: {j: 'kill -KILL $$'}}")
    done = zap.run("run")
    assert done.returncode == 128 + 9
    assert "killed by KILL" in done.stdout


def test_restarts_back_off_and_then_it_has_failed(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            j: {commands: [exit 3], restart: on-failure, tries: 3, backoff: {first: 10ms, jitter: 0}}
        """)
    told, code = zap.told()
    assert code == 3
    assert len(facts(told, "spawned")) == 3
    delays = [item["seconds"] for item in facts(told, "became") if item["state"] == "backoff"]
    assert delays == pytest.approx([0.01, 0.02])
    assert facts(told, "became")[-1]["why"] == "exit 3 at command 1/1 `exit 3`; gave up after 3 tries"
    assert told[-1]["jobs"][0]["restarts"] == 2


def test_what_cannot_be_started_says_why(zap: Zap) -> None:
    (zap.folder / "bad.env").write_bytes(b"A=\xff")
    zap.write("""\
        systems:
          s:
            folder: {commands: [echo no], cwd: nowhere}
            shell: {commands: [echo no], shell: /no/such/shell}
            variables: {commands: [echo no], env_file: bad.env}
        """)
    done = zap.run("run")
    assert done.returncode == 127
    assert f"file {zap.folder}/bad.env: it is not UTF-8 text" in done.stdout
    assert f"folder {zap.folder}/nowhere: No such file or directory" in done.stdout
    assert "file /no/such/shell: No such file or directory" in done.stdout


def test_commands_that_are_too_long_for_the_system_say_so(zap: Zap) -> None:
    zap.write(f"systems: {{s: {{j: [': {'x' * 200_000}', echo]}}}}")
    assert "too long for the system: put them into a script" in zap.run("run").stdout


def test_quiet_prints_the_summary_alone(zap: Zap) -> None:
    zap.write("systems: {s: {j: echo hello}}")
    done = zap.run("run", "--quiet")
    assert done.stdout.split()[:3] == ["1", "job", "in"]
    assert "hello" not in done.stdout


def test_a_broken_plan_starts_nothing(zap: Zap) -> None:
    zap.write("systems: {s: {j: {commands: [touch started], restrat: always}}}")
    done = zap.run("run")
    assert done.returncode == 2
    assert done.stderr.startswith("jobs.yaml:1:")
    assert "restart" in done.stderr
    assert not (zap.folder / "started").exists()


def test_unknown_names_are_told_with_what_may_be_meant(zap: Zap) -> None:
    zap.write("systems: {web: {api: echo, worker: echo}}")
    done = zap.run("run", "web/wroker")
    assert done.returncode == 2
    assert "no system or job is called web/wroker — did you mean web/worker?" in done.stderr


def test_without_a_plan_it_says_where_it_looked(zap: Zap) -> None:
    done = zap.run("run")
    assert done.returncode == 2
    assert f"there is no jobs.yaml in {zap.folder}" in done.stderr


def test_names_choose_and_systems_that_do_not_start_wait(zap: Zap) -> None:
    zap.write("""\
        systems:
          web: {api: echo api, db: echo db}
          tools:
            start: false
            jobs: {psql: echo psql}
        """)
    assert {item["job"] for item in facts(zap.told()[0], "spawned")} == {"web/api", "web/db"}
    assert {item["job"] for item in facts(zap.told("psql", "web/db")[0], "spawned")} == {"tools/psql", "web/db"}


def test_the_plan_of_a_folder_above_is_found(zap: Zap) -> None:
    zap.write("systems: {s: {j: pwd}}")
    below = zap.folder / "a" / "b"
    below.mkdir(parents=True)
    done = subprocess.run([sys.executable, "-m", "zap", "run"], cwd=below, env=zap.env, capture_output=True, text=True)
    assert f"s/j │ {zap.folder}\n" in done.stdout


def test_until_ready_ends_once_all_are_up(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            service: {commands: [sleep 1000], settle: 50ms}
            setup: echo done
        """)
    told, code = zap.told("--until", "ready")
    assert code == 0
    outcome = {job["job"]: job["outcome"] for job in told[-1]["jobs"]}
    assert outcome == {"s/service": "stopped", "s/setup": "done"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_everything_in_order(zap: Zap, number: signal.Signals, code: int) -> None:
    zap.write("""\
        systems:
          s:
            polite: "trap 'echo bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.05; done"
        """)
    with zap.start("run") as process:
        pid = int(zap.wait_file("pid"))
        process.send_signal(number)
        text, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert "s/polite │ bye\n" in text
    assert "■ s/polite  stopped" in text
    assert not is_alive(pid)


def test_a_second_ctrl_c_hurries(zap: Zap) -> None:
    zap.write("""\
        systems:
          s:
            stubborn: {commands: ["trap 'echo no' TERM; echo $$ > pid; while :; do sleep 0.05; done"], grace: 1000}
        """)
    with zap.start("run") as process:
        assert process.stdout
        pid = int(zap.wait_file("pid"))
        process.send_signal(signal.SIGINT)
        while "│ no" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert not is_alive(pid)


def test_a_signal_before_anything_was_started_is_not_lost(zap: Zap) -> None:
    """As early as can be: whenever it comes, nothing is left and the code is right, or Python was not up yet."""
    zap.write("systems: {s: {j: 'echo $$ > pid; sleep 1000'}}")
    for _ in range(5):
        (zap.folder / "pid").unlink(missing_ok=True)
        with zap.start("run") as process:
            pid = int(zap.wait_file("pid"))  # the child was born before the loop was there
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=DEADLINE)
        assert process.returncode == 130
        assert not is_alive(pid)


def test_when_nobody_reads_on_everything_ends(zap: Zap) -> None:
    zap.write("systems: {s: {j: 'echo $$ > pid; while :; do echo line; sleep 0.01; done'}}")
    with zap.start("run") as process:
        assert process.stdout
        pid = int(zap.wait_file("pid"))
        process.stdout.readline()
        process.stdout.close()
        process.wait(DEADLINE)
    assert process.returncode == 128 + 13
    assert not is_alive(pid)


def test_a_prompt_without_newline_is_visible_at_once(zap: Zap) -> None:
    zap.write("systems: {s: {j: 'printf \"Password: \"; read x'}}")
    with zap.start("run") as process:
        assert process.stdout
        seen = process.stdout.readline()
        assert seen == "s/j │ Password: \n" or "Password" in process.stdout.readline()


def test_hostile_output_does_not_drive_the_terminal(zap: Zap) -> None:
    zap.write(r"""
        systems:
          s:
            j:
              - printf '\033]0;title\007\033]52;c;AAAA\007\033[2J'
              - printf '\033[31mred\033[0m \033[6n\033P+q\033\\ \302\233 \342\200\256end\n'
        """)
    done = zap.run("run", "--color", "always")
    line = next(line for line in done.stdout.splitlines() if "red" in line)
    assert "\x1b[31mred\x1b[0m" in line
    for evil in ("\x1b]", "\x1b[2J", "\x1b[6n", "\x1bP", "\x9b", "\u202e", "\x07"):
        assert evil not in done.stdout


def test_colours_are_left_out_where_no_terminal_is(zap: Zap) -> None:
    zap.write(r"""
        systems:
          s:
            j: printf '\033[31mred\033[0m\n'
        """)
    assert "s/j │ red\n" in zap.run("run").stdout


def test_last_words_of_children_that_die_at_once_are_never_lost(zap: Zap) -> None:
    """A thousand of them, by pipe and by terminal, each with an unterminated last line."""
    jobs = {
        f"{kind}{number}": {"commands": [f"printf 'first\\nlast {number}'; exit 1"], "tty": kind == "tty"}
        for kind in ("tty", "pipe")
        for number in range(500)
    }
    zap.write(json.dumps({"systems": {"s": jobs}}))
    told, _ = zap.told()
    for kind in ("tty", "pipe"):
        for number in range(500):
            assert lines(told, f"s/{kind}{number}", "out") == ["first", f"last {number}"]


def test_a_fixup_heals_and_the_job_goes_on(zap: Zap) -> None:
    zap.write(
        """\
        about: the lock of a dead process is in the way
        match: {pattern: 'lock (?P<path>\\S+) is held'}
        effects: [deletes-file]
        mode: auto
        run: ['rm {path}', [echo, removed, '{path}']]
        verify: '[ ! -e {path} ]'
        then: restart
        examples: {matches: [lock /tmp/x is held]}
        """,
        "fixups/lock.yaml",
    )
    zap.write("""\
        systems:
          s:
            j:
              - echo working
              - '[ ! -e held ] || { echo "lock $PWD/held is held" >&2; exit 1; }'
              - echo through
        """)
    (zap.folder / "held").touch()
    told, code = zap.told()
    assert code == 0
    assert not (zap.folder / "held").exists()
    assert [item["fixup"] for item in facts(told, "matched")] == ["lock"]
    assert facts(told, "fix_started")[0]["commands"] == [
        f'zap_path={zap.folder}/held; rm "$zap_path"',
        f"echo removed {zap.folder}/held",
        f'zap_path={zap.folder}/held; [ ! -e "$zap_path" ]',
    ]
    assert facts(told, "fixed")[0]["is_verified"] is True
    assert lines(told, "s/j", "out") == ["working", "working", "through"]
    assert f"removed {zap.folder}/held" in lines(told, "s/j", "zap")
    assert told[-1]["jobs"][0] | {"seconds": 0} == {
        "job": "s/j",
        "outcome": "done",
        "seconds": 0,
        "restarts": 1,
        "status": {"code": 0},
        "fixups": ["lock"],
        "gave_up": [],
    }


ASK = """\
    about: something is in the way
    match: {pattern: 'in the way'}
    mode: ask
    run: [touch healed]
    then: restart
    examples: {matches: [in the way]}
    """
IN_THE_WAY = "systems: {s: {j: '[ -e healed ] || { echo in the way; exit 4; }'}}"


def test_a_fixup_that_wants_approval_is_only_told_of(zap: Zap) -> None:
    zap.write(ASK, "fixups/ask.yaml")
    zap.write(IN_THE_WAY)
    told, code = zap.told()
    assert code == 4
    assert facts(told, "proposed")[0]["commands"] == ["touch healed"]
    assert not facts(told, "fix_started")
    assert any("touch healed" in line for line in lines(told, "s/j", "zap"))


def test_heal_all_runs_it_and_heal_none_is_silent(zap: Zap) -> None:
    zap.write(ASK, "fixups/ask.yaml")
    zap.write(IN_THE_WAY)
    told, code = zap.told("--heal", "none")
    assert (code, facts(told, "matched")) == (4, [])
    told, code = zap.told("--heal", "all")
    assert (code, len(facts(told, "fixed"))) == (0, 1)


def test_a_fixup_gives_up_when_its_tries_are_used_up(zap: Zap) -> None:
    zap.write(
        """\
        about: it never helps
        match: {exit: 6}
        mode: auto
        run: [echo trying]
        then: restart
        tries: 2 in 1h
        """,
        "fixups/vain.yaml",
    )
    zap.write("systems: {s: {j: exit 6}}")
    told, code = zap.told()
    assert code == 6
    assert len(facts(told, "fixed")) == 2
    assert facts(told, "gave_up")[0]["why"] == "2 tries within 3600 s are used up"


def test_a_remedy_that_fails_says_what_failed(zap: Zap) -> None:
    zap.write(
        """\
        about: it cannot be verified
        match: {exit: 6}
        mode: auto
        run: ['true']
        verify: 'false'
        then: restart
        """,
        "fixups/vain.yaml",
    )
    zap.write("systems: {s: {j: exit 6}}")
    told, code = zap.told()
    assert code == 6
    assert facts(told, "fix_failed")[0]["why"] == "verify `false`: exit 1"


def test_told_only_runs_beside_the_job(zap: Zap) -> None:
    zap.write(
        """\
        about: told, not changed
        match: {pattern: 'the disk is full'}
        mode: auto
        run: [echo the biggest folder is this one]
        then: continue
        examples: {matches: [the disk is full]}
        """,
        "fixups/tell.yaml",
    )
    zap.write("systems: {s: {j: 'echo the disk is full; sleep 0.2; echo on'}}")
    told, code = zap.told()
    assert code == 0
    assert len(facts(told, "spawned")) == 1
    assert "the biggest folder is this one" in lines(told, "s/j", "zap")


def test_answers_are_typed_and_secrets_never_shown(zap: Zap) -> None:
    """A prompt as sudo's: on /dev/tty, with echo off while it reads; and one that leaves echo on."""
    zap.write("pass word", "password")
    zap.write("""\
        systems:
          s:
            j:
              commands:
                - |
                  python3 -c 'import getpass; print("got", len(getpass.getpass("[sudo] password for me: ")))'
                - 'printf "Token? "; read token; echo "got $token"'
                - 'printf "Sure? " >&2; read answer; echo "said $answer"'
              answers:
                - {prompt: 'password for \\S+: $', secret: {file: password}}
                - {prompt: 'Token\\? $', secret: {command: "printf hush; echo -hush"}}
                - {prompt: 'Sure\\? $', reply: 'yes'}
        """)
    done = zap.run("run", "--json")
    assert done.returncode == 0, done.stdout
    said = [item["text"] for item in map(json.loads, done.stdout.splitlines()) if item["event"] == "line"]
    assert "got 9" in "\n".join(said)
    assert "said yes" in said
    assert "pass word" not in done.stdout
    assert "hush-hush" not in done.stdout
    assert done.stdout.count('"event": "answered"') == 3


@pytest.mark.parametrize("tty", [True, False])
def test_a_log_that_is_printed_at_once_is_there_to_its_last_line(zap: Zap, tty: bool) -> None:
    """Many times what is kept: zap run fetches every line before it goes, and the job waits for that."""
    zap.write("".join(f"{number} {'x' * (number % 90)}\n" for number in range(200_000)), "log")
    zap.write(f"systems: {{s: {{j: {{commands: [cat log], tty: {str(tty).lower()}}}}}}}")
    done = zap.run("run")
    said = [line for line in done.stdout.splitlines() if " │ " in line]
    assert [int(line.split()[2]) for line in said] == list(range(200_000))
    assert "are gone" not in done.stdout


def test_a_reader_who_stands_does_not_stop_the_jobs(zap: Zap) -> None:
    """The job says a hundred times what a pipe holds, to nobody, and comes to its end."""
    zap.write("systems: {s: {j: 'yes zap | head -c 60000000; echo over >over; sleep 1000'}}")
    with zap.start("run") as process:
        zap.wait_file("over")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)


def test_a_remedy_runs_in_the_folder_where_the_job_was(zap: Zap) -> None:
    (zap.folder / "api").mkdir()
    zap.write(ASK.replace("mode: ask", "mode: auto"), "fixups/here.yaml")
    zap.write("systems: {s: {j: ['cd api', '[ -e healed ] || { echo in the way; exit 4; }']}}")
    assert zap.told()[1] == 0
    assert (zap.folder / "api" / "healed").exists()


def test_a_bug_of_ours_leaves_nothing_behind(zap: Zap) -> None:
    """A callback that raises: everything is ended at once, with a traceback, and the code says whose fault it is."""
    zap.write("systems: {s: {j: ['echo $$ >pid', 'setsid sleep 1000']}}")
    breaks = "import zap.runner; zap.runner.Runner._on_mark = lambda *_: 1 / 0; import zap.cli; zap.cli.main(['run'])"
    argv = [sys.executable, "-c", breaks]
    done = subprocess.run(argv, cwd=zap.folder, env=zap.env, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 70
    assert "zap has a bug, and ends everything" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    wait_until(lambda: str(zap.folder) not in map(folder_of, psutil.pids()), "the job to be gone")


def folder_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
