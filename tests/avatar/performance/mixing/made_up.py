"""Motions for the tests of layers: a mouth that talks with closures, and loaders that need no files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.performance.mixing.presets import preset_named
from avatar.performance.mixing.regions import NAMES
from avatar.performance.mixing.sources import Loaders
from avatar.types import ROOT, Motion, Resting


def motion_of(
    weights: Mapping[str, np.ndarray], fps: float = 30.0, names: tuple[str, ...] = ARKIT_52, made: bool = True
) -> Motion:
    """A motion with the named weights [T], all others 0; `made`: its zero is the resting face."""
    frames = len(next(iter(weights.values())))
    table = torch.zeros(frames, len(names))
    for name, values in weights.items():
        table[:, names.index(name)] = torch.from_numpy(np.asarray(values, np.float32))
    time = torch.arange(frames, dtype=torch.float64) / fps
    resting: Resting = "zero" if made else "find"
    return Motion(time, names, table, "arkit52", torch.zeros(frames, 5, 3), torch.zeros(frames, 3), resting=resting)


def talking(seconds: float = 4.0, fps: float = 30.0, rate: float = 2.5, seed: int = 0) -> Motion:
    """A mouth that opens and closes `rate` times a second, with brows and head that move."""
    times = np.arange(round(seconds * fps) + 1) / fps
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 2 * np.pi)
    opening = np.clip(np.sin(2 * np.pi * rate * times + phase) + 0.3, 0, None) / 1.3
    found = motion_of(
        {
            "jawOpen": 0.3 * opening,
            "mouthLowerDownLeft": 0.2 * opening,
            "mouthLowerDownRight": 0.2 * opening,
            "mouthPressLeft": 0.3 * (opening == 0),
            "browInnerUp": random.random(len(times)),
            "eyeBlinkLeft": random.random(len(times)),
        },
        fps,
    )
    found.joint_rot[:, ROOT, 1] = torch.from_numpy(0.2 * np.sin(times)).float()
    found.translation[:, 0] = torch.from_numpy(0.01 * np.sin(times)).float()
    return found


def column(motion: Motion, name: str) -> np.ndarray:
    """The weights [T] of one expression."""
    return motion.weights[:, motion.names.index(name)].double().numpy()


def padded(motion: Motion) -> np.ndarray:
    """The weights [T,len(NAMES)] of a motion."""
    table = np.zeros((len(motion), len(NAMES)))
    for name in motion.names:
        table[:, NAMES.index(name)] = column(motion, name)
    return table


def loaders(motions: Mapping[str, Motion], photo: Mapping[str, float] | None = None) -> Loaders:
    """Loaders of motions by file name; words are presets."""

    def emotion(text: str) -> Mapping[str, float]:
        preset = preset_named(text.split()[-1])
        assert preset is not None
        return preset.weights

    def found(path: Path, *_: object) -> Motion:
        return motions[path.name]

    return Loaders(found, lambda path: photo or {}, found, emotion)
