"""The opening of the mouth in millimeters, distributed over jaw and lips with the lip gap of the embedded head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.load import load_head
from avatar.motion.lip_gap import LipGap
from avatar.performance.mixing.keyframes import Track
from avatar.performance.mixing.regions import NAMES

#: Millimeters: larger openings than these no mouth has.
MAX_OPENING = 45.0
#: Fractions of an opening that the weights do not yet have: the jaw opens most of it, the lips the rest.
_SHARES = {
    "jawOpen": 0.8, "mouthLowerDownLeft": 0.07, "mouthLowerDownRight": 0.07,
    "mouthUpperUpLeft": 0.03, "mouthUpperUpRight": 0.03,
}  # fmt: skip
#: The expression that closes the lips over an open jaw.
CLOSER = "mouthClose"


@dataclass(frozen=True, eq=False)
class MouthModel:
    """The lip gap in millimeters as a linear function of the weights in `NAMES`."""

    at_rest: float
    opening: np.ndarray  # [len(NAMES)] mm that a weight of 1 adds

    def gap(self, weights: np.ndarray) -> np.ndarray:
        """The gap [T] in mm of weights [T,len(NAMES)]; 0 where the lips meet."""
        return self.at_rest + weights @ self.opening

    def with_gap(self, weights: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Weights [T,len(NAMES)] whose gap is `target` [T] mm, as far as weights of 0..1 allow.

        Expressions that open are scaled together. What a larger opening still lacks is added to jaw and lips by fixed
        shares; what a closed mouth still opens is closed by mouthClose.
        """
        result = weights.copy()
        openers = self.opening > 0
        parts = np.where(openers, weights, 0) @ self.opening
        others = self.gap(weights) - parts
        needed = np.maximum(target - others, 0)
        largest = np.where(openers, weights, 0).max(1)
        scale = np.where(parts > 0, needed / np.where(parts > 0, parts, 1), 1)
        scale = np.minimum(scale, np.maximum(1, 1 / np.maximum(largest, 1e-9)))
        result[:, openers] = weights[:, openers] * scale[:, None]
        tongue = NAMES.index("tongueOut")  # leaves with a closing mouth, does not come out with an opening one
        result[:, tongue] = weights[:, tongue] * np.minimum(scale, 1)
        lacking = np.maximum(target - self.gap(result), 0)
        for _ in _SHARES:  # once per opener that may reach 1
            result, lacking = self._opened(result, lacking, target)
        excess = np.maximum(self.gap(result) - target, 0)
        column = NAMES.index(CLOSER)
        result[:, column] = np.minimum(result[:, column] + excess / -self.opening[column], 1)
        return result

    def _opened(self, weights: np.ndarray, lacking: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights with `lacking` [T] mm added to those openers that are below 1, and what is still lacking [T]."""
        columns = [NAMES.index(name) for name in _SHARES]
        free = weights[:, columns] < 1
        shares = np.array(list(_SHARES.values())) * free
        total = shares.sum(1, keepdims=True)
        added = np.where(total > 0, shares / np.where(total > 0, total, 1), 0) * lacking[:, None]
        result = weights.copy()
        result[:, columns] = np.minimum(
            weights[:, columns] + added / self.opening[columns], np.maximum(weights[:, columns], 1)
        )
        return result, np.maximum(target - self.gap(result), 0)


@lru_cache(maxsize=1)
def mouth_model() -> MouthModel:
    """The model of the embedded head."""
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None
    opening = np.zeros(len(NAMES))
    for name, value in zip(head.expression_names, gap.opening.double().numpy(), strict=True):
        if name in NAMES:
            opening[NAMES.index(name)] = 1000 * value
    opening[np.abs(opening) < 0.05] = 0  # smiles and such move the landmarks by less than can be seen
    return MouthModel(1000 * float(gap.at_rest), opening)


@dataclass(frozen=True)
class Opening:
    """What the opening of the mouth should be, in millimeters of the embedded head."""

    set_mm: float | list[list[float]] | None = None
    """the gap itself: a constant, or [time, mm] pairs that are interpolated smoothly"""
    peak_mm: float | None = None
    """all openings are scaled so that the largest is this"""
    limit_mm: float | None = None
    """no opening is larger, with a soft knee from 70 % of it on"""

    def __post_init__(self) -> None:
        for name in ("peak_mm", "limit_mm"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= MAX_OPENING:
                raise ValueError(f"`opening.{name}` is {value:g}, expected 0 to {MAX_OPENING:g} mm")
        self.track()

    def track(self) -> Track | None:
        """`set_mm` as a track; raises ValueError where it is out of range."""
        if self.set_mm is None:
            return None
        keys = self.set_mm if isinstance(self.set_mm, list) else [[0.0, self.set_mm]]
        if not all(len(key) == 2 and 0 <= key[1] <= MAX_OPENING for key in keys):
            raise ValueError(f"`opening.set_mm` expects [seconds, mm] pairs with 0 to {MAX_OPENING:g} mm")
        try:
            return Track.of([(time, value, "smooth") for time, value in keys], "`opening.set_mm`")
        except HeadsplatError as error:
            raise ValueError(str(error)) from error

    @property
    def given(self) -> bool:
        """Whether anything is to be changed."""
        return (self.set_mm, self.peak_mm, self.limit_mm) != (None, None, None)

    def apply(self, weights: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Weights [T,len(NAMES)] with the opening asked for, at `times` [T] seconds; only jaw and lips change."""
        model = mouth_model()
        before = model.gap(weights)
        wanted = before
        if (track := self.track()) is not None:
            wanted = track(times)
        if self.peak_mm is not None and wanted.max() > 0:
            wanted = np.where(wanted > 0, wanted * self.peak_mm / wanted.max(), wanted)
        if self.limit_mm is not None:
            wanted = soft_limit(wanted, self.limit_mm)
        changed = np.abs(wanted - before) > 1e-9
        return np.where(changed[:, None], model.with_gap(weights, wanted), weights)


def soft_limit(values: np.ndarray, limit: float) -> np.ndarray:
    """Values [T] that approach `limit` from 70 % of it on and never exceed it."""
    knee = 0.7 * limit
    room = limit - knee
    if room <= 0:
        return np.minimum(values, limit)
    excess = np.maximum(values - knee, 0)
    return np.where(values > knee, knee + room * excess / (excess + room), values)
