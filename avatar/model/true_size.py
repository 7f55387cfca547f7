"""The true size of a head: one factor beside the avatar. Needs neither PyTorch nor NumPy.

A single camera cannot determine how large a head is: twice the size at twice the distance is the same image. Where
nothing else is known, the head has the size of the head model's mean. The factor changes no rendered image; exports
and measured lengths are multiplied by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from avatar.common.json_values import is_unicode

#: Entry of the header of an avatar file.
ENTRY = "true_size"
#: Relative standard deviation of the size of adults' heads of one shape, where nothing is measured.
_HEADS = 0.05
#: The factor is within these limits: a doll's head to a giant's.
LIMITS = (0.1, 10.0)
_MAX_SOURCE = 200


@dataclass(frozen=True)
class TrueSize:
    """How large a head is. The defaults: as large as the head model's mean."""

    scale: float = 1.0
    """true meters of a meter in the avatar"""
    sigma: float = _HEADS
    """relative standard deviation of the scale"""
    source: str = "mean of the head model"
    """what the scale comes from"""

    @property
    def known(self) -> bool:
        """Whether anything was measured."""
        return self != TrueSize()

    def entry(self) -> dict[str, Any]:
        """The entry of a header, plain JSON values."""
        return asdict(self)

    @staticmethod
    def of_header(header: Mapping[str, Any]) -> TrueSize:
        """The size that a header states; the mean of the head model in one that states none.

        Raises:
            ValueError: the entry is not one.
        """
        if ENTRY not in header:
            return TrueSize()
        entry: Any = header[ENTRY]
        if not isinstance(entry, dict) or not _is_size(*(entry.get(name) for name in ("scale", "sigma", "source"))):
            raise ValueError(f"its header has a wrong entry {ENTRY!r}")
        return TrueSize(float(entry["scale"]), float(entry["sigma"]), entry["source"])


def _is_size(scale: Any, sigma: Any, source: Any) -> bool:
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (scale, sigma)):
        return False
    named = isinstance(source, str) and is_unicode(source) and 0 < len(source) <= _MAX_SOURCE
    return named and LIMITS[0] <= scale <= LIMITS[1] and 0 <= sigma <= 1


def mixed_size(parts: Sequence[tuple[TrueSize, float]]) -> TrueSize:
    """The size of a blend of heads with shares that sum to 1; the mean of the head model where no size is known."""
    if not any(size.known for size, _ in parts):
        return TrueSize()
    scale = math.exp(sum(share * math.log(size.scale) for size, share in parts))
    sigma = sum(share * size.sigma for size, share in parts)
    sources = dict.fromkeys(size.source for size, _ in parts)
    return TrueSize(scale, sigma, "; ".join(sources)[:_MAX_SOURCE])
