"""The constants with which the page retargets, limits and follows faces: those of the engine that writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from avatar.driving import lid_closure, lip_closure
from avatar.driving.driver import MIN_CALIBRATION_FRAMES, DriveOptions
from avatar.driving.live import calibrated_driver, calibration
from avatar.driving.live.calibration import CalibrationOptions
from avatar.driving.live.presence import PresenceOptions
from avatar.driving.live.smoothing import SmoothingOptions
from avatar.driving.vergence import PITCH_DIFFERENCE
from avatar.model.resting import NEUTRAL_QUANTILE


def driving_options() -> Mapping[str, Mapping[str, float | list[float]]]:
    """Constants by group and name; `viewer/web/src/container/driving_options.js` reads them."""
    smoothing = SmoothingOptions()
    groups = {name: getattr(smoothing, name) for name in ("turn", "travel", "mouth", "brows", "lids", "eyes")}
    return {
        "retargeting": {
            "travel": DriveOptions().travel,
            "neutral_quantile": NEUTRAL_QUANTILE,
            "min_calibration_frames": MIN_CALIBRATION_FRAMES,
        },
        "lips": {
            "closed_quantile": lip_closure.CLOSED_QUANTILE,
            "touching": lip_closure.TOUCHING,
            "apart": lip_closure.APART,
        },
        "lids": {"soft": lid_closure.SOFT, "closing": lid_closure.CLOSING, "overlap": lid_closure.OVERLAP},
        "gaze": {"pitch_difference": PITCH_DIFFERENCE},
        "calibration": {
            **asdict(CalibrationOptions()),
            "max_gap": calibration.MAX_GAP,
            "max_samples": calibration.MAX_SAMPLES,
            "min_span": calibration.MIN_SPAN,
            "better": calibration.BETTER,
        },
        "blinks": {
            "min_range": calibrated_driver.MIN_BLINK_RANGE,
            "extra_lid": [calibrated_driver.EXTRA_LID_START, calibrated_driver.EXTRA_LID_FULL],
            "wink": list(calibrated_driver.WINK),
            "far_eye": [calibrated_driver.TURNED, calibrated_driver.HIDDEN],
            "no_position": calibrated_driver.NO_POSITION,
        },
        "presence": asdict(PresenceOptions()),
        "smoothing": {name: [group.mincutoff, group.beta] for name, group in groups.items()},
    }
