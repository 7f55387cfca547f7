"""A tracked capture as a motion: expressions and head pose without the identity."""

from __future__ import annotations

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.types import NECK, ROOT, Motion


def motion_of(capture: Capture, head: HeadModel, *, pixels: bool = False) -> Motion:
    """The motion of `capture`, one frame per time step; frames of several cameras share their time step's.

    Args:
        capture: a finished capture.
        head: the head model it was tracked with (not baked).
        pixels: change the expressions of the landmarks by what the pixels show, for readings. An avatar follows the
            landmarks better: it has been trained with their expressions.

    Returns:
        The motion in the head's expression space.
    """
    rows = first_rows(capture)
    params = capture.params(rows)
    rotation, offset = head.skull_pose(params)
    joint_rot = params.joint_rot.clone()
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation)
    joint_rot[:, NECK] = 0
    expression = params.expression
    if pixels:
        low, high = head.expression_limits.to(expression)
        change = torch.from_numpy(np.asarray(capture.track["expression_change"][rows], np.float32))
        expression = (expression + change).maximum(low).minimum(high)
    return Motion(
        time=torch.from_numpy(np.asarray(capture.track["time"][rows], np.float64)),
        names=head.expression_names,
        weights=expression,
        space=space_of(head),
        joint_rot=joint_rot,
        translation=rotation @ head.joint_locations(params.identity)[NECK] + offset,
        confidence=torch.from_numpy(np.asarray(capture.track["confidence"][rows], np.float32)),
    )


def first_rows(capture: Capture) -> np.ndarray:
    """The first row [T] of each time step of `capture`; with several cameras a time step has several rows."""
    return np.unique(capture.track["time_step"], return_index=True)[1]


def space_of(head: HeadModel) -> str:
    """The name of the expression space of `head` in motions."""
    if "arkit" in head.capabilities:
        return "arkit52"
    return "flame" if head.expression_names[:1] == ("expr0",) else head.name
