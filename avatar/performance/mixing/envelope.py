"""How strong a layer is over time: fades at its ends, and pulses of onset, apex and offset."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.errors import HeadsplatError

#: Pulses at most, against a mistyped interval.
MAX_PULSES = 10_000
#: Power of the onset's ease: muscles contract faster than they relax.
_ONSET_POWER = 2.0


@dataclass(frozen=True)
class Pulse:
    """Movements that rise, stay and fall at given times, such as micro-expressions.

    A micro-expression lasts at most half a second from onset to end of offset (Yan et al., "How fast are the leaked
    facial expressions", Journal of Nonverbal Behavior 2013).
    """

    times: tuple[float, ...] = (0.0,)
    """seconds after the start of the layer at which onsets start"""
    onset: float = 0.1
    """seconds from rest to the apex, fast at first"""
    apex: float = 0.1
    """seconds at full strength"""
    offset: float = 0.25
    """seconds from the apex to rest, slow at both ends"""
    every: float = 0.0
    """seconds between repetitions of the last of the times; 0: none"""
    jitter: float = 0.0
    """seconds, standard deviation of random shifts of the times, by the seed"""
    vary: float = 0.0
    """0..1, how far the strength of a pulse may be below full, at random, by the seed"""

    def __post_init__(self) -> None:
        for name in ("onset", "apex", "offset", "every", "jitter"):
            value = getattr(self, name)
            if not 0 <= value <= 3600:
                raise ValueError(f"`pulse.{name}` is {value:g}, expected 0 to 3600 seconds")
        if not 0 <= self.vary <= 1:
            raise ValueError(f"`pulse.vary` is {self.vary:g}, expected 0 to 1")
        if not all(0 <= time < 1e6 for time in self.times):
            raise ValueError("`pulse.times` has a time that is negative or too large; give seconds from 0 on")
        if not self.times:
            raise ValueError("`pulse.times` is empty; give the seconds at which it starts, such as [1.0, 3.5]")
        if self.length <= 0:
            raise ValueError("`pulse` lasts 0 s; give onset, apex or offset")

    @property
    def length(self) -> float:
        """Seconds from the start of the onset to the end of the offset."""
        return self.onset + self.apex + self.offset

    @property
    def end(self) -> float:
        """Seconds at which the last of the given times has ended; repetitions have no end."""
        return max(self.times) + self.length

    def strength(self, times: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Strength [n] 0..1 at `times` [n] seconds; where pulses overlap, the stronger one.

        Raises:
            HeadsplatError: `every` gives more than MAX_PULSES.
        """
        starts = self._starts(float(times.max(initial=0.0)))
        drawn = random.standard_normal((len(starts), 2))  # by pulse: a longer motion changes no earlier pulse
        starts = starts + self.jitter * drawn[:, 0]
        peaks = 1 - self.vary * np.minimum(np.abs(drawn[:, 1]) / 2, 1)
        total = np.zeros(len(times))
        order = np.argsort(times, kind="stable")
        ordered = times[order]
        for start, peak in zip(starts, peaks, strict=True):
            rows = order[np.searchsorted(ordered, start) : np.searchsorted(ordered, start + self.length, "right")]
            total[rows] = np.maximum(total[rows], peak * self._shape(times[rows] - start))
        return total

    def _starts(self, last: float) -> np.ndarray:
        given = np.array(self.times)
        if self.every <= 0 or last <= given.max():
            return given
        more = math.floor((last - given.max()) / self.every)
        if more + len(given) > MAX_PULSES:
            raise HeadsplatError(
                f"`pulse.every` of {self.every:g} s gives {more} pulses in {last:.0f} s, at most {MAX_PULSES} are "
                "played; give a longer interval"
            )
        return np.concatenate([given, given.max() + self.every * np.arange(1, more + 1)])

    def _shape(self, elapsed: np.ndarray) -> np.ndarray:
        """Strength [n] at seconds [n] after the start of the onset."""
        rise = np.clip(elapsed / self.onset, 0, 1) if self.onset > 0 else np.ones(len(elapsed))
        left = self.length - elapsed
        fall = np.clip(left / self.offset, 0, 1) if self.offset > 0 else np.ones(len(elapsed))
        return np.minimum(1 - (1 - rise) ** _ONSET_POWER, smoothstep(fall))


def smoothstep(fraction: np.ndarray) -> np.ndarray:
    """3 f^2 - 2 f^3 of `fraction` limited to 0..1: level at both ends."""
    fraction = np.clip(fraction, 0, 1)
    return fraction * fraction * (3 - 2 * fraction)


def faded(times: np.ndarray, start: float, end: float, fade_in: float, fade_out: float) -> np.ndarray:
    """Strength [n] 0..1 of a layer between `start` and `end` (may be infinite) that fades in and out there.

    Args:
        times: [n] seconds.
        start: seconds; the layer is 0 before.
        end: seconds; the layer is 0 after.
        fade_in: seconds after the start until it is full; 0: at once.
        fade_out: seconds before the end in which it goes to 0.
    """
    slack = 1e-9
    inside = (times >= start - slack) & (times <= end + slack)
    rise = smoothstep((times - start) / fade_in) if fade_in > 0 else 1.0
    fall = smoothstep((end - times) / fade_out) if fade_out > 0 and math.isfinite(end) else 1.0
    return np.asarray(inside * np.minimum(rise, fall), np.float64)
