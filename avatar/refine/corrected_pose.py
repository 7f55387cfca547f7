"""Learning the error of the tracked skull pose from the refinement, and removing it in frames of the same capture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates
from avatar.geometry.ridge import cross_validate, ridge
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.model.avatar import Avatar
from avatar.model.parts.person import PoseCorrector
from avatar.types import JAW, NECK, ROOT, HeadParams

#: Principal components of the landmarks.
_COMPONENTS = 24
#: Inputs are limited to the range of the training frames, wider by this fraction of it on each side.
_SLACK = 0.15
#: Fewer frames are not enough to learn from.
_MIN_FRAMES = 64
#: Scales of the inputs, which the ridge weighs against each other: expressions, products of pose numbers. The first
#: landmark component has the standard deviation 1.
_EXPRESSION_SCALE = 0.5
_SQUARE_SCALE = 2.0
#: A typical distance of the outline, so that inputs are around zero.
_OUTLINE = 1.5
#: Scales of the outputs: rotations of 0.1 rad and translations of 1 cm count the same.
_TURN = 0.1
_SHIFT = 0.01


@torch.no_grad()
def learn_pose_corrector(
    avatar: Avatar, capture: Capture, tracked: HeadStates, refined: HeadStates, flagged: Tensor
) -> None:
    """Fit the avatar's pose corrector to refined minus tracked poses of the training frames.

    Each of the six outputs counts as far as blocked cross-validation predicts it. Where it predicts none, with too few
    frames and with several cameras the avatar gets no corrector.

    Args:
        avatar: the avatar.
        capture: the capture of its training frames.
        tracked: [S] states of the training time steps from the tracker.
        refined: [S] refined states.
        flagged: [S] bool, failed refinements.
    """
    avatar.remove_part(PoseCorrector)
    pose = tracked.rotation, tracked.translation
    state, landmarks, known = _observations(avatar, capture, capture.train_indices, tracked.params, *pose)
    used = known & ~flagged
    if int(used.sum()) < _MIN_FRAMES or len(capture.metadata["cameras"]) > 1:
        return
    mean = landmarks[used].mean(0)
    _, spread, axes = torch.linalg.svd(landmarks[used] - mean, full_matrices=False)
    basis = axes[:_COMPONENTS].T / (spread[0] / int(used.sum()) ** 0.5).clamp_min(1e-6)
    features = torch.cat([state, (landmarks - mean) @ basis], -1)[used].double()
    turn = matrix_to_axis_angle(tracked.rotation.transpose(1, 2) @ refined.rotation) / _TURN
    target = torch.cat([turn, (refined.translation - tracked.translation) / _SHIFT], -1)[used].double()
    fit = cross_validate(features, target)
    if not bool((fit.gate > 0).any()):
        return
    weight = ridge(features, target, fit.damping) * fit.gate * target.new_tensor([_TURN] * 3 + [_SHIFT] * 3)
    low = features.amin(0)
    high = features.amax(0)
    slack = _SLACK * (high - low)
    stored = (mean, basis, low - slack, high + slack, weight.T)
    avatar.add_part(PoseCorrector(capture.fingerprint, *(value.float().contiguous() for value in stored)))


@torch.no_grad()
def with_corrected_pose(avatar: Avatar, capture: Capture, indices: np.ndarray, states: HeadStates) -> HeadStates:
    """States of tracked frames with the skull's pose corrected.

    They are unchanged if the avatar has no corrector or was trained on another capture.

    Args:
        avatar: the avatar.
        capture: the capture of the frames.
        indices: [n] int, images.
        states: [S] of their time steps, from the tracker.
    """
    rotation, translation = _correct(avatar, capture, indices, states.params, states.rotation, states.translation)
    return replace(states, rotation=rotation.contiguous(), translation=translation.contiguous())


@torch.no_grad()
def corrected_params(avatar: Avatar, capture: Capture, indices: np.ndarray, params: HeadParams) -> HeadParams:
    """Head parameters [S] of tracked frames with the skull's pose corrected; the pose is then that of the root alone.

    They are unchanged if the avatar has no corrector or was trained on another capture.

    Args:
        avatar: the avatar.
        capture: the capture of the frames.
        indices: [n] int, images.
        params: [S] of their time steps, from the tracker.
    """
    if not _is_of(avatar.part(PoseCorrector), capture):
        return params
    params = avatar.with_identity(params)
    rotation, translation = _correct(avatar, capture, indices, params, *avatar.head.skull_pose(params))
    joint_rot = params.joint_rot.clone()
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[:, NECK] = 0
    root = avatar.head.root_translation(params.identity, rotation, translation)
    return replace(params, joint_rot=joint_rot, translation=root)


def _is_of(corrector: PoseCorrector | None, capture: Capture) -> bool:
    return corrector is not None and corrector.capture == capture.fingerprint


def _correct(
    avatar: Avatar, capture: Capture, indices: np.ndarray, params: HeadParams, rotation: Tensor, translation: Tensor
) -> tuple[Tensor, Tensor]:
    """Corrected poses of the skull [S,3,3], [S,3]; unchanged without a corrector of this capture."""
    corrector = avatar.part(PoseCorrector)
    if corrector is None or not _is_of(corrector, capture):
        return rotation, translation
    state, landmarks, known = _observations(avatar, capture, indices, params, rotation, translation)
    return corrector.correct(corrector.features(state, landmarks), rotation, translation, known)


def _observations(
    avatar: Avatar, capture: Capture, indices: np.ndarray, params: HeadParams, rotation: Tensor, translation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the tracker found at S time steps.

    Args:
        avatar: gives the mean pose.
        capture: the capture of the frames.
        indices: [n] int, images.
        params: [S] of their time steps, from the tracker.
        rotation: [S,3,3] of the skull.
        translation: [S,3] meters.

    Returns:
        1, pose, products of its numbers, expressions, rotations of jaw and eyes, outline [S,D]; the landmarks in skull
        axes [S,P]; and which time steps have landmarks [S].
    """
    rows = indices[np.unique(capture.track["time_step"][indices], return_index=True)[1]]
    pose = avatar.rig.torso.features(rotation, translation)
    first, second = torch.triu_indices(6, 6, device=pose.device) + 1
    state = torch.cat(
        [
            pose,
            _SQUARE_SCALE * pose[:, first] * pose[:, second],
            params.expression * _EXPRESSION_SCALE,
            params.joint_rot[:, JAW:].flatten(1),
            torch.from_numpy(capture.track["head_outline"][rows].astype(np.float32)).to(pose.device) - _OUTLINE,
        ],
        -1,
    )
    points = torch.from_numpy(capture.track["landmarks"][rows].astype(np.float32)).to(pose.device)
    known = points.isfinite().all(-1).all(-1)
    points = torch.where(known[:, None, None], points, 0.0)
    centered = points - points.mean(1, keepdim=True)
    size = centered[..., :2].norm(dim=-1).mean(1)[:, None, None].clamp_min(1e-6)
    turned = (centered / size * centered.new_tensor([1.0, -1.0, -1.0])) @ rotation
    return state, turned.flatten(1), known
