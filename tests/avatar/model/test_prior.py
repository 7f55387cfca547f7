"""The prior of heads: its posterior against conditioning of the joint Gaussian, its light, its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.model import prior
from avatar.model.prior import HeadPrior, applies_to, from_log, head_prior, read_prior, to_log

Floats = NDArray[np.float64]
DEVIATIONS = (1.0, *[0.3] * 3, *[0.3, *[0.05] * 3] * 2)


@pytest.fixture
def small() -> HeadPrior:
    """A prior of 30 vertices with 4 basis vectors."""
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((30, 3))
    return HeadPrior(
        np.arange(30), rng.normal(-1, 0.5, (30, 3)), rng.normal(0, 0.4, (30, 3, 4)),
        rng.uniform(0.01, 0.05, (30, 3)), normals / np.linalg.norm(normals, axis=1, keepdims=True),
    )  # fmt: skip


def seen_from_the_front() -> Floats:
    """Weights [K]: 1 where the mean head faces the camera, 0 at the sides and behind."""
    return np.clip((head_prior().normals[:, 2] - 0.2) / 0.3, 0, 1)


def joint_covariance(model: HeadPrior) -> Floats:
    """Covariance [3K,3K] of all colors in one light, written out term by term."""
    columns = [model.basis.reshape(-1, model.basis.shape[2])]
    x, y = (np.repeat(model.normals[:, axis], 3)[:, None] for axis in (0, 1))
    each = np.tile(np.eye(3), (len(model.mean), 1))
    light = np.concatenate([np.ones((len(each), 1)), each], 1)
    columns += [np.concatenate([light, light * x, light * y], 1) * np.array(DEVIATIONS)]
    factors = np.concatenate(columns, 1)
    return factors @ factors.T


def test_the_posterior_is_the_conditional_of_the_joint_gaussian(
    small: HeadPrior, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "ITERATIONS", 1)  # without the weights of outliers
    rng = np.random.default_rng(1)
    colors, weights = small.mean + rng.normal(0, 0.5, (30, 3)), rng.uniform(0.1, 1, 30) * (np.arange(30) < 18)
    found = small.posterior(colors, weights)
    covariance, seen = joint_covariance(small), np.repeat(weights > 0, 3)
    noise = (prior.CORRELATED * (small.noise + prior.OBSERVED**2) / np.maximum(weights, 1e-9)[:, None]).ravel()
    gain = covariance[:, seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)] + np.diag(noise[seen]))
    mean = small.mean.ravel() + gain @ (colors - small.mean).ravel()[seen]
    variance = np.diag(covariance - gain @ covariance[seen]) + small.noise.ravel()
    assert np.allclose(found.mean.ravel(), mean, rtol=0, atol=1e-9)
    assert np.allclose(small.variance(found).ravel(), variance, rtol=0, atol=1e-9)


def test_without_evidence_the_posterior_is_the_prior(small: HeadPrior) -> None:
    found = small.posterior(np.zeros((30, 3)), np.zeros(30))
    assert np.array_equal(found.mean, small.mean)
    assert np.allclose(small.variance(found).ravel(), np.diag(joint_covariance(small)) + small.noise.ravel())


def test_evidence_makes_every_color_more_certain(small: HeadPrior) -> None:
    some, more = np.arange(30) < 10, np.arange(30) < 20
    few, many = (small.variance(small.posterior(small.mean, weights.astype(float))) for weights in (some, more))
    assert (many <= few + 1e-12).all() and many.mean() < few.mean()


def test_outliers_hardly_change_the_posterior() -> None:
    model, weights = head_prior(), seen_from_the_front()
    clean = model.posterior(model.mean, weights).mean
    colors = model.mean.copy()
    colors[np.flatnonzero(weights > 0)[::12]] = np.log(1 + prior.FLOOR)  # every twelfth vertex is a white highlight
    assert np.abs(model.posterior(colors, weights).mean - clean).mean() < 0.05


@pytest.mark.parametrize("gain", [(0.5, 0.5, 0.5), (1.2, 1.0, 0.8)])
def test_the_exposure_of_a_video_reaches_what_it_never_showed(gain: tuple[float, float, float]) -> None:
    model, weights = head_prior(), seen_from_the_front()
    shift = model.posterior(model.mean + np.log(gain), weights).mean - model.mean
    assert np.abs(np.median(shift[weights == 0], 0) - np.log(gain)).max() < 0.12


def test_colors_have_no_step_where_the_evidence_ends() -> None:
    """A color that the model has not, a green face, fades into the model's along the mesh."""
    model, weights = head_prior(), seen_from_the_front()
    green = np.clip(from_log(model.mean) + np.array([-0.1, 0.2, -0.1]), 0, 1)
    complete = model.complete(green, weights)
    seen, difference = weights > 0.9, complete - from_log(model.posterior(to_log(green), weights).mean)
    assert np.abs(complete - green)[seen].mean() < 0.02
    edges = np.stack(prior._laplacian().nonzero(), 1)
    across = edges[(weights[edges[:, 0]] == 0) & (weights[edges[:, 1]] > 0)]
    assert len(across) > 100
    steps = np.abs(difference[across[:, 0]] - difference[across[:, 1]])
    alone = np.abs(np.where(weights[across[:, 1]] > 0, 1, 0)[:, None] * difference[across[:, 1]])
    assert steps.mean() < 0.5 * alone.mean()


def test_what_one_side_has_the_other_one_has_too() -> None:
    """A stain on the left cheek that the prior does not know: the unseen right cheek gets a part of it."""
    model, points = head_prior(), load_head().v_template.double().numpy()[prior.prior_vertices()]
    other = prior._other_side()
    assert np.array_equal(other[other], np.arange(len(other))) and np.allclose(points[other], points * [-1, 1, 1])
    weights = seen_from_the_front() * (points[:, 0] > 0.002)
    plain = from_log(model.mean)
    seen = np.flatnonzero(weights > 0.9)
    middle = points[seen[np.linalg.norm(points[seen] - points[seen].mean(0), axis=1).argmin()]]
    stain = seen[np.linalg.norm(points[seen] - middle, axis=1) < 0.02]
    marked = plain.copy()
    marked[stain] *= 0.6
    change = to_log(model.complete(marked, weights)) - to_log(model.complete(plain, weights))
    unseen = np.setdiff1d(np.flatnonzero(weights == 0), other[stain])
    assert len(stain) > 10 and 0.4 * np.log(0.6) > change[other[stain]].mean() > np.log(0.6)
    assert np.abs(change[unseen]).mean() < 0.05


def test_colors_and_logarithms_are_inverse() -> None:
    srgb = np.linspace(0, 1, 50)[:, None].repeat(3, 1)
    assert np.allclose(from_log(to_log(srgb)), srgb, atol=1e-9)


def test_the_stored_prior_fits_the_embedded_head() -> None:
    model = head_prior()
    assert model.mean.shape == (7522, 3) and model.basis.shape == (7522, 3, 32)
    assert (model.noise > 0).all() and prior.FILE.stat().st_size < 1 << 20
    assert applies_to(load_head()) and not applies_to(load_head("embedded-half"))


@pytest.mark.parametrize("shape", [(29, 3), (30, 4)])
def test_colors_of_another_mesh_are_refused(small: HeadPrior, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected colors \[30, 3\] and weights \[30\], got"):
        small.posterior(np.zeros(shape), np.zeros(30))


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_weights_that_are_none_are_refused(small: HeadPrior, weight: float) -> None:
    with pytest.raises(ValueError, match="finite weights of at least 0"):
        small.posterior(np.zeros((30, 3)), np.full(30, weight))


def test_files_that_are_no_prior_are_named(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"no\.npz: the prior of heads is missing"):
        read_prior(tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", magic=np.array("other"), version=np.array(1))
    with pytest.raises(HeadsplatError, match=r"other\.npz: expected headsplat-prior version 1, found \('other', 1\)"):
        read_prior(tmp_path / "other.npz")
