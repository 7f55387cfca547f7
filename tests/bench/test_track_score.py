"""Truth metrics on tracks with known changes: each metric measures its change and ignores constants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.bench.track_score import (
    COLUMNS,
    HeadMotion,
    TruthScore,
    constant_pose,
    matte_iou,
    score,
    shuffled_expressions,
    table,
)

STEPS, POINTS = 120, 60
NAMES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmile", "eyeLookInLeft")
TRAIN = np.arange(STEPS) < 96
#: Scores that are errors: zero for the truth itself.
ERRORS = ("rotation", "rotation_p95", "rotation_open", "rotation_raw", "position", "neutral", "posed", "stability",
          "expression", "lids", "jaw", "aperture", "gaze")  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> HeadMotion:
    """A head 0.4 m in front of the camera with rotation, speech, blinks and gaze."""
    rng = np.random.default_rng(3)
    phase = np.linspace(0, 1, STEPS)
    angles = np.stack([8 * np.sin(9 * phase), 30 * np.sin(6 * phase), 5 * np.sin(14 * phase)], 1)
    angles[: STEPS // 3] = 0
    expression = np.clip(rng.normal(0.2, 0.3, (STEPS, len(NAMES))), 0, 1)
    neutral = rng.normal(0, 0.04, (POINTS, 3))
    directions = rng.normal(0, 0.006, (len(NAMES), POINTS, 3))
    gaze = Rotation.from_euler("yx", rng.normal(0, 8, (STEPS * 2, 2)), degrees=True).as_matrix()[:, :, 2]
    return HeadMotion(
        names=NAMES,
        expression=expression,
        rotation=Rotation.from_euler("xyz", angles, degrees=True).as_matrix(),
        translation=np.array([0.0, 0.0, -0.4]) + 0.01 * np.sin(np.outer(phase, [5, 8, 11])),
        neutral=neutral,
        points=neutral + np.einsum("te,epc->tpc", expression, directions),
        aperture=0.01 * (1 - expression[:, 1:3]),
        gaze=gaze.reshape(STEPS, 2, 3),
    )


def scored(found: HeadMotion, truth: HeadMotion, *, calibrated: bool = True) -> TruthScore:
    return score(found, truth, TRAIN, calibrated=calibrated)


def in_another_frame(motion: HeadMotion, rotation: Rotation, shift: np.ndarray) -> HeadMotion:
    """The same motion of the same surface with another skull frame."""
    matrix = rotation.as_matrix()
    return replace(
        motion,
        rotation=motion.rotation @ matrix.T,
        translation=motion.translation - motion.rotation @ matrix.T @ shift,
        neutral=motion.neutral @ matrix.T + shift,
        points=motion.points @ matrix.T + shift,
        gaze=motion.gaze @ matrix.T,
    )


def scaled_about_the_camera(motion: HeadMotion, scale: float) -> HeadMotion:
    """The same images with a head `scale` times as large and as far away."""
    scaled = {name: getattr(motion, name) * scale for name in ("translation", "neutral", "points", "aperture")}
    return replace(motion, **scaled)


def test_the_truth_itself_has_no_error(truth: HeadMotion) -> None:
    found = scored(truth, truth)
    for name in ERRORS:
        assert getattr(found, name) == pytest.approx(0, abs=1e-5), name
    assert found.scale == pytest.approx(1)


def test_another_skull_frame_changes_only_the_raw_rotation(truth: HeadMotion) -> None:
    found = scored(in_another_frame(truth, Rotation.from_rotvec([0.1, 0, 0]), np.array([0.0, 0.02, 0.01])), truth)
    assert found.rotation_raw == pytest.approx(np.degrees(0.1), rel=1e-6)
    for name in set(ERRORS) - {"rotation_raw"}:
        assert getattr(found, name) == pytest.approx(0, abs=1e-5), name


def test_the_scale_of_the_scene_is_free_for_one_camera_only(truth: HeadMotion) -> None:
    larger = scaled_about_the_camera(truth, 1.1)
    single = scored(larger, truth, calibrated=False)
    for name in ERRORS:
        assert getattr(single, name) == pytest.approx(0, abs=1e-5), name
    assert single.scale == pytest.approx(1 / 1.1)
    assert scored(larger, truth, calibrated=True).position == pytest.approx(40, rel=0.1)


def test_rotation_noise_is_measured_in_degrees(truth: HeadMotion) -> None:
    axis = np.random.default_rng(1).normal(size=(STEPS, 3))
    wobble = Rotation.from_rotvec(np.radians(2) * axis / np.linalg.norm(axis, axis=1, keepdims=True)).as_matrix()
    found = scored(replace(truth, rotation=wobble @ truth.rotation), truth)
    assert found.rotation == pytest.approx(2, abs=0.1) and found.rotation_p95 < 2.5


def test_a_rotation_error_from_the_open_mouth_is_measured_where_the_mouth_is_open(truth: HeadMotion) -> None:
    bent = Rotation.from_rotvec(np.outer(truth.weight("jawOpen"), [np.radians(5), 0, 0])).as_matrix()
    found = scored(replace(truth, rotation=truth.rotation @ bent), truth)
    assert found.rotation_open > 1.5 * found.rotation > 0
    assert found.stability > 1  # five degrees move a point at 10 cm by 9 mm


def test_the_constants_come_from_training_frames_only(truth: HeadMotion) -> None:
    late = Rotation.from_rotvec([0, np.radians(6), 0]).as_matrix()
    rotation = truth.rotation.copy()
    rotation[~TRAIN] = rotation[~TRAIN] @ late
    found = score(replace(truth, rotation=rotation), truth, TRAIN, ~TRAIN, calibrated=True)
    assert found.rotation == pytest.approx(6, rel=1e-6)


def test_each_metric_measures_its_change(truth: HeadMotion) -> None:
    rng = np.random.default_rng(5)
    moved = scored(replace(truth, translation=truth.translation + np.array([0.003, 0, 0])), truth)
    assert moved.position == pytest.approx(3, rel=1e-6)
    shaped = scored(replace(truth, points=truth.points + rng.normal(0, 0.001, truth.points.shape)), truth)
    assert shaped.posed == pytest.approx(1.6, rel=0.05) and shaped.neutral < 0.1
    weights = truth.expression.copy()
    weights[:, 0] += 0.2
    weights[:, 1] -= 0.1
    changed = scored(replace(truth, expression=weights), truth)
    assert changed.jaw == pytest.approx(0.2) and changed.lids == pytest.approx(0.05)
    assert changed.expression == pytest.approx(np.sqrt((0.2**2 + 0.1**2) / 4))
    assert scored(replace(truth, aperture=truth.aperture + 0.002), truth).aperture == pytest.approx(2)
    aside = truth.gaze @ Rotation.from_rotvec([0, np.radians(4), 0]).as_matrix().T
    assert scored(replace(truth, gaze=aside), truth).gaze == pytest.approx(4, abs=0.1)


def test_expressions_of_only_one_head_are_ignored(truth: HeadMotion) -> None:
    other = replace(truth, names=("jawOpen", "other"), expression=truth.expression[:, :2])
    found = scored(other, truth)
    assert found.expression == pytest.approx(0) and np.isnan(found.lids)


def test_the_baselines_are_worse_in_what_they_ignore(truth: HeadMotion) -> None:
    rng = np.random.default_rng(2)
    wobble = Rotation.from_rotvec(rng.normal(0, 0.01, (STEPS, 3))).as_matrix()
    expression = truth.expression + rng.normal(0, 0.03, truth.expression.shape)
    tracked = replace(truth, rotation=wobble @ truth.rotation, expression=expression)
    found = scored(tracked, truth)
    constant, shuffled = scored(constant_pose(tracked, TRAIN), truth), scored(shuffled_expressions(tracked), truth)
    assert constant.rotation > 4 * found.rotation and constant.position > found.position + 1
    assert constant.posed == pytest.approx(found.posed) and constant.expression == pytest.approx(found.expression)
    for name in ("expression", "jaw", "lids", "posed", "aperture", "gaze"):
        assert getattr(shuffled, name) > 2 * getattr(found, name), name
    assert shuffled.rotation == pytest.approx(found.rotation)


def test_matte_iou_of_shifted_squares() -> None:
    square, shifted = np.zeros((2, 20, 20), np.uint8)
    square[5:15, 5:15] = 255
    shifted[5:15, 10:20] = 255
    assert matte_iou(square, square) == 1
    assert matte_iou(square, shifted) == pytest.approx(1 / 3)
    assert matte_iou(square * 0, square * 0) == 1


def test_a_table_has_a_row_for_each_track_and_a_dash_for_nan(truth: HeadMotion) -> None:
    lines = table({"landmarks": scored(truth, truth)}).splitlines()
    assert len(lines) == 3 and {line.count("|") for line in lines} == {len(COLUMNS) + 2}
    assert lines[2].startswith("| landmarks | ") and lines[2].endswith("| - | - |")
