from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from zap.mask import COVER, Mask

TEXT = st.text("abc\n", max_size=40).map(str.encode)
SECRETS = st.lists(st.text("abc", max_size=5).map(str.encode), max_size=4)
CUTS = st.lists(st.integers(0, 40), max_size=12)


def masked(secrets: list[bytes], text: bytes, cuts: list[int]) -> bytes:
    mask = Mask(secrets)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return b"".join(mask.feed(text[begin:end]) for begin, end in pairwise(edges)) + mask.flush()


@given(secrets=SECRETS, text=TEXT, cuts=CUTS)
@example(secrets=[b"ab", b"bc"], text=b"abc", cuts=[2])
@example(secrets=[b"ab", b"abc"], text=b"abc", cuts=[2])
@example(secrets=[b"aab"], text=b"aaab", cuts=[2])
def test_no_secret_is_shown_whatever_the_chunking(secrets: list[bytes], text: bytes, cuts: list[int]) -> None:
    shown = masked(secrets, text, cuts)
    assert not any(secret in shown for secret in secrets if secret)
    assert shown == masked(secrets, text, [])


@given(text=TEXT, cuts=CUTS)
def test_what_is_no_secret_passes_unchanged(text: bytes, cuts: list[int]) -> None:
    assert masked([b"abcd", b"\nd", b""], text, cuts) == text


@given(secret=st.text("abc", min_size=1, max_size=5).map(str.encode), text=TEXT, cuts=CUTS)
def test_one_secret_is_replaced_and_nothing_else(secret: bytes, text: bytes, cuts: list[int]) -> None:
    assert masked([secret], text, cuts) == text.replace(secret, COVER)


@given(secret=st.text("abc", min_size=1, max_size=5).map(str.encode), text=TEXT)
def test_only_the_beginning_of_a_secret_is_held_back(secret: bytes, text: bytes) -> None:
    mask = Mask([secret])
    shown = mask.feed(text)
    rest = mask.flush()
    assert rest != secret and secret.startswith(rest)
    assert shown + rest == text.replace(secret, COVER)


def test_without_secrets_nothing_is_copied() -> None:
    data = b"x" * 1000
    assert Mask([]).feed(data) is data


def test_a_prompt_is_shown_at_once() -> None:
    mask = Mask([b"hunter2"])
    assert mask.feed(b"Password: ") == b"Password: "
    assert mask.feed(b"hunt") == b""
    assert mask.feed(b"er2\r\nwelcome, hun") == COVER + b"\r\nwelcome, "
    assert mask.flush() == b"hun"
