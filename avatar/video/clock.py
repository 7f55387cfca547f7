"""Frame rates as exact fractions, and the time bases (clocks) of video files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

#: Rates that broadcast multiplies by 1000/1001; usually written with two or more decimals (23.98, 29.97, 59.94).
_NTSC = (24, 30, 48, 60, 120, 240)
#: Ticks per second with a variable frame rate: exact for milliseconds and for every usual rate up to 240 fps, with and
#: without the factor 1000/1001.
TICKS = 720_000
#: Ticks per second of WebM, which counts milliseconds.
WEBM_TICKS = 1000


def exact_rate(rate: float | Fraction) -> Fraction:
    """The exact frame rate that `rate` means: 29.97 is 30000/1001, 25.0 is 25.

    Raises:
        ValueError: it is not a positive number.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate: expected a positive number of frames per second, got {rate}")
    if isinstance(rate, Fraction):
        return rate
    for whole in _NTSC:
        ntsc = Fraction(whole * 1000, 1001)
        if any(round(float(ntsc), digits) == rate for digits in range(2, 7)) or math.isclose(ntsc, rate):
            return ntsc
    return Fraction(rate).limit_denominator(10_000)


@dataclass(frozen=True)
class Clock:
    """Converts frame numbers or times to integer ticks."""

    scale: int  # ticks per second
    step: int | None  # ticks per frame; None: variable frame rate

    @classmethod
    def constant(cls, rate: Fraction) -> Clock:
        """The clock in which every frame has the same integer number of ticks."""
        factor = 1 if rate.numerator >= 10_000 else 1000
        return cls(rate.numerator * factor, rate.denominator * factor)

    @classmethod
    def variable(cls, scale: int = TICKS) -> Clock:
        """The clock for a variable frame rate: that of the container, so that no time is rounded twice."""
        return cls(scale, None)

    @property
    def tick(self) -> Fraction:
        """Duration of a tick in seconds."""
        return Fraction(1, self.scale)

    def at(self, number: int, time: float | None) -> int:
        """Ticks of frame `number` (constant rate) or of `time` seconds (variable rate)."""
        if self.step is not None:
            return number * self.step
        assert time is not None
        return round(time * self.scale)
