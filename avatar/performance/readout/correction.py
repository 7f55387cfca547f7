"""Weights of the landmark tracker, corrected by what it finds of known expressions.

The tracker shrinks expressions, and finds parts of one in others. `correction.csv` is a linear map from the weights
that it finds above the resting face to those that were shown: least squares with a ridge over random synthetic people
who show single action units, mixtures and speech (`python -m tools.weights.correction`). Each result is scaled
up toward its true size as far as it stays small in frames without that expression. The map is one of the means of both
sides; each result is then divided between the sides as the tracker found them, so that a half smile stays one.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.readout.signals import MIRROR

FILE = Path(__file__).with_name("correction.csv")
#: Gaze and closed lids are measured by themselves: they stay as they are.
KEPT = np.array([name.startswith(("eyeLook", "eyeBlink")) for name in ARKIT_52])


#: Weight below which the tracker's difference between the sides is noise.
_EVEN = 0.1


@cache
def correction() -> NDArray[np.float64]:
    """The map [52,52] from the tracked to the corrected means of both sides; rows and columns as ARKIT_52."""
    values = np.loadtxt(FILE, delimiter=",", skiprows=1, usecols=range(1, len(ARKIT_52) + 1))
    return np.asarray(values, np.float64)


def corrected(weights: ArrayLike) -> NDArray[np.float64]:
    """Weights [T,52] 0..1 of the landmark tracker above the resting face, corrected."""
    given = np.asarray(weights, np.float64)
    mean = (given + given[:, MIRROR]) / 2
    share = (given + _EVEN) / (mean + _EVEN)
    return np.asarray(np.where(KEPT, given, np.clip(np.clip(mean @ correction(), 0, 1) * share, 0, 1)))
