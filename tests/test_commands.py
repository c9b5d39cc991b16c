from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zap.commands import Piece, parts, split, title

# Each is (text, commands that it falls into).
BLOCKS = [
    ("cd worker\n./work --queue mail\n", ["cd worker", "./work --queue mail"]),
    ("one", ["one"]),
    ("\n\n", []),
    ("# only a remark\n", []),
    ("a\n\n# remark\nb # c\n", ["a", "b # c"]),
    ("cat <<EOF\na\n\nb 'x\nEOF\nls\n", ["cat <<EOF\na\n\nb 'x\nEOF", "ls"]),
    ("cat <<-'END OF IT' | sort\n\tb\n\tEND OF IT\nls", ["cat <<-'END OF IT' | sort\n\tb\n\tEND OF IT", "ls"]),
    ("cat <<A <<B\na\nA\nb\nB\nls", ["cat <<A <<B\na\nA\nb\nB", "ls"]),
    ("echo 'a\nb' \"c\nd\"\nls", ["echo 'a\nb' \"c\nd\"", "ls"]),
    ("docker run \\\n  --rm \\\n  redis\nls", ["docker run \\\n  --rm \\\n  redis", "ls"]),
    ("make &&\n\n  make test\nls |\n wc", ["make &&\n\n  make test", "ls |\n wc"]),
    ("if a\nthen b\nelse\n c\nfi\nls", ["if a\nthen b\nelse\n c\nfi", "ls"]),
    ("if a; then if b; then c; fi fi\nls", ["if a; then if b; then c; fi fi", "ls"]),
    ("for x in a b\ndo\n echo $x\ndone | sort\nls", ["for x in a b\ndo\n echo $x\ndone | sort", "ls"]),
    ("while ! nc -z h 1\ndo sleep 1\ndone >/dev/null\nls", ["while ! nc -z h 1\ndo sleep 1\ndone >/dev/null", "ls"]),
    ("until a; do b; done\nls", ["until a; do b; done", "ls"]),
    ("case $1 in\n a|b) x ;;\n (*) y;;\nesac\nls", ["case $1 in\n a|b) x ;;\n (*) y;;\nesac", "ls"]),
    ("case x in a) b; esac\nls", ["case x in a) b; esac", "ls"]),
    ("x=$(case a in\na) b;;\nesac)\nls", ["x=$(case a in\na) b;;\nesac)", "ls"]),
    ("f() {\n echo }\n}\nf", ["f() {\n echo }\n}", "f"]),
    ("f()\n{\n a\n}\nf", ["f()\n{\n a\n}", "f"]),
    ("(cd a\n ls)\nls", ["(cd a\n ls)", "ls"]),
    ("echo if then\nls", ["echo if then", "ls"]),
    ("echo done fi }\nls", ["echo done fi }", "ls"]),
    ("echo a#b it\\'s\nls", ["echo a#b it\\'s", "ls"]),
    ("echo $((1 << 2)) $(( (1+2)*3 ))\nls", ["echo $((1 << 2)) $(( (1+2)*3 ))", "ls"]),
    ('echo "$(cat <<EOF\n")\nEOF\n)"\nls', ['echo "$(cat <<EOF\n")\nEOF\n)"', "ls"]),
    ("echo `date\n`\nls", ["echo `date\n`", "ls"]),
    ('echo "${x:-"a b"}" ${y:-\n}\nls', ['echo "${x:-"a b"}" ${y:-\n}', "ls"]),
    ("python3 - <<'EOF'\nif x:\n  print('''a''')\nEOF", ["python3 - <<'EOF'\nif x:\n  print('''a''')\nEOF"]),
    ("sleep 1 & sleep 2 &\nwait", ["sleep 1 & sleep 2 &", "wait"]),
    ("a 2>&1 >x\nb", ["a 2>&1 >x", "b"]),
    ("{ a\nb; }\nls", ["{ a\nb; }", "ls"]),
    ("echo 'open\nls", ["echo 'open\nls"]),
    ("cat <<EOF\nls", ["cat <<EOF\nls"]),
    ("ls\nif x\nls", ["ls", "if x\nls"]),
]
BASH = [
    ("echo $'it\\'s'\nls", ["echo $'it\\'s'", "ls"]),
    ("if [[ a =~ (b|c) && d ]]\nthen x\nfi\nls", ["if [[ a =~ (b|c) && d ]]\nthen x\nfi", "ls"]),
    ("for ((i=0; i<3; i++)); do\n echo\ndone\nls", ["for ((i=0; i<3; i++)); do\n echo\ndone", "ls"]),
    ("diff <(ls\n) b\ncat <<< x\nls", ["diff <(ls\n) b", "cat <<< x", "ls"]),
    ("function f {\n a\n}\nf", ["function f {\n a\n}", "f"]),
    ("a=(1\n 2)\nls", ["a=(1\n 2)", "ls"]),
    ("a |& b\nls &> x\nls", ["a |& b", "ls &> x", "ls"]),
]


@pytest.mark.parametrize(("text", "commands"), BLOCKS + BASH)
def test_block_falls_into_commands(text: str, commands: list[str]) -> None:
    assert [piece.text for piece in split(text)] == commands
    assert "\n".join(parts(text)) == text


def is_accepted(text: str, shell: str) -> bool:
    run = subprocess.run([shell, "-n"], input=text.encode(), capture_output=True, check=False)
    return run.returncode == 0 and not run.stderr  # an unclosed here-document is only warned about


@pytest.mark.parametrize(("shell", "blocks"), [("sh", BLOCKS), ("bash", BLOCKS + BASH)])
def test_shell_accepts_each_part_of_what_it_accepts(shell: str, blocks: list[tuple[str, list[str]]]) -> None:
    accepted = [text for text, _ in blocks if is_accepted(text, shell)]
    assert len(accepted) > len(blocks) - 6
    assert [part for text in accepted for part in parts(text) if not is_accepted(part, shell)] == []


@given(st.lists(st.sampled_from(BLOCKS[:-3]), min_size=1, max_size=5))
def test_blocks_after_each_other_fall_apart_the_same_way(blocks: list[tuple[str, list[str]]]) -> None:
    text = "\n".join(text for text, _ in blocks)
    assert [piece.text for piece in split(text)] == [command for _, commands in blocks for command in commands]


SHELL_BITS = ["\n", "\\", "'", '"', "`", "$(", "${", "((", "(", ")", "}", " ", "<<", "EOF", "a", "if", "fi", "case",
              "in", ";;", "esac", ";", "&&", "|", "#", "$", "[[", "]]", "{", "do", "done", "\t"]  # fmt: skip


@given(st.lists(st.sampled_from(SHELL_BITS)).map("".join) | st.text())
def test_nothing_is_lost_and_rows_are_right(text: str) -> None:
    assert "\n".join(parts(text)) == text
    lines = text.split("\n")
    for piece in split(text):
        assert piece.text == "\n".join(lines[piece.row : piece.row + piece.text.count("\n") + 1])


def test_row_is_the_line_in_the_block() -> None:
    assert split("\ncd a\n# why\n\nls\n") == (Piece(1, "cd a"), Piece(4, "ls"))


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (["ssh gox", "sshfs me@gox:/data/Photo ~/Photo"], "gox: sshfs Photo"),
        (["ssh -p 22 me@gox sshfs -o ro /data/Photo /mnt/Photo"], "gox: sshfs Photo"),
        (["ssh -t gox 'cd /srv && exec ./serve --port 80'"], "gox: serve 80"),
        (["ssh gox"], "gox"),
        (["cd api", "npm ci", "npm run dev"], "npm run dev"),
        (["cd api && sudo -u www env A=1 exec /usr/bin/redis-server --port 1"], "redis-server 1"),
        (["bash -c 'cd x; python3 -m http.server 8000'"], "python3 http.server 8000"),
        (["./work --queue mail 2>&1 | tee log"], "work mail"),
        (["make", "make test"], "make test"),
        (["cd /srv/www"], "cd www"),
        (["echo hello"], "echo hello"),
        (["sleep 1", "echo hello"], "sleep 1"),
        (["FOO=bar BAR='a b' timeout -k 3 5 curl -s http://localhost:80/x"], "curl http://localhost:80/x"),
        (["it's broken"], "it's broken"),
        (["cat <<EOF\nhello\nEOF"], "cat"),
        (["while true; do date; sleep 1; done"], "date"),
        (["x" * 80], "x" * 47 + "…"),
    ],
)
def test_title_says_what_the_job_ends_up_running(commands: list[str], expected: str) -> None:
    assert title(commands) == expected


@given(st.lists(st.lists(st.sampled_from([*SHELL_BITS, "ssh", "sudo", "-c", "sh "])).map("".join) | st.text()))
def test_title_is_one_short_line_for_any_commands(commands: list[str]) -> None:
    assert len(title(commands)) <= 48
    assert "\n" not in title(commands)
