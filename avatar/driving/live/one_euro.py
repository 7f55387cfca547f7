"""The One Euro filter: steady when slow, quick when fast (Casiez, Roussel, Vogel, CHI 2012, algorithm 1).

A first-order low-pass filter whose cutoff frequency rises with speed. Written as an update of the state by a fraction
of the *difference* to the measurement, so that the same code filters vectors and, with differences in the tangent
space, rotations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation, log_rotation

#: Cutoff in hertz of the low-pass filter of the speed (the paper's dcutoff).
_SPEED_CUTOFF = 1.0


@dataclass(frozen=True)
class Smoothing:
    """Filter parameters of a group."""

    mincutoff: float = 2.0
    """hertz, cutoff at rest: lower gives less jitter"""
    beta: float = 1.5
    """hertz per unit of speed: higher gives less lag"""

    def __post_init__(self) -> None:
        if not (self.mincutoff > 0 and self.beta >= 0):
            raise ValueError(f"Smoothing: expected mincutoff > 0 and beta >= 0, got {self.mincutoff} and {self.beta}")


def _weight(cutoff: np.ndarray | float, step: float) -> np.ndarray | float:
    """Weight of a new value in a first-order low-pass filter of `cutoff` hertz after `step` seconds."""
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
    """A filter of values [N], each with a separate speed."""

    _difference: Callable[[np.ndarray, np.ndarray], np.ndarray] = staticmethod(_minus)
    _moved: Callable[[np.ndarray, np.ndarray], np.ndarray] = staticmethod(_plus)

    def __init__(self, mincutoff: np.ndarray | float = 2.0, beta: np.ndarray | float = 1.5) -> None:
        """Args: hertz and hertz per unit of speed, scalars or [N]."""
        self._mincutoff = mincutoff
        self._beta = beta
        self.reset()

    def reset(self) -> None:
        """Clear the state: the next value passes unfiltered."""
        self._value: np.ndarray | None = None
        self._speed: np.ndarray | None = None
        self._time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """The filtered value.

        Args:
            value: [N]; entries that are not finite keep the last finite value.
            time: seconds; a value not later than the one before is ignored.
        """
        if self._value is None:
            if np.isfinite(value).all():
                self._value = np.array(value, dtype=np.float64)
                self._time = time
            return value if self._value is None else self._value.copy()
        step = time - self._time
        if not step > 0:
            return self._value.copy()
        self._time = time
        error = self._difference(np.asarray(value, dtype=np.float64), self._value)
        error = np.where(np.isfinite(error), error, 0.0)
        speed = np.zeros_like(error) if self._speed is None else self._speed
        self._speed = speed + _weight(_SPEED_CUTOFF, step) * (error / step - speed)
        cutoff = self._mincutoff + self._beta * self._magnitude(self._speed)
        self._value = self._moved(self._value, _weight(cutoff, step) * error)
        return self._value.copy()

    def _magnitude(self, speed: np.ndarray) -> np.ndarray:
        return np.abs(speed)


class OneEuroVector(OneEuro):
    """A filter of vectors [...,3] with one speed for the three components, which preserves direction."""

    def _magnitude(self, speed: np.ndarray) -> np.ndarray:
        return np.linalg.norm(speed, axis=-1, keepdims=True)


class OneEuroRotation(OneEuroVector):
    """A filter of rotation matrices [...,3,3] in the tangent space at the current state; speeds in rad/s."""

    _difference = staticmethod(_turn_between)
    _moved = staticmethod(_turned)
