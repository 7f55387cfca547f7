"""Acted motions for tests: faces, blinks, head gestures and speech at known times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.emotions import EmotionReader
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader
from avatar.types import JOINT_NAMES, ROOT, Motion

TABLE = FacsTable.load()
FPS = 30.0


def pulse(time: np.ndarray, start: float, end: float) -> np.ndarray:
    """A smooth rise, hold and fall from 0 to 1 to 0 between two times."""
    edge = (end - start) / 3
    level = np.clip(np.minimum((time - start) / edge, (end - time) / edge), 0, 1)
    return np.asarray(level * level * (3 - 2 * level))


class Acted:
    """Collects what a face does, and makes a motion of it."""

    def __init__(self, seconds: float, fps: float = FPS) -> None:
        self.time = np.arange(round(seconds * fps)) / fps
        self.weights = np.zeros((len(self.time), 52))
        self.joint_rot = np.zeros((len(self.time), len(JOINT_NAMES), 3))
        self.confidence = np.ones(len(self.time))

    def add(self, weights: Mapping[str, float], start: float, end: float) -> Acted:
        """Weights by name between two times."""
        for name, weight in weights.items():
            self.weights[:, ARKIT_52.index(name)] += weight * pulse(self.time, start, end)
        return self

    def face(self, name: str, start: float, end: float, intensity: float = 0.8) -> Acted:
        """An emotion, or a unit such as AU12."""
        sides = np.zeros((1, len(TABLE.units), 2))
        if name in TABLE.keys:
            sides[0, TABLE.keys.index(name)] = intensity
        else:
            sides[0] = EmotionReader(TABLE).face(name, intensity)
        found = UnitReader(TABLE).weights(sides)[0]
        return self.add({key: float(weight) for key, weight in zip(ARKIT_52, found, strict=True)}, start, end)

    def blink(self, *moments: float, sides: Sequence[str] = ("Left", "Right"), seconds: float = 0.3) -> Acted:
        """Blinks with their middle at the given times."""
        for at in moments:
            self.add({f"eyeBlink{side}": 1.0 for side in sides}, at - seconds / 2, at + seconds / 2)
        return self

    def swing(self, axis: int, degrees: float, start: float, end: float, hertz: float = 2.0) -> Acted:
        """The head swings about an axis: 0 nods, 1 shakes."""
        wave = np.sin(2 * np.pi * hertz * (self.time - start)) * ((self.time >= start) & (self.time <= end))
        self.joint_rot[:, ROOT, axis] += np.radians(degrees) * wave
        return self

    def speech(self, start: float, end: float, seed: int = 0) -> Acted:
        """Syllables of random vowels, about five a second."""
        random = np.random.default_rng(seed)
        at = start
        while at < end - 0.2:
            shape = {"jawOpen": random.uniform(0.12, 0.35), "mouthLowerDownLeft": 0.2, "mouthLowerDownRight": 0.2}
            shape |= {"mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15} if random.random() < 0.5 else {
                "mouthFunnel": 0.3, "mouthPucker": 0.2}  # fmt: skip
            self.add(shape, at, at + 0.19)
            at += 0.2
        return self

    def motion(self) -> Motion:
        """The motion."""
        return Motion(
            torch.from_numpy(self.time),
            ARKIT_52,
            torch.from_numpy(self.weights.clip(0, 1).astype(np.float32)),
            "arkit52",
            torch.from_numpy(self.joint_rot.astype(np.float32)),
            torch.zeros(len(self.time), 3),
            torch.from_numpy(self.confidence.astype(np.float32)),
        )
