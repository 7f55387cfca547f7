"""Light, background and grain of a frame, measured on made frames."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.dubbing import matching
from avatar.dubbing.motion_field import moved

RNG = np.random.default_rng(0)


def test_the_light_of_a_frame_is_found_from_its_low_frequencies() -> None:
    render = 100 + 10 * RNG.standard_normal((80, 80, 3)).astype(np.float32)
    light = np.linspace(0.8, 1.3, 80, dtype=np.float32)[None, :, None] * np.float32([1, 0.9, 1.1])
    weight = np.ones((80, 80), np.float32)
    weight[30:50, 30:50] = 0  # a mouth
    film = np.where(weight[..., None] > 0, render * light, 0)
    gain = matching.light_gain(film, render, weight, 6)
    assert np.abs(gain / light - 1)[:, 8:-8].max() < 0.06
    assert matching.light_gain(film, render, 0 * weight, 6) == pytest.approx(1)


def test_behind_a_person_is_the_background_beside_it() -> None:
    film = np.full((64, 64, 3), [200, 100, 50], np.float32)
    person = np.zeros((64, 64), np.float32)
    person[16:48, 20:44] = 1
    film[person > 0] = 0
    assert np.abs(matching.filled_background(film, person) - [200, 100, 50]).max() < 0.5
    assert np.isfinite(matching.filled_background(film, np.ones_like(person))).all()


@pytest.mark.parametrize("level", [0.5, 2.0, 6.0])
def test_the_noise_of_smooth_skin_is_measured(level: float) -> None:
    y, x = np.mgrid[:128, :128]
    smooth = 120 + 30 * np.sin(x / 20) + 20 * np.cos(y / 25)
    noisy = (smooth + level * RNG.standard_normal((128, 128)))[..., None].repeat(3, 2).astype(np.float32)
    assert matching.noise_level(noisy, np.ones((128, 128))) == pytest.approx(level, rel=0.1)
    assert matching.noise_level(noisy, np.zeros((128, 128))) == 0


def test_grain_fills_up_what_interpolation_takes() -> None:
    shape = (200, 200)
    white = 3 * RNG.standard_normal(shape).astype(np.float32)
    source = np.stack(np.meshgrid(np.arange(200), np.arange(200)), -1).astype(np.float32)
    for offset in ((0, 0), (0.5, 0), (0.5, 0.5), (0.25, 0.4)):
        shifted = moved(white, source + np.float32(offset))
        kept = matching.kept_noise(source + np.float32(offset))
        assert shifted[4:-4, 4:-4].std() == pytest.approx(3 * np.sqrt(kept.mean()), rel=0.03)
        filled = shifted + matching.added_noise(3, kept) * matching.grain(shape, 7)
        assert filled[4:-4, 4:-4].std() == pytest.approx(3, rel=0.03)
    assert matching.kept_noise(source).min() == 1


def test_grain_is_the_same_at_every_run_and_another_in_each_frame() -> None:
    assert np.array_equal(matching.grain((8, 8), 3), matching.grain((8, 8), 3))
    assert abs(np.corrcoef(matching.grain((90, 90), 3).ravel(), matching.grain((90, 90), 4).ravel())[0, 1]) < 0.05
