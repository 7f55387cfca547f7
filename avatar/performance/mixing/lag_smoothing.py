"""Smoothing with bounded lag that keeps small fast movements: non-local means over time with a short look-ahead.

Each value is averaged with those neighbors in time that differ from it by no more than noise does, judged by three
frames around each (Buades, Coll and Morel, "A non-local algorithm for image denoising", CVPR 2005). A blink or a
micro-expression differs by more and is not averaged away, which a low-pass filter of the same noise reduction would do.
The window is symmetric, so the value belongs to its own time: live, it is known `lag` seconds later; offline, it has no
lag at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import Motion

#: Seconds: a longer look-ahead is no use live, and costs work offline.
MAX_LAG = 0.5
#: Excess of a squared distance over that of noise at which a weight falls to 1/e, in variances of the noise.
_EXCESS = 3.0
#: Frames of a patch on each side of its center.
_PATCH = 1
#: Seconds: times closer than this are equal up to rounding.
_SAME_TIME = 1e-6
#: Numbers that are in memory for a block of frames, so that an hour needs no more than a minute.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class BoundedLag:
    """How much is smoothed."""

    lag: float = 0.05
    """seconds of look-ahead; live, the delay"""
    noise: float = 0.02
    """standard deviation of the noise of weights"""
    noise_degrees: float = 0.3
    """of rotations, degrees"""
    noise_mm: float = 1.0
    """of the head's translation, mm"""

    def __post_init__(self) -> None:
        if not 0 <= self.lag <= MAX_LAG:
            raise ValueError(f"`smooth.lag` is {self.lag:g}, expected 0 to {MAX_LAG:g} s")
        for name, most in (("noise", 0.5), ("noise_degrees", 20), ("noise_mm", 100)):
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"`smooth.{name}` is {getattr(self, name):g}, expected more than 0, at most {most}")


class LiveSmoother:
    """Smooths values [N] as they come: `push` returns the smoothed values of a time at most `lag` seconds ago."""

    def __init__(self, lag: float, noise: np.ndarray | float) -> None:
        """Args: seconds of look-ahead; standard deviation of the noise, a scalar or [N]."""
        if not 0 <= lag <= MAX_LAG:
            raise HeadsplatError(f"smoothing: expected a lag of 0 to {MAX_LAG:g} s, got {lag:g}")
        self._lag = lag
        self._noise = noise
        self._seen: deque[tuple[float, np.ndarray]] = deque()

    def reset(self) -> None:
        """Forget all values, after a gap."""
        self._seen.clear()

    def push(self, values: np.ndarray, time: float) -> tuple[float, np.ndarray]:
        """The time and the smoothed values [N] of the oldest frame that is at most `lag` seconds old.

        Args:
            values: [N]; entries that are not finite keep their last finite value.
            time: seconds; a value not later than the one before replaces it.
        """
        latest = np.array(values, np.float64)
        if self._seen:
            latest = np.where(np.isfinite(latest), latest, self._seen[-1][1])
            if time <= self._seen[-1][0]:
                time = self._seen.pop()[0]
        else:
            latest = np.nan_to_num(latest, posinf=0.0, neginf=0.0)
        self._seen.append((time, latest))
        while self._seen[0][0] < time - 2 * self._lag - _SAME_TIME:
            self._seen.popleft()
        times = np.array([seen for seen, _ in self._seen])
        center = int(np.searchsorted(times, time - self._lag - _SAME_TIME))
        stacked = np.stack([seen for _, seen in self._seen])
        window = _Window(times, self._lag, np.array([center]))
        step = window.mean(lambda base, other: stacked[other] - stacked[base], self._noise)
        return float(times[center]), stacked[center] + step[0]


def smoothed(motion: Motion, options: BoundedLag) -> Motion:
    """A motion smoothed over `options.lag` seconds to both sides; its times do not change, and nothing lags.

    Args:
        motion: T frames with increasing times.
        options: lag and noise.
    """
    if options.lag <= 0 or len(motion) < 2:
        return motion
    times = motion.time.double().numpy()
    reach = _reach(times, options.lag)
    if reach < 1:
        return motion
    flat = motion.weights.double().numpy()
    travel = motion.translation.double().numpy()
    rotation = axis_angle_to_matrix(motion.joint_rot.double())
    weights = flat.copy()
    moved = travel.copy()
    turned = torch.empty_like(rotation[..., 0])

    def relative(base: np.ndarray, other: np.ndarray) -> np.ndarray:
        return matrix_to_axis_angle(rotation[base].mT @ rotation[other]).numpy()

    block = max(1, _BLOCK // ((2 * reach + 1) * max(flat.shape[1], 15)))
    for start in range(0, len(times), block):
        rows = np.arange(start, min(start + block, len(times)))
        window = _Window(times, options.lag, rows)
        weights[rows] += window.mean(lambda base, other: flat[other] - flat[base], options.noise)
        millimeter = options.noise_mm / 1000
        moved[rows] += window.mean(lambda base, other: travel[other] - travel[base], millimeter, vectors=True)
        step = window.mean(relative, np.radians(options.noise_degrees), vectors=True)
        turned[rows] = matrix_to_axis_angle(rotation[rows] @ axis_angle_to_matrix(torch.from_numpy(step)))
    return replace(
        motion,
        weights=torch.from_numpy(weights).to(motion.weights),
        translation=torch.from_numpy(moved).to(motion.translation),
        joint_rot=turned.to(motion.joint_rot),
    )


class _Window:
    """The frames within `lag` seconds of each of some frames."""

    def __init__(self, times: np.ndarray, lag: float, rows: np.ndarray) -> None:
        """Args: times [T] in seconds; seconds; frames [R], consecutive."""
        reach = _reach(times, lag)
        last = len(times) - 1
        #: frames [R+2P], those of the patches of the outermost frames included, and their neighbors [n,R+2P]
        around = np.arange(rows[0] - _PATCH, rows[-1] + _PATCH + 1)
        near = around + np.arange(-reach, reach + 1)[:, None]
        exists = (around >= 0) & (around <= last) & (near >= 0) & (near <= last)
        self._base = around.clip(0, last)
        self._near = near.clip(0, last)
        #: for each offset in a patch: its frames, and [n,R] which of them and of their neighbors are in the window
        self._patch = []
        for offset in range(-_PATCH, _PATCH + 1):
            part = slice(_PATCH + offset, _PATCH + offset + len(rows))
            distances = (np.abs(times[frames[..., part]] - times[rows]) for frames in (self._base, self._near))
            first, second = (distance <= lag + _SAME_TIME for distance in distances)
            self._patch.append((part, exists[:, part] & first & second))

    def mean(
        self,
        difference: Callable[[np.ndarray, np.ndarray], np.ndarray],
        noise: np.ndarray | float,
        *,
        vectors: bool = False,
    ) -> np.ndarray:
        """Mean difference [R,...] of the neighbors to each frame, weighted by how likely noise explains them.

        Args:
            difference: of frames [m] to other frames [n,m], [n,m,...].
            noise: standard deviation, a scalar or of the last axis.
            vectors: whether the last axis is a vector with one distance.
        """
        steps = difference(self._base, self._near)
        squared = (steps**2).sum(-1, keepdims=True) if vectors else steps**2
        shape = [1] * (steps.ndim - 2)
        total = 0.0
        count = 0.0
        for part, valid in self._patch:
            mask = valid.reshape(*valid.shape, *shape)
            total = total + squared[:, part] * mask
            count = count + mask
        variance = np.asarray(noise) ** 2
        excess = np.maximum(total / np.maximum(count, 1) - 2 * variance, 0)
        own, valid = self._patch[_PATCH]
        weight = np.exp(-excess / (_EXCESS * variance)) * valid.reshape(*valid.shape, *shape)
        return np.asarray((weight * steps[:, own]).sum(0) / weight.sum(0))


def _reach(times: np.ndarray, lag: float) -> int:
    """The most frames within `lag` seconds after any frame."""
    return int((np.searchsorted(times, times + lag + _SAME_TIME, "right") - np.arange(len(times)) - 1).max())
