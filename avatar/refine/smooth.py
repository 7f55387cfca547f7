"""Smoothing of refined poses of a clip with a prior on acceleration: one block-banded solve per step, on the CPU."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.geometry.block_banded import BlockBandedMatrix, difference_weights
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.model.to_device import to_device
from avatar.refine.controls import Controls
from avatar.refine.options import RefineOptions
from avatar.refine.poses import BonePoses, PoseFit

_STEPS = 3
_MIN_INFORMATION = 1e-9  # of a frame without images


def smooth_poses(
    fit: PoseFit, trust: np.ndarray, time: np.ndarray, options: RefineOptions, z_is_depth: bool = True
) -> BonePoses:
    """Poses [S] of small acceleration near those of `fit`, which count by their information.

    Args:
        fit: poses and their information; the motion of the pivot of each group is smoothed.
        trust: [S] 0..1, factor of the information of each frame.
        time: [S] seconds, increasing; steps may differ.
        options: weight of the images and standard deviations.
        z_is_depth: True if all cameras look along the world's z axis, whose position is then smoothed more weakly;
            False: translations along all axes are smoothed alike.
    """
    if len(fit.poses) < 3:
        return fit.poses
    device = fit.cost.device
    fit = to_device(fit, torch.device("cpu"))
    measured = poses = fit.poses.about(fit.pivots)
    groups = measured.rotation.shape[1]
    sideways = options.smooth_shift if z_is_depth else options.smooth_depth
    sigma = [options.smooth_turn] * 3 + [sideways] * 2 + [options.smooth_depth]
    precision = np.tile(1 / np.square(sigma), groups)
    information = (options.smooth_data * fit.information * torch.from_numpy(trust)[:, None, None]).numpy()
    information = information + _MIN_INFORMATION * np.eye(6 * groups)
    for _ in range(_STEPS):
        chain = BlockBandedMatrix.zeros(len(poses), 6 * groups)
        chain.diagonal[:] = information
        change = _difference(poses, measured).numpy()
        gradient = (information @ change[..., None])[..., 0]
        chain.add_acceleration(gradient, accelerations(poses, time), time, precision)
        step = -chain.solve(gradient)
        poses = poses.after_motion(torch.from_numpy(step), poses.translation)
        if np.abs(step).max() < 1e-6:
            break
    return to_device(poses.about(-fit.pivots), device)


def smooth_controls(
    values: Tensor, information: Tensor, trust: np.ndarray, time: np.ndarray, controls: Controls, data: float
) -> Tensor:
    """Controls [S,P] of small acceleration near `values`, which count by `data` x `trust` x `information`.

    Args:
        values: [S,P] refined controls.
        information: [S,P,P] Hessian of their cost.
        trust: [S] 0..1, factor of the information of each frame.
        time: [S] seconds, increasing.
        controls: standard deviations and limits.
        data: weight of the images against smoothness.
    """
    if len(values) < 3:
        return values
    measured = values.double().cpu().numpy()
    chain = BlockBandedMatrix.zeros(*measured.shape)
    weight = data * trust[:, None, None]
    chain.diagonal[:] = weight * information.double().cpu().numpy() + 1e-3 * np.eye(measured.shape[1])
    coefficients = difference_weights(time)[0]
    count = len(measured) - 2
    residual = sum(coefficients[:, k : k + 1] * measured[k : k + count] for k in range(3))
    gradient = np.zeros_like(measured)
    chain.add_acceleration(gradient, np.asarray(residual), time, 1 / controls.sigma.double().square().cpu().numpy())
    smooth = torch.from_numpy(measured - chain.solve(gradient)).float().to(values.device)
    return torch.maximum(torch.minimum(smooth, controls.high), controls.low)


def accelerations(poses: BonePoses, time: np.ndarray) -> np.ndarray:
    """Second differences [S-2,6 G] of poses (radians, meters); rotations as tangent vectors at the middle frame."""
    coefficients = torch.from_numpy(difference_weights(time)[0])[:, :, None, None]
    middle = poses.rotation[1:-1].transpose(-1, -2)
    turn = coefficients[:, 0] * matrix_to_axis_angle(poses.rotation[:-2] @ middle)
    turn = turn + coefficients[:, 2] * matrix_to_axis_angle(poses.rotation[2:] @ middle)
    count = len(poses) - 2
    shift = sum(coefficients[:, k] * poses.translation[k : k + count] for k in range(3))
    return torch.cat([turn, torch.as_tensor(shift)], -1).flatten(1).numpy()


def jitter(poses: BonePoses, time: np.ndarray) -> dict[str, float]:
    """Root mean square distance of the skull's pose from the mean of its two neighbors, at 30 fps."""
    if len(poses) < 3:
        return {"rotation_deg": 0.0, "sideways_cm": 0.0, "depth_cm": 0.0}
    poses = to_device(poses, torch.device("cpu"))
    rms = np.sqrt(np.square(accelerations(poses, time)[:, :6] / 2).mean(0))
    return {
        "rotation_deg": float(np.degrees(rms[:3].mean())),
        "sideways_cm": float(100 * rms[3:5].mean()),
        "depth_cm": float(100 * rms[5]),
    }


def _difference(poses: BonePoses, other: BonePoses) -> Tensor:
    """The motion [S,6 G] from `other` to `poses`: rotations (rad), translations (m)."""
    turn = matrix_to_axis_angle(poses.rotation @ other.rotation.transpose(-1, -2))
    return torch.cat([turn, poses.translation - other.translation], -1).flatten(1)
