"""What the errors of the tracker come from: a row a cause, of random people who show the same faces each time.

`python -m tests.bench.bench_truth --causes` prints them. The identity is fitted to clean frames, as live; then each
frame is fitted alone. One constant rotation of the clean frames is removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from avatar.head import load_head
from avatar.types import JOINT_NAMES, NECK, ROOT, HeadParams
from capture.faces.landmarks import LandmarkTracker, Roi
from capture.live.fit import Fitter
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.person import Person
from capture.synthetic.phone import Phone
from capture.synthetic.population import RANDOM, random_appearance
from capture.synthetic.renderer import Pose, Renderer
from capture.synthetic.view import make_views
from capture.tracker.camera import FocalPrior
from capture.tracker.clip import Observations, fit_person
from capture.tracker.landmark_model import LandmarkModel
from tests.support.sliding import Sliding

SIZE = 320, 400
FACES: dict[str, dict[str, float]] = {
    "rest": {},
    "smile": {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7},
    "one-sided": {"mouthSmileLeft": 0.7, "browOuterUpLeft": 0.5},
    "blink": {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9},
    "brows": {"browInnerUp": 0.7, "browOuterUpLeft": 0.7, "browOuterUpRight": 0.7},
    "frown": {"browDownLeft": 0.7, "browDownRight": 0.7, "mouthFrownLeft": 0.4, "mouthFrownRight": 0.4},
    "open": {"jawOpen": 0.5},
    "o": {"mouthFunnel": 0.6, "jawOpen": 0.2},
}
STRONG: dict[str, dict[str, float]] = {
    "shout": {"jawOpen": 1.0, "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5, "browInnerUp": 0.6},
    "laugh": {"jawOpen": 0.7, "mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "cheekSquintLeft": 0.8},
    "surprise": {"jawOpen": 0.9, "browInnerUp": 1.0, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9},
    "sneer": {"noseSneerLeft": 0.9, "noseSneerRight": 0.9, "mouthUpperUpLeft": 0.8, "mouthUpperUpRight": 0.8},
}  # fmt: skip
NEAR, FAR = (-8.0, 0.0, 8.0), (-40.0, -25.0, 25.0, 40.0)  # degrees of yaw


@dataclass(frozen=True)
class Cause:
    """Frames that have one difficulty."""

    faces: dict[str, dict[str, float]]
    yaws: Sequence[float]
    light: str = "room"
    cover: str | None = None  # what is before the mouth, a kind of `Sliding`


CAUSES = {
    "clean": Cause(FACES, NEAR),
    "turned": Cause(FACES, FAR),
    "mug": Cause(FACES, NEAR, cover="mug"),
    "hand": Cause(FACES, NEAR, cover="hand"),
    "light from the left": Cause(FACES, NEAR, "left"),
    "light from below": Cause(FACES, NEAR, "below"),
    "strong expression": Cause(STRONG, NEAR),
}


class Studio:
    """A random person before a camera."""

    def __init__(self, seed: int, options: SyntheticOptions) -> None:
        appearance = random_appearance(seed)
        self.person, (self._view,) = Person(appearance), make_views(options)
        self._renderer = Renderer(appearance, self.person, seed, 0.6, options.light, False)
        self._phone = Phone(options.width, options.height, options.noise, seed)
        self.names = list(self.person.head.expression_names)
        self._distance = 0.42 * options.focal / 1.35

    def poses(self, turn: np.ndarray, weights: np.ndarray, place: np.ndarray) -> list[Pose]:
        """Poses of T frames: pitch, yaw, roll [T,3] in radians, expressions [T,E], and where the head is [T,3].

        The place is in meters from the middle of the image, at the distance where the head fills it.
        """
        joints = np.zeros((len(turn), len(JOINT_NAMES), 3))
        joints[:, ROOT], joints[:, NECK] = 0.2 * turn, 0.8 * turn
        place = place + np.array([0, 0.008, -self._distance])
        moved = (torch.from_numpy(each.astype(np.float32)) for each in (weights, joints, place))
        rotations, offsets = self.person.transforms(HeadParams(self.person.identity, *moved))
        return [Pose(*each) for each in zip(weights, rotations, offsets, strict=True)]

    def photograph(self, pose: Pose, gain: float, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The image [H,W,3] uint8, and the landmarks [478,3] in its pixels, z as the network gives it."""
        rgb = self._phone.expose(self._renderer.render(pose, [self._view])[0], (0.0, 0.0), gain, number)
        vertices = self.person.vertices(pose.expression, pose.rotations, pose.offsets)
        local = self._view.to_camera(self.person.head.landmarks(torch.from_numpy(vertices)[None])[0].numpy())
        projected = local @ self._view.K.T
        depth = (local[:, 2] / local[:, 2].mean() - 1) * self._view.K[0, 0]
        return rgb, np.column_stack([projected[:, :2] / projected[:, 2:], depth])


@dataclass(frozen=True)
class Shots:
    """Frames of a cause: what the network finds and what is true."""

    points: np.ndarray  # [T,478,3]
    weights: np.ndarray  # [T,E] of the whole head
    rotation: np.ndarray  # [T,3,3]
    faces: tuple[str, ...]  # [T]


def shoot(seed: int, cause: Cause) -> Shots:
    """Landmarks of the network in the frames of a cause."""
    width, height = SIZE
    options = SyntheticOptions(seed=seed, person=RANDOM, width=width, height=height, light=cause.light)
    studio, network = Studio(seed, options), LandmarkTracker()
    rows = [(name, face, yaw) for name, face in cause.faces.items() for yaw in cause.yaws]
    weights = np.zeros((len(rows), len(studio.names)), np.float32)
    for row, (_, face, _) in zip(weights, rows, strict=True):
        row[[studio.names.index(name) for name in face]] = list(face.values())
    turn = np.radians([(0.0, yaw, 0.0) for *_, yaw in rows])
    poses = studio.poses(turn, weights, np.zeros((len(rows), 3)))
    found = []
    for number, pose in enumerate(poses):
        rgb, true = studio.photograph(pose, 1.0, number)
        if cause.cover is not None:
            rgb = Sliding(cause.cover, "mouth", seed).draw(rgb, true, 0.0)[0]
        first = network.locate(rgb, Roi.from_landmarks(true))
        found.append(network.locate(rgb, Roi.from_landmarks(first.points)).points)
    rotation = np.stack([pose.rotations[1] for pose in poses])
    return Shots(np.stack(found), weights, rotation, tuple(name for name, *_ in rows))


def errors(seed: int) -> dict[str, tuple[float, float, float]]:
    """Of each cause mean and largest error of the rotation, degrees, and root mean square error of the expressions."""
    head = load_head()
    model = LandmarkModel.from_head(head)
    shots = {name: shoot(seed, cause) for name, cause in CAUSES.items()}
    clean = shots["clean"]
    count = len(clean.points)
    seen = Observations(clean.points, np.zeros((count, 478)), np.ones(count), np.arange(count) / 10)
    focal = SyntheticOptions.focal * SIZE[0]
    person = fit_person(model, seen, FocalPrior(focal, 0.01, "given"), (SIZE[0] / 2, SIZE[1] / 2))
    fitter = Fitter.of(person, head)
    fits = {name: [fitter(points, None) for points in each.points] for name, each in shots.items()}

    def turns(name: str) -> Rotation:
        found = np.stack([fit.state.rotation for fit in fits[name]])
        return Rotation.from_matrix(shots[name].rotation.transpose(0, 2, 1) @ found)

    constant = turns("clean").mean().inv()
    result = {}
    for name, each in shots.items():
        angle = np.degrees((constant * turns(name)).magnitude())
        wrong = np.stack([fit.state.expression for fit in fits[name]]) - each.weights[:, model.columns]
        result[name] = float(angle.mean()), float(angle.max()), float(np.sqrt(np.square(wrong).mean()))
    return result


def report(seeds: Sequence[int]) -> str:
    """A Markdown table of the causes."""
    people = [errors(seed) for seed in seeds]
    lines = ["| cause | rotation, degrees | largest | expressions |", "|---|---|---|---|"]
    for cause in CAUSES:
        mean, most, expression = np.array([person[cause] for person in people]).T
        lines.append(f"| {cause} | {mean.mean():.2f} | {most.max():.1f} | {expression.mean():.3f} |")
    return "\n".join([f"{len(seeds)} random people; means, and the largest error of a rotation", "", *lines])
