"""Counters: rates, latencies from sample to screen, stale images."""

from __future__ import annotations

import pytest

from viewer.stats.counters import STALE, Counters, Rate


class Clock:
    """A clock that is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_is_that_of_the_last_two_seconds() -> None:
    rate = Rate()
    for k in range(100):
        rate.add(k / 10 if k < 50 else 5 + (k - 50) / 25)
    assert rate.of(5 + 49 / 25) == pytest.approx(25, rel=0.05) and rate.count == 100


def test_a_rate_without_events_is_0() -> None:
    rate = Rate()
    assert rate.of(1.0) == 0
    rate.add(1.0)
    assert rate.of(1.0) == 0


def test_a_frame_of_the_window_counts_when_it_is_on_the_screen() -> None:
    counters = Counters(Clock())
    counters.count_image(None)
    assert counters.window.count == 0
    counters.count_frame()
    assert counters.window.count == 1


def test_latency_is_from_the_first_stamp_to_the_screen() -> None:
    clock = Clock()
    counters = Counters(clock)
    counters.count_image({"camera": 99.95, "parameters": 99.98})
    clock.now = 100.03
    counters.record_display()
    total = counters.meter.report().total
    assert total is not None and total.stage == "camera to shown" and total.p50 == pytest.approx(80)


def test_latency_is_measured_for_images_of_a_new_sample_only() -> None:
    counters = Counters(Clock())
    counters.count_image(None)
    counters.record_display()
    counters.record_display()
    assert counters.meter.report().frames == 0 and counters.images.count == 1


def test_an_image_of_an_old_sample_is_stale() -> None:
    counters = Counters(Clock())
    counters.count_image({"camera": 100 - 0.9 * STALE})
    assert counters.stale == 0
    counters.count_image({"camera": 100 - 1.1 * STALE})
    assert counters.stale == 1


def test_reset_discards_latency_and_stale_images() -> None:
    counters = Counters(Clock())
    counters.count_image({"camera": 100 - 2 * STALE})
    counters.reset_latency()
    counters.record_display()
    assert counters.meter.report().frames == 0 and counters.stale == 0
