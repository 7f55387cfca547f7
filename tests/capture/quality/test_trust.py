"""Trust: blur and things before the face lower a frame's weight, and nothing else does."""

from __future__ import annotations

import cv2
import numpy as np

from capture.quality.assessment import flagged_sentence
from capture.quality.frame_statistics import ClipStatistics, measure_frame
from capture.quality.trust import Trust, doubtful_spread, trust_reference
from tests.capture.drawn import drawn_frames

CHANGED = 5


def judged(
    change=None, spread_factor: float = 1.0, presence: float = 1.0, matte: float = 1.0
) -> tuple[Trust, np.ndarray, np.ndarray]:
    """Drawn frames judged after `change(image, points)` was done to one of them; with its spread and landmarks."""
    images, points, mattes, _ = drawn_frames(0.04)
    images, mattes = images.copy(), mattes.copy()
    spread = np.full((len(points), 478), 0.3)
    if change is not None:
        change(images[CHANGED], points[CHANGED])
    mattes[CHANGED] *= matte
    lower = points[0, :478, 1] > points[0, 1, 1]
    spread[CHANGED, lower] *= spread_factor
    seen = np.ones(len(points))
    seen[CHANGED] = presence
    statistics = ClipStatistics.of([measure_frame(*frame) for frame in zip(images, points, mattes, strict=True)])
    return trust_reference(statistics, points, spread).assess(statistics, points, spread, seen), spread, points


def blur(image: np.ndarray, points: np.ndarray) -> None:
    image[:] = cv2.GaussianBlur(image, (0, 0), 3)


def smear(image: np.ndarray, points: np.ndarray) -> None:
    image[:] = cv2.blur(image, (11, 1))


def cover(image: np.ndarray, points: np.ndarray, color: tuple[int, int, int] = (30, 60, 160)) -> None:
    (x, y), height = points[14, :2], float(np.ptp(points[:468, 1]))
    corner, end = (int(x - 0.3 * height), int(y - 0.15 * height)), (int(x + 0.3 * height), int(y + 0.4 * height))
    cv2.rectangle(image, corner, end, color, -1)


def hand(image: np.ndarray, points: np.ndarray) -> None:
    x, y = points[151, :2].astype(int)
    cover(image, points, tuple(int(0.8 * value) for value in image[y, x]))


def others(trust: Trust) -> np.ndarray:
    return np.delete(trust.weight, CHANGED)


def test_ordinary_frames_keep_their_weight() -> None:
    trust, _, _ = judged()
    assert trust.weight.min() > 0.9
    assert trust.flags(list(range(10))) == []


def test_a_frame_out_of_focus_is_flagged_as_blurred() -> None:
    trust, _, _ = judged(blur)
    assert trust.reason[CHANGED] == "blurred" and trust.weight[CHANGED] < 0.3
    assert others(trust).min() > 0.9


def test_a_smeared_frame_is_flagged_as_blurred() -> None:
    trust, _, _ = judged(smear)
    assert trust.reason[CHANGED] == "blurred" and trust.weight[CHANGED] < 0.7


def test_a_thing_before_the_mouth_is_flagged_and_its_landmarks_are_doubted() -> None:
    trust, spread, points = judged(cover)
    assert trust.reason[CHANGED] == "occluded" and trust.weight[CHANGED] < 0.4
    assert trust.doubt[CHANGED, 14] > 0.9 and trust.doubt[CHANGED, 151] < 0.5
    widened = doubtful_spread(spread, points, trust.doubt)
    assert widened[CHANGED, 14] > 5 * spread[CHANGED, 14]
    np.testing.assert_allclose(widened[CHANGED - 1], spread[CHANGED - 1], rtol=0.1)


def test_a_hand_counts_when_the_landmarks_waver_as_well() -> None:
    trust, _, _ = judged(hand, spread_factor=4.0)
    assert trust.reason[CHANGED] == "occluded" and trust.weight[CHANGED] < 0.7


def test_wavering_landmarks_alone_are_no_occlusion() -> None:
    trust, _, _ = judged(spread_factor=1.8)
    assert trust.weight[CHANGED] > 0.7


def test_a_matte_that_denies_the_face_is_an_occlusion() -> None:
    trust, _, _ = judged(matte=0.2)
    assert trust.reason[CHANGED] == "occluded"


def test_a_face_hardly_found_is_flagged_as_lost() -> None:
    trust, _, _ = judged(presence=0.55)
    assert trust.reason[CHANGED] == "lost"


def test_flagged_frames_name_their_reason_and_are_summed_up() -> None:
    trust, _, _ = judged(blur)
    flagged = trust.flags(list(range(100, 110)))
    assert [entry["frame"] for entry in flagged] == [100 + CHANGED]
    expected = "1 frames count less in training (1 blurred); they are listed in capture.json under `flagged`"
    assert flagged_sentence(flagged) == expected
