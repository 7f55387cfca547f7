"""A made-up take: all weights move, the head turns and travels, the eyes' angles say their weights once more; and an
input that gives what it is handed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT, Motion
from capture.live import Sample


def made_up_take(frames: int = 60, fps: float = 60.0, seed: int = 0) -> Motion:
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


class Handed:
    """An input that gives what it was handed."""

    name = "handed"

    def __init__(self, before: Sequence[Sample] = ()) -> None:
        self.sample: Sample | None = None
        self.before = before

    def start(self) -> None:
        """Nothing to begin."""

    def earlier(self) -> Sequence[Sample]:
        return self.before

    def latest(self) -> Sample | None:
        sample, self.sample = self.sample, None
        return sample

    def stop(self) -> None:
        """Nothing to end."""

    def stats(self) -> dict[str, object]:
        return {}
