"""Smoothing with bounded lag: noise goes, blinks stay, nothing lags more than stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.performance.mixing.lag_smoothing import BoundedLag, LiveSmoother, smoothed
from avatar.types import NECK, ROOT, Motion
from tests.avatar.performance.mixing.made_up import column, motion_of

FPS, LAG, NOISE = 60.0, 0.05, 0.02
TIMES = np.arange(600) / FPS


def blinks() -> np.ndarray:
    """A blink of 100 ms every second."""
    return np.clip(1 - np.abs((TIMES % 1) - 0.5) / 0.05, 0, 1)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, NOISE, len(TIMES))


def offline(values: np.ndarray) -> np.ndarray:
    return column(smoothed(motion_of({"jawOpen": values}, FPS), BoundedLag(LAG, NOISE)), "jawOpen")


def live(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times and values as a live smoother returns them."""
    smoother = LiveSmoother(LAG, NOISE)
    pairs = [smoother.push(np.array([value]), time) for time, value in zip(TIMES, values, strict=True)]
    return np.array([time for time, _ in pairs]), np.array([value[0] for _, value in pairs])


def lag_of(before: np.ndarray, after: np.ndarray) -> float:
    """Seconds by which `after` lags, at the peak of the cross-correlation."""
    shifts = np.arange(-20, 21)
    scores = [np.corrcoef(before[30:-30], np.roll(after, -shift)[30:-30])[0, 1] for shift in shifts]
    return float(shifts[int(np.argmax(scores))] / FPS)


def test_noise_at_rest_is_more_than_halved() -> None:
    assert offline(0.5 + noise())[20:-20].std() < NOISE / 2


def test_the_peak_of_a_blink_of_100_ms_is_kept() -> None:
    clean = blinks()
    found = offline(clean)
    peaks = clean > 0.99
    assert peaks.sum() >= 9 and (found[peaks] >= 0.95 * clean[peaks]).all()


def test_a_small_fast_movement_is_kept() -> None:
    small = 0.2 * blinks()
    assert offline(small)[small > 0.199].min() >= 0.95 * 0.2


def test_offline_nothing_lags() -> None:
    clean = 0.5 + 0.3 * np.sin(7 * TIMES) + blinks()
    assert lag_of(clean, offline(clean + noise())) == 0


def test_live_values_lag_no_more_than_the_bound() -> None:
    clean = 0.5 + 0.3 * np.sin(7 * TIMES) + blinks()
    stamps, found = live(clean + noise())
    assert (TIMES - stamps).max() <= LAG + 1e-6
    assert 0 < lag_of(clean, found) <= LAG + 1e-6


def test_live_and_offline_agree_on_the_same_time() -> None:
    values = 0.5 + noise() + blinks()
    stamps, found = live(values)
    expected = offline(values)[np.round(stamps * FPS).astype(int)]
    assert np.allclose(found[6:], expected[6:], atol=1e-5)


def test_a_slow_movement_is_not_biased() -> None:
    ramp = TIMES / 10
    assert np.abs(offline(ramp) - ramp)[5:-5].max() < 1e-6


def test_the_head_is_smoothed_about_its_own_rotation() -> None:
    random = np.random.default_rng(0)
    motion = motion_of({"jawOpen": np.zeros(len(TIMES))}, FPS)
    joint_rot, translation = motion.joint_rot.clone(), motion.translation.clone()
    joint_rot[:, ROOT, 1] = 3.0 + torch.from_numpy(random.normal(0, 0.005, len(TIMES)))
    translation[:, 2] = 0.5 + torch.from_numpy(random.normal(0, 0.001, len(TIMES)))
    found = smoothed(replace(motion, joint_rot=joint_rot, translation=translation), BoundedLag(LAG))
    assert found.joint_rot[20:-20, ROOT, 1].std() < 0.6 * joint_rot[:, ROOT, 1].std()
    assert found.translation[20:-20, 2].std() < 0.6 * translation[:, 2].std()
    assert not found.joint_rot[:, NECK].any()


def test_each_expression_is_smoothed_alone() -> None:
    one = smoothed(motion_of({"jawOpen": noise(1), "browInnerUp": noise(2)}, FPS), BoundedLag(LAG))
    other = smoothed(motion_of({"jawOpen": noise(3), "browInnerUp": noise(2)}, FPS), BoundedLag(LAG))
    assert np.array_equal(column(one, "browInnerUp"), column(other, "browInnerUp"))


@pytest.mark.parametrize("lag", [0.0, 0.005])
def test_a_lag_below_a_frame_changes_nothing(lag: float) -> None:
    motion = motion_of({"jawOpen": noise()}, FPS)
    assert smoothed(motion, BoundedLag(lag)) is motion


def test_long_motions_are_smoothed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    motion = motion_of({"jawOpen": noise()}, FPS)
    whole = smoothed(motion, BoundedLag(LAG))
    monkeypatch.setattr("avatar.performance.mixing.lag_smoothing._BLOCK", 7 * 52 * 10)
    assert torch.equal(smoothed(motion, BoundedLag(LAG)).weights, whole.weights)


def test_live_values_that_are_no_numbers_keep_the_last_ones() -> None:
    smoother = LiveSmoother(0.0, NOISE)
    smoother.push(np.array([0.5, 0.5]), 0.0)
    assert smoother.push(np.array([np.nan, 0.6]), 0.1)[1].tolist() == [0.5, 0.6]
    assert LiveSmoother(0.0, NOISE).push(np.array([np.inf]), 0.0)[1].tolist() == [0.0]


def test_a_clock_that_goes_back_replaces_the_last_value() -> None:
    smoother = LiveSmoother(0.0, NOISE)
    smoother.push(np.array([0.1]), 1.0)
    time, value = smoother.push(np.array([0.9]), 0.5)
    assert (time, value.tolist()) == (1.0, [0.9])


def test_after_a_reset_nothing_of_before_is_used() -> None:
    smoother = LiveSmoother(LAG, NOISE)
    smoother.push(np.array([0.5]), 0.0)
    smoother.reset()
    assert smoother.push(np.array([0.51]), 0.01)[1].tolist() == [0.51]


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`smooth.lag` is 1, expected 0 to 0.5 s"):
        BoundedLag(1)
    with pytest.raises(ValueError, match=r"`smooth.noise` is 0, expected more than 0, at most 0.5"):
        BoundedLag(noise=0)
    with pytest.raises(HeadsplatError, match=r"smoothing: expected a lag of 0 to 0.5 s, got nan"):
        LiveSmoother(float("nan"), NOISE)


def test_one_frame_stays() -> None:
    motion: Motion = motion_of({"jawOpen": np.zeros(1)}, FPS)
    assert smoothed(motion, BoundedLag(LAG)) is motion
