"""Where hair, beard and brows grow: on their side of the landmarks, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head import load_head
from avatar.head.hair_regions import BROWS, beard_cover, brow_distance, hair_cover, polyline_distance, smoothstep

HEAD = load_head()
POINTS = HEAD.v_template.numpy() * 100
LANDMARKS = HEAD.landmarks(HEAD.v_template[None])[0].numpy() * 100


def test_hair_covers_the_scalp_and_not_the_face() -> None:
    top = POINTS[[POINTS[:, 1].argmax()]]
    assert hair_cover(top, LANDMARKS) == 1
    assert not hair_cover(LANDMARKS[[4, 152, 9, 50, 280]], LANDMARKS).any()  # nose, chin, brow ridge, cheeks


def test_a_beard_covers_the_chin_and_not_nose_or_forehead() -> None:
    assert beard_cover(LANDMARKS[[152]], LANDMARKS) > 0.8
    assert not beard_cover(LANDMARKS[[4, 9, 10, 33, 263]], LANDMARKS).any()


@pytest.mark.parametrize("brow", BROWS)
def test_landmarks_of_a_brow_are_near_its_line(brow: tuple[int, ...]) -> None:
    assert brow_distance(LANDMARKS[list(brow)], LANDMARKS, brow).max() < 0.7
    assert brow_distance(LANDMARKS[[4]], LANDMARKS, brow) == 1


def test_the_distance_of_a_polyline_is_that_of_its_segments_up_to_the_limit() -> None:
    line = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], np.float32)
    points = np.array([[0.5, -0.2, 0], [1.3, 1, 0], [5, 5, 5]], np.float32)
    np.testing.assert_allclose(polyline_distance(points, line, 1.0), [0.2, 0.3, 1.0], atol=1e-6)


def test_a_smoothstep_falls_where_its_ends_are_swapped() -> None:
    np.testing.assert_array_equal(smoothstep(1.0, 0.0, np.array([-1.0, 0.0, 0.5, 1.0, 2.0])), [1, 1, 0.5, 0, 0])
