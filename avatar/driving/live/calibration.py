"""Neutral calibration: the first time window in which the performer's face is at rest is the neutral."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch

from avatar.driving.live.calibrated_driver import Neutral
from avatar.driving.live.samples import CalibrationStats, Sample
from avatar.model.resting import resting_expression

Calibrated = TypeVar("Calibrated")

#: Expressions that also move in a resting face.
_RESTLESS = ("eyeBlink", "eyelid", "eyeLook")
#: Seconds between two samples beyond which a new window starts.
MAX_GAP = 0.25
#: Samples kept for a face that is never at rest: more than `longest` seconds at 240 per second.
MAX_SAMPLES = 2048
#: Fraction of `seconds` that a window spans at least.
MIN_SPAN = 0.9
#: A window replaces the best one if its movement is less than this fraction of it: the neutral does not drift.
BETTER = 0.9


@dataclass(frozen=True)
class CalibrationOptions:
    """Parameters of the neutral calibration."""

    seconds: float = 1.0
    """length of the window whose median is the neutral"""
    longest: float = 6.0
    """seconds after which calibration ends without a resting face, with a low value of each expression instead"""
    still: float = 0.035
    """`movement` up to which a face is at rest; of real faces, resting ones have .02 to .035, talking .045 and more"""
    closed: float = 0.55
    """weight of a blink that counts as closed lids; low, because a camera often misses the peak of a fast blink"""


class Calibrator(Generic[Calibrated]):
    """Observes a face until it is at rest; provides a driver from the first sample on."""

    def __init__(self, make: Callable[[Neutral], Calibrated], options: CalibrationOptions) -> None:
        """Args: makes the driver of a performer whose neutral is known; options."""
        self._make = make
        self.options = options
        self.driver: Calibrated | None = None
        self.restart()

    def restart(self) -> None:
        """Calibrate again; the current driver stays until that is done."""
        self._window: list[tuple[float, Sample]] = []  # the last `seconds` of samples
        self._best: list[Sample] = []  # the window with the least movement
        self._all: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._movement: float | None = None  # of the best window
        self._observed = 0.0  # seconds with a face, and at most MAX_GAP of each gap
        #: samples of the first, incomplete window after which a preliminary driver is made; None where there is one
        self._next_preliminary = 1 if self.driver is None else None
        self._done = False

    @property
    def progress(self) -> float:
        """0..1; 1 once the neutral is final."""
        if self._done:
            return 1.0
        return min(self._observed / (self.options.longest if self._best else self.options.seconds), 0.99)

    def update(self, sample: Sample, time: float) -> Calibrated:
        """The driver after `sample` at `time` seconds."""
        if not self._done:
            self._observe(sample, time)
        assert self.driver is not None
        return self.driver

    def stats(self) -> CalibrationStats:
        """Movement of the best window, whether that is at rest, and a note for the driver."""
        still = self._is_still
        if self._done:
            note = "" if still else "the face was never at rest; look ahead with a resting face and calibrate again"
        else:
            note = "look ahead with a resting face" if self._best else ""
        return {"movement": self._movement, "still": still, "note": note}

    def _observe(self, sample: Sample, time: float) -> None:
        options = self.options
        step = time - self._window[-1][0] if self._window else 0.0
        self._observed += min(max(step, 0.0), MAX_GAP)  # also counts for a source of few samples per second
        if not 0 <= step <= MAX_GAP:
            self._window.clear()
        self._window = [row for row in self._window if time - row[0] < options.seconds]
        self._window.append((time, sample))
        self._all.append(sample)
        samples = [row[1] for row in self._window]
        better = False
        if time - self._window[0][0] >= MIN_SPAN * options.seconds:
            moved = movement(samples)
            at_rest = moved <= options.still
            better = at_rest or self._movement is None or moved < BETTER * self._movement
            if better:
                self._best = samples
                self._movement = moved
            self._done = at_rest
        self._done = self._done or self._observed >= options.longest
        preliminary = self._next_preliminary
        if self._done or (better and preliminary is not None):
            self._use(Neutral.of(self._best) if self._is_still or not self._done else self._low_neutral())
        elif not self._best and preliminary is not None and len(samples) >= preliminary:
            self._next_preliminary = 2 * len(samples)
            self._use(Neutral.of(samples))
        if self._done:
            self._all.clear()

    def _use(self, neutral: Neutral) -> None:
        self.driver = self._make(neutral)

    @property
    def _is_still(self) -> bool:
        return self._movement is not None and self._movement <= self.options.still

    def _low_neutral(self) -> Neutral:
        """The neutral of a face that was never at rest: a low value of each expression.

        The calmest window may show a held grimace, and would suppress that expression.
        """
        median = Neutral.of(self._all)
        low = resting_expression(torch.from_numpy(np.stack([sample.weights for sample in self._all])))
        # Lids take the median: against their widest opening the usual one would count as half closed.
        restless = [column for column, name in enumerate(self._all[0].names) if name.startswith(_RESTLESS)]
        low[restless] = median.weights[restless]
        return replace(median, weights=low)


def movement(samples: Sequence[Sample]) -> float:
    """Median over time of the RMS deviation from the median face, over all expressions but lids and gaze."""
    columns = [column for column, name in enumerate(samples[0].names) if not name.startswith(_RESTLESS)]
    weights = np.stack([sample.weights for sample in samples])[:, columns]
    deviation = weights - np.median(weights, axis=0)
    return float(np.median(np.sqrt((deviation**2).mean(1))))
