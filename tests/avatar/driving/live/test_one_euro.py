"""Properties of the One Euro filter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.driving.live.one_euro import OneEuro, OneEuroRotation, OneEuroVector, Smoothing
from avatar.geometry.numpy_rotations import exp_rotation, log_rotation

RATE = 30.0
values = st.floats(-3, 3, allow_nan=False)


def filtered(series: np.ndarray, times: np.ndarray | None = None, **options: float) -> np.ndarray:
    euro = OneEuro(**options)
    times = np.arange(len(series)) / RATE if times is None else times
    return np.array([euro(np.atleast_1d(value), time)[0] for value, time in zip(series, times, strict=True)])


def test_two_steps_are_those_of_the_paper() -> None:
    def alpha(cutoff: float) -> float:
        return 1 / (1 + (1 / (2 * math.pi * cutoff)) * RATE)

    speed = alpha(1.0) * (0.5 * RATE)
    expected = alpha(2.0 + 1.5 * speed) * 0.5
    assert filtered(np.array([0.0, 0.5])) == pytest.approx([0.0, expected])


@given(values, st.lists(st.floats(1e-3, 0.5), min_size=1, max_size=20))
def test_a_constant_stays_whatever_the_time_steps(value: float, steps: list[float]) -> None:
    times = np.cumsum([0.0, *steps])
    assert filtered(np.full(len(times), value), times) == pytest.approx(np.full(len(times), value))


@given(st.lists(values, min_size=2, max_size=30))
def test_the_result_stays_between_minimum_and_maximum(series: list[float]) -> None:
    found = filtered(np.array(series))
    assert found.min() >= min(series) - 1e-9
    assert found.max() <= max(series) + 1e-9


def test_a_step_is_reached() -> None:
    assert filtered(np.array([0.0] + [1.0] * 40))[-1] == pytest.approx(1.0, abs=1e-3)


def test_a_fast_ramp_lags_less_than_a_frame_and_noise_is_smoothed() -> None:
    time = np.arange(30) / RATE
    lag = (8.0 * time - filtered(8.0 * time))[-1] / (8.0 / RATE)  # frames
    assert lag < 1
    noise = np.random.default_rng(0).normal(0, 0.01, 300)
    assert filtered(noise)[50:].std() < 0.5 * noise[50:].std()


def test_smoothing_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = np.arange(0, 2, 1 / 30), np.arange(0, 2, 1 / 120)
    at_30, at_120 = (filtered(np.sin(3 * times), times) for times in (slow, fast))
    assert at_120[::4] == pytest.approx(at_30, abs=0.04)


def test_values_that_are_not_finite_keep_the_last_finite_one() -> None:
    found = filtered(np.array([0.3, 0.3, np.nan, np.inf, 0.3]))
    assert found == pytest.approx(np.full(5, 0.3))


def test_a_time_that_does_not_advance_changes_nothing() -> None:
    assert filtered(np.array([0.1, 0.9, 0.9]), np.array([0.0, 0.0, -1.0])) == pytest.approx([0.1, 0.1, 0.1])


def test_after_a_reset_the_next_value_passes() -> None:
    euro = OneEuro()
    euro(np.zeros(2), 0.0)
    euro.reset()
    assert euro(np.ones(2), 0.1) == pytest.approx([1, 1])


def test_a_vector_keeps_its_direction() -> None:
    euro = OneEuroVector()
    euro(np.zeros(3), 0.0)
    found = euro(np.array([2.0, 0.1, 0.0]), 1 / RATE)
    assert found[1] / found[0] == pytest.approx(0.05)


def test_a_rotation_through_half_a_turn_does_not_jump() -> None:
    euro = OneEuroRotation(2.0, 1.5)
    angles = np.linspace(math.pi - 0.3, math.pi + 0.3, 30)
    found = [euro(exp_rotation(np.array([0.0, angle, 0.0]))[None], k / RATE)[0] for k, angle in enumerate(angles)]
    steps = [np.linalg.norm(log_rotation(after @ before.T)) for before, after in itertools.pairwise(found)]
    assert max(steps) < 0.03


def test_invalid_parameters_are_rejected() -> None:
    with pytest.raises(ValueError, match="mincutoff > 0"):
        Smoothing(0.0, 1.0)
