"""Skinning weights before training."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.training.initialization import NECK, smooth_torso
from avatar.training.matte_sampling import long_hair, torso_weight
from avatar.training.mesh_sampling import SurfaceSamples, sample_mesh


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture(scope="module")
def collar(head: HeadModel) -> SurfaceSamples:
    """Samples of the mesh, and copies of those of the lower neck with weight 1, as points off the mesh have."""
    samples = sample_mesh(head, 6000, np.random.default_rng(0))
    above = samples.take(np.flatnonzero(samples.torso > 0.4))
    above.torso = np.ones(len(above))
    return samples + above


def tears(head: HeadModel, samples: SurfaceSamples, torso: np.ndarray) -> float:
    """Mean difference of weight between neighbors on the neck."""
    corners = head.v_template.numpy()[head.faces.numpy()[samples.face]]
    place = (corners * samples.bary[:, :, None]).sum(1)[samples.torso > NECK]
    weight = torso[samples.torso > NECK]
    near = cKDTree(place).query(place, 4)[1][:, 1:]
    return float(np.abs(weight[near] - weight[:, None]).mean())


def test_weights_of_a_collar_over_the_neck_become_alike(head: HeadModel, collar: SurfaceSamples) -> None:
    found = smooth_torso(head, collar)
    assert tears(head, collar, found.torso) < 0.3 * tears(head, collar, collar.torso)
    rows = collar.torso > NECK
    assert found.torso[rows].mean() == pytest.approx(collar.torso[rows].mean(), abs=0.02)


def test_weights_of_the_skull_and_all_else_stay(head: HeadModel, collar: SurfaceSamples) -> None:
    found = smooth_torso(head, collar)
    skull = collar.torso <= NECK
    assert (found.torso[skull] == collar.torso[skull]).all()
    assert found.torso.min() >= 0 and found.torso.max() <= 1
    for name in ("face", "bary", "offset", "quat", "spacing"):
        assert getattr(found, name) is getattr(collar, name)


def test_a_head_of_few_samples_keeps_its_weights(head: HeadModel, collar: SurfaceSamples) -> None:
    few = collar.take(np.flatnonzero(collar.torso > NECK)[:5])
    assert smooth_torso(head, few) is few


def test_a_neck_without_a_collar_changes_little(head: HeadModel) -> None:
    samples = sample_mesh(head, 6000, np.random.default_rng(0))
    change = np.abs(smooth_torso(head, samples).torso - samples.torso)
    assert change.mean() < 0.02 and head.torso_weight().max() > 0.9


def strands(*, long: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on a millimeter grid, which are torso, and their colors: brown hair beside a face, over a gray coat."""
    side, height = (grid.ravel() for grid in np.meshgrid(np.arange(-0.2, 0.2, 1e-3), np.arange(-0.15, 0.1, 1e-3)))
    beside = (np.abs(side) > 0.07) & (np.abs(side) < 0.12) & (height > -0.05)
    hair = beside if long else beside & (height > 0.08)
    shown = hair | (height < 0)
    colors = np.where(hair[:, None], (80.0, 55.0, 40.0), (90.0, 95.0, 140.0))[shown]
    points = np.stack([side, height, np.zeros_like(side)], 1)[shown]
    return points, points[:, 1] < 0, colors


def test_long_hair_is_bent_between_head_and_torso_and_the_coat_beside_it_is_not() -> None:
    points, torso, colors = strands(long=True)
    weight = torso_weight(points, torso, long_hair(points, torso, colors, 0.0, 1e-3), 0.0)
    hair = colors[:, 0] < 85
    assert np.array_equal(weight[~hair], torso[~hair])
    order = np.argsort(-points[hair, 1], kind="stable")
    along = weight[hair][order]
    assert along[0] == 0 and 0.7 < along[-1] < 1 and (np.diff(along) >= 0).all() and np.diff(along).max() < 0.02


def test_short_hair_leaves_the_torso_as_it_is() -> None:
    points, torso, colors = strands(long=False)
    assert not long_hair(points, torso, colors, 0.0, 1e-3).any()
    dark = np.full_like(colors, 60.0)  # a coat in the color of the hair
    assert not long_hair(points, torso, dark, 0.0, 1e-3).any()
