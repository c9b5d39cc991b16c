"""What a person wrote about the interface, read as it was meant, or told what is wrong with it and where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urwid.display.escape import _CSI_TILDE_KEYS, input_sequences

from zap import preferences
from zap.errors import ConfigError
from zap.preferences import Preferences

ACTIONS = ("quit", "restart", "search", "command palette")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".config" / "zap").mkdir(parents=True)
    return tmp_path


def load(home: Path, text: str | bytes) -> Preferences:
    content = dedent(text).encode() if isinstance(text, str) else text
    (home / ".config" / "zap" / "config.yaml").write_bytes(content)
    return preferences.load({"HOME": str(home)}, ACTIONS)


def problems(home: Path, text: str | bytes) -> list[str]:
    """Without the file's name, which is the same for all."""
    with pytest.raises(ConfigError) as raised:
        load(home, text)
    file = str(home / ".config" / "zap" / "config.yaml")
    assert {problem.where.file for problem in raised.value.problems} == {file}
    return [line.removeprefix(f"{file}:") for line in str(raised.value).splitlines()]


def test_everything_can_be_said(home: Path) -> None:
    text = """
    theme: light
    glyphs: ascii
    mouse: false
    timestamps: true
    wrap: false
    keys:
      quit: q
      restart: [R, f5, "ctrl r", R]
      search: []
    """
    keys = {"quit": ("q",), "restart": ("R", "f5", "ctrl r"), "search": ()}
    assert load(home, text) == Preferences("light", "ascii", False, keys, timestamps=True, wrap=False)


@pytest.mark.parametrize("text", ["", "# theme: dark\n", "keys:\n", "keys: {}", "---\n"])
def test_who_says_nothing_has_the_defaults(home: Path, text: str) -> None:
    assert load(home, text) == Preferences()


def test_without_a_file_or_a_home_there_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for environ in ({}, {"HOME": str(tmp_path)}, {"XDG_CONFIG_HOME": str(tmp_path / "file")}):
        assert preferences.load(environ, ACTIONS) == Preferences()


def test_a_file_that_cannot_be_read_is_told(home: Path) -> None:
    (home / ".config" / "zap" / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"zap/config\.yaml:1:1: cannot be read: is a directory$"):
        preferences.load({"HOME": str(home)}, ACTIONS)


def test_all_problems_are_told_at_once_with_their_places(home: Path) -> None:
    text = """\
    theme: Dark
    glyphs: [ascii]
    mouse: yes
    timestamps: maybe
    wrap:
    colour: red
    timestamp: true
    keys:
      quti: q
      quit: [x, "ctlr p", 5, {}]
      restart: x
      command palette:
      search: {f: g}
    """
    assert problems(home, text) == [
        '1:8: theme: "Dark" is not one of dark, light, contrast, mono — did you mean dark?',
        "2:9: glyphs: expected one of unicode, ascii, not a list",
        '3:8: mouse: expected true or false, not "yes" — did you mean true?',
        '4:13: timestamps: expected true or false, not "maybe"',
        "5:6: wrap: expected true or false, not nothing",
        '6:1: unknown key "colour"',
        '7:1: unknown key "timestamp" — did you mean timestamps?',
        '9:3: keys: there is no action "quti" — did you mean quit?',
        '10:13: keys: quit: "ctlr p" is not a key — did you mean "ctrl p"?',
        "10:26: keys: quit: expected a key, or a list of keys ([] for none), not a mapping",
        '11:12: keys: restart: "x" is bound to "quit" already, in line 10',
        "12:19: keys: command palette: expected a key, or a list of keys ([] for none), not nothing",
        "13:11: keys: search: expected a key, or a list of keys ([] for none), not a mapping",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a]", '1:1: the file holds a list, not a mapping — it has settings such as "theme: dark"'),
        ("dark", '1:1: the file holds "dark", not a mapping — it has settings such as "theme: dark"'),
        ("theme: dark\ntheme: light", '2:1: "theme" is written twice in one mapping, first in line 1'),
        ("keys: [q]", "1:7: keys: expected a mapping from actions to their keys, not a list"),
        ("keys: {quit: q, quit: x}", '1:17: "quit" is written twice in one mapping, first in line 1'),
        ("a: b: c", '1:5: a ":" that YAML does not expect here — quote the text, or check the indentation'),
        (b"theme: \xff", "1:8: byte 0xff is not UTF-8 — save the file as UTF-8"),
        ('"\\e": 1\n"\\e": 2', '1:1: unknown key "?"\n2:1: "?" is written twice in one mapping, first in line 1'),
        (f"theme: {'x' * 99}", '1:8: theme: "' + "x" * 50 + '…" is not one of dark, light, contrast, mono'),
        ('"a\\u2028\\e[2Jb": 1', '1:1: unknown key "a??[2Jb"'),
    ],
)
def test_what_is_no_such_file_is_told(home: Path, text: str | bytes, said: str) -> None:
    assert problems(home, text) == said.splitlines()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("Ctrl+P", 'did you mean "ctrl p"?'),
        ("alt-x", 'did you mean "meta x"?'),
        ("PgUp", 'did you mean "page up"?'),
        ("pagee down", 'did you mean "page down"?'),
        ("shift space", 'did you mean "shift  "?'),
        ("Escape", 'did you mean "esc"?'),
        ("gg", "write such as R, f5, page up, ctrl p, meta x"),
        ("", "write such as R, f5, page up, ctrl p, meta x"),
        ("\t", "write such as R, f5, page up, ctrl p, meta x"),
    ],
)
def test_a_key_that_no_terminal_sends_is_told(home: Path, key: str, said: str) -> None:
    shown = key.replace("\t", "?")
    assert problems(home, f"keys: {{quit: {key!r}}}".replace("'\\t'", '"\\t"')) == [
        f'1:14: keys: quit: "{shown}" is not a key — {said}'
    ]


def test_every_key_that_urwid_knows_can_be_bound(home: Path) -> None:
    reports = {"focus in", "focus out", "begin paste", "end paste", "mouse", "sgrmouse", "status ok"}
    known = {key for _, key in input_sequences} | set(_CSI_TILDE_KEYS.values())
    keys = [*sorted(known - reports), " ", "meta  ", "ä", "?", "ctrl ]", "meta ctrl x", "meta enter", "日"]
    assert len(keys) > 100
    written = ", ".join(f"'{key}'" for key in keys)
    assert load(home, f"keys: {{quit: [{written}]}}").keys["quit"] == tuple(keys)


@given(st.binary(max_size=60) | st.text("keysquit: []{}\n'\"-&*", max_size=60).map(str.encode))
def test_any_file_is_read_or_its_problems_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    home = tmp_path_factory.getbasetemp()
    (home / ".config" / "zap").mkdir(parents=True, exist_ok=True)
    try:
        assert isinstance(load(home, content), Preferences)
    except ConfigError as error:
        assert all(line.isprintable() for line in str(error).splitlines())
        assert len(str(error).splitlines()) == len(error.problems) > 0


def test_without_a_file_no_time_is_spent_on_yaml(tmp_path: Path) -> None:
    code = "import sys; from zap import preferences; preferences.load({'HOME': sys.argv[1]}, ()); print(*sys.modules)"
    argv = [sys.executable, "-c", code, str(tmp_path)]
    imported = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert "zap.preferences" in imported
    assert not {"yaml", "difflib", "pydantic", "urwid", "zap.document"} & set(imported)
