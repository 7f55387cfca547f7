"""Lip closures that survive every layer: where the speech closes the lips, the mix closes them too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.performance.mixing.envelope import smoothstep
from avatar.performance.mixing.mouth import MouthModel

#: The quantile of the lip gap over a recording that counts as a closed mouth, as in `driving.lip_closure`.
_CLOSED_QUANTILE = 0.05
#: Frames below which that quantile is not determined.
_MIN_FRAMES = 30


@dataclass(frozen=True)
class ClosureOptions:
    """Which moments are closures, and how they are kept."""

    keep: bool = True
    """whether closures are kept at all"""
    within_mm: float = 0.5
    """the lips are closed up to this gap above that of the closed mouth"""
    bias_mm: float = 3.0
    """a tracked mouth is measured open by up to this where it is closed; less than its 5 % quantile is closed too"""
    ramp: float = 0.08
    """seconds over which the correction comes and goes around a closure"""
    rest: float = 1.0
    """a mouth that is closed for longer rests, and layers may open it, but for `edge` seconds at both ends"""
    edge: float = 0.2
    """seconds"""

    def __post_init__(self) -> None:
        ranges = {"within_mm": 5, "bias_mm": 10, "ramp": 1, "rest": 60, "edge": 1}
        for name, most in ranges.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"`closures.{name}` is {getattr(self, name):g}, expected 0 to {most}")


@dataclass(frozen=True)
class ClosureReport:
    """Closures of a mix; gaps in mm of the embedded head."""

    count: int
    gap_before: float  # largest of all frames of closures, as mixed
    gap_after: float

    def to_text(self) -> str:
        """One sentence."""
        if not self.count:
            return "no lip closures in the speech"
        noun = "lip closure" if self.count == 1 else "lip closures"
        return f"{self.count} {noun} kept: largest gap {self.gap_after:.1f} mm, {self.gap_before:.1f} mm before"


def closed_frames(gap: np.ndarray, spoken: np.ndarray, fps: float, options: ClosureOptions) -> np.ndarray:
    """Frames [T] bool at which a speech closes the lips, without the interior of rests.

    Args:
        gap: [T] mm of the speech's own weights.
        spoken: [T] bool, frames that the speech covers.
        fps: frames per second.
        options: thresholds.
    """
    if not spoken.any():
        return np.zeros(len(gap), bool)
    level = 0.0
    if spoken.sum() >= _MIN_FRAMES:
        level = float(np.clip(np.quantile(gap[spoken], _CLOSED_QUANTILE), 0, options.bias_mm))
    closed = spoken & (gap <= level + options.within_mm)
    edge = max(1, round(options.edge * fps))
    longest = options.rest * fps
    for start, end in runs(closed):
        if end - start > longest:
            closed[start + edge : end - edge] = False
    return closed


def keep_closures(
    weights: np.ndarray,
    closed: np.ndarray,
    fps: float,
    model: MouthModel,
    options: ClosureOptions,
    pressed: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, ClosureReport]:
    """Close the lips at `closed` frames, with a short transition; elsewhere no bit changes.

    Args:
        weights: [T,len(NAMES)] as mixed.
        closed: [T] bool.
        fps: frames per second.
        model: of the lip gap.
        options: the transition.
        pressed: gap of the speech in mm, 0 or negative, a scalar or [T]: the lips are pressed as in it.

    Returns:
        Weights whose gap is at most `pressed` at `closed` frames, and what was done.
    """
    gap = model.gap(weights)
    if not closed.any():
        return weights, ClosureReport(0, 0.0, 0.0)
    distance = _distance(closed)
    ramp = options.ramp * fps
    strength = smoothstep(1 - distance / (ramp + 1)) if ramp > 0 else (distance == 0).astype(np.float64)
    near = strength > 0
    corrected = weights.copy()
    target = np.minimum(gap, pressed)[near]
    solved = model.with_gap(weights[near], target)
    part = strength[near][:, None]
    blended = weights[near] * (1 - part) + solved * part
    corrected[near] = np.where(solved != weights[near], blended, weights[near])
    after = model.gap(corrected)
    count = sum(1 for _ in runs(closed))
    return corrected, ClosureReport(count, float(gap[closed].max()), float(after[closed].max()))


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and end (exclusive) of every run of true entries of `mask` [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _distance(mask: np.ndarray) -> np.ndarray:
    """Frames [T] to the nearest true entry of `mask`, which has one."""
    rows = np.arange(len(mask))
    last = np.maximum.accumulate(np.where(mask, rows, -len(mask)))
    following = np.minimum.accumulate(np.where(mask, rows, 2 * len(mask))[::-1])[::-1]
    return np.minimum(rows - last, following - rows).astype(np.float64)
