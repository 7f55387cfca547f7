"""A video in memory and face models that read the truth off its pixels, for tests of the pipeline without networks.

The first pixels of a frame hold its number and a "content" byte; everything the fake networks say follows from these
and from the region they are asked about, as with real ones: change a frame's pixels and its landmarks change.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache, partial
from types import SimpleNamespace

import numpy as np

from avatar.head import load_head
from capture.faces.detector import Detection
from capture.faces.landmarks import Landmarks, Roi
from capture.options import FaceModels
from capture.tracker.clip import TrackerOptions, fit_person
from capture.tracker.identity import IdentityOptions
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole
from capture.video.decoding import SourceFrame
from tests.capture.faces.landmark_fixture import make_states

SIZE = 192
CAMERA = Pinhole(3.0 * SIZE, SIZE / 2, SIZE / 2)
NO_FACE = 255


#: Light falls off downward, as faces of one brightness are refused; the corners stay of one color.
SHADING = np.linspace(-10, 110, SIZE).clip(0, 100).astype(np.uint8)[::-1, None, None]


class FakeVideo:
    """`count` frames of `size` pixels; `contents` [count] bytes say what is in them, 255 that there is no face."""

    def __init__(self, count: int = 40, contents: dict[int, int] | None = None, fps: float = 30.0) -> None:
        self.width = self.height = SIZE
        self.fps, self.rotation, self.mirrored, self.focal_35mm = fps, 0, False, None
        self.warnings: list[str] = []
        self.count, self.contents = count, contents or {}
        self.stop_after: int | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        for number in range(self.count):
            if self.stop_after is not None and number >= self.stop_after:
                raise KeyboardInterrupt
            rgb = np.full((SIZE, SIZE, 3), 40 + number % 100, np.uint8) + SHADING
            rgb[0, 0] = number % 256, number // 256, self.contents.get(number, 0)
            yield SourceFrame(number, number / self.fps, rgb)


@lru_cache(maxsize=1)
def _landmark_model() -> LandmarkModel:
    return LandmarkModel.from_head(load_head())


@cache
def true_points(number: int, content: int, scale: float = 1.0) -> np.ndarray:
    """Landmarks [478,3] of a frame; another content, another noise."""
    model = _landmark_model()
    state = make_states(number + 1, expressions=len(model.names), turn=0.3)[-1]
    rest = model.posed_landmarks(np.zeros(model.identity_size), 0.2 * state.expression)
    points = np.zeros((478, 3))
    world = rest @ state.rotation.T + state.translation / scale
    points[:468, :2] = CAMERA.project(world)
    points[:468, 2] = -(world[:, 2] - world[:, 2].mean()) * CAMERA.focal / -state.translation[2] * scale
    for start, iris in ((473, model.iris[0]), (468, model.iris[1])):
        points[start : start + 5, :2] = CAMERA.project(state.rotation @ iris + state.translation / scale)
    noise = np.random.default_rng([number, content]).normal(0, 0.15 + 0.5 * (content > 0), (478, 2))
    points[:, :2] += noise
    return points


def _read(rgb: np.ndarray) -> tuple[int, int]:
    return int(rgb[0, 0, 0]) + 256 * int(rgb[0, 0, 1]), int(rgb[0, 0, 2])


class FakeDetector:
    """The face, and `others` times its height of another one beside it."""

    def __init__(self, scale: float, other: float) -> None:
        self._scale, self._other = scale, other

    def detect(self, rgb: np.ndarray, thorough: bool = True) -> list[Detection]:
        number, content = _read(rgb)
        if content == NO_FACE or (rgb[0, 0] == rgb[0, 1]).all():  # a turned frame has its number elsewhere
            return []
        points = true_points(number, 0, self._scale)
        box = np.concatenate([points[:468, :2].min(0), points[:468, :2].max(0)])
        marks = points[[33, 263, 1, 13, 127, 356], :2]
        found = [Detection(box, 0.9, marks)]
        if self._other:
            width, height = box[2] - box[0], (box[3] - box[1]) * self._other
            found.append(
                Detection(np.array([box[2] + 5, box[1], box[2] + 5 + width, box[1] + height]), 0.9, marks + width)
            )
        return found


class FakeLandmarks:
    """The truth, nudged by where it was looked for, so that a region that leaks between frames shows."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def locate(self, rgb: np.ndarray, roi: Roi) -> Landmarks:
        number, content = _read(rgb)
        points = true_points(number, 0 if content == NO_FACE else content, self._scale).copy()
        points[:, :2] += 0.02 * (np.array(roi.center) - points[:468, :2].mean(0))
        return Landmarks(points.astype(np.float32), 0.0 if content == NO_FACE else 0.99)

    def locate_averaged(
        self, rgb: np.ndarray, roi: Roi, passes: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, float]:
        found = self.locate(rgb, roi)
        points = found.points + rng.normal(0, 0.05, found.points.shape).astype(np.float32)
        return points, np.full(478, 0.3, np.float32), found.presence


class FakeMatter:
    """Probability that depends on the image's brightness and content."""

    def raw(self, rgb: np.ndarray, face_box: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        probability = np.zeros((height, width), np.float32)
        x0, y0, x1, y1 = np.clip(face_box, 0, SIZE).astype(int)
        probability[y0:y1, x0:x1] = 0.6 + 0.001 * float(rgb[0, 0, 2])
        return probability


def fake_models(scale: float = 1.0, other: float = 0.0) -> FaceModels:
    """Networks for FakeVideo; `scale` brings the face nearer, `other` adds a second one of that relative height."""
    return FaceModels(partial(FakeDetector, scale, other), partial(FakeLandmarks, scale), FakeMatter)


def source_metadata(name: str = "clip.mp4") -> dict[str, str]:
    """What the pipeline is told of the source."""
    return SimpleNamespace(name=name, sha256="0" * 64).__dict__.copy()


#: The tracker's first stage with one iteration, for tests that do not look at the person found.
fit_person_quickly = partial(fit_person, options=TrackerOptions(identity=IdentityOptions(iterations=1)))
