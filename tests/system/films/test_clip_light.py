"""Exposure and white balance: drift is found, and none is invented."""

from __future__ import annotations

import numpy as np
import pytest

from capture.quality.frame_statistics import CELLS, ClipStatistics, measure_frame
from capture.quality.light import DISPLAY_EXPONENT, light_reference
from tests.capture.drawn import drawn_frames


def measured(drift: float) -> tuple[ClipStatistics, np.ndarray, np.ndarray, np.ndarray]:
    """ClipStatistics, landmarks, times (s) and true exposures of drawn frames."""
    images, points, mattes, exposure = drawn_frames(drift)
    statistics = ClipStatistics.of([measure_frame(*frame) for frame in zip(images, points, mattes, strict=True)])
    return statistics, points, np.arange(len(points)) * 0.5, exposure


def made_statistics(
    gains: np.ndarray, background: bool = True, noise: float = 0.01
) -> tuple[ClipStatistics, np.ndarray, np.ndarray]:
    """Statistics of 60 frames in light of `gains` [60,3], landmarks that turn from side to side, and times."""
    rng = np.random.default_rng(1)
    colors = rng.uniform(0.1, 0.5, (468, 3))
    yaw = 0.5 * np.sin(np.arange(60) / 4)
    shading = np.exp(0.3 * yaw[:, None] * rng.normal(0, 1, 468) + rng.normal(0, noise, (60, 468)))
    face = colors * shading[..., None] * gains[:, None]
    cells = rng.uniform(0.1, 0.5, (CELLS * CELLS, 3)) * gains[:, None] * np.exp(rng.normal(0, noise, (60, 400, 3)))
    points = np.zeros((60, 478, 3), np.float32)
    points[:, 263, 0], points[:, 263, 2], points[:, 2, 1] = np.cos(yaw), np.sin(yaw), 1
    cells = cells if background else np.full_like(cells, np.nan)
    return (
        ClipStatistics(face.astype(np.float32), cells.astype(np.float32), np.zeros(60), np.ones(60)),
        points,
        np.arange(60) / 30,
    )


@pytest.mark.slow
def test_the_drift_of_a_synthetic_clip_is_recovered() -> None:
    statistics, points, time, exposure = measured(0.04)
    reference = light_reference(statistics, points)
    light = reference.gains(statistics, points, time) ** DISPLAY_EXPONENT
    assert reference.source == "background"
    assert np.abs(light / (exposure / np.median(exposure))[:, None] - 1).max() < 0.015


@pytest.mark.parametrize("background", [True, False])
def test_steady_light_is_exactly_one(background: bool) -> None:
    statistics, points, time = made_statistics(np.ones((60, 3)), background)
    assert (light_reference(statistics, points).gains(statistics, points, time) == 1).all()


@pytest.mark.slow
def test_a_synthetic_clip_in_steady_light_is_exactly_one() -> None:
    statistics, points, time, _ = measured(0.0)
    assert (light_reference(statistics, points).gains(statistics, points, time) == 1).all()


def test_each_channel_has_its_own_gain() -> None:
    ramp = np.linspace(0.9, 1.1, 60)
    gains = np.stack([ramp, np.ones(60), 1 / ramp], axis=1)
    statistics, points, time = made_statistics(gains)
    found = light_reference(statistics, points).gains(statistics, points, time) ** DISPLAY_EXPONENT
    np.testing.assert_allclose(found[3:-3], gains[3:-3], rtol=0.01)


def test_skin_is_the_witness_where_nothing_is_seen_behind_the_person() -> None:
    gains = np.repeat(np.linspace(0.8, 1.25, 60)[:, None], 3, axis=1)
    statistics, points, time = made_statistics(gains, background=False)
    reference = light_reference(statistics, points)
    found = reference.gains(statistics, points, time) ** DISPLAY_EXPONENT
    assert reference.source == "skin"
    assert np.abs(np.log(found / gains))[8:-8].max() < 0.06


def test_a_background_that_moves_past_is_no_witness() -> None:
    statistics, points, _ = made_statistics(np.ones((60, 3)))
    passing = np.stack([np.roll(cells, 7 * row, axis=0) for row, cells in enumerate(statistics.background)])
    moving = ClipStatistics(statistics.face, passing, statistics.sharpness, statistics.person)
    assert light_reference(moving, points).source == "skin"


def test_held_out_frames_are_measured_against_the_training_light() -> None:
    gains = np.ones((60, 3))
    gains[40:] = 1.2
    statistics, points, time = made_statistics(gains)
    training, rest = np.arange(40), np.arange(40, 60)
    reference = light_reference(statistics[training], points[training])
    np.testing.assert_allclose(
        reference.gains(statistics[rest], points[rest], time[rest]) ** DISPLAY_EXPONENT, 1.2, rtol=0.01
    )


def test_no_frames_have_no_gains() -> None:
    statistics, points, time = made_statistics(np.ones((60, 3)))
    none = np.arange(0)
    assert light_reference(statistics, points).gains(statistics[none], points[none], time[none]).shape == (0, 3)
