"""Hidden regions: the expression from before is held and released smoothly; what is visible passes."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.driving.live.region_hold import HOLD_FADE, LOOK_BACK, RELEASE_FADE, RegionHold
from avatar.driving.live.samples import Sample

NAMES = ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp", "noseSneerLeft")
STEP = 1 / 30


def sample(time: float, *weights: float, hidden: tuple[str, ...] = ()) -> Sample:
    joints = np.zeros((5, 3), np.float32)
    joints[:] = time
    values = np.array(weights, np.float32)
    return Sample(time, NAMES, "arkit52", values, joints, np.zeros(3, np.float32), 1.0, hidden=hidden)


def run(filter: RegionHold, samples: list[Sample]) -> list[Sample]:
    return [filter(each, each.hidden, each.time) for each in samples]


def ramp(frames: int, hidden: range, regions: tuple[str, ...]) -> list[Sample]:
    """All weights rise by .01 a frame."""
    return [sample(k * STEP, *[0.01 * k] * 5, hidden=regions if k in hidden else ()) for k in range(frames)]


def test_visible_regions_pass_unchanged() -> None:
    given = ramp(60, range(0), ())
    for before, after in zip(given, run(RegionHold(NAMES), given), strict=True):
        np.testing.assert_array_equal(before.weights, after.weights)
        np.testing.assert_array_equal(before.joint_rot, after.joint_rot)


@pytest.mark.parametrize(("region", "columns", "joints"), [("mouth", [0, 1], [2]), ("eyes", [2, 3], [3, 4])])
def test_a_hidden_region_keeps_the_expression_from_before_the_report(
    region: str, columns: list[int], joints: list[int]
) -> None:
    given = ramp(90, range(30, 90), (region,))
    shown = run(RegionHold(NAMES), given)[80]
    before = 30 * STEP - LOOK_BACK
    np.testing.assert_allclose(shown.weights[columns], 0.01 * before / STEP, atol=0.0101)
    np.testing.assert_allclose(shown.joint_rot[joints], before, atol=STEP)
    others = [column for column in range(5) if column not in columns]
    np.testing.assert_array_equal(shown.weights[others], given[80].weights[others])
    np.testing.assert_array_equal(shown.joint_rot[0], given[80].joint_rot[0])


def test_no_frame_jumps_at_either_end() -> None:
    given = [
        sample(k * STEP, *[0.2 if k < 30 else 0.8] * 5, hidden=("mouth",) if 30 <= k < 60 else ()) for k in range(90)
    ]
    jaw = np.array([each.weights[0] for each in run(RegionHold(NAMES), given)])
    assert jaw[59] == pytest.approx(0.2) and jaw[-1] == pytest.approx(0.8)
    assert np.abs(np.diff(jaw[60:])).max() < 0.6 * 1.6 * STEP / RELEASE_FADE
    assert jaw[30 + round(HOLD_FADE / STEP) + 1] == pytest.approx(0.2)


def test_a_region_reported_again_during_the_release_goes_back_to_what_was_held() -> None:
    given = ramp(120, range(0), ())
    hidden = [("mouth",) if 30 <= k < 60 or k >= 62 else () for k in range(120)]
    filter = RegionHold(NAMES)
    jaw = [float(filter(each, region, each.time).weights[0]) for each, region in zip(given, hidden, strict=True)]
    assert jaw[110] == pytest.approx(jaw[55], abs=0.02)


def test_after_a_reset_nothing_is_held() -> None:
    filter = RegionHold(NAMES)
    run(filter, ramp(60, range(30, 60), ("mouth",)))
    filter.reset()
    again = sample(3.0, 0.9, 0.9, 0.9, 0.9, 0.9, hidden=("mouth",))
    np.testing.assert_array_equal(filter(again, again.hidden, 3.0).weights, again.weights)
