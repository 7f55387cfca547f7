"""The network of the pixels in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from capture.pixels.network import CORRECTED, FILE, MIRROR, SINGLE, PixelNetwork, standardized
from tools.weights.pixels import Network, write


def made_up(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    features = rng.normal(0, 1, (count, 2, 48))
    return features, rng.uniform(0, 1, (count, 52)), rng.uniform(0, 0.3, 52), rng.normal(0, 0.3, (count, 2))


def test_numpy_computes_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(0)
    grid = PixelNetwork.load().grid
    trained = Network(grid.size)
    torch.nn.init.normal_(trained.last.weight, std=0.1)
    write(tmp_path / "network.npz", trained, grid)
    ours = PixelNetwork.read(tmp_path / "network.npz")
    crops = np.random.default_rng(1).integers(0, 256, (2, *grid.size), dtype=np.uint8)
    features, weights, calm, turned = made_up(5)
    with torch.no_grad():
        luma = torch.from_numpy(standardized(crops / np.float32(255)))[:, None]
        np.testing.assert_allclose(ours.features(crops), trained.features_of(luma).numpy(), atol=0.01)
        tensors = [torch.from_numpy(np.asarray(each, np.float32)) for each in (features, weights, calm, turned)]
        tensors[2] = tensors[2].expand(5, -1)
        np.testing.assert_allclose(
            ours.changes(features, weights, calm, turned), trained.changes(*tensors).numpy(), atol=5e-3
        )


def test_a_mirrored_face_has_mirrored_changes() -> None:
    features, weights, calm, turned = made_up(8)
    calm = (calm + calm[MIRROR]) / 2
    ours = PixelNetwork.load()
    mirrored = ours.changes(features[:, ::-1], weights[:, MIRROR], calm, turned * [-1, 1])
    np.testing.assert_allclose(mirrored[:, MIRROR], ours.changes(features, weights, calm, turned), atol=1e-5)


def test_gaze_and_tongue_stay_as_they_are() -> None:
    changes = PixelNetwork.load().changes(*made_up(8))
    changed = {ARKIT_52[column] for column in np.flatnonzero(np.abs(changes).max(0))}
    assert not any(name.startswith(("eyeLook", "tongue")) for name in changed)
    assert changed == {*CORRECTED, *(ARKIT_52[MIRROR[ARKIT_52.index(name)]] for name in CORRECTED)}
    assert SINGLE[ARKIT_52.index("cheekPuff")] and not SINGLE[ARKIT_52.index("mouthLeft")]


def test_brightness_and_contrast_of_a_crop_do_not_matter() -> None:
    crops = np.random.default_rng(2).integers(60, 160, (2, *PixelNetwork.load().grid.size), dtype=np.uint8)
    ours = PixelNetwork.load()
    brighter = (1.4 * crops + 20).round().astype(np.uint8)
    spread = np.abs(ours.features(crops)).max()
    assert np.abs(ours.features(brighter) - ours.features(crops)).max() < 0.1 * spread


def test_the_file_is_small() -> None:
    assert FILE.stat().st_size < 400_000
