"""Refinement of a clip: failed frames, the mean change, resulting states, the torso map."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, mean_rotation
from avatar.refine import clip
from avatar.refine.clip import ClipFit, key_states, learn_torso, refine_clip, with_poses, without_mean_change
from avatar.refine.options import RefineOptions
from avatar.refine.poses import BonePoses
from tests.avatar.refine.conftest import SIZE, Trained
from tests.avatar.refine.made_up import Distance, first, wrong


@pytest.fixture
def poses_only(options: RefineOptions) -> RefineOptions:
    return replace(options, expressions=False)


def with_picture(frames: TrainingFrames, index: int, rgb: Tensor, alpha: Tensor) -> TrainingFrames:
    """`frames` with the image `index` replaced."""
    images, mattes = frames.rgb.clone(), frames.alpha.clone()
    images[index], mattes[index] = rgb, alpha
    return replace(frames, rgb=images, alpha=mattes)


@pytest.fixture(scope="module", params=["noise", "another time step"])
def with_outlier(request: pytest.FixtureRequest, trained: Trained) -> tuple[TrainingFrames, ClipFit]:
    """9 frames, of which frame 4 shows noise or the head of another time step, and their fit."""
    few, source = first(trained.frames, 9), torch.Generator().manual_seed(0)
    rgb, alpha = trained.frames.rgb[14], trained.frames.alpha[14]
    if request.param == "noise":
        rgb = torch.randint(0, 256, rgb.shape, generator=source, dtype=torch.uint8)
        alpha = torch.full_like(alpha, 255)
    frames = with_picture(few, 4, rgb, alpha)
    return frames, refine_clip(trained.avatar, frames, RefineOptions(size=SIZE, expressions=False))


def test_only_the_outlier_is_flagged(with_outlier: tuple[TrainingFrames, ClipFit]) -> None:
    assert torch.nonzero(with_outlier[1].flagged)[:, 0].tolist() == [4]


def test_a_flagged_frame_follows_its_neighbors(with_outlier: tuple[TrainingFrames, ClipFit]) -> None:
    frames, found = with_outlier
    error = Distance.of(found.states.rotation, found.states.translation, frames.states)
    assert error.turn[4] < 1.5
    assert error.depth[4] < 0.01


def test_wrong_poses_of_a_clip_are_corrected_with_less_jitter(trained: Trained, poses_only: RefineOptions) -> None:
    few = first(trained.frames, 8)
    shaky = replace(few, states=wrong(few.states, 2.0))
    found = refine_clip(trained.avatar, shaky, poses_only)
    after = Distance.of(found.states.rotation, found.states.translation, few.states)
    assert not found.flagged.any()
    assert after.turn.mean() < 0.8 and after.depth.mean() < 4e-3
    assert all(found.jitter[1][name] < found.jitter[0][name] / 4 for name in found.jitter[0])


def shifted(few: TrainingFrames) -> TrainingFrames:
    """`few` with all skull frames moved by the same 2 degrees and 5 mm."""
    turn = axis_angle_to_matrix(torch.tensor([0.0, 2.0, 0.0]).deg2rad())
    rotation, shift = few.states.rotation, torch.tensor([0.005, 0.0, 0.0])
    states = replace(few.states, rotation=rotation @ turn, translation=few.states.translation + rotation @ shift)
    return replace(few, states=states)


def mean_turn(found: ClipFit, start: TrainingFrames) -> float:
    """Degrees between the mean skull frames after and before."""
    change = mean_rotation(start.states.rotation.transpose(1, 2) @ found.states.rotation)
    return float(matrix_to_axis_angle(change).norm().rad2deg())


def test_keep_mean_keeps_the_trackers_frame_of_reference(trained: Trained, poses_only: RefineOptions) -> None:
    start = shifted(first(trained.frames, 6))
    assert mean_turn(refine_clip(trained.avatar, start, poses_only, keep_mean=True), start) < 0.3
    assert mean_turn(refine_clip(trained.avatar, start, poses_only), start) > 1.5


@pytest.mark.parametrize("keep_mean", [True, False])
def test_chunks_in_several_threads_give_the_same_bits(
    trained: Trained, options: RefineOptions, monkeypatch: pytest.MonkeyPatch, keep_mean: bool
) -> None:
    few = first(trained.frames, 19)  # three chunks
    shaky = replace(few, states=wrong(few.states, 1.0))
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("avatar.ops.kernel_threads", lambda count=threads: count)
        found.append(refine_clip(trained.avatar, shaky, options, keep_mean=keep_mean))
    alone, together = (fit.states for fit in found)
    assert torch.equal(alone.params.expression, together.params.expression)
    assert torch.equal(alone.rotation, together.rotation) and torch.equal(alone.translation, together.translation)
    assert torch.equal(found[0].reverted, found[1].reverted) and found[0].cost == found[1].cost
    assert not torch.equal(alone.params.expression, few.states.params.expression)


def test_key_states_are_near_each_other_and_all_others_lie_between() -> None:
    time = np.array([0.0, 0.04, 0.08, 0.12, 0.16, 1.0, 1.04, 2.0])
    assert key_states(time, 0.1).tolist() == [True, False, True, False, True, True, True, True]
    assert key_states(time, 0.0).all()


def test_states_between_key_states_start_from_their_changes_in_proportion_to_time() -> None:
    fitted, start = random_poses()
    time = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8])
    pivots = torch.tensor([[0.0, 0.0, 0.0], [0.0, -0.1, 0.02]]).double()
    rows = torch.tensor([1, 3, 5])
    moved = start.with_changes(rows, fitted[rows], time, pivots)
    torch.testing.assert_close(moved.rotation[rows], fitted.rotation[rows])
    torch.testing.assert_close(moved.translation[rows], fitted.translation[rows])
    before, after = start.about(pivots), moved.about(pivots)
    turn = matrix_to_axis_angle(after.rotation @ before.rotation.transpose(-1, -2))
    for change in (turn, after.translation - before.translation):
        torch.testing.assert_close(change[2], 0.75 * change[1] + 0.25 * change[3])
        torch.testing.assert_close(change[0], change[1])
        torch.testing.assert_close(change[6], change[5])


def random_poses(count: int = 7, seed: int = 0) -> tuple[BonePoses, BonePoses]:
    """Random poses, and the same after motions with a mean."""
    source = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64)

    start = BonePoses(axis_angle_to_matrix(random(count, 2, 3)), random(count, 2, 3))
    turn = axis_angle_to_matrix(torch.tensor([0.1, -0.2, 0.05]).double() + 0.1 * random(count, 2, 3))
    shift = (start.rotation @ (torch.tensor([0.02, 0.01, -0.05]) + 0.01 * random(count, 2, 3))[..., None])[..., 0]
    return BonePoses(start.rotation @ turn, start.translation + shift), start


def change_of(poses: BonePoses, start: BonePoses) -> tuple[Tensor, Tensor]:
    """Change of rotation [S,3,3] and position [S,3] of the skulls, in the skull frame."""
    before = start.rotation[:, 0].transpose(1, 2)
    return before @ poses.rotation[:, 0], (before @ (poses.translation - start.translation)[:, 0, :, None])[..., 0]


def test_without_mean_change_the_mean_change_is_zero() -> None:
    poses, start = random_poses()
    turn, shift = change_of(without_mean_change(poses, start, torch.ones(7, dtype=torch.bool)), start)
    torch.testing.assert_close(mean_rotation(turn), torch.eye(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(shift.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)


def test_without_mean_change_moves_all_skull_frames_alike_and_no_torso() -> None:
    poses, start = random_poses()
    found = without_mean_change(poses, start, torch.ones(7, dtype=torch.bool))
    turn, shift = change_of(found, poses)
    torch.testing.assert_close(turn, turn[:1].expand(7, -1, -1))
    torch.testing.assert_close(shift, shift[:1].expand(7, -1))
    assert torch.equal(found.rotation[:, 1], poses.rotation[:, 1])
    assert torch.equal(found.translation[:, 1], poses.translation[:, 1])


def test_diverged_frames_do_not_count_in_the_mean() -> None:
    # Regression: one of 50 frames that diverged by 90 degrees would rotate all others by 2 degrees.
    poses, start = random_poses()
    kept = torch.arange(7) != 3
    expected = without_mean_change(poses, start, kept)
    poses.rotation[3, 0] = axis_angle_to_matrix(torch.tensor([0.0, 1.6, 0.0]).double()) @ poses.rotation[3, 0]
    found = without_mean_change(poses, start, kept)
    assert torch.equal(found.rotation[kept], expected.rotation[kept])
    assert torch.equal(found.translation[kept], expected.translation[kept])


@pytest.mark.parametrize("torso", [True, False])
def test_unchanged_poses_give_the_same_states_bit_for_bit(trained: Trained, torso: bool) -> None:
    pose = trained.avatar.rig.torso(trained.frames.states.rotation, trained.frames.states.translation)
    states = replace(trained.frames.states, torso=pose)
    found = with_poses(states, BonePoses.of(trained.avatar, states, torso))
    assert found.torso is not None and states.torso is not None
    assert torch.equal(found.rotation, states.rotation) and torch.equal(found.translation, states.translation)
    assert torch.equal(found.torso.rotation, states.torso.rotation)
    assert torch.equal(found.torso.translation, states.torso.translation)


def test_without_expressions_the_trackers_parameters_stay(trained: Trained, poses_only: RefineOptions) -> None:
    few = first(trained.frames, 4)
    found = refine_clip(trained.avatar, few, replace(poses_only, iterations=1)).states
    assert found.params is few.states.params
    assert torch.equal(found.vertices, few.states.vertices) and torch.equal(found.features, few.states.features)


def test_refining_does_not_change_avatar_and_frames(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 3)
    weights = {name: value.clone() for name, value in trained.avatar.state_dict().items()}
    states = copy.deepcopy(few.states)
    refine_clip(trained.avatar, few, replace(options, iterations=1, expression_iterations=1))
    assert all(torch.equal(weights[name], value) for name, value in trained.avatar.state_dict().items())
    assert torch.equal(states.rotation, few.states.rotation)
    assert torch.equal(states.params.expression, few.states.params.expression)


def tensors_of(states: HeadStates) -> list[Tensor]:
    """All tensors of head states."""
    params, torso = states.params, states.torso
    head = (states.vertices, states.features, states.rotation, states.translation)
    bust = () if torso is None else (torso.rotation, torso.translation)
    return [params.expression, params.joint_rot, params.translation, *head, *bust]


@pytest.mark.parametrize("changes", [{}, {"torso": False}, {"expressions": False}])
def test_a_fit_is_restored_from_its_state_bit_for_bit(
    trained: Trained, options: RefineOptions, changes: dict[str, bool]
) -> None:
    few = first(trained.frames, 3)
    few = replace(
        few, states=HeadStates.of(few.states.params, trained.avatar.head)
    )  # batches of another size may give other bits
    found = refine_clip(trained.avatar, few, replace(options, iterations=1, expression_iterations=1, **changes))
    stream = io.BytesIO()
    torch.save(found.state(), stream)
    stream.seek(0)
    restored = ClipFit.from_state(torch.load(stream, weights_only=True), few.states, trained.avatar.head)
    assert (restored.states.torso is None) == (found.states.torso is None)
    assert all(torch.equal(*pair) for pair in zip(tensors_of(found.states), tensors_of(restored.states), strict=True))
    assert torch.equal(restored.flagged, found.flagged) and restored.to_dict() == found.to_dict()


def test_figures_have_flagged_frames_and_the_mean_change(trained: Trained, poses_only: RefineOptions) -> None:
    few = first(trained.frames, 4)
    figures = refine_clip(trained.avatar, replace(few, states=wrong(few.states, 2.0)), poses_only).to_dict()
    assert (figures["frames"], figures["flagged"]) == (4, 0)
    assert figures["cost_after"] < figures["cost_before"]
    assert 1.0 < figures["shift_cm"][2] < 2.0  # the depth was wrong by 1.5 cm


def torso_moved_by(trained: Trained, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Torso poses of a map with `weight` [6,7], and those of the map that is fitted to them."""
    avatar, states = copy.deepcopy(trained.avatar), wrong(trained.frames.states, 8.0, 0.02, 0.02)
    avatar.rig.torso.limit.fill_(1e3)
    avatar.rig.torso.weight.data.copy_(weight)
    truth = avatar.rig.torso(states.rotation, states.translation)
    avatar.rig.torso.weight.data.zero_()
    learn_torso(avatar, replace(states, torso=truth))
    found = avatar.rig.torso(states.rotation, states.translation)
    first, second = (torch.cat([pose.rotation.flatten(1), pose.translation], 1) for pose in (truth, found))
    return first, second


def test_a_linear_motion_of_the_torso_is_fitted_exactly(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "_TORSO_RIDGE", 1e-9)
    weight = 0.3 * torch.randn(6, 7, generator=torch.Generator().manual_seed(3))
    truth, found = torso_moved_by(trained, weight)
    torch.testing.assert_close(found, truth, rtol=0, atol=2e-4)


def test_states_without_torsos_do_not_change_the_map(trained: Trained) -> None:
    avatar = copy.deepcopy(trained.avatar)
    learn_torso(avatar, trained.frames.states)
    assert torch.equal(avatar.rig.torso.weight, trained.avatar.rig.torso.weight)


def test_a_head_before_a_camera_that_moves_takes_its_torso_along(trained: Trained, poses_only: RefineOptions) -> None:
    few = first(trained.frames, 4)
    still = replace(few, states=wrong(few.states.sitting_still(), 2.0).sitting_still())
    found = refine_clip(trained.avatar, still, poses_only).states
    assert found.still and found.torso is not None
    assert torch.equal(found.torso.rotation, found.rotation)
    assert torch.equal(found.torso.translation, found.translation)
    assert not torch.equal(found.rotation, still.states.rotation)


def test_no_torso_map_is_learned_from_a_camera_that_moves(trained: Trained) -> None:
    avatar = copy.deepcopy(trained.avatar)
    before = avatar.rig.torso.weight.clone()
    learn_torso(avatar, first(trained.frames, 4).states.sitting_still())
    assert torch.equal(avatar.rig.torso.weight, before)
