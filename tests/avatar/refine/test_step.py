"""The step tracker on the drawn person: errors of the landmarks are corrected, in any light, without a matte too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

import cuda_ext
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.refine.controls import NAMES, Controls
from avatar.refine.step import Step, StepTracker
from avatar.refine.step_points import Points
from avatar.types import ROOT, HeadParams
from tests.avatar.refine.conftest import Trained
from tests.avatar.refine.made_up import Distance, first

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def slow(trained: Trained) -> TrainingFrames:
    """The first frames of the drawn person."""
    return first(trained.frames, 10)


def with_error(trained: Trained, params: HeadParams, degrees: float, depth: float, jaw: float) -> HeadParams:
    """`params` of a tracker that sees the head turned and farther away, and the mouth more open."""
    head = trained.avatar.head
    params = trained.avatar.with_identity(params)
    rotation, translation = head.skull_pose(params)
    rotation = rotation @ axis_angle_to_matrix(torch.tensor([0.6, 0.8, 0.0]) * torch.tensor(degrees).deg2rad())
    translation = translation + torch.tensor([0.003, -0.003, -depth])
    joint_rot, expression = params.joint_rot.clone(), params.expression.clone()
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
    expression[:, head.expression_index("jawOpen")] += jaw
    root = head.root_translation(params.identity, rotation, translation)
    return replace(params, joint_rot=joint_rot, expression=expression, translation=root)


def followed(
    trained: Trained,
    frames: TrainingFrames,
    start: HeadParams,
    *,
    matte: bool = True,
    change: Change = lambda image: image,
) -> list[Step]:
    """The last step of each frame, which is shown three times: the head turns faster than any that is filmed."""
    tracker = StepTracker(trained.avatar)
    steps = []
    for index in range(len(frames)):
        image = change(frames.rgb[index].numpy())
        alpha = frames.alpha[index].numpy() if matte else None
        for _ in range(3):
            step = tracker(image, frames.view(index), start[index], alpha)
        steps.append(step)
    return steps


def error(trained: Trained, frames: TrainingFrames, params: list[HeadParams]) -> tuple[float, float, float]:
    """Mean distance from the truth: rotation (degrees), depth (meters) and jawOpen, without the first frames."""
    away, jaw = [], []
    column = trained.avatar.head.expression_index("jawOpen")
    for index, each in list(enumerate(params))[3:]:
        truth = frames.states[torch.tensor([index])]
        state = HeadStates.of(each, trained.avatar.head)
        found = Distance.of(state.rotation, state.translation, truth)
        away.append((float(found.turn), float(found.depth)))
        jaw.append(abs(float(each.expression[0, column] - truth.params.expression[0, column])))
    turn, depth = np.mean(away, 0)
    return float(turn), float(depth), float(np.mean(jaw))


def side_light(image: np.ndarray) -> np.ndarray:
    """Darker, warmer, and half as bright on the left as on the right."""
    across = np.linspace(0.6, 1.1, image.shape[1])[None, :, None]
    return (image * across * np.array([0.9, 0.8, 0.65])).astype(np.uint8)


def test_known_errors_of_pose_and_jaw_are_corrected(trained: Trained, slow: TrainingFrames) -> None:
    start = with_error(trained, slow.states.params, 3.0, 0.02, 0.2)
    before = error(trained, slow, [start[k] for k in range(len(slow))])
    after = error(trained, slow, [step.params for step in followed(trained, slow, start)])
    assert before == pytest.approx((3.0, 0.02, 0.2), rel=0.01)
    assert after[0] < 0.4 * before[0] and after[1] < 0.5 * before[1] and after[2] < 0.5 * before[2], after


@pytest.mark.parametrize("change", [lambda image: image, side_light], ids=["same light", "other light"])
def test_without_a_matte_pose_and_jaw_are_corrected_in_any_light(
    trained: Trained, slow: TrainingFrames, change: Change
) -> None:
    start = with_error(trained, slow.states.params, 3.0, 0.0, 0.2)
    steps = followed(trained, slow, start, matte=False, change=change)
    after = error(trained, slow, [step.params for step in steps])
    assert after[0] < 0.75 * 3.0 and after[2] < 0.5 * 0.2, after


def test_an_image_rendered_ahead_serves_the_next_frames(
    trained: Trained, slow: TrainingFrames, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = with_error(trained, slow.states.params, 3.0, 0.0, 0.2)
    tracker = StepTracker(trained.avatar)
    rendered = []
    render = tracker._render
    monkeypatch.setattr(tracker, "_render", lambda *given: rendered.append(0) or render(*given))
    found = []
    for index in range(len(slow)):
        for _ in range(3):
            before = len(rendered)
            step = tracker(slow.rgb[index].numpy(), slow.view(index), start[index])
            assert len(rendered) == before + (index == 0)
        found.append(step.params)
        tracker.render_ahead()
        tracker.render_ahead()  # nothing new to render
        assert len(rendered) == 3 + index + 1
    after = error(trained, slow, found)
    assert after[0] < 0.75 * 3.0 and after[2] < 0.5 * 0.2, after


def test_the_truth_hardly_changes(trained: Trained, slow: TrainingFrames) -> None:
    after = error(trained, slow, [step.params for step in followed(trained, slow, slow.states.params)])
    assert after[0] < 0.8 and after[1] < 0.006 and after[2] < 0.05, after


def test_the_person_correlates_and_other_images_do_not(trained: Trained, slow: TrainingFrames) -> None:
    own = [step.correlation for step in followed(trained, slow, slow.states.params)]
    other = followed(trained, slow, slow.states.params, change=lambda image: np.ascontiguousarray(255 - image[::-1]))
    assert min(own) > 0.9
    assert max(step.correlation for step in other) < 0.7


def test_a_frame_does_not_depend_on_later_ones_and_runs_repeat_to_the_bit(
    trained: Trained, slow: TrainingFrames
) -> None:
    before = cuda_ext.threads() if cuda_ext.available("cpu") else 0
    try:
        found = []
        for threads, count in ((1, 8), (2, 8), (2, 4)):
            if before:
                cuda_ext.set_threads(threads)
            found.append(followed(trained, first(slow, count), slow.states.params))
    finally:
        if before:
            cuda_ext.set_threads(before)
    for other in found[1:]:
        for step, same in zip(found[0], other, strict=False):
            assert step.correlation == same.correlation
            assert torch.equal(step.params.expression, same.params.expression)
            assert torch.equal(step.params.joint_rot, same.params.joint_rot)


def test_after_a_reset_nothing_is_left_of_the_frames_before(trained: Trained, slow: TrainingFrames) -> None:
    fresh, used = StepTracker(trained.avatar), StepTracker(trained.avatar)
    wrong = with_error(trained, slow.states.params, 3.0, 0.0, 0.3)
    used(slow.rgb[0].numpy(), slow.view(0), wrong[0])
    used.reset()
    given = slow.rgb[2].numpy(), slow.view(2), slow.states.params[2]
    assert torch.equal(used(*given).params.expression, fresh(*given).params.expression)


def test_a_head_behind_the_camera_keeps_its_state(trained: Trained, slow: TrainingFrames) -> None:
    behind = replace(slow.states.params[0], translation=slow.states.params.translation[:1] + torch.tensor([0, 0, 2.0]))
    step = StepTracker(trained.avatar)(slow.rgb[0].numpy(), slow.view(0), behind)
    assert (step.correlation, step.seen) == (0.0, 0.0)
    torch.testing.assert_close(step.params.expression, behind.expression)
    torch.testing.assert_close(step.params.translation, behind.translation, atol=1e-5, rtol=0)


def test_controls_stay_within_their_limits(trained: Trained, slow: TrainingFrames) -> None:
    start = with_error(trained, slow.states.params, 0.0, 0.0, 3.0)
    controls = Controls.of(trained.avatar.head)
    for step in followed(trained, slow, start):
        values = controls.read(step.params)
        assert (values >= controls.low - 1e-6).all() and (values <= controls.high + 1e-6).all()


def test_motion_and_tint_of_points_are_those_of_the_avatar(trained: Trained) -> None:
    avatar = trained.avatar
    controls = Controls.of(avatar.head)
    points = Points.of(avatar, controls, 500)
    assert len(points.gaussians) == 500 and (points.weight > 0).all()
    neutral = HeadParams(
        torch.zeros(0), avatar.neutral[None].clone(), torch.zeros(1, 5, 3), torch.tensor([[0.0, 0.0, -0.6]])
    )
    column, row = avatar.head.expression_index("jawOpen"), NAMES.index("jawOpen")
    opened = replace(neutral, expression=neutral.expression.clone())
    opened.expression[0, column] += 0.1
    with torch.no_grad():
        moved = (avatar(opened).means - avatar(neutral).means)[0, points.gaussians] / 0.1
    found = points.motion[row, :, : len(points.gaussians)].T
    torch.testing.assert_close(found, moved, atol=5e-5, rtol=1e-3)
