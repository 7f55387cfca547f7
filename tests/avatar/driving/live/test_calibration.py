"""Neutral calibration: when a face counts as resting."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.driving.driver import Driver
from avatar.driving.live.calibrated_driver import CalibratedDriver
from avatar.driving.live.calibration import CalibrationOptions, Calibrator, movement
from avatar.driving.live.samples import Sample
from avatar.model.avatar import Avatar

NAMES = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkLeft", "eyeBlinkRight")
RATE = 30


def sample(jaw: float, blink: float = 0.0) -> Sample:
    weights = np.array([jaw, 0.1, 0.1, blink, blink], np.float32)
    return Sample(0.0, NAMES, "arkit52", weights, np.zeros((5, 3), np.float32), np.zeros(3, np.float32), 1.0)


@pytest.fixture
def calibrator(tiny_avatar: Avatar) -> Calibrator[CalibratedDriver]:
    driver = Driver.of(tiny_avatar, NAMES, "arkit52")
    options = CalibrationOptions(seconds=0.5, longest=2.0)
    return Calibrator(lambda neutral: CalibratedDriver.of(driver, neutral, options.closed), options)


def watch(
    calibrator: Calibrator[CalibratedDriver], jaw: float, start: float, seconds: float, talk: float = 0.0
) -> float:
    """Update with a face 30 times per second whose jaw moves by `talk` about `jaw`; returns the end time."""
    for k in range(round(seconds * RATE)):
        time = start + k / RATE
        calibrator.update(sample(jaw + talk * np.sin(20 * time)), time)
    return start + seconds


def neutral_jaw(calibrator: Calibrator[CalibratedDriver]) -> float:
    assert calibrator.driver is not None
    return float(calibrator.driver.neutral.weights[0])


def test_a_resting_face_ends_calibration_after_the_window(calibrator: Calibrator[CalibratedDriver]) -> None:
    watch(calibrator, 0.2, 0, 0.4)
    assert calibrator.progress < 1
    watch(calibrator, 0.2, 0.4, 0.2)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.2)
    assert calibrator.stats() == {"movement": pytest.approx(0, abs=1e-6), "still": True, "note": ""}


def test_a_talking_face_delays_calibration(calibrator: Calibrator[CalibratedDriver]) -> None:
    end = watch(calibrator, 0.4, 0, 1.0, talk=0.4)
    assert calibrator.progress < 1 and calibrator.stats()["note"] == "look ahead with a resting face"
    watch(calibrator, 0.1, end, 0.8)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.1)


def test_a_face_that_is_never_at_rest_gets_a_low_value_of_each_expression_and_a_note(
    calibrator: Calibrator[CalibratedDriver],
) -> None:
    end = watch(calibrator, 0.3, 0, 1.4, talk=0.3)
    watch(calibrator, 0.8, end, 0.9, talk=0.18)  # calmer, and far from rest
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) < 0.2
    assert (
        calibrator.stats()["note"] == "the face was never at rest; look ahead with a resting face and calibrate again"
    )


def test_the_current_driver_stays_until_the_new_calibration_is_done(calibrator: Calibrator[CalibratedDriver]) -> None:
    end = watch(calibrator, 0.2, 0, 0.6)
    known = calibrator.driver
    calibrator.restart()
    end = watch(calibrator, 0.5, end, 0.3)
    assert calibrator.driver is known and calibrator.progress < 1
    watch(calibrator, 0.5, end, 0.4)
    assert neutral_jaw(calibrator) == pytest.approx(0.5)


def test_a_window_does_not_span_a_gap(calibrator: Calibrator[CalibratedDriver]) -> None:
    watch(calibrator, 0.2, 0, 0.4)
    watch(calibrator, 0.4, 5.0, 0.4)
    assert calibrator.progress < 1


def test_a_source_of_few_samples_per_second_ends_calibration_too(calibrator: Calibrator[CalibratedDriver]) -> None:
    for k in range(9):
        calibrator.update(sample(0.2), k / 3)
    assert calibrator.progress == 1
    assert neutral_jaw(calibrator) == pytest.approx(0.2, abs=0.02)


def test_blinks_do_not_count_as_movement() -> None:
    assert movement([sample(0.2, blink) for blink in (0.0, 1.0, 0.5, 0.0)]) == 0
    assert movement([sample(jaw) for jaw in (0.0, 1.0, 0.0, 1.0)]) > 0.2
