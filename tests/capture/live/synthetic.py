"""A synthetic motion in which everything moves, with gaze in weights and angles; and a source of given samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from avatar.driving.live.samples import SourceStats
from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT, Motion
from capture.live import Sample


def synthetic_motion(frames: int = 60, fps: float = 60.0, seed: int = 0) -> Motion:
    """T frames at `fps` from 0 s on; the weights of any two frames differ."""
    random = np.random.default_rng(seed)
    time = np.arange(frames) / fps
    rates, phases = random.uniform(0.5, 3, 58), random.uniform(0, 6, 58)
    waves = np.sin(2 * np.pi * time[:, None] * rates + phases)  # [T,58] -1..1
    joints = np.zeros((frames, 5, 3))
    joints[:, ROOT] = 0.5 * waves[:, 52:55]
    joints[:, LEFT_EYE, 1], joints[:, RIGHT_EYE, 0] = 0.2 * waves[:, 0], 0.2 * waves[:, 1]
    return Motion(
        time=torch.from_numpy(time),
        names=ARKIT_52,
        weights=torch.from_numpy(0.5 + 0.45 * waves[:, :52]).float(),
        space="arkit52",
        joint_rot=torch.from_numpy(joints).float(),
        translation=torch.from_numpy([0, 0, -0.6] + 0.1 * waves[:, 55:58]).float(),
    )


class QueueSource:
    """A pose source that returns the sample that a test sets."""

    name = "queue"

    def __init__(self, before: Sequence[Sample] = ()) -> None:
        self.sample: Sample | None = None
        self.before = before

    def start(self) -> None:
        """Nothing to start."""

    def earlier(self) -> Sequence[Sample]:
        return self.before

    def latest(self) -> Sample | None:
        sample, self.sample = self.sample, None
        return sample

    def stop(self) -> None:
        """Nothing to stop."""

    def stats(self) -> SourceStats:
        return {}
