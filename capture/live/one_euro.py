"""The One Euro filter: steady when slow, quick when fast (Casiez, Roussel, Vogel, CHI 2012, algorithm 1).

A first-order low pass whose cutoff frequency rises with speed. Here the state moves by a share of the *difference*
between the measurement and itself, so that the same lines filter vectors and, with the difference taken in the tangent
space, rotations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capture.tracker.rotation import exp_rotation, log_rotation

#: Cutoff in hertz of the low pass on the speed (the paper's dcutoff).
_SPEED_CUTOFF = 1.0


@dataclass(frozen=True)
class Smoothing:
    """How much a group is smoothed."""

    mincutoff: float = 2.0
    """hertz, when nothing moves: lower is steadier"""
    beta: float = 1.5
    """hertz per unit of speed: higher is quicker"""

    def __post_init__(self) -> None:
        if not (self.mincutoff > 0 and self.beta >= 0):
            raise ValueError(f"Smoothing: expected mincutoff > 0 and beta >= 0, got {self.mincutoff} and {self.beta}")


def _weight(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """Share of a new value that a first-order low pass of `cutoff` hertz takes after `step` seconds."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * step))


def _minus(value: np.ndarray, other: np.ndarray) -> np.ndarray:
    return value - other


def _plus(value: np.ndarray, step: np.ndarray) -> np.ndarray:
    return value + step


def _turn_between(rotation: np.ndarray, other: np.ndarray) -> np.ndarray:
    return log_rotation(rotation @ np.swapaxes(other, -1, -2))


def _turned(rotation: np.ndarray, step: np.ndarray) -> np.ndarray:
    return exp_rotation(step) @ rotation


class OneEuro:
    """A filter of values [N], each with its own speed."""

    _difference: Callable[[np.ndarray, np.ndarray], np.ndarray] = staticmethod(_minus)
    _moved: Callable[[np.ndarray, np.ndarray], np.ndarray] = staticmethod(_plus)

    def __init__(self, mincutoff: np.ndarray | float = 2.0, beta: np.ndarray | float = 1.5) -> None:
        """Args: hertz and hertz per unit of speed, one for all or [N]."""
        self._mincutoff, self._beta = mincutoff, beta
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next value passes as it is."""
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value.

        Args:
            value: [N]; where it is not finite the last good value stays.
            time: seconds; a value no later than the one before changes nothing.
        """
        if self._value is None:
            if np.isfinite(value).all():
                self._value, self._time = np.array(value, dtype=np.float64), time
            return value if self._value is None else self._value.copy()
        step = time - self._time
        if not step > 0:
            return self._value.copy()
        self._time = time
        off = self._difference(np.asarray(value, dtype=np.float64), self._value)
        off = np.where(np.isfinite(off), off, 0.0)
        speed = np.zeros_like(off) if self._speed is None else self._speed
        self._speed = speed + _weight(_SPEED_CUTOFF, step) * (off / step - speed)
        cutoff = self._mincutoff + self._beta * self._quickness(self._speed)
        self._value = self._moved(self._value, _weight(cutoff, step) * off)
        return self._value.copy()

    def _quickness(self, speed: np.ndarray) -> np.ndarray:
        return np.abs(speed)


class OneEuroVector(OneEuro):
    """A filter of vectors [...,3] whose direction it keeps: one speed for the three."""

    def _quickness(self, speed: np.ndarray) -> np.ndarray:
        return np.linalg.norm(speed, axis=-1, keepdims=True)


class OneEuroRotation(OneEuroVector):
    """A filter of rotation matrices [...,3,3] in the tangent space at its own state; speeds are in rad/s."""

    _difference = staticmethod(_turn_between)
    _moved = staticmethod(_turned)
