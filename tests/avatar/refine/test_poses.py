"""Poses refined against an avatar: errors are corrected, correct poses stay, cameras share one head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.model.avatar import assemble
from avatar.refine.options import RefineOptions
from avatar.refine.poses import BonePoses, PoseFit, refine_poses
from avatar.refine.targets import Targets
from avatar.rendering.render import render
from avatar.types import TorsoPose
from tests.avatar.refine.conftest import SIZE, Trained
from tests.avatar.refine.made_up import Distance, first, wrong
from tests.support.tiny import side_camera, tiny_capture


def skull(fit: PoseFit, truth: TrainingFrames) -> Distance:
    return Distance.of(fit.poses.rotation[:, 0], fit.poses.translation[:, 0], truth.states)


@pytest.mark.parametrize(("degrees", "torso"), [(2.0, True), (4.0, True), (4.0, False)])
def test_wrong_poses_are_corrected(trained: Trained, options: RefineOptions, degrees: float, torso: bool) -> None:
    few = first(trained.frames, 6)
    start = wrong(few.states, degrees)
    fit = refine_poses(trained.avatar, Targets.of(few, SIZE), start, replace(options, torso=torso))
    before, after = Distance.of(start.rotation, start.translation, few.states), skull(fit, few)
    assert after.turn.mean() < before.turn.mean() / 4
    assert after.side.mean() < before.side.mean() / 10
    assert after.depth.mean() < before.depth.mean() / 8


def test_correct_poses_stay(trained: Trained, options: RefineOptions) -> None:
    # An avatar after 250 steps is not exact: its errors change poses by a few tenths of a degree.
    few = first(trained.frames, 6)
    moved = skull(refine_poses(trained.avatar, Targets.of(few, SIZE), few.states, options), few)
    assert moved.turn.max() < 0.7
    assert moved.side.max() < 5e-4
    assert moved.depth.max() < 3e-3


def test_poses_of_rendered_images_stay_at_a_lower_resolution(trained: Trained, options: RefineOptions) -> None:
    avatar = trained.avatar
    few = first(trained.frames, 4)
    head = few.states.posed_head(avatar.rig, few.step)
    gaussians = assemble(avatar, head, avatar.blendshapes(avatar.weights(few.states.features)))
    with torch.no_grad():
        rgb = render(gaussians, few.camera, with_depth=False).rgb.clamp(0, 1)
    images = replace(few, rgb=(255 * rgb).round().to(torch.uint8), alpha=torch.full_like(few.alpha, 255))
    moved = skull(refine_poses(avatar, Targets.of(images, SIZE // 2), few.states, options), few)
    assert moved.turn.max() < 0.3
    assert moved.side.max() < 3e-4
    assert moved.depth.max() < 2e-3  # with wider Gaussians, 10 mm


def test_the_cost_never_rises(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 4)
    fit = refine_poses(trained.avatar, Targets.of(few, SIZE), wrong(few.states, 3.0), replace(options, iterations=3))
    assert (fit.cost <= fit.cost_before).all()


def test_a_small_step_is_taken_without_an_evaluation(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 4)
    start = wrong(few.states, 2.0)
    fit = refine_poses(trained.avatar, Targets.of(few, SIZE), start, replace(options, tolerance=1e9))
    before, after = Distance.of(start.rotation, start.translation, few.states), skull(fit, few)
    assert fit.evaluations == 4
    assert after.turn.mean() < before.turn.mean()


def test_a_good_step_is_not_the_last(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 4)
    fit = refine_poses(trained.avatar, Targets.of(few, SIZE), wrong(few.states, 4.0), options)
    assert fit.evaluations >= 3 * 4


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """8 time steps from a front camera and one at 40 degrees to the side, and an avatar trained on both."""
    root = tmp_path_factory.mktemp("two_cameras") / "capture"
    capture = tiny_capture(root, frames=8, size=SIZE, test_every=0, others=[side_camera(SIZE, 40)])
    return Trained.on(capture)


def test_two_cameras_give_poses_at_least_as_good_as_one(two_cameras: Trained, options: RefineOptions) -> None:
    both, front = Targets.of(two_cameras.frames, SIZE), torch.arange(0, len(two_cameras.frames), 2)
    alone = both.select(front)
    start = wrong(two_cameras.frames.states, 3.0)
    fits = (refine_poses(two_cameras.avatar, targets, start, options) for targets in (alone, both))
    one, two = (skull(fit, two_cameras.frames) for fit in fits)
    assert two.turn.mean() < 1.1 * one.turn.mean()
    assert two.side.mean() < 1e-3  # a third of a pixel
    assert two.depth.mean() < 0.9 * one.depth.mean() and two.depth.mean() < 5e-4  # one camera: 0.4 mm, at 0.6 m


def test_costs_of_the_images_of_one_time_step_add_up(two_cameras: Trained, options: RefineOptions) -> None:
    frames, both = two_cameras.frames, Targets.of(two_cameras.frames, SIZE)
    no_steps, fits = replace(options, iterations=0, torso=False), []
    for rows in (torch.arange(0, 16, 2), torch.arange(1, 16, 2), torch.arange(16)):
        fits.append(refine_poses(two_cameras.avatar, both.select(rows), frames.states, no_steps))
    torch.testing.assert_close(fits[0].cost + fits[1].cost, fits[2].cost, rtol=1e-5, atol=0)
    torch.testing.assert_close(fits[0].information + fits[1].information, fits[2].information, rtol=1e-4, atol=1e-2)


def test_a_time_step_without_an_image_keeps_its_pose(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 5)
    targets = Targets.of(few, SIZE).select(torch.tensor([0, 1, 3]))
    start = wrong(few.states, 3.0)
    fit = refine_poses(trained.avatar, targets, start, replace(options, torso=False))
    assert torch.equal(fit.poses.rotation[[2, 4], 0].float(), start.rotation[[2, 4]])
    assert torch.equal(fit.poses.translation[[2, 4], 0].float(), start.translation[[2, 4]])
    assert not fit.information[[2, 4]].any() and (fit.cost[[2, 4]] == 0).all()


def test_no_time_steps_give_no_poses(trained: Trained, options: RefineOptions) -> None:
    none = trained.frames.states[torch.zeros(0, dtype=torch.int64)]
    fit = refine_poses(trained.avatar, Targets.of(first(trained.frames, 2), SIZE), none, options)
    assert (len(fit.poses), fit.information.shape, fit.cost.shape, fit.evaluations) == (0, (0, 12, 12), (0,), 0)


def test_poses_do_not_depend_on_the_chunk_size(
    trained: Trained, options: RefineOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = first(trained.frames, 4)
    start, targets, fits = wrong(few.states, 3.0), Targets.of(few, SIZE), []
    for images in (4, 3):
        monkeypatch.setattr("avatar.refine.targets.CHUNK_IMAGES", images)
        fits.append(refine_poses(trained.avatar, targets, start, options))
    torch.testing.assert_close(fits[1].poses.rotation, fits[0].poses.rotation, rtol=0, atol=1e-5)
    torch.testing.assert_close(fits[1].poses.translation, fits[0].poses.translation, rtol=0, atol=1e-6)


def test_progress_counts_up_to_all_time_steps(trained: Trained, options: RefineOptions) -> None:
    few, seen = first(trained.frames, 10), []
    no_steps = replace(options, iterations=0)
    refine_poses(trained.avatar, Targets.of(few, SIZE), few.states, no_steps, lambda *counts: seen.append(counts))
    assert seen == [(8, 10), (10, 10)]


def firm(options: RefineOptions) -> RefineOptions:
    """Options under which the torso cannot leave its prior."""
    return replace(options, torso_pull=1e7)


def degrees_between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return matrix_to_axis_angle(one.double() @ other.double().transpose(1, 2)).norm(dim=-1).rad2deg()


def test_a_large_weight_keeps_the_torso_at_the_pose_of_the_map(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 3)
    poses = refine_poses(trained.avatar, Targets.of(few, SIZE), wrong(few.states, 3.0), firm(options)).poses
    mapped = trained.avatar.rig.torso(poses.rotation[:, 0].float(), poses.translation[:, 0].float()).rotation
    assert degrees_between(poses.rotation[:, 1], mapped).max() < 0.1


def test_a_large_weight_keeps_a_known_torso_where_it_is(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 3)
    pose = trained.avatar.rig.torso(few.states.rotation, few.states.translation)
    tilted = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 6.0]).deg2rad()) @ pose.rotation
    start = replace(few.states, torso=TorsoPose(tilted, pose.translation))
    poses = refine_poses(trained.avatar, Targets.of(few, SIZE), start, firm(options)).poses
    assert degrees_between(poses.rotation[:, 1], tilted).max() < 0.1


def test_the_images_pull_a_known_torso_towards_where_they_show_it(trained: Trained, options: RefineOptions) -> None:
    few = first(trained.frames, 5)
    pose = trained.avatar.rig.torso(few.states.rotation, few.states.translation)
    ends = []
    for shift in (0.0, 0.02):
        shifted = TorsoPose(pose.rotation, pose.translation + torch.tensor([shift, 0.0, 0.0]))
        start = replace(few.states, torso=shifted)
        poses = refine_poses(trained.avatar, Targets.of(few, SIZE), start, options).poses
        ends.append(poses.pivots(trained.avatar)[:, 1])
    # Of a shift by 20 mm; the tiny images show little more than the neck, some of them hardly that.
    left = (ends[1] - ends[0]).norm(dim=-1)
    assert left.mean() < 0.018 and left.max() < 0.02


def test_a_motion_rotates_about_its_pivot_and_then_translates() -> None:
    source = torch.Generator().manual_seed(1)
    rotation = axis_angle_to_matrix(torch.randn(2, 2, 3, generator=source, dtype=torch.float64))
    poses = BonePoses(rotation, torch.randn(2, 2, 3, generator=source, dtype=torch.float64))
    pivots = torch.randn(2, 2, 3, generator=source, dtype=torch.float64)
    step = 0.3 * torch.randn(2, 12, generator=source, dtype=torch.float64)
    moved = poses.after_motion(step, pivots)
    local = (rotation.transpose(-1, -2) @ (pivots - poses.translation)[..., None])[
        ..., 0
    ]  # in the frames of the groups
    found = (moved.rotation @ local[..., None])[..., 0] + moved.translation
    torch.testing.assert_close(found, pivots + step.reshape(2, 2, 6)[..., 3:])


def test_where_takes_poses_by_the_mask() -> None:
    one = BonePoses(torch.eye(3, dtype=torch.float64).expand(2, 1, 3, 3), torch.zeros(2, 1, 3, dtype=torch.float64))
    other = BonePoses(2 * one.rotation, one.translation + 1)
    mixed = one.where(torch.tensor([True, False]), other)
    assert torch.equal(mixed.rotation[0], one.rotation[0]) and torch.equal(mixed.translation[1], other.translation[1])
