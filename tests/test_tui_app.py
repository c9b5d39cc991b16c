"""When the real terminal is drawn on."""

from __future__ import annotations

import pytest

from zap.tui.app import ANSWER, FRAME, next_frame

NOW, LONG_AGO = 1000.0, 0.0
TOOK = 0.002


@pytest.mark.parametrize("is_hearing", [False, True])
def test_after_a_rest_what_happens_is_drawn_at_once(is_hearing: bool) -> None:
    assert next_frame(NOW, LONG_AGO, TOOK, LONG_AGO, is_hearing) == NOW


@pytest.mark.parametrize("is_hearing", [False, True])
def test_what_happens_all_the_time_is_drawn_so_many_times_a_second(is_hearing: bool) -> None:
    assert next_frame(NOW, NOW - 0.01, TOOK, LONG_AGO, is_hearing) == pytest.approx(NOW - 0.01 + FRAME)


def test_what_a_key_leads_to_is_drawn_at_once() -> None:
    assert next_frame(NOW, NOW - 0.01, TOOK, NOW - 0.01, is_hearing=False) == NOW


def test_frames_for_a_key_leave_as_much_time_for_others() -> None:
    assert next_frame(NOW, NOW - 0.001, TOOK, NOW - 0.01, is_hearing=False) == pytest.approx(NOW + 0.001)


def test_what_happens_elsewhere_is_not_in_the_way_of_a_key() -> None:
    assert next_frame(NOW, LONG_AGO, TOOK, NOW - 0.001, is_hearing=True) == pytest.approx(NOW - 0.001 + FRAME)


def test_a_key_is_forgotten() -> None:
    pressed = NOW - ANSWER - 0.01
    assert next_frame(NOW, NOW - 0.01, TOOK, pressed, is_hearing=False) == pytest.approx(NOW - 0.01 + FRAME)
