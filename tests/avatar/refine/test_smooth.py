"""Smoothing of poses: noise is reduced, steady motion and certain poses stay, at even and uneven time steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.refine.options import RefineOptions
from avatar.refine.poses import BonePoses, PoseFit
from avatar.refine.smooth import jitter, smooth_poses

COUNT = 20
EVEN = np.arange(COUNT) / 30
#: Dropped frames: steps of one to four thirtieths of a second.
UNEVEN = np.cumsum(np.random.default_rng(2).integers(1, 5, COUNT)) / 30
OPTIONS = RefineOptions()


def steady(time: np.ndarray, groups: int = 1) -> BonePoses:
    """A head that rotates and moves at constant speed."""
    seconds = torch.from_numpy(time)[:, None, None].expand(-1, groups, -1)
    turn = axis_angle_to_matrix(seconds * torch.tensor([0.1, 0.5, -0.2], dtype=torch.float64))
    return BonePoses(turn, seconds * torch.tensor([0.05, -0.02, 0.1], dtype=torch.float64) - 0.6)


def fit_of(poses: BonePoses, information: Tensor, pivots: Tensor | None = None) -> PoseFit:
    """A fit with the same `information` [D,D] for every state."""
    none = torch.zeros(len(poses), dtype=torch.float64)
    if pivots is None:
        pivots = torch.zeros(poses.rotation.shape[1], 3, dtype=torch.float64)
    return PoseFit(poses, pivots, information.double().expand(len(poses), -1, -1), none, none, 0)


def noisy(poses: BonePoses, degrees: float = 0.3, meters: float = 1e-3) -> BonePoses:
    source = torch.Generator().manual_seed(0)
    step = torch.randn(len(poses), 6, generator=source, dtype=torch.float64)
    step[:, :3] *= np.radians(degrees)
    step[:, 3:] *= meters
    return poses.after_motion(step, poses.translation)


#: Information of some thousand pixels: rotation to a degree, translation to a millimeter or two.
SOME = torch.diag(torch.tensor([3e3] * 3 + [3e5] * 3))


def test_noise_is_reduced() -> None:
    shaky = noisy(steady(EVEN))
    before, after = (
        jitter(each, EVEN) for each in (shaky, smooth_poses(fit_of(shaky, SOME), np.ones(COUNT), EVEN, OPTIONS))
    )
    assert all(after[name] < before[name] / 3 for name in before)


def test_smoothed_poses_are_nearer_to_the_truth() -> None:
    truth = steady(EVEN)
    shaky = noisy(truth)
    smooth = smooth_poses(fit_of(shaky, SOME), np.ones(COUNT), EVEN, OPTIONS)
    before, after = ((each.translation - truth.translation).norm() for each in (shaky, smooth))
    assert after < 0.7 * before


def test_steady_motion_is_kept_at_uneven_time_steps() -> None:
    truth = steady(UNEVEN)
    smooth = smooth_poses(fit_of(truth, SOME), np.ones(COUNT), UNEVEN, OPTIONS)
    torch.testing.assert_close(smooth.translation, truth.translation, rtol=0, atol=1e-8)
    assert matrix_to_axis_angle(smooth.rotation @ truth.rotation.transpose(-1, -2)).norm(dim=-1).max() < 1e-6


def test_certain_poses_are_not_smoothed() -> None:
    shaky = noisy(steady(EVEN))
    smooth = smooth_poses(fit_of(shaky, 1e12 * torch.eye(6)), np.ones(COUNT), EVEN, OPTIONS)
    torch.testing.assert_close(smooth.translation, shaky.translation, rtol=0, atol=1e-5)


def test_a_state_without_trust_follows_its_neighbors() -> None:
    truth, trust = steady(EVEN), np.ones(COUNT)
    trust[7] = 0
    wrong = truth.translation.clone()
    wrong[7] += 0.1
    smooth = smooth_poses(fit_of(BonePoses(truth.rotation, wrong), SOME), trust, EVEN, OPTIONS)
    assert (smooth.translation - truth.translation).norm(dim=-1).max() < 1e-3


def test_two_states_are_returned_unchanged() -> None:
    few = BonePoses(*(each[:2] for each in (steady(EVEN).rotation, steady(EVEN).translation)))
    assert smooth_poses(fit_of(few, SOME), np.ones(2), EVEN[:2], OPTIONS) is few


def test_a_torso_is_smoothed_about_its_pivot() -> None:
    # Regression: the information is for the base of the neck, but smoothing used it for the origin of the frame, 15 cm
    # above: smoothing the rotation of a torso then moved its base.
    pivots = torch.tensor([[0.0, 0.0, 0.0], [0.0, -0.15, -0.05]], dtype=torch.float64)
    truth = steady(EVEN, groups=2)
    step = torch.zeros(COUNT, 12, dtype=torch.float64)
    step[:, 6:9] = 0.02 * torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    base = truth.about(pivots).translation
    shaky = truth.after_motion(step, base)
    held = torch.diag(torch.tensor([3e3] * 3 + [3e5] * 3 + [1.0] * 3 + [1e9] * 3))
    smooth = smooth_poses(fit_of(shaky, held, pivots), np.ones(COUNT), EVEN, OPTIONS)
    assert (smooth.about(pivots).translation - base)[:, 1].norm(dim=-1).max() < 2e-4


def test_jitter_of_a_steady_motion_is_zero_at_uneven_steps() -> None:
    assert max(jitter(steady(UNEVEN), UNEVEN).values()) < 1e-6


def test_jitter_is_the_distance_from_the_mean_of_the_neighbors() -> None:
    poses = steady(EVEN)
    bumpy = poses.translation.clone()
    bumpy[::2, :, 2] += 0.01
    assert abs(jitter(BonePoses(poses.rotation, bumpy), EVEN)["depth_cm"] - 1.0) < 1e-6
