"""Tracked frames as parameters of the head model, and quality statistics of the track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from avatar.geometry.block_banded import difference_weights
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT
from capture.tracker.clip import ClipTrack, Observations, Person
from capture.tracker.gaze import eye_rotations
from capture.tracker.indices import EYES, LIPS, OVAL
from capture.tracker.problem import State
from capture.tracker.smooth import accelerations


def track_arrays(
    head: HeadModel, person: Person, numbers: np.ndarray, observations: Observations, track: ClipTrack, is_test: bool
) -> dict[str, np.ndarray]:
    """The arrays of track.npz (avatar.data.capture_folder.TRACK_ARRAYS).

    Args:
        head: the head model.
        person: identity and camera.
        numbers: frame numbers [T] in the video.
        observations: landmarks of these frames.
        track: the tracked frames.
        is_test: whether the frames are held out.
    """
    count = len(observations)
    rotation = torch.from_numpy(np.stack([state.rotation for state in track.states]))
    offset = torch.from_numpy(np.stack([state.translation for state in track.states]))
    identity = torch.from_numpy(person.identity).to(head.v_template.dtype)
    expression = np.zeros((count, len(head.expression_names)))
    expression[:, person.model.columns] = np.stack([state.expression for state in track.states])
    joint_rot = np.zeros((count, len(JOINT_NAMES), 3))
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation).numpy()
    joint_rot[:, LEFT_EYE] = joint_rot[:, RIGHT_EYE] = eye_rotations(track.gaze)
    root = head.joint_locations(identity)[ROOT].double()
    error = np.nanmean(track.reprojection, 1)
    return {
        "frame_number": np.asarray(numbers, dtype=np.int64),
        "time": observations.time,
        "is_test": np.full(count, is_test),
        "identity": person.identity,
        "expression": expression,
        "joint_rot": joint_rot,
        "translation": (offset - root + rotation @ root).numpy(),
        "landmarks": observations.points.astype(np.float32),
        "landmark_spread": observations.spread.astype(np.float32),
        "confidence": observations.presence / (1 + (error / 0.06) ** 2),
        "reprojection": error,
    }


def quality(person: Person, observations: Observations, track: ClipTrack) -> dict[str, Any]:
    """Reprojection (percent of the inter-ocular distance) and jitter of training frames, before and after smoothing."""
    error = 100 * track.reprojection
    return {
        "reprojection_percent_iod": {
            "median": float(np.median(np.nanmean(error, 1))),
            "all": float(np.nanmean(error)),
            "lips": float(np.nanmean(error[:, LIPS])),
            "eyes": float(np.nanmean(error[:, EYES])),
            "oval": float(np.nanmean(error[:, OVAL])),
        },
        "inter_ocular_px": person.inter_ocular,
        "jitter_per_frame": jitter(track.unsmoothed_states, observations.time),
        "jitter": jitter(track.states, observations.time),
        "key_frames": [int(row) for row in person.key_frames],
    }


def jitter(states: Sequence[State], time: np.ndarray) -> dict[str, float]:
    """Root mean square distance of each frame from the mean of its neighbors, at 30 frames/s."""
    if len(states) < 3:
        return {"rotation_deg": 0.0, "sideways_cm": 0.0, "depth_cm": 0.0, "expression": 0.0}
    half = accelerations(states, difference_weights(time)[0]) / 2
    rms = np.sqrt((half * half).mean(0))
    return {
        "rotation_deg": float(np.degrees(rms[:3].mean())),
        "sideways_cm": float(100 * rms[3:5].mean()),
        "depth_cm": float(100 * rms[5]),
        "expression": float(rms[6:].mean()),
    }
