"""The program that learns the network of the pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from capture.pixels.correction import SeenFaces, clip_changes
from capture.pixels.network import PixelNetwork
from tools.weights import pixels
from tools.weights.pixels import FIRST, crop_grid, main
from tools.weights.posed_people import TrackedCrops

PUFF = ARKIT_52.index("cheekPuff")
FRAMES = 20


def made_up(seed: int, size: tuple[int, int]) -> TrackedCrops:
    """A person whose crops have a bright cheek as far as the cheeks are puffed, which the tracker does not see."""
    rng = np.random.default_rng(seed)
    true = np.zeros((FRAMES, 52))
    true[:, PUFF] = np.where(np.arange(FRAMES) % 2, rng.uniform(0.5, 1, FRAMES), 0)
    crops = np.full((FRAMES, 2, *size), 90.0) + rng.normal(0, 6, (FRAMES, 2, *size))
    crops[:, :, 60:90, 30:50] += 120 * true[:, PUFF, None, None, None]
    tracked = np.clip(rng.normal(0.1, 0.02, true.shape), 0, 1)
    return TrackedCrops(crops.clip(0, 255).astype(np.uint8), tracked, true, rng.normal(0, 0.1, (FRAMES, 2)))


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the people that a training asked for; they are made up."""
    asked: list[int] = []

    def crops_of(seed: int, *_: object) -> TrackedCrops:
        asked.append(seed)
        return made_up(seed, PixelNetwork.load().grid.size)

    monkeypatch.setattr(pixels, "crops_of", crops_of)
    return asked


def test_the_program_learns_what_pixels_show_and_gives_the_same_file_again(people: list[int], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first.npz", "second.npz")]
    for file in files:
        main(["-o", str(file), "--people", "3", "--steps", "30", "--work", str(tmp_path)])
    assert people == 2 * [FIRST, FIRST + 1, FIRST + 2]
    first, second = (dict(np.load(file)) for file in files)
    assert all(np.array_equal(first[name], second[name]) for name in first)

    network = PixelNetwork.read(files[0])
    person = made_up(FIRST + 100, network.grid.size)
    features = np.stack([network.features(crops) for crops in person.crops])
    found = clip_changes(network, SeenFaces(features, person.tracked, person.yaw_pitch))[:, PUFF]
    shown = person.true[:, PUFF] > 0
    assert found[shown].min() > found[~shown].max() + 0.2


def test_the_grid_is_symmetric_and_within_the_landmarks() -> None:
    grid = crop_grid()
    stored = PixelNetwork.load().grid
    assert grid.size == stored.size
    np.testing.assert_allclose(grid.barycentric.sum(-1), 1, atol=1e-9)
    assert grid.barycentric.min() > -1e-6
    np.testing.assert_array_equal(grid.barycentric[0], grid.barycentric[1])
    np.testing.assert_array_equal(grid.landmarks, stored.landmarks)
