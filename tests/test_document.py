from __future__ import annotations

from zap.document import Document, parse


def read(text: str) -> Document:
    return parse(text.encode(), "f")


def problems(text: str) -> list[str]:
    return [str(problem) for problem in read(text).problems]


def test_every_scalar_is_the_text_that_was_written() -> None:
    document = read(
        "a: [on, no, yes, 010, 0x1F, 1:30, 2026-01-01, 1.50, true, True, Null, 'null', '', !!str null, 0o7, =]"
    )
    written = ["on", "no", "yes", "010", "0x1F", "1:30", "2026-01-01", "1.50", "true", "True", "Null", "null"]
    assert document.data == {"a": [*written, "", "null", "0o7", "="]}
    assert document.problems == []


def test_nothing_is_null() -> None:
    assert read("a:\nb: ~\nc: null\nd: [~]").data == {"a": None, "b": None, "c": None, "d": [None]}
    assert read("").data is None


def test_places_of_keys_and_values_count_characters_from_one() -> None:
    document = read("é: ü\nlist:\n  - a\n  - {k: v, 日本: &x x}\n")
    assert document.key(("é",))[1:] == (1, 1)
    assert document.value(("é",))[1:] == (1, 4)
    assert document.value(("list", 0))[1:] == (3, 5)
    assert document.key(("list", 0))[1:] == (3, 5)
    assert document.key(("list", 1, "日本"))[1:] == (4, 12)
    assert document.value(("list", 1, "日本"))[1:] == (4, 16)


def test_place_of_what_a_short_form_leaves_out() -> None:
    document = read("web: {api: [ls, pwd]}")
    assert document.written(("web", "jobs", "api", "commands", 1)) == ("web", "api", 1)
    assert document.value(("web", "jobs", "api", "commands", 1))[1:] == (1, 17)
    assert document.value(("nothing",))[1:] == (1, 1)
    assert document.is_list(("web", "jobs", "api", "commands"))
    assert not document.is_list(("web",))


def test_row_of_a_block_of_text() -> None:
    document = read("a: | # remark\n\n    one\n      two\nb: >\n  x\n  y\n")
    assert document.data["a"] == "\none\n  two\n"
    assert [document.row(("a",), row)[1:] for row in range(3)] == [(2, 1), (3, 5), (4, 7)]
    assert document.row(("b",), 1) == document.value(("b",))


def test_own_keys_come_before_merged_ones_and_earlier_merges_before_later() -> None:
    document = read("a: &a {x: 1, y: 1}\nb: &b\n  y: 2\n  z: 2\nc:\n  <<: [*b, *a]\n  z: 3\nd:\n  '<<': text\n")
    assert document.data["c"] == {"z": "3", "y": "2", "x": "1"}
    assert document.data["d"] == {"<<": "text"}
    assert document.key(("c", "y"))[1:] == (3, 3)
    assert document.value(("c", "x"))[1:] == (1, 11)
    assert document.problems == []


def test_one_merge_inside_another() -> None:
    assert read("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}").data["c"] == {"y": "2", "x": "1"}


def test_second_of_two_equal_keys_is_a_problem_and_the_first_stays() -> None:
    document = read("a: 1\n'a': 2\n")
    assert document.data == {"a": "1"}
    assert problems("a: 1\n'a': 2\n") == ['f:2:1: "a" is written twice in one mapping, first in line 1']


def test_windows_file_with_byte_order_mark() -> None:
    document = parse("\ufeffa:\r\n  b: c\r\n".encode(), "f")
    assert document.data == {"a": {"b": "c"}}
    assert document.value(("a", "b"))[1:] == (2, 6)


def test_bombs_end_early() -> None:
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
    )
    assert "merges too much" in problems(merges)[0]
    aliases = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert "counting each use of an alias" in problems(aliases)[0]
    for deep in ("[" * 100_000, "{a: " * 40_000, "- " * 40_000, "\n".join(" " * n + "a:" for n in range(3000))):
        assert len(problems(deep)) == 1
