"""Captures against the ground truth: matching of rows and time steps; a perfect track has no error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture, track_defaults
from avatar.head import load_head
from avatar.types import NECK, HeadParams
from capture.synthetic import SyntheticTruth
from tests.bench.track_comparison import Comparison, first_rows, score_tracks
from tests.support.tiny import tiny_params

STEPS = 12


@pytest.fixture(scope="module")
def truth() -> SyntheticTruth:
    """A truth within the span of the embedded head, so a track can be exact."""
    head, params = load_head(), tiny_params(STEPS)
    neutral = head.identity_vertices(params.identity).numpy()
    rotations, places = head.joint_transforms(params)
    return SyntheticTruth(
        time=np.arange(STEPS, dtype=np.float32) / 30,
        identity=params.identity.numpy(),
        expression=params.expression.numpy(),
        joint_rot=params.joint_rot.numpy(),
        translation=params.translation.numpy(),
        skull_rotation=rotations[:, NECK].numpy(),
        skull_translation=places[:, NECK].numpy(),
        neutral_vertices=neutral,
        skull_offsets=((head.skull_vertices(params).numpy() - neutral) * 1e3).astype(np.float16),
        landmarks=np.zeros((1, STEPS, 478, 2), np.float32),
        exposure=np.ones((1, STEPS), np.float32),
        K=np.diag([500.0, 500.0, 1.0]).astype(np.float32)[None],
        world_to_cam=np.eye(4, dtype=np.float32)[None],
        width=96,
        height=96,
        head=head.model_id,
        expression_names=head.expression_names,
        camera_names=("cam0",),
    )


def capture_of(truth: SyntheticTruth, steps: list[int], cameras: int = 1) -> Capture:
    """A capture of the time steps, one row for each camera, without images; the last fifth is held out."""
    rows = np.repeat(steps, cameras)
    count = len(rows)
    track = {
        **track_defaults(count),
        "frame_number": rows if cameras == 1 else np.arange(count),
        "time_step": np.arange(count) if cameras == 1 else rows,
        "is_test": np.arange(count) >= 0.8 * count,
        "identity": truth.identity,
        "expression": truth.expression[rows],
        "joint_rot": truth.joint_rot[rows],
        "translation": truth.translation[rows],
    }
    facts = {
        "cameras": [{"K": (1.2 * truth.K[0]).tolist()}] * cameras,
        "crop": {"scale": 0.8},
        "head": {"source": "embedded", "expression_names": list(truth.expression_names)},
    }
    return Capture(None, facts, track)  # type: ignore[arg-type]


@pytest.mark.parametrize("cameras", [1, 3])
def test_the_parameters_of_the_truth_have_no_error(truth: SyntheticTruth, cameras: int) -> None:
    capture = capture_of(truth, [0, 2, 3, 5, 6, 8, 9, 11], cameras)
    found = score_tracks(capture, truth, {"exact": capture.params(first_rows(capture))})["exact"]
    for name in ("rotation", "rotation_raw", "position", "neutral", "posed", "expression", "aperture", "gaze"):
        assert getattr(found, name) < 0.02, name  # float16 millimeters in the truth
    assert found.scale == pytest.approx(1, abs=1e-3)


def test_the_cameras_of_one_time_step_count_once(truth: SyntheticTruth) -> None:
    assert first_rows(capture_of(truth, [4, 5, 7], cameras=3)).tolist() == [0, 3, 6]


def test_a_time_step_is_a_training_step_if_one_of_its_cameras_is(truth: SyntheticTruth) -> None:
    capture = capture_of(truth, list(range(STEPS)), cameras=2)
    capture.track["is_test"][:] = np.arange(len(capture)) % 2 == 0  # a whole camera held out
    exact = capture.params(first_rows(capture))
    assert score_tracks(capture, truth, {"exact": exact}, "train")["exact"].rotation < 0.01


def test_the_focal_length_is_compared_in_pixels_of_the_source(truth: SyntheticTruth) -> None:
    capture = capture_of(truth, list(range(STEPS)))
    assert score_tracks(capture, truth, {"exact": capture.params(first_rows(capture))})["exact"].focal_ratio == (
        pytest.approx(1.2 / 0.8)
    )


def test_every_track_is_scored_and_baselines_of_the_first_are_worse(truth: SyntheticTruth) -> None:
    capture = capture_of(truth, list(range(STEPS)))
    exact = capture.params(first_rows(capture))
    worse = HeadParams(exact.identity, exact.expression, exact.joint_rot, exact.translation + 0.01)
    scores = score_tracks(capture, truth, {"exact": exact, "worse": worse})
    assert list(scores) == ["exact", "worse", "exact, constant pose", "exact, expressions shuffled"]
    assert scores["worse"].position > 5 > scores["exact"].position
    assert scores["exact, constant pose"].rotation > 3 and scores["exact, expressions shuffled"].jaw > 0.05


def test_only_the_requested_rows_are_scored(truth: SyntheticTruth) -> None:
    capture = capture_of(truth, list(range(STEPS)))
    exact = capture.params(first_rows(capture))
    expression = exact.expression.clone()
    expression[capture.test_indices] = 0
    found = {"late": replace(exact, expression=expression)}
    assert score_tracks(capture, truth, found, "train")["late"].expression == 0
    assert score_tracks(capture, truth, found, "test")["late"].expression > 0.05


def test_a_head_with_another_mesh_is_measured_at_the_landmarks(truth: SyntheticTruth) -> None:
    half = load_head("embedded-half")
    comparison = Comparison(truth, load_head(), half)
    true = comparison.true_motion(np.arange(STEPS))
    count = half.shapedirs.shape[2]
    params = tiny_params(STEPS)
    found = comparison.track_motion(replace(params, identity=torch.zeros(count) + params.identity[:count]))
    assert true.points.shape == found.points.shape == (STEPS, 468, 3)
    assert np.linalg.norm(true.points - found.points, axis=-1).mean() < 0.002
