"""Learning the torso's pose from its motion in the image, and using it for frames of the same capture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import HeadStates
from avatar.geometry.ridge import cross_validate, ridge
from avatar.model.avatar import Avatar
from avatar.model.parts.person import TorsoRegression
from avatar.model.to_device import to_device
from avatar.types import TorsoPose

#: Confidence from which on a frame is used to learn.
_CONFIDENT = 0.7
#: Fewer frames are not enough to learn from.
_MIN_FRAMES = 16
#: A smaller damping is preferred up to this increase of the squared error: held-out frames show the torso farther from
#: its mean than training frames, and dampings that fit those about as well differ by a third of the motion there.
_DAMPING_SLACK = 0.15
#: Of the six numbers of a motion, those that an image shows: roll, to the side, up.
_IN_IMAGE = slice(2, 5)
#: Inputs are limited to this factor of those of the training frames.
_SLACK = 1.3


def measured_motion(capture: Capture, indices: np.ndarray) -> tuple[Tensor, Tensor]:
    """Motion of the torso in the image [S,6] and its confidence [S] at the time steps of the images `indices`."""
    rows = indices[np.unique(capture.track["time_step"][indices], return_index=True)[1]]
    motion, confidence = (capture.track[name][rows] for name in ("torso_motion", "torso_confidence"))
    return torch.from_numpy(motion.astype(np.float32)), torch.from_numpy(confidence.astype(np.float32))


@torch.no_grad()
def learn_torso_regression(avatar: Avatar, capture: Capture, states: HeadStates, flagged: Tensor) -> None:
    """Fit the avatar's torso regression to refined poses of the training frames.

    The ridge is chosen by blocked cross-validation. Without a measured torso, or where the torso map predicts what an
    image shows of left-out blocks better, the avatar gets none.

    Args:
        avatar: the avatar, whose torso map was learned from the same states.
        capture: the capture of its training frames.
        states: [S] refined states of the training time steps.
        flagged: [S] bool, failed refinements.
    """
    avatar.remove_part(TorsoRegression)
    image_motion, confidence = measured_motion(capture, capture.train_indices)
    used = (confidence >= _CONFIDENT) & ~flagged
    if states.torso is None or int(used.sum()) < _MIN_FRAMES:
        return
    torso = avatar.rig.torso
    target = torso.motion_of_pose(states.torso).double()[used]
    features = TorsoRegression.features(image_motion).double()[used]
    mapped = torso.features(states.rotation, states.translation).double()[used]
    measured = cross_validate(features, target, slack=_DAMPING_SLACK)
    by_map = cross_validate(mapped, target)
    if measured.squares[_IN_IMAGE].sum() >= by_map.squares[_IN_IMAGE].sum():
        return
    weight = ridge(features, target, measured.damping).T
    limit = features.abs().amax(0) * _SLACK + 1e-3
    avatar.add_part(TorsoRegression(capture.fingerprint, weight.float().contiguous(), limit.float()))


@torch.no_grad()
def with_measured_torso(avatar: Avatar, capture: Capture, indices: np.ndarray, states: HeadStates) -> HeadStates:
    """States of tracked frames with the torso where the image shows it.

    They are unchanged if the avatar has no regression or was trained on another capture.

    Args:
        avatar: the avatar.
        capture: the capture of the frames.
        indices: [n] int, images.
        states: [S] of their time steps.
    """
    torso = measured_torso(avatar, capture, indices, states.rotation, states.translation)
    return states if torso is None else replace(states, torso=torso)


@torch.no_grad()
def measured_torso(
    avatar: Avatar, capture: Capture, indices: np.ndarray, rotation: Tensor, translation: Tensor
) -> TorsoPose | None:
    """Poses of the torso [S] at the time steps of some images; None: those of the torso map are used.

    Args:
        avatar: the avatar.
        capture: the capture of the frames.
        indices: [n] int, images.
        rotation: [S,3,3] of the skull at their time steps.
        translation: [S,3] meters.
    """
    regression = avatar.part(TorsoRegression)
    if regression is None or regression.capture != capture.fingerprint:
        return None
    measured = to_device(measured_motion(capture, indices), rotation.device)
    return avatar.rig.torso.pose(regression.blended_motion(avatar.rig.torso, *measured, rotation, translation))
