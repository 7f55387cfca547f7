"""When a driver counts as being at rest."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.driving.driver import Driver
from avatar.model.avatar import Avatar
from capture.live.calibration import CalibrationOptions, Calibrator, movement
from capture.live.sample import Sample

NAMES = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft", "eyeBlinkRight")
RATE = 30


def sample(jaw: float, blink: float = 0.0) -> Sample:
    weights = np.array([jaw, 0.1, 0.1, blink, blink], np.float32)
    return Sample(0.0, NAMES, "arkit52", weights, np.zeros((5, 3), np.float32), np.zeros(3, np.float32), 1.0)


@pytest.fixture
def calibrator(tiny_avatar: Avatar) -> Calibrator:
    return Calibrator(Driver.of(tiny_avatar, NAMES, "arkit52"), CalibrationOptions(seconds=0.5, longest=2.0))


def watch(calibrator: Calibrator, jaw: float, start: float, seconds: float, talk: float = 0.0) -> float:
    """Show a face 30 times a second whose jaw moves by `talk` about `jaw`; returns when that ends."""
    for k in range(round(seconds * RATE)):
        time = start + k / RATE
        calibrator.see(sample(jaw + talk * np.sin(20 * time)), time)
    return start + seconds


def neutral_jaw(calibrator: Calibrator) -> float:
    assert calibrator.retarget is not None
    return float(calibrator.retarget.neutral.weights[0])


def test_a_face_at_rest_is_known_after_its_seconds(calibrator: Calibrator) -> None:
    watch(calibrator, 0.2, 0, 0.4)
    assert calibrator.progress < 1
    watch(calibrator, 0.2, 0.4, 0.2)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.2)
    assert calibrator.stats() == {"movement": pytest.approx(0, abs=1e-6), "still": True, "note": ""}


def test_who_talks_is_waited_for(calibrator: Calibrator) -> None:
    end = watch(calibrator, 0.4, 0, 1.0, talk=0.4)
    assert calibrator.progress < 1 and calibrator.stats()["note"] == "look ahead at rest"
    watch(calibrator, 0.1, end, 0.8)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.1)


def test_of_who_never_rests_a_low_value_of_each_expression_serves_and_they_are_told(calibrator: Calibrator) -> None:
    end = watch(calibrator, 0.3, 0, 1.4, talk=0.3)
    watch(calibrator, 0.8, end, 0.9, talk=0.18)  # calmer, and far from rest
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) < 0.2
    assert calibrator.stats()["note"] == "the face never rested; look ahead at rest and calibrate again"


def test_what_was_known_serves_until_the_face_was_watched_again(calibrator: Calibrator) -> None:
    end = watch(calibrator, 0.2, 0, 0.6)
    known = calibrator.retarget
    calibrator.again()
    end = watch(calibrator, 0.5, end, 0.3)
    assert calibrator.retarget is known and calibrator.progress < 1
    watch(calibrator, 0.5, end, 0.4)
    assert neutral_jaw(calibrator) == pytest.approx(0.5)


def test_a_moment_is_not_made_of_two_with_an_absence_between(calibrator: Calibrator) -> None:
    watch(calibrator, 0.2, 0, 0.4)
    watch(calibrator, 0.4, 5.0, 0.4)
    assert calibrator.progress < 1


def test_a_driver_of_few_samples_a_second_is_not_waited_for_without_end(calibrator: Calibrator) -> None:
    for k in range(9):
        calibrator.see(sample(0.2), k / 3)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.2, abs=0.02)


def test_blinks_are_no_movement() -> None:
    assert movement([sample(0.2, blink) for blink in (0.0, 1.0, 0.5, 0.0)]) == 0
    assert movement([sample(jaw) for jaw in (0.0, 1.0, 0.0, 1.0)]) > 0.2
