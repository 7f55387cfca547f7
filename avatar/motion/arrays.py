"""A motion in NumPy, as the readers of files make it: reading and describing a motion needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.geometry.numpy_rotations import quat_multiply, rotvec_to_quat
from avatar.types import NECK, ROOT, Motion, Resting, mean_rate

Floats = NDArray[np.floating]

#: A step between frames is a gap if it is longer than this many median steps and than this many seconds.
GAP_STEPS = 2.5
GAP_SECONDS = 0.1


@dataclass(frozen=True)
class MotionArrays:
    """The fields of `avatar.types.Motion` as arrays: `time` float64, all others float32."""

    time: NDArray[np.float64]  # [T]
    names: tuple[str, ...]
    weights: Floats  # [T,E]
    space: str
    joint_rot: Floats  # [T,J,3]
    translation: Floats  # [T,3]
    confidence: Floats | None = None  # [T]
    notes: tuple[str, ...] = ()
    resting: Resting = "find"

    def __len__(self) -> int:
        return len(self.time)

    @property
    def rate(self) -> float:
        """Mean frame rate in frames per second; 30 for a motion of one frame."""
        return mean_rate(self.time)

    def to_motion(self) -> Motion:
        """The motion as tensors, which share memory with the arrays."""
        import torch

        return Motion(
            time=torch.from_numpy(self.time),
            names=self.names,
            weights=torch.from_numpy(self.weights),
            space=self.space,
            joint_rot=torch.from_numpy(self.joint_rot),
            translation=torch.from_numpy(self.translation),
            confidence=None if self.confidence is None else torch.from_numpy(self.confidence),
            notes=self.notes,
            resting=self.resting,
        )


def head_quat(joint_rot: Floats) -> Floats:
    """Rotation [T,4] of the head in the world from joints [T,J,3]: a file may split it between root and neck."""
    return quat_multiply(rotvec_to_quat(joint_rot[:, ROOT]), rotvec_to_quat(joint_rot[:, NECK]))


def gaps_between(times: Floats, start: float = 0.0, end: float = float("inf")) -> list[tuple[float, float]]:
    """Find gaps between frames.

    Args:
        times: [T] seconds, increasing.
        start: gaps that end before are omitted, seconds after the first frame.
        end: gaps that start at or after are omitted, seconds after the first frame.

    Returns:
        Start in seconds after the first frame and duration in seconds of each gap, in order.
    """
    if len(times) < 3:
        return []
    steps = np.diff(times)
    long = steps > max(GAP_STEPS * float(np.median(steps)), GAP_SECONDS)
    found = [(float(times[row] - times[0]), float(steps[row])) for row in np.flatnonzero(long)]
    return [(begin, length) for begin, length in found if begin < end and begin + length > start]
