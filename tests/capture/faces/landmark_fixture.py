"""A made-up landmark model and clips of it, for tests of the tracker that need no head and no network."""

from __future__ import annotations

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation
from capture.tracker.clip import Observations
from capture.tracker.indices import FACE_COUNT, LEFT_CORNER, LEFT_IRIS, RIGHT_CORNER, RIGHT_IRIS
from capture.tracker.jaw import Jaw
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State

CAMERA = Pinhole(900.0, 256.0, 256.0)


def make_model(seed: int = 0, identities: int = 12, expressions: int = 10) -> LandmarkModel:
    """A face-like cloud of 468 landmarks with smooth random bases."""
    rng = np.random.default_rng(seed)
    flat = rng.uniform(-1, 1, (468, 2)) * [0.07, 0.09]
    depth = 0.03 - 6.0 * (flat**2).sum(1) + 0.03 * np.exp(-600 * (flat**2).sum(1))
    base = np.column_stack([flat, depth])
    base[RIGHT_CORNER], base[LEFT_CORNER] = (-0.045, 0.03, 0.0), (0.045, 0.03, 0.0)

    def bumps(count: int, size: float, width: float) -> np.ndarray:
        centers = base[rng.integers(0, 468, count)]
        falloff = np.exp(-((base[:, None] - centers) ** 2).sum(-1) / (2 * width**2))
        return (falloff[:, None, :] * rng.normal(size=(1, 3, count)) * size).reshape(1404, count)

    names = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", *(f"shape{k}" for k in range(expressions - 3)))
    eyes = np.array([[0.032, 0.03, -0.012], [-0.032, 0.03, -0.012]])
    return LandmarkModel(
        base=base,
        identity_basis=bumps(identities, 0.002, 0.04),
        expression_basis=bumps(expressions, 0.008, 0.03),
        names=names,
        columns=np.arange(expressions),
        limits=np.repeat([[0.0], [1.0]], expressions, 1),
        cost=np.ones(expressions),
        exclusive=np.zeros((0, 2), dtype=np.int64),
        eye_centers=eyes,
        eye_basis=np.zeros((6, identities)),
        iris=eyes + np.array([0.0, 0.0, 0.0125]),
        iris_basis=np.zeros((6, identities)),
        jaw=_jaw(base, identities, rng),
    )


def _jaw(base: np.ndarray, identities: int, rng: np.random.Generator) -> Jaw:
    """Lower landmarks rotate by 0.35 rad under jawOpen and 0.1 under shape0; the blinks follow a curve."""
    return Jaw(
        skinning_weights=np.clip(-base[:, 1] / 0.05, 0, 1),
        center=np.array([0.0, 0.0, -0.06]),
        center_basis=rng.normal(size=(3, identities)) * 1e-3,
        directions=np.array([[0.0, 0.0, 0.35, 0.0], [0.0, 0.0, 0.0, 0.05], [0.0, 0.0, 0.0, 0.0]]),
        nonlinear=np.arange(4),
        correctives=rng.normal(size=(1404, 9)) * 5e-4,
        curves=rng.normal(size=(1404, 4)) * np.array([5e-4, 5e-4, 0.0, 0.0]),
    )


def make_states(count: int, expressions: int = 10, turn: float = 0.5, roll: float = 0.0) -> list[State]:
    """A head that turns `turn` radians either way, nods and talks, `roll` radians about the camera's axis."""
    upright = exp_rotation(np.array([0.0, 0.0, roll]))
    states = []
    for k in range(count):
        yaw, pitch = turn * np.sin(k / 13), 0.15 * np.sin(k / 9)
        rotation = upright @ exp_rotation(np.array([0, yaw, 0.0])) @ exp_rotation(np.array([-pitch, 0, 0.0]))
        place = np.array([0.01 * np.sin(k / 20), 0.01 * np.cos(k / 17), -0.8 + 0.03 * np.sin(k / 25)])
        weights = np.clip(np.sin(k / 8 + 2.0 * np.arange(expressions)) - 0.6, 0, 1)
        states.append(State(rotation, place, weights))
    return states


def observe(
    model: LandmarkModel,
    identity: np.ndarray,
    states: list[State],
    time: np.ndarray,
    noise: float = 0.0,
    gaze: tuple[float, float] = (0.0, 0.0),
    seed: int = 1,
    camera: Pinhole = CAMERA,
) -> Observations:
    """Landmarks of `states` at `time` seconds, `noise` pixels of error, eyes turned by `gaze` (yaw, pitch)."""
    rng = np.random.default_rng(seed)
    centers, irises = model.eyes(identity)
    turn = exp_rotation(np.array([0.0, gaze[0], 0.0])) @ exp_rotation(np.array([-gaze[1], 0.0, 0.0]))
    points = np.zeros((len(states), 478, 3))
    for k, state in enumerate(states):
        world = model.posed_landmarks(identity, state.expression) @ state.rotation.T + state.translation
        points[k, :468, :2] = camera.project(world)
        points[k, :468, 2] = -(world[:, 2] - state.translation[2]) * camera.focal / -state.translation[2]
        for eye, start in enumerate((LEFT_IRIS, RIGHT_IRIS)):
            iris = centers[eye] + turn @ (irises[eye] - centers[eye])
            points[k, start : start + 5, :2] = camera.project(state.rotation @ iris + state.translation)
    points[..., :2] += rng.normal(0, noise, points[..., :2].shape) if noise else 0.0
    return Observations(points, np.zeros((len(states), 478)), np.ones(len(states)), np.asarray(time, dtype=np.float64))


def with_outliers(
    points: np.ndarray, base: np.ndarray, fraction: float, *, together: bool, seed: int = 3
) -> np.ndarray:
    """Landmarks [T,478,3] of which a fraction lies half a face away.

    Args:
        points: landmarks.
        base: the face [468,3], meters.
        fraction: of the landmarks.
        together: neighbors displaced in the same way for 15 frames, as by a hand; else any, each in its own way.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    result = points.copy()
    count = round(fraction * FACE_COUNT)
    size = 0.6 * np.linalg.norm(points[:, RIGHT_CORNER, :2] - points[:, LEFT_CORNER, :2], axis=1)
    for frame in range(len(points)):
        if together and frame % 15 == 0:
            rows = np.argsort(np.linalg.norm(base - base[rng.integers(FACE_COUNT)], axis=1))[:count]
            direction = rng.normal(size=3)
            direction /= np.linalg.norm(direction[:2])
        elif not together:
            rows = rng.permutation(FACE_COUNT)[:count]
            direction = rng.normal(size=(count, 3))
        result[frame, rows] += direction * size[frame]
    return result
