"""Poses refined against an avatar: wrong ones come back, right ones stay, cameras share one head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.refine.options import RefineOptions
from avatar.refine.poses import PoseFit, Poses, refine_poses
from avatar.refine.targets import Targets
from tests.avatar.refine.conftest import SIZE, Shown
from tests.avatar.refine.made_up import Distance, some, wrong
from tests.support.tiny import side_camera, tiny_capture


def skull(fit: PoseFit, truth: TrainingFrames) -> Distance:
    return Distance.of(fit.poses.rotation[:, 0], fit.poses.translation[:, 0], truth.states)


@pytest.mark.parametrize(("degrees", "torso"), [(2.0, True), (4.0, True), (4.0, False)])
def test_wrong_poses_come_back(shown: Shown, options: RefineOptions, degrees: float, torso: bool) -> None:
    few = some(shown.frames, 6)
    start = wrong(few.states, degrees)
    fit = refine_poses(shown.avatar, Targets.of(few, SIZE), start, replace(options, torso=torso))
    before, after = Distance.of(start.rotation, start.translation, few.states), skull(fit, few)
    assert after.turn.mean() < before.turn.mean() / 4
    assert after.side.mean() < before.side.mean() / 10
    assert after.depth.mean() < before.depth.mean() / 8


def test_right_poses_stay(shown: Shown, options: RefineOptions) -> None:
    # An avatar of 250 steps is no exact copy: its own faults pull by a few tenths of a degree.
    few = some(shown.frames, 6)
    moved = skull(refine_poses(shown.avatar, Targets.of(few, SIZE), few.states, options), few)
    assert moved.turn.max() < 0.7
    assert moved.side.max() < 5e-4
    assert moved.depth.max() < 3e-3


def test_the_cost_never_rises(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 4)
    fit = refine_poses(shown.avatar, Targets.of(few, SIZE), wrong(few.states, 3.0), replace(options, iterations=3))
    assert (fit.cost <= fit.cost_before).all()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """8 moments, each seen from the front and from 40 degrees beside, and an avatar that learned both."""
    root = tmp_path_factory.mktemp("beside") / "capture"
    capture = tiny_capture(root, frames=8, size=SIZE, test_every=0, others=[side_camera(SIZE, 40)])
    return Shown.trained(capture)


def test_two_cameras_tell_the_pose_at_least_as_well_as_one(beside: Shown, options: RefineOptions) -> None:
    both, front = Targets.of(beside.frames, SIZE), torch.arange(0, len(beside.frames), 2)
    alone = Targets(both.rgb[front], beside.frames.views(front), both.step[front], both.weight[front], both.dilation)
    start = wrong(beside.frames.states, 3.0)
    one, two = (skull(refine_poses(beside.avatar, each, start, options), beside.frames) for each in (alone, both))
    assert two.turn.mean() < 1.1 * one.turn.mean()
    assert two.side.mean() < 1e-3  # a third of a pixel
    assert two.depth.mean() < one.depth.mean() / 2


def test_pictures_of_one_moment_add_up(beside: Shown, options: RefineOptions) -> None:
    frames, both = beside.frames, Targets.of(beside.frames, SIZE)
    still, fits = replace(options, iterations=0, torso=False), []
    for rows in (torch.arange(0, 16, 2), torch.arange(1, 16, 2), torch.arange(16)):
        targets = Targets(both.rgb[rows], frames.views(rows), both.step[rows], both.weight[rows], both.dilation)
        fits.append(refine_poses(beside.avatar, targets, frames.states, still))
    torch.testing.assert_close(fits[0].cost + fits[1].cost, fits[2].cost, rtol=1e-5, atol=0)
    torch.testing.assert_close(fits[0].information + fits[1].information, fits[2].information, rtol=1e-4, atol=1e-2)


def test_a_moment_without_a_picture_stays_where_it_is(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 5)
    targets = Targets.of(few, SIZE)
    seen = torch.tensor([0, 1, 3])
    fewer = Targets(targets.rgb[seen], few.views(seen), targets.step[seen], targets.weight[seen], targets.dilation)
    start = wrong(few.states, 3.0)
    fit = refine_poses(shown.avatar, fewer, start, replace(options, torso=False))
    assert torch.equal(fit.poses.rotation[[2, 4], 0].float(), start.rotation[[2, 4]])
    assert torch.equal(fit.poses.translation[[2, 4], 0].float(), start.translation[[2, 4]])
    assert not fit.information[[2, 4]].any() and (fit.cost[[2, 4]] == 0).all()


def test_no_moments_give_no_poses(shown: Shown, options: RefineOptions) -> None:
    none = shown.frames.states[torch.zeros(0, dtype=torch.int64)]
    fit = refine_poses(shown.avatar, Targets.of(some(shown.frames, 2), SIZE), none, options)
    assert (len(fit.poses), fit.information.shape, fit.cost.shape, fit.evaluations) == (0, (0, 12, 12), (0,), 0)


def test_poses_do_not_depend_on_how_many_are_solved_together(
    shown: Shown, options: RefineOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = some(shown.frames, 4)
    start, targets, fits = wrong(few.states, 3.0), Targets.of(few, SIZE), []
    for together in (4, 3):
        monkeypatch.setattr(targets, "TOGETHER", together)
        fits.append(refine_poses(shown.avatar, targets, start, options))
    torch.testing.assert_close(fits[1].poses.rotation, fits[0].poses.rotation, rtol=0, atol=1e-5)
    torch.testing.assert_close(fits[1].poses.translation, fits[0].poses.translation, rtol=0, atol=1e-6)


def test_progress_counts_up_to_all_moments(shown: Shown, options: RefineOptions) -> None:
    few, seen = some(shown.frames, 10), []
    still = replace(options, iterations=0)
    refine_poses(shown.avatar, Targets.of(few, SIZE), few.states, still, lambda *told: seen.append(told))
    assert seen == [(8, 10), (10, 10)]


def torso_after(shown: Shown, options: RefineOptions, pull: float) -> tuple[PoseFit, TrainingFrames]:
    """The fit of moments whose torso starts 6 degrees off the rig's map."""
    few = some(shown.frames, 3)
    rotation, place = shown.avatar.rig.torso(few.states.rotation, few.states.translation)
    tilt = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 6.0]).deg2rad())
    start = few.states.with_torso(tilt @ rotation, place)
    return refine_poses(shown.avatar, Targets.of(few, SIZE), start, replace(options, torso_pull=pull)), few


def degrees_between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return matrix_to_axis_angle(one.double() @ other.double().transpose(1, 2)).norm(dim=-1).rad2deg()


def test_a_strong_pull_holds_the_torso_to_the_rigs_map(shown: Shown, options: RefineOptions) -> None:
    poses = torso_after(shown, options, 1e7)[0].poses
    likely = shown.avatar.rig.torso(poses.rotation[:, 0].float(), poses.translation[:, 0].float())[0]
    assert degrees_between(poses.rotation[:, 1], likely).max() < 0.1


def test_a_torso_that_starts_aside_ends_where_it_does_from_the_map(shown: Shown, options: RefineOptions) -> None:
    few = some(shown.frames, 5)
    rotation, place = shown.avatar.rig.torso(few.states.rotation, few.states.translation)
    ends = []
    for aside in (0.0, 0.02):
        start = few.states.with_torso(rotation, place + torch.tensor([aside, 0.0, 0.0]))
        poses = refine_poses(shown.avatar, Targets.of(few, SIZE), start, options).poses
        ends.append(poses.pivots(shown.avatar)[:, 1])
    assert (ends[1] - ends[0]).norm(dim=-1).max() < 0.003


def test_a_motion_turns_about_its_pivot_and_then_shifts() -> None:
    source = torch.Generator().manual_seed(1)
    rotation = axis_angle_to_matrix(torch.randn(2, 2, 3, generator=source, dtype=torch.float64))
    poses = Poses(rotation, torch.randn(2, 2, 3, generator=source, dtype=torch.float64))
    pivots = torch.randn(2, 2, 3, generator=source, dtype=torch.float64)
    step = 0.3 * torch.randn(2, 12, generator=source, dtype=torch.float64)
    moved = poses.moved(step, pivots)
    own = (rotation.transpose(-1, -2) @ (pivots - poses.translation)[..., None])[..., 0]  # in each group's own frame
    landed = (moved.rotation @ own[..., None])[..., 0] + moved.translation
    torch.testing.assert_close(landed, pivots + step.reshape(2, 2, 6)[..., 3:])


def test_a_state_keeps_its_own_pose_where_the_mask_holds() -> None:
    one = Poses(torch.eye(3, dtype=torch.float64).expand(2, 1, 3, 3), torch.zeros(2, 1, 3, dtype=torch.float64))
    other = Poses(2 * one.rotation, one.translation + 1)
    mixed = one.where(torch.tensor([True, False]), other)
    assert torch.equal(mixed.rotation[0], one.rotation[0]) and torch.equal(mixed.translation[1], other.translation[1])
