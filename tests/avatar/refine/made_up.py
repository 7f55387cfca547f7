"""Artificial errors of tracking, and their measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

#: The tiny head rotates by 20 degrees and back in 0.8 s, much faster than the smoothness prior expects.
SLOWER = 5.0


def first(frames: TrainingFrames, count: int) -> TrainingFrames:
    """The first `count` images of frames of one camera, with times multiplied by SLOWER."""
    rows = torch.arange(count)
    return replace(
        frames,
        rgb=frames.rgb[rows],
        alpha=frames.alpha[rows],
        camera=frames.views(rows),
        states=frames.states[rows],
        step=rows,
        time=SLOWER * frames.time[:count],
        weight=frames.weight[rows],
    )


def wrong(states: HeadStates, degrees: float, side: float = 0.004, depth: float = 0.015, seed: int = 0) -> HeadStates:
    """`states` with errors of the pose: `degrees` about random axes, `side` and `depth` meters of random sign."""
    source = torch.Generator().manual_seed(seed)
    axis = torch.nn.functional.normalize(torch.randn(len(states), 3, generator=source), dim=-1)
    sign = torch.rand(len(states), 3, generator=source).sub(0.5).sign()
    turn = axis_angle_to_matrix(axis * torch.tensor(degrees).deg2rad())
    shift = sign * torch.tensor([side, side, depth])
    return replace(states, rotation=turn @ states.rotation, translation=states.translation + shift)


@dataclass(frozen=True)
class Distance:
    """Distance of poses from the truth, per state."""

    turn: Tensor  # [S] degrees
    side: Tensor  # [S] meters, parallel to the image of the front camera
    depth: Tensor  # [S] meters

    @staticmethod
    def of(rotation: Tensor, translation: Tensor, truth: HeadStates) -> Distance:
        """Distance of skull poses [S,3,3], [S,3] from those of `truth`."""
        turn = matrix_to_axis_angle(rotation.double() @ truth.rotation.double().transpose(1, 2))
        shift = translation.double() - truth.translation.double()
        return Distance(turn.norm(dim=-1).rad2deg(), shift[:, :2].norm(dim=-1), shift[:, 2].abs())
