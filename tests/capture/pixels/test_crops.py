"""Crops of the halves of a face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatar.geometry.numpy_rotations import exp_rotation
from avatar.head import load_head
from capture.pixels.crops import STEP, Pose
from capture.pixels.network import PixelNetwork
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole

WIDTH, HEIGHT = 320, 400
CAMERA = Pinhole(430.0, WIDTH / 2, HEIGHT / 2)
POSE = Pose(exp_rotation(np.radians([5.0, -12.0, 3.0])), np.array([0.01, 0.02, -0.45]))
FRONT = Pose(np.eye(3), np.array([0.0, 0.04, -0.45]))


@pytest.fixture(scope="module")
def neutral() -> np.ndarray:
    model = LandmarkModel.from_head(load_head())
    return model.neutral(np.zeros(model.identity_size))


def test_a_crop_shows_the_image_where_the_resting_face_is(neutral: np.ndarray) -> None:
    grid = PixelNetwork.load().grid
    across, down = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    nodes = np.einsum("srck,srckx->srcx", grid.barycentric, neutral[grid.landmarks])
    places = CAMERA.project(nodes @ POSE.rotation.T + POSE.translation)
    for axis, image in enumerate((across / 2, down / 2)):
        crops = grid.sample(image.astype(np.uint8), neutral, POSE, CAMERA)
        assert crops.shape == (2, *grid.size)
        # Between four nodes the image is sampled near their mean.
        means = (places[:, :-1, :-1] + places[:, 1:, :-1] + places[:, :-1, 1:] + places[:, 1:, 1:])[..., axis] / 4
        blocks = crops.reshape(2, grid.size[0] // STEP, STEP, grid.size[1] // STEP, STEP).mean((2, 4))
        np.testing.assert_allclose(blocks, means / 2, atol=1.2)


def test_both_halves_of_a_symmetric_image_give_the_same_crop(neutral: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    half = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH // 2)).astype(np.uint8), (0, 0), 4)
    left, right = PixelNetwork.load().grid.sample(np.concatenate([half[:, ::-1], half], 1), neutral, FRONT, CAMERA)
    assert np.abs(left.astype(int) - right.astype(int)).mean() < 1.5


def test_a_larger_image_of_the_same_face_gives_the_same_crops(neutral: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH)).astype(np.uint8), (0, 0), 5)
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    grid = PixelNetwork.load().grid
    expected = grid.sample(image, neutral, POSE, CAMERA).astype(int)
    found = grid.sample(large, neutral, POSE, Pinhole(4 * CAMERA.focal, 4 * CAMERA.cx, 4 * CAMERA.cy)).astype(int)
    assert np.abs(found - expected).mean() < 1.5


def test_a_face_that_leaves_the_image_still_has_crops(neutral: np.ndarray) -> None:
    image = np.full((HEIGHT, WIDTH), 90, np.uint8)
    outside = Pose(np.eye(3), np.array([5.0, 0.0, -0.45]))
    assert (PixelNetwork.load().grid.sample(image, neutral, outside, CAMERA) == 90).all()
