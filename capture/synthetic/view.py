"""Cameras of a synthetic capture: one phone, or several static cameras around the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.types import FACING_CAMERA
from capture.synthetic.motion import smooth_noise
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.products import product

Array = NDArray[np.floating]

_HEAD = np.array([0.0, -0.02, -0.50], np.float32)  # meters, world: target of calibrated cameras
_DISTANCE = 1.0  # meters from there to a calibrated camera
_TELE = 3.0  # focal length over width of a calibrated camera: the head is as large as for the phone
_VARIATION = 0.06  # relative variation of distance, focal length and height of each camera
_STEPS_AWAY = 0.75  # meters from the head to a phone that is carried around it


@dataclass(frozen=True)
class View:
    """One pinhole camera."""

    K: Array  # [3,3] pixels
    world_to_cam: Array  # [4,4] OpenCV axes, meters
    width: int
    height: int

    def to_camera(self, points: Array) -> Array:
        """World points [...,3] in the camera's axes, meters."""
        return product(points, self.world_to_cam[:3, :3].T) + self.world_to_cam[:3, 3]

    def project(self, points: Array) -> Array:
        """Pixels [...,2] of world points [...,3]."""
        projected = self.to_camera(points) @ self.K.T
        return (projected[..., :2] / projected[..., 2:]).astype(np.float32)

    @property
    def eye(self) -> Array:
        """Position [3] of the camera, meters, world."""
        return -self.world_to_cam[:3, :3].T @ self.world_to_cam[:3, 3]

    @property
    def axes(self) -> Array:
        """Rotation [3,3] of the world to the viewer's right, up and backward."""
        return self.world_to_cam[:3, :3] * np.array([1, -1, -1], np.float32)[:, None]


def make_views(options: SyntheticOptions) -> tuple[View, ...]:
    """The phone at the origin of the world, or `options.cameras` static cameras on an arc around the head."""
    width = options.width
    height = options.height
    if options.cameras == 1:
        facing = np.array(FACING_CAMERA, np.float32)
        return (View(_intrinsics(options.focal * width, width / 2, height / 2), facing, width, height),)
    rng = np.random.default_rng((options.seed, options.cameras))
    return tuple(_camera_on_arc(options, yaw, rng) for yaw in np.linspace(-options.arc, options.arc, options.cameras))


def _camera_on_arc(options: SyntheticOptions, yaw: float, rng: np.random.Generator) -> View:
    """A camera `yaw` degrees to the side of the face, with random focal length, height and target."""
    width = options.width
    height = options.height
    far, tele, rise, *aim = rng.uniform(-1, 1, 6)
    turn = np.radians(yaw)
    lift = 1.5 * _VARIATION * rise
    toward = np.array([np.sin(turn) * np.cos(lift), np.sin(lift), np.cos(turn) * np.cos(lift)])
    eye = _HEAD + toward * (_DISTANCE * (1 + _VARIATION * far))
    target = _HEAD + 0.012 * np.array(aim)
    focal = options.focal / 1.35 * _TELE * width * (1 + _VARIATION * tele)
    center = rng.uniform(-0.015, 0.015, 2) * width
    K = _intrinsics(focal, width / 2 + center[0], height / 2 + center[1])
    return View(K, _look_at(eye, target, float(rng.normal(0, 0.01))), width, height)


def walk_around(options: SyntheticOptions, rng: np.random.Generator) -> list[View]:
    """The phone in each frame of a walk around the head, from the front to the left and back to the front.

    The speed, the distance, the height and the aim vary as those of somebody who walks, by `options.handheld`.
    """
    count = options.frames
    shake = options.handheld * smooth_noise(count, options.fps, 0.9, rng, 6)
    steps = options.handheld * smooth_noise(count, options.fps, 0.25, rng, 6)
    speed = np.exp(0.25 * shake[:, 0])
    passed = np.concatenate([[0.0], np.cumsum(speed[1:])])
    around = 2 * np.pi * passed / max(passed[-1], 1e-9) * (1 - 1 / max(count, 2))
    width, height = options.width, options.height
    K = _intrinsics(options.focal * width, width / 2, height / 2)
    views = []
    for angle, slow, fast in zip(around, shake, steps, strict=True):
        lift = 0.05 * slow[1]
        toward = np.array([np.sin(angle) * np.cos(lift), np.sin(lift), np.cos(angle) * np.cos(lift)])
        eye = _HEAD + toward * (_STEPS_AWAY * (1 + 0.05 * slow[2])) + 0.004 * fast[:3]
        target = _HEAD + np.array([0.0, -0.02, 0.0]) + 0.015 * slow[3:6] + 0.003 * fast[3:6]
        views.append(View(K, _look_at(eye, target, float(0.02 * slow[5] + 0.004 * fast[5])), width, height))
    return views


def _intrinsics(focal: float, x: float, y: float) -> Array:
    return np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]], np.float32)


def _look_at(eye: Array, target: Array, roll: float) -> Array:
    """world_to_cam [4,4] of a camera at `eye` [3] that looks at `target` [3], rolled by `roll` radians."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine = np.cos(roll)
    sine = np.sin(roll)
    matrix = np.eye(4)
    matrix[:3, :3] = [cosine * right + sine * down, cosine * down - sine * right, forward]
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix.astype(np.float32)
