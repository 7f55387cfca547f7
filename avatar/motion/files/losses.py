"""Sentences on what a file of motion cannot hold, with the size of it in the motion that is written."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from avatar.common.jsonable import counted
from avatar.types import JAW, NECK, Motion

from .names import listed

Floats = NDArray[np.floating]

#: Weight, rotation (radians) and translation (meters) that nobody sees.
IDLE = 0.01
MIN_ROTATION = 1e-4
_MIN_TRANSLATION = 1e-4


def moving(motion: Motion, chosen: Callable[[str], bool]) -> list[str]:
    """Each chosen expression that moves, with its peak and its frames, the largest first."""
    weights = motion.weights.abs().numpy()
    peaks = weights.max(0, initial=0.0)
    used = [i for i, name in enumerate(motion.names) if chosen(name) and peaks[i] > IDLE]
    return [
        f"{motion.names[i]} (up to {peaks[i]:.2f} in {counted(int((weights[:, i] > IDLE).sum()), 'frame')})"
        for i in sorted(used, key=lambda i: -peaks[i])
    ]


def lost_weights(motion: Motion, stored: Collection[str], why: str = "the file has no columns for") -> list[str]:
    """A message on expressions that are not stored; those that do not move are only named."""
    lost = moving(motion, lambda name: name not in stored)
    gone = {text.split(" (")[0] for text in lost}
    still = [name for name in motion.names if name not in stored and name not in gone]
    notes = [f"{why} {listed(lost)}: dropped"] if lost else []
    return notes + ([f"{why} {listed(still)}: dropped, they do not move"] if still else [])


def lost_translation(motion: Motion) -> list[str]:
    """A message on the travel of the head: its position alone means nothing, see `Motion.translation`."""
    travel = float(np.ptp(motion.translation.numpy(), axis=0).max())
    if travel <= _MIN_TRANSLATION:
        return []
    return [f"the file cannot store the head's translation: dropped, {100 * travel:.1f} cm of travel"]


def merged_neck(joints: Floats) -> list[str]:
    """A message on the neck's rotation in joints [T,J,3] where a file has only the head's."""
    turn = np.linalg.norm(joints[:, NECK], axis=-1)
    found = f"the neck's rotation, up to {np.degrees(turn.max()):.1f} degrees, is merged into the head's"
    return [found] if turn.max() > MIN_ROTATION else []


def lost_rotations(rotations: Floats, what: str) -> list[str]:
    """A message on rotations [T,K,3] that are dropped; `what` says which, in the plural."""
    turn = np.linalg.norm(rotations, axis=-1).max(1)
    if turn.max() <= MIN_ROTATION:
        return []
    frames = counted(int((turn > MIN_ROTATION).sum()), "frame")
    return [f"{what} are dropped: up to {np.degrees(turn.max()):.1f} degrees in {frames}"]


def lost_pose(motion: Motion, joints: Floats) -> list[str]:
    """Messages on losses: translation, separate neck rotation, the remainder of jaw and eyes in joints [T,J,3]."""
    left = "rotations of jaw and eyes that weights cannot express (eye torsion, a jaw above closed)"
    return [*lost_translation(motion), *merged_neck(joints), *lost_rotations(joints[:, JAW:], left)]


def lost_confidence(motion: Motion, *, keeps_faces: bool = False) -> list[str]:
    """A message on the confidence of the tracker; `keeps_faces`: the file stores which frames have a face."""
    if motion.confidence is None:
        return []
    confidence = motion.confidence.numpy()
    low, none = float(confidence.min()), int((confidence <= 0).sum())
    if keeps_faces:
        partly = confidence[(confidence > 0) & (confidence < 1)]
        span = f"down to {partly.min():.2f}" if len(partly) else ""
        return [f"the file stores only whether a frame has a face, not its confidence, {span}"] if span else []
    if low >= 1:
        return []
    faceless = f": those without a face ({none}) look like the others" if none else f", down to {low:.2f}"
    return [f"the file cannot store the confidence of each frame{faceless}"]


def lost_start(motion: Motion) -> list[str]:
    """A message on the time of the first frame where a file begins at 0."""
    start = float(motion.time[0])
    return [f"the times of the file start at 0, those of the motion at {start:.3f} s"] if abs(start) > 5e-4 else []
