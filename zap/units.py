"""Numbers as people write them: durations and sizes."""

from __future__ import annotations

import re

SECOND = 1.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"


def duration(text: str) -> float | None:
    """Seconds: written as such, or as `500ms`, `10s`, `2m`, `1h30m`; None when it is neither."""
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    parts = rf"(?:(\d{{1,9}})d)?(?:(\d{{1,9}})h)?(?:(\d{{1,9}})m)?(?:({_NUMBER})s)?(?:(\d{{1,9}})ms)?"
    found = re.fullmatch(parts, text, re.ASCII)
    if not text or not found:
        return None
    units = (DAY, HOUR, MINUTE, SECOND, SECOND / 1000)
    return sum(float(number or 0) * unit for number, unit in zip(found.groups(), units, strict=True))


def seconds(value: float) -> str:
    """A duration as a person says it: `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 4 min`."""
    if value < 0.9995:  # what is less is not 1000 ms
        return f"{value * 1000:.0f} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes as a person says them: `512 B`, `3.4 MiB`, `12 GiB`."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < 1023.5:
            break
        count, unit = count / 1024, larger
    return f"{count:.1f} {unit}" if unit != "B" and count < 9.95 else f"{count:.0f} {unit}"
