"""Durations and sizes, read and written as people do."""

from __future__ import annotations

import pytest

from zap.units import DAY, HOUR, MINUTE, duration, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("0", 0.0), ("30", 30.0), ("1.5", 1.5), ("500ms", 0.5), ("10s", 10.0), ("0.25s", 0.25), ("2m", 2 * MINUTE)),
        *(("1h30m", 1.5 * HOUR), ("1d2h3m4s5ms", DAY + 2 * HOUR + 3 * MINUTE + 4.005)),
        *(("", None), ("s", None), ("10 s", None), ("-1", None), ("1m1h", None), ("soon", None), ("1e3", None)),
        *(("٣s", None), ("10s\n", None), ("9" * 10, None)),
    ],
)
def test_a_duration_is_read_or_is_none(text: str, seconds: float | None) -> None:
    assert duration(text) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10 * 1024, "10 KiB")),
        *((1024**2 - 1, "1.0 MiB"), (3_400_000, "3.2 MiB"), (1023 * 1024**2, "1023 MiB"), (5 * 1024**3, "5.0 GiB")),
        (2000 * 1024**4, "2000 TiB"),
    ],
)
def test_a_size_is_said_in_few_digits(count: int, text: str) -> None:
    assert size(count) == text
