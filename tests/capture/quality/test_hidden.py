"""Hidden eyes and mouths: what is painted before faces is found, and what faces have themselves is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.faces.landmarks import Roi
from capture.options import FaceModels
from capture.quality.frame_statistics import face_light
from capture.quality.hidden import RegionScores, hidden_shares, region_scores
from capture.tracker.indices import inter_ocular
from capture.video.decoding import open_video
from tests.capture.drawn import drawn_frames
from tests.support.occluders import beard, clear_glasses, face_mask, hand, hat, headset, sunglasses

Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
ONE_CAMERA = np.zeros(10, int)
OCCLUDERS: dict[str, tuple[Paint, set[str]]] = {
    "black sunglasses": (sunglasses, {"eyes"}),
    "brown sunglasses": (partial(sunglasses, pass_through=0.04), {"eyes"}),
    "white headset": (partial(headset, albedo=0.75), {"eyes"}),
    "black headset": (partial(headset, albedo=0.02), {"eyes"}),
    "hat": (hat, {"eyes"}),
    "blue mask": (partial(face_mask, color=(0.3, 0.5, 0.7)), {"mouth"}),
    "white mask": (partial(face_mask, color=(0.75, 0.76, 0.77)), {"mouth"}),
    "black mask": (partial(face_mask, color=(0.02, 0.02, 0.02)), {"mouth"}),
    "mask like skin": (partial(face_mask, color=None), {"mouth"}),
    "hand": (hand, {"mouth"}),
    "nothing": (lambda rgb, points: rgb, set()),
    "clear glasses": (clear_glasses, set()),
    "beard": (beard, set()),
    "dim light": (lambda rgb, points: np.rint(rgb * 0.35).astype(np.uint8), set()),
}


def scores(images: Sequence[np.ndarray], points: Sequence[np.ndarray], paint: Paint, painted: int) -> RegionScores:
    """The first `painted` frames with something before them, measured at what the network finds in them."""
    network = FaceModels().landmarks()
    light, spread, places = [], [], []
    for index, (image, true) in enumerate(zip(images, points, strict=True)):
        seen = paint(image, true[:, :2]) if index < painted else image
        near = network.locate(seen, Roi.from_landmarks(true))
        found, deviation, _ = network.locate_averaged(seen, Roi.from_landmarks(near.points), 5)
        light.append(face_light(seen, found[:, :2]))
        spread.append(deviation / inter_ocular(found))
        places.append(found)
    return region_scores(np.stack(light), np.stack(spread), np.stack(places))


@pytest.fixture(scope="module")
def drawn(face_models: None) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the synthetic person with landmarks that have a depth: the network's own."""
    images, points, _, _ = drawn_frames(0.04)
    network = FaceModels().landmarks()
    rois = [Roi.from_landmarks(true) for true in points]
    return images, np.stack([network.locate(*pair).points for pair in zip(images, rois, strict=True)])


@pytest.mark.parametrize("name", OCCLUDERS)
def test_what_is_before_a_face_hides_its_region_and_no_other(drawn: tuple[np.ndarray, np.ndarray], name: str) -> None:
    paint, hidden = OCCLUDERS[name]
    shares = hidden_shares(scores(*drawn, paint, len(drawn[0])), ONE_CAMERA)
    for region, share in shares.items():
        assert share >= 0.8 if region in hidden else share == 0.0, (region, share)


@pytest.mark.parametrize(("painted", "region"), [(3, "eyes"), (8, "eyes"), (3, "mouth"), (8, "mouth")])
def test_the_share_is_that_of_the_frames(drawn: tuple[np.ndarray, np.ndarray], painted: int, region: str) -> None:
    paint: Paint = sunglasses if region == "eyes" else partial(face_mask, color=(0.3, 0.5, 0.7))
    shares = hidden_shares(scores(*drawn, paint, painted), ONE_CAMERA)
    assert shares[region] == pytest.approx(painted / 10, abs=0.11)


def test_a_blink_hides_nothing_and_cameras_are_apart() -> None:
    blink = np.where(np.arange(20) % 10 // 2 == 2, 2.0, -1.0)
    visible = np.full(20, -5.0)
    assert hidden_shares(RegionScores(blink, visible), np.zeros(20, int)) == {"eyes": 0.0, "mouth": 0.0}
    alternating = np.where(np.arange(20) % 2 == 0, 2.0, -1.0)
    assert hidden_shares(RegionScores(alternating, visible), np.arange(20) % 2)["eyes"] == 0.5
    assert hidden_shares(RegionScores(blink, visible), None)["eyes"] == pytest.approx(0.2)  # photos


def test_a_spread_that_was_not_measured_hides_nothing() -> None:
    light = np.full((6, 478, 3), 0.3)
    points = np.random.default_rng(0).uniform(0, 100, (6, 478, 2))
    for spread in (np.zeros((6, 478)), np.full((6, 478), np.nan)):
        assert hidden_shares(region_scores(light, spread, points), np.zeros(6, int))["mouth"] == 0.0
    nothing = region_scores(np.zeros((0, 478, 3)), np.zeros((0, 478)), np.zeros((0, 478, 2)))
    assert hidden_shares(nothing, np.zeros(0, int)) == {"eyes": 0.0, "mouth": 0.0}


@lru_cache(maxsize=1)
def real_faces(folder: Path) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """By clip: eight frames around the face, of at most 256 pixels, and their landmarks."""
    network = FaceModels().landmarks()
    detector = FaceModels().detector()
    faces = {}
    for path in sorted(folder.glob("*.mp4")):
        frames = [frame.rgb for frame in open_video(path)]
        images, points = [], []
        for row in np.linspace(0, len(frames) - 1, 8).astype(int):
            x0, y0, x1, y1 = detector.detect(frames[row])[0].box
            margin = 0.7 * (y1 - y0)
            top, left = max(0, int(y0 - margin)), max(0, int(x0 - margin))
            image = frames[row][top : int(y1 + margin), left : int(x1 + margin)]
            image = cv2.resize(
                image, None, fx=256 / max(image.shape), fy=256 / max(image.shape), interpolation=cv2.INTER_AREA
            )
            near = network.locate(image, Roi.from_detection(detector.detect(image)[0]))
            images.append(image)
            points.append(network.locate(image, Roi.from_landmarks(near.points)).points)
        faces[path.stem] = (images, points)
    return faces


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["black sunglasses", "white headset", "blue mask", "mask like skin", "hand", "nothing", "beard"]
)
def test_real_faces_are_decided_as_the_synthetic_one(clips: Path, face_models: None, name: str) -> None:
    paint, hidden = OCCLUDERS[name]
    for clip, (images, points) in real_faces(clips).items():
        shares = hidden_shares(scores(images, points, paint, len(images)), np.zeros(len(images), int))
        for region, share in shares.items():
            assert share >= 0.5 if region in hidden else share < 0.2, (clip, region, share)
