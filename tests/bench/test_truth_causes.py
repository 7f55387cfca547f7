"""The people before the camera of `bench_truth --causes`."""

from __future__ import annotations

import numpy as np

from capture.synthetic.options import SyntheticOptions
from capture.synthetic.population import RANDOM
from tests.bench.truth_causes import CAUSES, SIZE, STRONG, Studio


def test_photographs_show_the_pose_and_the_face_of_their_landmarks() -> None:
    studio = Studio(3, SyntheticOptions(seed=3, person=RANDOM, width=SIZE[0], height=SIZE[1]))
    weights = np.zeros((3, len(studio.names)), np.float32)
    weights[1, studio.names.index("jawOpen")] = 1
    turn = np.radians([(0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 30.0, 0.0)])
    shots = [studio.photograph(pose, 1.0, 0) for pose in studio.poses(turn, weights, np.zeros((3, 3)))]
    rest, opened, turned = (points for _, points in shots)
    for image, points in shots:
        assert image.shape == (SIZE[1], SIZE[0], 3)
        assert (points[:, :2] > 0).all() and (points[:, :2] < SIZE).all()
    assert opened[14, 1] - opened[13, 1] > 10 + rest[14, 1] - rest[13, 1]  # the lips part
    assert abs(turned[1, 0] - turned[[234, 454], 0].mean()) > 10 + abs(rest[1, 0] - rest[[234, 454], 0].mean())
    assert turned[454, 2] > turned[234, 2] + 20 or turned[234, 2] > turned[454, 2] + 20  # one cheek is farther away
    x, y = opened[[13, 14], :2].mean(0).astype(int)
    mouth = np.s_[y - 8 : y + 9, x - 8 : x + 9]
    first, second = (image[mouth].astype(int) for image, _ in shots[:2])
    assert np.abs(first - second).mean() > 10  # the images show it, too


def test_every_face_names_expressions_of_the_head() -> None:
    studio = Studio(3, SyntheticOptions(seed=3, person=RANDOM, width=SIZE[0], height=SIZE[1]))
    for cause in CAUSES.values():
        assert all(name in studio.names for face in cause.faces.values() for name in face)
    assert all(len(face) > 1 for face in STRONG.values())
