"""When a driver's face is at rest: the first calm moment is the neutral."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from avatar.driving.driver import Driver
from avatar.model.neutral import resting_expression
from capture.live.retarget import Neutral, Retarget
from capture.live.sample import Sample

#: What a resting face does all the same.
_RESTLESS = ("eyeBlink", "eyelid", "eyeLook")
#: Seconds between two samples beyond which the face was away, and what came before is no part of the same moment.
_AWAY = 0.25
#: Samples kept for a face that never rests: 240 a second for longer than anybody waits.
_MOST = 2048
#: Share of `seconds` that the samples of a moment span at least.
_WHOLE = 0.9
#: A moment is calmer than another when it moves by less than this share of it: the avatar's neutral does not creep.
_BETTER = 0.9


@dataclass(frozen=True)
class CalibrationOptions:
    """How a driver is calibrated."""

    seconds: float = 1.0
    """of a face at rest, whose median is the neutral"""
    longest: float = 6.0
    """seconds that a rest is waited for; then a low value of each expression by itself has to do"""
    still: float = 0.035
    """`movement` up to which a face is at rest: of real ones resting moments have .02 to .035, talk .045 and more"""
    closed: float = 0.55
    """weight of a blink at which the driver's lids have met: of spontaneous ones a camera often misses the middle"""


class Calibrator:
    """Watches a face until it is at rest; what it knows serves from the first sample on."""

    def __init__(self, driver: Driver, options: CalibrationOptions) -> None:
        """Args: the driver of the avatar (as `Driver.of` makes it); how."""
        self._driver, self.options = driver, options
        self.retarget: Retarget | None = None
        self.again()

    def again(self) -> None:
        """Watch anew; what was known serves until that is done."""
        self._moment: list[tuple[float, Sample]] = []  # the last `seconds` of samples
        self._best: list[Sample] = []
        self._all: deque[Sample] = deque(maxlen=_MOST)
        self._movement: float | None = None  # of the best moment
        self._watched = 0.0  # seconds with a face, and at most _AWAY of each absence
        self._due = 1 if self.retarget is None else None  # samples of a first moment after which it serves
        self._done = False

    @property
    def progress(self) -> float:
        """0..1; 1 once the neutral is final."""
        if self._done:
            return 1.0
        return min(self._watched / (self.options.longest if self._best else self.options.seconds), 0.99)

    def see(self, sample: Sample, time: float) -> Retarget:
        """What is known after `sample` at `time` seconds."""
        if not self._done:
            self._watch(sample, time)
        assert self.retarget is not None
        return self.retarget

    def stats(self) -> dict[str, Any]:
        """The `movement` of the moment that is the neutral (None before one was seen whole), whether
        that is `still`, and a `note` for the person who drives."""
        still = self._is_still
        if self._done:
            note = "" if still else "the face never rested; look ahead at rest and calibrate again"
        else:
            note = "look ahead at rest" if self._best else ""
        return {"movement": self._movement, "still": still, "note": note}

    def _watch(self, sample: Sample, time: float) -> None:
        options = self.options
        step = time - self._moment[-1][0] if self._moment else 0.0
        self._watched += min(max(step, 0.0), _AWAY)  # a driver of few samples a second ends waiting too
        if not 0 <= step <= _AWAY:
            self._moment.clear()
        self._moment = [row for row in self._moment if time - row[0] < options.seconds]
        self._moment.append((time, sample))
        self._all.append(sample)
        samples = [row[1] for row in self._moment]
        better = False
        if time - self._moment[0][0] >= _WHOLE * options.seconds:
            moved = movement(samples)
            rests = moved <= options.still
            better = rests or self._movement is None or moved < _BETTER * self._movement
            if better:
                self._best, self._movement = samples, moved
            self._done = rests
        self._done = self._done or self._watched >= options.longest
        if self._done or (better and self._due is not None):
            self._use(Neutral.of(self._best) if self._is_still or not self._done else self._low())
        elif not self._best and self._due is not None and len(samples) >= self._due:
            self._due = 2 * len(samples)
            self._use(Neutral.of(samples))
        if self._done:
            self._all.clear()

    def _use(self, neutral: Neutral) -> None:
        self.retarget = Retarget.of(self._driver, neutral, self.options.closed)

    @property
    def _is_still(self) -> bool:
        return self._movement is not None and self._movement <= self.options.still

    def _low(self) -> Neutral:
        """Of a face that never rested: its calmest moment may be a held grimace, which would mute that expression."""
        usual = Neutral.of(self._all)
        low = resting_expression(torch.from_numpy(np.stack([sample.weights for sample in self._all])))
        # Lids rest where they are most of the time: at their widest they would count as half closed ever after.
        own = [column for column, name in enumerate(self._all[0].names) if name.startswith(_RESTLESS)]
        low[own] = usual.weights[own]
        return replace(usual, weights=low)


def movement(samples: Sequence[Sample]) -> float:
    """How far a face typically strays from its median, RMS over the expressions; lids and gaze may do as they like."""
    calm = [column for column, name in enumerate(samples[0].names) if not name.startswith(_RESTLESS)]
    weights = np.stack([sample.weights for sample in samples])[:, calm]
    off = weights - np.median(weights, axis=0)
    return float(np.median(np.sqrt((off**2).mean(1))))
