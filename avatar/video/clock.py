"""Frame rates as the exact fractions they stand for, and the clocks that videos count in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

#: Rates that broadcast slows by 1000/1001; people write them with two or more decimals (23.98, 29.97, 59.94).
_SLOWED = (24, 30, 48, 60, 120, 240)
#: Ticks a second where frames have times of their own: exact for milliseconds and for every usual rate up to 240
#: frames a second, slowed by 1000/1001 or not.
TICKS = 720_000
#: The same in a webm, which counts milliseconds.
WEBM_TICKS = 1000


def exact_rate(rate: float | Fraction) -> Fraction:
    """The frame rate `rate` stands for: 29.97 and 30000/1001 are the same, 25.0 is 25.

    Raises:
        ValueError: it is no positive number.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate: expected a positive number of frames a second, got {rate}")
    if isinstance(rate, Fraction):
        return rate
    for whole in _SLOWED:
        slowed = Fraction(whole * 1000, 1001)
        if any(round(float(slowed), digits) == rate for digits in range(2, 7)) or math.isclose(slowed, rate):
            return slowed
    return Fraction(rate).limit_denominator(10_000)


@dataclass(frozen=True)
class Clock:
    """Frame numbers or times to whole ticks."""

    scale: int  # ticks a second
    step: int | None  # ticks a frame; None: every frame has its own time

    @classmethod
    def constant(cls, rate: Fraction) -> Clock:
        """The clock on which every frame lasts a whole number of ticks."""
        factor = 1 if rate.numerator >= 10_000 else 1000
        return cls(rate.numerator * factor, rate.denominator * factor)

    @classmethod
    def variable(cls, scale: int = TICKS) -> Clock:
        """The clock for frames with times of their own: that of the container, so that no time is rounded twice."""
        return cls(scale, None)

    @property
    def tick(self) -> Fraction:
        """Seconds."""
        return Fraction(1, self.scale)

    def at(self, number: int, time: float | None) -> int:
        """Ticks of frame `number` (constant rate) or of `time` seconds."""
        if self.step is not None:
            return number * self.step
        assert time is not None
        return round(time * self.scale)
