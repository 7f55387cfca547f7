"""The edge of drawn irises: turned, blurred, with reflections and lids; and what of many frames counts."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.data.iris_size import MIN_COUNT, IrisRing, _axes, find_ring, summarized

FOCAL = np.array([900.0, 900.0])
SIDE = 72


def seen(
    diameter: float, turn: float, seed: int = 0, *, glint: bool = True, contrast: float = 90.0, distance: float = 0.5
) -> tuple[np.ndarray, IrisRing]:
    """An image of an eye, and the ring where landmarks would expect its iris: beside it, and of 11.7 mm.

    Args:
        diameter: true millimeters.
        turn: degrees of the gaze to the side.
        seed: of place and noise.
        glint: whether a window is reflected at the edge.
        contrast: brightness of the white beside the iris, above that of the iris.
        distance: meters.
    """
    rng = np.random.default_rng(seed)
    gaze = np.array([np.sin(np.radians(turn)), 0.05, -np.cos(np.radians(turn))])
    axes = _axes(np.array([0.0, 0.0, distance]), gaze, FOCAL)
    assert axes is not None
    center = SIDE / 2 + rng.uniform(-1, 1, 2)
    fine = 3
    pixels = (np.stack(np.meshgrid(*[np.arange(SIDE * fine)] * 2), -1) + 0.5) / fine - center
    radius = np.linalg.norm(pixels @ np.linalg.inv(axes), axis=-1) / (diameter / 2000)
    image = np.where(radius < 1, 60.0, 60 + contrast)
    image[radius < 0.35] = 20
    lid = pixels[..., 1] < -0.6 * np.linalg.norm(axes[1]) * diameter / 2000
    image[lid] = 110
    if glint:
        at = pixels - 0.7 * axes[0] * diameter / 2000
        image[(np.abs(at) < 1.5).all(-1)] = 255
    image = cv2.resize(image.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), 0.7) + rng.normal(0, 3, image.shape).astype(np.float32)
    expected = center + rng.normal(0, 1, 2) * (1.0, 0.3)
    return image, IrisRing(seed, 0, expected, axes, 0.0117)


@pytest.mark.parametrize(("diameter", "turn", "distance"), [(11.7, 0, 0.5), (10.4, 15, 0.5), (13.5, -18, 0.7)])
def test_the_diameter_is_found_within_two_hundredths(diameter: float, turn: float, distance: float) -> None:
    images = [seen(diameter, turn, seed, distance=distance) for seed in range(12)]
    rings = [ring for ring in (find_ring(*each) for each in images) if ring is not None]
    assert len(rings) > 9
    size = summarized(rings)
    assert size is not None
    assert 1000 * size.diameter == pytest.approx(diameter, rel=0.02)
    assert size.sigma < 0.02


def test_the_outline_is_the_edge_in_the_image() -> None:
    image, seed = seen(11.7, 15, 3, glint=False)
    ring = find_ring(image, seed)
    assert ring is not None
    below = ring.outline(16)[[1, 7]]  # beside the lid
    inside, outside = (ring.center + factor * (below - ring.center) for factor in (0.85, 1.15))
    brightness = [
        cv2.remap(image, *(points.astype(np.float32) - 0.5).T, cv2.INTER_LINEAR) for points in (inside, outside)
    ]
    assert brightness[0].max() < 80 < 120 < brightness[1].min()


def test_an_iris_that_cannot_be_seen_is_none() -> None:
    image, seed = seen(11.7, 0, contrast=3.0, glint=False)
    assert find_ring(image, seed) is None
    image, seed = seen(11.7, 0)
    assert find_ring(image, replace(seed, axes=seed.axes / 4)) is None  # 5 pixels
    assert find_ring(np.full_like(image, 90), seed) is None


def test_an_eye_that_looks_aside_is_left_out() -> None:
    place = np.array([0.0, 0.0, 0.5])
    assert _axes(place, np.array([np.sin(0.5), 0.0, -np.cos(0.5)]), FOCAL) is None
    assert _axes(-place, np.array([0.0, 0.0, -1.0]), FOCAL) is None


def rings(eye: int, diameters: np.ndarray) -> list[IrisRing]:
    return [IrisRing(row, eye, np.zeros(2), np.eye(2), float(value)) for row, value in enumerate(diameters)]


def test_outliers_do_not_count_and_contradictions_are_no_size() -> None:
    rng = np.random.default_rng(0)
    right, left = rng.normal(0.0117, 0.0002, (2, 40))
    right[:6] = 0.016
    size = summarized(rings(0, right) + rings(1, left))
    assert size is not None and size.diameter == pytest.approx(0.0117, rel=0.01)
    assert summarized(rings(0, right) + rings(1, 1.2 * left)) is None  # one eye is covered, or squints
    assert summarized(rings(0, rng.uniform(0.008, 0.016, 40))) is None
    assert summarized(rings(0, right[: MIN_COUNT - 1])) is None
