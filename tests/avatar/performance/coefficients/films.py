"""Drawn films: a motion, and the coefficients that another program would write of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from avatar.head.arkit import ARKIT_52
from avatar.types import ROOT, Motion
from tests.avatar.motion.files.small import motion

RATE = 30


def film(frames: int = 240, seed: int = 0) -> Motion:
    """A face that moves smoothly, with 12 expressions and a head that nods and travels."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / RATE
    moves = [np.sin(time[:, None] * rng.uniform(1, 9, 14) + rng.uniform(0, 6, 14)) for _ in range(3)]
    smooth = 0.5 + 0.17 * sum(moves)
    made = replace(motion(frames, ARKIT_52[:12]), confidence=None, notes=())
    turn = torch.zeros_like(made.joint_rot)
    turn[:, ROOT, 0] = torch.from_numpy(0.3 * smooth[:, 12]).float()
    place = torch.zeros(frames, 3)
    place[:, 0] = torch.from_numpy(0.1 * smooth[:, 13]).float()
    weights = torch.from_numpy(smooth[:, :12].clip(0, 1)).float()
    return replace(made, weights=weights, joint_rot=turn, translation=place)


def rig(made: Motion, seed: int = 1, count: int = 30, noise: float = 0.01, pose: bool = True) -> np.ndarray:
    """Coefficients [T,count] of a film: the same faces, mixed, in another unit; with or without the head's pose."""
    rng = np.random.default_rng(seed)
    parts = [made.weights.numpy(), 3 * made.joint_rot[:, ROOT].numpy(), 10 * made.translation.numpy()]
    faces = np.concatenate(parts if pose else parts[:1], 1)
    mixed = faces @ rng.normal(size=(faces.shape[1], count))
    found: np.ndarray = 100 * (mixed + noise * rng.normal(size=mixed.shape)) + 7
    return found


def rig_file(path: Path, made: Motion, **more: np.ndarray) -> Path:
    """The coefficients of a film as an .npz with times."""
    np.savez(path, exp=rig(made), timestamps=made.time.numpy(), **more)
    return path
