"""Hidden regions frame by frame: hands, masks and glasses that come and go before a face, and faces without them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
import pytest

from capture.faces.landmarks import Roi
from capture.options import FaceModels
from capture.quality.frame_statistics import face_light
from capture.quality.hidden_regions import HiddenRegions, hidden_frames, region_patterns, usual_colors
from capture.synthetic.video import DEMO_CLIP
from capture.tracker.indices import EYES
from capture.video.decoding import open_video
from tests.support.occluders import beard, clear_glasses, face_mask, hand, headset, sunglasses

FRAMES = 56
COMES = 36  # frame in which something is before the face
STEP = 1 / 30
Paint = Callable[[np.ndarray, np.ndarray], np.ndarray]
OCCLUDERS: dict[str, tuple[Paint, tuple[str, ...]]] = {
    "hand": (hand, ("mouth",)),
    "blue mask": (partial(face_mask, color=(0.3, 0.5, 0.7)), ("mouth",)),
    "mask like skin": (partial(face_mask, color=None), ("mouth",)),
    "black headset": (partial(headset, albedo=0.02), ("eyes",)),
    "white headset": (partial(headset, albedo=0.75), ("eyes",)),
}


Seen = tuple[np.ndarray, np.ndarray]


def found_in(image: np.ndarray, near: np.ndarray) -> Seen:
    """Light [478,3] around the landmarks that the network finds in an image, and these, from those before."""
    points = FaceModels().landmarks().locate(image, Roi.from_landmarks(near)).points
    return face_light(image, points[:, :2]), points


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Frames of the synthetic person, in which it turns and opens the mouth."""
    return [frame.rgb for frame in islice(open_video(DEMO_CLIP), FRAMES)]


@pytest.fixture(scope="module")
def drawn(images: list[np.ndarray], face_models: None) -> list[Seen]:
    """What is found in them."""
    detection = FaceModels().detector().detect(images[0])[0]
    near = FaceModels().landmarks().locate(images[0], Roi.from_detection(detection)).points
    seen = [found_in(images[0], near)]
    for image in images[1:]:
        seen.append(found_in(image, seen[-1][1]))
    return seen


def painted(images: list[np.ndarray], drawn: list[Seen], paint: Paint, frames: range) -> list[Seen]:
    return [found_in(paint(images[k], drawn[k][1][:, :2]), drawn[k][1]) for k in frames]


def flags(seen: list[Seen], regions: HiddenRegions | None = None, start: int = 0) -> list[tuple[str, ...]]:
    regions = regions or HiddenRegions()
    return [regions(*each, (start + k) * STEP) for k, each in enumerate(seen)]


def test_a_visible_face_hides_nothing(drawn: list[Seen]) -> None:
    assert flags(drawn) == [()] * FRAMES


@pytest.mark.parametrize("name", OCCLUDERS)
def test_what_comes_before_a_region_is_found_in_a_fifth_of_a_second_and_forgotten_when_it_leaves(
    images: list[np.ndarray], drawn: list[Seen], name: str
) -> None:
    paint, hidden = OCCLUDERS[name]
    leaves = COMES + 10
    covered = painted(images, drawn, paint, range(COMES, leaves))
    found = flags([*drawn[:COMES], *covered, *drawn[leaves:]])
    assert found[COMES] == ()
    assert found[COMES + 6 : leaves + 1] == [hidden] * 5  # the first frame without it does not decide alone
    assert found[leaves + 1 :] == [()] * (FRAMES - leaves - 1)


@pytest.mark.parametrize("change", ["light", "color of the light", "dark", "gray"])
def test_light_hides_nothing(drawn: list[Seen], change: str) -> None:
    gain = {"light": 0.4, "color of the light": [1.0, 0.8, 0.6], "dark": 1e-3, "gray": 1.0}[change]
    changed = [
        (light.mean(-1, keepdims=True) * np.ones(3) if change == "gray" else light * (gain if k > COMES else 1), points)
        for k, (light, points) in enumerate(drawn)
    ]
    assert flags(changed) == [()] * FRAMES


@pytest.mark.parametrize("paint", [clear_glasses, beard, sunglasses])
def test_what_was_there_from_the_first_frame_is_the_persons_own(
    images: list[np.ndarray], drawn: list[Seen], paint: Paint
) -> None:
    some = painted(images, drawn, paint, range(0, FRAMES, 4))
    assert flags([each for each in some for _ in range(4)]) == [()] * FRAMES


def test_what_stays_is_a_second_look_of_the_person(images: list[np.ndarray], drawn: list[Seen]) -> None:
    covered = painted(images, drawn, hand, range(FRAMES - 1, FRAMES))
    regions = HiddenRegions()
    flags(drawn[:COMES], regions)
    found = flags(covered * 400, regions, COMES)
    assert found[200] == ("mouth",) and found[-1] == ()
    assert flags(drawn[COMES:], regions, COMES + 400) == [()] * (FRAMES - COMES)


def clip_flags(seen: list[Seen]) -> dict[str, np.ndarray]:
    """Masks of the frames of a whole clip by region."""
    patterns = region_patterns(*(np.stack(part) for part in zip(*seen, strict=True)))
    time = np.arange(len(seen)) * STEP
    return {region: hidden_frames(each, usual_colors(each), time) for region, each in patterns.items()}


def test_frames_of_a_clip_are_hidden_from_a_tenth_of_a_second_before(
    images: list[np.ndarray], drawn: list[Seen]
) -> None:
    covered = painted(images, drawn, hand, range(10, 20))
    found = clip_flags([*drawn[:10], *covered, *drawn[20:]])
    assert not found["eyes"].any()
    assert np.flatnonzero(found["mouth"]).tolist() == list(range(7, 23))
    assert not any(mask.any() for mask in clip_flags(drawn).values())


def test_a_clip_of_which_most_is_hidden_or_that_is_short_has_no_hidden_frames(
    images: list[np.ndarray], drawn: list[Seen]
) -> None:
    covered = painted(images, drawn, partial(face_mask, color=(0.3, 0.5, 0.7)), range(0, FRAMES, 4))
    assert not clip_flags([*covered, *covered, *drawn[:20]])["mouth"].any()
    assert not clip_flags([*covered[:3], *drawn[12:30]])["mouth"].any()


def test_lids_that_close_over_the_eyes_hide_nothing() -> None:
    """Lids with dark lashes and eyeliner look unlike open eyes, long closures last for many frames."""
    rng = np.random.default_rng(5)
    light = np.repeat(rng.uniform(0.3, 0.5, (1, 478, 3)), 80, axis=0) * rng.uniform(0.95, 1.05, (80, 478, 3))
    edge = np.where(np.arange(len(EYES)) % 2, 0.05, 0.6)[:, None]
    light[:, EYES] = edge
    closed = slice(40, 60)
    light[closed, EYES] = edge[::-1]
    points = np.zeros((80, 478, 2))
    points[:, [263, 454]] = (100, 0)
    points[:, [1]] = (50, 20)
    seen = region_patterns(light, points)["eyes"]
    assert not hidden_frames(seen, usual_colors(seen), np.arange(80) * STEP).any()
    regions = HiddenRegions()
    assert all(regions(light[k], points[k], k * STEP) == () for k in range(80))
