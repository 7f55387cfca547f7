"""Smoothing with bounded lag that keeps small fast movements: a bilateral filter over time with a short look-ahead.

Each value is averaged with those neighbors in time that differ from it by no more than noise does (Tomasi and Manduchi,
"Bilateral filtering for gray and color images", ICCV 1998). A blink or a micro-expression differs by more and is not
averaged away, which a low-pass filter of the same noise reduction would do. The window is symmetric, so the value
belongs to its own time: live, it is known `lag` seconds later; offline, it has no lag at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import Motion

#: Seconds: a longer look-ahead is no use live, and costs work offline.
MAX_LAG = 0.5
#: Standard deviations of the noise at which a neighbor has lost most of its weight.
_REACH = 2.5
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
        self._lag, self._noise = lag, noise
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
        slack = 1e-6
        while self._seen[0][0] < time - 2 * self._lag - slack:
            self._seen.popleft()
        times = np.array([seen for seen, _ in self._seen])
        center = int(np.searchsorted(times, time - self._lag - slack))
        stacked = np.stack([seen for _, seen in self._seen])
        near = np.abs(times - times[center]) <= self._lag + slack
        differences = stacked[near] - stacked[center]
        return float(times[center]), stacked[center] + _mean(differences, np.abs(differences), self._noise)


def smoothed(motion: Motion, options: BoundedLag) -> Motion:
    """A motion smoothed over `options.lag` seconds to both sides; its times do not change, and nothing lags.

    Args:
        motion: T frames with increasing times.
        options: lag and noise.
    """
    if options.lag <= 0 or len(motion) < 2:
        return motion
    times = motion.time.double().numpy()
    reach = int((np.searchsorted(times, times + options.lag + 1e-6, "right") - np.arange(len(times)) - 1).max())
    if reach < 1:
        return motion
    flat = motion.weights.double().numpy()
    travel = motion.translation.double().numpy()
    rotation = axis_angle_to_matrix(motion.joint_rot.double())
    weights, moved, turned = np.empty_like(flat), np.empty_like(travel), torch.empty_like(rotation[..., 0])
    block = max(1, _BLOCK // ((2 * reach + 1) * max(flat.shape[1], 15)))
    for start in range(0, len(times), block):
        rows = np.arange(start, min(start + block, len(times)))
        near = rows[None] + np.arange(-reach, reach + 1)[:, None]
        inside = (near >= 0) & (near < len(times))
        near = near.clip(0, len(times) - 1)
        inside &= np.abs(times[near] - times[rows]) <= options.lag + 1e-6
        weights[rows] = flat[rows] + _mean(flat[near] - flat[rows], None, options.noise, inside)
        step = travel[near] - travel[rows]
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        moved[rows] = travel[rows] + _mean(step, length, options.noise_mm / 1000, inside)
        relative = matrix_to_axis_angle(rotation[rows].mT @ rotation[near]).numpy()
        angle = np.linalg.norm(relative, axis=-1, keepdims=True)
        mean = _mean(relative, angle, np.radians(options.noise_degrees), inside)
        turned[rows] = matrix_to_axis_angle(rotation[rows] @ axis_angle_to_matrix(torch.from_numpy(mean)))
    return replace(
        motion,
        weights=torch.from_numpy(weights).to(motion.weights),
        translation=torch.from_numpy(moved).to(motion.translation),
        joint_rot=turned.to(motion.joint_rot),
    )


def _mean(
    differences: np.ndarray, distance: np.ndarray | None, noise: np.ndarray | float, inside: np.ndarray | None = None
) -> np.ndarray:
    """Mean over axis 0 of differences [n,...] to the center, by how likely noise explains a distance.

    Args:
        differences: [n,...].
        distance: of the same shape or with a last axis of 1; None: the size of each difference.
        noise: standard deviation.
        inside: [n,T] bool, which are in the window; None: all.
    """
    distance = np.abs(differences) if distance is None else distance
    weight = np.exp(-0.5 * (distance / (_REACH * np.asarray(noise))) ** 2)
    if inside is not None:
        weight = weight * inside.reshape(*inside.shape, *[1] * (weight.ndim - 2))
    return np.asarray((weight * differences).sum(0) / weight.sum(0))
