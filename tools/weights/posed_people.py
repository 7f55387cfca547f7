"""Random synthetic people in random poses and expressions, one image each, tracked as a clip is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.emotions import EmotionReader
from avatar.performance.facs.table import FacsTable
from avatar.types import JOINT_NAMES, NECK, ROOT, HeadParams
from capture.options import FaceModels
from capture.pixels.crops import CropGrid, Pose
from capture.stages.landmarks import FaceFollower
from capture.synthetic import renderer
from capture.synthetic.appearance import SPARE_GLASSES
from capture.synthetic.motion import VISEMES
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.person import Person
from capture.synthetic.phone import Phone
from capture.synthetic.population import appearance_of
from capture.synthetic.rooms import ROOMS
from capture.synthetic.view import make_views
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Observations, TrackerOptions, fit_person, network_rotations
from capture.tracker.frame import frame_error
from capture.tracker.identity import IdentityOptions, choose_key_frames
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.lids import usual_openings, with_closed_lids
from capture.tracker.problem import Pinhole, State
from capture.tracker.robust import fit_without_outliers
from tools.weights.acted_units import UNITS, expressions_of, intensities

Floats = NDArray[np.floating]

#: Expressions that landmarks hardly measure: more frames show them.
BLIND = ("eyeWide", "cheekSquint", "eyeSquint", "mouthPress", "cheekPuff")
_STEMS = sorted(
    {name.removesuffix("Left").removesuffix("Right") for name in ARKIT_52 if not name.startswith(("eyeLook", "tongue"))}
)
_WIDTH, _HEIGHT = 320, 400
_PASSES = 3  # of the landmark network
_KEY_FRAMES = 12
_STEPS = 30  # Gauss-Newton, of a frame
_ITERATIONS = 8  # of the identity fit, as live
_WIDE_TURNS = 0.45  # of the frames
#: Distance of the head from the camera at a focal length of 1.35 image widths, meters, and its height.
_DISTANCE, _RISE = 0.42, 0.008
_NORMAL_FOCAL = 1.35


class _Face:
    """Weights of a face that expressions are added to."""

    def __init__(self, rng: np.random.Generator, table: FacsTable) -> None:
        self._rng = rng
        self._table = table
        self.weights = dict.fromkeys(ARKIT_52, 0.0)

    def add(self, expressions: dict[str, float], factor: float = 1.0) -> None:
        """Expressions by name or by stem."""
        for name, weight in expressions.items():
            for each in [name] if name in self.weights else [name + "Left", name + "Right"]:
                self.weights[each] += factor * weight

    def speak(self) -> None:
        """A sound, mixed with the next one."""
        first, second = (VISEMES[self._rng.integers(len(VISEMES))] for _ in range(2))
        amount = self._rng.uniform(0.3, 1)
        self.add(first, amount)
        self.add(second, (1 - amount) * self._rng.uniform(0, 1))

    def unit(self, key: str, least: float) -> None:
        """An action unit of an intensity of at least `least`, sometimes of one side."""
        sides = intensities(self._table, **{key: self._rng.uniform(least, 1)})
        side = self._side()
        if side is not None:
            sides[:, 1 - side] = 0
        self.add(expressions_of(sides, self._table))

    def stem(self, stem: str) -> None:
        """An expression, sometimes of one side."""
        names = [stem] if stem in self.weights else [stem + "Left", stem + "Right"]
        side = self._side() if len(names) == 2 else None
        weight = self._rng.uniform(0.2, 1)
        if side is not None or len(names) == 1:
            self.weights[names[side or 0]] += weight
            return
        self.weights[names[0]] += weight
        self.weights[names[1]] += float(np.clip(weight + self._rng.normal(0, 0.06), 0, 1))

    def gaze(self) -> None:
        """A random direction of the eyes."""
        yaw, pitch = self._rng.normal(0, (0.3, 0.25))
        for side, outward in (("Left", yaw), ("Right", -yaw)):
            looks = {"Out": outward, "In": -outward, "Up": pitch, "Down": -pitch}
            for direction, weight in looks.items():
                self.weights[f"eyeLook{direction}{side}"] = max(weight, 0.0)

    def _side(self) -> int | None:
        """0 for left, 1 for right, None for both."""
        chosen = int(self._rng.integers(5)) - 3
        return chosen if chosen >= 0 else None


def random_expression(rng: np.random.Generator, table: FacsTable) -> Floats:
    """Weights [52] of a random face: rest, speech, units, emotions, and mixtures of them."""
    face = _Face(rng, table)
    kind = rng.random()
    if kind < 0.27:
        if rng.random() < 0.6:
            face.speak()
    elif kind < 0.45:
        face.unit(UNITS[rng.integers(len(UNITS))], 0.25)
    elif kind < 0.60:
        face.stem(_STEMS[rng.integers(len(_STEMS))])
    elif kind < 0.75:
        for key in rng.choice(UNITS, rng.integers(2, 4), replace=False):
            face.unit(str(key), 0.2)
    elif kind < 0.85:
        emotion = table.emotions[rng.integers(len(table.emotions))]
        face.add(expressions_of(EmotionReader(table).face(emotion.name, rng.uniform(0.4, 1)), table))
    else:
        if rng.random() < 0.5:
            face.speak()
        if rng.random() < 0.3:
            face.stem("mouthSmile")
        for stem in rng.choice(BLIND, rng.integers(1, 3), replace=False):
            face.stem(str(stem))
    if rng.random() < 0.18:
        face.add({"eyeBlink": rng.uniform(0.1, 1)})
    for name in ARKIT_52:
        if rng.random() < 0.15:
            face.weights[name] += abs(rng.normal(0, 0.05))
    face.gaze()
    return np.clip(np.array([face.weights[name] for name in ARKIT_52]), 0, 1)


@dataclass(frozen=True, eq=False)
class PosedPerson:
    """T images of one person, each of its own expression and pose."""

    images: tuple[NDArray[np.uint8], ...]  # [T] of JPEG files
    weights: Floats  # [T,52] true

    @staticmethod
    def drawn(seed: int, count: int) -> PosedPerson:
        """`count` images of the person of a seed, in a random room, with random wrinkles, glasses and camera."""
        rng = np.random.default_rng((4242, seed))
        table = FacsTable.load()
        options = SyntheticOptions(
            seed=seed,
            person="random",
            width=_WIDTH,
            height=_HEIGHT,
            frames=count,
            focal=rng.uniform(1.1, 2.3),
            light=list(ROOMS)[rng.integers(len(ROOMS))],
            wrinkles=bool(rng.random() < 0.5),
            noise=rng.uniform(0.003, 0.015),
        )
        appearance = replace(
            appearance_of(options),
            glasses=SPARE_GLASSES if rng.random() < 0.15 else None,
            lid_rest=rng.normal(-0.02, 0.06),
            smile_rest=rng.normal(0.08, 0.08),
        )
        person = Person(appearance)
        view = make_views(options)[0]
        detail = rng.uniform(0.55, 1.0)
        draw = renderer.Renderer(appearance, person, seed, detail, options.light, options.wrinkles)
        phone = Phone(options.width, options.height, options.noise, seed)
        weights = np.stack([random_expression(rng, table) for _ in range(count)])
        expression = np.zeros((count, len(person.head.expression_names)), np.float32)
        expression[:, [person.head.expression_names.index(name) for name in ARKIT_52]] = weights
        rotations, offsets = person.transforms(_poses(person, expression, options.focal, rng))
        images = []
        for k in range(count):
            image = draw.render(renderer.Pose(expression[k], rotations[k], offsets[k]), [view])[0]
            shift = float(rng.normal(0, 6)), float(rng.normal(0, 6))
            rgb = phone.expose(image, shift, float(rng.uniform(0.7, 1.35)), k)
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 96))]
            images.append(np.asarray(cv2.imencode(".jpg", rgb[..., ::-1], quality)[1], np.uint8).ravel())
        return PosedPerson(tuple(images), weights)

    @staticmethod
    def stored(path: Path, seed: int, count: int) -> PosedPerson:
        """The person of a seed, from `path` if it is there; else drawn and stored there."""
        if not path.is_file():
            person = PosedPerson.drawn(seed, count)
            path.parent.mkdir(parents=True, exist_ok=True)
            sizes = [len(image) for image in person.images]
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, images=np.concatenate(person.images), sizes=sizes, weights=person.weights)
            unfinished.rename(path)
        with np.load(path) as stored:
            images = np.split(stored["images"], np.cumsum(stored["sizes"])[:-1])
            return PosedPerson(tuple(images), stored["weights"])


def _poses(person: Person, expression: Floats, focal: float, rng: np.random.Generator) -> HeadParams:
    """Random poses in front of the camera: half of them turned widely."""
    count = len(expression)
    wide = rng.random(count) < _WIDE_TURNS
    yaw = np.where(wide, rng.uniform(-42, 42, count), rng.normal(0, 7, count))
    pitch = np.where(wide, rng.uniform(-16, 16, count), rng.normal(0, 5, count))
    degrees = np.stack([yaw, pitch, rng.normal(0, 4, count)], 1)
    joints = np.zeros((count, len(JOINT_NAMES), 3), np.float32)
    turn = np.radians(degrees)[:, [1, 0, 2]]
    joints[:, ROOT] = 0.2 * turn
    joints[:, NECK] = 0.8 * turn
    distance = _DISTANCE * focal / _NORMAL_FOCAL * rng.uniform(0.92, 1.25)
    place = np.array([0, _RISE, -distance]) + rng.normal(0, (0.008, 0.006, 0.012), (count, 3))
    tensors = (torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in (expression, joints, place))
    return HeadParams(person.identity, *tensors)


def image_of(jpeg: NDArray[np.uint8]) -> np.ndarray:
    """The image [H,W,3] uint8 of a JPEG file."""
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert decoded is not None
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


@dataclass(frozen=True, eq=False)
class TrackedCrops:
    """The images of a person that show the face, as the tracker and the crops see them."""

    crops: NDArray[np.uint8]  # [T,2,H,W]
    tracked: Floats  # [T,52]
    true: Floats  # [T,52]
    yaw_pitch: Floats  # [T,2] radians


class CropTracker:
    """Tracks people and samples their crops."""

    def __init__(self, grid: CropGrid) -> None:
        self._grid = grid
        self._head = load_head()
        self._model = LandmarkModel.from_head(self._head)
        self._follower = FaceFollower(FaceModels(), _PASSES)

    def __call__(self, person: PosedPerson) -> TrackedCrops:
        """The person's images."""
        frames = [image_of(image) for image in person.images]
        rows, seen = self._landmarks(frames)
        states, neutral, camera = self._states(seen, frames[0].shape[1], frames[0].shape[0])
        crops = []
        for row, state in zip(rows, states, strict=True):
            luma = cv2.cvtColor(frames[row], cv2.COLOR_RGB2GRAY)
            crops.append(self._grid.sample(luma, neutral, Pose(state.rotation, state.translation), camera))
        expression = np.zeros((len(rows), len(self._head.expression_names)))
        expression[:, self._model.columns] = np.stack([state.expression for state in states])
        columns = [self._head.expression_names.index(name) for name in ARKIT_52]
        angles = yaw_pitch(np.stack([state.rotation for state in states]))
        return TrackedCrops(np.stack(crops), expression[:, columns], person.weights[rows], angles)

    def _landmarks(self, frames: Sequence[np.ndarray]) -> tuple[list[int], Observations]:
        """The frames that show the face, and their landmarks; a second apart: nothing is smoothed."""
        rows, found = [], []
        for row, frame in enumerate(frames):
            landmarks = self._follower.follow(frame, None, None)
            if landmarks is not None:
                rows.append(row)
                found.append(self._follower.average(frame, landmarks.points))
        points, spread, presence = zip(*found, strict=True)
        times = np.arange(len(rows), dtype=np.float64)
        return rows, Observations(np.stack(points), np.stack(spread), np.array(presence), times)

    def _states(self, seen: Observations, width: int, height: int) -> tuple[list[State], Floats, Pinhole]:
        """The fit of every frame, the resting face [468,3] and the camera."""
        prior = focal_prior(width, height)
        center = width / 2, height / 2
        angles = yaw_pitch(network_rotations(self._model, seen, Pinhole(prior.focal, *center)))
        keys = np.sort(choose_key_frames(seen.points, angles, _KEY_FRAMES))
        options = TrackerOptions(identity=IdentityOptions(iterations=_ITERATIONS))
        person = fit_person(self._model, seen[keys], prior, center, options)
        problem = person.problem()
        attitudes = person.attitudes(seen)

        def state_of(row: int) -> State:
            alone = seen[np.array([row])]
            original = alone.points[0]

            def fit(points: Floats) -> State:
                turn = attitudes[row] if points is original else None
                return person.solve(problem, None, replace(alone, points=points[None]), _STEPS, 0.0, turn)

            target = alone.targets[0]
            return fit_without_outliers(fit, lambda state: frame_error(problem, state, target), original)[0]

        states = [state_of(row) for row in range(len(seen))]
        states = with_closed_lids(problem, states, seen.points, usual_openings(problem, states, seen.points))
        return states, problem.neutral, person.camera
