"""The performer's torso in live frames: accuracy on patterns and a synthetic person, no torso, other things in view."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from avatar.driving.live.torso_blend import TorsoBlend
from avatar.types import ROOT
from capture.live.torso import TorsoFollower, TorsoMotion
from capture.synthetic import SyntheticOptions, SyntheticScene

WIDTH, HEIGHT, FACE, CHIN = 480, 400, 100.0, (240.0, 170.0)
CHEST = np.array([CHIN[0], CHIN[1] + 0.6 * FACE, 1.0])


class Mattes:
    """A matting network that knows the answer, and counts its calls."""

    def __init__(self, matte: np.ndarray) -> None:
        self.matte, self.calls = matte, 0

    def raw(self, rgb: np.ndarray, box: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.matte.astype(np.float32)


def scene(warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGB and matte (0..1) of shoulders with a pattern, moved by `warp` [2,3], in front of a still background."""
    columns, rows = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    points = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(np.vstack([warp, [0, 0, 1]])).T
    x, y = points[..., 0], points[..., 1]
    inside = (((x - 240) / 170) ** 2 + ((y - 420) / 230) ** 2 < 1).astype(np.float32)
    pattern = 110 + 35 * np.sin(x / 17 + 0.3 * np.sin(y / 21)) + 30 * np.sin(y / 15 + x / 51)
    behind = 190 + 15 * np.sin(columns / 40) * np.cos(rows / 33)
    gray = cv2.GaussianBlur(np.where(inside > 0, pattern, behind).astype(np.float32), (0, 0), 1)
    return np.repeat(gray.round().astype(np.uint8)[:, :, None], 3, 2), inside


def landmarks() -> np.ndarray:
    points = np.zeros((478, 3))
    points[:, :2] = np.random.default_rng(0).uniform([200, 75], [280, 170], (478, 2))
    points[152, :2], points[10, :2] = CHIN, (CHIN[0], CHIN[1] - FACE)
    return points


def affine(shift: tuple[float, float] = (0, 0), turn: float = 0.0) -> np.ndarray:
    """A motion [2,3] of the chest by `shift` pixels with a clockwise turn in degrees."""
    warp = cv2.getRotationMatrix2D((CHEST[0], CHEST[1]), -turn, 1.0)
    warp[:, 2] += shift
    return warp


def started(warp: np.ndarray | None = None) -> tuple[TorsoFollower, Mattes]:
    """A follower whose reference is the torso at `warp`."""
    rgb, matte = scene(affine() if warp is None else warp)
    network = Mattes(matte)
    follower = TorsoFollower(lambda: network)
    while follower(rgb, landmarks()) is None:
        pass
    return follower, network


def seen(follower: TorsoFollower, rgb: np.ndarray) -> TorsoMotion:
    motion = follower(rgb, landmarks())
    assert motion is not None
    return motion


def test_a_swaying_torso_is_followed_to_a_pixel() -> None:
    follower, network = started()
    for phase in np.linspace(0, 2, 40):
        shift, turn = (30 * np.sin(3 * phase), -14 * np.sin(2 * phase)), 6 * np.sin(2 * phase)
        motion = seen(follower, scene(affine(shift, turn))[0])
        assert (motion.right, motion.down) == pytest.approx(shift, abs=1.5)  # .015 face heights
        assert np.degrees(motion.turn) == pytest.approx(turn, abs=0.6)
        assert motion.confidence > 0.9
    assert network.calls == 1


def test_the_motion_in_the_world_has_its_axes() -> None:
    moved = TorsoMotion(10.0, 20.0, 0.1, 1.0).in_world(0.002)
    assert moved == pytest.approx([0.02, -0.04, -0.1])


def test_something_else_in_view_has_little_confidence_and_the_torso_is_found_again() -> None:
    follower, _ = started()
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    assert seen(follower, noise).confidence < 0.5
    back = seen(follower, scene(affine((8, -4)))[0])
    assert (back.right, back.down) == pytest.approx((8, -4), abs=1.5) and back.confidence > 0.9


def test_a_frame_without_a_torso_is_no_reference_and_mattes_are_rarely_made() -> None:
    network = Mattes(np.zeros((HEIGHT, WIDTH)))
    follower, rgb = TorsoFollower(lambda: network), scene(affine())[0]
    assert all(follower(rgb, landmarks()) is None for _ in range(400))
    assert network.calls == 4


def test_a_small_face_is_no_reference() -> None:
    rgb, matte = scene(affine())
    follower, points = TorsoFollower(lambda: Mattes(matte)), landmarks()
    points[10, 1] = CHIN[1] - 30
    assert all(follower(rgb, points) is None for _ in range(10))


def test_another_person_gets_another_reference() -> None:
    follower, network = started()
    follower.reset()
    rgb = scene(affine((20, 0)))[0]
    assert follower(rgb, landmarks()) is None
    while (motion := follower(rgb, landmarks())) is None:
        pass
    assert motion.right == pytest.approx(0, abs=0.1) and network.calls == 2


def test_trust_fades_in_and_out() -> None:
    blend = TorsoBlend()
    assert blend.at(0.0) is None
    blend.update(torch.ones(1, 3), 0.9, 0.0)
    trusts = [0.0 if (at := blend.at(time)) is None else at.trust for time in (0.0, 0.1, 0.2, 0.4, 1.0)]
    assert trusts[-1] == 1.0 and np.diff(trusts).max() <= 0.6
    blend.update(torch.full((1, 3), 9.0), 0.2, 1.0)  # not certain: the last certain one stays while it fades
    held = blend.at(1.2)
    assert held is not None and 0.3 < held.trust < 0.7 and held.moved.tolist() == [[1.0, 1.0, 1.0]]
    assert blend.at(1.5) is None


@pytest.mark.slow
def test_the_torso_of_a_synthetic_person_is_followed() -> None:
    person = SyntheticScene(SyntheticOptions(width=360, height=480, frames=60, fps=12.0, handheld=0.0))
    truth = person.truth()
    frames = [person.record(index)[0] for index in range(60)]
    points, reference = truth.landmarks[0], 4
    face = points[reference, 152, 1] - points[reference, 10, 1]
    chest = points[reference, 152] + [0, 0.6 * face]
    network = Mattes(frames[reference].matte / 255)
    follower = TorsoFollower(lambda: network)
    rotations, offsets = person._rotations[:, ROOT], person._offsets[:, ROOT]
    depth = float(-truth.skull_translation[reference, 2])  # the chest is about as far as the head
    K = truth.K[0]
    at = np.array([(chest[0] - K[0, 2]) / K[0, 0], -(chest[1] - K[1, 2]) / K[1, 1], -1.0]) * depth
    rest = rotations[reference].T @ (at - offsets[reference])
    world = rotations @ rest + offsets
    expected = np.stack([world[:, 0], -world[:, 1]], 1) / -world[:, 2:] * K[0, 0] + K[:2, 2]
    found = [follower(frame.rgb, np.pad(row, ((0, 0), (0, 1)))) for frame, row in zip(frames, points, strict=True)]
    motions = np.array([(each.right, each.down) for each in found if each is not None])
    true = (expected - expected[reference])[reference:]
    assert len(motions) == len(true)
    error = np.sqrt(((motions - true) ** 2).sum(1).mean())
    assert error < 0.022 * face  # 3 to 4 mm
    assert error < 0.6 * np.sqrt((true**2).sum(1).mean())
    assert np.corrcoef(motions[:, 0], true[:, 0])[0, 1] > 0.95
