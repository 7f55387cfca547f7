"""Poses of the torso before the first refinement, from its registered motion in the image.

The torso is first taken to be at rest before the camera, at the mean pose of the skull. A camera that pans, or a person
who sways, moves it in the image: to first order, as a rotation about the camera does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.refine.measured_torso import measured_motion
from avatar.training.matte_sampling import mean_pose
from avatar.types import TorsoPose

#: Confidence from which on a motion counts; between such frames it is interpolated in time.
_CONFIDENT = 0.7
#: Range of the motion (5 to 95 %, heights of the face) up to which the refinement finds the torso from rest.
_SMALL = 0.8
_CHIN = 152
_FOREHEAD = 10


def with_initial_torso(capture: Capture, indices: np.ndarray, frames: TrainingFrames) -> TrainingFrames:
    """Training frames with poses of the torso that follow a large motion in the image; unchanged if it is not known.

    Args:
        capture: the capture.
        indices: [n] int, rows of the training frames.
        frames: these frames.
    """
    motion, confidence = (value.double().numpy() for value in measured_motion(capture, indices))
    known = confidence >= _CONFIDENT
    if known.mean() < 0.5:
        return frames
    center = np.stack([np.interp(frames.time, frames.time[known], motion[known, axis]) for axis in (0, 1)], 1)
    if np.ptp(np.quantile(center, [0.05, 0.95], axis=0), axis=0).max() < _SMALL:
        return frames
    landmarks = capture.track["landmarks"][capture.train_indices]
    face = float(np.median(landmarks[:, _CHIN, 1] - landmarks[:, _FOREHEAD, 1]))
    focal = np.array(capture.metadata["cameras"][0]["K"])[[0, 1], [0, 1]]
    angle = np.arctan((center - np.median(center, 0)) * face / focal)
    turn = axis_angle_to_matrix(torch.from_numpy(np.stack([-angle[:, 1], angle[:, 0], 0 * angle[:, 0]], 1)))
    view = frames.camera.world_to_cam[0].double()
    to_camera = view[:3, :3]
    origin = -view[:3, :3].T @ view[:3, 3]
    turn = to_camera.T @ turn @ to_camera
    rotation, translation = (torch.from_numpy(value) for value in mean_pose(frames))
    moved = (turn @ (translation - origin)[:, None])[..., 0] + origin
    torso = TorsoPose((turn @ rotation).float().contiguous(), moved.float().contiguous())
    return replace(frames, states=replace(frames.states, torso=torso))
